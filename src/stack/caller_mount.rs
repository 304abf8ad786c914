//! Who is the caller, in the service's own type?
//!
//! 1. Needs the context; leaves [`Evidence::MOUNTED`] and the service's own value in the request's extensions.
//! 2. May write (an end user who is new), so it comes after every step that judges the caller.
//! 3. An external subject where no app was resolved: nothing mounted, the request passes.
//! 4. No such account: 401. No answer, or none in time: 503.

use http::Extensions;
use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::audit::{Event, EventName};
use crate::authenticator::Authenticator;
use crate::cache::{Change, Facts, Known, Question, Trouble};
use crate::clock::Moment;
use crate::context::{AuthContext, Kept, Recalled};
use crate::evidence::Evidence;
use crate::gate::{Attempt, Passage, Step, step_layer};
use crate::rejection::{Reason, Rejection, StepName};
use crate::store::{CallerSource, EndUserKey, MountRequest, Mounted};
use crate::subject::Subject;

/// Lets through callers whom the service knows, and mounts the service's own value for them.
///
/// A clone shares the cache and costs one reference count.
#[derive(Clone)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct CallerMount {
    source: Arc<dyn Source>,
    anonymous: Anonymous,
}

#[derive(Clone, Copy, Debug)]
enum Anonymous {
    Refuse,
    LetBy,
}

impl CallerMount {
    /// Asks `source`, and remembers its callers where `auth` can forget them.
    pub fn new(auth: &Authenticator, source: impl CallerSource) -> Self {
        Self { source: Arc::new(Callers::new(auth, source)), anonymous: Anonymous::Refuse }
    }

    /// Lets anonymous requests by, nothing mounted.
    pub fn allow_anonymous(mut self) -> Self {
        self.anonymous = Anonymous::LetBy;
        self
    }

    /// The question for this caller; `None` where nothing is to be mounted.
    fn question(&self, context: &AuthContext) -> Result<Option<MountRequest>, Rejection> {
        let subject = match (context.subject(), self.anonymous) {
            (Some(subject), _) => subject,
            (None, Anonymous::LetBy) => return Ok(None),
            (None, Anonymous::Refuse) => return Err(Rejection::anonymous()),
        };
        let app = context.app();
        let end_user = match (subject, app) {
            (Subject::External { .. }, None) => return Ok(None),
            (Subject::External { issuer, subject, .. }, Some(app)) => Some(EndUserKey {
                workspace: app.workspace.clone(),
                app: app.id.clone(),
                issuer: issuer.clone(),
                subject: subject.clone(),
            }),
            (Subject::Account { .. } | Subject::Service { .. }, _) => None,
        };
        Ok(Some(MountRequest {
            subject: subject.clone(),
            workspace: context.workspace().cloned(),
            app: app.map(|app| app.id.clone()),
            end_user,
        }))
    }

    fn attempt_at(&self, passage: &mut Passage<'_>) -> Result<Attempt, Rejection> {
        let Passage { head, context, notes } = passage;
        let missing = || Rejection::misordered(Evidence::AUTHENTICATED);
        let context = context.as_ref().ok_or_else(missing)?;
        let kept = notes.recall.as_ref().and_then(|recall| recall.caller.as_ref());
        let kept =
            kept.and_then(|kept| kept.fresh(self.source.cache(), context.now.monotonic_nanos()));
        if let Some(kept) = kept.filter(|kept| kept.is_for(context)) {
            self.source.mount(&*kept.caller, &mut head.extensions);
            return Ok(Attempt::Pass(Evidence::MOUNTED));
        }
        let Some(question) = self.question(context)? else {
            return Ok(Attempt::Pass(Evidence::MOUNTED));
        };
        match self.source.known(&question, context.now) {
            Known::Yes(caller, ends) => {
                self.source.mount(&*caller, &mut head.extensions);
                let MountRequest { workspace, app, .. } = question;
                let (cache, value) = (self.source.cache(), Recalled { workspace, app, caller });
                notes.learned().caller = Some(Kept { cache, ends, value });
                Ok(Attempt::Pass(Evidence::MOUNTED))
            }
            Known::No(()) => Err(unknown()),
            Known::Unknown => Ok(Attempt::Ask),
        }
    }
}

step_layer!(CallerMount);

impl Step for CallerMount {
    const NAME: StepName = StepName::Caller;
    const NEEDS: &'static [Evidence] = &[Evidence::AUTHENTICATED.and(Evidence::ANONYMOUS)];

    fn attempt(&self, passage: &mut Passage<'_>) -> Attempt {
        self.attempt_at(passage).unwrap_or_else(Attempt::Reject)
    }

    async fn ask(&self, passage: &mut Passage<'_>) -> Result<Evidence, Rejection> {
        let context = passage.context()?;
        let (question, now) = (self.question(context)?, context.now);
        if let Some(question) = question {
            self.source.ask(question, now, &mut passage.head.extensions).await?;
        }
        Ok(Evidence::MOUNTED)
    }
}

/// A caller with its type erased.
type AnyCaller = Arc<dyn Any + Send + Sync>;

/// A [`CallerSource`] with its types erased.
trait Source: Send + Sync {
    /// The number of its cache.
    fn cache(&self) -> u64;
    fn known(&self, question: &MountRequest, now: Moment) -> Known<AnyCaller, ()>;
    fn mount(&self, caller: &(dyn Any + Send + Sync), extensions: &mut Extensions);
    fn ask<'a>(
        &'a self,
        question: MountRequest,
        now: Moment,
        extensions: &'a mut Extensions,
    ) -> Pin<Box<dyn Future<Output = Result<(), Rejection>> + Send + 'a>>;
}

struct Callers<C> {
    callers: Facts<MountRequest, Arc<Option<C>>, ()>,
    ask: Question<MountRequest, Mounted<C>>,
    auth: Authenticator,
}

impl<C: Clone + Send + Sync + 'static> Callers<C> {
    fn new(auth: &Authenticator, source: impl CallerSource<Caller = C>) -> Self {
        let concerns = |change: &Change, of: &MountRequest, _: Option<&Arc<Option<C>>>| match change
        {
            Change::App(app) => of.app.as_ref() == Some(app),
            Change::Workspace(workspace) => of.workspace.as_ref() == Some(workspace),
            Change::Account(account) => {
                matches!(&of.subject, Subject::Account { id } if id == account)
            }
            Change::Caller(subject) => of.subject == *subject,
            Change::Subject(key) => key.is_of(&of.subject),
            Change::Member(workspace, account) => {
                let theirs = matches!(&of.subject, Subject::Account { id } if id == account);
                theirs && of.workspace.as_ref() == Some(workspace)
            }
            Change::All => true,
            Change::Permit(..) => false,
        };
        let ask = Question::to(source, |source, request: MountRequest| async move {
            source.mount(&request).await
        });
        Self { callers: auth.facts("caller", concerns), ask, auth: auth.clone() }
    }

    async fn load(&self, question: MountRequest, now: Moment) -> Result<Arc<Option<C>>, Rejection> {
        let (ask, auth) = (self.ask.clone(), self.auth.clone());
        let load = |question: MountRequest| async move {
            let subject = question.subject.key();
            match ask.ask(question).await? {
                Mounted::Caller { caller, created } => {
                    if created {
                        let event = Event::new(EventName::CallerCreated, auth.read_clock().wall());
                        auth.audit().record(&Event { subject: Some(subject.as_str()), ..event });
                    }
                    Ok::<_, Trouble>(Ok(Arc::new(Some(caller))))
                }
                Mounted::Skip => Ok(Ok(Arc::new(None))),
                Mounted::Unknown => Ok(Err(())),
            }
        };
        self.callers.load(question, now, load).await?.map_err(|()| unknown())
    }
}

impl<C: Clone + Send + Sync + 'static> Source for Callers<C> {
    fn cache(&self) -> u64 {
        self.callers.number()
    }

    fn known(&self, question: &MountRequest, now: Moment) -> Known<AnyCaller, ()> {
        match self.callers.known(question, now) {
            Known::Yes(caller, ends) => Known::Yes(caller, ends),
            Known::No(()) => Known::No(()),
            Known::Unknown => Known::Unknown,
        }
    }

    fn mount(&self, caller: &(dyn Any + Send + Sync), extensions: &mut Extensions) {
        if let Some(Some(caller)) = caller.downcast_ref::<Option<C>>() {
            extensions.insert(caller.clone());
        }
    }

    fn ask<'a>(
        &'a self,
        question: MountRequest,
        now: Moment,
        extensions: &'a mut Extensions,
    ) -> Pin<Box<dyn Future<Output = Result<(), Rejection>> + Send + 'a>> {
        Box::pin(async move {
            self.mount(&*self.load(question, now).await?, extensions);
            Ok(())
        })
    }
}

fn unknown() -> Rejection {
    Rejection::invalid_token(Reason::CallerUnknown)
}

impl fmt::Debug for CallerMount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallerMount").field("anonymous", &self.anonymous).finish_non_exhaustive()
    }
}
