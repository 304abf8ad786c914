//! A whole service behind the layers, nothing to install: `cargo run --example quickstart`, then paste a `curl` line.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `routes.rs` | which checks stand in front of which route: read this one first |
//! | `access.rs` | the authenticator, the store, the limiter, and the layers made of them |
//! | `handlers.rs`, `proxy.rs` | what happens once a request has passed |
//! | `forwarding.rs` | in which form the upstream is told who calls |
//! | `admin.rs`, `minting.rs` | a second address: end and mint tokens, change people and apps |
//! | `sharing.rs` | what several processes share: `cargo run --features redis --example quickstart -- --redis URL` |
//! | `edge.rs`, `serve.rs` | outer layers and connections |
//! | `flags.rs`, `seed.rs`, `planting.rs`, `greeting.rs` | command line, seed, what is printed |
//! | `problem.rs`, `strict.rs` | refusals of the service's own, JSON bodies |

#![expect(unreachable_pub, reason = "one program: `pub` is for its other files")]

mod access;
mod admin;
mod edge;
mod flags;
mod forwarding;
mod greeting;
mod handlers;
mod minting;
mod planting;
mod problem;
mod proxy;
mod routes;
mod seed;
mod serve;
mod sharing;
mod strict;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use crate::access::Access;
use crate::flags::{Flags, USAGE};
use crate::forwarding::Forwards;
use crate::planting::Shown;
use crate::proxy::Proxy;
use crate::seed::{EMBEDDED, Seed};

#[tokio::main]
async fn main() -> ExitCode {
    let args = std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned());
    let flags = match Flags::parse(args) {
        Ok(Some(flags)) => flags,
        Ok(None) => {
            writeln!(io::stdout(), "{USAGE}").ok();
            return ExitCode::SUCCESS;
        }
        Err(wrong) => return give_up(2, wrong),
    };
    let (access, tokens) = match prepare(&flags).await {
        Ok(ready) => ready,
        Err(wrong) => return give_up(2, wrong),
    };
    if let Some(sharing) = &flags.redis
        && let Some(missing) = sharing.missing(&access.limiter).await
    {
        say(missing);
    }
    // from here on: a bad flag or seed, and a Redis that is not there at the start, are one line on stderr
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    log.with_ansi(false).init();
    match run(&flags, access, &tokens).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(wrong) => give_up(1, wrong),
    }
}

fn give_up(code: u8, wrong: impl std::fmt::Display) -> ExitCode {
    say(wrong);
    ExitCode::from(code)
}

/// One line on stderr.
fn say(what: impl std::fmt::Display) {
    let line = what.to_string().replace('\n', " ");
    writeln!(io::stderr(), "quickstart: {line}").ok();
}

/// Everything that the command line can be wrong about.
async fn prepare(flags: &Flags) -> Result<(Access, Vec<Shown>), Box<dyn Error>> {
    let access = Access::new(flags)?;
    let seed = match &flags.seed {
        Some(path) => std::fs::read_to_string(path).map_err(|error| format!("--seed: {error}"))?,
        None => EMBEDDED.to_owned(),
    };
    let seed = Seed::read(&seed).map_err(|error| format!("--seed: {error}"))?;
    let tokens = seed.plant(&access).await.map_err(|error| format!("--seed: {error}"))?;
    Ok((access, tokens))
}

async fn run(flags: &Flags, access: Access, tokens: &[Shown]) -> Result<(), Box<dyn Error>> {
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let listener = TcpListener::bind(flags.addr).await?;
    let admin_listener = TcpListener::bind("127.0.0.1:0").await?;
    let (addr, admin_addr) = (listener.local_addr()?, admin_listener.local_addr()?);
    let own = format!("http://{addr}");
    let forward = flags.upstream.as_ref().map(|up| flags.forward.to(&access.auth, up, &own));
    let (proxy, jwks) = match forward.transpose()? {
        Some(Forwards { to_upstream, needs_token, jwks }) => {
            (Some(Proxy::new(to_upstream, needs_token)), jwks)
        }
        None => (None, None),
    };
    let public = routes::routes(&access, proxy)?.layer(edge::cors());
    let admin = admin::routes(&access, jwks);
    let (stop, stopped) = watch::channel(false);
    let servers = [
        tokio::spawn(serve::serve(listener, edge::around(public), stopped.clone())),
        tokio::spawn(serve::serve(admin_listener, edge::around(admin), stopped)),
    ];
    // whoever closed stdout does not want to know
    greeting::greet(addr, admin_addr, tokens, flags.limit.0.get()).ok();
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("stopping");
    stop.send_replace(true);
    let all = async {
        for server in servers {
            server.await.ok();
        }
    };
    if tokio::time::timeout(Duration::from_secs(9), all).await.is_err() {
        tracing::warn!("some connections did not end in time");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt;

    /// The first three lines of the greeting, without sockets.
    #[tokio::test]
    async fn the_embedded_seed_passes_refuses_and_limits() {
        let flags = Flags::parse(["--limit=2/60".to_owned()]).unwrap().unwrap();
        let (access, tokens) = prepare(&flags).await.unwrap();
        let router = routes::routes(&access, None).unwrap();
        let by_name = |name| &tokens.iter().find(|token| token.name == name).unwrap().text;
        for (row, name, method, path, want) in [
            ("P1462", "member-full", "GET", "/me", 200),
            ("P1468", "member-read", "POST", "/apps/app-public/run", 403),
            ("P1468", "guest", "POST", "/apps/app-public/run", 200),
            ("L721 second", "member-full", "GET", "/me", 200),
            ("L721 third", "member-full", "GET", "/me", 429),
        ] {
            let authorization = format!("Bearer {}", by_name(name));
            let request = Request::builder().method(method).uri(path);
            let request = request.header("authorization", authorization).body(Body::empty());
            let response = router.clone().oneshot(request.unwrap()).await.unwrap();
            assert_eq!(response.status(), want, "{row} {method} {path} by {name}");
        }
    }
}
