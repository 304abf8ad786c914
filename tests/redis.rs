//! Any number of processes on one Redis admit together what one process would have: never more than the limit.
#![cfg(feature = "redis")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may stop at what cannot be"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "real processes: it reads the time that Redis reads"
)]

#[path = "support/limits.rs"]
#[expect(dead_code, reason = "a test kit of which this file uses a part")]
mod limits;
#[path = "support/proxy.rs"]
#[expect(dead_code, reason = "a test kit of which this file uses a part")]
mod proxy;
#[path = "support/redis.rs"]
#[expect(dead_code, reason = "a test kit of which this file uses a part")]
mod server;

use std::num::NonZeroU32;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tower_bearer::clock::SystemClock;
use tower_bearer::limit::{Limit, Limiter, Policy};
use tower_bearer::store::{
    Answer, Ask, AskItem, LogId, PolicyName, Redis, RedisError, RedisWindows, Standing,
    StoreFailure, WindowKey, WindowStore,
};

use proxy::{Proxy, Wire};
use server::{RedisServer, wait_until};

/// Windows on a server, and the policies of its questions.
struct Desk {
    windows: RedisWindows,
    token: PolicyName,
    subject: PolicyName,
}

impl Desk {
    fn new(url: &str) -> Self {
        let name = |name| PolicyName::new(name).unwrap();
        let windows = RedisWindows::new(&Redis::open(url).unwrap());
        Self { windows, token: name("token"), subject: name("subject") }
    }

    async fn admit(&self, id: &str, limit: Limit) -> Result<Answer, RedisError> {
        let id = LogId::of_app(id);
        let items = [AskItem::new(WindowKey::new(&self.token, id, id), limit)];
        self.windows.admit(&Ask::new(NonZeroU32::MIN, 0, &items).unwrap()).await
    }

    /// Both logs of one owner.
    async fn admit_both(&self, id: &str, one: Limit, other: Limit) -> Answer {
        let id = LogId::of_app(id);
        let items = [
            AskItem::new(WindowKey::new(&self.token, id, id), one),
            AskItem::new(WindowKey::new(&self.subject, id, id), other),
        ];
        self.windows.admit(&Ask::new(NonZeroU32::MIN, 0, &items).unwrap()).await.unwrap()
    }
}

fn limit(count: u32, ms: u64) -> Limit {
    Limit::new(NonZeroU32::new(count).unwrap(), Duration::from_millis(ms)).unwrap()
}

/// Milliseconds of the clock that Redis reads as well.
fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// One admission, seen from outside: asked at, answered at.
type Seen = (u64, u64);

/// Runs `worker` in so many processes at once, and gives back what each admitted.
fn processes(server: &RedisServer, count: usize, schedule: &str) -> Vec<Vec<Seen>> {
    let start = wall_ms() + 400;
    let children: Vec<_> = (0..count)
        .map(|number| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "worker", "--nocapture"])
                .env("BEARER_WORKER", format!("{} {schedule} {start} {number}", server.url()))
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    children
        .into_iter()
        .map(|child| {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "a process failed");
            let text = String::from_utf8(output.stdout).unwrap();
            text.lines()
                .filter_map(|line| line.strip_prefix("admitted "))
                .map(|line| {
                    let (asked, answered) = line.split_once(' ').unwrap();
                    (asked.parse().unwrap(), answered.parse().unwrap())
                })
                .collect()
        })
        .collect()
}

/// The most admissions that lie wholly in one window.
fn most_in_a_window(admissions: &[Seen], window_ms: u64) -> usize {
    let from = |start: u64| {
        let inside = |seen: &&Seen| start <= seen.0 && seen.1 < start + window_ms;
        admissions.iter().filter(inside).count()
    };
    admissions.iter().map(|seen| from(seen.0)).max().unwrap_or(0)
}

/// The body of a process; does nothing in an ordinary run.
#[test]
fn worker() {
    let Ok(order) = std::env::var("BEARER_WORKER") else { return };
    let mut words = order.split(' ');
    let mut word = || words.next().unwrap().to_owned();
    let (url, schedule, start, number) = (word(), word(), word(), word());
    let (start, number): (u64, u64) = (start.parse().unwrap(), number.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let desk = Arc::new(Desk::new(&url));
        // the connection is made before the others begin
        desk.admit(&format!("warm-{number}"), limit(1, 1_000)).await.unwrap();
        while wall_ms() < start {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let call = |desk: Arc<Desk>, limit| async move {
            let asked = wall_ms();
            let answer = desk.admit("one", limit).await.unwrap();
            if answer.is_admitted() {
                println!("admitted {asked} {}", wall_ms());
            }
            answer
        };
        match schedule.as_str() {
            "burst" => {
                let calls: Vec<_> = (0..334)
                    .map(|_| tokio::spawn(call(Arc::clone(&desk), limit(100, 60_000))))
                    .collect();
                for call in calls {
                    call.await.unwrap();
                }
            }
            "flat-out" => {
                while wall_ms() < start + 3_000 {
                    call(Arc::clone(&desk), limit(60, 1_000)).await;
                }
            }
            // sleeps as long as it is told, then tries again at once: all of them wake in the same moment
            "obedient" => {
                while wall_ms() < start + 3_000 {
                    let answer = call(Arc::clone(&desk), limit(60, 500)).await;
                    if let Some(wait) = answer.retry_after_ms() {
                        tokio::time::sleep(Duration::from_millis(wait.into())).await;
                    }
                }
            }
            "random" => {
                let mut state = 0x9e37_79b9_7f4a_7c15 ^ (number + 1).wrapping_mul(0x2545_f491);
                while wall_ms() < start + 3_000 {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    for _ in 0..state % 40 {
                        call(Arc::clone(&desk), limit(60, 500)).await;
                    }
                    tokio::time::sleep(Duration::from_millis(state / 40 % 60)).await;
                }
            }
            other => panic!("no schedule {other}"),
        }
    });
}

#[test]
fn a_thousand_calls_of_three_processes() {
    let Some(server) = RedisServer::start() else { return };
    let admitted: Vec<usize> = processes(&server, 3, "burst").iter().map(Vec::len).collect();
    let all: usize = admitted.iter().sum();
    println!("shared parallel admitted {all} of 1002 calls, limit 100, by process {admitted:?}");
    assert_eq!(all, 100, "L357 XH6");
}

#[test]
fn never_more_than_the_limit_in_any_window() {
    let Some(server) = RedisServer::start() else { return };
    for (schedule, count, most, window) in
        [("flat-out", 4, 60, 1_000), ("obedient", 3, 60, 500), ("random", 3, 60, 500)]
    {
        server.say(&["FLUSHALL"]);
        let all: Vec<Seen> = processes(&server, count, schedule).into_iter().flatten().collect();
        let seen = most_in_a_window(&all, window);
        println!(
            "shared {schedule}: {} admitted by {count} processes, most in a window {seen} of {most}",
            all.len()
        );
        assert!(seen <= most, "L358 L1012 {schedule}: {seen}");
        let windows = 3_000 / usize::try_from(window).unwrap();
        assert!(all.len() >= most * (windows - 1), "L212 {schedule}: wrong denials, {}", all.len());
    }
}

#[tokio::test]
async fn a_denial_writes_nothing() {
    let Some(server) = RedisServer::start() else { return };
    let desk = Desk::new(&server.url());
    for _ in 0..3 {
        assert!(desk.admit("a", limit(3, 60_000)).await.unwrap().is_admitted());
    }
    let changes = || {
        let info = server.say(&["INFO", "persistence"]);
        info.lines()
            .find(|line| line.starts_with("rdb_changes_since_last_save"))
            .unwrap()
            .to_owned()
    };
    let offset = || {
        let info = server.say(&["INFO", "replication"]);
        info.lines().find(|line| line.starts_with("master_repl_offset")).unwrap().to_owned()
    };
    let before = (changes(), offset());
    for _ in 0..1_000 {
        assert!(!desk.admit("a", limit(3, 60_000)).await.unwrap().is_admitted());
    }
    assert_eq!((changes(), offset()), before, "L361 L955");
}

#[tokio::test]
async fn idle_logs_end() {
    let Some(server) = RedisServer::start() else { return };
    let desk = Desk::new(&server.url());
    desk.admit_both("a", limit(3, 40), limit(5, 80)).await;
    assert_eq!(server.say(&["DBSIZE"]), "2");
    wait_until("both keys end", || server.say(&["DBSIZE"]) == "0");
    let answer = desk.admit("a", limit(3, 40)).await.unwrap();
    let want = [Standing::Room { remaining: 2, reset_ms: 40 }];
    assert_eq!(answer.standings(), want, "L362");
}

#[tokio::test]
async fn keys_have_one_shape_and_an_end() {
    let Some(server) = RedisServer::start() else { return };
    let desk = Desk::new(&server.url());
    let long = "x".repeat(1_000_000);
    for id in ["a\r\nb", "{x}", "*", "\u{0}", &long] {
        desk.admit_both(id, limit(3, 60_000), limit(1_000, 60_000)).await;
    }
    let keys = server.say(&["KEYS", "*"]);
    let keys: Vec<&str> = keys.split(' ').collect();
    assert_eq!(keys.len(), 10);
    for key in keys {
        let rest = key.strip_prefix("tb:rl1:{").unwrap();
        let hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let (tag, rest) = rest.split_once('}').unwrap();
        let (name, id) = rest.split_once(':').unwrap();
        assert!(tag.len() == 4 && hex(tag) && id.len() == 32 && hex(id), "L365 XH10: {key}");
        assert!(["token", "subject"].contains(&name), "L365: {key}");
        let pttl: i64 = server.say(&["PTTL", key]).parse().unwrap();
        assert!((1..=60_000).contains(&pttl), "L313: {key} lives {pttl}");
    }
}

#[tokio::test]
async fn a_flushed_script_is_loaded_once() {
    let Some(server) = RedisServer::start() else { return };
    let desk = Desk::new(&server.url());
    let minute = limit(100, 60_000);
    assert!(desk.admit("a", minute).await.unwrap().is_admitted());
    assert_eq!(desk.windows.script_loads(), 1);
    let epoch = desk.windows.epoch(0);
    server.say(&["SCRIPT", "FLUSH"]);
    let answer = desk.admit("a", minute).await.unwrap();
    let Standing::Room { remaining, .. } = answer.standings()[0] else { panic!("room") };
    assert_eq!((remaining, desk.windows.script_loads()), (98, 2), "L360 XM17: charged once");
    assert!(answer.epoch() > epoch, "L606: whatever flushed it may have forgotten more");
    let info = server.say(&["INFO", "commandstats"]);
    assert!(!info.contains("cmdstat_eval:"), "L324: {info}");
}

#[tokio::test]
async fn one_round_trip_whatever_the_number_of_policies() {
    let Some(server) = RedisServer::start() else { return };
    let desk = Desk::new(&server.url());
    desk.admit_both("a", limit(9, 60_000), limit(9, 60_000)).await;
    server.say(&["CONFIG", "RESETSTAT"]);
    for _ in 0..5 {
        desk.admit_both("a", limit(9, 60_000), limit(9, 60_000)).await;
    }
    let info = server.say(&["INFO", "commandstats"]);
    let calls = info.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls=")).unwrap();
    assert!(calls.starts_with("5,"), "L321 L956: {calls}");
}

/// How many round trips the requests of one token cost: one that passes takes one, one that is known to be over its
/// limit takes none.
#[tokio::test]
async fn round_trips() {
    let Some(server) = RedisServer::start() else { return };
    let windows = RedisWindows::new(&Redis::open(&server.url()).unwrap());
    let policy = Policy::per_token(limit(100, 60_000));
    let limiter = Limiter::builder().policy(policy).store(windows).build().unwrap();
    limiter.ready().await.unwrap();
    let desk = limits::Desk::with(|builder| builder.clock(SystemClock::new()));
    let token = desk.token("a", "acc");
    let context = desk.auth.authenticate(&token).await.unwrap();
    let calls = || {
        let info = server.say(&["INFO", "commandstats"]);
        let calls = info.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
        calls.and_then(|rest| rest.split(',').next()).unwrap().parse::<u32>().unwrap()
    };
    let before = calls();
    for _ in 0..100 {
        assert!(limiter.check(&context, 1).await.is_ok());
    }
    let admitted = calls() - before;
    assert!(limiter.check(&context, 1).await.is_err());
    let before = calls();
    for _ in 0..1_000 {
        assert!(limiter.check(&context, 1).await.is_err());
    }
    let denied = calls() - before;
    println!("shared round trips: {admitted} for 100 admitted, {denied} for 1000 known denials");
    assert_eq!((admitted, denied), (100, 0), "L956");
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_any_more_was_sent_once() {
    let Some(server) = RedisServer::start() else { return };
    let proxy = Proxy::to(server.port, 7);
    let desk = Desk::new(&proxy.url());
    desk.admit("a", limit(9, 60_000)).await.unwrap();
    server.say(&["CONFIG", "RESETSTAT"]);
    proxy.to_client(Wire::Delay { least: Duration::from_millis(60), jitter: Duration::ZERO });
    let short = Duration::from_millis(25);
    let late = tokio::time::timeout(short, desk.admit("a", limit(9, 60_000))).await;
    assert!(late.is_err(), "L364: our deadline ends the call");
    wait_until("the late call was heard", || {
        server.say(&["INFO", "commandstats"]).contains("cmdstat_evalsha:calls=1,")
    });
    proxy.to_client(Wire::Pass);
    let answer = desk.admit("a", limit(9, 60_000)).await.unwrap();
    let Standing::Room { remaining, .. } = answer.standings()[0] else { panic!("room") };
    assert_eq!(remaining, 6, "L364: the one before, the late one, and this: three units");
    let info = server.say(&["INFO", "commandstats"]);
    let calls = info.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls=")).unwrap();
    assert!(calls.starts_with("2,"), "L364 L325: {calls}");
}

/// Calls on one connection, a part of them dropped half-way: the others get their own answers, and each log has at most
/// one unit for each call.
#[tokio::test]
async fn cancelled_calls_mix_up_no_answers() {
    let Some(server) = RedisServer::start() else { return };
    let desk = Arc::new(Desk::new(&server.url()));
    let mut state = 88_172_645_463_325_252_u64;
    let (mut calls, places) = (Vec::new(), Arc::new(tokio::sync::Semaphore::new(256)));
    for number in 0..10_000_u32 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let (desk, patience) = (Arc::clone(&desk), state % 30_000);
        let place = Arc::clone(&places).acquire_owned().await.unwrap();
        calls.push(tokio::spawn(async move {
            let _place = place;
            // each log has a limit of its own, so that an answer tells whose it is
            let own = limit(number % 4_000 + 2, 600_000);
            let id = number.to_string();
            let call = desk.admit(&id, own);
            let answer = if patience < 20_000 {
                tokio::time::timeout(Duration::from_micros(patience), call).await.ok()
            } else {
                Some(call.await)
            };
            answer.map(|answer| (number, answer))
        }));
    }
    let (mut wrong, mut answered) = (0, 0);
    for call in calls {
        if let Some((number, Ok(answer))) = call.await.unwrap() {
            answered += 1;
            let Standing::Room { remaining, .. } = answer.standings()[0] else { panic!("room") };
            wrong += u32::from(remaining != number % 4_000 + 1);
        }
    }
    let twice = (0..10_000_u32)
        .filter(|number| {
            let id = LogId::of_app(&number.to_string());
            let [a, b] = id.tag();
            let key = format!("tb:rl1:{{{a:02x}{b:02x}}}token:{id}");
            server.say(&["STRLEN", &key]).parse::<u32>().unwrap() > 4
        })
        .count();
    println!(
        "shared cancelled: {answered} of 10000 answered, {wrong} wrong, {twice} charged twice"
    );
    assert_eq!((wrong, twice), (0, 0), "XJ11 XH8");
    assert!((2_000..9_900).contains(&answered), "{answered}");
}

#[tokio::test]
async fn what_is_no_log_is_left_alone() {
    let Some(server) = RedisServer::start() else { return };
    let desk = Desk::new(&server.url());
    let id = LogId::of_app("a");
    let [a, b] = id.tag();
    let key = format!("tb:rl1:{{{a:02x}{b:02x}}}token:{id}");
    server.say(&["SET", &key, "abc"]);
    let error = desk.admit("a", limit(3, 60_000)).await.unwrap_err();
    assert_eq!(error.failure(), StoreFailure::Log, "L354");
    assert!(!error.failure().counts(), "L617");
    assert_eq!(server.say(&["GET", &key]), "abc", "L327");
}
