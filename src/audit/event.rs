//! What an event says: its name, how much it matters, and whom and what it is about.

use http::HeaderMap;
use std::borrow::Cow;

use crate::clock::Timestamp;
use crate::rejection::StepName;

/// The name of an event: `thing.what_happened`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum EventName {
    /// A request passed the whole stack (sampled).
    AuthAllowed,
    /// A request was refused with a status below 500.
    AuthDenied,
    /// A request could not be decided.
    AuthUndecided,
    /// A token was found expired, and its row was ended.
    TokenExpired,
    /// A row's kind or subject is not what the token's prefix says.
    TokenKindMismatch,
    /// A token was issued.
    TokenMinted,
    /// A token replaced an earlier one of its label.
    TokenRotated,
    /// A token was ended.
    TokenRevoked,
    /// Other processes may not have been told of a revocation or change in time; it is being repeated.
    RevocationBusLate,
    /// A caller source made a caller.
    CallerCreated,
    /// A layer ran without one it needs.
    StackMisordered,
    /// An account changed.
    AccountChanged,
    /// A workspace changed.
    WorkspaceChanged,
    /// An app changed.
    AppChanged,
    /// A member was removed.
    MemberRemoved,
    /// A request went on to an upstream, with the caller's identity or without (sampled).
    IdentityForwarded,
    /// A credential for an upstream was minted.
    IdentityMinted,
    /// A user's link with an identity provider got new tokens.
    IdentityLinkRefreshed,
    /// A user's link with an identity provider will never get new tokens: the user must sign in again.
    IdentityLinkBroken,
    /// An issuer of credentials does not accept this service.
    IdentityIssuerRejectedUs,
    /// A limiter's shared store is out; its outage rule decides.
    LimitDegraded,
    /// A limiter's shared store answers again.
    LimitRestored,
}

/// How much an event matters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Severity {
    /// Ordinary.
    Info,
    /// An outage or something like it.
    Warn,
    /// A programmer or operator must act.
    Error,
}

impl EventName {
    /// The fixed word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthAllowed => "auth.allowed",
            Self::AuthDenied => "auth.denied",
            Self::AuthUndecided => "auth.undecided",
            Self::TokenExpired => "token.expired",
            Self::TokenKindMismatch => "token.kind_mismatch",
            Self::TokenMinted => "token.minted",
            Self::TokenRotated => "token.rotated",
            Self::TokenRevoked => "token.revoked",
            Self::RevocationBusLate => "revocation.bus_late",
            Self::CallerCreated => "caller.created",
            Self::StackMisordered => "stack.misordered",
            Self::AccountChanged => "account.changed",
            Self::WorkspaceChanged => "workspace.changed",
            Self::AppChanged => "app.changed",
            Self::MemberRemoved => "member.removed",
            Self::IdentityForwarded => "identity.forwarded",
            Self::IdentityMinted => "identity.minted",
            Self::IdentityLinkRefreshed => "identity.link_refreshed",
            Self::IdentityLinkBroken => "identity.link_broken",
            Self::IdentityIssuerRejectedUs => "identity.issuer_rejected_us",
            Self::LimitDegraded => "limit.degraded",
            Self::LimitRestored => "limit.restored",
        }
    }

    /// How much it matters.
    pub const fn severity(self) -> Severity {
        match self {
            Self::AuthUndecided | Self::LimitDegraded | Self::IdentityLinkBroken => Severity::Warn,
            Self::TokenKindMismatch
            | Self::StackMisordered
            | Self::RevocationBusLate
            | Self::IdentityIssuerRejectedUs => Severity::Error,
            Self::AuthAllowed
            | Self::AuthDenied
            | Self::TokenExpired
            | Self::TokenMinted
            | Self::TokenRotated
            | Self::TokenRevoked
            | Self::CallerCreated
            | Self::AccountChanged
            | Self::WorkspaceChanged
            | Self::AppChanged
            | Self::MemberRemoved
            | Self::IdentityForwarded
            | Self::IdentityMinted
            | Self::IdentityLinkRefreshed
            | Self::LimitRestored => Severity::Info,
        }
    }
}

/// One event; what is unknown is `None`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Event<'a> {
    /// Which event.
    pub name: EventName,
    /// When, on the wall clock.
    pub at: Timestamp,
    /// The step that decided.
    pub step: Option<StepName>,
    /// The status of the answer.
    pub status: Option<u16>,
    /// The `error` word of the answer.
    pub error: Option<&'static str>,
    /// What exactly was wrong.
    pub reason: Option<&'a str>,
    /// The name of the token's kind.
    pub kind: Option<&'a str>,
    /// The token's public name.
    pub token_id: Option<&'a str>,
    /// The first 8 hex digits of the token's digest, where no public name is known.
    pub fingerprint: Option<&'a str>,
    /// The subject key.
    pub subject: Option<&'a str>,
    /// The client that the token was issued to.
    pub client_id: Option<&'a str>,
    /// The workspace of the app.
    pub workspace: Option<&'a str>,
    /// The app.
    pub app: Option<&'a str>,
    /// The configured name of the upstream or identity provider that this is about.
    pub upstream: Option<&'a str>,
    /// The route, where the authenticator was given a function that names it.
    pub route: Option<&'a str>,
    /// The request's `x-request-id`, where it is 1 to 128 visible ASCII characters.
    pub request_id: Option<&'a str>,
    /// How many events of this reason the cap held back in the last second that had some.
    pub suppressed: Option<u64>,
    /// For a request that went to an upstream: in which form, and in whose name.
    pub forwarded: Option<ForwardedTo<'a>>,
    /// For a change: whose, which field, and its values.
    pub change: Option<Change<'a>>,
}

/// How a caller's identity went to an upstream.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ForwardedTo<'a> {
    /// The upstream's audience.
    pub audience: &'a str,
    /// The word of the mode.
    pub mode: &'static str,
    /// `sent`, `anonymous` or `stripped`.
    pub outcome: &'static str,
    /// How the caller was authenticated: the name of the token's kind.
    pub auth_method: Option<&'a str>,
    /// Whose rights are used, where they are not the caller's.
    pub acting_as: Option<&'a str>,
    /// Who acts for whom, the current actor first. Of an address of e-mail, `email:` and 16 hex digits of its SHA-256.
    pub delegation_chain: &'a [Cow<'a, str>],
    /// The first 8 hex digits of the SHA-256 of the credential that was sent.
    pub credential: Option<&'a str>,
}

/// What changed in an administrative event.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Change<'a> {
    /// Whose.
    pub id: &'a str,
    /// Which field.
    pub field: &'a str,
    /// Its value before.
    pub from: &'a str,
    /// Its value now.
    pub to: &'a str,
}

impl<'a> Change<'a> {
    /// One field of one thing, before and after.
    pub fn new(id: &'a str, field: &'a str, from: &'a str, to: &'a str) -> Self {
        Self { id, field, from, to }
    }
}

impl Event<'_> {
    pub(crate) fn new(name: EventName, at: Timestamp) -> Self {
        Self {
            name,
            at,
            step: None,
            status: None,
            error: None,
            reason: None,
            kind: None,
            token_id: None,
            fingerprint: None,
            subject: None,
            client_id: None,
            workspace: None,
            app: None,
            upstream: None,
            route: None,
            request_id: None,
            suppressed: None,
            forwarded: None,
            change: None,
        }
    }
}

/// The inbound request id, where it can be told safely.
pub(crate) fn request_id(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get("x-request-id")?.as_bytes();
    let visible = value.iter().all(|byte| (0x21..=0x7E).contains(byte));
    let fits = (1..=128).contains(&value.len());
    if visible && fits { std::str::from_utf8(value).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_are_told_only_when_harmless() {
        for (name, value, want) in [
            ("plain", &b"req-1"[..], Some("req-1")),
            ("blank inside", b"a b", None),
            ("not ASCII", b"a\xff", None),
            ("empty", b"", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("x-request-id", http::HeaderValue::from_bytes(value).unwrap());
            assert_eq!(request_id(&headers), want, "{name}");
        }
    }
}
