//! How does what an issuer or a store said, or did not say, read to the client?
//!
//! 1. A definite no is 401 or 403; whatever nobody could say is 503 or 504, with `Retry-After`.
//! 2. Nobody is told that the user's token is bad when it is this service that the issuer refuses.
//! 3. An issuer's words stay in the rejection's source, which is not logged.

use std::sync::Arc;

use crate::cache::Trouble;
use crate::rejection::{Reason, Rejection, RejectionKind};
use crate::scope::RequiredScopes;

/// A definite answer that is no credential. All who wait for it hear it; it is never kept.
#[derive(Clone, Debug)]
pub(super) enum Refusal {
    Reauth,
    Login,
    Denied,
    StepUp(Arc<RequiredScopes>),
    RefusesUs,
    Busy,
}

impl Refusal {
    /// The fixed word in metrics.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Reauth => Reason::ReauthRequired.as_str(),
            Self::Login => Reason::LoginRequired.as_str(),
            Self::Denied => Reason::IdentityDenied.as_str(),
            Self::StepUp(_) => Reason::StepUp.as_str(),
            Self::RefusesUs => "refuses_us",
            Self::Busy => "busy",
        }
    }

    /// `pause` is the rest of the time for which the issuer is left alone, in seconds.
    pub(super) fn rejection(self, pause: Option<u64>) -> Rejection {
        match self {
            Self::Reauth => reauth(),
            Self::Login => Rejection::new(RejectionKind::LoginRequired, Reason::LoginRequired),
            Self::Denied => Rejection::new(RejectionKind::IdentityDenied, Reason::IdentityDenied),
            Self::StepUp(scopes) => Rejection::step_up(scopes),
            Self::RefusesUs => unavailable(Reason::IssuerRejectedUs),
            Self::Busy => busy(pause),
        }
    }
}

/// The caller must sign in again.
pub(super) fn reauth() -> Rejection {
    Rejection::new(RejectionKind::ReauthRequired, Reason::ReauthRequired)
}

/// A mode lacks what it works with: the layer tells of it.
pub(super) fn misconfigured() -> Rejection {
    Rejection::new(RejectionKind::ForwardMisconfigured, Reason::ForwardConfig)
}

/// The credential was not made for the upstream.
pub(super) fn wrong_audience() -> Rejection {
    Rejection::new(RejectionKind::AudienceMismatch, Reason::WrongUpstreamAudience)
}

/// No answer of an issuer.
pub(super) fn no_answer(trouble: Trouble, pause: Option<u64>) -> Rejection {
    let reason = trouble.reason;
    let rejection = if reason == Reason::IssuerBusy {
        busy(pause)
    } else if matches!(reason, Reason::Deadline | Reason::IssuerDeadline) {
        Rejection::new(RejectionKind::IssuerTimeout, Reason::IssuerDeadline)
    } else if matches!(reason, Reason::Overload | Reason::IssuerRejectedUs) {
        unavailable(reason)
    } else {
        unavailable(Reason::IssuerError)
    };
    rejection.because(trouble.source)
}

/// No answer of the store of links.
pub(super) fn no_link(trouble: Trouble) -> Rejection {
    Rejection::new(RejectionKind::LinkStoreUnavailable, trouble.reason).because(trouble.source)
}

fn busy(pause: Option<u64>) -> Rejection {
    unavailable(Reason::IssuerBusy).retry_in(pause.unwrap_or(1))
}

fn unavailable(reason: Reason) -> Rejection {
    Rejection::new(RejectionKind::IssuerUnavailable, reason)
}
