//! One address: connections, what they may cost, and a graceful end.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Sleep;

const HEADER_TIME_OUT: Duration = Duration::from_secs(10);
/// A target of 8 KiB, headers of 16 KiB, and what h2 counts on top: `edge` judges exactly.
const HEAD_BYTES: u32 = 32_768;
const H2_STREAMS: u32 = 100;

/// Serves h1 and h2 until `stop` changes, then lets open requests end.
pub async fn serve(listener: TcpListener, router: Router, mut stop: watch::Receiver<bool>) {
    let connections = GracefulShutdown::new();
    let server = server();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "no connection could be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        stream.set_nodelay(true).ok();
        let service = TowerToHyperService::new(router.clone());
        let io = TokioIo::new(Opening::new(stream));
        let connection = server.serve_connection(io, service).into_owned();
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %error, "a connection ended");
            }
        });
    }
    drop(listener);
    connections.shutdown().await;
}

fn server() -> Builder<TokioExecutor> {
    let mut server = Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME_OUT)
        .max_buf_size(HEAD_BYTES as usize);
    server
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HEADER_TIME_OUT)
        .keep_alive_timeout(HEADER_TIME_OUT)
        .max_header_list_size(HEAD_BYTES)
        .max_concurrent_streams(H2_STREAMS);
    server
}

/// A connection whose first bytes must say in time which protocol it speaks; from there the protocol has its own time-out.
struct Opening {
    stream: TcpStream,
    /// How much of h2's preface was read, and until when; `None` once it is known to be there or not.
    waiting: Option<(usize, Pin<Box<Sleep>>)>,
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl Opening {
    fn new(stream: TcpStream) -> Self {
        Self { stream, waiting: Some((0, Box::pin(tokio::time::sleep(HEADER_TIME_OUT)))) }
    }
}

impl AsyncRead for Opening {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        let Some((seen, until)) = &mut self.waiting else { return polled };
        match polled {
            Poll::Ready(result) => {
                let new = &buf.filled()[before..];
                *seen += new.len();
                let is_preface = PREFACE.get(*seen - new.len()..*seen) == Some(new);
                if !is_preface || *seen == PREFACE.len() {
                    self.waiting = None;
                }
                Poll::Ready(result)
            }
            Poll::Pending if until.as_mut().poll(cx).is_ready() => {
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncWrite for Opening {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
