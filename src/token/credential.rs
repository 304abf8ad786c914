//! What credential does a request present? RFC 6750 §2.1 and RFC 9110 §11.4, on bytes.
//!
//! 1. The token is in `Authorization: Bearer`, or alone in one more header that the service names. Nowhere else.
//! 2. Two lines, or both headers, are refused whatever they hold: none ever stands in for a bad one.
//! 3. White space around the value and after the scheme is not part of the token; inside the token nothing is trimmed,
//!    folded or decoded. The length is judged before the bytes are looked at.
//! 4. No allocation, no hash, no panic, whatever the bytes.

use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};
use http::{HeaderMap, HeaderName};

use crate::token::alphabet::{LIST_SYNTAX, NOT_B64TOKEN, b64token_body, flags_of};

/// Why a request presents no token that could be looked up.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum CredentialError {
    /// No header that could hold a credential: 401 `missing_token`.
    #[error("no credential is there")]
    Missing,
    /// The one `Authorization` line is of another scheme: 401 `missing_token`.
    #[error("the credential is of another scheme")]
    OtherScheme,
    /// The line is no scheme and token, or no single one: 400 `invalid_request`.
    #[error("the credential is malformed")]
    Malformed,
    /// More than one line or header: 400 `invalid_request`.
    #[error("more than one credential is there")]
    SeveralCredentials,
    /// The token is longer than any token may be: 401 `invalid_token`.
    #[error("the token is too long")]
    TooLong,
    /// The token is no b64token (RFC 6750 §2.1): 401 `invalid_token`.
    #[error("the token is no b64token")]
    NotB64Token,
}

/// The one token that a request presents, as a slice of its header; `extra` names one more header to read.
pub(crate) fn read<'h>(
    headers: &'h HeaderMap,
    extra: Option<&HeaderName>,
    max_length: usize,
) -> Result<&'h str, CredentialError> {
    let bearer = only_line(headers, &AUTHORIZATION)?;
    let alone = extra.map_or(Ok(None), |name| only_line(headers, name))?;
    let token = match (bearer, alone) {
        (None, None) => return Err(CredentialError::Missing),
        (Some(_), Some(_)) => return Err(CredentialError::SeveralCredentials),
        (Some(value), None) => after_scheme(trim(value))?,
        (None, Some(value)) => trim(value),
    };
    if token.is_empty() {
        return Err(CredentialError::Malformed);
    }
    check_token_text(token, max_length)?;
    std::str::from_utf8(token).ok().ok_or(CredentialError::NotB64Token)
}

/// Whether `token` is a single b64token of at most `max_length` bytes; its length is tested first.
pub(crate) fn check_token_text(token: &[u8], max_length: usize) -> Result<(), CredentialError> {
    if token.len() > max_length {
        return Err(CredentialError::TooLong);
    }
    let body = b64token_body(token);
    let flags = flags_of(body);
    if flags & LIST_SYNTAX != 0 {
        Err(CredentialError::Malformed)
    } else if body.is_empty() || flags & NOT_B64TOKEN != 0 {
        Err(CredentialError::NotB64Token)
    } else {
        Ok(())
    }
}

/// Whether a service may name this header as one more place for a token.
pub(crate) fn may_hold_token(name: &HeaderName) -> bool {
    ![AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION].contains(name)
}

/// The value of the one line of this name, if there is one.
fn only_line<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'h [u8]>, CredentialError> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next();
    if lines.next().is_some() {
        return Err(CredentialError::SeveralCredentials);
    }
    Ok(first.map(|value| value.as_bytes()))
}

/// What stands after the scheme `Bearer` and its blanks.
///
/// The scheme is told by its first bytes, so a long value of another scheme costs no more than a short one.
fn after_scheme(value: &[u8]) -> Result<&[u8], CredentialError> {
    if value.is_empty() {
        return Err(CredentialError::Malformed);
    }
    let (scheme, mut rest) =
        value.split_at_checked(SCHEME.len()).ok_or(CredentialError::OtherScheme)?;
    if !scheme.eq_ignore_ascii_case(SCHEME) || rest.first().is_some_and(|byte| !is_blank(*byte)) {
        return Err(CredentialError::OtherScheme);
    }
    while let [b' ', after @ ..] = rest {
        rest = after;
    }
    if rest.first().is_none_or(|byte| is_blank(*byte)) {
        return Err(CredentialError::Malformed);
    }
    Ok(rest)
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = value
        && is_blank(*first)
    {
        value = rest;
    }
    while let [rest @ .., last] = value
        && is_blank(*last)
    {
        value = rest;
    }
    value
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

const SCHEME: &[u8] = b"bearer";
