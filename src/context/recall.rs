//! What the last request with this token learned, so that the next one need not look it up again.
//!
//! 1. Hangs on the token's cached entry and dies with it. One look into the token cache then serves the whole stack.
//! 2. Holds facts, never verdicts, each with the end that its own cache gave it.
//! 3. Counts only in the epoch in which it was learned: every `forget_` of the authenticator begins a new one, after its caches
//!    have dropped what it named. So nothing that was read before can be believed after.
//! 4. Nobody waits for it: where it is in use by another thread, the caches are asked as if it were not there.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex};

use crate::context::AuthContext;
use crate::id::{AppId, WorkspaceId};
use crate::store::{AppRecord, Membership};

/// The slot in a token's facts.
#[derive(Default)]
pub(crate) struct Recent(Mutex<Option<Arc<Recall>>>);

/// Facts of the last request, each under the number of the cache that it came from.
#[derive(Clone, Default)]
pub(crate) struct Recall {
    pub(crate) epoch: u64,
    pub(crate) app: Option<Kept<Arc<AppRecord>>>,
    pub(crate) membership: Option<Kept<(WorkspaceId, Membership)>>,
    pub(crate) caller: Option<Kept<Recalled>>,
}

/// A mounted caller with what it was mounted for; the token says for whom.
#[derive(Clone)]
pub(crate) struct Recalled {
    pub(crate) workspace: Option<WorkspaceId>,
    pub(crate) app: Option<AppId>,
    pub(crate) caller: Arc<dyn Any + Send + Sync>,
}

/// One fact, and how long it counts.
#[derive(Clone)]
pub(crate) struct Kept<T> {
    pub(crate) cache: u64,
    pub(crate) ends: u64,
    pub(crate) value: T,
}

impl Recent {
    /// What was learned in this epoch, if it can be had without waiting.
    pub(crate) fn recall(&self, epoch: u64) -> Option<Arc<Recall>> {
        let slot = self.0.try_lock().ok()?;
        slot.as_ref().filter(|recall| recall.epoch == epoch).map(Arc::clone)
    }

    /// Keeps what this request learned; lost if somebody else is at it.
    pub(crate) fn keep(&self, recall: Recall) {
        if let Ok(mut slot) = self.0.try_lock() {
            *slot = Some(Arc::new(recall));
        }
    }
}

impl Recall {
    /// What was learned now, over what was known before.
    pub(crate) fn over(self, before: Option<&Self>) -> Self {
        let Some(before) = before else { return self };
        Self {
            epoch: self.epoch,
            app: self.app.or_else(|| before.app.clone()),
            membership: self.membership.or_else(|| before.membership.clone()),
            caller: self.caller.or_else(|| before.caller.clone()),
        }
    }
}

impl Recalled {
    /// Is it what would be mounted for this request?
    pub(crate) fn is_for(&self, context: &AuthContext) -> bool {
        self.workspace.as_ref() == context.workspace()
            && self.app.as_ref() == context.app().map(AppRecord::id)
    }
}

impl<T> Kept<T> {
    /// The fact, if it came from this cache and still counts.
    pub(crate) fn fresh(&self, cache: u64, now: u64) -> Option<&T> {
        (self.cache == cache && now < self.ends).then_some(&self.value)
    }
}

impl fmt::Debug for Recall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recall").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recall_counts_in_its_epoch_alone() {
        let recent = Recent::default();
        recent.keep(Recall { epoch: 7, ..Recall::default() });
        for (epoch, want) in [(6, false), (7, true), (8, false)] {
            assert_eq!(recent.recall(epoch).is_some(), want, "epoch {epoch}");
        }
    }

    #[test]
    fn a_fact_counts_for_its_cache_until_its_end() {
        let kept = Kept { cache: 1, ends: 10, value: "fact" };
        for (name, cache, now, want) in [
            ("before its end", 1, 9, Some(&"fact")),
            ("at its end", 1, 10, None),
            ("of another cache", 2, 9, None),
        ] {
            assert_eq!(kept.fresh(cache, now), want, "{name}");
        }
    }
}
