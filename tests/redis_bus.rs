//! What one process revokes every process on the same Redis refuses: within milliseconds on the bus, after one life without it.
#![cfg(feature = "redis")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may stop at what cannot be"
)]

#[path = "support/other_process.rs"]
mod other;
#[path = "support/proxy.rs"]
#[expect(dead_code, reason = "a test kit of which this file uses a part")]
mod proxy;
#[path = "support/redis.rs"]
#[expect(dead_code, reason = "a test kit of which this file uses a part")]
mod server;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tower_bearer::audit::{AuditSink, Event};
use tower_bearer::authenticator::{BusState, Revocation};
use tower_bearer::id::{AccountId, AppId, WorkspaceId};
use tower_bearer::store::{Redis, RedisBus, RevokeReason, RevokeTarget, WorkspaceStatus};
use tower_bearer::subject::Subject;
use tower_bearer::token::Digest;

use other::{Other, Side, token, wall_nanos};
use proxy::{Proxy, Wire};
use server::{RedisServer, wait_until};

const LIFE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn other_process() {
    other::other_process().await;
}

/// Names of events, in order.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<&'static str>>>);

impl AuditSink for Events {
    fn record(&self, event: &Event<'_>) {
        self.0.lock().unwrap().push(event.name.as_str());
    }
}

impl Events {
    fn count(&self, name: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|event| **event == name).count()
    }
}

/// This process, on the bus at `url`.
fn here(url: &str) -> (Side, Events) {
    let (redis, events) = (Redis::open(url).unwrap(), Events::default());
    let sink = events.clone();
    (Side::new(|builder| builder.bus(RedisBus::new(&redis)).audit(sink)), events)
}

/// So many authenticators have subscribed and then read the counter, all told since the statistics were reset.
fn joined(server: &RedisServer, count: usize) {
    wait_until("all are on the bus", || {
        let info = server.say(&["INFO", "commandstats"]);
        let reads = info.lines().find_map(|line| line.strip_prefix("cmdstat_get:calls="));
        let reads = reads.and_then(|reads| reads.split(',').next()?.parse().ok());
        server.say(&["PUBSUB", "NUMSUB", "tb:revoked"]) == format!("tb:revoked {count}")
            && reads.is_some_and(|reads: usize| reads >= count)
    });
}

async fn revoke(side: &Side, n: u64) -> BusState {
    let target = RevokeTarget::Digest(Digest::of(&token(n)));
    let ended = side.auth.revoke_token(target, RevokeReason::Admin).await.unwrap();
    let Revocation::Revoked { bus, .. } = ended else { panic!("token {n}: {ended:?}") };
    bus
}

fn ms(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_revocations_in_two_processes() {
    const ROUNDS: u64 = 200;
    let Some(server) = RedisServer::start() else { return };
    let (a, events) = here(&server.url());
    let mut b = Other::start(&server.url(), LIFE);
    joined(&server, 2);
    let (mut took, mut late) = (Vec::new(), 0);
    for n in 1..=ROUNDS {
        a.adopt(n, n, "laptop").await;
        assert_eq!((a.says(n).await, b.says(n).as_str()), ("ok", "ok"), "D38 warm");
        let begun = wall_nanos();
        late += u32::from(revoke(&a, n).await != BusState::Told);
        assert_ne!(a.says(n).await, "ok", "P641 refused here, round {n}");
        let (at, stale) = b.until_refused(n);
        assert_eq!(stale, 0, "D38 and never accepted again, round {n}");
        took.push(at.saturating_sub(begun));
    }
    for n in 1..=ROUNDS {
        assert_eq!(b.says(n), "revoked", "D38 XD6 XM38 its tables say otherwise, token {n}");
    }
    assert_eq!(events.count("token.revoked"), 200, "D30");
    took.sort_unstable();
    let at = |share: usize| ms(took[(took.len() - 1) * share / 100]);
    println!("shared revocation p50={:.2} p99={:.2} ms", at(50), at(99));
    println!(
        "shared revocation max={:.2} ms, late {late} of {ROUNDS}, from call to refusal",
        at(100)
    );
    for (least, most) in [(0, 1), (1, 2), (2, 5), (5, 10), (10, 50), (50, 100_000)] {
        let range = least * 1_000_000..most * 1_000_000;
        let count = took.iter().filter(|nanos| range.contains(*nanos)).count();
        println!("shared revocation {least} to {most} ms: {count}");
    }
    assert!(at(99) < 1_000.0, "D38 far beyond what it takes: {} ms", at(99));

    // a device logs in again: its row stays, its earlier token dies
    let (first, second) = (1_001, 1_002);
    a.adopt(first, first, "laptop").await;
    assert_eq!(b.says(first), "ok", "D44 warm");
    let begun = wall_nanos();
    a.adopt(second, first, "laptop").await;
    assert_ne!(a.says(first).await, "ok", "D44 here");
    let (at, stale) = b.until_refused(first);
    println!("shared rotation {:.2} ms", ms(at.saturating_sub(begun)));
    assert_eq!((stale, b.says(second).as_str()), (0, "ok"), "D44");
    let counter = server.say(&["GET", "tb:revoked:n"]);
    assert_eq!(counter, (ROUNDS + 1).to_string(), "DK14 one number for each");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_bus_one_life_is_the_bound() {
    let Some(server) = RedisServer::start() else { return };
    let proxy = Proxy::to(server.port, 1);
    let (a, events) = here(&proxy.url());
    let life = Duration::from_secs(2);
    let mut b = Other::start(&server.url(), life);
    joined(&server, 2);
    a.adopt(1, 1, "laptop").await;
    assert_eq!((a.says(1).await, b.says(1).as_str()), ("ok", "ok"), "D39 warm");
    proxy.refuse(true);
    proxy.cut();
    let begun = wall_nanos();
    assert_eq!(revoke(&a, 1).await, BusState::Late, "D39 DK12");
    assert_ne!(a.says(1).await, "ok", "D39 here at once");
    b.end_in_tables(1);
    let still = b.says(1);
    let (at, stale) = b.until_refused(1);
    let accepted = ms(at.saturating_sub(begun));
    println!("shared revocation without the bus: accepted {accepted:.0} ms of a life of 2000 ms");
    assert_eq!((still.as_str(), stale), ("ok", 0), "D39 XM36 believed until its life ends");
    assert!(accepted < 4_000.0, "XM36 one life: {accepted} ms");
    assert_eq!(events.count("revocation.bus_late"), 1, "D39 one event for all attempts");
    let told = || server.say(&["GET", "tb:revoked:n"]);
    assert_eq!(told(), "", "nobody was told so far");
    proxy.refuse(false);
    wait_until("DK12 it is told in the end", || told() == "1");
}

/// Connections go down, or go silent; then a few texts that no process of this version writes.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_missed_is_not_believed() {
    let Some(server) = RedisServer::start() else { return };
    let proxy = Proxy::to(server.port, 1);
    let (a, _) = here(&server.url());
    let mut b = Other::start(&proxy.url(), LIFE);
    joined(&server, 2);
    for n in 1..=6 {
        a.adopt(n, n, "laptop").await;
        assert_eq!(b.says(n), "ok", "warm");
    }

    proxy.refuse(true);
    proxy.cut();
    wait_until("cut", || server.say(&["PUBSUB", "NUMSUB", "tb:revoked"]) == "tb:revoked 1");
    for n in [1, 2] {
        assert_eq!(revoke(&a, n).await, BusState::Told, "XM37 A is on the bus");
        b.end_in_tables(n);
        assert_eq!(b.says(n), "ok", "XM37 B heard nothing: its entry is believed");
    }
    let asked = b.asked();
    server.say(&["CONFIG", "RESETSTAT"]);
    proxy.refuse(false);
    joined(&server, 2);
    for n in [1, 2] {
        assert_ne!(b.says(n), "ok", "D41 XM37 stale accept after the reconnect");
    }
    assert_eq!(b.says(3), "ok");
    assert_eq!(b.asked(), asked + 3, "DK16 everything cached was dropped");

    let connections = proxy.connections();
    proxy.to_client(Wire::BlackHole);
    proxy.to_server(Wire::BlackHole);
    let begun = wall_nanos();
    assert_eq!(revoke(&a, 3).await, BusState::Told);
    b.end_in_tables(3);
    wait_until("XM37 the silence is noticed", || proxy.connections() > connections);
    println!("shared bus: silence noticed after {:.0} ms", ms(wall_nanos() - begun));
    server.say(&["CONFIG", "RESETSTAT"]);
    proxy.to_client(Wire::Pass);
    proxy.to_server(Wire::Pass);
    // the silent connection is gone from B's side; the server learns of it later
    wait_until("rejoined", || b.says(3) != "ok");
    println!("shared bus: rejoined after {:.0} ms", ms(wall_nanos() - begun));
    joined(&server, 2);

    let number = || server.say(&["GET", "tb:revoked:n"]).parse::<u64>().unwrap();
    let digest = Digest::of(&token(4)).to_hex();
    for (row, text) in [
        ("D41 no notice", format!("{} nonsense", number() + 1)),
        (
            "D41 another version",
            format!(r#"{} {{"v":2,"t":"token","d":"{digest}"}}"#, number() + 1),
        ),
        ("D41 another type", format!(r#"{} {{"v":1,"t":"cat"}}"#, number() + 1)),
        ("DK16 a gap", format!(r#"{} {{"v":1,"t":"app","p":"app-1"}}"#, number() + 9)),
        ("DK16 a smaller number", r#"1 {"v":1,"t":"app","p":"app-1"}"#.to_owned()),
        ("DK16 no number", "nonsense".to_owned()),
    ] {
        assert_eq!((b.says(4).as_str(), b.says(5).as_str()), ("ok", "ok"), "{row}: warm");
        let asked = b.asked();
        assert_eq!(server.say(&["PUBLISH", "tb:revoked", &text]), "2", "{row}: heard by both");
        wait_until(row, || b.says(4) == "ok" && b.asked() > asked);
        let asked = b.asked();
        assert_eq!(b.says(5), "ok");
        assert_eq!(b.asked(), asked + 1, "{row}: both were dropped");
    }
    assert_eq!(b.says(5), "ok");
    // the number that comes next is smaller than the last one was, so this drops all once more
    b.end_in_tables(5);
    assert_eq!(revoke(&a, 5).await, BusState::Told);
    assert_eq!(b.until_refused(5).1, 0, "DK16 numbers go on from the one that was heard");
    assert_eq!(revoke(&a, 6).await, BusState::Told);
    assert_eq!(
        (b.until_refused(6).1, b.says(6).as_str()),
        (0, "revoked"),
        "and it goes on hearing"
    );
}

/// What a subscriber of another make sees.
#[tokio::test(flavor = "multi_thread")]
async fn the_wire_form_is_fixed() {
    let Some(server) = RedisServer::start() else { return };
    let redis = Redis::open(&server.url()).unwrap().namespace("shop").unwrap();
    let a = Side::new(|builder| builder.bus(RedisBus::new(&redis)));
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(b"SUBSCRIBE shop:revoked\r\n").unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    let mut heard = move || lines.find(|line| line.contains(" {\"v\"")).unwrap();
    wait_until("both are there", || {
        server.say(&["PUBSUB", "NUMSUB", "shop:revoked"]) == "shop:revoked 2"
    });
    a.adopt(1, 1, "laptop").await;
    let (account, app) = (AccountId::new("acc-1").unwrap(), AppId::new("app-1").unwrap());
    let (workspace, subject) =
        (WorkspaceId::new("ws-1").unwrap(), Subject::Account { id: account.clone() });
    a.rows.memory.put_workspace(workspace.clone(), WorkspaceStatus::Active);

    revoke(&a, 1).await;
    let digest = Digest::of(&token(1)).to_hex();
    assert_eq!(heard(), format!(r#"1 {{"v":1,"t":"token","d":"{digest}"}}"#), "DK14 DK15");
    a.auth.forget_caller(&subject);
    let key = subject.key();
    assert_eq!(heard(), format!(r#"2 {{"v":1,"t":"subject","s":"{}"}}"#, key.as_str()), "DK15");
    let cut = a.auth.cut_workspace(&workspace).await.unwrap().unwrap();
    let floor = cut.floor();
    assert_eq!(heard(), format!(r#"3 {{"v":1,"t":"workspace","w":"ws-1","f":{floor}}}"#), "DK15");
    a.auth.member_removed(&workspace, &account, "editor");
    assert_eq!(heard(), r#"4 {"v":1,"t":"member","w":"ws-1","a":"acc-1"}"#, "DK15");
    a.auth.forget_account(&account);
    assert_eq!(heard(), r#"5 {"v":1,"t":"account","a":"acc-1"}"#, "DK15");
    a.auth.forget_app(&app);
    assert_eq!(heard(), r#"6 {"v":1,"t":"app","p":"app-1"}"#, "DK15");
    a.auth.forget_all();
    assert_eq!(heard(), r#"7 {"v":1,"t":"all"}"#, "DK15");
    assert_eq!(server.say(&["GET", "shop:revoked:n"]), "7", "DK14 P1309 the counter");
    assert_eq!(server.say(&["KEYS", "*"]), "shop:revoked:n", "nothing else is kept");
}
