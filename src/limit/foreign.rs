//! A store of windows that somebody else wrote: asked once, under a deadline of ours, believed only if it fits.
//!
//! 1. Never asked twice: a call that failed may have charged.
//! 2. An error, a panic, a late answer and nonsense are one thing to the caller: undecidable.

use std::error::Error;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::rejection::{Reason, Rejection};
use crate::store::{Answer, Ask, WindowStore};

/// A [`WindowStore`] with its types erased.
pub(super) trait Windows: Send + Sync {
    fn admit<'a>(&'a self, ask: &'a Ask<'a>) -> Admitting<'a>;
}

type Admitting<'a> = Pin<Box<dyn Future<Output = Result<Answer, Source>> + Send + 'a>>;
type Source = Arc<dyn Error + Send + Sync>;

pub(super) struct Foreign<S>(pub(super) S);

impl<S: WindowStore> Windows for Foreign<S> {
    fn admit<'a>(&'a self, ask: &'a Ask<'a>) -> Admitting<'a> {
        Box::pin(async move { self.0.admit(ask).await.map_err(|error| Arc::new(error) as Source) })
    }
}

/// Puts the question; what comes back fits it.
pub(super) async fn decide(
    store: &dyn Windows,
    deadline: Duration,
    ask: &Ask<'_>,
) -> Result<Answer, Rejection> {
    let trouble = |reason, source| Err(Rejection::undecidable(reason, source));
    if tokio::runtime::Handle::try_current().is_err() {
        tracing::error!(
            "a store of windows must be asked off a tokio runtime; run the service on one"
        );
        return trouble(Reason::StoreError, None);
    }
    match tokio::time::timeout(deadline, caught(store.admit(ask))).await {
        Ok(Some(Ok(answer))) if answer.fits(ask) => Ok(answer),
        Ok(Some(Ok(_unfit))) => trouble(Reason::StoreError, Some(Arc::new(Nonsense))),
        Ok(Some(Err(source))) => trouble(Reason::StoreError, Some(source)),
        Ok(None) => trouble(Reason::StoreError, Some(Arc::new(Panicked))),
        Err(_over) => trouble(Reason::Deadline, None),
    }
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
