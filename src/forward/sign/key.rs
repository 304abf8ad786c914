//! With which keys do we sign?
//!
//! 1. Keys are judged when they are made: long enough, not of a few byte values, under a name that needs no escape.
//! 2. The newest of a ring signs. At most four, so that a rotation can overlap.
//! 3. A key's bytes go straight into the library that signs; this crate keeps no copy, and `Debug` shows none.

use ring::hmac;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use std::fmt;
use std::sync::Arc;

use super::verify_key::{VerifyingKey, VerifyingKeys};
use crate::forward::error::ConfigError;
use crate::forward::key_rules::{COUNT, KeyFault, distinct, name, strong};

/// How a request (RFC 9421 §3.3) or an assertion (RFC 7518 §3.1) is signed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Algorithm {
    /// `hmac-sha256`: whoever can verify can sign.
    HmacSha256,
    /// `ed25519`.
    Ed25519,
    /// `ecdsa-p256-sha256`.
    EcdsaP256Sha256,
    /// `rsa-v1_5-sha256`: for assertions alone.
    RsaPkcs1Sha256,
}

impl Algorithm {
    /// The word on the wire.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::HmacSha256 => "hmac-sha256",
            Self::Ed25519 => "ed25519",
            Self::EcdsaP256Sha256 => "ecdsa-p256-sha256",
            Self::RsaPkcs1Sha256 => "rsa-v1_5-sha256",
        }
    }

    /// The word in an assertion's header; `None` for what signs none, since whoever could verify could sign.
    #[must_use]
    pub const fn jws_word(self) -> Option<&'static str> {
        match self {
            Self::HmacSha256 => None,
            Self::Ed25519 => Some("EdDSA"),
            Self::EcdsaP256Sha256 => Some("ES256"),
            Self::RsaPkcs1Sha256 => Some("RS256"),
        }
    }
}

/// A key that signs, under the name that receivers know it by.
///
/// Give each upstream keys of its own: whoever holds a symmetric key can speak for us to all who trust it.
#[derive(Clone)]
pub struct SigningKey {
    id: Arc<str>,
    secret: Secret,
}

#[derive(Clone)]
enum Secret {
    Hmac(hmac::Key),
    Ed25519(Arc<Ed25519KeyPair>),
    P256(Arc<EcdsaKeyPair>),
    Rsa(Arc<RsaKeyPair>),
}

impl SigningKey {
    /// A symmetric key.
    ///
    /// # Errors
    /// [`ConfigError::Key`] for the name, and unless `key` has at least 32 bytes and 8 different byte values.
    pub fn hmac_sha256(id: &str, key: &[u8]) -> Result<Self, ConfigError> {
        let id = name(id)?;
        strong(key)?;
        Ok(Self { id, secret: Secret::Hmac(hmac::Key::new(hmac::HMAC_SHA256, key)) })
    }

    /// An Ed25519 key by its seed (RFC 8032 §5.1.5), 32 bytes.
    ///
    /// # Errors
    /// [`ConfigError::Key`] for the name, and unless `seed` has 32 bytes and 8 different byte values.
    pub fn ed25519(id: &str, seed: &[u8]) -> Result<Self, ConfigError> {
        let id = name(id)?;
        strong(seed)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_shape| malformed())?;
        Ok(Self { id, secret: Secret::Ed25519(Arc::new(pair)) })
    }

    /// A key of the curve P-256, as PKCS#8 v1 in DER.
    ///
    /// # Errors
    /// [`ConfigError::Key`] for the name, and for what is no such key.
    pub fn ecdsa_p256_sha256(id: &str, pkcs8: &[u8]) -> Result<Self, ConfigError> {
        let id = name(id)?;
        let (form, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let pair = EcdsaKeyPair::from_pkcs8(form, pkcs8, &random).map_err(|_shape| malformed())?;
        Ok(Self { id, secret: Secret::P256(Arc::new(pair)) })
    }

    /// An RSA key of 2,048 to 4,096 bits for assertions, as PKCS#8 in DER.
    ///
    /// # Errors
    /// [`ConfigError::Key`] for the name, for fewer bits, and for what is no such key.
    pub fn rsa_pkcs1_sha256(id: &str, pkcs8: &[u8]) -> Result<Self, ConfigError> {
        let id = name(id)?;
        let pair = RsaKeyPair::from_pkcs8(pkcs8).map_err(|rejected| {
            let is_short = rejected.to_string() == "TooSmall"; // the library has no other way to say it
            if is_short { short_modulus() } else { malformed() }
        })?;
        Ok(Self { id, secret: Secret::Rsa(Arc::new(pair)) })
    }

    /// The name that receivers know this key by.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The same key under another name.
    pub(in crate::forward) fn renamed(self, id: Arc<str>) -> Self {
        Self { id, ..self }
    }

    /// How this key signs.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self.secret {
            Secret::Hmac(_) => Algorithm::HmacSha256,
            Secret::Ed25519(_) => Algorithm::Ed25519,
            Secret::P256(_) => Algorithm::EcdsaP256Sha256,
            Secret::Rsa(_) => Algorithm::RsaPkcs1Sha256,
        }
    }

    /// What verifies the signatures of this key: the same key if it is symmetric, else its public half.
    #[must_use]
    pub fn verifying(&self) -> VerifyingKey {
        let id = Arc::clone(&self.id);
        match &self.secret {
            Secret::Hmac(key) => VerifyingKey::of_hmac(id, key.clone()),
            Secret::Ed25519(pair) => {
                VerifyingKey::of_public(id, self.algorithm(), pair.public_key().as_ref())
            }
            Secret::P256(pair) => {
                VerifyingKey::of_public(id, self.algorithm(), pair.public_key().as_ref())
            }
            Secret::Rsa(pair) => {
                let PublicKeyComponents { n, e }: PublicKeyComponents<Vec<u8>> =
                    pair.public().into();
                VerifyingKey::of_rsa(id, n.into(), e.into())
            }
        }
    }

    /// `None` if the operating system has no randomness for a signature that needs some.
    pub(crate) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match &self.secret {
            Secret::Hmac(key) => Some(hmac::sign(key, message).as_ref().to_vec()),
            Secret::Ed25519(pair) => Some(pair.sign(message).as_ref().to_vec()),
            Secret::P256(pair) => {
                pair.sign(&SystemRandom::new(), message).ok().map(|made| made.as_ref().to_vec())
            }
            Secret::Rsa(pair) => {
                let mut made = vec![0; pair.public().modulus_len()];
                let signed = pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut made);
                signed.ok().map(|()| made)
            }
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm())
            .finish_non_exhaustive()
    }
}

/// The keys of one signer, newest first: the first one signs.
///
/// To change a key: give the new one to every receiver, put it first here, and take the old one from the receivers after
/// twice the life of a signature.
#[derive(Clone, Debug)]
pub struct KeyRing {
    first: SigningKey,
    older: Arc<[SigningKey]>,
}

impl KeyRing {
    /// A ring of 1 to 4 keys, newest first.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] for another number of keys, [`ConfigError::NameTaken`] for two of one name.
    pub fn new(keys: impl IntoIterator<Item = SigningKey>) -> Result<Self, ConfigError> {
        let mut keys: Vec<SigningKey> = keys.into_iter().collect();
        distinct(keys.iter().map(SigningKey::id))?;
        let first = keys.drain(..1).next().ok_or(COUNT)?;
        Ok(Self { first, older: keys.into() })
    }

    /// The keys that verify what this ring signs.
    #[must_use]
    pub fn verifying(&self) -> VerifyingKeys {
        VerifyingKeys::of(self.all().map(SigningKey::verifying).collect())
    }

    pub(super) fn first(&self) -> &SigningKey {
        &self.first
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &SigningKey> {
        [&self.first].into_iter().chain(self.older.iter())
    }
}

pub(super) fn short_modulus() -> ConfigError {
    ConfigError::Key { fault: KeyFault::ShortModulus }
}

pub(super) fn malformed() -> ConfigError {
    ConfigError::Key { fault: KeyFault::Malformed }
}
