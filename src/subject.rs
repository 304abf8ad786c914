//! Whom does a token stand for?
//!
//! 1. A subject is an account, an external subject or a service, and nothing else.
//! 2. An external subject *is* its issuer and subject (OpenID Connect Core §2: the pair is unique and never reused); its
//!    e-mail is an attribute that changes neither equality, hash nor key. It is never mapped to an account.
//! 3. [`SubjectKey`] names a subject in caches, limits and events; it holds no free text of an identity provider.
//! 4. `Debug` shows the type of a subject only.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::id::{AccountId, Email, ExternalId, Issuer, ServiceId};
use crate::key::{from_hex, hash_parts, to_hex};

/// What a subject is; a kind of token yields exactly one of these.
#[expect(
    clippy::exhaustive_enums,
    reason = "closed: a new type of subject must be decided everywhere"
)]
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum SubjectType {
    /// An account of this service.
    Account,
    /// Somebody whom an identity provider vouches for and who has no account here.
    External,
    /// A machine that acts for itself.
    Service,
}

impl SubjectType {
    /// The word on the wire: `account`, `external` or `service`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::External => "external",
            Self::Service => "service",
        }
    }
}

impl fmt::Display for SubjectType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whom a token stands for.
///
/// Two external subjects are equal if issuer and subject are, whatever their e-mails. `Debug` shows the type only.
#[expect(
    clippy::exhaustive_enums,
    reason = "closed: a new type of subject must be decided everywhere"
)]
#[derive(Clone)]
pub enum Subject {
    /// An account of this service.
    Account {
        /// The account.
        id: AccountId,
    },
    /// Somebody whom an identity provider vouches for.
    External {
        /// The identity provider.
        issuer: Issuer,
        /// What the provider calls its subject for good.
        subject: ExternalId,
        /// For display; identifies nobody.
        email: Option<Email>,
    },
    /// A machine that acts for itself.
    Service {
        /// The service.
        id: ServiceId,
    },
}

impl Subject {
    /// What this subject is.
    pub fn subject_type(&self) -> SubjectType {
        match self {
            Self::Account { .. } => SubjectType::Account,
            Self::External { .. } => SubjectType::External,
            Self::Service { .. } => SubjectType::Service,
        }
    }

    /// The name of this subject in caches, limits and events.
    ///
    /// Costs a SHA-256 for an external subject; made once when a token's facts are loaded.
    pub fn key(&self) -> SubjectKey {
        SubjectKey(Arc::from(match self {
            Self::Account { id } => format!("account:{id}"),
            Self::External { issuer, subject, email: _ } => {
                let parts = [issuer.as_str().as_bytes(), subject.as_str().as_bytes()];
                format!("{EXTERNAL}{}", to_hex(&hash_parts("subject", &parts)))
            }
            Self::Service { id } => format!("service:{id}"),
        }))
    }
}

impl PartialEq for Subject {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Subject {}

impl Hash for Subject {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subject({})", self.subject_type())
    }
}

impl Subject {
    /// Everything that makes this subject itself: type, issuer if there is one, id.
    fn identity(&self) -> (SubjectType, Option<&str>, &str) {
        let (issuer, id) = match self {
            Self::Account { id } => (None, id.as_str()),
            Self::External { issuer, subject, email: _ } => {
                (Some(issuer.as_str()), subject.as_str())
            }
            Self::Service { id } => (None, id.as_str()),
        };
        (self.subject_type(), issuer, id)
    }
}

/// The name of a subject in caches, limits and events: `account:ID`, `service:ID` or `external:` and 64 hex digits.
///
/// The digits are SHA-256 over the word `subject`, the issuer and its subject, each preceded by its length.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SubjectKey(Arc<str>);

impl SubjectKey {
    /// The whole key.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The 64 hex digits of an external subject; `None` for an account or a service.
    pub fn external_hex(&self) -> Option<&str> {
        self.0.strip_prefix(EXTERNAL)
    }
}

impl SubjectKey {
    /// Takes back a key as it was written; `None` for a text that is no subject's key.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (subject_type, id) = text.split_once(':')?;
        let sound = match subject_type {
            "account" => AccountId::new(id).is_ok(),
            "service" => ServiceId::new(id).is_ok(),
            "external" => from_hex(id).is_some(),
            _ => false,
        };
        sound.then(|| Self(Arc::from(text)))
    }

    /// The key of an account.
    pub(crate) fn of_account(id: &AccountId) -> Self {
        Self(Arc::from(format!("account:{id}")))
    }

    /// Is this the key of `subject`? Hashes only if both are external.
    pub(crate) fn is_of(&self, subject: &Subject) -> bool {
        let of = |word: &str| self.0.strip_prefix(word);
        match subject {
            Subject::Account { id } => of("account:") == Some(id.as_str()),
            Subject::Service { id } => of("service:") == Some(id.as_str()),
            Subject::External { .. } => self.external_hex().is_some() && *self == subject.key(),
        }
    }
}

impl fmt::Display for SubjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const EXTERNAL: &str = "external:";

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, RandomState};

    use super::*;

    #[test]
    fn keys_are_read_back_and_nothing_else_is() {
        let hex = "145ee6484fcdcf04df64cc7681844e9ffa5c9401d7dabd0c87df31bb674cd95b";
        let external = format!("external:{hex}");
        for (name, text, want) in [
            ("P404 account", "account:acc-1", true),
            ("P404 an id with a colon", "account:a:b", true),
            ("P404 service", "service:svc-1", true),
            ("P404 external", external.as_str(), true),
            ("P404 no id", "account:", false),
            ("P404 a blank in it", "account:a b", false),
            ("P404 short hash", "external:145ee648", false),
            ("P404 another type", "app:app-1", false),
            ("P404 no type", "acc-1", false),
            ("P404 nothing", "", false),
        ] {
            let key = SubjectKey::parse(text);
            assert_eq!(key.as_ref().map(SubjectKey::as_str), want.then_some(text), "{name}");
        }
    }

    fn account(id: &str) -> Subject {
        Subject::Account { id: AccountId::new(id).unwrap() }
    }

    fn service(id: &str) -> Subject {
        Subject::Service { id: ServiceId::new(id).unwrap() }
    }

    fn external(issuer: &str, subject: &str, email: Option<&str>) -> Subject {
        Subject::External {
            issuer: Issuer::new(issuer).unwrap(),
            subject: ExternalId::new(subject).unwrap(),
            email: email.map(|text| Email::new(text).unwrap()),
        }
    }

    #[test]
    fn keys() {
        let hex = "145ee6484fcdcf04df64cc7681844e9ffa5c9401d7dabd0c87df31bb674cd95b";
        let guest = external("https://idp.example", "guest-1", Some("guest@shop.example"));
        for (name, subject, key, digits) in [
            ("P404 account", account("acc-1"), "account:acc-1".to_owned(), None),
            ("P404 service", service("svc-1"), "service:svc-1".to_owned(), None),
            (
                "P404 account named like a key",
                account("external:x"),
                "account:external:x".to_owned(),
                None,
            ),
            ("P405 external", guest, format!("external:{hex}"), Some(hex)),
        ] {
            assert_eq!(subject.key().as_str(), key, "{name}");
            assert_eq!(subject.key().to_string(), key, "{name}");
            assert_eq!(subject.key().external_hex(), digits, "{name}");
        }
    }

    #[test]
    fn identity() {
        let plain = external("https://a.example", "guest-1", None);
        let hashes = RandomState::new();
        for (name, one, other, want) in [
            (
                "P403 another e-mail",
                &plain,
                external("https://a.example", "guest-1", Some("x@y.z")),
                true,
            ),
            ("P403 another issuer", &plain, external("https://b.example", "guest-1", None), false),
            ("P403 another subject", &plain, external("https://a.example", "guest-2", None), false),
            ("P403 a border moved", &plain, external("https://a.exampleg", "uest-1", None), false),
            ("P403 an account of the same id", &plain, account("guest-1"), false),
            ("P401 a service is no account", &account("a"), service("a"), false),
            ("the same account", &account("a"), account("a"), true),
            ("case matters", &account("a"), account("A"), false),
        ] {
            assert_eq!(*one == other, want, "{name}");
            assert_eq!(one.key() == other.key(), want, "{name}");
            assert_eq!(hashes.hash_one(one) == hashes.hash_one(&other), want, "{name}");
        }
    }

    #[test]
    fn debug_shows_the_type_only() {
        for (name, subject, want) in [
            ("P506 account", account("acc-1"), "Subject(account)"),
            (
                "P506 external",
                external("https://a.example", "g", Some("x@y.z")),
                "Subject(external)",
            ),
            ("P506 service", service("svc-1"), "Subject(service)"),
        ] {
            assert_eq!(format!("{subject:?}"), want, "{name}");
            assert_eq!(format!("{subject:#?}"), want, "{name}");
        }
    }
}
