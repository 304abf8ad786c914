//! How many units in how much time: a limit, checked where it is made.

use std::num::NonZeroU32;
use std::time::Duration;

/// A count of units and the window they share: at most `count` in any `window`.
///
/// The window slides by the millisecond; nothing is aligned to a clock.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Limit {
    count: NonZeroU32,
    window_ms: u32,
}

impl Limit {
    /// Allows `count` units, 1 to 4,294,967,295, in any `window`, whole milliseconds from 1 ms to 24 days.
    ///
    /// # Errors
    /// [`LimitError::WindowOutOfRange`]: shorter than 1 ms, longer than 24 days, or not whole milliseconds.
    pub fn new(count: NonZeroU32, window: Duration) -> Result<Self, LimitError> {
        let whole = window.subsec_nanos().is_multiple_of(1_000_000);
        let window_ms = u32::try_from(window.as_millis())
            .ok()
            .filter(|ms| whole && (1..=LONGEST_MS).contains(ms))
            .ok_or(LimitError::WindowOutOfRange { window })?;
        Ok(Self { count, window_ms })
    }

    /// Allows `count` units, 1 to 4,294,967,295, in any 60 s.
    ///
    /// # Errors
    /// None at present: every count is in range, and so is the minute.
    pub fn per_minute(count: NonZeroU32) -> Result<Self, LimitError> {
        Self::new(count, Duration::from_secs(60))
    }

    /// The units that fit into one window.
    #[inline]
    pub fn count(&self) -> NonZeroU32 {
        self.count
    }

    /// The window in milliseconds, 1 to 2,073,600,000.
    #[inline]
    pub fn window_ms(&self) -> u32 {
        self.window_ms
    }

    /// How finely a rounded log tells times of this window apart: a 128th of it, rounded up to whole milliseconds.
    #[inline]
    pub(crate) fn quantum_ms(&self) -> u32 {
        self.window_ms.div_ceil(QUANTA)
    }

    /// Keeps the window and lowers the count to `count`, never below 1 and never above what it was.
    #[must_use]
    pub fn lowered_to(self, count: u32) -> Self {
        let count = NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        Self { count: self.count.min(count), ..self }
    }
}

/// Why a [`Limit`] could not be made.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitError {
    /// The window is shorter than 1 ms, longer than 24 days, or not whole milliseconds.
    #[error("window {window:?} is not whole milliseconds from 1 ms to 24 days")]
    WindowOutOfRange {
        /// What was asked for.
        window: Duration,
    },
}

/// 24 days: two windows stay below 2³² ms, so a 32-bit stamp is never taken for a newer one.
const LONGEST_MS: u32 = 24 * 24 * 60 * 60 * 1000;
/// Into how many parts a rounded log cuts a window.
const QUANTA: u32 = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let day = Duration::from_secs(86_400);
        let millisecond = Duration::from_millis(1);
        let window = |window| Err(LimitError::WindowOutOfRange { window });
        for (name, count, length, want) in [
            ("L903 the least", 1, millisecond, Ok((1, 1))),
            ("L903 the longest window", 1, day * 24, Ok((1, 2_073_600_000))),
            ("L903 longer than 24 days", 1, day * 24 + millisecond, window(day * 24 + millisecond)),
            ("L903 no window", 1, Duration::ZERO, window(Duration::ZERO)),
            (
                "L903 no whole ms",
                1,
                Duration::from_micros(1_500),
                window(Duration::from_micros(1_500)),
            ),
            (
                "L903 one ns over",
                1,
                day + Duration::from_nanos(1),
                window(day + Duration::from_nanos(1)),
            ),
            ("L903 the longest Duration", 1, Duration::MAX, window(Duration::MAX)),
            ("L903 more than an exact log holds", 4_097, day, Ok((4_097, 86_400_000))),
            ("L903 the most", u32::MAX, day, Ok((u32::MAX, 86_400_000))),
        ] {
            let got = Limit::new(NonZeroU32::new(count).unwrap(), length);
            assert_eq!(got.map(|limit| (limit.count().get(), limit.window_ms())), want, "{name}");
        }
    }

    #[test]
    fn quanta() {
        for (name, length, want) in [
            ("L222 the shortest window", 1, 1),
            ("L222 a whole 128th", 128, 1),
            ("L222 one ms more", 129, 2),
            ("L222 a minute", 60_000, 469),
            ("L222 the longest window", 2_073_600_000, 16_200_000),
        ] {
            let limit = Limit::new(NonZeroU32::MIN, Duration::from_millis(length)).unwrap();
            assert_eq!(limit.quantum_ms(), want, "{name}");
        }
    }

    #[test]
    fn lowered() {
        let limit = Limit::per_minute(NonZeroU32::new(60).unwrap()).unwrap();
        for (name, count, want) in
            [("L229 lower", 10, 10), ("L229 never 0", 0, 1), ("L229 never higher", 61, 60)]
        {
            let got = limit.lowered_to(count);
            assert_eq!((got.count().get(), got.window_ms()), (want, 60_000), "{name}");
        }
    }
}
