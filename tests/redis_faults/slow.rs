//! The server answers late, now and then or every time: nothing is ever sent twice.

use std::time::Duration;

use crate::figure::{Figure, at_most, exactly, must};
use crate::proxy::{Proxy, Wire};
use crate::scene::{Calls, Said, Scene, ask, count_of, logs, row, server, units};
use crate::server::wait_until;

pub(crate) async fn jitter() -> Vec<Figure> {
    let (scene, server) = (Scene::new(), server());
    let proxy = Proxy::to(server.port, 15);
    let limiter = scene.limiter(60, 60_000, proxy.port);
    let warm = scene.caller("warm").await;
    row(&limiter, &warm, 1).await;
    let (least, jitter) = (Duration::from_millis(10), Duration::from_millis(20));
    proxy.to_client(Wire::Delay { least, jitter });
    // each caller once: a log with two units would be a call that was sent twice
    let mut calls = Calls::default();
    for caller in scene.callers("a", 100).await {
        calls.0.push(ask(&limiter, &caller).await);
    }
    proxy.to_client(Wire::Pass);
    let most = |server| logs(server).iter().map(|key| units(server, key)).max().unwrap_or(0);
    let by_store = calls.count(|said| said == Said::Store);
    vec![
        exactly("admitted_of_100", calls.admitted(), 100),
        exactly("sends_per_request", most(&server), 1),
        must("by_the_store", by_store, "some", by_store > 0),
        must("charged_there", logs(&server).len(), "<=101", logs(&server).len() <= 101),
        exactly(
            "charged_twice",
            logs(&server).iter().filter(|key| units(&server, key) > 1).count(),
            0,
        ),
        calls.none_over_30_ms(),
    ]
}

pub(crate) async fn once() -> Vec<Figure> {
    let (scene, server) = (Scene::new(), server());
    let proxy = Proxy::to(server.port, 647);
    let limiter = scene.limiter(60, 60_000, proxy.port);
    let caller = scene.caller("a").await;
    row(&limiter, &caller, 5).await;
    server.say(&["CONFIG", "RESETSTAT"]);
    proxy.to_client(Wire::Delay { least: Duration::from_millis(60), jitter: Duration::ZERO });
    let late = row(&limiter, &caller, 1).await;
    let before = proxy.bytes();
    proxy.to_client(Wire::Pass);
    wait_until("the late answer has come", || proxy.bytes() > before);
    let sent = count_of(&server, "evalsha");
    let then = row(&limiter, &caller, 10).await;
    let outages = scene.events().len();
    vec![
        exactly("decided_here", late.count(|said| said == Said::Fallback), 1),
        exactly("evalsha_for_it", sent, 1),
        exactly("then_by_the_store", then.count(|said| said == Said::Store), 10),
        exactly("evalsha_in_all", count_of(&server, "evalsha"), 11),
        exactly("breaker_opened", outages, 0),
        exactly("units", units(&server, &logs(&server)[0]), 16),
        late.none_over_30_ms(),
    ]
}

pub(crate) async fn left_alone() -> Vec<Figure> {
    let (scene, server) = (Scene::new(), server());
    let proxy = Proxy::to(server.port, 364);
    let limiter = scene.limiter(60, 60_000, proxy.port);
    let warm = scene.caller("warm").await;
    row(&limiter, &warm, 1).await;
    server.say(&["CONFIG", "RESETSTAT"]);
    server.say(&["FLUSHDB"]);
    proxy.to_client(Wire::Delay { least: Duration::from_millis(60), jitter: Duration::ZERO });
    let [one, other] = [scene.caller("one").await, scene.caller("other").await];
    let left = tokio::time::timeout(Duration::from_millis(10), limiter.check(&one, 1)).await;
    let ended = ask(&limiter, &other).await;
    wait_until("both were heard", || count_of(&server, "evalsha") == 2);
    proxy.to_client(Wire::Pass);
    tokio::time::sleep(Duration::from_millis(150)).await;
    let charged: Vec<usize> = logs(&server).iter().map(|key| units(&server, key)).collect();
    vec![
        must("client_left", left.is_err(), "=true", left.is_err()),
        exactly("deadline_decided_here", usize::from(ended.0 == Said::Fallback), 1),
        exactly("evalsha_of_2", count_of(&server, "evalsha"), 2),
        exactly("logs", charged.len(), 2),
        at_most("units_of_each", charged.into_iter().max().unwrap_or(0), 1),
    ]
}
