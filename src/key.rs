//! How a key made of several parts is written, so that two different tuples never meet.
//!
//! 1. A key is SHA-256 over a word for its purpose and every part, each preceded by its length.
//! 2. Lengths are 8 bytes, big-endian: no part can pretend to be two, whatever bytes it holds.

use sha2::{Digest as _, Sha256};

/// SHA-256 over `word` and each part, each preceded by its length as 8 bytes big-endian.
///
/// `word` names the purpose, so that keys of two purposes never meet either.
pub(crate) fn hash_parts(word: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    add_part(&mut hasher, word.as_bytes());
    for part in parts {
        add_part(&mut hasher, part);
    }
    hasher.finalize().into()
}

/// Two lower-case hexadecimal digits for each byte.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(HEX_DIGITS[usize::from(value & 0x0F)]);
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(*byte));
    }
    text
}

/// 32 bytes from 64 lower-case hexadecimal digits; `None` for any other text.
pub(crate) fn from_hex(text: &str) -> Option<[u8; 32]> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let mut bytes = [0; 32];
    if pairs.len() != bytes.len() || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = (value(*high)? << 4) | value(*low)?;
    }
    Some(bytes)
}

fn add_part(hasher: &mut Sha256, part: &[u8]) {
    // usize is at most 64 bits wide on every target of this crate
    hasher.update((part.len() as u64).to_be_bytes());
    hasher.update(part);
}

const HEX_DIGITS: [u8; 16] = *b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hex() {
        for (name, bytes, want) in [
            ("nothing", &[][..], ""),
            ("both digits of each byte", &[0x00, 0x0F, 0xF0, 0x9A, 0xFF], "000ff09aff"),
        ] {
            assert_eq!(to_hex(bytes), want, "{name}");
        }
    }

    #[test]
    fn hex_is_read_back_and_nothing_else_is() {
        let bytes: [u8; 32] = Sha256::digest(b"any").into();
        let text = to_hex(&bytes);
        for (name, text, want) in [
            ("what was written", text.clone(), Some(bytes)),
            ("upper case", text.to_uppercase(), None),
            ("a digit less", text[1..].to_owned(), None),
            ("two digits more", format!("{text}00"), None),
            ("no digit", format!("{}g", &text[1..]), None),
            ("not ASCII", format!("{}é", &text[2..]), None),
            ("nothing", String::new(), None),
        ] {
            assert_eq!(from_hex(&text), want, "{name}");
        }
    }

    #[test]
    fn vectors() {
        for (name, word, parts, want) in [
            (
                "P405 external subject",
                "subject",
                &[b"https://idp.example".as_slice(), b"guest-1"][..],
                "145ee6484fcdcf04df64cc7681844e9ffa5c9401d7dabd0c87df31bb674cd95b",
            ),
            (
                "XR14 a word alone is its length and itself",
                "a",
                &[],
                // printf '\0\0\0\0\0\0\0\1a' | sha256sum
                "3b196fd4907bedf51c3090e9835f2f7cb61e7ee1b2299ea3b8fed9b4183a822a",
            ),
        ] {
            assert_eq!(to_hex(&hash_parts(word, parts)), want, "{name}");
        }
    }

    #[test]
    fn tuples_that_join_to_the_same_text_differ() {
        for (name, one, other) in [
            ("XR14 a border moved", &[b"ab".as_slice(), b"c"][..], &[b"a".as_slice(), b"bc"][..]),
            ("XR14 an empty part", &[b"ab", b""], &[b"ab"]),
            ("XR14 an empty part in front", &[b"", b"ab"], &[b"ab", b""]),
            ("XR14 a part that holds a length", &[b"a", b"b"], &[b"a\0\0\0\0\0\0\0\x01b"]),
        ] {
            assert_ne!(hash_parts("w", one), hash_parts("w", other), "{name}");
        }
        assert_ne!(hash_parts("w", &[b"a"]), hash_parts("v", &[b"a"]), "XR14 another word");
    }

    proptest! {
        /// XT3.8: keys are equal exactly when the tuples are.
        #[test]
        fn xt3_8_equal_exactly_when_the_tuples_are(
            one in vec(vec(0_u8..3, 0..4), 0..4),
            other in vec(vec(0_u8..3, 0..4), 0..4),
        ) {
            let key = |tuple: &[Vec<u8>]| {
                let parts: Vec<&[u8]> = tuple.iter().map(Vec::as_slice).collect();
                hash_parts("w", &parts)
            };
            prop_assert_eq!(key(&one) == key(&other), one == other);
        }
    }
}
