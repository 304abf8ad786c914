//! Bearer tokens in front of a plain hyper service, no framework: `cargo run --example hyper_service`, then paste its line.

use std::convert::Infallible;
use std::error::Error;
use std::io::{self, Write};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tower::{Layer, service_fn};
use tower_bearer::id::AccountId;
use tower_bearer::issuing::{Issuer, MintRequest};
use tower_bearer::stack::{BearerCheck, BearerStack};
use tower_bearer::store::{AccountStatus, MemoryStore};
use tower_bearer::subject::{Subject, SubjectType};
use tower_bearer::token::{TokenKind, TokenKinds};
use tower_bearer::{AuthContext, Authenticator};

/// The service itself: whoever gets here has a live token with the scope `reports:read`.
async fn reports<B>(request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    let caller = AuthContext::of(request.extensions()).and_then(AuthContext::subject_key);
    let text = caller.map_or_else(String::new, |caller| format!("reports for {caller}\n"));
    Ok(Response::new(Full::from(text)))
}

/// An authenticator over an empty store, and one token.
async fn setup() -> Result<(Authenticator, String), Box<dyn Error>> {
    let kind = TokenKind::new("account").prefix("acme_").subject(SubjectType::Account);
    let kinds = TokenKinds::builder().kind(kind.narrowed(["reports:read"]).checksum()).build()?;
    let store = MemoryStore::new();
    let auth = Authenticator::builder(kinds, store.clone()).ledger(store.clone()).build()?;
    let id = AccountId::new("acc-1")?;
    store.put_account(id.clone(), AccountStatus::Active);
    let request = MintRequest::new("account", Subject::Account { id }, "example", "laptop");
    let issued = Issuer::new(&auth)?.mint(&request.scopes(["reports:read"])).await?;
    Ok((auth, issued.token().expose().to_owned()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (auth, token) = setup().await?;
    let stack = BearerStack::new(BearerCheck::new(&auth)).require_scopes(["reports:read"])?;
    let service = stack.layer(service_fn(reports::<hyper::body::Incoming>));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?);
    writeln!(io::stdout(), "curl -i -H 'Authorization: Bearer {token}' {url}")?;
    loop {
        let (stream, _) = listener.accept().await?;
        let service = TowerToHyperService::new(service.clone());
        tokio::spawn(async move {
            let server = Builder::new(TokioExecutor::new());
            server.serve_connection(TokioIo::new(stream), service).await.ok();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tower::ServiceExt;

    #[tokio::test]
    async fn passes_and_refuses() {
        let (auth, token) = setup().await.unwrap();
        let stack = BearerStack::new(BearerCheck::new(&auth));
        let service =
            stack.require_scopes(["reports:read"]).unwrap().layer(service_fn(reports::<()>));
        for (name, authorization, want) in [
            ("the token", Some(format!("Bearer {token}")), 200),
            ("no token", None, 401),
            ("another one", Some("Bearer acme_x".to_owned()), 401),
            ("two in one", Some(format!("Bearer {token}, {token}")), 400),
        ] {
            let mut request = Request::builder();
            if let Some(line) = authorization {
                request = request.header("authorization", line);
            }
            let response = service.clone().oneshot(request.body(()).unwrap()).await.unwrap();
            assert_eq!(response.status(), want, "{name}");
        }
    }
}
