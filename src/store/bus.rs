//! How do other processes hear that something ended?
//!
//! 1. A notice can only take away. Losing one costs time, never safety beyond the life of a cached fact.
//! 2. The adapter moves notices, and says when some may be missing. Waiting, joining again, dropping, counting and retrying
//!    are the authenticator's.

use std::future::Future;
use std::time::Duration;

use crate::store::Notice;

/// Carries notices between the processes that share a store.
///
/// Both calls run in tasks of their own. A clone of the adapter may serve several authenticators; each attends by itself.
///
/// What an adapter must hold:
///
/// 1. A publisher may hear its own notices; hearing one twice does no harm.
/// 2. Between [`Heard::Joined`] and the end of the stay each notice that anybody published is heard, or [`Heard::Gap`] is, or
///    the stay ends. A connection that has gone silent is one that is lost: look after it.
/// 3. [`Sequence`](crate::store::Sequence) finds gaps where messages are `<n> <json>`.
pub trait RevocationBus: Send + Sync + 'static {
    /// Why it could not be told or heard.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Tells everybody who attends.
    ///
    /// Has 25 ms; it is dropped then, and the notice is published again later. Several run at once. An error means that it may
    /// not have been told.
    fn publish(&self, notice: &Notice) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// One stay on the bus: joins, says [`Heard::Joined`], then all that it hears, and gives back why the stay ended.
    ///
    /// Called again after a pause of 20 ms, doubled up to 1 s while no stay begins. `hear` returns at once and may be called
    /// from this future only. The future is dropped when the authenticator is gone: leave nothing behind then.
    fn attend(
        &self,
        hear: &mut (dyn FnMut(Heard) + Send),
    ) -> impl Future<Output = Self::Error> + Send;
}

/// What is heard on a bus.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Heard {
    /// On the bus from here on; what was told before may have been missed.
    Joined,
    /// A notice.
    Notice {
        /// What it says.
        notice: Notice,
        /// How long ago it was published, if the adapter knows; for metrics alone.
        age: Option<Duration>,
    },
    /// Something was missed or could not be read.
    Gap,
}

/// A store inside the process, which hears of what other processes changed in theirs.
///
/// A store that all processes share needs none of this. See
/// [`tells`](crate::authenticator::AuthenticatorBuilder::tells).
pub trait Hears: Send + Sync + 'static {
    /// Applies a notice to the store's own rows. Returns at once; may hear the same notice twice, and its own process's.
    fn hear(&self, notice: &Notice);
}
