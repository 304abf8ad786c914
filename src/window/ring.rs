//! The stamps of one log, oldest first, in as little memory as they need.
//!
//! 1. Grows 4, 8, 16 … up to the limit; a clear gives the memory back.
//! 2. Knows nothing of time: ages are the window's business.

/// A queue of 32-bit stamps: 24 bytes and one allocation.
#[derive(Clone, Debug, Default)]
pub(super) struct Ring {
    cells: Box<[u32]>,
    head: u32,
    len: u32,
}

impl Ring {
    /// Forgets all stamps; more than the smallest piece of memory is given back.
    pub(super) fn clear(&mut self) {
        if self.cells.len() > SMALLEST as usize {
            self.cells = Box::default();
        }
        self.head = 0;
        self.len = 0;
    }

    /// Forgets the `n` oldest stamps.
    pub(super) fn drop_oldest(&mut self, n: u32) {
        let n = n.min(self.len);
        self.len -= n;
        self.head = u32::try_from(self.cell(n)).unwrap_or(0);
    }

    /// Adds `stamp` `n` times at the newest end; memory grows by doubling, up to `most` stamps if they fit.
    pub(super) fn push(&mut self, stamp: u32, n: u32, most: u32) {
        let need = self.len.saturating_add(n);
        if need as usize > self.cells.len() {
            self.grow(need, most);
        }
        for i in self.len..need {
            let at = self.cell(i);
            if let Some(cell) = self.cells.get_mut(at) {
                *cell = stamp;
            }
        }
        self.len = need;
    }

    /// Takes `difference` off every stamp, modulo 2³².
    pub(super) fn shift_back(&mut self, difference: u32) {
        for cell in &mut self.cells {
            *cell = cell.wrapping_sub(difference);
        }
    }

    /// Takes out the `n` stamps from place `at` on, 0 being the oldest.
    pub(super) fn remove(&mut self, at: u32, n: u32) {
        let n = n.min(self.len.saturating_sub(at));
        for i in at..self.len - n {
            if let Some(stamp) = self.get(i + n) {
                let cell = self.cell(i);
                self.cells[cell] = stamp;
            }
        }
        self.len -= n;
    }

    /// The stamp at place `at`, 0 being the oldest.
    #[inline]
    pub(super) fn get(&self, at: u32) -> Option<u32> {
        if at < self.len { self.cells.get(self.cell(at)).copied() } else { None }
    }

    #[inline]
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// Bytes behind the pointer.
    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.cells)
    }

    /// Where the stamp at place `at` lies: one subtraction, as head and place are below the capacity.
    #[inline]
    fn cell(&self, at: u32) -> usize {
        let cell = self.head as usize + at as usize;
        if cell < self.cells.len() { cell } else { cell - self.cells.len() }
    }

    #[cold]
    fn grow(&mut self, need: u32, most: u32) {
        let doubled = (self.cells.len().saturating_mul(2)).max(SMALLEST as usize);
        let capacity = doubled
            .max(need.checked_next_power_of_two().unwrap_or(need) as usize)
            .min(most.max(need) as usize);
        let mut cells = Vec::with_capacity(capacity);
        cells.extend((0..self.len).filter_map(|at| self.get(at)));
        cells.resize(capacity, 0);
        self.cells = cells.into_boxed_slice();
        self.head = 0;
    }
}

const SMALLEST: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn growth() {
        for (name, most, want) in [
            ("L405 up to the limit", 60, [4, 8, 8, 16, 32, 60]),
            ("L405 a small limit", 3, [3, 5, 8, 9, 17, 33]),
            ("L405 a power of two", 64, [4, 8, 8, 16, 32, 64]),
        ] {
            let got = [1, 5, 8, 9, 17, 33].map(|n| {
                let mut ring = Ring::default();
                (0..n).for_each(|stamp| ring.push(stamp, 1, most));
                ring.heap_bytes() / 4
            });
            assert_eq!(got, want, "{name}");
        }
    }

    #[test]
    fn memory_is_given_back() {
        let mut ring = Ring::default();
        ring.push(7, 60, 60);
        ring.clear();
        assert_eq!((ring.len(), ring.heap_bytes()), (0, 0), "L405");
    }

    #[derive(Clone, Debug)]
    enum Call {
        Push(u32, u32),
        DropOldest(u32),
        Remove(u32, u32),
        Clear,
    }

    fn call() -> impl Strategy<Value = Call> {
        prop_oneof![
            4 => (any::<u32>(), 1..9u32).prop_map(|(stamp, n)| Call::Push(stamp, n)),
            3 => (0..12u32).prop_map(Call::DropOldest),
            1 => (0..20u32, 0..5u32).prop_map(|(at, n)| Call::Remove(at, n)),
            1 => Just(Call::Clear),
        ]
    }

    proptest! {
        #[test]
        fn equals_a_queue(calls in prop::collection::vec(call(), 1..60), most in 1..40u32) {
            let (mut ring, mut queue) = (Ring::default(), Vec::new());
            for call in calls {
                match call {
                    Call::Push(stamp, n) => {
                        ring.push(stamp, n, most);
                        queue.extend((0..n).map(|_| stamp));
                    }
                    Call::DropOldest(n) => {
                        ring.drop_oldest(n);
                        queue.drain(..(n as usize).min(queue.len()));
                    }
                    Call::Remove(at, n) => {
                        ring.remove(at, n);
                        let from = (at as usize).min(queue.len());
                        queue.drain(from..(from + n as usize).min(queue.len()));
                    }
                    Call::Clear => {
                        ring.clear();
                        queue.clear();
                    }
                }
                let got: Vec<u32> = (0..ring.len()).filter_map(|at| ring.get(at)).collect();
                prop_assert_eq!(&got, &queue);
            }
        }
    }
}
