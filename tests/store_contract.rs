//! Every store that comes with this crate answers the same question the same way.

#![expect(clippy::unwrap_used, reason = "what cannot be set up ends its test")]

#[path = "support/store_contract.rs"]
mod contract;

use contract::{account_id, app_id, workspace};
use tower_bearer::store::{
    AccessMode, AccountStatus, BrokenReference, MemoryCaller, MemoryStore, MountRequest, Mounted,
    WorkspaceStatus,
};

store_contract!(memory, loaded(), loaded().callers());

fn loaded() -> MemoryStore {
    let store = MemoryStore::new();
    for (id, status) in contract::WORKSPACES {
        store.put_workspace(workspace(id), *status);
    }
    for (id, status) in contract::ACCOUNTS {
        store.put_account(account_id(id), *status);
    }
    for (workspace_id, account, role) in contract::MEMBERS {
        store.put_member(&workspace(workspace_id), &account_id(account), *role).unwrap();
    }
    for (id, workspace_id, mode, enabled) in contract::APPS {
        let mode = AccessMode::from_word(mode);
        store.put_app(app_id(id), &workspace(workspace_id), mode).unwrap();
        assert_eq!(store.set_app_enabled(&app_id(id), *enabled), Some(true));
    }
    for (app, account) in contract::PERMITS {
        assert_eq!(store.permit(&app_id(app), &account_id(account)), Ok(true));
    }
    store
}

#[test]
fn a_host_hears_what_was_there_before() {
    use AccountStatus::{Active, Closed};
    let store = loaded();
    let (account, ghost) = (account_id("acc-1"), account_id("acc-9"));
    let status = |account, status| store.set_account_status(account, status);
    assert_eq!(status(&account, Closed), Some(Active), "P1209 changed");
    assert_eq!(status(&account, Closed), Some(Closed), "P1209 so already");
    assert_eq!(status(&ghost, Closed), None, "P1497 unknown");
    let (ws, no_ws) = (workspace("ws-1"), workspace("ws-9"));
    let status = |workspace| store.set_workspace_status(workspace, WorkspaceStatus::Archived);
    assert_eq!(status(&ws), Some(WorkspaceStatus::Active), "P1209 changed");
    assert_eq!(status(&ws), Some(WorkspaceStatus::Archived), "P1209 so already");
    assert_eq!(status(&no_ws), None, "P1497 unknown");
    let (app, no_app) = (app_id("app-public"), app_id("app-9"));
    assert_eq!(store.set_app_enabled(&app, false), Some(true), "P1209 changed");
    assert_eq!(store.set_app_enabled(&app, false), Some(false), "P1209 so already");
    assert_eq!(store.set_app_enabled(&no_app, false), None, "P1498 unknown");
    let mode = |app| store.set_access_mode(app, AccessMode::Private);
    assert_eq!(mode(&app), Some(AccessMode::Public), "P1209 changed");
    assert_eq!(mode(&app), Some(AccessMode::Private), "P1209 so already");
    assert_eq!(mode(&no_app), None, "P1498 unknown");
    assert_eq!(store.role(&ws, &account).as_deref(), Some("editor"), "P1444");
    assert_eq!(store.remove_member(&ws, &account).as_deref(), Some("editor"), "P1493");
    assert_eq!(store.remove_member(&ws, &account), None, "P1493 no such row");
    assert_eq!(store.role(&ws, &account), None, "P1444");
    let picked = app_id("app-picked");
    assert_eq!(store.permit(&picked, &account), Ok(false), "P868 picked already");
    assert!(store.remove_permit(&picked, &account), "P868");
    assert!(!store.remove_permit(&picked, &account), "P868 not picked");
}

#[test]
fn a_row_names_only_rows_that_are_there() {
    let store = loaded();
    let (ws, no_ws) = (workspace("ws-1"), workspace("ws-9"));
    let (account, ghost) = (account_id("acc-1"), account_id("acc-9"));
    for (name, got, want) in [
        (
            "member, workspace",
            store.put_member(&no_ws, &account, "x"),
            "there is no workspace ws-9",
        ),
        ("member, account", store.put_member(&ws, &ghost, "x"), "there is no account acc-9"),
        (
            "app, workspace",
            store.put_app(app_id("a"), &no_ws, AccessMode::Public),
            "there is no workspace ws-9",
        ),
        (
            "permit, app",
            store.permit(&app_id("app-9"), &account).map(drop),
            "there is no app app-9",
        ),
        (
            "permit, account",
            store.permit(&app_id("app-picked"), &ghost).map(drop),
            "there is no account acc-9",
        ),
    ] {
        assert_eq!(
            got.map_err(|broken: BrokenReference| broken.to_string()),
            Err(want.to_owned()),
            "P1414 {name}"
        );
    }
}

#[test]
fn lists_are_sorted_by_id() {
    let store = loaded();
    store.put_app(app_id("a-sso"), &workspace("ws-1"), AccessMode::SsoVerified).unwrap();
    store.put_app(app_id("b-off"), &workspace("ws-1"), AccessMode::Public).unwrap();
    store.set_app_enabled(&app_id("b-off"), false);
    let ids = |apps: Vec<tower_bearer::store::AppRecord>| -> Vec<String> {
        apps.iter().map(|app| app.id().to_string()).collect()
    };
    let all = ["a-sso", "app-odd", "app-off", "app-picked", "app-public", "b-off"];
    assert_eq!(ids(store.apps_of(&workspace("ws-1"))), all, "P1445");
    assert_eq!(ids(store.apps_of(&workspace("ws-9"))), [""; 0], "P1445 unknown");
    assert_eq!(ids(store.apps_open_to_externals()), ["a-sso", "app-public"], "P1446");
}

#[tokio::test]
async fn a_caller_in_memory_tells_its_role_or_its_id() {
    use tower_bearer::id::{ExternalId, Issuer};
    use tower_bearer::store::CallerSource as _;
    use tower_bearer::subject::Subject;

    let callers = loaded().callers();
    let id = account_id("acc-1");
    let account = MountRequest::new(Subject::Account { id: id.clone() });
    for (name, request, role) in [
        ("outside any workspace", account.clone(), None),
        ("P1444", account.with_app(workspace("ws-1"), app_id("app-public")), Some("editor")),
    ] {
        let want = MemoryCaller::Account { id: id.clone(), role: role.map(Into::into) };
        assert_eq!(callers.mount(&request).await, Ok(Mounted::found(want)), "{name}");
    }
    let (issuer, subject) = (Issuer::new("https://a.example"), ExternalId::new("guest-1"));
    let guest =
        Subject::External { issuer: issuer.unwrap(), subject: subject.unwrap(), email: None };
    let request = MountRequest::new(guest).with_app(workspace("ws-1"), app_id("app-public"));
    let Ok(Mounted::Caller { caller: MemoryCaller::EndUser { id, .. }, .. }) =
        callers.mount(&request).await
    else {
        panic!("no end user")
    };
    let digits = id.strip_prefix("eu_").unwrap();
    assert!(digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit()), "P872 {id}");
}
