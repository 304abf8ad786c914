//! Several example services on one Redis answer as one, and each by itself while there is none.
#![cfg(feature = "redis")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may stop at what cannot be"
)]
#![expect(clippy::disallowed_methods, reason = "real processes: it reads real time")]

#[path = "support/demo.rs"]
#[expect(dead_code, reason = "a test kit of which this file uses a part")]
mod demo;
#[path = "support/redis.rs"]
#[expect(dead_code, reason = "a test kit of which this file uses a part")]
mod server;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use demo::{Caller, Demo};
use serde_json::json;
use server::{RedisServer, free_port};

/// Tokens given as text, so that every process knows them.
fn seed(name: &str) -> PathBuf {
    let token = |name: &str, text: &str| json!({ "name": name, "kind": "account", "account": "acc-member", "scopes": ["full"], "token": text });
    let seed = json!({
        "workspaces": [{ "id": "ws-north" }],
        "accounts": [{ "id": "acc-member" }],
        "members": [{ "workspace": "ws-north", "account": "acc-member", "role": "editor" }],
        "tokens": TEXTS.map(|(name, text)| token(name, text)),
    });
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-seed.json"));
    std::fs::write(&path, seed.to_string()).unwrap();
    path
}

#[tokio::test]
async fn two_services_are_one() {
    let Some(server) = RedisServer::start() else { return };
    let (seed, url) = (seed("two"), server.url());
    let args = ["--redis", &url, "--seed", seed.to_str().unwrap(), "--limit", "20/3600"];
    let (one, other) = (Demo::start(&args).await, Demo::start(&args).await);
    let caller = Caller::h1();
    let get = |demo: &Demo, path: &str, token: &str| {
        let (caller, url) = (caller.clone(), format!("{}{path}", demo.url));
        let token = token.to_owned();
        async move { caller.bearer("GET", url, &token).await }
    };
    let [limited, ended, moved] = TEXTS.map(|(_, text)| text);

    let mut passed = [0; 2];
    for _ in 0..20 {
        for (demo, count) in [&one, &other].into_iter().zip(&mut passed) {
            *count += u32::from(get(demo, "/me", limited).await.status == 200);
        }
    }
    println!(
        "shared demos passed {} of 40 calls, limit 20, by service {passed:?}",
        passed[0] + passed[1]
    );
    assert_eq!(passed[0] + passed[1], 20, "L851 over two processes");

    assert_eq!(get(&other, "/me", ended).await.status, 200, "D38 warm");
    let begun = Instant::now();
    let gone = caller.bearer("DELETE", format!("{}/tokens/self", one.url), ended).await;
    assert_eq!(gone.status, 204);
    assert_eq!(get(&one, "/me", ended).await.status, 401, "P641");
    while get(&other, "/me", ended).await.status != 401 {
        assert!(begun.elapsed() < Duration::from_secs(10), "D38 XD6 refused at the other");
    }
    println!("shared demos revocation {:.1} ms", begun.elapsed().as_secs_f64() * 1e3);

    let apps = "/workspaces/ws-north/apps";
    assert_eq!(get(&other, apps, moved).await.status, 200, "XG4 warm");
    let begun = Instant::now();
    let member = format!("{}/admin/members/ws-north/acc-member", one.admin);
    assert_eq!(caller.bearer("DELETE", member, "").await.status, 204);
    assert_eq!(get(&one, apps, moved).await.status, 404, "XG4 at once here");
    while get(&other, apps, moved).await.status != 404 {
        assert!(begun.elapsed() < Duration::from_secs(5), "XG4 P1406 before the fact's own end");
    }
    println!("shared demos member removed {:.1} ms", begun.elapsed().as_secs_f64() * 1e3);

    server.say(&["FLUSHALL"]);
    let again = Demo::start(&args).await;
    assert_eq!(get(&again, "/me", moved).await.status, 200, "P1402 given texts are kept");
    for demo in [one, other, again] {
        assert_eq!(demo.signal("TERM").await.code(), Some(0), "P1403 XM34");
    }
}

#[tokio::test]
async fn a_service_starts_without_its_redis() {
    let nobody = format!("redis://user:hunter2@127.0.0.1:{}", free_port());
    let (seed, log) = (seed("alone"), Path::new(env!("CARGO_TARGET_TMPDIR")).join("alone.log"));
    let file = std::fs::File::create(&log).unwrap();
    let args = ["--redis", &nobody, "--seed", seed.to_str().unwrap(), "--limit", "5/3600"];
    let demo = Demo::start_logging(&args, file).await;
    let said = || std::fs::read_to_string(&log).unwrap();
    let at_start = said();
    assert_eq!(at_start.lines().count(), 1, "L916 one line: {at_start}");
    assert!(at_start.starts_with("quickstart: redis is out (refused)"), "L916 {at_start}");
    let mut passed = 0;
    for _ in 0..12 {
        let me = Caller::h1().bearer("GET", format!("{}/me", demo.url), TEXTS[0].1).await;
        passed += u32::from(me.status == 200);
    }
    assert_eq!(passed, 5, "L916 degraded: its own limit holds");
    let gone = Caller::h1().bearer("DELETE", format!("{}/tokens/self", demo.url), TEXTS[1].1).await;
    assert_eq!(gone.status, 204, "DK12 late or not, it is ended");
    assert_eq!(demo.signal("TERM").await.code(), Some(0), "P1403");
    assert!(!said().contains("hunter2"), "XK2 {}", said());
}

#[tokio::test]
async fn a_redis_that_comes_later_is_joined() {
    let Some(mut server) = RedisServer::start() else { return };
    server.kill();
    let (seed, url) = (seed("later"), server.url());
    let args = ["--redis", &url, "--seed", seed.to_str().unwrap(), "--limit", "1000/1"];
    let (one, other) = (Demo::start(&args).await, Demo::start(&args).await);
    let caller = Caller::h1();
    let text = TEXTS[1].1;
    assert_eq!(caller.bearer("GET", format!("{}/me", other.url), text).await.status, 200);
    server.restart();
    let begun = Instant::now();
    while server.say(&["PUBSUB", "NUMSUB", "tb:revoked"]) != "tb:revoked 2" {
        assert!(begun.elapsed() < Duration::from_secs(10), "both join the bus");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    caller.bearer("DELETE", format!("{}/tokens/self", one.url), text).await;
    while caller.bearer("GET", format!("{}/me", other.url), text).await.status != 401 {
        assert!(begun.elapsed() < Duration::from_secs(20), "and what is revoked is refused");
    }
}

const TEXTS: [(&str, &str); 3] = [
    ("limited", "tba_VmGkYiHqL_EO2k60IGjKSjTWND1H9K4MAFeQU33st8c29CoiI"),
    ("ended", "tba_yPhNp422GhgBPTKC8rCBNZ9wMt7gwCV7tDdfcO0Ng8s4EOiuu"),
    ("moved", "tba_KXABzMM40zDfGbLcdpFcKdxy_90RBC7ZEqGERZoRFm41HJjGv"),
];
