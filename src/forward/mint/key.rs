//! Which requests may share a minted credential?
//!
//! 1. Those that agree in everything that an issuer looks at, the presented token included: two tokens of one user never share
//!    one, since they need not carry the same scopes.
//! 2. SHA-256 over each part, preceded by its length in 4 bytes (the parts of [`crate::key`] have 8, so this is no use of it),
//!    lists by their number first. Nothing is allocated.
//! 3. What an issuer was given at its making (resources, scopes, requested type, client) is no part of it: each source has a
//!    cache of its own, and one issuer.

use sha2::{Digest as _, Sha256};

use crate::context::{AuthContext, TokenFacts};
use crate::forward::upstream::Upstream;
use crate::id::{AppId, WorkspaceId};
use crate::store::UserType;

/// The name of one minted credential.
pub(super) type Key = [u8; 32];

const WORD: &[u8] = b"tower-bearer minted v1";

/// What of a request decides which credential it gets.
pub(super) struct KeyParts<'a> {
    pub(super) mode: &'static str,
    pub(super) caller: &'a TokenFacts,
    pub(super) context: &'a AuthContext,
    pub(super) user_type: UserType,
    pub(super) actor: &'a str,
    pub(super) upstream: &'a Upstream,
}

impl KeyParts<'_> {
    pub(super) fn hash(&self) -> Key {
        let Self { mode, caller, context, user_type, actor, upstream } = self;
        let workspace = workspace_of(context).map_or("", WorkspaceId::as_str);
        let app = context.app().map_or("", |app| AppId::as_str(app.id()));
        let audiences = [upstream.audience()];
        let mut hasher = Sha256::new();
        for part in [
            WORD,
            mode.as_bytes(),
            caller.subject_key.as_str().as_bytes(),
            workspace.as_bytes(),
            app.as_bytes(),
            user_type.as_str().as_bytes(),
            caller.digest.as_bytes(),
            actor.as_bytes(),
            upstream.name().as_bytes(),
        ] {
            add(&mut hasher, part);
        }
        hasher.update(length(audiences.len()));
        audiences.iter().for_each(|audience| add(&mut hasher, audience.as_bytes()));
        add(&mut hasher, &upstream.generation().to_be_bytes());
        hasher.finalize().into()
    }
}

/// The app's workspace, else the one that the token is bound to.
pub(super) fn workspace_of(context: &AuthContext) -> Option<&WorkspaceId> {
    context.workspace().or_else(|| context.bound_workspace())
}

fn add(hasher: &mut Sha256, part: &[u8]) {
    hasher.update(length(part.len()));
    hasher.update(part);
}

/// No part is longer than a request's head.
fn length(of: usize) -> [u8; 4] {
    u32::try_from(of).unwrap_or(u32::MAX).to_be_bytes()
}
