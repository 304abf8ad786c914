//! How do public keys read in JSON?
//!
//! 1. One key is a JWK (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2), a list of them a set; only public members are ever written.
//! 2. A set that is read may hold keys of others: what we have no use for is passed over. A private member in a published
//!    set is a mistake that is told.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::forward::error::ConfigError;
use crate::forward::key_rules::{KEYS, KeyFault};
use crate::forward::sign::{Algorithm, PublicParts, VerifyingKey, VerifyingKeys};

/// A public key, in the order in which its members are written.
#[derive(Serialize)]
pub(super) struct Jwk {
    #[serde(flatten)]
    parts: Parts,
    kid: String,
    alg: &'static str,
    r#use: &'static str,
}

#[derive(Default, Serialize)]
struct Parts {
    kty: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    crv: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e: Option<String>,
}

impl Jwk {
    /// `None` for a symmetric key.
    pub(super) fn of(key: &VerifyingKey) -> Option<Self> {
        let text = |bytes: &[u8]| Some(URL_SAFE_NO_PAD.encode(bytes));
        let parts = match key.public_parts()? {
            PublicParts::Ed25519(x) => {
                Parts { kty: "OKP", crv: Some("Ed25519"), x: text(x), ..Parts::default() }
            }
            PublicParts::P256(x, y) => {
                let (x, y) = (text(x), text(y));
                Parts { kty: "EC", crv: Some("P-256"), x, y, ..Parts::default() }
            }
            PublicParts::Rsa { n, e } => {
                Parts { kty: "RSA", n: text(n), e: text(e), ..Parts::default() }
            }
        };
        let alg = key.algorithm().jws_word()?;
        Some(Self { parts, kid: key.id().to_owned(), alg, r#use: "sig" })
    }

    /// SHA-256 over the members that a key of its type needs, by name, without blanks (RFC 7638 §3).
    pub(super) fn thumbprint(&self) -> String {
        let Parts { kty, crv, x, y, n, e } = &self.parts;
        let kty = Some(*kty);
        let by_name = [
            ("crv", *crv),
            ("e", e.as_deref()),
            ("kty", kty),
            ("n", n.as_deref()),
            ("x", x.as_deref()),
            ("y", y.as_deref()),
        ];
        let members = by_name.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let members = members.map(|(name, value)| format!("\"{name}\":\"{value}\"")); // no value needs an escape
        let text = format!("{{{}}}", members.collect::<Vec<_>>().join(","));
        URL_SAFE_NO_PAD.encode(Sha256::digest(text))
    }
}

/// The set, as JSON.
pub(super) fn set_of(keys: &VerifyingKeys) -> Vec<u8> {
    #[derive(Serialize)]
    struct Set {
        keys: Vec<Jwk>,
    }
    serde_json::to_vec(&Set { keys: keys.iter().filter_map(Jwk::of).collect() }).unwrap_or_default()
}

impl VerifyingKeys {
    /// The keys of a JSON Web Key Set (RFC 7517 §5), as an issuer publishes it: at most 64 KiB and 16 keys.
    ///
    /// Takes Ed25519, P-256 and RSA keys of at least 2,048 bits that sign and have a `kid` of 1 to 64 of
    /// `A-Z a-z 0-9 . _ -`. Passes over all others, as RFC 7517 §5 asks.
    ///
    /// # Errors
    /// [`ConfigError::Key`] for what is no such set, and for one that shows a private or symmetric key;
    /// [`ConfigError::OutOfRange`] for no key of use, or too many; [`ConfigError::NameTaken`] for two of one `kid`.
    pub fn from_jwks(text: &str) -> Result<Self, ConfigError> {
        const SET: ConfigError = ConfigError::Key { fault: KeyFault::Set };
        const COUNT: ConfigError = ConfigError::OutOfRange { setting: KEYS };
        let set = Some(text).filter(|text| text.len() <= 65_536 && is_object(text)).ok_or(SET)?;
        let set: Given = serde_json::from_str(set).map_err(|_shape| SET)?;
        if set.keys.iter().any(GivenKey::is_secret) {
            return Err(SET);
        }
        let keys: Vec<_> = set.keys.iter().filter_map(GivenKey::usable).collect();
        if !(1..=16).contains(&keys.len()) {
            return Err(COUNT);
        }
        let mut names: Vec<_> = keys.iter().map(VerifyingKey::id).collect();
        names.sort_unstable();
        names.dedup();
        if names.len() == keys.len() {
            Ok(Self::of(keys))
        } else {
            Err(ConfigError::NameTaken { setting: KEYS })
        }
    }
}

/// An array would be read as an object's values in order.
fn is_object(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

#[derive(Deserialize)]
struct Given {
    keys: Vec<GivenKey>,
}

#[derive(Deserialize)]
struct GivenKey {
    kty: Option<serde_json::Value>,
    crv: Option<serde_json::Value>,
    x: Option<serde_json::Value>,
    y: Option<serde_json::Value>,
    n: Option<serde_json::Value>,
    e: Option<serde_json::Value>,
    kid: Option<serde_json::Value>,
    alg: Option<serde_json::Value>,
    r#use: Option<serde_json::Value>,
    d: Option<serde_json::Value>,
    k: Option<serde_json::Value>,
}

impl GivenKey {
    fn is_secret(&self) -> bool {
        self.d.is_some() || self.k.is_some()
    }

    fn usable(&self) -> Option<VerifyingKey> {
        let text =
            |value: &'_ Option<serde_json::Value>| Some(value.as_ref()?.as_str()?.to_owned());
        let bytes = |value| URL_SAFE_NO_PAD.decode(text(value)?).ok();
        let is = |value: &Option<serde_json::Value>, word: &str| {
            value.as_ref().is_none_or(|value| value.as_str() == Some(word))
        };
        let kid = text(&self.kid)?;
        let crv = text(&self.crv);
        let key = match (&*text(&self.kty)?, crv.as_deref()) {
            ("OKP", Some("Ed25519")) => VerifyingKey::ed25519(&kid, &bytes(&self.x)?),
            ("EC", Some("P-256")) => {
                let (x, y) = (bytes(&self.x)?, bytes(&self.y)?);
                let halves = x.len() == 32 && y.len() == 32;
                let point = [&[4], &*x, &*y].concat();
                VerifyingKey::ecdsa_p256_sha256(&kid, Some(&*point).filter(|_| halves)?)
            }
            ("RSA", _) => VerifyingKey::rsa_pkcs1_sha256(&kid, &bytes(&self.n)?, &bytes(&self.e)?),
            _ => return None,
        };
        let key = key.ok()?;
        let fits = key.algorithm().jws_word().is_some_and(|word| is(&self.alg, word));
        debug_assert_ne!(key.algorithm(), Algorithm::HmacSha256, "only public keys are read");
        (fits && is(&self.r#use, "sig")).then_some(key)
    }
}
