//! Which app is this about, and which workspace owns it?
//!
//! 1. Needs the context; leaves [`Evidence::APP`] and the app.
//! 2. No id, a broken escape or another grammar: 404 at no cost. The workspace comes from the store alone.
//! 3. Unknown app, or one whose workspace is not active: 404. Disabled: 403, or 404 after [`AppResolver::hide_disabled`].
//! 4. In front of a membership check in one stack it refuses neither: that check speaks, so strangers learn nothing.
//! 5. No answer, or none in time: 503.

use std::sync::Arc;

use crate::authenticator::Authenticator;
use crate::cache::{Change, Facts, Known, Question, Trouble};
use crate::clock::Moment;
use crate::context::{AuthContext, Kept, ResolvedApp};
use crate::evidence::Evidence;
use crate::gate::{Attempt, Later, Passage, Step, step_layer};
use crate::id::{AppId, WorkspaceId};
use crate::rejection::{Reason, Rejection, RejectionKind, StepName};
use crate::stack::finder::Finder;
use crate::store::{AppRecord, AppStore, WorkspaceStatus};

/// Lets through requests that name an app, and resolves it.
///
/// A clone shares the cache and costs a few reference counts.
///
/// ```
/// # use tower_bearer::{Authenticator, stack::{AppResolver, Finder}, store::MemoryStore};
/// # fn example(auth: &Authenticator) -> Result<(), Box<dyn std::error::Error>> {
/// let layer = AppResolver::new(auth, MemoryStore::new(), Finder::path("/apps/{app}")?);
/// # let _ = layer; Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct AppResolver {
    find: Finder,
    apps: Facts<AppId, Arc<AppRecord>, ()>,
    ask: Question<AppId, Option<AppRecord>>,
    disabled: Disabled,
}

/// Who speaks for an app that is disabled or not there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Disabled {
    Tell,
    Hide,
    LeaveToMembership,
}

impl AppResolver {
    /// Asks `apps`, and remembers its records where `auth` can forget them.
    pub fn new(auth: &Authenticator, apps: impl AppStore, find: Finder) -> Self {
        let concerns = |change: &Change, id: &AppId, app: Option<&Arc<AppRecord>>| match change {
            Change::App(changed) => changed == id,
            Change::Workspace(changed) => app.is_none_or(|app| app.workspace == *changed),
            Change::All => true,
            Change::Member(..)
            | Change::Permit(..)
            | Change::Account(_)
            | Change::Caller(_)
            | Change::Subject(_) => false,
        };
        let ask = Question::to(apps, |store, app: AppId| async move { store.app(&app).await });
        Self { find, apps: auth.facts("app", concerns), ask, disabled: Disabled::Tell }
    }

    /// Answers for a disabled app as for one that is not there.
    pub fn hide_disabled(mut self) -> Self {
        self.disabled = Disabled::Hide;
        self
    }

    fn id(&self, passage: &Passage<'_>) -> Result<AppId, Rejection> {
        let unknown = || Rejection::new(RejectionKind::NotFound, Reason::BadId);
        self.find.app(passage.head).ok_or_else(unknown)
    }

    /// The app of this token's last request, if this one names it too.
    fn recalled(&self, passage: &Passage<'_>, now: Moment) -> Option<Arc<AppRecord>> {
        let kept = passage.notes.recall.as_ref()?.app.as_ref()?;
        let app = kept.fresh(self.apps.number(), now.monotonic_nanos())?;
        // an id holds nothing that is escaped: equal bytes are the same id
        self.find.names(passage.head, app.id.as_str()).then(|| Arc::clone(app))
    }

    fn attempt_at(&self, passage: &mut Passage<'_>) -> Result<Attempt, Rejection> {
        let now = passage.context()?.now;
        if let Some(app) = self.recalled(passage, now) {
            let id = app.id.clone();
            return self.verdict(passage.context()?, &id, Some(app)).map(Attempt::Pass);
        }
        let id = self.id(passage)?;
        let app = match self.apps.known(&id, now) {
            Known::Yes(app, ends) => {
                let (cache, value) = (self.apps.number(), Arc::clone(&app));
                passage.notes.learned().app = Some(Kept { cache, ends, value });
                Some(app)
            }
            Known::No(()) => None,
            Known::Unknown => return Ok(Attempt::Ask),
        };
        self.verdict(passage.context()?, &id, app).map(Attempt::Pass)
    }

    /// Puts the app into the context, or refuses.
    fn verdict(
        &self,
        context: &mut AuthContext,
        id: &AppId,
        app: Option<Arc<AppRecord>>,
    ) -> Result<Evidence, Rejection> {
        let active = |app: &Arc<AppRecord>| app.workspace_status == WorkspaceStatus::Active;
        let unknown = if app.is_some() { Reason::WorkspaceInactive } else { Reason::AppUnknown };
        let app = match (app.filter(active), self.disabled) {
            (Some(app), Disabled::LeaveToMembership) => ResolvedApp::Known(app),
            (None, Disabled::LeaveToMembership) => {
                ResolvedApp::Unknown(WorkspaceId::of_unknown_app(id))
            }
            (Some(app), _) if app.enabled => ResolvedApp::Known(app),
            (Some(_), Disabled::Tell) => {
                return Err(Rejection::new(RejectionKind::AppDisabled, Reason::AppDisabled));
            }
            (Some(_), Disabled::Hide) => {
                return Err(Rejection::new(RejectionKind::NotFound, Reason::AppDisabled));
            }
            (None, Disabled::Tell | Disabled::Hide) => {
                return Err(Rejection::new(RejectionKind::NotFound, unknown));
            }
        };
        context.app = Some(app);
        context.workspace = None;
        context.membership = None;
        // what was judged about another app says nothing about this one
        let stale = Evidence::MEMBER | Evidence::EXEMPT | Evidence::AUTHORIZED | Evidence::MOUNTED;
        context.evidence = context.evidence.without(stale);
        Ok(Evidence::APP)
    }
}

step_layer!(AppResolver);

impl Step for AppResolver {
    const NAME: StepName = StepName::App;
    const NEEDS: &'static [Evidence] = &[Evidence::AUTHENTICATED.and(Evidence::ANONYMOUS)];

    fn prepare_for(&mut self, later: &Later<'_>) {
        match later {
            Later::Membership => self.disabled = Disabled::LeaveToMembership,
            Later::Scopes(_) => {}
        }
    }

    fn attempt(&self, passage: &mut Passage<'_>) -> Attempt {
        self.attempt_at(passage).unwrap_or_else(Attempt::Reject)
    }

    async fn ask(&self, passage: &mut Passage<'_>) -> Result<Evidence, Rejection> {
        let id = self.id(passage)?;
        let now = passage.context()?.now;
        let ask = self.ask.clone();
        let load = |id: AppId| async move {
            match ask.ask(id.clone()).await? {
                // a store that folds case, say: what holds for another app is no answer
                Some(app) if app.id != id => Err(Trouble::of(Reason::Nonsense)),
                app => Ok(app.map(Arc::new).ok_or(())),
            }
        };
        let app = self.apps.load(id.clone(), now, load).await?.ok();
        self.verdict(passage.context()?, &id, app)
    }
}
