//! One lock's worth of logs: found by key, freed when idle, bounded.
//!
//! 1. Logs lie densely in one vector, so "the next places" of a sweep are all taken ones.
//! 2. An idle log equals an absent one, so freeing it changes no decision, for late clock reads either.
//! 3. Of a full shard the log with the fewest live units goes first: a caller at its limit is the last.

use std::num::NonZeroU32;

use super::window_index::Index;
use crate::store::window::Standing;
use crate::window::{Limit, Verdict, Window};

/// A policy's salt, inverted for a rounded log, and the two halves of an id: three words, so that a compare stays in
/// registers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct SlotKey {
    pub(super) salt: u64,
    pub(super) high: u64,
    pub(super) low: u64,
}

/// A key, and the part of its hash that finds it inside its shard.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spot {
    pub(super) key: SlotKey,
    pub(super) hash: u32,
    pub(super) is_rounded: bool,
}

impl Spot {
    fn empty_log(&self) -> Window {
        if self.is_rounded { Window::rounded() } else { Window::new() }
    }
}

/// What a look at one log found; holds until the shard frees a log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) verdict: Verdict,
    /// The request's time, but not before the log's last charge.
    pub(super) now: u64,
    pub(super) found: Option<usize>,
}

impl Default for Look {
    fn default() -> Self {
        Self { verdict: Verdict::Never, now: 0, found: None }
    }
}

/// The logs behind one lock.
#[derive(Debug, Default)]
pub(super) struct Shard {
    index: Index,
    slots: Vec<Slot>,
    /// Where the next sweep goes on.
    hand: usize,
    /// The latest time at which an idle log was freed: a request that comes late counts as one made then.
    freed_at: u64,
    evicted: u64,
}

impl Shard {
    /// Decides on one log, changing nothing.
    pub(super) fn look(&self, spot: &Spot, limit: &Limit, cost: NonZeroU32, now: u64) -> Look {
        let found = self.find(spot);
        match found.and_then(|at| self.slots.get(at)) {
            Some(slot) => {
                let (verdict, now) = slot.log.look_onward(limit, cost, now);
                Look { verdict, now, found }
            }
            None => {
                let now = now.max(self.freed_at);
                Look { verdict: spot.empty_log().look(limit, cost, now), now, found: None }
            }
        }
    }

    /// Decides on one log and charges it, if it is there; else just looks.
    #[inline]
    pub(super) fn admit(&mut self, spot: &Spot, limit: &Limit, cost: NonZeroU32, now: u64) -> Look {
        let found = self.find(spot);
        let Some(slot) = found.and_then(|at| self.slots.get_mut(at)) else {
            return self.look(spot, limit, cost, now);
        };
        let (verdict, now) = slot.log.admit_onward(limit, cost, now);
        if let Verdict::Admit { .. } = verdict {
            slot.window_ms = limit.window_ms();
        }
        Look { verdict, now, found }
    }

    /// Charges a log that is there, at `found` if nothing was freed since the look.
    pub(super) fn charge(
        &mut self,
        spot: &Spot,
        found: Option<usize>,
        limit: &Limit,
        cost: NonZeroU32,
        now: u64,
    ) {
        let at = found.or_else(|| self.find(spot));
        if let Some(slot) = at.and_then(|at| self.slots.get_mut(at)) {
            slot.window_ms = limit.window_ms();
            slot.log.charge_onward(limit, cost, now);
        }
    }

    /// Charges a log, room or no room, making it if it is not there; tells the time of the charge, `None` if there is no
    /// place for another log.
    pub(super) fn stamp(
        &mut self,
        spot: &Spot,
        limit: &Limit,
        cost: NonZeroU32,
        now: u64,
        (keep, room): (&[Spot], Room),
    ) -> Option<u64> {
        let mut look = self.look(spot, limit, cost, now);
        if look.found.is_none() {
            if !self.add(spot, now, keep, room) {
                return None;
            }
            look.now = look.now.max(self.freed_at);
        }
        self.charge(spot, look.found, limit, cost, look.now);
        if look.found.is_some() {
            self.sweep(1, now, keep);
        }
        Some(look.now)
    }

    /// Takes back units that were charged at `charged_at`, if the log is still there.
    pub(super) fn take_back(&mut self, spot: &Spot, cost: NonZeroU32, charged_at: u64) {
        let found = self.find(spot);
        if let Some(slot) = found.and_then(|at| self.slots.get_mut(at)) {
            slot.log.take_back(cost, charged_at);
        }
    }

    /// Adds an empty log; `false` if there is no room and none may be made.
    ///
    /// The logs of `keep`, those of the running decision, stay.
    #[cold]
    #[must_use]
    pub(super) fn add(&mut self, spot: &Spot, now: u64, keep: &[Spot], room: Room) -> bool {
        self.sweep(PLACES_WHEN_ADDING, now, keep);
        if self.slots.len() >= room.bound {
            self.sweep(PLACES_WHEN_FULL, now, keep);
        }
        if self.slots.len() >= room.bound && !(room.evict && self.evict(now, keep)) {
            return false;
        }
        if self.slots.len() == self.slots.capacity() {
            let more = (self.slots.len() / 4)
                .max(4)
                .min(room.bound.saturating_sub(self.slots.len()).max(1));
            self.slots.reserve_exact(more);
        }
        self.index.insert(spot.hash, self.slots.len());
        self.slots.push(Slot {
            key: spot.key,
            hash: spot.hash,
            window_ms: 0,
            log: spot.empty_log(),
        });
        true
    }

    /// Takes out the log of `spot`.
    pub(super) fn remove(&mut self, spot: &Spot) {
        if let Some(at) = self.find(spot) {
            self.remove_at(at);
        }
    }

    /// Looks at the next `places` logs and frees the idle ones that are not of `keep`.
    #[inline]
    pub(super) fn sweep(&mut self, places: usize, now: u64, keep: &[Spot]) {
        for _ in 0..places.min(self.slots.len()) {
            if self.hand >= self.slots.len() {
                self.hand = 0;
            }
            let Some(slot) = self.slots.get(self.hand) else { return };
            if slot.log.is_idle(slot.window_ms, now) && !slot.is_of(keep) {
                self.remove_at(self.hand);
                self.freed_at = self.freed_at.max(now);
            } else {
                self.hand += 1;
            }
        }
    }

    /// Looks at all logs, frees the idle ones and gives spare memory back.
    pub(super) fn sweep_all(&mut self, now: u64) {
        self.hand = 0;
        self.sweep(usize::MAX, now, &[]);
        self.slots.shrink_to_fit();
        self.index.shrink();
    }

    #[inline]
    fn find(&self, spot: &Spot) -> Option<usize> {
        self.index.find(spot.hash, |at| self.slots.get(at).is_some_and(|slot| slot.key == spot.key))
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Logs there, and logs evicted so far.
    #[inline]
    pub(super) fn tally(&self) -> (usize, u64) {
        (self.slots.len(), self.evicted)
    }

    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// How many units of a log count.
    #[cfg(test)]
    pub(super) fn live(&self, spot: &Spot, now: u64) -> u32 {
        let slot = self.find(spot).and_then(|at| self.slots.get(at));
        slot.map_or(0, |slot| slot.log.live(slot.window_ms, now))
    }

    /// Bytes of memory behind the shard.
    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        let logs: usize = self.slots.iter().map(|slot| slot.log.heap_bytes()).sum();
        logs + self.slots.capacity() * size_of::<Slot>() + self.index.heap_bytes()
    }

    /// Of 16 places in turn drops the log with the fewest live units, of equals the one longest unused.
    fn evict(&mut self, now: u64, keep: &[Spot]) -> bool {
        let len = self.slots.len();
        let places = (0..PLACES_TO_EVICT.min(len)).map(|i| (self.hand + i) % len.max(1));
        let victim = places
            .filter_map(|at| self.slots.get(at).map(|slot| (at, slot)))
            .filter(|(_, slot)| !slot.is_of(keep))
            .min_by_key(|(_, slot)| (slot.log.live(slot.window_ms, now), slot.log.newest()));
        let Some((at, _)) = victim else { return false };
        self.hand = (self.hand + PLACES_TO_EVICT) % len.max(1);
        self.remove_at(at);
        self.evicted += 1;
        true
    }

    #[cold]
    fn remove_at(&mut self, at: usize) {
        let Some(slot) = self.slots.get(at) else { return };
        self.index.remove(slot.hash, at);
        let last = self.slots.len() - 1;
        if let Some(moved) = self.slots.get(last).filter(|_| at < last) {
            self.index.renumber(moved.hash, last, at);
        }
        self.slots.swap_remove(at);
    }
}

/// How many logs a shard may hold, and whether one may go to make room.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) bound: usize,
    pub(super) evict: bool,
}

/// Where a log stands in an answer that admits or denies the whole request.
#[inline]
pub(super) fn standing(look: &Look, limit: &Limit, cost: NonZeroU32, admitted: bool) -> Standing {
    match look.verdict {
        Verdict::Admit { remaining, reset_ms } if admitted => {
            Standing::Room { remaining, reset_ms }
        }
        Verdict::Admit { remaining, reset_ms } => {
            // not charged after all: the units stay, and an empty log has nothing to wait for
            let remaining = remaining.saturating_add(cost.get());
            let empty = remaining == limit.count().get();
            Standing::Room { remaining, reset_ms: if empty { 0 } else { reset_ms } }
        }
        Verdict::Deny { remaining, retry_after_ms } => Standing::Full { remaining, retry_after_ms },
        // a question never holds such a cost
        Verdict::Never => Standing::Full { remaining: 0, retry_after_ms: limit.window_ms() },
    }
}

#[derive(Debug)]
struct Slot {
    key: SlotKey,
    hash: u32,
    /// The window of the last charge.
    window_ms: u32,
    log: Window,
}

impl Slot {
    fn is_of(&self, spots: &[Spot]) -> bool {
        spots.iter().any(|spot| spot.key == self.key)
    }
}

const PLACES_WHEN_ADDING: usize = 8;
const PLACES_WHEN_FULL: usize = 64;
const PLACES_TO_EVICT: usize = 16;
