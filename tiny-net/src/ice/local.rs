//! Our own addresses: what can send, and the candidates made of it (RFC 8445 §5.1).

use super::agent::{Agent, Event, HostAddress};
use super::candidate::{Candidate, CandidateAddress, CandidateKind, CandidateTransport, TcpType};
use super::config::Policy;
use super::priority::{Network, local_preference, priority};
use super::report::PairFailure;
use crate::mdns::HiddenName;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;
use tiny_sak::{Output, Transport};

/// How a base sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Via {
    Udp,
    Tcp(TcpType),
    // A relay, by its place in the list.
    Relay(usize),
}

#[derive(Debug)]
pub(super) struct Base {
    pub(super) component: u16,
    pub(super) via: Via,
    pub(super) addr: SocketAddr,
    pub(super) network: Network,
    pub(super) preference: u16,
    pub(super) priority: u32,
    // The way to the relay, for a relayed one.
    pub(super) relay: Transport,
    pub(super) foundation: u32,
    // It may be paired: not with a policy of relays alone.
    pub(super) open: bool,
    pub(super) gone: bool,
}

impl Base {
    pub(super) fn kind(&self) -> CandidateKind {
        match self.via {
            Via::Relay(_) => CandidateKind::Relayed,
            _ => CandidateKind::Host,
        }
    }

    pub(super) fn transport(&self) -> CandidateTransport {
        match self.via {
            Via::Tcp(kind) => CandidateTransport::Tcp(kind),
            _ => CandidateTransport::Udp,
        }
    }

    /// Whether it is the socket bound to an address.
    pub(super) fn is_socket(&self, local: SocketAddr) -> bool {
        !self.gone && self.via == Via::Udp && self.addr == local
    }

    /// What a peer-reflexive candidate of it would have (RFC 8445 §7.1.1).
    pub(super) fn reflexive_priority(&self) -> u32 {
        let kind = CandidateKind::PeerReflexive;
        priority(kind, self.transport(), self.relay, self.preference, self.component)
    }
}

#[derive(Debug)]
pub(super) struct Local {
    // As the peer is told.
    pub(super) candidate: Candidate,
    pub(super) base: usize,
    // What it really comes from.
    pub(super) related: Option<SocketAddr>,
}

/// Candidates of one of these have one foundation (RFC 8445 §5.1.1.3).
pub(super) type FoundationKey = (CandidateKind, IpAddr, Option<SocketAddr>, u8);

impl Agent {
    /// Gives the agent a socket, or takes note that an address can open connections (TCP active).
    /// The most liked come first; where there is IPv6, before IPv4. False where it is refused: its
    /// component is none, it is known, or [`Config::max_local`](super::Config) is reached.
    pub fn add_local(&mut self, now: Instant, host: HostAddress) -> bool {
        let HostAddress { component, addr, transport, network, name } = host;
        let via = match transport {
            CandidateTransport::Udp => Via::Udp,
            CandidateTransport::Tcp(kind) => Via::Tcp(kind),
        };
        let known =
            |b: &Base| !b.gone && b.via == via && b.addr == addr && b.component == component;
        if !(1..=self.components()).contains(&component) || self.bases.iter().any(known) {
            return false;
        }
        let open = self.config.policy == Policy::All;
        let Some(base) = self.new_base(component, via, addr, network, Transport::Udp, open) else {
            return false;
        };
        if open {
            let port = match transport {
                // RFC 6544 §4.5: the discard port.
                CandidateTransport::Tcp(TcpType::Active) => 9,
                _ => addr.port(),
            };
            let hidden = || self.config.hide_addresses.then(|| self.name_of(addr.ip()));
            let address = match name.or_else(hidden) {
                Some(name) => CandidateAddress::Name(name, port),
                None => CandidateAddress::Ip(SocketAddr::new(addr.ip(), port)),
            };
            self.add_candidate(base, CandidateKind::Host, address, None, None);
        }
        self.gather_from(now, base);
        self.pair_up(now);
        self.settle(now);
        true
    }

    // One for each address, as long as it is there.
    fn name_of(&mut self, ip: IpAddr) -> String {
        if let Some((name, _)) = self.names.iter().find(|(_, known)| *known == ip) {
            return name.to_string();
        }
        let name = HiddenName::random(&mut self.rng);
        self.names.push((name.clone(), ip));
        name.to_string()
    }

    /// The names that [`Config::hide_addresses`](super::Config::hide_addresses) has made, with what they stand for:
    /// the owner answers for them on its links.
    pub fn hidden_names(&self) -> &[(HiddenName, IpAddr)] {
        &self.names
    }

    /// Takes an address away: its network is gone. What it carried goes on over another path, if
    /// there is one.
    pub fn remove_local(&mut self, now: Instant, addr: SocketAddr) {
        let gone = |b: &Base| !b.gone && b.addr == addr && !matches!(b.via, Via::Relay(_));
        let mut bases: Vec<usize> =
            (0..self.bases.len()).filter(|b| gone(&self.bases[*b])).collect();
        for at in 0..self.relays.len() {
            if bases.contains(&self.relays[at].host) {
                bases.extend(self.relays[at].base.into_iter().chain(self.relays[at].other));
                self.drop_relay(at);
            }
        }
        self.probes.retain(|p| !bases.contains(&p.base));
        for base in bases {
            self.drop_base(now, base);
        }
        self.settle(now);
    }

    /// A base can send no more.
    pub(super) fn drop_base(&mut self, now: Instant, base: usize) {
        self.bases[base].gone = true;
        self.locals.retain(|l| l.base != base);
        self.keeps.retain(|k| k.0 != base);
        let bases = &self.bases;
        self.names.retain(|(_, ip)| bases.iter().any(|b| !b.gone && b.addr.ip() == *ip));
        for session in std::iter::once(&mut self.session).chain(self.old.as_mut()) {
            for pair in session.pairs.iter_mut().filter(|p| p.base == base) {
                pair.fail(PairFailure::Gone);
            }
        }
        self.connections.retain(|c| c.base != base);
        self.choose(now);
    }

    pub(super) fn new_base(
        &mut self,
        component: u16,
        via: Via,
        addr: SocketAddr,
        network: Network,
        relay: Transport,
        open: bool,
    ) -> Option<usize> {
        let like = |b: &&Base| !b.gone && b.component == component && b.kind() == kind_of(via);
        let same = self.bases.iter().filter(like).filter(|b| b.network.kind == network.kind);
        let v6 = self.bases.iter().filter(like).any(|b| b.addr.is_ipv6());
        let preference = local_preference(network, v6 && addr.is_ipv4(), same.count());
        let transport = match via {
            Via::Tcp(kind) => CandidateTransport::Tcp(kind),
            _ => CandidateTransport::Udp,
        };
        let priority = priority(kind_of(via), transport, relay, preference, component);
        let foundation = self.foundation(kind_of(via), addr.ip(), None, transport, relay);
        let gone = false;
        let base = Base {
            component,
            via,
            addr,
            network,
            preference,
            priority,
            relay,
            foundation,
            open,
            gone,
        };
        // A place of one that is gone, once nothing points to it.
        let free = (0..self.bases.len()).find(|at| {
            let idle = |s: &super::session::Session| s.pairs.iter().all(|p| p.base != *at);
            self.bases[*at].gone && idle(&self.session) && self.old.as_ref().is_none_or(idle)
        });
        // Where all places are taken, what is known of one that is gone is forgotten.
        let full = free.is_none() && self.bases.len() >= self.config.max_local;
        let free = free.or_else(|| {
            let at = self.bases.iter().position(|b| b.gone).filter(|_| full)?;
            for session in std::iter::once(&mut self.session).chain(self.old.as_mut()) {
                session.pairs.retain(|p| p.base != at);
            }
            Some(at)
        });
        match free {
            Some(at) => self.bases[at] = base,
            None if self.bases.len() < self.config.max_local => self.bases.push(base),
            None => return None,
        }
        Some(free.unwrap_or(self.bases.len() - 1))
    }

    /// Adds a candidate and tells of it, unless it is one that is there (RFC 8445 §5.1.3).
    pub(super) fn add_candidate(
        &mut self,
        base: usize,
        kind: CandidateKind,
        address: CandidateAddress,
        related: Option<SocketAddr>,
        server: Option<SocketAddr>,
    ) {
        let Some(from) = self.bases.get(base) else { return };
        let (component, transport, relay) = (from.component, from.transport(), from.relay);
        let same = |l: &Local| {
            l.candidate.address == address
                && l.candidate.transport == transport
                && l.candidate.component == component
        };
        let reflexive = kind == CandidateKind::ServerReflexive;
        let named = |ip: IpAddr| self.names.iter().any(|(_, known)| *known == ip);
        if self.locals.iter().any(same)
            || reflexive && Some(from.addr) == address.ip()
            // It would tell what a name hides.
            || reflexive && address.ip().is_some_and(|addr| named(addr.ip()))
        {
            return;
        }
        let (preference, ip, cost) = (from.preference, from.addr.ip(), from.network.kind.cost());
        let foundation = self.foundation(kind, ip, server, transport, relay);
        // Where host addresses are hidden, so are those that others derive from.
        let hidden = self.config.policy == Policy::RelayOnly || self.is_hidden(base);
        let nowhere = |addr: SocketAddr| {
            let ip: IpAddr = if addr.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
            SocketAddr::new(ip, 9)
        };
        let candidate = Candidate {
            foundation: foundation.to_string(),
            component,
            transport,
            priority: priority(kind, transport, relay, preference, component),
            address,
            kind,
            related: related.map(|addr| if hidden { nowhere(addr) } else { addr }),
            ufrag: Some(self.session.ufrag.clone()),
            network_cost: (cost > 0).then_some(cost),
            extensions: Vec::new(),
        };
        self.out.push_back(Output::Event(Event::Candidate(candidate.clone())));
        self.locals.push(Local { candidate, base, related });
    }

    fn is_hidden(&self, base: usize) -> bool {
        if self.config.hide_addresses {
            return true;
        }
        let named = |l: &&Local| matches!(l.candidate.address, CandidateAddress::Name(..));
        let host = match self.bases[base].via {
            Via::Relay(at) => self.relays.get(at).map_or(base, |r| r.host),
            _ => base,
        };
        self.locals.iter().filter(named).any(|l| l.base == host)
    }

    fn foundation(
        &mut self,
        kind: CandidateKind,
        ip: IpAddr,
        server: Option<SocketAddr>,
        transport: CandidateTransport,
        relay: Transport,
    ) -> u32 {
        let way = match transport {
            CandidateTransport::Udp => 0,
            CandidateTransport::Tcp(_) => 1,
        };
        let way = if kind == CandidateKind::Relayed { 2 + relay as u8 } else { way };
        let key = (kind, ip, server, way);
        let at = self.foundations.iter().position(|k| *k == key).unwrap_or_else(|| {
            self.foundations.push(key);
            self.foundations.len() - 1
        });
        at as u32 + 1
    }

    /// Our candidates of the present generation, for a whole description (half trickle, or none).
    pub fn local_candidates(&self) -> Vec<Candidate> {
        let ufrag = Some(self.session.ufrag.clone());
        let each =
            self.locals.iter().map(|l| Candidate { ufrag: ufrag.clone(), ..l.candidate.clone() });
        each.collect()
    }

    /// The same with their addresses in place of names: for us alone.
    pub fn own_candidates(&self) -> Vec<Candidate> {
        let each = self.local_candidates().into_iter().zip(&self.locals);
        let shown = each.map(|(mut candidate, local)| {
            if let CandidateAddress::Name(_, port) = candidate.address {
                let ip = self.bases[local.base].addr.ip();
                candidate.address = CandidateAddress::Ip(SocketAddr::new(ip, port));
            }
            Candidate { related: local.related, ..candidate }
        });
        shown.collect()
    }

    /// The address for peers without ICE: a relay's, else an outer one, else a host's (RFC 8839
    /// §4.2.1.2 leaves it to us; this is the one most likely to work).
    pub fn default_address(&self, component: u16) -> Option<SocketAddr> {
        let udp = self.locals.iter().filter(|l| {
            l.candidate.component == component && l.candidate.transport == CandidateTransport::Udp
        });
        let addresses = udp.filter_map(|l| Some((l.candidate.kind, l.candidate.address.ip()?)));
        addresses.max_by_key(|(kind, addr)| (*kind, addr.is_ipv4())).map(|(_, addr)| addr)
    }
}

fn kind_of(via: Via) -> CandidateKind {
    match via {
        Via::Relay(_) => CandidateKind::Relayed,
        _ => CandidateKind::Host,
    }
}
