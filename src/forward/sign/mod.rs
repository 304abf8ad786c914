//! How does an upstream know that what it is told comes from us, is meant for it, and was not sent before?
//!
//! 1. A signature (RFC 9421) covers the method, authority, path and query, and every header that was inserted as identity:
//!    the list is what was inserted, not what was meant to be.
//! 2. It lives for a minute, has a nonce of its own, and names its key, its algorithm and its purpose.
//! 3. Each request is signed anew, at the time at which it leaves: a retry is another request.
//! 4. Everything here is a function of a head, a time and a nonce.

mod base;
mod body;
mod key;
mod verify_key;

pub(crate) use base::{Base, CONTENT_DIGEST, Params, Target, digest_field};
pub(super) use body::Unsigned;
pub use key::{Algorithm, KeyRing, SigningKey};
pub(super) use verify_key::PublicParts;
pub use verify_key::{VerifyingKey, VerifyingKeys};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use std::time::Duration;

use super::error::{ConfigError, ForwardError};
use super::key_rules::KeyFault;
use crate::clock::Timestamp;

pub(crate) const SIGNATURE: HeaderName = HeaderName::from_static("signature");
pub(crate) const SIGNATURE_INPUT: HeaderName = HeaderName::from_static("signature-input");

/// The label of our member in both fields.
pub(crate) const LABEL: &str = "idf";
/// What the signature is for.
pub(crate) const TAG: &str = "identity-forward";
/// Longest life of a signature, in seconds.
pub(crate) const LONGEST_LIFE: u64 = 300;

/// Most bytes of a body that are read unless it is said otherwise.
pub(crate) const DEFAULT_CAP: usize = 1 << 20;
pub(crate) const LARGEST_CAP: usize = 16 << 20;

const DEFAULT_LIFE: Duration = Duration::from_secs(60);

/// How requests to one upstream are signed.
///
/// `Debug` shows the keys' names, never a key.
#[derive(Clone, Debug)]
#[must_use]
pub struct Signing {
    keys: KeyRing,
    life: Duration,
    bound: bool,
    cap: usize,
}

impl Signing {
    /// Signs with the newest of these keys, for 60 seconds, over head and body.
    pub fn new(keys: KeyRing) -> Self {
        Self { keys, life: DEFAULT_LIFE, bound: true, cap: DEFAULT_CAP }
    }

    /// Sets for how long a signature counts, 1 to 300 whole seconds; a receiver adds 30 for clocks that differ.
    ///
    /// Default 60 s.
    pub fn lifetime(mut self, life: Duration) -> Self {
        self.life = life;
        self
    }

    /// Leaves the body out of the signature and streams it: the receiver must be told the same.
    ///
    /// Whoever sits between may then change the body, and nothing else, of a request that passes through them.
    pub fn without_body(mut self) -> Self {
        self.bound = false;
        self
    }

    /// Sets how much of a body is read to be signed, 1 byte to 16 MiB; a larger one is answered 413. Default 1 MiB.
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.cap = bytes;
        self
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let whole = self.life.subsec_nanos() == 0;
        if !whole || !(1..=LONGEST_LIFE).contains(&self.life.as_secs()) {
            return Err(ConfigError::OutOfRange { setting: "lifetime" });
        }
        if self.keys.all().any(|key| key.algorithm() == Algorithm::RsaPkcs1Sha256) {
            return Err(ConfigError::Key { fault: KeyFault::Algorithm });
        }
        if !(1..=LARGEST_CAP).contains(&self.cap) {
            return Err(ConfigError::OutOfRange { setting: "max_body_bytes" });
        }
        Ok(())
    }

    pub(super) fn binds_body(&self) -> bool {
        self.bound
    }

    pub(super) fn life_secs(&self) -> u64 {
        self.life.as_secs()
    }

    /// Signs a head that will not change any more, with a nonce of its own.
    pub(super) fn sign(
        &self,
        head: &mut Parts,
        authority: &str,
        inserted: &[HeaderName],
        now: Timestamp,
    ) -> Result<(), ForwardError> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|_no_entropy| ForwardError::Unsigned)?;
        let nonce = URL_SAFE_NO_PAD.encode(nonce);
        self.sign_as(head, authority, inserted, now, &nonce)
    }

    pub(super) fn sign_as(
        &self,
        head: &mut Parts,
        authority: &str,
        inserted: &[HeaderName],
        now: Timestamp,
        nonce: &str,
    ) -> Result<(), ForwardError> {
        let key = self.keys.first();
        let names = inserted.iter().map(HeaderName::as_str);
        let digest = head.headers.contains_key(CONTENT_DIGEST).then_some(CONTENT_DIGEST);
        let digest = digest.filter(|_| self.bound);
        let covered: Vec<&str> =
            Target::COMPONENTS.into_iter().chain(digest).chain(names).collect();
        let created = now.as_secs();
        let params = Params {
            covered: &covered,
            created,
            expires: created.saturating_add(self.life_secs()),
            nonce,
            key: key.id(),
            algorithm: key.algorithm(),
        };
        let params = params.to_string();
        let target = Target { authority, head };
        let base = Base::of(&target, covered.iter().copied(), &params);
        let base = base.ok_or(ForwardError::Unsigned)?;
        let signature = key.sign(base.as_bytes()).ok_or(ForwardError::Unsigned)?;
        let signature = format!("{LABEL}=:{}:", STANDARD.encode(signature));
        let input = format!("{LABEL}={params}");
        for (name, text) in [(SIGNATURE_INPUT, input), (SIGNATURE, signature)] {
            let value = HeaderValue::from_maybe_shared(Bytes::from(text));
            head.headers.insert(name, value.map_err(|_shape| ForwardError::Unsigned)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
