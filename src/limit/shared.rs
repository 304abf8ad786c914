//! What is decided around a store of windows that several processes share.
//!
//! 1. In this order: known denials, the breaker, the logs in process where both must agree, the store.
//! 2. The store is asked once at most, under a deadline; what comes late is dropped.
//! 3. What the store admits is stamped in the logs in process, at the time of the reply.
//! 4. Where both must agree the logs in process are charged first. The store denies: that charge is taken back. The store
//!    fails: it stands, and so it does when the caller leaves.
//! 5. A request takes at most one unit set of each log, here and there.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::breaker::BreakerRule;
use crate::chance::Chance;
use crate::clock::Moment;
use crate::context::Realm;
use crate::limit::deny::DenyCache;
use crate::limit::foreign::{self, Failed, PARTS, Windows};
use crate::limit::outage::Rule;
use crate::limit::part::Part;
use crate::limit::ruling::{Ruling, stricter};
use crate::limit::watch::Told;
use crate::metrics::{LimitSource, StoreMeter, StoreOutcome};
use crate::store::{Answer, Ask, AskItem, MOST_ITEMS, MemoryWindows, Stamps, StoreFailure};

/// A shared store, and what this process knows beside it.
pub(super) struct SharedWindows {
    pub(super) store: Arc<dyn Windows>,
    pub(super) breaker: BreakerRule,
    pub(super) parts: [Part; PARTS],
    pub(super) meter: StoreMeter,
    pub(super) told: Told,
    pub(super) chance: Chance,
    deadline: Duration,
    denied: DenyCache,
    local: MemoryWindows,
    share: NonZeroU32,
    /// Are the logs in process kept? Not where nothing is ever decided by them.
    warm: AtomicBool,
}

/// How a shared store is used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    pub(super) deadline: Duration,
    pub(super) deny_cache: usize,
    pub(super) local_share: NonZeroU32,
    pub(super) breaker: BreakerRule,
    /// The longest window of the limiter.
    pub(super) longest_ms: u64,
}

/// One request that is to be decided on.
#[derive(Clone, Copy)]
pub(super) struct Case<'c> {
    pub(super) ask: &'c Ask<'c>,
    /// The request's own reading of the clock.
    pub(super) now: Moment,
    pub(super) realm: &'c Arc<Realm>,
    pub(super) rule: Rule,
}

impl SharedWindows {
    pub(super) fn new(store: Arc<dyn Windows>, local: MemoryWindows, usage: Usage) -> Self {
        let Usage { deadline, deny_cache, local_share, breaker, longest_ms } = usage;
        Self {
            store,
            breaker,
            parts: std::array::from_fn(|_| Part::new(breaker, longest_ms)),
            meter: StoreMeter::default(),
            told: Told::default(),
            chance: Chance::default(),
            deadline,
            denied: DenyCache::new(deny_cache),
            local,
            share: local_share,
            warm: AtomicBool::new(false),
        }
    }

    /// The logs in process.
    pub(super) fn local(&self) -> &MemoryWindows {
        &self.local
    }

    /// Keeps the logs in process from now on: something will be decided by them.
    pub(super) fn keep_warm(&self) {
        self.warm.store(true, Ordering::Relaxed);
    }

    /// Decides without the store: from a known denial, or because the store is left alone now.
    pub(super) fn at_once(self: &Arc<Self>, case: Case<'_>) -> Option<Ruling> {
        if let Some(answer) = self.denied.answer(case.ask, case.now.monotonic_nanos()) {
            return Some(Ruling::new(answer, LimitSource::DenyCache));
        }
        let number = match self.part_of(case.ask) {
            Ok(number) => number,
            Err(failed) => return Some(self.without(case, self.part(0), failed, None, case.now)),
        };
        let part = self.part(number);
        if !part.is_open() {
            return None;
        }
        self.watch(number, case.realm);
        let left_alone = Failed::because(StoreFailure::Breaker);
        Some(self.without(case, part, left_alone, None, case.now))
    }

    /// Asks the store.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped what was charged here and there stands; nothing else is left behind.
    pub(super) async fn ask(self: &Arc<Self>, case: Case<'_>) -> Ruling {
        if let Some(ruling) = self.at_once(case) {
            return ruling;
        }
        let number = self.part_of(case.ask).unwrap_or_default();
        let part = self.part(number);
        let begun = case.realm.clock.now();
        if tokio::runtime::Handle::try_current().is_err() {
            tracing::error!(
                "a store of windows must be asked off a tokio runtime; run the service on one"
            );
            return self.without(case, part, Failed::because(StoreFailure::Other), None, begun);
        }
        let epoch = match foreign::told(|| self.store.epoch(number)) {
            Ok(epoch) => epoch,
            Err(failed) => return self.without(case, part, failed, None, begun),
        };
        let sent = part.send(epoch, begun);
        let charged = match (sent.both && self.is_warm()).then(|| self.local.reserve(case.ask)) {
            Some(Ok((answer, _))) if !answer.is_admitted() => return Ruling::fallback(answer),
            Some(Ok(charged)) => Some(charged),
            Some(Err(full)) => return Ruling::full(full, case.rule, LimitSource::Fallback),
            None => None,
        };
        let answer = foreign::decide(&*self.store, self.deadline, case.ask).await;
        let ended = case.realm.clock.now();
        let took = ended.monotonic_nanos().saturating_sub(begun.monotonic_nanos());
        match answer {
            Ok(answer) => {
                let outcome = match answer.is_admitted() {
                    true => StoreOutcome::Admitted,
                    false => StoreOutcome::Denied,
                };
                self.meter.took(outcome, took);
                part.answered(&sent, answer.epoch(), ended);
                self.agree(case, part, &answer, charged, ended)
            }
            Err(failed) => {
                self.meter.took(StoreOutcome::Failed, took);
                self.meter.failed(failed.failure.as_str());
                self.failed(number, &sent, failed.failure, ended, case.realm);
                self.without(case, part, failed, charged, ended)
            }
        }
    }

    /// Brings what the store said and the logs in process together.
    fn agree(
        &self,
        case: Case<'_>,
        part: &Part,
        answer: &Answer,
        charged: Option<(Answer, Stamps)>,
        now: Moment,
    ) -> Ruling {
        if !answer.is_admitted() {
            if let Some((_, stamps)) = charged {
                self.local.take_back(case.ask, &stamps);
            }
            let (sent, received) = (case.now.monotonic_nanos(), now.monotonic_nanos());
            self.denied.remember(case.ask, answer, sent, received);
            return Ruling::new(*answer, LimitSource::Store);
        }
        if let Some((here, _)) = charged {
            return Ruling::new(stricter(answer, &here), LimitSource::Store);
        }
        if !self.is_warm() {
            return Ruling::new(*answer, LimitSource::Store);
        }
        let at = case.ask.at(now.monotonic_ms());
        // stamped before the look at the part: whoever decides here from now on sees either the stamp or is seen
        let stamps = self.local.stamp(&at);
        if !part.needs_both(now) {
            return Ruling::new(*answer, LimitSource::Store);
        }
        // it was sent when the store's word could stand alone, and came back when it no longer could
        self.local.take_back(&at, &stamps);
        match self.local.decide(&at) {
            Ok(here) if here.is_admitted() => {
                Ruling::new(stricter(answer, &here), LimitSource::Store)
            }
            Ok(here) => Ruling::fallback(here),
            Err(full) => Ruling::full(full, case.rule, LimitSource::Fallback),
        }
    }

    /// Decides by the outage rule.
    fn without(
        &self,
        case: Case<'_>,
        part: &Part,
        failed: Failed,
        charged: Option<(Answer, Stamps)>,
        now: Moment,
    ) -> Ruling {
        part.decided_elsewhere(case.realm.clock.now());
        self.meter.degraded(failed.failure.as_str());
        match (case.rule, charged) {
            (Rule::Open | Rule::Closed, _) => {
                Ruling::undecided(failed.rejection(), case.rule, LimitSource::Store)
            }
            (Rule::Local, Some((answer, _))) if self.share.get() == 1 => Ruling::fallback(answer),
            (Rule::Local, charged) => {
                if let Some((_, stamps)) = charged {
                    self.local.take_back(case.ask, &stamps);
                }
                self.decide_here(&case.ask.at(now.monotonic_ms()), failed)
            }
        }
    }

    /// Decides by the logs in process, under this process's share of the limits.
    fn decide_here(&self, ask: &Ask<'_>, failed: Failed) -> Ruling {
        let undecided =
            || Ruling::undecided(failed.rejection(), Rule::Local, LimitSource::Fallback);
        let [first, ..] = ask.items() else {
            return undecided();
        };
        let mut items = [*first; MOST_ITEMS];
        for (to, item) in items.iter_mut().zip(ask.items()) {
            let share = item.limit().count().get().div_ceil(self.share.get());
            *to = AskItem::new(*item.key(), item.limit().lowered_to(share));
        }
        let items = items.get(..ask.items().len()).unwrap_or(&[]);
        // a cost above the share fits the limit, but not here and now
        let Ok(ask) = Ask::new(ask.cost(), ask.now_ms(), items) else {
            return undecided();
        };
        match self.local.decide(&ask) {
            Ok(answer) => Ruling::fallback(answer),
            Err(full) => Ruling::full(full, Rule::Local, LimitSource::Fallback),
        }
    }

    pub(super) fn part(&self, number: u8) -> &Part {
        &self.parts[usize::from(number) % PARTS]
    }

    fn part_of(&self, ask: &Ask<'_>) -> Result<u8, Failed> {
        foreign::told(|| self.store.part(ask))
    }

    fn is_warm(&self) -> bool {
        self.warm.load(Ordering::Relaxed)
    }
}
