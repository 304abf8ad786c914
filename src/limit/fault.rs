//! What can be wrong with the settings of a limiter.

use crate::store::MOST_ITEMS;

/// Every fault of a limiter that could not be built. Their order is not promised.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}", all_of(.faults))]
pub struct LimiterError {
    pub(super) faults: Vec<LimiterFault>,
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
    /// The store keeps each owner's logs by themselves, and these policies have two owners: the caller (token, subject,
    /// custom) and the tenant (workspace, app), which a cluster keeps on different shards.
    ///
    /// Make a limiter of each group, or keep all logs on one shard with `RedisWindows::one_slot`.
    #[error(
        "policies {caller:?} of the caller and {tenant:?} of the tenant lie on different shards of the cluster: make a \
         limiter of each group, or use RedisWindows::one_slot"
    )]
    CrossSlot {
        /// Names of the policies that count per token, per subject or per a function.
        caller: Vec<String>,
        /// Names of the policies that count per workspace or per app.
        tenant: Vec<String>,
    },
}

impl LimiterError {
    /// The faults, at least one.
    pub fn faults(&self) -> &[LimiterFault] {
        &self.faults
    }
}

pub(super) fn out_of_range(setting: &'static str, range: &'static str) -> LimiterFault {
    LimiterFault::SettingOutOfRange { setting, range }
}

fn all_of(faults: &[LimiterFault]) -> String {
    let faults: Vec<String> = faults.iter().map(LimiterFault::to_string).collect();
    faults.join("; ")
}
