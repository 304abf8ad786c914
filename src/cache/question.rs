//! How a store is asked, with its types erased, and what becomes of its errors.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::rejection::{Reason, Rejection};

/// What a store's error becomes on its way to the logs.
pub(crate) type Source = Arc<dyn Error + Send + Sync>;

/// A store's answer before it is judged: `Ok(Err(_))` is a definite no.
pub(crate) type Answer<V, N> = Result<Result<V, N>, Trouble>;

/// A question to a store with the store's type erased; boxed only when a load runs.
pub(crate) struct Question<K, A>(Arc<dyn Fn(K) -> Asked<A> + Send + Sync>);

type Asked<A> = Pin<Box<dyn Future<Output = Result<A, Source>> + Send>>;

/// Why a fact could not be had.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub(crate) reason: Reason,
    pub(crate) source: Option<Source>,
}

impl<K: Send + 'static, A> Question<K, A> {
    /// Wraps a port's question so that neither the port's type nor its error's shows any more.
    pub(crate) fn to<S, E, F>(
        store: S,
        ask: impl Fn(Arc<S>, K) -> F + Send + Sync + 'static,
    ) -> Self
    where
        S: Send + Sync + 'static,
        E: Error + Send + Sync + 'static,
        F: Future<Output = Result<A, E>> + Send + 'static,
    {
        let store = Arc::new(store);
        Self(Arc::new(move |key| {
            let answer = ask(Arc::clone(&store), key);
            Box::pin(async move { answer.await.map_err(|error| Arc::new(error) as Source) })
        }))
    }

    /// Puts the question; an error is trouble with the store.
    pub(crate) async fn ask(&self, key: K) -> Result<A, Trouble> {
        (self.0)(key).await.map_err(Trouble::store)
    }
}

impl<K, A> Clone for Question<K, A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, A> fmt::Debug for Question<K, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Question")
    }
}

impl Trouble {
    pub(crate) fn of(reason: Reason) -> Self {
        Self { reason, source: None }
    }

    pub(crate) fn store(source: Source) -> Self {
        Self { reason: Reason::StoreError, source: Some(source) }
    }
}

impl From<Trouble> for Rejection {
    fn from(trouble: Trouble) -> Self {
        Self::undecidable(trouble.reason, trouble.source)
    }
}
