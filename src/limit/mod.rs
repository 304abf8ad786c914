//! How often may this caller ask?
//!
//! 1. 1 to 8 policies, decided together on one store: all of them charge a request, or none does.
//! 2. Keys are made of verified facts. Junk makes no key; path, method and spelling of a request change none.
//! 3. In process by default, decided without waiting; a shared store is asked once, under a deadline, and left alone
//!    while it is out. What decides then is the outage rule.
//! 4. Denied: 429 with the true wait. Costs more than a limit allows: 429 without one. Undecidable: 503, never 429.
//! 5. User functions run outside every lock; one that panics costs its own request.

mod builder;
mod decision;
mod deny;
mod fault;
mod fields;
mod foreign;
mod outage;
mod part;
mod peer;
mod plan;
mod policy;
mod ruling;
mod shared;
mod watch;

pub use self::builder::LimiterBuilder;
pub(crate) use self::decision::{Asked, Decided, Lines, Outcome};
pub use self::fault::{LimiterError, LimiterFault};
pub use self::fields::Fields;
pub(crate) use self::foreign::caught;
pub use self::outage::{NotReady, Outage};
pub(crate) use self::peer::peer_of;
pub use self::peer::{Network, NetworkError, PeerAddr};
pub(crate) use self::policy::TENANT;
pub use self::policy::{CustomKey, MissingFact, Policy};

pub use crate::window::{Limit, LimitError, Verdict, Window};

use http::HeaderValue;
use http::request::Parts;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::clock::Clock;
use crate::context::{AuthContext, Quota};
use crate::limit::outage::Rule;
use crate::limit::shared::SharedWindows;
use crate::metrics::LimitMeter;
use crate::rejection::{Rejection, RejectionKind, StepName};
use crate::store::{MemoryWindows, PolicyName};

/// 1 to 8 policies that are decided together on one store.
///
/// A handle: clones are the same limiter and cost one reference count. Immutable once built.
///
/// ```
/// use std::num::NonZeroU32;
/// use tower_bearer::limit::{Limit, Limiter, Policy};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let minute = Limit::per_minute(NonZeroU32::new(60).unwrap())?;
/// let limiter = Limiter::builder().policy(Policy::per_token(minute)).build()?;
/// # let _ = limiter; Ok(()) }
/// ```
#[derive(Clone)]
pub struct Limiter {
    shared: Arc<Shared>,
}

/// Whether denials refuse.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Mode {
    /// Denied requests are refused.
    #[default]
    Enforce,
    /// Decides, charges and counts, but refuses nobody and sends no fields.
    Shadow,
}

/// What becomes of requests without a credential, behind an optional [`BearerCheck`](crate::stack::BearerCheck).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Anonymous {
    /// 401 `missing_token`: there is nobody to count.
    #[default]
    Refuse,
    /// They pass uncharged.
    Pass,
    /// They are charged per peer address ([`PeerAddr`]) under a policy named `peer`, and no other. Its log is
    /// exact up to 512 units.
    ByPeer(Limit),
}

struct Shared {
    number: u64,
    policies: Vec<Named>,
    is_tenant: bool,
    store: Store,
    fields: Fields,
    mode: Mode,
    anonymous: Anonymous,
    peers: Option<Peers>,
    cost_by: Option<CostBy>,
    rule: Rule,
    /// `RateLimit-Policy`, unless a policy is lowered per caller.
    line: Option<HeaderValue>,
    /// The clock of the first context seen: that of the stamps.
    clock: OnceLock<Arc<dyn Clock>>,
    would_deny: AtomicU64,
    undecided: AtomicU64,
    told: AtomicBool,
    meter: LimitMeter,
}

type CostBy = Arc<dyn Fn(&Parts, &AuthContext) -> u32 + Send + Sync>;

struct Named {
    name: PolicyName,
    policy: Policy,
}

/// How anonymous requests are counted.
struct Peers {
    name: PolicyName,
    limit: Limit,
    line: Option<HeaderValue>,
    trusted: Vec<Network>,
}

enum Store {
    Local(MemoryWindows),
    Shared(Arc<SharedWindows>),
}

impl Limiter {
    /// Starts without policies; at least one is needed.
    pub fn builder() -> LimiterBuilder {
        LimiterBuilder::new()
    }

    fn from_shared(shared: Shared) -> Self {
        Self { shared: Arc::new(shared) }
    }

    /// Charges `cost` units to the caller of `context`, now: for messages of a web socket, jobs, and work that a handler
    /// finds out late. A decision of its own, whatever a layer decided about the request.
    ///
    /// Gives back what is left, as an answer's `RateLimit` field would show it; `None` if nothing was charged: a cost of
    /// 0, an exempt or anonymous caller, [`Mode::Shadow`] or an open outage.
    ///
    /// # Errors
    ///
    /// A [`Rejection`] of kind `RateLimited` with [`retry_after_ms`](Rejection::retry_after_ms); `CostOverLimit`, which
    /// no wait cures; `Undecidable` if the store could not say and the outage rule does not; `MissingCredential` for an
    /// anonymous caller where those are refused; `Misordered` if a policy lacks a fact (a peer's address is always lacking
    /// here).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped the charge may stand; nothing else is left behind.
    pub async fn check(
        &self,
        context: &AuthContext,
        cost: u32,
    ) -> Result<Option<Quota>, Rejection> {
        let now = context.realm.clock.now();
        let asked = Asked { head: None, cost: Some(cost), now, outage: None };
        let outcome = match self.decide(context, asked) {
            Ok(Decided::Now(outcome)) => outcome,
            Ok(Decided::Ask(plan)) => self.ask(&plan, &context.realm).await,
            Err(rejection) => Outcome::Refused(rejection, None),
        };
        match outcome {
            Outcome::Free => Ok(None),
            Outcome::Charged(quota, _) => Ok(Some(quota)),
            Outcome::Refused(mut rejection, _) => {
                rejection.refused_by(StepName::Limit);
                rejection.answered_by(&context.realm.answers);
                let misordered = rejection.kind() == RejectionKind::Misordered;
                if misordered && !self.shared.told.swap(true, Ordering::Relaxed) {
                    tracing::error!(
                        step = StepName::Limit.as_str(),
                        missing = rejection.missing().map(tracing::field::debug),
                        error = std::error::Error::source(&rejection).map(tracing::field::display),
                        "limiter was asked about a context that lacks what a policy needs"
                    );
                }
                Err(rejection)
            }
        }
    }

    /// Waits until the shared store decides and writes, 2 seconds at most; at once for windows in this process.
    ///
    /// A limiter starts without its store. This is for services that rather refuse to start.
    ///
    /// # Errors
    ///
    /// [`NotReady`]: it did not in that time, or does not let us in, or there is no tokio runtime to wait on.
    ///
    /// # Cancel safety
    ///
    /// Nothing is left behind.
    pub async fn ready(&self) -> Result<(), NotReady> {
        match &self.shared.store {
            Store::Local(_) => Ok(()),
            Store::Shared(shared) => shared.ready().await,
        }
    }

    /// Frees all in-process logs that are idle now and gives spare memory back; locks one shard at a time.
    ///
    /// Nothing depends on it: decisions free a few logs each.
    pub fn sweep(&self) {
        if let Some(clock) = self.shared.clock.get() {
            self.shared.store.local().sweep(clock.now().monotonic_ms());
        }
    }

    /// How many logs this process keeps, idle ones among them. Beside a shared store these are the logs of
    /// [`Outage::Local`].
    pub fn len(&self) -> usize {
        self.shared.store.local().len()
    }

    /// Whether this process keeps no log.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many in-process logs with live units had to go for others; each gave its key its units back.
    pub fn evicted(&self) -> u64 {
        self.shared.store.local().evicted()
    }

    /// How many requests [`Mode::Shadow`] let by that [`Mode::Enforce`] would have refused.
    pub fn would_deny(&self) -> u64 {
        self.shared.would_deny.load(Ordering::Relaxed)
    }

    /// How many decisions could not be made, whether they were refused or let by.
    pub fn undecided(&self) -> u64 {
        self.shared.undecided.load(Ordering::Relaxed)
    }

    /// Its identity among all limiters of this process.
    pub(crate) fn number(&self) -> u64 {
        self.shared.number
    }

    /// Some layer decides by this rule in an outage.
    pub(crate) fn prepare(&self, outage: Outage) {
        if let (Store::Shared(shared), Outage::Local) = (&self.shared.store, outage) {
            shared.keep_warm();
        }
    }

    /// Does a policy count per workspace or app?
    pub(crate) fn is_tenant(&self) -> bool {
        self.shared.is_tenant
    }
}

impl Shared {
    /// A limiter without anything, for the builder to fill.
    fn empty() -> Self {
        Self {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            policies: Vec::new(),
            is_tenant: false,
            store: Store::Local(MemoryWindows::new()),
            fields: Fields::default(),
            mode: Mode::default(),
            anonymous: Anonymous::default(),
            peers: None,
            cost_by: None,
            rule: Rule::Local,
            line: None,
            clock: OnceLock::new(),
            would_deny: AtomicU64::new(0),
            undecided: AtomicU64::new(0),
            told: AtomicBool::new(false),
            meter: LimitMeter::default(),
        }
    }
}

impl Store {
    fn local(&self) -> &MemoryWindows {
        match self {
            Self::Local(windows) => windows,
            Self::Shared(shared) => shared.local(),
        }
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let policies = self.shared.policies.iter().map(|named| &named.policy);
        f.debug_list().entries(policies).finish()
    }
}

static NUMBERS: AtomicU64 = AtomicU64::new(1);

#[cfg(test)]
mod tests;
