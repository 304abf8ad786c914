//! The warm pass through each layer and through all of them, beside the bare service, the floor and the steps by hand.

use std::convert::Infallible;
use std::hint::black_box;

use criterion::{BatchSize, Criterion};
use tower::{Layer, Service};
use tower_bearer::stack::BearerStack;

use crate::floor::Floor;
use crate::layers::Layers;
use crate::world::{Inner, Request, Response, TOKEN, World, request};

pub(crate) fn bench(c: &mut Criterion) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let all = Layers::new(&World::new());
    let good = format!("Bearer {TOKEN}");
    let mut group = c.benchmark_group("hot_path");
    let floor = Floor::new();
    group.bench_function("bare", |b| {
        b.iter_batched(|| request(&good), |r| call(&mut Inner, r), BatchSize::SmallInput);
    });
    group.bench_function("floor", |b| {
        b.iter_batched(|| request(&good), |r| floor.call(r), BatchSize::SmallInput);
    });
    macro_rules! warm {
        ($name:literal, $layer:expr) => {
            let mut service = $layer.layer(Inner);
            for _ in 0..3 {
                let answer = runtime.block_on(service.call(request(&good))).expect("infallible");
                assert_eq!(answer.status(), 200, $name);
            }
            group.bench_function($name, |b| {
                let _guard = runtime.enter();
                b.iter_batched(|| request(&good), |r| call(&mut service, r), BatchSize::SmallInput);
            });
        };
    }
    let stack = BearerStack::new(all.bearer.clone());
    warm!("1_bearer", stack);
    let stack = stack.rate_limit(all.limit.clone());
    warm!("2_limit", stack);
    let stack = stack.require(all.scopes.clone());
    warm!("3_scopes", stack);
    let stack = stack.resolve_app(all.app.clone());
    warm!("4_app", stack);
    let stack = stack.require_membership(all.members.clone());
    warm!("5_membership", stack);
    let stack = stack.authorize_app(all.access.clone());
    warm!("6_access", stack);
    let stack = stack.mount_caller(all.caller.clone());
    warm!("7_caller", stack);
    let stack = stack.forward_identity(all.forward);
    warm!("8_forward", stack);
    group.finish();
}

/// Polls a future that must be ready.
fn call<S>(service: &mut S, request: Request) -> Response
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    let future = std::pin::pin!(service.call(black_box(request)));
    match future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(Ok(response)) => response,
        std::task::Poll::Ready(Err(never)) => match never {},
        std::task::Poll::Pending => panic!("a warm pass waits for nothing"),
    }
}
