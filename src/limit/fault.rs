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
