//! What was asked for on the command line?

use std::net::SocketAddr;

use tower_bearer::forward::Upstream;
use tower_bearer::stack::McpMetaForward;

use crate::modes::{Beside, Mode};

pub const USAGE: &str = "\
usage: mcp_gateway --upstream NAME=URL [--upstream NAME=URL …] [--addr 127.0.0.1:8080]
                   [--forward off|headers|signed:KEYFILE|assertion|idp-token:URL|exchange:URL|user-oidc:URL]
                   [--client ID:SECRET] [--links FILE] [--meta com.example/caller] [--http2]";

/// The command line, checked.
#[derive(Debug)]
pub struct Flags {
    pub addr: SocketAddr,
    pub upstreams: Vec<Upstream>,
    pub mode: Mode,
    /// Identity also goes into messages, under a key.
    pub meta: Option<McpMetaForward>,
    /// The servers speak HTTP/2 without being asked (RFC 9113 §3.3).
    pub http2: bool,
}

impl Flags {
    /// `None` asks for [`USAGE`]; an `Err` is one line that says what is wrong.
    pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Option<Self>, String> {
        let (mut addr, mut forward, mut meta, mut http2) = (None, None, None, false);
        let (mut client, mut links) = (None, None);
        let mut upstreams: Vec<Upstream> = Vec::new();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let (flag, value) = match arg.split_once('=') {
                Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
                None => (arg, None),
            };
            let slot = match flag.as_str() {
                "--help" | "-h" => return Ok(None),
                "--http2" if value.is_none() => {
                    http2 = true;
                    continue;
                }
                "--upstream" => &mut None,
                "--addr" => &mut addr,
                "--forward" => &mut forward,
                "--meta" => &mut meta,
                "--client" => &mut client,
                "--links" => &mut links,
                _ => return Err(format!("unknown flag {flag:?}")),
            };
            if slot.is_some() {
                return Err(format!("{flag} is given twice"));
            }
            let value = value.or_else(|| args.next());
            let value = value.ok_or_else(|| format!("{flag} needs a value"))?;
            if flag == "--upstream" {
                let upstream = upstream(&value)?;
                if upstreams.iter().any(|other| other.name() == upstream.name()) {
                    return Err(format!("--upstream {} is given twice", upstream.name()));
                }
                upstreams.push(upstream);
            } else {
                *slot = Some(value);
            }
        }
        if upstreams.is_empty() {
            return Err("--upstream is needed".to_owned());
        }
        let addr = addr.as_deref().unwrap_or("127.0.0.1:8080");
        let addr = addr.parse().map_err(|error| format!("--addr {addr:?}: {error}"))?;
        let beside = Beside { client: client.as_deref(), links: links.as_deref() };
        let mode = Mode::read(forward.as_deref().unwrap_or("headers"), beside)?;
        let meta = meta.as_deref().map(McpMetaForward::new).transpose();
        let meta = meta.map_err(|error| format!("--meta: {error}"))?;
        // a server might read JSON out of whatever it is sent
        let meta = meta.map(McpMetaForward::json_only);
        Ok(Some(Self { addr, upstreams, mode, meta, http2 }))
    }
}

/// `NAME=URL`, plain HTTP on this machine: this example has no TLS.
fn upstream(text: &str) -> Result<Upstream, String> {
    let (name, url) =
        text.split_once('=').ok_or_else(|| format!("--upstream {text:?} is not NAME=URL"))?;
    let upstream = Upstream::new(name, url).map_err(|error| format!("--upstream: {error}"))?;
    match (upstream.uri().scheme_str(), upstream.uri().query()) {
        (Some("http"), None) => Ok(upstream),
        (Some("http"), Some(_)) => Err("--upstream may not have a query".to_owned()),
        _ => Err("--upstream: https is not built in".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines() {
        let one = "--upstream a=http://127.0.0.1:1/mcp";
        for (name, more, want) in [
            ("F277 default", "", Ok("127.0.0.1:8080 Headers")),
            ("F277 off", " --forward off --addr=127.0.0.1:0", Ok("127.0.0.1:0 Off")),
            ("P1403 unknown", " --nonsense 1", Err("unknown flag")),
            ("P1403 twice", " --addr 127.0.0.1:0 --addr 127.0.0.1:0", Err("--addr is given twice")),
            ("P1403 no value", " --addr", Err("--addr needs a value")),
            ("P1403 no address", " --addr localhost", Err("--addr")),
            ("F277 no mode", " --forward on", Err("--forward \"on\" is no mode")),
            ("F277 more than a mode", " --forward off:x", Err("--forward \"off:x\" is no mode")),
            #[cfg(feature = "signed")]
            ("F277 assertion", " --forward assertion", Ok("127.0.0.1:8080 Assertion")),
            #[cfg(not(feature = "signed"))]
            (
                "F277 without it",
                " --forward assertion",
                Err("--forward assertion needs the feature"),
            ),
            ("F277 no file", " --forward signed:/nowhere/key", Err("--forward signed")),
            #[cfg(not(feature = "issuer-http"))]
            (
                "F277 without it",
                " --forward idp-token:http://127.0.0.1:1",
                Err("--forward idp-token needs the feature issuer-http: cargo run --features"),
            ),
            #[cfg(feature = "issuer-http")]
            ("F277 no URL", " --forward idp-token:here", Err("--forward idp-token: ")),
            #[cfg(feature = "issuer-http")]
            (
                "F277 elsewhere",
                " --forward exchange:http://a.example/",
                Err("--forward exchange: "),
            ),
            #[cfg(feature = "issuer-http")]
            (
                "F75 no links",
                " --forward user-oidc:http://127.0.0.1:1/token",
                Err("--forward user-oidc needs --links"),
            ),
            #[cfg(feature = "issuer-http")]
            (
                "no secret",
                " --forward exchange:http://127.0.0.1:1/token --client gateway",
                Err("--client is not ID:SECRET"),
            ),
            (
                "a client of nothing",
                " --client a:b",
                Err("--client goes with no --forward headers"),
            ),
            ("links of nothing", " --links x", Err("--links goes with no --forward headers")),
            ("F147 a key", " --meta com.example/caller", Ok("127.0.0.1:8080 Headers")),
            ("F147 no key", " --meta caller", Err("--meta: ")),
            ("F147 a key of MCP's", " --meta mcp.example/caller", Err("--meta: ")),
            (
                "two of a name",
                " --upstream a=http://127.0.0.1:2",
                Err("--upstream a is given twice"),
            ),
            ("F160 a name", " --upstream A=http://127.0.0.1:2", Err("--upstream: ")),
            ("F160 elsewhere", " --upstream b=http://b.example", Err("--upstream: ")),
            ("no TLS", " --upstream b=https://b.example", Err("--upstream: https")),
            ("no name", " --upstream http://127.0.0.1:2", Err("--upstream \"http")),
        ] {
            let line = format!("{one}{more}");
            let got = Flags::parse(line.split(' ').map(str::to_owned));
            let got = got.map(|flags| flags.unwrap());
            let got = got.map(|flags| format!("{} {:?}", flags.addr, flags.mode));
            match (&got, want) {
                (Ok(got), Ok(want)) => assert_eq!(got, want, "{name}"),
                (Err(got), Err(want)) => assert!(got.starts_with(want), "{name}: {got}"),
                _ => panic!("{name}: {got:?}"),
            }
        }
        let none = Flags::parse([]).unwrap_err();
        assert_eq!(none, "--upstream is needed");
        assert!(Flags::parse(["--help".to_owned()]).unwrap().is_none());
    }
}
