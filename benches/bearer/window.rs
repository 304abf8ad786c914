//! The exact window by itself and in its store, beside the counter that a fixed window keeps for each key.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::Duration;

use criterion::Criterion;
use tower_bearer::limit::{Limit, Verdict, Window};
use tower_bearer::store::{Ask, AskItem, LogId, MemoryWindows, PolicyName, WindowKey};

use crate::beside::beside;
use crate::timing::round;
use crate::world::TOKEN;

const ONE: NonZeroU32 = NonZeroU32::MIN;

pub(crate) fn bench(c: &mut Criterion) {
    for (live, look, admit, deny) in [
        (5, "look_at_5", "admit_at_5", "deny_at_5"),
        (60, "look_at_60", "admit_at_60", "deny_at_60"),
        (512, "look_at_512", "admit_at_512", "deny_at_512"),
    ] {
        let (open, shut) = (minute(live + 1), minute(live));
        let (mut window, mut now) = (filled(live), u64::from(live - 1) * pace(live));
        let admits = |verdict| matches!(verdict, Verdict::Admit { remaining: 0, .. });
        assert!(admits(window.look(&open, ONE, now)) && !admits(window.look(&shut, ONE, now)));
        let used = Counter { since: 0, used: live };
        let base = |limit, at| move || round(|| used, |mut counter| counter.admit(limit, at));
        beside(c, ("window", look), ("counter", base(open, now)), || {
            round(|| (), |()| window.look(&open, ONE, now))
        });
        beside(c, ("window", deny), ("counter", base(shut, now)), || {
            round(|| (), |()| window.admit(&shut, ONE, now))
        });
        // one leaves, one comes: as many live after each
        let (mut counter, mut then) = (used, now);
        let mut count = |()| {
            then += pace(live);
            counter.admit(open, then)
        };
        let theirs = || round(|| (), &mut count);
        beside(c, ("window", admit), ("counter", theirs), || {
            round(
                || (),
                |()| {
                    now += pace(live);
                    window.admit(&open, ONE, now)
                },
            )
        });
    }
    store(c);
}

/// One decision of the store in memory, and of a map of counters behind one lock.
fn store(c: &mut Criterion) {
    let (windows, policy) = (MemoryWindows::new(), PolicyName::new("token").expect("a name"));
    let limit = Limit::new(NonZeroU32::new(4_096).expect("not zero"), Duration::from_millis(2));
    let limit = limit.expect("in range");
    let id = LogId::of_token(tower_bearer::token::Digest::of(TOKEN).as_bytes());
    let items = [AskItem::new(WindowKey::new(&policy, id, id), limit)];
    let mut now = 0;
    let mut decide = |_: ()| {
        now += 1; // so that two units live
        windows.decide(&Ask::new(ONE, now, &items).expect("one log")).is_ok_and(|a| a.is_admitted())
    };
    let counters = Mutex::new(HashMap::new());
    let mut then = 0;
    let mut count = |_: ()| {
        then += 1;
        let mut counters = counters.lock().expect("nobody panicked");
        let counter = counters.entry(*id.as_bytes()).or_insert(Counter { since: 0, used: 0 });
        counter.admit(limit, then)
    };
    assert!(decide(()) && count(()));
    let theirs = || round(|| (), &mut count);
    beside(c, ("window", "store"), ("map_of_counters", theirs), || round(|| (), &mut decide));
}

/// A fixed window: one count since a time. Lets through up to twice its limit around the turn.
#[derive(Clone, Copy)]
struct Counter {
    since: u64,
    used: u32,
}

impl Counter {
    fn admit(&mut self, limit: Limit, now: u64) -> bool {
        if now.saturating_sub(self.since) >= u64::from(limit.window_ms()) {
            *self = Self { since: now, used: 0 };
        }
        let fits = self.used < limit.count().get();
        self.used += u32::from(fits);
        fits
    }
}

fn minute(count: u32) -> Limit {
    Limit::per_minute(NonZeroU32::new(count).expect("not zero")).expect("in range")
}

/// Milliseconds from unit to unit, so that `live` of them are in a minute.
fn pace(live: u32) -> u64 {
    60_000 / u64::from(live)
}

/// So many units, each at its pace, from 0 on.
fn filled(live: u32) -> Window {
    let mut window = Window::new();
    for unit in 0..live {
        window.charge(&minute(live), ONE, u64::from(unit) * pace(live));
    }
    window
}
