//! What exactly goes onto the wire as plain identity headers?
//!
//! 1. Encode, then measure, then insert: a refusal has changed nothing.
//! 2. One value and all of them together have caps. Over one: refuse, or leave out whole lists, longest first, and name them.
//!    Nothing is ever cut, and nothing but lists is ever left out.
//! 3. Headers are inserted by replacing, in the order of [`Field`], each exactly once.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::ser::{Error as _, SerializeMap, Serializer};
use std::borrow::Cow;

use super::attribute::{Sensitive, Shown};
use super::compat::signature;
use super::encode::{Fault, Form, Padding, Spelling, attribute, base64, words};
use super::error::ForwardError;
use super::hmac::HmacKey;
use super::identity::{FIELDS, Field, Fields, Identity, Piece};

/// What happens to a caller whose identity is over a cap.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Overflow {
    /// The request is refused.
    #[default]
    Refuse,
    /// Scopes, groups, teams and roles are left out whole, longest first, until the rest fits; `<prefix>-Overflow` names them.
    OmitLists,
}

/// All that is needed to write one identity.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    pub(super) fields: Fields,
    pub(super) names: [HeaderName; FIELDS.len()],
    pub(super) overflow_name: HeaderName,
    pub(super) mapped: Vec<Mapped>,
    pub(super) payload: Option<(HeaderName, Padding)>,
    pub(super) spelling: Spelling,
    /// Signs id and e-mail address, as contextforge does.
    pub(super) claims: Option<(HeaderName, HmacKey)>,
    pub(super) hidden: Sensitive,
    pub(super) max_value: usize,
    pub(super) max_total: usize,
    pub(super) overflow: Overflow,
}

/// An attribute and the header that it is sent in.
#[derive(Clone, Debug)]
pub(super) struct Mapped {
    pub(super) source: Box<str>,
    pub(super) name: HeaderName,
    pub(super) form: Form,
}

impl Writer {
    /// Measures everything, and decides what is left out.
    pub(super) fn plan(&self, identity: &Identity<'_>) -> Result<Plan, ForwardError> {
        let mut plan = Plan::of(self, identity)?;
        while let Err(error) = plan.settle(self, identity) {
            let longest = plan.longest_list().filter(|_| self.overflow == Overflow::OmitLists);
            plan.omit(longest.ok_or(error)?);
        }
        Ok(plan)
    }

    /// Puts the identity into `headers`, from which every managed name has been removed.
    pub(super) fn write(
        &self,
        plan: Plan,
        identity: &Identity<'_>,
        headers: &mut HeaderMap,
        mut inserted: impl FnMut(&HeaderName),
    ) -> Result<(), ForwardError> {
        for ((field, len), name) in plan.lens.into_iter().zip(&self.names) {
            if let (Some(len), Some(piece)) = (len, identity.piece_as(field, self.spelling)) {
                let value = piece
                    .value(len, self.spelling)
                    .map_err(|fault| refused(fault, label(field)))?;
                inserted(name);
                headers.insert(name.clone(), value);
            }
        }
        for (name, value) in plan.mapped.into_iter().chain(plan.last) {
            inserted(&name);
            headers.insert(name, value);
        }
        Ok(())
    }

    /// An identity that was measured as one JSON object, without the fields that were left out.
    pub(super) fn json(
        &self,
        identity: &Identity<'_>,
        omitted: &[Field],
    ) -> Result<Vec<u8>, serde_json::Error> {
        self.sent().json(identity, omitted)
    }

    /// Members of a JSON object: the fields that are sent, in their order, and the attributes.
    #[cfg(feature = "signed")]
    pub(super) fn members<M: SerializeMap>(
        &self,
        identity: &Identity<'_>,
        omitted: &[Field],
        names: Names<'_>,
        object: &mut M,
    ) -> Result<(), M::Error> {
        self.sent().members(identity, omitted, names, object)
    }

    fn sent(&self) -> Sent<'_> {
        let sources = self.mapped.iter().map(|mapped| &*mapped.source);
        Sent::new(self.fields, sources, &self.hidden, self.spelling)
    }

    /// The signature over what is sent of id and e-mail address.
    fn claims(&self, identity: &Identity<'_>) -> Result<Option<Line>, ForwardError> {
        let Some((name, key)) = &self.claims else { return Ok(None) };
        let email = identity.text(Field::Email).filter(|_| self.fields.holds(Field::Email));
        let value =
            HeaderValue::from_maybe_shared(Bytes::from(signature(key, identity.id(), email)));
        let mut value = value.map_err(|_shape| refused(Fault::Unencodable, CLAIMS))?;
        value.set_sensitive(true);
        fits(value.len(), self, || CLAIMS.into())?;
        Ok(Some((name.clone(), value)))
    }
}

/// What of an identity is sent as JSON.
pub(super) struct Sent<'w> {
    fields: Fields,
    sources: Vec<&'w str>,
    hidden: &'w Sensitive,
    spelling: Spelling,
}

impl<'w> Sent<'w> {
    /// These fields and attributes, without what is `hidden` in them.
    pub(super) fn new(
        fields: Fields,
        sources: impl Iterator<Item = &'w str>,
        hidden: &'w Sensitive,
        spelling: Spelling,
    ) -> Self {
        let mut open: Vec<&str> = Vec::new();
        for source in sources {
            // one attribute may go into two headers
            if !open.contains(&source) && !hidden.covers(source) {
                open.push(source);
            }
        }
        Self { fields, sources: open, hidden, spelling }
    }

    pub(super) fn json(
        &self,
        identity: &Identity<'_>,
        omitted: &[Field],
    ) -> Result<Vec<u8>, serde_json::Error> {
        let mut out = Vec::new();
        let mut object = serde_json::Serializer::new(&mut out);
        let mut object = object.serialize_map(None)?;
        let members = FIELDS.map(|(field, .., member)| (field, member));
        self.members(identity, omitted, Names::Members(&members), &mut object)?;
        SerializeMap::end(object)?;
        Ok(out)
    }

    fn members<M: SerializeMap>(
        &self,
        identity: &Identity<'_>,
        omitted: &[Field],
        names: Names<'_>,
        object: &mut M,
    ) -> Result<(), M::Error> {
        let (Names::Members(table) | Names::Claims(table)) = names;
        let as_claims = matches!(names, Names::Claims(_));
        for (field, member) in table {
            let sent = self.fields.holds(*field) && !omitted.contains(field);
            match identity.piece_as(*field, self.spelling).filter(|_| sent) {
                None | Some(Piece::Text("")) => {}
                Some(Piece::Identifier(_)) if as_claims && *field == Field::Id => {} // it is the subject
                Some(Piece::Word(text)) => object.serialize_entry(member, text)?,
                Some(Piece::Identifier(text) | Piece::Text(text)) => {
                    object.serialize_entry(member, text)?
                }
                Some(Piece::Flag(flag)) => object.serialize_entry(member, &flag)?,
                Some(Piece::List(items)) if as_claims && *field == Field::Scopes => {
                    if items.iter().any(|item| item.contains(' ')) {
                        return Err(M::Error::custom("a scope holds a blank"));
                    }
                    if !items.is_empty() {
                        object.serialize_entry(member, &items.join(" "))?;
                    }
                }
                Some(Piece::Chain([])) if as_claims => {}
                Some(Piece::Chain([actor, others @ ..])) if as_claims => {
                    object.serialize_entry(member, &Actor { actor, others })?;
                }
                Some(Piece::List(items) | Piece::Chain(items)) => {
                    object.serialize_entry(member, items)?
                }
            }
        }
        let known = self.sources.iter().filter_map(|&source| {
            Some((source, Shown { attribute: identity.attribute(source)?, hidden: self.hidden }))
        });
        let attributes: Vec<_> = known.collect();
        if !attributes.is_empty() {
            object.serialize_entry("attributes", &Members(&attributes))?;
        }
        Ok(())
    }
}

/// What is about to be written: lengths of the fields, values of the rest.
pub(super) struct Plan {
    lens: [(Field, Option<usize>); FIELDS.len()],
    omitted: Vec<Field>,
    left_out: Option<Field>,
    mapped: Vec<Line>,
    last: Vec<Line>,
}

type Line = (HeaderName, HeaderValue);

impl Plan {
    fn of(writer: &Writer, identity: &Identity<'_>) -> Result<Self, ForwardError> {
        let mut lens = FIELDS.map(|(field, ..)| (field, None));
        let mut left_out = None;
        for (field, len) in &mut lens {
            if !writer.fields.holds(*field) {
                continue;
            }
            let Some(piece) = identity.piece_as(*field, writer.spelling) else { continue };
            *len = match (piece.measure(writer.spelling), *field, writer.spelling) {
                (Err(Fault::Unencodable), Field::FullName, Spelling::Raw) => {
                    left_out = Some(*field);
                    None
                }
                (measured, ..) => measured.map_err(|fault| refused(fault, label(*field)))?,
            };
        }
        let mut mapped = Vec::new();
        for Mapped { source, name, form } in &writer.mapped {
            let known = identity.attribute(source).filter(|_| !writer.hidden.covers(source));
            let value = known.map(|known| attribute(known, *form, &writer.hidden)).transpose();
            if let Some(value) =
                value.map_err(|fault| refused(fault, source.to_string()))?.flatten()
            {
                fits(value.len(), writer, || source.to_string().into())?;
                mapped.push((name.clone(), value));
            }
        }
        mapped.extend(writer.claims(identity)?);
        Ok(Self { lens, omitted: Vec::new(), left_out, mapped, last: Vec::new() })
    }

    /// Makes what depends on the omissions, and looks whether all of it fits.
    fn settle(&mut self, writer: &Writer, identity: &Identity<'_>) -> Result<(), ForwardError> {
        let mut total = 0;
        for ((field, len), name) in self.lens.iter().zip(&writer.names) {
            if let Some(len) = *len {
                fits(len, writer, || label(*field).into())?;
                total += cost(name, len);
            }
        }
        self.last.clear();
        if let Some((name, padding)) = &writer.payload {
            let json =
                writer.json(identity, &self.omitted).map_err(|_not_written| Fault::Unencodable);
            let value = json.and_then(|json| base64(&json, *padding));
            let mut value = value.map_err(|fault| refused(fault, PAYLOAD))?;
            value.set_sensitive(true);
            fits(value.len(), writer, || PAYLOAD.into())?;
            self.last.push((name.clone(), value));
        }
        if !self.omitted.is_empty() {
            let mut omitted = self.omitted.clone();
            omitted.sort_unstable();
            let value =
                words(omitted.into_iter().map(label)).map_err(|fault| refused(fault, OVERFLOW))?;
            self.last.push((writer.overflow_name.clone(), value));
        }
        total += self
            .mapped
            .iter()
            .chain(&self.last)
            .map(|(name, value)| cost(name, value.len()))
            .sum::<usize>();
        if total > writer.max_total { Err(refused(Fault::TooLarge, ALL)) } else { Ok(()) }
    }

    /// The longest list that is still in; of equals the first.
    fn longest_list(&self) -> Option<Field> {
        let lists = [Field::Roles, Field::Teams, Field::Groups, Field::Scopes]; // `max_by_key` takes the last of equals
        let lens = lists.into_iter().filter_map(|list| {
            let (field, len) = self.lens.iter().find(|(field, _)| *field == list)?;
            Some((*field, (*len)?))
        });
        lens.max_by_key(|&(_, len)| len).map(|(field, _)| field)
    }

    /// The field that has no raw value, and does without.
    pub(super) fn left_out(&self) -> Option<Field> {
        self.left_out
    }

    /// The lists that are left out.
    #[cfg(feature = "signed")]
    pub(super) fn omitted(&self) -> &[Field] {
        &self.omitted
    }

    fn omit(&mut self, list: Field) {
        self.omitted.push(list);
        for (field, len) in &mut self.lens {
            if *field == list {
                *len = None;
            }
        }
    }
}

/// How members are called, and with it how lists are shown: as arrays, or as JWT claims show them.
#[derive(Clone, Copy)]
pub(super) enum Names<'a> {
    Members(&'a [(Field, &'static str)]),
    #[cfg_attr(not(feature = "signed"), expect(dead_code, reason = "assertions are signed"))]
    Claims(&'a [(Field, &'static str)]),
}

/// Who acts for whom, current actor outermost (RFC 8693 §4.1).
struct Actor<'a> {
    actor: &'a str,
    others: &'a [Cow<'a, str>],
}

impl serde::Serialize for Actor<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut claim = serializer.serialize_map(None)?;
        claim.serialize_entry("sub", self.actor)?;
        if let [actor, others @ ..] = self.others {
            claim.serialize_entry("act", &Actor { actor, others })?;
        }
        claim.end()
    }
}

/// Named values as a JSON object, in order.
struct Members<'a>(&'a [(&'a str, Shown<'a>)]);

impl serde::Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, shown)| (name, shown)))
    }
}

const PAYLOAD: &str = "payload";
const CLAIMS: &str = "claims";
const OVERFLOW: &str = "overflow";
const ALL: &str = "identity";

fn fits(
    len: usize,
    writer: &Writer,
    field: impl FnOnce() -> Cow<'static, str>,
) -> Result<(), ForwardError> {
    if len > writer.max_value { Err(refused(Fault::TooLarge, field())) } else { Ok(()) }
}

fn cost(name: &HeaderName, len: usize) -> usize {
    name.as_str().len() + len + 4 // `: ` and the end of the line
}

pub(super) fn label(field: Field) -> &'static str {
    FIELDS.iter().find(|(known, ..)| *known == field).map_or("", |(_, word, ..)| word)
}

pub(super) fn refused(fault: Fault, field: impl Into<Cow<'static, str>>) -> ForwardError {
    let field = field.into();
    match fault {
        Fault::Unencodable => ForwardError::Unencodable { field },
        Fault::TooLarge => ForwardError::TooLarge { field },
    }
}
