//! What one process learned of a token the others know, no longer than it does, and nobody is refused for want of it.
#![cfg(feature = "test-util")]
#![expect(clippy::unwrap_used, reason = "a test may stop at what cannot be")]

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use support::processes::{Two, by_digest, settle, took};
use support::scripted::{Mood, Scripted};
use support::world::{World, account, external, kinds, token};
use tower_bearer::Authenticator;
use tower_bearer::authenticator::{BuildError, BusState, Revocation};
use tower_bearer::clock::{Clock, ManualClock};
use tower_bearer::store::{MemoryStore, Notice, RevokeReason};
use tower_bearer::subject::SubjectType;
use tower_bearer::test_util::{MemoryContexts, Script, ScriptedStore};
use tower_bearer::token::{Digest, TokenKind, TokenKinds};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// Several processes over one scripted source and one shared cache that can be made to fail, on one clock.
struct Worlds {
    source: Scripted,
    clock: ManualClock,
    shared: ScriptedStore<MemoryContexts>,
}

impl Worlds {
    fn new() -> Self {
        let clock = ManualClock::new();
        let shared = ScriptedStore::new(MemoryContexts::new(clock.clone()));
        Self { source: Scripted::default(), clock, shared }
    }

    fn process(&self) -> World {
        self.process_of("api", kinds())
    }

    fn process_of(&self, name: &str, kinds: TokenKinds) -> World {
        let builder = Authenticator::builder(kinds, self.source.clone());
        let builder = builder.clock(self.clock.clone()).ttl_jitter(0.0);
        let auth = builder.name(name).shared_cache(self.shared.clone()).build().unwrap();
        World { store: self.source.clone(), clock: self.clock.clone(), auth }
    }

    fn asked(&self) -> usize {
        self.source.tokens.calls()
    }

    fn values(&self) -> Vec<(String, String, String)> {
        self.shared.store().values()
    }
}

/// Why a token is refused; `ok` if it is accepted.
async fn says(world: &World, token: &str) -> &'static str {
    let verdict = world.auth.authenticate(token).await;
    verdict.map_or_else(|rejection| rejection.reason().as_str(), |_| "ok")
}

#[tokio::test(start_paused = true)]
async fn one_process_asks_the_source_and_the_other_knows() {
    let worlds = Worlds::new();
    let (a, b) = (worlds.process(), worlds.process());
    for (name, text, subject) in [
        ("P609 account", token("tst_", 1), account("acc-1")),
        ("P609 external", token("ext_", 2), external("guest-1")),
    ] {
        let before = worlds.asked();
        a.token(&text, subject.clone(), "full");
        let here = a.auth.authenticate(&text).await.unwrap();
        let there = b.auth.authenticate(&text).await.unwrap();
        assert_eq!(worlds.asked(), before + 1, "{name}: the source is asked once");
        let facts = |context: &tower_bearer::AuthContext| {
            let subject = context.subject().unwrap().clone();
            (subject, format!("{context:?}"), context.expires_at(), context.scopes().cloned())
        };
        assert_eq!(facts(&here), facts(&there), "{name}: the same facts");
    }
    for (fingerprint, digest, value) in worlds.values() {
        assert_eq!((fingerprint.len(), digest.len()), (32, 64), "P626");
        assert!(!value.contains("0000000000000000000000000000000000000"), "P622 no token: {value}");
    }
    assert_eq!(worlds.values().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn both_levels_together_live_as_long_as_one() {
    let worlds = Worlds::new();
    let (a, b) = (worlds.process(), worlds.process());
    let text = token("tst_", 1);
    let digest = a.token(&text, account("acc-1"), "full");
    assert_eq!(says(&a, &text).await, "ok", "P627 from the source, at 0");
    worlds.clock.advance(29 * SECOND);
    assert_eq!(says(&b, &text).await, "ok", "P627 from the shared cache, at 29 s");
    assert_eq!(worlds.asked(), 1, "P627");
    worlds.source.tokens.remove(&digest);
    worlds.clock.advance(SECOND - MS);
    assert_eq!(says(&b, &text).await, "ok", "P627 at 29.999 s");
    worlds.clock.advance(MS);
    assert_eq!(says(&b, &text).await, "unknown_token", "P627 at 30 s, one second after its fill");
    assert_eq!(says(&a, &text).await, "unknown_token", "P627");
    assert!(worlds.values().is_empty(), "P627 it holds no negative entries");
}

/// The entry of a token ends with it; nothing of an expired one is kept, and its row is ended once.
#[tokio::test(start_paused = true)]
async fn an_expiry_is_an_expiry_wherever_it_is_read() {
    let worlds = Worlds::new();
    let (a, b) = (worlds.process(), worlds.process());
    let text = token("tst_", 1);
    a.token_for(&text, account("acc-1"), "full", 10 * SECOND);
    assert_eq!(says(&a, &text).await, "ok", "P682 warm");
    worlds.clock.advance(10 * SECOND - MS);
    assert_eq!(says(&b, &text).await, "ok", "P682 at 9.999 s, from the shared cache");
    assert_eq!(worlds.asked(), 1);
    worlds.clock.advance(MS);
    assert_eq!((says(&a, &text).await, says(&b, &text).await), ("expired", "expired"), "P682");
    assert_eq!(worlds.asked(), 1, "P606 no I/O before the answer");

    let two = Two::with(shared_by_two()).await;
    let issued = two.mint("short").await;
    two.clock.advance(Duration::from_secs(14 * 86_400));
    let text = issued.token().expose();
    let (here, there) = tokio::join!(two.a.says(text), two.b.says(text));
    assert_eq!((here, there), ("expired", "expired"), "P690");
    settle().await;
    let told = two.a.told.of("token.expired").len() + two.b.told.of("token.expired").len();
    assert_eq!(told, 1, "P690 exactly one token.expired");
}

#[tokio::test(start_paused = true)]
async fn the_wall_clock_makes_no_life_longer() {
    let worlds = Worlds::new();
    let (a, b) = (worlds.process(), worlds.process());
    let text = token("tst_", 1);
    a.token_for(&text, account("acc-1"), "full", 3_600 * SECOND);
    assert_eq!(says(&a, &text).await, "ok", "P629 warm");
    let before = worlds.clock.now().wall();
    worlds.clock.set_wall(before.saturating_sub(3_000 * SECOND));
    assert_eq!(says(&b, &text).await, "ok", "P629 moved back: from the shared cache");
    assert_eq!(worlds.asked(), 1, "P629");
    worlds.clock.advance(30 * SECOND);
    assert_eq!(says(&b, &text).await, "ok", "P629");
    assert_eq!(worlds.asked(), 2, "P629 the monotonic life ended the entry all the same");
    worlds.clock.set_wall(before.saturating_add(3_600 * SECOND));
    assert_eq!(says(&b, &text).await, "expired", "P629 moved ahead: seen at the next hit");
    let c = worlds.process();
    assert_eq!(says(&c, &text).await, "expired", "P629 and by who reads it from the shared cache");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_used_is_a_miss() {
    let record = |version: u64, kind: &str, subject: &str| {
        let digest = Digest::of(&token("tst_", 1)).to_hex();
        format!(
            r#"{{"v":{version},"digest":"{digest}","ends":99999999999999,"id":"tok-1","serial":0,"kind":"{kind}",
            "subject":{{"{subject}":{{"id":"acc-evil"}}}},"scopes":"full","client_id":null,"workspace":null,
            "audiences":[],"not_before":null,"expires_at":99999999999999}}"#
        )
    };
    for (name, value, want) in [
        ("P691 no object", "[]".to_owned(), "acc-1"),
        ("P628 nothing", String::new(), "acc-1"),
        ("P628 another version", record(2, "account", "account"), "acc-1"),
        ("P628 another kind", record(1, "external", "account"), "acc-1"),
        ("P628 another subject type", record(1, "account", "service"), "acc-1"),
        // a writer to the shared cache is trusted: SECURITY.md
        ("XS4 a forged record", record(1, "account", "account"), "acc-evil"),
    ] {
        let worlds = Worlds::new();
        let (a, b) = (worlds.process(), worlds.process());
        let text = token("tst_", 1);
        a.token(&text, account("acc-1"), "full");
        assert_eq!(says(&a, &text).await, "ok", "{name}: warm");
        worlds.shared.store().overwrite(value.as_bytes());
        let context = b.auth.authenticate(&text).await.unwrap();
        assert_eq!(context.subject(), Some(&account(want)), "{name}");
        let want = if want == "acc-1" { 2 } else { 1 };
        assert_eq!(worlds.asked(), want, "{name}: source asked");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_is_out_costs_25_ms_until_it_is_left_alone() {
    for (name, script, took_ms) in
        [("P691 hangs", Script::Hang, 25), ("P628 fails", Script::Fail, 0)]
    {
        let worlds = Worlds::new();
        let a = worlds.process();
        worlds.shared.follow(script);
        let mut calls = Vec::new();
        for n in 1..=20 {
            let text = token("tst_", n);
            a.token(&text, account("acc-1"), "full");
            let (took, verdict) = took(says(&a, &text)).await;
            assert_eq!(verdict, "ok", "{name} {n}: it alone never causes 503");
            calls.push(worlds.shared.calls());
            let want = if n <= 3 { took_ms } else { 0 };
            assert!((want..want + 5).contains(&took), "{name} {n}: {took} ms");
        }
        assert_eq!(calls.last(), Some(&3), "{name}: left alone after three failures: {calls:?}");
        assert_eq!(worlds.asked(), 20, "{name}");
        worlds.shared.follow(Script::Answer);
        worlds.clock.advance(SECOND);
        let (text, b) = (token("tst_", 99), worlds.process());
        a.token(&text, account("acc-1"), "full");
        assert_eq!((says(&a, &text).await, says(&b, &text).await), ("ok", "ok"), "{name}");
        assert_eq!(worlds.asked(), 21, "{name}: used again once it answers");
    }
}

/// The source's own deadline holds with a cache in front of it that is slow.
#[tokio::test(start_paused = true)]
async fn one_deadline_for_cache_and_source() {
    let worlds = Worlds::new();
    let a = worlds.process();
    worlds.shared.follow(Script::Hang);
    worlds.source.tokens.set(Mood::Hang);
    let (took, verdict) = took(says(&a, &token("tst_", 1))).await;
    assert_eq!(verdict, "deadline", "P632");
    assert!((250..256).contains(&took), "P632 waiting for the cache included: {took} ms");
}

fn shared_by_two() -> impl Fn(
    tower_bearer::authenticator::AuthenticatorBuilder,
    &ManualClock,
) -> tower_bearer::authenticator::AuthenticatorBuilder {
    let shared = std::sync::OnceLock::<ScriptedStore<MemoryContexts>>::new();
    move |builder, clock| {
        let new = || ScriptedStore::new(MemoryContexts::new(clock.clone()));
        builder.name("api").shared_cache(shared.get_or_init(new).clone())
    }
}

#[tokio::test(start_paused = true)]
async fn a_tombstone_stands_over_the_entry_and_before_any_fill() {
    let clock = ManualClock::new();
    let shared = ScriptedStore::new(MemoryContexts::new(clock.clone()));
    let two = Two::with(|builder, its| {
        let contexts = shared.clone();
        let _ = its;
        builder.clock(clock.clone()).name("api").shared_cache(contexts)
    })
    .await;
    let issued = two.mint("laptop").await;
    let text = issued.token().expose();
    assert_eq!(two.a.says(text).await, "ok", "P645 warm");
    assert!(shared.store().values()[0].2.contains("\"kind\":\"account\""));

    // B has read "alive" from its source, and is held
    shared.store().overwrite(b"[]");
    two.rows.holds.store(true, Ordering::SeqCst);
    let auth = two.b.auth.clone();
    let early = tokio::spawn({
        let text = text.to_owned();
        async move { auth.authenticate(&text).await.is_ok() }
    });
    settle().await;
    assert_eq!(two.rows.asked(), 2, "P645 B asks");

    two.b.line.cut(); // so that the shared cache alone can tell
    let revoked = two.a.auth.revoke_token(by_digest(&issued), RevokeReason::Admin).await.unwrap();
    assert!(matches!(revoked, Revocation::Revoked { bus: BusState::Told, .. }), "{revoked:?}");
    let tombstone = r#"{"v":1,"revoked":true}"#;
    assert_eq!(shared.store().values()[0].2, tombstone, "P645 over anything");
    two.rows.holds.store(false, Ordering::SeqCst);
    two.rows.let_go.add_permits(8);
    early.await.unwrap();
    assert_eq!(shared.store().values()[0].2, tombstone, "P645 DK17 a fill replaces none");
    let asked = two.rows.asked();
    let c = Authenticator::builder(kinds(), two.rows.clone()).clock(clock.clone()).name("api");
    let c = c.shared_cache(shared.clone()).build().unwrap();
    let refused = c.authenticate(text).await.unwrap_err();
    assert_eq!(refused.reason().as_str(), "revoked", "P645 found by a third");
    assert_eq!(two.rows.asked(), asked, "P645 without asking its source");
    clock.advance(60 * SECOND);
    assert!(shared.store().values().is_empty(), "P645 60 s");
}

/// Step 6 of a revocation that is late makes the call late, and comes later.
#[tokio::test(start_paused = true)]
async fn a_tombstone_that_is_late_is_repeated() {
    for (name, script) in [("DK12 fails", Script::Fail), ("DK12 hangs", Script::Hang)] {
        let clock = ManualClock::new();
        let shared = ScriptedStore::new(MemoryContexts::new(clock.clone()));
        let two = Two::with(|builder, _| {
            builder.clock(clock.clone()).name("api").shared_cache(shared.clone())
        })
        .await;
        let issued = two.mint("laptop").await;
        let text = issued.token().expose();
        assert_eq!((two.a.says(text).await, two.b.says(text).await), ("ok", "ok"), "{name}: warm");
        shared.follow(script);
        let revoked = two.a.auth.revoke_token(by_digest(&issued), RevokeReason::Admin).await;
        let revoked = revoked.unwrap();
        assert!(matches!(revoked, Revocation::Revoked { bus: BusState::Late, .. }), "{name}");
        settle().await;
        assert_eq!(
            two.b.says(text).await,
            "unknown_token",
            "{name}: the bus has told all the same"
        );
        assert!(
            shared.store().values()[0].2.contains("\"kind\""),
            "{name}: not over the entry yet"
        );
        shared.follow(Script::Answer);
        tokio::time::sleep(SECOND).await;
        assert!(shared.store().values()[0].2.contains("\"revoked\":true"), "{name}: in the end");
        assert_eq!(two.a.told.of("revocation.bus_late"), ["revocation.bus_late token"], "{name}");
    }
}

/// What a notice says of a subject, and what may have been missed, counts for older entries of the shared cache, too.
#[tokio::test(start_paused = true)]
async fn older_entries_are_not_believed_after_a_change() {
    type Harm = fn(&Two);
    let changes: [(&str, Harm, bool); 5] = [
        ("P648 account", |two| two.tell(&Notice::Account(acc())), true),
        ("DK11 subject", |two| two.tell(&Notice::Subject(account("acc-1").key())), true),
        ("DK11 all", |two| two.tell(&Notice::All), true),
        ("DK16 gap", |two| two.a.line.send_text("9 nonsense"), true),
        ("DK11 another", |two| two.tell(&Notice::Subject(account("acc-2").key())), false),
    ];
    for (name, change, source_is_asked) in changes {
        let two = Two::with(shared_by_two()).await;
        let issued = two.mint("laptop").await;
        let text = issued.token().expose();
        assert_eq!((two.a.says(text).await, two.b.says(text).await), ("ok", "ok"), "{name}: warm");
        assert_eq!(two.rows.asked(), 1, "{name}: B read it from the shared cache");
        change(&two);
        settle().await;
        assert_eq!(two.b.says(text).await, "ok", "{name}");
        let want = if source_is_asked { 2 } else { 1 };
        assert_eq!(two.rows.asked(), want, "{name}: source asked");
    }
    let two = Two::with(shared_by_two()).await;
    let issued = two.mint("laptop").await;
    let text = issued.token().expose();
    assert_eq!(two.a.says(text).await, "ok");
    two.a.auth.forget_account(&acc());
    assert_eq!(two.a.says(text).await, "ok");
    assert_eq!(two.rows.asked(), 2, "P648 nor by the process that reports the change");
    two.clock.advance(31 * SECOND);
    assert_eq!((two.a.says(text).await, two.b.says(text).await), ("ok", "ok"));
    assert_eq!(two.rows.asked(), 3, "P648 what is younger is read again");
}

#[tokio::test(start_paused = true)]
async fn two_configurations_are_two_key_spaces() {
    let declared = |prefix: &str, ceiling: &str| {
        let kind = TokenKind::new("account").prefix(prefix).subject(SubjectType::Account);
        TokenKinds::builder().kind(kind.narrowed([ceiling, "full"])).build().unwrap()
    };
    for (name, one, other, shares) in [
        ("XD2 the same", ("api", kinds()), ("api", kinds()), true),
        ("XD2 another name", ("api", kinds()), ("web", kinds()), false),
        ("XR20 other kinds", ("api", kinds()), ("api", declared("tst_", "a")), false),
        (
            "XR20 another ceiling",
            ("api", declared("tst_", "a")),
            ("api", declared("tst_", "b")),
            false,
        ),
    ] {
        let worlds = Worlds::new();
        let (a, b) = (worlds.process_of(one.0, one.1), worlds.process_of(other.0, other.1));
        let text = token("tst_", 1);
        a.token(&text, account("acc-1"), "full");
        assert_eq!((says(&a, &text).await, says(&b, &text).await), ("ok", "ok"), "{name}");
        let want = if shares { (1, 1) } else { (2, 2) };
        assert_eq!((worlds.asked(), worlds.values().len()), want, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_is_live_is_kept() {
    let worlds = Worlds::new();
    let a = worlds.process();
    let text = token("tst_", 1);
    assert_eq!(says(&a, &text).await, "unknown_token");
    let (expired, other) = (token("tst_", 2), token("tst_", 3));
    a.token_for(&expired, account("acc-1"), "full", Duration::ZERO);
    assert_eq!(says(&a, &expired).await, "expired");
    a.token(&other, external("guest-1"), "full");
    assert_eq!(says(&a, &other).await, "kind_mismatch");
    worlds.source.tokens.set(Mood::Fail);
    assert_eq!(says(&a, &token("tst_", 4)).await, "store_error");
    assert!(worlds.values().is_empty(), "P627 P651 never a no: {:?}", worlds.values());
}

#[tokio::test]
async fn settings() {
    let clock = ManualClock::new();
    let with = |name: Option<&str>, ms: u64| {
        let builder = Authenticator::builder(kinds(), MemoryStore::new())
            .shared_cache(MemoryContexts::new(clock.clone()))
            .shared_cache_deadline(Duration::from_millis(ms));
        let builder = match name {
            Some(name) => builder.name(name),
            None => builder,
        };
        builder.build().map(drop)
    };
    let out = |setting, range| Err(BuildError::OutOfRange { setting, range });
    let long = "a".repeat(33);
    for (row, name, ms, want) in [
        ("P626 no name", None, 25, Err(BuildError::NoName)),
        ("P626", Some("api-1"), 25, Ok(())),
        ("P626 empty", Some(""), 25, Err(BuildError::BadName)),
        ("P626 upper case", Some("Api"), 25, Err(BuildError::BadName)),
        ("P626 33", Some(long.as_str()), 25, Err(BuildError::BadName)),
        ("P626 32", Some(&long[1..]), 25, Ok(())),
        ("P1309 5 ms", Some("api"), 5, Ok(())),
        ("P1309 250 ms", Some("api"), 250, Ok(())),
        ("P1309 4 ms", Some("api"), 4, out("shared_cache_deadline", "5 to 250 ms")),
        ("P1309 251 ms", Some("api"), 251, out("shared_cache_deadline", "5 to 250 ms")),
    ] {
        assert_eq!(with(name, ms), want, "{row}");
    }
}

fn acc() -> tower_bearer::id::AccountId {
    tower_bearer::id::AccountId::new("acc-1").unwrap()
}
