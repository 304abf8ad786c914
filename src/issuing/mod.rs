//! How a token comes to be: asked for, judged, stored, shown once.
//!
//! 1. [`Issuer`] is the only thing that mints, and mints only what its authenticator accepts.
//! 2. Policy is judged before anything is written, and every fault is named at once.
//! 3. The text of a token is in no store, log, event or cache; whoever asked for it has the only one.

mod error;
mod issuer;
mod request;

pub use error::{IssueError, IssuerError, PolicyFault, PolicyViolation};
pub use issuer::{IssuedToken, Issuer};
pub use request::{MintRequest, TtlBounds};
