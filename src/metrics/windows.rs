//! With a recorder: what is counted of shared windows.

use ::metrics::{Histogram, Unit, counter, describe_counter, describe_histogram, gauge, histogram};
use std::sync::OnceLock;
use std::time::Duration;

use crate::metrics::StoreOutcome;
use crate::metrics::recorded::{BREAKER, Counters};

const STORE_SECONDS: &str = "tower_bearer_limiter_store_seconds";
const STORE_FAILURES: &str = "tower_bearer_limiter_failures_total";
const DEGRADED: &str = "tower_bearer_limiter_degraded_total";

pub(super) fn describe() {
    describe_histogram!(STORE_SECONDS, Unit::Seconds, "How long calls to shared windows took");
    describe_counter!(STORE_FAILURES, "Failed calls to shared windows");
    describe_counter!(DEGRADED, "Decisions that shared windows did not make");
}

/// The calls to one shared store of windows.
#[derive(Debug, Default)]
pub(crate) struct StoreMeter {
    seconds: OnceLock<[Histogram; 3]>,
    failures: Counters,
    degraded: Counters,
}

impl StoreMeter {
    pub(crate) fn took(&self, outcome: StoreOutcome, nanos: u64) {
        let series = |outcome: &'static str| histogram!(STORE_SECONDS, "outcome" => outcome);
        let [admitted, denied, failed] = self.seconds.get_or_init(|| {
            self.breaker(false);
            ["admitted", "denied", "failed"].map(series)
        });
        let histogram = match outcome {
            StoreOutcome::Admitted => admitted,
            StoreOutcome::Denied => denied,
            StoreOutcome::Failed => failed,
        };
        histogram.record(Duration::from_nanos(nanos).as_secs_f64());
    }

    pub(crate) fn failed(&self, reason: &'static str) {
        let register = || counter!(STORE_FAILURES, "reason" => reason);
        self.failures.count("", [reason, "", "", ""], register);
    }

    pub(crate) fn degraded(&self, reason: &'static str) {
        self.degraded.count("", [reason, "", "", ""], || counter!(DEGRADED, "reason" => reason));
    }

    pub(crate) fn breaker(&self, is_open: bool) {
        gauge!(BREAKER, "dependency" => "limiter").set(if is_open { 2.0 } else { 0.0 });
    }
}
