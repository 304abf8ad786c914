//! Which workspace does an app belong to, and who may use it?

use std::future::Future;
use std::sync::Arc;

use crate::id::{AccountId, AppId, WorkspaceId};

/// Finds apps by id, and tells who was picked for a private one.
pub trait AppStore: Send + Sync + 'static {
    /// Why the store could not say.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The app, disabled or not, or `None` if there is none.
    ///
    /// Asked once per app and cache life (10 s by default).
    fn app(
        &self,
        app: &AppId,
    ) -> impl Future<Output = Result<Option<AppRecord>, Self::Error>> + Send;

    /// Was this account picked for the app? Asked for apps of mode [`AccessMode::Private`] alone.
    fn permitted(
        &self,
        app: &AppId,
        account: &AccountId,
    ) -> impl Future<Output = Result<bool, Self::Error>> + Send;
}

/// An app as a store knows it, with the state of its workspace.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AppRecord {
    pub(crate) id: AppId,
    pub(crate) workspace: WorkspaceId,
    pub(crate) workspace_status: WorkspaceStatus,
    pub(crate) token_floor: u64,
    pub(crate) enabled: bool,
    pub(crate) access_mode: AccessMode,
}

impl AppRecord {
    /// An enabled app in an active workspace.
    pub fn new(id: AppId, workspace: WorkspaceId, access_mode: AccessMode) -> Self {
        Self {
            id,
            workspace,
            workspace_status: WorkspaceStatus::Active,
            token_floor: 0,
            enabled: true,
            access_mode,
        }
    }

    /// The state of the workspace; anything but active hides the app.
    #[must_use]
    pub fn with_workspace_status(mut self, status: WorkspaceStatus) -> Self {
        self.workspace_status = status;
        self
    }

    /// Tokens of the workspace with a lower serial count no more.
    #[must_use]
    pub fn with_token_floor(mut self, floor: u64) -> Self {
        self.token_floor = floor;
        self
    }

    /// Switches the app on or off.
    #[must_use]
    pub fn with_enabled(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }

    /// The app's id.
    pub fn id(&self) -> &AppId {
        &self.id
    }

    /// The workspace that owns the app.
    pub fn workspace(&self) -> &WorkspaceId {
        &self.workspace
    }

    /// The state of the workspace.
    pub fn workspace_status(&self) -> WorkspaceStatus {
        self.workspace_status
    }

    /// The lowest serial that counts in the workspace.
    pub fn token_floor(&self) -> u64 {
        self.token_floor
    }

    /// Is the app switched on?
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// The rule about who may use the app.
    pub fn access_mode(&self) -> &AccessMode {
        &self.access_mode
    }
}

/// The rule about who may use an app. A word that no policy knows denies.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum AccessMode {
    /// `public`: members of the workspace and external subjects.
    Public,
    /// `sso_verified`: the same; external subjects come through single sign-on.
    SsoVerified,
    /// `private_all`: every member of the workspace.
    PrivateAll,
    /// `private`: picked members.
    Private,
    /// Any other word.
    Other(Arc<str>),
}

impl AccessMode {
    /// From its word.
    pub fn from_word(word: &str) -> Self {
        match word {
            "public" => Self::Public,
            "sso_verified" => Self::SsoVerified,
            "private_all" => Self::PrivateAll,
            "private" => Self::Private,
            other => Self::Other(Arc::from(other)),
        }
    }

    /// Its word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Public => "public",
            Self::SsoVerified => "sso_verified",
            Self::PrivateAll => "private_all",
            Self::Private => "private",
            Self::Other(word) => word,
        }
    }
}

/// The state of a workspace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum WorkspaceStatus {
    /// In use.
    Active,
    /// Closed: nobody is a member, no app is found.
    Archived,
}

impl WorkspaceStatus {
    /// From its word; `None` for any other.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Active, Self::Archived].into_iter().find(|status| status.as_str() == word)
    }

    /// Its word: `active` or `archived`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Archived => "archived",
        }
    }
}
