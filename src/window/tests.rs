use super::vectors::{Call, backward, cost, forward, limit, rounded, rounded_backward};
use super::*;
use crate::fuzz::window::{Naive, small};
use proptest::prelude::*;

#[test]
fn tables() {
    let check = |empty: Window, row: &str, calls: Vec<Call>| {
        let mut window = empty;
        for call in calls {
            let looked = window.look(&call.limit, call.cost, call.now);
            let got = window.admit(&call.limit, call.cost, call.now);
            assert_eq!(looked, got, "{row}: look foretells admit");
            call.check(row, got);
        }
    };
    for (row, calls) in forward().into_iter().chain(backward()) {
        check(Window::new(), row, calls);
    }
    for (row, calls) in rounded().into_iter().chain(rounded_backward()) {
        check(Window::rounded(), row, calls);
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
fn taking_back_of_a_rounded_log() {
    let limit = limit(1_000, 60_000);
    for (name, units, stamped, want) in [
        ("its pair", 200, 500, (700, Some(1_407))),
        ("from the newest", 300, 939, (600, Some(938))),
        ("some of a pair", 60, 939, (840, Some(1_407))),
        ("at its stamp", 400, 469, (500, Some(1_407))),
        ("no more than the pair has", 999, 1, (500, Some(1_407))),
        ("a time to come", 1, 1_408, (900, Some(1_407))),
    ] {
        let mut window = Window::rounded();
        for (units, now) in [(400, 1), (200, 500), (300, 939)] {
            window.charge(&limit, cost(units), now);
        }
        window.take_back(cost(units), stamped);
        assert_eq!((window.live(60_000, 1_000), window.newest()), want, "L606 {name}");
    }
    let mut window = Window::rounded();
    window.charge(&limit, cost(5), 10);
    window.take_back(cost(5), 10);
    assert_eq!((window.newest(), window.pairs()), (None, 0), "L606 all of it");
    assert!(window.is_empty_at(&limit, 10), "L606 equals an absent one");
}

#[test]
fn a_rounded_log_has_at_most_129_pairs() {
    let limit = limit(10_000, 60_000);
    let (mut window, mut most) = (Window::rounded(), 0);
    for now in (0..120_000).step_by(6) {
        let _ = window.admit(&limit, cost(1), now);
        most = most.max(window.pairs());
        assert!(most <= 129, "L247 at {now}");
    }
    assert_eq!((most, window.live(60_000, 119_999)), (129, 9_994), "L247");
    assert!(window.heap_bytes() <= 1_120, "L247 {}", window.heap_bytes());
    window.charge(&limit, cost(1), 200_000);
    assert!(window.heap_bytes() < 100, "L405 {}", window.heap_bytes());
}

#[test]
fn extremes_of_rounded_logs_do_not_overflow() {
    let (limit, most) = (limit(u32::MAX, 2_073_600_000), u32::MAX);
    let mut window = Window::rounded();
    for (name, now, units, want) in [
        ("L214 all at 0", 0, most, Verdict::Admit { remaining: 0, reset_ms: 2_073_600_000 }),
        ("L214 full", 1, most, Verdict::Deny { remaining: 0, retry_after_ms: 2_073_599_999 }),
        (
            "L201 free",
            2_073_600_000,
            1,
            Verdict::Admit { remaining: most - 1, reset_ms: 2_073_600_000 },
        ),
        (
            "L205 all but one",
            2_073_600_000,
            most,
            Verdict::Deny { remaining: most - 1, retry_after_ms: 2_073_600_000 },
        ),
        // the last multiple of the quantum lies behind it: the end of time is a stamp of its own
        ("L214 late", u64::MAX, most, Verdict::Admit { remaining: 0, reset_ms: 2_073_600_000 }),
        ("L225 back", 0, 1, Verdict::Deny { remaining: 0, retry_after_ms: 2_073_600_000 }),
    ] {
        assert_eq!(window.admit(&limit, cost(units), now), want, "{name}");
    }
    for _ in 0..3 {
        window.charge(&limit, cost(most), 0);
    }
    assert_eq!(window.live(2_073_600_000, 0), most, "L214 units of one stamp do not overflow");
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

    /// L249 in both forms, with limits that change, costs, and a clock that steps back.
    #[test]
    fn equals_a_naive_log(
        start in start(),
        calls in prop::collection::vec((-30..40_i64, 1..6_u32, 0..4_usize, any::<bool>()), 1..120),
        limits in prop::array::uniform4((1..9_u32, 1..60_u64)),
        is_rounded in any::<bool>(),
    ) {
        // quanta of up to 24 ms
        let (mut window, mut naive, scale) = if is_rounded {
            (Window::rounded(), Naive::rounded(), 51)
        } else {
            (Window::new(), Naive::default(), 1)
        };
        let limits = limits.map(|(count, window)| limit(count, window * scale));
        let mut now = start;
        for (step, units, which, back) in calls {
            let step = if back { step } else { step.abs() };
            now = now.saturating_add_signed(step * i64::from(small(scale)));
            let limit = &limits[which];
            let got = window.admit(limit, cost(units), now);
            prop_assert_eq!(got, naive.admit(limit, units, now), "L249 at {}", now);
            prop_assert_eq!(got == Verdict::Never, units > limit.count().get(), "L209");
            if let Verdict::Deny { retry_after_ms, .. } = got {
                let longest = limit.window_ms() + if is_rounded { limit.quantum_ms() - 1 } else { 0 };
                prop_assert!((1..=longest).contains(&retry_after_ms), "L206");
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

    /// L212 as it is promised, while the count changes: at most L in any window, and no denial while there is room. What
    /// a rounded log denies has room at most a quantum less 1 ms later.
    #[test]
    fn never_more_than_the_limit(
        start in start(),
        calls in prop::collection::vec((0..4_000_u64, 1..9_u32, 0..3_usize), 1..300),
        counts in prop::array::uniform3(1..64_u32),
        length in 1..60_000_u64,
    ) {
        let limits = counts.map(|count| limit(count, length));
        let late = u64::from(limits[0].quantum_ms()) - 1;
        for (mut window, late) in [(Window::new(), 0), (Window::rounded(), late)] {
            let (mut arrivals, mut now) = (Vec::<u64>::new(), start);
            for (step, units, which) in &calls {
                now += step;
                let (limit, count) = (&limits[*which], counts[*which]);
                let live = |length| small(arrivals.iter().filter(|at| now - **at < length).count() as u64);
                let (live, or_late) = (live(length), live(length + late));
                match window.admit(limit, cost(*units), now) {
                    Verdict::Admit { .. } => {
                        prop_assert!(live + units <= count, "L212");
                        arrivals.extend((0..*units).map(|_| now));
                    }
                    Verdict::Deny { .. } | Verdict::Never => prop_assert!(or_late + units > count, "L223"),
                }
            }
        }
    }

    /// L212 where threads arrive out of order, while the count changes and the window grows shorter; and every wait is
    /// true.
    #[test]
    fn onward_never_more_than_the_limit(
        start in start(),
        calls in prop::collection::vec((-300..2_000_i64, 1..5_u32, 1..16_u32), 1..200),
        mut lengths in prop::array::uniform3(1..9_000_u64),
        is_rounded in any::<bool>(),
    ) {
        lengths.sort_unstable_by(|one, other| other.cmp(one));
        let mut window = if is_rounded { Window::rounded() } else { Window::new() };
        let (mut arrivals, mut now) = (Vec::<u64>::new(), start);
        for (i, (step, units, count)) in calls.iter().enumerate() {
            now = now.saturating_add_signed(*step);
            let (limit, units) = (&limit(*count, lengths[i * 3 / calls.len()]), cost(*units));
            let looked = window.look_onward(limit, units, now);
            let (got, at) = window.admit_onward(limit, units, now);
            prop_assert_eq!(looked, (got, at), "look foretells admit");
            match got {
                Verdict::Admit { .. } => {
                    prop_assert!(arrivals.last().is_none_or(|last| *last <= at && now <= at), "L412");
                    arrivals.extend((0..units.get()).map(|_| at));
                    let length = u64::from(limit.window_ms());
                    let live = arrivals.iter().filter(|arrival| at - **arrival < length).count();
                    prop_assert!(live <= limit.count().get() as usize, "L212");
                }
                Verdict::Deny { retry_after_ms, .. } => {
                    let end = at + u64::from(retry_after_ms);
                    let (early, _) = window.look_onward(limit, units, end - 1);
                    prop_assert!(matches!(early, Verdict::Deny { .. }), "L249 D at t + d - 1");
                    let (there, _) = window.look_onward(limit, units, end);
                    prop_assert!(matches!(there, Verdict::Admit { .. }), "L249 A at t + d");
                }
                Verdict::Never => prop_assert!(units > limit.count(), "L209"),
            }
        }
    }

    /// A charge that is taken back at once leaves the units as they were.
    #[test]
    fn taken_back_is_as_never_charged(
        calls in prop::collection::vec((0..700_u64, 1..5_u32), 1..60),
        (units, step) in (1..9_u32, 0..700_u64),
        is_rounded in any::<bool>(),
    ) {
        let limit = limit(1_000, 9_000);
        let (mut window, mut now) =
            (if is_rounded { Window::rounded() } else { Window::new() }, 10_000);
        for (step, units) in calls {
            now += step;
            let _ = window.admit_onward(&limit, cost(units), now);
        }
        now += step;
        let before = window.clone();
        let (_, charged_at) = window.admit_onward(&limit, cost(units), now);
        window.take_back(cost(units), charged_at);
        for later in (now..now + 10_000).step_by(7) {
            prop_assert_eq!(window.live(9_000, later), before.live(9_000, later), "L606");
        }
    }
}
