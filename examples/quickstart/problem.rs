//! Refusals that are not of the stack's making, in the form that the stack gives its own.

use axum::body::{Body, HttpBody};
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// One refusal.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    error: &'static str,
    detail: String,
    allow: Option<&'static str>,
}

impl Problem {
    pub fn new(status: StatusCode, error: &'static str, detail: impl Into<String>) -> Self {
        Self { status, error, detail: detail.into(), allow: None }
    }

    pub fn not_found() -> Self {
        let detail = "No such resource, or the caller may not see it.";
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    /// `allow` lists the right ones.
    pub fn method_not_allowed(allow: &'static str) -> Self {
        let detail = "This method is not allowed here.";
        let problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail);
        Self { allow: Some(allow), ..problem }
    }

    pub fn undecidable() -> Self {
        let detail = "The request could not be decided now. Try again later.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", detail)
    }

    pub fn internal() -> Self {
        let detail = "The request could not be processed.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", detail)
    }
}

#[derive(Serialize)]
struct Members<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    error: &'a str,
    detail: &'a str,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let members = Members {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            error: self.error,
            detail: &self.detail,
        };
        let body = serde_json::to_vec(&members).expect("strings and a number always serialize");
        let headers = [(CONTENT_TYPE, "application/problem+json"), (CACHE_CONTROL, "no-store")];
        let mut response = (self.status, headers, body).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let Some(allow) = self.allow {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

/// The time-out layer answers 503 with an empty body; this fills it.
pub async fn fill(response: Response<Body>) -> Response {
    let bare = response.status() == StatusCode::SERVICE_UNAVAILABLE
        && !response.headers().contains_key(CONTENT_TYPE)
        && response.body().is_end_stream();
    if bare { Problem::undecidable().into_response() } else { response }
}

/// Whatever a handler panicked with stays in the log.
pub fn panicked(_payload: Box<dyn std::any::Any + Send>) -> Response {
    Problem::internal().into_response()
}
