//! A Redis server of a test's own: on a free loopback port, in a folder of its own, stopped by its process id.
#![expect(clippy::disallowed_methods, reason = "real processes: waits by polling until a deadline")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running server; it is killed, by its own id, when it is dropped.
pub(crate) struct RedisServer {
    child: Option<Child>,
    pub(crate) port: u16,
    pub(crate) dir: PathBuf,
    arguments: Vec<String>,
}

impl RedisServer {
    /// Starts one that keeps nothing on disk. `None`, and a line that says so, if this system has no Redis: never with
    /// `CI` set, where that is a failure.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// As `start`, with further arguments.
    pub(crate) fn start_with(arguments: &[&str]) -> Option<Self> {
        if Command::new(SERVER).arg("--version").stdout(Stdio::null()).status().is_err() {
            assert!(std::env::var_os("CI").is_none(), "{SERVER} is missing, and CI is set");
            println!("skipped: no {SERVER} here; tests/run installs it");
            return None;
        }
        for _ in 0..20 {
            let port = free_port();
            let dir = folder(port);
            let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
            let mut server = Self { child: None, port, dir, arguments };
            if server.run() {
                return Some(server);
            }
        }
        panic!("{SERVER} does not start")
    }

    /// `redis://127.0.0.1:PORT`
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Puts one command, and gives back its reply: bulk strings and numbers as text, arrays with a space between.
    pub(crate) fn say(&self, words: &[&str]) -> String {
        self.try_say(words).unwrap_or_else(|| panic!("redis answers nothing to {words:?}"))
    }

    /// As `say`; `None` if nobody answers.
    pub(crate) fn try_say(&self, words: &[&str]) -> Option<String> {
        let bytes: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        self.try_bytes(&bytes).map(|reply| String::from_utf8_lossy(&reply).into_owned())
    }

    /// As `say`, with the bytes as they are.
    pub(crate) fn bytes(&self, words: &[&[u8]]) -> Vec<u8> {
        self.try_bytes(words).unwrap()
    }

    fn try_bytes(&self, words: &[&[u8]]) -> Option<Vec<u8>> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        let mut writer = stream.try_clone().ok()?;
        let mut reader = BufReader::new(stream);
        let password = self.arguments.iter().position(|argument| argument == "--requirepass");
        if let Some(password) = password.and_then(|at| self.arguments.get(at + 1)) {
            put(&mut writer, &[b"AUTH", password.as_bytes()]).ok()?;
            reply(&mut reader)?;
        }
        put(&mut writer, words).ok()?;
        reply(&mut reader)
    }

    /// Sends a signal, such as `STOP`, to the process.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(
            Command::new("kill").args([&format!("-{signal}"), &id]).status().unwrap().success()
        );
    }

    /// Kills it; the port stays its own.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again, empty, on the same port.
    pub(crate) fn restart(&mut self) {
        self.kill();
        assert!(self.run(), "{SERVER} does not start again");
    }

    /// Starts the process and waits until it answers; `false` if it ended, as with a port that was taken meanwhile.
    fn run(&mut self) -> bool {
        let sentinel = self.arguments.iter().any(|argument| argument == "--sentinel");
        let mut command = Command::new(SERVER);
        if sentinel {
            // it insists on a file that it can write to
            let file = self.dir.join("sentinel.conf");
            let text = format!("port {}\nbind 127.0.0.1\ndir {}\n", self.port, self.dir.display());
            std::fs::write(&file, text).unwrap();
            command.arg(file);
        } else {
            command
                .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
                .args(["--save", "", "--appendonly", "no", "--dir"])
                .arg(&self.dir);
        }
        let mut child = command
            .args(&self.arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let tls_only = self.arguments.iter().any(|argument| argument == "--tls-port");
        let began = Instant::now();
        let up = loop {
            if child.try_wait().unwrap().is_some() || began.elapsed() > Duration::from_secs(20) {
                break false;
            }
            if (tls_only && TcpStream::connect(("127.0.0.1", self.port)).is_ok())
                || self.try_say(&["PING"]).is_some_and(|reply| sentinel || reply == "PONG")
            {
                break true;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        self.child = Some(child);
        if !up {
            self.kill();
        }
        up
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Polls until `done`, for at most ten seconds.
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(10), "{what}: not within ten seconds");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A port that nobody had a moment ago.
pub(crate) fn free_port() -> u16 {
    // its neighbour 10,000 above is a cluster node's bus
    loop {
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        if port < 55_000 {
            return port;
        }
    }
}

fn folder(port: u16) -> PathBuf {
    let root = option_env!("CARGO_TARGET_TMPDIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = Path::new(&root).join(format!("redis-{}-{port}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

fn put(writer: &mut TcpStream, words: &[&[u8]]) -> std::io::Result<()> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend(format!("${}\r\n", word.len()).into_bytes());
        out.extend(*word);
        out.extend(b"\r\n");
    }
    writer.write_all(&out)
}

/// One reply; an error is given back with its minus sign.
fn reply(reader: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let line = line.trim_end();
    let (sort, rest) = line.split_at(1);
    match sort {
        "+" | ":" => Some(rest.as_bytes().to_vec()),
        "-" => Some(line.as_bytes().to_vec()),
        "$" => {
            let Ok(len) = rest.parse::<usize>() else { return Some(Vec::new()) };
            let mut bytes = vec![0; len + 2];
            reader.read_exact(&mut bytes).ok()?;
            bytes.truncate(len);
            Some(bytes)
        }
        "*" => {
            let items: usize = rest.parse().unwrap_or(0);
            let all: Option<Vec<Vec<u8>>> = (0..items).map(|_| reply(reader)).collect();
            Some(all?.join(&b' '))
        }
        _ => None,
    }
}

const SERVER: &str = "redis-server";
