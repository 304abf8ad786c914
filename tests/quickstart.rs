//! The example service answers as its acceptance table says, over real sockets, to whoever comes from outside.

#[expect(unreachable_pub, reason = "a file of this test's own")]
#[path = "support/demo.rs"]
mod demo;

use std::collections::HashMap;

use bytes::Bytes;
use demo::{Answer, Caller, Demo, Upstream};
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

const COLUMNS: [&str; 10] = [
    "none",
    "junk",
    "member-expired",
    "member-full",
    "member-read",
    "member-run",
    "member-manage",
    "outsider-full",
    "suspended-full",
    "guest",
];

/// Id, request, scope of the hint, and what each column gets.
type Row =
    (&'static str, &'static str, &'static [&'static str], Option<&'static str>, &'static str);

const READ: Option<&str> = Some("apps:read");
const RUN: Option<&str> = Some("apps:run");
const LIST: Option<&str> = Some("apps:read:permitted-external");

#[rustfmt::skip]
const TABLE: &[Row] = &[
    ("P1461", "GET", &["/healthz"], None, "200 200 200 200 200 200 200 200 200 200"),
    ("P1462", "GET", &["/me"], None, "mt it it 200 200 200 200 200 200 200"),
    ("P1463", "GET", &["/apps/app-public", "/apps/app-sso", "/apps/app-members", "/apps/app-picked"], READ, "mt it it 200 200 is 200 nf nf is"),
    ("P1464", "GET", &["/apps/app-vault"], READ, "mt it it ad ad is ad nf nf is"),
    ("P1465", "GET", &["/apps/app-off"], READ, "mt it it di di is di nf nf is"),
    ("P1466", "GET", &["/apps/app-south"], READ, "mt it it nf nf is nf 200 nf is"),
    ("P1467", "GET", &["/apps/app-none"], READ, "mt it it nf nf is nf nf nf is"),
    ("P1468", "POST", &["/apps/app-public/run", "/apps/app-sso/run"], RUN, "mt it it 200 is 200 200 nf nf 200"),
    ("P1469", "POST", &["/apps/app-members/run", "/apps/app-picked/run"], RUN, "mt it it 200 is 200 200 nf nf ad"),
    ("P1470", "POST", &["/apps/app-vault/run"], RUN, "mt it it ad is ad ad nf nf ad"),
    ("P1471", "POST", &["/apps/app-off/run"], RUN, "mt it it di is di di nf nf di"),
    ("P1472", "POST", &["/apps/app-south/run"], RUN, "mt it it nf is nf nf 200 nf 200"),
    ("P1473", "POST", &["/apps/app-none/run"], RUN, "mt it it nf is nf nf nf nf nf"),
    ("P1474", "GET", &["/workspaces/ws-north/apps"], None, "mt it it 200 200 200 200 nf nf ut:account"),
    ("P1475", "GET", &["/workspaces/ws-south/apps"], None, "mt it it nf nf nf nf 200 nf ut:account"),
    ("P1476", "GET", &["/workspaces/ws-none/apps"], None, "mt it it nf nf nf nf nf nf ut:account"),
    ("P1477", "GET", &["/permitted-apps"], LIST, "mt it it ut:external ut:external ut:external ut:external ut:external ut:external 200"),
    ("P1480", "GET", &["/nowhere", "/apps/app-public/proxy/x", "/apps/"], None, "mt it it nf nf nf nf nf nf nf"),
    ("P1481", "POST", &["/me"], None, "mt it it ma:GET,_HEAD ma:GET,_HEAD ma:GET,_HEAD ma:GET,_HEAD ma:GET,_HEAD ma:GET,_HEAD ma:GET,_HEAD"),
    ("P1450", "GET", &["/tokens/self"], None, "mt it it ma:DELETE ma:DELETE ma:DELETE ma:DELETE ma:DELETE ma:DELETE ma:DELETE"),
    ("P1450", "GET", &["/apps/app-public/run"], RUN, "mt it it ma:POST is ma:POST ma:POST nf nf ma:POST"),
    ("P1101", "OPTIONS", &["/me"], None, "mt it it ma:GET,_HEAD ma:GET,_HEAD ma:GET,_HEAD ma:GET,_HEAD ma:GET,_HEAD ma:GET,_HEAD ma:GET,_HEAD"),
];

/// The proxied rows are those of P1468 to P1473, by any method.
const PROXIED_BY: [&str; 8] = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "BREW"];

const ENDING: Row =
    ("P1479", "DELETE", &["/tokens/self"], None, "mt it it 204 204 204 204 204 204 204");

/// Counts what was compared.
struct Matrix<'d> {
    demo: &'d Demo,
    caller: Caller,
    cells: u32,
    failed: u32,
    /// The id that an end user was given, by app.
    end_users: HashMap<String, Value>,
}

impl<'d> Matrix<'d> {
    fn new(demo: &'d Demo, caller: Caller) -> Self {
        Self { demo, caller, cells: 0, failed: 0, end_users: HashMap::new() }
    }

    async fn rows(&mut self, rows: &[Row]) {
        for &(id, method, paths, hint, cells) in rows {
            for path in paths {
                for (column, cell) in COLUMNS.into_iter().zip(cells.split(' ')) {
                    for authorization in self.credentials(column) {
                        self.cell((id, method, path, hint), column, cell, &authorization).await;
                    }
                }
                let malformed = if id == "P1461" { "200" } else { "ir" };
                for authorization in self.malformed() {
                    self.cell((id, method, path, hint), "malformed", malformed, &authorization)
                        .await;
                }
            }
        }
    }

    /// The lines of one column; junk comes in three sorts that answer alike.
    fn credentials(&self, column: &str) -> Vec<Vec<String>> {
        let bearer = |token: &str| vec![format!("Bearer {token}")];
        match column {
            "none" => vec![vec![]],
            "junk" => {
                let token = &self.demo.tokens["member-full"];
                let (start, last) = token.split_at(token.len() - 1);
                let wrong_checksum = format!("{start}{}", if last == "0" { "1" } else { "0" });
                vec![
                    bearer("ghp_0123456789"),
                    bearer(&wrong_checksum),
                    // well-formed, and minted by an earlier start
                    bearer("tba_VmGkYiHqL_EO2k60IGjKSjTWND1H9K4MAFeQU33st8c29CoiI"),
                ]
            }
            name => vec![bearer(&self.demo.tokens[name])],
        }
    }

    fn malformed(&self) -> Vec<Vec<String>> {
        let full = format!("Bearer {}", self.demo.tokens["member-full"]);
        vec![
            vec![full.clone(), full.clone()],
            vec![String::new()],
            vec!["Bearer".to_owned()],
            vec!["Bearer\tx".to_owned()],
            vec![format!("{full}, x")],
            vec![format!("{full} x")],
        ]
    }

    async fn cell(
        &mut self,
        (id, method, path, hint): (&str, &str, &str, Option<&str>),
        column: &str,
        cell: &str,
        authorization: &[String],
    ) {
        let url = format!("{}{path}", self.demo.url);
        let answer = self.caller.call(method, url, authorization).await;
        self.cells += 1;
        let faults = if cell == "200" {
            self.success(id, method, path, column, &answer)
        } else {
            refusal_faults(cell, hint, method, &answer)
        };
        if !faults.is_empty() {
            self.failed += 1;
            println!("{id} {method} {path} {column}: want {cell}, {faults:?}: {answer:?}");
        }
    }

    /// What is wrong with a 200.
    fn success(
        &mut self,
        id: &str,
        method: &str,
        path: &str,
        column: &str,
        answer: &Answer,
    ) -> Vec<&'static str> {
        let mut faults = Vec::new();
        let mut check = |fine: bool, fault| {
            if !fine {
                faults.push(fault)
            }
        };
        check(answer.status == 200, "status");
        check(answer.header("www-authenticate").is_none(), "challenge");
        if id == "P1478" {
            let rest = path.split("/proxy").nth(1).unwrap();
            let want = match method {
                "HEAD" => String::new(),
                _ => format!("upstream {method} {rest}"),
            };
            check(answer.body == want, "body");
            check(answer.header("x-upstream").as_deref() == Some("yes"), "upstream's header");
            check(answer.header("x-forwarded-user-id").is_none(), "identity in the answer");
            return faults;
        }
        check(answer.header("content-type").as_deref() == Some("application/json"), "type");
        let mut got = answer.json();
        let segments: Vec<&str> = path.split('/').collect();
        let want = match segments.as_slice() {
            ["", "healthz"] => json!({ "status": "ok" }),
            ["", "me"] => {
                let token_id = got["token_id"].take();
                check(token_id.as_str().is_some_and(|id| id.starts_with("tok_")), "token_id");
                let left = got["expires_at"].take().as_u64().unwrap_or(0).abs_diff(now() + 86_400);
                check(left < 600, "expires_at");
                me(column)
            }
            ["", "apps", app] => {
                json!({ "id": app, "workspace": workspace(app), "access_mode": mode(app) })
            }
            ["", "apps", app, "run"] if column == "guest" => {
                let id = got["caller"]["id"].take();
                let first = self.end_users.entry((*app).to_owned()).or_insert_with(|| id.clone());
                check(id.as_str().is_some_and(|id| !id.is_empty()), "end user's id");
                check(*first == id, "another end user than before");
                let caller = json!({ "type": "end_user", "id": null, "issuer": "https://idp.example", "subject": "guest-1" });
                json!({ "app": app, "workspace": workspace(app), "caller": caller })
            }
            ["", "apps", app, "run"] => {
                let (id, role) = match column {
                    "outsider-full" => ("acc-outsider", "owner"),
                    _ => ("acc-member", "editor"),
                };
                let caller = json!({ "type": "account", "id": id, "role": role });
                json!({ "app": app, "workspace": workspace(app), "caller": caller })
            }
            ["", "workspaces", of, "apps"] => {
                let apps = APPS.iter().filter(|(_, workspace, _)| workspace == of);
                let shown = |(id, _, mode): &(&str, &str, &str)| json!({ "id": id, "access_mode": mode, "enabled": *id != "app-off" });
                json!({ "workspace": of, "apps": apps.map(shown).collect::<Vec<_>>() })
            }
            ["", "permitted-apps"] => {
                let shown =
                    |id| json!({ "id": id, "workspace": workspace(id), "access_mode": mode(id) });
                let apps = ["app-public", "app-south", "app-sso"].map(shown);
                json!({ "apps": apps })
            }
            _ => panic!("no answer known for {path}"),
        };
        check(got == want, "body");
        faults
    }
}

/// Sorted by id: app, workspace, access mode.
const APPS: [(&str, &str, &str); 7] = [
    ("app-members", "ws-north", "private_all"),
    ("app-off", "ws-north", "private_all"),
    ("app-picked", "ws-north", "private"),
    ("app-public", "ws-north", "public"),
    ("app-south", "ws-south", "public"),
    ("app-sso", "ws-north", "sso_verified"),
    ("app-vault", "ws-north", "private"),
];

fn workspace(app: &str) -> &'static str {
    APPS.iter().find(|(id, ..)| *id == app).unwrap().1
}

fn mode(app: &str) -> &'static str {
    APPS.iter().find(|(id, ..)| *id == app).unwrap().2
}

/// P1442 without token id and expiry.
fn me(column: &str) -> Value {
    let (subject, kind, scopes) = match column {
        "guest" => (
            json!({ "type": "external", "issuer": "https://idp.example", "subject": "guest-1", "email": "guest@partner.example" }),
            "external",
            json!(["apps:read:permitted-external", "apps:run"]),
        ),
        name => {
            let (who, scope) = name.split_once('-').unwrap();
            let scope = if scope == "full" { "full".to_owned() } else { format!("apps:{scope}") };
            (json!({ "type": "account", "id": format!("acc-{who}") }), "account", json!([scope]))
        }
    };
    json!({ "subject": subject, "kind": kind, "token_id": null, "scopes": scopes, "workspace": null, "expires_at": null })
}

#[expect(clippy::disallowed_methods, reason = "the demo runs by the real time")]
fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

/// What is wrong with a refusal, byte for byte of §9.
fn refusal_faults(
    cell: &str,
    hint: Option<&str>,
    method: &str,
    answer: &Answer,
) -> Vec<&'static str> {
    let (word, more) = cell.split_once(':').unwrap_or((cell, ""));
    let (status, title, error, detail) = match word {
        "204" => (204, "", "", ""),
        "ir" => (
            400,
            "Bad Request",
            "invalid_request",
            "Send exactly one credential, as Authorization: Bearer <token>.",
        ),
        "mt" => (401, "Unauthorized", "missing_token", "An access token is required."),
        "it" => (
            401,
            "Unauthorized",
            "invalid_token",
            "The access token is invalid, expired or revoked.",
        ),
        "ut" => (
            403,
            "Forbidden",
            "unsupported_token_type",
            "This kind of access token is not accepted here.",
        ),
        "is" => {
            (403, "Forbidden", "insufficient_scope", "The access token lacks a required scope.")
        }
        "nf" => (404, "Not Found", "not_found", "No such resource, or the caller may not see it."),
        "di" => (403, "Forbidden", "app_disabled", "This app is disabled."),
        "ad" => (403, "Forbidden", "app_access_denied", "The caller may not use this app."),
        "ma" => {
            (405, "Method Not Allowed", "method_not_allowed", "This method is not allowed here.")
        }
        _ => panic!("no cell {cell}"),
    };
    let mut faults = Vec::new();
    let mut check = |fine: bool, fault| {
        if !fine {
            faults.push(fault)
        }
    };
    check(answer.status == status, "status");
    if word == "204" {
        check(answer.body.is_empty(), "body");
        return faults;
    }
    let scope = hint.unwrap_or_default();
    let extra = match word {
        "ut" => format!(r#","accepted_kinds":["{more}"]"#),
        "is" => format!(r#","required_scopes":["{scope}"],"match":"all""#),
        _ => String::new(),
    };
    let body = format!(
        r#"{{"type":"about:blank","title":"{title}","status":{status},"error":"{error}","detail":"{detail}"{extra}}}"#
    );
    let challenge = match (word, hint) {
        ("mt", None) => Some(r#"Bearer realm="api""#.to_owned()),
        ("mt", Some(scope)) => Some(format!(r#"Bearer realm="api", scope="{scope}""#)),
        ("it" | "ir", _) => {
            Some(format!(r#"Bearer realm="api", error="{error}", error_description="{detail}""#))
        }
        ("is", _) => Some(format!(
            r#"Bearer realm="api", error="{error}", error_description="{detail}", scope="{scope}""#
        )),
        _ => None,
    };
    check(answer.header("content-length") == Some(body.len().to_string()), "content-length");
    check(answer.body == if method == "HEAD" { "" } else { body.as_str() }, "body");
    check(answer.header("www-authenticate") == challenge, "challenge");
    check(answer.header("content-type").as_deref() == Some("application/problem+json"), "type");
    check(answer.header("cache-control").as_deref() == Some("no-store"), "cache-control");
    check(
        answer.header("allow").as_deref()
            == (word == "ma").then_some(more.replace('_', " ").as_str()),
        "allow",
    );
    check(answer.header("retry-after").is_none(), "retry-after");
    faults
}

#[tokio::test(flavor = "multi_thread")]
async fn acceptance_table() {
    let upstream = Upstream::default();
    let url = upstream.start().await;
    let plain = Demo::start(&["--limit", "1000/1"]).await;
    let proxying = Demo::start(&["--limit", "1000/1", "--upstream", &url]).await;
    let (mut cells, mut failed) = (0, 0);
    for caller in [Caller::h1(), Caller::h2()] {
        let mut matrix = Matrix::new(&plain, caller.clone());
        matrix.rows(TABLE).await;
        let mut behind = Matrix::new(&proxying, caller);
        for &(_, _, paths, hint, wants) in &TABLE[7..13] {
            for path in paths {
                let path = path.replace("/run", "/proxy/x?y=z");
                for method in PROXIED_BY {
                    for (column, cell) in COLUMNS.into_iter().zip(wants.split(' ')) {
                        for authorization in behind.credentials(column) {
                            let request = ("P1478", method, path.as_str(), hint);
                            behind.cell(request, column, cell, &authorization).await;
                        }
                    }
                }
            }
        }
        cells += matrix.cells + behind.cells;
        failed += matrix.failed + behind.failed;
    }
    let mut ending = Matrix::new(&plain, Caller::h1());
    ending.rows(&[ENDING]).await;
    let dead: Vec<&str> = COLUMNS[3..].to_vec();
    for name in dead {
        let authorization = ending.credentials(name).remove(0);
        let request = ("P1479 afterwards", "GET", "/me", None);
        ending.cell(request, name, "it", &authorization).await;
    }
    println!("matrix cells {} failed {}", cells + ending.cells, failed + ending.failed);
    assert_eq!(failed + ending.failed, 0);
}

/// XF11: the routes are those of the table and no other; none is open that should not be.
#[tokio::test]
async fn tests_table_is_whole() {
    let rows: Vec<usize> = TABLE.iter().map(|row| row.4.split(' ').count()).collect();
    assert!(rows.iter().all(|cells| *cells == COLUMNS.len()), "{rows:?}");
    assert!(TABLE[7].0 == "P1468" && TABLE[12].0 == "P1473");
}

#[tokio::test]
async fn upstream_is_told_who_calls() {
    let upstream = Upstream::default();
    let url = upstream.start().await;
    let guest_id = "145ee6484fcdcf04df64cc7681844e9ffa5c9401d7dabd0c87df31bb674cd95b";
    let member: &[(&str, &str)] = &[
        ("x-forwarded-user-id", "acc-member"),
        ("x-forwarded-user-type", "account"),
        ("x-forwarded-user-workspace", "ws-north"),
        ("x-forwarded-user-role", "editor"),
        ("x-forwarded-user-app", "app-public"),
    ];
    let guest: &[(&str, &str)] = &[
        ("x-forwarded-user-id", guest_id),
        ("x-forwarded-user-type", "external"),
        ("x-forwarded-user-issuer", "https://idp.example"),
        ("x-forwarded-user-workspace", "ws-north"),
        ("x-forwarded-user-app", "app-public"),
    ];
    for (row, mode, token, want) in [
        ("FA5 member", "headers", "member-full", member),
        ("FA5 guest", "headers", "guest", guest),
        ("FA1 off", "off", "member-full", &[]),
    ] {
        let demo = Demo::start(&["--upstream", &url, "--forward", mode]).await;
        let request = Request::builder()
            .method("POST")
            .uri(format!("{}/apps/app-public/proxy/x/y%20z?q=1", demo.url))
            .header("authorization", format!("Bearer {}", demo.tokens[token]))
            .header("x-forwarded-user-id", "admin")
            .header("X-Forwarded_User-Email", "admin@co.example")
            .header("x-forwarded-user-admin", "true")
            .header("connection", "x-forwarded-user-id")
            .body(Full::from("body"))
            .unwrap();
        let answer = Caller::h1().send(request).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, "upstream POST /x/y%20z?q=1"),
            "{row}"
        );
        let seen = upstream.take().remove(0);
        let mut identity: Vec<(&str, &str)> = seen
            .headers()
            .iter()
            .filter(|(name, _)| name.as_str().replace('_', "-").starts_with("x-forwarded"))
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        let mut want = want.to_vec();
        identity.sort_unstable();
        want.sort_unstable();
        assert_eq!(identity, want, "{row}");
        assert!(!seen.headers().contains_key("authorization"), "{row}");
        assert_eq!(seen.headers()["host"], url.trim_start_matches("http://"), "{row}");
        assert_eq!(seen.body(), &Bytes::from("body"), "{row}");
        for rest in ["../../b", "%2e%2e/b", "x%2fy", "x%5Cy", "x%00", "./x", "x%zz"] {
            let url = format!("{}/apps/app-public/proxy/{rest}", demo.url);
            let answer = Caller::h1().bearer("GET", url, &demo.tokens[token]).await;
            assert_eq!((answer.status, answer.error().as_str()), (404, "not_found"), "XF14 {rest}");
        }
        assert_eq!(upstream.take().len(), 0, "XF14 the upstream is not called");
    }
    let demo = Demo::start(&["--upstream", "http://127.0.0.1:1"]).await;
    let url = format!("{}/apps/app-public/proxy/x", demo.url);
    let answer = Caller::h1().bearer("GET", url, &demo.tokens["member-full"]).await;
    assert_eq!((answer.status, answer.error().as_str()), (502, "bad_gateway"), "nobody there");
}

#[tokio::test]
async fn minting_and_ending() {
    let demo = Demo::start(&["--limit", "1000/1"]).await;
    let caller = Caller::h1();
    let (admin, url) = (&demo.admin, &demo.url);
    let run = |token: String| {
        let (caller, url) = (caller.clone(), format!("{url}/apps/app-public/run"));
        async move {
            let answer = caller.bearer("POST", url, &token).await;
            (answer.status, answer.error())
        }
    };
    let it = (401, "invalid_token".to_owned());
    let passed = (200, String::new());

    let body = r#"{"kind":"account","account":"acc-member","client_id":"cli","label":"ci","scopes":["apps:run"]}"#;
    let minted = caller.json("POST", format!("{admin}/admin/tokens"), body).await;
    assert_eq!(minted.status, 201, "P1494 {minted:?}");
    assert_eq!(minted.header("cache-control").as_deref(), Some("no-store"), "P1491");
    let mut members: Vec<String> = minted.json().as_object().unwrap().keys().cloned().collect();
    members.sort();
    assert_eq!(members, ["expires_at", "kind", "scopes", "token", "token_id"], "DT5");
    assert_eq!(
        (&minted.json()["kind"], &minted.json()["scopes"]),
        (&json!("account"), &json!(["apps:run"])),
        "DT5"
    );
    let token = minted.json()["token"].as_str().unwrap().to_owned();
    let id = minted.json()["token_id"].as_str().unwrap().to_owned();
    assert_eq!(run(token.clone()).await, passed, "P1494");
    let rotated = caller.json("POST", format!("{admin}/admin/tokens"), body).await;
    assert_eq!(rotated.json()["token_id"], minted.json()["token_id"], "DM10 the id stays");
    assert_eq!(run(token).await, it, "DM10 the old token is dead");
    let token = rotated.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(run(token.clone()).await, passed, "DM10");
    for row in ["P1494 P1492", "P1492 again"] {
        let ended = caller.call("DELETE", format!("{admin}/admin/tokens/{id}"), &[]).await;
        assert_eq!((ended.status, ended.body.as_str()), (204, ""), "{row}");
        assert_eq!(run(token.clone()).await, it, "{row}");
    }

    let delete =
        caller.bearer("DELETE", format!("{url}/tokens/self"), &demo.tokens["member-run"]).await;
    assert_eq!(delete.status, 204, "P1496");
    let me = caller.bearer("GET", format!("{url}/me"), &demo.tokens["member-run"]).await;
    assert_eq!((me.status, me.error()), it, "P1496");
    let me = caller.bearer("GET", format!("{url}/me"), &demo.tokens["member-read"]).await;
    assert_eq!(me.status, 200, "P1496");
}

#[tokio::test]
async fn members_apps_and_accounts_change() {
    let demo = Demo::start(&["--limit", "1000/1"]).await;
    let caller = Caller::h1();
    let full = &demo.tokens["member-full"];
    let nf = "404 not_found";
    for (row, method, path, body, want) in [
        ("P1500", "POST", "/apps/app-public/run", "", "200 "),
        ("P1500", "PATCH", "/admin/apps/app-public", r#"{"enabled":false}"#, "204 "),
        ("P1500", "POST", "/apps/app-public/run", "", "403 app_disabled"),
        ("P1498 so already", "PATCH", "/admin/apps/app-public", r#"{"enabled":false}"#, "204 "),
        ("P1500", "PATCH", "/admin/apps/app-public", r#"{"enabled":true}"#, "204 "),
        ("P1500", "POST", "/apps/app-public/run", "", "200 "),
        (
            "P1498 both",
            "PATCH",
            "/admin/apps/app-public",
            r#"{"enabled":true,"access_mode":"private"}"#,
            "204 ",
        ),
        ("P1498", "POST", "/apps/app-public/run", "", "403 app_access_denied"),
        (
            "P1498 any word",
            "PATCH",
            "/admin/apps/app-public",
            r#"{"access_mode":"members-of-the-moon"}"#,
            "204 ",
        ),
        ("P1498", "POST", "/apps/app-public/run", "", "403 app_access_denied"),
        ("P1498", "PATCH", "/admin/apps/app-public", r#"{"access_mode":"public"}"#, "204 "),
        ("P1498", "POST", "/apps/app-public/run", "", "200 "),
        ("P1498", "PATCH", "/admin/apps/app-none", r#"{"enabled":true}"#, nf),
        ("P1500", "PATCH", "/admin/accounts/acc-member", r#"{"status":"pending"}"#, "204 "),
        ("P1500", "POST", "/apps/app-public/run", "", nf),
        ("P1500", "GET", "/me", "", "200 "),
        ("P1497", "PATCH", "/admin/accounts/acc-member", r#"{"status":"active"}"#, "204 "),
        ("P1497", "POST", "/apps/app-public/run", "", "200 "),
        ("P1497", "PATCH", "/admin/accounts/acc-none", r#"{"status":"active"}"#, nf),
        ("P1497", "PATCH", "/admin/workspaces/ws-north", r#"{"status":"archived"}"#, "204 "),
        ("P1497", "POST", "/apps/app-public/run", "", nf),
        ("P1497", "PATCH", "/admin/workspaces/ws-north", r#"{"status":"active"}"#, "204 "),
        ("P1497", "POST", "/apps/app-public/run", "", "200 "),
        ("P1497", "PATCH", "/admin/workspaces/ws-none", r#"{"status":"active"}"#, nf),
        ("P1493", "DELETE", "/admin/members/ws-north/acc-none", "", nf),
        ("P1495", "POST", "/apps/app-public/run", "", "200 "),
        ("P1495", "DELETE", "/admin/members/ws-north/acc-member", "", "204 "),
        ("P1495", "POST", "/apps/app-public/run", "", nf),
        ("P1495", "GET", "/me", "", "200 "),
        ("P1493 again", "DELETE", "/admin/members/ws-north/acc-member", "", nf),
    ] {
        let answer = if path.starts_with("/admin") {
            caller.json(method, format!("{}{path}", demo.admin), body).await
        } else {
            caller.bearer(method, format!("{}{path}", demo.url), full).await
        };
        assert_eq!(format!("{} {}", answer.status, answer.error()), want, "{row} {method} {path}");
    }
}

#[tokio::test]
async fn admin_refuses() {
    let demo = Demo::start(&["--limit", "1000/1"]).await;
    let caller = Caller::h1();
    let (tokens, app, account) =
        ("/admin/tokens", "/admin/apps/app-public", "/admin/accounts/acc-member");
    let mint = |rest: &str| {
        format!(
            r#"{{"kind":"account","account":"acc-member","client_id":"cli","label":"x"{rest}}}"#
        )
    };
    let scoped = |rest: &str| mint(&format!(r#","scopes":["apps:run"]{rest}"#));
    let external = |issuer: &str| {
        format!(
            r#"{{"kind":"external","external":{{"issuer":"{issuer}","subject":"s"}},"client_id":"cli","label":"x"}}"#
        )
    };
    let policy = |names: &str| format!("400 mint_policy_violation mint_policy_violation: {names}");
    let invalid = || "400 invalid_request The body is not what this route takes.".to_owned();
    for (row, method, path, body, want) in [
        ("P1491 fine", "POST", tokens, scoped(""), "201  ".to_owned()),
        ("P1491 fine", "POST", tokens, external("https://idp.example"), "201  ".to_owned()),
        ("P1491 bad JSON", "POST", tokens, "{".to_owned(), invalid()),
        ("P1491 unknown", "POST", tokens, scoped(r#","admin":true"#), invalid()),
        ("P1499 repeated", "POST", tokens, scoped(r#","label":"y""#), invalid()),
        (
            "P1491 nobody",
            "POST",
            tokens,
            r#"{"kind":"account","client_id":"c","label":"l"}"#.to_owned(),
            invalid(),
        ),
        (
            "P1491 two subjects",
            "POST",
            tokens,
            scoped(r#","external":{"issuer":"i","subject":"s"}"#),
            invalid(),
        ),
        ("P1491 null", "POST", tokens, scoped(r#","ttl_s":null"#), invalid()),
        ("DM4 scopes", "POST", tokens, mint(""), policy("scopes")),
        ("D6", "POST", tokens, external(" "), policy("issuer")),
        ("D9", "POST", tokens, scoped(r#","ttl_s":59"#), policy("ttl")),
        ("D9", "POST", tokens, scoped(r#","ttl_s":-1"#), policy("ttl")),
        (
            "D7",
            "POST",
            tokens,
            r#"{"kind":"zzz","account":"acc-member","client_id":"c d","label":"","ttl_s":59}"#
                .to_owned(),
            policy("kind"),
        ),
        (
            "DT5",
            "POST",
            tokens,
            scoped("").replace("acc-member", "acc-suspended"),
            "409 account_not_active The account is unknown or not active.".to_owned(),
        ),
        ("P1499 no member", "PATCH", app, "{}".to_owned(), invalid()),
        ("P1499 unknown", "PATCH", app, r#"{"enabled":false,"x":1}"#.to_owned(), invalid()),
        (
            "P1499 repeated",
            "PATCH",
            app,
            r#"{"enabled":false,"enabled":true}"#.to_owned(),
            invalid(),
        ),
        ("P1499 type", "PATCH", app, r#"{"enabled":"false"}"#.to_owned(), invalid()),
        (
            "P1499 null",
            "PATCH",
            app,
            r#"{"enabled":false,"access_mode":null}"#.to_owned(),
            invalid(),
        ),
        (
            "P1498 empty",
            "PATCH",
            app,
            r#"{"enabled":false,"access_mode":""}"#.to_owned(),
            invalid(),
        ),
        (
            "P1498 33",
            "PATCH",
            app,
            format!(r#"{{"enabled":false,"access_mode":"{}"}}"#, "x".repeat(33)),
            invalid(),
        ),
        ("P1499 trailing", "PATCH", app, r#"{"enabled":false} x"#.to_owned(), invalid()),
        ("P1499 status", "PATCH", account, r#"{"status":"gone"}"#.to_owned(), invalid()),
        ("P1499 no member", "PATCH", account, "{}".to_owned(), invalid()),
        (
            "P1492 unknown",
            "DELETE",
            "/admin/tokens/tok_none",
            String::new(),
            "404 not_found No such resource, or the caller may not see it.".to_owned(),
        ),
        (
            "unknown path",
            "GET",
            "/admin",
            String::new(),
            "404 not_found No such resource, or the caller may not see it.".to_owned(),
        ),
        (
            "wrong method",
            "GET",
            tokens,
            String::new(),
            "405 method_not_allowed This method is not allowed here.".to_owned(),
        ),
    ] {
        let answer = caller.json(method, format!("{}{path}", demo.admin), &body).await;
        let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
        assert_eq!(format!("{} {} {detail}", answer.status, answer.error()), want, "{row} {body}");
        assert!(answer.header("www-authenticate").is_none(), "P1499 {row}");
        assert_eq!(answer.header("cache-control").as_deref(), Some("no-store"), "P937 {row}");
    }
    let run = format!("{}/apps/app-public/run", demo.url);
    let run = caller.bearer("POST", run, &demo.tokens["member-full"]).await;
    assert_eq!(run.status, 200, "P1499 nothing changed");

    let host = demo.admin.trim_start_matches("http://").to_owned();
    let port = host.rsplit(':').next().unwrap();
    for (row, name, value, want) in [
        (
            "P1499 media type",
            "content-type",
            "text/plain".to_owned(),
            (415, "unsupported_media_type"),
        ),
        (
            "P1491 with a charset",
            "content-type",
            "application/json; charset=utf-8".to_owned(),
            (204, ""),
        ),
        ("P1490 a page", "origin", demo.admin.clone(), (403, "forbidden_host")),
        ("P1490 no origin in name", "origin", "null".to_owned(), (403, "forbidden_host")),
        ("P1490 rebound", "host", format!("evil.example:{port}"), (403, "forbidden_host")),
        (
            "P1490 rebound",
            "host",
            format!("127.0.0.1.evil.example:{port}"),
            (403, "forbidden_host"),
        ),
        ("P1490 by name", "host", format!("localhost:{port}"), (204, "")),
        ("P1490 v6", "host", format!("[::1]:{port}"), (204, "")),
    ] {
        let request = Request::builder().method("PATCH").uri(format!("{}{account}", demo.admin));
        let request = if name == "content-type" {
            request
        } else {
            request.header("content-type", "application/json")
        };
        let request =
            request.header(name, value).body(Full::from(r#"{"status":"active"}"#)).unwrap();
        let answer = caller.send(request).await;
        assert_eq!((answer.status, answer.error().as_str()), want, "{row}");
    }
}

#[tokio::test]
async fn limits() {
    let demo = Demo::start(&["--limit", "60/60"]).await;
    let caller = Caller::h1();
    let me = format!("{}/me", demo.url);
    for left in (0..60).rev() {
        let answer = caller.bearer("GET", me.clone(), &demo.tokens["member-full"]).await;
        assert_eq!(answer.status, 200, "L851 {left}");
        let limit = answer.header("ratelimit").unwrap();
        assert!(limit.starts_with(&format!("\"token\";r={left};t=")), "L851 {limit}");
        assert_eq!(
            answer.header("ratelimit-policy").as_deref(),
            Some("\"token\";q=60;w=60"),
            "L851"
        );
    }
    let denied = caller.bearer("GET", me.clone(), &demo.tokens["member-full"]).await;
    assert_eq!((denied.status, denied.error().as_str()), (429, "rate_limited"), "L851");
    let seconds: u64 = denied.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "L851 {seconds}");
    for path in ["/nowhere", "/apps/app-public", "/tokens/self"] {
        let answer =
            caller.bearer("GET", format!("{}{path}", demo.url), &demo.tokens["member-full"]).await;
        assert_eq!(answer.status, 429, "P1449 one limiter for all routes: {path}");
    }
    let other = caller.bearer("GET", me, &demo.tokens["member-read"]).await;
    assert_eq!(other.status, 200, "L851");
}

#[tokio::test]
async fn preflights() {
    let demo = Demo::start(&["--limit", "2/60"]).await;
    let caller = Caller::h1();
    let me = format!("{}/me", demo.url);
    for _ in 0..5 {
        let request = Request::builder().method("OPTIONS").uri(&me);
        let request = request.header("origin", "https://page.example");
        let request = request.header("access-control-request-method", "GET");
        let request = request.header("access-control-request-headers", "authorization");
        let request = request.header("authorization", format!("Bearer {}", demo.tokens["guest"]));
        let answer = caller.send(request.body(Full::default()).unwrap()).await;
        assert_eq!(answer.status, 200, "P1103");
        assert_eq!(answer.header("access-control-allow-origin").as_deref(), Some("*"), "P1103");
        let headers = answer.header("access-control-allow-headers").unwrap();
        assert!(headers.contains("authorization"), "P1102 {headers}");
        assert!(answer.header("ratelimit").is_none(), "P1103 no charge");
    }
    let answer = caller.bearer("GET", me.clone(), &demo.tokens["guest"]).await;
    assert!(answer.header("ratelimit").unwrap().starts_with("\"token\";r=1"), "P1103 no charge");
    let refused = caller.call("GET", me, &[]).await;
    let exposed = refused.header("access-control-expose-headers").unwrap();
    for name in ["www-authenticate", "retry-after", "ratelimit", "ratelimit-policy"] {
        assert!(
            exposed.split(',').any(|exposed| exposed.trim() == name),
            "P1102 {name}: {exposed}"
        );
    }
}

#[tokio::test]
async fn sizes() {
    let demo = Demo::start(&[]).await;
    let fill = |request: http::request::Builder, count: usize, length: usize| {
        (0..count)
            .fold(request, |request, at| request.header(format!("x-fill-{at}"), "x".repeat(length)))
    };
    for caller in [Caller::h1(), Caller::h2()] {
        for (row, path, count, length, want) in [
            ("XV20 few", "/healthz".to_owned(), 50, 10, 200),
            ("XV20 65 headers", "/healthz".to_owned(), 65, 1, 431),
            ("XV20 17 KiB", "/healthz".to_owned(), 17, 1_024, 431),
            ("XV20 15 KiB", "/healthz".to_owned(), 15, 1_000, 200),
            ("XV20 target", format!("/healthz?{}", "x".repeat(8_192)), 0, 0, 414),
        ] {
            let request =
                fill(Request::builder().uri(format!("{}{path}", demo.url)), count, length);
            let answer = caller.send(request.body(Full::default()).unwrap()).await;
            assert_eq!(answer.status, want, "{row}");
        }
    }
}

#[tokio::test]
async fn what_is_printed() {
    let demo = Demo::start(&[]).await;
    let starts = ["listening on http://127.0.0.1:", "admin on http://127.0.0.1:"];
    let names = COLUMNS[2..].iter().filter(|name| **name != "member-expired");
    assert!(starts.iter().zip(&demo.lines).all(|(start, line)| line.starts_with(start)), "P1401");
    assert_eq!(demo.tokens.len(), 8, "P1431");
    assert!(names.clone().all(|name| demo.tokens.contains_key(*name)), "P1431");
    let tokens = demo.lines.iter().filter(|line| line.starts_with("token "));
    assert!(
        tokens.clone().all(|line| line.split(' ').count() > 3 && !line.contains("  ")),
        "P1401"
    );
    let curls: Vec<&String> = demo.lines.iter().filter(|line| line.starts_with("curl ")).collect();
    assert_eq!(curls.len(), 3, "P1401");
    assert_eq!(demo.lines.len(), 2 + 8 + 3 + 1, "P1401 nothing else");
    if std::process::Command::new("curl").arg("--version").output().is_err() {
        println!("curl is missing: the lines to paste were not tried");
        return;
    }
    for (line, want) in curls.into_iter().zip(["200", "403", "429"]) {
        let output = tokio::process::Command::new("sh").args(["-c", line]).output().await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let status = match text.strip_prefix("HTTP/1.1 ") {
            Some(answer) => answer.split(' ').next().unwrap().to_owned(),
            None => text.lines().last().unwrap_or_default().to_owned(),
        };
        assert_eq!(status, want, "P1401 {line}");
    }
}

#[tokio::test]
async fn starts_and_ends() {
    let first = Demo::start(&[]).await;
    let token = first.tokens["member-full"].clone();
    assert_eq!(first.signal("TERM").await.code(), Some(0), "P1403 SIGTERM");
    let second = Demo::start(&[]).await;
    assert_ne!(second.tokens["member-full"], token, "P1402");
    let me = Caller::h1().bearer("GET", format!("{}/me", second.url), &token).await;
    assert_eq!((me.status, me.error().as_str()), (401, "invalid_token"), "P1402");
    assert_eq!(second.signal("INT").await.code(), Some(0), "P1403 SIGINT, a connection being open");
}

#[tokio::test]
async fn wrong_flags_and_seeds() {
    let folder = std::env::temp_dir().join(format!("quickstart-seeds-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for (row, args) in [
        ("P1403 unknown flag", &["--nonsense"][..]),
        ("L916", &["--limit", "0/60"]),
        ("L916", &["--limit", "60/2073601"]),
        ("F277", &["--upstream", "http://127.0.0.1:1", "--forward", "assertion"]),
        ("later", &["--redis", "redis://127.0.0.1"]),
        ("later", &["--database", "sqlite:x"]),
        ("P1403 no such seed", &["--seed", "/nonexistent/seed.json"]),
    ] {
        let ended = Demo::run(args).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{row} {args:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{row} {args:?} {}", ended.stderr);
    }
    let token = |more: &str| {
        format!(
            r#"{{"accounts":[{{"id":"a"}}],"tokens":[{{"name":"t","kind":"account","account":"a","scopes":["full"]{more}}}]}}"#
        )
    };
    for (row, seed) in [
        ("no JSON", "{".to_owned()),
        ("unknown member", r#"{"people":[]}"#.to_owned()),
        ("unknown inner member", r#"{"accounts":[{"id":"a","admin":true}]}"#.to_owned()),
        ("account status", r#"{"accounts":[{"id":"a","status":"gone"}]}"#.to_owned()),
        ("P402", r#"{"accounts":[{"id":"a b"}]}"#.to_owned()),
        ("P843", r#"{"workspaces":[{"id":"-w"}]}"#.to_owned()),
        (
            "member of nothing",
            r#"{"accounts":[{"id":"a"}],"members":[{"workspace":"w","account":"a","role":"x"}]}"#
                .to_owned(),
        ),
        ("app of nothing", r#"{"apps":[{"id":"a","workspace":"w"}]}"#.to_owned()),
        (
            "permitted nobody",
            r#"{"workspaces":[{"id":"w"}],"apps":[{"id":"a","workspace":"w","permitted":["x"]}]}"#
                .to_owned(),
        ),
        ("token of nobody", token("").replace(r#""account":"a""#, r#""account":"b""#)),
        ("token of nowhere", token(r#","workspace":"w""#)),
        ("token text", token(r#","token":"tba_short""#)),
        ("token kind", token("").replace(r#""kind":"account""#, r#""kind":"zzz""#)),
        (
            "name twice",
            token("").replace(
                "}]}",
                r#"},{"name":"t","kind":"account","account":"a","scopes":["full"]}]}"#,
            ),
        ),
    ] {
        let path = folder.join("bad.json");
        std::fs::write(&path, seed).unwrap();
        let ended = Demo::run(&["--seed", path.to_str().unwrap()]).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "P1414 {row}");
        assert_eq!(ended.stderr.lines().count(), 1, "P1414 {row} {}", ended.stderr);
    }

    let text = "tba_VmGkYiHqL_EO2k60IGjKSjTWND1H9K4MAFeQU33st8c29CoiI";
    let path = folder.join("good.json");
    let seed = json!({
        "workspaces": [{ "id": "w1" }, { "id": "w2", "status": "archived" }],
        "accounts": [{ "id": "a" }],
        "members": [{ "workspace": "w1", "account": "a", "role": "r" }, { "workspace": "w2", "account": "a", "role": "r" }],
        "tokens": [
            { "name": "given", "kind": "account", "account": "a", "scopes": ["full"], "token": text },
            { "name": "revoked", "kind": "account", "account": "a", "scopes": ["full"], "revoked": true },
            { "name": "bound", "kind": "account", "account": "a", "scopes": ["full"], "workspace": "w2" },
            { "name": "brief", "kind": "account", "account": "a", "scopes": ["full"], "ttl_s": 30 },
        ],
    });
    std::fs::write(&path, seed.to_string()).unwrap();
    let demo = Demo::start(&["--seed", path.to_str().unwrap()]).await;
    assert_eq!(demo.tokens["given"], text, "P1402");
    for (row, name, path, want) in [
        ("P1402 given", "given", "/me", 200),
        ("P1413 revoked", "revoked", "/me", 401),
        ("P1413 ttl", "brief", "/me", 200),
        ("P406 bound", "bound", "/me", 200),
        ("P406 bound", "bound", "/workspaces/w1/apps", 404),
        ("P1411 archived", "given", "/workspaces/w2/apps", 404),
        ("P1445", "given", "/workspaces/w1/apps", 200),
    ] {
        let answer =
            Caller::h1().bearer("GET", format!("{}{path}", demo.url), &demo.tokens[name]).await;
        assert_eq!(answer.status, want, "{row} {path}");
        if path == "/me" && name == "bound" {
            assert_eq!(answer.json()["workspace"], "w2", "P1442");
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
