//! What other processes say, and what this one does about it.
//!
//! 1. A notice heard is applied here and told to nobody: stores inside the process first, then the caches.
//! 2. Joining the bus again, a gap and whatever cannot be read drop everything cached. Revoked tokens stay refused.
//! 3. A stay that ends is followed by another, after 20 ms, doubled up to 1 s while none begins.
//! 4. The task holds no authenticator, and ends when the last one is gone.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::authenticator::elsewhere::AbortOnDrop;
use crate::authenticator::erased::Bus;
use crate::authenticator::{Authenticator, Shared};
use crate::cache::Change;
use crate::chance::Chance;
use crate::metrics::{Flush, OnBus, Origin, bus_lag, flushed, revoked};
use crate::rejection::Reason;
use crate::store::{Heard, Notice};

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// An own notice that comes round later than this says nothing about the bus.
const LONGEST_LAG: Duration = Duration::from_secs(60);

/// Stays on the bus, again and again.
pub(super) async fn listen(bus: Arc<dyn Bus>, shared: Weak<Shared>) {
    let chance = Chance::default();
    let (mut pause, mut again) = (FIRST_PAUSE, false);
    let has_joined = Arc::new(AtomicBool::new(false));
    let mut is_out = false;
    OnBus::expected();
    while shared.strong_count() > 0 {
        let stay = Stay { shared: Weak::clone(&shared), again, on_bus: None };
        has_joined.store(false, Ordering::Release);
        let (bus, joined) = (Arc::clone(&bus), Arc::clone(&has_joined));
        // in a task of its own, so that a panic in an adapter's code is a stay that ended
        let mut task = AbortOnDrop::spawn(stay.run(bus, joined));
        let _why = task.joined().await;
        if has_joined.load(Ordering::Acquire) {
            (pause, is_out) = (FIRST_PAUSE, false);
        }
        if !std::mem::replace(&mut is_out, true) {
            tracing::warn!(
                "revocation bus is lost; what others revoke counts when cached facts end"
            );
        }
        again = true;
        let share = u32::try_from(chance.next() / 2).unwrap_or_default();
        tokio::time::sleep(pause - pause * share / 1_000).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// One stay on the bus.
struct Stay {
    shared: Weak<Shared>,
    /// There was one before, so something may have been missed.
    again: bool,
    on_bus: Option<OnBus>,
}

impl Stay {
    async fn run(mut self, bus: Arc<dyn Bus>, has_joined: Arc<AtomicBool>) {
        let mut hear = |heard: Heard| {
            let Some(shared) = self.shared.upgrade() else { return };
            let auth = Authenticator { shared };
            match heard {
                Heard::Joined => {
                    has_joined.store(true, Ordering::Release);
                    self.on_bus = Some(OnBus::joined());
                    auth.joined_bus(self.again);
                    self.again = true;
                }
                Heard::Notice { notice, age } => auth.heard(&notice, age),
                Heard::Gap => auth.missed_notices(),
            }
        };
        // the store's words are nobody's: decisions.md 31
        let _why = bus.attend(&mut hear).await;
    }
}

impl Authenticator {
    fn joined_bus(&self, again: bool) {
        if let Some(elsewhere) = &self.shared.elsewhere {
            elsewhere.lines().forget_own();
        }
        if again {
            tracing::warn!("revocation bus is joined again; everything cached is dropped");
            self.missed_notices();
        } else {
            // what was cached before may have changed; what the shared cache holds was buried there
            self.drop_from_caches(&Change::All);
        }
    }

    fn missed_notices(&self) {
        flushed(Flush::BusReconnect);
        self.forget_here(&Change::All);
    }

    fn heard(&self, notice: &Notice, age: Option<Duration>) {
        let now = self.read_clock();
        let own = self.shared.elsewhere.as_ref().and_then(|to| to.lines().own(notice));
        let round = own.map(|at| Duration::from_nanos(now.monotonic_nanos().saturating_sub(at)));
        if let Some(lag) = age.or_else(|| round.filter(|lag| *lag < LONGEST_LAG)) {
            bus_lag(lag);
        }
        // first the rows, then what is known of them
        for store in &self.shared.tells {
            store.hear(notice);
        }
        match notice {
            Notice::Token(digest) => {
                if own.is_none() {
                    revoked(1, Origin::Bus);
                }
                self.shared.tokens.bury(digest, Reason::Revoked, now);
            }
            Notice::Subject(key) => self.forget_here(&Change::Subject(key.clone())),
            Notice::Workspace { id, floor: _ } => self.forget_here(&Change::Workspace(id.clone())),
            Notice::Member { workspace, account } => {
                self.forget_here(&Change::Member(workspace.clone(), account.clone()));
            }
            Notice::Account(id) => self.forget_here(&Change::Account(id.clone())),
            Notice::App(id) => self.forget_here(&Change::App(id.clone())),
            Notice::All => self.forget_all_here(),
        }
    }
}
