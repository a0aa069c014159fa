//! Where media goes: a host (address or name) with a port, and the `c=` line (RFC 8866 §5.7).

use crate::Text;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// A connection address: an IP address, or a name that the application must resolve.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// An address.
    Ip(IpAddr),
    /// A domain name. Written with address type `IP4`.
    Name(Text),
}

impl Host {
    /// The address, unless it is a name.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(ip) => Some(*ip),
            Self::Name(_) => None,
        }
    }

    pub(crate) fn is_ipv6(&self) -> bool {
        matches!(self, Self::Ip(IpAddr::V6(_)))
    }

    /// `IP4` or `IP6`.
    pub fn address_type(&self) -> &'static str {
        if self.is_ipv6() { "IP6" } else { "IP4" }
    }

    pub(crate) fn parse(s: &str) -> Self {
        // A unicast address has no suffix; of a multicast one the TTL and count are not needed here.
        let base = s.split('/').next().unwrap_or(s);
        base.parse().map_or_else(|_| Self::Name(Text::copy(base)), Self::Ip)
    }

    pub(crate) fn is_unspecified(&self) -> bool {
        self.ip().is_some_and(|ip| ip.is_unspecified())
    }

    pub(crate) fn is_multicast(&self) -> bool {
        self.ip().is_some_and(|ip| ip.is_multicast())
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::Ip(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl From<IpAddr> for Host {
    fn from(ip: IpAddr) -> Self {
        Self::Ip(ip)
    }
}

impl From<&'static str> for Host {
    fn from(name: &'static str) -> Self {
        name.parse().map_or(Self::Name(Text::fixed(name)), Self::Ip)
    }
}

/// Where a peer wants its packets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RemoteAddress {
    /// Host of the `c=` or `a=rtcp` line.
    pub host: Host,
    /// UDP (or TCP) port, never 0.
    pub port: u16,
}

impl RemoteAddress {
    /// The socket address, unless the host is a name that must be resolved first.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.host.ip()?, self.port))
    }
}

impl fmt::Display for RemoteAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.socket_addr() {
            Some(addr) => addr.fmt(f),
            None => write!(f, "{}:{}", self.host, self.port),
        }
    }
}
