//! What stands outside the stacks: panics, request ids, traces, time-outs, sizes, CORS.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::header::{
    ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, CONTENT_TYPE, HeaderName, ORIGIN, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn, map_response};
use axum::response::{IntoResponse, Response};
use tower::{Layer, Service, ServiceBuilder};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{Any, Cors, CorsLayer};
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;

use crate::problem::{Problem, fill, panicked};

const MAX_HEADERS: usize = 64;
const MAX_HEADER_BYTES: usize = 16_384;
const MAX_TARGET_BYTES: usize = 8_192;
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Around either address, outermost first.
pub fn around(router: Router) -> Router {
    let layers = ServiceBuilder::new()
        .layer(CatchPanicLayer::custom(panicked))
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(TraceLayer::new_for_http().make_span_with(span))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(map_response(fill))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, ANSWER_WITHIN))
        .layer(from_fn(sizes));
    router.layer(layers)
}

/// Lets pages of other origins call, and read what a refusal says. For the public address alone.
pub fn cors() -> Preflights {
    let ratelimit = HeaderName::from_static("ratelimit");
    let policy = HeaderName::from_static("ratelimit-policy");
    let layer = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE])
        .expose_headers([WWW_AUTHENTICATE, RETRY_AFTER, ratelimit, policy]);
    Preflights(layer)
}

/// Method and path: a query may hold what no log should.
fn span(request: &Request) -> tracing::Span {
    let id = request.headers().get("x-request-id").and_then(|id| id.to_str().ok());
    tracing::info_span!("request", method = %request.method(), path = request.uri().path(), id)
}

/// The same on h1 and h2, below what the server itself takes.
async fn sizes(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let (status, error, detail) = if target > MAX_TARGET_BYTES {
        (StatusCode::URI_TOO_LONG, "uri_too_long", "The request target is too long.")
    } else if headers.len() > MAX_HEADERS || bytes > MAX_HEADER_BYTES {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        (status, "request_header_fields_too_large", "The request has too many headers.")
    } else {
        return next.run(request).await;
    };
    Problem::new(status, error, detail).into_response()
}

/// A CORS layer that answers preflights and no other `OPTIONS`: those are authenticated like every request.
#[derive(Clone)]
pub struct Preflights(CorsLayer);

#[derive(Clone)]
pub struct PreflightService<S>(Cors<S>);

impl<S> Layer<S> for Preflights {
    type Service = PreflightService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        PreflightService(self.0.layer(inner))
    }
}

impl<S> Service<Request> for PreflightService<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request>::poll_ready(&mut self.0, cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let asks = |name| request.headers().contains_key(name);
        let is_preflight = asks(ORIGIN) && asks(ACCESS_CONTROL_REQUEST_METHOD);
        if request.method() == Method::OPTIONS && !is_preflight {
            return Box::pin(self.0.get_mut().call(request));
        }
        Box::pin(self.0.call(request))
    }
}
