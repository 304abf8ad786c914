//! Which events are told?
//!
//! 1. Of the passes a share, drawn by the request's time.
//! 2. Of the refusals so many per reason and second; the next one that is told says how many were held back before it.
//! 3. Everything else.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::audit::{AuditSink, Event, EventName};
use crate::clock::Moment;
use crate::metrics::suppressed;
use crate::rejection::Reason;

/// The sink with its sampling and caps. Clones share them.
#[derive(Clone)]
pub(crate) struct Audit {
    inner: Arc<Inner>,
}

struct Inner {
    sink: Box<dyn AuditSink>,
    /// Of 2^32 passes, how many are told.
    allowed_share: u64,
    denied_per_second: u64,
    caps: Vec<Cap>,
}

/// How many of one reason were told in the running second, and how many were held back in the last.
#[derive(Default)]
struct Cap {
    second_and_count: AtomicU64,
    suppressed: AtomicU64,
}

const COUNT_BITS: u32 = 24;

impl Audit {
    pub(crate) fn new(
        sink: Box<dyn AuditSink>,
        allowed_sample: f64,
        denied_per_second: u32,
    ) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to 0..=2^32"
        )]
        let allowed_share = (allowed_sample.clamp(0.0, 1.0) * 4_294_967_296.0) as u64;
        let caps = Reason::ALL.iter().map(|_| Cap::default()).collect();
        let denied_per_second = u64::from(denied_per_second).min((1 << COUNT_BITS) - 1);
        Self { inner: Arc::new(Inner { sink, allowed_share, denied_per_second, caps }) }
    }

    pub(crate) fn record(&self, event: &Event<'_>) {
        self.inner.sink.record(event);
    }

    pub(crate) fn wants(&self, name: EventName) -> bool {
        self.inner.sink.wants(name)
    }

    /// Is this pass one of those that are told? The same request always gets the same answer.
    pub(crate) fn samples(&self, now: Moment) -> bool {
        let mixed = now.monotonic_nanos().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        mixed < self.inner.allowed_share
    }

    /// May a refusal of this reason be told now? If so, with the number held back before it.
    pub(crate) fn admits(&self, reason: Reason, now: Moment) -> Option<u64> {
        let cap = self.inner.caps.get(reason as usize)?;
        let second = now.monotonic_ms() / 1_000;
        let count_mask = (1 << COUNT_BITS) - 1;
        let next = |old: u64| match (old >> COUNT_BITS == second, old & count_mask) {
            (true, count) => Some((second << COUNT_BITS) | count.saturating_add(1).min(count_mask)),
            (false, _) => Some((second << COUNT_BITS) | 1),
        };
        let word = &cap.second_and_count;
        let old = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or_default();
        let told = if old >> COUNT_BITS == second { old & count_mask } else { 0 };
        if told < self.inner.denied_per_second {
            return Some(cap.suppressed.swap(0, Ordering::Relaxed));
        }
        cap.suppressed.fetch_add(1, Ordering::Relaxed);
        suppressed(reason.as_str());
        None
    }
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audit").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::TracingSink;
    use crate::clock::Timestamp;
    use std::time::Duration;

    fn at(ms: u64) -> Moment {
        Moment::new(Timestamp::default(), Duration::from_millis(ms))
    }

    #[test]
    fn refusals_are_capped_per_reason_and_second() {
        let audit = Audit::new(Box::new(TracingSink::new()), 0.01, 2);
        for (name, reason, ms, want) in [
            ("P1202 first", Reason::Revoked, 10_000, Some(0)),
            ("P1202 second", Reason::Revoked, 10_500, Some(0)),
            ("P1202 over the cap", Reason::Revoked, 10_600, None),
            ("P1202 over the cap again", Reason::Revoked, 10_999, None),
            ("P1202 another reason", Reason::Expired, 10_999, Some(0)),
            ("P1202 next second tells the rest", Reason::Revoked, 11_000, Some(2)),
        ] {
            assert_eq!(audit.admits(reason, at(ms)), want, "{name}");
        }
    }

    #[test]
    fn passes_are_sampled_at_the_set_share() {
        for (sample, low, high) in [(0.0, 0, 0), (0.01, 60, 140), (1.0, 10_000, 10_000)] {
            let audit = Audit::new(Box::new(TracingSink::new()), sample, 100);
            let told = (0..10_000u64).filter(|n| audit.samples(at(n * 7 + 1))).count();
            assert!((low..=high).contains(&told), "P1201 at {sample}: {told}");
        }
    }
}
