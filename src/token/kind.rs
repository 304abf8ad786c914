//! One kind of token, as the registry knows it: how it is written, whom it stands for, what it may do.
//!
//! 1. A [`Kind`] is proof that its declaration is sound; only the registry makes one.
//! 2. Rights come from the kind and, by its policy, the record; never from the token's text.
//! 3. The policy is applied first, then implications: a scope that the ceiling cut off implies nothing.

use std::fmt;
use std::sync::Arc;

use crate::key::hash_parts;
use crate::scope::{Implications, Rights, Scope, ScopeSet};
use crate::subject::SubjectType;
use crate::token::format::{Checksum, Format, Junk};

/// A kind of token as the registry knows it: sound, immutable, a reference count to clone.
///
/// Two are equal if they have the same name, which in one registry is the same kind.
#[derive(Clone)]
pub struct Kind(Arc<Definition>);

impl Kind {
    /// The name, such as `account`.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What its tokens begin with; empty for a kind without prefix.
    pub fn prefix(&self) -> &str {
        &self.0.prefix
    }

    /// Whom its tokens stand for.
    pub fn subject_type(&self) -> SubjectType {
        self.0.subject_type
    }

    /// Whether its tokens end with a checksum.
    pub fn has_checksum(&self) -> bool {
        self.checksum_begun().is_some()
    }

    /// Whether a record's scopes count, within [`Kind::most`]; `false` for a kind whose scopes are fixed.
    pub fn is_narrowed(&self) -> bool {
        self.0.policy == Policy::Narrowed
    }

    /// The most that a token of this kind may do: its ceiling, or its fixed scopes.
    pub fn most(&self) -> &Rights {
        &self.0.most
    }

    /// What a token of this kind may do if its record carries `record_scopes`.
    pub fn rights(&self, record_scopes: &ScopeSet) -> Rights {
        let most = &self.0.most;
        match self.0.policy {
            Policy::Fixed => most.clone(),
            Policy::Narrowed => {
                self.0.rights_of(record_scopes.filtered(|scope| most.covers(scope)))
            }
        }
    }

    /// Everything that was declared of the kind, as one hash: equal for kinds that judge records alike.
    pub(crate) fn definition(&self) -> [u8; 32] {
        let Definition { name, prefix, subject_type, policy, most, umbrella, format, .. } =
            &*self.0;
        let policy = match policy {
            Policy::Fixed => "fixed",
            Policy::Narrowed => "narrowed",
        };
        let format = match format {
            Format::Minted { secret_bytes, checksum } => {
                format!("minted {secret_bytes} {}", checksum.is_some())
            }
            Format::Opaque { min, max } => format!("opaque {min} {max}"),
        };
        let (granted, effective) = (most.granted().to_string(), most.effective().to_string());
        let umbrella = umbrella.as_ref().map_or("", Scope::as_str);
        let subject = subject_type.as_str();
        let parts = [name, prefix, subject, policy, &granted, &effective, umbrella, &format];
        hash_parts("kind", &parts.map(str::as_bytes))
    }

    /// Whether `token`, which begins with this kind's prefix, has its length, alphabet and checksum.
    pub(super) fn check(&self, token: &[u8]) -> Result<(), Junk> {
        self.0.format.check(token, self.0.prefix.len())
    }

    /// The checksum after this kind's prefix; `None` for a kind without.
    pub(super) fn checksum_begun(&self) -> Option<Checksum> {
        match self.0.format {
            Format::Minted { checksum, .. } => checksum,
            Format::Opaque { .. } => None,
        }
    }

    /// How many random bytes a minted secret has; `None` where somebody else makes the tokens.
    pub(super) fn secret_bytes(&self) -> Option<usize> {
        match self.0.format {
            Format::Minted { secret_bytes, .. } => Some(secret_bytes),
            Format::Opaque { .. } => None,
        }
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Kind {}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Kind");
        shown.field("name", &self.name()).field("prefix", &self.prefix()).finish_non_exhaustive()
    }
}

/// A kind without faults of its own, before it is known whether it goes with the others.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) prefix: String,
    pub(super) subject_type: SubjectType,
    pub(super) policy: Policy,
    pub(super) scopes: ScopeSet,
    pub(super) umbrella: Option<Scope>,
    pub(super) format: Format,
}

impl Draft {
    /// The kind, in a registry of these implications.
    pub(super) fn finish(self, implications: &Arc<Implications>) -> Kind {
        let Self { name, prefix, subject_type, policy, scopes, umbrella, format } = self;
        let implications = Arc::clone(implications);
        let most = Rights::default();
        let mut kind =
            Definition { name, prefix, subject_type, policy, most, umbrella, implications, format };
        kind.most = kind.rights_of(scopes);
        Kind(Arc::new(kind))
    }
}

struct Definition {
    name: String,
    prefix: String,
    subject_type: SubjectType,
    policy: Policy,
    most: Rights,
    umbrella: Option<Scope>,
    implications: Arc<Implications>,
    format: Format,
}

impl Definition {
    /// What these scopes amount to in this kind.
    fn rights_of(&self, granted: ScopeSet) -> Rights {
        let effective = self.implications.close(&granted);
        let umbrella =
            self.umbrella.as_ref().is_some_and(|umbrella| granted.contains(umbrella.as_str()));
        Rights::new(granted, effective, umbrella)
    }
}

/// What the scopes of a record count for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Policy {
    /// Nothing: every token has the scopes of its kind.
    Fixed,
    /// Those that the kind's ceiling covers.
    Narrowed,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scope::RequiredScopes;
    use crate::token::declared::TokenKind;
    use crate::token::registry::TokenKinds;

    fn kind(declare: impl FnOnce(TokenKind) -> TokenKind) -> Kind {
        let kind = declare(TokenKind::new("k").prefix("k_").subject(SubjectType::Account));
        let builder =
            TokenKinds::builder().kind(kind).implies("apps:manage", ["apps:read", "apps:run"]);
        builder
            .implies("root", ["apps:manage"])
            .implies("chief", ["full"])
            .build()
            .unwrap()
            .get("k")
            .unwrap()
            .clone()
    }

    #[test]
    fn rights() {
        let narrow = |ceiling: &[&str]| kind(|kind| kind.narrowed(ceiling.iter().copied()));
        let wide =
            narrow(&["apps:read", "apps:run", "apps:manage", "workspace:read", "full", "root"]);
        let run = narrow(&["apps:run"]);
        let manage = narrow(&["apps:manage"]);
        let umbrella = kind(|kind| kind.narrowed(["full"]).umbrella("full"));
        let beside = kind(|kind| kind.narrowed(["full", "apps:run"]).umbrella("full"));
        let chief = kind(|kind| kind.narrowed(["full", "chief"]).umbrella("full"));
        let fixed = kind(|kind| kind.fixed(["apps:run"]));
        let fixed_full = kind(|kind| kind.fixed(["full"]).umbrella("full"));
        let nothing = kind(|kind| kind.fixed([""; 0]));
        for (name, kind, record, granted, required, want) in [
            ("P421 the one", &wide, "apps:run", "apps:run", "apps:run", true),
            ("P421 another", &wide, "apps:read", "apps:read", "apps:run", false),
            ("P422 umbrella", &umbrella, "full", "full", "anything", true),
            ("P422 P416 without", &wide, "full", "full", "apps:run", false),
            ("P423 case", &wide, "Apps:Run", "", "apps:run", false),
            ("P423 case below an umbrella", &umbrella, "Apps:Run", "Apps:Run", "apps:run", false),
            ("P423 longer", &umbrella, "apps:run2", "apps:run2", "apps:run", false),
            ("P423 shorter", &umbrella, "apps", "apps", "apps:run", false),
            ("P424 implied", &wide, "apps:manage", "apps:manage", "apps:read", true),
            ("P424 not implied", &wide, "apps:manage", "apps:manage", "workspace:read", false),
            ("P414 in two steps", &wide, "root", "root", "apps:run", true),
            ("P425 cut off", &run, "apps:run admin", "apps:run", "admin", false),
            ("P425 what is left", &run, "apps:run admin", "apps:run", "apps:run", true),
            ("P426 fixed", &fixed, "apps:read", "apps:run", "apps:read", false),
            ("P302 fixed ignores the record", &fixed, "", "apps:run", "apps:run", true),
            ("P302 covered by implication", &manage, "apps:read", "apps:read", "apps:read", true),
            ("P302 covered by the umbrella", &umbrella, "apps:run", "apps:run", "apps:run", true),
            ("P303 covered, not opened", &umbrella, "apps:run", "apps:run", "apps:read", false),
            (
                "P303 umbrella not in the record",
                &beside,
                "apps:run",
                "apps:run",
                "apps:read",
                false,
            ),
            (
                "P303 umbrella in the record",
                &beside,
                "apps:run full",
                "apps:run full",
                "apps:read",
                true,
            ),
            ("P413 umbrella implied, not held", &chief, "chief", "chief", "apps:read", false),
            ("P413 its name is implied", &chief, "chief", "chief", "full", true),
            ("P303 umbrella fixed", &fixed_full, "", "full", "anything", true),
            ("P417 cut off, so nothing implied", &run, "apps:manage", "", "apps:run", false),
            ("P411 P412 empty record", &wide, "", "", "apps:read", false),
            ("P302 fixed to nothing", &nothing, "apps:run full", "", "apps:run", false),
            ("P415 XE2 no pattern in the record", &wide, "apps:* *", "", "apps:run", false),
        ] {
            let rights = kind.rights(&ScopeSet::parse(record));
            assert_eq!(rights.granted().to_string(), granted, "{name}");
            assert_eq!(rights.satisfies(&RequiredScopes::all([required]).unwrap()), want, "{name}");
        }
    }

    #[test]
    fn effective_scopes() {
        let wide = kind(|kind| kind.narrowed(["apps:manage", "x"]));
        let rights = wide.rights(&ScopeSet::parse("apps:manage x y"));
        assert_eq!(rights.granted().to_string(), "apps:manage x", "P302");
        assert_eq!(rights.effective().to_string(), "apps:manage apps:read apps:run x", "P414");
        assert_eq!(wide.most().granted().to_string(), "apps:manage x", "P302 ceiling");
    }

    #[test]
    fn accessors() {
        let checked = kind(|kind| kind.fixed(["a"]).checksum());
        assert_eq!((checked.name(), checked.prefix()), ("k", "k_"));
        assert_eq!(checked.subject_type(), SubjectType::Account);
        assert!(checked.has_checksum() && !checked.is_narrowed());
        assert_eq!(checked.secret_bytes(), Some(32), "P322 default");
        let opaque = kind(|kind| kind.narrowed(["a"]).opaque(1, 9));
        assert!(!opaque.has_checksum() && opaque.is_narrowed());
        assert_eq!(opaque.secret_bytes(), None);
        assert_eq!(format!("{opaque:?}"), "Kind { name: \"k\", prefix: \"k_\", .. }");
    }
}
