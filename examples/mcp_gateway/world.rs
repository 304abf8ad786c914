//! Who and what is there: all of it in memory, new at each start.

use std::error::Error;
use std::num::NonZeroU32;

use tower_bearer::Authenticator;
use tower_bearer::id::{AccountId, AppId, WorkspaceId};
use tower_bearer::issuing::{Issuer, MintRequest};
use tower_bearer::limit::{Limit, Limiter, Policy};
use tower_bearer::store::{AccessMode, AccountStatus, MemoryStore, WorkspaceStatus};
use tower_bearer::subject::{Subject, SubjectType};
use tower_bearer::token::{TokenKind, TokenKinds};

/// The one app, open to all members of its workspace.
pub const APP: &str = "app-tools";
const WORKSPACE: &str = "ws-north";
const PER_MINUTE: u32 = 10_000;

/// What the layers read.
#[derive(Debug)]
pub struct World {
    pub auth: Authenticator,
    pub store: MemoryStore,
    pub limiter: Limiter,
    /// Name, token, and what it may do; shown once.
    pub tokens: Vec<(&'static str, String, &'static str)>,
}

impl World {
    pub async fn new() -> Result<Self, Box<dyn Error>> {
        let store = MemoryStore::new();
        let account = TokenKind::new("account").prefix("mcp_").subject(SubjectType::Account);
        let account = account.narrowed(["mcp:call", "mcp:look"]).checksum();
        let kinds = TokenKinds::builder().kind(account).build()?;
        let auth = Authenticator::builder(kinds, store.clone()).ledger(store.clone()).build()?;
        let count = NonZeroU32::new(PER_MINUTE).ok_or("no limit")?;
        let policy = Policy::per_token(Limit::per_minute(count)?);
        let limiter = Limiter::builder().policy(policy).build()?;

        let workspace = WorkspaceId::new(WORKSPACE)?;
        store.put_workspace(workspace.clone(), WorkspaceStatus::Active);
        for (account, role) in
            [("acc-alice", Some("editor")), ("acc-bob", Some("viewer")), ("acc-mallory", None)]
        {
            let account = AccountId::new(account)?;
            store.put_account(account.clone(), AccountStatus::Active);
            if let Some(role) = role {
                store.put_member(&workspace, &account, role)?;
            }
        }
        store.put_app(AppId::new(APP)?, &workspace, AccessMode::PrivateAll)?;

        let issuer = Issuer::new(&auth)?;
        let mut tokens = Vec::new();
        for (name, account, scope, may) in [
            ("alice", "acc-alice", "mcp:call", "call tools as acc-alice, an editor of ws-north"),
            ("bob", "acc-bob", "mcp:call", "call tools as acc-bob, a viewer of ws-north"),
            ("alice-looks", "acc-alice", "mcp:look", "not call tools, it lacks mcp:call"),
            ("mallory", "acc-mallory", "mcp:call", "reach nothing, acc-mallory is no member"),
        ] {
            let subject = Subject::Account { id: AccountId::new(account)? };
            let request = MintRequest::new("account", subject, "mcp_gateway", name);
            let issued = issuer.mint(&request.scopes([scope])).await?;
            tokens.push((name, issued.token().expose().to_owned(), may));
        }
        Ok(Self { auth, store, limiter, tokens })
    }
}
