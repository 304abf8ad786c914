//! One decision: from a context and a cost to a pass or a refusal.

use http::HeaderValue;
use http::request::Parts;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::context::{AuthContext, Quota};
use crate::limit::plan::Plan;
use crate::limit::{Anonymous, Limiter, Mode, Outage, Store, foreign};
use crate::metrics::{LimitSource, LimitVerdict};
use crate::rejection::{LimitRefusal, Reason, Rejection};
use crate::store::{Answer, PolicyName};

/// What a limiter says without waiting.
#[expect(
    clippy::large_enum_variant,
    reason = "lives on the stack for a moment; a box would allocate"
)]
pub(crate) enum Decided<'a> {
    Now(Outcome),
    /// The store must be asked this.
    Ask(Plan<'a>),
}

/// What a limiter made of a request.
pub(crate) enum Outcome {
    /// Not charged, and nothing to tell: free, exempt, in shadow, or let by in an outage.
    Free,
    Charged(Quota, Option<Lines>),
    Refused(Rejection, Option<Lines>),
}

/// The values of `RateLimit-Policy` and `RateLimit`.
pub(crate) struct Lines {
    pub(crate) policy: HeaderValue,
    pub(crate) state: HeaderValue,
}

impl Limiter {
    /// Decides at `now_ms` of the context's clock, or says what the store must be asked.
    ///
    /// Without a `cost` the limiter's own function of the head says it. An `Err` is a misuse and refuses in any mode.
    pub(crate) fn decide(
        &self,
        context: &AuthContext,
        head: Option<&Parts>,
        cost: Option<u32>,
        now_ms: u64,
    ) -> Result<Decided<'_>, Rejection> {
        self.shared.clock.get_or_init(|| Arc::clone(&context.realm.clock));
        if context.is_anonymous() {
            match self.shared.anonymous {
                Anonymous::Refuse => {
                    if self.shared.mode == Mode::Shadow {
                        self.count(None, LimitVerdict::WouldDeny);
                    }
                    return Ok(self.refuse(Rejection::anonymous(), None));
                }
                Anonymous::Pass => return Ok(self.free()),
                Anonymous::ByPeer(_) => {}
            }
        }
        let cost = match (cost, head, &self.shared.cost_by) {
            (Some(cost), _, _) => cost,
            (None, Some(head), Some(cost_by)) => cost_by(head, context),
            (None, _, _) => 1,
        };
        let Some(cost) = NonZeroU32::new(cost) else { return Ok(self.free()) };
        let Some(plan) = self.plan(context, head, cost, now_ms)? else {
            return Ok(self.free());
        };
        if let Some(refusal) = plan.never() {
            self.count_refused(&refusal, LimitVerdict::Never);
            return Ok(self.refuse(Rejection::over_limit(refusal), None));
        }
        let Store::Local(windows) = &self.shared.store else { return Ok(Decided::Ask(plan)) };
        let answer = match plan.question() {
            Ok(ask) => windows
                .decide(&ask)
                .map_err(|full| Rejection::undecidable(Reason::StoreError, Some(Arc::new(full)))),
            Err(rejection) => Err(rejection),
        };
        Ok(Decided::Now(self.outcome(&plan, answer)))
    }

    /// Puts the question to the store.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped the charge may stand; nothing else is left behind.
    pub(crate) async fn ask(&self, plan: &Plan<'_>) -> Outcome {
        let answer = match (&self.shared.store, plan.question()) {
            (Store::Foreign { store, deadline }, Ok(ask)) => {
                foreign::decide(&**store, *deadline, &ask).await
            }
            (Store::Local(_), Ok(_)) => Err(Rejection::undecidable(Reason::StoreError, None)),
            (_, Err(rejection)) => Err(rejection),
        };
        self.outcome(plan, answer)
    }

    /// From the store's answer to an outcome, by mode, outage rule and fields.
    #[inline]
    fn outcome(&self, plan: &Plan<'_>, answer: Result<Answer, Rejection>) -> Outcome {
        let shared = &self.shared;
        let answer = match answer {
            Ok(answer) => answer,
            Err(rejection) => {
                shared.undecided.fetch_add(1, Ordering::Relaxed);
                let source = match shared.outage {
                    Outage::Open => LimitSource::Open,
                    Outage::Closed => self.source(),
                };
                shared.meter.decided(None, LimitVerdict::Undecided, source);
                return match (shared.outage, shared.mode) {
                    (Outage::Closed, Mode::Enforce) => Outcome::Refused(rejection, None),
                    (Outage::Open, _) | (_, Mode::Shadow) => Outcome::Free,
                };
            }
        };
        let lines = |admitted| {
            let wanted = shared.fields.shows(admitted) && shared.mode == Mode::Enforce;
            if wanted { plan.lines(&answer) } else { None }
        };
        if !answer.is_admitted() {
            let refusal = LimitRefusal {
                retry_after_ms: answer.retry_after_ms(),
                violated: plan.violated(&answer),
            };
            self.count_refused(&refusal, LimitVerdict::Denied);
            return match self.refuse(Rejection::over_limit(refusal), lines(false)) {
                Decided::Now(outcome) => outcome,
                Decided::Ask(_) => Outcome::Free,
            };
        }
        match plan.quota(&answer) {
            Some(quota) => {
                self.count(Some(quota.policy.as_str()), LimitVerdict::Admitted);
                Outcome::Charged(quota, lines(true))
            }
            None => Outcome::Free,
        }
    }

    fn free(&self) -> Decided<'static> {
        self.count(None, LimitVerdict::Free);
        Decided::Now(Outcome::Free)
    }

    fn count(&self, policy: Option<&str>, verdict: LimitVerdict) {
        self.shared.meter.decided(policy, verdict, self.source());
    }

    fn count_refused(&self, refusal: &LimitRefusal, verdict: LimitVerdict) {
        let verdict = match self.shared.mode {
            Mode::Enforce => verdict,
            Mode::Shadow => LimitVerdict::WouldDeny,
        };
        self.count(refusal.violated.first().map(PolicyName::as_str), verdict);
    }

    fn source(&self) -> LimitSource {
        match &self.shared.store {
            Store::Local(_) => LimitSource::Local,
            Store::Foreign { .. } => LimitSource::Store,
        }
    }

    /// Refuses, or counts that it would have.
    fn refuse(&self, rejection: Rejection, lines: Option<Lines>) -> Decided<'static> {
        match self.shared.mode {
            Mode::Enforce => Decided::Now(Outcome::Refused(rejection, lines)),
            Mode::Shadow => {
                self.shared.would_deny.fetch_add(1, Ordering::Relaxed);
                Decided::Now(Outcome::Free)
            }
        }
    }
}
