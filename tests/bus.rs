//! What is revoked or changed in one process is refused in the others: at once with a bus, and by the end of a life without.
#![cfg(feature = "test-util")]
#![expect(clippy::unwrap_used, reason = "a test may stop at what cannot be")]

mod support;

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use support::processes::{Two, by_digest, settle, took};
use support::scripted::{Counting, Scripted, Who};
use support::world::{World, account, app, get, kinds, token, workspace};
use tower::{Layer, ServiceExt};
use tower_bearer::Authenticator;
use tower_bearer::authenticator::{BuildError, BusState, Revocation, RevokeError};
use tower_bearer::clock::ManualClock;
use tower_bearer::id::AccountId;
use tower_bearer::issuing::{Issuer, MintRequest};
use tower_bearer::scope::ScopeSet;
use tower_bearer::stack::{
    AccessModes, AppAuthz, AppResolver, BearerCheck, BearerStack, CallerMount, Finder,
    WorkspaceMembershipCheck,
};
use tower_bearer::store::{
    AccessMode, AccountStatus, AppRecord, Heard, Membership, MembershipStore, MemoryStore, Notice,
    RevocationBus, RevokeReason, RevokeTarget, WorkspaceStatus,
};
use tower_bearer::test_util::{LineCut, MemoryBus};
use tower_bearer::token::Digest;

const SECOND: Duration = Duration::from_secs(1);

fn acc() -> AccountId {
    AccountId::new("acc-1").unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_token_revoked_in_one_process_is_refused_in_the_other() {
    let two = Two::on_a_bus().await;
    for round in 0..200 {
        let issued = two.mint(&format!("label-{round}")).await;
        let text = issued.token().expose();
        assert_eq!((two.a.says(text).await, two.b.says(text).await), ("ok", "ok"), "D38 warm");
        let revoked = two.a.auth.revoke_token(by_digest(&issued), RevokeReason::Admin).await;
        let want = Revocation::Revoked { id: issued.id().clone(), bus: BusState::Told };
        assert_eq!(revoked.unwrap(), want, "D30");
        assert_eq!(two.a.says(text).await, "unknown_token", "D30 P641 refused here");
        settle().await;
        assert_eq!(
            two.b.says(text).await,
            "unknown_token",
            "D38 XD6 XM38 and there, round {round}"
        );
        let again = two.a.auth.revoke_token(by_digest(&issued), RevokeReason::Admin).await;
        assert_eq!(again.unwrap(), Revocation::NotFound, "D30 again: no row has this digest");
    }
    assert_eq!(two.a.told.of("token.revoked").len(), 200, "D30 one event each");
    assert_eq!(two.b.told.of("token.revoked").len(), 0, "D30 by whoever did it");
    assert_eq!(two.a.line.published().len(), 200, "DK10 one notice each");
}

/// Rotation: the row stays, its earlier digest dies.
#[tokio::test(start_paused = true)]
async fn a_rotated_token_is_refused_in_the_other_process() {
    let two = Two::on_a_bus().await;
    let first = two.mint("laptop").await;
    assert_eq!(two.b.says(first.token().expose()).await, "ok", "D44 warm");
    let second = two.mint("laptop").await;
    assert!(second.is_rotation(), "D44");
    settle().await;
    assert_eq!(two.b.says(first.token().expose()).await, "unknown_token", "D44 DM13");
    assert_eq!(two.b.says(second.token().expose()).await, "ok", "D44");
    two.a.line.cut();
    let third = two.mint("laptop").await;
    assert_eq!(
        two.a.says(third.token().expose()).await,
        "ok",
        "DM13 a bus that is down undoes no mint"
    );
    assert_eq!(two.a.told.of("revocation.bus_late"), ["revocation.bus_late token"], "DM13 DA9");
}

#[tokio::test(start_paused = true)]
async fn a_subject_is_told_token_by_token() {
    let two = Two::on_a_bus().await;
    let kept = two.mint("kept").await;
    let ended = [two.mint("one").await, two.mint("two").await];
    for token in ended.iter().chain([&kept]) {
        assert_eq!(two.b.says(token.token().expose()).await, "ok", "D32 warm");
    }
    let asked = two.rows.asked();
    let died = two.a.auth.revoke_subject(&account("acc-1"), Some(kept.id())).await.unwrap();
    assert_eq!((died.ended(), died.bus()), (2, BusState::Told), "D32 DK6");
    settle().await;
    let mut kinds: Vec<_> = two.a.line.published().iter().map(Notice::kind).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["subject", "token", "token"], "DK6");
    for token in &ended {
        assert_eq!(two.b.says(token.token().expose()).await, "unknown_token", "D32");
    }
    assert_eq!(two.b.says(kept.token().expose()).await, "ok", "D32 except");
    assert_eq!(
        two.rows.asked(),
        asked + 3,
        "DK11 the subject's entries, all of them, were dropped"
    );
}

#[tokio::test(start_paused = true)]
async fn without_the_bus_a_life_is_the_bound() {
    let two = Two::on_a_bus().await;
    let issued = two.mint("laptop").await;
    let text = issued.token().expose();
    assert_eq!(two.b.says(text).await, "ok", "D39 warm");
    two.a.line.cut();
    let revoked = two.a.auth.revoke_token(by_digest(&issued), RevokeReason::Admin).await.unwrap();
    let want = Revocation::Revoked { id: issued.id().clone(), bus: BusState::Late };
    assert_eq!(revoked, want, "D39 DK12");
    assert_eq!(two.a.told.of("revocation.bus_late"), ["revocation.bus_late token"], "D39 DA9");
    assert_eq!(two.a.says(text).await, "unknown_token", "D39 here at once");
    for second in 1..30 {
        two.clock.advance(SECOND);
        assert_eq!(two.b.says(text).await, "ok", "XD5 used at {second} s");
    }
    two.clock.advance(SECOND);
    assert_eq!(
        two.b.says(text).await,
        "unknown_token",
        "D39 XD5 XM36 XD6 from 30 s on, though used"
    );
}

/// A bus that hangs takes 25 ms of the call and no more, and is told again, after longer and longer pauses.
#[tokio::test(start_paused = true)]
async fn what_is_late_is_repeated_until_it_is_told() {
    let two = Two::on_a_bus().await;
    let issued = two.mint("laptop").await;
    assert_eq!(two.b.says(issued.token().expose()).await, "ok", "DK12 warm");
    two.a.line.hang();
    let call = two.a.auth.revoke_token(by_digest(&issued), RevokeReason::Admin);
    let (ms, revoked) = took(call).await;
    let revoked = revoked.unwrap();
    assert!(matches!(revoked, Revocation::Revoked { bus: BusState::Late, .. }), "DK12 {revoked:?}");
    assert!((25..30).contains(&ms), "DK12 25 ms in all: {ms}");
    tokio::time::sleep(SECOND).await;
    assert_eq!(two.b.says(issued.token().expose()).await, "ok", "DK12 not told yet");
    two.a.line.answer();
    two.a.line.told(1).await;
    assert_eq!(two.b.says(issued.token().expose()).await, "unknown_token", "DK12 told in the end");
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(two.a.line.published().len(), 1, "DK12 and once");
    assert_eq!(two.a.told.of("revocation.bus_late").len(), 1, "DK12 one event for all attempts");
}

/// Counts attempts; none succeeds.
#[derive(Clone, Default)]
struct Dead(Arc<AtomicUsize>);

impl RevocationBus for Dead {
    type Error = LineCut;

    async fn publish(&self, notice: &Notice) -> Result<(), LineCut> {
        self.0.fetch_add(1, Ordering::SeqCst);
        assert_ne!(notice.kind(), "app", "an adapter's own bug");
        Err(LineCut::new())
    }

    async fn attend(&self, _: &mut (dyn FnMut(Heard) + Send)) -> LineCut {
        LineCut::new()
    }
}

#[tokio::test(start_paused = true)]
async fn pauses_double_up_to_thirty_seconds() {
    for (name, change) in [
        ("DK12", (|auth| auth.forget_token(&Digest::of("a"))) as fn(&Authenticator)),
        ("XR35 it panics", |auth| auth.forget_app(&app("app-1"))),
    ] {
        let bus = Dead::default();
        let auth = Authenticator::builder(kinds(), MemoryStore::new()).bus(bus.clone());
        let auth = auth.build().unwrap();
        change(&auth);
        let mut attempts = Vec::new();
        for second in 0..120 {
            tokio::time::sleep(SECOND).await;
            if [0, 1, 6, 60, 119].contains(&second) {
                attempts.push(bus.0.load(Ordering::SeqCst));
            }
        }
        // at once, then at 0.1, 0.3, 0.7 | 1.5 | 3.1, 6.3 | 12.7, 25.5, 51.1 | 81.1, 111.1 s
        assert_eq!(attempts, [4, 5, 7, 10, 12], "{name}");
    }
}

/// More changes than may wait become one notice of everything, and stay bounded.
#[tokio::test(start_paused = true)]
async fn a_flood_of_changes_becomes_one_notice() {
    let two = Two::on_a_bus().await;
    let issued = two.mint("laptop").await;
    assert_eq!(two.b.says(issued.token().expose()).await, "ok", "warm");
    let asked = two.rows.asked();
    two.a.line.hang();
    for n in 0..5_000 {
        two.a.auth.forget_app(&app(&format!("app-{n}")));
    }
    tokio::time::sleep(SECOND).await;
    two.a.line.answer();
    two.a.line.told(1_025).await;
    tokio::time::sleep(60 * SECOND).await;
    let told = two.a.line.published();
    let all = told.iter().filter(|notice| **notice == Notice::All).count();
    assert_eq!(all, 1, "DK12 one stands for all that did not fit");
    assert_eq!(told.len(), 1_025, "DK12 1,024 wait, and one of everything");
    assert_eq!(two.b.says(issued.token().expose()).await, "ok");
    assert_eq!(two.rows.asked(), asked + 1, "DK15 all: everything was dropped there");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_or_was_missed_drops_everything() {
    type Harm = fn(&MemoryBus);
    let lost: Harm = |line| line.lose_one();
    for (name, harm, texts) in [
        ("D41 another version", None, &[r#"1 {"v":2,"t":"token","d":"…"}"#][..]),
        ("D41 nonsense", None, &["1 nonsense"]),
        ("DK16 unknown type", None, &[r#"1 {"v":1,"t":"permit"}"#]),
        ("DK16 a gap", None, &[r#"2 {"v":1,"t":"app","p":"x"}"#]),
        ("DK16 a smaller number", None, &[r#"0 {"v":1,"t":"app","p":"x"}"#]),
        ("DK16 no number", None, &[r#"{"v":1,"t":"app","p":"x"}"#]),
        (
            "XM37 one lost on its way",
            Some(lost),
            &[r#"1 {"v":1,"t":"app","p":"x"}"#, r#"2 {"v":1,"t":"app","p":"x"}"#],
        ),
    ] {
        let two = Two::on_a_bus().await;
        let issued = two.mint("laptop").await;
        let text = issued.token().expose();
        assert_eq!(two.b.says(text).await, "ok", "{name}: warm");
        // a revocation of which the bus says nothing
        two.rows.memory.hear_of(text);
        assert_eq!(two.b.says(text).await, "ok", "{name}: not told");
        if let Some(harm) = harm {
            harm(&two.b.line);
        }
        texts.iter().for_each(|text| two.a.line.send_text(text));
        settle().await;
        assert_eq!(two.b.auth.cached_tokens(), (0, 0), "{name}: whole cache dropped");
        assert_eq!(two.b.says(text).await, "unknown_token", "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_cut_everything_is_dropped_before_the_next_hit() {
    let two = Two::on_a_bus().await;
    let tokens = [two.mint("one").await, two.mint("two").await, two.mint("three").await];
    for token in &tokens {
        assert_eq!(two.b.says(token.token().expose()).await, "ok", "D41 warm");
    }
    two.b.line.cut();
    settle().await;
    for token in &tokens[..2] {
        let ended = two.a.auth.revoke_token(by_digest(token), RevokeReason::Admin).await.unwrap();
        assert!(matches!(ended, Revocation::Revoked { bus: BusState::Told, .. }), "{ended:?}");
        settle().await;
        assert_eq!(two.b.says(token.token().expose()).await, "ok", "XM37 lost to the one cut off");
    }
    two.b.line.mend();
    two.a.line.joined(2).await;
    assert_eq!(two.b.auth.cached_tokens(), (0, 0), "D41 XM37 dropped");
    for (token, want) in tokens.iter().zip(["unknown_token", "unknown_token", "ok"]) {
        assert_eq!(two.b.says(token.token().expose()).await, want, "D41 XM37 no stale accept");
    }
}

/// A load that read "alive" before the notice came neither passes nor stays.
#[tokio::test(start_paused = true)]
async fn a_notice_overtakes_a_load_in_flight() {
    for (name, ends) in [
        ("P641 P646 token", (|two, token| two.revoke(token)) as fn(&Two, &RevokeTarget)),
        ("DK11 subject", |two, _| two.tell(&Notice::Subject(account("acc-1").key()))),
        ("DK11 account", |two, _| two.tell(&Notice::Account(acc()))),
        ("DK11 all", |two, _| two.tell(&Notice::All)),
        ("DK16 gap", |two, _| two.a.line.send_text("9 nonsense")),
    ] {
        let two = Two::on_a_bus().await;
        let issued = two.mint("laptop").await;
        let text = issued.token().expose().to_owned();
        two.rows.holds.store(true, Ordering::SeqCst);
        let auth = two.b.auth.clone();
        let early = tokio::spawn(async move { auth.authenticate(&text).await.is_ok() });
        settle().await;
        assert_eq!((two.rows.asked(), two.b.auth.loads_in_flight()), (1, 1), "{name}");
        let text = issued.token().expose();
        two.rows.memory.hear_of(text);
        ends(&two, &by_digest(&issued));
        settle().await;
        two.rows.holds.store(false, Ordering::SeqCst);
        two.rows.let_go.add_permits(8);
        early.await.unwrap();
        assert_eq!(two.b.auth.cached_tokens().0, 0, "{name}: nothing stored");
        assert_eq!(two.b.says(text).await, "unknown_token", "{name}: nor believed");
    }
}

#[tokio::test(start_paused = true)]
async fn who_hangs_up_stops_nothing() {
    let two = Two::on_a_bus().await;
    let issued = two.mint("laptop").await;
    let text = issued.token().expose();
    assert_eq!((two.a.says(text).await, two.b.says(text).await), ("ok", "ok"), "D43 warm");
    {
        let target = by_digest(&issued);
        let mut call = std::pin::pin!(two.a.auth.revoke_token(target, RevokeReason::Myself));
        let polled = futures_poll(call.as_mut());
        assert!(polled.is_pending(), "D43 hung up after the first poll");
    }
    settle().await;
    assert_eq!(two.a.says(text).await, "unknown_token", "D43");
    assert_eq!(two.b.says(text).await, "unknown_token", "D43 told all the same");
    assert_eq!(two.a.told.of("token.revoked").len(), 1, "D43");
}

#[tokio::test(start_paused = true)]
async fn an_undecidable_revocation_claims_nothing_and_is_told() {
    for (name, applied, want_later) in
        [("D45 applied", true, "unknown_token"), ("D45 not applied", false, "ok")]
    {
        let two = Two::on_a_bus().await;
        let issued = two.mint("laptop").await;
        let text = issued.token().expose();
        assert_eq!((two.a.says(text).await, two.b.says(text).await), ("ok", "ok"), "{name}: warm");
        *two.rows.silent.lock().unwrap() = Some(applied);
        let revoked = two.a.auth.revoke_token(by_digest(&issued), RevokeReason::Myself).await;
        assert!(matches!(revoked, Err(RevokeError::Undecidable(_))), "{name}: 503 {revoked:?}");
        assert_eq!(two.a.told.of("token.revoked"), [""; 0], "{name}: nothing claims success");
        settle().await;
        let want = if applied { "unknown_token" } else { "revoked" };
        assert_eq!((two.a.says(text).await, two.b.says(text).await), (want, want), "{name}");
        two.clock.advance(59 * SECOND);
        assert_eq!((two.a.says(text).await, two.b.says(text).await), (want, want), "{name} 59 s");
        two.clock.advance(6 * SECOND);
        let later = (two.a.says(text).await, two.b.says(text).await);
        assert_eq!(later, (want_later, want_later), "{name}: when the tombstone has ended");
    }
    let two = Two::on_a_bus().await;
    *two.rows.silent.lock().unwrap() = Some(false);
    assert!(two.a.auth.revoke_subject(&account("acc-1"), None).await.is_err(), "DK13");
    assert!(two.a.auth.cut_workspace(&workspace("ws-1")).await.is_err(), "DK13");
    let want = [
        Notice::Subject(account("acc-1").key()),
        Notice::Workspace { id: workspace("ws-1"), floor: 0 },
    ];
    assert_eq!(two.a.line.published(), want, "DK13 what is known is told");
}

/// A change at the source, how the host reports it, what others hear, and what the next request there is told.
type Change = (&'static str, fn(&Scripted), fn(&Authenticator), Notice, u16);

fn changes() -> Vec<Change> {
    let (a, w) =
        (|| Notice::Account(acc()), || Notice::Workspace { id: workspace("ws-1"), floor: 0 });
    let p = || Notice::App(app("app-1"));
    let member = Notice::Member { workspace: workspace("ws-1"), account: acc() };
    let gone = |rows: &Scripted| rows.members.remove(&(acc(), workspace("ws-1")));
    let suspended = |rows: &Scripted| {
        let row = Membership::new("editor").with_account_status(AccountStatus::Suspended);
        rows.members.put((acc(), workspace("ws-1")), row);
    };
    let archived = |rows: &Scripted| {
        let old = AppRecord::new(app("app-1"), workspace("ws-1"), AccessMode::Private);
        rows.apps.put(app("app-1"), old.with_workspace_status(WorkspaceStatus::Archived));
    };
    let disabled = |rows: &Scripted| {
        let old = AppRecord::new(app("app-1"), workspace("ws-1"), AccessMode::Private);
        rows.apps.put(app("app-1"), old.with_enabled(false));
    };
    let unpicked = |rows: &Scripted| rows.permits.remove(&(app("app-1"), acc()));
    let nobody = |rows: &Scripted| rows.callers.remove(&"account:acc-1".to_owned());
    let subject = || Notice::Subject(account("acc-1").key());
    vec![
        (
            "XG4 removed",
            gone,
            |auth| auth.member_removed(&workspace("ws-1"), &acc(), "x"),
            member,
            404,
        ),
        ("XG4 forgotten", gone, |auth| auth.forget_member(&workspace("ws-1"), &acc()), a(), 404),
        (
            "XG5 account",
            suspended,
            |auth| auth.account_changed(&acc(), "status", "a", "b"),
            a(),
            404,
        ),
        ("XG5 account forgotten", suspended, |auth| auth.forget_account(&acc()), a(), 404),
        (
            "XG5 workspace",
            archived,
            |auth| auth.workspace_changed(&workspace("ws-1"), "status", "a", "b"),
            w(),
            404,
        ),
        (
            "XG5 workspace forgotten",
            archived,
            |auth| auth.forget_workspace(&workspace("ws-1")),
            w(),
            404,
        ),
        (
            "XG5 app",
            disabled,
            |auth| auth.app_changed(&app("app-1"), "enabled", "a", "b"),
            p(),
            403,
        ),
        ("XG5 app forgotten", disabled, |auth| auth.forget_app(&app("app-1")), p(), 403),
        ("P648 pick", unpicked, |auth| auth.forget_permit(&app("app-1"), &acc()), a(), 403),
        ("P648 caller", nobody, |auth| auth.forget_caller(&account("acc-1")), subject(), 401),
        ("P648 all", gone, Authenticator::forget_all, Notice::All, 404),
        (
            "P648 token",
            |rows| rows.tokens.remove(&Digest::of(&token("tst_", 1))),
            |auth| auth.forget_token(&Digest::of(&token("tst_", 1))),
            Notice::Token(Digest::of(&token("tst_", 1))),
            401,
        ),
    ]
}

type Body = http_body_util::Full<bytes::Bytes>;
type Service = tower::util::BoxCloneService<
    http::Request<Body>,
    http::Response<Body>,
    std::convert::Infallible,
>;

/// Two processes over one scripted store, a picked member of one private app, and the second process's whole stack.
async fn two_worlds() -> (World, World, MemoryBus, Service) {
    let bus = MemoryBus::new();
    let (store, clock) = (Scripted::default(), ManualClock::new());
    let world = |line: MemoryBus| {
        let builder = Authenticator::builder(kinds(), store.clone()).clock(clock.clone());
        let auth = builder.ttl_jitter(0.0).bus(line).build().unwrap();
        World { store: store.clone(), clock: clock.clone(), auth }
    };
    let (here, there) = (world(bus.clone()), world(bus.another_line()));
    bus.joined(2).await;
    here.token(&token("tst_", 1), account("acc-1"), "full");
    here.app("app-1", "ws-1", "private");
    here.member("acc-1", "ws-1");
    store.permits.put((app("app-1"), acc()), ());
    store.callers.put("account:acc-1".to_owned(), Who("one".into()));
    let auth = &there.auth;
    let find = Finder::path("/apps/{app}").unwrap();
    let stack = BearerStack::new(BearerCheck::new(auth))
        .resolve_app(AppResolver::new(auth, store.clone(), find))
        .require_membership(WorkspaceMembershipCheck::new(auth, store.clone()))
        .authorize_app(AppAuthz::new(auth, AccessModes::new(auth, store.clone())))
        .mount_caller(CallerMount::new(auth, store.clone()));
    let service = tower::util::BoxCloneService::new(stack.layer(Counting::default()));
    (here, there, bus, service)
}

#[tokio::test(start_paused = true)]
async fn every_change_that_one_process_reports_counts_in_the_other() {
    for (name, change, report, notice, want) in changes() {
        let (here, _there, bus, service) = two_worlds().await;
        let ask = async || {
            let request = get("/apps/app-1", Some(&token("tst_", 1)));
            service.clone().oneshot(request).await.unwrap().status().as_u16()
        };
        assert_eq!(ask().await, 200, "{name}: warm");
        change(&here.store);
        assert_eq!(ask().await, 200, "{name}: not told");
        report(&here.auth);
        bus.told(1).await;
        assert_eq!(bus.published(), [notice], "{name}: DK15");
        assert_eq!(ask().await, want, "{name}: told");
        tokio::time::sleep(60 * SECOND).await;
        assert_eq!(bus.published().len(), 1, "{name}: what was heard is told to nobody");

        // without the bus: when the fact ends
        let (here, there, bus, service) = two_worlds().await;
        let ask = async || {
            let request = get("/apps/app-1", Some(&token("tst_", 1)));
            service.clone().oneshot(request).await.unwrap().status().as_u16()
        };
        assert_eq!(ask().await, 200, "{name}: warm");
        bus.cut();
        change(&here.store);
        report(&here.auth);
        settle().await;
        let life = if name == "P648 token" { 30 } else { 10 };
        there.clock.advance(Duration::from_millis(life * 1_000 - 1));
        assert_eq!(ask().await, 200, "XM36 {name}: bus down, in its life");
        there.clock.advance(Duration::from_millis(1));
        assert_eq!(ask().await, want, "XM36 {name}: bus down, after its life");
    }
}

/// A notice drops what it concerns and nothing else.
#[tokio::test(start_paused = true)]
async fn a_notice_drops_what_it_names() {
    let (here, there, _bus, _service) = two_worlds().await;
    let texts: Vec<String> = (1..=3).map(|n| token("tst_", n)).collect();
    here.token(&texts[1], account("acc-2"), "full");
    here.token(&texts[2], account("acc-2"), "full");
    for (name, report, want) in [
        ("DK11 subject", (|auth| auth.forget_caller(&account("acc-2"))) as fn(&Authenticator), 1),
        ("DK11 account", |auth| auth.forget_account(&AccountId::new("acc-2").unwrap()), 1),
        ("DK11 another", |auth| auth.forget_account(&AccountId::new("acc-3").unwrap()), 3),
        ("DK11 app", |auth| auth.forget_app(&app("app-1")), 3),
        ("DK11 token", |auth| auth.forget_token(&Digest::of("another")), 3),
        ("DK11 all", Authenticator::forget_all, 0),
    ] {
        for text in &texts {
            assert!(there.auth.authenticate(text).await.is_ok(), "{name}");
        }
        report(&here.auth);
        tokio::time::sleep(SECOND).await;
        assert_eq!(there.auth.cached_tokens().0, want, "{name}");
    }
}

/// Each process has tables of its own, with the same seed: what one ends or removes, the other's tables lose, too.
#[tokio::test(start_paused = true)]
async fn stores_inside_the_processes_change_too() {
    let bus = MemoryBus::new();
    let seeded = async |line: MemoryBus| {
        let store = MemoryStore::new();
        store.put_account(acc(), AccountStatus::Active);
        store.put_workspace(workspace("ws-1"), WorkspaceStatus::Active);
        store.put_member(&workspace("ws-1"), &acc(), "editor").unwrap();
        let builder = Authenticator::builder(kinds(), store.clone()).ledger(store.clone());
        let auth = builder.bus(line).tells(store.clone()).build().unwrap();
        let issuer = Issuer::new(&auth).unwrap();
        for n in 1..=2 {
            let label = format!("seed-{n}");
            let request = MintRequest::new("account", account("acc-1"), "cli", &label);
            issuer.adopt(&token("tst_", n), &request.scopes(["full"])).await.unwrap();
        }
        (store, auth)
    };
    let (here, one) = seeded(bus.clone()).await;
    let (there, other) = seeded(bus.another_line()).await;
    bus.joined(2).await;
    let (first, second) = (token("tst_", 1), token("tst_", 2));
    assert!(other.authenticate(&first).await.is_ok(), "P1406 warm");

    let target = RevokeTarget::Digest(Digest::of(&first));
    one.revoke_token(target, RevokeReason::Admin).await.unwrap();
    settle().await;
    assert!(other.authenticate(&first).await.is_err(), "P1406 revoked there");
    let again = RevokeTarget::Digest(Digest::of(&first));
    let again = other.revoke_token(again, RevokeReason::Admin).await.unwrap();
    assert_eq!(again, Revocation::NotFound, "P1406 P646 and in its tables");
    assert!(other.authenticate(&second).await.is_ok(), "P1406 not the others");

    one.member_removed(&workspace("ws-1"), &acc(), "editor");
    tokio::time::sleep(SECOND).await;
    assert_eq!(there.membership(&acc(), &workspace("ws-1")).await.unwrap(), None, "P1406 member");

    // mints of the other process have raised its serials beyond this one's
    there.put_member(&workspace("ws-1"), &acc(), "editor").unwrap();
    let minted = async |label: &str| {
        let request = MintRequest::new("account", account("acc-1"), "cli", label);
        Issuer::new(&other).unwrap().mint(&request.scopes(["full"])).await.unwrap().serial()
    };
    let mut last = 0;
    for n in 0..20 {
        last = minted(&format!("label-{n}")).await;
    }
    for round in ["first", "second"] {
        let cut = one.cut_workspace(&workspace("ws-1")).await.unwrap().unwrap();
        assert_eq!(cut.bus(), BusState::Told, "DK7");
        settle().await;
        let row = there.membership(&acc(), &workspace("ws-1")).await.unwrap().unwrap();
        assert!(row.token_floor() > last, "P1406 {round} cut: all that was minted there so far");
        last = minted(round).await;
        assert!(last > row.token_floor(), "P1406 {round}: what is minted later counts");
    }
    // the notice that came round to the process that cut has not cut twice
    let own = here.membership(&acc(), &workspace("ws-1")).await.unwrap();
    assert_eq!(own, None, "P1406 the member removed there was one here, too");
}

#[tokio::test(start_paused = true)]
async fn the_task_ends_with_the_authenticator() {
    let bus = MemoryBus::new();
    let auth = Authenticator::builder(kinds(), MemoryStore::new()).bus(bus.clone());
    let auth = auth.build().unwrap();
    bus.joined(1).await;
    let clone = auth.clone();
    drop(auth);
    settle().await;
    assert_eq!(bus.attending(), 1, "XR34 a clone is left");
    bus.hang();
    clone.forget_all();
    settle().await;
    drop(clone);
    settle().await;
    assert_eq!(bus.attending(), 0, "XR34 nobody listens any more");
    bus.answer();
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(bus.published(), [], "XR34 nor tells");
}

/// Several authenticators of one process, each with a line, or one line for all.
#[tokio::test(start_paused = true)]
async fn every_authenticator_of_a_process_hears() {
    let bus = MemoryBus::new();
    let auths: Vec<Authenticator> = (0..3)
        .map(|n| {
            let line = if n == 0 { bus.another_line() } else { bus.clone() };
            Authenticator::builder(kinds(), MemoryStore::new()).bus(line).build().unwrap()
        })
        .collect();
    bus.joined(3).await;
    let text = token("tst_", 1);
    for auth in &auths {
        assert!(auth.authenticate(&text).await.is_err());
        assert_eq!(auth.cached_tokens(), (0, 1));
    }
    auths[0].forget_all();
    bus.told(1).await;
    for auth in &auths {
        assert_eq!(auth.cached_tokens(), (0, 0), "XS5");
    }
}

/// Whatever an adapter does, the service goes on: one that panics, one that ends at once, one that never joins.
#[tokio::test(start_paused = true)]
async fn an_adapter_that_misbehaves_is_a_bus_that_is_down() {
    #[derive(Clone, Copy)]
    enum Mood {
        Panics,
        Ends,
        Hangs,
    }
    struct Odd(Mood, Arc<AtomicUsize>);
    impl RevocationBus for Odd {
        type Error = LineCut;

        async fn publish(&self, _: &Notice) -> Result<(), LineCut> {
            Ok(())
        }

        async fn attend(&self, hear: &mut (dyn FnMut(Heard) + Send)) -> LineCut {
            self.1.fetch_add(1, Ordering::SeqCst);
            hear(Heard::Gap);
            match self.0 {
                Mood::Panics => std::panic::resume_unwind(Box::new("a bug")),
                Mood::Ends => LineCut::new(),
                Mood::Hangs => pending().await,
            }
        }
    }
    for (name, mood, least, most) in [
        ("XR35 panics", Mood::Panics, 15, 80),
        ("XR35 ends", Mood::Ends, 15, 80),
        ("XR35 hangs", Mood::Hangs, 1, 1),
    ] {
        let stays = Arc::new(AtomicUsize::new(0));
        let store = Scripted::default();
        let odd = Odd(mood, Arc::clone(&stays));
        let auth = Authenticator::builder(kinds(), store.clone()).bus(odd).build().unwrap();
        let world = World { store, clock: ManualClock::new(), auth };
        let text = token("tst_", 1);
        let digest = Digest::of(&text);
        let id = tower_bearer::id::TokenId::new("tok-1").unwrap();
        let until = tower_bearer::clock::Timestamp::from_millis(u64::MAX);
        let row = tower_bearer::store::TokenRecord::new(id, "account", account("acc-1"), until);
        world.store.tokens.put(digest, row.with_scopes(ScopeSet::parse("full")));
        assert!(world.auth.authenticate(&text).await.is_ok(), "{name}");
        tokio::time::sleep(20 * SECOND).await;
        assert!(world.auth.authenticate(&text).await.is_ok(), "{name}");
        let stays = stays.load(Ordering::SeqCst);
        assert!((least..=most).contains(&stays), "{name}: {stays} stays in 20 s");
    }
}

#[test]
fn a_bus_needs_a_runtime() {
    let built = Authenticator::builder(kinds(), MemoryStore::new()).bus(MemoryBus::new()).build();
    assert_eq!(built.unwrap_err(), BuildError::NoRuntime);
}

impl Two {
    /// Ends a token in process A without waiting.
    fn revoke(&self, target: &RevokeTarget) {
        let RevokeTarget::Digest(digest) = target else { return };
        self.a.auth.forget_token(digest);
    }
}

/// Ends a token in the tables alone, as another process would that shares them.
trait HearOf {
    fn hear_of(&self, token: &str);
}

impl HearOf for MemoryStore {
    fn hear_of(&self, token: &str) {
        tower_bearer::store::Hears::hear(self, &Notice::Token(Digest::of(token)));
    }
}

/// Polls once, with nobody to be woken.
fn futures_poll<F: Future>(future: std::pin::Pin<&mut F>) -> std::task::Poll<F::Output> {
    future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}
