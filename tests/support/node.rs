//! Scripts of `tests/npm` as processes of a test's own, each on a free loopback port, stopped by its process id.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
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
    /// The server that says what it was told.
    pub(crate) async fn whoami() -> Self {
        Self::start(&["whoami.mjs"]).await
    }

    /// From now on `whoami` checks tokens of this issuer.
    pub(crate) async fn trust(&self, issuer: &str, jwks: &str) {
        let url = self.url.replace("/mcp", "/trust");
        let (status, _) = ask(url, Some(&json!({ "issuer": issuer, "jwks": jwks })), None).await;
        assert_eq!(status, 204);
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

/// Status and body of one question, as JSON or as a form with the client's own credential.
pub(crate) async fn ask(url: String, body: Option<&Value>, form: Option<&str>) -> (u16, Value) {
    let request = match (body, form) {
        (Some(body), _) => Request::post(url)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(body.to_string())),
        (None, Some(form)) => Request::post(url)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::AUTHORIZATION, BASIC)
            .body(Full::from(form.to_owned())),
        (None, None) => Request::get(url).body(Full::<Bytes>::default()),
    };
    let client = Client::builder(TokioExecutor::new()).build_http();
    let (head, body) = client.request(request.unwrap()).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status.as_u16(), serde_json::from_slice(&body).unwrap_or_default())
}

/// `gateway` and its secret, as `provider.mjs` has them.
#[cfg(feature = "issuer-http")]
pub(crate) const CLIENT: &str = "gateway:gateway-secret-of-the-tests-0123456789";
/// The same, as a header says them.
const BASIC: &str = "Basic Z2F0ZXdheTpnYXRld2F5LXNlY3JldC1vZi10aGUtdGVzdHMtMDEyMzQ1Njc4OQ==";
fn command(args: &[&str]) -> Command {
    let mut command = Command::new("node");
    command.args(args).current_dir(folder()).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/npm"))
}
