//! Why was there no answer that could be used?
//!
//! 1. A closed set of words, a status and a number of bytes: the answer's text and the URL are nowhere in it, and it has no
//!    source.

use std::fmt;

/// Why an issuer or identity provider gave no answer that could be used.
///
/// `Display` and `Debug` show the kind, the status and how many bytes of the body were read, and nothing else.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HttpError {
    kind: HttpErrorKind,
    status: Option<u16>,
    bytes: usize,
    asks_to_wait: bool,
}

/// What sort of error it was. The set may grow.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum HttpErrorKind {
    /// The question lacks what it needs, so nothing was sent.
    Question,
    /// No connection was made, so nothing was sent: name, address, TLS, or the time for it.
    Connect,
    /// No whole answer in time. The question may have been acted on.
    Timeout,
    /// The connection went before the answer was whole. The question may have been acted on.
    Broken,
    /// A redirect, which is not followed.
    Redirect,
    /// A status that says neither yes nor a no that has a meaning.
    Status,
    /// More than 64 KiB.
    TooLarge,
    /// A content coding, which was not asked for.
    Encoded,
    /// Not the JSON object that such an answer is.
    Invalid,
}

impl HttpErrorKind {
    fn words(self) -> &'static str {
        match self {
            Self::Question => "nothing was sent, the question is incomplete",
            Self::Connect => "no connection",
            Self::Timeout => "no answer in time",
            Self::Broken => "connection lost before the answer was whole",
            Self::Redirect => "answer is a redirect",
            Self::Status => "answer is of no use",
            Self::TooLarge => "answer is longer than 64 KiB",
            Self::Encoded => "answer has a content coding",
            Self::Invalid => "answer is not the object it should be",
        }
    }
}

impl HttpError {
    /// Before there was a status.
    pub(super) const fn early(kind: HttpErrorKind) -> Self {
        Self { kind, status: None, bytes: 0, asks_to_wait: false }
    }

    /// Of an answer that has begun.
    pub(super) const fn late(kind: HttpErrorKind, status: u16, bytes: usize) -> Self {
        Self { kind, status: Some(status), bytes, asks_to_wait: false }
    }

    pub(super) const fn asking_to_wait(mut self, asks_to_wait: bool) -> Self {
        self.asks_to_wait = asks_to_wait;
        self
    }

    /// What sort of error it was.
    #[must_use]
    pub const fn kind(&self) -> HttpErrorKind {
        self.kind
    }

    /// The status, if there was an answer.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        self.status
    }

    /// How many bytes of the body were read: at most 65,536, however long it was.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether an issuer may be asked once more: no connection was made, or it answered 502, 503 or 504 without `Retry-After`.
    #[must_use]
    pub fn may_retry(&self) -> bool {
        let overloaded = matches!(self.status, Some(502..=504)) && !self.asks_to_wait;
        self.never_sent() || (self.kind == HttpErrorKind::Status && overloaded)
    }

    pub(super) fn never_sent(&self) -> bool {
        self.kind == HttpErrorKind::Connect
    }

    pub(super) fn timed_out(&self) -> bool {
        self.kind == HttpErrorKind::Timeout
    }
}

impl std::error::Error for HttpError {}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.words())?;
        self.status.map_or(Ok(()), |status| write!(f, ", status {status}, {} bytes", self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_ask_again() {
        let late = |kind, status| HttpError::late(kind, status, 0);
        for (name, error, want) in [
            ("F184 no connection", HttpError::early(HttpErrorKind::Connect), true),
            ("F184 502", late(HttpErrorKind::Status, 502), true),
            ("F184 503", late(HttpErrorKind::Status, 503), true),
            ("F184 504", late(HttpErrorKind::Status, 504), true),
            ("F184 502, Retry-After", late(HttpErrorKind::Status, 502).asking_to_wait(true), false),
            ("F184 500", late(HttpErrorKind::Status, 500), false),
            ("F184 timeout", HttpError::early(HttpErrorKind::Timeout), false),
            ("F184 lost", HttpError::early(HttpErrorKind::Broken), false),
            ("F184 invalid", late(HttpErrorKind::Invalid, 200), false),
        ] {
            assert_eq!(error.may_retry(), want, "{name}");
        }
        let shown = HttpError::late(HttpErrorKind::Invalid, 200, 17).to_string();
        assert_eq!(shown, "answer is not the object it should be, status 200, 17 bytes");
    }
}
