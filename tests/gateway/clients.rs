//! The official client at one end, the official servers at the other.

use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::node::{Node, drive, is_here};

/// Headers that a client may well send, and that say who it would like to be.
pub(crate) fn lies() -> Value {
    json!({
        "X-Forwarded-User-Id": "acc-forged",
        "x_forwarded_user_role": "forged",
        "X-Forwarded-User-Groups": "forged",
        "Signature": "idf=:forged:",
        "Cookie": "forged=1",
    })
}

/// What an upstream sees of who calls: everything of our prefix, and whatever looks like a credential.
pub(crate) fn identity(view: &Value) -> Value {
    let told = |name: &str| {
        name.starts_with("x-forwarded-") || ["authorization", "cookie", "signature"].contains(&name)
    };
    let headers = view["headers"].as_object().unwrap().iter();
    headers
        .filter(|(name, _)| told(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[tokio::test]
async fn the_official_server_serves_the_official_client() {
    if !is_here().await {
        return;
    }
    let server = Node::everything().await;
    for mode in ["off", "headers"] {
        let upstream = format!("everything={}", server.url);
        let gateway = Gateway::start(&["--upstream", &upstream, "--forward", mode]).await;
        let (url, token) = (&gateway.urls["everything"], &gateway.tokens["alice"]);
        let seen = drive(url, token, &json!({}), &lies()).await;
        println!("server-everything behind --forward {mode}: {seen}");
        assert_eq!(seen["server"], "mcp-servers/everything", "{mode}: {seen}");
        assert!(seen["tools"].as_array().unwrap().contains(&json!("echo")), "{mode}");
        assert_eq!(seen["echo"], "Echo: over and out", "{mode}");
        assert_eq!(seen["progress"], json!(["1/3", "2/3", "3/3"]), "{mode}");
        let long = "Long running operation completed. Duration: 0.3 seconds, Steps: 3.";
        assert_eq!(seen["long"], long, "{mode}");
        assert_eq!(seen["stateful"], true, "{mode}: the id of its leg went there and back");
        let statuses = seen["statuses"].as_array().unwrap();
        assert!(statuses.contains(&json!("GET 200 text/event-stream")), "{mode}: {seen}");
        assert_eq!(statuses.last(), Some(&json!("DELETE 200 -")), "{mode}: {seen}");
    }
}

#[tokio::test]
async fn the_server_is_told_who_calls() {
    if !is_here().await {
        return;
    }
    let server = Node::whoami().await;
    let upstream = format!("whoami={}", server.url);
    let editor = json!({
        "x-forwarded-user-id": "acc-alice",
        "x-forwarded-user-type": "account",
        "x-forwarded-user-workspace": "ws-north",
        "x-forwarded-user-role": "editor",
        "x-forwarded-user-app": "app-tools",
    });
    let mut viewer = editor.clone();
    viewer["x-forwarded-user-id"] = json!("acc-bob");
    viewer["x-forwarded-user-role"] = json!("viewer");
    for (mode, caller, want) in
        [("headers", "alice", &editor), ("headers", "bob", &viewer), ("off", "alice", &json!({}))]
    {
        let args = ["--upstream", &upstream, "--forward", mode];
        let gateway = Gateway::start(&args).await;
        let token = &gateway.tokens[caller];
        let seen = drive(&gateway.urls["whoami"], token, &json!({ "a.b/c": 1 }), &lies()).await;
        let view = &seen["whoami"];
        println!("upstream's view of {caller} behind --forward {mode}: {view}");
        assert_eq!(&identity(view), want, "F71 {mode} {caller}");
        assert!(!view.to_string().contains("forged"), "F41 {mode} {caller}: {view}");
        assert!(!view.to_string().contains(token.as_str()), "F44 {mode} {caller}");
        assert_eq!(view["meta"]["a.b/c"], 1, "{mode}: what is the client's own stays");
        assert_eq!((&seen["held"], &seen["released"]), (&json!("released"), &json!("done")));
    }
}

#[tokio::test]
async fn who_may_not_call_reaches_nothing() {
    if !is_here().await {
        return;
    }
    let server = Node::whoami().await;
    let upstream = format!("whoami={}", server.url);
    let gateway = Gateway::start(&["--upstream", &upstream]).await;
    for (name, token, want) in [
        ("a stranger", gateway.tokens["mallory"].as_str(), 404),
        ("without the scope", &gateway.tokens["alice-looks"], 403),
        ("no token of ours", "forged", 401),
    ] {
        let seen = drive(&gateway.urls["whoami"], token, &json!({}), &json!({})).await;
        assert!(seen["failed"].is_string(), "{name}: {seen}");
        let statuses = seen["statuses"].as_array().unwrap();
        let only = |status: &Value| {
            status.as_str().unwrap().contains(&format!(" {want} application/problem+json"))
        };
        assert!(!statuses.is_empty() && statuses.iter().all(only), "{name}: {seen}");
    }
}

/// Checked by a JWT library of others' making, with the keys that the gateway tells.
#[cfg(feature = "signed")]
#[tokio::test]
async fn the_server_checks_what_the_gateway_states() {
    if !is_here().await {
        return;
    }
    let server = Node::whoami().await;
    let upstream = format!("whoami={}", server.url);
    let gateway = Gateway::start(&["--upstream", &upstream, "--forward", "assertion"]).await;
    let issuer = format!("http://{}", gateway.address);
    server.trust(&issuer, &format!("{issuer}/jwks.json")).await;
    for (name, token, subject, role) in [
        ("F91 alice", &gateway.tokens["alice"], "acc-alice", "editor"),
        ("F91 bob", &gateway.tokens["bob"], "acc-bob", "viewer"),
    ] {
        let mut lies = lies();
        lies["X-Forwarded-User-Assertion"] = json!("forged");
        let seen = drive(&gateway.urls["whoami"], token, &json!({}), &lies).await;
        let (view, claims) = (&seen["whoami"], &seen["whoami"]["claims"]);
        println!("upstream's view behind --forward assertion: {view}");
        let told = identity(view);
        let told: Vec<_> = told.as_object().unwrap().keys().collect();
        assert_eq!(told, ["x-forwarded-user-assertion"], "F73 {name}");
        for (claim, want) in [
            ("iss", issuer.as_str()),
            ("sub", subject),
            ("aud", &server.url),
            ("sub_type", "account"),
            ("workspace", "ws-north"),
            ("role", role),
            ("app", "app-tools"),
        ] {
            assert_eq!(claims[claim], want, "{name} {claim}: {view}");
        }
        assert!(!view.to_string().contains("forged"), "F41 {name}");
    }
}
