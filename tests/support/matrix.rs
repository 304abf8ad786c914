//! The acceptance table of the example service as data, and what every cell of it means on the wire.

use std::collections::HashMap;
use std::ops::Range;

use serde_json::{Value, json};

use crate::demo::{Answer, Caller, Demo};

pub(crate) const COLUMNS: [&str; 10] = [
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
pub(crate) type Row =
    (&'static str, &'static str, &'static [&'static str], Option<&'static str>, &'static str);

const READ: Option<&str> = Some("apps:read");
const RUN: Option<&str> = Some("apps:run");
const LIST: Option<&str> = Some("apps:read:permitted-external");

#[rustfmt::skip]
pub(crate) const TABLE: &[Row] = &[
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

/// The rows of `/apps/A/run`, P1468 to P1473.
pub(crate) const RUNNING: Range<usize> = 7..13;

/// The proxied rows are those of P1468 to P1473, by any method.
pub(crate) const PROXIED_BY: [&str; 8] =
    ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "BREW"];

pub(crate) const ENDING: Row =
    ("P1479", "DELETE", &["/tokens/self"], None, "mt it it 204 204 204 204 204 204 204");

/// Counts what was compared.
pub(crate) struct Matrix<'d> {
    demo: &'d Demo,
    caller: Caller,
    pub(crate) cells: u32,
    pub(crate) failed: u32,
    /// The id that an end user was given, by app.
    end_users: HashMap<String, Value>,
}

impl<'d> Matrix<'d> {
    pub(crate) fn new(demo: &'d Demo, caller: Caller) -> Self {
        Self { demo, caller, cells: 0, failed: 0, end_users: HashMap::new() }
    }

    pub(crate) async fn rows(&mut self, rows: &[Row]) {
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
    pub(crate) fn credentials(&self, column: &str) -> Vec<Vec<String>> {
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

    #[expect(clippy::print_stdout, reason = "says which cells failed, not only how many")]
    pub(crate) async fn cell(
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
