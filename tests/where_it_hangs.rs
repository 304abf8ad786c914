//! What the manual says about where a stack hangs in an axum router, and what strangers then learn, is so.
#![expect(clippy::unwrap_used, reason = "a test may stop at what cannot be")]

mod support;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header::ALLOW};
use axum::routing::{MethodRouter, any, get};
use support::world::{World, account, token};
use tower::ServiceExt;
use tower_bearer::stack::{BearerCheck, BearerStack};

/// Status and `Allow` of an unknown path and of a wrong method, to a stranger and to a caller.
async fn told(router: Router, credential: &str) -> [(u16, String); 4] {
    let mut told = Vec::new();
    for presented in [None, Some(credential)] {
        for (method, path) in [("GET", "/nowhere"), ("DELETE", "/x")] {
            let mut request = Request::builder().method(method).uri(path);
            if let Some(presented) = presented {
                request = request.header("authorization", format!("Bearer {presented}"));
            }
            let request = request.body(Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            let allow =
                response.headers().get(ALLOW).map(|value| value.to_str().unwrap().to_owned());
            told.push((response.status().as_u16(), allow.unwrap_or_default()));
        }
    }
    told.try_into().unwrap()
}

fn other(allow: &'static str) -> MethodRouter {
    any(move || async move { (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, allow)]) })
}

#[tokio::test]
async fn paths_and_methods() {
    let world = World::new();
    let text = token("tst_", 1);
    world.token(&text, account("acc-1"), "full");
    let stack = || BearerStack::new(BearerCheck::new(&world.auth));
    let x = || get(|| async {});
    for (name, router, want) in [
        (
            "around the path",
            Router::new().route("/x", x().layer(stack())),
            [(404, ""), (401, "GET,HEAD"), (404, ""), (405, "GET,HEAD")],
        ),
        (
            "route_layer of the path",
            Router::new().route("/x", x().route_layer(stack())),
            [(404, ""), (405, "GET,HEAD"), (404, ""), (405, "GET,HEAD")],
        ),
        (
            "route_layer of the router",
            Router::new().route("/x", x()).route_layer(stack()),
            [(404, ""), (401, "GET,HEAD"), (404, ""), (405, "GET,HEAD")],
        ),
        (
            "around the router",
            Router::new().route("/x", x()).layer(stack()),
            [(401, ""), (401, "GET,HEAD"), (404, ""), (405, "GET,HEAD")],
        ),
        (
            "around the path, wrong methods said behind it",
            Router::new().route("/x", other("GET, HEAD").get(|| async {}).layer(stack())),
            [(404, ""), (401, ""), (404, ""), (405, "GET, HEAD")],
        ),
    ] {
        let got = told(router, &text).await;
        assert_eq!(got, want.map(|(status, allow)| (status, allow.to_owned())), "{name}");
    }
}
