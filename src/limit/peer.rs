//! Which address does a request come from?
//!
//! 1. The server's glue says who the peer is; without it nothing is counted under a made-up address.
//! 2. `X-Forwarded-For` is believed only as far as trusted proxies wrote it: from the right, hop by hop.
//! 3. An entry that is no address ends the walk: the last trusted hop is the address.

use http::request::Parts;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::rejection::Rejection;

/// The address of the connection's other end: put into the request's extensions by the server's glue.
///
/// With axum a small layer copies it from `ConnectInfo`; with hyper it is what `accept` gave.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "a newtype that the server's glue makes")]
pub struct PeerAddr(pub SocketAddr);

/// A network of addresses, such as `10.0.0.0/8` or `2001:db8::/32`; an address alone is a network of one.
///
/// Bits behind the prefix are ignored. IPv4-mapped IPv6 is IPv4.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Network {
    /// The first address, as 128 bits with IPv4 in the lowest 32.
    bits: u128,
    prefix: u8,
    is_v4: bool,
}

/// A text is no network of the form `address/prefix`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("network is no address with an optional /prefix")]
#[non_exhaustive]
pub struct NetworkError;

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        let (bits, is_v4) = bits_of(address);
        is_v4 == self.is_v4 && masked(bits, self.prefix, is_v4) == self.bits
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_not| NetworkError)?;
        let (bits, is_v4) = bits_of(address);
        let longest = if is_v4 { 32 } else { 128 };
        // a prefix that was written for the mapped form counts from its 96th bit
        let before = if address.is_ipv6() && is_v4 { 96 } else { 0 };
        let prefix = match prefix {
            Some(prefix) if prefix.bytes().all(|byte| byte.is_ascii_digit()) => {
                let prefix: u8 = prefix.parse().map_err(|_not| NetworkError)?;
                prefix.checked_sub(before).ok_or(NetworkError)?
            }
            Some(_) => return Err(NetworkError),
            None => longest,
        };
        if prefix > longest {
            return Err(NetworkError);
        }
        Ok(Self { bits: masked(bits, prefix, is_v4), prefix, is_v4 })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v4 = u32::try_from(self.bits).map(Ipv4Addr::from_bits);
        match v4 {
            Ok(address) if self.is_v4 => write!(f, "{address}/{}", self.prefix),
            Ok(_) | Err(_) => write!(f, "{}/{}", Ipv6Addr::from_bits(self.bits), self.prefix),
        }
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The address that a request counts under.
pub(crate) fn peer_of(head: &Parts, trusted: &[Network]) -> Result<IpAddr, Rejection> {
    let peer = head.extensions.get::<PeerAddr>().ok_or_else(|| Rejection::lacking(NoPeer))?;
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut address = peer.0.ip().to_canonical();
    if !is_trusted(address) {
        return Ok(address);
    }
    let lines = head.headers.get_all("x-forwarded-for").iter().rev();
    let hops = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    for hop in hops {
        let Some(next) = address_of(hop) else { break };
        address = next;
        if !is_trusted(address) {
            break;
        }
    }
    Ok(address)
}

/// The glue did not say who the peer is.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("request carries no PeerAddr extension")]
struct NoPeer;

/// An entry of `X-Forwarded-For`: an address, perhaps in brackets, perhaps with a port.
fn address_of(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim_matches([' ', '\t']);
    let bare = || text.parse().ok();
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    let in_brackets = || {
        let inner = text.strip_prefix('[')?.strip_suffix(']')?;
        inner.parse().ok().map(|address: Ipv6Addr| IpAddr::V6(address))
    };
    bare().or_else(with_port).or_else(in_brackets).map(|address: IpAddr| address.to_canonical())
}

fn bits_of(address: IpAddr) -> (u128, bool) {
    match address.to_canonical() {
        IpAddr::V4(address) => (address.to_bits().into(), true),
        IpAddr::V6(address) => (address.to_bits(), false),
    }
}

fn masked(bits: u128, prefix: u8, is_v4: bool) -> u128 {
    let width: u32 = if is_v4 { 32 } else { 128 };
    let free = width.saturating_sub(prefix.into());
    u128::MAX.checked_shl(free).map_or(0, |mask| bits & mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(peer: &str, lines: &[&'static str], trusted: &[&str]) -> IpAddr {
        let mut request = http::Request::new(());
        let peer = SocketAddr::new(peer.parse().unwrap(), 4711);
        request.extensions_mut().insert(PeerAddr(peer));
        for line in lines {
            let line = http::HeaderValue::from_static(line);
            request.headers_mut().append("x-forwarded-for", line);
        }
        let trusted: Vec<Network> = trusted.iter().map(|text| text.parse().unwrap()).collect();
        peer_of(&request.into_parts().0, &trusted).unwrap()
    }

    #[test]
    fn walks() {
        let ten = &["10.0.0.0/8"][..];
        for (name, peer, lines, trusted, want) in [
            ("L832 nobody trusted", "10.0.0.1", &["6.6.6.6"][..], &[][..], "10.0.0.1"),
            ("L832 another peer", "11.0.0.1", &["6.6.6.6"], ten, "11.0.0.1"),
            ("L833 no field", "10.0.0.1", &[], ten, "10.0.0.1"),
            ("L875", "10.0.0.1", &["6.6.6.6, 203.0.113.7, 10.1.2.3"], ten, "203.0.113.7"),
            (
                "L876 two lines",
                "10.0.0.1",
                &["1.1.1.1", "[2001:db8:1:2::9]:443, 10.9.9.9"],
                ten,
                "2001:db8:1:2::9",
            ),
            ("L876 nonsense", "10.0.0.1", &["nonsense, 10.1.2.3"], ten, "10.1.2.3"),
            ("L876 all trusted", "10.0.0.1", &["10.2.2.2, 10.3.3.3"], ten, "10.2.2.2"),
            ("L834 nonsense at once", "10.0.0.1", &["6.6.6.6, x"], ten, "10.0.0.1"),
            ("L834 an empty entry", "10.0.0.1", &["6.6.6.6,"], ten, "10.0.0.1"),
            ("L834 a port", "10.0.0.1", &["6.6.6.6:80"], ten, "6.6.6.6"),
            ("L834 brackets", "10.0.0.1", &["[2001:db8::1]"], ten, "2001:db8::1"),
            ("L834 brackets round IPv4", "10.0.0.1", &["[6.6.6.6]"], ten, "10.0.0.1"),
            ("L835 mapped", "::ffff:10.0.0.1", &["::ffff:6.6.6.6"], ten, "6.6.6.6"),
            ("L835 mapped network", "10.0.0.1", &["6.6.6.6"], &["::ffff:10.0.0.0/104"], "6.6.6.6"),
        ] {
            assert_eq!(from(peer, lines, trusted), want.parse::<IpAddr>().unwrap(), "{name}");
        }
        let nobody = http::Request::new(()).into_parts().0;
        let rejection = peer_of(&nobody, &[]).unwrap_err();
        assert_eq!(rejection.status(), 500, "L831");
    }

    #[test]
    fn networks() {
        for (text, want) in [
            ("10.1.2.3/8", Some("10.0.0.0/8")),
            ("10.1.2.3", Some("10.1.2.3/32")),
            ("0.0.0.0/0", Some("0.0.0.0/0")),
            ("2001:db8:1::/32", Some("2001:db8::/32")),
            ("::/0", Some("::/0")),
            ("::ffff:10.0.0.0/104", Some("10.0.0.0/8")),
            ("::ffff:10.0.0.0/95", None),
            ("10.0.0.0/33", None),
            ("::/129", None),
            ("10.0.0.0/", Some("")),
            ("10.0.0.0/+8", None),
            ("10.0.0/8", None),
            ("", None),
        ] {
            let want = want.filter(|want| !want.is_empty());
            let got = text.parse::<Network>().ok().map(|network| network.to_string());
            assert_eq!(got.as_deref(), want, "L832 {text}");
        }
    }
}
