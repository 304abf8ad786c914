//! A server that believes signatures alone learns who calls, and what a client signs is not ours.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tower::{Layer, service_fn};
use tower_bearer::forward::ForwardBody;
use tower_bearer::forward::{Field, KeyRing, SigningKey};
use tower_bearer::receiver::{VerifiedCaller, Verifier, VerifyIdentity};
use tower_bearer::store::MemoryNonces;

use crate::gateway::Gateway;

const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

/// Starts a server that answers with the caller whom it verified; gives back its URL.
async fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let ring = KeyRing::new([SigningKey::hmac_sha256("demo", KEY).unwrap()]).unwrap();
    let verifier = Verifier::builder(ring.verifying()).url(&url).build().unwrap();
    let verify = VerifyIdentity::new(verifier, MemoryNonces::new());
    let service = verify.layer(service_fn(|request: Request<ForwardBody<Incoming>>| async move {
        let caller = request.extensions().get::<VerifiedCaller>().unwrap();
        let (role, app) = (caller.text(Field::Role), caller.text(Field::App));
        let told = format!("{} {:?} {role:?} {app:?}", caller.id(), caller.workspace());
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(told)))
    }));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                let server = Builder::new(TokioExecutor::new());
                server.serve_connection(TokioIo::new(stream), service).await.ok();
            });
        }
    });
    url
}

#[tokio::test]
async fn the_server_verifies_who_calls() {
    let url = start().await;
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("gateway-key-{}", std::process::id()));
    std::fs::write(&file, KEY).unwrap();
    let (server, mode) = (format!("tools={url}/mcp"), format!("signed:{}", file.display()));
    let signed = Gateway::start(&["--upstream", &server, "--forward", &mode]).await;
    let meta = ["--meta", "com.example/caller"];
    let both = ["--upstream", &server, "--forward", &mode, meta[0], meta[1]];
    let both = Gateway::start(&both).await;
    let plain = Gateway::start(&["--upstream", &server, "--forward", "headers"]).await;
    std::fs::remove_file(&file).unwrap();
    let alice = "acc-alice Some(\"ws-north\") Some(\"editor\") Some(\"app-tools\")";
    let bob = "acc-bob Some(\"ws-north\") Some(\"viewer\") Some(\"app-tools\")";
    for (name, gateway, caller, query, want) in [
        ("F81 alice", &signed, "alice", "", (200, alice)),
        ("F81 bob", &signed, "bob", "?x=1", (200, bob)),
        ("F214 again, by another nonce", &signed, "alice", "", (200, alice)),
        ("F153 over the message as it was made", &both, "alice", "", (200, alice)),
        ("F211 unsigned", &plain, "alice", "", (403, "")),
    ] {
        let request = Request::post(format!("{}{query}", gateway.urls["tools"]))
            .header("authorization", format!("Bearer {}", gateway.tokens[caller]))
            .header("x-forwarded-user-id", "acc-forged")
            .header("x-forwarded-user-groups", "forged")
            .header("signature", "idf=:forged:")
            .header("content-type", "application/json")
            .body(Full::<Bytes>::from(r#"{"jsonrpc":"2.0","id":1,"method":"m"}"#));
        let client = Client::builder(TokioExecutor::new()).build_http();
        let (head, body) = client.request(request.unwrap()).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        println!("verified behind --forward signed: {}", String::from_utf8_lossy(&body));
        assert_eq!((head.status.as_u16(), &body[..]), (want.0, want.1.as_bytes()), "{name}");
    }
}
