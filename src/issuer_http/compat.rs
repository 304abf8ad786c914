//! How is an issuer asked that speaks another system's dialect?

use super::HttpIssuer;
use crate::forward::ConfigError;
use crate::secret::Secret;

/// The issuer of Dify's enterprise edition: [`HttpIssuer`] with the header `Enterprise-Api-Secret-Key`.
///
/// A URL without a path gets the one that it has there, `/inner/api/mcp/issue-token`. Its first generation knows no
/// `user_type`: add [`without_user_type`](HttpIssuer::without_user_type). It puts the token into `Authorization`, later ones
/// put it bare into `X-Dify-SSO-Token` or, in one version, `X-Dify-SSO-Access-Token`: that is the upstream's setting.
///
/// Unlike there, no redirect is followed and no text of the issuer's stands in an error.
///
/// ```
/// use tower_bearer::Secret;
/// use tower_bearer::issuer_http::compat;
/// # fn main() -> Result<(), tower_bearer::forward::ConfigError> {
/// let issuer = compat::dify("https://enterprise.example.com", Secret::new("s3cret"))?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// As [`HttpIssuer::new`] and [`HttpIssuer::credential_header`].
pub fn dify(url: &str, secret: impl Into<Secret>) -> Result<HttpIssuer, ConfigError> {
    let issuer = HttpIssuer::new(url)?;
    let bare = url
        .split_once("://")
        .is_some_and(|(_, rest)| rest.split_once('/').is_none_or(|(_, path)| path.is_empty()));
    let issuer = if bare {
        HttpIssuer::new(&format!("{}/inner/api/mcp/issue-token", url.trim_end_matches('/')))?
    } else {
        issuer
    };
    issuer.credential_header("Enterprise-Api-Secret-Key", secret.into())
}
