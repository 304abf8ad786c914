//! The rate limit comes before the app.

mod support;

use support::given;
use tower_bearer::stack::BearerStack;

fn main() {
    let stack = BearerStack::new(given());
    let _late = stack.resolve_app(given()).rate_limit(given());
}
