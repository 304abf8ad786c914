//! What of a header section ends at this hop, and what else is removed in the same walk?
//!
//! 1. One walk over the names; a name's group says why it goes. Nothing is allocated until something goes.
//! 2. All `Connection` lines are one list (RFC 9110 §5.6.1, §7.6.1). What it nominates goes, except fields that are end to
//!    end by nature. Members that are no tokens are skipped; a malformed list is never a reason to refuse.
//! 3. `TE` becomes `trailers` or goes; `Trailer` loses the members that would be removed as fields.
//! 4. An upgrade goes on only to a protocol that is allowed, in exactly two fields.

use http::header::{CONNECTION, TE, TRAILER, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::error::ConfigError;
use super::names::Group;
use crate::metrics::Removed;

/// What was removed from one header section, and what the answer to it may do.
///
/// Counts are of names, not of lines.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Cleaned {
    identity: u32,
    credential: u32,
    proxy: u32,
    leg: u32,
    nominated: u32,
    upgrade: Option<usize>,
}

impl Cleaned {
    /// Names that only this process may emit.
    pub fn identity(&self) -> u32 {
        self.identity
    }

    /// The client's credentials.
    pub fn credential(&self) -> u32 {
        self.credential
    }

    /// Names that only a proxy in front of us may say.
    pub fn proxy(&self) -> u32 {
        self.proxy
    }

    /// Ids of our own hop.
    pub fn leg(&self) -> u32 {
        self.leg
    }

    /// Names of ours that `Connection` asked the next hop to remove; it is not told.
    pub fn nominated(&self) -> u32 {
        self.nominated
    }

    /// Whether an allowed upgrade goes on.
    pub fn upgrades(&self) -> bool {
        self.upgrade.is_some()
    }

    /// The counts, for the metrics.
    pub(crate) fn removed(&self) -> Removed {
        let Self { identity, credential, proxy, leg, nominated, upgrade: _ } = *self;
        Removed { identity, credential, proxy, leg, nominated }
    }

    fn count(&mut self, group: Group) {
        match group {
            Group::Identity => self.identity += 1,
            Group::Credential => self.credential += 1,
            Group::Proxy => self.proxy += 1,
            Group::Leg => self.leg += 1,
            Group::Connection | Group::Te | Group::Trailer | Group::Upgrade | Group::Hop => {}
        }
    }
}

/// The protocols that a connection may be switched to.
#[derive(Clone, Debug, Default)]
pub(super) struct Upgrades {
    allowed: Vec<HeaderValue>,
}

impl Upgrades {
    pub(super) fn allow(&mut self, protocol: &str) -> Result<(), ConfigError> {
        let fault = ConfigError::Value { setting: "allow_upgrade" };
        let (name, version) = protocol.split_once('/').unwrap_or((protocol, "1"));
        if !is_token(name.as_bytes()) || !is_token(version.as_bytes()) {
            return Err(fault);
        }
        self.allowed.push(HeaderValue::from_bytes(protocol.as_bytes()).map_err(|_shape| fault)?);
        Ok(())
    }

    /// What an answer may switch to: with a 101 the one protocol that was asked for, else nothing.
    pub(super) fn answered(&self, status: StatusCode, request: &Cleaned) -> Self {
        let asked = request.upgrade.filter(|_| status == StatusCode::SWITCHING_PROTOCOLS);
        Self {
            allowed: asked.and_then(|index| self.allowed.get(index)).cloned().into_iter().collect(),
        }
    }

    /// The one allowed protocol that the `Upgrade` lines ask for.
    fn asked(&self, headers: &HeaderMap) -> Option<usize> {
        let mut lines = headers.get_all(UPGRADE).iter();
        let (Some(line), None) = (lines.next(), lines.next()) else { return None };
        let line = trim(line.as_bytes());
        self.allowed.iter().position(|allowed| allowed.as_bytes().eq_ignore_ascii_case(line))
    }
}

/// Removes what `fate` gives a reason for and what this hop ends; puts back what may stay of it.
pub(super) fn clean(
    headers: &mut HeaderMap,
    upgrades: &Upgrades,
    fate: impl Fn(&[u8]) -> Option<Group>,
) -> Cleaned {
    let mut cleaned = Cleaned::default();
    let mut doomed = Doomed::default();
    let (mut connection, mut te, mut trailer, mut upgrade) = (false, false, false, false);
    for name in headers.keys() {
        let Some(group) = fate(name.as_str().as_bytes()) else { continue };
        cleaned.count(group);
        match group {
            Group::Connection => connection = true,
            Group::Te => te = true,
            Group::Trailer => trailer = true,
            Group::Upgrade => upgrade = true,
            Group::Identity | Group::Credential | Group::Proxy | Group::Leg | Group::Hop => {
                doomed.push(name.clone());
            }
        }
    }
    let asked = if upgrade && connection { upgrades.asked(headers) } else { None };
    doomed.remove_from(headers);
    let mut switches = false;
    if connection {
        let rest: Vec<_> = headers.get_all(CONNECTION).iter().skip(1).cloned().collect();
        let lines = headers.remove(CONNECTION).into_iter().chain(rest);
        for line in lines {
            for member in members(line.as_bytes()) {
                switches |= member.eq_ignore_ascii_case("upgrade");
                cleaned.nominated += u32::from(fate(member.as_bytes()) == Some(Group::Identity));
                if !END_TO_END.iter().any(|name| member.eq_ignore_ascii_case(name)) {
                    headers.remove(member);
                }
            }
        }
    }
    if te {
        keep_trailers(headers);
    }
    if trailer {
        keep_harmless(headers, |name| FRAMING.contains(&name) || fate(name.as_bytes()).is_some());
    }
    if upgrade {
        headers.remove(UPGRADE);
    }
    if let Some((index, protocol)) = asked
        .filter(|_| switches)
        .and_then(|index| upgrades.allowed.get(index).map(|protocol| (index, protocol.clone())))
    {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
        cleaned.upgrade = Some(index);
    }
    cleaned
}

/// Fields that no nomination removes: end to end by nature, or judged by a rule of their own.
const END_TO_END: [&str; 6] =
    ["host", "content-length", "content-type", "content-encoding", "te", "upgrade"];

/// Fields that frame or route a message and so cannot stand in its trailers (RFC 9110 §6.5.1).
const FRAMING: [&str; 2] = ["content-length", "host"];

/// Removes what `drops` names, and what would frame or route the message.
pub(super) fn clean_trailers(trailers: &mut HeaderMap, drops: impl Fn(&[u8]) -> bool) {
    let mut doomed = Doomed::default();
    for name in trailers.keys() {
        let frames = FRAMING.iter().any(|framing| name.as_str() == *framing);
        if frames || drops(name.as_str().as_bytes()) {
            doomed.push(name.clone());
        }
    }
    doomed.remove_from(trailers);
}

/// `TE` with a member `trailers` becomes exactly that; every other one goes.
fn keep_trailers(headers: &mut HeaderMap) {
    let coding = |member: &[u8]| -> bool {
        let name = member.split(|&byte| byte == b';').next().unwrap_or(member);
        trim(name).eq_ignore_ascii_case(b"trailers")
    };
    let lines = headers.get_all(TE);
    if lines.iter().any(|line| line.as_bytes().split(|&byte| byte == b',').any(coding)) {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    } else {
        headers.remove(TE);
    }
}

/// `Trailer` without the members that `drops` names, and without what is no field name.
fn keep_harmless(headers: &mut HeaderMap, drops: impl Fn(&str) -> bool) {
    let mut rest = Vec::new();
    for line in headers.get_all(TRAILER) {
        for member in members(line.as_bytes()) {
            let lower = member.to_ascii_lowercase();
            if !drops(&lower) {
                if !rest.is_empty() {
                    rest.extend_from_slice(b", ");
                }
                rest.extend_from_slice(member.as_bytes());
            }
        }
    }
    match HeaderValue::from_bytes(&rest) {
        Ok(value) if !rest.is_empty() => drop(headers.insert(TRAILER, value)),
        _ => drop(headers.remove(TRAILER)),
    }
}

/// The members of a list that are tokens.
fn members(line: &[u8]) -> impl Iterator<Item = &str> {
    line.split(|&byte| byte == b',')
        .map(trim)
        .filter(|member| is_token(member))
        .filter_map(|member| str::from_utf8(member).ok())
}

fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// RFC 9110 §5.6.2.
fn is_token(bytes: &[u8]) -> bool {
    let is_tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(is_tchar)
}

/// Names that are to go: the first few on the stack, since there are seldom more.
#[derive(Default)]
struct Doomed {
    first: [Option<HeaderName>; 6],
    used: usize,
    rest: Vec<HeaderName>,
}

impl Doomed {
    fn push(&mut self, name: HeaderName) {
        match self.first.get_mut(self.used) {
            Some(free) => *free = Some(name),
            None => self.rest.push(name),
        }
        self.used += 1;
    }

    fn remove_from(&self, headers: &mut HeaderMap) {
        for name in self.first.iter().take(self.used).flatten().chain(&self.rest) {
            headers.remove(name);
        }
    }
}
