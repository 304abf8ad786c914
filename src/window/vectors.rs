//! The tables of `spec/limits.md` §2.4 in their own notation, for the core and for the stores over it.
//!
//! `t A r` = at t admitted, remaining r (`A r/s`: reset s); `t D d` = denied, wait d (`D d r`: remaining r);
//! `N` = never; `c4` = cost 4, else 1.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::window::{Limit, Verdict};

pub(crate) struct Call {
    pub(crate) limit: Limit,
    pub(crate) now: u64,
    pub(crate) cost: NonZeroU32,
    want: Want,
}

impl Call {
    /// Fails the test unless `got` is what the table says.
    pub(crate) fn check(&self, row: &str, got: Verdict) {
        let seen = match (got, self.want) {
            (Verdict::Admit { remaining, reset_ms }, Want::Admit(_, reset)) => {
                Want::Admit(remaining, reset.map(|_| reset_ms))
            }
            (Verdict::Deny { remaining, retry_after_ms }, Want::Deny(_, left)) => {
                Want::Deny(retry_after_ms, left.map(|_| remaining))
            }
            (Verdict::Never, _) => Want::Never,
            (Verdict::Admit { remaining, reset_ms }, _) => Want::Admit(remaining, Some(reset_ms)),
            (Verdict::Deny { remaining, retry_after_ms }, _) => {
                Want::Deny(retry_after_ms, Some(remaining))
            }
        };
        assert_eq!(seen, self.want, "{row} at {} cost {}", self.now, self.cost);
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Want {
    Admit(u32, Option<u32>),
    Deny(u32, Option<u32>),
    Never,
}

pub(crate) fn limit(count: u32, window_ms: u64) -> Limit {
    Limit::new(NonZeroU32::new(count).unwrap(), Duration::from_millis(window_ms)).unwrap()
}

pub(crate) fn cost(units: u32) -> NonZeroU32 {
    NonZeroU32::new(units).unwrap()
}

/// Rows in which time only goes on.
pub(crate) fn forward() -> Vec<(&'static str, Vec<Call>)> {
    let minute = |text: &str| part(60, 60_000, text);
    vec![
        (
            "L231",
            part(
                3,
                10_000,
                "0 A 2/10000 · 0 A 1/10000 · 1 A 0/9999 · 1 D 9999 · 9999 D 1 · 10000 A 1/1 · 10000 A 0/1 · 10000 D 1 · 10001 A 0/9999 · 10001 D 9999",
            ),
        ),
        (
            "L232",
            part(
                1,
                1_000,
                "0 A 0 · 1 D 999 · 500 D 500 · 999 D 1 · 1000 A 0 · 1999 D 1 · 2000 A 0",
            ),
        ),
        (
            "L233",
            [burst(0), minute("0 D 60000 0 · 59999 D 1"), burst(60_000), minute("60000 D 60000")]
                .into_iter()
                .flatten()
                .collect(),
        ),
        (
            "L234",
            (0..60)
                .flat_map(|i| minute(&format!("{} A {}", 59_940 + i, 59 - i)))
                .chain(minute("60000 D 59940 · 119939 D 1 · 119940 A 0/1 · 119940 D 1"))
                .collect(),
        ),
        (
            "L235",
            burst(0).into_iter().chain(burst(61_000)).chain(minute("61000 D 60000")).collect(),
        ),
        (
            "L236",
            (0..120)
                .flat_map(|i: u32| minute(&format!("{} A {}", i * 1_000, 59_u32.saturating_sub(i))))
                .chain((0..120).flat_map(|i: u32| {
                    let want = if i.is_multiple_of(2) { "A 0" } else { "D 500" };
                    minute(&format!("{} {want}", 120_000 + i * 500))
                }))
                .collect(),
        ),
        (
            "L237",
            part(
                10,
                10_000,
                "0 c4 A 6 · 1000 c4 A 2 · 2000 c3 D 8000 2 · 2000 c2 A 0 · 2000 D 8000 · 2000 c5 D 9000 · 2000 c11 N · 9999 D 1 · 10000 c4 A 0 · 10000 D 1000",
            ),
        ),
        (
            "L238",
            [
                part(5, 10_000, "0 A 4 · 0 A 3 · 1 A 2 · 2 A 1 · 3 A 0"),
                part(3, 10_000, "10 D 9991 0"),
                part(6, 10_000, "10 A 0 · 10 D 9990"),
                part(3, 10_000, "10003 A 1/7"),
            ]
            .into_iter()
            .flatten()
            .collect(),
        ),
        (
            "L239",
            [
                part(3, 10_000, "0 A 2 · 4000 A 1 · 8000 A 0"),
                part(3, 5_000, "9000 A 1/4000"),
                part(3, 10_000, "9000 A 0/9000 · 9000 D 9000"),
            ]
            .into_iter()
            .flatten()
            .collect(),
        ),
        (
            "L243",
            part(
                2,
                10_000,
                "4294967291 A 1 · 4294967299 A 0/9992 · 4294967300 D 9991 · 4294977290 D 1 · 4294977291 A 0/8",
            ),
        ),
    ]
}

/// Rows in which the clock goes back.
pub(crate) fn backward() -> Vec<(&'static str, Vec<Call>)> {
    vec![
        (
            "L241",
            part(2, 10_000, "5000 A 1 · 4000 A 0/10000 · 4500 D 9500 · 13999 D 1 · 14000 A 1"),
        ),
        (
            "L242",
            part(
                2,
                10_000,
                "7200000 A 1 · 7200000 A 0 · 3600000 D 10000 · 3609999 D 1 · 3610000 A 1",
            ),
        ),
    ]
}

/// Rows of the rounded form in which time only goes on.
pub(crate) fn rounded() -> Vec<(&'static str, Vec<Call>)> {
    vec![(
        "L245",
        part(
            1_000,
            60_000,
            "1 c600 A 400/60468 · 469 c300 A 100/60000 · 470 c100 A 0/59999 · 470 D 59999 · 60468 D 1 · 60469 A 899/469 · 60469 c900 D 469 899 · 60937 A 898/1 · 60938 A 997/59563",
        ),
    )]
}

/// Rows of the rounded form in which the clock goes back.
pub(crate) fn rounded_backward() -> Vec<(&'static str, Vec<Call>)> {
    vec![(
        "L246",
        part(
            600,
            60_000,
            "100000 c600 A 0/60366 · 90000 D 60048 · 150000 D 48 · 150047 D 1 · 150048 A 599/60032",
        ),
    )]
}

/// 60 calls at once, all admitted.
fn burst(now: u64) -> Vec<Call> {
    (0..60).rev().flat_map(|left| part(60, 60_000, &format!("{now} A {left}"))).collect()
}

fn part(count: u32, window_ms: u64, text: &str) -> Vec<Call> {
    text.split(" · ")
        .map(|call| {
            let mut words = call.split(' ').peekable();
            let now = words.next().unwrap().parse().unwrap();
            let units = words.next_if(|word| word.starts_with('c')).map_or("1", |word| &word[1..]);
            let verdict = words.next().unwrap();
            let mut number = || words.next().map(str::to_owned);
            let want = match verdict {
                "A" => {
                    let value = number().unwrap();
                    let (left, reset) = match value.split_once('/') {
                        Some((left, reset)) => (left, Some(reset.parse().unwrap())),
                        None => (value.as_str(), None),
                    };
                    Want::Admit(left.parse().unwrap(), reset)
                }
                "D" => Want::Deny(
                    number().unwrap().parse().unwrap(),
                    number().map(|left| left.parse().unwrap()),
                ),
                "N" => Want::Never,
                other => panic!("{other} in {call}"),
            };
            Call { limit: limit(count, window_ms), now, cost: cost(units.parse().unwrap()), want }
        })
        .collect()
}
