//! Who is the caller, where the service's own people are in memory?
//!
//! 1. An account must be there and active.
//! 2. An end user is got or made under one lock: many at once make one.
//! 3. A service is its id: there is no table of services.

use std::sync::Arc;

use crate::id::{AccountId, ExternalId, Issuer, ServiceId};
use crate::key::to_hex;
use crate::store::memory::{MemoryStore, MemoryStoreError};
use crate::store::{CallerSource, EndUserKey, MountRequest, Mounted};
use crate::subject::Subject;

/// Gives the people of a [`MemoryStore`] as callers. Made by [`MemoryStore::callers`]; clones share the store.
#[derive(Clone, Debug)]
pub struct MemoryCallers {
    store: MemoryStore,
}

/// A caller as a [`MemoryStore`] knows it. `Debug` shows no external subject.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum MemoryCaller {
    /// An account of this service.
    Account {
        /// The account.
        id: AccountId,
        /// Its role in the workspace of the app, if it is a member of one.
        role: Option<Arc<str>>,
    },
    /// An external subject in one app.
    EndUser {
        /// Made on first sight: `eu_` and 32 hex digits.
        id: Arc<str>,
        /// The provider that vouches for the subject.
        issuer: Issuer,
        /// The provider's name for the subject.
        subject: ExternalId,
    },
    /// A machine that acts for itself.
    Service {
        /// The service.
        id: ServiceId,
    },
}

impl MemoryCallers {
    pub(super) fn new(store: MemoryStore) -> Self {
        Self { store }
    }

    fn account(&self, id: &AccountId, request: &MountRequest) -> Mounted<MemoryCaller> {
        let people = &self.store.read().people;
        if !people.is_active(id) {
            return Mounted::Unknown;
        }
        let workspace = request.workspace.clone();
        let role = workspace.and_then(|workspace| people.members.get(&(workspace, id.clone())));
        Mounted::found(MemoryCaller::Account { id: id.clone(), role: role.cloned() })
    }

    fn end_user(&self, key: &EndUserKey) -> Result<Mounted<MemoryCaller>, MemoryStoreError> {
        let caller = |id: &Arc<str>| MemoryCaller::EndUser {
            id: Arc::clone(id),
            issuer: key.issuer.clone(),
            subject: key.subject.clone(),
        };
        let people = &mut self.store.write().people;
        if let Some(id) = people.end_users.get(key) {
            return Ok(Mounted::found(caller(id)));
        }
        let id = new_end_user_id()?;
        people.end_users.insert(key.clone(), Arc::clone(&id));
        Ok(Mounted::created(caller(&id)))
    }
}

impl CallerSource for MemoryCallers {
    type Caller = MemoryCaller;
    type Error = MemoryStoreError;

    async fn mount(
        &self,
        request: &MountRequest,
    ) -> Result<Mounted<MemoryCaller>, MemoryStoreError> {
        match (&request.subject, &request.end_user) {
            (Subject::Account { id }, _) => Ok(self.account(id, request)),
            (Subject::External { .. }, Some(key)) => self.end_user(key),
            (Subject::External { .. }, None) => Ok(Mounted::Skip),
            (Subject::Service { id }, _) => {
                Ok(Mounted::found(MemoryCaller::Service { id: id.clone() }))
            }
        }
    }
}

fn new_end_user_id() -> Result<Arc<str>, MemoryStoreError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| MemoryStoreError::NoRandomBytes { reason: error.to_string() })?;
    Ok(Arc::from(format!("eu_{}", to_hex(&bytes))))
}
