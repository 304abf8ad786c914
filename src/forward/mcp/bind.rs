//! Whose is an MCP session?
//!
//! 1. The client gets the upstream's id behind a code over its caller, workspace, upstream and the id: no state, any replica.
//! 2. What comes back opens only for the same caller, workspace and upstream, compared in constant time under every key.
//! 3. The newest key binds, all of them open: a rotation ends nothing that was begun.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::request::Parts;
use http::{Extensions, HeaderMap};
use std::fmt;
use std::sync::Arc;
use subtle::{Choice, ConstantTimeEq as _};

use crate::forward::error::ConfigError;
use crate::forward::fold::same;
use crate::forward::hmac::HmacKey;
use crate::forward::key_rules::{distinct, name, strong};
use crate::forward::upstream::is_upstream_name;
use crate::id::WorkspaceId;
use crate::subject::SubjectKey;

/// The field that carries the id of an MCP session, both ways.
pub(crate) const MCP_SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");

/// Binds the ids of one upstream. `Debug` shows its name.
#[derive(Clone)]
pub(crate) struct Binder {
    keys: Arc<[HmacKey]>,
    upstream: Arc<str>,
}

/// To whom an id is bound.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub(crate) subject: SubjectKey,
    pub(crate) workspace: Option<WorkspaceId>,
}

impl Binder {
    pub(crate) fn new<'k>(
        keys: impl IntoIterator<Item = (&'k str, &'k [u8])>,
        upstream: &str,
    ) -> Result<Self, ConfigError> {
        let mut names = Vec::new();
        let mut made = Vec::new();
        for (id, key) in keys {
            names.push(name(id)?);
            strong(key)?;
            made.push(HmacKey::new(key));
        }
        distinct(names.iter().map(|name| &**name))?;
        if !is_upstream_name(upstream) {
            return Err(ConfigError::UpstreamName);
        }
        Ok(Self { keys: made.into(), upstream: upstream.into() })
    }

    /// What the client gets in place of an upstream's id; `None` for one that is no id.
    pub(crate) fn bound(&self, owner: &Owner, id: &HeaderValue) -> Option<HeaderValue> {
        let id = str::from_utf8(id.as_bytes()).ok().filter(|id| is_id(id.as_bytes()))?;
        let code = self.code(self.keys.first()?, owner, id.as_bytes());
        let code = str::from_utf8(&code).ok()?;
        let text = ["v1.", code, ".", id].concat();
        HeaderValue::from_maybe_shared(Bytes::from(text)).ok()
    }

    /// The upstream's id in what a client presents, if it was bound to this owner.
    pub(crate) fn opened(&self, owner: &Owner, presented: &HeaderValue) -> Option<HeaderValue> {
        let rest = presented.as_bytes().strip_prefix(b"v1.")?;
        let (code, rest) = rest.split_at_checked(CODE)?;
        let id = rest.strip_prefix(b".").filter(|id| is_id(id))?;
        let mut right = Choice::from(0);
        for key in &*self.keys {
            right |= self.code(key, owner, id).ct_eq(code);
        }
        if bool::from(right) { HeaderValue::from_bytes(id).ok() } else { None }
    }

    fn code(&self, key: &HmacKey, owner: &Owner, id: &[u8]) -> [u8; CODE] {
        let workspace = owner.workspace.as_ref().map_or("", WorkspaceId::as_str);
        let (subject, upstream) = (owner.subject.as_str(), &*self.upstream);
        let parts = [PURPOSE, subject.as_bytes(), workspace.as_bytes(), upstream.as_bytes(), id];
        // ids and names are far shorter than 4 GiB
        let lengths = parts.map(|part| u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        let pieces = lengths.iter().zip(parts).flat_map(|(length, part)| [&length[..], part]);
        let whole = key.sign(pieces);
        let mut code = [0; CODE];
        let half = whole.first_chunk::<16>().unwrap_or(&[0; 16]);
        URL_SAFE_NO_PAD.encode_slice(half, &mut code).unwrap_or_default();
        code
    }
}

/// In the extensions of a request whose answer's id will be bound; the upstream's own id where the client presented it.
///
/// Only this crate can leave one, so a layer inside may let the ids through that it would remove otherwise.
#[derive(Clone, Debug, Default)]
pub(crate) struct BoundId(pub(crate) Option<HeaderValue>);

impl BoundId {
    /// Will somebody outside bind the id of the answer?
    pub(crate) fn is_in(extensions: &Extensions) -> bool {
        extensions.get::<Self>().is_some()
    }

    /// Puts the upstream's id into a head from which every such field was removed.
    pub(crate) fn put_back(head: &mut Parts) {
        if let Some(Self(Some(id))) = head.extensions.get::<Self>() {
            head.headers.insert(MCP_SESSION_ID, id.clone());
        }
    }
}

/// What a header section says of the id.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Told {
    Nothing,
    Once(HeaderValue),
    Several,
}

impl Told {
    /// Takes every line of the id out of `headers`, in every spelling; only the right one says anything.
    pub(crate) fn take(headers: &mut HeaderMap) -> Self {
        let mut lines = headers.get_all(MCP_SESSION_ID).iter();
        let told = match (lines.next(), lines.next()) {
            (None, _) => Self::Nothing,
            (Some(line), None) => Self::Once(line.clone()),
            (Some(_), Some(_)) => Self::Several,
        };
        let is_spelled =
            |name: &&HeaderName| same(name.as_str().as_bytes(), MCP_SESSION_ID.as_str().as_bytes());
        let spelled: Vec<HeaderName> = headers.keys().filter(is_spelled).cloned().collect();
        for name in spelled {
            headers.remove(name);
        }
        told
    }
}

/// What an upstream may give as an id: 1 to 512 visible ASCII characters (MCP 2025-11-25, Streamable HTTP).
fn is_id(id: &[u8]) -> bool {
    (1..=512).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

const PURPOSE: &[u8] = b"tower-bearer mcp session v1";

/// Length of 16 bytes in base64url.
const CODE: usize = 22;

impl fmt::Debug for Binder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Binder").field("upstream", &self.upstream).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::key_rules::KeyFault;
    use crate::id::{AccountId, ServiceId};
    use crate::subject::Subject;

    const K: &[u8] = b"0123456789abcdef0123456789abcdef";
    const NEW: &[u8] = b"fedcba9876543210fedcba9876543210";

    fn binder(keys: &[(&str, &[u8])], upstream: &str) -> Binder {
        Binder::new(keys.iter().copied(), upstream).unwrap()
    }

    fn owner(subject: Subject, workspace: Option<&str>) -> Owner {
        let workspace = workspace.map(|id| WorkspaceId::new(id).unwrap());
        Owner { subject: subject.key(), workspace }
    }

    fn account(id: &str, workspace: Option<&str>) -> Owner {
        owner(Subject::Account { id: AccountId::new(id).unwrap() }, workspace)
    }

    fn value(text: &str) -> HeaderValue {
        HeaderValue::from_bytes(text.as_bytes()).unwrap()
    }

    #[test]
    fn ids_of_callers() {
        let binder = binder(&[("k1", K)], "mcp-main");
        let service = Subject::Service { id: ServiceId::new("acc-alice").unwrap() };
        let id = value("1868a90c-3f");
        let rows = [
            ("FL1", account("acc-alice", Some("ws-1")), "AzzwL6BzaPAFW-_y4-SzXQ"),
            ("FL2 bob", account("acc-bob", Some("ws-1")), "-C5kVCIaYGK3KBNaWTW10w"),
            ("FL2 no workspace", account("acc-alice", None), "wq-C6MULM9xrVer8KEHaYg"),
            ("FL2 a service", owner(service, Some("ws-1")), "u-8VMacMhsd37eTiAPthQA"),
        ];
        for (name, own, code) in &rows {
            let bound = binder.bound(own, &id).unwrap();
            assert_eq!(bound, format!("v1.{code}.1868a90c-3f"), "{name}");
            for (of, other, _) in &rows {
                let want = (name == of).then(|| id.clone());
                assert_eq!(binder.opened(other, &bound), want, "F193 {name} for {of}");
            }
        }
    }

    #[test]
    fn what_opens() {
        let alice = account("acc-alice", Some("ws-1"));
        let one = binder(&[("k1", K)], "mcp-main");
        let bound = one.bound(&alice, &value("s")).unwrap();
        let text = bound.to_str().unwrap();
        let opened = |binder: &Binder, text: &str| binder.opened(&alice, &value(text)).is_some();
        for (name, text, want) in [
            ("as it was", text.to_owned(), true),
            ("FL3 bare", "s".into(), false),
            ("another id", format!("{text}x"), false),
            ("no id", text[..text.len() - 1].into(), false),
            ("another version", text.replacen("v1", "v2", 1), false),
            ("a code of another case", text.to_uppercase().replacen("V1", "v1", 1), false),
            ("a code of one less", text.replacen("v1.", "v1", 1), false),
            ("nothing", String::new(), false),
        ] {
            assert_eq!(opened(&one, &text), want, "F193 {name}");
        }
        let both = binder(&[("k2", NEW), ("k1", K)], "mcp-main");
        assert!(opened(&both, text), "F85 an older key opens");
        let newer = both.bound(&alice, &value("s")).unwrap();
        assert_ne!(newer, bound, "F85 the newest binds");
        assert!(!opened(&one, newer.to_str().unwrap()), "F85 an unknown key does not");
        assert!(!opened(&binder(&[("k1", K)], "mcp-other"), text), "F193 another upstream");
    }

    #[test]
    fn ids_of_upstreams() {
        let binder = binder(&[("k1", K)], "mcp-main");
        let alice = account("acc-alice", None);
        let long = "x".repeat(512);
        for (name, id, want) in [
            ("F194 shortest", "!", true),
            ("F194 longest", &*long, true),
            ("F194 with dots", "a.b.c", true),
            ("F194 empty", "", false),
            ("F194 too long", &format!("{long}x"), false),
            ("F194 a blank", "a b", false),
        ] {
            let bound = binder.bound(&alice, &value(id));
            assert_eq!(bound.is_some(), want, "{name}");
            if let Some(bound) = bound {
                assert_eq!(binder.opened(&alice, &bound), Some(value(id)), "{name}");
            }
        }
        let latin = HeaderValue::from_bytes(b"\xE9").unwrap();
        assert_eq!(binder.bound(&alice, &latin), None, "F194 not ASCII");
    }

    #[test]
    fn lines() {
        for (name, lines, want) in [
            ("none", &[][..], Told::Nothing),
            ("one", &[("mcp-session-id", "a")], Told::Once(value("a"))),
            ("FL3 two", &[("mcp-session-id", "a"), ("mcp-session-id", "a")], Told::Several),
            ("F40 spelled otherwise", &[("mcp_session_id", "a")], Told::Nothing),
        ] {
            let mut headers = HeaderMap::new();
            for &(name, text) in lines {
                headers.append(name, value(text));
            }
            assert_eq!(Told::take(&mut headers), want, "{name}");
            assert!(headers.is_empty(), "{name}");
        }
    }

    #[test]
    fn keys() {
        let fault = |fault| Err(ConfigError::Key { fault });
        let five: Vec<_> = ["a", "b", "c", "d", "e"].map(|id| (id, K)).into();
        for (name, keys, upstream, want) in [
            ("F85 none", &[][..], "u", Err(ConfigError::OutOfRange { setting: "keys" })),
            ("F85 five", &five, "u", Err(ConfigError::OutOfRange { setting: "keys" })),
            ("F85 four", &five[..4], "u", Ok(())),
            (
                "F85 twice",
                &[("a", K), ("a", NEW)],
                "u",
                Err(ConfigError::NameTaken { setting: "keys" }),
            ),
            ("F85 name", &[("a b", K)], "u", fault(KeyFault::Name)),
            ("F268 empty", &[("a", b"")], "u", fault(KeyFault::Short)),
            ("F268 weak", &[("a", &[7; 32])], "u", fault(KeyFault::Weak)),
            ("upstream", &[("a", K)], "MCP main", Err(ConfigError::UpstreamName)),
        ] {
            let made = Binder::new(keys.iter().copied(), upstream);
            assert_eq!(made.map(|_| ()), want, "{name}");
        }
        let shown = format!("{:?}", binder(&[("k1", K)], "mcp-main"));
        assert_eq!(shown, r#"Binder { upstream: "mcp-main", .. }"#, "F173");
    }
}
