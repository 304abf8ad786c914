//! The settings of a limiter, all checked before anything is built, all faults told at once.

use http::request::Parts;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::context::AuthContext;
use crate::limit::fields::{Fields, rate_limit_policy};
use crate::limit::foreign::{Foreign, Windows};
use crate::limit::peer::Network;
use crate::limit::policy::Policy;
use crate::limit::{Anonymous, CostBy, Limiter, Mode, Named, Outage, Peers, Shared, Store};
use crate::store::{MOST_ITEMS, MemoryWindows, PolicyName, WhenFull, WindowStore};

/// Collects the policies and settings of a [`Limiter`].
#[must_use = "a limiter is made by `build`"]
pub struct LimiterBuilder {
    policies: Vec<Policy>,
    fields: Fields,
    mode: Mode,
    anonymous: Anonymous,
    trusted_proxies: Vec<Network>,
    cost_by: Option<CostBy>,
    max_keys: usize,
    when_full: WhenFull,
    store: Option<Box<dyn Windows>>,
    deadline: Duration,
    outage: Outage,
}

/// Every fault of a limiter that could not be built. Their order is not promised.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}", all_of(.faults))]
pub struct LimiterError {
    faults: Vec<LimiterFault>,
}

/// One fault of a limiter.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LimiterFault {
    /// A limiter without policies limits nobody.
    #[error("limiter has no policy")]
    NoPolicies,
    /// There are more than 8 policies.
    #[error("limiter has {count} policies, more than {MOST_ITEMS}")]
    TooManyPolicies {
        /// How many there are.
        count: usize,
    },
    /// The name is not a small letter and up to 31 small letters, digits, `_` or `-`.
    #[error("policy {name:?} needs a name of [a-z][a-z0-9_-]{{0,31}}")]
    BadPolicyName {
        /// The name.
        name: String,
    },
    /// Two policies or more have this name; `peer` is taken where anonymous callers are counted by it.
    #[error("policy {name:?} is there more than once")]
    DuplicatePolicy {
        /// The name.
        name: String,
    },
    /// A setting is outside its range.
    #[error("{setting} is out of range ({range})")]
    SettingOutOfRange {
        /// The setting's name.
        setting: &'static str,
        /// What is allowed.
        range: &'static str,
    },
}

impl LimiterBuilder {
    pub(super) fn new() -> Self {
        Self {
            policies: Vec::new(),
            fields: Fields::default(),
            mode: Mode::default(),
            anonymous: Anonymous::default(),
            trusted_proxies: Vec::new(),
            cost_by: None,
            max_keys: 65_536,
            when_full: WhenFull::default(),
            store: None,
            deadline: Duration::from_millis(25),
            outage: Outage::Closed,
        }
    }

    /// Adds a policy; 1 to 8, decided together. Their order is that of the answer's fields.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policies.push(policy);
        self
    }

    /// On which answers the fields are. Default [`Fields::Always`].
    pub fn fields(mut self, fields: Fields) -> Self {
        self.fields = fields;
        self
    }

    /// Whether denials refuse. Default [`Mode::Enforce`].
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// What becomes of anonymous requests. Default [`Anonymous::Refuse`].
    pub fn anonymous(mut self, anonymous: Anonymous) -> Self {
        self.anonymous = anonymous;
        self
    }

    /// Whose `X-Forwarded-For` is believed when an anonymous request is counted by its peer. Default: nobody's.
    pub fn trusted_proxies(mut self, networks: impl IntoIterator<Item = Network>) -> Self {
        self.trusted_proxies = networks.into_iter().collect();
        self
    }

    /// What a request costs, in units of every policy. Default 1; 0 is free; more than a limit is refused for ever.
    ///
    /// A plain function without I/O; it may run twice for a request whose store must be asked. A message that carries
    /// several operations costs that many units. What is found out later is charged by [`Limiter::check`].
    pub fn cost_by(
        mut self,
        cost: impl Fn(&Parts, &AuthContext) -> u32 + Send + Sync + 'static,
    ) -> Self {
        self.cost_by = Some(Arc::new(cost));
        self
    }

    /// How many logs this process keeps over all policies. Default 65,536; 1,024 to 16,777,216. Not for other stores.
    pub fn max_keys(mut self, max_keys: usize) -> Self {
        self.max_keys = max_keys;
        self
    }

    /// What a new key does when there is no room for its log. Default [`WhenFull::EvictLeast`]. Not for other stores.
    pub fn when_full(mut self, when_full: WhenFull) -> Self {
        self.when_full = when_full;
        self
    }

    /// Keeps the windows elsewhere than in this process's memory.
    ///
    /// The store is asked once per charged request, under [`deadline`](Self::deadline). An error, a panic, a late answer
    /// and one that does not fit the question are undecidable: 503, unless
    /// [`dangerously_open_on_outage`](Self::dangerously_open_on_outage). There is no fallback to local windows yet.
    pub fn store(mut self, store: impl WindowStore) -> Self {
        self.store = Some(Box::new(Foreign(store)));
        self
    }

    /// How long such a store may take. Default 25 ms; 5 to 250 ms.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Lets requests by that cannot be decided, uncharged, without fields and counted, where the default is 503.
    pub fn dangerously_open_on_outage(mut self) -> Self {
        self.outage = Outage::Open;
        self
    }

    /// Checks every setting and builds. Does no I/O.
    ///
    /// # Errors
    ///
    /// [`LimiterError`] holds every [`LimiterFault`] at once.
    pub fn build(self) -> Result<Limiter, LimiterError> {
        let mut faults = Vec::new();
        match self.policies.len() {
            0 => faults.push(LimiterFault::NoPolicies),
            1..=MOST_ITEMS => {}
            count => faults.push(LimiterFault::TooManyPolicies { count }),
        }
        let peer = match self.anonymous {
            Anonymous::ByPeer(limit) => PolicyName::new("peer").ok().map(|name| (name, limit)),
            Anonymous::Refuse | Anonymous::Pass => None,
        };
        let mut seen: HashSet<&str> = peer.iter().map(|_| "peer").collect();
        let mut told = HashSet::new();
        let mut policies = Vec::new();
        for policy in &self.policies {
            let name = policy.name();
            if !seen.insert(name) && told.insert(name) {
                faults.push(LimiterFault::DuplicatePolicy { name: name.to_owned() });
            }
            match PolicyName::new(name) {
                Ok(name) => policies.push(Named { name, policy: policy.clone() }),
                Err(_bad) => faults.push(LimiterFault::BadPolicyName { name: name.to_owned() }),
            }
        }
        if !self.policies.iter().all(Policy::has_form) {
            faults.push(out_of_range("exact_up_to", "1 to 4096"));
        }
        let millis = Duration::from_millis;
        if !(millis(5)..=millis(250)).contains(&self.deadline) {
            faults.push(out_of_range("deadline", "5 to 250 ms"));
        }
        let memory = MemoryWindows::new().with_max_keys(self.max_keys);
        if memory.is_err() {
            faults.push(out_of_range("max_keys", "1024 to 16777216"));
        }
        let Some(memory) = memory.ok().filter(|_| faults.is_empty()) else {
            return Err(LimiterError { faults });
        };
        let store = match self.store {
            Some(store) => Store::Foreign { store, deadline: self.deadline },
            None => Store::Local(memory.when_full(self.when_full)),
        };
        let is_lowered = policies.iter().any(|named| named.policy.is_lowered());
        let lines = policies.iter().map(|named| (&named.name, named.policy.limit()));
        let line = if is_lowered { None } else { rate_limit_policy(lines) };
        let peers = peer.map(|(name, limit)| Peers {
            line: rate_limit_policy([(&name, limit)]),
            name,
            limit,
            trusted: self.trusted_proxies,
        });
        Ok(Limiter::from_shared(Shared {
            is_tenant: policies.iter().any(|named| named.policy.is_tenant()),
            policies,
            store,
            fields: self.fields,
            mode: self.mode,
            anonymous: self.anonymous,
            peers,
            cost_by: self.cost_by,
            outage: self.outage,
            line,
            ..Shared::empty()
        }))
    }
}

impl LimiterError {
    /// The faults, at least one.
    pub fn faults(&self) -> &[LimiterFault] {
        &self.faults
    }
}

impl fmt::Debug for LimiterBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimiterBuilder").field("policies", &self.policies).finish_non_exhaustive()
    }
}

fn out_of_range(setting: &'static str, range: &'static str) -> LimiterFault {
    LimiterFault::SettingOutOfRange { setting, range }
}

fn all_of(faults: &[LimiterFault]) -> String {
    let faults: Vec<String> = faults.iter().map(LimiterFault::to_string).collect();
    faults.join("; ")
}
