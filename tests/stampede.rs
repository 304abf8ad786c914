//! A thousand requests with one cold token cost the store one question, and a caller who leaves costs the others nothing.

mod support;

use std::sync::Arc;

use support::scripted::{Counting, Mood};
use support::world::{World, account, get, token};
use tower::{Layer, ServiceExt};
use tower_bearer::stack::{BearerCheck, BearerStack};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_load_for_a_thousand_requests() {
    let world = World::new();
    let text = token("tst_", 1);
    world.token(&text, account("acc-1"), "full");
    world.store.tokens.set(Mood::Hold);
    let stack = BearerStack::new(BearerCheck::new(&world.auth)).layer(Counting::default());
    let started = Arc::new(tokio::sync::Barrier::new(1_001));
    let mut requests = Vec::new();
    for _ in 0..1_000 {
        let (stack, text, started) = (stack.clone(), text.clone(), Arc::clone(&started));
        requests.push(tokio::spawn(async move {
            started.wait().await;
            stack.oneshot(get("/", Some(&text))).await.unwrap().status().as_u16()
        }));
    }
    started.wait().await;
    world.store.tokens.set(Mood::Answer);
    world.store.tokens.let_go(1_000);
    let mut passed = 0;
    for request in requests {
        passed += usize::from(request.await.unwrap() == 200);
    }
    assert_eq!((passed, world.store.tokens.calls()), (1_000, 1), "P681 XM6");
    println!("loads on stampede {}", world.store.tokens.calls());
}

/// Whoever looks just before a load lands and asks just after it finds its answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn those_who_come_as_the_load_lands_start_no_other() {
    let world = World::new();
    for round in 0..100 {
        let text = token("tst_", 100 + round);
        world.token(&text, account("acc-1"), "full");
        let started = Arc::new(tokio::sync::Barrier::new(100));
        let mut requests = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let (auth, text, started) = (world.auth.clone(), text.clone(), Arc::clone(&started));
            requests.spawn(async move {
                started.wait().await;
                auth.authenticate(&text).await.is_ok()
            });
        }
        assert!(requests.join_all().await.into_iter().all(|passed| passed), "P681");
    }
    assert_eq!(world.store.tokens.calls(), 100, "P681 XM6 one load a round");
}

#[tokio::test(start_paused = true)]
async fn the_first_of_many_waiters_may_leave() {
    let world = World::new();
    let text = token("tst_", 2);
    world.token(&text, account("acc-1"), "full");
    world.store.tokens.set(Mood::Hold);
    let leader = tokio::spawn({
        let (auth, text) = (world.auth.clone(), text.clone());
        async move { auth.authenticate(&text).await.is_ok() }
    });
    tokio::task::yield_now().await;
    let followers: Vec<_> = (0..10)
        .map(|_| {
            let (auth, text) = (world.auth.clone(), text.clone());
            tokio::spawn(async move { auth.authenticate(&text).await.is_ok() })
        })
        .collect();
    tokio::task::yield_now().await;
    leader.abort();
    assert!(leader.await.unwrap_err().is_cancelled());
    world.store.tokens.let_go(1);
    for follower in followers {
        assert!(follower.await.unwrap(), "P689 XJ7");
    }
    assert_eq!(world.store.tokens.calls(), 1, "P689");
}
