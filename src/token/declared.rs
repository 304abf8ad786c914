//! One kind of token, as a service declares it, and what can be wrong with it.

use crate::scope::{Scope, ScopeError, ScopeSet};
use crate::subject::SubjectType;
use crate::token::fault::KindFault;
use crate::token::format::{Checksum, Format};
use crate::token::kind::{Draft, Policy};

/// A kind of token as a service declares it; the registry judges it when it is built.
///
/// A kind needs a subject and a scope policy. Without `prefix` it takes what begins like no other kind; without
/// `opaque` its tokens are minted here: prefix, 32 random bytes as base64url, and a checksum if `checksum` is called.
///
/// ```
/// use tower_bearer::subject::SubjectType;
/// use tower_bearer::token::TokenKind;
///
/// let account = TokenKind::new("account")
///     .prefix("tba_")
///     .subject(SubjectType::Account)
///     .narrowed(["full"])
///     .umbrella("full")
///     .checksum();
/// let machine = TokenKind::new("machine").prefix("svc-").subject(SubjectType::Service).fixed(["apps:run"]);
/// # let _ = (account, machine);
/// ```
#[derive(Clone, Debug)]
#[must_use = "a kind does nothing until a registry has it"]
pub struct TokenKind {
    name: String,
    prefix: Option<String>,
    subject: Option<SubjectType>,
    scopes: Option<(Policy, Vec<String>)>,
    umbrella: Option<String>,
    secret_bytes: usize,
    checksum: bool,
    opaque: Option<(usize, usize)>,
}

impl TokenKind {
    /// Starts a kind of this name: a small letter, then up to 31 small letters, digits, `_` or `-`.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            prefix: None,
            subject: None,
            scopes: None,
            umbrella: None,
            secret_bytes: 32,
            checksum: false,
            opaque: None,
        }
    }

    /// Sets what its tokens begin with: a letter, then 1 to 23 letters, digits, `_` or `-`. Default none.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }

    /// Sets whom its tokens stand for.
    pub fn subject(mut self, subject: SubjectType) -> Self {
        self.subject = Some(subject);
        self
    }

    /// Gives every token exactly these scopes; the record's are ignored. Takes the place of an earlier policy.
    pub fn fixed<I>(mut self, scopes: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.scopes = Some((Policy::Fixed, scopes.into_iter().map(Into::into).collect()));
        self
    }

    /// Gives a token those scopes of its record that this ceiling covers. Takes the place of an earlier policy.
    pub fn narrowed<I>(mut self, ceiling: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.scopes = Some((Policy::Narrowed, ceiling.into_iter().map(Into::into).collect()));
        self
    }

    /// Names the scope that passes every scope test for a token of this kind that holds it. Default none.
    pub fn umbrella(mut self, scope: impl Into<String>) -> Self {
        self.umbrella = Some(scope.into());
        self
    }

    /// Ends its tokens with six characters of checksum, so that typing errors and junk cost no look-up. Default off.
    pub fn checksum(mut self) -> Self {
        self.checksum = true;
        self
    }

    /// Sets how many random bytes a secret has. Default 32, allowed 16 to 64.
    pub fn secret_bytes(mut self, bytes: usize) -> Self {
        self.secret_bytes = bytes;
        self
    }

    /// Takes tokens that somebody else makes: from `min` to `max` bytes of b64token (RFC 6750 §2.1) behind the prefix.
    pub fn opaque(mut self, min: usize, max: usize) -> Self {
        self.opaque = Some((min, max));
        self
    }

    /// Judges everything that concerns this kind alone; `None` if there are faults.
    pub(super) fn judge(
        &self,
        max_token_length: usize,
        faults: &mut Vec<KindFault>,
    ) -> Option<Draft> {
        let kind = || self.name.clone();
        let known = faults.len();
        if !is_kind_name(self.name.as_bytes()) {
            faults.push(KindFault::BadKindName { kind: kind() });
        }
        let prefix = self.prefix.clone().unwrap_or_default();
        if self.prefix.is_some() && !is_prefix(prefix.as_bytes()) {
            faults.push(KindFault::BadPrefix { kind: kind(), prefix: prefix.clone() });
        }
        if self.subject.is_none() {
            faults.push(KindFault::NoSubject { kind: kind() });
        }
        if self.scopes.is_none() {
            faults.push(KindFault::NoScopePolicy { kind: kind() });
        }
        let format = self.judge_format(&prefix, max_token_length, faults);
        let (policy, scopes, umbrella) = self.judge_scopes(faults)?;
        let subject_type = self.subject?;
        let name = kind();
        (faults.len() == known).then_some(Draft {
            name,
            prefix,
            subject_type,
            policy,
            scopes,
            umbrella,
            format,
        })
    }

    /// The name as declared.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The prefix as declared; `None` for a kind without.
    pub(super) fn declared_prefix(&self) -> Option<&str> {
        self.prefix.as_deref()
    }

    fn judge_format(
        &self,
        prefix: &str,
        max_token_length: usize,
        faults: &mut Vec<KindFault>,
    ) -> Format {
        let kind = || self.name.clone();
        let secret_bytes = self.secret_bytes;
        let checksum = self.checksum.then(|| Checksum::after(prefix));
        let format = match self.opaque {
            Some((min, max)) => Format::Opaque { min, max },
            None => Format::Minted { secret_bytes, checksum },
        };
        match format {
            Format::Opaque { min, max } if min == 0 || min > max => {
                faults.push(KindFault::EmptyRange { kind: kind(), min, max });
            }
            Format::Minted { secret_bytes: bytes, .. } if !SECRET_BYTES.contains(&bytes) => {
                faults.push(KindFault::WeakFormat { kind: kind(), bytes });
            }
            Format::Opaque { .. } | Format::Minted { .. } => {}
        }
        if self.opaque.is_some() && self.checksum {
            faults.push(KindFault::ChecksumOfOpaque { kind: kind() });
        }
        let length = format.max_length().saturating_add(prefix.len());
        if length > max_token_length {
            faults.push(KindFault::FormatTooLong { kind: kind(), length, max: max_token_length });
        }
        format
    }

    fn judge_scopes(
        &self,
        faults: &mut Vec<KindFault>,
    ) -> Option<(Policy, ScopeSet, Option<Scope>)> {
        let mut judge = |name: &String| {
            let scope = Scope::new(name);
            scope.map_err(|error| faults.extend(bad_scope(Some(&self.name), error))).ok()
        };
        let umbrella = self.umbrella.as_ref().and_then(&mut judge);
        let (policy, names) = self.scopes.as_ref()?;
        let scopes: ScopeSet = names.iter().filter_map(judge).collect();
        if names.is_empty() && *policy == Policy::Narrowed {
            faults.push(KindFault::EmptyCeiling { kind: self.name.clone() });
        }
        if let Some(umbrella) =
            umbrella.as_ref().filter(|umbrella| !scopes.contains(umbrella.as_str()))
        {
            let umbrella = umbrella.as_str().to_owned();
            faults.push(KindFault::UmbrellaUnreachable { kind: self.name.clone(), umbrella });
        }
        Some((*policy, scopes, umbrella))
    }
}

/// The fault that a scope's error is in a registry.
pub(super) fn bad_scope(kind: Option<&str>, error: ScopeError) -> Option<KindFault> {
    match error {
        ScopeError::BadScope { name } => {
            Some(KindFault::BadScope { kind: kind.map(str::to_owned), scope: name })
        }
        ScopeError::Empty => None,
    }
}

fn is_kind_name(name: &[u8]) -> bool {
    let allowed = |byte: &u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-')
    };
    (1..=32).contains(&name.len())
        && name.first().is_some_and(u8::is_ascii_lowercase)
        && name.iter().all(allowed)
}

fn is_prefix(prefix: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (2..=24).contains(&prefix.len())
        && prefix.first().is_some_and(u8::is_ascii_alphabetic)
        && prefix.iter().all(allowed)
}

/// How many random bytes a secret may have.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 16..=64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammars() {
        for (name, allowed, text, want) in [
            ("P301 name of one", is_kind_name as fn(&[u8]) -> bool, "a".to_owned(), true),
            ("P301 name of 32", is_kind_name, "a".repeat(32), true),
            ("P301 name of 33", is_kind_name, "a".repeat(33), false),
            ("P301 name empty", is_kind_name, String::new(), false),
            ("P301 name, every class", is_kind_name, "z0_-".to_owned(), true),
            ("P301 name starts with a digit", is_kind_name, "0a".to_owned(), false),
            ("P301 name with a capital", is_kind_name, "aB".to_owned(), false),
            ("P301 prefix of 2", is_prefix, "t_".to_owned(), true),
            ("P301 prefix of 1", is_prefix, "t".to_owned(), false),
            ("P301 prefix of 24", is_prefix, "t".repeat(24), true),
            ("P301 prefix of 25", is_prefix, "t".repeat(25), false),
            ("P301 prefix, every class", is_prefix, "Tz0_-".to_owned(), true),
            ("P301 prefix starts with a digit", is_prefix, "0t".to_owned(), false),
            ("P301 prefix starts with _", is_prefix, "_t".to_owned(), false),
            ("P301 prefix with a dot", is_prefix, "t.".to_owned(), false),
        ] {
            assert_eq!(allowed(text.as_bytes()), want, "{name}");
        }
    }
}
