//! New tokens that no store has taken yet: the only copy there is.
//!
//! 1. They serve from here until they are stored, or until the store has something newer.
//! 2. One task at a time stores those of one subject; after it gave up, the next who meets them starts another.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::store::UserLink;
use crate::subject::SubjectKey;

/// Links that are not stored, by subject. Each is of the generation that is stored in its place.
#[derive(Default)]
pub(super) struct Unsaved(Mutex<HashMap<SubjectKey, Pair>>);

struct Pair {
    link: UserLink,
    being_stored: bool,
}

/// What is to be used instead of what is stored.
pub(super) enum Instead {
    Nothing,
    Link(UserLink),
    /// Nobody is storing it: the caller must.
    Forsaken(UserLink),
}

impl Unsaved {
    /// Keeps a pair that its task is about to store.
    pub(super) fn keep(&self, subject: &SubjectKey, link: &UserLink) {
        let pair = Pair { link: link.clone(), being_stored: true };
        self.enter().insert(subject.clone(), pair);
    }

    /// The pair is stored, or something newer is.
    pub(super) fn drop(&self, subject: &SubjectKey, link: &UserLink) {
        let mut pairs = self.enter();
        if pairs.get(subject).is_some_and(|pair| pair.link.access_token == link.access_token) {
            pairs.remove(subject);
        }
    }

    /// Its task gave up.
    pub(super) fn rest(&self, subject: &SubjectKey) {
        if let Some(pair) = self.enter().get_mut(subject) {
            pair.being_stored = false;
        }
    }

    /// What counts instead of what the store said: `None` if it could not say, `Some(None)` for no link.
    pub(super) fn instead_of(
        &self,
        subject: &SubjectKey,
        stored: Option<Option<&UserLink>>,
    ) -> Instead {
        let mut pairs = self.enter();
        let Some(pair) = pairs.get_mut(subject) else { return Instead::Nothing };
        let overtaken = match stored {
            Some(Some(stored)) => stored.generation > pair.link.generation,
            Some(None) => true,
            None => false,
        };
        if overtaken {
            pairs.remove(subject);
            return Instead::Nothing;
        }
        let link = pair.link.clone();
        if std::mem::replace(&mut pair.being_stored, true) {
            Instead::Link(link)
        } else {
            Instead::Forsaken(link)
        }
    }

    fn enter(&self) -> MutexGuard<'_, HashMap<SubjectKey, Pair>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
