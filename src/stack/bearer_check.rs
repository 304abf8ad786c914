//! Who is calling? The first of the eight layers.
//!
//! 1. Leaves the [`AuthContext`]; its presence is the evidence.
//! 2. Exactly one credential, in `Authorization` (or one named header); a bad one is final (RFC 6750 §2.1, §3.1).
//! 3. A valid token of a kind that is not accepted here: 403. An invalid token of any kind: 401.
//! 4. What the store cannot answer is 503.

use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::request::Parts;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::authenticator::{Authenticator, Sight};
use crate::context::{AuthContext, Realm, TokenFacts};
use crate::evidence::Evidence;
use crate::gate::{Attempt, Later, Passage, Step, Vary, step_layer};
use crate::rejection::{Rejection, StepName};
use crate::scope::{RequiredScopes, ScopeError};
use crate::token::credential::{CredentialError, read};

/// Lets through callers with a live token of an accepted kind.
///
/// | status | kind | when |
/// | --- | --- | --- |
/// | 400 | `invalid_request` | not exactly one well-formed credential |
/// | 401 | `missing_token` | none, or one of another scheme |
/// | 401 | `invalid_token` | unknown, expired, revoked, malformed |
/// | 403 | `unsupported_token_type` | a valid token of another kind |
/// | 503 | `temporarily_unavailable` | the store could not say |
///
/// A clone shares the authenticator's caches and costs a few reference counts.
///
/// ```
/// # use tower_bearer::{Authenticator, stack::BearerCheck};
/// # fn example(auth: &Authenticator) -> Result<(), Box<dyn std::error::Error>> {
/// let layer = BearerCheck::new(auth).accept(["account"])?;
/// # let _ = layer; Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct BearerCheck {
    auth: Authenticator,
    realm: Arc<Realm>,
    accepted: Option<Arc<Vec<Arc<str>>>>,
    optional: bool,
    vary: Option<Arc<Vary>>,
}

/// Why a set of accepted kinds was not taken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// A check that accepts nothing is a mistake.
    #[error("no kind is accepted")]
    Empty,
    /// The registry has no kind of this name.
    #[error("unknown kind {0:?}")]
    UnknownKind(String),
}

impl BearerCheck {
    /// Requires a live token of any kind that `auth` knows.
    pub fn new(auth: &Authenticator) -> Self {
        let check = Self {
            auth: auth.clone(),
            realm: Arc::clone(auth.realm()),
            accepted: None,
            optional: false,
            vary: None,
        };
        check.with_vary()
    }

    /// Accepts these kinds alone.
    ///
    /// # Errors
    ///
    /// [`AcceptError::UnknownKind`] for a name that the registry does not have, [`AcceptError::Empty`] for no name.
    pub fn accept<N: AsRef<str>>(
        mut self,
        kinds: impl IntoIterator<Item = N>,
    ) -> Result<Self, AcceptError> {
        let mut accepted: Vec<Arc<str>> = Vec::new();
        for name in kinds {
            let name = name.as_ref();
            if self.auth.kinds().get(name).is_none() {
                return Err(AcceptError::UnknownKind(name.to_owned()));
            }
            if !accepted.iter().any(|known| &**known == name) {
                accepted.push(Arc::from(name));
            }
        }
        if accepted.is_empty() {
            return Err(AcceptError::Empty);
        }
        self.accepted = Some(Arc::new(accepted));
        Ok(self)
    }

    /// Lets requests without any credential by as anonymous; a presented bad one is refused all the same.
    ///
    /// Later steps that need a subject answer an anonymous request 401. Every answer carries `Vary: Authorization`.
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self.with_vary()
    }

    /// Names scopes in the challenge of a request without a credential (RFC 6750 §3).
    ///
    /// # Errors
    ///
    /// [`ScopeError`] for an empty set or a name outside the scope grammar.
    pub fn challenge_scope<N: AsRef<str>>(
        mut self,
        scopes: impl IntoIterator<Item = N>,
    ) -> Result<Self, ScopeError> {
        self.hint(&RequiredScopes::all(scopes)?);
        Ok(self)
    }

    /// The first hint stands: one given by hand before the stack's own required scopes.
    fn hint(&mut self, scopes: &RequiredScopes) {
        if !self.realm.answers.has_scope_hint() {
            let answers = self.realm.answers.with_scope_hint(scopes.challenge_scopes().to_owned());
            let realm = Realm { answers: Arc::new(answers), ..Realm::clone(&self.realm) };
            self.realm = Arc::new(realm);
        }
    }

    fn with_vary(mut self) -> Self {
        let extra = self.auth.credential_header();
        let mut names = Vec::new();
        if self.optional {
            names.push(HeaderValue::from_static("authorization"));
        }
        names.extend(extra.map(|name| HeaderValue::from(name.clone())));
        let private = extra.is_some();
        self.vary = (!names.is_empty()).then(|| Arc::new(Vary { names, private }));
        self
    }

    /// Is a valid token's kind accepted here?
    fn verdict(&self, facts: &TokenFacts) -> Result<Evidence, Rejection> {
        match &self.accepted {
            Some(accepted) if !accepted.iter().any(|kind| **kind == *facts.kind.name()) => {
                Err(Rejection::unsupported_kind(Arc::clone(accepted)))
            }
            Some(_) | None => Ok(Evidence::AUTHENTICATED),
        }
    }

    /// What a context of this authenticator that is there already is worth here.
    fn reuse(&self, context: &AuthContext) -> Result<Evidence, Rejection> {
        match (&context.caller, self.optional) {
            (Some(facts), _) => self.verdict(facts),
            (None, true) => Ok(Evidence::ANONYMOUS),
            (None, false) => Err(Rejection::anonymous()),
        }
    }

    /// Puts a fresh context in place of whatever was there.
    fn leave(&self, passage: &mut Passage<'_>, facts: Option<Arc<TokenFacts>>, loaded: bool) {
        let now = passage.now(|| self.auth.read_clock());
        let epoch = self.realm.epoch.load(Ordering::Acquire);
        passage.notes.epoch = epoch;
        passage.notes.recall = facts.as_ref().and_then(|facts| facts.recent.recall(epoch));
        let mut context = AuthContext::new(Arc::clone(&self.realm), self.auth.number(), now);
        context.caller = facts;
        context.loaded = loaded;
        *passage.context = Some(context);
    }

    fn sight(&self, passage: &mut Passage<'_>) -> Result<Option<Sight>, Rejection> {
        let now = passage.now(|| self.auth.read_clock());
        let extra = self.auth.credential_header();
        let most = self.auth.kinds().max_token_len();
        let sight = match read(&passage.head.headers, extra, most) {
            Ok(token) => Some(self.auth.look(token, now)),
            Err(CredentialError::Missing) if self.optional => None,
            Err(error) => return Err(Rejection::from(error)),
        };
        mark_sensitive(passage.head, &AUTHORIZATION);
        if let Some(name) = extra {
            mark_sensitive(passage.head, name);
        }
        Ok(sight)
    }
}

step_layer!(BearerCheck);

impl Step for BearerCheck {
    const NAME: StepName = StepName::Bearer;
    const NEEDS: &'static [Evidence] = &[];
    const AUTHENTICATES: bool = true;

    fn realm(&self) -> Option<&Arc<Realm>> {
        Some(&self.realm)
    }

    fn prepare_for(&mut self, later: &Later<'_>) {
        match later {
            Later::Scopes(required) => self.hint(required),
            Later::Membership => {}
        }
    }

    fn attempt(&self, passage: &mut Passage<'_>) -> Attempt {
        passage.notes.vary.clone_from(&self.vary);
        if let Some(context) = passage.context.as_ref()
            && context.authenticator == self.auth.number()
        {
            return self.reuse(context).into();
        }
        match self.sight(passage) {
            Ok(Some(Sight::Known(facts))) => {
                let verdict = self.verdict(&facts);
                self.leave(passage, Some(facts), false);
                verdict.into()
            }
            Ok(Some(Sight::Refused(reason))) => {
                *passage.context = None;
                Attempt::Reject(Rejection::invalid_token(reason))
            }
            Ok(Some(Sight::Ask(..))) => Attempt::Ask,
            Ok(None) => {
                self.leave(passage, None, false);
                Attempt::Pass(Evidence::ANONYMOUS)
            }
            Err(rejection) => {
                *passage.context = None;
                Attempt::Reject(rejection)
            }
        }
    }

    async fn ask(&self, passage: &mut Passage<'_>) -> Result<Evidence, Rejection> {
        *passage.context = None;
        let now = passage.now(|| self.auth.read_clock());
        let facts = match self.sight(passage)? {
            Some(Sight::Known(facts)) => facts,
            Some(Sight::Refused(reason)) => return Err(Rejection::invalid_token(reason)),
            Some(Sight::Ask(digest, kind)) => {
                passage.notes.fingerprint = Some(digest.fingerprint());
                self.auth.load(digest, kind, now).await?
            }
            None => {
                self.leave(passage, None, false);
                return Ok(Evidence::ANONYMOUS);
            }
        };
        let verdict = self.verdict(&facts);
        self.leave(passage, Some(facts), true);
        verdict
    }
}

fn mark_sensitive(head: &mut Parts, name: &HeaderName) {
    if let Some(value) = head.headers.get_mut(name) {
        value.set_sensitive(true);
    }
}
