//! What does a service do while its store is out?

use std::fmt;
use std::future::{Future, pending};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

use crate::id::{AccountId, AppId, WorkspaceId};
use crate::store::{
    AppRecord, AppStore, CallerSource, ContextStore, Membership, MembershipStore, MountRequest,
    Mounted, SharedKey, TokenRecord, TokenStore,
};
use crate::token::Digest;

/// A store behind a switch: it answers, fails, hangs or holds its answers back, and counts what it was asked.
///
/// A clone shares the switch and the count. Wrap each port on its own where one shall fail and another go on.
///
/// ```
/// use tower_bearer::store::MemoryStore;
/// use tower_bearer::test_util::{Script, ScriptedStore};
/// # use tower_bearer::Authenticator;
/// # use tower_bearer::rejection::RejectionKind;
/// # use tower_bearer::token::{TokenKind, TokenKinds};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let kind = TokenKind::new("account").prefix("acme_").subject(tower_bearer::subject::SubjectType::Account).fixed(["a"]);
/// # let kinds = TokenKinds::builder().kind(kind).build()?;
/// let store = ScriptedStore::new(MemoryStore::new());
/// let auth = Authenticator::builder(kinds, store.clone()).build()?;
///
/// store.follow(Script::Fail);
/// let token = format!("acme_{:043}", 1);
/// let refused = auth.authenticate(&token).await.unwrap_err();
/// assert_eq!(refused.kind(), RejectionKind::Undecidable);
/// assert_eq!(store.calls(), 1);
/// # Ok(()) }
/// ```
pub struct ScriptedStore<S> {
    store: Arc<S>,
    state: Arc<State>,
}

/// What a [`ScriptedStore`] does when it is asked.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Script {
    /// Answers as the store behind it does.
    #[default]
    Answer,
    /// Says that it could not say.
    Fail,
    /// Never answers.
    Hang,
    /// Reads the answer at once and gives it out when it is let go: for answers that are overtaken.
    Hold,
}

/// Why a [`ScriptedStore`] could not say.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ScriptedError<E> {
    /// The script said so.
    #[error("the script says that the store is out")]
    OnCue,
    /// The store behind it could not say.
    #[error("the store behind the script could not say")]
    Store(#[source] E),
}

struct State {
    script: Mutex<Script>,
    calls: AtomicUsize,
    let_go: Semaphore,
}

impl<S> ScriptedStore<S> {
    /// Puts a switch in front of `store`; it answers until it is told otherwise.
    pub fn new(store: S) -> Self {
        let state = State {
            script: Mutex::new(Script::Answer),
            calls: AtomicUsize::new(0),
            let_go: Semaphore::new(0),
        };
        Self { store: Arc::new(store), state: Arc::new(state) }
    }

    /// Follows this script from the next question on.
    pub fn follow(&self, script: Script) {
        *self.state.script.lock().unwrap_or_else(PoisonError::into_inner) = script;
    }

    /// Lets so many answers go that are held, now or later.
    pub fn let_go(&self, answers: usize) {
        self.state.let_go.add_permits(answers);
    }

    /// How many questions it was asked.
    pub fn calls(&self) -> usize {
        self.state.calls.load(Ordering::SeqCst)
    }

    /// The store behind the switch.
    pub fn store(&self) -> &S {
        &self.store
    }

    async fn play<T, E>(
        &self,
        answer: impl Future<Output = Result<T, E>>,
    ) -> Result<T, ScriptedError<E>> {
        self.state.calls.fetch_add(1, Ordering::SeqCst);
        let script = *self.state.script.lock().unwrap_or_else(PoisonError::into_inner);
        match script {
            Script::Answer => answer.await.map_err(ScriptedError::Store),
            Script::Fail => Err(ScriptedError::OnCue),
            Script::Hang => pending().await,
            Script::Hold => {
                let answer = answer.await;
                if let Ok(permit) = self.state.let_go.acquire().await {
                    permit.forget();
                }
                answer.map_err(ScriptedError::Store)
            }
        }
    }
}

impl<S: ContextStore> ContextStore for ScriptedStore<S> {
    type Error = ScriptedError<S::Error>;

    async fn find(&self, key: &SharedKey) -> Result<Option<Vec<u8>>, Self::Error> {
        self.play(self.store.find(key)).await
    }

    async fn keep(&self, key: &SharedKey, value: &[u8], ttl: Duration) -> Result<(), Self::Error> {
        self.play(self.store.keep(key, value, ttl)).await
    }

    async fn bury(
        &self,
        key: &SharedKey,
        tombstone: &[u8],
        ttl: Duration,
    ) -> Result<(), Self::Error> {
        self.play(self.store.bury(key, tombstone, ttl)).await
    }
}

impl<S: TokenStore> TokenStore for ScriptedStore<S> {
    type Error = ScriptedError<S::Error>;

    async fn find(&self, digest: &Digest) -> Result<Option<TokenRecord>, Self::Error> {
        self.play(self.store.find(digest)).await
    }
}

impl<S: AppStore> AppStore for ScriptedStore<S> {
    type Error = ScriptedError<S::Error>;

    async fn app(&self, app: &AppId) -> Result<Option<AppRecord>, Self::Error> {
        self.play(self.store.app(app)).await
    }

    async fn permitted(&self, app: &AppId, account: &AccountId) -> Result<bool, Self::Error> {
        self.play(self.store.permitted(app, account)).await
    }
}

impl<S: MembershipStore> MembershipStore for ScriptedStore<S> {
    type Error = ScriptedError<S::Error>;

    async fn membership(
        &self,
        account: &AccountId,
        workspace: &WorkspaceId,
    ) -> Result<Option<Membership>, Self::Error> {
        self.play(self.store.membership(account, workspace)).await
    }
}

impl<S: CallerSource> CallerSource for ScriptedStore<S> {
    type Caller = S::Caller;
    type Error = ScriptedError<S::Error>;

    async fn mount(&self, request: &MountRequest) -> Result<Mounted<S::Caller>, Self::Error> {
        self.play(self.store.mount(request)).await
    }
}

impl<S> Clone for ScriptedStore<S> {
    fn clone(&self) -> Self {
        Self { store: Arc::clone(&self.store), state: Arc::clone(&self.state) }
    }
}

impl<S> fmt::Debug for ScriptedStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedStore").field("calls", &self.calls()).finish_non_exhaustive()
    }
}
