//! Each layer refuses what it must, in its order, and asks no store that it need not ask.

#![expect(clippy::unwrap_used, reason = "a test may stop at what cannot be")]

mod support;

use std::convert::Infallible;
use std::future::Future;

use http_body_util::Full;
use support::scripted::{Counting, Mood, Scripted};
use support::world::{World, account, app, external, get, read, token, workspace};
use tower::util::BoxCloneService;
use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_bearer::id::{AccountId, ServiceId, TokenId};
use tower_bearer::scope::ScopeSet;
use tower_bearer::stack::{
    AccessModes, AppAuthz, AppPolicy, AppResolver, BearerCheck, BearerStack, CallerMount, Decision,
    Finder, RenderRejections, ScopeCheck, WorkspaceMembershipCheck,
};
use tower_bearer::store::{
    AccessMode, AccountStatus, AppRecord, Membership, TokenRecord, WorkspaceStatus,
};
use tower_bearer::subject::Subject;
use tower_bearer::token::Digest;
use tower_bearer::{AuthContext, Evidence};

type Request = http::Request<Full<bytes::Bytes>>;
type Response = http::Response<Full<bytes::Bytes>>;
type Service = BoxCloneService<Request, Response, Infallible>;

/// All checks of an app route that are built on stores, around a service that counts.
fn app_route(world: &World, scope: &str) -> (Service, Counting) {
    let (auth, store, inner) = (&world.auth, &world.store, Counting::default());
    let stack = BearerStack::new(BearerCheck::new(auth))
        .require_scopes([scope])
        .unwrap()
        .resolve_app(AppResolver::new(auth, store.clone(), Finder::path("/apps/{app}").unwrap()))
        .require_membership_or_external(
            WorkspaceMembershipCheck::new(auth, store.clone()).exempt_external(),
        )
        .authorize_app(AppAuthz::new(auth, AccessModes::new(auth, store.clone())))
        .mount_caller(CallerMount::new(auth, store.clone()));
    (BoxCloneService::new(stack.layer(inner.clone())), inner)
}

async fn ask(service: &Service, path: &str, token: Option<&str>) -> (u16, String, String) {
    read(service.clone().oneshot(get(path, token)).await.unwrap()).await
}

/// Two workspaces with an app of each mode in the first, and the tokens of the demo's seed in short.
fn seeded() -> (World, Vec<(&'static str, String)>) {
    let world = World::new();
    for (id, mode) in [
        ("app-public", "public"),
        ("app-sso", "sso_verified"),
        ("app-members", "private_all"),
        ("app-picked", "private"),
        ("app-vault", "private"),
        ("app-odd", "later"),
    ] {
        world.app(id, "ws-north", mode);
    }
    world.app("app-south", "ws-south", "public");
    let off = AppRecord::new(app("app-off"), workspace("ws-north"), AccessMode::PrivateAll);
    world.store.apps.put(app("app-off"), off.with_enabled(false));
    let gone = AppRecord::new(app("app-gone"), workspace("ws-old"), AccessMode::Public);
    world.store.apps.put(app("app-gone"), gone.with_workspace_status(WorkspaceStatus::Archived));
    world.member("acc-member", "ws-north");
    world.member("acc-outsider", "ws-south");
    let member = AccountId::new("acc-member").unwrap();
    world.store.permits.put((app("app-picked"), member), ());
    let suspended = (AccountId::new("acc-suspended").unwrap(), workspace("ws-north"));
    let row = Membership::new("viewer").with_account_status(AccountStatus::Suspended);
    world.store.members.put(suspended, row);
    let guest = external("guest-1");
    let who = support::scripted::Who("guest".into());
    world.store.callers.put(guest.key().as_str().to_owned(), who);
    let mut tokens = Vec::new();
    for (n, name, subject, scopes) in [
        (1, "member", account("acc-member"), "full"),
        (2, "reader", account("acc-member"), "apps:read"),
        (3, "outsider", account("acc-outsider"), "full"),
        (4, "suspended", account("acc-suspended"), "full"),
    ] {
        let text = token("tst_", n);
        world.token(&text, subject, scopes);
        tokens.push((name, text));
    }
    let text = token("ext_", 5);
    world.token(&text, guest, "");
    tokens.push(("guest", text));
    (world, tokens)
}

fn named<'t>(tokens: &'t [(&str, String)], name: &str) -> Option<&'t str> {
    tokens.iter().find(|(known, _)| *known == name).map(|(_, text)| text.as_str())
}

#[tokio::test]
async fn an_app_route_answers_as_the_table_says() {
    let (world, tokens) = seeded();
    let (service, _) = app_route(&world, "apps:run");
    for (row, path, who, want) in [
        ("P865 member", "/apps/app-public/run", "member", "200"),
        ("P866 member", "/apps/app-sso/run", "member", "200"),
        ("P867 member", "/apps/app-members/run", "member", "200"),
        ("P868 picked", "/apps/app-picked/run", "member", "200"),
        ("P892 not picked", "/apps/app-vault/run", "member", "403 app_access_denied"),
        ("P892 unknown mode", "/apps/app-odd/run", "member", "403 app_access_denied"),
        ("P865 external", "/apps/app-public/run", "guest", "200"),
        ("P866 external", "/apps/app-sso/run", "guest", "200"),
        ("P867 external", "/apps/app-members/run", "guest", "403 app_access_denied"),
        ("P868 external", "/apps/app-picked/run", "guest", "403 app_access_denied"),
        ("P847 disabled, member", "/apps/app-off/run", "member", "403 app_disabled"),
        ("P847 disabled, exempt", "/apps/app-off/run", "guest", "403 app_disabled"),
        ("P847 disabled, stranger", "/apps/app-off/run", "outsider", "404 not_found"),
        ("P845 stranger", "/apps/app-public/run", "outsider", "404 not_found"),
        ("P853 suspended", "/apps/app-public/run", "suspended", "404 not_found"),
        ("P844 unknown app", "/apps/app-none/run", "member", "404 not_found"),
        ("P844 unknown app, external", "/apps/app-none/run", "guest", "404 not_found"),
        ("P844 archived workspace", "/apps/app-gone/run", "member", "404 not_found"),
        ("XG1 another workspace", "/apps/app-south/run", "member", "404 not_found"),
        ("P865 external, another workspace", "/apps/app-south/run", "guest", "200"),
        ("P803 scope before ids", "/apps/app-none/run", "reader", "403 insufficient_scope"),
        ("P886 one decoding", "/apps/app%2Dpublic/run", "member", "200"),
        ("P886 encoded slash", "/apps/app-public%2Frun", "member", "404 not_found"),
        ("P886 broken escape", "/apps/%zz/run", "member", "404 not_found"),
        ("XF3 dots", "/apps/../admin", "member", "404 not_found"),
        ("XF4 double", "/apps/%252e%252e%252f", "member", "404 not_found"),
        ("XF7 case", "/Apps/app-public", "member", "404 not_found"),
        ("P902 nothing", "/apps/app-public/run", "nobody", "401 missing_token"),
    ] {
        let (status, error, _) = ask(&service, path, named(&tokens, who)).await;
        let got = if error.is_empty() { status.to_string() } else { format!("{status} {error}") };
        assert_eq!(got, want, "{row}: {path} as {who}");
    }
}

#[tokio::test]
async fn hidden_and_missing_are_the_same_bytes_after_the_same_work() {
    let mut answers = Vec::new();
    for path in ["/apps/app-public", "/apps/app-none", "/apps/app-off", "/apps/app-gone"] {
        let (world, tokens) = seeded();
        let (service, inner) = app_route(&world, "apps:read");
        let response = service.oneshot(get(path, named(&tokens, "outsider"))).await.unwrap();
        let headers = format!("{:?}", response.headers());
        let body = read(response).await;
        let work =
            (world.store.apps.calls(), world.store.members.calls(), world.store.permits.calls());
        answers.push((path, (headers, body, work, inner.calls())));
    }
    let (_, first) = &answers[0];
    assert_eq!((first.2, first.3), ((1, 1, 0), 0), "P887 2 look-ups");
    for (path, answer) in &answers {
        assert_eq!(answer, first, "P887 {path}");
    }
}

#[tokio::test]
async fn ids_that_cannot_be_cost_nothing() {
    let (world, tokens) = seeded();
    let (service, _) = app_route(&world, "apps:read");
    for path in ["/apps/a%2fb", "/apps/a%5cb", "/apps/a;x=1", "/apps/a%00", "/apps/", "/apps", "/"]
    {
        let (status, ..) = ask(&service, path, named(&tokens, "member")).await;
        assert_eq!((status, world.store.apps.calls()), (404, 0), "P844 XF3 {path}");
    }
    let long = format!("/apps/{}", "a".repeat(64));
    assert_eq!(ask(&service, &long, named(&tokens, "member")).await.0, 404);
    assert_eq!(world.store.apps.calls(), 1, "P886 64 letters are an id");
}

#[tokio::test]
async fn a_refusal_asks_no_store_of_a_later_step() {
    for (row, path, who, want) in [
        ("P897 scope", "/apps/app-public", "reader", (403, 0, 0, 0, 0)),
        ("P897 app", "/apps/%zz", "member", (404, 0, 0, 0, 0)),
        ("P897 membership", "/apps/app-public", "outsider", (404, 1, 1, 0, 0)),
        ("P888 suspended", "/apps/app-picked", "suspended", (404, 1, 1, 0, 0)),
        ("P894 P897 access", "/apps/app-vault", "member", (403, 1, 1, 1, 0)),
        ("P894 disabled, external", "/apps/app-off", "guest", (403, 1, 0, 0, 0)),
        ("P894 access, external", "/apps/app-members", "guest", (403, 1, 0, 0, 0)),
        (
            "P868 the store is not asked about externals",
            "/apps/app-picked",
            "guest",
            (403, 1, 0, 0, 0),
        ),
        ("P891 nor about open apps", "/apps/app-public", "member", (200, 1, 1, 0, 1)),
    ] {
        let (world, tokens) = seeded();
        let (service, inner) = app_route(&world, "apps:run");
        let (status, ..) = ask(&service, path, named(&tokens, who)).await;
        let Scripted { apps, members, permits, callers, .. } = &world.store;
        let got = (status, apps.calls(), members.calls(), permits.calls(), callers.calls());
        assert_eq!(got, want, "{row}");
        assert_eq!(inner.calls(), usize::from(status == 200), "{row}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_store_that_cannot_say_is_503() {
    for mood in [Mood::Fail, Mood::Hang, Mood::Panic] {
        for port in ["tokens", "apps", "members", "permits", "callers"] {
            let (world, tokens) = seeded();
            let (service, inner) = app_route(&world, "apps:run");
            match port {
                "tokens" => world.store.tokens.set(mood),
                "apps" => world.store.apps.set(mood),
                "members" => world.store.members.set(mood),
                "permits" => world.store.permits.set(mood),
                _ => world.store.callers.set(mood),
            }
            let member = named(&tokens, "member");
            let response =
                service.clone().oneshot(get("/apps/app-picked/run", member)).await.unwrap();
            assert_eq!(response.headers()["retry-after"], "1", "P938 {port} {mood:?}");
            let (status, error, body) = read(response).await;
            assert_eq!(
                (status, error.as_str()),
                (503, "temporarily_unavailable"),
                "P661 {port} {mood:?}"
            );
            assert!(!body.contains("hunter2") && inner.calls() == 0, "P960 {port} {mood:?}");
            world.store.tokens.set(Mood::Answer);
            world.store.apps.set(Mood::Answer);
            world.store.members.set(Mood::Answer);
            world.store.permits.set(Mood::Answer);
            world.store.callers.set(Mood::Answer);
            assert_eq!(
                ask(&service, "/apps/app-picked/run", member).await.0,
                200,
                "P661 {port} {mood:?} next"
            );
        }
    }
}

#[tokio::test]
async fn a_bound_token_counts_in_its_workspace_alone() {
    let (world, _) = seeded();
    world.member("acc-member", "ws-south");
    let put = |n, subject: Subject, bound: &str, serial| {
        let prefix = if matches!(subject, Subject::External { .. }) { "ext_" } else { "tst_" };
        let text = token(prefix, n);
        let id = TokenId::new(format!("bound-{n}")).unwrap();
        let kind = subject.subject_type().as_str();
        let ends = world.now().saturating_add(std::time::Duration::from_secs(60));
        let mut record = TokenRecord::new(id, kind, subject, ends).with_serial(serial);
        record = record.with_scopes(ScopeSet::parse("full"));
        if !bound.is_empty() {
            record = record.with_workspace(workspace(bound));
        }
        world.store.tokens.put(Digest::of(&text), record);
        text
    };
    let floor = AppRecord::new(app("app-floor"), workspace("ws-north"), AccessMode::Public);
    world.store.apps.put(app("app-floor"), floor.with_token_floor(10));
    let (service, _) = app_route(&world, "apps:run");
    for (row, path, text, want, members) in [
        (
            "XG2 bound here",
            "/apps/app-public",
            put(11, account("acc-member"), "ws-north", 9),
            200,
            1,
        ),
        (
            "P889 bound elsewhere",
            "/apps/app-south",
            put(12, account("acc-member"), "ws-north", 9),
            404,
            0,
        ),
        (
            "P852 external bound elsewhere",
            "/apps/app-south",
            put(13, external("guest-1"), "ws-north", 9),
            404,
            0,
        ),
        (
            "P852 external bound here",
            "/apps/app-public",
            put(14, external("guest-1"), "ws-north", 9),
            200,
            0,
        ),
        ("P852 below the floor", "/apps/app-floor", put(15, account("acc-member"), "", 9), 404, 0),
        (
            "P852 external below the floor",
            "/apps/app-floor",
            put(16, external("guest-1"), "", 9),
            404,
            0,
        ),
        ("P852 at the floor", "/apps/app-floor", put(17, account("acc-member"), "", 10), 200, 0),
    ] {
        let before = world.store.members.calls();
        assert_eq!(ask(&service, path, Some(&text)).await.0, want, "{row}");
        assert_eq!(world.store.members.calls() - before, members, "{row}: membership store");
    }
}

#[tokio::test]
async fn reveal_tells_strangers_apart_but_hides_unknown_apps() {
    let (world, tokens) = seeded();
    let (auth, store) = (&world.auth, &world.store);
    let service = BearerStack::new(BearerCheck::new(auth))
        .resolve_app(AppResolver::new(auth, store.clone(), Finder::path("/apps/{app}").unwrap()))
        .require_membership(WorkspaceMembershipCheck::new(auth, store.clone()).reveal())
        .layer(Counting::default());
    for (row, path, who, want) in [
        ("P851 stranger", "/apps/app-public", "outsider", "403 workspace_membership_required"),
        (
            "P856 external, not exempt",
            "/apps/app-public",
            "guest",
            "403 workspace_membership_required",
        ),
        ("P851 unknown app", "/apps/app-none", "outsider", "404 not_found"),
        (
            "P847 disabled, stranger",
            "/apps/app-off",
            "outsider",
            "403 workspace_membership_required",
        ),
        ("P847 disabled, member", "/apps/app-off", "member", "403 app_disabled"),
    ] {
        let response = service.clone().oneshot(get(path, named(&tokens, who))).await.unwrap();
        let (status, error, _) = read(response).await;
        assert_eq!(format!("{status} {error}"), want, "{row}");
    }
}

#[tokio::test]
async fn a_workspace_in_the_path_is_judged_by_its_members() {
    let (world, tokens) = seeded();
    let check = WorkspaceMembershipCheck::new(&world.auth, world.store.clone());
    let service = BearerStack::new(BearerCheck::new(&world.auth))
        .require_membership_in(
            check.in_request(Finder::path("/workspaces/{workspace}/apps").unwrap()),
        )
        .layer(tower::service_fn(|request: Request| async move {
            let context = AuthContext::of(request.extensions()).unwrap();
            assert!(context.evidence().contains(Evidence::MEMBER));
            let body = context.workspace().unwrap().to_string();
            Ok::<Response, Infallible>(http::Response::new(Full::from(body)))
        }));
    for (row, path, who, want) in [
        ("P858 member", "/workspaces/ws-north/apps", "member", "200 "),
        ("P858 stranger", "/workspaces/ws-south/apps", "member", "404 not_found"),
        ("P858 unknown", "/workspaces/ws-none/apps", "member", "404 not_found"),
        ("P858 external", "/workspaces/ws-north/apps", "guest", "404 not_found"),
        ("P858 bad id", "/workspaces/%2e%2e/apps", "member", "404 not_found"),
    ] {
        let response = service.clone().oneshot(get(path, named(&tokens, who))).await.unwrap();
        let (status, error, body) = read(response).await;
        assert_eq!(format!("{status} {error}"), want, "{row}");
        assert!(status != 200 || body == "ws-north", "{row}");
    }
}

#[tokio::test]
async fn kinds_are_judged_after_validity() {
    let (world, tokens) = seeded();
    let check = BearerCheck::new(&world.auth).accept(["account"]).unwrap();
    let service =
        BearerStack::new(check).require_scopes(["nope"]).unwrap().layer(Counting::default());
    let junk = token("ext_", 999);
    for (row, text, want) in [
        ("P882 wrong kind before scope", named(&tokens, "guest"), "403 unsupported_token_type"),
        ("P883 invalid of a wrong kind", Some(junk.as_str()), "401 invalid_token"),
        ("P803 right kind", named(&tokens, "reader"), "403 insufficient_scope"),
    ] {
        let (status, error, body) =
            read(service.clone().oneshot(get("/", text)).await.unwrap()).await;
        assert_eq!(format!("{status} {error}"), want, "{row}");
        assert!(
            status != 403
                || error != "unsupported_token_type"
                || body.contains(r#""accepted_kinds":["account"]"#),
            "P958"
        );
    }
    assert!(BearerCheck::new(&world.auth).accept(["nobody"]).is_err(), "P821");
    assert!(BearerCheck::new(&world.auth).accept(Vec::<String>::new()).is_err(), "P815");
}

#[tokio::test]
async fn optional_lets_nobody_in_with_a_bad_credential() {
    let (world, tokens) = seeded();
    let (auth, store) = (&world.auth, &world.store);
    let optional = || BearerStack::new(BearerCheck::new(auth).optional());
    let open = BoxCloneService::new(optional().layer(Counting::default()));
    let basic = |service: &Service| {
        let mut request = get("/apps/app-public", None);
        request.headers_mut().insert("authorization", http::HeaderValue::from_static("Basic x"));
        service.clone().oneshot(request)
    };
    for (row, text, want) in [
        ("P884 nothing", None, 200),
        ("P884 unknown", Some(token("tst_", 404)), 401),
        ("P823 known", named(&tokens, "member").map(str::to_owned), 200),
    ] {
        let response = open.clone().oneshot(get("/", text.as_deref())).await.unwrap();
        assert_eq!(response.headers()["vary"], "authorization", "P825 {row}");
        assert_eq!(response.status(), want, "{row}");
    }
    assert_eq!(read(basic(&open).await.unwrap()).await.1, "missing_token", "P884 other scheme");
    let resolver = || AppResolver::new(auth, store.clone(), Finder::path("/apps/{app}").unwrap());
    let members = || WorkspaceMembershipCheck::new(auth, store.clone());
    for (row, service, want) in [
        (
            "P824 scope",
            BoxCloneService::new(
                optional().require_scopes(["a"]).unwrap().layer(Counting::default()),
            ),
            401,
        ),
        (
            "P824 app",
            BoxCloneService::new(optional().resolve_app(resolver()).layer(Counting::default())),
            200,
        ),
        (
            "P824 membership",
            BoxCloneService::new(
                optional()
                    .resolve_app(resolver())
                    .require_membership(members())
                    .layer(Counting::default()),
            ),
            401,
        ),
        (
            "P824 caller",
            BoxCloneService::new(
                optional()
                    .mount_caller(CallerMount::new(auth, store.clone()))
                    .layer(Counting::default()),
            ),
            401,
        ),
        (
            "P875 caller, allowed",
            BoxCloneService::new(
                optional()
                    .mount_caller(CallerMount::new(auth, store.clone()).allow_anonymous())
                    .layer(Counting::default()),
            ),
            200,
        ),
    ] {
        assert_eq!(ask(&service, "/apps/app-public", None).await.0, want, "{row}");
    }
    assert_eq!(store.members.calls(), 0, "P824 no store is asked for an anonymous caller");
}

#[tokio::test]
async fn a_second_check_reuses_the_first_and_judges_its_own_gate() {
    let (world, tokens) = seeded();
    let twice = ServiceBuilder::new()
        .layer(RenderRejections::new())
        .layer(BearerCheck::new(&world.auth))
        .layer(BearerCheck::new(&world.auth).accept(["external"]).unwrap())
        .service(Counting::default());
    let (status, error, _) =
        read(twice.clone().oneshot(get("/", named(&tokens, "member"))).await.unwrap()).await;
    assert_eq!((status, error.as_str()), (403, "unsupported_token_type"), "P813");
    assert_eq!(
        twice.oneshot(get("/", named(&tokens, "guest"))).await.unwrap().status(),
        200,
        "P813"
    );
    assert_eq!(world.store.tokens.calls(), 2, "P813 one look-up each");

    // another authenticator authenticates anew: what the first left does not count
    let other = World::new();
    let stranger = ServiceBuilder::new()
        .layer(BearerCheck::new(&world.auth))
        .layer(ScopeCheck::all(["apps:run"]).unwrap())
        .layer(BearerCheck::new(&other.auth))
        .service(Counting::default());
    let response = stranger.oneshot(get("/", named(&tokens, "member"))).await.unwrap();
    assert_eq!((response.status().as_u16(), other.store.tokens.calls()), (401, 1), "P813");
}

struct Says(Result<Decision, &'static str>);

#[derive(Debug, thiserror::Error)]
#[error("policy engine is out")]
struct PolicyOut;

impl AppPolicy for Says {
    type Error = PolicyOut;

    fn decide(
        &self,
        _context: &AuthContext,
        _app: &AppRecord,
        _membership: Option<&Membership>,
    ) -> impl Future<Output = Result<Decision, PolicyOut>> + Send {
        let answer = self.0;
        async move {
            match answer {
                Ok(decision) => Ok(decision),
                Err("hangs") => std::future::pending().await,
                Err(_) => Err(PolicyOut),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn own_policies_are_asked_in_order_and_an_unsure_one_is_503() {
    let (world, tokens) = seeded();
    let (auth, store) = (&world.auth, &world.store);
    let with = |authz: AppAuthz| {
        let inner = Counting::default();
        let stack = BearerStack::new(BearerCheck::new(auth))
            .resolve_app(AppResolver::new(
                auth,
                store.clone(),
                Finder::path("/apps/{app}").unwrap(),
            ))
            .require_membership(WorkspaceMembershipCheck::new(auth, store.clone()))
            .authorize_app(authz);
        (stack.layer(inner.clone()), inner)
    };
    let policy = |says| AppAuthz::new(auth, Says(says));
    for (row, authz, want) in [
        ("P862 allow", policy(Ok(Decision::Allow)), "200 "),
        ("P862 deny", policy(Ok(Decision::Deny)), "403 app_access_denied"),
        ("P893 indeterminate", policy(Ok(Decision::Indeterminate)), "503 temporarily_unavailable"),
        ("P862 error", policy(Err("fails")), "503 temporarily_unavailable"),
        ("P862 250 ms", policy(Err("hangs")), "503 temporarily_unavailable"),
        (
            "P863 the first that does not allow answers",
            policy(Ok(Decision::Allow))
                .and(Says(Ok(Decision::Deny)))
                .and(Says(Ok(Decision::Indeterminate))),
            "403 app_access_denied",
        ),
        (
            "P863 the built-in one first",
            AppAuthz::new(auth, AccessModes::new(auth, store.clone()))
                .and(Says(Ok(Decision::Deny))),
            "403 app_access_denied",
        ),
    ] {
        let (service, inner) = with(authz);
        let response =
            service.oneshot(get("/apps/app-public", named(&tokens, "member"))).await.unwrap();
        let (status, error, _) = read(response).await;
        assert_eq!(format!("{status} {error}"), want, "{row}");
        assert_eq!(inner.calls(), usize::from(status == 200), "{row}");
    }
}

#[tokio::test]
async fn services_count_where_they_are_bound() {
    use tower_bearer::subject::SubjectType;
    use tower_bearer::token::{TokenKind, TokenKinds};
    let store = Scripted::default();
    let service_kind =
        TokenKind::new("service").prefix("svc_").subject(SubjectType::Service).fixed(["apps:run"]);
    let kinds = TokenKinds::builder().kind(service_kind).build().unwrap();
    let auth = tower_bearer::Authenticator::builder(kinds, store.clone()).build().unwrap();
    let route = BearerStack::new(BearerCheck::new(&auth))
        .resolve_app(AppResolver::new(&auth, store.clone(), Finder::path("/apps/{app}").unwrap()))
        .require_membership(WorkspaceMembershipCheck::new(&auth, store.clone()))
        .authorize_app(AppAuthz::new(&auth, AccessModes::new(&auth, store.clone())))
        .layer(Counting::default());
    for (id, mode) in [("app-all", "private_all"), ("app-one", "private")] {
        store.apps.put(
            app(id),
            AppRecord::new(app(id), workspace("ws-north"), AccessMode::from_word(mode)),
        );
    }
    let far = tower_bearer::clock::Timestamp::from_secs(4_000_000_000);
    for (n, bound) in [(1, Some("ws-north")), (2, Some("ws-south")), (3, None)] {
        let subject = Subject::Service { id: ServiceId::new("robot").unwrap() };
        let mut record =
            TokenRecord::new(TokenId::new(format!("s{n}")).unwrap(), "service", subject, far);
        if let Some(bound) = bound {
            record = record.with_workspace(workspace(bound));
        }
        store.tokens.put(Digest::of(&token("svc_", n)), record);
    }
    for (row, n, path, want) in [
        ("P855 bound here", 1, "/apps/app-all", 200),
        ("P868 private", 1, "/apps/app-one", 403),
        ("P855 bound elsewhere", 2, "/apps/app-all", 404),
        ("P406 not bound", 3, "/apps/app-all", 404),
    ] {
        let response = route.clone().oneshot(get(path, Some(&token("svc_", n)))).await.unwrap();
        assert_eq!(response.status(), want, "{row}");
    }
    assert_eq!((store.members.calls(), store.permits.calls()), (0, 0), "P855 no store is asked");
}
