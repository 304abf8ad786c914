//! Connections, h1 and h2, each until it ends: answers may stream for long, so nothing here has a deadline but heads.

use std::time::Duration;

use axum::body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tower::ServiceExt;

use crate::stack::Gateway;

const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// Serves for ever.
pub async fn serve(listener: TcpListener, gateway: Gateway) {
    let mut server = Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
    server.http2().timer(TokioTimer::new()).keep_alive_interval(HEAD_WITHIN);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "no connection could be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        stream.set_nodelay(true).ok();
        let service = gateway.clone();
        let service =
            service.map_request(|request: hyper::Request<Incoming>| request.map(Body::new));
        let connection =
            server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        let connection = connection.into_owned();
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %error, "a connection ended");
            }
        });
    }
}
