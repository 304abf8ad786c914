//! Where do receivers find the keys of our assertions?
//!
//! 1. `GET` and `HEAD` are answered with the public keys of this moment, and with nothing else: RFC 7517 §5.
//! 2. The answer may be kept for 300 s, which is how long a key is published before it signs and after its last assertion.
//! 3. A strong validator (RFC 9110 §8.8.3) saves a receiver that asks again the body.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use sha2::{Digest as _, Sha256};
use std::convert::Infallible;
use std::fmt;
use std::future::{Ready, ready};
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower_service::Service;

use super::Assertions;
use super::jwk::set_of;
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::key::to_hex;

/// Publishes the keys of [`Assertions`], most often at `/.well-known/jwks.json` (RFC 7517 §5).
///
/// `R` is the body of its answers, made of [`Bytes`]. Always ready, answers at once, any path: route to it. A clone costs a
/// few reference counts.
///
/// | status | when |
/// | --- | --- |
/// | 200 | `GET`, `HEAD`: the keys as `application/jwk-set+json`, to be kept for 300 s |
/// | 304 | the same, and the receiver has them already by `If-None-Match` |
/// | 405 | any other method |
///
/// ```
/// use http::{Request, StatusCode};
/// use tower::ServiceExt;
/// use tower_bearer::forward::{AssertionKey, Assertions, JwksService, SigningKey};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut seed = [0; 32];
/// # getrandom::fill(&mut seed)?;
/// let key = AssertionKey::new(SigningKey::ed25519("unused", &seed)?)?;
/// let service = JwksService::<bytes::Bytes>::new(&Assertions::new("https://gw.example.com", key)?);
/// let response = service.oneshot(Request::get("/jwks.json").body(())?).await?;
/// assert_eq!(response.status(), StatusCode::OK);
/// # Ok(())
/// # }
/// ```
#[must_use = "a service does nothing until it is called"]
pub struct JwksService<R> {
    assertions: Assertions,
    clock: Arc<dyn Clock>,
    body: PhantomData<fn() -> R>,
}

impl<R> JwksService<R> {
    /// Publishes the keys of `assertions`, and every later change of them.
    pub fn new(assertions: &Assertions) -> Self {
        let clock = Arc::new(SystemClock::new());
        Self { assertions: assertions.clone(), clock, body: PhantomData }
    }

    /// Takes the time from this clock instead of the system's: the one that the assertions are made by.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }
}

impl<R: From<Bytes>> JwksService<R> {
    fn answer(&self, method: &Method, headers: &HeaderMap, now: Timestamp) -> Response<R> {
        let mut response = Response::new(R::from(Bytes::new()));
        if method != Method::GET && method != Method::HEAD {
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let set = set_of(&self.assertions.verifying(now));
        let tag = format!("\"{}\"", to_hex(&Sha256::digest(&set)));
        let known = knows(headers, &tag);
        let kept = HeaderValue::from_static("public, max-age=300");
        response.headers_mut().insert(CACHE_CONTROL, kept);
        if let Ok(tag) = HeaderValue::from_maybe_shared(Bytes::from(tag)) {
            response.headers_mut().insert(ETAG, tag);
        }
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        let form = HeaderValue::from_static("application/jwk-set+json");
        response.headers_mut().insert(CONTENT_TYPE, form);
        response.headers_mut().insert(CONTENT_LENGTH, set.len().into());
        if method == Method::GET {
            *response.body_mut() = R::from(set.into());
        }
        response
    }
}

/// Does `If-None-Match` name this tag, or any (RFC 9110 §13.1.2)?
fn knows(headers: &HeaderMap, tag: &str) -> bool {
    let lines = headers.get_all(IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok());
    let mut members = lines.flat_map(|line| line.split(',')).map(str::trim);
    members.any(|member| member == "*" || member.strip_prefix("W/").unwrap_or(member) == tag)
}

impl<B, R: From<Bytes>> Service<Request<B>> for JwksService<R> {
    type Response = Response<R>;
    type Error = Infallible;
    type Future = Ready<Result<Response<R>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let now = self.clock.now().wall();
        ready(Ok(self.answer(request.method(), request.headers(), now)))
    }
}

impl<R> Clone for JwksService<R> {
    fn clone(&self) -> Self {
        let (assertions, clock) = (self.assertions.clone(), Arc::clone(&self.clock));
        Self { assertions, clock, body: PhantomData }
    }
}

impl<R> fmt::Debug for JwksService<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwksService").field("assertions", &self.assertions).finish_non_exhaustive()
    }
}
