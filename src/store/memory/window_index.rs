//! Where in a shard does a key's log lie? A table of 8 bytes a place, open addressing.
//!
//! 1. A place holds 32 bits of the key's hash and the number of a log: a miss rarely looks at a log.
//! 2. Linear probing, at most three quarters full; removal moves followers up, so nothing is ever marked dead.

/// From 32 bits of a hash to the number of a log.
#[derive(Debug, Default)]
pub(super) struct Index {
    cells: Box<[u64]>,
    used: usize,
}

impl Index {
    /// The log under `hash` for which `is_it` holds.
    #[inline]
    pub(super) fn find(&self, hash: u32, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        let mut at = self.home(hash);
        loop {
            let cell = *self.cells.get(at)?;
            if cell == EMPTY {
                return None;
            }
            if hash_of(cell) == hash && is_it(number_of(cell)) {
                return Some(number_of(cell));
            }
            at = self.next(at);
        }
    }

    /// Adds log `number` under `hash`; the caller knows that it is not there.
    pub(super) fn insert(&mut self, hash: u32, number: usize) {
        if (self.used + 1) * 4 > self.cells.len() * 3 {
            self.resize((self.cells.len() * 2).max(SMALLEST));
        }
        self.put(cell(hash, number));
        self.used += 1;
    }

    /// Takes out log `number`.
    pub(super) fn remove(&mut self, hash: u32, number: usize) {
        let Some(mut hole) = self.place(cell(hash, number)) else { return };
        self.used -= 1;
        let mut at = hole;
        loop {
            at = self.next(at);
            let cell = self.cells[at];
            if cell == EMPTY {
                break;
            }
            // may move up into the hole unless its home lies behind it
            let (from_home, from_hole) =
                (self.distance(self.home(hash_of(cell)), at), self.distance(hole, at));
            if from_home >= from_hole {
                self.cells[hole] = cell;
                hole = at;
            }
        }
        self.cells[hole] = EMPTY;
    }

    /// Log `from` is now log `to`.
    pub(super) fn renumber(&mut self, hash: u32, from: usize, to: usize) {
        if let Some(at) = self.place(cell(hash, from)) {
            self.cells[at] = cell(hash, to);
        }
    }

    /// Gives back memory that the present number of logs does not need.
    pub(super) fn shrink(&mut self) {
        let mut least = if self.used == 0 { 0 } else { SMALLEST };
        while self.used * 4 > least * 3 {
            least *= 2;
        }
        if least < self.cells.len() {
            self.resize(least);
        }
    }

    /// Bytes of memory behind the table.
    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.cells)
    }

    fn resize(&mut self, len: usize) {
        let old = std::mem::replace(&mut self.cells, vec![EMPTY; len].into_boxed_slice());
        old.into_iter().filter(|cell| *cell != EMPTY).for_each(|cell| self.put(cell));
    }

    fn put(&mut self, cell: u64) {
        let mut at = self.home(hash_of(cell));
        while self.cells[at] != EMPTY {
            at = self.next(at);
        }
        self.cells[at] = cell;
    }

    /// Where exactly this cell lies.
    fn place(&self, wanted: u64) -> Option<usize> {
        let mut at = self.home(hash_of(wanted));
        loop {
            match *self.cells.get(at)? {
                EMPTY => return None,
                cell if cell == wanted => return Some(at),
                _ => at = self.next(at),
            }
        }
    }

    fn home(&self, hash: u32) -> usize {
        hash as usize & self.mask()
    }

    fn next(&self, at: usize) -> usize {
        (at + 1) & self.mask()
    }

    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & self.mask()
    }

    /// The length is a power of two, or nothing.
    fn mask(&self) -> usize {
        self.cells.len().saturating_sub(1)
    }
}

const SMALLEST: usize = 8;
const EMPTY: u64 = u64::MAX;

fn cell(hash: u32, number: usize) -> u64 {
    (u64::from(hash) << 32) | (number as u64 & 0xffff_ffff)
}

fn hash_of(cell: u64) -> u32 {
    (cell >> 32) as u32
}

fn number_of(cell: u64) -> usize {
    (cell & 0xffff_ffff) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        /// Hashes are drawn from a few values, so that runs of cells grow, meet and wrap.
        #[test]
        fn equals_a_map(calls in prop::collection::vec((0..24_u32, 0..3_u8), 1..200)) {
            let (mut index, mut map) = (Index::default(), HashMap::new());
            for (made, (key, call)) in calls.into_iter().enumerate() {
                let hash = if key % 3 == 0 { u32::MAX - key / 6 } else { key / 4 };
                let is_it = |map: &HashMap<u32, usize>, number| map.get(&key) == Some(&number);
                let there = index.find(hash, |number| is_it(&map, number));
                prop_assert_eq!(there, map.get(&key).copied());
                match (there, call) {
                    (None, _) => {
                        index.insert(hash, made);
                        map.insert(key, made);
                    }
                    (Some(number), 0) => {
                        index.renumber(hash, number, made);
                        map.insert(key, made);
                    }
                    (Some(number), 1) => {
                        index.remove(hash, number);
                        map.remove(&key);
                    }
                    (Some(_), _) => index.shrink(),
                }
                prop_assert_eq!(index.used, map.len());
            }
        }
    }

    #[test]
    fn memory_is_given_back() {
        let mut index = Index::default();
        (0..100).for_each(|number| index.insert(7, number));
        assert_eq!(index.heap_bytes(), 256 * 8);
        (0..95).for_each(|number| index.remove(7, number));
        index.shrink();
        assert_eq!(index.heap_bytes(), 8 * 8);
        (95..100).for_each(|number| index.remove(7, number));
        index.shrink();
        assert_eq!(index.heap_bytes(), 0);
    }
}
