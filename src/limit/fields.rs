//! What an answer tells its client of the limits: two field values; `Retry-After` is the refusal's own.
//!
//! 1. `RateLimit-Policy` and `RateLimit` as of draft-ietf-httpapi-ratelimit-headers-11: lists of RFC 9651.
//! 2. An admission shows the policy with the least left, a denial every violated one.
//! 3. Only names and numbers of the operator's: no key, id, token or digest can get in.
//! 4. Pure, and one allocation a value.

use http::HeaderValue;

use crate::store::{Answer, PolicyName, Standing};
use crate::window::Limit;

/// On which answers `RateLimit-Policy` and `RateLimit` are sent; `Retry-After` stays in any case.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Fields {
    /// On every answer to a charged request, and on a 429.
    #[default]
    Always,
    /// On a 429 only.
    OnDenied,
    /// Never.
    Never,
}

impl Fields {
    /// Whether an answer that was admitted, or denied, carries the fields.
    pub(crate) fn shows(self, admitted: bool) -> bool {
        match self {
            Self::Always => true,
            Self::OnDenied => !admitted,
            Self::Never => false,
        }
    }
}

/// `RateLimit-Policy`: every policy in the limiter's order, at most 8.
pub(crate) fn rate_limit_policy<'a>(
    policies: impl IntoIterator<Item = (&'a PolicyName, Limit)>,
) -> Option<HeaderValue> {
    let mut line = Line::new();
    for (name, limit) in policies {
        line.item(name, [("q", limit.count().get()), ("w", seconds(limit.window_ms()))]);
    }
    line.value()
}

/// `RateLimit`: the first of the policies with the least left, or on a denial every violated one.
///
/// `policies` are those of the question, in its order.
pub(crate) fn rate_limit<'a>(
    policies: impl IntoIterator<Item = (&'a PolicyName, Limit)>,
    answer: &Answer,
) -> Option<HeaderValue> {
    let mut line = Line::new();
    let mut least = None;
    let admitted = answer.is_admitted();
    for ((name, limit), standing) in policies.into_iter().zip(answer.standings()) {
        match *standing {
            Standing::Full { remaining, retry_after_ms } => {
                line.item(name, [("r", remaining), ("t", seconds(retry_after_ms))]);
            }
            Standing::Room { remaining, reset_ms } if admitted => {
                if least.is_none_or(|(_, _, left, _)| remaining < left) {
                    least = Some((name, limit, remaining, reset_ms));
                }
            }
            Standing::Room { .. } => {}
        }
    }
    if let Some((name, limit, remaining, reset_ms)) = least {
        let t = seconds(reset_ms).max(pace(limit, remaining));
        line.item(name, [("r", remaining), ("t", t)]);
    }
    line.value()
}

/// Whole seconds, rounded up: never earlier than the truth.
fn seconds(ms: u32) -> u32 {
    ms.div_ceil(1_000)
}

/// How long `remaining` units last at the policy's own rate, in whole seconds, rounded up.
///
/// A client that spreads what is left over `t` then never runs ahead of the policy.
fn pace(limit: Limit, remaining: u32) -> u32 {
    let units = u64::from(remaining) * u64::from(limit.window_ms());
    let rate = u64::from(limit.count().get()) * 1_000;
    u32::try_from(units.div_ceil(rate)).unwrap_or(u32::MAX)
}

/// A list of RFC 9651 that is being written: `"name";key=1;key=2, "name"…`.
struct Line {
    bytes: [u8; LONGEST],
    len: usize,
}

impl Line {
    fn new() -> Self {
        Self { bytes: [0; LONGEST], len: 0 }
    }

    /// Adds a string (RFC 9651 §3.3.3; a policy's name needs no escapes) with two integers as parameters.
    fn item(&mut self, name: &PolicyName, parameters: [(&str, u32); 2]) {
        let start = self.len;
        let separator = if start == 0 { "\"" } else { ", \"" };
        let mut fits = self.push(separator.as_bytes());
        fits &= self.push(name.as_str().as_bytes()) && self.push(b"\"");
        for (key, value) in parameters {
            fits &= self.push(b";") && self.push(key.as_bytes()) && self.push(b"=");
            fits &= self.number(value);
        }
        if !fits {
            // a ninth item: leaves it out whole
            self.len = start;
        }
    }

    fn number(&mut self, mut value: u32) -> bool {
        let mut digits = [b'0'; 10];
        let mut first = digits.len();
        for (at, digit) in digits.iter_mut().enumerate().rev() {
            *digit = DIGITS[(value % 10) as usize];
            value /= 10;
            first = at;
            if value == 0 {
                break;
            }
        }
        self.push(&digits[first..])
    }

    fn push(&mut self, bytes: &[u8]) -> bool {
        let end = self.len + bytes.len();
        let Some(to) = self.bytes.get_mut(self.len..end) else { return false };
        to.copy_from_slice(bytes);
        self.len = end;
        true
    }

    /// The value, exactly as long as it is: one allocation. `None` for an empty list, which is sent as no field.
    fn value(&self) -> Option<HeaderValue> {
        let bytes = self.bytes.get(..self.len).filter(|bytes| !bytes.is_empty())?;
        HeaderValue::from_bytes(bytes).ok()
    }
}

const DIGITS: &[u8; 10] = b"0123456789";
/// 8 items of at most `, "` + 32 + `";r=` + 10 + `;t=` + 10 bytes.
const LONGEST: usize = 8 * (3 + 32 + 4 + 10 + 3 + 10);

#[cfg(test)]
mod tests;
