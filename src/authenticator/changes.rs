//! What the host changed: forgotten in this process at once, told to the others, and to the audit.
//!
//! 1. Call them after the store has committed. In this process they count when they return.
//! 2. With a bus every one of them is told to the other processes, in the background; nobody waits for that.
//! 3. What the bus has no word of its own for is told as one that makes the others forget more.

use crate::audit::{Change as Field, Event, EventName};
use crate::authenticator::Authenticator;
use crate::cache::Change;
use crate::id::{AccountId, AppId, WorkspaceId};
use crate::metrics::{Flush, flushed};
use crate::rejection::Reason;
use crate::store::Notice;
use crate::subject::{Subject, SubjectKey};
use crate::token::Digest;

impl Authenticator {
    /// Forgets an app: the next request asks its store.
    pub fn forget_app(&self, app: &AppId) {
        self.forget_here(&Change::App(app.clone()));
        self.announce(Notice::App(app.clone()));
    }

    /// Forgets whether an account is a member of a workspace, and with which role.
    ///
    /// Other processes forget every fact that names the account. For a member who was removed there is
    /// [`member_removed`](Self::member_removed), which also reaches stores inside other processes.
    pub fn forget_member(&self, workspace: &WorkspaceId, account: &AccountId) {
        self.forget_here(&Change::Member(workspace.clone(), account.clone()));
        self.announce(Notice::Account(account.clone()));
    }

    /// Forgets whether an account was picked for an app. Other processes forget every fact that names the account.
    pub fn forget_permit(&self, app: &AppId, account: &AccountId) {
        self.forget_here(&Change::Permit(app.clone(), account.clone()));
        self.announce(Notice::Account(account.clone()));
    }

    /// Forgets the mounted callers of a subject. Other processes look its tokens up anew, too.
    pub fn forget_caller(&self, subject: &Subject) {
        self.forget_here(&Change::Caller(subject.clone()));
        self.announce(Notice::Subject(subject.key()));
    }

    /// Forgets what this subject's identity is forwarded by: credentials that were minted for it, and its links with identity
    /// providers. Its tokens are looked up anew, here and in other processes.
    ///
    /// A credential that is being minted meanwhile still serves those who wait for it, and nobody else.
    pub fn forget_identity(&self, subject: &SubjectKey) {
        self.forget_here(&Change::Subject(subject.clone()));
        self.announce(Notice::Subject(subject.clone()));
    }

    /// Forgets every fact that names an account; its tokens are looked up anew.
    pub fn forget_account(&self, account: &AccountId) {
        self.forget_here(&Change::Account(account.clone()));
        self.announce(Notice::Account(account.clone()));
    }

    /// Forgets every fact that names a workspace.
    pub fn forget_workspace(&self, workspace: &WorkspaceId) {
        self.forget_here(&Change::Workspace(workspace.clone()));
        self.announce(Notice::Workspace { id: workspace.clone(), floor: 0 });
    }

    /// Forgets everything, in every process. Revoked tokens stay refused.
    pub fn forget_all(&self) {
        self.forget_all_here();
        self.announce(Notice::All);
    }

    /// Refuses the token of this digest from now on: for a revocation that was made in a store of your own.
    ///
    /// The shared cache and the other processes are told in the background.
    pub fn forget_token(&self, digest: &Digest) {
        self.bury_here(digest);
        self.announce(Notice::Token(*digest));
    }

    /// A field of an account changed: every fact that names the account is forgotten, and `account.changed` is raised.
    ///
    /// Call it after the store has committed, once per real change.
    pub fn account_changed(&self, account: &AccountId, field: &str, from: &str, to: &str) {
        self.forget_account(account);
        self.changed(EventName::AccountChanged, Field::new(account.as_str(), field, from, to));
    }

    /// A field of a workspace changed: every fact that names it is forgotten, and `workspace.changed` is raised.
    ///
    /// Call it after the store has committed, once per real change.
    pub fn workspace_changed(&self, workspace: &WorkspaceId, field: &str, from: &str, to: &str) {
        self.forget_workspace(workspace);
        self.changed(EventName::WorkspaceChanged, Field::new(workspace.as_str(), field, from, to));
    }

    /// A field of an app changed: the app is forgotten, and `app.changed` is raised.
    ///
    /// Call it after the store has committed, once per real change.
    pub fn app_changed(&self, app: &AppId, field: &str, from: &str, to: &str) {
        self.forget_app(app);
        self.changed(EventName::AppChanged, Field::new(app.as_str(), field, from, to));
    }

    /// An account is no member of a workspace any more: the membership is forgotten, and `member.removed` is raised.
    ///
    /// Call it after the store has committed, once per real change.
    pub fn member_removed(&self, workspace: &WorkspaceId, account: &AccountId, role: &str) {
        self.forget_here(&Change::Member(workspace.clone(), account.clone()));
        let notice = Notice::Member { workspace: workspace.clone(), account: account.clone() };
        self.announce(notice);
        let name = EventName::MemberRemoved;
        let event = Event::new(name, self.read_clock().wall());
        let change = Some(Field::new(account.as_str(), "role", role, ""));
        self.audit().record(&Event { workspace: Some(workspace.as_str()), change, ..event });
    }

    /// Refuses a token in this process from now on.
    pub(super) fn bury_here(&self, digest: &Digest) {
        self.shared.tokens.bury(digest, Reason::Revoked, self.read_clock());
    }

    pub(super) fn forget_all_here(&self) {
        flushed(Flush::Manual);
        self.forget_here(&Change::All);
    }

    /// Tells the other processes in the background.
    fn announce(&self, notice: Notice) {
        if let Some(elsewhere) = &self.shared.elsewhere {
            elsewhere.announce(notice);
        }
    }

    fn changed(&self, name: EventName, change: Field<'_>) {
        let event = Event::new(name, self.read_clock().wall());
        self.audit().record(&Event { change: Some(change), ..event });
    }
}
