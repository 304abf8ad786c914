//! Extractors for axum, over axum-core alone.
//!
//! - [`AuthContext`]: 500 where no [`BearerCheck`](crate::stack::BearerCheck) stands in front, 401 for an anonymous caller.
//! - `Option<AuthContext>`: `None` in both cases.
//! - `VerifiedCaller` (feature `signed`): 500 where no `VerifyIdentity` stands in front.
//! - [`Caller<C>`]: what [`CallerMount`](crate::stack::CallerMount) mounted; 500 where nothing was.

use axum_core::body::Body;
use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::request::Parts;
use std::convert::Infallible;

use crate::context::AuthContext;
use crate::evidence::Evidence;
use crate::gate::{RefusalBody, WithBody};
#[cfg(feature = "signed")]
use crate::receiver::VerifiedCaller;
use crate::rejection::Rejection;

impl<S: Sync> FromRequestParts<S> for AuthContext {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Rejection> {
        let Some(context) = Self::of(&parts.extensions) else {
            tracing::error!(
                "no context for the extractor AuthContext; put BearerCheck or a BearerStack around the route"
            );
            return Err(Rejection::misordered(Evidence::AUTHENTICATED));
        };
        match context.known_caller() {
            Ok(_) => Ok(context.clone()),
            Err(mut rejection) => {
                rejection.answered_by(&context.realm.answers);
                Err(rejection)
            }
        }
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for AuthContext {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Infallible> {
        Ok(Self::of(&parts.extensions).filter(|context| !context.is_anonymous()).cloned())
    }
}

#[cfg(feature = "signed")]
impl<S: Sync> FromRequestParts<S> for VerifiedCaller {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Rejection> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            tracing::error!("no caller was verified; put VerifyIdentity around the route");
            Rejection::lacking(NotVerified)
        })
    }
}

/// Nobody verified who is calling.
#[cfg(feature = "signed")]
#[derive(Debug, thiserror::Error)]
#[error("no VerifyIdentity stands in front")]
struct NotVerified;

/// The caller that [`CallerMount`](crate::stack::CallerMount) mounted.
///
/// 500 where nothing was mounted; `Option<Caller<C>>` is `None` there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "users destructure it in handlers")]
pub struct Caller<C>(pub C);

impl<S: Sync, C: Clone + Send + Sync + 'static> FromRequestParts<S> for Caller<C> {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Rejection> {
        parts.extensions.get::<C>().cloned().map(Self).ok_or_else(|| {
            tracing::error!("no caller of this type is mounted; put CallerMount around the route");
            Rejection::misordered(Evidence::MOUNTED)
        })
    }
}

impl<S: Sync, C: Clone + Send + Sync + 'static> OptionalFromRequestParts<S> for Caller<C> {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get::<C>().cloned().map(Self))
    }
}

impl IntoResponse for Rejection {
    /// The same bytes that a stack answers.
    fn into_response(self) -> Response {
        <WithBody as RefusalBody<Body>>::refuse(self, false)
    }
}
