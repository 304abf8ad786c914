//! A request whose signature waits for its body.

use bytes::Bytes;
use http::header::HeaderName;
use http::request::Parts;
use std::sync::Arc;

use super::{CONTENT_DIGEST, Signing, digest_field};
use crate::clock::Timestamp;
use crate::forward::body::BodyBound;
use crate::forward::edge::{Reading, ReadsBody};
use crate::forward::error::ForwardError;
use crate::rejection::{Reason, Rejection, RejectionKind, StepName};

/// Signs head and body together, at the time at which the body is there.
pub(in crate::forward) struct Unsigned {
    pub(in crate::forward) signing: Signing,
    pub(in crate::forward) authority: String,
    pub(in crate::forward) inserted: Vec<HeaderName>,
    pub(in crate::forward) now: Box<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Unsigned {
    /// Leaves this in the head for whoever reads the body.
    pub(in crate::forward) fn leave(self, head: &mut Parts) {
        head.extensions.insert(Reading(Arc::new(self)));
    }

    fn sign(&self, head: &mut Parts, body: &[u8]) -> Result<(), ForwardError> {
        let digest = digest_field(body).parse().map_err(|_shape| ForwardError::Unsigned)?;
        head.headers.insert(CONTENT_DIGEST, digest);
        self.signing.sign(head, &self.authority, &self.inserted, (self.now)())
    }
}

impl ReadsBody for Unsigned {
    fn cap(&self, _head: &Parts) -> Option<usize> {
        Some(self.signing.cap)
    }

    fn step(&self) -> StepName {
        StepName::Forward
    }

    fn read(&self, head: &mut Parts, body: &Bytes) -> Result<(), Rejection> {
        let signed = self.sign(head, body);
        signed.map_err(|error| {
            Rejection::new(RejectionKind::Undecidable, Reason::NoEntropy).caused_by(error)
        })?;
        head.extensions.insert(BodyBound);
        Ok(())
    }
}
