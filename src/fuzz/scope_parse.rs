//! XT3.5: three lines, what a record says, what a route requires and what more a record could say.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use crate::fuzz::input::{lines, text};
use crate::scope::{RequiredScopes, Scope, ScopeSet};
use crate::subject::SubjectType;
use crate::token::{TokenKind, TokenKinds};

/// Parse of display is the same set; the set holds what a naive split at SP holds; more scopes never lose access.
pub(super) fn holds(bytes: &[u8]) {
    let lines = lines(bytes, 3);
    let [carried, required, more] = [0, 1, 2].map(|at| text(&lines, at).unwrap_or_default());
    let set = ScopeSet::parse(&carried);
    assert_eq!(ScopeSet::parse(&set.to_string()), set);
    let got: Vec<&str> = set.iter().map(Scope::as_str).collect();
    let want: BTreeSet<&str> = carried.split(' ').filter(|piece| is_scope(piece)).collect();
    assert_eq!(got, want.iter().copied().collect::<Vec<_>>());

    let asked: Vec<&str> = required.split(' ').filter(|piece| !piece.is_empty()).collect();
    for piece in &asked {
        assert_eq!(set.contains(piece), want.contains(piece), "{piece:?}");
    }
    let well_formed = !asked.is_empty() && asked.iter().all(|piece| is_scope(piece));
    let both = [RequiredScopes::all(&asked), RequiredScopes::any(&asked)];
    assert!(both.iter().all(|required| required.is_ok() == well_formed), "{asked:?}");
    let wider = ScopeSet::parse(&format!("{carried} {more}"));
    for kind in KINDS.iter() {
        let (narrow, wide) = (kind.rights(&set), kind.rights(&wider));
        let most = kind.most();
        let below = |scope: &Scope| most.umbrella() || most.effective().contains(scope.as_str());
        assert!(narrow.granted().iter().all(below), "{} goes above its ceiling", kind.name());
        for required in both.iter().flatten() {
            let lost = narrow.satisfies(required) && !wide.satisfies(required);
            assert!(!lost, "{} lost", kind.name());
        }
    }
}

fn is_scope(piece: &str) -> bool {
    let allowed = |c: char| matches!(c, '!'..='~') && c != '"' && c != '\\';
    (1..=128).contains(&piece.len()) && piece.chars().all(allowed)
}

/// A kind of each policy, with an umbrella and implications.
static KINDS: LazyLock<TokenKinds> = LazyLock::new(|| {
    let kind = |name, prefix| TokenKind::new(name).prefix(prefix).subject(SubjectType::Account);
    TokenKinds::builder()
        .kind(kind("fixed", "tf_").fixed(["apps:read"]))
        .kind(kind("narrowed", "tn_").narrowed(["apps:manage", "apps:run", "a", "b"]))
        .kind(kind("whole", "tw_").narrowed(["all", "apps:run", "a"]).umbrella("all"))
        .implies("apps:manage", ["apps:read", "apps:run"])
        .implies("a", ["b"])
        .build()
        .expect("no two of these kinds clash")
});
