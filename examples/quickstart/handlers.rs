//! What the service does once a request has passed.
//!
//! Extensions are axum's plain way to what the layers left; feature `axum` of this crate has extractors with better answers.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Value, json};
use tower_bearer::AuthContext;
use tower_bearer::scope::Scope;
use tower_bearer::store::{AppRecord, MemoryCaller};
use tower_bearer::subject::Subject;

use crate::access::Access;
use crate::problem::Problem;

pub async fn healthz() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

pub async fn me(Extension(context): Extension<AuthContext>) -> Result<Json<Value>, Problem> {
    let scopes = context.scopes().ok_or_else(Problem::internal)?;
    Ok(Json(json!({
        "subject": subject(context.subject().ok_or_else(Problem::internal)?),
        "kind": context.kind(),
        "token_id": context.token_id().map(|id| id.as_str()),
        "scopes": scopes.iter().map(Scope::as_str).collect::<Vec<_>>(),
        "workspace": context.bound_workspace().map(|workspace| workspace.as_str()),
        "expires_at": context.expires_at().map(|at| at.as_secs()),
    })))
}

pub async fn app(Extension(context): Extension<AuthContext>) -> Result<Json<Value>, Problem> {
    let app = context.app().ok_or_else(Problem::internal)?;
    Ok(Json(json!({
        "id": app.id().as_str(),
        "workspace": app.workspace().as_str(),
        "access_mode": app.access_mode().as_str(),
    })))
}

pub async fn run(
    Extension(context): Extension<AuthContext>,
    Extension(caller): Extension<MemoryCaller>,
) -> Result<Json<Value>, Problem> {
    let app = context.app().ok_or_else(Problem::internal)?;
    let caller = match caller {
        MemoryCaller::Account { id, role } => {
            json!({ "type": "account", "id": id.as_str(), "role": role.as_deref() })
        }
        MemoryCaller::EndUser { id, issuer, subject } => json!({
            "type": "end_user",
            "id": *id,
            "issuer": issuer.as_str(),
            "subject": subject.as_str(),
        }),
        // no kind of token here stands for anything else
        MemoryCaller::Service { .. } | _ => return Err(Problem::internal()),
    };
    Ok(Json(json!({
        "app": app.id().as_str(),
        "workspace": app.workspace().as_str(),
        "caller": caller,
    })))
}

pub async fn apps_of(
    State(access): State<Access>,
    Extension(context): Extension<AuthContext>,
) -> Result<Json<Value>, Problem> {
    let workspace = context.workspace().ok_or_else(Problem::internal)?;
    let shown = |app: AppRecord| {
        json!({
            "id": app.id().as_str(),
            "access_mode": app.access_mode().as_str(),
            "enabled": app.is_enabled(),
        })
    };
    let apps: Vec<Value> = access.store.apps_of(workspace).into_iter().map(shown).collect();
    Ok(Json(json!({ "workspace": workspace.as_str(), "apps": apps })))
}

pub async fn permitted_apps(State(access): State<Access>) -> Json<Value> {
    let shown = |app: AppRecord| {
        json!({
            "id": app.id().as_str(),
            "workspace": app.workspace().as_str(),
            "access_mode": app.access_mode().as_str(),
        })
    };
    let apps: Vec<Value> = access.store.apps_open_to_externals().into_iter().map(shown).collect();
    Json(json!({ "apps": apps }))
}

/// Ends the token that the request came with.
pub async fn end_self(
    State(access): State<Access>,
    Extension(context): Extension<AuthContext>,
) -> Response {
    match access.auth.revoke_presented(&context).await {
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => {
            tracing::warn!(%error, "a token could not be ended");
            Problem::undecidable().into_response()
        }
    }
}

pub async fn unknown_path() -> Problem {
    Problem::not_found()
}

fn subject(subject: &Subject) -> Value {
    match subject {
        Subject::Account { id } => json!({ "type": "account", "id": id.as_str() }),
        Subject::External { issuer, subject, email } => json!({
            "type": "external",
            "issuer": issuer.as_str(),
            "subject": subject.as_str(),
            "email": email.as_ref().map(|email| email.as_str()),
        }),
        Subject::Service { id } => json!({ "type": "service", "id": id.as_str() }),
    }
}
