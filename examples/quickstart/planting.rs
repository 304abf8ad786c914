//! From a seed to a filled store and the tokens to be shown once.

use std::collections::HashSet;
use std::error::Error;
use std::time::Duration;

use tower_bearer::clock::{Clock, SystemClock, Timestamp};
use tower_bearer::id::{AccountId, AppId, Email, ExternalId, Issuer as Provider, WorkspaceId};
use tower_bearer::issuing::{Issuer, MintRequest, TtlBounds};
use tower_bearer::store::{
    AccessMode, AccountStatus, MemoryStore, RevokeReason, RevokeTarget, WorkspaceStatus,
};
use tower_bearer::subject::Subject;

use crate::access::Access;
use crate::seed::{Account, Member, Seed, Token, is_access_mode};

/// A token to be shown once.
pub struct Shown {
    pub name: String,
    pub text: String,
    pub may: String,
    pub kind: String,
    pub scopes: Vec<String>,
    /// Neither expired nor revoked, of an active account.
    pub is_live: bool,
}

type Wrong = Box<dyn Error>;

impl Seed {
    /// Fills the store and mints the tokens, all of them while every account is active: states come last.
    pub async fn plant(&self, access: &Access) -> Result<Vec<Shown>, Wrong> {
        self.names_are_unique()?;
        self.plant_people(&access.store)?;
        let longest = Duration::from_secs(3_650 * 86_400);
        let bounds = TtlBounds::new(Duration::from_secs(1), Duration::from_secs(86_400), longest)?;
        let mut issuer = access.issuer.clone();
        for kind in access.auth.kinds().iter() {
            issuer = issuer.with_ttl_bounds(kind.name(), bounds)?;
        }
        let start = SystemClock::new().now().wall();
        let mut shown = Vec::new();
        for token in &self.tokens {
            let minted = self.mint(token, &issuer, access, start).await;
            shown.push(minted.map_err(|error| format!("token {:?}: {error}", token.name))?);
        }
        for account in &self.accounts {
            access.store.set_account_status(&AccountId::new(&account.id)?, account.status()?);
        }
        Ok(shown)
    }

    fn names_are_unique(&self) -> Result<(), Wrong> {
        let mut seen = HashSet::new();
        let accounts = self.accounts.iter().map(|account| ("account", &account.id));
        let workspaces = self.workspaces.iter().map(|workspace| ("workspace", &workspace.id));
        let apps = self.apps.iter().map(|app| ("app", &app.id));
        let tokens = self.tokens.iter().map(|token| ("token", &token.name));
        for (what, name) in accounts.chain(workspaces).chain(apps).chain(tokens) {
            if !seen.insert((what, name)) {
                return Err(format!("{what} {name:?} is there twice").into());
            }
        }
        Ok(())
    }

    fn plant_people(&self, store: &MemoryStore) -> Result<(), Wrong> {
        for workspace in &self.workspaces {
            let unknown = || format!("unknown workspace status {:?}", workspace.status);
            let status = WorkspaceStatus::from_word(&workspace.status).ok_or_else(unknown)?;
            store.put_workspace(WorkspaceId::new(&workspace.id)?, status);
        }
        for account in &self.accounts {
            account.status()?;
            store.put_account(AccountId::new(&account.id)?, AccountStatus::Active);
        }
        for Member { workspace, account, role } in &self.members {
            let (workspace, account) = (WorkspaceId::new(workspace)?, AccountId::new(account)?);
            store.put_member(&workspace, &account, role.as_str())?;
        }
        for app in &self.apps {
            if !is_access_mode(&app.access_mode) {
                return Err("an access mode has 1 to 32 characters".into());
            }
            let (id, mode) = (AppId::new(&app.id)?, AccessMode::from_word(&app.access_mode));
            store.put_app(id.clone(), &WorkspaceId::new(&app.workspace)?, mode)?;
            store.set_app_enabled(&id, app.enabled);
            for account in &app.permitted {
                store.permit(&id, &AccountId::new(account)?)?;
            }
        }
        Ok(())
    }

    async fn mint(
        &self,
        token: &Token,
        issuer: &Issuer,
        access: &Access,
        start: Timestamp,
    ) -> Result<Shown, Wrong> {
        if token.name.contains(char::is_whitespace) {
            return Err("a name has no white space".into());
        }
        let subject = self.subject(token)?;
        let second = Duration::from_secs(1);
        let span = Duration::from_secs(token.ttl_s.unsigned_abs());
        let request = MintRequest::new(&token.kind, subject, &token.client_id, &token.name)
            .scopes(&token.scopes);
        let request = if token.ttl_s > 0 {
            request.issued_at(start).ttl(span)
        } else {
            request.issued_at(start.saturating_sub(span).saturating_sub(second)).ttl(second)
        };
        let request = match &token.workspace {
            Some(id) if self.workspaces.iter().any(|workspace| workspace.id == *id) => {
                request.workspace(WorkspaceId::new(id)?)
            }
            Some(_) => return Err("there is no such workspace".into()),
            None => request,
        };
        let issued = match &token.token {
            Some(text) => issuer.adopt(text, &request).await?,
            None => issuer.mint(&request).await?,
        };
        if token.revoked {
            let target = RevokeTarget::Id { id: issued.id().clone(), owner: None };
            access.auth.revoke_token(target, RevokeReason::Admin).await?;
        }
        let (may, is_live) = self.may(token);
        Ok(Shown {
            name: token.name.clone(),
            text: issued.token().expose().to_owned(),
            may,
            kind: issued.kind().to_owned(),
            scopes: issued.scopes().iter().map(|scope| scope.as_str().to_owned()).collect(),
            is_live,
        })
    }

    fn subject(&self, token: &Token) -> Result<Subject, Wrong> {
        match (&token.account, &token.external) {
            (Some(id), None) if self.accounts.iter().any(|account| account.id == *id) => {
                Ok(Subject::Account { id: AccountId::new(id)? })
            }
            (Some(_), None) => Err("there is no such account".into()),
            (None, Some(external)) => {
                let issuer = Provider::new(&external.issuer)?;
                let email = external.email.as_ref().map(Email::new).transpose()?;
                Ok(Subject::External {
                    issuer,
                    subject: ExternalId::new(&external.subject)?,
                    email,
                })
            }
            _ => Err("a token has either an account or an external subject".into()),
        }
    }

    /// What a token may do, in words, and whether it may do anything of note.
    fn may(&self, token: &Token) -> (String, bool) {
        if token.revoked {
            return ("nothing, it is revoked".to_owned(), false);
        }
        if token.ttl_s <= 0 {
            return (format!("nothing, it expired {} s ago", token.ttl_s.unsigned_abs()), false);
        }
        let bound = token.workspace.as_ref().map(|id| format!(", in {id} alone"));
        let bound = bound.unwrap_or_default();
        let Some(id) = &token.account else {
            return (format!("run public and sso_verified apps, and list them{bound}"), true);
        };
        let status = self.accounts.iter().find(|account| account.id == *id);
        let status = status.map_or("unknown", |account| account.status.as_str());
        if status != "active" {
            return (format!("see itself and end itself, its account is {status}"), false);
        }
        let of = self.members.iter().filter(|member| member.account == *id);
        let of: Vec<_> = of.map(|member| member.workspace.as_str()).collect();
        let of = if of.is_empty() { "no workspace".to_owned() } else { of.join(" and ") };
        (format!("{} as {id}, a member of {of}{bound}", token.scopes.join(" and ")), true)
    }
}

impl Account {
    fn status(&self) -> Result<AccountStatus, Wrong> {
        let unknown = || format!("unknown account status {:?}", self.status);
        Ok(AccountStatus::from_word(&self.status).ok_or_else(unknown)?)
    }
}
