//! What a refusal is, and what each kind says on the wire: one table.

use http::StatusCode;

/// Why a request was refused, as the client sees it.
///
/// One kind, one status, one `error` member, one text. What exactly was wrong is for the audit alone.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum RejectionKind {
    /// Not exactly one well-formed credential (RFC 6750 §3.1 `invalid_request`).
    InvalidRequest,
    /// No credential, or one of another scheme.
    MissingCredential,
    /// The token is unknown, expired, revoked or malformed (RFC 6750 §3.1 `invalid_token`).
    InvalidToken,
    /// A valid token of a kind that is not accepted here.
    UnsupportedKind,
    /// Over a limit that waiting cures.
    RateLimited,
    /// Costs more than the limit ever allows.
    CostOverLimit,
    /// The token lacks a scope (RFC 6750 §3.1 `insufficient_scope`).
    InsufficientScope,
    /// No such resource, or the caller may not see it.
    NotFound,
    /// The app is disabled.
    AppDisabled,
    /// Not an active member of the workspace, where that may be told.
    NotMember,
    /// The app's access rule says no.
    AppAccessDenied,
    /// No answer could be had: try again.
    Undecidable,
    /// A layer ran without one it needs, or lacks a fact it needs: a programmer's slip.
    Misordered,
    /// A fact about the caller has no form that can be sent to the upstream.
    IdentityUnencodable,
    /// The facts about the caller are too large to be sent to the upstream.
    IdentityTooLarge,
    /// No upstream is configured for this request.
    ForwardMisconfigured,
    /// The request is for another origin than the upstream's.
    OriginMismatch,
    /// What a request says of its caller was not signed for us, now, for the first time.
    NotVerified,
    /// Nobody could say whether a signed request was sent before: try again.
    NonceStoreUnavailable,
    /// No credential for the upstream without the caller's signing in again (RFC 9470 §3).
    ReauthRequired,
    /// No credential for the upstream before the caller signs in with the identity provider.
    LoginRequired,
    /// The issuer gives this caller no credential for the upstream.
    IdentityDenied,
    /// The credential that would be sent was not made for the upstream.
    AudienceMismatch,
    /// The issuer of credentials could not say, or does not accept this service: try again.
    IssuerUnavailable,
    /// The issuer of credentials did not say in time: try again.
    IssuerTimeout,
    /// The store of users' links could not say: try again.
    LinkStoreUnavailable,
    /// The body is larger than what is read to be signed.
    BodyTooLargeToSign,
    /// The body ended early or wrong.
    BodyUnreadable,
    /// The upstream answered 401 to what it was told of the caller.
    UpstreamRefusedIdentity,
    /// No JSON text that can be read (JSON-RPC 2.0 §4).
    McpBodyInvalid,
    /// `params` or `_meta` is there and no object: identity has no place in it.
    McpParamsNotObject,
    /// A member is there twice where identity goes.
    McpDuplicateMember,
    /// The body, or its batch, is larger than what is read.
    McpBodyTooLarge,
    /// A body that cannot be read, or none that identity could go into.
    McpBodyUnsupported,
    /// No such MCP session of this caller.
    SessionNotFound,
}

/// How a kind reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire {
    pub(crate) status: StatusCode,
    pub(crate) error: &'static str,
    pub(crate) detail: &'static str,
    pub(crate) challenge: Challenges,
}

/// Does the kind carry a `WWW-Authenticate` field, and of what form?
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Challenges {
    /// None.
    No,
    /// Without `error`: nothing was presented (RFC 6750 §3.1).
    Bare,
    /// With `error` and `error_description`.
    WithError,
    /// With `error="insufficient_user_authentication"` and `error_description` (RFC 9470 §3).
    StepUp,
}

impl RejectionKind {
    /// Nobody could say: try again after `Retry-After`.
    pub(crate) const fn is_undecided(self) -> bool {
        matches!(
            self,
            Self::Undecidable
                | Self::NonceStoreUnavailable
                | Self::IssuerUnavailable
                | Self::IssuerTimeout
                | Self::LinkStoreUnavailable
        )
    }

    pub(crate) const ALL: [Self; 35] = [
        Self::InvalidRequest,
        Self::MissingCredential,
        Self::InvalidToken,
        Self::UnsupportedKind,
        Self::RateLimited,
        Self::CostOverLimit,
        Self::InsufficientScope,
        Self::NotFound,
        Self::AppDisabled,
        Self::NotMember,
        Self::AppAccessDenied,
        Self::Undecidable,
        Self::Misordered,
        Self::IdentityUnencodable,
        Self::IdentityTooLarge,
        Self::ForwardMisconfigured,
        Self::OriginMismatch,
        Self::NotVerified,
        Self::NonceStoreUnavailable,
        Self::ReauthRequired,
        Self::LoginRequired,
        Self::IdentityDenied,
        Self::AudienceMismatch,
        Self::IssuerUnavailable,
        Self::IssuerTimeout,
        Self::LinkStoreUnavailable,
        Self::BodyTooLargeToSign,
        Self::BodyUnreadable,
        Self::UpstreamRefusedIdentity,
        Self::McpBodyInvalid,
        Self::McpParamsNotObject,
        Self::McpDuplicateMember,
        Self::McpBodyTooLarge,
        Self::McpBodyUnsupported,
        Self::SessionNotFound,
    ];

    /// The status of the answer.
    pub const fn status(self) -> StatusCode {
        self.wire().status
    }

    /// The `error` member of the body.
    pub const fn error(self) -> &'static str {
        self.wire().error
    }

    pub(crate) const fn wire(self) -> Wire {
        use Challenges::{Bare, No, StepUp, WithError};
        let (status, error, detail, challenge) = match self {
            Self::InvalidRequest => (
                StatusCode::BAD_REQUEST,
                "invalid_request",
                "Send exactly one credential, as Authorization: Bearer <token>.",
                WithError,
            ),
            Self::MissingCredential => {
                (StatusCode::UNAUTHORIZED, "missing_token", "An access token is required.", Bare)
            }
            Self::InvalidToken => (
                StatusCode::UNAUTHORIZED,
                "invalid_token",
                "The access token is invalid, expired or revoked.",
                WithError,
            ),
            Self::UnsupportedKind => (
                StatusCode::FORBIDDEN,
                "unsupported_token_type",
                "This kind of access token is not accepted here.",
                No,
            ),
            Self::RateLimited => (
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limited",
                "Too many requests. Try again after the time in Retry-After.",
                No,
            ),
            Self::CostOverLimit => (
                StatusCode::TOO_MANY_REQUESTS,
                "cost_over_limit",
                "This request costs more than its limit ever allows.",
                No,
            ),
            Self::InsufficientScope => (
                StatusCode::FORBIDDEN,
                "insufficient_scope",
                "The access token lacks a required scope.",
                WithError,
            ),
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "not_found",
                "No such resource, or the caller may not see it.",
                No,
            ),
            Self::AppDisabled => {
                (StatusCode::FORBIDDEN, "app_disabled", "This app is disabled.", No)
            }
            Self::NotMember => (
                StatusCode::FORBIDDEN,
                "workspace_membership_required",
                "The caller is not an active member of this workspace.",
                No,
            ),
            Self::AppAccessDenied => {
                (StatusCode::FORBIDDEN, "app_access_denied", "The caller may not use this app.", No)
            }
            Self::Undecidable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                "The request could not be decided now. Try again later.",
                No,
            ),
            Self::Misordered => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal_error",
                "The request could not be processed.",
                No,
            ),
            Self::IdentityUnencodable => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "identity_unencodable",
                "The caller's identity cannot be forwarded.",
                No,
            ),
            Self::IdentityTooLarge => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "identity_too_large",
                "The caller's identity cannot be forwarded.",
                No,
            ),
            Self::ForwardMisconfigured => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "forward_misconfigured",
                "Identity forwarding is not configured for this target.",
                No,
            ),
            Self::OriginMismatch => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "forward_origin_mismatch",
                "Identity is not forwarded to this address.",
                No,
            ),
            Self::NotVerified => (
                StatusCode::FORBIDDEN,
                "identity_not_verified",
                "The forwarded identity could not be verified.",
                No,
            ),
            Self::NonceStoreUnavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "nonce_store_unavailable",
                "The request could not be decided now. Try again later.",
                No,
            ),
            Self::ReauthRequired => (
                StatusCode::UNAUTHORIZED,
                "identity_reauth_required",
                "Could not obtain a forwarded identity token: sign in again.",
                StepUp,
            ),
            Self::LoginRequired => (
                StatusCode::UNAUTHORIZED,
                "identity_login_required",
                "Could not obtain a forwarded identity token: sign in with the identity provider first.",
                StepUp,
            ),
            Self::IdentityDenied => (
                StatusCode::FORBIDDEN,
                "identity_denied",
                "Could not obtain a forwarded identity token: not permitted for this caller.",
                No,
            ),
            Self::AudienceMismatch => (
                StatusCode::FORBIDDEN,
                "token_audience_mismatch",
                "This token was not issued for the upstream.",
                No,
            ),
            Self::IssuerUnavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "identity_issuer_unavailable",
                "Could not obtain a forwarded identity token. Try again later.",
                No,
            ),
            Self::IssuerTimeout => (
                StatusCode::GATEWAY_TIMEOUT,
                "identity_issuer_timeout",
                "Could not obtain a forwarded identity token in time.",
                No,
            ),
            Self::LinkStoreUnavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "identity_store_unavailable",
                "Could not obtain a forwarded identity token. Try again later.",
                No,
            ),
            Self::BodyTooLargeToSign => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large_to_sign",
                "The request body cannot be forwarded.",
                No,
            ),
            Self::BodyUnreadable => (
                StatusCode::BAD_REQUEST,
                "body_unreadable",
                "The request body cannot be forwarded.",
                No,
            ),
            Self::UpstreamRefusedIdentity => (
                StatusCode::BAD_GATEWAY,
                "upstream_refused_identity",
                "The upstream did not accept the forwarded identity.",
                No,
            ),
            Self::McpBodyInvalid => (StatusCode::BAD_REQUEST, "mcp_body_invalid", MESSAGE, No),
            Self::McpParamsNotObject => {
                (StatusCode::BAD_REQUEST, "mcp_params_not_object", MESSAGE, No)
            }
            Self::McpDuplicateMember => {
                (StatusCode::BAD_REQUEST, "mcp_duplicate_member", MESSAGE, No)
            }
            Self::McpBodyTooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "mcp_body_too_large", MESSAGE, No)
            }
            Self::McpBodyUnsupported => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "mcp_body_unsupported", MESSAGE, No)
            }
            Self::SessionNotFound => {
                (StatusCode::NOT_FOUND, "session_not_found", "No such session.", No)
            }
        };
        Wire { status, error, detail, challenge }
    }
}

const MESSAGE: &str = "The JSON-RPC message cannot be forwarded.";
