//! How a host fills and changes a store in memory, and what it lists from it.
//!
//! 1. A row that names another one is refused while that one is not there.
//! 2. Whoever changes a row hears what it was before, and so whether anything changed.
//! 3. Caches are not told: call the authenticator's `forget_` methods after a change.

use std::collections::HashSet;
use std::mem;
use std::sync::Arc;

use crate::id::{AccountId, AppId, WorkspaceId};
use crate::store::memory::people::{App, Workspace};
use crate::store::memory::{BrokenReference, MemoryStore};
use crate::store::{AccessMode, AccountStatus, AppRecord, WorkspaceStatus};

impl MemoryStore {
    /// Adds an account, or sets the state of the one that is there.
    pub fn put_account(&self, account: AccountId, status: AccountStatus) {
        self.write().people.accounts.insert(account, status);
    }

    /// Adds a workspace, or sets the state of the one that is there; its floor stays.
    pub fn put_workspace(&self, workspace: WorkspaceId, status: WorkspaceStatus) {
        let new = Workspace { status, token_floor: 0, last_cut: 0 };
        self.write().people.workspaces.entry(workspace).or_insert(new).status = status;
    }

    /// Makes an account a member, or gives a member another role.
    ///
    /// # Errors
    ///
    /// [`BrokenReference`] if there is no such workspace or account.
    pub fn put_member(
        &self,
        workspace: &WorkspaceId,
        account: &AccountId,
        role: impl Into<Arc<str>>,
    ) -> Result<(), BrokenReference> {
        let people = &mut self.write().people;
        people.expect_workspace(workspace)?;
        people.expect_account(account)?;
        people.members.insert((workspace.clone(), account.clone()), role.into());
        Ok(())
    }

    /// Adds an app, enabled and with nobody picked for it, in place of an earlier one of that id.
    ///
    /// # Errors
    ///
    /// [`BrokenReference`] if there is no such workspace.
    pub fn put_app(
        &self,
        app: AppId,
        workspace: &WorkspaceId,
        access_mode: AccessMode,
    ) -> Result<(), BrokenReference> {
        let people = &mut self.write().people;
        people.expect_workspace(workspace)?;
        let workspace = workspace.clone();
        let new = App { workspace, enabled: true, access_mode, permitted: HashSet::new() };
        people.apps.insert(app, new);
        Ok(())
    }

    /// Picks an account for an app of mode [`AccessMode::Private`]; `true` if it was not picked before.
    ///
    /// # Errors
    ///
    /// [`BrokenReference`] if there is no such app or account.
    pub fn permit(&self, app: &AppId, account: &AccountId) -> Result<bool, BrokenReference> {
        let people = &mut self.write().people;
        people.expect_account(account)?;
        let missing = || BrokenReference::App(app.clone());
        Ok(people.apps.get_mut(app).ok_or_else(missing)?.permitted.insert(account.clone()))
    }

    /// Takes an account from those picked for an app; `true` if it was among them.
    pub fn remove_permit(&self, app: &AppId, account: &AccountId) -> bool {
        let people = &mut self.write().people;
        people.apps.get_mut(app).is_some_and(|app| app.permitted.remove(account))
    }

    /// Sets the state of an account; gives back what it was, `None` for an unknown account.
    pub fn set_account_status(
        &self,
        account: &AccountId,
        status: AccountStatus,
    ) -> Option<AccountStatus> {
        let people = &mut self.write().people;
        people.accounts.get_mut(account).map(|row| mem::replace(row, status))
    }

    /// Sets the state of a workspace; gives back what it was, `None` for an unknown workspace.
    pub fn set_workspace_status(
        &self,
        workspace: &WorkspaceId,
        status: WorkspaceStatus,
    ) -> Option<WorkspaceStatus> {
        let people = &mut self.write().people;
        people.workspaces.get_mut(workspace).map(|row| mem::replace(&mut row.status, status))
    }

    /// Switches an app on or off; gives back how it stood, `None` for an unknown app.
    pub fn set_app_enabled(&self, app: &AppId, enabled: bool) -> Option<bool> {
        let people = &mut self.write().people;
        people.apps.get_mut(app).map(|row| mem::replace(&mut row.enabled, enabled))
    }

    /// Sets the rule about who may use an app; gives back the earlier one, `None` for an unknown app.
    pub fn set_access_mode(&self, app: &AppId, access_mode: AccessMode) -> Option<AccessMode> {
        let people = &mut self.write().people;
        people.apps.get_mut(app).map(|row| mem::replace(&mut row.access_mode, access_mode))
    }

    /// Ends a membership; gives back the role it had, `None` if there was none.
    pub fn remove_member(&self, workspace: &WorkspaceId, account: &AccountId) -> Option<Arc<str>> {
        self.write().people.members.remove(&(workspace.clone(), account.clone()))
    }

    /// The role of a member, whatever the states of account and workspace.
    pub fn role(&self, workspace: &WorkspaceId, account: &AccountId) -> Option<Arc<str>> {
        self.read().people.members.get(&(workspace.clone(), account.clone())).cloned()
    }

    /// Every app of a workspace, sorted by id; none for an unknown workspace.
    pub fn apps_of(&self, workspace: &WorkspaceId) -> Vec<AppRecord> {
        self.read().people.apps().filter(|app| app.workspace == *workspace).collect()
    }

    /// The apps that external subjects may use, sorted by id: enabled, public or single sign-on, in an active workspace.
    pub fn apps_open_to_externals(&self) -> Vec<AppRecord> {
        let open = |app: &AppRecord| {
            app.enabled
                && app.workspace_status == WorkspaceStatus::Active
                && matches!(app.access_mode, AccessMode::Public | AccessMode::SsoVerified)
        };
        self.read().people.apps().filter(open).collect()
    }
}
