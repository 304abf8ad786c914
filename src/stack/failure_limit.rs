//! Does somebody at this address guess tokens?
//!
//! 1. Stands outside [`BearerCheck`](crate::stack::BearerCheck) and needs no context. Off unless added.
//! 2. Counts, per peer address, presented credentials that `BearerCheck` refused with 401 `invalid_token`, and nothing
//!    else: no pass, no missing credential, no outage, no refusal of a later step or of the service.
//! 3. An address at its limit gets 429 for every request, good token or not; nothing of it is read, hashed or asked.
//! 4. A failure is counted when its answer is made. One that nobody waited for is not; those in flight may pass.
//! 5. In this process alone, in a bounded map keyed by address: no unverified token or id makes state.

use http::{HeaderMap, StatusCode};
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::authenticator::Authenticator;
use crate::context::Realm;
use crate::evidence::Evidence;
use crate::gate::{After, Attempt, Passage, Step, step_layer};
use crate::limit::{Limit, Network, Verdict, peer_of};
use crate::rejection::{LimitRefusal, Rejection, RejectionKind, StepName};
use crate::store::{Ask, AskItem, LogId, MemoryWindows, PolicyName, WindowKey};

/// Lets through addresses that present few bad tokens.
///
/// The address is the extension [`PeerAddr`](crate::limit::PeerAddr), set by the server's glue; without it every request
/// is answered 500. Refuses with 429 `rate_limited` and `Retry-After`, without `RateLimit` fields. A clone counts in the
/// same logs.
///
/// ```
/// # use tower_bearer::{Authenticator, stack::FailureLimit};
/// # fn example(auth: &Authenticator) -> Result<(), Box<dyn std::error::Error>> {
/// let layer = FailureLimit::with_defaults(auth).trusted_proxies(["10.0.0.0/8".parse()?]);
/// # let _ = layer; Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct FailureLimit {
    auth: Authenticator,
    failures: Arc<Failures>,
    trusted: Arc<[Network]>,
}

/// A setting of a [`FailureLimit`] is outside its range.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FailureLimitError {
    /// The limit is above 512 failures.
    #[error("failure limit {count} is above {MOST_FAILURES}")]
    LimitOutOfRange {
        /// What was asked for.
        count: u32,
    },
    /// `max_peers` is outside 1,024 to 1,048,576.
    #[error("max_peers {max_peers} is outside 1,024 to 1,048,576")]
    MaxPeersOutOfRange {
        /// What was asked for.
        max_peers: usize,
    },
}

impl FailureLimit {
    /// Allows `limit` failures per address, at most 512 in its window; takes time and realm from `auth`.
    ///
    /// # Errors
    ///
    /// [`FailureLimitError::LimitOutOfRange`]: the count is above 512.
    pub fn new(auth: &Authenticator, limit: Limit) -> Result<Self, FailureLimitError> {
        let count = limit.count().get();
        if count > MOST_FAILURES {
            return Err(FailureLimitError::LimitOutOfRange { count });
        }
        Ok(Self::of(auth, limit, MemoryWindows::named("failures")))
    }

    /// Allows 100 failures per address in any 60 s, of at most 65,536 addresses.
    pub fn with_defaults(auth: &Authenticator) -> Self {
        Self::of(auth, default_limit(), MemoryWindows::named("failures"))
    }

    fn of(auth: &Authenticator, limit: Limit, windows: MemoryWindows) -> Self {
        let failures = Arc::new(Failures { windows, name: policy_name(), limit });
        Self { auth: auth.clone(), failures, trusted: Arc::new([]) }
    }

    /// Remembers at most `max_peers` addresses; of a full map the one with the fewest failures goes. Starts anew.
    ///
    /// Default 65,536; 1,024 to 1,048,576.
    ///
    /// # Errors
    ///
    /// [`FailureLimitError::MaxPeersOutOfRange`]: outside that range.
    pub fn with_max_peers(self, max_peers: usize) -> Result<Self, FailureLimitError> {
        let out = FailureLimitError::MaxPeersOutOfRange { max_peers };
        if max_peers > MOST_PEERS {
            return Err(out);
        }
        let windows =
            MemoryWindows::named("failures").with_max_keys(max_peers).map_err(|_range| out)?;
        let fresh = Self::of(&self.auth, self.failures.limit, windows);
        Ok(Self { trusted: self.trusted, ..fresh })
    }

    /// Whose `X-Forwarded-For` is believed. Default: nobody's, so the connection's peer is the address.
    pub fn trusted_proxies(mut self, networks: impl IntoIterator<Item = Network>) -> Self {
        self.trusted = networks.into_iter().collect();
        self
    }

    /// How many addresses are remembered now.
    pub fn len(&self) -> usize {
        self.failures.windows.len()
    }

    /// Whether no address is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many addresses with live failures had to go for others.
    pub fn evicted(&self) -> u64 {
        self.failures.windows.evicted()
    }

    fn verdict(&self, passage: &mut Passage<'_>) -> Result<Evidence, Rejection> {
        let peer = LogId::of_peer(peer_of(passage.head, &self.trusted)?);
        let now_ms = passage.now(|| self.auth.read_clock()).monotonic_ms();
        if let Some(retry_after_ms) = self.failures.wait(peer, now_ms) {
            let violated = vec![self.failures.name.clone()];
            let refusal = LimitRefusal { retry_after_ms: Some(retry_after_ms), violated };
            return Err(Rejection::over_limit(refusal));
        }
        let failures = Arc::clone(&self.failures);
        passage.notes.afterwards(Arc::new(Count { failures, peer, now_ms }));
        Ok(Evidence::NONE)
    }
}

step_layer!(FailureLimit);

impl Step for FailureLimit {
    const NAME: StepName = StepName::Limit;
    const NEEDS: &'static [Evidence] = &[];

    fn realm(&self) -> Option<&Arc<Realm>> {
        Some(self.auth.realm())
    }

    fn attempt(&self, passage: &mut Passage<'_>) -> Attempt {
        self.verdict(passage).into()
    }

    async fn ask(&self, passage: &mut Passage<'_>) -> Result<Evidence, Rejection> {
        self.verdict(passage)
    }
}

/// The failures of all addresses.
#[derive(Debug)]
struct Failures {
    windows: MemoryWindows,
    name: PolicyName,
    limit: Limit,
}

impl Failures {
    /// How long this address must wait; `None` if it may go on.
    fn wait(&self, peer: LogId, now_ms: u64) -> Option<u32> {
        match self.windows.look(&self.item(peer), NonZeroU32::MIN, now_ms) {
            Verdict::Deny { retry_after_ms, .. } => Some(retry_after_ms),
            Verdict::Admit { .. } | Verdict::Never => None,
        }
    }

    fn count(&self, peer: LogId, now_ms: u64) {
        let items = [self.item(peer)];
        if let Ok(ask) = Ask::new(NonZeroU32::MIN, now_ms, &items) {
            // full by those that were in flight together: it is at its limit all the same
            let _at_its_limit = self.windows.decide(&ask);
        }
    }

    fn item(&self, peer: LogId) -> AskItem<'_> {
        AskItem::new(WindowKey::new(&self.name, peer, peer), self.limit)
    }
}

/// Looks at the answer of one request; knows its address and its time, nothing of its token.
struct Count {
    failures: Arc<Failures>,
    peer: LogId,
    now_ms: u64,
}

impl After for Count {
    fn apply(
        &self,
        _: StatusCode,
        _: &mut HeaderMap,
        refusal: Option<&Rejection>,
    ) -> Option<Rejection> {
        let guessed = refusal.is_some_and(|refusal| {
            refusal.step() == Some(StepName::Bearer)
                && refusal.kind() == RejectionKind::InvalidToken
        });
        if guessed {
            self.failures.count(self.peer, self.now_ms);
        }
        None
    }
}

fn policy_name() -> PolicyName {
    PolicyName::new("failures").expect("the name is well-formed")
}

fn default_limit() -> Limit {
    let hundred = NonZeroU32::new(100).expect("100 is not 0");
    Limit::per_minute(hundred).expect("the default is in range")
}

const MOST_FAILURES: u32 = 512;
const MOST_PEERS: usize = 1_048_576;
