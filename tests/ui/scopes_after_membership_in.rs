//! Scopes are checked before the workspace is looked up.

mod support;

use support::given;
use tower_bearer::stack::BearerStack;

fn main() {
    let stack = BearerStack::new(given());
    let _late = stack.require_membership_in(given()).require(given());
}
