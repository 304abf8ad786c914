//! The nonces of one process.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, SystemClock, Timestamp};
use crate::store::NonceStore;

/// Remembers nonces in this process, up to a number; clones share them.
///
/// What has ended is forgotten when room is looked for, 5 s after its end: a request may be judged a little before it is
/// looked up here.
#[derive(Clone)]
pub struct MemoryNonces {
    clock: Arc<dyn Clock>,
    most: usize,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    nonces: HashSet<Arc<str>>,
    by_end: BTreeSet<(Timestamp, Arc<str>)>,
}

/// Why nothing was remembered.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NoncesError {
    /// As many nonces as are kept still count.
    #[error("as many nonces as are kept still count")]
    Full,
    /// It counted a moment ago by another clock, and ended long ago by this one: it could not be remembered.
    #[error("the clock of the nonces is ahead of the receiver's")]
    Ended,
}

const MOST: usize = 100_000;
const SLACK: Duration = Duration::from_secs(5);

impl MemoryNonces {
    /// Keeps 100,000 nonces by the system's clock: some 20 MB, and over 1,000 requests a second of the default life.
    pub fn new() -> Self {
        Self::bounded(MOST, SystemClock::new())
    }

    /// Keeps `most` nonces, at least 1, by a clock of your own: the receiver's.
    pub fn bounded(most: usize, clock: impl Clock) -> Self {
        Self { clock: Arc::new(clock), most: most.max(1), seen: Arc::default() }
    }
}

impl Default for MemoryNonces {
    fn default() -> Self {
        Self::new()
    }
}

impl NonceStore for MemoryNonces {
    type Error = NoncesError;

    async fn insert_if_absent(
        &self,
        key: &str,
        nonce: &str,
        until: Timestamp,
    ) -> Result<bool, NoncesError> {
        let now = self.clock.now().wall();
        if until.saturating_add(SLACK) < now {
            return Err(NoncesError::Ended);
        }
        let both: Arc<str> = format!("{key} {nonce}").into(); // neither holds a blank
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Seen { nonces, by_end } = &mut *seen;
        while by_end.first().is_some_and(|(end, _)| end.saturating_add(SLACK) < now) {
            if let Some((_, ended)) = by_end.pop_first() {
                nonces.remove(&ended);
            }
        }
        if nonces.contains(&both) {
            return Ok(false);
        }
        if nonces.len() >= self.most {
            return Err(NoncesError::Full);
        }
        nonces.insert(Arc::clone(&both));
        by_end.insert((until, both));
        Ok(true)
    }
}

impl fmt::Debug for MemoryNonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryNonces").field("most", &self.most).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[tokio::test]
    async fn once_and_bounded() {
        let clock = ManualClock::at(Timestamp::from_secs(1_000));
        let store = MemoryNonces::bounded(2, clock.clone());
        let until = Timestamp::from_secs(1_010);
        let ask = |key, nonce| store.insert_if_absent(key, nonce, until);
        assert_eq!(ask("k1", "a").await, Ok(true), "FI9");
        assert_eq!(ask("k1", "a").await, Ok(false), "FI9");
        assert_eq!(ask("k2", "a").await, Ok(true), "F214 of another key");
        assert_eq!(ask("k1", "b").await, Err(NoncesError::Full), "FI9 full");
        assert_eq!(ask("k1", "a").await, Ok(false), "F214 nothing was thrown out");
        clock.advance(Duration::from_secs(15));
        assert_eq!(ask("k1", "a").await, Ok(false), "not before 5 s after its end");
        clock.advance(Duration::from_secs(1));
        assert_eq!(
            ask("k1", "a").await,
            Err(NoncesError::Ended),
            "never a pass for want of a memory"
        );
        let later = Timestamp::from_secs(1_100);
        assert_eq!(store.insert_if_absent("k1", "b", later).await, Ok(true), "F214 room again");
    }
}
