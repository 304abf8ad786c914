use super::*;
use crate::store::window::{AskError, Standing};
use crate::store::window_key::{LogId, PolicyName};
use crate::window::vectors::{cost, forward, limit, rounded};
use crate::window::{Limit, Window};
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};

fn policy(name: &str) -> PolicyName {
    PolicyName::new(name).unwrap()
}

fn id(number: u64) -> LogId {
    LogId::of_app(&number.to_string())
}

/// One key per policy, each with its limit; the log of the policy `rounded` is.
fn ask(
    windows: &MemoryWindows,
    now: u64,
    units: u32,
    keys: &[(&PolicyName, LogId, Limit)],
) -> Result<Answer, WindowsFull> {
    let items: Vec<AskItem<'_>> = keys
        .iter()
        .map(|(policy, id, limit)| {
            let item = AskItem::new(WindowKey::new(policy, *id, *id), *limit);
            if policy.as_str() == "rounded" { item.rounded() } else { item }
        })
        .collect();
    let ask = Ask::new(cost(units), now, &items).unwrap();
    let answer = windows.decide(&ask)?;
    assert!(answer.fits(&ask), "{answer:?}");
    Ok(answer)
}

fn verdict(answer: &Answer) -> Verdict {
    match answer.standings() {
        [Standing::Room { remaining, reset_ms }] => {
            Verdict::Admit { remaining: *remaining, reset_ms: *reset_ms }
        }
        [Standing::Full { remaining, retry_after_ms }] => {
            Verdict::Deny { remaining: *remaining, retry_after_ms: *retry_after_ms }
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn tables() {
    let token = policy("token");
    let exact = forward().into_iter().map(|(row, calls)| (row, calls, false));
    let rounded = rounded().into_iter().map(|(row, calls)| (row, calls, true));
    for (row, calls, is_rounded) in exact.chain(rounded) {
        let windows = MemoryWindows::new();
        for call in calls {
            let item = AskItem::new(WindowKey::new(&token, id(1), id(1)), call.limit);
            let items = [if is_rounded { item.rounded() } else { item }];
            let got = match Ask::new(call.cost, call.now, &items) {
                Ok(ask) => verdict(&windows.decide(&ask).unwrap()),
                Err(AskError::CostOverLimit) => Verdict::Never,
                Err(other) => panic!("{other}"),
            };
            call.check(&format!("L421 {row}"), got);
        }
    }
}

#[test]
fn the_two_forms_of_a_key_are_two_logs() {
    let (windows, token) = (MemoryWindows::new(), policy("token"));
    let exact = AskItem::new(WindowKey::new(&token, id(1), id(1)), limit(2, 60_000));
    for (name, now, item, want) in [
        ("L228 exact", 1, exact, Verdict::Admit { remaining: 0, reset_ms: 60_000 }),
        ("L228 rounded", 1, exact.rounded(), Verdict::Admit { remaining: 0, reset_ms: 60_468 }),
        ("L228 exact again", 2, exact, Verdict::Deny { remaining: 0, retry_after_ms: 59_999 }),
        (
            "L228 rounded again",
            2,
            exact.rounded(),
            Verdict::Deny { remaining: 0, retry_after_ms: 60_467 },
        ),
    ] {
        let items = [item];
        let got = windows.decide(&Ask::new(cost(2), now, &items).unwrap()).unwrap();
        assert_eq!(verdict(&got), want, "{name}");
    }
    assert_eq!(windows.len(), 2, "L228");
}

/// A rounded stamp lies ahead of its time, so it is the last charge's time, not its stamp, that a late one is raised to.
#[test]
fn late_clock_reads_of_rounded_logs() {
    let (windows, token) = (MemoryWindows::new(), policy("token"));
    let item = AskItem::new(WindowKey::new(&token, id(1), id(1)), limit(2, 60_000)).rounded();
    for (name, now, want) in [
        ("L412 first", 475, Verdict::Admit { remaining: 1, reset_ms: 60_463 }),
        ("L412 late", 460, Verdict::Admit { remaining: 0, reset_ms: 60_463 }),
        ("L412 late and full", 470, Verdict::Deny { remaining: 0, retry_after_ms: 60_463 }),
        ("L412 in time", 476, Verdict::Deny { remaining: 0, retry_after_ms: 60_462 }),
        ("L223 full", 60_937, Verdict::Deny { remaining: 0, retry_after_ms: 1 }),
        ("L223 free", 60_938, Verdict::Admit { remaining: 1, reset_ms: 60_032 }),
    ] {
        let items = [item];
        let got = windows.decide(&Ask::new(cost(1), now, &items).unwrap()).unwrap();
        assert_eq!(verdict(&got), want, "{name}");
    }
}

/// Two policies, one of each form, as the charges of another store are stamped into them.
#[test]
fn stamps_without_a_look() {
    let (windows, names) = (MemoryWindows::new(), [policy("token"), policy("app")]);
    let items = [
        AskItem::new(WindowKey::new(&names[0], id(1), id(1)), limit(3, 10_000)),
        AskItem::new(WindowKey::new(&names[1], id(2), id(2)), limit(1_000, 60_000)).rounded(),
    ];
    let live = |now| {
        items.map(|item| {
            let (number, spot) = windows.place(item.key());
            windows.enter(number).live(&spot, now)
        })
    };
    windows.stamp(&Ask::new(cost(2), 100, &items).unwrap());
    assert_eq!((windows.len(), live(100)), (2, [2, 2]), "L604 makes the logs");
    windows.stamp(&Ask::new(cost(3), 5_000, &items).unwrap());
    assert_eq!(live(5_000), [5, 5], "L206 above the limit");
    windows.stamp(&Ask::new(cost(1), 4_000, &items).unwrap());
    assert_eq!(live(14_999), [4, 6], "L412 a late one counts as the last");
    let answer = windows.decide(&Ask::new(cost(1), 5_000, &items).unwrap()).unwrap();
    let want = Answer::new([
        Standing::Full { remaining: 0, retry_after_ms: 10_000 },
        Standing::Room { remaining: 994, reset_ms: 55_469 },
    ]);
    assert_eq!(answer, want, "L206 waits for the units that matter");
    windows.sweep(70_000);
    assert!(windows.is_empty(), "L406");
}

#[test]
fn stamps_find_no_room_in_a_closed_map() {
    let windows = MemoryWindows::new().with_max_keys(1_024).unwrap().when_full(WhenFull::Closed);
    let token = policy("token");
    for number in 0..5_000 {
        let items =
            [AskItem::new(WindowKey::new(&token, id(number), id(number)), limit(3, 10_000))];
        windows.stamp(&Ask::new(cost(1), 0, &items).unwrap());
    }
    assert_eq!((windows.len(), windows.evicted()), (1_024, 0), "L410");
}

#[test]
fn takes_back_what_was_charged() {
    let (windows, names) = (MemoryWindows::new(), [policy("token"), policy("app")]);
    let items = [
        AskItem::new(WindowKey::new(&names[0], id(1), id(1)), limit(4, 10_000)),
        AskItem::new(WindowKey::new(&names[1], id(2), id(2)), limit(1_000, 60_000)).rounded(),
    ];
    let live = |now| {
        items.map(|item| {
            let (number, spot) = windows.place(item.key());
            windows.enter(number).live(&spot, now)
        })
    };
    let first = Ask::new(cost(1), 500, &items).unwrap();
    assert!(windows.decide(&first).unwrap().is_admitted());
    for (name, now, units, charged) in [
        ("L606 in time", 600, 2, true),
        ("L606, L412 late", 400, 3, true),
        ("L606 denied", 600, 4, false),
    ] {
        let ask = Ask::new(cost(units), now, &items).unwrap();
        let (answer, stamps) = windows.reserve(&ask).unwrap();
        assert_eq!(answer.is_admitted(), charged, "{name}");
        let with = if charged { 1 + units } else { 1 };
        assert_eq!(live(600), [with; 2], "{name}");
        windows.take_back(&ask, &stamps);
        assert_eq!(live(600), [1, 1], "{name}");
    }
    let one = [items[0]];
    let ask = Ask::new(cost(2), 300, &one).unwrap();
    let (_, stamps) = windows.reserve(&ask).unwrap();
    windows.take_back(&ask, &stamps);
    assert_eq!(live(10_499), [1, 1], "L606 one policy");
    assert_eq!(live(10_500), [0, 1], "L606 the other charge keeps its time");
    windows.sweep(70_000);
    windows.take_back(&ask, &stamps);
    assert!(windows.is_empty(), "L606 a log that is gone");
}

#[tokio::test]
async fn port() {
    let (token, windows) = (policy("token"), Arc::new(MemoryWindows::new()));
    let items = [AskItem::new(WindowKey::new(&token, id(1), id(1)), limit(1, 1_000))];
    for (name, now, want) in [
        ("L232 first", 0, Verdict::Admit { remaining: 0, reset_ms: 1_000 }),
        ("L232 second", 1, Verdict::Deny { remaining: 0, retry_after_ms: 999 }),
    ] {
        let answer = windows.admit(&Ask::new(cost(1), now, &items).unwrap()).await.unwrap();
        assert_eq!(verdict(&answer), want, "{name}");
    }
}

/// What a row of L251 to L253 wants: the wait, and per policy what is left, a full one written as `-1 - left`.
type Row = (u64, u32, u64, Option<u32>, [i64; 2]);

fn check_pair(
    row: &str,
    names: [&str; 2],
    limits: [Limit; 2],
    rows: &[Row],
    ids: fn(u64) -> [LogId; 2],
) {
    let (windows, names) = (MemoryWindows::new(), names.map(policy));
    for (now, units, who, wait, left) in rows {
        let [one, two] = ids(*who);
        let keys = [(&names[0], one, limits[0]), (&names[1], two, limits[1])];
        let answer = ask(&windows, *now, *units, &keys).unwrap();
        let got: Vec<i64> = answer
            .standings()
            .iter()
            .map(|standing| match standing {
                Standing::Room { remaining, .. } => i64::from(*remaining),
                Standing::Full { remaining, .. } => -1 - i64::from(*remaining),
            })
            .collect();
        assert_eq!(
            (answer.retry_after_ms(), got),
            (*wait, left.to_vec()),
            "{row} at {now} c{units}"
        );
    }
}

/// Each its own first key; both of them the same second one.
fn token_and_subject(token: u64) -> [LogId; 2] {
    [id(token), LogId::of_subject("account:acc-member")]
}

#[test]
fn several_policies() {
    const A: u64 = 1;
    const B: u64 = 2;
    check_pair(
        "L251",
        ["token", "subject"],
        [limit(3, 10_000), limit(4, 10_000)],
        &[
            (0, 1, A, None, [2, 3]),
            (0, 1, A, None, [1, 2]),
            (0, 1, A, None, [0, 1]),
            (1, 1, A, Some(9_999), [-1, 1]),
            (1, 1, B, None, [2, 0]),
            (2, 1, B, Some(9_998), [2, -1]),
            (10_000, 1, B, None, [1, 2]),
            (10_000, 1, A, None, [2, 1]),
            (10_000, 1, A, None, [1, 0]),
            (10_000, 1, A, Some(1), [1, -1]),
        ],
        token_and_subject,
    );
    let five =
        |now, left: [i64; 2]| (0..5).map(move |i| (now, 1, A, None, [left[0] - i, left[1] - i]));
    let rows: Vec<Row> = five(0, [4, 9])
        .chain([(0, 1, A, Some(1_000), [-1, 5])])
        .chain(five(1_000, [4, 4]))
        .chain([
            (1_000, 1, A, Some(59_000), [-1, -1]),
            (2_000, 1, A, Some(58_000), [5, -1]),
            (60_000, 1, A, None, [4, 4]),
        ])
        .collect();
    let limits = [limit(5, 1_000), limit(10, 60_000)];
    check_pair("L252", ["burst", "minute"], limits, &rows, |token| [id(token); 2]);
    check_pair(
        "L253",
        ["token", "subject"],
        [limit(10, 10_000), limit(6, 20_000)],
        &[
            (0, 4, A, None, [6, 2]),
            (1_000, 3, A, Some(19_000), [6, -3]),
            (1_000, 2, A, None, [4, 0]),
            (5_000, 1, A, Some(15_000), [4, -1]),
            (10_000, 5, A, Some(11_000), [8, -1]),
            (20_000, 5, A, Some(1_000), [10, -5]),
        ],
        token_and_subject,
    );
}

#[test]
fn what_is_told_of_logs_with_room() {
    let (windows, token, subject) = (MemoryWindows::new(), policy("token"), policy("subject"));
    let [full, fresh] = [(&token, id(1), limit(1, 10_000)), (&subject, id(2), limit(5, 60_000))];
    ask(&windows, 0, 1, &[full]).unwrap();
    let answer = ask(&windows, 1, 1, &[full, fresh]).unwrap();
    let want = Answer::new([
        Standing::Full { remaining: 0, retry_after_ms: 9_999 },
        Standing::Room { remaining: 5, reset_ms: 0 },
    ]);
    assert_eq!(answer, want, "L208 an empty log");
    assert_eq!(windows.len(), 1, "L203 a denial makes no key");
    ask(&windows, 1, 3, &[fresh]).unwrap();
    let answer = ask(&windows, 2, 1, &[full, fresh]).unwrap();
    let want = Answer::new([
        Standing::Full { remaining: 0, retry_after_ms: 9_998 },
        Standing::Room { remaining: 2, reset_ms: 59_999 },
    ]);
    assert_eq!(answer, want, "L351 a log with units");
}

#[test]
fn bounded() {
    let (windows, token) = (MemoryWindows::new(), policy("token"));
    let call = |windows: &MemoryWindows, number, now| {
        ask(windows, now, 1, &[(&token, id(number), limit(3, 60_000))])
            .map(|answer| answer.is_admitted())
    };
    let admitted =
        (0..200_000).filter(|number| call(&windows, *number, number / 10) == Ok(true)).count();
    let got = (admitted, windows.len(), windows.evicted());
    assert_eq!(got, (200_000, 65_536, 134_464), "L422");
    windows.sweep(20_000 + 60_000);
    let bytes: usize = (0..SHARDS).map(|number| windows.enter(number).heap_bytes()).sum();
    assert_eq!((windows.len(), bytes), (0, 0), "L423");

    let windows = MemoryWindows::new().with_max_keys(1_024).unwrap().when_full(WhenFull::Closed);
    let answers: Vec<_> = (0..5_000).map(|number| call(&windows, number, 0)).collect();
    let count = |want| answers.iter().filter(|answer| **answer == want).count();
    assert_eq!((count(Ok(true)), count(Err(WindowsFull))), (1_024, 3_976), "L424");
    assert_eq!(call(&windows, 0, 1), Ok(true), "L424 the first one again");
    assert_eq!(windows.evicted(), 0, "L410");
    assert_eq!(call(&windows, 4_999, 60_000), Ok(true), "L408 idle logs make room");
}

#[test]
fn a_full_shard_charges_nothing_of_a_decision() {
    let windows = MemoryWindows::new().with_max_keys(1_024).unwrap().when_full(WhenFull::Closed);
    let (token, subject) = (policy("token"), policy("subject"));
    let refused = (0..5_000).filter(|number| {
        let before = windows.len();
        let keys =
            [(&token, id(*number), limit(3, 60_000)), (&subject, id(*number), limit(3, 60_000))];
        let refused = ask(&windows, 0, 1, &keys).is_err();
        assert_eq!(windows.len(), before + if refused { 0 } else { 2 }, "L202, L410");
        refused
    });
    assert!(refused.count() >= 5_000 - 512);
    assert!(windows.len() <= 1_024);
}

#[test]
fn callers_at_their_limit_are_evicted_last() {
    let windows = MemoryWindows::new().with_max_keys(1_024).unwrap();
    let token = policy("token");
    let key = |number| [(&token, id(number), limit(3, 60_000))];
    for number in 0..200 {
        ask(&windows, 0, 3, &key(number)).unwrap();
    }
    let kept = windows.len() - usize::try_from(windows.evicted()).unwrap();
    for number in 1_000..20_000 {
        ask(&windows, 1, 1, &key(number)).unwrap();
    }
    let denied =
        (0..200).filter(|number| !ask(&windows, 2, 1, &key(*number)).unwrap().is_admitted());
    assert_eq!((kept, denied.count(), windows.len()), (200, 200, 1_024), "L409");
}

#[test]
fn settings() {
    for (name, max_keys, want) in [
        ("L906 the least", 1_024, true),
        ("L906 the most", 16_777_216, true),
        ("L906 too few", 1_023, false),
        ("L906 too many", 16_777_217, false),
    ] {
        let got = MemoryWindows::new().with_max_keys(max_keys).map(|windows| {
            let bounds = (0..SHARDS).map(|number| windows.room(number).bound);
            bounds.sum::<usize>()
        });
        let want =
            if want { Ok(max_keys) } else { Err(WindowsError::MaxKeysOutOfRange { max_keys }) };
        assert_eq!(got, want, "{name}");
    }
    let odd = MemoryWindows::new().with_max_keys(1_100).unwrap();
    assert_eq!((0..SHARDS).map(|number| odd.room(number).bound).sum::<usize>(), 1_100, "L406");
}

#[test]
fn late_clock_reads() {
    let (windows, token) = (MemoryWindows::new(), policy("token"));
    let call = |number, now, limit| {
        verdict(&ask(&windows, now, 1, &[(&token, id(number), limit)]).unwrap())
    };
    for (name, now, want) in [
        ("L428 first", 101, Verdict::Admit { remaining: 1, reset_ms: 10_000 }),
        ("L428 late", 100, Verdict::Admit { remaining: 0, reset_ms: 10_000 }),
        ("L428 full", 10_100, Verdict::Deny { remaining: 0, retry_after_ms: 1 }),
        ("L428 free", 10_101, Verdict::Admit { remaining: 1, reset_ms: 10_000 }),
    ] {
        assert_eq!(call(1, now, limit(2, 10_000)), want, "{name}");
    }
}

/// A log freed as idle, then a request for it whose clock was read before that: its unit still counted then.
#[test]
fn late_clock_reads_of_freed_logs() {
    let (windows, token) = (MemoryWindows::new(), policy("token"));
    let call = |number, now| {
        verdict(&ask(&windows, now, 1, &[(&token, id(number), limit(1, 10_000))]).unwrap())
    };
    let shard = |number| windows.place(&WindowKey::new(&token, id(number), id(number))).0;
    let neighbor = (2..).find(|number| shard(*number) == shard(1)).unwrap();
    let admit = Verdict::Admit { remaining: 0, reset_ms: 10_000 };
    for (name, number, now, want) in [
        ("L412 first", 1, 0, admit),
        ("L407 frees the first", neighbor, 10_000, admit),
        ("L412 late: counts as made at 10000", 1, 9_999, admit),
        (
            "L212 so not twice within W",
            1,
            19_999,
            Verdict::Deny { remaining: 0, retry_after_ms: 1 },
        ),
    ] {
        assert_eq!(call(number, now), want, "{name}");
    }
}

#[test]
fn poisoned_locks_are_entered() {
    let (windows, token) = (MemoryWindows::new(), policy("token"));
    let call =
        |now| ask(&windows, now, 1, &[(&token, id(1), limit(3, 10_000))]).unwrap().is_admitted();
    assert!(call(0));
    let (number, _) = windows.place(&WindowKey::new(&token, id(1), id(1)));
    let Lane(lock) = &windows.shards[number];
    let panicked = std::thread::scope(|scope| {
        let panics = || {
            let _guard = lock.lock().unwrap();
            panic!("under the lock");
        };
        scope.spawn(panics).join().is_err()
    });
    assert!(panicked && lock.is_poisoned());
    assert!(call(1), "L401");
    assert!(!lock.is_poisoned(), "L427 no lock stays poisoned");
    assert!(call(2) && !call(3), "L427 the log is whole");
}

#[test]
fn threads_on_one_key() {
    let (windows, token) = (MemoryWindows::new(), policy("token"));
    let (start, admitted) = (Barrier::new(50), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for thread in 0..50 {
            let (windows, token, start, admitted) = (&windows, &token, &start, &admitted);
            scope.spawn(move || {
                start.wait();
                for call in 0..20 {
                    let answer =
                        ask(windows, thread + call, 1, &[(token, id(1), limit(100, 10_000))])
                            .unwrap();
                    admitted.fetch_add(answer.is_admitted().into(), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(admitted.into_inner(), 100, "L426");
}

/// 8 threads in step: all calls of a phase have one time, so the stamps are known.
#[test]
fn threads_on_many_keys() {
    const THREADS: u64 = 8;
    const PHASES: u64 = 125;
    let (windows, token, subject) = (MemoryWindows::new(), policy("token"), policy("subject"));
    let (one, all) = (limit(3, 10_000), limit(4, 10_000));
    let step = Barrier::new(8);
    let live = |policy: &PolicyName, number: u64, limit: &Limit, now| {
        let (shard, spot) = windows.place(&WindowKey::new(policy, id(number), id(number)));
        match windows.enter(shard).look(&spot, limit, cost(1), now).verdict {
            Verdict::Admit { remaining, .. } => limit.count().get() - remaining - 1,
            Verdict::Deny { .. } | Verdict::Never => limit.count().get(),
        }
    };
    let run = |thread: u64| {
        let mut admitted = Vec::new();
        for phase in 0..PHASES {
            let now = phase * 731;
            step.wait();
            for call in 0..100 {
                // eight tasks a thread, each with a walk of its own over the tokens
                let number = (thread * 8 + call % 8 + call / 8 * 5 + phase) % 16;
                let keys = [(&token, id(number), one), (&subject, id(100 + number % 4), all)];
                let keys = if call % 2 == 0 { keys } else { [keys[1], keys[0]] };
                if ask(&windows, now, 1, &keys).unwrap().is_admitted() {
                    admitted.push((number, now));
                }
            }
            step.wait();
            if thread == 0 {
                for owner in 0..4 {
                    let sum: u32 = (0..4).map(|i| live(&token, owner + i * 4, &one, now)).sum();
                    assert_eq!(sum, live(&subject, 100 + owner, &all, now), "L255 sums at {now}");
                }
            }
            step.wait();
        }
        admitted
    };
    let admitted: Vec<(u64, u64)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || run(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    for (name, most, mine) in [
        ("token", 3, Box::new(|who, number| who == number) as Box<dyn Fn(u64, u64) -> bool>),
        ("subject", 4, Box::new(|who, number| who == number % 4)),
    ] {
        for who in 0..16 {
            let stamps: Vec<u64> = admitted
                .iter()
                .filter(|(number, _)| mine(who, *number))
                .map(|(_, now)| *now)
                .collect();
            for now in &stamps {
                let counted = stamps.iter().filter(|stamp| *stamp <= now && now - *stamp < 10_000);
                assert!(counted.count() <= most, "L255, L212 {name} {who} at {now}");
            }
        }
    }
    // in each window every subject is used up, or all of its tokens are
    assert!(admitted.len() >= 4 * 4 * 9, "L255 {}", admitted.len());
}

#[test]
fn bytes_per_key() {
    let token = policy("token");
    let exact = AskItem::new(WindowKey::new(&token, id(0), id(0)), limit(60, 60_000));
    let large = AskItem::new(WindowKey::new(&token, id(0), id(0)), limit(10_000, 60_000)).rounded();
    for (name, item, units, times, most) in [
        ("L958 5 live", exact, 5, 1, 160),
        ("L958 60 live", exact, 60, 1, 384),
        ("L958 rounded, 1 pair", large, 600, 1, 200),
        ("L958 rounded, 129 pairs", large, 1, 129, 1_300),
    ] {
        let windows = MemoryWindows::new();
        for number in 0..if times == 1 { 40_000 } else { 8_001 } {
            let key = WindowKey::new(&token, id(number), id(number));
            let key = if item.is_rounded() { key.rounded() } else { key };
            let items = [AskItem::new(key, *item.limit())];
            for time in 0..times {
                let ask = Ask::new(cost(units), time * 469 + 1, &items).unwrap();
                assert!(windows.decide(&ask).unwrap().is_admitted());
            }
            if number >= 4_000 && number % 2_000 == 0 {
                let shards = SHARDS * size_of::<Lane>();
                let bytes: usize =
                    (0..SHARDS).map(|number| windows.enter(number).heap_bytes()).sum();
                let each = (bytes + shards) / windows.len();
                assert!(each <= most, "{name}: {each} at {number}");
            }
        }
    }
}

proptest! {
    /// Sweeps, moves of logs and shared shards change no decision.
    #[test]
    fn equals_a_map_of_windows(
        calls in prop::collection::vec((0..400_u64, 1..4_u32, 0..200_u64, 0..200_u64, 1..3_usize), 1..400),
    ) {
        let (windows, names) = (MemoryWindows::new(), [policy("exact"), policy("rounded")]);
        let limits = [limit(3, 700), limit(5, 2_000)]; // q 6 and 16
        let empty = [Window::new(), Window::rounded()];
        let mut model: HashMap<(usize, u64), Window> = HashMap::new();
        let mut now = 0;
        for (step, units, one, two, count) in calls {
            now += step;
            let keys = [(&names[0], id(one), limits[0]), (&names[1], id(two), limits[1])];
            let answer = ask(&windows, now, units, &keys[..count]).unwrap();
            let whose = [(0, one), (1, two)];
            let fits = whose[..count].iter().all(|key| {
                let verdict = model.get(key).unwrap_or(&empty[key.0]).look(&limits[key.0], cost(units), now);
                matches!(verdict, Verdict::Admit { .. })
            });
            prop_assert_eq!(answer.is_admitted(), fits);
            for (key, standing) in whose.iter().zip(answer.standings()) {
                let limit = &limits[key.0];
                let log = model.entry(*key).or_insert_with(|| empty[key.0].clone());
                let verdict = if fits {
                    log.admit(limit, cost(units), now)
                } else {
                    log.look(limit, cost(units), now)
                };
                let look = Look { verdict, now, found: None };
                let wanted = super::standing(&look, limit, cost(units), fits);
                prop_assert_eq!(*standing, wanted);
            }
        }
        windows.sweep(now + 2_015);
        prop_assert_eq!(windows.len(), 0);
    }
}
