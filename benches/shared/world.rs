//! One member with one token in one workspace with one app, and services around which the benches put layers.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Empty;
use tower::Service;
use tower_bearer::Authenticator;
use tower_bearer::clock::{Clock, SystemClock};
use tower_bearer::id::{AccountId, AppId, TokenId, WorkspaceId};
use tower_bearer::scope::ScopeSet;
use tower_bearer::store::{
    AccessMode, AccountStatus, MemoryStore, TokenRecord, TokenStore, WorkspaceStatus,
};
use tower_bearer::subject::{Subject, SubjectType};
use tower_bearer::token::{Digest, TokenKind, TokenKinds};

pub(crate) type Request = http::Request<Empty<Bytes>>;
pub(crate) type Response = http::Response<http_body_util::Full<Bytes>>;

/// P333's token: 53 bytes with a checksum.
pub(crate) const TOKEN: &str = "tba_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh81xprsL";

pub(crate) fn kinds() -> TokenKinds {
    let account = TokenKind::new("account").prefix("tba_").subject(SubjectType::Account);
    let external = TokenKind::new("external").prefix("tbe_").subject(SubjectType::External);
    TokenKinds::builder()
        .kind(account.narrowed(["full"]).umbrella("full").checksum())
        .kind(external.fixed(["apps:run"]).checksum())
        .implies("apps:manage", ["apps:read", "apps:run"])
        .build()
        .expect("the kinds are well formed")
}

/// Knows one token.
struct OneToken;

impl TokenStore for OneToken {
    type Error = Infallible;

    async fn find(&self, digest: &Digest) -> Result<Option<TokenRecord>, Infallible> {
        let known = *digest == Digest::of(TOKEN);
        let ends =
            SystemClock::new().now().wall().saturating_add(std::time::Duration::from_secs(86_400));
        let id = TokenId::new("tok_bench").expect("well formed");
        let subject = Subject::Account { id: AccountId::new("acc-member").expect("well formed") };
        let record = TokenRecord::new(id, "account", subject, ends)
            .with_scopes(ScopeSet::parse("apps:run apps:read"));
        Ok(known.then_some(record))
    }
}

pub(crate) struct World {
    pub(crate) auth: Authenticator,
    pub(crate) store: MemoryStore,
}

impl World {
    pub(crate) fn new() -> Self {
        let store = MemoryStore::new();
        let (account, workspace) = (AccountId::new("acc-member"), WorkspaceId::new("ws-north"));
        let (account, workspace) = (account.expect("well formed"), workspace.expect("well formed"));
        store.put_account(account.clone(), AccountStatus::Active);
        store.put_workspace(workspace.clone(), WorkspaceStatus::Active);
        store.put_member(&workspace, &account, "editor").expect("both are there");
        let app = AppId::new("app-members").expect("well formed");
        store.put_app(app, &workspace, AccessMode::PrivateAll).expect("the workspace is there");
        // entries must outlive the bench: what is measured is the hit
        let auth = Authenticator::builder(kinds(), OneToken)
            .positive_ttl(std::time::Duration::from_secs(300))
            .fact_ttl(std::time::Duration::from_secs(60))
            .tombstone_life(std::time::Duration::from_secs(600))
            .build()
            .expect("the settings are in range");
        Self { auth, store }
    }
}

/// Answers 200 at once.
#[derive(Clone, Copy)]
pub(crate) struct Inner;

impl<B> Service<http::Request<B>> for Inner {
    type Response = Response;
    type Error = Infallible;
    type Future = Ready<Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        std::hint::black_box(request.extensions());
        ready(Ok(http::Response::new(http_body_util::Full::default())))
    }
}

/// A request as a browser's fetch or an HTTP library would send it, with this credential.
pub(crate) fn request(credential: &str) -> Request {
    http::Request::builder()
        .method("POST")
        .uri("/apps/app-members/run")
        .header("host", "api.example")
        .header("user-agent", "bench/1.0")
        .header("accept", "application/json")
        .header("accept-encoding", "gzip, br")
        .header("content-type", "application/json")
        .header("content-length", "0")
        .header("x-request-id", "0b6c0f3e")
        .header("authorization", credential)
        .body(Empty::new())
        .expect("well formed")
}
