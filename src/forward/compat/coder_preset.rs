//! How does a request to an upstream of coder get its headers?
//!
//! 1. Mode `user_oidc`, and beside the user's token the headers of the chat: none of them without the other.
//! 2. They cover the body, so it is read whole, up to a cap, and they are written when it is there.
//! 3. Every name under `X-Coder` is removed from what clients send, also where no headers are sent.

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use std::fmt;
use std::sync::Arc;

use super::coder::{CoderIds, SIGNATURE, TIMESTAMP, signature};
use crate::clock::Clock;
use crate::context::AuthContext;
use crate::forward::body::BodyBound;
use crate::forward::config::ForwardOptions;
use crate::forward::edge::{Reading, ReadsBody};
use crate::forward::error::{ConfigError, ForwardError};
use crate::forward::hmac::HmacKey;
use crate::forward::key_rules::strong;
use crate::forward::mint::UserOidc;
use crate::forward::upstream::Upstream;
use crate::rejection::{Reason, Rejection, RejectionKind, StepName};

/// The preset for upstreams of coder: the user's own token, and which chat the request belongs to, signed.
///
/// The signature names no host and has no nonce. Where the upstream can be changed, prefer `ForwardOptions::signed_headers` of
/// feature `signed`. `Debug` shows no key.
///
/// ```
/// use tower_bearer::forward::compat::{self, CoderIds};
/// use tower_bearer::forward::{ForwardOptions, Upstream, UserOidc};
/// # fn example(links: UserOidc, key: &[u8]) -> Result<(), tower_bearer::forward::ConfigError> {
/// let ids = |head: &http::request::Parts, _context: &tower_bearer::AuthContext| {
///     head.extensions.get::<CoderIds>().cloned().unwrap_or_else(|| CoderIds::new("", ""))
/// };
/// let upstream = Upstream::new("mcp-main", "https://mcp.example.com/mcp")?;
/// let forwarding = compat::coder(ids, key)?.options(upstream, links).build()?;
/// # let _ = forwarding; Ok(()) }
/// ```
#[derive(Clone)]
#[must_use = "a preset does nothing until options are made of it"]
pub struct Coder {
    ids: Arc<IdsOf>,
    key: HmacKey,
    cap: usize,
    headers: Headers,
}

type IdsOf = dyn Fn(&Parts, &AuthContext) -> CoderIds + Send + Sync;

/// What is sent beside the token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Headers {
    Sent,
    Off,
}

/// The preset for upstreams of coder, with `ids` to say which chat a request belongs to.
///
/// A caller whose ids are no UUIDs is refused as `identity_unencodable`.
///
/// # Errors
/// [`ConfigError::Key`] for a key of fewer than 32 bytes, or of fewer than 8 different values.
pub fn coder(
    ids: impl Fn(&Parts, &AuthContext) -> CoderIds + Send + Sync + 'static,
    key: &[u8],
) -> Result<Coder, ConfigError> {
    strong(key)?;
    let (key, headers) = (HmacKey::new(key), Headers::Sent);
    Ok(Coder { ids: Arc::new(ids), key, cap: DEFAULT_CAP, headers })
}

impl Coder {
    /// Sends the token alone: no header of the chat, and no signature. What clients send of them is removed all the same.
    pub fn without_headers(mut self) -> Self {
        self.headers = Headers::Off;
        self
    }

    /// Sets how much of a body is read to be signed, 1 byte to 16 MiB; a larger one is answered 413. Default 1 MiB.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`].
    pub fn max_body_bytes(mut self, bytes: usize) -> Result<Self, ConfigError> {
        if !(1..=LARGEST_CAP).contains(&bytes) {
            return Err(ConfigError::OutOfRange { setting: "max_body_bytes" });
        }
        self.cap = bytes;
        Ok(self)
    }

    /// Forwarding to `upstream` in mode [`UserOidc`](crate::forward::Mode::UserOidc), with these headers.
    ///
    /// They are written by [`IdentityForward`](crate::stack::IdentityForward) alone: put it where method, path and body are
    /// final, best in front of the client.
    pub fn options(self, upstream: Upstream, links: UserOidc) -> ForwardOptions {
        let mut options = ForwardOptions::user_oidc(upstream, links);
        options.coder = Some(self);
        options
    }

    pub(in crate::forward) fn key(&self) -> &HmacKey {
        &self.key
    }

    /// What is left to be done with a request of this caller.
    pub(in crate::forward) fn unsent(
        &self,
        head: &Parts,
        context: &AuthContext,
    ) -> Result<Option<Unsent>, ForwardError> {
        if self.headers == Headers::Off {
            return Ok(None);
        }
        let ids = (self.ids)(head, context);
        ids.check()?;
        let (key, clock) = (self.key.clone(), Arc::clone(&context.realm.clock));
        Ok(Some(Unsent { ids, key, cap: self.cap, clock }))
    }
}

impl fmt::Debug for Coder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coder").field("headers", &self.headers).finish_non_exhaustive()
    }
}

/// The prefix of all names of this preset.
pub(in crate::forward) const CODER_PREFIX: &str = "X-Coder";

const DEFAULT_CAP: usize = 1 << 20;
const LARGEST_CAP: usize = 16 << 20;

/// Headers that wait for the body.
pub(crate) struct Unsent {
    ids: CoderIds,
    key: HmacKey,
    cap: usize,
    clock: Arc<dyn Clock>,
}

impl Unsent {
    /// Leaves this in the head for whoever reads the body.
    pub(crate) fn leave(self, head: &mut Parts) {
        head.extensions.insert(Reading(Arc::new(self)));
    }

    fn lines(&self, head: &Parts, body: &[u8]) -> Result<Vec<Line>, ForwardError> {
        let time = self.clock.now().wall().as_secs().to_string();
        let mut code = value(&signature(&self.key, &time, head, body, &self.ids))?;
        code.set_sensitive(true);
        let mut lines = Vec::with_capacity(6);
        for (name, _, id) in self.ids.parts() {
            if let Some(id) = id {
                lines.push((name, value(id)?));
            }
        }
        lines.extend([(TIMESTAMP, value(&time)?), (SIGNATURE, code)]);
        Ok(lines)
    }
}

impl ReadsBody for Unsent {
    fn cap(&self, _head: &Parts) -> Option<usize> {
        Some(self.cap)
    }

    fn step(&self) -> StepName {
        StepName::Forward
    }

    fn read(&self, head: &mut Parts, body: &Bytes) -> Result<(), Rejection> {
        let lines = self.lines(head, body).map_err(|error| {
            Rejection::new(RejectionKind::IdentityUnencodable, Reason::Unencodable).caused_by(error)
        })?;
        head.headers.extend(lines); // replaces
        head.extensions.insert(BodyBound);
        Ok(())
    }
}

type Line = (HeaderName, HeaderValue);

/// UUIDs, digits and hex: bytes that every header takes.
fn value(text: &str) -> Result<HeaderValue, ForwardError> {
    HeaderValue::from_bytes(text.as_bytes())
        .map_err(|_shape| ForwardError::Unencodable { field: "coder".into() })
}
