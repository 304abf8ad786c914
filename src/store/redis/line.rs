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

    /// Sends one command, and hears its answer; what is dropped before that counts against the connection.
    pub(super) async fn send(&self, live: &mut Live, command: &Cmd) -> Result<Value, Fault> {
        let mut waiting = Waiting { line: self, live: live.clone(), is_answered: false };
        let answer = live.connection.send(command).await.map_err(|error| Fault::of(&error));
        waiting.is_answered =
            !matches!(&answer, Err(fault) if fault.failure == StoreFailure::Timeout);
        if matches!(&answer, Err(fault) if fault.drops) {
            self.link.lost(live);
        }
        answer
    }
}

/// A call under way.
struct Waiting<'a> {
    line: &'a Line,
    live: Live,
    is_answered: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let unanswered = &self.line.unanswered;
        if self.is_answered {
            unanswered.store(0, Ordering::Relaxed);
        } else if unanswered.fetch_add(1, Ordering::Relaxed) + 1 >= PATIENCE {
            unanswered.store(0, Ordering::Relaxed);
            self.line.link.lost(&self.live);
        }
    }
}
