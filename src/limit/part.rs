//! What is known of one part of a shared store: is it any use to ask, and may its word stand alone?
//!
//! 1. Failures open the breaker; while it is open nobody asks, and only a good probe closes it.
//! 2. What one lost connection took down counts once. What was sent before the last turn of the breaker counts nothing.
//! 3. Both the store and the logs in process must agree for the longest window after a decision that the store did not
//!    make, and after its epoch has grown.
//! 4. No code of a user's runs under the lock. Pure but for the lock: takes the time.

use std::sync::{Mutex, MutexGuard};
use tokio::task::AbortHandle;

use crate::breaker::{Breaker, BreakerRule, Turn};
use crate::clock::Moment;
use crate::store::StoreFailure;

/// One part, shared by all requests that it decides on.
#[derive(Debug)]
pub(super) struct Part {
    state: Mutex<State>,
    longest_ms: u64,
}

#[derive(Debug, Default)]
struct State {
    breaker: Breaker,
    /// Grows when the breaker opens or closes.
    turn: u64,
    /// The newest epoch heard of.
    epoch: u64,
    /// Both must agree before this, in monotonic ms.
    agree_until: u64,
    /// Losses of a connection counted so far, and the epoch of the last.
    losses: u64,
    lost_epoch: u64,
    told_auth: bool,
    watcher: Option<AbortHandle>,
}

/// What was known when a call was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    epoch: u64,
    losses: u64,
    turn: u64,
    /// Must the logs in process be charged first?
    pub(super) both: bool,
}

/// What a failure changed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Changed {
    pub(super) opened: bool,
    /// The first time in this outage that the store did not let us in.
    pub(super) locked_out: bool,
}

impl Part {
    pub(super) fn new(rule: BreakerRule, longest_ms: u64) -> Self {
        let state = State { breaker: Breaker::new(rule), ..State::default() };
        Self { state: Mutex::new(state), longest_ms }
    }

    /// Is the store left alone?
    pub(super) fn is_open(&self) -> bool {
        self.lock().breaker.is_open()
    }

    /// A call goes out in this epoch.
    pub(super) fn send(&self, epoch: u64, now: Moment) -> Sent {
        let mut state = self.lock();
        state.heard_of(epoch, now.monotonic_ms() + self.longest_ms);
        let State { epoch, losses, turn, agree_until, .. } = *state;
        Sent { epoch, losses, turn, both: now.monotonic_ms() < agree_until }
    }

    /// A call was answered in this epoch.
    pub(super) fn answered(&self, sent: &Sent, epoch: u64, now: Moment) {
        let mut state = self.lock();
        state.heard_of(epoch, now.monotonic_ms() + self.longest_ms);
        if sent.turn == state.turn {
            let _same = state.breaker.succeeded();
            state.told_auth = false;
        }
    }

    /// Must both agree now?
    pub(super) fn needs_both(&self, now: Moment) -> bool {
        now.monotonic_ms() < self.lock().agree_until
    }

    /// A call failed.
    pub(super) fn failed(
        &self,
        sent: &Sent,
        failure: StoreFailure,
        now: Moment,
        chance: u64,
    ) -> Changed {
        let mut state = self.lock();
        if sent.turn != state.turn || !failure.counts() {
            return Changed::default();
        }
        if failure == StoreFailure::Closed {
            if sent.losses < state.losses && sent.epoch == state.lost_epoch {
                return Changed::default();
            }
            state.losses += 1;
            state.lost_epoch = sent.epoch;
        }
        let locked_out = failure == StoreFailure::Auth && !state.told_auth;
        state.told_auth |= locked_out;
        let opened = state.breaker.failed(now.monotonic_nanos(), chance) == Turn::Opened;
        state.turn += u64::from(opened);
        Changed { opened, locked_out }
    }

    /// Something was decided, now, and not by the store.
    pub(super) fn decided_elsewhere(&self, now: Moment) {
        let mut state = self.lock();
        state.agree_until = state.agree_until.max(now.monotonic_ms() + self.longest_ms);
    }

    /// A probe was good; `true` if that ended an outage.
    pub(super) fn close(&self) -> bool {
        let mut state = self.lock();
        let closed = state.breaker.succeeded() == Turn::Closed;
        state.turn += u64::from(closed);
        state.told_auth &= !closed;
        closed
    }

    /// Lets `spawn` start the task that probes, if the part is open and has none.
    pub(super) fn watch(&self, spawn: impl FnOnce() -> Option<AbortHandle>) {
        let mut state = self.lock();
        let is_watched = state.watcher.as_ref().is_some_and(|task| !task.is_finished());
        if state.breaker.is_open() && !is_watched {
            state.watcher = spawn();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| {
            self.state.clear_poison();
            poisoned.into_inner()
        })
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Some(task) = self.lock().watcher.take() {
            task.abort();
        }
    }
}

impl State {
    fn heard_of(&mut self, epoch: u64, until: u64) {
        if epoch > self.epoch {
            self.epoch = epoch;
            self.agree_until = self.agree_until.max(until);
        }
    }
}
