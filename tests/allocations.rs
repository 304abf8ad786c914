//! A request that is known costs no more allocations than promised.

#![expect(unsafe_code, reason = "a global allocator is unsafe by its trait")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at what cannot be")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::convert::Infallible;
use std::num::NonZeroU32;

use bytes::Bytes;
use http_body_util::Full;
use tower::{Layer, Service, service_fn};
use tower_bearer::Authenticator;
use tower_bearer::clock::Timestamp;
use tower_bearer::forward::{Field, ForwardBody, ForwardOptions, ForwardSet, Mode, Upstream};
use tower_bearer::id::{AccountId, AppId, WorkspaceId};
use tower_bearer::issuing::{Issuer, MintRequest};
use tower_bearer::limit::{Fields, Limit, Limiter, Policy};
use tower_bearer::stack::{
    AccessModes, AppAuthz, AppResolver, BearerCheck, BearerStack, CallerMount, Finder,
    IdentityForward, WorkspaceMembershipCheck,
};
use tower_bearer::store::{AccessMode, AccountStatus, MemoryStore, WorkspaceStatus};
use tower_bearer::subject::{Subject, SubjectType};
use tower_bearer::token::{TokenKind, TokenKinds};

type Request = http::Request<Full<Bytes>>;
type Forwarded = http::Response<ForwardBody<Full<Bytes>>>;
type Response = http::Response<Full<Bytes>>;

/// Counts what each thread takes.
struct Counting;

thread_local! {
    static TAKEN: Cell<u64> = const { Cell::new(0) };
}

fn note() {
    let _ = TAKEN.try_with(|taken| taken.set(taken.get() + 1));
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One member with a token of an app, and the authenticator that knows them.
struct House {
    auth: Authenticator,
    store: MemoryStore,
    token: String,
}

impl House {
    async fn new() -> Self {
        let account = TokenKind::new("account").prefix("tba_").subject(SubjectType::Account);
        let kinds = TokenKinds::builder()
            .kind(account.narrowed(["full"]).umbrella("full").checksum())
            .build()
            .unwrap();
        let store = MemoryStore::new();
        let (id, workspace) =
            (AccountId::new("acc-member").unwrap(), WorkspaceId::new("ws-north").unwrap());
        store.put_account(id.clone(), AccountStatus::Active);
        store.put_workspace(workspace.clone(), WorkspaceStatus::Active);
        store.put_member(&workspace, &id, "editor").unwrap();
        let app = AppId::new("app-picked").unwrap();
        store.put_app(app.clone(), &workspace, AccessMode::Private).unwrap();
        assert!(store.permit(&app, &id).unwrap());
        let auth = Authenticator::builder(kinds, store.clone())
            .ledger(store.clone())
            .audit_allowed_sample(0.0)
            .ttl_jitter(0.0)
            .build()
            .unwrap();
        let request = MintRequest::new("account", Subject::Account { id }, "cli", "laptop");
        let issued = Issuer::new(&auth).unwrap().mint(&request.scopes(["full"])).await.unwrap();
        assert!(issued.expires_at() > Timestamp::default());
        let token = issued.token().expose().to_owned();
        Self { auth, store, token }
    }

    fn request(&self, token: &str) -> Request {
        http::Request::builder()
            .method("POST")
            .uri("/apps/app-picked/run")
            .header("host", "api.example")
            .header("user-agent", "test/1.0")
            .header("accept", "application/json")
            .header("accept-encoding", "gzip, br")
            .header("content-type", "application/json")
            .header("content-length", "0")
            .header("x-request-id", "0b6c0f3e")
            .header("authorization", format!("Bearer {token}"))
            .body(Full::default())
            .unwrap()
    }

    /// All eight layers around a service that takes nothing.
    fn stack(
        &self,
        fields: Fields,
        forward: IdentityForward,
    ) -> impl Service<Request, Response = http::Response<ForwardBody<Full<Bytes>>>, Error = Infallible>
    {
        let (auth, store) = (&self.auth, &self.store);
        let limit = Limit::per_minute(NonZeroU32::new(1_000).unwrap()).unwrap();
        let limiter = Limiter::builder().policy(Policy::per_token(limit)).fields(fields);
        BearerStack::new(BearerCheck::new(auth))
            .rate_limit(limiter.build().unwrap())
            .require_scopes(["apps:run"])
            .unwrap()
            .resolve_app(AppResolver::new(
                auth,
                store.clone(),
                Finder::path("/apps/{app}").unwrap(),
            ))
            .require_membership(WorkspaceMembershipCheck::new(auth, store.clone()))
            .authorize_app(AppAuthz::new(auth, AccessModes::new(auth, store.clone())))
            .mount_caller(CallerMount::new(auth, store.callers()))
            .forward_identity(forward)
            .layer(service_fn(|_| std::future::ready(Ok(Response::default()))))
    }
}

fn forward(mode: Mode, fields: &[Field]) -> IdentityForward {
    let upstream = Upstream::new("mcp", "https://mcp.example/mcp").unwrap();
    let options = ForwardOptions::new(upstream, mode).set(&ForwardSet::separate());
    IdentityForward::new(options.fields(fields.iter().copied()).build().unwrap())
}

/// What `service` takes for one request, its answer's status, and whether it waited.
fn taken(
    service: &mut impl Service<Request, Response = Forwarded, Error = Infallible>,
    request: Request,
) -> (u64, u16) {
    let before = TAKEN.with(Cell::get);
    let mut future = std::pin::pin!(service.call(request));
    let mut waiting = std::task::Context::from_waker(std::task::Waker::noop());
    let answer = future.as_mut().poll(&mut waiting);
    let taken = TAKEN.with(Cell::get) - before;
    match answer {
        std::task::Poll::Ready(Ok(response)) => (taken, response.status().as_u16()),
        std::task::Poll::Ready(Err(never)) => match never {},
        std::task::Poll::Pending => panic!("a warm pass waits for nothing"),
    }
}

#[tokio::test(flavor = "current_thread")]
async fn budgets_hold() {
    let house = House::new().await;
    let good = house.token.clone();
    let (mut changed, unknown) = (good.clone(), format!("nix_{}", &good[4..]));
    let last = if changed.pop() == Some('0') { '1' } else { '0' };
    changed.push(last);
    let off = || forward(Mode::Off, &[]);
    let (always, denied) = (Fields::Always, Fields::OnDenied);
    let (bare, some) = (&[][..], &[Field::Type, Field::Workspace, Field::Role, Field::App][..]);
    let headers = |fields| forward(Mode::Headers, fields);
    for (name, figure, fields, forward, token, status, budget) in [
        ("ST7 warm", "warm_allocations", denied, off(), &good, 200, 4),
        ("ST7 fields Always", "warm_always_allocations", always, off(), &good, 200, 8),
        ("ST7 headers, id", "forward_1_allocations", denied, headers(bare), &good, 200, 4 + 1),
        ("ST7 headers, 5", "forward_5_allocations", denied, headers(some), &good, 200, 4 + 5),
        ("ST7 junk prefix", "junk_prefix_allocations", denied, off(), &unknown, 401, 12),
        ("ST7 junk checksum", "junk_checksum_allocations", denied, off(), &changed, 401, 12),
    ] {
        let mut stack = house.stack(fields, forward);
        for _ in 0..4 {
            let warmed = stack.call(house.request(token)).await.unwrap();
            assert_eq!(warmed.status(), status, "{name}");
        }
        // the cache keeps house now and then: what one request takes is the least of several
        let runs: Vec<_> = (0..16).map(|_| taken(&mut stack, house.request(token))).collect();
        let (took, got) = *runs.iter().min().unwrap();
        println!("{figure} {took} {budget}");
        assert_eq!(got, status, "{name}");
        assert!(took <= budget, "{name}: {took} of {budget}, {runs:?}");
    }
}
