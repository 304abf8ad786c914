//! The one connection of an adapter: made when first needed, replaced when lost.
//!
//! 1. One attempt at a time, in a task of its own; 20 to 200 ms lie between two that failed, drawn at random.
//! 2. Whoever needs the connection while the first attempt runs waits for its end; between attempts the answer is no, at once.
//!    Only who tries whether the server is back waits for an attempt, and is not kept waiting for its turn.
//! 3. A loss is told by number: of many calls that one connection took down, the first one starts the next attempt. A
//!    connection that ends while nobody uses it is replaced before somebody does.
//! 4. Nothing is sent twice here. The task ends with the link.

use ::redis as client;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use client::aio::{ConnectionLike, MultiplexedConnection, SendError};
use client::{Cmd, PushInfo, PushKind, Value};
use tokio::sync::{Mutex, Notify, watch};

use crate::chance::Chance;
use crate::metrics::reconnected;
use crate::store::failure::StoreFailure;
#[cfg(feature = "redis-cluster")]
use crate::store::redis::cluster::Cluster;
use crate::store::redis::fault::Fault;
#[cfg(feature = "redis-cluster")]
use crate::store::redis::key::slot;
use crate::store::redis::server::Redis;

/// A connection, of either sort. A clone is the same connection.
#[derive(Clone)]
pub(super) enum Connection {
    Server(MultiplexedConnection),
    #[cfg(feature = "redis-cluster")]
    Cluster(Cluster),
}

impl Connection {
    /// Sends one command, and hears its answer.
    pub(super) async fn send(&mut self, command: &Cmd) -> client::RedisResult<Value> {
        match self {
            Self::Server(connection) => {
                connection.req_packed_command(command).await.and_then(Value::extract_error)
            }
            #[cfg(feature = "redis-cluster")]
            Self::Cluster(cluster) => cluster.send(command, None).await,
        }
    }
}

/// A connection that stands, as far as we know.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) connection: Connection,
    number: u64,
    taught: Arc<Taught>,
}

/// How often a script was taught over a connection.
#[derive(Default)]
struct Taught {
    times: AtomicU64,
    turn: Mutex<()>,
}

impl Live {
    /// Calls the one script of an adapter. A server that does not know it is taught what `teach` gives, and called again: its
    /// NOSCRIPT proves that nothing ran. Of calls that find that out together, one teaches.
    pub(super) async fn call(
        &mut self,
        call: &Cmd,
        teach: &(dyn Fn() -> Cmd + Sync),
    ) -> client::RedisResult<Value> {
        #[cfg(feature = "redis-cluster")]
        if let Connection::Cluster(cluster) = &self.connection {
            return cluster.send(call, Some(teach)).await;
        }
        let times = self.taught.times.load(Ordering::Acquire);
        match self.connection.send(call).await {
            Err(error) if error.code() == Some("NOSCRIPT") => {
                let taught = Arc::clone(&self.taught);
                let turn = taught.turn.lock().await;
                if taught.times.load(Ordering::Acquire) == times {
                    self.connection.send(&teach()).await?;
                    taught.times.fetch_add(1, Ordering::Release);
                }
                drop(turn);
                self.connection.send(call).await
            }
            answer => answer,
        }
    }
}

/// Keeps a connection. A clone keeps the same one.
#[derive(Clone)]
pub(super) struct Link {
    shared: Arc<Shared>,
}

struct Shared {
    server: Redis,
    state: watch::Sender<State>,
    tally: Arc<Tally>,
    /// Attempts so far; each has its number, and so has the connection that it makes.
    attempts: AtomicU64,
    /// Somebody waits for the next attempt.
    hurry: Arc<Notify>,
    chance: Chance,
}

/// What the links of one adapter count together: a Cluster has one for each node.
#[derive(Default)]
pub(super) struct Tally {
    /// Grows with each connection, and with whatever else makes what the server knows doubtful.
    epoch: AtomicU64,
    /// Whether connections that have to be made anew are told to the metrics.
    is_told: bool,
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
        Self::counting(server, Arc::default())
    }

    /// To one node of a Cluster.
    #[cfg(feature = "redis-cluster")]
    pub(super) fn of_node(server: Redis, tally: Arc<Tally>) -> Self {
        Self::counting(server, tally)
    }

    /// For windows, of whose lost connections the metrics tell.
    pub(super) fn of_windows(server: Redis) -> Self {
        Self::counting(server, Arc::new(Tally { is_told: true, ..Tally::default() }))
    }

    fn counting(server: Redis, tally: Arc<Tally>) -> Self {
        let (state, _) = watch::channel(State::Idle);
        let (attempts, hurry) = (AtomicU64::new(0), Arc::default());
        let chance = Chance::default();
        Self { shared: Arc::new(Shared { server, state, tally, attempts, hurry, chance }) }
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
                self.warm();
            }
            if hear.changed().await.is_err() {
                return Err(StoreFailure::Closed);
            }
        }
    }

    /// As `live`; if there is none, what the next attempt comes to, which begins soon.
    pub(super) async fn tried(&self) -> Result<Live, StoreFailure> {
        let mut hear = self.shared.state.subscribe();
        if matches!(&*hear.borrow_and_update(), State::Down(_)) {
            self.shared.hurry.notify_one();
            if hear.changed().await.is_err() {
                return Err(StoreFailure::Closed);
            }
        }
        self.live().await
    }

    /// Makes the first connection, for whoever comes.
    pub(super) fn warm(&self) {
        self.begin(|state| matches!(state, State::Idle));
    }

    /// The server that keeps a key, by itself: of a Cluster it is one of the nodes.
    pub(super) async fn home(&self, key: &str) -> Result<Redis, StoreFailure> {
        #[cfg(feature = "redis-cluster")]
        if self.server().is_cluster() {
            let live = self.live().await?;
            let Connection::Cluster(cluster) = &live.connection else {
                return Err(StoreFailure::Cluster);
            };
            cluster.look(None).await;
            let owner = cluster.owner(slot(key.as_bytes()));
            return owner.map(|link| link.server().clone()).ok_or(StoreFailure::Cluster);
        }
        let _ = key;
        Ok(self.server().clone())
    }

    /// This connection is of no use any more. A Cluster minds those to its nodes by itself.
    pub(super) fn lost(&self, lost: &Live, failure: StoreFailure) {
        #[cfg(feature = "redis-cluster")]
        if let Connection::Cluster(_) = &lost.connection {
            return;
        }
        self.ended(lost.number, failure);
    }

    fn ended(&self, number: u64, failure: StoreFailure) {
        let is_it = |state: &State| matches!(state, State::Up(live) if live.number == number);
        if self.begin(is_it) && self.shared.tally.is_told {
            reconnected(failure.as_str());
        }
    }

    /// Whatever connection there is to the server that keeps the keys of `tag`, it is of no use any more.
    pub(super) fn drop_connection(&self, tag: &str) {
        #[cfg(feature = "redis-cluster")]
        if self.server().is_cluster() {
            if let State::Up(Live { connection: Connection::Cluster(cluster), .. }) =
                &*self.shared.state.borrow()
            {
                if let Some(owner) = cluster.owner(slot(tag.as_bytes())) {
                    owner.drop_connection(tag);
                }
                cluster.renew(None);
            }
            return;
        }
        let _ = tag;
        let is_up = |state: &State| matches!(state, State::Up(_));
        if self.begin(is_up) && self.shared.tally.is_told {
            reconnected(StoreFailure::Breaker.as_str());
        }
    }

    pub(super) fn epoch(&self) -> u64 {
        self.shared.tally.epoch.load(Ordering::Acquire)
    }

    /// What the server knows has become doubtful.
    pub(super) fn doubt(&self) {
        self.shared.tally.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// Starts to connect, if the state is as it has to be; says whether it was.
    fn begin(&self, may: impl FnOnce(&State) -> bool) -> bool {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return false };
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
        begun
    }
}

/// Tries until there is a connection, or nobody to have it.
async fn connect(shared: Weak<Shared>) {
    let mut pause = SHORTEST * 2;
    loop {
        let Some(link) = shared.upgrade() else { return };
        let number = link.attempts.fetch_add(1, Ordering::Relaxed) + 1;
        match attempt(&link, ended(&shared, number)).await {
            Ok(connection) => {
                link.tally.epoch.fetch_add(1, Ordering::AcqRel);
                link.state.send_replace(State::Up(Live {
                    connection,
                    number,
                    taught: Arc::default(),
                }));
                return;
            }
            Err(failure) => link.state.send_replace(State::Down(failure)),
        };
        let jitter = link.chance.next() as f64 / 2_000.0;
        let hurry = Arc::clone(&link.hurry);
        drop(link);
        let drawn = pause.mul_f64(0.5 + jitter);
        tokio::time::sleep(SHORTEST).await;
        // until it is over, or somebody is in a hurry
        let rest = drawn.saturating_sub(SHORTEST);
        let _over = tokio::time::timeout(rest, hurry.notified()).await;
        pause = (pause * 2).min(LONGEST);
    }
}

/// One attempt, in a task of its own, so that a panic in the client's code is a failure and not the end of this one.
async fn attempt(link: &Shared, ended: impl Pushes) -> Result<Connection, StoreFailure> {
    let server = link.server.clone();
    let within = server.time_to_connect();
    #[cfg(feature = "redis-cluster")]
    let tally = Arc::clone(&link.tally);
    let connecting = tokio::spawn(async move {
        #[cfg(feature = "redis-cluster")]
        if server.is_cluster() {
            return Cluster::find(&server, &tally).await.map(Connection::Cluster);
        }
        server.connect(Some(ended)).await.map_err(|error| Fault::of(&error).failure)
    });
    let stop = connecting.abort_handle();
    match tokio::time::timeout(within, connecting).await {
        Ok(Ok(connected)) => connected,
        Ok(Err(_panicked)) => Err(StoreFailure::Panic),
        Err(_over) => {
            stop.abort();
            Err(StoreFailure::Refused)
        }
    }
}

/// Hears of the end of connection `number`, from the client's own task. A Cluster's mends itself.
fn ended(shared: &Weak<Shared>, number: u64) -> impl Pushes {
    let shared = Weak::clone(shared);
    move |push: PushInfo| {
        if push.kind == PushKind::Disconnection
            && let Some(shared) = shared.upgrade()
            && !shared.server.is_cluster()
        {
            Link { shared }.ended(number, StoreFailure::Closed);
        }
        Ok(())
    }
}

trait Pushes: Fn(PushInfo) -> Result<(), SendError> + Send + Sync + 'static {}

impl<F: Fn(PushInfo) -> Result<(), SendError> + Send + Sync + 'static> Pushes for F {}

const SHORTEST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_millis(200);
