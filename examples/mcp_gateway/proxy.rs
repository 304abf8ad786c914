//! The request as the stack left it goes to the server, and the server's answer comes back as it is: neither body is held.

use std::convert::Infallible;
use std::error::Error;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// One pool of connections to all servers.
#[derive(Clone, Debug)]
pub struct Proxy {
    client: Client<HttpConnector, Body>,
}

impl Proxy {
    pub fn new(http2: bool) -> Self {
        Self { client: Client::builder(TokioExecutor::new()).http2_only(http2).build_http() }
    }

    /// Asks the server that the request is turned to.
    pub async fn forward<B>(self, request: Request<B>) -> Result<Response, Infallible>
    where
        B: HttpBody<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        Ok(match self.client.request(request.map(Body::new)).await {
            Ok(answer) => answer.map(Body::new),
            Err(error) if is_of_the_body(&error) => {
                plain(StatusCode::BAD_REQUEST, "The body could not be read.\n")
            }
            Err(error) => {
                tracing::warn!(error = %error, "the server did not answer");
                plain(StatusCode::BAD_GATEWAY, "The server did not answer.\n")
            }
        })
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
