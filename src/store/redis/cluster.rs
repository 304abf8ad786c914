//! A Cluster: which node keeps a key, and what to do when another one does by now.
//!
//! 1. Each node has a link of its own: one that is dead or slow costs nobody who asks another.
//! 2. MOVED and ASK prove that nothing ran: the call goes once more, to the node that they name. Nothing else is sent twice.
//! 3. Where the slots are is asked of all nodes at once, in the background, when a call finds it changed.

use ::redis as client;

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use client::aio::ConnectionLike;
use client::{Cmd, ErrorKind, RedisError, RedisResult, Value};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::store::failure::StoreFailure;
use crate::store::redis::fault::Fault;
use crate::store::redis::key::slot;
use crate::store::redis::link::{Connection, Link, Tally};
use crate::store::redis::server::Redis;

/// Where a node is.
pub(super) type Node = (String, u16);

/// What a server has to be taught when it does not know a script; called when it is.
pub(super) type Teach<'a> = &'a (dyn Fn() -> Cmd + Sync);

/// A Cluster, as far as we know. A clone is the same one.
#[derive(Clone)]
pub(super) struct Cluster {
    shared: Arc<Shared>,
}

struct Shared {
    server: Redis,
    tally: Arc<Tally>,
    map: RwLock<Map>,
    is_asking: AtomicBool,
}

#[derive(Default)]
struct Map {
    nodes: HashMap<Node, Link>,
    ranges: Vec<(Slots, Link)>,
}

/// The first and the last of some slots.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Slots(u16, u16);

impl Cluster {
    /// Asks the nodes that we were told of where the others are; the first answer counts.
    pub(super) async fn find(server: &Redis, tally: &Arc<Tally>) -> Result<Self, StoreFailure> {
        let shared = Shared {
            server: server.clone(),
            tally: Arc::clone(tally),
            map: RwLock::default(),
            is_asking: AtomicBool::new(false),
        };
        let cluster = Self { shared: Arc::new(shared) };
        cluster.learn(cluster.seeds()).await?;
        Ok(cluster)
    }

    /// Sends a command to the node that keeps its key, and hears the answer.
    pub(super) async fn send(&self, command: &Cmd, teach: Option<Teach<'_>>) -> RedisResult<Value> {
        let Some(owner) = key_of(command).and_then(|key| self.owner(slot(key))) else {
            self.renew(None);
            return Err(unreachable(StoreFailure::Cluster));
        };
        let answer = put(&owner, command, teach, Way::Straight).await;
        let Err(error) = answer else { return answer };
        let Some((node, _slot)) = error.redirect_node() else {
            if Fault::of(&error).drops {
                self.renew(None);
            }
            return Err(error);
        };
        let Some(named) = place(node, owner.server()).map(|node| self.link(&node)) else {
            return Err(error);
        };
        if error.code() == Some("ASK") {
            return put(&named, command, teach, Way::Asking).await;
        }
        self.renew(Some(&named));
        put(&named, command, teach, Way::Straight).await
    }

    /// The link to the node that keeps a slot.
    pub(super) fn owner(&self, slot: u16) -> Option<Link> {
        let map = self.shared.map.read().unwrap_or_else(PoisonError::into_inner);
        let holds = |(slots, _): &&(Slots, Link)| (slots.0..=slots.1).contains(&slot);
        map.ranges.iter().find(holds).map(|(_, link)| link.clone())
    }

    /// Asks again where the slots are: `named` first, which should know. In the background, one at a time.
    pub(super) fn renew(&self, named: Option<&Link>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.shared.is_asking.swap(true, Ordering::AcqRel) {
            return;
        }
        let asking = Asking(self.clone());
        let named = named.cloned();
        runtime.spawn(async move { asking.0.look(named).await });
    }

    /// Asks where the slots are, and waits for it as long as for a connection.
    pub(super) async fn look(&self, named: Option<Link>) {
        let within = self.shared.server.time_to_connect();
        if let Some(named) = named
            && matches!(timeout(within, self.learn(vec![named])).await, Ok(Ok(())))
        {
            return;
        }
        let known: Vec<Link> = {
            let map = self.shared.map.read().unwrap_or_else(PoisonError::into_inner);
            map.nodes.values().cloned().collect()
        };
        if !matches!(timeout(within, self.learn(known)).await, Ok(Ok(()))) {
            // nobody we knew answers: it may have moved house
            let _ = timeout(within, self.learn(self.seeds())).await;
        }
    }

    fn seeds(&self) -> Vec<Link> {
        self.shared.server.seeds().iter().map(|node| self.link(node)).collect()
    }

    /// Asks all of these at once, and believes the first answer.
    async fn learn(&self, from: Vec<Link>) -> Result<(), StoreFailure> {
        let mut asked = JoinSet::new();
        for link in from {
            asked.spawn(async move {
                let mut slots = client::cmd("CLUSTER");
                slots.arg("SLOTS");
                let answer = put(&link, &slots, None, Way::Straight).await;
                let answer = answer.map_err(|error| Fault::of(&error).failure)?;
                ranges(&answer, link.server()).ok_or(StoreFailure::Protocol)
            });
        }
        let mut failure = StoreFailure::Cluster;
        while let Some(answer) = asked.join_next().await {
            match answer {
                Ok(Ok(ranges)) => {
                    self.adopt(ranges);
                    return Ok(());
                }
                Ok(Err(other)) => failure = other,
                Err(_panicked) => failure = StoreFailure::Panic,
            }
        }
        Err(failure)
    }

    /// Takes over a map; links to nodes that stay, stay.
    fn adopt(&self, ranges: Vec<(Slots, Node)>) {
        let mut map = self.shared.map.write().unwrap_or_else(PoisonError::into_inner);
        let mut old = std::mem::take(&mut *map);
        for (slots, node) in ranges {
            let link = map.nodes.remove(&node).or_else(|| old.nodes.remove(&node));
            let link = link.unwrap_or_else(|| self.new_link(&node));
            link.warm();
            map.ranges.push((slots, link.clone()));
            map.nodes.insert(node, link);
        }
    }

    /// The link to a node, kept as long as the map that it is in.
    fn link(&self, node: &Node) -> Link {
        let mut map = self.shared.map.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = map.nodes.get(node) {
            return link.clone();
        }
        let link = self.new_link(node);
        map.nodes.insert(node.clone(), link.clone());
        link
    }

    fn new_link(&self, node: &Node) -> Link {
        Link::of_node(self.shared.server.node(node), Arc::clone(&self.shared.tally))
    }
}

/// Nobody else asks where the slots are until this is dropped.
struct Asking(Cluster);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.shared.is_asking.store(false, Ordering::Release);
    }
}

#[derive(Clone, Copy)]
enum Way {
    Straight,
    /// To a node that the key's slot is on its way to.
    Asking,
}

/// Sends a command to one node. A script that it does not know it is taught, which proves that nothing ran.
async fn put(link: &Link, command: &Cmd, teach: Option<Teach<'_>>, way: Way) -> RedisResult<Value> {
    let mut live = link.live().await.map_err(unreachable)?;
    let Connection::Server(connection) = &mut live.connection else {
        return Err(unreachable(StoreFailure::Cluster));
    };
    let mut answer = one(connection, command, way).await;
    if let (Err(error), Some(teach)) = (&answer, teach)
        && error.code() == Some("NOSCRIPT")
    {
        answer = match one(connection, &teach(), Way::Straight).await {
            Ok(_sha) => one(connection, command, way).await,
            refused => refused,
        };
    }
    if let Err(error) = &answer
        && error.redirect_node().is_none()
    {
        let fault = Fault::of(error);
        if fault.drops {
            link.lost(&live, fault.failure);
        }
    }
    answer
}

async fn one(
    connection: &mut client::aio::MultiplexedConnection,
    command: &Cmd,
    way: Way,
) -> RedisResult<Value> {
    match way {
        Way::Straight => connection.req_packed_command(command).await?.extract_error(),
        Way::Asking => {
            let mut both = client::Pipeline::with_capacity(2);
            both.cmd("ASKING").add_command(command.clone());
            let answers = connection.req_packed_commands(&both, 0, 2).await?;
            let last = answers.into_iter().next_back();
            last.ok_or_else(|| unreachable(StoreFailure::Protocol))?.extract_error()
        }
    }
}

/// A failure of ours as an error of the client's, which [`Fault::of`] reads as that failure again.
#[expect(clippy::wildcard_enum_match_arm, reason = "whatever else it was, no node could be asked")]
fn unreachable(failure: StoreFailure) -> RedisError {
    match failure {
        StoreFailure::Refused => io::Error::from(io::ErrorKind::ConnectionRefused).into(),
        StoreFailure::Closed => io::Error::from(io::ErrorKind::BrokenPipe).into(),
        StoreFailure::Auth => (ErrorKind::AuthenticationFailed, "a node refuses us").into(),
        StoreFailure::Protocol => (ErrorKind::UnexpectedReturnType, "a node answers oddly").into(),
        _ => (ErrorKind::ClusterConnectionNotFound, "no node to ask").into(),
    }
}

/// The first key of a command of ours.
fn key_of(command: &Cmd) -> Option<&[u8]> {
    let word = |at| match command.args_iter().nth(at) {
        Some(client::Arg::Simple(word)) => Some(word),
        _ => None,
    };
    word(if word(0)? == b"EVALSHA" { 3 } else { 1 })
}

/// Reads `host:port`; no host means that of the node which said so.
fn place(node: &str, said_by: &Redis) -> Option<Node> {
    let (host, port) = node.rsplit_once(':')?;
    let host = if host.is_empty() { said_by.seeds().pop()?.0 } else { host.to_owned() };
    Some((host, port.parse().ok()?))
}

/// Reads the answer to `CLUSTER SLOTS`; of each range the first node is the primary.
fn ranges(answer: &Value, said_by: &Redis) -> Option<Vec<(Slots, Node)>> {
    let Value::Array(ranges) = answer else { return None };
    let read = |range: &Value| {
        let Value::Array(range) = range else { return None };
        let [Value::Int(first), Value::Int(last), Value::Array(primary), ..] = range.as_slice()
        else {
            return None;
        };
        let [host, Value::Int(port), ..] = primary.as_slice() else { return None };
        let slots = Slots(u16::try_from(*first).ok()?, u16::try_from(*last).ok()?);
        let host = if let Value::BulkString(host) = host
            && !host.is_empty()
        {
            String::from_utf8(host.clone()).ok()?
        } else {
            said_by.seeds().pop()?.0
        };
        Some((slots, (host, u16::try_from(*port).ok()?)))
    };
    let ranges: Vec<(Slots, Node)> = ranges.iter().map(read).collect::<Option<_>>()?;
    if ranges.is_empty() { None } else { Some(ranges) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn maps() {
        let asked = Redis::cluster(["redis://seed:7000"]).unwrap().node(&("here".into(), 7_001));
        let range = |first, last, host, port| {
            let node = Value::Array(vec![host, Value::Int(port), text("id")]);
            Value::Array(vec![Value::Int(first), Value::Int(last), node.clone(), node])
        };
        let at = |first, last, host: &str, port| (Slots(first, last), (host.to_owned(), port));
        for (name, answer, want) in [
            (
                "L336 two nodes",
                Value::Array(vec![
                    range(0, 8_191, text("a"), 1),
                    range(8_192, 16_383, text("b"), 2),
                ]),
                Some(vec![at(0, 8_191, "a", 1), at(8_192, 16_383, "b", 2)]),
            ),
            (
                "no host means the one that was asked",
                Value::Array(vec![range(0, 1, Value::Nil, 1), range(2, 3, text(""), 2)]),
                Some(vec![at(0, 1, "here", 1), at(2, 3, "here", 2)]),
            ),
            ("no slot has a node", Value::Array(vec![]), None),
            ("no port", Value::Array(vec![range(0, 1, text("a"), 1 << 20)]), None),
            ("no array", text("OK"), None),
            ("no range", Value::Array(vec![Value::Int(1)]), None),
        ] {
            assert_eq!(ranges(&answer, &asked), want, "{name}");
        }
        for (name, node, want) in [
            ("a node", "10.0.0.1:6379", Some(("10.0.0.1".to_owned(), 6_379))),
            ("a long address", "::1:6379", Some(("::1".to_owned(), 6_379))),
            ("the same host", ":6380", Some(("here".to_owned(), 6_380))),
            ("no port", "10.0.0.1", None),
            ("no number", "10.0.0.1:x", None),
        ] {
            assert_eq!(place(node, &asked), want, "{name}");
        }
    }

    #[test]
    fn keys_of_commands() {
        let mut script = client::cmd("EVALSHA");
        script.arg("sha").arg(1).arg("tb:rl1:{9f5b}token:a").arg("x");
        let mut get = client::cmd("GET");
        get.arg("tb:ctx:a:b");
        let want = [Some(&b"tb:rl1:{9f5b}token:a"[..]), Some(b"tb:ctx:a:b"), None];
        assert_eq!([key_of(&script), key_of(&get), key_of(&client::cmd("PING"))], want);
    }

    #[test]
    fn failures_come_through() {
        for failure in [
            StoreFailure::Refused,
            StoreFailure::Closed,
            StoreFailure::Auth,
            StoreFailure::Protocol,
            StoreFailure::Cluster,
        ] {
            let fault = Fault::of(&unreachable(failure));
            assert_eq!((fault.failure, fault.drops), (failure, true), "{failure:?}");
        }
    }
}
