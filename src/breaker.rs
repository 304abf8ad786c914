//! Is it any use to ask this dependency now?
//!
//! 1. Opens after 3 failures in a row, or 5 within one second.
//! 2. While open, one probe per 500 ms (within 50 % either way) is let through; everybody else is told no at once.
//! 3. One good answer closes it.

use std::collections::VecDeque;

/// When to stop asking, and how long until a try.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct BreakerRule {
    /// Failures in a row that open it, at least 1.
    pub(crate) in_a_row: u32,
    /// Failures within one second that open it, at least 1.
    pub(crate) within_second: usize,
    /// Nanoseconds from probe to probe, give or take a half.
    pub(crate) probe: u64,
}

impl Default for BreakerRule {
    fn default() -> Self {
        Self { in_a_row: 3, within_second: 5, probe: 500_000_000 }
    }
}

/// The state of one dependency. Pure: takes the time in monotonic nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    rule: BreakerRule,
    in_a_row: u32,
    recent: VecDeque<u64>,
    probe_at: Option<u64>,
}

/// What a report changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Turn {
    Opened,
    Closed,
    Same,
}

const SECOND: u64 = 1_000_000_000;

impl BreakerRule {
    /// Nanoseconds until the next probe; `chance` (0 to 1,000) places it.
    pub(crate) fn pause(&self, chance: u64) -> u64 {
        self.probe / 2 + self.probe / 1_000 * chance.min(1_000)
    }
}

impl Breaker {
    /// Closed, under another rule than the default.
    pub(crate) fn new(rule: BreakerRule) -> Self {
        Self { rule, ..Self::default() }
    }

    /// May a call go out? Claims the probe when one is due; `chance` (0 to 1,000) places the next.
    pub(crate) fn allow(&mut self, now: u64, chance: u64) -> bool {
        match self.probe_at {
            None => true,
            Some(at) if now >= at => {
                self.probe_at = Some(now.saturating_add(self.rule.pause(chance)));
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
        *self = Self::new(self.rule);
        Turn::Closed
    }

    /// The dependency failed, hung or could not be reached.
    pub(crate) fn failed(&mut self, now: u64, chance: u64) -> Turn {
        if self.probe_at.is_some() {
            return Turn::Same;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.recent.push_back(now);
        while self.recent.len() > self.rule.within_second {
            self.recent.pop_front();
        }
        let fresh = |at: &u64| now.saturating_sub(*at) < SECOND;
        let many = self.recent.len() == self.rule.within_second && self.recent.iter().all(fresh);
        if self.in_a_row < self.rule.in_a_row && !many {
            return Turn::Same;
        }
        self.probe_at = Some(now.saturating_add(self.rule.pause(chance)));
        Turn::Opened
    }
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
        let pause = |chance| BreakerRule::default().pause(chance);
        assert_eq!(
            (pause(0), pause(500), pause(1_000), pause(9_999)),
            (250 * MS, 500 * MS, 750 * MS, 750 * MS)
        );
    }

    #[test]
    fn opens_by_its_own_rule() {
        let rule = BreakerRule { in_a_row: 100, within_second: 2, probe: 50 * MS };
        let mut breaker = Breaker::new(rule);
        assert_eq!(breaker.failed(0, 500), Turn::Same, "L910");
        assert_eq!(breaker.failed(1_000 * MS, 500), Turn::Same, "L910 a second apart");
        assert_eq!(breaker.failed(1_999 * MS, 500), Turn::Opened, "L910 two within a second");
        assert!(!breaker.allow(2_048 * MS, 500));
        assert!(breaker.allow(2_049 * MS, 500));
        assert_eq!(breaker.succeeded(), Turn::Closed);
        assert_eq!(breaker.failed(2_050 * MS, 500), Turn::Same, "L910 the rule stays");
    }
}
