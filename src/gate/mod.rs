//! The one tower machine under every check.
//!
//! 1. The service that was polled ready is the one that is called: in place when the checks pass at once, taken out
//!    when a store must be asked (its clone stays behind), taken out and dropped when the request is refused, so that
//!    a permit it holds is free again.
//! 2. No check waits on the pass path. Only when a fact must be loaded is one future boxed, around the rest of the
//!    checks and the head of the request; neither body nor service goes into the box.
//! 3. A check that ran without one it needs is answered 500, told once per gate, never passed.
//! 4. Refusals are responses; the inner service's error type is the gate's.
//! 5. The context leaves the extensions while the checks run and goes back before the inner service is called.

mod chain;
mod future;
mod notes;
mod refuse;

pub use self::chain::Then;
pub use self::future::GateFuture;
pub use self::notes::Notes;
pub(crate) use self::notes::{After, LimitNote, Vary};
pub(crate) use self::refuse::refuse;
pub use self::refuse::{RefusalBody, WithBody, WithoutBody};

use http::request::Parts;
use http::{Method, Request, Response};
use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll};
use tower_service::Service;

use crate::clock::Moment;
#[doc(hidden)]
pub use crate::context::Realm;

use crate::context::AuthContext;
use crate::evidence::Evidence;
use crate::gate::refuse::{allowed, settle};
use crate::rejection::{Rejection, StepName};
use crate::scope::RequiredScopes;

/// One check. Sealed: the layers of this crate are its implementations.
pub trait Step: Clone + Send + Sync + 'static {
    #[doc(hidden)]
    const NAME: StepName;
    /// Each set must have at least one mark among the evidence.
    #[doc(hidden)]
    const NEEDS: &'static [Evidence];
    /// Does this step make the context?
    #[doc(hidden)]
    const AUTHENTICATES: bool = false;

    /// How refusals read, for the step that makes the context.
    #[doc(hidden)]
    fn realm(&self) -> Option<&Arc<Realm>> {
        None
    }

    /// Hears of a step that comes later in the same stack.
    #[doc(hidden)]
    fn prepare_for(&mut self, later: &Later<'_>) {
        let _ = later;
    }

    /// Decides from what is known: never waits, allocates nothing on the pass path.
    #[doc(hidden)]
    fn attempt(&self, passage: &mut Passage<'_>) -> Attempt;

    /// Decides by asking; called only after [`Attempt::Ask`].
    #[doc(hidden)]
    fn ask(
        &self,
        passage: &mut Passage<'_>,
    ) -> impl Future<Output = Result<Evidence, Rejection>> + Send;
}

/// A later step of the same stack that changes what an earlier one says.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "sealed, and each step picks what concerns it")]
pub enum Later<'a> {
    /// These scopes are required: the challenge of a request without a credential names them.
    Scopes(&'a RequiredScopes),
    /// A membership check speaks for unknown and disabled apps.
    Membership,
}

/// What a step made of a request without waiting.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "the gate must handle each")]
pub enum Attempt {
    /// The request may go on, with this evidence.
    Pass(Evidence),
    /// A fact must be loaded first.
    Ask,
    /// The request is refused.
    Reject(Rejection),
}

impl From<Result<Evidence, Rejection>> for Attempt {
    fn from(verdict: Result<Evidence, Rejection>) -> Self {
        match verdict {
            Ok(evidence) => Self::Pass(evidence),
            Err(rejection) => Self::Reject(rejection),
        }
    }
}

/// One or more checks in order. Sealed.
pub trait Checks: Clone + Send + Sync + 'static {
    #[doc(hidden)]
    const LENGTH: usize;
    #[doc(hidden)]
    const AUTHENTICATES: bool;

    #[doc(hidden)]
    fn realm(&self) -> Option<&Arc<Realm>>;

    #[doc(hidden)]
    fn prepare_for(&mut self, later: &Later<'_>);

    /// Runs every check that can decide at once.
    #[doc(hidden)]
    fn attempt(&self, passage: &mut Passage<'_>) -> Progress;

    /// Asks for check number `at`, then runs the rest.
    #[doc(hidden)]
    fn resume(
        &self,
        at: usize,
        passage: &mut Passage<'_>,
    ) -> impl Future<Output = Result<(), Rejection>> + Send;
}

/// How far a chain of checks came without waiting.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "the gate must handle each")]
pub enum Progress {
    /// All of them passed.
    Pass,
    /// The check of this number must ask.
    Ask(usize),
    /// One of them refused.
    Reject(Rejection),
}

/// What a check may look at and leave something in. `Debug` shows nothing of the request, which may hold a token.
pub struct Passage<'a> {
    pub(crate) head: &'a mut Parts,
    pub(crate) context: &'a mut Option<AuthContext>,
    pub(crate) notes: &'a mut Notes,
}

impl Passage<'_> {
    /// The context; the gate has looked already, so a missing one is a slip of this crate.
    pub(crate) fn context(&mut self) -> Result<&mut AuthContext, Rejection> {
        self.context.as_mut().ok_or_else(|| Rejection::misordered(Evidence::AUTHENTICATED))
    }

    /// The time of the request, read at most once.
    pub(crate) fn now(&mut self, read: impl FnOnce() -> Moment) -> Moment {
        match (&*self.context, self.notes.now) {
            (_, Some(now)) => now,
            (Some(context), None) => context.now,
            (None, None) => *self.notes.now.insert(read()),
        }
    }

    #[inline]
    fn lacks(&self, needs: &[Evidence]) -> Option<Evidence> {
        let evidence = self.context.as_ref().map_or(Evidence::NONE, |context| context.evidence);
        needs.iter().copied().find(|&any_of| !evidence.intersects(any_of))
    }

    #[inline]
    fn leave(&mut self, evidence: Evidence) {
        if let Some(context) = self.context.as_mut() {
            context.evidence = context.evidence | evidence;
        }
    }
}

/// A service behind checks: what every layer of this crate makes.
///
/// `Error` is the inner service's. A response future may be dropped at any await: a load that it waited for goes on
/// and the next caller finds it, a unit that was charged stays charged, nothing else is left behind.
pub struct Gate<S, C, M> {
    inner: S,
    checks: C,
    told: Arc<AtomicBool>,
    bodies: M,
}

impl<S, C, M> Gate<S, C, M> {
    pub(crate) fn new(inner: S, checks: C, bodies: M) -> Self {
        Self { inner, checks, told: Arc::new(AtomicBool::new(false)), bodies }
    }

    /// The service behind the checks.
    pub fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S, C, M, B, R> Service<Request<B>> for Gate<S, C, M>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    C: Checks,
    M: RefusalBody<R>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = GateFuture<S, B, S::Future, M>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let mut context = head.extensions.remove::<AuthContext>();
        let mut notes = Notes::for_method(&head.method);
        let mut passage = Passage { head: &mut head, context: &mut context, notes: &mut notes };
        match self.checks.attempt(&mut passage) {
            Progress::Pass => {
                allowed::<C>(&mut passage);
                put_back(&mut head, context);
                GateFuture::calling(self.inner.call(Request::from_parts(head, body)), notes)
            }
            Progress::Ask(at) => {
                let next = self.inner.clone();
                let ready = mem::replace(&mut self.inner, next);
                let (checks, told) = (self.checks.clone(), Arc::clone(&self.told));
                GateFuture::asking(ask(checks, told, at, head, context, notes), ready, body)
            }
            Progress::Reject(mut rejection) => {
                settle(self.checks.realm(), &self.told, &passage, &mut rejection);
                let next = self.inner.clone();
                drop(mem::replace(&mut self.inner, next));
                GateFuture::refused(rejection, notes)
            }
        }
    }
}

/// What comes out of the box.
pub(crate) struct Asked {
    pub(crate) head: Parts,
    pub(crate) notes: Notes,
    pub(crate) verdict: Result<(), Rejection>,
}

pub(crate) type Asking = Pin<Box<dyn Future<Output = Asked> + Send>>;

fn ask<C: Checks>(
    checks: C,
    told: Arc<AtomicBool>,
    at: usize,
    mut head: Parts,
    mut context: Option<AuthContext>,
    mut notes: Notes,
) -> Asking {
    Box::pin(async move {
        let mut passage = Passage { head: &mut head, context: &mut context, notes: &mut notes };
        let mut verdict = checks.resume(at, &mut passage).await;
        match &mut verdict {
            Ok(()) => allowed::<C>(&mut passage),
            Err(rejection) => settle(checks.realm(), &told, &passage, rejection),
        }
        put_back(&mut head, context);
        Asked { head, notes, verdict }
    })
}

fn put_back(head: &mut Parts, context: Option<AuthContext>) {
    if let Some(context) = context {
        head.extensions.insert(context);
    }
}

/// Runs one step between the look at what it needs and the note of what it leaves.
#[inline]
fn attempt_step<T: Step>(step: &T, passage: &mut Passage<'_>) -> Attempt {
    if let Some(missing) = passage.lacks(T::NEEDS) {
        let mut rejection = Rejection::misordered(missing);
        rejection.refused_by(T::NAME);
        return Attempt::Reject(rejection);
    }
    match step.attempt(passage) {
        Attempt::Pass(evidence) => {
            passage.leave(evidence);
            Attempt::Pass(evidence)
        }
        Attempt::Ask => Attempt::Ask,
        Attempt::Reject(mut rejection) => {
            rejection.refused_by(T::NAME);
            Attempt::Reject(rejection)
        }
    }
}

/// Asks for one step whose needs were looked at before.
async fn ask_step<T: Step>(step: &T, passage: &mut Passage<'_>) -> Result<(), Rejection> {
    match step.ask(passage).await {
        Ok(evidence) => {
            passage.leave(evidence);
            Ok(())
        }
        Err(mut rejection) => {
            rejection.refused_by(T::NAME);
            Err(rejection)
        }
    }
}

impl<T: Step> Checks for T {
    const LENGTH: usize = 1;
    const AUTHENTICATES: bool = T::AUTHENTICATES;

    fn realm(&self) -> Option<&Arc<Realm>> {
        Step::realm(self)
    }

    fn prepare_for(&mut self, later: &Later<'_>) {
        Step::prepare_for(self, later);
    }

    fn attempt(&self, passage: &mut Passage<'_>) -> Progress {
        match attempt_step(self, passage) {
            Attempt::Pass(_) => Progress::Pass,
            Attempt::Ask => Progress::Ask(0),
            Attempt::Reject(rejection) => Progress::Reject(rejection),
        }
    }

    async fn resume(&self, _at: usize, passage: &mut Passage<'_>) -> Result<(), Rejection> {
        ask_step(self, passage).await
    }
}

/// Makes a step a tower layer of its own.
macro_rules! step_layer {
    ($step:ty) => {
        impl<S> tower_layer::Layer<S> for $step {
            type Service = $crate::gate::Gate<S, $step, $crate::gate::WithoutBody>;

            fn layer(&self, inner: S) -> Self::Service {
                let bodies = $crate::gate::WithoutBody::new();
                $crate::gate::Gate::new(inner, Clone::clone(self), bodies)
            }
        }
    };
}
pub(crate) use step_layer;

impl<S: Clone, C: Clone, M: Clone> Clone for Gate<S, C, M> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            checks: self.checks.clone(),
            told: Arc::clone(&self.told),
            bodies: self.bodies.clone(),
        }
    }
}

impl<S: fmt::Debug, C, M> fmt::Debug for Gate<S, C, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl fmt::Debug for Passage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passage")
            .field("context", &self.context)
            .field("notes", &self.notes)
            .finish_non_exhaustive()
    }
}

impl Notes {
    fn for_method(method: &Method) -> Self {
        Self { bodiless: *method == Method::HEAD, ..Self::default() }
    }
}
