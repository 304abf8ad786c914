//! XT3.1: lines are up to three values of `Authorization`.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

use crate::token::credential::{CredentialError, read};

/// Accepted exactly when the naive reading accepts, with the same token or fault; the token is a slice of the value; the case
/// of the scheme changes nothing.
pub(super) fn holds(bytes: &[u8]) {
    let lines = bytes.split(|byte| *byte == b'\n').take(3);
    let values: Vec<Vec<u8>> =
        if bytes.is_empty() { Vec::new() } else { lines.map(<[u8]>::to_vec).collect() };
    let Some(headers) = headers(&values) else { return };
    let got = read(&headers, None, MAX);
    assert_eq!(got.map(str::to_owned), naive(&values, MAX));
    if let (Ok(token), Some(value)) = (got, headers.get(AUTHORIZATION)) {
        assert!(value.as_bytes().as_ptr_range().contains(&token.as_ptr()), "a slice of the value");
    }
    let shouted: Vec<Vec<u8>> = values.iter().map(|value| shout(value)).collect();
    if let Some(headers) = self::headers(&shouted) {
        assert_eq!(read(&headers, None, MAX).map(str::to_owned), got.map(str::to_owned));
    }
}

/// P205 to P216 word by word, on text of Latin-1, with all that the crate's own reading avoids.
pub(crate) fn naive(values: &[Vec<u8>], max: usize) -> Result<String, CredentialError> {
    let [value] = values else {
        return Err(if values.is_empty() {
            CredentialError::Missing
        } else {
            CredentialError::SeveralCredentials
        });
    };
    let text: String = value.iter().copied().map(char::from).collect();
    let text = text.trim_matches([' ', '\t']);
    if text.is_empty() {
        return Err(CredentialError::Malformed);
    }
    let mut words = text.splitn(2, [' ', '\t']);
    if words.next().map(str::to_ascii_lowercase).as_deref() != Some("bearer") {
        return Err(CredentialError::OtherScheme);
    }
    let after = &text["bearer".len()..];
    let token = after.trim_start_matches(' ');
    if token.is_empty() || token.starts_with('\t') {
        return Err(CredentialError::Malformed);
    }
    if token.chars().count() > max {
        return Err(CredentialError::TooLong);
    }
    if token.contains([' ', '\t', ',', ';', '"']) {
        return Err(CredentialError::Malformed);
    }
    let body = token.trim_end_matches('=');
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~+/".contains(c);
    if body.is_empty() || !body.chars().all(allowed) {
        return Err(CredentialError::NotB64Token);
    }
    Ok(token.to_owned())
}

/// The value with its scheme in capitals.
pub(crate) fn shout(value: &[u8]) -> Vec<u8> {
    let is_blank = |byte: u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !is_blank(*byte)).unwrap_or(value.len());
    let mut shouted = value.to_vec();
    for byte in shouted[start..].iter_mut().take_while(|byte| !is_blank(**byte)) {
        byte.make_ascii_uppercase();
    }
    shouted
}

/// `None` for what no server would hand on.
fn headers(values: &[Vec<u8>]) -> Option<HeaderMap> {
    let value = |value: &Vec<u8>| Some((AUTHORIZATION, HeaderValue::from_bytes(value).ok()?));
    values.iter().map(value).collect()
}

/// So short that seeds come close to it.
const MAX: usize = 64;
