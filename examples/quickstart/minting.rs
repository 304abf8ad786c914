//! `POST /admin/tokens`: a token by policy, shown once.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use tower_bearer::id::{AccountId, Email, ExternalId, Issuer};
use tower_bearer::issuing::{IssueError, MintRequest};
use tower_bearer::scope::Scope;
use tower_bearer::subject::Subject;

use crate::access::Access;
use crate::problem::Problem;
use crate::seed::External;
use crate::strict::{Strict, invalid, present};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    kind: String,
    #[serde(default, deserialize_with = "present")]
    account: Option<String>,
    #[serde(default, deserialize_with = "present")]
    external: Option<External>,
    client_id: String,
    label: String,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default, deserialize_with = "present")]
    ttl_s: Option<i64>,
}

pub async fn mint(
    State(access): State<Access>,
    Strict(new): Strict<NewToken>,
) -> Result<Response, Problem> {
    let subject = new.subject().ok_or_else(invalid)?;
    let mut request =
        MintRequest::new(new.kind, subject, new.client_id, new.label).scopes(new.scopes);
    if let Some(seconds) = new.ttl_s {
        // a negative one is out of bounds like 0
        request = request.ttl(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
    }
    let issued = access.issuer.mint(&request).await.map_err(refusal)?;
    let body = Json(json!({
        "token": issued.token().expose(),
        "token_id": issued.id().as_str(),
        "kind": issued.kind(),
        "scopes": issued.scopes().iter().map(Scope::as_str).collect::<Vec<_>>(),
        "expires_at": issued.expires_at().as_secs(),
    }));
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], body).into_response())
}

impl NewToken {
    fn subject(&self) -> Option<Subject> {
        match (&self.account, &self.external) {
            (Some(id), None) => Some(Subject::Account { id: AccountId::new(id).ok()? }),
            (None, Some(External { issuer, subject, email })) => {
                // a blank issuer stays for the policy to name: `local` never has an external subject
                let issuer = if issuer.trim().is_empty() { "local" } else { issuer };
                Some(Subject::External {
                    issuer: Issuer::new(issuer).ok()?,
                    subject: ExternalId::new(subject).ok()?,
                    email: email.as_ref().map(Email::new).transpose().ok()?,
                })
            }
            _ => None,
        }
    }
}

fn refusal(error: IssueError) -> Problem {
    let conflict = |error, detail| Problem::new(StatusCode::CONFLICT, error, detail);
    match &error {
        IssueError::Policy(violation) => {
            let detail = violation.to_string();
            Problem::new(StatusCode::BAD_REQUEST, "mint_policy_violation", detail)
        }
        IssueError::AccountNotActive => {
            conflict("account_not_active", "The account is unknown or not active.")
        }
        IssueError::TooMany => conflict("too_many_tokens", "The subject has too many live tokens."),
        // no text was given, so none was bad
        IssueError::BadText { .. } | IssueError::NotMade(_) | IssueError::Undecidable(_) | _ => {
            tracing::warn!(%error, "a token was not minted");
            Problem::undecidable()
        }
    }
}
