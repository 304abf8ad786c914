//! An MCP server reads in each message who calls, written by our gateway and by nobody else.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail loudly")]

#[path = "support/forwarding.rs"]
#[expect(dead_code, reason = "shared with tests/forwarding, which needs more of it")]
mod support;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_bearer::Authenticator;
use tower_bearer::audit::{AuditSink, Event};
use tower_bearer::clock::ManualClock;
use tower_bearer::forward::{ConfigError, Field, ForwardBody, Forwarding};
use tower_bearer::forward::{ForwardOptions, ForwardSet, Mode};
use tower_bearer::rejection::Rejection;
use tower_bearer::stack::{BearerCheck, IdentityForward, McpMetaForward, RenderRejections};
use tower_bearer::subject::SubjectType;
use tower_bearer::token::{TokenKind, TokenKinds};

use support::*;

const KEY: &str = "com.example/caller";
const J: &str = r#"{"id":"acc-alice","type":"account","email":"alice@co.com","workspace":"ws-1"}"#;
const B: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
const JSON: (&str, &str) = ("content-type", "application/json");
const MIB: usize = 1 << 20;

fn meta() -> McpMetaForward {
    let fields = [Field::Type, Field::Email, Field::Workspace];
    McpMetaForward::new(KEY).unwrap().fields(fields).identity(|_, context, identity| match context
        .kind()
    {
        Some("account") => identity.with_email("alice@co.com"),
        _ => identity,
    })
}

fn strip_only() -> McpMetaForward {
    McpMetaForward::strip_only(KEY).unwrap()
}

fn optional() -> BearerCheck {
    BearerCheck::new(&auth()).optional()
}

/// What came out of the layers: the answer, and the requests that reached the upstream.
struct Outcome {
    answer: Response<Full<Bytes>>,
    seen: Vec<(Parts, Bytes)>,
}

impl Outcome {
    fn refusal(&self) -> Option<(u16, &'static str)> {
        let rejection = self.answer.extensions().get::<Rejection>()?;
        assert_eq!(rejection.status(), self.answer.status());
        assert!(self.seen.is_empty(), "a refusal means no call");
        Some((self.answer.status().as_u16(), rejection.kind().error()))
    }

    /// The one request that arrived.
    fn arrived(mut self) -> (Parts, String) {
        assert_eq!(self.answer.status(), 200);
        let (head, body) = self.seen.pop().unwrap();
        assert!(self.seen.is_empty());
        (head, String::from_utf8(body.to_vec()).unwrap())
    }
}

/// Sends one body through a check and the layer; without a check there is no context.
async fn through<B>(
    check: Option<BearerCheck>,
    meta: McpMetaForward,
    lines: Lines<'_>,
    body: B,
) -> Outcome
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&seen);
    let upstream = service_fn(move |request: Request<ForwardBody<B>>| {
        let notes = Arc::clone(&notes);
        async move {
            let (head, body) = request.into_parts();
            let told = body.size_hint().exact();
            let body = body.collect().await?.to_bytes();
            assert!(told.is_none_or(|told| told == body.len() as u64), "the length that it tells");
            notes.lock().unwrap().push((head, body));
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }
    });
    let mut request = Request::new(body);
    *request.headers_mut() = headers(lines);
    let layered = meta.layer(upstream);
    let answer = match check {
        Some(check) => check.layer(layered).oneshot(request).await,
        None => layered.oneshot(request).await,
    };
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    Outcome { answer: answer.unwrap(), seen }
}

async fn of_alice(meta: McpMetaForward, more: Lines<'_>, body: &str) -> Outcome {
    let lines: Vec<_> = [&[ALICE][..], more].concat();
    through(Some(optional()), meta, &lines, Full::from(body.to_owned())).await
}

#[tokio::test]
async fn what_the_upstream_reads() {
    let call = r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"add","arguments":{"n": 1.0},"_meta":{"progressToken":1}}}"#;
    let forged =
        call.replace(r#"{"progressToken""#, r#"{"com.example/caller":"x","progressToken""#);
    let ours = call.replace(r#":1}}}"#, &format!(r#":1,"{KEY}":{J}}}}}}}"#));
    let user = r#"{"method":"m","params":{"_meta":{"user":"me"}}}"#;
    let with_user = format!(r#"{{"method":"m","params":{{"_meta":{{"user":"me","{KEY}":{J}}}}}}}"#);
    for (name, meta, body, want, length) in [
        (
            "FH1",
            meta(),
            B,
            &*format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{"_meta":{{"{KEY}":{J}}}}}}}"#
            ),
            166,
        ),
        ("FH2", meta(), call, &ours, 220),
        (
            "FH3",
            meta(),
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
            &format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/initialized","params":{{"_meta":{{"{KEY}":{J}}}}}}}"#
            ),
            174,
        ),
        ("FH4 on", meta(), &forged, &ours, 220),
        ("FH4 strip-only", strip_only(), &forged, call, call.len()),
        (
            "FH5",
            meta(),
            r#"{"jsonrpc":"2.0","id":3,"result":{"_meta":{"com.example/caller":{}},"x":1}}"#,
            r#"{"jsonrpc":"2.0","id":3,"result":{"_meta":{},"x":1}}"#,
            52,
        ),
        ("FH6 empty batch", meta(), "[]", "[]", 2),
        ("FH6 odd batch", meta(), r#"[1,"x"]"#, r#"[1,"x"]"#, 7),
        ("FH10 user is theirs", meta(), user, &with_user, with_user.len()),
        ("F149 nothing", meta(), "", "", 0),
    ] {
        for content in [&[JSON][..], &[]] {
            let length_given = body.len().to_string();
            let given = [content, &[("content-length", &*length_given)]].concat();
            let (head, got) = of_alice(meta.clone(), &given, body).await.arrived();
            assert_eq!(got, want, "{name}");
            let told = head.headers.get("content-length").unwrap().to_str().unwrap();
            assert_eq!(told, length.to_string(), "{name}: Content-Length");
        }
    }
}

#[tokio::test]
async fn a_head_stays_true_of_its_body() {
    let digests = [
        ("transfer-encoding", "chunked"),
        ("content-md5", "x"),
        ("digest", "x"),
        ("content-digest", "x"),
        ("repr-digest", "x"),
        ("x-other", "x"),
    ];
    let lines = [&digests[..], &[JSON]].concat();
    let (head, _) = of_alice(meta(), &lines, B).await.arrived();
    let want = [ALICE, ("x-other", "x"), JSON, ("content-length", "166")];
    assert_eq!(sorted(&head.headers), sorted(&headers(&want)), "F153 changed");
    let (head, got) = of_alice(meta(), &lines, " [ ] ").await.arrived();
    let want = [&[ALICE][..], &lines].concat();
    assert_eq!(
        (sorted(&head.headers), &*got),
        (sorted(&headers(&want)), " [ ] "),
        "F153 unchanged"
    );
}

fn sorted(headers: &HeaderMap) -> Vec<(&str, &str)> {
    let mut lines = seen(headers);
    lines.sort_unstable();
    lines
}

#[tokio::test]
async fn whose_identity() {
    let forged = r#"{"method":"m","params":{"_meta":{"com.example/caller":"x"}}}"#;
    let clean = r#"{"method":"m","params":{"_meta":{}}}"#;
    let traced = r#"{"method":"m","params":{"_meta":{"trace_id":"abc123"}}}"#;
    let guest = r#"{"id":"145ee6484fcdcf04df64cc7681844e9ffa5c9401d7dabd0c87df31bb674cd95b","type":"external"}"#;
    let of_guest = format!(r#"{{"method":"m","params":{{"_meta":{{"{KEY}":{guest}}}}}}}"#);
    let required = (401, "missing_token");
    let none = |field| McpMetaForward::new(KEY).unwrap().fields([field]);
    for (name, check, meta, token, body, want) in [
        ("F146 anonymous", Some(optional()), meta(), None, forged, Err(required)),
        ("FH4 optional", Some(optional()), meta().optional(), None, forged, Ok(clean)),
        ("F146 strip-only", Some(optional()), strip_only(), None, forged, Ok(clean)),
        ("F3 strip-only needs none", None, strip_only(), None, forged, Ok(clean)),
        ("FA1", None, strip_only(), None, traced, Ok(traced)),
        ("F3 no context", None, meta(), None, forged, Err((500, "internal_error"))),
        ("F3 no context", None, meta().optional(), None, B, Err((500, "internal_error"))),
        ("F50 external", Some(optional()), none(Field::Type), Some(GUEST), forged, Ok(&*of_guest)),
        (
            "F62 no form",
            Some(optional()),
            meta().identity(|_, _, identity| identity.with_workspace("\n")),
            Some(ALICE),
            B,
            Err((500, "identity_unencodable")),
        ),
    ] {
        let lines: Vec<_> = token.into_iter().chain([JSON]).collect();
        let outcome = through(check, meta, &lines, Full::from(body)).await;
        match want {
            Err(want) => assert_eq!(outcome.refusal(), Some(want), "{name}"),
            Ok(want) => assert_eq!(outcome.arrived().1, want, "{name}"),
        }
    }
}

#[tokio::test]
async fn refused_bodies() {
    let batch = |elements: usize| format!("[{}]", vec!["0"; elements].join(","));
    let too_many = batch(1_001);
    let text = ("content-type", "text/plain");
    let gzip = ("content-encoding", "gzip");
    let (object, invalid) = ((400, "mcp_params_not_object"), (400, "mcp_body_invalid"));
    let unsupported = (415, "mcp_body_unsupported");
    for (name, meta, lines, body, want) in [
        ("FH6 params", meta(), &[JSON][..], r#"{"method":"m","params":[1]}"#, object),
        ("FH6 _meta", meta(), &[JSON], r#"{"method":"m","params":{"_meta":"x"}}"#, object),
        (
            "FH6 twice",
            meta(),
            &[JSON],
            r#"{"a":1,"method":"m","method":"n"}"#,
            (400, "mcp_duplicate_member"),
        ),
        ("F149 batch", meta(), &[JSON], &too_many, (413, "mcp_body_too_large")),
        ("F149 no JSON", meta(), &[JSON], "hello", invalid),
        ("F149 truncated", meta(), &[JSON], r#"{"method":"#, invalid),
        ("F149 no JSON, no type", meta(), &[], "hello", invalid),
        ("F148 two types", meta(), &[JSON, JSON], B, invalid),
        ("F148 two types, nothing to read", strip_only(), &[JSON, text], "", invalid),
        ("FH7 gzip", meta(), &[JSON, gzip], B, unsupported),
        ("FH8 json_only", meta().json_only(), &[text], "x", unsupported),
        ("FH8 json_only, coded", strip_only().json_only(), &[text, gzip], "x", unsupported),
    ] {
        assert_eq!(of_alice(meta, lines, body).await.refusal(), Some(want), "{name}");
    }
    for (name, meta, lines, body) in [
        ("F148 json_only, empty", meta().json_only(), &[text][..], ""),
        ("F148 other", meta(), &[text, gzip], "x"),
        ("F148 JSON of another type", meta(), &[text], r#"{"method":"m"}"#),
        ("F149 1,000 messages", meta(), &[JSON], &*batch(1_000)),
    ] {
        assert_eq!(of_alice(meta, lines, body).await.arrived().1, body, "{name}");
    }
}

/// So many pieces of a MiB, made when they are asked for. Counts what is alive.
struct Pieces {
    left: usize,
    told: Told,
    counts: Arc<Counts>,
}

#[derive(Clone, Copy, PartialEq)]
enum Told {
    Length,
    Nothing,
}

#[derive(Default)]
struct Counts {
    made: AtomicUsize,
    alive: AtomicUsize,
}

struct Piece(Arc<Counts>);

static ZEROS: [u8; MIB] = [b' '; MIB];

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &ZEROS
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        self.counts.made.fetch_add(1, Ordering::SeqCst);
        assert_eq!(self.counts.alive.fetch_add(1, Ordering::SeqCst), 0, "FH8 one at a time");
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_owner(Piece(Arc::clone(&self.counts)))))))
    }

    fn size_hint(&self) -> SizeHint {
        match self.told {
            Told::Length => SizeHint::with_exact((self.left * MIB) as u64),
            Told::Nothing => SizeHint::default(),
        }
    }
}

#[tokio::test]
async fn too_large_is_not_read() {
    for (name, told, lines, most) in [
        ("FH7 by its length", Told::Length, &[ALICE, JSON][..], 0),
        ("FH7 by its head", Told::Nothing, &[ALICE, JSON, ("content-length", "1048577")], 0),
        ("FH7 chunked", Told::Nothing, &[ALICE, JSON], 1),
    ] {
        let counts = Arc::new(Counts::default());
        let body = Pieces { left: 1024, told, counts: Arc::clone(&counts) };
        // a piece that is held while the next one comes: the second would be one over
        let body = Bigger(body);
        let outcome = through(Some(optional()), meta(), lines, body).await;
        assert_eq!(outcome.refusal(), Some((413, "mcp_body_too_large")), "{name}");
        assert_eq!(counts.made.load(Ordering::SeqCst), most, "{name}: pieces read");
        assert_eq!(counts.alive.load(Ordering::SeqCst), 0, "{name}: pieces held");
    }
    let exactly = format!("{B}{}", " ".repeat(MIB - B.len()));
    let (_, got) = of_alice(meta(), &[JSON], &exactly).await.arrived();
    assert_eq!(got.len(), MIB - B.len() + 166, "FH7 exactly 1 MiB is read");
}

/// Each piece with one byte more.
struct Bigger(Pieces);

impl Body for Bigger {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = Pin::new(&mut self.0).poll_frame(cx);
        frame.map(|frame| {
            frame.map(|frame| {
                let data = frame?.into_data().unwrap_or_default();
                Ok(Frame::data([&data[..], b" "].concat().into()))
            })
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

#[tokio::test]
async fn a_stream_is_never_held() {
    for (name, media) in [("FH8", "text/event-stream"), ("FH8", "multipart/form-data; boundary=x")]
    {
        let counts = Arc::new(Counts::default());
        let body = Pieces { left: 1024, told: Told::Nothing, counts: Arc::clone(&counts) };
        let upstream = service_fn(|request: Request<ForwardBody<Pieces>>| async move {
            let mut body = request.into_body();
            let mut length = 0;
            while let Some(frame) = body.frame().await {
                length += frame?.into_data().map_or(0, |data| data.len());
            }
            let answer = Response::new(Full::<Bytes>::from(length.to_string()));
            Ok::<_, Infallible>(answer)
        });
        let mut request = Request::new(body);
        *request.headers_mut() = headers(&[ALICE, ("content-type", media)]);
        let service = ServiceBuilder::new().layer(optional()).layer(meta()).service(upstream);
        let answer = service.oneshot(request).await.unwrap();
        let length = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(length, "1073741824", "{name} {media}");
        assert_eq!(counts.made.load(Ordering::SeqCst), 1024, "{name} {media}");
    }
}

/// Says no when it is called unready; clones are unready.
struct Strict {
    ready: bool,
    alive: Arc<()>,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self { ready: false, alive: Arc::clone(&self.alive) }
    }
}

impl<B> Service<Request<B>> for Strict {
    type Response = Response<Full<Bytes>>;
    type Error = &'static str;
    type Future = Ready<Result<Self::Response, &'static str>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        ready(if std::mem::take(&mut self.ready) {
            Ok(Response::default())
        } else {
            Err("called unready")
        })
    }
}

/// Readies a service that needs no waiting for, and calls it.
fn called<S: Service<Request<Full<Bytes>>>>(
    service: &mut S,
    request: Request<Full<Bytes>>,
) -> S::Future {
    let ready = service.poll_ready(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(ready, Poll::Ready(Ok(()))));
    service.call(request)
}

#[tokio::test]
async fn the_ready_service_is_the_one_that_is_called() {
    let text = ("content-type", "text/plain");
    for (name, lines, body, status) in [
        ("F16 read", &[JSON][..], B, 200),
        ("F16 streamed", &[text], "x", 200),
        ("F16 refused at once", &[JSON, JSON], B, 400),
        ("F16 refused later", &[JSON], "x", 400),
    ] {
        let alive = Arc::new(());
        let mut service = strip_only().layer(Strict { ready: false, alive: Arc::clone(&alive) });
        for round in 0..3 {
            let mut request = Request::new(Full::<Bytes>::from(body));
            *request.headers_mut() = headers(lines);
            let answer = called(&mut service, request).await.unwrap();
            assert_eq!(answer.status(), status, "{name}, round {round}");
            assert_eq!(Arc::strong_count(&alive), 2, "{name}: the other one is dropped");
        }
        let mut request = Request::new(Full::<Bytes>::from(body));
        *request.headers_mut() = headers(lines);
        drop(called(&mut service, request));
        assert_eq!(Arc::strong_count(&alive), 2, "{name}: nothing is left of a dropped call");
    }
}

#[tokio::test]
async fn identity_goes_by_header_and_message() {
    let set = ForwardSet::separate();
    let off = || ForwardOptions::new(upstream(), Mode::Off).set(&set).build().unwrap();
    let on = || options().build().unwrap();
    let run = async |meta: McpMetaForward, forwarding: Forwarding, body: &str| {
        let seen = Arc::new(Mutex::new(None));
        let notes = Arc::clone(&seen);
        let upstream =
            service_fn(move |request: Request<ForwardBody<ForwardBody<Full<Bytes>>>>| {
                let notes = Arc::clone(&notes);
                async move {
                    let (head, body) = request.into_parts();
                    *notes.lock().unwrap() = Some((head.headers, body.collect().await?.to_bytes()));
                    Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
                }
            });
        let forward = IdentityForward::new(forwarding)
            .identity(|_, _, identity| identity.with_email("alice@co.com"));
        let layers = ServiceBuilder::new().layer(optional()).layer(meta).layer(forward);
        let mut request = Request::new(Full::from(body.to_owned()));
        *request.headers_mut() = headers(&[ALICE, JSON]);
        layers.service(upstream).oneshot(request).await.unwrap();
        seen.lock().unwrap().take().unwrap()
    };
    let (head, body) = run(meta(), on(), B).await;
    let identity = [("content-type", "application/json"), ("content-length", "166")];
    assert_eq!(sorted(&head), sorted(&headers(&[OF_ALICE, &identity].concat())));
    let message: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(message["params"]["_meta"][KEY]["id"], "acc-alice");
    let traced = r#"{"method":"m","params":{"_meta":{"trace_id":"abc123"}}}"#;
    let (head, body) = run(strip_only(), off(), traced).await;
    assert_eq!(seen(&head), [JSON], "FA1");
    assert_eq!(body, traced, "FA1");
}

#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<String>>>);

impl AuditSink for Events {
    fn record(&self, event: &Event<'_>) {
        let (step, reason) = (event.step.map(|step| step.as_str()), event.reason);
        let line = format!("{} {:?} {step:?} {reason:?}", event.name.as_str(), event.error);
        self.0.lock().unwrap().push(line);
    }
}

#[tokio::test]
async fn refusals_are_answered_and_told_as_those_of_a_gate() {
    let kind = TokenKind::new("account").prefix("tba_").subject(SubjectType::Account);
    let kind = kind.narrowed(["apps:read", "apps:run"]).opaque(1, 64);
    let kinds = TokenKinds::builder().kind(kind).build().unwrap();
    let events = Events::default();
    let auth = Authenticator::builder(kinds, House)
        .clock(ManualClock::new())
        .audit(events.clone())
        .problem_base("https://api.example/problems/")
        .build()
        .unwrap();
    let service = ServiceBuilder::new()
        .layer(RenderRejections::new())
        .layer(BearerCheck::new(&auth))
        .layer(meta())
        .service(Strict { ready: false, alive: Arc::default() });
    let mut request = Request::new(Full::<Bytes>::from("{}{}"));
    *request.headers_mut() = headers(&[ALICE, JSON]);
    let answer = service.oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let want = r#"{"type":"https://api.example/problems/mcp_body_invalid","title":"Bad Request","status":400,"error":"mcp_body_invalid","detail":"The JSON-RPC message cannot be forwarded."}"#;
    assert_eq!(body, want, "F237");
    let told = events.0.lock().unwrap().clone();
    let line = r#"auth.denied Some("mcp_body_invalid") Some("forward") Some("body_unreadable")"#;
    assert_eq!(told.iter().filter(|event| event.contains("denied")).collect::<Vec<_>>(), [line]);
}

#[test]
fn keys_that_are_not_ours() {
    for key in ["user", "io.modelcontextprotocol/x", "mcp.dev/x", "com.example/"] {
        assert_eq!(McpMetaForward::new(key).err(), Some(ConfigError::MetaKey), "FH10 {key}");
        assert_eq!(McpMetaForward::strip_only(key).err(), Some(ConfigError::MetaKey), "FH10 {key}");
    }
    let shown = format!("{:?}", meta());
    assert!(shown.contains(KEY) && !shown.contains("alice"), "F173 {shown}");
}

#[cfg(feature = "signed")]
#[tokio::test]
async fn a_signature_covers_what_the_upstream_reads() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use tower_bearer::forward::{KeyRing, Signing, SigningKey};
    use tower_bearer::stack::BearerStack;

    type Told = Arc<Mutex<Option<(HeaderMap, Bytes)>>>;

    async fn run<L, R>(layers: L, told: &Told) -> (u16, Option<&'static str>)
    where
        L: Layer<Reader>,
        L::Service: Service<Request<Full<Bytes>>, Response = Response<R>, Error = Infallible>,
    {
        let mut request = Request::new(Full::from(B));
        *request.headers_mut() = headers(&[ALICE, JSON]);
        let service = layers.layer(Reader(Arc::clone(told)));
        let answer = service.oneshot(request).await.unwrap();
        let refusal = answer.extensions().get::<Rejection>();
        (answer.status().as_u16(), refusal.map(|refusal| refusal.kind().error()))
    }

    #[derive(Clone)]
    struct Reader(Told);

    impl<R> Service<Request<ForwardBody<ForwardBody<R>>>> for Reader
    where
        R: Body<Data = Bytes, Error = Infallible> + Send + 'static,
    {
        type Response = Response<Full<Bytes>>;
        type Error = Infallible;
        type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>>>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<ForwardBody<ForwardBody<R>>>) -> Self::Future {
            let told = Arc::clone(&self.0);
            Box::pin(async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await?.to_bytes();
                *told.lock().unwrap() = Some((head.headers, body));
                Ok(Response::default())
            })
        }
    }

    let key = SigningKey::hmac_sha256("k1", b"0123456789abcdef0123456789abcdef").unwrap();
    let signing = Signing::new(KeyRing::new([key]).unwrap());
    let options = ForwardOptions::signed_headers(upstream(), signing);
    let forward = IdentityForward::new(options.set(&ForwardSet::separate()).build().unwrap());
    let told = Told::default();
    let free = || ServiceBuilder::new().layer(BearerCheck::new(&auth()));
    let stack = BearerStack::new(BearerCheck::new(&auth())).without_bodies();
    let outside = run(free().layer(meta()).layer(forward.clone()), &told).await;
    let first = told.lock().unwrap().take().unwrap();
    let within = run(stack.mcp_meta(meta()).forward_identity(forward.clone()), &told).await;
    let second = told.lock().unwrap().take().unwrap();
    for (name, outcome, (head, body)) in
        [("outside", outside, first), ("in a stack", within, second)]
    {
        assert_eq!(outcome, (200, None), "FH9 {name}");
        assert_eq!(body.len(), 166, "FH9 {name}");
        let digest = ring::digest::digest(&ring::digest::SHA256, &body);
        let want = format!("sha-256=:{}:", STANDARD.encode(digest));
        assert_eq!(head["content-digest"], want, "FH9 {name}");
        assert_eq!(head["content-length"], "166", "FH9 {name}");
        assert!(head.contains_key("signature"), "FH9 {name}");
    }
    let inside = run(free().layer(forward).layer(meta()), &told).await;
    assert_eq!(inside, (500, Some("internal_error")), "FH9 inside");
    assert_eq!(*told.lock().unwrap(), None, "FH9 inside: no call");
}
