//! No secret of a request or a store comes out anywhere: not in answers, logs, events, panics or printed values.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test may stop at what cannot be")]

#[path = "support/at_hand.rs"]
mod at_hand;
#[path = "support/leaks.rs"]
mod support;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderName;
use http::header::{AUTHORIZATION, HeaderValue};
use http_body_util::{BodyExt, Full};
use support::{CANARY, Leaky, Mood, Part, Watch};
use tower::util::BoxCloneService;
use tower::{Layer, Service as _, ServiceBuilder, ServiceExt};
use tower_bearer::clock::{Clock, ManualClock};
use tower_bearer::forward::{Field, ForwardOptions, Identity, Mode, Upstream};
use tower_bearer::id::{AccountId, AppId, Email, ExternalId, Issuer as Idp, TokenId, WorkspaceId};
use tower_bearer::issuing::{Issuer, MintRequest};
use tower_bearer::limit::{Limit, Limiter, Outage, PeerAddr, Policy};
use tower_bearer::rejection::Rejection;
use tower_bearer::stack::{
    AccessModes, AppAuthz, AppPolicy, AppResolver, BearerCheck, BearerStack, CallerMount, Decision,
    FailureLimit, Finder, IdentityForward, RateLimit, RenderRejections, ScopeCheck, StripIdentity,
    TenantLimit, WorkspaceMembershipCheck,
};
use tower_bearer::store::{
    AccessMode, AccountStatus, AppRecord, Membership, MemoryStore, MountRequest, RevokeReason,
    RevokeTarget, TokenRecord, TokenStore, WorkspaceStatus,
};
use tower_bearer::subject::{Subject, SubjectType};
use tower_bearer::token::{Digest, TokenKind, TokenKinds};
use tower_bearer::{AuthContext, Authenticator};

type Request = http::Request<Full<Bytes>>;
type Response = http::Response<Full<Bytes>>;
type Service = BoxCloneService<Request, Response, Infallible>;

#[tokio::test(start_paused = true)]
async fn no_secret_comes_out() {
    let watch = Watch::default();
    tracing::subscriber::set_global_default(watch.clone()).unwrap();
    watch.panics();
    let house = House::new(&watch).await;
    let mut statuses = BTreeSet::new();
    for (name, service) in house.services() {
        house.every_request(name, &service, &mut statuses).await;
    }
    let want = [200, 400, 401, 403, 404, 429, 500, 503];
    assert!(want.iter().all(|status| statuses.contains(status)), "{statuses:?}");
    house.without_a_request().await;
    house.what_can_be_printed().await;
    house.what_cannot_be_built();
    let hits = watch.hits();
    for hit in &hits {
        println!("hit: {hit}");
    }
    println!("looked at {} places", watch.places());
    println!("canary hits {}", hits.len());
    assert!(watch.places() > 3_000, "the harness looked at {} places", watch.places());
    assert!(hits.is_empty(), "XT14, XK1, XK4, XK7, XR40, P105: {} hits", hits.len());
}

#[test]
fn the_harness_sees_what_leaks() {
    let watch = Watch::default();
    watch.keep_token_secret("tst_token");
    tracing::subscriber::with_default(watch.clone(), || {
        tracing::trace_span!("span", note = CANARY).in_scope(|| tracing::trace!("tst_token"));
        tracing::debug!(error = %support::TooMuch, "{:?}", Digest::of("tst_token"));
    });
    watch.look("a digest", &Digest::of("tst_token").to_hex());
    assert_eq!(watch.hits().len(), 4, "{:?}", watch.hits());
}

/// One workspace with its apps and people, and every secret of them a canary.
struct House {
    watch: Watch,
    store: Leaky,
    clock: ManualClock,
    auth: Authenticator,
    /// One header's token instead of `Authorization`'s.
    keyed: Authenticator,
}

const KEY: HeaderName = HeaderName::from_static("x-api-key");

fn text(prefix: &str, n: usize) -> String {
    format!("{prefix}{CANARY}{n:036}")
}

fn member() -> Subject {
    Subject::Account { id: AccountId::new("acc-member").unwrap() }
}

fn guest() -> Subject {
    Subject::External {
        issuer: Idp::new("https://idp.example").unwrap(),
        subject: ExternalId::new(format!("guest-{CANARY}")).unwrap(),
        email: Some(Email::new(format!("{CANARY}@mail.example")).unwrap()),
    }
}

fn kinds() -> TokenKinds {
    let account = TokenKind::new("account").prefix("tst_").subject(SubjectType::Account);
    let external = TokenKind::new("external").prefix("ext_").subject(SubjectType::External);
    let sealed = TokenKind::new("sealed").prefix("sum_").subject(SubjectType::Account);
    TokenKinds::builder()
        .kind(account.narrowed(["apps:run", "apps:read", "full"]).umbrella("full"))
        .kind(external.fixed(["apps:run"]))
        .kind(sealed.fixed(["apps:run"]).checksum())
        .build()
        .unwrap()
}

impl House {
    async fn new(watch: &Watch) -> Self {
        let (rows, clock) = (MemoryStore::new(), ManualClock::new());
        let workspace = WorkspaceId::new("ws-north").unwrap();
        let id = AccountId::new("acc-member").unwrap();
        rows.put_account(id.clone(), AccountStatus::Active);
        rows.put_account(AccountId::new("acc-other").unwrap(), AccountStatus::Active);
        rows.put_workspace(workspace.clone(), WorkspaceStatus::Active);
        rows.put_member(&workspace, &id, "editor").unwrap();
        for (app, mode) in [("app-public", "public"), ("app-vault", "private")] {
            let mode = AccessMode::from_word(mode);
            rows.put_app(AppId::new(app).unwrap(), &workspace, mode).unwrap();
        }
        let store = Leaky::new(rows);
        let builder = || {
            Authenticator::builder(kinds(), store.clone())
                .ledger(store.clone())
                .clock(clock.clone())
                .audit(watch.clone())
                .positive_ttl(Duration::from_secs(1))
                .fact_ttl(Duration::from_secs(1))
                .negative_ttl(Duration::from_secs(1))
                .audit_allowed_sample(1.0)
                .audit_denied_per_second(1_000_000)
        };
        let auth = builder().build().unwrap();
        let keyed = builder().credential_header(KEY).build().unwrap();
        let house = Self { watch: watch.clone(), store: store.clone(), clock, auth, keyed };
        let other = Subject::Account { id: AccountId::new("acc-other").unwrap() };
        for (text, kind, subject, scopes) in [
            (text("tst_", 1), "account", member(), "full"),
            (text("tst_", 2), "account", member(), "apps:read"),
            (text("tst_", 3), "account", other, "full"),
            (text("tst_", 4), "account", member(), "full"),
            (text("ext_", 5), "external", guest(), "apps:run"),
        ] {
            house.watch.keep_token_secret(&text);
            let request = MintRequest::new(kind, subject, "cli", &text[text.len() - 4..])
                .scopes([scopes])
                .ttl(Duration::from_secs(86_400));
            let issuer = Issuer::new(&house.auth).unwrap();
            let issued = issuer.adopt(&text, &request).await.unwrap();
            house.watch.look_at("an issued token", &issued);
        }
        house
    }

    /// The whole stack, its layers one by one, and some out of order.
    fn services(&self) -> Vec<(&'static str, Service)> {
        let (auth, store) = (&self.auth, &self.store);
        let watch = self.watch.clone();
        let behind = move |credential| Behind { watch: watch.clone(), credential };
        let inner = behind(AUTHORIZATION);
        let limit = |count| Limit::per_minute(NonZeroU32::new(count).unwrap()).unwrap();
        let limiter = |count| {
            let policies = [Policy::per_token(limit(count)), Policy::per_subject(limit(count))];
            policies.into_iter().fold(Limiter::builder(), |builder, policy| builder.policy(policy))
        };
        let forward = |mode| {
            let upstream = Upstream::new("mcp", "https://mcp.example/mcp").unwrap();
            let options = ForwardOptions::new(upstream, mode);
            let options = options.fields([Field::Type, Field::Workspace, Field::Role, Field::App]);
            IdentityForward::new(options.build().unwrap())
        };
        let apps = || AppResolver::new(auth, store.clone(), Finder::path("/apps/{app}").unwrap());
        let members = || WorkspaceMembershipCheck::new(auth, store.clone()).exempt_external();
        let modes =
            || AppAuthz::new(auth, AccessModes::new(auth, store.clone())).and(Odd(store.clone()));
        let tenant = Limiter::builder().policy(Policy::per_workspace(limit(1_000)));
        let whole = |mode, limiter: &Limiter| {
            BearerStack::new(BearerCheck::new(auth))
                .rate_limit(limiter)
                .require_scopes(["apps:run"])
                .unwrap()
                .resolve_app(apps())
                .require_membership_or_external(members())
                .authorize_app(modes())
                .mount_caller(CallerMount::new(auth, store.clone()))
                .forward_identity(forward(mode))
        };
        let foreign =
            limiter(1_000).store(store.clone()).on_outage(Outage::Closed).build().unwrap();
        let few = limiter(2).build().unwrap();
        let free = ServiceBuilder::new()
            .layer(RenderRejections::new())
            .layer(StripIdentity::new())
            .layer(FailureLimit::with_defaults(auth))
            .layer(BearerCheck::new(auth).accept(["account", "sealed"]).unwrap())
            .layer(RateLimit::new(foreign.clone()))
            .layer(ScopeCheck::any(["apps:run", "apps:read"]).unwrap())
            .layer(apps())
            .layer(WorkspaceMembershipCheck::new(auth, store.clone()).reveal())
            .layer(modes())
            .layer(TenantLimit::new(tenant.build().unwrap()))
            .layer(CallerMount::new(auth, store.clone()))
            .layer(forward(Mode::Headers))
            .service(inner.clone());
        let keyed = BearerStack::new(BearerCheck::new(&self.keyed).optional());
        let modes_of = |mode, limiter| whole(mode, limiter).layer(inner.clone());
        vec![
            ("whole", at_hand::boxed(modes_of(Mode::Off, &foreign))),
            ("headers", at_hand::boxed(modes_of(Mode::Headers, &foreign))),
            ("few", at_hand::boxed(modes_of(Mode::Off, &few))),
            ("free", at_hand::boxed(free)),
            ("keyed", BoxCloneService::new(keyed.layer(behind(KEY)))),
            (
                "misordered",
                BoxCloneService::new(ServiceExt::<Request>::map_response(
                    apps().layer(inner.clone()),
                    |it| it,
                )),
            ),
            ("alone", BoxCloneService::new(BearerCheck::new(auth).layer(inner))),
        ]
    }

    /// Each credential, to each path, in each mood of each store.
    async fn every_request(&self, name: &str, service: &Service, statuses: &mut BTreeSet<u16>) {
        let moods = [Mood::Answer, Mood::Fail, Mood::Panic, Mood::Hang];
        let parts =
            [Part::Tokens, Part::Apps, Part::Members, Part::Callers, Part::Windows, Part::Policy];
        for (part, mood) in parts.into_iter().flat_map(|part| moods.map(|mood| (part, mood))) {
            if part != Part::Tokens && mood == Mood::Answer {
                continue;
            }
            self.store.set(part, mood);
            for (path, lines) in requests() {
                self.clock.advance(Duration::from_secs(2)); // all facts have ended, no breaker is open
                let mut request = Request::default();
                *request.uri_mut() = path.parse().unwrap();
                let peer: std::net::SocketAddr = "192.0.2.7:1".parse().unwrap();
                request.extensions_mut().insert(PeerAddr(peer));
                for (name, value) in lines {
                    request.headers_mut().append(name, HeaderValue::from_bytes(&value).unwrap());
                }
                let place = format!("{name} {path} {part:?} {mood:?}");
                let mut service = service.clone();
                let call = service.ready().await.unwrap().call(request);
                let response = match caught(call).await {
                    Some(response) => response.unwrap(),
                    None => continue, // the policy's own panic reaches the service's catcher
                };
                statuses.insert(response.status().as_u16());
                self.look_at_answer(&place, response).await;
            }
        }
        self.store.set(Part::Tokens, Mood::Answer);
    }

    async fn look_at_answer(&self, place: &str, response: Response) {
        let (status, watch) = (response.status(), &self.watch);
        watch.look_at(place, response.headers());
        watch.look_at(place, response.extensions());
        for (name, value) in response.headers() {
            watch.look(format_args!("{place} {name}"), &String::from_utf8_lossy(value.as_bytes()));
        }
        if let Some(rejection) = response.extensions().get::<Rejection>() {
            watch.look_at_error(place, rejection);
        }
        if status.is_client_error() || status.is_server_error() {
            assert_eq!(response.headers()["cache-control"], "no-store", "XK4 {place}");
        }
        let body = response.into_body().collect().await.unwrap().to_bytes();
        watch.look(place, &String::from_utf8_lossy(&body));
    }

    /// Everything that an authenticator and an issuer do by hand.
    async fn without_a_request(&self) {
        let (watch, auth) = (&self.watch, &self.auth);
        for mood in [Mood::Fail, Mood::Panic, Mood::Hang, Mood::Answer] {
            self.clock.advance(Duration::from_secs(2));
            self.store.set(Part::Tokens, mood);
            for text in
                [text("tst_", 4), text("tst_", 99), text("nix_", 1), format!("tst_{CANARY}\"")]
            {
                auth.forget_all();
                match auth.authenticate(&text).await {
                    Ok(context) => {
                        watch.look_at("a context", &context);
                        match auth.recheck(&context).await {
                            Ok(context) => watch.look_at("a context again", &context),
                            Err(rejection) => watch.look_at_error("a recheck", &rejection),
                        }
                    }
                    Err(rejection) => watch.look_at_error("an authentication", &rejection),
                }
            }
        }
        let context = auth.authenticate(&text("tst_", 4)).await.unwrap();
        self.store.set(Part::Apps, Mood::Fail);
        let ws = WorkspaceId::new("ws-north").unwrap();
        let app = AppRecord::new(AppId::new("app-vault").unwrap(), ws, AccessMode::Private);
        let modes = AccessModes::new(auth, self.store.clone());
        watch.look_at_error("a policy", &modes.decide(&context, &app, None).await.unwrap_err());
        for mood in [Mood::Fail, Mood::Panic, Mood::Hang, Mood::Answer] {
            self.store.set(Part::Ledger, mood);
            let request = |label: &str| MintRequest::new("account", member(), "cli", label);
            let issuer = Issuer::new(auth).unwrap();
            match issuer.mint(&request("new").scopes(["apps:read"])).await {
                Ok(issued) => {
                    watch.keep_token_secret(issued.token().expose());
                    watch.look_at("an issued token", &issued);
                    watch.look_at("its text", issued.token());
                }
                Err(error) => watch.look_at_error("a mint", &error),
            }
            for (kind, text) in [
                ("account", format!("tst_{CANARY}")),
                ("external", text("tst_", 7)),
                ("account", text("tst_", 8)),
            ] {
                let asked = MintRequest::new(
                    kind,
                    if kind == "account" { member() } else { guest() },
                    "cli",
                    "seed",
                );
                watch.look_at("a request to mint", &asked);
                if let Err(error) = issuer.adopt(&text, &asked.scopes(["apps:run"])).await {
                    watch.look_at_error("an adoption", &error);
                }
            }
            let target = RevokeTarget::Digest(Digest::of(&text("tst_", 8)));
            watch.look_at("a target", &target);
            match auth.revoke_token(target, RevokeReason::Myself).await {
                Ok(revocation) => watch.look_at("a revocation", &revocation),
                Err(error) => watch.look_at_error("a revocation", &error),
            }
            match auth.revoke_subject(&guest(), None).await {
                Ok(count) => watch.look_at("a subject's revocation", &count),
                Err(error) => watch.look_at_error("a subject's revocation", &error),
            }
            if let Err(error) = auth.cut_workspace(&WorkspaceId::new("ws-north").unwrap()).await {
                watch.look_at_error("a cut", &error);
            }
            match auth.revoke_presented(&context).await {
                Ok(revocation) => watch.look_at("a revocation by its bearer", &revocation),
                Err(error) => watch.look_at_error("a revocation by its bearer", &error),
            }
        }
        self.clock.advance(Duration::from_secs(90_000));
        assert!(auth.authenticate(&text("tst_", 1)).await.is_err());
        tokio::time::sleep(Duration::from_secs(3)).await; // expired rows are ended in the background
    }

    /// `Debug` of all that a token, an e-mail or a subject goes into.
    async fn what_can_be_printed(&self) {
        let (watch, auth, store) = (&self.watch, &self.auth, &self.store.rows);
        let token = text("tst_", 1);
        let digest = Digest::of(&token);
        let ends = self.clock.now().wall().saturating_add(Duration::from_secs(60));
        let id = TokenId::new("tok-1").unwrap();
        let record = TokenRecord::new(id.clone(), "external", guest(), ends);
        let request = MountRequest::new(guest());
        let (workspace, app) = (WorkspaceId::new("ws-north"), AppId::new("app-public"));
        let request = request.with_app(workspace.unwrap(), app.unwrap());
        macro_rules! print {
            ($($value:expr),* $(,)?) => {$( watch.look_at(stringify!($value), &$value); )*};
        }
        print!(
            digest,
            digest.fingerprint(),
            record,
            request,
            guest(),
            guest().key(),
            auth,
            auth.kinds(),
            Authenticator::builder(kinds(), store.clone()),
            kinds().classify(&token),
            kinds().classify(&format!("nix_{token}")),
            store,
            store.callers(),
            store.find(&digest).await.unwrap(),
            tower_bearer::store::CallerSource::mount(&store.callers(), &request).await.unwrap(),
            RevokeTarget::Id { id, owner: Some(guest()) },
            BearerCheck::new(auth),
            BearerStack::new(BearerCheck::new(auth)),
            RenderRejections::new(),
            StripIdentity::new(),
            BearerStack::new(BearerCheck::new(auth)).layer(()),
            FailureLimit::with_defaults(auth),
            AppResolver::new(auth, store.clone(), Finder::path("/apps/{app}").unwrap()),
            WorkspaceMembershipCheck::new(auth, store.clone()),
            self.clock,
            AppAuthz::new(auth, AccessModes::new(auth, store.clone())),
            Issuer::new(auth).unwrap(),
            CallerMount::new(auth, store.callers()),
            AccessModes::new(auth, store.clone()),
            Identity::external("https://idp.example", CANARY).with_email(CANARY),
        );
    }

    /// Errors of constructors that were given a secret by mistake.
    fn what_cannot_be_built(&self) {
        let watch = &self.watch;
        let token = format!("{} {CANARY}", text("tst_", 1));
        let key = HeaderValue::from_static(CANARY);
        let long = token.repeat(200);
        macro_rules! fails {
            ($($value:expr),* $(,)?) => {$(
                watch.look_at_error(stringify!($value), &$value.err().expect(stringify!($value)));
            )*};
        }
        fails!(
            TokenId::new(&token),
            AccountId::new(&token),
            AppId::new(&token),
            WorkspaceId::new(&token),
            Idp::new(&long),
            ExternalId::new(&long),
            Email::new(&long),
            tower_bearer::token::TokenLabel::new(format!("{token}{token}{token}\u{7}")),
            Upstream::new("mcp", &format!("https://user:{CANARY}@mcp.example/")),
            Upstream::new("mcp", &format!("ftp://mcp.example/{token}")),
            Upstream::new("mcp", "https://mcp.example")
                .unwrap()
                .with_static_header("connection", key.clone()),
        );
        watch.look_at(
            "an upstream's own key",
            &Upstream::new("mcp", "https://mcp.example")
                .unwrap()
                .with_static_header("x-key", key)
                .unwrap(),
        );
    }
}

/// Denies in its own words, or has the mood of its store.
struct Odd(Leaky);

impl AppPolicy for Odd {
    type Error = support::TooMuch;

    async fn decide(
        &self,
        _: &AuthContext,
        _: &AppRecord,
        _: Option<&Membership>,
    ) -> Result<Decision, support::TooMuch> {
        self.0.mood_of(Part::Policy).await?;
        Ok(Decision::Allow)
    }
}

/// What clients send: each credential there is, and canaries in fields that nobody asked for.
fn requests() -> Vec<(String, Vec<(HeaderName, Vec<u8>)>)> {
    let bearer = |token: String| vec![(AUTHORIZATION, format!("Bearer {token}").into_bytes())];
    let line = |text: String| vec![(AUTHORIZATION, text.into_bytes())];
    let app = |id: &str| format!("/apps/{id}");
    let mut high = format!("Bearer tst_{CANARY}").into_bytes();
    high.push(0xFF);
    let (good, other) = (text("tst_", 1), text("tst_", 2));
    let checksum = format!("sum_{CANARY}{:042}", 7);
    let mut requests = vec![
        (app("app-public"), bearer(good.clone())),
        (app("app-public"), bearer(other.clone())),
        (app("app-public"), bearer(text("tst_", 3))),
        (app("app-vault"), bearer(good.clone())),
        (app("app-vault"), bearer(text("ext_", 5))),
        (app("app-public"), bearer(text("ext_", 5))),
        (app(CANARY), bearer(good.clone())),
        (format!("/apps/%43aNaRy0%22?{CANARY}='{CANARY}'"), bearer(good.clone())),
        (format!("/{CANARY}"), bearer(good.clone())),
        (app("app-public"), Vec::new()),
        (app("app-public"), [bearer(good.clone()), bearer(other.clone())].concat()),
        (app("app-public"), [bearer(good.clone()), vec![(KEY, other.into_bytes())]].concat()),
        (app("app-public"), vec![(KEY, good.clone().into_bytes())]),
        (app("app-public"), vec![(AUTHORIZATION, high)]),
    ];
    for token in [
        text("tst_", 77),
        text("nix_", 1),
        format!("tst_{CANARY}"),
        checksum,
        format!("{}\"", text("tst_", 1)),
        format!("{}, Bearer {CANARY}", text("tst_", 1)),
        format!("{CANARY}{}", "x".repeat(5_000)),
    ] {
        requests.push((app("app-public"), bearer(token)));
    }
    for text in [format!("Basic {CANARY}"), format!("{CANARY} {good}"), format!("Bearer={good}")] {
        requests.push((app("app-public"), line(text)));
    }
    for (_, lines) in &mut requests {
        for name in ["cookie", "proxy-authorization", "user-agent", "x-forwarded-user-id", "origin"]
        {
            // the service behind the stack would see them in its own request: only what is stripped stays in the table
            if name.starts_with("x-forwarded") || lines.is_empty() {
                lines.push((HeaderName::from_static(name), CANARY.into()));
            }
        }
    }
    requests
}

/// The answer, or `None` after a panic.
async fn caught<F>(call: F) -> Option<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    tokio::spawn(call).await.ok()
}

/// The service behind, whatever body it is given.
#[derive(Clone)]
struct Behind {
    watch: Watch,
    credential: HeaderName,
}

impl<B> tower::Service<http::Request<B>> for Behind {
    type Response = http::Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        self.watch.look_at("a credential behind", &request.headers().get(&self.credential));
        self.watch.look_at("a context behind", &AuthContext::of(request.extensions()));
        std::future::ready(Ok(Response::new("ok".into())))
    }
}
