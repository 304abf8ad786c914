//! What it costs to tell an upstream who calls: all eight layers in each mode, warm, beside the same eight with forwarding off.
//!
//! `cargo bench --features signed --bench forward`; `tests/figures forwarding` makes figures of its ratios.

#![expect(
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench stops at a wrong answer, and prints"
)]
#![expect(clippy::disallowed_methods, reason = "a bench reads real time")]

#[path = "../bearer/beside.rs"]
mod beside;
#[path = "../shared/layers.rs"]
mod layers;
#[path = "../shared/timing.rs"]
mod timing;
#[path = "../shared/world.rs"]
mod world;

use bytes::Bytes;
use criterion::Criterion;
use http_body_util::Full;
use std::convert::Infallible;
use std::time::Duration;
use tokio::runtime::Runtime;
use tower::{Layer, Service};
use tower_bearer::Secret;
use tower_bearer::forward::{
    AssertionKey, Assertions, Exchange, ForwardOptions, IdpToken, KeyRing, Mode, Signing,
    SigningKey, SubjectFrom, Upstream, UserOidc,
};
use tower_bearer::stack::{BearerStack, IdentityForward, McpMetaForward};
use tower_bearer::store::{
    IdentityIssuer, IssueAnswer, IssueRequest, MemoryLinks, OidcProvider, RefreshAnswer, UserLink,
};
use tower_bearer::subject::Subject;

use beside::beside;
use layers::Layers;
use timing::{ready, round};
use world::{Inner, TOKEN, World};

type Request = http::Request<Full<Bytes>>;

/// Mints at once; a day is longer than any bench.
struct Mint;

impl IdentityIssuer for Mint {
    type Error = Infallible;

    async fn issue(&self, request: IssueRequest) -> Result<IssueAnswer, Infallible> {
        let expires_at = request.now.saturating_add(Duration::from_secs(86_400));
        Ok(IssueAnswer::Token { secret: Secret::new("x".repeat(600)), expires_at })
    }
}

/// Is never asked: the link has no end.
struct Provider;

impl OidcProvider for Provider {
    type Error = Infallible;

    async fn refresh(&self, _refresh_token: Secret) -> Result<RefreshAnswer, Infallible> {
        Ok(RefreshAnswer::Gone)
    }
}

fn upstream() -> Upstream {
    Upstream::new("main", "https://mcp.example.com/").expect("an upstream")
}

fn forward(options: ForwardOptions) -> IdentityForward {
    IdentityForward::new(options.build().expect("options"))
}

fn request(body: &Bytes) -> Request {
    let (mut head, _) = world::request(&format!("Bearer {TOKEN}")).into_parts();
    head.headers.insert("content-length", body.len().into());
    http::Request::from_parts(head, Full::new(body.clone()))
}

/// The service, once it answers without waiting.
fn warmed<S, R>(runtime: &Runtime, mut service: S, body: &Bytes) -> S
where
    S: Service<Request, Response = http::Response<R>, Error = Infallible>,
{
    for _ in 0..3 {
        let Ok(answer) = runtime.block_on(service.call(request(body)));
        assert_eq!(answer.status(), 200);
    }
    service
}

fn bench(c: &mut Criterion) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let world = World::new();
    let all = Layers::new(&world);
    let with = |forward| Layers { forward, ..all.clone() }.around(Inner);
    let empty = Bytes::new();
    let kib = Bytes::from(vec![b'x'; 1024]);

    let ring = || {
        let key = SigningKey::hmac_sha256("k1", b"0123456789abcdef0123456789abcdef");
        KeyRing::new([key.expect("a key")]).expect("a ring")
    };
    let key = AssertionKey::new(
        SigningKey::ed25519("k2", b"fedcba9876543210fedcba9876543210").expect("a key"),
    );
    let assertions = Assertions::new("https://gw.example.com", key.expect("no HMAC key"));
    let link = UserLink::new("y".repeat(600).as_str());
    let links = MemoryLinks::new();
    let member = Subject::Account {
        id: tower_bearer::id::AccountId::new("acc-member").expect("well formed"),
    };
    links.put(&member.key(), "idp", link);
    let user = UserOidc::new(&world.auth, "idp", links, Provider).dangerously_any_audience();
    let exchange = Exchange::new(&world.auth, Mint)
        .subject_token(SubjectFrom::presented("urn:ietf:params:oauth:token-type:access_token"));
    let mut off = warmed(&runtime, with(all.forward.clone()), &empty);
    for (name, body, options) in [
        ("headers", &empty, ForwardOptions::new(upstream(), Mode::Headers)),
        (
            "signed",
            &empty,
            ForwardOptions::signed_headers(upstream(), Signing::new(ring()).without_body()),
        ),
        ("signed_kib", &kib, ForwardOptions::signed_headers(upstream(), Signing::new(ring()))),
        (
            "assertion",
            &empty,
            ForwardOptions::assertion(upstream(), assertions.expect("an issuer")),
        ),
        (
            "cached_token",
            &empty,
            ForwardOptions::idp_token(upstream(), IdpToken::new(&world.auth, Mint)),
        ),
        ("cached_exchange", &empty, ForwardOptions::exchange(upstream(), exchange)),
        ("cached_link", &empty, ForwardOptions::user_oidc(upstream(), user)),
    ] {
        let mut ours = warmed(&runtime, with(forward(options)), body);
        let _guard = runtime.enter();
        let plain = || round(|| request(body), |request| ready(off.call(request)));
        beside(c, ("forward", name), ("off", plain), || {
            round(|| request(body), |request| ready(ours.call(request)))
        });
    }

    for (name, kib) in [("meta_1_kib", 1), ("meta_16_kib", 16), ("meta_64_kib", 64)] {
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"add","arguments":{{"text":"{}"}}}}}}"#,
            "x".repeat(kib * 1024 - 100)
        );
        let body = Bytes::from(text);
        let parts = all.clone();
        let stack = BearerStack::new(parts.bearer)
            .rate_limit(parts.limit)
            .require(parts.scopes)
            .resolve_app(parts.app)
            .require_membership(parts.members)
            .authorize_app(parts.access)
            .mount_caller(parts.caller)
            .mcp_meta(McpMetaForward::new("com.example/caller").expect("a key"))
            .forward_identity(parts.forward);
        let mut ours = warmed(&runtime, stack.layer(Inner), &body);
        let _guard = runtime.enter();
        let plain = || round(|| request(&body), |request| ready(off.call(request)));
        beside(c, ("forward", name), ("off", plain), || {
            round(|| request(&body), |request| ready(ours.call(request)))
        });
    }
}

criterion::criterion_group!(benches, bench);
criterion::criterion_main!(benches);
