//! What does a user's own sign-in with an identity provider leave, and who keeps it?

use std::future::Future;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::secret::Secret;
use crate::subject::SubjectKey;

/// Keeps what users' sign-ins with identity providers left: one link for each subject and provider.
///
/// Each call is under a deadline of 250 ms. Encrypt what is stored: a link is a pile of live credentials.
pub trait UserLinkStore: Send + Sync + 'static {
    /// Why the store could not say: the request is answered 503.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The link of a subject with a provider; `None` if it never signed in.
    fn load(
        &self,
        subject: &SubjectKey,
        provider: &str,
    ) -> impl Future<Output = Result<Option<UserLink>, Self::Error>> + Send;

    /// Puts `link` in the place of the one of generation `expected`, in one atomic step that raises the generation by one.
    ///
    /// If another generation is stored, nothing changes and that one is given back.
    fn replace(
        &self,
        subject: &SubjectKey,
        provider: &str,
        expected: u64,
        link: UserLink,
    ) -> impl Future<Output = Result<Replaced, Self::Error>> + Send;
}

/// What became of a replacement.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a replacement is made or lost, there is no third")]
pub enum Replaced {
    /// The link is stored, under the next generation.
    Stored,
    /// Another generation was there.
    Lost(UserLink),
}

/// One user's tokens of one provider. `Debug` shows no token.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct UserLink {
    /// The access token, as it is sent.
    pub access_token: Secret,
    /// What gets a new one; it may change with each use.
    pub refresh_token: Option<Secret>,
    /// The type that the provider named; empty or `bearer` in any case.
    pub token_type: String,
    /// When the access token was got.
    pub obtained_at: Option<Timestamp>,
    /// When it ends, if the provider said.
    pub expires_at: Option<Timestamp>,
    /// For whom it was made, if that is known.
    pub audiences: Vec<String>,
    /// Raised by each replacement.
    pub generation: u64,
    /// Until then another process is getting a new one.
    pub lease_until: Option<Timestamp>,
    /// The provider said that it will never give a new one.
    pub broken: bool,
}

impl UserLink {
    /// A link of generation 0 that says nothing of time, type or audience.
    #[must_use]
    pub fn new(access_token: impl Into<Secret>) -> Self {
        Self {
            access_token: access_token.into(),
            refresh_token: None,
            token_type: String::new(),
            obtained_at: None,
            expires_at: None,
            audiences: Vec::new(),
            generation: 0,
            lease_until: None,
            broken: false,
        }
    }
}

/// The identity provider that gives new access tokens for refresh tokens (RFC 6749 §6).
pub trait OidcProvider: Send + Sync + 'static {
    /// Why it could not be said: whatever is not one of [`RefreshAnswer`]. The old token may serve on.
    ///
    /// Its text must hold neither a token nor what the provider wrote.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Whether the same question may be put once more: only if no connection was made. A refresh that was sent may have used the
    /// refresh token up.
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

    /// Uses a refresh token.
    fn refresh(
        &self,
        refresh_token: Secret,
    ) -> impl Future<Output = Result<RefreshAnswer, Self::Error>> + Send;
}

/// What a provider said to a refresh.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RefreshAnswer {
    /// New tokens.
    Fresh {
        /// The new access token: 1 to 8,192 bytes 0x21 to 0x7E; anything else is an invalid answer.
        access_token: Secret,
        /// The new refresh token; `None` if the old one stays.
        refresh_token: Option<Secret>,
        /// How long the access token lives, if the provider said.
        expires_in: Option<Duration>,
    },
    /// The refresh token counts no more: `invalid_grant` (RFC 6749 §5.2) or `bad_refresh_token`.
    Gone,
    /// The provider does not accept this service: `invalid_client` or `unauthorized_client`.
    RefusesUs,
    /// The provider asks to be left alone.
    Busy {
        /// For how long; held to 1 to 30 s.
        retry_after: Duration,
    },
}
