//! The eight layers in front of every server, and what stands around them.
//!
//! ```text
//! request → route, hide the id → [ 1 … 8 ] → proxy → server
//! ```
//!
//! Public is only `/jwks.json`, in a mode that has keys to tell.

use std::convert::Infallible;
use std::error::Error;

use axum::extract::Request;
use axum::response::Response;
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceExt, service_fn};
use tower_bearer::stack::{
    AccessModes, AppAuthz, AppResolver, BearerCheck, BearerStack, CallerMount, Finder,
    IdentityForward, WorkspaceMembershipCheck,
};

use crate::flags::Flags;
use crate::legs::{self, Legs};
use crate::modes::Forwards;
use crate::proxy::Proxy;
use crate::route::{Route, Routes};
use crate::world::World;

/// The whole gateway as one service; a clone costs a few reference counts.
pub type Gateway = BoxCloneSyncService<Request, Response, Infallible>;

/// Makes it; `own` is the URL that it is reached by.
pub fn gateway(world: &World, flags: &Flags, own: &str) -> Result<Gateway, Box<dyn Error>> {
    let World { auth, store, limiter, .. } = world;
    let Forwards { all, jwks } = flags.mode.forwards(&flags.upstreams, own)?;
    let forward = IdentityForward::select(all, |head, _| {
        head.extensions.get::<Route>().map(|route| &*route.server)
    })?;
    let named = Finder::with(|head| Some(head.extensions.get::<Route>()?.app.clone()));

    let stack = BearerStack::new(BearerCheck::new(auth))
        .rate_limit(limiter)
        .require_scopes(["mcp:call"])?
        .resolve_app(AppResolver::new(auth, store.clone(), named))
        .require_membership(WorkspaceMembershipCheck::new(auth, store.clone()))
        .authorize_app(AppAuthz::new(auth, AccessModes::new(auth, store.clone())))
        .mount_caller(CallerMount::new(auth, store.callers()))
        .forward_identity(forward);

    let (routes, proxy) = (Routes::to(&flags.upstreams), Proxy::new(Legs::default(), flags.http2));
    let behind = stack.layer(service_fn(move |request| {
        let proxy = proxy.clone();
        async move { Ok::<_, Infallible>(proxy.forward(request).await) }
    }));
    let around = service_fn(move |mut request: Request| {
        let (behind, jwks) = (behind.clone(), jwks.clone());
        let jwks = jwks.filter(|_| request.uri().path() == "/jwks.json");
        routes.turn(&mut request);
        legs::hide(&mut request);
        async move {
            match jwks {
                Some(jwks) => jwks.oneshot(request).await,
                None => behind.oneshot(request).await.map(legs::show),
            }
        }
    });
    Ok(BoxCloneSyncService::new(around))
}
