//! The app is resolved before the caller is mounted.

mod support;

use support::given;
use tower_bearer::stack::BearerStack;

fn main() {
    let stack = BearerStack::new(given());
    let _late = stack.mount_caller(given()).resolve_app(given());
}
