//! How does the caller's identity reach an upstream, and how does nothing else that looks like it?
//!
//! 1. [`ForwardSet`] lists every name that this process can emit as identity, credential or signature. What is listed is
//!    what is removed from requests and answers: there is no second list.
//! 2. [`Forwarding`] does the whole work on a request's head as a pure function: hop-by-hop fields and managed names go
//!    first, identity is inserted last, so that nothing a client names in `Connection` can remove it.
//! 3. [`Identity`] is what may be sent; [`ForwardOptions`] says what of it is, and how.
//!
//! Follows RFC 9110 §5.6, §6.5 and §7.6 for fields that end at a hop.

mod answer;
#[cfg(feature = "signed")]
#[cfg_attr(docsrs, doc(cfg(feature = "signed")))]
pub(crate) mod assertion;
mod attribute;
mod body;
pub mod compat;
mod config;
pub(crate) mod edge;
mod encode;
mod error;
mod fold;
mod forwarding;
mod hmac;
mod hop;
mod identity;
mod key_rules;
mod known;
pub(crate) mod mcp;
pub(crate) mod mint;
mod mode;
mod names;
mod overrides;
mod set;
#[cfg(feature = "signed")]
#[cfg_attr(docsrs, doc(cfg(feature = "signed")))]
pub(crate) mod sign;
mod target;
#[cfg(test)]
mod tests;
mod upstream;
mod write;

pub(crate) use answer::{AnswerCleaner, Challenge};
#[cfg(feature = "signed")]
#[cfg_attr(docsrs, doc(cfg(feature = "signed")))]
pub use assertion::{AssertionKey, Assertions, JwksService};
pub use attribute::Attribute;
pub use body::ForwardBody;
pub use config::ForwardOptions;
pub use edge::{Edge, EdgeFuture, EdgeRules};
pub use encode::Padding;
pub use error::{ConfigError, ForwardError, UrlFault};
pub use forwarding::{Forwarding, Outcome, Prepared};
pub use hop::Cleaned;
pub use identity::{Field, Identity};
pub use key_rules::KeyFault;
pub(crate) use known::{EditIdentity, known_of};
pub use mcp::{McpMetaFuture, McpMetaService};
pub use mint::{Actor, Exchange, IdpToken, Passthrough, SubjectFrom, UserOidc};
pub(crate) use mint::{Asked, Credential, Mints, Obtaining, Sent};
pub use mode::Mode;
#[cfg(any(feature = "issuer-http", feature = "signed"))]
pub(crate) use names::emitted_name;
pub use overrides::Override;
pub use set::{ForwardSet, TrailersOf};
#[cfg(feature = "signed")]
#[cfg_attr(docsrs, doc(cfg(feature = "signed")))]
pub use sign::{Algorithm, KeyRing, Signing, SigningKey, VerifyingKey, VerifyingKeys};
pub use target::Target;
pub use upstream::Upstream;
#[cfg(feature = "issuer-http")]
pub(crate) use upstream::issuer_url;
pub use write::Overflow;
#[cfg(feature = "signed")]
pub(crate) use {
    fold::Pattern,
    identity::{CLAIMS, HEADERS},
    key_rules::is_key_name,
    names::{DEFAULT_PREFIX, prefix},
    upstream::Authority,
};
