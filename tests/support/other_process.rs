//! A second process: this test binary again, with an authenticator and tables of its own, told what to do line by line.
#![expect(clippy::disallowed_methods, reason = "real processes: they compare the same wall clock")]

use std::collections::HashSet;
use std::convert::Infallible;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tower_bearer::Authenticator;
use tower_bearer::authenticator::AuthenticatorBuilder;
use tower_bearer::id::AccountId;
use tower_bearer::issuing::{Issuer, MintRequest};
use tower_bearer::store::{
    AccountStatus, MemoryStore, Redis, RedisBus, RevokeReason, RevokeTarget, TokenLedger,
    TokenRecord, TokenStore,
};
use tower_bearer::subject::{Subject, SubjectType};
use tower_bearer::token::{Digest, TokenKind, TokenKinds};

/// Token number `n`.
pub(crate) fn token(n: u64) -> String {
    format!("tst_{n:043}")
}

/// Nanoseconds of the clock that all processes read.
pub(crate) fn wall_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}

/// Tables that count how often they are asked.
#[derive(Clone, Default)]
pub(crate) struct Rows {
    pub(crate) memory: MemoryStore,
    asked: Arc<AtomicUsize>,
}

impl TokenStore for Rows {
    type Error = Infallible;

    async fn find(&self, digest: &Digest) -> Result<Option<TokenRecord>, Infallible> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.memory.find(digest).await
    }
}

/// An authenticator over tables of its own.
pub(crate) struct Side {
    pub(crate) auth: Authenticator,
    pub(crate) rows: Rows,
}

impl Side {
    pub(crate) fn new(set: impl FnOnce(AuthenticatorBuilder) -> AuthenticatorBuilder) -> Self {
        let kind = TokenKind::new("account").prefix("tst_").subject(SubjectType::Account);
        let kinds = TokenKinds::builder().kind(kind.fixed(["notes:read"])).build().unwrap();
        let rows = Rows::default();
        let builder = Authenticator::builder(kinds, rows.clone()).ledger(rows.memory.clone());
        Self { auth: set(builder.ttl_jitter(0.0)).build().unwrap(), rows }
    }

    /// Token `n` of an account, under a label.
    pub(crate) async fn adopt(&self, n: u64, account: u64, label: &str) {
        let id = AccountId::new(format!("acc-{account}")).unwrap();
        self.rows.memory.put_account(id.clone(), AccountStatus::Active);
        let request = MintRequest::new("account", Subject::Account { id }, "cli", label);
        Issuer::new(&self.auth).unwrap().adopt(&token(n), &request).await.unwrap();
    }

    /// Why token `n` is refused; `ok` if it is accepted.
    pub(crate) async fn says(&self, n: u64) -> &'static str {
        let verdict = self.auth.authenticate(&token(n)).await;
        verdict.map_or_else(|rejection| rejection.reason().as_str(), |_| "ok")
    }

    pub(crate) fn asked(&self) -> usize {
        self.rows.asked.load(Ordering::SeqCst)
    }
}

/// The other process, seen from here; it is killed, by its own id, when it is dropped.
pub(crate) struct Other {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Other {
    /// Starts one that is on the bus at `url` and keeps facts of tokens for `ttl`.
    pub(crate) fn start(url: &str, ttl: Duration) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "other_process", "--nocapture"])
            .env(ORDER, format!("{url} {}", ttl.as_millis()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (orders, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, orders, answers: BufReader::new(answers) }
    }

    fn ask(&mut self, order: &str) -> String {
        writeln!(self.orders, "{order}").unwrap();
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(self.answers.read_line(&mut line).unwrap(), 0, "the other process ended");
            if let Some(said) = line.strip_prefix(SAID) {
                return said.trim_end().to_owned();
            }
        }
    }

    /// What it says to token `n`, which its tables know.
    pub(crate) fn says(&mut self, n: u64) -> String {
        self.ask(&format!("says {n}"))
    }

    /// When it refused token `n`, asked all the time, and how many of the next 20 answers were a pass.
    pub(crate) fn until_refused(&mut self, n: u64) -> (u64, u64) {
        let said = self.ask(&format!("until {n}"));
        let (at, stale) = said.split_once(' ').unwrap();
        (at.parse().unwrap(), stale.parse().unwrap())
    }

    /// Ends token `n` in its tables, and tells its authenticator nothing: what a database that all share would have.
    pub(crate) fn end_in_tables(&mut self, n: u64) {
        self.ask(&format!("end {n}"));
    }

    /// How often its tables were asked.
    pub(crate) fn asked(&mut self) -> u64 {
        self.ask("asked 0").parse().unwrap()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The body of the other process; does nothing in an ordinary run.
pub(crate) async fn other_process() {
    let Ok(order) = std::env::var(ORDER) else { return };
    let (url, ttl) = order.split_once(' ').unwrap();
    let ttl = Duration::from_millis(ttl.parse().unwrap());
    let redis = Redis::open(url).unwrap();
    let side = Side::new(|builder| builder.bus(RedisBus::new(&redis)).positive_ttl(ttl));
    let mut known = HashSet::new();
    let mut orders =
        tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(tokio::io::stdin()));
    while let Some(order) = orders.next_line().await.unwrap() {
        let (what, n) = order.split_once(' ').unwrap();
        let n = n.parse().unwrap();
        if n > 0 && known.insert(n) {
            side.adopt(n, n, "laptop").await;
        }
        let said = match what {
            "says" => side.says(n).await.to_owned(),
            "asked" => side.asked().to_string(),
            "end" => {
                let target = RevokeTarget::Digest(Digest::of(&token(n)));
                let now = tower_bearer::clock::Timestamp::from_millis(wall_nanos() / 1_000_000);
                side.rows.memory.revoke(&target, RevokeReason::Admin, now).await.unwrap();
                "ended".to_owned()
            }
            "until" => {
                let begun = wall_nanos();
                while side.says(n).await == "ok" {
                    assert!(wall_nanos() - begun < 20_000_000_000, "token {n} is never refused");
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                let (at, mut stale) = (wall_nanos(), 0);
                for _ in 0..20 {
                    stale += u64::from(side.says(n).await == "ok");
                    tokio::task::yield_now().await;
                }
                format!("{at} {stale}")
            }
            other => panic!("no order {other}"),
        };
        println!("\n{SAID}{said}");
    }
}

const ORDER: &str = "BEARER_OTHER_PROCESS";
const SAID: &str = "said ";
