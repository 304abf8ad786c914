//! On a Redis Cluster limits are exact, a dead shard costs only its own callers, and no charge is sent twice.
#![cfg(feature = "redis-cluster")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may stop at what cannot be"
)]
#![expect(clippy::disallowed_methods, reason = "real processes: it says how long they took")]

#[path = "support/cluster.rs"]
mod cluster;
#[expect(dead_code, reason = "this file uses its part of it")]
#[path = "support/limits.rs"]
mod limits;
#[path = "support/places.rs"]
mod places;
#[path = "support/proxy.rs"]
#[expect(dead_code, reason = "this file uses its part of it")]
mod proxy;
#[path = "support/redis.rs"]
#[expect(dead_code, reason = "this file uses its part of it")]
mod server;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tower_bearer::AuthContext;
use tower_bearer::limit::{Limiter, Policy};
use tower_bearer::store::{Redis, RedisBus, RedisWindows, StoreFailure, WindowStore};

use cluster::RedisCluster;
use places::{Said, Stay, Windows, ask, ask_until, contexts_work, key, left, limit, tell};
use proxy::{Proxy, Wire};

fn redis(urls: &[String]) -> Redis {
    Redis::cluster(urls.iter().map(String::as_str)).unwrap()
}

/// One owner for each node of the cluster, by the node's number.
fn owner_of_each(cluster: &RedisCluster) -> BTreeMap<usize, String> {
    let mut owners = BTreeMap::new();
    for number in 0..100 {
        let id = format!("account:acc-{number}");
        owners.entry(cluster.owner(&key("token", &id))).or_insert(id);
    }
    owners
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_exact_over_all_shards() {
    let Some(cluster) = RedisCluster::start(3, 0) else { return };
    // any node tells of the others
    let all = redis(&cluster.urls()[1..2]);
    let windows = [Arc::new(Windows::new(&all)), Arc::new(Windows::new(&all))];
    let five = limit(5, 60_000);
    for windows in &windows {
        for id in owner_of_each(&cluster).values() {
            windows.until_decided(&format!("{id}-warm"), five).await;
        }
    }
    for number in 0..30 {
        windows[0].until_decided(&format!("warm-{number}"), five).await;
    }
    cluster.reset();
    let mut calls = Vec::new();
    for number in 0..400_usize {
        let windows = Arc::clone(&windows[number % 2]);
        let id = format!("account:acc-{}", number % 20);
        calls.push(tokio::spawn(async move {
            (id.clone(), windows.admit_both(&id, five).await.unwrap().is_admitted())
        }));
    }
    let mut admitted = BTreeMap::new();
    for call in calls {
        let (id, is_admitted) = call.await.unwrap();
        *admitted.entry(id).or_insert(0) += u32::from(is_admitted);
    }
    let shards: HashSet<usize> =
        admitted.keys().map(|id| cluster.owner(&key("token", id))).collect();
    println!("cluster: {} owners on {} shards, {admitted:?}", admitted.len(), shards.len());
    assert!(admitted.values().all(|count| *count == 5), "L357 L331: {admitted:?}");
    assert_eq!((admitted.len(), shards.len()), (20, 3));
    assert_eq!(cluster.calls(), (400, 0), "L321 L336 XN23: one call each");
}

#[tokio::test]
async fn each_node_learns_the_script_once() {
    let Some(cluster) = RedisCluster::start(3, 0) else { return };
    let windows = Windows::new(&redis(&cluster.urls()));
    let minute = limit(9, 60_000);
    for id in owner_of_each(&cluster).values() {
        for wanted in [8, 7] {
            assert_eq!(left(&windows.admit(id, minute).await.unwrap()), wanted, "L360");
        }
    }
    assert_eq!(windows.store.script_loads(), 3, "L324 a load for each node");
    assert_eq!(
        cluster.calls(),
        (9, 3),
        "L324 two calls each, and one that proved that it was needed"
    );
    let epoch = windows.store.epoch(0);
    cluster.nodes[1].say(&["SCRIPT", "FLUSH"]);
    let id = &owner_of_each(&cluster)[&1];
    let answer = windows.admit(id, minute).await.unwrap();
    assert_eq!((left(&answer), windows.store.script_loads()), (6, 4), "L360 XM17 charged once");
    assert!(answer.epoch() > epoch, "L606");
}

async fn callers(desk: &limits::Desk, owners: &BTreeMap<usize, String>) -> Vec<AuthContext> {
    let mut callers = Vec::new();
    for (number, owner) in owners {
        let account = owner.strip_prefix("account:").unwrap();
        let token = desk.token(&format!("shard-{number}"), account);
        callers.push(desk.auth.authenticate(&token).await.unwrap());
    }
    callers
}

#[tokio::test]
async fn a_dead_shard_costs_its_own_callers_alone() {
    let Some(mut cluster) = RedisCluster::start(3, 0) else { return };
    let owners = owner_of_each(&cluster);
    let desk = limits::Desk::new();
    let callers = callers(&desk, &owners).await;
    let policy = Policy::per_token(limit(5_000, 60_000)).exact_up_to(4_096);
    let store = Arc::new(RedisWindows::new(&redis(&cluster.urls())));
    // the longest there is: no call of a shard that lives may be late, however busy the machine
    let limiter = Limiter::builder().policy(policy).deadline(Duration::from_millis(250));
    let limiter = limiter.store(Arc::clone(&store)).build().unwrap();
    for caller in &callers {
        ask_until(&limiter, caller, Said::Redis).await;
    }
    cluster.nodes[1].kill();
    let mut said = BTreeMap::new();
    let began = tokio::time::Instant::now();
    for _ in 0..300 {
        for (number, caller) in callers.iter().enumerate() {
            let answer = ask(&limiter, caller).await;
            *said.entry((number, format!("{answer:?}"))).or_insert(0) += 1;
        }
    }
    println!(
        "cluster: one of three shards dead, 300 calls each: {said:?} in {:?}",
        began.elapsed()
    );
    let want = [(0, "Redis"), (1, "Fallback"), (2, "Redis")];
    let want = want.map(|(number, said)| ((number, said.to_owned()), 300));
    assert_eq!(said, BTreeMap::from(want), "L337 XM17");
    cluster.nodes[1].restart();
    let before = ask_until(&limiter, &callers[1], Said::Redis).await;
    println!("cluster: {} calls decided here until the shard was back", before.len());
    assert!(before.iter().all(|said| *said == Said::Fallback), "{before:?}");
}

/// A shard that hangs is worse than a dead one: each attempt takes as long as it may.
#[tokio::test]
async fn a_shard_that_hangs_costs_its_own_callers_alone() {
    let Some(cluster) = RedisCluster::start(3, 0) else { return };
    let owners = owner_of_each(&cluster);
    let desk = limits::Desk::new();
    let callers = callers(&desk, &owners).await;
    let limiter = Limiter::builder()
        .policy(Policy::per_token(limit(5_000, 60_000)))
        .store(RedisWindows::new(&redis(&cluster.urls())))
        .deadline(Duration::from_millis(250))
        .build()
        .unwrap();
    for caller in &callers {
        ask_until(&limiter, caller, Said::Redis).await;
    }
    cluster.nodes[2].signal("STOP");
    let mut said = BTreeMap::new();
    let began = tokio::time::Instant::now();
    while began.elapsed() < Duration::from_secs(2) {
        for (number, caller) in callers.iter().enumerate() {
            let answer = ask(&limiter, caller).await;
            *said.entry((number, format!("{answer:?}"))).or_insert(0) += 1;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    cluster.nodes[2].signal("CONT");
    println!("cluster: one of three shards hangs for 2 s: {said:?}");
    let who: Vec<(usize, &str)> = said.keys().map(|(who, said)| (*who, said.as_str())).collect();
    assert_eq!(who, [(0, "Redis"), (1, "Redis"), (2, "Fallback")], "L337 L641");
    ask_until(&limiter, &callers[2], Said::Redis).await;
}

#[tokio::test]
async fn a_slot_that_moves_is_followed_and_charged_once() {
    let Some(cluster) = RedisCluster::start(2, 1) else { return };
    let id = &owner_of_each(&cluster)[&0];
    let (log, minute) = (key("token", id), limit(9, 60_000));
    let slot = cluster.slot(&log);
    let windows = Windows::new(&redis(&cluster.urls()[..1]));
    assert_eq!(left(&windows.admit(id, minute).await.unwrap()), 8);
    let stamps = |node: usize| {
        let length = cluster.nodes[node].bytes(&[b"STRLEN", log.as_bytes()]);
        String::from_utf8(length).unwrap()
    };
    assert_eq!(stamps(0), "4");
    cluster.begin_to_move(slot, 0, 2);
    // its log is still here
    assert_eq!(left(&windows.admit(id, minute).await.unwrap()), 7, "L336 before the key moved");
    cluster.move_keys(slot, 0, 2);
    // ASK, of a node that has never seen the script and has no slot yet
    assert_eq!(left(&windows.admit(id, minute).await.unwrap()), 6, "L336 ASK");
    assert_eq!(left(&windows.admit(id, minute).await.unwrap()), 5, "L336 ASK");
    // a log that is nowhere yet belongs to the new node already
    cluster.end_to_move(slot, 0, 2);
    cluster.reset();
    assert_eq!(left(&windows.admit(id, minute).await.unwrap()), 4, "L336 MOVED");
    assert_eq!(stamps(2), "20", "L336: five calls, five stamps");
    // the map is asked for in the background; then nothing goes the long way round
    server::wait_until("the new map is known", || {
        cluster.nodes[2].say(&["INFO", "commandstats"]).contains("cmdstat_cluster|slots")
            || cluster.nodes[0].say(&["INFO", "commandstats"]).contains("cmdstat_cluster|slots")
    });
    windows.until_decided(id, minute).await;
    cluster.reset();
    assert_eq!(left(&windows.admit(id, minute).await.unwrap()), 2);
    let refused = cluster.nodes[0].say(&["INFO", "errorstats"]);
    assert!(!refused.contains("MOVED"), "L336 once the map is known: {refused}");
    assert_eq!((cluster.calls(), stamps(2).as_str()), ((1, 0), "28"));
}

#[tokio::test]
async fn a_call_whose_connection_breaks_is_not_sent_again() {
    let Some(cluster) = RedisCluster::start(1, 0) else { return };
    let id = "account:acc-1";
    let minute = limit(9, 60_000);
    let port = cluster.nodes[0].port;
    let proxy = Proxy::to(port, 7);
    // the node tells the proxy's place as its own, so that every byte passes it
    cluster.nodes[0].say(&["CONFIG", "SET", "cluster-announce-port", &proxy.port.to_string()]);
    let windows = Windows::new(&redis(&[proxy.url()]));
    assert_eq!(left(&windows.admit(id, minute).await.unwrap()), 8);
    cluster.reset();
    for (name, wire) in [("reset", Wire::Reset), ("closed", Wire::HalfClose)] {
        let before = left(&windows.until_decided(id, minute).await);
        let sent = cluster.calls().0;
        proxy.to_client(wire);
        let error = windows.admit(id, minute).await.unwrap_err();
        proxy.to_client(Wire::Pass);
        assert_eq!(error.failure(), StoreFailure::Closed, "L612 {name}");
        assert_eq!(cluster.calls().0 - sent, 1, "L325 L336 XN23 {name}");
        let after = left(&windows.until_decided(id, minute).await);
        assert_eq!(before - after, 2, "L325 {name}: the call that broke, and this one");
    }
}

#[tokio::test]
async fn the_bus_is_heard_through_any_node() {
    let Some(mut cluster) = RedisCluster::start(3, 0) else { return };
    let urls = cluster.urls();
    let bus = RedisBus::new(&redis(&urls[..1]));
    let mut stays = Vec::new();
    for url in &urls {
        stays.push(Stay::on(&redis(std::slice::from_ref(url))).await);
    }
    for number in 0..50 {
        tell(&bus, &format!("acc-{number}")).await.unwrap();
    }
    for stay in &stays {
        stay.until_notices(50).await;
    }
    let home = cluster.owner("tb:revoked:n");
    cluster.nodes[home].kill();
    for stay in &stays {
        assert_eq!(stay.end().await, StoreFailure::Closed, "D36 a loss is told");
    }
    cluster.nodes[home].restart();
    for stay in &stays {
        stay.until_joined(2).await;
    }
    let telling = async {
        while tell(&bus, "acc-1").await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), telling).await.unwrap();
    for stay in &stays {
        stay.until_notices(51).await;
    }
}

#[tokio::test]
async fn contexts_lie_on_all_shards() {
    let Some(cluster) = RedisCluster::start(3, 0) else { return };
    contexts_work(&redis(&cluster.urls())).await;
    let sizes: Vec<u32> =
        cluster.nodes.iter().map(|node| node.say(&["DBSIZE"]).parse().unwrap()).collect();
    assert_eq!(sizes.iter().sum::<u32>(), 24);
    assert!(sizes.iter().all(|size| *size > 0), "{sizes:?}");
}
