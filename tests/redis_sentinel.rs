//! Behind a Sentinel set limits follow the primary through a failover, and meanwhile each process keeps them by itself.
#![cfg(feature = "redis-sentinel")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may stop at what cannot be"
)]
#![expect(clippy::disallowed_methods, reason = "real processes: it says how long they took")]

#[expect(dead_code, reason = "this file uses its part of it")]
#[path = "support/limits.rs"]
mod limits;
#[expect(dead_code, reason = "this file uses its part of it")]
#[path = "support/places.rs"]
mod places;
#[path = "support/sentinel.rs"]
mod sentinel;
#[path = "support/redis.rs"]
#[expect(dead_code, reason = "this file uses its part of it")]
mod server;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use tower_bearer::limit::{Limiter, Policy};
use tower_bearer::store::{Redis, RedisBus, RedisWindows, StoreFailure, WindowStore};

use places::{Said, Stay, Windows, ask, ask_until, contexts_work, key, left, limit, tell};
use sentinel::{NAME, SentinelSet};
use server::wait_until;

const PASSWORD: &str = "hunter2";

fn redis(urls: &[String]) -> Redis {
    let redis = Redis::sentinel(urls.iter().map(String::as_str), NAME).unwrap();
    redis.login(None, Some(PASSWORD), 0)
}

#[tokio::test]
async fn a_failover_is_followed() {
    let Some(mut set) = SentinelSet::start(PASSWORD) else { return };
    let redis = redis(&set.urls());
    let desk = limits::Desk::new();
    let caller = desk.auth.authenticate(&desk.token("one", "acc-1")).await.unwrap();
    let store = Arc::new(RedisWindows::new(&redis));
    let limiter = Limiter::builder()
        .policy(Policy::per_token(limit(4_000, 60_000)).exact_up_to(4_096))
        .store(Arc::clone(&store))
        .build()
        .unwrap();
    ask_until(&limiter, &caller, Said::Redis).await;
    contexts_work(&redis).await;
    let stay = Stay::on(&redis).await;
    let bus = RedisBus::new(&redis);
    tell(&bus, "acc-1").await.unwrap();
    stay.until_notices(1).await;
    let (epoch, loads) = (store.epoch(0), store.script_loads());
    assert_eq!(loads, 1);
    set.servers[0].kill();
    let began = tokio::time::Instant::now();
    let before = ask_until(&limiter, &caller, Said::Redis).await;
    println!(
        "sentinel: {} calls decided here in the {:?} until the replica was promoted",
        before.len(),
        began.elapsed()
    );
    assert!(!before.is_empty() && before.iter().all(|said| *said == Said::Fallback), "XM18");
    assert!(set.servers[1].say(&["INFO", "replication"]).contains("role:master"));
    assert!(store.epoch(0) > epoch, "L606 both must agree");
    assert_eq!(ask(&limiter, &caller).await, Said::Redis, "L360");
    assert!(store.script_loads() <= 2, "L360 one load at most: a promoted replica may know it");
    let info = set.servers[1].say(&["INFO", "commandstats"]);
    assert!(!info.contains("cmdstat_eval:"), "L360: {info}");
    stay.until_joined(2).await;
    // the first one after a loss is not told; whoever tells says it again later
    let telling = async {
        while tell(&bus, "acc-2").await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), telling).await.unwrap();
    stay.until_notices(2).await;
    contexts_work_again(&redis).await;
    let shown = format!("{redis:?} {limiter:?} {store:?} {bus:?}");
    assert!(!shown.contains(PASSWORD), "XK2: {shown}");
}

/// A log that the new primary has is charged on.
async fn contexts_work_again(redis: &Redis) {
    let windows = Windows::new(redis);
    let first = left(&windows.until_decided("again", limit(9, 60_000)).await);
    assert_eq!(left(&windows.admit("again", limit(9, 60_000)).await.unwrap()), first - 1);
}

#[tokio::test]
async fn a_primary_that_was_demoted_is_left_until_it_is_one_again() {
    let Some(set) = SentinelSet::start(PASSWORD) else { return };
    let windows = Windows::new(&redis(&set.urls()));
    let (id, minute) = ("account:acc-1", limit(99, 60_000));
    for wanted in [98, 97, 96] {
        assert_eq!(left(&windows.admit(id, minute).await.unwrap()), wanted);
    }
    let log = key("token", id);
    let epoch = windows.store.epoch(0);
    // nothing tells the client: its connection stays, and the server behind it writes no more
    assert_eq!(set.servers[0].say(&["REPLICAOF", "127.0.0.1", "1"]), "OK");
    let error = windows.admit(id, minute).await.unwrap_err();
    assert_eq!(error.failure(), StoreFailure::ReadOnly, "L613 XN24");
    let asked = || set.servers[0].say(&["INFO", "commandstats"]);
    let sentinels = || {
        let calls =
            |line: &str| line.starts_with("cmdstat_role:") || line.starts_with("cmdstat_info:");
        asked().lines().filter(|line| calls(line)).map(str::to_owned).collect::<Vec<String>>()
    };
    let before = sentinels();
    wait_until("the sentinels are asked, and whom they name is asked for its role", || {
        sentinels() != before
    });
    assert!(windows.admit(id, minute).await.is_err(), "L613 it is no primary");
    assert_eq!(set.servers[0].say(&["REPLICAOF", "NO", "ONE"]), "OK");
    let answer = windows.until_decided(id, minute).await;
    assert_eq!(left(&answer), 95, "L613 L325: nothing was charged in between");
    assert!(answer.epoch() > epoch, "L606 both must agree");
    assert_eq!(set.servers[0].say(&["STRLEN", &log]), "16");
}

#[tokio::test]
async fn a_planned_failover_is_followed() {
    let Some(set) = SentinelSet::start(PASSWORD) else { return };
    let windows = Windows::new(&redis(&set.urls()));
    let (id, minute) = ("account:acc-1", limit(500, 600_000));
    let log = key("token", id);
    let mut charged = 0;
    for _ in 0..10 {
        charged += u32::from(windows.admit(id, minute).await.is_ok());
    }
    wait_until("the replica has the log", || set.servers[1].say(&["STRLEN", &log]) == "40");
    let epoch = windows.store.epoch(0);
    assert_eq!(set.sentinels[0].say(&["SENTINEL", "FAILOVER", NAME]), "OK");
    let mut failures = Vec::new();
    let following = async {
        // until the old one is demoted and left, and the new one answers
        // a sentinel breaks all connections to the old one, that of this question too
        let is_demoted = || {
            let role = set.servers[0].try_say(&["ROLE"]);
            role.is_some_and(|role| role.starts_with("slave"))
        };
        while !is_demoted() || windows.store.epoch(0) == epoch {
            match windows.admit(id, minute).await {
                Ok(_) => charged += 1,
                Err(error) => failures.push(error.failure()),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(25), following).await.unwrap();
    let answer = windows.until_decided(id, minute).await;
    println!("sentinel: planned failover, {charged} charged, failures {failures:?}");
    assert!(answer.epoch() > epoch, "L606");
    assert!(set.servers[1].say(&["ROLE"]).starts_with("master"));
    assert_eq!(windows.admit(id, minute).await.map(|answer| answer.is_admitted()), Ok(true));
    let known = [StoreFailure::ReadOnly, StoreFailure::Closed, StoreFailure::Refused];
    assert!(failures.iter().all(|failure| known.contains(failure)), "L613: {failures:?}");
}

/// A sentinel that takes connections and says nothing stands first; the others are asked at the same time.
#[tokio::test]
async fn a_sentinel_that_hangs_stops_nobody() {
    let Some(set) = SentinelSet::start(PASSWORD) else { return };
    let hole = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let mut urls = vec![format!("redis://127.0.0.1:{}", hole.local_addr().unwrap().port())];
    urls.extend(set.urls());
    let windows = Windows::new(&redis(&urls));
    let began = tokio::time::Instant::now();
    assert_eq!(left(&windows.admit("a", limit(9, 60_000)).await.unwrap()), 8, "L613");
    println!("sentinel: the first of four hangs, connected after {:?}", began.elapsed());
}

#[tokio::test]
async fn a_user_behind_sentinels_needs_to_ask_for_its_role() {
    let Some(set) = SentinelSet::start(PASSWORD) else { return };
    let docs = include_str!("../src/store/redis/windows.rs").replace("\n/// ", " ");
    assert!(docs.contains("`+role` behind a Sentinel set"), "L329");
    let rights = ["+evalsha", "+script|load", "+time", "+get", "+set", "+hello", "~tb:rl1:*"];
    for (name, role, want) in [("a", Some("+role"), true), ("b", None, false)] {
        let mut words = vec!["ACL", "SETUSER", name, "on", ">other"];
        words.extend(rights);
        words.extend(role);
        assert_eq!(set.servers[0].say(&words), "OK");
        let urls = set.urls();
        let redis = Redis::sentinel(urls.iter().map(String::as_str), NAME).unwrap();
        let redis = redis.login(Some(name), Some("other"), 0);
        let answer = Windows::new(&redis).admit("a", limit(9, 60_000)).await;
        println!("sentinel: with {role:?}: {answer:?}");
        assert_eq!(answer.is_ok(), want, "L329 {name}");
    }
}
