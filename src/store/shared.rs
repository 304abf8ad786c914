//! A second tier of the context cache, which several processes share.
//!
//! 1. Keys hold a digest and a fingerprint of the authenticator's configuration; values hold what a token source said, or
//!    that the token was revoked. Never a token, a verdict or a "no" of any other sort.
//! 2. The adapter stores bytes and knows nothing of what they mean. Encoding, deadline, breaker and judging are the
//!    authenticator's: what it reads here it judges as if the source had said it.
//! 3. It alone never decides that a request is refused as undecidable: what fails here is a miss, and the source is asked.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use crate::key::to_hex;
use crate::token::Digest;

/// Keeps bytes under keys for a while, for several processes.
///
/// Each call has the rest of one deadline (25 ms by default) and is dropped then.
pub trait ContextStore: Send + Sync + 'static {
    /// Why it could not say or keep.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The bytes under a key, `None` if there are none or their time is over.
    fn find(
        &self,
        key: &SharedKey,
    ) -> impl Future<Output = Result<Option<Vec<u8>>, Self::Error>> + Send;

    /// Keeps `value` for `ttl`, only where nothing stands: one atomic step, and no error if something does.
    fn keep(
        &self,
        key: &SharedKey,
        value: &[u8],
        ttl: Duration,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Puts `tombstone` over whatever stands there, for `ttl` (60 s).
    fn bury(
        &self,
        key: &SharedKey,
        tombstone: &[u8],
        ttl: Duration,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// What an entry of the second tier is found under: in Redis `NAMESPACE:ctx:FP:HEXDIGEST`.
///
/// `Debug` shows the fingerprint of the configuration and the first 8 hex digits of the digest.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct SharedKey {
    fingerprint: [u8; 16],
    digest: Digest,
}

impl SharedKey {
    /// The key of a digest under the configuration of this fingerprint.
    pub fn new(fingerprint: [u8; 16], digest: Digest) -> Self {
        Self { fingerprint, digest }
    }

    /// `FP`: 32 hex digits that name the authenticator's configuration; not secret.
    pub fn fingerprint(&self) -> String {
        to_hex(&self.fingerprint)
    }

    /// `HEXDIGEST`: all 64 hex digits of the token's digest. They are secret: never in a log.
    pub fn digest_hex(&self) -> String {
        self.digest.to_hex()
    }
}

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedKey({}, {}…)", self.fingerprint(), self.digest.fingerprint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        let key = SharedKey::new([0xAB; 16], Digest::from_bytes([0xCD; 32]));
        assert_eq!(key.fingerprint(), "ab".repeat(16), "P626 FP");
        assert_eq!(key.digest_hex(), "cd".repeat(32), "P626 HEXDIGEST");
        assert_eq!(
            format!("{key:?}"),
            format!("SharedKey({}, cdcdcdcd…)", "ab".repeat(16)),
            "P105"
        );
    }
}
