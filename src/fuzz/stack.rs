//! XT3.12: up to 20 requests and changes, three bytes each: which, and two choices.

mod oracle;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tower_layer::Layer;
use tower_service::Service;

use crate::authenticator::Authenticator;
use crate::clock::ManualClock;
use crate::fuzz::stack::oracle::{ACCOUNTS, APPS, Oracle, WORKSPACES};
use crate::id::{AccountId, AppId, ExternalId, Issuer as Idp, WorkspaceId};
use crate::issuing::{Issuer, MintRequest, TtlBounds};
use crate::limit::{Fields, Limit, Limiter, Policy};
use crate::rejection::{Rejection, StepName};
use crate::stack::{
    AccessModes, AppAuthz, AppResolver, BearerCheck, BearerStack, CallerMount, Finder,
    WorkspaceMembershipCheck,
};
use crate::store::{
    AccessMode, AccountStatus, AppRecord, AppStore, CallerSource, Membership, MembershipStore,
    MemoryCaller, MemoryStore, MountRequest, Mounted, RevokeReason, RevokeTarget, TokenRecord,
    TokenStore, WorkspaceStatus,
};
use crate::subject::{Subject, SubjectType};
use crate::token::{Digest, TokenKind, TokenKinds};

/// The status is one of those that there are, and the service behind is called exactly when the oracle allows it. While a
/// store is out, or was a moment ago, 503 is allowed in place of any answer.
pub(super) fn holds(bytes: &[u8]) {
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let mut run = Run::new();
            for event in bytes.chunks_exact(3).take(20) {
                let [which, one, other] = event else { return };
                run.step(which % 16, usize::from(*one), usize::from(*other)).await;
            }
        });
    });
}

thread_local! {
    static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime of one thread");
}

/// The parts under test, and the oracle beside them.
struct Run {
    store: MemoryStore,
    out: Arc<AtomicU8>,
    clock: ManualClock,
    auth: Authenticator,
    issuer: Issuer,
    service: Box<dyn Answers>,
    calls: Arc<AtomicU64>,
    oracle: Oracle,
    /// Until when a breaker may still be open, in milliseconds.
    shaky: u64,
}

impl Run {
    fn new() -> Self {
        let (store, clock) = (MemoryStore::new(), ManualClock::new());
        let out = Arc::new(AtomicU8::new(0));
        let faulty = Faulty { rows: store.clone(), out: Arc::clone(&out) };
        for id in WORKSPACES {
            store.put_workspace(workspace(id), WorkspaceStatus::Active);
        }
        for id in ACCOUNTS {
            store.put_account(account(id), AccountStatus::Active);
        }
        for (id, of, mode) in APPS {
            let mode = AccessMode::from_word(mode);
            store.put_app(app(id), &workspace(of), mode).expect("the workspace is there");
        }
        let auth = Authenticator::builder(KINDS.with(Clone::clone), faulty.clone())
            .ledger(store.clone())
            .clock(clock.clone())
            .build()
            .expect("the settings are in range");
        let bounds = TtlBounds::new(Duration::from_secs(1), DAY, 365 * DAY).expect("in order");
        let issuer =
            Issuer::new(&auth).and_then(|issuer| issuer.with_ttl_bounds("account", bounds));
        let issuer = issuer.and_then(|issuer| issuer.with_ttl_bounds("external", bounds));
        let calls = Arc::new(AtomicU64::new(0));
        let service = stack(&auth, &faulty).layer(Inner(Arc::clone(&calls)));
        Self {
            store,
            out,
            clock,
            issuer: issuer.expect("there are such kinds and a ledger"),
            auth,
            service: Box::new(service),
            calls,
            oracle: Oracle::default(),
            shaky: 0,
        }
    }

    async fn step(&mut self, which: u8, one: usize, other: usize) {
        let (who, whose, what) = (ACCOUNTS[one % 2], WORKSPACES[other % 2], APPS[one % 4].0);
        let (auth, store, on) = (&self.auth, &self.store, other & 4 == 0);
        match which {
            0..=5 => self.request(one, other).await,
            6 => self.mint(one, other).await,
            7 => self.revoke(one).await,
            8 => {
                let status = if on { AccountStatus::Active } else { AccountStatus::Suspended };
                let changed = store.set_account_status(&account(who), status);
                assert!(changed.is_some(), "{who} is there");
                auth.account_changed(&account(who), "status", "", "");
                self.oracle.suspended.set(who, !on);
            }
            9 => {
                let status = if on { WorkspaceStatus::Active } else { WorkspaceStatus::Archived };
                store.put_workspace(workspace(whose), status);
                auth.workspace_changed(&workspace(whose), "status", "", "");
                self.oracle.archived.set(whose, !on);
            }
            10 => {
                assert!(store.set_app_enabled(&app(what), on).is_some(), "{what} is there");
                auth.app_changed(&app(what), "enabled", "", "");
                self.oracle.disabled.set(what, !on);
            }
            11 if on => {
                let put = store.put_member(&workspace(whose), &account(who), "editor");
                assert!(put.is_ok(), "both are there");
                auth.forget_member(&workspace(whose), &account(who));
                self.oracle.members.set((whose, who), true);
            }
            11 => {
                let _role = store.remove_member(&workspace(whose), &account(who));
                auth.member_removed(&workspace(whose), &account(who), "editor");
                self.oracle.members.set((whose, who), false);
            }
            12 => {
                if on {
                    assert!(store.permit(&app(what), &account(who)).is_ok(), "both are there");
                } else {
                    let _was = store.remove_permit(&app(what), &account(who));
                }
                auth.forget_permit(&app(what), &account(who));
                self.oracle.permits.set((what, who), on);
            }
            13 => {
                let span = [1, 499, 500, 1_000, 5_000, 10_000, 30_000, 60_000][one % 8];
                self.clock.advance(Duration::from_millis(span));
                self.oracle.now += span;
            }
            14 => {
                self.shaky = self.oracle.now + 1_000;
                self.out.store(if on { 1 << (one % 4) } else { 0 }, Ordering::Relaxed);
            }
            _ => {
                let floor = auth.cut_workspace(&workspace(whose)).await;
                assert!(matches!(floor, Ok(Some(_))), "{whose} is there");
                self.oracle.cut(whose);
            }
        }
    }

    async fn mint(&mut self, one: usize, other: usize) {
        let external = other & 3 == 3;
        let who = if external { "guest" } else { ACCOUNTS[one % 2] };
        let (kind, subject) = if external {
            ("external", guest())
        } else {
            ("account", Subject::Account { id: account(who) })
        };
        let (slot, runs) = (["x", "y"][(one >> 1) % 2], other & 4 == 0);
        let ttl = [1, 30, 86_400][(other >> 3) % 3];
        let text = text(external, self.oracle.tokens.len());
        let request = MintRequest::new(kind, subject, "cli", slot)
            .scopes([if runs { "apps:run" } else { "apps:read" }])
            .ttl(Duration::from_secs(ttl));
        let made = self.issuer.adopt(&text, &request).await.is_ok();
        assert_eq!(made, external || !self.oracle.suspended.has(&who), "a mint for {who}");
        if made {
            self.oracle.mint(who, slot, external || runs, ttl * 1_000);
        }
    }

    async fn revoke(&mut self, one: usize) {
        let Some(at) = one.checked_rem(self.oracle.tokens.len()) else { return };
        let text = text(self.oracle.tokens[at].who == "guest", at);
        let target = RevokeTarget::Digest(Digest::of(&text));
        assert!(self.auth.revoke_token(target, RevokeReason::Myself).await.is_ok());
        self.oracle.tokens[at].dead = true;
    }

    async fn request(&mut self, one: usize, other: usize) {
        // one past the last is a token that will be minted later; the next is junk, and the next none
        let at = one % (self.oracle.tokens.len() + 3);
        let known = self.oracle.tokens.get(at).is_some_and(|token| token.who == "guest");
        let path = match APPS.get(other % 5) {
            Some((app, ..)) => format!("/apps/{app}/run"),
            None => "/apps/nothing".to_owned(),
        };
        let mut request = Request::builder().uri(path);
        if at < self.oracle.tokens.len() + 2 {
            let junk = at > self.oracle.tokens.len();
            let text = if junk { "tba_junk".to_owned() } else { text(known, at) };
            request = request.header("authorization", format!("Bearer {text}"));
        }
        let request = request.body(()).expect("well formed");
        let before = self.calls.load(Ordering::Relaxed);
        let response = self.service.answer(request).await;
        let called = self.calls.load(Ordering::Relaxed) - before;
        let refusal = response.extensions().get::<Rejection>();
        let status = response.status().as_u16();
        assert!([200, 401, 403, 404, 429, 503].contains(&status), "status {status}");
        assert_eq!(called, u64::from(status == 200), "calls of an answer {status}");
        assert_eq!(status == 200, refusal.is_none(), "{refusal:?}");
        let step = refusal.and_then(Rejection::step);
        if response.status() == StatusCode::SERVICE_UNAVAILABLE {
            let out = self.out.load(Ordering::Relaxed) != 0 || self.oracle.now < self.shaky;
            assert!(out, "503 of step {step:?} with every store well");
            if step != Some(StepName::Bearer) {
                let _verdict = self.oracle.charge(at);
            }
            return;
        }
        let admitted = self.oracle.charge(at);
        let app = APPS.get(other % 5);
        let allowed = admitted && app.is_some_and(|app| self.oracle.allows(at, app));
        assert_eq!(
            status == 200,
            allowed,
            "{status} by {refusal:?} for token {at} and app {app:?}"
        );
        assert_eq!(status == 429, self.oracle.is_live(at) && !admitted, "{status} by {refusal:?}");
    }
}

fn stack(
    auth: &Authenticator,
    store: &Faulty,
) -> impl Layer<Inner, Service = impl Answers + 'static> {
    let limit = Limit::per_minute(oracle::LIMIT).expect("in range");
    let limiter = Limiter::builder().policy(Policy::per_token(limit)).fields(Fields::OnDenied);
    let find = Finder::path("/apps/{app}").expect("a template");
    let members = WorkspaceMembershipCheck::new(auth, store.clone()).exempt_external();
    BearerStack::new(BearerCheck::new(auth))
        .rate_limit(limiter.build().expect("a policy"))
        .require_scopes(["apps:run"])
        .expect("a scope")
        .resolve_app(AppResolver::new(auth, store.clone(), find))
        .require_membership_or_external(members)
        .authorize_app(AppAuthz::new(auth, AccessModes::new(auth, store.clone())))
        .mount_caller(CallerMount::new(auth, store.clone()))
}

/// A service with its type erased.
trait Answers {
    fn answer(&mut self, request: Request<()>) -> Answering<'_>;
}

type Answering<'a> = std::pin::Pin<Box<dyn Future<Output = Response<Bytes>> + 'a>>;

impl<S> Answers for S
where
    S: Service<Request<()>, Response = Response<Bytes>, Error = Infallible>,
{
    fn answer(&mut self, request: Request<()>) -> Answering<'_> {
        let call = self.call(request);
        Box::pin(async move {
            match call.await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        })
    }
}

#[derive(Clone)]
struct Inner(Arc<AtomicU64>);

impl Service<Request<()>> for Inner {
    type Response = Response<Bytes>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Bytes>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        self.0.fetch_add(1, Ordering::Relaxed);
        ready(Ok(Response::new(Bytes::new())))
    }
}

/// A memory store of which one port may be out.
#[derive(Clone)]
struct Faulty {
    rows: MemoryStore,
    out: Arc<AtomicU8>,
}

#[derive(Debug, thiserror::Error)]
#[error("out")]
struct Out;

impl Faulty {
    fn unless_out(&self, port: u8) -> Result<(), Out> {
        if self.out.load(Ordering::Relaxed) & (1 << port) == 0 { Ok(()) } else { Err(Out) }
    }
}

impl TokenStore for Faulty {
    type Error = Out;

    async fn find(&self, digest: &Digest) -> Result<Option<TokenRecord>, Out> {
        self.unless_out(0)?;
        self.rows.find(digest).await.map_err(|_lost| Out)
    }
}

impl AppStore for Faulty {
    type Error = Out;

    async fn app(&self, app: &AppId) -> Result<Option<AppRecord>, Out> {
        self.unless_out(1)?;
        self.rows.app(app).await.map_err(|_lost| Out)
    }

    async fn permitted(&self, app: &AppId, account: &AccountId) -> Result<bool, Out> {
        self.unless_out(1)?;
        self.rows.permitted(app, account).await.map_err(|_lost| Out)
    }
}

impl MembershipStore for Faulty {
    type Error = Out;

    async fn membership(
        &self,
        account: &AccountId,
        workspace: &WorkspaceId,
    ) -> Result<Option<Membership>, Out> {
        self.unless_out(2)?;
        self.rows.membership(account, workspace).await.map_err(|_lost| Out)
    }
}

impl CallerSource for Faulty {
    type Caller = MemoryCaller;
    type Error = Out;

    async fn mount(&self, request: &MountRequest) -> Result<Mounted<MemoryCaller>, Out> {
        self.unless_out(3)?;
        self.rows.callers().mount(request).await.map_err(|_lost| Out)
    }
}

thread_local! {
    static KINDS: TokenKinds = {
        let account = TokenKind::new("account").prefix("tba_").subject(SubjectType::Account);
        let external = TokenKind::new("external").prefix("tbe_").subject(SubjectType::External);
        TokenKinds::builder()
            .kind(account.narrowed(["apps:read", "apps:run"]))
            .kind(external.fixed(["apps:run"]))
            .build()
            .expect("no two of these kinds clash")
    };
}

fn text(external: bool, number: usize) -> String {
    format!("{}{number:043}", if external { "tbe_" } else { "tba_" })
}

fn guest() -> Subject {
    let issuer = Idp::new("https://idp.example").expect("well formed");
    let subject = ExternalId::new("guest").expect("well formed");
    Subject::External { issuer, subject, email: None }
}

fn account(id: &str) -> AccountId {
    AccountId::new(id).expect("well formed")
}

fn workspace(id: &str) -> WorkspaceId {
    WorkspaceId::new(id).expect("well formed")
}

fn app(id: &str) -> AppId {
    AppId::new(id).expect("well formed")
}

const DAY: Duration = Duration::from_secs(86_400);
