//! The warm pass through the layers, alone and together, over the bare service.

use std::hint::black_box;

use criterion::{BatchSize, Criterion};
use tower::{Layer, Service};
use tower_bearer::stack::{
    AccessModes, AppAuthz, AppResolver, BearerCheck, BearerStack, CallerMount, Finder, ScopeCheck,
    WorkspaceMembershipCheck,
};

use crate::world::{Inner, Request, Response, TOKEN, World, request};

pub(crate) fn bench(c: &mut Criterion) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let world = World::new();
    let (auth, store) = (&world.auth, &world.store);
    let resolver =
        AppResolver::new(auth, store.clone(), Finder::path("/apps/{app}").expect("a template"));
    let members = WorkspaceMembershipCheck::new(auth, store.clone());
    let access = AppAuthz::new(auth, AccessModes::new(auth, store.clone()));
    let caller = CallerMount::new(auth, store.callers());
    let scopes = ScopeCheck::all(["apps:run"]).expect("a scope");
    let bearer = BearerCheck::new(auth);
    let stack = BearerStack::new(bearer.clone())
        .require(scopes.clone())
        .resolve_app(resolver.clone())
        .require_membership(members.clone())
        .authorize_app(access.clone())
        .mount_caller(caller.clone());
    let good = format!("Bearer {TOKEN}");
    let mut group = c.benchmark_group("hot_path");
    group.bench_function("bare", |b| {
        b.iter_batched(|| request(&good), |r| call(&mut Inner, r), BatchSize::SmallInput);
    });
    macro_rules! warm {
        ($name:literal, $service:expr) => {
            let mut service = $service;
            let answer = runtime.block_on(service.call(request(&good))).expect("infallible");
            assert_eq!(answer.status(), 200, $name);
            group.bench_function($name, |b| {
                let _guard = runtime.enter();
                b.iter_batched(|| request(&good), |r| call(&mut service, r), BatchSize::SmallInput);
            });
        };
    }
    warm!("bearer", bearer.layer(Inner));
    warm!("bearer_scope", bearer.layer(scopes.layer(Inner)));
    warm!("bearer_scope_app", bearer.layer(scopes.layer(resolver.layer(Inner))));
    warm!(
        "free_six",
        bearer
            .layer(scopes.layer(resolver.layer(members.layer(access.layer(caller.layer(Inner))))))
    );
    warm!("stack_six", stack.layer(Inner));
    group.finish();
}

/// Polls a future that must be ready.
fn call<S>(service: &mut S, request: Request) -> Response
where
    S: Service<Request, Response = Response, Error = std::convert::Infallible>,
{
    let future = std::pin::pin!(service.call(black_box(request)));
    match future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(Ok(response)) => response,
        std::task::Poll::Ready(Err(never)) => match never {},
        std::task::Poll::Pending => panic!("a warm pass waits for nothing"),
    }
}
