//! Is the caller a member of the workspace that this is about?
//!
//! 1. Needs [`Evidence::APP`], or finds the workspace itself; leaves [`Evidence::MEMBER`] or [`Evidence::EXEMPT`].
//! 2. A token bound to another workspace, or minted before the workspace's floor, belongs to no member; no store is asked.
//! 3. Accounts: the store says, once per account and workspace and cache life. Services: members where they are bound.
//!    External subjects: not members; exempt only where that was asked for.
//! 4. A stranger gets the 404 of an app that is not there; after [`WorkspaceMembershipCheck::reveal`] a 403.
//! 5. Speaks for unknown and disabled apps: `app_disabled` to proved members and exempt callers alone.
//! 6. No answer, or none in time: 503. Never a 404, never a pass, never cached.

use crate::authenticator::Authenticator;
use crate::cache::{Change, Facts, Known, Question};
use crate::context::{AuthContext, Kept, ResolvedApp, TokenFacts};
use crate::evidence::Evidence;
use crate::gate::{Attempt, Passage, Step, step_layer};
use crate::id::{AccountId, WorkspaceId};
use crate::rejection::{Reason, Rejection, RejectionKind, StepName};
use crate::stack::finder::Finder;
use crate::store::{AccountStatus, Membership, MembershipStore, WorkspaceStatus};
use crate::subject::Subject;

/// Lets through callers who are members of the workspace.
///
/// Strangers get 404, which RFC 9110 §15.5.4 allows where a 403 would say too much. A clone shares the cache and costs a
/// few reference counts.
///
/// ```
/// # use tower_bearer::{Authenticator, stack::WorkspaceMembershipCheck, store::MemoryStore};
/// # fn example(auth: &Authenticator) {
/// let layer = WorkspaceMembershipCheck::new(auth, MemoryStore::new()).reveal();
/// # let _ = layer; }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct WorkspaceMembershipCheck {
    members: Facts<Key, Membership, ()>,
    ask: Question<Key, Option<Membership>>,
    place: Place,
    strangers: Strangers,
    externals: Externals,
}

/// A [`WorkspaceMembershipCheck`] that lets external subjects by, to be judged by the app's access rule.
///
/// In a `BearerStack` nothing but `authorize_app` may follow it.
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct MembershipOrExternal(WorkspaceMembershipCheck);

/// A [`WorkspaceMembershipCheck`] about the workspace that the request itself names.
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct MembershipInRequest(WorkspaceMembershipCheck);

type Key = (AccountId, WorkspaceId);

/// Where the workspace is found.
#[derive(Clone, Debug)]
enum Place {
    App,
    Request(Finder),
}

#[derive(Clone, Copy, Debug)]
enum Strangers {
    Hide,
    Reveal,
}

#[derive(Clone, Copy, Debug)]
enum Externals {
    Refuse,
    Exempt,
}

/// What is known before a store is asked.
enum Standing<'c> {
    Decided(Evidence),
    /// The store says whether this account is a member.
    Asked(&'c AccountId),
}

impl WorkspaceMembershipCheck {
    /// Judges the workspace of the resolved app; hides the app from strangers.
    pub fn new(auth: &Authenticator, members: impl MembershipStore) -> Self {
        let concerns =
            |change: &Change, (account, workspace): &Key, _: Option<&Membership>| match change {
                Change::Member(of, who) => who == account && of == workspace,
                Change::Account(changed) => changed == account,
                Change::Workspace(changed) => changed == workspace,
                Change::All => true,
                Change::App(_) | Change::Permit(..) | Change::Caller(_) | Change::Subject(_) => {
                    false
                }
            };
        let ask = Question::to(members, |store, (account, workspace): Key| async move {
            store.membership(&account, &workspace).await
        });
        let members = auth.facts("member", concerns);
        let (strangers, externals) = (Strangers::Hide, Externals::Refuse);
        Self { members, ask, place: Place::App, strangers, externals }
    }

    /// Judges the workspace that the request itself names, for routes such as `/workspaces/{workspace}/…`.
    ///
    /// Shares this check's cache. External subjects are never exempt there.
    pub fn in_request(&self, find: Finder) -> MembershipInRequest {
        let check = self.clone();
        MembershipInRequest(Self {
            place: Place::Request(find),
            externals: Externals::Refuse,
            ..check
        })
    }

    /// Answers strangers 403, so they learn that the app exists. An unknown app stays 404.
    pub fn reveal(mut self) -> Self {
        self.strangers = Strangers::Reveal;
        self
    }

    /// Lets external subjects by, no store asked: whether they may use the app is the access rule's question.
    ///
    /// Only for workspaces of apps; a workspace that the request names itself never exempts anybody.
    pub fn exempt_external(mut self) -> MembershipOrExternal {
        self.externals = Externals::Exempt;
        MembershipOrExternal(self)
    }

    fn attempt_at(&self, passage: &mut Passage<'_>) -> Result<Attempt, Rejection> {
        let named = self.workspace(passage)?;
        let Passage { context, notes, .. } = passage;
        let context = context.as_mut().ok_or_else(no_app)?;
        let place = self.place(context, named.as_ref())?;
        let account = match self.standing(context, place)? {
            Standing::Decided(evidence) => {
                return self.let_by(context, evidence, None).map(Attempt::Pass);
            }
            Standing::Asked(account) => account,
        };
        let (cache, (workspace, _)) = (self.members.number(), place);
        let kept = notes.recall.as_ref().and_then(|recall| recall.membership.as_ref());
        let kept = kept.and_then(|kept| kept.fresh(cache, context.now.monotonic_nanos()));
        let row = match kept {
            Some((of, row)) if of == workspace => Some(row.clone()),
            Some(_) | None => {
                let key = (account.clone(), workspace.clone());
                match self.members.known(&key, context.now) {
                    Known::Yes(row, ends) => {
                        let value = (key.1, row.clone());
                        notes.learned().membership = Some(Kept { cache, ends, value });
                        Some(row)
                    }
                    Known::No(()) => None,
                    Known::Unknown => return Ok(Attempt::Ask),
                }
            }
        };
        self.verdict(context, named, row).map(Attempt::Pass)
    }

    /// The workspace that the request names itself; `None` where the app's counts.
    fn workspace(&self, passage: &mut Passage<'_>) -> Result<Option<WorkspaceId>, Rejection> {
        let Place::Request(find) = &self.place else { return Ok(None) };
        passage.context()?.known_caller()?;
        let unknown = || Rejection::new(RejectionKind::NotFound, Reason::BadId);
        find.workspace(passage.head).map(Some).ok_or_else(unknown)
    }

    /// The workspace to be judged, and the floor that is known without asking about members.
    fn place<'c>(
        &self,
        context: &'c AuthContext,
        named: Option<&'c WorkspaceId>,
    ) -> Result<(&'c WorkspaceId, u64), Rejection> {
        match (named, &context.app) {
            (Some(workspace), _) => Ok((workspace, 0)),
            (None, Some(ResolvedApp::Known(app))) => Ok((&app.workspace, app.token_floor)),
            (None, Some(ResolvedApp::Unknown(workspace))) => Ok((workspace, 0)),
            (None, None) => Err(no_app()),
        }
    }

    /// All that can be said without a store.
    fn standing<'c>(
        &self,
        context: &'c AuthContext,
        (workspace, floor): (&WorkspaceId, u64),
    ) -> Result<Standing<'c>, Rejection> {
        let caller = context.known_caller()?;
        if let Err(reason) = counts_in(caller, workspace, floor) {
            return Err(self.stranger(context, reason));
        }
        match (&caller.subject, self.externals, &self.place) {
            (Subject::Account { id }, _, _) => Ok(Standing::Asked(id)),
            // the binding was judged: a service without one counts nowhere
            (Subject::Service { .. }, _, _) if caller.workspace.is_some() => {
                Ok(Standing::Decided(Evidence::MEMBER))
            }
            (Subject::External { .. }, Externals::Exempt, Place::App) => {
                Ok(Standing::Decided(Evidence::EXEMPT))
            }
            (Subject::Service { .. } | Subject::External { .. }, _, _) => {
                Err(self.stranger(context, Reason::NoMembership))
            }
        }
    }

    /// The whole decision about an account, made anew for each request from facts.
    fn verdict(
        &self,
        context: &mut AuthContext,
        named: Option<WorkspaceId>,
        row: Option<Membership>,
    ) -> Result<Evidence, Rejection> {
        let serial = context.known_caller()?.serial;
        if named.is_some() {
            context.workspace = named;
        }
        match belongs(row.as_ref(), serial) {
            Ok(()) => self.let_by(context, Evidence::MEMBER, row),
            Err(reason) => Err(self.stranger(context, reason)),
        }
    }

    /// A member or an exempt caller: may be told that the app is disabled, never finds one that is not there.
    fn let_by(
        &self,
        context: &mut AuthContext,
        evidence: Evidence,
        row: Option<Membership>,
    ) -> Result<Evidence, Rejection> {
        match (&context.app, &self.place) {
            (Some(ResolvedApp::Unknown(_)), Place::App) => {
                return Err(Rejection::new(RejectionKind::NotFound, Reason::AppUnknown));
            }
            (Some(ResolvedApp::Known(app)), Place::App) if !app.enabled => {
                return Err(Rejection::new(RejectionKind::AppDisabled, Reason::AppDisabled));
            }
            (Some(_) | None, _) => {}
        }
        context.membership = row;
        Ok(evidence)
    }

    fn stranger(&self, context: &AuthContext, reason: Reason) -> Rejection {
        let unknown_app = matches!(context.app, Some(ResolvedApp::Unknown(_)));
        match self.strangers {
            _ if unknown_app => Rejection::new(RejectionKind::NotFound, Reason::AppUnknown),
            Strangers::Hide => Rejection::new(RejectionKind::NotFound, reason),
            Strangers::Reveal => Rejection::new(RejectionKind::NotMember, reason),
        }
    }
}

fn no_app() -> Rejection {
    Rejection::misordered(Evidence::APP)
}

/// Does the token itself count in this workspace, whoever it stands for?
fn counts_in(caller: &TokenFacts, workspace: &WorkspaceId, floor: u64) -> Result<(), Reason> {
    let elsewhere = caller.workspace.as_ref().is_some_and(|bound| bound != workspace);
    if elsewhere || caller.serial < floor { Err(Reason::WrongWorkspace) } else { Ok(()) }
}

/// Does the row make an account whose token has this serial a member?
fn belongs(row: Option<&Membership>, serial: u64) -> Result<(), Reason> {
    let row = row.ok_or(Reason::NoMembership)?;
    if row.account_status != AccountStatus::Active {
        return Err(Reason::AccountInactive);
    }
    if row.workspace_status != WorkspaceStatus::Active {
        return Err(Reason::WorkspaceInactive);
    }
    if serial < row.token_floor { Err(Reason::WrongWorkspace) } else { Ok(()) }
}

step_layer!(WorkspaceMembershipCheck);
step_layer!(MembershipOrExternal);
step_layer!(MembershipInRequest);

impl Step for WorkspaceMembershipCheck {
    const NAME: StepName = StepName::Membership;
    const NEEDS: &'static [Evidence] = &[Evidence::AUTHENTICATED.and(Evidence::ANONYMOUS)];

    fn attempt(&self, passage: &mut Passage<'_>) -> Attempt {
        self.attempt_at(passage).unwrap_or_else(Attempt::Reject)
    }

    async fn ask(&self, passage: &mut Passage<'_>) -> Result<Evidence, Rejection> {
        let named = self.workspace(passage)?;
        let context = passage.context()?;
        let place = self.place(context, named.as_ref())?;
        let key = match self.standing(context, place)? {
            Standing::Decided(evidence) => return self.let_by(context, evidence, None),
            Standing::Asked(account) => (account.clone(), place.0.clone()),
        };
        let ask = self.ask.clone();
        let load = |key| async move { Ok(ask.ask(key).await?.ok_or(())) };
        let row = self.members.load(key, context.now, load).await?.ok();
        self.verdict(context, named, row)
    }
}

/// Steps that judge as the check inside them does; their types only say what may follow.
macro_rules! judged_by_the_check {
    ($($step:ty),*) => {$(
        impl Step for $step {
            const NAME: StepName = WorkspaceMembershipCheck::NAME;
            const NEEDS: &'static [Evidence] = WorkspaceMembershipCheck::NEEDS;

            fn attempt(&self, passage: &mut Passage<'_>) -> Attempt {
                self.0.attempt(passage)
            }

            async fn ask(&self, passage: &mut Passage<'_>) -> Result<Evidence, Rejection> {
                self.0.ask(passage).await
            }
        }
    )*};
}

judged_by_the_check!(MembershipOrExternal, MembershipInRequest);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let member = Membership::new("editor");
        let pending = member.clone().with_account_status(AccountStatus::Pending);
        let archived = member.clone().with_workspace_status(WorkspaceStatus::Archived);
        let cut = member.clone().with_token_floor(8);
        for (name, row, want) in [
            ("P853 a member", Some(&member), Ok(())),
            ("P853 no row", None, Err(Reason::NoMembership)),
            ("P888 pending", Some(&pending), Err(Reason::AccountInactive)),
            ("P853 archived", Some(&archived), Err(Reason::WorkspaceInactive)),
            ("P852 minted before the floor", Some(&cut), Err(Reason::WrongWorkspace)),
        ] {
            assert_eq!(belongs(row, 7), want, "{name}");
        }
        assert_eq!(belongs(Some(&cut), 8), Ok(()), "P852 at the floor");
    }
}
