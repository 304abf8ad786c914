//! What a decision over a shared Redis costs, beside the cheapest script that there is, on the same server in one run.
//!
//! Prints `figure NAME VALUE GOAL` lines: CPU of the server for a decision over that of `EVALSHA` of `return 1`, decisions a
//! second with 64 in flight over the same, p50 and p99 of one decision over `PING`, and bytes of a log.
#![expect(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench: it reads real time, and what cannot be measured stops it"
)]

#[path = "../../tests/support/redis.rs"]
#[expect(dead_code, reason = "a kit of which this bench uses a part")]
mod server;

mod floor;
mod logs;
mod rounds;

use server::RedisServer;

fn main() {
    if std::env::args().any(|argument| argument == "--test" || argument == "--list") {
        return;
    }
    let Some(server) = RedisServer::start() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        rounds::cost(&server).await;
        rounds::wait(&server).await;
    });
    logs::bytes(&server);
}
