//! Gives refusals of free layers the body that a stack would have given them.

use crate::evidence::Evidence;
use crate::gate::{Attempt, Gate, Passage, Step, WithBody};
use crate::rejection::{Rejection, StepName};

/// Fills the empty body of a refusal that a layer of this crate made further inside.
///
/// Put it outermost around free layers; a [`BearerStack`](crate::stack::BearerStack) does the same by itself. The body type
/// must be `From<Bytes>`.
///
/// ```
/// # use tower_bearer::{Authenticator, stack::{BearerCheck, RenderRejections, ScopeCheck}};
/// # fn example(auth: &Authenticator) -> Result<(), tower_bearer::scope::ScopeError> {
/// let layers = tower::ServiceBuilder::new()
///     .layer(RenderRejections::new())
///     .layer(BearerCheck::new(auth))
///     .layer(ScopeCheck::all(["apps:read"])?);
/// # let _ = layers; Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "a layer does nothing until it wraps a service"]
#[non_exhaustive]
pub struct RenderRejections;

impl RenderRejections {
    /// A layer that renders.
    pub fn new() -> Self {
        Self
    }
}

impl<S> tower_layer::Layer<S> for RenderRejections {
    type Service = Gate<S, Self, WithBody>;

    fn layer(&self, inner: S) -> Self::Service {
        Gate::new(inner, *self, WithBody::new())
    }
}

/// It checks nothing; what it does is the gate's way back.
impl Step for RenderRejections {
    const NAME: StepName = StepName::Bearer;
    const NEEDS: &'static [Evidence] = &[];

    fn attempt(&self, _passage: &mut Passage<'_>) -> Attempt {
        Attempt::Pass(Evidence::NONE)
    }

    async fn ask(&self, _passage: &mut Passage<'_>) -> Result<Evidence, Rejection> {
        Ok(Evidence::NONE)
    }
}
