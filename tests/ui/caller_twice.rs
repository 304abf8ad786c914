//! The caller is mounted once.

mod support;

use support::given;
use tower_bearer::stack::BearerStack;

fn main() {
    let stack = BearerStack::new(given());
    let _twice = stack.mount_caller(given()).mount_caller(given());
}
