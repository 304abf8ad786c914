//! One scope, and a set of them as a token carries it.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

/// One scope: 1 to 128 bytes of 0x21, 0x23 to 0x5B or 0x5D to 0x7E (RFC 6749 §3.3).
///
/// It equals only itself, byte for byte. A clone costs one reference count.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Scope(Arc<str>);

impl Scope {
    /// Takes `name` as a scope, unchanged.
    ///
    /// # Errors
    /// [`ScopeError::BadScope`] if the name breaks the grammar.
    pub fn new(name: impl AsRef<str>) -> Result<Self, ScopeError> {
        let name = name.as_ref();
        Self::parse(name).ok_or_else(|| ScopeError::BadScope { name: excerpt(name) })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn parse(name: &str) -> Option<Self> {
        let allowed = |byte: &u8| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
        let good = (1..=MAX_LENGTH).contains(&name.len()) && name.as_bytes().iter().all(allowed);
        good.then(|| Self(Arc::from(name)))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// Why a scope, or a set that a route requires, cannot be.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ScopeError {
    /// The name breaks the grammar.
    #[error("scope {name:?} must be 1 to 128 bytes of 0x21, 0x23 to 0x5B or 0x5D to 0x7E")]
    BadScope {
        /// The first 128 bytes or fewer of the name.
        name: String,
    },
    /// A required set without a scope would let everybody through.
    #[error("a required set needs at least one scope")]
    Empty,
}

/// The scopes that a token carries: sorted by bytes, each once, possibly none.
///
/// A clone costs one reference count. `Display` joins the names by one space, which [`ScopeSet::parse`] reads back.
#[derive(Clone, Default, Eq, Hash, PartialEq)]
pub struct ScopeSet(Arc<[Scope]>);

impl ScopeSet {
    /// Splits `text` at spaces only; drops empty pieces and pieces of bad grammar, merges duplicates.
    pub fn parse(text: &str) -> Self {
        Self::from_names(text.split(' '))
    }

    /// Takes each name as one scope; drops names of bad grammar, merges duplicates.
    pub fn from_names<I>(names: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        names.into_iter().filter_map(|name| Scope::parse(name.as_ref())).collect()
    }

    /// Reads a `scope` member of a claim set or an introspection answer (RFC 7662 §2.2, RFC 9068 §2.2.3).
    ///
    /// A string is parsed, an array of strings is taken name by name. Anything else (`null`, another JSON type, an array
    /// that holds anything but strings) is the empty set, never "all".
    pub fn from_json(value: &Value) -> Self {
        match value {
            Value::String(text) => Self::parse(text),
            Value::Array(items) => {
                let names: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
                names.map(Self::from_names).unwrap_or_default()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Self::default(),
        }
    }

    /// Whether exactly this name is in the set; no allocation.
    pub fn contains(&self, name: &str) -> bool {
        if self.0.len() <= FEW {
            self.0.iter().any(|scope| scope.as_str() == name)
        } else {
            self.0.binary_search_by(|scope| scope.as_str().cmp(name)).is_ok()
        }
    }

    /// The scopes, sorted by bytes.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Scope> + Clone {
        self.0.iter()
    }

    /// How many scopes there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no scope at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The scopes of this set that `keep` keeps; the same allocation if those are all.
    pub(crate) fn filtered(&self, mut keep: impl FnMut(&Scope) -> bool) -> Self {
        let kept: Vec<Scope> = self.iter().filter(|scope| keep(scope)).cloned().collect();
        if kept.len() == self.len() { self.clone() } else { Self(Arc::from(kept)) }
    }
}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let mut scopes: Vec<Scope> = scopes.into_iter().collect();
        scopes.sort_unstable();
        scopes.dedup();
        if scopes.is_empty() { Self::default() } else { Self(Arc::from(scopes)) }
    }
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, scope) in self.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { " " })?;
            f.write_str(scope.as_str())?;
        }
        Ok(())
    }
}

impl fmt::Debug for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// As much of a bad name as an error should carry.
pub(super) fn excerpt(name: &str) -> String {
    let end = (0..=name.len().min(MAX_LENGTH)).rev().find(|at| name.is_char_boundary(*at));
    end.and_then(|end| name.get(..end)).unwrap_or_default().to_owned()
}

/// The longest scope, in bytes.
const MAX_LENGTH: usize = 128;

/// Up to here, looking at each is faster than a binary search: most differ in length.
const FEW: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn grammar() {
        for (name, text, want) in [
            ("P308 one byte", "a".to_owned(), true),
            ("P308 128 bytes", "a".repeat(128), true),
            ("P308 129 bytes", "a".repeat(129), false),
            ("P308 empty", String::new(), false),
            ("P308 space", "a b".to_owned(), false),
            ("P308 0x21", "!".to_owned(), true),
            ("P308 0x22", "\"".to_owned(), false),
            ("P308 0x23", "#".to_owned(), true),
            ("P308 0x5B", "[".to_owned(), true),
            ("P308 0x5C", "\\".to_owned(), false),
            ("P308 0x5D", "]".to_owned(), true),
            ("P308 0x7E", "~".to_owned(), true),
            ("P308 0x7F", "\u{7F}".to_owned(), false),
            ("P308 beyond ASCII", "é".to_owned(), false),
            ("P415 what looks like a pattern is a name", "apps:*".to_owned(), true),
        ] {
            assert_eq!(Scope::new(&text).is_ok(), want, "{name}");
            assert_eq!(ScopeSet::from_names([&text]).len(), usize::from(want), "{name}");
        }
    }

    #[test]
    fn a_bad_name_is_named_in_part() {
        let name = format!("{}é", "a".repeat(127));
        let want = ScopeError::BadScope { name: "a".repeat(127) };
        assert_eq!(Scope::new(name), Err(want));
        let want = r#"scope "a\n" must be 1 to 128 bytes of 0x21, 0x23 to 0x5B or 0x5D to 0x7E"#;
        assert_eq!(Scope::new("a\n").unwrap_err().to_string(), want);
    }

    #[test]
    fn parsing() {
        for (name, text, want) in [
            ("P411 sorted, merged", "b a b", &["a", "b"][..]),
            ("P411 sorted by bytes", "b a: a B", &["B", "a", "a:", "b"]),
            ("XE3 leading, double, trailing blanks", "  a  b ", &["a", "b"]),
            ("XE3 tab does not separate", "a\tb c", &["c"]),
            ("XE3 NBSP does not separate", "a\u{A0}b c", &["c"]),
            ("XE3 comma does not separate", "a,b c", &["a,b", "c"]),
            ("P412 bad pieces are dropped", "a \"b\" c\\ d", &["a", "d"]),
            ("P412 only blanks", "   ", &[]),
            ("P412 nothing", "", &[]),
        ] {
            let set = ScopeSet::parse(text);
            let got: Vec<&str> = set.iter().map(Scope::as_str).collect();
            assert_eq!(got, want, "{name}");
            assert_eq!(set.to_string(), want.join(" "), "{name}");
            assert_eq!(set.is_empty(), want.is_empty(), "{name}");
        }
    }

    #[test]
    fn json() {
        for (name, value, want) in [
            ("XE4 string", json!("b a"), "a b"),
            ("XE4 array of strings", json!(["b", "a", "b"]), "a b"),
            ("P411 an array's string is one scope", json!(["a b", "c"]), "c"),
            ("XE4 null", json!(null), ""),
            ("XE4 empty string", json!(""), ""),
            ("XE4 empty array", json!([]), ""),
            ("XE4 number", json!(7), ""),
            ("XE4 object", json!({"a": "a"}), ""),
            ("XE4 bool", json!(true), ""),
            ("XR12 array with another type inside", json!(["a", 7]), ""),
        ] {
            assert_eq!(ScopeSet::from_json(&value).to_string(), want, "{name}");
        }
    }

    #[test]
    fn contains_exactly() {
        let few = ScopeSet::parse("apps:read apps:run");
        let many = ScopeSet::from_names((0..20).map(|at| format!("s{at:02}")));
        for (name, set, text, want) in [
            ("XE2 itself", &few, "apps:read", true),
            ("XE2 longer", &few, "apps:read2", false),
            ("XE2 below", &few, "apps:read:x", false),
            ("XE2 shorter", &few, "apps", false),
            ("XE2 behind", &few, "xapps:read", false),
            ("XE5 case", &few, "Apps:Read", false),
            ("XE1 readwrite", &few, "apps:readwrite", false),
            ("P415 pattern", &few, "apps:*", false),
            ("nothing", &few, "", false),
            ("first of many", &many, "s00", true),
            ("last of many", &many, "s19", true),
            ("none of many", &many, "s20", false),
            ("none in the middle of many", &many, "s1", false),
        ] {
            assert_eq!(set.contains(text), want, "{name}");
        }
    }

    #[test]
    fn a_filter_that_keeps_all_shares() {
        let set = ScopeSet::parse("a b");
        assert!(Arc::ptr_eq(&set.0, &set.filtered(|_| true).0));
        assert_eq!(set.filtered(|scope| scope.as_str() == "b").to_string(), "b");
    }

    proptest! {
        /// XT3.5: parse of display is the same set; contains agrees with a naive split.
        #[test]
        fn xt3_5_parse_display_contains(
            text in r#"([a-c:*]|[ -~]|[\t\u{A0}é]| ){0,40}"#,
            asked in "[a-c:*]{1,2}",
        ) {
            let set = ScopeSet::parse(&text);
            prop_assert_eq!(&ScopeSet::parse(&set.to_string()), &set);
            prop_assert_eq!(set.contains(&asked), text.split(' ').any(|piece| piece == asked));
            for scope in set.iter() {
                prop_assert!(text.split(' ').any(|piece| piece == scope.as_str()));
            }
        }
    }
}
