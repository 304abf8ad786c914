//! What becomes of requests while the shared store does not decide?

use crate::store::StoreFailure;

/// What decides while a shared store of windows is out.
///
/// That requests pass without any limit is not among these: see
/// [`dangerously_open_on_outage`](crate::limit::LimiterBuilder::dangerously_open_on_outage).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Outage {
    /// Logs in this process, by the same policies. They are kept warm: what the store admits is stamped in them too.
    ///
    /// For the limiter's longest window after anything that the store did not decide, and after it may have forgotten
    /// something ([`WindowStore::epoch`](crate::store::WindowStore::epoch)), both must agree. So no process admits more
    /// than its limits in any window, less the one deadline for replies under way; R processes at most R times that
    /// in a window that touches an outage.
    #[default]
    Local,
    /// Nothing: 503, never 429.
    Closed,
}

/// [`Outage`], and what must be asked for by name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Rule {
    Local,
    Closed,
    Open,
}

impl From<Outage> for Rule {
    fn from(outage: Outage) -> Self {
        match outage {
            Outage::Local => Self::Local,
            Outage::Closed => Self::Closed,
        }
    }
}

/// The shared store of windows did not decide within 2 seconds, or does not let us in.
///
/// Says the sort of failure and no word of the store's own.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("store of windows is not ready: {}", .failure.as_str())]
#[non_exhaustive]
pub struct NotReady {
    failure: StoreFailure,
}

impl NotReady {
    pub(super) fn new(failure: StoreFailure) -> Self {
        Self { failure }
    }

    /// How the last try failed.
    pub fn failure(&self) -> StoreFailure {
        self.failure
    }
}
