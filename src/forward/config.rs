//! How is forwarding to one upstream set up, and what of that can be wrong?
//!
//! 1. Everything is checked in [`ForwardOptions::build`]; what was built cannot fail for its configuration.
//! 2. What is built has added every name that it can emit to the shared [`ForwardSet`]; a build that fails has added none.

use http::HeaderName;
use http::header::AUTHORIZATION;

#[cfg(feature = "signed")]
use super::assertion::{Assertions, OWN_CLAIMS};
use super::attribute::Sensitive;
use super::compat::{CODER_PREFIX, Coder, SIGNATURE_SUFFIX};
use super::encode::{Form, Padding, Spelling};
use super::error::ConfigError;
use super::fold::{Pattern, same};
use super::forwarding::{Action, Forwarding};
use super::hmac::HmacKey;
use super::identity::{FIELDS, Field, Fields};
use super::mint::Minting;
use super::mode::Mode;
use super::names::{DEFAULT_PREFIX, Group, emitted_name, prefix};
use super::overrides::Override;
use super::scope_map::ScopeMap;
use super::set::ForwardSet;
#[cfg(feature = "signed")]
use super::sign::Signing;
use super::target::{Carrier, Target};
use super::upstream::{STATIC, Upstream};
use super::write::{Mapped, Overflow, Writer};

/// Settings of forwarding to one upstream.
///
/// ```
/// use tower_bearer::forward::{Field, ForwardOptions, Mode, Upstream};
/// # fn main() -> Result<(), tower_bearer::forward::ConfigError> {
/// let upstream = Upstream::new("mcp-main", "https://mcp.example.com/mcp")?;
/// let forwarding = ForwardOptions::new(upstream, Mode::Headers).fields([Field::Type, Field::Email]).build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until they are built"]
pub struct ForwardOptions {
    pub(super) upstream: Upstream,
    pub(super) mode: Mode,
    pub(super) enabled: bool,
    pub(super) required: bool,
    pub(super) prefix: String,
    pub(super) fields: Fields,
    pub(super) hidden: Sensitive,
    pub(super) max_value: usize,
    pub(super) may_enable: bool,
    pub(super) may_weaken: bool,
    #[cfg(feature = "signed")]
    pub(super) signing: Option<Signing>,
    #[cfg(feature = "signed")]
    pub(super) assertions: Option<Assertions>,
    pub(super) mint: Option<Minting>,
    /// Where the credential goes; known once this was built.
    pub(super) carrier: Option<Carrier>,
    pub(super) with_headers: bool,
    /// Known once this was built.
    pub(super) scopes: ScopeMap,
    pub(super) spelling: Spelling,
    /// Signs as contextforge does.
    pub(super) claims: Option<HmacKey>,
    /// The only attributes that may be mapped, if not all may.
    pub(super) allowed: Option<Vec<Box<str>>>,
    pub(super) coder: Option<Coder>,
    target: Option<Target>,
    max_total: usize,
    overflow: Overflow,
    mapped: Vec<(Box<str>, String, Form)>,
    payload: Option<(String, Padding)>,
    mapped_scopes: Vec<(String, String)>,
    pub(super) resend: Option<usize>,
    set: Option<ForwardSet>,
}

impl ForwardOptions {
    /// Forwarding to `upstream` in `mode`, with the default of every other setting.
    pub fn new(upstream: Upstream, mode: Mode) -> Self {
        Self {
            upstream,
            mode,
            enabled: true,
            required: true,
            prefix: DEFAULT_PREFIX.to_owned(),
            fields: Fields::default(),
            hidden: Sensitive::default(),
            max_value: 4096,
            may_enable: false,
            may_weaken: false,
            #[cfg(feature = "signed")]
            signing: None,
            #[cfg(feature = "signed")]
            assertions: None,
            mint: None,
            carrier: None,
            with_headers: false,
            scopes: ScopeMap::default(),
            spelling: Spelling::AsTheyAre,
            claims: None,
            allowed: None,
            coder: None,
            target: None,
            max_total: 8192,
            overflow: Overflow::Refuse,
            mapped: Vec::new(),
            payload: None,
            mapped_scopes: Vec::new(),
            resend: None,
            set: None,
        }
    }

    /// Forwarding to `upstream` in mode [`SignedHeaders`](Mode::SignedHeaders), with the default of every other setting.
    ///
    /// The signature covers what is sent as it leaves: put the layer where method, path and query are final, best
    /// [in front of the client](crate::stack::IdentityForward::client_side), and inside of what retries.
    #[cfg(feature = "signed")]
    #[cfg_attr(docsrs, doc(cfg(feature = "signed")))]
    pub fn signed_headers(upstream: Upstream, signing: Signing) -> Self {
        Self { signing: Some(signing), ..Self::new(upstream, Mode::SignedHeaders) }
    }

    /// Forwarding to `upstream` in mode [`Assertion`](Mode::Assertion), with the default of every other setting.
    ///
    /// The assertion is for the upstream's [audience](Upstream::audience) and goes into `<prefix>-Assertion`. It holds the
    /// fields that are sent and, under `attributes`, the mapped attributes; no other header is sent. What sees it can use
    /// it for as long as it lives, once at each receiver that remembers.
    #[cfg(feature = "signed")]
    #[cfg_attr(docsrs, doc(cfg(feature = "signed")))]
    pub fn assertion(upstream: Upstream, assertions: Assertions) -> Self {
        Self { assertions: Some(assertions), ..Self::new(upstream, Mode::Assertion) }
    }

    /// Sends the credential of a mode that has one in another header than the mode's own.
    ///
    /// A static header of this name yields to it.
    pub fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    /// Sends identity headers beside the credential. They prove nothing; only what is in the credential does.
    pub fn with_headers(mut self) -> Self {
        self.with_headers = true;
        self
    }

    /// Takes this set of managed names instead of the process's, with its rules of what is removed.
    pub fn set(mut self, set: &ForwardSet) -> Self {
        self.set = Some(set.clone());
        self
    }

    /// Sets the prefix of identity headers. Default `X-Forwarded-User`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sends these fields instead of the default ones; the id is always sent.
    ///
    /// Default: type, issuer, workspace, role, app, as far as they are known. Nothing personal.
    pub fn fields(mut self, fields: impl IntoIterator<Item = Field>) -> Self {
        self.fields = Fields::new(fields);
        self
    }

    /// Lets anonymous requests through without identity. Default: they are refused.
    pub fn optional(mut self) -> Self {
        self.required = false;
        self
    }

    /// Sends nothing until an override switches it on; what the client sent is removed all the same.
    pub fn disabled(mut self) -> Self {
        self.enabled = false;
        self
    }

    /// Percent-encodes identifiers, for ids outside ASCII. Default: they are sent as they are, or refused.
    ///
    /// Does nothing for the preset [`contextforge`](super::compat::contextforge), whose receivers do not decode.
    pub fn percent_encode_ids(mut self) -> Self {
        if self.spelling != Spelling::Raw {
            self.spelling = Spelling::Percent;
        }
        self
    }

    /// Sends an attribute of the caller in a header of its own, by its type.
    pub fn map_attribute(mut self, attribute: &str, header: impl Into<String>) -> Self {
        self.mapped.push((attribute.into(), header.into(), Form::ByType));
        self
    }

    /// Sends an attribute of the caller in a header of its own, as JSON in base64url.
    pub fn map_attribute_as_json(mut self, attribute: &str, header: impl Into<String>) -> Self {
        self.mapped.push((attribute.into(), header.into(), Form::Json));
        self
    }

    /// Holds back these attributes at every depth, instead of `password`, `password_hash`, `internal_id` and `ssn`.
    pub fn sensitive<'n>(mut self, attributes: impl IntoIterator<Item = &'n str>) -> Self {
        self.hidden = Sensitive::new(attributes);
        self
    }

    /// Sends all fields once more in one header, as unsigned JSON in base64url.
    pub fn payload_header(mut self, name: impl Into<String>, padding: Padding) -> Self {
        self.payload = Some((name.into(), padding));
        self
    }

    /// Tells a client that lacks the upstream's scope `theirs` to ask us for `ours`.
    ///
    /// For a 403 whose `Bearer` challenge says `insufficient_scope` (RFC 6750 §3.1): status and body stay, and the challenge
    /// becomes ours, naming the mapped ones of its scopes. A challenge that names none of them goes, as all do without a map.
    /// On the client side the upstream's own is relayed.
    pub fn map_scope(mut self, theirs: impl Into<String>, ours: impl Into<String>) -> Self {
        self.mapped_scopes.push((theirs.into(), ours.into()));
        self
    }

    /// Sends a request once more if the upstream answers 401 to a credential that had been kept: with one that was minted anew
    /// for the same caller, and nothing else changed. Default: never.
    ///
    /// Only if its body has a known length of at most `max_body` bytes, 0 to 16 MiB: it is read before it is sent, held, and
    /// its trailers are dropped. Only in modes that mint. If nothing can be minted, that refusal is the answer.
    pub fn resend_once(mut self, max_body: usize) -> Self {
        self.resend = Some(max_body);
        self
    }

    /// What happens over a cap. Default [`Overflow::Refuse`].
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Longest encoded value, 1 to 65,536 bytes. Default 4,096.
    pub fn max_value_bytes(mut self, bytes: usize) -> Self {
        self.max_value = bytes;
        self
    }

    /// Largest sum of all identity headers, each counted as name, value and 4; 1 to 65,536 bytes. Default 8,192.
    pub fn max_total_bytes(mut self, bytes: usize) -> Self {
        self.max_total = bytes;
        self
    }

    /// Lets an override switch on what these options switch off.
    pub fn local_may_enable(mut self) -> Self {
        self.may_enable = true;
        self
    }

    /// Lets an override require less, send more fields and take larger caps than these options do.
    pub fn local_may_weaken(mut self) -> Self {
        self.may_weaken = true;
        self
    }

    /// These options with one upstream's differences.
    ///
    /// # Errors
    /// [`ConfigError::NotPermitted`], [`ConfigError::Unavailable`], [`ConfigError::OutOfRange`] name the key.
    pub fn with_override(&self, differences: &Override) -> Result<Self, ConfigError> {
        differences.apply(self)
    }

    /// Checks everything, and adds the names to the set.
    ///
    /// # Errors
    /// [`ConfigError::PrefixShape`] and [`ConfigError::PrefixReserved`] for the prefix; [`ConfigError::NameShape`],
    /// [`ConfigError::NameReserved`], [`ConfigError::NameTaken`] for mapped and payload headers;
    /// [`ConfigError::NameManaged`] and [`ConfigError::NameTaken`] for static headers; [`ConfigError::OutOfRange`] for caps.
    /// In mode `signed_headers` also `ConfigError::NoKeys`, and `OutOfRange` for the lifetime; in
    /// mode `assertion` also `NoKeys`, `NameReserved` for an attribute that is mapped to the name of a claim about the
    /// assertion, and for the target what is said of mapped headers.
    /// In a mode that mints, [`ConfigError::NoSource`] without its source, [`ConfigError::NoAudience`] for one that was told no
    /// audience, and what is said of the target. [`ConfigError::Value`] for what is no scope, [`ConfigError::NameTaken`] for a
    /// scope that is mapped twice.
    pub fn build(mut self) -> Result<Forwarding, ConfigError> {
        let caps = 1..=65_536;
        for (setting, bytes) in
            [("max_value_bytes", self.max_value), ("max_total_bytes", self.max_total)]
        {
            if !caps.contains(&bytes) {
                return Err(ConfigError::OutOfRange { setting });
            }
        }
        #[cfg(feature = "signed")]
        if self.mode == Mode::SignedHeaders {
            self.signing.as_ref().ok_or(ConfigError::NoKeys)?.check()?;
        }
        #[cfg(feature = "signed")]
        if self.mode == Mode::Assertion {
            self.check_assertion()?;
        }
        if self.mode.mints() {
            self.check_mint()?;
        }
        if self.resend.is_some_and(|bytes| bytes > LARGEST_HELD) {
            return Err(ConfigError::OutOfRange { setting: "resend_once" });
        }
        let pairs = self.mapped_scopes.iter();
        self.scopes = ScopeMap::new(pairs.map(|(theirs, ours)| (&**theirs, &**ours)))?;
        let mut families = vec![prefix(&self.prefix)?];
        families.extend(self.coder.is_some().then(|| Pattern::family(CODER_PREFIX)));
        let set = self.set.clone().unwrap_or_else(ForwardSet::process);
        let field_name =
            |suffix: &str| emitted_name("prefix", &format!("{}-{suffix}", self.prefix));
        let mut names = Vec::with_capacity(FIELDS.len());
        for (_, _, suffix, _) in FIELDS {
            names.push(field_name(suffix)?);
        }
        let names = <[HeaderName; FIELDS.len()]>::try_from(names)
            .map_err(|_count| ConfigError::PrefixShape)?;
        let overflow_name = field_name("overflow")?;
        let claims = match &self.claims {
            Some(key) => Some((field_name(SIGNATURE_SUFFIX)?, key.clone())),
            None => None,
        };
        let mut own = Vec::new();
        let mut mapped = Vec::new();
        for (source, header, form) in &self.mapped {
            let name = self.own_name("map_attribute", header, &set, &mut own)?;
            if self.allowed.as_ref().is_none_or(|allowed| allowed.contains(source)) {
                mapped.push(Mapped { source: source.clone(), name, form: *form });
            }
        }
        let payload = match &self.payload {
            Some((header, padding)) => {
                Some((self.own_name("payload_header", header, &set, &mut own)?, *padding))
            }
            None => None,
        };
        if self.mode.has_credential() {
            self.carrier = Some(self.carrier(&set, &mut own)?);
        }
        self.check_statics(&set, &families, &own)?;

        self.upstream.begin_generation();
        families.into_iter().for_each(|family| set.add_prefix(family));
        set.add_names(own.iter().map(HeaderName::as_str));
        let statics = self.upstream.statics();
        let set = set.with_static_names(statics.iter().map(|(name, _)| name.as_str()));
        let writer = Writer {
            fields: self.fields,
            names,
            overflow_name,
            mapped,
            payload,
            spelling: self.spelling,
            claims,
            hidden: self.hidden.clone(),
            max_value: self.max_value,
            max_total: self.max_total,
            overflow: self.overflow,
        };
        let action = if self.is_on() { Action::Send(Box::new(writer)) } else { Action::Strip };
        Ok(Forwarding::new(self, set, action))
    }

    pub(super) fn is_on(&self) -> bool {
        self.enabled && self.mode != Mode::Off
    }

    /// A header of its own that can be emitted beside those under the prefix.
    fn own_name(
        &self,
        setting: &'static str,
        header: &str,
        set: &ForwardSet,
        own: &mut Vec<HeaderName>,
    ) -> Result<HeaderName, ConfigError> {
        let name = emitted_name(setting, header)?;
        let bytes = name.as_str().as_bytes();
        let taken = |other: &str| same(other.as_bytes(), bytes);
        let suffixes = FIELDS.iter().map(|(_, _, suffix, _)| *suffix).chain(OTHER_SUFFIXES);
        let under_prefix =
            suffixes.map(|suffix| format!("{}-{suffix}", self.prefix)).any(|name| taken(&name));
        let of_coder = self.coder.is_some() && Pattern::family(CODER_PREFIX).covers(bytes);
        if under_prefix
            || of_coder
            || own.iter().any(|name| taken(name.as_str()))
            || set.keeps(name.as_str())
        {
            return Err(ConfigError::NameTaken { setting });
        }
        own.push(name.clone());
        Ok(name)
    }

    /// Keys, and no attribute in the place of a claim about the assertion.
    #[cfg(feature = "signed")]
    fn check_assertion(&self) -> Result<(), ConfigError> {
        self.assertions.as_ref().ok_or(ConfigError::NoKeys)?;
        let claims = self.mapped.iter().filter_map(|(_, header, _)| {
            OWN_CLAIMS.into_iter().find(|claim| same(claim.as_bytes(), header.as_bytes()))
        });
        let setting = "map_attribute";
        claims
            .map(|reserved| Err(ConfigError::NameReserved { setting, reserved }))
            .next()
            .unwrap_or(Ok(()))
    }

    /// The header of the credential, a name of its own unless it is `Authorization`.
    fn carrier(&self, set: &ForwardSet, own: &mut Vec<HeaderName>) -> Result<Carrier, ConfigError> {
        const SETTING: &str = "target";
        let own_header = format!("{}-assertion", self.prefix);
        let given = match &self.target {
            None if !self.mode.mints() => &own_header,
            None | Some(Target::Authorization) => AUTHORIZATION.as_str(),
            Some(Target::Header(header)) => header,
        };
        let name = emitted_name(SETTING, given)?;
        if own_header.eq_ignore_ascii_case(given) {
            return Ok(Carrier::new(name)); // removed with all else under the prefix
        }
        if name != AUTHORIZATION {
            return Ok(Carrier::new(self.own_name(SETTING, given, set, own)?));
        }
        if set.keeps(given) || own.contains(&name) {
            return Err(ConfigError::NameTaken { setting: SETTING });
        }
        Ok(Carrier::new(name))
    }

    fn is_target(&self, name: &HeaderName) -> bool {
        self.carrier.as_ref().is_some_and(|carrier| carrier.name() == name)
    }

    fn check_statics(
        &self,
        set: &ForwardSet,
        families: &[Pattern],
        own: &[HeaderName],
    ) -> Result<(), ConfigError> {
        for (name, _) in self.upstream.statics() {
            let name = name.as_str();
            let managed = matches!(set.fate(name), Some(Group::Identity | Group::Leg));
            if managed || families.iter().any(|family| family.covers(name.as_bytes())) {
                return Err(ConfigError::NameManaged { setting: STATIC });
            }
            let taken = |other: &HeaderName| {
                let yields = self.is_target(other) && other == name; // in its own spelling it yields to the credential
                same(other.as_str().as_bytes(), name.as_bytes()) && !yields
            };
            if own.iter().any(taken) || set.keeps(name) {
                return Err(ConfigError::NameTaken { setting: STATIC });
            }
        }
        Ok(())
    }
}

/// Most bytes of a body that are held.
const LARGEST_HELD: usize = 16 << 20;

/// What else is written under a prefix, now or in a signed mode.
const OTHER_SUFFIXES: [&str; 3] = ["overflow", "assertion", SIGNATURE_SUFFIX];
