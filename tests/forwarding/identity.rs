//! An upstream is told what was configured of the caller, no more and no less.

use http::Request;
use tower::{Layer, ServiceBuilder};
use tower_bearer::forward::{Field, ForwardOptions, ForwardSet, Mode, Upstream};
use tower_bearer::rejection::RejectionKind;
use tower_bearer::stack::{
    AppResolver, BearerCheck, Finder, IdentityForward, StripIdentity, WorkspaceMembershipCheck,
};
use tower_bearer::{AuthContext, Evidence};

use crate::support::*;
use crate::{check, forward, off, owned, told, with_email};

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
        let options = ForwardOptions::new(crate::support::upstream(), Mode::Headers)
            .set(&ForwardSet::separate());
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
