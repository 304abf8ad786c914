//! The facts of one token: what every request that presents it shares.

use crate::clock::Timestamp;
use crate::context::recall::Recent;
use crate::id::{ClientId, TokenId, WorkspaceId};
use crate::scope::Rights;
use crate::store::LogId;
use crate::subject::{Subject, SubjectKey};
use crate::token::{Digest, Kind};

/// Facts of a live token, as they were when it was loaded.
pub(crate) struct TokenFacts {
    pub(crate) token_id: TokenId,
    pub(crate) serial: u64,
    pub(crate) kind: Kind,
    pub(crate) subject: Subject,
    pub(crate) subject_key: SubjectKey,
    pub(crate) client_id: Option<ClientId>,
    pub(crate) rights: Rights,
    pub(crate) workspace: Option<WorkspaceId>,
    pub(crate) audiences: Vec<String>,
    pub(crate) expires_at: Timestamp,
    /// The monotonic time of the expiry, as it looked at the fill: ends the entry even if the wall clock steps back.
    pub(crate) expires_nanos: u64,
    pub(crate) digest: Digest,
    /// What limiters count by, computed once per fill.
    pub(crate) limit_ids: LimitIds,
    /// What the last request with this token learned.
    pub(crate) recent: Recent,
}

/// The ids of the logs that are the token's own.
#[derive(Clone, Copy)]
pub(crate) struct LimitIds {
    pub(crate) token: LogId,
    pub(crate) subject: LogId,
}
