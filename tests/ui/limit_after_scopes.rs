//! The rate limit comes before the scopes.

mod support;

use support::given;
use tower_bearer::stack::BearerStack;

fn main() {
    let stack = BearerStack::new(given());
    let _late = stack.require(given()).rate_limit(given());
}
