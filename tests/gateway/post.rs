//! One question to the gateway, without the official client.

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
#[cfg(feature = "issuer-http")]
use serde_json::Value;

/// Of a message, as the official client sends it.
pub(crate) const JSON: &[(&str, &str)] =
    &[("content-type", "application/json"), ("accept", "application/json, text/event-stream")];

/// Status, head and body of the answer.
pub(crate) async fn post(
    url: &str,
    token: &str,
    fields: &[(&str, &str)],
    body: &str,
    is_http2: bool,
) -> (u16, HeaderMap, Bytes) {
    let mut request = Request::post(url).header("authorization", format!("Bearer {token}"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::<Bytes>::from(body.to_owned())).unwrap();
    let client = Client::builder(TokioExecutor::new()).http2_only(is_http2).build_http();
    let (head, body) = client.request(request).await.unwrap().into_parts();
    (head.status.as_u16(), head.headers, body.collect().await.unwrap().to_bytes())
}

/// The one message of an answer that is a stream of events.
#[cfg(feature = "issuer-http")]
pub(crate) fn message(body: &[u8]) -> Value {
    let text = str::from_utf8(body).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("data: "));
    serde_json::from_str(line.unwrap_or_else(|| panic!("{text}"))).unwrap()
}
