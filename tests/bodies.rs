//! The stack works around axum, plain hyper over h1 and h2, and whatever body a service has.

#![expect(clippy::unwrap_used, reason = "a test may stop at what cannot be")]

mod support;

use std::convert::Infallible;

use axum::Router;
use axum::routing::{get as on_get, post};
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use support::world::{World, account, get, token};
use tower::{Layer, ServiceExt, service_fn};
use tower_bearer::stack::{
    AppResolver, BearerCheck, BearerStack, Finder, ScopeCheck, WorkspaceMembershipCheck,
};
use tower_bearer::{AuthContext, Evidence};

fn world() -> (World, String, String) {
    let world = World::new();
    let (full, reader) = (token("tst_", 1), token("tst_", 2));
    world.token(&full, account("acc-1"), "full");
    world.token(&reader, account("acc-1"), "apps:read");
    world.app("app-1", "ws-1", "public");
    world.member("acc-1", "ws-1");
    (world, full, reader)
}

async fn answer(router: &Router, path: &str, method: &str, token: Option<&str>) -> (u16, String) {
    let mut request = get(path, token).map(axum::body::Body::new);
    *request.method_mut() = method.parse().unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

async fn whoami(context: AuthContext) -> String {
    context.subject_key().unwrap().to_string()
}

async fn maybe(context: Option<AuthContext>) -> String {
    context.map_or_else(|| "nobody".into(), |context| context.subject_key().unwrap().to_string())
}

#[tokio::test]
async fn axum_router_layer_route_layer_nest_and_fallback() {
    let (world, full, reader) = world();
    let auth = &world.auth;
    let stack = BearerStack::new(BearerCheck::new(auth));
    let run = ScopeCheck::all(["apps:run"]).unwrap();
    let nested = Router::new().route("/apps/{app}", on_get(|| async { "app" })).layer(
        BearerStack::new(BearerCheck::new(auth))
            .resolve_app(AppResolver::new(
                auth,
                world.store.clone(),
                Finder::path("/apps/{app}").unwrap(),
            ))
            .require_membership(WorkspaceMembershipCheck::new(auth, world.store.clone())),
    );
    let lost_prefix = Router::new().route("/{app}", on_get(|| async { "app" })).layer(
        BearerStack::new(BearerCheck::new(auth)).resolve_app(AppResolver::new(
            auth,
            world.store.clone(),
            Finder::path("/apps/{app}").unwrap(),
        )),
    );
    let router = Router::new()
        .route("/me", on_get(whoami))
        .route("/run", post(|| async { "ran" }).route_layer(run.clone()))
        .route("/maybe", on_get(maybe))
        .nest("/v1", nested)
        .nest("/apps", lost_prefix)
        .fallback(|| async { (http::StatusCode::NOT_FOUND, "fallback") })
        .layer(stack)
        .route("/open", on_get(|| async { "open" }))
        .route("/bare", on_get(whoami));
    let full = Some(full.as_str());
    for (row, method, path, token, want, says) in [
        ("layer", "GET", "/me", full, 200, "account:acc-1"),
        ("layer, nobody", "GET", "/me", None, 401, r#""error":"missing_token""#),
        ("route_layer", "POST", "/run", full, 200, "ran"),
        (
            "route_layer refuses, the stack renders",
            "POST",
            "/run",
            Some(reader.as_str()),
            403,
            r#""required_scopes":["apps:run"]"#,
        ),
        ("XF11 405 is behind the stack", "GET", "/run", None, 401, "missing_token"),
        ("XF11 405 with a token", "GET", "/run", full, 405, ""),
        ("nest", "GET", "/v1/apps/app-1", full, 200, "app"),
        ("nest, unknown app", "GET", "/v1/apps/app-2", full, 404, r#""error":"not_found""#),
        (
            "XF10 a template with a lost prefix finds nothing",
            "GET",
            "/apps/app-1",
            full,
            404,
            r#""error":"not_found""#,
        ),
        ("XF11 fallback is behind the stack", "GET", "/nowhere", None, 401, "missing_token"),
        ("XF11 fallback with a token", "GET", "/nowhere", full, 404, "fallback"),
        ("P505 optional extractor", "GET", "/maybe", full, 200, "account:acc-1"),
        ("a route outside the stack is public", "GET", "/open", None, 200, "open"),
        ("P505 extractor without a stack", "GET", "/bare", full, 500, "internal_error"),
    ] {
        let (status, body) = answer(&router, path, method, token).await;
        assert_eq!(status, want, "{row}: {body}");
        assert!(body.contains(says), "{row}: {body}");
    }
    let head = answer(&router, "/me", "HEAD", None).await;
    assert_eq!(head, (401, String::new()), "P816 P936");
    for method in ["get", "PROPFIND", "TRACE", "CONNECT", "FOO", "OPTIONS"] {
        assert_eq!(answer(&router, "/me", method, None).await.0, 401, "XE7 P1101 {method}");
        assert_eq!(answer(&router, "/me", method, full).await.0, 405, "XE7 {method}");
    }
}

#[tokio::test]
async fn anonymous_extractors() {
    let (world, ..) = world();
    let router = Router::new()
        .route("/me", on_get(whoami))
        .route("/maybe", on_get(maybe))
        .layer(BearerStack::new(BearerCheck::new(&world.auth).optional()));
    assert_eq!(answer(&router, "/maybe", "GET", None).await, (200, "nobody".into()), "P505");
    let (status, body) = answer(&router, "/me", "GET", None).await;
    assert_eq!(status, 401, "P505");
    assert!(body.contains("missing_token"), "P505 {body}");
}

#[tokio::test]
async fn full_and_boxed_bodies() {
    let (world, full, _) = world();
    let check = || BearerStack::new(BearerCheck::new(&world.auth));
    let whole = check().layer(service_fn(|_: http::Request<Empty<Bytes>>| async {
        Ok::<_, Infallible>(http::Response::new(Full::<Bytes>::from("full")))
    }));
    let empty = |token: Option<&str>| get("/", token).map(|_| Empty::<Bytes>::new());
    let response = whole.clone().oneshot(empty(Some(&full))).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "full");
    let refused =
        whole.oneshot(empty(None)).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    assert!(refused.starts_with(b"{\"type\":"), "P931");

    // a boxed body is Default, not From<Bytes>
    let boxed =
        check().without_bodies().layer(service_fn(|_: http::Request<Empty<Bytes>>| async {
            let body: BoxBody<Bytes, Infallible> = Full::<Bytes>::from("boxed").boxed();
            Ok::<_, Infallible>(http::Response::new(body))
        }));
    let response = boxed.clone().oneshot(empty(Some(&full))).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "boxed");
    let refused = boxed.oneshot(empty(None)).await.unwrap();
    assert_eq!(refused.status(), 401);
    assert!(refused.into_body().collect().await.unwrap().to_bytes().is_empty(), "P939");
}

#[tokio::test]
async fn bodies_that_cannot_be_sent_to_another_thread() {
    // neither body nor response need be Send for the gate's sake
    let (world, full, _) = world();
    let service = BearerStack::new(BearerCheck::new(&world.auth)).without_bodies().layer(
        service_fn(|request: http::Request<std::rc::Rc<()>>| async move {
            Ok::<_, Infallible>(http::Response::new(Some(request.into_body())))
        }),
    );
    let response =
        service.oneshot(get("/", Some(&full)).map(|_| std::rc::Rc::new(()))).await.unwrap();
    assert!(response.body().is_some());
}

/// Serves a hyper service with no axum in it on loopback, h1 and h2 alike.
async fn serve(world: &World) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = BearerStack::new(BearerCheck::new(&world.auth))
        .require_scopes(["apps:run"])
        .unwrap()
        .layer(service_fn(|request: http::Request<Incoming>| async move {
            let context = AuthContext::of(request.extensions()).unwrap();
            assert!(context.evidence().contains(Evidence::AUTHENTICATED | Evidence::SCOPED));
            Ok::<_, Infallible>(http::Response::new(Full::<Bytes>::from(
                context.subject_key().unwrap().to_string(),
            )))
        }));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await
                    .ok();
            });
        }
    });
    address
}

#[tokio::test]
async fn hyper_over_h1_and_h2() {
    let (world, full, reader) = world();
    let address = serve(&world).await;
    let mut answers = Vec::new();
    for h2 in [false, true] {
        let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .http2_only(h2)
            .build_http::<Full<Bytes>>();
        for token in [Some(full.as_str()), Some(&reader), None, Some("junk")] {
            let mut request = get("/", token);
            *request.uri_mut() = format!("http://{address}/").parse().unwrap();
            let mut response = client.request(request).await.unwrap();
            response.headers_mut().remove("date");
            let (head, body) = response.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let mut headers: Vec<_> = head
                .headers
                .iter()
                .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
                .collect();
            headers.sort();
            answers.push((h2, token.is_some(), head.status.as_u16(), headers, body));
        }
    }
    let (first, second) = answers.split_at(4);
    for (one, two) in first.iter().zip(second) {
        assert_eq!((&one.2, &one.3, &one.4), (&two.2, &two.3, &two.4), "P208 XT5.3");
    }
    assert_eq!(first.iter().map(|answer| answer.2).collect::<Vec<_>>(), [200, 403, 401, 401]);
    assert_eq!(first[0].4, "account:acc-1");
    assert_eq!(world.store.tokens.calls(), 2, "P208 one entry for both protocols");
}
