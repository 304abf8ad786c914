//! The id that a server gave to one caller gets nobody else anywhere.

use http::HeaderMap;
use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::node::{Node, is_here};
use crate::post::{JSON, post};

const ID: &str = "mcp-session-id";

/// Status and head of one message's answer.
async fn send(
    gateway: &Gateway,
    (server, caller): (&str, &str),
    ids: &[&str],
    message: &Value,
) -> (u16, HeaderMap) {
    let (url, token) = (&gateway.urls[server], &gateway.tokens[caller]);
    let mut fields = JSON.to_vec();
    fields.extend(ids.iter().map(|id| (ID, *id)));
    let (status, head, _) = post(url, token, &fields, &message.to_string(), false).await;
    (status, head)
}

#[tokio::test]
async fn it_is_its_callers_alone() {
    if !is_here().await {
        return;
    }
    let server = Node::everything().await;
    let (upstream, same) = (format!("everything={}", server.url), format!("same={}", server.url));
    let args = ["--upstream", &upstream, "--upstream", &same];
    let (gateway, another) = tokio::join!(Gateway::start(&args), Gateway::start(&args));
    let client = json!({ "name": "test", "version": "1" });
    let params =
        json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client });
    let first = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params });
    let (status, head) = send(&gateway, ("everything", "alice"), &[], &first).await;
    assert_eq!(status, 200);
    let id = head[ID].to_str().unwrap();
    let bare = id.rsplit('.').next().unwrap();
    let list = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" });
    let here = "everything";
    for (name, gateway, to, ids, want) in [
        ("F193 alice's own", &gateway, (here, "alice"), &[id][..], 200),
        ("F193 bob's of alice's", &gateway, (here, "bob"), &[id], 404),
        ("F193 another name of the same server", &gateway, ("same", "alice"), &[id], 404),
        ("F193 another gateway's key", &another, (here, "alice"), &[id], 404),
        ("F193 alice's own again", &gateway, (here, "alice"), &[id], 200),
        ("F193 nobody's", &gateway, (here, "alice"), &["made-up"], 404),
        ("FL3 the server's own", &gateway, (here, "alice"), &[bare], 404),
        ("F193 two lines", &gateway, (here, "alice"), &[id, id], 404),
    ] {
        assert_eq!(send(gateway, to, ids, &list).await.0, want, "{name}");
    }
}
