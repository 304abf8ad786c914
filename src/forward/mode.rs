//! In which form does identity reach an upstream?

use std::str::FromStr;

use super::error::ConfigError;

/// The form in which identity reaches an upstream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Mode {
    /// `off`: nothing is sent, and what the client sent is removed.
    Off,
    /// `headers`: plain headers. They prove nothing: only for upstreams that nobody else can reach.
    Headers,
    /// `signed_headers`: the same and a signature over them, method, authority, path and query (RFC 9421).
    ///
    /// Built by [`ForwardOptions::signed_headers`](super::ForwardOptions::signed_headers), which is given the keys.
    #[cfg(feature = "signed")]
    #[cfg_attr(docsrs, doc(cfg(feature = "signed")))]
    SignedHeaders,
    /// `assertion`: a short JWT that this process signs for each request.
    ///
    /// Built by [`ForwardOptions::assertion`](super::ForwardOptions::assertion), which is given issuer and keys.
    #[cfg(feature = "signed")]
    #[cfg_attr(docsrs, doc(cfg(feature = "signed")))]
    Assertion,
    /// `idp_token`: a token that our issuer mints for the caller and the upstream.
    ///
    /// Built by [`ForwardOptions::idp_token`](super::ForwardOptions::idp_token), which is given the issuer.
    IdpToken,
    /// `user_oidc`: the user's own access token of an identity provider.
    ///
    /// Built by [`ForwardOptions::user_oidc`](super::ForwardOptions::user_oidc), which is given the links.
    UserOidc,
    /// `exchange`: a token that an authorization server gives for another one (RFC 8693).
    ///
    /// Built by [`ForwardOptions::exchange`](super::ForwardOptions::exchange), which is given the issuer.
    Exchange,
    /// `passthrough`: the token that the request came with.
    ///
    /// Built by [`ForwardOptions::passthrough`](super::ForwardOptions::passthrough), which is given the audience.
    Passthrough,
}

impl Mode {
    /// Does it send a credential that was minted before, by this process or another?
    pub(super) fn mints(self) -> bool {
        matches!(self, Self::IdpToken | Self::UserOidc | Self::Exchange | Self::Passthrough)
    }

    /// Is there one header that proves who calls?
    #[cfg(feature = "signed")]
    pub(super) fn has_credential(self) -> bool {
        self == Self::Assertion || self.mints()
    }

    /// Is there one header that proves who calls?
    #[cfg(not(feature = "signed"))]
    pub(super) fn has_credential(self) -> bool {
        self.mints()
    }

    /// The word for this mode in a configuration.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Headers => "headers",
            #[cfg(feature = "signed")]
            Self::SignedHeaders => "signed_headers",
            #[cfg(feature = "signed")]
            Self::Assertion => "assertion",
            Self::IdpToken => "idp_token",
            Self::UserOidc => "user_oidc",
            Self::Exchange => "exchange",
            Self::Passthrough => "passthrough",
        }
    }
}

/// Reads the configuration's word.
impl FromStr for Mode {
    type Err = ConfigError;

    fn from_str(word: &str) -> Result<Self, ConfigError> {
        const MODES: &[Mode] = &[
            Mode::Off,
            Mode::Headers,
            #[cfg(feature = "signed")]
            Mode::SignedHeaders,
            #[cfg(feature = "signed")]
            Mode::Assertion,
            Mode::IdpToken,
            Mode::UserOidc,
            Mode::Exchange,
            Mode::Passthrough,
        ];
        let known = MODES.iter().find(|mode| mode.word() == word);
        known.copied().ok_or(ConfigError::UnknownWord { setting: "mode" })
    }
}
