//! What may not change an answer does not: other headers, caches, waiting, one more scope, another order of callers.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test may stop at what cannot be")]

#[path = "support/at_hand.rs"]
mod at_hand;
mod support;

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use support::world::{World, account, external, get, read, token};
use tower::util::BoxCloneService;
use tower::{Layer, ServiceExt, service_fn};
use tower_bearer::authenticator::AuthenticatorBuilder;
use tower_bearer::clock::Clock;
use tower_bearer::forward::{Field, ForwardBody, ForwardOptions, ForwardSet, Mode, Upstream};
use tower_bearer::id::AccountId;
use tower_bearer::limit::{Limit, Limiter, Policy};
use tower_bearer::rejection::Rejection;
use tower_bearer::scope::{RequiredScopes, ScopeSet};
use tower_bearer::stack::{
    AccessModes, AppAuthz, AppResolver, BearerCheck, BearerStack, CallerMount, Finder,
    IdentityForward, RateLimit, WorkspaceMembershipCheck,
};

type Request = http::Request<Full<Bytes>>;
type Service = BoxCloneService<Request, http::Response<Full<Bytes>>, Infallible>;

const CALLERS: [&str; 4] = ["acc-member", "acc-other", "acc-reader", "guest"];
const APPS: [&str; 6] = ["app-public", "app-all", "app-picked", "app-south", "app-odd", "nothing"];

fn number_of(caller: &str) -> u64 {
    CALLERS.iter().position(|known| *known == caller).map_or(99, |at| at as u64)
}

fn token_of(caller: &str) -> String {
    token(if caller == "guest" { "ext_" } else { "tst_" }, number_of(caller))
}

/// Two workspaces, five apps, four callers.
fn world(set: impl FnOnce(AuthenticatorBuilder) -> AuthenticatorBuilder) -> World {
    let world = World::with(set);
    for (app, of, mode) in [
        ("app-public", "ws-north", "public"),
        ("app-all", "ws-north", "private_all"),
        ("app-picked", "ws-north", "private"),
        ("app-south", "ws-south", "private_all"),
        ("app-odd", "ws-south", "later"),
    ] {
        world.app(app, of, mode);
    }
    world.member("acc-member", "ws-north");
    world.member("acc-reader", "ws-north");
    world.member("acc-other", "ws-south");
    let picked = AccountId::new("acc-member").unwrap();
    world.store.permits.put((support::world::app("app-picked"), picked), ());
    for caller in CALLERS {
        let who = support::scripted::Who(caller.to_owned());
        let subject = if caller == "guest" { external(caller) } else { account(caller) };
        world.store.callers.put(subject.key().as_str().to_owned(), who);
        let scopes = if caller == "acc-reader" { "apps:read" } else { "apps:run" };
        world.token_for(&token_of(caller), subject, scopes, Duration::from_secs(3_600));
    }
    world
}

/// Every layer but the limit; the service behind says in its answer what an upstream would be told.
fn stack(world: &World) -> Service {
    let (auth, store) = (&world.auth, &world.store);
    let upstream = Upstream::new("mcp", "https://mcp.example/mcp").unwrap();
    let options = ForwardOptions::new(upstream, Mode::Headers).set(&ForwardSet::separate());
    let options = options.fields([Field::Type, Field::Workspace, Field::App, Field::Role]);
    let stack = BearerStack::new(BearerCheck::new(auth))
        .require_scopes(["apps:run"])
        .unwrap()
        .resolve_app(AppResolver::new(auth, store.clone(), Finder::path("/apps/{app}").unwrap()))
        .require_membership_or_external(
            WorkspaceMembershipCheck::new(auth, store.clone()).exempt_external(),
        )
        .authorize_app(AppAuthz::new(auth, AccessModes::new(auth, store.clone())))
        .mount_caller(CallerMount::new(auth, store.clone()))
        .forward_identity(IdentityForward::new(options.build().unwrap()));
    at_hand::boxed(stack.layer(service_fn(|request: http::Request<ForwardBody<Full<Bytes>>>| {
        std::future::ready(Ok::<_, Infallible>(http::Response::new(Full::<Bytes>::from(told(
            request.headers(),
        )))))
    })))
}

/// The managed fields that came through, with their values, in order.
fn told(headers: &HeaderMap) -> String {
    let folded =
        |name: &str| name.to_ascii_lowercase().replace(|c: char| !c.is_alphanumeric(), "-");
    let ours =
        headers.iter().filter(|(name, _)| folded(name.as_str()).starts_with("x-forwarded-user"));
    let mut lines: Vec<_> = ours.map(|(name, value)| format!("{name}: {value:?}")).collect();
    lines.sort();
    lines.join("\n")
}

type Answer = (u16, String, String);

async fn ask(service: &Service, request: Request) -> Answer {
    read(service.clone().oneshot(request).await.unwrap()).await
}

fn path(app: &str) -> String {
    format!("/apps/{app}/run")
}

/// Runs `property` on so many cases, in one runtime.
fn holds<S: Strategy>(cases: u32, strategy: S, property: impl AsyncFn(S::Value)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&strategy, |value| {
        runtime.block_on(property(value));
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

fn caller() -> impl Strategy<Value = &'static str> {
    select(&CALLERS[..])
}

fn app() -> impl Strategy<Value = &'static str> {
    select(&APPS[..])
}

/// Any field that is no credential, copies of managed names among them, in any spelling.
fn field() -> impl Strategy<Value = (String, Vec<u8>)> {
    let managed = select(&["id", "type", "workspace", "app", "role", "roles", "email", ""][..]);
    let blank = select(&["-", "_", "."][..]);
    let managed = (managed, blank).prop_map(|(suffix, blank)| {
        format!("x-forwarded-user-{suffix}").trim_end_matches('-').replace('-', blank)
    });
    let known = select(
        &[
            "connection",
            "via",
            "forwarded",
            "x-forwarded-for",
            "x-request-id",
            "te",
            "cookie",
            "x-auth-context",
            "x-original-authorization",
            "www-authenticate",
            "x-api-key",
        ][..],
    );
    let name = prop_oneof![managed, known.prop_map(String::from), "[a-z][a-z0-9_-]{0,20}"];
    let value = prop_oneof![
        Just(b"acc-other".to_vec()),
        Just(b"x-forwarded-user-id, authorization".to_vec()),
        Just(format!("Bearer {}", token_of("acc-member")).into_bytes()),
        vec(0x20..0x7F_u8, 0..30),
        vec(0x80..0xFF_u8, 0..8),
    ];
    (name, value).prop_filter("no credential", |(name, _)| {
        !["authorization", "proxy-authorization"].contains(&name.as_str())
    })
}

#[test]
fn other_fields_change_nothing() {
    let world = world(|builder| builder);
    let service = stack(&world);
    holds(256, (caller(), app(), vec(field(), 0..6)), async |(caller, app, fields)| {
        let plain = get(&path(app), Some(&token_of(caller)));
        let mut more = get(&path(app), Some(&token_of(caller)));
        for (name, value) in &fields {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            if let Ok(value) = HeaderValue::from_bytes(value) {
                more.headers_mut().append(name, value);
            }
        }
        let want = ask(&service, plain).await;
        assert_eq!(ask(&service, more).await, want, "XT5.1, XT5.2 {caller} {app} {fields:?}");
    });
}

#[test]
fn caches_change_nothing_while_facts_rest() {
    let second = Duration::from_secs(1);
    let cold = world(|builder| {
        let builder = builder.positive_ttl(Duration::ZERO).fact_ttl(Duration::ZERO);
        builder.negative_ttl(Duration::ZERO)
    });
    let warm = world(|builder| builder.positive_ttl(300 * second).tombstone_life(600 * second));
    let services = (stack(&cold), stack(&warm));
    holds(256, vec((caller(), app(), 0..10_u64), 1..6), async |requests| {
        for (caller, app, number) in requests {
            // one in ten is a token that nobody has
            let text = if number == 0 { token("tst_", 1_000) } else { token_of(caller) };
            let want = ask(&services.0, get(&path(app), Some(&text))).await;
            let got = ask(&services.1, get(&path(app), Some(&text))).await;
            assert_eq!(got, want, "XT5.4 {caller} {app}");
        }
    });
    assert_eq!(cold.auth.cached_tokens(), (0, 0), "no cache is no cache");
    assert!(warm.store.tokens.calls() <= 5, "a cache is a cache");
}

#[test]
fn one_more_scope_never_loses_access() {
    const NAMES: &[&str] = &["apps:read", "apps:run", "apps:manage", "full", "other:scope"];
    let set = || vec(select(NAMES), 0..4);
    let world = World::new();
    let kinds = world.auth.kinds();
    holds(256, (set(), set(), vec(select(NAMES), 1..4)), async |(few, more, required)| {
        let (few, wide) = (few.join(" "), [few, more].concat().join(" "));
        let asked =
            [RequiredScopes::all(&required).unwrap(), RequiredScopes::any(&required).unwrap()];
        for (kind, required) in kinds.iter().flat_map(|kind| asked.iter().map(move |it| (kind, it)))
        {
            let rights = |text: &str| kind.rights(&ScopeSet::parse(text)).satisfies(required);
            assert!(!rights(&few) || rights(&wide), "XT5.6 {few} and {wide} for {required:?}");
        }
        // and through the layers
        let (one, other) = (token("tst_", 50), token("tst_", 51));
        world.token(&one, account("acc-1"), &few);
        world.token(&other, account("acc-1"), &wide);
        world.auth.forget_all();
        let check = BearerStack::new(BearerCheck::new(&world.auth)).require_scopes(&required);
        let service =
            BoxCloneService::new(check.unwrap().layer(support::scripted::Counting::default()));
        let before = ask(&service, get("/", Some(&one))).await.0;
        let after = ask(&service, get("/", Some(&other))).await.0;
        assert!(before != 200 || after == 200, "XT5.6 {few} and {wide} for {required:?}");
    });
}

#[test]
fn waiting_changes_nothing_but_what_ends() {
    holds(64, vec((caller(), app(), 0..900_u64), 1..8), async |requests| {
        let world = world(|builder| builder);
        let service = stack(&world);
        let began = world.now();
        for (caller, app, seconds) in requests {
            let request = || get(&path(app), Some(&token_of(caller)));
            let before = ask(&service, request()).await;
            world.clock.advance(Duration::from_secs(seconds));
            let after = ask(&service, request()).await;
            let over = world.now() >= began.saturating_add(Duration::from_secs(3_600));
            let want = if over { 401 } else { before.0 };
            assert_eq!(after.0, want, "XT5.8 {caller} {app} after {seconds} s");
            assert!(over || after == before, "XT5.8 {caller} {app}");
        }
    });
}

#[test]
fn callers_swapped_are_answers_swapped() {
    let world = world(|builder| builder);
    let service = stack(&world);
    holds(256, (caller(), caller(), app(), app()), async |(one, other, here, there)| {
        world.auth.forget_all();
        let request = |caller: &str, app| get(&path(app), Some(&token_of(caller)));
        let (first, second) =
            tokio::join!(ask(&service, request(one, here)), ask(&service, request(other, there)));
        let (second_again, first_again) =
            tokio::join!(ask(&service, request(other, there)), ask(&service, request(one, here)));
        assert_eq!((first, second), (first_again, second_again), "XT5.9 {one} {other}");
    });
}

static OVER: AtomicU64 = AtomicU64::new(0);

#[test]
fn no_schedule_gets_more_than_the_limit() {
    let step = prop_oneof![0..3_u64, 0..2_000_u64, Just(999), Just(1_000), Just(1_001)];
    let call = (step, 1..4_u32, 0..2_u64);
    holds(256, (1..8_u32, vec(call, 1..60)), async |(count, calls)| {
        const WINDOW: u64 = 1_000;
        let world = World::new();
        for n in 0..2 {
            world.token(&token("tst_", n), account("acc-1"), "full");
        }
        let limit =
            Limit::new(NonZeroU32::new(count).unwrap(), Duration::from_millis(WINDOW)).unwrap();
        let limiter = Limiter::builder()
            .policy(Policy::per_token(limit))
            .cost_by(|head, _| head.headers.get("cost").unwrap().to_str().unwrap().parse().unwrap())
            .build()
            .unwrap();
        let service = BearerCheck::new(&world.auth).layer(RateLimit::new(limiter).layer(
            service_fn(|_: Request| {
                std::future::ready(Ok::<_, Infallible>(http::Response::new(
                    Full::<Bytes>::default(),
                )))
            }),
        ));
        let send = async |n: u64, cost: u32| {
            let mut request = get("/", Some(&token("tst_", n)));
            request.headers_mut().insert("cost", HeaderValue::from(cost));
            service.clone().oneshot(request).await.unwrap()
        };
        let mut arrivals: [Vec<u64>; 2] = Default::default();
        let now = || world.clock.now().wall().as_millis();
        for (wait, cost, n) in calls {
            world.clock.advance(Duration::from_millis(wait));
            let log = &mut arrivals[usize::try_from(n).unwrap()];
            let live = |log: &[u64], at: u64| {
                log.iter().filter(|then| at - **then < WINDOW).map(|_| 1_u32).sum::<u32>()
            };
            let response = send(n, cost).await;
            let fits = live(log, now()) + cost <= count;
            assert_eq!(response.status() == 200, fits, "L212 {cost} of {count}");
            if fits {
                log.extend((0..cost).map(|_| now()));
            } else if cost <= count {
                // what it says to wait is what it takes, to the millisecond
                let wait =
                    response.extensions().get::<Rejection>().unwrap().retry_after_ms().unwrap();
                let seconds: u64 =
                    response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
                assert_eq!(seconds, u64::from(wait).div_ceil(1_000), "L745 whole seconds, up");
                world.clock.advance(Duration::from_millis(u64::from(wait) - 1));
                assert_eq!(send(n, cost).await.status(), 429, "L249, L745 a millisecond less");
                world.clock.advance(Duration::from_millis(1));
                assert_eq!(send(n, cost).await.status(), 200, "L249, L745");
                log.extend((0..cost).map(|_| now()));
            }
            OVER.fetch_add(u64::from(live(log, now()).saturating_sub(count)), Ordering::Relaxed);
        }
    });
    println!("over_admission {}", OVER.load(Ordering::Relaxed));
    assert_eq!(OVER.load(Ordering::Relaxed), 0);
}

/// Credentials as bytes that both protocols can carry: no control characters, no blanks at the ends.
fn credential() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let good = token_of("acc-member");
    let line = prop_oneof![
        Just(format!("Bearer {good}").into_bytes()),
        Just(format!("bEARER   {good}").into_bytes()),
        Just(format!("Bearer\t{good}").into_bytes()),
        Just(format!("Bearer {good}, Bearer {good}").into_bytes()),
        Just(format!("Bearer {good}=").into_bytes()),
        Just(b"Basic YTpi".to_vec()),
        Just(b"Bearer".to_vec()),
        Just(Vec::new()),
        vec(prop_oneof![0x21..0x7F_u8, 0x80..0xFF_u8], 0..40),
        (0..80_usize, 0x21..0x7F_u8).prop_map(move |(at, byte)| {
            let mut line = format!("Bearer {good}").into_bytes();
            let at = at % line.len();
            line[at] = byte;
            line
        }),
    ];
    vec(line, 0..3)
}

#[test]
fn both_protocols_give_the_same_answer() {
    let world = world(|builder| builder);
    let service = stack(&world);
    holds(64, credential(), async |lines| {
        let (one, two) = (over(&service, &lines, false).await, over(&service, &lines, true).await);
        assert_eq!(one, two, "XT5.3 {lines:?}");
        let mut direct = get("/apps/app-public/run", None);
        for line in &lines {
            direct.headers_mut().append(AUTHORIZATION, HeaderValue::from_bytes(line).unwrap());
        }
        let (status, _, body) = ask(&service, direct).await;
        assert_eq!(one, (status, body), "XT5.3, XT13 {lines:?}");
    });
}

/// Sends one request through a connection of HTTP/1.1 or HTTP/2: status and body.
async fn over(service: &Service, lines: &[Vec<u8>], two: bool) -> (u16, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = service.clone();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let answer =
            hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                served.clone().oneshot(request.map(|_| Full::default()))
            });
        let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
        let _closed = server.serve_connection(TokioIo::new(stream), answer).await;
    });
    let stream = TokioIo::new(tokio::net::TcpStream::connect(address).await.unwrap());
    let mut request = http::Request::builder()
        .uri(format!("http://{address}/apps/app-public/run"))
        .header("host", address.to_string())
        .body(Full::<Bytes>::default())
        .unwrap();
    for line in lines {
        request.headers_mut().append(AUTHORIZATION, HeaderValue::from_bytes(line).unwrap());
    }
    let response = if two {
        request.headers_mut().remove("host");
        let (mut send, wire) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(wire);
        send.send_request(request).await.unwrap()
    } else {
        *request.uri_mut() = "/apps/app-public/run".parse().unwrap();
        let (mut send, wire) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        tokio::spawn(wire);
        send.send_request(request).await.unwrap()
    };
    let (status, _, body) = read(response).await;
    server.abort();
    (status, body)
}
