//! What is counted, per what, and how much of it is allowed: one policy.
//!
//! 1. Its log is named by verified facts alone: token, subject, workspace, app, or a function of the context.
//! 2. A fact that the function needs and has not got is an error, never "nothing to count here".
//! 3. User functions run before any lock is taken.

use std::fmt;
use std::sync::Arc;

use crate::context::AuthContext;
use crate::evidence::Evidence;
use crate::id::{AppId, WorkspaceId};
use crate::rejection::Rejection;
use crate::store::{AskItem, LogId, PolicyName, WindowKey};
use crate::window::Limit;

/// A name, a limit, and what it counts per.
///
/// ```
/// use std::num::NonZeroU32;
/// use tower_bearer::limit::{Limit, Policy};
///
/// # fn main() -> Result<(), tower_bearer::limit::LimitError> {
/// let minute = Limit::per_minute(NonZeroU32::new(60).unwrap())?;
/// let per_token = Policy::per_token(minute);
/// let of_trials = Policy::per_subject(minute)
///     .named("trial")
///     .lowered_by(|context| if context.kind() == Some("trial") { 10 } else { u32::MAX });
/// # let _ = (per_token, of_trials); Ok(()) }
/// ```
#[derive(Clone)]
#[must_use = "a policy does nothing until a limiter has it"]
pub struct Policy {
    name: String,
    limit: Limit,
    per: Per,
    lower: Option<Lower>,
    exact_up_to: u32,
}

type Lower = Arc<dyn Fn(&AuthContext) -> u32 + Send + Sync>;
type Custom = Arc<dyn Fn(&AuthContext) -> Result<CustomKey, MissingFact> + Send + Sync>;

/// What a policy counts per.
#[derive(Clone)]
enum Per {
    Token,
    Subject,
    Workspace,
    App,
    Custom(Custom),
}

/// What a function of [`Policy::custom`] counts a request under.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum CustomKey {
    /// The log of these bytes; they are hashed, so neither their length nor their content matters.
    Bytes(Vec<u8>),
    /// The policy does not count this request.
    Exempt,
}

/// A fact that a function of [`Policy::custom`] needs is not in the context: the request is answered 500.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("context lacks {fact}, which a custom policy needs")]
pub struct MissingFact {
    fact: &'static str,
}

impl Policy {
    /// Counts per token. Default name `token`.
    pub fn per_token(limit: Limit) -> Self {
        Self::new("token", limit, Per::Token)
    }

    /// Counts per subject, whichever of its tokens it uses. Default name `subject`.
    pub fn per_subject(limit: Limit) -> Self {
        Self::new("subject", limit, Per::Subject)
    }

    /// Counts per workspace, whoever calls. Default name `workspace`. Only behind membership.
    pub fn per_workspace(limit: Limit) -> Self {
        Self::new("workspace", limit, Per::Workspace)
    }

    /// Counts per app, whoever calls. Default name `app`. Only behind membership.
    pub fn per_app(limit: Limit) -> Self {
        Self::new("app", limit, Per::App)
    }

    /// Counts per whatever `key` makes of the context: facts, never raw parts of the request.
    ///
    /// `key` is a plain function without I/O; it may run twice for a request whose store must be asked. Two policies
    /// never share a log, whatever their bytes.
    pub fn custom(
        name: impl Into<String>,
        limit: Limit,
        key: impl Fn(&AuthContext) -> Result<CustomKey, MissingFact> + Send + Sync + 'static,
    ) -> Self {
        Self::new(name, limit, Per::Custom(Arc::new(key)))
    }

    fn new(name: impl Into<String>, limit: Limit, per: Per) -> Self {
        Self { name: name.into(), limit, per, lower: None, exact_up_to: EXACT_UP_TO }
    }

    /// Gives the policy another name, `[a-z][a-z0-9_-]{0,31}`, unique in its limiter; clients see it.
    ///
    /// Limiters with one shared store and one policy name share that policy's logs.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Lowers the limit for a caller: of a request it is min(L, max(1, f)). The log stays the same.
    ///
    /// `count` is a plain function without I/O; it may run twice for a request whose store must be asked.
    pub fn lowered_by(
        mut self,
        count: impl Fn(&AuthContext) -> u32 + Send + Sync + 'static,
    ) -> Self {
        self.lower = Some(Arc::new(count));
        self
    }

    /// Keeps an exact log if the policy's own count is at most `count`, else a rounded one. Default 512; 1 to 4,096.
    ///
    /// An exact log has a stamp of 4 bytes for each unit. A rounded one has at most 129 pairs of stamp and count: it never
    /// lets a unit too many through, but a unit comes back up to `⌈W / 128⌉ - 1` ms late, 468 ms of a minute.
    ///
    /// The two forms are two logs. So a change of this setting, or of the policy's count across it, starts a new log, and
    /// at most old and new count together may pass in one window, once. What [`lowered_by`](Self::lowered_by) says for a
    /// caller changes no form.
    pub fn exact_up_to(mut self, count: u32) -> Self {
        self.exact_up_to = count;
        self
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn limit(&self) -> Limit {
        self.limit
    }

    /// Does the policy count per workspace or app?
    pub(super) fn is_tenant(&self) -> bool {
        matches!(self.per, Per::Workspace | Per::App)
    }

    /// Is `exact_up_to` in its range?
    pub(super) fn has_form(&self) -> bool {
        (1..=MOST_EXACT).contains(&self.exact_up_to)
    }

    pub(super) fn is_lowered(&self) -> bool {
        self.lower.is_some()
    }

    /// The log of this request and its limit, under the checked name; `None` if it is exempt.
    pub(super) fn item<'a>(
        &self,
        name: &'a PolicyName,
        context: &AuthContext,
    ) -> Result<Option<AskItem<'a>>, Rejection> {
        let workspace = || {
            let id = context.workspace().map(WorkspaceId::as_str);
            id.map(LogId::of_workspace).ok_or_else(|| Rejection::misordered(TENANT))
        };
        let ids = context.known_caller()?.limit_ids;
        let (id, owner) = match &self.per {
            Per::Token => (ids.token, ids.subject),
            Per::Subject => (ids.subject, ids.subject),
            Per::Workspace => {
                let id = workspace()?;
                (id, id)
            }
            Per::App => {
                let app = context.app().map(|app| AppId::as_str(app.id()));
                let app = app.ok_or_else(|| Rejection::misordered(Evidence::APP))?;
                (LogId::of_app(app), workspace()?)
            }
            Per::Custom(key) => match key(context).map_err(Rejection::lacking)? {
                CustomKey::Bytes(bytes) => (LogId::of_custom(name, &bytes), ids.subject),
                CustomKey::Exempt => return Ok(None),
            },
        };
        let limit = match &self.lower {
            Some(count) => self.limit.lowered_to(count(context)),
            None => self.limit,
        };
        let item = AskItem::new(WindowKey::new(name, id, owner), limit);
        let is_rounded = self.limit.count().get() > self.exact_up_to;
        Ok(Some(if is_rounded { item.rounded() } else { item }))
    }
}

impl CustomKey {
    /// Counts under a copy of `bytes`.
    pub fn bytes(bytes: impl AsRef<[u8]>) -> Self {
        Self::Bytes(bytes.as_ref().to_vec())
    }
}

impl MissingFact {
    /// Names the fact for the log.
    pub const fn new(fact: &'static str) -> Self {
        Self { fact }
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = match &self.per {
            Per::Token => "token",
            Per::Subject => "subject",
            Per::Workspace => "workspace",
            Per::App => "app",
            Per::Custom(_) => "custom",
        };
        f.debug_struct("Policy")
            .field("name", &self.name)
            .field("limit", &self.limit)
            .field("per", &per)
            .field("lowered", &self.is_lowered())
            .field("exact_up_to", &self.exact_up_to)
            .finish()
    }
}

/// Counts up to here have a stamp for each unit, unless a policy says otherwise.
pub(super) const EXACT_UP_TO: u32 = 512;
/// An exact log is never longer.
const MOST_EXACT: u32 = 4_096;

/// Behind one of these steps the workspace is the caller's own.
pub(crate) const TENANT: Evidence = Evidence::AUTHORIZED.and(Evidence::MEMBER);
