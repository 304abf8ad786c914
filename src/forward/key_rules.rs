//! Which bytes are a key, and which names can it have?
//!
//! 1. A key is long enough and not of a few byte values: it was drawn, not typed.
//! 2. A name needs no escape. A ring has one to four keys, no two of one name, so that a rotation can overlap.

use std::sync::Arc;

use super::error::ConfigError;

/// What is wrong with a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFault {
    /// The name is not 1 to 64 of `A-Z a-z 0-9 . _ -`.
    #[error("name is not 1 to 64 letters, digits, `.`, `_` and `-`")]
    Name,
    /// Fewer than 32 bytes, none at all included.
    #[error("has fewer than 32 bytes")]
    Short,
    /// Fewer than 8 different byte values: typed, not drawn.
    #[error("has fewer than 8 different byte values")]
    Weak,
    /// Not a key of its algorithm.
    #[error("is no key of its algorithm")]
    Malformed,
    /// An RSA modulus of fewer than 2,048 bits.
    #[error("has fewer than 2,048 bits")]
    ShortModulus,
    /// Of an algorithm that does not sign here: RSA for requests, a symmetric key for assertions.
    #[error("is of an algorithm that does not sign here")]
    Algorithm,
    /// The key of another upstream.
    #[error("is that of another upstream")]
    Shared,
    /// No JSON Web Key Set (RFC 7517 §5), or one that shows a private key.
    #[error("set is no set of public keys")]
    Set,
}

pub(super) const KEYS: &str = "keys";
pub(super) const COUNT: ConfigError = ConfigError::OutOfRange { setting: KEYS };

/// 1 to 4 names, no two of them equal.
pub(super) fn distinct<'n>(names: impl Iterator<Item = &'n str>) -> Result<(), ConfigError> {
    let mut names: Vec<&str> = names.collect();
    if !(1..=4).contains(&names.len()) {
        return Err(COUNT);
    }
    names.sort_unstable();
    let twins = names.windows(2).any(|pair| matches!(pair, [one, other] if one == other));
    if twins { Err(ConfigError::NameTaken { setting: KEYS }) } else { Ok(()) }
}

pub(super) fn name(id: &str) -> Result<Arc<str>, ConfigError> {
    if is_key_name(id) { Ok(id.into()) } else { Err(ConfigError::Key { fault: KeyFault::Name }) }
}

/// 1 to 64 bytes that need no escape in a quoted string.
pub(crate) fn is_key_name(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=64).contains(&id.len()) && id.bytes().all(plain)
}

/// At least 32 bytes of at least 8 values. That rules out every word that stands for a secret, also repeated.
pub(super) fn strong(key: &[u8]) -> Result<(), ConfigError> {
    let mut seen = [false; 256];
    for &byte in key {
        if let Some(seen) = seen.get_mut(usize::from(byte)) {
            *seen = true;
        }
    }
    let values = seen.iter().filter(|&&seen| seen).count();
    match (key.len(), values) {
        (..32, _) => Err(ConfigError::Key { fault: KeyFault::Short }),
        (_, ..8) => Err(ConfigError::Key { fault: KeyFault::Weak }),
        _ => Ok(()),
    }
}
