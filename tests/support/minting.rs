//! Issuers, providers and links that do as a test tells them, and a service that needs a credential of theirs.

use http::{HeaderMap, Request, Response};
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::fmt;
use std::future::{Future, pending};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;
use tower::{Layer, ServiceExt};
use tower_bearer::Authenticator;
use tower_bearer::audit::{AuditSink, TracingSink};
use tower_bearer::clock::{Clock, ManualClock, Timestamp};
use tower_bearer::forward::{ForwardOptions, ForwardSet, Upstream};
use tower_bearer::id::{
    AccountId, ExternalId, Issuer as IssuerId, ServiceId, TokenId, WorkspaceId,
};
use tower_bearer::rejection::Rejection;
use tower_bearer::stack::{BearerCheck, BearerStack, IdentityForward};
use tower_bearer::store::{
    IdentityIssuer, IssueAnswer, IssueRequest, MemoryLinks, OidcProvider, RefreshAnswer, Replaced,
    TokenRecord, TokenStore, UserLink, UserLinkStore,
};
use tower_bearer::subject::{Subject, SubjectKey, SubjectType};
use tower_bearer::token::{Digest, TokenKind, TokenKinds};

use super::forwarding::{Recorder, request};

pub(crate) const AUDIENCE: &str = "https://mcp.example.com/mcp";

/// Tokens by their text.
#[derive(Clone, Default)]
pub(crate) struct Tokens(Arc<Mutex<HashMap<[u8; 32], TokenRecord>>>);

impl Tokens {
    pub(crate) fn put(&self, token: &str, record: TokenRecord) {
        self.0.lock().unwrap().insert(*Digest::of(token).as_bytes(), record);
    }
}

impl TokenStore for Tokens {
    type Error = Infallible;

    async fn find(&self, digest: &Digest) -> Result<Option<TokenRecord>, Infallible> {
        Ok(self.0.lock().unwrap().get(digest.as_bytes()).cloned())
    }
}

/// A clock, an authenticator, and tokens of alice, a guest and a robot.
pub(crate) struct House {
    pub(crate) clock: ManualClock,
    pub(crate) tokens: Tokens,
    pub(crate) auth: Authenticator,
}

impl House {
    pub(crate) fn new() -> Self {
        Self::telling(TracingSink::new())
    }

    /// One whose events go here.
    pub(crate) fn telling(sink: impl AuditSink) -> Self {
        let kind = |name, prefix, subject| {
            TokenKind::new(name).prefix(prefix).subject(subject).narrowed(["a"]).opaque(1, 64)
        };
        let kinds = TokenKinds::builder()
            .kind(kind("account", "tba_", SubjectType::Account))
            .kind(kind("external", "tbe_", SubjectType::External))
            .kind(kind("service", "tbs_", SubjectType::Service))
            .build()
            .unwrap();
        let (clock, tokens) = (ManualClock::new(), Tokens::default());
        let auth = Authenticator::builder(kinds, tokens.clone())
            .clock(clock.clone())
            .ttl_jitter(0.0)
            .audit(sink)
            .audit_denied_per_second(1_000_000)
            .build()
            .unwrap();
        let house = Self { clock, tokens, auth };
        house.account("tba_alice", "acc-alice", |row| row.with_workspace(workspace("ws-1")));
        let guest = Subject::External {
            issuer: IssuerId::new("https://idp.example").unwrap(),
            subject: ExternalId::new("guest-1").unwrap(),
            email: None,
        };
        house.row("tbe_guest", "external", guest, |row| row);
        let robot = Subject::Service { id: ServiceId::new("svc-robot").unwrap() };
        house.row("tbs_robot", "service", robot, |row| row);
        house
    }

    pub(crate) fn account(
        &self,
        token: &str,
        account: &str,
        more: impl FnOnce(TokenRecord) -> TokenRecord,
    ) {
        self.row(token, "account", Subject::Account { id: AccountId::new(account).unwrap() }, more);
    }

    pub(crate) fn row(
        &self,
        token: &str,
        kind: &str,
        subject: Subject,
        more: impl FnOnce(TokenRecord) -> TokenRecord,
    ) {
        let id = TokenId::new(token.replace('_', "-")).unwrap();
        let record = TokenRecord::new(id, kind, subject, Timestamp::from_secs(1_800_000_000));
        self.tokens.put(token, more(record));
    }

    /// As [`account`](Self::account), for a token that ends so many seconds from now.
    pub(crate) fn ending(&self, token: &str, account: &str, seconds: u64) {
        let ends = self.at(i64::try_from(seconds).unwrap());
        let subject = Subject::Account { id: AccountId::new(account).unwrap() };
        let id = TokenId::new(token.replace('_', "-")).unwrap();
        self.tokens.put(token, TokenRecord::new(id, "account", subject, ends));
    }

    pub(crate) fn at(&self, from_now: i64) -> Timestamp {
        Timestamp::from_secs(self.clock.now().wall().as_secs().saturating_add_signed(from_now))
    }

    pub(crate) fn service(&self, options: ForwardOptions, upstream: &Recorder) -> Service {
        self.service_of(IdentityForward::new(options.build().unwrap()), upstream)
    }

    pub(crate) fn service_of(&self, forward: IdentityForward, upstream: &Recorder) -> Service {
        let stack = BearerStack::new(BearerCheck::new(&self.auth)).forward_identity(forward);
        Service::new(stack.without_bodies().layer(upstream.clone()))
    }
}

pub(crate) type Service =
    tower::util::BoxCloneSyncService<Request<String>, Response<String>, Infallible>;

pub(crate) fn workspace(id: &str) -> WorkspaceId {
    WorkspaceId::new(id).unwrap()
}

pub(crate) fn upstream() -> Upstream {
    Upstream::new("mcp-main", AUDIENCE).unwrap()
}

pub(crate) fn in_a_set_of_its_own(options: ForwardOptions) -> ForwardOptions {
    options.set(&ForwardSet::separate())
}

pub(crate) fn key_of(account: &str) -> SubjectKey {
    Subject::Account { id: AccountId::new(account).unwrap() }.key()
}

/// What a request came to: the status, and the `error` word of a refusal.
pub(crate) type Verdict = (u16, Option<&'static str>);

/// One request with this token: the verdict and the answer's fields.
pub(crate) async fn call(service: &Service, token: &str) -> (Verdict, HeaderMap) {
    let value = format!("Bearer {token}");
    let response =
        service.clone().oneshot(request("/", &[("authorization", &value)])).await.unwrap();
    let refusal = response.extensions().get::<Rejection>();
    let word = refusal.map(|refusal| refusal.kind().error());
    ((response.status().as_u16(), word), response.headers().clone())
}

pub(crate) async fn verdict(service: &Service, token: &str) -> Verdict {
    call(service, token).await.0
}

/// Requests at the same time, each in a task of its own: their verdicts, in order.
pub(crate) async fn verdicts<T: Into<String>>(
    service: &Service,
    tokens: impl IntoIterator<Item = T>,
) -> Vec<Verdict> {
    let begin = |token: T| {
        let (service, token) = (service.clone(), token.into());
        tokio::spawn(async move { verdict(&service, &token).await })
    };
    let tasks: Vec<_> = tokens.into_iter().map(begin).collect();
    let mut verdicts = Vec::new();
    for task in tasks {
        verdicts.push(task.await.unwrap());
    }
    verdicts
}

/// Every `Authorization` that the upstream saw since the last time.
pub(crate) fn credentials(upstream: &Recorder) -> Vec<Vec<String>> {
    let lines = |head: &http::request::Parts| {
        let all = head.headers.get_all("authorization").iter();
        all.map(|value| value.to_str().unwrap().to_owned()).collect()
    };
    upstream.take().iter().map(lines).collect()
}

/// What a scripted port does when it is asked.
pub(crate) enum Play<A> {
    Answer(A),
    Fail { may_retry: bool },
    Hang,
    Panic,
}

impl<A: Clone> Clone for Play<A> {
    fn clone(&self) -> Self {
        match self {
            Self::Answer(answer) => Self::Answer(answer.clone()),
            Self::Fail { may_retry } => Self::Fail { may_retry: *may_retry },
            Self::Hang => Self::Hang,
            Self::Panic => Self::Panic,
        }
    }
}

/// Says nothing of what the issuer said.
#[derive(Clone, thiserror::Error)]
#[error("the issuer did not answer")]
pub(crate) struct Unheard {
    may_retry: bool,
}

impl fmt::Debug for Unheard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unheard")
    }
}

/// Plays one after the other what it was given, and the last for ever.
pub(crate) struct Scripted<Q, A> {
    asked: Arc<Mutex<Vec<Q>>>,
    plays: Arc<Mutex<VecDeque<Play<A>>>>,
    /// Closed until somebody opens it.
    pub(crate) door: Arc<Semaphore>,
}

pub(crate) type Minting = Scripted<IssueRequest, IssueAnswer>;
pub(crate) type Provider = Scripted<String, RefreshAnswer>;

impl<Q, A> Clone for Scripted<Q, A> {
    fn clone(&self) -> Self {
        let (asked, plays) = (Arc::clone(&self.asked), Arc::clone(&self.plays));
        Self { asked, plays, door: Arc::clone(&self.door) }
    }
}

impl<Q, A: Clone> Scripted<Q, A> {
    pub(crate) fn playing(plays: impl IntoIterator<Item = Play<A>>) -> Self {
        let plays = Arc::new(Mutex::new(plays.into_iter().collect()));
        Self { asked: Arc::default(), plays, door: Arc::new(Semaphore::new(1_000_000)) }
    }

    /// Holds every answer back until the door is opened.
    pub(crate) fn behind_a_door(mut self) -> Self {
        self.door = Arc::new(Semaphore::new(0));
        self
    }

    pub(crate) fn open(&self) {
        self.door.add_permits(1_000_000);
    }

    pub(crate) fn play(&self, play: Play<A>) {
        *self.plays.lock().unwrap() = VecDeque::from([play]);
    }

    pub(crate) fn calls(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    pub(crate) fn asked(&self) -> Vec<Q> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    async fn next(&self, question: Q, number: impl FnOnce(usize, A) -> A) -> Result<A, Unheard> {
        let (play, at) = {
            let mut asked = self.asked.lock().unwrap();
            asked.push(question);
            let mut plays = self.plays.lock().unwrap();
            let play = if plays.len() > 1 { plays.pop_front() } else { plays.front().cloned() };
            (play.unwrap(), asked.len())
        };
        let _open = self.door.acquire().await.unwrap();
        match play {
            Play::Answer(answer) => Ok(number(at, answer)),
            Play::Fail { may_retry } => Err(Unheard { may_retry }),
            Play::Hang => pending().await,
            Play::Panic => panic!("a store's own bug, or an issuer's"),
        }
    }
}

impl IdentityIssuer for Minting {
    type Error = Unheard;

    fn may_retry(error: &Unheard) -> bool {
        error.may_retry
    }

    async fn issue(&self, request: IssueRequest) -> Result<IssueAnswer, Unheard> {
        let numbered = |at, answer| {
            if let IssueAnswer::Token { secret, expires_at } = &answer
                && secret.expose() == "T"
            {
                let expires_at = *expires_at;
                return IssueAnswer::Token { secret: format!("T{at}").into(), expires_at };
            }
            answer
        };
        self.next(request, numbered).await
    }
}

impl OidcProvider for Provider {
    type Error = Unheard;

    fn may_retry(error: &Unheard) -> bool {
        error.may_retry
    }

    fn refresh(
        &self,
        refresh_token: tower_bearer::Secret,
    ) -> impl Future<Output = Result<RefreshAnswer, Unheard>> + Send {
        let token = refresh_token.expose().to_owned();
        async move { self.next(token, |_, answer| answer).await }
    }
}

/// A token that lives an hour from the start of the test's clock; `T` is numbered.
pub(crate) fn token(secret: &str) -> Play<IssueAnswer> {
    lasting(secret, 3_600)
}

/// A token that lives so many seconds from the start of the test's clock.
pub(crate) fn lasting(secret: &str, seconds: u64) -> Play<IssueAnswer> {
    let expires_at = Timestamp::from_secs(1_700_000_000 + seconds);
    Play::Answer(IssueAnswer::Token { secret: secret.into(), expires_at })
}

pub(crate) fn fresh(access: &str, refresh: Option<&str>) -> Play<RefreshAnswer> {
    Play::Answer(RefreshAnswer::Fresh {
        access_token: access.into(),
        refresh_token: refresh.map(Into::into),
        expires_in: Some(Duration::from_secs(3_600)),
    })
}

/// Links that refuse to be replaced for a while, and count what they were asked.
#[derive(Clone, Default)]
pub(crate) struct Links {
    pub(crate) rows: MemoryLinks,
    state: Arc<Mutex<LinksState>>,
}

#[derive(Clone, Copy, Default)]
struct LinksState {
    loads: usize,
    replaces: usize,
    fails: bool,
    hangs: bool,
    /// Replacements with a new pair that fail from now on.
    refuses: usize,
}

impl Links {
    pub(crate) fn fail(&self, fails: bool) {
        self.state.lock().unwrap().fails = fails;
    }

    pub(crate) fn hang(&self) {
        self.state.lock().unwrap().hangs = true;
    }

    pub(crate) fn refuse_pairs(&self, times: usize) {
        self.state.lock().unwrap().refuses = times;
    }

    /// Calls of `load` and `replace` so far.
    pub(crate) fn calls(&self) -> (usize, usize) {
        let state = self.state.lock().unwrap();
        (state.loads, state.replaces)
    }

    async fn mood(&self) -> Result<(), Unheard> {
        let state = *self.state.lock().unwrap();
        if state.hangs {
            pending::<()>().await;
        }
        if state.fails { Err(Unheard { may_retry: false }) } else { Ok(()) }
    }
}

impl UserLinkStore for Links {
    type Error = Unheard;

    async fn load(
        &self,
        subject: &SubjectKey,
        provider: &str,
    ) -> Result<Option<UserLink>, Unheard> {
        self.state.lock().unwrap().loads += 1;
        self.mood().await?;
        Ok(self.rows.get(subject, provider))
    }

    async fn replace(
        &self,
        subject: &SubjectKey,
        provider: &str,
        expected: u64,
        link: UserLink,
    ) -> Result<Replaced, Unheard> {
        {
            let mut state = self.state.lock().unwrap();
            state.replaces += 1;
            if link.lease_until.is_none() && state.refuses > 0 {
                state.refuses -= 1;
                return Err(Unheard { may_retry: false });
            }
        }
        self.mood().await?;
        let replaced = self.rows.replace(subject, provider, expected, link).await;
        replaced.map_err(|_removed| Unheard { may_retry: false })
    }
}
