//! How an outage of a shared store begins and ends, and who tells.
//!
//! 1. One task per open part tries it until it answers; it ends with the limiter.
//! 2. One line and one event when an outage begins, one when it ends; never one per request.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::audit::{Event, EventName};
use crate::clock::Moment;
use crate::context::Realm;
use crate::limit::foreign;
use crate::limit::outage::NotReady;
use crate::limit::part::{Part, Sent};
use crate::limit::shared::SharedWindows;
use crate::rejection::StepName;
use crate::store::StoreFailure;

/// When something was told last that may happen with each request: its monotonic minute plus 1.
#[derive(Debug, Default)]
pub(super) struct Told {
    foreign_log: AtomicU64,
}

impl SharedWindows {
    /// Tells the breaker of a failed call, and everybody else what that changed.
    pub(super) fn failed(
        self: &Arc<Self>,
        number: u8,
        sent: &Sent,
        failure: StoreFailure,
        now: Moment,
        realm: &Arc<Realm>,
    ) {
        let part = self.part(number);
        if failure == StoreFailure::Log {
            let minute = now.monotonic_ms() / 60_000 + 1;
            if self.told.foreign_log.swap(minute, Ordering::Relaxed) != minute {
                tracing::error!(
                    reason = failure.as_str(),
                    "a key of the shared store holds something that is no log of windows; it is left as it is"
                );
            }
        }
        let changed = part.failed(sent, failure, now, self.chance.next());
        if changed.locked_out {
            tracing::error!(
                reason = failure.as_str(),
                "shared store of windows does not let us in; look at its credentials and rights"
            );
        }
        if changed.opened {
            self.show_breaker();
            tracing::warn!(
                reason = failure.as_str(),
                "shared store of windows is out; the outage rule decides"
            );
            tell(realm, EventName::LimitDegraded, Some(failure));
            let _panicked = foreign::told(|| self.store.gave_up(number));
            self.watch(number, realm);
        }
    }

    /// Sees to it that somebody tries an open part.
    pub(super) fn watch(self: &Arc<Self>, number: u8, realm: &Arc<Realm>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        self.part(number).watch(|| {
            let task = watch(Arc::downgrade(self), number, Arc::clone(realm));
            Some(runtime.spawn(task).abort_handle())
        });
    }

    /// Waits for the first good probe of the first part.
    pub(super) async fn ready(&self) -> Result<(), NotReady> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(NotReady::new(StoreFailure::Other));
        }
        let mut last = StoreFailure::Timeout;
        let tries = async {
            loop {
                match foreign::probe(&*self.store, 0).await {
                    Ok(()) => return Ok(()),
                    Err(StoreFailure::Auth) => return Err(NotReady::new(StoreFailure::Auth)),
                    Err(failure) => last = failure,
                }
                tokio::time::sleep(BETWEEN_TRIES).await;
            }
        };
        let ended = tokio::time::timeout(READY_DEADLINE, tries).await;
        ended.unwrap_or_else(|_over| Err(NotReady::new(last)))
    }

    fn restored(&self, number: u8, realm: &Realm) {
        if self.part(number).close() {
            self.show_breaker();
            tracing::warn!("shared store of windows answers again");
            tell(realm, EventName::LimitRestored, None);
        }
    }

    fn show_breaker(&self) {
        self.meter.breaker(self.parts.iter().any(Part::is_open));
    }
}

const READY_DEADLINE: Duration = Duration::from_secs(2);
const BETWEEN_TRIES: Duration = Duration::from_millis(50);

/// Of the time around a probe's turn only the first part is drawn from: a store that is back is asked within the turn,
/// the probe's own time included.
const EARLY: u64 = 450;

/// Tries a part until it answers or the limiter is gone, which it does not keep alive.
async fn watch(limiter: Weak<SharedWindows>, number: u8, realm: Arc<Realm>) {
    loop {
        let pause = |limiter: Arc<SharedWindows>| {
            limiter.breaker.pause(limiter.chance.next() * EARLY / 1_000)
        };
        let Some(pause) = limiter.upgrade().map(pause) else { return };
        tokio::time::sleep(Duration::from_nanos(pause)).await;
        let Some(store) = limiter.upgrade().map(|limiter| Arc::clone(&limiter.store)) else {
            return;
        };
        if foreign::probe(&*store, number).await.is_ok() {
            if let Some(limiter) = limiter.upgrade() {
                limiter.restored(number, &realm);
            }
            return;
        }
    }
}

fn tell(realm: &Realm, name: EventName, failure: Option<StoreFailure>) {
    if realm.audit.wants(name) {
        let event = Event::new(name, realm.clock.now().wall());
        let reason = failure.map(StoreFailure::as_str);
        realm.audit.record(&Event { step: Some(StepName::Limit), reason, ..event });
    }
}
