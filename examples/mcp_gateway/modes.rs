//! In which form does identity reach the servers? `--forward` says it for all of them.
//!
//! | word | the server gets |
//! | --- | --- |
//! | `off` | nothing |
//! | `headers` | `X-Forwarded-User-Id` and its like, which prove nothing: for servers that nobody else can reach |
//! | `signed:KEYFILE` | the same, and a signature over them by the key in that file, whose id is `demo` (RFC 9421) |
//! | `assertion` | `X-Forwarded-User-Assertion`, a JWT by a key that is new at each start and told at `/jwks.json` |

use std::convert::Infallible;

use axum::extract::Request;
use axum::response::Response;
use tower::util::BoxCloneSyncService;
use tower_bearer::forward::{ConfigError, ForwardOptions, Forwarding, Mode as Plain, Upstream};

/// A word of `--forward`, and what belongs to it.
#[derive(Debug)]
pub enum Mode {
    Off,
    Headers,
    #[cfg(feature = "signed")]
    Signed(Box<tower_bearer::forward::KeyRing>),
    #[cfg(feature = "signed")]
    Assertion,
}

/// What the stack and the routes are given.
#[derive(Debug)]
pub struct Forwards {
    pub all: Vec<Forwarding>,
    /// Answers `/jwks.json`, in a mode that has something to tell there.
    pub jwks: Option<BoxCloneSyncService<Request, Response, Infallible>>,
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
            #[cfg(feature = "signed")]
            ("signed", Some(file)) => signed::ring(file),
            #[cfg(feature = "signed")]
            ("assertion", None) => Ok(Self::Assertion),
            #[cfg(not(feature = "signed"))]
            ("signed", Some(_)) | ("assertion", None) => {
                let command = "cargo run --features signed --example mcp_gateway";
                Err(format!("--forward {word} needs the feature signed: {command}"))
            }
            ("idp-token" | "exchange" | "user-oidc", Some(_)) => {
                Err(format!("--forward {word} is not built in yet"))
            }
            _ => Err(format!("--forward {text:?} is no mode")),
        }
    }

    /// Forwarding to each of the servers; `own` is the gateway's URL.
    pub fn forwards(&self, upstreams: &[Upstream], own: &str) -> Result<Forwards, ConfigError> {
        let plain = |mode| upstreams.iter().map(move |up| ForwardOptions::new(up.clone(), mode));
        let (options, jwks): (Vec<_>, _) = match self {
            Self::Off => (plain(Plain::Off).collect(), None),
            Self::Headers => (plain(Plain::Headers).collect(), None),
            #[cfg(feature = "signed")]
            Self::Signed(keys) => (signed::headers(upstreams, keys), None),
            #[cfg(feature = "signed")]
            Self::Assertion => signed::assertions(upstreams, own)?,
        };
        #[cfg(not(feature = "signed"))]
        let _ = own;
        let all = options.into_iter().map(ForwardOptions::build).collect::<Result<_, _>>()?;
        Ok(Forwards { all, jwks })
    }
}

#[cfg(feature = "signed")]
mod signed {
    use axum::body::Body;
    use tower_bearer::forward::{
        AssertionKey, Assertions, JwksService, KeyFault, KeyRing, Signing, SigningKey,
    };

    use super::*;

    type Jwks = Option<BoxCloneSyncService<Request, Response, Infallible>>;

    /// The bytes of the file are the key, without a line end at the last.
    pub fn ring(file: &str) -> Result<Mode, String> {
        let wrong = |what: &dyn std::fmt::Display| format!("--forward signed: {what}");
        let key = std::fs::read(file).map_err(|error| wrong(&error))?;
        let key = key.strip_suffix(b"\n").unwrap_or(&key);
        let key = SigningKey::hmac_sha256("demo", key).map_err(|error| wrong(&error))?;
        let ring = KeyRing::new([key]).map_err(|error| wrong(&error))?;
        Ok(Mode::Signed(Box::new(ring)))
    }

    /// The body streams through; head and target are what is signed.
    pub fn headers(upstreams: &[Upstream], keys: &KeyRing) -> Vec<ForwardOptions> {
        let signing = Signing::new(keys.clone()).without_body();
        let signed = |up: &Upstream| ForwardOptions::signed_headers(up.clone(), signing.clone());
        upstreams.iter().map(signed).collect()
    }

    pub fn assertions(
        upstreams: &[Upstream],
        own: &str,
    ) -> Result<(Vec<ForwardOptions>, Jwks), ConfigError> {
        let mut seed = [0; 32];
        let no_key = ConfigError::Key { fault: KeyFault::Malformed };
        getrandom::fill(&mut seed).map_err(|_no_entropy| no_key)?;
        let key = AssertionKey::new(SigningKey::ed25519("demo", &seed)?)?;
        let assertions = Assertions::new(own, key)?;
        let jwks = BoxCloneSyncService::new(JwksService::<Body>::new(&assertions));
        let asserted = |up: &Upstream| ForwardOptions::assertion(up.clone(), assertions.clone());
        Ok((upstreams.iter().map(asserted).collect(), Some(jwks)))
    }
}
