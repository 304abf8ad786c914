//! Servers with a password, limiters over them, callers, and what they are told.

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use tower_bearer::audit::{AuditSink, Event};
use tower_bearer::clock::{Clock, SystemClock};
use tower_bearer::limit::{Limiter, LimiterBuilder, Policy};
use tower_bearer::rejection::RejectionKind;
use tower_bearer::store::{Redis, RedisWindows};
use tower_bearer::{AuthContext, QuotaSource};

use crate::figure::{Figure, p99, within_ms, within_us};
use crate::leaks::Watch;
use crate::limits::{Desk, limit};
use crate::server::RedisServer;

/// Of every server here; no output may show it.
pub(crate) const PASSWORD: &str = "hunter2-CaNaRy0";

/// Looks at all that comes out.
pub(crate) fn watch() -> &'static Watch {
    static WATCH: LazyLock<Watch> = LazyLock::new(Watch::default);
    &WATCH
}

/// A server that asks for the password.
pub(crate) fn server() -> RedisServer {
    RedisServer::start_with(&["--requirepass", PASSWORD]).unwrap()
}

pub(crate) fn url(port: u16) -> String {
    format!("redis://:{PASSWORD}@127.0.0.1:{port}")
}

pub(crate) fn windows(port: u16) -> RedisWindows {
    RedisWindows::new(&Redis::open(&url(port)).unwrap())
}

/// One process's callers and events.
pub(crate) struct Scene {
    pub(crate) desk: Desk,
    events: Events,
}

/// Events of limits: name and reason.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<String>>>);

impl AuditSink for Events {
    fn record(&self, event: &Event<'_>) {
        watch().look_at("an event", event);
        let name = event.name.as_str();
        if name.starts_with("limit.") && !name.ends_with("denied") {
            self.0.lock().unwrap().push(format!("{name} {}", event.reason.unwrap_or("-")));
        }
    }
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::at(SystemClock::new())
    }

    pub(crate) fn at(clock: impl Clock) -> Self {
        let events = Events::default();
        let desk = Desk::with(|builder| builder.clock(clock).audit(events.clone()));
        Self { desk, events }
    }

    pub(crate) fn builder(count: u32, window_ms: u64, windows: RedisWindows) -> LimiterBuilder {
        watch().look_at("windows", &windows);
        let policy = Policy::per_token(limit(count, window_ms));
        let builder = Limiter::builder().policy(policy).store(windows);
        watch().look_at("a builder", &builder);
        builder
    }

    /// `count` per `window_ms` and token, in the server at this port.
    pub(crate) fn limiter(&self, count: u32, window_ms: u64, port: u16) -> Limiter {
        let limiter = Self::builder(count, window_ms, windows(port)).build().unwrap();
        watch().look_at("a limiter", &limiter);
        limiter
    }

    pub(crate) async fn caller(&self, name: &str) -> AuthContext {
        self.desk.auth.authenticate(&self.desk.token(name, "acc-member")).await.unwrap()
    }

    pub(crate) async fn callers(&self, name: &str, count: usize) -> Vec<AuthContext> {
        let mut callers = Vec::new();
        for number in 0..count {
            callers.push(self.caller(&format!("{name}{number}")).await);
        }
        callers
    }

    /// Since it was asked last.
    pub(crate) fn events(&self) -> Vec<String> {
        std::mem::take(&mut *self.events.0.lock().unwrap())
    }

    /// The reason of the one outage since it was asked last.
    pub(crate) fn reason(&self) -> String {
        let events = self.events();
        let mut begun = events.iter().filter_map(|event| event.strip_prefix("limit.degraded "));
        begun.next().unwrap_or("none").to_owned()
    }

    /// How long since `began` until the store decides again.
    pub(crate) async fn back(&self, limiter: &Limiter, began: Instant) -> Duration {
        // new callers: whom the logs here deny the store is not asked about
        for number in 0.. {
            let caller = self.caller(&format!("back{number}")).await;
            if ask(limiter, &caller).await.0 == Said::Store {
                return began.elapsed();
            }
            assert!(began.elapsed() < Duration::from_secs(15), "it does not come back");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        unreachable!()
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Said {
    Store,
    Fallback,
    Open,
    Denied(u32),
    Undecided,
}

impl Said {
    pub(crate) fn is_admitted(self) -> bool {
        matches!(self, Self::Store | Self::Fallback)
    }

    pub(crate) fn is_denied(self) -> bool {
        matches!(self, Self::Denied(_))
    }
}

/// What a call comes to, and how long it takes.
pub(crate) async fn ask(limiter: &Limiter, caller: &AuthContext) -> (Said, Duration) {
    let began = Instant::now();
    let told = limiter.check(caller, 1).await;
    let took = began.elapsed();
    let said = match told {
        Ok(None) => Said::Open,
        Ok(Some(quota)) if quota.source == QuotaSource::Store => Said::Store,
        Ok(Some(_)) => Said::Fallback,
        Err(refused) => {
            watch().look_at_error("a rejection", &refused);
            let mut under = refused.source();
            while let Some(error) = under {
                watch().look_at_error("a source", &error);
                under = error.source();
            }
            if refused.kind() == RejectionKind::RateLimited {
                Said::Denied(refused.retry_after_ms().unwrap())
            } else {
                assert_eq!(refused.kind(), RejectionKind::Undecidable);
                Said::Undecided
            }
        }
    };
    (said, took)
}

/// So many calls, one after the other.
pub(crate) async fn row(limiter: &Limiter, caller: &AuthContext, count: usize) -> Calls {
    let mut calls = Calls::default();
    for _ in 0..count {
        calls.0.push(ask(limiter, caller).await);
    }
    calls
}

/// So many calls at once.
pub(crate) async fn crowd(limiter: &Limiter, caller: &AuthContext, count: usize) -> Calls {
    let call = |_| {
        let (limiter, caller) = (limiter.clone(), caller.clone());
        tokio::spawn(async move { ask(&limiter, &caller).await })
    };
    let running: Vec<_> = (0..count).map(call).collect();
    let mut calls = Calls::default();
    for call in running {
        calls.0.push(call.await.unwrap());
    }
    calls
}

/// What some calls came to.
#[derive(Default)]
pub(crate) struct Calls(pub(crate) Vec<(Said, Duration)>);

impl Calls {
    pub(crate) fn count(&self, of: impl Fn(Said) -> bool) -> usize {
        self.0.iter().filter(|(said, _)| of(*said)).count()
    }

    pub(crate) fn admitted(&self) -> usize {
        self.count(Said::is_admitted)
    }

    pub(crate) fn denied(&self) -> usize {
        self.count(Said::is_denied)
    }

    pub(crate) fn longest(&self) -> Duration {
        self.0.iter().map(|(_, took)| *took).max().unwrap_or_default()
    }

    /// The longest call, which must not outlast a deadline by more than the turn of a clock.
    pub(crate) fn none_over_30_ms(&self) -> Figure {
        within_ms("longest_request", self.longest(), 30)
    }
}

/// What a breaker that is open adds to a request.
pub(crate) async fn added_while_open(limiter: &Limiter, caller: &AuthContext) -> Figure {
    let mut times: Vec<Duration> =
        row(limiter, caller, 5_000).await.0.into_iter().map(|(_, took)| took).collect();
    within_us("dead_added_p99", p99(&mut times), 1_000)
}

/// Tasks that the runtime has now.
pub(crate) fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// Calls of one command since `CONFIG RESETSTAT`.
pub(crate) fn count_of(server: &RedisServer, command: &str) -> usize {
    let info = server.say(&["INFO", "commandstats"]);
    let line = format!("cmdstat_{command}:calls=");
    let calls = info.lines().find_map(|found| found.strip_prefix(&line));
    calls.and_then(|calls| calls.split(',').next()?.parse().ok()).unwrap_or(0)
}

/// All logs in the server: their keys.
pub(crate) fn logs(server: &RedisServer) -> Vec<String> {
    let keys = server.say(&["KEYS", "tb:rl1:*}token:*"]);
    keys.split(' ').filter(|key| !key.is_empty()).map(str::to_owned).collect()
}

/// Units in a log.
pub(crate) fn units(server: &RedisServer, key: &str) -> usize {
    server.say(&["STRLEN", key]).parse::<usize>().unwrap() / 4
}

/// One command of somebody with that password.
pub(crate) fn say_as(port: u16, password: &str, words: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    write!(stream, "AUTH {password}\r\n{words}\r\nQUIT\r\n").unwrap();
    let mut told = String::new();
    stream.read_to_string(&mut told).unwrap();
    told
}
