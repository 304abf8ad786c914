//! One limiter stands in front.

mod support;

use support::given;
use tower_bearer::stack::BearerStack;

fn main() {
    let stack = BearerStack::new(given());
    let _twice = stack.rate_limit(given()).rate_limit(given());
}
