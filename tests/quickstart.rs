//! The example service answers as its acceptance table says, over real sockets, to whoever comes from outside.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test may stop at what cannot be")]

#[path = "support/demo.rs"]
mod demo;
#[path = "support/matrix.rs"]
mod matrix;

use bytes::Bytes;
use demo::{Caller, Demo, Upstream};
use http::Request;
use http_body_util::Full;
use matrix::{COLUMNS, ENDING, Matrix, PROXIED_BY, RUNNING, TABLE};
use serde_json::json;

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
        for &(_, _, paths, hint, wants) in &TABLE[RUNNING] {
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
            "no text",
            "DELETE",
            "/admin/tokens/%ff",
            String::new(),
            "404 not_found No such resource, or the caller may not see it.".to_owned(),
        ),
        (
            "too large",
            "POST",
            tokens,
            "x".repeat(70_000),
            "413 body_too_large The body is too large.".to_owned(),
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
async fn slow_heads_are_cut() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let demo = Demo::start(&[]).await;
    let cut = async |row: &str, start: &[u8]| {
        let address = demo.url.trim_start_matches("http://");
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(start).await.unwrap();
        let mut rest = Vec::new();
        let ended = stream.read_to_end(&mut rest);
        let ended = tokio::time::timeout(std::time::Duration::from_secs(20), ended).await;
        assert!(ended.is_ok(), "XJ6 {row}");
    };
    tokio::join!(
        cut("nothing", b""),
        cut("half a head", b"GET /me HTTP/1.1\r\nx-slow: "),
        cut("half a preface", b"PRI * HT"),
    );
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
        ("F277", &["--upstream", "http://127.0.0.1:1", "--forward", "on"]),
        ("XK2 no URL of Redis", &["--redis", "http://user:secret@127.0.0.1"]),
        ("later", &["--database", "sqlite:x"]),
        ("P1403 no such seed", &["--seed", "/nonexistent/seed.json"]),
    ] {
        let ended = Demo::run(args).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{row} {args:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{row} {args:?} {}", ended.stderr);
        assert!(!ended.stderr.contains("secret"), "XK2 {row} {}", ended.stderr);
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
