//! Is what the headers say of the caller signed, for us, now, and once?
//!
//! 1. A function of a head, a body and a time; only the nonce needs somebody who remembers.
//! 2. The signature is looked at after all that costs less, the nonce after the signature: nobody without a key fills a store.
//! 3. Every field that looks like identity is covered and has one line, in any spelling of its name.

use http::header::HOST;
use http::request::Parts;
use http::uri::Authority as Given;
use http::{HeaderMap, HeaderName};
use std::error::Error;
use std::sync::Arc;
use subtle::ConstantTimeEq as _;

use super::caller::{Identifiers, VerifiedCaller};
use super::fields::Signed;
use crate::clock::Timestamp;
use crate::forward::sign::{
    Base, CONTENT_DIGEST, DEFAULT_CAP, LARGEST_CAP, LONGEST_LIFE, SIGNATURE, SIGNATURE_INPUT,
    Target, digest_field,
};
use crate::forward::{
    Authority, ConfigError, DEFAULT_PREFIX, Pattern, VerifyingKeys, emitted_name, prefix,
};
use crate::rejection::Reason;
use crate::store::NonceStore;

/// Verifies what a gateway in mode `signed_headers` says of a caller.
///
/// A clone costs a reference count; it holds no state between requests.
#[derive(Clone, Debug)]
#[must_use]
pub struct Verifier(Arc<Rules>);

#[derive(Debug)]
struct Rules {
    keys: VerifyingKeys,
    authorities: Vec<Authority>,
    prefix: String,
    family: Pattern,
    mapped: Vec<HeaderName>,
    others: Vec<Pattern>,
    identifiers: Identifiers,
    bound: bool,
    cap: usize,
}

/// Settings of a [`Verifier`]: the gateway's, seen from the other end.
#[derive(Clone, Debug)]
#[must_use = "settings do nothing until they are built"]
pub struct VerifierBuilder {
    keys: VerifyingKeys,
    urls: Vec<String>,
    prefix: String,
    mapped: Vec<String>,
    identifiers: Identifiers,
    bound: bool,
    cap: usize,
}

/// Why a request is not believed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// It is not what a gateway signed for us, now. Answer 403, and say no more than that.
    #[error("the forwarded identity could not be verified ({})", reason.as_str())]
    NotVerified {
        /// What failed: for logs and metrics.
        reason: Reason,
    },
    /// Nobody could say whether it was sent before. Answer 503.
    #[error("the nonce store gave no answer")]
    NonceStore {
        /// What the store said.
        #[source]
        source: Arc<dyn Error + Send + Sync>,
    },
}

/// A verified request whose nonce was not looked at yet.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use = "until the nonce was found new, this may be sent a second time"]
pub struct Unspent {
    caller: VerifiedCaller,
    nonce: String,
    until: Timestamp,
}

impl Unspent {
    pub(super) fn new(caller: VerifiedCaller, nonce: String, until: Timestamp) -> Self {
        Self { caller, nonce, until }
    }

    /// The name of the key that signed: nonces of two keys are not the same.
    #[must_use]
    pub fn key_id(&self) -> &str {
        self.caller.key_id()
    }

    /// The nonce.
    #[must_use]
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// Until when the nonce must be remembered.
    #[must_use]
    pub fn until(&self) -> Timestamp {
        self.until
    }

    /// The caller, if the store of nonces said that it had not seen this one: its answer is `is_new`.
    ///
    /// # Errors
    /// [`VerifyError::NotVerified`] if it is not new.
    pub fn spend(self, is_new: bool) -> Result<VerifiedCaller, VerifyError> {
        if is_new { Ok(self.caller) } else { Err(refused(Reason::Replayed)) }
    }
}

impl Verifier {
    /// Trusts these keys. Needs [`url`](VerifierBuilder::url).
    pub fn builder(keys: VerifyingKeys) -> VerifierBuilder {
        VerifierBuilder {
            keys,
            urls: Vec::new(),
            prefix: DEFAULT_PREFIX.to_owned(),
            mapped: Vec::new(),
            identifiers: Identifiers::AsTheyAre,
            bound: true,
            cap: DEFAULT_CAP,
        }
    }

    /// Whether the body is part of the signature.
    #[must_use]
    pub fn binds_body(&self) -> bool {
        self.0.bound
    }

    pub(super) fn max_body_bytes(&self) -> usize {
        self.0.cap
    }

    /// Everything but the nonce. `body` is the whole body, looked at unless the verifier is `without_body`.
    ///
    /// # Errors
    /// [`VerifyError::NotVerified`], whatever failed.
    pub fn verify_once(
        &self,
        head: &Parts,
        body: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<Unspent, VerifyError> {
        self.judge(head, body, now).map_err(refused)
    }

    /// All of it, for services without a tower layer. The store is asked last, without a deadline.
    ///
    /// # Errors
    /// [`VerifyError::NotVerified`], whatever failed; [`VerifyError::NonceStore`] if the store could not say.
    pub async fn verify(
        &self,
        head: &Parts,
        body: Option<&[u8]>,
        now: Timestamp,
        nonces: &impl NonceStore,
    ) -> Result<VerifiedCaller, VerifyError> {
        spent(self.verify_once(head, body, now)?, nonces).await
    }

    fn judge(&self, head: &Parts, body: Option<&[u8]>, now: Timestamp) -> Result<Unspent, Reason> {
        let rules = &*self.0;
        let lines = only(&head.headers, &SIGNATURE_INPUT).zip(only(&head.headers, &SIGNATURE));
        let (input, signature) = lines.ok_or(Reason::NoSignature)?;
        let signed = Signed::read(input, signature).ok_or(Reason::BadSignatureFields)?;
        let key = rules.keys.named(signed.key).ok_or(Reason::UnknownKey)?;
        if key.algorithm().word() != signed.algorithm {
            return Err(Reason::UnknownKey);
        }
        let until = in_time(&signed, now).ok_or(Reason::WrongTime)?;
        let authority = rules.authority(head).ok_or(Reason::WrongAuthority)?;
        rules.covered(&signed, head).ok_or(Reason::NotCovered)?;
        if rules.bound {
            let sent = only(&head.headers, CONTENT_DIGEST).ok_or(Reason::NotCovered)?;
            let own = digest_field(body.ok_or(Reason::WrongDigest)?);
            if !bool::from(own.as_bytes().ct_eq(sent)) {
                return Err(Reason::WrongDigest);
            }
        }
        let target = Target { authority: authority.as_str(), head };
        let base = Base::of(&target, signed.covered.iter().copied(), signed.params);
        let base = base.ok_or(Reason::NotCovered)?;
        if !key.verifies(base.as_bytes(), &signed.signature) {
            return Err(Reason::WrongSignature);
        }
        let Rules { prefix, mapped, identifiers, .. } = rules;
        let caller = VerifiedCaller::read(&head.headers, prefix, mapped, *identifiers, signed.key);
        let caller = caller.ok_or(Reason::Undecodable)?;
        Ok(Unspent { caller, nonce: signed.nonce.to_owned(), until })
    }
}

impl Rules {
    /// The configured authority that the request names itself, by its target or by `Host`; by both if both do.
    fn authority(&self, head: &Parts) -> Option<&Authority> {
        let host = match only(&head.headers, HOST.as_str()) {
            Some(host) => Some(Given::try_from(host).ok()?),
            None if head.headers.contains_key(HOST) => return None,
            None => None,
        };
        let known = |given: &Given| self.authorities.iter().find(|own| own.is_named_by(given));
        let (target, host) = (head.uri.authority(), host.as_ref());
        let found = known(target.or(host)?)?;
        [target, host].into_iter().flatten().all(|given| found.is_named_by(given)).then_some(found)
    }

    /// Is everything covered that must be, and nothing that cannot be?
    fn covered(&self, signed: &Signed<'_>, head: &Parts) -> Option<()> {
        let covers = |name: &str| signed.covered.contains(&name);
        let known = |name: &&str| !name.starts_with('@') || Target::COMPONENTS.contains(name);
        let whole = Target::COMPONENTS.into_iter().all(covers) && signed.covered.iter().all(known);
        let body = covers(CONTENT_DIGEST) == self.bound;
        let id = covers(&format!("{}-id", self.prefix));
        let mut names = head.headers.keys().filter(|name| self.is_identity(name.as_str()));
        let all = names.all(|name| covers(name.as_str()));
        (whole && body && id && all).then_some(())
    }

    fn is_identity(&self, name: &str) -> bool {
        let mut patterns = [&self.family].into_iter().chain(&self.others);
        patterns.any(|pattern| pattern.covers(name.as_bytes()))
    }
}

impl VerifierBuilder {
    /// Adds a URL that we are reached by, e.g. `https://mcp.example.com`: a signature for another authority does not count.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.urls.push(url.into());
        self
    }

    /// Sets the gateway's prefix of identity headers. Default `X-Forwarded-User`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Adds a header outside the prefix that the gateway sends as identity: a mapped attribute, or the payload.
    ///
    /// It must be covered where it is there, in any spelling.
    pub fn mapped_header(mut self, header: impl Into<String>) -> Self {
        self.mapped.push(header.into());
        self
    }

    /// Decodes identifiers, as the gateway's `percent_encode_ids` encodes them.
    pub fn percent_encoded_ids(mut self) -> Self {
        self.identifiers = Identifiers::Percent;
        self
    }

    /// Believes a signature that leaves the body out: the gateway must be told the same.
    pub fn without_body(mut self) -> Self {
        self.bound = false;
        self
    }

    /// Sets how much of a body is read to be verified, 1 byte to 16 MiB; a larger one is answered 413. Default 1 MiB.
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.cap = bytes;
        self
    }

    /// Checks everything.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] without a URL and for the largest body; [`ConfigError::Url`] for what is none; [`ConfigError::PrefixShape`] and
    /// [`ConfigError::PrefixReserved`] for the prefix; [`ConfigError::NameShape`] and [`ConfigError::NameReserved`] for
    /// mapped headers.
    pub fn build(self) -> Result<Verifier, ConfigError> {
        if self.urls.is_empty() {
            return Err(ConfigError::OutOfRange { setting: "url" });
        }
        if !(1..=LARGEST_CAP).contains(&self.cap) {
            return Err(ConfigError::OutOfRange { setting: "max_body_bytes" });
        }
        let authorities = self.urls.iter().map(|url| Authority::of_url(url));
        let mapped = self.mapped.iter().map(|header| emitted_name("mapped_header", header));
        let mapped = mapped.collect::<Result<Vec<_>, _>>()?;
        Ok(Verifier(Arc::new(Rules {
            keys: self.keys,
            authorities: authorities.collect::<Result<_, _>>()?,
            family: prefix(&self.prefix)?,
            prefix: self.prefix.to_ascii_lowercase(),
            others: mapped.iter().map(|name| Pattern::exact(name.as_str())).collect(),
            mapped,
            identifiers: self.identifiers,
            bound: self.bound,
            cap: self.cap,
        })))
    }
}

/// The caller, if the store says that it was not sent before.
pub(super) async fn spent(
    unspent: Unspent,
    nonces: &impl NonceStore,
) -> Result<VerifiedCaller, VerifyError> {
    let answer = nonces.insert_if_absent(unspent.key_id(), unspent.nonce(), unspent.until());
    let is_new =
        answer.await.map_err(|error| VerifyError::NonceStore { source: Arc::new(error) })?;
    unspent.spend(is_new)
}

/// How far two clocks may differ.
pub(super) const LEEWAY_SECS: u64 = 30;

/// Until when the nonce must be remembered, if the signature counts now.
fn in_time(signed: &Signed<'_>, now: Timestamp) -> Option<Timestamp> {
    let Signed { created, expires, .. } = *signed;
    let life = expires.checked_sub(created)?;
    let first = Timestamp::from_secs(created.saturating_sub(LEEWAY_SECS));
    let last = Timestamp::from_secs(expires.saturating_add(LEEWAY_SECS));
    ((1..=LONGEST_LIFE).contains(&life) && first <= now && now <= last).then_some(last)
}

/// The only line of a field.
pub(super) fn only(headers: &HeaderMap, name: impl http::header::AsHeaderName) -> Option<&[u8]> {
    let mut lines = headers.get_all(name).iter();
    lines.next().filter(|_| lines.next().is_none()).map(|line| line.as_bytes())
}

pub(super) fn refused(reason: Reason) -> VerifyError {
    VerifyError::NotVerified { reason }
}
