//! Which scopes of ours does an upstream mean when it says that the caller lacks some of its own?
//!
//! 1. Reads the upstream's challenges (RFC 9110 §11.6.1): the first `Bearer` one that says `insufficient_scope` (RFC 6750 §3.1).
//! 2. A scope that is not mapped is not told: its name means nothing here.
//! 3. What cannot be read asks for nothing.

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

use super::error::ConfigError;
use crate::scope::Scope;

/// Scopes of one upstream, and ours in their place.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct ScopeMap(Vec<(Scope, Scope)>);

impl ScopeMap {
    const SETTING: &'static str = "map_scope";

    pub(super) fn new<'n>(
        pairs: impl IntoIterator<Item = (&'n str, &'n str)>,
    ) -> Result<Self, ConfigError> {
        let mut map = Self::default();
        for (theirs, ours) in pairs {
            let scope = |name: &str| {
                Scope::new(name).map_err(|_grammar| ConfigError::Value { setting: Self::SETTING })
            };
            let (theirs, ours) = (scope(theirs)?, scope(ours)?);
            if map.0.iter().any(|(known, _)| *known == theirs) {
                return Err(ConfigError::NameTaken { setting: Self::SETTING });
            }
            map.0.push((theirs, ours));
        }
        Ok(map)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Our names of what an answer asks for, joined by a space; `None` if it asks for nothing that has one.
    pub(super) fn asked(&self, answer: &HeaderMap) -> Option<String> {
        let lines = answer.get_all(WWW_AUTHENTICATE);
        let theirs = lines.iter().find_map(|line| missing_scopes(line.as_bytes()))?;
        let mut ours: Vec<&str> = Vec::new();
        for name in theirs.split(|&byte| byte == b' ') {
            let known = self.0.iter().find(|(known, _)| known.as_str().as_bytes() == name);
            if let Some(name) = known.map(|(_, ours)| ours.as_str())
                && !ours.contains(&name)
            {
                ours.push(name);
            }
        }
        (!ours.is_empty()).then(|| ours.join(" "))
    }
}

/// The `scope` of the first `Bearer` challenge whose `error` is `insufficient_scope`.
fn missing_scopes(line: &[u8]) -> Option<Vec<u8>> {
    let mut rest = line;
    let mut challenge = Challenge::default();
    loop {
        rest = trim_start(rest, b" \t,");
        let (word, after) = token(rest);
        if word.is_empty() {
            return challenge.missing(); // at the end, or at what nobody can read
        }
        let value = trim_start(after, b" \t");
        rest = match value.strip_prefix(b"=") {
            Some(value) => {
                let (value, after) = parameter_value(trim_start(value, b" \t"))?;
                challenge.take(word, value);
                after
            }
            None => {
                if let Some(scopes) = challenge.missing() {
                    return Some(scopes);
                }
                challenge = Challenge {
                    bearer: word.eq_ignore_ascii_case(b"bearer"),
                    ..Challenge::default()
                };
                after
            }
        };
    }
}

/// What one challenge says, as far as it matters here.
#[derive(Default)]
struct Challenge {
    bearer: bool,
    error: Option<Vec<u8>>,
    scope: Option<Vec<u8>>,
}

impl Challenge {
    fn take(&mut self, name: &[u8], value: Vec<u8>) {
        if name.eq_ignore_ascii_case(b"error") {
            self.error.get_or_insert(value);
        } else if name.eq_ignore_ascii_case(b"scope") {
            self.scope.get_or_insert(value);
        }
    }

    fn missing(&mut self) -> Option<Vec<u8>> {
        let lacks = self.error.as_deref() == Some(b"insufficient_scope".as_slice());
        self.scope.take().filter(|_| self.bearer && lacks)
    }
}

/// A token, or a quoted string without its quotes and escapes; `=` that pad a token68 are no value.
fn parameter_value(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let Some(mut rest) = text.strip_prefix(b"\"") else {
        let (value, rest) = token(trim_start(text, b"="));
        return Some((value.to_vec(), rest));
    };
    let mut value = Vec::new();
    loop {
        rest = match rest {
            [b'"', rest @ ..] => return Some((value, rest)),
            [b'\\', byte, rest @ ..] | [byte, rest @ ..] => {
                value.push(*byte);
                rest
            }
            [] => return None, // never closed
        };
    }
}

/// RFC 9110 §5.6.2.
fn token(text: &[u8]) -> (&[u8], &[u8]) {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~/".contains(byte);
    let end = text.iter().position(|byte| !is_token(byte)).unwrap_or(text.len());
    text.split_at(end)
}

fn trim_start<'t>(text: &'t [u8], drops: &[u8]) -> &'t [u8] {
    let start = text.iter().position(|byte| !drops.contains(byte)).unwrap_or(text.len());
    text.get(start..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn map() -> ScopeMap {
        ScopeMap::new([("a", "apps:read"), ("c", "apps:run"), ("d", "apps:read")]).unwrap()
    }

    #[test]
    fn what_an_upstream_asks_for() {
        for (name, lines, want) in [
            ("FL8", &[r#"Bearer error="insufficient_scope", scope="a b""#][..], Some("apps:read")),
            (
                "FL8 order",
                &[r#"Bearer scope="a b", error="insufficient_scope""#],
                Some("apps:read"),
            ),
            (
                "two",
                &[r#"bearer ERROR=insufficient_scope,scope="c a d""#],
                Some("apps:run apps:read"),
            ),
            ("token", &["Bearer error = insufficient_scope , scope = a"], Some("apps:read")),
            ("escaped", &[r#"Bearer error="insufficient\_scope", scope="\a""#], Some("apps:read")),
            ("unknown", &[r#"Bearer error="insufficient_scope", scope="b""#], None),
            ("none", &[r#"Bearer error="insufficient_scope""#], None),
            ("other error", &[r#"Bearer error="invalid_token", scope="a""#], None),
            ("other scheme", &[r#"DPoP error="insufficient_scope", scope="a""#], None),
            ("in a text", &[r#"Bearer realm="error=insufficient_scope, scope=a""#], None),
            (
                "the second",
                &[
                    r#"Basic YTpi==, Digest realm="x", scope="b", Bearer error="insufficient_scope", scope="a""#,
                ],
                Some("apps:read"),
            ),
            ("across challenges", &[r#"Bearer error="insufficient_scope", Basic scope="a""#], None),
            (
                "the second line",
                &["Negotiate", r#"Bearer error="insufficient_scope", scope="a""#],
                Some("apps:read"),
            ),
            ("first wins", &[r#"Bearer error="insufficient_scope", scope="b", scope="a""#], None),
            ("never closed", &[r#"Bearer error="insufficient_scope", scope="a"#], None),
            ("empty", &[""], None),
            ("nothing", &[], None),
        ] {
            let mut answer = HeaderMap::new();
            for line in lines {
                answer.append(WWW_AUTHENTICATE, HeaderValue::from_static(line));
            }
            assert_eq!(map().asked(&answer).as_deref(), want, "F202 {name}");
        }
    }

    #[test]
    fn maps_that_cannot_be() {
        let setting = ScopeMap::SETTING;
        for (name, pairs, want) in [
            ("blank inside", [("a b", "c"), ("d", "e")], ConfigError::Value { setting }),
            ("empty", [("a", ""), ("d", "e")], ConfigError::Value { setting }),
            ("twice", [("a", "b"), ("a", "c")], ConfigError::NameTaken { setting }),
        ] {
            assert_eq!(ScopeMap::new(pairs), Err(want), "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_to_its_end(line in "[\\x20-\\x7e\\t]{0,80}") {
            if let Some(scopes) = missing_scopes(line.as_bytes()) {
                prop_assert!(line.to_ascii_lowercase().contains("bearer"), "{:?}", scopes);
            }
        }
    }
}
