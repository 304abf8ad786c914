//! What does an answer say, read strictly?
//!
//! 1. One JSON object (RFC 8259) and nothing after it. A member that stands twice, at any depth, makes the whole invalid,
//!    and so do more than 32 levels: two readers could understand two things.
//! 2. Only the texts and integers of the outermost object are kept. `1.0` is no integer.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::secret::Secret;

/// What is not as it should be. There is nothing more to say of it that would not repeat the answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Invalid;

/// The members of one object.
pub(super) struct Object(BTreeMap<String, Member>);

enum Member {
    Text(Secret),
    Integer(i64),
    Null,
    Other,
}

impl Object {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Invalid> {
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        let object = Outermost.deserialize(&mut reader).map_err(|_text| Invalid)?;
        reader.end().map_err(|_text| Invalid)?;
        Ok(object)
    }

    /// The text of a member. Absent and `null` are one.
    pub(super) fn text(&self, name: &str) -> Result<Option<&Secret>, Invalid> {
        match self.0.get(name) {
            None | Some(Member::Null) => Ok(None),
            Some(Member::Text(text)) => Ok(Some(text)),
            Some(Member::Integer(_) | Member::Other) => Err(Invalid),
        }
    }

    /// The integer of a member, held at the ends of its range. Absent and `null` are one.
    pub(super) fn integer(&self, name: &str) -> Result<Option<i64>, Invalid> {
        match self.0.get(name) {
            None | Some(Member::Null) => Ok(None),
            Some(Member::Integer(number)) => Ok(Some(*number)),
            Some(Member::Text(_) | Member::Other) => Err(Invalid),
        }
    }

    /// A member that can be sent as a credential.
    pub(super) fn credential(&self, name: &str) -> Result<Secret, Invalid> {
        let token = self.text(name)?.ok_or(Invalid)?;
        if token.is_sendable() { Ok(token.clone()) } else { Err(Invalid) }
    }

    /// An OAuth error (RFC 6749 §5.2), if it is a text.
    pub(super) fn error(&self) -> Option<&str> {
        self.text("error").ok().flatten().map(Secret::expose)
    }
}

const DEEPEST: u8 = 32;

struct Outermost;

impl<'de> DeserializeSeed<'de> for Outermost {
    type Value = Object;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Object, D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Outermost {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let mut members = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            let member = map.next_value_seed(Level(1))?;
            if members.insert(name, member).is_some() {
                return Err(A::Error::custom("a member twice"));
            }
        }
        Ok(Object(members))
    }
}

/// How many levels lie around a value.
#[derive(Clone, Copy)]
struct Level(u8);

impl Level {
    fn inside<E: Error>(self) -> Result<Self, E> {
        if self.0 < DEEPEST { Ok(Self(self.0 + 1)) } else { Err(E::custom("too deep")) }
    }
}

impl<'de> DeserializeSeed<'de> for Level {
    type Value = Member;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Member, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level {
    type Value = Member;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Member, E> {
        Ok(Member::Text(Secret::new(text)))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Member, E> {
        Ok(Member::Integer(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Member, E> {
        Ok(Member::Integer(i64::try_from(number).unwrap_or(i64::MAX)))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Member, E> {
        Ok(Member::Other)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Member, E> {
        Ok(Member::Other)
    }

    fn visit_unit<E: Error>(self) -> Result<Member, E> {
        Ok(Member::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Member, A::Error> {
        let inside = self.inside()?;
        while list.next_element_seed(inside)?.is_some() {}
        Ok(Member::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Member, A::Error> {
        let inside = self.inside()?;
        let mut names = BTreeSet::new();
        let mut number = None;
        while let Some(name) = map.next_key::<String>()? {
            let member = map.next_value_seed(inside)?;
            // how serde_json hands a number over if anybody in the graph asks it for all digits
            if let (NUMBER, Member::Text(digits)) = (name.as_str(), &member) {
                number = digits.expose().parse().ok();
            }
            if !names.insert(name) {
                return Err(A::Error::custom("a member twice"));
            }
        }
        Ok(number.map_or(Member::Other, Member::Integer))
    }
}

const NUMBER: &str = "$serde_json::private::Number";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects() {
        let nested = |levels: usize| {
            let (open, close) = ("[".repeat(levels - 1), "]".repeat(levels - 1));
            format!(r#"{{"a":{open}{close}}}"#)
        };
        let deep =
            |levels: usize| format!(r#"{}1{}"#, r#"{"a":"#.repeat(levels), "}".repeat(levels));
        for (name, text, want) in [
            ("F101 empty", "{}".to_owned(), true),
            ("F101 blanks around", " {\n} \r\n".into(), true),
            ("F101 other members", r#"{"x":[1.5,{"y":null}],"z":true}"#.into(), true),
            ("F101 32 levels", nested(32), true),
            ("F101 33 levels", nested(33), false),
            ("F101 32 levels of objects", deep(32), true),
            ("F101 33 levels of objects", deep(33), false),
            ("FD5 10,000 levels", nested(10_000), false),
            ("FD5 10,000 levels of objects", deep(10_000), false),
            ("FD5 10,000 levels from the start", "[".repeat(10_000), false),
            ("F101 a member twice", r#"{"a":1,"a":1}"#.into(), false),
            ("F101 a member twice, escaped", r#"{"a":1,"\u0061":1}"#.into(), false),
            ("F101 a member twice, inside", r#"{"a":{"b":1,"b":1}}"#.into(), false),
            ("F101 text after", "{} x".into(), false),
            ("F101 two objects", "{}{}".into(), false),
            ("F101 truncated", r#"{"token":"x""#.into(), false),
            ("F101 nothing", String::new(), false),
            ("F101 a byte order mark", "\u{feff}{}".into(), false),
            ("FD5 list", "[]".into(), false),
            ("FD5 HTML", "<html></html>".into(), false),
            ("F101 text", r#""{}""#.into(), false),
            ("F101 half of a surrogate pair", r#"{"a":"\ud800"}"#.into(), false),
            ("F101 a comment", "{/**/}".into(), false),
            ("F101 a comma too many", r#"{"a":1,}"#.into(), false),
        ] {
            assert_eq!(Object::read(text.as_bytes()).is_ok(), want, "{name}");
        }
        assert!(Object::read(b"{\"a\":\"\xff\"}").is_err(), "F101 no UTF-8");
    }

    #[test]
    fn integers() {
        for (name, text, want) in [
            ("F101 integer", "1700000000", Ok(Some(1_700_000_000))),
            ("F101 negative", "-5", Ok(Some(-5))),
            ("F182 absurd", "18446744073709551615", Ok(Some(i64::MAX))),
            ("FD5 fraction", "1.5", Err(Invalid)),
            ("F101 zero fraction", "1.0", Err(Invalid)),
            ("F101 exponent", "1e3", Err(Invalid)),
            ("F101 past every integer", "99999999999999999999", Err(Invalid)),
            ("F101 text", r#""1""#, Err(Invalid)),
            ("F101 bool", "true", Err(Invalid)),
            ("F101 null", "null", Ok(None)),
            ("all digits kept", r#"{"$serde_json::private::Number":"7"}"#, Ok(Some(7))),
            ("all digits kept", r#"{"$serde_json::private::Number":"7.0"}"#, Err(Invalid)),
        ] {
            let object = Object::read(format!(r#"{{"n":{text}}}"#).as_bytes()).unwrap();
            assert_eq!(object.integer("n"), want, "{name} {text}");
        }
    }

    #[test]
    fn texts() {
        for (name, text, want) in [
            ("F101 text", r#""x\u0079""#, Ok("xy")),
            ("F79 empty", r#""""#, Err(Invalid)),
            ("F79 blank", r#""x y""#, Err(Invalid)),
            ("F79 line feed", r#""x\n""#, Err(Invalid)),
            ("F79 other than ASCII", r#""é""#, Err(Invalid)),
            ("F101 null", "null", Err(Invalid)),
            ("F101 number", "1", Err(Invalid)),
            ("F101 list", r#"["x"]"#, Err(Invalid)),
        ] {
            let object = Object::read(format!(r#"{{"t":{text}}}"#).as_bytes()).unwrap();
            let got = object.credential("t");
            assert_eq!(got.as_ref().map(Secret::expose).map_err(|error| *error), want, "{name}");
        }
    }
}
