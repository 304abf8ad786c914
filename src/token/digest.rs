//! What a token is known by: SHA-256 of all its bytes.
//!
//! 1. Prefix and checksum are hashed too; there is no salt, because the secret is random, and no part is cut off.
//! 2. A digest is a secret: `Debug` and `Display` show its [`Fingerprint`], the first 8 of its 64 hex digits.

use std::fmt;
use std::hash::{Hash, Hasher};

use sha2::{Digest as _, Sha256};

use crate::key::{from_hex, to_hex};

/// SHA-256 of a whole token: the only thing that a token is stored under and looked up by.
///
/// As a key of a map it is safe from chosen collisions under a randomly keyed hasher (std's is one).
/// `Debug` shows the first 8 hex digits only.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `token`, prefix and checksum included.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Takes a digest back as a store kept it.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// All 32 bytes, for a store's key. They are secret: never in a log, event, metric or answer.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// All 64 lower-case hex digits, for a store's key. They are secret: never in a log, event, metric or answer.
    pub fn to_hex(&self) -> String {
        to_hex(&self.0)
    }

    /// Takes back what [`to_hex`](Self::to_hex) wrote; `None` for any other text.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        from_hex(text).map(Self)
    }

    /// What may name the token where no token id is known.
    pub fn fingerprint(&self) -> Fingerprint {
        let [first, second, third, fourth, ..] = self.0;
        Fingerprint([first, second, third, fourth])
    }
}

impl Hash for Digest {
    /// Half the digest: to make two halves equal takes 2^64 hashes.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (half, _) = self.0.split_at(16);
        state.write(half);
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({}…)", self.fingerprint())
    }
}

/// The first 8 hex digits of a digest, which may stand in logs and events. `Display` writes them.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Fingerprint([u8; 4]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn whole_token() {
        let token = "tba_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh81xprsL";
        let hex = "72f7120e381482d241128af5dfdb47597934d79dafda1ea7eeac2af75e35d4a3";
        let digest = Digest::of(token);
        assert_eq!(digest.to_hex(), hex, "P328 P333");
        assert_eq!(Digest::from_bytes(*digest.as_bytes()), digest);
        assert_ne!(digest, Digest::of(&token.to_lowercase()), "P231");
        assert_ne!(digest, Digest::of(&token[4..]), "P328 prefix included");
    }

    #[test]
    fn only_the_fingerprint_is_shown() {
        let mut bytes = [0xAB; 32];
        bytes[..5].copy_from_slice(&[0x0A, 0x00, 0x00, 0x01, 0xCD]);
        let digest = Digest::from_bytes(bytes);
        for (name, shown, want) in [
            ("P106 fingerprint", digest.fingerprint().to_string(), "0a000001"),
            ("P105 Debug", format!("{digest:?}"), "Digest(0a000001…)"),
            ("P105 Debug, long", format!("{digest:#?}"), "Digest(0a000001…)"),
            ("P106 Debug", format!("{:?}", digest.fingerprint()), "Fingerprint(0a000001)"),
        ] {
            assert_eq!(shown, want, "{name}");
        }
    }

    #[test]
    fn every_byte_counts_for_equality() {
        let all: HashSet<Digest> = (0..32)
            .map(|at| {
                let mut bytes = [0; 32];
                bytes[at] = 1;
                Digest::from_bytes(bytes)
            })
            .collect();
        assert_eq!(all.len(), 32);
    }
}
