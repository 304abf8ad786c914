//! Stores that answer, fail, hang, panic or hold an answer back, on cue; each counts what it was asked.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::pending;
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;
use tower_bearer::id::{AccountId, AppId, WorkspaceId};
use tower_bearer::store::{
    AppRecord, AppStore, CallerSource, Membership, MembershipStore, MountRequest, Mounted,
    TokenRecord, TokenStore,
};
use tower_bearer::token::Digest;

/// What a port does when it is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mood {
    Answer,
    /// Reads the answer at once, and gives it out when it is let go.
    Hold,
    Fail,
    Hang,
    Panic,
    /// Is pending so many times before it answers.
    Pending(usize),
    /// Answers after so many milliseconds of the runtime's clock.
    Slow(u64),
}

#[derive(Debug, thiserror::Error)]
#[error("cannot reach db.internal with password=hunter2")]
pub(crate) struct Down;

/// One port: rows, a mood, and counts.
pub(crate) struct Port<K, A> {
    rows: Mutex<HashMap<K, A>>,
    mood: Mutex<Mood>,
    calls: AtomicUsize,
    running: AtomicUsize,
    peak: AtomicUsize,
    let_go: Semaphore,
}

impl<K: Eq + Hash, A: Clone> Port<K, A> {
    pub(crate) fn put(&self, key: K, row: A) {
        self.rows.lock().unwrap().insert(key, row);
    }

    pub(crate) fn remove(&self, key: &K) {
        self.rows.lock().unwrap().remove(key);
    }

    pub(crate) fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// Lets so many held answers go.
    pub(crate) fn let_go(&self, answers: usize) {
        self.let_go.add_permits(answers);
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }

    pub(crate) fn peak(&self) -> usize {
        self.peak.load(Ordering::SeqCst)
    }

    pub(crate) async fn ask(&self, key: &K) -> Result<Option<A>, Down> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let now = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.peak.fetch_max(now, Ordering::SeqCst);
        let _leave = Leave(&self.running);
        let row = self.rows.lock().unwrap().get(key).cloned();
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Answer => Ok(row),
            Mood::Hold => {
                self.let_go.acquire().await.unwrap().forget();
                Ok(row)
            }
            Mood::Fail => Err(Down),
            Mood::Hang => pending().await,
            Mood::Panic => panic!("a store's own bug"),
            Mood::Pending(times) => {
                for _ in 0..times {
                    tokio::task::yield_now().await;
                }
                Ok(row)
            }
            Mood::Slow(millis) => {
                tokio::time::sleep(Duration::from_millis(millis)).await;
                Ok(row)
            }
        }
    }
}

struct Leave<'a>(&'a AtomicUsize);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl<K, A> Default for Port<K, A> {
    fn default() -> Self {
        Self {
            rows: Mutex::default(),
            mood: Mutex::new(Mood::Answer),
            calls: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            let_go: Semaphore::new(0),
        }
    }
}

/// Every port at once, each with a mood of its own. Clones share everything.
#[derive(Clone, Default)]
pub(crate) struct Scripted {
    pub(crate) tokens: Arc<Port<Digest, TokenRecord>>,
    pub(crate) apps: Arc<Port<AppId, AppRecord>>,
    pub(crate) permits: Arc<Port<(AppId, AccountId), ()>>,
    pub(crate) members: Arc<Port<(AccountId, WorkspaceId), Membership>>,
    pub(crate) callers: Arc<Port<String, Who>>,
}

/// The caller that the scripted source mounts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Who(pub(crate) String);

impl TokenStore for Scripted {
    type Error = Down;

    async fn find(&self, digest: &Digest) -> Result<Option<TokenRecord>, Down> {
        self.tokens.ask(digest).await
    }
}

impl AppStore for Scripted {
    type Error = Down;

    async fn app(&self, app: &AppId) -> Result<Option<AppRecord>, Down> {
        self.apps.ask(app).await
    }

    async fn permitted(&self, app: &AppId, account: &AccountId) -> Result<bool, Down> {
        Ok(self.permits.ask(&(app.clone(), account.clone())).await?.is_some())
    }
}

impl MembershipStore for Scripted {
    type Error = Down;

    async fn membership(
        &self,
        account: &AccountId,
        workspace: &WorkspaceId,
    ) -> Result<Option<Membership>, Down> {
        self.members.ask(&(account.clone(), workspace.clone())).await
    }
}

impl CallerSource for Scripted {
    type Caller = Who;
    type Error = Down;

    async fn mount(&self, request: &MountRequest) -> Result<Mounted<Who>, Down> {
        let key = request.subject().key().as_str().to_owned();
        let known = self.callers.ask(&key).await?;
        Ok(known.map_or(Mounted::Unknown, Mounted::found))
    }
}

/// A service that answers 200 and counts its calls.
#[derive(Clone, Default)]
pub(crate) struct Counting {
    calls: Arc<AtomicUsize>,
}

impl Counting {
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

impl<B> tower::Service<http::Request<B>> for Counting {
    type Response = http::Response<http_body_util::Full<bytes::Bytes>>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: http::Request<B>) -> Self::Future {
        self.calls.fetch_add(1, Ordering::SeqCst);
        std::future::ready(Ok(http::Response::new("ok".into())))
    }
}
