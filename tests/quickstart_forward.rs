//! Whichever form `--forward` names, the example service's upstream believes it, and nothing that a client made up beside it.
#![cfg(feature = "full")]
#![expect(clippy::unwrap_used, reason = "a test may stop at what cannot be")]

#[path = "support/demo.rs"]
#[expect(dead_code, reason = "a test kit of which this file uses a part")]
mod demo;
#[path = "support/issuer.rs"]
#[expect(dead_code, reason = "a test kit of which this file uses a part")]
mod issuer;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use demo::{Caller, Demo, Upstream};
use http::Request;
use http_body_util::Full;
use issuer::{Scripted, says};
use serde_json::{Value, json};
use tower_bearer::clock::{Clock, SystemClock};
use tower_bearer::forward::{Field, VerifyingKey, VerifyingKeys};
use tower_bearer::receiver::{AssertionVerifier, VerifiedCaller, Verifier};
use tower_bearer::store::MemoryNonces;

const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

/// What the upstream gets of a call with made-up identity.
async fn sent(demo: &Demo, upstream: &Upstream) -> Request<Bytes> {
    let request = Request::post(format!("{}/apps/app-public/proxy/x?q=1", demo.url))
        .header("authorization", format!("Bearer {}", demo.tokens["member-full"]))
        .header("x-forwarded-user-id", "acc-forged")
        .header("x-forwarded-user-assertion", "forged")
        .header("signature", "idf=:forged:")
        .body(Full::from("body"));
    let answer = Caller::h1().send(request.unwrap()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let seen = upstream.take().remove(0);
    assert_eq!(seen.body(), "body");
    assert!(!format!("{seen:?}").contains("forged"), "F41 {seen:?}");
    assert!(!format!("{seen:?}").contains(&demo.tokens["member-full"]), "F44");
    seen
}

fn told(caller: &VerifiedCaller) -> [Option<&str>; 4] {
    [Some(caller.id()), caller.workspace(), caller.text(Field::Role), caller.text(Field::App)]
}

const MEMBER: [Option<&str>; 4] =
    [Some("acc-member"), Some("ws-north"), Some("editor"), Some("app-public")];

#[tokio::test]
async fn signed() {
    let upstream = Upstream::default();
    let url = upstream.start().await;
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("quickstart-key-{}", std::process::id()));
    std::fs::write(&file, KEY).unwrap();
    let mode = format!("signed:{}", file.display());
    let demo = Demo::start(&["--upstream", &url, "--forward", &mode]).await;
    std::fs::remove_file(&file).unwrap();
    let keys = VerifyingKeys::new([VerifyingKey::hmac_sha256("demo", KEY).unwrap()]).unwrap();
    let verifier = Verifier::builder(keys).url(&url).build().unwrap();
    let (head, body) = sent(&demo, &upstream).await.into_parts();
    let (now, nonces) = (SystemClock::new().now().wall(), MemoryNonces::new());
    let caller = verifier.verify(&head, Some(&body), now, &nonces).await.unwrap();
    println!("quickstart --forward signed: {:?}", told(&caller));
    assert_eq!(told(&caller), MEMBER, "F277 signed");
    assert_eq!(caller.key_id(), "demo", "F277");
    assert!(verifier.verify(&head, Some(b"else"), now, &nonces).await.is_err(), "the body counts");
}

#[tokio::test]
async fn assertion() {
    let upstream = Upstream::default();
    let url = upstream.start().await;
    let demo = Demo::start(&["--upstream", &url, "--forward", "assertion"]).await;
    let set = Caller::h1().call("GET", format!("{}/jwks.json", demo.admin), &[]).await;
    println!("quickstart /jwks.json of the admin address: {}", set.body);
    let key = &set.json()["keys"][0];
    let public = URL_SAFE_NO_PAD.decode(key["x"].as_str().unwrap()).unwrap();
    let key = VerifyingKey::ed25519(key["kid"].as_str().unwrap(), &public).unwrap();
    let keys = VerifyingKeys::new([key]).unwrap();
    let verifier = AssertionVerifier::builder(keys, &demo.url, &url).build().unwrap();
    let (head, _) = sent(&demo, &upstream).await.into_parts();
    let (now, nonces) = (SystemClock::new().now().wall(), MemoryNonces::new());
    let caller = verifier.verify(&head, now, &nonces).await.unwrap();
    println!("quickstart --forward assertion: {:?}", told(&caller));
    assert_eq!(told(&caller), MEMBER, "F277 assertion");
    let outside = Caller::h1().call("GET", format!("{}/jwks.json", demo.url), &[]).await;
    assert_eq!(outside.status, 401, "F277 on the admin address alone");
    let browser = Request::get(format!("{}/jwks.json", demo.admin)).header("origin", "null");
    let browser = Caller::h1().send(browser.body(Full::default()).unwrap()).await;
    assert_eq!(browser.status, 403, "for this machine alone");
}

#[tokio::test]
async fn minted() {
    let upstream = Upstream::default();
    let url = upstream.start().await;
    let issuer = Scripted::start().await;
    let ends = SystemClock::new().now().wall().as_secs() + 600;
    let issued = json!({ "token": "minted-1", "expires_at": ends }).to_string();
    let mode = format!("idp-token:{}", issuer.url("/issue"));
    issuer.follows(says(200, "Content-Type: application/json\r\n", &issued));
    let demo = Demo::start(&["--upstream", &url, "--forward", &mode]).await;
    let seen = sent(&demo, &upstream).await;
    println!("quickstart --forward idp-token: {:?}", seen.headers()["authorization"]);
    assert_eq!(seen.headers()["authorization"], "Bearer minted-1", "F277 idp-token");
    let asked: Value = serde_json::from_str(&issuer.heard().1).unwrap();
    let want = json!({
        "user_id": "acc-member", "tenant_id": "ws-north", "app_id": "app-public",
        "audience": url, "user_type": "account",
    });
    assert_eq!(asked, want, "F100");

    let given = json!({
        "access_token": "exchanged-1",
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "token_type": "Bearer",
        "expires_in": 600,
    });
    issuer.follows(says(200, "Content-Type: application/json\r\n", &given.to_string()));
    let mode = format!("exchange:{}", issuer.url("/token"));
    let demo = Demo::start(&["--upstream", &url, "--forward", &mode]).await;
    let seen = sent(&demo, &upstream).await;
    println!("quickstart --forward exchange: {:?}", seen.headers()["authorization"]);
    assert_eq!(seen.headers()["authorization"], "Bearer exchanged-1", "F277 exchange");
    let (head, form) = issuer.heard();
    assert!(!head.to_ascii_lowercase().contains("authorization"), "F277 no client: {head}");
    let subject = format!("subject_token={}&", demo.tokens["member-full"]);
    assert!(form.contains(&subject), "F277 the presented token");
    let of = "subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token";
    assert!(form.contains(of), "F277 type access_token: {form}");
    assert!(!form.contains("client_id"), "F277 no client: {form}");
}
