//! The layers of one app route, ready to be put together.

use std::num::NonZeroU32;
use std::time::Duration;

use tower::Layer;
use tower_bearer::forward::{Edge, ForwardOptions, Mode, Upstream};
use tower_bearer::gate::{Checks, Gate, WithBody};
use tower_bearer::limit::{Fields, Limit, Limiter, Policy};
use tower_bearer::stack::{
    AccessModes, AppAuthz, AppResolver, BearerCheck, BearerStack, CallerMount, Finder,
    IdentityForward, RateLimit, ScopeCheck, WorkspaceMembershipCheck,
};

use crate::world::World;

/// One value of each layer; stacks and free layers are made of clones, so that they share caches and limit.
#[derive(Clone)]
pub(crate) struct Layers {
    pub(crate) bearer: BearerCheck,
    pub(crate) limit: RateLimit,
    pub(crate) scopes: ScopeCheck,
    pub(crate) app: AppResolver,
    pub(crate) members: WorkspaceMembershipCheck,
    pub(crate) access: AppAuthz,
    pub(crate) caller: CallerMount,
    pub(crate) forward: IdentityForward,
}

impl Layers {
    /// Forwarding off, limit fields on refusals alone, a limit that is out of reach.
    pub(crate) fn new(world: &World) -> Self {
        let (auth, store) = (&world.auth, &world.store);
        let upstream = Upstream::new("main", "https://mcp.example.com/").expect("an upstream");
        let forward = ForwardOptions::new(upstream, Mode::Off).build().expect("options");
        Self {
            bearer: BearerCheck::new(auth),
            limit: RateLimit::new(limiter(Fields::OnDenied)),
            scopes: ScopeCheck::all(["apps:run"]).expect("a scope"),
            app: AppResolver::new(
                auth,
                store.clone(),
                Finder::path("/apps/{app}").expect("a template"),
            ),
            members: WorkspaceMembershipCheck::new(auth, store.clone()),
            access: AppAuthz::new(auth, AccessModes::new(auth, store.clone())),
            caller: CallerMount::new(auth, store.callers()),
            forward: IdentityForward::new(forward),
        }
    }

    /// All eight in one stack around `inner`.
    pub(crate) fn around<S>(&self, inner: S) -> Gate<Edge<S>, impl Checks + use<S>, WithBody> {
        let all = self.clone();
        BearerStack::new(all.bearer)
            .rate_limit(all.limit)
            .require(all.scopes)
            .resolve_app(all.app)
            .require_membership(all.members)
            .authorize_app(all.access)
            .mount_caller(all.caller)
            .forward_identity(all.forward)
            .layer(inner)
    }
}

/// 4,096 per 2 ms, exact: no single thread gets there, and the log holds what passed in the last 2 ms.
pub(crate) fn limiter(fields: Fields) -> Limiter {
    let limit = Limit::new(NonZeroU32::new(4_096).expect("not zero"), Duration::from_millis(2));
    let policy = Policy::per_token(limit.expect("in range")).exact_up_to(4_096);
    Limiter::builder().policy(policy).fields(fields).build().expect("a limiter")
}
