//! Whatever bytes arrive, in either protocol, each answer is the one its row names and the service goes on.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking too")]

#[path = "support/demo.rs"]
#[expect(dead_code, reason = "each test file uses its own part")]
mod demo;
#[expect(dead_code, reason = "each test file uses its own part")]
#[path = "support/limits.rs"]
mod limits;
#[path = "support/raw/mod.rs"]
mod raw;
mod support;

use limits::{Desk, get, inner, limit, send, told};
use raw::run::{Outcome, run};
use tower::Layer;
use tower_bearer::limit::{Limiter, Policy};
use tower_bearer::scope::ScopeSet;
use tower_bearer::stack::{BearerCheck, BearerStack, RateLimit};

const SEED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/raw/seed.json");

const FILES: &[(&str, &str)] = &[
    ("identity", include_str!("raw/identity.txt")),
    ("credentials", include_str!("raw/credentials.txt")),
    ("scopes", include_str!("raw/scopes.txt")),
    ("paths", include_str!("raw/paths.txt")),
    ("tenants", include_str!("raw/tenants.txt")),
    ("limits", include_str!("raw/limits.txt")),
    ("protocol", include_str!("raw/protocol.txt")),
    ("slow", include_str!("raw/slow.txt")),
];

#[tokio::test(flavor = "multi_thread")]
async fn attack_rows() {
    let files = FILES.iter().map(|(name, rows)| tokio::spawn(run(name, rows, SEED)));
    let mut outcome = Outcome::default();
    for file in files.collect::<Vec<_>>() {
        let one = file.await.unwrap();
        outcome.rows += one.rows;
        outcome.failed.extend(one.failed);
    }
    for (id, faults) in [
        ("XH4 two bursts at a window's edge", window_edge().await),
        ("XH9 who hammers on recovers on time", hammering().await),
        ("XH13 two windows, one is full", two_windows().await),
        ("XH14 to the millisecond", told_time().await),
        ("XB9 no header holds DEL, and 0xFF is refused", bytes_behind_a_token().await),
        ("XE3 what separates scopes", separators()),
    ] {
        outcome.rows += 1;
        outcome.failed.extend((!faults.is_empty()).then(|| format!("inside {id}: {faults}")));
    }
    for row in &outcome.failed {
        println!("{row}");
    }
    println!("attack rows {} failed {}", outcome.rows, outcome.failed.len());
    assert!(outcome.failed.is_empty(), "see the rows above");
}

/// A desk with one token, behind these policies; each call says what was answered.
struct Window {
    desk: Desk,
    service: <BearerCheck as Layer<<RateLimit as Layer<limits::Inner>>::Service>>::Service,
}

impl Window {
    fn new(policies: impl IntoIterator<Item = Policy>) -> Self {
        let desk = Desk::new();
        let limiter =
            policies.into_iter().fold(Limiter::builder(), |all, policy| all.policy(policy));
        let layer = RateLimit::from(&limiter.build().unwrap());
        let service = BearerCheck::new(&desk.auth).layer(layer.layer(inner(200).0));
        Self { desk, service }
    }

    /// How many of so many calls pass.
    async fn passed(&self, calls: usize, token: &str) -> usize {
        let mut passed = 0;
        for _ in 0..calls {
            passed +=
                usize::from(limits::status(&send(&self.service, get("/me", token)).await) == 200);
        }
        passed
    }

    async fn told(&self, token: &str) -> String {
        told(&send(&self.service, get("/me", token)).await)
    }
}

/// What differs, in words.
fn differs<T: std::fmt::Debug + PartialEq>(got: T, want: T) -> String {
    if got == want { String::new() } else { format!("want {want:?}, got {got:?}") }
}

async fn window_edge() -> String {
    let window = Window::new([Policy::per_token(limit(5, 60_000))]);
    let token = window.desk.token("edge", "acc-member");
    let mut passed = Vec::new();
    for wait in [0, 59_999, 1, 1, 59_998, 1] {
        window.desk.advance(wait);
        passed.push(window.passed(8, &token).await);
    }
    // at 0, 59.999, 60.000, 60.001, 119.999 and 120.000 s
    differs(passed, vec![5, 0, 5, 0, 0, 5])
}

async fn hammering() -> String {
    let window = Window::new([Policy::per_token(limit(5, 60_000))]);
    let token = window.desk.token("hammer", "acc-member");
    let first = window.passed(5, &token).await;
    let mut meanwhile = 0;
    for _ in 0..59 {
        window.desk.advance(1_000);
        meanwhile += window.passed(20, &token).await;
    }
    window.desk.advance(1_000);
    differs([first, meanwhile, window.passed(20, &token).await], [5, 0, 5])
}

async fn two_windows() -> String {
    let (token, subject) = (limit(5, 600_000), limit(2, 60_000));
    let window = Window::new([Policy::per_token(token), Policy::per_subject(subject)]);
    let (one, two) =
        (window.desk.token("one", "acc-member"), window.desk.token("two", "acc-member"));
    let full = window.passed(2, &one).await;
    let refused = window.passed(50, &two).await; // the subject's window is full, the token's is not
    let mut later = 0;
    for _ in 0..3 {
        window.desk.advance(60_000);
        later += window.passed(3, &two).await;
    }
    differs([full, refused, later], [2, 0, 5])
}

async fn told_time() -> String {
    let window = Window::new([Policy::per_token(limit(1, 7_000))]);
    let token = window.desk.token("told", "acc-member");
    let mut told = Vec::new();
    for wait in [0, 1_000, 5_999, 1] {
        window.desk.advance(wait);
        let line = window.told(&token).await;
        told.push(line.split(" | ").next().unwrap().to_owned());
    }
    let fields = "ratelimit-policy: \"token\";q=1;w=7";
    let passed = format!("200 {fields}");
    let want = [&passed, "429 retry-after: 6", "429 retry-after: 1", &passed].map(str::to_owned);
    differs(told, want.to_vec())
}

async fn bytes_behind_a_token() -> String {
    let desk = Desk::new();
    let token = desk.token("del", "acc-member");
    let stack = BearerStack::new(BearerCheck::new(&desk.auth)).without_bodies();
    let service = stack.layer(inner(200).0);
    let mut request = get("/me", &token);
    let mut value = format!("Bearer {token}").into_bytes();
    value.push(0x7F);
    // DEL cannot be put into a header at all
    let refused = http::HeaderValue::from_bytes(&value).is_err();
    value.pop();
    value.push(0xFF);
    request.headers_mut().insert("authorization", http::HeaderValue::from_bytes(&value).unwrap());
    let status = limits::status(&send(&service, request).await);
    differs(
        (refused, status, desk.tokens.asked.load(std::sync::atomic::Ordering::SeqCst)),
        (true, 401, 0),
    )
}

fn separators() -> String {
    let read = |text: &str| {
        let set = ScopeSet::parse(text);
        set.iter().map(|scope| scope.as_str().to_owned()).collect::<Vec<_>>()
    };
    let mut faults = String::new();
    for (text, want) in [
        ("a b", &["a", "b"][..]),
        ("  a  b ", &["a", "b"]),
        ("a,b", &["a,b"]),
        ("a\tb", &[]),
        ("a\u{a0}b c", &["c"]),
        ("a\nb c", &["c"]),
        ("", &[]),
    ] {
        faults += &differs(read(text), want.iter().map(|&scope| scope.to_owned()).collect());
    }
    faults
}
