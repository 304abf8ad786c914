//! Is it any use to ask this dependency now?
//!
//! 1. Opens after 3 failures in a row, or 5 within one second.
//! 2. While open, one probe per 500 ms (within 50 % either way) is let through; everybody else is told no at once.
//! 3. One good answer closes it.

/// The state of one dependency. Pure: takes the time in monotonic nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    in_a_row: u32,
    recent: [Option<u64>; WITHIN_SECOND],
    next: usize,
    probe_at: Option<u64>,
}

/// What a report changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Turn {
    Opened,
    Closed,
    Same,
}

const IN_A_ROW: u32 = 3;
const WITHIN_SECOND: usize = 5;
const SECOND: u64 = 1_000_000_000;
const PROBE: u64 = 500_000_000;

impl Breaker {
    /// May a call go out? Claims the probe when one is due; `chance` (0 to 1,000) places the next.
    pub(crate) fn allow(&mut self, now: u64, chance: u64) -> bool {
        match self.probe_at {
            None => true,
            Some(at) if now >= at => {
                self.probe_at = Some(now.saturating_add(pause(chance)));
                true
            }
            Some(_) => false,
        }
    }

    /// Is the dependency left alone, but for probes?
    pub(crate) fn is_open(&self) -> bool {
        self.probe_at.is_some()
    }

    /// The dependency answered.
    pub(crate) fn succeeded(&mut self) -> Turn {
        self.in_a_row = 0;
        if self.probe_at.is_none() {
            return Turn::Same;
        }
        *self = Self::default();
        Turn::Closed
    }

    /// The dependency failed, hung or could not be reached.
    pub(crate) fn failed(&mut self, now: u64, chance: u64) -> Turn {
        if self.probe_at.is_some() {
            return Turn::Same;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        if let Some(slot) = self.recent.get_mut(self.next) {
            *slot = Some(now);
        }
        self.next = (self.next + 1) % WITHIN_SECOND;
        let fresh = |at: &Option<u64>| at.is_some_and(|at| now.saturating_sub(at) < SECOND);
        if self.in_a_row < IN_A_ROW && !self.recent.iter().all(fresh) {
            return Turn::Same;
        }
        self.probe_at = Some(now.saturating_add(pause(chance)));
        Turn::Opened
    }
}

/// 250 ms to 750 ms.
fn pause(chance: u64) -> u64 {
    PROBE / 2 + PROBE * chance.min(1_000) / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn opens_after_three_in_a_row_and_closes_on_a_good_probe() {
        let mut breaker = Breaker::default();
        assert_eq!(breaker.failed(0, 500), Turn::Same);
        assert_eq!(breaker.failed(10_000 * MS, 500), Turn::Same);
        assert!(breaker.allow(20_000 * MS, 500));
        assert_eq!(breaker.failed(20_000 * MS, 500), Turn::Opened);
        assert!(!breaker.allow(20_499 * MS, 500));
        assert!(breaker.allow(20_500 * MS, 500), "the probe");
        assert!(!breaker.allow(20_501 * MS, 500), "one probe only");
        assert_eq!(breaker.failed(20_600 * MS, 500), Turn::Same);
        assert!(breaker.allow(21_000 * MS, 500));
        assert_eq!(breaker.succeeded(), Turn::Closed);
        assert!(breaker.allow(21_001 * MS, 500));
    }

    #[test]
    fn opens_after_five_within_a_second_with_successes_between() {
        let mut breaker = Breaker::default();
        for (at, want) in [(0, Turn::Same), (200, Turn::Same), (400, Turn::Same), (600, Turn::Same)]
        {
            assert_eq!(breaker.failed(at * MS, 0), want, "at {at} ms");
            assert_eq!(breaker.succeeded(), Turn::Same);
        }
        assert_eq!(breaker.failed(1_000 * MS, 0), Turn::Same, "the first is a second old");
        assert_eq!(breaker.succeeded(), Turn::Same);
        assert_eq!(breaker.failed(1_100 * MS, 0), Turn::Opened, "five within 900 ms");
    }

    #[test]
    fn a_pause_stays_within_half_of_500_ms() {
        assert_eq!(
            (pause(0), pause(500), pause(1_000), pause(9_999)),
            (250 * MS, 500 * MS, 750 * MS, 750 * MS)
        );
    }
}
