//! What does an MCP server read about the caller inside a message?
//!
//! 1. Needs the context, except where it only removes; leaves nothing, so it is no ninth check.
//! 2. What the client wrote under our key always goes; ours goes into requests and notifications (JSON-RPC 2.0 §4).
//! 3. Only bodies that are JSON are read, up to 1 MiB; every other one streams through.
//! 4. Anonymous: 401 where identity is required, else on without it. Never less identity than configured.

use http::request::Parts;
use std::sync::Arc;
use tower_layer::Layer;

use crate::context::AuthContext;
use crate::forward::compat::ContextForge;
use crate::forward::mcp::Meta;
use crate::forward::{ConfigError, Field, Identity, McpMetaService};

/// Tells MCP servers who is calling, in `params._meta` of JSON-RPC messages.
///
/// | status | kind | when |
/// | --- | --- | --- |
/// | 400 | `mcp_body_invalid` | no JSON text in UTF-8, an unreadable body, or two `Content-Type` lines |
/// | 400 | `mcp_params_not_object` | `params` or `_meta` of a request is no object |
/// | 400 | `mcp_duplicate_member` | a name twice where two readers could disagree on the key |
/// | 401 | `missing_token` | anonymous, and identity is required |
/// | 413 | `mcp_body_too_large` | more than 1 MiB, or more than 1,000 messages in a batch |
/// | 415 | `mcp_body_unsupported` | JSON with a `Content-Encoding`, or no JSON after [`json_only`](Self::json_only) |
/// | 500 | `identity_unencodable`, `identity_too_large` | a fact about the caller cannot be sent |
/// | 500 | `internal_error` | no context, or inside of what signs the body |
///
/// Stands outside [`IdentityForward`](crate::stack::IdentityForward). The inner service takes a
/// [`ForwardBody`](crate::forward::ForwardBody). The object is as trustworthy as the channel that carries it.
///
/// ```
/// use tower_bearer::forward::Field;
/// use tower_bearer::stack::McpMetaForward;
/// # fn main() -> Result<(), tower_bearer::forward::ConfigError> {
/// let layer = McpMetaForward::new("com.example/caller")?.fields([Field::Type, Field::Workspace]);
/// # let _ = layer; Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct McpMetaForward(Meta);

impl McpMetaForward {
    /// Puts identity under `key`, e.g. `com.example/caller`: a name of yours below a domain of yours.
    ///
    /// # Errors
    ///
    /// [`ConfigError::MetaKey`] unless `key` is a reverse-DNS prefix of two labels or more, `/` and a name that starts and ends
    /// with a letter or digit, and for prefixes whose first or second label is `mcp` or `modelcontextprotocol`.
    pub fn new(key: &str) -> Result<Self, ConfigError> {
        Meta::new(key).map(Self)
    }

    /// Only removes what clients write under `key`, for whoever calls: needs no context.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn strip_only(key: &str) -> Result<Self, ConfigError> {
        Meta::strip_only(key).map(Self)
    }

    /// Puts identity under `user`, as contextforge has it, or only removes it where `preset` does not send it there.
    ///
    /// `id` and `is_admin` always, the others that contextforge knows when they are not empty, lists as arrays. Put it beside
    /// the preset's headers in every setting, so that no client's `user` gets through.
    pub fn contextforge(preset: &ContextForge) -> Self {
        Self(Meta::contextforge(preset))
    }

    /// Sends these fields instead of the default ones; the id is always sent.
    ///
    /// Default: type, issuer, workspace, role, app, as far as they are known. Nothing personal.
    pub fn fields(mut self, fields: impl IntoIterator<Item = Field>) -> Self {
        self.0.fields(fields);
        self
    }

    /// Sends these attributes of the caller as the member `attributes`, as far as they are known. Default: none.
    pub fn attributes<'n>(mut self, names: impl IntoIterator<Item = &'n str>) -> Self {
        self.0.attributes(names);
        self
    }

    /// Holds back these attributes at every depth, instead of `password`, `password_hash`, `internal_id` and `ssn`.
    pub fn sensitive<'n>(mut self, attributes: impl IntoIterator<Item = &'n str>) -> Self {
        self.0.sensitive(attributes);
        self
    }

    /// Lets `edit` add or drop facts, e.g. from the value that [`CallerMount`](crate::stack::CallerMount) left in the
    /// request's extensions.
    ///
    /// It is given what is known of the fields that are sent; what it adds is sent only if its field is.
    pub fn identity(
        mut self,
        edit: impl for<'c> Fn(&Parts, &'c AuthContext, Identity<'c>) -> Identity<'c>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.0.identity(Arc::new(edit));
        self
    }

    /// Lets anonymous requests through without identity. Default: they are refused.
    pub fn optional(mut self) -> Self {
        self.0.optional();
        self
    }

    pub(super) fn into_meta(self) -> Meta {
        self.0
    }

    /// Refuses bodies that are not JSON, for upstreams that read JSON whatever its type says. Default: they stream through.
    pub fn json_only(mut self) -> Self {
        self.0.json_only();
        self
    }
}

impl<S> Layer<S> for McpMetaForward {
    type Service = McpMetaService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        McpMetaService::new(inner, &self.0)
    }
}
