//! Which names can this process emit, and which fields may a client's request keep?
//!
//! 1. One value lists every name that can leave this process as identity, credential or signature. What it lists is
//!    what is removed from requests, trailers and answers: there is no second list.
//! 2. Names are shared by all clones, added at run time and never taken away. Reading them takes no lock: a set that grows
//!    hangs the grown table behind the old one, and readers walk to the last.
//! 3. What weakens or widens the removal (`trust_proxy_headers`, `dangerously_keep`, `also_strip`) belongs to one value
//!    and its later clones, not to the process.

use http::{HeaderMap, HeaderName, StatusCode};
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};

use super::error::ConfigError;
use super::fold::{Pattern, Table, same};
use super::hop::{self, Cleaned, Upgrades};
use super::names::{BUILT_IN, DEFAULT_PREFIX, Group, field_name};

/// The names that only this process may emit, and what else of a client's request stays here.
///
/// Removed from requests: fields that end at this hop (RFC 9110 §7.6.1), identity under every prefix and name in the set,
/// the client's credentials (`Authorization`, `Cookie`, …), ids of our own hop (`Mcp-Session-Id`), and what only a proxy in
/// front of us may say (`Forwarded`, `X-Forwarded-*`, …). Names are compared with `_` and every other byte that is no letter
/// or digit read as `-`.
///
/// A clone shares the names and costs two reference counts. Reading takes no lock; it walks one step for each time that the
/// set grew since this value was cloned.
///
/// ```
/// # use tower_bearer::forward::{ConfigError, ForwardSet};
/// # fn main() -> Result<(), ConfigError> {
/// let set = ForwardSet::process().also_strip(["x-debug-*"])?.allow_upgrade(["websocket"])?;
/// let mut headers = http::HeaderMap::new();
/// headers.insert("x_forwarded_user_id", http::HeaderValue::from_static("admin"));
/// set.clean_request(&mut headers);
/// assert!(headers.is_empty());
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct ForwardSet {
    names: Arc<Node>,
    rules: Arc<Rules>,
}

/// Whose trailers they are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a message is a request or its answer")]
pub enum TrailersOf {
    /// A client's request.
    Request,
    /// The upstream's answer.
    Answer,
}

impl ForwardSet {
    /// The set of this process: every upstream that is not given another one adds its names here.
    pub fn process() -> Self {
        static PROCESS: LazyLock<Mutex<ForwardSet>> =
            LazyLock::new(|| Mutex::new(ForwardSet::separate()));
        let mut shared = PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
        *shared = shared.clone(); // a clone stands at the newest table, so older ones can go
        shared.clone()
    }

    /// A set that shares its names with its own clones only, for a process that holds several gateways, or for a test.
    pub fn separate() -> Self {
        let mut table = Table::new();
        for &(text, group) in BUILT_IN {
            table.insert(Pattern::new(text), group);
        }
        table.insert(Pattern::family(DEFAULT_PREFIX), Group::Identity);
        let names = Node { table, grown: OnceLock::new() };
        Self { names: Arc::new(names), rules: Arc::new(Rules::default()) }
    }

    /// Lets through what only a proxy may say, because a proxy in front overwrites all of it.
    ///
    /// `Forwarded`, `X-Forwarded-*`, `X-Original-*`, `X-Rewrite-Url`, `X-Real-Ip` and method overrides then reach the
    /// upstream. Names that carry identity go all the same, and nothing in this crate decides by any of them.
    pub fn trust_proxy_headers(self) -> Self {
        self.with_rules(|rules| rules.proxy = Proxy::Trusted)
    }

    /// Lets named client credentials through to the upstream, e.g. `cookie`.
    ///
    /// # Errors
    /// [`ConfigError::NotKeepable`] for a field that is not removed as a credential, for `Proxy-Authorization`, and for a name
    /// that this process emits; [`ConfigError::NameTaken`] for a name that `also_strip` removes.
    pub fn dangerously_keep<'n>(
        self,
        names: impl IntoIterator<Item = &'n str>,
    ) -> Result<Self, ConfigError> {
        const SETTING: &str = "dangerously_keep";
        let mut kept = Vec::new();
        for name in names {
            let name = field_name(SETTING, name)?;
            let bytes = name.as_str().as_bytes();
            if bytes.ends_with(b"*") {
                return Err(ConfigError::NotKeepable); // looks like a family, would keep one odd name
            }
            match self.rules.extra.find(bytes).or_else(|| self.table().find(bytes)) {
                Some(Group::Credential) if !self.rules.strips(bytes) => kept.push(bytes.into()),
                Some(Group::Credential) => return Err(ConfigError::NameTaken { setting: SETTING }),
                _ => return Err(ConfigError::NotKeepable), // another group, or none
            }
        }
        Ok(self.with_rules(|rules| rules.kept.extend(kept)))
    }

    /// Removes more fields from requests: names, or families written `x-debug-*`.
    ///
    /// # Errors
    /// [`ConfigError::NameShape`] for what is no field name; [`ConfigError::NameTaken`] for a name that is kept.
    pub fn also_strip<'n>(
        self,
        names: impl IntoIterator<Item = &'n str>,
    ) -> Result<Self, ConfigError> {
        const SETTING: &str = "also_strip";
        let mut more = Vec::new();
        for name in names {
            field_name(SETTING, name.strip_suffix('*').unwrap_or(name))?;
            let pattern = Pattern::new(name);
            if self.rules.kept.iter().any(|kept| pattern.covers(kept)) {
                return Err(ConfigError::NameTaken { setting: SETTING });
            }
            more.push(pattern);
        }
        Ok(self.with_rules(|rules| rules.strip(more)))
    }

    /// Treats one more field as the client's credential: the header that [the stack](crate) reads tokens from.
    ///
    /// # Errors
    /// [`ConfigError::NameShape`] for what is no field name.
    pub fn credential_header(self, name: &str) -> Result<Self, ConfigError> {
        Ok(self.with_credential(&field_name("credential_header", name)?))
    }

    /// Lets a client switch to these protocols, e.g. `websocket` (RFC 9110 §7.8); nothing else is ever upgraded.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for what is no protocol name.
    pub fn allow_upgrade<'n>(
        self,
        protocols: impl IntoIterator<Item = &'n str>,
    ) -> Result<Self, ConfigError> {
        let mut upgrades = self.rules.upgrades.clone();
        for protocol in protocols {
            upgrades.allow(protocol)?;
        }
        Ok(self.with_rules(|rules| rules.upgrades = upgrades))
    }

    /// Removes from a request's header section all that must not go on. No allocation when there is nothing to remove.
    ///
    /// Malformed fields are never a reason to refuse: what cannot be read is removed.
    pub fn clean_request(&self, headers: &mut HeaderMap) -> Cleaned {
        let table = self.table();
        hop::clean(headers, &self.rules.upgrades, |name| self.rules.fate(table, name))
    }

    /// Removes from an upstream's answer what ends at this hop and what looks like our identity.
    ///
    /// `request` is what [`clean_request`](Self::clean_request) said of the request that this answers: a 101 to an upgrade
    /// that was allowed keeps its two fields.
    pub fn clean_response(
        &self,
        status: StatusCode,
        headers: &mut HeaderMap,
        request: &Cleaned,
    ) -> Cleaned {
        let table = self.table();
        let upgrades = self.rules.upgrades.answered(status, request);
        hop::clean(headers, &upgrades, |name| Rules::answer_fate(table, name))
    }

    /// Removes from a message's trailers what is removed from its head, and what frames or routes a message (RFC 9110 §6.5.1).
    pub fn clean_trailers(&self, trailers: &mut HeaderMap, from: TrailersOf) {
        let table = self.table();
        hop::clean_trailers(trailers, |name| match from {
            TrailersOf::Request => self.rules.fate(table, name).is_some(),
            // a credential is nothing for a trailer, whoever sends it
            TrailersOf::Answer => table.find(name).is_some_and(|group| group != Group::Proxy),
        });
    }

    /// Adds a prefix that is emitted under, for every clone and for good.
    pub(super) fn add_prefix(&self, prefix: Pattern) {
        self.grow(vec![prefix]);
    }

    /// Adds names that are emitted, for every clone and for good.
    pub(super) fn add_names<'n>(&self, names: impl IntoIterator<Item = &'n str>) {
        self.grow(names.into_iter().map(Pattern::exact).collect());
    }

    /// This set, removing these names as well: its upstream's static headers, in any spelling.
    pub(super) fn with_static_names<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Self {
        let more = names.into_iter().map(Pattern::exact).collect();
        self.clone().with_rules(|rules| rules.strip(more))
    }

    /// This set, with one more field that holds the client's credential.
    pub(super) fn with_credential(self, name: &HeaderName) -> Self {
        let pattern = Pattern::exact(name.as_str());
        self.with_rules(|rules| rules.extra.insert(pattern, Group::Credential))
    }

    /// Why a request's field of this name is removed, if it is.
    pub(super) fn fate(&self, name: &str) -> Option<Group> {
        self.rules.fate(self.table(), name.as_bytes())
    }

    /// Does `dangerously_keep` name this field?
    pub(super) fn keeps(&self, name: &str) -> bool {
        self.rules.keeps(name.as_bytes())
    }

    fn grow(&self, mut patterns: Vec<Pattern>) {
        let mut newest = &self.names;
        loop {
            newest = Node::newest(newest);
            patterns.retain(|pattern| !newest.table.holds(pattern, Group::Identity));
            if patterns.is_empty() {
                return;
            }
            let mut table = newest.table.clone();
            for pattern in &patterns {
                table.insert(pattern.clone(), Group::Identity);
            }
            if newest.grown.set(Arc::new(Node { table, grown: OnceLock::new() })).is_ok() {
                return; // else somebody else was faster: build upon theirs
            }
        }
    }

    fn table(&self) -> &Table<Group> {
        &Node::newest(&self.names).table
    }

    fn with_rules(mut self, change: impl FnOnce(&mut Rules)) -> Self {
        change(Arc::make_mut(&mut self.rules));
        self
    }
}

/// Stands at the newest table, so that the older ones can be freed with the last value that knew them.
impl Clone for ForwardSet {
    fn clone(&self) -> Self {
        Self { names: Arc::clone(Node::newest(&self.names)), rules: Arc::clone(&self.rules) }
    }
}

impl fmt::Debug for ForwardSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForwardSet").field("proxy", &self.rules.proxy).finish_non_exhaustive()
    }
}

/// One state of the names, whole, and the next one if they grew since.
struct Node {
    table: Table<Group>,
    grown: OnceLock<Arc<Self>>,
}

impl Node {
    fn newest(mut node: &Arc<Self>) -> &Arc<Self> {
        while let Some(grown) = node.grown.get() {
            node = grown;
        }
        node
    }
}

#[derive(Clone, Debug)]
struct Rules {
    proxy: Proxy,
    kept: Vec<Box<[u8]>>,
    stripped: Vec<Pattern>,
    extra: Table<Group>,
    upgrades: Upgrades,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Proxy {
    Trusted,
    Untrusted,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            proxy: Proxy::Untrusted,
            kept: Vec::new(),
            stripped: Vec::new(),
            extra: Table::new(),
            upgrades: Upgrades::default(),
        }
    }
}

impl Rules {
    fn strip(&mut self, more: Vec<Pattern>) {
        for pattern in more {
            self.extra.insert(pattern.clone(), Group::Credential);
            self.stripped.push(pattern);
        }
    }

    /// Why a request's field is removed, if it is.
    #[inline]
    fn fate(&self, table: &Table<Group>, name: &[u8]) -> Option<Group> {
        self.unless_let_through(table.find(name), name)
            .or_else(|| self.unless_let_through(self.extra.find(name), name))
    }

    /// Why an answer's field is removed, if it is.
    fn answer_fate(table: &Table<Group>, name: &[u8]) -> Option<Group> {
        table.find(name).filter(|group| !matches!(group, Group::Credential | Group::Proxy))
    }

    #[inline]
    fn unless_let_through(&self, group: Option<Group>, name: &[u8]) -> Option<Group> {
        group.filter(|group| match group {
            Group::Proxy => self.proxy == Proxy::Untrusted,
            Group::Credential => !self.keeps(name),
            Group::Identity | Group::Leg | Group::Hop => true,
            Group::Connection | Group::Te | Group::Trailer | Group::Upgrade => true,
        })
    }

    fn keeps(&self, name: &[u8]) -> bool {
        self.kept.iter().any(|kept| same(kept, name))
    }

    fn strips(&self, name: &[u8]) -> bool {
        self.stripped.iter().any(|pattern| pattern.covers(name))
    }
}
