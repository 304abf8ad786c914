//! What does a refusal say, and to whom?
//!
//! 1. A refusal is a response. The [`Rejection`] that made it lies in the response's extensions.
//! 2. The client learns its kind: a status, an `error` word and one constant text (RFC 9457, RFC 6750 §3).
//! 3. The reason and the source are for logs and events; they never go on the wire.
//! 4. No refusal may be stored by a cache on the way (`Cache-Control: no-store`).

mod answers;
pub(crate) mod challenge;
mod kind;
mod problem;
mod reason;
mod token;

pub use self::answers::AnswerError;
use self::answers::NO_STORE;
pub(crate) use self::answers::{Answers, PROBLEM, Settings};
pub use self::kind::RejectionKind;
pub use self::reason::{Reason, StepName};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::evidence::Evidence;
use crate::rejection::problem::Extras;
use crate::scope::RequiredScopes;
use crate::store::PolicyName;

/// One refusal: its kind, and for the logs its reason and source.
///
/// Found in the extensions of every response that this crate's layers made. `Debug` and `Display` show kind,
/// reason and step; neither shows a token.
#[derive(Clone)]
pub struct Rejection {
    kind: RejectionKind,
    reason: Reason,
    step: Option<StepName>,
    rendered: bool,
    answers: Option<Arc<Answers>>,
    payload: Payload,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// What only some kinds have to tell.
#[derive(Clone, Debug)]
enum Payload {
    None,
    Scopes(Arc<RequiredScopes>),
    Kinds(Arc<Vec<Arc<str>>>),
    Limit(Box<LimitRefusal>),
    Missing(Evidence),
    /// Seconds after which somebody else will have an answer.
    Pause(u64),
}

/// What a limiter says when it refuses.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct LimitRefusal {
    pub(crate) retry_after_ms: Option<u32>,
    pub(crate) violated: Vec<PolicyName>,
}

impl Rejection {
    pub(crate) fn new(kind: RejectionKind, reason: Reason) -> Self {
        Self {
            kind,
            reason,
            step: None,
            rendered: false,
            answers: None,
            payload: Payload::None,
            source: None,
        }
    }

    /// A token that is not accepted, whatever the reason.
    pub(crate) fn invalid_token(reason: Reason) -> Self {
        Self::new(RejectionKind::InvalidToken, reason)
    }

    /// A later step needs a caller, and the request has none.
    pub(crate) fn anonymous() -> Self {
        Self::new(RejectionKind::MissingCredential, Reason::NoCredential)
    }

    /// A step ran without one it needs.
    pub(crate) fn misordered(missing: Evidence) -> Self {
        let rejection = Self::new(RejectionKind::Misordered, Reason::Misordered);
        Self { payload: Payload::Missing(missing), ..rejection }
    }

    /// A step lacks a fact that no step leaves.
    pub(crate) fn lacking(fact: impl Error + Send + Sync + 'static) -> Self {
        let source: Arc<dyn Error + Send + Sync> = Arc::new(fact);
        let rejection = Self::new(RejectionKind::Misordered, Reason::Misordered);
        Self { source: Some(source), ..rejection }
    }

    /// A fact could not be had.
    pub(crate) fn undecidable(
        reason: Reason,
        source: Option<Arc<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { source, ..Self::new(RejectionKind::Undecidable, reason) }
    }

    /// This refusal, to be tried again after so many seconds rather than the authenticator's own.
    #[must_use]
    pub(crate) fn retry_in(self, seconds: u64) -> Self {
        Self { payload: Payload::Pause(seconds), ..self }
    }

    /// This refusal, with what the logs are told of it.
    #[must_use]
    pub(crate) fn caused_by(self, source: impl Error + Send + Sync + 'static) -> Self {
        Self { source: Some(Arc::new(source)), ..self }
    }

    /// As [`caused_by`](Self::caused_by), with a cause that was erased before, if there is one.
    #[must_use]
    pub(crate) fn because(self, source: Option<Arc<dyn Error + Send + Sync>>) -> Self {
        Self { source, ..self }
    }

    /// The caller lacks scopes of the upstream.
    pub(crate) fn step_up(required: Arc<RequiredScopes>) -> Self {
        Self { reason: Reason::StepUp, ..Self::insufficient_scope(required) }
    }

    pub(crate) fn insufficient_scope(required: Arc<RequiredScopes>) -> Self {
        let rejection = Self::new(RejectionKind::InsufficientScope, Reason::MissingScope);
        Self { payload: Payload::Scopes(required), ..rejection }
    }

    pub(crate) fn unsupported_kind(accepted: Arc<Vec<Arc<str>>>) -> Self {
        let rejection = Self::new(RejectionKind::UnsupportedKind, Reason::KindNotAccepted);
        Self { payload: Payload::Kinds(accepted), ..rejection }
    }

    pub(crate) fn over_limit(refusal: LimitRefusal) -> Self {
        let kind = match refusal.retry_after_ms {
            Some(_) => RejectionKind::RateLimited,
            None => RejectionKind::CostOverLimit,
        };
        let payload = Payload::Limit(Box::new(refusal));
        Self { payload, ..Self::new(kind, Reason::RateLimited) }
    }

    /// Notes which step refused; the first note stands.
    pub(crate) fn refused_by(&mut self, step: StepName) {
        self.step.get_or_insert(step);
    }

    /// Notes how the authenticator answers; the first note stands.
    pub(crate) fn answered_by(&mut self, answers: &Arc<Answers>) {
        self.answers.get_or_insert_with(|| Arc::clone(answers));
    }

    /// What the client is told.
    pub fn kind(&self) -> RejectionKind {
        self.kind
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.kind.status()
    }

    /// What exactly was wrong: for logs, never for the client.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The step that refused; `None` for an answer of [`authenticate`](crate::Authenticator::authenticate).
    pub fn step(&self) -> Option<StepName> {
        self.step
    }

    /// How long until the same request may pass, in milliseconds: set for [`RejectionKind::RateLimited`].
    pub fn retry_after_ms(&self) -> Option<u32> {
        self.limit()?.retry_after_ms
    }

    /// The policies that had no room, in the limiter's order; empty unless a limiter refused.
    pub fn policies(&self) -> &[PolicyName] {
        self.limit().map_or(&[], |refusal| &refusal.violated)
    }

    /// What a misordered step needs.
    pub(crate) fn missing(&self) -> Option<Evidence> {
        match &self.payload {
            Payload::Missing(missing) => Some(*missing),
            Payload::None
            | Payload::Scopes(_)
            | Payload::Kinds(_)
            | Payload::Limit(_)
            | Payload::Pause(_) => None,
        }
    }

    pub(crate) fn is_rendered(&self) -> bool {
        self.rendered
    }

    pub(crate) fn set_rendered(&mut self) {
        self.rendered = true;
    }

    /// Writes challenge, `Retry-After` and `Cache-Control`.
    pub(crate) fn write_headers(&self, headers: &mut HeaderMap) {
        let scope = match &self.payload {
            Payload::Scopes(required) => Some(required.challenge_scopes()),
            Payload::None
            | Payload::Kinds(_)
            | Payload::Limit(_)
            | Payload::Missing(_)
            | Payload::Pause(_) => None,
        };
        if let Some(challenge) = self.answers().challenge(self.kind, scope) {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        headers.insert(CACHE_CONTROL, NO_STORE);
        if let Some(seconds) = self.retry_after_seconds() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
    }

    /// Every field and the problem body, where nothing in them is of this request alone.
    pub(crate) fn whole(&self) -> Option<(HeaderMap, Bytes)> {
        match &self.payload {
            Payload::None | Payload::Missing(_) => self.answers().whole(self.kind),
            Payload::Scopes(_) | Payload::Kinds(_) | Payload::Limit(_) | Payload::Pause(_) => None,
        }
    }

    /// The bytes of the problem body, and their number as a field value.
    pub(crate) fn body(&self) -> (Bytes, HeaderValue) {
        let extras = match &self.payload {
            Payload::Scopes(required) => Extras::Scopes(required),
            Payload::Kinds(kinds) => Extras::Kinds(kinds),
            Payload::Limit(refusal) => Extras::Limit(refusal),
            Payload::None | Payload::Missing(_) | Payload::Pause(_) => Extras::None,
        };
        self.answers().body(self.kind, extras)
    }

    fn retry_after_seconds(&self) -> Option<u64> {
        if let Payload::Pause(seconds) = self.payload {
            return Some(seconds);
        }
        if self.kind.is_undecided() {
            return Some(self.answers().retry_after_seconds());
        }
        self.retry_after_ms().map(|ms| u64::from(ms).div_ceil(1_000).max(1))
    }

    /// What a limiter said; `None` unless one refused.
    fn limit(&self) -> Option<&LimitRefusal> {
        match &self.payload {
            Payload::Limit(refusal) => Some(refusal),
            Payload::None
            | Payload::Scopes(_)
            | Payload::Kinds(_)
            | Payload::Missing(_)
            | Payload::Pause(_) => None,
        }
    }

    fn answers(&self) -> &Arc<Answers> {
        self.answers.as_ref().unwrap_or_else(|| Answers::shared_default())
    }
}

impl Error for Rejection {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.kind.error(), self.reason.as_str())
    }
}

impl fmt::Debug for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejection")
            .field("kind", &self.kind)
            .field("reason", &self.reason)
            .field("step", &self.step)
            .finish_non_exhaustive()
    }
}
