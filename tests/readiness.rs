//! The tower contract: the service that was polled ready is the one that is called, and a refused one is freed.

#![expect(clippy::unwrap_used, reason = "a test may stop at what cannot be")]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http_body_util::Full;
use support::probe::{Gone, Probe};
use support::scripted::Mood;
use support::world::{World, account, get, token};
use tower::limit::ConcurrencyLimitLayer;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_bearer::stack::{
    AccessModes, AppAuthz, AppResolver, BearerCheck, BearerStack, CallerMount, Finder,
    RenderRejections, ScopeCheck, WorkspaceMembershipCheck,
};

type Request = http::Request<Full<Bytes>>;
type Response = http::Response<Full<Bytes>>;

/// A world in which token 1 may do everything on `/apps/app-1`.
fn world() -> (World, String) {
    let world = World::new();
    let text = token("tst_", 1);
    world.token(&text, account("acc-1"), "full");
    world.app("app-1", "ws-1", "private");
    world.member("acc-1", "ws-1");
    let account = tower_bearer::id::AccountId::new("acc-1").unwrap();
    world.store.permits.put((support::world::app("app-1"), account), ());
    (world, text)
}

/// Calls one service value again and again, by the rules: ready first, never a clone.
async fn drive<S>(mut service: S, requests: Vec<Request>, want: &[u16], row: &str)
where
    S: Service<Request, Response = Response, Error = Gone>,
{
    for (request, want) in requests.into_iter().zip(want) {
        let response = service.ready().await.unwrap().call(request).await.unwrap();
        assert_eq!(response.status(), *want, "{row}");
    }
}

macro_rules! layers {
    ($world:expr, $check:ident) => {{
        let (auth, store) = (&$world.auth, &$world.store);
        let resolver = AppResolver::new(auth, store.clone(), Finder::path("/apps/{app}").unwrap());
        let members = WorkspaceMembershipCheck::new(auth, store.clone());
        let access = AppAuthz::new(auth, AccessModes::new(auth, store.clone()));
        let caller = CallerMount::new(auth, store.clone());
        let free = ServiceBuilder::new().layer(BearerCheck::new(auth));
        $check!("BearerCheck", free.clone());
        $check!("ScopeCheck", free.clone().layer(ScopeCheck::all(["apps:run"]).unwrap()));
        $check!("AppResolver", free.clone().layer(resolver.clone()));
        $check!("membership", free.clone().layer(resolver.clone()).layer(members.clone()));
        $check!(
            "access",
            free.clone().layer(resolver.clone()).layer(members.clone()).layer(access.clone())
        );
        $check!("caller", free.clone().layer(caller.clone()));
        $check!(
            "RenderRejections",
            ServiceBuilder::new().layer(RenderRejections::new()).layer(BearerCheck::new(auth))
        );
        $check!(
            "BearerStack",
            BearerStack::new(BearerCheck::new(auth))
                .require_scopes(["apps:run"])
                .unwrap()
                .resolve_app(resolver.clone())
                .require_membership(members.clone())
                .authorize_app(access.clone())
                .mount_caller(caller.clone())
        );
    }};
}

#[tokio::test]
async fn a_ready_service_is_called_on_hit_load_and_refusal() {
    let (world, text) = world();
    for mood in [Mood::Answer, Mood::Pending(1), Mood::Pending(3)] {
        macro_rules! check {
            ($row:expr, $layer:expr) => {
                world.store.tokens.set(mood);
                world.store.apps.set(mood);
                world.store.members.set(mood);
                world.store.permits.set(mood);
                world.store.callers.set(mood);
                world.auth.forget_all();
                let probe = Probe::new();
                let counts = Arc::clone(&probe.counts);
                // the first asks, the second hits, the third is refused, the fourth hits
                let paths = [Some(text.as_str()), Some(text.as_str()), None, Some(text.as_str())];
                let requests = paths.map(|token| get("/apps/app-1", token)).into();
                drive(Layer::layer(&$layer, probe.clone()), requests, &[200, 200, 401, 200], $row)
                    .await;
                assert_eq!(
                    counts.calls.load(Ordering::SeqCst),
                    3,
                    "XJ8 XT11 {}: no inner call after a refusal",
                    $row
                );
                assert_eq!(counts.unready.load(Ordering::SeqCst), 0, "XJ8 {} called unready", $row);
                drop(probe);
                assert_eq!(
                    counts.alive.load(Ordering::SeqCst),
                    0,
                    "XR34 {}: every clone is gone",
                    $row
                );
            };
        }
        layers!(world, check);
    }
}

#[tokio::test]
async fn a_refusal_gives_back_the_permit_that_readiness_took() {
    let (world, text) = world();
    macro_rules! check {
        ($row:expr, $layer:expr) => {
            let limited = ConcurrencyLimitLayer::new(1).layer(Probe::new());
            let mut service = Layer::layer(&$layer, limited);
            let mut requests: Vec<Request> = (0..10).map(|_| get("/apps/app-1", None)).collect();
            requests.push(get("/apps/app-1", Some(&text)));
            for (at, request) in requests.into_iter().enumerate() {
                let ready =
                    tokio::time::timeout(std::time::Duration::from_secs(5), service.ready()).await;
                let response = ready
                    .expect("the permit was not given back")
                    .unwrap()
                    .call(request)
                    .await
                    .unwrap();
                assert_eq!(response.status(), if at < 10 { 401 } else { 200 }, "L866 {}", $row);
            }
        };
    }
    layers!(world, check);
}

#[tokio::test]
async fn buffered_and_shed_services_work_behind_every_layer() {
    let (world, text) = world();
    macro_rules! check {
        ($row:expr, $layer:expr) => {
            let buffered = ServiceBuilder::new().buffer(8).service(Probe::new());
            let service = Layer::layer(&$layer, buffered);
            for _ in 0..3 {
                let response =
                    service.clone().oneshot(get("/apps/app-1", Some(&text))).await.unwrap();
                assert_eq!(response.status(), 200, "XT11 buffer {}", $row);
            }
            let shed = ServiceBuilder::new().load_shed().service(Probe::new());
            let response =
                Layer::layer(&$layer, shed).oneshot(get("/apps/app-1", Some(&text))).await.unwrap();
            assert_eq!(response.status(), 200, "XT11 load shed {}", $row);
        };
    }
    layers!(world, check);
}

#[tokio::test]
async fn the_inner_error_comes_out_unchanged() {
    let (world, text) = world();
    macro_rules! check {
        ($row:expr, $layer:expr) => {
            let probe = Probe::new();
            probe.counts.broken.store(true, Ordering::SeqCst);
            let answer =
                Layer::layer(&$layer, probe).oneshot(get("/apps/app-1", Some(&text))).await;
            assert_eq!(answer.unwrap_err(), Gone, "SE3 {}", $row);
        };
    }
    layers!(world, check);
}
