//! How much of an answer is looked at?
//!
//! 1. At most [`MOST`] bytes of a body are kept. One that says it is longer, or has a content coding, is not read at all.
//! 2. A redirect is an error, and so is what breaks off.
//! 3. What the library says of an error is dropped: it holds URLs.

use http::HeaderValue;
use http::header::CONTENT_ENCODING;
use std::time::Duration;
use zeroize::Zeroizing;

use super::error::{HttpError, HttpErrorKind as Kind};
use super::json::Object;
use super::retry_after::{SHORTEST, retry_after};

/// Most bytes of a body.
const MOST: usize = 65_536;

/// What was answered: anything but a redirect.
pub(super) struct Answer {
    pub(super) status: u16,
    retry_after: Option<Duration>,
    body: Result<Zeroizing<Vec<u8>>, Kind>,
    bytes: usize,
}

impl Answer {
    /// The body as an object.
    pub(super) fn object(&self) -> Result<Object, HttpError> {
        let body = self.body.as_ref().map_err(|kind| self.error(*kind))?;
        Object::read(body).map_err(|_invalid| self.error(Kind::Invalid))
    }

    /// For how long the issuer asks to be left alone: 429, or 503 with `Retry-After`.
    pub(super) fn busy(&self) -> Option<Duration> {
        match self.status {
            429 => Some(self.retry_after.unwrap_or(SHORTEST)),
            503 => self.retry_after,
            _ => None,
        }
    }

    /// Why this answer is of no use.
    pub(super) fn error(&self, kind: Kind) -> HttpError {
        HttpError::late(kind, self.status, self.bytes).asking_to_wait(self.retry_after.is_some())
    }
}

/// Sends and reads, for as long as whoever waits.
pub(super) async fn answer(
    asked: reqwest::RequestBuilder,
    reads: fn(u16) -> bool,
) -> Result<Answer, HttpError> {
    let early = |error: reqwest::Error| {
        HttpError::early(if error.is_connect() { Kind::Connect } else { Kind::Broken })
    };
    let mut answered = asked.send().await.map_err(early)?;
    let status = answered.status().as_u16();
    if answered.status().is_redirection() {
        return Err(HttpError::late(Kind::Redirect, status, 0));
    }
    let retry_after = retry_after(answered.headers());
    let (body, bytes) =
        if reads(status) { read(&mut answered).await } else { (Err(Kind::Status), 0) };
    Ok(Answer { status, retry_after, body, bytes })
}

/// The body, and how many bytes of it were kept.
async fn read(answered: &mut reqwest::Response) -> (Result<Zeroizing<Vec<u8>>, Kind>, usize) {
    let plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if !answered.headers().get_all(CONTENT_ENCODING).iter().all(plain) {
        return (Err(Kind::Encoded), 0);
    }
    let length =
        answered.content_length().map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    if length.is_some_and(|length| length > MOST) {
        return (Err(Kind::TooLarge), 0);
    }
    let mut body = Zeroizing::new(Vec::with_capacity(length.unwrap_or(4_096)));
    loop {
        match answered.chunk().await {
            Ok(None) => {
                let bytes = body.len();
                return (Ok(body), bytes);
            }
            Ok(Some(chunk)) if chunk.len() <= MOST - body.len() => body.extend_from_slice(&chunk),
            Ok(Some(_)) => return (Err(Kind::TooLarge), MOST),
            Err(_text) => return (Err(Kind::Broken), body.len()),
        }
    }
}
