//! What of the context may an upstream be told?
//!
//! 1. Looks only for what is sent: a field that is not costs nothing.
//! 2. Nobody is known of an anonymous request.

use http::request::Parts;

use super::identity::{Field, Identity};
use crate::context::AuthContext;
use crate::scope::Scope;
use crate::subject::Subject;

/// Adds or drops facts, by the request and its context.
pub(crate) type EditIdentity =
    dyn for<'c> Fn(&Parts, &'c AuthContext, Identity<'c>) -> Identity<'c> + Send + Sync;

/// What is known of the caller, as far as it is sent; `None` for an anonymous request.
pub(crate) fn known_of(
    context: &AuthContext,
    sends: impl Fn(Field) -> bool,
) -> Option<Identity<'_>> {
    let caller = context.caller.as_deref()?;
    let mut identity = match &caller.subject {
        Subject::Account { id } => Identity::account(id.as_str()),
        Subject::Service { id } => Identity::service(id.as_str()),
        Subject::External { issuer, subject: _, email } => {
            // hashed when the facts were loaded; without digits there is no id, and the request is refused
            let digits = caller.subject_key.external_hex().unwrap_or_default();
            let external = Identity::external_of_digest(issuer.as_str(), digits);
            match email.as_ref().filter(|_| sends(Field::Email)) {
                Some(email) => external.with_email(email.as_str()),
                None => external,
            }
        }
    };
    let workspace = context.workspace().or(caller.workspace.as_ref());
    if let Some(workspace) = workspace.filter(|_| sends(Field::Workspace)) {
        identity.put_text(Field::Workspace, workspace.as_str().into());
    }
    if let Some(membership) = context.membership().filter(|_| sends(Field::Role)) {
        identity.put_text(Field::Role, membership.role().into());
    }
    if let Some(app) = context.app().filter(|_| sends(Field::App)) {
        identity.put_text(Field::App, app.id().as_str().into());
    }
    if let Some(client) = caller.client_id.as_ref().filter(|_| sends(Field::Client)) {
        identity.put_text(Field::Client, client.as_str().into());
    }
    if sends(Field::Scopes) {
        identity = identity.with_scopes(caller.rights.effective().iter().map(Scope::as_str));
    }
    if sends(Field::AuthMethod) {
        identity.put_text(Field::AuthMethod, caller.kind.name().into());
    }
    Some(identity)
}
