//! No fact is believed longer than its life, whoever uses it, and none because its store is out.

#![expect(clippy::unwrap_used, reason = "a test may stop at what cannot be")]

mod support;

use std::time::Duration;

use support::scripted::{Counting, Mood, Who};
use support::world::{World, account, app, get, token, workspace};
use tower::{Layer, ServiceExt};
use tower_bearer::id::AccountId;
use tower_bearer::stack::{
    AccessModes, AppAuthz, AppResolver, BearerCheck, BearerStack, CallerMount, Finder,
    WorkspaceMembershipCheck,
};

type Body = http_body_util::Full<bytes::Bytes>;
type Request = http::Request<Body>;
type Service =
    tower::util::BoxCloneService<Request, http::Response<Body>, std::convert::Infallible>;

/// A fact that changed where nobody told this process holds until its life ends, to the millisecond, used or not.
#[tokio::test(start_paused = true)]
async fn facts_end_with_their_life() {
    for (row, fact, life_ms, want) in [
        ("P641 token", "token", 30_000, 401),
        ("P648 app", "app", 10_000, 404),
        ("P648 member", "member", 10_000, 404),
        ("P648 pick", "pick", 10_000, 403),
        ("P648 caller", "caller", 10_000, 401),
    ] {
        let (world, text, service) = stack();
        let ask = async |request: Request| {
            service.clone().oneshot(request).await.unwrap().status().as_u16()
        };
        let request = || get("/apps/app-1", Some(&text));
        assert_eq!(ask(request()).await, 200, "{row} warm");
        let who = AccountId::new("acc-1").unwrap();
        match fact {
            "token" => world.store.tokens.remove(&tower_bearer::token::Digest::of(&text)),
            "app" => world.store.apps.remove(&app("app-1")),
            "member" => world.store.members.remove(&(who, workspace("ws-1"))),
            "pick" => world.store.permits.remove(&(app("app-1"), who)),
            _ => world.store.callers.remove(&account("acc-1").key().as_str().to_owned()),
        }
        for step in [life_ms / 2, life_ms / 2 - 1] {
            world.clock.advance(Duration::from_millis(step));
            // the others are asked for again meanwhile; this one is not
            assert_eq!(ask(request()).await, 200, "{row} within its life");
        }
        world.clock.advance(Duration::from_millis(1));
        assert_eq!(ask(request()).await, want, "{row} after its life");
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_is_told_counts_at_once() {
    for (row, fact, want) in [
        ("P648 app", "app", 404),
        ("P648 member", "member", 404),
        ("P648 pick", "pick", 403),
        ("P648 caller", "caller", 401),
        ("P648 account", "account", 404),
        ("P648 workspace", "workspace", 404),
    ] {
        let (world, text, service) = stack();
        let ask = async || {
            let response = service.clone().oneshot(get("/apps/app-1", Some(&text))).await;
            response.unwrap().status().as_u16()
        };
        assert_eq!(ask().await, 200, "{row} warm");
        let (who, of) = (AccountId::new("acc-1").unwrap(), workspace("ws-1"));
        let (auth, store) = (&world.auth, &world.store);
        match fact {
            "app" => store.apps.remove(&app("app-1")),
            "pick" => store.permits.remove(&(app("app-1"), who.clone())),
            "caller" => store.callers.remove(&account("acc-1").key().as_str().to_owned()),
            _ => store.members.remove(&(who.clone(), of.clone())),
        }
        assert_eq!(ask().await, 200, "{row} not told");
        match fact {
            "app" => auth.forget_app(&app("app-1")),
            "pick" => auth.forget_permit(&app("app-1"), &who),
            "caller" => auth.forget_caller(&account("acc-1")),
            "account" => auth.account_changed(&who, "status", "active", "suspended"),
            "workspace" => auth.workspace_changed(&of, "status", "active", "archived"),
            _ => auth.member_removed(&of, &who, "editor"),
        }
        assert_eq!(ask().await, want, "{row} told");
    }
}

/// An unknown token that was stored elsewhere is accepted when the remembered "no" ends.
#[tokio::test(start_paused = true)]
async fn a_no_ends_after_five_seconds_however_often_it_is_met() {
    let world = World::new();
    let text = token("tst_", 7);
    assert!(world.auth.authenticate(&text).await.is_err(), "XR16 not there");
    world.token(&text, account("acc-1"), "full");
    for _ in 0..4_999 {
        world.clock.advance(Duration::from_millis(1));
        assert!(world.auth.authenticate(&text).await.is_err(), "XR16 remembered");
    }
    world.clock.advance(Duration::from_millis(1));
    assert!(world.auth.authenticate(&text).await.is_ok(), "XR16 after 5 s");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_believed_longer_because_its_store_is_out() {
    let (world, text, service) = stack();
    let ask = async || {
        let response = service.clone().oneshot(get("/apps/app-1", Some(&text))).await;
        response.unwrap().status().as_u16()
    };
    assert_eq!(ask().await, 200, "XR19 warm");
    world.store.members.set(Mood::Fail);
    world.clock.advance(Duration::from_millis(9_999));
    assert_eq!(ask().await, 200, "XR19 who is known goes on");
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(ask().await, 503, "XR19 until the fact ends");
}

/// A picked member of one workspace with one private app, and every check that asks a store.
fn stack() -> (World, String, Service) {
    let world = World::new();
    let text = token("tst_", 1);
    world.token(&text, account("acc-1"), "full");
    world.app("app-1", "ws-1", "private");
    world.member("acc-1", "ws-1");
    world.store.permits.put((app("app-1"), AccountId::new("acc-1").unwrap()), ());
    world.store.callers.put(account("acc-1").key().as_str().to_owned(), Who("one".into()));
    let (auth, store) = (&world.auth, &world.store);
    let stack = BearerStack::new(BearerCheck::new(auth))
        .resolve_app(AppResolver::new(auth, store.clone(), Finder::path("/apps/{app}").unwrap()))
        .require_membership(WorkspaceMembershipCheck::new(auth, store.clone()))
        .authorize_app(AppAuthz::new(auth, AccessModes::new(auth, store.clone())))
        .mount_caller(CallerMount::new(auth, store.clone()));
    let service = tower::util::BoxCloneService::new(stack.layer(Counting::default()));
    (world, text, service)
}
