//! One decision: from a context and a cost to a pass or a refusal.

use http::HeaderValue;
use http::request::Parts;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::clock::Moment;
use crate::context::{AuthContext, Quota, Realm};
use crate::limit::outage::Rule;
use crate::limit::plan::Plan;
use crate::limit::ruling::Ruling;
use crate::limit::{Anonymous, Limiter, Mode, Outage, Store};
use crate::metrics::{LimitSource, LimitVerdict};
use crate::rejection::{LimitRefusal, Rejection};
use crate::store::{Ask, MemoryWindows, PolicyName};

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

/// What is asked of a limiter beside the context.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'r> {
    pub(crate) head: Option<&'r Parts>,
    /// Without one the limiter's own function of the head says it.
    pub(crate) cost: Option<u32>,
    /// The request's reading of the context's clock.
    pub(crate) now: Moment,
    /// In place of the limiter's own rule.
    pub(crate) outage: Option<Outage>,
}

impl Limiter {
    /// Decides, or says what the store must be asked. An `Err` is a misuse and refuses in any mode.
    pub(crate) fn decide(
        &self,
        context: &AuthContext,
        asked: Asked<'_>,
    ) -> Result<Decided<'_>, Rejection> {
        let Asked { head, cost, now, outage } = asked;
        self.shared.clock.get_or_init(|| Arc::clone(&context.realm.clock));
        if context.is_anonymous() {
            match self.shared.anonymous {
                Anonymous::Refuse => {
                    if self.shared.mode == Mode::Shadow {
                        self.count(LimitVerdict::WouldDeny);
                    }
                    return Ok(Decided::Now(self.refuse(Rejection::anonymous(), None)));
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
        let rule = outage.map_or(self.shared.rule, Rule::from);
        let Some(plan) = self.plan(context, head, cost, (now, rule))? else {
            return Ok(self.free());
        };
        if let Some(refusal) = plan.never() {
            self.count_refused(&refusal, LimitVerdict::Never, self.source());
            return Ok(Decided::Now(self.refuse(Rejection::over_limit(refusal), None)));
        }
        let ruling = match (&self.shared.store, plan.question()) {
            (Store::Local(windows), Ok(ask)) => Some(decided_here(windows, &ask, rule)),
            (Store::Shared(shared), Ok(ask)) => shared.at_once(plan.case(&ask, &context.realm)),
            (_, Err(rejection)) => Some(Ruling::undecided(rejection, rule, self.source())),
        };
        Ok(match ruling {
            Some(ruling) => Decided::Now(self.outcome(&plan, ruling)),
            None => Decided::Ask(plan),
        })
    }

    /// Puts the question to the store.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped the charge may stand; nothing else is left behind.
    pub(crate) async fn ask(&self, plan: &Plan<'_>, realm: &Arc<Realm>) -> Outcome {
        let ruling = match (&self.shared.store, plan.question()) {
            (Store::Shared(shared), Ok(ask)) => shared.ask(plan.case(&ask, realm)).await,
            (Store::Local(windows), Ok(ask)) => decided_here(windows, &ask, plan.rule),
            (_, Err(rejection)) => Ruling::undecided(rejection, plan.rule, self.source()),
        };
        self.outcome(plan, ruling)
    }

    /// From the store's answer to an outcome, by mode, outage rule and fields.
    #[inline]
    fn outcome(&self, plan: &Plan<'_>, ruling: Ruling) -> Outcome {
        let (shared, by) = (&self.shared, ruling.by);
        let answer = match ruling.answer {
            Ok(answer) => answer,
            Err(rejection) => {
                shared.undecided.fetch_add(1, Ordering::Relaxed);
                shared.meter.decided(None, LimitVerdict::Undecided, by);
                return match (by == LimitSource::Open, shared.mode) {
                    (false, Mode::Enforce) => Outcome::Refused(rejection, None),
                    (true, _) | (_, Mode::Shadow) => Outcome::Free,
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
            self.count_refused(&refusal, LimitVerdict::Denied, by);
            return self.refuse(Rejection::over_limit(refusal), lines(false));
        }
        match plan.quota(&answer, by) {
            Some(quota) => {
                shared.meter.decided(Some(quota.policy.as_str()), LimitVerdict::Admitted, by);
                Outcome::Charged(quota, lines(true))
            }
            None => Outcome::Free,
        }
    }

    fn free(&self) -> Decided<'static> {
        self.count(LimitVerdict::Free);
        Decided::Now(Outcome::Free)
    }

    fn count(&self, verdict: LimitVerdict) {
        self.shared.meter.decided(None, verdict, self.source());
    }

    fn count_refused(&self, refusal: &LimitRefusal, verdict: LimitVerdict, by: LimitSource) {
        let verdict = match self.shared.mode {
            Mode::Enforce => verdict,
            Mode::Shadow => LimitVerdict::WouldDeny,
        };
        self.shared.meter.decided(refusal.violated.first().map(PolicyName::as_str), verdict, by);
    }

    fn source(&self) -> LimitSource {
        match &self.shared.store {
            Store::Local(_) => LimitSource::Local,
            Store::Shared(_) => LimitSource::Store,
        }
    }

    /// Refuses, or counts that it would have.
    fn refuse(&self, rejection: Rejection, lines: Option<Lines>) -> Outcome {
        match self.shared.mode {
            Mode::Enforce => Outcome::Refused(rejection, lines),
            Mode::Shadow => {
                self.shared.would_deny.fetch_add(1, Ordering::Relaxed);
                Outcome::Free
            }
        }
    }
}

/// By the windows of this process, which need no outage rule but to be full.
fn decided_here(windows: &MemoryWindows, ask: &Ask<'_>, rule: Rule) -> Ruling {
    match windows.decide(ask) {
        Ok(answer) => Ruling::new(answer, LimitSource::Local),
        Err(full) => Ruling::full(full, rule, LimitSource::Local),
    }
}
