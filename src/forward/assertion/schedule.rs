//! Which key signs when, and which are published?
//!
//! 1. Each key signs from a time on, until the next one does. Whatever the clock says, there is one that signs.
//! 2. Published are the key that signs, those to come, and those whose last assertion may still be believed by somebody
//!    who fetched the key set as late as its life in caches allows.
//! 3. A change makes a new schedule, and leaves out what is no longer published.

use std::time::Duration;

use super::AssertionKey;
use crate::clock::Timestamp;
use crate::forward::error::ConfigError;
use crate::forward::key_rules::KEYS;
use crate::forward::sign::VerifyingKey;

/// For how long a copy of the key set may be kept.
pub(super) const CACHED: Duration = Duration::from_secs(300);

const MOST: usize = 4;

#[derive(Clone)]
pub(super) struct Schedule {
    first: AssertionKey,
    /// Each with the time from which it signs, ascending.
    later: Vec<(AssertionKey, Timestamp)>,
    /// Keys of another schedule, each with the time until which it signed.
    retired: Vec<(VerifyingKey, Timestamp)>,
}

impl Schedule {
    pub(super) fn new(first: AssertionKey) -> Self {
        Self { first, later: Vec::new(), retired: Vec::new() }
    }

    pub(super) fn signer(&self, now: Timestamp) -> &AssertionKey {
        let due = self.later.iter().rfind(|(_, from)| *from <= now);
        due.map_or(&self.first, |(key, _)| key)
    }

    /// The key that signs, those to come, those that signed before: newest first.
    pub(super) fn published(&self, now: Timestamp, life: Duration) -> Vec<VerifyingKey> {
        let keys = [&self.first].into_iter().chain(self.later.iter().map(|(key, _)| key));
        let ends = self.later.iter().map(|(_, from)| Some(*from)).chain([None]);
        let own: Vec<_> = keys.zip(ends).map(|(key, end)| (key.verifying(), end)).collect();
        let (past, open): (Vec<_>, Vec<_>) =
            own.into_iter().partition(|(_, end)| end.is_some_and(|end| end <= now));
        let retired = self.retired.iter().map(|(key, at)| (key.clone(), Some(*at)));
        let past = past.into_iter().rev().chain(retired);
        let kept = past.filter(|(_, end)| end.is_some_and(|end| counts(end, now, life)));
        open.into_iter().chain(kept).map(|(key, _)| key).collect()
    }

    pub(super) fn with_next(
        &self,
        key: AssertionKey,
        from: Timestamp,
        now: Timestamp,
        life: Duration,
    ) -> Result<Self, ConfigError> {
        let after_the_last = self.later.last().is_none_or(|(_, last)| *last < from);
        if !after_the_last || from < now.saturating_add(CACHED) {
            return Err(ConfigError::OutOfRange { setting: "from" });
        }
        let mut next = self.without_ended(now, life);
        next.later.push((key, from));
        next.checked(now, life)
    }

    pub(super) fn with_retired(
        &self,
        key: VerifyingKey,
        at: Timestamp,
        life: Duration,
    ) -> Result<Self, ConfigError> {
        let mut next = self.clone();
        next.retired.push((key, at));
        next.checked(at, life)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        [&self.first]
            .into_iter()
            .chain(self.later.iter().map(|(key, _)| key))
            .map(AssertionKey::kid)
    }

    fn without_ended(&self, now: Timestamp, life: Duration) -> Self {
        let mut next = self.clone();
        while next.later.first().is_some_and(|(_, from)| !counts(*from, now, life)) {
            next.first = next.later.remove(0).0;
        }
        next.retired.retain(|(_, at)| counts(*at, now, life));
        next
    }

    fn checked(self, now: Timestamp, life: Duration) -> Result<Self, ConfigError> {
        let published = self.published(now, life);
        if published.len() > MOST {
            return Err(ConfigError::OutOfRange { setting: KEYS });
        }
        let mut names: Vec<&str> = published.iter().map(VerifyingKey::id).collect();
        names.sort_unstable();
        names.dedup();
        if names.len() == published.len() {
            Ok(self)
        } else {
            Err(ConfigError::NameTaken { setting: KEYS })
        }
    }
}

/// Is a key still published that signed until `end`?
fn counts(end: Timestamp, now: Timestamp, life: Duration) -> bool {
    now <= end.saturating_add(life).saturating_add(CACHED)
}
