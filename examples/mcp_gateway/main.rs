//! A gateway in front of MCP servers that tells them who calls: `cargo run --example mcp_gateway -- --upstream NAME=URL`.
//!
//! Give an MCP client the URL and a token of those it prints. The server learns the caller as `--forward` says.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `stack.rs` | the eight layers, and what they read: read this one first |
//! | `modes.rs`, `minted.rs` | `--forward`: in which form identity reaches the servers |
//! | `route.rs` | which app and which server a request is for |
//! | `proxy.rs` | what is asked of the server, and its answer, streamed |
//! | `world.rs` | who and what is there: accounts, an app, tokens |
//! | `flags.rs`, `serve.rs` | command line, connections |

#![expect(unreachable_pub, reason = "one program: `pub` is for its other files")]

mod flags;
#[cfg(feature = "issuer-http")]
mod minted;
mod modes;
mod proxy;
mod route;
mod serve;
mod stack;
mod world;

use std::error::Error;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::flags::{Flags, USAGE};
use crate::stack::gateway;
use crate::world::World;

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
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    log.with_ansi(false).init();
    match run(flags).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(wrong) => give_up(1, wrong),
    }
}

/// One line on stderr.
fn give_up(code: u8, wrong: impl std::fmt::Display) -> ExitCode {
    let line = wrong.to_string().replace('\n', " ");
    writeln!(io::stderr(), "mcp_gateway: {line}").ok();
    ExitCode::from(code)
}

async fn run(flags: Flags) -> Result<(), Box<dyn Error>> {
    let world = World::new().await?;
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let listener = TcpListener::bind(flags.addr).await?;
    let addr = listener.local_addr()?;
    let gateway = gateway(&world, &flags, &format!("http://{addr}"))?;
    greet(addr, &world, &flags).ok(); // whoever closed stdout does not want to know
    tokio::select! {
        () = serve::serve(listener, gateway) => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

fn greet(addr: SocketAddr, world: &World, flags: &Flags) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "listening on http://{addr}")?;
    for (name, text, may) in &world.tokens {
        writeln!(out, "token {name} {text} {may}")?;
    }
    for upstream in &flags.upstreams {
        let (app, name) = (world::APP, upstream.name());
        writeln!(out, "mcp {name} http://{addr}/apps/{app}/mcp/{name}")?;
    }
    writeln!(out, "ready")?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt;

    /// Without sockets: nobody listens at the server's address, so whoever gets through learns that.
    #[tokio::test]
    async fn only_members_get_through() {
        let line = "--upstream tools=http://127.0.0.1:1/mcp";
        let flags = Flags::parse(line.split(' ').map(str::to_owned)).unwrap().unwrap();
        let world = World::new().await.unwrap();
        let gateway = gateway(&world, &flags, "http://127.0.0.1:2").unwrap();
        let token = |name: &str| {
            let found = world.tokens.iter().find(|(token, ..)| *token == name);
            found.map(|(_, text, _)| format!("Bearer {text}"))
        };
        let path = "/apps/app-tools/mcp/tools";
        for (name, caller, path, want) in [
            ("a member", token("alice"), path, 502),
            ("nobody", None, path, 401),
            ("a stranger", token("mallory"), path, 404),
            ("a token without the scope", token("alice-looks"), path, 403),
            ("no such app", token("alice"), "/apps/other/mcp/tools", 404),
            ("no such server", token("alice"), "/apps/app-tools/mcp/other", 404),
            ("more than a server's name", token("alice"), "/apps/app-tools/mcp/tools/..", 404),
            ("nobody, nowhere", None, "/", 401),
        ] {
            let mut request = Request::post(path);
            if let Some(line) = caller {
                request = request.header("authorization", line);
            }
            let answer = gateway.clone().oneshot(request.body(Body::empty()).unwrap()).await;
            assert_eq!(answer.unwrap().status(), want, "{name}");
        }
    }
}
