//! Does anything leave that only this process may say?
//!
//! 1. Needs no context, leaves none, never refuses: for the outer edge and for public routes.
//! 2. Removes what [`IdentityForward`](crate::stack::IdentityForward) in mode `off` removes, by the same code.
//! 3. Names that are added to the set later are removed from then on.

use tower_layer::Layer;

use crate::evidence::Evidence;
use crate::forward::mcp::BoundId;
use crate::forward::{AnswerCleaner, Challenge, Edge, EdgeRules, ForwardSet};
use crate::gate::{Attempt, Gate, Passage, Step, WithoutBody};
use crate::metrics::ForwardMeter;
use crate::rejection::{Rejection, StepName};

/// Removes identity, credentials and fields that end at this hop from requests, and identity from answers.
///
/// ```
/// use tower_bearer::stack::StripIdentity;
///
/// let layer = StripIdentity::new();
/// # let _ = layer;
/// ```
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct StripIdentity {
    set: ForwardSet,
    answers: AnswerCleaner,
    meter: ForwardMeter,
}

impl StripIdentity {
    /// Removes every name that this process emits anywhere.
    pub fn new() -> Self {
        Self::of(&ForwardSet::process())
    }

    /// Removes the names of this set, by its rules.
    pub fn of(set: &ForwardSet) -> Self {
        let answers = AnswerCleaner::new(set, &Challenge::Relayed);
        Self { set: set.clone(), answers, meter: ForwardMeter::default() }
    }

    fn strip(&self, passage: &mut Passage<'_>) -> Evidence {
        let cleaned = self.set.clean_request(&mut passage.head.headers);
        self.meter.removed(cleaned.removed());
        self.answers.note(passage.notes, &cleaned, passage.head, None);
        BoundId::put_back(passage.head);
        Evidence::NONE
    }
}

impl Default for StripIdentity {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for StripIdentity {
    type Service = Gate<Edge<S>, Self, WithoutBody>;

    fn layer(&self, inner: S) -> Self::Service {
        let edge = EdgeRules::forwarding([self.set.clone()]);
        Gate::new(Edge::new(inner, edge), self.clone(), WithoutBody::new())
    }
}

impl Step for StripIdentity {
    const NAME: StepName = StepName::Forward;
    const NEEDS: &'static [Evidence] = &[];

    fn attempt(&self, passage: &mut Passage<'_>) -> Attempt {
        Attempt::Pass(self.strip(passage))
    }

    async fn ask(&self, passage: &mut Passage<'_>) -> Result<Evidence, Rejection> {
        Ok(self.strip(passage))
    }
}
