//! How many units does one key have left, and when does the next come free?
//!
//! 1. A log of stamps, one per admitted unit: exact, no approximation, no false denial.
//! 2. A unit stamped `s` counts from `s` to `s + W - 1` and is free at exactly `s + W`.
//! 3. A denial adds nothing. Only a clock that went back moves a log, and then moves it whole.
//! 4. Pure: takes `now` in whole milliseconds, reads no clock, does no I/O, cannot overflow.

mod exact;
mod limit;
mod ring;
#[cfg(test)]
pub(crate) mod vectors;

use std::num::NonZeroU32;

pub use limit::{Limit, LimitError};

use exact::Exact;

/// What a [`Window`] says to one request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use = "a verdict that nobody reads limits nothing"]
#[non_exhaustive]
pub enum Verdict {
    /// There is room.
    Admit {
        /// Units left after this request.
        remaining: u32,
        /// Milliseconds until the oldest unit that counts after this request comes free, 1 to the window.
        reset_ms: u32,
    },
    /// There is no room now.
    Deny {
        /// Units left; above 0 only for a cost above 1.
        remaining: u32,
        /// The least wait in milliseconds, 1 to the window, after which the same cost fits if nobody else comes.
        retry_after_ms: u32,
    },
    /// The cost is above the limit: no wait helps.
    Never,
}

/// The log of one key under one policy: the stamps of its admitted units.
///
/// Neither count nor window is part of it; each call brings its own [`Limit`], so a changed limit holds at once.
/// Lowering it is exact; a longer window is exact after one new window, as units that had left stay gone.
#[derive(Clone, Debug, Default)]
pub struct Window {
    log: Exact,
}

impl Window {
    /// Makes an empty log; no memory is taken before the first charge.
    pub fn new() -> Self {
        Self::default()
    }

    /// Charges `cost` units at `now`, once [`look`](Self::look) admitted them at the same `now`.
    ///
    /// A cost above the limit is charged as the limit.
    pub fn charge(&mut self, limit: &Limit, cost: NonZeroU32, now: u64) {
        self.log.charge(limit, cost, now);
    }

    /// Takes back at most `cost` units that were charged at `stamped`: our own reservation, never another's time.
    pub fn take_back(&mut self, cost: NonZeroU32, stamped: u64) {
        self.log.take_back(cost, stamped);
    }

    /// Decides, and charges if there is room: [`look`](Self::look), then [`charge`](Self::charge).
    ///
    /// A denial changes nothing, unless the clock went back: then the log moves with it, as if no time had passed.
    #[inline]
    pub fn admit(&mut self, limit: &Limit, cost: NonZeroU32, now: u64) -> Verdict {
        self.log.admit(limit, cost, now)
    }

    /// Decides on `cost` units at `now`, milliseconds on a clock of the caller's; changes nothing.
    #[inline]
    pub fn look(&self, limit: &Limit, cost: NonZeroU32, now: u64) -> Verdict {
        self.log.look(limit, cost, now)
    }

    /// Whether no unit counts at `now`: such a log is equal to an absent one.
    pub fn is_empty_at(&self, limit: &Limit, now: u64) -> bool {
        self.is_idle(limit.window_ms(), now)
    }

    /// [`is_empty_at`](Self::is_empty_at) where only the window is known.
    #[inline]
    pub(crate) fn is_idle(&self, window_ms: u32, now: u64) -> bool {
        self.log.is_idle(window_ms, now)
    }

    /// How many units count at `now`.
    pub(crate) fn live(&self, window_ms: u32, now: u64) -> u32 {
        self.log.live(window_ms, now)
    }

    /// The newest stamp, `None` for a log without units.
    #[inline]
    pub(crate) fn newest(&self) -> Option<u64> {
        self.log.newest()
    }

    /// Bytes of memory behind the log.
    #[cfg(test)]
    pub(crate) fn heap_bytes(&self) -> usize {
        self.log.heap_bytes()
    }
}

#[cfg(test)]
mod tests;
