//! What a person calls a token, so that one can be told from another in a list.

use std::fmt;
use std::sync::Arc;

/// The name of a token for people: 1 to 64 characters, nothing that hides or turns around what is shown.
///
/// Compared byte for byte. A clone costs one reference count.
///
/// ```
/// # use tower_bearer::token::TokenLabel;
/// assert_eq!(TokenLabel::new("  my   laptop ")?.as_str(), "my laptop");
/// # Ok::<_, tower_bearer::token::LabelError>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TokenLabel(Arc<str>);

impl TokenLabel {
    /// Takes `text` without the white space at its ends and with one space for each run of it inside.
    ///
    /// # Errors
    /// [`LabelError::Forbidden`] for a control, bidirectional control or zero-width character anywhere (TAB and line
    /// breaks are control characters); [`LabelError::Empty`] and [`LabelError::TooLong`] for what is left.
    pub fn new(text: impl AsRef<str>) -> Result<Self, LabelError> {
        let text = text.as_ref();
        if text.contains(is_forbidden) {
            return Err(LabelError::Forbidden);
        }
        let mut label = String::with_capacity(text.len().min(4 * MAX_CHARACTERS));
        let mut characters = 0;
        for (at, word) in text.split_whitespace().enumerate() {
            let space = if at == 0 { "" } else { " " };
            characters += space.len() + word.chars().count();
            if characters > MAX_CHARACTERS {
                return Err(LabelError::TooLong);
            }
            label.push_str(space);
            label.push_str(word);
        }
        if label.is_empty() { Err(LabelError::Empty) } else { Ok(Self(Arc::from(label))) }
    }

    /// The label.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TokenLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no label.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// Nothing but white space.
    #[error("a label needs at least one character")]
    Empty,
    /// More than 64 characters after white space was put in order.
    #[error("a label has at most 64 characters")]
    TooLong,
    /// A character that hides or turns around what is shown.
    #[error("a label has no control, bidirectional control or zero-width character")]
    Forbidden,
}

fn is_forbidden(c: char) -> bool {
    let bidirectional = matches!(
        c,
        '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}'
    );
    let zero_width = matches!(c, '\u{200B}'..='\u{200D}' | '\u{2060}' | '\u{FEFF}');
    c.is_control() || bidirectional || zero_width
}

const MAX_CHARACTERS: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn labels() {
        let long = |characters: usize| "ä".repeat(characters);
        for (name, text, want) in [
            ("D11 white space", "  my   laptop ".to_owned(), Ok("my laptop".to_owned())),
            (
                "DM9 other white space",
                "\u{A0}my\u{2003}\u{3000}laptop\u{2028}".to_owned(),
                Ok("my laptop".to_owned()),
            ),
            ("DM9 64 characters", long(64), Ok(long(64))),
            ("D11 65 characters", long(65), Err(LabelError::TooLong)),
            ("DM9 64 after white space", format!("  {}  ", long(64)), Ok(long(64))),
            (
                "DM9 65 with the space",
                format!("{}  {}", long(32), long(32)),
                Err(LabelError::TooLong),
            ),
            ("DM9 nothing", String::new(), Err(LabelError::Empty)),
            ("DM9 blank", " \u{A0} ".to_owned(), Err(LabelError::Empty)),
            ("DM9 case stays", "Laptop".to_owned(), Ok("Laptop".to_owned())),
            (
                "DM9 refused before it is cut",
                format!("{}\u{202E}", long(70)),
                Err(LabelError::Forbidden),
            ),
        ] {
            assert_eq!(TokenLabel::new(text).map(|label| label.to_string()), want, "{name}");
        }
    }

    #[test]
    fn forbidden_characters() {
        let ranges = [
            0x00..=0x1F,
            0x7F..=0x9F,
            0x61C..=0x61C,
            0x200B..=0x200F,
            0x202A..=0x202E,
            0x2060..=0x2060,
        ];
        let more = [0x2066..=0x2069, 0xFEFF..=0xFEFF];
        let forbidden = |code| ranges.iter().chain(&more).any(|range| range.contains(&code));
        for code in 0..=0x1_0000 {
            let Some(c) = char::from_u32(code) else { continue };
            for text in [format!("a{c}b"), format!("ab{c}")] {
                let got = TokenLabel::new(text) == Err(LabelError::Forbidden);
                assert_eq!(got, forbidden(code), "DM9 U+{code:04X}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_label_is_its_own_label(text in ".{0,80}") {
            if let Ok(label) = TokenLabel::new(text) {
                prop_assert_eq!(TokenLabel::new(label.as_str()), Ok(label.clone()));
                prop_assert!((1..=64).contains(&label.as_str().chars().count()));
            }
        }
    }
}
