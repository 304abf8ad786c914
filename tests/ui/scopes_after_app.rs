//! Scopes are checked before the app is looked up.

mod support;

use support::given;
use tower_bearer::stack::BearerStack;

fn main() {
    let stack = BearerStack::new(given());
    let _late = stack.resolve_app(given()).require(given());
}
