//! The one response future of the checks.

use http::{Request, Response};
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tower_service::Service;

use crate::gate::{Asked, Asking, Notes, RefusalBody};
use crate::rejection::Rejection;

pin_project! {
    /// The response future of a [`Gate`](crate::gate::Gate).
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any await. A load that it waited for goes on, and the next caller finds the answer; a unit
    /// that a limiter charged stays charged; the service it held is dropped with it.
    pub struct GateFuture<S, B, F, M> {
        #[pin]
        state: State<S, B, F>,
        notes: Notes,
        bodies: std::marker::PhantomData<fn() -> M>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, B, F> {
        Calling { #[pin] future: F },
        Asking { asking: Asking, parked: Option<(S, B)> },
        Refused { rejection: Option<Rejection> },
    }
}

impl<S, B, F, M> GateFuture<S, B, F, M> {
    pub(crate) fn calling(future: F, notes: Notes) -> Self {
        Self { state: State::Calling { future }, notes, bodies: std::marker::PhantomData }
    }

    pub(crate) fn asking(asking: Asking, service: S, body: B) -> Self {
        let state = State::Asking { asking, parked: Some((service, body)) };
        Self { state, notes: Notes::default(), bodies: std::marker::PhantomData }
    }

    pub(crate) fn refused(rejection: Rejection, notes: Notes) -> Self {
        let state = State::Refused { rejection: Some(rejection) };
        Self { state, notes, bodies: std::marker::PhantomData }
    }
}

impl<S, B, R, M> Future for GateFuture<S, B, S::Future, M>
where
    S: Service<Request<B>, Response = Response<R>>,
    M: RefusalBody<R>,
{
    type Output = Result<Response<R>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProjection::Calling { future } => {
                    let mut response = ready!(future.poll(cx))?;
                    this.notes.apply::<_, M>(&mut response);
                    M::fill(&mut response, this.notes.bodiless);
                    return Poll::Ready(Ok(response));
                }
                StateProjection::Asking { asking, parked } => {
                    let Asked { head, notes, verdict } = ready!(asking.as_mut().poll(cx));
                    *this.notes = notes;
                    let (mut service, body) = parked.take().expect("polled after completion");
                    let next = match verdict {
                        Ok(()) => {
                            State::Calling { future: service.call(Request::from_parts(head, body)) }
                        }
                        Err(rejection) => State::Refused { rejection: Some(rejection) },
                    };
                    this.state.set(next);
                }
                StateProjection::Refused { rejection } => {
                    let rejection = rejection.take().expect("polled after completion");
                    let mut response = M::refuse(rejection, this.notes.bodiless);
                    this.notes.apply::<_, M>(&mut response);
                    return Poll::Ready(Ok(response));
                }
            }
        }
    }
}

impl<S, B, F, M> fmt::Debug for GateFuture<S, B, F, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Calling { .. } => "calling",
            State::Asking { .. } => "asking",
            State::Refused { .. } => "refused",
        };
        f.debug_struct("GateFuture").field("state", &state).finish_non_exhaustive()
    }
}
