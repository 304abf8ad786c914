//! The settings of a limiter, all checked before anything is built, all faults told at once.

use http::request::Parts;
use std::collections::HashSet;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::breaker::BreakerRule;
use crate::context::AuthContext;
use crate::limit::fault::{LimiterError, LimiterFault, out_of_range};
use crate::limit::fields::{Fields, rate_limit_policy};
use crate::limit::foreign::{Foreign, Windows};
use crate::limit::outage::{Outage, Rule};
use crate::limit::peer::Network;
use crate::limit::policy::Policy;
use crate::limit::shared::{SharedWindows, Usage};
use crate::limit::{Anonymous, CostBy, Limiter, Mode, Named, Peers, Shared, Store};
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
    store: Option<Arc<dyn Windows>>,
    deadline: Duration,
    rule: Rule,
    local_share: u32,
    deny_cache: usize,
    breaker: BreakerRule,
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
            rule: Rule::Local,
            local_share: 1,
            deny_cache: 65_536,
            breaker: BreakerRule::default(),
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

    /// How many logs this process keeps over all policies. Default 65,536; 1,024 to 16,777,216. Beside a shared store
    /// these are the logs of [`Outage::Local`].
    pub fn max_keys(mut self, max_keys: usize) -> Self {
        self.max_keys = max_keys;
        self
    }

    /// What a new key does when there is no room for its log here. Default [`WhenFull::EvictLeast`].
    pub fn when_full(mut self, when_full: WhenFull) -> Self {
        self.when_full = when_full;
        self
    }

    /// Keeps the windows elsewhere than in this process's memory, shared by several processes.
    ///
    /// The store is asked once per charged request, under [`deadline`](Self::deadline), and never again for it. Callers
    /// that it denied are denied without it for as long as it would ([`deny_cache`](Self::deny_cache)). An error, a
    /// panic, a late answer and one that does not fit the question are failures: [`on_outage`](Self::on_outage) says
    /// what decides instead. A store that fails again and again is left alone and tried in the background
    /// ([`breaker_in_a_row`](Self::breaker_in_a_row)).
    pub fn store(mut self, store: impl WindowStore) -> Self {
        self.store = Some(Arc::new(Foreign(store)));
        self
    }

    /// How long such a store may take. Default 25 ms; 5 to 250 ms.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How many denials by such a store are remembered. Default 65,536; 0, which is off, to 1,048,576.
    ///
    /// One takes about 100 bytes. Losing one costs a call.
    pub fn deny_cache(mut self, denials: usize) -> Self {
        self.deny_cache = denials;
        self
    }

    /// What decides while such a store does not. Default [`Outage::Local`].
    pub fn on_outage(mut self, outage: Outage) -> Self {
        self.rule = outage.into();
        self
    }

    /// Lets requests by that cannot be decided, uncharged, without fields and counted.
    pub fn dangerously_open_on_outage(mut self) -> Self {
        self.rule = Rule::Open;
        self
    }

    /// Among how many processes a limit L is split while such a store is out: each admits ⌈L / n⌉. Default 1; 1 to
    /// 1,024. A cost above that share is undecidable then.
    ///
    /// So n evenly loaded processes keep to L + n − 1 together, where the default lets each admit L.
    pub fn local_share(mut self, processes: u32) -> Self {
        self.local_share = processes;
        self
    }

    /// After how many failures in a row such a store, or a part of it, is left alone. Default 3; 1 to 100.
    pub fn breaker_in_a_row(mut self, failures: u32) -> Self {
        self.breaker.in_a_row = failures;
        self
    }

    /// After how many failures within one second it is left alone, whatever succeeds between. Default 5; 1 to 1,000.
    pub fn breaker_within_second(mut self, failures: usize) -> Self {
        self.breaker.within_second = failures;
        self
    }

    /// How often a store that is left alone is tried, give or take a half. Default 500 ms; 50 ms to 5 s.
    pub fn breaker_probe(mut self, every: Duration) -> Self {
        self.breaker.probe = u64::try_from(every.as_nanos()).unwrap_or(u64::MAX);
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
            faults.push(out_of_range("exact_up_to", "1 to 4,096"));
        }
        let millis = Duration::from_millis;
        if !(millis(5)..=millis(250)).contains(&self.deadline) {
            faults.push(out_of_range("deadline", "5 to 250 ms"));
        }
        for (setting, fits, range) in [
            ("deny_cache", self.deny_cache <= 1_048_576, "0 to 1,048,576"),
            ("local_share", (1..=1_024).contains(&self.local_share), "1 to 1,024"),
            ("breaker_in_a_row", (1..=100).contains(&self.breaker.in_a_row), "1 to 100"),
            (
                "breaker_within_second",
                (1..=1_000).contains(&self.breaker.within_second),
                "1 to 1,000",
            ),
            (
                "breaker_probe",
                (50_000_000..=5_000_000_000).contains(&self.breaker.probe),
                "50 ms to 5 s",
            ),
        ] {
            if !fits {
                faults.push(out_of_range(setting, range));
            }
        }
        if self.store.as_ref().is_some_and(|store| !store.decides_across_owners()) {
            let names = |tenant| {
                let of_group = |policy: &&Policy| policy.is_tenant() == tenant;
                let policies = self.policies.iter().filter(of_group);
                policies.map(|policy| policy.name().to_owned()).collect::<Vec<String>>()
            };
            let (caller, tenant) = (names(false), names(true));
            if !caller.is_empty() && !tenant.is_empty() {
                faults.push(LimiterFault::CrossSlot { caller, tenant });
            }
        }
        let memory = MemoryWindows::new().with_max_keys(self.max_keys);
        if memory.is_err() {
            faults.push(out_of_range("max_keys", "1,024 to 16,777,216"));
        }
        let Some(memory) = memory.ok().filter(|_| faults.is_empty()) else {
            return Err(LimiterError { faults });
        };
        let memory = memory.when_full(self.when_full);
        let limits = policies.iter().map(|named| named.policy.limit());
        let limits = limits.chain(peer.iter().map(|(_, limit)| *limit));
        let longest_ms = limits.map(|limit| limit.window_ms().into()).max().unwrap_or_default();
        let store = match self.store {
            Some(store) => {
                let usage = Usage {
                    deadline: self.deadline,
                    deny_cache: self.deny_cache,
                    local_share: NonZeroU32::new(self.local_share).unwrap_or(NonZeroU32::MIN),
                    breaker: self.breaker,
                    longest_ms,
                };
                let shared = SharedWindows::new(store, memory, usage);
                if self.rule == Rule::Local {
                    shared.keep_warm();
                }
                Store::Shared(Arc::new(shared))
            }
            None => Store::Local(memory),
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
            rule: self.rule,
            line,
            ..Shared::empty()
        }))
    }
}

impl fmt::Debug for LimiterBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimiterBuilder")
            .field("policies", &self.policies)
            .field("fields", &self.fields)
            .field("mode", &self.mode)
            .field("anonymous", &self.anonymous)
            .field("trusted_proxies", &self.trusted_proxies)
            .field("max_keys", &self.max_keys)
            .field("when_full", &self.when_full)
            .field("deadline", &self.deadline)
            .field("deny_cache", &self.deny_cache)
            .field("on_outage", &self.rule)
            .field("local_share", &self.local_share)
            .field("breaker_in_a_row", &self.breaker.in_a_row)
            .field("breaker_within_second", &self.breaker.within_second)
            .field("breaker_probe", &Duration::from_nanos(self.breaker.probe))
            .finish_non_exhaustive()
    }
}
