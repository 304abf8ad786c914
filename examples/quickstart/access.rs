//! What every group of routes shares: one authenticator, one store, one limiter, and the layers made of them.
//!
//! A layer is made once and cloned into each stack that needs it: clones share a cache, two `new` make two.

use std::error::Error;

use tower_bearer::Authenticator;
use tower_bearer::issuing::Issuer;
use tower_bearer::limit::{Limit, Limiter, Policy};
use tower_bearer::stack::{
    AccessModes, AppAuthz, AppResolver, CallerMount, Finder, RateLimit, WorkspaceMembershipCheck,
};
use tower_bearer::store::MemoryStore;
use tower_bearer::subject::SubjectType;
use tower_bearer::token::{KindsError, TokenKind, TokenKinds};

use crate::flags::Flags;

#[derive(Clone, Debug)]
pub struct Access {
    pub auth: Authenticator,
    pub store: MemoryStore,
    pub issuer: Issuer,
    pub limiter: Limiter,
    pub limit: RateLimit,
    pub app: AppResolver,
    pub members: WorkspaceMembershipCheck,
    pub modes: AppAuthz,
    pub caller: CallerMount,
}

impl Access {
    pub fn new(flags: &Flags) -> Result<Self, Box<dyn Error>> {
        let store = MemoryStore::new();
        let mut auth = Authenticator::builder(kinds()?, store.clone()).ledger(store.clone());
        let (count, window) = flags.limit;
        let limit = Limit::new(count, window).map_err(|error| format!("--limit: {error}"))?;
        let policy = Policy::per_token(limit);
        let mut limiter = Limiter::builder().policy(policy);
        if let Some(sharing) = &flags.redis {
            auth = sharing.facts(auth, &store);
            limiter = sharing.limits(limiter);
        }
        let (auth, limiter) = (auth.build()?, limiter.build()?);
        Ok(Self {
            issuer: Issuer::new(&auth)?,
            limit: RateLimit::new(limiter.clone()),
            limiter,
            app: AppResolver::new(&auth, store.clone(), Finder::path("/apps/{app}")?),
            members: WorkspaceMembershipCheck::new(&auth, store.clone()),
            modes: AppAuthz::new(&auth, AccessModes::new(&auth, store.clone())),
            caller: CallerMount::new(&auth, store.callers()),
            auth,
            store,
        })
    }
}

/// Two kinds of token: the prefix says whom one stands for, and how its rights are found.
fn kinds() -> Result<TokenKinds, KindsError> {
    let account = TokenKind::new("account").prefix("tba_").subject(SubjectType::Account);
    let external = TokenKind::new("external").prefix("tbe_").subject(SubjectType::External);
    TokenKinds::builder()
        .kind(account.narrowed(["full"]).umbrella("full").checksum())
        .kind(external.fixed(["apps:run", "apps:read:permitted-external"]).checksum())
        .implies("apps:manage", ["apps:read", "apps:run"])
        .build()
}
