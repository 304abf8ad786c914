//! The presented token itself, sent on to an upstream that it was made for.
//!
//! 1. The upstream's audience is said by whoever configures it; there is no default.
//! 2. The token's verified audiences must hold it, byte for byte, as a whole string: a token that was issued for this service
//!    alone is never relayed (MCP, authorization, token passthrough).
//! 3. Nobody is asked.

use super::credential::{Asked, Credential, Mints, Obtaining};
use super::refusal::{misconfigured, wrong_audience};
use crate::forward::error::ConfigError;
use crate::rejection::Rejection;

/// Mode `passthrough`: the upstream gets the token that the request came with.
///
/// Only a token whose source says that it was also made for `audience`; most opaque tokens are made for nobody but this service,
/// and are refused as `token_audience_mismatch`.
#[derive(Clone, Debug)]
#[must_use]
pub struct Passthrough {
    audience: String,
}

impl Passthrough {
    /// Sends on tokens made for `audience`, which is compared as it is.
    pub fn new(audience: impl Into<String>) -> Self {
        Self { audience: audience.into() }
    }

    fn judge(&self, asked: &Asked<'_>) -> Result<Credential, Rejection> {
        let token = asked.presented.ok_or_else(misconfigured)?;
        if !asked.context.audiences().contains(&self.audience) {
            return Err(wrong_audience());
        }
        Credential::new(token).ok_or_else(misconfigured)
    }
}

impl Mints for Passthrough {
    fn known(&self, asked: &Asked<'_>) -> Option<Result<Credential, Rejection>> {
        Some(self.judge(asked))
    }

    fn obtain(&self, asked: &Asked<'_>) -> Obtaining {
        Box::pin(std::future::ready(self.judge(asked)))
    }

    fn check(&self) -> Result<(), ConfigError> {
        let setting = "audience";
        if self.audience.is_empty() { Err(ConfigError::Value { setting }) } else { Ok(()) }
    }

    fn needs_presented(&self) -> bool {
        true
    }
}
