//! The table of algorithms in the docs is true of ours: at most L in any window, all that fits, and no false denial.

use std::num::NonZeroU32;
use std::time::Duration;
use tower_bearer::limit::{Limit, Verdict, Window};
use tower_bearer::store::{Ask, AskItem, LogId, MemoryWindows, PolicyName, WindowKey};

/// The calls of §10, in ms.
fn schedules() -> [(&'static str, Vec<u64>, [usize; 4]); 7] {
    let every = |step: u64, calls: u64| (0..calls).map(move |i| i * step);
    [
        (
            "L1001",
            (59_940..60_000).chain((60_000..240_000).step_by(5)).collect(),
            [36_060, 60, 192, 0],
        ),
        ("L1002", every(61_000, 10).flat_map(|at| [at; 60]).collect(), [600, 60, 600, 0]),
        ("L1003", every(1_000, 600).collect(), [600, 60, 600, 0]),
        ("L1004", every(500, 1_200).collect(), [1_200, 60, 600, 0]),
        ("L1005", every(5, 120_000).collect(), [120_000, 60, 600, 0]),
        (
            "L1006",
            [0; 60].into_iter().chain(every(1_000, 600).skip(1)).collect(),
            [659, 60, 600, 0],
        ),
        (
            "L1007",
            every(90_000, 7).flat_map(|start| (0..80).map(move |i| start + i * 10)).collect(),
            [560, 60, 420, 0],
        ),
    ]
}

/// Calls, most admitted in any window, admitted in all, denied although fewer than L were live.
fn run(calls: &[u64], mut admits: impl FnMut(u64) -> bool) -> [usize; 4] {
    let mut admitted: Vec<u64> = Vec::new();
    let (mut most, mut false_denials) = (0, 0);
    for &now in calls {
        let live = |admitted: &[u64]| admitted.iter().rev().take_while(|at| now - **at < W).count();
        if admits(now) {
            admitted.push(now);
            most = most.max(live(&admitted));
        } else if live(&admitted) < 60 {
            false_denials += 1;
        }
    }
    [calls.len(), most, admitted.len(), false_denials]
}

const W: u64 = 60_000;

/// Admitted in all, and denied although fewer than L were live, of the rounded log.
const ROUNDED: [[usize; 2]; 7] =
    [[180, 113], [600, 0], [591, 9], [600, 17], [600, 1_794], [592, 8], [420, 0]];

/// The calls through a window alone, and through the map of this process.
fn both(
    calls: &[u64],
    mut window: Window,
    form: impl Fn(AskItem<'_>) -> AskItem<'_>,
) -> [[usize; 4]; 2] {
    let limit = Limit::new(NonZeroU32::new(60).expect("not zero"), Duration::from_millis(W))
        .expect("in range");
    let one = NonZeroU32::MIN;
    let alone = run(calls, |now| matches!(window.admit(&limit, one, now), Verdict::Admit { .. }));

    let (windows, policy) = (MemoryWindows::new(), PolicyName::new("token").expect("a name"));
    let id = LogId::of_token(&[7; 32]);
    let items = [form(AskItem::new(WindowKey::new(&policy, id, id), limit))];
    let in_process = run(calls, |now| {
        let ask = Ask::new(one, now, &items).expect("a question");
        windows.decide(&ask).expect("there is room").is_admitted()
    });
    [alone, in_process]
}

#[test]
fn exact_log() {
    for (name, calls, want) in schedules() {
        let got = both(&calls, Window::new(), |item| item);
        assert_eq!(got, [want; 2], "L1011 {name} Window, in process");
    }
}

#[test]
fn rounded_log() {
    for ((name, calls, [all, most, ..]), [admitted, late]) in schedules().into_iter().zip(ROUNDED) {
        let got = both(&calls, Window::rounded(), |item| item.rounded());
        assert_eq!(got, [[all, most, admitted, late]; 2], "L1011 {name} Window, in process");
    }
}
