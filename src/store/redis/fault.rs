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
        match error.code() {
            Some("ERR") => return Self::of_text(error.detail().unwrap_or_default()),
            Some(code) => return Self::of_code(code),
            None => {}
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

    /// Reads an error reply without a code of its own: what went wrong inside a script may stand in its text, as all of it
    /// does before Redis 7.
    fn of_text(text: &str) -> Self {
        if text.contains("user executing the script can't") {
            return Self::of_code("NOPERM");
        }
        let words =
            text.split_ascii_whitespace().map(|word| Self::of_code(word.trim_start_matches('-')));
        let mut told = words.filter(|fault| fault.failure != StoreFailure::Other);
        told.next().unwrap_or_else(|| Self::of_code("ERR"))
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
    fn errors_of_scripts() {
        for (name, reply, want) in [
            (
                "L614 7.0",
                "-ERR The user executing the script can't run this command or subcommand script: \
                 104a, on @user_script:1.\r\n",
                (StoreFailure::Auth, false),
            ),
            (
                "L614 7.0 a channel",
                "-ERR The user executing the script can't publish to the channel mentioned in the \
                 command script: 9523, on @user_script:1.\r\n",
                (StoreFailure::Auth, false),
            ),
            (
                "L613 6.2",
                "-ERR Error running script (call to f_104a): @user_script:9: @user_script: 9: \
                 -READONLY You can't write against a read only replica.\r\n",
                (StoreFailure::ReadOnly, true),
            ),
            (
                "L617 6.2",
                "-ERR Error running script (call to f_104a): @user_script:9: WRONGTYPE Operation \
                 against a key holding the wrong kind of value\r\n",
                (StoreFailure::Log, false),
            ),
            (
                "L614 7.0 full",
                "-OOM command not allowed when used memory > 'maxmemory'. script: 104a, on \
                 @user_script:9.\r\n",
                (StoreFailure::OutOfMemory, false),
            ),
            ("anything else", "-ERR unknown command 'EVALSHA'\r\n", (StoreFailure::Other, false)),
        ] {
            let error = client::parse_redis_value(reply.as_bytes()).unwrap().extract_error();
            let fault = Fault::of(&error.unwrap_err());
            assert_eq!((fault.failure, fault.drops), want, "{name}");
        }
    }

    #[test]
    fn an_error_says_its_sort_alone() {
        let error = RedisError::from(StoreFailure::Auth);
        assert_eq!(error.to_string(), "redis: auth");
        assert_eq!(format!("{error:?}"), "RedisError { failure: Auth }");
    }
}
