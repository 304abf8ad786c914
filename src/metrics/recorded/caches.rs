//! With a recorder: what is counted of cached facts and their loads.

use ::metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::metrics::recorded::{BREAKER, breaker_value};
use crate::metrics::{BreakerState, Flush, Lacking, LoadEnd};

const LOOKUPS: &str = "tower_bearer_cache_lookups_total";
const ENTRIES: &str = "tower_bearer_cache_entries";
const FLUSHES: &str = "tower_bearer_cache_flush_total";
const IN_FLIGHT: &str = "tower_bearer_loads_in_flight";
const LOAD_SECONDS: &str = "tower_bearer_load_seconds";

pub(super) fn describe() {
    describe_counter!(LOOKUPS, "Look-ups of cached facts");
    describe_gauge!(ENTRIES, "Entries of the fact caches");
    describe_counter!(FLUSHES, "Times that everything cached was dropped");
    describe_gauge!(IN_FLIGHT, "Loads of facts that run or wait for a place");
    describe_histogram!(LOAD_SECONDS, Unit::Seconds, "How long loads of facts took");
}

/// Everything cached was dropped.
pub(crate) fn flushed(why: Flush) {
    let reason = match why {
        Flush::Manual => "manual",
        Flush::BusReconnect => "bus_reconnect",
    };
    counter!(FLUSHES, "reason" => reason).increment(1);
}

/// What is counted of one cache.
#[derive(Debug)]
pub(crate) struct CacheMeter {
    store: &'static str,
    handles: OnceLock<CacheHandles>,
    entries: [AtomicU64; 2],
}

#[derive(Debug)]
struct CacheHandles {
    known: MapHandles,
    /// The token cache's memory of refusals has a name of its own.
    refused: Option<MapHandles>,
    in_flight: Gauge,
    seconds: Seconds,
    breaker: Gauge,
}

#[derive(Debug)]
struct MapHandles {
    hit: Counter,
    miss: Counter,
    stale: Counter,
    entries: Gauge,
}

#[derive(Debug)]
struct Seconds {
    ok: Histogram,
    none: Histogram,
    error: Histogram,
    deadline: Histogram,
    overload: Histogram,
}

impl CacheMeter {
    pub(crate) fn new(store: &'static str) -> Self {
        Self { store, handles: OnceLock::new(), entries: Default::default() }
    }

    /// A fact was known.
    pub(crate) fn hit(&self) {
        self.handles().known.hit.increment(1);
    }

    /// A "no" was known, and of the fact itself nothing.
    pub(crate) fn hit_refused(&self, known: Lacking) {
        let handles = self.handles();
        match &handles.refused {
            Some(refused) => {
                handles.known.lacked(known);
                refused.hit.increment(1);
            }
            None => handles.known.hit.increment(1),
        }
    }

    /// Nothing was known.
    pub(crate) fn missed(&self, maps: impl FnOnce() -> (Lacking, Lacking)) {
        let handles = self.handles();
        let (known, no) = maps();
        match &handles.refused {
            Some(refused) => {
                handles.known.lacked(known);
                refused.lacked(no);
            }
            None if no == Lacking::Ended => handles.known.lacked(no),
            None => handles.known.lacked(known),
        }
    }

    /// The cache holds so many facts and so many refusals now.
    pub(crate) fn holds(&self, entries: impl FnOnce() -> (u64, u64)) {
        let handles = self.handles();
        let (known, refused) = entries();
        let of_refused = handles.refused.as_ref().unwrap_or(&handles.known);
        for (last, now, map) in
            [(&self.entries[0], known, &handles.known), (&self.entries[1], refused, of_refused)]
        {
            let before = last.swap(now, Ordering::Relaxed);
            map.entries.increment(now as f64 - before as f64);
        }
    }

    /// A load was begun at this monotonic nanosecond.
    pub(crate) fn begin(&self, now: impl FnOnce() -> u64) -> LoadMeter {
        let in_flight = self.handles().in_flight.clone();
        in_flight.increment(1);
        LoadMeter { in_flight, begun: now() }
    }

    /// A load ended.
    pub(crate) fn end(&self, load: LoadMeter, how: LoadEnd, now: impl FnOnce() -> u64) {
        let took = Duration::from_nanos(now().saturating_sub(load.begun));
        let seconds = &self.handles().seconds;
        let histogram = match how {
            LoadEnd::Found => &seconds.ok,
            LoadEnd::None => &seconds.none,
            LoadEnd::Failed => &seconds.error,
            LoadEnd::Late => &seconds.deadline,
        };
        histogram.record(took.as_secs_f64());
    }

    /// Too many keys wait: there was no load.
    pub(crate) fn overloaded(&self) {
        self.handles().seconds.overload.record(0.0);
    }

    /// The breaker changed.
    pub(crate) fn breaker(&self, state: BreakerState) {
        self.handles().breaker.set(breaker_value(state));
    }

    fn handles(&self) -> &CacheHandles {
        self.handles.get_or_init(|| CacheHandles::register(self.store))
    }
}

impl Drop for CacheMeter {
    fn drop(&mut self) {
        if self.handles.get().is_some() {
            self.holds(|| (0, 0));
        }
    }
}

impl CacheHandles {
    fn register(store: &'static str) -> Self {
        let (cache, negative) = match store {
            "token" => ("context", Some("negative")),
            other => (other, None),
        };
        let seconds =
            |result: &'static str| histogram!(LOAD_SECONDS, "cache" => cache, "result" => result);
        let breaker = gauge!(BREAKER, "dependency" => store);
        breaker.set(0.0);
        Self {
            known: MapHandles::register(cache),
            refused: negative.map(MapHandles::register),
            in_flight: gauge!(IN_FLIGHT, "cache" => cache),
            seconds: Seconds {
                ok: seconds("ok"),
                none: seconds("none"),
                error: seconds("error"),
                deadline: seconds("deadline"),
                overload: seconds("overload"),
            },
            breaker,
        }
    }
}

impl MapHandles {
    fn register(cache: &'static str) -> Self {
        let lookups =
            |result: &'static str| counter!(LOOKUPS, "cache" => cache, "result" => result);
        let entries = gauge!(ENTRIES, "cache" => cache);
        Self { hit: lookups("hit"), miss: lookups("miss"), stale: lookups("stale"), entries }
    }

    fn lacked(&self, how: Lacking) {
        match how {
            Lacking::Absent => self.miss.increment(1),
            Lacking::Ended => self.stale.increment(1),
        }
    }
}

/// One load in flight; no longer once it is dropped.
#[derive(Debug)]
pub(crate) struct LoadMeter {
    in_flight: Gauge,
    begun: u64,
}

impl Drop for LoadMeter {
    fn drop(&mut self) {
        self.in_flight.decrement(1);
    }
}
