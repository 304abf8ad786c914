//! A Sentinel set of a test's own: one primary, one replica, three sentinels, on free loopback ports.

use crate::server::{RedisServer, wait_until};

pub(crate) struct SentinelSet {
    /// The first one begins as the primary.
    pub(crate) servers: Vec<RedisServer>,
    pub(crate) sentinels: Vec<RedisServer>,
}

impl SentinelSet {
    /// Starts it with servers that have a password. `None` if this system has no Redis.
    pub(crate) fn start(password: &str) -> Option<Self> {
        let login = [
            "--requirepass",
            password,
            "--masterauth",
            password,
            "--repl-diskless-sync-delay",
            "0",
        ];
        let primary = RedisServer::start_with(&login)?;
        let primary_port = primary.port.to_string();
        let replica = RedisServer::start_with(&login)?;
        assert_eq!(replica.say(&["REPLICAOF", "127.0.0.1", &primary_port]), "OK");
        let servers = vec![primary, replica];
        wait_until("the replica follows", || {
            servers[1].say(&["INFO", "replication"]).contains("master_link_status:up")
        });
        let mut sentinels = Vec::new();
        for _ in 0..3 {
            let sentinel = RedisServer::start_with(&["--sentinel"])?;
            for words in [
                &["SENTINEL", "MONITOR", NAME, "127.0.0.1", &primary_port, "2"][..],
                &["SENTINEL", "SET", NAME, "auth-pass", password],
                &["SENTINEL", "SET", NAME, "down-after-milliseconds", "400"],
                &["SENTINEL", "SET", NAME, "failover-timeout", "1000"],
            ] {
                assert_eq!(sentinel.say(words), "OK", "{words:?}");
            }
            sentinels.push(sentinel);
        }
        wait_until("the sentinels know all", || {
            sentinels.iter().all(|sentinel| {
                let info = sentinel.say(&["INFO", "sentinel"]);
                info.contains("status=ok") && info.contains("slaves=1,sentinels=3")
            })
        });
        Some(Self { servers, sentinels })
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        self.sentinels.iter().map(RedisServer::url).collect()
    }
}

/// What the sentinels call it.
pub(crate) const NAME: &str = "limits";
