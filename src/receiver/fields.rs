//! What do `Signature-Input` and `Signature` say?
//!
//! 1. One member each, labelled as ours, in the one spelling that RFC 8941 §4.1 gives to what it says: an inner list of
//!    strings, six parameters once each, a byte sequence. Whatever else is a valid structured field is refused.
//! 2. Nothing is copied but the signature's bytes, and nothing is believed yet.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::forward::is_key_name;
use crate::forward::sign::{LABEL, TAG};

/// Both fields, read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Signed<'a> {
    /// The covered components, without quotes, each once.
    pub(crate) covered: Vec<&'a str>,
    /// What follows the label: the last line of the signature base.
    pub(crate) params: &'a str,
    pub(crate) created: u64,
    pub(crate) expires: u64,
    pub(crate) nonce: &'a str,
    pub(crate) key: &'a str,
    pub(crate) algorithm: &'a str,
    pub(crate) signature: Vec<u8>,
}

impl<'a> Signed<'a> {
    /// Reads the only line of each field.
    pub(crate) fn read(input: &'a [u8], signature: &[u8]) -> Option<Self> {
        let params = str::from_utf8(member(input)?).ok()?;
        let (covered, mut rest) = covered(params)?;
        let (mut created, mut expires) = (None, None);
        let (mut nonce, mut key, mut algorithm, mut tag) = (None, None, None, None);
        while !rest.is_empty() {
            let (name, value) = rest.strip_prefix(';')?.split_once('=')?;
            rest = match name {
                "created" => number(value, &mut created)?,
                "expires" => number(value, &mut expires)?,
                "nonce" => text(value, &mut nonce)?,
                "keyid" => text(value, &mut key)?,
                "alg" => text(value, &mut algorithm)?,
                "tag" => text(value, &mut tag)?,
                _ => return None,
            };
        }
        let nonce = nonce.filter(|nonce| is_key_name(nonce) && !nonce.contains('.'))?;
        let key = key.filter(|key| is_key_name(key))?;
        tag.filter(|&tag| tag == TAG)?;
        let signature = bytes(member(signature)?)?;
        let (created, expires, algorithm) = (created?, expires?, algorithm?);
        Some(Self { covered, params, created, expires, nonce, key, algorithm, signature })
    }
}

/// Most components that are read: the fixed ones, every field, and room for mapped ones.
const MOST_COVERED: usize = 64;

/// Longest byte sequence in base64: what the longest signature needs.
const LONGEST_SIGNATURE: usize = 88;

/// What follows the label.
fn member(line: &[u8]) -> Option<&[u8]> {
    line.strip_prefix(LABEL.as_bytes())?.strip_prefix(b"=")
}

/// `("a" "b")`, and what follows.
fn covered(params: &str) -> Option<(Vec<&str>, &str)> {
    let (list, rest) = params.strip_prefix('(')?.split_once(')')?;
    let mut covered = Vec::with_capacity(16);
    for item in list.split(' ') {
        let name = item.strip_prefix('"')?.strip_suffix('"')?;
        let field = name.strip_prefix('@').unwrap_or(name);
        let plain = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte)
        };
        let fine = !field.is_empty() && field.bytes().all(plain);
        if !fine || covered.len() == MOST_COVERED || covered.contains(&name) {
            return None;
        }
        covered.push(name);
    }
    Some((covered, rest))
}

/// An integer of at most 15 digits, not negative, without leading zero.
fn number<'a>(value: &'a str, into: &mut Option<u64>) -> Option<&'a str> {
    let end = value.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(value.len());
    let (digits, rest) = value.split_at_checked(end)?;
    let canonical = (1..=15).contains(&end) && (digits == "0" || !digits.starts_with('0'));
    let number = digits.parse().ok().filter(|_| canonical)?;
    into.replace(number).is_none().then_some(rest)
}

/// A quoted string without escapes; visible ASCII.
fn text<'a>(value: &'a str, into: &mut Option<&'a str>) -> Option<&'a str> {
    let (text, rest) = value.strip_prefix('"')?.split_once('"')?;
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    (plain && into.replace(text).is_none()).then_some(rest)
}

/// `:base64:`, padded, in its one spelling.
fn bytes(member: &[u8]) -> Option<Vec<u8>> {
    let text = member.strip_prefix(b":")?.strip_suffix(b":")?;
    let short = (1..=LONGEST_SIGNATURE).contains(&text.len());
    STANDARD.decode(text).ok().filter(|_| short)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUT: &str = "idf=(\"@method\" \"x-a\");created=1;expires=61;nonce=\"n-_1\";keyid=\"k.1\";alg=\"ed25519\";tag=\"identity-forward\"";

    #[test]
    fn one_spelling() {
        let read = Signed::read(INPUT.as_bytes(), b"idf=:AAEC:").unwrap();
        let want = Signed {
            covered: vec!["@method", "x-a"],
            params: &INPUT[4..],
            created: 1,
            expires: 61,
            nonce: "n-_1",
            key: "k.1",
            algorithm: "ed25519",
            signature: vec![0, 1, 2],
        };
        assert_eq!(read, want);
        for (name, from, to) in [
            ("F210 other label", "idf=", "sig1="),
            ("F210 second member", "forward\"", "forward\", b=()"),
            ("F210 other tag", "identity-forward", "identity_forward"),
            ("F210 no nonce", ";nonce=\"n-_1\"", ""),
            ("F210 created twice", ";created=1", ";created=1;created=1"),
            ("F210 seventh parameter", ";alg", ";x=1;alg"),
            ("F210 blank before a parameter", ";alg", "; alg"),
            ("F210 blank in front", "idf", " idf"),
            ("F210 blank behind", "forward\"", "forward\" "),
            ("F210 two blanks", "\" \"x-a", "\"  \"x-a"),
            ("F210 blank in the list", "(\"@", "( \"@"),
            ("F210 empty list", "\"@method\" \"x-a\"", ""),
            ("F210 a token for a string", "keyid=\"k.1\"", "keyid=k.1"),
            ("F210 an escape", "k.1", "k\\\\1"),
            ("F210 a negative time", "created=1", "created=-1"),
            ("F210 a fraction", "created=1", "created=1.0"),
            ("F210 a leading zero", "created=1", "created=01"),
            ("F210 sixteen digits", "created=1", "created=1000000000000000"),
            ("F210 an empty nonce", "n-_1", ""),
            ("F211 a component twice", "\"x-a\"", "\"x-a\" \"x-a\""),
            ("F211 a component with a parameter", "\"x-a\"", "\"x-a\";sf"),
            ("F211 upper case", "x-a", "X-A"),
        ] {
            let text = INPUT.replacen(from, to, 1);
            assert_ne!(text, INPUT, "{name}");
            assert_eq!(Signed::read(text.as_bytes(), b"idf=:AAEC:"), None, "{name}: {text}");
        }
        for (name, signature) in [
            ("F210 other label", "sig=:AAEC:"),
            ("F210 second member", "idf=:AAEC:, b=:AAEC:"),
            ("F210 no bytes", "idf=\"AAEC\""),
            ("F210 without padding", "idf=:AAE:"),
            ("F210 bits after the end", "idf=:AAF=:"),
            ("F210 url alphabet", "idf=:_-_-:"),
            ("F210 empty", "idf=::"),
            ("F210 parameter", "idf=:AAEC:;a"),
        ] {
            assert_eq!(Signed::read(INPUT.as_bytes(), signature.as_bytes()), None, "{name}");
        }
        let many: Vec<String> = (0..65).map(|place| format!("\"x-{place}\"")).collect();
        let text = INPUT.replacen("\"x-a\"", &many[..63].join(" "), 1);
        assert!(Signed::read(text.as_bytes(), b"idf=:AAEC:").is_some(), "64 components");
        let text = INPUT.replacen("\"x-a\"", &many[..64].join(" "), 1);
        assert_eq!(Signed::read(text.as_bytes(), b"idf=:AAEC:"), None, "65 components");
    }
}
