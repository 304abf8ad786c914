//! Where in a request does a credential for the upstream go?

#[cfg(feature = "signed")]
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};

#[cfg(feature = "signed")]
use super::error::ForwardError;
use super::mint::Credential;

/// The header that carries a credential to the upstream.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Target {
    /// `Authorization`, as `Bearer <token>` (RFC 6750 §2.1).
    Authorization,
    /// A header of its own, which holds the bare token. Named `Authorization` it is [`Target::Authorization`].
    Header(String),
}

/// A target that was checked.
#[derive(Clone, Debug)]
pub(super) struct Carrier(HeaderName);

impl Carrier {
    pub(super) fn new(name: HeaderName) -> Self {
        Self(name)
    }

    pub(super) fn name(&self) -> &HeaderName {
        &self.0
    }

    /// The value that carries a credential that was minted.
    pub(super) fn carried(&self, credential: &Credential) -> HeaderValue {
        let is_bearer = self.0 == AUTHORIZATION;
        if is_bearer { credential.bearer.clone() } else { credential.bare.clone() }
    }

    /// The value that carries `token`; it is never indexed or logged.
    #[cfg(feature = "signed")]
    pub(super) fn value(&self, token: String) -> Result<HeaderValue, ForwardError> {
        let text = if self.0 == AUTHORIZATION { format!("Bearer {token}") } else { token };
        let value = HeaderValue::from_maybe_shared(Bytes::from(text));
        let mut value = value.map_err(|_shape| ForwardError::Misconfigured)?;
        value.set_sensitive(true);
        Ok(value)
    }
}
