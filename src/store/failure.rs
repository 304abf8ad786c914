//! Why did a shared store not answer?
//!
//! 1. A closed set of words, for the breaker, the metrics and the log: never a text of the store's own.

/// Why a [`WindowStore`](crate::store::WindowStore) did not decide. The set is closed: it is a label of metrics.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum StoreFailure {
    /// No answer within the deadline. The call may have charged.
    Timeout,
    /// The connection could not be made.
    Refused,
    /// The connection went while the call was out; one loss of a connection counts once for all its calls.
    Closed,
    /// Its node takes no writes.
    ReadOnly,
    /// Its node is not ready yet.
    Loading,
    /// A cluster does not know where the log lies, or that part of it is down.
    Cluster,
    /// Its memory is full.
    OutOfMemory,
    /// It is busy with somebody else's work.
    Busy,
    /// It does not let us in, or not do this.
    Auth,
    /// It forgets what it was just taught.
    Script,
    /// This one log holds something else; says nothing about the store, and does not count for the breaker.
    Log,
    /// It answers what no such store answers.
    Protocol,
    /// Its code panicked.
    Panic,
    /// Not called at all: it failed too often a moment ago.
    Breaker,
    /// Anything else.
    Other,
}

impl StoreFailure {
    /// The label of metrics and events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Closed => "closed",
            Self::ReadOnly => "readonly",
            Self::Loading => "loading",
            Self::Cluster => "cluster",
            Self::OutOfMemory => "oom",
            Self::Busy => "busy",
            Self::Auth => "auth",
            Self::Script => "script",
            Self::Log => "log",
            Self::Protocol => "protocol",
            Self::Panic => "panic",
            Self::Breaker => "breaker",
            Self::Other => "other",
        }
    }

    /// Whether it says something about the store rather than about one log, so that the breaker counts it.
    pub fn counts(self) -> bool {
        !matches!(self, Self::Log | Self::Breaker)
    }
}
