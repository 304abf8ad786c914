//! A log whose stamps are rounded up: what it weighs hangs on the window alone, never on the count.
//!
//! 1. Quantum `q = ⌈W / 128⌉`, stamp `⌈t / q⌉ · q`: never early, so never a unit too many; at most `q - 1` ms late.
//! 2. Units with one stamp share a pair, of which one window holds at most 129.
//! 3. A stamp may lie ahead of its time; it counts at once.
//! 4. As in the exact log only a clock that went back moves stamps, and then all of them alike.

use std::num::NonZeroU32;

use super::exact::low_half;
use super::{Limit, Verdict};

/// Stamps and how many units each stands for, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Rounded {
    /// The newest stamp in full; those in `pairs` are its like modulo 2³² and less than 24 days older.
    newest: u64,
    /// The time of the last charge, which its stamp may be ahead of.
    charged_at: u64,
    /// The longest quantum since the log was last empty: how far ahead of its time a stamp may lie.
    quantum: u32,
    pairs: Vec<Pair>,
}

/// Units of one stamp.
#[derive(Clone, Copy, Debug)]
struct Pair {
    stamp: u32,
    units: u32,
}

/// A time, and the stamp that a unit gets there.
#[derive(Clone, Copy, Debug)]
struct When {
    now: u64,
    stamp: u64,
}

/// What one look at the log found.
#[derive(Clone, Copy)]
struct Seen {
    /// When the newest unit leaves, in ms from now; 0 if none counts.
    last: u64,
    /// Pairs at the front that no longer count.
    gone: usize,
    /// Units that count.
    live: u64,
}

impl Rounded {
    /// Adds `cost` units, or as many as the limit has.
    pub(super) fn charge(&mut self, limit: &Limit, cost: NonZeroU32, now: u64) {
        self.enter(limit, cost, When::of(limit, now));
    }

    /// As [`charge`](Self::charge), but no earlier than the last charge.
    pub(super) fn charge_onward(&mut self, limit: &Limit, cost: NonZeroU32, now: u64) {
        self.enter(limit, cost, self.onward(limit, now));
    }

    /// Takes out at most `cost` of the units that got their stamp at `charged_at`.
    pub(super) fn take_back(&mut self, cost: NonZeroU32, charged_at: u64) {
        let newest = self.newest;
        let ahead = |pair: &Pair| {
            let stamp = newest.saturating_sub(older(newest, pair));
            stamp.checked_sub(charged_at).filter(|ahead| *ahead < self.quantum.into())
        };
        let Some(at) = self.pairs.iter().position(|pair| ahead(pair).is_some()) else { return };
        let Some(pair) = self.pairs.get_mut(at) else { return };
        pair.units = pair.units.saturating_sub(cost.get());
        if pair.units == 0 {
            self.pairs.remove(at);
            match self.pairs.last() {
                Some(last) => self.newest = newest.saturating_sub(older(newest, last)),
                None => self.clear(),
            }
        }
    }

    /// Decides, and charges if there is room.
    pub(super) fn admit(&mut self, limit: &Limit, cost: NonZeroU32, now: u64) -> Verdict {
        self.admit_at(limit, cost, When::of(limit, now))
    }

    /// As [`admit`](Self::admit), but no earlier than the last charge; says which time it was.
    pub(super) fn admit_onward(
        &mut self,
        limit: &Limit,
        cost: NonZeroU32,
        now: u64,
    ) -> (Verdict, u64) {
        let when = self.onward(limit, now);
        (self.admit_at(limit, cost, when), when.now)
    }

    pub(super) fn look(&self, limit: &Limit, cost: NonZeroU32, now: u64) -> Verdict {
        let when = When::of(limit, now);
        self.judge(limit, cost, when, self.see(limit.window_ms(), when))
    }

    /// As [`look`](Self::look), but no earlier than the last charge; says which time it was.
    pub(super) fn look_onward(&self, limit: &Limit, cost: NonZeroU32, now: u64) -> (Verdict, u64) {
        let when = self.onward(limit, now);
        (self.judge(limit, cost, when, self.see(limit.window_ms(), when)), when.now)
    }

    /// Whether no unit counts at `now`.
    pub(super) fn is_idle(&self, window_ms: u32, now: u64) -> bool {
        self.pairs.is_empty() || now.saturating_sub(self.newest) >= u64::from(window_ms)
    }

    /// How many units count at `now`.
    pub(super) fn live(&self, window_ms: u32, now: u64) -> u32 {
        let live = self.see(window_ms, When { now, stamp: now.max(self.newest) }).live;
        u32::try_from(live).unwrap_or(u32::MAX)
    }

    /// The newest stamp, `None` for a log without units.
    pub(super) fn newest(&self) -> Option<u64> {
        (!self.pairs.is_empty()).then_some(self.newest)
    }

    /// Bytes of memory behind the log.
    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        size_of::<Self>() + self.pairs.capacity() * size_of::<Pair>()
    }

    /// How many pairs there are, counting or not.
    #[cfg(test)]
    pub(super) fn pairs(&self) -> usize {
        self.pairs.len()
    }

    /// A time that comes late counts as that of the last charge, and no stamp is older than the newest: so no log is
    /// moved here, not even where a window grew shorter and with it the quantum.
    fn onward(&self, limit: &Limit, now: u64) -> When {
        if self.pairs.is_empty() {
            return When::of(limit, now);
        }
        let When { now, stamp } = When::of(limit, now.max(self.charged_at));
        When { now, stamp: stamp.max(self.newest) }
    }

    /// Finds what counts; a clock that went back counts as one that stood still.
    fn see(&self, window_ms: u32, when: When) -> Seen {
        let newest = self.newest.min(when.stamp);
        let ends = u64::from(window_ms).saturating_add(newest.saturating_sub(when.now));
        let last = ends.saturating_sub(when.now.saturating_sub(newest));
        let has_left = |pair: &&Pair| older(self.newest, pair) >= last;
        let gone = self.pairs.iter().take_while(has_left).count();
        let counting = self.pairs.iter().skip(gone);
        Seen { last, gone, live: counting.map(|pair| u64::from(pair.units)).sum() }
    }

    fn judge(&self, limit: &Limit, cost: NonZeroU32, when: When, seen: Seen) -> Verdict {
        if cost > limit.count() {
            return Verdict::Never;
        }
        let (count, cost) = (u64::from(limit.count().get()), u64::from(cost.get()));
        let left = |pair: &Pair| ms(seen.last.saturating_sub(older(self.newest, pair)));
        let remaining = count.saturating_sub(seen.live);
        let mut counting = self.pairs.iter().skip(seen.gone);
        if let Some(remaining) = remaining.checked_sub(cost) {
            let fresh = u64::from(limit.window_ms()).saturating_add(when.stamp - when.now);
            let reset_ms = counting.next().map_or_else(|| ms(fresh), left);
            return Verdict::Admit { remaining: ms(remaining), reset_ms };
        }
        // so many units have to leave first; cost <= count, so there are as many
        let mut more = seen.live.saturating_sub(count - cost);
        let last = counting.find(|pair| {
            more = more.saturating_sub(pair.units.into());
            more == 0
        });
        Verdict::Deny { remaining: ms(remaining), retry_after_ms: last.map_or(1, left) }
    }

    fn admit_at(&mut self, limit: &Limit, cost: NonZeroU32, when: When) -> Verdict {
        let seen = self.see(limit.window_ms(), when);
        let verdict = self.judge(limit, cost, when, seen);
        match verdict {
            Verdict::Admit { .. } => self.enter(limit, cost, when),
            Verdict::Deny { .. } if when.stamp < self.newest => self.settle(seen.gone, when.stamp),
            Verdict::Deny { .. } | Verdict::Never => {}
        }
        verdict
    }

    fn enter(&mut self, limit: &Limit, cost: NonZeroU32, when: When) {
        self.settle(self.see(limit.window_ms(), when).gone, when.stamp);
        let (stamp, units) = (low_half(when.stamp), cost.min(limit.count()).get());
        match self.pairs.last_mut() {
            Some(last) if self.newest == when.stamp => {
                last.units = last.units.saturating_add(units);
            }
            Some(_) | None => {
                self.grow();
                self.pairs.push(Pair { stamp, units });
            }
        }
        self.newest = when.stamp;
        self.charged_at = when.now;
        self.quantum = self.quantum.max(limit.quantum_ms());
    }

    /// Drops the pairs that no longer count; if the clock went back, moves the others to `stamp`.
    fn settle(&mut self, gone: usize, stamp: u64) {
        if gone >= self.pairs.len() {
            self.clear();
            return;
        }
        self.pairs.drain(..gone);
        let over = self.newest.saturating_sub(stamp);
        if over > 0 {
            for pair in &mut self.pairs {
                pair.stamp = pair.stamp.wrapping_sub(low_half(over));
            }
            self.newest = stamp;
        }
    }

    /// Forgets all units; more than the smallest piece of memory is given back.
    fn clear(&mut self) {
        if self.pairs.capacity() > SMALLEST {
            self.pairs = Vec::new();
        }
        self.pairs.clear();
        self.quantum = 0;
    }

    /// Makes room for one pair: 4, 8, 16 … 128, then just a few more.
    fn grow(&mut self) {
        let len = self.pairs.len();
        if len == self.pairs.capacity() {
            self.pairs.reserve_exact(if len < MOST { len.max(SMALLEST) } else { SMALLEST });
        }
    }
}

impl When {
    fn of(limit: &Limit, now: u64) -> Self {
        let quantum = u64::from(limit.quantum_ms());
        let stamp = now.div_ceil(quantum).checked_mul(quantum);
        Self { now, stamp: stamp.unwrap_or(u64::MAX) }
    }
}

/// How much older than the newest a pair is, in ms.
fn older(newest: u64, pair: &Pair) -> u64 {
    low_half(newest).wrapping_sub(pair.stamp).into()
}

/// Counts are below 2³², and so are two windows and a quantum.
fn ms(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

const SMALLEST: usize = 4;
/// Pairs of one window but for the one that is half in it at either end.
const MOST: usize = 128;
