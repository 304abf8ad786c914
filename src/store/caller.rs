//! Who is the caller, in the service's own terms?

use std::fmt;
use std::future::Future;

use crate::id::{AppId, ExternalId, Issuer, WorkspaceId};
use crate::key::{hash_parts, to_hex};
use crate::subject::Subject;

/// Gives the service's own caller for a subject, and makes one for an external subject that is new.
pub trait CallerSource: Send + Sync + 'static {
    /// The service's own type; it is put into the request's extensions.
    type Caller: Clone + Send + Sync + 'static;
    /// Why the source could not say.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The caller for this subject.
    ///
    /// For an external subject the end user under [`MountRequest::end_user`] is got or created by this one call,
    /// atomically: many at once make one. Asked once per key and cache life (10 s by default), and never for a
    /// request that an earlier step refused.
    fn mount(
        &self,
        request: &MountRequest,
    ) -> impl Future<Output = Result<Mounted<Self::Caller>, Self::Error>> + Send;
}

/// What a [`CallerSource`] is asked.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct MountRequest {
    pub(crate) subject: Subject,
    pub(crate) workspace: Option<WorkspaceId>,
    pub(crate) app: Option<AppId>,
    pub(crate) end_user: Option<EndUserKey>,
}

impl MountRequest {
    /// Asks for a subject outside any workspace. For tests of a source.
    pub fn new(subject: Subject) -> Self {
        Self { subject, workspace: None, app: None, end_user: None }
    }

    /// Asks for it in an app, where an external subject becomes an end user.
    #[must_use]
    pub fn with_app(mut self, workspace: WorkspaceId, app: AppId) -> Self {
        if let Subject::External { issuer, subject, .. } = &self.subject {
            self.end_user = Some(EndUserKey {
                workspace: workspace.clone(),
                app: app.clone(),
                issuer: issuer.clone(),
                subject: subject.clone(),
            });
        }
        self.workspace = Some(workspace);
        self.app = Some(app);
        self
    }

    /// Whom the token stands for.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The workspace of the app, where one was resolved.
    pub fn workspace(&self) -> Option<&WorkspaceId> {
        self.workspace.as_ref()
    }

    /// The app, where one was resolved.
    pub fn app(&self) -> Option<&AppId> {
        self.app.as_ref()
    }

    /// The key of the end user: set for external subjects alone.
    pub fn end_user(&self) -> Option<&EndUserKey> {
        self.end_user.as_ref()
    }
}

/// What makes an end user the same one: workspace, app, the type `bearer`, issuer and subject.
///
/// Keep it unique in the store, and never adopt a row of another type.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct EndUserKey {
    pub(crate) workspace: WorkspaceId,
    pub(crate) app: AppId,
    pub(crate) issuer: Issuer,
    pub(crate) subject: ExternalId,
}

impl EndUserKey {
    /// The fixed type of every end user that this crate asks for.
    pub const TYPE: &'static str = "bearer";

    /// The workspace of the app.
    pub fn workspace(&self) -> &WorkspaceId {
        &self.workspace
    }

    /// The app.
    pub fn app(&self) -> &AppId {
        &self.app
    }

    /// The provider that vouches for the subject.
    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// The provider's name for the subject.
    pub fn subject(&self) -> &ExternalId {
        &self.subject
    }
}

impl fmt::Display for EndUserKey {
    /// The whole key as 64 hex digits: SHA-256 over its parts, each preceded by its length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: [&str; 5] = [
            self.workspace.as_str(),
            self.app.as_str(),
            Self::TYPE,
            self.issuer.as_str(),
            self.subject.as_str(),
        ];
        f.write_str(&to_hex(&hash_parts("end_user", &parts.map(str::as_bytes))))
    }
}

/// What a [`CallerSource`] answers.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Mounted<C> {
    /// The caller; the flag says whether this call made it.
    Caller {
        /// The service's own value.
        caller: C,
        /// Made by this call rather than found.
        created: bool,
    },
    /// Nothing to mount for this subject; the request passes.
    Skip,
    /// No such account, or not an active one: refused as an invalid token.
    Unknown,
}

impl<C> Mounted<C> {
    /// A caller that was there already.
    pub fn found(caller: C) -> Self {
        Self::Caller { caller, created: false }
    }

    /// A caller that this call made.
    pub fn created(caller: C) -> Self {
        Self::Caller { caller, created: true }
    }
}
