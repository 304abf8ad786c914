//! How does the caller's identity travel inside MCP messages, and to whom does an id of MCP belong?
//!
//! 1. [`rewrite`] is what happens to the bytes of one body, and nothing else.
//! 2. [`meta`] is what is put in, and [`media`] says whether there is a place for it.
//! 3. [`service`] reads the body, and is the only part that waits.
//! 4. [`bind`] ties `Mcp-Session-Id` to its caller.

mod bind;
mod future;
mod key;
mod media;
mod meta;
mod rewrite;
mod service;

pub(crate) use bind::{Binder, BoundId, MCP_SESSION_ID, Owner, Told};
pub use future::McpMetaFuture;
pub(crate) use meta::Meta;
#[cfg(any(test, fuzzing))]
pub(crate) use rewrite::{BodyFault, Edit};
pub use service::McpMetaService;
