//! How does one issuer's credential reach the requests that need it?
//!
//! 1. Known: from the cache, at once. Else one question in flight for each key, in a task of its own, at most 64 at once, 5 s in
//!    all and 3 s an attempt; asked once more only where the issuer cannot have acted on it.
//! 2. What failed is told to all who wait and remembered nowhere, but for what is known of how the issuer fares.
//! 3. An entry goes with its subject; a question that was put before that stores nothing.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::credential::{Asked, Credential, Obtaining};
use super::erased::{Failed, Issues};
use super::health::Health;
use super::key::{Key, KeyParts, workspace_of};
use super::refusal::{Refusal, no_answer};
use super::subject::{Actor, Found, SubjectFrom};
use super::window::WindowRule;
use crate::audit::{Event, EventName};
use crate::authenticator::Authenticator;
use crate::cache::{CacheSettings, Change, Facts, Known, Trouble};
use crate::clock::Moment;
use crate::context::{AuthContext, TokenFacts};
use crate::id::{AccountId, AppId, WorkspaceId};
use crate::metrics::MintMeter;
use crate::rejection::{Reason, Rejection};
use crate::scope::RequiredScopes;
use crate::store::{IdentityIssuer, IssueAnswer, IssueRequest, UserType};
use crate::subject::{Subject, SubjectKey};

/// A source of minted credentials. A clone shares the cache.
#[derive(Clone)]
pub(super) struct Minter {
    pub(super) mode: &'static str,
    pub(super) subject: Option<SubjectFrom>,
    pub(super) actor: Option<Actor>,
    pub(super) user_type: Arc<UserTypeOf>,
    pub(super) rule: WindowRule,
    auth: Authenticator,
    issuer: Arc<dyn Issues>,
    cache: Facts<Key, Arc<Minted>, Refusal>,
    health: Arc<Health>,
    meter: MintMeter,
}

pub(super) type UserTypeOf = dyn Fn(&AuthContext) -> UserType + Send + Sync;

/// A credential, and whom a change must concern to end it.
struct Minted {
    credential: Credential,
    subject: SubjectKey,
    workspace: Option<WorkspaceId>,
    app: Option<AppId>,
    /// How long it may be sent; zero: by those alone who waited for it.
    life: Duration,
}

const CAPACITY: u64 = 10_000;
const DEADLINE: Duration = Duration::from_secs(5);
const ATTEMPT: Duration = Duration::from_secs(3);

impl Minter {
    pub(super) fn new(
        auth: &Authenticator,
        mode: &'static str,
        issuer: impl IdentityIssuer,
        subject: Option<SubjectFrom>,
    ) -> Self {
        Self {
            mode,
            subject,
            actor: None,
            user_type: Arc::new(|context| context.subject().map_or(UserType::Account, type_of)),
            rule: WindowRule::default(),
            auth: auth.clone(),
            issuer: Arc::new(issuer),
            cache: cache(auth, CAPACITY),
            health: Arc::default(),
            meter: MintMeter::default(),
        }
    }

    /// Another cache, of this many entries.
    pub(super) fn with_capacity(self, entries: u64) -> Self {
        Self { cache: cache(&self.auth, entries.clamp(1, 10_000_000)), ..self }
    }

    pub(super) fn known(&self, asked: &Asked<'_>) -> Option<Result<Credential, Rejection>> {
        let key = match self.key(asked) {
            Ok((key, ..)) => key,
            Err(rejection) => return Some(Err(rejection)),
        };
        match self.cache.known(&key, asked.now) {
            Known::Yes(minted, _) => {
                self.meter.looked(asked.upstream.name(), "hit");
                Some(Ok(minted.credential.clone()))
            }
            Known::No(_) | Known::Unknown => None,
        }
    }

    pub(super) fn obtain(&self, asked: &Asked<'_>) -> Obtaining {
        match self.question(asked) {
            Ok((question, subject)) => Box::pin(self.clone().ask(question, subject, asked.now)),
            Err(rejection) => Box::pin(std::future::ready(Err(rejection))),
        }
    }

    /// Drops the credential if it is still the one that was refused.
    pub(super) fn refused(&self, asked: &Asked<'_>, digest: &[u8; 32]) {
        if let Ok((key, ..)) = self.key(asked) {
            self.cache.drop_known_if(&key, |minted| minted.credential.digest == *digest);
        }
    }

    /// The key, once all is there that the issuer must be given.
    fn key<'a>(&self, asked: &Asked<'a>) -> Result<(Key, &'a TokenFacts, UserType), Rejection> {
        let caller = asked.context.known_caller()?;
        if let Some(subject) = &self.subject {
            subject.check(asked)?;
        }
        if let (Some(actor), Some(may_act)) = (&self.actor, &caller.may_act)
            && !actor.is_permitted_by(may_act)
        {
            return Err(Refusal::Denied.rejection(None));
        }
        let user_type = (self.user_type)(asked.context);
        let parts = KeyParts {
            mode: self.mode,
            caller,
            context: asked.context,
            user_type,
            actor: self.actor.as_ref().map_or("", |actor| &actor.subject),
            upstream: asked.upstream,
        };
        Ok((parts.hash(), caller, user_type))
    }

    fn question(&self, asked: &Asked<'_>) -> Result<(Mint, Option<Found>), Rejection> {
        let (key, caller, user_type) = self.key(asked)?;
        let subject = self.subject.as_ref().map(|subject| subject.token(asked)).transpose()?;
        let id = match &caller.subject {
            Subject::Account { id } => id.as_str(),
            Subject::Service { id } => id.as_str(),
            Subject::External { .. } => caller.subject_key.external_hex().unwrap_or_default(),
        };
        let mut request = IssueRequest::new(id, asked.upstream.audience(), asked.now.wall());
        request.user_type = user_type;
        request.workspace = workspace_of(asked.context).cloned();
        request.app = asked.context.app().map(|app| app.id().clone());
        request.actor_token = self.actor.as_ref().map(|actor| actor.token.clone());
        let mint = Mint {
            key,
            request,
            subject: caller.subject_key.clone(),
            caller_ends: caller.expires_at.as_millis(),
            upstream: asked.upstream.name().into(),
        };
        Ok((mint, subject))
    }

    /// Asks, or waits for who asks the same.
    async fn ask(
        self,
        mut mint: Mint,
        subject: Option<Found>,
        now: Moment,
    ) -> Result<Credential, Rejection> {
        if self.health.pause(now).is_some() {
            self.meter.looked(&mint.upstream, "paused");
            return Err(self.no_answer(Trouble::of(Reason::IssuerBusy)));
        }
        mint.request.subject_token = match (subject, &self.subject) {
            (Some(Found::Now(token)), _) => Some(token),
            (Some(Found::Later(token)), Some(of)) => Some(of.typed(token.await?)?),
            (Some(Found::Later(_)) | None, _) => None,
        };
        let (key, upstream) = (mint.key, Arc::clone(&mint.upstream));
        let mut led = false;
        let answer = self
            .cache
            .load(key, now, |_| {
                led = true;
                self.meter.looked(&upstream, "miss");
                self.clone().mint(mint)
            })
            .await;
        if !led && answer.is_ok() {
            self.meter.looked(&upstream, "joined");
        }
        match answer {
            Ok(Ok(minted)) => Ok(minted.credential.clone()),
            Ok(Err(refusal)) => Err(refusal.rejection(self.pause())),
            Err(trouble) => Err(self.no_answer(trouble)),
        }
    }

    /// One question and what it comes to; runs in a task of its own.
    async fn mint(self, mint: Mint) -> Result<Result<Arc<Minted>, Refusal>, Trouble> {
        let begun = self.auth.read_clock();
        self.health.may_ask(begun)?;
        let answer = self.attempts(&mint.request).await;
        let now = self.auth.read_clock();
        let answer = answer.and_then(|answer| self.judged(answer, &mint, now));
        let result = match &answer {
            Ok(Ok(_)) => "ok",
            Ok(Err(refusal)) => refusal.word(),
            Err(trouble) if trouble.reason == Reason::Deadline => "deadline",
            Err(_) => "error",
        };
        let took = now.monotonic_nanos().saturating_sub(begun.monotonic_nanos());
        self.meter.minted(&mint.upstream, result, took);
        match &answer {
            Ok(Err(Refusal::RefusesUs)) => {
                self.health.refused_us(now);
                self.meter.refused_us(&mint.upstream);
                self.tell(EventName::IdentityIssuerRejectedUs, &mint, now);
            }
            Ok(Ok(_)) => {
                self.health.answered();
                self.tell(EventName::IdentityMinted, &mint, now);
            }
            Ok(Err(_)) => self.health.answered(),
            Err(_) => {}
        }
        answer
    }

    async fn attempts(&self, request: &IssueRequest) -> Result<IssueAnswer, Trouble> {
        let again = match self.attempt(request).await? {
            Ok(answer) => return Ok(answer),
            Err(failed) => failed,
        };
        let last = if again.may_retry { self.attempt(request).await? } else { Err(again) };
        last.map_err(|failed| Trouble::store(failed.source))
    }

    async fn attempt(
        &self,
        request: &IssueRequest,
    ) -> Result<Result<IssueAnswer, Failed>, Trouble> {
        let asked = self.issuer.issue(request.clone());
        tokio::time::timeout(ATTEMPT, asked).await.map_err(|_over| Trouble::of(Reason::Deadline))
    }

    fn judged(
        &self,
        answer: IssueAnswer,
        mint: &Mint,
        now: Moment,
    ) -> Result<Result<Arc<Minted>, Refusal>, Trouble> {
        let invalid = || Trouble::of(Reason::StoreError);
        let (secret, expires_at) = match answer {
            IssueAnswer::Token { secret, expires_at } => (secret, expires_at),
            IssueAnswer::ReauthRequired => return Ok(Err(Refusal::Reauth)),
            IssueAnswer::LoginRequired => return Ok(Err(Refusal::Login)),
            IssueAnswer::Denied => return Ok(Err(Refusal::Denied)),
            IssueAnswer::StepUp { scopes } => {
                let scopes = RequiredScopes::all(scopes).map_err(|_none_or_bad| invalid())?;
                return Ok(Err(Refusal::StepUp(Arc::new(scopes))));
            }
            IssueAnswer::RefusesUs => return Ok(Err(Refusal::RefusesUs)),
            IssueAnswer::Busy { retry_after } => {
                self.health.busy(retry_after, now);
                return Ok(Err(Refusal::Busy));
            }
        };
        let credential = Credential::new(&secret).ok_or_else(invalid)?;
        let left = |ends: u64| seconds_between(now.wall().as_millis(), ends);
        let window = self.rule.window(left(expires_at.as_millis()), left(mint.caller_ends));
        Ok(Ok(Arc::new(Minted {
            credential,
            subject: mint.subject.clone(),
            workspace: mint.request.workspace.clone(),
            app: mint.request.app.clone(),
            life: Duration::from_secs(window.unwrap_or(0)),
        })))
    }

    fn tell(&self, name: EventName, mint: &Mint, now: Moment) {
        let audit = self.auth.audit();
        if audit.wants(name) {
            audit.record(&Event {
                subject: Some(mint.subject.as_str()),
                workspace: mint.request.workspace.as_ref().map(WorkspaceId::as_str),
                app: mint.request.app.as_ref().map(AppId::as_str),
                upstream: Some(&mint.upstream),
                ..Event::new(name, now.wall())
            });
        }
    }

    fn no_answer(&self, trouble: Trouble) -> Rejection {
        no_answer(trouble, self.pause())
    }

    fn pause(&self) -> Option<u64> {
        self.health.pause(self.auth.read_clock())
    }
}

/// One question to an issuer, free of the request that led to it.
struct Mint {
    key: Key,
    request: IssueRequest,
    subject: SubjectKey,
    caller_ends: u64,
    upstream: Arc<str>,
}

fn cache(auth: &Authenticator, capacity: u64) -> Facts<Key, Arc<Minted>, Refusal> {
    let settings = |settings| CacheSettings {
        name: "minted",
        negative_ttl: Duration::ZERO,
        negative_capacity: 1,
        capacity,
        deadline: DEADLINE,
        max_loads: 64,
        max_waiting: 0,
        ..settings
    };
    let concerns = |change: &Change, _: &Key, minted: Option<&Arc<Minted>>| {
        minted.is_some_and(|minted| minted.is_concerned_by(change))
    };
    auth.facts_with(settings, concerns, |minted| Some(minted.life))
}

impl Minted {
    fn is_concerned_by(&self, change: &Change) -> bool {
        let account =
            |id: &AccountId| self.subject.as_str().strip_prefix("account:") == Some(id.as_str());
        match change {
            Change::All => true,
            Change::Subject(key) => self.subject == *key,
            Change::Caller(subject) => self.subject.is_of(subject),
            Change::Account(id) => account(id),
            Change::Workspace(workspace) => self.workspace.as_ref() == Some(workspace),
            Change::App(app) => self.app.as_ref() == Some(app),
            Change::Member(workspace, id) => {
                self.workspace.as_ref() == Some(workspace) && account(id)
            }
            Change::Permit(app, id) => self.app.as_ref() == Some(app) && account(id),
        }
    }
}

fn type_of(subject: &Subject) -> UserType {
    match subject {
        Subject::Account { .. } => UserType::Account,
        Subject::External { .. } => UserType::EndUser,
        Subject::Service { .. } => UserType::Service,
    }
}

/// Whole seconds from one wall time to another, rounded down; below zero if it lies before.
fn seconds_between(from: u64, to: u64) -> i64 {
    let millis = i128::from(to) - i128::from(from);
    i64::try_from(millis.div_euclid(1_000)).unwrap_or(i64::MAX)
}

impl fmt::Debug for Minter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Minter")
            .field("mode", &self.mode)
            .field("subject", &self.subject)
            .field("rule", &self.rule)
            .finish_non_exhaustive()
    }
}
