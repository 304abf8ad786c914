//! Several processes in one: authenticators over one store, each with its own caches, its own line to one bus, its own audit.

use std::convert::Infallible;
use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Semaphore;
use tower_bearer::Authenticator;
use tower_bearer::audit::{AuditSink, Event};
use tower_bearer::authenticator::AuthenticatorBuilder;
use tower_bearer::clock::{ManualClock, Timestamp};
use tower_bearer::id::{AccountId, TokenId, WorkspaceId};
use tower_bearer::issuing::{IssuedToken, Issuer, MintRequest};
use tower_bearer::store::{
    AccountStatus, LedgerRevocation, MemoryStore, MemoryStoreError, MintOutcome, NewToken, Notice,
    RevokeReason, RevokeTarget, Sequence, TokenLedger, TokenRecord, TokenStore,
};
use tower_bearer::subject::Subject;
use tower_bearer::test_util::MemoryBus;
use tower_bearer::token::Digest;

use super::world::kinds;

/// The store that all processes share.
#[derive(Clone)]
pub(crate) struct Rows {
    pub(crate) memory: MemoryStore,
    asked: Arc<AtomicUsize>,
    /// What was read is held back.
    pub(crate) holds: Arc<AtomicBool>,
    pub(crate) let_go: Arc<Semaphore>,
    /// Writing calls never answer; with `true` they are applied all the same.
    pub(crate) silent: Arc<Mutex<Option<bool>>>,
}

impl Rows {
    fn new() -> Self {
        let memory = MemoryStore::new();
        memory.put_account(AccountId::new("acc-1").unwrap(), AccountStatus::Active);
        let let_go = Arc::new(Semaphore::new(0));
        let (asked, holds, silent) = (Arc::default(), Arc::default(), Arc::default());
        Self { memory, asked, holds, let_go, silent }
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl TokenStore for Rows {
    type Error = Infallible;

    async fn find(&self, digest: &Digest) -> Result<Option<TokenRecord>, Infallible> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let found = self.memory.find(digest).await;
        if self.holds.load(Ordering::SeqCst) {
            self.let_go.acquire().await.unwrap().forget();
        }
        found
    }
}

/// Asks the tables, unless it is silent.
macro_rules! ask {
    ($self:ident, $call:expr) => {{
        let silent = *$self.silent.lock().unwrap();
        let answer = match silent {
            Some(false) => None,
            Some(true) | None => Some($call.await),
        };
        match (silent, answer) {
            (None, Some(answer)) => answer,
            _ => pending().await,
        }
    }};
}

impl TokenLedger for Rows {
    type Error = MemoryStoreError;

    async fn mint(
        &self,
        new: &NewToken,
        digest: &Digest,
        cap: u32,
        now: Timestamp,
    ) -> Result<MintOutcome, MemoryStoreError> {
        ask!(self, self.memory.mint(new, digest, cap, now))
    }

    async fn revoke(
        &self,
        target: &RevokeTarget,
        reason: RevokeReason,
        now: Timestamp,
    ) -> Result<LedgerRevocation, MemoryStoreError> {
        ask!(self, self.memory.revoke(target, reason, now))
    }

    async fn revoke_subject(
        &self,
        subject: &Subject,
        except: Option<&TokenId>,
        now: Timestamp,
    ) -> Result<Vec<Digest>, MemoryStoreError> {
        ask!(self, self.memory.revoke_subject(subject, except, now))
    }

    async fn cut_workspace(
        &self,
        workspace: &WorkspaceId,
        now: Timestamp,
    ) -> Result<Option<u64>, MemoryStoreError> {
        ask!(self, self.memory.cut_workspace(workspace, now))
    }

    async fn expire(
        &self,
        id: &TokenId,
        digest: &Digest,
        now: Timestamp,
    ) -> Result<bool, MemoryStoreError> {
        TokenLedger::expire(&self.memory, id, digest, now).await
    }
}

/// Events by name and reason.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    pub(crate) fn of(&self, name: &str) -> Vec<String> {
        let events = self.0.lock().unwrap().clone();
        events.into_iter().filter(|event| event.starts_with(name)).collect()
    }
}

impl AuditSink for Told {
    fn record(&self, event: &Event<'_>) {
        let reason = event.reason.unwrap_or("-");
        self.0.lock().unwrap().push(format!("{} {reason}", event.name.as_str()));
    }
}

/// One process.
pub(crate) struct Process {
    pub(crate) auth: Authenticator,
    pub(crate) line: MemoryBus,
    pub(crate) told: Told,
}

impl Process {
    /// Why the token is refused; `ok` if it is accepted.
    pub(crate) async fn says(&self, token: &str) -> &'static str {
        let verdict = self.auth.authenticate(token).await;
        verdict.map_or_else(|rejection| rejection.reason().as_str(), |_| "ok")
    }
}

/// Two processes on one bus.
pub(crate) struct Two {
    pub(crate) rows: Rows,
    pub(crate) clock: ManualClock,
    pub(crate) a: Process,
    pub(crate) b: Process,
}

impl Two {
    pub(crate) async fn on_a_bus() -> Self {
        Self::with(|builder, _| builder).await
    }

    pub(crate) async fn with(
        set: impl Fn(AuthenticatorBuilder, &ManualClock) -> AuthenticatorBuilder,
    ) -> Self {
        let (rows, clock, bus) = (Rows::new(), ManualClock::new(), MemoryBus::new());
        let process = |line: MemoryBus| {
            let told = Told::default();
            let builder = Authenticator::builder(kinds(), rows.clone())
                .ledger(rows.clone())
                .clock(clock.clone())
                .audit(told.clone())
                .ttl_jitter(0.0)
                .bus(line.clone());
            Process { auth: set(builder, &clock).build().unwrap(), line, told }
        };
        let (a, b) = (process(bus.clone()), process(bus.another_line()));
        bus.joined(2).await;
        Self { rows, clock, a, b }
    }

    /// Mints in process A.
    pub(crate) async fn mint(&self, label: &str) -> IssuedToken {
        let id = AccountId::new("acc-1").unwrap();
        let request = MintRequest::new("account", Subject::Account { id }, "cli", label);
        Issuer::new(&self.a.auth).unwrap().mint(&request.scopes(["full"])).await.unwrap()
    }

    /// Tells a notice that neither of the two authenticators has published.
    pub(crate) fn tell(&self, notice: &Notice) {
        self.a.line.send_text(&Sequence::line(self.a.line.number() + 1, notice));
    }
}

/// The target that a token is ended by.
pub(crate) fn by_digest(token: &IssuedToken) -> RevokeTarget {
    RevokeTarget::Digest(Digest::of(token.token().expose()))
}

/// Lets every task that can run do so.
pub(crate) async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// What a call came to, and after how many milliseconds of the runtime's own, paused time.
#[expect(
    clippy::disallowed_methods,
    reason = "the runtime's paused time is what waits are made of"
)]
pub(crate) async fn took<T>(call: impl Future<Output = T>) -> (u128, T) {
    let before = tokio::time::Instant::now();
    let answer = call.await;
    (before.elapsed().as_millis(), answer)
}
