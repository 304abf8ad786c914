//! A caller never gets more than its limit, is told the true wait, and costs nobody else anything.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking too")]

#[path = "support/log.rs"]
mod log;
#[path = "support/limits.rs"]
mod support;

use http::{Method, Request, Response};
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use support::{Desk, Inner, get, inner, limit, per_token, send, status, told};
use tower::limit::ConcurrencyLimitLayer;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_bearer::limit::{
    Anonymous, CustomKey, Fields, Limiter, MissingFact, Mode, PeerAddr, Policy,
};
use tower_bearer::rejection::{Rejection, RejectionKind};
use tower_bearer::stack::{BearerCheck, RateLimit, ScopeCheck};
use tower_bearer::{AuthContext, Evidence};

type Limited = <BearerCheck as Layer<<RateLimit as Layer<Inner>>::Service>>::Service;

/// `BearerCheck`, then the limiter, then a service that answers 200.
fn limited(desk: &Desk, limiter: &Limiter) -> Limited {
    over(desk, limiter, inner(200).0)
}

fn over(desk: &Desk, limiter: &Limiter, service: Inner) -> Limited {
    log::listen();
    BearerCheck::new(&desk.auth).layer(RateLimit::from(limiter).layer(service))
}

fn rejection(response: &Response<()>) -> &Rejection {
    response.extensions().get::<Rejection>().unwrap()
}

fn policies(rejection: &Rejection) -> Vec<&str> {
    rejection.policies().iter().map(AsRef::as_ref).collect()
}

fn context(response: &Response<()>) -> &AuthContext {
    AuthContext::of(response.extensions()).unwrap()
}

#[tokio::test]
async fn waits_are_rounded_up() {
    let desk = Desk::new();
    let service = limited(&desk, &per_token(1, 60_000));
    let token = desk.token("full", "acc-member");
    assert_eq!(status(&send(&service, get("/me", &token)).await), 200);
    let mut now = 0;
    for (ms, seconds) in [(60_000, 60), (59_940, 60), (1_001, 2), (1_000, 1), (999, 1), (1, 1)] {
        desk.advance(60_000 - ms - now);
        now = 60_000 - ms;
        let response = send(&service, get("/me", &token)).await;
        let fields =
            format!(r#"ratelimit-policy: "token";q=1;w=60 | ratelimit: "token";r=0;t={seconds}"#);
        let want = format!("429 retry-after: {seconds} | {fields}");
        assert_eq!(told(&response), want, "L701, L731, L740 {ms}");
        assert_eq!(rejection(&response).retry_after_ms(), u32::try_from(ms).ok(), "L721 {ms}");
        assert_eq!(rejection(&response).kind(), RejectionKind::RateLimited, "L721");
        assert_eq!(policies(rejection(&response)), ["token"], "L721");
        assert_eq!(response.headers()["cache-control"], "no-store", "7.2");
    }
    desk.advance(1);
    assert_eq!(status(&send(&service, get("/me", &token)).await), 200, "L745 after the wait");
}

#[tokio::test]
async fn lone_callers_may_trust_the_wait() {
    let desk = Desk::new();
    let service = limited(&desk, &per_token(2, 10_000));
    let token = desk.token("full", "acc-member");
    for step in [0, 3_333] {
        desk.advance(step);
        send(&service, get("/me", &token)).await;
    }
    let denied = send(&service, get("/me", &token)).await;
    let wait = rejection(&denied).retry_after_ms().unwrap();
    assert_eq!(wait, 6_667, "L205");
    desk.advance(u64::from(wait) - 1);
    assert_eq!(status(&send(&service, get("/me", &token)).await), 429, "L745 1 ms less");
    desk.advance(1);
    assert_eq!(status(&send(&service, get("/me", &token)).await), 200, "L745");
}

#[tokio::test]
async fn fields_of_passed_answers() {
    let both = r#"ratelimit-policy: "token";q=60;w=60 | ratelimit: "token";r=59;t=60"#;
    let with = |status: u16| format!("{status} {both}");
    let db = r#""db";r=1;t=2"#;
    for (name, fields, status, sent, want) in [
        ("L702 200", Fields::Always, 200, None, with(200)),
        ("L703, L741 302", Fields::Always, 302, None, "302".to_owned()),
        ("L703 103", Fields::Always, 103, None, "103".to_owned()),
        ("L741 404", Fields::Always, 404, None, with(404)),
        ("L741 500", Fields::Always, 500, None, with(500)),
        ("L703 503", Fields::Always, 503, None, "503".to_owned()),
        (
            "L741 the service's own stays first",
            Fields::Always,
            200,
            Some(db),
            format!(
                r#"200 ratelimit-policy: "token";q=60;w=60 | ratelimit: {db} | ratelimit: "token";r=59;t=60"#
            ),
        ),
        ("L743 OnDenied, a pass", Fields::OnDenied, 200, None, "200".to_owned()),
        ("L743 Never, a pass", Fields::Never, 200, None, "200".to_owned()),
    ] {
        let desk = Desk::new();
        let policy = Policy::per_token(limit(60, 60_000));
        let limiter = Limiter::builder().policy(policy).fields(fields).build().unwrap();
        let (mut service, _) = inner(status);
        service.fields.extend(sent.map(|value| ("ratelimit", value)));
        let token = desk.token("full", "acc-member");
        let response = send(&over(&desk, &limiter, service), get("/me", &token)).await;
        assert_eq!(told(&response), want, "{name}");
    }
}

#[tokio::test]
async fn fields_of_denials() {
    let both =
        r#"429 retry-after: 60 | ratelimit-policy: "token";q=1;w=60 | ratelimit: "token";r=0;t=60"#;
    for (name, fields, want) in [
        ("L702 Always", Fields::Always, both),
        ("L743 OnDenied", Fields::OnDenied, both),
        ("L743 Never", Fields::Never, "429 retry-after: 60"),
    ] {
        let desk = Desk::new();
        let policy = Policy::per_token(limit(1, 60_000));
        let limiter = Limiter::builder().policy(policy).fields(fields).build().unwrap();
        let service = limited(&desk, &limiter);
        let token = desk.token("full", "acc-member");
        send(&service, get("/me", &token)).await;
        assert_eq!(told(&send(&service, get("/me", &token)).await), want, "{name}");
        let mut head = get("/me", &token);
        *head.method_mut() = Method::HEAD;
        assert_eq!(told(&send(&service, head).await), want, "L739 {name}");
    }
}

#[tokio::test]
async fn two_policies_are_told_together() {
    let desk = Desk::new();
    let limiter = Limiter::builder()
        .policy(Policy::per_token(limit(5, 1_000)).named("burst"))
        .policy(Policy::per_token(limit(10, 60_000)).named("minute"))
        .build()
        .unwrap();
    let service = limited(&desk, &limiter);
    let token = desk.token("full", "acc-member");
    for now in [0, 1_000] {
        desk.advance(now);
        for _ in 0..5 {
            let response = send(&service, get("/me", &token)).await;
            assert_eq!(status(&response), 200, "L252 {now}");
            // less than the minute has at first, then as much and the first of the two
            let quota = context(&response).quota().unwrap();
            assert_eq!(quota.policy.as_str(), "burst", "L705, L813 {now}");
        }
    }
    let response = send(&service, get("/me", &token)).await;
    let want = concat!(
        r#"429 retry-after: 59 | ratelimit-policy: "burst";q=5;w=1, "minute";q=10;w=60"#,
        r#" | ratelimit: "burst";r=0;t=1, "minute";r=0;t=59"#
    );
    assert_eq!(told(&response), want, "L736");
    assert_eq!(rejection(&response).retry_after_ms(), Some(59_000), "L736");
    assert_eq!(policies(rejection(&response)), ["burst", "minute"], "L736");
}

/// A limiter that reads each request's cost from a header: only a test would.
fn priced(limiter: tower_bearer::limit::LimiterBuilder) -> Limiter {
    let cost = |head: &http::request::Parts, _: &AuthContext| {
        let cost = head.headers.get("x-cost").and_then(|cost| cost.to_str().ok());
        cost.map_or(1, |cost| cost.parse().unwrap())
    };
    limiter.cost_by(cost).build().unwrap()
}

fn priced_get(cost: u32, token: &str) -> Request<()> {
    let mut request = get("/me", token);
    request.headers_mut().insert("x-cost", cost.into());
    request
}

#[tokio::test]
async fn costs() {
    let desk = Desk::new();
    let policy = Policy::per_token(limit(10, 10_000));
    let limiter = priced(Limiter::builder().policy(policy));
    let (service, calls) = inner(200);
    let service = over(&desk, &limiter, service);
    let token = desk.token("full", "acc-member");
    for (name, advance, cost, want) in [
        (
            "L807 0 c4",
            0,
            4,
            r#"200 ratelimit-policy: "token";q=10;w=10 | ratelimit: "token";r=6;t=10"#,
        ),
        (
            "L807 1000 c4",
            1_000,
            4,
            r#"200 ratelimit-policy: "token";q=10;w=10 | ratelimit: "token";r=2;t=9"#,
        ),
        (
            "L737 c3",
            1_000,
            3,
            r#"429 retry-after: 8 | ratelimit-policy: "token";q=10;w=10 | ratelimit: "token";r=2;t=8"#,
        ),
        ("L737, L722 c11", 0, 11, "429"),
        ("L210 c0", 0, 0, "200"),
        (
            "L203 nothing was charged",
            0,
            2,
            r#"200 ratelimit-policy: "token";q=10;w=10 | ratelimit: "token";r=0;t=8"#,
        ),
    ] {
        desk.advance(advance);
        let response = send(&service, priced_get(cost, &token)).await;
        assert_eq!(told(&response), want, "{name}");
        if cost == 11 {
            assert_eq!(rejection(&response).kind(), RejectionKind::CostOverLimit, "{name}");
            assert_eq!(rejection(&response).retry_after_ms(), None, "{name}");
            assert_eq!(policies(rejection(&response)), ["token"], "{name}");
        }
    }
    assert_eq!(calls.load(Ordering::SeqCst), 4, "L815");
}

#[tokio::test]
async fn every_policy_that_a_cost_exceeds_is_named() {
    let desk = Desk::new();
    let limiter = priced(
        Limiter::builder()
            .policy(Policy::per_token(limit(5, 10_000)))
            .policy(Policy::per_subject(limit(9, 10_000)))
            .policy(Policy::per_subject(limit(6, 10_000)).named("hour")),
    );
    let service = limited(&desk, &limiter);
    let token = desk.token("full", "acc-member");
    let response = send(&service, priced_get(7, &token)).await;
    assert_eq!(policies(rejection(&response)), ["token", "hour"], "L209, L722");
    assert!(limiter.is_empty(), "L209 nothing charged anywhere");
}

#[tokio::test]
async fn one_route_may_cost_more() {
    let desk = Desk::new();
    let policy = Policy::per_token(limit(10, 60_000));
    let cost = |head: &http::request::Parts, _: &AuthContext| {
        if head.uri.path().ends_with("/run") { 5 } else { 1 }
    };
    let limiter = Limiter::builder().policy(policy).cost_by(cost).build().unwrap();
    let service = limited(&desk, &limiter);
    let token = desk.token("full", "acc-member");
    let mut got = Vec::new();
    for (path, advance) in [("/apps/a/run", 0), ("/apps/a/run", 1_000), ("/me", 1_000)] {
        desk.advance(advance);
        let response = send(&service, get(path, &token)).await;
        let wait = response.extensions().get::<Rejection>().and_then(Rejection::retry_after_ms);
        got.push((status(&response), wait));
    }
    assert_eq!(got, [(200, None), (200, None), (429, Some(58_000))], "L858");
}

#[tokio::test]
async fn sixty_a_minute() {
    let desk = Desk::new();
    let service = limited(&desk, &per_token(60, 60_000));
    let full = desk.token("full", "acc-member");
    for left in (0..60).rev() {
        let want =
            format!(r#"200 ratelimit-policy: "token";q=60;w=60 | ratelimit: "token";r={left};t="#);
        let got = told(&send(&service, get("/me", &full)).await);
        assert!(got.starts_with(&want), "L851 {got}");
    }
    assert_eq!(status(&send(&service, get("/me", &full)).await), 429, "L851");
    let read = desk.token("read", "acc-member");
    assert_eq!(status(&send(&service, get("/me", &read)).await), 200, "L851 another token");
}

#[tokio::test]
async fn evidence_and_what_is_left() {
    let desk = Desk::new();
    let limiter = per_token(60, 60_000);
    let service = limited(&desk, &limiter);
    let token = desk.token("full", "acc-member");
    let response = send(&service, get("/me", &token)).await;
    let context = context(&response);
    assert!(context.evidence().contains(Evidence::AUTHENTICATED | Evidence::LIMITED), "L801");
    let quota = context.quota().unwrap();
    let got = (quota.policy.as_str(), quota.limit, quota.remaining, quota.reset_ms);
    assert_eq!(got, ("token", 60, 59, 60_000), "L813");
}

#[tokio::test]
async fn in_process_nothing_waits() {
    let desk = Desk::new();
    let mut service = limited(&desk, &per_token(1, 60_000));
    let token = desk.token("full", "acc-member");
    send(&service, get("/me", &token)).await;
    // warm and denied: one poll each, whatever the executor
    let mut future = service.ready().await.unwrap().call(get("/me", &token));
    let polled = std::pin::pin!(&mut future).poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(Ok(response)) = polled else { panic!("L803") };
    assert_eq!(status(&response), 429, "L803");
}

#[tokio::test]
async fn what_step_one_refuses_is_not_charged() {
    let desk = Desk::new();
    let limiter = per_token(1, 60_000);
    let service = limited(&desk, &limiter);
    let expired = format!("tba_{:B>43}", "expired");
    let record = support::record("expired", "acc-member");
    desk.store_record(&expired, record.with_revoked());
    let late = format!("tba_{:B>43}", "late");
    let ends = tower_bearer::clock::Timestamp::from_secs(1);
    let subject = tower_bearer::subject::Subject::Account {
        id: tower_bearer::id::AccountId::new("acc-member").unwrap(),
    };
    let id = tower_bearer::id::TokenId::new("late").unwrap();
    desk.store_record(&late, tower_bearer::store::TokenRecord::new(id, "account", subject, ends));
    for number in 0..10_000 {
        let token = match number % 5 {
            0 => format!("ghp_{number:0>43}"),
            1 => format!("tba_{number:0>42}"),
            2 => format!("tba_{number:0>43}"),
            3 => expired.clone(),
            _ => late.clone(),
        };
        assert_eq!(status(&send(&service, get("/me", &token)).await), 401, "L852 {token}");
    }
    assert_eq!(limiter.len(), 0, "L852, L802");
}

#[tokio::test]
async fn revoked_beats_limited() {
    let desk = Desk::new();
    let service = limited(&desk, &per_token(1, 60_000));
    let token = desk.token("full", "acc-member");
    let mut got = Vec::new();
    for _ in 0..2 {
        got.push(status(&send(&service, get("/me", &token)).await));
    }
    desk.auth.forget_token(&tower_bearer::token::Digest::of(&token));
    got.push(status(&send(&service, get("/me", &token)).await));
    assert_eq!(got, [200, 429, 401], "L853, L802");
}

#[tokio::test]
async fn once_per_request() {
    let desk = Desk::new();
    let token = desk.token("full", "acc-member");
    let same = per_token(10, 60_000);
    let twice = ServiceBuilder::new()
        .layer(BearerCheck::new(&desk.auth))
        .layer(RateLimit::from(&same))
        .layer(RateLimit::from(same.clone()))
        .service(inner(200).0);
    let want = r#"200 ratelimit-policy: "token";q=10;w=60 | ratelimit: "token";r=9;t=60"#;
    assert_eq!(told(&send(&twice, get("/me", &token)).await), want, "L805, L854 the same");

    let named = |name| Policy::per_token(limit(10, 60_000)).named(name);
    let other = |name| Limiter::builder().policy(named(name)).build().unwrap();
    let (one, two, three) = (other("one"), other("two"), other("three"));
    let several = ServiceBuilder::new()
        .layer(BearerCheck::new(&desk.auth))
        .layer(RateLimit::from(&one))
        .layer(RateLimit::from(&two))
        .layer(RateLimit::from(&three))
        .layer(RateLimit::from(&three))
        .layer(RateLimit::from(&one))
        .service(inner(200).0);
    let response = send(&several, get("/me", &token)).await;
    assert_eq!(response.headers().get_all("ratelimit").iter().count(), 3, "L854 one set each");
    assert_eq!(context(&response).quota().unwrap().remaining, 9, "L854 1 unit each");
}

#[tokio::test]
async fn spelling_changes_no_key() {
    let desk = Desk::new();
    let limiter = per_token(100, 60_000);
    let service = limited(&desk, &limiter);
    let token = desk.token("full", "acc-member");
    let mut calls = 0;
    for scheme in ["Bearer ", "bearer ", "BEARER ", "Bearer    "] {
        for (method, path) in [
            (Method::GET, "/me"),
            (Method::GET, "/ME/?x=1"),
            (Method::OPTIONS, "*"),
            (Method::HEAD, "/me"),
            (Method::POST, "/apps/app-public/run"),
        ] {
            for version in [http::Version::HTTP_11, http::Version::HTTP_2] {
                calls += 1;
                let mut request = Request::new(());
                *request.method_mut() = method.clone();
                *request.uri_mut() = path.parse().unwrap();
                *request.version_mut() = version;
                let headers = request.headers_mut();
                headers.insert("authorization", format!("{scheme}{token}").parse().unwrap());
                headers.insert("x-forwarded-for", format!("10.0.0.{calls}").parse().unwrap());
                headers.insert("x-http-method-override", "OPTIONS".parse().unwrap());
                let response = send(&service, request).await;
                let left = context(&response).quota().unwrap().remaining;
                assert_eq!(left, 100 - calls, "L806, L811, L855 {scheme}{method} {path}");
            }
        }
    }
    assert_eq!(limiter.len(), 1, "L855");
}

#[tokio::test]
async fn refusals_of_later_steps_are_charged() {
    use tower_bearer::stack::{AppResolver, Finder};
    let desk = Desk::new();
    let limiter = per_token(10, 60_000);
    let token = desk.token("read", "acc-member");
    let front = |service| limited_over(&desk, &limiter, service);
    let me = front(tower::util::BoxCloneService::new(inner(200).0));
    let find = Finder::path("/apps/{app}").unwrap();
    let app = AppResolver::new(&desk.auth, support::North, find).layer(inner(200).0);
    let apps = front(tower::util::BoxCloneService::new(app));
    let run = ScopeCheck::all(["apps:run"]).unwrap().layer(inner(200).0);
    let run = front(tower::util::BoxCloneService::new(run));
    let mut got = Vec::new();
    for (service, path, times) in [
        (&me, "/me", 5),
        (&apps, "/apps/app-none", 3),
        (&run, "/apps/app-public/run", 2),
        (&me, "/me", 1),
    ] {
        for _ in 0..times {
            got.push(status(&send(service, get(path, &token)).await));
        }
    }
    assert_eq!(got, [200, 200, 200, 200, 200, 404, 404, 404, 403, 403, 429], "L856");
}

type Boxed = tower::util::BoxCloneService<Request<()>, Response<()>, std::convert::Infallible>;
type Front<S> = <BearerCheck as Layer<<RateLimit as Layer<S>>::Service>>::Service;

fn limited_over(desk: &Desk, limiter: &Limiter, service: Boxed) -> Front<Boxed> {
    BearerCheck::new(&desk.auth).layer(RateLimit::from(limiter).layer(service))
}

#[tokio::test]
async fn tokens_of_one_subject_share_its_limit() {
    let desk = Desk::new();
    let limiter = Limiter::builder()
        .policy(Policy::per_token(limit(3, 120_000)))
        .policy(Policy::per_subject(limit(20, 60_000)))
        .build()
        .unwrap();
    let service = limited(&desk, &limiter);
    let tokens: Vec<String> =
        (0..10).map(|number| desk.token(&format!("t{number}"), "acc-member")).collect();
    for (name, advance, violated) in [
        ("L859 first round", 0, None),
        ("L859 second", 0, None),
        ("L859 third", 0, Some("subject")),
        // the denied call is in no token's log, or this round would find it full
        ("L859 one more each", 60_000, None),
        ("L859 and no more", 0, Some("token")),
    ] {
        desk.advance(advance);
        for token in &tokens {
            let response = send(&service, get("/me", token)).await;
            let got = response.extensions().get::<Rejection>().map(policies);
            assert_eq!(got, violated.map(|name| vec![name]), "{name}");
        }
    }
}

fn from_peer(address: &str) -> Request<()> {
    let mut request = Request::get("/me").body(()).unwrap();
    let peer = std::net::SocketAddr::new(address.parse().unwrap(), 4711);
    request.extensions_mut().insert(PeerAddr(peer));
    request
}

#[tokio::test]
async fn anonymous_callers() {
    let by_peer = Anonymous::ByPeer(limit(2, 60_000));
    let policy = r#"ratelimit-policy: "peer";q=2;w=60"#;
    for (name, anonymous, want) in [
        ("L810, L860 default", Anonymous::default(), ["401"; 4].map(String::from)),
        ("L860 Pass", Anonymous::Pass, ["200"; 4].map(String::from)),
        (
            "L860 ByPeer",
            by_peer,
            [
                format!(r#"200 {policy} | ratelimit: "peer";r=1;t=60"#),
                format!(r#"200 {policy} | ratelimit: "peer";r=0;t=60"#),
                format!(r#"429 retry-after: 60 | {policy} | ratelimit: "peer";r=0;t=60"#),
                format!(r#"200 {policy} | ratelimit: "peer";r=1;t=60"#),
            ],
        ),
    ] {
        let desk = Desk::new();
        let token = Policy::per_token(limit(60, 60_000));
        let limiter = Limiter::builder().policy(token).anonymous(anonymous).build().unwrap();
        let limit = RateLimit::from(&limiter).layer(inner(200).0);
        let service = BearerCheck::new(&desk.auth).optional().layer(limit);
        for (peer, want) in
            ["192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2"].into_iter().zip(want)
        {
            let response = send(&service, from_peer(peer)).await;
            assert_eq!(told(&response), want, "{name} {peer}");
            if status(&response) == 401 {
                let kind = rejection(&response).kind();
                assert_eq!(kind, RejectionKind::MissingCredential, "{name}");
            }
        }
        if anonymous == by_peer {
            let nobody = Request::get("/me").body(()).unwrap();
            assert_eq!(status(&send(&service, nobody).await), 500, "L831");
        }
    }
}

#[tokio::test]
async fn shadow_refuses_nobody() {
    let desk = Desk::new();
    let policy = Policy::per_token(limit(1, 60_000));
    let limiter = Limiter::builder().policy(policy).mode(Mode::Shadow).build().unwrap();
    let service = limited(&desk, &limiter);
    let token = desk.token("full", "acc-member");
    for _ in 0..3 {
        assert_eq!(told(&send(&service, get("/me", &token)).await), "200", "L812, L864");
    }
    assert_eq!(limiter.would_deny(), 2, "L864");
}

#[tokio::test]
async fn custom_keys() {
    let desk = Desk::new();
    let plan = Policy::custom("plan", limit(1, 60_000), |context| {
        let id = context.token_id().ok_or(MissingFact::new("token id"))?;
        match id.as_str() {
            "free" => Ok(CustomKey::Exempt),
            "lost" => Err(MissingFact::new("plan")),
            _ => Ok(CustomKey::bytes("paid")),
        }
    });
    let service = limited(&desk, &Limiter::builder().policy(plan).build().unwrap());
    for (name, token, want) in [
        ("L809 first", "one", 200),
        ("L809 the same key", "two", 429),
        ("L703 exempt", "free", 200),
        ("L703 exempt again", "free", 200),
        ("L809 a missing fact", "lost", 500),
    ] {
        let token = desk.token(token, token);
        let response = send(&service, get("/me", &token)).await;
        assert_eq!(status(&response), want, "{name}");
        let exempt = name.starts_with("L703");
        assert!(!exempt || told(&response) == "200", "{name}");
    }
}

#[tokio::test]
async fn lowered_for_some() {
    let desk = Desk::new();
    let policy = Policy::per_token(limit(60, 60_000)).lowered_by(|context| {
        match context.token_id().map(|id| id.as_str()) {
            Some("trial") => 2,
            Some("zero") => 0,
            Some("panics") => panic!("a service's own slip"),
            _ => u32::MAX,
        }
    });
    let limiter = Limiter::builder().policy(policy).build().unwrap();
    let service = limited(&desk, &limiter);
    for (name, want) in [
        ("trial", r#"200 ratelimit-policy: "token";q=2;w=60 | ratelimit: "token";r=1;t=60"#),
        ("zero", r#"200 ratelimit-policy: "token";q=1;w=60 | ratelimit: "token";r=0;t=60"#),
        ("full", r#"200 ratelimit-policy: "token";q=60;w=60 | ratelimit: "token";r=59;t=60"#),
    ] {
        let token = desk.token(name, "acc-member");
        assert_eq!(told(&send(&service, get("/me", &token)).await), want, "L229, L712 {name}");
    }
    let panics = desk.token("panics", "acc-member");
    let broken = service.clone();
    let dropped = tokio::spawn(async move { send(&broken, get("/me", &panics)).await }).await;
    assert!(dropped.unwrap_err().is_panic(), "L427 that request is dropped");
    let trial = desk.token("trial", "acc-member");
    for (name, want) in [("L427 decides", 200), ("L427 and limits", 429)] {
        assert_eq!(status(&send(&service, get("/me", &trial)).await), want, "{name}");
    }
    limiter.sweep();
    assert_eq!(limiter.len(), 3, "L427 no lock stays poisoned");
}

#[tokio::test]
async fn decisions_without_a_layer() {
    let desk = Desk::new();
    let limiter = per_token(3, 60_000);
    let service = limited(&desk, &limiter);
    let token = desk.token("full", "acc-member");
    let response = send(&service, get("/socket", &token)).await;
    let context = context(&response);
    desk.advance(1_000);
    let quota = limiter.check(context, 2).await.unwrap().unwrap();
    assert_eq!((quota.remaining, quota.reset_ms), (0, 59_000), "L814 at its own time");
    desk.advance(59_000);
    assert_eq!(limiter.check(context, 0).await.unwrap(), None, "L210");
    assert_eq!(
        limiter.check(context, 1).await.unwrap().unwrap().remaining,
        0,
        "L814 a unit is back"
    );
    let denied = limiter.check(context, 1).await.unwrap_err();
    assert_eq!(denied.kind(), RejectionKind::RateLimited, "L814");
    assert_eq!(denied.retry_after_ms(), Some(1_000), "L814");
    let never = limiter.check(context, 4).await.unwrap_err();
    assert_eq!(never.kind(), RejectionKind::CostOverLimit, "L814");
    let tenant = Policy::per_workspace(limit(1, 1_000));
    let tenant = Limiter::builder().policy(tenant).build().unwrap();
    let missing = tenant.check(context, 1).await.unwrap_err();
    assert_eq!(missing.kind(), RejectionKind::Misordered, "L824, XR23");

    desk.advance(60_000);
    limiter.sweep();
    assert_eq!(limiter.len(), 0, "L423");
}

#[tokio::test]
async fn refusals_free_what_was_ready() {
    let desk = Desk::new();
    let limiter = per_token(1, 60_000);
    let (service, calls) = inner(200);
    let service = ServiceBuilder::new()
        .layer(BearerCheck::new(&desk.auth))
        .layer(RateLimit::from(&limiter))
        .layer(ConcurrencyLimitLayer::new(1))
        .service(service);
    let token = desk.token("full", "acc-member");
    assert_eq!(status(&send(&service, get("/me", &token)).await), 200);
    let mut service = service;
    let mut kept = Vec::new();
    for _ in 0..10 {
        // the answers and the service are kept: a permit that a refusal held would be missed
        let response = service.ready().await.unwrap().call(get("/me", &token)).await.unwrap();
        assert_eq!(status(&response), 429, "L815, L866");
        kept.push(response);
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1, "L866");
    let other = desk.token("other", "acc-member");
    let response = service.ready().await.unwrap().call(get("/me", &other)).await.unwrap();
    assert_eq!(status(&response), 200, "L866 the permit is free");
}

#[tokio::test]
async fn without_a_context() {
    log::listen();
    let told = Errors::default();
    let (service, calls) = inner(200);
    let service = RateLimit::from(per_token(60, 60_000)).layer(service);
    let subscriber = tracing_subscriber::layer::SubscriberExt::with(
        tracing_subscriber::registry(),
        told.clone(),
    );
    let _guard = tracing::subscriber::set_default(subscriber);
    for _ in 0..100 {
        let request = Request::get("/me").body(()).unwrap();
        assert_eq!(status(&send(&service, request).await), 500, "L861");
    }
    assert_eq!(told.count(), 1, "L861");
    assert_eq!(calls.load(Ordering::SeqCst), 0, "L861");
}

/// Counts `error!` lines.
#[derive(Clone, Default)]
struct Errors(std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl Errors {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Errors {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        let ours = event.metadata().target().starts_with("tower_bearer::gate");
        if ours && *event.metadata().level() == tracing::Level::ERROR {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_at_once() {
    let desk = Desk::new();
    let service = limited(&desk, &per_token(100, 60_000));
    let token = desk.token("full", "acc-member");
    let start = std::sync::Arc::new(tokio::sync::Barrier::new(1_000));
    let tasks: Vec<_> = (0..1_000)
        .map(|_| {
            let (service, token) = (service.clone(), token.clone());
            let start = std::sync::Arc::clone(&start);
            tokio::spawn(async move {
                start.wait().await;
                status(&send(&service, get("/me", &token)).await)
            })
        })
        .collect();
    let (mut passed, mut denied) = (0, 0);
    for task in tasks {
        match task.await.unwrap() {
            200 => passed += 1,
            429 => denied += 1,
            other => panic!("L426 {other}"),
        }
    }
    println!("parallel passed {passed}");
    assert_eq!((passed, denied), (100, 900), "L426");
}
