//! A tiny service behind limits: tokens, apps and members in maps, a clock that tests move, answers as text.
#![expect(clippy::unwrap_used, reason = "a test kit: what cannot be made fails the test")]

use http::{HeaderValue, Request, Response};
use std::collections::HashMap;
use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tower::{Service, ServiceExt};
use tower_bearer::Authenticator;
use tower_bearer::authenticator::AuthenticatorBuilder;
use tower_bearer::clock::{ManualClock, Timestamp};
use tower_bearer::id::{AccountId, AppId, TokenId, WorkspaceId};
use tower_bearer::limit::{Limit, Limiter, Policy};
use tower_bearer::scope::ScopeSet;
use tower_bearer::store::{
    AccessMode, AppRecord, AppStore, Membership, MembershipStore, TokenRecord, TokenStore,
};
use tower_bearer::subject::{Subject, SubjectType};
use tower_bearer::token::{Digest, TokenKind, TokenKinds};

#[derive(Debug, thiserror::Error)]
#[error("the store is out")]
pub(crate) struct Out;

/// A clock, an authenticator over a map of tokens, and counters.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) clock: ManualClock,
    pub(crate) auth: Authenticator,
    pub(crate) tokens: Tokens,
}

#[derive(Clone, Default)]
pub(crate) struct Tokens {
    rows: Arc<Mutex<HashMap<Digest, TokenRecord>>>,
    pub(crate) asked: Arc<AtomicUsize>,
    pub(crate) out: Arc<AtomicBool>,
}

impl TokenStore for Tokens {
    type Error = Out;

    async fn find(&self, digest: &Digest) -> Result<Option<TokenRecord>, Out> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.out.load(Ordering::SeqCst) {
            return Err(Out);
        }
        Ok(self.rows.lock().unwrap().get(digest).cloned())
    }
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self::with(|builder| builder)
    }

    /// With other settings; `clock` is then nobody's if they bring their own.
    pub(crate) fn with(set: impl FnOnce(AuthenticatorBuilder) -> AuthenticatorBuilder) -> Self {
        let account = TokenKind::new("account")
            .prefix("tba_")
            .subject(SubjectType::Account)
            .narrowed(["apps:read", "apps:run"]);
        let external = TokenKind::new("external")
            .prefix("tbe_")
            .subject(SubjectType::External)
            .narrowed(["apps:read"]);
        let kinds = TokenKinds::builder().kind(account).kind(external).build().unwrap();
        let (clock, tokens) = (ManualClock::new(), Tokens::default());
        let auth = Authenticator::builder(kinds, tokens.clone()).clock(clock.clone());
        Self { auth: set(auth.realm("desk")).build().unwrap(), clock, tokens }
    }

    /// A live token of an account, told apart by `name`.
    pub(crate) fn token(&self, name: &str, account: &str) -> String {
        let token = format!("tba_{name:A>43}");
        let record = record(name, account);
        self.tokens.rows.lock().unwrap().insert(Digest::of(&token), record);
        token
    }

    pub(crate) fn store_record(&self, token: &str, record: TokenRecord) {
        self.tokens.rows.lock().unwrap().insert(Digest::of(token), record);
    }

    pub(crate) fn advance(&self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
    }
}

pub(crate) fn record(name: &str, account: &str) -> TokenRecord {
    let subject = Subject::Account { id: AccountId::new(account).unwrap() };
    let ends = Timestamp::from_secs(4_000_000_000);
    TokenRecord::new(TokenId::new(name).unwrap(), "account", subject, ends)
        .with_scopes(ScopeSet::from_names(["apps:read"]))
}

/// The apps `app-public` and `app-other` of the workspace `ws-north`, whose only member is `acc-member`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct North;

impl AppStore for North {
    type Error = Out;

    async fn app(&self, app: &AppId) -> Result<Option<AppRecord>, Out> {
        let known = ["app-public", "app-other"].contains(&app.as_str());
        let workspace = WorkspaceId::new("ws-north").unwrap();
        Ok(known.then(|| AppRecord::new(app.clone(), workspace, AccessMode::Public)))
    }

    async fn permitted(&self, _: &AppId, _: &AccountId) -> Result<bool, Out> {
        Ok(false)
    }
}

impl MembershipStore for North {
    type Error = Out;

    async fn membership(
        &self,
        account: &AccountId,
        workspace: &WorkspaceId,
    ) -> Result<Option<Membership>, Out> {
        let is_member = account.as_str() == "acc-member" && workspace.as_str() == "ws-north";
        Ok(is_member.then(|| Membership::new("editor")))
    }
}

pub(crate) fn limit(count: u32, window_ms: u64) -> Limit {
    Limit::new(NonZeroU32::new(count).unwrap(), Duration::from_millis(window_ms)).unwrap()
}

pub(crate) fn per_token(count: u32, window_ms: u64) -> Limiter {
    Limiter::builder().policy(Policy::per_token(limit(count, window_ms))).build().unwrap()
}

pub(crate) fn get(path: &str, token: &str) -> Request<()> {
    let request = Request::get(path).header("authorization", format!("Bearer {token}"));
    request.body(()).unwrap()
}

/// The innermost service, and how often it was called.
pub(crate) fn inner(status: u16) -> (Inner, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    (Inner { status, fields: Vec::new(), calls: Arc::clone(&calls) }, calls)
}

#[derive(Clone)]
pub(crate) struct Inner {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(&'static str, &'static str)>,
    calls: Arc<AtomicUsize>,
}

impl Service<Request<()>> for Inner {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let mut response = Response::new(());
        *response.status_mut() = self.status.try_into().unwrap();
        for (name, value) in &self.fields {
            response.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        // the context, for tests that look at it
        *response.extensions_mut() = request.extensions().clone();
        std::future::ready(Ok(response))
    }
}

/// Sends a request to a copy of `service`.
pub(crate) async fn send<S>(service: &S, request: Request<()>) -> Response<()>
where
    S: Service<Request<()>, Response = Response<()>, Error = Infallible> + Clone,
{
    service.clone().oneshot(request).await.unwrap()
}

/// The status and the fields of limits: `429 retry-after: 1 | ratelimit-policy: … | ratelimit: …`.
pub(crate) fn told(response: &Response<()>) -> String {
    let mut text = response.status().as_u16().to_string();
    for name in ["retry-after", "ratelimit-policy", "ratelimit"] {
        for value in response.headers().get_all(name) {
            let separator = if text.len() == 3 { " " } else { " | " };
            text.push_str(&format!("{separator}{name}: {}", value.to_str().unwrap()));
        }
    }
    text
}

pub(crate) fn status(response: &Response<()>) -> u16 {
    response.status().as_u16()
}
