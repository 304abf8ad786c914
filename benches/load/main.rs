//! A server for `wrk`: one axum route behind all eight layers, or the same router bare. Not run by itself.
//!
//! `cargo bench --bench load -- serve eight|bare` prints its address and serves until it is killed.

#![expect(clippy::print_stdout, reason = "whoever started it reads the address")]

#[path = "../shared/layers.rs"]
mod layers;
#[path = "../shared/world.rs"]
mod world;

use std::time::Duration;

use axum::Router;
use axum::routing::post;
use http::StatusCode;
use tower::ServiceExt;
use tower::layer::layer_fn;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;

use layers::Layers;
use world::{Inner, TOKEN, World, request};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip_while(|argument| argument != "serve").skip(1);
    let Some(which) = arguments.next() else { return Ok(()) };
    let all = Layers::new(&World::new());
    let good = format!("Bearer {TOKEN}");
    let checked = all.around(Inner).oneshot(request(&good)).await;
    assert!(checked.is_ok_and(|answer| answer.status() == 200), "the stack lets the token by");
    let answer = post(|| async { "{\"app\":\"app-members\",\"workspace\":\"ws-north\"}" });
    let route = if which == "eight" {
        answer.layer(layer_fn(move |route| all.around(route)))
    } else {
        answer
    };
    let around = tower::ServiceBuilder::new()
        .layer(CatchPanicLayer::new())
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(TraceLayer::new_for_http())
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            Duration::from_secs(30),
        ));
    let router = Router::new().route("/apps/{app}/run", route).layer(around);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let path = request(TOKEN).uri().path().to_owned();
    println!("http://{}{path} {TOKEN}", listener.local_addr()?);
    axum::serve(listener, router).await
}
