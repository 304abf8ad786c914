//! An upstream believes what our gateway signed for it, once and for a short time, and nothing else.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test's helpers fail loudly")]

#[path = "support/forwarding.rs"]
#[expect(dead_code, reason = "shared with tests/forwarding, which needs more of it")]
mod support;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use proptest::prelude::*;
use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use tower_bearer::AuthContext;
use tower_bearer::clock::{ManualClock, Timestamp};
use tower_bearer::forward::{
    ConfigError, Field, ForwardBody, ForwardError, ForwardOptions, ForwardSet, Forwarding,
    Identity, KeyFault, KeyRing, Mode, Override, Signing, SigningKey, Upstream, VerifyingKeys,
};
use tower_bearer::receiver::{CallerType, VerifiedCaller, Verifier, VerifyError, VerifyIdentity};
use tower_bearer::rejection::Reason;
use tower_bearer::stack::{BearerCheck, IdentityForward, RenderRejections};
use tower_bearer::store::{MemoryNonces, NonceStore};

use support::*;

const K: &[u8] = b"0123456789abcdef0123456789abcdef";
const OTHER: &[u8] = b"fedcba9876543210fedcba9876543210";
const START: u64 = 1_700_000_000;

fn key(id: &str, key: &[u8]) -> SigningKey {
    SigningKey::hmac_sha256(id, key).unwrap()
}

fn manual() -> ManualClock {
    ManualClock::at(at(START))
}

fn ring() -> KeyRing {
    KeyRing::new([key("k1", K)]).unwrap()
}

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn signing() -> Signing {
    Signing::new(ring()).without_body()
}

fn signed(signing: Signing) -> ForwardOptions {
    let options = ForwardOptions::signed_headers(upstream(), signing);
    options.set(&ForwardSet::separate()).fields([Field::Type, Field::Email, Field::Workspace])
}

fn forwarding() -> Forwarding {
    signed(signing()).build().unwrap()
}

fn verifier(keys: VerifyingKeys) -> Verifier {
    Verifier::builder(keys).url("https://mcp.example.com").without_body().build().unwrap()
}

/// FI3, as the page has it: bound to an empty body, by key `k2`.
fn fi3() -> Parts {
    let lines = [
        ("host", "mcp.example.com"),
        ("content-digest", "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"),
        ("x-forwarded-user-id", "acc-alice"),
        ("x-forwarded-user-type", "account"),
        ("x-forwarded-user-email", "alice@co.com"),
        ("x-forwarded-user-workspace", "ws-1"),
        ("signature", "idf=:qNGmWPoi3dlFBLtQ6nQMqBy3BGXu2PjSVUvHI+7R3W8=:"),
        (
            "signature-input",
            "idf=(\"@method\" \"@authority\" \"@path\" \"@query\" \"content-digest\" \"x-forwarded-user-id\" \"x-forwarded-user-type\" \"x-forwarded-user-email\" \"x-forwarded-user-workspace\");created=1700000000;expires=1700000060;nonce=\"bm9uY2UtMDAwMg\";keyid=\"k2\";alg=\"hmac-sha256\";tag=\"identity-forward\"",
        ),
    ];
    request("/mcp", &lines).into_parts().0
}

fn verifier_of_fi3() -> Verifier {
    let keys = VerifyingKeys::new([key("k2", K).verifying()]).unwrap();
    Verifier::builder(keys).url("https://mcp.example.com").build().unwrap()
}

/// The caller, or what failed.
fn judged(
    verifier: &Verifier,
    head: &Parts,
    body: Option<&[u8]>,
    now: u64,
) -> Result<VerifiedCaller, Reason> {
    let unspent = verifier.verify_once(head, body, at(now));
    match unspent.and_then(|unspent| unspent.spend(true)) {
        Ok(caller) => Ok(caller),
        Err(VerifyError::NotVerified { reason }) => Err(reason),
        Err(other) => panic!("{other}"),
    }
}

fn set(head: &mut Parts, name: &str, value: &str) {
    let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
    head.headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
}

fn edit(head: &mut Parts, name: &str, from: &str, to: &str) {
    let old = head.headers.get(name).unwrap().to_str().unwrap().to_owned();
    assert!(old.contains(from), "{name} has no {from}");
    set(head, name, &old.replacen(from, to, 1));
}

#[test]
fn the_vector_of_the_page_is_believed() {
    let caller = judged(&verifier_of_fi3(), &fi3(), Some(b""), START).unwrap();
    assert_eq!(caller.id(), "acc-alice");
    assert_eq!(caller.subject_type(), Some(CallerType::Account));
    assert_eq!(caller.text(Field::Email), Some("alice@co.com"));
    assert_eq!(caller.workspace(), Some("ws-1"));
    assert_eq!(
        (caller.issuer(), caller.is_admin(), caller.list(Field::Groups)),
        (None, None, None)
    );
    assert_eq!(caller.key_id(), "k2");
    for (name, now, want) in [
        ("FI8", START - 30, Ok(())),
        ("FI8", START + 90, Ok(())),
        ("FI8", START - 31, Err(Reason::WrongTime)),
        ("FI8", START + 91, Err(Reason::WrongTime)),
    ] {
        let got = judged(&verifier_of_fi3(), &fi3(), Some(b""), now);
        assert_eq!(got.map(|_| ()), want, "{name} at {now}");
    }
    let almost = Timestamp::from_millis((START + 90) * 1_000 + 1);
    assert!(verifier_of_fi3().verify_once(&fi3(), Some(b""), almost).is_err(), "F213 to the ms");
}

#[test]
fn any_change_is_refused() {
    type Change = fn(&mut Parts);
    let rows: [(&str, Change, Reason); 30] = [
        ("FI7 uncovered", |h| set(h, "x-forwarded-user-groups", "root"), Reason::NotCovered),
        ("F211 folded", |h| set(h, "x_forwarded_user_groups", "root"), Reason::NotCovered),
        ("F211 the prefix itself", |h| set(h, "x-forwarded-user", "root"), Reason::NotCovered),
        (
            "F211 two lines",
            |h| assert!(h.headers.append("x-forwarded-user-id", HeaderValue::from_static("root"))),
            Reason::NotCovered,
        ),
        ("a changed value", |h| set(h, "x-forwarded-user-id", "root"), Reason::WrongSignature),
        ("F83 every field", |h| set(h, "x-forwarded-user-type", "service"), Reason::WrongSignature),
        ("F83", |h| set(h, "x-forwarded-user-email", "bob@co.com"), Reason::WrongSignature),
        ("F83", |h| set(h, "x-forwarded-user-workspace", "ws-2"), Reason::WrongSignature),
        (
            "a removed value",
            |h| drop(h.headers.remove("x-forwarded-user-workspace")),
            Reason::NotCovered,
        ),
        ("FI7 method", |h| h.method = Method::DELETE, Reason::WrongSignature),
        ("FI7 path", |h| h.uri = "/mcp/".parse().unwrap(), Reason::WrongSignature),
        ("F81 query", |h| h.uri = "/mcp?a".parse().unwrap(), Reason::WrongSignature),
        ("FI7 authority", |h| set(h, "host", "evil.example"), Reason::WrongAuthority),
        ("F212 port", |h| set(h, "host", "mcp.example.com:80"), Reason::WrongAuthority),
        (
            "F212 two authorities",
            |h| h.uri = "https://evil.example/mcp".parse().unwrap(),
            Reason::WrongAuthority,
        ),
        ("F212 none", |h| drop(h.headers.remove("host")), Reason::WrongAuthority),
        (
            "F212 two lines",
            |h| assert!(h.headers.append("host", HeaderValue::from_static("mcp.example.com"))),
            Reason::WrongAuthority,
        ),
        (
            "F212 never from forwarded fields",
            |h| {
                set(h, "host", "evil.example");
                set(h, "x-forwarded-host", "mcp.example.com");
            },
            Reason::WrongAuthority,
        ),
        ("FI7 digest", |h| set(h, "content-digest", "sha-256=:AAAA:"), Reason::WrongDigest),
        (
            "FI7 tag",
            |h| edit(h, "signature-input", "identity-forward", "x"),
            Reason::BadSignatureFields,
        ),
        ("FI7 alg", |h| edit(h, "signature-input", "hmac-sha256", "ed25519"), Reason::UnknownKey),
        ("FI7 key id", |h| edit(h, "signature-input", "k2", "k3"), Reason::UnknownKey),
        (
            "FI8 301 s",
            |h| edit(h, "signature-input", "1700000060", "1700000301"),
            Reason::WrongTime,
        ),
        (
            "F213 ends at once",
            |h| edit(h, "signature-input", "1700000060", "1700000000"),
            Reason::WrongTime,
        ),
        (
            "F213 stretched",
            |h| edit(h, "signature-input", "1700000060", "1700000061"),
            Reason::WrongSignature,
        ),
        ("other nonce", |h| edit(h, "signature-input", "AwMg", "AwMw"), Reason::WrongSignature),
        ("F211 no query", |h| edit(h, "signature-input", " \"@query\"", ""), Reason::NotCovered),
        (
            "F211 an unknown component",
            |h| edit(h, "signature-input", "\"@query\"", "\"@query\" \"@scheme\""),
            Reason::NotCovered,
        ),
        ("F210 no signature", |h| drop(h.headers.remove("signature")), Reason::NoSignature),
        (
            "F210 two lines",
            |h| {
                let line = h.headers.get("signature").unwrap().clone();
                h.headers.append("signature", line);
            },
            Reason::NoSignature,
        ),
    ];
    for (name, change, want) in rows {
        let mut head = fi3();
        change(&mut head);
        assert_eq!(judged(&verifier_of_fi3(), &head, Some(b""), START), Err(want), "{name}");
    }
    for (name, body) in [("FI7 body", Some(&b"x"[..])), ("F212 a body that was not read", None)] {
        let got = judged(&verifier_of_fi3(), &fi3(), body, START);
        assert_eq!(got, Err(Reason::WrongDigest), "{name}");
    }
    let keys = VerifyingKeys::new([key("k2", K).verifying()]).unwrap();
    let got = judged(&verifier(keys), &fi3(), None, START);
    assert_eq!(got, Err(Reason::NotCovered), "F84 both ends must say the same");
    let wrong = VerifyingKeys::new([key("k2", OTHER).verifying()]).unwrap();
    let wrong = Verifier::builder(wrong).url("https://mcp.example.com").build().unwrap();
    assert_eq!(judged(&wrong, &fi3(), Some(b""), START), Err(Reason::WrongSignature), "other key");
}

#[test]
fn an_authority_is_named_in_several_ways() {
    for (name, url, uri, host, want) in [
        ("HTTP/1", "https://mcp.example.com/any", "/mcp", Some("MCP.example.com"), true),
        ("default port", "https://mcp.example.com", "/mcp", Some("mcp.example.com:443"), true),
        ("HTTP/2", "https://mcp.example.com", "https://mcp.example.com/mcp", None, true),
        (
            "both",
            "https://mcp.example.com",
            "http://mcp.example.com:443/mcp",
            Some("mcp.example.com"),
            true,
        ),
        ("userinfo", "https://mcp.example.com", "/mcp", Some("a@mcp.example.com"), false),
        ("other host", "https://mcp.example.com", "/mcp", Some("mcp.example.com.evil"), false),
        (
            "other default port",
            "http://mcp.example.com",
            "/mcp",
            Some("mcp.example.com:443"),
            false,
        ),
    ] {
        let keys = VerifyingKeys::new([key("k2", K).verifying()]).unwrap();
        let verifier = Verifier::builder(keys).url(url).build().unwrap();
        let mut head = fi3();
        head.headers.remove("host");
        head.uri = uri.parse().unwrap();
        if let Some(host) = host {
            set(&mut head, "host", host);
        }
        let got = judged(&verifier, &head, Some(b""), START);
        let want = if want { Ok("acc-alice") } else { Err(Reason::WrongAuthority) };
        assert_eq!(
            got.as_ref().map(VerifiedCaller::id).map_err(|reason| *reason),
            want,
            "F212 {name}"
        );
    }
}

/// A gateway and a receiver over one clock; the receiver's service answers the caller's id.
struct Both {
    clock: ManualClock,
    context: AuthContext,
}

impl Both {
    async fn new() -> Self {
        let (clock, seen) = (ManualClock::at(at(START)), Recorder::new());
        let auth = auth_at(clock.clone());
        let service = ServiceBuilder::new().layer(BearerCheck::new(&auth)).service(seen.clone());
        send(service, request("/", &[ALICE])).await;
        let context = AuthContext::of(&seen.take()[0].extensions).unwrap().clone();
        Self { clock, context }
    }

    /// What leaves the gateway's client side.
    async fn outgoing(&self, forward: IdentityForward, method: Method, uri: &str) -> Parts {
        let recorder = Recorder::new();
        let mut outgoing =
            request(uri, &[("x-forwarded-user-id", "admin"), ("signature", "a=:AA:")]);
        *outgoing.method_mut() = method;
        self.context.attach(outgoing.extensions_mut());
        let (response, _) = send(forward.client_side().layer(recorder.clone()), outgoing).await;
        assert_eq!(response.status(), 200);
        recorder.take().remove(0)
    }

    async fn sent(&self) -> Parts {
        self.outgoing(forwarding().into(), Method::POST, "https://mcp.example.com/mcp?x=1").await
    }

    /// Status, fields and body of the receiver's answer.
    async fn received(
        &self,
        verifier: Verifier,
        nonces: impl NonceStore,
        head: &Parts,
    ) -> (u16, HeaderMap, String) {
        let verify = VerifyIdentity::new(verifier, nonces).clock(self.clock.clone());
        let told = service_fn(|request: Request<ForwardBody<String>>| async move {
            let caller = request.extensions().get::<VerifiedCaller>().unwrap();
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(caller.id().to_owned())))
        });
        let service =
            ServiceBuilder::new().layer(RenderRejections::new()).layer(verify).service(told);
        let response = service.oneshot(copy(head)).await.unwrap();
        let status = response.status().as_u16();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (status, head.headers, String::from_utf8(body.to_vec()).unwrap())
    }
}

fn auth_at(clock: ManualClock) -> tower_bearer::Authenticator {
    use tower_bearer::subject::SubjectType;
    use tower_bearer::token::{TokenKind, TokenKinds};
    let kind = TokenKind::new("account").prefix("tba_").subject(SubjectType::Account);
    let kinds = TokenKinds::builder().kind(kind.narrowed(["apps:read", "apps:run"]).opaque(1, 64));
    tower_bearer::Authenticator::builder(kinds.build().unwrap(), House)
        .clock(clock)
        .build()
        .unwrap()
}

/// The request as it comes over the wire: without extensions.
fn copy(head: &Parts) -> Request<String> {
    let mut request = Request::new(String::from("hello"));
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = head.uri.clone();
    *request.headers_mut() = head.headers.clone();
    request
}

#[tokio::test]
async fn from_the_gateway_to_the_upstream() {
    let both = Both::new().await;
    let head = both.sent().await;
    assert_eq!(head.headers.get_all("signature").iter().count(), 1, "F46");
    assert_eq!(head.headers.get("x-forwarded-user-id").unwrap(), "acc-alice");
    let nonces = MemoryNonces::bounded(10, both.clock.clone());
    let keys = || verifier(ring().verifying());
    let (status, _, body) = both.received(keys(), nonces.clone(), &head).await;
    assert_eq!((status, &*body), (200, "acc-alice"));
    let (status, ..) = both.received(keys(), nonces.clone(), &head).await;
    assert_eq!(status, 403, "FI9 one signature twice");

    // the server side signs as well, for a proxy that changes neither method nor target
    let seen = Recorder::new();
    let service = ServiceBuilder::new()
        .layer(BearerCheck::new(&auth_at(both.clock.clone())))
        .layer(IdentityForward::new(forwarding()))
        .service(seen.clone());
    let (response, _) = send(service, request("/mcp", &[ALICE, ("host", "mcp.example.com")])).await;
    assert_eq!(response.status(), 200);
    let (status, _, body) = both.received(keys(), nonces, &seen.take()[0]).await;
    assert_eq!((status, &*body), (200, "acc-alice"));
}

#[tokio::test]
async fn a_retry_is_signed_anew() {
    let both = Both::new().await;
    let (first, nonces) = (both.sent().await, MemoryNonces::bounded(10, both.clock.clone()));
    both.clock.advance(Duration::from_secs(70));
    let second = both.sent().await;
    let input =
        |head: &Parts| head.headers.get("signature-input").unwrap().to_str().unwrap().to_owned();
    assert!(
        input(&first).contains(";created=1700000000;expires=1700000060;"),
        "F82 {}",
        input(&first)
    );
    assert!(input(&second).contains(";created=1700000070;expires=1700000130;"), "FI12");
    let nonce = |head: &Parts| input(head).split("nonce=").nth(1).unwrap()[..24].to_owned();
    assert_ne!(nonce(&first), nonce(&second), "FI12");
    for head in [&first, &second] {
        let (status, ..) = both.received(verifier(ring().verifying()), nonces.clone(), head).await;
        assert_eq!(status, 200, "FI12 both verify");
    }
}

#[tokio::test]
async fn keys_rotate() {
    let both = Both::new().await;
    let rotating = KeyRing::new([key("k2", OTHER), key("k1", K)]).unwrap();
    let forward = signed(Signing::new(rotating.clone()).without_body()).build().unwrap();
    let uri = "https://mcp.example.com/mcp";
    let new = both.outgoing(forward.into(), Method::GET, uri).await;
    let old = both.outgoing(forwarding().into(), Method::GET, uri).await;
    let nonces = MemoryNonces::bounded(10, both.clock.clone());
    for (name, keys, head, want) in [
        ("FI10 signed with k2", rotating.verifying(), &new, 200),
        ("FI10 k1 still counts", rotating.verifying(), &old, 200),
        ("FI10 k1 only", ring().verifying(), &new, 403),
    ] {
        let (status, ..) = both.received(verifier(keys), nonces.clone(), head).await;
        assert_eq!(status, want, "{name}");
    }
}

#[tokio::test]
async fn every_algorithm_reaches_the_other_end() {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
    let pkcs8 =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .unwrap();
    let both = Both::new().await;
    for key in [
        SigningKey::hmac_sha256("k", K).unwrap(),
        SigningKey::ed25519("k", OTHER).unwrap(),
        SigningKey::ecdsa_p256_sha256("k", pkcs8.as_ref()).unwrap(),
    ] {
        let name = key.algorithm().word();
        let ring = KeyRing::new([key]).unwrap();
        let forward = signed(Signing::new(ring.clone()).without_body()).build().unwrap();
        let head = both.outgoing(forward.into(), Method::PUT, "https://mcp.example.com/").await;
        let (status, ..) = both
            .received(verifier(ring.verifying()), MemoryNonces::bounded(9, manual()), &head)
            .await;
        assert_eq!(status, 200, "F83 {name}");
    }
}

#[tokio::test]
async fn every_failure_answers_the_same_bytes() {
    type Change = fn(&mut Parts);
    let both = Both::new().await;
    let changes: [(&str, Change); 9] = [
        ("nothing", |h| h.headers.clear()),
        ("method", |h| h.method = Method::GET),
        ("path", |h| h.uri = "https://mcp.example.com/other?x=1".parse().unwrap()),
        ("query", |h| h.uri = "https://mcp.example.com/mcp?x=2".parse().unwrap()),
        ("authority", |h| h.uri = "https://other.example/mcp?x=1".parse().unwrap()),
        ("id", |h| set(h, "x-forwarded-user-id", "acc-bob")),
        ("one more", |h| set(h, "x-forwarded-user-admin", "true")),
        ("fields", |h| set(h, "signature-input", "idf=()")),
        ("signature", |h| set(h, "signature", "idf=:AAAA:")),
    ];
    let mut answers = Vec::new();
    for (name, change) in changes {
        let mut head = both.sent().await;
        change(&mut head);
        let answer = both
            .received(verifier(ring().verifying()), MemoryNonces::bounded(9, manual()), &head)
            .await;
        assert_eq!(answer.0, 403, "{name}");
        answers.push(answer);
    }
    let (head, nonces) = (both.sent().await, MemoryNonces::bounded(9, manual()));
    for _ in 0..2 {
        answers.push(both.received(verifier(ring().verifying()), nonces.clone(), &head).await);
    }
    let passed = answers.remove(answers.len() - 2);
    assert_eq!(passed.0, 200);
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "F215 {answers:#?}");
    let (_, fields, body) = &answers[0];
    assert_eq!(
        body,
        r#"{"type":"about:blank","title":"Forbidden","status":403,"error":"identity_not_verified","detail":"The forwarded identity could not be verified."}"#,
        "F240"
    );
    assert_eq!(fields.get("www-authenticate"), None, "FM3");
}

/// A store of nonces that fails in its own way.
#[derive(Clone, Copy)]
enum Broken {
    Down,
    Hangs,
    Panics,
}

impl NonceStore for Broken {
    type Error = io::Error;

    async fn insert_if_absent(&self, _: &str, _: &str, _: Timestamp) -> Result<bool, io::Error> {
        match self {
            Self::Down => Err(io::Error::other("password=hunter2")),
            Self::Hangs => pending().await,
            Self::Panics => panic!("a store that panics"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_nonce_store_without_an_answer_is_never_a_pass() {
    let both = Both::new().await;
    let full = MemoryNonces::bounded(1, both.clock.clone());
    full.insert_if_absent("k1", "taken", at(START + 90)).await.unwrap();
    let head = both.sent().await;
    let keys = || verifier(ring().verifying());
    for (name, (status, fields, body)) in [
        ("FI9 full", both.received(keys(), full, &head).await),
        ("FI9 down", both.received(keys(), Broken::Down, &head).await),
        ("F206 hangs", both.received(keys(), Broken::Hangs, &head).await),
        ("panics", both.received(keys(), Broken::Panics, &head).await),
    ] {
        assert_eq!(status, 503, "{name}");
        assert_eq!(fields.get("retry-after").unwrap(), "1", "F241 {name}");
        assert!(body.contains("\"error\":\"nonce_store_unavailable\""), "F241 {name} {body}");
        assert!(body.contains("could not be decided now"), "F241 {name}");
        assert!(!body.contains("hunter2"), "FM3");
    }
    let (status, ..) = both.received(keys(), Counting::default(), &head).await;
    assert_eq!(status, 200);
    let (counting, mut forged) = (Counting::default(), head);
    set(&mut forged, "x-forwarded-user-id", "acc-bob");
    both.received(keys(), counting.clone(), &forged).await;
    assert_eq!(*counting.0.lock().unwrap(), 0, "F214 asked only after the signature is right");
}

#[derive(Clone, Default)]
struct Counting(Arc<Mutex<u32>>);

impl NonceStore for Counting {
    type Error = Infallible;

    async fn insert_if_absent(&self, _: &str, _: &str, _: Timestamp) -> Result<bool, Infallible> {
        *self.0.lock().unwrap() += 1;
        Ok(true)
    }
}

#[tokio::test]
async fn a_receiver_without_tower() {
    let (forwarding, nonces) = (forwarding(), MemoryNonces::bounded(9, ManualClock::at(at(START))));
    let mut head = request("https://mcp.example.com/mcp", &[]).into_parts().0;
    let identity = Identity::external("https://idp.example", "guest-1").with_email("é@co.com");
    let _prepared =
        forwarding.prepare_request_at(&mut head, Some(&identity), || at(START)).unwrap();
    let verifier = verifier(ring().verifying());
    let caller = verifier.verify(&head, None, at(START), &nonces).await.unwrap();
    assert_eq!(caller.id(), identity.id());
    assert_eq!(caller.subject_type(), Some(CallerType::External));
    assert_eq!(caller.text(Field::Email), Some("é@co.com"), "F63 decoded");
    let again = verifier.verify(&head, None, at(START), &nonces).await;
    assert!(matches!(again, Err(VerifyError::NotVerified { reason: Reason::Replayed })), "FI9");
    let down = verifier.verify(&head, None, at(START), &Broken::Down).await;
    assert!(matches!(down, Err(VerifyError::NonceStore { .. })), "F241");
}

#[test]
fn settings_that_do_not_build() {
    let range = |setting| Err(ConfigError::OutOfRange { setting });
    let secs = Duration::from_secs;
    for (name, options, want) in [
        ("F82", signed(signing().lifetime(secs(1))), Ok(())),
        ("F82", signed(signing().lifetime(secs(300))), Ok(())),
        ("FI11 0 s", signed(signing().lifetime(secs(0))), range("lifetime")),
        ("FI11 301 s", signed(signing().lifetime(secs(301))), range("lifetime")),
        ("F82 whole", signed(signing().lifetime(Duration::from_millis(1_500))), range("lifetime")),
        ("F84 the default", signed(Signing::new(ring())), Ok(())),
        ("F84 0", signed(Signing::new(ring()).max_body_bytes(0)), range("max_body_bytes")),
        (
            "F84 over 16 MiB",
            signed(Signing::new(ring()).max_body_bytes((16 << 20) + 1)),
            range("max_body_bytes"),
        ),
        (
            "F270 without keys",
            ForwardOptions::new(upstream(), Mode::SignedHeaders),
            Err(ConfigError::NoKeys),
        ),
    ] {
        assert_eq!(options.build().map(|_| ()), want, "{name}");
    }
    let short = SigningKey::hmac_sha256("k", &K[..31]).map(|_| ());
    assert_eq!(short, Err(ConfigError::Key { fault: KeyFault::Short }), "FI11");
    let keys = ring().verifying();
    let builder = || Verifier::builder(keys.clone());
    let built = |builder: tower_bearer::receiver::VerifierBuilder| builder.build().map(|_| ());
    assert_eq!(built(builder()), range("url"), "F212 an authority of its own");
    assert!(matches!(built(builder().url("mcp")), Err(ConfigError::Url { .. })));
    assert_eq!(built(builder().url("https://a").prefix("X-")), Err(ConfigError::PrefixShape));
    for bytes in [0, (16 << 20) + 1] {
        assert_eq!(
            built(builder().url("https://a").max_body_bytes(bytes)),
            range("max_body_bytes")
        );
    }
    assert_eq!("signed_headers".parse(), Ok(Mode::SignedHeaders), "F78");
}

#[test]
fn overrides_do_not_weaken_unasked() {
    let base = || signed(signing());
    let plain = || ForwardOptions::new(upstream(), Mode::Headers).set(&ForwardSet::separate());
    let needs =
        |setting| Err(ConfigError::NotPermitted { setting, permission: "local_may_weaken" });
    let none = |setting| Err(ConfigError::Unavailable { setting });
    for (name, options, json, want) in [
        ("F163", base(), "{}", Ok(true)),
        ("F165 sign", base(), r#"{"sign":true}"#, Ok(true)),
        ("F165 unsigned", base(), r#"{"mode":"headers"}"#, needs("mode")),
        ("F165 unsigned", base(), r#"{"sign":false}"#, needs("sign")),
        ("F165 allowed", base().local_may_weaken(), r#"{"sign":false}"#, Ok(false)),
        ("F165 allowed", base().local_may_weaken(), r#"{"mode":"headers"}"#, Ok(false)),
        ("F270 no keys", plain(), r#"{"mode":"signed_headers"}"#, none("mode")),
        ("F165 no keys", plain(), r#"{"sign":true}"#, none("sign")),
    ] {
        let made = options.with_override(&Override::from_json(json).unwrap());
        let made = made.and_then(ForwardOptions::build);
        let signs = made.map(|forwarding| {
            let mut head = request("/", &[]).into_parts().0;
            let identity = Identity::account("a");
            let _ =
                forwarding.prepare_request_at(&mut head, Some(&identity), || at(START)).unwrap();
            head.headers.contains_key("signature")
        });
        assert_eq!(signs, want, "{name} {json}");
    }
    for (name, options, secs, want) in [
        ("F169 smaller", base(), 10, START + 10),
        ("F169 larger", base(), 61, START + 60),
        ("F169 larger, allowed", base().local_may_weaken(), 61, START + 61),
    ] {
        let json = format!("{{\"lifetime_secs\":{secs}}}");
        let forwarding =
            options.with_override(&Override::from_json(&json).unwrap()).unwrap().build().unwrap();
        let mut head = request("/", &[]).into_parts().0;
        let _ = forwarding
            .prepare_request_at(&mut head, Some(&Identity::account("a")), || at(START))
            .unwrap();
        let input = head.headers.get("signature-input").unwrap().to_str().unwrap();
        assert!(input.contains(&format!(";expires={want};")), "{name} {input}");
    }
}

#[test]
fn never_unsigned_by_mistake() {
    let mut head = request("/", &[("signature", "a"), ("x-forwarded-user-id", "b")]).into_parts().0;
    let refused = forwarding().prepare_request(&mut head, Some(&Identity::account("a")));
    assert_eq!(refused.unwrap_err(), ForwardError::Misconfigured, "F29 no time, no signature");
    assert!(head.headers.is_empty(), "F21 {:?}", head.headers);
    let optional = signed(signing()).optional().build().unwrap();
    let prepared = optional.prepare_request_at(&mut head, None, || panic!("no time is needed"));
    assert!(prepared.is_ok() && head.headers.is_empty(), "F20 anonymous");
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn handlers_of_axum_ask_for_the_caller() {
    use axum::extract::FromRequestParts;
    let caller = judged(&verifier_of_fi3(), &fi3(), Some(b""), START).unwrap();
    let mut head = request("/", &[]).into_parts().0;
    let missing = VerifiedCaller::from_request_parts(&mut head, &()).await.unwrap_err();
    assert_eq!(missing.status().as_u16(), 500);
    head.extensions.insert(caller.clone());
    assert_eq!(VerifiedCaller::from_request_parts(&mut head, &()).await.unwrap(), caller);
}

#[test]
fn debug_shows_no_key_and_no_caller() {
    let caller = judged(&verifier_of_fi3(), &fi3(), Some(b""), START).unwrap();
    let unspent = verifier_of_fi3().verify_once(&fi3(), Some(b""), at(START)).unwrap();
    let layer =
        VerifyIdentity::new(verifier(ring().verifying()), MemoryNonces::bounded(9, manual()));
    let shown = format!(
        "{:?} {:?} {:?} {:?} {:?} {unspent:?} {caller:?} {layer:?}",
        ring(),
        signing(),
        forwarding(),
        signed(signing()),
        IdentityForward::new(forwarding()),
    );
    for secret in ["0123456789abcdef", "48, 49, 50", "303132", "acc-alice", "alice@"] {
        assert!(!shown.contains(secret), "FM4 {secret} in {shown}");
    }
}

fn any_identity() -> impl Strategy<Value = Identity<'static>> {
    let word = "[!-~]{1,40}";
    let text = "\\PC{0,20}";
    let list = || proptest::option::of(proptest::collection::vec("\\PC{1,9}", 0..5));
    let words = (word, proptest::option::of(word), proptest::option::of(word));
    let texts = (proptest::option::of(text), proptest::option::of(text));
    (words, texts, list(), list(), proptest::option::of(any::<bool>())).prop_map(
        |((id, workspace, app), (email, role), groups, chain, admin)| {
            let mut identity = Identity::service(id).with_attribute("dept", "R&D, é");
            if let Some(workspace) = workspace {
                identity = identity.with_workspace(workspace);
            }
            if let Some(app) = app {
                identity = identity.with_app(app);
            }
            if let Some(email) = email {
                identity = identity.with_email(email);
            }
            if let Some(role) = role {
                identity = identity.with_role(role);
            }
            if let Some(groups) = groups {
                identity = identity.with_groups(groups);
            }
            if let Some(chain) = chain {
                identity = identity.with_delegation_chain(chain);
            }
            match admin {
                Some(admin) => identity.with_admin(admin),
                None => identity,
            }
        },
    )
}

proptest! {
    /// FI6: whatever is inserted is covered, once, and comes out at the other end as it went in.
    #[test]
    fn every_inserted_name_is_covered_once(identity in any_identity()) {
        let fields = [
            Field::Type, Field::Email, Field::Workspace, Field::Role, Field::App, Field::Groups, Field::Admin,
            Field::DelegationChain,
        ];
        let target = Upstream::new("mcp-main", "http://localhost:8080/mcp").unwrap();
        let options = ForwardOptions::signed_headers(target, signing()).set(&ForwardSet::separate());
        let options = options.fields(fields).map_attribute("dept", "X-Dept");
        let forwarding = options.build().unwrap();
        let mut head = request("/mcp?a=%20", &[("host", "localhost:8080"), ("x-other", "1")]).into_parts().0;
        let _ = forwarding.prepare_request_at(&mut head, Some(&identity), || at(START)).unwrap();
        let input = head.headers.get("signature-input").unwrap().to_str().unwrap();
        for name in head.headers.keys().map(HeaderName::as_str) {
            let ours = name.starts_with("x-") && name != "x-other";
            let times = input.matches(&format!("\"{name}\"")).count();
            prop_assert_eq!(times, usize::from(ours), "{} in {}", name, input);
        }
        let verifier = Verifier::builder(ring().verifying()).url("http://localhost:8080");
        let verifier = verifier.mapped_header("X-Dept").without_body().build().unwrap();
        let caller = judged(&verifier, &head, None, START).unwrap();
        prop_assert_eq!(caller.id(), identity.id());
        prop_assert_eq!(caller.attribute("x-dept"), Some("R&D, é".to_owned()));
        prop_assert_eq!(caller.is_admin(), head.headers.get("x-forwarded-user-admin").map(|flag| flag == "true"));
        for field in fields {
            let text = identity.text(field).filter(|text| !text.is_empty());
            prop_assert_eq!(caller.text(field), text, "{:?}", field);
            let list = identity.list(field).filter(|list| !list.is_empty());
            let got = caller.list(field).map(|list| list.iter().map(String::as_str).collect::<Vec<_>>());
            let want = list.map(|list| list.iter().map(AsRef::as_ref).collect::<Vec<_>>());
            prop_assert_eq!(got, want, "{:?}", field);
        }
    }
}
