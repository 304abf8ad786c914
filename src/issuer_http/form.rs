//! How is a form written?
//!
//! 1. As `application/x-www-form-urlencoded` of the URL standard, which RFC 6749 appendix B asks for: letters, digits and
//!    `*-._` stand for themselves, a blank is `+`, every other byte of UTF-8 is `%XX`.
//! 2. A field without a value is left out.

use zeroize::Zeroizing;

/// A form, overwritten when it goes: it holds tokens.
pub(super) struct Form(Zeroizing<String>);

impl Form {
    pub(super) fn new() -> Self {
        Self(Zeroizing::new(String::with_capacity(1_024)))
    }

    pub(super) fn add(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        if !self.0.is_empty() {
            self.0.push('&');
        }
        encode(name, &mut self.0);
        self.0.push('=');
        encode(value, &mut self.0);
    }

    pub(super) fn add_all(&mut self, name: &str, values: &[String]) {
        values.iter().for_each(|value| self.add(name, value));
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0.as_bytes().to_vec()
    }
}

/// Writes `text` as a name or value of a form.
pub(super) fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => {
                into.push(char::from(byte));
            }
            b' ' => into.push('+'),
            _ => {
                into.push('%');
                into.extend([byte >> 4, byte & 15].map(digit));
            }
        }
    }
}

fn digit(half: u8) -> char {
    char::from_digit(half.into(), 16).unwrap_or('0').to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded() {
        for (name, text, want) in [
            ("FJ2", "gw client", "gw+client"),
            ("FJ2", "p@ss:word", "p%40ss%3Aword"),
            ("plain", "aZ09*-._", "aZ09*-._"),
            ("reserved", "~+&=%/?#", "%7E%2B%26%3D%25%2F%3F%23"),
            ("UTF-8", "é\u{0}", "%C3%A9%00"),
        ] {
            let mut got = String::new();
            encode(text, &mut got);
            assert_eq!(got, want, "{name}");
        }
        let mut form = Form::new();
        form.add("a", "");
        form.add("b c", "d");
        form.add_all("e", &["1".into(), String::new(), "2".into()]);
        assert_eq!(form.into_bytes(), b"b+c=d&e=1&e=2", "F126 empty ones are left out");
    }
}
