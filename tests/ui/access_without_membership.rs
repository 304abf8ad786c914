//! Access to an app is judged after membership.

mod support;

use support::given;
use tower_bearer::stack::BearerStack;

fn main() {
    let stack = BearerStack::new(given());
    let _early = stack.resolve_app(given()).authorize_app(given());
}
