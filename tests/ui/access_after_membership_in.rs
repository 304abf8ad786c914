//! Access is judged for an app, and none was resolved.

mod support;

use support::given;
use tower_bearer::stack::BearerStack;

fn main() {
    let stack = BearerStack::new(given());
    let _appless = stack.require_membership_in(given()).authorize_app(given());
}
