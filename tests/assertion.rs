//! An upstream believes what our gateway states of a caller in a short token, for itself alone, and once.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test's helpers fail loudly")]

#[path = "support/forwarding.rs"]
#[expect(dead_code, reason = "shared with tests/forwarding, which needs more of it")]
mod support;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use proptest::prelude::*;
use ring::signature::Ed25519KeyPair;
use std::convert::Infallible;
use std::io;
use std::time::Duration;
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use tower_bearer::clock::{Clock, ManualClock, Timestamp};
use tower_bearer::forward::{
    AssertionKey, Assertions, ConfigError, Field, ForwardBody, ForwardError, ForwardOptions,
    ForwardSet, Identity, JwksService, KeyFault, Override, SigningKey, Target, Upstream,
    VerifyingKey, VerifyingKeys,
};
use tower_bearer::receiver::{
    AssertionVerifier, CallerType, VerifiedCaller, VerifyError, VerifyIdentity,
};
use tower_bearer::rejection::Reason;
use tower_bearer::stack::{BearerCheck, IdentityForward, RenderRejections};
use tower_bearer::store::{MemoryNonces, NonceStore};
use tower_bearer::{AuthContext, Authenticator};

use support::*;

/// RFC 8037 A.1.
const ED: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
const FI13: &str = "eyJ0eXAiOiJpZGVudGl0eStqd3QiLCJhbGciOiJFZERTQSIsImtpZCI6ImtQcktfcW14VldhWVZBOXd3QkY2SXVvM3ZWeno3VHhIQ1R3WEJ5Z3JTNGsifQ.eyJpc3MiOiJodHRwczovL2d3LmV4YW1wbGUuY29tIiwic3ViIjoiYWNjLWFsaWNlIiwiYXVkIjoiaHR0cHM6Ly9tY3AuZXhhbXBsZS5jb20vbWNwIiwiaWF0IjoxNzAwMDAwMDAwLCJuYmYiOjE3MDAwMDAwMDAsImV4cCI6MTcwMDAwMDA2MCwianRpIjoiYW5ScExUQXdNREUiLCJzdWJfdHlwZSI6ImFjY291bnQiLCJlbWFpbCI6ImFsaWNlQGNvLmNvbSIsIndvcmtzcGFjZSI6IndzLTEifQ.MYOjTi4_dKo9FVJxPB8NedW_zfeQgprKqx_IKvN2CLXEgG-DR67oKn5DcJE2cufTug20wK4YZAj-ajd03fpzDw";
const GATEWAY: &str = "https://gw.example.com";
const AUDIENCE: &str = "https://mcp.example.com/mcp";
const URI: &str = "https://mcp.example.com/mcp?x=1";
const HEADER: &str = "x-forwarded-user-assertion";
const START: u64 = 1_700_000_000;

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn seed() -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(ED).unwrap()
}

fn ed() -> AssertionKey {
    AssertionKey::new(SigningKey::ed25519("unused", &seed()).unwrap()).unwrap()
}

fn assertions() -> Assertions {
    Assertions::new(GATEWAY, ed()).unwrap()
}

fn options() -> ForwardOptions {
    let options = ForwardOptions::assertion(upstream(), assertions());
    options.set(&ForwardSet::separate()).fields([Field::Type, Field::Email, Field::Workspace])
}

fn keys() -> VerifyingKeys {
    VerifyingKeys::new([ed().verifying()]).unwrap()
}

fn verifier() -> AssertionVerifier {
    AssertionVerifier::builder(keys(), GATEWAY, AUDIENCE).build().unwrap()
}

/// A head with one line.
fn with(header: &str, value: &str) -> Parts {
    request("/mcp", &[(header, value)]).into_parts().0
}

/// A token as the gateway would sign it, of these two JSON texts.
fn forged(header: &str, claims: &str) -> String {
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed()).unwrap();
    let text = |json: &str| URL_SAFE_NO_PAD.encode(json);
    let signed = format!("{}.{}", text(header), text(claims));
    let signature = URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn part(token: &str, place: usize) -> String {
    let part = URL_SAFE_NO_PAD.decode(token.split('.').nth(place).unwrap()).unwrap();
    String::from_utf8(part).unwrap()
}

/// The caller, or what failed.
fn judged(
    verifier: &AssertionVerifier,
    head: &Parts,
    now: Timestamp,
) -> Result<VerifiedCaller, Reason> {
    let unspent = verifier.verify_once(head, now);
    match unspent.and_then(|unspent| unspent.spend(true)) {
        Ok(caller) => Ok(caller),
        Err(VerifyError::NotVerified { reason }) => Err(reason),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn the_vector_of_the_page_is_believed_once() {
    let head = with(HEADER, FI13);
    let caller = judged(&verifier(), &head, at(START)).unwrap();
    assert_eq!(caller.id(), "acc-alice");
    assert_eq!(caller.subject_type(), Some(CallerType::Account));
    assert_eq!(caller.text(Field::Email), Some("alice@co.com"));
    assert_eq!(caller.workspace(), Some("ws-1"));
    assert_eq!((caller.issuer(), caller.is_admin()), (None, None));
    assert_eq!(caller.key_id(), ed().kid());
    for (name, now, want) in [
        ("F216 leeway", START - 30, Ok(())),
        ("F216 before", START - 31, Err(Reason::WrongTime)),
        ("FI15 at expiry", START + 60, Ok(())),
        ("F216 leeway", START + 90, Ok(())),
        ("FI15 at expiry + 31", START + 91, Err(Reason::WrongTime)),
    ] {
        assert_eq!(judged(&verifier(), &head, at(now)).map(|_| ()), want, "{name} at {now}");
    }
    let almost = Timestamp::from_millis((START + 90) * 1_000 + 1);
    assert_eq!(judged(&verifier(), &head, almost), Err(Reason::WrongTime), "F216 to the ms");

    let nonces = MemoryNonces::bounded(9, ManualClock::at(at(START)));
    let first = verifier().verify(&head, at(START), &nonces).await;
    assert_eq!(first.unwrap(), caller, "FI15 the first use passes");
    let again = verifier().verify(&head, at(START), &nonces).await;
    assert!(
        matches!(again, Err(VerifyError::NotVerified { reason: Reason::Replayed })),
        "FI15 twice"
    );
    let unspent = verifier().verify_once(&head, at(START)).unwrap();
    assert_eq!((unspent.nonce(), unspent.key_id()), ("anRpLTAwMDE", ed().kid()), "F216 jti");
    assert_eq!(unspent.until(), at(START + 90), "F214");
}

#[test]
fn whatever_is_not_as_the_gateway_writes_it_is_refused() {
    let (header, claims) = (part(FI13, 0), part(FI13, 1));
    assert_eq!(forged(&header, &claims), FI13, "the forgery is as good as the original");
    let claim = |from: &str, to: &str| {
        assert!(claims.contains(from), "{from}");
        forged(&header, &claims.replacen(from, to, 1))
    };
    let head = |from: &str, to: &str| {
        assert!(header.contains(from), "{from}");
        forged(&header.replacen(from, to, 1), &claims)
    };
    let (signed, signature) = FI13.rsplit_once('.').unwrap();
    let ours = r#""aud":"https://mcp.example.com/mcp""#;
    let long = "x".repeat(8_192 - 20);
    for (name, token, want) in [
        ("FI15 other aud", claim("com/mcp", "com/other"), Reason::WrongAudience),
        ("F216 aud, longer", claim("com/mcp", "com/mcp/"), Reason::WrongAudience),
        (
            "FI15 aud as an array with ours",
            claim(ours, r#""aud":["https://mcp.example.com/mcp"]"#),
            Reason::WrongAudience,
        ),
        ("F216 no aud", claim(&format!("{ours},"), ""), Reason::WrongAudience),
        ("F216 iss", claim("gw.example", "gw2.example"), Reason::WrongIssuer),
        ("F216 iss, as an array", claim(r#""https://gw.example.com""#, "[]"), Reason::WrongIssuer),
        ("FI15 alg none", head("EdDSA", "none"), Reason::UnknownKey),
        (
            "FI15 alg none, unsigned",
            format!(
                "{}.",
                forged(&header.replace("EdDSA", "none"), &claims).rsplit_once('.').unwrap().0
            ),
            Reason::UnknownKey,
        ),
        ("F216 alg by key", head("EdDSA", "RS256"), Reason::UnknownKey),
        ("F216 alg by key", head("EdDSA", "HS256"), Reason::UnknownKey),
        ("F216 kid", head("kPrK", "kPrL"), Reason::UnknownKey),
        ("F216 typ", head("identity+jwt", "JWT"), Reason::BadSignatureFields),
        ("F216 no typ", head(r#""typ":"identity+jwt","#, ""), Reason::BadSignatureFields),
        ("RFC 7515 crit", head("}", r#","crit":["exp"]}"#), Reason::BadSignatureFields),
        ("a key of its own", head("}", r#","jwk":{}}"#), Reason::BadSignatureFields),
        ("alg twice", head("}", r#","alg":"EdDSA"}"#), Reason::BadSignatureFields),
        (
            "a header that is an array",
            forged(r#"["identity+jwt","EdDSA","k"]"#, &claims),
            Reason::BadSignatureFields,
        ),
        ("iss twice", claim(r#"{"iss""#, r#"{"iss":"x","iss""#), Reason::Undecodable),
        ("F216 no jti", claim(r#""jti":"anRpLTAwMDE","#, ""), Reason::Undecodable),
        ("F214 a jti with a dot", claim("anRp", "an.p"), Reason::Undecodable),
        ("F216 an empty jti", claim("anRpLTAwMDE", ""), Reason::Undecodable),
        ("F216 a fraction", claim("1700000060", "1700000060.0"), Reason::WrongTime),
        ("F216 an exponent", claim("1700000060", "17e8"), Reason::WrongTime),
        ("F216 a text", claim("1700000060", r#""1700000060""#), Reason::WrongTime),
        ("F216 no exp", claim(r#""exp":1700000060,"#, ""), Reason::WrongTime),
        ("F216 no nbf", claim(r#""nbf":1700000000,"#, ""), Reason::WrongTime),
        ("F216 no iat", claim(r#""iat":1700000000,"#, ""), Reason::WrongTime),
        ("F216 exp = iat", claim("1700000060", "1700000000"), Reason::WrongTime),
        ("F216 301 s", claim("1700000060", "1700000301"), Reason::WrongTime),
        ("F216 exp before iat", claim("1700000060", "1699999999"), Reason::WrongTime),
        ("F216 nbf", claim(r#""nbf":1700000000"#, r#""nbf":1700000031"#), Reason::WrongTime),
        ("no subject", claim(r#""sub":"acc-alice","#, ""), Reason::Undecodable),
        ("no signature", format!("{signed}."), Reason::WrongSignature),
        ("two parts", signed.to_owned(), Reason::BadSignatureFields),
        ("four parts", format!("{FI13}."), Reason::BadSignatureFields),
        ("padded", format!("{FI13}=="), Reason::BadSignatureFields),
        ("a blank", format!(" {FI13}"), Reason::BadSignatureFields),
        ("a scheme", format!("Bearer {FI13}"), Reason::BadSignatureFields),
        ("two in one line", format!("{FI13}, {FI13}"), Reason::BadSignatureFields),
        ("nothing", String::new(), Reason::BadSignatureFields),
        ("F79", forged(&header, &long), Reason::BadSignatureFields),
        (
            "another's signature",
            format!("{}.{signature}", claim("alice", "bobby").rsplit_once('.').unwrap().0),
            Reason::WrongSignature,
        ),
    ] {
        let got = judged(&verifier(), &with(HEADER, &token), at(START));
        assert_eq!(got, Err(want), "{name}");
    }
    let stranger = SigningKey::ed25519("x", b"fedcba9876543210fedcba9876543210").unwrap();
    let public = stranger.verifying();
    assert_eq!(public.id(), "x");
    let other = VerifyingKeys::new([AssertionKey::new(stranger).unwrap().verifying()]).unwrap();
    let other = AssertionVerifier::builder(other, GATEWAY, AUDIENCE).build().unwrap();
    let got = judged(&other, &with(HEADER, FI13), at(START));
    assert_eq!(got, Err(Reason::UnknownKey), "another gateway");

    for (name, lines) in [
        ("F216 none", &[][..]),
        ("F216 two lines", &[(HEADER, FI13), (HEADER, FI13)]),
        ("F216 another header", &[("x-assertion", FI13)]),
    ] {
        let head = request("/mcp", lines).into_parts().0;
        assert_eq!(judged(&verifier(), &head, at(START)), Err(Reason::NoSignature), "{name}");
    }
    let at_least = AssertionVerifier::builder(keys(), GATEWAY, AUDIENCE);
    let longer = at_least.longest_lifetime(Duration::from_secs(301)).build().unwrap();
    let token = claim("1700000060", "1700000301");
    assert!(judged(&longer, &with(HEADER, &token), at(START)).is_ok(), "F216 settable");
    let more = claim(r#""jti""#, r#""ver":[1.5,{"a":null}],"jti""#);
    assert!(judged(&verifier(), &with(HEADER, &more), at(START)).is_ok(), "claims of later times");
}

/// A gateway and a receiver over one clock; the receiver's service answers the caller's id.
struct Both {
    clock: ManualClock,
    auth: Authenticator,
    context: AuthContext,
}

impl Both {
    async fn new() -> Self {
        let (clock, seen) = (ManualClock::at(at(START)), Recorder::new());
        let auth = auth_at(clock.clone());
        let service = ServiceBuilder::new().layer(BearerCheck::new(&auth)).service(seen.clone());
        send(service, request("/", &[ALICE])).await;
        let context = AuthContext::of(&seen.take()[0].extensions).unwrap().clone();
        Self { clock, auth, context }
    }

    /// What leaves the gateway's client side.
    async fn outgoing(&self, forward: impl Into<IdentityForward>) -> Parts {
        let recorder = Recorder::new();
        let mut outgoing = request(URI, &[("x-forwarded-user-id", "admin"), (HEADER, FI13), ALICE]);
        *outgoing.method_mut() = Method::POST;
        self.context.attach(outgoing.extensions_mut());
        let layer = forward.into().client_side();
        let (response, _) = send(layer.layer(recorder.clone()), outgoing).await;
        assert_eq!(response.status(), 200);
        recorder.take().remove(0)
    }

    /// Status, fields and body of the receiver's answer.
    async fn received(
        &self,
        verifier: AssertionVerifier,
        nonces: impl NonceStore,
        head: &Parts,
    ) -> (u16, HeaderMap, String) {
        let verify = VerifyIdentity::assertions(verifier, nonces).clock(self.clock.clone());
        let told = service_fn(|request: Request<ForwardBody<String>>| async move {
            let caller = request.extensions().get::<VerifiedCaller>().unwrap();
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(caller.id().to_owned())))
        });
        let service =
            ServiceBuilder::new().layer(RenderRejections::new()).layer(verify).service(told);
        let mut request = Request::new(String::from("hello"));
        *request.headers_mut() = head.headers.clone();
        let (head, body) = service.oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (head.status.as_u16(), head.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    fn nonces(&self) -> MemoryNonces {
        MemoryNonces::bounded(10, self.clock.clone())
    }
}

fn auth_at(clock: ManualClock) -> Authenticator {
    use tower_bearer::subject::SubjectType;
    use tower_bearer::token::{TokenKind, TokenKinds};
    let kind = TokenKind::new("account").prefix("tba_").subject(SubjectType::Account);
    let kinds = TokenKinds::builder().kind(kind.narrowed(["apps:read", "apps:run"]).opaque(1, 64));
    Authenticator::builder(kinds.build().unwrap(), House).clock(clock).build().unwrap()
}

#[tokio::test]
async fn from_the_gateway_to_the_upstream() {
    let both = Both::new().await;
    let forwarding = options().build().unwrap();
    let head = both.outgoing(forwarding.clone()).await;
    let names: Vec<&str> = head.headers.keys().map(HeaderName::as_str).collect();
    assert_eq!(names, [HEADER], "F73 nothing else, and nothing of the client's");
    assert_eq!(head.headers.get_all(HEADER).iter().count(), 1, "F46");
    let nonces = both.nonces();
    let (status, _, body) = both.received(verifier(), nonces.clone(), &head).await;
    assert_eq!((status, &*body), (200, "acc-alice"));
    let (status, ..) = both.received(verifier(), nonces.clone(), &head).await;
    assert_eq!(status, 403, "FI15 twice");

    // in front of a proxy
    let seen = Recorder::new();
    let service = ServiceBuilder::new()
        .layer(BearerCheck::new(&both.auth))
        .layer(IdentityForward::new(forwarding))
        .service(seen.clone());
    let (response, _) = send(service, request("/mcp", &[ALICE])).await;
    assert_eq!(response.status(), 200);
    let (status, _, body) = both.received(verifier(), nonces, &seen.take()[0]).await;
    assert_eq!((status, &*body), (200, "acc-alice"));
}

#[tokio::test]
async fn a_retry_is_stated_anew() {
    let both = Both::new().await;
    let (forwarding, nonces) = (options().build().unwrap(), both.nonces());
    let first = both.outgoing(forwarding.clone()).await;
    let at_once = both.outgoing(forwarding.clone()).await;
    both.clock.advance(Duration::from_secs(70));
    let later = both.outgoing(forwarding).await;
    let claims = |head: &Parts| part(head.headers.get(HEADER).unwrap().to_str().unwrap(), 1);
    let id = |head: &Parts| {
        let claims = claims(head);
        let id = claims.split(r#""jti":""#).nth(1).unwrap().split('"').next().unwrap().to_owned();
        assert_eq!(id.len(), 22, "F91");
        id
    };
    assert!(id(&first) != id(&at_once) && id(&first) != id(&later), "FI12 jti");
    assert!(
        claims(&later).contains(r#""iat":1700000070,"nbf":1700000070,"exp":1700000130"#),
        "FI12"
    );
    for head in [&first, &at_once, &later] {
        let (status, ..) = both.received(verifier(), nonces.clone(), head).await;
        assert_eq!(status, 200, "FI12 each verifies");
    }
}

#[tokio::test]
async fn a_header_of_choice() {
    let both = Both::new().await;
    let fixed = HeaderValue::from_static("static");
    let target = upstream().with_static_header("Authorization", fixed.clone()).unwrap();
    let target = target.with_static_header("X-Sso", fixed.clone()).unwrap();
    let target = target.with_static_header("X-Other", fixed).unwrap();
    let base = || {
        let options = ForwardOptions::assertion(target.clone(), assertions());
        options.set(&ForwardSet::separate()).fields([Field::Type])
    };
    let reads = |header: &str| {
        AssertionVerifier::builder(keys(), GATEWAY, AUDIENCE).header(header).build().unwrap()
    };
    for (name, options, header, others) in [
        ("F78", base().target(Target::Authorization), "authorization", ["x-sso", "x-other"]),
        (
            "F78",
            base().target(Target::Header("X-SSO".to_owned())),
            "x-sso",
            ["authorization", "x-other"],
        ),
    ] {
        let forwarding = options.build().unwrap();
        let head = both.outgoing(forwarding.clone()).await;
        assert_eq!(head.headers.get_all(header).iter().count(), 1, "{name} {header}");
        let value = head.headers.get(header).unwrap();
        assert!(value.is_sensitive(), "F67 {header}");
        let scheme = value.to_str().unwrap().starts_with("Bearer eyJ");
        assert_eq!(scheme, header == "authorization", "{name} {header}");
        for other in others {
            assert_eq!(head.headers.get(other).unwrap(), "static", "{name} {other} stays");
        }
        let (status, ..) = both.received(reads(header), both.nonces(), &head).await;
        assert_eq!(status, 200, "{name} {header}");
        let (status, ..) = both.received(verifier(), both.nonces(), &head).await;
        assert_eq!(status, 403, "{name} not where it is looked for");
    }
    let optional = base().target(Target::Authorization).optional().build().unwrap();
    let mut head = request("/", &[("authorization", "Bearer mine")]).into_parts().0;
    let _ = optional.prepare_request_at(&mut head, None, || panic!("no time is needed")).unwrap();
    let names: Vec<&str> = head.headers.keys().map(HeaderName::as_str).collect();
    assert_eq!(names, ["x-sso", "x-other"], "F29 no static header in its place");

    let beside = options().with_headers().build().unwrap();
    let head = both.outgoing(beside).await;
    let names: Vec<&str> = head.headers.keys().map(HeaderName::as_str).collect();
    let want =
        ["x-forwarded-user-id", "x-forwarded-user-type", "x-forwarded-user-workspace", HEADER];
    assert_eq!(names, want, "F78 with_headers");
}

#[tokio::test]
async fn every_failure_answers_the_same_bytes() {
    let both = Both::new().await;
    let forwarding = options().build().unwrap();
    let sent = both.outgoing(forwarding.clone()).await;
    let token = sent.headers.get(HEADER).unwrap().to_str().unwrap();
    let (header, claims) = (part(token, 0), part(token, 1));
    let swap = |from: &str, to: &str| forged(&header, &claims.replace(from, to));
    let mut answers = Vec::new();
    for (name, value) in [
        ("nothing", String::new()),
        ("signature", format!("{token}A")),
        ("aud", swap("/mcp", "/other")),
        ("iss", swap("gw.", "gw2.")),
        ("time", swap("\"exp\":17", "\"exp\":18")),
        ("alg", forged(&header.replace("EdDSA", "none"), &claims)),
        ("kid", forged(&header.replace("kPrK", "kPrL"), &claims)),
        ("claims", forged(&header, "{")),
    ] {
        let answer = both.received(verifier(), both.nonces(), &with(HEADER, &value)).await;
        assert_eq!(answer.0, 403, "{name}");
        answers.push(answer);
    }
    let nonces = both.nonces();
    assert_eq!(both.received(verifier(), nonces.clone(), &sent).await.0, 200);
    answers.push(both.received(verifier(), nonces, &sent).await);
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "F215 {answers:#?}");
    assert!(answers[0].2.contains(r#""error":"identity_not_verified""#), "F240 {}", answers[0].2);
    assert!(
        answers[0].2.contains("The forwarded identity could not be verified."),
        "F240 {}",
        answers[0].2
    );

    let (status, fields, body) = both.received(verifier(), Down, &sent).await;
    assert_eq!((status, fields.get("retry-after").unwrap().to_str().unwrap()), (503, "1"), "F241");
    assert!(body.contains(r#""error":"nonce_store_unavailable""#), "F241 {body}");
}

struct Down;

impl NonceStore for Down {
    type Error = io::Error;

    async fn insert_if_absent(&self, _: &str, _: &str, _: Timestamp) -> Result<bool, io::Error> {
        Err(io::Error::other("down"))
    }
}

#[tokio::test]
async fn keys_are_found_and_change_on_the_way() {
    let both = Both::new().await;
    let assertions = assertions();
    let published = JwksService::<Full<Bytes>>::new(&assertions).clock(both.clock.clone());
    let fetch = || async {
        let response = published.clone().oneshot(Request::new(())).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let keys = VerifyingKeys::from_jwks(str::from_utf8(&body).unwrap()).unwrap();
        AssertionVerifier::builder(keys, GATEWAY, AUDIENCE).build().unwrap()
    };
    let options = ForwardOptions::assertion(upstream(), assertions.clone());
    let forwarding = options.set(&ForwardSet::separate()).build().unwrap();
    let now = || both.clock.now().wall();
    let key = SigningKey::ed25519("second", b"fedcba9876543210fedcba9876543210").unwrap();
    let key = AssertionKey::named(key).unwrap();
    assertions.next(key, now().saturating_add(Duration::from_secs(300)), now()).unwrap();

    let told_early = fetch().await;
    let old = both.outgoing(forwarding.clone()).await;
    assert_eq!(both.received(told_early.clone(), both.nonces(), &old).await.0, 200);
    both.clock.advance(Duration::from_secs(300));
    let new = both.outgoing(forwarding).await;
    let (header, _) = new.headers.get(HEADER).unwrap().to_str().unwrap().split_once('.').unwrap();
    let header = String::from_utf8(URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    assert!(header.contains(r#""kid":"second""#), "F94 signs in its time {header}");
    for (name, verifier) in [("F94 known before", told_early), ("F94 fetched after", fetch().await)]
    {
        assert_eq!(both.received(verifier, both.nonces(), &new).await.0, 200, "{name}");
    }
}

#[test]
fn overrides_do_not_weaken_unasked() {
    let needs =
        |setting| Err(ConfigError::NotPermitted { setting, permission: "local_may_weaken" });
    let none = |setting| Err(ConfigError::Unavailable { setting });
    let plain = || support::options();
    for (name, options, json, want) in [
        ("F163", options(), "{}", Ok(true)),
        ("F165 same", options(), r#"{"mode":"assertion"}"#, Ok(true)),
        ("F165 unsigned", options(), r#"{"mode":"headers"}"#, needs("mode")),
        ("F165 allowed", options().local_may_weaken(), r#"{"mode":"headers"}"#, Ok(false)),
        ("F164 off", options(), r#"{"enabled":false}"#, Ok(false)),
        ("F270 no keys", plain(), r#"{"mode":"assertion"}"#, none("mode")),
        ("F270 no keys", options(), r#"{"mode":"signed_headers"}"#, none("mode")),
    ] {
        let made = options.with_override(&Override::from_json(json).unwrap());
        let made = made.and_then(ForwardOptions::build);
        let states = made.map(|forwarding| {
            let mut head = request("/", &[]).into_parts().0;
            let identity = Identity::account("a");
            let _ =
                forwarding.prepare_request_at(&mut head, Some(&identity), || at(START)).unwrap();
            head.headers.contains_key(HEADER)
        });
        assert_eq!(states, want, "{name} {json}");
    }
    for (name, options, secs, want) in [
        ("F169 smaller", options(), 10, START + 10),
        ("F169 larger", options(), 61, START + 60),
        ("F169 larger, allowed", options().local_may_weaken(), 3_600, START + 3_600),
    ] {
        let json = format!("{{\"lifetime_secs\":{secs}}}");
        let local = options.with_override(&Override::from_json(&json).unwrap());
        let forwarding = local.unwrap().build().unwrap();
        let mut head = request("/", &[]).into_parts().0;
        let identity = Identity::account("a");
        let _ = forwarding.prepare_request_at(&mut head, Some(&identity), || at(START)).unwrap();
        let claims = part(head.headers.get(HEADER).unwrap().to_str().unwrap(), 1);
        assert!(claims.contains(&format!("\"exp\":{want},")), "{name} {claims}");
    }
    let prefixed = Override::from_json(r#"{"headers_prefix":"X-Gw-User"}"#).unwrap();
    let forwarding = options().with_override(&prefixed).unwrap().build().unwrap();
    let mut head = request("/", &[(HEADER, "x")]).into_parts().0;
    let identity = Identity::account("a");
    let _ = forwarding.prepare_request_at(&mut head, Some(&identity), || at(START)).unwrap();
    let names: Vec<&str> = head.headers.keys().map(HeaderName::as_str).collect();
    assert_eq!(names, ["x-gw-user-assertion"], "F166");
}

#[test]
fn never_without_an_assertion_by_mistake() {
    let mut head = request("/", &[(HEADER, "a"), ("x-forwarded-user-id", "b")]).into_parts().0;
    let refused = options().build().unwrap();
    let refused = refused.prepare_request(&mut head, Some(&Identity::account("a")));
    assert_eq!(refused.unwrap_err(), ForwardError::Misconfigured, "F29 no time, no assertion");
    assert!(head.headers.is_empty(), "F21 {:?}", head.headers);
}

#[test]
fn receivers_that_do_not_build() {
    let builder = || AssertionVerifier::builder(keys(), GATEWAY, AUDIENCE);
    let range = Err(ConfigError::OutOfRange { setting: "longest_lifetime" });
    let value = |setting| Err(ConfigError::Value { setting });
    let secs = Duration::from_secs;
    let hmac = VerifyingKey::hmac_sha256("k", b"0123456789abcdef0123456789abcdef").unwrap();
    let hmac = VerifyingKeys::new([hmac]).unwrap();
    for (name, builder, want) in [
        ("as it is", builder(), Ok(())),
        ("F216 longest", builder().longest_lifetime(secs(3_600)), Ok(())),
        ("F216 0 s", builder().longest_lifetime(secs(0)), range),
        ("F216 3,601 s", builder().longest_lifetime(secs(3_601)), range),
        ("no issuer", AssertionVerifier::builder(keys(), "", AUDIENCE), value("issuer")),
        ("no audience", AssertionVerifier::builder(keys(), GATEWAY, ""), value("audience")),
        ("header", builder().header("a b"), Err(ConfigError::NameShape { setting: "header" })),
        (
            "F268 HS*",
            AssertionVerifier::builder(hmac, GATEWAY, AUDIENCE),
            Err(ConfigError::Key { fault: KeyFault::Algorithm }),
        ),
    ] {
        assert_eq!(builder.build().map(|_| ()), want, "{name}");
    }
}

#[test]
fn debug_shows_no_caller() {
    let head = with(HEADER, FI13);
    let caller = judged(&verifier(), &head, at(START)).unwrap();
    let unspent = verifier().verify_once(&head, at(START)).unwrap();
    let layer = VerifyIdentity::assertions(verifier(), MemoryNonces::new());
    let shown = format!("{:?} {unspent:?} {caller:?} {layer:?}", options().build().unwrap());
    for secret in [ED, "acc-alice", "alice@", "eyJ"] {
        assert!(!shown.contains(secret), "FM4 {secret} in {shown}");
    }
}

proptest! {
    /// F215: no other bytes than those that were signed are believed, and none make the receiver panic.
    #[test]
    fn one_changed_byte_is_refused(place in 0..FI13.len(), byte in 0x20_u8..=0xFF, cut in any::<bool>()) {
        let mut token = FI13.as_bytes().to_vec();
        prop_assume!(token[place] != byte && byte != 0x7F);
        token[place] = byte;
        token.truncate(if cut { place + 1 } else { token.len() });
        let mut head = request("/", &[]).into_parts().0;
        head.headers.insert(HEADER, HeaderValue::from_bytes(&token).unwrap());
        prop_assert!(judged(&verifier(), &head, at(START)).is_err());
    }

    /// F63, F64, F91: whatever is stated comes out at the other end as it went in.
    #[test]
    fn every_caller_comes_out_as_it_went_in(
        id in "[!-~]{1,40}",
        text in "\\PC{0,20}",
        groups in proptest::option::of(proptest::collection::vec("\\PC{1,9}", 0..5)),
        chain in proptest::option::of(proptest::collection::vec("\\PC{1,9}", 0..8)),
        scopes in proptest::collection::vec("[a-z:.*]{1,9}", 0..5),
        admin in proptest::option::of(any::<bool>()),
    ) {
        let fields = [Field::Email, Field::Role, Field::Scopes, Field::Groups, Field::DelegationChain, Field::Admin];
        let options = ForwardOptions::assertion(Upstream::new("a", AUDIENCE).unwrap(), assertions());
        let options = options.set(&ForwardSet::separate()).fields(fields).map_attribute("dept", "X-Dept");
        let mut identity = Identity::service(id).with_email(&*text).with_role(&*text).with_scopes(&scopes);
        identity = identity.with_attribute("dept", &*text);
        if let Some(groups) = &groups { identity = identity.with_groups(groups); }
        if let Some(chain) = &chain { identity = identity.with_delegation_chain(chain); }
        if let Some(admin) = admin { identity = identity.with_admin(admin); }
        let mut head = request("/", &[]).into_parts().0;
        let forwarding = options.build().unwrap();
        let _ = forwarding.prepare_request_at(&mut head, Some(&identity), || at(START)).unwrap();
        let caller = judged(&verifier(), &head, at(START)).unwrap();
        let some = |list: &Option<Vec<String>>| list.clone().filter(|list| !list.is_empty());
        let text = Some(text.clone()).filter(|text| !text.is_empty());
        prop_assert_eq!(caller.id(), identity.id());
        prop_assert_eq!(caller.is_admin(), admin);
        prop_assert_eq!(caller.text(Field::Email), text.as_deref());
        prop_assert_eq!(caller.text(Field::Role), text.as_deref());
        prop_assert_eq!(caller.attribute("dept"), text);
        prop_assert_eq!(caller.list(Field::Scopes).map(<[String]>::to_vec), some(&Some(scopes.clone())));
        prop_assert_eq!(caller.list(Field::Groups).map(<[String]>::to_vec), some(&groups));
        prop_assert_eq!(caller.list(Field::DelegationChain).map(<[String]>::to_vec), some(&chain));
    }
}
