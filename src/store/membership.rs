//! Is this account a member of that workspace?

use std::future::Future;
use std::sync::Arc;

use crate::id::{AccountId, WorkspaceId};
use crate::store::WorkspaceStatus;

/// Finds memberships.
pub trait MembershipStore: Send + Sync + 'static {
    /// Why the store could not say.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The row that makes the account a member, with the states that decide whether it counts; `None` without one.
    ///
    /// Asked once per account and workspace and cache life (10 s by default). The workspace may be one that no id
    /// grammar allows, for an app that does not exist: look it up like any other.
    fn membership(
        &self,
        account: &AccountId,
        workspace: &WorkspaceId,
    ) -> impl Future<Output = Result<Option<Membership>, Self::Error>> + Send;
}

/// A membership as a store knows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Membership {
    pub(crate) role: Arc<str>,
    pub(crate) account_status: AccountStatus,
    pub(crate) workspace_status: WorkspaceStatus,
    pub(crate) token_floor: u64,
}

impl Membership {
    /// A membership with a role, of an active account in an active workspace.
    ///
    /// The role is text for the service; no layer judges it.
    pub fn new(role: impl Into<Arc<str>>) -> Self {
        Self {
            role: role.into(),
            account_status: AccountStatus::Active,
            workspace_status: WorkspaceStatus::Active,
            token_floor: 0,
        }
    }

    /// The state of the account; anything but active is no member.
    #[must_use]
    pub fn with_account_status(mut self, status: AccountStatus) -> Self {
        self.account_status = status;
        self
    }

    /// The state of the workspace; anything but active has no members.
    #[must_use]
    pub fn with_workspace_status(mut self, status: WorkspaceStatus) -> Self {
        self.workspace_status = status;
        self
    }

    /// Tokens with a lower serial count no more in this workspace.
    #[must_use]
    pub fn with_token_floor(mut self, floor: u64) -> Self {
        self.token_floor = floor;
        self
    }

    /// The role, as the store has it.
    pub fn role(&self) -> &str {
        &self.role
    }

    /// The state of the account.
    pub fn account_status(&self) -> AccountStatus {
        self.account_status
    }

    /// The state of the workspace.
    pub fn workspace_status(&self) -> WorkspaceStatus {
        self.workspace_status
    }

    /// The lowest serial that counts in the workspace.
    pub fn token_floor(&self) -> u64 {
        self.token_floor
    }
}

/// The state of an account.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum AccountStatus {
    /// In use.
    Active,
    /// Not confirmed yet.
    Pending,
    /// Stopped for now.
    Suspended,
    /// Ended.
    Closed,
}

impl AccountStatus {
    /// From its word; `None` for any other.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Active, Self::Pending, Self::Suspended, Self::Closed]
            .into_iter()
            .find(|status| status.as_str() == word)
    }

    /// Its word: `active`, `pending`, `suspended` or `closed`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pending => "pending",
            Self::Suspended => "suspended",
            Self::Closed => "closed",
        }
    }
}
