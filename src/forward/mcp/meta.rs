//! What is done to the messages of one service, and what is put into those of one caller?

use http::request::Parts;
use std::fmt;
use std::sync::Arc;

use super::key::checked;
use crate::context::AuthContext;
use crate::evidence::Evidence;
use crate::forward::attribute::Sensitive;
use crate::forward::compat::ContextForge;
use crate::forward::encode::{Fault, Spelling, is_finite};
use crate::forward::error::ConfigError;
use crate::forward::identity::{FIELDS, Field, Fields, Identity};
use crate::forward::known::{EditIdentity, known_of};
use crate::forward::write::{Sent, label, refused};
use crate::rejection::{Reason, Rejection, RejectionKind};

/// The settings of `McpMetaForward`. `Debug` shows the key.
#[derive(Clone)]
pub(crate) struct Meta {
    pub(super) key: Arc<str>,
    pub(super) others: Others,
    task: Task,
    required: bool,
    fields: Fields,
    attributes: Vec<Box<str>>,
    hidden: Sensitive,
    spelling: Spelling,
    allowed: Option<Vec<Box<str>>>,
    edit: Option<Arc<EditIdentity>>,
}

/// What becomes of bodies that are not JSON.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Others {
    Stream,
    Refuse,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Task {
    Put,
    Remove,
}

impl Meta {
    pub(crate) fn new(key: &str) -> Result<Self, ConfigError> {
        Self::with_task(key, Task::Put)
    }

    pub(crate) fn strip_only(key: &str) -> Result<Self, ConfigError> {
        Self::with_task(key, Task::Remove)
    }

    fn with_task(key: &str, task: Task) -> Result<Self, ConfigError> {
        Ok(Self::of_key(checked(key)?, task))
    }

    /// Under the bare key `user`, as contextforge has it; only removes where the preset does not send it.
    pub(crate) fn contextforge(preset: &ContextForge) -> Self {
        let task = if preset.puts_meta() { Task::Put } else { Task::Remove };
        Self {
            spelling: Spelling::Raw,
            fields: Fields::new(ContextForge::FIELDS),
            hidden: preset.hidden().clone(),
            allowed: preset.allowed().map(<[_]>::to_vec),
            ..Self::of_key(USER.into(), task)
        }
    }

    fn of_key(key: Arc<str>, task: Task) -> Self {
        Self {
            key,
            others: Others::Stream,
            task,
            required: true,
            fields: Fields::default(),
            attributes: Vec::new(),
            hidden: Sensitive::default(),
            spelling: Spelling::Percent,
            allowed: None,
            edit: None,
        }
    }

    pub(crate) fn fields(&mut self, fields: impl IntoIterator<Item = Field>) {
        self.fields = Fields::new(fields);
    }

    pub(crate) fn attributes<'n>(&mut self, names: impl IntoIterator<Item = &'n str>) {
        self.attributes = names.into_iter().map(Into::into).collect();
        if let Some(allowed) = &self.allowed {
            self.attributes.retain(|name| allowed.contains(name));
        }
    }

    pub(crate) fn sensitive<'n>(&mut self, names: impl IntoIterator<Item = &'n str>) {
        self.hidden = Sensitive::new(names);
    }

    pub(crate) fn identity(&mut self, edit: Arc<EditIdentity>) {
        self.edit = Some(edit);
    }

    pub(crate) fn optional(&mut self) {
        self.required = false;
    }

    pub(crate) fn json_only(&mut self) {
        self.others = Others::Refuse;
    }

    /// Whose identity goes in: `None` only removes.
    pub(super) fn caller<'h>(&self, head: &'h Parts) -> Result<Option<&'h AuthContext>, Rejection> {
        if self.task == Task::Remove {
            return Ok(None);
        }
        let missing = || Rejection::misordered(Evidence::AUTHENTICATED);
        let context = AuthContext::of(&head.extensions).ok_or_else(missing)?;
        match context.is_anonymous() {
            true if self.required => Err(Rejection::anonymous()),
            true => Ok(None),
            false => Ok(Some(context)),
        }
    }

    /// The value of our key in this caller's messages.
    pub(super) fn value(&self, head: &Parts, caller: &AuthContext) -> Result<String, Rejection> {
        let known = known_of(caller, |field| self.fields.holds(field));
        let known = known.ok_or_else(Rejection::anonymous)?;
        let identity = match &self.edit {
            Some(edit) => edit(head, caller, known),
            None => known,
        };
        self.written(&identity).map_err(|(fault, field)| {
            let (kind, reason) = match fault {
                Fault::Unencodable => (RejectionKind::IdentityUnencodable, Reason::Unencodable),
                Fault::TooLarge => (RejectionKind::IdentityTooLarge, Reason::TooLarge),
            };
            Rejection::new(kind, reason).caused_by(refused(fault, field))
        })
    }

    /// Refuses what a header would refuse for what it is, and holds nothing to a header's length: JSON carries plain text.
    fn written(&self, identity: &Identity<'_>) -> Result<String, (Fault, String)> {
        for (field, ..) in FIELDS {
            let piece = identity.piece_as(field, self.spelling);
            if let Some(piece) = piece.filter(|_| self.fields.holds(field)) {
                let of_field = |fault| (fault, label(field).to_owned());
                piece.measure(Spelling::Percent).map_err(of_field)?;
            }
        }
        for source in &self.attributes {
            let known = identity.attribute(source).filter(|_| !self.hidden.covers(source));
            if known.is_some_and(|attribute| !is_finite(attribute)) {
                return Err((Fault::Unencodable, source.to_string()));
            }
        }
        let sources = self.attributes.iter().map(|source| &**source);
        let object =
            Sent::new(self.fields, sources, &self.hidden, self.spelling).json(identity, &[]);
        let text = object.ok().and_then(|object| String::from_utf8(object).ok());
        text.ok_or_else(|| (Fault::Unencodable, String::from("identity")))
    }
}

/// The key of contextforge, which MCP's rules for keys of others would not let anyone have.
const USER: &str = "user";

impl fmt::Debug for Meta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meta")
            .field("key", &self.key)
            .field("task", &self.task)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::attribute::Attribute;

    fn meta() -> Meta {
        Meta::new("com.example/caller").unwrap()
    }

    #[test]
    fn values() {
        let alice = || Identity::account("acc-alice").with_workspace("ws-1");
        let teams = || alice().with_teams(Vec::<&str>::new());
        let attributes = || {
            let vendor = Attribute::from_json(r#"{"Api-Key":"x","name":"y"}"#).unwrap();
            alice()
                .with_attribute("password_hash", "p")
                .with_attribute("ssn", "s")
                .with_attribute("department", "d")
                .with_attribute("vendor", vendor)
        };
        let fields = |fields: &[Field]| {
            let mut meta = meta();
            meta.fields(fields.iter().copied());
            meta
        };
        let mapped = |hidden: Option<&[&str]>, sources: &[&str]| {
            let mut meta = fields(&[]);
            meta.attributes(sources.iter().copied());
            if let Some(hidden) = hidden {
                meta.sensitive(hidden.iter().copied());
            }
            meta
        };
        let three = ["password_hash", "ssn", "department"];
        for (name, meta, identity, want) in [
            (
                "F147 default fields",
                meta(),
                alice().with_email("a@b"),
                r#"{"id":"acc-alice","type":"account","workspace":"ws-1"}"#,
            ),
            (
                "F147 chosen fields",
                fields(&[Field::Type, Field::Email, Field::Workspace]),
                alice().with_email("alice@co.com"),
                r#"{"id":"acc-alice","type":"account","email":"alice@co.com","workspace":"ws-1"}"#,
            ),
            ("FA9 teams []", fields(&[Field::Teams]), teams(), r#"{"id":"acc-alice","teams":[]}"#),
            ("FA9 unknown", fields(&[Field::Teams]), alice(), r#"{"id":"acc-alice"}"#),
            (
                "F63 plain text",
                fields(&[Field::FullName]),
                alice().with_full_name("José \"J\" 100%"),
                r#"{"id":"acc-alice","full_name":"José \"J\" 100%"}"#,
            ),
            ("F170 only mapped", fields(&[]), attributes(), r#"{"id":"acc-alice"}"#),
            (
                "FA11",
                mapped(Some(&["password_hash", "ssn"]), &three),
                attributes(),
                r#"{"id":"acc-alice","attributes":{"department":"d"}}"#,
            ),
            (
                "F170 default",
                mapped(None, &three),
                attributes(),
                r#"{"id":"acc-alice","attributes":{"department":"d"}}"#,
            ),
            (
                "FA11 []",
                mapped(Some(&[]), &three),
                attributes(),
                r#"{"id":"acc-alice","attributes":{"password_hash":"p","ssn":"s","department":"d"}}"#,
            ),
            (
                "FA12",
                mapped(Some(&["api_key"]), &["vendor"]),
                attributes(),
                r#"{"id":"acc-alice","attributes":{"vendor":{"name":"y"}}}"#,
            ),
        ] {
            let before = identity.clone();
            assert_eq!(meta.written(&identity), Ok(want.to_owned()), "{name}");
            assert_eq!(identity, before, "{name}: the source is not changed");
        }
    }

    #[test]
    fn refusals() {
        let mut chain = meta();
        chain.fields([Field::DelegationChain]);
        let mut numbers = meta();
        numbers.attributes(["n"]);
        let alice = || Identity::account("acc-alice");
        for (name, meta, identity, want) in [
            ("F62", meta(), Identity::account(""), (Fault::Unencodable, "id")),
            ("F62", meta(), Identity::account("a\u{200B}"), (Fault::Unencodable, "id")),
            (
                "F68",
                chain,
                alice().with_delegation_chain(["a"; 9]),
                (Fault::TooLarge, "delegation_chain"),
            ),
            ("F65", numbers, alice().with_attribute("n", f64::NAN), (Fault::Unencodable, "n")),
        ] {
            assert_eq!(meta.written(&identity), Err((want.0, want.1.to_owned())), "{name}");
        }
    }
}
