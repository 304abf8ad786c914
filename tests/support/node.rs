//! Scripts of `tests/npm` as processes of a test's own, each on a free loopback port, stopped by its process id.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

const PATIENCE: Duration = Duration::from_secs(60);

/// A running server; it is killed, by its own id, when it is dropped.
pub(crate) struct Node {
    _child: Child,
    pub(crate) url: String,
}

/// Whether Node.js and the packages are here. If not, a line says so: never with `CI` set, where that is a failure.
pub(crate) async fn is_here() -> bool {
    let node = Command::new("node").arg("--version").stdout(Stdio::null()).status().await;
    let packages = folder().join("node_modules/.package-lock.json").exists();
    let missing = match (node, packages) {
        (Ok(_), true) => return true,
        (Err(_), _) => "node is missing",
        (Ok(_), false) => "the npm packages of tests/npm are missing",
    };
    assert!(std::env::var_os("CI").is_none(), "{missing}, and CI is set");
    println!("skipped: {missing}; tests/run installs it");
    false
}

impl Node {
    /// The server that says what it was told; it also checks tokens of `issuer`, if there is one.
    pub(crate) async fn whoami(issuer: Option<&str>) -> Self {
        let jwks = issuer.map(|issuer| format!("{issuer}/jwks"));
        let args: Vec<&str> = jwks.as_deref().into_iter().chain(issuer).collect();
        Self::start(&[&["whoami.mjs"], &args[..]].concat()).await
    }

    /// The package `@modelcontextprotocol/server-everything`.
    pub(crate) async fn everything() -> Self {
        let script = "node_modules/@modelcontextprotocol/server-everything/dist/index.js";
        Self::start(&["--import", "./loopback.mjs", script, "streamableHttp"]).await
    }

    /// The package `oidc-provider`, whose access tokens live for so many seconds.
    pub(crate) async fn provider(ttl: u32) -> Self {
        Self::start(&["provider.mjs", &ttl.to_string()]).await
    }

    async fn start(args: &[&str]) -> Self {
        let mut child = command(args).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        loop {
            let line = tokio::time::timeout(PATIENCE, stdout.next_line()).await;
            let line = line.expect("it listens in time").unwrap().expect("it runs");
            if let Some(url) = line.strip_prefix("listening on ") {
                let url = url.to_owned();
                // a pipe that nobody reads would stop it one day
                tokio::spawn(async move { while let Ok(Some(_)) = stdout.next_line().await {} });
                return Self { _child: child, url };
            }
        }
    }
}

/// What the official client saw at `url`; what else it sends is `_meta` and headers.
pub(crate) async fn drive(url: &str, token: &str, meta: &Value, headers: &Value) -> Value {
    let (meta, headers) = (meta.to_string(), headers.to_string());
    let child = command(&["driver.mjs", url, token, &meta, &headers]).spawn().unwrap();
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
    let output = output.expect("it ends in time").unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new("node");
    command.args(args).current_dir(folder()).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/npm"))
}
