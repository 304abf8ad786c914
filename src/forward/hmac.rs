//! HMAC-SHA256 (RFC 2104, FIPS 198-1) over `sha2`, for builds without a library that signs.

use sha2::{Digest as _, Sha256};
use std::fmt;

/// A key, as the two hashes that have begun with it. `Debug` shows nothing of it.
#[derive(Clone)]
pub(super) struct HmacKey {
    inner: Sha256,
    outer: Sha256,
}

impl HmacKey {
    pub(super) fn new(key: &[u8]) -> Self {
        let mut block = [0_u8; BLOCK];
        if key.len() > BLOCK {
            let digest: [u8; 32] = Sha256::digest(key).into();
            block.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        } else {
            block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
        }
        let begun = |pad: u8| {
            let mut hasher = Sha256::new();
            hasher.update(block.map(|byte| byte ^ pad));
            hasher
        };
        Self { inner: begun(0x36), outer: begun(0x5C) }
    }

    /// The code of these pieces, one behind the other.
    pub(super) fn sign<'p>(&self, pieces: impl IntoIterator<Item = &'p [u8]>) -> [u8; 32] {
        let mut inner = self.inner.clone();
        pieces.into_iter().for_each(|piece| inner.update(piece));
        let mut outer = self.outer.clone();
        outer.update(inner.finalize());
        outer.finalize().into()
    }

    /// Tells equal keys from others, and nothing else about them.
    pub(super) fn tag(&self) -> [u8; 32] {
        self.sign([&b"tower-bearer key tag"[..]])
    }
}

impl fmt::Debug for HmacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

const BLOCK: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::to_hex;

    #[test]
    fn vectors() {
        for (name, key, pieces, want) in [
            (
                "RFC 4231 1",
                &[0x0B; 20][..],
                &["Hi", " There"][..],
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                "RFC 4231 2",
                b"Jefe",
                &["what do ya want ", "", "for nothing?"],
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                "RFC 4231 6, a key longer than a block",
                &[0xAA; 131],
                &["Test Using Larger Than Block-Size Key - Hash Key First"],
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
            (
                "FB3",
                b"test-secret",
                &["alice", ":"],
                "0a7bdec35518806a84a4b1f8c5cd82f850cbabf3632de0ad9997a9ce62ec010c",
            ),
        ] {
            let key = HmacKey::new(key);
            let code = key.sign(pieces.iter().map(|piece| piece.as_bytes()));
            assert_eq!(to_hex(&code), want, "{name}");
            assert_eq!(format!("{key:?}"), "[redacted]", "F173");
        }
    }
}
