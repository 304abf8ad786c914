//! One member of one workspace, its apps and a foreign one, and services around which the benches put layers.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Empty;
use tower::Service;
use tower_bearer::Authenticator;
use tower_bearer::clock::{Clock, SystemClock, Timestamp};
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

/// Known, and ended long ago.
pub(crate) const EXPIRED: &str = "tba_RXhwaXJlZCB0b2tlbiBvZiB0aGUgYmVuY2hlcy4uLi42j6Dvi";

/// Known, with `apps:read` alone.
pub(crate) const READS_ONLY: &str = "tba_UmVhZHMgb25seSwgb2YgdGhlIGJlbmNoZXMuLi4uLi41m9jsB";

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

/// Knows three tokens.
struct Tokens;

impl TokenStore for Tokens {
    type Error = Infallible;

    async fn find(&self, digest: &Digest) -> Result<Option<TokenRecord>, Infallible> {
        let known =
            [TOKEN, EXPIRED, READS_ONLY].into_iter().find(|text| Digest::of(text) == *digest);
        let Some(text) = known else { return Ok(None) };
        let day = std::time::Duration::from_secs(86_400);
        let tomorrow = SystemClock::new().now().wall().saturating_add(day);
        let ends = if text == EXPIRED { Timestamp::from_secs(86_400) } else { tomorrow };
        let scopes = if text == READS_ONLY { "apps:read" } else { "apps:run apps:read" };
        let id = TokenId::new("tok_bench").expect("well formed");
        let subject = Subject::Account { id: AccountId::new("acc-member").expect("well formed") };
        Ok(Some(
            TokenRecord::new(id, "account", subject, ends).with_scopes(ScopeSet::parse(scopes)),
        ))
    }
}

pub(crate) struct World {
    pub(crate) auth: Authenticator,
    pub(crate) store: MemoryStore,
}

impl World {
    pub(crate) fn new() -> Self {
        let store = MemoryStore::new();
        let account = AccountId::new("acc-member").expect("well formed");
        let workspace = |id: &str| WorkspaceId::new(id).expect("well formed");
        let app = |id: &str| AppId::new(id).expect("well formed");
        let (north, south) = (workspace("ws-north"), workspace("ws-south"));
        store.put_account(account.clone(), AccountStatus::Active);
        store.put_workspace(north.clone(), WorkspaceStatus::Active);
        store.put_workspace(south.clone(), WorkspaceStatus::Active);
        store.put_member(&north, &account, "editor").expect("both are there");
        for (id, workspace) in
            [("app-members", &north), ("app-disabled", &north), ("app-foreign", &south)]
        {
            let put = store.put_app(app(id), workspace, AccessMode::PrivateAll);
            put.expect("the workspace is there");
        }
        store.set_app_enabled(&app("app-disabled"), false);
        // entries must outlive the bench: what is measured is the hit
        let auth = Authenticator::builder(kinds(), Tokens)
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
