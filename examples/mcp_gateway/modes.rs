//! In which form does identity reach the servers? `--forward` says it for all of them.
//!
//! | word | the server gets |
//! | --- | --- |
//! | `off` | nothing |
//! | `headers` | `X-Forwarded-User-Id` and its like, which prove nothing: for servers that nobody else can reach |
//! | `signed:KEYFILE` | the same, and a signature over them by the key in that file, whose id is `demo` (RFC 9421) |
//! | `assertion` | `X-Forwarded-User-Assertion`, a JWT by a key that is new at each start and told at `/jwks.json` |
//! | `idp-token:URL` | a token that the issuer at this URL mints for caller and server |
//! | `exchange:URL` | a token that this token endpoint gives for the caller's own (RFC 8693) |
//! | `user-oidc:URL` | the caller's own token of an identity provider, refreshed at this token endpoint: those of `--links` |

use std::convert::Infallible;

use axum::extract::Request;
use axum::response::Response;
use tower::util::BoxCloneSyncService;
use tower_bearer::Authenticator;
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
    #[cfg(feature = "issuer-http")]
    Minted(Box<crate::minted::Minted>),
}

/// What else is given to go with a mode.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beside<'a> {
    /// `ID:SECRET`: how the gateway says who it is to a token endpoint.
    pub client: Option<&'a str>,
    /// A file of what sign-ins with the identity provider left.
    pub links: Option<&'a str>,
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
    pub fn read(text: &str, beside: Beside<'_>) -> Result<Self, String> {
        let (word, rest) = match text.split_once(':') {
            Some((word, rest)) => (word, Some(rest)),
            None => (text, None),
        };
        for (flag, given, takers) in [
            ("--client", beside.client, &["exchange", "user-oidc"][..]),
            ("--links", beside.links, &["user-oidc"]),
        ] {
            if given.is_some() && !takers.contains(&word) {
                return Err(format!("{flag} goes with no --forward {word}"));
            }
        }
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
            #[cfg(feature = "issuer-http")]
            ("idp-token" | "exchange" | "user-oidc", Some(url)) => {
                let minted = crate::minted::Minted::read(word, url, beside)?;
                Ok(Self::Minted(Box::new(minted)))
            }
            #[cfg(not(feature = "issuer-http"))]
            ("idp-token" | "exchange" | "user-oidc", Some(_)) => {
                let command = "cargo run --features issuer-http,signed --example mcp_gateway";
                Err(format!("--forward {word} needs the feature issuer-http: {command}"))
            }
            _ => Err(format!("--forward {text:?} is no mode")),
        }
    }

    /// Forwarding to each of the servers; `own` is the gateway's URL.
    pub fn forwards(
        &self,
        auth: &Authenticator,
        upstreams: &[Upstream],
        own: &str,
    ) -> Result<Forwards, ConfigError> {
        let plain = |mode| upstreams.iter().map(move |up| ForwardOptions::new(up.clone(), mode));
        let (options, jwks): (Vec<_>, _) = match self {
            Self::Off => (plain(Plain::Off).collect(), None),
            Self::Headers => (plain(Plain::Headers).collect(), None),
            #[cfg(feature = "signed")]
            Self::Signed(keys) => (signed::headers(upstreams, keys), None),
            #[cfg(feature = "signed")]
            Self::Assertion => signed::assertions(upstreams, own)?,
            #[cfg(feature = "issuer-http")]
            Self::Minted(minted) => (minted.forwards(auth, upstreams)?, None),
        };
        // each is for one of the modes that a feature brings
        let _ = (auth, own);
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

    /// Head, target and body are signed, so bodies are held: up to 1 MiB.
    pub fn headers(upstreams: &[Upstream], keys: &KeyRing) -> Vec<ForwardOptions> {
        let signing = Signing::new(keys.clone());
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
