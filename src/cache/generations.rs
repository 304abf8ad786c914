//! Has this key been forgotten since?
//!
//! 1,024 counters, chosen by key. A load notes its counter before it asks; what it brings is stored under the counter's lock
//! and only if the counter has not moved. Two keys that share a counter cost a load its entry, never a wrong one.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Mutex;

use crate::cache::lock;

const COUNTERS: usize = 1_024;

pub(super) struct Generations {
    counters: Box<[Mutex<u64>]>,
    hasher: RandomState,
}

impl Generations {
    pub(super) fn new() -> Self {
        let counters = (0..COUNTERS).map(|_| Mutex::new(0)).collect();
        Self { counters, hasher: RandomState::new() }
    }

    pub(super) fn of<K: Hash>(&self, key: &K) -> u64 {
        *lock(self.counter(key))
    }

    /// Moves the key's counter on, and runs `then` before anybody else may store under it.
    pub(super) fn advance<K: Hash>(&self, key: &K, then: impl FnOnce()) {
        let mut counter = lock(self.counter(key));
        *counter = counter.wrapping_add(1);
        then();
    }

    pub(super) fn advance_all(&self) {
        for counter in &self.counters {
            let mut counter = lock(counter);
            *counter = counter.wrapping_add(1);
        }
    }

    /// Runs `store` under the key's lock; it is told whether the counter still stands where it did.
    pub(super) fn unless_advanced<K: Hash, T>(
        &self,
        key: &K,
        noted: u64,
        store: impl FnOnce(bool) -> T,
    ) -> T {
        let counter = lock(self.counter(key));
        store(*counter == noted)
    }

    fn counter<K: Hash>(&self, key: &K) -> &Mutex<u64> {
        let at = self.hasher.hash_one(key) % 1_024;
        let at = usize::try_from(at).unwrap_or_default();
        self.counters.get(at).expect("1,024 counters and a remainder below 1,024")
    }
}
