//! What a request costs, each part beside what it must cost at least.
//!
//! `cargo bench --bench bearer -- hot_path` runs one module; `tests/figures speed` prints the figures. Each bench also prints
//! a line `NAME: R x BASELINE (BASELINE a ns, NAME b ns)`, both timed in turn in one run, so that it holds on any machine.

#![expect(
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench stops at a wrong answer, and prints"
)]
#![expect(clippy::disallowed_methods, reason = "a bench reads real time")]

mod alone;
mod beside;
#[path = "../shared/by_hand.rs"]
mod by_hand;
mod cache;
mod cold;
mod contention;
#[path = "../shared/floor.rs"]
mod floor;
mod hot_path;
#[path = "../shared/layers.rs"]
mod layers;
mod parse;
mod refusals;
#[path = "../shared/timing.rs"]
mod timing;
mod token;
mod window;
#[path = "../shared/world.rs"]
mod world;

criterion::criterion_group!(
    benches,
    alone::bench,
    cache::bench,
    cold::bench,
    contention::bench,
    hot_path::bench,
    parse::bench,
    refusals::bench,
    window::bench,
);
criterion::criterion_main!(benches);
