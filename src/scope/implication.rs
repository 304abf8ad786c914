//! Which scopes lead to which others, as the service declares it; closed transitively when it is built.

use std::collections::{BTreeMap, BTreeSet};

use crate::scope::{Scope, ScopeSet};

/// Declared implications, closed: each scope with all that it leads to. Empty unless the service declares some.
#[derive(Clone, Debug, Default)]
pub(crate) struct Implications {
    reach: BTreeMap<Scope, BTreeSet<Scope>>,
}

impl Implications {
    /// Closes the declared pairs (`first` implies `second`) transitively, or names every cycle and self-implication.
    pub(crate) fn build(pairs: &[(Scope, Scope)]) -> Result<Self, Vec<ImplicationFault>> {
        let mut direct: BTreeMap<&Scope, BTreeSet<&Scope>> = BTreeMap::new();
        let mut faults = BTreeSet::new();
        for (first, second) in pairs {
            if first == second {
                faults.insert(ImplicationFault::OfItself(first.clone()));
            } else {
                direct.entry(first).or_default().insert(second);
            }
        }
        let reach: BTreeMap<&Scope, BTreeSet<&Scope>> =
            direct.keys().map(|from| (*from, reachable(&direct, from))).collect();
        let leads = |from, to| reach.get(from).is_some_and(|found| found.contains(to));
        for from in reach.keys().filter(|from| leads(**from, **from)) {
            let circle = reach.keys().filter(|other| leads(from, other) && leads(other, from));
            faults.insert(ImplicationFault::Cycle(circle.map(|scope| (*scope).clone()).collect()));
        }
        if !faults.is_empty() {
            return Err(faults.into_iter().collect());
        }
        let owned = |(from, found): (&Scope, BTreeSet<&Scope>)| {
            (from.clone(), found.into_iter().cloned().collect())
        };
        Ok(Self { reach: reach.into_iter().map(owned).collect() })
    }

    /// The set with all that its scopes lead to; the same allocation if that is nothing new.
    pub(crate) fn close(&self, scopes: &ScopeSet) -> ScopeSet {
        if self.reach.is_empty() {
            return scopes.clone();
        }
        let implied = scopes.iter().filter_map(|scope| self.reach.get(scope)).flatten();
        let mut added = implied.filter(|scope| !scopes.contains(scope.as_str())).peekable();
        if added.peek().is_none() {
            return scopes.clone();
        }
        scopes.iter().chain(added).cloned().collect()
    }
}

/// Why declared implications cannot be.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum ImplicationFault {
    /// A scope implies itself.
    OfItself(Scope),
    /// These scopes imply each other in a circle; sorted by bytes.
    Cycle(Vec<Scope>),
}

/// All that `from` leads to, in one step or many.
fn reachable<'s>(
    direct: &BTreeMap<&'s Scope, BTreeSet<&'s Scope>>,
    from: &Scope,
) -> BTreeSet<&'s Scope> {
    let mut found = BTreeSet::new();
    let mut open = vec![from];
    while let Some(scope) = open.pop() {
        for next in direct.get(scope).into_iter().flatten() {
            if found.insert(*next) {
                open.push(next);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn scope(name: &str) -> Scope {
        Scope::new(name).unwrap()
    }

    /// `a>b c>d` as pairs.
    fn pairs(text: &str) -> Vec<(Scope, Scope)> {
        let pair =
            |piece: &str| piece.split_once('>').map(|(from, to)| (scope(from), scope(to))).unwrap();
        text.split(' ').filter(|piece| !piece.is_empty()).map(pair).collect()
    }

    #[test]
    fn closing() {
        for (name, declared, set, want) in [
            ("P414 none declared", "", "a b", "a b"),
            ("P414 one step", "a>b", "a", "a b"),
            ("P414 many steps", "b>c c>d a>b", "a", "a b c d"),
            ("P414 not backwards", "a>b", "b", "b"),
            ("P414 two ways to one", "a>b a>c b>d c>d", "a", "a b c d"),
            ("P414 already there", "a>b", "a b", "a b"),
            ("P415 a name is no pattern", "a>b", "a:x", "a:x"),
            ("the empty set", "a>b", "", ""),
        ] {
            let implications = Implications::build(&pairs(declared)).unwrap();
            assert_eq!(implications.close(&ScopeSet::parse(set)).to_string(), want, "{name}");
        }
    }

    #[test]
    fn faults() {
        let circle = |names: &[&str]| {
            ImplicationFault::Cycle(names.iter().map(|name| scope(name)).collect())
        };
        for (name, declared, want) in [
            ("P414 self", "a>a", vec![ImplicationFault::OfItself(scope("a"))]),
            ("P414 circle of two", "a>b b>a", vec![circle(&["a", "b"])]),
            (
                "P414 who leads into a circle is not of it",
                "x>a a>b b>c c>a c>y",
                vec![circle(&["a", "b", "c"])],
            ),
            (
                "P414 two circles",
                "a>b b>a c>d d>c b>c",
                vec![circle(&["a", "b"]), circle(&["c", "d"])],
            ),
            (
                "P305 all at once",
                "z>z a>b b>a z>z",
                vec![ImplicationFault::OfItself(scope("z")), circle(&["a", "b"])],
            ),
        ] {
            assert_eq!(Implications::build(&pairs(declared)).unwrap_err(), want, "{name}");
        }
    }

    proptest! {
        /// What is held after closing is what a naive walk finds; closing twice adds nothing.
        #[test]
        fn closure_is_a_walk(edges in vec((0_u8..6, 0_u8..6), 0..8), held in vec(0_u8..6, 0..3)) {
            // edges go up only, so that there is no circle
            let edges: Vec<(u8, u8)> = edges.into_iter().filter(|(from, to)| from < to).collect();
            let name = |at: u8| scope(&at.to_string());
            let declared: Vec<_> = edges.iter().map(|(from, to)| (name(*from), name(*to))).collect();
            let implications = Implications::build(&declared).unwrap();
            let mut walked: HashSet<u8> = held.iter().copied().collect();
            for _ in 0..6 {
                walked.extend(edges.iter().filter(|(from, _)| walked.contains(from)).map(|(_, to)| *to).collect::<Vec<_>>());
            }
            let closed = implications.close(&held.into_iter().map(name).collect());
            prop_assert_eq!(&closed, &walked.into_iter().map(name).collect());
            prop_assert_eq!(implications.close(&closed), closed);
        }
    }
}
