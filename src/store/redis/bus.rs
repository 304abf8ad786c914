//! What one process revokes, all hear: a channel and a counter in Redis.
//!
//! 1. One script draws the number and publishes, so messages on the channel are numbered without a gap.
//! 2. A stay has a connection of its own. Every second it reads the counter behind the messages: a message that was lost on a
//!    connection that stands, and a connection that has gone silent, both show within that second.
//! 3. Nothing is kept: who is away misses it, and drops everything when it comes back.

use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use ::redis as client;

use client::{Cmd, PushInfo, PushKind, Script, Value};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::store::bus::{Heard, RevocationBus};
use crate::store::failure::StoreFailure;
use crate::store::notice::Notice;
use crate::store::redis::fault::{Fault, RedisError};
use crate::store::redis::line::Line;
use crate::store::redis::link::Connection;
use crate::store::redis::server::Redis;
use crate::store::sequence::Sequence;

/// Tells every process that uses the same Redis and namespace of revocations and changes, within milliseconds.
///
/// Give it to [`AuthenticatorBuilder::bus`](crate::authenticator::AuthenticatorBuilder::bus). The user it comes as needs
/// `+evalsha +script|load +incr +publish +subscribe +get +hello ~NAMESPACE:revoked:n &NAMESPACE:revoked`, with `+role`
/// behind a Sentinel set and `+cluster|slots +asking` on a Cluster, where all of it is with one node. Messages hold ids and digests, never a token.
pub struct RedisBus {
    line: Line,
    channel: String,
    counter: String,
}

impl RedisBus {
    /// Tells and hears in `redis`. Does no I/O.
    pub fn new(redis: &Redis) -> Self {
        let channel = format!("{}:revoked", redis.prefix());
        let counter = format!("{channel}:n");
        Self { line: Line::new(redis.clone()), channel, counter }
    }

    /// Draws a number and tells all who listen, at once.
    async fn tell(&self, notice: &Notice) -> Result<(), RedisError> {
        let mut live = self.line.live().await?;
        let mut call = client::cmd("EVALSHA");
        call.arg(TELL.get_hash())
            .arg(1)
            .arg(&self.counter)
            .arg(&self.channel)
            .arg(notice.to_json());
        let teach = || {
            let mut load = client::cmd("SCRIPT");
            load.arg("LOAD").arg(TELL_TEXT);
            load
        };
        let answer = self.line.call(&mut live, &call, &teach).await;
        answer.map(drop).map_err(|fault| fault.failure.into())
    }

    async fn stay(&self, hear: &mut (dyn FnMut(Heard) + Send)) -> Result<(), Fault> {
        let (sender, mut pushes) = mpsc::unbounded_channel();
        // of a Cluster the node that counts: what it publishes comes in front of its counter
        let finding = timeout(LOOK, self.line.home(&self.counter));
        let home = match finding.await {
            Ok(home) => home.map_err(|failure| Fault { failure, drops: true })?,
            Err(_over) => return Err(SILENT),
        };
        let connecting = home.connect(Some(sender));
        let mut connection = match timeout(home.time_to_connect(), connecting).await {
            Ok(connected) => connected.map_err(|error| Fault::of(&error))?,
            Err(_over) => return Err(SILENT),
        };
        let mut subscribe = client::cmd("SUBSCRIBE");
        subscribe.arg(&self.channel);
        answered(&mut connection, &subscribe).await?;
        // what is here is in the counter; what comes before it is read as a gap, and what comes after it is heard
        while pushes.try_recv().is_ok() {}
        let mut sequence = Sequence::after(self.counted(&mut connection).await?);
        hear(Heard::Joined);
        loop {
            match timeout(LOOK, pushes.recv()).await {
                Ok(Some(push)) => self.heard(push, &mut sequence, hear)?,
                Ok(None) => return Err(SILENT),
                Err(_quiet) => {
                    let counter = self.counted(&mut connection).await?;
                    // in front of the counter on the connection, so all of them are here by now
                    while let Ok(push) = pushes.try_recv() {
                        self.heard(push, &mut sequence, hear)?;
                    }
                    if sequence.is_behind(counter) {
                        hear(Heard::Gap);
                    }
                }
            }
        }
    }

    /// Hands on what came over the channel.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the client's own enum may grow")]
    fn heard(
        &self,
        push: PushInfo,
        sequence: &mut Sequence,
        hear: &mut (dyn FnMut(Heard) + Send),
    ) -> Result<(), Fault> {
        match push.kind {
            PushKind::Message => {
                let heard = match push.data.as_slice() {
                    [channel, message] if text(channel) == Some(&self.channel) => {
                        sequence.hear(text(message).unwrap_or_default(), None)
                    }
                    _ => Heard::Gap,
                };
                hear(heard);
                Ok(())
            }
            PushKind::Disconnection | PushKind::Unsubscribe => Err(SILENT),
            _ => Ok(()),
        }
    }

    async fn counted(&self, connection: &mut Connection) -> Result<u64, Fault> {
        let mut get = client::cmd("GET");
        get.arg(&self.counter);
        let counter = answered(connection, &get).await?;
        if counter == Value::Nil {
            return Ok(0);
        }
        let number = text(&counter).and_then(|digits| digits.parse().ok());
        number.ok_or_else(Fault::protocol)
    }
}

impl RevocationBus for RedisBus {
    type Error = RedisError;

    async fn publish(&self, notice: &Notice) -> Result<(), RedisError> {
        self.tell(notice).await
    }

    async fn attend(&self, hear: &mut (dyn FnMut(Heard) + Send)) -> RedisError {
        match self.stay(hear).await {
            Ok(()) => StoreFailure::Closed.into(),
            Err(fault) => fault.failure.into(),
        }
    }
}

impl fmt::Debug for RedisBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBus").field("redis", self.line.server()).finish()
    }
}

/// Sends a command, and gives up on a server that is silent.
async fn answered(connection: &mut Connection, command: &Cmd) -> Result<Value, Fault> {
    match timeout(LOOK, connection.send(command)).await {
        Ok(answer) => answer.map_err(|error| Fault::of(&error)),
        Err(_over) => Err(SILENT),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the client's own enum may grow")]
fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

const TELL_TEXT: &str =
    "return redis.call('PUBLISH', ARGV[1], redis.call('INCR', KEYS[1]) .. ' ' .. ARGV[2])";
static TELL: LazyLock<Script> = LazyLock::new(|| Script::new(TELL_TEXT));

/// How long a stay hears nothing before it looks whether there was nothing.
const LOOK: Duration = Duration::from_secs(1);
const SILENT: Fault = Fault { failure: StoreFailure::Closed, drops: true };
