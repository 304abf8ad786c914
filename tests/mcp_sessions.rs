//! An id that an MCP server gives to one caller opens nothing for another one, whoever carries it.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail loudly")]

#[path = "support/forwarding.rs"]
#[expect(dead_code, reason = "shared with tests/forwarding, which needs more of it")]
mod support;

use http::{HeaderMap, Request, Response};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_bearer::forward::{Field, ForwardOptions, Forwarding, Mode};
use tower_bearer::rejection::Rejection;
use tower_bearer::stack::{
    BearerCheck, BearerStack, IdentityForward, McpMetaForward, McpSessionBind, RenderRejections,
    StripIdentity,
};

use support::*;

const K: &[u8] = b"0123456789abcdef0123456789abcdef";
const NAME: &str = "mcp-session-id";
/// FL1: alice's, as the client knows it.
const BOUND: &str = "v1.AzzwL6BzaPAFW-_y4-SzXQ.1868a90c-3f";
const GIVEN: &str = "1868a90c-3f";

fn bind() -> McpSessionBind {
    McpSessionBind::new([("k1", K)], "mcp-main").unwrap()
}

fn check() -> BearerCheck {
    BearerCheck::new(&auth())
}

fn off() -> Forwarding {
    ForwardOptions::new(upstream(), Mode::Off).build().unwrap()
}

/// What the upstream was sent as id, if it was called, and what the client gets.
#[derive(Debug, PartialEq)]
struct Seen {
    status: u16,
    refusal: Option<&'static str>,
    sent: Option<Vec<String>>,
    got: Vec<String>,
}

impl Seen {
    fn passed(sent: &[&str], got: &[&str]) -> Self {
        let owned = |ids: &[&str]| ids.iter().map(|&id| id.to_owned()).collect::<Vec<_>>();
        Self { status: 200, refusal: None, sent: Some(owned(sent)), got: owned(got) }
    }

    fn refused(status: u16, word: &'static str) -> Self {
        Self { status, refusal: Some(word), sent: None, got: Vec::new() }
    }
}

fn ids(headers: &HeaderMap) -> Vec<String> {
    let spelled = headers.iter().filter(|(name, _)| name.as_str().replace('_', "-") == NAME);
    spelled.map(|(_, value)| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
}

/// Sends one request through layers around an upstream that answers with these ids.
async fn through<L, R>(layers: L, answer: Lines<'_>, lines: Lines<'_>) -> Seen
where
    L: Layer<Recorder>,
    L::Service: Service<Request<String>, Response = Response<R>, Error = Infallible>,
{
    let recorder = Recorder::answering(200, answer);
    let service = layers.layer(recorder.clone());
    let response = service.oneshot(request("/mcp", lines)).await.unwrap();
    let calls = recorder.take();
    Seen {
        status: response.status().as_u16(),
        refusal: response.extensions().get::<Rejection>().map(|refusal| refusal.kind().error()),
        sent: calls.first().map(|head| ids(&head.headers)),
        got: ids(response.headers()),
    }
}

#[tokio::test]
async fn the_client_and_the_upstream_each_know_their_own_id() {
    let given = &[(NAME, GIVEN)][..];
    let twins = [("mcp_session_id", GIVEN)];
    let long = "x".repeat(513);
    for (name, answer, lines, want) in [
        ("FL1 first", given, &[ALICE][..], Seen::passed(&[], &[BOUND])),
        ("FL1 back", &[], &[ALICE, (NAME, BOUND)], Seen::passed(&[GIVEN], &[])),
        ("F192 each time", given, &[ALICE, (NAME, BOUND)], Seen::passed(&[GIVEN], &[BOUND])),
        ("F193 no header", &[], &[ALICE], Seen::passed(&[], &[])),
        ("F194 empty", &[(NAME, "")], &[ALICE], Seen::passed(&[], &[])),
        ("F194 a blank", &[(NAME, "a b")], &[ALICE], Seen::passed(&[], &[])),
        ("F194 too long", &[(NAME, &*long)], &[ALICE], Seen::passed(&[], &[])),
        ("F194 two", &[(NAME, "a"), (NAME, "b")], &[ALICE], Seen::passed(&[], &[])),
        ("F45 spelled otherwise", &twins, &[ALICE, twins[0]], Seen::passed(&[], &[])),
        ("F193 anonymous", &[], &[(NAME, BOUND)], Seen::refused(401, "missing_token")),
        ("F193 anonymous, no header", &[], &[], Seen::refused(401, "missing_token")),
    ] {
        let optional = || check().optional();
        let forward = || IdentityForward::new(options().build().unwrap());
        let free = || ServiceBuilder::new().layer(optional()).layer(bind());
        let alone = through(free(), answer, lines).await;
        assert_eq!(alone, want, "{name}: alone");
        let outside = through(free().layer(forward()), answer, lines).await;
        assert_eq!(outside, want, "{name}: outside of IdentityForward");
        let off = through(free().layer(IdentityForward::new(off())), answer, lines).await;
        assert_eq!(off, want, "{name}: outside of mode off");
        let strip = through(free().layer(StripIdentity::new()), answer, lines).await;
        assert_eq!(strip, want, "{name}: outside of StripIdentity");
        let twice = through(free().layer(forward()).layer(forward()), answer, lines).await;
        assert_eq!(twice, want, "{name}: F15 forwarded twice");
        let stack = || BearerStack::new(optional()).without_bodies().bind_mcp_sessions(bind());
        assert_eq!(through(stack(), answer, lines).await, want, "{name}: in a stack");
        let whole = stack().forward_identity(forward());
        assert_eq!(through(whole, answer, lines).await, want, "{name}: in a whole stack");
        let meta = McpMetaForward::new("com.example/caller").unwrap();
        let with_meta = stack().mcp_meta(meta.clone()).forward_identity(forward());
        let lines = [lines, &[("content-type", "text/plain")]].concat();
        assert_eq!(through(with_meta, answer, &lines).await, want, "{name}: with messages");
        let meta_alone = stack().mcp_meta(meta);
        assert_eq!(through(meta_alone, answer, &lines).await, want, "{name}: messages alone");
    }
}

#[tokio::test]
async fn without_a_binding_no_id_passes() {
    let layers = ServiceBuilder::new().layer(check());
    let forward = IdentityForward::new(options().build().unwrap());
    let answer = [(NAME, GIVEN)];
    let seen = through(layers.layer(forward), &answer, &[ALICE, (NAME, BOUND)]).await;
    assert_eq!(seen, Seen::passed(&[], &[]), "FE9");
}

#[tokio::test]
async fn nobody_goes_on_with_what_is_not_theirs() {
    let mut bodies = Vec::new();
    for (name, lines) in [
        ("FL3 another caller", &[GUEST, (NAME, BOUND)][..]),
        ("FL3 a service", &[ROBOT, (NAME, BOUND)]),
        ("FL3 bare", &[ALICE, (NAME, GIVEN)]),
        ("FL3 two lines", &[ALICE, (NAME, BOUND), (NAME, BOUND)]),
        ("F193 empty", &[ALICE, (NAME, "")]),
        ("F193 one letter more", &[ALICE, (NAME, "v1.AzzwL6BzaPAFW-_y4-SzXQ.1868a90c-3fx")]),
        ("F193 one letter less", &[ALICE, (NAME, "v1.AzzwL6BzaPAFW-_y4-SzXQ.1868a90c-3")]),
        ("F193 another code", &[ALICE, (NAME, "v1.BzzwL6BzaPAFW-_y4-SzXQ.1868a90c-3f")]),
    ] {
        let recorder = Recorder::answering(200, &[(NAME, GIVEN)]);
        let layers = ServiceBuilder::new().layer(RenderRejections::new()).layer(check());
        let service = layers.layer(bind()).map_response(Bytes::of).service(recorder.clone());
        let answer = service.oneshot(request("/", lines)).await.unwrap();
        assert_eq!(answer.status(), 404, "{name}");
        assert!(recorder.take().is_empty(), "{name}: calls");
        let (head, body) = answer.into_parts();
        bodies.push((format!("{:?}", head.headers), body.0));
    }
    let want = r#"{"type":"about:blank","title":"Not Found","status":404,"error":"session_not_found","detail":"No such session."}"#;
    assert_eq!(bodies[0].1, want, "F239");
    assert!(bodies.iter().all(|body| *body == bodies[0]), "F193 the same bytes: {bodies:?}");
}

/// A body that a refusal can be rendered into.
#[derive(Default)]
struct Bytes(bytes::Bytes);

impl Bytes {
    fn of(response: Response<String>) -> Response<Self> {
        response.map(|body| Self(body.into()))
    }
}

impl From<bytes::Bytes> for Bytes {
    fn from(bytes: bytes::Bytes) -> Self {
        Self(bytes)
    }
}

#[tokio::test]
async fn identity_is_that_of_each_request() {
    let groups = Arc::new(Mutex::new(vec!["eng"]));
    let now = Arc::clone(&groups);
    let forwarding = options().fields([Field::Groups]).build().unwrap();
    let forward = IdentityForward::new(forwarding)
        .identity(move |_, _, identity| identity.with_groups(now.lock().unwrap().clone()));
    let recorder = Recorder::new();
    let layers = ServiceBuilder::new().layer(check()).layer(bind()).layer(forward);
    let service = layers.service(recorder.clone());
    for (want, next) in [("eng", vec!["ops", "dev"]), ("ops,dev", vec![])] {
        let request = request("/mcp", &[ALICE, (NAME, BOUND)]);
        service.clone().oneshot(request).await.unwrap();
        let head = recorder.take().pop().unwrap();
        assert_eq!(head.headers["x-forwarded-user-groups"], want, "FL4");
        assert_eq!(ids(&head.headers), [GIVEN], "FL4 one and the same");
        *groups.lock().unwrap() = next;
    }
}

#[tokio::test]
async fn without_a_context_a_programmer_is_told() {
    let seen = through(bind(), &[], &[ALICE]).await;
    assert_eq!(seen, Seen::refused(500, "internal_error"), "F220");
}
