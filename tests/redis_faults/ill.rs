//! The server answers, and what it answers is no.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use tower_bearer::clock::{Clock, Moment, SystemClock};
use tower_bearer::limit::Limiter;

use crate::figure::{Figure, at_most, exactly, must, within_ms};
use crate::proxy::Proxy;
use crate::scene::{
    Calls, PASSWORD, Said, Scene, ask, count_of, row, say_as, server, watch, windows,
};
use crate::server::RedisServer;

pub(crate) async fn script_flushed() -> Vec<Figure> {
    let (scene, server) = (Scene::new(), server());
    let windows = Arc::new(windows(server.port));
    let policy = tower_bearer::limit::Policy::per_token(crate::limits::limit(512, 60_000));
    let limiter = Limiter::builder().policy(policy).store(Arc::clone(&windows)).build().unwrap();
    let callers = scene.callers("a", 64).await;
    let mut calls = Calls::default();
    let mut flushes = 0;
    let mut running = Vec::new();
    for turn in 0..50 {
        if turn % 10 == 5 {
            server.say(&["SCRIPT", "FLUSH"]);
            flushes += 1;
        }
        for caller in &callers {
            let (limiter, caller) = (limiter.clone(), caller.clone());
            running.push(tokio::spawn(async move { ask(&limiter, &caller).await }));
        }
        for call in running.drain(..) {
            calls.0.push(call.await.unwrap());
        }
    }
    let loads = usize::try_from(windows.script_loads()).unwrap();
    vec![
        exactly("errors", calls.count(|said| said != Said::Store), 0),
        exactly("loads", loads, flushes + 1),
        exactly("evals", count_of(&server, "eval"), 0),
        exactly("outages", scene.events().len(), 0),
        calls.none_over_30_ms(),
    ]
}

pub(crate) async fn demoted() -> Vec<Figure> {
    let (scene, server, other) = (Scene::new(), server(), server());
    let proxy = Proxy::to(server.port, 18);
    let limiter = scene.limiter(60, 60_000, proxy.port);
    let caller = scene.caller("a").await;
    let before = row(&limiter, &caller, 10).await;
    let connections = proxy.connections();
    server.say(&["REPLICAOF", "127.0.0.1", &other.port.to_string()]);
    let first = ask(&limiter, &caller).await;
    let began = Instant::now();
    while proxy.connections() == connections && began.elapsed() < Duration::from_secs(2) {
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    let tried = began.elapsed();
    let rest = row(&limiter, &caller, 99).await;
    let reason = scene.reason();
    let mut figures = vec![
        exactly("by_the_store", before.count(|said| said == Said::Store), 10),
        exactly("first_decided_here", usize::from(first.0 == Said::Fallback), 1),
        within_ms("reconnect_tried", tried, 50),
        exactly("admitted_here", usize::from(first.0.is_admitted()) + rest.admitted(), 50),
        must("reason", &reason, "=readonly", reason == "readonly"),
        rest.none_over_30_ms(),
    ];
    server.say(&["REPLICAOF", "NO", "ONE"]);
    figures.push(within_ms("back_to_exact", scene.back(&limiter, Instant::now()).await, 500));
    figures
}

pub(crate) async fn full() -> Vec<Figure> {
    let (scene, server) = (Scene::new(), server());
    let limiter = scene.limiter(60, 60_000, server.port);
    let caller = scene.caller("a").await;
    let before = row(&limiter, &caller, 10).await;
    server.say(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    server.say(&["CONFIG", "SET", "maxmemory", "1mb"]);
    let told = server.say(&["SET", "theirs", "x"]);
    let there = row(&limiter, &caller, 100).await;
    let reason = scene.reason();
    let mut figures = vec![
        must("full", told.split(' ').next().unwrap(), "=-OOM", told.starts_with("-OOM")),
        exactly("by_the_store", before.count(|said| said == Said::Store), 10),
        exactly("admitted_here", there.admitted(), 50),
        must("reason", &reason, "=oom", reason == "oom"),
        there.none_over_30_ms(),
    ];
    server.say(&["CONFIG", "SET", "maxmemory", "0"]);
    figures.push(within_ms("back_to_exact", scene.back(&limiter, Instant::now()).await, 500));
    let keys = server.say(&["KEYS", "tb:*"]);
    let endless = |key: &&str| server.say(&["PTTL", key]) == "-1";
    figures.push(exactly("keys_without_ttl", keys.split(' ').filter(endless).count(), 0));
    figures
}

pub(crate) async fn wrong_password() -> Vec<Figure> {
    let scene = Scene::new();
    let server = RedisServer::start_with(&["--requirepass", "another"]).unwrap();
    let limiter = scene.limiter(60, 60_000, server.port);
    let ready = limiter.ready().await;
    watch().look_at("ready", &ready);
    if let Err(error) = &ready {
        watch().look_at_error("ready", error);
    }
    let ready = ready.map_or_else(|error| error.to_string(), |()| "ready".to_owned());
    let caller = scene.caller("a").await;
    let calls = row(&limiter, &caller, 100).await;
    let reason = scene.reason();
    let mut figures = vec![
        must("ready", ready.replace(' ', "_"), "an error", ready.ends_with(": auth")),
        exactly("admitted_here", calls.admitted(), 60),
        must("reason", &reason, "=auth", reason == "auth"),
        calls.none_over_30_ms(),
    ];
    say_as(server.port, "another", &format!("CONFIG SET requirepass {PASSWORD}"));
    figures.push(within_ms("back_to_exact", scene.back(&limiter, Instant::now()).await, 500));
    figures
}

pub(crate) async fn password_changed() -> Vec<Figure> {
    let (scene, server) = (Scene::new(), server());
    let limiter = scene.limiter(60, 60_000, server.port);
    let caller = scene.caller("a").await;
    assert!(limiter.ready().await.is_ok(), "L609");
    let before = row(&limiter, &caller, 10).await;
    say_as(server.port, PASSWORD, "CONFIG SET requirepass another");
    let known = row(&limiter, &caller, 10).await;
    say_as(server.port, "another", "CLIENT KILL TYPE normal");
    let there = row(&limiter, &caller, 100).await;
    // until the new attempts are refused as well
    let began = Instant::now();
    let mut reason = scene.reason();
    while reason == "none" && began.elapsed() < Duration::from_secs(2) {
        ask(&limiter, &caller).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
        reason = scene.reason();
    }
    let mut figures = vec![
        exactly("by_the_store", before.count(|said| said == Said::Store), 10),
        exactly("who_is_in_stays_in", known.count(|said| said == Said::Store), 10),
        exactly("admitted_here", there.admitted(), 40),
        must("reason", &reason, "=auth", reason == "auth"),
        there.none_over_30_ms(),
    ];
    say_as(server.port, "another", &format!("CONFIG SET requirepass {PASSWORD}"));
    figures.push(within_ms("back_to_exact", scene.back(&limiter, Instant::now()).await, 500));
    figures
}

pub(crate) async fn nonsense() -> Vec<Figure> {
    let mut figures = Vec::new();
    for (name, reply) in [
        ("one_number", "*1\r\n:1\r\n"),
        ("a_negative", "*5\r\n:1\r\n:5\r\n:0\r\n:-1\r\n:3\r\n"),
        ("text", "$2\r\nOK\r\n"),
        ("nil", "_\r\n"),
    ] {
        let (scene, fake) = (Scene::new(), Fake::saying(reply));
        let limiter = scene.limiter(60, 60_000, fake.port);
        let caller = scene.caller("a").await;
        let calls = row(&limiter, &caller, 100).await;
        let reason = scene.reason();
        figures.extend([
            exactly(&format!("{name}_admitted_by_it"), calls.count(|said| said == Said::Store), 0),
            exactly(&format!("{name}_admitted_here"), calls.admitted(), 60),
            must(&format!("{name}_reason"), &reason, "=protocol", reason == "protocol"),
            at_most(&format!("{name}_asked"), fake.asked(), 3),
        ]);
    }
    figures
}

/// A server that answers everything well but the one question.
struct Fake {
    port: u16,
    asked: Arc<Mutex<usize>>,
}

impl Fake {
    fn saying(reply: &'static str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(0));
        let counting = Arc::clone(&asked);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let counting = Arc::clone(&counting);
                thread::spawn(move || converse(client, reply, &counting));
            }
        });
        Self { port, asked }
    }

    fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }
}

/// Reads commands, and answers each, until the client goes.
fn converse(client: TcpStream, reply: &str, asked: &Mutex<usize>) -> Option<()> {
    let mut writer = client.try_clone().ok()?;
    let mut reader = BufReader::new(client);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let words: usize = line.trim_end().strip_prefix('*')?.parse().ok()?;
        let mut first = Vec::new();
        for number in 0..words {
            let mut len = String::new();
            reader.read_line(&mut len).ok()?;
            let mut word = vec![0; len.trim_end().strip_prefix('$')?.parse::<usize>().ok()? + 2];
            reader.read_exact(&mut word).ok()?;
            if number == 0 {
                first = word;
            }
        }
        let answer = match first.trim_ascii_end() {
            b"HELLO" => "%1\r\n$5\r\nproto\r\n:3\r\n",
            b"EVALSHA" => {
                *asked.lock().unwrap() += 1;
                reply
            }
            b"SCRIPT" => "$40\r\n0123456789012345678901234567890123456789\r\n",
            _ => "+OK\r\n",
        };
        writer.write_all(answer.as_bytes()).ok()?;
    }
}

/// A clock that goes wrong by so many milliseconds.
struct Off(SystemClock, i64);

impl Clock for Off {
    fn now(&self) -> Moment {
        let now = self.0.now();
        let by = Duration::from_millis(self.1.unsigned_abs());
        let ahead = self.1 > 0;
        let wall =
            if ahead { now.wall().saturating_add(by) } else { now.wall().saturating_sub(by) };
        let monotonic = now.monotonic() + if ahead { by } else { Duration::ZERO };
        Moment::new(wall, monotonic)
    }
}

pub(crate) async fn clocks_apart() -> Vec<Figure> {
    let server = server();
    let mut replicas = Vec::new();
    for off in [-300_000, 0, 300_000] {
        let scene = Scene::at(Off(SystemClock::new(), off));
        let limiter = scene.limiter(60, 60_000, server.port);
        replicas.push((limiter, scene.caller("a").await));
    }
    // in turn, so that each sees what the others spent
    let (mut admitted, mut waits, mut by_others) = (0, Vec::new(), 0);
    for turn in 0..150 {
        let (limiter, caller) = &replicas[turn % replicas.len()];
        let (said, _) = ask(limiter, caller).await;
        match said {
            Said::Denied(wait) => waits.push(wait),
            Said::Store => admitted += 1,
            Said::Fallback | Said::Open | Said::Undecided => by_others += 1,
        }
    }
    let apart = waits.iter().max().unwrap() - waits.iter().min().unwrap();
    vec![
        exactly("admitted", admitted, 60),
        exactly("denied", waits.len(), 90),
        exactly("decided_elsewhere", by_others, 0),
        // of a minute, not of five
        at_most("waits_apart_ms", usize::try_from(apart).unwrap(), 5_000),
    ]
}
