//! How does the caller's identity reach an upstream, and how does nothing else that looks like it?
//!
//! 1. [`ForwardSet`] lists every name that this process can emit as identity, credential or signature. What is listed is
//!    what is removed from requests and answers: there is no second list.
//!
//! Follows RFC 9110 §5.6, §6.5 and §7.6 for fields that end at a hop.

mod error;
mod fold;
mod hop;
mod names;
mod set;

pub use error::{ConfigError, ForwardError, UrlFault};
pub use hop::Cleaned;
pub use set::ForwardSet;
