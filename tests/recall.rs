//! A warm request is served from one cache entry, and still hears at once of everything that was changed.

#![expect(clippy::unwrap_used, reason = "a test may stop at what cannot be")]

mod support;

use std::convert::Infallible;
use std::time::Duration;

use http_body_util::Full;
use support::scripted::Counting;
use support::world::{World, account, app, get, token, workspace};
use tower::util::BoxCloneService;
use tower::{Layer, ServiceExt};
use tower_bearer::id::AccountId;
use tower_bearer::stack::{
    AccessModes, AppAuthz, AppResolver, BearerCheck, BearerStack, CallerMount, Finder,
    WorkspaceMembershipCheck,
};
use tower_bearer::store::{AccessMode, AppRecord};

type Service = BoxCloneService<
    http::Request<Full<bytes::Bytes>>,
    http::Response<Full<bytes::Bytes>>,
    Infallible,
>;

fn world() -> (World, String, Service) {
    let world = World::with(|builder| {
        builder.positive_ttl(Duration::from_secs(300)).tombstone_life(Duration::from_secs(600))
    });
    let text = token("tst_", 1);
    world.token(&text, account("acc-1"), "full");
    world.app("app-1", "ws-1", "public");
    world.app("app-2", "ws-2", "private_all");
    world.member("acc-1", "ws-1");
    world.member("acc-1", "ws-2");
    let (auth, store) = (&world.auth, &world.store);
    let stack = BearerStack::new(BearerCheck::new(auth))
        .resolve_app(AppResolver::new(auth, store.clone(), Finder::path("/apps/{app}").unwrap()))
        .require_membership(WorkspaceMembershipCheck::new(auth, store.clone()))
        .authorize_app(AppAuthz::new(auth, AccessModes::new(auth, store.clone())))
        .mount_caller(CallerMount::new(auth, store.clone()));
    let service = BoxCloneService::new(stack.layer(Counting::default()));
    (world, text, service)
}

async fn status(service: &Service, path: &str, text: &str) -> u16 {
    service.clone().oneshot(get(path, Some(text))).await.unwrap().status().as_u16()
}

/// Three requests: the first loads, the second reads each cache, the third recalls.
async fn warm(service: &Service, text: &str) {
    for _ in 0..3 {
        assert_eq!(status(service, "/apps/app-1", text).await, 200);
    }
}

#[tokio::test]
async fn what_is_forgotten_is_not_recalled() {
    let acc = || AccountId::new("acc-1").unwrap();
    let disabled =
        || AppRecord::new(app("app-1"), workspace("ws-1"), AccessMode::Public).with_enabled(false);
    type Change = Box<dyn Fn(&World)>;
    let rows: [(&str, Change, u16); 6] = [
        (
            "P648 app disabled",
            Box::new(move |world| {
                world.store.apps.put(app("app-1"), disabled());
                world.auth.forget_app(&app("app-1"));
            }),
            403,
        ),
        (
            "P648 member removed",
            Box::new(move |world| {
                world.store.members.remove(&(acc(), workspace("ws-1")));
                world.auth.forget_member(&workspace("ws-1"), &acc());
            }),
            404,
        ),
        (
            "P648 account",
            Box::new(move |world| {
                world.store.members.remove(&(acc(), workspace("ws-1")));
                world.auth.forget_account(&acc());
            }),
            404,
        ),
        (
            "P648 workspace",
            Box::new(move |world| {
                world.store.apps.remove(&app("app-1"));
                world.auth.forget_workspace(&workspace("ws-1"));
            }),
            404,
        ),
        (
            "P648 caller",
            Box::new(move |world| {
                world.store.callers.remove(&"account:acc-1".to_owned());
                world.auth.forget_caller(&account("acc-1"));
            }),
            401,
        ),
        (
            "P641 token",
            Box::new(|world| {
                world.auth.forget_token(&tower_bearer::token::Digest::of(&token("tst_", 1)));
            }),
            401,
        ),
    ];
    for (row, change, want) in rows {
        let (world, text, service) = world();
        warm(&service, &text).await;
        change(&world);
        assert_eq!(status(&service, "/apps/app-1", &text).await, want, "{row}");
    }
}

#[tokio::test]
async fn a_recalled_fact_lives_no_longer_than_its_entry() {
    let (world, text, service) = world();
    warm(&service, &text).await;
    let calls = |world: &World| {
        (world.store.apps.calls(), world.store.members.calls(), world.store.callers.calls())
    };
    assert_eq!(calls(&world), (1, 1, 1));
    world.clock.advance(Duration::from_millis(9_999));
    assert_eq!(status(&service, "/apps/app-1", &text).await, 200);
    assert_eq!(calls(&world), (1, 1, 1), "P623 10 s from the fill");
    world.store.members.remove(&(AccountId::new("acc-1").unwrap(), workspace("ws-1")));
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(status(&service, "/apps/app-1", &text).await, 404, "P507 P623 use extends nothing");
}

#[tokio::test]
async fn one_app_is_never_recalled_for_another() {
    let (world, text, service) = world();
    warm(&service, &text).await;
    for round in 0..4 {
        assert_eq!(status(&service, "/apps/app-2", &text).await, 200, "XF13 round {round}");
        assert_eq!(status(&service, "/apps/app-3", &text).await, 404, "XF13 round {round}");
        assert_eq!(status(&service, "/apps/app%2D1", &text).await, 200, "P842 round {round}");
    }
    world.store.members.remove(&(AccountId::new("acc-1").unwrap(), workspace("ws-2")));
    world.auth.forget_member(&workspace("ws-2"), &AccountId::new("acc-1").unwrap());
    for _ in 0..2 {
        assert_eq!(status(&service, "/apps/app-1", &text).await, 200, "XG3");
        assert_eq!(status(&service, "/apps/app-2", &text).await, 404, "XG3");
    }
}
