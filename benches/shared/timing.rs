//! How a bench takes time: calls in short rounds, requests made and answers dropped outside the clock.

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// Calls a round.
pub(crate) const CALLS: u16 = 100;

/// Nanoseconds a call, over [`CALLS`] of them.
pub(crate) fn round<I, O>(make: impl FnMut() -> I, mut call: impl FnMut(I) -> O) -> f64 {
    let inputs: Vec<I> = std::iter::repeat_with(make).take(CALLS.into()).collect();
    let mut outputs = Vec::with_capacity(CALLS.into());
    let start = Instant::now();
    for input in inputs {
        outputs.push(call(black_box(input)));
    }
    let taken = start.elapsed();
    drop(black_box(outputs));
    taken.as_secs_f64() * 1e9 / f64::from(CALLS)
}

/// The median of the fastest tenth of these rounds, so that what else the machine does falls out.
pub(crate) fn typical(rounds: &[f64]) -> f64 {
    let mut sorted = rounds.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(rounds.len() / 20).copied().unwrap_or(f64::NAN)
}

/// The answer of a future that waits for nothing.
pub(crate) fn ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("a warm pass waits for nothing"),
    }
}
