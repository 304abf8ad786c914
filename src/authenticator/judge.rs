//! What is a record worth? A plain function of facts and time.

use crate::clock::Moment;
use crate::context::{LimitIds, Recent, TokenFacts};
use crate::rejection::Reason;
use crate::store::{LogId, TokenRecord};
use crate::token::{Digest, Kind};

/// Judges a record found under `digest` for a token whose prefix says `kind`.
///
/// In this order: none, revoked, another kind or subject type, not valid yet, expired.
pub(super) fn judge(
    record: Option<TokenRecord>,
    kind: &Kind,
    digest: &Digest,
    now: Moment,
) -> Result<TokenFacts, Reason> {
    let record = record.ok_or(Reason::UnknownToken)?;
    if record.revoked {
        return Err(Reason::Revoked);
    }
    if record.kind != kind.name() || record.subject.subject_type() != kind.subject_type() {
        return Err(Reason::KindMismatch);
    }
    if record.not_before.is_some_and(|from| now.wall() < from) {
        return Err(Reason::NotYetValid);
    }
    if now.wall() >= record.expires_at {
        return Err(Reason::Expired);
    }
    let left = record.expires_at.since(now.wall());
    let left_nanos = u64::try_from(left.as_nanos()).unwrap_or(u64::MAX);
    let subject_key = record.subject.key();
    Ok(TokenFacts {
        token_id: record.id,
        serial: record.serial,
        rights: kind.rights(&record.scopes),
        kind: kind.clone(),
        client_id: record.client_id,
        workspace: record.workspace,
        audiences: record.audiences,
        may_act: None,
        expires_at: record.expires_at,
        expires_nanos: now.monotonic_nanos().saturating_add(left_nanos),
        digest: *digest,
        limit_ids: LimitIds {
            token: LogId::of_token(digest.as_bytes()),
            subject: LogId::of_subject(subject_key.as_str()),
        },
        recent: Recent::default(),
        subject: record.subject,
        subject_key,
    })
}
