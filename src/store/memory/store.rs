//! Everything a service of one process needs to know, in plain tables behind one lock.
//!
//! 1. Each call takes the lock once, so each is atomic; none waits while it holds it.
//! 2. What was written is what the next call reads, in every clone.
//! 3. A panic elsewhere does not lock anybody out: no table is ever left half changed.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::clock::Timestamp;
use crate::id::{AccountId, AppId, TokenId, WorkspaceId};
use crate::store::memory::people::People;
use crate::store::memory::tokens::Tokens;
use crate::store::memory::{MemoryCallers, MemoryStoreError};
use crate::store::{
    AppRecord, AppStore, Hears, LedgerRevocation, Membership, MembershipStore, MintOutcome,
    MintStop, NewToken, Notice, RevokeReason, RevokeTarget, TokenLedger, TokenRecord, TokenStore,
};
use crate::subject::Subject;
use crate::token::Digest;

/// Keeps tokens, accounts, workspaces, members and apps in this process, for as long as it runs.
///
/// A clone shares the tables and costs one reference count. It is the reference of every other store. Dead tokens keep
/// their id and subject, nothing else, until the process ends.
///
/// ```
/// use tower_bearer::id::{AccountId, AppId, WorkspaceId};
/// use tower_bearer::store::{AccessMode, AccountStatus, MemoryStore, WorkspaceStatus};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// let (workspace, account) = (WorkspaceId::new("ws-1")?, AccountId::new("acc-1")?);
/// store.put_workspace(workspace.clone(), WorkspaceStatus::Active);
/// store.put_account(account.clone(), AccountStatus::Active);
/// store.put_member(&workspace, &account, "editor")?;
/// store.put_app(AppId::new("app-1")?, &workspace, AccessMode::PrivateAll)?;
/// assert_eq!(store.apps_of(&workspace).len(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct MemoryStore {
    tables: Arc<RwLock<Tables>>,
}

#[derive(Default)]
pub(super) struct Tables {
    pub(super) people: People,
    pub(super) tokens: Tokens,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// A source of callers: accounts of this store, and end users who are made on first sight.
    pub fn callers(&self) -> MemoryCallers {
        MemoryCallers::new(self.clone())
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Tables> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TokenStore for MemoryStore {
    type Error = Infallible;

    async fn find(&self, digest: &Digest) -> Result<Option<TokenRecord>, Infallible> {
        Ok(self.read().tokens.find(digest))
    }
}

impl TokenLedger for MemoryStore {
    type Error = MemoryStoreError;

    async fn mint(
        &self,
        new: &NewToken,
        digest: &Digest,
        cap: u32,
        now: Timestamp,
    ) -> Result<MintOutcome, MemoryStoreError> {
        let Tables { people, tokens } = &mut *self.write();
        if matches!(&new.subject, Subject::Account { id } if !people.is_active(id)) {
            return Ok(MintOutcome::Stopped(MintStop::AccountNotActive));
        }
        tokens.mint(new, digest, cap, now)
    }

    async fn revoke(
        &self,
        target: &RevokeTarget,
        _reason: RevokeReason,
        _now: Timestamp,
    ) -> Result<LedgerRevocation, MemoryStoreError> {
        Ok(self.write().tokens.revoke(target))
    }

    async fn revoke_subject(
        &self,
        subject: &Subject,
        except: Option<&TokenId>,
        _now: Timestamp,
    ) -> Result<Vec<Digest>, MemoryStoreError> {
        Ok(self.write().tokens.revoke_subject(subject, except))
    }

    async fn cut_workspace(
        &self,
        workspace: &WorkspaceId,
        _now: Timestamp,
    ) -> Result<Option<u64>, MemoryStoreError> {
        let Tables { people, tokens } = &mut *self.write();
        Ok(people.workspaces.get_mut(workspace).map(|row| {
            row.token_floor = tokens.draw_serial();
            row.last_cut = row.token_floor;
            row.token_floor
        }))
    }

    async fn expire(
        &self,
        id: &TokenId,
        digest: &Digest,
        now: Timestamp,
    ) -> Result<bool, MemoryStoreError> {
        Ok(self.write().tokens.expire(id, digest, now))
    }
}

impl AppStore for MemoryStore {
    type Error = Infallible;

    async fn app(&self, app: &AppId) -> Result<Option<AppRecord>, Infallible> {
        Ok(self.read().people.app(app))
    }

    async fn permitted(&self, app: &AppId, account: &AccountId) -> Result<bool, Infallible> {
        let tables = self.read();
        Ok(tables.people.apps.get(app).is_some_and(|app| app.permitted.contains(account)))
    }
}

impl MembershipStore for MemoryStore {
    type Error = Infallible;

    async fn membership(
        &self,
        account: &AccountId,
        workspace: &WorkspaceId,
    ) -> Result<Option<Membership>, Infallible> {
        Ok(self.read().people.membership(workspace, account))
    }
}

/// Tables of several processes hold rows of their own; a notice changes those that both have.
///
/// A token that died is dead here too, a removed member is one no more, and a workspace whose tokens were cut off has those of
/// this store cut off. Nothing else can be learned from a notice: what became of an account or an app is not said, and a
/// subject's tokens that died are named one by one.
impl Hears for MemoryStore {
    fn hear(&self, notice: &Notice) {
        let Tables { people, tokens } = &mut *self.write();
        match notice {
            Notice::Token(digest) => {
                tokens.revoke(&RevokeTarget::Digest(*digest));
            }
            Notice::Member { workspace, account } => {
                people.members.remove(&(workspace.clone(), account.clone()));
            }
            Notice::Workspace { id, floor } => {
                // each process counts its own mints, so the number says that there was a cut, not where it lies here
                if let Some(row) = people.workspaces.get_mut(id)
                    && *floor > row.last_cut
                {
                    row.last_cut = *floor;
                    row.token_floor = tokens.draw_serial_above(*floor);
                }
            }
            Notice::Subject(_) | Notice::Account(_) | Notice::App(_) | Notice::All => {}
        }
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}
