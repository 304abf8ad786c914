//! Is it any use to ask this issuer now?
//!
//! 1. It asked to be left alone: nobody asks until the end of that time, held to 1 to 30 s.
//! 2. It does not accept this service, again and again: a breaker of its own, so that this is never taken for an outage.
//! 3. It fails, where nobody else counts that: a breaker.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::breaker::Breaker;
use crate::cache::Trouble;
use crate::chance::Chance;
use crate::clock::Moment;
use crate::rejection::Reason;

/// What is known of how an issuer fares.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// Monotonic nanoseconds until which it is left alone.
    paused_until: AtomicU64,
    refusals: Mutex<Breaker>,
    failures: Mutex<Breaker>,
    chance: Chance,
}

const LEAST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(30);
const SECOND: u64 = 1_000_000_000;

impl Health {
    /// May it be asked? Claims a probe where one is due, so ask only before a call.
    pub(super) fn may_ask(&self, now: Moment) -> Result<(), Trouble> {
        if self.pause(now).is_some() {
            return Err(Trouble::of(Reason::IssuerBusy));
        }
        let nanos = now.monotonic_nanos();
        if !enter(&self.refusals).allow(nanos, self.chance.next()) {
            return Err(Trouble::of(Reason::IssuerRejectedUs));
        }
        if !enter(&self.failures).allow(nanos, self.chance.next()) {
            return Err(Trouble::of(Reason::IssuerError));
        }
        Ok(())
    }

    /// The rest of a pause in whole seconds, rounded up.
    pub(super) fn pause(&self, now: Moment) -> Option<u64> {
        let until = self.paused_until.load(Ordering::Acquire);
        let rest = until.saturating_sub(now.monotonic_nanos());
        Some(rest.div_ceil(SECOND)).filter(|rest| *rest > 0)
    }

    /// It gave an answer that says nothing of how it fares.
    pub(super) fn answered(&self) {
        enter(&self.refusals).succeeded();
        enter(&self.failures).succeeded();
    }

    /// It asked to be left alone. A pause is never cut short.
    pub(super) fn busy(&self, retry_after: Duration, now: Moment) {
        self.answered();
        let span = u64::try_from(retry_after.clamp(LEAST, MOST).as_nanos()).unwrap_or(u64::MAX);
        let until = now.monotonic_nanos().saturating_add(span);
        self.paused_until.fetch_max(until, Ordering::AcqRel);
    }

    /// It does not accept this service.
    pub(super) fn refused_us(&self, now: Moment) {
        enter(&self.failures).succeeded();
        enter(&self.refusals).failed(now.monotonic_nanos(), self.chance.next());
    }

    /// It failed, hung, or answered nonsense.
    pub(super) fn failed(&self, now: Moment) {
        enter(&self.failures).failed(now.monotonic_nanos(), self.chance.next());
    }
}

fn enter(breaker: &Mutex<Breaker>) -> MutexGuard<'_, Breaker> {
    breaker.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn at(millis: u64) -> Moment {
        Moment::new(Timestamp::default(), Duration::from_millis(millis))
    }

    #[test]
    fn pauses_are_held_to_1_to_30_s_and_rounded_up() {
        for (name, secs, want) in [("F185 0 s", 0, 1), ("FJ6 90 s", 90, 30), ("FD4 7 s", 7, 7)] {
            let health = Health::default();
            health.busy(Duration::from_secs(secs), at(0));
            assert_eq!(health.pause(at(0)), Some(want), "{name}");
            assert_eq!(health.pause(at(1)), Some(want), "{name} rounded up");
            assert_eq!(health.pause(at(want * 1_000 - 1)), Some(1), "{name} just before its end");
            assert_eq!(health.pause(at(want * 1_000)), None, "{name} over");
        }
        let health = Health::default();
        health.busy(Duration::from_secs(20), at(0));
        health.busy(Duration::from_secs(1), at(0));
        assert_eq!(health.pause(at(0)), Some(20), "F185 the longer one stays");
    }

    #[test]
    fn two_breakers() {
        let reason = |health: &Health, millis| {
            health.may_ask(at(millis)).err().map(|trouble| trouble.reason)
        };
        let health = Health::default();
        (0..3).for_each(|_| health.refused_us(at(0)));
        assert_eq!(reason(&health, 1), Some(Reason::IssuerRejectedUs), "F185 XM9");
        assert_eq!(reason(&health, 751), None, "F185 a probe");
        health.answered();
        assert_eq!(reason(&health, 752), None, "F185 one good answer");
        (0..3).for_each(|_| health.failed(at(752)));
        assert_eq!(reason(&health, 753), Some(Reason::IssuerError), "F185 XM8");
        health.refused_us(at(754));
        assert_eq!(reason(&health, 755), None, "F185 to refuse us is an answer, too");
    }
}
