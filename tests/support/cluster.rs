//! A Redis Cluster of a test's own: primaries on free loopback ports, without replicas, that share the slots.

use crate::server::{RedisServer, wait_until};

/// Running nodes; each is killed when it is dropped.
pub(crate) struct RedisCluster {
    pub(crate) nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts so many that have slots, and so many that have none. `None` if this system has no Redis.
    pub(crate) fn start(primaries: usize, empty: usize) -> Option<Self> {
        let mut nodes = Vec::new();
        for number in 0..primaries + empty {
            let node = RedisServer::start_with(&[
                "--cluster-enabled",
                "yes",
                "--cluster-node-timeout",
                "500",
                // the other shards go on without one
                "--cluster-require-full-coverage",
                "no",
            ])?;
            node.say(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]);
            nodes.push(node);
        }
        let cluster = Self { nodes };
        let (first, others) = cluster.nodes.split_first().unwrap();
        for (number, node) in cluster.nodes.iter().take(primaries).enumerate() {
            let edge = |number: usize| (SLOTS * number / primaries).to_string();
            let last = (SLOTS * (number + 1) / primaries - 1).to_string();
            assert_eq!(node.say(&["CLUSTER", "ADDSLOTSRANGE", &edge(number), &last]), "OK");
        }
        for node in others {
            assert_eq!(first.say(&["CLUSTER", "MEET", "127.0.0.1", &node.port.to_string()]), "OK");
        }
        let known = format!("cluster_known_nodes:{}", cluster.nodes.len());
        wait_until("all nodes know all slots", || {
            cluster.nodes.iter().all(|node| {
                let info = node.say(&["CLUSTER", "INFO"]);
                let all = ["cluster_state:ok", "cluster_slots_ok:16384", &known];
                let linked = node.say(&["CLUSTER", "NODES"]);
                all.iter().all(|line| info.contains(line)) && !linked.contains("disconnected")
            })
        });
        Some(cluster)
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::url).collect()
    }

    pub(crate) fn slot(&self, key: &str) -> u16 {
        let up = self.nodes.iter().find_map(|node| node.try_say(&["CLUSTER", "KEYSLOT", key]));
        up.unwrap().parse().unwrap()
    }

    /// The number of the node that a node takes for the keeper of a key.
    pub(crate) fn owner(&self, key: &str) -> usize {
        let mine = |node: &RedisServer| {
            // a key that is elsewhere is answered with MOVED
            node.try_say(&["GET", key]).is_some_and(|reply| !reply.starts_with("-MOVED"))
        };
        self.nodes.iter().position(mine).unwrap()
    }

    /// Calls of the script on all nodes since `reset`, and loads.
    pub(crate) fn calls(&self) -> (u64, u64) {
        let of = |command: &str| {
            let begins = format!("cmdstat_{command}:calls=");
            let of_node = |node: &RedisServer| {
                let info = node.try_say(&["INFO", "commandstats"]).unwrap_or_default();
                let line = info.lines().find_map(|line| line.strip_prefix(&begins)).unwrap_or("0,");
                line.split(',').next().unwrap().parse::<u64>().unwrap()
            };
            self.nodes.iter().map(of_node).sum()
        };
        (of("evalsha"), of("script|load"))
    }

    pub(crate) fn reset(&self) {
        for node in &self.nodes {
            node.say(&["CONFIG", "RESETSTAT"]);
        }
    }

    fn id(&self, node: usize) -> String {
        self.nodes[node].say(&["CLUSTER", "MYID"])
    }

    /// Begins to move a slot: keys that are not on the old node any more are asked of the new one.
    pub(crate) fn begin_to_move(&self, slot: u16, from: usize, to: usize) {
        let (slot, source, target) = (slot.to_string(), self.id(from), self.id(to));
        let set = |node: usize, word: &str, other: &str| {
            let reply = self.nodes[node].say(&["CLUSTER", "SETSLOT", &slot, word, other]);
            assert_eq!(reply, "OK", "{word}");
        };
        set(to, "IMPORTING", &source);
        set(from, "MIGRATING", &target);
    }

    /// Moves the keys that lie in the slot.
    pub(crate) fn move_keys(&self, slot: u16, from: usize, to: usize) {
        let keys = self.nodes[from].say(&["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), "100"]);
        let port = self.nodes[to].port.to_string();
        for key in keys.split(' ').filter(|key| !key.is_empty()) {
            let reply = self.nodes[from].say(&["MIGRATE", "127.0.0.1", &port, key, "0", "1000"]);
            assert_eq!(reply, "OK", "{key}");
        }
    }

    /// Ends the move: the old node answers MOVED from here on.
    pub(crate) fn end_to_move(&self, slot: u16, from: usize, to: usize) {
        let target = self.id(to);
        for node in [to, from] {
            let reply =
                self.nodes[node].say(&["CLUSTER", "SETSLOT", &slot.to_string(), "NODE", &target]);
            assert_eq!(reply, "OK");
        }
    }
}

const SLOTS: usize = 16_384;
