//! A service that holds whoever calls it to tower's rules.

use std::fmt;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use tower::Service;

type Request = http::Request<Full<Bytes>>;
type Response = http::Response<Full<Bytes>>;

/// Says when it is called unready or on a fresh clone; counts; fails when it is told to.
#[derive(Default)]
pub(crate) struct Probe {
    ready: bool,
    pub(crate) counts: Arc<Counts>,
}

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) calls: AtomicUsize,
    pub(crate) unready: AtomicUsize,
    pub(crate) alive: AtomicUsize,
    pub(crate) gone: AtomicBool,
    pub(crate) broken: AtomicBool,
}

impl Probe {
    pub(crate) fn new() -> Self {
        let probe = Self::default();
        probe.counts.alive.fetch_add(1, Ordering::SeqCst);
        probe
    }
}

impl Clone for Probe {
    fn clone(&self) -> Self {
        self.counts.alive.fetch_add(1, Ordering::SeqCst);
        Self { ready: false, counts: Arc::clone(&self.counts) }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.counts.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Service<Request> for Probe {
    type Response = Response;
    type Error = Gone;
    type Future = Ready<Result<Response, Gone>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        if self.counts.gone.load(Ordering::SeqCst) {
            return Poll::Ready(Err(Gone));
        }
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request) -> Self::Future {
        let unready = usize::from(!std::mem::take(&mut self.ready));
        self.counts.unready.fetch_add(unready, Ordering::SeqCst);
        self.counts.calls.fetch_add(1, Ordering::SeqCst);
        let broken = self.counts.broken.load(Ordering::SeqCst);
        ready(if broken { Err(Gone) } else { Ok(Response::new(Full::default())) })
    }
}

/// The error of the service behind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the service is gone")
    }
}

impl std::error::Error for Gone {}
