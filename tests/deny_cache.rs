//! Who is over a limit costs the shared store no call, and is told nothing that the store would not say.

#[expect(dead_code, reason = "this file uses its part of it")]
#[path = "support/limits.rs"]
mod limits;
#[expect(dead_code, reason = "this file uses its part of it")]
#[path = "support/shared_windows.rs"]
mod shared_windows;

use limits::{Desk, limit};
use shared_windows::{Mood, Paused, Server};
use std::time::Duration;
use tower_bearer::AuthContext;
use tower_bearer::clock::Clock;
use tower_bearer::limit::{Limiter, LimiterBuilder, Policy};
use tower_bearer::rejection::RejectionKind;
use tower_bearer::store::{LogId, StoreFailure};
use tower_bearer::token::Digest;

/// Admitted, or denied with this wait.
async fn ask(limiter: &Limiter, context: &AuthContext, cost: u32) -> Result<(), u32> {
    match limiter.check(context, cost).await {
        Ok(_) => Ok(()),
        Err(refused) => {
            assert_eq!(refused.kind(), RejectionKind::RateLimited);
            Err(refused.retry_after_ms().expect("a denial has a wait"))
        }
    }
}

fn minute(server: &Server) -> LimiterBuilder {
    Limiter::builder().policy(Policy::per_token(limit(60, 60_000))).store(server.clone())
}

/// Numbers that look drawn, the same in each run.
struct Drawn(u64);

impl Drawn {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

#[tokio::test(start_paused = true)]
async fn calls_of_one_token_at_1000_a_second() {
    for (processes, want) in [(1, 620), (4, 650), (16, 770)] {
        let desk = Desk::new();
        let server = Server::new(desk.clock.clone());
        let context = desk.auth.authenticate(&desk.token("full", "acc-member")).await.unwrap();
        let limiters: Vec<Limiter> =
            (0..processes).map(|_| minute(&server).build().unwrap()).collect();
        let mut admitted = 0;
        for ms in 0..600_000 {
            let limiter = &limiters[ms % processes];
            admitted += u32::from(ask(limiter, &context, 1).await.is_ok());
            desk.advance(1);
        }
        assert_eq!((admitted, server.calls()), (600, want), "L524 {processes} processes");
    }
}

#[tokio::test(start_paused = true)]
async fn the_cache_changes_no_verdict() {
    let mut drawn = Drawn(0x5eed_0001);
    for round in 0..20 {
        let desk = Desk::new();
        let servers = [0, 1].map(|_| Server::new(desk.clock.clone()));
        let context = desk.auth.authenticate(&desk.token("full", "acc-member")).await.unwrap();
        let policies = |server: &Server| {
            let burst = Policy::per_subject(limit(5, 300)).named("burst");
            let many = Policy::per_token(limit(20, 2_000));
            Limiter::builder().policy(burst).policy(many).store(server.clone())
        };
        let with = policies(&servers[0]).build().unwrap();
        let without = policies(&servers[1]).deny_cache(0).build().unwrap();
        for number in 0..3_000 {
            let cost = 1 + u32::try_from(drawn.below(3)).unwrap();
            let (one, other) =
                (ask(&with, &context, cost).await, ask(&without, &context, cost).await);
            assert_eq!(one.is_ok(), other.is_ok(), "L525 {number} of {round}");
            desk.clock.advance(Duration::from_micros(drawn.below(60_000)));
        }
        assert_eq!(servers[1].calls(), 3_000, "L505 off");
        assert!(servers[0].calls() < 2_500, "L956 {} calls", servers[0].calls());
    }
}

#[tokio::test(start_paused = true)]
async fn cached_denials_are_true_whatever_the_latency() {
    let clock = Paused::new();
    let server = Server::new(clock);
    let desk = Desk::with(|builder| builder.clock(clock));
    let token = desk.token("full", "acc-member");
    let context = desk.auth.authenticate(&token).await.unwrap();
    let log = LogId::of_token(Digest::of(&token).as_bytes());
    let some = limit(20, 1_000);
    let limiter =
        Limiter::builder().policy(Policy::per_token(some)).store(server.clone()).build().unwrap();
    let mut drawn = Drawn(0x5eed_0002);
    let (mut cached, mut told) = (0, None);
    for number in 0..100_000 {
        let latency = |drawn: &mut Drawn| Duration::from_micros(150 + drawn.below(850));
        (server.state().there, server.state().back) = (latency(&mut drawn), latency(&mut drawn));
        let calls = server.calls();
        let before = clock.now().monotonic();
        let verdict = ask(&limiter, &context, 1).await;
        if server.calls() > calls {
            told = None;
        } else {
            let wait = verdict.expect_err("L504 only denials are remembered");
            cached += 1;
            assert!(server.denies(("token", log), &some), "L526 {number}");
            let until = before + Duration::from_millis(wait.into());
            let most = told.unwrap_or(until) + Duration::from_millis(1);
            assert!(until < most, "L526 {number}: {until:?} after {told:?}");
            told = Some(told.map_or(until, |told: Duration| told.min(until)));
        }
        tokio::time::advance(Duration::from_micros(drawn.below(2_000))).await;
    }
    assert!(cached > 50_000, "L956 {cached}");
}

#[tokio::test(start_paused = true)]
async fn known_denials_go_on_while_the_store_is_out() {
    let desk = Desk::new();
    let server = Server::new(desk.clock.clone());
    let context = desk.auth.authenticate(&desk.token("full", "acc-member")).await.unwrap();
    let other = desk.auth.authenticate(&desk.token("other", "acc-member")).await.unwrap();
    let limiter = minute(&server).build().unwrap();
    assert_eq!(ask(&limiter, &context, 60).await, Ok(()));
    assert_eq!(ask(&limiter, &context, 1).await, Err(60_000), "by the store");
    server.set(Mood::Fails(StoreFailure::Refused));
    for _ in 0..3 {
        assert_eq!(ask(&limiter, &other, 1).await, Ok(()));
    }
    desk.advance(1_000);
    let calls = server.calls();
    assert_eq!(ask(&limiter, &context, 1).await, Err(59_000), "L804 before the breaker");
    assert_eq!(ask(&limiter, &other, 57).await, Ok(()));
    assert_eq!(ask(&limiter, &other, 1).await, Err(59_000), "by the logs in process");
    server.set(Mood::Good);
    tokio::time::sleep(Duration::from_secs(1)).await;
    desk.advance(59_000);
    assert_eq!(ask(&limiter, &other, 3).await, Ok(()), "L504 that denial was not remembered");
    assert_eq!(server.calls(), calls + 1, "L632, L606");
}
