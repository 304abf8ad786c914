//! The app is resolved once.

mod support;

use support::given;
use tower_bearer::stack::BearerStack;

fn main() {
    let stack = BearerStack::new(given());
    let _twice = stack.resolve_app(given()).resolve_app(given());
}
