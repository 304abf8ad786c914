//! Where is the token endpoint of an identity provider?
//!
//! 1. At the place that OpenID Connect Discovery 1.0 §4 names, read as strictly as any other answer.
//! 2. It must speak of the very issuer that was asked (§4.3), and its endpoint's URL is refused like a configured one.

use super::client::Client;
use super::error::{HttpError, HttpErrorKind as Kind};
use crate::forward::ConfigError;
use crate::secret::Secret;

/// Why a token endpoint was not found.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// The issuer's URL, or that of its token endpoint, is refused.
    #[error("discovery is given or finds a url that cannot be used")]
    Config(#[from] ConfigError),
    /// No answer of use.
    #[error("discovery has no answer of use")]
    Http(#[from] HttpError),
    /// The answer speaks of another issuer.
    #[error("discovery is answered by another issuer")]
    Issuer,
}

pub(super) async fn token_url(issuer: &str) -> Result<String, DiscoveryError> {
    Client::new(issuer)?; // what is wrong with it is wrong with what is appended to it
    let base = issuer.strip_suffix('/').unwrap_or(issuer);
    let client = Client::new(&format!("{base}/.well-known/openid-configuration"))?;
    let answer = client.get().await?;
    if answer.status != 200 {
        return Err(answer.error(Kind::Status).into());
    }
    let object = answer.object()?;
    let text = |name| {
        let found = object.text(name).ok().flatten().map(Secret::expose);
        found.ok_or_else(|| answer.error(Kind::Invalid))
    };
    if text("issuer")? != issuer {
        return Err(DiscoveryError::Issuer);
    }
    Ok(text("token_endpoint")?.to_owned())
}
