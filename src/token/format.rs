//! How a token is written, and what is told from its text alone.
//!
//! 1. The default format is prefix, secret, and the checksum if the kind has one; nothing in between.
//! 2. The secret is base64url without padding (RFC 4648 §5); it is never decoded.
//! 3. The checksum is CRC-32 (ISO-HDLC) over prefix and secret in six base62 digits. It proves nothing: it makes typing
//!    errors and scanners' junk cheap.
//! 4. Shape is checked in the order length, alphabet, checksum; no allocation.

use crate::token::alphabet::{NOT_BASE62, NOT_BASE64URL, flags_of, is_b64token};

/// Why a text is no token of any kind; told without a hash or a look-up.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Junk {
    /// No kind has this prefix, and none without prefix has this shape.
    #[error("no kind of token begins like this")]
    UnknownPrefix,
    /// The length or a byte is not what the kind writes.
    #[error("the token has not the shape of its kind")]
    BadShape,
    /// The checksum is not that of prefix and secret.
    #[error("the token's checksum is wrong")]
    BadChecksum,
}

/// How tokens of one kind are written after their prefix.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Format {
    /// So many bytes at random as base64url, then the checksum if there is one.
    Minted { secret_bytes: usize, checksum: Option<Checksum> },
    /// From `min` to `max` bytes of b64token that somebody else made.
    Opaque { min: usize, max: usize },
}

impl Format {
    /// The longest text after the prefix, in bytes.
    pub(super) fn max_length(self) -> usize {
        match self {
            Self::Minted { secret_bytes, checksum } => {
                let sum = checksum.map_or(0, |_| CHECKSUM_LENGTH);
                secret_length(secret_bytes).saturating_add(sum)
            }
            Self::Opaque { max, .. } => max,
        }
    }

    /// Whether `token`, whose first `prefix_length` bytes are the kind's prefix, is of this format.
    pub(super) fn check(self, token: &[u8], prefix_length: usize) -> Result<(), Junk> {
        let rest = token.get(prefix_length..).ok_or(Junk::BadShape)?;
        match self {
            Self::Minted { secret_bytes, checksum } => check_minted(rest, secret_bytes, checksum),
            Self::Opaque { min, max }
                if (min..=max).contains(&rest.len()) && is_b64token(token) =>
            {
                Ok(())
            }
            Self::Opaque { .. } => Err(Junk::BadShape),
        }
    }
}

/// Whether a text is written like a JWT (RFC 7519 §3): three non-empty base64url parts joined by dots.
pub(super) fn is_jwt_shaped(token: &[u8]) -> bool {
    let mut parts = token.split(|byte| *byte == b'.');
    let good = |part: &[u8]| !part.is_empty() && flags_of(part) & NOT_BASE64URL == 0;
    parts.by_ref().take(3).filter(|part| good(part)).count() == 3 && parts.next().is_none()
}

/// How many characters of base64url, without padding, so many bytes take.
pub(super) const fn secret_length(bytes: usize) -> usize {
    bytes.saturating_mul(8).div_ceil(6)
}

/// A checksum begun: what CRC-32 knows after a prefix, so that no token's prefix is summed up again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Checksum(u32);

impl Checksum {
    /// Begins with the bytes of a kind's prefix.
    pub(super) fn after(prefix: &str) -> Self {
        Self(crc32_update(u32::MAX, prefix.as_bytes()))
    }

    /// The checksum of prefix and `secret` as it is written: six base62 digits.
    pub(super) fn of(self, secret: &[u8]) -> [u8; CHECKSUM_LENGTH] {
        base62(!crc32_update(self.0, secret))
    }
}

/// How many characters a checksum takes.
pub(super) const CHECKSUM_LENGTH: usize = 6;

/// Length, alphabet and checksum of what stands behind the prefix.
fn check_minted(rest: &[u8], secret_bytes: usize, checksum: Option<Checksum>) -> Result<(), Junk> {
    let (secret, sum) = rest.split_at_checked(secret_length(secret_bytes)).ok_or(Junk::BadShape)?;
    let sum_length = checksum.map_or(0, |_| CHECKSUM_LENGTH);
    if sum.len() != sum_length
        || flags_of(secret) & NOT_BASE64URL != 0
        || flags_of(sum) & NOT_BASE62 != 0
    {
        return Err(Junk::BadShape);
    }
    match checksum {
        Some(begun) if sum != begun.of(secret) => Err(Junk::BadChecksum),
        Some(_) | None => Ok(()),
    }
}

/// `value` in base62, digits `0-9 A-Z a-z`, most significant first, padded with `0` to six.
fn base62(value: u32) -> [u8; CHECKSUM_LENGTH] {
    // two chains of three divisions, which a processor does side by side
    let (mut high, mut low) = (value / CUBE, value % CUBE);
    let mut digits = [0; CHECKSUM_LENGTH];
    for at in (0..3).rev() {
        digits[at] = DIGITS[(high % 62) as usize];
        digits[at + 3] = DIGITS[(low % 62) as usize];
        (high, low) = (high / 62, low / 62);
    }
    digits
}

/// CRC-32, ISO-HDLC: reflected polynomial 0xEDB88320, start and final XOR 0xFFFFFFFF. Eight bytes a step.
fn crc32_update(state: u32, bytes: &[u8]) -> u32 {
    let at = |row: usize, byte: u8| TABLES[row][usize::from(byte)];
    let (steps, rest) = bytes.as_chunks::<8>();
    let state = steps.iter().fold(state, |state, [a, b, c, d, e, f, g, h]| {
        let [w, x, y, z] = (state ^ u32::from_le_bytes([*a, *b, *c, *d])).to_le_bytes();
        (at(7, w) ^ at(6, x) ^ at(5, y) ^ at(4, z))
            ^ (at(3, *e) ^ at(2, *f) ^ at(1, *g) ^ at(0, *h))
    });
    rest.iter().fold(state, |state, byte| {
        let [low, ..] = state.to_le_bytes();
        (state >> 8) ^ at(0, low ^ byte)
    })
}

const DIGITS: [u8; 62] = *b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

const CUBE: u32 = 62 * 62 * 62;

/// Row `k`: what a byte does to the state when `k` more bytes follow it.
const TABLES: [[u32; 256]; 8] = {
    let mut tables = [[0; 256]; 8];
    let mut byte: u32 = 0;
    while byte < 256 {
        let mut state = byte;
        let mut row = 0;
        while row < 8 {
            let mut bit = 0;
            while bit < 8 {
                state = if state & 1 == 0 { state >> 1 } else { (state >> 1) ^ 0xEDB8_8320 };
                bit += 1;
            }
            tables[row][byte as usize] = state;
            row += 1;
        }
        byte += 1;
    }
    tables
};

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn crc32(bytes: &[u8]) -> u32 {
        !crc32_update(u32::MAX, bytes)
    }

    fn text(digits: [u8; 6]) -> String {
        String::from_utf8(digits.to_vec()).unwrap()
    }

    #[test]
    fn vectors() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926, "P325");
        assert_eq!(crc32(b""), 0, "P323 nothing");
        assert_eq!(text(Checksum::after("1234").of(b"56789")), "3jZRME", "P323 P325 in two parts");
        for (name, value, want) in [
            ("P325", 0xCBF4_3926, "3jZRME"),
            ("P325 0", 0, "000000"),
            ("P325 61", 61, "00000z"),
            ("P325 62", 62, "000010"),
            ("P325 0xFFFFFFFF", u32::MAX, "4gfFC3"),
            ("P324 digits before letters", 10, "00000A"),
            ("P324 capitals before small", 36, "00000a"),
            ("P324 the border of the two chains", CUBE, "001000"),
            ("P324 below that border", CUBE - 1, "000zzz"),
        ] {
            assert_eq!(text(base62(value)), want, "{name}");
        }
    }

    #[test]
    fn lengths() {
        for (name, bytes, want) in [
            ("P322 16 bytes", 16, 22),
            ("P322 32 bytes", 32, 43),
            ("P322 33 bytes", 33, 44),
            ("P322 64 bytes", 64, 86),
        ] {
            assert_eq!(secret_length(bytes), want, "{name}");
        }
    }

    #[test]
    fn shapes() {
        let minted = |checksum| Format::Minted { secret_bytes: 16, checksum };
        let good = "AAAAAAAAAAAAAAAAAAAA-_";
        let begun = Checksum::after("t_");
        let sum = text(begun.of(good.as_bytes()));
        let (plain, checked) = (minted(None), minted(Some(begun)));
        let opaque = Format::Opaque { min: 2, max: 4 };
        for (name, format, token, want) in [
            ("P326", plain, format!("t_{good}"), Ok(())),
            ("P326 checksum", checked, format!("t_{good}{sum}"), Ok(())),
            ("P342 checksum missing", checked, format!("t_{good}"), Err(Junk::BadShape)),
            ("P342 checksum too many", plain, format!("t_{good}{sum}"), Err(Junk::BadShape)),
            ("P326 one short", plain, "t_AAAAAAAAAAAAAAAAAAAAA".to_owned(), Err(Junk::BadShape)),
            ("P326 nothing behind the prefix", plain, "t_".to_owned(), Err(Junk::BadShape)),
            (
                "P326 . in the secret",
                plain,
                "t_AAAAAAAAAAAAAAAAAAAAA.".to_owned(),
                Err(Junk::BadShape),
            ),
            (
                "P326 = in the secret",
                plain,
                "t_AAAAAAAAAAAAAAAAAAAAA=".to_owned(),
                Err(Junk::BadShape),
            ),
            (
                "P326 - in the checksum",
                checked,
                format!("t_{good}-{}", &sum[1..]),
                Err(Junk::BadShape),
            ),
            (
                "P313 alphabet before checksum",
                checked,
                format!("t_.{}000000", &good[1..]),
                Err(Junk::BadShape),
            ),
            (
                "P326 checksum of another",
                checked,
                format!("t_{good}000000"),
                Err(Junk::BadChecksum),
            ),
            ("P304 opaque, shortest", opaque, "t_ab".to_owned(), Ok(())),
            ("P304 opaque, longest", opaque, "t_a~==".to_owned(), Ok(())),
            ("P304 opaque, too short", opaque, "t_a".to_owned(), Err(Junk::BadShape)),
            ("P304 opaque, too long", opaque, "t_abcde".to_owned(), Err(Junk::BadShape)),
            ("P304 opaque, = inside", opaque, "t_a=b".to_owned(), Err(Junk::BadShape)),
            ("P304 opaque, beyond b64token", opaque, "t_a%b".to_owned(), Err(Junk::BadShape)),
        ] {
            assert_eq!(format.check(token.as_bytes(), 2), want, "{name}");
        }
    }

    #[test]
    fn jwt_shapes() {
        for (name, text, want) in [
            ("P311 three parts", "a.b-_.C9", true),
            ("P311 two parts", "a.b", false),
            ("P311 four parts", "a.b.c.d", false),
            ("P311 an empty part", "a..c", false),
            ("P311 an empty end", "a.b.", false),
            ("P311 padding", "a.b.c=", false),
            ("P311 nothing", "", false),
            ("P311 dots", "..", false),
        ] {
            assert_eq!(is_jwt_shaped(text.as_bytes()), want, "{name}");
        }
    }

    proptest! {
        #[test]
        fn crc_agrees_with_the_definition(bytes in vec(any::<u8>(), 0..80)) {
            let step = |state: u32| (state >> 1) ^ if state & 1 == 1 { 0xEDB8_8320 } else { 0 };
            let naive = bytes.iter().fold(u32::MAX, |state, byte| {
                (0..8).fold(state ^ u32::from(*byte), |state, _| step(state))
            });
            prop_assert_eq!(crc32(&bytes), !naive);
        }

        #[test]
        fn base62_reads_back(value in any::<u32>()) {
            let digit = |byte: &u8| DIGITS.iter().position(|digit| digit == byte).unwrap() as u64;
            let read = base62(value).iter().fold(0, |sum, byte| sum * 62 + digit(byte));
            prop_assert_eq!(read, u64::from(value));
        }
    }
}
