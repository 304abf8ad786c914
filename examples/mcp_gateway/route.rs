//! Which app and which server is a request for? `/apps/{app}/mcp/{server}`, and nothing more: an MCP server is one URL.
//!
//! The answer goes into the request's extensions, and the target becomes the server's, before the stack looks at it: what
//! the last layer signs is what is sent. A request that is for nothing is left as it is, and the stack finds no app in it.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::header::HOST;
use axum::http::{Uri, Version};
use tower_bearer::forward::Upstream;

/// What a request is for.
#[derive(Clone, Debug)]
pub struct Route {
    /// As it stands in the path, not yet decoded.
    pub app: String,
}

/// The servers by name.
#[derive(Clone, Debug)]
pub struct Routes(Arc<[(Arc<str>, Uri)]>);

impl Routes {
    pub fn to(upstreams: &[Upstream]) -> Self {
        Self(upstreams.iter().map(|up| (Arc::from(up.name()), up.uri().clone())).collect())
    }

    /// Turns a request to the server that it names, and says its place in the list.
    pub fn turn(&self, request: &mut Request) -> Option<usize> {
        let (server, route, target) = self.find(request.uri())?;
        *request.uri_mut() = target;
        *request.version_mut() = Version::HTTP_11; // the client's word; it speaks what the server does
        request.headers_mut().remove(HOST); // the client writes the server's
        request.extensions_mut().insert(route);
        Some(server)
    }

    fn find(&self, uri: &Uri) -> Option<(usize, Route, Uri)> {
        let (app, name) = uri.path().strip_prefix("/apps/")?.split_once("/mcp/")?;
        let server = self.0.iter().position(|(server, _)| **server == *name)?;
        let (_, base) = self.0.get(server)?;
        if app.contains('/') {
            return None;
        }
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let target = format!("{base}{query}").parse().ok()?;
        Some((server, Route { app: app.to_owned() }, target))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let upstream = Upstream::new("tools", "http://127.0.0.1:9/base/mcp").unwrap();
        let routes = Routes::to(&[upstream]);
        for (name, path, want) in [
            ("a server", "/apps/a/mcp/tools", Some("http://127.0.0.1:9/base/mcp")),
            ("a query", "/apps/a/mcp/tools?x=/../y", Some("http://127.0.0.1:9/base/mcp?x=/../y")),
            ("another server", "/apps/a/mcp/other", None),
            ("no server", "/apps/a/mcp/", None),
            ("more path", "/apps/a/mcp/tools/x", None),
            ("XF14 dots", "/apps/a/../b/mcp/tools", None),
            ("XF14 a longer app", "/apps/a/b/mcp/tools", None),
            ("elsewhere", "/healthz", None),
        ] {
            let got = routes.find(&path.parse().unwrap()).map(|(_, _, target)| target.to_string());
            assert_eq!(got.as_deref(), want, "{name}");
        }
    }
}
