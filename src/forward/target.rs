//! Where in a request does a credential for the upstream go?

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};

use super::error::ForwardError;

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

    /// The value that carries `token`; it is never indexed or logged.
    pub(super) fn value(&self, token: String) -> Result<HeaderValue, ForwardError> {
        let text = if self.0 == AUTHORIZATION { format!("Bearer {token}") } else { token };
        let value = HeaderValue::from_maybe_shared(Bytes::from(text));
        let mut value = value.map_err(|_shape| ForwardError::Misconfigured)?;
        value.set_sensitive(true);
        Ok(value)
    }
}
