//! What can an attribute of the caller be, and what of it must never leave?
//!
//! 1. Attributes are typed as JSON is; how one is sent depends on its type and on its mapping.
//! 2. The sensitive list removes members at every depth by folded name, in a copy: the source is not changed.

use serde::ser::{Serialize, SerializeMap, Serializer};
use std::fmt;

use super::fold::same;

/// A fact about the caller under a name that this crate does not know.
///
/// `Debug` prints the type and nothing else.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Attribute {
    /// Known to be nothing; never sent.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Integer(i128),
    /// Any other number; one that is not finite cannot be sent.
    Number(f64),
    /// A text; an empty one is not sent.
    Text(String),
    /// A list.
    List(Vec<Self>),
    /// Named members, in order.
    Object(Vec<(String, Self)>),
}

impl Attribute {
    /// Reads JSON text; `None` for what is none. Of a member that is there twice, the last one counts.
    #[must_use]
    pub fn from_json(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().map(Self::of_value)
    }

    fn of_value(value: serde_json::Value) -> Self {
        use serde_json::Value;
        match value {
            Value::Null => Self::Null,
            Value::Bool(flag) => Self::Bool(flag),
            Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(integer), _) => Self::Integer(integer.into()),
                (None, Some(integer)) => Self::Integer(integer.into()),
                (None, None) => Self::Number(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => Self::Text(text),
            Value::Array(items) => Self::List(items.into_iter().map(Self::of_value).collect()),
            Value::Object(members) => Self::Object(
                members.into_iter().map(|(name, value)| (name, Self::of_value(value))).collect(),
            ),
        }
    }
}

impl fmt::Debug for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "Null",
            Self::Bool(_) => "Bool(..)",
            Self::Integer(_) => "Integer(..)",
            Self::Number(_) => "Number(..)",
            Self::Text(_) => "Text(..)",
            Self::List(_) => "List(..)",
            Self::Object(_) => "Object(..)",
        })
    }
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Attribute {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Attribute {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

impl From<i64> for Attribute {
    fn from(integer: i64) -> Self {
        Self::Integer(integer.into())
    }
}

impl From<f64> for Attribute {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl<T: Into<Self>> From<Vec<T>> for Attribute {
    fn from(items: Vec<T>) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }
}

/// Names of attributes that are never sent, whatever is mapped.
#[derive(Clone, Debug)]
pub(super) struct Sensitive(Vec<Box<str>>);

impl Sensitive {
    pub(super) fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }

    pub(super) fn extend<'n>(&mut self, names: impl IntoIterator<Item = &'n str>) {
        self.0.extend(names.into_iter().map(Into::into));
    }

    pub(super) fn covers(&self, name: &str) -> bool {
        self.0.iter().any(|known| same(known.as_bytes(), name.as_bytes()))
    }
}

impl Default for Sensitive {
    fn default() -> Self {
        Self::new(["password", "password_hash", "internal_id", "ssn"])
    }
}

/// An attribute as JSON, without the members that `hidden` covers.
pub(super) struct Shown<'a> {
    pub(super) attribute: &'a Attribute,
    pub(super) hidden: &'a Sensitive,
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let hidden = self.hidden;
        match self.attribute {
            Attribute::Null => serializer.serialize_unit(),
            Attribute::Bool(flag) => serializer.serialize_bool(*flag),
            Attribute::Integer(integer) => serializer.serialize_i128(*integer),
            Attribute::Number(number) => serializer.serialize_f64(*number),
            Attribute::Text(text) => serializer.serialize_str(text),
            Attribute::List(items) => {
                serializer.collect_seq(items.iter().map(|attribute| Shown { attribute, hidden }))
            }
            Attribute::Object(members) => {
                let mut map = serializer.serialize_map(None)?;
                for (name, attribute) in members.iter().filter(|(name, _)| !hidden.covers(name)) {
                    map.serialize_entry(name, &Shown { attribute, hidden })?;
                }
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sensitive_members() {
        let hidden = Sensitive::new(["api_key"]);
        for (name, json, want) in [
            ("FA12", r#"{"Api-Key":"x","name":"y"}"#, r#"{"name":"y"}"#),
            (
                "F170 every depth",
                r#"{"a":[{"API.KEY":1,"b":[{"api_key":2}]}]}"#,
                r#"{"a":[{"b":[{}]}]}"#,
            ),
            ("F170 values stay", r#"["api_key"]"#, r#"["api_key"]"#),
            ("scalars", r#"[1,2.5,true,null,"s"]"#, r#"[1,2.5,true,null,"s"]"#),
        ] {
            let attribute = Attribute::from_json(json).unwrap();
            let before = attribute.clone();
            let shown = Shown { attribute: &attribute, hidden: &hidden };
            assert_eq!(serde_json::to_string(&shown).unwrap(), want, "{name}");
            assert_eq!(attribute, before, "{name}: the source is not changed");
        }
    }

    #[test]
    fn debug_shows_no_value() {
        let attribute = Attribute::from_json(r#"{"ssn":"123"}"#).unwrap();
        assert_eq!(format!("{attribute:?}"), "Object(..)", "F173");
        assert_eq!(Attribute::from_json("{"), None);
    }
}
