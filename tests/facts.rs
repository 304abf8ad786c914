//! Whatever was seen before, each request is judged by its own caller, its own target and today's facts.

#![expect(clippy::unwrap_used, reason = "a test may stop at what cannot be")]

#[path = "support/eight.rs"]
mod eight;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use eight::{Request, Response, Service, inner};
use http::Method;
use http_body_util::Full;
use support::scripted::{Counting, Who};
use support::world::{World, account, app, get, token, workspace};
use tower::{Layer, ServiceExt, service_fn};
use tower_bearer::AuthContext;
use tower_bearer::id::{AccountId, TokenId};
use tower_bearer::scope::ScopeSet;
use tower_bearer::stack::{
    AccessModes, AppAuthz, AppResolver, BearerCheck, BearerStack, CallerMount, Finder, ScopeCheck,
    WorkspaceMembershipCheck,
};
use tower_bearer::store::{
    AccessMode, AccountStatus, AppRecord, Membership, TokenRecord, WorkspaceStatus,
};
use tower_bearer::token::Digest;

const SECOND: Duration = Duration::from_secs(1);

/// The checks of an app route around `inner`.
fn route(world: &World, scope: &str, inner: Service) -> Service {
    let (auth, store) = (&world.auth, &world.store);
    let find = Finder::path("/apps/{app}").unwrap();
    let stack = BearerStack::new(BearerCheck::new(auth))
        .require(ScopeCheck::all([scope]).unwrap())
        .resolve_app(AppResolver::new(auth, store.clone(), find))
        .require_membership(WorkspaceMembershipCheck::new(auth, store.clone()))
        .authorize_app(AppAuthz::new(auth, AccessModes::new(auth, store.clone())))
        .mount_caller(CallerMount::new(auth, store.clone()));
    Service::new(stack.layer(inner))
}

fn scoped(world: &World, scope: &str) -> Service {
    let stack = BearerStack::new(BearerCheck::new(&world.auth));
    Service::new(
        stack.require(ScopeCheck::all([scope]).unwrap()).layer(inner(&Counting::default())),
    )
}

async fn told(service: &Service, request: Request) -> u16 {
    service.clone().oneshot(request).await.unwrap().status().as_u16()
}

/// `acc-1` with token 1, a member of `ws-1`, which has the apps `app-1` and `app-2`; `ws-2` has `app-9`.
fn seeded() -> (World, String) {
    let world = World::new();
    let text = token("tst_", 1);
    world.token(&text, account("acc-1"), "full");
    world.member("acc-1", "ws-1");
    world.app("app-1", "ws-1", "private_all");
    world.app("app-2", "ws-1", "private");
    world.app("app-9", "ws-2", "private_all");
    (world, text)
}

#[tokio::test]
async fn what_one_route_learned_decides_nothing_on_another() {
    let (world, _) = seeded();
    let text = token("tst_", 2);
    world.token(&text, account("acc-1"), "apps:read");
    let (a, b) = (scoped(&world, "apps:read"), scoped(&world, "apps:run"));
    for _ in 0..3 {
        assert_eq!(told(&a, get("/", Some(&text))).await, 200, "XD1 route A");
        assert_eq!(told(&b, get("/", Some(&text))).await, 403, "XD1 route B, on a hit");
    }
    assert_eq!(world.store.tokens.calls(), 1, "XD1 one load");

    let (world, text) = seeded();
    let service = route(&world, "apps:run", inner(&Counting::default()));
    for round in 0..2 {
        for (path, want) in [("/apps/app-1", 200), ("/apps/app-2", 403), ("/apps/app-9", 404)] {
            for method in [Method::GET, Method::POST, Method::DELETE] {
                let mut request = get(path, Some(&text));
                *request.method_mut() = method.clone();
                let got = told(&service, request).await;
                assert_eq!(got, want, "XD9 {method} {path}, round {round}");
            }
        }
    }
    // the pick is made: what was denied is allowed, and what was allowed stays so
    world.store.permits.put((app("app-2"), AccountId::new("acc-1").unwrap()), ());
    world.auth.forget_permit(&app("app-2"), &AccountId::new("acc-1").unwrap());
    assert_eq!(told(&service, get("/apps/app-2", Some(&text))).await, 200, "XD9 after a deny");
    assert_eq!(told(&service, get("/apps/app-1", Some(&text))).await, 200, "XD9");
    // the pairs are asked one by one
    world.member("acc-1", "ws-2");
    world.auth.forget_member(&workspace("ws-2"), &AccountId::new("acc-1").unwrap());
    let calls = world.store.members.calls();
    assert_eq!(told(&service, get("/apps/app-9", Some(&text))).await, 200, "XG3");
    assert_eq!(world.store.members.calls(), calls + 1, "XG3 the other workspace is asked for");
}

#[tokio::test]
async fn a_token_ends_at_its_time_and_a_fact_at_its_own() {
    let (world, _) = seeded();
    let service = scoped(&world, "apps:run");
    let text = token("tst_", 3);
    world.token_for(&text, account("acc-1"), "full", 20 * SECOND);
    world.clock.advance(19 * SECOND);
    assert_eq!(told(&service, get("/", Some(&text))).await, 200, "XD4 cached at expiry - 1 s");
    world.clock.advance(Duration::from_millis(999));
    assert_eq!(told(&service, get("/", Some(&text))).await, 200, "XD4 one millisecond before");
    let calls = world.store.tokens.calls();
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(told(&service, get("/", Some(&text))).await, 401, "XD4 at the expiry");
    assert_eq!(world.store.tokens.calls(), calls, "XD4 nobody was asked");

    let text = token("tst_", 4);
    let digest = world.token(&text, account("acc-1"), "full");
    assert_eq!(told(&service, get("/", Some(&text))).await, 200);
    let id = TokenId::new("tok-4").unwrap();
    let ends = world.now().saturating_add(3_600 * SECOND);
    let revoked = TokenRecord::new(id, "account", account("acc-1"), ends).with_revoked();
    world.store.tokens.put(digest, revoked);
    let mut lasted = 0;
    for second in 1..=60 {
        world.clock.advance(SECOND);
        if told(&service, get("/", Some(&text))).await == 200 {
            lasted = second;
        }
    }
    assert_eq!(
        lasted, 29,
        "XD5 revoked elsewhere: one life after the fill, however much it is used"
    );
}

#[tokio::test]
async fn scopes_come_and_go_within_one_life() {
    for (name, before, after) in [
        ("XD11 added", "apps:read", "apps:read apps:run"),
        ("XD11 removed", "apps:run", "apps:read"),
    ] {
        let (world, _) = seeded();
        let service = scoped(&world, "apps:run");
        let text = token("tst_", 5);
        world.token(&text, account("acc-1"), before);
        let want = |scopes: &str| if scopes.contains("run") { 200 } else { 403 };
        assert_eq!(told(&service, get("/", Some(&text))).await, want(before), "{name}");
        world.token(&text, account("acc-1"), after);
        world.clock.advance(Duration::from_millis(29_999));
        assert_eq!(told(&service, get("/", Some(&text))).await, want(before), "{name} in its life");
        world.clock.advance(Duration::from_millis(1));
        assert_eq!(told(&service, get("/", Some(&text))).await, want(after), "{name} after it");
    }
}

#[tokio::test]
async fn scopes_are_compared_whole_on_every_method() {
    for (name, carries, required, want) in [
        ("XE1 less than needed", "apps:read", "apps:readwrite", 403),
        ("XE1 more is another", "apps:readwrite", "apps:read", 403),
        ("XE2 a prefix before", "xapps:read", "apps:read", 403),
        ("XE2 a digit behind", "apps:read2", "apps:read", 403),
        ("XE2 a part behind", "apps:read:x", "apps:read", 403),
        ("XE2 the first half", "apps", "apps:read", 403),
        ("XE3 a comma joins", "apps:read,apps:run", "apps:read", 403),
        ("XE3 a tab separates nothing", "apps:run\tapps:read", "apps:read", 403),
        ("XE3 a no-break space separates nothing", "apps:run\u{a0}apps:read", "apps:read", 403),
        ("XE3 blanks vanish", "  apps:run  apps:read ", "apps:read", 200),
        ("XE4 none", "", "apps:read", 403),
        ("XE5 case", "Apps:Read", "apps:read", 403),
        ("XE1 the scope itself", "apps:read", "apps:read", 200),
        ("P417 a declared order", "apps:manage", "apps:read", 200),
        ("P417 and not back", "apps:read", "apps:manage", 403),
    ] {
        let (world, _) = seeded();
        let text = token("tst_", 6);
        world.token(&text, account("acc-1"), carries);
        let service = scoped(&world, required);
        for method in [Method::GET, Method::HEAD, Method::POST, Method::OPTIONS] {
            let mut request = get("/", Some(&text));
            *request.method_mut() = method.clone();
            let response = service.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status().as_u16(), want, "XE6 {name} {method}");
            if want == 403 {
                let challenge = response.headers()["www-authenticate"].to_str().unwrap();
                assert!(challenge.contains("insufficient_scope"), "{name}: {challenge}");
                assert!(
                    challenge.contains(&format!("scope=\"{required}\"")),
                    "{name}: {challenge}"
                );
            }
        }
    }
}

/// A change at the source, the notice of it, and what the next request is told.
type Change = (&'static str, fn(&World), fn(&World), u16);

const CHANGES: &[Change] = &[
    (
        "XG4 member removed",
        |world| {
            world.store.members.remove(&(acc(), workspace("ws-1")));
        },
        |world| world.auth.member_removed(&workspace("ws-1"), &acc(), "editor"),
        404,
    ),
    (
        "XG4 member removed, forgotten",
        |world| {
            world.store.members.remove(&(acc(), workspace("ws-1")));
        },
        |world| world.auth.forget_member(&workspace("ws-1"), &acc()),
        404,
    ),
    (
        "XG5 account suspended",
        |world| {
            let row = Membership::new("editor").with_account_status(AccountStatus::Suspended);
            world.store.members.put((acc(), workspace("ws-1")), row);
        },
        |world| world.auth.account_changed(&acc(), "status", "active", "suspended"),
        404,
    ),
    (
        "XG5 account suspended, forgotten",
        |world| {
            let row = Membership::new("editor").with_account_status(AccountStatus::Suspended);
            world.store.members.put((acc(), workspace("ws-1")), row);
        },
        |world| world.auth.forget_account(&acc()),
        404,
    ),
    (
        "XG5 workspace archived",
        |world| {
            let old = AppRecord::new(app("app-1"), workspace("ws-1"), AccessMode::PrivateAll);
            world
                .store
                .apps
                .put(app("app-1"), old.with_workspace_status(WorkspaceStatus::Archived));
        },
        |world| world.auth.workspace_changed(&workspace("ws-1"), "status", "active", "archived"),
        404,
    ),
    (
        "XG5 workspace archived, forgotten",
        |world| {
            let old = AppRecord::new(app("app-1"), workspace("ws-1"), AccessMode::PrivateAll);
            world
                .store
                .apps
                .put(app("app-1"), old.with_workspace_status(WorkspaceStatus::Archived));
        },
        |world| world.auth.forget_workspace(&workspace("ws-1")),
        404,
    ),
    (
        "XG5 app disabled",
        |world| {
            let off = AppRecord::new(app("app-1"), workspace("ws-1"), AccessMode::PrivateAll);
            world.store.apps.put(app("app-1"), off.with_enabled(false));
        },
        |world| world.auth.app_changed(&app("app-1"), "enabled", "true", "false"),
        403,
    ),
    (
        "XG5 app disabled, forgotten",
        |world| {
            let off = AppRecord::new(app("app-1"), workspace("ws-1"), AccessMode::PrivateAll);
            world.store.apps.put(app("app-1"), off.with_enabled(false));
        },
        |world| world.auth.forget_app(&app("app-1")),
        403,
    ),
    (
        "XG5 app closed to all but the picked",
        |world| world.app("app-1", "ws-1", "private"),
        |world| world.auth.app_changed(&app("app-1"), "access_mode", "private_all", "private"),
        403,
    ),
    (
        "XG5 caller gone",
        |world| world.store.callers.remove(&"account:acc-1".to_owned()),
        |world| world.auth.forget_caller(&account("acc-1")),
        401,
    ),
    (
        "XG5 all forgotten",
        |world| {
            world.store.members.remove(&(acc(), workspace("ws-1")));
        },
        |world| world.auth.forget_all(),
        404,
    ),
];

fn acc() -> AccountId {
    AccountId::new("acc-1").unwrap()
}

#[tokio::test]
async fn a_change_is_true_at_once_where_it_is_told_and_after_ten_seconds_elsewhere() {
    for (name, change, notice, want) in CHANGES {
        let (world, text) = seeded();
        let service = route(&world, "apps:run", inner(&Counting::default()));
        let ask = || get("/apps/app-1", Some(&text));
        assert_eq!(told(&service, ask()).await, 200, "{name}: warm");
        change(&world);
        assert_eq!(told(&service, ask()).await, 200, "{name}: not told");
        notice(&world);
        assert_eq!(told(&service, ask()).await, *want, "{name}: told");

        let (world, text) = seeded();
        let service = route(&world, "apps:run", inner(&Counting::default()));
        assert_eq!(told(&service, ask()).await, 200, "{name}: warm");
        change(&world);
        world.clock.advance(10 * SECOND - Duration::from_millis(1));
        assert_eq!(
            told(&service, get("/apps/app-1", Some(&text))).await,
            200,
            "{name}: in its life"
        );
        world.clock.advance(Duration::from_millis(1));
        let got = told(&service, get("/apps/app-1", Some(&text))).await;
        assert_eq!(got, *want, "{name}: not told, after 10 s");
    }
}

#[tokio::test]
async fn a_lower_role_is_seen_and_no_right_crosses_a_workspace() {
    let (world, text) = seeded();
    let roles = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&roles);
    let looks = service_fn(move |request: Request| {
        let context = AuthContext::of(request.extensions()).unwrap();
        let role = context.membership().unwrap().role().to_owned();
        let workspace = context.workspace().unwrap().as_str().to_owned();
        seen.lock().unwrap().push((role, workspace));
        std::future::ready(Ok(Response::new(Full::default())))
    });
    let service = route(&world, "apps:run", Service::new(looks));
    world.member("acc-1", "ws-2");
    assert_eq!(told(&service, get("/apps/app-1", Some(&text))).await, 200);
    world.store.members.put((acc(), workspace("ws-1")), Membership::new("viewer"));
    world.auth.forget_member(&workspace("ws-1"), &acc());
    assert_eq!(told(&service, get("/apps/app-1", Some(&text))).await, 200);
    assert_eq!(told(&service, get("/apps/app-9", Some(&text))).await, 200);
    let pair = |role: &str, of: &str| (role.to_owned(), of.to_owned());
    let want = [pair("editor", "ws-1"), pair("viewer", "ws-1"), pair("editor", "ws-2")];
    assert_eq!(*roles.lock().unwrap(), want, "XG5 role lowered; XG6 the resolved workspace counts");

    // every right there is, and the highest role, but bound to another workspace
    let bound = token("tst_", 8);
    let ends = world.now().saturating_add(3_600 * SECOND);
    let record =
        TokenRecord::new(TokenId::new("tok-8").unwrap(), "account", account("acc-1"), ends)
            .with_scopes(ScopeSet::parse("full apps:manage"))
            .with_workspace(workspace("ws-1"));
    world.store.tokens.put(Digest::of(&bound), record);
    world.store.members.put((acc(), workspace("ws-2")), Membership::new("admin"));
    world.auth.forget_all();
    assert_eq!(
        told(&service, get("/apps/app-1", Some(&bound))).await,
        200,
        "XG7 where it is bound"
    );
    let calls = world.store.members.calls();
    assert_eq!(told(&service, get("/apps/app-9", Some(&bound))).await, 404, "XG7 elsewhere");
    assert_eq!(world.store.members.calls(), calls, "XG7 no store was asked");
}

/// What an answer says about its request: caller, app, workspace, mounted caller.
type Told = (String, String, String, String);

/// Two users and two workspaces, interleaved by eight clients, while facts are forgotten underneath.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_crosses_to_another_caller() {
    const EACH: u64 = 12_500;
    let world = World::new();
    let stack = eight_steps(&world);
    for (n, id) in [(1, "acc-1"), (2, "acc-2")] {
        world.token(&token("tst_", n), account(id), "full");
        world.member(id, "ws-1");
        world.member(id, "ws-2");
        let picked = AccountId::new(id).unwrap();
        world.store.permits.put((app("app-1"), picked.clone()), ());
        world.store.permits.put((app("app-2"), picked), ());
    }
    world.app("app-1", "ws-1", "private");
    world.app("app-2", "ws-2", "private");
    let mixed = Arc::new(AtomicUsize::new(0));
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..8_u64 {
        let (stack, mixed, auth) = (stack.clone(), Arc::clone(&mixed), world.auth.clone());
        clients.spawn(async move {
            for n in 0..EACH {
                let (user, of) = ((n + client) % 2 + 1, (n / 2 + client / 2) % 2 + 1);
                let request = get(&format!("/apps/app-{of}"), Some(&token("tst_", user)));
                let response = stack.clone().oneshot(request).await.unwrap();
                let want: Told = (
                    format!("acc-{user}"),
                    format!("app-{of}"),
                    format!("ws-{of}"),
                    format!("acc-{user}"),
                );
                let right = response.status() == 200 && response.extensions().get() == Some(&want);
                mixed.fetch_add(usize::from(!right), Ordering::Relaxed);
                if n % 500 == 0 && client == 0 {
                    auth.forget_all();
                }
            }
        });
    }
    clients.join_all().await;
    let mixed = mixed.load(Ordering::Relaxed);
    println!("mixed_subjects_of_{} {mixed}", 8 * EACH);
    assert_eq!(mixed, 0, "XD10");
}

/// The whole stack around a service that tells whom it was called for, by context, headers and extension.
fn eight_steps(world: &World) -> Service {
    use std::num::NonZeroU32;
    use tower_bearer::forward::{Field, ForwardOptions, Mode, Upstream};
    use tower_bearer::limit::{Limit, Limiter, Policy};
    use tower_bearer::stack::IdentityForward;
    let says = service_fn(|request: Request| {
        let context = AuthContext::of(request.extensions()).unwrap();
        let by_header = request.headers()["x-forwarded-user-id"].to_str().unwrap().to_owned();
        let told: Told = (
            by_header,
            context.app().unwrap().id().as_str().to_owned(),
            context.workspace().unwrap().as_str().to_owned(),
            request.extensions().get::<Who>().unwrap().0.clone(),
        );
        let mut response = Response::new(Full::default());
        response.extensions_mut().insert(told);
        std::future::ready(Ok(response))
    });
    let (auth, store) = (&world.auth, &world.store);
    let find = Finder::path("/apps/{app}").unwrap();
    let upstream = Upstream::new("mcp-main", "https://mcp.example.com/mcp").unwrap();
    let forward = ForwardOptions::new(upstream, Mode::Headers).fields([Field::Id]);
    // in shadow: counts every request and refuses none
    let limit = Limit::new(NonZeroU32::new(4_000).unwrap(), SECOND).unwrap();
    let limiter = Limiter::builder()
        .policy(Policy::per_token(limit))
        .mode(tower_bearer::limit::Mode::Shadow)
        .build()
        .unwrap();
    let stack = BearerStack::new(BearerCheck::new(auth))
        .rate_limit(limiter)
        .require(ScopeCheck::all(["apps:run"]).unwrap())
        .resolve_app(AppResolver::new(auth, store.clone(), find))
        .require_membership(WorkspaceMembershipCheck::new(auth, store.clone()))
        .authorize_app(AppAuthz::new(auth, AccessModes::new(auth, store.clone())))
        .mount_caller(CallerMount::new(auth, store.clone()))
        .forward_identity(IdentityForward::new(forward.build().unwrap()));
    eight::Bodies(stack).layer(Service::new(says))
}
