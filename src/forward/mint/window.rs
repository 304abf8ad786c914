//! For how long may a minted credential be sent?
//!
//! 1. Not to its very end: the last minute, or the second half of a short life, is left out, but never all of it.
//! 2. Not for longer than a cap, so that what an issuer takes back is gone soon.
//! 3. Not up to the end of the token that the caller presented.
//! 4. Pure, in whole seconds, and no number is too large for it.

/// How a window is cut.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct WindowRule {
    /// Seconds left out at the end of a life, at most half of it.
    pub(super) margin: u64,
    /// The longest window, in seconds.
    pub(super) cap: u64,
}

impl Default for WindowRule {
    fn default() -> Self {
        Self { margin: 60, cap: 300 }
    }
}

/// Seconds left out before the caller's own token ends.
const BEFORE_THE_CALLER: i64 = 30;

impl WindowRule {
    /// For how many seconds a credential that lives `ttl` more is sent, for a caller whose token lives `caller_left` more.
    ///
    /// `None`: it serves those who wait for it and nobody else.
    pub(super) fn window(self, ttl: i64, caller_left: i64) -> Option<u64> {
        let ttl = u64::try_from(ttl).ok().filter(|ttl| *ttl > 0)?;
        let left = caller_left.saturating_sub(BEFORE_THE_CALLER);
        let left = u64::try_from(left).ok().filter(|left| *left > 0)?;
        let sent = (ttl - self.margin.min(ttl / 2)).max(1);
        Some(sent.min(self.cap).min(left)).filter(|window| *window > 0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: i64 = 86_400;

    #[test]
    fn windows() {
        let page = WindowRule::default();
        let wide = WindowRule { margin: 300, cap: u64::MAX };
        for (name, rule, ttls, want) in [
            (
                "FK1",
                page,
                &[3_600, 600, 360, 300, 120, 60, 30, 2, 1][..],
                &[300, 300, 300, 240, 60, 30, 15, 1, 1][..],
            ),
            (
                "FK2",
                wide,
                &[3_600, 600, 400, 300, 60, 30, 2, 1],
                &[3_300, 300, 200, 150, 30, 15, 1, 1],
            ),
            ("FK3 missing is 60", page, &[60], &[30]),
            ("F182 absurd", page, &[i64::MAX], &[300]),
        ] {
            let got: Vec<_> =
                ttls.iter().map(|ttl| rule.window(*ttl, DAY).unwrap_or_default()).collect();
            assert_eq!(got, want, "{name}");
        }
        for (name, ttl, caller_left, want) in [
            ("FK3 ttl 0", 0, DAY, None),
            ("FK3 ttl -5", -5, DAY, None),
            ("FK3 caller's token ends in 100 s", 3_600, 100, Some(70)),
            ("FK3 caller's token ends in 20 s", 3_600, 20, None),
            ("F182 in 30 s", 3_600, 30, None),
            ("F182 in 31 s", 3_600, 31, Some(1)),
            ("F182 it has ended", 3_600, i64::MIN, None),
            ("F182 the least ttl", i64::MIN, DAY, None),
        ] {
            assert_eq!(page.window(ttl, caller_left), want, "{name}");
        }
    }

    proptest! {
        #[test]
        fn never_longer_than_the_life_the_cap_or_the_caller(ttl: i64, left: i64, margin: u64, cap: u64) {
            let window = WindowRule { margin, cap }.window(ttl, left).unwrap_or_default();
            prop_assert!(window <= cap);
            prop_assert!(i128::from(window) <= i128::from(ttl.max(0)));
            prop_assert!(i128::from(window) <= i128::from(left.max(30)) - 30);
        }
    }
}
