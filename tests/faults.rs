//! When something under the stack breaks, those who are known go on, everybody else is told 503, and it all comes back.

#![expect(clippy::unwrap_used, reason = "a test may stop at what cannot be")]
#![expect(clippy::disallowed_methods, reason = "waits are measured on the runtime's paused clock")]

#[path = "support/eight.rs"]
mod eight;
mod support;

use std::future::Future;
use std::num::NonZeroU32;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use eight::{Eight, Request, Service, inner};
use http_body_util::Full;
use support::scripted::{Counting, Mood};
use support::world::{account, app, get, token, workspace};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower::{Layer, ServiceExt};
use tower_bearer::Authenticator;
use tower_bearer::authenticator::RevokeError;
use tower_bearer::clock::{Clock, ManualClock, Moment, Timestamp};
use tower_bearer::id::{AccountId, TokenId};
use tower_bearer::limit::{Limit, Limiter, Policy};
use tower_bearer::stack::{BearerCheck, BearerStack};
use tower_bearer::store::{
    AccessMode, Answer, AppRecord, RevokeReason, RevokeTarget, Standing, TokenRecord,
};

/// One figure of a row: what was measured, what it must be, and whether it is.
struct Figure {
    text: String,
    holds: bool,
}

fn figure(name: &str, got: impl std::fmt::Display, goal: &str, holds: bool) -> Figure {
    Figure { text: format!("{name}={got} goal {goal}"), holds }
}

/// `part` of `whole` must be all of it.
fn all(name: &str, part: usize, whole: usize) -> Figure {
    let percent =
        100.0 * f64::from(u32::try_from(part).unwrap()) / f64::from(u32::try_from(whole).unwrap());
    figure(name, format!("{percent:.2}%"), "=100%", part == whole && whole > 0)
}

fn none(name: &str, count: usize) -> Figure {
    figure(name, count, "=0", count == 0)
}

fn at_most(name: &str, got: usize, most: usize) -> Figure {
    figure(name, got, &format!("<={most}"), got <= most)
}

fn within_ms(name: &str, got: Duration, most: u64) -> Figure {
    let goal = format!("<={most}ms");
    figure(name, format!("{}ms", got.as_millis()), &goal, got <= Duration::from_millis(most))
}

type Figures = Pin<Box<dyn Future<Output = Vec<Figure>>>>;
type Row = (&'static str, fn() -> Figures);

const ROWS: &[Row] = &[
    ("XM1 a port is down, hangs, panics, flaps", || Box::pin(every_port_in_every_mood())),
    ("XM2 store hangs", || Box::pin(a_hanging_store())),
    ("XM2 forgetting while a store hangs", || Box::pin(forgetting_frees_no_place())),
    ("XM3 store slow by 100 ms", || Box::pin(a_slow_store())),
    ("XM4 store up and down by the second", || Box::pin(a_flapping_store())),
    ("XM5 store back, 10,000 tokens waiting", || Box::pin(a_crowd_after_an_outage())),
    ("XM6 1,000 requests, one cold token", || Box::pin(one_cold_token())),
    ("XM7 10,000 entries filled within 1 s", || Box::pin(entries_end_apart())),
    ("XM8 nonsense, errors and panics", || Box::pin(nonsense())),
    ("XM25 more valid tokens than fit", || Box::pin(more_than_fit())),
    ("XM26 wall clock steps", || Box::pin(the_wall_clock_steps())),
    ("XM27 monotonic clock jumps", || Box::pin(the_monotonic_clock_jumps())),
    ("XM32 an endless body", || Box::pin(an_endless_body())),
    ("XM39 one worker thread", || Box::pin(one_worker())),
];

#[test]
fn every_fault_row_holds() {
    let (mut figures, mut failed) = (0, Vec::new());
    for (name, run) in ROWS {
        let id = name.split(' ').next().unwrap();
        let ran = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let mut paused = tokio::runtime::Builder::new_current_thread();
            paused.enable_all().start_paused(true).build().unwrap().block_on(run())
        }));
        let ran = ran.unwrap_or_else(|_| vec![figure("panicked", "yes", "no", false)]);
        for Figure { text, holds } in ran {
            figures += 1;
            let verdict = if holds { "ok" } else { "FAILED" };
            println!("fault {id} {text} {verdict}");
            if !holds {
                failed.push(format!("{name}: {text}"));
            }
        }
    }
    println!("fault_rows_failed {} of {figures}", failed.len());
    assert!(failed.is_empty(), "{failed:#?}");
}

/// The runtime's clock as the crate's: both move together when a test waits.
struct Paused(Instant);

impl Clock for Paused {
    fn now(&self) -> Moment {
        let since = Instant::now() - self.0;
        Moment::new(Timestamp::from_secs(1_700_000_000).saturating_add(since), since)
    }
}

/// A scene whose clock is the runtime's.
fn scene() -> Eight {
    Eight::with(4_096, |builder| builder.clock(Paused(Instant::now())))
}

/// Account `n` of the first app's workspace, with a token of its own, picked for `app-1` and `app-2`.
fn newcomer(eight: &Eight, n: u64) -> Request {
    let (text, id) = (token("tst_", n), format!("acc-{n}"));
    eight.world.token(&text, account(&id), "full");
    eight.world.member(&id, "ws-1");
    for of in ["app-1", "app-2"] {
        eight.world.store.permits.put((app(of), AccountId::new(id.as_str()).unwrap()), ());
    }
    get("/workspaces/ws-1/apps/app-2", Some(&text))
}

/// The answer and how long it took.
async fn timed(service: &Service, request: Request) -> (u16, Duration) {
    let began = Instant::now();
    let told = service.clone().oneshot(request).await.unwrap();
    let retry = told.headers().contains_key("retry-after");
    assert!(retry || told.status() != 503, "P661 a 503 says when to come again");
    (told.status().as_u16(), Instant::now() - began)
}

/// Sets the mood of one port.
type Set = fn(&Eight, Mood);

/// Every port that a request meets, and whether what it says is remembered.
const PORTS: &[(&str, Set, bool)] = &[
    ("tokens", |eight, mood| eight.world.store.tokens.set(mood), true),
    ("apps", |eight, mood| eight.world.store.apps.set(mood), true),
    ("members", |eight, mood| eight.world.store.members.set(mood), true),
    ("permits", |eight, mood| eight.world.store.permits.set(mood), true),
    ("callers", |eight, mood| eight.world.store.callers.set(mood), true),
    ("policy", |eight, mood| eight.policy.0.set(mood), false),
    ("windows", |eight, mood| eight.windows.port.set(mood), false),
];

async fn every_port_in_every_mood() -> Vec<Figure> {
    let mut figures = Vec::new();
    for (port, set, remembered) in PORTS {
        for mood in [Mood::Fail, Mood::Hang, Mood::Panic] {
            let eight = scene();
            eight.world.app("app-2", "ws-1", "private");
            let counting = Counting::default();
            let stack = eight.stack(&eight.shared_limiter, inner(&counting));
            let good = || get(eight::PATH, Some(&eight.token));
            assert_eq!(timed(&stack, good()).await.0, 200);
            set(&eight, mood);
            let (mut hits, mut wrong, mut longest, mut longest_open) = (0, 0, NO_TIME, NO_TIME);
            let before = counting.calls();
            for n in 10..30 {
                let (told, waited) = timed(&stack, newcomer(&eight, n)).await;
                wrong += usize::from(told != 503);
                longest = longest.max(waited);
                if n >= 13 {
                    longest_open = longest_open.max(waited);
                }
                if *remembered {
                    let (told, waited) = timed(&stack, good()).await;
                    hits += usize::from(told == 200 && waited == NO_TIME);
                }
            }
            let served = counting.calls() - before;
            let name = |what: &str| format!("{port} {mood:?} {what}");
            if *remembered {
                figures.push(all(&name("hit_success"), hits, 20));
                figures.push(within_ms(&name("miss"), longest, 260));
                figures.push(within_ms(&name("miss_breaker_open"), longest_open, 5));
            } else {
                figures.push(within_ms(&name("wait"), longest, 260));
            }
            figures.push(none(&name("misses_not_503"), wrong));
            figures.push(none(&name("served_on_misses"), served - hits));
            figures.push(none(&name("negative_entries"), negative(&eight.world.auth)));
            set(&eight, Mood::Answer);
            // slept rather than advanced: the one who tries a store of windows is a task of its own
            tokio::time::sleep(Duration::from_millis(752)).await;
            let (told, _) = timed(&stack, newcomer(&eight, 10)).await;
            figures.push(figure(&name("after_recovery"), told, "=200", told == 200));
        }
        // every other answer fails: those who are known notice nothing, and nobody is refused
        let eight = scene();
        eight.world.app("app-2", "ws-1", "private");
        let stack = eight.stack(&eight.shared_limiter, inner(&Counting::default()));
        let good = || get(eight::PATH, Some(&eight.token));
        assert_eq!(timed(&stack, good()).await.0, 200);
        let (mut hits, mut refused) = (0, 0);
        for n in 10..60 {
            set(&eight, if n % 2 == 0 { Mood::Fail } else { Mood::Answer });
            refused +=
                usize::from(!matches!(timed(&stack, newcomer(&eight, n)).await.0, 200 | 503));
            hits += usize::from(timed(&stack, good()).await.0 == 200);
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        figures.push(none(&format!("{port} flapping refused"), refused));
        if *remembered {
            figures.push(all(&format!("{port} flapping hit_success"), hits, 50));
        }
    }
    figures
}

const NO_TIME: Duration = Duration::ZERO;

fn negative(auth: &Authenticator) -> usize {
    usize::try_from(auth.cached_tokens().1).unwrap()
}

/// 500 cold tokens a second for 2 s, one caller who is known, and a store that says nothing.
async fn a_hanging_store() -> Vec<Figure> {
    let eight = scene();
    let auth = eight.world.auth.clone();
    auth.authenticate(&eight.token).await.unwrap();
    eight.world.store.tokens.set(Mood::Hang);
    let began = Instant::now();
    let mut misses = JoinSet::new();
    let (mut hits, mut slowest_hit, mut tasks) = (0, NO_TIME, 0);
    for n in 0..1_000 {
        let auth = auth.clone();
        misses.spawn(async move {
            let at = Instant::now();
            let told = auth.authenticate(&token("tst_", 100 + n)).await.unwrap_err();
            (told.status().as_u16(), at, Instant::now() - at)
        });
        let at = Instant::now();
        hits += usize::from(eight.world.auth.authenticate(&eight.token).await.is_ok());
        slowest_hit = slowest_hit.max(Instant::now() - at);
        tasks = tasks.max(tokio::runtime::Handle::current().metrics().num_alive_tasks());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let (mut wrong, mut slowest, mut late) = (0, NO_TIME, Vec::new());
    for (told, at, waited) in misses.join_all().await {
        wrong += usize::from(told != 503);
        slowest = slowest.max(waited);
        if at - began > Duration::from_millis(251) {
            late.push(waited);
        }
    }
    late.sort_unstable();
    // one probe each half second waits for the store; the others hear of it at once
    let probes = late.iter().filter(|waited| **waited > Duration::from_millis(5)).count();
    let p99 = late[late.len() * 99 / 100];
    let loads = eight.world.store.tokens.peak();

    eight.world.store.tokens.set(Mood::Slow(5));
    tokio::time::sleep(Duration::from_secs(1)).await;
    for n in 0..2_000 {
        eight.world.token(&token("tst_", 10_000 + n), account("acc-1"), "full");
    }
    let _probe = auth.authenticate(&token("tst_", 10_000)).await;
    let mut crowd = JoinSet::new();
    for n in 0..1_000 {
        let auth = auth.clone();
        crowd.spawn(async move { auth.authenticate(&token("tst_", 10_000 + n)).await.is_ok() });
    }
    let served = crowd.join_all().await.into_iter().filter(|served| *served).count();
    vec![
        all("hit_success", hits, 1_000),
        within_ms("slowest_hit", slowest_hit, 0),
        none("misses_not_503", wrong),
        within_ms("miss", slowest, 260),
        within_ms("miss_p99_breaker_open", p99, 5),
        at_most("probes_in_1750ms", probes, 7),
        at_most("loads", loads, 64),
        at_most("tasks", tasks, 1_000),
        at_most("loads_after_recovery", eight.world.store.tokens.peak(), 64),
        all("served_after_recovery", served, 1_000),
        none("loads_in_flight", auth.loads_in_flight()),
    ]
}

/// Changes that the host tells of do not lift the bound on loads.
async fn forgetting_frees_no_place() -> Vec<Figure> {
    let eight = scene();
    let auth = eight.world.auth.clone();
    eight.world.store.tokens.set(Mood::Hang);
    let mut crowd = JoinSet::new();
    for n in 0..5_000 {
        let auth = auth.clone();
        crowd.spawn(async move { auth.authenticate(&token("tst_", n % 1_000)).await.is_ok() });
        if n % 100 == 99 {
            eight::settle().await;
            eight.world.auth.forget_all();
        }
    }
    let loads = auth.loads_in_flight();
    // the clients leave: what is alive now are the loads, two tasks each
    crowd.abort_all();
    while crowd.join_next().await.is_some() {}
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    tokio::time::sleep(Duration::from_millis(251)).await;
    vec![
        at_most("loads_and_waiting", loads, 64 + 1_024),
        at_most("load_tasks", tasks, 2 * (64 + 1_024)),
        at_most("store_calls", eight.world.store.tokens.calls(), 64),
        none("loads_in_flight", auth.loads_in_flight()),
        none("tasks_after", tokio::runtime::Handle::current().metrics().num_alive_tasks()),
    ]
}

async fn a_slow_store() -> Vec<Figure> {
    let eight = scene();
    eight.world.app("app-2", "ws-1", "private");
    let stack = eight.stack(&eight.limiter, inner(&Counting::default()));
    let good = || get(eight::PATH, Some(&eight.token));
    assert_eq!(timed(&stack, good()).await.0, 200);
    eight.set(Mood::Slow(100));
    eight.policy.0.set(Mood::Answer);
    let mut cold = JoinSet::new();
    for n in 10..74 {
        let (stack, request) = (stack.clone(), newcomer(&eight, n));
        cold.spawn(async move { timed(&stack, request).await.0 });
    }
    let (mut hits, mut added) = (0, NO_TIME);
    for _ in 0..1_000 {
        let (told, waited) = timed(&stack, good()).await;
        hits += usize::from(told == 200);
        added = added.max(waited);
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
    let served = cold.join_all().await.into_iter().filter(|told| *told == 200).count();
    vec![
        all("hit_success", hits, 1_000),
        within_ms("added_to_hits", added, 0),
        all("misses_served", served, 64),
    ]
}

/// 50 new tokens a second for a minute, whose clients come again after `Retry-After`.
async fn a_flapping_store() -> Vec<Figure> {
    let eight = scene();
    let (auth, began) = (eight.world.auth.clone(), Instant::now());
    let mut clients = JoinSet::new();
    let (mut before, mut by_second) = (0, Vec::new());
    for n in 0..3_000 {
        let text = token("tst_", 100 + n);
        eight.world.token_for(&text, account("acc-1"), "full", Duration::from_secs(7_200));
        let auth = auth.clone();
        clients.spawn(async move {
            for again in 0..40 {
                match auth.authenticate(&text).await.map_err(|refused| refused.status().as_u16()) {
                    Ok(_) => return (true, 0),
                    Err(503) => {
                        // no two clients come again together, or they would beat with the store
                        let apart = (n * 7_919 + again * 104_729) % 2_000;
                        tokio::time::sleep(Duration::from_millis(1_000 + apart)).await;
                    }
                    Err(_) => return (false, 1),
                }
            }
            (false, 0)
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        let up = (Instant::now() - began).as_secs().is_multiple_of(2);
        eight.world.store.tokens.set(if up { Mood::Answer } else { Mood::Fail });
        if n % 50 == 49 {
            let calls = eight.world.store.tokens.calls();
            by_second.push(calls - before);
            before = calls;
        }
    }
    eight.world.store.tokens.set(Mood::Answer);
    let told = clients.join_all().await;
    let calls = eight.world.store.tokens.calls();
    let peak = by_second.iter().copied().max().unwrap();
    // the mean of the seconds in which the store was there to be asked
    let mean = calls / 30;
    vec![
        at_most("calls_for_3000_misses", calls, 3_600),
        at_most("calls_in_one_second", peak, 3 * mean),
        all("served", told.iter().filter(|told| told.0).count(), 3_000),
        none("refused", told.iter().map(|told| told.1).sum()),
    ]
}

/// 10,000 clients, each with a token of its own, ask again every second while the store is out, then it is back.
async fn a_crowd_after_an_outage() -> Vec<Figure> {
    let eight = scene();
    let auth = eight.world.auth.clone();
    eight.world.store.tokens.set(Mood::Hang);
    let mut clients = JoinSet::new();
    for n in 0..10_000 {
        let text = token("tst_", 100 + n);
        eight.world.token(&text, account("acc-1"), "full");
        let auth = auth.clone();
        clients.spawn(async move {
            tokio::time::sleep(Duration::from_micros(n * 100)).await;
            let mut refused = 0;
            loop {
                match auth.authenticate(&text).await.map_err(|refused| refused.status().as_u16()) {
                    Ok(_) => return (Instant::now(), refused),
                    Err(503) => tokio::time::sleep(Duration::from_secs(1)).await,
                    Err(_) => refused += 1,
                }
            }
        });
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (during, recovery) = (eight.world.store.tokens.peak(), Instant::now());
    eight.world.store.tokens.set(Mood::Slow(2));
    let told = clients.join_all().await;
    let last = told.iter().map(|told| told.0).max().unwrap();
    vec![
        at_most("loads_during", during, 64),
        at_most("loads_after_recovery", eight.world.store.tokens.peak(), 64),
        within_ms("all_served_after", last - recovery, 10_000),
        none("refused", told.iter().map(|told| told.1).sum()),
    ]
}

async fn one_cold_token() -> Vec<Figure> {
    let eight = scene();
    eight.set(Mood::Slow(10));
    eight.windows.port.set(Mood::Answer);
    eight.policy.0.set(Mood::Answer);
    let stack = eight.stack(&eight.limiter, inner(&Counting::default()));
    let mut crowd = JoinSet::new();
    for _ in 0..1_000 {
        let (stack, request) = (stack.clone(), get(eight::PATH, Some(&eight.token)));
        crowd.spawn(async move { timed(&stack, request).await.0 });
    }
    let served = crowd.join_all().await.into_iter().filter(|told| *told == 200).count();
    let store = &eight.world.store;
    let ports = [
        ("token_loads", store.tokens.calls()),
        ("app_loads", store.apps.calls()),
        ("member_loads", store.members.calls()),
        ("permit_loads", store.permits.calls()),
        ("caller_loads", store.callers.calls()),
    ];
    let mut figures = vec![all("served", served, 1_000)];
    figures.extend(ports.map(|(name, calls)| figure(name, calls, "=1", calls == 1)));
    figures
}

async fn entries_end_apart() -> Vec<Figure> {
    const ENTRIES: u64 = 10_000;
    let clock = ManualClock::new();
    let eight = Eight::with(1, |builder| builder.clock(clock.clone()).ttl_jitter(0.1));
    let auth = &eight.world.auth;
    for n in 0..ENTRIES {
        let text = token("tst_", n);
        eight.world.token(&text, account("acc-1"), "full");
        auth.authenticate(&text).await.unwrap();
        clock.advance(Duration::from_micros(100));
    }
    let mut by_second = Vec::new();
    for second in 1..=31 {
        let before = eight.world.store.tokens.calls();
        // before 26 s nothing may end, and nothing is asked
        if second >= 25 {
            for n in 0..ENTRIES {
                auth.authenticate(&token("tst_", n)).await.unwrap();
            }
        }
        by_second.push(eight.world.store.tokens.calls() - before);
        clock.advance(Duration::from_secs(1));
    }
    let reloads: usize = by_second.iter().sum();
    let busy = by_second.iter().filter(|loads| **loads > 0).count();
    let peak = by_second.iter().copied().max().unwrap();
    vec![
        figure("reloads", reloads, "=10000", reloads == 10_000),
        at_most("peak_reloads_in_one_second", peak, 3 * reloads / busy),
        figure("seconds_with_reloads", busy, ">=3", busy >= 3),
    ]
}

async fn nonsense() -> Vec<Figure> {
    let eight = scene();
    let counting = Counting::default();
    let stack = eight.stack(&eight.shared_limiter, inner(&counting));
    let good = || get(eight::PATH, Some(&eight.token));
    let store = &eight.world.store;
    let mut figures = Vec::new();

    // the record of another app, as a store that folds case would give
    let other = AppRecord::new(app("APP-1"), workspace("ws-1"), AccessMode::Public);
    let right = store.apps.ask(&app("app-1")).await.unwrap().unwrap();
    store.apps.put(app("app-1"), other);
    for _ in 0..5 {
        let told = timed(&stack, good()).await.0;
        figures.push(figure("another_app", told, "=503", told == 503));
    }
    store.apps.put(app("app-1"), right);
    let told = timed(&stack, good()).await.0;
    figures.push(figure("another_app_then_right", told, "=200", told == 200));

    // answers that do not fit the question
    let room = |remaining, reset_ms| Standing::Room { remaining, reset_ms };
    let full = |remaining, retry_after_ms| Standing::Full { remaining, retry_after_ms };
    for (name, answer) in [
        ("none", Answer::new([])),
        ("two_of_one", Answer::new([room(1, 1), room(1, 1)])),
        ("above_the_limit", Answer::new([room(4_097, 1)])),
        ("beyond_the_window", Answer::new([room(1, 3_600_001)])),
        ("full_without_wait", Answer::new([full(0, 0)])),
        ("full_with_room", Answer::new([full(1, 10)])),
    ] {
        let before = counting.calls();
        *eight.windows.nonsense.lock().unwrap() = Some(answer);
        let told = timed(&stack, good()).await.0;
        figures.push(figure(&format!("windows_{name}"), told, "=503", told == 503));
        figures.push(none(&format!("windows_{name}_served"), counting.calls() - before));
    }
    *eight.windows.nonsense.lock().unwrap() = None;

    // a record of another kind is a definite no (P688): 401, asked once
    let odd = token("tst_", 77);
    let id = TokenId::new("tok-77").unwrap();
    let ends = eight.world.now().saturating_add(Duration::from_secs(60));
    let record = TokenRecord::new(id, "external", account("acc-1"), ends);
    store.tokens.put(tower_bearer::token::Digest::of(&odd), record);
    let calls = store.tokens.calls();
    for _ in 0..2 {
        let told = timed(&stack, get(eight::PATH, Some(&odd))).await.0;
        figures.push(figure("another_kind", told, "=401", told == 401));
    }
    figures.push(figure(
        "another_kind_asked",
        store.tokens.calls() - calls,
        "=1",
        store.tokens.calls() - calls == 1,
    ));

    // a ledger that ended another token: nobody says that this one is dead, and it is refused meanwhile
    eight.ledger.confused.store(true, Ordering::SeqCst);
    let target = RevokeTarget::Digest(eight.digest);
    let told = eight.world.auth.revoke_token(target, RevokeReason::Owner).await;
    let undecidable = matches!(told, Err(RevokeError::Undecidable(None)));
    figures.push(figure("another_token_revoked", undecidable, "=true", undecidable));
    eight.world.token(&eight.token, account("acc-1"), "full");
    let told = timed(&stack, good()).await.0;
    figures.push(figure("another_token_revoked_then", told, "=401", told == 401));

    let eight = scene();
    for mood in [Mood::Fail, Mood::Panic, Mood::Hang] {
        eight.world.store.tokens.set(mood);
        for n in 0..10 {
            let told = eight.world.auth.authenticate(&token("tst_", 500 + n)).await.unwrap_err();
            assert_eq!(told.status().as_u16(), 503, "XM8 {mood:?}");
        }
    }
    figures.push(none("negative_entries", negative(&eight.world.auth)));
    figures
}

async fn more_than_fit() -> Vec<Figure> {
    let eight = Eight::with(1, |builder| {
        builder
            .clock(Paused(Instant::now()))
            .context_capacity(1_000)
            .positive_ttl(Duration::from_secs(300))
            .tombstone_life(Duration::from_secs(600))
    });
    let auth = eight.world.auth.clone();
    let hot: Vec<String> = (0..100).map(|n| token("tst_", n)).collect();
    for n in 0..8_000 {
        eight.world.token(&token("tst_", n), account("acc-1"), "full");
    }
    for _ in 0..20 {
        for text in &hot {
            auth.authenticate(text).await.unwrap();
        }
    }
    let (mut asked, mut hits, mut passed) = (0, 0, 0);
    for n in 100..8_000_u64 {
        passed += usize::from(auth.authenticate(&token("tst_", n)).await.is_ok());
        let text = &hot[usize::try_from(n % 100).unwrap()];
        let before = eight.world.store.tokens.calls();
        passed += usize::from(auth.authenticate(text).await.is_ok());
        asked += 1;
        hits += usize::from(eight.world.store.tokens.calls() == before);
    }
    let rate = 100 * hits / asked;
    vec![
        all("served", passed, 2 * asked),
        figure("hot_hit_rate", format!("{rate}%"), ">=99%", rate >= 99),
        at_most("entries", usize::try_from(auth.cached_tokens().0).unwrap(), 1_000),
        at_most("loads", eight.world.store.tokens.peak(), 64),
    ]
}

async fn the_wall_clock_steps() -> Vec<Figure> {
    const HOUR: Duration = Duration::from_secs(3_600);
    let clock = ManualClock::new();
    let eight = Eight::with(1, |builder| builder.clock(clock.clone()));
    let auth = &eight.world.auth;
    let start = clock.now().wall();
    let mut ends = Vec::new();
    for n in 0..20 {
        let text = token("tst_", 1_000 + n);
        let end = start.saturating_add(Duration::from_secs(600 * n + 30));
        let life = end.since(eight.world.now());
        eight.world.token_for(&text, account("acc-1"), "full", life);
        ends.push((text, end));
    }
    let limit = Limit::new(NonZeroU32::new(5).unwrap(), Duration::from_secs(60)).unwrap();
    let limiter = Limiter::builder().policy(Policy::per_token(limit)).build().unwrap();
    let eternal = token("tst_", 5_000);
    eight.world.token_for(&eternal, account("acc-1"), "full", 100_000 * HOUR);
    let (mut beyond, mut turned_away, mut over, mut admitted) = (0, 0, 0, Vec::new());
    let mut seed = 7_u64;
    for step in 0..3_000_u64 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let by = Duration::from_millis((seed >> 33) % 3_600_000);
        match step % 7 {
            0 => clock.set_wall(clock.now().wall().saturating_add(by)),
            3 => clock.set_wall(clock.now().wall().saturating_sub(by)),
            5 => clock.set_wall(start.saturating_sub(HOUR)),
            6 => clock.set_wall(start.saturating_add(HOUR)),
            _ => clock.advance(Duration::from_millis(1_000 + (seed >> 40) % 3_000)),
        }
        for (text, end) in &ends {
            let passed = auth.authenticate(text).await.is_ok();
            beyond += usize::from(passed && clock.now().wall() >= *end);
        }
        match auth.authenticate(&eternal).await {
            Ok(context) => {
                let now = clock.now().monotonic();
                if limiter.check(&context, 1).await.is_ok() {
                    admitted.push(now);
                }
                let floor = now.saturating_sub(Duration::from_secs(60));
                let live = admitted.iter().filter(|at| **at > floor).count();
                over = over.max(live.saturating_sub(5));
            }
            Err(_) => turned_away += 1,
        }
    }
    vec![
        none("accepted_beyond_expiry", beyond),
        none("live_tokens_refused", turned_away),
        none("over_admission", over),
    ]
}

async fn the_monotonic_clock_jumps() -> Vec<Figure> {
    let clock = ManualClock::new();
    let eight = Eight::with(1, |builder| builder.clock(clock.clone()));
    let auth = eight.world.auth.clone();
    for n in 0..3_000 {
        let text = token("tst_", n);
        eight.world.token(&text, account("acc-1"), "full");
        auth.authenticate(&text).await.unwrap();
    }
    let before = eight.world.store.tokens.calls();
    clock.advance(Duration::from_secs(1_800));
    eight.world.store.tokens.set(Mood::Slow(2));
    let mut crowd = JoinSet::new();
    for n in 0..3_000 {
        let auth = auth.clone();
        crowd.spawn(async move {
            let text = token("tst_", n);
            loop {
                match auth.authenticate(&text).await.map_err(|refused| refused.status().as_u16()) {
                    Ok(_) => return 0,
                    Err(503) => tokio::time::sleep(Duration::from_millis(20)).await,
                    Err(_) => return 1,
                }
            }
        });
    }
    let refused = crowd.join_all().await.into_iter().sum();
    let asked = eight.world.store.tokens.calls() - before;
    vec![
        figure("asked_again", asked, "=3000", asked == 3_000),
        at_most("loads", eight.world.store.tokens.peak(), 64),
        none("refused", refused),
    ]
}

/// A body without end; counts how often it was asked for more.
struct Endless(Arc<AtomicUsize>);

impl http_body::Body for Endless {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        let more = bytes::Bytes::from_static(&[0; 1_024]);
        std::task::Poll::Ready(Some(Ok(http_body::Frame::data(more))))
    }
}

/// Neither a pass nor a refusal reads a byte of a body, and the service gets it whole.
async fn an_endless_body() -> Vec<Figure> {
    let eight = scene();
    let polls = Arc::new(AtomicUsize::new(0));
    let stack = BearerStack::new(BearerCheck::new(&eight.world.auth)).layer(Counting::default());
    let mut told = Vec::new();
    for text in [Some(eight.token.as_str()), Some("tst_bad"), None, Some(eight.token.as_str())] {
        let request = get("/", text).map(|_| Endless(Arc::clone(&polls)));
        told.push(stack.clone().oneshot(request).await.unwrap().status().as_u16());
    }
    let right = told == [200, 401, 401, 200];
    let looks = tower::service_fn(|request: http::Request<Endless>| async move {
        let mut body = request.into_body();
        let frame = http_body_util::BodyExt::frame(&mut body).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap().len(), 1_024);
        Ok::<_, std::convert::Infallible>(http::Response::new(Full::<bytes::Bytes>::default()))
    });
    let before = polls.load(Ordering::SeqCst);
    let stack = BearerStack::new(BearerCheck::new(&eight.world.auth)).layer(looks);
    let request = get("/", Some(&eight.token)).map(|_| Endless(Arc::clone(&polls)));
    let status = stack.oneshot(request).await.unwrap().status();
    let after = polls.load(Ordering::SeqCst) - before;
    vec![
        figure("answers_right", right, "=true", right),
        none("body_polls_of_ours", before),
        figure("body_polls_of_the_service", after, "=1", after == 1 && status == 200),
    ]
}

/// The whole cold stack on a runtime with one worker, from 200 clients at once.
async fn one_worker() -> Vec<Figure> {
    let served = Arc::new(AtomicUsize::new(0));
    let told = Arc::clone(&served);
    let thread = std::thread::spawn(move || {
        let one =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        one.unwrap().block_on(async move {
            let eight = Eight::new(4_096);
            eight.world.app("app-2", "ws-1", "private");
            eight.set(Mood::Pending(3));
            let stack = eight.stack(&eight.shared_limiter, inner(&Counting::default()));
            let mut clients = JoinSet::new();
            for n in 0..200 {
                let (stack, request) = (stack.clone(), newcomer(&eight, 100 + n % 40));
                clients.spawn(async move {
                    let told =
                        tokio::time::timeout(Duration::from_secs(20), stack.oneshot(request));
                    told.await.is_ok_and(|told| told.unwrap().status() == 200)
                });
            }
            let passed = clients.join_all().await.into_iter().filter(|passed| *passed).count();
            told.store(passed, Ordering::SeqCst);
        });
    });
    thread.join().unwrap();
    vec![all("served", served.load(Ordering::SeqCst), 200)]
}
