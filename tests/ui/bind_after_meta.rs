//! Ids of MCP are bound before messages are told of the caller.

mod support;

use support::given;
use tower_bearer::stack::{BearerStack, McpMetaForward};

fn main() {
    let meta = McpMetaForward::new("com.example/caller").unwrap();
    let _late = BearerStack::new(given()).mcp_meta(meta).bind_mcp_sessions(given());
}
