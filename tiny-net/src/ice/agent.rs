//! The agent: what its owner calls, and the way of each input to the part that knows.

use super::attributes::IceOptions;
use super::candidate::{Candidate, CandidateAddress, CandidateTransport};
use super::config::Config;
use super::gather::{Probe, Relay, Start};
use super::local::{Base, FoundationKey, Local, Via};
use super::pair::Pair;
use super::priority::Network;
use super::report::{IceCounters, IceFailure, IceReport, PairReport, State, SwitchReason};
use super::select::Selected;
use super::session::{Remote, RemoteCandidate, RemoteError, Session};
use super::tcp::Connection;
use crate::NetEvent;
use crate::mdns::HiddenName;
use crate::stun::{
    Builder, Class, Input, Key, Message, Packet, TransactionId, Transmit, demux, method,
};
use crate::turn;
use bytes::Bytes;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use tiny_sak::{Flow, Output, Rng, Secret, Transport};

/// A local address that the owner gives.
#[derive(Debug, Clone)]
pub struct HostAddress {
    /// 1, or 2 for RTCP on a port of its own.
    pub component: u16,
    /// The socket that is bound; for TCP active the address to connect from, with any port.
    pub addr: SocketAddr,
    /// UDP, or TCP with its direction.
    pub transport: CandidateTransport,
    /// Its network.
    pub network: Network,
    /// A name that stands for it in what is signalled (`….local`), which the owner registers. Where there is none,
    /// [`Config::hide_addresses`] makes one.
    pub name: Option<String>,
}

/// What the peer says of itself, besides its candidates.
#[derive(Debug, Clone)]
pub struct Peer {
    /// `ice-ufrag`.
    pub ufrag: String,
    /// `ice-pwd`.
    pub password: Secret,
    /// `ice-lite`.
    pub lite: bool,
    /// `ice-options`.
    pub options: IceOptions,
    /// `ice-pacing`.
    pub pace: Option<Duration>,
}

/// What an agent tells its owner.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A candidate of ours, to be signalled.
    Candidate(Candidate),
    /// A description need wait no longer: no more candidates are expected, or none that are worth
    /// waiting for ([`Agent::is_gathering`] tells). It comes again for addresses that came later.
    GatheringDone,
    /// The state changed.
    State(State),
    /// Data of a component now goes another way.
    Selected {
        /// 1 or 2.
        component: u16,
        /// The pair.
        pair: Box<PairReport>,
        /// Why.
        reason: SwitchReason,
    },
    /// A packet that is not STUN, from the peer.
    Data {
        /// 1 or 2.
        component: u16,
        /// Its sender.
        from: SocketAddr,
        /// The packet.
        data: Bytes,
    },
    /// A candidate has a name: please ask for its address and call [`Agent::resolved`].
    Resolve(String),
    /// The roles changed (RFC 8445 §7.3.1.1).
    Role {
        /// Whether we nominate now.
        controlling: bool,
    },
    /// There is no path, or no more.
    Failed(IceFailure),
}

/// Why a packet was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// There is no path yet, or no more.
    #[error("there is no path to the peer")]
    NoPath,
    /// The relay does not take it.
    #[error(transparent)]
    Relay(#[from] turn::SendError),
}

/// The way that data of a component takes, for a sender that goes around the agent. It holds until the
/// next [`Event::Selected`] or [`Event::State`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Socket and destination: the peer, or the relay.
    pub flow: Flow,
    /// The relay's channel: each packet goes as ChannelData ([`turn::channel_data`]).
    pub channel: Option<u16>,
    /// Each packet goes behind its length (TCP, RFC 4571).
    pub framed: bool,
}

/// An ICE agent. The contract is that of [`Output`].
#[derive(Debug)]
pub struct Agent {
    pub(super) config: Config,
    pub(super) rng: Rng,
    pub(super) controlling: bool,
    pub(super) tie_breaker: u64,
    pub(super) peer_lite: bool,
    pub(super) closed: bool,
    // The peer has no ICE, and is spoken with through a relay.
    pub(super) plain: bool,
    pub(super) bases: Vec<Base>,
    pub(super) locals: Vec<Local>,
    pub(super) foundations: Vec<FoundationKey>,
    // What stands for addresses of ours.
    pub(super) names: Vec<(HiddenName, IpAddr)>,
    pub(super) gathering: Option<Instant>,
    pub(super) gathered: bool,
    // A server has told the outer address of a component.
    pub(super) reflected: [bool; 2],
    // How long the slowest server took that brought a candidate.
    pub(super) slowest: Duration,
    pub(super) starts: VecDeque<Start>,
    pub(super) probes: Vec<Probe>,
    pub(super) keeps: Vec<(usize, SocketAddr, Instant)>,
    pub(super) relays: Vec<Relay>,
    pub(super) relay_failures: Vec<turn::Failure>,
    // Of relays whose place was taken.
    pub(super) relay_counters: turn::Counters,
    pub(super) session: Session,
    pub(super) old: Option<Session>,
    pub(super) selected: [Option<Selected>; 2],
    pub(super) connections: Vec<Connection>,
    pub(super) pace: Duration,
    pub(super) last_start: Option<Instant>,
    pub(super) next_start: Option<Instant>,
    pub(super) next_pair: u32,
    pub(super) nomination: u32,
    pub(super) nominate_at: Option<Instant>,
    // When a change for the better that was put off is due.
    pub(super) review_at: Option<Instant>,
    pub(super) failure: Option<IceFailure>,
    // The time of the RFC for a first path is over.
    pub(super) past_patience: bool,
    pub(super) told: State,
    pub(super) counters: IceCounters,
    pub(super) out: VecDeque<Output<Transmit, Event>>,
}

impl Agent {
    /// An agent without addresses. Who sent the offer controls, unless only one side is full: the
    /// full one does (RFC 8445 §6.1.1).
    pub fn new(config: Config, controlling: bool, mut rng: Rng) -> Self {
        let tie_breaker = rng.u64();
        let session = Session::new(0, &mut rng);
        let pace = config.pace.max(Duration::from_millis(5));
        Self {
            config,
            controlling,
            tie_breaker,
            peer_lite: false,
            closed: false,
            plain: false,
            bases: Vec::new(),
            locals: Vec::new(),
            foundations: Vec::new(),
            names: Vec::new(),
            gathering: None,
            gathered: false,
            reflected: [false; 2],
            slowest: Duration::ZERO,
            starts: VecDeque::new(),
            probes: Vec::new(),
            keeps: Vec::new(),
            relays: Vec::new(),
            relay_failures: Vec::new(),
            relay_counters: turn::Counters::default(),
            session,
            old: None,
            selected: [None, None],
            connections: Vec::new(),
            pace,
            last_start: None,
            next_start: None,
            next_pair: 0,
            nomination: 0,
            nominate_at: None,
            review_at: None,
            failure: None,
            past_patience: false,
            told: State::New,
            counters: IceCounters::default(),
            rng,
            out: VecDeque::new(),
        }
    }

    /// Our `ice-ufrag` and `ice-pwd` of the present generation.
    pub fn credentials(&self) -> (&str, &Secret) {
        (&self.session.ufrag, &self.session.password)
    }

    /// Our `ice-options`.
    pub fn options(&self) -> IceOptions {
        let full = !self.config.lite;
        IceOptions { ice2: true, trickle: full, renomination: full, unknown: false }
    }

    /// Whether we only answer: `a=ice-lite`.
    pub fn is_lite(&self) -> bool {
        self.config.lite
    }

    /// Whether we nominate.
    pub fn is_controlling(&self) -> bool {
        self.controlling
    }

    /// The state last told.
    pub fn state(&self) -> State {
        self.told
    }

    pub(super) fn components(&self) -> u16 {
        self.config.components.clamp(1, 2)
    }

    /// Takes what the peer says of itself; checks begin. The same again changes nothing; other
    /// credentials mean that the peer restarts, and so do we: [`credentials`](Self::credentials) and
    /// candidates are new then.
    pub fn set_peer(&mut self, now: Instant, peer: Peer) {
        if let Some(known) = &self.session.remote {
            if known.ufrag == peer.ufrag && known.password.expose() == peer.password.expose() {
                return;
            }
            self.restart(now);
        }
        self.peer_lite = peer.lite;
        // §6.1.1: of a full and a lite one, the full one controls.
        if peer.lite != self.config.lite {
            self.set_role(peer.lite);
        }
        // §14.2: both take the slower of what they propose.
        let pace = peer.pace.map_or(Duration::ZERO, |p| p.min(Duration::from_secs(1)));
        self.pace = self.config.pace.max(pace).max(Duration::from_millis(5));
        let Peer { ufrag, password, options, .. } = peer;
        let key = Key::short_term(&password);
        self.session.remote = Some(Remote { ufrag, password, key, options });
        self.session.started = Some(now);
        // A generation before that did not match is no longer waited for.
        self.pair_up(now);
        self.wake(now);
        self.settle(now);
    }

    /// Another peer takes the place of the one that is known: another branch of a forked offer. Our own
    /// credentials and candidates stay as they were signalled; the path to the other is left at once.
    pub fn replace_peer(&mut self, now: Instant, peer: Peer) {
        if let Some(known) = &self.session.remote {
            if known.ufrag == peer.ufrag && known.password.expose() == peer.password.expose() {
                return;
            }
            self.session.replace();
            (self.old, self.selected) = (None, [None, None]);
            (self.failure, self.nominate_at, self.review_at) = (None, None, None);
        }
        self.set_peer(now, peer);
    }

    /// Takes a candidate of the peer, whenever it comes.
    ///
    /// # Errors
    /// [`RemoteError`]: the candidate is left out, the others stand.
    pub fn add_remote(&mut self, now: Instant, candidate: Candidate) -> Result<(), RemoteError> {
        let taken = self.take_remote(now, candidate);
        if taken.is_err() {
            self.counters.candidates_refused += 1;
        }
        self.settle(now);
        taken
    }

    fn take_remote(&mut self, now: Instant, candidate: Candidate) -> Result<(), RemoteError> {
        if !(1..=self.components()).contains(&candidate.component) {
            return Err(RemoteError::Component);
        }
        let other = |r: &Remote| candidate.ufrag.as_ref().is_some_and(|ufrag| *ufrag != r.ufrag);
        if self.session.remote.as_ref().is_some_and(other) {
            return Err(RemoteError::Generation);
        }
        match candidate.address.clone() {
            CandidateAddress::Ip(addr) => {
                self.insert_remote(now, candidate, addr, false).map(|_| ())
            }
            CandidateAddress::Name(name, _) => {
                let known = self.session.unresolved.len() + self.session.remotes.len();
                if known >= self.config.max_remote {
                    return Err(RemoteError::TooMany);
                }
                self.session.unresolved.push(candidate);
                self.out.push_back(Output::Event(Event::Resolve(name)));
                Ok(())
            }
        }
    }

    /// The answer to [`Event::Resolve`]; without an address the candidate is left out.
    pub fn resolved(&mut self, now: Instant, name: &str, ip: Option<IpAddr>) {
        let named = |c: &Candidate| matches!(&c.address, CandidateAddress::Name(n, _) if n == name);
        while let Some(at) = self.session.unresolved.iter().position(named) {
            let candidate = self.session.unresolved.swap_remove(at);
            let addr = ip.map(|ip| SocketAddr::new(ip, candidate.address.port()));
            let taken = addr.map(|addr| self.insert_remote(now, candidate, addr, false).is_ok());
            if taken != Some(true) {
                self.counters.candidates_refused += 1;
            }
        }
        self.settle(now);
    }

    pub(super) fn insert_remote(
        &mut self,
        now: Instant,
        candidate: Candidate,
        addr: SocketAddr,
        learnt: bool,
    ) -> Result<(), RemoteError> {
        let active = matches!(candidate.transport, CandidateTransport::Tcp(super::TcpType::Active));
        if addr.ip().is_unspecified() || addr.ip().is_multicast() || addr.port() == 0 && !active {
            return Err(RemoteError::Address);
        }
        let same = |r: &RemoteCandidate| {
            r.addr == addr
                && r.candidate.component == candidate.component
                && (r.candidate.transport == candidate.transport || learnt)
        };
        if let Some(at) = self.session.remotes.iter().position(same) {
            // §7.3.1.3: what was learnt from a check is now known by its name.
            if self.session.remotes[at].learnt && !learnt {
                self.session.remotes[at] =
                    RemoteCandidate { candidate: candidate.clone(), addr, learnt: false };
                let cost = candidate.network_cost.unwrap_or(0);
                for pair in self.session.pairs.iter_mut().filter(|p| p.remote == addr) {
                    pair.remote_kind = candidate.kind;
                    pair.remote_cost = cost;
                    pair.foundation.1.clone_from(&candidate.foundation);
                }
                // Now that it is known by name, the other addresses are paired with it too.
                self.pair_up(now);
                self.choose(now);
            }
            return Ok(());
        }
        if self.session.remotes.len() >= self.config.max_remote {
            return Err(RemoteError::TooMany);
        }
        self.session.remotes.push(RemoteCandidate { candidate, addr, learnt });
        if !learnt {
            self.pair_up(now);
        }
        Ok(())
    }

    /// The peer will send no more candidates (RFC 8838 §13).
    pub fn end_of_candidates(&mut self, now: Instant) {
        self.session.remote_done = true;
        self.settle(now);
    }

    /// Begins anew (RFC 8445 §9): with new credentials and the same addresses. Data goes on over the
    /// present path until there is one of the new generation.
    pub fn restart(&mut self, now: Instant) {
        let generation = self.session.generation.wrapping_add(1);
        let new = Session::new(generation, &mut self.rng);
        let old = std::mem::replace(&mut self.session, new);
        let in_use = |s: &Selected| s.generation == old.generation;
        // One that never had a path leaves an older one in its place.
        if self.selected.iter().flatten().any(in_use) {
            self.old = Some(old);
        }
        (self.failure, self.nominate_at) = (None, None);
        self.settle(now);
    }

    /// Sends a packet of a component over the path in use.
    ///
    /// # Errors
    /// [`SendError`]: it was not sent.
    pub fn send(&mut self, now: Instant, component: u16, data: &[u8]) -> Result<(), SendError> {
        let slot = usize::from(component.clamp(1, 2) - 1);
        let Some(selected) = self.selected[slot].as_mut() else {
            self.counters.unsent += 1;
            return Err(SendError::NoPath);
        };
        selected.sent(now);
        let (generation, id) = (selected.generation, selected.pair);
        let Some((base, remote)) = self.pair_in(generation, id).map(|p| (p.base, p.remote)) else {
            return Err(SendError::NoPath);
        };
        match self.bases[base].via {
            Via::Udp => {
                let local = self.bases[base].addr;
                self.datagram(local, remote, Bytes::copy_from_slice(data));
            }
            Via::Tcp(_) => self.send_tcp(base, remote, data),
            Via::Relay(at) => {
                let sent = self.relays[at].client.send(now, remote, data);
                self.drain_relay(now, at);
                sent?;
            }
        }
        Ok(())
    }

    /// The way that [`send`](Self::send) would take; `None` without a path, and while a relay has
    /// no channel yet.
    pub fn route(&self, now: Instant, component: u16) -> Option<Route> {
        let selected = self.selected.get(usize::from(component).checked_sub(1)?)?.as_ref()?;
        let sessions = std::iter::once(&self.session).chain(self.old.as_ref());
        let mut session = sessions.filter(|s| s.generation == selected.generation);
        let pair = session.next()?.pairs.iter().find(|p| p.id == selected.pair)?;
        let base = &self.bases[pair.base];
        match base.via {
            Via::Udp => {
                let flow =
                    Flow { transport: Transport::Udp, local: base.addr, remote: pair.remote };
                Some(Route { flow, channel: None, framed: false })
            }
            Via::Tcp(_) => {
                let mut all = self.connections.iter();
                let mine = all.find(|c| c.base == pair.base && c.flow.remote == pair.remote)?;
                Some(Route { flow: mine.flow, channel: None, framed: true })
            }
            Via::Relay(at) => {
                let client = &self.relays[at].client;
                let channel = client.channel(now, pair.remote)?;
                Some(Route { flow: client.flow(), channel: Some(channel), framed: false })
            }
        }
    }

    /// Component and peer's address of each nominated pair, for `a=remote-candidates` (RFC 8839
    /// §4.4.1.2.2).
    pub fn remote_candidates(&self) -> Vec<(u16, SocketAddr)> {
        let nominated = self.session.pairs.iter().filter(|p| p.nominated && self.is_selected(p));
        nominated.map(|p| (p.component, p.remote)).collect()
    }

    /// Ends everything: relays are given back, connections closed.
    pub fn close(&mut self, now: Instant) {
        if self.closed {
            return;
        }
        self.closed = true;
        self.selected = [None, None];
        self.probes.clear();
        self.starts.clear();
        self.keeps.clear();
        self.session.pairs.clear();
        self.old = None;
        for at in 0..self.relays.len() {
            self.relays[at].client.close(now);
            self.drain_relay(now, at);
        }
        for connection in std::mem::take(&mut self.connections) {
            self.out.push_back(Output::Transmit(Transmit::Close { flow: connection.flow }));
        }
        self.settle(now);
    }

    /// Something happened.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Timeout => {}
            Input::Net(event) => self.net(now, event),
        }
        self.tick(now);
    }

    fn net(&mut self, now: Instant, event: NetEvent) {
        let flow = event.flow();
        if let NetEvent::Datagram { data, .. } = &event {
            let Some(base) = self.socket(flow.local) else { return };
            let message = Message::parse(data).ok();
            let probe = message.is_some_and(|m| self.is_probe(flow.remote, &m));
            if probe || !self.relay_input(now, &event) {
                self.received(now, base, flow.remote, data.clone());
            }
            return;
        }
        if self.relay_input(now, &event) || self.closed {
            return;
        }
        match &event {
            NetEvent::SendFailed { error, .. } if flow.transport == Transport::Udp => {
                if let Some(base) = self.socket(flow.local) {
                    self.unreachable(now, base, flow.remote, *error);
                }
            }
            event => self.tcp_event(now, event),
        }
    }

    fn socket(&self, local: SocketAddr) -> Option<usize> {
        self.bases.iter().position(|b| b.is_socket(local))
    }

    /// A packet came to one of our addresses.
    pub(super) fn received(&mut self, now: Instant, base: usize, from: SocketAddr, data: Bytes) {
        if self.closed {
            return;
        }
        if demux(&data) != Packet::Stun {
            return self.data(now, base, from, data);
        }
        match Message::parse(&data) {
            Err(_) => self.counters.malformed += 1,
            Ok(message) if message.method() != method::BINDING => self.counters.malformed += 1,
            Ok(message) => match message.class() {
                Class::Request => self.answer(now, base, from, &message),
                Class::Indication => self.heard(now, base, from, false),
                Class::Success | Class::Error => {
                    if !self.probed(now, base, from, &message) {
                        self.answered(now, base, from, &message);
                    }
                }
            },
        }
    }

    fn data(&mut self, now: Instant, base: usize, from: SocketAddr, data: Bytes) {
        let component = self.bases[base].component;
        let sessions = std::iter::once(&mut self.session).chain(self.old.as_mut());
        let known = sessions.filter_map(|s| s.pair_of(base, from)).count() > 0;
        if !known {
            self.follow_plain(now, base, from);
        }
        if !known && self.session.pair_of(base, from).is_none() {
            self.counters.stray_data += 1;
            return;
        }
        self.heard(now, base, from, true);
        self.out.push_back(Output::Event(Event::Data { component, from, data }));
    }

    /// What it wants next.
    pub fn poll(&mut self, _now: Instant) -> Output<Transmit, Event> {
        self.out.pop_front().unwrap_or_else(|| Output::Timeout(self.deadline()))
    }

    fn deadline(&self) -> Option<Instant> {
        if self.closed {
            return self.relay_deadline();
        }
        let sessions = std::iter::once(&self.session).chain(self.old.as_ref());
        let pairs = sessions.flat_map(|s| &s.pairs);
        let checks = pairs.filter_map(|p| p.check.as_ref()).map(|c| c.transaction.deadline());
        let own = [
            self.gather_deadline(),
            self.next_start,
            self.nominate_at,
            self.review_at,
            self.watch_deadline(),
            self.failure_deadline(),
        ];
        checks.chain(own.into_iter().flatten()).min()
    }

    fn tick(&mut self, now: Instant) {
        self.tick_relays(now);
        if !self.closed {
            self.tick_probes(now);
            self.tick_checks(now);
            self.tick_watch(now);
            while self.next_start.is_some_and(|at| at <= now) {
                let started = self.start_gathering(now) || self.start_check(now);
                if started {
                    self.last_start = Some(now);
                }
                self.next_start = started.then(|| now + self.pace);
            }
        }
        self.settle(now);
    }

    /// Something is to be started: at once, or when the pace allows.
    pub(super) fn wake(&mut self, now: Instant) {
        if self.next_start.is_none() {
            self.next_start = Some(self.last_start.map_or(now, |last| (last + self.pace).max(now)));
        }
    }

    pub(super) fn new_id(&mut self) -> TransactionId {
        let mut id = [0; 12];
        self.rng.fill(&mut id);
        id
    }

    pub(super) fn set_role(&mut self, controlling: bool) {
        if self.controlling == controlling {
            return;
        }
        self.controlling = controlling;
        // §7.2.5.1: a new tiebreaker; §7.3.1.1: new priorities.
        self.tie_breaker = self.rng.u64();
        for pair in &mut self.session.pairs {
            pair.priority = prioritized(pair, controlling);
            pair.wants_nomination &= !controlling;
        }
        self.out.push_back(Output::Event(Event::Role { controlling }));
    }

    pub(super) fn pair_in(&mut self, generation: u32, id: u32) -> Option<&mut Pair> {
        let sessions = std::iter::once(&mut self.session).chain(self.old.as_mut());
        sessions.filter(|s| s.generation == generation).find_map(|s| s.pair(id))
    }

    pub(super) fn emit(&mut self, now: Instant, base: usize, remote: SocketAddr, data: Bytes) {
        match self.bases[base].via {
            Via::Udp => self.datagram(self.bases[base].addr, remote, data),
            Via::Tcp(_) => self.send_tcp(base, remote, &data),
            Via::Relay(at) => {
                // What a relay refuses is told by it; a check without an answer fails.
                let _ = self.relays[at].client.send(now, remote, &data);
                self.drain_relay(now, at);
            }
        }
    }

    pub(super) fn keep_alive(&mut self, now: Instant, base: usize, remote: SocketAddr) {
        let id = self.new_id();
        let data = Builder::new(Class::Indication, method::BINDING, id).fingerprint().finish();
        self.emit(now, base, remote, data);
    }

    /// All there is to know.
    pub fn report(&self) -> IceReport {
        let mut pairs: Vec<PairReport> =
            self.session.pairs.iter().map(|p| self.describe(p)).collect();
        pairs.sort_by_key(|p| std::cmp::Reverse(p.priority));
        let remote = self.session.remotes.iter().map(|r| r.candidate.clone()).collect();
        let mut relay_counters = self.relay_counters;
        self.relays.iter().for_each(|r| relay_counters.add(&r.client.counters()));
        IceReport {
            state: self.told,
            failure: self.failure,
            controlling: self.controlling,
            local: self.own_candidates(),
            remote,
            pairs,
            relay_failures: self.relay_failures.clone(),
            relay_counters,
            counters: self.counters,
        }
    }

    /// The pair that carries a component's data.
    pub fn selected(&self, component: u16) -> Option<PairReport> {
        let selected = self.selected.get(usize::from(component).checked_sub(1)?)?.as_ref()?;
        let sessions = std::iter::once(&self.session).chain(self.old.as_ref());
        let mut session = sessions.filter(|s| s.generation == selected.generation);
        session.next()?.pairs.iter().find(|p| p.id == selected.pair).map(|p| self.describe(p))
    }

    pub(super) fn is_selected(&self, pair: &Pair) -> bool {
        self.selected.iter().flatten().any(|s| s.pair == pair.id)
    }

    pub(super) fn describe(&self, pair: &Pair) -> PairReport {
        let base = &self.bases[pair.base];
        PairReport {
            component: pair.component,
            local: base.addr,
            local_kind: base.kind(),
            mapped: pair.mapped,
            remote: pair.remote,
            remote_kind: pair.remote_kind,
            network: base.network,
            priority: pair.priority,
            state: pair.state,
            nominated: pair.nominated,
            selected: self.is_selected(pair),
            rtt: pair.rtt,
            sent: pair.sent,
            answered: pair.answered,
            failure: pair.failure,
        }
    }
}

/// A pair's priority as our role makes it.
pub(super) fn prioritized(pair: &Pair, controlling: bool) -> u64 {
    let (ours, theirs) = (pair.local_priority, pair.remote_priority);
    if controlling {
        super::priority::pair_priority(ours, theirs)
    } else {
        super::priority::pair_priority(theirs, ours)
    }
}
