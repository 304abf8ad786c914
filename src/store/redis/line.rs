//! Is this connection silent?
//!
//! 1. Callers have deadlines shorter than the client's own, so a connection that has gone silent shows in calls that were given
//!    up and in nothing else: TCP itself takes a quarter of an hour to say so.
//! 2. Three such calls in a row, and the connection is replaced. Any answer begins the count anew.

use ::redis as client;

use std::sync::atomic::{AtomicU32, Ordering};

use client::{Cmd, Value};

use crate::store::failure::StoreFailure;
use crate::store::redis::fault::Fault;
use crate::store::redis::link::{Link, Live};
use crate::store::redis::server::Redis;

/// The connection of an adapter whose callers give up early.
pub(super) struct Line {
    link: Link,
    unanswered: AtomicU32,
}

const PATIENCE: u32 = 3;

impl Line {
    pub(super) fn new(server: Redis) -> Self {
        Self { link: Link::new(server), unanswered: AtomicU32::new(0) }
    }

    pub(super) fn server(&self) -> &Redis {
        self.link.server()
    }

    /// The connection, or why there is none.
    pub(super) async fn live(&self) -> Result<Live, StoreFailure> {
        self.link.live().await
    }

    /// The server that keeps a key, by itself.
    pub(super) async fn home(&self, key: &str) -> Result<Redis, StoreFailure> {
        self.link.home(key).await
    }

    /// Sends one command, and hears its answer; what is dropped before that counts against the connection.
    pub(super) async fn send(&self, live: &mut Live, command: &Cmd) -> Result<Value, Fault> {
        let mut waiting = Waiting { line: self, live: live.clone(), is_answered: false };
        let answer = live.connection.send(command).await;
        waiting.heard(answer)
    }

    /// As `send`, with a script that a server may have to be taught first.
    pub(super) async fn call(
        &self,
        live: &mut Live,
        call: &Cmd,
        teach: &(dyn Fn() -> Cmd + Sync),
    ) -> Result<Value, Fault> {
        let mut waiting = Waiting { line: self, live: live.clone(), is_answered: false };
        let answer = live.call(call, teach).await;
        waiting.heard(answer)
    }
}

/// A call under way.
struct Waiting<'a> {
    line: &'a Line,
    live: Live,
    is_answered: bool,
}

impl Waiting<'_> {
    /// There is an answer, of the server's or of the client's own patience.
    fn heard(&mut self, answer: client::RedisResult<Value>) -> Result<Value, Fault> {
        let answer = answer.map_err(|error| Fault::of(&error));
        let timed_out = |fault: &Fault| fault.failure == StoreFailure::Timeout;
        self.is_answered = !answer.as_ref().is_err_and(timed_out);
        if answer.as_ref().is_err_and(|fault| fault.drops) {
            self.line.link.lost(&self.live, StoreFailure::Closed);
        }
        answer
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let unanswered = &self.line.unanswered;
        if self.is_answered {
            unanswered.store(0, Ordering::Relaxed);
        } else if unanswered.fetch_add(1, Ordering::Relaxed) + 1 >= PATIENCE {
            unanswered.store(0, Ordering::Relaxed);
            self.line.link.lost(&self.live, StoreFailure::Timeout);
        }
    }
}
