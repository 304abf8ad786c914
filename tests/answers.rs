//! What a refusal says, to the byte: challenge, body, fields; the same from a stack and from free layers.

#![expect(clippy::unwrap_used, reason = "a test may stop at what cannot be")]

mod support;

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use support::scripted::Counting;
use support::world::{World, account, get, token};
use tower::util::BoxCloneService;
use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_bearer::rejection::{Rejection, RejectionKind, StepName};
use tower_bearer::stack::{BearerCheck, BearerStack, RenderRejections, ScopeCheck};

type Request = http::Request<Full<Bytes>>;
type Service = BoxCloneService<Request, http::Response<Full<Bytes>>, Infallible>;

fn stacks(world: &World, scope: &str) -> [(&'static str, Service); 2] {
    let built = BearerStack::new(BearerCheck::new(&world.auth)).require_scopes([scope]).unwrap();
    let free = ServiceBuilder::new()
        .layer(RenderRejections::new())
        .layer(BearerCheck::new(&world.auth).challenge_scope([scope]).unwrap())
        .layer(ScopeCheck::all([scope]).unwrap());
    [
        ("stack", BoxCloneService::new(built.layer(Counting::default()))),
        ("free layers", BoxCloneService::new(free.service(Counting::default()))),
    ]
}

fn with_lines(lines: &[&str]) -> Request {
    let mut request = get("/", None);
    for line in lines {
        request
            .headers_mut()
            .append("authorization", http::HeaderValue::from_bytes(line.as_bytes()).unwrap());
    }
    request
}

#[tokio::test]
async fn challenges_and_bodies() {
    let world = World::with(|builder| {
        builder.resource_metadata("https://api.example/.well-known/oauth-protected-resource")
    });
    let plain = World::new();
    let reader = token("tst_", 1);
    world.token(&reader, account("acc-1"), "apps:read");
    plain.token(&reader, account("acc-1"), "apps:read");
    let bearer = format!("Bearer {reader}");
    let unknown = format!("Bearer {}", token("tst_", 404));
    let invalid = concat!(
        r#"Bearer realm="api", error="invalid_token", "#,
        r#"error_description="The access token is invalid, expired or revoked.""#
    );
    let several = concat!(
        r#"Bearer realm="api", error="invalid_request", "#,
        r#"error_description="Send exactly one credential, as Authorization: Bearer <token>.""#
    );
    let lacking = concat!(
        r#"Bearer realm="api", error="insufficient_scope", "#,
        r#"error_description="The access token lacks a required scope.", scope="apps:run", "#,
        r#"resource_metadata="https://api.example/.well-known/oauth-protected-resource""#
    );
    let invalid_body = concat!(
        r#"{"type":"about:blank","title":"Unauthorized","status":401,"error":"invalid_token","#,
        r#""detail":"The access token is invalid, expired or revoked."}"#
    );
    let lacking_body = concat!(
        r#"{"type":"about:blank","title":"Forbidden","status":403,"error":"insufficient_scope","#,
        r#""detail":"The access token lacks a required scope.","required_scopes":["apps:run"],"match":"all"}"#
    );
    let missing_body = concat!(
        r#"{"type":"about:blank","title":"Unauthorized","status":401,"error":"missing_token","#,
        r#""detail":"An access token is required."}"#
    );
    let several_body = concat!(
        r#"{"type":"about:blank","title":"Bad Request","status":400,"error":"invalid_request","#,
        r#""detail":"Send exactly one credential, as Authorization: Bearer <token>."}"#
    );
    for (row, world, lines, status, challenge, body) in [
        ("P951", &plain, vec![], 401, r#"Bearer realm="api", scope="apps:run""#, missing_body),
        ("P952 P956", &plain, vec![unknown.as_str()], 401, invalid, invalid_body),
        ("P953", &plain, vec![&bearer, &bearer], 400, several, several_body),
        ("P954 P957", &world, vec![&bearer], 403, lacking, lacking_body),
    ] {
        for (how, service) in stacks(world, "apps:run") {
            let response = service.oneshot(with_lines(&lines)).await.unwrap();
            let (head, answer) = response.into_parts();
            assert_eq!(head.status, status, "{row} {how}");
            assert_eq!(head.headers["www-authenticate"], challenge, "{row} {how}");
            assert_eq!(
                head.headers["content-type"], "application/problem+json",
                "P931 {row} {how}"
            );
            assert_eq!(head.headers["cache-control"], "no-store", "P937 {row} {how}");
            let bytes = answer.collect().await.unwrap().to_bytes();
            assert_eq!(
                head.headers["content-length"],
                bytes.len().to_string().as_str(),
                "P931 {row} {how}"
            );
            assert_eq!(bytes, body.as_bytes(), "{row} {how}");
        }
    }
}

#[tokio::test]
async fn a_head_gets_the_fields_of_the_get_and_no_body() {
    let world = World::new();
    for (how, service) in stacks(&world, "apps:run") {
        let got = service.clone().oneshot(with_lines(&["Bearer x"])).await.unwrap();
        let mut request = with_lines(&["Bearer x"]);
        *request.method_mut() = http::Method::HEAD;
        let headed = service.oneshot(request).await.unwrap();
        assert_eq!(headed.status(), got.status(), "P936 P816 {how}");
        assert_eq!(headed.headers(), got.headers(), "P936 {how}");
        assert!(headed.into_body().collect().await.unwrap().to_bytes().is_empty(), "P936 {how}");
    }
}

#[tokio::test]
async fn free_layers_answer_without_a_body() {
    let world = World::new();
    let service = BearerCheck::new(&world.auth).layer(Counting::default());
    let response = service.oneshot(get("/", None)).await.unwrap();
    assert_eq!(response.status(), 401, "P939");
    assert_eq!(response.headers()["www-authenticate"], r#"Bearer realm="api""#, "P939");
    assert_eq!(response.headers()["cache-control"], "no-store", "P937");
    let rejection = response.extensions().get::<Rejection>().unwrap();
    assert_eq!(
        (rejection.kind(), rejection.step()),
        (RejectionKind::MissingCredential, Some(StepName::Bearer)),
        "P812"
    );
    assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty(), "P939");
}

#[tokio::test]
async fn every_reason_to_refuse_a_token_reads_the_same() {
    let world = World::new();
    let revoked = token("tst_", 1);
    let digest = world.token(&revoked, account("acc-1"), "full");
    world.auth.forget_token(&digest);
    let expired = token("tst_", 2);
    world.token_for(&expired, account("acc-1"), "full", std::time::Duration::ZERO);
    let mismatch = token("ext_", 3);
    world.token(&mismatch, account("acc-1"), "full");
    let mut answers = Vec::new();
    for text in [&revoked, &expired, &mismatch, &token("tst_", 404), "tst_short", "zzz_1", "a%b"] {
        let service = BearerStack::new(BearerCheck::new(&world.auth)).layer(Counting::default());
        let (head, body) = service.oneshot(get("/", Some(text))).await.unwrap().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        assert!(
            !bytes.windows(8).any(|window| text.as_bytes().starts_with(window)),
            "P933 no token in a body"
        );
        answers.push((head.status, format!("{:?}", head.headers), bytes));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "P692 {answers:#?}");
}

#[tokio::test]
async fn passed_answers_stay_as_they_are() {
    let world = World::new();
    let text = token("tst_", 1);
    world.token(&text, account("acc-1"), "full");
    let service = BearerStack::new(BearerCheck::new(&world.auth)).layer(tower::service_fn(
        |request: Request| async move {
            assert!(
                request.headers()["authorization"].is_sensitive(),
                "P207 marked before a later layer sees it"
            );
            let mut response = http::Response::new(Full::<Bytes>::from("teapot"));
            *response.status_mut() = http::StatusCode::IM_A_TEAPOT;
            Ok::<_, Infallible>(response)
        },
    ));
    let response = service.oneshot(get("/", Some(&text))).await.unwrap();
    assert_eq!((response.status().as_u16(), response.headers().len()), (418, 0), "P897 P937");
}

#[tokio::test]
async fn one_more_header_may_carry_the_token() {
    let name = http::HeaderName::from_static("x-api-key");
    let world = World::with(|builder| builder.credential_header(name.clone()));
    let text = token("tst_", 1);
    world.token(&text, account("acc-1"), "full");
    let service = BearerStack::new(BearerCheck::new(&world.auth)).layer(Counting::default());
    let keyed = |values: &[&str], bearer: Option<&str>| {
        let mut request = get("/", bearer);
        for value in values {
            request
                .headers_mut()
                .append("x-api-key", http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        service.clone().oneshot(request)
    };
    for (row, values, bearer, want) in [
        ("P230 alone", vec![text.as_str()], None, 200),
        ("P206 both", vec![&text], Some(text.as_str()), 400),
        ("P205 twice", vec![&text, &text], None, 400),
        ("XB10 a bad one in it", vec!["junk"], None, 401),
    ] {
        let response = keyed(&values, bearer).await.unwrap();
        assert_eq!(response.status(), want, "{row}");
        assert_eq!(response.headers()["vary"], "x-api-key", "P825 {row}");
        let cache = if want == 200 { "private" } else { "no-store" };
        assert_eq!(response.headers()["cache-control"], cache, "P825 {row}");
    }
    for taken in
        [http::header::AUTHORIZATION, http::header::COOKIE, http::header::PROXY_AUTHORIZATION]
    {
        let built =
            tower_bearer::Authenticator::builder(support::world::kinds(), world.store.clone())
                .credential_header(taken)
                .build();
        assert!(built.is_err(), "P1303");
    }
}
