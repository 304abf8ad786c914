//! How a token ends: by hand, with its subject, or by time.
//!
//! 1. First the store commits, then this process forgets; only then the caller hears that it is done.
//! 2. Both run in a task of their own: a caller who hangs up stops neither.
//! 3. A commit of which nobody knows whether it was made is reported as undecidable, and the token is refused meanwhile.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::audit::{Event, EventName};
use crate::authenticator::Authenticator;
use crate::cache::Source;
use crate::clock::{Moment, Timestamp};
use crate::context::AuthContext;
use crate::id::{TokenId, WorkspaceId};
use crate::metrics::revoked;
use crate::store::{
    LedgerRevocation, MintOutcome, NewToken, RevokeReason, RevokeTarget, TokenLedger,
};
use crate::subject::Subject;
use crate::token::Digest;

/// What became of a revocation.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Revocation {
    /// Ended by this call: refused from now on.
    Revoked(TokenId),
    /// Was dead before.
    AlreadyDead,
    /// No such token, or not the given owner's.
    NotFound,
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

/// A [`TokenLedger`] with its types erased.
pub(crate) trait Ledger: Send + Sync + 'static {
    fn mint<'a>(
        &'a self,
        new: &'a NewToken,
        digest: &'a Digest,
        cap: u32,
        now: Timestamp,
    ) -> Erased<'a, MintOutcome>;
    fn revoke<'a>(
        &'a self,
        target: &'a RevokeTarget,
        reason: RevokeReason,
        now: Timestamp,
    ) -> Erased<'a, LedgerRevocation>;
    fn revoke_subject<'a>(
        &'a self,
        subject: &'a Subject,
        except: Option<&'a TokenId>,
        now: Timestamp,
    ) -> Erased<'a, Vec<Digest>>;
    fn cut_workspace<'a>(
        &'a self,
        workspace: &'a WorkspaceId,
        now: Timestamp,
    ) -> Erased<'a, Option<u64>>;
    fn expire<'a>(
        &'a self,
        id: &'a TokenId,
        digest: &'a Digest,
        now: Timestamp,
    ) -> Erased<'a, bool>;
}

type Erased<'a, T> = Pin<Box<dyn Future<Output = Result<T, Source>> + Send + 'a>>;

impl<L: TokenLedger> Ledger for L {
    fn mint<'a>(
        &'a self,
        new: &'a NewToken,
        digest: &'a Digest,
        cap: u32,
        now: Timestamp,
    ) -> Erased<'a, MintOutcome> {
        erased(TokenLedger::mint(self, new, digest, cap, now))
    }

    fn revoke<'a>(
        &'a self,
        target: &'a RevokeTarget,
        reason: RevokeReason,
        now: Timestamp,
    ) -> Erased<'a, LedgerRevocation> {
        erased(TokenLedger::revoke(self, target, reason, now))
    }

    fn revoke_subject<'a>(
        &'a self,
        subject: &'a Subject,
        except: Option<&'a TokenId>,
        now: Timestamp,
    ) -> Erased<'a, Vec<Digest>> {
        erased(TokenLedger::revoke_subject(self, subject, except, now))
    }

    fn cut_workspace<'a>(
        &'a self,
        workspace: &'a WorkspaceId,
        now: Timestamp,
    ) -> Erased<'a, Option<u64>> {
        erased(TokenLedger::cut_workspace(self, workspace, now))
    }

    fn expire<'a>(
        &'a self,
        id: &'a TokenId,
        digest: &'a Digest,
        now: Timestamp,
    ) -> Erased<'a, bool> {
        erased(TokenLedger::expire(self, id, digest, now))
    }
}

fn erased<'a, T, E: Error + Send + Sync + 'static>(
    call: impl Future<Output = Result<T, E>> + Send + 'a,
) -> Erased<'a, T> {
    Box::pin(async move { call.await.map_err(|error| Arc::new(error) as Source) })
}

/// How long a writing call may take.
const DEADLINE: Duration = Duration::from_secs(2);

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
                this.forget_token(digest);
            }
            Ok(match commit? {
                LedgerRevocation::Revoked { id, digest } => {
                    this.forget_token(&digest);
                    if let RevokeTarget::Digest(asked) = target
                        && asked != digest
                    {
                        // it ended another token: nobody knows what became of this one
                        this.forget_token(&asked);
                        return Err(RevokeError::Undecidable(None));
                    }
                    revoked(1);
                    this.tell_revoked(&id, reason.as_str(), now);
                    Revocation::Revoked(id)
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
    /// As [`revoke_token`](Self::revoke_token). After an undecidable commit this process drops every cached token.
    ///
    /// # Cancel safety
    ///
    /// As [`revoke_token`](Self::revoke_token).
    pub async fn revoke_subject(
        &self,
        subject: &Subject,
        except: Option<&TokenId>,
    ) -> Result<usize, RevokeError> {
        let (this, subject, except) = (self.clone(), subject.clone(), except.cloned());
        let ledger = Arc::clone(self.ledger().ok_or(RevokeError::NoLedger)?);
        detached(async move {
            let now = this.read_clock();
            let commit =
                within_deadline(ledger.revoke_subject(&subject, except.as_ref(), now.wall())).await;
            if commit.is_err() {
                this.forget_all();
            }
            let digests = commit?;
            for digest in &digests {
                this.forget_token(digest);
            }
            revoked(digests.len());
            let key = subject.key();
            this.audit().record(&Event {
                reason: Some("subject"),
                subject: Some(key.as_str()),
                ..Event::new(EventName::TokenRevoked, now.wall())
            });
            Ok(digests.len())
        })
        .await
    }

    /// Puts every token minted so far out of use in one workspace; gives back the new floor, `None` for an unknown one.
    ///
    /// # Errors
    ///
    /// As [`revoke_token`](Self::revoke_token).
    ///
    /// # Cancel safety
    ///
    /// As [`revoke_token`](Self::revoke_token).
    pub async fn cut_workspace(&self, workspace: &WorkspaceId) -> Result<Option<u64>, RevokeError> {
        let (this, workspace) = (self.clone(), workspace.clone());
        let ledger = Arc::clone(self.ledger().ok_or(RevokeError::NoLedger)?);
        detached(async move {
            let now = this.read_clock();
            let commit = within_deadline(ledger.cut_workspace(&workspace, now.wall())).await;
            this.forget_workspace(&workspace);
            commit
        })
        .await
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

/// Runs work that nobody who waits for it can end.
pub(crate) async fn detached<T: Send + 'static>(
    work: impl Future<Output = Result<T, RevokeError>> + Send + 'static,
) -> Result<T, RevokeError> {
    let panicked = |_| Err(RevokeError::Undecidable(None));
    tokio::spawn(work).await.unwrap_or_else(panicked)
}

pub(crate) async fn within_deadline<T>(call: Erased<'_, T>) -> Result<T, RevokeError> {
    match tokio::time::timeout(DEADLINE, call).await {
        Ok(answer) => answer.map_err(|source| RevokeError::Undecidable(Some(source))),
        Err(_over) => Err(RevokeError::Undecidable(None)),
    }
}
