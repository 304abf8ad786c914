//! Where does a credential come from that an upstream accepts in the caller's name?
//!
//! 1. A mode is one [`Mints`]: what it knows at once costs no await and no box; everything else runs in a task of its own.
//! 2. A failure is a refusal: never a pass with less, never another credential.

mod credential;

pub(crate) use credential::{Asked, Credential, Mints, Obtaining};
