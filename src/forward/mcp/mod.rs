//! How does the caller's identity travel inside an MCP message, and whose is an MCP session?

mod rewrite;

pub(crate) use rewrite::{BodyFault, Edit};
