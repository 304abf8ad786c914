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
    /// Allows `count` units, 1 to 4,096, in any `window`, whole milliseconds from 1 ms to 24 days.
    ///
    /// # Errors
    /// [`LimitError::WindowOutOfRange`]: shorter than 1 ms, longer than 24 days, or not whole milliseconds.
    /// [`LimitError::CountOutOfRange`]: above 4,096, as far as an exact log goes.
    pub fn new(count: NonZeroU32, window: Duration) -> Result<Self, LimitError> {
        if count.get() > MOST {
            return Err(LimitError::CountOutOfRange { count: count.get() });
        }
        let whole = window.subsec_nanos().is_multiple_of(1_000_000);
        let window_ms = u32::try_from(window.as_millis())
            .ok()
            .filter(|ms| whole && (1..=LONGEST_MS).contains(ms))
            .ok_or(LimitError::WindowOutOfRange { window })?;
        Ok(Self { count, window_ms })
    }

    /// Allows `count` units, 1 to 4,096, in any 60 s.
    ///
    /// # Errors
    /// [`LimitError::CountOutOfRange`]: above 4,096.
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
    /// The count is above 4,096.
    #[error("count {count} is above {MOST}")]
    CountOutOfRange {
        /// What was asked for.
        count: u32,
    },
}

/// 24 days: two windows stay below 2³² ms, so a 32-bit stamp is never taken for a newer one.
const LONGEST_MS: u32 = 24 * 24 * 60 * 60 * 1000;
/// One stamp per unit up to here.
const MOST: u32 = 4_096;

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
            ("L904 the most stamps", 4_096, day, Ok((4_096, 86_400_000))),
            ("L904 one more", 4_097, day, Err(LimitError::CountOutOfRange { count: 4_097 })),
        ] {
            let got = Limit::new(NonZeroU32::new(count).unwrap(), length);
            assert_eq!(got.map(|limit| (limit.count().get(), limit.window_ms())), want, "{name}");
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
