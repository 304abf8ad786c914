//! What was asked for on the command line?

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use tower_bearer::forward::Upstream;

use crate::forwarding::Forward;
use crate::sharing::Sharing;

pub const USAGE: &str = "\
usage: quickstart [--addr 127.0.0.1:8080] [--seed FILE.json] [--limit N/SECONDS]
                  [--upstream URL] [--forward off|headers|signed:KEYFILE|assertion|idp-token:URL|exchange:URL]
                  [--redis URL] [--database URL]";

/// The command line, checked.
#[derive(Debug)]
pub struct Flags {
    pub addr: SocketAddr,
    pub seed: Option<PathBuf>,
    pub limit: (NonZeroU32, Duration),
    pub upstream: Option<Upstream>,
    pub forward: Forward,
    pub redis: Option<Sharing>,
}

impl Flags {
    /// `None` asks for [`USAGE`]; an `Err` is one line that says what is wrong.
    pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Option<Self>, String> {
        let mut given = Given::default();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let (flag, value) = match arg.split_once('=') {
                Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
                None => (arg, None),
            };
            if matches!(flag.as_str(), "--help" | "-h") {
                return Ok(None);
            }
            let slot = given.slot(&flag).ok_or_else(|| format!("unknown flag {flag:?}"))?;
            if slot.is_some() {
                return Err(format!("{flag} is given twice"));
            }
            *slot =
                Some(value.or_else(|| args.next()).ok_or_else(|| format!("{flag} needs a value"))?);
        }
        given.check().map(Some)
    }
}

/// The texts as they came.
#[derive(Default)]
struct Given {
    addr: Option<String>,
    seed: Option<String>,
    limit: Option<String>,
    upstream: Option<String>,
    forward: Option<String>,
    redis: Option<String>,
    database: Option<String>,
}

impl Given {
    fn slot(&mut self, flag: &str) -> Option<&mut Option<String>> {
        Some(match flag {
            "--addr" => &mut self.addr,
            "--seed" => &mut self.seed,
            "--limit" => &mut self.limit,
            "--upstream" => &mut self.upstream,
            "--forward" => &mut self.forward,
            "--redis" => &mut self.redis,
            "--database" => &mut self.database,
            _ => return None,
        })
    }

    fn check(self) -> Result<Flags, String> {
        if self.database.is_some() {
            return Err("--database is not built in yet".to_owned());
        }
        let addr = self.addr.as_deref().unwrap_or("127.0.0.1:8080");
        let upstream = self.upstream.as_deref().map(upstream).transpose()?;
        let forward = Forward::read(self.forward.as_deref().unwrap_or("headers"))?;
        if self.forward.is_some() && upstream.is_none() {
            return Err("--forward needs --upstream".to_owned());
        }
        Ok(Flags {
            addr: addr.parse().map_err(|error| format!("--addr {addr:?}: {error}"))?,
            seed: self.seed.map(PathBuf::from),
            limit: limit(self.limit.as_deref().unwrap_or("60/60"))?,
            upstream,
            forward,
            redis: self.redis.as_deref().map(Sharing::at).transpose()?,
        })
    }
}

/// `N/SECONDS`.
fn limit(text: &str) -> Result<(NonZeroU32, Duration), String> {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = text.split_once('/').filter(|(count, seconds)| digits(count) && digits(seconds));
    let parsed = parsed.and_then(|(count, seconds)| {
        let seconds: u64 =
            seconds.parse().ok().filter(|seconds| (1..=2_073_600).contains(seconds))?;
        Some((count.parse().ok()?, Duration::from_secs(seconds)))
    });
    parsed.ok_or_else(|| {
        format!(
            "--limit {text:?} is not N/SECONDS with N up to 4294967295 and SECONDS up to 2073600"
        )
    })
}

/// Plain HTTP on this machine: this example has no TLS.
fn upstream(url: &str) -> Result<Upstream, String> {
    let upstream = Upstream::new("demo", url).map_err(|error| format!("--upstream: {error}"))?;
    match (upstream.uri().scheme_str(), upstream.uri().query()) {
        (Some("http"), None) => Ok(upstream),
        (Some("http"), Some(_)) => Err("--upstream may not have a query".to_owned()),
        _ => Err("--upstream: https is not built in yet".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines() {
        for (name, line, want) in [
            ("nothing", "", Ok("127.0.0.1:8080 60/60s")),
            ("port 0", "--addr 127.0.0.1:0", Ok("127.0.0.1:0 60/60s")),
            ("L916 one word", "--limit=1000/1", Ok("127.0.0.1:8080 1000/1s")),
            ("L916 most", "--limit 4294967295/2073600", Ok("127.0.0.1:8080 4294967295/2073600s")),
            ("L916 none", "--limit 0/60", Err("--limit")),
            ("L916 no window", "--limit 60/0", Err("--limit")),
            ("L916 too long", "--limit 60/2073601", Err("--limit")),
            ("L916 too many", "--limit 4294967296/60", Err("--limit")),
            ("L916 signs", "--limit +6/60", Err("--limit")),
            ("L916 no slash", "--limit 60", Err("--limit")),
            ("P1403 unknown", "--nonsense 1", Err("unknown flag")),
            ("P1403 twice", "--addr 127.0.0.1:0 --addr 127.0.0.1:0", Err("--addr is given twice")),
            ("P1403 no value", "--addr", Err("--addr needs a value")),
            ("P1403 no address", "--addr localhost", Err("--addr")),
            #[cfg(feature = "signed")]
            (
                "F277 no file",
                "--upstream http://127.0.0.1:1 --forward signed:/nowhere/key",
                Err("--forward signed: "),
            ),
            #[cfg(feature = "signed")]
            (
                "F277 assertion",
                "--upstream http://127.0.0.1:1 --forward assertion",
                Ok("127.0.0.1:8080 60/60s"),
            ),
            #[cfg(not(feature = "signed"))]
            (
                "F277 without it",
                "--upstream http://127.0.0.1:1 --forward assertion",
                Err("--forward assertion needs the feature signed: cargo run --features signed"),
            ),
            #[cfg(feature = "issuer-http")]
            (
                "F277 no URL",
                "--upstream http://127.0.0.1:1 --forward exchange:here",
                Err("--forward exchange: "),
            ),
            #[cfg(not(feature = "issuer-http"))]
            (
                "F277 without it",
                "--upstream http://127.0.0.1:1 --forward idp-token:http://127.0.0.1:2",
                Err("--forward idp-token needs the feature issuer-http: cargo run --features"),
            ),
            (
                "F277 no mode",
                "--upstream http://127.0.0.1:1 --forward on",
                Err("--forward \"on\" is no mode"),
            ),
            ("F277 no upstream", "--forward headers", Err("--forward needs --upstream")),
            ("F269 not here", "--upstream http://upstream.example", Err("--upstream")),
            ("P1403 no Redis", "--redis http://127.0.0.1", Err("--redis")),
            ("not built in", "--database sqlite:x", Err("--database is not built in yet")),
        ] {
            let got = Flags::parse(line.split_whitespace().map(str::to_owned));
            let got = got.map(|flags| {
                let Flags { addr, limit: (count, window), .. } = flags.unwrap();
                format!("{addr} {count}/{window:?}")
            });
            match (&got, want) {
                (Ok(got), Ok(want)) => assert_eq!(got, want, "{name}"),
                (Err(got), Err(want)) => assert!(got.starts_with(want), "{name}: {got}"),
                _ => panic!("{name}: {got:?}"),
            }
        }
        assert!(Flags::parse(["--help".to_owned()]).unwrap().is_none());
    }
}
