//! When is a request sent a second time?
//!
//! 1. Where it was asked for, after an upstream's own 401 to a credential that had been kept, if the body is at hand.
//! 2. What was refused is dropped, and another one is minted for the same caller; nothing else of the request changes.
//! 3. Never a third time.

use http::request::Parts;
use std::sync::Arc;

use super::credential::{Asked, Credential, Mints, Obtaining};
use crate::context::AuthContext;
use crate::forward::target::Carrier;
use crate::forward::upstream::Upstream;
use crate::secret::Secret;

/// All that is needed to send a request once more. In its extensions between a check and the service under it.
#[derive(Clone)]
pub(crate) struct Again(pub(in crate::forward) Arc<Parcel>);

pub(in crate::forward) struct Parcel {
    pub(in crate::forward) mints: Arc<dyn Mints>,
    pub(in crate::forward) context: AuthContext,
    pub(in crate::forward) upstream: Upstream,
    pub(in crate::forward) carrier: Carrier,
    pub(in crate::forward) presented: Option<Secret>,
    pub(in crate::forward) sent: Credential,
    pub(in crate::forward) cap: usize,
}

impl Again {
    /// Most bytes of a body that are held for a second time.
    pub(in crate::forward) fn cap(&self) -> usize {
        self.0.cap
    }

    /// Drops what was sent first, and obtains another one.
    pub(in crate::forward) fn obtain(&self) -> Obtaining {
        let Parcel { mints, context, upstream, presented, sent, .. } = &*self.0;
        mints.refused(sent);
        let now = context.realm.clock.now();
        mints.obtain(&Asked { context, upstream, presented: presented.as_ref(), now })
    }

    /// Puts it in the place of the first.
    pub(in crate::forward) fn carry(&self, head: &mut Parts, credential: &Credential) {
        let carrier = &self.0.carrier;
        head.headers.insert(carrier.name().clone(), carrier.carried(credential));
    }

    /// The second one was refused as well.
    pub(in crate::forward) fn refused(&self, credential: &Credential) {
        self.0.mints.refused(credential);
    }
}
