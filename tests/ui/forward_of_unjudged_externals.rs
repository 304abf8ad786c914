//! No unjudged external is forwarded.

mod support;

use support::given;
use tower_bearer::stack::BearerStack;

fn main() {
    let stack = BearerStack::new(given());
    let unjudged = stack.resolve_app(given()).require_membership_or_external(given());
    let _early = unjudged.forward_identity(given());
}
