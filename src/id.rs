//! Names of accounts, services, clients, tokens, workspaces, apps, issuers and external subjects, each of its own type.
//!
//! 1. A value exists only if its text obeys the grammar of its type; texts are compared byte for byte.
//! 2. A clone costs one reference count.
//! 3. [`Email`] and [`ExternalId`] (which may be an e-mail) have no `Display`, and their `Debug` shows no text.
//! 4. A raw path segment is percent-decoded exactly once (RFC 3986 §2.1) and then judged by the grammar; one that is
//!    refused costs no allocation.

use std::fmt;
use std::sync::Arc;

/// Declares one id type: its docs, its name, what it is called in errors, its rule.
macro_rules! id {
    ($(#[$docs:meta])* $name:ident, $called:literal, $rule:expr) => {
        $(#[$docs])*
        #[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(Arc<str>);

        impl $name {
            #[doc = concat!("Takes `text` as ", $called, ", unchanged.")]
            ///
            /// # Errors
            /// [`IdError`] if `text` breaks the rule of this type.
            pub fn new(text: impl AsRef<str>) -> Result<Self, IdError> {
                let (text, rule): (&str, Rule) = (text.as_ref(), $rule);
                if !rule.allows(text.as_bytes()) {
                    return Err(IdError { called: $called, rule: rule.words() });
                }
                Ok(Self(Arc::from(text)))
            }

            /// The text, as it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

/// The text may be shown.
macro_rules! shown {
    ($($name:ident)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.0).finish()
            }
        }
    )*};
}

/// The text may be shown only where somebody asks for it by `as_str`.
macro_rules! hidden {
    ($($name:ident)*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    )*};
}

/// The id may stand in a request's path or host.
macro_rules! in_path {
    ($($name:ident)*) => {$(
        impl $name {
            /// Decodes a raw path segment once and takes it if `grammar` does; never panics, whatever the bytes.
            pub(crate) fn from_segment(raw: &[u8], grammar: SegmentGrammar) -> Option<Self> {
                decode_segment(raw, grammar, &mut [0; NAME_MAX]).map(|text| Self(Arc::from(text)))
            }
        }
    )*};
}

id! {
    /// An account of this service: 1 to 64 bytes of 0x21 to 0x7E.
    AccountId, "account id", Rule::Visible
}
id! {
    /// A machine that acts for itself: 1 to 64 bytes of 0x21 to 0x7E.
    ServiceId, "service id", Rule::Visible
}
id! {
    /// The OAuth client that a token was issued to (RFC 6749 §2.2): 1 to 64 bytes of 0x21 to 0x7E.
    ClientId, "client id", Rule::Visible
}
id! {
    /// The public name of a token, which says nothing of its text: 1 to 64 bytes of 0x21 to 0x7E.
    TokenId, "token id", Rule::Visible
}
id! {
    /// A workspace: a letter or digit, then up to 63 letters, digits, `_` or `-`.
    WorkspaceId, "workspace id", Rule::Name
}
id! {
    /// An app inside a workspace: a letter or digit, then up to 63 letters, digits, `_` or `-`.
    AppId, "app id", Rule::Name
}
id! {
    /// The identity provider that vouches for an external subject: 1 to 255 bytes, not blank.
    Issuer, "issuer", Rule::Free
}
id! {
    /// What an identity provider calls its subject for good: 1 to 255 bytes, not blank.
    ///
    /// It may be an e-mail where the provider gives nothing else, so `Debug` does not show it.
    ExternalId, "external subject", Rule::Free
}
id! {
    /// An e-mail for display: 3 to 320 bytes. It identifies nobody, and `Debug` does not show it.
    Email, "e-mail", Rule::Email
}

shown!(AccountId ServiceId ClientId TokenId WorkspaceId AppId Issuer);
hidden!(ExternalId Email);
in_path!(WorkspaceId AppId);

impl WorkspaceId {
    /// The workspace that stands in for that of an app nobody has: `-` and the app's id, which no grammar allows.
    pub(crate) fn of_unknown_app(app: &AppId) -> Self {
        Self(Arc::from(format!("-{}", app.as_str())))
    }
}

/// Why a text is no id; says which type and rule, and never shows the text.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{called} must be {rule}")]
#[non_exhaustive]
pub struct IdError {
    called: &'static str,
    rule: &'static str,
}

/// What an id in a path has to look like, after it was decoded.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum SegmentGrammar {
    /// A letter or digit, then up to 63 letters, digits, `_` or `-`.
    #[default]
    Name,
    /// 8-4-4-4-12 hexadecimal digits, folded to lower case.
    Uuid,
}

/// Decodes `raw` into `buffer`: exactly once, `+` stays `+`, a broken escape fails, then `grammar` judges.
///
/// No id is longer than the buffer, so a longer text ends early; nothing is allocated.
pub(crate) fn decode_segment<'b>(
    raw: &[u8],
    grammar: SegmentGrammar,
    buffer: &'b mut [u8; NAME_MAX],
) -> Option<&'b str> {
    let mut slots = buffer.iter_mut();
    let mut rest = raw.iter().copied();
    while let Some(byte) = rest.next() {
        *slots.next()? = match byte {
            b'%' => (hex_value(rest.next()?)? << 4) | hex_value(rest.next()?)?,
            other => other,
        };
    }
    let length = NAME_MAX - slots.len();
    let decoded = buffer.get_mut(..length)?;
    match grammar {
        SegmentGrammar::Name if Rule::Name.allows(decoded) => {}
        SegmentGrammar::Uuid if is_uuid(decoded) => decoded.make_ascii_lowercase(),
        SegmentGrammar::Name | SegmentGrammar::Uuid => return None,
    }
    std::str::from_utf8(decoded).ok()
}

/// The longest account, app or workspace id, in bytes.
const NAME_MAX: usize = 64;

#[derive(Clone, Copy)]
enum Rule {
    Visible,
    Name,
    Free,
    Email,
}

impl Rule {
    fn allows(self, text: &[u8]) -> bool {
        match self {
            Self::Visible => {
                (1..=NAME_MAX).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic)
            }
            Self::Name => {
                text.len() <= NAME_MAX
                    && text.first().is_some_and(u8::is_ascii_alphanumeric)
                    && text
                        .iter()
                        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
            }
            Self::Free => (1..=255).contains(&text.len()) && !is_blank(text),
            Self::Email => (3..=320).contains(&text.len()),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Visible => "1 to 64 bytes of 0x21 to 0x7E",
            Self::Name => "a letter or digit and up to 63 letters, digits, `_` or `-`",
            Self::Free => "1 to 255 bytes and not blank",
            Self::Email => "3 to 320 bytes",
        }
    }
}

/// Whether nothing but white space (of Unicode) is there.
fn is_blank(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.trim().is_empty())
}

fn is_uuid(text: &[u8]) -> bool {
    text.len() == 36
        && text.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const UUID: &str = "0b1c2d3e-4f50-6172-8394-a5b6c7d8e9fa";

    #[test]
    fn grammars() {
        type Allowed = fn(&str) -> bool;
        let account: Allowed = |text| AccountId::new(text).is_ok();
        let app: Allowed = |text| AppId::new(text).is_ok();
        let issuer: Allowed = |text| Issuer::new(text).is_ok();
        let email: Allowed = |text| Email::new(text).is_ok();
        let long = |length: usize| "a".repeat(length);
        for (name, allowed, text, want) in [
            ("P402 account of one byte", account, "a".to_owned(), true),
            ("P402 account of 64 bytes", account, long(64), true),
            ("P402 account of 65 bytes", account, long(65), false),
            ("P402 empty account", account, String::new(), false),
            ("P402 account from 0x21", account, "!".to_owned(), true),
            ("P402 account to 0x7E", account, "~".to_owned(), true),
            ("P402 account with a space", account, "a b".to_owned(), false),
            ("P402 account with DEL", account, "a\u{7F}".to_owned(), false),
            ("P402 account beyond ASCII", account, "é".to_owned(), false),
            ("P402 issuer of 255 bytes", issuer, long(255), true),
            ("P402 issuer of 256 bytes", issuer, long(256), false),
            ("P402 empty issuer", issuer, String::new(), false),
            ("P402 blank issuer", issuer, " \t\u{A0}\u{2003}".to_owned(), false),
            ("P402 issuer beyond ASCII", issuer, "é".to_owned(), true),
            ("P402 e-mail of 2 bytes", email, "a@".to_owned(), false),
            ("P402 e-mail of 3 bytes", email, "a@b".to_owned(), true),
            ("P402 e-mail of 320 bytes", email, long(320), true),
            ("P402 e-mail of 321 bytes", email, long(321), false),
            ("P843 app of 64 bytes", app, long(64), true),
            ("P843 app of 65 bytes", app, long(65), false),
            ("P843 empty app", app, String::new(), false),
            ("P843 app of every class", app, "0aZ_-9".to_owned(), true),
            ("P843 app that starts with -", app, "-a".to_owned(), false),
            ("P843 app that starts with _", app, "_a".to_owned(), false),
            ("P843 app with a dot", app, "a.b".to_owned(), false),
            ("P843 app beyond ASCII", app, "aé".to_owned(), false),
        ] {
            assert_eq!(allowed(&text), want, "{name}");
        }
    }

    #[test]
    fn every_type_keeps_its_text_and_names_itself() {
        macro_rules! row {
            ($name:ident, $good:literal, $bad:literal, $error:literal) => {
                assert_eq!($name::new($good).unwrap().as_str(), $good);
                assert_eq!($name::new($bad).unwrap_err().to_string(), $error);
            };
        }
        row!(AccountId, "acc-1", "", "account id must be 1 to 64 bytes of 0x21 to 0x7E");
        row!(ServiceId, "svc:1", " ", "service id must be 1 to 64 bytes of 0x21 to 0x7E");
        row!(ClientId, "cli", "a b", "client id must be 1 to 64 bytes of 0x21 to 0x7E");
        row!(TokenId, "t/1", "\n", "token id must be 1 to 64 bytes of 0x21 to 0x7E");
        row!(
            WorkspaceId,
            "ws-1",
            "-ws-1",
            "workspace id must be a letter or digit and up to 63 letters, digits, `_` or `-`"
        );
        row!(
            AppId,
            "app-1",
            "a/b",
            "app id must be a letter or digit and up to 63 letters, digits, `_` or `-`"
        );
        row!(Issuer, "https://idp.example", " ", "issuer must be 1 to 255 bytes and not blank");
        row!(ExternalId, "guest-1", "", "external subject must be 1 to 255 bytes and not blank");
        row!(Email, "a@b.example", "a@", "e-mail must be 3 to 320 bytes");
    }

    #[test]
    fn what_is_shown() {
        let email = Email::new("eve@shop.example").unwrap();
        let subject = ExternalId::new("eve@shop.example").unwrap();
        let account = AccountId::new("acc-1").unwrap();
        for (name, shown, want) in [
            ("P107 e-mail", format!("{email:?} {email:#?}"), "Email(…) Email(…)"),
            ("P107 e-mail as a subject", format!("{subject:?}"), "ExternalId(…)"),
            ("account", format!("{account} {account:?}"), "acc-1 AccountId(\"acc-1\")"),
        ] {
            assert_eq!(shown, want, "{name}");
        }
    }

    #[test]
    fn workspace_of_an_unknown_app() {
        let app = AppId::new("a".repeat(64)).unwrap();
        let workspace = WorkspaceId::of_unknown_app(&app);
        assert_eq!(workspace.as_str(), format!("-{}", app.as_str()), "P848");
        assert!(WorkspaceId::new(workspace.as_str()).is_err(), "P848 no grammar allows it");
    }

    #[test]
    fn segments() {
        use SegmentGrammar::{Name, Uuid};
        let upper = UUID.to_uppercase();
        let encoded: String = UUID.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let long = "a".repeat(64);
        let longer = "a".repeat(65);
        for (name, raw, grammar, want) in [
            ("P842 plain", "app-1", Name, Some("app-1")),
            ("P842 escapes of either case", "%61%2d%2Db", Name, Some("a--b")),
            ("P842 decoded once", "a%2561", Name, None),
            ("P842 + stays +", "a+b", Name, None),
            ("P842 escape cut after %", "a%", Name, None),
            ("P842 escape cut after one digit", "a%6", Name, None),
            ("P842 no digits", "a%zz", Name, None),
            ("P842 no second digit", "a%6g", Name, None),
            ("P843 slash in escapes", "a%2Fb", Name, None),
            ("P843 NUL in escapes", "a%00", Name, None),
            ("P843 invalid UTF-8 in escapes", "a%ff", Name, None),
            ("P843 dot segment", "%2e%2e", Name, None),
            ("P843 case is kept", "App", Name, Some("App")),
            ("P843 64 bytes", &long, Name, Some(&*long)),
            ("P843 65 bytes", &longer, Name, None),
            ("P844 no id", "", Name, None),
            ("P848 cannot be asked for", "-app-1", Name, None),
            ("P848 nor by escapes", "%2Dapp-1", Name, None),
            ("P843 uuid", UUID, Uuid, Some(UUID)),
            ("P843 uuid folded", &upper, Uuid, Some(UUID)),
            ("P843 uuid in escapes", &encoded, Uuid, Some(UUID)),
            ("P843 uuid in braces", "{0b1c2d3e-4f50-6172-8394-a5b6c7d8e9fa}", Uuid, None),
            ("P843 uuid without dashes", "0b1c2d3e4f5061728394a5b6c7d8e9fa", Uuid, None),
            ("P843 uuid with a dash moved", "0b1c2d3-e4f50-6172-8394-a5b6c7d8e9fa", Uuid, None),
            ("P843 uuid with a letter too far", "gb1c2d3e-4f50-6172-8394-a5b6c7d8e9fa", Uuid, None),
            ("P843 uuid one digit short", "0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f", Uuid, None),
            ("P843 uuid asked, name given", "app-1", Uuid, None),
            ("P843 uuid of case kept as a name", &upper, Name, Some(&*upper)),
        ] {
            let app = AppId::from_segment(raw.as_bytes(), grammar);
            assert_eq!(app.as_ref().map(AppId::as_str), want, "{name}");
            let workspace = WorkspaceId::from_segment(raw.as_bytes(), grammar);
            assert_eq!(workspace.as_ref().map(WorkspaceId::as_str), want, "{name}");
        }
        assert_eq!(AppId::from_segment(b"a\xFF", Name), None, "P843 raw byte beyond ASCII");
    }

    proptest! {
        /// XT3.4, the part of the segment: an id of the grammar or nothing, and decoding happens once.
        #[test]
        fn segments_are_ids_or_nothing(
            raw in prop_oneof![
                vec(any::<u8>(), 0..80),
                "([A-Za-z0-9_-]|%[0-9a-fA-F]{2}|%|[+./]){0,70}".prop_map(String::into_bytes),
            ],
        ) {
            if let Some(app) = AppId::from_segment(&raw, SegmentGrammar::Name) {
                prop_assert_eq!(AppId::new(app.as_str()), Ok(app.clone()));
                prop_assert_eq!(naive_decode(&raw), Some(app.as_str().as_bytes().to_vec()));
            } else {
                let good = naive_decode(&raw)
                    .and_then(|bytes| String::from_utf8(bytes).ok())
                    .is_some_and(|text| AppId::new(text).is_ok());
                prop_assert!(!good);
            }
        }
    }

    fn naive_decode(raw: &[u8]) -> Option<Vec<u8>> {
        let mut pieces = raw.split(|byte| *byte == b'%');
        let mut decoded = pieces.next()?.to_vec();
        for piece in pieces {
            let digits = piece.get(..2).filter(|two| two.iter().all(u8::is_ascii_hexdigit))?;
            decoded.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            decoded.extend_from_slice(&piece[2..]);
        }
        Some(decoded)
    }
}
