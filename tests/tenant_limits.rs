//! A workspace's quota is its members' own: no stranger can spend it, and no limit is counted under nothing.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking too")]

#[expect(dead_code, reason = "this file uses its part of it")]
#[path = "support/limits.rs"]
mod support;

use http::{Request, Response};
use std::convert::Infallible;
use support::{Desk, North, get, inner, limit, per_token, send, status};
use tower::ServiceBuilder;
use tower::util::BoxCloneService;
use tower_bearer::Evidence;
use tower_bearer::limit::{Limiter, Policy};
use tower_bearer::rejection::{Rejection, RejectionKind};
use tower_bearer::stack::{
    AccessModes, AppAuthz, AppResolver, BearerCheck, Finder, RateLimit, TenantLimit,
    WorkspaceMembershipCheck,
};
use tower_bearer::subject::Subject;

type Service = BoxCloneService<Request<()>, Response<()>, Infallible>;

/// All that an app's route has, with both limiters.
fn stack(desk: &Desk, caller: &Limiter, tenant: &Limiter) -> Service {
    let find = Finder::path("/apps/{app}").unwrap();
    let service = ServiceBuilder::new()
        .layer(BearerCheck::new(&desk.auth))
        .layer(RateLimit::from(caller))
        .layer(AppResolver::new(&desk.auth, North, find))
        .layer(WorkspaceMembershipCheck::new(&desk.auth, North))
        .layer(AppAuthz::new(&desk.auth, AccessModes::new(&desk.auth, North)))
        .layer(TenantLimit::from(tenant))
        .service(inner(200).0);
    BoxCloneService::new(service)
}

fn violated(response: &Response<()>) -> Vec<&str> {
    let rejection = response.extensions().get::<Rejection>();
    rejection.map_or_else(Vec::new, |it| it.policies().iter().map(AsRef::as_ref).collect())
}

#[tokio::test]
async fn strangers_spend_nothing() {
    let desk = Desk::new();
    let workspace = Policy::per_workspace(limit(10, 60_000));
    let tenant = Limiter::builder().policy(workspace).build().unwrap();
    let service = stack(&desk, &per_token(1_000, 60_000), &tenant);
    let (stranger, member) = (desk.token("stranger", "acc-other"), desk.token("m", "acc-member"));
    for _ in 0..100 {
        let response = send(&service, get("/apps/app-public", &stranger)).await;
        assert_eq!(status(&response), 404, "L823, L862");
        let fields = response.headers().get_all("ratelimit-policy");
        let fields: Vec<_> = fields.iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!(fields, [r#""token";q=1000;w=60"#], "L746");
    }
    assert!(tenant.is_empty(), "L862");
    for left in (0..10).rev() {
        let response = send(&service, get("/apps/app-public", &member)).await;
        let context = tower_bearer::AuthContext::of(response.extensions()).unwrap();
        assert!(context.evidence().contains(Evidence::LIMITED), "L822");
        let quota = context.quota().unwrap();
        assert_eq!((quota.policy.as_str(), quota.remaining), ("workspace", left), "L862");
        assert_eq!(response.headers().get_all("ratelimit").iter().count(), 2, "L825");
    }
    let response = send(&service, get("/apps/app-other", &member)).await;
    assert_eq!((status(&response), violated(&response)), (429, vec!["workspace"]), "L862");
}

#[tokio::test]
async fn a_tenant_denial_charges_the_caller_alone() {
    let desk = Desk::new();
    let caller = per_token(10, 60_000);
    let tenant = Limiter::builder()
        .policy(Policy::per_app(limit(5, 60_000)))
        .policy(Policy::per_workspace(limit(1, 60_000)))
        .build()
        .unwrap();
    let service = stack(&desk, &caller, &tenant);
    let token = desk.token("full", "acc-member");
    let first = send(&service, get("/apps/app-public", &token)).await;
    assert_eq!(status(&first), 200);
    let denied = send(&service, get("/apps/app-other", &token)).await;
    assert_eq!((status(&denied), violated(&denied)), (429, vec!["workspace"]), "L863");
    assert_eq!(tenant.len(), 2, "L863 the other app has no log");
    let context = tower_bearer::AuthContext::of(first.extensions()).unwrap();
    let left = caller.check(context, 1).await.unwrap().unwrap().remaining;
    assert_eq!(left, 7, "L825, L863 two requests and this one");
}

#[tokio::test]
async fn one_late_limiter_with_all_four() {
    let desk = Desk::new();
    let all = Limiter::builder()
        .policy(Policy::per_token(limit(4, 60_000)))
        .policy(Policy::per_subject(limit(3, 60_000)))
        .policy(Policy::per_workspace(limit(9, 60_000)))
        .policy(Policy::per_app(limit(2, 60_000)))
        .build()
        .unwrap();
    let service = stack(&desk, &per_token(100, 60_000), &all);
    let token = desk.token("full", "acc-member");
    let mut got = Vec::new();
    for app in ["app-public", "app-public", "app-public", "app-other", "app-other"] {
        let response = send(&service, get(&format!("/apps/{app}"), &token)).await;
        got.push((status(&response), violated(&response).join(",")));
    }
    let want = [(200, ""), (200, ""), (429, "app"), (200, ""), (429, "subject")];
    assert_eq!(got, want.map(|(status, names)| (status, names.to_owned())), "L822, L825");
}

#[tokio::test]
async fn out_of_place() {
    let desk = Desk::new();
    let tenant = |policy| Limiter::builder().policy(policy).build().unwrap();
    let workspace = tenant(Policy::per_workspace(limit(10, 60_000)));
    let app = tenant(Policy::per_app(limit(10, 60_000)));
    let bearer = || BearerCheck::new(&desk.auth);
    let apps = || {
        let find = Finder::path("/apps/{app}").unwrap();
        AppResolver::new(&desk.auth, North, find)
    };
    let members = || WorkspaceMembershipCheck::new(&desk.auth, North);
    let place_2 = ServiceBuilder::new().layer(bearer()).layer(RateLimit::from(&workspace));
    let early = TenantLimit::from(per_token(10, 60_000));
    let early = ServiceBuilder::new().layer(bearer()).layer(early);
    let no_members =
        ServiceBuilder::new().layer(bearer()).layer(apps()).layer(TenantLimit::from(&workspace));
    let exempt = ServiceBuilder::new()
        .layer(bearer())
        .layer(apps())
        .layer(members().exempt_external())
        .layer(TenantLimit::from(&workspace));
    let by_path = Finder::path("/apps/{app}").unwrap();
    let no_app = ServiceBuilder::new()
        .layer(bearer())
        .layer(WorkspaceMembershipCheck::new(&desk.auth, North).in_request(by_path))
        .layer(TenantLimit::from(&app));
    let member = desk.token("full", "acc-member");
    let guest = format!("tbe_{:A>43}", "guest");
    let subject = Subject::External {
        issuer: tower_bearer::id::Issuer::new("https://idp.example").unwrap(),
        subject: tower_bearer::id::ExternalId::new("guest").unwrap(),
        email: None,
    };
    let ends = tower_bearer::clock::Timestamp::from_secs(1_800_000_000);
    let id = tower_bearer::id::TokenId::new("guest").unwrap();
    let record = tower_bearer::store::TokenRecord::new(id, "external", subject, ends);
    desk.store_record(&guest, record);
    for (name, service, path, token, want) in [
        ("L824 place 2", boxed(place_2.service(inner(200).0)), "/apps/app-public", &member, 500),
        (
            "L822 too early, whatever it counts",
            boxed(early.service(inner(200).0)),
            "/apps/app-public",
            &member,
            500,
        ),
        (
            "L822 no MEMBER",
            boxed(no_members.service(inner(200).0)),
            "/apps/app-public",
            &member,
            500,
        ),
        (
            "L822 MEMBER",
            boxed(exempt.clone().service(inner(200).0)),
            "/apps/app-public",
            &member,
            200,
        ),
        ("L823 EXEMPT alone", boxed(exempt.service(inner(200).0)), "/apps/app-public", &guest, 500),
        ("L824 no app", boxed(no_app.service(inner(200).0)), "/apps/ws-north", &member, 500),
    ] {
        let response = send(&service, get(path, token)).await;
        assert_eq!(status(&response), want, "{name}");
        if want == 500 {
            let kind = response.extensions().get::<Rejection>().unwrap().kind();
            assert_eq!(kind, RejectionKind::Misordered, "{name}");
        }
    }
    assert_eq!((workspace.len(), app.len()), (1, 0), "L824 no log named after nothing");
}

fn boxed<S>(service: S) -> Service
where
    S: tower::Service<Request<()>, Response = Response<()>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
{
    BoxCloneService::new(service)
}
