//! Rounds of calls, 64 in flight, over 1,000 keys; of each figure the median of nine rounds, each beside its floor.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tower_bearer::limit::Limit;
use tower_bearer::store::{
    Ask, AskItem, LogId, PolicyName, Redis, RedisWindows, WindowKey, WindowStore,
};

use crate::floor::Floor;
use crate::server::RedisServer;

const KEYS: usize = 1_000;
const FLIGHT: usize = 64;
const CALLS: usize = 6_400;
const ROUNDS: usize = 9;

/// The logs of one sort of question.
pub(crate) struct Logs {
    windows: RedisWindows,
    policies: Vec<PolicyName>,
    limit: Limit,
    rounded: bool,
}

impl Logs {
    pub(crate) fn new(server: &RedisServer, names: &[&str], limit: Limit) -> Self {
        let windows = RedisWindows::new(&Redis::open(&server.url()).unwrap());
        let policies = names.iter().map(|name| PolicyName::new(name).unwrap()).collect();
        Self { windows, policies, limit, rounded: false }
    }

    pub(crate) fn rounded(self) -> Self {
        Self { rounded: true, ..self }
    }

    /// One decision on the logs of a key.
    pub(crate) async fn admit(&self, key: usize, cost: u32) -> bool {
        let id = LogId::of_app(&key.to_string());
        let items: Vec<AskItem<'_>> = self
            .policies
            .iter()
            .map(|policy| AskItem::new(WindowKey::new(policy, id, id), self.limit))
            .map(|item| if self.rounded { item.rounded() } else { item })
            .collect();
        let ask = Ask::new(NonZeroU32::new(cost).unwrap(), 0, &items).unwrap();
        self.windows.admit(&ask).await.unwrap().is_admitted()
    }

    /// Puts so many live units into every log, or, if they are rounded, one into each of 129 pairs.
    pub(crate) async fn fill(&self, server: &RedisServer, units: u32) {
        server.say(&["FLUSHALL"]);
        if !self.rounded {
            for key in 0..KEYS {
                assert!(self.admit(key, units).await);
            }
            return;
        }
        let time = server.say(&["TIME"]);
        let (seconds, micros) = time.split_once(' ').unwrap();
        let now = seconds.parse::<u64>().unwrap() * 1_000 + micros.parse::<u64>().unwrap() / 1_000;
        let quantum = u64::from(self.limit.window_ms().div_ceil(128));
        let newest = now.div_ceil(quantum) * quantum;
        let pairs = (0..129_u64).rev().flat_map(|back| {
            let stamp = (newest - back * quantum) % (1 << 32);
            [u32::try_from(stamp).unwrap().to_be_bytes(), 1_u32.to_be_bytes()].concat()
        });
        let value: Vec<u8> = pairs.collect();
        for key in 0..KEYS {
            let id = LogId::of_app(&key.to_string());
            let [first, second] = id.tag();
            let name = &self.policies[0];
            let key = format!("tb:rl1:{{{first:02x}{second:02x}}}{name}~{id}");
            server.bytes(&[b"SET", key.as_bytes(), &value, b"PX", b"86400000"]);
        }
    }
}

/// CPU of the server and calls a second, over the floor's.
pub(crate) async fn cost(server: &RedisServer) {
    let floor = Arc::new(Floor::new(&server.url()).await);
    let day = Duration::from_secs(86_400);
    let limit = |count| Limit::new(NonZeroU32::new(count).unwrap(), day).unwrap();
    for (name, policies, count, live, rounded, admitted, cpu_goal, rate_goal) in [
        ("admitted_5_live", &["a"][..], 512, 5, false, true, "<=5", "-"),
        ("admitted_60_live", &["b"], 512, 60, false, true, "<=5.5", ">=0.35"),
        ("denied_60_live", &["c"], 60, 60, false, false, "<=4", ">=0.45"),
        ("two_admitted_60_live", &["d", "e"], 512, 60, false, true, "<=8.5", "-"),
        ("two_denied_60_live", &["f", "g"], 60, 60, false, false, "<=6", "-"),
        ("rounded_admitted", &["h"], 4_096, 60, true, true, "<=6", "-"),
    ] {
        let logs = Logs::new(server, policies, limit(count));
        let logs = Arc::new(if rounded { logs.rounded() } else { logs });
        let mut cpu = Vec::new();
        let mut rate = Vec::new();
        for _ in 0..ROUNDS {
            let bare = Arc::clone(&floor);
            let nothing = round(server, move |_| {
                let bare = Arc::clone(&bare);
                async move { bare.nothing().await }
            });
            let (bare_cpu, bare_time) = nothing.await;
            logs.fill(server, live).await;
            let asked = Arc::clone(&logs);
            let (own_cpu, own_time) = round(server, move |call| {
                let logs = Arc::clone(&asked);
                async move { assert_eq!(logs.admit(call % KEYS, 1).await, admitted) }
            })
            .await;
            cpu.push(own_cpu / bare_cpu);
            rate.push(bare_time / own_time);
        }
        println!("figure redis_cpu_{name} {:.2} {cpu_goal}", median(cpu));
        println!("figure redis_rate_{name} {:.2} {rate_goal}", median(rate));
    }
}

/// One call at a time, beside PING.
pub(crate) async fn wait(server: &RedisServer) {
    let floor = Floor::new(&server.url()).await;
    let minute = Limit::new(NonZeroU32::new(512).unwrap(), Duration::from_secs(60)).unwrap();
    let logs = Logs::new(server, &["wait"], minute);
    let (mut pings, mut decisions) = (Vec::new(), Vec::new());
    for call in 0..20_000 {
        let began = Instant::now();
        floor.ping().await;
        pings.push(began.elapsed().as_secs_f64());
        let began = Instant::now();
        logs.admit(call % KEYS, 1).await;
        decisions.push(began.elapsed().as_secs_f64());
    }
    let at = |times: &mut Vec<f64>, percent: usize| {
        times.sort_by(f64::total_cmp);
        times[times.len() * percent / 100] * 1e6
    };
    let (ping, decision) = (at(&mut pings, 50), at(&mut decisions, 50));
    println!("figure redis_p50_over_ping {:.2} <=1.6", decision / ping);
    println!("breakdown p50 {decision:.0} us against {ping:.0} of PING");
    let (ping, decision) = (at(&mut pings, 99), at(&mut decisions, 99));
    println!("figure redis_p99_over_ping {:.2} -", decision / ping);
    println!("breakdown p99 {decision:.0} us against {ping:.0} of PING");
}

/// Seconds of the server's CPU, and of the clock, that the calls of one round take.
async fn round<F>(
    server: &RedisServer,
    call: impl Fn(usize) -> F + Clone + Send + 'static,
) -> (f64, f64)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (cpu, began) = (server_cpu(server), Instant::now());
    let tasks: Vec<_> = (0..FLIGHT)
        .map(|lane| {
            let call = call.clone();
            tokio::spawn(async move {
                for turn in 0..CALLS / FLIGHT {
                    call(turn * FLIGHT + lane).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let time = began.elapsed().as_secs_f64();
    (server_cpu(server) - cpu, time)
}

/// Seconds of CPU that the server took since it began, as it says itself.
fn server_cpu(server: &RedisServer) -> f64 {
    let info = server.say(&["INFO", "cpu"]);
    let part = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().parse::<f64>().unwrap()
    };
    part("used_cpu_user_main_thread:") + part("used_cpu_sys_main_thread:")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
