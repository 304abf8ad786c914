//! The response future of the body's service.

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tower_service::Service;

use super::{EdgeRules, Parked, refusal};
use crate::forward::body::{Collect, ForwardBody};
use crate::forward::set::TrailersOf;
use crate::gate::refuse;

pin_project! {
    /// The response future of an [`Edge`](super::Edge).
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any await: the rest of a body is not read, and the service it held is dropped with it.
    pub struct EdgeFuture<S, B, F> {
        #[pin]
        state: State<S, B, F>,
        rules: EdgeRules,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, B, F> {
        Calling { #[pin] future: F },
        Reading { #[pin] body: Collect<B>, parked: Option<Box<Parked<S>>> },
    }
}

impl<S, B, F> EdgeFuture<S, B, F> {
    pub(super) fn calling(future: F, rules: EdgeRules) -> Self {
        Self { state: State::Calling { future }, rules }
    }

    pub(super) fn reading(body: Collect<B>, parked: Parked<S>, rules: EdgeRules) -> Self {
        Self { state: State::Reading { body, parked: Some(Box::new(parked)) }, rules }
    }
}

impl<S, B, R> Future for EdgeFuture<S, B, S::Future>
where
    S: Service<Request<ForwardBody<B>>, Response = Response<R>>,
    B: Body<Data = Bytes>,
{
    type Output = Result<Response<ForwardBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProjection::Calling { future } => {
                    let response = ready!(future.poll(cx))?;
                    let rules = &*this.rules;
                    return Poll::Ready(Ok(
                        response.map(|body| rules.passing(body, TrailersOf::Answer))
                    ));
                }
                StateProjection::Reading { body, parked } => {
                    let read = ready!(body.poll(cx));
                    let Parked { mut service, mut head, reading, told } =
                        *parked.take().expect("polled after completion");
                    let verdict = read.map_err(refusal).and_then(|bytes| {
                        reading.0.read(&mut head, &bytes)?;
                        Ok(bytes)
                    });
                    match verdict {
                        Ok(bytes) => {
                            let request = Request::from_parts(head, ForwardBody::held(bytes));
                            this.state.set(State::Calling { future: service.call(request) });
                        }
                        Err(rejection) => {
                            drop(service);
                            let step = reading.0.step();
                            return Poll::Ready(Ok(refuse(step, rejection, head, &told)));
                        }
                    }
                }
            }
        }
    }
}

impl<S, B, F> fmt::Debug for EdgeFuture<S, B, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Calling { .. } => "calling",
            State::Reading { .. } => "reading",
        };
        f.debug_struct("EdgeFuture").field("state", &state).finish_non_exhaustive()
    }
}
