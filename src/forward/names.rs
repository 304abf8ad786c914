//! Which names has this crate an opinion on before anybody configures one?
//!
//! 1. [`BUILT_IN`]: what is removed from a request, by group.
//! 2. [`reserved`]: what no setting may emit, because it means something to HTTP or MCP.
//! 3. The shape of a prefix and of a single name.

use http::HeaderName;

use super::error::ConfigError;
use super::fold::Pattern;

/// Why a field is removed. The smallest wins where a name belongs to two.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Group {
    /// What this process emits as identity, credential or signature.
    Identity,
    /// Ids of our own hop.
    Leg,
    /// `Connection`, whose members name more fields.
    Connection,
    /// `TE`, of which `trailers` may stay.
    Te,
    /// `Trailer`, of which harmless members may stay.
    Trailer,
    /// `Upgrade`, which comes back if it is allowed.
    Upgrade,
    /// Other fields that end at this hop (RFC 9110 §7.6.1).
    Hop,
    /// Credentials of the client.
    Credential,
    /// What only a proxy in front of us may say.
    Proxy,
}

/// The prefix of identity headers unless another is chosen.
pub(crate) const DEFAULT_PREFIX: &str = "X-Forwarded-User";

/// Every name that is managed from the start.
pub(super) const BUILT_IN: &[(&str, Group)] = &[
    ("signature", Group::Identity),
    ("signature-input", Group::Identity),
    ("mcp-session-id", Group::Leg),
    ("connection", Group::Connection),
    ("te", Group::Te),
    ("trailer", Group::Trailer),
    ("upgrade", Group::Upgrade),
    ("keep-alive", Group::Hop),
    ("proxy-connection", Group::Hop),
    ("transfer-encoding", Group::Hop),
    ("http2-settings", Group::Hop),
    ("proxy-authenticate", Group::Hop),
    ("proxy-authorization", Group::Hop),
    ("proxy-authentication-info", Group::Hop),
    ("authorization", Group::Credential),
    ("cookie", Group::Credential),
    ("cookie2", Group::Credential),
    ("dpop", Group::Credential),
    ("txn-token", Group::Credential),
    ("x-upstream-authorization", Group::Credential),
    ("x-auth-request-*", Group::Credential),
    ("remote-user", Group::Credential),
    ("x-remote-user", Group::Credential),
    ("forwarded", Group::Proxy),
    ("x-forwarded-*", Group::Proxy),
    ("x-original-*", Group::Proxy),
    ("x-rewrite-url", Group::Proxy),
    ("x-real-ip", Group::Proxy),
    ("x-http-method", Group::Proxy),
    ("x-http-method-override", Group::Proxy),
    ("x-method-override", Group::Proxy),
];

const RESERVED: &[&str] = &[
    "host",
    "content-*",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-*",
    "te",
    "trailer",
    "upgrade",
    "http2-settings",
    "expect",
    "cookie",
    "set-cookie",
    "date",
    "via",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "accept*",
    "last-event-id",
    "mcp-*",
    "signature",
    "signature-input",
    "www-authenticate",
];

/// The reserved field that a pattern would emit.
pub(super) fn reserved(pattern: &Pattern) -> Option<&'static str> {
    RESERVED.iter().copied().find(|&reserved| Pattern::new(reserved).meets(pattern))
}

/// A prefix that may be emitted under.
pub(crate) fn prefix(text: &str) -> Result<Pattern, ConfigError> {
    let inner = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let ends = text.starts_with(|first: char| first.is_ascii_alphabetic()) && !text.ends_with('-');
    if !(inner && ends && (3..=64).contains(&text.len())) {
        return Err(ConfigError::PrefixShape);
    }
    let pattern = Pattern::family(text);
    reserved(&pattern).map_or(Ok(pattern), |reserved| Err(ConfigError::PrefixReserved { reserved }))
}

/// A field name, whatever it means.
pub(super) fn field_name(setting: &'static str, text: &str) -> Result<HeaderName, ConfigError> {
    HeaderName::from_bytes(text.as_bytes()).map_err(|_shape| ConfigError::NameShape { setting })
}

/// A field name that a setting may emit.
pub(crate) fn emitted_name(setting: &'static str, text: &str) -> Result<HeaderName, ConfigError> {
    let name = field_name(setting, text)?;
    match RESERVED
        .iter()
        .copied()
        .find(|&closed| Pattern::new(closed).covers(name.as_str().as_bytes()))
    {
        Some(reserved) => Err(ConfigError::NameReserved { setting, reserved }),
        None => Ok(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        let reserved = |reserved| Err(ConfigError::PrefixReserved { reserved });
        let long = "a".repeat(65);
        for (name, text, want) in [
            ("FG5 blank", "X Forwarded", Err(ConfigError::PrefixShape)),
            ("FG5 empty", "", Err(ConfigError::PrefixShape)),
            ("FG5 content-*", "Content", reserved("content-*")),
            ("FG5 host", "Host", reserved("host")),
            ("FG5 connection", "Connection", reserved("connection")),
            ("FG5 x-forwarded-for", "X-Forwarded", reserved("x-forwarded-for")),
            ("FG5 non-ASCII", "X-Benützer", Err(ConfigError::PrefixShape)),
            ("F266 underscore", "X_User", Err(ConfigError::PrefixShape)),
            ("F266 too short", "Xa", Err(ConfigError::PrefixShape)),
            ("F266 too long", &*long, Err(ConfigError::PrefixShape)),
            ("F266 ends in a dash", "X-User-", Err(ConfigError::PrefixShape)),
            ("F266 begins with a digit", "1-User", Err(ConfigError::PrefixShape)),
            ("F266 mcp-*", "Mcp", reserved("mcp-*")),
            ("F266 accept*", "Accept-User", reserved("accept*")),
            ("F266 set-cookie", "Set", reserved("set-cookie")),
            ("F266 longest", &long[..64], Ok(())),
            ("F266 shortest", "X-a", Ok(())),
            ("default", DEFAULT_PREFIX, Ok(())),
        ] {
            assert_eq!(prefix(text).map(|_| ()), want, "{name}");
        }
    }

    #[test]
    fn names() {
        let reserved = |reserved| Err(ConfigError::NameReserved { setting: "here", reserved });
        for (name, text, want) in [
            ("FG5 XA11", "Transfer-Encoding", reserved("transfer-encoding")),
            ("FG5 XA11", "TE", reserved("te")),
            ("FG5 XA11", "Upgrade", reserved("upgrade")),
            ("FG5 XA11 folded", "Content_Length", reserved("content-*")),
            ("XA11", "Content-Length", reserved("content-*")),
            ("XA11", "Host", reserved("host")),
            ("XA11", "Connection", reserved("connection")),
            ("F267", "Proxy-Authorization", reserved("proxy-*")),
            ("F267", "Accept", reserved("accept*")),
            ("F267", "X_Forwarded_For", reserved("x-forwarded-for")),
            ("F267", "Mcp-Session-Id", reserved("mcp-*")),
            ("F267 blank", "a b", Err(ConfigError::NameShape { setting: "here" })),
            ("F267 empty", "", Err(ConfigError::NameShape { setting: "here" })),
            ("free", "X-Dept", Ok("x-dept")),
            ("free, though a credential", "Authorization", Ok("authorization")),
        ] {
            let got = emitted_name("here", text);
            assert_eq!(
                got.as_ref().map(HeaderName::as_str).map_err(|error| *error),
                want,
                "{name}"
            );
        }
    }
}
