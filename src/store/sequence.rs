//! Was a notice missed?
//!
//! 1. On a bus whose counter and message are drawn together each message is `<n> <json>`, one after the other.
//! 2. A number that is not the next one, a smaller one, and a text that cannot be read are a gap: whoever listens drops all.
//! 3. Pure: moves no bytes and reads no clock, so that an adapter is left with the transport alone.

use std::time::Duration;

use crate::store::{Heard, Notice};

/// Holds the numbers of one stay on a bus against each other.
///
/// ```
/// use tower_bearer::store::{Heard, Notice, Sequence};
///
/// let mut sequence = Sequence::after(7); // the counter as it was read after joining
/// let heard = sequence.hear(r#"8 {"v":1,"t":"all"}"#, None);
/// assert_eq!(heard, Heard::Notice { notice: Notice::All, age: None });
/// assert_eq!(sequence.hear(r#"10 {"v":1,"t":"all"}"#, None), Heard::Gap);
/// assert_eq!(Sequence::line(11, &Notice::All), r#"11 {"v":1,"t":"all"}"#);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sequence {
    last: u64,
}

impl Sequence {
    /// Begins a stay: `counter` is what the bus's counter said once messages were being received, 0 if there was none yet.
    ///
    /// A message that came in between reads as a smaller number, so as a gap: dropping once more right after joining is cheap.
    pub fn after(counter: u64) -> Self {
        Self { last: counter }
    }

    /// Takes one message as it came; `age` is how long ago it was published, if the adapter knows.
    ///
    /// Never panics, whatever the text. After a gap it goes on from the number that it saw.
    #[must_use]
    pub fn hear(&mut self, text: &str, age: Option<Duration>) -> Heard {
        let Some((number, json)) = split(text) else { return Heard::Gap };
        let is_next = self.last.checked_add(1) == Some(number);
        self.last = number;
        match Notice::parse(json) {
            Ok(notice) if is_next => Heard::Notice { notice, age },
            Ok(_) | Err(_) => Heard::Gap,
        }
    }

    /// Holds the counter, as it was just read, against what was heard: `true` if a message is missing.
    ///
    /// For an adapter that reads the counter now and then behind the messages, on the same connection.
    #[must_use]
    pub fn is_behind(&mut self, counter: u64) -> bool {
        let behind = self.last != counter;
        self.last = counter;
        behind
    }

    /// Writes a message, for an adapter that draws its number itself.
    pub fn line(number: u64, notice: &Notice) -> String {
        format!("{number} {}", notice.to_json())
    }
}

/// The number, 1 to 20 digits without sign or leading zero, and what follows the one space after it.
fn split(text: &str) -> Option<(u64, &str)> {
    let (number, json) = text.split_once(' ')?;
    let digits = number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0');
    Some((number.parse().ok().filter(|_| digits)?, json))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_counter_tells_of_a_lost_last_message() {
        let mut sequence = Sequence::after(7);
        assert!(!sequence.is_behind(7), "nothing was told");
        assert!(sequence.is_behind(9), "two were told, none was heard");
        assert!(!sequence.is_behind(9), "and that was said once");
        assert!(sequence.is_behind(2), "the counter began anew");
    }

    const ALL: &str = r#"{"v":1,"t":"all"}"#;

    #[test]
    fn numbers() {
        for (name, counter, numbers, want) in [
            ("DK14 one after the other", 7, &["8", "9", "10"][..], "..."),
            ("DK16 a gap", 7, &["8", "10", "11"], ".!."),
            ("DK16 the first is missing", 7, &["9", "10"], "!."),
            ("DK16 a smaller number", 7, &["8", "9", "9", "10"], "..!."),
            ("DK16 the counter began anew", 7, &["8", "1", "2", "3"], ".!.."),
            ("DK16 on its way when the counter was read", 7, &["7", "8"], "!."),
            ("DK14 the very first", 0, &["1", "2"], ".."),
            ("DK16 the last number there is", u64::MAX, &["1", "2"], "!."),
            ("DK16 no number", 7, &["x", "8"], "!."),
            ("DK16 a sign", 7, &["+8", "8"], "!."),
            ("DK16 a leading zero", 7, &["08", "8"], "!."),
            ("DK16 beyond 64 bits", 7, &["18446744073709551616"], "!"),
            ("DK16 nothing", 7, &[""], "!"),
        ] {
            let mut sequence = Sequence::after(counter);
            let heard = numbers.iter().map(|number| {
                let heard = sequence.hear(&format!("{number} {ALL}"), None);
                if heard == (Heard::Notice { notice: Notice::All, age: None }) { '.' } else { '!' }
            });
            assert_eq!(heard.collect::<String>(), want, "{name}");
        }
    }

    #[test]
    fn unreadable_notices_are_gaps_and_numbers_go_on() {
        let mut sequence = Sequence::after(7);
        for (name, text, want) in [
            ("D41 another version", r#"8 {"v":2,"t":"token","d":"…"}"#, false),
            ("DK16 then the next", r#"9 {"v":1,"t":"all"}"#, true),
            ("D41 nonsense", "10 nonsense", false),
            ("DK16 no space", "11", false),
            ("DK16 two spaces", r#"11  {"v":1,"t":"all"}"#, true),
        ] {
            let heard = sequence.hear(text, None);
            assert_eq!(matches!(heard, Heard::Notice { .. }), want, "{name} {heard:?}");
        }
        let line = Sequence::line(12, &Notice::All);
        let age = Some(Duration::from_millis(3));
        assert_eq!(sequence.hear(&line, age), Heard::Notice { notice: Notice::All, age });
    }

    proptest! {
        /// Any texts: never a panic, and a notice is given out exactly when it is readable.
        #[test]
        fn any_text(counter: u64, texts in proptest::collection::vec("([0-9]{1,21})?.?.{0,40}", 0..8)) {
            let mut sequence = Sequence::after(counter);
            for text in texts {
                let heard = sequence.hear(&text, None);
                let readable = text.split_once(' ').is_some_and(|(_, json)| Notice::parse(json).is_ok());
                prop_assert!(readable || heard == Heard::Gap);
            }
        }
    }
}
