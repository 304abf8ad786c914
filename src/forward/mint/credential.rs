//! One credential, and the question that leads to it.

use http::HeaderValue;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::clock::Moment;
use crate::context::AuthContext;
use crate::forward::error::ConfigError;
use crate::forward::upstream::Upstream;
use crate::rejection::Rejection;
use crate::secret::Secret;

/// What is sent to an upstream to prove who calls. `Debug` shows none of it.
#[derive(Clone)]
pub(crate) struct Credential {
    /// `Bearer` and the token, sensitive.
    pub(crate) bearer: HeaderValue,
    /// The token alone, sensitive.
    pub(crate) bare: HeaderValue,
    /// SHA-256 of the token: to tell whether a cache still holds what was sent, and for events.
    pub(crate) digest: [u8; 32],
}

impl Credential {
    /// `None` if the token cannot be sent.
    pub(crate) fn new(token: &Secret) -> Option<Self> {
        let text = Some(token.expose()).filter(|_| token.is_sendable())?;
        let sensitive = |text: &str| {
            let mut value = HeaderValue::try_from(text).ok()?;
            value.set_sensitive(true);
            Some(value)
        };
        Some(Self {
            bearer: sensitive(&format!("Bearer {text}"))?,
            bare: sensitive(text)?,
            digest: Sha256::digest(text.as_bytes()).into(),
        })
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential")
    }
}

/// Everything that decides which credential a request needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// The caller is known: the layer has refused or let by anonymous requests before.
    pub(crate) context: &'a AuthContext,
    pub(crate) upstream: &'a Upstream,
    /// The token that the request came with, if it is there and its digest is the context's.
    pub(crate) presented: Option<&'a Secret>,
    pub(crate) now: Moment,
}

/// A credential on its way, free of the request that asks for it.
pub(crate) type Obtaining = Pin<Box<dyn Future<Output = Result<Credential, Rejection>> + Send>>;

/// A mode that sends a credential.
pub(crate) trait Mints: Send + Sync {
    /// What can be said without waiting; `None` if somebody must be asked.
    fn known(&self, asked: &Asked<'_>) -> Option<Result<Credential, Rejection>>;

    /// Asks, or joins who asks for the same.
    fn obtain(&self, asked: &Asked<'_>) -> Obtaining;

    /// Hears that the upstream did not accept this credential: nobody else is to be given it.
    fn refused(&self, asked: &Asked<'_>, digest: &[u8; 32]) {
        let _ = (asked, digest);
    }

    /// What is wrong with its settings: asked once, when forwarding is built.
    fn check(&self) -> Result<(), ConfigError> {
        Ok(())
    }

    /// Does it need the token that the request came with?
    fn needs_presented(&self) -> bool {
        false
    }
}
