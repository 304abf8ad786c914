//! With a recorder: every name and label that there is, one file a subject.
//!
//! 1. What is counted on each request keeps its handle; the rest is looked up when it happens.
//! 2. No recorder's code runs under a lock of this crate's tables.

mod caches;
mod decisions;
mod forwards;
mod limits;
mod mints;
mod processes;

pub(crate) use self::caches::{CacheMeter, LoadMeter, flushed};
pub(crate) use self::decisions::{Decisions, refused, revoked, suppressed};
#[cfg(feature = "signed")]
pub(crate) use self::forwards::verified;
pub(crate) use self::forwards::{ForwardMeter, mcp_session_refused};
pub(crate) use self::limits::{KeysMeter, LimitMeter, StoreMeter};
#[cfg(feature = "redis")]
pub(crate) use self::limits::{reconnected, script_loaded};
pub(crate) use self::mints::MintMeter;
pub(crate) use self::processes::{OnBus, bus_lag, shared_cache, shared_cache_breaker};

use ::metrics::{Counter, describe_gauge, gauge};
use std::sync::OnceLock;

use crate::metrics::BreakerState;

const BREAKER: &str = "tower_bearer_breaker_state";

/// What a label says where nothing is known.
const UNKNOWN: &str = "-";

/// Tells the recorder what each metric means, for those that show it. Call it once, after the recorder was installed.
pub fn describe() {
    describe_gauge!(BREAKER, "0 closed, 1 half open, 2 open");
    decisions::describe();
    caches::describe();
    processes::describe();
    limits::describe();
    forwards::describe();
    mints::describe();
}

/// Shows the breaker of one dependency.
fn show_breaker(dependency: &'static str, state: BreakerState) {
    gauge!(BREAKER, "dependency" => dependency).set(breaker_value(state));
}

fn breaker_value(state: BreakerState) -> f64 {
    match state {
        BreakerState::Closed => 0.0,
        BreakerState::HalfOpen => 1.0,
        BreakerState::Open => 2.0,
    }
}

/// The counters of one metric that were needed so far; at most [`MOST`] keep their handle.
#[derive(Debug, Default)]
struct Counters {
    first: OnceLock<Box<Counted>>,
}

#[derive(Debug)]
struct Counted {
    configured: Box<str>,
    fixed: [&'static str; 4],
    counter: Counter,
    next: OnceLock<Box<Self>>,
}

const MOST: usize = 64;

impl Counters {
    fn count(&self, configured: &str, fixed: [&'static str; 4], register: impl Fn() -> Counter) {
        let mut place = &self.first;
        let mut seen = 0;
        while seen < MOST {
            match place.get() {
                Some(it) if it.fixed == fixed && *it.configured == *configured => {
                    return it.counter.increment(1);
                }
                Some(other) => {
                    seen += 1;
                    place = &other.next;
                }
                None => {
                    let (configured, next) = (configured.into(), OnceLock::new());
                    let counted = Counted { configured, fixed, counter: register(), next };
                    // if somebody else was faster, theirs is looked at next
                    let _taken = place.set(Box::new(counted));
                }
            }
        }
        register().increment(1);
    }
}
