//! Which token proves to an issuer who the caller is, and which who acts for it? RFC 8693 §2.1.
//!
//! 1. The subject token is the presented one, one that this process makes, or one of the user's own: one of them, never another
//!    in its place. It is no cookie, no query and no second header.
//! 2. Where a JWT is promised, what is no JWT by its shape is never sent to anybody (RFC 7519 §3).
//! 3. An actor that the caller's verified claims do not permit acts for nobody (RFC 8693 §4.4).

use std::fmt;
use std::sync::Arc;

use super::credential::{Asked, Mints as _};
use super::link::UserOidc;
use super::refusal::{misconfigured, reauth};
use crate::rejection::Rejection;
use crate::secret::Secret;
use crate::store::TypedToken;

/// The token that proves to an issuer who the caller is. `Debug` shows what it is, never one.
#[derive(Clone)]
pub struct SubjectFrom {
    token_type: String,
    source: Source,
}

#[derive(Clone)]
enum Source {
    Presented,
    Made(Arc<MakesToken>),
    UserLink(UserOidc),
}

/// Makes a token about the caller; `None` if it cannot.
pub(crate) type MakesToken = dyn Fn(&Asked<'_>) -> Option<Secret> + Send + Sync;

/// The type of an access token (RFC 8693 §3).
pub(super) const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

impl SubjectFrom {
    /// The token that the request came with, as a token of this type (RFC 8693 §3).
    ///
    /// On the client side the request must carry it:
    /// [`AuthContext::dangerously_attach_with_token`](crate::AuthContext::dangerously_attach_with_token).
    pub fn presented(token_type: impl Into<String>) -> Self {
        Self { token_type: token_type.into(), source: Source::Presented }
    }

    /// The user's own access token of an identity provider, as a token of this type.
    pub fn user_link(link: UserOidc, token_type: impl Into<String>) -> Self {
        Self { token_type: token_type.into(), source: Source::UserLink(link) }
    }

    /// A token that this process makes for each question.
    #[expect(dead_code, reason = "for the assertions of this process")]
    pub(crate) fn made(token_type: impl Into<String>, make: Arc<MakesToken>) -> Self {
        Self { token_type: token_type.into(), source: Source::Made(make) }
    }

    pub(super) fn needs_presented(&self) -> bool {
        match &self.source {
            Source::Presented => true,
            Source::Made(_) => false,
            Source::UserLink(link) => link.needs_presented(),
        }
    }

    /// What can be said of it without waiting: a request that cannot prove who calls is refused before anybody is asked.
    pub(super) fn check(&self, asked: &Asked<'_>) -> Result<(), Rejection> {
        match (&self.source, asked.presented) {
            (Source::Presented, None) => Err(misconfigured()),
            (Source::Presented, Some(token)) => self.fits(token),
            (Source::Made(_) | Source::UserLink(_), _) => Ok(()),
        }
    }

    /// The token, or how it is come by.
    pub(super) fn token(&self, asked: &Asked<'_>) -> Result<Found, Rejection> {
        let token = match &self.source {
            Source::Presented => asked.presented.cloned().ok_or_else(misconfigured)?,
            Source::Made(make) => make(asked).ok_or_else(misconfigured)?,
            Source::UserLink(link) => return Ok(Found::Later(link.token(asked))),
        };
        self.typed(token).map(Found::Now)
    }

    /// A token of the type that was promised.
    pub(super) fn typed(&self, token: Secret) -> Result<TypedToken, Rejection> {
        self.fits(&token)?;
        Ok(TypedToken::new(token, self.token_type.clone()))
    }

    fn fits(&self, token: &Secret) -> Result<(), Rejection> {
        let is_jwt = !self.token_type.ends_with(":jwt") || has_shape_of_jwt(token.expose());
        if is_jwt { Ok(()) } else { Err(reauth()) }
    }
}

/// A token at hand, or one that must be waited for.
pub(super) enum Found {
    Now(TypedToken),
    Later(std::pin::Pin<Box<dyn Future<Output = Result<Secret, Rejection>> + Send>>),
}

impl fmt::Debug for SubjectFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match self.source {
            Source::Presented => "presented",
            Source::Made(_) => "made",
            Source::UserLink(_) => "user_link",
        };
        f.debug_struct("SubjectFrom")
            .field("source", &source)
            .field("token_type", &self.token_type)
            .finish_non_exhaustive()
    }
}

/// Who acts on the caller's behalf, and by which token. `Debug` shows no token.
#[derive(Clone, Debug)]
#[must_use]
pub struct Actor {
    pub(super) subject: String,
    pub(super) issuer: Option<String>,
    pub(super) token: TypedToken,
}

impl Actor {
    /// The party that the token's `sub` names, and its token (RFC 8693 §3).
    pub fn new(
        subject: impl Into<String>,
        token: impl Into<Secret>,
        token_type: impl Into<String>,
    ) -> Self {
        let token = TypedToken::new(token.into(), token_type);
        Self { subject: subject.into(), issuer: None, token }
    }

    /// The issuer of the actor's token, its `iss`.
    pub fn with_issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Whether a verified claim `may_act` permits this actor: its `sub` and, if it is there, its `iss` are strings equal to the
    /// actor's. Any other shape permits nobody.
    pub(super) fn is_permitted_by(&self, may_act: &serde_json::Value) -> bool {
        let Some(claim) = may_act.as_object() else { return false };
        let subject = claim.get("sub").and_then(serde_json::Value::as_str);
        let issuer = match claim.get("iss") {
            None => true,
            Some(issuer) => issuer.as_str().is_some_and(|iss| self.issuer.as_deref() == Some(iss)),
        };
        subject == Some(self.subject.as_str()) && issuer
    }
}

/// Three parts that are not empty, between two dots.
fn has_shape_of_jwt(token: &str) -> bool {
    let mut parts = token.split('.');
    let three = [parts.next(), parts.next(), parts.next()];
    parts.next().is_none() && three.iter().all(|part| part.is_some_and(|part| !part.is_empty()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn shapes_of_jwt() {
        for (name, token, want) in [
            ("FJ1", "aaa.bbb.ccc", true),
            ("FJ3 opaque", "tba_opaque", false),
            ("FJ3 four parts", "a.b.c.d", false),
            ("F125 two parts", "a.b", false),
            ("F125 an empty part", "a..c", false),
            ("F125 an empty end", "a.b.", false),
            ("F125 nothing", "", false),
        ] {
            assert_eq!(has_shape_of_jwt(token), want, "{name}");
        }
    }

    #[test]
    fn who_may_act() {
        let actor = Actor::new("svc-y", "token", ACCESS_TOKEN).with_issuer("https://as.example");
        for (name, may_act, want) in [
            ("FJ8", json!({"sub": "svc-x"}), false),
            ("F129 itself", json!({"sub": "svc-y"}), true),
            ("F129 of its issuer", json!({"sub": "svc-y", "iss": "https://as.example"}), true),
            ("F129 of another", json!({"sub": "svc-y", "iss": "https://evil.example"}), false),
            (
                "F129 issuer no string",
                json!({"sub": "svc-y", "iss": ["https://as.example"]}),
                false,
            ),
            ("F129 issuer null", json!({"sub": "svc-y", "iss": null}), false),
            ("F129 several", json!([{"sub": "svc-y"}]), false),
            ("F129 a list of subjects", json!({"sub": ["svc-y"]}), false),
            ("F129 a string", json!("svc-y"), false),
            ("F129 null", json!(null), false),
            ("F129 nobody", json!({}), false),
        ] {
            assert_eq!(actor.is_permitted_by(&may_act), want, "{name}");
        }
    }
}
