//! Whoever guesses tokens is stopped at its address; nobody else is, and nothing grows with the guesses.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking too")]

#[expect(dead_code, reason = "this file uses its part of it")]
#[path = "support/limits.rs"]
mod support;

use http::Request;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::Ordering;
use support::{Desk, Inner, get, inner, limit, send, status, told};
use tower::Layer;
use tower_bearer::limit::{Network, PeerAddr};
use tower_bearer::rejection::{Rejection, RejectionKind, StepName};
use tower_bearer::stack::{BearerCheck, CallerMount, FailureLimit, FailureLimitError, ScopeCheck};
use tower_bearer::store::{CallerSource, MountRequest, Mounted};

type Guarded = <FailureLimit as Layer<
    <BearerCheck as Layer<<ScopeCheck as Layer<Inner>>::Service>>::Service,
>>::Service;

/// The limit, then `BearerCheck`, then a scope that only `full` tokens carry.
fn guarded(desk: &Desk, failures: &FailureLimit, scope: &str) -> Guarded {
    let scoped = ScopeCheck::all([scope]).unwrap().layer(inner(200).0);
    failures.layer(BearerCheck::new(&desk.auth).layer(scoped))
}

fn from_peer(mut request: Request<()>, peer: &str) -> Request<()> {
    let peer = SocketAddr::new(peer.parse().unwrap(), 4711);
    request.extensions_mut().insert(PeerAddr(peer));
    request
}

fn forwarded(request: Request<()>, lines: &[&str]) -> Request<()> {
    let mut request = request;
    for line in lines {
        request.headers_mut().append("x-forwarded-for", line.parse().unwrap());
    }
    request
}

fn junk(number: u32) -> Request<()> {
    get("/me", &format!("tba_{number:0>43}"))
}

#[tokio::test]
async fn three_guesses() {
    let desk = Desk::new();
    let failures = FailureLimit::new(&desk.auth, limit(3, 60_000)).unwrap();
    let service = guarded(&desk, &failures, "apps:read");
    let good = desk.token("good", "acc-member");
    for number in 0..3 {
        let response = send(&service, from_peer(junk(number), "192.0.2.1")).await;
        assert_eq!(told(&response), "401", "L871");
    }
    let asked = desk.tokens.asked.load(Ordering::SeqCst);
    let response = send(&service, from_peer(get("/me", &good), "192.0.2.1")).await;
    assert_eq!(told(&response), "429 retry-after: 60", "L842, L845, L871");
    assert_eq!(desk.tokens.asked.load(Ordering::SeqCst), asked, "L871 0 source calls");
    assert_eq!(desk.auth.cached_tokens().0, 0, "L871 the good token was not looked at");
    let rejection = response.extensions().get::<Rejection>().unwrap();
    assert_eq!(rejection.kind(), RejectionKind::RateLimited, "L845");
    assert_eq!(rejection.step(), Some(StepName::Limit), "L845");
    let names: Vec<&str> = rejection.policies().iter().map(AsRef::as_ref).collect();
    assert_eq!(names, ["failures"], "L845");
    let none = Request::get("/me").body(()).unwrap();
    assert_eq!(
        status(&send(&service, from_peer(none, "192.0.2.1")).await),
        429,
        "L842 every request"
    );
    let other = from_peer(get("/me", &good), "192.0.2.2");
    assert_eq!(status(&send(&service, other).await), 200, "L841 another address");

    desk.advance(60_000);
    let response = send(&service, from_peer(get("/me", &good), "192.0.2.1")).await;
    assert_eq!(status(&response), 200, "L871 60 s later");
}

/// A later step that knows no caller: it refuses with 401 `invalid_token` too.
struct Nobody;

impl CallerSource for Nobody {
    type Caller = ();
    type Error = std::convert::Infallible;

    async fn mount(&self, _: &MountRequest) -> Result<Mounted<()>, Self::Error> {
        Ok(Mounted::Unknown)
    }
}

#[tokio::test]
async fn what_does_not_count() {
    let desk = Desk::new();
    let failures = FailureLimit::new(&desk.auth, limit(3, 60_000)).unwrap();
    let (read, run) =
        (guarded(&desk, &failures, "apps:read"), guarded(&desk, &failures, "apps:run"));
    let good = desk.token("good", "acc-member");
    let bare = || Request::get("/me").body(()).unwrap();
    let twice = || {
        let mut request = get("/me", &good);
        let value = request.headers()["authorization"].clone();
        request.headers_mut().append("authorization", value);
        request
    };
    let refusing = failures.layer(BearerCheck::new(&desk.auth).layer(inner(401).0));
    let unknown = CallerMount::new(&desk.auth, Nobody).layer(inner(200).0);
    let unknown = failures.layer(BearerCheck::new(&desk.auth).layer(unknown));
    for _ in 0..10 {
        let answers = [
            send(&unknown, from_peer(get("/me", &good), "192.0.2.7")).await,
            send(&read, from_peer(get("/me", &good), "192.0.2.1")).await,
            send(&read, from_peer(bare(), "192.0.2.2")).await,
            send(&run, from_peer(get("/me", &good), "192.0.2.3")).await,
            send(&read, from_peer(twice(), "192.0.2.4")).await,
            send(&refusing, from_peer(get("/me", &good), "192.0.2.5")).await,
        ];
        assert_eq!(answers.each_ref().map(status), [401, 200, 401, 403, 400, 401], "L841, L872");
    }
    desk.tokens.out.store(true, Ordering::SeqCst);
    for number in 0..10 {
        let response = send(&read, from_peer(junk(number), "192.0.2.6")).await;
        assert_eq!(status(&response), 503, "L841, L872");
    }
    assert!(failures.is_empty(), "L872 0 units");
}

#[tokio::test]
async fn a_success_resets_nothing() {
    let desk = Desk::new();
    let failures = FailureLimit::new(&desk.auth, limit(4, 60_000)).unwrap();
    let service = guarded(&desk, &failures, "apps:read");
    let good = desk.token("good", "acc-member");
    let mut got = Vec::new();
    for number in 0..6 {
        let request = if number == 3 || number == 5 { get("/me", &good) } else { junk(number) };
        got.push(status(&send(&service, from_peer(request, "192.0.2.1")).await));
    }
    assert_eq!(got, [401, 401, 401, 200, 401, 429], "L843, L873");
}

#[tokio::test]
async fn who_is_counted() {
    let ten: Network = "10.0.0.0/8".parse().unwrap();
    let lines = ["6.6.6.6, 203.0.113.7, 10.1.2.3", "7.7.7.7, 203.0.113.7"];
    for (name, trusted, one, other, want) in [
        ("L832, L874", None, ("192.0.2.1", &["1.1.1.1"][..]), ("192.0.2.1", &["2.2.2.2"][..]), 1),
        ("L875", Some(ten), ("10.0.0.1", &lines[..1]), ("10.0.0.2", &lines[1..]), 1),
        ("L876", Some(ten), ("10.0.0.1", &["10.2.2.2, 10.3.3.3"]), ("10.2.2.2", &[]), 1),
        ("L877 mapped", None, ("::ffff:203.0.113.7", &[]), ("203.0.113.7", &[]), 1),
        ("L877 one /64", None, ("2001:db8:7:8::a", &[]), ("2001:db8:7:8:9::b", &[]), 1),
        ("L835 two /64", None, ("2001:db8:7:8::a", &[]), ("2001:db8:7:9::a", &[]), 2),
    ] {
        let desk = Desk::new();
        let failures = FailureLimit::new(&desk.auth, limit(3, 60_000)).unwrap();
        let failures = failures.trusted_proxies(trusted);
        let service = guarded(&desk, &failures, "apps:read");
        for (number, (peer, lines)) in [(1, one), (2, other)] {
            send(&service, from_peer(forwarded(junk(number), lines), peer)).await;
        }
        assert_eq!(failures.len(), want, "{name}");
    }
}

#[tokio::test]
async fn changing_x_forwarded_for_helps_nobody() {
    let desk = Desk::new();
    let failures = FailureLimit::new(&desk.auth, limit(3, 60_000)).unwrap();
    let service = guarded(&desk, &failures, "apps:read");
    let mut got = Vec::new();
    for number in 0..4 {
        let line = format!("203.0.113.{number}");
        let request = from_peer(forwarded(junk(number), &[&line]), "192.0.2.1");
        got.push(status(&send(&service, request).await));
    }
    assert_eq!(got, [401, 401, 401, 429], "L874");
    let nobody = send(&service, junk(9)).await;
    assert_eq!(status(&nobody), 500, "L831 no PeerAddr");
}

#[tokio::test]
async fn many_addresses() {
    let desk = Desk::new();
    let failures = FailureLimit::with_defaults(&desk.auth);
    let service = guarded(&desk, &failures, "apps:read");
    for number in 0..200_000_u128 {
        let address = IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8 << 96) | (number << 64)));
        let mut request = get("/me", "not-ours");
        request.extensions_mut().insert(PeerAddr(SocketAddr::new(address, 1)));
        assert_eq!(status(&send(&service, request).await), 401);
    }
    assert!(failures.len() <= 65_536, "L844, L878 {}", failures.len());
    assert_eq!(failures.evicted(), 200_000 - u64::try_from(failures.len()).unwrap(), "L844");
}

#[tokio::test]
async fn an_answer_nobody_waits_for_is_not_counted() {
    use std::future::Future;
    use tower::{Service, ServiceExt};
    let desk = Desk::new();
    let failures = FailureLimit::new(&desk.auth, limit(3, 60_000)).unwrap();
    let mut service = guarded(&desk, &failures, "apps:read");
    for number in 0..3 {
        // cold: the look-up is under way when the client leaves
        let request = from_peer(junk(number), "192.0.2.1");
        let mut future = Box::pin(service.ready().await.unwrap().call(request));
        let waker = std::task::Waker::noop();
        assert!(future.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
    }
    assert!(failures.is_empty(), "L843");
}

#[test]
fn settings() {
    let desk = Desk::new();
    let many = |count| limit(count, 60_000);
    let built = |failures: Result<FailureLimit, FailureLimitError>| failures.err();
    let new = |count| FailureLimit::new(&desk.auth, many(count));
    let peers = |max| FailureLimit::with_defaults(&desk.auth).with_max_peers(max);
    let out = |max_peers| Some(FailureLimitError::MaxPeersOutOfRange { max_peers });
    for (name, got, want) in [
        ("L914 most", built(new(512)), None),
        ("L914 one more", built(new(513)), Some(FailureLimitError::LimitOutOfRange { count: 513 })),
        ("L914 least peers", built(peers(1_024)), None),
        ("L914 too few", built(peers(1_023)), out(1_023)),
        ("L914 most peers", built(peers(1_048_576)), None),
        ("L914 too many", built(peers(1_048_577)), out(1_048_577)),
    ] {
        assert_eq!(got, want, "{name}");
    }
}
