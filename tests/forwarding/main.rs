//! The upstream learns from us who is calling, and from nobody else.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test's helpers fail loudly")]

mod answers;
mod claims;
mod client_side;
mod events;
mod identity;
#[path = "../support/log.rs"]
mod listening;
mod log;
mod redirects;
#[path = "../support/forwarding.rs"]
mod support;
mod values;
mod wire;

use tower::ServiceBuilder;
use tower_bearer::forward::{ForwardOptions, ForwardSet, Forwarding, Mode};
use tower_bearer::stack::{BearerCheck, IdentityForward};

use support::*;

fn with_email(forward: impl Into<IdentityForward>) -> IdentityForward {
    forward.into().identity(|_, context, identity| match context.kind() {
        Some("account") => identity.with_email("alice@co.com"),
        _ => identity,
    })
}

/// What the upstream is sent, or the status and `error` word of the refusal.
async fn told(
    check: BearerCheck,
    forward: IdentityForward,
    lines: Lines<'_>,
) -> Result<Vec<(String, String)>, (u16, &'static str)> {
    let upstream = Recorder::new();
    let service = ServiceBuilder::new().layer(check).layer(forward).service(upstream.clone());
    let (response, refusal) = send(service, request("/", lines)).await;
    let calls = upstream.take();
    match (refusal, calls.as_slice()) {
        (None, [head]) => {
            assert_eq!(response.status(), 200);
            Ok(owned(&seen(&head.headers)))
        }
        (Some(refusal), []) => Err((response.status().as_u16(), refusal.kind().error())),
        (refusal, calls) => panic!("{refusal:?} with {} calls", calls.len()),
    }
}

fn owned(lines: Lines<'_>) -> Vec<(String, String)> {
    lines.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn check() -> BearerCheck {
    BearerCheck::new(&auth())
}

fn forward(options: ForwardOptions) -> IdentityForward {
    with_email(options.build().unwrap())
}

fn off() -> Forwarding {
    ForwardOptions::new(upstream(), Mode::Off).set(&ForwardSet::separate()).build().unwrap()
}

fn sorted(lines: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut lines = owned(lines);
    lines.sort();
    lines
}
