//! Upstreams of other gateways are told who calls in their own words, and believe no client.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail loudly")]

#[path = "support/forwarding.rs"]
#[expect(dead_code, reason = "shared with tests/forwarding, which needs more of it")]
mod forwarding;
#[path = "support/minting.rs"]
#[expect(dead_code, clippy::panic, reason = "shared with tests/minted, which needs more of it")]
mod support;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_bearer::AuthContext;
use tower_bearer::clock::{Clock, ManualClock};
use tower_bearer::forward::compat::{
    self, Carriers, Coder, CoderIds, ContextForge, verify_coder, verify_contextforge,
};
use tower_bearer::forward::{
    ConfigError, Field, ForwardBody, ForwardOptions, ForwardSet, KeyFault, Target, Upstream,
    UserOidc,
};
use tower_bearer::rejection::Rejection;
use tower_bearer::stack::{BearerCheck, IdentityForward, McpMetaForward};
use tower_bearer::store::{MemoryLinks, UserLink};

use forwarding::{ALICE, Lines, headers, seen};
use support::{AUDIENCE, House, Provider, fresh, key_of, upstream};

const K: &[u8] = b"0123456789abcdef0123456789abcdef";
const OTHER: &[u8] = b"fedcba9876543210fedcba9876543210";
const ONES: &str = "11111111-1111-1111-1111-111111111111";
const TWOS: &str = "22222222-2222-2222-2222-222222222222";
const JSON: (&str, &str) = ("content-type", "application/json");

/// Heads and bodies that reached the upstream.
type Seen = Arc<Mutex<Vec<(Parts, Bytes)>>>;

/// An upstream that reads the whole body.
fn reader<B>(
    notes: &Seen,
) -> impl Service<
    Request<B>,
    Response = Response<Full<Bytes>>,
    Error = Infallible,
    Future: Send + 'static,
> + Clone
+ Send
+ use<B>
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let notes = Arc::clone(notes);
    service_fn(move |request: Request<B>| {
        let notes = Arc::clone(&notes);
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            notes.lock().unwrap().push((head, body));
            Ok(Response::new(Full::<Bytes>::default()))
        }
    })
}

fn request(method: Method, uri: &str, lines: Lines<'_>, body: &str) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::from(body.to_owned()));
    *request.method_mut() = method;
    *request.uri_mut() = uri.parse().unwrap();
    *request.headers_mut() = headers(lines);
    request
}

/// The only request that arrived since the last time.
fn arrived(notes: &Seen) -> (Parts, Bytes) {
    let mut all = std::mem::take(&mut *notes.lock().unwrap());
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn forge(preset: &ContextForge) -> IdentityForward {
    let options = preset.options(upstream()).set(&ForwardSet::separate());
    IdentityForward::new(options.build().unwrap()).identity(|_, _, identity| {
        let identity = identity.without(Field::AuthMethod).with_email("alice@co.com");
        identity.with_groups(["eng", "dev"]).with_full_name("Fábián")
    })
}

/// Both layers of the preset around one message of [`ALICE`]: what the upstream sees under the prefix, and of the message.
async fn both(preset: &ContextForge, lines: Lines<'_>, body: &str) -> (Vec<String>, Value) {
    let notes = Seen::default();
    let meta = McpMetaForward::contextforge(preset).identity(|_, _, identity| {
        let identity = identity.without(Field::AuthMethod).with_email("");
        identity.with_groups(["eng", "dev"]).with_full_name("Fábián").with_teams([""; 0])
    });
    let check = BearerCheck::new(&House::new().auth);
    let layers = ServiceBuilder::new().layer(check).layer(meta).layer(forge(preset));
    let lines: Vec<_> = [&[ALICE, JSON][..], lines].concat();
    let answer = layers
        .service(reader::<ForwardBody<ForwardBody<Full<Bytes>>>>(&notes))
        .oneshot(request(Method::POST, "/mcp", &lines, body))
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let (head, body) = arrived(&notes);
    let lines = seen(&head.headers).into_iter();
    let of_prefix = lines.filter(|(name, _)| name.starts_with("x-forwarded-user"));
    let of_prefix = of_prefix.map(|(name, value)| format!("{name}: {value}")).collect();
    (of_prefix, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn contextforge_by_header_and_message() {
    let in_headers = [
        "x-forwarded-user-id: acc-alice",
        "x-forwarded-user-email: alice@co.com",
        "x-forwarded-user-groups: eng,dev",
        "x-forwarded-user-admin: false",
    ];
    let user = json!({
        "id": "acc-alice", "is_admin": false, "full_name": "Fábián", "groups": ["eng", "dev"]
    });
    let forged = r#"{"method":"m","params":{"_meta":{"trace_id":"abc123","user":{"id":"root"}}}}"#;
    let fresh = r#"{"method":"m","params":{"_meta":{"trace_id":"abc123"}}}"#;
    let admin = [("X-Forwarded-User-Admin", "true"), ("X_Forwarded_User_Id", "root")];
    let with_user = json!({ "trace_id": "abc123", "user": user });
    let without = json!({ "trace_id": "abc123" });
    let of = compat::contextforge;
    for (name, preset, header, meta) in [
        ("FA10 FA2 headers", of(), &in_headers[..], &without),
        ("FA10 meta", of().carriers(Carriers::Meta), &[], &with_user),
        ("FA10 both", of().carriers(Carriers::Both), &in_headers[..], &with_user),
        ("F252 disabled", of().carriers(Carriers::Both).disabled(), &[], &without),
    ] {
        for (row, body) in [("FH10 replaced", forged), ("new", fresh)] {
            let (lines, message) = both(&preset, &admin, body).await;
            assert_eq!(lines, header, "{name}, {row}");
            assert_eq!(&message["params"]["_meta"], meta, "{name}, {row}");
        }
    }
}

#[tokio::test]
async fn contextforge_signs_on_both_sides() {
    let house = House::new();
    let preset = compat::contextforge().sign_claims(K).unwrap();
    let notes = Seen::default();
    let nominated = ("connection", "x-forwarded-user-id, x-forwarded-user-claims-signature");
    let sent = [
        ("x-forwarded-user-id", "acc-alice"),
        ("x-forwarded-user-email", "alice@co.com"),
        ("x-forwarded-user-groups", "eng,dev"),
        ("x-forwarded-user-admin", "false"),
        (
            "x-forwarded-user-claims-signature",
            "db2f2fd30ba17816f72b14565f7f8b740e1e46e73bfb515c6a000621bb034eec",
        ),
    ];
    let upstream = reader::<ForwardBody<Full<Bytes>>>(&notes);
    let server = BearerCheck::new(&house.auth).layer(forge(&preset).layer(upstream.clone()));
    let mine = ("X-Forwarded-User-Id", "admin");
    let incoming = request(Method::POST, "/mcp", &[ALICE, nominated, mine], "{}");
    server.oneshot(incoming).await.unwrap();
    let (head, _) = arrived(&notes);
    assert_eq!(seen(&head.headers), sent, "FB4 FM6 FF1 FE1 server side");
    let caller = verify_contextforge(&head.headers, "X-Forwarded-User", K).unwrap();
    assert_eq!(caller.id(), "acc-alice", "F217");

    let context = AuthContext::of(&head.extensions).unwrap().clone();
    let mut outgoing = request(Method::POST, AUDIENCE, &[ALICE, nominated, mine], "{}");
    context.attach(outgoing.extensions_mut());
    forge(&preset).client_side().layer(upstream).oneshot(outgoing).await.unwrap();
    assert_eq!(seen(&arrived(&notes).0.headers), sent, "FB4 FM6 FF1 FE1 client side");
}

#[test]
fn each_upstream_has_a_key_of_its_own() {
    let set = ForwardSet::separate();
    let of = |name: &str, key: Option<&[u8]>| {
        let preset = compat::contextforge();
        let preset = match key {
            Some(key) => preset.sign_claims(key).unwrap(),
            None => preset,
        };
        let upstream = Upstream::new(name, AUDIENCE).unwrap();
        preset.options(upstream).set(&set).build().unwrap()
    };
    let shared = Some(ConfigError::Key { fault: KeyFault::Shared });
    for (name, keys, want) in [
        ("F86", [Some(K), Some(K)], shared),
        ("F86", [Some(K), Some(OTHER)], None),
        ("F86 unsigned", [None, None], None),
    ] {
        let upstreams = [of("a", keys[0]), of("b", keys[1])];
        assert_eq!(IdentityForward::select(upstreams, |_, _| Some("a")).err(), want, "{name}");
    }
}

/// A house in which alice has a link, and the layers of coder's preset.
struct Scene {
    house: House,
    links: UserOidc,
    notes: Seen,
}

impl Scene {
    fn new() -> Self {
        let (house, rows) = (House::new(), MemoryLinks::new());
        let mut link = UserLink::new("alices-own");
        link.expires_at = Some(house.at(86_400));
        rows.put(&key_of("acc-alice"), "idp", link);
        house.account("tba_bob", "acc-bob", |row| row);
        let provider = Provider::playing([fresh("new", None)]);
        let links = UserOidc::new(&house.auth, "idp", rows, provider).dangerously_any_audience();
        Self { house, links, notes: Seen::default() }
    }

    fn options(&self, coder: Coder, upstream: Upstream) -> ForwardOptions {
        coder.options(upstream, self.links.clone()).set(&ForwardSet::separate())
    }

    async fn send(&self, coder: Coder, request: Request<Full<Bytes>>) -> (u16, Option<&str>) {
        let forwarding = self.options(coder, upstream()).build().unwrap();
        let service =
            IdentityForward::new(forwarding).layer(reader::<ForwardBody<Full<Bytes>>>(&self.notes));
        let answer = BearerCheck::new(&self.house.auth).layer(service).oneshot(request).await;
        let answer = answer.unwrap();
        let refusal = answer.extensions().get::<Rejection>();
        (answer.status().as_u16(), refusal.map(|refusal| refusal.kind().error()))
    }

    fn clock(&self) -> &ManualClock {
        &self.house.clock
    }
}

fn of_ids(ids: CoderIds) -> Coder {
    compat::coder(move |_, _| ids.clone(), K).unwrap()
}

fn root() -> CoderIds {
    CoderIds::new(ONES, TWOS)
}

#[tokio::test]
async fn coder_signs_each_request() {
    let scene = Scene::new();
    let child = root().with_subchat(ONES).with_workspace(TWOS);
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let mut signatures = Vec::new();
    for (name, method, body, ids) in [
        ("initialize", Method::POST, r#"{"jsonrpc":"2.0","id":0,"method":"initialize"}"#, root()),
        (
            "notification",
            Method::POST,
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
            root(),
        ),
        ("list", Method::POST, list, root()),
        ("call", Method::POST, r#"{"jsonrpc":"2.0","id":2,"method":"tools/call"}"#, root()),
        ("GET stream", Method::GET, "", root()),
        ("child with workspace", Method::POST, list, child),
    ] {
        let forged = [
            ("X-Coder-Subchat-Id", TWOS),
            ("x-coder-workspace-id", ONES),
            ("X_Coder_Owner_Id", TWOS),
            ("X-Coder-Signature", "v1=00"),
            ("X-Coder-Later", "x"),
            ("trailer", "x-coder-owner-id"),
        ];
        let lines: Vec<_> = [&[ALICE][..], &forged].concat();
        let incoming = request(method.clone(), "/api/mcp?x=1", &lines, body);
        assert_eq!(scene.send(of_ids(ids.clone()), incoming).await, (200, None), "FC5 {name}");
        let (head, read) = arrived(&scene.notes);
        assert_eq!((&head.method, &*read), (&method, body.as_bytes()), "FC5 {name}");
        let now = scene.clock().now().wall();
        assert_eq!(verify_coder(&head, &read, K, now).unwrap(), ids, "FC5 {name}");
        let code = head.headers["x-coder-signature"].clone();
        let mut want = vec![("authorization", "Bearer alices-own"), ("x-coder-owner-id", ONES)];
        want.push(("x-coder-chat-id", TWOS));
        want.extend(ids.subchat().map(|id| ("x-coder-subchat-id", id)));
        want.extend(ids.workspace().map(|id| ("x-coder-workspace-id", id)));
        let time = now.as_secs().to_string();
        want.push(("x-coder-signature-timestamp", &time));
        want.push(("x-coder-signature", code.to_str().unwrap()));
        want.sort_unstable();
        let mut got = seen(&head.headers);
        got.retain(|(name, _)| *name != "content-length");
        got.sort_unstable();
        assert_eq!(got, want, "FC5 {name}");
        assert!(!signatures.contains(&code), "FC5 {name}: its own");
        signatures.push(code);
        scene.clock().advance(Duration::from_secs(1));
    }
}

#[tokio::test]
async fn coder_on_the_clients_side() {
    let scene = Scene::new();
    let incoming = request(Method::POST, "/mcp", &[ALICE], "{}");
    assert_eq!(scene.send(of_ids(root()), incoming).await, (200, None));
    let (server, _) = arrived(&scene.notes);
    let forwarding = scene.options(of_ids(root()), upstream()).build().unwrap();
    let client = IdentityForward::new(forwarding).client_side();
    let client = client.layer(reader::<ForwardBody<Full<Bytes>>>(&scene.notes));
    let nominated = ("connection", "x-coder-signature");
    let mut outgoing = request(Method::POST, AUDIENCE, &[ALICE, nominated], "{}");
    AuthContext::of(&server.extensions).unwrap().attach(outgoing.extensions_mut());
    client.oneshot(outgoing).await.unwrap();
    let (head, body) = arrived(&scene.notes);
    let sorted = |head: &Parts| {
        let mut lines: Vec<_> =
            seen(&head.headers).into_iter().map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(sorted(&head), sorted(&server), "FM6 FF1");
    let now = scene.clock().now().wall();
    assert_eq!(verify_coder(&head, &body, K, now).unwrap(), root(), "FM6 by path and query");
}

#[tokio::test]
async fn coders_body_is_final() {
    let scene = Scene::new();
    let preset = compat::contextforge().carriers(Carriers::Both);
    let forwarding = scene.options(of_ids(root()), upstream()).build().unwrap();
    let inside = McpMetaForward::contextforge(&preset)
        .layer(reader::<ForwardBody<ForwardBody<Full<Bytes>>>>(&scene.notes));
    let service = IdentityForward::new(forwarding).layer(inside);
    let incoming = request(Method::POST, "/mcp", &[ALICE, JSON], r#"{"method":"m"}"#);
    let answer = BearerCheck::new(&scene.house.auth).layer(service).oneshot(incoming).await;
    let answer = answer.unwrap();
    let refusal = answer.extensions().get::<Rejection>().map(|refusal| refusal.kind().error());
    assert_eq!((answer.status().as_u16(), refusal), (500, Some("internal_error")), "FH9");
    assert!(scene.notes.lock().unwrap().is_empty(), "FH9: no call");
}

#[tokio::test]
async fn coder_sends_all_or_nothing() {
    let big = "a".repeat((1 << 20) + 1);
    let bob = ("authorization", "Bearer tba_bob");
    let small = || of_ids(root()).max_body_bytes(4).unwrap();
    for (name, coder, who, body, want) in [
        (
            "FC6",
            of_ids(CoderIds::new("not-a-uuid", TWOS)),
            ALICE,
            "{}",
            (500, Some("identity_unencodable")),
        ),
        (
            "F253 workspace",
            of_ids(root().with_workspace("")),
            ALICE,
            "{}",
            (500, Some("identity_unencodable")),
        ),
        ("F253 no link", of_ids(root()), bob, "{}", (401, Some("identity_login_required"))),
        ("F81", of_ids(root()), ALICE, &*big, (413, Some("body_too_large_to_sign"))),
        ("F81", small(), ALICE, "12345", (413, Some("body_too_large_to_sign"))),
        ("F81", small(), ALICE, "1234", (200, None)),
    ] {
        let scene = Scene::new();
        let got = scene.send(coder, request(Method::POST, "/mcp", &[who], body)).await;
        assert_eq!(got, want, "{name}");
        let calls = usize::from(want.0 == 200);
        assert_eq!(scene.notes.lock().unwrap().len(), calls, "{name}: a refusal means no call");
    }

    let scene = Scene::new();
    let forged = [ALICE, ("x-coder-signature", "v1=00"), ("x-coder-chat-id", ONES)];
    let incoming = request(Method::POST, "/mcp", &forged, "{}");
    let coder = of_ids(CoderIds::new("not-a-uuid", "")).without_headers();
    assert_eq!(scene.send(coder, incoming).await, (200, None));
    let (head, _) = arrived(&scene.notes);
    assert_eq!(seen(&head.headers), [("authorization", "Bearer alices-own")], "FC6 headers off");
}

#[tokio::test]
async fn coders_names_are_closed() {
    let scene = Scene::new();
    for name in ["x-coder-owner-id", "X_Coder_Signature", "X-Coder", "x-coder-anything"] {
        let closed = upstream().with_static_header(name, "x".parse().unwrap()).unwrap();
        for coder in [of_ids(root()), of_ids(root()).without_headers()] {
            let got = scene.options(coder, closed.clone()).build().err();
            let want = ConfigError::NameManaged { setting: "static header" };
            assert_eq!(got, Some(want), "FC6 {name}");
        }
        let target = Target::Header(name.to_owned());
        let got = scene.options(of_ids(root()), upstream()).target(target).build().err();
        assert_eq!(got, Some(ConfigError::NameTaken { setting: "target" }), "F253 {name}");
    }
    let open = upstream().with_static_header("x-coderanything", "x".parse().unwrap()).unwrap();
    assert!(scene.options(of_ids(root()), open).build().is_ok());
    let range = Err(ConfigError::OutOfRange { setting: "max_body_bytes" });
    for bytes in [0, (16 << 20) + 1] {
        assert_eq!(of_ids(root()).max_body_bytes(bytes).map(drop), range, "F268");
    }
}
