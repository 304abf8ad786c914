//! With which keys does a receiver verify?
//!
//! 1. A key verifies by its own algorithm, never by the one that a signature names.
//! 2. Comparing a symmetric signature takes equal time wherever it differs.

use ring::hmac;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};
use std::fmt;
use std::sync::Arc;

use super::key::{Algorithm, malformed, short_modulus};
use crate::forward::error::ConfigError;
use crate::forward::key_rules::{KeyFault, distinct, name, strong};

/// A key that verifies, under the name that a signature names it by.
///
/// `Debug` shows the name and the algorithm.
#[derive(Clone)]
pub struct VerifyingKey {
    id: Arc<str>,
    check: Check,
}

#[derive(Clone)]
enum Check {
    Hmac(hmac::Key),
    Public(Algorithm, Arc<[u8]>),
    Rsa(Arc<[u8]>, Arc<[u8]>),
}

/// What a published key consists of.
#[derive(Clone, Copy)]
pub(in crate::forward) enum PublicParts<'a> {
    Ed25519(&'a [u8]),
    /// Uncompressed, without the 0x04.
    P256(&'a [u8], &'a [u8]),
    Rsa {
        n: &'a [u8],
        e: &'a [u8],
    },
}

impl VerifyingKey {
    /// A symmetric key: whoever has it can sign.
    ///
    /// # Errors
    /// [`ConfigError::Key`] for the name, and unless `key` has at least 32 bytes and 8 different byte values.
    pub fn hmac_sha256(id: &str, key: &[u8]) -> Result<Self, ConfigError> {
        let id = name(id)?;
        strong(key)?;
        Ok(Self::of_hmac(id, hmac::Key::new(hmac::HMAC_SHA256, key)))
    }

    /// An Ed25519 public key, 32 bytes (RFC 8032 §5.1.5).
    ///
    /// # Errors
    /// [`ConfigError::Key`] for the name, and for another length.
    pub fn ed25519(id: &str, public: &[u8]) -> Result<Self, ConfigError> {
        let id = name(id)?;
        if public.len() != 32 {
            return Err(malformed());
        }
        Ok(Self::of_public(id, Algorithm::Ed25519, public))
    }

    /// A public key of the curve P-256, uncompressed: 0x04 and 64 bytes (SEC 1 §2.3.3).
    ///
    /// # Errors
    /// [`ConfigError::Key`] for the name, and for another form.
    pub fn ecdsa_p256_sha256(id: &str, public: &[u8]) -> Result<Self, ConfigError> {
        let id = name(id)?;
        if public.len() != 65 || public.first() != Some(&4) {
            return Err(malformed());
        }
        Ok(Self::of_public(id, Algorithm::EcdsaP256Sha256, public))
    }

    /// An RSA public key for assertions: modulus of 2,048 to 8,192 bits and exponent, big-endian without leading zeros.
    ///
    /// # Errors
    /// [`ConfigError::Key`] for the name, for fewer bits, and for another form.
    pub fn rsa_pkcs1_sha256(
        id: &str,
        modulus: &[u8],
        exponent: &[u8],
    ) -> Result<Self, ConfigError> {
        let id = name(id)?;
        let is_odd = |number: &[u8]| number.last().is_some_and(|byte| byte % 2 == 1);
        let is_padded = |number: &[u8]| number.first().is_none_or(|&byte| byte == 0);
        let forms = is_odd(modulus) && is_odd(exponent) && exponent != [1];
        if !forms || is_padded(modulus) || is_padded(exponent) || exponent.len() > 4 {
            return Err(malformed());
        }
        match (modulus.len(), modulus.first()) {
            (..256, _) | (256, Some(..0x80)) => Err(short_modulus()),
            (256..=1024, _) => Ok(Self::of_rsa(id, modulus.into(), exponent.into())),
            _ => Err(malformed()),
        }
    }

    /// The name that signatures name this key by.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// How this key verifies.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self.check {
            Check::Hmac(_) => Algorithm::HmacSha256,
            Check::Public(algorithm, _) => algorithm,
            Check::Rsa(..) => Algorithm::RsaPkcs1Sha256,
        }
    }

    pub(super) fn of_hmac(id: Arc<str>, key: hmac::Key) -> Self {
        Self { id, check: Check::Hmac(key) }
    }

    pub(super) fn of_public(id: Arc<str>, algorithm: Algorithm, public: &[u8]) -> Self {
        Self { id, check: Check::Public(algorithm, public.into()) }
    }

    pub(super) fn of_rsa(id: Arc<str>, modulus: Arc<[u8]>, exponent: Arc<[u8]>) -> Self {
        Self { id, check: Check::Rsa(modulus, exponent) }
    }

    /// What may be published; nothing of a symmetric key.
    pub(in crate::forward) fn public_parts(&self) -> Option<PublicParts<'_>> {
        match &self.check {
            Check::Hmac(_) | Check::Public(Algorithm::HmacSha256, _) => None,
            Check::Public(Algorithm::Ed25519, public) => Some(PublicParts::Ed25519(public)),
            Check::Public(Algorithm::EcdsaP256Sha256, public) => {
                let (x, y) = public.strip_prefix(&[4])?.split_at_checked(32)?;
                Some(PublicParts::P256(x, y))
            }
            Check::Public(Algorithm::RsaPkcs1Sha256, _) => None, // two numbers
            Check::Rsa(n, e) => Some(PublicParts::Rsa { n, e }),
        }
    }

    /// Is this the signature of these bytes?
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let (form, public): (&'static dyn VerificationAlgorithm, _) = match &self.check {
            Check::Hmac(key) => return hmac::verify(key, message, signature).is_ok(),
            Check::Rsa(n, e) => {
                let public = RsaPublicKeyComponents { n, e };
                return public.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok();
            }
            Check::Public(Algorithm::Ed25519, public) => (&ED25519, public),
            Check::Public(Algorithm::EcdsaP256Sha256, public) => (&ECDSA_P256_SHA256_FIXED, public),
            Check::Public(Algorithm::HmacSha256 | Algorithm::RsaPkcs1Sha256, _) => return false, // no such key is made
        };
        UnparsedPublicKey::new(form, public).verify(message, signature).is_ok()
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm())
            .finish_non_exhaustive()
    }
}

/// The keys that a receiver trusts, any of which may have signed.
#[derive(Clone, Debug)]
pub struct VerifyingKeys(Arc<[VerifyingKey]>);

impl VerifyingKeys {
    /// 1 to 4 keys.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] for another number of keys, [`ConfigError::NameTaken`] for two of one name.
    pub fn new(keys: impl IntoIterator<Item = VerifyingKey>) -> Result<Self, ConfigError> {
        let keys: Vec<VerifyingKey> = keys.into_iter().collect();
        distinct(keys.iter().map(VerifyingKey::id))?;
        Ok(Self::of(keys))
    }

    pub(in crate::forward) fn of(keys: Vec<VerifyingKey>) -> Self {
        Self(keys.into())
    }

    pub(in crate::forward) fn iter(&self) -> impl Iterator<Item = &VerifyingKey> {
        self.0.iter()
    }

    /// Are they all public, so that none of those who verify can sign?
    pub(crate) fn check_public(&self) -> Result<(), ConfigError> {
        if self.0.iter().all(|key| key.public_parts().is_some()) {
            return Ok(());
        }
        Err(ConfigError::Key { fault: KeyFault::Algorithm })
    }

    /// The key of this name.
    pub(crate) fn named(&self, id: &str) -> Option<&VerifyingKey> {
        self.0.iter().find(|key| key.id() == id)
    }
}
