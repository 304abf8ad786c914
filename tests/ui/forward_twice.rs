//! The identity is forwarded once, last.

mod support;

use support::given;
use tower_bearer::stack::BearerStack;

fn main() {
    let stack = BearerStack::new(given());
    let _twice = stack.forward_identity(given()).forward_identity(given());
}
