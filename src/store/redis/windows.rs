//! One limit for all replicas: the logs of a limiter, in Redis.
//!
//! 1. One script, one round trip, whatever the number of policies; Redis' own clock alone decides.
//! 2. What may have been sent is never sent again: it may have charged.
//! 3. A server that forgot the script is taught it once, whatever the number of calls that find it out together.
//! 4. A denial writes nothing. Each key dies when its newest unit stops counting.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use ::redis::{Cmd, Value};

use crate::metrics::script_loaded;
use crate::store::failure::StoreFailure;
use crate::store::redis::fault::{Fault, RedisError};
use crate::store::redis::key::{self, Tags};
use crate::store::redis::link::{Link, Live};
use crate::store::redis::script::{DECISION, Decision, is_decision, read};
use crate::store::redis::server::Redis;
use crate::store::window::{Answer, Ask, WindowStore};

/// The windows of a limiter, shared by every process that uses the same Redis, namespace and policy names.
///
/// Makes its connection when it is first asked, and a new one whenever that is lost; give it to
/// [`LimiterBuilder::store`](crate::limit::LimiterBuilder::store). One request takes one round trip.
///
/// Best on a Redis of its own, without eviction: what is evicted is forgotten, which lets its caller through once more.
/// The user it comes as needs `+evalsha +script|load +time +get +set +hello ~NAMESPACE:rl1:*`, with `+role` behind a
/// Sentinel set, and `+cluster|slots +asking` on a Cluster. There, let `cluster-require-full-coverage no` keep the shards
/// that are left at work when one is lost.
///
/// ```
/// use std::num::NonZeroU32;
/// use tower_bearer::limit::{Limit, Limiter, Policy};
/// use tower_bearer::store::{Redis, RedisWindows};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let redis = Redis::open("redis://127.0.0.1:6379")?;
/// let minute = Limit::per_minute(NonZeroU32::new(60).unwrap())?;
/// let limiter = Limiter::builder().policy(Policy::per_token(minute)).store(RedisWindows::new(&redis)).build()?;
/// # let _ = limiter; Ok(()) }
/// ```
pub struct RedisWindows {
    link: Link,
    tags: Tags,
    loads: AtomicU64,
    /// The last tag asked about in each part, for the probe.
    #[cfg(feature = "redis-cluster")]
    asked: [std::sync::atomic::AtomicU16; PARTS],
}

impl RedisWindows {
    /// Keeps windows in `redis`. Does no I/O.
    pub fn new(redis: &Redis) -> Self {
        Self {
            link: Link::of_windows(redis.clone()),
            tags: Tags::Owners,
            loads: AtomicU64::new(0),
            #[cfg(feature = "redis-cluster")]
            asked: Default::default(),
        }
    }

    /// Keeps all logs in one slot of a Cluster, so that policies of the caller and of the tenant can be decided together:
    /// everything on one shard's capacity. Switching starts new logs.
    #[must_use]
    pub fn one_slot(mut self) -> Self {
        self.tags = Tags::One;
        self
    }

    /// How often the script was loaded. More than once means that a server was restarted, flushed or replaced.
    pub fn script_loads(&self) -> u64 {
        self.loads.load(Ordering::Relaxed)
    }

    async fn decide(&self, script: &Decision, ask: &Ask<'_>) -> Result<Answer, RedisError> {
        let command = script.ask(self.link.server().prefix(), self.tags, ask);
        let mut live = self.link.live().await?;
        let reply = self.run(&mut live, script, &command).await?;
        match read(&reply, ask) {
            Some(answer) => Ok(answer.in_epoch(self.link.epoch())),
            None => Err(self.failed(&live, Fault::protocol())),
        }
    }

    /// Sends a call of the script; teaches it to a server that does not know it, which proves that nothing ran.
    async fn run(
        &self,
        live: &mut Live,
        script: &Decision,
        command: &Cmd,
    ) -> Result<Value, RedisError> {
        let teach = || {
            self.loads.fetch_add(1, Ordering::Relaxed);
            self.link.doubt();
            script_loaded();
            script.load()
        };
        let answer = live.call(command, &teach).await;
        answer.map_err(|error| self.failed(live, Fault::of(&error)))
    }

    /// Gives up the connection if the fault asks for it.
    fn failed(&self, live: &Live, fault: Fault) -> RedisError {
        if fault.drops {
            self.link.lost(live, fault.failure);
        }
        fault.failure.into()
    }

    fn tag_of(&self, part: u8) -> String {
        #[cfg(feature = "redis-cluster")]
        if let Some(asked) = self.asked.get(usize::from(part))
            && self.link.server().is_cluster()
        {
            return self.tags.tag(asked.load(Ordering::Relaxed).to_be_bytes());
        }
        let _ = part;
        Tags::One.tag([0, 0])
    }
}

impl WindowStore for RedisWindows {
    type Error = RedisError;

    async fn admit(&self, ask: &Ask<'_>) -> Result<Answer, RedisError> {
        self.decide(&DECISION, ask).await
    }

    fn failure(error: &RedisError) -> StoreFailure {
        error.failure()
    }

    #[cfg(feature = "redis-cluster")]
    fn part(&self, ask: &Ask<'_>) -> u8 {
        let Some(item) = ask.items().first().filter(|_| self.link.server().is_cluster()) else {
            return 0;
        };
        let tag = item.key().tag();
        let part = key::part(&self.tags.tag(tag));
        if let Some(asked) = self.asked.get(usize::from(part)) {
            asked.store(u16::from_be_bytes(tag), Ordering::Relaxed);
        }
        part
    }

    fn epoch(&self, _part: u8) -> u64 {
        self.link.epoch()
    }

    async fn probe(&self, part: u8) -> Result<(), RedisError> {
        let key = key::probe(self.link.server().prefix(), &self.tag_of(part));
        let mut live = self.link.tried().await?;
        let reply = self.run(&mut live, &DECISION, &DECISION.probe(&key)).await?;
        if is_decision(&reply) { Ok(()) } else { Err(self.failed(&live, Fault::protocol())) }
    }

    fn gave_up(&self, part: u8) {
        self.link.drop_connection(&self.tag_of(part));
    }

    fn decides_across_owners(&self) -> bool {
        self.tags == Tags::One || !self.link.server().is_cluster()
    }
}

impl fmt::Debug for RedisWindows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisWindows")
            .field("redis", self.link.server())
            .field("one_slot", &(self.tags == Tags::One))
            .finish()
    }
}

#[cfg(feature = "redis-cluster")]
const PARTS: usize = 16;

#[cfg(test)]
mod tests;
