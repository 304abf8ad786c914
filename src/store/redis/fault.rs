//! What sort of failure is this, and is the connection worth keeping?

use ::redis as client;

use client::ErrorKind;

use crate::store::failure::StoreFailure;

/// A Redis did not do what it was asked.
///
/// It carries no text of the server's or of the client's: those may hold addresses, keys and passwords.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("redis: {}", .failure.as_str())]
pub struct RedisError {
    failure: StoreFailure,
}

impl RedisError {
    /// What sort of failure it was.
    pub fn failure(&self) -> StoreFailure {
        self.failure
    }
}

impl From<StoreFailure> for RedisError {
    fn from(failure: StoreFailure) -> Self {
        Self { failure }
    }
}

/// A failure, and whether the connection has to go with it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Fault {
    pub(super) failure: StoreFailure,
    pub(super) drops: bool,
}

impl Fault {
    /// Reads an error of the client.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the client's own enum may grow")]
    pub(super) fn of(error: &client::RedisError) -> Self {
        if let Some(code) = error.code() {
            return Self::of_code(code);
        }
        let (failure, drops) = match error.kind() {
            ErrorKind::AuthenticationFailed => (StoreFailure::Auth, true),
            ErrorKind::Io if error.is_timeout() => (StoreFailure::Timeout, false),
            ErrorKind::Io if error.is_connection_refusal() => (StoreFailure::Refused, true),
            ErrorKind::Io => (StoreFailure::Closed, true),
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType => (StoreFailure::Protocol, true),
            ErrorKind::ClusterConnectionNotFound => (StoreFailure::Cluster, true),
            _ => (StoreFailure::Other, true),
        };
        Self { failure, drops }
    }

    /// Reads the first word of an error reply.
    fn of_code(code: &str) -> Self {
        let (failure, drops) = match code {
            "READONLY" | "MASTERDOWN" => (StoreFailure::ReadOnly, true),
            "LOADING" => (StoreFailure::Loading, true),
            "CLUSTERDOWN" | "TRYAGAIN" | "MOVED" | "ASK" | "CROSSSLOT" => {
                (StoreFailure::Cluster, true)
            }
            "OOM" | "MISCONF" => (StoreFailure::OutOfMemory, false),
            "BUSY" => (StoreFailure::Busy, false),
            "NOPERM" => (StoreFailure::Auth, false),
            "NOAUTH" | "WRONGPASS" => (StoreFailure::Auth, true),
            "NOSCRIPT" => (StoreFailure::Script, false),
            "WRONGTYPE" | "BADLOG" => (StoreFailure::Log, false),
            _ => (StoreFailure::Other, false),
        };
        Self { failure, drops }
    }

    /// Redis answered something that no Redis answers.
    pub(super) fn protocol() -> Self {
        Self { failure: StoreFailure::Protocol, drops: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes() {
        for (name, code, want) in [
            ("L613 demoted", "READONLY", (StoreFailure::ReadOnly, true)),
            ("L613 no primary", "MASTERDOWN", (StoreFailure::ReadOnly, true)),
            ("L613 starting", "LOADING", (StoreFailure::Loading, true)),
            ("L613 slots lost", "CLUSTERDOWN", (StoreFailure::Cluster, true)),
            ("L613 slots moving", "TRYAGAIN", (StoreFailure::Cluster, true)),
            ("L614 full", "OOM", (StoreFailure::OutOfMemory, false)),
            ("L614 cannot save", "MISCONF", (StoreFailure::OutOfMemory, false)),
            ("L614 a long script", "BUSY", (StoreFailure::Busy, false)),
            ("L614 no right", "NOPERM", (StoreFailure::Auth, false)),
            ("L615 no password", "NOAUTH", (StoreFailure::Auth, true)),
            ("L615 another password", "WRONGPASS", (StoreFailure::Auth, true)),
            ("L616 flushed", "NOSCRIPT", (StoreFailure::Script, false)),
            ("L617 another type", "WRONGTYPE", (StoreFailure::Log, false)),
            ("L617 a bad log", "BADLOG", (StoreFailure::Log, false)),
            ("anything else", "ERR", (StoreFailure::Other, false)),
        ] {
            let got = Fault::of_code(code);
            assert_eq!((got.failure, got.drops), want, "{name}");
        }
    }

    #[test]
    fn an_error_says_its_sort_alone() {
        let error = RedisError::from(StoreFailure::Auth);
        assert_eq!(error.to_string(), "redis: auth");
        assert_eq!(format!("{error:?}"), "RedisError { failure: Auth }");
    }
}
