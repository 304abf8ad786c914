//! XT3.10: a byte each for limit, window and start, then pairs of a step in time and a cost.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::window::{Limit, Verdict, Window};

/// In both forms verdict for verdict that of the naive log; never more than the limit in any window; nothing overflows.
pub(super) fn holds(bytes: &[u8]) {
    let [count, length, start, calls @ ..] = bytes else { return };
    let Some(count) = NonZeroU32::new(u32::from(*count)) else { return };
    let length = u64::from(*length) + 1;
    // a window of one byte is too short for quanta above 2 ms
    for (window, naive, length) in [
        (Window::new(), Naive::default(), length),
        (Window::rounded(), Naive::rounded(), length * 37),
    ] {
        let Ok(limit) = Limit::new(count, Duration::from_millis(length)) else { return };
        equals(window.clone(), naive, &limit, *start, calls);
        survives(window, &limit, calls);
    }
}

fn equals(mut window: Window, mut naive: Naive, limit: &Limit, start: u8, calls: &[u8]) {
    let (count, length) = (limit.count().get(), u64::from(limit.window_ms()));
    let starts = [10_000, (1 << 32) - 40, 7 << 32, (1 << 40) + 3, u64::MAX - 40_000];
    let Some(mut now) = starts.get(usize::from(start & 0x7F) % starts.len()).copied() else {
        return;
    };
    let may_go_back = start & 0x80 != 0;
    let mut arrivals = Vec::new();
    for call in calls.chunks_exact(2).take(64) {
        let [step, units] = call else { return };
        let step = i64::from(step.cast_signed());
        now = now.saturating_add_signed(if may_go_back { step } else { step.abs() });
        let Some(cost) = NonZeroU32::new(u32::from(units % 16)) else { continue };
        let got = window.admit(limit, cost, now);
        assert_eq!(got, naive.admit(limit, cost.get(), now), "at {now} cost {cost}");
        if !may_go_back {
            if let Verdict::Admit { .. } = got {
                arrivals.push((now, cost.get()));
            }
            let live = arrivals.iter().filter(|(at, _)| now - at < length);
            let live: u32 = live.map(|(_, units)| units).sum();
            assert!(live <= count, "{live} of {count} in one window at {now}");
        }
    }
}

/// No overflow at either end of the number line.
fn survives(mut window: Window, limit: &Limit, calls: &[u8]) {
    for call in calls.chunks_exact(9).take(64) {
        let [cost, time @ ..] = call else { return };
        let now = time.iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte));
        let Some(cost) = NonZeroU32::new(u32::from(*cost)) else { continue };
        if let Verdict::Deny { retry_after_ms, .. } = window.admit(limit, cost, now) {
            assert!((1..=limit.window_ms() + limit.window_ms() / 128).contains(&retry_after_ms));
        }
        window.take_back(cost, now);
    }
}

/// The rules of a log word by word: every stamp kept, every wait found by trying whenever a stamp leaves.
#[derive(Default)]
pub(crate) struct Naive {
    pub(crate) stamps: Vec<u64>,
    is_rounded: bool,
}

impl Naive {
    pub(crate) fn rounded() -> Self {
        Self { is_rounded: true, ..Self::default() }
    }

    pub(crate) fn live(&self, window: u64, now: u64) -> u64 {
        self.stamps.iter().filter(|stamp| counts(**stamp, window, now)).count() as u64
    }

    /// What a unit gets at `now`: the first time from there on that the least of all fine enough quanta divides.
    fn stamp(&self, window: u64, now: u64) -> u64 {
        let fine_enough = |quantum: &u64| quantum * 128 >= window;
        let quantum = if self.is_rounded { (1..).find(fine_enough) } else { Some(1) };
        let divides = |at: &u64| quantum.is_some_and(|quantum| at.is_multiple_of(quantum));
        (now..).find(divides).expect("a multiple lies ahead")
    }

    /// The waits at which something leaves the window, shortest first: only then can a verdict change.
    fn leaving(&self, window: u64, now: u64) -> impl Iterator<Item = u64> + use<> {
        let left = |stamp: &u64| (stamp + window).checked_sub(now).filter(|wait| *wait > 0);
        let waits: BTreeSet<u64> = self.stamps.iter().filter_map(left).collect();
        waits.into_iter()
    }

    pub(crate) fn admit(&mut self, limit: &Limit, units: u32, now: u64) -> Verdict {
        let (count, window) = (u64::from(limit.count().get()), u64::from(limit.window_ms()));
        if u64::from(units) > count {
            return Verdict::Never;
        }
        let stamp = self.stamp(window, now);
        let over = self.stamps.iter().max().map_or(0, |newest| newest.saturating_sub(stamp));
        let moved: Vec<u64> = self.stamps.iter().map(|stamp| stamp - over).collect();
        let before = std::mem::replace(&mut self.stamps, moved);
        let fits = |this: &Self, at| this.live(window, at) + u64::from(units) <= count;
        if !fits(self, now) {
            let remaining = count.saturating_sub(self.live(window, now));
            let wait = self.leaving(window, now).find(|wait| fits(self, now + wait));
            let wait = wait.expect("an empty window fits");
            assert!(!fits(self, now + wait - 1), "nothing leaves between two of these waits");
            if over == 0 {
                self.stamps = before;
            } else {
                self.stamps.retain(|stamp| counts(*stamp, window, now));
            }
            return Verdict::Deny { remaining: small(remaining), retry_after_ms: small(wait) };
        }
        self.stamps.retain(|stamp| counts(*stamp, window, now));
        self.stamps.extend((0..units).map(|_| stamp));
        let oldest = self.stamps.iter().min().copied().unwrap_or(stamp);
        Verdict::Admit {
            remaining: small(count - self.stamps.len() as u64),
            reset_ms: small(oldest + window - now),
        }
    }
}

/// A stamp that lies ahead counts at once.
fn counts(stamp: u64, window: u64, now: u64) -> bool {
    stamp > now || now - stamp < window
}

pub(crate) fn small(value: u64) -> u32 {
    value.try_into().expect("counts and waits are below 2^32")
}
