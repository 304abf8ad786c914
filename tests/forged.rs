//! A service's own tests say who is calling, and every layer believes them; a store fails when the test says so.
#![cfg(feature = "test-util")]
#![expect(clippy::unwrap_used, reason = "a test may stop at what cannot be")]

mod support;

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use support::scripted::Counting;
use support::world::{World, account, app, external, kinds, read, token, workspace};
use tower::{Layer, ServiceExt, service_fn};
use tower_bearer::clock::{Clock, ManualClock, Timestamp};
use tower_bearer::id::TokenId;
use tower_bearer::limit::{Limit, Limiter, Policy};
use tower_bearer::rejection::RejectionKind;
use tower_bearer::stack::{
    AccessModes, AppAuthz, AppResolver, BearerCheck, BearerStack, Finder, RateLimit, ScopeCheck,
    WorkspaceMembershipCheck,
};
use tower_bearer::store::{AccessMode, AppRecord, Membership, MemoryStore};
use tower_bearer::test_util::{Forge, Script, ScriptedStore};
use tower_bearer::{AuthContext, Authenticator, Evidence};

fn request(forge: Forge, path: &str) -> Request<Full<Bytes>> {
    let mut request = Request::builder().uri(path).body(Full::default()).unwrap();
    forge.insert_into(request.extensions_mut());
    request
}

#[tokio::test]
async fn a_forged_caller_passes_what_its_scopes_pass() {
    let service = ScopeCheck::all(["notes:read"]).unwrap().layer(Counting::default());
    for (name, forge, want) in [
        ("SL8 carries it", AuthContext::forge().scopes("notes:read notes:write"), 200),
        ("SL8 carries another", AuthContext::forge().scopes("notes:write"), 403),
        ("SL8 carries none", AuthContext::forge(), 403),
        ("SL8 effective counts", AuthContext::forge().effective_scopes("notes:read"), 200),
        (
            "SL8 granted alone does not",
            AuthContext::forge().scopes("notes:read").effective_scopes("x"),
            403,
        ),
        ("SL8 anonymous", AuthContext::forge().anonymous(), 401),
    ] {
        let response = service.clone().oneshot(request(forge, "/")).await.unwrap();
        assert_eq!(response.status(), want, "{name}");
    }
}

#[test]
fn a_context_says_what_it_was_forged_of() {
    let clock = ManualClock::at(Timestamp::from_secs(1_800_000_000));
    clock.advance(Duration::from_secs(5));
    let record = AppRecord::new(app("app-1"), workspace("ws-1"), AccessMode::Private);
    let context = AuthContext::forge()
        .subject(external("u-1"))
        .kind("guest")
        .token_id(TokenId::new("tok-9").unwrap())
        .scopes("b a")
        .bound_to(workspace("ws-2"))
        .audiences(["https://api.example"])
        .expires_at(Timestamp::from_secs(1_800_000_060))
        .at(clock.now())
        .app(record.clone())
        .membership(Membership::new("editor"))
        .evidence(Evidence::AUTHORIZED)
        .build();
    assert_eq!(context.subject(), Some(&external("u-1")));
    assert_eq!(context.kind(), Some("guest"));
    assert_eq!(context.token_id().map(TokenId::as_str), Some("tok-9"));
    assert_eq!(context.scopes().map(ToString::to_string).as_deref(), Some("a b"));
    assert_eq!(context.bound_workspace(), Some(&workspace("ws-2")));
    assert_eq!(context.audiences(), ["https://api.example"]);
    assert_eq!(context.expires_at(), Some(Timestamp::from_secs(1_800_000_060)));
    assert_eq!(context.now(), clock.now());
    assert_eq!(context.app(), Some(&record));
    assert_eq!(context.workspace(), Some(&workspace("ws-1")));
    assert_eq!(context.membership().map(Membership::role), Some("editor"));
    let marks = [Evidence::APP, Evidence::MEMBER, Evidence::AUTHORIZED];
    let all = marks.into_iter().fold(Evidence::AUTHENTICATED, |all, mark| all | mark);
    assert_eq!(context.evidence(), all);
}

#[tokio::test]
async fn a_whole_stack_takes_a_caller_of_its_authenticator() {
    let world = World::new();
    world.app("app-1", "ws-1", "private_all");
    world.member("acc-1", "ws-1");
    let auth = &world.auth;
    let stack = BearerStack::new(BearerCheck::new(auth))
        .require_scopes(["apps:read"])
        .unwrap()
        .resolve_app(AppResolver::new(
            auth,
            world.store.clone(),
            Finder::path("/apps/{app}").unwrap(),
        ))
        .require_membership(WorkspaceMembershipCheck::new(auth, world.store.clone()))
        .authorize_app(AppAuthz::new(auth, AccessModes::new(auth, world.store.clone())));
    let service = stack.layer(Counting::default());
    let caller = |id: &str| AuthContext::forge().by(auth).subject(account(id)).scopes("full");
    for (name, forge, want) in [
        ("SL8 a member, by the umbrella of the kind", caller("acc-1"), (200, "")),
        ("SL8 a stranger", caller("acc-2"), (404, "not_found")),
        (
            "SL8 beyond the ceiling of the kind",
            caller("acc-1").scopes("other"),
            (403, "insufficient_scope"),
        ),
        ("SL8 nobody", AuthContext::forge().by(auth).anonymous(), (401, "missing_token")),
        (
            "SL8 of another authenticator",
            AuthContext::forge().scopes("apps:read"),
            (401, "missing_token"),
        ),
    ] {
        let response = service.clone().oneshot(request(forge, "/apps/app-1")).await.unwrap();
        let (status, error, _) = read(response).await;
        assert_eq!((status, error.as_str()), want, "{name}");
    }
    assert_eq!(world.store.tokens.calls(), 0, "no token was looked up");
}

#[tokio::test]
async fn forged_tokens_of_one_id_share_their_limit() {
    let two = Limit::per_minute(NonZeroU32::new(2).unwrap()).unwrap();
    let limiter = Limiter::builder().policy(Policy::per_token(two)).build().unwrap();
    let service = RateLimit::new(limiter).layer(Counting::default());
    let other = TokenId::new("tok-other").unwrap();
    for (name, forge, want) in [
        ("SL8 first", AuthContext::forge(), 200),
        ("SL8 second", AuthContext::forge(), 200),
        ("SL8 over", AuthContext::forge(), 429),
        ("SL8 another token", AuthContext::forge().token_id(other), 200),
    ] {
        let response = service.clone().oneshot(request(forge, "/")).await.unwrap();
        assert_eq!(response.status(), want, "{name}");
    }
}

#[test]
#[should_panic(expected = "the authenticator has a kind of this name for such a subject")]
fn a_caller_who_cannot_be_is_not_forged() {
    let world = World::new();
    let _ = AuthContext::forge().by(&world.auth).kind("external").subject(account("acc-1")).build();
}

#[tokio::test(start_paused = true)]
async fn a_store_follows_its_script() {
    let store = ScriptedStore::new(MemoryStore::new());
    let auth = Authenticator::builder(kinds(), store.clone()).build().unwrap();
    for (name, script, n, want) in [
        ("ST4 answers", Script::Answer, 1, RejectionKind::InvalidToken),
        ("ST4 fails", Script::Fail, 2, RejectionKind::Undecidable),
        ("ST4 hangs", Script::Hang, 3, RejectionKind::Undecidable),
        ("ST4 holds for ever", Script::Hold, 4, RejectionKind::Undecidable),
    ] {
        store.follow(script);
        let refused = auth.authenticate(&token("tst_", n)).await.unwrap_err();
        assert_eq!(refused.kind(), want, "{name}");
    }
    assert_eq!(store.calls(), 4);
}

#[tokio::test]
async fn a_held_answer_is_given_out_when_it_is_let_go() {
    let store = ScriptedStore::new(MemoryStore::new());
    let auth = Authenticator::builder(kinds(), store.clone()).build().unwrap();
    store.follow(Script::Hold);
    let asking = tokio::spawn({
        let auth = auth.clone();
        async move { auth.authenticate(&token("tst_", 1)).await.map(|_| ()) }
    });
    while store.calls() == 0 {
        tokio::task::yield_now().await;
    }
    store.let_go(1);
    assert_eq!(asking.await.unwrap().unwrap_err().kind(), RejectionKind::InvalidToken);
}

#[tokio::test]
async fn handlers_read_a_forged_caller() {
    let handler = service_fn(|request: Request<Full<Bytes>>| async move {
        let caller = AuthContext::of(request.extensions()).and_then(AuthContext::subject_key);
        let name = caller.map(ToString::to_string).unwrap_or_default();
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(name)))
    });
    let response = handler.oneshot(request(AuthContext::forge(), "/")).await.unwrap();
    assert_eq!(read(response).await.2, "account:acc-test");
}
