//! An answer loses what looks like our identity, and what the upstream would have its clients present.

use tower::ServiceBuilder;
use tower_bearer::forward::{ForwardOptions, ForwardSet, Mode};
use tower_bearer::rejection::RejectionKind;
use tower_bearer::stack::IdentityForward;

use crate::support::*;
use crate::{check, forward};

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
        ("FL8 F202 no map", Mode::Headers, 403, denies, &[]),
        ("F200 off relayed", Mode::Off, 401, denies, &[login, info]),
        ("F202 no other status", Mode::Headers, 404, denies, &[login, info]),
    ] {
        let upstream = Recorder::answering(status, lines);
        let options =
            ForwardOptions::new(crate::support::upstream(), mode).set(&ForwardSet::separate());
        let forward = IdentityForward::new(options.build().unwrap());
        let service = ServiceBuilder::new().layer(check()).layer(forward).service(upstream);
        let (response, _) = send(service, request("/", &[ALICE])).await;
        assert_eq!(response.status(), status, "{name}");
        assert_eq!(seen(response.headers()), want, "{name}");
        assert_eq!(response.body(), "upstream", "{name}");
    }
    // in front of clients the upstream's login is nobody's business
    for (name, options, want) in [
        ("FL7 F200", options(), 502),
        ("F200 optional", options().optional(), 502),
        ("FL7 off relayed", ForwardOptions::new(upstream(), Mode::Off), 401),
    ] {
        let forward = IdentityForward::new(options.set(&ForwardSet::separate()).build().unwrap());
        let service = ServiceBuilder::new()
            .layer(check())
            .layer(forward)
            .service(Recorder::answering(401, &[login, info, ("x-of-upstream", "1")]));
        let (response, refusal) = send(service, request("/", &[ALICE])).await;
        assert_eq!(response.status(), want, "{name}");
        let relayed = want == 401;
        for field in ["www-authenticate", "authentication-info", "x-of-upstream"] {
            assert_eq!(response.headers().contains_key(field), relayed, "{name} {field}");
        }
        assert_eq!(response.body(), if relayed { "upstream" } else { "" }, "{name}");
        let kind = refusal.map(|refusal| refusal.kind());
        assert_eq!(kind, (!relayed).then_some(RejectionKind::UpstreamRefusedIdentity), "{name}");
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
