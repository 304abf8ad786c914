//! The id that a server gave to one caller gets nobody else anywhere.

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::node::{Node, is_here};

const ID: &str = "mcp-session-id";

/// Status and head of one message's answer.
async fn send(gateway: &Gateway, caller: &str, ids: &[&str], message: &Value) -> (u16, HeaderMap) {
    let mut request = Request::post(&gateway.urls["everything"])
        .header("authorization", format!("Bearer {}", gateway.tokens[caller]))
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream");
    for id in ids {
        request = request.header(ID, *id);
    }
    let request = request.body(Full::<Bytes>::from(message.to_string())).unwrap();
    let client = Client::builder(TokioExecutor::new()).build_http();
    let (head, _) = client.request(request).await.unwrap().into_parts();
    (head.status.as_u16(), head.headers)
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
    let list = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" });
    for (name, caller, ids, want) in [
        ("F193 alice's own", "alice", &[id][..], 200),
        ("F193 bob's of alice's", "bob", &[id], 404),
        ("F193 alice's own again", "alice", &[id], 200),
        ("F193 nobody's", "alice", &["made-up"], 404),
        ("F193 two lines", "alice", &[id, id], 404),
    ] {
        assert_eq!(send(&gateway, caller, ids, &list).await.0, want, "{name}");
    }
}
