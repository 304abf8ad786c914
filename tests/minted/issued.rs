//! Mode `idp_token`: what the issuer is told, what the upstream gets, and how a refusal reads.

use http::HeaderValue;
use std::time::Duration;
use tower::{Layer, ServiceExt};
use tower_bearer::AuthContext;
use tower_bearer::forward::{
    ConfigError, Field, ForwardOptions, IdpToken, Mode, Override, Passthrough, Target, Upstream,
    UserOidc,
};
use tower_bearer::stack::{BearerCheck, BearerStack, IdentityForward};
use tower_bearer::store::{IssueAnswer, UserType};

use super::forwarding::{Recorder, request, seen, send};
use super::support::*;

fn options(house: &House, issuer: &Minting) -> ForwardOptions {
    options_to(house, issuer, upstream())
}

fn options_to(house: &House, issuer: &Minting, upstream: Upstream) -> ForwardOptions {
    let tokens = IdpToken::new(&house.auth, issuer.clone());
    in_a_set_of_its_own(ForwardOptions::idp_token(upstream, tokens))
}

#[tokio::test]
async fn nobody_is_asked_where_nothing_is_sent() {
    let house = House::new();
    let (issuer, upstream_service) = (Minting::playing([token("T")]), Recorder::new());
    let off = IdpToken::new(&house.auth, issuer.clone());
    let off = in_a_set_of_its_own(ForwardOptions::idp_token(upstream(), off)).disabled();
    let service = house.service(off, &upstream_service);
    assert_eq!(verdict(&service, "tba_alice").await, (200, None), "FD1 off");
    assert_eq!(credentials(&upstream_service), [Vec::<String>::new()], "FD1 off");

    let fixed = HeaderValue::from_static("Bearer static-client-token");
    let with_static = || upstream().with_static_header("Authorization", fixed.clone()).unwrap();
    let anonymous = |options: ForwardOptions| {
        let forward = IdentityForward::new(options.build().unwrap());
        let check = BearerCheck::new(&house.auth).optional();
        let stack = BearerStack::new(check).forward_identity(forward).without_bodies();
        stack.layer(upstream_service.clone())
    };
    let required = anonymous(options_to(&house, &issuer, with_static()));
    let (response, refusal) = send(required, request("/", &[])).await;
    assert_eq!(response.status(), 401, "FD1 anonymous, required");
    assert_eq!(refusal.unwrap().kind().error(), "missing_token", "FD1 anonymous, required");
    assert!(upstream_service.take().is_empty(), "FD1 anonymous, required");

    let optional = anonymous(options_to(&house, &issuer, with_static()).optional());
    let (response, _) = send(optional, request("/", &[])).await;
    assert_eq!(response.status(), 200, "F20 anonymous, optional");
    let none = [Vec::<String>::new()];
    assert_eq!(credentials(&upstream_service), none, "F29 no service's credential in its place");
    assert_eq!(issuer.calls(), 0, "FD1");
}

#[tokio::test]
async fn what_the_upstream_gets() {
    let statics = || {
        let fixed = HeaderValue::from_static("Bearer static-client-token");
        let upstream = upstream().with_static_header("Authorization", fixed).unwrap();
        upstream.with_static_header("X-Other", HeaderValue::from_static("v")).unwrap()
    };
    let header = |name: &str| Target::Header(name.to_owned());
    for (name, target, headers, want) in [
        ("F78", None, false, &[("x-other", "v"), ("authorization", "Bearer T1")][..]),
        (
            "FD2 in a header of its own",
            Some(header("X-Dify-SSO-Token")),
            false,
            &[
                ("authorization", "Bearer static-client-token"),
                ("x-other", "v"),
                ("x-dify-sso-token", "T1"),
            ],
        ),
        (
            "FD2 in Authorization",
            Some(Target::Authorization),
            false,
            &[("x-other", "v"), ("authorization", "Bearer T1")],
        ),
        (
            "F78 in that of a static header",
            Some(header("X-Other")),
            false,
            &[("authorization", "Bearer static-client-token"), ("x-other", "T1")],
        ),
        (
            "F78 with headers",
            None,
            true,
            &[
                ("x-other", "v"),
                ("x-forwarded-user-id", "acc-alice"),
                ("x-forwarded-user-type", "account"),
                ("authorization", "Bearer T1"),
            ],
        ),
    ] {
        let (house, upstream) = (House::new(), Recorder::new());
        let issuer = Minting::playing([token("T")]);
        let mut options = options_to(&house, &issuer, statics()).fields([Field::Type]);
        if let Some(target) = target {
            options = options.target(target);
        }
        if headers {
            options = options.with_headers();
        }
        let service = house.service(options, &upstream);
        let spoofed = [
            ("authorization", "Bearer tba_alice"),
            ("x-forwarded-user-id", "admin"),
            ("x-dify-sso-token", "mine"),
            ("x-other", "mine"),
            ("connection", "authorization, x-other"),
        ];
        let spoofed = match want.iter().any(|(name, _)| *name == "x-dify-sso-token") {
            true => &spoofed[..],
            false => &spoofed[..2],
        };
        let (response, _) = send(service, request("/", spoofed)).await;
        assert_eq!(response.status(), 200, "{name}");
        let heads = upstream.take();
        let mut got = seen(&heads[0].headers);
        let mut want = want.to_vec();
        got.sort_unstable();
        want.sort_unstable();
        assert_eq!(got, want, "{name}");
        let carried = heads[0].headers.values().filter(|value| value.as_bytes().ends_with(b"T1"));
        assert!(carried.into_iter().all(HeaderValue::is_sensitive), "F67 {name}");
    }
}

#[tokio::test]
async fn what_the_issuer_is_told() {
    let (house, upstream) = (House::new(), Recorder::new());
    let issuer = Minting::playing([token("T")]);
    let service = house.service(options(&house, &issuer), &upstream);
    for (name, token, id, user_type, workspace) in [
        ("FD3 account", "tba_alice", "acc-alice", UserType::Account, Some("ws-1")),
        (
            "FD3 external",
            "tbe_guest",
            "145ee6484fcdcf04df64cc7681844e9ffa5c9401d7dabd0c87df31bb674cd95b",
            UserType::EndUser,
            None,
        ),
        ("F100 service", "tbs_robot", "svc-robot", UserType::Service, None),
    ] {
        assert_eq!(verdict(&service, token).await, (200, None), "{name}");
        let asked = issuer.asked();
        let [asked] = asked.as_slice() else { panic!("{name}: {} calls", asked.len()) };
        assert_eq!(asked.user_id, id, "{name}");
        assert_eq!(asked.user_type, user_type, "{name}");
        assert_eq!(asked.workspace.as_ref().map(|id| id.as_str()), workspace, "{name}");
        assert_eq!(asked.app, None, "{name}");
        assert_eq!(asked.audience, AUDIENCE, "{name}");
        assert!(asked.subject_token.is_none() && asked.actor_token.is_none(), "{name}");
    }
    let tokens = IdpToken::new(&house.auth, issuer.clone()).user_type(|_| UserType::Service);
    let options =
        in_a_set_of_its_own(ForwardOptions::idp_token(super::support::upstream(), tokens));
    assert_eq!(verdict(&house.service(options, &upstream), "tba_alice").await, (200, None));
    assert_eq!(issuer.asked()[0].user_type, UserType::Service, "F100 said otherwise");
}

#[tokio::test(start_paused = true)]
async fn what_an_issuer_says_and_does_not_say() {
    let answer = Play::Answer;
    let scopes = vec!["tools:read".to_owned(), "tools:call".to_owned()];
    let busy = |secs| answer(IssueAnswer::Busy { retry_after: Duration::from_secs(secs) });
    let unavailable = Some("identity_issuer_unavailable");
    for (name, play, want, retry_after) in [
        (
            "FD4 401",
            answer(IssueAnswer::ReauthRequired),
            (401, Some("identity_reauth_required")),
            None,
        ),
        (
            "FD4 428, FD6",
            answer(IssueAnswer::LoginRequired),
            (401, Some("identity_login_required")),
            None,
        ),
        ("FJ6 access_denied", answer(IssueAnswer::Denied), (403, Some("identity_denied")), None),
        (
            "FJ6 invalid_scope",
            answer(IssueAnswer::StepUp { scopes }),
            (403, Some("insufficient_scope")),
            None,
        ),
        (
            "F101 a step up to nothing",
            answer(IssueAnswer::StepUp { scopes: Vec::new() }),
            (503, unavailable),
            Some("1"),
        ),
        ("FD4 403", answer(IssueAnswer::RefusesUs), (503, unavailable), Some("1")),
        ("FD4 429", busy(7), (503, unavailable), Some("7")),
        ("FJ6 429 Retry-After: 90", busy(90), (503, unavailable), Some("30")),
        ("F185 0 s", busy(0), (503, unavailable), Some("1")),
        ("FD4 500", Play::Fail { may_retry: false }, (503, unavailable), Some("1")),
        ("FD4 silent", Play::Hang, (504, Some("identity_issuer_timeout")), Some("1")),
        ("FK5 panics", Play::Panic, (503, unavailable), Some("1")),
        ("F79 no token", token(""), (503, unavailable), Some("1")),
        ("F79 a blank", token("a b"), (503, unavailable), Some("1")),
        ("F79 8,193 bytes", token(&"a".repeat(8_193)), (503, unavailable), Some("1")),
    ] {
        let (house, upstream_service) = (House::new(), Recorder::new());
        let issuer = Minting::playing([play]);
        let fixed = HeaderValue::from_static("Bearer static-client-token");
        let upstream = upstream().with_static_header("Authorization", fixed).unwrap();
        let service = house.service(options_to(&house, &issuer, upstream), &upstream_service);
        let (got, fields) = call(&service, "tba_alice").await;
        assert_eq!(got, want, "{name}");
        let field = |name: &str| fields.get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(field("retry-after").as_deref(), retry_after, "{name}");
        assert!(upstream_service.take().is_empty(), "F29 {name}");
        assert_eq!(issuer.calls(), 1, "F184 {name}");
        let challenge = field("www-authenticate");
        let wanted = match (name, want.0) {
            ("FJ6 invalid_scope", _) => Some(
                "Bearer realm=\"api\", error=\"insufficient_scope\", error_description=\"The access token lacks a required scope.\", scope=\"tools:read tools:call\"",
            ),
            (_, 401) if want.1 == Some("identity_reauth_required") => Some(
                "Bearer realm=\"api\", error=\"insufficient_user_authentication\", error_description=\"Could not obtain a forwarded identity token: sign in again.\"",
            ),
            (_, 401) => Some(
                "Bearer realm=\"api\", error=\"insufficient_user_authentication\", error_description=\"Could not obtain a forwarded identity token: sign in with the identity provider first.\"",
            ),
            _ => None,
        };
        assert_eq!(challenge.as_deref(), wanted, "F242 {name}");
    }
}

#[tokio::test]
async fn what_is_asked_again() {
    let retried = || Play::Fail { may_retry: true };
    for (name, plays, want, calls) in [
        ("FJ7 503, then 200", vec![retried(), token("T")], 200, 2),
        ("F184 once", vec![retried(), retried(), token("T")], 503, 2),
        ("FJ7 400", vec![Play::Fail { may_retry: false }, token("T")], 503, 1),
    ] {
        let (house, upstream) = (House::new(), Recorder::new());
        let issuer = Minting::playing(plays);
        let service = house.service(options(&house, &issuer), &upstream);
        assert_eq!(verdict(&service, "tba_alice").await.0, want, "{name}");
        assert_eq!(issuer.calls(), calls, "{name}");
    }
}

#[tokio::test]
async fn the_upstreams_401_is_relayed_on_the_client_side() {
    let house = House::new();
    let issuer = Minting::playing([token("T")]);
    let upstream = Recorder::answering(401, &[("www-authenticate", "Bearer realm=\"mcp\"")]);
    let forward = IdentityForward::new(options(&house, &issuer).build().unwrap());
    let client = forward.client_side().layer(upstream.clone());
    let context = house.auth.authenticate("tba_alice").await.unwrap();
    let mut outgoing = request("https://mcp.example.com/mcp", &[]);
    context.attach(outgoing.extensions_mut());
    let response = client.clone().oneshot(outgoing).await.unwrap();
    assert_eq!(response.status(), 401, "FD7");
    assert_eq!(response.headers()["www-authenticate"], "Bearer realm=\"mcp\"", "FD7");
    assert_eq!(credentials(&upstream), [["Bearer T1"]], "FD7 one call, no other credential");

    let mut elsewhere = request("https://evil.example.com/mcp", &[]);
    context.attach(elsewhere.extensions_mut());
    let (response, refusal) = send(client, elsewhere).await;
    assert_eq!(response.status(), 500, "F204");
    assert_eq!(refusal.unwrap().kind().error(), "forward_origin_mismatch", "F204");
    assert!(upstream.take().is_empty(), "F204");
    assert_eq!(AuthContext::of(response.extensions()).map(|_| ()), None);
}

#[test]
fn settings() {
    let house = House::new();
    let issuer = || Minting::playing([token("T")]);
    let idp = || options(&house, &issuer());
    let links = || UserOidc::new(&house.auth, "idp", Links::default(), Provider::playing([]));
    let oidc = |links| in_a_set_of_its_own(ForwardOptions::user_oidc(upstream(), links));
    let pass = |audience: &str| {
        in_a_set_of_its_own(ForwardOptions::passthrough(upstream(), Passthrough::new(audience)))
    };
    let header = |name: &str| Target::Header(name.to_owned());
    let none = |mode| Some(ConfigError::NoSource { mode });
    let target = "target";
    let kept = tower_bearer::forward::ForwardSet::separate();
    let kept = kept.dangerously_keep(["authorization"]).unwrap();
    for (name, options, want) in [
        ("F270", ForwardOptions::new(upstream(), Mode::IdpToken), none("idp_token")),
        ("F270", ForwardOptions::new(upstream(), Mode::Exchange), none("exchange")),
        ("F270", ForwardOptions::new(upstream(), Mode::Passthrough), none("passthrough")),
        ("F270 no audience", oidc(links()), Some(ConfigError::NoAudience)),
        ("F270 any", oidc(links().dangerously_any_audience()), None),
        ("F270 one", oidc(links().for_audience(AUDIENCE)), None),
        ("F140 empty", pass(""), Some(ConfigError::Value { setting: "audience" })),
        ("F140", pass(AUDIENCE), None),
        (
            "F267 a target of HTTP's",
            idp().target(header("Cookie")),
            Some(ConfigError::NameReserved { setting: target, reserved: "cookie" }),
        ),
        (
            "F267 a target of ours",
            idp().target(header("X_Forwarded_User_Id")),
            Some(ConfigError::NameTaken { setting: target }),
        ),
        (
            "F44 a target is not kept",
            idp().set(&kept),
            Some(ConfigError::NameTaken { setting: target }),
        ),
    ] {
        assert_eq!(options.build().err(), want, "{name}");
    }

    let unavailable = Some(ConfigError::Unavailable { setting: "mode" });
    let weakens =
        Some(ConfigError::NotPermitted { setting: "mode", permission: "local_may_weaken" });
    for (name, base, mode, want) in [
        ("F165 minted to headers", idp(), Mode::Headers, weakens),
        ("F165 by permission", idp().local_may_weaken(), Mode::Headers, None),
        ("F165 without its source", idp(), Mode::Exchange, unavailable),
        ("F165 without its audience", idp(), Mode::Passthrough, unavailable),
        ("F164 off", idp(), Mode::Off, None),
        ("F165 the same", idp(), Mode::IdpToken, None),
    ] {
        let got = base.with_override(&Override::new().mode(mode)).map(|_| ());
        assert_eq!(got.err(), want, "{name}");
    }
    for word in ["idp_token", "user_oidc", "exchange", "passthrough"] {
        assert_eq!(word.parse::<Mode>().map(Mode::word), Ok(word), "F78");
    }
}
