//! One load: joined or begun, asked under a deadline, kept if nobody forgot its key meanwhile.

use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;

use crate::breaker::Turn;
use crate::cache::flight::{Joined, Landing};
use crate::cache::{Answer, Entry, Facts, Inner, Known, Trouble, live, lock, nanos};
use crate::clock::Moment;
use crate::metrics::{BreakerState, Lacking, LoadEnd, LoadMeter};
use crate::rejection::Reason;

impl<K, V, N> Facts<K, V, N>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    N: Clone + Send + Sync + 'static,
{
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
            Joined::Follower(waiting) => waiting,
            Joined::Full => {
                meter.overloaded();
                return Err(Trouble::of(Reason::Overload));
            }
            Joined::Closed => return Err(Trouble::of(Reason::StoreError)),
            Joined::Leader(waiting, landing) => {
                let question = ask(key.clone());
                let load = meter.begin(|| self.inner.clock.now().monotonic_nanos());
                runtime.spawn(run(Arc::clone(&self.inner), key, question, landing, load));
                waiting
            }
        };
        waiting.answer().await.unwrap_or_else(|| Err(Trouble::of(Reason::StoreError)))
    }
}

/// One load, from its place in the queue to its answer.
async fn run<K, V, N, F>(
    inner: Arc<Inner<K, V, N>>,
    key: K,
    question: F,
    landing: Landing<K, V, N>,
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
        self.generations.unless_advanced(key, generation, |current| {
            let grave = lock(&self.tombstones).get(key).filter(|grave| now < grave.ends).cloned();
            match (grave, verdict) {
                (Some(grave), Ok(_)) => Ok(Err(grave.value)),
                (None, Ok(value)) => {
                    let ttl = nanos((self.life)(&value).unwrap_or(self.settings.ttl));
                    let jitter = ttl / 1_000 * (self.settings.jitter * self.chance.next() / 1_000);
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
}

fn end_of<V, N>(answer: &Answer<V, N>) -> LoadEnd {
    match answer {
        Ok(Ok(_)) => LoadEnd::Found,
        Ok(Err(_)) => LoadEnd::None,
        Err(Trouble { reason: Reason::Deadline, .. }) => LoadEnd::Late,
        Err(_) => LoadEnd::Failed,
    }
}
