//! Every form in which a server can be told who calls: the official client, the gateway, official servers, and the provider.

use serde_json::{Value, json};

use crate::clients::{identity, lies};
use crate::gateway::Gateway;
use crate::links::{file, sign_in};
use crate::node::{CLIENT, Node, ask, drive, is_here};

const KEY: &str = "com.example/caller";

/// A mode, and what says of a server's view whether it was told who calls.
struct Mode {
    name: &'static str,
    args: Vec<String>,
    /// The gateway's token has to be known to the provider.
    is_exchange: bool,
    told: fn(&Value) -> Value,
    want: Value,
}

fn mode(name: &'static str, args: &[&str], told: fn(&Value) -> Value, want: Value) -> Mode {
    let args = args.iter().map(|arg| (*arg).to_owned()).collect();
    Mode { name, args, is_exchange: false, told, want }
}

fn headers(view: &Value) -> Value {
    identity(view)
}

fn meta(view: &Value) -> Value {
    view["meta"][KEY].clone()
}

/// What a token says that the server has checked.
fn claims(view: &Value) -> Value {
    let names = ["iss", "sub", "aud", "tenant_id", "app_id", "user_type"];
    let claims = view["claims"].as_object().unwrap().iter();
    let known = claims.filter(|(name, _)| names.contains(&name.as_str()));
    known.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn modes(provider: &str, server: &str, links: &str) -> Vec<Mode> {
    let of_headers = json!({
        "x-forwarded-user-id": "acc-alice",
        "x-forwarded-user-type": "account",
        "x-forwarded-user-workspace": "ws-north",
        "x-forwarded-user-role": "editor",
        "x-forwarded-user-app": "app-tools",
    });
    let of_meta = json!({
        "id": "acc-alice",
        "type": "account",
        "workspace": "ws-north",
        "role": "editor",
        "app": "app-tools",
    });
    let of_token = json!({ "iss": provider, "sub": "acc-alice", "aud": server });
    let mut of_issued = of_token.clone();
    for (name, value) in
        [("tenant_id", "ws-north"), ("app_id", "app-tools"), ("user_type", "account")]
    {
        of_issued[name] = json!(value);
    }
    let (issue, token) = (format!("{provider}/issue"), format!("{provider}/token"));
    let (idp_token, exchange) = (format!("idp-token:{issue}"), format!("exchange:{token}"));
    let user_oidc =
        ["--forward", &format!("user-oidc:{token}"), "--client", CLIENT, "--links", links];
    vec![
        mode("F71 headers", &["--forward", "headers"], headers, of_headers),
        mode("F147 _meta", &["--forward", "off", "--meta", KEY], meta, of_meta),
        mode("F74 idp-token", &["--forward", &idp_token], claims, of_issued),
        mode("F75 user-oidc", &user_oidc, claims, of_token.clone()),
        Mode {
            is_exchange: true,
            ..mode("F76 exchange", &["--forward", &exchange, "--client", CLIENT], claims, of_token)
        },
    ]
}

#[tokio::test]
async fn every_mode_end_to_end() {
    if !is_here().await {
        return;
    }
    let (provider, whoami, everything) =
        tokio::join!(Node::provider(600), Node::whoami(), Node::everything());
    whoami.trust(&provider.url, &format!("{}/jwks", provider.url)).await;
    let mut links = Vec::new();
    for (name, server) in [("whoami", &whoami), ("everything", &everything)] {
        links.push(sign_in(&provider, name, &server.url).await);
    }
    let links = file("modes", &links);
    let (first, second) =
        (format!("whoami={}", whoami.url), format!("everything={}", everything.url));
    let mut passed = 0;
    for mode in modes(&provider.url, &whoami.url, &links) {
        let name = mode.name;
        let mut args = vec!["--upstream", &first, "--upstream", &second];
        args.extend(mode.args.iter().map(String::as_str));
        let gateway = Gateway::start(&args).await;
        let token = &gateway.tokens["alice"];
        if mode.is_exchange {
            let known = json!({ "subject_token": token, "account": "acc-alice" });
            ask(format!("{}/test/subjects", provider.url), Some(&known), None).await;
        }
        let lie = json!({ KEY: { "id": "acc-forged", "groups": ["forged"] }, "a.b/c": 1 });
        let own = if name.ends_with("_meta") { lie } else { json!({ "a.b/c": 1 }) };
        let seen = drive(&gateway.urls["whoami"], token, &own, &lies()).await;
        let view = &seen["whoami"];
        println!("{name}: initialize: {} {}", seen["server"], seen["protocol"]);
        println!("{name}: list tools: {}", seen["tools"]);
        println!("{name}: streaming: {} until {}", seen["held"], seen["released"]);
        println!("{name}: call, the server's view: {}", shown(view));
        assert_eq!(seen["server"], "whoami", "{name}: {seen}");
        assert_eq!(seen["tools"], json!(["whoami", "hold", "release"]), "{name}");
        assert_eq!((&seen["held"], &seen["released"]), (&json!("released"), &json!("done")));
        assert_eq!((mode.told)(view), mode.want, "{name}: {view}");
        assert_eq!(view["meta"]["a.b/c"], 1, "{name}: what is the client's own stays");
        assert!(!view.to_string().contains("forged"), "F41 {name}: {view}");
        assert!(!view.to_string().contains(token.as_str()), "F44 {name}");

        let seen = drive(&gateway.urls["everything"], token, &own, &lies()).await;
        println!("{name}: server-everything: {seen}");
        assert_eq!(seen["server"], "mcp-servers/everything", "{name}: {seen}");
        assert_eq!(seen["echo"], "Echo: over and out", "{name}");
        assert_eq!(seen["progress"], json!(["1/3", "2/3", "3/3"]), "{name}");
        assert_eq!(seen["stateful"], true, "{name}");
        passed += 1;
    }
    std::fs::remove_file(&links).unwrap();
    let (_, counts) = ask(format!("{}/test/counts", provider.url), None, None).await;
    println!("asked of the provider: {counts}");
    let want = json!({
        "refreshed": 2, "refresh_refused": 0,
        "exchanged": 2, "exchange_refused": 0,
        "issued": 2, "issue_refused": 0,
    });
    assert_eq!(counts, want, "one for each server and caller");
    println!("figure mcp_modes_end_to_end {passed} 5");
    assert_eq!(passed, 5);
}

/// Without most of a credential.
fn shown(view: &Value) -> Value {
    let mut view = view.clone();
    if let Some(Value::String(text)) = view["headers"].get_mut("authorization") {
        text.truncate(14);
        text.push('…');
    }
    view
}
