//! Tokens and apps in a store of your own: `cargo run --example custom_store`, `cargo test --example custom_store`.
//!
//! A store answers whole questions. It never sees a token, only its digest; it is asked once per token and cache life,
//! and an `Err` is answered 503: an outage never reads as a refusal.

use std::convert::Infallible;
use std::error::Error;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::{Layer, ServiceExt, service_fn};
use tower_bearer::Authenticator;
use tower_bearer::clock::{Clock, SystemClock};
use tower_bearer::id::{AccountId, AppId, TokenId, WorkspaceId};
use tower_bearer::scope::ScopeSet;
use tower_bearer::stack::{AppResolver, BearerCheck, BearerStack, Finder};
use tower_bearer::store::{AccessMode, AppRecord, AppStore, TokenRecord, TokenStore};
use tower_bearer::subject::{Subject, SubjectType};
use tower_bearer::token::{Digest, TokenKind, TokenKinds};

const TOKEN: &str = "acme_0123456789012345678901234567890123456789012";

/// Stands for your database: one token, one app, and a plug that can be pulled.
#[derive(Clone, Default)]
struct Database {
    is_down: Arc<AtomicBool>,
    questions: Arc<AtomicUsize>,
}

#[derive(Debug, thiserror::Error)]
#[error("the database does not answer")]
struct Down;

impl Database {
    fn ask<T>(&self, answer: T) -> Result<T, Down> {
        self.questions.fetch_add(1, Ordering::Relaxed);
        if self.is_down.load(Ordering::Relaxed) { Err(Down) } else { Ok(answer) }
    }
}

impl TokenStore for Database {
    type Error = Down;

    /// `SELECT … FROM tokens WHERE digest = $1`
    async fn find(&self, digest: &Digest) -> Result<Option<TokenRecord>, Down> {
        let known = (*digest == Digest::of(TOKEN)).then(|| {
            let id = TokenId::new("tok-1").ok()?;
            let subject = Subject::Account { id: AccountId::new("acc-1").ok()? };
            let expires_at =
                SystemClock::new().now().wall().saturating_add(Duration::from_secs(60));
            let record = TokenRecord::new(id, "account", subject, expires_at);
            Some(record.with_scopes(ScopeSet::parse("apps:read")))
        });
        self.ask(known.flatten())
    }
}

impl AppStore for Database {
    type Error = Down;

    async fn app(&self, app: &AppId) -> Result<Option<AppRecord>, Down> {
        let workspace = WorkspaceId::new("ws-1").ok().filter(|_| app.as_str() == "app-1");
        let record = |workspace| AppRecord::new(app.clone(), workspace, AccessMode::Public);
        self.ask(workspace.map(record))
    }

    async fn permitted(&self, _app: &AppId, _account: &AccountId) -> Result<bool, Down> {
        self.ask(false)
    }
}

/// The statuses of three requests, then of two while the database is down, and how often it was asked.
async fn try_out() -> Result<(Vec<u16>, usize), Box<dyn Error>> {
    let database = Database::default();
    let kind = TokenKind::new("account").prefix("acme_").subject(SubjectType::Account);
    let kinds = TokenKinds::builder().kind(kind.narrowed(["apps:read"])).build()?;
    let auth = Authenticator::builder(kinds, database.clone()).build()?;
    let apps = AppResolver::new(&auth, database.clone(), Finder::path("/apps/{app}")?);
    let stack = BearerStack::new(BearerCheck::new(&auth)).resolve_app(apps);
    let service = stack.layer(service_fn(|_: Request<()>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    }));
    let mut statuses = Vec::new();
    for (path, is_down) in [
        ("/apps/app-1", false),
        ("/apps/app-1", false),
        ("/apps/app-2", false),
        ("/apps/app-1", true), // remembered
        ("/apps/app-3", true), // not known, and nobody can say
    ] {
        database.is_down.store(is_down, Ordering::Relaxed);
        let request =
            Request::builder().uri(path).header("authorization", format!("Bearer {TOKEN}"));
        statuses.push(service.clone().oneshot(request.body(())?).await?.status().as_u16());
    }
    Ok((statuses, database.questions.load(Ordering::Relaxed)))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (statuses, questions) = try_out().await?;
    Ok(writeln!(io::stdout(), "answered {statuses:?}, the database was asked {questions} times")?)
}

#[cfg(test)]
#[tokio::test]
async fn an_outage_is_no_refusal() {
    assert_eq!(try_out().await.unwrap(), (vec![200, 200, 404, 200, 503], 4));
}
