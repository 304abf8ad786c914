//! Who mints a token for one caller and one audience, by an interface of our own?
//!
//! 1. `POST`, a JSON object of five texts; 200 is an object with `token` and `expires_at`.
//! 2. Every other status has one meaning, and no text of the issuer's is read for it.

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};
use serde::Serialize;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::answer::Answer;
use super::client::{Client, Question, client_settings};
use super::error::{HttpError, HttpErrorKind as Kind};
use crate::clock::Timestamp;
use crate::forward::{ConfigError, emitted_name};
use crate::secret::Secret;
use crate::store::{IdentityIssuer, IssueAnswer, IssueRequest};

/// Asks an issuer for a token per caller and audience, by one JSON object.
///
/// Sent: `{"user_id","tenant_id","app_id","audience","user_type"}`, workspace and app `""` where there is none; `user_type`
/// is `account`, `end_user` (a subject of an identity provider) or `service`. Expected: 200 and an object with `token` (1 to
/// 8,192 bytes 0x21 to 0x7E) and `expires_at` (Unix seconds, an integer); other members are ignored.
///
/// | status | means |
/// | --- | --- |
/// | 200 | the token; anything but such an object is an error |
/// | 401 | the identity provider refused a refresh: sign in again |
/// | 428 | no sign-in is stored: sign in first |
/// | 403 | the issuer refuses us |
/// | 429, or 503 with `Retry-After` | busy |
/// | any other | an error |
///
/// A clone shares the connections. `Debug` shows URL and header name, not the credential.
///
/// ```
/// use tower_bearer::Secret;
/// use tower_bearer::issuer_http::HttpIssuer;
/// # fn main() -> Result<(), tower_bearer::forward::ConfigError> {
/// let issuer = HttpIssuer::new("https://issuer.example.com/tokens")?
///     .credential(Secret::new("what-the-issuer-knows-us-by"))?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use = "an issuer does nothing until it is asked"]
pub struct HttpIssuer {
    client: Client,
    credential: Option<(HeaderName, HeaderValue)>,
    user_type: Option<UserTypeOf>,
}

type UserTypeOf = Arc<dyn Fn(&IssueRequest) -> Cow<'static, str> + Send + Sync>;

impl HttpIssuer {
    /// Asks the issuer at `url`, without a credential of ours.
    ///
    /// # Errors
    /// [`ConfigError::IssuerUrl`] for another scheme than `https`, `http` to another machine, user information, a query, a
    /// fragment, or a link-local, unspecified or metadata host.
    pub fn new(url: &str) -> Result<Self, ConfigError> {
        let known = |request: &IssueRequest| Cow::Borrowed(request.user_type.as_str());
        Ok(Self { client: Client::new(url)?, credential: None, user_type: Some(Arc::new(known)) })
    }

    /// Sends `Authorization: Bearer` and this secret.
    ///
    /// # Errors
    /// As [`credential_header`](Self::credential_header).
    pub fn credential(self, secret: Secret) -> Result<Self, ConfigError> {
        let value = field_value(&secret, "Bearer ")?;
        Ok(Self { credential: Some((AUTHORIZATION, value)), ..self })
    }

    /// Sends this secret as the whole value of a header of that name, in place of any other credential.
    ///
    /// # Errors
    /// [`ConfigError::NameShape`] and [`ConfigError::NameReserved`] for the name; [`ConfigError::Value`] unless the secret is
    /// 1 to 8,192 bytes 0x21 to 0x7E.
    pub fn credential_header(self, name: &str, secret: Secret) -> Result<Self, ConfigError> {
        let name = emitted_name(CREDENTIAL, name)?;
        Ok(Self { credential: Some((name, field_value(&secret, "")?)), ..self })
    }

    /// Chooses what `user_type` says, in place of `account`, `end_user` and `service`.
    pub fn user_type(
        mut self,
        says: impl Fn(&IssueRequest) -> Cow<'static, str> + Send + Sync + 'static,
    ) -> Self {
        self.user_type = Some(Arc::new(says));
        self
    }

    /// Leaves `user_type` out.
    pub fn without_user_type(mut self) -> Self {
        self.user_type = None;
        self
    }
}

client_settings!(HttpIssuer);

impl IdentityIssuer for HttpIssuer {
    type Error = HttpError;

    fn may_retry(error: &HttpError) -> bool {
        error.may_retry()
    }

    fn timed_out(error: &HttpError) -> bool {
        error.timed_out()
    }

    async fn issue(&self, request: IssueRequest) -> Result<IssueAnswer, HttpError> {
        let incomplete = || HttpError::early(Kind::Question);
        if request.user_id.is_empty() {
            return Err(incomplete());
        }
        let body = Body {
            user_id: &request.user_id,
            tenant_id: request.workspace.as_ref().map_or("", |id| id.as_str()),
            app_id: request.app.as_ref().map_or("", |id| id.as_str()),
            audience: &request.audience,
            user_type: self.user_type.as_ref().map(|says| says(&request)),
        };
        let question = Question {
            media_type: "application/json",
            credential: self.credential.clone(),
            body: serde_json::to_vec(&body).map_err(|_text| incomplete())?,
            reads: |status| status == 200,
        };
        meaning(&self.client.post(question).await?)
    }
}

impl fmt::Debug for HttpIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpIssuer")
            .field("client", &self.client)
            .field("credential", &self.credential.as_ref().map(|(name, _)| name))
            .finish_non_exhaustive()
    }
}

const CREDENTIAL: &str = "credential header";

#[derive(Serialize)]
struct Body<'r> {
    user_id: &'r str,
    tenant_id: &'r str,
    app_id: &'r str,
    audience: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_type: Option<Cow<'static, str>>,
}

fn field_value(secret: &Secret, scheme: &str) -> Result<HeaderValue, ConfigError> {
    let unfit = ConfigError::Value { setting: CREDENTIAL };
    if !secret.is_sendable() {
        return Err(unfit);
    }
    let value = format!("{scheme}{}", secret.expose());
    let mut value = HeaderValue::try_from(value).map_err(|_shape| unfit)?;
    value.set_sensitive(true);
    Ok(value)
}

fn meaning(answer: &Answer) -> Result<IssueAnswer, HttpError> {
    if answer.status == 200 {
        return token(answer);
    }
    by_status(answer)
}

/// What a status means by itself.
pub(super) fn by_status(answer: &Answer) -> Result<IssueAnswer, HttpError> {
    if let Some(retry_after) = answer.busy() {
        return Ok(IssueAnswer::Busy { retry_after });
    }
    match answer.status {
        401 => Ok(IssueAnswer::ReauthRequired),
        428 => Ok(IssueAnswer::LoginRequired),
        403 => Ok(IssueAnswer::RefusesUs),
        _ => Err(answer.error(Kind::Status)),
    }
}

fn token(answer: &Answer) -> Result<IssueAnswer, HttpError> {
    let object = answer.object()?;
    let invalid = || answer.error(Kind::Invalid);
    let secret = object.credential("token").map_err(|_invalid| invalid())?;
    let expires_at = object.integer("expires_at").ok().flatten().ok_or_else(invalid)?;
    let expires_at = Timestamp::from_secs(u64::try_from(expires_at).unwrap_or(0));
    Ok(IssueAnswer::Token { secret, expires_at })
}
