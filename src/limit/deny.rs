//! Who is known to be over a limit, so that the shared store need not be asked?
//!
//! 1. Holds denials by the store alone, each with what it was judged by: cost, count and window.
//! 2. Denies no longer than the store would: until its wait, less the millisecond that both clocks may have cut off,
//!    counted from before the call.
//! 3. Tells no time that is too early: the wait counted from after the answer.
//! 4. Bounded. What is lost costs one call. Locks are short, and a look allocates nothing.
//! 5. Pure: takes the time in monotonic nanoseconds.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use crate::metrics::KeysMeter;
use crate::store::{Answer, Ask, LogId, Standing, WindowKey};
use crate::window::Limit;

/// The denials of one limiter.
#[derive(Debug)]
pub(super) struct DenyCache {
    shards: Box<[Mutex<Shard>]>,
    most: usize,
    held: AtomicUsize,
    meter: KeysMeter,
}

impl DenyCache {
    /// Keeps `most` denials; 0 keeps none.
    pub(super) fn new(most: usize) -> Self {
        let shards = if most < FEW { 1 } else { SHARDS };
        Self {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            most,
            held: AtomicUsize::new(0),
            meter: KeysMeter::new("deny"),
        }
    }

    /// The denial that the store would give to `ask` at `now`, if that is known.
    ///
    /// Only its full logs say anything; of the others nothing is known.
    pub(super) fn answer(&self, ask: &Ask<'_>, now: u64) -> Option<Answer> {
        if self.held.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let standings = ask.items().iter().map(|item| {
            let told = self.enter(item.key()).told(&Key::of(item.key()), ask, item.limit(), now);
            let Some(told) = told else { return UNKNOWN };
            let wait =
                told.saturating_sub(now).div_ceil(MS).clamp(1, item.limit().window_ms().into());
            let retry_after_ms = u32::try_from(wait).unwrap_or(u32::MAX);
            Standing::Full { remaining: 0, retry_after_ms }
        });
        Some(Answer::new(standings)).filter(|answer| !answer.is_admitted())
    }

    /// Remembers the full logs of a denial by the store that was asked at `sent` and answered at `received`.
    pub(super) fn remember(&self, ask: &Ask<'_>, answer: &Answer, sent: u64, received: u64) {
        let bound = self.most / self.shards.len();
        if bound == 0 {
            return;
        }
        for (item, standing) in ask.items().iter().zip(answer.standings()) {
            let Standing::Full { retry_after_ms, .. } = *standing else { continue };
            let wait = u64::from(retry_after_ms);
            let denial = Denial {
                until: sent.saturating_add(wait.saturating_sub(1) * MS),
                told: received.saturating_add(wait * MS),
                cost: ask.cost().get(),
                limit: *item.limit(),
            };
            let mut shard = self.enter(item.key());
            let before = shard.tally();
            shard.put(Key::of(item.key()), denial, received, bound);
            let after = shard.tally();
            drop(shard);
            self.meter.moved(before, after);
            if after.0 > before.0 {
                self.held.fetch_add(after.0 - before.0, Ordering::Relaxed);
            } else {
                self.held.fetch_sub(before.0 - after.0, Ordering::Relaxed);
            }
        }
    }

    /// How many denials there are, ended ones among them.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Locks the shard of a key; one that was poisoned is whole all the same.
    fn enter(&self, key: &WindowKey<'_>) -> MutexGuard<'_, Shard> {
        let [.., last] = *key.id().as_bytes();
        let lock = &self.shards[usize::from(last) % self.shards.len()];
        lock.lock().unwrap_or_else(|poisoned| {
            lock.clear_poison();
            poisoned.into_inner()
        })
    }
}

/// A log's policy and id.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Key {
    policy: u64,
    id: LogId,
}

impl Key {
    fn of(key: &WindowKey<'_>) -> Self {
        Self { policy: key.policy().salt(), id: key.id() }
    }
}

#[derive(Clone, Copy, Debug)]
struct Denial {
    /// The store denies before this.
    until: u64,
    /// The store admits from this on, if nobody else comes.
    told: u64,
    cost: u32,
    limit: Limit,
}

impl Denial {
    /// Does `new` say more at `now`?
    fn yields_to(&self, new: &Self, now: u64) -> bool {
        self.until <= now || self.cost >= new.cost || self.limit != new.limit
    }
}

/// The denials behind one lock: dense, so that a place can be drawn.
#[derive(Debug, Default)]
struct Shard {
    places: HashMap<Key, usize>,
    denials: Vec<(Key, Denial)>,
    /// Where the search for somebody who may go begins.
    hand: usize,
    /// Denials that still held and had to go.
    evicted: u64,
}

impl Shard {
    fn told(&self, key: &Key, ask: &Ask<'_>, limit: &Limit, now: u64) -> Option<u64> {
        let (_, denial) = self.denials.get(*self.places.get(key)?)?;
        let holds = now < denial.until && ask.cost().get() >= denial.cost && denial.limit == *limit;
        holds.then_some(denial.told)
    }

    fn put(&mut self, key: Key, denial: Denial, now: u64, bound: usize) {
        let place = self.places.get(&key).and_then(|at| self.denials.get_mut(*at));
        if let Some((_, old)) = place {
            if old.yields_to(&denial, now) {
                *old = denial;
            }
            return;
        }
        for _ in 0..PLACES_WHEN_ADDING {
            match self.denials.get(self.hand) {
                Some((_, old)) if old.until <= now => self.remove(self.hand),
                Some(_) => self.hand += 1,
                None => self.hand = 0,
            }
        }
        if self.denials.len() >= bound {
            self.evict(now);
        }
        self.places.insert(key, self.denials.len());
        self.denials.push((key, denial));
    }

    /// Of 16 places in turn the one that ends first goes; if one has ended, it is that.
    fn evict(&mut self, now: u64) {
        let len = self.denials.len();
        let places = (0..PLACES_TO_EVICT.min(len)).map(|i| (self.hand + i) % len);
        let until = |at: &usize| self.denials.get(*at).map(|(_, denial)| denial.until);
        let Some(at) = places.min_by_key(until) else { return };
        self.evicted += u64::from(until(&at).is_some_and(|until| until > now));
        self.hand = (self.hand + PLACES_TO_EVICT) % len;
        self.remove(at);
    }

    fn remove(&mut self, at: usize) {
        if at >= self.denials.len() {
            return;
        }
        let (key, _) = self.denials.swap_remove(at);
        self.places.remove(&key);
        if let Some((moved, _)) = self.denials.get(at) {
            self.places.insert(*moved, at);
        }
    }

    /// Denials there, and denials evicted so far.
    fn tally(&self) -> (usize, u64) {
        (self.denials.len(), self.evicted)
    }
}

const UNKNOWN: Standing = Standing::Room { remaining: 0, reset_ms: 0 };
const MS: u64 = 1_000_000;
const SHARDS: usize = 64;
/// Fewer than this stay behind one lock.
const FEW: usize = 1_024;
const PLACES_WHEN_ADDING: usize = 2;
const PLACES_TO_EVICT: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{AskItem, PolicyName};
    use crate::window::vectors::{cost, limit};

    fn full(wait: u32) -> Standing {
        Standing::Full { remaining: 0, retry_after_ms: wait }
    }

    fn ms(ms: u64) -> u64 {
        ms * MS
    }

    /// A question of `units` to log `number` of each policy.
    fn with<T>(
        number: u32,
        units: u32,
        limits: &[(&PolicyName, Limit)],
        then: impl FnOnce(Ask<'_>) -> T,
    ) -> T {
        let id = LogId::of_app(&number.to_string());
        let mut items = Vec::new();
        for (policy, limit) in limits {
            items.push(AskItem::new(WindowKey::new(policy, id, id), *limit));
        }
        then(Ask::new(cost(units), 0, &items).unwrap())
    }

    #[test]
    fn tells_what_the_store_would_say() {
        let token = PolicyName::new("token").unwrap();
        let ten = limit(10, 10_000);
        // t_send 0, t_recv 2
        for (name, made_by, wait, at, by, judged_by, want) in [
            ("L521 half-way", 1, 9_999, ms(5_000), 1, ten, Some(5_001)),
            ("L521 just before", 1, 9_999, ms(9_997), 1, ten, Some(4)),
            ("L521 the last ns", 1, 9_999, ms(9_998) - 1, 1, ten, Some(4)),
            ("L521 one ms early", 1, 9_999, ms(9_998), 1, ten, None),
            ("L503 rounded up", 1, 9_999, ms(9_996) + 1, 1, ten, Some(5)),
            ("L503 never above the window", 1, 10_000, 0, 1, ten, Some(10_000)),
            ("L501 a wait of 1", 1, 1, 0, 1, ten, None),
            ("L522 a smaller cost", 5, 9_999, ms(10), 1, ten, None),
            ("L522 the same cost", 5, 9_999, ms(10), 5, ten, Some(9_991)),
            ("L522 a higher cost", 5, 9_999, ms(10), 7, ten, Some(9_991)),
            ("L523 another count", 1, 9_999, ms(10), 1, limit(100, 10_000), None),
            ("L523 another window", 1, 9_999, ms(10), 1, limit(10, 10_001), None),
        ] {
            let cache = DenyCache::new(1);
            let answer = Answer::new([full(wait)]);
            with(1, made_by, &[(&token, ten)], |ask| cache.remember(&ask, &answer, 0, ms(2)));
            let got = with(1, by, &[(&token, judged_by)], |ask| cache.answer(&ask, at));
            assert_eq!(got.and_then(|answer| answer.retry_after_ms()), want, "{name}");
        }
    }

    #[test]
    fn only_what_still_holds_is_named() {
        let [burst, minute] = ["burst", "minute"].map(|name| PolicyName::new(name).unwrap());
        let both = [(&burst, limit(5, 1_000)), (&minute, limit(60, 60_000))];
        let cache = DenyCache::new(65_536);
        let room = Standing::Room { remaining: 3, reset_ms: 7 };
        with(1, 1, &both, |ask| {
            cache.remember(&ask, &Answer::new([full(1_000), full(59_000)]), 0, 0);
            let at = |now| cache.answer(&ask, ms(now)).unwrap();
            assert_eq!(at(0), Answer::new([full(1_000), full(59_000)]), "L527 told 59000");
            assert_eq!(at(999), Answer::new([UNKNOWN, full(58_001)]), "L527 at 999");
        });
        with(2, 1, &both, |ask| {
            cache.remember(&ask, &Answer::new([room, full(59_000)]), 0, 0);
            assert_eq!(cache.answer(&ask, 0), Some(Answer::new([UNKNOWN, full(59_000)])), "L501");
        });
        assert_eq!(cache.len(), 3, "L504 one entry per full log");
        let kept = DenyCache::new(0);
        with(1, 1, &both, |ask| {
            kept.remember(&ask, &Answer::new([full(9), full(9)]), 0, 0);
            assert_eq!((kept.answer(&ask, 0), kept.len()), (None, 0), "L505 off");
        });
    }

    #[test]
    fn a_new_denial_replaces_only_one_that_says_less() {
        let token = PolicyName::new("token").unwrap();
        let (ten, other) = (limit(10, 10_000), limit(20, 10_000));
        for (name, old, new, at, want) in [
            ("L504 costs as much", (5, ten), (5, ten), 10, true),
            ("L504 cost more", (5, ten), (4, ten), 10, true),
            ("L504 cost less", (4, ten), (5, ten), 10, false),
            ("L504 has ended", (4, ten), (5, ten), 5_999, true),
            ("L504 another limit", (4, other), (5, ten), 10, true),
        ] {
            let cache = DenyCache::new(16);
            let put = |(units, limit): (u32, Limit), wait, at| {
                let answer = Answer::new([full(wait)]);
                with(1, units, &[(&token, limit)], |ask| cache.remember(&ask, &answer, at, at));
            };
            put(old, 6_000, 0);
            put(new, 3_000, ms(at));
            let got = with(1, 10, &[(&token, ten)], |ask| cache.answer(&ask, ms(at)));
            let waits = got.and_then(|answer| answer.retry_after_ms());
            assert_eq!(waits == Some(3_000), want, "{name}: {waits:?}");
        }
    }

    #[test]
    fn bounded() {
        let token = PolicyName::new("token").unwrap();
        let policies = [(&token, limit(1, 60_000))];
        for most in [1, 16, 1_023, 1_024] {
            let cache = DenyCache::new(most);
            let mut kept = 0;
            for number in 0..5_000 {
                with(number, 1, &policies, |ask| {
                    let wait = 30_000 + number % 7;
                    cache.remember(&ask, &Answer::new([full(wait)]), 0, 0);
                    kept += u32::from(cache.answer(&ask, 0).is_some());
                });
                assert!(cache.len() <= most, "L505 {} of {most}", cache.len());
            }
            assert_eq!((cache.len(), kept), (most, 5_000), "L505 the newest is there");
            // all have ended: they go first
            with(9_999, 1, &policies, |ask| {
                let (now, answer) = (ms(40_000), Answer::new([full(60_000)]));
                cache.remember(&ask, &answer, now, now);
                assert!(cache.answer(&ask, now).is_some(), "L505");
            });
        }
    }
}
