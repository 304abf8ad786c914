//! What is counted tells of the service and never of its callers, however many of them there are.
#![cfg(feature = "metrics")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking too")]
#![cfg_attr(
    feature = "redis",
    expect(clippy::panic, clippy::print_stdout, reason = "as those of a server do")
)]

#[expect(dead_code, reason = "this file uses its part of it")]
#[path = "support/limits.rs"]
mod limits;
#[cfg(feature = "redis")]
#[expect(dead_code, reason = "this file uses its part of it")]
#[path = "support/redis.rs"]
mod server;
#[expect(dead_code, reason = "this file uses its part of it")]
#[path = "support/shared_windows.rs"]
mod shared_windows;
mod support;

use http::HeaderValue;
use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, SharedString, Unit};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
#[cfg(feature = "test-util")]
use support::scripted::Scripted;
use support::scripted::{Counting, Mood};
use support::world::{World, account, app, get, kinds, token};
use tower::{Layer, ServiceExt};
use tower_bearer::Authenticator;
use tower_bearer::audit::{AuditSink, Event};
use tower_bearer::forward::{ForwardBody, ForwardOptions, ForwardSet, Mode, Upstream};
use tower_bearer::id::AccountId;
use tower_bearer::issuing::{Issuer, MintRequest};
use tower_bearer::limit::{self, Limit, Limiter, Policy};
use tower_bearer::rejection::{Reason, RejectionKind};
use tower_bearer::stack::{
    AccessModes, AppAuthz, AppResolver, BearerCheck, BearerStack, CallerMount, Finder,
    IdentityForward, McpSessionBind, StripIdentity, WorkspaceMembershipCheck,
};
use tower_bearer::store::{AccountStatus, MemoryStore, RevokeReason, RevokeTarget};
use tower_bearer::subject::Subject;

type Body = http_body_util::Full<bytes::Bytes>;
type Service = tower::util::BoxCloneService<
    http::Request<Body>,
    http::Response<ForwardBody<Body>>,
    std::convert::Infallible,
>;

/// Writes down every series and what was told of it.
#[derive(Default)]
struct Book {
    counters: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    gauges: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    times: Mutex<BTreeMap<String, Arc<Times>>>,
}

#[derive(Default)]
struct Times(Mutex<Vec<f64>>);

impl HistogramFn for Times {
    fn record(&self, value: f64) {
        self.0.lock().unwrap().push(value);
    }
}

impl metrics::Recorder for Book {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::clone(self.counters.lock().unwrap().entry(text(key)).or_default()))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Arc::clone(self.gauges.lock().unwrap().entry(text(key)).or_default()))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::clone(self.times.lock().unwrap().entry(text(key)).or_default()))
    }
}

/// `name{label=value,…}` without the crate's prefix, labels in their order.
fn text(key: &Key) -> String {
    let labels: Vec<String> =
        key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
    let name = key.name().strip_prefix("tower_bearer_").unwrap();
    format!("{name}{{{}}}", labels.join(","))
}

impl Book {
    fn count(&self, series: &str) -> u64 {
        self.counters.lock().unwrap().get(series).map_or(0, |it| it.load(Ordering::SeqCst))
    }

    fn gauge(&self, series: &str) -> Option<f64> {
        let gauges = self.gauges.lock().unwrap();
        gauges.get(series).map(|bits| f64::from_bits(bits.load(Ordering::SeqCst)))
    }

    fn times(&self, series: &str) -> Vec<f64> {
        self.times.lock().unwrap().get(series).map(|it| it.0.lock().unwrap().clone()).unwrap()
    }

    fn series(&self) -> Vec<String> {
        let mut all: Vec<String> = self.counters.lock().unwrap().keys().cloned().collect();
        all.extend(self.gauges.lock().unwrap().keys().cloned());
        all.extend(self.times.lock().unwrap().keys().cloned());
        all
    }
}

fn route(head: &http::request::Parts) -> &'static str {
    if head.uri.path().starts_with("/apps/") { "/apps/{app}" } else { "other" }
}

/// Every step under a limit of so many, and a world in which token 1 may do everything.
fn stack(most: u32, set: limit::Mode) -> (World, String, Service) {
    let world = World::with(|builder| builder.route(route).audit_denied_per_second(1));
    let text = token("tst_", 1);
    world.token(&text, account("acc-1"), "full");
    world.app("app-1", "ws-1", "private");
    world.member("acc-1", "ws-1");
    world.store.permits.put((app("app-1"), AccountId::new("acc-1").unwrap()), ());
    let (auth, store) = (&world.auth, &world.store);
    let limit = Limit::per_minute(NonZeroU32::new(most).unwrap()).unwrap();
    let limiter = Limiter::builder().policy(Policy::per_token(limit)).mode(set).build().unwrap();
    let upstream = Upstream::new("mcp-main", "https://mcp.example.com/mcp").unwrap();
    let forward = ForwardOptions::new(upstream, Mode::Headers).build().unwrap();
    let stack = BearerStack::new(BearerCheck::new(auth))
        .rate_limit(&limiter)
        .require_scopes(["apps:read"])
        .unwrap()
        .resolve_app(AppResolver::new(auth, store.clone(), Finder::path("/apps/{app}").unwrap()))
        .require_membership(WorkspaceMembershipCheck::new(auth, store.clone()))
        .authorize_app(AppAuthz::new(auth, AccessModes::new(auth, store.clone())))
        .mount_caller(CallerMount::new(auth, store.clone()))
        .forward_identity(IdentityForward::new(forward));
    let service = tower::util::BoxCloneService::new(stack.layer(Counting::default()));
    (world, text, service)
}

async fn ask(service: &Service, path: &str, token: Option<&str>) -> u16 {
    service.clone().oneshot(get(path, token)).await.unwrap().status().as_u16()
}

#[tokio::test(start_paused = true)]
async fn counts() {
    let book = Book::default();
    let _guard = metrics::set_default_local_recorder(&book);
    tower_bearer::metrics::describe();
    let (world, text, service) = stack(3, limit::Mode::Enforce);
    let bad = token("tst_", 2);
    for (path, token, want) in [
        ("/apps/app-1", Some(&text), 200),
        ("/apps/app-1", Some(&text), 200),
        ("/apps/app-2", Some(&text), 404),
        ("/apps/app-1", Some(&text), 429),
        ("/apps/app-1", Some(&bad), 401),
        ("/apps/app-1", Some(&bad), 401),
        ("/nothing", None, 401),
    ] {
        assert_eq!(ask(&service, path, token.map(String::as_str)).await, want, "{path}");
    }
    for (row, series, want) in [
        (
            "P1221",
            "decisions_total{step=bearer,outcome=pass,reason=-,kind=account,route=/apps/{app}}",
            2,
        ),
        (
            "P1221",
            "decisions_total{step=membership,outcome=refuse,reason=app_unknown,kind=account,route=/apps/{app}}",
            1,
        ),
        (
            "P1221",
            "decisions_total{step=limit,outcome=refuse,reason=rate_limited,kind=account,route=/apps/{app}}",
            1,
        ),
        (
            "P1221",
            "decisions_total{step=bearer,outcome=refuse,reason=unknown_token,kind=-,route=/apps/{app}}",
            2,
        ),
        (
            "P1221",
            "decisions_total{step=bearer,outcome=refuse,reason=no_credential,kind=-,route=other}",
            1,
        ),
        ("P1222 one cold look-up is one", "cache_lookups_total{cache=context,result=miss}", 3),
        ("P1222", "cache_lookups_total{cache=context,result=hit}", 3),
        ("P1222 remembered", "cache_lookups_total{cache=negative,result=hit}", 1),
        ("P1222", "cache_lookups_total{cache=negative,result=miss}", 2),
        ("P1222", "cache_lookups_total{cache=app,result=miss}", 2),
        ("P1224", "audit_suppressed_total{reason=unknown_token}", 1),
        ("L941", "limiter_decisions_total{policy=token,verdict=admitted,source=local}", 3),
        ("L941", "limiter_decisions_total{policy=token,verdict=denied,source=local}", 1),
        ("F275", "forward_total{upstream=mcp-main,mode=headers,outcome=sent}", 2),
        ("F275", "forward_stripped_total{group=credential}", 2),
    ] {
        assert_eq!(book.count(series), want, "{row} {series} of\n{}", book.series().join("\n"));
    }
    let zeroes = |series| book.times(series) == [0.0];
    assert!(zeroes("load_seconds{cache=member,result=ok}"), "P1223 by the service's own clock");
    assert!(zeroes("load_seconds{cache=app,result=none}"), "P1223");
    let _in_order = world.auth.cached_tokens();
    for (row, series, want) in [
        ("P1222", "cache_entries{cache=context}", 1.0),
        ("P1222", "cache_entries{cache=negative}", 1.0),
        ("P1223 all landed", "loads_in_flight{cache=context}", 0.0),
        ("L946", "limiter_keys{map=windows}", 1.0),
        ("breaker", "breaker_state{dependency=token}", 0.0),
    ] {
        assert_eq!(book.gauge(series), Some(want), "{row} {series}");
    }
    // the life of the facts is over, but they are still there
    world.clock.advance(Duration::from_secs(61));
    assert_eq!(ask(&service, "/apps/app-1", Some(&text)).await, 200);
    assert_eq!(book.count("cache_lookups_total{cache=context,result=stale}"), 1, "P1222");
    assert_eq!(book.count("cache_lookups_total{cache=member,result=stale}"), 1, "P1222");
    world.auth.forget_all();
    assert_eq!(book.count("cache_flush_total{reason=manual}"), 1);
    drop((service, world));
    assert_eq!(book.gauge("cache_entries{cache=context}"), Some(0.0), "what is gone holds nothing");
    assert_eq!(book.gauge("limiter_keys{map=windows}"), Some(0.0), "L946");
}

#[tokio::test(start_paused = true)]
async fn an_outage_shows() {
    let book = Book::default();
    let _guard = metrics::set_default_local_recorder(&book);
    let (world, _, service) = stack(60, limit::Mode::Enforce);
    let state = || book.gauge("breaker_state{dependency=token}");
    world.store.tokens.set(Mood::Hang);
    assert_eq!(ask(&service, "/apps/app-1", Some(&token("tst_", 7))).await, 503);
    assert_eq!(book.times("load_seconds{cache=context,result=deadline}").len(), 1, "P1223");
    world.store.tokens.set(Mood::Fail);
    for n in 8..10 {
        assert_eq!(state(), Some(0.0), "XM1 closed");
        assert_eq!(ask(&service, "/apps/app-1", Some(&token("tst_", n))).await, 503);
    }
    assert_eq!(state(), Some(2.0), "XM1 open");
    world.clock.advance(Duration::from_secs(1));
    world.store.tokens.set(Mood::Hold);
    let service = &service;
    let text = token("tst_", 1);
    let (status, ()) = tokio::join!(ask(service, "/apps/app-1", Some(&text)), async {
        while world.store.tokens.running() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(state(), Some(1.0), "one probe is out");
        assert_eq!(book.gauge("loads_in_flight{cache=context}"), Some(1.0), "P1223");
        world.store.tokens.let_go(1);
    });
    assert_eq!((status, state()), (200, Some(0.0)), "it answers again");
    let undecided = "decisions_total{step=bearer,outcome=undecided,reason=store_error,kind=-,route=/apps/{app}}";
    assert_eq!(book.count(undecided), 2, "P1221");
}

#[tokio::test(start_paused = true)]
async fn a_shared_store_of_windows_shows() {
    use tower_bearer::store::StoreFailure;
    let book = Book::default();
    let _guard = metrics::set_default_local_recorder(&book);
    let desk = limits::Desk::new();
    let server = shared_windows::Server::new(desk.clock.clone());
    let caller = desk.auth.authenticate(&desk.token("full", "acc-member")).await.unwrap();
    let other = desk.auth.authenticate(&desk.token("other", "acc-member")).await.unwrap();
    let policy = Policy::per_token(limits::limit(2, 60_000));
    let limiter = Limiter::builder().policy(policy).store(server.clone()).build().unwrap();
    for _ in 0..5 {
        let _decided = limiter.check(&caller, 1).await;
    }
    server.set(shared_windows::Mood::Fails(StoreFailure::ReadOnly));
    for _ in 0..6 {
        let _decided = limiter.check(&other, 1).await;
    }
    let decided = |verdict: &str, source: &str| {
        let policy = if verdict == "undecided" { "-" } else { "token" };
        book.count(&format!(
            "limiter_decisions_total{{policy={policy},verdict={verdict},source={source}}}"
        ))
    };
    for (verdict, source, want) in [
        ("admitted", "store", 2),
        ("denied", "store", 1),
        ("denied", "deny_cache", 2),
        ("admitted", "fallback", 2),
        ("denied", "fallback", 4),
    ] {
        assert_eq!(decided(verdict, source), want, "L941 {verdict} {source}");
    }
    for (outcome, want) in [("admitted", 2), ("denied", 1), ("failed", 2)] {
        let times = book.times(&format!("limiter_store_seconds{{outcome={outcome}}}"));
        assert_eq!(times, vec![0.0; want], "L942 {outcome}");
    }
    // the third was denied by the logs in process, so the store was not asked
    assert_eq!(book.count("limiter_failures_total{reason=readonly}"), 2, "L943");
    assert_eq!(book.count("limiter_degraded_total{reason=readonly}"), 2, "L943");
    assert_eq!(book.gauge("breaker_state{dependency=limiter}"), Some(0.0), "L944");
    assert_eq!(book.gauge("limiter_keys{map=deny}"), Some(1.0), "L946");
    let third = desk.auth.authenticate(&desk.token("third", "acc-member")).await.unwrap();
    for _ in 0..2 {
        let _decided = limiter.check(&third, 1).await;
    }
    assert_eq!(book.gauge("breaker_state{dependency=limiter}"), Some(2.0), "L944");
    assert_eq!(book.count("limiter_degraded_total{reason=breaker}"), 1, "L943");
    server.set(shared_windows::Mood::Good);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(book.gauge("breaker_state{dependency=limiter}"), Some(0.0), "L944");
    drop(limiter);
    assert_eq!(book.gauge("limiter_keys{map=deny}"), Some(0.0), "L946");
}

#[tokio::test]
async fn tokens_ended_here_are_counted() {
    let book = Book::default();
    let _guard = metrics::set_default_local_recorder(&book);
    let store = MemoryStore::new();
    let auth =
        Authenticator::builder(kinds(), store.clone()).ledger(store.clone()).build().unwrap();
    let id = AccountId::new("acc-1").unwrap();
    store.put_account(id.clone(), AccountStatus::Active);
    let subject = Subject::Account { id };
    let mut ids = Vec::new();
    for label in ["one", "two", "three"] {
        let request = MintRequest::new("account", subject.clone(), "cli", label).scopes(["full"]);
        ids.push(Issuer::new(&auth).unwrap().mint(&request).await.unwrap().id().clone());
    }
    let target = || RevokeTarget::Id { id: ids[0].clone(), owner: None };
    auth.revoke_token(target(), RevokeReason::Owner).await.unwrap();
    auth.revoke_token(target(), RevokeReason::Owner).await.unwrap();
    assert_eq!(book.count("revocations_total{origin=local}"), 1, "P1224 the dead die once");
    auth.revoke_subject(&subject, None).await.unwrap();
    assert_eq!(book.count("revocations_total{origin=local}"), 3, "P1224");
}

/// What goes between processes: the recorder is this thread's, and so is the runtime.
#[cfg(feature = "test-util")]
#[tokio::test(start_paused = true)]
async fn what_goes_between_processes_is_counted() {
    use tower_bearer::clock::ManualClock;
    use tower_bearer::test_util::{MemoryBus, MemoryContexts, Script, ScriptedStore};
    let book = Book::default();
    let _guard = metrics::set_default_local_recorder(&book);
    let (bus, clock, store) = (MemoryBus::new(), ManualClock::new(), Scripted::default());
    let shared = ScriptedStore::new(MemoryContexts::new(clock.clone()));
    let process = |line: MemoryBus| {
        let builder = Authenticator::builder(kinds(), store.clone()).clock(clock.clone());
        let auth = builder.bus(line).name("api").shared_cache(shared.clone()).build().unwrap();
        World { store: store.clone(), clock: clock.clone(), auth }
    };
    let line = bus.another_line();
    let (a, b) = (process(bus.clone()), process(line.clone()));
    assert_eq!(book.gauge("breaker_state{dependency=shared_cache}"), Some(0.0), "P628 closed");
    bus.joined(2).await;
    let connected = || book.gauge("bus_connected{}");
    let flushes = || book.count("cache_flush_total{reason=bus_reconnect}");
    assert_eq!((connected(), flushes()), (Some(2.0), 0), "XM36 both are on it");

    let outcome = |outcome: &str| book.count(&format!("shared_cache_total{{outcome={outcome}}}"));
    let text = token("tst_", 1);
    let digest = a.token(&text, account("acc-1"), "full");
    assert!(a.auth.authenticate(&text).await.is_ok());
    assert!(b.auth.authenticate(&text).await.is_ok());
    assert_eq!((outcome("miss"), outcome("hit")), (1, 1), "P628");

    clock.advance(Duration::from_millis(3));
    a.auth.forget_token(&digest);
    bus.told(1).await;
    assert_eq!(
        book.count("revocations_total{origin=bus}"),
        1,
        "P1224 in the other, not round again"
    );
    assert_eq!(book.times("bus_lag_seconds{}"), [0.0], "XM36 the own notice came round");
    let c = process(bus.another_line());
    assert!(c.auth.authenticate(&text).await.is_err());
    assert_eq!(outcome("buried"), 1, "P645");
    drop(c);

    for (script, want) in [(Script::Fail, "failed"), (Script::Hang, "late"), (Script::Hang, "late")]
    {
        shared.follow(script);
        let before = outcome(want);
        let text = token("tst_", 10 + before + outcome("failed"));
        a.token(&text, account("acc-1"), "full");
        assert!(a.auth.authenticate(&text).await.is_ok(), "P691");
        assert_eq!(outcome(want), before + 1, "P628 {want}");
    }
    assert_eq!(book.gauge("breaker_state{dependency=shared_cache}"), Some(2.0), "P628 open");
    shared.follow(Script::Answer);
    shared.store().overwrite(b"[]");
    clock.advance(Duration::from_secs(1));
    assert!(b.auth.authenticate(&text).await.is_err(), "P644 buried here");
    let text = token("tst_", 77);
    a.token(&text, account("acc-1"), "full");
    assert!(a.auth.authenticate(&text).await.is_ok());
    assert_eq!(
        book.gauge("breaker_state{dependency=shared_cache}"),
        Some(0.0),
        "P628 closed again"
    );
    shared.store().overwrite(b"[]");
    assert!(b.auth.authenticate(&text).await.is_ok());
    assert_eq!(outcome("foreign"), 2, "P691 twice: {:?}", book.series());

    line.cut();
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert_eq!(connected(), Some(1.0), "XM36 one is cut off");
    line.mend();
    bus.joined(2).await;
    assert_eq!((connected(), flushes()), (Some(2.0), 1), "XM37");
    bus.send_text("9 nonsense");
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert_eq!(flushes(), 3, "DK16 in both");
    drop((a, b));
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert_eq!(connected(), Some(0.0), "XR34");
}

#[cfg(feature = "signed")]
#[tokio::test]
async fn what_a_receiver_believes_is_counted() {
    use tower_bearer::clock::{ManualClock, Timestamp};
    use tower_bearer::forward::{ForwardOptions, Identity, KeyRing, Signing, SigningKey, Upstream};
    use tower_bearer::receiver::{Verifier, VerifyIdentity};
    use tower_bearer::store::MemoryNonces;
    let book = Book::default();
    let _guard = metrics::set_default_local_recorder(&book);
    let key = SigningKey::hmac_sha256("k1", b"0123456789abcdef0123456789abcdef").unwrap();
    let ring = KeyRing::new([key]).unwrap();
    let verifying = ring.verifying();
    let upstream = Upstream::new("mcp-main", "https://mcp.example.com").unwrap();
    let options = ForwardOptions::signed_headers(upstream, Signing::new(ring).without_body());
    let forwarding = options.set(&ForwardSet::separate()).build().unwrap();
    let start = Timestamp::from_secs(1_700_000_000);
    let clock = ManualClock::at(start);
    let verifier =
        Verifier::builder(verifying).url("https://mcp.example.com").without_body().build().unwrap();
    let layer = VerifyIdentity::new(verifier, MemoryNonces::bounded(9, clock.clone()));
    let service = layer.clock(clock).layer(Counting::default());
    let mut head = get("https://mcp.example.com/", None).into_parts().0;
    let identity = Identity::account("acc-1");
    let _ = forwarding.prepare_request_at(&mut head, Some(&identity), move || start).unwrap();
    for headers in [head.headers.clone(), head.headers, http::HeaderMap::new()] {
        let mut request = get("https://mcp.example.com/", None);
        *request.headers_mut() = headers;
        service.clone().oneshot(request).await.unwrap();
    }
    for result in ["ok", "replayed", "no_signature"] {
        let series = format!("verify_total{{result={result}}}");
        assert_eq!(book.count(&series), 1, "F275 {series}");
    }
}

#[tokio::test]
async fn shadows_and_claims_are_counted() {
    let book = Book::default();
    let _guard = metrics::set_default_local_recorder(&book);
    let (_world, text, service) = stack(1, limit::Mode::Shadow);
    for _ in 0..2 {
        assert_eq!(ask(&service, "/apps/app-1", Some(&text)).await, 200);
    }
    let would = "limiter_decisions_total{policy=token,verdict=would_deny,source=local}";
    assert_eq!(book.count(would), 1, "L941");

    let mut request = get("/", None);
    for (name, value) in [
        ("x-forwarded-user-id", "admin"),
        ("x-forwarded-for", "127.0.0.1"),
        ("connection", "x-forwarded-user-id"),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let layer = StripIdentity::of(&ForwardSet::separate());
    layer.layer(Counting::default()).oneshot(request).await.unwrap();
    for (series, want) in [
        ("forward_stripped_total{group=identity}", 1),
        ("forward_stripped_total{group=proxy}", 1),
        ("forward_stripped_total{group=leg}", 0),
        ("forward_nominated_total{}", 1),
    ] {
        assert_eq!(book.count(series), want, "F275 {series}");
    }
}

#[tokio::test]
async fn full_names_without_a_value_are_counted() {
    use tower_bearer::forward::compat::contextforge;
    let book = Book::default();
    let _guard = metrics::set_default_local_recorder(&book);
    let world = World::new();
    let text = token("tst_", 1);
    world.token(&text, account("acc-1"), "full");
    let upstream = Upstream::new("mcp-main", "https://mcp.example.com").unwrap();
    let options = contextforge().options(upstream).set(&ForwardSet::separate());
    let forward = IdentityForward::new(options.build().unwrap())
        .identity(|head, _, identity| identity.with_full_name(head.uri.path().replace('0', "é")));
    let service = BearerCheck::new(&world.auth).layer(forward.layer(Counting::default()));
    for path in ["/alice", "/ren0", "/h0l0ne"] {
        let response = service.clone().oneshot(get(path, Some(&text))).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
    }
    assert_eq!(book.count("forward_left_out_total{upstream=mcp-main}"), 2, "F251");
}

#[tokio::test]
async fn ids_that_are_not_the_callers_are_counted() {
    let book = Book::default();
    let _guard = metrics::set_default_local_recorder(&book);
    let world = World::new();
    let text = token("tst_", 1);
    world.token(&text, account("acc-1"), "full");
    let key = b"0123456789abcdef0123456789abcdef".as_slice();
    let bind = McpSessionBind::new([("k1", key)], "mcp-main").unwrap();
    let service = BearerCheck::new(&world.auth).layer(bind.layer(Counting::default()));
    for (id, status, refused) in [(None, 200, 0), (Some("a"), 404, 1), (Some("b"), 404, 2)] {
        let mut request = get("/", Some(&text));
        if let Some(id) = id {
            request.headers_mut().insert("mcp-session-id", HeaderValue::from_static(id));
        }
        let answer = service.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), status);
        assert_eq!(book.count("mcp_session_refused_total{}"), refused, "F275");
    }
}

/// XR39: whatever callers send, the series stay as many, and nothing of it is in one.
#[tokio::test]
async fn series_stay_as_many() {
    let book = Book::default();
    let _guard = metrics::set_default_local_recorder(&book);
    let (world, text, service) = stack(4_096, limit::Mode::Enforce);
    let mut before = 0;
    for n in 0..10_000_u64 {
        let canary = token("tst_", 900_000_000 + n);
        let junk = format!("canary-{n}");
        if n % 2 == 0 {
            world.token(&canary, account(&format!("canary-{n}")), "full");
        }
        let path = format!("/apps/canary-{n}");
        ask(&service, &path, Some(&canary)).await;
        if n % 10 == 0 {
            ask(&service, &path, Some(&junk)).await;
            ask(&service, &format!("/canary-{n}"), None).await;
            ask(&service, &path, Some(&text)).await;
        }
        if n == 20 {
            before = book.series().len();
        }
    }
    let series = book.series();
    assert_eq!(series.len(), before, "{}", series.join("\n"));
    for one in &series {
        for secret in ["canary", "tst_", "900000", "acc-1", "ws-1", "app-1", "tok-"] {
            assert!(!one.contains(secret), "XV17 {secret} in {one}");
        }
    }
    assert_closed(&series);
}

/// P1225: every label of every series is a fixed word or a configured name.
fn assert_closed(series: &[String]) {
    let caches = &["context", "negative", "app", "member", "permit", "caller"][..];
    let steps =
        &["bearer", "limit", "scope", "app", "membership", "access", "caller", "forward"][..];
    for one in series {
        let (name, labels) = one.split_once('{').unwrap();
        let labels = labels.strip_suffix('}').unwrap();
        for (label, value) in labels.split(',').filter_map(|pair| pair.split_once('=')) {
            let closed: &[&str] = match label {
                "cache" => caches,
                "step" => steps,
                "outcome" if name == "forward_total" => {
                    &["sent", "anonymous", "stripped", "refused"]
                }
                "outcome" => &["pass", "refuse", "undecided"],
                "reason" => &REASONS,
                "kind" => &["-", "account", "external"],
                "route" => &["-", "/apps/{app}", "other"],
                "result" if name == "cache_lookups_total" => &["hit", "miss", "stale"],
                "result" => &["ok", "none", "error", "deadline", "overload"],
                "dependency" => &["token", "app", "member", "permit", "caller"],
                "policy" => &["-", "token"],
                "verdict" => &["admitted", "denied", "never", "free", "would_deny", "undecided"],
                "source" => &["local", "store", "open"],
                "map" => &["windows", "failures"],
                "upstream" => &["mcp-main"],
                "mode" => &["off", "headers"],
                "group" => &["identity", "credential", "proxy", "leg"],
                _ => &[],
            };
            assert!(closed.contains(&value), "P1225 {label}={value} of {name}");
        }
    }
}

/// What callers can bring about here, and no more.
const REASONS: [&str; 9] = [
    "-",
    Reason::NoCredential.as_str(),
    Reason::UnknownPrefix.as_str(),
    Reason::UnknownToken.as_str(),
    Reason::AppUnknown.as_str(),
    Reason::NoMembership.as_str(),
    Reason::BadId.as_str(),
    Reason::CallerUnknown.as_str(),
    Reason::RateLimited.as_str(),
];

#[derive(Clone, Default)]
struct Routes(Arc<Mutex<Vec<String>>>);

impl AuditSink for Routes {
    fn record(&self, event: &Event<'_>) {
        let route = event.route.unwrap_or("none");
        self.0.lock().unwrap().push(format!("{} {route}", event.name.as_str()));
    }
}

/// The audit says the route where the service names it, and only there.
#[tokio::test]
async fn events_have_a_route() {
    for (row, named, want) in [
        ("pipeline §12 named", true, ["auth.allowed /apps/{app}", "auth.denied other"]),
        ("P1225 unnamed", false, ["auth.allowed none", "auth.denied none"]),
    ] {
        let routes = Routes::default();
        let world = World::with(|builder| {
            let builder = builder.audit(routes.clone()).audit_allowed_sample(1.0);
            if named { builder.route(route) } else { builder }
        });
        let text = token("tst_", 1);
        world.token(&text, account("acc-1"), "full");
        let service = BearerStack::new(BearerCheck::new(&world.auth)).layer(Counting::default());
        service.clone().oneshot(get("/apps/x", Some(&text))).await.unwrap();
        let refused = service.oneshot(get("/me", None)).await.unwrap();
        let rejection = refused.extensions().get::<tower_bearer::rejection::Rejection>().unwrap();
        assert_eq!(rejection.kind(), RejectionKind::MissingCredential, "{row}");
        assert_eq!(*routes.0.lock().unwrap(), want, "{row}");
    }
}

/// A Redis that lost a connection, and one that forgot the script, tell of memory that may be lost.
#[cfg(feature = "redis")]
#[tokio::test]
async fn what_a_redis_forgets_is_counted() {
    use tower_bearer::store::{
        Ask, AskItem, LogId, PolicyName, Redis, RedisWindows, WindowKey, WindowStore,
    };

    let Some(server) = server::RedisServer::start() else { return };
    let book = Book::default();
    let _guard = metrics::set_default_local_recorder(&book);
    let windows = RedisWindows::new(&Redis::open(&server.url()).unwrap());
    let (policy, id) = (PolicyName::new("token").unwrap(), LogId::of_app("a"));
    let limit = Limit::per_minute(NonZeroU32::new(9).unwrap()).unwrap();
    let items = [AskItem::new(WindowKey::new(&policy, id, id), limit)];
    let ask = Ask::new(NonZeroU32::MIN, 0, &items).unwrap();
    windows.admit(&ask).await.unwrap();
    server.say(&["SCRIPT", "FLUSH"]);
    windows.admit(&ask).await.unwrap();
    server.say(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    let lost = "limiter_reconnects_total{reason=closed}";
    while book.count(lost) == 0 {
        // the call that finds the connection gone may fail; the ones after it do not
        let _ = windows.admit(&ask).await;
        tokio::task::yield_now().await;
    }
    windows.admit(&ask).await.unwrap();
    assert_eq!(book.count(lost), 1, "L945");
    assert_eq!(book.count("limiter_script_loads_total{}"), 2, "L945 {:?}", book.series());
}
