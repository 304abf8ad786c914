//! With which keys does a receiver verify?
//!
//! 1. A key verifies by its own algorithm, never by the one that a signature names.
//! 2. Comparing a symmetric signature takes equal time wherever it differs.

use ring::hmac;
use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey, VerificationAlgorithm};
use std::fmt;
use std::sync::Arc;

use super::key::{Algorithm, malformed};
use crate::forward::error::ConfigError;
use crate::forward::key_rules::{distinct, name, strong};

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
        }
    }

    pub(super) fn of_hmac(id: Arc<str>, key: hmac::Key) -> Self {
        Self { id, check: Check::Hmac(key) }
    }

    pub(super) fn of_public(id: Arc<str>, algorithm: Algorithm, public: &[u8]) -> Self {
        Self { id, check: Check::Public(algorithm, public.into()) }
    }

    /// Is this the signature of these bytes?
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let (form, public): (&'static dyn VerificationAlgorithm, _) = match &self.check {
            Check::Hmac(key) => return hmac::verify(key, message, signature).is_ok(),
            Check::Public(Algorithm::Ed25519, public) => (&ED25519, public),
            Check::Public(Algorithm::EcdsaP256Sha256, public) => (&ECDSA_P256_SHA256_FIXED, public),
            Check::Public(Algorithm::HmacSha256, _) => return false, // no public key has it
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

    pub(super) fn of(keys: Vec<VerifyingKey>) -> Self {
        Self(keys.into())
    }

    /// The key of this name.
    pub(crate) fn named(&self, id: &str) -> Option<&VerifyingKey> {
        self.0.iter().find(|key| key.id() == id)
    }
}
