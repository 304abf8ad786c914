//! Three servers on one Redis: one limit, one revocation for all, and what each of them does while Redis is out.
//!
//! `cargo run --features redis --example replicas -- --own` starts a redis-server of its own, and may so stop it;
//! `-- --redis redis://127.0.0.1:6379` (the default) takes one that is there. `cargo test --features redis --example replicas`.

mod own;
mod replica;

use std::error::Error;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tokio::time::sleep;
use tower_bearer::id::AccountId;
use tower_bearer::issuing::MintRequest;
use tower_bearer::store::Redis;
use tower_bearer::subject::Subject;

use crate::own::Own;
use crate::replica::{LIMIT, Replica};

type Fallible<T> = Result<T, Box<dyn Error>>;

/// Three servers and somebody who calls them.
struct Tour<W> {
    out: W,
    client: Client<HttpConnector, Full<Bytes>>,
    replicas: Vec<Replica>,
}

impl<W: Write> Tour<W> {
    async fn start(redis: &Redis, out: W) -> Fallible<Self> {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let mut tour = Self { out, client, replicas: Vec::new() };
        for number in 1..=3 {
            let replica = Replica::start(redis).await?;
            writeln!(tour.out, "server {number} on http://{}", replica.addr)?;
            tour.replicas.push(replica);
        }
        Ok(tour)
    }

    async fn call(
        &self,
        method: &str,
        server: usize,
        token: &str,
    ) -> Fallible<(StatusCode, String)> {
        let addr = self.replicas.get(server).ok_or("no such server")?.addr;
        let request = Request::builder().method(method).uri(format!("http://{addr}/"));
        let request = request.header("authorization", format!("Bearer {token}"));
        let (head, body) = self.client.request(request.body(Full::default())?).await?.into_parts();
        Ok((head.status, String::from_utf8(body.collect().await?.to_bytes().to_vec())?))
    }

    /// A token that nobody has used; every server's own store knows it.
    async fn token(&self, label: &str) -> Fallible<String> {
        let subject = Subject::Account { id: AccountId::new("acc-1")? };
        let request = MintRequest::new("account", subject, "tour", label);
        let [first, others @ ..] = &*self.replicas else { return Err("no server".into()) };
        let minted = first.issuer.mint(&request).await?;
        for other in others {
            other.issuer.adopt(minted.token().expose(), &request).await?;
        }
        Ok(minted.token().expose().to_owned())
    }

    /// How many of `LIMIT` calls and ten more pass at each server.
    async fn passed(&self, label: &str) -> Fallible<[u32; 3]> {
        let (token, mut passed) = (self.token(label).await?, [0; 3]);
        for _ in 0..LIMIT + 10 {
            for (server, count) in passed.iter_mut().enumerate() {
                *count += u32::from(self.call("GET", server, &token).await?.0 == StatusCode::OK);
            }
        }
        Ok(passed)
    }

    /// Ends a token at server 1 that all have used; gives it back, and when it was ended.
    async fn revoke(&mut self, label: &str) -> Fallible<(String, Instant)> {
        let token = self.token(label).await?;
        for server in 0..3 {
            self.call("GET", server, &token).await?;
        }
        let (_, others) = self.call("DELETE", 0, &token).await?;
        let since = now();
        let here = self.call("GET", 0, &token).await?.0.as_u16();
        writeln!(
            self.out,
            "a token is revoked at server 1, which answers it {here}; others: {others}"
        )?;
        Ok((token, since))
    }

    /// Waits until the others refuse it, and says how long that took.
    async fn refused(&mut self, token: &str, since: Instant) -> Fallible<()> {
        for server in [1, 2] {
            while self.call("GET", server, token).await?.0 != StatusCode::UNAUTHORIZED {
                sleep(Duration::from_millis(1)).await;
            }
            let ms = ms(since);
            writeln!(self.out, "server {} refuses it {ms:.1} ms later", server + 1)?;
        }
        Ok(())
    }

    /// While Redis is there.
    async fn together(&mut self) -> Fallible<()> {
        let passed = self.passed("one limit").await?;
        let (sum, calls) = (passed.iter().sum::<u32>(), (LIMIT + 10) * 3);
        writeln!(self.out, "{sum} of {calls} calls pass at a limit of {LIMIT}: {passed:?}")?;
        let (token, since) = self.revoke("one revocation").await?;
        self.refused(&token, since).await
    }

    /// While it is out, and once it is back.
    async fn apart(&mut self, own: &mut Own) -> Fallible<()> {
        own.stop()?;
        writeln!(self.out, "redis is stopped")?;
        let passed = self.passed("degraded").await?;
        writeln!(self.out, "each server admits up to {LIMIT} by itself: {passed:?}")?;
        let (token, _) = self.revoke("late").await?;
        let (since, _) = (now(), own.start().await?);
        writeln!(self.out, "redis is started again, empty")?;
        self.refused(&token, since).await?;
        let probe = self.token("probe").await?;
        for server in 0..3 {
            while self.call("GET", server, &probe).await?.1 != "Store" {
                sleep(Duration::from_millis(100)).await;
            }
        }
        writeln!(self.out, "all limits are in Redis again {:.0} ms after its start", ms(since))?;
        self.together().await
    }
}

#[expect(clippy::disallowed_methods, reason = "it says how long real servers took")]
fn now() -> Instant {
    Instant::now()
}

fn ms(since: Instant) -> f64 {
    now().duration_since(since).as_secs_f64() * 1e3
}

async fn tour(args: &[&str], out: impl Write) -> Fallible<()> {
    let (mut own, url) = match args {
        ["--own"] => {
            let own = Own::new().await?;
            let url = format!("redis://127.0.0.1:{}", own.port);
            (Some(own), url)
        }
        ["--redis", url] => (None, (*url).to_owned()),
        [] => (None, "redis://127.0.0.1:6379".to_owned()),
        _ => return Err("usage: replicas [--own | --redis URL]".into()),
    };
    let mut tour = Tour::start(&Redis::open(&url)?, out).await?;
    tour.together().await?;
    match &mut own {
        Some(own) => tour.apart(own).await,
        None => Ok(writeln!(tour.out, "with --own it also shows what happens without Redis")?),
    }
}

#[tokio::main]
async fn main() -> Fallible<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    tour(&args, io::stdout()).await
}

#[cfg(test)]
#[tokio::test]
async fn what_is_said() {
    if std::process::Command::new("redis-server").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "redis-server is missing, and CI is set");
        return println!("skipped: no redis-server here");
    }
    let mut out = Vec::new();
    tour(&["--own"], &mut out).await.unwrap();
    let text = String::from_utf8(out).unwrap();
    println!("{text}");
    let said = |words: &str| text.matches(words).count();
    for (words, times) in [
        ("server 1 on http://127.0.0.1:", 1),
        ("30 of 120 calls pass at a limit of 30: ", 2),
        ("server 1, which answers it 401; others: ", 3),
        ("refuses it", 6),
        ("each server admits up to 30 by itself: [30, 30, 30]", 1),
        (
            "by itself: [30, 30, 30]\na token is revoked at server 1, which answers it 401; others: Late",
            1,
        ),
        ("all limits are in Redis again", 1),
    ] {
        assert_eq!(said(words), times, "{words}\n{text}");
    }
}
