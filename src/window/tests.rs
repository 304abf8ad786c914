use super::vectors::{backward, cost, forward, limit};
use super::*;
use crate::fuzz::window::{Naive, small};
use proptest::prelude::*;

#[test]
fn tables() {
    for (row, calls) in forward().into_iter().chain(backward()) {
        let mut window = Window::new();
        for call in calls {
            let looked = window.look(&call.limit, call.cost, call.now);
            let got = window.admit(&call.limit, call.cost, call.now);
            assert_eq!(looked, got, "{row}: look foretells admit");
            call.check(row, got);
        }
    }
}

#[test]
fn emptied_logs_equal_absent_ones() {
    let limit = limit(3, 1_000);
    let mut window = Window::new();
    assert!(window.is_empty_at(&limit, 0), "never used");
    window.charge(&limit, cost(2), 50);
    for (name, now, want) in [
        ("L201 its last millisecond", 1_049, false),
        ("L201 free at the edge", 1_050, true),
        ("L404 4 ms after one turn of 32 bits", 50 + (1 << 32) + 4, true),
        ("L225 a clock that went back", 0, false),
        ("L214 the end of time", u64::MAX, true),
    ] {
        assert_eq!(window.is_empty_at(&limit, now), want, "{name}");
    }
    let turned = 50 + (1 << 32) + 4;
    let want = Verdict::Admit { remaining: 2, reset_ms: 1_000 };
    assert_eq!(window.admit(&limit, cost(1), turned), want, "L404 nothing revives");
    assert_eq!(window.live(1_000, turned), 1, "L404");
}

#[test]
fn extremes_do_not_overflow() {
    let limit = limit(4_096, 2_073_600_000);
    let mut window = Window::new();
    for (name, now, units, want) in [
        ("L214 all at 0", 0, 4_096, Verdict::Admit { remaining: 0, reset_ms: 2_073_600_000 }),
        ("L214 full", 2_073_599_999, 4_096, Verdict::Deny { remaining: 0, retry_after_ms: 1 }),
        ("L214 late", u64::MAX, 4_096, Verdict::Admit { remaining: 0, reset_ms: 2_073_600_000 }),
        ("L225 back", 0, 1, Verdict::Deny { remaining: 0, retry_after_ms: 2_073_600_000 }),
        ("L209 above", 0, u32::MAX, Verdict::Never),
    ] {
        assert_eq!(window.admit(&limit, cost(units), now), want, "{name}");
    }
}

#[test]
fn taking_back() {
    let limit = limit(10, 1_000);
    for (name, units, stamped, want) in [
        ("the newest", 2, 30, (4, Some(20))),
        ("from the middle", 2, 20, (4, Some(30))),
        ("no more than there are", 9, 10, (4, Some(30))),
        ("one of two", 1, 30, (5, Some(30))),
        ("a time without units", 1, 25, (6, Some(30))),
        ("a time to come", 1, 31, (6, Some(30))),
    ] {
        let mut window = Window::new();
        for now in [10, 20, 30] {
            window.charge(&limit, cost(2), now);
        }
        window.take_back(cost(units), stamped);
        assert_eq!((window.live(1_000, 30), window.newest()), want, "{name}");
    }
    let mut window = Window::new();
    window.charge(&limit, cost(5), 10);
    window.take_back(cost(5), 10);
    assert_eq!((window.newest(), window.heap_bytes()), (None, 0), "all of it");
}

#[test]
fn small_logs_stay_small() {
    assert_eq!(size_of::<Window>(), 32);
    assert_eq!(size_of::<Limit>(), 8);
}

fn start() -> impl Strategy<Value = u64> {
    prop_oneof![Just(10_000), Just((1 << 32) - 40), Just(7 << 32), Just((1 << 40) + 3)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    /// L249 with limits that change, costs, and a clock that steps back.
    #[test]
    fn equals_a_naive_log(
        start in start(),
        calls in prop::collection::vec((-30..40_i64, 1..6_u32, 0..4_usize, any::<bool>()), 1..120),
        limits in prop::array::uniform4((1..9_u32, 1..60_u64)),
    ) {
        let limits = limits.map(|(count, window)| limit(count, window));
        let (mut window, mut naive, mut now) = (Window::new(), Naive::default(), start);
        for (step, units, which, back) in calls {
            let step = if back { step } else { step.abs() };
            now = now.saturating_add_signed(step);
            let limit = &limits[which];
            let got = window.admit(limit, cost(units), now);
            prop_assert_eq!(got, naive.admit(limit, units, now), "L249 at {}", now);
            prop_assert_eq!(got == Verdict::Never, units > limit.count().get(), "L209");
            if let Verdict::Deny { retry_after_ms, .. } = got {
                prop_assert!((1..=limit.window_ms()).contains(&retry_after_ms), "L206");
                let end = now + u64::from(retry_after_ms);
                let early = window.look(limit, cost(units), end - 1);
                prop_assert!(matches!(early, Verdict::Deny { .. }), "L249 D at t + d - 1");
                let there = window.look(limit, cost(units), end);
                prop_assert!(matches!(there, Verdict::Admit { .. }), "L249 A at t + d");
            }
            let idle = naive.live(limit.window_ms().into(), now.max(*naive.stamps.iter().max().unwrap_or(&0)));
            prop_assert_eq!(window.is_empty_at(limit, now), idle == 0);
        }
    }

    /// L212 as it is promised: at most L in any window, and no denial while there is room.
    #[test]
    fn never_more_than_the_limit(
        start in start(),
        calls in prop::collection::vec((0..4_000_u64, 1..9_u32), 1..300),
        count in 1..64_u32,
        length in 1..60_000_u64,
    ) {
        let limit = limit(count, length);
        let (mut window, mut arrivals, mut now) = (Window::new(), Vec::<u64>::new(), start);
        for (step, units) in calls {
            now += step;
            let live = small(arrivals.iter().filter(|at| now - **at < length).count() as u64);
            match window.admit(&limit, cost(units), now) {
                Verdict::Admit { .. } => {
                    prop_assert!(live + units <= count);
                    arrivals.extend((0..units).map(|_| now));
                }
                Verdict::Deny { .. } | Verdict::Never => prop_assert!(live + units > count),
            }
        }
    }
}
