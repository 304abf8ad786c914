//! An upstream over HTTP/2 that keeps heads and trailers as they came.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

use crate::raw::message::Message;
use crate::raw::recorder::Recorder;

/// One of either protocol.
pub(crate) enum Upstream {
    Http1(Recorder),
    Http2(Http2Recorder),
}

impl Upstream {
    /// What came since it was asked last.
    pub(crate) fn take(&self) -> Vec<Message> {
        match self {
            Self::Http1(recorder) => recorder.take(),
            Self::Http2(recorder) => recorder.take(),
        }
    }
}

#[derive(Clone, Default)]
pub(crate) struct Http2Recorder(Arc<Mutex<Vec<Message>>>);

impl Http2Recorder {
    /// Starts it; gives back its URL.
    pub(crate) async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let this = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let this = this.clone();
                let answer = hyper::service::service_fn(move |request| this.clone().note(request));
                let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(server.serve_connection(TokioIo::new(stream), answer));
            }
        });
        url
    }

    async fn note(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let mut message = Message {
            start: format!("{} {} {:?}", head.method, head.uri, head.version),
            fields: lines(&head.headers),
            ..Message::default()
        };
        if let Ok(body) = body.collect().await {
            message.trailers = body.trailers().map(lines).unwrap_or_default();
            message.body = body.to_bytes().to_vec();
        }
        self.0.lock().unwrap().push(message);
        Ok(Response::new(Full::from("upstream")))
    }

    /// What came since it was asked last.
    pub(crate) fn take(&self) -> Vec<Message> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

fn lines(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    let lines = headers.iter();
    lines.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}
