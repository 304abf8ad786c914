//! With a recorder: what is counted between processes.

use ::metrics::{
    Gauge, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use std::time::Duration;

use crate::metrics::recorded::show_breaker;
use crate::metrics::{BreakerState, SharedOutcome};

const BUS_CONNECTED: &str = "tower_bearer_bus_connected";
const BUS_LAG: &str = "tower_bearer_bus_lag_seconds";
const SHARED_CACHE: &str = "tower_bearer_shared_cache_total";

pub(super) fn describe() {
    describe_gauge!(BUS_CONNECTED, "Authenticators that are on their revocation bus");
    describe_histogram!(BUS_LAG, Unit::Seconds, "From the publishing of a notice to its hearing");
    describe_counter!(SHARED_CACHE, "Look-ups in the shared cache");
}

/// A notice was heard so long after it was published.
pub(crate) fn bus_lag(lag: Duration) {
    histogram!(BUS_LAG).record(lag.as_secs_f64());
}

/// The shared cache was asked.
pub(crate) fn shared_cache(outcome: SharedOutcome) {
    let outcome = match outcome {
        SharedOutcome::Hit => "hit",
        SharedOutcome::Miss => "miss",
        SharedOutcome::Buried => "buried",
        SharedOutcome::Failed => "failed",
        SharedOutcome::Late => "late",
        SharedOutcome::Foreign => "foreign",
    };
    counter!(SHARED_CACHE, "outcome" => outcome).increment(1);
}

/// The breaker of the shared cache changed.
pub(crate) fn shared_cache_breaker(state: BreakerState) {
    show_breaker("shared_cache", state);
}

/// Authenticators of this process that are on a bus; one less once it is dropped.
#[derive(Debug)]
pub(crate) struct OnBus(Gauge);

impl OnBus {
    /// There is a bus; nobody is on it yet.
    pub(crate) fn expected() {
        gauge!(BUS_CONNECTED).increment(0);
    }

    pub(crate) fn joined() -> Self {
        let connected = gauge!(BUS_CONNECTED);
        connected.increment(1);
        Self(connected)
    }
}

impl Drop for OnBus {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}
