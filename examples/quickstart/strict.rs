//! A JSON body that is exactly what a route takes, and ids in its path.
//!
//! Another media type is 415; bad JSON, an unknown or repeated member and another type are 400.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use serde::de::{Deserialize, DeserializeOwned, Deserializer};

use crate::problem::Problem;

pub struct Strict<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Strict<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let media_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = media_type.and_then(|value| value.split(';').next()).unwrap_or_default();
        if !media_type.trim().eq_ignore_ascii_case("application/json") {
            let detail = "The body must be application/json.";
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Problem::new(status, "unsupported_media_type", detail));
        }
        let body =
            Bytes::from_request(request, state).await.map_err(|rejection| {
                match rejection.status() {
                    StatusCode::PAYLOAD_TOO_LARGE => {
                        let detail = "The body is too large.";
                        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
                    }
                    _ => invalid(),
                }
            })?;
        serde_json::from_slice(&body).ok().map(Self).ok_or_else(invalid)
    }
}

/// Decoded path segments; those that are no text are 404.
pub struct InPath<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for InPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(head: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::from_request_parts(head, state).await.ok();
        path.map(|Path(ids)| Self(ids)).ok_or_else(Problem::not_found)
    }
}

pub fn invalid() -> Problem {
    let detail = "The body is not what this route takes.";
    Problem::new(StatusCode::BAD_REQUEST, "invalid_request", detail)
}

/// For members that may be left out, but are not `null`.
pub fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    json: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(json).map(Some)
}
