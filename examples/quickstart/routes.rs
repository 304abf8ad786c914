//! Which checks stand in front of which route: one stack per group of routes, all over one authenticator.

use std::error::Error;

use axum::Router;
use axum::routing::{MethodRouter, any};
use tower_bearer::stack::{BearerCheck, BearerStack, Finder};

use crate::access::Access;
use crate::handlers;
use crate::problem::Problem;
use crate::proxy::Proxy;

/// Every route but `/healthz` is authenticated and limited, unknown paths and wrong methods too.
pub fn routes(access: &Access, proxy: Option<Proxy>) -> Result<Router, Box<dyn Error>> {
    let Access { auth, .. } = access;
    let anyone = BearerStack::new(BearerCheck::new(auth)).rate_limit(access.limit.clone());
    let accounts = BearerCheck::new(auth).accept(["account"])?;
    let externals = BearerCheck::new(auth).accept(["external"])?;
    let in_path = Finder::path("/workspaces/{workspace}/apps")?;

    let read = anyone
        .clone()
        .require_scopes(["apps:read"])?
        .resolve_app(access.app.clone())
        .require_membership_or_external(access.members.clone().exempt_external())
        .authorize_app(access.modes.clone());
    let run = anyone
        .clone()
        .require_scopes(["apps:run"])?
        .resolve_app(access.app.clone())
        .require_membership_or_external(access.members.clone().exempt_external())
        .authorize_app(access.modes.clone())
        .mount_caller(access.caller.clone());
    let list = BearerStack::new(accounts)
        .rate_limit(access.limit.clone())
        .require_membership_in(access.members.in_request(in_path));
    let permitted = BearerStack::new(externals)
        .rate_limit(access.limit.clone())
        .require_scopes(["apps:read:permitted-external"])?;

    let mut router = Router::new()
        .route("/healthz", other("GET, HEAD").get(handlers::healthz))
        .route("/me", other("GET, HEAD").get(handlers::me).layer(anyone.clone()))
        .route("/tokens/self", other("DELETE").delete(handlers::end_self).layer(anyone.clone()))
        .route("/apps/{app}", other("GET, HEAD").get(handlers::app).layer(read))
        .route("/apps/{app}/run", other("POST").post(handlers::run).layer(run.clone()))
        .route(
            "/workspaces/{workspace}/apps",
            other("GET, HEAD").get(handlers::apps_of).layer(list),
        )
        .route(
            "/permitted-apps",
            other("GET, HEAD").get(handlers::permitted_apps).layer(permitted),
        );
    if let Some(proxy) = proxy {
        let forward = move |request| {
            let proxy = proxy.clone();
            async move { proxy.forward(request).await }
        };
        router = router.route("/apps/{app}/proxy/{*path}", any(forward).layer(run));
    }
    let unknown = any(handlers::unknown_path).layer(anyone);
    Ok(router.fallback_service(unknown.with_state(())).with_state(access.clone()))
}

/// A wrong method is answered behind the route's own stack, and what is right is told there alone.
pub fn other(allow: &'static str) -> MethodRouter<Access> {
    any(move || async move { Problem::method_not_allowed(allow) })
}
