//! What a store in memory refuses to take.

use crate::id::{AccountId, AppId, WorkspaceId};

/// A row was to name another one that is not there.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BrokenReference {
    /// No such account.
    #[error("there is no account {0}")]
    Account(AccountId),
    /// No such workspace.
    #[error("there is no workspace {0}")]
    Workspace(WorkspaceId),
    /// No such app.
    #[error("there is no app {0}")]
    App(AppId),
}

/// Why a call of the ledger or of the caller source failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryStoreError {
    /// The digest or the id of a new token is another row's; nothing was written.
    #[error("another token has this digest or id")]
    TokenExists,
    /// The operating system's generator gave nothing, so nobody was created.
    #[error("the operating system gave no random bytes: {reason}")]
    NoRandomBytes {
        /// What the operating system said.
        reason: String,
    },
}
