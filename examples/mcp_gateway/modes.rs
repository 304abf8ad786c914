//! In which form does identity reach the servers? `--forward` says it for all of them.
//!
//! | word | the server gets |
//! | --- | --- |
//! | `off` | nothing |
//! | `headers` | `X-Forwarded-User-Id` and its like, which prove nothing: for servers that nobody else can reach |
//! | `signed:KEYFILE` | the same, and a signature over them by the key in that file, whose id is `demo` (RFC 9421) |

use tower_bearer::forward::{ConfigError, ForwardOptions, Forwarding, Mode as Plain, Upstream};

/// A word of `--forward`, and what belongs to it.
#[derive(Debug)]
pub enum Mode {
    Off,
    Headers,
    #[cfg(feature = "signed")]
    Signed(Box<tower_bearer::forward::KeyRing>),
}

impl Mode {
    /// An `Err` is one line that says what is wrong.
    pub fn read(text: &str) -> Result<Self, String> {
        let (word, rest) = match text.split_once(':') {
            Some((word, rest)) => (word, Some(rest)),
            None => (text, None),
        };
        match (word, rest) {
            ("off", None) => Ok(Self::Off),
            ("headers", None) => Ok(Self::Headers),
            ("signed", Some(file)) => Self::signed(file),
            ("assertion", None) | ("idp-token" | "exchange" | "user-oidc", Some(_)) => {
                Err(format!("--forward {word} is not built in yet"))
            }
            _ => Err(format!("--forward {text:?} is no mode")),
        }
    }

    /// Forwarding to one server in this mode.
    pub fn forwarding(&self, upstream: Upstream) -> Result<Forwarding, ConfigError> {
        match self {
            Self::Off => ForwardOptions::new(upstream, Plain::Off).build(),
            Self::Headers => ForwardOptions::new(upstream, Plain::Headers).build(),
            #[cfg(feature = "signed")]
            Self::Signed(keys) => {
                use tower_bearer::forward::{KeyRing, Signing};

                // the body streams through; head and target are what is signed
                let signing = Signing::new(KeyRing::clone(keys)).without_body();
                ForwardOptions::signed_headers(upstream, signing).build()
            }
        }
    }

    /// The bytes of the file are the key, without a line end at the last.
    #[cfg(feature = "signed")]
    fn signed(file: &str) -> Result<Self, String> {
        use tower_bearer::forward::{KeyRing, SigningKey};

        let wrong = |what: &dyn std::fmt::Display| format!("--forward signed: {what}");
        let key = std::fs::read(file).map_err(|error| wrong(&error))?;
        let key = key.strip_suffix(b"\n").unwrap_or(&key);
        let key = SigningKey::hmac_sha256("demo", key).map_err(|error| wrong(&error))?;
        let ring = KeyRing::new([key]).map_err(|error| wrong(&error))?;
        Ok(Self::Signed(Box::new(ring)))
    }

    #[cfg(not(feature = "signed"))]
    fn signed(_: &str) -> Result<Self, String> {
        let command = "cargo run --features signed --example mcp_gateway";
        Err(format!("--forward signed needs the feature signed: {command}"))
    }
}
