//! The eight layers in front of every server, and what stands around them.
//!
//! ```text
//! request → route → the server's own [ 1 … 8 ] → proxy → server
//! ```
//!
//! Each server has a stack of its own: what the last layers add is for one server alone. Public is only `/jwks.json`, in a
//! mode that has keys to tell.

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceExt, service_fn};
use tower_bearer::forward::{ForwardBody, Forwarding};
use tower_bearer::stack::{
    AccessModes, AppAuthz, AppResolver, BearerCheck, BearerStack, CallerMount, Finder,
    IdentityForward, McpMetaForward, McpSessionBind, WorkspaceMembershipCheck,
};

use crate::flags::Flags;
use crate::modes::Forwards;
use crate::proxy::Proxy;
use crate::route::{Route, Routes};
use crate::world::World;

/// The whole gateway as one service, or the part of one server; a clone costs a few reference counts.
pub type Gateway = BoxCloneSyncService<Request, Response, Infallible>;

/// Makes it; `own` is the URL that it is reached by.
pub fn gateway(world: &World, flags: &Flags, own: &str) -> Result<Gateway, Box<dyn Error>> {
    let Forwards { all, jwks } = flags.mode.forwards(&world.auth, &flags.upstreams, own)?;
    let proxy = Proxy::new(flags.http2);
    let mut sessions = [0; 32]; // ids of a gateway that is gone are nobody's
    getrandom::fill(&mut sessions)?;
    let behind = all.into_iter().map(|forwarding| {
        let bind = McpSessionBind::new([("demo", &sessions[..])], forwarding.upstream().name())?;
        stack(world, flags.meta.clone(), bind, forwarding, proxy.clone())
    });
    let behind: Arc<[Gateway]> = behind.collect::<Result<_, _>>()?;

    let routes = Routes::to(&flags.upstreams);
    let around = service_fn(move |mut request: Request| {
        let jwks = jwks.clone().filter(|_| request.uri().path() == "/jwks.json");
        // what is for no server learns from the first one's stack that there is no such app
        let server = routes.turn(&mut request).unwrap_or(0);
        let chosen = jwks.or_else(|| behind.get(server).cloned());
        async move {
            match chosen {
                Some(chosen) => chosen.oneshot(request).await,
                None => Ok(Response::default()),
            }
        }
    });
    Ok(BoxCloneSyncService::new(around))
}

/// The layers in front of one server.
fn stack(
    world: &World,
    meta: Option<McpMetaForward>,
    bind: McpSessionBind,
    forwarding: Forwarding,
    proxy: Proxy,
) -> Result<Gateway, Box<dyn Error>> {
    let World { auth, store, limiter, .. } = world;
    let named = Finder::with(|head| Some(head.extensions.get::<Route>()?.app.clone()));
    let stack = BearerStack::new(BearerCheck::new(auth))
        .rate_limit(limiter)
        .require_scopes(["mcp:call"])?
        .resolve_app(AppResolver::new(auth, store.clone(), named))
        .require_membership(WorkspaceMembershipCheck::new(auth, store.clone()))
        .authorize_app(AppAuthz::new(auth, AccessModes::new(auth, store.clone())))
        .mount_caller(CallerMount::new(auth, store.callers()))
        .bind_mcp_sessions(bind);
    let forward = IdentityForward::new(forwarding);
    let answered = |answer: http::Response<ForwardBody<Body>>| answer.map(Body::new);
    Ok(match meta {
        Some(meta) => {
            let stack = stack.mcp_meta(meta).forward_identity(forward);
            let behind = stack.layer(service_fn(move |request| proxy.clone().forward(request)));
            BoxCloneSyncService::new(behind.map_response(answered))
        }
        None => {
            let stack = stack.forward_identity(forward);
            let behind = stack.layer(service_fn(move |request| proxy.clone().forward(request)));
            BoxCloneSyncService::new(behind.map_response(answered))
        }
    })
}
