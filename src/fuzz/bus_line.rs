//! What a bus may carry: lines of `<n> <json>`, one message each.

use crate::fuzz::input::lines;
use crate::store::{Heard, Notice, Sequence};

/// A message is a notice only if its number follows and its words are those of a notice; else a gap, whatever it is.
pub(super) fn holds(bytes: &[u8]) {
    let mut sequence = Sequence::after(7);
    let mut last = 7_u64;
    for line in lines(bytes, 20) {
        let text = String::from_utf8_lossy(line);
        let number = text.split(' ').next().and_then(|digits| {
            let plain =
                digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
            digits.parse::<u64>().ok().filter(|_| plain)
        });
        let number = number.filter(|_| text.contains(' '));
        let json = text.split_once(' ').map(|(_, json)| json);
        let follows = number.is_some() && number == last.checked_add(1);
        match sequence.hear(&text, None) {
            Heard::Notice { notice, age: None } => {
                assert!(follows, "{text}");
                let object: serde_json::Value =
                    serde_json::from_str(json.unwrap_or_default()).unwrap_or_default();
                assert_eq!(object.get("v"), Some(&1.into()), "{text}");
                assert_eq!(Notice::parse(&notice.to_json()).as_ref(), Ok(&notice), "{text}");
            }
            Heard::Gap => {
                let readable = json.is_some_and(|json| Notice::parse(json).is_ok());
                assert!(!follows || !readable, "{text}");
            }
            other @ (Heard::Joined | Heard::Notice { .. }) => {
                assert_eq!(other, Heard::Gap, "{text}")
            }
        }
        last = number.unwrap_or(last);
    }
}
