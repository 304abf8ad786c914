//! May this request pass, by all policies of its limiter at once?
//!
//! 1. One whole question, one whole answer: nobody looks first and adds later.
//! 2. All or nothing: units are added to every log, or to none.
//! 3. A denial changes nothing.

use std::num::NonZeroU32;
use std::sync::Arc;

use crate::store::failure::StoreFailure;
use crate::store::window_key::WindowKey;
use crate::window::Limit;

/// Decides on, and charges, the logs of a limiter.
///
/// For implementors:
/// - It is called once per charged request and never repeated: a call that fails may have charged.
/// - Atomic over all items and all callers: at most `limit.count()` units of one key may have a stamp in any window.
///   With room in every log, `cost` units are stamped in each; without, none is stamped anywhere, no log lives longer
///   for the asking, and the waits are those of [`Window`](crate::limit::Window), in the item's form.
/// - A log that was never charged equals an empty one; absence is no error.
/// - Calls come concurrently and may be dropped half-way; a dropped call may have charged, and must leave nothing else.
/// - An `Err` means undecidable. It never means denied, and never admitted.
/// - The time is the store's own. One that has none uses [`Ask::now_ms`].
/// - It sees ids made by hashing, never a token, its digest or a subject.
pub trait WindowStore: Send + Sync + 'static {
    /// Why the store could not decide.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Answers whether every log has room for the cost, and if so charges every one.
    ///
    /// # Errors
    /// Undecidable: the store is out, late, full or answers nonsense. The limiter's outage rule says what happens then.
    ///
    /// # Cancel safety
    /// If the future is dropped the charge may stand; nothing else is left behind.
    fn admit(&self, ask: &Ask<'_>) -> impl Future<Output = Result<Answer, Self::Error>> + Send;

    /// Says what sort of failure an error is, for the breaker and the metrics. Default [`StoreFailure::Other`].
    fn failure(error: &Self::Error) -> StoreFailure {
        let _ = error;
        StoreFailure::Other
    }

    /// Says which part of the store decides on these logs, 0 to 15: parts that fail apart, as the shards of a cluster
    /// do. Default 0, for a store that is one whole.
    fn part(&self, ask: &Ask<'_>) -> u8 {
        let _ = ask;
        0
    }

    /// A number that grows whenever this part may have lost what it knew: with each new connection, and each time it
    /// had to be taught something again. Default 0, for a store that forgets nothing unnoticed.
    ///
    /// For one limit's longest window after it has grown, the limiter asks its logs in process as well.
    fn epoch(&self, part: u8) -> u64 {
        let _ = part;
        0
    }

    /// Tries whether this part decides and writes again, at no caller's cost; asked every 500 ms during an outage.
    ///
    /// Default: says so at once, so that the next request finds out.
    ///
    /// # Errors
    /// Not yet.
    fn probe(&self, part: u8) -> impl Future<Output = Result<(), Self::Error>> + Send {
        let _ = part;
        std::future::ready(Ok(()))
    }

    /// The calls to this part fail or hang, and are given up for now: a connection that is kept should go.
    fn gave_up(&self, part: u8) {
        let _ = part;
    }

    /// Whether one question may name logs of several owners, as those of a subject and of a workspace are. Default yes.
    ///
    /// With a store that keeps each owner's logs by themselves, as the shards of a cluster do, a limiter that needs both
    /// is a build error ([`LimiterFault::CrossSlot`](crate::limit::LimiterFault::CrossSlot)).
    fn decides_across_owners(&self) -> bool {
        true
    }
}

impl<S: WindowStore> WindowStore for Arc<S> {
    type Error = S::Error;

    fn admit(&self, ask: &Ask<'_>) -> impl Future<Output = Result<Answer, S::Error>> + Send {
        S::admit(self, ask)
    }

    fn failure(error: &S::Error) -> StoreFailure {
        S::failure(error)
    }

    fn part(&self, ask: &Ask<'_>) -> u8 {
        S::part(self, ask)
    }

    fn epoch(&self, part: u8) -> u64 {
        S::epoch(self, part)
    }

    fn probe(&self, part: u8) -> impl Future<Output = Result<(), S::Error>> + Send {
        S::probe(self, part)
    }

    fn gave_up(&self, part: u8) {
        S::gave_up(self, part);
    }

    fn decides_across_owners(&self) -> bool {
        S::decides_across_owners(self)
    }
}

/// One policy of a question: which log, and the limit of this request.
#[derive(Clone, Copy, Debug)]
pub struct AskItem<'a> {
    key: WindowKey<'a>,
    limit: Limit,
}

impl<'a> AskItem<'a> {
    /// Asks for room in the exact log of `key` under `limit`.
    #[inline]
    pub fn new(key: WindowKey<'a>, limit: Limit) -> Self {
        Self { key, limit }
    }

    /// Asks its rounded log instead, which is another one: the form hangs on the policy's own count, whatever the limit
    /// of this request was lowered to.
    #[inline]
    #[must_use]
    pub fn rounded(self) -> Self {
        Self { key: self.key.rounded(), ..self }
    }

    /// The log.
    #[inline]
    pub fn key(&self) -> &WindowKey<'a> {
        &self.key
    }

    /// The limit of this request; the next request for the same log may bring another.
    #[inline]
    pub fn limit(&self) -> &Limit {
        &self.limit
    }

    /// Whether the log is a [rounded](crate::limit::Window::rounded) one: a store keeps the two forms apart.
    #[inline]
    pub fn is_rounded(&self) -> bool {
        self.key.is_rounded()
    }

    /// The longest that anything in the log may take to come free.
    #[inline]
    fn longest_ms(&self) -> u32 {
        let ahead = if self.is_rounded() { self.limit.quantum_ms() } else { 0 };
        self.limit.window_ms().saturating_add(ahead)
    }
}

/// A question to a [`WindowStore`]: a cost, a time and 1 to 8 different logs.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    cost: NonZeroU32,
    now_ms: u64,
    items: &'a [AskItem<'a>],
}

impl<'a> Ask<'a> {
    /// Asks for `cost` units in every log of `items` at `now_ms`, the request's one read of the monotonic clock in
    /// whole milliseconds, rounded down.
    ///
    /// # Errors
    /// [`AskError::ItemsOutOfRange`]: no item, or more than 8.
    /// [`AskError::SameLogTwice`]: two items with one policy and id.
    /// [`AskError::CostOverLimit`]: no wait would help, so no store is asked.
    #[inline]
    pub fn new(cost: NonZeroU32, now_ms: u64, items: &'a [AskItem<'a>]) -> Result<Self, AskError> {
        if items.is_empty() || items.len() > MOST_ITEMS {
            return Err(AskError::ItemsOutOfRange { items: items.len() });
        }
        let mut rest = items;
        while let [first, others @ ..] = rest {
            if cost > first.limit.count() {
                return Err(AskError::CostOverLimit);
            }
            let same = |other: &AskItem<'_>| {
                other.key.id() == first.key.id() && other.key.policy() == first.key.policy()
            };
            if others.iter().any(same) {
                return Err(AskError::SameLogTwice);
            }
            rest = others;
        }
        Ok(Self { cost, now_ms, items })
    }

    /// The same question at another time.
    pub(crate) fn at(&self, now_ms: u64) -> Self {
        Self { now_ms, ..*self }
    }

    /// Units to charge in every log; no item's limit is below it.
    #[inline]
    pub fn cost(&self) -> NonZeroU32 {
        self.cost
    }

    /// The asking process's monotonic time in milliseconds. Requests may arrive out of its order.
    #[inline]
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// The logs, in the limiter's order.
    #[inline]
    pub fn items(&self) -> &'a [AskItem<'a>] {
        self.items
    }
}

/// Why an [`Ask`] could not be made.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// There is no item, or there are more than 8.
    #[error("{items} items are not 1 to {MOST_ITEMS}")]
    ItemsOutOfRange {
        /// How many there were.
        items: usize,
    },
    /// Two items name the same log.
    #[error("two items name the same log")]
    SameLogTwice,
    /// The cost is above the limit of an item.
    #[error("cost is above the limit of an item")]
    CostOverLimit,
}

/// What one log says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Standing {
    /// The log has room.
    Room {
        /// Units left: after this request if it was admitted, else without it.
        remaining: u32,
        /// Milliseconds until the oldest unit that counts comes free, at most the window (of a rounded log, a 128th more);
        /// 0 if none counts.
        reset_ms: u32,
    },
    /// The log lacks room: its policy is violated.
    Full {
        /// Units left; above 0 only for a cost above 1.
        remaining: u32,
        /// The least wait in milliseconds, 1 to the window (of a rounded log, a 128th more), after which the cost fits if
        /// nobody else comes.
        retry_after_ms: u32,
    },
}

/// The answer to an [`Ask`]: where each log stands. Admitted, and charged, if none is full.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    standings: [Standing; MOST_ITEMS],
    len: u8,
    epoch: u64,
}

impl Answer {
    /// Says where each log of the question stands, in the question's order. More than 8 are cut off.
    #[inline]
    pub fn new(standings: impl IntoIterator<Item = Standing>) -> Self {
        let mut answer = Self { standings: [NOTHING; MOST_ITEMS], len: 0, epoch: 0 };
        for (to, standing) in answer.standings.iter_mut().zip(standings) {
            *to = standing;
            answer.len += 1;
        }
        answer
    }

    /// Says in which [`epoch`](WindowStore::epoch) of its part the store decided. Default 0.
    #[must_use]
    pub fn in_epoch(self, epoch: u64) -> Self {
        Self { epoch, ..self }
    }

    /// The epoch in which the store decided.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether the request was admitted and charged in every log; an answer without logs admits nothing.
    #[inline]
    pub fn is_admitted(&self) -> bool {
        self.len > 0
            && !self.standings().iter().any(|standing| matches!(standing, Standing::Full { .. }))
    }

    /// Where each log stands, in the question's order.
    #[inline]
    pub fn standings(&self) -> &[Standing] {
        self.standings.get(..usize::from(self.len)).unwrap_or(&[])
    }

    /// The longest wait among the full logs, `None` if the request was admitted.
    #[inline]
    pub fn retry_after_ms(&self) -> Option<u32> {
        let wait = |standing: &Standing| match *standing {
            Standing::Full { retry_after_ms, .. } => Some(retry_after_ms),
            Standing::Room { .. } => None,
        };
        self.standings().iter().filter_map(wait).max()
    }

    /// Whether this can be an answer to `ask`: one standing per item, each within the item's limit.
    ///
    /// One that cannot is nonsense, and the request undecidable.
    pub fn fits(&self, ask: &Ask<'_>) -> bool {
        let fits = |(standing, item): (&Standing, &AskItem<'_>)| {
            let (count, longest_ms) = (item.limit.count().get(), item.longest_ms());
            match *standing {
                Standing::Room { remaining, reset_ms } => {
                    remaining <= count && reset_ms <= longest_ms
                }
                Standing::Full { remaining, retry_after_ms } => {
                    remaining < ask.cost.get() && (1..=longest_ms).contains(&retry_after_ms)
                }
            }
        };
        usize::from(self.len) == ask.items.len() && self.standings().iter().zip(ask.items).all(fits)
    }
}

impl Eq for Answer {}

impl PartialEq for Answer {
    fn eq(&self, other: &Self) -> bool {
        self.standings() == other.standings()
    }
}

const NOTHING: Standing = Standing::Room { remaining: 0, reset_ms: 0 };
/// The policies of one limiter.
pub(crate) const MOST_ITEMS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::window_key::{LogId, PolicyName};
    use crate::window::vectors::{cost, limit};

    #[test]
    fn questions() {
        let policies: Vec<PolicyName> =
            ('a'..='i').map(|letter| PolicyName::new(&letter.to_string()).unwrap()).collect();
        let id = LogId::of_app("app-public");
        let item = |policy| AskItem::new(WindowKey::new(policy, id, id), limit(3, 10_000));
        let items: Vec<AskItem<'_>> = policies.iter().map(item).collect();
        let twice = [items[0], items[1], items[0]];
        for (name, units, items, want) in [
            ("L103 one", 1, &items[..1], Ok(1)),
            ("L103 eight", 3, &items[..8], Ok(8)),
            ("L103 none", 1, &items[..0], Err(AskError::ItemsOutOfRange { items: 0 })),
            ("L103 nine", 1, &items[..], Err(AskError::ItemsOutOfRange { items: 9 })),
            ("L209 never", 4, &items[..2], Err(AskError::CostOverLimit)),
            ("L102 one log", 1, &twice[..], Err(AskError::SameLogTwice)),
        ] {
            let got = Ask::new(cost(units), 0, items).map(|ask| ask.items().len());
            assert_eq!(got, want, "{name}");
        }
    }

    #[test]
    fn answers_of_rounded_logs() {
        let (policy, id) = (PolicyName::new("app").unwrap(), LogId::of_app("app-public"));
        let exact = AskItem::new(WindowKey::new(&policy, id, id), limit(1_000, 60_000));
        assert!(!exact.is_rounded() && exact.rounded().is_rounded());
        assert_ne!(exact.key(), exact.rounded().key(), "L301, L228 two logs");
        for (name, item, ms, want) in [
            ("L326 exact, the window", exact, 60_000, true),
            ("L326 exact, later", exact, 60_001, false),
            ("L326 rounded, the window and a quantum", exact.rounded(), 60_469, true),
            ("L326 rounded, later", exact.rounded(), 60_470, false),
        ] {
            let items = [item];
            let ask = Ask::new(cost(1), 0, &items).unwrap();
            for standing in [
                Standing::Room { remaining: 1, reset_ms: ms },
                Standing::Full { remaining: 0, retry_after_ms: ms },
            ] {
                assert_eq!(Answer::new([standing]).fits(&ask), want, "{name}");
            }
        }
        assert_eq!(size_of::<AskItem<'_>>(), 40);
    }

    #[test]
    fn answers() {
        let policies = ["a", "b"].map(|name| PolicyName::new(name).unwrap());
        let id = LogId::of_app("app-public");
        let items = [
            AskItem::new(WindowKey::new(&policies[0], id, id), limit(3, 10_000)),
            AskItem::new(WindowKey::new(&policies[1], id, id), limit(5, 60_000)),
        ];
        let ask = Ask::new(cost(1), 0, &items).unwrap();
        let room = |remaining, reset_ms| Standing::Room { remaining, reset_ms };
        let full = |remaining, retry_after_ms| Standing::Full { remaining, retry_after_ms };
        for (name, standings, want) in [
            ("L204 both have room", vec![room(2, 10_000), room(5, 0)], (true, None, true)),
            (
                "L207 the longest wait",
                vec![full(0, 9), full(0, 60_000)],
                (false, Some(60_000), true),
            ),
            ("L202 one is full", vec![room(2, 1), full(0, 7)], (false, Some(7), true)),
            ("L326 nothing", vec![], (false, None, false)),
            ("L326 too few", vec![room(2, 1)], (true, None, false)),
            ("L326 too many", vec![room(2, 1); 9], (true, None, false)),
            ("L326 more than the limit", vec![room(4, 1), room(5, 0)], (true, None, false)),
            ("L326 later than the window", vec![room(2, 10_001), room(5, 0)], (true, None, false)),
            ("L326 no wait", vec![full(0, 0), room(5, 0)], (false, Some(0), false)),
            ("L326 a long wait", vec![full(0, 10_001), room(5, 0)], (false, Some(10_001), false)),
            (
                "L204 full, with room for the cost",
                vec![full(1, 5), room(5, 0)],
                (false, Some(5), false),
            ),
        ] {
            let answer = Answer::new(standings);
            let got = (answer.is_admitted(), answer.retry_after_ms(), answer.fits(&ask));
            assert_eq!(got, want, "{name}");
        }
    }
}
