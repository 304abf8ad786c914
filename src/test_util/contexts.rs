//! What does a service do with what another process left in the shared cache?

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::store::{ContextStore, SharedKey};

/// A shared cache between authenticators of one process. A clone shares the entries.
///
/// Put it behind a [`ScriptedStore`](crate::test_util::ScriptedStore) to let it fail, hang or hold.
///
/// ```
/// use tower_bearer::clock::ManualClock;
/// use tower_bearer::test_util::MemoryContexts;
/// # use tower_bearer::Authenticator;
/// # use tower_bearer::store::MemoryStore;
/// # use tower_bearer::token::{TokenKind, TokenKinds};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let kind = TokenKind::new("account").prefix("acme_").subject(tower_bearer::subject::SubjectType::Account).fixed(["a"]);
/// # let kinds = TokenKinds::builder().kind(kind).build()?;
/// let clock = ManualClock::new();
/// let shared = MemoryContexts::new(clock.clone());
/// let auth = Authenticator::builder(kinds, MemoryStore::new()).clock(clock).name("api").shared_cache(shared.clone()).build()?;
/// assert!(auth.authenticate(&format!("acme_{:043}", 1)).await.is_err());
/// assert!(shared.values().is_empty(), "it holds no refusals");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct MemoryContexts {
    entries: Arc<Mutex<Entries>>,
    clock: Arc<dyn Clock>,
}

/// Value and monotonic end, by fingerprint and digest in hex.
type Entries = HashMap<(String, String), (Vec<u8>, Duration)>;

impl MemoryContexts {
    /// An empty cache whose entries end by this clock.
    pub fn new(clock: impl Clock) -> Self {
        Self { entries: Arc::default(), clock: Arc::new(clock) }
    }

    /// Every key and value that counts now: fingerprint and digest in hex, and the bytes as text.
    pub fn values(&self) -> Vec<(String, String, String)> {
        let now = self.clock.now().monotonic();
        let entries = self.entries();
        let live = entries.iter().filter(|(_, (_, ends))| now < *ends);
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        live.map(|((fp, digest), (value, _))| (fp.clone(), digest.clone(), text(value))).collect()
    }

    /// Puts other bytes into every entry, each of which keeps its end.
    pub fn overwrite(&self, value: &[u8]) {
        self.entries().values_mut().for_each(|entry| entry.0 = value.to_vec());
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ContextStore for MemoryContexts {
    type Error = Infallible;

    async fn find(&self, key: &SharedKey) -> Result<Option<Vec<u8>>, Infallible> {
        let now = self.clock.now().monotonic();
        let found = self.entries().get(&(key.fingerprint(), key.digest_hex())).cloned();
        Ok(found.filter(|(_, ends)| now < *ends).map(|(value, _)| value))
    }

    async fn keep(&self, key: &SharedKey, value: &[u8], ttl: Duration) -> Result<(), Infallible> {
        let now = self.clock.now().monotonic();
        let mut entries = self.entries();
        let place = (key.fingerprint(), key.digest_hex());
        if entries.get(&place).is_none_or(|(_, ends)| now >= *ends) {
            entries.insert(place, (value.to_vec(), now.saturating_add(ttl)));
        }
        Ok(())
    }

    async fn bury(
        &self,
        key: &SharedKey,
        tombstone: &[u8],
        ttl: Duration,
    ) -> Result<(), Infallible> {
        let ends = self.clock.now().monotonic().saturating_add(ttl);
        let place = (key.fingerprint(), key.digest_hex());
        self.entries().insert(place, (tombstone.to_vec(), ends));
        Ok(())
    }
}

impl fmt::Debug for MemoryContexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryContexts").finish_non_exhaustive()
    }
}
