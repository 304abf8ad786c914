//! One of several servers: everything is its own but the Redis.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::State;
use axum::routing::get;
use axum::{Extension, Router};
use tokio::net::TcpListener;
use tower_bearer::authenticator::Revocation;
use tower_bearer::id::AccountId;
use tower_bearer::issuing::Issuer;
use tower_bearer::limit::{Limit, Limiter, Policy};
use tower_bearer::stack::{BearerCheck, BearerStack, RateLimit};
use tower_bearer::store::{
    AccountStatus, MemoryStore, Redis, RedisBus, RedisContexts, RedisWindows,
};
use tower_bearer::subject::SubjectType;
use tower_bearer::token::{TokenKind, TokenKinds};
use tower_bearer::{AuthContext, Authenticator};

/// Requests per minute and token, over all servers.
pub(crate) const LIMIT: u32 = 30;

/// One server. Nothing of it is shared with the others but the Redis.
pub(crate) struct Replica {
    pub(crate) issuer: Issuer,
    pub(crate) addr: SocketAddr,
}

impl Replica {
    pub(crate) async fn start(redis: &Redis) -> Result<Self, Box<dyn Error>> {
        // stands for a database: with a real one all servers would share it, and `tells` would not be needed
        let store = MemoryStore::new();
        store.put_account(AccountId::new("acc-1")?, AccountStatus::Active);
        let kind = TokenKind::new("account").prefix("acme_").subject(SubjectType::Account);
        let kinds = TokenKinds::builder().kind(kind.fixed(["notes:read"]).checksum()).build()?;
        let auth = Authenticator::builder(kinds, store.clone())
            .ledger(store.clone())
            .name("replicas") // the same for all who share the cache
            .shared_cache(RedisContexts::new(redis))
            .bus(RedisBus::new(redis))
            .tells(store)
            .build()?;
        let limit = Limit::new(LIMIT.try_into()?, Duration::from_secs(60))?;
        let limiter = Limiter::builder()
            .policy(Policy::per_token(limit))
            .store(RedisWindows::new(redis))
            .deadline(Duration::from_millis(250)) // a tour has time: the default is 25 ms
            .build()?;
        limiter.ready().await.map_err(|error| format!("{error}; --own starts a redis-server"))?;
        let stack = BearerStack::new(BearerCheck::new(&auth)).rate_limit(RateLimit::new(limiter));
        let app = Router::new().route("/", get(decided).delete(end)).layer(stack);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (issuer, addr) = (Issuer::new(&auth)?, listener.local_addr()?);
        tokio::spawn(async move { axum::serve(listener, app.with_state(auth)).await });
        Ok(Self { issuer, addr })
    }
}

/// Says which log let this request pass.
async fn decided(Extension(context): Extension<AuthContext>) -> String {
    context.quota().map_or_else(String::new, |quota| format!("{:?}", quota.source))
}

/// Ends the presented token, and says whether the others were told.
async fn end(
    State(auth): State<Authenticator>,
    Extension(context): Extension<AuthContext>,
) -> String {
    match auth.revoke_presented(&context).await {
        Ok(Revocation::Revoked { bus, .. }) => format!("{bus:?}"),
        other => format!("{other:?}"),
    }
}
