//! A layer that runs without one it needs answers 500, says so once, and never passes and never blames the caller.

#![expect(clippy::unwrap_used, reason = "a test may stop at what cannot be")]

#[path = "support/log.rs"]
mod log;
mod support;

use std::sync::{Arc, Mutex};

use support::scripted::{Counting, Scripted};
use support::world::{World, account, get, read, token};
use tower::{Layer, ServiceBuilder, ServiceExt, util::BoxCloneService};
use tower_bearer::stack::{
    AccessModes, AppAuthz, AppResolver, BearerCheck, CallerMount, Finder, RenderRejections,
    ScopeCheck, WorkspaceMembershipCheck,
};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::SubscriberExt;

type Service = BoxCloneService<
    http::Request<http_body_util::Full<bytes::Bytes>>,
    http::Response<http_body_util::Full<bytes::Bytes>>,
    std::convert::Infallible,
>;

/// Keeps the text of every error line.
#[derive(Clone, Default)]
struct Errors(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!("{}={value:?} ", field.name()));
    }
}

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Errors {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        if *event.metadata().level() == tracing::Level::ERROR
            && event.metadata().target() != "tower_bearer::audit"
        {
            let mut line = Line(String::new());
            event.record(&mut line);
            self.0.lock().unwrap().push(line.0);
        }
    }
}

#[tokio::test]
async fn wrong_orders_answer_500_and_tell_once() {
    log::listen();
    let world = World::new();
    let (auth, store) = (&world.auth, &world.store);
    let text = token("tst_", 1);
    world.token(&text, account("acc-1"), "full");
    world.app("app-1", "ws-1", "public");
    world.member("acc-1", "ws-1");
    let bearer = || BearerCheck::new(auth);
    let scope = || ScopeCheck::all(["apps:run"]).unwrap();
    let app = || AppResolver::new(auth, store.clone(), Finder::path("/apps/{app}").unwrap());
    let member = || WorkspaceMembershipCheck::new(auth, store.clone());
    let access = || AppAuthz::new(auth, AccessModes::new(auth, store.clone()));
    let caller = || CallerMount::new(auth, store.clone());
    let inner = Counting::default();
    let render = || ServiceBuilder::new().layer(RenderRejections::new());
    let wrap = |service: Service| service;
    for (row, missing, service) in [
        (
            "P881 scope alone",
            "BearerCheck",
            wrap(BoxCloneService::new(render().layer(scope()).service(inner.clone()))),
        ),
        (
            "P811 app alone",
            "BearerCheck",
            BoxCloneService::new(render().layer(app()).service(inner.clone())),
        ),
        (
            "P811 membership alone",
            "BearerCheck",
            BoxCloneService::new(render().layer(member()).service(inner.clone())),
        ),
        (
            "P811 membership without app",
            "AppResolver",
            BoxCloneService::new(render().layer(bearer()).layer(member()).service(inner.clone())),
        ),
        (
            "P811 access without app",
            "AppResolver",
            BoxCloneService::new(render().layer(bearer()).layer(access()).service(inner.clone())),
        ),
        (
            "P811 access without membership",
            "WorkspaceMembershipCheck",
            BoxCloneService::new(
                render().layer(bearer()).layer(app()).layer(access()).service(inner.clone()),
            ),
        ),
        (
            "P811 caller alone",
            "BearerCheck",
            BoxCloneService::new(render().layer(caller()).service(inner.clone())),
        ),
        (
            "P811 bearer inside scope",
            "BearerCheck",
            BoxCloneService::new(render().layer(scope()).layer(bearer()).service(inner.clone())),
        ),
        (
            "P811 a second app after membership voids it",
            "WorkspaceMembershipCheck",
            BoxCloneService::new(
                render()
                    .layer(bearer())
                    .layer(app())
                    .layer(member())
                    .layer(app())
                    .layer(access())
                    .service(inner.clone()),
            ),
        ),
    ] {
        let errors = Errors::default();
        let subscriber = tracing_subscriber::registry().with(errors.clone());
        let guard = tracing::subscriber::set_default(subscriber);
        for _ in 0..100 {
            let response = service.clone().oneshot(get("/apps/app-1", Some(&text))).await.unwrap();
            assert!(response.headers().get("www-authenticate").is_none(), "{row}");
            let (status, error, _) = read(response).await;
            assert_eq!((status, error.as_str()), (500, "internal_error"), "{row}");
        }
        drop(guard);
        let lines = errors.0.lock().unwrap().clone();
        assert_eq!(lines.len(), 1, "{row}: one line for 100 requests: {lines:?}");
        assert!(lines[0].contains(&format!("left_by=\"{missing}\"")), "{row}: {}", lines[0]);
    }
    assert_eq!(inner.calls(), 0, "XR22 never a pass");
}

#[tokio::test]
async fn headers_cannot_stand_in_for_a_step() {
    log::listen();
    let world = World::new();
    let service =
        ServiceBuilder::new().layer(ScopeCheck::all(["a"]).unwrap()).service(Counting::default());
    for name in
        ["x-evidence", "authcontext", "x-authenticated", "x-forwarded-user-id", "x-tower-bearer"]
    {
        let mut request = get("/", None);
        request.headers_mut().insert(
            http::HeaderName::from_static(name),
            http::HeaderValue::from_static("AUTHENTICATED"),
        );
        assert_eq!(service.clone().oneshot(request).await.unwrap().status(), 500, "XR5 F49 {name}");
    }
    drop(world);
}

#[tokio::test]
async fn checks_that_check_nothing_do_not_build() {
    log::listen();
    let world = World::new();
    assert!(ScopeCheck::all(Vec::<String>::new()).is_err(), "P815 P831");
    assert!(ScopeCheck::any(Vec::<String>::new()).is_err(), "P815 P831");
    assert!(ScopeCheck::all(["a b"]).is_err(), "P308");
    let _ = (world.auth, Scripted::default(), RenderRejections::new().layer(Counting::default()));
}
