//! The writing side of a token table: mint, revoke, expire.

use std::fmt;
use std::future::Future;

use crate::clock::Timestamp;
use crate::id::{ClientId, TokenId, WorkspaceId};
use crate::scope::ScopeSet;
use crate::subject::Subject;
use crate::token::{Digest, TokenLabel};

/// Writes tokens. Each call is one whole question, atomic in the store.
pub trait TokenLedger: Send + Sync + 'static {
    /// Why the store could not say. After an error of a writing call nobody knows whether it was done.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Stores a new token under `digest`, or rotates the live one of the same subject, client and label.
    ///
    /// A rotated row keeps its id and gets the new digest; the old token is dead in the same commit. The account of an
    /// account token must be active. At most `cap` live tokens per subject.
    fn mint(
        &self,
        new: &NewToken,
        digest: &Digest,
        cap: u32,
        now: Timestamp,
    ) -> impl Future<Output = Result<MintOutcome, Self::Error>> + Send;

    /// Ends one token; its row stays, its digest is given back.
    fn revoke(
        &self,
        target: &RevokeTarget,
        reason: RevokeReason,
        now: Timestamp,
    ) -> impl Future<Output = Result<LedgerRevocation, Self::Error>> + Send;

    /// Ends every token of a subject but `except`, in one commit, and gives back the digests that died.
    fn revoke_subject(
        &self,
        subject: &Subject,
        except: Option<&TokenId>,
        now: Timestamp,
    ) -> impl Future<Output = Result<Vec<Digest>, Self::Error>> + Send;

    /// Raises the workspace's floor above every token minted so far; `None` for an unknown workspace.
    fn cut_workspace(
        &self,
        workspace: &WorkspaceId,
        now: Timestamp,
    ) -> impl Future<Output = Result<Option<u64>, Self::Error>> + Send;

    /// Ends an expired row, if it still holds `digest`; `true` only for the call that changed it.
    fn expire(
        &self,
        id: &TokenId,
        digest: &Digest,
        now: Timestamp,
    ) -> impl Future<Output = Result<bool, Self::Error>> + Send;
}

/// A token to be minted, already judged by the issuing policy.
#[derive(Clone, Debug)]
pub struct NewToken {
    pub(crate) id: TokenId,
    pub(crate) kind: String,
    pub(crate) subject: Subject,
    pub(crate) client_id: ClientId,
    pub(crate) label: TokenLabel,
    pub(crate) scopes: ScopeSet,
    pub(crate) workspace: Option<WorkspaceId>,
    pub(crate) expires_at: Timestamp,
}

impl NewToken {
    /// A token to be stored under `id`, without scopes, bound to no workspace.
    ///
    /// No policy is judged here: an issuer does that before it asks a ledger. For tests of a ledger.
    pub fn new(
        id: TokenId,
        kind: impl Into<String>,
        subject: Subject,
        client_id: ClientId,
        label: TokenLabel,
        expires_at: Timestamp,
    ) -> Self {
        Self {
            id,
            kind: kind.into(),
            subject,
            client_id,
            label,
            scopes: ScopeSet::default(),
            workspace: None,
            expires_at,
        }
    }

    /// The scopes of the record.
    #[must_use]
    pub fn with_scopes(mut self, scopes: ScopeSet) -> Self {
        self.scopes = scopes;
        self
    }

    /// Binds the token to one workspace.
    #[must_use]
    pub fn with_workspace(mut self, workspace: WorkspaceId) -> Self {
        self.workspace = Some(workspace);
        self
    }

    /// The id of the row, if it is a new one.
    pub fn id(&self) -> &TokenId {
        &self.id
    }

    /// The name of the token's kind.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Whom it stands for.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The client it is issued to.
    pub fn client_id(&self) -> &ClientId {
        &self.client_id
    }

    /// The label: with subject and client the identity that a rotation keeps.
    pub fn label(&self) -> &TokenLabel {
        &self.label
    }

    /// The scopes of the record.
    pub fn scopes(&self) -> &ScopeSet {
        &self.scopes
    }

    /// The workspace it is bound to.
    pub fn workspace(&self) -> Option<&WorkspaceId> {
        self.workspace.as_ref()
    }

    /// When it ends.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }
}

/// What became of a mint.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum MintOutcome {
    /// Stored.
    Minted(Minted),
    /// Refused; nothing was written.
    Stopped(MintStop),
}

/// A stored token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Minted {
    pub(crate) id: TokenId,
    pub(crate) serial: u64,
    pub(crate) replaced: Option<Digest>,
}

impl Minted {
    /// The row's id and serial, and the digest that a rotation put an end to.
    pub fn new(id: TokenId, serial: u64, replaced: Option<Digest>) -> Self {
        Self { id, serial, replaced }
    }

    /// The row's id: an earlier one if a token was rotated.
    pub fn id(&self) -> &TokenId {
        &self.id
    }

    /// The place of this mint in the order of all mints and floors.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// The digest that died in the same commit.
    pub fn replaced(&self) -> Option<&Digest> {
        self.replaced.as_ref()
    }
}

/// Why a mint was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum MintStop {
    /// The account is unknown or not active.
    AccountNotActive,
    /// The subject has as many live tokens as it may.
    TooMany,
}

/// Which token to end.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RevokeTarget {
    /// By id; with an owner only if it is that subject's.
    Id {
        /// The token's public name.
        id: TokenId,
        /// Only if the token stands for this subject.
        owner: Option<Subject>,
    },
    /// By digest.
    Digest(Digest),
}

/// What became of a revocation.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum LedgerRevocation {
    /// Ended by this call.
    Revoked {
        /// The token's public name.
        id: TokenId,
        /// The digest that died.
        digest: Digest,
    },
    /// Was dead before.
    AlreadyDead,
    /// No such token, or another subject's.
    NotFound,
}

/// Why a token was ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RevokeReason {
    /// By the bearer of the token itself.
    Myself,
    /// By its owner.
    Owner,
    /// By an operator.
    Admin,
    /// Found in public.
    Leaked,
}

impl RevokeReason {
    /// The fixed word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Myself => "self",
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Leaked => "leaked",
        }
    }
}

impl fmt::Display for RevokeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
