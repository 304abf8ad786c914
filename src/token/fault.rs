//! What can be wrong with a registry of token kinds; all of it is told at once.

use crate::subject::SubjectType;

/// Every fault of a registry that could not be built. Their order is not promised.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}", all_of(.faults))]
pub struct KindsError {
    faults: Vec<KindFault>,
}

impl KindsError {
    pub(super) fn new(faults: Vec<KindFault>) -> Self {
        Self { faults }
    }

    /// The faults, at least one.
    pub fn faults(&self) -> &[KindFault] {
        &self.faults
    }
}

/// One fault of a registry, with the kinds concerned by name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KindFault {
    /// A registry without kinds refuses everybody.
    #[error("no kind of token is registered")]
    NoKinds,
    /// The setting is outside 64 to 16,384 bytes.
    #[error("max_token_len is {length}, not 64 to 16,384")]
    BadMaxTokenLength {
        /// As it was set.
        length: usize,
    },
    /// The name is not a small letter and up to 31 small letters, digits, `_` or `-`.
    #[error("kind {kind:?} needs a name of [a-z][a-z0-9_-]{{0,31}}")]
    BadKindName {
        /// The kind.
        kind: String,
    },
    /// Two kinds or more have this name.
    #[error("kind {kind:?} is registered more than once")]
    DuplicateKind {
        /// The name.
        kind: String,
    },
    /// The kind does not say what its tokens stand for.
    #[error(
        "kind {kind:?} needs a subject: {}, {} or {}",
        SubjectType::Account,
        SubjectType::External,
        SubjectType::Service
    )]
    NoSubject {
        /// The kind.
        kind: String,
    },
    /// The kind says neither `fixed` nor `narrowed`.
    #[error("kind {kind:?} needs a scope policy, fixed or narrowed")]
    NoScopePolicy {
        /// The kind.
        kind: String,
    },
    /// The prefix is not a letter and 1 to 23 letters, digits, `_` or `-`.
    #[error("kind {kind:?} needs a prefix of [A-Za-z][A-Za-z0-9_-]{{1,23}}, not {prefix:?}")]
    BadPrefix {
        /// The kind.
        kind: String,
        /// Its prefix.
        prefix: String,
    },
    /// Two kinds have one prefix.
    #[error("kinds {kind:?} and {other:?} have the same prefix")]
    DuplicatePrefix {
        /// The kind registered first.
        kind: String,
        /// The kind registered later.
        other: String,
    },
    /// The prefix of one kind begins that of another.
    #[error("the prefix of kind {kind:?} begins that of {other:?}")]
    PrefixOfAnother {
        /// The kind of the shorter prefix.
        kind: String,
        /// The kind of the longer one.
        other: String,
    },
    /// Two kinds without prefix cannot be told apart.
    #[error("kinds {kind:?} and {other:?} have no prefix and one shape")]
    AmbiguousShape {
        /// The kind registered first.
        kind: String,
        /// The kind registered later.
        other: String,
    },
    /// A scope breaks the grammar.
    #[error("{}scope {scope:?} must be 1 to 128 bytes of 0x21, 0x23 to 0x5B or 0x5D to 0x7E", of_kind(.kind.as_deref()))]
    BadScope {
        /// The kind; `None` for a scope of a declared implication.
        kind: Option<String>,
        /// The first 128 bytes or fewer of the scope.
        scope: String,
    },
    /// A narrowed kind without ceiling could do nothing.
    #[error("kind {kind:?} has an empty ceiling")]
    EmptyCeiling {
        /// The kind.
        kind: String,
    },
    /// The umbrella is in neither fixed set nor ceiling, so that no token can hold it.
    #[error("kind {kind:?} has an umbrella that no token of it can hold, {umbrella:?}")]
    UmbrellaUnreachable {
        /// The kind.
        kind: String,
        /// Its umbrella.
        umbrella: String,
    },
    /// The secret is not 16 to 64 bytes.
    #[error("kind {kind:?} has secrets of {bytes} bytes, not 16 to 64")]
    WeakFormat {
        /// The kind.
        kind: String,
        /// As it was set.
        bytes: usize,
    },
    /// The longest token of the kind is over the registry's `max_token_len`.
    #[error("kind {kind:?} has tokens of {length} bytes, over max_token_len {max}")]
    FormatTooLong {
        /// The kind.
        kind: String,
        /// The longest token, in bytes.
        length: usize,
        /// The setting.
        max: usize,
    },
    /// Opaque tokens of no length at all: `min` is 0 or over `max`.
    #[error("kind {kind:?} has opaque tokens of {min} to {max} bytes")]
    EmptyRange {
        /// The kind.
        kind: String,
        /// The shortest, in bytes.
        min: usize,
        /// The longest, in bytes.
        max: usize,
    },
    /// Opaque tokens are made by somebody else, so that there is no checksum of ours to check.
    #[error("kind {kind:?} is opaque and cannot have a checksum")]
    ChecksumOfOpaque {
        /// The kind.
        kind: String,
    },
    /// Scopes imply each other in a circle.
    #[error("scopes imply each other in a circle: {}", .scopes.join(", "))]
    CyclicImplication {
        /// The scopes of the circle, sorted by bytes.
        scopes: Vec<String>,
    },
    /// A scope implies itself.
    #[error("scope {scope:?} implies itself")]
    SelfImplication {
        /// The scope.
        scope: String,
    },
}

fn all_of(faults: &[KindFault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn of_kind(kind: Option<&str>) -> String {
    kind.map(|kind| format!("kind {kind:?}: ")).unwrap_or_default()
}
