//! What lies on a Redis, whatever its sort, asked as a limiter, an authenticator and a cache ask.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tower_bearer::AuthContext;
use tower_bearer::QuotaSource;
use tower_bearer::id::AccountId;
use tower_bearer::limit::{Limit, Limiter};
use tower_bearer::rejection::RejectionKind;
use tower_bearer::store::{
    Answer, Ask, AskItem, ContextStore, Heard, LogId, Notice, PolicyName, Redis, RedisBus,
    RedisContexts, RedisError, RedisWindows, RevocationBus, SharedKey, Standing, StoreFailure,
    WindowKey, WindowStore,
};
use tower_bearer::token::Digest;

/// Windows, and the policies of its questions.
pub(crate) struct Windows {
    pub(crate) store: RedisWindows,
    token: PolicyName,
    subject: PolicyName,
}

impl Windows {
    pub(crate) fn new(redis: &Redis) -> Self {
        let name = |name| PolicyName::new(name).unwrap();
        Self { store: RedisWindows::new(redis), token: name("token"), subject: name("subject") }
    }

    /// One unit of one log of the owner `id`.
    pub(crate) async fn admit(&self, id: &str, limit: Limit) -> Result<Answer, RedisError> {
        let id = LogId::of_subject(id);
        let items = [AskItem::new(WindowKey::new(&self.token, id, id), limit)];
        self.store.admit(&Ask::new(NonZeroU32::MIN, 0, &items).unwrap()).await
    }

    /// One unit of both logs of the owner `id`.
    pub(crate) async fn admit_both(&self, id: &str, limit: Limit) -> Result<Answer, RedisError> {
        let id = LogId::of_subject(id);
        let items = [&self.token, &self.subject]
            .map(|policy| AskItem::new(WindowKey::new(policy, id, id), limit));
        self.store.admit(&Ask::new(NonZeroU32::MIN, 0, &items).unwrap()).await
    }

    /// Asks until Redis decides.
    pub(crate) async fn until_decided(&self, id: &str, limit: Limit) -> Answer {
        let asking = async {
            loop {
                if let Ok(answer) = self.admit(id, limit).await {
                    return answer;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), asking).await.unwrap()
    }
}

/// The key of the log of the owner `id`.
pub(crate) fn key(policy: &str, id: &str) -> String {
    let id = LogId::of_subject(id);
    let [a, b] = id.tag();
    format!("tb:rl1:{{{a:02x}{b:02x}}}{policy}:{id}")
}

pub(crate) fn limit(count: u32, ms: u64) -> Limit {
    Limit::new(NonZeroU32::new(count).unwrap(), Duration::from_millis(ms)).unwrap()
}

/// What is left of the first log.
pub(crate) fn left(answer: &Answer) -> u32 {
    match answer.standings()[0] {
        Standing::Room { remaining, .. } | Standing::Full { remaining, .. } => remaining,
        _ => unreachable!("a third standing"),
    }
}

/// Who decided, and how.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Said {
    Redis,
    Fallback,
    Denied,
    Undecided,
}

/// Asks a limiter as `BearerStack` does.
pub(crate) async fn ask(limiter: &Limiter, caller: &AuthContext) -> Said {
    match limiter.check(caller, 1).await {
        Ok(quota) => match quota.map(|quota| quota.source) {
            Some(QuotaSource::Store) => Said::Redis,
            Some(QuotaSource::Fallback) => Said::Fallback,
            other => unreachable!("{other:?}"),
        },
        Err(refused) if refused.kind() == RejectionKind::RateLimited => Said::Denied,
        Err(_) => Said::Undecided,
    }
}

/// Asks until it says so, for at most twenty seconds; gives back what it said before.
pub(crate) async fn ask_until(limiter: &Limiter, caller: &AuthContext, want: Said) -> Vec<Said> {
    let asking = async {
        let mut before = Vec::new();
        loop {
            let said = ask(limiter, caller).await;
            if said == want {
                return before;
            }
            before.push(said);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), asking).await.unwrap()
}

/// Stays on a bus, one after the other, and all that was heard.
pub(crate) struct Stay {
    heard: Arc<Mutex<Vec<Heard>>>,
    ends: Arc<Mutex<Vec<StoreFailure>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Stay {
    /// Joins.
    pub(crate) async fn on(redis: &Redis) -> Self {
        let stay = Self::begin(redis);
        stay.until(|heard| heard.contains(&Heard::Joined)).await;
        stay
    }

    pub(crate) fn begin(redis: &Redis) -> Self {
        let bus = RedisBus::new(redis);
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ends = Arc::new(Mutex::new(Vec::new()));
        let (to, ended) = (Arc::clone(&heard), Arc::clone(&ends));
        let task = tokio::spawn(async move {
            loop {
                let end = bus.attend(&mut |next| to.lock().unwrap().push(next)).await;
                ended.lock().unwrap().push(end.failure());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self { heard, ends, task }
    }

    pub(crate) async fn until(&self, done: impl Fn(&[Heard]) -> bool) {
        let waiting = async {
            while !done(&self.heard.lock().unwrap()) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap();
    }

    /// Waits for so many notices; nothing may have been missed.
    pub(crate) async fn until_notices(&self, count: usize) {
        let notices = |heard: &[Heard]| {
            heard.iter().filter(|heard| matches!(heard, Heard::Notice { .. })).count()
        };
        self.until(|heard| notices(heard) >= count).await;
        let heard = self.heard.lock().unwrap();
        assert!(notices(&heard) == count && !heard.contains(&Heard::Gap), "{heard:?}");
    }

    /// Why the first one ended.
    pub(crate) async fn end(&self) -> StoreFailure {
        let waiting = async {
            loop {
                let end = self.ends.lock().unwrap().first().copied();
                if let Some(end) = end {
                    return end;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap()
    }

    /// Waits until it has joined so many times.
    pub(crate) async fn until_joined(&self, times: usize) {
        let joined = |heard: &Heard| *heard == Heard::Joined;
        self.until(|heard| heard.iter().filter(|heard| joined(heard)).count() >= times).await;
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) async fn tell(bus: &RedisBus, account: &str) -> Result<(), RedisError> {
    bus.publish(&Notice::Account(AccountId::new(account).unwrap())).await
}

/// Keeps, finds and buries some entries.
pub(crate) async fn contexts_work(redis: &Redis) {
    let (one, other) = (RedisContexts::new(redis), RedisContexts::new(redis));
    let minute = Duration::from_secs(60);
    for number in 0..24_u8 {
        let key = SharedKey::new([7; 16], Digest::of(&format!("tba_{number}")));
        assert_eq!(one.find(&key).await, Ok(None), "{number}");
        assert_eq!(one.keep(&key, &[number], minute).await, Ok(()), "{number}");
        assert_eq!(one.keep(&key, b"other", minute).await, Ok(()), "D47 {number}");
        assert_eq!(other.find(&key).await, Ok(Some(vec![number])), "D47 the first stays");
        assert_eq!(other.bury(&key, b"!", minute).await, Ok(()));
        assert_eq!(one.find(&key).await, Ok(Some(b"!".to_vec())), "D47 buried");
    }
}
