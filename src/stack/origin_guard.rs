//! Does what one upstream is told leave for another one?
//!
//! 1. Needs nothing, leaves nothing; knows by a mark in the context whom [`IdentityForward`] prepared the request for.
//! 2. A request with a mark goes to that upstream's origin (RFC 6454 §4), or nowhere.
//! 3. A request without one goes anywhere, as long as it says nothing that only this process may say: whoever dropped the
//!    context did not drop the headers.
//! 4. Looks at the head alone; bodies pass as they come.

use std::sync::Arc;
use tower_layer::Layer;

use crate::evidence::Evidence;
use crate::forward::{Edge, EdgeRules, Forwarding};
use crate::gate::{Attempt, Gate, Passage, Step, WithoutBody};
use crate::rejection::{Reason, Rejection, RejectionKind, StepName};

#[cfg(doc)]
use crate::stack::IdentityForward;

/// Keeps what was forwarded to an upstream from every other origin: right above the client, under whatever follows redirects.
///
/// Made by [`IdentityForward::origin_guard`]. A request for another origin than the one it was prepared for, or one that holds
/// identity or a credential and was not prepared at all, is refused as 500 `forward_origin_mismatch`. The request's URI must be
/// absolute here.
///
/// A client that follows redirects by itself does so behind the guard's back: switch that off.
///
/// ```
/// use tower::ServiceBuilder;
/// use tower_bearer::forward::{ForwardOptions, Mode, Upstream};
/// use tower_bearer::stack::IdentityForward;
/// use tower_http::follow_redirect::FollowRedirectLayer;
/// # fn main() -> Result<(), tower_bearer::forward::ConfigError> {
/// let upstream = Upstream::new("mcp-main", "https://mcp.example.com/mcp")?;
/// let forward = IdentityForward::new(ForwardOptions::new(upstream, Mode::Headers).build()?);
/// let client = ServiceBuilder::new()
///     .layer(forward.client_side())
///     .layer(FollowRedirectLayer::new())
///     .layer(forward.origin_guard());
/// # let _ = client; Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct OriginGuard {
    targets: Arc<[(u64, Forwarding)]>,
}

impl OriginGuard {
    pub(super) fn new(targets: impl Iterator<Item = (u64, Forwarding)>) -> Self {
        Self { targets: targets.collect() }
    }

    fn verdict(&self, passage: &Passage<'_>) -> Result<Evidence, Rejection> {
        let head = &*passage.head;
        let mark = passage.context.as_ref().and_then(|context| context.made_for);
        let may_go = match self.targets.iter().find(|(own, _)| Some(*own) == mark) {
            Some((_, forwarding)) => forwarding.same_origin(&head.uri),
            // not ours, or nobody's
            None => !self.targets.iter().any(|(_, target)| target.set().is_in(&head.headers)),
        };
        if may_go {
            Ok(Evidence::NONE)
        } else {
            Err(Rejection::new(RejectionKind::OriginMismatch, Reason::WrongOrigin))
        }
    }
}

impl<S> Layer<S> for OriginGuard {
    type Service = Gate<Edge<S>, Self, WithoutBody>;

    fn layer(&self, inner: S) -> Self::Service {
        Gate::new(Edge::new(inner, EdgeRules::default()), self.clone(), WithoutBody::new())
    }
}

impl Step for OriginGuard {
    const NAME: StepName = StepName::Forward;
    const NEEDS: &'static [Evidence] = &[];

    fn attempt(&self, passage: &mut Passage<'_>) -> Attempt {
        self.verdict(passage).into()
    }

    async fn ask(&self, passage: &mut Passage<'_>) -> Result<Evidence, Rejection> {
        self.verdict(passage)
    }
}
