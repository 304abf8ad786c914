//! How other processes are told what ended here.
//!
//! 1. First a tombstone in the shared cache, then the bus; 25 ms for both, for all notices of one call.
//! 2. What was not told by then is late: the call has succeeded all the same, the audit hears of it, and it is told again
//!    after 100 ms, 200 ms, 400 ms … up to every 30 s, until it is.
//! 3. At most 1,024 notices are on their way in the background; one more becomes a notice of everything.
//! 4. Everything that runs ends with the authenticator.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use crate::audit::{Audit, Event, EventName};
use crate::authenticator::erased::Bus;
use crate::authenticator::second_tier::SecondTier;
use crate::clock::Clock;
use crate::store::Notice;

/// Whether other processes were told of a revocation before it returned.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum BusState {
    /// There is neither a bus nor a shared cache: they notice when their cached facts end.
    NoBus,
    /// They were told.
    Told,
    /// Not within 25 ms. It is repeated until it succeeds; until then they notice when their cached facts end.
    Late,
}

/// All that leads out of this process.
pub(super) struct Elsewhere {
    lines: Arc<Lines>,
    runtime: Handle,
    /// Work in the background, ended with the authenticator.
    tasks: Mutex<JoinSet<()>>,
    outbox: Arc<Semaphore>,
    /// Notices that one of everything stands for, as it waits to be told.
    overflown: Arc<AtomicU64>,
}

/// What the tasks share; none of them holds the authenticator.
pub(super) struct Lines {
    pub(super) bus: Option<Arc<dyn Bus>>,
    pub(super) tier: Option<Arc<SecondTier>>,
    pub(super) audit: Audit,
    pub(super) clock: Arc<dyn Clock>,
    /// What was published here and has not come round yet, with its monotonic nanosecond.
    own: Mutex<VecDeque<(Notice, u64)>>,
}

/// For the tombstone and the bus together.
const DEADLINE: Duration = Duration::from_millis(25);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Notices on their way in the background.
const OUTBOX: usize = 1_024;
/// Own notices that may come round; older ones are not waited for.
const OWN: usize = 64;

impl Elsewhere {
    pub(super) fn new(lines: Lines, runtime: Handle) -> Self {
        Self {
            lines: Arc::new(lines),
            runtime,
            tasks: Mutex::new(JoinSet::new()),
            outbox: Arc::new(Semaphore::new(OUTBOX)),
            overflown: Arc::default(),
        }
    }

    pub(super) fn lines(&self) -> &Arc<Lines> {
        &self.lines
    }

    /// Runs `work` until it ends or the authenticator does.
    pub(super) fn run(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn_on(work, &self.runtime);
    }

    /// Tells of a change that nobody waits for.
    pub(super) fn announce(&self, notice: Notice) {
        self.in_background(notice, false);
    }

    /// Tells all of these now; what is late is told again in the background.
    pub(super) async fn tell(&self, notices: Vec<Notice>) -> BusState {
        let mut sends = JoinSet::new();
        let mut untold: Vec<Option<Notice>> = Vec::with_capacity(notices.len());
        for (at, notice) in notices.into_iter().enumerate() {
            let lines = Arc::clone(&self.lines);
            untold.push(Some(notice.clone()));
            sends.spawn(async move { (at, lines.send(&notice).await) });
        }
        let all = async {
            while let Some(sent) = sends.join_next().await {
                if let Ok((at, true)) = sent
                    && let Some(place) = untold.get_mut(at)
                {
                    *place = None;
                }
            }
        };
        // what was told by then is told
        let _over = tokio::time::timeout(DEADLINE, all).await;
        let late: Vec<Notice> = untold.into_iter().flatten().collect();
        if late.is_empty() {
            return BusState::Told;
        }
        let mut kinds = Vec::new();
        for notice in late {
            if !kinds.contains(&notice.kind()) {
                kinds.push(notice.kind());
                self.lines.tell_late(&notice);
            }
            self.in_background(notice, true);
        }
        BusState::Late
    }

    fn in_background(&self, notice: Notice, is_late: bool) {
        let lines = Arc::clone(&self.lines);
        if let Ok(place) = Arc::clone(&self.outbox).try_acquire_owned() {
            self.run(async move {
                lines.tell_until_told(&notice, is_late).await;
                drop(place);
            });
        } else if self.overflown.fetch_add(1, Ordering::AcqRel) == 0 {
            let overflown = Arc::clone(&self.overflown);
            self.run(async move {
                // what overflows while everything is being told is told after it
                let mut stands_for = overflown.load(Ordering::Acquire);
                loop {
                    lines.tell_until_told(&Notice::All, is_late).await;
                    let order = (Ordering::AcqRel, Ordering::Acquire);
                    match overflown.compare_exchange(stands_for, 0, order.0, order.1) {
                        Ok(_) => return,
                        Err(more) => stands_for = more,
                    }
                }
            });
        }
    }
}

impl Lines {
    pub(super) fn new(
        bus: Option<Arc<dyn Bus>>,
        tier: Option<Arc<SecondTier>>,
        audit: Audit,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { bus, tier, audit, clock, own: Mutex::default() }
    }

    /// When this process published an equal notice that has not come round yet, in monotonic nanoseconds.
    pub(super) fn own(&self, notice: &Notice) -> Option<u64> {
        let mut own = lock(&self.own);
        let at = own.iter().position(|(mine, _)| mine == notice)?;
        own.remove(at).map(|(_, published)| published)
    }

    /// Nothing that was published before comes round any more.
    pub(super) fn forget_own(&self) {
        lock(&self.own).clear();
    }

    /// Tells until it is told: at once unless that was tried, then after ever longer pauses.
    async fn tell_until_told(self: &Arc<Self>, notice: &Notice, is_late: bool) {
        if !is_late {
            if self.attempt(notice).await {
                return;
            }
            self.tell_late(notice);
        }
        let mut pause = FIRST_PAUSE;
        loop {
            tokio::time::sleep(pause).await;
            if self.attempt(notice).await {
                return;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One attempt under its own deadline, in a task of its own: a panic in an adapter is an attempt that failed.
    async fn attempt(self: &Arc<Self>, notice: &Notice) -> bool {
        let (lines, notice) = (Arc::clone(self), notice.clone());
        let mut task = AbortOnDrop::spawn(async move { lines.send(&notice).await });
        matches!(tokio::time::timeout(DEADLINE, task.joined()).await, Ok(Some(true)))
    }

    /// Tombstone, then bus; `true` once both have it. A tier that hangs leaves the bus half the time.
    async fn send(&self, notice: &Notice) -> bool {
        let is_buried = match (&self.tier, notice) {
            (Some(tier), Notice::Token(digest)) => {
                let buried = tokio::time::timeout(DEADLINE / 2, tier.bury(digest)).await;
                matches!(buried, Ok(Ok(())))
            }
            _ => true,
        };
        self.publish(notice).await && is_buried
    }

    async fn publish(&self, notice: &Notice) -> bool {
        let Some(bus) = &self.bus else { return true };
        {
            let mut own = lock(&self.own);
            if own.len() >= OWN {
                own.pop_front();
            }
            own.push_back((notice.clone(), self.clock.now().monotonic_nanos()));
        }
        bus.publish(notice).await.is_ok()
    }

    fn tell_late(&self, notice: &Notice) {
        let event = Event::new(EventName::RevocationBusLate, self.clock.now().wall());
        self.audit.record(&Event { reason: Some(notice.kind()), ..event });
    }
}

/// A task that ends when nobody waits for it any more.
pub(super) struct AbortOnDrop<T>(JoinHandle<T>);

impl<T: Send + 'static> AbortOnDrop<T> {
    pub(super) fn spawn(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }

    /// What it came to; `None` if it panicked.
    pub(super) async fn joined(&mut self) -> Option<T> {
        (&mut self.0).await.ok()
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl fmt::Debug for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Elsewhere")
            .field("bus", &self.lines.bus.is_some())
            .field("shared_cache", &self.lines.tier.is_some())
            .finish_non_exhaustive()
    }
}

/// Enters a lock even if a panic went through it: what it guards is whole between statements.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
