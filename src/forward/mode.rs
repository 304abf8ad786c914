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
}

impl Mode {
    /// The word for this mode in a configuration.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Headers => "headers",
        }
    }
}

/// Reads the configuration's word.
impl FromStr for Mode {
    type Err = ConfigError;

    fn from_str(word: &str) -> Result<Self, ConfigError> {
        [Self::Off, Self::Headers]
            .into_iter()
            .find(|mode| mode.word() == word)
            .ok_or(ConfigError::UnknownWord { setting: "mode" })
    }
}
