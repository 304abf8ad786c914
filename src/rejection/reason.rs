//! Which step decided, and what exactly was wrong: fixed words for events and metrics, never on the wire.

/// The step that decided.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum StepName {
    /// `BearerCheck`.
    Bearer,
    /// `RateLimit`, or a limit in front of the stack.
    Limit,
    /// `ScopeCheck`.
    Scope,
    /// `AppResolver`.
    App,
    /// `WorkspaceMembershipCheck`.
    Membership,
    /// `AppAuthz`.
    Access,
    /// `CallerMount`.
    Caller,
    /// `IdentityForward`.
    Forward,
    /// `VerifyIdentity`.
    Verify,
}

impl StepName {
    /// The fixed word in events and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::Limit => "limit",
            Self::Scope => "scope",
            Self::App => "app",
            Self::Membership => "membership",
            Self::Access => "access",
            Self::Caller => "caller",
            Self::Forward => "forward",
            Self::Verify => "verify",
        }
    }
}

/// Defines the closed list of reasons with their fixed words.
macro_rules! reasons {
    ($($name:ident = $word:literal,)*) => {
        /// What exactly was wrong: for events and metrics, never on the wire.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        #[non_exhaustive]
        #[expect(missing_docs, reason = "each is its fixed word")]
        pub enum Reason {
            $($name,)*
        }

        impl Reason {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The fixed word in events and metrics.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

reasons! {
    NoCredential = "no_credential",
    OtherScheme = "other_scheme",
    Malformed = "malformed",
    TooLong = "too_long",
    SeveralCredentials = "several_credentials",
    UnknownPrefix = "unknown_prefix",
    BadShape = "bad_shape",
    BadChecksum = "bad_checksum",
    UnknownToken = "unknown_token",
    Revoked = "revoked",
    Expired = "expired",
    NotYetValid = "not_yet_valid",
    KindMismatch = "kind_mismatch",
    KindNotAccepted = "kind_not_accepted",
    RateLimited = "rate_limited",
    MissingScope = "missing_scope",
    BadId = "bad_id",
    AppUnknown = "app_unknown",
    WorkspaceInactive = "workspace_inactive",
    AppDisabled = "app_disabled",
    NoMembership = "no_membership",
    AccountInactive = "account_inactive",
    WrongWorkspace = "wrong_workspace",
    AccessMode = "access_mode",
    NotPermitted = "not_permitted",
    PolicyDenied = "policy_denied",
    CallerUnknown = "caller_unknown",
    StoreError = "store_error",
    Deadline = "deadline",
    Overload = "overload",
    Nonsense = "nonsense",
    Misordered = "misordered",
    Unencodable = "unencodable",
    TooLarge = "too_large",
    ForwardConfig = "forward_config",
    WrongOrigin = "wrong_origin",
    NoEntropy = "no_entropy",
    NoSignature = "no_signature",
    BadSignatureFields = "bad_signature_fields",
    UnknownKey = "unknown_key",
    WrongTime = "wrong_time",
    WrongAuthority = "wrong_authority",
    NotCovered = "not_covered",
    WrongDigest = "wrong_digest",
    WrongSignature = "wrong_signature",
    WrongIssuer = "wrong_issuer",
    WrongAudience = "wrong_audience",
    Undecodable = "undecodable",
    Replayed = "replayed",
    ReauthRequired = "reauth_required",
    LoginRequired = "login_required",
    IdentityDenied = "identity_denied",
    StepUp = "step_up",
    WrongUpstreamAudience = "wrong_upstream_audience",
    IssuerError = "issuer_error",
    IssuerRejectedUs = "issuer_rejected_us",
    IssuerBusy = "issuer_busy",
    IssuerDeadline = "issuer_deadline",
    BodyTooLarge = "body_too_large",
    BodyUnreadable = "body_unreadable",
    UpstreamRefused = "upstream_refused",
    SessionNotFound = "session_not_found",
}
