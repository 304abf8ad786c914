//! Every layer and every kind of stack around any service, over stores that follow a script.
#![expect(dead_code, reason = "each test file uses its own part")]
#![expect(clippy::unwrap_used, reason = "a test may stop at what cannot be")]

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceExt};
use tower_bearer::clock::Timestamp;
use tower_bearer::forward::{Field, ForwardBody, ForwardOptions, Mode, Upstream};
use tower_bearer::id::{AccountId, TokenId, WorkspaceId};
use tower_bearer::limit::{Limit, Limiter, Outage, PeerAddr, Policy};
use tower_bearer::scope::ScopeSet;
use tower_bearer::stack::{
    AccessModes, AppAuthz, AppPolicy, AppResolver, BearerCheck, BearerStack, CallerMount, Decision,
    FailureLimit, Finder, IdentityForward, MembershipInRequest, MembershipOrExternal, RateLimit,
    RenderRejections, ScopeCheck, StripIdentity, TenantLimit, WorkspaceMembershipCheck,
};
use tower_bearer::store::{
    Answer, AppRecord, Ask, LedgerRevocation, Membership, MemoryWindows, MintOutcome, Minted,
    NewToken, RevokeReason, RevokeTarget, TokenLedger, TokenRecord, WindowStore,
};
use tower_bearer::subject::Subject;
use tower_bearer::token::Digest;
use tower_bearer::{AuthContext, authenticator::AuthenticatorBuilder};

use crate::support::probe::Gone;
use crate::support::scripted::{Counting, Down, Mood, Port, Scripted};
use crate::support::world::{World, account, app, get, token};

pub(crate) type Request = http::Request<Full<Bytes>>;
pub(crate) type Response = http::Response<Full<Bytes>>;
/// Any service.
pub(crate) type Service = BoxCloneSyncService<Request, Response, Gone>;

/// A service that never fails, as one that might.
pub(crate) fn inner(counting: &Counting) -> Service {
    let gone = |never: Infallible| -> Gone { match never {} };
    Service::new(ServiceExt::<Request>::map_err(counting.clone(), gone))
}

/// The path that everybody asks for: it names an app and a workspace.
pub(crate) const PATH: &str = "/workspaces/ws-1/apps/app-1";

/// A shared store of windows on a script; charges first, then waits.
#[derive(Default)]
pub(crate) struct Windows {
    logs: MemoryWindows,
    pub(crate) port: Port<(), ()>,
    pub(crate) charged: AtomicUsize,
    pub(crate) nonsense: Mutex<Option<Answer>>,
}

impl WindowStore for Windows {
    type Error = Down;

    async fn admit(&self, ask: &Ask<'_>) -> Result<Answer, Down> {
        let nonsense = *self.nonsense.lock().unwrap();
        if let Some(nonsense) = nonsense {
            return Ok(nonsense);
        }
        let answer = self.logs.decide(ask).map_err(|_full| Down)?;
        self.charged.fetch_add(usize::from(answer.is_admitted()), Ordering::SeqCst);
        self.port.ask(&()).await?;
        Ok(answer)
    }
}

/// A policy of the service's own that must ask.
#[derive(Clone, Default)]
pub(crate) struct Own(pub(crate) Arc<Port<(), ()>>);

impl AppPolicy for Own {
    type Error = Down;

    async fn decide(
        &self,
        _: &AuthContext,
        _: &AppRecord,
        _: Option<&Membership>,
    ) -> Result<Decision, Down> {
        self.0.ask(&()).await?;
        Ok(Decision::Allow)
    }
}

/// A ledger over the scripted tokens.
#[derive(Clone, Default)]
pub(crate) struct Ledger {
    pub(crate) port: Arc<Port<(), ()>>,
    /// Says that it ended another token than it was asked to.
    pub(crate) confused: Arc<AtomicBool>,
    tokens: Arc<Mutex<Option<Scripted>>>,
}

impl Ledger {
    fn tokens(&self) -> Scripted {
        self.tokens.lock().unwrap().clone().unwrap()
    }
}

impl TokenLedger for Ledger {
    type Error = Down;

    async fn mint(
        &self,
        new: &NewToken,
        digest: &Digest,
        _cap: u32,
        _now: Timestamp,
    ) -> Result<MintOutcome, Down> {
        let (id, subject) = (new.id().clone(), new.subject().clone());
        let record = TokenRecord::new(id.clone(), new.kind(), subject, new.expires_at());
        self.tokens().tokens.put(*digest, record.with_scopes(new.scopes().clone()));
        self.port.ask(&()).await?;
        Ok(MintOutcome::Minted(Minted::new(id, 1, None)))
    }

    async fn revoke(
        &self,
        target: &RevokeTarget,
        _: RevokeReason,
        _: Timestamp,
    ) -> Result<LedgerRevocation, Down> {
        let RevokeTarget::Digest(digest) = target else { return Ok(LedgerRevocation::NotFound) };
        self.tokens().tokens.remove(digest);
        self.port.ask(&()).await?;
        let id = TokenId::new("tok-00000001").unwrap();
        let confused = self.confused.load(Ordering::SeqCst);
        let digest = if confused { Digest::of("another") } else { *digest };
        Ok(LedgerRevocation::Revoked { id, digest })
    }

    async fn revoke_subject(
        &self,
        _: &Subject,
        _: Option<&TokenId>,
        _: Timestamp,
    ) -> Result<Vec<Digest>, Down> {
        let digest = Digest::of(&token("tst_", 1));
        self.tokens().tokens.remove(&digest);
        self.port.ask(&()).await?;
        Ok(vec![digest])
    }

    async fn cut_workspace(&self, _: &WorkspaceId, _: Timestamp) -> Result<Option<u64>, Down> {
        self.port.ask(&()).await?;
        Ok(Some(1))
    }

    async fn expire(&self, _: &TokenId, _: &Digest, _: Timestamp) -> Result<bool, Down> {
        self.port.ask(&()).await?;
        Ok(true)
    }
}

/// A world, its stores, and one of each step.
pub(crate) struct Eight {
    pub(crate) world: World,
    pub(crate) token: String,
    pub(crate) digest: Digest,
    pub(crate) windows: Arc<Windows>,
    pub(crate) policy: Own,
    pub(crate) ledger: Ledger,
    pub(crate) limiter: Limiter,
    pub(crate) shared_limiter: Limiter,
    pub(crate) tenant_limiter: Limiter,
    pub(crate) resolver: AppResolver,
    pub(crate) members: WorkspaceMembershipCheck,
    pub(crate) or_external: MembershipOrExternal,
    pub(crate) in_request: MembershipInRequest,
    pub(crate) access: AppAuthz,
    pub(crate) own: AppAuthz,
    pub(crate) caller: CallerMount,
    pub(crate) forward: IdentityForward,
    pub(crate) strip: StripIdentity,
    pub(crate) failures: FailureLimit,
}

impl Eight {
    /// Token 1 of `acc-1` may do everything on [`PATH`], `limit` times an hour.
    pub(crate) fn new(limit: u32) -> Self {
        Self::with(limit, |builder| builder)
    }

    pub(crate) fn with(
        limit: u32,
        set: impl FnOnce(AuthenticatorBuilder) -> AuthenticatorBuilder,
    ) -> Self {
        let ledger = Ledger::default();
        let world = World::with(|builder| set(builder.ledger(ledger.clone())));
        *ledger.tokens.lock().unwrap() = Some(world.store.clone());
        let token = token("tst_", 1);
        let digest = world.token(&token, account("acc-1"), "full");
        world.app("app-1", "ws-1", "private");
        world.member("acc-1", "ws-1");
        let picked = AccountId::new("acc-1").unwrap();
        world.store.permits.put((app("app-1"), picked), ());
        let (auth, store) = (&world.auth, &world.store);
        let windows = Arc::new(Windows::default());
        let policy = Own::default();
        let find = Finder::path("/workspaces/{_}/apps/{app}").unwrap();
        let find_workspace = Finder::path("/workspaces/{workspace}").unwrap();
        let members = WorkspaceMembershipCheck::new(auth, store.clone());
        let upstream = Upstream::new("mcp-main", "https://mcp.example.com/mcp").unwrap();
        let fields = [Field::Id, Field::Workspace];
        let options = ForwardOptions::new(upstream, Mode::Headers).fields(fields);
        let an_hour = || {
            let window = std::time::Duration::from_secs(3_600);
            Limit::new(NonZeroU32::new(limit).unwrap(), window).unwrap()
        };
        let limiter = |policy: Policy| Limiter::builder().policy(policy).build().unwrap();
        let shared = Limiter::builder()
            .policy(Policy::per_token(an_hour()))
            .store(Arc::clone(&windows))
            .on_outage(Outage::Closed)
            .build()
            .unwrap();
        Self {
            limiter: limiter(Policy::per_token(an_hour())),
            shared_limiter: shared,
            tenant_limiter: limiter(Policy::per_workspace(an_hour())),
            resolver: AppResolver::new(auth, store.clone(), find),
            or_external: members.clone().exempt_external(),
            in_request: members.in_request(find_workspace),
            members,
            access: AppAuthz::new(auth, AccessModes::new(auth, store.clone())),
            own: AppAuthz::new(auth, AccessModes::new(auth, store.clone())).and(policy.clone()),
            caller: CallerMount::new(auth, store.clone()),
            forward: IdentityForward::new(options.build().unwrap()),
            strip: StripIdentity::new(),
            failures: FailureLimit::with_defaults(auth),
            token,
            digest,
            windows,
            policy,
            ledger,
            world,
        }
    }

    /// The stack with all eight steps.
    pub(crate) fn stack(&self, limiter: &Limiter, inner: Service) -> Service {
        let stack = BearerStack::new(BearerCheck::new(&self.world.auth))
            .rate_limit(limiter)
            .require(scopes())
            .resolve_app(self.resolver.clone())
            .require_membership(self.members.clone())
            .authorize_app(self.own.clone())
            .rate_limit_tenant(&self.tenant_limiter)
            .mount_caller(self.caller.clone())
            .forward_identity(self.forward.clone());
        Bodies(stack).layer(inner)
    }

    /// Sets every port to one mood.
    pub(crate) fn set(&self, mood: Mood) {
        let store = &self.world.store;
        store.tokens.set(mood);
        store.apps.set(mood);
        store.permits.set(mood);
        store.members.set(mood);
        store.callers.set(mood);
        self.windows.port.set(mood);
        self.policy.0.set(mood);
        self.ledger.port.set(mood);
    }

    /// Calls of any port that run now.
    pub(crate) fn running(&self) -> usize {
        let store = &self.world.store;
        store.tokens.running()
            + store.apps.running()
            + store.permits.running()
            + store.members.running()
            + store.callers.running()
            + self.windows.port.running()
            + self.policy.0.running()
            + self.ledger.port.running()
    }

    /// Calls of all ports so far.
    pub(crate) fn calls(&self) -> usize {
        let store = &self.world.store;
        store.tokens.calls()
            + store.apps.calls()
            + store.permits.calls()
            + store.members.calls()
            + store.callers.calls()
            + self.windows.port.calls()
            + self.policy.0.calls()
    }

    /// What each layer needs to stand alone: contexts as the layers outside it would leave them.
    pub(crate) async fn contexts(&self) -> Contexts {
        let known = self.world.auth.authenticate(&self.token).await.unwrap();
        let of_app = context_behind(&self.resolver, known.clone()).await;
        let of_member = context_behind(&self.members, of_app.clone()).await;
        Contexts { known, of_app, of_member }
    }

    /// Every layer alone, and the stacks that have every kind of step.
    pub(crate) fn rows(&self, contexts: &Contexts) -> Vec<Row> {
        let Contexts { known, of_app, of_member } = contexts;
        let auth = &self.world.auth;
        let local = RateLimit::from(&self.limiter);
        let shared = RateLimit::from(&self.shared_limiter);
        let tenant = TenantLimit::from(&self.tenant_limiter);
        let with = |context: &AuthContext| Sends::Context(context.clone());
        let anonymous = BearerCheck::new(auth).optional();
        let client = self.forward.client_side();
        let whole = |limiter: &Limiter| {
            BearerStack::new(BearerCheck::new(auth))
                .rate_limit(limiter)
                .require(scopes())
                .resolve_app(self.resolver.clone())
                .require_membership(self.members.clone())
                .authorize_app(self.own.clone())
                .rate_limit_tenant(&self.tenant_limiter)
                .mount_caller(self.caller.clone())
                .forward_identity(self.forward.clone())
        };
        vec![
            row("BearerCheck", BearerCheck::new(auth), Sends::Token, Some(401)),
            row("BearerCheck optional", anonymous, Sends::Token, None),
            row("RateLimit in process", local, with(known), Some(500)),
            row("RateLimit shared", shared, with(known), Some(500)),
            row("ScopeCheck", scopes(), with(known), Some(500)),
            row("AppResolver", self.resolver.clone(), with(known), Some(500)),
            row("membership", self.members.clone(), with(of_app), Some(500)),
            row("membership or external", self.or_external.clone(), with(of_app), Some(500)),
            row("membership in request", self.in_request.clone(), with(known), Some(500)),
            row("AppAuthz modes", self.access.clone(), with(of_member), Some(500)),
            row("AppAuthz own policy", self.own.clone(), with(of_member), Some(500)),
            row("TenantLimit", tenant, with(of_member), Some(500)),
            row("CallerMount", self.caller.clone(), with(known), Some(500)),
            row("IdentityForward", Bodies(self.forward.clone()), with(known), Some(500)),
            row("ClientForward", Bodies(client), Sends::Away(known.clone()), Some(500)),
            row("StripIdentity", Bodies(self.strip.clone()), Sends::Token, None),
            row("FailureLimit", self.failures.clone(), Sends::Peer, Some(500)),
            row("RenderRejections", RenderRejections::new(), Sends::Token, None),
            row("BearerStack", Bodies(whole(&self.limiter)), Sends::Token, Some(401)),
            row("BearerStack shared", Bodies(whole(&self.shared_limiter)), Sends::Token, Some(401)),
            row(
                "BearerStack without bodies",
                Bodies(whole(&self.limiter).without_bodies()),
                Sends::Token,
                Some(401),
            ),
        ]
    }

    /// The request that passes `sends`' layer.
    pub(crate) fn good(&self, sends: &Sends) -> Request {
        let mut request = get(PATH, Some(&self.token));
        match sends {
            Sends::Token => {}
            Sends::Peer => {
                let peer = PeerAddr(([192, 0, 2, 1], 4_000).into());
                request.extensions_mut().insert(peer);
            }
            Sends::Context(context) => context.attach(request.extensions_mut()),
            Sends::Away(context) => {
                context.attach(request.extensions_mut());
                *request.uri_mut() = "https://mcp.example.com/mcp".parse().unwrap();
            }
        }
        request
    }
}

/// Contexts at three points of a stack.
pub(crate) struct Contexts {
    known: AuthContext,
    of_app: AuthContext,
    of_member: AuthContext,
}

/// What a request brings to a layer that stands alone.
pub(crate) enum Sends {
    Token,
    Peer,
    Context(AuthContext),
    /// The context, to the upstream's own address.
    Away(AuthContext),
}

/// One layer or stack.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) wrap: Box<dyn Fn(Service) -> Service>,
    pub(crate) sends: Sends,
    /// The answer to a request without anything, if that is refused.
    pub(crate) refusal: Option<u16>,
}

pub(crate) fn row<L>(name: impl Into<String>, layer: L, sends: Sends, refusal: Option<u16>) -> Row
where
    L: Layer<Service> + 'static,
    L::Service: tower::Service<Request, Response = Response, Error = Gone>,
    L::Service: Clone + Send + Sync + 'static,
    <L::Service as tower::Service<Request>>::Future: Send + 'static,
{
    let wrap = Box::new(move |inner| BoxCloneSyncService::new(layer.layer(inner)));
    Row { name: name.into(), wrap, sends, refusal }
}

pub(crate) fn scopes() -> ScopeCheck {
    ScopeCheck::all(["apps:run"]).unwrap()
}

/// The scopes of a record.
pub(crate) fn scope_set(text: &str) -> ScopeSet {
    ScopeSet::parse(text)
}

/// Every order of steps that the builder's types allow.
pub(crate) fn orders(eight: &Eight) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let start = BearerStack::new(BearerCheck::new(&eight.world.auth));
    macro_rules! add {
        ($name:expr, $stack:expr) => {
            rows.push(row($name, $stack, Sends::Token, Some(401)))
        };
    }
    macro_rules! forward {
        ($name:expr, $stack:expr) => {{
            let (name, stack) = ($name, $stack);
            add!(
                name.clone() + " forward",
                Bodies(stack.clone().forward_identity(eight.forward.clone()))
            );
            add!(name, stack);
        }};
    }
    macro_rules! caller {
        ($name:expr, $stack:expr) => {{
            let (name, stack) = ($name, $stack);
            forward!(name.clone() + " caller", stack.clone().mount_caller(eight.caller.clone()));
            forward!(name, stack);
        }};
    }
    macro_rules! tenant {
        ($name:expr, $stack:expr) => {{
            let (name, stack) = ($name, $stack);
            caller!(
                name.clone() + " tenant",
                stack.clone().rate_limit_tenant(&eight.tenant_limiter)
            );
            caller!(name, stack);
        }};
    }
    macro_rules! middle {
        ($name:expr, $stack:expr) => {{
            let (name, stack): (String, _) = ($name, $stack);
            let app = stack.clone().resolve_app(eight.resolver.clone());
            let member = app.clone().require_membership(eight.members.clone());
            let or_external = app.clone().require_membership_or_external(eight.or_external.clone());
            tenant!(
                name.clone() + " in",
                stack.clone().require_membership_in(eight.in_request.clone())
            );
            tenant!(
                name.clone() + " app member access",
                member.clone().authorize_app(eight.own.clone())
            );
            tenant!(
                name.clone() + " app external access",
                or_external.authorize_app(eight.access.clone())
            );
            tenant!(name.clone() + " app member", member);
            caller!(name.clone() + " app", app);
            caller!(name, stack);
        }};
    }
    macro_rules! scoped {
        ($name:expr, $stack:expr) => {{
            let (name, stack): (String, _) = ($name, $stack);
            middle!(name.clone() + " scopes", stack.clone().require(scopes()));
            middle!(name, stack);
        }};
    }
    scoped!("bearer limit".to_owned(), start.clone().rate_limit(&eight.shared_limiter));
    scoped!("bearer".to_owned(), start);
    rows
}

/// Lets every task that can run do so.
pub(crate) async fn settle() {
    for _ in 0..24 {
        tokio::task::yield_now().await;
    }
}

async fn context_behind(
    layer: &impl Layer<Keep, Service = impl KeepsContext>,
    context: AuthContext,
) -> AuthContext {
    let keep = Keep::default();
    let mut request = get(PATH, None);
    context.attach(request.extensions_mut());
    layer.layer(keep.clone()).pass(request).await;
    keep.0.lock().unwrap().clone().unwrap()
}

/// Remembers the context of the last request.
#[derive(Clone, Default)]
struct Keep(Arc<Mutex<Option<AuthContext>>>);

impl tower::Service<Request> for Keep {
    type Response = Response;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        *self.0.lock().unwrap() = AuthContext::of(request.extensions()).cloned();
        std::future::ready(Ok(Response::new(Full::default())))
    }
}

trait KeepsContext {
    async fn pass(self, request: Request);
}

impl<S> KeepsContext for S
where
    S: tower::Service<Request, Response = Response, Error = Infallible>,
{
    async fn pass(self, request: Request) {
        let response = self.oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200, "the scene is set");
    }
}

/// A layer whose bodies are its own, as one whose bodies are plain.
#[derive(Clone)]
pub(crate) struct Bodies<L>(pub(crate) L);

type Behind = BoxCloneSyncService<http::Request<ForwardBody<Full<Bytes>>>, Response, Gone>;

impl<L> Layer<Service> for Bodies<L>
where
    L: Layer<Behind>,
    L::Service:
        tower::Service<Request, Response = http::Response<ForwardBody<Full<Bytes>>>, Error = Gone>,
    L::Service: Clone + Send + Sync + 'static,
    <L::Service as tower::Service<Request>>::Future: Send + 'static,
{
    type Service = Service;

    fn layer(&self, inner: Service) -> Service {
        let inner = inner.map_request(|request: http::Request<ForwardBody<_>>| {
            request.map(|_| Full::default()) // nobody behind looks at it
        });
        BoxCloneSyncService::new(self.0.layer(BoxCloneSyncService::new(inner)).then(at_hand))
    }
}

/// The answer with its body at hand.
async fn at_hand(
    answer: Result<http::Response<ForwardBody<Full<Bytes>>>, Gone>,
) -> Result<Response, Gone> {
    let (head, body) = answer?.into_parts();
    Ok(Response::from_parts(head, Full::new(body.collect().await.unwrap().to_bytes())))
}
