//! A workspace is named by the app or by the request, not by both.

mod support;

use support::given;
use tower_bearer::stack::BearerStack;

fn main() {
    let stack = BearerStack::new(given());
    let _two = stack.resolve_app(given()).require_membership_in(given());
}
