//! Makes new tokens of a kind.
//!
//! 1. The secret comes from the operating system's generator. If that fails nothing is minted; there is no second source.
//! 2. Every minted token passes the shape check of its kind.
//! 3. The text exists in one [`PlainToken`], which is wiped when it is dropped.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::token::format::{CHECKSUM_LENGTH, secret_length};
use crate::token::kind::Kind;

/// The text of a new token: shown once, then wiped.
///
/// It cannot be cloned, printed or serialized, and `Debug` shows nothing of it.
pub struct PlainToken(Zeroizing<String>);

impl PlainToken {
    /// The token itself. Whoever has it is the subject.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Takes over a text that was made elsewhere.
    pub(crate) fn adopted(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }
}

impl fmt::Debug for PlainToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlainToken(…)")
    }
}

/// Why no token was made.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MintError {
    /// The operating system's generator gave nothing; undecidable, so the caller may try again later.
    #[error("the operating system gave no random bytes: {reason}")]
    NoRandomBytes {
        /// What the operating system said.
        reason: String,
    },
    /// Tokens of this kind are made by somebody else.
    #[error("tokens of kind {kind:?} are not made here")]
    NotMintedHere {
        /// The kind.
        kind: String,
    },
}

/// A new token of `kind`, its secret from the operating system's generator.
pub(crate) fn mint(kind: &Kind) -> Result<PlainToken, MintError> {
    let not_here = || MintError::NotMintedHere { kind: kind.name().to_owned() };
    let mut secret = Zeroizing::new(vec![0; kind.secret_bytes().ok_or_else(not_here)?]);
    let failed = |error: getrandom::Error| MintError::NoRandomBytes { reason: error.to_string() };
    getrandom::fill(&mut secret).map_err(failed)?;
    mint_from(kind, &secret).ok_or_else(not_here)
}

/// The token of `kind` with this secret; `None` if the kind mints none of this length.
pub(crate) fn mint_from(kind: &Kind, secret: &[u8]) -> Option<PlainToken> {
    if kind.secret_bytes() != Some(secret.len()) {
        return None;
    }
    // of its final size at once, so that no copy of the secret is left behind
    let body_length = kind.prefix().len() + secret_length(secret.len());
    let mut token = Zeroizing::new(String::with_capacity(body_length + CHECKSUM_LENGTH));
    let mut encoded = Zeroizing::new(vec![0; secret_length(secret.len())]);
    URL_SAFE_NO_PAD.encode_slice(secret, &mut encoded).ok()?;
    token.push_str(kind.prefix());
    token.push_str(std::str::from_utf8(&encoded).ok()?);
    if let Some(begun) = kind.checksum_begun() {
        token.push_str(std::str::from_utf8(&begun.of(&encoded)).ok()?);
    }
    Some(PlainToken(token))
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::subject::SubjectType;
    use crate::token::declared::TokenKind;
    use crate::token::digest::Digest;
    use crate::token::registry::TokenKinds;

    fn kinds() -> TokenKinds {
        let kind = |name, prefix| {
            TokenKind::new(name).prefix(prefix).subject(SubjectType::Account).fixed(["a"])
        };
        TokenKinds::builder()
            .kind(kind("account", "tba_").checksum())
            .kind(kind("external", "tbe_").checksum())
            .kind(kind("service", "svc-").checksum())
            .kind(kind("plain", "pln_"))
            .kind(kind("long", "lng_").secret_bytes(64).checksum())
            .kind(kind("partner", "p_").opaque(1, 9))
            .build()
            .unwrap()
    }

    #[test]
    fn vectors() {
        let counting: Vec<u8> = (0..32).collect();
        let digest = |text: &str| Sha256::digest(text).to_vec();
        for (name, kind, secret, token, hex) in [
            (
                "P331",
                "account",
                vec![0; 32],
                "tba_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA2VKxTO",
                "70d218976eae813b703b0fb6bb57f71db9aa13ae4f8a58b3d3d8480d2f98530e",
            ),
            (
                "P332",
                "external",
                vec![0xFF; 32],
                "tbe___________________________________________827U9QQ",
                "a374aef3b11be4c754ae3d78f230bf1db8a30b90c2912ac20879fe7e84020fa9",
            ),
            (
                "P333",
                "account",
                counting,
                "tba_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh81xprsL",
                "72f7120e381482d241128af5dfdb47597934d79dafda1ea7eeac2af75e35d4a3",
            ),
            (
                "P334",
                "service",
                digest("tower-bearer"),
                "svc-7y6tVxcwOilh-pvmYkXyT_sRG16tksue5xfc4kL-47w4KWhpA",
                "501c3dccbae460c960f087501f653267caf80ed82699b3a01ea9dd48c4dab4be",
            ),
            (
                "P335",
                "account",
                digest("pad23"),
                "tba_GCFlEyZgoCwG7i0eWAA2ae2qjWRc2rHaEn9QbEFKksY00s7NG",
                "0f973604644164b7c076919f5aa2153e63d2f35f88fb7f5542d927ce56d81d9e",
            ),
        ] {
            let kinds = kinds();
            let kind = kinds.get(kind).unwrap();
            let minted = mint_from(kind, &secret).unwrap();
            assert_eq!(minted.expose(), token, "{name}");
            assert_eq!(Digest::of(token).to_hex(), hex, "{name}");
            assert_eq!(kinds.classify(token), Ok(kind), "{name}");
        }
    }

    #[test]
    fn minted_tokens_pass_their_shape() {
        let kinds = kinds();
        for (name, kind, length) in [
            ("DM2 with checksum", "account", 4 + 43 + 6),
            ("DM2 without", "plain", 4 + 43),
            ("P322 64 bytes", "long", 4 + 86 + 6),
        ] {
            let kind = kinds.get(kind).unwrap();
            let (one, other) = (mint(kind).unwrap(), mint(kind).unwrap());
            assert_ne!(one.expose(), other.expose(), "{name}");
            for token in [one, other] {
                assert_eq!(kinds.classify(token.expose()), Ok(kind), "{name}");
                assert_eq!(token.expose().len(), length, "{name}");
                assert_eq!(
                    format!("{token:?} {token:#?}"),
                    "PlainToken(…) PlainToken(…)",
                    "DM3 {name}"
                );
            }
        }
    }

    #[test]
    fn what_is_not_minted() {
        let kinds = kinds();
        let partner = mint(kinds.get("partner").unwrap()).unwrap_err();
        assert_eq!(partner, MintError::NotMintedHere { kind: "partner".to_owned() });
        assert_eq!(partner.to_string(), r#"tokens of kind "partner" are not made here"#);
        assert!(mint_from(kinds.get("account").unwrap(), &[0; 31]).is_none(), "DM1 another length");
    }
}
