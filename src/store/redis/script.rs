//! The one script: how a question is put to it, and which replies are believed.
//!
//! 1. The text is a constant; data reach it as keys and arguments alone.
//! 2. A reply counts only if it can be the answer to this question. Anything else is a failure, never an admission.

use ::redis as client;

use std::sync::LazyLock;

use client::{Cmd, Script, Value};

use crate::store::redis::key::Tags;
use crate::store::window::{Answer, Ask, Standing};

const TEXT: &str = include_str!("window.lua");

/// A text of the script, and its name on the server.
pub(super) struct Decision {
    text: String,
    sha: String,
}

/// The script as it is.
pub(super) static DECISION: LazyLock<Decision> = LazyLock::new(|| Decision::new(TEXT));

impl Decision {
    fn new(text: &str) -> Self {
        Self { text: text.to_owned(), sha: Script::new(text).get_hash().to_owned() }
    }

    /// The same script with a clock that stands at `ms`, for tests.
    #[cfg(test)]
    pub(super) fn at(ms: u64) -> Self {
        let (seconds, micros) = (ms / 1_000, ms % 1_000 * 1_000);
        let text = TEXT.replace("call('TIME')", &format!("{{ '{seconds}', '{micros}' }}"));
        assert!(text != TEXT, "the call is in the text");
        Self::new(&text)
    }

    /// Teaches it to a server.
    pub(super) fn load(&self) -> Cmd {
        let mut command = client::cmd("SCRIPT");
        command.arg("LOAD").arg(&self.text);
        command
    }

    /// Puts the question.
    pub(super) fn ask(&self, namespace: &str, tags: Tags, ask: &Ask<'_>) -> Cmd {
        let mut command = self.call(ask.items().len());
        for item in ask.items() {
            command.arg(tags.key(namespace, item));
        }
        command.arg(ask.cost().get());
        for item in ask.items() {
            let limit = item.limit();
            let quantum = if item.is_rounded() { limit.quantum_ms() } else { 0 };
            command.arg(limit.count().get()).arg(limit.window_ms()).arg(quantum);
        }
        command
    }

    /// Charges a log that is nobody's: 1 of 512 in 100 ms.
    pub(super) fn probe(&self, key: &str) -> Cmd {
        let mut command = self.call(1);
        command.arg(key).arg(1).arg(512).arg(100).arg(0);
        command
    }

    fn call(&self, keys: usize) -> Cmd {
        let mut command = client::cmd("EVALSHA");
        command.arg(&self.sha).arg(keys);
        command
    }
}

/// Reads a reply; `None` if it cannot be one to this question.
pub(crate) fn read(reply: &Value, ask: &Ask<'_>) -> Option<Answer> {
    let Value::Array(values) = reply else { return None };
    let [Value::Int(admitted @ (0 | 1)), Value::Int(now), logs @ ..] = values.as_slice() else {
        return None;
    };
    if u32::try_from(*now).is_err() || logs.len() != ask.items().len() * 3 {
        return None;
    }
    let standings: Option<Vec<Standing>> = logs.chunks_exact(3).map(standing).collect();
    let answer = Answer::new(standings?);
    let agrees = answer.is_admitted() == (*admitted == 1);
    (agrees && answer.fits(ask)).then_some(answer)
}

/// Does it look like an answer to a probe?
pub(super) fn is_decision(reply: &Value) -> bool {
    matches!(reply, Value::Array(values) if values.len() == 5
        && values.iter().all(|value| matches!(value, Value::Int(_))))
}

fn standing(log: &[Value]) -> Option<Standing> {
    let [Value::Int(full), Value::Int(remaining), Value::Int(ms)] = log else { return None };
    let (remaining, ms) = (u32::try_from(*remaining).ok()?, u32::try_from(*ms).ok()?);
    match full {
        0 => Some(Standing::Room { remaining, reset_ms: ms }),
        1 => Some(Standing::Full { remaining, retry_after_ms: ms }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::window::AskItem;
    use crate::store::window_key::{LogId, PolicyName, WindowKey};
    use crate::window::vectors::{cost, limit};

    #[test]
    fn replies() {
        let policy = PolicyName::new("token").unwrap();
        let id = LogId::of_app("a");
        let items = [AskItem::new(WindowKey::new(&policy, id, id), limit(3, 10_000))];
        let ask = Ask::new(cost(1), 0, &items).unwrap();
        let ints = |values: &[i64]| Value::Array(values.iter().copied().map(Value::Int).collect());
        let text = Value::BulkString(b"OK".to_vec());
        for (name, reply, want) in [
            ("L345 admitted", ints(&[1, 3_487_918_080, 0, 2, 10_000]), Some(true)),
            ("L347 denied", ints(&[0, 3_487_918_081, 1, 0, 9_999]), Some(false)),
            ("L652 one number", ints(&[1]), None),
            ("L652 a negative number", ints(&[1, 5, 0, -1, 3]), None),
            ("L652 text", text.clone(), None),
            ("L652 nothing", Value::Nil, None),
            ("L326 nothing in it", ints(&[]), None),
            ("L326 no flag", ints(&[2, 5, 0, 2, 3]), None),
            ("L326 no flag of a log", ints(&[1, 5, 2, 2, 3]), None),
            ("L326 one log more", ints(&[1, 5, 0, 2, 3, 0, 2, 3]), None),
            ("L326 more left than there is", ints(&[1, 5, 0, 4, 3]), None),
            ("L326 a reset beyond the window", ints(&[1, 5, 0, 2, 10_001]), None),
            ("L326 denied by nobody", ints(&[0, 5, 0, 2, 3]), None),
            ("L326 denied without a wait", ints(&[0, 5, 1, 0, 0]), None),
            ("L326 admitted by a full log", ints(&[1, 5, 1, 0, 7]), None),
            ("L326 a number that is none of 32 bits", ints(&[1, 1 << 32, 0, 2, 3]), None),
            (
                "L326 text among numbers",
                Value::Array(vec![
                    Value::Int(1),
                    text,
                    Value::Int(0),
                    Value::Int(2),
                    Value::Int(3),
                ]),
                None,
            ),
        ] {
            assert_eq!(read(&reply, &ask).map(|answer| answer.is_admitted()), want, "{name}");
        }
    }
}
