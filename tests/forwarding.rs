//! The upstream learns from us who is calling, and from nobody else.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test's helpers fail loudly")]

#[path = "support/forwarding.rs"]
mod support;

use http::{HeaderName, Request, Response};
use proptest::prelude::*;
use std::convert::Infallible;
use std::io::Write;
use std::sync::{Arc, Mutex};
use tower::{Layer, Service, ServiceBuilder};
use tower_bearer::forward::{
    Field, ForwardOptions, ForwardSet, Forwarding, Identity, Mode, Overflow, Upstream,
};
use tower_bearer::rejection::RejectionKind;
use tower_bearer::stack::{
    AppResolver, BearerCheck, Finder, IdentityForward, StripIdentity, WorkspaceMembershipCheck,
};
use tower_bearer::{AuthContext, Evidence};

use support::*;

fn with_email(forward: impl Into<IdentityForward>) -> IdentityForward {
    forward.into().identity(|_, context, identity| match context.kind() {
        Some("account") => identity.with_email("alice@co.com"),
        _ => identity,
    })
}

/// What the upstream is sent, or the status and `error` word of the refusal.
async fn told(
    check: BearerCheck,
    forward: IdentityForward,
    lines: Lines<'_>,
) -> Result<Vec<(String, String)>, (u16, &'static str)> {
    let upstream = Recorder::new();
    let service = ServiceBuilder::new().layer(check).layer(forward).service(upstream.clone());
    let (response, refusal) = send(service, request("/", lines)).await;
    let calls = upstream.take();
    match (refusal, calls.as_slice()) {
        (None, [head]) => {
            assert_eq!(response.status(), 200);
            Ok(owned(&seen(&head.headers)))
        }
        (Some(refusal), []) => Err((response.status().as_u16(), refusal.kind().error())),
        (refusal, calls) => panic!("{refusal:?} with {} calls", calls.len()),
    }
}

fn owned(lines: Lines<'_>) -> Vec<(String, String)> {
    lines.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn check() -> BearerCheck {
    BearerCheck::new(&auth())
}

fn forward(options: ForwardOptions) -> IdentityForward {
    with_email(options.build().unwrap())
}

fn off() -> Forwarding {
    ForwardOptions::new(upstream(), Mode::Off).set(&ForwardSet::separate()).build().unwrap()
}

#[tokio::test]
async fn plain_headers() {
    let all = [Field::Client, Field::Scopes, Field::AuthMethod, Field::Issuer];
    let gateway = || options().prefix("X-Auth-User").fields([]);
    let (base, differs) =
        (options().disabled(), r#"{"enabled":true,"headers_prefix":"X-GW-User"}"#);
    let (may, error) = base.clone().local_may_enable().build().unwrap().overridden(None, differs);
    assert_eq!(error, None, "FA7");
    let (may_not, error) = base.build().unwrap().overridden(None, differs);
    assert!(error.is_some(), "FA7");
    let over = |json| options().build().unwrap().overridden(None, json).0;
    let gw: Vec<_> =
        OF_ALICE.iter().map(|(name, value)| (name.replace("forwarded", "gw"), *value)).collect();
    let gw: Vec<_> = gw.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let hex = "145ee6484fcdcf04df64cc7681844e9ffa5c9401d7dabd0c87df31bb674cd95b";
    let misconfigured = Err((500, "forward_misconfigured"));
    for (name, forward, caller, want) in [
        ("FA1", with_email(off()), ALICE, Ok(&[][..])),
        ("FA4", forward(options()), ALICE, Ok(OF_ALICE)),
        ("FA6", forward(gateway()), ALICE, Ok(&[("x-auth-user-id", "acc-alice")])),
        ("FA7 permitted", with_email(may), ALICE, Ok(&gw)),
        ("FA7 not permitted", with_email(may_not), ALICE, misconfigured),
        ("FA8 off", with_email(over(r#"{"enabled":false}"#)), ALICE, Ok(&[])),
        ("FA8 nothing", with_email(over("{}")), ALICE, Ok(OF_ALICE)),
        ("FA8 unknown key", with_email(over(r#"{"enable":true}"#)), ALICE, misconfigured),
        ("FA8 wrong type", with_email(over(r#"{"required":"no"}"#)), ALICE, misconfigured),
        (
            "F50 F52 F53 external",
            forward(options().fields([Field::Type, Field::Issuer, Field::Email])),
            GUEST,
            Ok(&[
                ("x-forwarded-user-id", hex),
                ("x-forwarded-user-type", "external"),
                ("x-forwarded-user-issuer", "https://idp.example"),
                ("x-forwarded-user-email", "guest@shop.example"),
            ]),
        ),
        (
            "F55 F56 F59 service",
            forward(options().fields(all)),
            ROBOT,
            Ok(&[
                ("x-forwarded-user-id", "svc-robot"),
                ("x-forwarded-user-client", "cli"),
                ("x-forwarded-user-scopes", "apps%3Aread,apps%3Arun"),
                ("x-forwarded-user-auth-method", "service"),
            ]),
        ),
    ] {
        assert_eq!(told(check(), forward, &[caller]).await, want.map(owned), "{name}");
    }
}

#[tokio::test]
async fn facts_of_earlier_steps() {
    let hex = "145ee6484fcdcf04df64cc7681844e9ffa5c9401d7dabd0c87df31bb674cd95b";
    let common = [("x-forwarded-user-workspace", "ws-1"), ("x-forwarded-user-app", "app-public")];
    for (name, caller, want) in [
        (
            "FA5 account",
            ALICE,
            vec![
                ("x-forwarded-user-id", "acc-alice"),
                ("x-forwarded-user-type", "account"),
                common[0],
                ("x-forwarded-user-role", "editor"),
                common[1],
            ],
        ),
        (
            "FA5 external",
            GUEST,
            vec![
                ("x-forwarded-user-id", hex),
                ("x-forwarded-user-type", "external"),
                ("x-forwarded-user-issuer", "https://idp.example"),
                common[0],
                common[1],
            ],
        ),
    ] {
        let (auth, upstream) = (auth(), Recorder::new());
        let options =
            ForwardOptions::new(support::upstream(), Mode::Headers).set(&ForwardSet::separate());
        let find = Finder::with(|head| head.uri.path().split('/').nth(2).map(str::to_owned));
        let service = ServiceBuilder::new()
            .layer(BearerCheck::new(&auth))
            .layer(AppResolver::new(&auth, House, find))
            .layer(WorkspaceMembershipCheck::new(&auth, House).exempt_external())
            .layer(IdentityForward::from(options.build().unwrap()))
            .service(upstream.clone());
        let (response, _) = send(service, request("/apps/app-public/proxy/x", &[caller])).await;
        assert_eq!(response.status(), 200, "{name}");
        let calls = upstream.take();
        assert_eq!(seen(&calls[0].headers), want, "{name}");
        let context = AuthContext::of(&calls[0].extensions).unwrap();
        assert!(context.evidence().contains(Evidence::FORWARDED), "{name}");
    }
}

/// What a client might claim, and what of it an upstream may see.
const CLAIMS: &[(&str, Lines<'static>, Lines<'static>)] = &[
    ("FE1 XA1", &[("X-Forwarded-User-Id", "admin")], &[]),
    ("FE1 twice", &[("X-Forwarded-User-Id", "admin"), ("X-Forwarded-User-Id", "root")], &[]),
    (
        "FE1 XA4 three spellings",
        &[("x-forwarded-user-id", "a"), ("X-FORWARDED-USER-ID", "b"), ("X-Forwarded-user-Id", "c")],
        &[],
    ),
    ("FE2", &[("X-Forwarded-User-Groups", "root")], &[]),
    (
        "FE2 XA3 folded",
        &[("X_Forwarded_User_Groups", "root"), ("x.forwarded.user.id", "root")],
        &[],
    ),
    ("FE2 unknown", &[("X-Forwarded-User-Foo", "root"), ("X-Forwarded-User", "root")], &[]),
    (
        "FE6 XA10",
        &[
            ("Cookie", "a"),
            ("Proxy-Authorization", "Basic a"),
            ("DPoP", "a"),
            ("Txn-Token", "a"),
            ("X-Upstream-Authorization", "a"),
            ("Signature", "a"),
            ("Signature-Input", "a"),
        ],
        &[],
    ),
    ("FE7", &[("X-Forwarded-Username-Hint", "a")], &[]),
    (
        "FE8 XA6 XA7",
        &[
            ("X-Forwarded-Uri", "/public"),
            ("X-Original-URL", "/public"),
            ("X-Rewrite-URL", "/public"),
            ("X-Forwarded-Prefix", "/"),
            ("X-Forwarded-Method", "GET"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "evil"),
            ("Forwarded", "for=evil"),
        ],
        &[],
    ),
    ("FE9 XA12", &[("Mcp-Session-Id", "abc")], &[]),
    ("FF1", &[("Connection", "x-forwarded-user-id")], &[]),
    ("FF1 XA5", &[("Connection", "close, X-Forwarded-User-Id"), ("X-Forwarded-User-Id", "a")], &[]),
    (
        "FF2",
        &[
            ("Connection", "x-internal-auth, x-original-url"),
            ("x-internal-auth", "1"),
            ("x-original-url", "/"),
        ],
        &[],
    ),
    ("FF3 not allowed", &[("Connection", "upgrade"), ("Upgrade", "websocket")], &[]),
    ("FF4", &[("TE", "trailers")], &[("te", "trailers")]),
    ("FF4", &[("TE", "gzip")], &[]),
    ("FF4", &[("TE", "gzip, trailers;q=0.5")], &[("te", "trailers")]),
    (
        "FF5",
        &[("Connection", "content-length, host"), ("content-length", "5"), ("host", "a")],
        &[("content-length", "5"), ("host", "a")],
    ),
    (
        "others stay",
        &[("Accept", "a"), ("X-Request-Id", "b")],
        &[("accept", "a"), ("x-request-id", "b")],
    ),
];

fn sorted(lines: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut lines = owned(lines);
    lines.sort();
    lines
}

#[tokio::test]
async fn claims_of_a_caller_are_replaced() {
    for &(name, claims, kept) in CLAIMS {
        let lines = [&[ALICE], claims].concat();
        let mut got = told(check(), forward(options()), &lines).await.unwrap();
        got.sort();
        assert_eq!(got, sorted(&[OF_ALICE, kept].concat()), "{name}");
    }
}

#[tokio::test]
async fn claims_of_nobody_are_removed() {
    for &(name, claims, kept) in CLAIMS {
        let upstream = Recorder::new();
        let strip = StripIdentity::of(&ForwardSet::separate()).layer(upstream.clone());
        let mode_off = IdentityForward::new(off()).layer(upstream.clone());
        let optional = ServiceBuilder::new()
            .layer(check().optional())
            .layer(forward(options().optional()))
            .service(upstream.clone());
        let authorized = [claims, &[ALICE]].concat();
        send(strip, request("/", &authorized)).await;
        send(mode_off, request("/", &authorized)).await;
        send(optional, request("/", claims)).await;
        let calls = upstream.take();
        let got: Vec<_> = calls.iter().map(|head| sorted(&seen(&head.headers))).collect();
        assert_eq!(got, vec![sorted(kept); 3], "FE3 FM1 FM2 XA2 {name}");
    }
}

#[tokio::test]
async fn settings_of_the_removal() {
    let set = ForwardSet::separate;
    let trusting = set().trust_proxy_headers();
    let keeping = set().dangerously_keep(["cookie"]).unwrap();
    let upgrading = set().allow_upgrade(["websocket"]).unwrap();
    let extra = HeaderName::from_static("x-api-key");
    let plain = || forward(options());
    let upgrade: Lines<'_> = &[ALICE, ("Connection", "Upgrade"), ("Upgrade", "websocket")];
    for (name, forward, lines, kept) in [
        (
            "FE7 trusted",
            forward(options().set(&trusting)),
            &[ALICE, ("X-Forwarded-Username-Hint", "a")][..],
            &[("x-forwarded-username-hint", "a")][..],
        ),
        (
            "F43 trusted",
            forward(options().set(&trusting)),
            &[ALICE, ("X-Forwarded-User-Id", "a")],
            &[],
        ),
        (
            "FE6 kept",
            forward(options().set(&keeping)),
            &[ALICE, ("Cookie", "a"), ("DPoP", "b")],
            &[("cookie", "a")],
        ),
        (
            "FF3 allowed",
            forward(options().set(&upgrading)),
            upgrade,
            &[("connection", "upgrade"), ("upgrade", "websocket")],
        ),
        (
            "F44 P202",
            plain().credential_header(&extra),
            &[ALICE, ("X_Api_Key", "a"), ("x-api-key", "b")],
            &[],
        ),
        ("F44 P202 not named", plain(), &[ALICE, ("x-api-key", "b")], &[("x-api-key", "b")]),
    ] {
        let mut got = told(check(), forward, lines).await.unwrap();
        got.sort();
        assert_eq!(got, sorted(&[OF_ALICE, kept].concat()), "{name}");
    }
}

#[tokio::test]
async fn several_upstreams() {
    let set = ForwardSet::separate();
    let to = |name, prefix| {
        let upstream = Upstream::new(name, "https://a.example").unwrap();
        let options =
            ForwardOptions::new(upstream, Mode::Headers).set(&set).fields([]).prefix(prefix);
        options.build().unwrap()
    };
    let both = || [to("one", "X-Forwarded-User"), to("two", "X-GW-User")];
    let select =
        IdentityForward::select(both(), |head, _| head.uri.path().strip_prefix('/')).unwrap();
    let claims: Lines<'_> = &[ALICE, ("X-Forwarded-User-Id", "a"), ("X_GW_User_Id", "b")];
    for (name, path, want) in [
        ("FE4", "/one", Ok(("x-forwarded-user-id", "acc-alice"))),
        ("FE4", "/two", Ok(("x-gw-user-id", "acc-alice"))),
        ("F22 F233 unknown name", "/three", Err(RejectionKind::ForwardMisconfigured)),
        ("F22 F233 no name", "*", Err(RejectionKind::ForwardMisconfigured)),
    ] {
        let upstream = Recorder::new();
        let service =
            ServiceBuilder::new().layer(check()).layer(select.clone()).service(upstream.clone());
        let (response, refusal) = send(service, request(path, claims)).await;
        let calls = upstream.take();
        match want {
            Ok(line) => assert_eq!(seen(&calls[0].headers), [line], "{name}"),
            Err(kind) => {
                assert_eq!((refusal.unwrap().kind(), calls.len()), (kind, 0), "{name}");
                assert_eq!(response.status(), 500, "{name}");
            }
        }
    }
    assert!(IdentityForward::select([], |_, _| None).is_err(), "none");
    let twice = [to("one", "X-Forwarded-User"), to("one", "X-GW-User")];
    assert!(IdentityForward::select(twice, |_, _| None).is_err(), "one name twice");
    let service = select.layer(Recorder::new());
    let (_, refusal) = send(service, request("/one", &[])).await;
    assert_eq!(refusal.unwrap().kind(), RejectionKind::Misordered, "F220");

    let strip = StripIdentity::of(&set);
    let lines: Lines<'_> = &[("X-Later-Id", "a")];
    for (name, want) in [("FE5 not yet", 1), ("FE5 added", 0), ("FE5 removed again", 0)] {
        if name == "FE5 added" {
            drop(to("later", "X-Later"));
        }
        let upstream = Recorder::new();
        send(strip.layer(upstream.clone()), request("/", lines)).await;
        assert_eq!(upstream.take()[0].headers.len(), want, "{name}");
    }
}

#[tokio::test]
async fn answers() {
    let echo: Lines<'_> = &[
        ("X-Forwarded-User-Id", "x"),
        ("X_Forwarded_User", "x"),
        ("Mcp-Session-Id", "s"),
        ("a", "b"),
    ];
    let login = ("www-authenticate", r#"Bearer resource_metadata="https://evil.example""#);
    let denies: Lines<'_> = &[login, ("authentication-info", "x"), ("proxy-authenticate", "Basic")];
    let info = ("authentication-info", "x");
    for (name, mode, status, lines, want) in [
        ("FE9 F48 XA8", Mode::Headers, 200, echo, &[("a", "b")][..]),
        ("FE9 F48 off", Mode::Off, 200, echo, &[("a", "b")]),
        (
            "F35",
            Mode::Headers,
            200,
            &[("Connection", "x-a"), ("x-a", "1"), ("Keep-Alive", "1")],
            &[],
        ),
        ("F203 relayed", Mode::Headers, 307, &[("location", "/x")], &[("location", "/x")]),
        ("FL7 F200 challenge gone", Mode::Headers, 401, denies, &[]),
        ("FL8 F202 no map", Mode::Headers, 403, denies, &[]),
        ("F200 off relayed", Mode::Off, 401, denies, &[login, info]),
        ("F202 no other status", Mode::Headers, 404, denies, &[login, info]),
    ] {
        let upstream = Recorder::answering(status, lines);
        let options = ForwardOptions::new(support::upstream(), mode).set(&ForwardSet::separate());
        let forward = IdentityForward::new(options.build().unwrap());
        let service = ServiceBuilder::new().layer(check()).layer(forward).service(upstream);
        let (response, _) = send(service, request("/", &[ALICE])).await;
        assert_eq!(response.status(), status, "{name}");
        assert_eq!(seen(response.headers()), want, "{name}");
        assert_eq!(response.body(), "upstream", "{name}");
    }
    let inner = ServiceBuilder::new().layer(check()).service(Recorder::new());
    let stack = ServiceBuilder::new()
        .layer(check().optional())
        .layer(forward(options().optional()))
        .service(inner);
    let (response, _) = send(stack, request("/", &[])).await;
    let challenge = response.headers().get("www-authenticate").unwrap();
    assert_eq!(
        (response.status().as_u16(), challenge.to_str().unwrap()),
        (401, r#"Bearer realm="api""#),
        "our own challenge stays"
    );
}

#[tokio::test]
async fn tunnels() {
    let set = ForwardSet::separate().allow_upgrade(["websocket"]).unwrap();
    let asks: Lines<'_> = &[ALICE, ("Connection", "upgrade"), ("Upgrade", "websocket")];
    let gives: Lines<'_> = &[("connection", "upgrade"), ("upgrade", "websocket")];
    for (name, lines, status, want) in [
        ("F35 tunnel", asks, 101, gives),
        ("F35 no tunnel without a 101", asks, 200, &[]),
        ("F35 not asked for", &asks[..1], 101, &[]),
    ] {
        let forward = forward(options().set(&set));
        let upstream = Recorder::answering(status, gives);
        let service = ServiceBuilder::new().layer(check()).layer(forward).service(upstream);
        let (response, _) = send(service, request("/", lines)).await;
        assert_eq!(seen(response.headers()), want, "{name}");
    }
}

#[tokio::test]
async fn values() {
    let wide = || options().fields([Field::FullName, Field::Email, Field::Groups]);
    let percent = || wide().percent_encode_ids();
    let omit = || wide().overflow(Overflow::OmitLists);
    let long = "g".repeat(4097);
    let id = |value: &'static str| Identity::account(value);
    let named = |name: &'static str| id("a").with_full_name(name);
    let mailed = |email: &'static str| id("a").with_email(email);
    let unencodable = Err((500, "identity_unencodable"));
    let mut rows = vec![
        ("FG1", wide(), named("Fábián"), Ok(("full-name", "F%C3%A1bi%C3%A1n"))),
        ("FG1", wide(), named("José"), Ok(("full-name", "Jos%C3%A9"))),
        ("FG1", wide(), named("100%"), Ok(("full-name", "100%25"))),
        ("FG1", wide(), named("Alice Smith"), Ok(("full-name", "Alice%20Smith"))),
        ("FG1", wide(), mailed("alice@co.com"), Ok(("email", "alice@co.com"))),
        ("FG1", wide(), mailed("alice+x@co.com"), Ok(("email", "alice%2Bx@co.com"))),
        ("FG2", wide(), id("a").with_groups(["eng,dev", "ops"]), Ok(("groups", "eng%2Cdev,ops"))),
        ("FG2", wide(), id("a").with_groups(["R&D"]), Ok(("groups", "R%26D"))),
        ("FG3 default", wide(), id("José"), unencodable),
        ("FG3 percent", percent(), id("José"), Ok(("id", "Jos%C3%A9"))),
        ("FG4", wide(), id("a").with_groups([long.clone()]), Err((500, "identity_too_large"))),
        ("FG4 omit", omit(), id("a").with_groups([long]), Ok(("overflow", "groups"))),
    ];
    for bad in ["", "a b", " a", "a\t", "a\0", "a\x7F", "a\r\nX-Caller-Id: b", "a\u{200B}"] {
        rows.push(("FG3", wide(), id(bad), unencodable));
        if bad != "a b" {
            rows.push(("FG3 percent", percent(), id(bad), unencodable));
        }
    }
    for (name, options, identity, want) in rows {
        let told_of = identity.clone();
        let forward =
            IdentityForward::new(options.build().unwrap()).identity(move |_, _, _| told_of.clone());
        let got = told(check(), forward, &[ALICE, ("X-Forwarded-User-Groups", "root")]).await;
        match want {
            Ok((field, value)) => {
                let line = (format!("x-forwarded-user-{field}"), value.to_owned());
                assert!(got.clone().unwrap().contains(&line), "{name}: {got:?}");
                let groups =
                    got.unwrap().iter().filter(|(name, _)| name.ends_with("groups")).count();
                assert_eq!(groups, usize::from(field == "groups"), "{name}");
            }
            Err(refusal) => assert_eq!(got, Err(refusal), "{name} {identity:?}"),
        }
    }
}

#[tokio::test]
async fn a_hook_sees_the_request_and_may_drop_facts() {
    #[derive(Clone)]
    struct Caller(&'static str);
    let forward =
        IdentityForward::new(options().fields([Field::Email, Field::Workspace]).build().unwrap())
            .identity(|head, _, identity| {
                let identity = identity.without(Field::Workspace).with_groups(["unsent"]);
                match head.extensions.get::<Caller>() {
                    Some(Caller(email)) => identity.with_email(*email),
                    None => identity,
                }
            });
    let upstream = Recorder::new();
    let service = ServiceBuilder::new()
        .layer(check())
        .map_request(|mut request: Request<String>| {
            request.extensions_mut().insert(Caller("mounted@co.com"));
            request
        })
        .layer(forward)
        .service(upstream.clone());
    send(service, request("/", &[ALICE])).await;
    let want = [("x-forwarded-user-id", "acc-alice"), ("x-forwarded-user-email", "mounted@co.com")];
    assert_eq!(seen(&upstream.take()[0].headers), want, "F53");
}

#[tokio::test]
async fn running_twice() {
    let upstream = Recorder::new();
    let forward = forward(options());
    let service = ServiceBuilder::new()
        .layer(check())
        .layer(forward.clone())
        .layer(forward)
        .service(upstream.clone());
    send(service, request("/", &[ALICE])).await;
    assert_eq!(seen(&upstream.take()[0].headers), OF_ALICE, "F15");
}

/// The context of a request of [`ALICE`], as a handler has it.
async fn context() -> AuthContext {
    let upstream = Recorder::new();
    let service =
        ServiceBuilder::new().layer(check()).layer(forward(options())).service(upstream.clone());
    send(service, request("/", &[ALICE])).await;
    AuthContext::of(&upstream.take()[0].extensions).unwrap().clone()
}

#[tokio::test]
async fn client_side() {
    let context = context().await;
    assert!(context.evidence().contains(Evidence::FORWARDED));
    let mismatch = Err((500, RejectionKind::OriginMismatch));
    for (name, uri, want) in [
        ("F11", "https://mcp.example.com/mcp?x=1", Ok(())),
        ("FL5 same origin", "https://MCP.example.com:443/other", Ok(())),
        ("FL5 other host", "https://evil.example/mcp", mismatch),
        ("FL5 other port", "https://mcp.example.com:8443/mcp", mismatch),
        ("FL5 http", "http://mcp.example.com/mcp", mismatch),
        ("F204 userinfo", "https://mcp.example.com@mcp.example.com/mcp", mismatch),
        ("F11 not absolute", "/mcp", mismatch),
    ] {
        let upstream = Recorder::new();
        let service = forward(options()).client_side().layer(upstream.clone());
        let mut outgoing = request(
            uri,
            &[("X-Forwarded-User-Id", "admin"), ("Authorization", "Bearer tba_alice")],
        );
        context.attach(outgoing.extensions_mut());
        assert!(
            !AuthContext::of(outgoing.extensions())
                .unwrap()
                .evidence()
                .contains(Evidence::FORWARDED),
            "F11"
        );
        let (response, refusal) = send(service, outgoing).await;
        let calls = upstream.take();
        match want {
            Ok(()) => assert_eq!(seen(&calls[0].headers), OF_ALICE, "{name} FM6"),
            Err((status, kind)) => {
                assert_eq!((response.status().as_u16(), calls.len()), (status, 0), "{name}");
                assert_eq!(refusal.unwrap().kind(), kind, "{name}");
            }
        }
    }
    let login = ("www-authenticate", "Bearer");
    let upstream = Recorder::answering(401, &[login, ("x-forwarded-user-id", "x")]);
    let mut outgoing = request("https://mcp.example.com/", &[]);
    context.attach(outgoing.extensions_mut());
    let (response, _) = send(forward(options()).client_side().layer(upstream), outgoing).await;
    assert_eq!((response.status().as_u16(), seen(response.headers())), (401, vec![login]), "F200");
    let service = forward(options()).client_side().layer(Recorder::new());
    let (_, refusal) = send(service, request("https://mcp.example.com/", &[])).await;
    assert_eq!(refusal.unwrap().kind(), RejectionKind::Misordered, "F220");
}

/// Log lines of this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn of(run: impl AsyncFnOnce()) -> String {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tracing::subscriber::with_default(subscriber, || runtime.block_on(run()));
        String::from_utf8(log.0.lock().unwrap().clone()).unwrap()
    }
}

#[test]
fn what_a_programmer_must_mend_is_told_once() {
    let unset = || options().build().unwrap().overridden(None, "[]").0;
    for (name, behind_check, forward, status, errors) in [
        ("FM1 required", false, forward(options()), 500, 1),
        ("FM1 optional", false, forward(options().optional()), 500, 1),
        ("FM1 off", false, IdentityForward::new(off()), 200, 0),
        ("F233", true, IdentityForward::new(unset()), 500, 1),
    ] {
        let log = Log::of(async || {
            let upstream = Recorder::new();
            let bare = forward.layer(upstream.clone());
            let checked = check().layer(bare.clone());
            for _ in 0..100 {
                let request = request("/", &[ALICE]);
                let (response, _) = if behind_check {
                    send(checked.clone(), request).await
                } else {
                    send(bare.clone(), request).await
                };
                assert_eq!(response.status(), status, "{name}");
            }
            assert_eq!(upstream.take().len(), if status == 200 { 100 } else { 0 }, "{name}");
        });
        assert_eq!(log.matches("ERROR").count(), errors, "{name}: {log}");
    }
}

#[test]
fn refusals_name_the_field_in_the_log_alone() {
    let fields = || options().fields([Field::Groups]);
    for (name, status, kind, challenge, forward, lines, word) in [
        (
            "F221 FM3",
            401,
            RejectionKind::MissingCredential,
            Some(r#"Bearer realm="api""#),
            forward(options()),
            &[][..],
            "no_credential",
        ),
        (
            "F231 FM3 XA9",
            500,
            RejectionKind::IdentityUnencodable,
            None,
            forward(fields()).identity(|_, _, identity| identity.with_groups(["canary", ""])),
            &[ALICE],
            "groups of the caller",
        ),
        (
            "F231 FM3",
            500,
            RejectionKind::IdentityTooLarge,
            None,
            forward(fields())
                .identity(|_, _, identity| identity.with_groups(["canary".repeat(1_000)])),
            &[ALICE],
            "groups of the caller",
        ),
        (
            "F233 FM3",
            500,
            RejectionKind::ForwardMisconfigured,
            None,
            IdentityForward::new(options().build().unwrap().overridden(None, "[]").0),
            &[ALICE],
            "forward_config",
        ),
    ] {
        let log = Log::of(async || {
            let upstream = Recorder::new();
            let service = ServiceBuilder::new()
                .layer(check().optional())
                .layer(forward)
                .service(upstream.clone());
            let (response, refusal) = send(service, request("/", lines)).await;
            let got =
                response.headers().get("www-authenticate").map(|value| value.to_str().unwrap());
            assert_eq!((response.status().as_u16(), got), (status, challenge), "{name}");
            assert_eq!((refusal.unwrap().kind(), upstream.take().len()), (kind, 0), "{name}");
            assert_eq!(response.headers()["cache-control"], "no-store", "{name}");
        });
        assert!(log.contains(word), "{name}: {log}");
        assert!(!log.contains("canary") && !log.contains("tba_alice"), "{name}: {log}");
    }
}

fn any_claims() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = prop_oneof![
        "[xX][-_.]forwarded[-_]user([-_](id|groups|type|foo))?",
        "(connection|te|trailer|upgrade|cookie|x-original-url|mcp-session-id|host|dpop|x-api-key)",
        "x-tower-bearer-[a-z]{1,8}",
        "[a-z0-9!#$%&'*+.^_`|~-]{1,12}",
    ];
    let value =
        prop_oneof!["[!-~]{0,24}", "(X-Forwarded-User-Id, ?|authorization, ?|close, ?){0,3}"];
    // a second credential is a verdict of its own: `pipeline.md` P205
    let other = |name: &String| !name.eq_ignore_ascii_case("authorization");
    prop::collection::vec((name.prop_filter("a credential", other), value), 0..12)
}

proptest! {
    /// FE10: whatever a client adds, the verdict and what the upstream learns about the caller stay the same.
    #[test]
    fn fe10_no_header_of_a_client_changes_anything(claims in any_claims(), known: bool, optional: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let learned = |claims: &[(String, String)]| {
            let options = if optional { options().optional() } else { options() };
            let caller = known.then_some(ALICE);
            let claims = claims.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let lines: Vec<_> = caller.into_iter().chain(claims).collect();
            let got = runtime.block_on(told(check().optional(), forward(options), &lines));
            got.map(|mut lines| {
                lines.retain(|(name, _)| name.replace(|byte: char| !byte.is_ascii_alphanumeric(), "-").starts_with("x-forwarded-user"));
                lines
            })
        };
        prop_assert_eq!(learned(&claims), learned(&[]));
    }
}

/// A service of this crate's stack in front of an upstream, over real sockets.
mod wire {
    use bytes::Bytes;
    use http::Uri;
    use http_body_util::{BodyExt, Full};
    use hyper::body::Incoming;
    use hyper_util::client::legacy::Client;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use hyper_util::server::conn::auto;
    use hyper_util::service::TowerToHyperService;
    use std::net::SocketAddr;
    use tokio::net::TcpListener;

    use super::*;

    /// Serves every connection with clones of `service` until the test's runtime ends.
    async fn serve<S>(service: S) -> SocketAddr
    where
        S: Service<Request<Incoming>, Response = Response<Full<Bytes>>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let service = TowerToHyperService::new(service.clone());
                tokio::spawn(async move {
                    let builder = auto::Builder::new(TokioExecutor::new());
                    drop(builder.serve_connection(TokioIo::new(socket), service).await);
                });
            }
        });
        address
    }

    /// The smallest proxy: the same request to another host.
    fn proxy(
        to: SocketAddr,
        h2: bool,
    ) -> impl Service<
        Request<Incoming>,
        Response = Response<Full<Bytes>>,
        Error = Infallible,
        Future: Send,
    > + Clone
    + Send {
        let client = Client::builder(TokioExecutor::new()).http2_only(h2).build_http();
        tower::service_fn(move |mut request: Request<Incoming>| {
            let client: Client<_, Incoming> = client.clone();
            *request.uri_mut() =
                format!("http://{to}{}", request.uri().path()).parse::<Uri>().unwrap();
            *request.version_mut() = http::Version::HTTP_11;
            async move {
                let (head, body) = client.request(request).await.unwrap().into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                Ok(Response::from_parts(head, Full::new(body)))
            }
        })
    }

    #[tokio::test]
    async fn identity_arrives_once_and_ours_alone() {
        for (name, h2) in [("HTTP/1 upstream", false), ("HTTP/2 upstream", true)] {
            let heads = Arc::new(Mutex::new(Vec::new()));
            let writes = Arc::clone(&heads);
            let upstream = serve(tower::service_fn(move |request: Request<Incoming>| {
                let (head, body) = request.into_parts();
                writes.lock().unwrap().push(head);
                async move {
                    let body = body.collect().await.unwrap().to_bytes();
                    let mut response = Response::new(Full::new(body));
                    response.headers_mut().insert("x-forwarded-user-id", "echo".parse().unwrap());
                    Ok(response)
                }
            }))
            .await;
            let stack = ServiceBuilder::new()
                .layer(check())
                .layer(forward(options()))
                .service(proxy(upstream, h2));
            let front = serve(stack).await;
            let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
            for &(row, claims, _) in CLAIMS {
                let mut lines = [&[ALICE], claims].concat();
                lines.retain(|(name, _)| *name != "host"); // the client's own counts
                let mut outgoing = Request::new(Full::new(Bytes::from_static(b"hello")));
                *outgoing.method_mut() = http::Method::POST;
                *outgoing.uri_mut() = format!("http://{front}/x").parse().unwrap();
                *outgoing.headers_mut() = headers(&lines);
                let response = client.request(outgoing).await.unwrap();
                assert_eq!(response.status(), 200, "{row} {name}");
                assert!(
                    !response.headers().contains_key("x-forwarded-user-id"),
                    "FE9 XA8 {row} {name}"
                );
                let body = response.into_body().collect().await.unwrap().to_bytes();
                assert_eq!(body, "hello", "FF5 {row} {name}");
                let head = std::mem::take(&mut *heads.lock().unwrap()).pop().unwrap();
                assert_eq!(head.version == http::Version::HTTP_2, h2, "{row} {name}");
                let ours: Vec<_> = seen(&head.headers)
                    .into_iter()
                    .filter(|(name, _)| {
                        name.replace(['_', '.'], "-").starts_with("x-forwarded-user")
                    })
                    .collect();
                assert_eq!(ours, OF_ALICE, "{row} {name}");
                assert!(
                    !head.headers.contains_key("connection")
                        && !head.headers.contains_key("authorization"),
                    "{row} {name}"
                );
            }
        }
    }
}
