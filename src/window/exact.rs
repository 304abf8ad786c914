//! A log with one stamp per unit: no approximation, no false denial.
//!
//! 1. The newest stamp is kept in full; the others are its like modulo 2³², found by halving.
//! 2. Units that left are dropped by the next charge, never by a look or a denial.

use std::num::NonZeroU32;

use super::ring::Ring;
use super::{Limit, Verdict};

/// The stamps of one key's units, in one piece of memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Exact {
    /// The newest stamp in full; those in `stamps` are its like modulo 2³² and less than 24 days older.
    newest: u64,
    stamps: Ring,
}

impl Exact {
    /// Adds `cost` units, or as many as the limit has.
    pub(super) fn charge(&mut self, limit: &Limit, cost: NonZeroU32, now: u64) {
        let seen = self.see(limit, now);
        self.enter(limit, cost, now, seen);
    }

    /// Takes out at most `cost` units stamped `stamped`.
    pub(super) fn take_back(&mut self, cost: NonZeroU32, stamped: u64) {
        let Some(age) = self.newest.checked_sub(stamped) else { return };
        let is_it = |at: u32| self.older_by(at) == age;
        let Some(last) = (0..self.stamps.len()).rev().find(|at| is_it(*at)) else { return };
        let least = (last + 1).saturating_sub(cost.get());
        let first = (least..=last).rev().take_while(|at| is_it(*at)).last().unwrap_or(last);
        self.stamps.remove(first, last + 1 - first);
        match self.stamps.len().checked_sub(1) {
            Some(at) => {
                let older = self.older_by(at);
                self.newest = self.newest.saturating_sub(older);
            }
            None => self.stamps.clear(),
        }
    }

    /// One look for both: decides, and charges if there is room.
    #[inline]
    pub(super) fn admit(&mut self, limit: &Limit, cost: NonZeroU32, now: u64) -> Verdict {
        let seen = self.see(limit, now);
        let verdict = self.judge(limit, cost, seen);
        match verdict {
            Verdict::Admit { .. } => self.enter(limit, cost, now, seen),
            Verdict::Deny { .. } if now < self.newest => self.settle(now, seen),
            Verdict::Deny { .. } | Verdict::Never => {}
        }
        verdict
    }

    #[inline]
    pub(super) fn look(&self, limit: &Limit, cost: NonZeroU32, now: u64) -> Verdict {
        self.judge(limit, cost, self.see(limit, now))
    }

    /// Whether no unit counts at `now`.
    #[inline]
    pub(super) fn is_idle(&self, window_ms: u32, now: u64) -> bool {
        self.stamps.len() == 0 || now.saturating_sub(self.newest) >= u64::from(window_ms)
    }

    /// `now`, or the newest stamp if that is later.
    #[inline]
    pub(super) fn onward(&self, now: u64) -> u64 {
        self.newest().map_or(now, |newest| now.max(newest))
    }

    /// How many units count at `now`.
    pub(super) fn live(&self, window_ms: u32, now: u64) -> u32 {
        let since = now.saturating_sub(self.newest);
        self.stamps.len() - self.gone(u64::from(window_ms), since)
    }

    /// The newest stamp, `None` for a log without units.
    #[inline]
    pub(super) fn newest(&self) -> Option<u64> {
        (self.stamps.len() > 0).then_some(self.newest)
    }

    /// Bytes of memory behind the log.
    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        self.stamps.heap_bytes()
    }

    /// Finds which units count; a clock that went back counts as one that stood still.
    #[inline]
    fn see(&self, limit: &Limit, now: u64) -> Seen {
        let since = now.saturating_sub(self.newest);
        Seen { since, gone: self.gone(u64::from(limit.window_ms()), since) }
    }

    #[inline]
    fn judge(&self, limit: &Limit, cost: NonZeroU32, seen: Seen) -> Verdict {
        let (count, cost) = (limit.count().get(), cost.get());
        if cost > count {
            return Verdict::Never;
        }
        let live = self.stamps.len() - seen.gone;
        let left = |at| {
            let age = seen.since.saturating_add(self.older_by(at));
            limit.window_ms().saturating_sub(u32::try_from(age).unwrap_or(u32::MAX))
        };
        match count.saturating_sub(live).checked_sub(cost) {
            Some(remaining) if live == 0 => {
                Verdict::Admit { remaining, reset_ms: limit.window_ms() }
            }
            Some(remaining) => Verdict::Admit { remaining, reset_ms: left(seen.gone) },
            None => {
                // live + cost - count units have to leave first; cost <= count, so there are as many
                let last = (live - (count - cost)).saturating_sub(1);
                let remaining = count.saturating_sub(live);
                Verdict::Deny { remaining, retry_after_ms: left(seen.gone + last) }
            }
        }
    }

    fn enter(&mut self, limit: &Limit, cost: NonZeroU32, now: u64, seen: Seen) {
        self.settle(now, seen);
        let count = limit.count().get();
        self.stamps.push(low_half(now), cost.get().min(count), count);
        self.newest = now;
    }

    /// Drops the units that no longer count; if the clock went back, moves the others to `now`.
    fn settle(&mut self, now: u64, seen: Seen) {
        if seen.gone == self.stamps.len() {
            self.stamps.clear();
        } else if seen.gone > 0 {
            self.stamps.drop_oldest(seen.gone);
        }
        if let Some(over) = self.newest.checked_sub(now).filter(|over| *over > 0) {
            self.stamps.shift_back(low_half(over));
            self.newest = now;
        }
    }

    /// How many units, oldest first, have left a window when the newest is `since` ms old.
    #[inline]
    fn gone(&self, window_ms: u64, since: u64) -> u32 {
        let len = self.stamps.len();
        let has_left = |at| since.saturating_add(self.older_by(at)) >= window_ms;
        if since >= window_ms {
            return len;
        }
        // usually none or one: look from the front in growing steps, then halve the last step
        let (mut low, mut high) = (0, 0);
        while high < len && has_left(high) {
            low = high + 1;
            high = high.saturating_mul(2) + 1;
        }
        high = high.min(len);
        while low < high {
            let middle = low.midpoint(high);
            if has_left(middle) { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// How much older than the newest the unit at place `at` is, in ms.
    #[inline]
    fn older_by(&self, at: u32) -> u64 {
        let newest = low_half(self.newest);
        self.stamps.get(at).map_or(0, |stamp| newest.wrapping_sub(stamp).into())
    }
}

/// What one look at the log found.
#[derive(Clone, Copy)]
struct Seen {
    /// How old the newest unit is, in ms.
    since: u64,
    /// Units at the front that no longer count.
    gone: u32,
}

pub(super) fn low_half(ms: u64) -> u32 {
    (ms & 0xffff_ffff) as u32
}
