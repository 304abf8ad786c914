//! The second address: mint and end tokens, change people and apps. Loopback only, no credential, no browser.
//!
//! The store changes first, then the authenticator is told, once per real change; then the answer goes out.

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::http::header::ORIGIN;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use std::net::IpAddr;
use tower_bearer::authenticator::Revocation;
use tower_bearer::id::{AccountId, AppId, TokenId, WorkspaceId};
use tower_bearer::stack::host;
use tower_bearer::store::{AccessMode, AccountStatus, RevokeReason, RevokeTarget, WorkspaceStatus};

use crate::access::Access;
use crate::forwarding::Jwks;
use crate::handlers::unknown_path;
use crate::minting::mint;
use crate::problem::Problem;
use crate::routes::other;
use crate::seed::is_access_mode;
use crate::strict::{InPath, Strict, invalid, present};

/// `jwks` answers who asks for the keys that identity is signed by.
pub fn routes(access: &Access, jwks: Option<Jwks>) -> Router {
    let mut router = Router::new();
    if let Some(jwks) = jwks {
        router = router.route_service("/jwks.json", jwks);
    }
    router
        .route("/admin/tokens", other("POST").post(mint))
        .route("/admin/tokens/{id}", other("DELETE").delete(end_token))
        .route("/admin/members/{workspace}/{account}", other("DELETE").delete(remove_member))
        .route("/admin/accounts/{id}", other("PATCH").patch(change_account))
        .route("/admin/workspaces/{id}", other("PATCH").patch(change_workspace))
        .route("/admin/apps/{id}", other("PATCH").patch(change_app))
        .fallback(unknown_path)
        .layer(DefaultBodyLimit::max(65_536))
        .layer(from_fn(local_only))
        .with_state(access.clone())
}

/// Neither a page in a browser on this machine nor a name that was rebound to it gets in.
async fn local_only(request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let is_local = host(&head).is_some_and(|host| is_loopback(&host));
    if !is_local || head.headers.contains_key(ORIGIN) {
        let detail = "This address is for this machine alone.";
        return Problem::new(StatusCode::FORBIDDEN, "forbidden_host", detail).into_response();
    }
    next.run(Request::from_parts(head, body)).await
}

fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host == "localhost" || bare.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

type Answer = Result<StatusCode, Problem>;

const DONE: Answer = Ok(StatusCode::NO_CONTENT);

async fn end_token(State(access): State<Access>, InPath(id): InPath<String>) -> Answer {
    let id = TokenId::new(id).ok().ok_or_else(Problem::not_found)?;
    let target = RevokeTarget::Id { id, owner: None };
    match access.auth.revoke_token(target, RevokeReason::Admin).await {
        Ok(Revocation::NotFound) => Err(Problem::not_found()),
        Ok(_) => DONE,
        Err(error) => {
            tracing::warn!(%error, "a token could not be ended");
            Err(Problem::undecidable())
        }
    }
}

async fn remove_member(
    State(access): State<Access>,
    InPath((workspace, account)): InPath<(String, String)>,
) -> Answer {
    let workspace = WorkspaceId::new(workspace).ok().ok_or_else(Problem::not_found)?;
    let account = AccountId::new(account).ok().ok_or_else(Problem::not_found)?;
    let role = access.store.remove_member(&workspace, &account).ok_or_else(Problem::not_found)?;
    access.auth.member_removed(&workspace, &account, &role);
    DONE
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Status {
    status: String,
}

async fn change_account(
    State(access): State<Access>,
    InPath(id): InPath<String>,
    Strict(Status { status }): Strict<Status>,
) -> Answer {
    let status = AccountStatus::from_word(&status).ok_or_else(invalid)?;
    let id = AccountId::new(id).ok().ok_or_else(Problem::not_found)?;
    let before = access.store.set_account_status(&id, status).ok_or_else(Problem::not_found)?;
    if before != status {
        access.auth.account_changed(&id, "status", before.as_str(), status.as_str());
    }
    DONE
}

async fn change_workspace(
    State(access): State<Access>,
    InPath(id): InPath<String>,
    Strict(Status { status }): Strict<Status>,
) -> Answer {
    let status = WorkspaceStatus::from_word(&status).ok_or_else(invalid)?;
    let id = WorkspaceId::new(id).ok().ok_or_else(Problem::not_found)?;
    let before = access.store.set_workspace_status(&id, status).ok_or_else(Problem::not_found)?;
    if before != status {
        access.auth.workspace_changed(&id, "status", before.as_str(), status.as_str());
    }
    DONE
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AppChange {
    #[serde(default, deserialize_with = "present")]
    enabled: Option<bool>,
    #[serde(default, deserialize_with = "present")]
    access_mode: Option<String>,
}

async fn change_app(
    State(Access { store, auth, .. }): State<Access>,
    InPath(id): InPath<String>,
    Strict(AppChange { enabled, access_mode }): Strict<AppChange>,
) -> Answer {
    let is_empty = enabled.is_none() && access_mode.is_none();
    if is_empty || access_mode.as_deref().is_some_and(|word| !is_access_mode(word)) {
        return Err(invalid());
    }
    let id = AppId::new(id).ok().ok_or_else(Problem::not_found)?;
    if let Some(enabled) = enabled {
        let before = store.set_app_enabled(&id, enabled).ok_or_else(Problem::not_found)?;
        if before != enabled {
            auth.app_changed(&id, "enabled", &before.to_string(), &enabled.to_string());
        }
    }
    if let Some(mode) = access_mode.as_deref().map(AccessMode::from_word) {
        let before = store.set_access_mode(&id, mode.clone()).ok_or_else(Problem::not_found)?;
        if before != mode {
            auth.app_changed(&id, "access_mode", before.as_str(), mode.as_str());
        }
    }
    DONE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_hosts() {
        for (host, want) in [
            ("localhost", true),
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("[::1]", true),
            ("localhost.example", false),
            ("127.0.0.1.example", false),
            ("10.0.0.1", false),
            ("[::2]", false),
            ("0.0.0.0", false),
        ] {
            assert_eq!(is_loopback(host), want, "XK5 {host}");
        }
    }
}
