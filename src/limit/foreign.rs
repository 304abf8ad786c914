//! A store of windows that somebody else wrote: asked once, under a deadline of ours, believed only if it fits.
//!
//! 1. Never asked twice: a call that failed may have charged.
//! 2. An error, a panic, a late answer and nonsense are one thing to the caller: undecidable. Why goes to the breaker.
//! 3. Whatever it runs may panic; that is a failure like others.

use std::error::Error;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::rejection::{Reason, Rejection};
use crate::store::{Answer, Ask, StoreFailure, WindowStore};

/// A [`WindowStore`] with its types erased.
pub(super) trait Windows: Send + Sync {
    fn admit<'a>(&'a self, ask: &'a Ask<'a>) -> Running<'a, Answer>;
    fn probe(&self, part: u8) -> Running<'_, ()>;
    fn part(&self, ask: &Ask<'_>) -> u8;
    fn epoch(&self, part: u8) -> u64;
    fn gave_up(&self, part: u8);
    fn decides_across_owners(&self) -> bool;
}

type Running<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failed>> + Send + 'a>>;

/// How many parts a store may have.
pub(super) const PARTS: usize = 16;

/// Why the store did not decide.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) failure: StoreFailure,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl Failed {
    pub(super) fn because(failure: StoreFailure) -> Self {
        Self { failure, source: None }
    }

    fn from(failure: StoreFailure, source: impl Error + Send + Sync + 'static) -> Self {
        Self { failure, source: Some(Arc::new(source)) }
    }

    /// Undecidable.
    pub(super) fn rejection(self) -> Rejection {
        let late = self.failure == StoreFailure::Timeout && self.source.is_none();
        let reason = if late { Reason::Deadline } else { Reason::StoreError };
        Rejection::undecidable(reason, self.source)
    }
}

pub(super) struct Foreign<S>(pub(super) S);

impl<S: WindowStore> Windows for Foreign<S> {
    fn admit<'a>(&'a self, ask: &'a Ask<'a>) -> Running<'a, Answer> {
        Box::pin(async move { self.0.admit(ask).await.map_err(failed::<S>) })
    }

    fn probe(&self, part: u8) -> Running<'_, ()> {
        Box::pin(async move { self.0.probe(part).await.map_err(failed::<S>) })
    }

    fn part(&self, ask: &Ask<'_>) -> u8 {
        self.0.part(ask)
    }

    fn epoch(&self, part: u8) -> u64 {
        self.0.epoch(part)
    }

    fn gave_up(&self, part: u8) {
        self.0.gave_up(part);
    }

    fn decides_across_owners(&self) -> bool {
        self.0.decides_across_owners()
    }
}

fn failed<S: WindowStore>(error: S::Error) -> Failed {
    Failed::from(S::failure(&error), error)
}

/// Puts the question; what comes back fits it.
pub(super) async fn decide(
    store: &dyn Windows,
    deadline: Duration,
    ask: &Ask<'_>,
) -> Result<Answer, Failed> {
    match tokio::time::timeout(deadline, caught(store.admit(ask))).await {
        Ok(Some(Ok(answer))) if answer.fits(ask) => Ok(answer),
        Ok(Some(Ok(_unfit))) => Err(Failed::from(StoreFailure::Protocol, Nonsense)),
        Ok(Some(Err(failed))) => Err(failed),
        Ok(None) => Err(Failed::from(StoreFailure::Panic, Panicked)),
        Err(_over) => Err(Failed::because(StoreFailure::Timeout)),
    }
}

/// Tries a part; [`PROBE_DEADLINE`] at most.
pub(super) async fn probe(store: &dyn Windows, part: u8) -> Result<(), StoreFailure> {
    match tokio::time::timeout(PROBE_DEADLINE, caught(store.probe(part))).await {
        Ok(Some(tried)) => tried.map_err(|failed| failed.failure),
        Ok(None) => Err(StoreFailure::Panic),
        Err(_over) => Err(StoreFailure::Timeout),
    }
}

const PROBE_DEADLINE: Duration = Duration::from_millis(150);

/// Runs a plain function of a store's.
pub(super) fn told<T>(call: impl FnOnce() -> T) -> Result<T, Failed> {
    let panicked = |_panic| Failed::from(StoreFailure::Panic, Panicked);
    catch_unwind(AssertUnwindSafe(call)).map_err(panicked)
}

/// Runs code of the service's own; `None` if it panicked: it is not polled again.
pub(crate) async fn caught<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Some),
        Err(_panic) => Poll::Ready(None),
    })
    .await
}

#[derive(Debug, thiserror::Error)]
#[error("answer of the store of windows does not fit the question")]
struct Nonsense;

#[derive(Debug, thiserror::Error)]
#[error("store of windows panicked")]
struct Panicked;
