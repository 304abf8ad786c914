//! Which log is meant: a policy's name and what it counts per.
//!
//! 1. An id is 16 bytes of SHA-256 over a word and its parts, so its length says nothing and free text is harmless.
//! 2. A token's id is made of its digest and hashed again: the full digest never reaches a store of windows.
//! 3. Neither limit nor window, route nor path is part of a key: a changed limit finds the same log.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::key::hash_parts;

/// The name of a policy, `[a-z][a-z0-9_-]{0,31}`: part of its keys and shown to clients.
///
/// Limiters with one store and one policy name share that policy's logs. A clone costs one reference count.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PolicyName {
    text: Arc<str>,
    salt: u64,
}

impl PolicyName {
    /// Checks `name`: a lower-case letter, then up to 31 of `a-z`, `0-9`, `_` and `-`.
    ///
    /// # Errors
    /// [`PolicyNameError`]: empty, longer than 32, or another character.
    pub fn new(name: &str) -> Result<Self, PolicyNameError> {
        let [first, rest @ ..] = name.as_bytes() else { return Err(PolicyNameError) };
        let ok = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        if !first.is_ascii_lowercase() || rest.len() > 31 || !rest.iter().all(ok) {
            return Err(PolicyNameError);
        }
        let digest: [u8; 32] = Sha256::digest(name).into();
        let [a, b, c, d, e, f, g, h, ..] = digest;
        Ok(Self { text: name.into(), salt: u64::from_be_bytes([a, b, c, d, e, f, g, h]) })
    }

    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first 8 bytes of the name's SHA-256: stands for the name in maps of this process.
    #[inline]
    pub(crate) fn salt(&self) -> u64 {
        self.salt
    }
}

impl AsRef<str> for PolicyName {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl TryFrom<&str> for PolicyName {
    type Error = PolicyNameError;

    fn try_from(name: &str) -> Result<Self, PolicyNameError> {
        Self::new(name)
    }
}

impl fmt::Debug for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.text, f)
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A policy's name is no `[a-z][a-z0-9_-]{0,31}`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("policy name is no lower-case letter with up to 31 of a-z, 0-9, _ and - after it")]
#[non_exhaustive]
pub struct PolicyNameError;

/// What one log counts per, as 16 bytes: a token, subject, workspace, app, custom key or peer.
///
/// Holds no secret: `Debug` and `Display` print all 32 lower-case hex digits.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LogId([u8; 16]);

impl LogId {
    /// Counts per token, known by the SHA-256 of the whole token.
    pub fn of_token(digest: &[u8; 32]) -> Self {
        Self::of("limit.token", &[digest])
    }

    /// Counts per subject, known by its key (`account:…`, `service:…`, `external:…`).
    pub fn of_subject(key: &str) -> Self {
        Self::of("limit.subject", &[key.as_bytes()])
    }

    /// Counts per workspace.
    pub fn of_workspace(id: &str) -> Self {
        Self::of("limit.workspace", &[id.as_bytes()])
    }

    /// Counts per app.
    pub fn of_app(id: &str) -> Self {
        Self::of("limit.app", &[id.as_bytes()])
    }

    /// Counts per whatever `bytes` stand for; two policies never share an id.
    pub fn of_custom(policy: &PolicyName, bytes: &[u8]) -> Self {
        Self::of("limit.custom", &[policy.as_str().as_bytes(), bytes])
    }

    /// Counts per peer address: IPv4 whole, IPv6 by its /64; IPv4-mapped IPv6 is IPv4.
    pub fn of_peer(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::of("limit.peer", &[&address.octets()]),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self::of("limit.peer", &[&[a, b, c, d, e, f, g, h]])
            }
        }
    }

    /// The 16 bytes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The first two bytes: the tag of every key of which this is the owner.
    #[inline]
    pub fn tag(&self) -> [u8; 2] {
        let [first, second, ..] = self.0;
        [first, second]
    }

    fn of(word: &str, parts: &[&[u8]]) -> Self {
        let mut id = [0; 16];
        id.iter_mut().zip(hash_parts(word, parts)).for_each(|(to, from)| *to = from);
        Self(id)
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// One log: a policy, an id, and the tag of the id's owner.
///
/// All keys of one owner share a tag, so a sharded store can keep them together.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct WindowKey<'a> {
    policy: &'a PolicyName,
    id: LogId,
    tag: [u8; 2],
    /// The rounded log of this name and id: another than the exact one.
    is_rounded: bool,
}

impl<'a> WindowKey<'a> {
    /// Names the exact log of `id` under `policy`; `owner` is the subject's id for tokens, subjects and custom
    /// keys, the workspace's for workspaces and apps, its own for peers.
    #[inline]
    pub fn new(policy: &'a PolicyName, id: LogId, owner: LogId) -> Self {
        Self { policy, id, tag: owner.tag(), is_rounded: false }
    }

    /// Names the rounded log instead.
    #[inline]
    pub(crate) fn rounded(self) -> Self {
        Self { is_rounded: true, ..self }
    }

    /// The policy.
    #[inline]
    pub fn policy(&self) -> &'a PolicyName {
        self.policy
    }

    /// What is counted per.
    #[inline]
    pub fn id(&self) -> LogId {
        self.id
    }

    /// The first two bytes of the owner's id.
    #[inline]
    pub fn tag(&self) -> [u8; 2] {
        self.tag
    }

    #[inline]
    pub(crate) fn is_rounded(&self) -> bool {
        self.is_rounded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUEST: &str = "external:145ee6484fcdcf04df64cc7681844e9ffa5c9401d7dabd0c87df31bb674cd95b";

    #[test]
    fn ids() {
        let token = "tba_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh81xprsL";
        let plan = PolicyName::new("plan").unwrap();
        for (name, id, want) in [
            (
                "L341 token",
                LogId::of_token(&Sha256::digest(token).into()),
                "97e3481e6ce67bf7901746c2c7af451c",
            ),
            (
                "L341 account",
                LogId::of_subject("account:acc-member"),
                "9f5b19667848389daea0761ed537c15d",
            ),
            ("L341 external", LogId::of_subject(GUEST), "97fbd412e4508a0dba89672eecc4da1e"),
            ("L342 workspace", LogId::of_workspace("ws-north"), "602910cbd6e7496af5af7e54c4309d07"),
            ("L342 app", LogId::of_app("app-public"), "4bfb10a13a9933a548936b5483569913"),
            (
                "L342 custom",
                LogId::of_custom(&plan, b"gold/42"),
                "001e5a2c8c12785600392181f6f273fc",
            ),
        ] {
            assert_eq!(id.to_string(), want, "{name}");
        }
    }

    #[test]
    fn tags() {
        let policy = PolicyName::new("token").unwrap();
        let (token, subject) = (LogId::of_token(&[7; 32]), LogId::of_subject("account:acc-member"));
        let key = WindowKey::new(&policy, token, subject);
        assert_eq!((key.tag(), key.id()), ([0x9f, 0x5b], token), "L305, L343");
    }

    #[test]
    fn peers() {
        for (name, one, other, want) in [
            ("L877 mapped", "::ffff:203.0.113.7", "203.0.113.7", true),
            ("L877 one /64", "2001:db8:7:8::a", "2001:db8:7:8:9::b", true),
            ("L835 two /64", "2001:db8:7:8::a", "2001:db8:7:9::a", false),
            ("L835 two hosts", "203.0.113.7", "203.0.113.8", false),
        ] {
            let [one, other] = [one, other].map(|text| LogId::of_peer(text.parse().unwrap()));
            assert_eq!(one == other, want, "{name}");
        }
    }

    #[test]
    fn policy_names() {
        for (name, text, want) in [
            ("L902 one letter", "a", true),
            ("L902 all kinds of characters", "a-9_z", true),
            ("L902 32 characters", "abcdefghijklmnopqrstuvwxyz012345", true),
            ("L902 33 characters", "abcdefghijklmnopqrstuvwxyz0123456", false),
            ("L902 empty", "", false),
            ("L902 a digit first", "9a", false),
            ("L902 a dash first", "-a", false),
            ("L902 upper case", "aB", false),
            ("L902 a colon", "a:b", false),
            ("L902 not ASCII", "a\u{e9}", false),
            ("L902 a line end", "a\n", false),
        ] {
            assert_eq!(PolicyName::new(text).is_ok(), want, "{name}");
        }
        let name = PolicyName::new("token").unwrap();
        // the first 8 bytes of SHA-256("token")
        assert_eq!(name.salt(), 0x3c46_9e9d_6c58_75d3);
        assert_eq!(format!("{name} {name:?}"), "token \"token\"");
    }
}
