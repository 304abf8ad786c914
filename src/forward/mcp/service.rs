//! The service that puts identity into JSON-RPC bodies.
//!
//! 1. The service that was polled ready is the one that is called: in place for a body that streams through, taken out
//!    (its clone stays behind) while a body is read, dropped when the request is refused.
//! 2. Who is calling is settled before a byte is read. A body is read up to 1 MiB; one that says it is longer is not read.
//! 3. Refusals are responses; the inner service's error type stays.

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use std::fmt;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll};
use tower_service::Service;

use super::future::{McpMetaFuture, Parked};
use super::media::{Media, named_length};
use super::meta::{Meta, Others};
use crate::forward::body::{BodyBound, ForwardBody, collect};
use crate::rejection::{Reason, Rejection, RejectionKind};

/// A service behind [`McpMetaForward`](crate::stack::McpMetaForward).
///
/// Its inner service takes a [`ForwardBody`]; `Error` is the inner service's. Refusals have an empty body, so the inner
/// service's response body must be `Default`.
#[derive(Clone)]
pub struct McpMetaService<S> {
    inner: S,
    meta: Arc<Meta>,
    told: Arc<AtomicBool>,
}

impl<S> McpMetaService<S> {
    pub(crate) fn new(inner: S, meta: &Meta) -> Self {
        Self { inner, meta: Arc::new(meta.clone()), told: Arc::new(AtomicBool::new(false)) }
    }

    /// The service that is told who calls.
    pub fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S, B, R> Service<Request<B>> for McpMetaService<S>
where
    S: Service<Request<ForwardBody<B>>, Response = Response<R>> + Clone,
    B: Body<Data = Bytes>,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = McpMetaFuture<S, B, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (head, body) = request.into_parts();
        match self.meta.course(&head, &body) {
            Ok(Course::Stream) => {
                let request = Request::from_parts(head, ForwardBody::passing(body));
                McpMetaFuture::calling(self.inner.call(request))
            }
            Ok(Course::Read(put)) => {
                let next = self.inner.clone();
                let service = mem::replace(&mut self.inner, next);
                let (meta, told) = (Arc::clone(&self.meta), Arc::clone(&self.told));
                let parked = Parked { service, head, put, meta, told };
                McpMetaFuture::reading(collect(body, LARGEST_BODY), parked)
            }
            Err(rejection) => {
                let next = self.inner.clone();
                drop(mem::replace(&mut self.inner, next));
                McpMetaFuture::refused(rejection, head, Arc::clone(&self.told))
            }
        }
    }
}

/// What is done with a request, by its head.
enum Course {
    Stream,
    /// Edited once it is read, with this value or none.
    Read(Option<String>),
}

impl Meta {
    fn course(&self, head: &Parts, body: &impl Body) -> Result<Course, Rejection> {
        if head.extensions.get::<BodyBound>().is_some() {
            return Err(Rejection::lacking(TooLate));
        }
        let caller = self.caller(head)?;
        let refusal = |kind, reason| Err(Rejection::new(kind, reason));
        match Media::of(&head.headers) {
            Media::Ambiguous => {
                return refusal(RejectionKind::McpBodyInvalid, Reason::BodyUnreadable);
            }
            _ if body.is_end_stream() => return Ok(Course::Stream),
            Media::Other if self.others == Others::Stream => return Ok(Course::Stream),
            Media::Other | Media::Coded => {
                return refusal(RejectionKind::McpBodyUnsupported, Reason::BodyUnreadable);
            }
            Media::Json => {}
        }
        if named_length(&head.headers).is_some_and(|length| length > LARGEST_BODY as u64) {
            return refusal(RejectionKind::McpBodyTooLarge, Reason::BodyTooLarge);
        }
        let put = caller.map(|caller| self.value(head, caller)).transpose()?;
        Ok(Course::Read(put))
    }
}

/// Why a message is not changed any more.
#[derive(Debug, thiserror::Error)]
#[error("body is part of a signature already; put McpMetaForward outside of what signs")]
struct TooLate;

const LARGEST_BODY: usize = 1 << 20;

impl<S: fmt::Debug> fmt::Debug for McpMetaService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpMetaService")
            .field("inner", &self.inner)
            .field("meta", &self.meta)
            .finish_non_exhaustive()
    }
}
