//! Membership is required once.

mod support;

use support::given;
use tower_bearer::stack::BearerStack;

fn main() {
    let stack = BearerStack::new(given());
    let _twice = stack.resolve_app(given()).require_membership(given()).require_membership(given());
}
