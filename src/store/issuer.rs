//! Who mints a credential for one caller and one upstream?

use std::future::Future;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::id::{AppId, WorkspaceId};
use crate::secret::Secret;

/// Mints credentials that an upstream accepts in the name of a caller.
///
/// Called in tasks of their own, at most 64 at once and once for each caller and upstream at a time, under deadlines of this
/// crate; its answers are cached. An implementation follows no redirect and logs no token.
pub trait IdentityIssuer: Send + Sync + 'static {
    /// Why no answer could be had: the request is answered 503, or 504 after a timeout.
    ///
    /// Its text must hold neither a token nor what the issuer wrote.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Whether the same question may be put once more: only if it is certain that the issuer did not act on it.
    ///
    /// Default: never.
    fn may_retry(error: &Self::Error) -> bool {
        let _ = error;
        false
    }

    /// Whether the error is that no answer came in time: the request is answered 504 instead of 503.
    ///
    /// Default: it is not. Deadlines of this crate's own are known without being told.
    fn timed_out(error: &Self::Error) -> bool {
        let _ = error;
        false
    }

    /// Asks for one credential.
    fn issue(
        &self,
        request: IssueRequest,
    ) -> impl Future<Output = Result<IssueAnswer, Self::Error>> + Send;
}

/// What kind of caller a credential is for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum UserType {
    /// An account of this service.
    Account,
    /// A subject of an identity provider.
    EndUser,
    /// A service.
    Service,
}

impl UserType {
    /// The fixed word: `account`, `end_user` or `service`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::EndUser => "end_user",
            Self::Service => "service",
        }
    }
}

/// Everything an issuer needs to know.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IssueRequest {
    /// Account or service id; for external subjects 64 hex digits of SHA-256 over issuer and subject.
    pub user_id: String,
    /// What the id is of.
    pub user_type: UserType,
    /// The app's workspace, or the one that the token is bound to.
    pub workspace: Option<WorkspaceId>,
    /// The app.
    pub app: Option<AppId>,
    /// For whom the credential is: one string, the upstream's.
    pub audience: String,
    /// The token that proves who the caller is, where the mode needs one (RFC 8693 §2.1).
    pub subject_token: Option<TypedToken>,
    /// The token that proves who acts, if another does (RFC 8693 §2.1).
    pub actor_token: Option<TypedToken>,
    /// The time of the question, to tell how long an answer lives.
    pub now: Timestamp,
}

impl IssueRequest {
    /// A request for a caller and an audience; everything else is set by assignment.
    #[must_use]
    pub fn new(user_id: impl Into<String>, audience: impl Into<String>, now: Timestamp) -> Self {
        Self {
            user_id: user_id.into(),
            user_type: UserType::Account,
            workspace: None,
            app: None,
            audience: audience.into(),
            subject_token: None,
            actor_token: None,
            now,
        }
    }
}

/// A token and what it is (RFC 8693 §3).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TypedToken {
    /// The token.
    pub secret: Secret,
    /// Its type, a URI such as `urn:ietf:params:oauth:token-type:access_token`.
    pub token_type: String,
}

impl TypedToken {
    /// A token of a type.
    #[must_use]
    pub fn new(secret: Secret, token_type: impl Into<String>) -> Self {
        Self { secret, token_type: token_type.into() }
    }
}

/// What an issuer said.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum IssueAnswer {
    /// A credential.
    Token {
        /// 1 to 8,192 bytes 0x21 to 0x7E; anything else is an invalid answer.
        secret: Secret,
        /// When it ends. Not after the request's `now`: it serves one request and is not cached.
        expires_at: Timestamp,
    },
    /// The caller must sign in again: what was stored for it counts no more.
    ReauthRequired,
    /// The caller has never signed in with the provider.
    LoginRequired,
    /// The caller may not have one.
    Denied,
    /// The caller lacks scopes of the upstream (RFC 9470).
    StepUp {
        /// Those scopes.
        scopes: Vec<String>,
    },
    /// The issuer does not accept this service: its own credential or its configuration is wrong.
    RefusesUs,
    /// The issuer asks to be left alone.
    Busy {
        /// For how long; held to 1 to 30 s.
        retry_after: Duration,
    },
}
