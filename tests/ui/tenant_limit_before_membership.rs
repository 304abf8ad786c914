//! No stranger spends a workspace's limit.

mod support;

use support::given;
use tower_bearer::stack::BearerStack;

fn main() {
    let stack = BearerStack::new(given());
    let _early = stack.resolve_app(given()).rate_limit_tenant(given());
}
