//! Credentials that an issuer mints for one caller and one upstream: our own issuer's, or by token exchange (RFC 8693).

use std::sync::Arc;
use std::time::Duration;

use super::credential::{Asked, Credential, Mints, Obtaining};
use super::minter::Minter;
use super::subject::{ACCESS_TOKEN, Actor, SubjectFrom};
use crate::authenticator::Authenticator;
use crate::context::AuthContext;
use crate::rejection::Rejection;
use crate::store::{IdentityIssuer, UserType};

/// Mode `idp_token`: a token that our issuer mints for a user and an upstream.
///
/// Minted once and then sent from a cache of this process, for no more than 5 minutes, not in the last minute of its life and not
/// to the end of the token that the caller presented. Each presented token has its own. A clone shares the cache; what a
/// subject's identity was forwarded by is dropped by
/// [`forget_identity`](crate::Authenticator::forget_identity) and by revocations.
///
/// ```
/// # use tower_bearer::{Authenticator, forward::{ForwardOptions, IdpToken, Upstream}, store::IdentityIssuer};
/// # fn example(auth: &Authenticator, issuer: impl IdentityIssuer) -> Result<(), tower_bearer::forward::ConfigError> {
/// let upstream = Upstream::new("mcp-main", "https://mcp.example.com/mcp")?;
/// let forwarding = ForwardOptions::idp_token(upstream, IdpToken::new(auth, issuer)).build()?;
/// # let _ = forwarding; Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct IdpToken(Minter);

/// Mode `exchange`: a token that an authorization server gives for another one (RFC 8693).
///
/// Cached as those of [`IdpToken`] are. By default the other one is the token that the request came with, as an access token.
#[derive(Clone, Debug)]
#[must_use]
pub struct Exchange(Minter);

impl IdpToken {
    /// Asks `issuer`, and remembers what it mints where `auth` can forget it.
    pub fn new(auth: &Authenticator, issuer: impl IdentityIssuer) -> Self {
        Self(Minter::new(auth, "idp_token", issuer, None))
    }
}

impl Exchange {
    /// Asks `issuer`, and remembers what it mints where `auth` can forget it.
    pub fn new(auth: &Authenticator, issuer: impl IdentityIssuer) -> Self {
        let subject = SubjectFrom::presented(ACCESS_TOKEN);
        Self(Minter::new(auth, "exchange", issuer, Some(subject)))
    }

    /// Proves by another token than the presented one who the caller is.
    pub fn subject_token(mut self, from: SubjectFrom) -> Self {
        self.0.subject = Some(from);
        self
    }

    /// Says who acts on the caller's behalf.
    ///
    /// A caller whose verified claims hold `may_act` (RFC 8693 §4.4) and do not name this actor is refused as
    /// `identity_denied`, and nobody is asked.
    pub fn actor(mut self, actor: Actor) -> Self {
        self.0.actor = Some(actor);
        self
    }
}

/// The settings that both share.
macro_rules! settings {
    ($source:ident) => {
        impl $source {
            /// Keeps at most this many credentials, 1 to 10,000,000. Default 10,000.
            ///
            /// Set it before the source is cloned: it begins a cache of its own.
            pub fn cache_capacity(self, entries: u64) -> Self {
                Self(self.0.with_capacity(entries))
            }

            /// Sends a credential for no longer than this after it was minted, in whole seconds. Default 300 s; 0: each serves those
            /// alone who wait for it.
            pub fn cap(mut self, most: Duration) -> Self {
                self.0.rule.cap = most.as_secs();
                self
            }

            /// Does not send a credential in the last part of its life: so many whole seconds, but no more than half of it.
            /// Default 60 s.
            pub fn margin(mut self, margin: Duration) -> Self {
                self.0.rule.margin = margin.as_secs();
                self
            }

            /// Tells the issuer another type of caller than the subject's.
            pub fn user_type(
                mut self,
                of: impl Fn(&AuthContext) -> UserType + Send + Sync + 'static,
            ) -> Self {
                self.0.user_type = Arc::new(of);
                self
            }
        }

        impl Mints for $source {
            fn known(&self, asked: &Asked<'_>) -> Option<Result<Credential, Rejection>> {
                self.0.known(asked)
            }

            fn obtain(&self, asked: &Asked<'_>) -> Obtaining {
                self.0.obtain(asked)
            }

            fn refused(&self, asked: &Asked<'_>, digest: &[u8; 32]) {
                self.0.refused(asked, digest);
            }

            fn needs_presented(&self) -> bool {
                self.0.subject.as_ref().is_some_and(SubjectFrom::needs_presented)
            }
        }
    };
}

settings!(IdpToken);
settings!(Exchange);
