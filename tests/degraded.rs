//! While the shared store of windows is out the outage rule decides at once, and no process ever admits more than its limit.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking too")]

#[path = "support/cancel.rs"]
mod cancel;
#[expect(dead_code, reason = "this file uses its part of it")]
#[path = "support/limits.rs"]
mod limits;
#[path = "support/log.rs"]
mod log;
#[expect(dead_code, reason = "this file uses its part of it")]
#[path = "support/shared_windows.rs"]
mod shared_windows;

use cancel::{CancelAt, Left};
use limits::{Desk, get, inner, limit, send, told};
use proptest::prelude::*;
use shared_windows::{Mood, Paused, Server};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Handle;
use tower::Layer;
use tower_bearer::audit::{AuditSink, Event};
use tower_bearer::limit::{Limiter, LimiterBuilder, Outage, Policy};
use tower_bearer::rejection::{Rejection, RejectionKind};
use tower_bearer::stack::{BearerCheck, RateLimit};
use tower_bearer::store::StoreFailure;
use tower_bearer::{AuthContext, QuotaSource};

/// A server, its clock, and callers.
struct Scene {
    clock: Paused,
    server: Server,
    desk: Desk,
    events: Events,
}

/// Events of limits: name and reason.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<String>>>);

impl AuditSink for Events {
    fn record(&self, event: &Event<'_>) {
        let name = event.name.as_str();
        if name.starts_with("limit.") {
            self.0.lock().unwrap().push(format!("{name} {}", event.reason.unwrap_or("-")));
        }
    }
}

impl Scene {
    fn new() -> Self {
        log::listen();
        let (clock, events) = (Paused::new(), Events::default());
        let desk = Desk::with(|builder| builder.clock(clock).audit(events.clone()));
        Self { clock, server: Server::new(clock), desk, events }
    }

    fn limiter(&self, count: u32, window_ms: u64) -> LimiterBuilder {
        let policy = Policy::per_token(limit(count, window_ms));
        Limiter::builder().policy(policy).store(self.server.clone())
    }

    async fn caller(&self, name: &str) -> AuthContext {
        self.desk.auth.authenticate(&self.desk.token(name, "acc-member")).await.unwrap()
    }

    fn events(&self) -> Vec<String> {
        std::mem::take(&mut *self.events.0.lock().unwrap())
    }

    /// Milliseconds that `work` takes, and what it comes to.
    async fn timed<T>(&self, work: impl Future<Output = T>) -> (u64, T) {
        let before = self.clock.ms();
        let done = work.await;
        (self.clock.ms() - before, done)
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Said {
    Store,
    Fallback,
    Denied(u32),
    Undecided,
}

async fn ask(limiter: &Limiter, caller: &AuthContext) -> Said {
    match limiter.check(caller, 1).await {
        Ok(quota) => match quota.map(|quota| quota.source) {
            Some(QuotaSource::Store) => Said::Store,
            Some(QuotaSource::Fallback) => Said::Fallback,
            other => unreachable!("L813 {other:?}"),
        },
        Err(refused) if refused.kind() == RejectionKind::RateLimited => {
            Said::Denied(refused.retry_after_ms().unwrap())
        }
        Err(refused) => {
            assert_eq!(refused.kind(), RejectionKind::Undecidable);
            Said::Undecided
        }
    }
}

fn is_admitted(said: Said) -> bool {
    matches!(said, Said::Store | Said::Fallback)
}

async fn admitted_of(calls: u32, limiter: &Limiter, caller: &AuthContext) -> u32 {
    let mut admitted = 0;
    for _ in 0..calls {
        admitted += u32::from(is_admitted(ask(limiter, caller).await));
    }
    admitted
}

const REFUSED: Mood = Mood::Fails(StoreFailure::Refused);

#[tokio::test(start_paused = true)]
async fn three_policies_over_a_store_that_is_out() {
    for from_the_start in [true, false] {
        for (name, set, want) in [
            (
                "Local",
                (|builder| builder) as fn(LimiterBuilder) -> LimiterBuilder,
                [
                    r#"200 ratelimit-policy: "token";q=2;w=60 | ratelimit: "token";r=1;t=60"#,
                    r#"200 ratelimit-policy: "token";q=2;w=60 | ratelimit: "token";r=0;t=60"#,
                    r#"429 retry-after: 60 | ratelimit-policy: "token";q=2;w=60 | ratelimit: "token";r=0;t=60"#,
                ],
            ),
            ("Closed", |builder| builder.on_outage(Outage::Closed), ["503 retry-after: 1"; 3]),
            ("Open", LimiterBuilder::dangerously_open_on_outage, ["200"; 3]),
        ] {
            let scene = Scene::new();
            let limiter = set(scene.limiter(2, 60_000)).build().unwrap();
            let service = BearerCheck::new(&scene.desk.auth)
                .layer(RateLimit::from(&limiter).layer(inner(200).0));
            let token = scene.desk.token("full", "acc-member");
            if !from_the_start {
                let other = scene.desk.token("other", "acc-member");
                let known = send(&service, get("/me", &other)).await;
                assert_eq!(known.status(), 200, "L642 {name} before");
            }
            scene.server.set(REFUSED);
            for want in want {
                assert_eq!(told(&send(&service, get("/me", &token)).await), want, "L642 {name}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn closed_is_503_and_never_429() {
    let scene = Scene::new();
    scene.server.set(REFUSED);
    let limiter = scene.limiter(1, 60_000).on_outage(Outage::Closed).build().unwrap();
    let service =
        BearerCheck::new(&scene.desk.auth).layer(RateLimit::from(&limiter).layer(inner(200).0));
    let token = scene.desk.token("full", "acc-member");
    for _ in 0..100 {
        let response = send(&service, get("/me", &token)).await;
        assert_eq!(told(&response), "503 retry-after: 1", "L643, L603");
        let kind = response.extensions().get::<Rejection>().unwrap().kind();
        assert_eq!(kind, RejectionKind::Undecidable, "L643");
    }
    assert_eq!((scene.server.calls(), limiter.undecided()), (3, 100), "L632");
}

#[tokio::test(start_paused = true)]
async fn a_route_may_have_its_own_rule() {
    let scene = Scene::new();
    scene.server.set(REFUSED);
    let limiter = scene.limiter(2, 60_000).on_outage(Outage::Closed).build().unwrap();
    let route = |outage: Option<Outage>| {
        let layer = RateLimit::from(&limiter);
        let layer = outage.into_iter().fold(layer, RateLimit::on_outage);
        BearerCheck::new(&scene.desk.auth).layer(layer.layer(inner(200).0))
    };
    let token = scene.desk.token("full", "acc-member");
    let (local, own) = (route(Some(Outage::Local)), route(None));
    for (name, service, want) in [
        ("its own is Closed", &own, 503),
        ("Local", &local, 200),
        ("Closed, but charged here", &own, 503),
        ("Local", &local, 429),
        ("Closed", &own, 503),
    ] {
        let status = send(service, get("/me", &token)).await.status();
        assert_eq!(status, want, "L602 {name}");
    }
}

#[tokio::test(start_paused = true)]
async fn logs_in_process_are_warm_and_both_must_agree_afterwards() {
    let scene = Scene::new();
    let (limiter, caller) =
        (scene.limiter(60, 60_000).build().unwrap(), scene.caller("full").await);
    for number in 0..40 {
        assert_eq!(ask(&limiter, &caller).await, Said::Store, "L644 {number}");
    }
    tokio::time::advance(Duration::from_millis(500)).await;
    scene.server.set(REFUSED);
    for number in 0..40 {
        let want = if number < 20 { Said::Fallback } else { Said::Denied(59_500) };
        assert_eq!(ask(&limiter, &caller).await, want, "L644 {number}");
    }
    scene.server.restart_empty();
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    assert_eq!(scene.events(), ["limit.degraded refused", "limit.restored -"], "L634");
    let calls = scene.server.calls();
    for number in 0..60 {
        assert_eq!(ask(&limiter, &caller).await, Said::Denied(58_500), "L645 {number}");
    }
    assert_eq!(scene.server.calls(), calls, "L606 denied here, so nobody is asked");
    tokio::time::advance(Duration::from_millis(58_500)).await;
    assert_eq!(admitted_of(60, &limiter, &caller).await, 40, "L645 as many as left");
    assert_eq!(scene.server.calls(), calls + 40, "L606");
    // L608: the 20 that were decided here are nowhere in the server's log
    assert_eq!(scene.server.state().admitted.len(), 80, "L608");
}

#[tokio::test(start_paused = true)]
async fn the_store_denies_and_the_charge_here_is_taken_back() {
    let scene = Scene::new();
    let caller = scene.caller("full").await;
    let (one, other) =
        (scene.limiter(3, 10_000).build().unwrap(), scene.limiter(3, 10_000).build().unwrap());
    // both must agree at `one` from here on
    scene.server.set(Mood::Fails(StoreFailure::Log));
    assert_eq!(ask(&one, &caller).await, Said::Fallback, "L617");
    scene.server.set(Mood::Good);
    assert_eq!(admitted_of(4, &other, &caller).await, 3);
    for _ in 0..20 {
        assert!(matches!(ask(&one, &caller).await, Said::Denied(_)), "L606");
    }
    tokio::time::advance(Duration::from_millis(9_999)).await;
    scene.server.set(REFUSED);
    // the log here has the one of the start; all that was charged for the store's denials is gone
    assert_eq!(admitted_of(4, &one, &caller).await, 2, "L606");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_may_have_forgotten_needs_both() {
    for during in [false, true] {
        let scene = Scene::new();
        let (limiter, caller) =
            (scene.limiter(5, 10_000).build().unwrap(), scene.caller("full").await);
        assert_eq!(admitted_of(5, &limiter, &caller).await, 5);
        // what the store says would let 5 more in
        if during {
            tokio::time::advance(Duration::from_millis(9_990)).await;
            scene.server.state().there = Duration::from_millis(15);
            assert_eq!(ask(&limiter, &caller).await, Said::Store, "by the server's clock");
            let (asked, restarted) = tokio::join!(admitted_of(1, &limiter, &caller), async {
                tokio::time::sleep(Duration::from_millis(1)).await;
                scene.server.restart_empty();
            });
            let () = restarted;
            assert_eq!(asked, 1, "room is here too");
            assert_eq!(admitted_of(9, &limiter, &caller).await, 3, "L606 both: 2 of 5 are there");
        } else {
            scene.server.restart_empty();
            tokio::time::advance(Duration::from_millis(1_000)).await;
            assert_eq!(ask(&limiter, &caller).await, Said::Denied(9_000), "L606");
            tokio::time::advance(Duration::from_millis(9_000)).await;
            assert_eq!(admitted_of(9, &limiter, &caller).await, 5, "L606");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_slow_reply_is_decided_here_and_asked_once() {
    let scene = Scene::new();
    let (limiter, caller) =
        (scene.limiter(60, 60_000).build().unwrap(), scene.caller("full").await);
    assert_eq!(ask(&limiter, &caller).await, Said::Store);
    scene.server.state().delays.push(Duration::from_millis(60));
    let (took, said) = scene.timed(ask(&limiter, &caller)).await;
    assert_eq!((took, said), (25, Said::Fallback), "L601, L647");
    assert_eq!(scene.server.calls(), 2, "L647, XR28 never sent again");
    for _ in 0..10 {
        assert_eq!(ask(&limiter, &caller).await, Said::Store, "L647");
    }
    assert_eq!((scene.server.calls(), scene.events()), (12, vec![]), "L647 breaker closed");
}

#[tokio::test(start_paused = true)]
async fn the_fourth_is_not_kept_waiting() {
    let scene = Scene::new();
    scene.server.set(Mood::Hangs);
    let (limiter, caller) =
        (scene.limiter(60, 60_000).build().unwrap(), scene.caller("full").await);
    for want in [25, 25, 25, 0] {
        let (took, said) = scene.timed(ask(&limiter, &caller)).await;
        assert_eq!((took, said), (want, Said::Fallback), "L653, L631, XM13");
        if want > 0 {
            tokio::time::advance(Duration::from_millis(100)).await;
        }
    }
    assert_eq!(scene.server.state().given_up, [0], "the connection should go");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_at_once_over_a_store_that_hangs() {
    let scene = Scene::new();
    scene.server.set(Mood::Hangs);
    let (limiter, caller) =
        (scene.limiter(60, 60_000).build().unwrap(), scene.caller("full").await);
    let tasks = Handle::current().metrics().num_alive_tasks();
    let flood = || async {
        let calls = (0..1_000).map(|_| {
            let (limiter, caller) = (limiter.clone(), caller.clone());
            tokio::spawn(async move { ask(&limiter, &caller).await })
        });
        let calls: Vec<_> = calls.collect();
        let mut admitted = 0;
        for call in calls {
            admitted += u32::from(is_admitted(call.await.unwrap()));
        }
        admitted
    };
    let (took, admitted) = scene.timed(flood()).await;
    assert!(took <= 30, "L641, XM14 {took} ms");
    assert_eq!(admitted, 60, "XM13");
    assert_eq!(scene.server.calls(), 1_000, "XR28");
    let (took, admitted) = scene.timed(flood()).await;
    assert_eq!((took, admitted), (0, 0), "L641 while open");
    assert_eq!(scene.server.calls(), 1_000, "L632 nobody asks");
    let alive = Handle::current().metrics().num_alive_tasks();
    assert_eq!(alive, tasks + 1, "XM14, XR34 the one that probes");
    scene.server.set(Mood::Good);
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    assert_eq!(scene.events(), ["limit.degraded timeout", "limit.restored -"], "L641, L634");
    assert_eq!(Handle::current().metrics().num_alive_tasks(), tasks, "XR34");
}

/// Whenever it is back, and however the probes are drawn.
#[tokio::test(start_paused = true)]
async fn a_store_that_is_back_is_asked_within_half_a_second() {
    let mut longest = 0;
    for away in 0..100 {
        let scene = Scene::new();
        let limiter = scene.limiter(60, 60_000).build().unwrap();
        let caller = scene.caller("full").await;
        scene.server.set(REFUSED);
        assert_eq!(admitted_of(5, &limiter, &caller).await, 5, "L602");
        tokio::time::sleep(Duration::from_millis(300 + away * 7)).await;
        scene.server.set(Mood::Good);
        let back = async {
            while ask(&limiter, &caller).await != Said::Store {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        longest = longest.max(scene.timed(back).await.0);
    }
    assert!((100..=500).contains(&longest), "L632 {longest} ms");
}

#[tokio::test(start_paused = true)]
async fn the_probe_ends_with_the_limiter() {
    let scene = Scene::new();
    let tasks = Handle::current().metrics().num_alive_tasks();
    let (limiter, caller) =
        (scene.limiter(60, 60_000).build().unwrap(), scene.caller("full").await);
    scene.server.set(REFUSED);
    let _admitted = admitted_of(5, &limiter, &caller).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let probes = scene.server.state().probes;
    assert!((20..=40).contains(&probes), "L632 {probes} in 10 s");
    drop(limiter);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(Handle::current().metrics().num_alive_tasks(), tasks, "XR34");
}

#[tokio::test(start_paused = true)]
async fn what_the_breaker_counts() {
    use StoreFailure::{Auth, Closed, Log, Other, OutOfMemory, Protocol, ReadOnly, Refused};
    for (name, mood, opens) in [
        ("L612 refused", Mood::Fails(Refused), true),
        ("L612 closed, one after the other", Mood::Fails(Closed), true),
        ("L613", Mood::Fails(ReadOnly), true),
        ("L614", Mood::Fails(OutOfMemory), true),
        ("L615", Mood::Fails(Auth), true),
        ("L617 one log", Mood::Fails(Log), false),
        ("L618", Mood::Fails(Protocol), true),
        ("L620 panic", Mood::Panics, true),
        ("other", Mood::Fails(Other), true),
    ] {
        let scene = Scene::new();
        scene.server.set(mood);
        let limiter = scene.limiter(60, 60_000).build().unwrap();
        let caller = scene.caller("full").await;
        for _ in 0..10 {
            assert_eq!(ask(&limiter, &caller).await, Said::Fallback, "{name}");
        }
        assert_eq!(scene.server.calls(), if opens { 3 } else { 10 }, "L631 {name}");
        assert_eq!(scene.events().len(), usize::from(opens), "L634 {name}");
    }
}

/// Counts the lines of this crate: warnings, errors.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<(usize, usize)>>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Lines {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        if event.metadata().target().starts_with("tower_bearer::limit") {
            let mut lines = self.0.lock().unwrap();
            lines.0 += usize::from(*event.metadata().level() == tracing::Level::WARN);
            lines.1 += usize::from(*event.metadata().level() == tracing::Level::ERROR);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_log_has_no_line_per_request() {
    for (name, failure, want) in [
        ("L634", StoreFailure::Refused, [(1, 0), (2, 0), (3, 0), (4, 0)]),
        ("L615 once an outage", StoreFailure::Auth, [(1, 1), (2, 1), (3, 2), (4, 2)]),
        ("L617, L327 once a minute", StoreFailure::Log, [(0, 1), (0, 1), (0, 2), (0, 2)]),
    ] {
        let lines = Lines::default();
        let registry = tracing_subscriber::registry();
        let subscriber = tracing_subscriber::layer::SubscriberExt::with(registry, lines.clone());
        let _guard = tracing::subscriber::set_default(subscriber);
        let scene = Scene::new();
        let limiter = scene.limiter(4_096, 60_000).build().unwrap();
        let caller = scene.caller("full").await;
        for (round, want) in want.into_iter().enumerate() {
            let is_out = round % 2 == 0;
            scene.server.set(if is_out { Mood::Fails(failure) } else { Mood::Good });
            if !is_out {
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
            assert_eq!(admitted_of(100, &limiter, &caller).await, 100, "{name} {round}");
            assert_eq!(*lines.0.lock().unwrap(), want, "{name} {round}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_connection_took_down_counts_once() {
    let scene = Scene::new();
    scene.server.set(Mood::Fails(StoreFailure::Closed));
    scene.server.state().there = Duration::from_millis(5);
    let (limiter, caller) =
        (scene.limiter(60, 60_000).build().unwrap(), scene.caller("full").await);
    for (round, want) in [(1, 0), (2, 0), (3, 1)] {
        let calls: Vec<_> = (0..20)
            .map(|_| {
                let (limiter, caller) = (limiter.clone(), caller.clone());
                tokio::spawn(async move { ask(&limiter, &caller).await })
            })
            .collect();
        for call in calls {
            call.await.unwrap();
        }
        assert_eq!(scene.events().len(), want, "L612 after {round}");
        scene.server.state().epoch += 1;
    }
}

#[tokio::test(start_paused = true)]
async fn each_part_has_its_own_breaker() {
    let scene = Scene::new();
    scene.server.state().parts = 16;
    let limiter = scene.limiter(60, 60_000).build().unwrap();
    let mut callers = Vec::new();
    for number in 0..40 {
        callers.push(scene.caller(&format!("caller-{number}")).await);
    }
    for part in 0..16 {
        scene.server.state().moods.insert(part, if part < 8 { REFUSED } else { Mood::Good });
    }
    let mut by_store = 0;
    for _ in 0..100 {
        for caller in &callers {
            by_store += u32::from(ask(&limiter, caller).await == Said::Store);
        }
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    let given_up = scene.server.state().given_up.clone();
    let dead = given_up.len() as u64;
    assert!(dead >= 4 && given_up.iter().all(|part| *part < 8), "L337 {given_up:?}");
    let calls = scene.server.calls();
    // those of the living parts were asked of the store each time they were not known to be denied
    assert!(calls >= u64::from(by_store) && calls <= u64::from(by_store) + 3 * dead + 40, "L337");
    assert!(by_store >= 60 * 10, "L337 {by_store}");
}

#[tokio::test(start_paused = true)]
async fn a_share_of_the_limit_while_it_is_out() {
    for (processes, warm, want) in [(1, 0, 60), (4, 0, 15), (7, 0, 9), (4, 10, 5), (4, 20, 0)] {
        let scene = Scene::new();
        let limiter = scene.limiter(60, 60_000).local_share(processes).build().unwrap();
        let caller = scene.caller("full").await;
        assert_eq!(admitted_of(warm, &limiter, &caller).await, warm);
        scene.server.set(REFUSED);
        let got = admitted_of(70, &limiter, &caller).await;
        assert_eq!(got, want, "L605 one of {processes}, {warm} before");
        // agreeing again, by the whole limit; and out again
        scene.server.set(Mood::Good);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let more = admitted_of(70, &limiter, &caller).await;
        assert_eq!(more, 60 - warm - want, "L606 one of {processes}");
        scene.server.set(REFUSED);
        assert_eq!(admitted_of(9, &limiter, &caller).await, 0, "L605 one of {processes}");
    }
    let scene = Scene::new();
    scene.server.set(REFUSED);
    let limiter = scene.limiter(60, 60_000).local_share(10).build().unwrap();
    let refused = limiter.check(&scene.caller("full").await, 7).await.unwrap_err();
    assert_eq!(refused.kind(), RejectionKind::Undecidable, "L605 fits the limit, not the share");
}

#[tokio::test(start_paused = true)]
async fn ready() {
    use StoreFailure::{Auth, Refused, Timeout};
    for (name, mood, took, want) in [
        ("L609 good", Mood::Good, 0, None),
        ("L609 out", Mood::Fails(Refused), 2_000, Some(Refused)),
        ("L609 silent", Mood::Hangs, 2_000, Some(Timeout)),
        ("L651 wrong password", Mood::Fails(Auth), 0, Some(Auth)),
        ("L620", Mood::Panics, 2_000, Some(StoreFailure::Panic)),
    ] {
        let scene = Scene::new();
        scene.server.set(mood);
        let limiter = scene.limiter(60, 60_000).build().unwrap();
        let (waited, ready) = scene.timed(limiter.ready()).await;
        assert_eq!(waited, took, "{name}");
        let told = ready.err().map(|error| (error.failure(), format!("{error} {error:?}")));
        assert_eq!(told.as_ref().map(|(failure, _)| *failure), want, "{name}");
        assert!(!told.is_some_and(|(_, text)| text.contains("hunter2")), "L651 {name}");
    }
    let scene = Scene::new();
    scene.server.set(REFUSED);
    let limiter = scene.limiter(60, 60_000).build().unwrap();
    let server = scene.server.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(700)).await;
        server.set(Mood::Good);
    });
    let (waited, ready) = scene.timed(limiter.ready()).await;
    assert!(ready.is_ok() && (700..=760).contains(&waited), "L609 {waited}");
    let here = Limiter::builder().policy(Policy::per_token(limit(1, 1))).build().unwrap();
    assert_eq!(here.ready().await, Ok(()), "L609 in process");
}

#[tokio::test(start_paused = true)]
async fn dropped_at_each_await() {
    let scene = Scene::new();
    scene.server.state().there = Duration::from_millis(1);
    scene.server.state().back = Duration::from_millis(1);
    let tasks = Handle::current().metrics().num_alive_tasks();
    for both in [false, true] {
        for polls in 0..5 {
            let limiter = scene.limiter(3, 60_000).build().unwrap();
            let caller = scene.caller(&format!("caller-{both}-{polls}")).await;
            scene.server.state().epoch += u64::from(both);
            let before = scene.server.state().admitted.len();
            let left = CancelAt::new(ask(&limiter, &caller), polls).await;
            match left {
                Left::Done(said) => assert_eq!(said, Said::Store, "L867 {both} {polls}"),
                Left::Alive(future) => drop(future),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            let charged = scene.server.state().admitted.len() - before;
            assert!(charged <= 1, "L867 {both} {polls}: {charged} units there");
            assert!(limiter.len() <= 1, "L867 {both} {polls}: {} logs here", limiter.len());
            let next = admitted_of(9, &limiter, &caller).await;
            assert!((2..=3).contains(&next), "L867 {both} {polls}: {next} of 3 left");
            assert_eq!(Handle::current().metrics().num_alive_tasks(), tasks, "XR34");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_limiter_met_twice_asks_once() {
    let scene = Scene::new();
    let policy = |name: &str| {
        let policy = Policy::per_token(limit(10, 60_000)).named(name);
        Limiter::builder().policy(policy).store(scene.server.clone()).build().unwrap()
    };
    let (a, b) = (policy("a"), policy("b"));
    for (name, one, other, calls) in [("the same", &a, &a, 1), ("two", &a, &b, 2)] {
        let service = RateLimit::from(one).layer(RateLimit::from(other).layer(inner(200).0));
        let service = BearerCheck::new(&scene.desk.auth).layer(service);
        let token = scene.desk.token(&format!("token-{calls}"), "acc-member");
        let before = scene.server.calls();
        let response = send(&service, get("/me", &token)).await;
        let fields = response.headers().get_all("ratelimit").iter().count() as u64;
        assert_eq!((scene.server.calls() - before, fields), (calls, calls), "L854 {name}");
    }
}

/// The most of sorted `times` in any window of `ms`.
fn most_in(times: &[u64], ms: u64) -> usize {
    let end = |from: usize| times.partition_point(|at| *at < times[from] + ms);
    (0..times.len()).map(|from| end(from) - from).max().unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn four_processes_through_an_outage() {
    let scene = Scene::new();
    scene.server.state().there = Duration::from_millis(1);
    let caller = scene.caller("full").await;
    let limiters: Vec<Limiter> =
        (0..4).map(|_| scene.limiter(60, 10_000).build().unwrap()).collect();
    let mut passed = vec![Vec::new(); 4];
    let (mut out, mut back) = (None, None);
    while scene.clock.ms() < 70_000 {
        let now = scene.clock.ms();
        if now >= 25_000 && out.is_none() {
            scene.server.set(Mood::Hangs);
            out = Some(now);
        }
        if now >= 35_000 && back.is_none() {
            scene.server.restart_empty();
            back = Some(now);
        }
        for (limiter, passed) in limiters.iter().zip(&mut passed) {
            if is_admitted(ask(limiter, &caller).await) {
                passed.push(scene.clock.ms());
            }
        }
        tokio::time::advance(Duration::from_millis(5)).await;
    }
    let (out, back) = (out.unwrap(), back.unwrap());
    let mut all: Vec<u64> = passed.iter().flatten().copied().collect();
    all.sort_unstable();
    for (number, times) in passed.iter().enumerate() {
        let most = most_in(times, 10_000 - 25);
        assert!(most <= 60, "L646, L607 process {number}: {most}");
        let here = times.iter().filter(|at| (out..back).contains(at)).count();
        assert!((45..=60).contains(&here), "L646 process {number} let in {here} in the outage");
    }
    assert!(most_in(&all, 10_000 - 25) <= 240, "L646 together");
    let later: Vec<u64> = all.into_iter().filter(|at| *at >= back + 10_000).collect();
    assert!(most_in(&later, 10_000 - 25) <= 60, "L646 from one window after its return on");
    assert!(later.len() >= 120, "L646 {} from then on", later.len());
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// So many at once.
    Calls(usize),
    Wait(u64),
    Mood(Mood),
    Latency(u64, u64),
    /// A new connection to the same memory, or to none.
    Reconnect,
    Restart,
    /// Some other process takes so many.
    Others(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (1..9usize).prop_map(Step::Calls),
        8 => (0..400u64).prop_map(Step::Wait),
        2 => Just(Step::Wait(1_000)),
        3 => prop_oneof![
            Just(Mood::Good),
            Just(Mood::Good),
            Just(Mood::Hangs),
            Just(REFUSED),
            Just(Mood::Fails(StoreFailure::Closed)),
            Just(Mood::Fails(StoreFailure::Log)),
        ]
        .prop_map(Step::Mood),
        3 => (0..14u64, 0..14u64).prop_map(|(there, back)| Step::Latency(there, back)),
        2 => Just(Step::Reconnect),
        2 => Just(Step::Restart),
        1 => (1..4u32).prop_map(Step::Others),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn no_process_admits_more_than_its_limit(
        steps in prop::collection::vec(step(), 1..120),
        share in 1..4u32,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let passed = runtime.block_on(async {
            let scene = Scene::new();
            let set = || scene.limiter(10, 1_000).local_share(share);
            let (limiter, other) = (set().build().unwrap(), set().build().unwrap());
            let caller = scene.caller("full").await;
            let passed = Arc::new(Mutex::new(Vec::new()));
            let mut calls = Vec::new();
            for step in steps {
                match step {
                    Step::Calls(number) => {
                        for _ in 0..number {
                            let (limiter, caller) = (limiter.clone(), caller.clone());
                            let (passed, clock) = (Arc::clone(&passed), scene.clock);
                            calls.push(tokio::spawn(async move {
                                if is_admitted(ask(&limiter, &caller).await) {
                                    passed.lock().unwrap().push(clock.ms());
                                }
                            }));
                        }
                        tokio::task::yield_now().await;
                    }
                    Step::Wait(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                    Step::Mood(mood) => scene.server.set(mood),
                    Step::Latency(there, back) => {
                        scene.server.state().there = Duration::from_millis(there);
                        scene.server.state().back = Duration::from_millis(back);
                    }
                    Step::Reconnect => scene.server.state().epoch += 1,
                    Step::Restart => scene.server.restart_empty(),
                    Step::Others(number) => {
                        let _admitted = admitted_of(number, &other, &caller).await;
                    }
                }
            }
            for call in calls {
                call.await.unwrap();
            }
            let mut passed = passed.lock().unwrap().clone();
            passed.sort_unstable();
            passed
        });
        let most = most_in(&passed, 1_000 - 25);
        prop_assert!(most <= 10, "L607: {} within 975 ms of {:?}", most, passed);
    }
}
