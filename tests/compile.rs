//! Steps in a wrong order do not compile, and the message says what to call first.
#![expect(clippy::unwrap_used, reason = "what helps a test fails it")]

use std::path::{Path, PathBuf};

/// The compiler that wrote the pinned messages; after a change of either: `TRYBUILD=overwrite cargo test --test compile`.
const PINNED: &str = "1.95";

#[test]
fn wrong_orders() {
    let orders = wrong_orders_in("tests/ui");
    let compiler = compiler();
    if !compiler.starts_with(&format!("rustc {PINNED}.")) {
        println!(
            "wrong orders: skipped, their messages are those of rustc {PINNED}, not of {compiler}"
        );
        return;
    }
    let cases = trybuild::TestCases::new();
    for order in &orders {
        cases.compile_fail(order);
    }
    drop(cases); // runs them, and panics if one compiles or says something else
    println!("wrong_orders_compiled 0 of {}", orders.len());
}

fn wrong_orders_in(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut orders: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "rs")).collect();
    orders.sort();
    orders
}

fn compiler() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = std::process::Command::new(rustc).arg("--version").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}
