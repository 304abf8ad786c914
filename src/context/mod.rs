//! What is known about this request's caller?
//!
//! 1. One entry in the request's extensions. Nothing outside this crate can make or change one.
//! 2. What belongs to the token is shared by reference count; what belongs to the request lies beside it.
//! 3. It is a snapshot of the start of the request.

mod facts;
mod recall;

pub(crate) use self::facts::{LimitIds, TokenFacts};
pub(crate) use self::recall::{Kept, Recall, Recalled, Recent};

use http::header::HeaderName;
use http::request::Parts;
use http::{Extensions, HeaderMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::audit::{Audit, Event, EventName};
use crate::clock::{Clock, Moment, Timestamp};
use crate::evidence::Evidence;
use crate::id::{AppId, ClientId, TokenId, WorkspaceId};
use crate::metrics::Decisions;
use crate::rejection::{Answers, Rejection};
use crate::scope::ScopeSet;
use crate::secret::Secret;
use crate::store::{AppRecord, Membership, PolicyName};
use crate::subject::{Subject, SubjectKey};
use crate::token::Digest;
use crate::token::credential::read;

/// What every step of one authenticator shares: how refusals read, where events go, and what time it is.
#[derive(Clone)]
pub struct Realm {
    pub(crate) answers: Arc<Answers>,
    pub(crate) audit: Audit,
    pub(crate) clock: Arc<dyn Clock>,
    /// One more header that a token may come in.
    pub(crate) credential_header: Option<HeaderName>,
    /// Moved on by every `forget_`: what was recalled from before it counts no more.
    pub(crate) epoch: Arc<AtomicU64>,
    /// Names the route of a request, for events and metrics.
    pub(crate) route: Option<Arc<RouteOf>>,
    pub(crate) decisions: Decisions,
}

/// The longest token that can be sent on.
const LONGEST: usize = 8_192;

/// From the head of a request to one of a few constants.
pub(crate) type RouteOf = dyn Fn(&Parts) -> &'static str + Send + Sync;

impl Realm {
    /// The route, if the service says it.
    pub(crate) fn route_of(&self, head: &Parts) -> Option<&'static str> {
        self.route.as_ref().map(|route| route(head))
    }
}

/// What is known about the caller of one request.
///
/// Left in the request's extensions by [`BearerCheck`](crate::stack::BearerCheck); read it with
/// [`AuthContext::of`]. A clone costs a few reference counts.
///
/// `Debug` shows the subject's type, the token's id and kind, and the evidence; never an e-mail or a scope.
///
/// Nobody else makes one, except in tests by feature `test-util`:
///
/// ```compile_fail,E0451
/// # fn example(real: tower_bearer::AuthContext) {
/// let forged = tower_bearer::AuthContext { evidence: tower_bearer::Evidence::MEMBER, ..real };
/// # }
/// ```
#[derive(Clone)]
pub struct AuthContext {
    pub(crate) caller: Option<Arc<TokenFacts>>,
    pub(crate) realm: Arc<Realm>,
    pub(crate) authenticator: u64,
    pub(crate) now: Moment,
    pub(crate) loaded: bool,
    pub(crate) evidence: Evidence,
    /// Whom this request tells who is calling: the mark of the upstream that it was prepared for last.
    pub(crate) made_for: Option<u64>,
    pub(crate) app: Option<ResolvedApp>,
    pub(crate) workspace: Option<WorkspaceId>,
    pub(crate) membership: Option<Membership>,
    pub(crate) limits: Limits,
    /// The token that the request came with: only where it was attached on purpose.
    pub(crate) presented: Option<Secret>,
}

/// What the app's id led to. An app that is not there is judged like one of a workspace nobody belongs to.
#[derive(Clone, Debug)]
pub(crate) enum ResolvedApp {
    Known(Arc<AppRecord>),
    Unknown(WorkspaceId),
}

/// What limiters decided on this request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limits {
    /// Place 2 and place 2b; only a third limiter allocates.
    pub(crate) first: [Option<u64>; 2],
    pub(crate) more: Vec<u64>,
    pub(crate) quota: Option<Quota>,
}

/// How much of its limit the caller has left.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Quota {
    /// The policy with the least left.
    pub policy: PolicyName,
    /// Its limit for this caller, in units.
    pub limit: u32,
    /// Units left in the window.
    pub remaining: u32,
    /// Milliseconds until the oldest counted unit comes back.
    pub reset_ms: u32,
    /// Who says so.
    pub source: QuotaSource,
}

/// Which logs a [`Quota`] was read from.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum QuotaSource {
    /// Those of this process, which are the limiter's own.
    Local,
    /// Those that several processes share.
    Store,
    /// Those of this process, in place of the shared ones, which did not decide.
    Fallback,
}

impl AuthContext {
    pub(crate) fn new(realm: Arc<Realm>, authenticator: u64, now: Moment) -> Self {
        Self {
            caller: None,
            realm,
            authenticator,
            now,
            loaded: false,
            evidence: Evidence::NONE,
            made_for: None,
            app: None,
            workspace: None,
            membership: None,
            limits: Limits::default(),
            presented: None,
        }
    }

    /// The context of a request, if a [`BearerCheck`](crate::stack::BearerCheck) has seen it.
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get::<Self>()
    }

    /// Copies the context to an outgoing request, so that a client-side layer finds it there.
    ///
    /// What was forwarded before does not count for the new request.
    pub fn attach(&self, extensions: &mut Extensions) {
        let evidence = self.evidence.without(Evidence::FORWARDED);
        extensions.insert(Self { evidence, made_for: None, presented: None, ..self.clone() });
    }

    /// As [`attach`](Self::attach), together with the token that the request came with, for modes that send it on: to the
    /// upstream itself, or to an issuer that exchanges it.
    ///
    /// Whatever handles the outgoing request holds the token then, though no `Debug` shows it. It is read from the one credential
    /// of the inbound request, and taken along only if this context was made of it; without it the client side refuses what needs
    /// it as `forward_misconfigured`.
    pub fn dangerously_attach_with_token(&self, inbound: &HeaderMap, extensions: &mut Extensions) {
        self.attach(extensions);
        if let (Some(token), Some(attached)) =
            (self.token_of(inbound), extensions.get_mut::<Self>())
        {
            attached.presented = Some(token);
        }
    }

    /// The token that these headers present, if this is the context that was made of it.
    pub(crate) fn token_of(&self, headers: &HeaderMap) -> Option<Secret> {
        let caller = self.caller.as_ref()?;
        let token = read(headers, self.realm.credential_header.as_ref(), LONGEST).ok()?;
        (Digest::of(token) == caller.digest).then(|| Secret::new(token))
    }

    /// Did the request come without a credential, past an optional check?
    pub fn is_anonymous(&self) -> bool {
        self.caller.is_none()
    }

    /// Whom the token stands for; `None` for an anonymous request.
    pub fn subject(&self) -> Option<&Subject> {
        self.caller.as_ref().map(|facts| &facts.subject)
    }

    /// The subject as one string, for logs and keys.
    pub fn subject_key(&self) -> Option<&SubjectKey> {
        self.caller.as_ref().map(|facts| &facts.subject_key)
    }

    /// The token's public name.
    pub fn token_id(&self) -> Option<&TokenId> {
        self.caller.as_ref().map(|facts| &facts.token_id)
    }

    /// The name of the token's kind.
    pub fn kind(&self) -> Option<&str> {
        self.caller.as_ref().map(|facts| facts.kind.name())
    }

    /// The client that the token was issued to, where the store says so.
    pub fn client_id(&self) -> Option<&ClientId> {
        self.caller.as_ref().and_then(|facts| facts.client_id.as_ref())
    }

    /// The scopes that the token carries, after its kind's policy and before implications.
    pub fn scopes(&self) -> Option<&ScopeSet> {
        self.caller.as_ref().map(|facts| facts.rights.granted())
    }

    /// The scopes that count, implications included.
    pub fn effective_scopes(&self) -> Option<&ScopeSet> {
        self.caller.as_ref().map(|facts| facts.rights.effective())
    }

    /// The one workspace that the token is bound to, if it is.
    pub fn bound_workspace(&self) -> Option<&WorkspaceId> {
        self.caller.as_ref().and_then(|facts| facts.workspace.as_ref())
    }

    /// When the token ends.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.caller.as_ref().map(|facts| facts.expires_at)
    }

    /// For whom the token was made; empty if its source does not say.
    pub fn audiences(&self) -> &[String] {
        self.caller.as_ref().map_or(&[], |facts| &facts.audiences)
    }

    /// The app, once it was resolved and found.
    pub fn app(&self) -> Option<&AppRecord> {
        match &self.app {
            Some(ResolvedApp::Known(app)) => Some(app),
            Some(ResolvedApp::Unknown(_)) | None => None,
        }
    }

    /// The workspace of the app or, in a stack with membership by path, of the path.
    pub fn workspace(&self) -> Option<&WorkspaceId> {
        self.workspace.as_ref().or_else(|| self.app().map(AppRecord::workspace))
    }

    /// The caller's membership, once it was found. External subjects that are exempt have none.
    pub fn membership(&self) -> Option<&Membership> {
        self.membership.as_ref()
    }

    /// What the last limiter left to the caller.
    pub fn quota(&self) -> Option<&Quota> {
        self.limits.quota.as_ref()
    }

    /// Which steps have passed.
    pub fn evidence(&self) -> Evidence {
        self.evidence
    }

    /// The time of the request: the one reading that every step uses.
    pub fn now(&self) -> Moment {
        self.now
    }

    /// Did the token's facts come from a store on this request, rather than from the cache?
    pub fn is_freshly_loaded(&self) -> bool {
        self.loaded
    }

    /// The caller's facts, or the 401 of a request without any.
    pub(crate) fn known_caller(&self) -> Result<&Arc<TokenFacts>, Rejection> {
        self.caller.as_ref().ok_or_else(Rejection::anonymous)
    }

    /// Has this limiter decided on this request?
    pub(crate) fn is_limited_by(&self, limiter: u64) -> bool {
        self.limits.first.contains(&Some(limiter)) || self.limits.more.contains(&limiter)
    }

    pub(crate) fn note_limiter(&mut self, limiter: u64) {
        match self.limits.first.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(limiter),
            None => self.limits.more.push(limiter),
        }
    }

    /// An event with all that the context knows.
    pub(crate) fn event(&self, name: EventName) -> Event<'_> {
        Event {
            kind: self.kind(),
            token_id: self.token_id().map(TokenId::as_str),
            subject: self.subject_key().map(SubjectKey::as_str),
            client_id: self.client_id().map(ClientId::as_str),
            workspace: self.workspace().map(WorkspaceId::as_str),
            app: self.app().map(|app| AppId::as_str(app.id())),
            ..Event::new(name, self.now.wall())
        }
    }
}

impl fmt::Debug for AuthContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthContext")
            .field("subject_type", &self.subject().map(Subject::subject_type))
            .field("token_id", &self.token_id())
            .field("kind", &self.kind())
            .field("evidence", &self.evidence)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Realm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { answers, audit, clock: _, credential_header, epoch: _, route: _, decisions: _ } =
            self;
        f.debug_struct("Realm")
            .field("answers", answers)
            .field("audit", audit)
            .field("credential_header", credential_header)
            .finish_non_exhaustive()
    }
}
