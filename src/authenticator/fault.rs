//! What can be wrong with the settings of an authenticator.

use std::ops::RangeInclusive;

use crate::rejection::AnswerError;

/// Why an authenticator could not be built.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A number is outside its range.
    #[error("{setting} is out of range ({range})")]
    OutOfRange {
        /// The setting's name.
        setting: &'static str,
        /// What is allowed.
        range: &'static str,
    },
    /// The credential header has a meaning of its own.
    #[error("credential_header may not be authorization, cookie or proxy-authorization")]
    BadCredentialHeader,
    /// The name is not 1 to 32 of `a-z`, `0-9` and `-`.
    #[error("name must be 1 to 32 of a-z, 0-9 and -")]
    BadName,
    /// There is a shared cache and no name to tell its entries by.
    #[error("a shared cache needs the authenticator's name")]
    NoName,
    /// There is a bus or a shared cache, and no tokio runtime to use it on.
    #[error("a bus or a shared cache needs a tokio runtime: build inside one")]
    NoRuntime,
    /// A setting of the answers cannot be sent as it is.
    #[error("a setting of the answers cannot be sent")]
    Answers(#[from] AnswerError),
}

/// Is the setting's value in the range that `range` puts in words?
pub(super) fn within<T: PartialOrd>(
    setting: &'static str,
    value: &T,
    allowed: RangeInclusive<T>,
    range: &'static str,
) -> Result<(), BuildError> {
    if allowed.contains(value) { Ok(()) } else { Err(BuildError::OutOfRange { setting, range }) }
}
