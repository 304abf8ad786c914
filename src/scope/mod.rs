//! What a token may do, and what a route asks for.
//!
//! 1. A scope is a plain name (RFC 6749 §3.3): no wildcard, no prefix rule, no order but what the service declares.
//! 2. A [`ScopeSet`] is what a token carries; pieces of bad grammar are dropped, and anything odd is the empty set.
//! 3. [`RequiredScopes`] is what a route requires; it is never empty, and a bad name is an error.
//! 4. [`Rights`] is what a kind leaves of a token's scopes; the answer is computed for each request.

mod implication;
mod required;
mod rights;
mod set;

pub(crate) use implication::{ImplicationFault, Implications};
pub use required::RequiredScopes;
pub use rights::Rights;
pub use set::{Scope, ScopeError, ScopeSet};
