//! The warm pass through one layer more each time, as one stack and as free layers, beside the bare service, the floor and
//! the steps by hand.

use criterion::Criterion;
use tower::{Layer, Service};
use tower_bearer::stack::BearerStack;

use crate::beside::beside;
use crate::by_hand;
use crate::floor::Floor;
use crate::layers::Layers;
use crate::timing::{ready, round};
use crate::world::{Inner, TOKEN, World, request};

pub(crate) fn bench(c: &mut Criterion) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let all = Layers::new(&World::new());
    let good = format!("Bearer {TOKEN}");
    let floor = Floor::new();
    assert_eq!(floor.call(request(&good)).status(), 200);
    let bare = || round(|| request(&good), |request| ready(Inner.call(request)));
    let least = || round(|| request(&good), |request| floor.call(request));
    beside(c, ("hot_path", "floor"), ("bare", bare), least);
    macro_rules! warm {
        ($name:literal, $service:expr, $baseline:expr) => {
            warm!($name, $service, $baseline, || request(&good))
        };
        ($name:literal, $service:expr, $baseline:expr, $request:expr) => {
            let mut service = $service;
            for _ in 0..3 {
                let answer = runtime.block_on(service.call($request())).expect("infallible");
                assert_eq!(answer.status(), 200, $name);
            }
            let _guard = runtime.enter();
            beside(c, ("hot_path", $name), $baseline, || {
                round($request, |request| ready(service.call(request)))
            });
        };
    }
    let stack = BearerStack::new(all.bearer.clone());
    warm!("1_bearer", stack.layer(Inner), ("bare", bare));
    let stack = stack.rate_limit(all.limit.clone());
    warm!("2_limit", stack.layer(Inner), ("bare", bare));
    let stack = stack.require(all.scopes.clone());
    warm!("3_scopes", stack.layer(Inner), ("bare", bare));
    let stack = stack.resolve_app(all.app.clone());
    warm!("4_app", stack.layer(Inner), ("bare", bare));
    let stack = stack.require_membership(all.members.clone());
    warm!("5_members", stack.layer(Inner), ("bare", bare));
    let stack = stack.authorize_app(all.access.clone());
    warm!("6_access", stack.layer(Inner), ("bare", bare));
    let stack = stack.mount_caller(all.caller.clone());
    warm!("7_caller", stack.layer(Inner), ("bare", bare));
    warm!("8_forward", all.around(Inner), ("bare", bare));

    warm!("eight", all.around(Inner), ("floor", least));
    let mut eight = all.around(Inner);
    let mut fused = || round(|| request(&good), |request| ready(eight.call(request)));
    let free =
        all.bearer.layer(all.limit.layer(all.scopes.layer(all.app.layer(
            all.members.layer(all.access.layer(all.caller.layer(all.forward.layer(Inner)))),
        ))));
    warm!("eight_free", free, ("eight", &mut fused));
    let web = || request(&good).map(axum::body::Body::new);
    warm!("by_hand", by_hand::service(), ("eight", &mut fused), web);
}
