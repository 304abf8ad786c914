//! What happens to one request's head on its way to one upstream, and to the answer's head on the way back?
//!
//! 1. Fields that end at this hop and managed names go first, whatever comes of the request.
//! 2. Static headers of the upstream go in, then identity, each by replacing: the client can neither add to it nor remove it.
//! 3. Never less identity than configured: an unknown caller is refused unless forwarding is optional, and so is a caller
//!    whose facts cannot be encoded or are too large.

#[cfg(feature = "signed")]
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Uri, response};
use std::sync::Arc;

use super::compat::{Coder, Unsent};
use super::config::ForwardOptions;
use super::error::{ConfigError, ForwardError};
use super::hmac::HmacKey;
use super::hop::Cleaned;
use super::identity::{Field, Identity};
use super::mcp::BoundId;
use super::mint::{Again, Credential, Minting, Mints, Parcel};
use super::mode::Mode;
use super::overrides::Override;
use super::scope_map::ScopeMap;
use super::set::ForwardSet;
use super::upstream::Upstream;
use super::write::{Plan, Writer};
#[cfg(feature = "signed")]
use super::{assertion::Claims, edge::Reading, sign::Unsigned};
#[cfg(feature = "signed")]
use crate::clock::Timestamp;
use crate::context::AuthContext;
use crate::secret::Secret;

/// Forwarding to one upstream, checked and ready: a pure function of a request's head and its caller.
///
/// Give one to many requests; it holds no state between them.
#[derive(Clone, Debug)]
#[must_use]
pub struct Forwarding {
    options: ForwardOptions,
    set: ForwardSet,
    action: Action,
}

/// What is done after the removal.
#[derive(Clone, Debug)]
pub(super) enum Action {
    Strip,
    Send(Box<Writer>),
    /// An override was refused, and there is nothing else to go by.
    Refuse,
}

/// A caller that was measured.
#[cfg_attr(not(feature = "signed"), expect(dead_code, reason = "no other mode has a credential"))]
struct Stated<'a> {
    writer: &'a Writer,
    identity: &'a Identity<'a>,
    plan: &'a Plan,
}

/// The header that proves who calls, if the mode has one.
type Carried = Option<(HeaderName, HeaderValue)>;

fn no_credential(_: Option<Stated<'_>>) -> Result<Carried, ForwardError> {
    Ok(None)
}

/// How a request was prepared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// Identity goes to the upstream.
    Sent,
    /// Nobody is known, and forwarding is optional: the request goes on without identity.
    Anonymous,
    /// Forwarding is off: only the removal was done.
    Stripped,
}

impl Outcome {
    /// The fixed word in metrics.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Anonymous => "anonymous",
            Self::Stripped => "stripped",
        }
    }
}

/// How a request was prepared, and what was removed from it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use = "the answer's head is cleaned by what was done to the request's"]
pub struct Prepared {
    outcome: Outcome,
    cleaned: Cleaned,
    left_out: Option<Field>,
}

impl Prepared {
    /// What the upstream is told.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The full name, where it has no value that a preset of [`compat`](super::compat) could send, and was left out.
    #[must_use]
    pub fn left_out(&self) -> Option<Field> {
        self.left_out
    }

    /// What was removed.
    #[must_use]
    pub fn cleaned(&self) -> &Cleaned {
        &self.cleaned
    }
}

impl Forwarding {
    pub(super) fn new(options: ForwardOptions, set: ForwardSet, action: Action) -> Self {
        Self { options, set, action }
    }

    /// Forwarding after a change of one upstream's override, and what is wrong with it if it is refused.
    ///
    /// A refused override leaves what was there before it. If nothing was, every request is refused as
    /// [`ForwardError::Misconfigured`]: the base is never used in its place.
    pub fn overridden(&self, before: Option<Self>, json: &str) -> (Self, Option<ConfigError>) {
        let local = Override::from_json(json).and_then(|differences| {
            self.options.with_override(&differences).and_then(ForwardOptions::build)
        });
        match local {
            Ok(forwarding) => (forwarding, None),
            Err(error) => {
                let refusing = || Self { action: Action::Refuse, ..self.clone() };
                (before.unwrap_or_else(refusing), Some(error))
            }
        }
    }

    /// Treats one more field of requests as the client's credential: the header that tokens are read from beside
    /// `Authorization`.
    pub fn credential_header(self, name: &HeaderName) -> Self {
        Self { set: self.set.with_credential(name), ..self }
    }

    /// Removes from a request's head what must not go on, then inserts static headers and identity.
    ///
    /// One walk over the names; no allocation if nothing is removed, one for each computed value.
    ///
    /// # Errors
    /// [`ForwardError::IdentityMissing`] if there is no identity and it is required; [`ForwardError::Unencodable`] and
    /// [`ForwardError::TooLarge`] name the field; [`ForwardError::Misconfigured`] after a refused override, and in every mode
    /// but `off` and `headers`: they need more than a caller. The removal is done in any case, and the request must not be sent.
    pub fn prepare_request(
        &self,
        head: &mut Parts,
        identity: Option<&Identity<'_>>,
    ) -> Result<Prepared, ForwardError> {
        if !matches!(self.mode(), Mode::Off | Mode::Headers) {
            let _counts = self.set.clean_request(&mut head.headers);
            return Err(ForwardError::Misconfigured);
        }
        self.prepare(head, identity, |_| (), no_credential)
    }

    /// As [`prepare_request`](Self::prepare_request), and signs what was inserted, or states it, if the mode says so.
    ///
    /// `now` is asked only for a signature. One that covers the body waits for it: see [`sign_body`](Self::sign_body). After this nothing that is covered may change: method, path, query and every
    /// header that was inserted. An optional request without identity is not signed.
    ///
    /// # Errors
    /// As [`prepare_request`](Self::prepare_request), and [`ForwardError::Unsigned`].
    #[cfg(feature = "signed")]
    #[cfg_attr(docsrs, doc(cfg(feature = "signed")))]
    pub fn prepare_request_at(
        &self,
        head: &mut Parts,
        identity: Option<&Identity<'_>>,
        now: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Result<Prepared, ForwardError> {
        if self.mode().mints() {
            return self.prepare_request(head, identity);
        }
        if self.mode() == Mode::Assertion {
            let state = |stated: Option<Stated<'_>>| {
                self.assertion(stated.ok_or(ForwardError::Misconfigured)?, now())
            };
            return self.prepare(head, identity, |_| (), state);
        }
        let signing = self.options.signing.as_ref();
        let Some(signing) = signing.filter(|_| self.mode() == Mode::SignedHeaders) else {
            return self.prepare(head, identity, |_| (), no_credential);
        };
        let mut inserted = Vec::new();
        let note = |name: &HeaderName| inserted.push(name.clone());
        let prepared = self.prepare(head, identity, note, no_credential)?;
        if prepared.outcome == Outcome::Sent {
            let authority = self.options.upstream.authority();
            if signing.binds_body() {
                let signing = signing.clone();
                Unsigned { signing, authority, inserted, now: Box::new(now) }.leave(head);
            } else {
                signing.sign(head, &authority, &inserted, now())?;
            }
        }
        Ok(prepared)
    }

    /// Signs a head that [`prepare_request_at`](Self::prepare_request_at) prepared, over the whole body. Does nothing in modes that
    /// bind no body.
    ///
    /// For services without this crate's layers, which do it themselves.
    ///
    /// # Errors
    /// [`ForwardError::Unsigned`].
    #[cfg(feature = "signed")]
    #[cfg_attr(docsrs, doc(cfg(feature = "signed")))]
    pub fn sign_body(&self, head: &mut Parts, body: &Bytes) -> Result<(), ForwardError> {
        match head.extensions.remove::<Reading>() {
            Some(reading) => {
                reading.0.read(head, body).map_err(|_no_entropy| ForwardError::Unsigned)
            }
            None => Ok(()),
        }
    }

    fn prepare(
        &self,
        head: &mut Parts,
        identity: Option<&Identity<'_>>,
        inserted: impl FnMut(&HeaderName),
        credential: impl FnOnce(Option<Stated<'_>>) -> Result<Carried, ForwardError>,
    ) -> Result<Prepared, ForwardError> {
        let cleaned = self.set.clean_request(&mut head.headers);
        let writer = match &self.action {
            Action::Strip => {
                BoundId::put_back(head);
                let outcome = Outcome::Stripped;
                return Ok(Prepared { outcome, cleaned, left_out: None });
            }
            Action::Refuse => return Err(ForwardError::Misconfigured),
            Action::Send(writer) => writer,
        };
        if identity.is_none() && self.options.required {
            return Err(ForwardError::IdentityMissing);
        }
        // where nothing of it is sent, nothing of it need fit
        let told = identity.filter(|_| !self.mode().mints() || self.sends_headers());
        let plan = told.map(|identity| writer.plan(identity)).transpose()?;
        let left_out = plan.as_ref().and_then(Plan::left_out);
        let stated = told.zip(plan.as_ref());
        let stated = stated.map(|(identity, plan)| Stated { writer, identity, plan });
        let credential = if identity.is_some() { credential(stated)? } else { None };
        for (name, value) in self.options.upstream.statics() {
            if !self.is_target(name) {
                head.headers.insert(name.clone(), value.clone());
            }
        }
        BoundId::put_back(head);
        if let (Some(identity), Some(plan), true) = (identity, plan, self.sends_headers()) {
            writer.write(plan, identity, &mut head.headers, inserted)?;
        }
        if let Some((name, value)) = credential {
            head.headers.insert(name, value);
        }
        let outcome = identity.map_or(Outcome::Anonymous, |_| Outcome::Sent);
        Ok(Prepared { outcome, cleaned, left_out })
    }

    /// The header that holds an assertion of its own.
    #[cfg(feature = "signed")]
    fn assertion(&self, stated: Stated<'_>, now: Timestamp) -> Result<Carried, ForwardError> {
        let ForwardOptions { assertions, carrier, upstream, .. } = &self.options;
        let (assertions, carrier) =
            assertions.as_ref().zip(carrier.as_ref()).ok_or(ForwardError::Misconfigured)?;
        let Stated { writer, identity, plan } = stated;
        let claims = Claims { writer, identity, omitted: plan.omitted() };
        let token = assertions.state(upstream.audience(), claims, now)?;
        Ok(Some((carrier.name().clone(), carrier.value(token)?)))
    }

    /// As [`prepare_request`](Self::prepare_request), with what was minted for the caller. Without it nothing is sent.
    pub(crate) fn prepare_minted(
        &self,
        head: &mut Parts,
        identity: Option<&Identity<'_>>,
        credential: Option<&Credential>,
    ) -> Result<Prepared, ForwardError> {
        let carry = |_: Option<Stated<'_>>| {
            let carrier = self.options.carrier.as_ref();
            let (credential, carrier) =
                credential.zip(carrier).ok_or(ForwardError::Misconfigured)?;
            Ok(Some((carrier.name().clone(), carrier.carried(credential))))
        };
        self.prepare(head, identity, |_| (), carry)
    }

    /// What coder's headers say of this caller, to be left for the body's reader once the head was prepared.
    pub(crate) fn unsent(
        &self,
        head: &Parts,
        context: &AuthContext,
    ) -> Result<Option<Unsent>, ForwardError> {
        let coder = self.options.coder.as_ref().filter(|_| self.mint().is_some());
        coder.map_or(Ok(None), |coder| coder.unsent(head, context))
    }

    /// What tells the key of a preset from every other key.
    pub(crate) fn key_tag(&self) -> Option<[u8; 32]> {
        let key = self.options.claims.as_ref();
        key.or_else(|| self.options.coder.as_ref().map(Coder::key)).map(HmacKey::tag)
    }

    /// What mints the credential of a caller, in a mode that has one.
    pub(crate) fn mint(&self) -> Option<&Arc<dyn Mints>> {
        let sends = matches!(self.action, Action::Send(_)) && self.mode().mints();
        self.options.mint.as_ref().filter(|_| sends).map(Minting::source)
    }

    /// May a request be sent again?
    pub(crate) fn resends(&self) -> bool {
        self.options.resend.is_some() && self.mode() != Mode::Passthrough
    }

    /// What it takes to send a request of this caller again, if `sent` is not accepted.
    pub(crate) fn again(
        &self,
        context: AuthContext,
        presented: Option<Secret>,
        sent: Credential,
    ) -> Option<Again> {
        let cap = self.options.resend.filter(|_| self.resends())?;
        let (mints, carrier) = (Arc::clone(self.mint()?), self.options.carrier.clone()?);
        let upstream = self.options.upstream.clone();
        let parcel = Parcel { mints, context, upstream, carrier, presented, sent, cap };
        Some(Again(Arc::new(parcel)))
    }

    /// A static header never stands where a credential of the caller's would.
    fn is_target(&self, name: &HeaderName) -> bool {
        let carrier = self.options.carrier.as_ref().filter(|_| self.mode().has_credential());
        carrier.is_some_and(|carrier| carrier.name() == name)
    }

    fn sends_headers(&self) -> bool {
        !self.mode().has_credential() || self.options.with_headers
    }

    /// Removes from an answer's head what ends at this hop and what looks like our identity.
    pub fn clean_response(&self, head: &mut response::Parts, request: &Prepared) -> Cleaned {
        self.set.clean_response(head.status, &mut head.headers, &request.cleaned)
    }

    /// Whether this field is sent when it is known, so that nobody needs to look for it otherwise.
    #[must_use]
    pub fn sends(&self, field: Field) -> bool {
        let told = !self.mode().mints() || self.options.with_headers;
        matches!(&self.action, Action::Send(writer) if told && writer.fields.holds(field))
    }

    #[cfg(all(test, feature = "signed"))]
    pub(super) fn writer(&self) -> Option<&Writer> {
        match &self.action {
            Action::Send(writer) => Some(writer),
            Action::Strip | Action::Refuse => None,
        }
    }

    /// Whether what is sent depends on the time.
    #[cfg(feature = "signed")]
    pub(crate) fn needs_time(&self) -> bool {
        matches!(self.mode(), Mode::SignedHeaders | Mode::Assertion)
    }

    /// Whether a request without identity is refused.
    #[must_use]
    pub fn needs_identity(&self) -> bool {
        !self.is_off() && self.options.required
    }

    /// Our scopes in place of the upstream's.
    pub(crate) fn scopes(&self) -> &ScopeMap {
        &self.options.scopes
    }

    /// Whether nothing is ever sent: only the removal is done, for whoever calls.
    #[must_use]
    pub fn is_off(&self) -> bool {
        matches!(self.action, Action::Strip)
    }

    /// Whether `uri` may be told who the caller is: its origin is the upstream's.
    #[must_use]
    pub fn same_origin(&self, uri: &Uri) -> bool {
        self.options.upstream.same_origin(uri)
    }

    /// The form that identity has now: `off` where an override switched it off.
    pub(crate) fn mode(&self) -> Mode {
        if self.is_off() { Mode::Off } else { self.options.mode }
    }

    /// The upstream.
    pub fn upstream(&self) -> &Upstream {
        &self.options.upstream
    }

    /// The names that are removed, and the rules of removal.
    pub fn set(&self) -> &ForwardSet {
        &self.set
    }
}
