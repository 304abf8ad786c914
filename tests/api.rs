//! Public types keep the shapes that users rely on: they can be shared, sent and stored in a field.

mod support;

use std::fmt::Debug;

use tower_bearer::rejection::Rejection;
use tower_bearer::stack::{
    AccessModes, AppAuthz, AppResolver, BearerCheck, BearerStack, CallerMount, ClientForward,
    Finder, IdentityForward, MembershipInRequest, MembershipOrExternal, RenderRejections,
    ScopeCheck, StripIdentity, WorkspaceMembershipCheck,
};
use tower_bearer::{AuthContext, Authenticator};

fn shared<T: Clone + Debug + Send + Sync + 'static>() {}

#[test]
fn layers_fit_in_a_field_and_go_to_any_thread() {
    shared::<AccessModes>();
    shared::<AppAuthz>();
    shared::<AppResolver>();
    shared::<AuthContext>();
    shared::<Authenticator>();
    shared::<BearerCheck>();
    shared::<BearerStack>();
    shared::<CallerMount>();
    shared::<ClientForward>();
    shared::<Finder>();
    shared::<IdentityForward>();
    shared::<MembershipInRequest>();
    shared::<MembershipOrExternal>();
    shared::<RenderRejections>();
    shared::<ScopeCheck>();
    shared::<StripIdentity>();
    shared::<WorkspaceMembershipCheck>();
}

#[test]
fn a_rejection_is_small_and_an_error() {
    fn error<T: std::error::Error + Send + Sync + 'static>() {}
    error::<Rejection>();
    assert!(size_of::<Rejection>() <= 48, "SE8: {} bytes", size_of::<Rejection>());
}

#[test]
fn a_gate_clones_whatever_its_body_is() {
    struct NotClone;
    fn clones<S: Clone>(_: &S) {}
    use tower::Layer;
    let world = support::world::World::new();
    let service = BearerStack::new(BearerCheck::new(&world.auth)).layer(tower::service_fn(
        |_: http::Request<NotClone>| {
            std::future::ready(Ok::<_, std::convert::Infallible>(http::Response::new(
                Vec::<u8>::new(),
            )))
        },
    ));
    clones(&service);
}
