//! A body, read whole up to a cap.

use bytes::{Bytes, BytesMut};
use http_body::Body;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Why a body was not read whole.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum CollectFault {
    /// More bytes than the cap.
    #[error("body is larger than may be held")]
    TooLarge,
    /// The body ended in an error, which is not kept: it may be of any type.
    #[error("body could not be read")]
    Unreadable,
}

/// Reads `body` up to `cap` bytes. One that says beforehand that it is longer is not read at all.
///
/// One piece is handed on as it is, without a copy. Trailers are dropped (RFC 9110 §6.5.1).
pub(crate) fn collect<B>(body: B, cap: usize) -> Collect<B> {
    Collect { body, cap, first: Bytes::new(), rest: BytesMut::new() }
}

pin_project! {
    /// The future of [`collect`]. May be dropped at any await: the rest of the body is not read.
    #[must_use = "futures do nothing unless polled"]
    pub(crate) struct Collect<B> {
        #[pin]
        body: B,
        cap: usize,
        first: Bytes,
        // everything, as soon as there is a second piece
        rest: BytesMut,
    }
}

impl<B: Body<Data = Bytes>> Future for Collect<B> {
    type Output = Result<Bytes, CollectFault>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let known = usize::try_from(this.body.size_hint().lower()).unwrap_or(usize::MAX);
            let held = this.first.len() + this.rest.len();
            if known > this.cap.saturating_sub(held) {
                return Poll::Ready(Err(CollectFault::TooLarge));
            }
            match ready!(this.body.as_mut().poll_frame(cx)) {
                None if this.rest.is_empty() => return Poll::Ready(Ok(mem::take(this.first))),
                None => return Poll::Ready(Ok(mem::take(this.rest).freeze())),
                Some(Err(_of_any_type)) => return Poll::Ready(Err(CollectFault::Unreadable)),
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    if data.len() > this.cap.saturating_sub(held) {
                        return Poll::Ready(Err(CollectFault::TooLarge));
                    }
                    if held == 0 {
                        *this.first = data;
                    } else {
                        if this.rest.is_empty() {
                            this.rest.extend_from_slice(&mem::take(this.first));
                        }
                        this.rest.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}

impl<B> fmt::Debug for Collect<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collect").field("cap", &self.cap).finish_non_exhaustive()
    }
}
