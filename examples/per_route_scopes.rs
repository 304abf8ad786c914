//! Scopes per route under one stack built once, with axum: `cargo run --example per_route_scopes`, then paste a line.

use std::error::Error;
use std::io::{self, Write};

use axum::routing::get;
use axum::{Extension, Router};
use tower_bearer::id::AccountId;
use tower_bearer::issuing::{Issuer, MintRequest};
use tower_bearer::scope::ScopeError;
use tower_bearer::stack::{BearerCheck, BearerStack, ScopeCheck};
use tower_bearer::store::{AccountStatus, MemoryStore};
use tower_bearer::subject::{Subject, SubjectType};
use tower_bearer::token::{TokenKind, TokenKinds};
use tower_bearer::{AuthContext, Authenticator};

/// Every route asks for a token, two of them for scopes too; what they refuse, the stack renders.
fn router(auth: &Authenticator) -> Result<Router, ScopeError> {
    let read = ScopeCheck::all(["notes:read"])?;
    let either = ScopeCheck::any(["notes:write", "notes:admin"])?;
    Ok(Router::new()
        .route("/whoami", get(whoami))
        .route("/notes", get(whoami).route_layer(read))
        .route("/notes/{note}", get(whoami).route_layer(either))
        .layer(BearerStack::new(BearerCheck::new(auth))))
}

async fn whoami(Extension(caller): Extension<AuthContext>) -> String {
    caller.subject_key().map(ToString::to_string).unwrap_or_default()
}

/// An authenticator, and a token that may read notes.
async fn setup() -> Result<(Authenticator, String), Box<dyn Error>> {
    let kind = TokenKind::new("account").prefix("acme_").subject(SubjectType::Account);
    let kind = kind.narrowed(["notes:read", "notes:write"]).checksum();
    let store = MemoryStore::new();
    let kinds = TokenKinds::builder().kind(kind).build()?;
    let auth = Authenticator::builder(kinds, store.clone()).ledger(store.clone()).build()?;
    let id = AccountId::new("acc-1")?;
    store.put_account(id.clone(), AccountStatus::Active);
    let request = MintRequest::new("account", Subject::Account { id }, "example", "laptop");
    let issued = Issuer::new(&auth)?.mint(&request.scopes(["notes:read"])).await?;
    Ok((auth, issued.token().expose().to_owned()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (auth, token) = setup().await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    for path in ["/whoami", "/notes", "/notes/1"] {
        writeln!(io::stdout(), "curl -i -H 'Authorization: Bearer {token}' {url}{path}")?;
    }
    Ok(axum::serve(listener, router(&auth)?).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt;

    #[tokio::test]
    async fn each_route_has_its_own_scopes() {
        let (auth, token) = setup().await.unwrap();
        let router = router(&auth).unwrap();
        for (path, want, says) in [
            ("/whoami", 200, "account:acc-1"),
            ("/notes", 200, "account:acc-1"),
            ("/notes/1", 403, r#""required_scopes":["notes:write","notes:admin"],"match":"any""#),
            ("/nowhere", 404, ""),
        ] {
            let request =
                Request::builder().uri(path).header("authorization", format!("Bearer {token}"));
            let request = request.body(Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), want, "{path}");
            let body = to_bytes(response.into_body(), 4_096).await.unwrap();
            let body = String::from_utf8(body.to_vec()).unwrap();
            assert!(body.contains(says), "{path}: {body}");
        }
    }
}
