//! The second tier of the context cache, in Redis.
//!
//! 1. One command a question: `GET`; `SET … NX PX` where nothing stands; `SET … PX` over anything.
//! 2. Keys are `NAMESPACE:ctx:FP:HEXDIGEST`. Each has a time to live.

use std::fmt;
use std::time::Duration;

use ::redis as client;

use client::{Cmd, Value};

use crate::store::redis::fault::{Fault, RedisError};
use crate::store::redis::line::Line;
use crate::store::redis::server::Redis;
use crate::store::shared::{ContextStore, SharedKey};

/// Shares what is known of tokens between the processes that use the same Redis and namespace, so that a token that one has
/// loaded costs the others no question to its source.
///
/// Give it to [`AuthenticatorBuilder::shared_cache`](crate::authenticator::AuthenticatorBuilder::shared_cache). Whoever can
/// write to that Redis can let tokens in: use a user of its own for it, with
/// `+get +set +hello ~NAMESPACE:ctx:*`, `+role` behind a Sentinel set, and `+cluster|slots +asking` on a Cluster.
pub struct RedisContexts {
    line: Line,
}

impl RedisContexts {
    /// Keeps facts in `redis`. Does no I/O.
    pub fn new(redis: &Redis) -> Self {
        Self { line: Line::new(redis.clone()) }
    }

    async fn ask(&self, command: &Cmd) -> Result<Value, RedisError> {
        let mut live = self.line.live().await?;
        self.line.send(&mut live, command).await.map_err(|fault| fault.failure.into())
    }

    fn command(&self, word: &str, key: &SharedKey) -> Cmd {
        let prefix = self.line.server().prefix();
        let mut command = client::cmd(word);
        command.arg(format!("{prefix}:ctx:{}:{}", key.fingerprint(), key.digest_hex()));
        command
    }
}

impl ContextStore for RedisContexts {
    type Error = RedisError;

    #[expect(clippy::wildcard_enum_match_arm, reason = "the client's own enum may grow")]
    async fn find(&self, key: &SharedKey) -> Result<Option<Vec<u8>>, RedisError> {
        match self.ask(&self.command("GET", key)).await? {
            Value::BulkString(value) => Ok(Some(value)),
            Value::Nil => Ok(None),
            _ => Err(Fault::protocol().failure.into()),
        }
    }

    async fn keep(&self, key: &SharedKey, value: &[u8], ttl: Duration) -> Result<(), RedisError> {
        let Some(ms) = millis(ttl) else { return Ok(()) };
        let mut command = self.command("SET", key);
        command.arg(value).arg("NX").arg("PX").arg(ms);
        self.ask(&command).await.map(drop)
    }

    async fn bury(
        &self,
        key: &SharedKey,
        tombstone: &[u8],
        ttl: Duration,
    ) -> Result<(), RedisError> {
        let Some(ms) = millis(ttl) else { return Ok(()) };
        let mut command = self.command("SET", key);
        command.arg(tombstone).arg("PX").arg(ms);
        self.ask(&command).await.map(drop)
    }
}

impl fmt::Debug for RedisContexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisContexts").field("redis", self.line.server()).finish()
    }
}

/// Whole milliseconds; `None` for less than one, which no key may live.
fn millis(ttl: Duration) -> Option<u64> {
    u64::try_from(ttl.as_millis()).ok().filter(|ms| *ms > 0)
}
