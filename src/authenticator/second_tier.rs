//! What do other processes know of this token already?
//!
//! 1. Holds records and tombstones, never a "no" of another sort and never a verdict: what is read is judged anew.
//! 2. One deadline (25 ms) for each call. An error, a deadline, a panic and a value that cannot be used are misses: the source
//!    is asked, and nobody is refused for it. A breaker spares the wait while the tier is out.
//! 3. What was changed for a subject, or missed on the bus, is not read here until every older entry has ended.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::authenticator::elsewhere::{AbortOnDrop, lock};
use crate::authenticator::erased::Tier;
use crate::authenticator::shared_value::{Found, TOMBSTONE, decode, encode};
use crate::breaker::{Breaker, Turn};
use crate::cache::Change;
use crate::chance::Chance;
use crate::clock::{Moment, Timestamp};
use crate::key::hash_parts;
use crate::metrics::{BreakerState, SharedOutcome, shared_cache, shared_cache_breaker};
use crate::store::{SharedKey, TokenRecord};
use crate::subject::SubjectKey;
use crate::token::{Digest, Kind, TokenKinds};

/// What the second tier says of a digest.
pub(super) enum Told {
    /// A record that counts until this wall time.
    Record(Box<TokenRecord>, Timestamp),
    /// Ended: refused whatever the source says.
    Buried,
    /// Nothing; the source's answer may be kept.
    Nothing,
    /// Nobody could say; nothing is kept either.
    Silent,
}

/// The tier with its key space, deadline and breaker.
pub(super) struct SecondTier {
    tier: Arc<dyn Tier>,
    fingerprint: [u8; 16],
    deadline: Duration,
    /// The longest life of an entry.
    ttl: Duration,
    /// From a load's question to its entry in the tier, at most.
    load_deadline: Duration,
    tombstone_life: Duration,
    breaker: Mutex<Breaker>,
    chance: Chance,
    distrust: Mutex<Distrust>,
}

/// How long which entries are older than what is known here, in monotonic nanoseconds.
#[derive(Default)]
struct Distrust {
    all: u64,
    subjects: HashMap<SubjectKey, u64>,
}

/// Subjects that are distrusted one by one; one more distrusts everything.
const SUBJECTS: usize = 4_096;

pub(super) struct TierSetup {
    pub(super) tier: Arc<dyn Tier>,
    pub(super) name: String,
    pub(super) deadline: Duration,
    pub(super) ttl: Duration,
    pub(super) load_deadline: Duration,
    pub(super) tombstone_life: Duration,
}

impl SecondTier {
    pub(super) fn new(setup: TierSetup, kinds: &TokenKinds) -> Self {
        let TierSetup { tier, name, deadline, ttl, load_deadline, tombstone_life } = setup;
        shared_cache_breaker(BreakerState::Closed);
        Self {
            tier,
            fingerprint: fingerprint(&name, kinds),
            deadline,
            ttl,
            load_deadline,
            tombstone_life,
            breaker: Mutex::default(),
            chance: Chance::default(),
            distrust: Mutex::default(),
        }
    }

    /// Asks the tier; `now` is a reading of the clock of just now.
    pub(super) async fn find(&self, digest: Digest, kind: &Kind, now: Moment) -> Told {
        if self.ttl.is_zero() {
            return Told::Silent;
        }
        let nanos = now.monotonic_nanos();
        if lock(&self.distrust).all > nanos {
            return Told::Nothing;
        }
        let (allowed, probes) = {
            let mut breaker = lock(&self.breaker);
            let allowed = breaker.allow(nanos, self.chance.next());
            (allowed, allowed && breaker.is_open())
        };
        if !allowed {
            shared_cache(SharedOutcome::Failed);
            return Told::Silent;
        }
        if probes {
            shared_cache_breaker(BreakerState::HalfOpen);
        }
        let (tier, key) = (Arc::clone(&self.tier), self.key(digest));
        let answer = self.call(now, async move { tier.find(&key).await }).await;
        let (outcome, told) = match answer {
            Err(outcome) => (outcome, Told::Silent),
            Ok(None) => (SharedOutcome::Miss, Told::Nothing),
            Ok(Some(bytes)) => match decode(&bytes, &digest) {
                Found::Tombstone => (SharedOutcome::Buried, Told::Buried),
                Found::Record(record, ends) => self.usable(record, ends, kind, now),
                Found::Foreign => (SharedOutcome::Foreign, Told::Nothing),
            },
        };
        shared_cache(outcome);
        told
    }

    /// Keeps what the source said just now, where nothing stands.
    pub(super) async fn keep(&self, digest: Digest, record: &TokenRecord, now: Moment) {
        let ends = now.wall().saturating_add(self.ttl).min(record.expires_at);
        let life = ends.since(now.wall());
        let Some(value) = encode(record, &digest, ends).filter(|_| !life.is_zero()) else { return };
        let (tier, key) = (Arc::clone(&self.tier), self.key(digest));
        // whether it was kept makes no difference to anybody
        let _kept = self.call(now, async move { tier.keep(&key, &value, life).await }).await;
    }

    /// Puts a tombstone over the entry of a digest. The caller sets the deadline.
    pub(super) async fn bury(&self, digest: &Digest) -> Result<(), ()> {
        let buried = self.tier.bury(&self.key(*digest), TOMBSTONE, self.tombstone_life).await;
        buried.map_err(drop)
    }

    /// Entries that are older than this change are not read any more.
    pub(super) fn distrust(&self, change: &Change, now: Moment) {
        let life = self.ttl.saturating_add(self.load_deadline);
        let life = u64::try_from(life.as_nanos()).unwrap_or(u64::MAX);
        let (now, until) = (now.monotonic_nanos(), now.monotonic_nanos().saturating_add(life));
        let key = match change {
            Change::Subject(key) => Some(key.clone()),
            Change::Account(id) => Some(SubjectKey::of_account(id)),
            Change::All => None,
            Change::App(_)
            | Change::Member(..)
            | Change::Permit(..)
            | Change::Workspace(_)
            | Change::Caller(_) => return,
        };
        let mut distrust = lock(&self.distrust);
        if distrust.subjects.len() >= SUBJECTS {
            distrust.subjects.retain(|_, until| now < *until);
        }
        match key {
            Some(key) if distrust.subjects.len() < SUBJECTS => {
                distrust.subjects.insert(key, until);
            }
            Some(_) | None => {
                distrust.all = until;
                distrust.subjects.clear();
            }
        }
    }

    fn usable(
        &self,
        record: Box<TokenRecord>,
        ends: Timestamp,
        kind: &Kind,
        now: Moment,
    ) -> (SharedOutcome, Told) {
        if record.kind != kind.name() || record.subject.subject_type() != kind.subject_type() {
            return (SharedOutcome::Foreign, Told::Nothing);
        }
        let until = lock(&self.distrust).subjects.get(&record.subject.key()).copied();
        if now.wall() >= ends || until.is_some_and(|until| now.monotonic_nanos() < until) {
            return (SharedOutcome::Miss, Told::Nothing);
        }
        // a clock elsewhere that is ahead of this one makes no life longer
        let ends = ends.min(now.wall().saturating_add(self.ttl));
        (SharedOutcome::Hit, Told::Record(record, ends))
    }

    /// Runs one call in a task of its own, so that neither a panic nor a hang is anybody else's.
    async fn call<T: Send + 'static, E: Send + 'static>(
        &self,
        now: Moment,
        call: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, SharedOutcome> {
        let mut task = AbortOnDrop::spawn(call);
        let answer = match tokio::time::timeout(self.deadline, task.joined()).await {
            Ok(Some(answer)) => answer.map_err(|_error| SharedOutcome::Failed),
            Ok(None) => Err(SharedOutcome::Failed),
            Err(_over) => Err(SharedOutcome::Late),
        };
        let nanos = now.monotonic_nanos();
        let mut breaker = lock(&self.breaker);
        let probed = breaker.is_open();
        let turn = match &answer {
            Ok(_) => breaker.succeeded(),
            Err(_) => breaker.failed(nanos, self.chance.next()),
        };
        drop(breaker);
        match turn {
            Turn::Opened => {
                shared_cache_breaker(BreakerState::Open);
                tracing::warn!("shared cache is out; token sources are asked instead");
            }
            Turn::Closed => {
                shared_cache_breaker(BreakerState::Closed);
                tracing::warn!("shared cache answers again");
            }
            Turn::Same if probed => shared_cache_breaker(BreakerState::Open),
            Turn::Same => {}
        }
        answer
    }

    fn key(&self, digest: Digest) -> SharedKey {
        SharedKey::new(self.fingerprint, digest)
    }
}

/// Names everything that makes a record mean what it means here: the authenticator's name, and per kind its definition.
fn fingerprint(name: &str, kinds: &TokenKinds) -> [u8; 16] {
    let mut by_name: Vec<&Kind> = kinds.iter().collect();
    by_name.sort_by_key(|kind| kind.name());
    let definitions: Vec<[u8; 32]> = by_name.into_iter().map(Kind::definition).collect();
    let mut parts = vec![name.as_bytes()];
    parts.extend(definitions.iter().map(<[u8; 32]>::as_slice));
    let hash = hash_parts("ctx", &parts);
    std::array::from_fn(|at| hash.get(at).copied().unwrap_or_default())
}

/// May a name stand in a key of the shared cache? `[a-z0-9-]{1,32}`.
pub(super) fn is_name(name: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=32).contains(&name.len()) && name.bytes().all(fine)
}
