//! The one registry: which kind is a token of, told from its text alone?
//!
//! 1. Immutable once built.
//! 2. The one kind whose prefix begins the token; else the kind without prefix; else none. Then length, alphabet and
//!    checksum. No allocation, no hash.
//! 3. No prefix is equal to another or begins one, so that at most one kind can match.

use std::fmt;
use std::sync::Arc;

use crate::token::builder::TokenKindsBuilder;
use crate::token::format::{Junk, is_jwt_shaped};
use crate::token::kind::Kind;

/// All kinds of token that a service knows. Immutable; a clone costs one reference count.
///
/// ```
/// use tower_bearer::subject::SubjectType;
/// use tower_bearer::token::{TokenKind, TokenKinds};
///
/// let kinds = TokenKinds::builder()
///     .kind(TokenKind::new("account").prefix("tba_").subject(SubjectType::Account).narrowed(["apps:manage"]))
///     .implies("apps:manage", ["apps:read", "apps:run"])
///     .build()?;
/// assert!(kinds.classify("tbx_whatever").is_err());
/// # Ok::<_, tower_bearer::token::KindsError>(())
/// ```
#[derive(Clone)]
pub struct TokenKinds(Arc<Registry>);

impl TokenKinds {
    /// Starts an empty registry.
    pub fn builder() -> TokenKindsBuilder {
        TokenKindsBuilder::new()
    }

    /// The kind of `token`, told from its text alone; no allocation, no hash.
    ///
    /// It says what the token claims to be. Whether it is live, only its record can say.
    ///
    /// # Errors
    /// [`Junk`]: by prefix, length, alphabet, checksum, in that order.
    pub fn classify(&self, token: &str) -> Result<&Kind, Junk> {
        let token = token.as_bytes();
        let kind = self.0.find(token).ok_or(Junk::UnknownPrefix)?;
        kind.check(token)?;
        Ok(kind)
    }

    /// The kind of this name.
    pub fn get(&self, name: &str) -> Option<&Kind> {
        self.iter().find(|kind| kind.name() == name)
    }

    /// The kinds in the order in which they were registered.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Kind> {
        self.0.kinds.iter()
    }

    /// How long a token may be, in bytes; tested before its bytes are looked at.
    pub fn max_token_len(&self) -> usize {
        self.0.max_token_length
    }

    /// The registry of these kinds, which have no faults and clash with none.
    pub(super) fn new(kinds: Vec<Kind>, max_token_length: usize) -> Self {
        let with_prefix = |kind: &&Kind| !kind.prefix().is_empty();
        let indexed = |kind: &Kind| (Head::of(kind.prefix()), kind.clone());
        let prefixed = kinds.iter().filter(with_prefix).map(indexed).collect();
        let opaque = kinds.iter().find(|kind| kind.prefix().is_empty()).cloned();
        Self(Arc::new(Registry { kinds, prefixed, opaque, max_token_length }))
    }
}

impl fmt::Debug for TokenKinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(Kind::name)).finish()
    }
}

struct Registry {
    kinds: Vec<Kind>,
    /// Those with a prefix.
    prefixed: Vec<(Head, Kind)>,
    /// The one without prefix.
    opaque: Option<Kind>,
    max_token_length: usize,
}

impl Registry {
    /// The one kind whose prefix begins the token, else the one without prefix.
    fn find(&self, token: &[u8]) -> Option<&Kind> {
        let start = Head::start_of(token);
        let begins = |(head, kind): &&(Head, Kind)| {
            head.fits(start) && token.starts_with(kind.prefix().as_bytes())
        };
        let found = self.prefixed.iter().find(begins).map(|(_, kind)| kind);
        found.or_else(|| {
            // a text of the shape of a JWT is left to a kind of that format
            self.opaque.as_ref().filter(|_| !is_jwt_shaped(token))
        })
    }
}

/// The first eight bytes of a prefix as one number, so that one comparison passes over most kinds.
#[derive(Clone, Copy)]
struct Head {
    value: u64,
    mask: u64,
}

impl Head {
    fn of(prefix: &str) -> Self {
        let ones = vec![0xFF; prefix.len()];
        Self { value: Self::start_of(prefix.as_bytes()), mask: Self::start_of(&ones) }
    }

    /// The first eight bytes, with zeros where there are fewer.
    fn start_of(text: &[u8]) -> u64 {
        u64::from_le_bytes(text.first_chunk().copied().unwrap_or_else(|| {
            let mut start = [0; 8];
            start.iter_mut().zip(text).for_each(|(slot, byte)| *slot = *byte);
            start
        }))
    }

    fn fits(self, start: u64) -> bool {
        start & self.mask == self.value
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::subject::SubjectType;
    use crate::token::declared::TokenKind;
    use crate::token::fault::KindsError;
    use crate::token::mint::mint_from;

    const P333: &str = "tba_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh81xprsL";

    fn plain(name: &str) -> TokenKind {
        TokenKind::new(name).subject(SubjectType::Account).fixed(["a"])
    }

    fn registry(kinds: impl IntoIterator<Item = TokenKind>) -> Result<TokenKinds, KindsError> {
        kinds.into_iter().fold(TokenKinds::builder(), TokenKindsBuilder::kind).build()
    }

    #[test]
    fn classes() {
        use Junk::{BadChecksum, BadShape, UnknownPrefix};
        let kinds = registry([
            plain("account").prefix("tba_").checksum(),
            plain("external").prefix("tbe_").checksum(),
            plain("service").prefix("svc-"),
            plain("partner").prefix("p_").opaque(4, 8),
            plain("long-a").prefix("longprefix_a_").opaque(1, 9),
            plain("long-b").prefix("longprefix_b_").opaque(1, 9),
        ]);
        let kinds = kinds.unwrap();
        let body = &P333[..P333.len() - 6];
        let secret = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
        for (name, token, want) in [
            ("P333", P333.to_owned(), Ok("account")),
            (
                "P341 last character changed",
                format!("{}M", &P333[..P333.len() - 1]),
                Err(BadChecksum),
            ),
            ("P341 prefix of another kind", P333.replace("tba_", "tbe_"), Err(BadChecksum)),
            ("P342 without its checksum", body.to_owned(), Err(BadShape)),
            ("P342 with one at a kind without", P333.replace("tba_", "svc-"), Err(BadShape)),
            ("P342 without one at a kind without", body.replace("tba_", "svc-"), Ok("service")),
            ("P344 no such prefix", format!("zzz_{secret}"), Err(UnknownPrefix)),
            ("P311 nothing", String::new(), Err(UnknownPrefix)),
            ("P311 the prefix cut short", "tba".to_owned(), Err(UnknownPrefix)),
            ("P311 the prefix alone", "tba_".to_owned(), Err(BadShape)),
            ("P311 below every prefix", "!".to_owned(), Err(UnknownPrefix)),
            ("P311 between two prefixes", format!("tbb_{secret}"), Err(UnknownPrefix)),
            ("P311 prefixes that differ late", "longprefix_b_x".to_owned(), Ok("long-b")),
            ("P311 neither of these", "longprefix_c_x".to_owned(), Err(UnknownPrefix)),
            ("P311 such a prefix cut short", "longprefix_".to_owned(), Err(UnknownPrefix)),
            ("P311 a byte 0 in place of the last", "tba\0".to_owned(), Err(UnknownPrefix)),
            ("P231 case of the prefix", P333.replace("tba", "tbA"), Err(UnknownPrefix)),
            ("P231 case in the secret", P333.replace("AAEC", "AaEC"), Err(BadChecksum)),
            ("P231 case in the checksum", P333.replace("prsL", "Prsl"), Err(BadChecksum)),
            ("P313 length before alphabet", format!("{P333}%"), Err(BadShape)),
            ("P313 alphabet before checksum", P333.replace("AAEC", "A.EC"), Err(BadShape)),
            ("XB9 zero-width space", P333.replace("AAE", "\u{200B}"), Err(BadShape)),
            ("P304 opaque", "p_a.b=".to_owned(), Ok("partner")),
            ("P304 opaque, too long", "p_123456789".to_owned(), Err(BadShape)),
        ] {
            assert_eq!(kinds.classify(&token).map(Kind::name), want, "{name}");
        }
    }

    #[test]
    fn without_prefix() {
        use Junk::{BadShape, UnknownPrefix};
        let kinds =
            registry([plain("rest").opaque(3, 90), plain("account").prefix("tba_").checksum()])
                .unwrap();
        for (name, token, want) in [
            ("P311 any other", "abc", Ok("rest")),
            ("P311 a prefix wins", P333, Ok("account")),
            ("P311 a bad shape of a known prefix goes nowhere else", "tba_abc", Err(BadShape)),
            ("P311 the shape of a JWT is no opaque one", "a.b.c", Err(UnknownPrefix)),
            ("P311 two dots are enough only with three parts", "a.b.", Ok("rest")),
            ("P304 too short", "ab", Err(BadShape)),
        ] {
            assert_eq!(kinds.classify(token).map(Kind::name), want, "{name}");
        }
    }

    #[test]
    fn order_of_registration_stays() {
        let kinds =
            registry([plain("z").prefix("z_"), plain("a").prefix("a_"), plain("m")]).unwrap();
        assert_eq!(format!("{kinds:?}"), r#"["z", "a", "m"]"#);
        assert_eq!(kinds.iter().len(), 3);
        assert_eq!(kinds.get("a").map(Kind::prefix), Some("a_"));
        assert_eq!(kinds.get("b"), None);
    }

    fn kinds() -> impl Strategy<Value = TokenKinds> {
        let kind = ("[a-c]{2,3}_?", 16_usize..20, any::<bool>(), 0..4_u8);
        vec(kind, 1..=8).prop_filter_map("clash", |kinds| {
            let declare =
                |(at, (prefix, bytes, checksum, form)): (usize, (String, usize, bool, u8))| {
                    let kind = plain(&format!("k{at}")).prefix(prefix);
                    match (form, checksum) {
                        (0, _) => kind.opaque(1, 40),
                        (_, true) => kind.secret_bytes(bytes).checksum(),
                        (_, false) => kind.secret_bytes(bytes),
                    }
                };
            registry(kinds.into_iter().enumerate().map(declare)).ok()
        })
    }

    proptest! {
        /// XT3.2: at most one kind; mint then parse is the identity; one changed byte never passes a checksum.
        #[test]
        fn xt3_2_mint_then_parse(
            kinds in kinds(),
            secret in prop::array::uniform32(any::<u8>()),
            at in any::<prop::sample::Index>(),
            byte in 0x21_u8..0x7F,
        ) {
            for kind in kinds.iter() {
                let Some(bytes) = kind.secret_bytes() else { continue };
                let token = mint_from(kind, &secret[..bytes]).unwrap();
                let token = token.expose();
                prop_assert_eq!(kinds.classify(token), Ok(kind));
                let mut changed = token.as_bytes().to_vec();
                changed[at.index(token.len())] = byte;
                let changed = String::from_utf8(changed).unwrap();
                if let Ok(found) = kinds.classify(&changed) {
                    prop_assert!(changed == token || !found.has_checksum());
                }
            }
        }

        /// XT3.2: whatever the text, the kind found is the one that a naive look-up finds.
        #[test]
        fn xt3_2_at_most_one_kind(kinds in kinds(), token in "[a-d_]{0,30}|[ -~é]{0,9}") {
            let begins = |kind: &&Kind| token.starts_with(kind.prefix());
            prop_assert!(kinds.iter().filter(begins).count() <= 1);
            let naive = kinds.iter().find(begins);
            match kinds.classify(&token) {
                Ok(kind) => prop_assert_eq!(Some(kind), naive),
                Err(Junk::UnknownPrefix) => prop_assert_eq!(None, naive),
                Err(Junk::BadShape | Junk::BadChecksum) => prop_assert!(naive.is_some()),
            }
        }
    }
}
