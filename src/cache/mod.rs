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
mod question;

pub(crate) use self::question::{Answer, Question, Source, Trouble};

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::breaker::{Breaker, Turn};
use crate::cache::bounded::Bounded;
use crate::cache::flight::Flights;
use crate::cache::generations::Generations;
use crate::chance::Chance;
use crate::clock::{Clock, Moment};
use crate::id::{AccountId, AppId, WorkspaceId};
use crate::metrics::{BreakerState, CacheMeter, Lacking, LoadEnd, LoadMeter};
use crate::rejection::Reason;
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

    /// Joins the load of this key, or starts it: then `ask` makes the future that a task of its own runs.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the load running; its answer enters the cache all the same.
    pub(crate) async fn load<F>(
        &self,
        key: K,
        now: Moment,
        ask: impl FnOnce(K) -> F,
    ) -> Answer<V, N>
    where
        F: Future<Output = Answer<V, N>> + Send + 'static,
    {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            tracing::error!(
                cache = self.inner.settings.name,
                "a fact must be loaded off a tokio runtime; run the service on one"
            );
            return Err(Trouble::of(Reason::StoreError));
        };
        // a load that landed since the caller looked has left its answer, and is not put again
        let mut landed = Known::Unknown;
        let meter = &self.inner.meter;
        meter.missed(|| {
            let alive = now.monotonic_nanos();
            let known = live(self.inner.known.get(&key), alive).err();
            let refused = live(self.inner.refused.get(&key), alive).err();
            (known.unwrap_or(Lacking::Absent), refused.unwrap_or(Lacking::Absent))
        });
        let mut probes = false;
        let joined = self.inner.flights.join(&key, || {
            landed = self.known(&key, now);
            let chance = self.inner.chance.next();
            if !matches!(landed, Known::Unknown) {
                return false;
            }
            let mut breaker = lock(&self.inner.breaker);
            let allowed = breaker.allow(now.monotonic_nanos(), chance);
            probes = allowed && breaker.is_open();
            allowed
        });
        match landed {
            Known::Yes(value, _) => return Ok(Ok(value)),
            Known::No(no) => return Ok(Err(no)),
            Known::Unknown => {}
        }
        if probes {
            meter.breaker(BreakerState::HalfOpen);
        }
        let waiting = match joined {
            flight::Joined::Follower(waiting) => waiting,
            flight::Joined::Full => {
                meter.overloaded();
                return Err(Trouble::of(Reason::Overload));
            }
            flight::Joined::Closed => return Err(Trouble::of(Reason::StoreError)),
            flight::Joined::Leader(waiting, landing) => {
                let question = ask(key.clone());
                let load = meter.begin(|| self.inner.clock.now().monotonic_nanos());
                runtime.spawn(run(Arc::clone(&self.inner), key, question, landing, load));
                waiting
            }
        };
        waiting.answer().await.unwrap_or_else(|| Err(Trouble::of(Reason::StoreError)))
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

    /// Drops the remembered "no" of a key that was just made good, and the one that a load in flight may bring.
    pub(crate) fn drop_refusal(&self, key: &K) {
        self.forget_key(key);
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

/// One load, from its place in the queue to its answer.
async fn run<K, V, N, F>(
    inner: Arc<Inner<K, V, N>>,
    key: K,
    question: F,
    landing: flight::Landing<K, V, N>,
    load: LoadMeter,
) where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    N: Clone + Send + Sync + 'static,
    F: Future<Output = Answer<V, N>> + Send + 'static,
{
    let generation = inner.generations.of(&key);
    // a task of its own, so that a panic in a store's code is an answer and not the end of this one
    let asked = tokio::spawn(landing.with_a_slot(question));
    let stop = asked.abort_handle();
    let answer = match tokio::time::timeout(inner.settings.deadline, asked).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_panicked_or_stopped)) => Err(Trouble::of(Reason::StoreError)),
        Err(_over) => {
            stop.abort();
            Err(Trouble::of(Reason::Deadline))
        }
    };
    inner.report(&answer);
    inner.meter.end(load, end_of(&answer), || inner.clock.now().monotonic_nanos());
    let answer = inner.store(&key, generation, answer);
    inner.tally();
    landing.land(answer);
}

impl<K, V, N> Inner<K, V, N>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    N: Clone + Send + Sync + 'static,
{
    /// Keeps an answer, unless its key was forgotten since the load began; gives back what the waiting ones hear.
    fn store(&self, key: &K, generation: u64, answer: Answer<V, N>) -> Answer<V, N> {
        let verdict = answer?;
        let now = self.clock.now().monotonic_nanos();
        let ttl = nanos(self.settings.ttl);
        let jitter = ttl / 1_000 * (self.settings.jitter * self.chance.next() / 1_000);
        self.generations.unless_advanced(key, generation, |current| {
            let grave = lock(&self.tombstones).get(key).filter(|grave| now < grave.ends).cloned();
            match (grave, verdict) {
                (Some(grave), Ok(_)) => Ok(Err(grave.value)),
                (None, Ok(value)) => {
                    let ends = now.saturating_add(ttl - jitter);
                    if current && ttl > 0 {
                        self.refused.remove(key);
                        self.known.insert(key.clone(), Entry { value: value.clone(), ends });
                    }
                    Ok(Ok(value))
                }
                (_, Err(no)) => {
                    let ends = now.saturating_add(nanos(self.settings.negative_ttl));
                    if current && ends > now {
                        self.known.remove(key);
                        self.refused.insert(key.clone(), Entry { value: no.clone(), ends });
                    }
                    Ok(Err(no))
                }
            }
        })
    }

    /// Tells the metrics how many entries there are, as far as that costs nothing.
    fn tally(&self) {
        self.meter.holds(|| (self.known.len(), self.refused.len()));
    }

    /// Tells the breaker, and the log when an outage begins or ends.
    fn report(&self, answer: &Answer<V, N>) {
        let now = self.clock.now().monotonic_nanos();
        let mut probed_in_vain = false;
        let turn = match answer {
            Err(Trouble { reason: Reason::StoreError | Reason::Deadline, .. }) => {
                let chance = self.chance.next();
                let mut breaker = lock(&self.breaker);
                probed_in_vain = breaker.is_open();
                breaker.failed(now, chance)
            }
            // one unreadable row says nothing about the store
            Err(_) => Turn::Same,
            Ok(_) => lock(&self.breaker).succeeded(),
        };
        let cache = self.settings.name;
        match turn {
            Turn::Opened => {
                self.meter.breaker(BreakerState::Open);
                tracing::warn!(cache, "store is out; requests that need it get 503");
            }
            Turn::Closed => {
                self.meter.breaker(BreakerState::Closed);
                tracing::warn!(cache, "store answers again");
            }
            Turn::Same if probed_in_vain => self.meter.breaker(BreakerState::Open),
            Turn::Same => {}
        }
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

fn end_of<V, N>(answer: &Answer<V, N>) -> LoadEnd {
    match answer {
        Ok(Ok(_)) => LoadEnd::Found,
        Ok(Err(_)) => LoadEnd::None,
        Err(Trouble { reason: Reason::Deadline, .. }) => LoadEnd::Late,
        Err(_) => LoadEnd::Failed,
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
