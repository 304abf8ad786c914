//! With a recorder: every name and label that there is, in this file and `processes`.
//!
//! 1. What is counted on each request keeps its handle; the rest is looked up when it happens.
//! 2. No recorder's code runs under a lock of this crate's tables.

use ::metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::metrics::{
    BreakerState, Flush, Lacking, LimitSource, LimitVerdict, LoadEnd, Origin, Refused, Removed,
    processes, windows,
};

const DECISIONS: &str = "tower_bearer_decisions_total";
const LOOKUPS: &str = "tower_bearer_cache_lookups_total";
const ENTRIES: &str = "tower_bearer_cache_entries";
const FLUSHES: &str = "tower_bearer_cache_flush_total";
const IN_FLIGHT: &str = "tower_bearer_loads_in_flight";
const LOAD_SECONDS: &str = "tower_bearer_load_seconds";
pub(super) const BREAKER: &str = "tower_bearer_breaker_state";
const REVOCATIONS: &str = "tower_bearer_revocations_total";
const SUPPRESSED: &str = "tower_bearer_audit_suppressed_total";
const LIMITER_DECISIONS: &str = "tower_bearer_limiter_decisions_total";
const LIMITER_KEYS: &str = "tower_bearer_limiter_keys";
const LIMITER_EVICTED: &str = "tower_bearer_limiter_evicted_total";
const FORWARDED: &str = "tower_bearer_forward_total";
const STRIPPED: &str = "tower_bearer_forward_stripped_total";
const NOMINATED: &str = "tower_bearer_forward_nominated_total";

/// What a label says where nothing is known.
const UNKNOWN: &str = "-";

/// Tells the recorder what each metric means, for those that show it. Call it once, after the recorder was installed.
pub fn describe() {
    describe_counter!(DECISIONS, "Requests passed, refused or left undecided");
    describe_counter!(LOOKUPS, "Look-ups of cached facts");
    describe_gauge!(ENTRIES, "Entries of the fact caches");
    describe_counter!(FLUSHES, "Times that everything cached was dropped");
    describe_gauge!(IN_FLIGHT, "Loads of facts that run or wait for a place");
    describe_histogram!(LOAD_SECONDS, Unit::Seconds, "How long loads of facts took");
    describe_gauge!(BREAKER, "0 closed, 1 half open, 2 open");
    describe_counter!(REVOCATIONS, "Tokens ended");
    processes::describe();
    windows::describe();
    describe_counter!(SUPPRESSED, "Audit events of refusals that the cap held back");
    describe_counter!(LIMITER_DECISIONS, "Decisions of limiters");
    describe_gauge!(LIMITER_KEYS, "Logs kept in this process, and denials remembered");
    describe_counter!(LIMITER_EVICTED, "Live ones that had to go for others");
    describe_counter!(FORWARDED, "Requests prepared for an upstream");
    describe_counter!(STRIPPED, "Field names removed from requests");
    describe_counter!(NOMINATED, "Managed names that a client's Connection field nominated");
}

/// The counters of one metric that were needed so far; at most [`MOST`] keep their handle.
#[derive(Debug, Default)]
pub(super) struct Counters {
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
    pub(super) fn count(
        &self,
        configured: &str,
        fixed: [&'static str; 4],
        register: impl Fn() -> Counter,
    ) {
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

/// The decisions under one authenticator. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Decisions {
    passes: Arc<Counters>,
    refusals: Arc<Counters>,
}

impl Decisions {
    /// A request passed a gate that authenticates.
    pub(crate) fn passed(&self, kind: Option<&str>, route: impl FnOnce() -> &'static str) {
        decision(&self.passes, kind, ["bearer", "pass", UNKNOWN, route()]);
    }
}

/// A request was refused; without `decisions` where no authenticator is known.
pub(crate) fn refused(
    decisions: Option<&Decisions>,
    refused: Refused<'_>,
    route: impl FnOnce() -> &'static str,
) {
    let outcome = if refused.undecided { "undecided" } else { "refuse" };
    let words = [refused.step, outcome, refused.reason, route()];
    match decisions {
        Some(decisions) => decision(&decisions.refusals, refused.kind, words),
        None => decision(&Counters::default(), refused.kind, words),
    }
}

fn decision(counters: &Counters, kind: Option<&str>, words: [&'static str; 4]) {
    let kind = kind.unwrap_or(UNKNOWN);
    let [step, outcome, reason, route] = words;
    counters.count(kind, words, || {
        counter!(
            DECISIONS, "step" => step, "outcome" => outcome, "reason" => reason,
            "kind" => kind.to_owned(), "route" => route
        )
    });
}

/// The cap held an event back.
pub(crate) fn suppressed(reason: &'static str) {
    counter!(SUPPRESSED, "reason" => reason).increment(1);
}

/// Tokens were ended.
pub(crate) fn revoked(tokens: usize, origin: Origin) {
    let origin = match origin {
        Origin::Local => "local",
        Origin::Bus => "bus",
    };
    counter!(REVOCATIONS, "origin" => origin).increment(tokens as u64);
}

/// Everything cached was dropped.
pub(crate) fn flushed(why: Flush) {
    let reason = match why {
        Flush::Manual => "manual",
        Flush::BusReconnect => "bus_reconnect",
    };
    counter!(FLUSHES, "reason" => reason).increment(1);
}

pub(super) fn breaker_value(state: BreakerState) -> f64 {
    match state {
        BreakerState::Closed => 0.0,
        BreakerState::HalfOpen => 1.0,
        BreakerState::Open => 2.0,
    }
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
                LIMITER_DECISIONS,
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
            (gauge!(LIMITER_KEYS, "map" => map), counter!(LIMITER_EVICTED, "map" => map))
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

/// What went to one upstream. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ForwardMeter {
    requests: Arc<Counters>,
    names: Arc<OnceLock<NameHandles>>,
}

#[derive(Debug)]
struct NameHandles {
    identity: Counter,
    credential: Counter,
    proxy: Counter,
    leg: Counter,
    nominated: Counter,
}

impl ForwardMeter {
    pub(crate) fn forwarded(&self, upstream: &str, mode: &'static str, outcome: &'static str) {
        self.requests.count(upstream, [mode, outcome, "", ""], || {
            counter!(
                FORWARDED, "upstream" => upstream.to_owned(), "mode" => mode, "outcome" => outcome
            )
        });
    }

    pub(crate) fn removed(&self, names: Removed) {
        let group = |group: &'static str| counter!(STRIPPED, "group" => group);
        let handles = self.names.get_or_init(|| NameHandles {
            identity: group("identity"),
            credential: group("credential"),
            proxy: group("proxy"),
            leg: group("leg"),
            nominated: counter!(NOMINATED),
        });
        for (counter, number) in [
            (&handles.identity, names.identity),
            (&handles.credential, names.credential),
            (&handles.proxy, names.proxy),
            (&handles.leg, names.leg),
            (&handles.nominated, names.nominated),
        ] {
            if number > 0 {
                counter.increment(u64::from(number));
            }
        }
    }
}
