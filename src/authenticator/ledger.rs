//! A ledger with its types erased, and how it is asked: in a task of its own, under a deadline.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::authenticator::RevokeError;
use crate::cache::Source;
use crate::clock::Timestamp;
use crate::id::{TokenId, WorkspaceId};
use crate::store::{
    LedgerRevocation, MintOutcome, NewToken, RevokeReason, RevokeTarget, TokenLedger,
};
use crate::subject::Subject;
use crate::token::Digest;

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
