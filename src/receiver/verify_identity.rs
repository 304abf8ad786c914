//! Who does the gateway in front of us say is calling? The other end of identity forwarding.
//!
//! 1. Needs nothing, leaves no evidence: the [`VerifiedCaller`] lies in the request's extensions.
//! 2. Outermost, or at least where method, path and authority are what the gateway sent: nested routers change the path.
//! 3. What is not signed for us, now, and for the first time is 403, the same bytes whatever failed.
//! 4. The store of nonces is asked last, in a task of its own, for at most 25 ms. No answer is 503, never a pass.

use bytes::Bytes;
use http::request::Parts;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tower_layer::Layer;

use super::{AssertionVerifier, Unspent, VerifiedCaller, Verifier, VerifyError};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::evidence::Evidence;
use crate::forward::edge::ReadsBody;
use crate::forward::sign::SIGNATURE;
use crate::forward::{Edge, EdgeRules};
use crate::gate::{Attempt, Gate, Passage, Step, WithoutBody};
use crate::metrics::verified;
use crate::rejection::{Reason, Rejection, RejectionKind, StepName};
use crate::store::NonceStore;

/// Lets through requests of which a gateway in mode `signed_headers` or `assertion` says who is calling.
///
/// | status | kind | when |
/// | --- | --- | --- |
/// | 400, 413 | `body_unreadable`, `body_too_large_to_sign` | the body is signed and cannot be read, or not whole |
/// | 403 | `identity_not_verified` | not signed, not for us, not now, not all of it, or not for the first time |
/// | 503 | `nonce_store_unavailable` | nobody could say whether it was sent before |
///
/// Behind it the [`VerifiedCaller`] lies in the request's extensions; see the [module](super) for both ends.
#[derive(Clone)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct VerifyIdentity {
    verifier: Either,
    nonces: Arc<dyn Nonces>,
    clock: Arc<dyn Clock>,
}

/// What the gateway signs.
#[derive(Clone, Debug)]
enum Either {
    Headers(Verifier),
    Assertion(AssertionVerifier),
}

impl Either {
    fn verify_once(&self, head: &mut Parts, now: Timestamp) -> Result<Unspent, VerifyError> {
        match self {
            Self::Headers(verifier) => {
                let body = head.extensions.remove::<Whole>();
                verifier.verify_once(head, body.as_ref().map(|body| &*body.0), now)
            }
            Self::Assertion(verifier) => verifier.verify_once(head, now),
        }
    }
}

impl VerifyIdentity {
    /// Verifies by `verifier`, and remembers nonces in `nonces`.
    ///
    /// Reads the body of each request that is signed, unless the verifier is
    /// [`without_body`](super::VerifierBuilder::without_body).
    pub fn new(verifier: Verifier, nonces: impl NonceStore) -> Self {
        Self::by(Either::Headers(verifier), nonces)
    }

    /// Verifies assertions by `verifier`, and remembers their ids in `nonces`.
    ///
    /// Headers that look like identity stay as they came and prove nothing: the [`VerifiedCaller`] holds the claims alone.
    pub fn assertions(verifier: AssertionVerifier, nonces: impl NonceStore) -> Self {
        Self::by(Either::Assertion(verifier), nonces)
    }

    fn by(verifier: Either, nonces: impl NonceStore) -> Self {
        Self { verifier, nonces: Arc::new(nonces), clock: Arc::new(SystemClock::new()) }
    }

    /// Takes the time from this clock instead of the system's.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    async fn spend(&self, unspent: Unspent) -> Result<VerifiedCaller, VerifyError> {
        let lost = |source| VerifyError::NonceStore { source };
        let Ok(runtime) = Handle::try_current() else { return Err(lost(Arc::new(NoAnswer))) };
        let (nonces, asked) = (Arc::clone(&self.nonces), unspent.clone());
        let ask = async move { timeout(DEADLINE, nonces.is_new(&asked)).await };
        match runtime.spawn(ask).await {
            Ok(Ok(Ok(is_new))) => unspent.spend(is_new),
            Ok(Ok(Err(source))) => Err(lost(source)),
            Ok(Err(_)) | Err(_) => Err(lost(Arc::new(NoAnswer))), // late, or it panicked
        }
    }
}

/// The service that reads bodies, where they are signed, and behind it the check.
impl<S> Layer<S> for VerifyIdentity {
    type Service = Edge<Gate<S, Self, WithoutBody>>;

    fn layer(&self, inner: S) -> Self::Service {
        let rules = match &self.verifier {
            Either::Headers(verifier) if verifier.binds_body() => {
                EdgeRules::reading(Reader { cap: verifier.max_body_bytes() })
            }
            Either::Headers(_) | Either::Assertion(_) => EdgeRules::default(),
        };
        Edge::new(Gate::new(inner, self.clone(), WithoutBody::new()), rules)
    }
}

/// Leaves the whole body for the check.
struct Reader {
    cap: usize,
}

#[derive(Clone)]
struct Whole(Bytes);

impl ReadsBody for Reader {
    /// Nothing is read for who has signed nothing.
    fn cap(&self, head: &Parts) -> Option<usize> {
        head.headers.contains_key(SIGNATURE).then_some(self.cap)
    }

    fn step(&self) -> StepName {
        StepName::Verify
    }

    fn read(&self, head: &mut Parts, body: &Bytes) -> Result<(), Rejection> {
        head.extensions.insert(Whole(body.clone()));
        Ok(())
    }
}

impl Step for VerifyIdentity {
    const NAME: StepName = StepName::Verify;
    const NEEDS: &'static [Evidence] = &[];

    /// Asks always: there is a nonce to look up.
    fn attempt(&self, _passage: &mut Passage<'_>) -> Attempt {
        Attempt::Ask
    }

    async fn ask(&self, passage: &mut Passage<'_>) -> Result<Evidence, Rejection> {
        passage.head.extensions.remove::<VerifiedCaller>();
        let now = passage.now(|| self.clock.now()).wall();
        let verdict = match self.verifier.verify_once(passage.head, now) {
            Ok(unspent) => self.spend(unspent).await,
            Err(error) => Err(error),
        };
        match verdict {
            Ok(caller) => {
                verified("ok");
                passage.head.extensions.insert(caller);
                Ok(Evidence::NONE)
            }
            Err(error) => Err(refusal(error)),
        }
    }
}

const DEADLINE: Duration = Duration::from_millis(25);

fn refusal(error: VerifyError) -> Rejection {
    let (kind, reason) = match &error {
        VerifyError::NotVerified { reason } => (RejectionKind::NotVerified, *reason),
        VerifyError::NonceStore { .. } => {
            (RejectionKind::NonceStoreUnavailable, Reason::StoreError)
        }
    };
    verified(reason.as_str());
    Rejection::new(kind, reason).caused_by(error)
}

/// A [`NonceStore`] of any type.
trait Nonces: Send + Sync {
    fn is_new<'s>(&'s self, unspent: &'s Unspent) -> Asking<'s>;
}

type Asking<'s> =
    Pin<Box<dyn Future<Output = Result<bool, Arc<dyn Error + Send + Sync>>> + Send + 's>>;

impl<N: NonceStore> Nonces for N {
    fn is_new<'s>(&'s self, unspent: &'s Unspent) -> Asking<'s> {
        Box::pin(async move {
            let (key, nonce, until) = (unspent.key_id(), unspent.nonce(), unspent.until());
            let answer = self.insert_if_absent(key, nonce, until).await;
            answer.map_err(|error| Arc::new(error) as Arc<dyn Error + Send + Sync>)
        })
    }
}

/// The store gave no answer in time, or ended without one.
#[derive(Debug, thiserror::Error)]
#[error("no answer in time")]
struct NoAnswer;

impl fmt::Debug for VerifyIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyIdentity").field("verifier", &self.verifier).finish_non_exhaustive()
    }
}
