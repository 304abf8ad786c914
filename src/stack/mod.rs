//! The eight layers, and the one place that knows their order.
//!
//! | # | layer | builder method | needs | leaves |
//! | --- | --- | --- | --- | --- |
//! | 1 | [`BearerCheck`] | [`BearerStack::new`] | – | the context |
//! | 2 | [`RateLimit`] | [`rate_limit`](BearerStack::rate_limit) | context | `LIMITED` |
//! | 3 | [`ScopeCheck`] | [`require_scopes`](BearerStack::require_scopes) | context | `SCOPED` |
//! | 4 | [`AppResolver`] | [`resolve_app`](BearerStack::resolve_app) | context | `APP` |
//! | 5 | [`WorkspaceMembershipCheck`] | [`require_membership`](BearerStack::require_membership) | `APP`, or its own finder | `MEMBER` or `EXEMPT` |
//! | 6 | [`AppAuthz`] | [`authorize_app`](BearerStack::authorize_app) | `APP`, and `MEMBER` or `EXEMPT` | `AUTHORIZED` |
//! | 7 | [`CallerMount`] | [`mount_caller`](BearerStack::mount_caller) | context | `MOUNTED` |
//! | 8 | [`IdentityForward`] | [`forward_identity`](BearerStack::forward_identity) | context | `FORWARDED` |

mod app_authz;
mod app_resolver;
mod bearer_check;
mod caller_mount;
mod failure_limit;
mod finder;
mod identity_forward;
mod mcp_meta;
mod mcp_session_bind;
mod membership;
mod origin_guard;
pub mod place;
mod rate_limit;
mod render;
mod scope_check;
mod strip_identity;

pub use app_authz::{AccessModes, AccessModesError, AppAuthz, AppPolicy, Decision};
pub use app_resolver::AppResolver;
pub use bearer_check::{AcceptError, BearerCheck};
pub use caller_mount::CallerMount;
pub use failure_limit::{FailureLimit, FailureLimitError};
pub use finder::{Finder, TemplateError, host};
pub use identity_forward::{ClientForward, IdentityForward};
pub use mcp_meta::McpMetaForward;
pub use mcp_session_bind::McpSessionBind;
pub use membership::{MembershipInRequest, MembershipOrExternal, WorkspaceMembershipCheck};
pub use origin_guard::OriginGuard;
pub use rate_limit::{RateLimit, TenantLimit};
pub use render::RenderRejections;
pub use scope_check::ScopeCheck;
pub use strip_identity::StripIdentity;

use std::fmt;
use std::marker::PhantomData;
use tower_layer::Layer;

use crate::gate::{Checks, Gate, Later, Then, WithBody, WithoutBody};
use crate::scope::ScopeError;
use crate::stack::place::{
    AfterApp, AfterMembership, AfterTenant, AppKnown, Authenticated, Authorized, BeforeApp,
    BeforeCaller, BeforeForward, BeforeMeta, BeforeRateLimit, BeforeScopes, BeforeSessions,
    BeforeWorkspace, Bodies, Complete, Forwarded, Limited, Member, MemberInRequest,
    MemberOrExternal, MetaPut, Mounted, Scoped, SessionBound, TenantLimited,
};

/// The checks of a group of routes, in their one right order, as a single layer.
///
/// A method that is called out of order does not compile, and the message says what to call first. Refusals have a problem
/// body (RFC 9457). A clone costs a few reference counts per step.
///
/// ```
/// # use tower_bearer::{Authenticator, stack::*, store::MemoryStore};
/// # fn example(auth: &Authenticator, store: MemoryStore) -> Result<(), Box<dyn std::error::Error>> {
/// let stack = BearerStack::new(BearerCheck::new(auth))
///     .require_scopes(["apps:run"])?
///     .resolve_app(AppResolver::new(auth, store.clone(), Finder::path("/apps/{app}")?))
///     .require_membership(WorkspaceMembershipCheck::new(auth, store.clone()))
///     .authorize_app(AppAuthz::new(auth, AccessModes::new(auth, store)));
/// # let _ = stack; Ok(()) }
/// ```
///
/// Out of order:
///
/// ```compile_fail,E0277
/// # use tower_bearer::{Authenticator, stack::*, store::MemoryStore};
/// # fn example(auth: &Authenticator, store: MemoryStore) {
/// let stack = BearerStack::new(BearerCheck::new(auth))
///     .require_membership(WorkspaceMembershipCheck::new(auth, store)); // the app is not known yet
/// # }
/// ```
#[must_use = "a layer does nothing until it wraps a service"]
pub struct BearerStack<C = BearerCheck, At = Authenticated, M = WithBody> {
    checks: C,
    at: PhantomData<fn() -> At>,
    bodies: M,
    behind: Bodies,
}

impl BearerStack {
    /// Starts with the question who is calling.
    pub fn new(check: BearerCheck) -> Self {
        let (bodies, behind) = (WithBody::new(), Bodies::default());
        Self { checks: check, at: PhantomData, bodies, behind }
    }
}

impl<C: Checks, At, M> BearerStack<C, At, M> {
    /// Charges the caller's limits.
    pub fn rate_limit(
        self,
        limit: impl Into<RateLimit>,
    ) -> BearerStack<Then<C, RateLimit>, Limited, M>
    where
        At: BeforeRateLimit,
    {
        self.then(limit.into())
    }

    /// Charges limits of the workspace and the app, which strangers to it must not spend.
    pub fn rate_limit_tenant(
        self,
        limit: impl Into<TenantLimit>,
    ) -> BearerStack<Then<C, TenantLimit>, TenantLimited, M>
    where
        At: AfterTenant,
    {
        self.then(limit.into())
    }

    /// Requires every one of these scopes; shorthand for [`require`](Self::require) with [`ScopeCheck::all`].
    ///
    /// # Errors
    ///
    /// [`ScopeError`] for an empty set or a name outside the scope grammar.
    pub fn require_scopes<N: AsRef<str>>(
        self,
        scopes: impl IntoIterator<Item = N>,
    ) -> Result<BearerStack<Then<C, ScopeCheck>, Scoped, M>, ScopeError>
    where
        At: BeforeScopes,
    {
        Ok(self.require(ScopeCheck::all(scopes)?))
    }

    /// Requires scopes, and names them in the challenge of a request without a credential (RFC 6750 §3).
    pub fn require(mut self, check: ScopeCheck) -> BearerStack<Then<C, ScopeCheck>, Scoped, M>
    where
        At: BeforeScopes,
    {
        self.checks.prepare_for(&Later::Scopes(check.required()));
        self.then(check)
    }

    /// Resolves the app that the request names.
    pub fn resolve_app(
        self,
        resolver: AppResolver,
    ) -> BearerStack<Then<C, AppResolver>, AppKnown, M>
    where
        At: BeforeApp,
    {
        self.then(resolver)
    }

    /// Requires a member of the app's workspace; it speaks for unknown and disabled apps too.
    pub fn require_membership(
        mut self,
        check: WorkspaceMembershipCheck,
    ) -> BearerStack<Then<C, WorkspaceMembershipCheck>, Member, M>
    where
        At: AfterApp,
    {
        self.checks.prepare_for(&Later::Membership);
        self.then(check)
    }

    /// Requires a member of the app's workspace, or lets an external subject by to [`authorize_app`](Self::authorize_app),
    /// without which the stack is no layer.
    pub fn require_membership_or_external(
        mut self,
        check: MembershipOrExternal,
    ) -> BearerStack<Then<C, MembershipOrExternal>, MemberOrExternal, M>
    where
        At: AfterApp,
    {
        self.checks.prepare_for(&Later::Membership);
        self.then(check)
    }

    /// Requires a member of the workspace that the request itself names.
    pub fn require_membership_in(
        self,
        check: MembershipInRequest,
    ) -> BearerStack<Then<C, MembershipInRequest>, MemberInRequest, M>
    where
        At: BeforeWorkspace,
    {
        self.then(check)
    }

    /// Requires that the app's access rule allows the caller.
    pub fn authorize_app(self, authz: AppAuthz) -> BearerStack<Then<C, AppAuthz>, Authorized, M>
    where
        At: AfterMembership,
    {
        self.then(authz)
    }

    /// Mounts the service's own caller.
    pub fn mount_caller(self, mount: CallerMount) -> BearerStack<Then<C, CallerMount>, Mounted, M>
    where
        At: BeforeCaller,
    {
        self.then(mount)
    }

    /// Ties ids of MCP sessions to the caller, with all that is known of it here.
    pub fn bind_mcp_sessions(
        self,
        bind: McpSessionBind,
    ) -> BearerStack<Then<C, McpSessionBind>, SessionBound, M>
    where
        At: BeforeSessions,
    {
        self.then(bind)
    }

    /// Puts the caller's identity into MCP messages, on their way to the service behind.
    ///
    /// No check of its own: bodies are read after all checks have passed, and before anything signs them.
    pub fn mcp_meta(self, meta: McpMetaForward) -> BearerStack<C, MetaPut, M>
    where
        At: BeforeMeta,
    {
        let Self { checks, at: _, bodies, behind } = self;
        let behind = Bodies { meta: Some(meta.into_meta()), ..behind };
        BearerStack { checks, at: PhantomData, bodies, behind }
    }

    /// Forwards the caller's identity to the service behind, as the last step.
    ///
    /// The authenticator's credential header is stripped like `Authorization`.
    pub fn forward_identity(
        mut self,
        forward: IdentityForward,
    ) -> BearerStack<Then<C, IdentityForward>, Forwarded<At>, M>
    where
        At: BeforeForward,
    {
        let named = self.checks.realm().and_then(|realm| realm.credential_header.clone());
        let forward = match named {
            Some(name) => forward.credential_header(&name),
            None => forward,
        };
        self.behind.edge = forward.edge();
        self.then(forward)
    }

    /// Gives refusals an empty body, for body types that are `Default` but not `From<Bytes>`.
    pub fn without_bodies(self) -> BearerStack<C, At, WithoutBody> {
        let Self { checks, at: _, bodies: _, behind } = self;
        BearerStack { checks, at: PhantomData, bodies: WithoutBody::new(), behind }
    }

    fn then<S, Next>(self, step: S) -> BearerStack<Then<C, S>, Next, M> {
        let checks = Then { first: self.checks, then: step };
        BearerStack { checks, at: PhantomData, bodies: self.bodies, behind: self.behind }
    }
}

impl<S, C: Checks, At: Complete, M: Clone> Layer<S> for BearerStack<C, At, M> {
    type Service = Gate<At::Behind<S>, C, M>;

    fn layer(&self, inner: S) -> Self::Service {
        Gate::new(At::behind(inner, &self.behind), self.checks.clone(), self.bodies.clone())
    }
}

impl<C: Clone, At, M: Clone> Clone for BearerStack<C, At, M> {
    fn clone(&self) -> Self {
        Self {
            checks: self.checks.clone(),
            at: PhantomData,
            bodies: self.bodies.clone(),
            behind: self.behind.clone(),
        }
    }
}

impl<C: Checks, At, M> fmt::Debug for BearerStack<C, At, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerStack").field("steps", &C::LENGTH).finish_non_exhaustive()
    }
}
