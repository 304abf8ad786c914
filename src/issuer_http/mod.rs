//! Who mints a credential for a caller, asked over HTTP?
//!
//! | asks | by | is |
//! | --- | --- | --- |
//! | [`HttpIssuer`] | one JSON object per caller and audience | an [`IdentityIssuer`](crate::store::IdentityIssuer) |
//! | [`TokenExchange`] | OAuth 2.0 token exchange (RFC 8693) | an [`IdentityIssuer`](crate::store::IdentityIssuer) |
//! | [`HttpProvider`] | a refresh of the user's own sign-in (RFC 6749 §6) | an [`OidcProvider`](crate::store::OidcProvider) |
//!
//! What holds for each of them:
//!
//! 1. It is reached by `https`, or by `http` on this machine. No proxy of the environment's, no redirect, no cookie, and
//!    nothing of the request that is being served but what the port was given.
//! 2. A connection is made within 1 s and an answer is whole within 3 s, both of which `timeouts` sets.
//! 3. At most 64 KiB of an answer are read, as one JSON object of at most 32 levels in which no member stands twice. Another
//!    content coding is refused undecoded.
//! 4. An error says its kind, the status and how many bytes were read: never a word of the answer, a URL or a token.
//! 5. Nothing is sent twice from here; [`HttpError::may_retry`] says where asking again is safe.
//!
//! TLS is rustls with the process's own cryptography, or `ring` where nobody has chosen one, and the certificates that the
//! system trusts.

mod answer;
mod client;
mod client_auth;
pub mod compat;
mod discovery;
mod endpoint;
mod error;
mod form;
mod http_issuer;
mod json;
#[cfg(feature = "signed")]
mod jwt;
mod provider;
mod retry_after;
mod token_exchange;

pub use client_auth::ClientAuth;
pub use discovery::DiscoveryError;
pub use error::{HttpError, HttpErrorKind};
pub use http_issuer::HttpIssuer;
pub use provider::HttpProvider;
pub use token_exchange::TokenExchange;
