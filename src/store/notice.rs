//! What is told on the revocation bus, and how it is written.
//!
//! 1. A notice only ever takes away: whoever hears one forgets, nobody believes.
//! 2. JSON, version 1, one form per notice. What cannot be read is an error, and an error is everything: the reader drops all
//!    that it has cached.
//! 3. No notice holds a token. A digest is shown by its first 8 hex digits.

use serde_json::{Map, Value, json};
use std::fmt;

use crate::id::{AccountId, AppId, WorkspaceId};
use crate::subject::SubjectKey;
use crate::token::Digest;

/// What one process tells the others to forget.
///
/// `Display` and `Debug` show no digest beyond its first 8 hex digits.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Notice {
    /// The token of this digest was ended: it is refused from now on.
    Token(Digest),
    /// Every token of this subject is to be looked up anew; those that were ended have a notice of their own each.
    Subject(SubjectKey),
    /// The workspace changed, or its tokens were cut off.
    Workspace {
        /// The workspace.
        id: WorkspaceId,
        /// Its token floor if that was raised, else 0: a floor never sinks.
        floor: u64,
    },
    /// The account is no member of the workspace any more.
    Member {
        /// The workspace.
        workspace: WorkspaceId,
        /// The account.
        account: AccountId,
    },
    /// The account changed, or something that names it.
    Account(AccountId),
    /// The app changed, or something that names it.
    App(AppId),
    /// Anything may have changed.
    All,
}

/// Why a text is no notice. Whoever gets one drops everything that is cached.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NoticeError {
    /// No JSON object, or longer than 4,096 bytes.
    #[error("the notice is no JSON object")]
    NotAnObject,
    /// A version other than 1.
    #[error("the notice is of another version")]
    UnknownVersion,
    /// A type that this version does not know.
    #[error("the notice is of an unknown type")]
    UnknownType,
    /// A member that is missing or no value of its kind.
    #[error("member {0} of the notice cannot be read")]
    BadMember(&'static str),
}

const VERSION: u64 = 1;

/// No notice that this version writes is a tenth as long.
const LONGEST: usize = 4_096;

impl Notice {
    /// Writes the notice as it stands on the bus, e.g. `{"v":1,"t":"account","a":"acc-1"}`.
    ///
    /// The form of a token's notice holds its whole digest, which is a secret of the bus: never in a log.
    pub fn to_json(&self) -> String {
        let body = match self {
            Self::Token(digest) => json!({ "t": "token", "d": digest.to_hex() }),
            Self::Subject(key) => json!({ "t": "subject", "s": key.as_str() }),
            Self::Workspace { id, floor } => {
                json!({ "t": "workspace", "w": id.as_str(), "f": floor })
            }
            Self::Member { workspace, account } => {
                json!({ "t": "member", "w": workspace.as_str(), "a": account.as_str() })
            }
            Self::Account(id) => json!({ "t": "account", "a": id.as_str() }),
            Self::App(id) => json!({ "t": "app", "p": id.as_str() }),
            Self::All => json!({ "t": "all" }),
        };
        // in the order of the page, which a map does not keep
        let mut text = format!("{{\"v\":{VERSION}");
        for name in ["t", "d", "s", "w", "f", "a", "p"] {
            if let Some(value) = body.get(name) {
                text.push_str(&format!(",\"{name}\":{value}"));
            }
        }
        text.push('}');
        text
    }

    /// Reads a notice; members that this version does not know are passed over.
    ///
    /// # Errors
    ///
    /// [`NoticeError`] for every text that is no notice of version 1. Never panics, whatever the text.
    pub fn parse(text: &str) -> Result<Self, NoticeError> {
        if text.len() > LONGEST {
            return Err(NoticeError::NotAnObject);
        }
        let Ok(Value::Object(body)) = serde_json::from_str(text) else {
            return Err(NoticeError::NotAnObject);
        };
        if body.get("v").and_then(Value::as_u64) != Some(VERSION) {
            return Err(NoticeError::UnknownVersion);
        }
        let account = || member(&body, "a", |text| AccountId::new(text).ok());
        let workspace = || member(&body, "w", |text| WorkspaceId::new(text).ok());
        match body.get("t").and_then(Value::as_str) {
            Some("token") => member(&body, "d", Digest::from_hex).map(Self::Token),
            Some("subject") => member(&body, "s", SubjectKey::parse).map(Self::Subject),
            Some("workspace") => {
                let floor = body.get("f").and_then(Value::as_u64);
                let floor = floor.ok_or(NoticeError::BadMember("f"))?;
                Ok(Self::Workspace { id: workspace()?, floor })
            }
            Some("member") => Ok(Self::Member { workspace: workspace()?, account: account()? }),
            Some("account") => account().map(Self::Account),
            Some("app") => member(&body, "p", |text| AppId::new(text).ok()).map(Self::App),
            Some("all") => Ok(Self::All),
            Some(_) | None => Err(NoticeError::UnknownType),
        }
    }

    /// Which form it is: `token`, `subject`, `workspace`, `member`, `account`, `app` or `all`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::Subject(_) => "subject",
            Self::Workspace { .. } => "workspace",
            Self::Member { .. } => "member",
            Self::Account(_) => "account",
            Self::App(_) => "app",
            Self::All => "all",
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(digest) => write!(f, "token {}", digest.fingerprint()),
            Self::Subject(key) => write!(f, "subject {key}"),
            Self::Workspace { id, floor } => write!(f, "workspace {id} {floor}"),
            Self::Member { workspace, account } => write!(f, "member {workspace} {account}"),
            Self::Account(id) => write!(f, "account {id}"),
            Self::App(id) => write!(f, "app {id}"),
            Self::All => f.write_str("all"),
        }
    }
}

fn member<T>(
    body: &Map<String, Value>,
    name: &'static str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<T, NoticeError> {
    let text = body.get(name).and_then(Value::as_str);
    text.and_then(read).ok_or(NoticeError::BadMember(name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEX: &str = "0a000001cdababababababababababababababababababababababababababab0f";

    fn all() -> Vec<(&'static str, Notice, String)> {
        let digest = Digest::from_hex(&HEX[..64]).unwrap();
        let (account, workspace) =
            (AccountId::new("acc-\"1").unwrap(), WorkspaceId::new("ws-1").unwrap());
        let subject = SubjectKey::parse("account:acc-1").unwrap();
        let app = AppId::new("app-1").unwrap();
        vec![
            (
                "DK15 token",
                Notice::Token(digest),
                format!(r#"{{"v":1,"t":"token","d":"{}"}}"#, &HEX[..64]),
            ),
            (
                "DK15 subject",
                Notice::Subject(subject),
                r#"{"v":1,"t":"subject","s":"account:acc-1"}"#.to_owned(),
            ),
            (
                "DK15 workspace",
                Notice::Workspace { id: workspace.clone(), floor: u64::MAX },
                r#"{"v":1,"t":"workspace","w":"ws-1","f":18446744073709551615}"#.to_owned(),
            ),
            (
                "DK15 member",
                Notice::Member { workspace, account: account.clone() },
                r#"{"v":1,"t":"member","w":"ws-1","a":"acc-\"1"}"#.to_owned(),
            ),
            (
                "DK15 account",
                Notice::Account(account),
                r#"{"v":1,"t":"account","a":"acc-\"1"}"#.to_owned(),
            ),
            ("DK15 app", Notice::App(app), r#"{"v":1,"t":"app","p":"app-1"}"#.to_owned()),
            ("DK15 all", Notice::All, r#"{"v":1,"t":"all"}"#.to_owned()),
        ]
    }

    #[test]
    fn written_and_read_back() {
        for (name, notice, text) in all() {
            assert_eq!(notice.to_json(), text, "{name}");
            assert_eq!(Notice::parse(&text), Ok(notice.clone()), "{name}");
            assert!(text.contains(&format!(r#""t":"{}""#, notice.kind())), "{name}");
            let shown = format!("{notice:?} {notice}");
            assert!(!shown.contains("cdabab"), "{name} {shown}");
        }
    }

    #[test]
    fn what_cannot_be_read() {
        use NoticeError::{BadMember, NotAnObject, UnknownType, UnknownVersion};
        let long = format!(r#"{{"v":1,"t":"all","x":"{}"}}"#, "x".repeat(LONGEST));
        for (name, text, want) in [
            ("D41 another version", r#"{"v":2,"t":"token","d":"…"}"#, Err(UnknownVersion)),
            ("D41 nonsense", "nonsense", Err(NotAnObject)),
            ("DK16 nothing", "", Err(NotAnObject)),
            ("DK16 no object", "[]", Err(NotAnObject)),
            ("DK16 cut off", r#"{"v":1,"t":"all""#, Err(NotAnObject)),
            ("DK16 two", r#"{"v":1,"t":"all"}{"v":1,"t":"all"}"#, Err(NotAnObject)),
            ("DK16 too long", long.as_str(), Err(NotAnObject)),
            ("DK16 no version", r#"{"t":"all"}"#, Err(UnknownVersion)),
            ("DK16 version as text", r#"{"v":"1","t":"all"}"#, Err(UnknownVersion)),
            ("DK16 unknown type", r#"{"v":1,"t":"permit"}"#, Err(UnknownType)),
            ("DK16 no type", r#"{"v":1}"#, Err(UnknownType)),
            ("DK16 no digest", r#"{"v":1,"t":"token"}"#, Err(BadMember("d"))),
            ("DK16 short digest", r#"{"v":1,"t":"token","d":"ab"}"#, Err(BadMember("d"))),
            ("DK16 bad key", r#"{"v":1,"t":"subject","s":"x"}"#, Err(BadMember("s"))),
            ("DK16 no floor", r#"{"v":1,"t":"workspace","w":"ws-1"}"#, Err(BadMember("f"))),
            (
                "DK16 floor below 0",
                r#"{"v":1,"t":"workspace","w":"ws-1","f":-1}"#,
                Err(BadMember("f")),
            ),
            ("DK16 no workspace", r#"{"v":1,"t":"member","a":"acc-1"}"#, Err(BadMember("w"))),
            ("DK16 bad account", r#"{"v":1,"t":"account","a":""}"#, Err(BadMember("a"))),
            ("DK16 bad app", r#"{"v":1,"t":"app","p":"-"}"#, Err(BadMember("p"))),
            ("DK15 a member more", r#"{"x":[{}],"v":1,"t":"all"}"#, Ok(Notice::All)),
        ] {
            assert_eq!(Notice::parse(text), want, "{name}");
        }
    }

    proptest! {
        /// No text makes the reader panic, and what it reads it writes back to the same notice.
        #[test]
        fn any_text(text in r#"(\{"v":1,"t":"(token|subject|workspace|member|account|app|all)","[dswfap]":)?.{0,80}"#) {
            if let Ok(notice) = Notice::parse(&text) {
                prop_assert_eq!(Notice::parse(&notice.to_json()), Ok(notice));
            }
        }
    }
}
