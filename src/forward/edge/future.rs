//! The response future of the body's service.

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body::Body;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll, ready};
use tower_service::Service;

use super::{EdgeRules, Parked, Then, refusal};
use crate::forward::body::{Collect, ForwardBody};
use crate::forward::mint::{Again, Credential, Obtaining};
use crate::forward::set::TrailersOf;
use crate::gate::refuse;
use crate::rejection::{Rejection, StepName};

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
        First { #[pin] future: F, spare: Option<Box<Spare<S>>> },
        Minting { obtaining: Obtaining, spare: Option<Box<Spare<S>>> },
        Waiting { credential: Option<Credential>, spare: Option<Box<Spare<S>>> },
        Second { #[pin] future: F, sent: Box<(Again, Credential)> },
    }
}

/// A request that may be sent a second time.
struct Spare<S> {
    service: S,
    head: Parts,
    body: Bytes,
    again: Again,
    told: Arc<AtomicBool>,
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
            let next = match this.state.as_mut().project() {
                StateProjection::Calling { future } => {
                    let response = ready!(future.poll(cx))?;
                    return Poll::Ready(Ok(passed(this.rules, response)));
                }
                StateProjection::Reading { body, parked } => {
                    let read = ready!(body.poll(cx));
                    let Parked { mut service, mut head, then, told } =
                        *parked.take().expect(COMPLETE);
                    let verdict = read.map_err(refusal).and_then(|bytes| {
                        if let Then::Read(reading) = &then {
                            reading.0.read(&mut head, &bytes)?;
                        }
                        Ok(bytes)
                    });
                    match (verdict, then) {
                        (Ok(bytes), Then::Read(_)) => {
                            let request = Request::from_parts(head, ForwardBody::held(bytes));
                            State::Calling { future: service.call(request) }
                        }
                        (Ok(body), Then::Hold(again)) => {
                            let held = ForwardBody::held(body.clone());
                            let future = service.call(Request::from_parts(head.clone(), held));
                            let spare = Spare { service, head, body, again, told };
                            State::First { future, spare: Some(Box::new(spare)) }
                        }
                        (Err(rejection), then) => {
                            drop(service);
                            return Poll::Ready(Ok(refuse(then.step(), rejection, head, &told)));
                        }
                    }
                }
                StateProjection::First { future, spare } => {
                    let response = ready!(future.poll(cx))?;
                    if !is_refused(&response) {
                        return Poll::Ready(Ok(passed(this.rules, response)));
                    }
                    drop(response);
                    let spare = spare.take().expect(COMPLETE);
                    State::Minting { obtaining: spare.again.obtain(), spare: Some(spare) }
                }
                StateProjection::Minting { obtaining, spare } => {
                    let credential = ready!(obtaining.as_mut().poll(cx));
                    let spare = spare.take().expect(COMPLETE);
                    match credential {
                        Ok(credential) => {
                            State::Waiting { credential: Some(credential), spare: Some(spare) }
                        }
                        Err(rejection) => {
                            let Spare { head, told, .. } = *spare;
                            let answer = refuse(StepName::Forward, rejection, head, &told);
                            return Poll::Ready(Ok(answer));
                        }
                    }
                }
                StateProjection::Waiting { credential, spare } => {
                    let waiting = spare.as_mut().expect(COMPLETE);
                    ready!(waiting.service.poll_ready(cx))?;
                    let Spare { mut service, mut head, body, again, .. } =
                        *spare.take().expect(COMPLETE);
                    let credential = credential.take().expect(COMPLETE);
                    again.carry(&mut head, &credential);
                    let request = Request::from_parts(head, ForwardBody::held(body));
                    let sent = Box::new((again, credential));
                    State::Second { future: service.call(request), sent }
                }
                StateProjection::Second { future, sent } => {
                    let response = ready!(future.poll(cx))?;
                    if is_refused(&response) {
                        let (again, credential) = &**sent;
                        again.refused(credential);
                    }
                    return Poll::Ready(Ok(passed(this.rules, response)));
                }
            };
            this.state.set(next);
        }
    }
}

const COMPLETE: &str = "polled after completion";

fn passed<R>(rules: &EdgeRules, response: Response<R>) -> Response<ForwardBody<R>> {
    response.map(|body| rules.passing(body, TrailersOf::Answer))
}

/// Is it the upstream's own 401?
fn is_refused<R>(response: &Response<R>) -> bool {
    response.status() == StatusCode::UNAUTHORIZED
        && response.extensions().get::<Rejection>().is_none()
}

impl<S, B, F> fmt::Debug for EdgeFuture<S, B, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Calling { .. } => "calling",
            State::Reading { .. } => "reading",
            State::First { .. } => "first",
            State::Minting { .. } => "minting",
            State::Waiting { .. } => "waiting",
            State::Second { .. } => "second",
        };
        f.debug_struct("EdgeFuture").field("state", &state).finish_non_exhaustive()
    }
}
