//! The script on a real server, at a time that the test sets, held to the vectors of the page and to the pure window.

use std::collections::HashMap;
use std::num::NonZeroU32;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::store::window::{AskItem, Standing};
use crate::store::window_key::{LogId, PolicyName, WindowKey};
use crate::window::vectors::{cost, limit};
use crate::window::{Limit, Verdict, Window};

#[path = "../../../../tests/support/redis.rs"]
#[expect(dead_code, reason = "a test kit of which this file uses a part")]
mod server;

use server::RedisServer;

const T: u64 = 1_700_000_000_000;

/// A server, windows on it, and the log that the vectors use.
struct Desk {
    server: RedisServer,
    windows: RedisWindows,
    policies: Vec<PolicyName>,
    runtime: tokio::runtime::Runtime,
}

impl Desk {
    fn new() -> Option<Self> {
        let server = RedisServer::start()?;
        let windows = RedisWindows::new(&Redis::open(&server.url()).unwrap());
        let policies =
            ('a'..='h').map(|letter| PolicyName::new(&letter.to_string()).unwrap()).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Some(Self { server, windows, policies, runtime })
    }

    fn item(&self, at: usize, limit: Limit, rounded: bool) -> AskItem<'_> {
        let id = LogId::of_app("app");
        let item = AskItem::new(WindowKey::new(&self.policies[at], id, id), limit);
        if rounded { item.rounded() } else { item }
    }

    fn ask(&self, items: &[AskItem<'_>], units: u32, ms: u64) -> Result<Answer, RedisError> {
        let ask = Ask::new(cost(units), 0, items).unwrap();
        self.runtime.block_on(self.windows.decide(&Decision::at(ms), &ask))
    }

    fn key(&self, item: &AskItem<'_>) -> String {
        Tags::Owners.key("tb", item)
    }

    fn value(&self, item: &AskItem<'_>) -> String {
        let value = self.server.bytes(&[b"GET", self.key(item).as_bytes()]);
        value.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn pttl(&self, item: &AskItem<'_>) -> i64 {
        self.server.say(&["PTTL", &self.key(item)]).parse().unwrap()
    }
}

fn room(remaining: u32, reset_ms: u32) -> Standing {
    Standing::Room { remaining, reset_ms }
}

fn full(remaining: u32, retry_after_ms: u32) -> Standing {
    Standing::Full { remaining, retry_after_ms }
}

#[test]
fn exact_vectors() {
    let Some(desk) = Desk::new() else { return };
    let item = desk.item(0, limit(3, 10_000), false);
    for (name, ms, want, value) in [
        ("L345", T, room(2, 10_000), "cfe56800"),
        ("L346 at T", T, room(1, 10_000), "cfe56800cfe56800"),
        ("L346 at T + 1", T + 1, room(0, 9_999), "cfe56800cfe56800cfe56801"),
        ("L347 denied", T + 1, full(0, 9_999), "cfe56800cfe56800cfe56801"),
        ("L347 still", T + 9_999, full(0, 1), "cfe56800cfe56800cfe56801"),
        ("L348", T + 10_000, room(1, 1), "cfe56801cfe58f10"),
    ] {
        let before = desk.pttl(&item);
        let answer = desk.ask(&[item], 1, ms).unwrap();
        assert_eq!(answer.standings(), [want], "{name}");
        assert_eq!(desk.value(&item), value, "{name}");
        let after = desk.pttl(&item);
        if answer.is_admitted() {
            assert!((9_000..=10_000).contains(&after), "L313 {name}: {after}");
        } else {
            assert!(after <= before, "L347 {name}: {before} then {after}");
        }
    }
}

#[test]
fn rounded_vectors() {
    let Some(desk) = Desk::new() else { return };
    let item = desk.item(0, limit(1_000, 60_000), true);
    for (name, units, ms, want, value, px) in [
        ("L349 c600", 600, T, room(400, 60_244), "cfe568f400000258", 60_244),
        ("L349 c300", 300, T + 1, room(100, 60_243), "cfe568f400000384", 60_243),
        ("L349 c1", 1, T + 245, room(99, 59_999), "cfe568f400000384cfe56ac900000001", 60_468),
        ("L350 c100", 100, T + 245, full(99, 59_999), "cfe568f400000384cfe56ac900000001", 60_468),
        ("L350 c1", 1, T + 60_244, room(998, 469), "cfe56ac900000001cfe6537400000001", 60_469),
    ] {
        let answer = desk.ask(&[item], units, ms).unwrap();
        assert_eq!(answer.standings(), [want], "{name}");
        assert_eq!(desk.value(&item), value, "{name}");
        let pttl = desk.pttl(&item);
        assert!((px - 1_500..=px).contains(&pttl), "L313 {name}: {pttl}, not {px}");
    }
}

#[test]
fn all_or_nothing() {
    let Some(desk) = Desk::new() else { return };
    let (a, b) = (desk.item(0, limit(3, 10_000), false), desk.item(1, limit(5, 60_000), false));
    for left in [2, 1, 0] {
        let answer = desk.ask(&[a, b], 1, T).unwrap();
        assert_eq!(answer.standings(), [room(left, 10_000), room(left + 2, 60_000)], "L351");
    }
    let before = (desk.value(&a), desk.value(&b));
    let answer = desk.ask(&[a, b], 1, T + 1).unwrap();
    assert_eq!(answer.standings(), [full(0, 9_999), room(2, 59_999)], "L351 denied");
    assert_eq!((desk.value(&a), desk.value(&b)), before, "L351 unchanged");
}

#[test]
fn clock_back_and_wrap() {
    let Some(desk) = Desk::new() else { return };
    let item = desk.item(0, limit(2, 10_000), false);
    let key = desk.key(&item);
    let two = [0xcf, 0xe5, 0x68, 0x00, 0xcf, 0xe5, 0x68, 0x00];
    desk.server.bytes(&[b"SET", key.as_bytes(), &two, b"PX", b"3610000"]);
    let back = T - 3_600_000;
    assert_eq!(desk.ask(&[item], 1, back).unwrap().standings(), [full(0, 10_000)], "L352");
    assert_eq!(desk.value(&item), "cfae7980cfae7980", "L352");
    assert!(desk.pttl(&item) <= 10_000, "L352");
    assert_eq!(desk.ask(&[item], 1, back + 9_999).unwrap().standings(), [full(0, 1)], "L352");
    assert!(desk.ask(&[item], 1, back + 10_000).unwrap().is_admitted(), "L352");

    let other = desk.item(1, limit(2, 10_000), false);
    let wrap = 400 * (1_u64 << 32);
    assert!(desk.ask(&[other], 1, wrap - 5).unwrap().is_admitted(), "L353");
    assert!(desk.ask(&[other], 1, wrap + 3).unwrap().is_admitted(), "L353");
    assert_eq!(desk.value(&other), "fffffffb00000003", "L353");
    assert_eq!(desk.ask(&[other], 1, wrap + 9_994).unwrap().standings(), [full(0, 1)], "L353");
    assert!(desk.ask(&[other], 1, wrap + 9_995).unwrap().is_admitted(), "L353");
    assert_eq!(desk.value(&other), "000000030000270b", "L353");
}

#[test]
fn a_log_that_is_none() {
    let Some(desk) = Desk::new() else { return };
    let (a, b) = (desk.item(0, limit(2, 10_000), false), desk.item(1, limit(2, 10_000), false));
    desk.server.say(&["SET", &desk.key(&a), "abc"]);
    desk.server.say(&["RPUSH", &desk.key(&b), "x"]);
    let log = Err(RedisError::from(StoreFailure::Log));
    assert_eq!(desk.ask(&[a], 1, T), log, "L354 three bytes");
    assert_eq!(desk.ask(&[b, a], 1, T), log, "L354 a list");
    assert_eq!(desk.server.say(&["GET", &desk.key(&a)]), "abc", "L327");
    assert_eq!(desk.server.say(&["TYPE", &desk.key(&b)]), "list", "L327");
}

/// The schedules of the page that are short enough for a server: calls, what the exact log admits of them, and the rounded.
#[test]
fn schedules() {
    let Some(desk) = Desk::new() else { return };
    let every = |step: u64, count: u64| (0..count).map(move |call| call * step);
    let minute = limit(60, 60_000);
    for (name, calls, exact, rounded) in [
        ("L1002", every(61_000, 10).flat_map(|at| [at; 60]).collect::<Vec<_>>(), 600, 600),
        ("L1003", every(1_000, 600).collect(), 600, 591),
        ("L1004", every(500, 1_200).collect(), 600, 600),
        ("L1006", [0; 60].into_iter().chain((1..600).map(|s| s * 1_000)).collect(), 600, 592),
        (
            "L1007",
            (0..7).flat_map(|k| (0..80).map(move |call| k * 90_000 + call * 10)).collect(),
            420,
            420,
        ),
    ] {
        desk.server.say(&["FLUSHALL"]);
        // stamps are rounded by the server's own time, so the schedule begins at a multiple of the quantum
        let start = T - T % 469;
        let admitted = |item: &AskItem<'_>| {
            let admits = |at: &&u64| desk.ask(&[*item], 1, start + **at).unwrap().is_admitted();
            calls.iter().filter(admits).count()
        };
        assert_eq!(admitted(&desk.item(0, minute, false)), exact, "L1011 {name}");
        assert_eq!(admitted(&desk.item(0, minute, true)), rounded, "L1011 {name} rounded");
    }
}

/// One call of a sequence: how far the clock moves, what it costs, and which logs it takes under which limits.
#[derive(Clone, Debug)]
struct Call {
    step: i64,
    cost: u32,
    logs: Vec<(usize, u32)>,
}

fn call() -> impl Strategy<Value = Call> {
    let step = prop_oneof![
        6 => 0_i64..40,
        3 => 0_i64..1_500,
        1 => -900_i64..0,
    ];
    let logs = prop::collection::btree_map(0_usize..8, 1_u32..9, 1..=8);
    (step, 1_u32..6, logs).prop_map(|(step, cost, logs)| {
        let cost = cost.min(logs.values().copied().min().unwrap_or(1));
        Call { step, cost, logs: logs.into_iter().collect() }
    })
}

/// Logs 0 to 3 are exact, 4 to 7 rounded; log n has a window of its own.
#[test]
fn equal_to_the_window() {
    let Some(desk) = Desk::new() else { return };
    let steps: u32 = std::env::var("BEARER_STEPS").map_or(1_000, |text| text.parse().unwrap());
    let mut runner = TestRunner::new(Config { cases: steps / 50, ..Config::default() });
    let calls = prop::collection::vec(call(), 50);
    let held = runner.run(&calls, |calls| {
        desk.server.say(&["FLUSHALL"]);
        let mut logs: HashMap<usize, Window> = HashMap::new();
        let mut now = T;
        for Call { step, cost: units, logs: asked } in calls {
            now = now.checked_add_signed(step).unwrap();
            let limits: Vec<(usize, Limit)> = asked
                .iter()
                .map(|(at, count)| (*at, limit(*count, 300 + 100 * u64::try_from(*at).unwrap())))
                .collect();
            let items: Vec<AskItem<'_>> =
                limits.iter().map(|(at, limit)| desk.item(*at, *limit, *at >= 4)).collect();
            let answer = desk.ask(&items, units, now).unwrap();
            let want = pure(&mut logs, &limits, cost(units), now);
            prop_assert_eq!(answer.standings(), want.as_slice());
        }
        Ok(())
    });
    held.unwrap();
    println!("L356 {steps} steps on a real server equal to the window");
}

/// What the pure windows say to one question.
fn pure(
    logs: &mut HashMap<usize, Window>,
    limits: &[(usize, Limit)],
    cost: NonZeroU32,
    now: u64,
) -> Vec<Standing> {
    for (at, _) in limits {
        logs.entry(*at).or_insert_with(|| if *at >= 4 { Window::rounded() } else { Window::new() });
    }
    let looks: Vec<Verdict> =
        limits.iter().map(|(at, limit)| logs[at].look(limit, cost, now)).collect();
    let admitted = looks.iter().all(|verdict| matches!(verdict, Verdict::Admit { .. }));
    let mut standings = Vec::new();
    for ((at, limit), look) in limits.iter().zip(looks) {
        let log = logs.get_mut(at).unwrap();
        standings.push(match look {
            Verdict::Deny { remaining, retry_after_ms } => full(remaining, retry_after_ms),
            Verdict::Admit { remaining, reset_ms } if admitted => room(remaining, reset_ms),
            Verdict::Admit { remaining, reset_ms } => {
                let reset_ms = if log.is_empty_at(limit, now) { 0 } else { reset_ms };
                room(remaining + cost.get(), reset_ms)
            }
            Verdict::Never => panic!("the cost is never above a limit here"),
        });
        if admitted {
            log.charge(limit, cost, now);
        } else if !log.is_empty_at(limit, now) {
            // a clock that went back moves every log of a denial: one unit of one that is taken is denied, and moves
            let _ = log.admit(&limit.lowered_to(1), NonZeroU32::MIN, now);
        }
    }
    standings
}
