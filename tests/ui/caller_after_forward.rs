//! The caller is mounted before the request goes on.

mod support;

use support::given;
use tower_bearer::stack::BearerStack;

fn main() {
    let stack = BearerStack::new(given());
    let _late = stack.forward_identity(given()).mount_caller(given());
}
