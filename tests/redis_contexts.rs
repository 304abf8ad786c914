//! What one process has learned of a token every process on the same Redis knows, and no state of that Redis refuses anybody.
#![cfg(all(feature = "redis", feature = "test-util"))]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may stop at what cannot be"
)]

#[path = "support/proxy.rs"]
#[expect(dead_code, reason = "a test kit of which this file uses a part")]
mod proxy;
#[path = "support/redis.rs"]
#[expect(dead_code, reason = "a test kit of which this file uses a part")]
mod server;
mod support;

use std::time::Duration;

use support::scripted::Scripted;
use support::world::{World, account, kinds, token};
use tower_bearer::Authenticator;
use tower_bearer::clock::ManualClock;
use tower_bearer::store::{ContextStore, Notice, Redis, RedisBus, RedisContexts, RevocationBus};
use tower_bearer::token::Digest;

use proxy::{Proxy, Wire};
use server::{RedisServer, wait_until};

/// Several processes over one source that counts questions.
struct Worlds {
    source: Scripted,
    clock: ManualClock,
    url: String,
}

impl Worlds {
    fn at(url: String) -> Self {
        Self { source: Scripted::default(), clock: ManualClock::new(), url }
    }

    /// One more process; gives up after `ms`, so that a slow machine is no outage.
    fn process_with(&self, ms: u64) -> World {
        let contexts = RedisContexts::new(&Redis::open(&self.url).unwrap());
        let auth = Authenticator::builder(kinds(), self.source.clone());
        let auth = auth.clock(self.clock.clone()).ttl_jitter(0.0).name("api");
        let auth = auth.shared_cache(contexts);
        let auth = auth.shared_cache_deadline(Duration::from_millis(ms)).build().unwrap();
        World { store: self.source.clone(), clock: self.clock.clone(), auth }
    }

    fn process(&self) -> World {
        self.process_with(250)
    }

    fn asked(&self) -> usize {
        self.source.tokens.calls()
    }
}

/// Why a token is refused; `ok` if it is accepted.
async fn says(world: &World, token: &str) -> &'static str {
    let verdict = world.auth.authenticate(token).await;
    verdict.map_or_else(|rejection| rejection.reason().as_str(), |_| "ok")
}

/// The one key that a digest has.
fn key(server: &RedisServer, digest: &Digest) -> String {
    let keys = server.say(&["KEYS", &format!("*{}", digest.to_hex())]);
    assert!(!keys.is_empty() && !keys.contains(' '), "one key: {keys}");
    keys
}

#[tokio::test]
async fn the_source_is_asked_by_one() {
    let Some(server) = RedisServer::start() else { return };
    let worlds = Worlds::at(server.url());
    let (a, b) = (worlds.process(), worlds.process());
    let text = token("tst_", 1);
    let digest = a.token(&text, account("acc-1"), "full");
    assert_eq!((says(&a, &text).await, says(&b, &text).await), ("ok", "ok"), "P609");
    assert_eq!(worlds.asked(), 1, "P609 P626 B asked Redis");

    let key = key(&server, &digest);
    let parts: Vec<&str> = key.split(':').collect();
    let hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let [namespace, word, fingerprint, found] = parts[..] else { panic!("P626 {key}") };
    assert_eq!((namespace, word, found), ("tb", "ctx", &*digest.to_hex()), "P626");
    assert!(fingerprint.len() == 32 && hex(fingerprint), "P626 {key}");
    let pttl: u64 = server.say(&["PTTL", &key]).parse().unwrap();
    assert!((1..=30_000).contains(&pttl), "P626 P627 it lives {pttl} ms");
    let value = server.say(&["GET", &key]);
    assert!(value.contains(r#""v":1"#) && !value.contains(&text[4..]), "P622 no token: {value}");

    let brief = token("tst_", 2);
    let digest = a.token_for(&brief, account("acc-1"), "full", Duration::from_secs(5));
    assert_eq!(says(&a, &brief).await, "ok");
    let pttl: u64 = server.say(&["PTTL", &self::key(&server, &digest)]).parse().unwrap();
    assert!((1..=5_000).contains(&pttl), "P627 not beyond the token's own end: {pttl} ms");
    assert_eq!(says(&a, &token("tst_", 3)).await, "unknown_token");
    assert_eq!(server.say(&["DBSIZE"]), "2", "P627 no negative entry");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tombstone_stands_over_everything() {
    let Some(server) = RedisServer::start() else { return };
    let worlds = Worlds::at(server.url());
    let a = worlds.process();
    let text = token("tst_", 1);
    let digest = a.token(&text, account("acc-1"), "full");
    assert_eq!(says(&a, &text).await, "ok", "DK17 an entry is there");
    let entry = server.say(&["GET", &key(&server, &digest)]);
    a.auth.forget_token(&digest);
    wait_until("DK17 P645 the tombstone", || {
        server.say(&["GET", &key(&server, &digest)]) == r#"{"v":1,"revoked":true}"#
    });
    let pttl: u64 = server.say(&["PTTL", &key(&server, &digest)]).parse().unwrap();
    assert!((30_000..=60_000).contains(&pttl), "DK17 60 s: {pttl}");
    // the source is a replica that lags, and a fill of somebody else comes late
    let asked = worlds.asked();
    assert_eq!(says(&worlds.process(), &text).await, "revoked", "P645 nobody asks the source");
    assert_eq!(worlds.asked(), asked);
    let set = server.say(&["SET", &key(&server, &digest), &entry, "NX", "PX", "30000"]);
    assert_eq!(set, "", "P645 what a fill does is not done");
    assert_eq!(says(&worlds.process(), &text).await, "revoked", "P645 DK17");
}

#[tokio::test]
async fn what_cannot_be_read_is_a_miss() {
    let Some(server) = RedisServer::start() else { return };
    let worlds = Worlds::at(server.url());
    let a = worlds.process();
    let text = token("tst_", 1);
    let digest = a.token(&text, account("acc-1"), "full");
    assert_eq!(says(&a, &text).await, "ok", "warm");
    let key = key(&server, &digest);
    for (row, plant) in [
        ("P691 no object", &["SET", &key, "[]"][..]),
        ("P628 no JSON", &["SET", &key, "\u{1}"]),
        ("P628 another version", &["SET", &key, r#"{"v":2}"#]),
        ("P628 nothing", &["SET", &key, ""]),
        ("P628 another type", &["LPUSH", &key, "x"]),
        ("P628 another type", &["HSET", &key, "v", "1"]),
    ] {
        server.say(&["DEL", &key]);
        server.say(plant);
        let asked = worlds.asked();
        assert_eq!(says(&worlds.process(), &text).await, "ok", "{row}");
        assert_eq!(worlds.asked(), asked + 1, "{row}: the source is asked");
    }
}

#[tokio::test]
async fn a_redis_that_is_out_refuses_nobody() {
    let Some(mut server) = RedisServer::start() else { return };
    let worlds = Worlds::at(server.url());
    let (a, b) = (worlds.process_with(25), worlds.process_with(25));
    let texts: Vec<String> = (1..=20).map(|n| token("tst_", n)).collect();
    for text in &texts {
        a.token(text, account("acc-1"), "full");
    }
    assert_eq!((says(&a, &texts[0]).await, says(&b, &texts[0]).await), ("ok", "ok"));

    server.signal("STOP");
    let asked = worlds.asked();
    for text in &texts[1..11] {
        assert_eq!(says(&b, text).await, "ok", "P691 it hangs: the source is asked");
    }
    assert_eq!(worlds.asked(), asked + 10, "P691");
    server.signal("CONT");
    server.kill();
    for text in &texts[11..] {
        assert_eq!(says(&b, text).await, "ok", "P628 it is dead: the source is asked");
    }
    assert_eq!(worlds.asked(), asked + 19, "P628");
    server.restart();
    wait_until("back", || server.try_say(&["PING"]).is_some());
    let digest = Digest::of(&texts[1]);
    for _ in 0..200 {
        // the breaker lets a try through now and then, by the clock of the authenticator
        worlds.clock.advance(Duration::from_secs(31));
        says(&b, &texts[1]).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        if server.say(&["DBSIZE"]) != "0" {
            break;
        }
    }
    assert!(key(&server, &digest).starts_with("tb:ctx:"), "P628 it is used again");
}

/// Ten loads of a dead Redis: three wait for it, then none does.
#[tokio::test(start_paused = true)]
async fn three_loads_wait_and_then_none() {
    // taken, never accepted from: connecting hangs as it does for a host that is gone
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://user:hunter2@{}", silent.local_addr().unwrap());
    let worlds = Worlds::at(url);
    let a = worlds.process_with(25);
    let mut waited = Vec::new();
    for n in 1..=10 {
        let text = token("tst_", n);
        a.token(&text, account("acc-1"), "full");
        let (ms, said) = support::processes::took(says(&a, &text)).await;
        assert_eq!(said, "ok", "P628");
        waited.push(ms);
    }
    assert!(waited[..3].iter().all(|ms| *ms <= 26), "P628 25 ms each: {waited:?}");
    assert_eq!(waited[3..], [0; 7], "P628 then nobody waits: {waited:?}");
    let contexts = RedisContexts::new(&Redis::open(&worlds.url).unwrap());
    assert!(!format!("{contexts:?} {:?}", a.auth).contains("hunter2"), "XK2");
}

/// What went wrong: a connection over which nothing came back any more was kept until TCP gave it up, a quarter of an hour
/// later. Why: callers give up before the client does, so it never saw a call fail.
#[tokio::test]
async fn a_silent_connection_is_replaced() {
    let Some(server) = RedisServer::start() else { return };
    let proxy = Proxy::to(server.port, 1);
    let redis = Redis::open(&proxy.url()).unwrap();
    let (contexts, bus) = (RedisContexts::new(&redis), RedisBus::new(&redis));
    let key = tower_bearer::store::SharedKey::new([0; 16], Digest::of("a"));
    let second = Duration::from_secs(1);
    contexts.keep(&key, b"{}", second).await.unwrap();
    bus.publish(&Notice::All).await.unwrap();
    for name in ["the shared cache", "the bus"] {
        let ask = async || match name {
            "the bus" => bus.publish(&Notice::All).await.is_ok(),
            _ => contexts.find(&key).await.is_ok(),
        };
        assert!(ask().await, "{name}");
        let connections = proxy.connections();
        proxy.to_client(Wire::BlackHole);
        for _ in 0..3 {
            let soon = Duration::from_millis(25);
            assert!(tokio::time::timeout(soon, ask()).await.is_err(), "{name} is silent");
        }
        for _ in 0..1_000 {
            tokio::time::sleep(Duration::from_millis(2)).await;
            if proxy.connections() > connections {
                break;
            }
        }
        assert!(proxy.connections() > connections, "{name}: it tries another connection");
        proxy.to_client(Wire::Pass);
        let mut is_back = false;
        for _ in 0..1_000 {
            tokio::time::sleep(Duration::from_millis(2)).await;
            is_back = ask().await;
            if is_back {
                break;
            }
        }
        assert!(is_back, "{name}: and answers over it");
    }
}
