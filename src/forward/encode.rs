//! How does a fact about the caller become the value of a field?
//!
//! 1. Identifiers are sent as they are, or refused. Texts are percent-encoded, lists are texts joined with `,`.
//! 2. Nothing is deleted, cut or replaced: decoding gives back what went in.
//! 3. Lengths are known before anything is written, so a value is one allocation and a cap costs none.
//! 4. A preset for another gateway's receivers sends all of it as it is, or refuses it.
//! 5. Bytes written here are `A-Z a-z 0-9 - . _ ~ @ % ,` or, for identifiers and JSON in base64url, 0x21 to 0x7E;
//!    by that preset also blanks inside.
//!    `HeaderValue::from_str` would be no guard: it takes TAB, blanks at the ends and non-ASCII.

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::HeaderValue;
use std::borrow::Cow;

use super::attribute::{Attribute, Sensitive, Shown};
use super::identity::Piece;

/// Why a fact has no value on the wire.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    Unencodable,
    TooLarge,
}

/// How identifiers are sent, or all text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Spelling {
    AsTheyAre,
    Percent,
    /// Texts and lists as they are too, as contextforge has them.
    Raw,
}

/// Whether base64url ends in `=` where its length asks for it (RFC 4648 §3.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Padding {
    /// No `=`.
    None,
    /// `=` up to a multiple of four.
    Equals,
}

impl Piece<'_> {
    /// Bytes of the value; `None` if there is no header for it.
    pub(super) fn measure(self, spelling: Spelling) -> Result<Option<usize>, Fault> {
        Ok(match self {
            Self::Word(word) => Some(word.len()),
            Self::Flag(flag) => Some(word(flag).len()),
            Self::Chain(items) if items.len() > LONGEST_CHAIN => return Err(Fault::TooLarge),
            Self::Identifier(text) | Self::Text(text) if spelling == Spelling::Raw => {
                Some(raw_len(text)?)
            }
            Self::List(items) | Self::Chain(items) if spelling == Spelling::Raw => {
                raw_list_len(items)?
            }
            Self::Identifier(text) => Some(check_identifier(text, spelling)?),
            Self::Text(text) => Some(text_len(text)).filter(|&len| len > 0),
            Self::List(items) | Self::Chain(items) => list_len(items)?,
        })
    }

    /// The value, `len` bytes as [`measure`](Self::measure) said.
    pub(super) fn value(self, len: usize, spelling: Spelling) -> Result<HeaderValue, Fault> {
        match self {
            Self::Word(word) => Ok(HeaderValue::from_static(word)),
            Self::Flag(flag) => Ok(HeaderValue::from_static(word(flag))),
            Self::Identifier(text) | Self::Text(text) if spelling == Spelling::Raw => {
                HeaderValue::from_bytes(text.as_bytes()).map_err(|_shape| Fault::Unencodable)
            }
            Self::List(items) | Self::Chain(items) if spelling == Spelling::Raw => {
                written(len, |out| out.extend_from_slice(items.join(",").as_bytes()))
            }
            Self::Identifier(text) if spelling == Spelling::AsTheyAre => {
                HeaderValue::from_bytes(text.as_bytes()).map_err(|_shape| Fault::Unencodable)
            }
            Self::Identifier(text) | Self::Text(text) => written(len, |out| push_text(out, text)),
            Self::List(items) | Self::Chain(items) => {
                written(len, |out| push_list(out, items.iter().map(|item| &**item)))
            }
        }
    }
}

/// How a mapped attribute is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Form {
    ByType,
    Json,
}

/// A mapped attribute's value; `None` if there is no header for it.
pub(super) fn attribute(
    attribute: &Attribute,
    form: Form,
    hidden: &Sensitive,
) -> Result<Option<HeaderValue>, Fault> {
    match (attribute, form) {
        (Attribute::Null, _) => Ok(None),
        (Attribute::Text(text), _) if text.is_empty() => Ok(None),
        (_, Form::Json) if !is_finite(attribute) => Err(Fault::Unencodable),
        (_, Form::Json) => {
            let json = serde_json::to_vec(&Shown { attribute, hidden });
            json.map_err(|_not_written| Fault::Unencodable)
                .and_then(|json| base64(&json, Padding::None))
                .map(Some)
        }
        (Attribute::List(items), Form::ByType) if items.is_empty() => Ok(None),
        (Attribute::List(items), Form::ByType) => {
            let items = items.iter().map(scalar).collect::<Result<Vec<_>, _>>()?;
            let len = list_len(&items)?.unwrap_or_default();
            written(len, |out| push_list(out, items.iter().map(|item| &**item))).map(Some)
        }
        (_, Form::ByType) => {
            let text = scalar(attribute)?;
            written(text_len(&text), |out| push_text(out, &text)).map(Some)
        }
    }
}

/// Base64url of bytes as a value.
pub(super) fn base64(bytes: &[u8], padding: Padding) -> Result<HeaderValue, Fault> {
    let text = match padding {
        Padding::None => URL_SAFE_NO_PAD.encode(bytes),
        Padding::Equals => URL_SAFE.encode(bytes),
    };
    HeaderValue::from_maybe_shared(Bytes::from(text)).map_err(|_shape| Fault::Unencodable)
}

/// The names of fields as a value: they need no encoding.
pub(super) fn words<'w>(words: impl Iterator<Item = &'w str>) -> Result<HeaderValue, Fault> {
    written(0, |out| push_list(out, words))
}

pub(super) const LONGEST_CHAIN: usize = 8;

const LONGEST_IDENTIFIER: usize = 256;

fn check_identifier(text: &str, spelling: Spelling) -> Result<usize, Fault> {
    let length = (1..=LONGEST_IDENTIFIER).contains(&text.len());
    let sendable = match spelling {
        Spelling::AsTheyAre | Spelling::Raw => text.bytes().all(|byte| byte.is_ascii_graphic()),
        Spelling::Percent => text.trim() == text && !text.chars().any(is_invisible),
    };
    match (length && sendable, spelling) {
        (false, _) => Err(Fault::Unencodable),
        (true, Spelling::AsTheyAre | Spelling::Raw) => Ok(text.len()),
        (true, Spelling::Percent) => Ok(text_len(text)),
    }
}

/// Visible ASCII with blanks inside.
fn raw_len(text: &str) -> Result<usize, Fault> {
    let visible = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    let ends = !text.starts_with(' ') && !text.ends_with(' ') && !text.is_empty();
    if visible && ends { Ok(text.len()) } else { Err(Fault::Unencodable) }
}

/// No item holds what stands between them.
fn raw_list_len(items: &[Cow<'_, str>]) -> Result<Option<usize>, Fault> {
    let Some(commas) = items.len().checked_sub(1) else { return Ok(None) };
    let lens = items.iter().map(|item| raw_len(item).ok().filter(|_| !item.contains(',')));
    let sum: Option<usize> = lens.sum();
    sum.map(|sum| Some(sum + commas)).ok_or(Fault::Unencodable)
}

/// Controls, and what makes two identifiers look alike: zero-width, direction and joiner characters.
fn is_invisible(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2064}')
        || matches!(char, '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte)
}

fn text_len(text: &str) -> usize {
    text.bytes().map(|byte| if is_plain(byte) { 1 } else { 3 }).sum()
}

fn list_len(items: &[Cow<'_, str>]) -> Result<Option<usize>, Fault> {
    if items.iter().any(|item| item.is_empty()) {
        return Err(Fault::Unencodable); // `a,,b` would not say how many
    }
    let commas = items.len().checked_sub(1);
    Ok(commas.map(|commas| items.iter().map(|item| text_len(item)).sum::<usize>() + commas))
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if is_plain(byte) {
            out.push(byte);
        } else {
            out.extend([b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xF)]]);
        }
    }
}

fn push_list<'w>(out: &mut Vec<u8>, items: impl Iterator<Item = &'w str>) {
    for (place, item) in items.enumerate() {
        if place > 0 {
            out.push(b',');
        }
        push_text(out, item);
    }
}

fn written(len: usize, write: impl FnOnce(&mut Vec<u8>)) -> Result<HeaderValue, Fault> {
    let mut out = Vec::with_capacity(len);
    write(&mut out);
    HeaderValue::from_maybe_shared(Bytes::from(out)).map_err(|_shape| Fault::Unencodable)
}

fn word(flag: bool) -> &'static str {
    if flag { "true" } else { "false" }
}

/// One scalar as plain text. Numbers have no exponent, and no fraction that is zero.
fn scalar(attribute: &Attribute) -> Result<Cow<'_, str>, Fault> {
    match attribute {
        Attribute::Bool(flag) => Ok(word(*flag).into()),
        Attribute::Integer(integer) => Ok(integer.to_string().into()),
        Attribute::Number(0.0) => Ok("0".into()), // also the negative one
        Attribute::Number(number) if number.is_finite() => Ok(number.to_string().into()),
        Attribute::Text(text) => Ok(text.into()),
        Attribute::Number(_) | Attribute::Null | Attribute::List(_) | Attribute::Object(_) => {
            Err(Fault::Unencodable)
        }
    }
}

/// JSON has no word for what is not finite.
pub(super) fn is_finite(attribute: &Attribute) -> bool {
    match attribute {
        Attribute::Number(number) => number.is_finite(),
        Attribute::List(items) => items.iter().all(is_finite),
        Attribute::Object(members) => members.iter().all(|(_, member)| is_finite(member)),
        Attribute::Null | Attribute::Bool(_) | Attribute::Integer(_) | Attribute::Text(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sent(piece: Piece<'_>, spelling: Spelling) -> Result<Option<String>, Fault> {
        let Some(len) = piece.measure(spelling)? else { return Ok(None) };
        let value = piece.value(len, spelling)?;
        assert_eq!(value.len(), len, "measured is written");
        Ok(Some(value.to_str().unwrap().to_owned()))
    }

    #[test]
    fn texts() {
        for (name, text, want) in [
            ("FG1", "Fábián", Some("F%C3%A1bi%C3%A1n")),
            ("FG1", "José", Some("Jos%C3%A9")),
            ("FG1", "100%", Some("100%25")),
            ("FG1", "Alice Smith", Some("Alice%20Smith")),
            ("FG1", "alice@co.com", Some("alice@co.com")),
            ("FG1", "alice+x@co.com", Some("alice%2Bx@co.com")),
            ("F63 plain", "aZ09-._~@", Some("aZ09-._~@")),
            ("F63 empty", "", None),
            ("XA9 CR LF", "a\r\nX-Caller-Id: b", Some("a%0D%0AX-Caller-Id%3A%20b")),
            ("XA9 NUL", "a\0b", Some("a%00b")),
            ("XA9 TAB at an end", "a\t", Some("a%09")),
        ] {
            let got = sent(Piece::Text(text), Spelling::AsTheyAre).unwrap();
            assert_eq!(got.as_deref(), want, "{name}: {text:?}");
        }
    }

    #[test]
    fn identifiers() {
        let long = "a".repeat(257);
        let no = Err(Fault::Unencodable);
        for (name, text, as_it_is, percent) in [
            ("FG3 empty", "", no, no),
            ("FG3 blank inside", "a b", no, Ok("a%20b")),
            ("FG3 blank first", " a", no, no),
            ("FG3 TAB", "a\tb", no, no),
            ("FG3 NUL", "a\0b", no, no),
            ("FG3 DEL", "a\x7Fb", no, no),
            ("FG3 XA9 CR LF", "a\r\nb", no, no),
            ("FG3 U+200B", "a\u{200B}b", no, no),
            ("FG3 José", "José", no, Ok("Jos%C3%A9")),
            ("F62 C1", "a\u{85}b", no, no),
            ("F62 U+202E", "a\u{202E}b", no, no),
            ("F62 U+2060", "a\u{2060}b", no, no),
            ("F62 U+2069", "a\u{2069}b", no, no),
            ("F62 U+FEFF", "\u{FEFF}a", no, no),
            ("F62 wide blank at an end", "a\u{3000}", no, no),
            ("F62 too long", &*long, no, no),
            ("F62 longest", &long[1..], Ok(&long[1..]), Ok(&long[1..])),
            ("F62 as it is", "!~%,", Ok("!~%,"), Ok("%21~%25%2C")),
        ] {
            for (how, want) in [(Spelling::AsTheyAre, as_it_is), (Spelling::Percent, percent)] {
                let got = sent(Piece::Identifier(text), how).map(Option::unwrap);
                assert_eq!(got.as_deref().map_err(|fault| *fault), want, "{name} {how:?}");
            }
        }
    }

    #[test]
    fn lists() {
        let nine: &[&str] = &["a"; 9];
        for (name, items, list, chain) in [
            ("FA3", &["eng", "dev"][..], Ok(Some("eng,dev")), Ok(Some("eng,dev"))),
            ("FG2", &["eng,dev", "ops"], Ok(Some("eng%2Cdev,ops")), Ok(Some("eng%2Cdev,ops"))),
            ("FG2", &["R&D"], Ok(Some("R%26D")), Ok(Some("R%26D"))),
            ("FA9 empty", &[], Ok(None), Ok(None)),
            ("F64 empty item", &["a", ""], Err(Fault::Unencodable), Err(Fault::Unencodable)),
            ("F68 nine", nine, Ok(Some("a,a,a,a,a,a,a,a,a")), Err(Fault::TooLarge)),
        ] {
            let items: Vec<_> = items.iter().map(|&item| Cow::from(item)).collect();
            for (piece, want) in [(Piece::List(&items), list), (Piece::Chain(&items), chain)] {
                let got = sent(piece, Spelling::AsTheyAre);
                assert_eq!(
                    got.as_ref().map(Option::as_deref).map_err(|fault| *fault),
                    want,
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn raw() {
        let no = Err(Fault::Unencodable);
        for (name, items, want) in [
            ("FA3", &["eng", "dev"][..], Ok(Some("eng,dev"))),
            ("F251 none", &[], Ok(None)),
            ("F251 comma", &["a,b"], no),
            ("F251 blank inside", &["a b", "c%d"], Ok(Some("a b,c%d"))),
            ("F251 blank at an end of an item", &["a ", "b"], no),
            ("F251 blank at a start", &["a", " b"], no),
            ("F64 empty item", &["a", ""], no),
            ("F251 non-ASCII", &["é"], no),
            ("F68 nine", &["a"; 9], Ok(Some("a,a,a,a,a,a,a,a,a"))),
        ] {
            let list: Vec<_> = items.iter().map(|&item| Cow::from(item)).collect();
            let got = sent(Piece::List(&list), Spelling::Raw);
            assert_eq!(got.as_ref().map(Option::as_deref).map_err(|fault| *fault), want, "{name}");
            let chain = if items.len() > 8 { Err(Fault::TooLarge) } else { want };
            let got = sent(Piece::Chain(&list), Spelling::Raw);
            assert_eq!(got.as_ref().map(Option::as_deref).map_err(|fault| *fault), chain, "{name}");
            if let &[text] = items {
                let want = if name.contains("comma") { Ok(Some("a,b")) } else { want };
                for piece in [Piece::Text(text), Piece::Identifier(text)] {
                    let got = sent(piece, Spelling::Raw);
                    let got = got.as_ref().map(Option::as_deref).map_err(|fault| *fault);
                    assert_eq!(got, want, "{name}");
                }
            }
        }
        for text in ["", "a\tb", "a\r\nb", "a\x7F", " a", "a "] {
            assert_eq!(
                sent(Piece::Text(text), Spelling::Raw),
                Err(Fault::Unencodable),
                "F251 {text:?}"
            );
        }
    }

    #[test]
    fn attributes() {
        let no = Err(Fault::Unencodable);
        for (name, json, want) in [
            ("FG7", r#""s""#, Ok(Some("s"))),
            ("FG7", "5", Ok(Some("5"))),
            ("FG7", "2.5", Ok(Some("2.5"))),
            ("FG7", "true", Ok(Some("true"))),
            ("FG7", r#"["a","b,c"]"#, Ok(Some("a,b%2Cc"))),
            ("FG7", "{}", no),
            ("FG7", "null", Ok(None)),
            ("FG7", r#""""#, Ok(None)),
            ("F65 zero fraction", "5.0", Ok(Some("5"))),
            ("F65 no exponent", "1e21", Ok(Some("1000000000000000000000"))),
            ("F65 small", "1e-7", Ok(Some("0.0000001"))),
            ("F65 minus nothing", "-0.0", Ok(Some("0"))),
            ("F65 widest", "18446744073709551615", Ok(Some("18446744073709551615"))),
            ("F65 negative", "-5", Ok(Some("-5"))),
            ("F65 nested", "[[1]]", no),
            ("F65 empty list", "[]", Ok(None)),
            ("F65 mixed", "[1,2.5,false]", Ok(Some("1,2.5,false"))),
            ("F64 empty item", r#"["a",""]"#, no),
        ] {
            let source = Attribute::from_json(json).unwrap();
            let got = attribute(&source, Form::ByType, &Sensitive::default());
            let got = got.as_ref().map(|value| value.as_ref().map(|value| value.to_str().unwrap()));
            assert_eq!(got.map_err(|fault| *fault), want, "{name}: {json}");
        }
        let (json, nan) =
            (Attribute::from_json(r#"{"a":"y"}"#).unwrap(), Attribute::Number(f64::NAN));
        let got = attribute(&json, Form::Json, &Sensitive::default());
        assert_eq!(got, Ok(Some(HeaderValue::from_static("eyJhIjoieSJ9"))), "F65 as JSON");
        for form in [Form::ByType, Form::Json] {
            assert_eq!(
                attribute(&nan, form, &Sensitive::default()),
                Err(Fault::Unencodable),
                "{form:?}"
            );
        }
    }

    #[test]
    fn payloads() {
        for (padding, want) in
            [(Padding::None, "eyJzdWIiOiJhIn0"), (Padding::Equals, "eyJzdWIiOiJhIn0=")]
        {
            assert_eq!(base64(br#"{"sub":"a"}"#, padding).unwrap(), want, "FG6");
        }
    }

    fn decode(text: &str) -> Vec<u8> {
        let (mut out, mut rest) = (Vec::new(), text.as_bytes());
        while let [first, tail @ ..] = rest {
            rest = tail;
            if *first == b'%' {
                let digits = str::from_utf8(&tail[..2]).unwrap();
                out.push(u8::from_str_radix(digits, 16).unwrap());
                rest = &tail[2..];
            } else {
                out.push(*first);
            }
        }
        out
    }

    proptest! {
        /// FG2: decoding gives back any list of non-empty strings, and every byte is 0x21 to 0x7E.
        #[test]
        fn lists_decode(items in prop::collection::vec(".{1,12}|(?s:.)", 1..8)) {
            let list: Vec<_> = items.iter().map(|item| Cow::from(item.as_str())).collect();
            let text = sent(Piece::List(&list), Spelling::AsTheyAre).unwrap().unwrap();
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
            let back: Vec<_> = text.split(',').map(|item| String::from_utf8(decode(item)).unwrap()).collect();
            prop_assert_eq!(back, items);
        }
    }
}
