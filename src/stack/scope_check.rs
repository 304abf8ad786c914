//! Does the token carry what this route requires?
//!
//! 1. Needs the context; leaves [`Evidence::SCOPED`].
//! 2. A scope is carried by name, by the kind's umbrella or by a declared implication, and by nothing else.
//! 3. Lacks one: 403 `insufficient_scope`, whose challenge names what this route requires (RFC 6750 §3.1).
//! 4. Computed on each request from facts; no I/O.

use std::sync::Arc;

use crate::evidence::Evidence;
use crate::gate::{Attempt, Passage, Step, step_layer};
use crate::rejection::{Rejection, StepName};
use crate::scope::{RequiredScopes, ScopeError};

/// Lets through callers whose token carries the required scopes.
///
/// Usable in a stack, or on single routes under one stack (`route_layer`). Two of them on one path: both must pass.
///
/// ```
/// # fn main() -> Result<(), tower_bearer::scope::ScopeError> {
/// use tower_bearer::stack::ScopeCheck;
///
/// let layer = ScopeCheck::all(["apps:read", "apps:run"])?;
/// # let _ = layer; Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct ScopeCheck {
    required: Arc<RequiredScopes>,
}

impl ScopeCheck {
    /// Requires every one of these scopes.
    ///
    /// # Errors
    ///
    /// [`ScopeError`] for an empty set or a name outside the scope grammar.
    pub fn all<N: AsRef<str>>(scopes: impl IntoIterator<Item = N>) -> Result<Self, ScopeError> {
        Ok(Self { required: Arc::new(RequiredScopes::all(scopes)?) })
    }

    /// Requires at least one of these scopes.
    ///
    /// # Errors
    ///
    /// As [`all`](Self::all).
    pub fn any<N: AsRef<str>>(scopes: impl IntoIterator<Item = N>) -> Result<Self, ScopeError> {
        Ok(Self { required: Arc::new(RequiredScopes::any(scopes)?) })
    }

    pub(crate) fn required(&self) -> &RequiredScopes {
        &self.required
    }

    fn verdict(&self, passage: &mut Passage<'_>) -> Result<Evidence, Rejection> {
        let facts = passage.context()?.known_caller()?;
        if facts.rights.satisfies(&self.required) {
            Ok(Evidence::SCOPED)
        } else {
            Err(Rejection::insufficient_scope(Arc::clone(&self.required)))
        }
    }
}

step_layer!(ScopeCheck);

impl Step for ScopeCheck {
    const NAME: StepName = StepName::Scope;
    const NEEDS: &'static [Evidence] = &[Evidence::AUTHENTICATED.and(Evidence::ANONYMOUS)];

    fn attempt(&self, passage: &mut Passage<'_>) -> Attempt {
        self.verdict(passage).into()
    }

    async fn ask(&self, passage: &mut Passage<'_>) -> Result<Evidence, Rejection> {
        self.verdict(passage)
    }
}
