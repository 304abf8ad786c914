//! Facts that were asked for once and hold for a while.
//!
//! 1. Facts are kept, verdicts never. A "no" is a fact too; it lives shorter and in a map of its own, so that junk cannot
//!    push out good entries.
//! 2. An entry lives from its fill; use never extends it. Its end lies in the entry and is compared with the request's own
//!    time, so a test that moves the clock moves the cache.
//! 3. One load in flight per key, in a task of its own, under a deadline of ours; at most so many at once. A request that is
//!    dropped changes nothing for the others.
//! 4. An error, a deadline and a panic are remembered nowhere. A load that panics is one that failed.
//! 5. A load that began before its key was forgotten stores nothing, and answers nobody who came after.
//! 6. A dependency that fails again and again is left alone for a moment (`breaker`).

mod bounded;
mod flight;
mod generations;
mod load;
mod question;

pub(crate) use self::question::{Answer, Question, Source, Trouble};

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::breaker::Breaker;
use crate::cache::bounded::Bounded;
use crate::cache::flight::Flights;
use crate::cache::generations::Generations;
use crate::chance::Chance;
use crate::clock::{Clock, Moment};
use crate::id::{AccountId, AppId, WorkspaceId};
use crate::metrics::{CacheMeter, Lacking};
use crate::subject::{Subject, SubjectKey};

/// How long facts live and how they are loaded.
#[derive(Clone, Debug)]
pub(crate) struct CacheSettings {
    /// For logs and metrics: whose facts these are.
    pub(crate) name: &'static str,
    pub(crate) ttl: Duration,
    pub(crate) negative_ttl: Duration,
    /// How much of the ttl may be taken off at random, in thousandths.
    pub(crate) jitter: u64,
    pub(crate) capacity: u64,
    pub(crate) negative_capacity: u64,
    pub(crate) deadline: Duration,
    pub(crate) max_loads: usize,
    pub(crate) max_waiting: usize,
    pub(crate) tombstone_life: Duration,
    pub(crate) tombstone_capacity: usize,
}

/// What the cache knows about a key at a moment.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Known<V, N> {
    /// The fact, and the first monotonic nanosecond at which it counts no more.
    Yes(V, u64),
    No(N),
    Unknown,
}

/// Which facts a change concerns.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    App(AppId),
    Member(WorkspaceId, AccountId),
    Permit(AppId, AccountId),
    Account(AccountId),
    Workspace(WorkspaceId),
    Caller(Subject),
    /// Whatever a token of this subject, or a caller made of it, brought along.
    Subject(SubjectKey),
    All,
}

/// A cache that can be told of changes, whatever it holds.
pub(crate) trait Forgets: Send + Sync {
    fn forget(&self, change: &Change);
}

/// Facts of one sort. A clone shares them.
pub(crate) struct Facts<K, V, N> {
    inner: Arc<Inner<K, V, N>>,
}

struct Inner<K, V, N> {
    number: u64,
    settings: CacheSettings,
    clock: Arc<dyn Clock>,
    known: Bounded<K, Entry<V>>,
    refused: Bounded<K, Entry<N>>,
    generations: Generations,
    tombstones: Mutex<HashMap<K, Entry<N>>>,
    flights: Flights<K, V, N>,
    breaker: Mutex<Breaker>,
    chance: Chance,
    meter: CacheMeter,
    concerns: fn(&Change, &K, Option<&V>) -> bool,
    life: fn(&V) -> Option<Duration>,
}

static NUMBERS: AtomicU64 = AtomicU64::new(1);

#[derive(Clone, Debug)]
struct Entry<T> {
    value: T,
    /// The first monotonic nanosecond at which the entry counts no more.
    ends: u64,
}

impl<K, V, N> Facts<K, V, N>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    N: Clone + Send + Sync + 'static,
{
    /// `concerns` says whether a change touches a key, or the value known for it.
    pub(crate) fn new(
        settings: CacheSettings,
        clock: Arc<dyn Clock>,
        concerns: fn(&Change, &K, Option<&V>) -> bool,
    ) -> Self {
        Self::with_life(settings, clock, concerns, |_| None)
    }

    /// As [`new`](Self::new); `life` says how long a value counts, where it says so itself: none at all is not kept.
    pub(crate) fn with_life(
        settings: CacheSettings,
        clock: Arc<dyn Clock>,
        concerns: fn(&Change, &K, Option<&V>) -> bool,
        life: fn(&V) -> Option<Duration>,
    ) -> Self {
        let inner = Inner {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            known: Bounded::new(settings.capacity),
            refused: Bounded::new(settings.negative_capacity),
            generations: Generations::new(),
            tombstones: Mutex::new(HashMap::new()),
            flights: Flights::new(settings.max_loads, settings.max_waiting),
            breaker: Mutex::new(Breaker::default()),
            chance: Chance::default(),
            meter: CacheMeter::new(settings.name),
            settings,
            clock,
            concerns,
            life,
        };
        Self { inner: Arc::new(inner) }
    }

    /// For the list of those who must be told of changes.
    pub(crate) fn as_forgetful(&self) -> std::sync::Weak<dyn Forgets> {
        let inner: Arc<dyn Forgets> = Arc::<Inner<K, V, N>>::clone(&self.inner);
        Arc::downgrade(&inner)
    }

    /// Tells this cache from every other one of the process.
    pub(crate) fn number(&self) -> u64 {
        self.inner.number
    }

    /// What is known without waiting.
    pub(crate) fn known(&self, key: &K, now: Moment) -> Known<V, N> {
        let alive = now.monotonic_nanos();
        let lacking = match live(self.inner.known.get(key), alive) {
            Ok(entry) => {
                self.inner.meter.hit();
                return Known::Yes(entry.value, entry.ends);
            }
            Err(lacking) => lacking,
        };
        match live(self.inner.refused.get(key), alive) {
            Ok(entry) => {
                self.inner.meter.hit_refused(lacking);
                Known::No(entry.value)
            }
            // counted by the load that follows: between the two the key may be looked up again
            Err(_) => Known::Unknown,
        }
    }

    /// Forgets one key: what is known of it, and any load in flight.
    pub(crate) fn forget_key(&self, key: &K) {
        self.inner.generations.advance(key, || self.inner.drop_entries(key));
        self.inner.flights.detach(key);
    }

    /// Forgets one key and lets nothing revive it for a while: until then every "yes" becomes `no`.
    pub(crate) fn bury(&self, key: &K, no: N, now: Moment) {
        let inner = &self.inner;
        let from = now.monotonic_nanos();
        let ends = from.saturating_add(nanos(inner.settings.tombstone_life));
        let buried = {
            let mut tombstones = lock(&inner.tombstones);
            if tombstones.len() >= inner.settings.tombstone_capacity
                && !tombstones.contains_key(key)
            {
                tombstones.retain(|_, entry| from < entry.ends);
            }
            let fits = tombstones.len() < inner.settings.tombstone_capacity;
            if fits {
                tombstones.insert(key.clone(), Entry { value: no, ends });
            }
            fits
        };
        if buried {
            self.forget_key(key);
        } else {
            inner.forget(&Change::All);
        }
    }

    /// Drops one known entry without touching loads: for a fact that has ended by itself.
    pub(crate) fn drop_known(&self, key: &K) {
        self.inner.known.remove(key);
    }

    /// Drops one known entry if it is still one that `drops` means.
    pub(crate) fn drop_known_if(&self, key: &K, drops: impl FnOnce(&V) -> bool) {
        self.inner.known.remove_one_if(key, |entry| drops(&entry.value));
    }

    /// Entries held now, alive or not: known and refused.
    pub(crate) fn len(&self) -> (u64, u64) {
        let held = (self.inner.known.len(), self.inner.refused.len());
        self.inner.meter.holds(|| held);
        held
    }

    /// Loads in flight now.
    pub(crate) fn loads(&self) -> usize {
        self.inner.flights.len()
    }
}

impl<K, V, N> Inner<K, V, N>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    N: Clone + Send + Sync + 'static,
{
    /// Tells the metrics how many entries there are, as far as that costs nothing.
    fn tally(&self) {
        self.meter.holds(|| (self.known.len(), self.refused.len()));
    }

    fn drop_entries(&self, key: &K) {
        self.known.remove(key);
        self.refused.remove(key);
    }
}

impl<K, V, N> Forgets for Inner<K, V, N>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    N: Clone + Send + Sync + 'static,
{
    fn forget(&self, change: &Change) {
        // first no load begun before may store, then what is stored goes, then late arrivals start loads of their own
        self.generations.advance_all();
        if matches!(change, Change::All) {
            self.known.clear();
            self.refused.clear();
        } else {
            self.known.remove_if(|key, entry| (self.concerns)(change, key, Some(&entry.value)));
            self.refused.remove_if(|key, _| (self.concerns)(change, key, None));
        }
        self.flights.detach_all();
        self.tally();
    }
}

/// The entry, if it counts at this monotonic nanosecond.
fn live<T>(entry: Option<Entry<T>>, now: u64) -> Result<Entry<T>, Lacking> {
    match entry {
        Some(entry) if now < entry.ends => Ok(entry),
        Some(_) => Err(Lacking::Ended),
        None => Err(Lacking::Absent),
    }
}

/// Enters a lock even if a panic went through it: what it guards is whole between statements.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

impl<K, V, N> Clone for Facts<K, V, N> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<K, V, N> fmt::Debug for Facts<K, V, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Facts").field("name", &self.inner.settings.name).finish_non_exhaustive()
    }
}
