//! Multicast DNS for the addresses of ICE candidates (RFC 6762 §5.1; draft-ietf-mmusic-mdns-ice-
//! candidates): a name that stands for a host's address is looked up on the local link, and names of
//! our own are answered for. Only names of one random label are asked for or told, nothing is cached,
//! and no answer is worth more than an address to try.

mod message;
mod socket;

pub use message::{Answers, HiddenName, MdnsError, Question, Registry, Reply, query, read_answer};
pub use socket::{Responder, lookup};

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// The port of multicast DNS (RFC 6762 §3).
pub const PORT: u16 = 5353;

/// Limits and addresses of look-ups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MdnsConfig {
    /// A look-up ends unanswered after so long. Default 2 s.
    pub timeout: Duration,
    /// Asks again after so long without an answer. Default 1 s (RFC 6762 §5.2).
    pub repeat: Duration,
    /// Where questions go by IPv4. Default 224.0.0.251:5353.
    pub group_v4: SocketAddr,
    /// Where questions go by IPv6. Default `[ff02::fb]:5353`.
    pub group_v6: SocketAddr,
    /// Names that may be registered at once; another is refused. Default 64.
    pub max_names: usize,
    /// Of our own addresses so many are asked from; others are left out. Default 16.
    pub max_interfaces: usize,
    /// The longest message that is read, in bytes; more of it is cut off. Default 1,500.
    pub max_message: usize,
    /// Questions in a message; one with more is refused. Default 16.
    pub max_questions: usize,
    /// Records in a message; one with more is refused: answers to one question are few. Default 64.
    pub max_records: usize,
    /// Addresses taken from one message; others are left out. Default 8.
    pub max_addresses: usize,
}

impl Default for MdnsConfig {
    fn default() -> Self {
        let v6 = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
        Self {
            timeout: Duration::from_secs(2),
            repeat: Duration::from_secs(1),
            group_v4: SocketAddr::new(Ipv4Addr::new(224, 0, 0, 251).into(), PORT),
            group_v6: SocketAddr::new(v6.into(), PORT),
            max_names: 64,
            max_interfaces: 16,
            max_message: 1500,
            max_questions: 16,
            max_records: 64,
            max_addresses: 8,
        }
    }
}

impl MdnsConfig {
    fn group_for(&self, local: IpAddr) -> SocketAddr {
        if local.is_ipv4() { self.group_v4 } else { self.group_v6 }
    }

    /// The group of each family that addresses of ours are of, with these.
    fn groups(&self, ours: &[IpAddr]) -> impl Iterator<Item = (SocketAddr, Vec<IpAddr>)> {
        let both = [(self.group_v4, false), (self.group_v6, true)].map(|(group, v6)| {
            let locals = ours.iter().copied().filter(|ip| ip.is_ipv6() == v6);
            (group, locals.take(self.max_interfaces).collect::<Vec<_>>())
        });
        both.into_iter().filter(|(_, locals)| !locals.is_empty())
    }
}

#[cfg(test)]
mod tests;
