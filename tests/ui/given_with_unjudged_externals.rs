//! A stack that judges no external is taken by nothing that wants a layer.

mod support;

use support::given;
use tower_bearer::stack::BearerStack;

fn main() {
    let stack = BearerStack::new(given());
    let unjudged = stack.resolve_app(given()).require_membership_or_external(given());
    wrap(unjudged);
}

fn wrap(_layer: impl tower_layer::Layer<()>) {}
