//! A future that is left alone after so many polls (XT7).

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Polls a future `polls` times at most; what is not done by then comes back, to be dropped at once or later.
pub(crate) struct CancelAt<F> {
    future: Option<Pin<Box<F>>>,
    polls: usize,
}

/// What became of a future under [`CancelAt`].
pub(crate) enum Left<F: Future> {
    Done(F::Output),
    Alive(Pin<Box<F>>),
}

impl<F: Future> CancelAt<F> {
    pub(crate) fn new(future: F, polls: usize) -> Self {
        Self { future: Some(Box::pin(future)), polls }
    }
}

impl<F: Future> Future for CancelAt<F> {
    type Output = Left<F>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut future = self.future.take().expect("polled after completion");
        if self.polls > 0 {
            self.polls -= 1;
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Left::Done(output));
            }
        }
        if self.polls == 0 {
            return Poll::Ready(Left::Alive(future));
        }
        self.future = Some(future);
        Poll::Pending
    }
}
