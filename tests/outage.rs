//! While a store is out nobody is let in, nobody is told that their token is bad, and whoever is known goes on.

#![expect(
    clippy::disallowed_methods,
    reason = "waits are measured on the paused clock of the runtime"
)]

mod support;

use std::time::Duration;

use support::scripted::{Counting, Mood};
use support::world::{World, account, get, read, token};
use tower::{Layer, ServiceExt};
use tower_bearer::stack::{BearerCheck, BearerStack};

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_say_is_503_and_is_asked_again() {
    for (name, mood, millis) in [
        ("P685 error", Mood::Fail, 0),
        ("P686 silence", Mood::Hang, 250),
        ("XR35 panic", Mood::Panic, 0),
    ] {
        let world = World::new();
        let text = token("tst_", 1);
        world.token(&text, account("acc-1"), "full");
        let stack = BearerStack::new(BearerCheck::new(&world.auth)).layer(Counting::default());
        world.store.tokens.set(mood);
        let began = tokio::time::Instant::now();
        let response = stack.clone().oneshot(get("/", Some(&text))).await.unwrap();
        let waited = tokio::time::Instant::now() - began;
        assert_eq!(response.headers()["retry-after"], "1", "{name}");
        let (status, error, body) = read(response).await;
        assert_eq!((status, error.as_str()), (503, "temporarily_unavailable"), "{name}");
        assert!(!body.contains("hunter2"), "P960 {name}");
        assert!(waited >= Duration::from_millis(millis), "{name}: {waited:?}");
        assert!(waited <= Duration::from_millis(millis + 2), "{name}: {waited:?}");
        assert_eq!(world.auth.cached_tokens(), (0, 0), "XR19 {name}: nothing is remembered");
        world.store.tokens.set(Mood::Answer);
        let response = stack.oneshot(get("/", Some(&text))).await.unwrap();
        assert_eq!(response.status(), 200, "P685 {name}: the next one is asked anew");
    }
}

#[tokio::test(start_paused = true)]
async fn after_three_failures_misses_answer_at_once_and_hits_go_on() {
    let world = World::new();
    let known = token("tst_", 1);
    world.token(&known, account("acc-1"), "full");
    assert!(world.auth.authenticate(&known).await.is_ok());
    world.store.tokens.set(Mood::Hang);
    for n in 2..5 {
        let began = tokio::time::Instant::now();
        let refused = world.auth.authenticate(&token("tst_", n)).await.unwrap_err();
        assert_eq!((refused.status().as_u16(), refused.reason().as_str()), (503, "deadline"));
        assert!(tokio::time::Instant::now() - began <= Duration::from_millis(260), "XM2");
    }
    let calls = world.store.tokens.calls();
    for n in 5..1_000 {
        let began = tokio::time::Instant::now();
        assert_eq!(world.auth.authenticate(&token("tst_", n)).await.unwrap_err().status(), 503);
        assert!(
            tokio::time::Instant::now() - began <= Duration::from_millis(5),
            "XM2 breaker open"
        );
        assert!(world.auth.authenticate(&known).await.is_ok(), "XM2 hits go on");
    }
    assert_eq!(world.store.tokens.calls(), calls, "an open breaker asks nobody");

    // back after a crowd waited: one probe, then everybody, never more than 64 at once
    world.store.tokens.set(Mood::Pending(3));
    world.clock.advance(Duration::from_millis(751));
    assert_eq!(
        world.auth.authenticate(&token("tst_", 2_000)).await.unwrap_err().status(),
        401,
        "the probe"
    );
    let crowd: Vec<_> = (3_000..4_000)
        .map(|n| {
            let auth = world.auth.clone();
            tokio::spawn(async move {
                auth.authenticate(&token("tst_", n)).await.unwrap_err().status().as_u16()
            })
        })
        .collect();
    for one in crowd {
        assert_eq!(one.await.unwrap(), 401, "XM5");
    }
    assert!(world.store.tokens.peak() <= 64, "XM5 peak {}", world.store.tokens.peak());
}

#[tokio::test(start_paused = true)]
async fn a_crowd_of_cold_keys_is_bounded() {
    let world = World::with(|builder| builder.max_loads(2).max_waiting_keys(3));
    world.store.tokens.set(Mood::Hang);
    let waiting: Vec<_> = (0..5)
        .map(|n| {
            let auth = world.auth.clone();
            tokio::spawn(async move {
                auth.authenticate(&token("tst_", n)).await.unwrap_err().reason().as_str()
            })
        })
        .collect();
    tokio::task::yield_now().await;
    let sixth = world.auth.authenticate(&token("tst_", 6)).await.unwrap_err();
    assert_eq!((sixth.status().as_u16(), sixth.reason().as_str()), (503, "overload"), "P632");
    for one in waiting {
        assert_eq!(one.await.unwrap(), "deadline");
    }
    assert_eq!(world.store.tokens.peak(), 2, "P632");
    assert_eq!(world.auth.loads_in_flight(), 0);
}
