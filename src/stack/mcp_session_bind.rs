//! May this caller go on with this MCP session?
//!
//! 1. Needs the context of a caller; leaves nothing. Anonymous: 401, for an id is no authentication.
//! 2. An id that was not bound to this caller, workspace and upstream, or two lines of it: 404, the same for every cause.
//! 3. The upstream gets its own id, the client one that is bound to it. No state: any replica answers.
//! 4. An upstream's id that could not come back is dropped and counted.

use http::StatusCode;
use http::header::{HeaderMap, HeaderValue};
use std::sync::Arc;

use crate::evidence::Evidence;
use crate::forward::ConfigError;
use crate::forward::mcp::{Binder, BoundId, MCP_SESSION_ID, Owner, Told};
use crate::gate::{After, Attempt, Passage, Step, step_layer};
use crate::metrics::mcp_session_refused;
use crate::rejection::{Reason, Rejection, RejectionKind, StepName};

/// Lets a caller go on with MCP sessions of its own, and with nobody else's.
///
/// | status | kind | when |
/// | --- | --- | --- |
/// | 401 | `missing_token` | anonymous |
/// | 404 | `session_not_found` | the `Mcp-Session-Id` was not given to this caller, in this workspace, for this upstream |
///
/// A client answers 404 with a new `initialize` (MCP 2025-11-25, Streamable HTTP). Administrators are no exception. Stands
/// outside [`McpMetaForward`](crate::stack::McpMetaForward) and [`IdentityForward`](crate::stack::IdentityForward), which puts
/// the upstream's id in after it has removed what clients sent. A clone costs two reference counts.
///
/// ```
/// use tower_bearer::stack::McpSessionBind;
/// # fn example(key: &[u8]) -> Result<(), tower_bearer::forward::ConfigError> {
/// let layer = McpSessionBind::new([("k1", key)], "mcp-main")?;
/// # let _ = layer; Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct McpSessionBind {
    binder: Binder,
}

impl McpSessionBind {
    /// Binds with the first of these keys and takes what any of them bound, for the upstream of this name.
    ///
    /// Keys are 1 to 4, newest first, each under a name. To change one: put the new key behind the old one in every replica,
    /// then in front of it, and take the old one away once what it bound has ended. An id that is bound anew is
    /// another one to the client, who keeps the first.
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`] for another number of keys, [`ConfigError::NameTaken`] for two of one name,
    /// [`ConfigError::Key`] for a name that is not 1 to 64 letters, digits, `.`, `_` and `-` and for a key of fewer than 32
    /// bytes or 8 different byte values, [`ConfigError::UpstreamName`] for what is no upstream's name.
    pub fn new<'k>(
        keys: impl IntoIterator<Item = (&'k str, &'k [u8])>,
        upstream_name: &str,
    ) -> Result<Self, ConfigError> {
        Ok(Self { binder: Binder::new(keys, upstream_name)? })
    }

    fn bind(&self, passage: &mut Passage<'_>) -> Result<Evidence, Rejection> {
        let context = passage.context()?;
        let caller = context.known_caller()?;
        let owner = Owner {
            subject: caller.subject_key.clone(),
            workspace: context.workspace().or(caller.workspace.as_ref()).cloned(),
        };
        let id = self.presented(&owner, &mut passage.head.headers)?;
        if let Some(id) = &id {
            passage.head.headers.insert(MCP_SESSION_ID, id.clone());
        }
        passage.head.extensions.insert(BoundId(id));
        passage.notes.afterwards(Arc::new(Binding { binder: self.binder.clone(), owner }));
        Ok(Evidence::NONE)
    }

    /// The upstream's id, where the client presents one.
    fn presented(
        &self,
        owner: &Owner,
        headers: &mut HeaderMap,
    ) -> Result<Option<HeaderValue>, Rejection> {
        let opened = match Told::take(headers) {
            Told::Nothing => return Ok(None),
            Told::Once(presented) => self.binder.opened(owner, &presented),
            Told::Several => None,
        };
        opened.map(Some).ok_or_else(|| {
            mcp_session_refused();
            Rejection::new(RejectionKind::SessionNotFound, Reason::SessionNotFound)
        })
    }
}

/// Binds the id of one answer.
struct Binding {
    binder: Binder,
    owner: Owner,
}

impl After for Binding {
    fn apply(
        &self,
        _status: StatusCode,
        headers: &mut HeaderMap,
        _refusal: Option<&Rejection>,
    ) -> Option<Rejection> {
        let bound = match Told::take(headers) {
            Told::Nothing => return None,
            Told::Once(id) => self.binder.bound(&self.owner, &id),
            Told::Several => None,
        };
        match bound {
            Some(id) => drop(headers.insert(MCP_SESSION_ID, id)),
            None => mcp_session_refused(),
        }
        None
    }
}

step_layer!(McpSessionBind);

impl Step for McpSessionBind {
    const NAME: StepName = StepName::Forward;
    const NEEDS: &'static [Evidence] = &[Evidence::AUTHENTICATED.and(Evidence::ANONYMOUS)];

    fn attempt(&self, passage: &mut Passage<'_>) -> Attempt {
        self.bind(passage).into()
    }

    async fn ask(&self, passage: &mut Passage<'_>) -> Result<Evidence, Rejection> {
        self.bind(passage)
    }
}
