//! The questions that every store answers the same way, and the rows that it is asked about.
//!
//! An adapter's constructor loads the rows of this file and gives a fresh store; [`store_contract!`] makes its tests.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a question that is not answered ends its test"
)]

use std::fmt::Debug;

use tower_bearer::clock::Timestamp;
use tower_bearer::id::{
    AccountId, AppId, ClientId, Email, ExternalId, Issuer, ServiceId, TokenId, WorkspaceId,
};
use tower_bearer::scope::ScopeSet;
use tower_bearer::store::{
    AccessMode, AccountStatus, AppRecord, AppStore, CallerSource, LedgerRevocation, Membership,
    MembershipStore, MintOutcome, MintStop, Minted, MountRequest, Mounted, NewToken, RevokeReason,
    RevokeTarget, TokenLedger, TokenRecord, TokenStore, WorkspaceStatus,
};
use tower_bearer::subject::Subject;
use tower_bearer::token::{Digest, TokenLabel};

/// Id and state.
pub(crate) const WORKSPACES: &[(&str, WorkspaceStatus)] =
    &[("ws-1", WorkspaceStatus::Active), ("ws-2", WorkspaceStatus::Archived)];

/// Id and state.
pub(crate) const ACCOUNTS: &[(&str, AccountStatus)] = &[
    ("acc-1", AccountStatus::Active),
    ("acc-2", AccountStatus::Suspended),
    ("acc-3", AccountStatus::Active),
];

/// Workspace, account, role.
pub(crate) const MEMBERS: &[(&str, &str, &str)] =
    &[("ws-1", "acc-1", "editor"), ("ws-2", "acc-1", "viewer"), ("ws-1", "acc-2", "viewer")];

/// Id, workspace, access mode, whether it is enabled.
pub(crate) const APPS: &[(&str, &str, &str, bool)] = &[
    ("app-public", "ws-1", "public", true),
    ("app-off", "ws-1", "private_all", false),
    ("app-picked", "ws-1", "private", true),
    ("app-odd", "ws-1", "friends", true),
    ("app-archived", "ws-2", "public", true),
];

/// App and account.
pub(crate) const PERMITS: &[(&str, &str)] = &[("app-picked", "acc-1")];

/// One test per question, for a constructor that gives a loaded store, and one that gives its callers beside it.
#[macro_export]
macro_rules! store_contract {
    ($name:ident, $store:expr, $callers:expr) => {
        mod $name {
            use super::*;
            use $crate::contract;

            #[tokio::test]
            async fn a_token_is_found_as_it_was_minted() {
                contract::a_token_is_found_as_it_was_minted($store).await;
            }

            #[tokio::test]
            async fn a_rotation_ends_the_old_token() {
                contract::a_rotation_ends_the_old_token($store).await;
            }

            #[tokio::test]
            async fn only_active_accounts_get_tokens() {
                contract::only_active_accounts_get_tokens($store).await;
            }

            #[tokio::test]
            async fn a_subject_has_so_many_tokens() {
                contract::a_subject_has_so_many_tokens($store).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn first_mints_at_once_leave_one_token() {
                contract::first_mints_at_once_leave_one_token($store).await;
            }

            #[tokio::test]
            async fn a_digest_is_one_token() {
                contract::a_digest_is_one_token($store).await;
            }

            #[tokio::test]
            async fn a_revoked_token_is_gone() {
                contract::a_revoked_token_is_gone($store).await;
            }

            #[tokio::test]
            async fn a_subject_is_revoked_whole() {
                contract::a_subject_is_revoked_whole($store).await;
            }

            #[tokio::test]
            async fn an_expired_row_ends_once() {
                contract::an_expired_row_ends_once($store).await;
            }

            #[tokio::test]
            async fn a_cut_lies_above_every_token() {
                contract::a_cut_lies_above_every_token($store).await;
            }

            #[tokio::test]
            async fn apps_are_joined_with_their_workspace() {
                contract::apps_are_joined_with_their_workspace($store).await;
            }

            #[tokio::test]
            async fn members_are_joined_with_account_and_workspace() {
                contract::members_are_joined_with_account_and_workspace($store).await;
            }

            #[tokio::test]
            async fn callers_are_known_or_made() {
                contract::callers_are_known_or_made($callers).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn first_calls_at_once_make_one_end_user() {
                contract::first_calls_at_once_make_one_end_user($callers).await;
            }
        }
    };
}

/// 21 September 2026, 14:13:20 UTC.
const T: Timestamp = Timestamp::from_millis(1_790_000_000_000);

fn at(ms: u64) -> Timestamp {
    Timestamp::from_millis(T.as_millis() + ms)
}

pub(crate) async fn a_token_is_found_as_it_was_minted(store: impl TokenStore + TokenLedger) {
    let scopes = ScopeSet::parse("apps:run apps:read");
    let new = new("tok_1", guest("https://a.example"), "laptop", 60_000)
        .with_scopes(scopes.clone())
        .with_workspace(workspace("ws-1"));
    assert_eq!(find(&store, "one").await, None, "P701 none");
    let minted = mint(&store, &new, "one", 100, T).await;
    assert_eq!((minted.id(), minted.replaced()), (&token("tok_1"), None), "DM10 a first mint");
    let want = TokenRecord::new(token("tok_1"), "kind", guest("https://a.example"), at(60_000))
        .with_serial(minted.serial())
        .with_scopes(scopes)
        .with_client(client())
        .with_workspace(workspace("ws-1"));
    assert_eq!(find(&store, "one").await, Some(want), "P701 P702 1.2");
}

pub(crate) async fn a_rotation_ends_the_old_token(store: impl TokenStore + TokenLedger) {
    let first = mint(&store, &new("tok_1", account("acc-1"), "laptop", 60_000), "one", 1, T).await;
    let again = new("tok_2", account("acc-1"), "laptop", 90_000);
    let second = mint(&store, &again, "two", 1, at(1_000)).await;
    assert_eq!(second.id(), &token("tok_1"), "D13 the id stays, D17 a rotation is under the cap");
    assert!(second.serial() > first.serial(), "D13 DS14 a larger serial");
    assert_eq!(second.replaced(), Some(&Digest::of("one")), "D13 the old digest");
    assert_eq!(find(&store, "one").await, None, "DM10 the old token is dead");
    let record = find(&store, "two").await.unwrap();
    assert_eq!((record.id(), record.expires_at()), (&token("tok_1"), at(90_000)), "DM8");
    let same = mint(&store, &again, "two", 1, at(2_000)).await;
    assert_eq!(same.replaced(), None, "P1402 the same text given again ends nothing");
    assert!(find(&store, "two").await.is_some(), "P1402");
    for (name, other) in [
        ("D13 another letter case", new("tok_3", account("acc-1"), "Laptop", 60_000)),
        ("DM10 another subject", new("tok_4", account("acc-3"), "laptop", 60_000)),
        ("DM10 another issuer", new("tok_5", guest("https://a.example"), "laptop", 60_000)),
        ("D184 one name, two issuers", new("tok_6", guest("https://b.example"), "laptop", 60_000)),
    ] {
        let minted = mint(&store, &other, name, 100, T).await;
        assert_eq!((minted.id(), minted.replaced()), (other.id(), None), "{name}");
        assert!(find(&store, "two").await.is_some(), "{name}");
    }
}

pub(crate) async fn only_active_accounts_get_tokens(store: impl TokenStore + TokenLedger) {
    let stopped = Err(MintStop::AccountNotActive);
    for (name, subject, want) in [
        ("D18 suspended", account("acc-2"), stopped),
        ("DM14 unknown", account("acc-9"), stopped),
        ("DM14 active", account("acc-1"), Ok(())),
        ("DM14 an external subject has no account", guest("https://a.example"), Ok(())),
        ("DM14 nor has a service", Subject::Service { id: ServiceId::new("svc").unwrap() }, Ok(())),
    ] {
        let new = new(&format!("tok_{}", name.len()), subject, "laptop", 60_000);
        let got = try_mint(&store, &new, name, 100, T).await.map(|_| ());
        assert_eq!(got, want, "{name}");
        assert_eq!(find(&store, name).await.is_some(), want.is_ok(), "{name}");
    }
}

pub(crate) async fn a_subject_has_so_many_tokens(store: impl TokenStore + TokenLedger) {
    let labelled = |at: usize| {
        let (id, label) = (format!("tok_{at}"), format!("label {at}"));
        new(&id, account("acc-1"), &label, 60_000)
    };
    for at in 0..100 {
        mint(&store, &labelled(at), &format!("text {at}"), 100, T).await;
    }
    let more = async |now| try_mint(&store, &labelled(100), "more", 100, now).await;
    assert_eq!(more(T).await, Err(MintStop::TooMany), "D17 label 101");
    assert_eq!(find(&store, "more").await, None, "D17 nothing is written");
    mint(&store, &labelled(7), "rotated", 100, T).await;
    let other = new("tok_other", account("acc-3"), "label", 60_000);
    mint(&store, &other, "other", 100, T).await;
    assert!(more(at(59_999)).await.is_err(), "DM12 all are live");
    assert!(more(at(60_000)).await.is_ok(), "DM12 expired ones do not count");
}

pub(crate) async fn first_mints_at_once_leave_one_token<S: TokenStore + TokenLedger>(store: S) {
    let store = std::sync::Arc::new(store);
    let mut mints = tokio::task::JoinSet::new();
    for at in 0..50 {
        let store = std::sync::Arc::clone(&store);
        mints.spawn(async move {
            let new = new(&format!("tok_{at}"), account("acc-1"), "laptop", 60_000);
            mint(&*store, &new, &format!("text {at}"), 100, T).await
        });
    }
    let minted = mints.join_all().await;
    let replaced: std::collections::HashSet<_> =
        minted.iter().filter_map(Minted::replaced).collect();
    let serials: std::collections::HashSet<_> = minted.iter().map(Minted::serial).collect();
    let ids: std::collections::HashSet<_> = minted.iter().map(Minted::id).collect();
    assert_eq!((replaced.len(), serials.len(), ids.len()), (49, 50, 1), "D22");
    for at in 0..50 {
        let text = format!("text {at}");
        let dead = replaced.contains(&Digest::of(&text));
        assert_eq!(find(&*store, &text).await.is_none(), dead, "D22 {text}");
    }
}

pub(crate) async fn a_digest_is_one_token(store: impl TokenStore + TokenLedger) {
    mint(&store, &new("tok_1", account("acc-1"), "laptop", 60_000), "one", 100, T).await;
    for (name, id, text) in [
        ("1.2 token_hash is unique", "tok_2", "one"),
        ("1.2 id is the primary key", "tok_1", "two"),
    ] {
        let new = new(id, account("acc-3"), "laptop", 60_000);
        assert!(store.mint(&new, &Digest::of(text), 100, T).await.is_err(), "{name}");
    }
    let record = find(&store, "one").await.unwrap();
    assert_eq!(record.id(), &token("tok_1"), "1.2 the first one stays");
    assert_eq!(find(&store, "two").await, None, "1.2 nothing is written");
}

pub(crate) async fn a_revoked_token_is_gone(store: impl TokenStore + TokenLedger) {
    let by_id = |id: &str, owner: Option<&str>| RevokeTarget::Id {
        id: token(id),
        owner: owner.map(account),
    };
    let revoked = |id: &str, text: &str| LedgerRevocation::Revoked {
        id: token(id),
        digest: Digest::of(text),
    };
    for (at, text) in ["one", "two", "three"].into_iter().enumerate() {
        let new = new(&format!("tok_{at}"), account("acc-1"), text, 60_000);
        mint(&store, &new, text, 100, T).await;
    }
    for (name, target, want) in [
        ("DK5 never seen", by_id("tok_9", None), LedgerRevocation::NotFound),
        ("DK3 of another", by_id("tok_0", Some("acc-3")), LedgerRevocation::NotFound),
        ("DK3 own", by_id("tok_0", Some("acc-1")), revoked("tok_0", "one")),
        ("DK3 own, dead", by_id("tok_0", Some("acc-1")), LedgerRevocation::AlreadyDead),
        ("DK3 of another, dead", by_id("tok_0", Some("acc-3")), LedgerRevocation::NotFound),
        ("DK5 by an operator", by_id("tok_1", None), revoked("tok_1", "two")),
        ("DK5 dead", by_id("tok_1", None), LedgerRevocation::AlreadyDead),
        ("DK2", RevokeTarget::Digest(Digest::of("three")), revoked("tok_2", "three")),
        (
            "1.2 a dead row has no digest",
            RevokeTarget::Digest(Digest::of("three")),
            LedgerRevocation::NotFound,
        ),
    ] {
        let got = store.revoke(&target, RevokeReason::Admin, T).await;
        assert_eq!(got.unwrap_or_else(|error| panic!("{name}: {error}")), want, "{name}");
    }
    for text in ["one", "two", "three"] {
        assert_eq!(find(&store, text).await, None, "1.2 P692 {text}");
    }
    let after = new("tok_5", account("acc-1"), "one", 60_000);
    let minted = mint(&store, &after, "after", 100, T).await;
    assert_eq!(
        (minted.id(), minted.replaced()),
        (after.id(), None),
        "1.2 a dead row is no rotation"
    );
}

pub(crate) async fn a_subject_is_revoked_whole(store: impl TokenStore + TokenLedger) {
    for (id, subject) in [("a", "acc-1"), ("b", "acc-1"), ("c", "acc-1"), ("d", "acc-3")] {
        mint(&store, &new(id, account(subject), id, 60_000), id, 100, T).await;
    }
    let subject = account("acc-1");
    let end = async |except: Option<&TokenId>| {
        let digests = store.revoke_subject(&subject, except, T).await;
        let mut digests = digests.unwrap_or_else(|error| panic!("{error}"));
        digests.sort_unstable();
        digests
    };
    let digests = |texts: &[&str]| {
        let mut digests: Vec<Digest> = texts.iter().map(|text| Digest::of(text)).collect();
        digests.sort_unstable();
        digests
    };
    assert_eq!(end(Some(&token("b"))).await, digests(&["a", "c"]), "D32 DK6 all but one");
    assert!(find(&store, "b").await.is_some(), "D32 the excepted one lives");
    assert_eq!(end(None).await, digests(&["b"]), "D32 DK6");
    assert_eq!(end(None).await, digests(&[]), "DK6 nothing left");
    for (text, live) in [("a", false), ("b", false), ("c", false), ("d", true)] {
        assert_eq!(find(&store, text).await.is_some(), live, "D32 {text}");
    }
    mint(&store, &new("e", subject.clone(), "a", 60_000), "e", 100, T).await;
    assert!(find(&store, "e").await.is_some(), "D32 a later mint counts");
}

pub(crate) async fn an_expired_row_ends_once(store: impl TokenStore + TokenLedger) {
    mint(&store, &new("tok_1", account("acc-1"), "laptop", 60_000), "one", 100, T).await;
    mint(&store, &new("tok_1", account("acc-1"), "laptop", 90_000), "two", 100, T).await;
    for (name, id, text, now, want) in [
        ("DX1 a millisecond early", "tok_1", "two", 89_999, false),
        ("DX3 rotated meanwhile", "tok_1", "one", 90_000, false),
        ("DX3 unknown", "tok_9", "two", 90_000, false),
        ("DX2 the first", "tok_1", "two", 90_000, true),
        ("P690 the second", "tok_1", "two", 90_000, false),
    ] {
        let got = store.expire(&token(id), &Digest::of(text), at(now)).await;
        assert_eq!(got.unwrap_or_else(|error| panic!("{name}: {error}")), want, "{name}");
    }
    assert_eq!(find(&store, "two").await, None, "D51 both digests are gone");
}

pub(crate) async fn a_cut_lies_above_every_token(
    store: impl TokenStore + TokenLedger + AppStore + MembershipStore,
) {
    let before = mint(&store, &new("a", account("acc-1"), "a", 60_000), "a", 100, T).await;
    let cut = async |id: &str| {
        let floor = store.cut_workspace(&workspace(id), T).await;
        floor.unwrap_or_else(|error| panic!("{id}: {error}"))
    };
    assert_eq!(cut("ws-9").await, None, "DK7 unknown");
    let floor = cut("ws-1").await.unwrap();
    let after = mint(&store, &new("b", account("acc-1"), "b", 60_000), "b", 100, T).await;
    assert!(before.serial() < floor && floor <= after.serial(), "DK7 DK8 DS14");
    assert!(find(&store, "a").await.is_some(), "DK8 the token itself lives");
    let app = async |id| AppStore::app(&store, &app_id(id)).await.ok().flatten().unwrap();
    assert_eq!(app("app-public").await.token_floor(), floor, "DK8 P846");
    assert_eq!(app("app-archived").await.token_floor(), 0, "DK8 other workspaces are not touched");
    let member = store.membership(&account_id("acc-1"), &workspace("ws-1")).await;
    assert_eq!(member.ok().flatten().unwrap().token_floor(), floor, "DK8 P853");
    assert!(cut("ws-1").await.unwrap() > floor, "DS14 floors grow");
}

pub(crate) async fn apps_are_joined_with_their_workspace(store: impl AppStore) {
    for (id, workspace_id, mode, enabled) in APPS {
        let status = WORKSPACES.iter().find(|(id, _)| id == workspace_id).unwrap().1;
        let mode = AccessMode::from_word(mode);
        let want = AppRecord::new(app_id(id), workspace(workspace_id), mode)
            .with_enabled(*enabled)
            .with_workspace_status(status);
        let got = store.app(&app_id(id)).await;
        assert_eq!(got.unwrap_or_else(|error| panic!("{id}: {error}")), Some(want), "P846 {id}");
    }
    assert_eq!(store.app(&app_id("app-9")).await.ok().flatten(), None, "P846 unknown");
    for (name, app, account, want) in [
        ("P868 picked", "app-picked", "acc-1", true),
        ("P868 not picked", "app-picked", "acc-3", false),
        ("P868 picked for another", "app-public", "acc-1", false),
        ("P868 unknown app", "app-9", "acc-1", false),
    ] {
        let got = store.permitted(&app_id(app), &account_id(account)).await;
        assert_eq!(got.unwrap_or_else(|error| panic!("{name}: {error}")), want, "{name}");
    }
}

pub(crate) async fn members_are_joined_with_account_and_workspace(store: impl MembershipStore) {
    let (editor, viewer) = (Membership::new("editor"), Membership::new("viewer"));
    for (name, account, workspace_id, want) in [
        ("P853 a member", "acc-1", "ws-1", Some(editor)),
        (
            "P853 archived workspace",
            "acc-1",
            "ws-2",
            Some(viewer.clone().with_workspace_status(WorkspaceStatus::Archived)),
        ),
        (
            "P853 suspended account",
            "acc-2",
            "ws-1",
            Some(viewer.with_account_status(AccountStatus::Suspended)),
        ),
        ("P853 no member", "acc-3", "ws-1", None),
        ("P853 unknown account", "acc-9", "ws-1", None),
        ("P853 unknown workspace", "acc-1", "ws-9", None),
    ] {
        let got = store.membership(&account_id(account), &workspace(workspace_id)).await;
        assert_eq!(got.unwrap_or_else(|error| panic!("{name}: {error}")), want, "{name}");
    }
}

pub(crate) async fn callers_are_known_or_made<S>(source: S)
where
    S: CallerSource<Caller: Debug + PartialEq>,
{
    let mount = async |request: &MountRequest| {
        source.mount(request).await.unwrap_or_else(|error| panic!("{error}"))
    };
    for (name, subject, known) in [
        ("P872 active account", account("acc-1"), true),
        ("P875 suspended account", account("acc-2"), false),
        ("P875 unknown account", account("acc-9"), false),
    ] {
        let got = mount(&in_app(subject, "app-public")).await;
        match known {
            true => assert!(matches!(got, Mounted::Caller { created: false, .. }), "{name}"),
            false => assert_eq!(got, Mounted::Unknown, "{name}"),
        }
    }
    let outside = MountRequest::new(guest("https://a.example"));
    assert_eq!(mount(&outside).await, Mounted::Skip, "P874 no app");
    let here = in_app(guest("https://a.example"), "app-public");
    let Mounted::Caller { caller, created: true } = mount(&here).await else {
        panic!("P872 made on first sight")
    };
    assert_eq!(mount(&here).await, Mounted::found(caller), "P872 the same one later");
    for (name, request) in [
        ("P896 another issuer", in_app(guest("https://b.example"), "app-public")),
        ("P873 another app", in_app(guest("https://a.example"), "app-picked")),
    ] {
        let got = mount(&request).await;
        assert!(matches!(got, Mounted::Caller { created: true, .. }), "{name}");
    }
}

pub(crate) async fn first_calls_at_once_make_one_end_user<S>(source: S)
where
    S: CallerSource<Caller: Debug + PartialEq>,
{
    let source = std::sync::Arc::new(source);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let source = std::sync::Arc::clone(&source);
        let request = in_app(guest("https://a.example"), "app-public");
        calls.spawn(async move { source.mount(&request).await.ok() });
    }
    let mut made = 0;
    let mut callers = Vec::new();
    for got in calls.join_all().await {
        let Some(Mounted::Caller { caller, created }) = got else { panic!("P895 no caller") };
        made += usize::from(created);
        callers.push(caller);
    }
    assert_eq!(made, 1, "P895 one end user");
    assert!(callers.windows(2).all(|two| two[0] == two[1]), "P895 one id");
}

async fn find(store: &impl TokenStore, text: &str) -> Option<TokenRecord> {
    let found = store.find(&Digest::of(text)).await;
    found.unwrap_or_else(|error| panic!("{text}: {error}"))
}

async fn mint(
    store: &impl TokenLedger,
    new: &NewToken,
    text: &str,
    cap: u32,
    now: Timestamp,
) -> Minted {
    let minted = try_mint(store, new, text, cap, now).await;
    minted.unwrap_or_else(|stop| panic!("{text}: {stop:?}"))
}

async fn try_mint(
    store: &impl TokenLedger,
    new: &NewToken,
    text: &str,
    cap: u32,
    now: Timestamp,
) -> Result<Minted, MintStop> {
    let outcome = store.mint(new, &Digest::of(text), cap, now).await;
    match outcome.unwrap_or_else(|error| panic!("{text}: {error}")) {
        MintOutcome::Minted(minted) => Ok(minted),
        MintOutcome::Stopped(stop) => Err(stop),
        other => panic!("{text}: {other:?}"),
    }
}

fn new(id: &str, subject: Subject, label: &str, ttl_ms: u64) -> NewToken {
    let label = TokenLabel::new(label).unwrap();
    NewToken::new(token(id), "kind", subject, client(), label, at(ttl_ms))
}

fn in_app(subject: Subject, app: &str) -> MountRequest {
    MountRequest::new(subject).with_app(workspace("ws-1"), app_id(app))
}

fn account(id: &str) -> Subject {
    Subject::Account { id: account_id(id) }
}

fn guest(issuer: &str) -> Subject {
    Subject::External {
        issuer: Issuer::new(issuer).unwrap(),
        subject: ExternalId::new("guest-1").unwrap(),
        email: Some(Email::new("guest@partner.example").unwrap()),
    }
}

fn client() -> ClientId {
    ClientId::new("cli").unwrap()
}

fn token(id: &str) -> TokenId {
    TokenId::new(id).unwrap()
}

pub(crate) fn account_id(id: &str) -> AccountId {
    AccountId::new(id).unwrap()
}

pub(crate) fn workspace(id: &str) -> WorkspaceId {
    WorkspaceId::new(id).unwrap()
}

pub(crate) fn app_id(id: &str) -> AppId {
    AppId::new(id).unwrap()
}
