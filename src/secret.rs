//! A text that must be seen by nobody but the one it is sent to.
//!
//! One type for every token, refresh token and client secret: it prints as `[redacted]`, compares in constant time, and is
//! overwritten when its last clone goes.

use std::fmt;
use std::sync::Arc;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A secret text. A clone costs a reference count; `Debug` prints `[redacted]`.
///
/// ```
/// use tower_bearer::Secret;
/// let secret = Secret::new("s3cret");
/// assert_eq!(format!("{secret:?}"), "[redacted]");
/// assert_eq!(secret.expose(), "s3cret");
/// ```
#[derive(Clone)]
pub struct Secret(Arc<Zeroizing<String>>);

impl Secret {
    /// Takes a text in.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Arc::new(Zeroizing::new(text.into())))
    }

    /// The text, for whoever must send it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it can be sent as a credential: 1 to 8,192 bytes 0x21 to 0x7E.
    pub(crate) fn is_sendable(&self) -> bool {
        (1..=8_192).contains(&self.0.len()) && self.0.bytes().all(|byte| byte.is_ascii_graphic())
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

/// In a time that tells the length and nothing else.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_sent() {
        for (name, text, want) in [
            ("F79 empty", String::new(), false),
            ("F79 one byte", "!".into(), true),
            ("F79 8,192", "~".repeat(8_192), true),
            ("F79 8,193", "~".repeat(8_193), false),
            ("F79 a blank", "a b".into(), false),
            ("F79 DEL", "a\u{7f}".into(), false),
            ("F79 other than ASCII", "é".into(), false),
        ] {
            assert_eq!(Secret::new(text).is_sendable(), want, "{name}");
        }
    }
}
