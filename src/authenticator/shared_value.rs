//! How a token's record is written in the shared cache, and what is made of the bytes that come back.
//!
//! 1. Version 1: the digest it was found under, the record as its source said it, and the end of the entry's life.
//! 2. A tombstone is a value of its own, and is one in every version.
//! 3. Whatever cannot be read whole is no record: the source is asked.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Timestamp;
use crate::id::{AccountId, ClientId, Email, ExternalId, Issuer, ServiceId, TokenId, WorkspaceId};
use crate::scope::ScopeSet;
use crate::store::TokenRecord;
use crate::subject::Subject;
use crate::token::Digest;

/// What stands over the entry of a token that was ended.
pub(super) const TOMBSTONE: &[u8] = br#"{"v":1,"revoked":true}"#;

/// What a value says.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Found {
    /// A record, and the wall time at which it counts no more.
    Record(Box<TokenRecord>, Timestamp),
    /// The token was ended.
    Tombstone,
    /// Nothing that this version can use.
    Foreign,
}

const VERSION: u64 = 1;

/// Writes a record; `None` if it cannot be written, which is no reason to fail.
pub(super) fn encode(record: &TokenRecord, digest: &Digest, ends: Timestamp) -> Option<Vec<u8>> {
    let text = |text: &str| text.to_owned();
    let subject = match &record.subject {
        Subject::Account { id } => Whom::Account { id: text(id.as_str()) },
        Subject::Service { id } => Whom::Service { id: text(id.as_str()) },
        Subject::External { issuer, subject, email } => Whom::External {
            issuer: text(issuer.as_str()),
            subject: text(subject.as_str()),
            email: email.as_ref().map(|email| text(email.as_str())),
        },
    };
    let entry = Entry {
        v: VERSION,
        digest: digest.to_hex(),
        ends: ends.as_millis(),
        id: text(record.id.as_str()),
        serial: record.serial,
        kind: record.kind.clone(),
        subject,
        scopes: record.scopes.to_string(),
        client_id: record.client_id.as_ref().map(|id| text(id.as_str())),
        workspace: record.workspace.as_ref().map(|id| text(id.as_str())),
        audiences: record.audiences.clone(),
        not_before: record.not_before.map(Timestamp::as_millis),
        expires_at: record.expires_at.as_millis(),
    };
    serde_json::to_vec(&entry).ok()
}

/// Reads a value found under `digest`. Never panics, whatever the bytes.
pub(super) fn decode(bytes: &[u8], digest: &Digest) -> Found {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return Found::Foreign };
    if value.get("revoked").and_then(Value::as_bool) == Some(true) {
        return Found::Tombstone;
    }
    let entry = serde_json::from_value::<Entry>(value).ok();
    let entry = entry.filter(|entry| entry.v == VERSION && entry.digest == digest.to_hex());
    let record =
        entry.and_then(|entry| Some((Timestamp::from_millis(entry.ends), entry.record()?)));
    record.map_or(Found::Foreign, |(ends, record)| Found::Record(Box::new(record), ends))
}

#[derive(Deserialize, Serialize)]
struct Entry {
    v: u64,
    digest: String,
    ends: u64,
    id: String,
    serial: u64,
    kind: String,
    subject: Whom,
    scopes: String,
    client_id: Option<String>,
    workspace: Option<String>,
    audiences: Vec<String>,
    not_before: Option<u64>,
    expires_at: u64,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Whom {
    Account { id: String },
    Service { id: String },
    External { issuer: String, subject: String, email: Option<String> },
}

impl Entry {
    /// The record, if every part of it obeys its grammar.
    fn record(self) -> Option<TokenRecord> {
        let subject = match self.subject {
            Whom::Account { id } => Subject::Account { id: AccountId::new(id).ok()? },
            Whom::Service { id } => Subject::Service { id: ServiceId::new(id).ok()? },
            Whom::External { issuer, subject, email } => Subject::External {
                issuer: Issuer::new(issuer).ok()?,
                subject: ExternalId::new(subject).ok()?,
                email: email.map(Email::new).transpose().ok()?,
            },
        };
        let expires_at = Timestamp::from_millis(self.expires_at);
        let record = TokenRecord::new(TokenId::new(self.id).ok()?, self.kind, subject, expires_at);
        Some(TokenRecord {
            serial: self.serial,
            scopes: ScopeSet::parse(&self.scopes),
            client_id: self.client_id.map(ClientId::new).transpose().ok()?,
            workspace: self.workspace.map(WorkspaceId::new).transpose().ok()?,
            audiences: self.audiences,
            not_before: self.not_before.map(Timestamp::from_millis),
            ..record
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ENDS: Timestamp = Timestamp::from_millis(1_790_000_030_000);

    fn records() -> Vec<(&'static str, TokenRecord)> {
        let account = Subject::Account { id: AccountId::new("acc-1").unwrap() };
        let service = Subject::Service { id: ServiceId::new("svc-1").unwrap() };
        let external = Subject::External {
            issuer: Issuer::new("https://idp.example").unwrap(),
            subject: ExternalId::new("guest \"1\"").unwrap(),
            email: Some(Email::new("guest@example.com").unwrap()),
        };
        let of = |subject| TokenRecord::new(TokenId::new("tok-1").unwrap(), "kind", subject, ENDS);
        let full = of(account.clone())
            .with_serial(u64::MAX)
            .with_scopes(ScopeSet::parse("b a"))
            .with_client(ClientId::new("cli").unwrap())
            .with_workspace(WorkspaceId::new("ws-1").unwrap())
            .with_audiences(vec!["b".to_owned(), "a".to_owned()])
            .with_not_before(Timestamp::from_millis(1));
        vec![
            ("P626 bare", of(account)),
            ("P626 full", full),
            ("P626 service", of(service)),
            ("P626 external", of(external)),
        ]
    }

    #[test]
    fn records_come_back_as_they_were() {
        let digest = Digest::of("a");
        for (name, record) in records() {
            let bytes = encode(&record, &digest, ENDS).unwrap();
            let Found::Record(back, ends) = decode(&bytes, &digest) else {
                panic!("{name}: {}", String::from_utf8_lossy(&bytes));
            };
            assert_eq!((*back, ends), (record, ENDS), "{name}");
            let text = String::from_utf8(bytes.clone()).unwrap();
            assert_eq!(decode(&bytes, &Digest::of("b")), Found::Foreign, "{name}, moved");
            for (what, from, to) in [
                ("another version", "\"v\":1", "\"v\":2"),
                ("no version", "\"v\":1,", ""),
                ("a bad id", "tok-1", ""),
                ("an expiry that is no number", "\"expires_at\":1", "\"expires_at\":-1"),
                ("no life", "\"ends\":", "\"end\":"),
                ("another subject", "\"subject\":{\"", "\"subject\":{\"x"),
            ] {
                let bent = text.replacen(from, to, 1);
                assert_ne!(bent, text, "{name}: {what}");
                assert_eq!(decode(bent.as_bytes(), &digest), Found::Foreign, "{name}: {what}");
            }
        }
    }

    #[test]
    fn what_is_no_record() {
        let digest = Digest::of("a");
        for (name, bytes, want) in [
            ("P645 a tombstone", TOMBSTONE, Found::Tombstone),
            ("P645 a later tombstone", br#"{"v":2,"revoked":true,"at":1}"#, Found::Tombstone),
            ("P691 no object", b"[]", Found::Foreign),
            ("P628 nothing", b"", Found::Foreign),
            ("P628 null", b"null", Found::Foreign),
            ("P628 no JSON", b"\xFF\x00", Found::Foreign),
            ("P628 an empty object", b"{}", Found::Foreign),
        ] {
            assert_eq!(decode(bytes, &digest), want, "{name}");
        }
    }

    proptest! {
        /// No bytes make the reader panic.
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            let _ = decode(&bytes, &Digest::of("a"));
        }
    }
}
