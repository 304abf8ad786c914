//! What is a log called in Redis?
//!
//! 1. `NAMESPACE:rl1:{TAG}NAME:ID`, with `~` for the last colon where the log is rounded: `rl1` is the layout's version.
//! 2. The tag is the first four digits of the owner's id, so that a Cluster keeps an owner's logs together; or `all`.

use crate::store::window::AskItem;

/// How logs are tagged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tags {
    /// By owner.
    Owners,
    /// All the same: one slot of a Cluster for everything.
    One,
}

impl Tags {
    /// The key of an item's log.
    pub(super) fn key(self, namespace: &str, item: &AskItem<'_>) -> String {
        let key = item.key();
        let mark = if item.is_rounded() { '~' } else { ':' };
        let (name, id) = (key.policy(), key.id());
        match self {
            Self::Owners => {
                let [first, second] = key.tag();
                format!("{namespace}:rl1:{{{first:02x}{second:02x}}}{name}{mark}{id}")
            }
            Self::One => format!("{namespace}:rl1:{{{ALL}}}{name}{mark}{id}"),
        }
    }

    /// The tag by itself.
    pub(super) fn tag(self, tag: [u8; 2]) -> String {
        let [first, second] = tag;
        match self {
            Self::Owners => format!("{first:02x}{second:02x}"),
            Self::One => ALL.to_owned(),
        }
    }
}

/// The key that a probe writes.
pub(super) fn probe(namespace: &str, tag: &str) -> String {
    format!("{namespace}:rl1:{{{tag}}}probe")
}

/// Which sixteenth of a Cluster's slots holds the keys of a tag.
#[cfg(feature = "redis-cluster")]
pub(super) fn part(tag: &str) -> u8 {
    u8::try_from(slot(tag.as_bytes()) / 1_024).unwrap_or(0)
}

/// The slot of a key, by what is between its first braces if anything is (Redis Cluster specification, "Hash tags").
#[cfg(feature = "redis-cluster")]
pub(super) fn slot(key: &[u8]) -> u16 {
    let begun = key.splitn(2, |byte| *byte == b'{').nth(1);
    let mut ended = begun.unwrap_or_default().splitn(2, |byte| *byte == b'}');
    let counts = match (ended.next(), ended.next()) {
        (Some(tag), Some(_rest)) if !tag.is_empty() => tag,
        _ => key,
    };
    crc16::State::<crc16::XMODEM>::calculate(counts) % 16_384
}

const ALL: &str = "all";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::window_key::{LogId, PolicyName, WindowKey};
    use crate::window::vectors::limit;
    use sha2::{Digest as _, Sha256};

    #[test]
    fn keys() {
        let token = LogId::of_token(
            &Sha256::digest("tba_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh81xprsL").into(),
        );
        let (member, north) =
            (LogId::of_subject("account:acc-member"), LogId::of_workspace("ws-north"));
        let policy = |name| PolicyName::new(name).unwrap();
        for (name, policy, id, owner, rounded, tags, want) in [
            (
                "L343",
                policy("token"),
                token,
                member,
                false,
                Tags::Owners,
                "tb:rl1:{9f5b}token:97e3481e6ce67bf7901746c2c7af451c",
            ),
            (
                "L344 app",
                policy("app"),
                LogId::of_app("app-public"),
                north,
                true,
                Tags::Owners,
                "tb:rl1:{6029}app~4bfb10a13a9933a548936b5483569913",
            ),
            (
                "L344 workspace",
                policy("workspace"),
                north,
                north,
                true,
                Tags::Owners,
                "tb:rl1:{6029}workspace~602910cbd6e7496af5af7e54c4309d07",
            ),
            (
                "L334 one slot",
                policy("token"),
                token,
                member,
                false,
                Tags::One,
                "tb:rl1:{all}token:97e3481e6ce67bf7901746c2c7af451c",
            ),
        ] {
            let item = AskItem::new(WindowKey::new(&policy, id, owner), limit(60, 60_000));
            let item = if rounded { item.rounded() } else { item };
            assert_eq!(tags.key("tb", &item), want, "{name}");
        }
        assert_eq!(probe("tb", &Tags::One.tag([0, 0])), "tb:rl1:{all}probe", "L632");
    }

    #[cfg(feature = "redis-cluster")]
    #[test]
    fn slots() {
        for (name, tag, want) in
            [("L343", "9f5b", 209), ("L344", "6029", 2_648), ("L344", "all", 3_894)]
        {
            let key = format!("tb:rl1:{{{tag}}}token:97e3481e6ce67bf7901746c2c7af451c");
            assert_eq!((slot(tag.as_bytes()), slot(key.as_bytes())), (want, want), "{name}");
        }
        for (name, key, same) in [
            ("no tag", "foo", 12_182),
            ("an empty tag is none", "foo{}{bar}", slot(b"foo{}{bar}")),
            ("the first one counts", "foo{bar}{zap}", slot(b"bar")),
            ("a brace in it", "foo{{bar}}zap", slot(b"{bar")),
            ("no end", "foo{bar", slot(b"foo{bar")),
        ] {
            assert_eq!(slot(key.as_bytes()), same, "{name}");
        }
        assert_eq!((part("9f5b"), part("6029"), part("all")), (0, 2, 3), "L337");
    }
}
