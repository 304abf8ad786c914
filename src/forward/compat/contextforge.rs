//! What does an upstream of contextforge read about the caller, and how does it know?
//!
//! 1. Headers under a prefix as they are, the object `user` in `params._meta` of MCP messages, or both.
//! 2. Administrator or not is always said; who is not known to be one is none.
//! 3. The signature is HMAC-SHA256 over id, `:` and e-mail address, and nothing else: it counts for ever, and for any upstream
//!    that knows the key. `a:b` with `c` and `a` with `b:c` have one signature.

use http::HeaderMap;

use super::lines::{matches, only, required};
use crate::forward::hmac::HmacKey;
use crate::key::to_hex;
use crate::rejection::Rejection;

/// The value of `<prefix>-Claims-Signature`: 64 lower-case hex digits over id and e-mail address.
///
/// Any key is taken, for tests of older peers; the preset takes none of fewer than 32 bytes.
///
/// ```
/// use tower_bearer::forward::compat::contextforge_signature;
/// let signature = contextforge_signature(b"test-secret", "alice", None);
/// assert_eq!(signature, "0a7bdec35518806a84a4b1f8c5cd82f850cbabf3632de0ad9997a9ce62ec010c");
/// ```
#[must_use]
pub fn contextforge_signature(key: &[u8], id: &str, email: Option<&str>) -> String {
    signature(&HmacKey::new(key), id, email)
}

/// What a signature of contextforge says about the caller. No other header is covered by it.
///
/// `Debug` shows nothing of it.
#[derive(Clone, Eq, PartialEq)]
pub struct ContextForgeCaller {
    id: String,
    email: Option<String>,
}

impl ContextForgeCaller {
    /// The id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The e-mail address.
    #[must_use]
    pub fn email(&self) -> Option<&str> {
        self.email.as_deref()
    }
}

impl std::fmt::Debug for ContextForgeCaller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ContextForgeCaller")
    }
}

/// Checks `<prefix>-Claims-Signature` over `<prefix>-Id` and `<prefix>-Email`.
///
/// Whoever saw one request can send another one with these headers, whatever else it says.
///
/// # Errors
/// 403 `identity_not_verified` for a header that is missing or there twice, another signature, and an empty key. There need be
/// no e-mail address.
pub fn verify_contextforge(
    headers: &HeaderMap,
    prefix: &str,
    key: &[u8],
) -> Result<ContextForgeCaller, Rejection> {
    let name = |suffix: &str| format!("{prefix}-{suffix}").to_ascii_lowercase();
    let sent = required(headers, &name(SIGNATURE_SUFFIX))?;
    let id = required(headers, &name("id"))?;
    let email = only(headers, &name("email"))?;
    matches(key, &contextforge_signature(key, id, email), sent)?;
    Ok(ContextForgeCaller { id: id.to_owned(), email: email.map(str::to_owned) })
}

pub(super) const SIGNATURE_SUFFIX: &str = "claims-signature";

pub(in crate::forward) fn signature(key: &HmacKey, id: &str, email: Option<&str>) -> String {
    let pieces = [id, ":", email.unwrap_or_default()];
    to_hex(&key.sign(pieces.map(str::as_bytes)))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const K: &[u8] = b"0123456789abcdef0123456789abcdef";

    #[test]
    fn vectors() {
        let (short, co) = (&b"test-secret"[..], Some("alice@co.com"));
        let twins = "fcd8f9bb4bed87ed68d887c9db2e13af4dcb3325cff11d23e5e3201c4aac1124";
        for (name, key, id, email, want) in [
            (
                "FB1",
                short,
                "alice",
                co,
                "e29843dfa4f913cea8d03468a1f42e9ecc628422c41b1a5b6433fea858ae1bb8",
            ),
            (
                "FB2",
                short,
                "alice@co.com",
                co,
                "be9c4fd7ddf409a7fb02e5e21b1835dee5effd4831d5eed8da5538f3ed0a4047",
            ),
            (
                "FB3",
                short,
                "alice",
                None,
                "0a7bdec35518806a84a4b1f8c5cd82f850cbabf3632de0ad9997a9ce62ec010c",
            ),
            (
                "FB4",
                K,
                "acc-alice",
                co,
                "db2f2fd30ba17816f72b14565f7f8b740e1e46e73bfb515c6a000621bb034eec",
            ),
            ("FB5", short, "a:b", Some("c"), twins),
            ("FB5", short, "a", Some("b:c"), twins),
        ] {
            assert_eq!(contextforge_signature(key, id, email), want, "{name}");
        }
    }

    #[test]
    fn verdicts() {
        let sent = |lines: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for &(name, value) in lines {
                headers.append(name, HeaderValue::from_static(value));
            }
            headers
        };
        let (id, email) = (("x-gw-user-id", "acc-alice"), ("x-gw-user-email", "alice@co.com"));
        let code = "db2f2fd30ba17816f72b14565f7f8b740e1e46e73bfb515c6a000621bb034eec";
        let signature = ("x-gw-user-claims-signature", code);
        for (name, key, headers, want) in [
            ("FB4", K, sent(&[id, email, signature]), Ok(())),
            ("F217 other key", b"other", sent(&[id, email, signature]), Err(403)),
            ("F217 empty key", b"", sent(&[id, email, signature]), Err(403)),
            ("F217 no e-mail", K, sent(&[id, signature]), Err(403)),
            ("F217 no id", K, sent(&[email, signature]), Err(403)),
            ("F217 no signature", K, sent(&[id, email]), Err(403)),
            ("F217 an id twice", K, sent(&[id, email, signature, id]), Err(403)),
            ("F217 a signature twice", K, sent(&[id, email, signature, signature]), Err(403)),
            ("F217 other id", K, sent(&[("x-gw-user-id", "acc-bob"), email, signature]), Err(403)),
            (
                "F217 upper case",
                K,
                sent(&[
                    id,
                    email,
                    (
                        "x-gw-user-claims-signature",
                        "DB2F2FD30BA17816F72B14565F7F8B740E1E46E73BFB515C6A000621BB034EEC",
                    ),
                ]),
                Err(403),
            ),
        ] {
            let got = verify_contextforge(&headers, "X-GW-User", key);
            if let Ok(caller) = &got {
                assert_eq!((caller.id(), caller.email()), ("acc-alice", Some("alice@co.com")));
                assert_eq!(format!("{caller:?}"), "ContextForgeCaller", "F173");
            }
            let got = got.map(drop).map_err(|rejection| rejection.status().as_u16());
            assert_eq!(got, want, "{name}");
        }
    }
}
