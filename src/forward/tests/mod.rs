//! What an upstream sees, row by row.

mod headers;
mod hop_by_hop;
mod properties;
mod settings;
mod strip;

use super::*;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};

type Lines<'a> = &'a [(&'a str, &'a str)];

fn head(lines: Lines<'_>) -> Parts {
    let mut head = Request::new(()).into_parts().0;
    for (name, value) in lines {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        head.headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    head
}

/// Every line in the order of the map, as text.
fn seen(headers: &HeaderMap) -> Vec<(&str, &str)> {
    headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect()
}

fn options() -> ForwardOptions {
    let upstream = Upstream::new("mcp-main", "https://mcp.example.com/mcp").unwrap();
    ForwardOptions::new(upstream, Mode::Headers).set(&ForwardSet::separate()).fields(FIXTURE)
}

fn with_static(name: &str) -> ForwardOptions {
    let upstream = Upstream::new("mcp-main", "https://mcp.example.com/mcp").unwrap();
    let upstream = upstream.with_static_header(name, HeaderValue::from_static("s")).unwrap();
    ForwardOptions::new(upstream, Mode::Headers).set(&ForwardSet::separate()).fields([])
}

const FIXTURE: [Field; 4] = [Field::Id, Field::Type, Field::Email, Field::Workspace];

fn alice<'a>() -> Identity<'a> {
    Identity::account("acc-alice").with_email("alice@co.com").with_workspace("ws-1")
}

/// What the upstream sees of a request with these lines.
fn sent(forwarding: &Forwarding, identity: Option<&Identity<'_>>, lines: Lines<'_>) -> HeaderMap {
    let mut head = head(lines);
    let _prepared = forwarding.prepare_request(&mut head, identity).unwrap();
    head.headers
}

const ALICE: Lines<'static> = &[
    ("x-forwarded-user-id", "acc-alice"),
    ("x-forwarded-user-type", "account"),
    ("x-forwarded-user-email", "alice@co.com"),
    ("x-forwarded-user-workspace", "ws-1"),
];
