//! Whatever a client claims of a caller is replaced or removed.

use http::HeaderName;
use proptest::prelude::*;
use tower::{Layer, ServiceBuilder};
use tower_bearer::forward::ForwardSet;
use tower_bearer::stack::{IdentityForward, StripIdentity};

use crate::support::*;
use crate::{check, forward, off, sorted, told};

/// What a client might claim, and what of it an upstream may see.
pub(crate) const CLAIMS: &[(&str, Lines<'static>, Lines<'static>)] = &[
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
