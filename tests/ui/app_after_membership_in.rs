//! The app is not resolved after the workspace was named.

mod support;

use support::given;
use tower_bearer::stack::BearerStack;

fn main() {
    let stack = BearerStack::new(given());
    let _late = stack.require_membership_in(given()).resolve_app(given());
}
