//! One load per key, whoever asks and whoever leaves.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex};
use tokio::sync::{Semaphore, watch};

use crate::cache::{Answer, lock};

/// The loads in flight for one sort of facts.
pub(super) struct Flights<K, V, N> {
    table: Arc<Table<K, V, N>>,
    slots: Arc<Semaphore>,
    most: usize,
}

type Table<K, V, N> = Mutex<Running<K, V, N>>;

struct Running<K, V, N> {
    flights: HashMap<K, (u64, Waiting<V, N>)>,
    next: u64,
    /// Loads that have not landed, those among them whose key was forgotten meanwhile.
    aloft: usize,
}

/// What became of a wish to know a key.
pub(super) enum Joined<K: Eq + Hash, V, N> {
    /// Nobody was asking: the caller must run the load and land it.
    Leader(Waiting<V, N>, Landing<K, V, N>),
    /// Somebody is asking already.
    Follower(Waiting<V, N>),
    /// Too many keys wait.
    Full,
    /// The dependency is left alone for now.
    Closed,
}

/// Waits for the answer of a load.
pub(super) struct Waiting<V, N>(watch::Receiver<Option<Answer<V, N>>>);

/// The running end of a load. Dropped without landing, everybody who waits hears that there is no answer.
pub(super) struct Landing<K: Eq + Hash, V, N> {
    table: Arc<Table<K, V, N>>,
    slots: Arc<Semaphore>,
    key: K,
    number: u64,
    tell: watch::Sender<Option<Answer<V, N>>>,
    aloft: bool,
}

impl<K: Clone + Eq + Hash, V: Clone, N: Clone> Flights<K, V, N> {
    /// At most `loads` run, and `waiting` more keys wait for a place.
    pub(super) fn new(loads: usize, waiting: usize) -> Self {
        let table = Arc::new(Mutex::new(Running { flights: HashMap::new(), next: 0, aloft: 0 }));
        Self { table, slots: Arc::new(Semaphore::new(loads)), most: loads.saturating_add(waiting) }
    }

    /// `may_ask` is put to the question only when a new load would start.
    pub(super) fn join(&self, key: &K, may_ask: impl FnOnce() -> bool) -> Joined<K, V, N> {
        let mut running = lock(&self.table);
        // a forgotten key frees no place: its load runs on
        let full = running.aloft >= self.most;
        let number = running.next;
        match running.flights.entry(key.clone()) {
            Entry::Occupied(flight) => Joined::Follower(flight.get().1.clone()),
            Entry::Vacant(_) if full => Joined::Full,
            Entry::Vacant(_) if !may_ask() => Joined::Closed,
            Entry::Vacant(place) => {
                let (tell, hear) = watch::channel(None);
                let waiting = Waiting(hear);
                place.insert((number, waiting.clone()));
                running.next = number.wrapping_add(1);
                running.aloft += 1;
                drop(running);
                let (table, slots) = (Arc::clone(&self.table), Arc::clone(&self.slots));
                let key = key.clone();
                let landing = Landing { table, slots, key, number, tell, aloft: true };
                Joined::Leader(waiting, landing)
            }
        }
    }

    /// Later arrivals start a load of their own; those who wait already still hear this one.
    pub(super) fn detach(&self, key: &K) {
        lock(&self.table).flights.remove(key);
    }

    pub(super) fn detach_all(&self) {
        lock(&self.table).flights.clear();
    }

    pub(super) fn len(&self) -> usize {
        lock(&self.table).aloft
    }
}

impl<V: Clone, N: Clone> Waiting<V, N> {
    /// The answer, or `None` if the load ended without one.
    pub(super) async fn answer(mut self) -> Option<Answer<V, N>> {
        let heard = self.0.wait_for(Option::is_some).await.ok()?;
        heard.clone()
    }
}

impl<V, N> Clone for Waiting<V, N> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Eq + Hash, V, N> Landing<K, V, N> {
    /// Runs `question` once a place is free.
    pub(super) fn with_a_slot<F: Future>(
        &self,
        question: F,
    ) -> impl Future<Output = F::Output> + use<K, V, N, F> {
        let slots = Arc::clone(&self.slots);
        async move {
            let _slot = slots.acquire_owned().await;
            question.await
        }
    }

    /// Ends the flight, then tells everybody who waits: whoever comes later asks anew.
    pub(super) fn land(mut self, answer: Answer<V, N>) {
        self.leave();
        self.tell.send_replace(Some(answer));
    }

    fn leave(&mut self) {
        if !std::mem::take(&mut self.aloft) {
            return;
        }
        let mut running = lock(&self.table);
        running.aloft = running.aloft.saturating_sub(1);
        if running.flights.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            running.flights.remove(&self.key);
        }
    }
}

impl<K: Eq + Hash, V, N> Drop for Landing<K, V, N> {
    fn drop(&mut self) {
        self.leave();
    }
}
