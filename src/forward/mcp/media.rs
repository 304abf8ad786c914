//! Is there a JSON text in this body, by its head?

use http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderName};

/// What the head says of the body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Media {
    /// JSON, as it is.
    Json,
    /// JSON behind a coding (RFC 9110 §8.4).
    Coded,
    /// Something else.
    Other,
    /// Two fields that may say two things.
    Ambiguous,
}

impl Media {
    /// A body of no named type may be JSON to whoever reads it, so it is JSON here.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut types = headers.get_all(CONTENT_TYPE).iter();
        match (types.next(), types.next()) {
            (_, Some(_)) => Self::Ambiguous,
            (Some(media), None) if !is_json(media.as_bytes()) => Self::Other,
            (_, None) if headers.get_all(CONTENT_ENCODING).iter().all(is_identity) => Self::Json,
            (_, None) => Self::Coded,
        }
    }
}

/// The length that the client names, if it is a number at all.
pub(super) fn named_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// Makes a head true of a body that was changed (RFC 9530 §2 and §3 for digests).
pub(super) fn set_length(headers: &mut HeaderMap, length: usize) {
    for name in [TRANSFER_ENCODING, CONTENT_MD5, DIGEST, CONTENT_DIGEST, REPR_DIGEST] {
        headers.remove(name);
    }
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
}

/// `application/json`, `text/json` and `…+json`; of a joined list, one of them is enough.
fn is_json(media: &[u8]) -> bool {
    let essence = media.split(|&byte| byte == b';').next().unwrap_or_default();
    essence.split(|&byte| byte == b',').any(|member| {
        let member = member.trim_ascii();
        let is = |word: &[u8]| member.eq_ignore_ascii_case(word);
        let suffix = member.len().checked_sub(SUFFIX.len()).and_then(|at| member.get(at..));
        is(b"application/json")
            || is(b"text/json")
            || suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case(SUFFIX))
    })
}

fn is_identity(codings: &HeaderValue) -> bool {
    let each = codings.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    each.filter(|coding| !coding.is_empty()).all(|coding| coding.eq_ignore_ascii_case(b"identity"))
}

const SUFFIX: &[u8] = b"+json";
const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");
const DIGEST: HeaderName = HeaderName::from_static("digest");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media() {
        let json = ("content-type", "application/json");
        for (name, lines, want) in [
            ("F148", &[json][..], Media::Json),
            ("F148 none", &[], Media::Json),
            ("F148 any case", &[("content-type", "Application/JSON")], Media::Json),
            ("F148 parameters", &[("content-type", "text/json ; charset=utf-16")], Media::Json),
            ("F148 suffix", &[("content-type", "application/vnd.x+JSON;v=1")], Media::Json),
            ("F148 joined", &[("content-type", "text/plain, application/json")], Media::Json),
            ("F148 not in a parameter", &[("content-type", "a/b;c=\", text/json\"")], Media::Other),
            ("F148 other", &[("content-type", "text/event-stream")], Media::Other),
            ("F148 a longer word", &[("content-type", "application/jsonl")], Media::Other),
            ("F148 no type at all", &[("content-type", "")], Media::Other),
            ("F148 two lines", &[json, json], Media::Ambiguous),
            ("F148 identity", &[json, ("content-encoding", "Identity, ")], Media::Json),
            ("F148 gzip", &[json, ("content-encoding", "gzip")], Media::Coded),
            (
                "F148 two codings",
                &[json, ("content-encoding", "identity"), ("content-encoding", "br")],
                Media::Coded,
            ),
            ("F148 coded, no type", &[("content-encoding", "gzip")], Media::Coded),
            (
                "F148 other, coded",
                &[("content-type", "text/plain"), ("content-encoding", "gzip")],
                Media::Other,
            ),
        ] {
            let mut headers = HeaderMap::new();
            for &(name, value) in lines {
                headers.append(name, HeaderValue::from_static(value));
            }
            assert_eq!(Media::of(&headers), want, "{name}");
        }
    }
}
