//! Externals are exempt only where an app is known.

mod support;

use support::given;
use tower_bearer::stack::BearerStack;

fn main() {
    let stack = BearerStack::new(given());
    let _early = stack.require_membership_or_external(given());
}
