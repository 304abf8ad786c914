//! What a request costs, beside what it must cost at least. One process, so that the ratios hold on any machine.
//!
//! `cargo bench --bench bearer -- hot_path` runs one module; `tests/figures speed` prints the figures.

#![expect(
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench stops at a wrong answer, and prints"
)]

mod cache;
#[path = "../shared/floor.rs"]
mod floor;
mod hot_path;
#[path = "../shared/layers.rs"]
mod layers;
#[path = "../shared/world.rs"]
mod world;

criterion::criterion_group!(benches, cache::bench, hot_path::bench);
criterion::criterion_main!(benches);
