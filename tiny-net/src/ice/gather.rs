//! Gathering (RFC 8445 §5.1.1): outer addresses by STUN, relays by TURN, each request at the common pace.

use super::agent::{Agent, Event};
use super::candidate::{CandidateAddress, CandidateKind};
use super::local::{Base, Via};
use crate::NetEvent;
use crate::stun::{
    Builder, Class, Input, Message, Step, Transaction, TransactionId, Transmit, attr, method,
};
use crate::turn::{self, Client, Family};
use bytes::Bytes;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use tiny_sak::{Flow, Output, Transport};

/// A question to a STUN server under way.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) base: usize,
    server: SocketAddr,
    asked: Instant,
    id: TransactionId,
    request: Bytes,
    transaction: Transaction,
}

#[derive(Debug)]
pub(super) struct Relay {
    pub(super) client: Client,
    pub(super) host: usize,
    pub(super) base: Option<usize>,
    // The same of the other address family.
    pub(super) other: Option<usize>,
    transport: Transport,
    // When it was asked first, and when it last was or said something.
    asked: Option<Instant>,
    word: Option<Instant>,
    // It stands, or will not.
    settled: bool,
    deadline: Option<Instant>,
}

impl Relay {
    // It was given up, with its network.
    fn is_gone(&self) -> bool {
        self.settled && self.asked.is_none() && self.base.is_none()
    }
}

/// What is still to be asked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Start {
    Stun(usize, SocketAddr),
    Relay(usize),
}

/// How often an outer address is kept open before there is a path (RFC 8445 §5.1.1.4).
const KEEP: Duration = Duration::from_secs(15);

impl Agent {
    /// Begins to gather: for the addresses that are there and all that come.
    pub fn gather(&mut self, now: Instant) {
        if self.gathering.is_some() || self.config.lite {
            return;
        }
        self.gathering = Some(now + self.config.gather_patience);
        for base in 0..self.bases.len() {
            self.gather_from(now, base);
        }
        self.settle(now);
    }

    /// The servers, where they were not known before: to be told before [`gather`](Self::gather).
    pub fn set_servers(&mut self, stun: Vec<SocketAddr>, turn: Vec<turn::Server>) {
        (self.config.stun_servers, self.config.turn_servers) = (stun, turn);
    }

    /// Whether a server may still bring a candidate: also beyond the patience with it.
    pub fn is_gathering(&self) -> bool {
        self.gathering.is_some() && !self.is_gathered()
    }

    /// Whether a description had better wait for what servers bring: not beyond the patience with
    /// them, and not for those that stay silent where others brought what is needed.
    pub fn awaits_servers(&self) -> bool {
        self.gathering.is_some() && !self.gathered
    }

    fn is_gathered(&self) -> bool {
        self.starts.is_empty()
            && self.probes.is_empty()
            && self.relays.iter().all(|relay| relay.settled)
    }

    /// Whether each component has what the peer may need in the end: a relay, or an outer address
    /// where no relay is asked.
    fn has_enough(&self) -> bool {
        let relayed = |component| {
            let standing = self.relays.iter().filter(|r| r.base.is_some());
            standing.map(|r| &self.bases[r.host]).any(|b| b.component == component)
        };
        (1..=self.components()).all(|component| match self.config.turn_servers.is_empty() {
            true => self.reflected[usize::from(component - 1)],
            false => relayed(component),
        })
    }

    /// When those that have brought nothing have been silent for long enough, while others brought
    /// enough: UDP may be blocked, or a server dead. Each has been asked (RFC 8445 §14.2: one by one).
    fn enough_at(&self) -> Option<Instant> {
        if !self.starts.is_empty() || !self.has_enough() {
            return None;
        }
        let probes = self.probes.iter().map(|p| p.asked);
        let relays = self.relays.iter().filter(|r| !r.settled).filter_map(|r| r.word);
        Some(probes.chain(relays).max()? + self.config.gather_grace + self.slowest)
    }

    /// A server brought what it was asked for.
    fn brought(&mut self, now: Instant, asked: Instant) {
        self.slowest = self.slowest.max(now.saturating_duration_since(asked));
    }

    pub(super) fn gather_from(&mut self, now: Instant, base: usize) {
        let from = &self.bases[base];
        if self.gathering.is_none()
            || from.gone
            || from.via != Via::Udp
            || from.addr.ip().is_loopback() && !self.loopback_servers()
        {
            return;
        }
        let (addr, is_v4) = (from.addr, from.addr.is_ipv4());
        let before = self.starts.len();
        let here = |b: &Base| !b.gone && b.via == Via::Udp && !b.addr.ip().is_loopback();
        let lonely = !self.bases.iter().any(|b| here(b) && b.addr.is_ipv4());
        if from.open {
            let servers = self.config.stun_servers.iter().filter(|s| s.is_ipv4() == is_v4);
            self.starts.extend(servers.map(|s| Start::Stun(base, *s)));
        }
        for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
            let servers = self.config.turn_servers.iter();
            let servers: Vec<_> = servers
                .filter(|s| s.transport == transport && s.addr.is_ipv4() == is_v4)
                .cloned()
                .collect();
            // The place of one that is gone is taken again.
            let free = self.relays.iter().position(Relay::is_gone);
            if servers.is_empty() || free.is_none() && self.relays.len() >= self.config.max_relays {
                continue;
            }
            // Who has IPv6 alone reaches who has IPv4 alone by a relay.
            let family = match (is_v4, lonely) {
                (true, _) => Family::V4,
                (false, false) => Family::V6,
                (false, true) => Family::Both,
            };
            let rng = self.rng.fork();
            let client = Client::new(self.config.turn, family, addr, servers, rng);
            let relay = Relay {
                client,
                host: base,
                base: None,
                other: None,
                transport,
                asked: None,
                word: None,
                settled: false,
                deadline: None,
            };
            let at = match free {
                Some(at) => {
                    self.relay_counters.add(&self.relays[at].client.counters());
                    self.relays[at] = relay;
                    at
                }
                None => {
                    self.relays.push(relay);
                    self.relays.len() - 1
                }
            };
            self.starts.push_back(Start::Relay(at));
        }
        // An address that came later is waited for like the first ones.
        if self.gathered && self.starts.len() > before {
            self.gathered = false;
            self.gathering = Some(now + self.config.gather_patience);
        }
        self.wake(now);
    }

    // On one machine, servers are there too.
    fn loopback_servers(&self) -> bool {
        let stun = self.config.stun_servers.iter().map(|s| s.ip());
        stun.chain(self.config.turn_servers.iter().map(|s| s.addr.ip())).any(|ip| ip.is_loopback())
    }

    /// Asks the next server. False where there is none to ask.
    pub(super) fn start_gathering(&mut self, now: Instant) -> bool {
        while let Some(start) = self.starts.pop_front() {
            match start {
                Start::Stun(base, server) if !self.bases[base].gone => {
                    let id = self.new_id();
                    let request = Builder::new(Class::Request, method::BINDING, id);
                    let request = request.fingerprint().finish();
                    let transaction = Transaction::new(now, self.config.gather_timing, false);
                    self.probes.push(Probe { base, server, asked: now, id, request, transaction });
                    self.tick_probes(now);
                    return true;
                }
                Start::Relay(at) if !self.relays[at].settled => {
                    (self.relays[at].asked, self.relays[at].word) = (Some(now), Some(now));
                    self.relays[at].client.allocate(now);
                    self.drain_relay(now, at);
                    return true;
                }
                _ => {}
            }
        }
        false
    }

    pub(super) fn tick_probes(&mut self, now: Instant) {
        let mut at = 0;
        while let Some(probe) = self.probes.get_mut(at) {
            match probe.transaction.due(now) {
                None => at += 1,
                Some(Step::Send) => {
                    let (base, server, data) = (probe.base, probe.server, probe.request.clone());
                    self.datagram(self.bases[base].addr, server, data);
                }
                Some(Step::GiveUp) => {
                    self.probes.swap_remove(at);
                }
            }
        }
        let open = self.selected.iter().all(Option::is_none);
        for at in 0..self.keeps.len() {
            let (base, server, due) = self.keeps[at];
            if due <= now && open {
                self.keeps[at].2 = now + KEEP;
                let id = self.new_id();
                let keep = Builder::new(Class::Indication, method::BINDING, id).fingerprint();
                self.datagram(self.bases[base].addr, server, keep.finish());
            }
        }
        if !open {
            self.keeps.clear();
        }
    }

    pub(super) fn relay_deadline(&self) -> Option<Instant> {
        self.relays.iter().filter_map(|r| r.deadline).min()
    }

    pub(super) fn gather_deadline(&self) -> Option<Instant> {
        let probes = self.probes.iter().map(|p| p.transaction.deadline());
        let relays = self.relay_deadline();
        let waiting = |at: &Instant| !self.gathered && self.gathering.is_some_and(|p| *at <= p);
        let patience = self.gathering.filter(waiting);
        let enough = self.enough_at().filter(waiting);
        probes
            .chain(relays)
            .chain(patience)
            .chain(enough)
            .chain(self.keeps.iter().map(|k| k.2))
            .min()
    }

    /// An answer of a STUN server. True where it was one.
    pub(super) fn probed(
        &mut self,
        now: Instant,
        base: usize,
        from: SocketAddr,
        message: &Message<'_>,
    ) -> bool {
        let mine = |p: &Probe| p.id == message.id() && p.server == from && p.base == base;
        let Some(at) = self.probes.iter().position(mine) else { return false };
        let asked = self.probes.swap_remove(at).asked;
        self.brought(now, asked);
        if let Some(mapped) = message.mapped().filter(|_| message.class() == Class::Success) {
            self.note_mapped(now, base, mapped, from);
        }
        true
    }

    fn note_mapped(&mut self, now: Instant, base: usize, mapped: SocketAddr, server: SocketAddr) {
        if mapped.ip().is_unspecified() || mapped.port() == 0 {
            return;
        }
        let related = Some(self.bases[base].addr);
        self.reflected[usize::from(self.bases[base].component - 1)] = true;
        let address = CandidateAddress::Ip(mapped);
        self.add_candidate(base, CandidateKind::ServerReflexive, address, related, Some(server));
        if !self.keeps.iter().any(|k| k.0 == base) {
            self.keeps.push((base, server, now + KEEP));
        }
    }

    /// Shows an event to the relays. True where it was one's.
    pub(super) fn relay_input(&mut self, now: Instant, event: &NetEvent) -> bool {
        let input = Input::Net(event.clone());
        for at in 0..self.relays.len() {
            let relay = &mut self.relays[at];
            // Several relays of one server are told apart by what they asked; a STUN server may be
            // a relay too.
            if relay.asked.is_some()
                && relay.client.flow() == event.flow()
                && relay.client.handle(now, &input)
            {
                relay.word = Some(now);
                self.drain_relay(now, at);
                return true;
            }
        }
        false
    }

    pub(super) fn tick_relays(&mut self, now: Instant) {
        for at in 0..self.relays.len() {
            if self.relays[at].deadline.is_some_and(|d| d <= now) {
                self.relays[at].client.handle(now, &Input::Timeout);
                self.drain_relay(now, at);
            }
        }
    }

    pub(super) fn drain_relay(&mut self, now: Instant, at: usize) {
        loop {
            match self.relays[at].client.poll(now) {
                Output::Transmit(transmit) => self.out.push_back(Output::Transmit(transmit)),
                Output::Timeout(deadline) => {
                    self.relays[at].deadline = deadline;
                    return;
                }
                Output::Event(event) => self.relay_event(now, at, event),
            }
        }
    }

    fn relay_event(&mut self, now: Instant, at: usize, event: turn::Event) {
        match event {
            turn::Event::Allocated { relayed, other, mapped, server } => {
                let host = self.relays[at].host;
                let from = &self.bases[host];
                let (component, network, open) = (from.component, from.network, from.open);
                let (via, transport) = (Via::Relay(at), self.relays[at].transport);
                let related = mapped.or(Some(self.bases[host].addr));
                let mut bases = [None; 2];
                for (base, relayed) in bases.iter_mut().zip([Some(relayed), other]) {
                    let Some(relayed) = relayed else { continue };
                    *base = self.new_base(component, via, relayed, network, transport, true);
                    let Some(base) = *base else { continue };
                    let (kind, address) = (CandidateKind::Relayed, CandidateAddress::Ip(relayed));
                    self.add_candidate(base, kind, address, related, Some(server));
                }
                self.relays[at].settled = true;
                if let Some(asked) = self.relays[at].asked {
                    self.brought(now, asked);
                }
                [self.relays[at].base, self.relays[at].other] = bases;
                if bases == [None; 2] {
                    return;
                }
                // Over UDP the relay has told our outer address, too.
                if let Some(mapped) = mapped.filter(|_| open && transport == Transport::Udp) {
                    self.note_mapped(now, host, mapped, server);
                }
                self.pair_up(now);
            }
            turn::Event::Data { peer, data } => {
                if let Some(base) = self.relay_base(at, peer.ip()) {
                    self.received(now, base, peer, data);
                }
            }
            turn::Event::PeerRefused { peer, .. } => self.relay_refused(at, peer),
            turn::Event::Failed(failure) | turn::Event::Lost(failure) => {
                self.relay_failures.truncate(7);
                self.relay_failures.push(failure);
                self.relays[at].settled = true;
                let relay = &mut self.relays[at];
                for base in [relay.base.take(), relay.other.take()].into_iter().flatten() {
                    self.drop_base(now, base);
                }
            }
        }
    }

    /// The relay's base of a peer's family.
    pub(super) fn relay_base(&self, at: usize, peer: IpAddr) -> Option<usize> {
        let relay = &self.relays[at];
        let mut bases = [relay.base, relay.other].into_iter().flatten();
        bases.find(|base| self.bases[*base].addr.is_ipv4() == peer.is_ipv4())
    }

    /// Gives a relay back.
    pub(super) fn drop_relay(&mut self, at: usize) {
        self.relays[at].settled = true;
        (self.relays[at].base, self.relays[at].other) = (None, None);
        // Its socket is gone with the network; a relay over a connection ends with that.
        self.relays[at].deadline = None;
        self.relays[at].asked = None;
    }

    /// Whether all servers have answered, or will not, or need not.
    pub(super) fn finish_gathering(&mut self, now: Instant) {
        let Some(patience) = self.gathering.filter(|_| !self.gathered) else { return };
        let enough = self.enough_at().is_some_and(|at| at <= now);
        if self.is_gathered() || enough || patience <= now {
            self.gathered = true;
            self.out.push_back(Output::Event(Event::GatheringDone));
        }
    }

    pub(super) fn datagram(&mut self, local: SocketAddr, remote: SocketAddr, data: Bytes) {
        let flow = Flow { transport: Transport::Udp, local, remote };
        self.out.push_back(Output::Transmit(Transmit::Send { flow, data }));
    }

    /// Whether a message of a server's address answers a question of ours: it is not the relay's then.
    pub(super) fn is_probe(&self, from: SocketAddr, message: &Message<'_>) -> bool {
        message.class() != Class::Request
            && !message.has(attr::DATA)
            && self.probes.iter().any(|p| p.id == message.id() && p.server == from)
    }
}
