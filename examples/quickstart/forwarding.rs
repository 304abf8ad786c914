//! In which form does identity reach the upstream? `--forward` says it.
//!
//! | word | the upstream gets |
//! | --- | --- |
//! | `off` | nothing |
//! | `headers` | `X-Forwarded-User-Id` and its like, which prove nothing: for an upstream that nobody else can reach |
//! | `signed:KEYFILE` | the same, and a signature over them by the key in that file, whose id is `demo` (RFC 9421) |
//! | `assertion` | a JWT by a key that is new at each start and told at `/jwks.json` of the admin address |
//! | `idp-token:URL` | a token that the issuer at this URL mints for caller and upstream |
//! | `exchange:URL` | a token that this token endpoint gives for the caller's own (RFC 8693) |

use std::convert::Infallible;

use axum::extract::Request;
use axum::response::Response;
use tower::util::BoxCloneSyncService;
use tower_bearer::Authenticator;
use tower_bearer::forward::{ConfigError, ForwardOptions, Forwarding, Mode, Upstream};

/// A word of `--forward`, and what belongs to it.
#[derive(Debug)]
pub enum Forward {
    Off,
    Headers,
    #[cfg(feature = "signed")]
    Signed(Box<tower_bearer::forward::KeyRing>),
    #[cfg(feature = "signed")]
    Assertion,
    #[cfg(feature = "issuer-http")]
    IdpToken(Box<tower_bearer::issuer_http::HttpIssuer>),
    #[cfg(feature = "issuer-http")]
    Exchange(Box<tower_bearer::issuer_http::TokenExchange>),
}

/// Answers `/jwks.json`.
pub type Jwks = BoxCloneSyncService<Request, Response, Infallible>;

/// What the proxy and the admin address are given.
#[derive(Debug)]
pub struct Forwards {
    pub to_upstream: Forwarding,
    /// The token that a request came with is needed for it.
    pub needs_token: bool,
    pub jwks: Option<Jwks>,
}

impl Forward {
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
            ("signed", Some(_)) | ("assertion", None) => Err(missing(word, "signed")),
            #[cfg(feature = "issuer-http")]
            ("idp-token" | "exchange", Some(url)) => {
                minted::read(word, url).map_err(|error| format!("--forward {word}: {error}"))
            }
            #[cfg(not(feature = "issuer-http"))]
            ("idp-token" | "exchange", Some(_)) => Err(missing(word, "issuer-http")),
            _ => Err(format!("--forward {text:?} is no mode")),
        }
    }

    /// Forwarding to the upstream; `own` is the URL that this service is reached by.
    pub fn to(
        &self,
        auth: &Authenticator,
        upstream: &Upstream,
        own: &str,
    ) -> Result<Forwards, ConfigError> {
        let upstream = upstream.clone();
        let (options, needs_token, jwks) = match self {
            Self::Off => (ForwardOptions::new(upstream, Mode::Off), false, None),
            Self::Headers => (ForwardOptions::new(upstream, Mode::Headers), false, None),
            #[cfg(feature = "signed")]
            Self::Signed(keys) => (signed::headers(upstream, keys), false, None),
            #[cfg(feature = "signed")]
            Self::Assertion => {
                let (options, jwks) = signed::assertion(upstream, own)?;
                (options, false, Some(jwks))
            }
            #[cfg(feature = "issuer-http")]
            Self::IdpToken(issuer) => (minted::idp_token(auth, upstream, issuer), false, None),
            #[cfg(feature = "issuer-http")]
            Self::Exchange(issuer) => (minted::exchange(auth, upstream, issuer), true, None),
        };
        // each is for one of the modes that a feature brings
        let _ = (auth, own);
        Ok(Forwards { to_upstream: options.build()?, needs_token, jwks })
    }
}

#[cfg(not(all(feature = "signed", feature = "issuer-http")))]
fn missing(word: &str, feature: &str) -> String {
    let command = format!("cargo run --features {feature} --example quickstart");
    format!("--forward {word} needs the feature {feature}: {command}")
}

#[cfg(feature = "signed")]
mod signed {
    use axum::body::Body;
    use tower_bearer::forward::{
        AssertionKey, Assertions, JwksService, KeyFault, KeyRing, Signing, SigningKey,
    };

    use super::*;

    /// The bytes of the file are the key, without a line end at the last.
    pub fn ring(file: &str) -> Result<Forward, String> {
        let wrong = |what: &dyn std::fmt::Display| format!("--forward signed: {what}");
        let key = std::fs::read(file).map_err(|error| wrong(&error))?;
        let key = key.strip_suffix(b"\n").unwrap_or(&key);
        let key = SigningKey::hmac_sha256("demo", key).map_err(|error| wrong(&error))?;
        let ring = KeyRing::new([key]).map_err(|error| wrong(&error))?;
        Ok(Forward::Signed(Box::new(ring)))
    }

    pub fn headers(upstream: Upstream, keys: &KeyRing) -> ForwardOptions {
        ForwardOptions::signed_headers(upstream, Signing::new(keys.clone()))
    }

    pub fn assertion(upstream: Upstream, own: &str) -> Result<(ForwardOptions, Jwks), ConfigError> {
        let mut seed = [0; 32];
        let no_key = ConfigError::Key { fault: KeyFault::Malformed };
        getrandom::fill(&mut seed).map_err(|_no_entropy| no_key)?;
        let key = AssertionKey::new(SigningKey::ed25519("demo", &seed)?)?;
        let assertions = Assertions::new(own, key)?;
        let jwks = BoxCloneSyncService::new(JwksService::<Body>::new(&assertions));
        Ok((ForwardOptions::assertion(upstream, assertions), jwks))
    }
}

#[cfg(feature = "issuer-http")]
mod minted {
    use tower_bearer::forward::{Exchange, IdpToken};
    use tower_bearer::issuer_http::{ClientAuth, HttpIssuer, TokenExchange};

    use super::*;

    pub fn read(word: &str, url: &str) -> Result<Forward, ConfigError> {
        Ok(if word == "exchange" {
            Forward::Exchange(Box::new(TokenExchange::new(url, ClientAuth::none())?))
        } else {
            Forward::IdpToken(Box::new(HttpIssuer::new(url)?))
        })
    }

    pub fn idp_token(
        auth: &Authenticator,
        upstream: Upstream,
        issuer: &HttpIssuer,
    ) -> ForwardOptions {
        ForwardOptions::idp_token(upstream, IdpToken::new(auth, issuer.clone()))
    }

    pub fn exchange(
        auth: &Authenticator,
        upstream: Upstream,
        issuer: &TokenExchange,
    ) -> ForwardOptions {
        ForwardOptions::exchange(upstream, Exchange::new(auth, issuer.clone()))
    }
}
