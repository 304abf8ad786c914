//! What time is it?
//!
//! 1. The only file that reads time. Everything else is handed a [`Moment`].
//! 2. Two times, kept apart: the wall clock decides when a token expires, the monotonic clock decides
//!    how long a cached fact lives, when a window slides and when a breaker tries again.
//! 3. A request reads both once; the moment rides in its context.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Tells both times. Implement it to bring your own; most services use [`SystemClock`].
pub trait Clock: Send + Sync + 'static {
    /// Both times, read together.
    ///
    /// Called once per request and once per store load. The monotonic part must never go back.
    fn now(&self) -> Moment;
}

/// A point on the wall clock: milliseconds since 1970-01-01T00:00:00 UTC.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(u64);

impl Timestamp {
    /// From whole milliseconds since 1970 UTC.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// From whole seconds since 1970 UTC; a value past the range is held at its end.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000))
    }

    /// Milliseconds since 1970 UTC.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Seconds since 1970 UTC, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000
    }

    /// Later by `span`, held at the end of the range. Parts of a millisecond are dropped.
    #[must_use]
    pub fn saturating_add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Earlier by `span`, held at 1970. Parts of a millisecond are dropped.
    #[must_use]
    pub fn saturating_sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How far `self` lies after `earlier`; zero if it does not.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Moment {
    wall: Timestamp,
    monotonic_nanos: u64,
}

impl Moment {
    /// Puts a wall time beside the time since some fixed start.
    ///
    /// A monotonic time past 584 years is held there.
    pub fn new(wall: Timestamp, monotonic: Duration) -> Self {
        let monotonic_nanos = u64::try_from(monotonic.as_nanos()).unwrap_or(u64::MAX);
        Self { wall, monotonic_nanos }
    }

    /// The wall clock: decides expiry.
    pub const fn wall(self) -> Timestamp {
        self.wall
    }

    /// The monotonic clock, as time since the clock's own start: decides lives, windows, deadlines.
    pub const fn monotonic(self) -> Duration {
        Duration::from_nanos(self.monotonic_nanos)
    }

    /// The monotonic clock in whole milliseconds, rounded down.
    pub(crate) const fn monotonic_ms(self) -> u64 {
        self.monotonic_nanos / 1_000_000
    }

    /// The monotonic clock in nanoseconds.
    pub(crate) const fn monotonic_nanos(self) -> u64 {
        self.monotonic_nanos
    }
}

/// The operating system's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Counts the monotonic time from one point that all of them in this process share.
    ///
    /// So a limiter behind two authenticators sees one time.
    pub fn new() -> Self {
        Self { start: *START }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads time")]
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads time")]
    fn now(&self) -> Moment {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = Timestamp(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX));
        Moment::new(wall, self.start.elapsed())
    }
}

/// A clock that stands still until a test moves it. Clones move together.
///
/// ```
/// use std::time::Duration;
/// use tower_bearer::clock::{Clock, ManualClock};
///
/// let clock = ManualClock::new();
/// let before = clock.now();
/// clock.advance(Duration::from_secs(30));
/// assert_eq!(clock.now().wall().since(before.wall()), Duration::from_secs(30));
/// ```
#[derive(Clone)]
pub struct ManualClock {
    wall: Arc<AtomicU64>,
    monotonic_nanos: Arc<AtomicU64>,
}

impl ManualClock {
    /// Stands at 1,700,000,000 s of the wall clock (14 November 2023) and at zero of the monotonic one.
    pub fn new() -> Self {
        Self::at(Timestamp::from_secs(1_700_000_000))
    }

    /// Stands at `wall` and at zero of the monotonic clock.
    pub fn at(wall: Timestamp) -> Self {
        Self {
            wall: Arc::new(AtomicU64::new(wall.as_millis())),
            monotonic_nanos: Arc::new(AtomicU64::new(0)),
        }
    }

    /// Moves both clocks on by `span`; the wall clock counts whole milliseconds of it.
    pub fn advance(&self, span: Duration) {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        let before = self.monotonic_nanos.fetch_add(nanos, Ordering::SeqCst);
        let millis = before.wrapping_add(nanos) / 1_000_000 - before / 1_000_000;
        self.wall.fetch_add(millis, Ordering::SeqCst);
    }

    /// Steps the wall clock alone, forwards or back, as an operator or NTP would.
    pub fn set_wall(&self, wall: Timestamp) {
        self.wall.store(wall.as_millis(), Ordering::SeqCst);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Moment {
        Moment {
            wall: Timestamp(self.wall.load(Ordering::SeqCst)),
            monotonic_nanos: self.monotonic_nanos.load(Ordering::SeqCst),
        }
    }
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> Moment {
        (**self).now()
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ManualClock").field(&self.now()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_clocks_share_their_zero() {
        // they once began when they were made, so a limiter of two authenticators saw time jump between requests
        assert_eq!(SystemClock::new().start, SystemClock::new().start);
    }

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = ManualClock::new();
        let start = clock.now();
        assert_eq!(clock.now(), start);
        clock.advance(Duration::from_micros(600));
        clock.advance(Duration::from_micros(600));
        assert_eq!(clock.now().wall().since(start.wall()), Duration::from_millis(1));
        assert_eq!(clock.now().monotonic(), Duration::from_micros(1_200));
        clock.set_wall(Timestamp::from_secs(5));
        assert_eq!(clock.now().wall().as_millis(), 5_000);
        assert_eq!(clock.now().monotonic(), Duration::from_micros(1_200));
    }
}
