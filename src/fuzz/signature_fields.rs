//! What `Signature-Input` and `Signature` may say: two lines of bytes.

use std::collections::BTreeMap;

use crate::fuzz::input::lines;
use crate::receiver::Signed;

/// Both readings agree; what was read is written back as it came; nothing of it needs an escape.
pub(super) fn holds(bytes: &[u8]) {
    let both = lines(bytes, 2);
    let (input, signature) =
        (both.first().copied().unwrap_or_default(), both.get(1).copied().unwrap_or_default());
    let read = Signed::read(input, signature);
    let naive = naive(&String::from_utf8_lossy(input), &String::from_utf8_lossy(signature));
    let shown = String::from_utf8_lossy(bytes);
    let Some(signed) = read else {
        assert_eq!(naive, None, "{shown}");
        return;
    };
    let covered: Vec<String> = signed.covered.iter().map(|&name| name.to_owned()).collect();
    let text = |text: &str| text.to_owned();
    let got = (
        covered,
        [signed.created, signed.expires],
        [text(signed.nonce), text(signed.key), text(signed.algorithm)],
        signed.signature.clone(),
    );
    assert_eq!(naive, Some(got), "{shown}");
    assert_eq!(input, format!("idf={}", signed.params).as_bytes(), "{shown}");
}

type Read = (Vec<String>, [u64; 2], [String; 3], Vec<u8>);

/// Splits where no quoted string can hold the separator, then looks at each piece.
fn naive(input: &str, signature: &str) -> Option<Read> {
    let body = input.strip_prefix("idf=(")?;
    let close = body.find(')')?;
    let names: Vec<String> = body[..close].split(' ').map(unquoted).collect::<Option<_>>()?;
    for (at, name) in names.iter().enumerate() {
        let field = name.strip_prefix('@').unwrap_or(name);
        let tchars = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz";
        let fine = !field.is_empty() && field.chars().all(|letter| tchars.contains(letter));
        if !fine || names[..at].contains(name) {
            return None;
        }
    }
    let mut params = BTreeMap::new();
    let rest = &body[close + 1..];
    for pair in pieces(rest)? {
        let (name, value) = pair.split_once('=')?;
        if params.insert(name.to_owned(), value.to_owned()).is_some() {
            return None;
        }
    }
    let names_of: Vec<&str> = params.keys().map(String::as_str).collect();
    if names_of != ["alg", "created", "expires", "keyid", "nonce", "tag"] || names.len() > 64 {
        return None;
    }
    let time = |name: &str| -> Option<u64> {
        let value = params.get(name)?;
        let number: u64 = value.parse().ok()?;
        (number.to_string() == *value && value.len() <= 15).then_some(number)
    };
    let word = |name: &str| unquoted(params.get(name)?);
    let name = |text: &String, more: &str| {
        let fine = |letter: char| letter.is_ascii_alphanumeric() || more.contains(letter);
        (1..=64).contains(&text.len()) && text.chars().all(fine)
    };
    let (nonce, key, algorithm) = (word("nonce")?, word("keyid")?, word("alg")?);
    let plain = algorithm.chars().all(|letter| ('!'..='~').contains(&letter) && letter != '\\');
    if !name(&nonce, "-_") || !name(&key, "-_.") || !plain || word("tag")? != "identity-forward" {
        return None;
    }
    let base64 = signature.strip_prefix("idf=:")?.strip_suffix(':')?;
    let bytes = decoded(base64).filter(|bytes| !bytes.is_empty() && bytes.len() <= 66)?;
    Some((names, [time("created")?, time("expires")?], [nonce, key, algorithm], bytes))
}

/// What stands between quotes, and holds none.
fn unquoted(text: &str) -> Option<String> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    (!inner.contains('"')).then(|| inner.to_owned())
}

/// `;a;b` as pieces; a `;` in quotes separates nothing.
fn pieces(text: &str) -> Option<Vec<String>> {
    let mut found: Vec<String> = Vec::new();
    let mut quoted = false;
    for letter in text.chars() {
        match letter {
            ';' if !quoted => found.push(String::new()),
            _ => {
                quoted ^= letter == '"';
                found.last_mut()?.push(letter);
            }
        }
    }
    Some(found)
}

/// Base64 by hand, in its one spelling.
fn decoded(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let digits = text.trim_end_matches('=');
    if text.len() - digits.len() > 2 {
        return None;
    }
    let (mut bits, mut held, mut out) = (0_u32, 0, Vec::new());
    for letter in digits.chars() {
        bits = bits << 6 | u32::try_from(ALPHABET.find(letter)?).ok()?;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push(u8::try_from(bits >> held & 0xFF).ok()?);
            bits &= (1 << held) - 1;
        }
    }
    (bits == 0).then_some(out)
}
