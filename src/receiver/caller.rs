//! What is known of a caller whom a gateway vouches for?

use http::{HeaderMap, HeaderName};
use std::fmt;
use std::sync::Arc;

use super::decode;
use crate::forward::{Field, HEADERS};

/// The caller that a signature or an assertion names. Found in the extensions of a request behind [`VerifyIdentity`](super::VerifyIdentity).
///
/// Holds what the gateway sent, decoded. A clone costs a reference count. `Debug` shows the type and the key's name.
#[derive(Clone, Eq, PartialEq)]
pub struct VerifiedCaller(Arc<Facts>);

/// What was read, from headers or from claims.
#[derive(Default, Eq, PartialEq)]
pub(super) struct Facts {
    pub(super) id: String,
    pub(super) of: Option<CallerType>,
    pub(super) admin: Option<bool>,
    pub(super) texts: Vec<(Field, String)>,
    pub(super) lists: Vec<(Field, Vec<String>)>,
    pub(super) mapped: Vec<(HeaderName, Vec<u8>)>,
    pub(super) attributes: Vec<(String, Told)>,
    pub(super) key: String,
}

/// An attribute as an assertion tells it.
#[derive(Eq, PartialEq)]
pub(super) enum Told {
    Text(String),
    List(Vec<String>),
}

/// Which type of subject a caller is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum CallerType {
    /// An account of the gateway's service.
    Account,
    /// Somebody whom another issuer vouches for.
    External,
    /// A service.
    Service,
}

/// How identifiers came: the gateway's `percent_encode_ids`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Identifiers {
    AsTheyAre,
    Percent,
}

impl VerifiedCaller {
    /// Reads the headers under `prefix`, which a signature of `key` covers.
    pub(super) fn read(
        headers: &HeaderMap,
        prefix: &str,
        mapped: &[HeaderName],
        identifiers: Identifiers,
        key: &str,
    ) -> Option<Self> {
        let identifier = |value: &[u8]| match identifiers {
            Identifiers::AsTheyAre => decode::identifier(value),
            Identifiers::Percent => decode::text(value),
        };
        let (mut id, mut of, mut admin) = (None, None, None);
        let (mut texts, mut lists) = (Vec::new(), Vec::new());
        for (field, suffix) in HEADERS {
            let Some(value) = headers.get(format!("{prefix}-{suffix}")) else { continue };
            let value = value.as_bytes();
            match field {
                Field::Id => id = Some(identifier(value)?),
                Field::Type => of = Some(CallerType::read(value)?),
                Field::Admin => admin = Some(flag(value)?),
                Field::Email | Field::FullName | Field::Role => {
                    texts.push((field, decode::text(value)?));
                }
                Field::Issuer | Field::Workspace | Field::App | Field::Client => {
                    texts.push((field, identifier(value)?));
                }
                Field::AuthMethod | Field::ServiceAccount => {
                    texts.push((field, identifier(value)?))
                }
                Field::Scopes | Field::Groups | Field::Teams | Field::Roles => {
                    lists.push((field, decode::list(value)?));
                }
                Field::DelegationChain => lists.push((field, decode::list(value)?)),
            }
        }
        let known = mapped.iter().filter_map(|name| headers.get(name).map(|value| (name, value)));
        let mapped = known.map(|(name, value)| (name.clone(), value.as_bytes().to_vec())).collect();
        Some(Self(Arc::new(Facts {
            id: id?,
            of,
            admin,
            texts,
            lists,
            mapped,
            attributes: Vec::new(),
            key: key.to_owned(),
        })))
    }

    pub(super) fn of(facts: Facts) -> Self {
        Self(Arc::new(facts))
    }

    /// The id: account, service, or for external subjects 64 hex digits over issuer and subject.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The type of subject; `None` if the gateway does not send it.
    #[must_use]
    pub fn subject_type(&self) -> Option<CallerType> {
        self.0.of
    }

    /// Who vouches for an external subject.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.text(Field::Issuer)
    }

    /// The workspace that the request is about, or that the token is bound to.
    #[must_use]
    pub fn workspace(&self) -> Option<&str> {
        self.text(Field::Workspace)
    }

    /// Whether the caller is an administrator; unknown is not no.
    #[must_use]
    pub fn is_admin(&self) -> Option<bool> {
        self.0.admin
    }

    /// A field that is one text.
    #[must_use]
    pub fn text(&self, field: Field) -> Option<&str> {
        self.0.texts.iter().find(|(known, _)| *known == field).map(|(_, text)| &**text)
    }

    /// A field that is a list; an empty one looks like an unknown one, since neither is sent.
    #[must_use]
    pub fn list(&self, field: Field) -> Option<&[String]> {
        self.0.lists.iter().find(|(known, _)| *known == field).map(|(_, list)| &**list)
    }

    /// A mapped attribute as one text: by its header, or by its own name if an assertion told it.
    ///
    /// A number or a flag reads as a header would say it, an object is JSON.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<String> {
        match self.told(name) {
            Some(Told::Text(text)) => Some(text.clone()),
            Some(Told::List(_)) => None,
            None => decode::text(self.mapped(name)?),
        }
    }

    /// A mapped attribute as a list: by its header, or by its own name if an assertion told it.
    #[must_use]
    pub fn attribute_list(&self, name: &str) -> Option<Vec<String>> {
        match self.told(name) {
            Some(Told::List(list)) => Some(list.clone()),
            Some(Told::Text(_)) => None,
            None => decode::list(self.mapped(name)?),
        }
    }

    /// The name of the key that signed.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.0.key
    }

    fn told(&self, name: &str) -> Option<&Told> {
        self.0.attributes.iter().find(|(known, _)| known == name).map(|(_, told)| told)
    }

    fn mapped(&self, header: &str) -> Option<&[u8]> {
        let known =
            self.0.mapped.iter().find(|(name, _)| header.eq_ignore_ascii_case(name.as_str()));
        known.map(|(_, value)| &**value)
    }
}

impl fmt::Debug for VerifiedCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedCaller")
            .field("subject_type", &self.0.of)
            .field("key_id", &self.0.key)
            .finish_non_exhaustive()
    }
}

impl CallerType {
    /// The word on the wire.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::External => "external",
            Self::Service => "service",
        }
    }

    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let all = [Self::Account, Self::External, Self::Service];
        all.into_iter().find(|one| one.word().as_bytes() == value)
    }
}

fn flag(value: &[u8]) -> Option<bool> {
    match value {
        b"true" => Some(true),
        b"false" => Some(false),
        _ => None,
    }
}
