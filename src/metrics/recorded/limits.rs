//! With a recorder: what is counted of limiters and their windows.

use ::metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::metrics::recorded::{Counters, UNKNOWN, show_breaker};
use crate::metrics::{BreakerState, LimitSource, LimitVerdict, StoreOutcome};

const DECISIONS: &str = "tower_bearer_limiter_decisions_total";
const KEYS: &str = "tower_bearer_limiter_keys";
const EVICTED: &str = "tower_bearer_limiter_evicted_total";
const STORE_SECONDS: &str = "tower_bearer_limiter_store_seconds";
const STORE_FAILURES: &str = "tower_bearer_limiter_failures_total";
const DEGRADED: &str = "tower_bearer_limiter_degraded_total";
const RECONNECTS: &str = "tower_bearer_limiter_reconnects_total";
const SCRIPT_LOADS: &str = "tower_bearer_limiter_script_loads_total";

pub(super) fn describe() {
    describe_counter!(DECISIONS, "Decisions of limiters");
    describe_gauge!(KEYS, "Logs kept in this process, and denials remembered");
    describe_counter!(EVICTED, "Live ones that had to go for others");
    describe_histogram!(STORE_SECONDS, Unit::Seconds, "How long calls to shared windows took");
    describe_counter!(STORE_FAILURES, "Failed calls to shared windows");
    describe_counter!(DEGRADED, "Decisions that shared windows did not make");
    describe_counter!(RECONNECTS, "Connections to Redis that had to be made anew");
    describe_counter!(SCRIPT_LOADS, "Times that a Redis had to be taught the script");
}

/// The decisions of one limiter.
#[derive(Debug, Default)]
pub(crate) struct LimitMeter(Counters);

impl LimitMeter {
    pub(crate) fn decided(&self, policy: Option<&str>, verdict: LimitVerdict, source: LimitSource) {
        let policy = policy.unwrap_or(UNKNOWN);
        let verdict = match verdict {
            LimitVerdict::Admitted => "admitted",
            LimitVerdict::Denied => "denied",
            LimitVerdict::Never => "never",
            LimitVerdict::Free => "free",
            LimitVerdict::WouldDeny => "would_deny",
            LimitVerdict::Undecided => "undecided",
        };
        let source = match source {
            LimitSource::Local => "local",
            LimitSource::Store => "store",
            LimitSource::DenyCache => "deny_cache",
            LimitSource::Fallback => "fallback",
            LimitSource::Open => "open",
        };
        self.0.count(policy, [verdict, source, "", ""], || {
            counter!(
                DECISIONS,
                "policy" => policy.to_owned(), "verdict" => verdict, "source" => source
            )
        });
    }
}

/// The logs of one map of windows.
#[derive(Debug)]
pub(crate) struct KeysMeter {
    map: &'static str,
    handles: OnceLock<(Gauge, Counter)>,
    held: AtomicU64,
}

impl KeysMeter {
    pub(crate) fn new(map: &'static str) -> Self {
        Self { map, handles: OnceLock::new(), held: AtomicU64::new(0) }
    }

    /// So many logs and evictions before a change of the map, so many after it.
    pub(crate) fn moved(&self, before: (usize, u64), after: (usize, u64)) {
        if before == after {
            return;
        }
        let (keys, evicted) = self.handles.get_or_init(|| {
            let map = self.map;
            (gauge!(KEYS, "map" => map), counter!(EVICTED, "map" => map))
        });
        let (old, new) = (before.0 as u64, after.0 as u64);
        self.held.fetch_add(new.wrapping_sub(old), Ordering::Relaxed);
        keys.increment(new as f64 - old as f64);
        evicted.increment(after.1.saturating_sub(before.1));
    }
}

impl Drop for KeysMeter {
    fn drop(&mut self) {
        if let Some((keys, _)) = self.handles.get() {
            keys.decrement(self.held.load(Ordering::Relaxed) as f64);
        }
    }
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
        show_breaker("limiter", if is_open { BreakerState::Open } else { BreakerState::Closed });
    }
}

/// A connection to Redis was given up and is made anew.
#[cfg(feature = "redis")]
pub(crate) fn reconnected(reason: &'static str) {
    counter!(RECONNECTS, "reason" => reason).increment(1);
}

/// A Redis was taught the script.
#[cfg(feature = "redis")]
pub(crate) fn script_loaded() {
    counter!(SCRIPT_LOADS).increment(1);
}
