//! What does an upstream of coder read about a chat, and how does it know?
//!
//! 1. Six headers: owner, chat, subchat and workspace as UUIDs (RFC 9562 §4), the time, and a signature over these, method,
//!    path with query, and body.
//! 2. The signature is HMAC-SHA256 over nine lines, the first of which is its version.
//! 3. It names no host, has no nonce, and counts 300 s before and after its time: for whoever sees it, it can be sent again.

use http::HeaderName;
use http::request::Parts;
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;

use super::lines::{matches, only, refused, required};
use crate::clock::Timestamp;
use crate::forward::error::ForwardError;
use crate::forward::hmac::HmacKey;
use crate::key::to_hex;
use crate::rejection::{Reason, Rejection};

/// Which chat a request belongs to, each id as a UUID of 36 characters.
///
/// Whether they are is looked at when they are sent.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub struct CoderIds {
    owner: String,
    chat: String,
    subchat: Option<String>,
    workspace: Option<String>,
}

impl CoderIds {
    /// A root chat of `owner`, without workspace.
    pub fn new(owner: impl Into<String>, chat: impl Into<String>) -> Self {
        Self { owner: owner.into(), chat: chat.into(), subchat: None, workspace: None }
    }

    /// Sets the child chat in which the request is made. A root chat has none.
    pub fn with_subchat(mut self, subchat: impl Into<String>) -> Self {
        self.subchat = Some(subchat.into());
        self
    }

    /// Sets the workspace.
    pub fn with_workspace(mut self, workspace: impl Into<String>) -> Self {
        self.workspace = Some(workspace.into());
        self
    }

    /// Who owns the chat.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The root chat.
    #[must_use]
    pub fn chat(&self) -> &str {
        &self.chat
    }

    /// The child chat.
    #[must_use]
    pub fn subchat(&self) -> Option<&str> {
        self.subchat.as_deref()
    }

    /// The workspace.
    #[must_use]
    pub fn workspace(&self) -> Option<&str> {
        self.workspace.as_deref()
    }

    /// Header, word and value of each, in the order of the signature.
    pub(super) fn parts(&self) -> [(HeaderName, &'static str, Option<&str>); 4] {
        [
            (OWNER, "owner", Some(&self.owner)),
            (CHAT, "chat", Some(&self.chat)),
            (SUBCHAT, "subchat", self.subchat()),
            (WORKSPACE, "workspace", self.workspace()),
        ]
    }

    pub(super) fn check(&self) -> Result<(), ForwardError> {
        let wrong = self.parts().into_iter().find(|(.., id)| id.is_some_and(|id| !is_uuid(id)));
        match wrong {
            Some((_, word, _)) => Err(ForwardError::Unencodable { field: Cow::Borrowed(word) }),
            None => Ok(()),
        }
    }
}

/// The value of `X-Coder-Signature` for a request: `v1=` and 64 lower-case hex digits.
///
/// Any key is taken, for tests of older peers; the preset takes none of fewer than 32 bytes.
///
/// ```
/// use tower_bearer::clock::Timestamp;
/// use tower_bearer::forward::compat::{CoderIds, coder_signature};
/// let (head, ()) = http::Request::get("/api/mcp?x=1").body(()).unwrap().into_parts();
/// let ids = CoderIds::new("11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222");
/// let key = b"0123456789abcdef0123456789abcdef";
/// let signature = coder_signature(key, Timestamp::from_secs(1_700_000_000), &head, b"", &ids);
/// assert_eq!(signature, "v1=ace50dcabf2a35bbe828ead24cee72159e76c1385be56afa72089269c33393a7");
/// ```
#[must_use]
pub fn coder_signature(
    key: &[u8],
    now: Timestamp,
    head: &Parts,
    body: &[u8],
    ids: &CoderIds,
) -> String {
    signature(&HmacKey::new(key), &now.as_secs().to_string(), head, body, ids)
}

/// Checks the headers of a request that a gateway of coder signed, and says which chat it belongs to.
///
/// Method and path must be what the gateway sent. Where time allows, look whether the same signature came before: it counts for
/// ten minutes, and nothing in it says for whom.
///
/// # Errors
/// 403 `identity_not_verified` for a header that is missing or there twice, an id that is no UUID, a time that is not 1 to 19
/// digits or more than 300 s from `now`, a signature that is not `v1=` and 64 lower-case hex digits or not this one, and an
/// empty key.
pub fn verify_coder(
    head: &Parts,
    body: &[u8],
    key: &[u8],
    now: Timestamp,
) -> Result<CoderIds, Rejection> {
    let owned = |name| Ok::<_, Rejection>(only(&head.headers, name)?.map(str::to_owned));
    let sent = required(&head.headers, SIGNATURE.as_str())?;
    let time = required(&head.headers, TIMESTAMP.as_str())?;
    let ids = CoderIds {
        owner: required(&head.headers, OWNER.as_str())?.to_owned(),
        chat: required(&head.headers, CHAT.as_str())?.to_owned(),
        subchat: owned(SUBCHAT.as_str())?,
        workspace: owned(WORKSPACE.as_str())?,
    };
    ids.check().map_err(|_shape| refused(Reason::BadSignatureFields))?;
    let digits = (1..=19).contains(&time.len()) && time.bytes().all(|byte| byte.is_ascii_digit());
    let at: Option<u64> = time.parse().ok().filter(|_| digits);
    let at = at.ok_or_else(|| refused(Reason::BadSignatureFields))?;
    if at.abs_diff(now.as_secs()) > MOST_APART {
        return Err(refused(Reason::WrongTime));
    }
    matches(key, &signature(&HmacKey::new(key), time, head, body, &ids), sent)?;
    Ok(ids)
}

pub(super) const SIGNATURE: HeaderName = HeaderName::from_static("x-coder-signature");
pub(super) const TIMESTAMP: HeaderName = HeaderName::from_static("x-coder-signature-timestamp");

const OWNER: HeaderName = HeaderName::from_static("x-coder-owner-id");
const CHAT: HeaderName = HeaderName::from_static("x-coder-chat-id");
const SUBCHAT: HeaderName = HeaderName::from_static("x-coder-subchat-id");
const WORKSPACE: HeaderName = HeaderName::from_static("x-coder-workspace-id");

/// How far the clocks of both ends may be apart, in seconds.
const MOST_APART: u64 = 300;

/// Over the time as it is sent.
pub(super) fn signature(
    key: &HmacKey,
    time: &str,
    head: &Parts,
    body: &[u8],
    ids: &CoderIds,
) -> String {
    let method = head.method.as_str().to_ascii_uppercase();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let digest: [u8; 32] = Sha256::digest(body).into();
    let mut lines = format!("v1\n{time}\n{method}\n{path}\n{}", to_hex(&digest));
    for (_, word, id) in ids.parts() {
        lines.extend(["\n", word, "=", id.unwrap_or_default()]);
    }
    format!("v1={}", to_hex(&key.sign([lines.as_bytes()])))
}

/// 8, 4, 4, 4 and 12 hexadecimal digits with `-` between them.
fn is_uuid(id: &str) -> bool {
    let fits = |(place, byte): (usize, u8)| match place {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    id.len() == 36 && id.bytes().enumerate().all(fits)
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Request};

    use super::*;

    const K: &[u8] = b"0123456789abcdef0123456789abcdef";
    const B: &[u8] = br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    const FC1: &str = "v1=90e41d8e541686fd172ecb7da91bb9949756b883dcf6f74ae14255891990c68b";
    const FC2: &str = "v1=ace50dcabf2a35bbe828ead24cee72159e76c1385be56afa72089269c33393a7";
    const ONES: &str = "11111111-1111-1111-1111-111111111111";
    const TWOS: &str = "22222222-2222-2222-2222-222222222222";
    const NOW: u64 = 1_700_000_000;

    fn ids() -> CoderIds {
        CoderIds::new(ONES, TWOS)
    }

    fn head(method: &str, uri: &str) -> Parts {
        Request::builder().method(method).uri(uri).body(()).unwrap().into_parts().0
    }

    /// FC1 as it is sent, with one header changed, or left out.
    fn fc1(name: &str, value: Option<&'static str>) -> Parts {
        let mut head = head("POST", "/api/mcp?x=1");
        for (name, value) in
            [(OWNER, ONES), (CHAT, TWOS), (TIMESTAMP, "1700000000"), (SIGNATURE, FC1)]
        {
            head.headers.insert(name, HeaderValue::from_static(value));
        }
        if let (false, Ok(name)) = (name.is_empty(), name.parse::<HeaderName>()) {
            match value {
                Some(value) => drop(head.headers.insert(name, HeaderValue::from_static(value))),
                None => drop(head.headers.remove(name)),
            }
        }
        head
    }

    fn verdict(head: &Parts, body: &[u8], now: u64) -> Result<CoderIds, u16> {
        verify_coder(head, body, K, Timestamp::from_secs(now))
            .map_err(|rejection| rejection.status().as_u16())
    }

    #[test]
    fn vectors() {
        let digest = |body: &[u8]| to_hex(&<[u8; 32]>::from(Sha256::digest(body)));
        for (name, method, body, body_digest, want) in [
            (
                "FC1",
                "POST",
                B,
                "b9e9dd030c7c21f7951be2c67c4f74cf2ef76960e7355887b6afa33c074df553",
                FC1,
            ),
            (
                "FC2",
                "GET",
                b"",
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                FC2,
            ),
        ] {
            let head = head(method, "/api/mcp?x=1");
            assert_eq!(digest(body), body_digest, "{name}");
            let got = coder_signature(K, Timestamp::from_secs(NOW), &head, body, &ids());
            assert_eq!(got, want, "{name}");
        }
        let of = |head: &Parts, ids: &CoderIds| {
            coder_signature(K, Timestamp::from_secs(NOW), head, B, ids)
        };
        assert_eq!(of(&head("POST", "https://a.example/api/mcp?x=1"), &ids()), FC1, "no host");
        let others = [ids().with_subchat(TWOS), ids().with_workspace(TWOS)];
        assert!(others.iter().all(|other| of(&head("POST", "/api/mcp?x=1"), other) != FC1));
    }

    #[test]
    fn times() {
        for (name, now, want) in [
            ("FC3", 1_699_999_700, Ok(ids())),
            ("FC3", 1_700_000_300, Ok(ids())),
            ("FC3", 1_699_999_699, Err(403)),
            ("FC3", 1_700_000_301, Err(403)),
            ("F217 the same second", NOW, Ok(ids())),
        ] {
            assert_eq!(verdict(&fc1("", None), B, now), want, "{name} {now}");
        }
    }

    #[test]
    fn refusals() {
        let (time, signature) = ("x-coder-signature-timestamp", "x-coder-signature");
        for (name, header, value) in [
            ("FC4 timestamp empty", time, Some("")),
            ("FC4 timestamp with a blank", time, Some("1700000000 ")),
            ("FC4 timestamp -1", time, Some("-1")),
            ("F217 timestamp with a sign", time, Some("+1700000000")),
            ("F217 timestamp of 20 digits", time, Some("00000000001700000000")),
            ("F217 other spelling of the time", time, Some("01700000000")),
            ("FC4 no v1=", signature, FC1.strip_prefix("v1=")),
            (
                "FC4 upper case",
                signature,
                Some("v1=90E41D8E541686FD172ECB7DA91BB9949756B883DCF6F74AE14255891990C68B"),
            ),
            ("FC4 short", signature, FC1.get(..66)),
            (
                "FC4 one digit changed",
                signature,
                Some("v1=90e41d8e541686fd172ecb7da91bb9949756b883dcf6f74ae14255891990c68c"),
            ),
            ("FC4 other owner", "x-coder-owner-id", Some(TWOS)),
            ("F217 owner is no UUID", "x-coder-owner-id", Some("owner")),
            ("F217 a workspace more", "x-coder-workspace-id", Some(TWOS)),
            ("F217 no signature", signature, None),
            ("F217 no time", time, None),
            ("F217 no owner", "x-coder-owner-id", None),
            ("F217 no chat", "x-coder-chat-id", None),
        ] {
            assert_eq!(verdict(&fc1(header, value), B, NOW), Err(403), "{name}");
        }
        let mut other = fc1("", None);
        other.uri = "/api/mcp?x=2".parse().unwrap();
        assert_eq!(verdict(&other, B, NOW), Err(403), "FC4 other query");
        assert_eq!(verdict(&fc1("", None), &B[1..], NOW), Err(403), "FC4 other body");
        let mut twice = fc1("", None);
        twice.headers.append(OWNER, HeaderValue::from_static(TWOS));
        assert_eq!(verdict(&twice, B, NOW), Err(403), "F217 an owner twice");
        let mut keyless = fc1("", None);
        let signature = coder_signature(b"", Timestamp::from_secs(NOW), &keyless, B, &ids());
        keyless.headers.insert(SIGNATURE, signature.parse().unwrap());
        let verified = verify_coder(&keyless, B, b"", Timestamp::from_secs(NOW));
        assert_eq!(verified.unwrap_err().kind().error(), "identity_not_verified", "empty key");
    }

    #[test]
    fn uuids() {
        for (name, owner, want) in [
            ("F253", ONES, true),
            ("F253 any case", "0A1b2C3d-0000-4000-8000-00000000abCD", true),
            ("FC6", "not-a-uuid", false),
            ("F253 32 digits", "11111111111111111111111111111111", false),
            ("F253 braces", "{11111111-1111-1111-1111-11111111111}", false),
            ("F253 no digit", "11111111-1111-1111-1111-11111111111g", false),
            ("F253 dash elsewhere", "1111111-11111-1111-1111-111111111111", false),
            ("F253 empty", "", false),
        ] {
            let error = ForwardError::Unencodable { field: "owner".into() };
            let want = if want { Ok(()) } else { Err(error) };
            assert_eq!(CoderIds::new(owner, ONES).check(), want, "{name}");
        }
    }
}
