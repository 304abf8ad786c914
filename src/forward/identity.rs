//! Which facts about the caller may be sent, and what are they?
//!
//! 1. An [`Identity`] is built per request and borrows what it can; only its id and type always exist.
//! 2. An unknown list and an empty one stay different. Neither makes a header, but JSON tells them apart.
//! 3. [`Field`] is the closed list of what can be sent, in the order in which it is sent.

use std::borrow::Cow;
use std::fmt;

use super::attribute::Attribute;
use super::encode::Spelling;
use crate::key::{hash_parts, to_hex};

/// A fact about the caller that can be sent. The order of the variants is the order on the wire.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Field {
    /// Account or service id; for external subjects 64 hex digits of SHA-256 over issuer and subject. Always sent.
    Id,
    /// `account`, `external` or `service`.
    Type,
    /// Who vouches for an external subject.
    Issuer,
    /// E-mail address, personal.
    Email,
    /// Full name, personal.
    FullName,
    /// The app's workspace, or the one that the token is bound to.
    Workspace,
    /// Role in that workspace.
    Role,
    /// App.
    App,
    /// The client that the token was issued to.
    Client,
    /// Effective scopes.
    Scopes,
    /// Groups.
    Groups,
    /// Teams.
    Teams,
    /// Roles outside the workspace.
    Roles,
    /// Whether the caller is an administrator.
    Admin,
    /// Name of the token's kind.
    AuthMethod,
    /// Whose rights are used when they are not the caller's.
    ServiceAccount,
    /// Who acts for whom, current actor first; at most 8.
    DelegationChain,
}

/// Config word, header suffix and JSON member of each field.
pub(super) const FIELDS: [(Field, &str, &str, &str); 17] = [
    (Field::Id, "id", "id", "id"),
    (Field::Type, "type", "type", "type"),
    (Field::Issuer, "issuer", "issuer", "issuer"),
    (Field::Email, "email", "email", "email"),
    (Field::FullName, "full_name", "full-name", "full_name"),
    (Field::Workspace, "workspace", "workspace", "workspace"),
    (Field::Role, "role", "role", "role"),
    (Field::App, "app", "app", "app"),
    (Field::Client, "client", "client", "client_id"),
    (Field::Scopes, "scopes", "scopes", "scopes"),
    (Field::Groups, "groups", "groups", "groups"),
    (Field::Teams, "teams", "teams", "teams"),
    (Field::Roles, "roles", "roles", "roles"),
    (Field::Admin, "admin", "admin", "is_admin"),
    (Field::AuthMethod, "auth_method", "auth-method", "auth_method"),
    (Field::ServiceAccount, "service_account", "service-account", "service_account"),
    (Field::DelegationChain, "delegation_chain", "delegation-chain", "delegation_chain"),
];

/// Each field and the suffix of its header, for whoever reads them.
#[cfg(feature = "signed")]
pub(crate) const HEADERS: [(Field, &str); FIELDS.len()] = {
    let mut headers = [(Field::Id, ""); FIELDS.len()];
    let mut place = 0;
    while place < FIELDS.len() {
        headers[place] = (FIELDS[place].0, FIELDS[place].2);
        place += 1;
    }
    headers
};

/// Each field and its claim in an assertion.
#[cfg(feature = "signed")]
pub(crate) const CLAIMS: [(Field, &str); FIELDS.len()] = [
    (Field::Id, "sub"),
    (Field::Type, "sub_type"),
    (Field::Issuer, "sub_iss"),
    (Field::Email, "email"),
    (Field::FullName, "name"),
    (Field::Workspace, "workspace"),
    (Field::Role, "role"),
    (Field::App, "app"),
    (Field::Client, "client_id"),
    (Field::Scopes, "scope"),
    (Field::Groups, "groups"),
    (Field::Teams, "teams"),
    (Field::Roles, "roles"),
    (Field::Admin, "is_admin"),
    (Field::AuthMethod, "auth_method"),
    (Field::ServiceAccount, "service_account"),
    (Field::DelegationChain, "act"),
];

/// A set of fields; the id is always among them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Fields(u32);

impl Fields {
    pub(super) fn new(fields: impl IntoIterator<Item = Field>) -> Self {
        let bits = fields.into_iter().fold(0, |bits, field| bits | Self::bit(field));
        Self(bits | Self::bit(Field::Id))
    }

    pub(super) fn holds(self, field: Field) -> bool {
        self.0 & Self::bit(field) != 0
    }

    pub(super) fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    fn bit(field: Field) -> u32 {
        1 << field as u32
    }
}

/// What is sent unless fields are chosen: who, of which type and issuer, where and as what. Nothing personal.
impl Default for Fields {
    fn default() -> Self {
        Self::new([Field::Type, Field::Issuer, Field::Workspace, Field::Role, Field::App])
    }
}

/// What an upstream may be told about the caller.
///
/// Starts as one of three subjects; everything else is added by whoever knows it. Values are held as they are and
/// encoded when they are sent. `Debug` prints the type and nothing else.
///
/// ```
/// use tower_bearer::forward::Identity;
/// let identity = Identity::account("acc-alice").with_workspace("ws-1").with_groups(["eng", "dev"]);
/// assert_eq!(identity.id(), "acc-alice");
/// ```
#[derive(Clone, PartialEq)]
#[must_use]
pub struct Identity<'a> {
    id: Cow<'a, str>,
    subject: Subject,
    texts: [Option<Cow<'a, str>>; TEXTS],
    lists: [Option<Vec<Cow<'a, str>>>; LISTS],
    admin: Option<bool>,
    attributes: Vec<(Cow<'a, str>, Attribute)>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Subject {
    Account,
    External,
    Service,
}

impl<'a> Identity<'a> {
    /// An account of this service.
    pub fn account(id: impl Into<Cow<'a, str>>) -> Self {
        Self::of(Subject::Account, id.into())
    }

    /// A service.
    pub fn service(id: impl Into<Cow<'a, str>>) -> Self {
        Self::of(Subject::Service, id.into())
    }

    /// A subject of an identity provider, who is sent as a digest of both: neither says anything without the other.
    pub fn external(issuer: impl Into<Cow<'a, str>>, subject: &str) -> Self {
        let issuer = issuer.into();
        let id = hash_parts("subject", &[issuer.as_bytes(), subject.as_bytes()]);
        Self::of(Subject::External, to_hex(&id).into()).with_issuer(issuer)
    }

    /// An external subject whose 64 hex digits are known already.
    pub(crate) fn external_of_digest(issuer: &'a str, digest: &'a str) -> Self {
        Self::of(Subject::External, digest.into()).with_issuer(issuer)
    }

    fn of(subject: Subject, id: Cow<'a, str>) -> Self {
        Self {
            id,
            subject,
            texts: [const { None }; TEXTS],
            lists: [const { None }; LISTS],
            admin: None,
            attributes: Vec::new(),
        }
    }

    /// Adds or replaces an attribute, which is sent only if forwarding maps its name to a header.
    pub fn with_attribute(
        mut self,
        name: impl Into<Cow<'a, str>>,
        value: impl Into<Attribute>,
    ) -> Self {
        let (name, value) = (name.into(), value.into());
        match self.attributes.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.attributes.push((name, value)),
        }
        self
    }

    /// Says whether the caller is an administrator; unknown is never sent as no.
    pub fn with_admin(mut self, admin: bool) -> Self {
        self.admin = Some(admin);
        self
    }

    /// Makes a field unknown again. Id and type cannot be.
    pub fn without(mut self, field: Field) -> Self {
        if let Some(text) = text_slot(field).and_then(|slot| self.texts.get_mut(slot)) {
            *text = None;
        }
        if let Some(list) = list_slot(field).and_then(|slot| self.lists.get_mut(slot)) {
            *list = None;
        }
        if field == Field::Admin {
            self.admin = None;
        }
        self
    }

    /// The id as it would be sent.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A field that is one text, as it was given.
    #[must_use]
    pub fn text(&self, field: Field) -> Option<&str> {
        self.texts.get(text_slot(field)?)?.as_deref()
    }

    /// A field that is a list; `None` is unknown, which an empty list is not.
    #[must_use]
    pub fn list(&self, field: Field) -> Option<&[Cow<'a, str>]> {
        self.lists.get(list_slot(field)?)?.as_deref()
    }

    /// An attribute by its own name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// What `field` holds, by how it is sent.
    pub(super) fn piece(&self, field: Field) -> Option<Piece<'_>> {
        Some(match field {
            Field::Id => Piece::Identifier(&self.id),
            Field::Type => Piece::Word(match self.subject {
                Subject::Account => "account",
                Subject::External => "external",
                Subject::Service => "service",
            }),
            Field::Email | Field::FullName | Field::Role => Piece::Text(self.text(field)?),
            Field::Issuer | Field::Workspace | Field::App => Piece::Identifier(self.text(field)?),
            Field::Client | Field::AuthMethod | Field::ServiceAccount => {
                Piece::Identifier(self.text(field)?)
            }
            Field::Scopes | Field::Groups | Field::Teams | Field::Roles => {
                Piece::List(self.list(field)?)
            }
            Field::Admin => Piece::Flag(self.admin?),
            Field::DelegationChain => Piece::Chain(self.list(field)?),
        })
    }

    /// As [`piece`](Self::piece); where all is sent raw nothing that is empty but the id, and who is not known to be an
    /// administrator is none.
    pub(super) fn piece_as(&self, field: Field, spelling: Spelling) -> Option<Piece<'_>> {
        match self.piece(field) {
            piece if spelling != Spelling::Raw => piece,
            None if field == Field::Admin => Some(Piece::Flag(false)),
            Some(Piece::Identifier("")) if field != Field::Id => None,
            Some(Piece::Text("") | Piece::List([]) | Piece::Chain([])) => None,
            piece => piece,
        }
    }

    fn set_text(mut self, field: Field, text: Cow<'a, str>) -> Self {
        self.put_text(field, text);
        self
    }

    /// As the `with_` of a field that is one text, in place.
    pub(super) fn put_text(&mut self, field: Field, text: Cow<'a, str>) {
        if let Some(slot) = text_slot(field).and_then(|slot| self.texts.get_mut(slot)) {
            *slot = Some(text);
        }
    }

    fn set_list<T: Into<Cow<'a, str>>>(
        mut self,
        field: Field,
        items: impl IntoIterator<Item = T>,
    ) -> Self {
        if let Some(slot) = list_slot(field).and_then(|slot| self.lists.get_mut(slot)) {
            *slot = Some(items.into_iter().map(Into::into).collect());
        }
        self
    }
}

macro_rules! texts {
    ($($(#[$doc:meta])* $with:ident $field:ident;)*) => {
        impl<'a> Identity<'a> {
            $($(#[$doc])*
            pub fn $with(self, text: impl Into<Cow<'a, str>>) -> Self {
                self.set_text(Field::$field, text.into())
            })*
        }
    };
}

macro_rules! lists {
    ($($(#[$doc:meta])* $with:ident $field:ident;)*) => {
        impl<'a> Identity<'a> {
            $($(#[$doc])*
            pub fn $with<T: Into<Cow<'a, str>>>(self, items: impl IntoIterator<Item = T>) -> Self {
                self.set_list(Field::$field, items)
            })*
        }
    };
}

texts! {
    /// Sets who vouches for an external subject.
    with_issuer Issuer;
    /// Sets the e-mail address.
    with_email Email;
    /// Sets the full name.
    with_full_name FullName;
    /// Sets the workspace.
    with_workspace Workspace;
    /// Sets the role in the workspace.
    with_role Role;
    /// Sets the app.
    with_app App;
    /// Sets the client that the token was issued to.
    with_client Client;
    /// Sets the name of the token's kind.
    with_auth_method AuthMethod;
    /// Sets whose rights are used.
    with_service_account ServiceAccount;
}

lists! {
    /// Sets the effective scopes.
    with_scopes Scopes;
    /// Sets the groups; an empty list says that there are none.
    with_groups Groups;
    /// Sets the teams; an empty list says that there are none.
    with_teams Teams;
    /// Sets the roles outside the workspace; an empty list says that there are none.
    with_roles Roles;
    /// Sets who acts for whom, current actor first. From verified claims only.
    with_delegation_chain DelegationChain;
}

impl fmt::Debug for Identity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("subject", &self.subject).finish_non_exhaustive()
    }
}

/// A field's content, by how it is sent.
#[derive(Clone, Copy)]
pub(super) enum Piece<'a> {
    Word(&'static str),
    Flag(bool),
    Identifier(&'a str),
    Text(&'a str),
    List(&'a [Cow<'a, str>]),
    Chain(&'a [Cow<'a, str>]),
}

const TEXTS: usize = 9;
const LISTS: usize = 5;

fn text_slot(field: Field) -> Option<usize> {
    match field {
        Field::Issuer => Some(0),
        Field::Email => Some(1),
        Field::FullName => Some(2),
        Field::Workspace => Some(3),
        Field::Role => Some(4),
        Field::App => Some(5),
        Field::Client => Some(6),
        Field::AuthMethod => Some(7),
        Field::ServiceAccount => Some(8),
        Field::Id | Field::Type | Field::Admin | Field::DelegationChain => None,
        Field::Scopes | Field::Groups | Field::Teams | Field::Roles => None,
    }
}

fn list_slot(field: Field) -> Option<usize> {
    match field {
        Field::Scopes => Some(0),
        Field::Groups => Some(1),
        Field::Teams => Some(2),
        Field::Roles => Some(3),
        Field::DelegationChain => Some(4),
        Field::Id | Field::Type | Field::Admin | Field::Issuer | Field::Email | Field::FullName => {
            None
        }
        Field::Workspace | Field::Role | Field::App | Field::Client => None,
        Field::AuthMethod | Field::ServiceAccount => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn external_ids() {
        let identity = Identity::external("https://idp.example", "guest-1");
        let want = "145ee6484fcdcf04df64cc7681844e9ffa5c9401d7dabd0c87df31bb674cd95b";
        assert_eq!(identity.id(), want, "P405 F50");
        assert_eq!(identity.text(Field::Issuer), Some("https://idp.example"));
        assert_ne!(Identity::external("a", "bc").id(), Identity::external("ab", "c").id());
        assert_eq!(identity, Identity::external_of_digest("https://idp.example", want));
    }

    #[test]
    fn rows() {
        for (place, (field, ..)) in FIELDS.iter().enumerate() {
            assert_eq!(*field as usize, place, "row order is the order of the variants");
            #[cfg(feature = "signed")]
            assert_eq!(CLAIMS[place].0, *field, "and of the claims");
        }
    }

    #[test]
    fn unknown_is_not_empty() {
        let identity = Identity::account("a").with_teams(Vec::<&str>::new()).with_email("e@x");
        assert_eq!(identity.list(Field::Teams), Some(&[][..]), "F64");
        assert_eq!(identity.list(Field::Groups), None, "F64");
        let less = identity.clone().without(Field::Teams).without(Field::Email).without(Field::Id);
        assert_eq!(less, Identity::account("a"));
        assert_eq!(format!("{identity:?}"), "Identity { subject: Account, .. }", "F173");
    }
}
