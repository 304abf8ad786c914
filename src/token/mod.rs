//! From the bytes of a header line to a token of a known kind, and from random bytes to a new token.
//!
//! 1. A request presents exactly one credential (RFC 6750 §2.1), or it is refused; none ever stands in for a bad one.
//! 2. A token is refused by prefix, length, alphabet and checksum, in that order, before anything is hashed.
//! 3. A token is known by its [`Digest`] only; its text is in no `Debug`, `Display`, error or record.
//! 4. The one registry, [`TokenKinds`], says what a prefix means; nothing outside it branches on a prefix.

mod alphabet;
mod builder;
pub(crate) mod credential;
mod declared;
mod digest;
mod fault;
mod format;
mod kind;
mod label;
pub(crate) mod mint;
mod registry;
#[cfg(test)]
mod tests;

pub use builder::TokenKindsBuilder;
pub use declared::TokenKind;
pub use digest::{Digest, Fingerprint};
pub use fault::{KindFault, KindsError};
pub use format::Junk;
pub use kind::Kind;
pub use label::{LabelError, TokenLabel};
pub use mint::{MintError, PlainToken};
pub use registry::TokenKinds;
