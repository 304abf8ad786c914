//! What of a request or its answer can no check see, because it lies in the body?
//!
//! 1. The one service under [`IdentityForward`](crate::stack::IdentityForward): trailers lose what the head loses, both ways.
//! 2. A step leaves in the head what must be done with the whole body; then it is read first, up to a cap, and its reader
//!    finishes the head. Otherwise bodies stream.
//! 3. A step leaves there, too, what it takes to send a request once more; then a body of known length is held.
//! 4. The service that was polled ready is the one that is called; a body that cannot be read is refused, and the service
//!    goes with it.

mod future;

pub use future::EdgeFuture;

use bytes::Bytes;
use http::header::TRAILER;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use std::fmt;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll};
use tower_service::Service;

use super::body::{CollectFault, ForwardBody, Trailers, collect};
use super::mint::Again;
use super::set::{ForwardSet, TrailersOf};
use crate::rejection::{Reason, Rejection, RejectionKind, StepName};

/// Something that needs the whole body before the request goes on.
pub(crate) trait ReadsBody: Send + Sync {
    /// Most bytes that are read; `None` if the body of this request is not.
    fn cap(&self, head: &Parts) -> Option<usize>;

    /// Who refuses what is larger or cannot be read.
    fn step(&self) -> StepName;

    /// Finishes the head.
    fn read(&self, head: &mut Parts, body: &Bytes) -> Result<(), Rejection>;
}

/// A reader of the body, left in a request's extensions by a check for the service under it.
#[derive(Clone)]
pub(crate) struct Reading(pub(crate) Arc<dyn ReadsBody>);

/// What an [`Edge`] does with every body.
#[derive(Clone, Default)]
pub struct EdgeRules {
    sets: Option<Arc<[ForwardSet]>>,
    reading: Option<Reading>,
}

impl EdgeRules {
    /// Removes from trailers what one of `sets` removes.
    pub(crate) fn forwarding(sets: impl IntoIterator<Item = ForwardSet>) -> Self {
        Self { sets: Some(sets.into_iter().collect()), reading: None }
    }

    /// Has every body read by `reader`.
    #[cfg(feature = "signed")]
    pub(crate) fn reading(reader: impl ReadsBody + 'static) -> Self {
        Self { sets: None, reading: Some(Reading(Arc::new(reader))) }
    }

    /// A request's body: one that has ended already has no trailers.
    fn request<B: Body>(&self, body: B) -> ForwardBody<B> {
        if body.is_end_stream() {
            ForwardBody::passing(body)
        } else {
            self.passing(body, TrailersOf::Request)
        }
    }

    fn passing<B>(&self, body: B, from: TrailersOf) -> ForwardBody<B> {
        match &self.sets {
            Some(sets) => ForwardBody::cleaned(body, Trailers { sets: Arc::clone(sets), from }),
            None => ForwardBody::passing(body),
        }
    }
}

/// The service that handles bodies between a check and what is behind it.
///
/// What is behind it takes [`ForwardBody`], and answers come back as one: data passes untouched, trailers lose what the head
/// loses. A body is read whole only where a signature covers it.
#[derive(Clone)]
pub struct Edge<S> {
    inner: S,
    rules: EdgeRules,
    told: Arc<AtomicBool>,
}

impl<S> Edge<S> {
    pub(crate) fn new(inner: S, rules: EdgeRules) -> Self {
        Self { inner, rules, told: Arc::new(AtomicBool::new(false)) }
    }

    /// The service behind it.
    pub fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S, B, R> Service<Request<B>> for Edge<S>
where
    S: Service<Request<ForwardBody<B>>, Response = Response<R>> + Clone,
    B: Body<Data = Bytes>,
{
    type Response = Response<ForwardBody<R>>;
    type Error = S::Error;
    type Future = EdgeFuture<S, B, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let reading = request.extensions_mut().remove::<Reading>();
        let reading = reading.or_else(|| self.rules.reading.clone());
        let again = request.extensions_mut().remove::<Again>();
        let (mut head, body) = request.into_parts();
        let cap = reading.as_ref().and_then(|reading| reading.0.cap(&head));
        let read = reading.zip(cap).map(|(reading, cap)| (Then::Read(reading), cap));
        let Some((then, cap)) = read.or_else(|| held(again, &body)) else {
            let body = self.rules.request(body);
            let request = Request::from_parts(head, body);
            return EdgeFuture::calling(self.inner.call(request), self.rules.clone());
        };
        let next = self.inner.clone();
        let service = mem::replace(&mut self.inner, next);
        head.headers.remove(TRAILER); // a body that was read has none
        let told = Arc::clone(&self.told);
        let parked = Parked { service, head, then, told };
        EdgeFuture::reading(collect(body, cap), parked, self.rules.clone())
    }
}

/// A request whose body is being read.
struct Parked<S> {
    service: S,
    head: Parts,
    then: Then,
    told: Arc<AtomicBool>,
}

/// Why a body is read.
enum Then {
    Read(Reading),
    Hold(Again),
}

impl Then {
    /// Who refuses what cannot be read.
    fn step(&self) -> StepName {
        match self {
            Self::Read(reading) => reading.0.step(),
            Self::Hold(_) => StepName::Forward,
        }
    }
}

/// A body of known length is held to be sent again; any other one streams.
fn held<B: Body>(again: Option<Again>, body: &B) -> Option<(Then, usize)> {
    let again = again?;
    let known = usize::try_from(body.size_hint().exact()?).ok()?;
    let cap = again.cap();
    (known <= cap).then_some((Then::Hold(again), cap))
}

fn refusal(fault: CollectFault) -> Rejection {
    match fault {
        CollectFault::TooLarge => {
            Rejection::new(RejectionKind::BodyTooLargeToSign, Reason::BodyTooLarge)
        }
        CollectFault::Unreadable => {
            Rejection::new(RejectionKind::BodyUnreadable, Reason::BodyUnreadable)
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for Edge<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edge").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl fmt::Debug for EdgeRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EdgeRules").field("reads", &self.reading.is_some()).finish_non_exhaustive()
    }
}
