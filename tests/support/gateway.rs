//! The example `mcp_gateway` as a process of its own.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;

/// A running gateway; it is killed, by its own id, when it is dropped.
pub(crate) struct Gateway {
    _child: Child,
    pub(crate) address: String,
    pub(crate) tokens: HashMap<String, String>,
    /// By the name of the server.
    pub(crate) urls: HashMap<String, String>,
}

impl Gateway {
    /// Starts it on a free port and waits for `ready`.
    pub(crate) async fn start(args: &[&str]) -> Self {
        let mut child = command(args).await.stderr(Stdio::null()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines: Vec<String> = Vec::new();
        while lines.last().is_none_or(|line| line != "ready") {
            let line = tokio::time::timeout(Duration::from_secs(30), stdout.next_line());
            lines.push(line.await.expect("ready in time").unwrap().expect("it runs"));
        }
        let named = |start: &str| {
            let lines = lines.iter().filter_map(|line| line.strip_prefix(start));
            lines
                .map(|line| line.splitn(3, ' ').map(str::to_owned).collect::<Vec<_>>())
                .map(|words| (words[0].clone(), words[1].clone()))
                .collect::<HashMap<_, _>>()
        };
        let address = lines[0].strip_prefix("listening on http://").unwrap().to_owned();
        Self { address, tokens: named("token "), urls: named("mcp "), _child: child }
    }

    /// Exit code and stderr of a start that fails.
    pub(crate) async fn refused(args: &[&str]) -> (Option<i32>, String) {
        let child = command(args).await.stderr(Stdio::piped()).spawn().unwrap();
        let output = tokio::time::timeout(Duration::from_secs(30), child.wait_with_output());
        let output = output.await.expect("it ends in time").unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }
}

/// Built by whoever runs the tests, with their features, so that it is never an old one.
async fn command(args: &[&str]) -> Command {
    static PROGRAM: OnceCell<PathBuf> = OnceCell::const_new();
    let program = PROGRAM.get_or_init(|| async {
        let test = std::env::current_exe().unwrap();
        let profile = test.parent().unwrap().parent().unwrap();
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--example", "mcp_gateway", "--target-dir"]);
        build.arg(profile.parent().unwrap()).current_dir(env!("CARGO_MANIFEST_DIR"));
        if cfg!(feature = "full") {
            build.arg("--all-features");
        } else {
            for (is_on, feature) in [
                (cfg!(feature = "signed"), "signed"),
                (cfg!(feature = "issuer-http"), "issuer-http"),
            ] {
                if is_on {
                    build.args(["--features", feature]);
                }
            }
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
        profile.join("examples/mcp_gateway")
    });
    let mut command = Command::new(program.await);
    command.args(["--addr", "127.0.0.1:0"]).args(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    command
}
