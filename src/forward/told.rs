//! What is told of a request that went to an upstream?
//!
//! 1. Who called, in whose name, by whom, and how it was said: never a credential, never an address of e-mail.
//! 2. Told of the share of requests of which the authenticator tells; another attempt of one request is told like the first.
//! 3. What the identity that was sent says counts; what it does not say is the context's.

use http::request::Parts;
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;

use super::forwarding::{Forwarding, Outcome};
use super::identity::{Field, Identity};
use super::mint::Credential;
use crate::audit::{Event, EventName, ForwardedTo, request_id};
use crate::context::AuthContext;
use crate::key::to_hex;
use crate::rejection::StepName;

/// One request on its way.
pub(crate) struct Told<'a> {
    pub(crate) forwarding: &'a Forwarding,
    pub(crate) outcome: Outcome,
    pub(crate) identity: Option<&'a Identity<'a>>,
    pub(crate) credential: Option<&'a Credential>,
}

impl Told<'_> {
    /// Tells the audit, if it is told of this request.
    pub(crate) fn tell(&self, context: &AuthContext, head: &Parts) {
        let (realm, name) = (&context.realm, EventName::IdentityForwarded);
        if !realm.audit.samples(context.now) || !realm.audit.wants(name) {
            return;
        }
        let text = |field| self.identity.and_then(|identity| identity.text(field));
        let acting_as = text(Field::ServiceAccount).map(harmless);
        let auth_method = text(Field::AuthMethod).or_else(|| context.kind()).map(harmless);
        let chain = self.identity.and_then(|identity| identity.list(Field::DelegationChain));
        let chain: Vec<_> = chain.unwrap_or_default().iter().map(|actor| harmless(actor)).collect();
        let credential = self.credential.and_then(|sent| sent.digest.first_chunk::<4>());
        let credential = credential.map(|start| to_hex(start));
        let upstream = self.forwarding.upstream();
        realm.audit.record(&Event {
            step: Some(StepName::Forward),
            upstream: Some(upstream.name()),
            route: realm.route_of(head),
            request_id: request_id(&head.headers),
            forwarded: Some(ForwardedTo {
                audience: upstream.audience(),
                mode: self.forwarding.mode().word(),
                outcome: self.outcome.word(),
                auth_method: auth_method.as_deref(),
                acting_as: acting_as.as_deref(),
                delegation_chain: &chain,
                credential: credential.as_deref(),
            }),
            ..context.event(name)
        });
    }
}

/// A name as it may be written down: an address of e-mail only as a digest.
fn harmless(name: &str) -> Cow<'_, str> {
    if !name.contains('@') {
        return Cow::Borrowed(name);
    }
    let digest: [u8; 32] = Sha256::digest(name.as_bytes()).into();
    let (start, _) = digest.split_at(8);
    Cow::Owned(format!("email:{}", to_hex(start)))
}
