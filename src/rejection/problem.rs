//! How the body of a refusal is written: `application/problem+json` (RFC 9457), members in a fixed order.

use bytes::Bytes;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::sync::Arc;

use crate::rejection::LimitRefusal;
use crate::rejection::kind::RejectionKind;
use crate::scope::{RequiredScopes, Scope};
use crate::store::PolicyName;

/// IANA's registered problem type for a spent quota.
const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

/// One body: `type title status error detail`, then the kind's own members.
pub(crate) struct Problem<'a> {
    pub(crate) kind: RejectionKind,
    pub(crate) base: Option<&'a str>,
    pub(crate) extras: Extras<'a>,
}

/// The members that only some kinds have.
pub(crate) enum Extras<'a> {
    None,
    Scopes(&'a RequiredScopes),
    Kinds(&'a [Arc<str>]),
    Limit(&'a LimitRefusal),
}

impl Problem<'_> {
    pub(crate) fn to_bytes(&self) -> Bytes {
        Bytes::from(serde_json::to_vec(self).expect("strings and integers always serialize"))
    }
}

impl Serialize for Problem<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let wire = self.kind.wire();
        let mut map = serializer.serialize_map(None)?;
        match self.base {
            Some(base) => map.serialize_entry("type", &format_args!("{base}{}", wire.error))?,
            None if self.kind == RejectionKind::RateLimited => {
                map.serialize_entry("type", QUOTA_EXCEEDED)?
            }
            None => map.serialize_entry("type", "about:blank")?,
        }
        map.serialize_entry("title", wire.status.canonical_reason().unwrap_or_default())?;
        map.serialize_entry("status", &wire.status.as_u16())?;
        map.serialize_entry("error", wire.error)?;
        map.serialize_entry("detail", wire.detail)?;
        match &self.extras {
            Extras::None => {}
            Extras::Scopes(required) => {
                map.serialize_entry(
                    "required_scopes",
                    &Strings(required.scopes().iter().map(Scope::as_str)),
                )?;
                map.serialize_entry("match", required.match_word())?;
            }
            Extras::Kinds(kinds) => {
                map.serialize_entry("accepted_kinds", &Strings(kinds.iter().map(AsRef::as_ref)))?;
            }
            Extras::Limit(refusal) => {
                if let Some(wait) = &refusal.retry_after_ms {
                    map.serialize_entry("retry_after_ms", wait)?;
                }
                let violated = refusal.violated.iter().map(PolicyName::as_str);
                map.serialize_entry("violated-policies", &Strings(violated))?;
            }
        }
        map.end()
    }
}

/// A JSON array of the strings that an iterator gives.
struct Strings<I>(I);

impl<'a, I: Iterator<Item = &'a str> + Clone> Serialize for Strings<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.clone())
    }
}
