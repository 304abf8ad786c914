//! Instructions, counted by valgrind: the same on every run, whatever else the machine does. Fails over a budget.
//!
//! `.ci/release instructions` runs it; it needs `gungraun-runner` of this version, and valgrind.
//! SHA-256 is counted in its portable form, about 3,400 instructions a token, since valgrind has no SHA extensions.

#![expect(clippy::panic, reason = "a bench stops at a wrong answer")]
#![expect(missing_docs, unused_qualifications, reason = "what gungraun's macros write")]

mod budget;
#[path = "../shared/layers.rs"]
mod layers;
#[path = "../shared/world.rs"]
mod world;

use std::future::Future;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use gungraun::{
    Callgrind, EventKind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};
use tower::Service;
use tower::util::BoxCloneService;
use tower_bearer::forward::ForwardBody;
use tower_bearer::limit::{Limit, Verdict, Window};
use tower_bearer::token::{Digest, TokenKinds};

use layers::Layers;
use world::{Inner, Request, TOKEN, World, request};

type Boxed = BoxCloneService<Request, ForwardedResponse, std::convert::Infallible>;
type ForwardedResponse = http::Response<ForwardBody<http_body_util::Full<bytes::Bytes>>>;

fn at_most(instructions: u64) -> LibraryBenchmarkConfig {
    let limits = [(EventKind::Ir, instructions)];
    LibraryBenchmarkConfig::default().tool(Callgrind::default().hard_limits(limits)).clone()
}

/// All eight layers, warm, and one more request.
fn eight(credential: &str) -> (Boxed, Request) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut service = BoxCloneService::new(Layers::new(&World::new()).around(Inner));
    for _ in 0..3 {
        let answer = runtime
            .block_on(service.call(request(&format!("Bearer {TOKEN}"))))
            .expect("infallible");
        assert_eq!(answer.status(), 200);
    }
    (service, request(credential))
}

fn good() -> (Boxed, Request) {
    eight(&format!("Bearer {TOKEN}"))
}

fn junk() -> (Boxed, Request) {
    eight(&format!("Bearer {}", TOKEN.replace("81xprsL", "81xprsM")))
}

/// Gives everything back, so that no drop is counted but the request's own.
fn answer((mut service, request): (Boxed, Request)) -> (Boxed, ForwardedResponse) {
    match pin!(service.call(black_box(request))).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(response)) => (service, response),
        Poll::Ready(Err(never)) => match never {},
        Poll::Pending => panic!("a warm pass waits for nothing"),
    }
}

#[library_benchmark(config = at_most(budget::WARM_EIGHT))]
#[bench::eight(good())]
fn warm(given: (Boxed, Request)) -> (Boxed, ForwardedResponse) {
    answer(given)
}

#[library_benchmark(config = at_most(budget::JUNK_ANSWER))]
#[bench::eight(junk())]
fn refused(given: (Boxed, Request)) -> (Boxed, ForwardedResponse) {
    answer(given)
}

#[library_benchmark(config = at_most(budget::CLASSIFY))]
#[bench::good(world::kinds())]
fn classify(kinds: TokenKinds) -> (bool, TokenKinds) {
    (black_box(kinds.classify(black_box(TOKEN))).is_ok(), kinds)
}

#[library_benchmark(config = at_most(budget::DIGEST))]
#[bench::token(TOKEN)]
fn digest(token: &str) -> Digest {
    Digest::of(black_box(token))
}

fn full_window() -> (Window, Limit) {
    let limit = Limit::new(NonZeroU32::new(61).expect("not zero"), Duration::from_secs(60))
        .expect("in range");
    let mut window = Window::new();
    for now in 0..60 {
        assert!(matches!(window.admit(&limit, NonZeroU32::MIN, now), Verdict::Admit { .. }));
    }
    (window, limit)
}

#[library_benchmark(config = at_most(budget::ADMIT))]
#[bench::sixty_live(full_window())]
fn admit((mut window, limit): (Window, Limit)) -> (Verdict, Window) {
    (window.admit(&limit, NonZeroU32::MIN, black_box(59_999)), window)
}

library_benchmark_group!(name = hot_path; benchmarks = warm, refused);
library_benchmark_group!(name = cores; benchmarks = classify, digest, admit);

main!(library_benchmark_groups = hot_path, cores);
