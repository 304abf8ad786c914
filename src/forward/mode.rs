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
}

impl Mode {
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
        ];
        let known = MODES.iter().find(|mode| mode.word() == word);
        known.copied().ok_or(ConfigError::UnknownWord { setting: "mode" })
    }
}
