//! What becomes of a credential that an upstream did not accept?
//!
//! 1. An upstream's own 401 drops it where it is kept, if it is still the one that is kept there.
//! 2. The answer is not changed here, and no other credential is tried.

use http::{HeaderMap, StatusCode};
use std::sync::Arc;

use super::credential::{Credential, Mints};
use crate::gate::After;
use crate::rejection::Rejection;

/// A credential on its way to an upstream.
pub(crate) struct Sent {
    source: Arc<dyn Mints>,
    credential: Credential,
}

impl Sent {
    pub(crate) fn new(source: &Arc<dyn Mints>, credential: &Credential) -> Self {
        Self { source: Arc::clone(source), credential: credential.clone() }
    }
}

impl After for Sent {
    fn apply(
        &self,
        status: StatusCode,
        _: &mut HeaderMap,
        refusal: Option<&Rejection>,
    ) -> Option<Rejection> {
        if status == StatusCode::UNAUTHORIZED && refusal.is_none() {
            self.source.refused(&self.credential);
        }
        None
    }
}
