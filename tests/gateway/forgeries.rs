//! Identity that a client makes up, in bytes written by hand, over h1 and h2 on either side: none of it arrives.

use std::collections::HashMap;

use crate::gateway::Gateway;
use crate::node::{Node, is_here};
use crate::raw::message::{Message, folded};
use crate::raw::recorder::Recorder;
use crate::raw::rows::Step;
use crate::raw::{h1, h2};
use crate::upstream::{Http2Recorder, Upstream};

/// What each row is for; where it can be written; its fields. Every forged value has `forged` in it.
#[derive(Clone, Copy)]
struct Forgery {
    name: &'static str,
    on: On,
    fields: &'static [(&'static str, &'static str)],
    trailers: &'static [(&'static str, &'static str)],
    status: u16,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum On {
    Both,
    Http1,
}

const fn head(
    name: &'static str,
    on: On,
    fields: &'static [(&'static str, &'static str)],
) -> Forgery {
    Forgery { name, on, fields, trailers: &[], status: 200 }
}

const FORGERIES: &[Forgery] = &[
    head("nothing forged", On::Both, &[]),
    head("FE1 lower case", On::Both, &[("x-forwarded-user-id", "forged")]),
    head("FE1 upper case", On::Http1, &[("X-FORWARDED-USER-ID", "forged")]),
    head("FE1 mixed case", On::Http1, &[("x-FoRwArDeD-uSeR-iD", "forged")]),
    head(
        "FE1 duplicate",
        On::Both,
        &[("x-forwarded-user-id", "forged-1"), ("x-forwarded-user-id", "forged-2")],
    ),
    head(
        "FE1 three spellings of case",
        On::Http1,
        &[
            ("x-forwarded-user-id", "forged-1"),
            ("X-Forwarded-User-Id", "forged-2"),
            ("X-FORWARDED-USER-ID", "forged-3"),
        ],
    ),
    head("FE2 underscores", On::Both, &[("x_forwarded_user_id", "forged")]),
    head("FE2 some underscores", On::Both, &[("x-forwarded_user-role", "forged")]),
    head("FE2 another separator", On::Both, &[("x.forwarded.user.id", "forged")]),
    head("FE2 a field that is not sent", On::Both, &[("x-forwarded-user-groups", "forged")]),
    head("FE2 no field at all", On::Both, &[("x-forwarded-user-anything", "forged")]),
    head("FE2 the prefix alone", On::Both, &[("x-forwarded-user", "forged")]),
    head(
        "FE6 credentials and signatures",
        On::Both,
        &[
            ("cookie", "forged"),
            ("dpop", "forged"),
            ("txn-token", "forged"),
            ("x-upstream-authorization", "forged"),
            ("signature", "idf=:forged:"),
            ("signature-input", "idf=();tag=\"forged\""),
        ],
    ),
    head(
        "FF1 named by Connection",
        On::Http1,
        &[("Connection", "x-forwarded-user-id"), ("X-Forwarded-User-Id", "forged")],
    ),
    head(
        "FF1 named by Connection, twice and with more",
        On::Http1,
        &[
            ("Connection", "keep-alive, X_Forwarded_User_Id"),
            ("Connection", "x-forwarded-user-role, x-forwarded-user-id"),
            ("X-Forwarded-User-Role", "forged"),
        ],
    ),
    head(
        "FF1 named by Connection, ours alone",
        On::Http1,
        &[("Connection", "x-forwarded-user-id, x-forwarded-user-app")],
    ),
    Forgery {
        status: 404,
        ..head("FE9 an id of another leg", On::Both, &[("mcp-session-id", "forged")])
    },
    Forgery {
        trailers: &[("x-forwarded-user-id", "forged"), ("x_forwarded_user_role", "forged")],
        ..head("F47 as trailers", On::Both, &[])
    },
    Forgery {
        trailers: &[("x-forwarded-user-id", "forged"), ("x-own", "stays")],
        ..head(
            "F47 as announced trailers",
            On::Both,
            &[("te", "trailers"), ("trailer", "x-forwarded-user-id, x-own")],
        )
    },
];

const IDENTITY: &[(&str, &str)] = &[
    ("x-forwarded-user-id", "acc-alice"),
    ("x-forwarded-user-type", "account"),
    ("x-forwarded-user-workspace", "ws-north"),
    ("x-forwarded-user-role", "editor"),
    ("x-forwarded-user-app", "app-tools"),
];

/// A word of `--forward`, and what of it arrives.
struct Mode {
    word: String,
    identity: &'static [(&'static str, &'static str)],
    /// What is told beside it, once each, in other words every time.
    proofs: &'static [&'static str],
}

fn modes(key_file: &str, issuer: Option<&str>) -> Vec<Mode> {
    let mode = |word: &str, identity, proofs| Mode { word: word.to_owned(), identity, proofs };
    let mut modes = vec![mode("off", &[][..], &[][..]), mode("headers", IDENTITY, &[])];
    if cfg!(feature = "signed") {
        let signature = &["signature-input", "signature"];
        modes.push(mode(&format!("signed:{key_file}"), IDENTITY, signature));
        modes.push(mode("assertion", &[], &["x-forwarded-user-assertion"]));
    }
    if let Some(issuer) = issuer.filter(|_| cfg!(feature = "issuer-http")) {
        modes.push(mode(&format!("idp-token:{issuer}/issue"), &[], &["authorization"]));
    }
    modes
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_identity_never_arrives() {
    let (first, second) = (Recorder::default(), Http2Recorder::default());
    let (first_url, second_url) = (first.start().await, second.start().await);
    let issuer = if is_here().await { Some(Node::provider(600).await) } else { None };
    let key = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("gateway-forgeries-{}", std::process::id()));
    std::fs::write(&key, "0123456789abcdef0123456789abcdef").unwrap();
    let modes = modes(key.to_str().unwrap(), issuer.as_ref().map(|issuer| &*issuer.url));
    let (mut cells, mut arrived) = (0, 0);
    for (upstream, url, more) in [
        (Upstream::Http1(first), first_url, None),
        (Upstream::Http2(second), second_url, Some("--http2")),
    ] {
        for mode in &modes {
            let server = format!("tools={url}/mcp");
            let mut args = vec!["--upstream", &server, "--forward", &mode.word];
            args.extend(more);
            let gateway = Gateway::start(&args).await;
            for forgery in FORGERIES {
                for wire in ["h1", "h2"] {
                    if wire == "h2" && forgery.on == On::Http1 {
                        continue; // no such field in HTTP/2: RFC 9113 §8.2
                    }
                    let more = more.unwrap_or("--http1");
                    let name = format!("{} {} {wire} {more}", forgery.name, mode.word);
                    let status = send(&gateway, forgery, wire).await;
                    assert_eq!(status, forgery.status, "{name}");
                    arrived += judge(&name, &upstream.take(), forgery.status, mode);
                    cells += 1;
                }
            }
        }
    }
    std::fs::remove_file(&key).unwrap();
    println!("figure forged_identities_arrived {arrived} 0 (of {cells})");
    assert_eq!(arrived, 0);
}

async fn send(gateway: &Gateway, forgery: &Forgery, wire: &str) -> u16 {
    let owned = |lines: &[(&str, &str)]| {
        let lines = lines.iter();
        lines.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>()
    };
    let token = format!("Bearer {}", gateway.tokens["alice"]);
    let mut fields = owned(&[("Authorization", &token), ("Content-Type", "application/json")]);
    fields.extend(owned(forgery.fields));
    let step = Step {
        method: "POST".to_owned(),
        target: "/apps/app-tools/mcp/tools".to_owned(),
        fields,
        body: "{}".to_owned(),
        trailers: owned(forgery.trailers),
        times: 1,
        answers: vec![("any".to_owned(), "-".to_owned())],
        ..Step::default()
    };
    let names = HashMap::new();
    let mut answers = if wire == "h1" {
        h1::Connection::open(&gateway.address).await.send(&step, &names).await
    } else {
        h2::Connection::open(&gateway.address).await.send(&step, &names).await
    };
    answers.remove(0).unwrap().status()
}

/// Exactly our identity, one line each, in head and trailers. How many of the forged lines are there?
fn judge(name: &str, seen: &[Message], status: u16, mode: &Mode) -> usize {
    if status != 200 {
        assert!(seen.is_empty(), "{name}: {seen:?}");
        return 0;
    }
    let [request] = seen else { panic!("{name}: {seen:?}") };
    let lines = || request.fields.iter().chain(&request.trailers);
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let is_proof = |line: &str| mode.proofs.contains(&line);
    let ours = lines().map(|(line, value)| (folded(line), text(value)));
    let ours = ours.filter(|(line, _)| line.starts_with("x-forwarded-") && !is_proof(line));
    let mut ours: Vec<_> = ours.collect();
    ours.sort(); // between different names order says nothing: RFC 9110 §5.3
    let want = mode.identity.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let mut want: Vec<_> = want.collect();
    want.sort();
    assert_eq!(ours, want, "{name}");
    for proof in mode.proofs {
        let count = request.fields.iter().filter(|(line, _)| folded(line) == *proof).count();
        assert_eq!(count, 1, "{name}: {proof}");
        assert!(!request.trailers.iter().any(|(line, _)| folded(line) == *proof), "{name}");
    }
    for gone in ["authorization", "connection", "mcp-session-id", "signature", "signature-input"] {
        let arrived = lines().any(|(line, _)| folded(line) == gone);
        assert!(!arrived || is_proof(gone), "{name}: {gone} arrived");
    }
    lines().filter(|(_, value)| text(value).contains("forged")).count()
}
