//! The provider that the gateway's modes are tested against does what an OpenID provider does.

use serde_json::{Value, json};

use crate::node::{Node, ask, drive, is_here};

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
    let server = Node::whoami().await;
    server.trust(&provider.url, &format!("{}/jwks", provider.url)).await;
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
