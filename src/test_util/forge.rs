//! Who is calling, because a test says so?

use http::Extensions;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::audit::{Audit, TracingSink};
use crate::authenticator::Authenticator;
use crate::clock::{Clock, ManualClock, Moment, Timestamp};
use crate::context::{AuthContext, LimitIds, Realm, Recent, ResolvedApp, TokenFacts};
use crate::evidence::Evidence;
use crate::id::{AccountId, ClientId, TokenId, WorkspaceId};
use crate::metrics::Decisions;
use crate::rejection::Answers;
use crate::scope::{Rights, ScopeSet};
use crate::store::{AppRecord, LogId, Membership};
use crate::subject::Subject;
use crate::token::{Digest, Kind, TokenKind, TokenKinds};

/// Collects what a forged [`AuthContext`] says; started by [`AuthContext::forge`].
///
/// Without further words it is the account `acc-test` with the token `tok-test` of kind `test`, without scopes, for one more hour
/// from where a new [`ManualClock`] stands, and its evidence is `AUTHENTICATED`. Tokens of one id are the same token: they share
/// limits.
#[derive(Debug)]
#[must_use = "a context is made by `build` or `insert_into`"]
pub struct Forge {
    auth: Option<Authenticator>,
    caller: Caller,
    subject: Subject,
    kind: Option<String>,
    token_id: TokenId,
    client_id: Option<ClientId>,
    scopes: ScopeSet,
    effective: Option<ScopeSet>,
    bound_workspace: Option<WorkspaceId>,
    audiences: Vec<String>,
    may_act: Option<serde_json::Value>,
    expires_at: Option<Timestamp>,
    now: Option<Moment>,
    evidence: Evidence,
    app: Option<AppRecord>,
    workspace: Option<WorkspaceId>,
    membership: Option<Membership>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Caller {
    Known,
    Anonymous,
}

impl AuthContext {
    /// Starts a context of a caller who presented no token, for tests.
    pub fn forge() -> Forge {
        Forge::new()
    }
}

impl Forge {
    fn new() -> Self {
        Self {
            auth: None,
            caller: Caller::Known,
            subject: Subject::Account { id: AccountId::new("acc-test").expect("fits the grammar") },
            kind: None,
            token_id: TokenId::new("tok-test").expect("fits the grammar"),
            client_id: None,
            scopes: ScopeSet::default(),
            effective: None,
            bound_workspace: None,
            audiences: Vec::new(),
            may_act: None,
            expires_at: None,
            now: None,
            evidence: Evidence::NONE,
            app: None,
            workspace: None,
            membership: None,
        }
    }

    /// Makes it a context of this authenticator: its [`BearerCheck`](crate::stack::BearerCheck) takes the context for its own and
    /// asks for no token, so that a whole stack is tested. Its kinds say what the scopes amount to, and its clock what time it is.
    pub fn by(mut self, auth: &Authenticator) -> Self {
        self.auth = Some(auth.clone());
        self
    }

    /// Nobody: a request without a credential behind an optional check.
    pub fn anonymous(mut self) -> Self {
        self.caller = Caller::Anonymous;
        self
    }

    /// Whom the token stands for.
    pub fn subject(mut self, subject: Subject) -> Self {
        self.subject = subject;
        self
    }

    /// The name of the token's kind. Default: the authenticator's first kind for such a subject, `test` without one.
    pub fn kind(mut self, name: impl Into<String>) -> Self {
        self.kind = Some(name.into());
        self
    }

    /// The token's public name.
    pub fn token_id(mut self, id: TokenId) -> Self {
        self.token_id = id;
        self
    }

    /// The client that the token was issued to.
    pub fn client_id(mut self, id: ClientId) -> Self {
        self.client_id = Some(id);
        self
    }

    /// The scopes of the record, split at spaces. With [`by`](Self::by) the kind's policy counts, as it does for a real token.
    pub fn scopes(mut self, scopes: &str) -> Self {
        self.scopes = ScopeSet::parse(scopes);
        self
    }

    /// The scopes that count, split at spaces, whatever the kind's policy. Default: what the scopes of the record amount to.
    pub fn effective_scopes(mut self, scopes: &str) -> Self {
        self.effective = Some(ScopeSet::parse(scopes));
        self
    }

    /// Binds the token to one workspace.
    pub fn bound_to(mut self, workspace: WorkspaceId) -> Self {
        self.bound_workspace = Some(workspace);
        self
    }

    /// For whom the token was made.
    pub fn audiences<I>(mut self, audiences: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.audiences = audiences.into_iter().map(Into::into).collect();
        self
    }

    /// Who may act on the subject's behalf, as the JSON value of a verified token's claim `may_act` (RFC 8693 §4.4). What is no JSON
    /// permits nobody.
    pub fn may_act(mut self, json: &str) -> Self {
        self.may_act = Some(serde_json::from_str(json).unwrap_or_default());
        self
    }

    /// When the token ends. A time that is past is not judged: only tokens are refused for it, not contexts.
    pub fn expires_at(mut self, at: Timestamp) -> Self {
        self.expires_at = Some(at);
        self
    }

    /// The time of the request.
    pub fn at(mut self, now: Moment) -> Self {
        self.now = Some(now);
        self
    }

    /// Adds the marks of steps as if they had run.
    pub fn evidence(mut self, marks: Evidence) -> Self {
        self.evidence = self.evidence | marks;
        self
    }

    /// The app, as [`AppResolver`](crate::stack::AppResolver) leaves it, with its mark.
    pub fn app(mut self, app: AppRecord) -> Self {
        self.app = Some(app);
        self.evidence(Evidence::APP)
    }

    /// The caller's membership, as [`WorkspaceMembershipCheck`](crate::stack::WorkspaceMembershipCheck) leaves it, with its mark.
    pub fn membership(mut self, membership: Membership) -> Self {
        self.membership = Some(membership);
        self.evidence(Evidence::MEMBER)
    }

    /// The workspace of the request, where no app says it.
    pub fn workspace(mut self, workspace: WorkspaceId) -> Self {
        self.workspace = Some(workspace);
        self
    }

    /// Makes the context and puts it into a request's extensions.
    ///
    /// # Panics
    ///
    /// As [`build`](Self::build).
    pub fn insert_into(self, extensions: &mut Extensions) {
        extensions.insert(self.build());
    }

    /// Makes the context.
    ///
    /// # Panics
    ///
    /// If the kind's name is no name of a kind or, with [`by`](Self::by), if the authenticator has no such kind for such a subject:
    /// a test over a caller who cannot be would show nothing.
    pub fn build(self) -> AuthContext {
        let (realm, number, here) = match &self.auth {
            Some(auth) => (Arc::clone(auth.realm()), auth.number(), auth.read_clock()),
            None => nowhere(),
        };
        let now = self.now.unwrap_or(here);
        let facts = (self.caller == Caller::Known).then(|| Arc::new(self.facts(now)));
        let mut context = AuthContext::new(realm, number, now);
        let first = if facts.is_some() { Evidence::AUTHENTICATED } else { Evidence::ANONYMOUS };
        context.caller = facts;
        context.evidence = first | self.evidence;
        context.app = self.app.map(|app| ResolvedApp::Known(Arc::new(app)));
        context.workspace = self.workspace;
        context.membership = self.membership;
        context
    }

    fn facts(&self, now: Moment) -> TokenFacts {
        let kind = self.judged_kind();
        let rights = match &self.effective {
            Some(effective) => Rights::new(self.scopes.clone(), effective.clone(), false),
            None => kind.rights(&self.scopes),
        };
        let hour = Duration::from_secs(3_600);
        let expires_at = self.expires_at.unwrap_or_else(|| now.wall().saturating_add(hour));
        let left = u64::try_from(expires_at.since(now.wall()).as_nanos()).unwrap_or(u64::MAX);
        let digest = Digest::of(&format!("forged:{}", self.token_id));
        let subject_key = self.subject.key();
        TokenFacts {
            token_id: self.token_id.clone(),
            serial: 0,
            kind,
            subject: self.subject.clone(),
            client_id: self.client_id.clone(),
            rights,
            workspace: self.bound_workspace.clone(),
            audiences: self.audiences.clone(),
            may_act: self.may_act.clone().map(Box::new),
            expires_at,
            expires_nanos: now.monotonic_nanos().saturating_add(left),
            limit_ids: LimitIds {
                token: LogId::of_token(digest.as_bytes()),
                subject: LogId::of_subject(subject_key.as_str()),
            },
            digest,
            recent: Recent::default(),
            subject_key,
        }
    }

    fn judged_kind(&self) -> Kind {
        let subject = self.subject.subject_type();
        let Some(auth) = &self.auth else {
            let name = self.kind.as_deref().unwrap_or("test");
            let scopes = self.scopes.iter().map(|scope| scope.as_str().to_owned());
            let kind = TokenKind::new(name).prefix("forged_").subject(subject).fixed(scopes);
            let kinds =
                TokenKinds::builder().kind(kind).build().expect("`kind` is given a kind's name");
            return kinds.get(name).expect("it was just declared").clone();
        };
        let fits = |kind: &&Kind| {
            kind.subject_type() == subject
                && self.kind.as_ref().is_none_or(|name| name == kind.name())
        };
        let kind = auth.kinds().iter().find(fits);
        kind.expect("the authenticator has a kind of this name for such a subject").clone()
    }
}

/// An authenticator of nobody's, with the defaults of one.
fn nowhere() -> (Arc<Realm>, u64, Moment) {
    let clock = ManualClock::new();
    let now = clock.now();
    let realm = Realm {
        answers: Arc::clone(Answers::shared_default()),
        audit: Audit::new(Box::new(TracingSink::new()), 0.01, 100),
        clock: Arc::new(clock),
        credential_header: None,
        epoch: Arc::new(AtomicU64::new(0)),
        route: None,
        decisions: Decisions::default(),
    };
    (Arc::new(realm), NOBODY, now)
}

/// Authenticators are numbered from 1.
const NOBODY: u64 = 0;
