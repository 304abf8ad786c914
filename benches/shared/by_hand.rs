//! The same eight steps as a careful team writes them today: eight axum `from_fn` in one `ServiceBuilder`, one shared state,
//! moka caches with typed keys, a keyed governor.

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use http::StatusCode;
use moka::sync::Cache;
use tower::util::BoxCloneSyncService;
use tower::{ServiceBuilder, service_fn};
use tower_bearer::clock::{Clock, SystemClock};
use tower_bearer::token::{Digest, TokenKinds};

use crate::world::{TOKEN, kinds};

#[derive(Clone)]
struct Token {
    account: Arc<str>,
    scopes: Arc<[Arc<str>]>,
    expires_at: u64,
}

#[derive(Clone)]
struct App {
    id: Arc<str>,
    workspace: Arc<str>,
    enabled: bool,
    mode: Arc<str>,
}

#[derive(Clone)]
struct Member(Arc<str>);

#[derive(Clone)]
struct Caller(#[expect(dead_code, reason = "carried, not read")] Arc<str>);

struct Shared {
    kinds: TokenKinds,
    tokens: Cache<[u8; 32], Token>,
    apps: Cache<Arc<str>, App>,
    members: Cache<(Arc<str>, Arc<str>), Member>,
    callers: Cache<Arc<str>, Caller>,
    limits: DefaultKeyedRateLimiter<[u8; 32]>,
    clock: SystemClock,
}

/// The token's digest, for the limiter.
#[derive(Clone, Copy)]
struct Key([u8; 32]);

pub(crate) type Service = BoxCloneSyncService<Request, Response, Infallible>;

pub(crate) fn service() -> Service {
    let text = Arc::<str>::from;
    let quota = Quota::per_second(NonZeroU32::new(4_000_000).expect("not zero"));
    let shared = Shared {
        kinds: kinds(),
        tokens: Cache::builder()
            .max_capacity(50_000)
            .time_to_live(std::time::Duration::from_secs(300))
            .build(),
        apps: Cache::builder()
            .max_capacity(50_000)
            .time_to_live(std::time::Duration::from_secs(60))
            .build(),
        members: Cache::builder()
            .max_capacity(50_000)
            .time_to_live(std::time::Duration::from_secs(60))
            .build(),
        callers: Cache::builder()
            .max_capacity(50_000)
            .time_to_live(std::time::Duration::from_secs(60))
            .build(),
        limits: RateLimiter::keyed(quota),
        clock: SystemClock::new(),
    };
    let token = Token {
        account: text("acc-member"),
        scopes: [text("apps:run"), text("apps:read")].into(),
        expires_at: u64::MAX,
    };
    shared.tokens.insert(*Digest::of(TOKEN).as_bytes(), token);
    let (id, workspace, mode) = (text("app-members"), text("ws-north"), text("private_all"));
    shared.apps.insert(text("app-members"), App { id, workspace, enabled: true, mode });
    shared.members.insert((text("acc-member"), text("ws-north")), Member(text("editor")));
    shared.callers.insert(text("acc-member"), Caller(text("acc-member")));
    let shared = Arc::new(shared);
    let state = || Arc::clone(&shared);
    let layers = ServiceBuilder::new()
        .layer(from_fn_with_state(state(), bearer))
        .layer(from_fn_with_state(state(), limit))
        .layer(from_fn_with_state(state(), scope))
        .layer(from_fn_with_state(state(), app))
        .layer(from_fn_with_state(state(), member))
        .layer(from_fn_with_state(state(), access))
        .layer(from_fn_with_state(state(), caller))
        .layer(from_fn_with_state(state(), forward));
    let inner =
        service_fn(|_: Request| async { Ok::<_, Infallible>(Response::new(Body::empty())) });
    BoxCloneSyncService::new(layers.service(inner))
}

async fn bearer(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let value = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    let Some(token) = value.and_then(|value| value.strip_prefix("Bearer ")) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    if shared.kinds.classify(token).is_err() {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let digest = *Digest::of(token).as_bytes();
    let Some(token) = shared.tokens.get(&digest) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    if shared.clock.now().wall().as_millis() >= token.expires_at {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    request.extensions_mut().insert(token);
    request.extensions_mut().insert(Key(digest));
    next.run(request).await
}

async fn limit(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    match request.extensions().get::<Key>() {
        Some(Key(key)) if shared.limits.check_key(key).is_ok() => next.run(request).await,
        Some(_) => StatusCode::TOO_MANY_REQUESTS.into_response(),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn scope(State(_): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let token = request.extensions().get::<Token>();
    if token.is_some_and(|token| token.scopes.iter().any(|scope| **scope == *"apps:run")) {
        return next.run(request).await;
    }
    StatusCode::FORBIDDEN.into_response()
}

async fn app(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let id = request.uri().path().strip_prefix("/apps/").and_then(|rest| rest.split('/').next());
    let Some(app) =
        id.and_then(|id| shared.apps.get(&Arc::<str>::from(id))).filter(|app| app.enabled)
    else {
        return StatusCode::NOT_FOUND.into_response();
    };
    request.extensions_mut().insert(app);
    next.run(request).await
}

async fn member(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let (Some(token), Some(app)) =
        (request.extensions().get::<Token>(), request.extensions().get::<App>())
    else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let Some(member) =
        shared.members.get(&(Arc::clone(&token.account), Arc::clone(&app.workspace)))
    else {
        return StatusCode::NOT_FOUND.into_response();
    };
    request.extensions_mut().insert(member);
    next.run(request).await
}

async fn access(State(_): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let app = request.extensions().get::<App>();
    let member = request.extensions().get::<Member>().is_some_and(|Member(role)| !role.is_empty());
    match app {
        Some(app) if member && (&*app.mode == "private_all" || &*app.mode == "public") => {
            next.run(request).await
        }
        Some(app) => (StatusCode::FORBIDDEN, app.id.to_string()).into_response(),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn caller(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let account = request.extensions().get::<Token>().map(|token| Arc::clone(&token.account));
    let Some(caller) = account.and_then(|account| shared.callers.get(&account)) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    request.extensions_mut().insert(caller);
    next.run(request).await
}

async fn forward(State(_): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let spoofed: Vec<_> = request
        .headers()
        .keys()
        .filter(|name| {
            name.as_str().starts_with("x-forwarded-") || name.as_str().starts_with("x-original-")
        })
        .cloned()
        .collect();
    for name in spoofed {
        request.headers_mut().remove(name);
    }
    for name in ["authorization", "cookie", "proxy-authorization", "connection", "te", "upgrade"] {
        request.headers_mut().remove(name);
    }
    next.run(request).await
}
