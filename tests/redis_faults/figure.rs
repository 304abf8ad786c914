//! One figure of a row: what was measured, what it must be, and whether it is.

use std::fmt::Display;
use std::time::Duration;

pub(crate) struct Figure {
    pub(crate) text: String,
    pub(crate) verdict: Verdict,
}

/// Of a time it is told that it falls short; only what must never be fails a test on a machine that others use too.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Holds,
    Short,
    Failed,
}

impl Verdict {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Holds => "ok",
            Self::Short => "short",
            Self::Failed => "FAILED",
        }
    }
}

/// What must hold on any machine.
pub(crate) fn must(name: &str, got: impl Display, goal: &str, holds: bool) -> Figure {
    let verdict = if holds { Verdict::Holds } else { Verdict::Failed };
    Figure { text: format!("{name}={got} goal {goal}"), verdict }
}

pub(crate) fn exactly(name: &str, got: usize, want: usize) -> Figure {
    must(name, got, &format!("={want}"), got == want)
}

pub(crate) fn at_most(name: &str, got: usize, most: usize) -> Figure {
    must(name, got, &format!("<={most}"), got <= most)
}

/// What hangs on the machine: short of its goal it is told, ten times beyond it fails.
fn measured(name: &str, got: u128, goal: u128, unit: &str) -> Figure {
    let verdict = match got {
        _ if got <= goal => Verdict::Holds,
        _ if got <= goal * 10 => Verdict::Short,
        _ => Verdict::Failed,
    };
    Figure { text: format!("{name}={got}{unit} goal <={goal}{unit}"), verdict }
}

pub(crate) fn within_ms(name: &str, got: Duration, goal: u128) -> Figure {
    measured(name, got.as_micros().div_ceil(1_000), goal, "ms")
}

pub(crate) fn within_us(name: &str, got: Duration, goal: u128) -> Figure {
    measured(name, got.as_nanos().div_ceil(1_000), goal, "us")
}

/// A share in hundredths of a per cent.
pub(crate) fn share(name: &str, part: usize, whole: usize, goal_of_10_000: usize) -> Figure {
    let percent = |hundredths: f64| format!("{:.2}%", hundredths / 100.0);
    let got = part as f64 * 10_000.0 / whole.max(1) as f64;
    let verdict = match got {
        _ if got <= goal_of_10_000 as f64 => Verdict::Holds,
        _ if got <= goal_of_10_000 as f64 * 20.0 => Verdict::Short,
        _ => Verdict::Failed,
    };
    let goal = percent(goal_of_10_000 as f64);
    Figure { text: format!("{name}={} goal <={goal}", percent(got)), verdict }
}

/// The longest of 99 in 100.
pub(crate) fn p99(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() * 99 / 100).or_else(|| times.last()).copied().unwrap_or_default()
}
