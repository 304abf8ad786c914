//! A bounded concurrent map: the only file that knows quick_cache.
//!
//! Plain `get`, `insert` and `remove` alone: loads are this crate's own, so that none outlives a revocation, and lives lie in the
//! entries, so that a test can move the clock. What is used least goes first, and keys that come once push nobody out.

use quick_cache::sync::Cache;
use std::hash::Hash;

/// Holds at most a set number of entries. Hashes with a key drawn at its making.
pub(super) struct Bounded<K, T> {
    map: Cache<K, T>,
}

impl<K, T> Bounded<K, T>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
{
    pub(super) fn new(capacity: u64) -> Self {
        Self { map: Cache::new(usize::try_from(capacity).unwrap_or(usize::MAX)) }
    }

    pub(super) fn get(&self, key: &K) -> Option<T> {
        self.map.get(key)
    }

    pub(super) fn insert(&self, key: K, value: T) {
        self.map.insert(key, value);
    }

    pub(super) fn remove(&self, key: &K) {
        self.map.remove(key);
    }

    /// Drops the entry of this key, if `drops` means what it holds.
    pub(super) fn remove_one_if(&self, key: &K, drops: impl FnOnce(&T) -> bool) {
        self.map.remove_if(key, drops);
    }

    /// Drops every entry that `drops` names.
    pub(super) fn remove_if(&self, drops: impl Fn(&K, &T) -> bool) {
        self.map.retain(|key, value| !drops(key, value));
    }

    pub(super) fn clear(&self) {
        self.remove_if(|_, _| true);
    }

    pub(super) fn len(&self) -> u64 {
        self.map.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_was_put_last_and_never_more_than_its_capacity() {
        for capacity in [1, 2, 3, 10, 1_000] {
            let map = Bounded::new(capacity);
            for n in 0..5_000_u64 {
                map.insert(n, n);
                assert_eq!(map.get(&n), Some(n), "P622 {n} of {capacity}");
                assert!(map.len() <= capacity, "P622 {} of {capacity}", map.len());
            }
        }
    }

    #[test]
    fn keys_that_come_once_push_out_nobody_who_is_used() {
        let map = Bounded::new(1_000);
        for n in 0..100_000_u64 {
            map.insert(1_000_000 + n, n);
            let hot = n % 100;
            if map.get(&hot).is_none() {
                assert!(n < 1_000, "XN37 hot key {hot} was gone at {n}");
                map.insert(hot, hot);
            }
        }
    }

    #[test]
    fn drops_what_is_named() {
        let map = Bounded::new(100);
        (0..50_u64).for_each(|n| map.insert(n, n));
        map.remove_if(|key, _| key % 2 == 0);
        assert_eq!((map.len(), map.get(&4), map.get(&5)), (25, None, Some(5)));
        map.clear();
        assert_eq!(map.len(), 0);
    }
}
