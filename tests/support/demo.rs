//! The example service as a process of its own, and a client that reads answers whole.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;

/// A running demo; it is killed, by its own id, when it is dropped.
pub(crate) struct Demo {
    child: Child,
    /// `http://…`
    pub(crate) url: String,
    pub(crate) admin: String,
    pub(crate) tokens: HashMap<String, String>,
    pub(crate) lines: Vec<String>,
}

/// What ended, and what it said.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Demo {
    /// Starts it on a free port and waits for `ready`.
    pub(crate) async fn start(args: &[&str]) -> Self {
        Self::start_logging(args, Stdio::null()).await
    }

    /// As `start`; what it says on stderr goes to `log`.
    pub(crate) async fn start_logging(args: &[&str], log: impl Into<Stdio>) -> Self {
        let mut child = command(args).await.stderr(log).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = Vec::new();
        while lines.last().is_none_or(|line| line != "ready") {
            let line = tokio::time::timeout(Duration::from_secs(30), stdout.next_line());
            lines.push(line.await.expect("ready in time").unwrap().expect("it runs"));
        }
        let after = |start: &str| {
            let line = lines.iter().find_map(|line| line.strip_prefix(start));
            line.unwrap().to_owned()
        };
        let (url, admin) = (after("listening on "), after("admin on "));
        let tokens = lines.iter().filter_map(|line| {
            let mut words = line.strip_prefix("token ")?.split(' ');
            Some((words.next()?.to_owned(), words.next()?.to_owned()))
        });
        Self { url, admin, tokens: tokens.collect(), child, lines }
    }

    /// Runs it until it ends by itself.
    pub(crate) async fn run(args: &[&str]) -> Ended {
        let child = command(args).await.stderr(Stdio::piped()).spawn().unwrap();
        let output = tokio::time::timeout(Duration::from_secs(30), child.wait_with_output());
        let output = output.await.expect("it ends in time").unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ended {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Sends a signal, such as `TERM`, and waits for the end.
    pub(crate) async fn signal(mut self, signal: &str) -> ExitStatus {
        let id = self.child.id().unwrap().to_string();
        let sent = Command::new("kill").args([&format!("-{signal}"), &id]).status().await;
        assert!(sent.unwrap().success());
        let ended = tokio::time::timeout(Duration::from_secs(10), self.child.wait());
        ended.await.expect("P1403 within 10 s").unwrap()
    }
}

/// Built by whoever runs the tests, with their features, so that it is never an old one.
async fn command(args: &[&str]) -> Command {
    static PROGRAM: OnceCell<PathBuf> = OnceCell::const_new();
    let program = PROGRAM.get_or_init(|| async {
        let test = std::env::current_exe().unwrap();
        let profile = test.parent().unwrap().parent().unwrap();
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--example", "quickstart", "--target-dir"]);
        build.arg(profile.parent().unwrap()).current_dir(env!("CARGO_MANIFEST_DIR"));
        if cfg!(feature = "full") {
            build.arg("--all-features");
        } else if cfg!(feature = "redis") {
            build.args(["--features", "redis"]);
        }
        // what cargo says of this package would have build scripts run again, now and at the next call
        let of_cargo =
            |name: &String| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        for name in std::env::vars().map(|(name, _)| name).filter(of_cargo) {
            build.env_remove(name);
        }
        if profile.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().await.unwrap().success(), "the example builds");
        profile.join("examples/quickstart")
    });
    let mut command = Command::new(program.await);
    command.args(["--addr", "127.0.0.1:0"]).args(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    command
}

/// One answer, whole.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    /// All lines of one field, joined.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let lines: Vec<_> = self.headers.get_all(name).iter().collect();
        let text = lines.iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>();
        (!text.is_empty()).then(|| text.join(", "))
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The `error` member, or nothing.
    pub(crate) fn error(&self) -> String {
        self.json()["error"].as_str().unwrap_or_default().to_owned()
    }
}

/// A client over h1 or h2.
#[derive(Clone)]
pub(crate) struct Caller(Client<HttpConnector, Full<Bytes>>);

impl Caller {
    pub(crate) fn h1() -> Self {
        Self(Client::builder(TokioExecutor::new()).build_http())
    }

    pub(crate) fn h2() -> Self {
        Self(Client::builder(TokioExecutor::new()).http2_only(true).build_http())
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let response = self.0.request(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        Answer { status: head.status.as_u16(), headers: head.headers, body }
    }

    /// With these `Authorization` lines.
    pub(crate) async fn call(&self, method: &str, url: String, authorization: &[String]) -> Answer {
        let mut request = Request::builder().method(method).uri(url);
        for line in authorization {
            request = request.header("authorization", line);
        }
        self.send(request.body(Full::default()).unwrap()).await
    }

    pub(crate) async fn bearer(&self, method: &str, url: String, token: &str) -> Answer {
        self.call(method, url, &[format!("Bearer {token}")]).await
    }

    /// With a JSON body.
    pub(crate) async fn json(&self, method: &str, url: String, body: &str) -> Answer {
        let request = Request::builder().method(method).uri(url);
        let request = request.header("content-type", "application/json");
        self.send(request.body(Full::from(body.to_owned())).unwrap()).await
    }
}

/// A service behind the demo that notes what it is sent.
#[derive(Clone, Default)]
pub(crate) struct Upstream {
    seen: Arc<Mutex<Vec<Request<Bytes>>>>,
}

impl Upstream {
    /// Starts it; gives back its URL.
    pub(crate) async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let this = self.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let this = this.clone();
                let answer = hyper::service::service_fn(move |request| this.clone().note(request));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), answer),
                );
            }
        });
        url
    }

    async fn note(
        self,
        request: Request<hyper::body::Incoming>,
    ) -> Result<Response<Full<Bytes>>, hyper::Error> {
        let (head, body) = request.into_parts();
        let request = Request::from_parts(head, body.collect().await?.to_bytes());
        let answer = format!("upstream {} {}", request.method(), request.uri());
        self.seen.lock().unwrap().push(request);
        let response = Response::builder()
            .header("x-upstream", "yes")
            .header("x-forwarded-user-id", "somebody");
        Ok(response.body(Full::from(answer)).unwrap())
    }

    /// What it was sent since it was asked last.
    pub(crate) fn take(&self) -> Vec<Request<Bytes>> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}
