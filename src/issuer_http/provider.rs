//! Who gives a new access token for the refresh token of a user's own sign-in (RFC 6749 §6)?
//!
//! 1. A refresh may use the refresh token up, so it is asked again only if no connection was made.
//! 2. An OAuth error code is believed in any status, 200 too.
//! 3. What is neither new tokens nor one of the codes says nothing: the old token may serve on.

use std::time::Duration;

use super::answer::Answer;
use super::client::{Client, client_settings};
use super::client_auth::ClientAuth;
use super::discovery::{DiscoveryError, token_url};
use super::endpoint::{absolute, ask};
use super::error::{HttpError, HttpErrorKind as Kind};
use super::form::Form;
use super::json::{Invalid, Object};
use crate::forward::ConfigError;
use crate::secret::Secret;
use crate::store::{OidcProvider, RefreshAnswer};

/// Refreshes tokens at the token endpoint of an identity provider.
///
/// | answer | means |
/// | --- | --- |
/// | `invalid_grant`, `bad_refresh_token`, in any status | the refresh token is gone |
/// | `invalid_client`, `unauthorized_client`, in any status | the provider refuses us |
/// | 200 with `access_token` and `token_type` `bearer` (any case), empty or missing | new tokens; the old refresh token stays where none or an empty one is given |
/// | 429, or 503 with `Retry-After` | busy |
/// | any other | an error |
///
/// A clone shares the connections. `Debug` shows the URL and the client id, not the secret.
///
/// ```
/// use tower_bearer::Secret;
/// use tower_bearer::issuer_http::{ClientAuth, HttpProvider};
/// # fn main() -> Result<(), tower_bearer::forward::ConfigError> {
/// let auth = ClientAuth::basic("gateway", Secret::new("s3cret"))?;
/// let provider = HttpProvider::new("https://idp.example.com/token", auth)?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a provider does nothing until it is asked"]
pub struct HttpProvider {
    client: Client,
    auth: ClientAuth,
    resources: Vec<String>,
    audiences: Vec<String>,
    scopes: Vec<String>,
}

impl HttpProvider {
    /// Refreshes at the endpoint `token_url`.
    ///
    /// # Errors
    /// [`ConfigError::IssuerUrl`], as for [`HttpIssuer`](super::HttpIssuer::new).
    pub fn new(token_url: &str, auth: ClientAuth) -> Result<Self, ConfigError> {
        let client = Client::new(token_url)?;
        let (resources, audiences, scopes) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { client, auth, resources, audiences, scopes })
    }

    /// Asks the provider `issuer` where its token endpoint is (OpenID Connect Discovery 1.0 §4), once.
    ///
    /// # Errors
    /// [`DiscoveryError`]: the URL of one of both is refused, there was no answer of use, or it speaks of another issuer.
    ///
    /// # Cancel safety
    /// Nothing is kept or lost.
    pub async fn discover(issuer: &str, auth: ClientAuth) -> Result<Self, DiscoveryError> {
        Ok(Self::new(&token_url(issuer).await?, auth)?)
    }

    /// Asks for one more resource (RFC 8707), on every refresh.
    ///
    /// # Errors
    /// [`ConfigError::Value`] unless it is an absolute URI without a fragment.
    pub fn resource(mut self, resource: &str) -> Result<Self, ConfigError> {
        self.resources.push(absolute(resource)?);
        Ok(self)
    }

    /// Asks for one more audience, on every refresh.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Asks for one more scope, or several with blanks between. Default: those of the sign-in.
    pub fn scope(mut self, scope: &str) -> Self {
        self.scopes.extend(scope.split_ascii_whitespace().map(str::to_owned));
        self
    }
}

client_settings!(HttpProvider);

impl OidcProvider for HttpProvider {
    type Error = HttpError;

    fn may_retry(error: &HttpError) -> bool {
        error.never_sent()
    }

    fn timed_out(error: &HttpError) -> bool {
        error.timed_out()
    }

    async fn refresh(&self, refresh_token: Secret) -> Result<RefreshAnswer, HttpError> {
        let mut form = Form::new();
        form.add("grant_type", "refresh_token");
        form.add("refresh_token", refresh_token.expose());
        form.add_all("resource", &self.resources);
        form.add_all("audience", &self.audiences);
        form.add("scope", &self.scopes.join(" "));
        meaning(&ask(&self.client, &self.auth, form).await?)
    }
}

fn meaning(answer: &Answer) -> Result<RefreshAnswer, HttpError> {
    let object = answer.object();
    match object.as_ref().ok().and_then(Object::error) {
        Some("invalid_grant" | "bad_refresh_token") => return Ok(RefreshAnswer::Gone),
        Some("invalid_client" | "unauthorized_client") => return Ok(RefreshAnswer::RefusesUs),
        _ => {}
    }
    if let Some(retry_after) = answer.busy() {
        return Ok(RefreshAnswer::Busy { retry_after });
    }
    if answer.status != 200 {
        return Err(answer.error(Kind::Status));
    }
    tokens(&object?).map_err(|_invalid| answer.error(Kind::Invalid))
}

fn tokens(object: &Object) -> Result<RefreshAnswer, Invalid> {
    let access_token = object.credential("access_token")?;
    let given = |text: &&Secret| !text.expose().is_empty();
    let refresh_token = object.text("refresh_token")?.filter(given).cloned();
    let token_type = object.text("token_type")?.filter(given);
    if token_type.is_some_and(|sort| !sort.expose().eq_ignore_ascii_case("bearer")) {
        return Err(Invalid);
    }
    let life = object.integer("expires_in")?;
    let expires_in = life.map(|life| Duration::from_secs(u64::try_from(life).unwrap_or(0)));
    Ok(RefreshAnswer::Fresh { access_token, refresh_token, expires_in })
}
