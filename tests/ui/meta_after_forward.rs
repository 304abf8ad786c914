//! Messages are told of the caller before the identity is forwarded.

mod support;

use support::given;
use tower_bearer::stack::{BearerStack, McpMetaForward};

fn main() {
    let meta = McpMetaForward::new("com.example/caller").unwrap();
    let _late = BearerStack::new(given()).forward_identity(given()).mcp_meta(meta);
}
