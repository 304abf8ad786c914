//! What the host changed: told to this process's caches at once, and to the audit.

use crate::audit::{Change as Field, Event, EventName};
use crate::authenticator::Authenticator;
use crate::cache::Change;
use crate::id::{AccountId, AppId, WorkspaceId};

impl Authenticator {
    /// A field of an account changed: every fact that names the account is forgotten, and `account.changed` is raised.
    ///
    /// Call it after the store has committed, once per real change.
    pub fn account_changed(&self, account: &AccountId, field: &str, from: &str, to: &str) {
        self.tell(&Change::Account(account.clone()));
        self.changed(EventName::AccountChanged, Field::new(account.as_str(), field, from, to));
    }

    /// A field of a workspace changed: every fact that names it is forgotten, and `workspace.changed` is raised.
    ///
    /// Call it after the store has committed, once per real change.
    pub fn workspace_changed(&self, workspace: &WorkspaceId, field: &str, from: &str, to: &str) {
        self.tell(&Change::Workspace(workspace.clone()));
        self.changed(EventName::WorkspaceChanged, Field::new(workspace.as_str(), field, from, to));
    }

    /// A field of an app changed: the app is forgotten, and `app.changed` is raised.
    ///
    /// Call it after the store has committed, once per real change.
    pub fn app_changed(&self, app: &AppId, field: &str, from: &str, to: &str) {
        self.tell(&Change::App(app.clone()));
        self.changed(EventName::AppChanged, Field::new(app.as_str(), field, from, to));
    }

    /// An account is no member of a workspace any more: the membership is forgotten, and `member.removed` is raised.
    ///
    /// Call it after the store has committed, once per real change.
    pub fn member_removed(&self, workspace: &WorkspaceId, account: &AccountId, role: &str) {
        self.tell(&Change::Member(workspace.clone(), account.clone()));
        let name = EventName::MemberRemoved;
        let event = Event::new(name, self.read_clock().wall());
        let change = Some(Field::new(account.as_str(), "role", role, ""));
        self.audit().record(&Event { workspace: Some(workspace.as_str()), change, ..event });
    }

    fn changed(&self, name: EventName, change: Field<'_>) {
        let event = Event::new(name, self.read_clock().wall());
        self.audit().record(&Event { change: Some(change), ..event });
    }
}
