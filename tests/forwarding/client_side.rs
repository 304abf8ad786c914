//! A layer on the client's side sends identity to its upstream's origin alone.

use tower::{Layer, ServiceBuilder};
use tower_bearer::rejection::RejectionKind;
use tower_bearer::{AuthContext, Evidence};

use crate::support::*;
use crate::{check, forward};

/// The context of a request of [`ALICE`], as a handler has it.
async fn context() -> AuthContext {
    let upstream = Recorder::new();
    let service =
        ServiceBuilder::new().layer(check()).layer(forward(options())).service(upstream.clone());
    send(service, request("/", &[ALICE])).await;
    AuthContext::of(&upstream.take()[0].extensions).unwrap().clone()
}

#[tokio::test]
async fn client_side() {
    let context = context().await;
    assert!(context.evidence().contains(Evidence::FORWARDED));
    let mismatch = Err((500, RejectionKind::OriginMismatch));
    for (name, uri, want) in [
        ("F11", "https://mcp.example.com/mcp?x=1", Ok(())),
        ("FL5 same origin", "https://MCP.example.com:443/other", Ok(())),
        ("FL5 other host", "https://evil.example/mcp", mismatch),
        ("FL5 other port", "https://mcp.example.com:8443/mcp", mismatch),
        ("FL5 http", "http://mcp.example.com/mcp", mismatch),
        ("F204 userinfo", "https://mcp.example.com@mcp.example.com/mcp", mismatch),
        ("F11 not absolute", "/mcp", mismatch),
    ] {
        let upstream = Recorder::new();
        let service = forward(options()).client_side().layer(upstream.clone());
        let mut outgoing = request(
            uri,
            &[("X-Forwarded-User-Id", "admin"), ("Authorization", "Bearer tba_alice")],
        );
        context.attach(outgoing.extensions_mut());
        assert!(
            !AuthContext::of(outgoing.extensions())
                .unwrap()
                .evidence()
                .contains(Evidence::FORWARDED),
            "F11"
        );
        let (response, refusal) = send(service, outgoing).await;
        let calls = upstream.take();
        match want {
            Ok(()) => assert_eq!(seen(&calls[0].headers), OF_ALICE, "{name} FM6"),
            Err((status, kind)) => {
                assert_eq!((response.status().as_u16(), calls.len()), (status, 0), "{name}");
                assert_eq!(refusal.unwrap().kind(), kind, "{name}");
            }
        }
    }
    let login = ("www-authenticate", "Bearer");
    let upstream = Recorder::answering(401, &[login, ("x-forwarded-user-id", "x")]);
    let mut outgoing = request("https://mcp.example.com/", &[]);
    context.attach(outgoing.extensions_mut());
    let (response, _) = send(forward(options()).client_side().layer(upstream), outgoing).await;
    assert_eq!((response.status().as_u16(), seen(response.headers())), (401, vec![login]), "F200");
    let service = forward(options()).client_side().layer(Recorder::new());
    let (_, refusal) = send(service, request("https://mcp.example.com/", &[])).await;
    assert_eq!(refusal.unwrap().kind(), RejectionKind::Misordered, "F220");
}
