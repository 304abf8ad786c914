//! Two threads at once on one token: its cache entry, its window, its reference counts; beside one thread alone.

use std::convert::Infallible;
use std::hint::black_box;
use std::sync::Barrier;
use std::time::Instant;

use criterion::Criterion;
use tower::Service;

use crate::beside::beside;
use crate::layers::Layers;
use crate::timing::ready;
use crate::world::{Inner, Request, TOKEN, World, request};

const CALLS: u16 = 2_000;

pub(crate) fn bench(c: &mut Criterion) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut eight = Layers::new(&World::new()).around(Inner);
    for _ in 0..3 {
        let answer = runtime.block_on(eight.call(request(&format!("Bearer {TOKEN}"))));
        assert_eq!(answer.expect("infallible").status(), 200);
    }
    let name = ("contention", "two_threads");
    beside(c, name, ("one_thread", || threads(&eight, 1)), || threads(&eight, 2));
}

/// Nanoseconds a call in each of so many threads: the same for any number where nothing is shared.
fn threads<S>(service: &S, number: u8) -> f64
where
    S: Service<Request, Error = Infallible> + Clone + Send,
{
    let barrier = Barrier::new(number.into());
    let run = |mut service: S| {
        let good = format!("Bearer {TOKEN}");
        let requests: Vec<_> = (0..CALLS).map(|_| request(&good)).collect();
        barrier.wait();
        let start = Instant::now();
        for request in requests {
            black_box(ready(service.call(request)).is_ok());
        }
        start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
    };
    std::thread::scope(|scope| {
        let started: Vec<_> = (0..number)
            .map(|_| {
                let service = service.clone();
                scope.spawn(|| run(service))
            })
            .collect();
        let taken = started.into_iter().map(|thread| thread.join().unwrap_or(f64::NAN));
        taken.sum::<f64>() / f64::from(number)
    })
}
