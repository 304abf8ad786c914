//! Why no token was issued.

use std::fmt;

use crate::authenticator::RevokeError;
use crate::cache::Source;
use crate::token::MintError;

/// Why an issuer could not be built.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum IssuerError {
    /// The authenticator was built without a ledger.
    #[error("no ledger is configured")]
    NoLedger,
    /// The authenticator has no such kind.
    #[error("there is no kind {kind:?}")]
    UnknownKind {
        /// The name that was given.
        kind: String,
    },
    /// The least ttl is above the default, the default above the most, or one of them out of range.
    #[error("a ttl needs 1 s <= min <= default <= max <= 3650 d")]
    BadTtlBounds,
}

/// Why a token was not issued.
///
/// `Debug` shows no word of the store's: ask `source` for those.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The request breaks the policy; nothing was written.
    #[error(transparent)]
    Policy(#[from] PolicyViolation),
    /// The text to be adopted is not one of a token of its kind; nothing was written.
    #[error("the text is no token of kind {kind:?}")]
    BadText {
        /// The kind that was asked for.
        kind: String,
    },
    /// No text could be made; nothing was written.
    #[error(transparent)]
    NotMade(#[from] MintError),
    /// The account is unknown or not active; nothing was written.
    #[error("account_not_active")]
    AccountNotActive,
    /// The subject has as many live tokens as it may; nothing was written.
    #[error("too_many_tokens")]
    TooMany,
    /// Nobody knows whether the store did it. The token, if there is one, is known to nobody: ask again.
    #[error("the store did not say whether the token was stored")]
    Undecidable(#[source] Option<Source>),
}

impl fmt::Debug for IssueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(violation) => f.debug_tuple("Policy").field(violation).finish(),
            Self::BadText { kind } => f.debug_struct("BadText").field("kind", kind).finish(),
            Self::NotMade(error) => f.debug_tuple("NotMade").field(error).finish(),
            Self::AccountNotActive => f.write_str("AccountNotActive"),
            Self::TooMany => f.write_str("TooMany"),
            Self::Undecidable(_) => f.write_str("Undecidable(..)"),
        }
    }
}

impl From<RevokeError> for IssueError {
    /// Writing to the ledger fails in one way only.
    fn from(error: RevokeError) -> Self {
        match error {
            RevokeError::Undecidable(source) => Self::Undecidable(source),
            RevokeError::NoLedger | RevokeError::Anonymous => Self::Undecidable(None),
        }
    }
}

/// Everything that is wrong with a request to mint.
///
/// `Display` is the fixed text `mint_policy_violation: ` and the names of the faults, joined by `, `.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PolicyViolation {
    faults: Vec<PolicyFault>,
}

impl PolicyViolation {
    pub(super) fn new(faults: Vec<PolicyFault>) -> Self {
        Self { faults }
    }

    /// The faults, in the order of [`PolicyFault`].
    pub fn faults(&self) -> &[PolicyFault] {
        &self.faults
    }
}

impl fmt::Display for PolicyViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("mint_policy_violation")?;
        for (at, fault) in self.faults.iter().enumerate() {
            f.write_str(if at == 0 { ": " } else { ", " })?;
            f.write_str(fault.as_str())?;
        }
        Ok(())
    }
}

impl std::error::Error for PolicyViolation {}

/// One thing that is wrong with a request to mint.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum PolicyFault {
    /// The authenticator has no such kind; then nothing else is named.
    Kind,
    /// The kind's tokens stand for another type of subject.
    Subject,
    /// An external subject cannot be of the issuer `local`.
    Issuer,
    /// A scope breaks the grammar or is not covered by the kind's ceiling, or there is none, or they are over 4,096 bytes.
    Scopes,
    /// The ttl is out of its bounds, or the time of issue lies in the future.
    Ttl,
    /// The label breaks the rule of [`TokenLabel`](crate::token::TokenLabel).
    Label,
    /// The client id breaks its grammar, or is the reserved `personal`.
    Client,
}

impl PolicyFault {
    /// The fixed word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kind => "kind",
            Self::Subject => "subject",
            Self::Issuer => "issuer",
            Self::Scopes => "scopes",
            Self::Ttl => "ttl",
            Self::Label => "label",
            Self::Client => "client",
        }
    }
}
