//! The request as the stack left it goes to the server, and the server's answer comes back as it is: neither body is held.

use std::error::Error;

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::legs::{Legs, NotTheirs};

/// One pool of connections to all servers.
#[derive(Clone, Debug)]
pub struct Proxy {
    client: Client<HttpConnector, Body>,
    legs: Legs,
}

impl Proxy {
    pub fn new(legs: Legs, http2: bool) -> Self {
        let client = Client::builder(TokioExecutor::new()).http2_only(http2).build_http();
        Self { client, legs }
    }

    /// Asks the server that the request is turned to.
    pub async fn forward(&self, mut request: Request) -> Response {
        let leg = match self.legs.unhide(&mut request) {
            Ok(leg) => leg,
            Err(NotTheirs) => return plain(StatusCode::NOT_FOUND, "Not found.\n"),
        };
        match self.client.request(request).await {
            Ok(answer) => leg.noted(answer.map(Body::new)),
            Err(error) if is_of_the_body(&error) => {
                plain(StatusCode::BAD_REQUEST, "The body could not be read.\n")
            }
            Err(error) => {
                tracing::warn!(error = %error, "the server did not answer");
                plain(StatusCode::BAD_GATEWAY, "The server did not answer.\n")
            }
        }
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    (status, text).into_response()
}

/// Whether the body that was to be sent broke off: the caller's fault, not the server's.
fn is_of_the_body(error: &(dyn Error + 'static)) -> bool {
    let causes =
        std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source());
    let mut causes = causes.filter_map(|error| error.downcast_ref::<hyper::Error>());
    causes.any(hyper::Error::is_user)
}
