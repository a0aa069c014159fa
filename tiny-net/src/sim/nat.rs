//! Address translators of the kinds of RFC 4787 (UDP) and RFC 5382 (TCP).

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};
use tiny_sak::Rng;

/// What a mapping or a filter depends on (RFC 4787 §4.1, §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dependence {
    /// On the inner socket alone.
    EndpointIndependent,
    /// On the remote address too.
    AddressDependent,
    /// On the remote address and port too.
    AddressAndPortDependent,
}

/// A NAT box. The default behaves as RFC 4787 asks for: endpoint-independent mapping,
/// address-dependent filtering, hairpinning, two minutes.
#[derive(Debug, Clone)]
pub struct Nat {
    pub(super) ip: IpAddr,
    mapping: Dependence,
    filtering: Dependence,
    pub(super) hairpin: bool,
    timeout: Duration,
    tcp_timeout: Duration,
    inbound_refresh: bool,
    preserve_ports: bool,
    ports: RangeInclusive<u16>,
}

impl Nat {
    /// A well-behaved box with one outer address.
    pub fn new(ip: IpAddr) -> Self {
        Self {
            ip,
            mapping: Dependence::EndpointIndependent,
            filtering: Dependence::AddressDependent,
            hairpin: true,
            // RFC 4787 REQ-5: not less than two minutes.
            timeout: Duration::from_secs(120),
            // RFC 5382 REQ-5: not less than two hours and four minutes.
            tcp_timeout: Duration::from_secs(7440),
            inbound_refresh: false,
            preserve_ports: true,
            ports: 1024..=65_535,
        }
    }

    /// "Full cone": anyone may answer.
    pub fn full_cone(ip: IpAddr) -> Self {
        Self::new(ip).filtering(Dependence::EndpointIndependent)
    }

    /// "Port-restricted cone": only the sockets that were sent to may answer.
    pub fn port_restricted(ip: IpAddr) -> Self {
        Self::new(ip).filtering(Dependence::AddressAndPortDependent)
    }

    /// "Symmetric": another outer port for each remote socket, which alone may answer.
    pub fn symmetric(ip: IpAddr) -> Self {
        let all = Dependence::AddressAndPortDependent;
        Self::new(ip).mapping(all).filtering(all).preserve_ports(false)
    }

    /// When an inner socket gets a new outer port.
    pub fn mapping(mut self, on: Dependence) -> Self {
        self.mapping = on;
        self
    }

    /// Who may send in through a mapping.
    pub fn filtering(mut self, on: Dependence) -> Self {
        self.filtering = on;
        self
    }

    /// Whether two inner hosts reach each other by their outer addresses (RFC 4787 §6).
    pub fn hairpin(mut self, on: bool) -> Self {
        self.hairpin = on;
        self
    }

    /// How long an unused UDP mapping lives.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Whether incoming datagrams keep a mapping alive as outgoing ones do (RFC 4787 §4.3).
    pub fn inbound_refresh(mut self, on: bool) -> Self {
        self.inbound_refresh = on;
        self
    }

    /// Whether the outer port is the inner one where that is free.
    pub fn preserve_ports(mut self, on: bool) -> Self {
        self.preserve_ports = on;
        self
    }

    /// The outer ports; when all are in use, new inner sockets find no way out.
    pub fn ports(mut self, ports: RangeInclusive<u16>) -> Self {
        self.ports = ports;
        self
    }
}

/// Which protocol's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Protocol {
    Udp,
    Tcp,
}

type Key = (Protocol, SocketAddr, Option<IpAddr>, Option<u16>);

#[derive(Debug)]
struct Mapping {
    port: u16,
    expires: Instant,
    permitted: HashSet<SocketAddr>,
}

#[derive(Debug)]
pub(super) struct NatState {
    pub(super) nat: Nat,
    rng: Rng,
    mappings: HashMap<Key, Mapping>,
    by_port: HashMap<(Protocol, u16), Key>,
}

impl NatState {
    pub(super) fn new(nat: Nat, rng: Rng) -> Self {
        Self { nat, rng, mappings: HashMap::new(), by_port: HashMap::new() }
    }

    /// The outer source of a packet from the inside; `None` when no port is left.
    pub(super) fn outbound(
        &mut self,
        now: Instant,
        protocol: Protocol,
        inner: SocketAddr,
        remote: SocketAddr,
    ) -> Option<SocketAddr> {
        let key = match self.nat.mapping {
            Dependence::EndpointIndependent => (protocol, inner, None, None),
            Dependence::AddressDependent => (protocol, inner, Some(remote.ip()), None),
            Dependence::AddressAndPortDependent => {
                (protocol, inner, Some(remote.ip()), Some(remote.port()))
            }
        };
        if self.mappings.get(&key).is_some_and(|m| m.expires <= now) {
            self.remove(&key);
        }
        let expires = now + self.lifetime(protocol);
        if !self.mappings.contains_key(&key) {
            let port = self.free_port(now, protocol, inner.port())?;
            self.by_port.insert((protocol, port), key);
            let permitted = HashSet::new();
            self.mappings.insert(key, Mapping { port, expires, permitted });
        }
        let mapping = self.mappings.get_mut(&key)?;
        // RFC 4787 REQ-6: packets going out refresh the mapping.
        mapping.expires = expires;
        mapping.permitted.insert(remote);
        Some(SocketAddr::new(self.nat.ip, mapping.port))
    }

    /// The inner destination of a packet from the outside; `None` when there is no mapping or the
    /// filter keeps it out. An ICMP error (`about`) passes every filter.
    pub(super) fn inbound(
        &mut self,
        now: Instant,
        protocol: Protocol,
        port: u16,
        remote: SocketAddr,
        icmp: bool,
    ) -> Option<SocketAddr> {
        let key = *self.by_port.get(&(protocol, port))?;
        let lifetime = self.lifetime(protocol);
        let mapping = self.mappings.get_mut(&key)?;
        if mapping.expires <= now {
            self.remove(&key);
            return None;
        }
        let allowed = icmp
            || match self.nat.filtering {
                Dependence::EndpointIndependent => true,
                Dependence::AddressDependent => {
                    mapping.permitted.iter().any(|p| p.ip() == remote.ip())
                }
                Dependence::AddressAndPortDependent => mapping.permitted.contains(&remote),
            };
        if allowed && self.nat.inbound_refresh {
            mapping.expires = now + lifetime;
        }
        allowed.then_some(key.1)
    }

    /// Forgets everything, as a box does that is switched off and on.
    pub(super) fn reboot(&mut self) {
        self.mappings.clear();
        self.by_port.clear();
    }

    fn lifetime(&self, protocol: Protocol) -> Duration {
        match protocol {
            Protocol::Udp => self.nat.timeout,
            Protocol::Tcp => self.nat.tcp_timeout,
        }
    }

    fn remove(&mut self, key: &Key) {
        if let Some(mapping) = self.mappings.remove(key) {
            self.by_port.remove(&(key.0, mapping.port));
        }
    }

    fn free_port(&mut self, now: Instant, protocol: Protocol, inner: u16) -> Option<u16> {
        if self.nat.preserve_ports && self.is_free(now, protocol, inner) {
            return Some(inner);
        }
        let (first, last) = (u32::from(*self.nat.ports.start()), u32::from(*self.nat.ports.end()));
        let count = (last + 1).checked_sub(first)?;
        let start = self.rng.below(u64::from(count)) as u32;
        let ports = (0..count).map(|i| (first + (start + i) % count) as u16);
        // RFC 4787 REQ-4 would like even ports to stay even.
        let (same, other): (Vec<u16>, Vec<u16>) = ports.partition(|p| p % 2 == inner % 2);
        same.into_iter().chain(other).find(|p| self.is_free(now, protocol, *p))
    }

    fn is_free(&mut self, now: Instant, protocol: Protocol, port: u16) -> bool {
        if !self.nat.ports.contains(&port) {
            return false;
        }
        let Some(key) = self.by_port.get(&(protocol, port)).copied() else { return true };
        let expired = self.mappings.get(&key).is_none_or(|m| m.expires <= now);
        if expired {
            self.remove(&key);
        }
        expired
    }
}
