//! How does the value of a header become a fact about the caller again?
//!
//! 1. The one reading of what [`forward`](crate::forward) writes: what it never writes is no value.
//! 2. Texts are percent-encoded UTF-8, in upper case and only where it must be; lists are texts joined with `,`.

/// An identifier as it was sent, 1 to 256 visible bytes.
pub(super) fn identifier(value: &[u8]) -> Option<String> {
    let sent = (1..=256).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic);
    str::from_utf8(value).ok().filter(|_| sent).map(str::to_owned)
}

/// A text, not empty.
pub(super) fn text(value: &[u8]) -> Option<String> {
    let mut out = Vec::with_capacity(value.len());
    let mut bytes = value.iter().copied();
    while let Some(byte) = bytes.next() {
        if is_plain(byte) {
            out.push(byte);
            continue;
        }
        let (high, low) = (digit(bytes.next()?)?, digit(bytes.next()?)?);
        let hidden = high << 4 | low;
        if byte != b'%' || is_plain(hidden) {
            return None;
        }
        out.push(hidden);
    }
    String::from_utf8(out).ok().filter(|text| !text.is_empty())
}

/// A list of texts, none of them empty.
pub(super) fn list(value: &[u8]) -> Option<Vec<String>> {
    value.split(|&byte| byte == b',').map(text).collect()
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_and_nothing_else() {
        for (name, value, want) in [
            ("FG1", "F%C3%A1bi%C3%A1n", Some("Fábián")),
            ("FG1", "100%25", Some("100%")),
            ("FG1", "alice%2Bx@co.com", Some("alice+x@co.com")),
            ("FG1", "Alice%20Smith", Some("Alice Smith")),
            ("F63 lower case", "Jos%c3%a9", None),
            ("F63 encoded for nothing", "%41", None),
            ("F63 raw", "Alice Smith", None),
            ("F63 half", "100%2", None),
            ("F63 no UTF-8", "%FF", None),
            ("F63 empty", "", None),
        ] {
            assert_eq!(text(value.as_bytes()).as_deref(), want, "{name}");
        }
        let both = || Some(vec!["eng,dev".to_owned(), "ops".to_owned()]);
        for (name, value, want) in [
            ("FG2", "eng%2Cdev,ops", both()),
            ("F64 empty item", "eng,", None),
            ("F64 empty", "", None),
        ] {
            assert_eq!(list(value.as_bytes()), want, "{name}");
        }
        for (name, value, want) in [
            ("F62", "acc-alice", Some("acc-alice")),
            ("F62 as it is", "a%2Fb", Some("a%2Fb")),
            ("F62 blank", "a b", None),
            ("F62 empty", "", None),
        ] {
            assert_eq!(identifier(value.as_bytes()).as_deref(), want, "{name}");
        }
    }
}
