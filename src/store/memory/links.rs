//! The links of one process.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::{Replaced, UserLink, UserLinkStore};
use crate::subject::SubjectKey;

/// Keeps users' links with identity providers in this process; clones share them.
///
/// They are gone with the process, and users sign in again. `Debug` shows how many there are.
///
/// ```
/// # use tower_bearer::{store::{MemoryLinks, UserLink}, subject::SubjectKey};
/// # fn example(subject: &SubjectKey) {
/// let links = MemoryLinks::new();
/// links.put(subject, "google", UserLink::new("an access token"));
/// assert!(links.get(subject, "google").is_some());
/// # }
/// ```
#[derive(Clone, Default)]
pub struct MemoryLinks {
    links: Arc<Mutex<HashMap<(SubjectKey, String), UserLink>>>,
}

/// Why a link was not replaced.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LinksError {
    /// It was removed meanwhile: the user must sign in again.
    #[error("there is no link to replace")]
    Removed,
}

impl MemoryLinks {
    /// Starts without a link.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps what a sign-in left, in the place of what was there. Its generation is one above that, so that whoever is refreshing the
    /// old one stores nothing over it.
    pub fn put(&self, subject: &SubjectKey, provider: &str, link: UserLink) {
        let mut links = self.enter();
        let key = (subject.clone(), provider.to_owned());
        let before = links.get(&key).map(|link| link.generation.saturating_add(1));
        let generation = before.unwrap_or(link.generation);
        links.insert(key, UserLink { generation, ..link });
    }

    /// What is kept.
    pub fn get(&self, subject: &SubjectKey, provider: &str) -> Option<UserLink> {
        self.enter().get(&(subject.clone(), provider.to_owned())).cloned()
    }

    /// Forgets a link: the user signs in again.
    pub fn remove(&self, subject: &SubjectKey, provider: &str) {
        self.enter().remove(&(subject.clone(), provider.to_owned()));
    }

    fn enter(&self) -> MutexGuard<'_, HashMap<(SubjectKey, String), UserLink>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UserLinkStore for MemoryLinks {
    type Error = LinksError;

    async fn load(
        &self,
        subject: &SubjectKey,
        provider: &str,
    ) -> Result<Option<UserLink>, LinksError> {
        Ok(self.get(subject, provider))
    }

    async fn replace(
        &self,
        subject: &SubjectKey,
        provider: &str,
        expected: u64,
        link: UserLink,
    ) -> Result<Replaced, LinksError> {
        let mut links = self.enter();
        let key = (subject.clone(), provider.to_owned());
        let stored = links.get_mut(&key).ok_or(LinksError::Removed)?;
        if stored.generation != expected {
            return Ok(Replaced::Lost(stored.clone()));
        }
        *stored = UserLink { generation: expected.saturating_add(1), ..link };
        Ok(Replaced::Stored)
    }
}

impl fmt::Debug for MemoryLinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLinks").field("links", &self.enter().len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::AccountId;

    #[tokio::test]
    async fn one_of_two_replaces() {
        let alice = SubjectKey::of_account(&AccountId::new("acc-alice").unwrap());
        let links = MemoryLinks::new();
        let replace = |expected, token: &str| {
            let (links, alice, link) = (links.clone(), alice.clone(), UserLink::new(token));
            async move { links.replace(&alice, "idp", expected, link).await }
        };
        assert_eq!(replace(0, "a").await.unwrap_err(), LinksError::Removed, "no link");
        links.put(&alice, "idp", UserLink::new("first"));
        assert!(links.load(&alice, "other").await.unwrap().is_none(), "each provider has its own");
        assert!(matches!(replace(0, "a").await, Ok(Replaced::Stored)));
        let lost = replace(0, "b").await;
        let there = |link: &UserLink| (link.generation, link.access_token.expose().to_owned());
        assert!(
            matches!(&lost, Ok(Replaced::Lost(link)) if there(link) == (1, "a".to_owned())),
            "{lost:?}"
        );
        links.put(&alice, "idp", UserLink::new("signed in again"));
        assert_eq!(links.get(&alice, "idp").unwrap().generation, 2, "F117 newer than before");
        assert_eq!(format!("{links:?}"), "MemoryLinks { links: 1, .. }");
    }
}
