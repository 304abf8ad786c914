//! Prints the figures of speed: each a ratio or a time measured in this run, baselines interleaved with what they are for.
//!
//! `cargo bench --bench figures`; `tests/figures speed` runs it. Each value is the median of the fastest tenth
//! of many short rounds, so that what else the machine does falls out.

#![expect(
    clippy::panic,
    clippy::print_stdout,
    reason = "it stops at a wrong answer, and prints is what it does"
)]
#![expect(clippy::disallowed_methods, reason = "a bench reads real time")]

#[path = "../shared/by_hand.rs"]
mod by_hand;
#[path = "../shared/floor.rs"]
mod floor;
#[path = "../shared/layers.rs"]
mod layers;
#[path = "../shared/timing.rs"]
mod timing;
#[path = "../shared/world.rs"]
mod world;

use std::hint::black_box;
use std::time::Instant;

use tower::{Layer, Service};
use tower_bearer::limit::Fields;
use tower_bearer::stack::RateLimit;

use layers::{Layers, limiter};
use timing::{ready, round, typical};
use world::{Inner, TOKEN, World, request};

const ROUNDS: usize = 2_000;

fn main() {
    // cargo test builds and runs benches too, without --bench: then there is nothing to measure
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let world = World::new();
    let all = Layers::new(&world);
    let mut eight = all.around(Inner);
    let limit = RateLimit::new(limiter(Fields::Always));
    let mut told = Layers { limit, ..all.clone() }.around(Inner);
    let mut free =
        all.bearer.layer(all.limit.layer(all.scopes.layer(all.app.layer(
            all.members.layer(all.access.layer(all.caller.layer(all.forward.layer(Inner)))),
        ))));
    let floor = floor::Floor::new();
    let mut by_hand = by_hand::service();
    let good = format!("Bearer {TOKEN}");
    let junk = format!("Bearer {}", TOKEN.replace("81xprsL", "81xprsM"));
    for _ in 0..3 {
        assert_eq!(runtime.block_on(eight.call(request(&good))).expect("infallible").status(), 200);
        assert_eq!(runtime.block_on(told.call(request(&good))).expect("infallible").status(), 200);
        assert_eq!(runtime.block_on(free.call(request(&good))).expect("infallible").status(), 200);
        let answer = runtime.block_on(by_hand.call(request(&good).map(axum::body::Body::new)));
        assert_eq!(answer.expect("infallible").status(), 200);
    }
    assert_eq!(runtime.block_on(eight.call(request(&junk))).expect("infallible").status(), 401);
    let _guard = runtime.enter();
    let kinds = world::kinds();
    let junk_token = junk.trim_start_matches("Bearer ").to_owned();
    let mut times: [Vec<f64>; 8] = Default::default();
    for _ in 0..ROUNDS {
        let [bare, least, ours, open, hand, refused, always, decided] = &mut times;
        bare.push(round(|| request(&good), |r| ready(Inner.call(r))));
        least.push(round(|| request(&good), |r| floor.call(r)));
        ours.push(round(|| request(&good), |r| ready(eight.call(r))));
        open.push(round(|| request(&good), |r| ready(free.call(r))));
        always.push(round(|| request(&good), |r| ready(told.call(r))));
        refused.push(round(|| request(&junk), |r| ready(eight.call(r))));
        hand.push(round(|| request(&good).map(axum::body::Body::new), |r| ready(by_hand.call(r))));
        decided.push(round(|| (), |()| kinds.classify(black_box(&junk_token)).is_err()));
    }
    let [bare, least, ours, open, hand, refused, always, decided] =
        times.map(|rounds| typical(&rounds));
    let over = |time: f64| time - bare;
    println!(
        "breakdown bare {bare:.0} ns, floor {:.0}, eight fused {:.0}, eight free {:.0}",
        over(least),
        over(ours),
        over(open)
    );
    println!(
        "breakdown by hand {:.0} ns, fields always {:.0}, junk answered {:.0}",
        over(hand),
        over(always),
        over(refused)
    );
    println!("figure warm_over_floor {:.2} <=1.5", over(ours) / over(least));
    println!("figure warm_ns {:.0} <=1000", over(ours));
    println!("figure free_ns {:.0} -", over(open));
    println!("figure fields_always_ns {:.0} -", over(always));
    println!("figure handmade_over_ours {:.2} >=3", over(hand) / over(ours));
    println!("figure two_threads_over_one {:.2} -", contention(&eight));
    println!("figure junk_ns {decided:.0} <=150");
    println!("figure junk_answer_ns {:.0} <=400", over(refused));
}

/// Requests a second of two threads at once over those of one: 2 where nothing is shared.
fn contention<S>(service: &S) -> f64
where
    S: Service<world::Request, Error = std::convert::Infallible> + Clone + Send + Sync,
{
    let good = format!("Bearer {TOKEN}");
    let run = |mut service: S| {
        let requests: Vec<_> = (0..20_000).map(|_| request(&good)).collect();
        let start = Instant::now();
        for request in requests {
            black_box(ready(service.call(request)).is_ok());
        }
        20_000.0 / start.elapsed().as_secs_f64()
    };
    let ratio = |_| {
        let alone = run(service.clone());
        let both = std::thread::scope(|scope| {
            let other = scope.spawn(|| run(service.clone()));
            run(service.clone()) + other.join().unwrap_or(f64::NAN)
        });
        both / alone
    };
    let mut ratios: Vec<f64> = (0..9).map(ratio).collect();
    ratios.sort_by(f64::total_cmp);
    ratios.get(4).copied().unwrap_or(f64::NAN)
}
