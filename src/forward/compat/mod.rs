//! How is identity told to services that know the wire formats of other gateways?
//!
//! 1. A preset is settings of [`ForwardOptions`](super::ForwardOptions): removal, caps and refusals are those of every mode.
//! 2. Their signatures say less than [`Signing`](super::ForwardOptions) of mode `signed_headers` does: contextforge's binds an
//!    id and an e-mail address for ever and for any upstream, coder's binds no host and can be sent again for ten minutes.
//!    Where the upstream can be changed, prefer that mode.
//! 3. Both ends are here: what signs, and what an upstream checks by.

mod coder;
mod contextforge;
mod lines;

pub use coder::{CoderIds, coder_signature, verify_coder};
pub use contextforge::{ContextForgeCaller, contextforge_signature, verify_contextforge};
