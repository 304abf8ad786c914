//! Is the assertion that came with a request the gateway's, for us, now, and new?
//!
//! 1. A function of a head and a time; only the id needs somebody who remembers, and is asked for last.
//! 2. The header names a key of ours and that key's own algorithm. No claim is read before the signature is right.
//! 3. One issuer, one audience, three times, one id: each must be there, as the gateway writes it (RFC 7519 §4.1).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderName;
use http::header::AUTHORIZATION;
use http::request::Parts;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

use super::claims::Claims;
use super::verifier::{LEEWAY_SECS, only, refused, spent};
use super::{Unspent, VerifiedCaller, VerifyError};
use crate::clock::Timestamp;
use crate::forward::assertion::{LONGEST, TYP};
use crate::forward::is_key_name;
use crate::forward::{ConfigError, DEFAULT_PREFIX, VerifyingKey, VerifyingKeys, emitted_name};
use crate::rejection::Reason;
use crate::store::NonceStore;

/// Verifies what a gateway in mode `assertion` says of a caller.
///
/// A clone costs a reference count; it holds no state between requests. After a change of the gateway's keys make a new one,
/// e.g. of what its `JwksService` publishes.
///
/// ```
/// use tower_bearer::forward::{AssertionKey, SigningKey, VerifyingKeys};
/// use tower_bearer::receiver::{AssertionVerifier, VerifyIdentity};
/// use tower_bearer::store::MemoryNonces;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let published = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
///     "kid":"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k","alg":"EdDSA","use":"sig"}]}"#;
/// let keys = VerifyingKeys::from_jwks(published)?;
/// let verifier =
///     AssertionVerifier::builder(keys, "https://gw.example.com", "https://mcp.example.com/mcp").build()?;
/// let layer = VerifyIdentity::assertions(verifier, MemoryNonces::new());
/// # let _ = layer;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct AssertionVerifier(Arc<Rules>);

#[derive(Debug)]
struct Rules {
    keys: VerifyingKeys,
    issuer: String,
    audience: String,
    header: HeaderName,
    longest_life: u64,
}

/// Settings of an [`AssertionVerifier`]: the gateway's, seen from the other end.
#[derive(Clone, Debug)]
#[must_use = "settings do nothing until they are built"]
pub struct AssertionVerifierBuilder {
    keys: VerifyingKeys,
    issuer: String,
    audience: String,
    header: String,
    longest_life: Duration,
}

impl AssertionVerifier {
    /// Believes assertions that one of `keys` signed, that `issuer` made, and that are for `audience`: the gateway's name for
    /// us, most often our URL. Both are compared byte for byte.
    pub fn builder(
        keys: VerifyingKeys,
        issuer: impl Into<String>,
        audience: impl Into<String>,
    ) -> AssertionVerifierBuilder {
        AssertionVerifierBuilder {
            keys,
            issuer: issuer.into(),
            audience: audience.into(),
            header: format!("{DEFAULT_PREFIX}-Assertion"),
            longest_life: Duration::from_secs(300),
        }
    }

    /// Everything but whether it is new.
    ///
    /// # Errors
    /// [`VerifyError::NotVerified`], whatever failed.
    pub fn verify_once(&self, head: &Parts, now: Timestamp) -> Result<Unspent, VerifyError> {
        self.judge(head, now).map_err(refused)
    }

    /// All of it, for services without a tower layer. The store is asked last, without a deadline.
    ///
    /// # Errors
    /// [`VerifyError::NotVerified`], whatever failed; [`VerifyError::NonceStore`] if the store could not say.
    ///
    /// # Cancel safety
    /// Dropped half-way, the id may be remembered: the same assertion may then be refused.
    pub async fn verify(
        &self,
        head: &Parts,
        now: Timestamp,
        nonces: &impl NonceStore,
    ) -> Result<VerifiedCaller, VerifyError> {
        spent(self.verify_once(head, now)?, nonces).await
    }

    fn judge(&self, head: &Parts, now: Timestamp) -> Result<Unspent, Reason> {
        let rules = &*self.0;
        let token = rules.token(head).ok_or(Reason::NoSignature)?;
        let token = Token::read(token).ok_or(Reason::BadSignatureFields)?;
        let header = token.header().ok_or(Reason::BadSignatureFields)?;
        let key = rules.keys.named(&header.kid).ok_or(Reason::UnknownKey)?;
        if key.algorithm().jws_word() != Some(&*header.alg) {
            return Err(Reason::UnknownKey);
        }
        let claims = token.claims(key).ok_or(Reason::WrongSignature)?;
        let claims = Claims::read(&claims).ok_or(Reason::Undecodable)?;
        if claims.text("iss") != Some(&rules.issuer) {
            return Err(Reason::WrongIssuer);
        }
        if claims.text("aud") != Some(&rules.audience) {
            return Err(Reason::WrongAudience);
        }
        let until = rules.in_time(&claims, now).ok_or(Reason::WrongTime)?;
        let is_id = |id: &&str| is_key_name(id) && !id.contains('.');
        let id = claims.text("jti").filter(is_id).ok_or(Reason::Undecodable)?.to_owned();
        let caller = claims.caller(key.id()).ok_or(Reason::Undecodable)?;
        Ok(Unspent::new(caller, id, until))
    }
}

impl Rules {
    /// The one token of the one line.
    fn token<'h>(&self, head: &'h Parts) -> Option<&'h str> {
        let line = str::from_utf8(only(&head.headers, &self.header)?).ok()?;
        if self.header != AUTHORIZATION {
            return Some(line);
        }
        let (scheme, token) = line.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token)
    }

    /// Until when the id must be remembered, if the assertion counts now.
    fn in_time(&self, claims: &Claims, now: Timestamp) -> Option<Timestamp> {
        let [made, first, ends] = ["iat", "nbf", "exp"].map(|claim| claims.seconds(claim));
        let (made, first, ends) = (made?, first?, ends?);
        let life = ends.checked_sub(made)?;
        let begun = |secs: u64| Timestamp::from_secs(secs.saturating_sub(LEEWAY_SECS)) <= now;
        let last = Timestamp::from_secs(ends.saturating_add(LEEWAY_SECS));
        let counts = (1..=self.longest_life).contains(&life);
        (counts && begun(made) && begun(first) && now <= last).then_some(last)
    }
}

impl AssertionVerifierBuilder {
    /// Sets the header that the gateway sends, which holds the bare token; `Authorization` holds `Bearer` and the token.
    ///
    /// Default `X-Forwarded-User-Assertion`.
    pub fn header(mut self, header: impl Into<String>) -> Self {
        self.header = header.into();
        self
    }

    /// Sets the longest life of an assertion that is believed, 1 to 3,600 whole seconds. Default 300 s.
    pub fn longest_lifetime(mut self, life: Duration) -> Self {
        self.longest_life = life;
        self
    }

    /// Checks everything.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for an empty issuer or audience; [`ConfigError::NameShape`] and [`ConfigError::NameReserved`]
    /// for the header; [`ConfigError::OutOfRange`] for the life; [`ConfigError::Key`] for a symmetric key.
    pub fn build(self) -> Result<AssertionVerifier, ConfigError> {
        for (setting, text) in [("issuer", &self.issuer), ("audience", &self.audience)] {
            if text.is_empty() {
                return Err(ConfigError::Value { setting });
            }
        }
        let life = self.longest_life;
        if life.subsec_nanos() != 0 || !(1..=3600).contains(&life.as_secs()) {
            return Err(ConfigError::OutOfRange { setting: "longest_lifetime" });
        }
        self.keys.check_public()?;
        Ok(AssertionVerifier(Arc::new(Rules {
            header: emitted_name("header", &self.header)?,
            keys: self.keys,
            issuer: self.issuer,
            audience: self.audience,
            longest_life: life.as_secs(),
        })))
    }
}

/// Three parts in base64url (RFC 7515 §7.1).
struct Token<'a> {
    signed: &'a str,
    header: &'a str,
    claims: &'a str,
    signature: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    typ: String,
    alg: String,
    kid: String,
}

impl<'a> Token<'a> {
    fn read(token: &'a str) -> Option<Self> {
        let (signed, signature) = token.rsplit_once('.').filter(|_| token.len() <= LONGEST)?;
        let (header, claims) = signed.split_once('.').filter(|(_, rest)| !rest.contains('.'))?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        Some(Self { signed, header, claims, signature })
    }

    /// Type, algorithm and key, and nothing else: what we do not know may matter (RFC 7515 §4.1.11).
    fn header(&self) -> Option<Header> {
        let json = URL_SAFE_NO_PAD.decode(self.header).ok()?;
        let json = json.starts_with(b"{").then_some(json)?; // an array would be read as well
        let header: Header = serde_json::from_slice(&json).ok()?;
        (header.typ == TYP).then_some(header)
    }

    /// The claims' JSON, if the signature is right.
    fn claims(&self, key: &VerifyingKey) -> Option<Vec<u8>> {
        let verified = key.verifies(self.signed.as_bytes(), &self.signature);
        URL_SAFE_NO_PAD.decode(self.claims).ok().filter(|_| verified)
    }
}
