//! Membership needs the workspace of an app.

mod support;

use support::given;
use tower_bearer::stack::BearerStack;

fn main() {
    let stack = BearerStack::new(given());
    let _early = stack.require_membership(given());
}
