//! Priorities (RFC 8445 §5.1.2, §6.1.2.3, RFC 6544 §4.2) and what a network costs.

use super::candidate::{CandidateKind, CandidateTransport, TcpType};
use std::net::IpAddr;
use tiny_sak::Transport;

/// What kind of network an address belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum NetworkKind {
    /// A cable.
    Ethernet,
    /// Wireless, without a volume charge.
    Wifi,
    /// Not known.
    #[default]
    Unknown,
    /// A tunnel, which runs over one of the others.
    Vpn,
    /// Mobile data.
    Cellular,
}

impl NetworkKind {
    /// Its cost, 0 to 999, on the scale that browsers signal as `network-cost`.
    pub fn cost(self) -> u16 {
        match self {
            Self::Ethernet => 0,
            Self::Wifi => 10,
            Self::Unknown => 50,
            Self::Vpn => 60,
            Self::Cellular => 900,
        }
    }

    fn rank(self) -> u16 {
        match self {
            Self::Ethernet => 0,
            Self::Wifi => 1,
            Self::Unknown => 2,
            Self::Vpn => 3,
            Self::Cellular => 4,
        }
    }
}

/// The network of an address: two addresses of one have the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Network {
    /// The system's number of the interface, or any other.
    pub id: u16,
    /// What it is.
    pub kind: NetworkKind,
}

/// The local preference (RFC 8445 §5.1.2.2): cheap networks first, then IPv6 where there is both
/// (RFC 8421), then in the order of arrival. A single address of a cable has 65 535.
pub(super) fn local_preference(network: Network, behind_v6: bool, before: usize) -> u16 {
    let before = u16::try_from(before).unwrap_or(u16::MAX).min(2047);
    65_535 - network.kind.rank() * 8192 - if behind_v6 { 4096 } else { 0 } - before
}

/// The priority of a candidate. UDP is preferred to TCP, but any other kind to a relay (RFC 6544
/// §4.2); among relays the one with the shorter way to its server.
pub(super) fn priority(
    kind: CandidateKind,
    transport: CandidateTransport,
    relay: Transport,
    preference: u16,
    component: u16,
) -> u32 {
    let tcp = transport != CandidateTransport::Udp;
    let kind_preference: u32 = match (kind, tcp) {
        (CandidateKind::Host, false) => 126,
        (CandidateKind::PeerReflexive, false) => 110,
        (CandidateKind::ServerReflexive, false) => 100,
        (CandidateKind::Host, true) => 90,
        (CandidateKind::PeerReflexive, true) => 80,
        (CandidateKind::ServerReflexive, true) => 70,
        (CandidateKind::Relayed, _) => match relay {
            Transport::Udp => 2,
            Transport::Tcp => 1,
            _ => 0,
        },
    };
    let preference = match transport {
        CandidateTransport::Udp => u32::from(preference),
        CandidateTransport::Tcp(direction) => {
            let direction = match direction {
                TcpType::Active => 6,
                TcpType::Passive => 4,
                TcpType::SimultaneousOpen => 2,
            };
            direction << 13 | u32::from(preference >> 3)
        }
    };
    let priority = kind_preference << 24 | preference << 8 | (256 - u32::from(component.min(256)));
    priority.max(1)
}

/// The priority of a pair (RFC 8445 §6.1.2.3).
pub(super) fn pair_priority(controlling: u32, controlled: u32) -> u64 {
    let (g, d) = (u64::from(controlling), u64::from(controlled));
    g.min(d) << 32 | g.max(d) << 1 | u64::from(g > d)
}

/// Whether two addresses may make a pair (RFC 8445 §6.1.2.2): one family, link-local with its like;
/// loopback with its like, as nothing else can be reached.
pub(super) fn may_pair(local: IpAddr, remote: IpAddr) -> bool {
    let link_local = |ip: IpAddr| match ip {
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
        IpAddr::V4(_) => false,
    };
    local.is_ipv4() == remote.is_ipv4()
        && link_local(local) == link_local(remote)
        && local.is_loopback() == remote.is_loopback()
}
