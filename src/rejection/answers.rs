//! How one authenticator's refusals read: its realm, problem types, metadata address and waiting time.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Uri};
use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use crate::rejection::challenge::Challenge;
use crate::rejection::kind::{Challenges, RejectionKind};
use crate::rejection::problem::{Extras, Problem};

/// The settings of the answers, with what can be written once written once.
#[derive(Clone)]
pub(crate) struct Answers {
    settings: Settings,
    written: Arc<[Written]>,
}

/// The raw settings, checked by [`Answers::new`].
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) realm: String,
    pub(crate) problem_base: Option<String>,
    pub(crate) resource_metadata: Option<String>,
    pub(crate) retry_after: Duration,
    /// Scope names for the challenge of a request without a credential, joined by a space.
    pub(crate) scope_hint: Option<String>,
}

/// A setting of the answers that cannot be sent as it is.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// The realm is not 1 to 128 bytes 0x20-0x7E.
    #[error("realm is not 1 to 128 printable ASCII characters")]
    BadRealm,
    /// The metadata address is not an absolute https URI (http for loopback only) without space, `"` or `\`.
    #[error("resource_metadata is not an absolute https URI")]
    BadResourceMetadata,
    /// The problem base is not an absolute http(s) URI that ends in `/`.
    #[error("problem_base is not an absolute http or https URI that ends in a slash")]
    BadProblemBase,
    /// The waiting time of a 503 is not 1 to 60 whole seconds.
    #[error("retry_after is not 1 to 60 whole seconds")]
    BadRetryAfter,
}

/// What one kind without extras sends.
struct Written {
    challenge: Option<HeaderValue>,
    body: Bytes,
    length: HeaderValue,
    /// Every field of an answer with this body.
    fields: HeaderMap,
}

pub(crate) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
pub(crate) const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

static DEFAULT: LazyLock<Arc<Answers>> = LazyLock::new(|| {
    Arc::new(Answers::new(Settings::default()).expect("the defaults are in range"))
});

impl Answers {
    pub(crate) fn new(settings: Settings) -> Result<Self, AnswerError> {
        let printable = |b: u8| (0x20..=0x7E).contains(&b);
        let plain =
            |text: &str| text.bytes().all(|b| b > 0x20 && printable(b) && b != b'"' && b != b'\\');
        if !(1..=128).contains(&settings.realm.len()) || !settings.realm.bytes().all(printable) {
            return Err(AnswerError::BadRealm);
        }
        if settings
            .resource_metadata
            .as_deref()
            .is_some_and(|at| !plain(at) || !is_https_or_loopback(at))
        {
            return Err(AnswerError::BadResourceMetadata);
        }
        let is_base = |base: &str| {
            let absolute = base.parse::<Uri>().is_ok_and(|uri| uri.host().is_some());
            plain(base) && absolute && base.starts_with("http") && base.ends_with('/')
        };
        if settings.problem_base.as_deref().is_some_and(|base| !is_base(base)) {
            return Err(AnswerError::BadProblemBase);
        }
        let retry = settings.retry_after;
        if !(1..=60).contains(&retry.as_secs()) || retry.subsec_nanos() != 0 {
            return Err(AnswerError::BadRetryAfter);
        }
        Ok(Self::of_checked(settings))
    }

    /// The defaults, shared: for refusals made where no authenticator is known.
    pub(crate) fn shared_default() -> &'static Arc<Self> {
        &DEFAULT
    }

    /// The same answers with another scope hint.
    pub(crate) fn with_scope_hint(&self, hint: String) -> Self {
        Self::of_checked(Settings { scope_hint: Some(hint), ..self.settings.clone() })
    }

    /// Writes each kind once, by settings that were checked.
    fn of_checked(settings: Settings) -> Self {
        let mut answers = Self { settings, written: Arc::new([]) };
        answers.written = RejectionKind::ALL.iter().map(|&kind| answers.write(kind)).collect();
        answers
    }

    pub(crate) fn has_scope_hint(&self) -> bool {
        self.settings.scope_hint.is_some()
    }

    pub(crate) fn retry_after_seconds(&self) -> u64 {
        self.settings.retry_after.as_secs()
    }

    /// The challenge of `kind`, where it has one; `scope` is what an `insufficient_scope` asks for.
    pub(crate) fn challenge(
        &self,
        kind: RejectionKind,
        scope: Option<&str>,
    ) -> Option<HeaderValue> {
        if scope.is_none() {
            return self.written.get(kind as usize).and_then(|written| written.challenge.clone());
        }
        self.write_challenge(kind, scope)
    }

    /// Every field and the body of an answer of `kind` without extras, copied as one.
    pub(crate) fn whole(&self, kind: RejectionKind) -> Option<(HeaderMap, Bytes)> {
        let written = self.written.get(kind as usize)?;
        Some((written.fields.clone(), written.body.clone()))
    }

    /// The body of `kind`, and its length as a field value.
    pub(crate) fn body(&self, kind: RejectionKind, extras: Extras<'_>) -> (Bytes, HeaderValue) {
        match (extras, self.written.get(kind as usize)) {
            (Extras::None, Some(written)) => (written.body.clone(), written.length.clone()),
            (extras, _) => {
                let base = self.settings.problem_base.as_deref();
                let body = Problem { kind, base, extras }.to_bytes();
                let length = HeaderValue::from(body.len());
                (body, length)
            }
        }
    }

    fn write(&self, kind: RejectionKind) -> Written {
        let base = self.settings.problem_base.as_deref();
        let body = Problem { kind, base, extras: Extras::None }.to_bytes();
        // from shared bytes: a clone of the value then costs a reference count
        let length = HeaderValue::from_maybe_shared(Bytes::from(body.len().to_string()));
        let length = length.expect("digits are a field value");
        let challenge = self.write_challenge(kind, None);
        let retry_after = kind.is_undecided().then(|| self.retry_after_seconds());
        let fields = [
            (WWW_AUTHENTICATE, challenge.clone()),
            (CACHE_CONTROL, Some(NO_STORE)),
            (RETRY_AFTER, retry_after.map(HeaderValue::from)),
            (CONTENT_TYPE, Some(PROBLEM)),
            (CONTENT_LENGTH, Some(length.clone())),
        ];
        let fields = fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        Written { challenge, body, length, fields }
    }

    fn write_challenge(&self, kind: RejectionKind, scope: Option<&str>) -> Option<HeaderValue> {
        let wire = kind.wire();
        let (error, description) = match wire.challenge {
            Challenges::No => return None,
            Challenges::Bare => (None, None),
            Challenges::WithError => (Some(wire.error), Some(wire.detail)),
            Challenges::StepUp => (Some("insufficient_user_authentication"), Some(wire.detail)),
        };
        let hint = self.settings.scope_hint.as_deref();
        let scope = if kind == RejectionKind::MissingCredential { hint } else { scope };
        let resource_metadata = self.settings.resource_metadata.as_deref();
        let realm = &self.settings.realm;
        Some(Challenge { realm, error, description, scope, resource_metadata }.to_value())
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            realm: String::from("api"),
            problem_base: None,
            resource_metadata: None,
            retry_after: Duration::from_secs(1),
            scope_hint: None,
        }
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

fn is_https_or_loopback(text: &str) -> bool {
    let Ok(uri) = text.parse::<Uri>() else { return false };
    let loopback = || matches!(uri.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match uri.scheme_str() {
        Some("https") => uri.host().is_some(),
        Some("http") => loopback(),
        Some(_) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is refused on the way to an upstream, and whether the caller can mend it by signing in or asking for more.
    #[test]
    fn fm3_only_what_the_caller_can_mend_is_challenged() {
        const SIGN_IN: &str = "insufficient_user_authentication";
        use RejectionKind as Kind;
        for (row, kind, status, error, challenged) in [
            ("F220", Kind::Misordered, 500, "internal_error", None),
            ("F221", Kind::MissingCredential, 401, "missing_token", Some("")),
            ("F222", Kind::ReauthRequired, 401, "identity_reauth_required", Some(SIGN_IN)),
            ("F223", Kind::LoginRequired, 401, "identity_login_required", Some(SIGN_IN)),
            (
                "F224",
                Kind::InsufficientScope,
                403,
                "insufficient_scope",
                Some("insufficient_scope"),
            ),
            ("F225", Kind::IdentityDenied, 403, "identity_denied", None),
            ("F226", Kind::AudienceMismatch, 403, "token_audience_mismatch", None),
            ("F227 F228", Kind::IssuerUnavailable, 503, "identity_issuer_unavailable", None),
            ("F229", Kind::IssuerTimeout, 504, "identity_issuer_timeout", None),
            ("F230", Kind::LinkStoreUnavailable, 503, "identity_store_unavailable", None),
            ("F231", Kind::IdentityUnencodable, 500, "identity_unencodable", None),
            ("F231", Kind::IdentityTooLarge, 500, "identity_too_large", None),
            ("F233", Kind::ForwardMisconfigured, 500, "forward_misconfigured", None),
            ("F234", Kind::OriginMismatch, 500, "forward_origin_mismatch", None),
            ("F235", Kind::BodyTooLargeToSign, 413, "body_too_large_to_sign", None),
            ("F235", Kind::BodyUnreadable, 400, "body_unreadable", None),
            ("F236", Kind::UpstreamRefusedIdentity, 502, "upstream_refused_identity", None),
            ("F237", Kind::McpBodyInvalid, 400, "mcp_body_invalid", None),
            ("F237", Kind::McpParamsNotObject, 400, "mcp_params_not_object", None),
            ("F237", Kind::McpDuplicateMember, 400, "mcp_duplicate_member", None),
            ("F237", Kind::McpBodyTooLarge, 413, "mcp_body_too_large", None),
            ("F237", Kind::McpBodyUnsupported, 415, "mcp_body_unsupported", None),
            ("F239", Kind::SessionNotFound, 404, "session_not_found", None),
            ("F240", Kind::NotVerified, 403, "identity_not_verified", None),
            ("F241", Kind::NonceStoreUnavailable, 503, "nonce_store_unavailable", None),
        ] {
            assert_eq!((kind.status().as_u16(), kind.error()), (status, error), "{row}");
            let challenge = Answers::shared_default().challenge(kind, None);
            let challenge = challenge.map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(challenge.is_some(), challenged.is_some(), "{row}");
            if let (Some(challenge), Some(word)) = (challenge, challenged) {
                let said = word.is_empty() || challenge.contains(&format!("error=\"{word}\""));
                assert!(said, "{row}: {challenge}");
            }
        }
        assert_eq!(
            Answers::shared_default().challenge(Kind::ReauthRequired, None).unwrap(),
            "Bearer realm=\"api\", error=\"insufficient_user_authentication\", error_description=\"Could not obtain a \
             forwarded identity token: sign in again.\"",
            "FM7"
        );
    }

    #[test]
    fn settings_out_of_range_are_build_errors() {
        let ok = Settings::default;
        let long = "x".repeat(129);
        for (name, settings, want) in [
            ("P924 empty realm", Settings { realm: String::new(), ..ok() }, AnswerError::BadRealm),
            ("P924 long realm", Settings { realm: long, ..ok() }, AnswerError::BadRealm),
            (
                "P924 control in realm",
                Settings { realm: "a\n".into(), ..ok() },
                AnswerError::BadRealm,
            ),
            (
                "P927 plain http",
                Settings { resource_metadata: Some("http://api.example/x".into()), ..ok() },
                AnswerError::BadResourceMetadata,
            ),
            (
                "P927 quote",
                Settings { resource_metadata: Some("https://api.example/\"".into()), ..ok() },
                AnswerError::BadResourceMetadata,
            ),
            (
                "P932 base without slash",
                Settings { problem_base: Some("https://api.example/p".into()), ..ok() },
                AnswerError::BadProblemBase,
            ),
            (
                "P1310 zero",
                Settings { retry_after: Duration::from_millis(900), ..ok() },
                AnswerError::BadRetryAfter,
            ),
            (
                "P1310 61 s",
                Settings { retry_after: Duration::from_secs(61), ..ok() },
                AnswerError::BadRetryAfter,
            ),
        ] {
            assert_eq!(Answers::new(settings).err(), Some(want), "{name}");
        }
        let loopback = Some(String::from("http://localhost:8080/x"));
        assert!(Answers::new(Settings { resource_metadata: loopback, ..ok() }).is_ok());
    }

    #[test]
    fn hints_show_only_where_nothing_was_presented() {
        let answers = Answers::shared_default().with_scope_hint("apps:run".into());
        for (name, kind, want) in [
            (
                "P951",
                RejectionKind::MissingCredential,
                Some(r#"Bearer realm="api", scope="apps:run""#),
            ),
            (
                "P952",
                RejectionKind::InvalidToken,
                Some(concat!(
                    r#"Bearer realm="api", error="invalid_token", "#,
                    r#"error_description="The access token is invalid, expired or revoked.""#
                )),
            ),
            ("P921 none", RejectionKind::NotFound, None),
        ] {
            let got = answers.challenge(kind, None);
            assert_eq!(got.as_ref().map(|value| value.to_str().unwrap()), want, "{name}");
        }
    }
}
