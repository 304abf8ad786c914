//! Access is judged once.

mod support;

use support::given;
use tower_bearer::stack::BearerStack;

fn main() {
    let stack = BearerStack::new(given());
    let judged = stack.resolve_app(given()).require_membership(given()).authorize_app(given());
    let _twice = judged.authorize_app(given());
}
