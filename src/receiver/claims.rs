//! What do the claims of an assertion say?
//!
//! 1. One JSON object (RFC 8259), in which no name is there twice, at no depth: two readers could read it differently.
//! 2. Each claim has the one type that the gateway writes; times are integers. What is not known is passed over.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

use super::caller::{CallerType, Facts, Told, VerifiedCaller};
use crate::forward::{Attribute, CLAIMS, Field};

/// The members of a claims set, in their order.
pub(super) struct Claims(Vec<(String, Attribute)>);

impl Claims {
    pub(super) fn read(json: &[u8]) -> Option<Self> {
        match serde_json::from_slice(json).ok()? {
            Strict(Attribute::Object(members)) => Some(Self(members)),
            Strict(_) => None,
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        text(self.get(name)?)
    }

    /// A time in whole seconds.
    pub(super) fn seconds(&self, name: &str) -> Option<u64> {
        let Attribute::Integer(secs) = self.get(name)? else { return None }; // no other number is a time
        u64::try_from(*secs).ok()
    }

    /// Whom they are about. `None` if a claim is not as the gateway writes it.
    pub(super) fn caller(&self, key: &str) -> Option<VerifiedCaller> {
        let mut facts = Facts { key: key.to_owned(), ..Facts::default() };
        for (field, name) in CLAIMS {
            let Some(value) = self.get(name) else { continue };
            match field {
                Field::Id => facts.id = identifier(value)?,
                Field::Type => facts.of = Some(CallerType::read(text(value)?.as_bytes())?),
                Field::Admin => facts.admin = Some(flag(value)?),
                Field::Email | Field::FullName | Field::Role => {
                    facts.texts.push((field, text(value)?.to_owned()));
                }
                Field::Issuer | Field::Workspace | Field::App | Field::Client => {
                    facts.texts.push((field, identifier(value)?));
                }
                Field::AuthMethod | Field::ServiceAccount => {
                    facts.texts.push((field, identifier(value)?));
                }
                Field::Scopes => {
                    let scopes = text(value)?.split(' ').map(str::to_owned).collect();
                    facts.lists.push((field, full(scopes)?));
                }
                Field::Groups | Field::Teams | Field::Roles => {
                    facts
                        .lists
                        .extend(Some((field, list(value)?)).filter(|(_, list)| !list.is_empty()));
                }
                Field::DelegationChain => facts.lists.push((field, chain(value)?)),
            }
        }
        if let Some(attributes) = self.get("attributes") {
            let Attribute::Object(members) = attributes else { return None };
            let told =
                members.iter().filter_map(|(name, value)| Some((name.clone(), told(value)?)));
            facts.attributes = told.collect();
        }
        (!facts.id.is_empty()).then(|| VerifiedCaller::of(facts))
    }

    fn get(&self, name: &str) -> Option<&Attribute> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }
}

fn text(value: &Attribute) -> Option<&str> {
    let Attribute::Text(text) = value else { return None };
    Some(&**text).filter(|text| !text.is_empty())
}

fn flag(value: &Attribute) -> Option<bool> {
    let Attribute::Bool(flag) = value else { return None };
    Some(*flag)
}

/// 1 to 256 bytes, none of them a control.
fn identifier(value: &Attribute) -> Option<String> {
    let fine = |text: &&str| text.len() <= 256 && !text.contains(char::is_control);
    text(value).filter(fine).map(str::to_owned)
}

fn list(value: &Attribute) -> Option<Vec<String>> {
    let Attribute::List(items) = value else { return None };
    items.iter().map(|item| text(item).map(str::to_owned)).collect()
}

/// A list without empty items.
fn full(items: Vec<String>) -> Option<Vec<String>> {
    items.iter().all(|item| !item.is_empty()).then_some(items)
}

/// Who acts for whom, current actor first (RFC 8693 §4.1); at most 8.
fn chain(value: &Attribute) -> Option<Vec<String>> {
    let (mut chain, mut next) = (Vec::new(), Some(value));
    while let Some(actor) = next {
        let Attribute::Object(members) = actor else { return None };
        let member = |name: &str| members.iter().find(|(known, _)| known == name);
        chain.push(text(&member("sub")?.1)?.to_owned());
        next = member("act").map(|(_, act)| act);
    }
    (chain.len() <= 8).then_some(chain)
}

/// An attribute as a header would tell it; nothing for what no header is made for.
fn told(value: &Attribute) -> Option<Told> {
    match value {
        Attribute::List(items) => items.iter().map(scalar).collect::<Option<_>>().map(Told::List),
        Attribute::Object(_) => serde_json::to_string(&Plain(value)).ok().map(Told::Text),
        Attribute::Null | Attribute::Bool(_) | Attribute::Integer(_) => {
            scalar(value).map(Told::Text)
        }
        Attribute::Number(_) | Attribute::Text(_) => scalar(value).map(Told::Text),
    }
}

fn scalar(value: &Attribute) -> Option<String> {
    match value {
        Attribute::Bool(flag) => Some(flag.to_string()),
        Attribute::Integer(integer) => Some(integer.to_string()),
        Attribute::Number(number) => Some(number.to_string()),
        Attribute::Text(_) => text(value).map(str::to_owned),
        Attribute::Null | Attribute::List(_) | Attribute::Object(_) => None,
    }
}

/// JSON in which no object has a name twice.
struct Strict(Attribute);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Attribute;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without a name twice")
    }

    fn visit_unit<E: Error>(self) -> Result<Attribute, E> {
        Ok(Attribute::Null)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Attribute, E> {
        Ok(Attribute::Bool(flag))
    }

    fn visit_i64<E: Error>(self, integer: i64) -> Result<Attribute, E> {
        Ok(Attribute::Integer(integer.into()))
    }

    fn visit_u64<E: Error>(self, integer: u64) -> Result<Attribute, E> {
        Ok(Attribute::Integer(integer.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Attribute, E> {
        Ok(Attribute::Number(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Attribute, E> {
        Ok(Attribute::Text(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Attribute, E> {
        Ok(Attribute::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Attribute, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Attribute::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Attribute, A::Error> {
        let mut object: Vec<(String, Attribute)> = Vec::new();
        while let Some((name, Strict(value))) = members.next_entry()? {
            if object.iter().any(|(known, _)| *known == name) {
                return Err(A::Error::custom("a name twice"));
            }
            object.push((name, value));
        }
        Ok(Attribute::Object(object))
    }
}

/// A value that came as JSON, as JSON again.
struct Plain<'a>(&'a Attribute);

impl serde::Serialize for Plain<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Attribute::Null => serializer.serialize_unit(),
            Attribute::Bool(flag) => serializer.serialize_bool(*flag),
            Attribute::Integer(integer) => serializer.serialize_i128(*integer),
            Attribute::Number(number) => serializer.serialize_f64(*number),
            Attribute::Text(text) => serializer.serialize_str(text),
            Attribute::List(items) => serializer.collect_seq(items.iter().map(Plain)),
            Attribute::Object(members) => {
                serializer.collect_map(members.iter().map(|(name, value)| (name, Plain(value))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strictly_one_reading() {
        for (name, json, want) in [
            ("an object", r#"{"iss":"a"}"#, true),
            ("F216 a claim twice", r#"{"iss":"a","iss":"b"}"#, false),
            ("F216 twice by an escape", r#"{"iss":"a","i\u0073s":"b"}"#, false),
            ("F216 twice inside", r#"{"iss":"a","attributes":{"x":1,"x":2}}"#, false),
            ("F216 an array", r#"["a"]"#, false),
            ("F216 text after", r#"{} {}"#, false),
            ("F216 half", r#"{"iss":"#, false),
            ("F216 no UTF-8", "{\"iss\":\"\u{fffd}\"}", true),
        ] {
            assert_eq!(Claims::read(json.as_bytes()).is_some(), want, "{name}");
        }
        assert!(Claims::read(b"{\"iss\":\"\xFF\"}").is_none(), "F216 no UTF-8");
        let deep = [&b"{\"a\":"[..], &vec![b'['; 5_000]].concat();
        assert!(Claims::read(&deep).is_none(), "no nesting overflows the stack");
        for (name, json, want) in [
            ("an integer", "1700000000", Some(1_700_000_000)),
            ("F216 a fraction", "1700000000.0", None),
            ("F216 an exponent", "17e8", None),
            ("F216 negative", "-1", None),
            ("F216 a text", "\"1700000000\"", None),
            ("F216 too large", "18446744073709551616", None),
        ] {
            let claims = Claims::read(format!("{{\"exp\":{json}}}").as_bytes()).unwrap();
            assert_eq!(claims.seconds("exp"), want, "{name}");
        }
    }

    #[test]
    fn callers() {
        let read = |json: &str| Claims::read(json.as_bytes()).unwrap().caller("k");
        let whole = r#"{"sub":"a","sub_type":"service","name":"Jos\u00e9","scope":"a:b c","groups":["x,y"],"teams":[],
            "is_admin":false,"act":{"sub":"b","act":{"sub":"c"}},"attributes":{"n":2.5,"i":5,"l":["s",1],"o":{"a":1},
            "z":null},"other":1}"#;
        let caller = read(whole).unwrap();
        assert_eq!((caller.id(), caller.key_id()), ("a", "k"));
        assert_eq!(caller.subject_type(), Some(CallerType::Service), "F51");
        assert_eq!(caller.text(Field::FullName), Some("José"), "F53");
        assert_eq!(caller.list(Field::Scopes).unwrap(), ["a:b", "c"], "F56");
        assert_eq!(caller.list(Field::Groups).unwrap(), ["x,y"], "F57");
        assert_eq!(caller.list(Field::Teams), None, "as with headers");
        assert_eq!(caller.is_admin(), Some(false), "F58");
        assert_eq!(caller.list(Field::DelegationChain).unwrap(), ["b", "c"], "F68");
        for (name, want) in
            [("n", Some("2.5")), ("i", Some("5")), ("o", Some(r#"{"a":1}"#)), ("z", None)]
        {
            assert_eq!(caller.attribute(name).as_deref(), want, "F61 {name}");
        }
        assert_eq!(caller.attribute_list("l").unwrap(), ["s", "1"], "F61");
        assert_eq!(caller.attribute("l"), None, "F61 a list is no text");
        let nine = (0..8)
            .fold(r#"{"sub":"z"}"#.to_owned(), |act, _| format!(r#"{{"sub":"y","act":{act}}}"#));
        for (name, json) in [
            ("no subject", r#"{"email":"a"}"#.to_owned()),
            ("empty subject", r#"{"sub":""}"#.to_owned()),
            ("a subject that is a number", r#"{"sub":1}"#.to_owned()),
            ("a control", r#"{"sub":"a\n"}"#.to_owned()),
            ("a type of its own", r#"{"sub":"a","sub_type":"root"}"#.to_owned()),
            ("a flag as text", r#"{"sub":"a","is_admin":"false"}"#.to_owned()),
            ("a list as text", r#"{"sub":"a","groups":"x"}"#.to_owned()),
            ("an empty item", r#"{"sub":"a","groups":[""]}"#.to_owned()),
            ("two blanks", r#"{"sub":"a","scope":"a  b"}"#.to_owned()),
            ("an actor without subject", r#"{"sub":"a","act":{}}"#.to_owned()),
            ("F60 nine actors", format!(r#"{{"sub":"a","act":{nine}}}"#)),
            ("attributes as a list", r#"{"sub":"a","attributes":[]}"#.to_owned()),
        ] {
            assert_eq!(read(&json), None, "{name}");
        }
    }
}
