//! How a token ends: by hand, with its subject, or by time.
//!
//! 1. First the store commits, then this process forgets, then the shared cache and the bus are told, in 25 ms; only then the
//!    caller hears that it is done. Who could not be told in time is told later, and the caller hears that, too.
//! 2. All run in a task of their own: a caller who hangs up stops none.
//! 3. A commit of which nobody knows whether it was made is reported as undecidable; what is known of it is told all the same,
//!    and the token is refused meanwhile.

use std::fmt;
use std::sync::Arc;

use crate::audit::{Event, EventName};
use crate::authenticator::ledger::{detached, within_deadline};
use crate::authenticator::{Authenticator, BusState};
use crate::cache::{Change, Source};
use crate::clock::Moment;
use crate::context::AuthContext;
use crate::id::{TokenId, WorkspaceId};
use crate::metrics::{Origin, revoked};
use crate::store::{LedgerRevocation, Notice, RevokeReason, RevokeTarget};
use crate::subject::Subject;
use crate::token::Digest;

/// What became of a revocation.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Revocation {
    /// Ended by this call: refused from now on.
    Revoked {
        /// The token's public name.
        id: TokenId,
        /// Whether the other processes know.
        bus: BusState,
    },
    /// Was dead before.
    AlreadyDead,
    /// No such token, or not the given owner's.
    NotFound,
}

/// What became of the tokens of a subject.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SubjectRevocation {
    ended: usize,
    bus: BusState,
}

impl SubjectRevocation {
    /// How many tokens this call ended.
    pub fn ended(self) -> usize {
        self.ended
    }

    /// Whether the other processes know.
    pub fn bus(self) -> BusState {
        self.bus
    }
}

/// What became of the tokens of a workspace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WorkspaceCut {
    floor: u64,
    bus: BusState,
}

impl WorkspaceCut {
    /// The lowest serial that counts in the workspace from now on.
    pub fn floor(self) -> u64 {
        self.floor
    }

    /// Whether the other processes know.
    pub fn bus(self) -> BusState {
        self.bus
    }
}

/// Why a token could not be ended.
///
/// `Debug` shows no word of the store's: ask `source` for those.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RevokeError {
    /// The authenticator was built without a ledger.
    #[error("no ledger is configured")]
    NoLedger,
    /// The context is anonymous.
    #[error("the request came without a token")]
    Anonymous,
    /// Nobody knows whether the store did it: take the token as still valid, and call again.
    #[error("the store did not say whether the token was ended")]
    Undecidable(#[source] Option<Source>),
}

impl Authenticator {
    /// Ends a token. Once this has returned, a request that arrives afterwards in this process is refused.
    ///
    /// # Errors
    ///
    /// [`RevokeError::Undecidable`] if the store did not say whether it was done: call again.
    /// [`RevokeError::NoLedger`] if the authenticator has none; then end the token in your own store and call
    /// [`forget_token`](Self::forget_token).
    ///
    /// # Cancel safety
    ///
    /// Once polled it runs to its end, whether or not anybody waits.
    pub async fn revoke_token(
        &self,
        target: RevokeTarget,
        reason: RevokeReason,
    ) -> Result<Revocation, RevokeError> {
        let this = self.clone();
        let ledger = Arc::clone(self.ledger().ok_or(RevokeError::NoLedger)?);
        detached(async move {
            let now = this.read_clock();
            let commit = within_deadline(ledger.revoke(&target, reason, now.wall())).await;
            if let (Err(_), RevokeTarget::Digest(digest)) = (&commit, &target) {
                this.bury(&[*digest], None).await;
            }
            Ok(match commit? {
                LedgerRevocation::Revoked { id, digest } => {
                    if let RevokeTarget::Digest(asked) = target
                        && asked != digest
                    {
                        // it ended another token: nobody knows what became of this one
                        this.bury(&[digest, asked], None).await;
                        return Err(RevokeError::Undecidable(None));
                    }
                    let bus = this.bury(&[digest], None).await;
                    revoked(1, Origin::Local);
                    this.tell_revoked(&id, reason.as_str(), now);
                    Revocation::Revoked { id, bus }
                }
                LedgerRevocation::AlreadyDead => Revocation::AlreadyDead,
                LedgerRevocation::NotFound => Revocation::NotFound,
            })
        })
        .await
    }

    /// Ends the token that a request presented.
    ///
    /// # Errors
    ///
    /// As [`revoke_token`](Self::revoke_token), and [`RevokeError::Anonymous`].
    ///
    /// # Cancel safety
    ///
    /// As [`revoke_token`](Self::revoke_token).
    pub async fn revoke_presented(&self, context: &AuthContext) -> Result<Revocation, RevokeError> {
        let facts = context.caller.as_ref().ok_or(RevokeError::Anonymous)?;
        self.revoke_token(RevokeTarget::Digest(facts.digest), RevokeReason::Myself).await
    }

    /// Ends every token of a subject but `except`; gives back how many died.
    ///
    /// # Errors
    ///
    /// As [`revoke_token`](Self::revoke_token). After an undecidable commit every process looks the subject's tokens up anew.
    ///
    /// # Cancel safety
    ///
    /// As [`revoke_token`](Self::revoke_token).
    pub async fn revoke_subject(
        &self,
        subject: &Subject,
        except: Option<&TokenId>,
    ) -> Result<SubjectRevocation, RevokeError> {
        let (this, subject, except) = (self.clone(), subject.clone(), except.cloned());
        let ledger = Arc::clone(self.ledger().ok_or(RevokeError::NoLedger)?);
        detached(async move {
            let now = this.read_clock();
            let commit =
                within_deadline(ledger.revoke_subject(&subject, except.as_ref(), now.wall())).await;
            // which tokens died is not known then; that they were this subject's is
            let bus = this.bury(commit.as_deref().unwrap_or_default(), Some(&subject)).await;
            let digests = commit?;
            revoked(digests.len(), Origin::Local);
            let key = subject.key();
            this.audit().record(&Event {
                reason: Some("subject"),
                subject: Some(key.as_str()),
                ..Event::new(EventName::TokenRevoked, now.wall())
            });
            Ok(SubjectRevocation { ended: digests.len(), bus })
        })
        .await
    }

    /// Puts every token minted so far out of use in one workspace; `None` for an unknown one.
    ///
    /// # Errors
    ///
    /// As [`revoke_token`](Self::revoke_token).
    ///
    /// # Cancel safety
    ///
    /// As [`revoke_token`](Self::revoke_token).
    pub async fn cut_workspace(
        &self,
        workspace: &WorkspaceId,
    ) -> Result<Option<WorkspaceCut>, RevokeError> {
        let (this, workspace) = (self.clone(), workspace.clone());
        let ledger = Arc::clone(self.ledger().ok_or(RevokeError::NoLedger)?);
        detached(async move {
            let now = this.read_clock();
            let commit = within_deadline(ledger.cut_workspace(&workspace, now.wall())).await;
            this.forget_here(&Change::Workspace(workspace.clone()));
            let floor = match &commit {
                Ok(Some(floor)) => *floor,
                Ok(None) => return Ok(None),
                Err(_) => 0,
            };
            let bus = this.tell_elsewhere(vec![Notice::Workspace { id: workspace, floor }]).await;
            commit.map(|floor| floor.map(|floor| WorkspaceCut { floor, bus }))
        })
        .await
    }

    /// Refuses these tokens from now on, here and elsewhere; with a subject its others are looked up anew.
    ///
    /// Steps 2 and 3 of a revocation: run it in a task of its own.
    pub(crate) async fn bury(&self, digests: &[Digest], of: Option<&Subject>) -> BusState {
        digests.iter().for_each(|digest| self.bury_here(digest));
        let mut notices: Vec<Notice> = digests.iter().copied().map(Notice::Token).collect();
        if let Some(subject) = of {
            let key = subject.key();
            self.forget_here(&Change::Subject(key.clone()));
            notices.push(Notice::Subject(key));
        }
        self.tell_elsewhere(notices).await
    }

    async fn tell_elsewhere(&self, notices: Vec<Notice>) -> BusState {
        match &self.shared.elsewhere {
            Some(elsewhere) => elsewhere.tell(notices).await,
            None => BusState::NoBus,
        }
    }

    /// Ends an expired row in the background; the caller was refused already and hears nothing of it.
    pub(super) fn expire_later(&self, id: &TokenId, digest: Digest, now: Moment) {
        let Some(ledger) = self.ledger().cloned() else { return };
        let Ok(place) = Arc::clone(&self.shared.expiring).try_acquire_owned() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (this, id) = (self.clone(), id.clone());
        runtime.spawn(async move {
            let changed = within_deadline(ledger.expire(&id, &digest, now.wall())).await;
            if matches!(changed, Ok(true)) {
                let event = Event::new(EventName::TokenExpired, now.wall());
                this.audit().record(&Event { token_id: Some(id.as_str()), ..event });
            }
            drop(place);
        });
    }

    fn tell_revoked(&self, id: &TokenId, reason: &str, now: Moment) {
        self.audit().record(&Event {
            reason: Some(reason),
            token_id: Some(id.as_str()),
            ..Event::new(EventName::TokenRevoked, now.wall())
        });
    }
}

impl fmt::Debug for RevokeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoLedger => "NoLedger",
            Self::Anonymous => "Anonymous",
            Self::Undecidable(_) => "Undecidable(..)",
        })
    }
}
