//! XT3.11: four lines, the realm, the error, its description and the scopes; a line that is missing is a missing parameter.

use crate::fuzz::input::{lines, text};
use crate::rejection::challenge::Challenge;

/// A strict reader (RFC 9110 §11.6.1) reads back what went in, with `?` for what RFC 6750 §3 does not allow.
pub(super) fn holds(bytes: &[u8]) {
    let lines = lines(bytes, 5);
    let [realm, error, description, scope, metadata] =
        [0, 1, 2, 3, 4].map(|at| text(&lines, at).filter(|text| at == 0 || !text.is_empty()));
    let realm = realm.unwrap_or_default();
    let challenge = Challenge {
        realm: &realm,
        error: error.as_deref(),
        description: description.as_deref(),
        scope: scope.as_deref(),
        resource_metadata: metadata.as_deref(),
    };
    let value = challenge.to_value();
    let parameters = [
        ("error", error),
        ("error_description", description),
        ("scope", scope),
        ("resource_metadata", metadata),
    ];
    let printable = |byte: u8| if (0x20..=0x7E).contains(&byte) { char::from(byte) } else { '?' };
    let realm: String = realm.bytes().map(printable).collect();
    let plain = |c: char| if matches!(c, ' '..='~') && c != '"' && c != '\\' { c } else { '?' };
    let present = parameters.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?)));
    let mut want = vec![("realm".to_owned(), realm)];
    want.extend(present.map(|(name, text)| (name, text.chars().map(plain).collect())));
    assert_eq!(strict(value.as_bytes()), Some(want), "{value:?}");
}

/// One challenge of the scheme `Bearer`, each parameter a quoted-string, each name once, nothing before or behind.
fn strict(value: &[u8]) -> Option<Vec<(String, String)>> {
    let text = str::from_utf8(value).ok()?;
    let mut letters = text.strip_prefix("Bearer ")?.chars().peekable();
    let mut parameters: Vec<(String, String)> = Vec::new();
    loop {
        let mut name = String::new();
        while let Some(letter) =
            letters.next_if(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(*c))
        {
            name.push(letter);
        }
        let known = parameters.iter().any(|(known, _)| known.eq_ignore_ascii_case(&name));
        if name.is_empty() || known || letters.next() != Some('=') || letters.next() != Some('"') {
            return None;
        }
        let mut text = String::new();
        loop {
            match letters.next()? {
                '"' => break,
                '\\' => text.push(letters.next().filter(|c| matches!(c, '\t' | ' '..='~'))?),
                letter @ ('\t' | ' '..='~') => text.push(letter),
                _ => return None,
            }
        }
        parameters.push((name, text));
        match letters.next() {
            None => return Some(parameters),
            Some(',') => while letters.next_if(|c| matches!(c, ' ' | '\t')).is_some() {},
            Some(_) => return None,
        }
    }
}
