//! A flood of junk costs neither memory nor the entries of those who are known, and more callers than fit are still served.
//!
//! `BEARER_FULL=1 cargo test --release --test flood` runs the full figures; without it a tenth of them.

mod support;

use std::cell::Cell;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};

use support::scripted::Counting;
use support::world::{World, account, get, token};
use tower::{Layer, ServiceExt};
use tower_bearer::clock::ManualClock;
use tower_bearer::stack::{BearerCheck, BearerStack};
use tower_bearer::subject::SubjectType;
use tower_bearer::token::{Digest, TokenKind, TokenKinds};

const HOT: usize = 5_000;

#[tokio::test]
async fn junk_costs_nothing() {
    let full = std::env::var_os("BEARER_FULL").is_some();
    let (junk, unknown) = if full { (10_000_000, 1_000_000) } else { (1_000_000, 200_000) };
    let world = World::new();
    let hot: Vec<String> = (0..HOT as u64).map(|n| token("tst_", n)).collect();
    for text in &hot {
        world.token(text, account("acc-1"), "full");
    }
    let sealed = TokenKind::new("sealed").prefix("sum_").subject(SubjectType::Account);
    let kinds = TokenKinds::builder().kind(sealed.fixed(["a"]).checksum()).build().unwrap();
    let sealed = tower_bearer::Authenticator::builder(kinds, world.store.clone());
    let sealed = sealed.clock(ManualClock::new()).build().unwrap();
    for text in hot.iter().cycle().take(2 * HOT) {
        assert!(world.auth.authenticate(text).await.is_ok());
    }
    let quiet = world.store.tokens.calls();
    assert_eq!(quiet, HOT, "each hot token was loaded once, the second time none");

    let before = resident_kib();
    let (mut used, mut missed) = (0_u64, 0_u64);
    let mut in_use = hot.iter().cycle();
    // wrong prefix, wrong shape, wrong checksum
    for n in 0..junk {
        let (auth, text) = match n % 3 {
            0 => (&world.auth, format!("nix_{n:043}")),
            1 => (&world.auth, format!("tst_{n:042}")),
            _ => (&sealed, format!("sum_{n:043}000000")),
        };
        let refused = auth.authenticate(&text).await.unwrap_err();
        assert_eq!(refused.status(), 401);
        if n % 5 == 0 {
            let context = world.auth.authenticate(in_use.next().unwrap()).await.unwrap();
            used += 1;
            missed += u64::from(context.is_freshly_loaded());
        }
    }
    assert_eq!(world.store.tokens.calls(), quiet, "DESIGN 6: no store call for junk");
    assert_eq!(world.auth.cached_tokens(), (HOT as u64, 0), "DESIGN 6: no entry for junk");

    for n in 0..unknown {
        let refused = world.auth.authenticate(&token("tst_", 1 << 40 | n)).await.unwrap_err();
        assert_eq!((refused.status().as_u16(), refused.reason().as_str()), (401, "unknown_token"));
        let context = world.auth.authenticate(in_use.next().unwrap()).await.unwrap();
        used += 1;
        missed += u64::from(context.is_freshly_loaded());
    }
    let (known, refused) = world.auth.cached_tokens();
    assert!(refused <= 10_000, "XM24 the negative cache holds {refused}");
    assert!(known <= HOT as u64 + 1, "XM24 {known}");
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let drop = 100.0 * missed as f64 / used as f64;
    let grown = resident_kib().saturating_sub(before) / 1_024;
    println!("junk_rss_mib {grown}");
    println!("junk_hit_rate_drop_points {drop:.3}");
    assert!(drop < 1.0, "XD8, XM24: {missed} of {used} hot tokens were loaded again");
    assert!(grown <= 64, "XD8, XM24: {grown} MiB more");
}

#[tokio::test]
async fn more_live_tokens_than_fit_are_served_all_the_same() {
    const TOKENS: u64 = 20_000;
    let world = World::with(|builder| builder.context_capacity(1_000).max_loads(8));
    for n in 0..TOKENS {
        world.token(&token("tst_", n), account("acc-1"), "full");
    }
    let stack = BearerStack::new(BearerCheck::new(&world.auth)).layer(Counting::default());
    let crowd = (0..8).map(|part| {
        let stack = stack.clone();
        tokio::spawn(async move {
            let mut served = [0_u64; 2];
            for n in (0..TOKENS).filter(|n| n % 8 == part).chain((0..TOKENS / 8).rev()) {
                let request = get("/", Some(&token("tst_", n)));
                let answer = stack.clone().oneshot(request).await.unwrap();
                match answer.status().as_u16() {
                    200 => served[0] += 1,
                    503 => served[1] += 1,
                    other => assert_eq!(other, 200, "a live token"),
                }
            }
            served
        })
    });
    let mut served = [0; 2];
    for part in crowd.collect::<Vec<_>>() {
        let part = part.await.unwrap();
        served = [served[0] + part[0], served[1] + part[1]];
    }
    println!("served {} undecided {}", served[0], served[1]);
    assert_eq!(served, [2 * TOKENS, 0], "a store that answers answers everybody");
    assert!(world.store.tokens.peak() <= 8, "never more loads than were allowed");
    assert!(world.store.tokens.calls() <= 2 * usize::try_from(TOKENS).unwrap());
    assert!(world.auth.cached_tokens().0 <= 1_000, "the cache holds what it may");
}

thread_local! {
    static COMPARED: Cell<u64> = const { Cell::new(0) };
}

/// A digest as a key of a map, with its comparisons counted.
#[derive(Clone, Copy)]
struct Counted(Digest);

impl PartialEq for Counted {
    fn eq(&self, other: &Self) -> bool {
        COMPARED.with(|count| count.set(count.get() + 1));
        self.0 == other.0
    }
}

impl Eq for Counted {}

impl Hash for Counted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

/// Comparisons to find each of `count` digests that share their first and last `shared` bytes, in a map of them all.
fn comparisons(count: u64, shared: usize) -> u64 {
    let digest = |n: u64| {
        let mut bytes: [u8; 32] = *Digest::of(&n.to_string()).as_bytes();
        bytes[..shared].fill(7);
        bytes[32 - shared..].fill(7);
        Counted(Digest::from_bytes(bytes))
    };
    let map: HashSet<Counted> = (0..count).map(digest).collect();
    COMPARED.with(|count| count.set(0));
    assert!((0..count).all(|n| map.contains(&digest(n))));
    COMPARED.with(Cell::get)
}

#[test]
fn digests_built_to_collide_are_found_as_fast_as_others() {
    let (plain, built) = (comparisons(100_000, 0), comparisons(100_000, 8));
    println!("comparisons for 100000 keys: {plain} plain, {built} built to collide");
    assert!(built <= plain * 3, "XD12: {built} against {plain}");

    // a map whose hasher an attacker does not know: two of them never walk the same keys in the same order
    let walk = || {
        let map: HashSet<Digest> = (0..64).map(|n: u8| Digest::from_bytes([n; 32])).collect();
        map.into_iter().collect::<Vec<_>>()
    };
    assert_ne!(walk(), walk(), "XD12");
}

/// Memory of this process that is in RAM.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}
