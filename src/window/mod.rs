//! How many units does one key have left, and when does the next come free?
//!
//! 1. An exact log has one stamp per admitted unit: no approximation, no false denial.
//! 2. A rounded one has at most 129 pairs of stamp and count: never a unit too many, each at most `⌈W / 128⌉ - 1` ms late.
//! 3. A unit stamped `s` counts from `s` to `s + W - 1` and is free at exactly `s + W`.
//! 4. A denial adds nothing. Only a clock that went back moves a log, and then moves it whole.
//! 5. Pure: takes `now` in whole milliseconds, reads no clock, does no I/O, cannot overflow.

mod exact;
mod limit;
mod ring;
mod rounded;
#[cfg(test)]
pub(crate) mod vectors;

use std::num::NonZeroU32;

pub use limit::{Limit, LimitError};

use exact::Exact;
use rounded::Rounded;

/// What a [`Window`] says to one request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use = "a verdict that nobody reads limits nothing"]
#[non_exhaustive]
pub enum Verdict {
    /// There is room.
    Admit {
        /// Units left after this request.
        remaining: u32,
        /// Milliseconds until the oldest unit that counts after this request comes free, 1 to the window; of a
        /// rounded log up to a 128th of the window more.
        reset_ms: u32,
    },
    /// There is no room now.
    Deny {
        /// Units left; above 0 only for a cost above 1.
        remaining: u32,
        /// The least wait in milliseconds, 1 to the window, after which the same cost fits if nobody else comes; of a
        /// rounded log up to a 128th of the window more.
        retry_after_ms: u32,
    },
    /// The cost is above the limit: no wait helps.
    Never,
}

/// The log of one key under one policy: the stamps of its admitted units, [exact](Self::new) or
/// [rounded](Self::rounded).
///
/// Neither count nor window is part of it; each call brings its own [`Limit`], so a changed limit holds at once.
/// Lowering it is exact; a longer window is exact after one new window, as units that had left stay gone. A rounded log
/// whose window grows shorter is moved like one whose clock went back, by less than a 128th of the longer window.
#[derive(Clone, Debug)]
pub struct Window {
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Exact(Exact),
    /// In a box, so that exact logs stay small.
    Rounded(Box<Rounded>),
}

impl Window {
    /// Makes an empty exact log: 4 bytes a unit. No memory is taken before the first charge.
    pub fn new() -> Self {
        Self { form: Form::Exact(Exact::default()) }
    }

    /// Makes an empty rounded log, for limits whose counts are large: at most 129 pairs of 8 bytes, whatever the count.
    ///
    /// Stamps are rounded up to a multiple of `q = ⌈W / 128⌉` ms. So there is never a unit too many in any window, and
    /// each comes back at most `q - 1` ms late; the waits it tells are true for itself.
    pub fn rounded() -> Self {
        Self { form: Form::Rounded(Box::default()) }
    }

    /// Charges `cost` units at `now`, once [`look`](Self::look) admitted them at the same `now`.
    ///
    /// A cost above the limit is charged as the limit.
    pub fn charge(&mut self, limit: &Limit, cost: NonZeroU32, now: u64) {
        match &mut self.form {
            Form::Exact(log) => log.charge(limit, cost, now),
            Form::Rounded(log) => log.charge(limit, cost, now),
        }
    }

    /// Takes back at most `cost` units that were charged at `stamped`: our own reservation, never another's time.
    ///
    /// Of a rounded log, those that share the stamp which `stamped` was rounded to.
    pub fn take_back(&mut self, cost: NonZeroU32, stamped: u64) {
        match &mut self.form {
            Form::Exact(log) => log.take_back(cost, stamped),
            Form::Rounded(log) => log.take_back(cost, stamped),
        }
    }

    /// Decides, and charges if there is room: [`look`](Self::look), then [`charge`](Self::charge).
    ///
    /// A denial changes nothing, unless the clock went back: then the log moves with it, as if no time had passed.
    #[inline]
    pub fn admit(&mut self, limit: &Limit, cost: NonZeroU32, now: u64) -> Verdict {
        match &mut self.form {
            Form::Exact(log) => log.admit(limit, cost, now),
            Form::Rounded(log) => log.admit(limit, cost, now),
        }
    }

    /// Decides on `cost` units at `now`, milliseconds on a clock of the caller's; changes nothing.
    #[inline]
    pub fn look(&self, limit: &Limit, cost: NonZeroU32, now: u64) -> Verdict {
        match &self.form {
            Form::Exact(log) => log.look(limit, cost, now),
            Form::Rounded(log) => log.look(limit, cost, now),
        }
    }

    /// Whether no unit counts at `now`: such a log is equal to an absent one.
    pub fn is_empty_at(&self, limit: &Limit, now: u64) -> bool {
        self.is_idle(limit.window_ms(), now)
    }

    /// [`charge`](Self::charge) where threads arrive out of order: no earlier than the last charge, and no log moves.
    pub(crate) fn charge_onward(&mut self, limit: &Limit, cost: NonZeroU32, now: u64) {
        match &mut self.form {
            Form::Exact(log) => log.charge(limit, cost, log.onward(now)),
            Form::Rounded(log) => log.charge_onward(limit, cost, now),
        }
    }

    /// [`admit`](Self::admit) where threads arrive out of order: no earlier than the last charge, and no log moves.
    ///
    /// Says which time it was.
    #[inline]
    pub(crate) fn admit_onward(
        &mut self,
        limit: &Limit,
        cost: NonZeroU32,
        now: u64,
    ) -> (Verdict, u64) {
        match &mut self.form {
            Form::Exact(log) => {
                let now = log.onward(now);
                (log.admit(limit, cost, now), now)
            }
            Form::Rounded(log) => log.admit_onward(limit, cost, now),
        }
    }

    /// [`look`](Self::look) where threads arrive out of order: no earlier than the last charge. Says which time it was.
    #[inline]
    pub(crate) fn look_onward(&self, limit: &Limit, cost: NonZeroU32, now: u64) -> (Verdict, u64) {
        match &self.form {
            Form::Exact(log) => {
                let now = log.onward(now);
                (log.look(limit, cost, now), now)
            }
            Form::Rounded(log) => log.look_onward(limit, cost, now),
        }
    }

    /// [`is_empty_at`](Self::is_empty_at) where only the window is known.
    #[inline]
    pub(crate) fn is_idle(&self, window_ms: u32, now: u64) -> bool {
        match &self.form {
            Form::Exact(log) => log.is_idle(window_ms, now),
            Form::Rounded(log) => log.is_idle(window_ms, now),
        }
    }

    /// How many units count at `now`.
    pub(crate) fn live(&self, window_ms: u32, now: u64) -> u32 {
        match &self.form {
            Form::Exact(log) => log.live(window_ms, now),
            Form::Rounded(log) => log.live(window_ms, now),
        }
    }

    /// The newest stamp, `None` for a log without units.
    pub(crate) fn newest(&self) -> Option<u64> {
        match &self.form {
            Form::Exact(log) => log.newest(),
            Form::Rounded(log) => log.newest(),
        }
    }

    /// How many pairs a rounded log has.
    #[cfg(test)]
    fn pairs(&self) -> usize {
        match &self.form {
            Form::Exact(_) => 0,
            Form::Rounded(log) => log.pairs(),
        }
    }

    /// Bytes of memory behind the log.
    #[cfg(test)]
    pub(crate) fn heap_bytes(&self) -> usize {
        match &self.form {
            Form::Exact(log) => log.heap_bytes(),
            Form::Rounded(log) => log.heap_bytes(),
        }
    }
}

impl Default for Window {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
