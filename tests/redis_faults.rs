//! Whatever becomes of the Redis behind a limit, callers are answered at once, nobody gets more than the limit, and it heals by itself.
#![cfg(feature = "redis")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may stop at what cannot be"
)]
#![expect(clippy::disallowed_methods, reason = "real processes: waits by polling until a deadline")]

#[path = "redis_faults/canary.rs"]
mod canary;
#[path = "redis_faults/dead.rs"]
mod dead;
#[path = "redis_faults/figure.rs"]
mod figure;
#[path = "redis_faults/hung.rs"]
mod hung;
#[path = "redis_faults/ill.rs"]
mod ill;
#[path = "support/leaks.rs"]
#[expect(dead_code, reason = "a test kit of which this file uses a part")]
mod leaks;
#[path = "support/limits.rs"]
#[expect(dead_code, reason = "a test kit of which this file uses a part")]
mod limits;
#[path = "redis_faults/lost.rs"]
mod lost;
#[path = "support/proxy.rs"]
#[expect(dead_code, reason = "a test kit of which this file uses a part")]
mod proxy;
#[path = "redis_faults/scene.rs"]
mod scene;
#[path = "support/redis.rs"]
#[expect(dead_code, reason = "a test kit of which this file uses a part")]
mod server;
#[path = "redis_faults/slow.rs"]
mod slow;

use std::panic::AssertUnwindSafe;
use std::pin::Pin;

use figure::{Figure, Verdict, must};
use scene::watch;
use server::RedisServer;

type Figures = Pin<Box<dyn Future<Output = Vec<Figure>>>>;
type Row = (&'static str, fn() -> Figures);

/// One after the other: they share a machine, and measure time.
const ROWS: &[Row] = &[
    ("XM13 refuses from the start", || Box::pin(dead::from_the_start())),
    ("XM13 is killed", || Box::pin(dead::killed())),
    ("L645 comes back empty", || Box::pin(dead::warm_and_back_empty())),
    ("L653 a call now and then", || Box::pin(dead::now_and_then())),
    ("XM14 is stopped", || Box::pin(hung::stopped())),
    ("XM14 pauses its writers", || Box::pin(hung::paused("WRITE"))),
    ("XM14 pauses everybody", || Box::pin(hung::paused("ALL"))),
    ("XM14 hears nothing", || Box::pin(hung::black_hole(true))),
    ("XM14 is not heard", || Box::pin(hung::black_hole(false))),
    ("XM21 runs somebody's endless script", || Box::pin(hung::busy())),
    ("XM15 is slow, now and then", || Box::pin(slow::jitter())),
    ("L647 is slow once", || Box::pin(slow::once())),
    ("L364 is slower than its callers wait", || Box::pin(slow::left_alone())),
    ("XM16 is restarted, empty", || Box::pin(lost::restarted())),
    ("L646 is away for a while", || Box::pin(lost::four_processes())),
    ("XM22 loses its clients each second", || Box::pin(lost::connections_each_second())),
    ("XM17 forgets its scripts", || Box::pin(ill::script_flushed())),
    ("XM18 is demoted", || Box::pin(ill::demoted())),
    ("XM19 is full", || Box::pin(ill::full())),
    ("XM23 does not know us", || Box::pin(ill::wrong_password())),
    ("XM23 changes its password", || Box::pin(ill::password_changed())),
    ("L652 talks nonsense", || Box::pin(ill::nonsense())),
    ("XM28 clocks differ", || Box::pin(ill::clocks_apart())),
    ("XK2 the password", || Box::pin(canary::password())),
];

/// All rows; with `BEARER_ROW` set those alone whose name begins with it.
#[test]
fn every_fault_row_of_a_shared_store_holds() {
    let Some(server) = RedisServer::start() else { return };
    drop(server);
    canary::look_everywhere();
    let only = std::env::var("BEARER_ROW").unwrap_or_default();
    let (mut figures, mut short, mut failed) = (0, 0, Vec::new());
    for (name, run) in ROWS.iter().filter(|(name, _)| name.starts_with(&only)) {
        let id = name.split(' ').next().unwrap();
        let ran = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let mut workers = tokio::runtime::Builder::new_multi_thread();
            workers.worker_threads(2).enable_all().build().unwrap().block_on(run())
        }));
        let mut ran = ran.unwrap_or_else(|_| vec![must("panicked", "yes", "no", false)]);
        let hits = watch().hits();
        ran.push(must("password_hits", hits.len(), "=0", hits.is_empty()));
        for Figure { text, verdict } in ran {
            figures += 1;
            println!("fault {id} {text} {}", verdict.as_str());
            match verdict {
                Verdict::Holds => {}
                Verdict::Short => short += 1,
                Verdict::Failed => failed.push(format!("{name}: {text}")),
            }
        }
    }
    println!("shared_fault_rows_failed {} of {figures}, times short {short}", failed.len());
    assert!(failed.is_empty(), "{failed:#?}");
}
