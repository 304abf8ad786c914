//! What a token may do, after its kind had its say.

use crate::scope::{RequiredScopes, Scope, ScopeSet};

/// What a token may do: the scopes that its kind left of its record, and all that these lead to.
///
/// A clone costs two reference counts.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Rights {
    granted: ScopeSet,
    effective: ScopeSet,
    umbrella: bool,
}

impl Rights {
    /// `granted` with all that it leads to, and whether it holds the kind's umbrella.
    pub(crate) fn new(granted: ScopeSet, effective: ScopeSet, umbrella: bool) -> Self {
        Self { granted, effective, umbrella }
    }

    /// The scopes that the kind left of the record's.
    pub fn granted(&self) -> &ScopeSet {
        &self.granted
    }

    /// The granted scopes and all that declared implications add.
    pub fn effective(&self) -> &ScopeSet {
        &self.effective
    }

    /// Whether the kind's umbrella is granted, so that every scope test passes.
    pub fn umbrella(&self) -> bool {
        self.umbrella
    }

    /// Whether these rights hold what a route requires; no allocation, no I/O.
    ///
    /// A scope passes if exactly it is effective, or if the umbrella is granted. Nothing else passes.
    pub fn satisfies(&self, required: &RequiredScopes) -> bool {
        required.passes(|scope| self.covers(scope))
    }

    /// Whether exactly this scope is effective, or the umbrella granted.
    pub(crate) fn covers(&self, scope: &Scope) -> bool {
        self.umbrella || self.effective.contains(scope.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rights(scopes: &str, umbrella: bool) -> Rights {
        Rights::new(ScopeSet::parse(scopes), ScopeSet::parse(scopes), umbrella)
    }

    #[test]
    fn verdicts() {
        for (name, held, umbrella, all, any, required) in [
            ("P421 the one", "a", false, true, true, &["a"][..]),
            ("P421 another", "a", false, false, false, &["b"]),
            ("P422 umbrella", "full", true, true, true, &["a", "b"]),
            ("P422 no umbrella", "full", false, false, false, &["a"]),
            ("P831 both of two", "a b c", false, true, true, &["b", "a"]),
            ("P831 one of two", "a", false, false, true, &["a", "b"]),
            ("P831 none of two", "c", false, false, false, &["a", "b"]),
            ("XE1 longer than held", "apps:read", false, false, false, &["apps:readwrite"]),
            ("XE1 shorter than held", "apps:readwrite", false, false, false, &["apps:read"]),
            (
                "XE2 look-alikes",
                "xapps:read apps:read2 apps:read:x apps",
                false,
                false,
                false,
                &["apps:read"],
            ),
            ("XE4 empty set", "", false, false, false, &["a"]),
            ("XE5 case", "Apps:Read", false, false, false, &["apps:read"]),
            ("P415 star held", "* apps:*", false, false, false, &["apps:read"]),
        ] {
            let rights = rights(held, umbrella);
            assert_eq!(
                rights.satisfies(&RequiredScopes::all(required).unwrap()),
                all,
                "{name}, all"
            );
            assert_eq!(
                rights.satisfies(&RequiredScopes::any(required).unwrap()),
                any,
                "{name}, any"
            );
        }
    }

    proptest! {
        /// XT3.5: more scopes never lose access.
        #[test]
        fn xt3_5_more_scopes_never_lose_access(
            few in "([a-d] ?){0,6}",
            more in "([a-d] ?){0,6}",
            required in prop::collection::vec("[a-d]{1,2}", 1..4),
        ) {
            let wide = format!("{few} {more}");
            for required in [RequiredScopes::all(&required).unwrap(), RequiredScopes::any(&required).unwrap()] {
                let before = rights(&few, false).satisfies(&required);
                prop_assert!(!before || rights(&wide, false).satisfies(&required));
                prop_assert!(rights(&few, true).satisfies(&required));
            }
        }
    }
}
