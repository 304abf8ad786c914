//! The server refuses, dies and comes back.

use std::time::{Duration, Instant};

use tower::Layer;
use tower_bearer::limit::{Limiter, Outage, Policy};
use tower_bearer::stack::{BearerCheck, RateLimit};

use crate::figure::{Figure, exactly, must, within_ms, within_us};
use crate::limits::{get, inner, limit, send};
use crate::proxy::{Proxy, Wire};
use crate::scene::{
    Calls, Said, Scene, added_while_open, ask, count_of, crowd, row, server, windows,
};
use crate::server::free_port;

pub(crate) async fn from_the_start() -> Vec<Figure> {
    let (scene, nobody) = (Scene::new(), free_port());
    let limiter = scene.limiter(60, 60_000, nobody);
    let caller = scene.caller("a").await;
    let first = row(&limiter, &caller, 3).await;
    let rest = row(&limiter, &caller, 97).await;
    let reason = scene.reason();
    let mut figures = vec![
        exactly("L642_local_admitted", first.admitted() + rest.admitted(), 60),
        exactly("L642_local_denied", first.denied() + rest.denied(), 40),
        must("reason", &reason, "=refused", reason == "refused"),
        within_ms("first_failures", first.longest(), 25),
        first.none_over_30_ms(),
        added_while_open(&limiter, &caller).await,
    ];
    let policy = || Policy::per_token(limit(60, 60_000));
    let over = || Limiter::builder().policy(policy()).store(windows(nobody));
    let closed = over().on_outage(Outage::Closed).build().unwrap();
    let told = through_a_stack(&scene, &closed, 100).await;
    let with = |status: u16| told.iter().filter(|seen| seen.status == status).count();
    let waits = told.iter().filter(|seen| seen.retry_after && !seen.limit_fields).count();
    figures.extend([
        exactly("L643_closed_503", with(503), 100),
        exactly("L643_closed_429", with(429), 0),
        exactly("L643_closed_with_retry_after", waits, 100),
    ]);
    let open = over().dangerously_open_on_outage().build().unwrap();
    let told = through_a_stack(&scene, &open, 100).await;
    let bare = |seen: &&Seen| seen.status == 200 && !seen.limit_fields && !seen.retry_after;
    figures.push(exactly("L642_open_200_without_fields", told.iter().filter(bare).count(), 100));
    let local = over().build().unwrap();
    let told = through_a_stack(&scene, &local, 100).await;
    let with = |status: u16| told.iter().filter(|seen| seen.status == status).count();
    figures.push(exactly("L642_local_200", with(200), 60));
    figures.push(exactly("L642_local_429", with(429), 40));
    figures
}

struct Seen {
    status: u16,
    retry_after: bool,
    limit_fields: bool,
}

/// What a service behind the limiter answers to one new token.
async fn through_a_stack(scene: &Scene, limiter: &Limiter, count: usize) -> Vec<Seen> {
    let (inner, _) = inner(200);
    let service =
        BearerCheck::new(&scene.desk.auth).layer(RateLimit::new(limiter.clone()).layer(inner));
    let token = scene.desk.token("stack", "acc-member");
    let mut told = Vec::new();
    for _ in 0..count {
        let response = send(&service, get("/", &token)).await;
        crate::scene::watch().look_at("an answer", &response);
        let has = |name| response.headers().contains_key(name);
        told.push(Seen {
            status: response.status().as_u16(),
            retry_after: has("retry-after"),
            limit_fields: has("ratelimit") || has("ratelimit-policy"),
        });
    }
    told
}

pub(crate) async fn killed() -> Vec<Figure> {
    let (scene, mut server) = (Scene::new(), server());
    let limiter = scene.limiter(60, 60_000, server.port);
    let caller = scene.caller("a").await;
    let before = row(&limiter, &caller, 10).await;
    server.kill();
    let first = row(&limiter, &caller, 3).await;
    let rest = row(&limiter, &caller, 97).await;
    let mut figures = vec![
        exactly("by_the_store", before.count(|said| said == Said::Store), 10),
        exactly("then_admitted_here", first.admitted() + rest.admitted(), 50),
        within_ms("first_failures", first.longest(), 25),
        first.none_over_30_ms(),
        added_while_open(&limiter, &caller).await,
    ];
    server.restart();
    figures.push(within_ms("back_to_exact", scene.back(&limiter, Instant::now()).await, 500));
    let events = scene.events();
    let told = events.len() == 2
        && events[0].starts_with("limit.degraded")
        && events[1].starts_with("limit.restored");
    figures.push(must("events", events.join(","), "begin and end", told));
    figures
}

pub(crate) async fn warm_and_back_empty() -> Vec<Figure> {
    let (scene, mut server) = (Scene::new(), server());
    let limiter = scene.limiter(60, 60_000, server.port);
    let (caller, began) = (scene.caller("a").await, Instant::now());
    let before = row(&limiter, &caller, 40).await;
    server.kill();
    let there = crowd(&limiter, &caller, 40).await;
    let elapsed = u32::try_from(began.elapsed().as_millis()).unwrap();
    let is_true = |said| matches!(said, Said::Denied(wait) if (60_000 - elapsed - 1..=60_000).contains(&wait));
    let mut figures = vec![
        exactly("L644_by_the_store", before.count(|said| said == Said::Store), 40),
        exactly("L644_admitted_here", there.admitted(), 20),
        exactly("L644_denied_with_the_true_wait", there.count(is_true), 20),
        there.none_over_30_ms(),
    ];
    server.restart();
    figures.push(within_ms("back_to_exact", scene.back(&limiter, Instant::now()).await, 500));
    let after = row(&limiter, &caller, 60).await;
    figures.push(exactly("L645_admitted", after.admitted(), 0));
    figures.push(exactly("L645_denied", after.denied(), 60));
    figures
}

pub(crate) async fn now_and_then() -> Vec<Figure> {
    let (scene, server) = (Scene::new(), server());
    let proxy = Proxy::to(server.port, 653);
    let limiter = scene.limiter(60, 60_000, proxy.port);
    let caller = scene.caller("a").await;
    let mut figures = vec![exactly("warm", row(&limiter, &caller, 1).await.admitted(), 1)];
    proxy.to_server(Wire::BlackHole);
    let mut calls = Calls::default();
    for _ in 0..6 {
        calls.0.push(ask(&limiter, &caller).await);
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    let fourth = Calls(calls.0.split_off(3));
    let reason = scene.reason();
    figures.extend([
        exactly("all_admitted_here", calls.admitted() + fourth.admitted(), 6),
        // the deadline of 25, and the turn of the runtime's clock
        within_ms("first_three", calls.longest(), 30),
        within_us("fourth_and_on", fourth.longest(), 1_000),
        must("reason", &reason, "=timeout", reason == "timeout"),
        exactly("heard_by_the_server", count_of(&server, "evalsha"), 2), // NOSCRIPT, and again
    ]);
    figures
}
