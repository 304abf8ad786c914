//! May this caller use this app? The last judge.
//!
//! 1. Needs [`Evidence::APP`] and [`Evidence::MEMBER`] or [`Evidence::EXEMPT`]; leaves [`Evidence::AUTHORIZED`].
//! 2. Policies are asked in order; the first that does not allow answers.
//! 3. No: 403. Indeterminate, an error, or no answer in time: 503.
//! 4. A policy that panics allows nothing; the service's panic catcher answers.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::authenticator::Authenticator;
use crate::cache::{Change, Facts, Known, Question, Source, Trouble};
use crate::context::AuthContext;
use crate::evidence::Evidence;
use crate::gate::{Attempt, Passage, Step, step_layer};
use crate::id::{AccountId, AppId};
use crate::limit::caught;
use crate::rejection::{Reason, Rejection, RejectionKind, StepName};
use crate::store::{AccessMode, AppRecord, AppStore, Membership};
use crate::subject::Subject;

/// Lets through callers whom every policy allows to use the app.
///
/// ```
/// # use tower_bearer::{Authenticator, stack::{AccessModes, AppAuthz}, store::MemoryStore};
/// # fn example(auth: &Authenticator) {
/// let layer = AppAuthz::new(auth, AccessModes::new(auth, MemoryStore::new()));
/// # let _ = layer; }
/// ```
#[derive(Clone)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct AppAuthz {
    policies: Vec<Arc<dyn Policy>>,
    deadline: Duration,
}

/// Decides whether a caller may use an app.
pub trait AppPolicy: Send + Sync + 'static {
    /// Why the policy could not say.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The decision, if it can be had without waiting. Default: it cannot.
    ///
    /// A policy that decides from what it is given alone should answer here: no future is boxed for it then.
    fn decide_now(
        &self,
        context: &AuthContext,
        app: &AppRecord,
        membership: Option<&Membership>,
    ) -> Option<Decision> {
        let _ = (context, app, membership);
        None
    }

    /// The decision; asked for only if [`decide_now`](Self::decide_now) gave none. It has 250 ms.
    ///
    /// `membership` is `None` for services and for exempt external subjects.
    fn decide(
        &self,
        context: &AuthContext,
        app: &AppRecord,
        membership: Option<&Membership>,
    ) -> impl Future<Output = Result<Decision, Self::Error>> + Send;

    /// Whether its answers come through a cache of this crate, whose loads have a deadline of their own.
    #[doc(hidden)]
    const LOADS: bool = false;

    /// The reason that the audit is told when this policy denies.
    #[doc(hidden)]
    fn reason(&self) -> Reason {
        Reason::PolicyDenied
    }

    /// The reason that the audit is told when this policy cannot say.
    #[doc(hidden)]
    fn trouble(error: &Self::Error) -> Reason {
        let _ = error;
        Reason::StoreError
    }
}

/// What a policy decided.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Decision {
    /// The caller may use the app.
    Allow,
    /// The caller may not.
    Deny,
    /// The caller may not, since it is not among those who were picked.
    NotPermitted,
    /// It cannot be said now: 503.
    Indeterminate,
}

/// The built-in policy: an app's access mode.
///
/// | mode | account (a member), service | external subject (exempt) |
/// | --- | --- | --- |
/// | `public`, `sso_verified` | allow | allow |
/// | `private_all` | allow | deny |
/// | `private` | account: if picked; service: deny | deny |
/// | any other | deny | deny |
#[derive(Clone, Debug)]
pub struct AccessModes {
    permits: Facts<Key, (), ()>,
    ask: Question<Key, bool>,
    auth: Authenticator,
}

type Key = (AppId, AccountId);

impl AppAuthz {
    /// Asks one policy.
    pub fn new(auth: &Authenticator, policy: impl AppPolicy) -> Self {
        Self { policies: vec![Arc::new(policy)], deadline: auth.load_deadline() }
    }

    /// Asks one more, after those before it.
    pub fn and(mut self, policy: impl AppPolicy) -> Self {
        self.policies.push(Arc::new(policy));
        self
    }
}

step_layer!(AppAuthz);

impl Step for AppAuthz {
    const NAME: StepName = StepName::Access;
    const NEEDS: &'static [Evidence] = &[Evidence::APP, Evidence::MEMBER.and(Evidence::EXEMPT)];

    fn attempt(&self, passage: &mut Passage<'_>) -> Attempt {
        let (context, app) = match subject_matter(passage) {
            Ok(found) => found,
            Err(rejection) => return Attempt::Reject(rejection),
        };
        for policy in &self.policies {
            match policy.decide_now(context, app) {
                None => return Attempt::Ask,
                Some(decision) => {
                    if let Err(rejection) = verdict(decision, policy.reason()) {
                        return Attempt::Reject(rejection);
                    }
                }
            }
        }
        Attempt::Pass(Evidence::AUTHORIZED)
    }

    async fn ask(&self, passage: &mut Passage<'_>) -> Result<Evidence, Rejection> {
        let (context, app) = subject_matter(passage)?;
        for policy in &self.policies {
            let decision = match policy.decide_now(context, app) {
                Some(decision) => decision,
                None => policy.decide(context, app, self.deadline).await?,
            };
            verdict(decision, policy.reason())?;
        }
        Ok(Evidence::AUTHORIZED)
    }
}

/// Waits for a policy of the service's own, but not for ever; one that panics could not say.
async fn in_time<T>(work: impl Future<Output = T>, deadline: Duration) -> Result<T, Trouble> {
    if tokio::runtime::Handle::try_current().is_err() {
        tracing::error!("a policy must wait off a tokio runtime; run the service on one");
        return Err(Trouble::of(Reason::StoreError));
    }
    match tokio::time::timeout(deadline, caught(work)).await {
        Ok(Some(decision)) => Ok(decision),
        Ok(None) => Err(Trouble::of(Reason::StoreError)),
        Err(_over) => Err(Trouble::of(Reason::Deadline)),
    }
}

fn subject_matter<'p>(
    passage: &'p Passage<'_>,
) -> Result<(&'p AuthContext, &'p AppRecord), Rejection> {
    let missing = || Rejection::misordered(Evidence::APP);
    let context = passage.context.as_ref().ok_or_else(missing)?;
    context.known_caller()?;
    Ok((context, context.app().ok_or_else(missing)?))
}

/// From a decision to a refusal: a plain function.
fn verdict(decision: Decision, reason: Reason) -> Result<(), Rejection> {
    let denied = |reason| Err(Rejection::new(RejectionKind::AppAccessDenied, reason));
    match decision {
        Decision::Allow => Ok(()),
        Decision::Deny => denied(reason),
        Decision::NotPermitted => denied(Reason::NotPermitted),
        Decision::Indeterminate => Err(Rejection::undecidable(Reason::StoreError, None)),
    }
}

impl AccessModes {
    /// Asks `apps` who was picked for a private app, and remembers it where `auth` can forget it.
    pub fn new(auth: &Authenticator, apps: impl AppStore) -> Self {
        let concerns = |change: &Change, (app, account): &Key, _: Option<&()>| match change {
            Change::Permit(of, who) => of == app && who == account,
            Change::App(changed) => changed == app,
            Change::Account(changed) => changed == account,
            Change::All => true,
            // whoever is thrown out of a workspace is stopped by the check before this one
            Change::Member(..) | Change::Workspace(_) | Change::Caller(_) | Change::Subject(_) => {
                false
            }
        };
        let ask = Question::to(apps, |store, (app, account): Key| async move {
            store.permitted(&app, &account).await
        });
        Self { permits: auth.facts("permit", concerns), ask, auth: auth.clone() }
    }

    /// What the mode alone says; `Err` with the account if it must have been picked.
    fn by_mode<'c>(context: &'c AuthContext, app: &AppRecord) -> Result<Decision, &'c AccountId> {
        let external = match context.subject() {
            Some(Subject::External { .. }) => true,
            Some(Subject::Account { .. } | Subject::Service { .. }) => false,
            None => return Ok(Decision::Deny),
        };
        match (&app.access_mode, context.subject()) {
            (AccessMode::Public | AccessMode::SsoVerified, _) => Ok(Decision::Allow),
            (AccessMode::PrivateAll, _) if !external => Ok(Decision::Allow),
            (AccessMode::Private, Some(Subject::Account { id })) => Err(id),
            (AccessMode::PrivateAll | AccessMode::Private | AccessMode::Other(_), _) => {
                Ok(Decision::Deny)
            }
        }
    }
}

impl AppPolicy for AccessModes {
    type Error = AccessModesError;

    const LOADS: bool = true;

    fn decide_now(
        &self,
        context: &AuthContext,
        app: &AppRecord,
        _membership: Option<&Membership>,
    ) -> Option<Decision> {
        match Self::by_mode(context, app) {
            Ok(decision) => Some(decision),
            Err(account) => {
                match self.permits.known(&(app.id.clone(), account.clone()), context.now) {
                    Known::Yes((), _) => Some(Decision::Allow),
                    Known::No(()) => Some(Decision::NotPermitted),
                    Known::Unknown => None,
                }
            }
        }
    }

    async fn decide(
        &self,
        context: &AuthContext,
        app: &AppRecord,
        _membership: Option<&Membership>,
    ) -> Result<Decision, AccessModesError> {
        let key = match Self::by_mode(context, app) {
            Ok(decision) => return Ok(decision),
            Err(account) => (app.id.clone(), account.clone()),
        };
        let ask = self.ask.clone();
        let load = |key| async move { Ok(if ask.ask(key).await? { Ok(()) } else { Err(()) }) };
        match self.permits.load(key, self.auth.read_clock(), load).await {
            Ok(Ok(())) => Ok(Decision::Allow),
            Ok(Err(())) => Ok(Decision::NotPermitted),
            Err(Trouble { reason, source }) => Err(AccessModesError { reason, source }),
        }
    }

    fn reason(&self) -> Reason {
        Reason::AccessMode
    }

    fn trouble(error: &AccessModesError) -> Reason {
        error.reason
    }
}

/// The store did not say who was picked for an app. `Debug` shows no word of the store's: ask `source` for those.
#[derive(Clone, thiserror::Error)]
#[error("the store did not say who was picked for the app")]
pub struct AccessModesError {
    reason: Reason,
    source: Option<Source>,
}

impl fmt::Debug for AccessModesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessModesError").field("reason", &self.reason).finish_non_exhaustive()
    }
}

/// An [`AppPolicy`] with its types erased.
trait Policy: Send + Sync {
    fn decide_now(&self, context: &AuthContext, app: &AppRecord) -> Option<Decision>;
    fn decide<'a>(
        &'a self,
        context: &'a AuthContext,
        app: &'a AppRecord,
        deadline: Duration,
    ) -> Deciding<'a>;
    fn reason(&self) -> Reason;
}

type Deciding<'a> = Pin<Box<dyn Future<Output = Result<Decision, Trouble>> + Send + 'a>>;

impl<P: AppPolicy> Policy for P {
    fn decide_now(&self, context: &AuthContext, app: &AppRecord) -> Option<Decision> {
        AppPolicy::decide_now(self, context, app, context.membership())
    }

    fn decide<'a>(
        &'a self,
        context: &'a AuthContext,
        app: &'a AppRecord,
        deadline: Duration,
    ) -> Deciding<'a> {
        Box::pin(async move {
            let decision =
                async { AppPolicy::decide(self, context, app, context.membership()).await };
            let decision =
                if P::LOADS { decision.await } else { in_time(decision, deadline).await? };
            decision.map_err(|error| {
                let reason = P::trouble(&error);
                Trouble { reason, source: Some(Arc::new(error)) }
            })
        })
    }

    fn reason(&self) -> Reason {
        AppPolicy::reason(self)
    }
}

impl fmt::Debug for AppAuthz {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppAuthz").field("policies", &self.policies.len()).finish_non_exhaustive()
    }
}
