//! Whatever an issuer answers over HTTP, it becomes one of a few outcomes, and not a word of it comes out anywhere.
#![cfg(feature = "issuer-http")]
#![expect(clippy::unwrap_used, reason = "a test may stop at what cannot be")]

#[path = "support/issuer.rs"]
mod issuer;

use std::borrow::Cow;
use std::fmt::Debug;
use std::io;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use issuer::{Script, Scripted, says};
use tower_bearer::Secret;
use tower_bearer::clock::Timestamp;
use tower_bearer::forward::{ConfigError, UrlFault};
use tower_bearer::id::{AppId, WorkspaceId};
use tower_bearer::issuer_http::{
    ClientAuth, DiscoveryError, HttpError, HttpErrorKind, HttpIssuer, HttpProvider, TokenExchange,
    compat,
};
use tower_bearer::store::{
    IdentityIssuer, IssueAnswer, IssueRequest, OidcProvider, RefreshAnswer, TypedToken, UserType,
};

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
const AUDIENCE: &str = "https://mcp.example.com/mcp";
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";
/// Stands in every secret, and in everything that an issuer says.
const CANARY: &str = "CaNaRy7";

#[tokio::test]
async fn what_an_issuer_is_asked() {
    let server = Scripted::start().await;
    server.follows(says(200, "", r#"{"token":"T","expires_at":1700003600,"more":[{}]}"#));
    let plain = || HttpIssuer::new(&server.url("/tokens?").replace('?', "")).unwrap();
    let mut external = fixture();
    external.user_type = UserType::EndUser;
    external.app = Some(AppId::new("app-1").unwrap());
    let bearer = plain().credential(Secret::new("s3cret")).unwrap();
    let named = plain().credential_header("X-Key", Secret::new("s3cret")).unwrap();
    let dify = compat::dify(&server.url(""), "s3cret").unwrap();
    let body = |app: &str, end: &str| {
        let start = r#"{"user_id":"acc-alice","tenant_id":"ws-1","app_id":""#;
        format!(r#"{start}{app}","audience":"{AUDIENCE}"{end}}}"#)
    };
    let account = body("", r#","user_type":"account""#);
    let says = |_: &IssueRequest| Cow::Borrowed("staff");
    for (name, issuer, request, path, credential, body) in [
        ("FD3", plain(), fixture(), "/tokens", None, account.clone()),
        (
            "FD3 external",
            plain(),
            external,
            "/tokens",
            None,
            body("app-1", r#","user_type":"end_user""#),
        ),
        (
            "F100",
            bearer,
            fixture(),
            "/tokens",
            Some("authorization: Bearer s3cret"),
            account.clone(),
        ),
        ("F100", named, fixture(), "/tokens", Some("x-key: s3cret"), account.clone()),
        (
            "F100 user type",
            plain().user_type(says),
            fixture(),
            "/tokens",
            None,
            body("", r#","user_type":"staff""#),
        ),
        (
            "F250",
            dify.clone(),
            fixture(),
            "/inner/api/mcp/issue-token",
            Some("enterprise-api-secret-key: s3cret"),
            account,
        ),
        (
            "F250 first generation",
            dify.without_user_type(),
            fixture(),
            "/inner/api/mcp/issue-token",
            Some("enterprise-api-secret-key: s3cret"),
            body("", ""),
        ),
    ] {
        let got = issued(issuer.issue(request).await);
        assert_eq!(got, "token T until 1700003600", "{name}");
        let (head, sent) = server.heard();
        assert_eq!(sent, body, "{name}");
        let mut lines: Vec<_> = head.lines().collect();
        assert_eq!(lines.remove(0), format!("POST {path} HTTP/1.1"), "{name}");
        let ours =
            |line: &&str| !line.starts_with("host: ") && !line.starts_with("content-length: ");
        lines.retain(ours);
        lines.sort_unstable();
        let mut want = vec!["accept: application/json", "content-type: application/json"];
        want.extend(credential);
        want.sort_unstable();
        assert_eq!(lines, want, "{name}: nothing else is sent");
    }
}

#[tokio::test]
async fn what_an_issuer_says() {
    let (server, other) = (Scripted::start().await, Scripted::start().await);
    let issuer = HttpIssuer::new(&server.url("/")).unwrap();
    let token = |body: &str| says(200, "", body);
    let ok = r#"{"token":"x","expires_at":1}"#;
    let elsewhere = format!("location: {}\r\n", other.url("/"));
    let long = format!(r#"{{"token":"x","expires_at":1,"pad":"{}"}}"#, "x".repeat(65_536));
    let (most, head) = (format!("{ok}{}", " ".repeat(65_536 - ok.len())), "HTTP/1.1 200 OK\r\n");
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n");
    let deep = format!(
        r#"{{"token":"x","expires_at":1,"a":{}{}}}"#,
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    let cut = format!("{head}content-length: 100\r\n\r\n{ok}").into_bytes();
    for (name, script, want) in [
        ("F101", token(ok), "token x until 1"),
        ("F101 the longest", token(&most), "token x until 1"),
        ("F101 the past", token(r#"{"token":"x","expires_at":-7}"#), "token x until 0"),
        ("FD4 401", says(401, "", ok), "reauth"),
        ("FD4 428", says(428, "", ok), "login"),
        ("FD4 403", says(403, "", ok), "refuses us"),
        ("FD4 429", says(429, "retry-after: 7\r\n", ""), "busy 7"),
        ("F102 429 without a time", says(429, "", ""), "busy 1"),
        ("F102 503", says(503, "retry-after: 90\r\n", ""), "busy 30"),
        ("F102 503 without a time", says(503, "", ok), "Status 503 0 again"),
        ("F184 502", says(502, "", ok), "Status 502 0 again"),
        ("F184 504", says(504, "retry-after: 1\r\n", ok), "Status 504 0"),
        ("FD4 500", says(500, "", ok), "Status 500 0"),
        ("F102 400", says(400, "", ok), "Status 400 0"),
        ("F101 201", says(201, "", ok), "Status 201 0"),
        ("FD4 302", says(302, &elsewhere, ok), "Redirect 302 0"),
        ("XK3 307", says(307, &elsewhere, ok), "Redirect 307 0"),
        ("FD4 silent", Script::Hangs(Vec::new()), "Timeout"),
        ("XM11 an answer that stops", Script::Hangs(cut.clone()), "Timeout"),
        ("FD5 {}", token("{}"), "Invalid 200 2"),
        ("FD5 empty", token(r#"{"token":""}"#), "Invalid 200 12"),
        ("FD5 no expiry", token(r#"{"token":"x"}"#), "Invalid 200 13"),
        ("FD5 fraction", token(r#"{"token":"x","expires_at":1.5}"#), "Invalid 200 30"),
        ("F101 text", token(r#"{"token":"x","expires_at":"1"}"#), "Invalid 200 30"),
        ("FD5 list", token("[]"), "Invalid 200 2"),
        ("FD5 HTML", says(200, "content-type: text/html\r\n", "<html>"), "Invalid 200 6"),
        ("F101 text after", token(&format!("{ok}{{}}")), "Invalid 200 30"),
        ("F101 twice", token(r#"{"token":"x","token":"y","expires_at":1}"#), "Invalid 200 40"),
        ("FD5 10,000 levels", token(&deep), "Invalid 200 20033"),
        ("F101 64 KiB and more", token(&long), "TooLarge 200 0"),
        (
            "FD5 10 MB",
            Script::Hangs(format!("{head}content-length: 10000000\r\n\r\n").into()),
            "TooLarge 200 0",
        ),
        ("FD5 without end", Script::Floods(chunked.clone().into()), "TooLarge 200 65536"),
        ("F101 truncated", Script::Says(cut), "Broken 200 28"),
        (
            "F101 no last chunk",
            Script::Says(format!("{chunked}2\r\n{{}}\r\n").into()),
            "Broken 200 2",
        ),
        ("F101 encoded", says(200, "content-encoding: gzip\r\n", ok), "Encoded 200 0"),
        (
            "F101 said twice",
            says(200, "content-encoding: identity\r\ncontent-encoding: br\r\n", ok),
            "Encoded 200 0",
        ),
        ("F101 not encoded", says(200, "content-encoding: Identity\r\n", ok), "token x until 1"),
        ("no HTTP", Script::Says(b"SSH-2.0-x\r\n".to_vec()), "Broken"),
        ("no answer", Script::Says(Vec::new()), "Broken"),
    ] {
        server.follows(script);
        let hits = server.hits();
        let asks = waits(issuer.clone(), want);
        assert_eq!(issued(asks.issue(fixture()).await), want, "{name}");
        assert_eq!(server.hits(), hits + 1, "{name}: nothing is asked twice");
    }
    assert_eq!(other.hits(), 0, "FD4 no redirect is followed");
    let hits = server.hits();
    let nobody = IssueRequest::new("", AUDIENCE, NOW);
    assert_eq!(issued(issuer.issue(nobody).await), "Question", "F103");
    assert_eq!(server.hits(), hits, "F103");
}

#[tokio::test]
async fn whom_nobody_answers() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", closed.local_addr().unwrap());
    drop(closed);
    let error = HttpIssuer::new(&url).unwrap().issue(fixture()).await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (HttpErrorKind::Connect, None));
    assert!(HttpIssuer::may_retry(&error) && !HttpIssuer::timed_out(&error), "F184");
    let provider = HttpProvider::new(&url, ClientAuth::none()).unwrap();
    let error = provider.refresh(Secret::new("r")).await.unwrap_err();
    assert!(HttpProvider::may_retry(&error), "F114");
}

#[tokio::test]
async fn the_form_of_an_exchange() {
    const FORM: &str = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange\
        &subject_token=aaa.bbb.ccc&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt\
        &requested_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token\
        &audience=https%3A%2F%2Fmcp.example.com%2Fmcp&resource=https%3A%2F%2Fmcp.example.com%2Fmcp\
        &scope=tools%3Aread+tools%3Acall";
    let server = Scripted::start().await;
    server.follows(says(200, "", &exchanged("T", ACCESS, "bearer", r#","expires_in":3600"#)));
    let new = |auth| TokenExchange::new(&server.url("/t"), auth).unwrap();
    let basic = ClientAuth::basic("gw client", Secret::new("p@ss:word")).unwrap();
    let whole = new(basic).audience(AUDIENCE).resource(AUDIENCE).unwrap();
    let bare = || new(ClientAuth::none());
    let mut acting = subject(fixture());
    acting.actor_token = Some(TypedToken::new(Secret::new("act"), JWT));
    let (upto_audience, _) = FORM.split_once("&resource").unwrap();
    let start = upto_audience.rsplit_once("&audience").unwrap().0;
    let post = ClientAuth::post("gw", Secret::new("s")).unwrap();
    for (name, exchange, request, want) in [
        ("FJ1", whole.scope("tools:read tools:call"), subject(fixture()), FORM.to_owned()),
        ("F126 the upstream's audience", bare(), subject(fixture()), upto_audience.to_owned()),
        (
            "F126 a resource alone",
            bare().resource("urn:x:y").unwrap(),
            subject(fixture()),
            format!("{start}&resource=urn%3Ax%3Ay"),
        ),
        (
            "F126 everything, in order",
            new(post)
                .extra("tenant", "t 1")
                .unwrap()
                .audience("b")
                .scope("z")
                .scope("")
                .audience("a"),
            acting,
            format!(
                "{start}&audience=b&audience=a&scope=z&actor_token=act\
                 &actor_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt&tenant=t+1\
                 &client_id=gw&client_secret=s"
            ),
        ),
    ] {
        let got = issued(exchange.issue(request).await);
        assert_eq!(got, "token T until 1700003600", "{name}");
        let (head, form) = server.heard();
        assert_eq!(form, want, "{name}");
        assert!(head.contains("content-type: application/x-www-form-urlencoded\r\n"), "{name}");
        let basic = head.contains("authorization: Basic Z3crY2xpZW50OnAlNDBzcyUzQXdvcmQ=");
        assert_eq!(basic, name == "FJ1", "FJ2 {name}");
    }
    assert_eq!(FORM.len(), 359, "FJ1");
    let hits = server.hits();
    let got = issued(bare().issue(fixture()).await);
    assert_eq!((got.as_str(), server.hits()), ("Question", hits), "F103 no token of the caller");
}

#[tokio::test]
async fn what_an_exchange_says() {
    let (server, other) = (Scripted::start().await, Scripted::start().await);
    let new = || TokenExchange::new(&server.url("/t"), ClientAuth::none()).unwrap();
    let access = || new().scope("tools:read tools:call");
    let jag = || new().requested_token_type(ID_JAG).unwrap();
    let own = || new().requested_token_type("urn:own:type").unwrap();
    let ok = |body: String| says(200, "", &body);
    let token = |issued, sort| ok(exchanged("T", issued, sort, r#","expires_in":60"#));
    let lives = |life: &str| ok(exchanged("T", ACCESS, "Bearer", life));
    let error = |status, code: &str| says(status, "", &format!(r#"{{"error":"{code}"}}"#));
    let elsewhere = format!("location: {}\r\n", other.url("/"));
    let minute = "token T until 1700000060";
    let step = "step up tools:read tools:call";
    for (name, exchange, script, want) in [
        ("FJ5 bearer", access(), token(ACCESS, "bearer"), minute),
        ("FJ5 N_A", jag(), token(ID_JAG, "N_A"), minute),
        ("FJ5 Bearer for id-jag", jag(), token(ID_JAG, "Bearer"), "Invalid 200"),
        ("F130 N_A for an access token", access(), token(ACCESS, "N_A"), "Invalid 200"),
        ("F130 either for others", own(), token("urn:own:type", "N_A"), minute),
        ("F130 either for others", own(), token("urn:own:type", "BEARER"), minute),
        (
            "FJ4 no access_token",
            access(),
            ok(format!(r#"{{"issued_token_type":"{ACCESS}","token_type":"Bearer"}}"#)),
            "Invalid 200",
        ),
        ("FJ4 empty", access(), ok(exchanged("", ACCESS, "Bearer", "")), "Invalid 200"),
        ("F79 a blank", access(), ok(exchanged("a b", ACCESS, "Bearer", "")), "Invalid 200"),
        (
            "FJ4 no issued_token_type",
            access(),
            ok(r#"{"access_token":"T","token_type":"Bearer"}"#.into()),
            "Invalid 200",
        ),
        (
            "FJ4 no token_type",
            access(),
            ok(format!(r#"{{"access_token":"T","issued_token_type":"{ACCESS}"}}"#)),
            "Invalid 200",
        ),
        ("FJ4 DPoP", access(), token(ACCESS, "DPoP"), "Invalid 200"),
        ("FJ4 issued ≠ requested", access(), token(JWT, "Bearer"), "Invalid 200"),
        ("F130 no life", access(), lives(""), minute),
        ("F130 null", access(), lives(r#","expires_in":null"#), minute),
        ("F130 life 0", access(), lives(r#","expires_in":0"#), "token T until 1700000000"),
        ("F130 life -5", access(), lives(r#","expires_in":-5"#), "token T until 1700000000"),
        ("F130 life as text", access(), lives(r#","expires_in":"60""#), "Invalid 200"),
        (
            "F182 absurd",
            access(),
            lives(r#","expires_in":18446744073709551615"#),
            "token T until 18446744073709551",
        ),
        ("FJ6", access(), error(400, "invalid_grant"), "reauth"),
        ("FJ6", access(), error(400, "invalid_scope"), step),
        ("F131", access(), error(403, "insufficient_scope"), step),
        ("FJ6", access(), error(400, "access_denied"), "denied"),
        ("FJ6", access(), error(400, "login_required"), "login"),
        ("F131", access(), error(400, "interaction_required"), "login"),
        ("F131", access(), error(401, "consent_required"), "login"),
        ("FJ6", access(), error(400, "invalid_target"), "refuses us"),
        ("FJ6", access(), error(401, "invalid_client"), "refuses us"),
        ("F131", access(), error(400, "unauthorized_client"), "refuses us"),
        ("F131", access(), error(400, "invalid_request"), "refuses us"),
        ("F131", access(), error(400, "unsupported_grant_type"), "refuses us"),
        ("F131", access(), error(400, "unsupported_token_type"), "refuses us"),
        ("F131 the code before the status", access(), error(503, "invalid_grant"), "reauth"),
        ("F131 unknown code", access(), error(400, "teapot"), "refuses us"),
        ("F131 unknown code", access(), error(401, "teapot"), "reauth"),
        ("F131 no code", access(), says(401, "", "<html>"), "reauth"),
        ("F131 no code", access(), says(428, "", ""), "login"),
        ("F131 no code", access(), says(403, "", ""), "refuses us"),
        ("F131 no code", access(), says(404, "", ""), "refuses us"),
        ("F131 a code that is no text", access(), says(401, "", r#"{"error":1}"#), "reauth"),
        (
            "F131 a code twice",
            access(),
            says(400, "", r#"{"error":"access_denied","error":"x"}"#),
            "refuses us",
        ),
        ("FJ6", access(), says(429, "retry-after: 90\r\n", ""), "busy 30"),
        ("F102", access(), says(503, "retry-after: 2\r\n", ""), "busy 2"),
        ("FJ6 503", access(), says(503, "", ""), "Status 503 0 again"),
        ("F131 500", access(), error(500, "server_error"), "Status 500"),
        ("FJ6 silent", access(), Script::Hangs(Vec::new()), "Timeout"),
        ("FJ6 302", access(), says(302, &elsewhere, ""), "Redirect 302"),
        ("F130 a code under 200", access(), error(200, "invalid_grant"), "Invalid 200"),
    ] {
        server.follows(script);
        let hits = server.hits();
        let got = issued(waits(exchange, want).issue(subject(fixture())).await);
        assert!(got == want || without_bytes(&got) == want, "{name}: {got}, not {want}");
        assert_eq!(server.hits(), hits + 1, "FJ7 {name}: 1 call");
    }
    assert_eq!(other.hits(), 0, "FJ6");
}

#[tokio::test]
async fn what_a_provider_is_asked_and_says() {
    let (server, other) = (Scripted::start().await, Scripted::start().await);
    let auth = ClientAuth::basic("gw", Secret::new("s")).unwrap();
    let provider = HttpProvider::new(&server.url("/t"), auth).unwrap();
    let wide = provider.clone().audience("a b").resource(AUDIENCE).unwrap().scope("x y");
    let start = "grant_type=refresh_token&refresh_token=old%2F1";
    let rest = "&resource=https%3A%2F%2Fmcp.example.com%2Fmcp&audience=a+b&scope=x+y";
    server.follows(says(200, "", r#"{"access_token":"fresh"}"#));
    for (name, provider, want) in [
        ("F114", &provider, start.to_owned()),
        ("F114 on every refresh", &wide, format!("{start}{rest}")),
    ] {
        assert_eq!(refreshed(provider.refresh(Secret::new("old/1")).await), "fresh, same, unknown");
        let (head, form) = server.heard();
        assert_eq!(form, want, "{name}");
        assert!(head.contains("authorization: Basic Z3c6cw=="), "F128 {name}");
    }
    let ok = |body: &str| says(200, "", body);
    let elsewhere = format!("location: {}\r\n", other.url("/"));
    for (name, script, want) in [
        (
            "FD10",
            ok(
                r#"{"access_token":"fresh","refresh_token":"new-refresh","token_type":"BEARER","expires_in":300}"#,
            ),
            "fresh, new-refresh, 300",
        ),
        (
            "F115 empty",
            ok(r#"{"access_token":"f","refresh_token":"","token_type":""}"#),
            "f, same, unknown",
        ),
        (
            "F115 null",
            ok(r#"{"access_token":"f","refresh_token":null,"expires_in":null}"#),
            "f, same, unknown",
        ),
        ("F115 over", ok(r#"{"access_token":"f","expires_in":-1}"#), "f, same, 0"),
        ("F115 DPoP", ok(r#"{"access_token":"f","token_type":"DPoP"}"#), "Invalid 200"),
        ("F115 no access_token", ok(r#"{"refresh_token":"r"}"#), "Invalid 200"),
        ("F79 a blank", ok(r#"{"access_token":"a b"}"#), "Invalid 200"),
        ("F101 fraction", ok(r#"{"access_token":"f","expires_in":1.0}"#), "Invalid 200"),
        ("FD12", says(400, "", r#"{"error":"invalid_grant"}"#), "gone"),
        ("F117 in any status", ok(r#"{"error":"bad_refresh_token"}"#), "gone"),
        ("F117 in any status", says(500, "", r#"{"error":"invalid_grant"}"#), "gone"),
        ("F118", says(401, "", r#"{"error":"invalid_client"}"#), "refuses us"),
        ("F118", says(400, "", r#"{"error":"unauthorized_client"}"#), "refuses us"),
        ("F118 other code", says(400, "", r#"{"error":"invalid_scope"}"#), "Status 400"),
        ("F118 no code", says(401, "", "<html>"), "Status 401"),
        ("FD11", says(503, "", ""), "Status 503"),
        ("F102", says(503, "retry-after: 4\r\n", ""), "busy 4"),
        ("F102", says(429, "", ""), "busy 1"),
        ("F118 silent", Script::Hangs(Vec::new()), "Timeout"),
        ("XK3", says(302, &elsewhere, ""), "Redirect 302"),
    ] {
        server.follows(script);
        let hits = server.hits();
        let asks = waits(provider.clone(), want);
        let got = refreshed(asks.refresh(Secret::new("old")).await);
        assert!(got == want || without_bytes(&got) == want, "{name}: {got}, not {want}");
        assert_eq!(
            server.hits(),
            hits + 1,
            "F114 {name}: a refresh that was sent is not sent again"
        );
    }
    assert_eq!(other.hits(), 0, "XK3");
}

#[tokio::test]
async fn a_provider_says_where_its_tokens_are() {
    let server = Scripted::start().await;
    let issuer = server.url("/realm");
    let document = |issuer: &str, url: &str| {
        says(
            200,
            "",
            &format!(r#"{{"issuer":"{issuer}","token_endpoint":"{url}","jwks_uri":"x"}}"#),
        )
    };
    server.follows(document(&issuer, &server.url("/realm/token")));
    let provider = HttpProvider::discover(&issuer, ClientAuth::none()).await.unwrap();
    let (head, _) = server.heard();
    assert!(head.starts_with("GET /realm/.well-known/openid-configuration HTTP/1.1"), "{head}");
    server.follows(says(200, "", r#"{"access_token":"f"}"#));
    assert_eq!(refreshed(provider.refresh(Secret::new("r")).await), "f, same, unknown");
    assert!(server.heard().0.starts_with("POST /realm/token HTTP/1.1"));
    let refused = |fault| DiscoveryError::Config(ConfigError::IssuerUrl { fault });
    for (name, script, want) in [
        ("another issuer", document(&server.url("/other"), &issuer), Some(DiscoveryError::Issuer)),
        ("a slash more", document(&format!("{issuer}/"), &issuer), Some(DiscoveryError::Issuer)),
        (
            "F269 http",
            document(&issuer, "http://as.example.com/t"),
            Some(refused(UrlFault::Plaintext)),
        ),
        (
            "F269 link-local",
            document(&issuer, "https://169.254.169.254/t"),
            Some(refused(UrlFault::Host)),
        ),
        ("no endpoint", says(200, "", &format!(r#"{{"issuer":"{issuer}"}}"#)), None),
        ("404", says(404, "", ""), None),
    ] {
        server.follows(script);
        let error = HttpProvider::discover(&issuer, ClientAuth::none()).await.unwrap_err();
        match want {
            Some(want) => assert_eq!(error, want, "{name}"),
            None => assert!(matches!(error, DiscoveryError::Http(_)), "{name}: {error:?}"),
        }
    }
}

#[test]
fn what_cannot_be_configured() {
    let url = |fault| ConfigError::IssuerUrl { fault };
    for (name, text, want) in [
        ("F269", "https://as.example.com/t", None),
        ("F269 loopback", "http://localhost:9/t", None),
        ("FJ9 http", "http://as.example.com", Some(UrlFault::Plaintext)),
        ("FJ9 link-local", "https://169.254.169.254/t", Some(UrlFault::Host)),
        ("F269 link-local 6", "https://[fe80::1]/t", Some(UrlFault::Host)),
        ("F269 mapped", "https://[::ffff:169.254.169.254]/t", Some(UrlFault::Host)),
        ("F269 unspecified", "https://0.0.0.0/t", Some(UrlFault::Host)),
        ("FJ9 userinfo", "https://u:p@as.example.com/t", Some(UrlFault::UserInfo)),
        ("F269 fragment", "https://as.example.com/t#x", Some(UrlFault::Fragment)),
        ("F269 query", "https://as.example.com/t?x=1", Some(UrlFault::Query)),
        ("F269 empty query", "https://as.example.com/t?", Some(UrlFault::Query)),
        ("F269 metadata", "https://metadata.google.internal/t", Some(UrlFault::Host)),
        ("F269 an address in hex", "https://0xa9fea9fe/t", Some(UrlFault::Malformed)),
        ("F269 scheme", "ftp://as.example.com/t", Some(UrlFault::Scheme)),
        ("F269 no URL", "as.example.com", Some(UrlFault::Malformed)),
    ] {
        let got = [
            HttpIssuer::new(text).err(),
            TokenExchange::new(text, ClientAuth::none()).err(),
            HttpProvider::new(text, ClientAuth::none()).err(),
            compat::dify(text, "s").err(),
        ];
        assert_eq!(got, [want.map(url); 4], "{name}");
    }
    let exchange = || TokenExchange::new("https://as.example.com/t", ClientAuth::none()).unwrap();
    let setting = "extra parameter";
    for reserved in [
        "grant_type",
        "subject_token",
        "subject_token_type",
        "requested_token_type",
        "audience",
        "resource",
        "scope",
        "actor_token",
        "actor_token_type",
        "client_id",
        "client_secret",
        "client_assertion",
        "client_assertion_type",
    ] {
        let got = exchange().extra(reserved, "x").err();
        assert_eq!(got, Some(ConfigError::NameReserved { setting, reserved }), "FJ9 F127");
    }
    let twice = exchange().extra("a", "x").unwrap().extra("a", "y").err();
    assert_eq!(twice, Some(ConfigError::NameTaken { setting }), "F127");
    let uri = Some(ConfigError::Value { setting: "absolute uri" });
    for text in ["", "mcp", "/mcp", ":x", "https://a.example/#x", "urn:a b", "1a:b"] {
        assert_eq!(exchange().resource(text).err(), uri, "F126 {text:?}");
    }
    let issuer = || HttpIssuer::new("https://as.example.com/t").unwrap();
    let value = |setting| Some(ConfigError::Value { setting });
    let header = "credential header";
    assert_eq!(issuer().credential(Secret::new("a\r\nb: c")).err(), value(header), "F79");
    assert_eq!(issuer().credential_header("X-Key", Secret::new("")).err(), value(header), "F79");
    let reserved = ConfigError::NameReserved { setting: header, reserved: "content-*" };
    let got = issuer().credential_header("Content-Length", Secret::new("1")).err();
    assert_eq!(got, Some(reserved), "F267");
    let range = Some(ConfigError::OutOfRange { setting: "timeouts" });
    for (connect, attempt) in [(0, 1_000), (1_000, 0), (60_001, 1_000), (1_000, 60_001)] {
        let [connect, attempt] = [connect, attempt].map(Duration::from_millis);
        assert_eq!(issuer().timeouts(connect, attempt).err(), range, "F268");
    }
    let pem = "-----BEGIN CERTIFICATE-----\nhunter2\n-----END CERTIFICATE-----";
    for text in ["", "hunter2", pem] {
        assert_eq!(issuer().root_certificate(text).err(), value("root certificate"), "F268 {text}");
    }
}

#[tokio::test]
async fn no_secret_and_no_word_of_an_answer_comes_out() {
    let log = Log::start();
    let server = Scripted::start().await;
    let secret = || Secret::new(format!("{CANARY}-secret"));
    let mut seen: Vec<String> = Vec::new();
    let mut request = subject(fixture());
    request.subject_token = Some(TypedToken::new(secret(), ACCESS));
    request.actor_token = Some(TypedToken::new(secret(), ACCESS));
    let issuer = hasty(HttpIssuer::new(&server.url("/a")).unwrap()).credential(secret()).unwrap();
    let dify = hasty(compat::dify(&server.url("/"), secret()).unwrap());
    let auths = [ClientAuth::basic("gw", secret()), ClientAuth::post("gw", secret())];
    let head = "HTTP/1.1 200 OK\r\n";
    let body = format!(
        r#"{{"token":"{CANARY}","access_token":"{CANARY}","refresh_token":"{CANARY}","expires_at":1,"token_type":"Bearer","issued_token_type":"{ACCESS}"}}"#
    );
    let field = format!("x-said: {CANARY}\r\nretry-after: {CANARY}\r\n");
    for script in [
        says(200, "", &body),
        says(200, &field, &format!("<html>{CANARY}")),
        says(200, "", &format!(r#"{{"token":"{CANARY}","expires_at":"{CANARY}"}}"#)),
        says(200, &format!("content-encoding: {CANARY}\r\n"), CANARY),
        says(400, &field, &format!(r#"{{"error":"{CANARY}","error_description":"{CANARY}"}}"#)),
        says(401, &field, CANARY),
        says(503, &field, CANARY),
        says(500, "", CANARY),
        says(302, &format!("location: http://127.0.0.1:9/{CANARY}?{CANARY}\r\n"), CANARY),
        Script::Says(format!("{head}content-length: 100\r\n\r\n{CANARY}").into()),
        Script::Says(format!("{head}transfer-encoding: chunked\r\n\r\n{CANARY}\r\n").into()),
        Script::Says(format!("HTTP/1.1 {CANARY}\r\n\r\n").into()),
        Script::Says(CANARY.into()),
        Script::Hangs(format!("{head}content-length: 100\r\n\r\n{CANARY}").into()),
        Script::Floods(format!("{head}{field}transfer-encoding: chunked\r\n\r\n").into()),
    ] {
        server.follows(script);
        seen.extend(shown(&issuer, issuer.issue(request.clone()).await));
        seen.extend(shown(&dify, dify.issue(request.clone()).await));
        for auth in auths.clone() {
            let auth = auth.unwrap();
            let exchange = TokenExchange::new(&server.url("/t"), auth.clone()).unwrap();
            let exchange = hasty(exchange.extra("tenant", CANARY).unwrap());
            seen.extend(shown(&auth, exchange.issue(request.clone()).await));
            let provider = hasty(HttpProvider::new(&server.url("/t"), auth).unwrap());
            seen.extend(shown(&provider, provider.refresh(secret()).await));
        }
        seen.extend(shown(&(), HttpProvider::discover(&server.url(""), ClientAuth::none()).await));
    }
    assert!(server.asked().contains(CANARY), "the canary was sent");
    for text in &seen {
        assert!(!text.contains(CANARY), "F104 F173: {text}");
    }
    let lines = log.lines();
    assert!(lines.iter().any(|line| line.contains("reqwest")), "the client's own log is heard");
    for line in lines {
        assert!(!line.contains(CANARY), "FM4: {line}");
    }
}

/// The caller of the page's fixture, without an app.
fn fixture() -> IssueRequest {
    let mut request = IssueRequest::new("acc-alice", AUDIENCE, NOW);
    request.workspace = Some(WorkspaceId::new("ws-1").unwrap());
    request
}

fn subject(mut request: IssueRequest) -> IssueRequest {
    request.subject_token = Some(TypedToken::new(Secret::new("aaa.bbb.ccc"), JWT));
    request
}

/// An answer to an exchange; `more` are further members.
fn exchanged(token: &str, issued: &str, sort: &str, more: &str) -> String {
    format!(
        r#"{{"access_token":"{token}","issued_token_type":"{issued}","token_type":"{sort}"{more}}}"#
    )
}

/// Whoever asks, with less patience.
trait Patient: Sized {
    fn waits(self, connect: Duration, attempt: Duration) -> Result<Self, ConfigError>;
}

macro_rules! patient {
    ($($type:ident)*) => {
        $(impl Patient for $type {
            fn waits(self, connect: Duration, attempt: Duration) -> Result<Self, ConfigError> {
                self.timeouts(connect, attempt)
            }
        })*
    };
}

patient!(HttpIssuer TokenExchange HttpProvider);

/// Little patience where there will be no answer, much where there will be one on a machine that is busy.
fn waits<P: Patient>(who: P, want: &str) -> P {
    let attempt = if want == "Timeout" { 100 } else { 60_000 };
    who.waits(Duration::from_secs(60), Duration::from_millis(attempt)).unwrap()
}

/// Whatever comes of it.
fn hasty<P: Patient>(who: P) -> P {
    waits(who, "Timeout")
}

/// An outcome in few words.
fn issued(outcome: Result<IssueAnswer, HttpError>) -> String {
    match outcome {
        Ok(IssueAnswer::Token { secret, expires_at }) => {
            format!("token {} until {}", secret.expose(), expires_at.as_secs())
        }
        Ok(IssueAnswer::ReauthRequired) => "reauth".into(),
        Ok(IssueAnswer::LoginRequired) => "login".into(),
        Ok(IssueAnswer::Denied) => "denied".into(),
        Ok(IssueAnswer::StepUp { scopes }) => format!("step up {}", scopes.join(" ")),
        Ok(IssueAnswer::RefusesUs) => "refuses us".into(),
        Ok(IssueAnswer::Busy { retry_after }) => format!("busy {}", retry_after.as_secs()),
        Ok(other) => format!("{other:?}"),
        Err(error) => {
            assert_eq!(HttpIssuer::timed_out(&error), error.kind() == HttpErrorKind::Timeout);
            let again = if HttpIssuer::may_retry(&error) { " again" } else { "" };
            format!("{}{again}", failed(&error))
        }
    }
}

fn refreshed(outcome: Result<RefreshAnswer, HttpError>) -> String {
    match outcome {
        Ok(RefreshAnswer::Fresh { access_token, refresh_token, expires_in }) => {
            let life =
                expires_in.map_or_else(|| "unknown".into(), |life| life.as_secs().to_string());
            let refresh = refresh_token.as_ref().map_or("same", Secret::expose);
            format!("{}, {refresh}, {life}", access_token.expose())
        }
        Ok(RefreshAnswer::Gone) => "gone".into(),
        Ok(RefreshAnswer::RefusesUs) => "refuses us".into(),
        Ok(RefreshAnswer::Busy { retry_after }) => format!("busy {}", retry_after.as_secs()),
        Ok(other) => format!("{other:?}"),
        Err(error) => {
            assert!(!HttpProvider::may_retry(&error), "F114");
            failed(&error)
        }
    }
}

fn failed(error: &HttpError) -> String {
    let kind = format!("{:?}", error.kind());
    error
        .status()
        .map_or_else(|| kind.clone(), |status| format!("{kind} {status} {}", error.bytes()))
}

/// An error's words without the number of bytes.
fn without_bytes(words: &str) -> &str {
    words.rsplit_once(' ').map_or(words, |(words, _)| words)
}

/// How whoever asks, what came of it, and every error under it are shown.
fn shown<T: Debug, E: std::error::Error>(who: &impl Debug, outcome: Result<T, E>) -> Vec<String> {
    let mut shown = vec![format!("{who:?}"), format!("{who:#?}"), format!("{outcome:?}")];
    let Err(error) = outcome else { return shown };
    let mut error: Option<&dyn std::error::Error> = Some(&error);
    while let Some(one) = error {
        shown.extend([one.to_string(), format!("{one:?}"), format!("{one:#?}")]);
        error = one.source();
    }
    shown
}

/// Everything that anybody logs, of every level, the libraries' `log` records too.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn start() -> Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        let start = || {
            use tracing_subscriber::util::SubscriberInitExt as _;
            let log = Self::default();
            let writer = log.clone();
            let everything = tracing_subscriber::fmt()
                .with_max_level(tracing::Level::TRACE)
                .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
                .with_ansi(false)
                .with_writer(move || writer.clone());
            everything.finish().init();
            log
        };
        LOG.get_or_init(start).clone()
    }

    fn lines(&self) -> Vec<String> {
        let text = self.0.lock().unwrap().clone();
        String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
