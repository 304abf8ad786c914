//! Does the caller ask too often?
//!
//! 1. Needs the context; leaves [`Evidence::LIMITED`]. What step 1 refused is never charged.
//! 2. A limiter decides once per request: met again, it passes without a charge and without a second set of fields.
//! 3. Denied: 429 with the true wait (RFC 6585 §4). Costs more than a limit: 429 without one. Undecidable: 503.
//! 4. In process it decides at once; a shared store is asked, unless it is out or its answer is known.
//! 5. Limits on workspace or app stand behind membership, or strangers could spend them.

use std::sync::Arc;

use crate::evidence::Evidence;
use crate::gate::{Attempt, LimitNote, Passage, Step, step_layer};
use crate::limit::{Asked, Decided, Limiter, Outage, Outcome, TENANT};
use crate::rejection::{Rejection, StepName};

/// Lets through callers who are within their limits.
///
/// | status | kind | headers | when |
/// | --- | --- | --- | --- |
/// | 429 | `rate_limited` | `Retry-After`, `RateLimit-Policy`, `RateLimit` | over a limit that waiting cures |
/// | 429 | `cost_over_limit` | | the request costs more than a limit ever allows |
/// | 401 | `missing_token` | `WWW-Authenticate` | nobody to count, unless the limiter says otherwise |
/// | 503 | `temporarily_unavailable` | `Retry-After` | nothing could say: the store is out, and the outage rule is `Closed` |
///
/// Takes limits per token, subject and custom key; those per workspace and app need [`TenantLimit`]'s place. A clone is
/// the same limiter and costs one reference count.
///
/// ```
/// # use tower_bearer::{limit::Limiter, stack::RateLimit};
/// # fn example(limiter: &Limiter) {
/// let layer = RateLimit::new(limiter.clone());
/// # let _ = layer; }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct RateLimit {
    limiter: Limiter,
    outage: Option<Outage>,
}

/// Lets through callers while their workspace and app are within their limits.
///
/// Stands after `AppAuthz` or, in a stack without it, after `WorkspaceMembershipCheck`. A caller who was exempted from
/// membership must have been authorized. Its limiter may hold policies of every kind; answers as [`RateLimit`].
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct TenantLimit {
    limiter: Limiter,
    outage: Option<Outage>,
}

impl RateLimit {
    /// Limits by `limiter`.
    pub fn new(limiter: Limiter) -> Self {
        Self { limiter, outage: None }
    }

    /// Decides by this rule while a shared store is out, whatever the limiter's own is: for single routes.
    pub fn on_outage(mut self, outage: Outage) -> Self {
        self.limiter.prepare(outage);
        self.outage = Some(outage);
        self
    }
}

impl TenantLimit {
    /// Limits by `limiter`.
    pub fn new(limiter: Limiter) -> Self {
        Self { limiter, outage: None }
    }

    /// Decides by this rule while a shared store is out, whatever the limiter's own is: for single routes.
    pub fn on_outage(mut self, outage: Outage) -> Self {
        self.limiter.prepare(outage);
        self.outage = Some(outage);
        self
    }
}

impl From<Limiter> for RateLimit {
    fn from(limiter: Limiter) -> Self {
        Self::new(limiter)
    }
}

impl From<&Limiter> for RateLimit {
    fn from(limiter: &Limiter) -> Self {
        Self::new(limiter.clone())
    }
}

impl From<Limiter> for TenantLimit {
    fn from(limiter: Limiter) -> Self {
        Self::new(limiter)
    }
}

impl From<&Limiter> for TenantLimit {
    fn from(limiter: &Limiter) -> Self {
        Self::new(limiter.clone())
    }
}

step_layer!(RateLimit);
step_layer!(TenantLimit);

impl Step for RateLimit {
    const NAME: StepName = StepName::Limit;
    const NEEDS: &'static [Evidence] = &[Evidence::AUTHENTICATED.and(Evidence::ANONYMOUS)];

    fn attempt(&self, passage: &mut Passage<'_>) -> Attempt {
        attempt((&self.limiter, self.outage), passage).unwrap_or_else(Attempt::Reject)
    }

    async fn ask(&self, passage: &mut Passage<'_>) -> Result<Evidence, Rejection> {
        ask((&self.limiter, self.outage), passage).await
    }
}

impl Step for TenantLimit {
    const NAME: StepName = StepName::Limit;
    const NEEDS: &'static [Evidence] = &[TENANT];

    fn attempt(&self, passage: &mut Passage<'_>) -> Attempt {
        attempt((&self.limiter, self.outage), passage).unwrap_or_else(Attempt::Reject)
    }

    async fn ask(&self, passage: &mut Passage<'_>) -> Result<Evidence, Rejection> {
        ask((&self.limiter, self.outage), passage).await
    }
}

/// A limiter, and the layer's own outage rule.
type By<'l> = (&'l Limiter, Option<Outage>);

fn attempt(by: By<'_>, passage: &mut Passage<'_>) -> Result<Attempt, Rejection> {
    match decide(by, passage)? {
        Some(Decided::Now(outcome)) => conclude(by.0, passage, outcome).map(Attempt::Pass),
        Some(Decided::Ask(_)) => Ok(Attempt::Ask),
        None => Ok(Attempt::Pass(Evidence::LIMITED)),
    }
}

async fn ask(by: By<'_>, passage: &mut Passage<'_>) -> Result<Evidence, Rejection> {
    let outcome = match decide(by, passage)? {
        Some(Decided::Now(outcome)) => outcome,
        Some(Decided::Ask(plan)) => {
            let realm = Arc::clone(&passage.context()?.realm);
            by.0.ask(&plan, &realm).await
        }
        None => return Ok(Evidence::LIMITED),
    };
    conclude(by.0, passage, outcome)
}

/// `None` if this limiter has decided on this request.
fn decide<'l>(
    (limiter, outage): By<'l>,
    passage: &mut Passage<'_>,
) -> Result<Option<Decided<'l>>, Rejection> {
    let context = passage.context()?;
    if context.is_limited_by(limiter.number()) {
        return Ok(None);
    }
    if limiter.is_tenant() && !context.evidence.intersects(TENANT) {
        return Err(Rejection::misordered(TENANT));
    }
    let now = context.now;
    let asked = Asked { head: Some(&*passage.head), cost: None, now, outage };
    match passage.context.as_ref() {
        Some(context) => limiter.decide(context, asked).map(Some),
        None => Err(Rejection::misordered(Evidence::AUTHENTICATED)),
    }
}

fn conclude(
    limiter: &Limiter,
    passage: &mut Passage<'_>,
    outcome: Outcome,
) -> Result<Evidence, Rejection> {
    let (verdict, lines) = match outcome {
        Outcome::Free => (Ok(None), None),
        Outcome::Charged(quota, lines) => (Ok(Some(quota)), lines),
        Outcome::Refused(rejection, lines) => (Err(rejection), lines),
    };
    if let Some(lines) = lines {
        passage.notes.limit(LimitNote { policy: lines.policy, state: lines.state });
    }
    let quota = verdict?;
    let context = passage.context()?;
    context.note_limiter(limiter.number());
    if quota.is_some() {
        context.limits.quota = quota;
    }
    Ok(Evidence::LIMITED)
}
