//! Which part of a pause is left out? Small numbers that nobody outside can foresee: for jitter, never for secrets.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// Draws one number after the other.
#[derive(Debug, Default)]
pub(crate) struct Chance {
    seed: RandomState,
    drawn: AtomicU64,
}

impl Chance {
    /// 0 to 1,000.
    pub(crate) fn next(&self) -> u64 {
        self.seed.hash_one(self.drawn.fetch_add(1, Ordering::Relaxed)) % 1_001
    }
}
