//! Accounts, workspaces, members, apps: the rows behind every fact that is not a token.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::id::{AccountId, AppId, WorkspaceId};
use crate::store::memory::BrokenReference;
use crate::store::{AccessMode, AccountStatus, AppRecord, EndUserKey, Membership, WorkspaceStatus};

#[derive(Default)]
pub(super) struct People {
    pub(super) accounts: HashMap<AccountId, AccountStatus>,
    pub(super) workspaces: HashMap<WorkspaceId, Workspace>,
    /// Role by workspace and account.
    pub(super) members: HashMap<(WorkspaceId, AccountId), Arc<str>>,
    /// Sorted, as lists of apps are.
    pub(super) apps: BTreeMap<AppId, App>,
    pub(super) end_users: HashMap<EndUserKey, Arc<str>>,
}

pub(super) struct Workspace {
    pub(super) status: WorkspaceStatus,
    pub(super) token_floor: u64,
    /// The highest floor that was drawn here or heard of, to tell a cut from the echo of one.
    pub(super) last_cut: u64,
}

pub(super) struct App {
    pub(super) workspace: WorkspaceId,
    pub(super) enabled: bool,
    pub(super) access_mode: AccessMode,
    pub(super) permitted: HashSet<AccountId>,
}

impl People {
    pub(super) fn is_active(&self, account: &AccountId) -> bool {
        self.accounts.get(account) == Some(&AccountStatus::Active)
    }

    pub(super) fn expect_account(&self, account: &AccountId) -> Result<(), BrokenReference> {
        let missing = || BrokenReference::Account(account.clone());
        self.accounts.get(account).map(|_| ()).ok_or_else(missing)
    }

    pub(super) fn expect_workspace(&self, workspace: &WorkspaceId) -> Result<(), BrokenReference> {
        let missing = || BrokenReference::Workspace(workspace.clone());
        self.workspaces.get(workspace).map(|_| ()).ok_or_else(missing)
    }

    /// The app joined with its workspace.
    pub(super) fn app(&self, id: &AppId) -> Option<AppRecord> {
        self.record(id, self.apps.get(id)?)
    }

    /// Every app joined with its workspace, sorted by id.
    pub(super) fn apps(&self) -> impl Iterator<Item = AppRecord> {
        self.apps.iter().filter_map(|(id, app)| self.record(id, app))
    }

    /// The membership joined with account and workspace.
    pub(super) fn membership(
        &self,
        workspace_id: &WorkspaceId,
        account: &AccountId,
    ) -> Option<Membership> {
        let role = self.members.get(&(workspace_id.clone(), account.clone()))?;
        let workspace = self.workspaces.get(workspace_id)?;
        let membership = Membership::new(Arc::clone(role))
            .with_account_status(*self.accounts.get(account)?)
            .with_workspace_status(workspace.status)
            .with_token_floor(workspace.token_floor);
        Some(membership)
    }

    fn record(&self, id: &AppId, app: &App) -> Option<AppRecord> {
        let workspace = self.workspaces.get(&app.workspace)?;
        let record = AppRecord::new(id.clone(), app.workspace.clone(), app.access_mode.clone())
            .with_enabled(app.enabled)
            .with_workspace_status(workspace.status)
            .with_token_floor(workspace.token_floor);
        Some(record)
    }
}
