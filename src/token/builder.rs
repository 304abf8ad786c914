//! Collects kinds and judges how they go together; every fault is told at once.

use std::sync::Arc;

use crate::scope::{ImplicationFault, Implications, Scope};
use crate::token::declared::{TokenKind, bad_scope};
use crate::token::fault::{KindFault, KindsError};
use crate::token::kind::{Draft, Kind};
use crate::token::registry::TokenKinds;

/// Collects kinds and implications, and judges all of them at once.
#[derive(Clone, Debug)]
#[must_use = "nothing is registered until `build`"]
pub struct TokenKindsBuilder {
    kinds: Vec<TokenKind>,
    implications: Vec<(String, String)>,
    max_token_length: usize,
}

impl TokenKindsBuilder {
    pub(super) fn new() -> Self {
        Self { kinds: Vec::new(), implications: Vec::new(), max_token_length: 4096 }
    }

    /// Adds a kind.
    pub fn kind(mut self, kind: TokenKind) -> Self {
        self.kinds.push(kind);
        self
    }

    /// Declares that whoever has `scope` has all of `implied` too, and what these imply.
    pub fn implies<I>(mut self, scope: impl Into<String>, implied: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let scope = scope.into();
        self.implications.extend(implied.into_iter().map(|to| (scope.clone(), to.into())));
        self
    }

    /// Sets how long a token may be, in bytes. Default 4,096, allowed 64 to 16,384.
    pub fn max_token_len(mut self, bytes: usize) -> Self {
        self.max_token_length = bytes;
        self
    }

    /// The registry.
    ///
    /// # Errors
    /// [`KindsError`] with every fault there is, each naming the kinds concerned.
    pub fn build(self) -> Result<TokenKinds, KindsError> {
        let max_token_length = self.max_token_length;
        let mut faults = Vec::new();
        if !(64..=16_384).contains(&max_token_length) {
            faults.push(KindFault::BadMaxTokenLength { length: max_token_length });
        }
        if self.kinds.is_empty() {
            faults.push(KindFault::NoKinds);
        }
        let drafts: Vec<Draft> = self
            .kinds
            .iter()
            .filter_map(|kind| kind.judge(max_token_length, &mut faults))
            .collect();
        faults.extend(judge_names(&self.kinds));
        faults.extend(judge_prefixes(&self.kinds));
        let implications = self.judge_implications(&mut faults);
        if !faults.is_empty() {
            return Err(KindsError::new(faults));
        }
        let implications = Arc::new(implications);
        let kinds: Vec<Kind> =
            drafts.into_iter().map(|draft| draft.finish(&implications)).collect();
        Ok(TokenKinds::new(kinds, max_token_length))
    }

    fn judge_implications(&self, faults: &mut Vec<KindFault>) -> Implications {
        let mut scope = |name: &String| {
            Scope::new(name).map_err(|error| faults.extend(bad_scope(None, error))).ok()
        };
        let pair = |(from, to): &(String, String)| scope(from).zip(scope(to));
        let pairs: Vec<(Scope, Scope)> = self.implications.iter().filter_map(pair).collect();
        Implications::build(&pairs).unwrap_or_else(|found| {
            faults.extend(found.into_iter().map(KindFault::from));
            Implications::default()
        })
    }
}

impl From<ImplicationFault> for KindFault {
    fn from(fault: ImplicationFault) -> Self {
        match fault {
            ImplicationFault::OfItself(scope) => Self::SelfImplication { scope: scope.to_string() },
            ImplicationFault::Cycle(scopes) => {
                Self::CyclicImplication { scopes: scopes.iter().map(Scope::to_string).collect() }
            }
        }
    }
}

/// Each name that is there more than once, once.
fn judge_names(kinds: &[TokenKind]) -> Vec<KindFault> {
    let mut faults = Vec::new();
    for (at, kind) in kinds.iter().enumerate() {
        let earlier = kinds.iter().take(at).filter(|other| other.name() == kind.name()).count();
        if earlier == 1 {
            faults.push(KindFault::DuplicateKind { kind: kind.name().to_owned() });
        }
    }
    faults
}

/// Each pair of kinds that a token's beginning cannot tell apart.
fn judge_prefixes(kinds: &[TokenKind]) -> Vec<KindFault> {
    let mut faults = Vec::new();
    for (at, later) in kinds.iter().enumerate() {
        for earlier in kinds.iter().take(at) {
            faults.extend(clash(earlier, later));
        }
    }
    faults
}

fn clash(earlier: &TokenKind, later: &TokenKind) -> Option<KindFault> {
    let (kind, other) = (earlier.name().to_owned(), later.name().to_owned());
    match (earlier.declared_prefix(), later.declared_prefix()) {
        (None, None) => Some(KindFault::AmbiguousShape { kind, other }),
        (Some(""), _) | (_, Some("")) => None, // a bad prefix, told already
        (Some(one), Some(two)) if one == two => Some(KindFault::DuplicatePrefix { kind, other }),
        (Some(one), Some(two)) if two.starts_with(one) => {
            Some(KindFault::PrefixOfAnother { kind, other })
        }
        (Some(one), Some(two)) if one.starts_with(two) => {
            Some(KindFault::PrefixOfAnother { kind: other, other: kind })
        }
        (Some(_) | None, Some(_)) | (Some(_), None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::SubjectType;

    fn plain(name: &str) -> TokenKind {
        TokenKind::new(name).subject(SubjectType::Account).fixed(["a"])
    }

    fn registry(kinds: impl IntoIterator<Item = TokenKind>) -> Result<TokenKinds, KindsError> {
        kinds.into_iter().fold(TokenKinds::builder(), TokenKindsBuilder::kind).build()
    }

    fn faults(kinds: impl IntoIterator<Item = TokenKind>) -> Vec<KindFault> {
        registry(kinds).unwrap_err().faults().to_vec()
    }

    #[test]
    fn one_fault() {
        use KindFault::*;
        let kind = || "k".to_owned();
        let max = 4096;
        let bare = || TokenKind::new("k").prefix("k_");
        let bad = |scope: &str| BadScope { kind: Some(kind()), scope: scope.to_owned() };
        let account = SubjectType::Account;
        for (name, declared, want) in [
            ("P306 name", plain("K"), BadKindName { kind: "K".to_owned() }),
            (
                "P306 prefix",
                plain("k").prefix("_k"),
                BadPrefix { kind: kind(), prefix: "_k".to_owned() },
            ),
            (
                "P306 empty prefix",
                plain("k").prefix(""),
                BadPrefix { kind: kind(), prefix: String::new() },
            ),
            ("P308 fixed", plain("k").fixed(["a", "a b"]), bad("a b")),
            ("P308 ceiling", plain("k").narrowed(["a\""]), bad("a\"")),
            ("P308 umbrella", plain("k").umbrella(""), bad("")),
            ("P308 empty ceiling", plain("k").narrowed([""; 0]), EmptyCeiling { kind: kind() }),
            (
                "P308 umbrella out of reach",
                plain("k").umbrella("full"),
                UmbrellaUnreachable { kind: kind(), umbrella: "full".to_owned() },
            ),
            ("P309 15 bytes", plain("k").secret_bytes(15), WeakFormat { kind: kind(), bytes: 15 }),
            ("P309 65 bytes", plain("k").secret_bytes(65), WeakFormat { kind: kind(), bytes: 65 }),
            (
                "P309 too long",
                plain("k").prefix("k_").opaque(1, 4095),
                FormatTooLong { kind: kind(), length: 4097, max },
            ),
            ("no subject", bare().fixed(["a"]), NoSubject { kind: kind() }),
            ("no policy", bare().subject(account), NoScopePolicy { kind: kind() }),
            ("no length", plain("k").opaque(3, 2), EmptyRange { kind: kind(), min: 3, max: 2 }),
            ("length 0", plain("k").opaque(0, 2), EmptyRange { kind: kind(), min: 0, max: 2 }),
            (
                "opaque, checksum",
                plain("k").opaque(1, 2).checksum(),
                ChecksumOfOpaque { kind: kind() },
            ),
        ] {
            assert_eq!(faults([declared]), [want], "{name}");
        }
        assert_eq!(faults([]), [NoKinds], "P306");
    }

    #[test]
    fn faults_between_kinds() {
        use KindFault::*;
        let (a, b, c) = (|| "a".to_owned(), || "b".to_owned(), || "c".to_owned());
        for (name, kinds, want) in [
            (
                "P306 one name thrice",
                vec![plain("a").prefix("x_"), plain("a").prefix("y_"), plain("a").prefix("z_")],
                vec![DuplicateKind { kind: a() }],
            ),
            (
                "P306 equal",
                vec![plain("a").prefix("x_"), plain("b").prefix("x_")],
                vec![DuplicatePrefix { kind: a(), other: b() }],
            ),
            (
                "P306 begins",
                vec![plain("a").prefix("x_y"), plain("b").prefix("x_")],
                vec![PrefixOfAnother { kind: b(), other: a() }],
            ),
            (
                "P307 two without prefix",
                vec![plain("a"), plain("b").opaque(1, 2)],
                vec![AmbiguousShape { kind: a(), other: b() }],
            ),
            (
                "P343",
                vec![plain("a").prefix("tb_"), plain("b").prefix("tb_x_").narrowed([""; 0])],
                vec![EmptyCeiling { kind: b() }, PrefixOfAnother { kind: a(), other: b() }],
            ),
            (
                "P305 all at once",
                vec![
                    plain("a").secret_bytes(1).prefix("x_"),
                    plain("b").prefix("x_"),
                    plain("c").umbrella("u"),
                ],
                vec![
                    WeakFormat { kind: a(), bytes: 1 },
                    UmbrellaUnreachable { kind: c(), umbrella: "u".to_owned() },
                    DuplicatePrefix { kind: a(), other: b() },
                ],
            ),
        ] {
            assert_eq!(faults(kinds), want, "{name}");
        }
    }

    #[test]
    fn faults_of_the_registry() {
        use KindFault::*;
        let builder = || TokenKinds::builder().kind(plain("a"));
        let text = str::to_owned;
        for (name, builder, want) in [
            (
                "P414 self",
                builder().implies("a", ["a"]),
                vec![SelfImplication { scope: text("a") }],
            ),
            (
                "P414 circle",
                builder().implies("a", ["b"]).implies("b", ["a"]),
                vec![CyclicImplication { scopes: vec![text("a"), text("b")] }],
            ),
            (
                "P308 implication",
                builder().implies("a b", ["c"]).implies("c", ["\\"]),
                vec![
                    BadScope { kind: None, scope: text("a b") },
                    BadScope { kind: None, scope: text("\\") },
                ],
            ),
            ("P1302 63", builder().max_token_len(63), vec![BadMaxTokenLength { length: 63 }]),
            (
                "P1302 16,385",
                builder().max_token_len(16_385),
                vec![BadMaxTokenLength { length: 16_385 }],
            ),
        ] {
            assert_eq!(builder.build().unwrap_err().faults(), want, "{name}");
        }
        assert_eq!(builder().build().unwrap().max_token_len(), 4_096, "P1302 default");
        for max in [64, 16_384] {
            assert_eq!(builder().max_token_len(max).build().unwrap().max_token_len(), max, "P1302");
        }
        let long =
            TokenKinds::builder().kind(plain("a").secret_bytes(64)).max_token_len(64).build();
        let want = [FormatTooLong { kind: text("a"), length: 86, max: 64 }];
        assert_eq!(long.unwrap_err().faults(), want, "P309");
    }

    #[test]
    fn an_error_is_one_line() {
        let error =
            registry([plain("a").prefix("tb_"), plain("b").prefix("tb_x_").narrowed([""; 0])])
                .unwrap_err();
        let want = r#"kind "b" has an empty ceiling; the prefix of kind "a" begins that of "b""#;
        assert_eq!(error.to_string(), want, "P343");
    }
}
