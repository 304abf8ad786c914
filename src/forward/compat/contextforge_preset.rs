//! How is forwarding set up for upstreams of contextforge?

use super::contextforge_override;
use crate::forward::attribute::Sensitive;
use crate::forward::config::ForwardOptions;
use crate::forward::encode::Spelling;
use crate::forward::error::ConfigError;
use crate::forward::hmac::HmacKey;
use crate::forward::identity::Field;
use crate::forward::key_rules::strong;
use crate::forward::mode::Mode;
use crate::forward::names::DEFAULT_PREFIX;
use crate::forward::upstream::Upstream;

/// Where identity goes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Carriers {
    /// `headers`: into headers under the prefix.
    #[default]
    Headers,
    /// `meta`: into `user` of `params._meta` in MCP messages.
    Meta,
    /// `both`.
    Both,
}

/// The preset for upstreams of contextforge: headers with raw values, `_meta.user`, and a signature over id and e-mail address.
///
/// Two layers are made of it: [`IdentityForward`](crate::stack::IdentityForward) of [`options`](Self::options), and outside of it
/// [`McpMetaForward::contextforge`](crate::stack::McpMetaForward::contextforge). Use both whatever carries identity, so that what
/// clients send of it is removed.
///
/// Id and administrator are always sent; e-mail address, full name, groups, teams, roles, auth method, service account and
/// delegation chain when they are not empty. The signature binds id and e-mail address for ever and for any upstream that has
/// the key: it proves little. Where the upstream can be changed, prefer `ForwardOptions::signed_headers` of feature `signed`.
/// `Debug` shows no key.
///
/// ```
/// use tower_bearer::forward::Upstream;
/// use tower_bearer::forward::compat::{self, Carriers};
/// use tower_bearer::stack::{IdentityForward, McpMetaForward};
/// # fn main() -> Result<(), tower_bearer::forward::ConfigError> {
/// let preset = compat::contextforge().carriers(Carriers::Both);
/// let upstream = Upstream::new("mcp-main", "https://mcp.example.com/mcp")?;
/// let headers = IdentityForward::new(preset.options(upstream).build()?);
/// let meta = McpMetaForward::contextforge(&preset);
/// # let _ = (headers, meta); Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a preset does nothing until layers are made of it"]
pub struct ContextForge {
    pub(super) enabled: bool,
    pub(super) carriers: Carriers,
    pub(super) prefix: String,
    pub(super) key: Option<HmacKey>,
    pub(super) hidden: Sensitive,
    pub(super) allowed: Option<Vec<Box<str>>>,
    pub(super) may_enable: bool,
    pub(super) may_weaken: bool,
}

/// The preset for upstreams of contextforge, with headers alone and unsigned.
pub fn contextforge() -> ContextForge {
    ContextForge {
        enabled: true,
        carriers: Carriers::default(),
        prefix: DEFAULT_PREFIX.to_owned(),
        key: None,
        hidden: Sensitive::default(),
        allowed: None,
        may_enable: false,
        may_weaken: false,
    }
}

impl ContextForge {
    /// What contextforge sends.
    pub(in crate::forward) const FIELDS: [Field; 10] = [
        Field::Id,
        Field::Email,
        Field::FullName,
        Field::Groups,
        Field::Teams,
        Field::Roles,
        Field::Admin,
        Field::AuthMethod,
        Field::ServiceAccount,
        Field::DelegationChain,
    ];

    /// Sets where identity goes. Default [`Carriers::Headers`].
    pub fn carriers(mut self, carriers: Carriers) -> Self {
        self.carriers = carriers;
        self
    }

    /// Sets the prefix of headers. Default `X-Forwarded-User`.
    pub fn headers_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Signs id and e-mail address in `<prefix>-Claims-Signature`, where headers carry identity.
    ///
    /// Give each upstream a key of its own: what one of them is sent, it can send to the others.
    ///
    /// # Errors
    /// [`ConfigError::Key`] for a key of fewer than 32 bytes, or of fewer than 8 different values.
    pub fn sign_claims(mut self, key: &[u8]) -> Result<Self, ConfigError> {
        strong(key)?;
        self.key = Some(HmacKey::new(key));
        Ok(self)
    }

    /// Holds back these attributes at every depth, instead of `password`, `password_hash`, `internal_id` and `ssn`.
    pub fn sensitive_attributes<'n>(mut self, names: impl IntoIterator<Item = &'n str>) -> Self {
        self.hidden = Sensitive::new(names);
        self
    }

    /// Sends no other attributes than these, whatever is mapped. Default: all that are mapped.
    pub fn allowed_attributes<'n>(mut self, names: impl IntoIterator<Item = &'n str>) -> Self {
        self.allowed = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Sends nothing until an override switches it on; what the client sent is removed all the same.
    pub fn disabled(mut self) -> Self {
        self.enabled = false;
        self
    }

    /// Lets an override switch on what this preset switches off.
    pub fn local_may_enable(mut self) -> Self {
        self.may_enable = true;
        self
    }

    /// Lets an override sign no more, and replace the lists of attributes instead of adding to what is held back.
    pub fn local_may_weaken(mut self) -> Self {
        self.may_weaken = true;
        self
    }

    /// This preset with one upstream's differences, a JSON object as contextforge has it.
    ///
    /// Keys: `enabled`, `mode` (`headers`, `meta`, `both`), `headers_prefix`, `sign_claims`, `sensitive_attributes`,
    /// `allowed_attributes`. Absent and `null` both mean: as it is here. `sensitive_attributes` adds to what is held back,
    /// `allowed_attributes` takes away from what is allowed, unless [`local_may_weaken`](Self::local_may_weaken).
    ///
    /// An upstream whose override is refused must not be forwarded to: this preset is not meant for it.
    ///
    /// # Errors
    /// [`ConfigError::Override`] for anything but one object of known keys, each once, with values of their types;
    /// [`ConfigError::UnknownWord`] for a mode that does not exist; [`ConfigError::NotPermitted`] and, for a signature without a
    /// key, [`ConfigError::Unavailable`] name the key.
    pub fn with_override(&self, json: &str) -> Result<Self, ConfigError> {
        contextforge_override::apply(self, json)
    }

    /// Forwarding to `upstream` with the headers of this preset, or with none where they do not carry identity.
    pub fn options(&self, upstream: Upstream) -> ForwardOptions {
        let mode = if self.puts_headers() { Mode::Headers } else { Mode::Off };
        let mut options = ForwardOptions::new(upstream, mode).fields(Self::FIELDS);
        options.prefix.clone_from(&self.prefix);
        options.hidden = self.hidden.clone();
        options.spelling = Spelling::Raw;
        options.claims.clone_from(&self.key);
        options.allowed.clone_from(&self.allowed);
        options
    }

    pub(super) fn puts_headers(&self) -> bool {
        self.enabled && self.carriers != Carriers::Meta
    }

    pub(in crate::forward) fn puts_meta(&self) -> bool {
        self.enabled && self.carriers != Carriers::Headers
    }

    pub(in crate::forward) fn hidden(&self) -> &Sensitive {
        &self.hidden
    }

    pub(in crate::forward) fn allowed(&self) -> Option<&[Box<str>]> {
        self.allowed.as_deref()
    }
}
