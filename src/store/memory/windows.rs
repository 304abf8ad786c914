//! The windows of this process: a bounded map from key to log.
//!
//! 1. 64 shards with a short lock each, never held across an await or code of the user's.
//! 2. Several policies: their shards are locked in ascending order, all logs are looked at, then all are charged.
//! 3. Threads arrive out of order: a time before a log's last charge counts as that charge's.
//! 4. Idle logs are freed by the decisions themselves, a few places each; a full shard makes room or says so.
//! 5. Two random words are mixed into each hash, so keys cannot be built to collide.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard};

use super::window_shard::{Look, Room, Shard, SlotKey, Spot, standing};
use crate::metrics::KeysMeter;
use crate::store::window::{Answer, Ask, AskItem, MOST_ITEMS, WindowStore};
use crate::store::window_key::WindowKey;
use crate::window::Verdict;

/// Windows in this process's memory, exact and rounded: the default store of a limiter.
///
/// A decision on a key that is there takes one lock per policy's shard and no allocation until its log grows.
/// Put it in an [`Arc`](std::sync::Arc) to share it; it is a [`WindowStore`] there too.
///
/// ```
/// # use tower_bearer::store::{MemoryWindows, WhenFull, WindowsError};
/// # fn example() -> Result<(), WindowsError> {
/// let windows = MemoryWindows::new().with_max_keys(100_000)?.when_full(WhenFull::Closed);
/// # Ok(())
/// # }
/// # example().unwrap();
/// ```
pub struct MemoryWindows {
    shards: Box<[Lane]>,
    words: [u64; 2],
    max_keys: usize,
    when_full: WhenFull,
    keys: KeysMeter,
}

impl MemoryWindows {
    /// Makes an empty map for 65,536 keys that evicts the least used when full.
    pub fn new() -> Self {
        Self::named("windows")
    }

    /// As `new`, but counted under this name.
    pub(crate) fn named(map: &'static str) -> Self {
        let random = RandomState::new();
        Self {
            shards: (0..SHARDS).map(|_| Lane::default()).collect(),
            words: [random.hash_one(0), random.hash_one(1)],
            max_keys: 65_536,
            when_full: WhenFull::EvictLeast,
            keys: KeysMeter::new(map),
        }
    }

    /// Holds at most `max_keys` logs over all policies, split evenly over the shards.
    ///
    /// Default 65,536; 1,024 to 16,777,216. An exact log takes about 150 bytes at 5 live units, 350 at 60; a
    /// rounded one at most 1,300.
    ///
    /// # Errors
    /// [`WindowsError::MaxKeysOutOfRange`]: outside that range.
    pub fn with_max_keys(mut self, max_keys: usize) -> Result<Self, WindowsError> {
        if !(1_024..=16_777_216).contains(&max_keys) {
            return Err(WindowsError::MaxKeysOutOfRange { max_keys });
        }
        self.max_keys = max_keys;
        Ok(self)
    }

    /// Says what happens to a new key when its shard is full of live logs. Default [`WhenFull::EvictLeast`].
    #[must_use]
    pub fn when_full(mut self, when_full: WhenFull) -> Self {
        self.when_full = when_full;
        self
    }

    /// Decides on all logs of `ask`, and charges all of them if all have room.
    ///
    /// # Errors
    /// [`WindowsFull`]: a key is new, its shard is full of live logs, and [`WhenFull::Closed`] keeps them. Nothing
    /// was charged; keys that are there go on.
    pub fn decide(&self, ask: &Ask<'_>) -> Result<Answer, WindowsFull> {
        match ask.items() {
            [item] => self.decide_one(ask, item, |_, _| {}),
            items => self.decide_all(ask, items, |_, _| {}),
        }
    }

    /// As [`decide`](Self::decide), and says how what was charged is [taken back](Self::take_back).
    pub(crate) fn reserve(&self, ask: &Ask<'_>) -> Result<(Answer, Stamps), WindowsFull> {
        let mut stamps = Stamps([None; MOST_ITEMS]);
        let note = |at: usize, now| {
            if let Some(to) = stamps.0.get_mut(at) {
                *to = Some(now);
            }
        };
        let answer = match ask.items() {
            [item] => self.decide_one(ask, item, note),
            items => self.decide_all(ask, items, note),
        }?;
        // what was noted of a denial was only looked at
        Ok((answer, if answer.is_admitted() { stamps } else { Stamps([None; MOST_ITEMS]) }))
    }

    /// Charges every log of `ask`, room or no room: an admission that another store made. Says how that is taken back.
    ///
    /// Logs are made as by [`decide`](Self::decide). One for which [`WhenFull::Closed`] leaves no room stays uncharged.
    pub(crate) fn stamp(&self, ask: &Ask<'_>) -> Stamps {
        let mut stamps = Stamps([None; MOST_ITEMS]);
        let (spots, numbers) = self.places(ask.items());
        let (spots, numbers) = (&spots[..ask.items().len()], &numbers[..ask.items().len()]);
        let mut held = self.hold(numbers);
        let before = held.tally();
        let logs = spots.iter().zip(numbers).zip(ask.items());
        for (((spot, number), item), stamp) in logs.zip(&mut stamps.0) {
            let room = (spots, self.room(*number));
            let shard = held.shard(*number);
            *stamp = shard.stamp(spot, item.limit(), ask.cost(), ask.now_ms(), room);
        }
        let after = held.tally();
        drop(held);
        self.keys.moved(before, after);
        stamps
    }

    /// Takes back what [`reserve`](Self::reserve) or [`stamp`](Self::stamp) charged for `ask`, and no other unit. A log that
    /// is gone meanwhile has nothing to give back.
    pub(crate) fn take_back(&self, ask: &Ask<'_>, stamps: &Stamps) {
        let (spots, numbers) = self.places(ask.items());
        let numbers = &numbers[..ask.items().len()];
        let mut held = self.hold(numbers);
        for ((spot, number), charged_at) in spots.iter().zip(numbers).zip(stamps.0) {
            if let Some(charged_at) = charged_at {
                held.shard(*number).take_back(spot, ask.cost(), charged_at);
            }
        }
    }

    /// Says whether `item`'s log has room for `cost`; changes nothing.
    pub(crate) fn look(&self, item: &AskItem<'_>, cost: NonZeroU32, now_ms: u64) -> Verdict {
        let (number, spot) = self.place(item.key());
        self.enter(number).look(&spot, item.limit(), cost, now_ms).verdict
    }

    /// Frees all logs that are idle at `now_ms` and gives spare memory back; locks one shard at a time.
    ///
    /// Nothing depends on it: decisions free a few places each.
    pub fn sweep(&self, now_ms: u64) {
        for number in 0..SHARDS {
            let mut shard = self.enter(number);
            let before = shard.tally();
            shard.sweep_all(now_ms);
            let after = shard.tally();
            drop(shard);
            self.keys.moved(before, after);
        }
    }

    /// How many logs there are, idle ones among them.
    pub fn len(&self) -> usize {
        (0..SHARDS).map(|number| self.enter(number).len()).sum()
    }

    /// Whether there is no log.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many logs with live units had to go since the map was made; each gave its key its units back.
    pub fn evicted(&self) -> u64 {
        (0..SHARDS).map(|number| self.enter(number).evicted()).sum()
    }

    #[inline]
    fn decide_one(
        &self,
        ask: &Ask<'_>,
        item: &AskItem<'_>,
        mut note: impl FnMut(usize, u64),
    ) -> Result<Answer, WindowsFull> {
        let (number, spot) = self.place(item.key());
        let (limit, cost, now) = (item.limit(), ask.cost(), ask.now_ms());
        let mut shard = self.enter(number);
        let before = shard.tally();
        let look = shard.admit(&spot, limit, cost, now);
        let admitted = matches!(look.verdict, Verdict::Admit { .. });
        let mut full = false;
        if look.found.is_none() && admitted {
            if shard.add(&spot, now, &[], self.room(number)) {
                shard.charge(&spot, None, limit, cost, look.now);
            } else {
                full = true;
            }
        } else {
            shard.sweep(1, now, &[]);
        }
        let after = shard.tally();
        drop(shard);
        self.keys.moved(before, after);
        if full {
            return Err(WindowsFull);
        }
        note(0, look.now);
        Ok(Answer::new([standing(&look, limit, cost, admitted)]))
    }

    fn decide_all(
        &self,
        ask: &Ask<'_>,
        items: &[AskItem<'_>],
        mut note: impl FnMut(usize, u64),
    ) -> Result<Answer, WindowsFull> {
        let (cost, now) = (ask.cost(), ask.now_ms());
        let (spots, numbers) = self.places(items);
        let (spots, numbers) = (&spots[..items.len()], &numbers[..items.len()]);
        let mut held = self.hold(numbers);
        let before = held.tally();

        let mut looks = [Look::default(); MOST_ITEMS];
        for (i, (look, item)) in looks.iter_mut().zip(items).enumerate() {
            *look = held.shard(numbers[i]).look(&spots[i], item.limit(), cost, now);
        }
        let looks = &looks[..items.len()];
        let admitted = looks.iter().all(|look| matches!(look.verdict, Verdict::Admit { .. }));
        let is_new = |i: &usize| admitted && looks[*i].found.is_none();

        for i in (0..items.len()).filter(is_new) {
            if !held.shard(numbers[i]).add(&spots[i], now, spots, self.room(numbers[i])) {
                (0..i).filter(is_new).for_each(|i| held.shard(numbers[i]).remove(&spots[i]));
                let after = held.tally();
                drop(held);
                self.keys.moved(before, after);
                return Err(WindowsFull);
            }
        }
        let moved = (0..items.len()).any(|i| is_new(&i));
        for (i, item) in items.iter().enumerate() {
            let shard = held.shard(numbers[i]);
            if admitted {
                let found = looks[i].found.filter(|_| !moved);
                shard.charge(&spots[i], found, item.limit(), cost, looks[i].now);
            }
        }
        if !moved {
            numbers.iter().for_each(|number| held.shard(*number).sweep(1, now, &[]));
        }
        let after = held.tally();
        drop(held);
        self.keys.moved(before, after);
        looks.iter().enumerate().for_each(|(at, look)| note(at, look.now));
        let standings = looks.iter().zip(items);
        Ok(Answer::new(standings.map(|(look, item)| standing(look, item.limit(), cost, admitted))))
    }

    /// Where in which shard the logs of a question lie.
    #[inline]
    fn places(&self, items: &[AskItem<'_>]) -> ([Spot; MOST_ITEMS], [usize; MOST_ITEMS]) {
        let (mut spots, mut numbers) = ([Spot::default(); MOST_ITEMS], [0; MOST_ITEMS]);
        for ((spot, number), item) in spots.iter_mut().zip(&mut numbers).zip(items) {
            (*number, *spot) = self.place(item.key());
        }
        (spots, numbers)
    }

    /// The shard of a key, and where in it.
    fn place(&self, key: &WindowKey<'_>) -> (usize, Spot) {
        let [first, second] = self.words;
        let id = u128::from_be_bytes(*key.id().as_bytes());
        let (high, low, is_rounded) = (upper_half(id), lower_half(id), key.is_rounded());
        let salt = if is_rounded { !key.policy().salt() } else { key.policy().salt() };
        let product = u128::from(high ^ first) * u128::from(low ^ salt ^ second);
        let hash = upper_half(product) ^ lower_half(product);
        let (key, hash32) = (SlotKey { salt, high, low }, (hash & 0xffff_ffff) as u32);
        let spot = Spot { key, hash: hash32, is_rounded };
        let [top, ..] = hash.to_be_bytes();
        (usize::from(top) % SHARDS, spot)
    }

    /// Locks a shard; one that was poisoned is whole all the same, as nothing of the user's runs under its lock.
    fn enter(&self, number: usize) -> MutexGuard<'_, Shard> {
        let Lane(lock) = &self.shards[number];
        lock.lock().unwrap_or_else(|poisoned| {
            lock.clear_poison();
            poisoned.into_inner()
        })
    }

    /// Locks the shards of `numbers` in ascending order, each once.
    fn hold(&self, numbers: &[usize]) -> Held<'_> {
        let mut held =
            Held { numbers: [usize::MAX; MOST_ITEMS], guards: [const { None }; MOST_ITEMS] };
        held.numbers.iter_mut().zip(numbers).for_each(|(to, number)| *to = *number);
        held.numbers.sort_unstable();
        let mut before = usize::MAX;
        for (guard, number) in held.guards.iter_mut().zip(held.numbers).take(numbers.len()) {
            if number != before {
                *guard = Some(self.enter(number));
                before = number;
            }
        }
        held
    }

    fn room(&self, number: usize) -> Room {
        let bound = self.max_keys / SHARDS + usize::from(number < self.max_keys % SHARDS);
        Room { bound, evict: matches!(self.when_full, WhenFull::EvictLeast) }
    }
}

impl WindowStore for MemoryWindows {
    type Error = WindowsFull;

    async fn admit(&self, ask: &Ask<'_>) -> Result<Answer, WindowsFull> {
        self.decide(ask)
    }
}

impl Default for MemoryWindows {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryWindows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shards: _, words: _, max_keys, when_full, keys: _ } = self;
        f.debug_struct("MemoryWindows")
            .field("max_keys", max_keys)
            .field("when_full", when_full)
            .finish_non_exhaustive()
    }
}

/// What happens to a new key when its shard is full of live logs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum WhenFull {
    /// Of 16 logs the one with the fewest live units goes, and its key gets those units back; each is counted.
    ///
    /// A caller at its limit is the last to go, so a flood of keys frees nobody.
    #[default]
    EvictLeast,
    /// The new key is undecidable; keys that are there go on.
    Closed,
}

/// Why a [`MemoryWindows`] could not be set up.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WindowsError {
    /// `max_keys` is outside 1,024 to 16,777,216.
    #[error("max_keys {max_keys} is outside 1,024 to 16,777,216")]
    MaxKeysOutOfRange {
        /// What was asked for.
        max_keys: usize,
    },
}

/// A new key found its shard full, and no log may be evicted: undecidable.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no room for another key, and none may be evicted")]
#[non_exhaustive]
pub struct WindowsFull;

/// The time at which each log of a question was charged, if it was: the question's own, unless a log had a later charge.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamps([Option<u64>; MOST_ITEMS]);

/// A shard on cache lines of its own.
#[derive(Default)]
#[repr(align(64))]
struct Lane(Mutex<Shard>);

/// The locked shards of one decision.
struct Held<'a> {
    /// Sorted; of equal ones the first has the guard.
    numbers: [usize; MOST_ITEMS],
    guards: [Option<MutexGuard<'a, Shard>>; MOST_ITEMS],
}

impl Held<'_> {
    /// Logs there, and logs evicted so far.
    fn tally(&self) -> (usize, u64) {
        let shards = self.guards.iter().flatten().map(|shard| shard.tally());
        shards.fold((0, 0), |(logs, gone), (more, away)| (logs + more, gone + away))
    }

    fn shard(&mut self, number: usize) -> &mut Shard {
        let at = self.numbers.iter().position(|held| *held == number);
        let guard = at.and_then(|at| self.guards[at].as_deref_mut());
        guard.expect("the shard of every item was locked")
    }
}

const SHARDS: usize = 64;

fn upper_half(value: u128) -> u64 {
    (value >> 64) as u64
}

fn lower_half(value: u128) -> u64 {
    u64::try_from(value & u128::from(u64::MAX)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
