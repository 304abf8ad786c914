//! `/apps/{app}/proxy/…` goes to the upstream, which is told who calls; nobody else can tell it.

use std::convert::Infallible;
use std::error::Error;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::HOST;
use axum::http::{StatusCode, Uri, Version};
use axum::response::{IntoResponse, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tower::{Layer, Service, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_bearer::AuthContext;
use tower_bearer::forward::{ForwardBody, Forwarding};
use tower_bearer::stack::IdentityForward;

use crate::problem::Problem;

#[derive(Clone)]
pub struct Proxy {
    /// The upstream's URL without a last `/`.
    base: String,
    /// Whoever forwards is given the token too that the request came with.
    needs_token: bool,
    client: BoxCloneSyncService<Request, Response, Infallible>,
}

impl Proxy {
    /// The layer stands around the client, so whatever is sent by it carries identity of ours and no credential.
    pub fn new(forwarding: Forwarding, needs_token: bool) -> Self {
        let base = forwarding.upstream().uri().to_string().trim_end_matches('/').to_owned();
        let layer = IdentityForward::new(forwarding).client_side();
        let client: Client<HttpConnector, ForwardBody<Body>> =
            Client::builder(TokioExecutor::new()).build_http();
        let call = service_fn(move |request: Request<ForwardBody<Body>>| {
            let client = client.clone();
            async move { Ok::<_, Infallible>(send(client, request).await) }
        });
        let client = layer.layer(call).map_response(|answer| answer.map(Body::new));
        Self { base, needs_token, client: BoxCloneSyncService::new(client) }
    }

    /// What is asked of the upstream and what it answers, both as they are but for what may not pass.
    pub async fn forward(&self, mut request: Request) -> Response {
        let Some(target) = self.target(request.uri()) else {
            return Problem::not_found().into_response();
        };
        if self.needs_token
            && let Some(context) = AuthContext::of(request.extensions()).cloned()
        {
            let (mut head, body) = request.into_parts();
            context.dangerously_attach_with_token(&head.headers, &mut head.extensions);
            request = Request::from_parts(head, body);
        }
        *request.uri_mut() = target;
        *request.version_mut() = Version::HTTP_11;
        request.headers_mut().remove(HOST); // the client writes the upstream's
        match self.client.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// The upstream's URL, `/`, the rest of the path as it came, and the query.
    fn target(&self, uri: &Uri) -> Option<Uri> {
        let mut parts = uri.path().splitn(5, '/'); // "", apps, {app}, proxy, rest
        let rest = parts.nth(4).filter(|rest| rest.split('/').all(is_plain))?;
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}/{rest}{query}", self.base).parse().ok()
    }
}

/// Can no reading of this segment lead to another path than it shows?
fn is_plain(segment: &str) -> bool {
    let Some(decoded) = decoded(segment) else { return false };
    let name = decoded.split(|byte| *byte == b';').next().unwrap_or_default();
    let hidden = |byte: &u8| matches!(byte, b'/' | b'\\' | 0);
    !matches!(name, b"." | b"..") && !decoded.iter().any(hidden)
}

/// Percent-decoded once; `None` for a broken escape.
fn decoded(segment: &str) -> Option<Vec<u8>> {
    let mut bytes = segment.bytes();
    let mut decoded = Vec::with_capacity(segment.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            plain => plain,
        });
    }
    Some(decoded)
}

async fn send(
    mut client: Client<HttpConnector, ForwardBody<Body>>,
    request: Request<ForwardBody<Body>>,
) -> Response {
    match client.call(request).await {
        Ok(response) => response.map(Body::new),
        Err(error) if is_of_the_body(&error) => {
            let detail = "The body could not be read.";
            Problem::new(StatusCode::BAD_REQUEST, "invalid_body", detail).into_response()
        }
        Err(error) => {
            tracing::warn!(error = %error, "the upstream did not answer");
            let detail = "The upstream did not answer.";
            Problem::new(StatusCode::BAD_GATEWAY, "bad_gateway", detail).into_response()
        }
    }
}

/// Whether the body that was to be sent broke off: the caller's fault, not the upstream's.
fn is_of_the_body(error: &(dyn Error + 'static)) -> bool {
    let causes =
        std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source());
    let mut causes = causes.filter_map(|error| error.downcast_ref::<hyper::Error>());
    causes.any(hyper::Error::is_user)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tower_bearer::forward::{ForwardOptions, Mode, Upstream};

    #[test]
    fn targets() {
        let upstream = Upstream::new("demo", "http://127.0.0.1:9/base/").unwrap();
        let forwarding = ForwardOptions::new(upstream, Mode::Headers).build().unwrap();
        let proxy = Proxy::new(forwarding, false);
        for (name, path, want) in [
            ("F277", "/apps/a/proxy/x/y?z=1", Some("http://127.0.0.1:9/base/x/y?z=1")),
            ("F277 as it came", "/apps/a/proxy/x//%20y/", Some("http://127.0.0.1:9/base/x//%20y/")),
            ("XF14 dots", "/apps/a/proxy/../../b", None),
            ("XF14 one dot", "/apps/a/proxy/x/./y", None),
            ("XF14 last", "/apps/a/proxy/x/..", None),
            ("XF14 encoded dots", "/apps/a/proxy/%2e%2E/b", None),
            ("XF14 half encoded", "/apps/a/proxy/.%2e/b", None),
            ("XF14 with a parameter", "/apps/a/proxy/..;x/b", None),
            ("XF14 slash", "/apps/a/proxy/x%2Fy", None),
            ("XF14 backslash", "/apps/a/proxy/x%5cy", None),
            ("XF14 NUL", "/apps/a/proxy/x%00", None),
            ("XF14 broken escape", "/apps/a/proxy/x%2", None),
            ("three dots are a name", "/apps/a/proxy/...", Some("http://127.0.0.1:9/base/...")),
        ] {
            let got = proxy.target(&path.parse().unwrap()).map(|uri| uri.to_string());
            assert_eq!(got.as_deref(), want, "{name}");
        }
    }
}
