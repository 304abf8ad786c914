//! Bodies behind [`IdentityForward`]: part of a signature or not read at all, and trailers never say who is calling.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test's helpers fail loudly")]

#[path = "support/cancel.rs"]
mod cancel;
#[path = "support/probe.rs"]
mod probe;
#[path = "support/forwarding.rs"]
#[expect(dead_code, reason = "shared with tests/forwarding, which needs more of it")]
mod support;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tower::limit::ConcurrencyLimitLayer;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_bearer::clock::{ManualClock, Timestamp};
use tower_bearer::forward::{
    Field, ForwardBody, ForwardOptions, ForwardSet, Forwarding, KeyRing, Signing, SigningKey,
};
use tower_bearer::receiver::{VerifiedCaller, Verifier, VerifyIdentity};
use tower_bearer::rejection::{Rejection, RejectionKind};
use tower_bearer::stack::{BearerCheck, IdentityForward};
use tower_bearer::store::{MemoryNonces, NonceStore};
use tower_bearer::{AuthContext, Authenticator};
use tower_http::follow_redirect::FollowRedirectLayer;

use cancel::{CancelAt, Left};
use probe::Probe;
use support::*;

const K: &[u8] = b"0123456789abcdef0123456789abcdef";
const START: u64 = 1_700_000_000;
const MIB: usize = 1 << 20;
const URI: &str = "https://mcp.example.com/mcp?x=1";

/// A body in pieces; says how many of them were asked for.
#[derive(Default)]
struct Pieces {
    left: VecDeque<Piece>,
    told: SizeHint,
    polls: Arc<AtomicUsize>,
}

enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
    Wait,
    Fails,
}

impl Pieces {
    fn new(left: impl IntoIterator<Item = Piece>) -> Self {
        Self { left: left.into_iter().collect(), ..Self::default() }
    }

    fn of(text: &'static str) -> Self {
        Self::new([data(text)])
    }

    /// `len` bytes in pieces of 64 KiB at most, told by nobody.
    fn streaming(len: usize) -> Self {
        let whole = Bytes::from(vec![b'x'; len]);
        let at = (0..len).step_by(MIB / 16);
        Self::new(at.map(|at| Piece::Data(whole.slice(at..len.min(at + MIB / 16)))))
    }

    fn told(mut self, len: usize) -> Self {
        self.told = SizeHint::with_exact(len as u64);
        self
    }

    fn polls(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.polls)
    }
}

fn data(text: &'static str) -> Piece {
    Piece::Data(Bytes::from_static(text.as_bytes()))
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let next = self.left.pop_front();
        self.polls.fetch_add(1, Ordering::SeqCst);
        if let (Some(Piece::Data(data)), Some(left)) = (&next, self.told.exact()) {
            self.told = SizeHint::with_exact(left - data.len() as u64);
        }
        Poll::Ready(match next {
            Some(Piece::Data(data)) => Some(Ok(Frame::data(data))),
            Some(Piece::Trailers(trailers)) => Some(Ok(Frame::trailers(trailers))),
            Some(Piece::Fails) => Some(Err(io::Error::other("password=hunter2"))),
            Some(Piece::Wait) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            None => None,
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.told
    }
}

/// Whatever lies behind a layer: writes down what comes, frame by frame, and answers one body.
#[derive(Clone, Default)]
struct Behind {
    seen: Arc<Mutex<Vec<(Parts, Vec<Seen>)>>>,
    answer: Arc<Mutex<Pieces>>,
}

/// One frame.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Seen {
    Data(Bytes),
    Trailers(Vec<(String, String)>),
}

impl Behind {
    fn answering(answer: Pieces) -> Self {
        Self { answer: Arc::new(Mutex::new(answer)), ..Self::default() }
    }

    fn take(&self) -> Vec<(Parts, Vec<Seen>)> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

impl<B: Body<Data = Bytes> + Send + 'static> Service<Request<B>> for Behind {
    type Response = Response<Pieces>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Pieces>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let this = self.clone();
        let (head, body) = request.into_parts();
        Box::pin(async move {
            let frames = frames(body).await;
            this.seen.lock().unwrap().push((head, frames));
            let answer = std::mem::take(&mut *this.answer.lock().unwrap());
            Ok(Response::new(answer))
        })
    }
}

async fn frames<B: Body<Data = Bytes>>(body: B) -> Vec<Seen> {
    let (mut body, mut seen) = (Box::pin(body), Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.unwrap_or_else(|_| panic!("an upstream was sent half a body"));
        seen.push(match frame.into_data() {
            Ok(data) => Seen::Data(data),
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap();
                let lines = support::seen(&trailers);
                Seen::Trailers(lines.into_iter().map(|(a, b)| (a.into(), b.into())).collect())
            }
        });
    }
    seen
}

fn ring() -> KeyRing {
    KeyRing::new([SigningKey::hmac_sha256("k1", K).unwrap()]).unwrap()
}

fn bound() -> Forwarding {
    bound_up_to(MIB)
}

fn bound_up_to(bytes: usize) -> Forwarding {
    let signing = Signing::new(ring()).max_body_bytes(bytes);
    let options = ForwardOptions::signed_headers(upstream(), signing);
    options.set(&ForwardSet::separate()).fields([Field::Type]).build().unwrap()
}

fn verifier(cap: usize) -> Verifier {
    let builder = Verifier::builder(ring().verifying()).url("https://mcp.example.com");
    builder.max_body_bytes(cap).build().unwrap()
}

fn auth_at(clock: ManualClock) -> Authenticator {
    use tower_bearer::subject::SubjectType;
    use tower_bearer::token::{TokenKind, TokenKinds};
    let kind = TokenKind::new("account").prefix("tba_").subject(SubjectType::Account);
    let kinds = TokenKinds::builder().kind(kind.narrowed(["apps:read", "apps:run"]).opaque(1, 64));
    Authenticator::builder(kinds.build().unwrap(), House).clock(clock).build().unwrap()
}

/// A gateway's client side and a receiver over one clock.
struct Both {
    clock: ManualClock,
    context: AuthContext,
    nonces: MemoryNonces,
}

impl Both {
    async fn new() -> Self {
        let clock = ManualClock::at(Timestamp::from_secs(START));
        let (auth, seen) = (auth_at(clock.clone()), Recorder::new());
        let service = ServiceBuilder::new().layer(BearerCheck::new(&auth)).service(seen.clone());
        send(service, request("/", &[ALICE])).await;
        let context = AuthContext::of(&seen.take()[0].extensions).unwrap().clone();
        let nonces = MemoryNonces::bounded(100, clock.clone());
        Self { clock, context, nonces }
    }

    fn request(&self, body: Pieces) -> Request<Pieces> {
        let mut request = Request::builder().method(Method::POST).uri(URI).body(body).unwrap();
        request.headers_mut().insert("trailer", HeaderValue::from_static("x-checksum"));
        request.headers_mut().insert("content-digest", HeaderValue::from_static("sha-256=:AAAA:"));
        self.context.attach(request.extensions_mut());
        request
    }

    /// What leaves the gateway, or the refusal.
    async fn sent(
        &self,
        forwarding: Forwarding,
        body: Pieces,
    ) -> Result<(Parts, Bytes), Rejection> {
        let behind = Behind::default();
        let service = IdentityForward::new(forwarding).client_side().layer(behind.clone());
        let response = service.oneshot(self.request(body)).await.unwrap();
        let mut calls = behind.take();
        if let Some(rejection) = response.extensions().get::<Rejection>() {
            assert_eq!(calls.len(), 0, "F29 no call after a refusal");
            return Err(rejection.clone());
        }
        let (head, frames) = calls.remove(0);
        assert_eq!((response.status().as_u16(), calls.len()), (200, 0));
        match frames.as_slice() {
            [] => Ok((head, Bytes::new())),
            [Seen::Data(whole)] => Ok((head, whole.clone())),
            _ => panic!("F9 held as one piece: {frames:?}"),
        }
    }

    /// The caller's id by a receiver, or the status and how often the service was called.
    async fn received(&self, cap: usize, head: &Parts, body: Pieces) -> Result<Vec<Seen>, u16> {
        let behind = Behind::default();
        let verify = VerifyIdentity::new(verifier(cap), self.nonces.clone());
        let service = verify.clock(self.clock.clone()).layer(behind.clone());
        let mut request = Request::new(body);
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = head.uri.clone();
        *request.headers_mut() = head.headers.clone();
        let response = service.oneshot(request).await.unwrap();
        let mut calls = behind.take();
        if response.status() != 200 {
            assert_eq!(calls.len(), 0, "nothing is called after a refusal");
            return Err(response.status().as_u16());
        }
        let (head, frames) = calls.remove(0);
        assert_eq!(head.extensions.get::<VerifiedCaller>().unwrap().id(), "acc-alice");
        Ok(frames)
    }
}

#[tokio::test]
async fn a_body_is_part_of_what_is_signed() {
    let both = Both::new().await;
    for (name, pieces, whole) in [
        ("F84 one piece", vec![data("hello")], "hello"),
        ("F84 pieces", vec![data("he"), Piece::Wait, data(""), data("llo")], "hello"),
        ("FI3 empty", vec![], ""),
        ("FI3 an empty piece", vec![data("")], ""),
        (
            "F47 trailers of a read body go",
            vec![data("hello"), Piece::Trailers(headers(&[("x-checksum", "1")]))],
            "hello",
        ),
    ] {
        let (head, body) = both.sent(bound(), Pieces::new(pieces)).await.unwrap();
        assert_eq!(body, whole, "{name}");
        assert_eq!(head.headers.get("trailer"), None, "{name}");
        assert_eq!(head.headers.get_all("content-digest").iter().count(), 1, "F46 {name}");
        let input = head.headers.get("signature-input").unwrap().to_str().unwrap();
        assert!(
            input.starts_with(
                r#"idf=("@method" "@authority" "@path" "@query" "content-digest" "x-forwarded-user-id" "x-forwarded-user-type");"#
            ),
            "F84 {name} {input}"
        );
        let want = if whole.is_empty() {
            vec![]
        } else {
            vec![Seen::Data(Bytes::from_static(whole.as_bytes()))]
        };
        let changed = if whole.is_empty() { "x" } else { "hellp" };
        for (what, body, want) in [
            ("changed", Pieces::of(changed), Err(403)),
            ("cut", Pieces::of("hell"), Err(403)),
            ("as sent", Pieces::new([Piece::Wait, data(whole)]), Ok(want)),
            ("FI9 again", Pieces::of(whole), Err(403)),
        ] {
            assert_eq!(both.received(MIB, &head, body).await, want, "FI7 {name} {what}");
        }
    }
}

#[tokio::test]
async fn bodies_are_read_up_to_a_cap() {
    let both = Both::new().await;
    let large = Err(RejectionKind::BodyTooLargeToSign);
    let unreadable = Err(RejectionKind::BodyUnreadable);
    let fails = || Pieces::new([data("hello"), Piece::Fails]);
    let endless = || Pieces::new((0..40).map(|_| Piece::Data(vec![b'x'; MIB / 16].into())));
    for (name, cap, body, want, polls) in [
        ("FI11 exactly", MIB, Pieces::streaming(MIB), Ok(MIB), 17),
        ("FI11 one over, streaming", MIB, Pieces::streaming(MIB + 1), large, 17),
        ("FI11 no more is read", MIB, endless(), large, 17),
        ("FI11 one over, told", MIB, Pieces::streaming(MIB + 1).told(MIB + 1), large, 0),
        ("FI11 exactly, told", MIB, Pieces::streaming(MIB).told(MIB), Ok(MIB), 17),
        ("F84 another cap", 4, Pieces::of("hell"), Ok(4), 2),
        ("F84 another cap", 4, Pieces::of("hello"), large, 1),
        ("F235 unreadable", MIB, fails(), unreadable, 2),
        ("F235 unreadable, at once", MIB, Pieces::new([Piece::Fails]), unreadable, 1),
    ] {
        let asked = body.polls();
        let sent = both.sent(bound_up_to(cap), body).await;
        assert_eq!(asked.load(Ordering::SeqCst), polls, "{name}: pieces read");
        let sent = sent.map(|(_, body)| body.len()).map_err(|rejection| {
            assert!(!format!("{rejection:?} {rejection}").contains("hunter2"), "FM3");
            rejection.kind()
        });
        assert_eq!(sent, want, "{name}");
    }
    assert_eq!(RejectionKind::BodyTooLargeToSign.status().as_u16(), 413, "F234");
    assert_eq!(RejectionKind::BodyUnreadable.status().as_u16(), 400, "F235");
}

#[tokio::test]
async fn a_receiver_reads_what_is_signed_up_to_its_cap() {
    let both = Both::new().await;
    let (signed, whole) = both.sent(bound(), Pieces::of("hello")).await.unwrap();
    let mut unsigned = signed.clone();
    unsigned.headers.remove("signature");
    let fails = || Pieces::new([Piece::Fails]);
    let passes = Ok(vec![Seen::Data(whole)]);
    for (name, cap, head, body, want, polls) in [
        ("one over", 4, &signed, Pieces::of("hello"), Err(413), 1),
        ("one over, told", 4, &signed, Pieces::of("hello").told(5), Err(413), 0),
        ("unreadable", MIB, &signed, fails(), Err(400), 1),
        ("unsigned: not read", MIB, &unsigned, Pieces::of("hello"), Err(403), 0),
        ("unsigned and too large: not read", 4, &unsigned, Pieces::streaming(5), Err(403), 0),
        ("exactly the cap, and still the first time", 5, &signed, Pieces::of("hello"), passes, 2),
    ] {
        let asked = body.polls();
        assert_eq!(both.received(cap, head, body).await, want, "F212 {name}");
        assert_eq!(asked.load(Ordering::SeqCst), polls, "F212 {name}: pieces read");
    }
}

#[tokio::test]
async fn each_attempt_is_signed_anew() {
    let both = Both::new().await;
    let input = |head: &Parts| head.headers.get("signature-input").unwrap().clone();
    let service = IdentityForward::new(bound()).client_side();
    let behind = Behind::default();
    let mut service = service.layer(behind.clone());
    for _ in 0..2 {
        let ready = ServiceExt::<Request<Pieces>>::ready(&mut service).await.unwrap();
        let response = ready.call(both.request(Pieces::of("hello"))).await;
        assert_eq!(response.unwrap().status(), 200);
        both.clock.advance(Duration::from_secs(7));
    }
    let heads: Vec<Parts> = behind.take().into_iter().map(|(head, _)| head).collect();
    let inputs: Vec<String> =
        heads.iter().map(|head| input(head).to_str().unwrap().to_owned()).collect();
    for (input, created) in inputs.iter().zip([START, START + 7]) {
        assert!(input.contains(&format!(";created={created};expires={};", created + 60)), "FI12");
    }
    let nonce = |input: &String| input.split("nonce=").nth(1).unwrap()[..24].to_owned();
    assert_ne!(nonce(&inputs[0]), nonce(&inputs[1]), "FI12");
    for head in &heads {
        assert!(both.received(MIB, head, Pieces::of("hello")).await.is_ok(), "FI12 both verify");
    }

    // the time is the one at which the body is there
    struct Late(Pieces, ManualClock);
    impl Body for Late {
        type Data = Bytes;
        type Error = io::Error;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
            self.1.advance(Duration::from_secs(50));
            Pin::new(&mut self.0).poll_frame(cx)
        }
    }
    let late = both.request(Pieces::of("hello")).map(|body| Late(body, both.clock.clone()));
    let behind = Behind::default();
    let service = IdentityForward::new(bound()).client_side().layer(behind.clone());
    assert_eq!(service.oneshot(late).await.unwrap().status(), 200);
    let (head, _) = behind.take().remove(0);
    let want = format!(";created={};", START + 14 + 100);
    assert!(input(&head).to_str().unwrap().contains(&want), "F25 signed when it leaves");
}

#[tokio::test]
async fn a_redirect_within_the_origin_is_signed_anew() {
    let (both, behind) = (Both::new().await, Behind::default());
    let hops = behind.clone();
    let upstream = service_fn(move |request: Request<ForwardBody<Pieces>>| {
        let (mut behind, first) = (hops.clone(), request.uri().path() == "/mcp");
        async move {
            let mut response = behind.call(request).await?;
            if first {
                *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
                response.headers_mut().insert("location", HeaderValue::from_static("/other"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let service = ServiceBuilder::new()
        .layer(FollowRedirectLayer::new())
        .layer(IdentityForward::new(bound()).client_side())
        .service(upstream);
    let response = service.oneshot(both.request(Pieces::default().told(0))).await.unwrap();
    assert_eq!(response.status(), 200, "FL5");
    let heads: Vec<Parts> = behind.take().into_iter().map(|(head, _)| head).collect();
    let paths: Vec<&str> = heads.iter().map(|head| head.uri.path()).collect();
    assert_eq!(paths, ["/mcp", "/other"], "FL5");
    for head in &heads {
        let received = both.received(MIB, head, Pieces::default()).await;
        assert_eq!(received, Ok(Vec::new()), "FL5 a signature of its own: {}", head.uri);
    }
}

const EVIL: Lines<'static> = &[
    ("x-forwarded-user-id", "admin"),
    ("x_forwarded_user_id", "admin"),
    ("host", "evil.example"),
    ("content-length", "1"),
    ("transfer-encoding", "chunked"),
    ("mcp-session-id", "s"),
    ("authorization", "Bearer x"),
];

#[tokio::test]
async fn trailers_never_say_who_calls() {
    let both = Both::new().await;
    let trailers = |more: Lines<'_>| {
        let lines: Vec<_> = EVIL.iter().chain(more).copied().collect();
        Piece::Trailers(headers(&lines))
    };
    let text = |text: &'static str| Seen::Data(Bytes::from_static(text.as_bytes()));
    let checksum = Seen::Trailers(vec![("x-checksum".into(), "1".into())]);
    let of_last = |name: &str| -> (Vec<Piece>, Vec<Seen>) {
        let mut pieces = vec![data("a"), Piece::Wait, data("b")];
        let mut seen = vec![text("a"), text("b")];
        if name == "some stay" {
            pieces.push(trailers(&[("x-checksum", "1")]));
            seen.push(checksum.clone());
        } else {
            pieces.push(trailers(&[]));
        }
        (pieces, seen)
    };
    for name in ["some stay", "none stays: the frame goes"] {
        let ((pieces, want), (answer, _)) = (of_last(name), of_last(name));
        let behind = Behind::answering(Pieces::new(answer));
        let plain = options().build().unwrap();
        let service = IdentityForward::new(plain).client_side().layer(behind.clone());
        let response = service.oneshot(both.request(Pieces::new(pieces))).await.unwrap();
        assert_eq!(frames(response.into_body()).await, want, "F47 answer, {name}");
        let (head, frames) = behind.take().remove(0);
        assert_eq!(frames, want, "F47 request, {name}");
        assert_eq!(head.headers.get("x-forwarded-user-id").unwrap(), "acc-alice", "F47");
        assert_eq!(head.headers.get("x-checksum"), None, "F47 never merged, {name}");
        assert_eq!(head.headers.get("trailer").unwrap(), "x-checksum", "F33 {name}");
    }
    // what passes is the very piece
    let piece = Bytes::from(vec![b'x'; 64]);
    let behind = Behind::default();
    let plain = IdentityForward::new(options().build().unwrap());
    let service = plain.client_side().layer(behind.clone());
    let body = Pieces::new([Piece::Data(piece.clone())]);
    assert_eq!(service.oneshot(both.request(body)).await.unwrap().status(), 200);
    let Some(Seen::Data(seen)) = behind.take().remove(0).1.pop() else { panic!("no data") };
    assert_eq!(seen.as_ptr(), piece.as_ptr(), "F9 frames pass untouched");
}

type Held = Full<Bytes>;
type End = tower::util::BoxCloneService<Request<Pieces>, Response<ForwardBody<Held>>, probe::Gone>;

/// The sender and the receiver over a probe.
fn both_ends(both: &Both, probe: Probe, permits: usize, nonces: Slow) -> [(&'static str, End); 2] {
    let empty = |request: Request<ForwardBody<Pieces>>| request.map(|_| Held::default());
    let inner = ServiceBuilder::new()
        .map_request(empty)
        .layer(ConcurrencyLimitLayer::new(permits))
        .service(probe);
    let verify = VerifyIdentity::new(verifier(5), nonces).clock(both.clock.clone());
    let sender = IdentityForward::new(bound_up_to(5)).client_side().layer(inner.clone());
    let receiver = verify.layer(inner);
    [("sender", sender.boxed_clone()), ("receiver", receiver.boxed_clone())]
}

/// A store of nonces that takes a few polls.
#[derive(Clone, Copy)]
struct Slow;

impl NonceStore for Slow {
    type Error = Infallible;

    async fn insert_if_absent(&self, _: &str, _: &str, _: Timestamp) -> Result<bool, Infallible> {
        tokio::task::yield_now().await;
        Ok(true)
    }
}

/// A request that either end lets through, if the body is what was signed.
fn good(both: &Both, signed: &Parts, body: Pieces) -> Request<Pieces> {
    let mut request = both.request(body);
    *request.headers_mut() = signed.headers.clone();
    request
}

#[tokio::test]
async fn the_ready_service_is_called_and_a_refusal_frees_it() {
    let both = Both::new().await;
    let (signed, _) = both.sent(bound(), Pieces::of("hello")).await.unwrap();
    let probe = Probe::new();
    let counts = Arc::clone(&probe.counts);
    let ends = both_ends(&both, probe, 1, Slow);
    for (name, mut service) in ends {
        let mut other = service.clone();
        let before = counts.calls.load(Ordering::SeqCst);
        for (what, body, want) in [
            ("passes", Pieces::of("hello"), 200),
            ("passes late", Pieces::new([data("he"), Piece::Wait, data("llo")]), 200),
            ("too large", Pieces::of("hello!"), 413),
            ("too large, told", Pieces::of("hello!").told(6), 413),
            ("unreadable", Pieces::new([Piece::Wait, Piece::Fails]), 400),
            ("passes again", Pieces::of("hello"), 200),
        ] {
            let request = good(&both, &signed, body);
            let ready = service.ready();
            let ready = tokio::time::timeout(PATIENCE, ready).await.expect("a permit is free");
            let answer = ready.unwrap().call(request).await.unwrap();
            assert_eq!(answer.status().as_u16(), want, "FL9 {name} {what}");
            if want != 200 {
                let free = poll_fn(|cx| Poll::Ready(other.poll_ready(cx).is_ready())).await;
                assert!(free, "FL9 {name} {what}: the permit is free while the answer lives");
                other = service.clone(); // give it back
            }
        }
        assert_eq!(counts.calls.load(Ordering::SeqCst) - before, 3, "FL9 {name} calls");
        assert_eq!(counts.unready.load(Ordering::SeqCst), 0, "FL9 {name} called unready");
        // errors come out as they are
        counts.broken.store(true, Ordering::SeqCst);
        let answer = service.ready().await.unwrap().call(good(&both, &signed, Pieces::of("hello")));
        assert_eq!(answer.await.unwrap_err(), probe::Gone, "F16 {name}");
        counts.broken.store(false, Ordering::SeqCst);
    }
    assert_eq!(counts.alive.load(Ordering::SeqCst), 0, "FL9 no clone is left");
}

const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn whoever_leaves_at_any_await_leaves_nothing() {
    let both = Both::new().await;
    let (signed, _) = both.sent(bound(), Pieces::of("hello")).await.unwrap();
    let probe = Probe::new();
    let counts = Arc::clone(&probe.counts);
    for (name, mut service) in both_ends(&both, probe, 1, Slow) {
        let still = service.clone();
        let alive = counts.alive.load(Ordering::SeqCst);
        drop(still);
        let mut left = 0;
        for polls in 0.. {
            let pieces = [Piece::Wait, data("he"), Piece::Wait, data("llo"), Piece::Wait];
            let request = good(&both, &signed, Pieces::new(pieces));
            let ready = tokio::time::timeout(PATIENCE, service.ready()).await;
            let call = ready.expect("FL9 the permit came back").unwrap().call(request);
            match CancelAt::new(call, polls).await {
                Left::Done(answer) => {
                    assert_eq!(answer.unwrap().status(), 200, "{name}");
                    break;
                }
                Left::Alive(future) => drop(future),
            }
            left += 1;
            assert!(counts.alive.load(Ordering::SeqCst) < alive, "FL9 {name} after {polls} polls");
        }
        assert!(left >= 4, "F16 {name} was left {left} times");
    }
    assert_eq!(counts.alive.load(Ordering::SeqCst), 0, "FL9 nothing is left");
    assert_eq!(counts.unready.load(Ordering::SeqCst), 0);
}

/// Both ends in one process, as a pipe: what the sender makes the receiver takes, body type and all.
#[tokio::test]
async fn one_end_over_the_other() {
    let both = Both::new().await;
    let told = service_fn(|request: Request<ForwardBody<ForwardBody<Pieces>>>| async move {
        let id = request.extensions().get::<VerifiedCaller>().unwrap().id().to_owned();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Ok::<_, Infallible>(Response::new(Held::from(format!("{id} {}", body.len()))))
    });
    let verify = VerifyIdentity::new(verifier(MIB), both.nonces.clone());
    let service = ServiceBuilder::new()
        .layer(IdentityForward::new(bound()).client_side())
        .layer(verify.clock(both.clock.clone()))
        .service(told);
    let response = service.oneshot(both.request(Pieces::streaming(MIB))).await.unwrap();
    assert_eq!(response.status(), 200);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, format!("acc-alice {MIB}"));
}
