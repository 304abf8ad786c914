//! How do the older receivers read a header, and refuse?

use http::HeaderMap;
use subtle::ConstantTimeEq as _;

use crate::rejection::{Reason, Rejection, RejectionKind};

/// The only line of a field; more than one, or bytes that are no visible ASCII, are refused.
pub(super) fn only<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Rejection> {
    let mut lines = headers.get_all(name).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    match (lines.next(), line.to_str()) {
        (None, Ok(text)) => Ok(Some(text)),
        (Some(_), _) | (_, Err(_)) => Err(refused(Reason::BadSignatureFields)),
    }
}

/// As [`only`], of a field that must be there.
pub(super) fn required<'h>(headers: &'h HeaderMap, name: &str) -> Result<&'h str, Rejection> {
    only(headers, name)?.ok_or_else(|| refused(Reason::NoSignature))
}

/// Takes as long for every wrong signature of the right length. An empty key signs nothing.
pub(super) fn matches(key: &[u8], own: &str, sent: &str) -> Result<(), Rejection> {
    let equal = bool::from(own.as_bytes().ct_eq(sent.as_bytes()));
    if equal && !key.is_empty() { Ok(()) } else { Err(refused(Reason::WrongSignature)) }
}

pub(super) fn refused(reason: Reason) -> Rejection {
    Rejection::new(RejectionKind::NotVerified, reason)
}
