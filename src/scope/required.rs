//! The scopes that a route requires: all of them, or any one.

use std::fmt;
use std::sync::Arc;

use crate::scope::{Scope, ScopeError};

/// The scopes that a route requires, in the order declared, each once; never none.
///
/// A clone costs one reference count.
///
/// ```
/// # use tower_bearer::scope::RequiredScopes;
/// let both = RequiredScopes::all(["apps:read", "apps:run"])?;
/// assert_eq!(both.challenge_scopes(), "apps:read apps:run");
/// let either = RequiredScopes::any(["apps:read", "apps:run"])?;
/// assert_eq!(either.challenge_scopes(), "apps:read");
/// # Ok::<_, tower_bearer::scope::ScopeError>(())
/// ```
#[derive(Clone, Eq, PartialEq)]
pub struct RequiredScopes(Arc<Required>);

impl RequiredScopes {
    /// Requires every one of `names`.
    ///
    /// # Errors
    /// [`ScopeError::Empty`] if there is none, [`ScopeError::BadScope`] for the first of bad grammar.
    pub fn all<I>(names: I) -> Result<Self, ScopeError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        Self::declare(Match::All, names)
    }

    /// Requires at least one of `names`.
    ///
    /// # Errors
    /// [`ScopeError::Empty`] if there is none, [`ScopeError::BadScope`] for the first of bad grammar.
    pub fn any<I>(names: I) -> Result<Self, ScopeError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        Self::declare(Match::Any, names)
    }

    /// The scopes in the order declared, duplicates merged: the member `required_scopes` of a refusal's body.
    pub fn scopes(&self) -> &[Scope] {
        &self.0.scopes
    }

    /// `all` or `any`: the member `match` of a refusal's body.
    pub fn match_word(&self) -> &'static str {
        match self.0.mode {
            Match::All => "all",
            Match::Any => "any",
        }
    }

    /// The challenge's `scope` (RFC 6750 §3): every scope of `all`, the first declared of `any`.
    pub fn challenge_scopes(&self) -> &str {
        &self.0.challenge
    }

    /// Whether enough of the scopes pass `test`.
    pub(super) fn passes(&self, test: impl Fn(&Scope) -> bool) -> bool {
        match self.0.mode {
            Match::All => self.0.scopes.iter().all(test),
            Match::Any => self.0.scopes.iter().any(test),
        }
    }

    fn declare<I>(mode: Match, names: I) -> Result<Self, ScopeError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let mut scopes: Vec<Scope> = Vec::new();
        for name in names {
            let scope = Scope::new(name)?;
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
        let first = scopes.first().ok_or(ScopeError::Empty)?;
        let challenge = match mode {
            Match::All => scopes.iter().map(Scope::as_str).collect::<Vec<_>>().join(" "),
            Match::Any => first.as_str().to_owned(),
        };
        Ok(Self(Arc::new(Required { mode, scopes, challenge })))
    }
}

impl fmt::Debug for RequiredScopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple(self.match_word()).field(&self.scopes()).finish()
    }
}

#[derive(Eq, PartialEq)]
struct Required {
    mode: Match,
    scopes: Vec<Scope>,
    challenge: String,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Match {
    All,
    Any,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_order_stays() {
        let names = ["b", "a", "b", "c", "a"];
        for (name, required, word, challenge) in [
            ("P832 P833 all", RequiredScopes::all(names), "all", "b a c"),
            ("P832 P833 any", RequiredScopes::any(names), "any", "b"),
        ] {
            let required = required.unwrap();
            let scopes: Vec<&str> = required.scopes().iter().map(Scope::as_str).collect();
            assert_eq!(scopes, ["b", "a", "c"], "{name}");
            assert_eq!(required.match_word(), word, "{name}");
            assert_eq!(required.challenge_scopes(), challenge, "{name}");
        }
    }

    #[test]
    fn what_cannot_be_required() {
        let bad = |name: &str| ScopeError::BadScope { name: name.to_owned() };
        for (name, names, want) in [
            ("P831 none", &[][..], ScopeError::Empty),
            ("a space inside", &["a b"], bad("a b")),
            ("an empty name", &[""], bad("")),
            ("the first bad one is named", &["a", "b\"", "c\\"], bad("b\"")),
        ] {
            assert_eq!(RequiredScopes::all(names), Err(want.clone()), "{name}");
            assert_eq!(RequiredScopes::any(names), Err(want), "{name}");
        }
    }
}
