//! Who exchanges a token that proves who the caller is for one that the upstream accepts (RFC 8693)?
//!
//! 1. One form, its fields in one order, empty ones left out.
//! 2. What comes back must be what was asked for: a token of the requested type, of a sort that can be sent.
//! 3. An OAuth error code is believed before the status.

use std::time::Duration;

use super::answer::Answer;
use super::client::{Client, client_settings};
use super::client_auth::ClientAuth;
use super::endpoint::{absolute, ask};
use super::error::{HttpError, HttpErrorKind as Kind};
use super::form::Form;
use super::http_issuer::by_status;
use super::json::{Invalid, Object};
use crate::clock::Timestamp;
use crate::forward::ConfigError;
use crate::store::{IdentityIssuer, IssueAnswer, IssueRequest};

/// Exchanges tokens at an OAuth 2.0 token endpoint (RFC 8693).
///
/// Where neither audience nor resource is configured, the request's audience is asked for: the upstream's.
///
/// | answer | means |
/// | --- | --- |
/// | 200 with `access_token`, `issued_token_type` as requested and a fitting `token_type` | the token; `expires_in` missing: 60 s; not above 0: it serves one request |
/// | `invalid_grant` | sign in again |
/// | `login_required`, `interaction_required`, `consent_required` | sign in first |
/// | `invalid_scope`, `insufficient_scope` | step up to the scopes asked for |
/// | `access_denied` | denied |
/// | `invalid_client`, `unauthorized_client`, `invalid_target`, `invalid_request`, `unsupported_grant_type`, `unsupported_token_type` | the issuer refuses us |
/// | no such code | by status: 401 sign in again, 428 sign in first, 429 or 503 with `Retry-After` busy, other 4xx the issuer refuses us, any other an error |
///
/// A clone shares the connections. `Debug` shows the URL and the client id, not the secret.
///
/// ```
/// use tower_bearer::Secret;
/// use tower_bearer::issuer_http::{ClientAuth, TokenExchange};
/// # fn main() -> Result<(), tower_bearer::forward::ConfigError> {
/// let auth = ClientAuth::basic("gateway", Secret::new("s3cret"))?;
/// let issuer = TokenExchange::new("https://as.example.com/token", auth)?
///     .resource("https://mcp.example.com/mcp")?
///     .scope("tools:read tools:call");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "an issuer does nothing until it is asked"]
pub struct TokenExchange {
    client: Client,
    auth: ClientAuth,
    requested: String,
    audiences: Vec<String>,
    resources: Vec<String>,
    scopes: Vec<String>,
    extra: Vec<(String, String)>,
}

impl TokenExchange {
    /// Exchanges at the endpoint `token_url`, for access tokens.
    ///
    /// # Errors
    /// [`ConfigError::IssuerUrl`], as for [`HttpIssuer`](super::HttpIssuer::new).
    pub fn new(token_url: &str, auth: ClientAuth) -> Result<Self, ConfigError> {
        Ok(Self {
            client: Client::new(token_url)?,
            auth,
            requested: ACCESS_TOKEN.into(),
            audiences: Vec::new(),
            resources: Vec::new(),
            scopes: Vec::new(),
            extra: Vec::new(),
        })
    }

    /// Asks for one more audience.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Asks for one more resource (RFC 8707).
    ///
    /// # Errors
    /// [`ConfigError::Value`] unless it is an absolute URI without a fragment.
    pub fn resource(mut self, resource: &str) -> Result<Self, ConfigError> {
        self.resources.push(absolute(resource)?);
        Ok(self)
    }

    /// Asks for one more scope, or several with blanks between.
    pub fn scope(mut self, scope: &str) -> Self {
        self.scopes.extend(scope.split_ascii_whitespace().map(str::to_owned));
        self
    }

    /// Asks for another type of token than `urn:ietf:params:oauth:token-type:access_token`, and takes no other.
    ///
    /// # Errors
    /// [`ConfigError::Value`] unless it is an absolute URI without a fragment.
    pub fn requested_token_type(mut self, token_type: &str) -> Result<Self, ConfigError> {
        self.requested = absolute(token_type)?;
        Ok(self)
    }

    /// Adds a parameter that the endpoint wants beside those of the standard.
    ///
    /// # Errors
    /// [`ConfigError::NameReserved`] for a name that this form has itself, or that a client authenticates by;
    /// [`ConfigError::NameTaken`] for one given before; [`ConfigError::Value`] for an empty one.
    pub fn extra(mut self, name: &str, value: &str) -> Result<Self, ConfigError> {
        if name.is_empty() {
            return Err(ConfigError::Value { setting: EXTRA });
        }
        if let Some(&reserved) = OWN.iter().find(|&&own| own == name) {
            return Err(ConfigError::NameReserved { setting: EXTRA, reserved });
        }
        if self.extra.iter().any(|(known, _)| known == name) {
            return Err(ConfigError::NameTaken { setting: EXTRA });
        }
        self.extra.push((name.into(), value.into()));
        Ok(self)
    }

    /// The form without client authentication; `None` without a token that proves who the caller is.
    fn form(&self, request: &IssueRequest) -> Option<Form> {
        let subject = request.subject_token.as_ref()?;
        let mut form = Form::new();
        form.add("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange");
        form.add("subject_token", subject.secret.expose());
        form.add("subject_token_type", &subject.token_type);
        form.add("requested_token_type", &self.requested);
        form.add_all("audience", &self.audiences);
        if self.audiences.is_empty() && self.resources.is_empty() {
            form.add("audience", &request.audience);
        }
        form.add_all("resource", &self.resources);
        form.add("scope", &self.scopes.join(" "));
        if let Some(actor) = &request.actor_token {
            form.add("actor_token", actor.secret.expose());
            form.add("actor_token_type", &actor.token_type);
        }
        self.extra.iter().for_each(|(name, value)| form.add(name, value));
        Some(form)
    }

    fn meaning(&self, answer: &Answer, now: Timestamp) -> Result<IssueAnswer, HttpError> {
        if answer.status == 200 {
            let object = answer.object()?;
            return self.token(&object, now).map_err(|_invalid| answer.error(Kind::Invalid));
        }
        let object = answer.object().ok();
        match object.as_ref().and_then(Object::error) {
            Some("invalid_grant") => Ok(IssueAnswer::ReauthRequired),
            Some("login_required" | "interaction_required" | "consent_required") => {
                Ok(IssueAnswer::LoginRequired)
            }
            Some("invalid_scope" | "insufficient_scope") => {
                Ok(IssueAnswer::StepUp { scopes: self.scopes.clone() })
            }
            Some("access_denied") => Ok(IssueAnswer::Denied),
            Some(
                "invalid_client"
                | "unauthorized_client"
                | "invalid_target"
                | "invalid_request"
                | "unsupported_grant_type"
                | "unsupported_token_type",
            ) => Ok(IssueAnswer::RefusesUs),
            _ => match by_status(answer) {
                Err(_) if (400..500).contains(&answer.status) => Ok(IssueAnswer::RefusesUs),
                meaning => meaning,
            },
        }
    }

    fn token(&self, object: &Object, now: Timestamp) -> Result<IssueAnswer, Invalid> {
        let text = |name| object.text(name)?.ok_or(Invalid);
        let secret = object.credential("access_token")?;
        let (issued, sort) = (text("issued_token_type")?, text("token_type")?);
        if issued.expose() != self.requested || !self.sends_as(sort.expose()) {
            return Err(Invalid);
        }
        let life = object.integer("expires_in")?.unwrap_or(60);
        let life = Duration::from_secs(u64::try_from(life).unwrap_or(0));
        Ok(IssueAnswer::Token { secret, expires_at: now.saturating_add(life) })
    }

    /// Whether a token of the requested type may say `token_type` (RFC 8693 §2.2.1).
    fn sends_as(&self, token_type: &str) -> bool {
        let bearer = token_type.eq_ignore_ascii_case("Bearer");
        let other = token_type.eq_ignore_ascii_case("N_A");
        match &*self.requested {
            ACCESS_TOKEN | JWT => bearer,
            ID_JAG => other,
            _ => bearer || other,
        }
    }
}

client_settings!(TokenExchange);

impl IdentityIssuer for TokenExchange {
    type Error = HttpError;

    fn may_retry(error: &HttpError) -> bool {
        error.may_retry()
    }

    fn timed_out(error: &HttpError) -> bool {
        error.timed_out()
    }

    async fn issue(&self, request: IssueRequest) -> Result<IssueAnswer, HttpError> {
        let form = self.form(&request).ok_or(HttpError::early(Kind::Question))?;
        let answer = ask(&self.client, &self.auth, form).await?;
        self.meaning(&answer, request.now)
    }
}

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";

const EXTRA: &str = "extra parameter";

/// The fields of the form, and those that a client authenticates by.
const OWN: &[&str] = &[
    "grant_type",
    "subject_token",
    "subject_token_type",
    "requested_token_type",
    "audience",
    "resource",
    "scope",
    "actor_token",
    "actor_token_type",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
];
