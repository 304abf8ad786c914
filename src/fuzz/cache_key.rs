//! XT3.8: two tuples parted by 0xFF, their strings parted by 0xFE.

use crate::id::{ExternalId, Issuer};
use crate::key::hash_parts;
use crate::store::{LogId, PolicyName};
use crate::subject::{Subject, SubjectKey};

/// Keys are equal exactly when the tuples are.
pub(super) fn holds(bytes: &[u8]) {
    let mut tuples = bytes.splitn(2, |byte| *byte == 0xFF);
    let mut tuple = || -> Vec<&[u8]> {
        tuples.next().map(|tuple| tuple.split(|byte| *byte == 0xFE).collect()).unwrap_or_default()
    };
    let (one, other) = (tuple(), tuple());
    assert_eq!(hash_parts("w", &one) == hash_parts("w", &other), same(&one, &other));
    assert_ne!(hash_parts("w", &one), hash_parts("v", &one), "another word, another key");

    if let (Some(one), Some(other)) = (custom(&one), custom(&other)) {
        assert_eq!(one.1 == other.1, one.0 == other.0, "custom keys of limits");
    }
    if let (Some(one), Some(other)) = (external(&one), external(&other)) {
        assert_eq!(one.1 == other.1, one.0 == other.0, "keys of external subjects");
    }
}

/// Byte by byte, with its own counting.
fn same(one: &[&[u8]], other: &[&[u8]]) -> bool {
    let written = |tuple: &[&[u8]]| {
        let digit = |byte: &u8| format!("{byte:02x}");
        let part = |part: &&[u8]| part.iter().map(digit).collect::<String>();
        tuple.iter().map(part).collect::<Vec<_>>().join("/") + &"/".repeat(tuple.len())
    };
    written(one) == written(other)
}

/// Policy and bytes, and the id of their log.
fn custom(tuple: &[&[u8]]) -> Option<((String, Vec<u8>), LogId)> {
    let [policy, bytes] = tuple else { return None };
    let policy = PolicyName::new(str::from_utf8(policy).ok()?).ok()?;
    let id = LogId::of_custom(&policy, bytes);
    Some(((policy.as_str().to_owned(), bytes.to_vec()), id))
}

/// Issuer and subject, and the subject's key.
fn external(tuple: &[&[u8]]) -> Option<((String, String), SubjectKey)> {
    let [issuer, subject] = tuple else { return None };
    let (issuer, subject) = (str::from_utf8(issuer).ok()?, str::from_utf8(subject).ok()?);
    let (own, of) = (ExternalId::new(subject).ok()?, Issuer::new(issuer).ok()?);
    let whole = Subject::External { issuer: of, subject: own, email: None };
    Some(((issuer.to_owned(), subject.to_owned()), whole.key()))
}
