//! The response future of the service that puts identity into bodies.

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll, ready};
use tower_service::Service;

use super::media::set_length;
use super::meta::Meta;
use super::rewrite::{BodyFault, Edit};
use crate::forward::body::{Collect, CollectFault, ForwardBody};
use crate::gate::refuse;
use crate::rejection::{Reason, Rejection, RejectionKind, StepName};

pin_project! {
    /// The response future of a [`McpMetaService`](super::McpMetaService).
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any await. The rest of a body that was being read is not read; nothing is left behind.
    pub struct McpMetaFuture<S, B, F> {
        #[pin]
        state: State<S, B, F>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, B, F> {
        Calling { #[pin] future: F },
        Reading { #[pin] body: Collect<B>, parked: Option<Parked<S>> },
        Refused { refusal: Option<(Rejection, Parts, Arc<AtomicBool>)> },
    }
}

/// What waits for a body.
pub(super) struct Parked<S> {
    pub(super) service: S,
    pub(super) head: Parts,
    pub(super) put: Option<String>,
    pub(super) meta: Arc<Meta>,
    pub(super) told: Arc<AtomicBool>,
}

impl<S, B, F> McpMetaFuture<S, B, F> {
    pub(super) fn calling(future: F) -> Self {
        Self { state: State::Calling { future } }
    }

    pub(super) fn reading(body: Collect<B>, parked: Parked<S>) -> Self {
        Self { state: State::Reading { body, parked: Some(parked) } }
    }

    pub(super) fn refused(rejection: Rejection, head: Parts, told: Arc<AtomicBool>) -> Self {
        Self { state: State::Refused { refusal: Some((rejection, head, told)) } }
    }
}

impl<S, B, R> Future for McpMetaFuture<S, B, S::Future>
where
    S: Service<Request<ForwardBody<B>>, Response = Response<R>>,
    B: Body<Data = Bytes>,
    R: Default,
{
    type Output = Result<Response<R>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProjection::Calling { future } => return future.poll(cx),
                StateProjection::Reading { body, parked } => {
                    let body = ready!(body.poll(cx));
                    let mut parked = parked.take().expect("polled after completion");
                    match parked.edited(body) {
                        Ok(body) => {
                            let request = Request::from_parts(parked.head, body);
                            State::Calling { future: parked.service.call(request) }
                        }
                        Err(rejection) => {
                            let refusal = (rejection, parked.head, parked.told);
                            State::Refused { refusal: Some(refusal) }
                        }
                    }
                }
                StateProjection::Refused { refusal } => {
                    let (rejection, head, told) = refusal.take().expect("polled after completion");
                    return Poll::Ready(Ok(refuse(StepName::Forward, rejection, head, &told)));
                }
            };
            this.state.set(next);
        }
    }
}

impl<S> Parked<S> {
    /// The body that goes on, and a head that is true of it.
    fn edited<B>(
        &mut self,
        body: Result<Bytes, CollectFault>,
    ) -> Result<ForwardBody<B>, Rejection> {
        let body = body.map_err(|fault| match fault {
            CollectFault::TooLarge => {
                Rejection::new(RejectionKind::McpBodyTooLarge, Reason::BodyTooLarge)
            }
            CollectFault::Unreadable => {
                Rejection::new(RejectionKind::McpBodyInvalid, Reason::BodyUnreadable)
            }
        })?;
        if body.is_empty() {
            return Ok(ForwardBody::held(body)); // clients name a type without a body, e.g. of a GET
        }
        let edit = Edit { key: &self.meta.key, put: self.put.as_deref() };
        match edit.apply(&body).map_err(refusal)? {
            None => Ok(ForwardBody::held(body)),
            Some(after) => {
                set_length(&mut self.head.headers, after.len());
                Ok(ForwardBody::held(after))
            }
        }
    }
}

fn refusal(fault: BodyFault) -> Rejection {
    let (kind, reason) = match fault {
        BodyFault::Invalid => (RejectionKind::McpBodyInvalid, Reason::BodyUnreadable),
        BodyFault::NotAnObject => (RejectionKind::McpParamsNotObject, Reason::BodyUnreadable),
        BodyFault::Duplicate => (RejectionKind::McpDuplicateMember, Reason::BodyUnreadable),
        BodyFault::TooMany => (RejectionKind::McpBodyTooLarge, Reason::BodyTooLarge),
    };
    Rejection::new(kind, reason).caused_by(fault)
}

impl<S, B, F> fmt::Debug for McpMetaFuture<S, B, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Calling { .. } => "calling",
            State::Reading { .. } => "reading",
            State::Refused { .. } => "refused",
        };
        f.debug_struct("McpMetaFuture").field("state", &state).finish_non_exhaustive()
    }
}
