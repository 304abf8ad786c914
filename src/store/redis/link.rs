//! The one connection of an adapter: made when first needed, replaced when lost.
//!
//! 1. One attempt at a time, in a task of its own; 20 to 200 ms lie between two that failed, drawn at random.
//! 2. Whoever needs the connection while the first attempt runs waits for its end; between attempts the answer is no, at once.
//! 3. A loss is told by number: of many calls that one connection took down, the first one starts the next attempt.
//! 4. Nothing is sent twice here. The task ends with the link.

use ::redis as client;

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use client::aio::{ConnectionLike, MultiplexedConnection};
use client::{Cmd, Value};
use tokio::sync::watch;

use crate::store::failure::StoreFailure;
use crate::store::redis::fault::Fault;
use crate::store::redis::server::Redis;

/// A connection, of either sort. A clone is the same connection.
#[derive(Clone)]
pub(super) enum Connection {
    Server(MultiplexedConnection),
    #[cfg(feature = "redis-cluster")]
    Cluster(client::cluster_async::ClusterConnection),
}

impl Connection {
    /// Sends one command, and hears its answer.
    pub(super) async fn send(&mut self, command: &Cmd) -> client::RedisResult<Value> {
        match self {
            Self::Server(connection) => connection.req_packed_command(command).await,
            #[cfg(feature = "redis-cluster")]
            Self::Cluster(connection) => connection.req_packed_command(command).await,
        }
        .and_then(Value::extract_error)
    }

    /// Sends a command once more to the node that a Cluster's answer named: MOVED and ASK prove that it did not run.
    #[cfg(feature = "redis-cluster")]
    pub(super) async fn follow(
        &mut self,
        command: &Cmd,
        moved: client::RedisError,
    ) -> client::RedisResult<Value> {
        use client::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};

        let Self::Cluster(connection) = self else { return Err(moved) };
        let code = moved.code().unwrap_or_default().to_owned();
        let node = moved.redirect_node().and_then(|(node, _slot)| node.rsplit_once(':'));
        let Some((host, Ok(port))) = node.map(|(host, port)| (host.to_owned(), port.parse()))
        else {
            return Err(moved);
        };
        let node = SingleNodeRoutingInfo::ByAddress { host, port };
        match code.as_str() {
            "MOVED" => {
                let node = RoutingInfo::SingleNode(node);
                connection.route_command(command.clone(), node).await.and_then(Value::extract_error)
            }
            "ASK" => {
                let mut both = client::Pipeline::with_capacity(2);
                both.cmd("ASKING").ignore().add_command(command.clone());
                let answers = connection.route_pipeline(both, 0, 2, node).await?;
                answers.into_iter().last().ok_or(moved).and_then(Value::extract_error)
            }
            _ => Err(moved),
        }
    }
}

/// A connection that stands, as far as we know.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) connection: Connection,
    number: u64,
}

/// Keeps a connection. A clone keeps the same one.
#[derive(Clone)]
pub(super) struct Link {
    shared: Arc<Shared>,
}

struct Shared {
    server: Redis,
    state: watch::Sender<State>,
    /// Grows with each connection, and with whatever else makes what the server knows doubtful.
    epoch: AtomicU64,
    chance: RandomState,
}

enum State {
    /// Nobody has asked yet.
    Idle,
    /// The first attempt runs.
    Trying,
    /// The last attempt failed; another one comes soon.
    Down(StoreFailure),
    Up(Live),
}

impl Link {
    pub(super) fn new(server: Redis) -> Self {
        let (state, _) = watch::channel(State::Idle);
        let (epoch, chance) = (AtomicU64::new(0), RandomState::new());
        Self { shared: Arc::new(Shared { server, state, epoch, chance }) }
    }

    pub(super) fn server(&self) -> &Redis {
        &self.shared.server
    }

    /// The connection, or why there is none. Whoever calls has a deadline.
    pub(super) async fn live(&self) -> Result<Live, StoreFailure> {
        let mut hear = self.shared.state.subscribe();
        loop {
            let idle = match &*hear.borrow_and_update() {
                State::Up(live) => return Ok(live.clone()),
                State::Down(failure) => return Err(*failure),
                State::Idle => true,
                State::Trying => false,
            };
            if idle {
                self.begin(|state| matches!(state, State::Idle));
            }
            if hear.changed().await.is_err() {
                return Err(StoreFailure::Closed);
            }
        }
    }

    /// This connection is of no use any more.
    pub(super) fn lost(&self, lost: &Live) {
        self.begin(|state| matches!(state, State::Up(live) if live.number == lost.number));
    }

    /// Whatever connection there is, it is of no use any more.
    pub(super) fn drop_connection(&self) {
        self.begin(|state| matches!(state, State::Up(_)));
    }

    pub(super) fn epoch(&self) -> u64 {
        self.shared.epoch.load(Ordering::Acquire)
    }

    /// What the server knows has become doubtful.
    pub(super) fn doubt(&self) {
        self.shared.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// Starts to connect, if the state is as it has to be.
    fn begin(&self, may: impl FnOnce(&State) -> bool) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let begun = self.shared.state.send_if_modified(|state| {
            let may = may(state);
            if may {
                *state = State::Trying;
            }
            may
        });
        if begun {
            runtime.spawn(connect(Arc::downgrade(&self.shared)));
        }
    }
}

/// Tries until there is a connection, or nobody to have it.
async fn connect(shared: Weak<Shared>) {
    let mut pause = SHORTEST;
    loop {
        let Some(link) = shared.upgrade() else { return };
        match attempt(&link.server).await {
            Ok(connection) => {
                let number = link.epoch.fetch_add(1, Ordering::AcqRel) + 1;
                link.state.send_replace(State::Up(Live { connection, number }));
                return;
            }
            Err(failure) => link.state.send_replace(State::Down(failure)),
        };
        let jitter = link.chance.hash_one(link.epoch.load(Ordering::Relaxed) ^ nanos(pause)) % 500;
        drop(link);
        tokio::time::sleep(pause.mul_f64(0.75 + jitter as f64 / 1_000.0)).await;
        pause = (pause * 2).min(LONGEST);
    }
}

/// One attempt, in a task of its own, so that a panic in the client's code is a failure and not the end of this one.
async fn attempt(server: &Redis) -> Result<Connection, StoreFailure> {
    let within = server.time_to_connect();
    let server = server.clone();
    let connecting = tokio::spawn(async move { server.connect(NO_PUSHES).await });
    let stop = connecting.abort_handle();
    match tokio::time::timeout(within, connecting).await {
        Ok(Ok(Ok(connection))) => Ok(connection),
        Ok(Ok(Err(error))) => Err(Fault::of(&error).failure),
        Ok(Err(_panicked)) => Err(StoreFailure::Panic),
        Err(_over) => {
            stop.abort();
            Err(StoreFailure::Refused)
        }
    }
}

/// For adapters that only ask.
const NO_PUSHES: Option<fn(client::PushInfo) -> Result<(), client::aio::SendError>> = None;
const SHORTEST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_millis(200);

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
