//! Whom is identity forwarded to?
//!
//! 1. A name for metrics and events, a URL, an audience, and headers that every request to it carries.
//! 2. `https`, or `http` to this machine; `http` to another one only by a constructor that says so.
//! 3. Origins are scheme, host and port (RFC 6454 §4); a URL with user information equals none.

use http::{HeaderName, HeaderValue, Uri};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::{ConfigError, UrlFault};
use super::fold::same;
use super::names::emitted_name;

/// A service behind this one that is told who is calling.
///
/// `Debug` prints names, never the value of a static header.
#[derive(Clone)]
#[must_use]
pub struct Upstream {
    name: Box<str>,
    uri: Uri,
    origin: Origin,
    audience: Box<str>,
    statics: Vec<(HeaderName, HeaderValue)>,
    generation: u64,
}

impl Upstream {
    /// An upstream reached by `https`, or by `http` on this machine.
    ///
    /// `name` is the only label of this upstream in metrics and events. The audience is the URL with scheme and host in
    /// lower case and without default port, query, or a path that is only `/`.
    ///
    /// # Errors
    /// [`ConfigError::UpstreamName`] unless `name` is 1 to 64 of `a` to `z`, `0` to `9` and `-`; [`ConfigError::Url`] for
    /// another scheme, `http` to another machine, user information, a fragment, or a link-local, unspecified or metadata host.
    pub fn new(name: &str, url: &str) -> Result<Self, ConfigError> {
        Self::checked(name, url, Wire::Private)
    }

    /// As [`new`](Self::new), but `http` to another machine is allowed: whoever sits between reads and writes identity.
    ///
    /// # Errors
    /// As [`new`](Self::new), but for [`UrlFault::Plaintext`].
    pub fn dangerously_plaintext(name: &str, url: &str) -> Result<Self, ConfigError> {
        Self::checked(name, url, Wire::Plain)
    }

    /// Sets the audience that issuers and receivers know this upstream by, instead of its URL.
    ///
    /// # Errors
    /// [`ConfigError::Value`] unless it is 1 to 2,048 bytes 0x21 to 0x7E.
    pub fn with_audience(mut self, audience: &str) -> Result<Self, ConfigError> {
        if !(1..=2048).contains(&audience.len())
            || !audience.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(ConfigError::Value { setting: "audience" });
        }
        self.audience = audience.into();
        Ok(self)
    }

    /// Adds a header that every forwarded request carries in place of the client's; identity never yields to it.
    ///
    /// The value is treated as a secret. Whether the name falls under identity is checked when forwarding is built.
    ///
    /// # Errors
    /// [`ConfigError::NameShape`], [`ConfigError::NameReserved`] for the name; [`ConfigError::NameTaken`] for a name given
    /// before, in any spelling; [`ConfigError::Value`] for a value that is not visible ASCII.
    pub fn with_static_header(
        mut self,
        name: &str,
        mut value: HeaderValue,
    ) -> Result<Self, ConfigError> {
        let name = emitted_name(STATIC, name)?;
        let folded = |known: &HeaderName| same(known.as_str().as_bytes(), name.as_str().as_bytes());
        if self.statics.iter().any(|(known, _)| folded(known)) {
            return Err(ConfigError::NameTaken { setting: STATIC });
        }
        if value.to_str().is_err() {
            return Err(ConfigError::Value { setting: STATIC });
        }
        value.set_sensitive(true);
        self.statics.push((name, value));
        Ok(self)
    }

    /// The label of this upstream.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The URL as given.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The audience, one string.
    #[must_use]
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// Is `uri` absolute, and are its scheme, host and port this upstream's?
    #[must_use]
    pub fn same_origin(&self, uri: &Uri) -> bool {
        Origin::parts(uri).is_ok_and(|(scheme, host, port)| {
            let own = &self.origin;
            scheme == own.scheme && host.eq_ignore_ascii_case(&own.host) && port == own.port
        })
    }

    /// The authority as it is signed: in lower case, without default port.
    #[cfg(feature = "signed")]
    pub(super) fn authority(&self) -> String {
        self.origin.authority()
    }

    /// Tells this configuration from every earlier one of this process: what was minted for those serves it no more.
    pub(super) fn begin_generation(&mut self) {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        self.generation = NEXT.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn statics(&self) -> &[(HeaderName, HeaderValue)] {
        &self.statics
    }

    fn checked(name: &str, url: &str, wire: Wire) -> Result<Self, ConfigError> {
        if !is_upstream_name(name) {
            return Err(ConfigError::UpstreamName);
        }
        let (uri, origin) = parse(url, wire).map_err(|fault| ConfigError::Url { fault })?;
        let path = Some(uri.path()).filter(|&path| path != "/").unwrap_or_default();
        let audience = format!("{origin}{path}").into();
        Ok(Self { name: name.into(), uri, origin, audience, statics: Vec::new(), generation: 0 })
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let statics: Vec<_> = self.statics.iter().map(|(name, _)| name).collect();
        f.debug_struct("Upstream")
            .field("name", &self.name)
            .field("audience", &self.audience)
            .field("statics", &statics)
            .finish_non_exhaustive()
    }
}

pub(super) const STATIC: &str = "static header";

#[derive(Clone, Copy, Eq, PartialEq)]
enum Wire {
    Private,
    Plain,
}

/// 1 to 64 of `a` to `z`, `0` to `9` and `-`.
pub(super) fn is_upstream_name(name: &str) -> bool {
    let is_label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(is_label)
}

fn parse(url: &str, wire: Wire) -> Result<(Uri, Origin), UrlFault> {
    if url.contains('#') {
        return Err(UrlFault::Fragment); // `Uri` would drop it in silence
    }
    let uri: Uri = url.parse().map_err(|_shape| UrlFault::Malformed)?;
    let (scheme, host, port) = Origin::parts(&uri)?;
    let origin = Origin { scheme, host: host.to_ascii_lowercase().into(), port };
    let address = Host::of(&origin.host)?;
    if origin.scheme == Scheme::Http && wire == Wire::Private && address != Host::Loopback {
        return Err(UrlFault::Plaintext);
    }
    Ok((uri, origin))
}

/// The URL of whom we ask for credentials: as that of an upstream, without a query.
#[cfg(feature = "issuer-http")]
pub(crate) fn issuer_url(url: &str) -> Result<Uri, ConfigError> {
    let refused = |fault| ConfigError::IssuerUrl { fault };
    let (uri, _) = parse(url, Wire::Private).map_err(refused)?;
    if uri.query().is_some() { Err(refused(UrlFault::Query)) } else { Ok(uri) }
}

/// Scheme, host in lower case, and port, said or not.
#[derive(Clone, Debug)]
struct Origin {
    scheme: Scheme,
    host: Box<str>,
    port: u16,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn name_and_port(self) -> (&'static str, u16) {
        match self {
            Self::Http => ("http", 80),
            Self::Https => ("https", 443),
        }
    }
}

impl Origin {
    fn parts(uri: &Uri) -> Result<(Scheme, &str, u16), UrlFault> {
        let authority = uri.authority().ok_or(UrlFault::Malformed)?;
        let scheme = match uri.scheme_str() {
            Some(word) if word.eq_ignore_ascii_case("https") => Scheme::Https,
            Some(word) if word.eq_ignore_ascii_case("http") => Scheme::Http,
            Some(_) => return Err(UrlFault::Scheme),
            None => return Err(UrlFault::Malformed),
        };
        if authority.as_str().contains('@') {
            return Err(UrlFault::UserInfo);
        }
        let host = authority.host();
        let port = match authority.as_str().strip_prefix(host).ok_or(UrlFault::Malformed)? {
            "" | ":" => scheme.name_and_port().1,
            // `Authority::port` would read a port out of range as none
            rest => rest
                .strip_prefix(':')
                .and_then(|port| port.parse().ok())
                .ok_or(UrlFault::Malformed)?,
        };
        Ok((scheme, host, port))
    }
}

/// The host and port that a receiver is reached by.
#[cfg(feature = "signed")]
#[derive(Clone, Debug)]
pub(crate) struct Authority {
    origin: Origin,
    signed: Box<str>,
}

#[cfg(feature = "signed")]
impl Authority {
    /// By the URL that clients use, of which path and query say nothing.
    pub(crate) fn of_url(url: &str) -> Result<Self, ConfigError> {
        let (_, origin) = parse(url, Wire::Plain).map_err(|fault| ConfigError::Url { fault })?;
        let signed = origin.authority().into();
        Ok(Self { origin, signed })
    }

    /// As it is signed: in lower case, without default port.
    pub(crate) fn as_str(&self) -> &str {
        &self.signed
    }

    /// Does a request name this one, as `host` or `host:port`?
    pub(crate) fn is_named_by(&self, given: &http::uri::Authority) -> bool {
        let host = given.host();
        let port = match given.as_str().strip_prefix(host) {
            Some("") => Some(self.origin.scheme.name_and_port().1),
            Some(rest) => rest.strip_prefix(':').and_then(|port| port.parse().ok()),
            None => None, // user information
        };
        port == Some(self.origin.port) && host.eq_ignore_ascii_case(&self.origin.host)
    }
}

impl Origin {
    #[cfg(feature = "signed")]
    fn authority(&self) -> String {
        let (_, default) = self.scheme.name_and_port();
        if self.port == default {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, default) = self.scheme.name_and_port();
        write!(f, "{scheme}://{}", self.host)?;
        if self.port == default { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Host {
    Loopback,
    Elsewhere,
}

impl Host {
    fn of(host: &str) -> Result<Self, UrlFault> {
        if let Some(inside) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let address: Ipv6Addr = inside.parse().map_err(|_shape| UrlFault::Malformed)?;
            return Self::of_address(address.to_canonical());
        }
        if let Ok(address) = host.parse::<Ipv4Addr>() {
            return Self::of_address(IpAddr::V4(address));
        }
        let bare = host.strip_suffix('.').unwrap_or(host);
        let last = bare.rsplit('.').next().unwrap_or(bare);
        let is_reg_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        // a last label that reads as a number makes the whole an address, in notations that resolvers differ on
        let is_number = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
        if bare.is_empty() || !bare.bytes().all(is_reg_name) || is_number {
            return Err(UrlFault::Malformed);
        }
        match bare {
            "metadata.google.internal" => Err(UrlFault::Host),
            "localhost" => Ok(Self::Loopback),
            _ => Ok(Self::Elsewhere),
        }
    }

    fn of_address(address: IpAddr) -> Result<Self, UrlFault> {
        let link_local = match address {
            IpAddr::V4(address) => address.is_link_local(),
            IpAddr::V6(address) => address.is_unicast_link_local(),
        };
        if link_local || address.is_unspecified() {
            return Err(UrlFault::Host);
        }
        Ok(if address.is_loopback() { Self::Loopback } else { Self::Elsewhere })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let fault = |fault| Err(ConfigError::Url { fault });
        for (name, url, want) in [
            ("F161 fixture", "https://mcp.example.com/mcp", Ok("https://mcp.example.com/mcp")),
            ("F161 case", "HTTPS://MCP.Example.COM/Mcp", Ok("https://mcp.example.com/Mcp")),
            ("F161 default port", "https://a.example:443/", Ok("https://a.example")),
            ("F161 empty port", "https://a.example:", Ok("https://a.example")),
            ("F161 other port", "https://a.example:8443", Ok("https://a.example:8443")),
            ("F161 query", "https://a.example/x?y=1", Ok("https://a.example/x")),
            ("F161 last slash of a path stays", "https://a.example/x/", Ok("https://a.example/x/")),
            ("F160 loopback", "http://127.0.0.1:9/", Ok("http://127.0.0.1:9")),
            ("F160 loopback 6", "http://[::1]:80/", Ok("http://[::1]")),
            ("F160 loopback name", "http://localhost:9/a", Ok("http://localhost:9/a")),
            ("F160 http elsewhere", "http://a.example/", fault(UrlFault::Plaintext)),
            ("F160 http to a near name", "http://localhost.a.example/", fault(UrlFault::Plaintext)),
            ("F160 other scheme", "ftp://a.example/", fault(UrlFault::Scheme)),
            ("F160 no scheme", "a.example", fault(UrlFault::Malformed)),
            ("F160 a path", "/mcp", fault(UrlFault::Malformed)),
            ("F160 empty", "", fault(UrlFault::Malformed)),
            ("F160 userinfo", "https://u:p@a.example/", fault(UrlFault::UserInfo)),
            ("F160 fragment", "https://a.example/#x", fault(UrlFault::Fragment)),
            ("F269 link-local", "https://169.254.169.254/t", fault(UrlFault::Host)),
            ("F269 link-local 6", "https://[fe80::1]/", fault(UrlFault::Host)),
            ("F269 link-local mapped", "https://[::ffff:169.254.169.254]/", fault(UrlFault::Host)),
            ("F269 unspecified", "https://0.0.0.0/", fault(UrlFault::Host)),
            ("F269 unspecified 6", "http://[::]/", fault(UrlFault::Host)),
            ("F269 metadata", "https://Metadata.Google.Internal./", fault(UrlFault::Host)),
            ("F269 address as one number", "https://2852039166/", fault(UrlFault::Malformed)),
            ("F269 address in hex", "https://0xa9.0xfe.0xa9.0xfe/", fault(UrlFault::Malformed)),
            ("port out of range", "https://a.example:99999/", fault(UrlFault::Malformed)),
        ] {
            let got = Upstream::new("mcp-main", url);
            assert_eq!(
                got.as_ref().map(Upstream::audience).map_err(|error| *error),
                want,
                "{name}"
            );
        }
        let plain = Upstream::dangerously_plaintext("a", "http://a.example/");
        assert_eq!(plain.unwrap().audience(), "http://a.example");
        let link = Upstream::dangerously_plaintext("a", "http://169.254.169.254/");
        assert_eq!(link.unwrap_err(), ConfigError::Url { fault: UrlFault::Host });
    }

    #[test]
    fn names() {
        let long = "a".repeat(65);
        for (name, text, want) in [
            ("F160", "mcp-main-2", true),
            ("F160 longest", &long[1..], true),
            ("F160 too long", &*long, false),
            ("F160 empty", "", false),
            ("F160 upper case", "Mcp", false),
            ("F160 underscore", "mcp_main", false),
        ] {
            assert_eq!(Upstream::new(text, "https://a.example").is_ok(), want, "{name}");
        }
    }

    #[test]
    fn origins() {
        let upstream = Upstream::new("mcp-main", "https://mcp.example.com/mcp").unwrap();
        for (name, uri, want) in [
            ("F204 same", "https://mcp.example.com/other?x=1", true),
            ("F204 default port said", "https://MCP.example.com:443/", true),
            ("F204 other host", "https://evil.example.com/mcp", false),
            ("F204 other port", "https://mcp.example.com:8443/mcp", false),
            ("F204 http", "http://mcp.example.com/mcp", false),
            ("F204 http on the port", "http://mcp.example.com:443/mcp", false),
            ("F204 userinfo", "https://u@mcp.example.com/mcp", false),
            ("F204 host as userinfo", "https://mcp.example.com@evil.example/mcp", false),
            ("F204 not absolute", "/mcp", false),
            ("F204 last dot", "https://mcp.example.com./mcp", false),
        ] {
            assert_eq!(upstream.same_origin(&uri.parse().unwrap()), want, "{name}");
        }
    }

    #[test]
    fn statics() {
        let upstream = Upstream::new("a", "https://a.example").unwrap();
        let value = HeaderValue::from_static("hunter2");
        let upstream = upstream.with_static_header("X-Key", value.clone()).unwrap();
        assert!(!format!("{upstream:?}").contains("hunter2"));
        let again = upstream.with_static_header("x_key", value.clone()).unwrap_err();
        assert_eq!(again, ConfigError::NameTaken { setting: STATIC });
        let upstream = Upstream::new("a", "https://a.example").unwrap();
        let reserved = upstream.with_static_header("Content_Length", value).unwrap_err();
        assert_eq!(reserved, ConfigError::NameReserved { setting: STATIC, reserved: "content-*" });
    }
}
