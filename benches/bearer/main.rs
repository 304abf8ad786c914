//! What a request costs, beside what it must cost at least. One process, so that the ratios hold on any machine.
//!
//! `cargo bench --bench bearer -- hot_path` runs one module; `tests/figures speed` prints the figures.

#![expect(clippy::panic, reason = "a bench stops at a wrong answer")]

mod floor;
mod hot_path;
mod layers;
mod world;

criterion::criterion_group!(benches, hot_path::bench);
criterion::criterion_main!(benches);
