//! How is identity told to services that know the wire formats of other gateways?
//!
//! 1. A preset is settings of [`ForwardOptions`](super::ForwardOptions): removal, caps and refusals are those of every mode.
//! 2. Their signatures say less than that of mode `signed_headers` (feature `signed`): contextforge's binds an id and an
//!    e-mail address for ever and for any upstream, coder's binds no host and can be sent again for ten minutes. Where the
//!    upstream can be changed, prefer that mode.
//! 3. Both ends are here: what signs, and what an upstream checks by.

mod coder;
mod coder_preset;
mod contextforge;
mod contextforge_override;
mod contextforge_preset;
mod lines;
#[cfg(test)]
mod tests;

pub use coder::{CoderIds, coder_signature, verify_coder};
pub(super) use coder_preset::CODER_PREFIX;
pub(crate) use coder_preset::Unsent;
pub use coder_preset::{Coder, coder};
pub use contextforge::{ContextForgeCaller, contextforge_signature, verify_contextforge};
pub(super) use contextforge::{SIGNATURE_SUFFIX, signature};
pub use contextforge_preset::{Carriers, ContextForge, contextforge};
