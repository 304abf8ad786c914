//! A stack that judges no external is no layer.

mod support;

use support::given;
use tower_bearer::stack::BearerStack;
use tower_layer::Layer;

fn main() {
    let stack = BearerStack::new(given());
    let unjudged = stack.resolve_app(given()).require_membership_or_external(given());
    let _early = unjudged.layer(());
}
