//! How far a stack has come: the order of the steps, as types.
//!
//! Each method of [`BearerStack`](crate::stack::BearerStack) asks for one of the traits here, and each trait says, where it
//! is missing, what to call first. Users never spell these types.

use std::marker::PhantomData;

use crate::forward::mcp::Meta;
use crate::forward::{Edge, EdgeRules, McpMetaService};

/// Defines the places of a stack.
macro_rules! places {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        $($(#[$doc])* #[derive(Clone, Copy, Debug)] #[non_exhaustive] pub struct $name;)*
    };
}

places! {
    /// After `new`: the caller is known.
    Authenticated,
    /// After `rate_limit`.
    Limited,
    /// After `require_scopes`.
    Scoped,
    /// After `resolve_app`: the app is known.
    AppKnown,
    /// After `require_membership`: the caller is a member of the app's workspace.
    Member,
    /// After `require_membership_or_external`: the caller is a member, or external and not judged yet.
    MemberOrExternal,
    /// After `require_membership_in`: the caller is a member of the workspace that the request names.
    MemberInRequest,
    /// After `authorize_app`.
    Authorized,
    /// After `rate_limit_tenant`.
    TenantLimited,
    /// After `mount_caller`.
    Mounted,
    /// After `bind_mcp_sessions`.
    SessionBound,
    /// After `mcp_meta`.
    MetaPut,
}

/// After `forward_identity`, which was called at `At`.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Forwarded<At>(PhantomData<fn() -> At>);

/// Defines what a method asks of the place where it is called, and which places have it.
macro_rules! demands {
    ($($(#[$attribute:meta])* $name:ident: $($place:ident),*;)*) => {
        $($(#[$attribute])* pub trait $name {} $(impl $name for $place {})*)*
    };
}

demands! {
    /// `rate_limit` may be called here.
    #[diagnostic::on_unimplemented(
        message = "the rate limit comes too late at this point of the stack",
        label = "`rate_limit` must be the first call after `BearerStack::new`",
        note = "call `.rate_limit(..)` before `.require_scopes(..)`, `.resolve_app(..)` and everything after them"
    )]
    BeforeRateLimit: Authenticated;

    /// `require_scopes` may be called here.
    #[diagnostic::on_unimplemented(
        message = "the scopes are checked too late at this point of the stack",
        label = "`require_scopes` must come before the app or workspace is looked up",
        note = "call `.require_scopes(..)` before `.resolve_app(..)`, `.require_membership_in(..)` and everything after them"
    )]
    BeforeScopes: Authenticated, Limited;

    /// `resolve_app` may be called here.
    #[diagnostic::on_unimplemented(
        message = "the app is resolved too late at this point of the stack",
        label = "`resolve_app` must come before membership, access and caller",
        note = "call `.resolve_app(..)` right after `.require_scopes(..)`"
    )]
    BeforeApp: Authenticated, Limited, Scoped;

    /// `require_membership` may be called here.
    #[diagnostic::on_unimplemented(
        message = "the app is not known yet at this point of the stack",
        label = "`require_membership` needs the app's workspace",
        note = "call `.resolve_app(..)` first, or `.require_membership_in(..)` where the request itself names the workspace"
    )]
    AfterApp: AppKnown;

    /// `require_membership_in` may be called here.
    #[diagnostic::on_unimplemented(
        message = "the workspace is named twice at this point of the stack",
        label = "`require_membership_in` stands in place of `resolve_app`",
        note = "call `.require_membership(..)` after `.resolve_app(..)`; call `.require_membership_in(..)` without it"
    )]
    BeforeWorkspace: Authenticated, Limited, Scoped;

    /// `authorize_app` may be called here.
    #[diagnostic::on_unimplemented(
        message = "the caller's membership is not known yet at this point of the stack",
        label = "`authorize_app` needs the app and a member or exempt caller",
        note = "call `.resolve_app(..)` and `.require_membership(..)` first"
    )]
    AfterMembership: Member, MemberOrExternal;

    /// `rate_limit_tenant` may be called here.
    #[diagnostic::on_unimplemented(
        message = "nobody is known to belong to the workspace at this point of the stack",
        label = "`rate_limit_tenant` would let strangers spend the workspace's limit",
        note = "call `.require_membership(..)` and, where externals are exempt, `.authorize_app(..)` first"
    )]
    AfterTenant: Member, MemberInRequest, Authorized;

    /// `mount_caller` may be called here.
    #[diagnostic::on_unimplemented(
        message = "the caller cannot be mounted at this point of the stack",
        label = "`mount_caller` must come once, after every step that judges the caller",
        note = "call `.authorize_app(..)` first where externals are exempt, and `.mount_caller(..)` before `.forward_identity(..)`"
    )]
    BeforeCaller: Authenticated, Limited, Scoped, AppKnown, Member, MemberInRequest, Authorized, TenantLimited;

    /// `forward_identity` may be called here.
    #[diagnostic::on_unimplemented(
        message = "the identity cannot be forwarded at this point of the stack",
        label = "`forward_identity` must come once, as the last step",
        note = "call `.authorize_app(..)` first where externals are exempt"
    )]
    BeforeForward: Authenticated, Limited, Scoped, AppKnown, Member, MemberInRequest, Authorized, TenantLimited, Mounted, SessionBound, MetaPut;

    /// `bind_mcp_sessions` may be called here.
    #[diagnostic::on_unimplemented(
        message = "ids of MCP cannot be bound at this point of the stack",
        label = "`bind_mcp_sessions` must come once, when all is known of the caller and nothing was forwarded",
        note = "call `.bind_mcp_sessions(..)` right after `.mount_caller(..)`, before `.mcp_meta(..)` and `.forward_identity(..)`"
    )]
    BeforeSessions: Authenticated, Limited, Scoped, AppKnown, Member, MemberInRequest, Authorized, TenantLimited, Mounted;

    /// `mcp_meta` may be called here.
    #[diagnostic::on_unimplemented(
        message = "identity cannot be put into messages at this point of the stack",
        label = "`mcp_meta` must come once, when all is known of the caller and nothing was forwarded",
        note = "call `.mcp_meta(..)` right before `.forward_identity(..)`"
    )]
    BeforeMeta: Authenticated, Limited, Scoped, AppKnown, Member, MemberInRequest, Authorized, TenantLimited, Mounted, SessionBound;
}

/// The stack may be put around a service as it is.
#[diagnostic::on_unimplemented(
    message = "the stack lets external subjects by whom nobody has judged",
    label = "a stack with exempt externals is no layer yet",
    note = "call `.authorize_app(..)` after `.require_membership_or_external(..)`"
)]
pub trait Complete {
    /// The service that the checks stand in front of: the one behind the stack, or the one that handles its bodies.
    #[doc(hidden)]
    type Behind<S>;

    #[doc(hidden)]
    fn behind<S>(inner: S, bodies: &Bodies) -> Self::Behind<S>;
}

/// What is done with bodies behind the checks.
#[derive(Clone, Debug, Default)]
pub struct Bodies {
    pub(super) edge: EdgeRules,
    pub(super) meta: Option<Meta>,
}

impl Bodies {
    fn meta(&self) -> &Meta {
        self.meta.as_ref().expect("only mcp_meta, which sets it, leads to this place")
    }
}

/// Places in front of the service itself.
macro_rules! complete {
    ($($place:ident),*) => {
        $(impl Complete for $place {
            type Behind<S> = S;

            fn behind<S>(inner: S, _bodies: &Bodies) -> S {
                inner
            }
        })*
    };
}

complete!(
    Authenticated,
    Limited,
    Scoped,
    AppKnown,
    Member,
    MemberInRequest,
    Authorized,
    TenantLimited,
    Mounted,
    SessionBound
);

impl Complete for MetaPut {
    type Behind<S> = McpMetaService<S>;

    fn behind<S>(inner: S, bodies: &Bodies) -> McpMetaService<S> {
        McpMetaService::new(inner, bodies.meta())
    }
}

/// What stood behind the earlier place stands in front of the bodies' edge now.
impl<At: Complete> Complete for Forwarded<At> {
    type Behind<S> = At::Behind<Edge<S>>;

    fn behind<S>(inner: S, bodies: &Bodies) -> Self::Behind<S> {
        At::behind(Edge::new(inner, bodies.edge.clone()), bodies)
    }
}
