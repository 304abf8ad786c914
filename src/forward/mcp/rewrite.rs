//! What of one JSON-RPC message must change, so that the upstream reads our word about the caller and nobody else's?
//!
//! 1. Only message, `params`, `result` and `_meta` are taken apart, into names and raw values. Every other byte is copied:
//!    numbers, escapes, blanks, order, and what stands between the elements of a batch.
//! 2. Our key goes from `params._meta` and `result._meta` of every message; into a request or notification ours goes, last.
//! 3. Names are compared as they are meant, after JSON unescaping (RFC 8259 §8.3), and written plain. A name twice on one
//!    level is refused: two readers would not agree on which one counts.
//! 4. Nothing to change: no new bytes. No nesting is deep enough to overflow the stack: raw values are scanned in a loop.

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Why a body is not forwarded.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum BodyFault {
    /// No JSON text in UTF-8 (RFC 8259 §8.1), or none that is whole.
    #[error("body is no json text")]
    Invalid,
    /// Identity has no place in it: `params` or `_meta` is there and no object.
    #[error("params or _meta is no object")]
    NotAnObject,
    /// A name twice on one level.
    #[error("a member is there twice")]
    Duplicate,
    /// More elements than a batch may have.
    #[error("batch has more elements than are read")]
    TooMany,
}

/// What is done to every message of a body.
#[derive(Clone, Copy)]
pub(crate) struct Edit<'k> {
    /// Removed wherever a client may put it.
    pub(crate) key: &'k str,
    /// The value under that key of requests and notifications, as JSON text; `None` only removes.
    pub(crate) put: Option<&'k str>,
}

impl Edit<'_> {
    /// The body after the edit; `None` if it stays as it is.
    pub(crate) fn apply(self, body: &[u8]) -> Result<Option<Bytes>, BodyFault> {
        let body = str::from_utf8(body).map_err(|_not_utf8| BodyFault::Invalid)?;
        let text = body.trim_matches(BLANKS);
        let changed = match text.as_bytes().first() {
            Some(b'{') => vec![(text, self.message(text)?)],
            Some(b'[') => self.batch(text)?,
            _ => {
                read::<&RawValue>(text)?;
                return Ok(None);
            }
        };
        if changed.iter().all(|(_, after)| after.is_none()) {
            return Ok(None);
        }
        let mut out = String::with_capacity(body.len() + self.room());
        let mut rest = body;
        for (before, after) in changed {
            let Some(after) = after else { continue };
            let (gap, behind) = split_around(rest, before).ok_or(BodyFault::Invalid)?;
            out.push_str(gap);
            out.push_str(&after);
            rest = behind;
        }
        out.push_str(rest);
        Ok(Some(out.into()))
    }

    fn batch(self, text: &str) -> Result<Vec<(&str, Option<String>)>, BodyFault> {
        let Elements(elements) = read(text)?;
        if elements.len() > MOST_ELEMENTS {
            return Err(BodyFault::TooMany);
        }
        let each = elements.into_iter().filter(|element| element.starts_with('{'));
        each.map(|element| Ok((element, self.message(element)?))).collect()
    }

    /// One message, rewritten if it must change.
    fn message(self, text: &str) -> Result<Option<String>, BodyFault> {
        let message = Object::read(text)?;
        let names_a_method = message.get(METHOD).is_some_and(|method| method.starts_with('"'));
        let put = self.put.filter(|_| names_a_method);
        let params = Holder::read(message.get(PARAMS), Self { put, ..self })?;
        let result = Holder::read(message.get(RESULT), Self { put: None, ..self })?;
        if !params.changes && !result.changes {
            return Ok(None);
        }
        let mut out = String::with_capacity(text.len() + self.room());
        let mut members = Members::open(&mut out);
        for &(ref name, raw) in &message.0 {
            match &**name {
                PARAMS => members.put(name, |out| params.write(Some(raw), out)),
                RESULT => members.put(name, |out| result.write(Some(raw), out)),
                _ => members.put(name, |out| out.push_str(raw)),
            }
        }
        if params.changes && message.get(PARAMS).is_none() {
            members.put(PARAMS, |out| params.write(None, out));
        }
        members.close();
        Ok(Some(out))
    }

    /// By how much a message may grow.
    fn room(self) -> usize {
        self.put.map_or(0, |put| put.len() + self.key.len() + 32)
    }
}

/// `params` or `result`, as far as it is taken apart.
struct Holder<'t, 'k> {
    members: Option<Object<'t>>,
    meta: Option<Object<'t>>,
    edit: Edit<'k>,
    changes: bool,
}

impl<'t, 'k> Holder<'t, 'k> {
    fn read(raw: Option<&'t str>, edit: Edit<'k>) -> Result<Self, BodyFault> {
        let members = object(raw, edit)?;
        let raw = members.as_ref().and_then(|members| members.get(META));
        let meta = object(raw, edit)?;
        let holds = meta.as_ref().is_some_and(|meta| meta.get(edit.key).is_some());
        Ok(Self { members, meta, edit, changes: edit.put.is_some() || holds })
    }

    /// `raw` is what stands there now.
    fn write(&self, raw: Option<&str>, out: &mut String) {
        match (&self.members, raw) {
            (Some(members), _) => {
                let mut level = Members::open(out);
                for (name, raw) in &members.0 {
                    level.put(name, |out| match &**name {
                        META => self.write_meta(Some(raw), out),
                        _ => out.push_str(raw),
                    });
                }
                if self.edit.put.is_some() && members.get(META).is_none() {
                    level.put(META, |out| self.write_meta(None, out));
                }
                level.close();
            }
            (None, _) if self.edit.put.is_some() => {
                let mut level = Members::open(out);
                level.put(META, |out| self.write_meta(None, out));
                level.close();
            }
            (None, raw) => out.push_str(raw.unwrap_or(NULL)),
        }
    }

    fn write_meta(&self, raw: Option<&str>, out: &mut String) {
        if let (None, None, Some(raw)) = (&self.meta, self.edit.put, raw) {
            return out.push_str(raw); // no object: nothing of ours can be in it
        }
        let mut level = Members::open(out);
        for (name, raw) in self.meta.iter().flat_map(|meta| &meta.0) {
            if name != self.edit.key {
                level.put(name, |out| out.push_str(raw));
            }
        }
        if let Some(value) = self.edit.put {
            level.put(self.edit.key, |out| out.push_str(value));
        }
        level.close();
    }
}

/// Takes a value apart if it is an object. What is absent or null is made where identity goes in; anything else is in its way.
fn object<'t>(raw: Option<&'t str>, edit: Edit<'_>) -> Result<Option<Object<'t>>, BodyFault> {
    match raw {
        Some(raw) if raw.starts_with('{') => Object::read(raw).map(Some),
        Some(raw) if raw != NULL && edit.put.is_some() => Err(BodyFault::NotAnObject),
        Some(_) | None => Ok(None),
    }
}

/// Names and raw values of one level, in order.
struct Object<'t>(Vec<(Cow<'t, str>, &'t str)>);

impl<'t> Object<'t> {
    fn read(text: &'t str) -> Result<Self, BodyFault> {
        let object: Self = read(text)?;
        let mut names: Vec<&str> = object.0.iter().map(|(name, _)| &**name).collect();
        names.sort_unstable();
        let twins = names.windows(2).any(|pair| matches!(pair, [one, other] if one == other));
        if twins { Err(BodyFault::Duplicate) } else { Ok(object) }
    }

    fn get(&self, name: &str) -> Option<&'t str> {
        self.0.iter().find(|(known, _)| known == name).map(|&(_, raw)| raw)
    }
}

impl<'de: 't, 't> Deserialize<'de> for Object<'t> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ReadObject)
    }
}

struct ReadObject;

impl<'de> Visitor<'de> for ReadObject {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(Name(name)) = map.next_key()? {
            members.push((name, map.next_value::<&RawValue>()?.get()));
        }
        Ok(Object(members))
    }
}

/// A name, unescaped; copied only if it had an escape.
struct Name<'t>(Cow<'t, str>);

impl<'de: 't, 't> Deserialize<'de> for Name<'t> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(ReadName)
    }
}

struct ReadName;

impl<'de> Visitor<'de> for ReadName {
    type Value = Name<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
        Ok(Name(Cow::Borrowed(name)))
    }

    fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
        Ok(Name(Cow::Owned(name.to_owned())))
    }
}

/// The raw elements of a batch, and one more than is allowed if there are more.
struct Elements<'t>(Vec<&'t str>);

impl<'de: 't, 't> Deserialize<'de> for Elements<'t> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ReadElements)
    }
}

struct ReadElements;

impl<'de> Visitor<'de> for ReadElements {
    type Value = Elements<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Elements<'de>, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element::<&RawValue>()? {
            if elements.len() <= MOST_ELEMENTS {
                elements.push(element.get());
            }
        }
        Ok(Elements(elements))
    }
}

fn read<'t, T: Deserialize<'t>>(text: &'t str) -> Result<T, BodyFault> {
    serde_json::from_str(text).map_err(|_shape| BodyFault::Invalid)
}

/// One level as it is written: no blanks between members.
struct Members<'o> {
    out: &'o mut String,
    next: char,
}

impl<'o> Members<'o> {
    fn open(out: &'o mut String) -> Self {
        Self { out, next: '{' }
    }

    fn put(&mut self, name: &str, write: impl FnOnce(&mut String)) {
        self.out.push(self.next);
        self.next = ',';
        push_quoted(self.out, name);
        self.out.push(':');
        write(self.out);
    }

    fn close(self) {
        self.out.push_str(if self.next == '{' { "{}" } else { "}" });
    }
}

/// A name as JSON, escaped where it must be (RFC 8259 §7) and nowhere else.
fn push_quoted(out: &mut String, name: &str) {
    out.push('"');
    let mut plain = 0;
    for (at, byte) in name.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(name.get(plain..at).unwrap_or_default());
        plain = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            _ => {
                let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
                out.push_str("\\u00");
                out.push(digit(byte >> 4));
                out.push(digit(byte & 0x0F));
            }
        }
    }
    out.push_str(name.get(plain..).unwrap_or_default());
    out.push('"');
}

/// What stands before and behind `part`, which is a piece of `whole` in place.
fn split_around<'t>(whole: &'t str, part: &str) -> Option<(&'t str, &'t str)> {
    let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
    Some((whole.get(..start)?, whole.get(start + part.len()..)?))
}

/// RFC 8259 §2.
const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

const MOST_ELEMENTS: usize = 1_000;

const METHOD: &str = "method";
const PARAMS: &str = "params";
const RESULT: &str = "result";
const META: &str = "_meta";
const NULL: &str = "null";

#[cfg(test)]
mod tests;
