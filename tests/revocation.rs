//! A token that was ended is refused from that moment on, whatever is in flight.

mod support;

use std::time::Duration;

use support::scripted::{Counting, Mood};
use support::world::{World, account, get, read, token};
use tower::{Layer, ServiceExt};
use tower_bearer::stack::{BearerCheck, BearerStack};

/// Lets every task that can run do so.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_that_began_before_a_revocation_neither_passes_nor_stays() {
    let world = World::new();
    let text = token("tst_", 1);
    let digest = world.token(&text, account("acc-1"), "full");
    let inner = Counting::default();
    let stack = BearerStack::new(BearerCheck::new(&world.auth)).layer(inner.clone());

    // the load has read "alive" and is held
    world.store.tokens.set(Mood::Hold);
    let before = tokio::spawn(stack.clone().oneshot(get("/", Some(&text))));
    settle().await;
    assert_eq!((world.store.tokens.calls(), world.auth.loads_in_flight()), (1, 1));

    // the revocation returns; from now on the store knows no such token
    world.store.tokens.remove(&digest);
    world.auth.forget_token(&digest);
    let after = tokio::spawn(stack.clone().oneshot(get("/", Some(&text))));
    settle().await;
    assert_eq!(world.store.tokens.calls(), 2, "P643 a later arrival starts a load of its own");

    world.store.tokens.let_go(2);
    let (status, error, _) = read(before.await.unwrap().unwrap()).await;
    assert_eq!(
        (status, error.as_str()),
        (401, "invalid_token"),
        "P644 the held load's own request"
    );
    let (status, error, _) = read(after.await.unwrap().unwrap()).await;
    assert_eq!(
        (status, error.as_str()),
        (401, "invalid_token"),
        "P684 the request that came after"
    );
    assert_eq!(world.auth.cached_tokens().0, 0, "P684 nothing stored");

    world.store.tokens.set(Mood::Answer);
    let (status, ..) = read(stack.oneshot(get("/", Some(&text))).await.unwrap()).await;
    assert_eq!(status, 401, "P684 the next one");
    assert_eq!(inner.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lagging_replica_cannot_revive_a_token_while_its_tombstone_stands() {
    let world = World::new();
    let text = token("tst_", 2);
    let digest = world.token(&text, account("acc-1"), "full");
    assert!(world.auth.authenticate(&text).await.is_ok());
    world.auth.forget_token(&digest);
    // the store still says "alive"
    for (seconds, want) in [(0, "revoked"), (30, "revoked"), (59, "revoked")] {
        let step = Duration::from_secs(seconds) - world.clock_since_start();
        world.clock.advance(step);
        let refused = world.auth.authenticate(&text).await.unwrap_err();
        assert_eq!(refused.reason().as_str(), want, "P644 at {seconds} s");
    }
    world.clock.advance(Duration::from_secs(6));
    assert!(
        world.auth.authenticate(&text).await.is_ok(),
        "P644 the tombstone is gone after 60 s: the store decides"
    );
}

#[tokio::test(start_paused = true)]
async fn forgotten_facts_are_asked_for_again_at_once() {
    let world = World::new();
    let text = token("tst_", 3);
    world.token(&text, account("acc-1"), "full");
    assert!(world.auth.authenticate(&text).await.is_ok());
    assert!(world.auth.authenticate(&text).await.is_ok());
    assert_eq!(world.store.tokens.calls(), 1);
    world.auth.forget_all();
    assert!(world.auth.authenticate(&text).await.is_ok());
    assert_eq!(world.store.tokens.calls(), 2);
}

impl World {
    fn clock_since_start(&self) -> Duration {
        use tower_bearer::clock::Clock;
        self.clock.now().monotonic()
    }
}
