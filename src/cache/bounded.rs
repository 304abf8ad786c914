//! A bounded concurrent map: the only file that knows moka.
//!
//! Plain `get`, `insert` and `remove` alone: moka's own loads outlive a revocation, its clock cannot be moved by a test,
//! and its time to live costs a clock read per hit, where the capacity bounds memory already.

use moka::sync::Cache;
use std::hash::Hash;

/// Holds at most a set number of entries; what is used least goes first (TinyLFU, so a flood of new keys stays out).
pub(super) struct Bounded<K, T> {
    map: Cache<K, T>,
}

impl<K, T> Bounded<K, T>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
{
    pub(super) fn new(capacity: u64) -> Self {
        Self { map: Cache::builder().max_capacity(capacity).build() }
    }

    pub(super) fn get(&self, key: &K) -> Option<T> {
        self.map.get(key)
    }

    pub(super) fn insert(&self, key: K, value: T) {
        self.map.insert(key, value);
    }

    pub(super) fn remove(&self, key: &K) {
        self.map.invalidate(key);
    }

    /// Drops every entry that `drops` names, whole or not at all per entry.
    pub(super) fn remove_if(&self, drops: impl Fn(&K, &T) -> bool) {
        for (key, value) in &self.map {
            if drops(&key, &value) {
                self.map.invalidate(&*key);
            }
        }
    }

    /// Drops every entry now, rather than marking them as old: a mark is a time, and loads in flight could tie with it.
    pub(super) fn clear(&self) {
        self.remove_if(|_, _| true);
    }

    pub(super) fn len(&self) -> u64 {
        self.map.run_pending_tasks();
        self.map.entry_count()
    }
}
