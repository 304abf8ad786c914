//! The facts of one token: what every request that presents it shares.

use crate::clock::{Moment, Timestamp};
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
    /// Who may act on the subject's behalf, as a verified token says (RFC 8693 §4.4); an opaque token never does.
    pub(crate) may_act: Option<Box<serde_json::Value>>,
    pub(crate) expires_at: Timestamp,
    /// The monotonic time at which the entry ends at the latest: that of the expiry as it looked at the fill, so that a wall
    /// clock that steps back makes no life longer, or the earlier end of the shared entry it was filled from.
    pub(crate) expires_nanos: u64,
    pub(crate) digest: Digest,
    /// What limiters count by, computed once per fill.
    pub(crate) limit_ids: LimitIds,
    /// What the last request with this token learned.
    pub(crate) recent: Recent,
}

impl TokenFacts {
    /// Ends the entry at this wall time at the latest, read at `now`; the token's own expiry stays.
    pub(crate) fn end_at(&mut self, ends: Timestamp, now: Moment) {
        let left = u64::try_from(ends.since(now.wall()).as_nanos()).unwrap_or(u64::MAX);
        self.expires_nanos = self.expires_nanos.min(now.monotonic_nanos().saturating_add(left));
    }
}

/// The ids of the logs that are the token's own.
#[derive(Clone, Copy)]
pub(crate) struct LimitIds {
    pub(crate) token: LogId,
    pub(crate) subject: LogId,
}
