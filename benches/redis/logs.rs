//! How many bytes a log takes in the server.

use std::num::NonZeroU32;
use std::time::Duration;

use tower_bearer::limit::Limit;

use crate::rounds::Logs;
use crate::server::RedisServer;

/// `MEMORY USAGE` of one full log, and what the server's whole memory grows by for each of 1,000. A rounded one has all its
/// 129 pairs, whatever its limit.
pub(crate) fn bytes(server: &RedisServer) {
    let day = Duration::from_secs(86_400);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (name, live, rounded, usage, all) in [
        ("exact_1", 1, false, 120, 190),
        ("exact_5", 5, false, 136, 205),
        ("exact_20", 20, false, 200, 270),
        ("exact_60", 60, false, 360, 430),
        ("exact_256", 256, false, 1_384, 1_455),
        ("exact_512", 512, false, 2_664, 2_735),
        ("rounded_600", 600, true, 1_384, 1_455),
        ("rounded_6000", 6_000, true, 1_384, 1_455),
    ] {
        let limit = Limit::new(NonZeroU32::new(live).unwrap(), day).unwrap();
        let logs = Logs::new(server, &["token"], limit);
        let logs = if rounded { logs.rounded() } else { logs };
        // connections and the script are there before anything is measured
        assert!(runtime.block_on(logs.admit(0, 1)));
        server.say(&["FLUSHALL"]);
        let before = used(server);
        runtime.block_on(logs.fill(server, live));
        let grown = used(server).saturating_sub(before) / 1_000;
        let keys = server.say(&["KEYS", "tb:rl1:*"]);
        let key = keys.split(' ').next().unwrap();
        println!("figure redis_bytes_{name} {} <={usage}", server.say(&["MEMORY", "USAGE", key]));
        println!("figure redis_bytes_all_{name} {grown} <={all}");
    }
}

fn used(server: &RedisServer) -> u64 {
    let info = server.say(&["INFO", "memory"]);
    info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap().trim().parse().unwrap()
}
