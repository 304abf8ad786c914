//! Identity that a client makes up, in bytes written by hand, over h1 and h2 on either side: none of it arrives.

use std::collections::HashMap;

use crate::gateway::Gateway;
use crate::raw::message::{Message, folded};
use crate::raw::recorder::Recorder;
use crate::raw::rows::Step;
use crate::raw::{h1, h2};
use crate::upstream::Http2Recorder;

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

enum Upstream {
    Http1(Recorder),
    Http2(Http2Recorder),
}

impl Upstream {
    fn take(&self) -> Vec<Message> {
        match self {
            Self::Http1(recorder) => recorder.take(),
            Self::Http2(recorder) => recorder.take(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_identity_never_arrives() {
    let (first, second) = (Recorder::default(), Http2Recorder::default());
    let (first_url, second_url) = (first.start().await, second.start().await);
    let mut cells = 0;
    for (upstream, url, more) in [
        (Upstream::Http1(first), first_url, None),
        (Upstream::Http2(second), second_url, Some("--http2")),
    ] {
        for (mode, identity) in [("off", &[][..]), ("headers", IDENTITY)] {
            let server = format!("tools={url}/mcp");
            let mut args = vec!["--upstream", &server, "--forward", mode];
            args.extend(more);
            let gateway = Gateway::start(&args).await;
            for forgery in FORGERIES {
                for wire in ["h1", "h2"] {
                    if wire == "h2" && forgery.on == On::Http1 {
                        continue; // no such field in HTTP/2: RFC 9113 §8.2
                    }
                    let name =
                        format!("{} {mode} {wire} {}", forgery.name, more.unwrap_or("--http1"));
                    let status = send(&gateway, forgery, wire).await;
                    assert_eq!(status, forgery.status, "{name}");
                    judge(&name, &upstream.take(), forgery.status, identity);
                    cells += 1;
                }
            }
        }
    }
    println!("forgeries {cells}, none arrived");
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

/// Exactly our identity, one line each, and nothing forged in head or trailers.
fn judge(name: &str, seen: &[Message], status: u16, identity: &[(&str, &str)]) {
    if status != 200 {
        assert!(seen.is_empty(), "{name}: {seen:?}");
        return;
    }
    let [request] = seen else { panic!("{name}: {seen:?}") };
    let lines = || request.fields.iter().chain(&request.trailers);
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let ours = lines().filter(|(name, _)| folded(name).starts_with("x-forwarded-"));
    let ours: Vec<_> = ours.map(|(name, value)| (folded(name), text(value))).collect();
    let want: Vec<_> =
        identity.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    assert_eq!(ours, want, "{name}");
    let forged = lines().find(|(_, value)| text(value).contains("forged"));
    assert!(forged.is_none(), "{name}: {forged:?}");
    for gone in ["authorization", "connection", "mcp-session-id", "signature", "signature-input"] {
        assert!(!lines().any(|(line, _)| folded(line) == gone), "{name}: {gone} arrived");
    }
}
