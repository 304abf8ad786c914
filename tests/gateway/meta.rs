//! Identity that a client writes into messages, under the gateway's own key: none of it arrives.

use serde_json::Value;

use crate::gateway::Gateway;
use crate::post::post;
use crate::raw::recorder::Recorder;
use crate::upstream::{Http2Recorder, Upstream};

/// What a client sends, of which type, and how it is answered. Every forged value has `forged` in it.
struct Forgery {
    name: &'static str,
    media: &'static [(&'static str, &'static str)],
    body: &'static str,
    status: u16,
}

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const CODED: &[(&str, &str)] = &[JSON[0], ("content-encoding", "gzip")];
const TWO: &[(&str, &str)] = &[JSON[0], ("content-type", "text/plain")];

const fn row(name: &'static str, body: &'static str, status: u16) -> Forgery {
    Forgery { name, media: JSON, body, status }
}

const fn of(media: &'static [(&'static str, &'static str)], forgery: Forgery) -> Forgery {
    Forgery { media, ..forgery }
}

const PLAIN: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"com.example/caller":"forged"}}}"#;

const FORGERIES: &[Forgery] = &[
    row("F150 a request", PLAIN, 200),
    row(
        "F150 an object",
        r#"{"id":1,"method":"m","params":{"_meta":{"com.example/caller":{"id":"forged"}}}}"#,
        200,
    ),
    row(
        "F150 a notification",
        r#"{"method":"m","params":{"_meta":{"com.example/caller":["forged"]}}}"#,
        200,
    ),
    row("F150 an answer", r#"{"id":1,"result":{"_meta":{"com.example/caller":"forged"}}}"#, 200),
    row(
        "F150 beside its own, which stays",
        r#"{"id":1,"method":"m","params":{"_meta":{"a":1,"com.example/caller":"forged","b":2}}}"#,
        200,
    ),
    row(
        "F150 deeper, where nobody looks for it",
        r#"{"id":1,"method":"m","params":{"_meta":{"com.example/caller":"forged","x":{"com.example/caller":"own"}}}}"#,
        200,
    ),
    row(
        "F150 a batch",
        r#"[{"id":1,"method":"m","params":{"_meta":{"com.example/caller":"forged"}}},{"method":"n","params":{"_meta":{"com.example/caller":"forged"}}},{"id":3,"result":{"_meta":{"com.example/caller":"forged"}}}]"#,
        200,
    ),
    row(
        "F152 an escaped key",
        r#"{"id":1,"method":"m","params":{"_meta":{"\u0063om.example\/caller":"forged"}}}"#,
        200,
    ),
    row(
        "F152 an escaped _meta",
        r#"{"id":1,"method":"m","params":{"\u005fmeta":{"com.example/caller":"forged"}}}"#,
        200,
    ),
    row(
        "F152 escaped params",
        r#"{"id":1,"method":"m","p\u0061rams":{"_meta":{"com.example/caller":"forged"}}}"#,
        200,
    ),
    row(
        "F152 an escaped method",
        r#"{"id":1,"\u006dethod":"m","params":{"_meta":{"com.example/caller":"forged"}}}"#,
        200,
    ),
    row(
        "F152 the key twice",
        r#"{"id":1,"method":"m","params":{"_meta":{"com.example/caller":1,"com.example/caller":"forged"}}}"#,
        400,
    ),
    row(
        "F152 the key twice, once escaped",
        r#"{"id":1,"method":"m","params":{"_meta":{"com.example/caller":1,"com.example\/caller":"forged"}}}"#,
        400,
    ),
    row(
        "F152 _meta twice",
        r#"{"id":1,"method":"m","params":{"_meta":{},"_meta":{"com.example/caller":"forged"}}}"#,
        400,
    ),
    row(
        "F152 params twice",
        r#"{"id":1,"method":"m","params":{},"params":{"_meta":{"com.example/caller":"forged"}}}"#,
        400,
    ),
    row("F151 _meta no object", r#"{"id":1,"method":"m","params":{"_meta":["forged"]}}"#, 400),
    row("F149 no JSON", r#"{"method":"m","params":{"_meta":{"com.example/caller":"forged""#, 400),
    of(&[("content-type", "text/json")], row("F148 text/json", PLAIN, 200)),
    of(&[("content-type", "Application/X+JSON; charset=utf-8")], row("F148 +json", PLAIN, 200)),
    of(&[], row("F148 no type", PLAIN, 200)),
    of(&[("content-type", "text/plain")], row("F148 another type", PLAIN, 415)),
    of(CODED, row("F148 coded", PLAIN, 415)),
    of(TWO, row("F148 two types", PLAIN, 400)),
];

const OURS: &str = r#"{"id":"acc-alice","type":"account","workspace":"ws-north","role":"editor","app":"app-tools"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn forged_meta_never_arrives() {
    let (first, second) = (Recorder::default(), Http2Recorder::default());
    let (first_url, second_url) = (first.start().await, second.start().await);
    let (mut cells, mut arrived) = (0, 0);
    for (upstream, url, more) in [
        (Upstream::Http1(first), first_url, None),
        (Upstream::Http2(second), second_url, Some("--http2")),
    ] {
        for mode in ["off", "headers"] {
            let server = format!("tools={url}/mcp");
            let key = "com.example/caller";
            let mut args = vec!["--upstream", &server, "--forward", mode, "--meta", key];
            args.extend(more);
            let gateway = Gateway::start(&args).await;
            let (url, token) = (&gateway.urls["tools"], &gateway.tokens["alice"]);
            for forgery in FORGERIES {
                for is_http2 in [false, true] {
                    let name = format!("{} {mode} h2 {is_http2} {more:?}", forgery.name);
                    let (status, ..) =
                        post(url, token, forgery.media, forgery.body, is_http2).await;
                    assert_eq!(status, forgery.status, "{name}");
                    let seen = upstream.take();
                    let bodies = seen.iter().map(|message| String::from_utf8_lossy(&message.body));
                    let bodies: Vec<_> = bodies.collect();
                    arrived += bodies.iter().filter(|body| body.contains("forged")).count();
                    assert_eq!(bodies.len(), usize::from(forgery.status == 200), "{name}");
                    for body in &bodies {
                        judge(&name, body);
                    }
                    cells += 1;
                }
            }
        }
    }
    println!("forged _meta {cells}, {arrived} arrived");
    println!("figure forged_meta_arrived {arrived} 0 (of {cells})");
    assert_eq!(arrived, 0);
}

/// Requests and notifications have exactly our identity, answers none.
fn judge(name: &str, body: &str) {
    let ours: Value = serde_json::from_str(OURS).unwrap();
    let message: Value = serde_json::from_str(body).unwrap();
    let messages = message.as_array().cloned().unwrap_or_else(|| vec![message]);
    assert!(!messages.is_empty(), "{name}");
    for message in messages {
        let told = |part: &str| message[part]["_meta"].get("com.example/caller").cloned();
        let is_asking = message.get("method").is_some();
        assert_eq!(told("params"), is_asking.then(|| ours.clone()), "{name}: {body}");
        assert_eq!(told("result"), None, "{name}: {body}");
    }
    assert!(!body.contains("forged"), "{name}: {body}");
    if name.contains("beside its own") {
        assert!(body.contains(r#""a":1"#) && body.contains(r#""b":2"#), "{name}: {body}");
    }
    if name.contains("deeper") {
        assert!(body.contains(r#""own""#), "{name}: {body}");
    }
}
