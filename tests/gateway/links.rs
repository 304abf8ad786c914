//! A user's own sign-in with a provider: refreshed once, whoever waits, by the token that the last refresh left.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::node::{CLIENT, Node, ask, is_here};
use crate::post::{JSON, message, post};

/// A line of the gateway's file: what a sign-in of alice's left, whose access token is over.
pub(crate) async fn sign_in(provider: &Node, upstream: &str, resource: &str) -> Value {
    let who = json!({ "account": "acc-alice", "resource": resource });
    let (status, left) = ask(format!("{}/test/link", provider.url), Some(&who), None).await;
    assert_eq!(status, 200, "{left}");
    json!({
        "upstream": upstream,
        "account": "acc-alice",
        "access_token": left["access_token"],
        "refresh_token": left["refresh_token"],
        "expires_at": 1_700_000_000,
    })
}

/// Writes such lines; gives back the path.
pub(crate) fn file(name: &str, lines: &[Value]) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("gateway-links-{name}-{}", std::process::id()));
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// What the server says of the caller's token.
async fn claims(url: &str, token: &str) -> Value {
    let params = json!({ "name": "whoami", "arguments": {} });
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    let (status, _, body) = post(url, token, JSON, &call.to_string(), false).await;
    assert_eq!(status, 200, "{body:?}");
    let answer = message(&body);
    let view = answer["result"]["content"][0]["text"].as_str().unwrap();
    serde_json::from_str::<Value>(view).unwrap()["claims"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_refreshed_once_and_again() {
    const TTL: u32 = 10;
    const AT_ONCE: usize = 8;
    if !is_here().await {
        return;
    }
    let (provider, server) = tokio::join!(Node::provider(TTL), Node::whoami());
    server.trust(&provider.url, &format!("{}/jwks", provider.url)).await;
    let links = file("again", &[sign_in(&provider, "whoami", &server.url).await]);
    let (upstream, mode) =
        (format!("whoami={}", server.url), format!("user-oidc:{}/token", provider.url));
    let args = ["--upstream", &upstream, "--forward", &mode, "--client", CLIENT, "--links", &links];
    let gateway = Gateway::start(&args).await;
    std::fs::remove_file(&links).unwrap();
    let (url, token) = (gateway.urls["whoami"].clone(), gateway.tokens["alice"].clone());
    let counted = || async {
        let (_, counts) = ask(format!("{}/test/counts", provider.url), None, None).await;
        let of = |name: &str| counts[name].as_u64().unwrap();
        (of("refreshed"), of("refresh_refused"))
    };

    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..AT_ONCE {
        let (url, token) = (url.clone(), token.clone());
        calls.spawn(async move { claims(&url, &token).await });
    }
    let calls = calls.join_all().await;
    for claims in &calls {
        assert_eq!((&claims["sub"], &claims["aud"]), (&json!("acc-alice"), &json!(server.url)));
        assert_eq!(claims["jti"], calls[0]["jti"], "F113 the one new token");
    }
    assert_eq!(counted().await, (1, 0), "F113 {AT_ONCE} at once, one refresh");
    println!("user-oidc: {AT_ONCE} calls at once with a link that was over: 1 refresh");

    // the provider takes a refresh token once, and voids the grant if one comes twice
    let again = async {
        let mut count = 0;
        loop {
            let claims = claims(&url, &token).await;
            assert_eq!(claims["sub"], "acc-alice", "{claims}");
            count += 1;
            if claims["jti"] != calls[0]["jti"] {
                return count;
            }
        }
    };
    let count = tokio::time::timeout(Duration::from_secs(60), again).await.unwrap();
    assert_eq!(counted().await, (2, 0), "F116 by the rotated refresh token");
    println!("user-oidc: {count} calls until the next refresh, which was by the rotated token");

    let (status, _, body) = post(&url, &gateway.tokens["bob"], JSON, "{}", false).await;
    let problem: Value = serde_json::from_slice(&body).unwrap();
    println!("user-oidc: bob, who has never signed in: {problem}");
    assert_eq!((status, &problem["error"]), (401, &json!("identity_login_required")), "F110");
    assert_eq!(counted().await, (2, 0), "F110 nobody was asked");
}
