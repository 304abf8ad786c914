//! A real MCP client reaches real MCP servers through the gateway, and they learn from us alone who is calling.
#![expect(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test may stop at what cannot be, and shows what an upstream sees"
)]

mod clients;
mod forgeries;
#[path = "../support/gateway.rs"]
mod gateway;
mod legs;
#[cfg(feature = "issuer-http")]
mod links;
mod meta;
#[cfg(feature = "issuer-http")]
mod modes;
#[path = "../support/node.rs"]
mod node;
mod post;
mod provider;
#[path = "../support/raw"]
#[expect(dead_code, unreachable_pub, reason = "each test file uses its own part")]
mod raw {
    pub mod h1;
    pub mod h2;
    pub mod message;
    pub mod recorder;
    pub mod rows;
}
#[cfg(feature = "signed")]
mod signed;
mod upstream;

use gateway::Gateway;

#[tokio::test]
async fn what_is_not_there_is_said() {
    let server = "--upstream=tools=http://127.0.0.1:1/mcp";
    for (name, args, want) in [
        ("P1403 no server", &[][..], "mcp_gateway: --upstream is needed\n"),
        (
            "F277 no mode",
            &[server, "--forward", "on"],
            "mcp_gateway: --forward \"on\" is no mode\n",
        ),
        #[cfg(not(feature = "issuer-http"))]
        (
            "F277 without it",
            &[server, "--forward", "exchange:http://127.0.0.1:1"],
            "mcp_gateway: --forward exchange needs the feature issuer-http: \
             cargo run --features issuer-http,signed --example mcp_gateway\n",
        ),
        #[cfg(feature = "issuer-http")]
        (
            "F75 no links",
            &[server, "--forward", "user-oidc:http://127.0.0.1:1"],
            "mcp_gateway: --forward user-oidc needs --links\n",
        ),
    ] {
        assert_eq!(Gateway::refused(args).await, (Some(2), want.to_owned()), "{name}");
    }
}
