//! A bus and a shared cache with their types erased.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::cache::Source;
use crate::store::{ContextStore, Heard, Notice, RevocationBus, SharedKey};

type Erased<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A [`RevocationBus`] whose type shows no more.
pub(super) trait Bus: Send + Sync + 'static {
    fn publish<'a>(&'a self, notice: &'a Notice) -> Erased<'a, Result<(), Source>>;
    fn attend<'a>(&'a self, hear: &'a mut (dyn FnMut(Heard) + Send)) -> Erased<'a, Source>;
}

/// A [`ContextStore`] whose type shows no more.
pub(super) trait Tier: Send + Sync + 'static {
    fn find<'a>(&'a self, key: &'a SharedKey) -> Erased<'a, Result<Option<Vec<u8>>, Source>>;
    fn keep<'a>(
        &'a self,
        key: &'a SharedKey,
        value: &'a [u8],
        ttl: Duration,
    ) -> Erased<'a, Result<(), Source>>;
    fn bury<'a>(
        &'a self,
        key: &'a SharedKey,
        tombstone: &'a [u8],
        ttl: Duration,
    ) -> Erased<'a, Result<(), Source>>;
}

impl<B: RevocationBus> Bus for B {
    fn publish<'a>(&'a self, notice: &'a Notice) -> Erased<'a, Result<(), Source>> {
        let told = RevocationBus::publish(self, notice);
        Box::pin(async move { told.await.map_err(source) })
    }

    fn attend<'a>(&'a self, hear: &'a mut (dyn FnMut(Heard) + Send)) -> Erased<'a, Source> {
        Box::pin(async move { source(RevocationBus::attend(self, hear).await) })
    }
}

impl<S: ContextStore> Tier for S {
    fn find<'a>(&'a self, key: &'a SharedKey) -> Erased<'a, Result<Option<Vec<u8>>, Source>> {
        let found = ContextStore::find(self, key);
        Box::pin(async move { found.await.map_err(source) })
    }

    fn keep<'a>(
        &'a self,
        key: &'a SharedKey,
        value: &'a [u8],
        ttl: Duration,
    ) -> Erased<'a, Result<(), Source>> {
        let kept = ContextStore::keep(self, key, value, ttl);
        Box::pin(async move { kept.await.map_err(source) })
    }

    fn bury<'a>(
        &'a self,
        key: &'a SharedKey,
        tombstone: &'a [u8],
        ttl: Duration,
    ) -> Erased<'a, Result<(), Source>> {
        let buried = ContextStore::bury(self, key, tombstone, ttl);
        Box::pin(async move { buried.await.map_err(source) })
    }
}

fn source(error: impl Error + Send + Sync + 'static) -> Source {
    Arc::new(error)
}
