//! What body goes on to the upstream?
//!
//! 1. A body that nobody had to read passes as it comes, frame by frame: nothing is held, nothing is copied.
//! 2. A body that was read whole is held as one piece of known length.
//! 3. Trailers lose what the head loses, both ways, and none is ever merged into the head (RFC 9110 §6.5).
//! 4. [`collect`] reads a body up to a cap, and stops at the first byte over it.

mod collect;

pub(crate) use collect::{Collect, CollectFault, collect};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::set::{ForwardSet, TrailersOf};

pin_project! {
    /// A body on its way to an upstream or back: as it came but for its trailers, or one that was read whole before it went on.
    ///
    /// It can be made of [`Bytes`] and of nothing, whatever `B` is, so that answers over any client's body can be refused.
    ///
    /// `Debug` says which of the two, and nothing of the content.
    #[must_use = "a body does nothing unless it is polled"]
    pub struct ForwardBody<B> {
        #[pin]
        state: State<B>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<B> {
        Passing { #[pin] body: B, trailers: Option<Trailers> },
        Held { bytes: Bytes },
    }
}

/// In the extensions of a request whose body is part of a signature: nothing may change it any more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyBound;

/// Which trailers go: what one of these sets removes.
#[derive(Clone, Debug)]
pub(crate) struct Trailers {
    pub(crate) sets: Arc<[ForwardSet]>,
    pub(crate) from: TrailersOf,
}

impl<B> ForwardBody<B> {
    /// Passes `body` on as it comes.
    pub(crate) fn passing(body: B) -> Self {
        Self { state: State::Passing { body, trailers: None } }
    }

    /// Passes `body` on without the trailers that may not go.
    pub(crate) fn cleaned(body: B, trailers: Trailers) -> Self {
        Self { state: State::Passing { body, trailers: Some(trailers) } }
    }

    /// One piece that is there already.
    pub(crate) fn held(bytes: Bytes) -> Self {
        Self { state: State::Held { bytes } }
    }
}

impl<B: Body<Data = Bytes>> Body for ForwardBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().state.project() {
            StateProjection::Passing { mut body, trailers } => loop {
                let mut frame = match ready!(body.as_mut().poll_frame(cx)) {
                    Some(Ok(frame)) => frame,
                    other => return Poll::Ready(other),
                };
                if let (Some(sent), Some(trailers)) = (frame.trailers_mut(), &*trailers) {
                    for set in &*trailers.sets {
                        set.clean_trailers(sent, trailers.from);
                    }
                    if sent.is_empty() {
                        continue;
                    }
                }
                return Poll::Ready(Some(Ok(frame)));
            },
            StateProjection::Held { bytes } => {
                let whole = std::mem::take(bytes);
                Poll::Ready((!whole.is_empty()).then(|| Ok(Frame::data(whole))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.state {
            State::Passing { body, .. } => body.is_end_stream(),
            State::Held { bytes } => bytes.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.state {
            State::Passing { body, .. } => body.size_hint(),
            State::Held { bytes } => {
                SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX))
            }
        }
    }
}

/// No body at all.
impl<B> Default for ForwardBody<B> {
    fn default() -> Self {
        Self::held(Bytes::new())
    }
}

impl<B> From<Bytes> for ForwardBody<B> {
    fn from(bytes: Bytes) -> Self {
        Self::held(bytes)
    }
}

impl<B> fmt::Debug for ForwardBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Passing { .. } => "passing",
            State::Held { .. } => "held",
        };
        f.debug_struct("ForwardBody").field("state", &state).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
