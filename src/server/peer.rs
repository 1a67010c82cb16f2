//! Who is on the other side: the socket's address, or what trusted proxies say of it. Knows nothing of keys or limits.
//!
//! `X-Forwarded-For` is believed only from sockets whose address lies in the configured networks, and then only its
//! right-most address that is not itself a trusted proxy: everything to the left of that may have been written by
//! the client.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use http::{HeaderMap, HeaderName};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client of a request, in the request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// The client's address; IPv4-mapped IPv6 is written as IPv4.
    pub address: IpAddr,
    /// The address and port at the other end of the socket.
    pub socket: SocketAddr,
}

impl Peer {
    pub(super) fn find(socket: SocketAddr, headers: &HeaderMap, trusted: &[Network]) -> Self {
        let mut address = socket.ip().to_canonical();
        let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
        if !trusted.is_empty() && is_trusted(address) {
            // A later field continues an earlier one (RFC 9110 section 5.3).
            for value in headers.get_all(X_FORWARDED_FOR).iter().rev() {
                for hop in value.as_bytes().rsplit(|byte| *byte == b',') {
                    // What cannot be read was not written by a proxy: the last hop that could be read stands.
                    let Some(hop) = parse_hop(hop) else { return Self { address, socket } };
                    address = hop;
                    if !is_trusted(address) {
                        return Self { address, socket };
                    }
                }
            }
        }
        Self { address, socket }
    }

    /// The address under which failures are counted: IPv4 as it is, IPv6 cut to its /64, which one client owns whole.
    #[must_use]
    pub const fn guard_key(&self) -> IpAddr {
        match self.address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !(u64::MAX as u128))),
        }
    }
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1` or `[2001:db8::1]:4711`, with white space around it.
fn parse_hop(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?.trim();
    let address = hop.parse().ok().or_else(|| hop.parse().ok().map(|socket: SocketAddr| socket.ip()));
    let bracketed = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    address.or_else(bracketed).map(|address: IpAddr| address.to_canonical())
}

/// A network in CIDR notation, as `10.0.0.0/8`; a bare address stands for itself alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Written as IPv6, IPv4 in its mapped range, so that one comparison serves both.
    base: u128,
    mask: u128,
}

impl Network {
    /// Whether `address` lies in this network.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        bits(address) & self.mask == self.base
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// Why a text is no [`Network`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// The part before the slash is no IP address.
    #[error("not an IP address")]
    Address,
    /// The part after the slash is no prefix length of 0 to 32 (IPv4) or 0 to 128 (IPv6).
    #[error("the prefix length is out of range")]
    Prefix,
    /// Bits beyond the prefix are set, as in `10.0.0.1/8`: probably a mistake.
    #[error("the address has bits beyond the prefix length")]
    HostBits,
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Address)?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(width), str::parse).map_err(|_| NetworkError::Prefix)?;
        if prefix > width {
            return Err(NetworkError::Prefix);
        }
        let mask = u128::MAX.checked_shl(width - prefix).unwrap_or_default();
        let base = bits(address);
        if base & mask != base {
            return Err(NetworkError::HostBits);
        }
        Ok(Self { base, mask })
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn find(socket: &str, fields: &[&'static str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_static(field));
        }
        let trusted: Vec<Network> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        Peer::find(SocketAddr::new(socket.parse().unwrap(), 1), &headers, &trusted).address.to_string()
    }

    #[test]
    fn believes_only_trusted_proxies() {
        let proxies = ["10.0.0.0/8", "::1"];
        for (socket, fields, expected) in [
            ("192.0.2.9", &["1.1.1.1"][..], "192.0.2.9"),
            ("10.0.0.1", &["1.1.1.1"], "1.1.1.1"),
            ("::ffff:10.0.0.1", &["1.1.1.1"], "1.1.1.1"),
            ("::1", &["6.6.6.6, 1.1.1.1"], "1.1.1.1"),
            ("10.0.0.1", &["6.6.6.6, 1.1.1.1 , 10.3.0.1"], "1.1.1.1"),
            ("10.0.0.1", &["6.6.6.6", "1.1.1.1", "10.3.0.1,10.3.0.2"], "1.1.1.1"),
            ("10.0.0.1", &["10.3.0.1"], "10.3.0.1"),
            ("10.0.0.1", &["1.1.1.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["1.1.1.1, unknown, 10.3.0.1"], "10.3.0.1"),
            ("10.0.0.1", &[""], "10.0.0.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["1.1.1.1:4711"], "1.1.1.1"),
            ("10.0.0.1", &["[2001:db8::1]:4711"], "2001:db8::1"),
            ("10.0.0.1", &["[2001:db8::1]"], "2001:db8::1"),
            ("10.0.0.1", &["::ffff:1.1.1.1"], "1.1.1.1"),
        ] {
            assert_eq!(find(socket, fields, &proxies), expected, "{socket} {fields:?}");
        }
        assert_eq!(find("10.0.0.1", &["1.1.1.1"], &[]), "10.0.0.1");
        assert_eq!(find("10.0.0.1", &["1.1.1.1"], &["0.0.0.0/0"]), "1.1.1.1");
    }

    #[test]
    fn counts_ipv6_by_its_64_bit_network() {
        for (address, expected) in
            [("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::")]
        {
            let peer = Peer { address: address.parse().unwrap(), socket: SocketAddr::from(([0, 0, 0, 0], 0)) };
            assert_eq!(peer.guard_key().to_string(), expected);
        }
    }

    #[test]
    fn reads_networks() {
        let network = |text: &str| text.parse::<Network>();
        assert_eq!(network("10.0.0.0/33"), Err(NetworkError::Prefix));
        assert_eq!(network("10.0.0.0/x"), Err(NetworkError::Prefix));
        assert_eq!(network("10.0.0.1/8"), Err(NetworkError::HostBits));
        assert_eq!(network("host/8"), Err(NetworkError::Address));
        assert!(network("0.0.0.0/0").unwrap().contains("1.2.3.4".parse().unwrap()));
        assert!(!network("0.0.0.0/0").unwrap().contains("2001:db8::1".parse().unwrap()));
        assert!(network("::/0").unwrap().contains("2001:db8::1".parse().unwrap()));
        assert!(network("2001:db8::/32").unwrap().contains("2001:db8:ffff::1".parse().unwrap()));
        assert!(!network("192.0.2.1").unwrap().contains("192.0.2.2".parse().unwrap()));
    }
}
