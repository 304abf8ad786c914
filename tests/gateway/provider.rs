//! The provider that the gateway's modes are tested against does what an OpenID provider does.

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use crate::node::{Node, drive, is_here};

/// Status and body of one question, as JSON or as a form with the client's own credential.
async fn ask(url: String, body: Option<&Value>, form: Option<&str>) -> (u16, Value) {
    let request = match (body, form) {
        (Some(body), _) => Request::post(url)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(body.to_string())),
        (None, Some(form)) => Request::post(url)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::AUTHORIZATION, BASIC)
            .body(Full::from(form.to_owned())),
        (None, None) => Request::get(url).body(Full::<Bytes>::default()),
    };
    let client = Client::builder(TokioExecutor::new()).build_http();
    let (head, body) = client.request(request.unwrap()).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status.as_u16(), serde_json::from_slice(&body).unwrap_or_default())
}

/// `gateway` and its secret, as `provider.mjs` has them.
const BASIC: &str = "Basic Z2F0ZXdheTpnYXRld2F5LXNlY3JldC1vZi10aGUtdGVzdHMtMDEyMzQ1Njc4OQ==";
const RESOURCE: &str = "http://127.0.0.1:9/mcp";

fn refresh(token: &Value, resource: &str) -> String {
    let token = token.as_str().unwrap();
    format!("grant_type=refresh_token&refresh_token={token}&resource={resource}")
}

#[tokio::test]
async fn it_rotates_and_keeps_resources_apart() {
    if !is_here().await {
        return;
    }
    let provider = Node::provider(600).await;
    let url = &provider.url;
    let (_, found) = ask(format!("{url}/.well-known/openid-configuration"), None, None).await;
    assert_eq!(found["issuer"], *url);
    let endpoint = found["token_endpoint"].as_str().unwrap();
    let (_, keys) = ask(found["jwks_uri"].as_str().unwrap().to_owned(), None, None).await;
    assert_eq!(keys["keys"][0]["kid"], "test-1");
    assert_eq!(keys["keys"][0].get("d"), None, "the private part stays there");

    let who = json!({ "account": "acc-alice", "resource": RESOURCE });
    let (_, first) = ask(format!("{url}/test/link"), Some(&who), None).await;
    let form = refresh(&first["refresh_token"], RESOURCE);
    let (status, second) = ask(endpoint.to_owned(), None, Some(&form)).await;
    assert_eq!((status, &second["token_type"]), (200, &json!("Bearer")));
    assert_ne!(second["refresh_token"], first["refresh_token"], "it rotates");
    let (status, refused) = ask(endpoint.to_owned(), None, Some(&form)).await;
    assert_eq!((status, &refused["error"]), (400, &json!("invalid_grant")), "used once");
    let form = refresh(&second["refresh_token"], RESOURCE);
    let (status, _) = ask(endpoint.to_owned(), None, Some(&form)).await;
    assert_eq!(status, 400, "after a second use all of the grant is void");

    let (_, other) = ask(format!("{url}/test/link"), Some(&who), None).await;
    let form = refresh(&other["refresh_token"], "http://127.0.0.1:10/mcp");
    let (status, refused) = ask(endpoint.to_owned(), None, Some(&form)).await;
    assert_eq!((status, &refused["error"]), (400, &json!("invalid_target")), "RFC 8707 §2.2");
    let (_, counts) = ask(format!("{url}/test/counts"), None, None).await;
    assert_eq!((&counts["refreshed"], &counts["refresh_refused"]), (&json!(1), &json!(3)));
}

#[tokio::test]
async fn its_tokens_count_where_they_are_for() {
    if !is_here().await {
        return;
    }
    let provider = Node::provider(600).await;
    let server = Node::whoami(Some(&provider.url)).await;
    for (name, audience, want) in [
        ("for this server", server.url.as_str(), json!({ "sub": "acc-alice", "aud": server.url })),
        ("for another", RESOURCE, json!({ "refused": "ERR_JWT_CLAIM_VALIDATION_FAILED" })),
    ] {
        let question = json!({
            "user_id": "acc-alice",
            "tenant_id": "ws-north",
            "app_id": "app-tools",
            "audience": audience,
            "user_type": "account",
        });
        let (status, issued) = ask(format!("{}/issue", provider.url), Some(&question), None).await;
        assert_eq!(status, 200, "F101 {name}");
        let token = issued["token"].as_str().unwrap();
        let seen = drive(&server.url, token, &json!({}), &json!({})).await;
        let claims = &seen["whoami"]["claims"];
        for (member, value) in want.as_object().unwrap() {
            assert_eq!(&claims[member], value, "{name}: {claims}");
        }
    }
}
