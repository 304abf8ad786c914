//! Over TLS a Redis is believed by its certificate alone, and its user needs the rights that the docs name and no other.
#![cfg(feature = "redis-tls")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may stop at what cannot be"
)]

#[expect(dead_code, reason = "this file uses its part of it")]
#[path = "support/limits.rs"]
mod limits;
#[path = "support/log.rs"]
mod log;
#[expect(dead_code, reason = "this file uses its part of it")]
#[path = "support/places.rs"]
mod places;
#[path = "support/redis.rs"]
#[expect(dead_code, reason = "this file uses its part of it")]
mod server;
#[path = "support/tls.rs"]
mod tls;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tower_bearer::limit::{Limiter, Policy};
use tower_bearer::store::{
    ContextStore, Redis, RedisBus, RedisContexts, RedisWindows, SharedKey, StoreFailure,
};
use tower_bearer::token::Digest;

use places::{Said, Stay, Windows, ask, contexts_work, left, limit, tell};
use server::RedisServer;
use tls::Authority;

/// Reading the system's own certificates alone may take a debug build as long as all of it may by default.
fn redis(url: &str, pem: &str) -> Redis {
    let redis = Redis::open(url).unwrap().root_certificate(pem);
    redis.connect_within(Duration::from_millis(750)).unwrap()
}

#[tokio::test]
async fn all_adapters_over_tls() {
    log::listen();
    let authority = Authority::new("ours");
    let Some(server) = authority.server("localhost", &[]) else { return };
    let redis = redis(&format!("rediss://localhost:{}", server.port), &authority.pem);
    let windows = Windows::new(&redis);
    for wanted in [8, 7] {
        let answer = windows.admit_both("account:acc-1", limit(9, 60_000)).await.unwrap();
        assert_eq!(left(&answer), wanted);
    }
    contexts_work(&redis).await;
    let stay = Stay::on(&redis).await;
    tell(&RedisBus::new(&redis), "acc-1").await.unwrap();
    stay.until_notices(1).await;
    assert!(server.plain.say(&["INFO", "server"]).contains("tcp_port"));
}

#[tokio::test]
async fn who_cannot_prove_its_name_is_not_asked() {
    log::listen();
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let Some(right) = ours.server("localhost", &[]) else { return };
    let Some(wrong_name) = ours.server("elsewhere.test", &[]) else { return };
    let at = |scheme: &str, port: u16| format!("{scheme}://user:hunter2@localhost:{port}");
    let logged = Logged::start();
    for (name, url, pem) in [
        ("XN19 another authority", at("rediss", right.port), theirs.pem.as_str()),
        ("XN19 another name", at("rediss", wrong_name.port), &ours.pem),
        ("no TLS there", at("rediss", right.plain.port), &ours.pem),
        ("TLS there alone", at("redis", right.port), &ours.pem),
        ("no certificate", at("rediss", right.port), "hunter2"),
    ] {
        let redis = redis(&url, pem);
        let error = Windows::new(&redis).admit("a", limit(9, 60_000)).await.unwrap_err();
        let failure = error.failure();
        println!("tls {name}: {failure:?}");
        assert!(failure.counts(), "{name}: {failure:?}");
        assert_ne!(failure, StoreFailure::Auth, "{name}: the password never left");
        let heard = Stay::begin(&redis).end().await;
        assert!(heard.counts() && heard != StoreFailure::Auth, "{name}: {heard:?}");
        let key = SharedKey::new([7; 16], Digest::of("tba_1"));
        let found = RedisContexts::new(&redis).find(&key).await.unwrap_err();
        let found = found.failure();
        assert!(found.counts() && found != StoreFailure::Auth, "{name}: {found:?}");
        let desk = limits::Desk::new();
        let caller = desk.auth.authenticate(&desk.token("one", "acc-1")).await.unwrap();
        let limiter = Limiter::builder()
            .policy(Policy::per_token(limit(2, 60_000)))
            .store(RedisWindows::new(&redis))
            .build()
            .unwrap();
        for want in [Said::Fallback, Said::Fallback, Said::Denied] {
            assert_eq!(ask(&limiter, &caller).await, want, "L604 {name}");
        }
        let shown = format!("{error} {error:?} {redis:?} {limiter:?} {}", logged.text());
        assert!(!shown.contains("hunter2"), "XK2 {name}: {shown}");
    }
    for server in [&right, &wrong_name] {
        let seen = server.plain.say(&["INFO", "commandstats"]);
        assert!(!seen.contains("hello") && !seen.contains("evalsha"), "never in plain: {seen}");
    }
}

/// What one of the adapters needs, as its documentation says.
struct Rights {
    name: &'static str,
    all: &'static [&'static str],
}

/// `+hello` is there for Redis 6.2: since 7.0 nobody can be forbidden to say it.
const RIGHTS: [Rights; 3] = [
    Rights {
        name: "windows",
        all: &["+evalsha", "+script|load", "+time", "+get", "+set", "+hello", "~tb:rl1:*"],
    },
    Rights {
        name: "bus",
        all: &[
            "+evalsha",
            "+script|load",
            "+incr",
            "+publish",
            "+subscribe",
            "+get",
            "+hello",
            "~tb:revoked:n",
            "&tb:revoked",
        ],
    },
    Rights { name: "contexts", all: &["+get", "+set", "+hello", "~tb:ctx:*"] },
];

/// Uses all that an adapter does; why not, if it cannot.
async fn use_all(name: &str, redis: &Redis) -> Result<(), StoreFailure> {
    match name {
        "windows" => {
            let admitted = Windows::new(redis).admit_both("account:acc-1", limit(99, 60_000)).await;
            admitted.map(drop).map_err(|error| error.failure())
        }
        "bus" => {
            let told = tell(&RedisBus::new(redis), "acc-1").await;
            told.map_err(|error| error.failure())?;
            let stay = Stay::begin(redis);
            tokio::select! {
                end = stay.end() => Err(end),
                () = stay.until_joined(1) => Ok(()),
            }
        }
        _ => {
            let contexts = RedisContexts::new(redis);
            let key = SharedKey::new([7; 16], Digest::of("tba_1"));
            let minute = Duration::from_secs(60);
            contexts.keep(&key, b"a", minute).await.map_err(|error| error.failure())?;
            contexts.bury(&key, b"b", minute).await.map_err(|error| error.failure())?;
            contexts.find(&key).await.map(drop).map_err(|error| error.failure())
        }
    }
}

#[tokio::test]
async fn a_user_needs_the_rights_of_the_docs_and_no_other() {
    log::listen();
    let authority = Authority::new("ours");
    let Some(server) = authority.server("localhost", &[]) else { return };
    let logged = Logged::start();
    for rights in RIGHTS {
        let docs = match rights.name {
            "windows" => include_str!("../src/store/redis/windows.rs"),
            "bus" => include_str!("../src/store/redis/bus.rs"),
            _ => include_str!("../src/store/redis/contexts.rs"),
        };
        let line = rights.all.join(" ").replace("tb:", "NAMESPACE:");
        let text = docs.replace("\n/// ", " ");
        assert!(text.contains(&format!("`{line}`")), "L329 the docs say so: {line}");
        for without in std::iter::once(None).chain(rights.all.iter().map(Some)) {
            let user = format!("u{}", without.map_or(0, |right| right.len()));
            server.plain.say(&["ACL", "DELUSER", &user]);
            let granted = rights.all.iter().filter(|right| Some(*right) != without);
            let mut words = vec!["ACL", "SETUSER", &user, "on", ">hunter2"];
            words.extend(granted);
            assert_eq!(server.plain.say(&words), "OK", "L329 {words:?}");
            server.plain.say(&["SCRIPT", "FLUSH"]);
            let url = format!("rediss://{user}:hunter2@localhost:{}", server.port);
            let redis = redis(&url, &authority.pem);
            let used = use_all(rights.name, &redis).await;
            let want = match without {
                None | Some(&"+hello") => Ok(()),
                Some(_) => Err(StoreFailure::Auth),
            };
            assert_eq!(used, want, "L329 L614 {} without {without:?}", rights.name);
        }
    }
    let wrong = format!("rediss://nobody:hunter2@localhost:{}", server.port);
    for rights in RIGHTS {
        let used = use_all(rights.name, &redis(&wrong, &authority.pem)).await;
        assert_eq!(used, Err(StoreFailure::Auth), "L615 {}", rights.name);
    }
    assert!(!logged.text().contains("hunter2"), "XK2");
}

#[tokio::test]
async fn a_password_that_is_wrong_is_in_no_output() {
    log::listen();
    let Some(server) = RedisServer::start_with(&["--requirepass", "right"]) else { return };
    let url = format!("redis://:hunter2@127.0.0.1:{}", server.port);
    let redis = Redis::open(&url).unwrap();
    let logged = Logged::start();
    let limiter = Limiter::builder()
        .policy(Policy::per_token(limit(2, 60_000)))
        .store(RedisWindows::new(&redis))
        .build()
        .unwrap();
    let error = limiter.ready().await.unwrap_err();
    let shown = format!("{error} {error:?} {redis:?} {limiter:?} {}", logged.text());
    assert!(!shown.contains("hunter2") && shown.contains("auth"), "L609 L651: {shown}");
}

/// What this thread logs, to the last detail.
struct Logged {
    text: Arc<Mutex<Vec<u8>>>,
    _guard: tracing::subscriber::DefaultGuard,
}

impl Logged {
    fn start() -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&text);
        let writer = move || Pen(Arc::clone(&to));
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(writer)
            .finish();
        Self { text, _guard: tracing::subscriber::set_default(subscriber) }
    }

    fn text(&self) -> String {
        String::from_utf8(self.text.lock().unwrap().clone()).unwrap()
    }
}

struct Pen(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Pen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
