//! Do two field names mean the same to somebody behind us?
//!
//! 1. Names are compared folded: lower-case, and every byte that is no letter or digit reads as `-`, because CGI-like
//!    receivers make one variable of `X-User`, `x_user` and `X.User`. Runs stay as long as they are.
//! 2. Folding happens byte by byte while comparing: nothing is copied, nothing is allocated.
//! 3. A table finds the group of a name by its first byte, then by length, then by comparing.

use std::array;

/// A folded name, or a family of them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Pattern {
    folded: Box<[u8]>,
    reach: Reach,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Reach {
    /// The name alone.
    Exact,
    /// The name, and every name that goes on with `-`.
    Family,
    /// Every name that goes on with `-`: written `name-*`.
    Under,
    /// Every name that begins so: written `name*`.
    Open,
}

impl Pattern {
    /// One name, or with a `*` at its end all that begin so.
    pub(super) fn new(text: &str) -> Self {
        let (stem, reach) = if let Some(stem) = text.strip_suffix("-*") {
            (stem, Reach::Under)
        } else if let Some(stem) = text.strip_suffix('*') {
            (stem, Reach::Open)
        } else {
            (text, Reach::Exact)
        };
        Self { folded: stem.bytes().map(fold).collect(), reach }
    }

    /// One name, whatever it ends in.
    pub(crate) fn exact(name: &str) -> Self {
        Self { folded: name.bytes().map(fold).collect(), reach: Reach::Exact }
    }

    /// A prefix: its own name and every name that goes on with `-`, but not a longer word.
    pub(super) fn family(prefix: &str) -> Self {
        Self { folded: prefix.bytes().map(fold).collect(), reach: Reach::Family }
    }

    /// Is `name`, folded, one of these?
    #[inline]
    pub(crate) fn covers(&self, name: &[u8]) -> bool {
        let stem = &*self.folded;
        if name.len() < stem.len() || (self.reach == Reach::Exact && name.len() != stem.len()) {
            return false;
        }
        let (head, rest) = name.split_at(stem.len());
        let goes_on = rest.first().map(|&byte| fold(byte) == b'-');
        let reached = match self.reach {
            Reach::Exact | Reach::Open => true,
            Reach::Family => goes_on.unwrap_or(true),
            Reach::Under => goes_on.unwrap_or(false),
        };
        reached && head.iter().zip(stem).all(|(&given, &own)| fold(given) == own)
    }

    /// Is there a name that both cover?
    pub(super) fn meets(&self, other: &Self) -> bool {
        let (long, short) =
            if self.folded.len() >= other.folded.len() { (self, other) } else { (other, self) };
        match (long.reach, short.reach) {
            // `a-*` begins with `a-`: put the dash on before asking whether the shorter one reaches it
            (Reach::Under, _) => short.covers(&[&*long.folded, b"-"].concat()),
            (_, Reach::Under) if long.folded == short.folded => long.reach != Reach::Exact,
            (_, _) => short.covers(&long.folded),
        }
    }
}

/// Patterns and what each stands for, found by first byte. The smallest group wins where two patterns cover one name.
#[derive(Clone, Debug)]
pub(super) struct Table<G> {
    by_first: [Vec<(Pattern, G)>; SLOTS],
}

impl<G: Copy + Ord> Table<G> {
    pub(super) fn new() -> Self {
        Self { by_first: array::from_fn(|_| Vec::new()) }
    }

    pub(super) fn insert(&mut self, pattern: Pattern, group: G) {
        let Some(bucket) =
            pattern.folded.first().and_then(|&first| self.by_first.get_mut(slot(first)))
        else {
            return; // an empty pattern covers nothing
        };
        let here = bucket.partition_point(|&(_, other)| other <= group);
        bucket.insert(here, (pattern, group));
    }

    /// Is this very pattern there already?
    pub(super) fn holds(&self, pattern: &Pattern, group: G) -> bool {
        let bucket = pattern.folded.first().and_then(|&first| self.by_first.get(slot(first)));
        bucket
            .is_some_and(|bucket| bucket.iter().any(|(known, of)| known == pattern && *of == group))
    }

    /// The group of a name as it came, in any spelling.
    #[inline]
    pub(super) fn find(&self, name: &[u8]) -> Option<G> {
        let bucket = self.by_first.get(slot(*name.first()?))?;
        bucket.iter().find(|(pattern, _)| pattern.covers(name)).map(|&(_, group)| group)
    }
}

/// Do two names fold to one?
pub(super) fn same(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len()
        && left.iter().zip(right).all(|(&left, &right)| fold(left) == fold(right))
}

/// One byte, folded.
#[inline]
pub(super) fn fold(byte: u8) -> u8 {
    FOLDED[usize::from(byte)]
}

#[inline]
fn slot(byte: u8) -> usize {
    usize::from(fold(byte) & 0x3F) // a-z: 33 to 58, 0-9: 48 to 57, `-`: 45; sharing a slot is harmless
}

const SLOTS: usize = 64;

const FOLDED: [u8; 256] = {
    let mut table = [b'-'; 256];
    let mut byte: u8 = 0;
    while byte < 128 {
        if byte.is_ascii_alphanumeric() {
            table[byte as usize] = byte.to_ascii_lowercase();
        }
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covers() {
        for (name, pattern, given, want) in [
            ("F40 case", Pattern::new("x-user"), "X-USER", true),
            ("F40 underscore", Pattern::new("x-user"), "x_user", true),
            ("F40 both sides", Pattern::new("X_User"), "x-user", true),
            ("F40 any other byte", Pattern::new("x-user"), "x.user", true),
            ("F40 runs stay", Pattern::new("x-user"), "x--user", false),
            ("exact is exact", Pattern::new("x-user"), "x-user-id", false),
            ("exact is no shorter", Pattern::new("x-user"), "x-use", false),
            ("F42 own name", Pattern::family("X-User"), "x-user", true),
            ("F42 goes on", Pattern::family("X-User"), "x_user_foo", true),
            ("F42 a dash alone", Pattern::family("X-User"), "x-user-", true),
            ("F42 a longer word", Pattern::family("X-User"), "x-username", false),
            ("under, not its stem", Pattern::new("x-forwarded-*"), "x-forwarded", false),
            ("under", Pattern::new("x-forwarded-*"), "x_forwarded_for", true),
            ("open", Pattern::new("accept*"), "accepted", true),
            ("open, its stem", Pattern::new("accept*"), "accept", true),
        ] {
            assert_eq!(pattern.covers(given.as_bytes()), want, "{name}");
        }
    }

    #[test]
    fn meets() {
        for (name, left, right, want) in [
            (
                "F266 prefix over a name",
                Pattern::family("x-forwarded"),
                Pattern::new("x-forwarded-for"),
                true,
            ),
            ("F266 prefix is the name", Pattern::family("host"), Pattern::new("host"), true),
            ("F266 prefix is a stem", Pattern::family("content"), Pattern::new("content-*"), true),
            (
                "F266 prefix under a stem",
                Pattern::family("content-foo"),
                Pattern::new("content-*"),
                true,
            ),
            ("F266 prefix goes on", Pattern::family("accept-foo"), Pattern::new("accept*"), true),
            ("F266 prefix begins so", Pattern::family("accepted"), Pattern::new("accept*"), true),
            ("F266 prefix is shorter", Pattern::family("acc"), Pattern::new("accept*"), false),
            ("F266 prefix of words", Pattern::family("last"), Pattern::new("last-event-id"), true),
            (
                "F266 longer than the name",
                Pattern::family("host-name"),
                Pattern::new("host"),
                false,
            ),
            ("name under a stem", Pattern::new("content_length"), Pattern::new("content-*"), true),
            ("name is the stem", Pattern::new("content"), Pattern::new("content-*"), false),
            ("two stems", Pattern::new("x-a-*"), Pattern::new("x-*"), true),
            ("strangers", Pattern::new("x-a"), Pattern::new("x-b"), false),
        ] {
            assert_eq!((left.meets(&right), right.meets(&left)), (want, want), "{name}");
        }
    }

    #[test]
    fn tables() {
        let mut table = Table::new();
        table.insert(Pattern::new("x-forwarded-*"), 3);
        table.insert(Pattern::family("X-Forwarded-User"), 1);
        table.insert(Pattern::new("cookie"), 2);
        for (name, given, want) in [
            ("the smaller group wins", "x_forwarded_user_id", Some(1)),
            ("a longer word falls to the other", "x-forwarded-username", Some(3)),
            ("exact", "cookie", Some(2)),
            ("same slot, other name", "content-type", None),
            ("empty", "", None),
        ] {
            assert_eq!(table.find(given.as_bytes()), want, "{name}");
        }
        assert!(table.holds(&Pattern::new("Cookie"), 2));
        assert!(!table.holds(&Pattern::new("cookie"), 1));
    }
}
