//! What proves to a token endpoint that we hold our private key (RFC 7523 §3)?
//!
//! 1. A JWT of a minute, with a number of its own, for that one endpoint. It is never kept.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use std::sync::Arc;

use crate::clock::{Clock, SystemClock};
use crate::forward::{Algorithm, ConfigError, KeyFault, SigningKey};
use crate::secret::Secret;

#[derive(Clone)]
pub(super) struct Signer {
    client_id: Box<str>,
    key: SigningKey,
    word: &'static str,
    clock: Arc<dyn Clock>,
}

impl Signer {
    pub(super) fn new(client_id: &str, key: SigningKey) -> Result<Self, ConfigError> {
        let word = match key.algorithm() {
            Algorithm::Ed25519 => "EdDSA",
            Algorithm::EcdsaP256Sha256 => "ES256",
            Algorithm::RsaPkcs1Sha256 => "RS256",
            Algorithm::HmacSha256 => return Err(ConfigError::Key { fault: KeyFault::Malformed }),
        };
        Ok(Self { client_id: client_id.into(), key, word, clock: Arc::new(SystemClock::new()) })
    }

    pub(super) fn set_clock(&mut self, clock: impl Clock) {
        self.clock = Arc::new(clock);
    }

    pub(super) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// `None` if the operating system has no randomness.
    pub(super) fn assertion(&self, audience: &str) -> Option<Secret> {
        let mut number = [0; 16];
        getrandom::fill(&mut number).ok()?;
        let iat = self.clock.now().wall().as_secs();
        let header = Header { typ: "JWT", alg: self.word, kid: self.key.id() };
        let claims = Claims {
            iss: &self.client_id,
            sub: &self.client_id,
            aud: audience,
            iat,
            exp: iat.saturating_add(60),
            jti: &URL_SAFE_NO_PAD.encode(number),
        };
        let signed = format!("{}.{}", part(&header)?, part(&claims)?);
        let signature = self.key.sign(signed.as_bytes())?;
        Some(Secret::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}

#[derive(Serialize)]
struct Header<'a> {
    typ: &'a str,
    alg: &'a str,
    kid: &'a str,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
    jti: &'a str,
}

fn part(of: &impl Serialize) -> Option<String> {
    serde_json::to_vec(of).ok().map(|bytes| URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ManualClock, Timestamp};
    use ring::signature::{ED25519, KeyPair as _, UnparsedPublicKey};

    #[test]
    fn an_assertion_is_short_single_and_signed() {
        let seed: Vec<u8> = (0..32).collect();
        let pair = ring::signature::Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
        let mut signer = Signer::new("gw", SigningKey::ed25519("k1", &seed).unwrap()).unwrap();
        signer.set_clock(ManualClock::at(Timestamp::from_secs(1_700_000_000)));
        let made = signer.assertion("https://as.example.com/t").unwrap();
        let (signed, signature) = made.expose().rsplit_once('.').unwrap();
        let (header, claims) = signed.split_once('.').unwrap();
        let open = |part: &str| String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        assert_eq!(open(header), r#"{"typ":"JWT","alg":"EdDSA","kid":"k1"}"#, "F128");
        let claims = open(claims);
        let (start, jti) = claims.split_once(r#","jti":""#).unwrap();
        let want = r#"{"iss":"gw","sub":"gw","aud":"https://as.example.com/t","iat":1700000000,"exp":1700000060"#;
        assert_eq!((start, jti.len()), (want, 24), "F128");
        let key = UnparsedPublicKey::new(&ED25519, pair.public_key().as_ref());
        key.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
        assert_ne!(made, signer.assertion("https://as.example.com/t").unwrap(), "F128 used once");
    }

    #[test]
    fn whoever_verifies_must_not_be_able_to_sign() {
        let key = SigningKey::hmac_sha256("k1", &(0..32).collect::<Vec<u8>>()).unwrap();
        let got = Signer::new("gw", key).map(|_| ());
        assert_eq!(got, Err(ConfigError::Key { fault: KeyFault::Malformed }), "F268");
    }
}
