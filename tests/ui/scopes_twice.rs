//! Scopes are required in one call.

mod support;

use support::given;
use tower_bearer::stack::BearerStack;

fn main() {
    let stack = BearerStack::new(given());
    let _twice = stack.require(given()).require(given());
}
