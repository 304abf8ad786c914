//! A server of windows that several processes share: one simulated log per key on its own clock, scripted faults,
//! and a clock that goes with the runtime's paused time.
#![expect(
    clippy::disallowed_methods,
    reason = "one time for deadlines and windows: the runtime's, which tests pause and move"
)]
#![expect(clippy::unwrap_used, reason = "a test kit: what cannot be made fails the test")]

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;
use tower_bearer::clock::{Clock, Moment, Timestamp};
use tower_bearer::limit::{Verdict, Window};
use tower_bearer::store::{Answer, Ask, LogId, Standing, StoreFailure, WindowStore};

/// The runtime's time, as a clock of this crate.
#[derive(Clone, Copy)]
pub(crate) struct Paused(Instant);

impl Paused {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn ms(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap()
    }
}

impl Clock for Paused {
    fn now(&self) -> Moment {
        let passed = self.0.elapsed();
        Moment::new(Timestamp::from_secs(1_700_000_000).saturating_add(passed), passed)
    }
}

/// What a server does with a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mood {
    Good,
    /// Fails at once, without a charge.
    Fails(StoreFailure),
    /// Charges and never answers.
    Hangs,
    Panics,
}

/// One server. Clones share it.
#[derive(Clone)]
pub(crate) struct Server {
    state: Arc<Mutex<State>>,
    ms: Arc<dyn Fn() -> u64 + Send + Sync>,
}

pub(crate) struct State {
    logs: HashMap<(String, LogId), Window>,
    pub(crate) mood: Mood,
    /// Of each part, where it differs.
    pub(crate) moods: HashMap<u8, Mood>,
    /// How long a call takes to get there, and back.
    pub(crate) there: Duration,
    pub(crate) back: Duration,
    pub(crate) epoch: u64,
    pub(crate) calls: u64,
    pub(crate) probes: u64,
    pub(crate) given_up: Vec<u8>,
    /// The server's own times of what it admitted.
    pub(crate) admitted: Vec<u64>,
    /// Of each call to come, the time to get there, in turn; then `there`.
    pub(crate) delays: Vec<Duration>,
    /// By how many parts ids are spread.
    pub(crate) parts: u8,
}

#[derive(Debug, thiserror::Error)]
#[error("secret word of the server's: hunter2")]
pub(crate) struct Trouble(StoreFailure);

impl Server {
    /// A server whose own clock is that of `clock`, but for a good while.
    pub(crate) fn new(clock: impl Clock) -> Self {
        let state = State {
            logs: HashMap::new(),
            mood: Mood::Good,
            moods: HashMap::new(),
            there: Duration::ZERO,
            back: Duration::ZERO,
            epoch: 0,
            calls: 0,
            probes: 0,
            given_up: Vec::new(),
            admitted: Vec::new(),
            delays: Vec::new(),
            parts: 1,
        };
        let ms = move || 7_654_321 + u64::try_from(clock.now().monotonic().as_millis()).unwrap();
        Self { state: Arc::new(Mutex::new(state)), ms: Arc::new(ms) }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.state().mood = mood;
    }

    pub(crate) fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Starts again, with nothing in memory.
    pub(crate) fn restart_empty(&self) {
        let mut state = self.state();
        state.logs.clear();
        state.epoch += 1;
        state.mood = Mood::Good;
    }

    /// Would the server deny this now?
    pub(crate) fn denies(&self, key: (&str, LogId), limit: &tower_bearer::limit::Limit) -> bool {
        let now = (self.ms)();
        let state = self.state();
        let log = state.logs.get(&(key.0.to_owned(), key.1));
        let one = std::num::NonZeroU32::MIN;
        log.is_some_and(|log| matches!(log.look(limit, one, now), Verdict::Deny { .. }))
    }

    fn decide(&self, ask: &Ask<'_>) -> Answer {
        let now = (self.ms)();
        let mut state = self.state();
        let mut all = true;
        let mut standings = Vec::new();
        for item in ask.items() {
            let key = (item.key().policy().to_string(), item.key().id());
            let log = state.logs.entry(key).or_default();
            standings.push(match log.look(item.limit(), ask.cost(), now) {
                Verdict::Admit { remaining, reset_ms } => Standing::Room { remaining, reset_ms },
                Verdict::Deny { remaining, retry_after_ms } => {
                    all = false;
                    Standing::Full { remaining, retry_after_ms }
                }
                Verdict::Never | _ => unreachable!("a question never costs more than its limits"),
            });
        }
        if all {
            for item in ask.items() {
                let key = (item.key().policy().to_string(), item.key().id());
                state.logs.get_mut(&key).unwrap().charge(item.limit(), ask.cost(), now);
            }
            state.admitted.push(now);
        }
        Answer::new(standings).in_epoch(state.epoch)
    }

    fn mood_of(&self, part: u8) -> Mood {
        let state = self.state();
        state.moods.get(&part).copied().unwrap_or(state.mood)
    }
}

impl WindowStore for Server {
    type Error = Trouble;

    async fn admit(&self, ask: &Ask<'_>) -> Result<Answer, Trouble> {
        let (there, back) = {
            let mut state = self.state();
            state.calls += 1;
            let delay = if state.delays.is_empty() { None } else { Some(state.delays.remove(0)) };
            (delay.unwrap_or(state.there), state.back)
        };
        if there > Duration::ZERO {
            tokio::time::sleep(there).await;
        }
        let answer = match self.mood_of(self.part(ask)) {
            Mood::Good => self.decide(ask),
            Mood::Fails(failure) => return Err(Trouble(failure)),
            Mood::Hangs => {
                self.decide(ask);
                std::future::pending().await
            }
            Mood::Panics => unreachable!("a slip of the store's"),
        };
        if back > Duration::ZERO {
            tokio::time::sleep(back).await;
        }
        Ok(answer)
    }

    fn failure(error: &Trouble) -> StoreFailure {
        error.0
    }

    fn part(&self, ask: &Ask<'_>) -> u8 {
        let [item, ..] = ask.items() else { return 0 };
        item.key().id().as_bytes()[0] % self.state().parts
    }

    fn epoch(&self, _: u8) -> u64 {
        self.state().epoch
    }

    fn probe(&self, part: u8) -> impl Future<Output = Result<(), Trouble>> + Send {
        self.state().probes += 1;
        let mood = self.mood_of(part);
        async move {
            match mood {
                Mood::Good => Ok(()),
                Mood::Fails(failure) => Err(Trouble(failure)),
                Mood::Hangs => std::future::pending().await,
                Mood::Panics => unreachable!("a slip of the store's"),
            }
        }
    }

    fn gave_up(&self, part: u8) {
        self.state().given_up.push(part);
    }
}
