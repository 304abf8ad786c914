//! XT3.9: the number of logs and their forms in two bytes, then what a server says, in RESP.

use ::redis as client;

use client::Value;

use std::num::NonZeroU32;
use std::time::Duration;

use crate::fuzz::input::settings;
use crate::store::redis::script::read;
use crate::store::{Ask, AskItem, LogId, PolicyName, WindowKey};
use crate::window::Limit;

/// A reply is an answer exactly when a naive reading finds all of its numbers in their places; never an admission else.
pub(super) fn holds(bytes: &[u8]) {
    let Some((count, rest)) = settings(bytes) else { return };
    let Some((forms, rest)) = settings(rest) else { return };
    let Ok(reply) = client::parse_redis_value(rest) else { return };
    let policies: Vec<PolicyName> = (b'a'..b'i')
        .take(count % 8 + 1)
        .filter_map(|letter| PolicyName::new(&char::from(letter).to_string()).ok())
        .collect();
    let Some(limit) = NonZeroU32::new(COUNT)
        .and_then(|count| Limit::new(count, Duration::from_millis(WINDOW)).ok())
    else {
        return;
    };
    let id = LogId::of_app("app");
    let item = |(at, policy): (usize, _)| {
        let item = AskItem::new(WindowKey::new(policy, id, id), limit);
        if forms >> at & 1 == 1 { item.rounded() } else { item }
    };
    let items: Vec<AskItem<'_>> = policies.iter().enumerate().map(item).collect();
    let Ok(ask) = Ask::new(NonZeroU32::MIN, 0, &items) else { return };
    let got = read(&reply, &ask).map(|answer| answer.is_admitted());
    assert_eq!(got, naive(&reply, items.len(), forms), "{reply:?}");
}

const COUNT: u32 = 60;
const WINDOW: u64 = 1_000;
/// A rounded unit may come free this much later than the window: ⌈1,000 / 128⌉.
const QUANTUM: u64 = 8;

/// L326, read aloud: flag, time, and for each log flag, what is left, and milliseconds.
fn naive(reply: &Value, logs: usize, forms: usize) -> Option<bool> {
    let Value::Array(values) = reply else { return None };
    let mut numbers = Vec::new();
    for value in values {
        let Value::Int(number) = value else { return None };
        numbers.push(*number);
    }
    if numbers.len() != 2 + 3 * logs || !(0..1 << 32).contains(numbers.get(1)?) {
        return None;
    }
    let mut any_full = false;
    for at in 0..logs {
        let (full, left) = (*numbers.get(2 + 3 * at)?, *numbers.get(3 + 3 * at)?);
        let ms = u64::try_from(*numbers.get(4 + 3 * at)?).ok()?;
        let longest = if forms >> at & 1 == 1 { WINDOW + QUANTUM } else { WINDOW };
        let fits = match full {
            0 => (0..=i64::from(COUNT)).contains(&left) && ms <= longest,
            // the cost is 1, so a full log has nothing left
            1 => left == 0 && (1..=longest).contains(&ms),
            _ => false,
        };
        if !fits {
            return None;
        }
        any_full |= full == 1;
    }
    match (numbers.first()?, any_full) {
        (1, false) => Some(true),
        (0, true) => Some(false),
        _ => None,
    }
}
