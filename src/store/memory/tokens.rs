//! The token table: which digest is which token, and which tokens are live?
//!
//! 1. A live row has a digest; of a dead one nothing is kept but its id and whose it was.
//! 2. At most one live row per subject, client and label.
//! 3. Serials only grow; mints and floors draw from one counter.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::clock::Timestamp;
use crate::id::{ClientId, TokenId};
use crate::store::memory::MemoryStoreError;
use crate::store::{
    LedgerRevocation, MintOutcome, MintStop, Minted, NewToken, RevokeTarget, TokenRecord,
};
use crate::subject::Subject;
use crate::token::{Digest, TokenLabel};

#[derive(Default)]
pub(super) struct Tokens {
    live: HashMap<TokenId, Row>,
    by_digest: HashMap<Digest, TokenId>,
    by_subject: HashMap<Subject, HashMap<Label, TokenId>>,
    dead: HashMap<TokenId, Subject>,
    last_serial: u64,
}

/// What makes two tokens of one subject the same one, of which the later replaces the earlier.
type Label = (ClientId, TokenLabel);

struct Row {
    digest: Digest,
    serial: u64,
    token: NewToken,
}

impl Tokens {
    pub(super) fn find(&self, digest: &Digest) -> Option<TokenRecord> {
        let id = self.by_digest.get(digest)?;
        let Row { serial, token, .. } = self.live.get(id)?;
        let subject = token.subject.clone();
        Some(TokenRecord {
            serial: *serial,
            scopes: token.scopes.clone(),
            client_id: Some(token.client_id.clone()),
            workspace: token.workspace.clone(),
            ..TokenRecord::new(id.clone(), token.kind.clone(), subject, token.expires_at)
        })
    }

    /// Stores a token, or rotates the live one of its subject, client and label.
    pub(super) fn mint(
        &mut self,
        new: &NewToken,
        digest: &Digest,
        cap: u32,
        now: Timestamp,
    ) -> Result<MintOutcome, MemoryStoreError> {
        let label = (new.client_id.clone(), new.label.clone());
        let earlier = self.by_subject.get(&new.subject).and_then(|labels| labels.get(&label));
        let id = earlier.cloned().unwrap_or_else(|| new.id.clone());
        let is_new = earlier.is_none();
        if self.by_digest.get(digest).is_some_and(|holder| *holder != id)
            || is_new && (self.live.contains_key(&id) || self.dead.contains_key(&id))
        {
            return Err(MemoryStoreError::TokenExists);
        }
        if self.others(&new.subject, &label, now) >= u64::from(cap) {
            return Ok(MintOutcome::Stopped(MintStop::TooMany));
        }
        let serial = self.draw_serial();
        let row =
            Row { digest: *digest, serial, token: NewToken { id: id.clone(), ..new.clone() } };
        let replaced = self.live.insert(id.clone(), row).map(|earlier| earlier.digest);
        // the same text given again ends no token
        let replaced = replaced.filter(|earlier| earlier != digest);
        if let Some(earlier) = &replaced {
            self.by_digest.remove(earlier);
        }
        self.by_digest.insert(*digest, id.clone());
        self.by_subject.entry(new.subject.clone()).or_default().insert(label, id.clone());
        Ok(MintOutcome::Minted(Minted::new(id, serial, replaced)))
    }

    pub(super) fn revoke(&mut self, target: &RevokeTarget) -> LedgerRevocation {
        let (id, owner) = match target {
            RevokeTarget::Id { id, owner } => (Some(id.clone()), owner.as_ref()),
            RevokeTarget::Digest(digest) => (self.by_digest.get(digest).cloned(), None),
        };
        let Some(id) = id else { return LedgerRevocation::NotFound };
        let live = self.live.get(&id).map(|row| &row.token.subject);
        match live.or_else(|| self.dead.get(&id)) {
            Some(subject) if owner.is_none_or(|owner| owner == subject) => {}
            Some(_) | None => return LedgerRevocation::NotFound,
        }
        match self.end(&id) {
            Some(digest) => LedgerRevocation::Revoked { id, digest },
            None => LedgerRevocation::AlreadyDead,
        }
    }

    pub(super) fn revoke_subject(
        &mut self,
        subject: &Subject,
        except: Option<&TokenId>,
    ) -> Vec<Digest> {
        let ids = self.by_subject.get(subject).into_iter().flat_map(HashMap::values);
        let ending: Vec<TokenId> = ids.filter(|id| Some(*id) != except).cloned().collect();
        ending.iter().filter_map(|id| self.end(id)).collect()
    }

    /// Ends an expired row that still holds the digest.
    pub(super) fn expire(&mut self, id: &TokenId, digest: &Digest, now: Timestamp) -> bool {
        let due = |row: &Row| row.digest == *digest && row.token.expires_at <= now;
        self.live.get(id).is_some_and(due) && self.end(id).is_some()
    }

    pub(super) fn draw_serial(&mut self) -> u64 {
        self.last_serial = self.last_serial.saturating_add(1);
        self.last_serial
    }

    /// Draws a serial that is above another counter's, too.
    pub(super) fn draw_serial_above(&mut self, other: u64) -> u64 {
        self.last_serial = self.last_serial.max(other);
        self.draw_serial()
    }

    /// The subject's tokens of other labels that are not expired.
    fn others(&self, subject: &Subject, label: &Label, now: Timestamp) -> u64 {
        let labels = self.by_subject.get(subject).into_iter().flatten();
        let ids = labels.filter(|(other, _)| *other != label).map(|(_, id)| id);
        let rows = ids.filter_map(|id| self.live.get(id));
        rows.filter(|row| row.token.expires_at > now).map(|_| 1).sum()
    }

    /// Makes a live row a dead one; gives back the digest that died.
    fn end(&mut self, id: &TokenId) -> Option<Digest> {
        let Row { digest, token, .. } = self.live.remove(id)?;
        self.by_digest.remove(&digest);
        if let Entry::Occupied(mut labels) = self.by_subject.entry(token.subject.clone()) {
            labels.get_mut().remove(&(token.client_id, token.label));
            if labels.get().is_empty() {
                labels.remove();
            }
        }
        self.dead.insert(token.id, token.subject);
        Some(digest)
    }
}
