//! The id that a server gave to one caller gets nobody else anywhere.

use http::HeaderMap;
use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::node::{Node, is_here};
use crate::post::{JSON, post};

const ID: &str = "mcp-session-id";

/// Status and head of one message's answer.
async fn send(gateway: &Gateway, caller: &str, ids: &[&str], message: &Value) -> (u16, HeaderMap) {
    let (url, token) = (&gateway.urls["everything"], &gateway.tokens[caller]);
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
    let upstream = format!("everything={}", server.url);
    let gateway = Gateway::start(&["--upstream", &upstream]).await;
    let client = json!({ "name": "test", "version": "1" });
    let params =
        json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client });
    let first = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params });
    let (status, head) = send(&gateway, "alice", &[], &first).await;
    assert_eq!(status, 200);
    let id = head[ID].to_str().unwrap();
    let bare = id.rsplit('.').next().unwrap();
    let list = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" });
    for (name, caller, ids, want) in [
        ("F193 alice's own", "alice", &[id][..], 200),
        ("F193 bob's of alice's", "bob", &[id], 404),
        ("F193 alice's own again", "alice", &[id], 200),
        ("F193 nobody's", "alice", &["made-up"], 404),
        ("FL3 the server's own", "alice", &[bare], 404),
        ("F193 two lines", "alice", &[id, id], 404),
    ] {
        assert_eq!(send(&gateway, caller, ids, &list).await.0, want, "{name}");
    }
}
