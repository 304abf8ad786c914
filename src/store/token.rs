//! What does this digest stand for?

use std::fmt;
use std::future::Future;

use crate::clock::Timestamp;
use crate::id::{ClientId, TokenId, WorkspaceId};
use crate::scope::ScopeSet;
use crate::subject::Subject;
use crate::token::Digest;

/// Finds tokens by digest.
///
/// Asked once per token and cache life (30 s by default), never twice at once for one token.
pub trait TokenStore: Send + Sync + 'static {
    /// Why the store could not say.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The record under `digest`, dead or alive, or `None` if there is none.
    ///
    /// A row that cannot be read is an error, never `None`: a `None` is remembered and answered 401.
    fn find(
        &self,
        digest: &Digest,
    ) -> impl Future<Output = Result<Option<TokenRecord>, Self::Error>> + Send;
}

/// A token as a store knows it.
///
/// Built with [`TokenRecord::new`] and the `with_` methods; `Debug` shows its id and kind alone.
#[derive(Clone, Eq, PartialEq)]
pub struct TokenRecord {
    pub(crate) id: TokenId,
    pub(crate) serial: u64,
    pub(crate) kind: String,
    pub(crate) subject: Subject,
    pub(crate) scopes: ScopeSet,
    pub(crate) client_id: Option<ClientId>,
    pub(crate) workspace: Option<WorkspaceId>,
    pub(crate) audiences: Vec<String>,
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) expires_at: Timestamp,
    pub(crate) revoked: bool,
}

impl TokenRecord {
    /// A live token: its public id, the name of its kind, whom it stands for, and when it ends.
    ///
    /// No token lives for ever, so an expiry is required. Scopes default to none.
    pub fn new(
        id: TokenId,
        kind: impl Into<String>,
        subject: Subject,
        expires_at: Timestamp,
    ) -> Self {
        Self {
            id,
            serial: 0,
            kind: kind.into(),
            subject,
            scopes: ScopeSet::default(),
            client_id: None,
            workspace: None,
            audiences: Vec::new(),
            not_before: None,
            expires_at,
            revoked: false,
        }
    }

    /// The scopes in the record; what counts of them is the kind's policy.
    #[must_use]
    pub fn with_scopes(mut self, scopes: ScopeSet) -> Self {
        self.scopes = scopes;
        self
    }

    /// The place of this mint in the order of all mints: one below a workspace's floor counts there no more.
    #[must_use]
    pub fn with_serial(mut self, serial: u64) -> Self {
        self.serial = serial;
        self
    }

    /// The client that the token was issued to.
    #[must_use]
    pub fn with_client(mut self, client_id: ClientId) -> Self {
        self.client_id = Some(client_id);
        self
    }

    /// Binds the token to one workspace: it then counts in no other.
    #[must_use]
    pub fn with_workspace(mut self, workspace: WorkspaceId) -> Self {
        self.workspace = Some(workspace);
        self
    }

    /// For whom the token was made; empty if the store does not say.
    #[must_use]
    pub fn with_audiences(mut self, audiences: Vec<String>) -> Self {
        self.audiences = audiences;
        self
    }

    /// Not valid before this time.
    #[must_use]
    pub fn with_not_before(mut self, not_before: Timestamp) -> Self {
        self.not_before = Some(not_before);
        self
    }

    /// Ended by hand.
    #[must_use]
    pub fn with_revoked(mut self) -> Self {
        self.revoked = true;
        self
    }

    /// The token's public name.
    pub fn id(&self) -> &TokenId {
        &self.id
    }

    /// When the token ends.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// Was the token ended by hand?
    pub fn is_revoked(&self) -> bool {
        self.revoked
    }
}

impl fmt::Debug for TokenRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRecord")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}
