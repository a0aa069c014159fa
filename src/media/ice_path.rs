//! Runs the ICE agent of a stream beside its sockets (RFC 8445): gathers, tells packets apart (RFC 7983),
//! sends where the agent says, and asks for what the agent cannot know. What arrives from somebody who
//! did not prove to be the peer goes no further, and nothing is sent where there is no consent.

use super::hidden::{Answered, Responders};
use super::ice::{IceCommand, IceNotice, IcePeer, IceServer, IceServerKind, IceSetup, LocalIce};
use super::path::{Told, Tracer};
use bytes::Bytes;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tiny_media::Component;
use tiny_net::ice::{
    Agent, Arrival, Candidate, CandidateKind, CandidateTransport, Event, HostAddress, IceFailure,
    Network, Peer, Policy, Route, TcpCandidates, TcpType,
};
use tiny_net::mdns::{self, HiddenName};
use tiny_net::rtp::{RtpPair, RtpSocket};
use tiny_net::stun::{Input, Transmit};
use tiny_net::turn;
use tiny_net::{Links, NetEvent};
use tiny_sak::{Flow, Output, Rng, Transport};
use tokio::sync::mpsc;

/// How long a way is believed before the agent is asked again: relays' channels end without an event.
const WAY: Duration = Duration::from_secs(1);

/// The sockets of a stream: the pair that its ports are named by, and those of other networks.
pub(super) struct Sockets {
    pub(super) main: [RtpSocket; 2],
    more: Vec<(RtpSocket, Component)>,
}

impl Sockets {
    pub(super) fn new(main: [RtpSocket; 2]) -> Self {
        Self { main, more: Vec::new() }
    }

    pub(super) fn count(&self) -> usize {
        2 + self.more.len()
    }

    #[inline]
    pub(super) fn at(&self, at: usize) -> (&RtpSocket, Component) {
        match at {
            0 => (&self.main[0], Component::Rtp),
            1 => (&self.main[1], Component::Rtcp),
            _ => (&self.more[at - 2].0, self.more[at - 2].1),
        }
    }

    fn place_of(&self, local: SocketAddr) -> Option<usize> {
        (0..self.count()).find(|at| self.at(*at).0.local_addr() == local)
    }
}

/// What an agent begins with.
pub(super) struct IceStart {
    pub(super) setup: IceSetup,
    pub(super) main: (RtpPair, Network),
    pub(super) more: Vec<(RtpPair, Network)>,
    pub(super) net: Arc<tiny_net::Config>,
    pub(super) responders: Responders,
    pub(super) rng: Rng,
}

/// Another network: its addresses.
pub(super) struct Change {
    /// In place of the pair that the stream's ports are named by.
    pub(super) main: Option<(RtpPair, Network)>,
    pub(super) gone: Vec<IpAddr>,
    pub(super) new: Vec<(RtpPair, Network)>,
}

/// An answer of another task.
pub(super) enum Word {
    /// The addresses of a server of the settings, by its place; none where it has none.
    Server(usize, Vec<SocketAddr>),
    /// The address behind a name in a candidate.
    Name(String, Option<IpAddr>),
    /// A connection of the agent's.
    Net(NetEvent),
}

/// Servers are being asked for by name.
struct LookUps {
    until: Instant,
    waiting: usize,
    found: Vec<Vec<SocketAddr>>,
}

#[derive(Clone, Copy)]
struct Way {
    route: Route,
    place: usize,
    until: Instant,
}

pub(super) struct IcePath {
    agent: Agent,
    components: u16,
    relay_only: bool,
    // Our addresses are told by names, or not at all.
    hides: bool,
    responders: Responders,
    // What is answered for; nothing where that is not possible.
    names: Vec<(HiddenName, Option<Answered>)>,
    patience: Duration,
    servers: Vec<IceServer>,
    look_ups: Option<LookUps>,
    // Until when what is gathered is told at the latest.
    owed: Option<Instant>,
    // It was told before all was there.
    late: bool,
    ways: [Option<Way>; 2],
    kept: Vec<(Component, Vec<u8>)>,
    most_kept: usize,
    farewell: Duration,
    tcp: TcpCandidates,
    // Once there is a connection, or one may come.
    links: Option<Box<Links>>,
    listening: Vec<SocketAddr>,
    net: Arc<tiny_net::Config>,
    rng: Rng,
    scratch: Vec<u8>,
    /// What signalling said of the peer's addresses.
    pub(super) signalled: [Option<SocketAddr>; 2],
    // The peer has no ICE.
    off: bool,
    // Nor has it, and what it was told of is a relay.
    relays: bool,
    // What peers without ICE were told to send to.
    defaults: [Option<SocketAddr>; 2],
    told: VecDeque<Told>,
    deadline: Option<Instant>,
    words: mpsc::Receiver<Word>,
    speaker: mpsc::Sender<Word>,
}

/// The connections, of which there are none before the first one is needed.
fn links_of<'a>(links: &'a mut Option<Box<Links>>, net: &Arc<tiny_net::Config>) -> &'a mut Links {
    links.get_or_insert_with(|| Box::new(Links::new(Arc::clone(net))))
}

fn number(component: Component) -> u16 {
    1 + u16::from(component == Component::Rtcp)
}

impl IcePath {
    /// Attaches the sockets, and begins to gather.
    pub(super) fn new(now: Instant, start: IceStart) -> io::Result<(Sockets, Self)> {
        let IceStart { setup, main: (main, network), more, net, responders, mut rng } = start;
        let IceSetup { config, servers, controlling, .. } = setup;
        let (rtp, rtcp) = main.attach()?;
        let mut sockets = Sockets::new([rtp, rtcp]);
        // A place for each answer that there may be; who finds none waits.
        let names = servers.len().saturating_add(config.max_remote);
        let (speaker, words) = mpsc::channel(names.clamp(1, 1 << 16));
        let patience = config.gather_patience;
        let mut ice = Self {
            components: config.components.clamp(1, 2),
            relay_only: config.policy == Policy::RelayOnly,
            hides: config.hide_addresses,
            responders,
            names: Vec::new(),
            patience,
            most_kept: config.max_waiting_packets,
            farewell: config.farewell,
            tcp: config.tcp,
            agent: Agent::new(config, controlling, rng.fork()),
            links: None,
            listening: Vec::new(),
            net,
            rng,
            servers,
            look_ups: None,
            owed: Some(now + patience),
            late: false,
            ways: [None; 2],
            kept: Vec::new(),
            scratch: Vec::new(),
            signalled: [None; 2],
            off: false,
            relays: false,
            defaults: [None; 2],
            told: VecDeque::new(),
            deadline: None,
            words,
            speaker,
        };
        // The agent likes those better that come first: IPv6 (RFC 8421), then the one that signalling uses.
        let v4 = sockets.main[0].local_addr().is_ipv4();
        let (before, after): (Vec<_>, Vec<_>) =
            more.into_iter().partition(|(pair, _)| v4 && pair.local_addr().is_ipv6());
        for pair in before {
            ice.attach(now, &mut sockets, pair)?;
        }
        for at in 0..usize::from(ice.components) {
            ice.add(now, sockets.at(at).0.local_addr(), at as u16 + 1, network);
        }
        for pair in after {
            ice.attach(now, &mut sockets, pair)?;
        }
        ice.look_up(now);
        Ok((sockets, ice))
    }

    fn add(&mut self, now: Instant, addr: SocketAddr, component: u16, network: Network) {
        let mut host = |addr, transport| {
            let host = HostAddress { component, addr, transport, network, name: None };
            self.agent.add_local(now, host);
        };
        host(addr, CandidateTransport::Udp);
        if self.tcp != TcpCandidates::None {
            let any = SocketAddr::new(addr.ip(), 9);
            host(any, CandidateTransport::Tcp(TcpType::Active));
        }
        if self.tcp == TcpCandidates::ActiveAndPassive {
            match links_of(&mut self.links, &self.net).listen(SocketAddr::new(addr.ip(), 0)) {
                Ok(listens) => {
                    self.listening.push(listens);
                    host(listens, CandidateTransport::Tcp(TcpType::Passive));
                }
                Err(e) => tracing::warn!("no TCP candidate: {e}"),
            }
        }
        self.answer_for_names();
    }

    // The names that stand for our addresses now are answered for, others no more.
    fn answer_for_names(&mut self) {
        let Self { agent, names, responders, net, .. } = self;
        let told = agent.hidden_names();
        names.retain(|(name, _)| told.iter().any(|(known, _)| known == name));
        for (name, ip) in told {
            if !names.iter().any(|(known, _)| known == name) {
                let answered = responders.answer_for(name, *ip, &net.mdns);
                let answered = answered.inspect_err(|e| {
                    tracing::warn!("no peer finds {ip} by its name, which nobody answers for: {e}");
                });
                names.push((name.clone(), answered.ok()));
            }
        }
    }

    // A pair on another network; with one component its second socket is not needed.
    fn attach(
        &mut self,
        now: Instant,
        sockets: &mut Sockets,
        (pair, network): (RtpPair, Network),
    ) -> io::Result<()> {
        let (rtp, rtcp) = pair.attach()?;
        let both = [(rtp, Component::Rtp), (rtcp, Component::Rtcp)];
        for (socket, component) in both.into_iter().take(usize::from(self.components)) {
            self.add(now, socket.local_addr(), number(component), network);
            sockets.more.push((socket, component));
        }
        Ok(())
    }

    // Addresses are known at once; names are asked for, and what is not answered in half of the
    // patience is left out.
    fn look_up(&mut self, now: Instant) {
        let mut look_ups =
            LookUps { until: now + self.patience / 2, waiting: 0, found: Vec::new() };
        for (at, server) in self.servers.iter().enumerate() {
            let host = server.host.trim_start_matches('[').trim_end_matches(']');
            if let Ok(ip) = host.parse::<IpAddr>() {
                look_ups.found.push(vec![SocketAddr::new(ip, server.port)]);
                continue;
            }
            look_ups.found.push(Vec::new());
            look_ups.waiting += 1;
            let (host, port) = (host.to_owned(), server.port);
            let (net, speaker) = (Arc::clone(&self.net), self.speaker.clone());
            tokio::spawn(async move {
                let found = tiny_net::resolve::resolve(&host, port, &net).await;
                let found = found.inspect_err(|e| tracing::warn!("ICE server: {e}"));
                let _ = speaker.send(Word::Server(at, found.unwrap_or_default())).await;
            });
        }
        self.look_ups = Some(look_ups);
        self.gather(now);
    }

    // Begins to ask the servers, once their addresses are known.
    fn gather(&mut self, now: Instant) {
        let due = |l: &mut LookUps| l.waiting == 0 || l.until <= now;
        let Some(found) = self.look_ups.take_if(due).map(|l| l.found) else { return };
        let (mut stun, mut turn) = (Vec::new(), Vec::new());
        for (server, found) in self.servers.iter().zip(found) {
            // One address of each family, the one that the system likes best.
            let first = |v4| found.iter().copied().find(|addr| addr.is_ipv4() == v4);
            for addr in [true, false].into_iter().filter_map(first) {
                match &server.kind {
                    IceServerKind::Stun => stun.push(addr),
                    IceServerKind::Turn { transport, username, password } => {
                        let (username, password) = (username.clone(), password.clone());
                        let transport = *transport;
                        if transport == Transport::Tls {
                            let links = links_of(&mut self.links, &self.net);
                            links.expect_name(addr, &server.host);
                        }
                        turn.push(turn::Server { transport, addr, username, password });
                    }
                }
            }
        }
        self.agent.set_servers(stun, turn);
        self.agent.gather(now);
    }

    pub(super) fn is_off(&self) -> bool {
        self.off
    }

    pub(super) fn poll_word(&mut self, cx: &mut Context<'_>) -> Poll<Word> {
        if let Poll::Ready(Some(word)) = self.words.poll_recv(cx) {
            return Poll::Ready(word);
        }
        match &mut self.links {
            Some(links) => links.poll_recv(cx).map(Word::Net),
            None => Poll::Pending,
        }
    }

    pub(super) fn hear(&mut self, now: Instant, word: Word) {
        match word {
            Word::Server(at, addresses) => {
                let Some(look_ups) = &mut self.look_ups else { return };
                look_ups.waiting = look_ups.waiting.saturating_sub(1);
                if let Some(found) = look_ups.found.get_mut(at) {
                    *found = addresses;
                }
                self.gather(now);
            }
            Word::Name(name, ip) => self.agent.resolved(now, &name, ip),
            Word::Net(event) => self.agent.handle(now, Input::Net(event)),
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.gather(now);
        if self.deadline.is_some_and(|at| at <= now) {
            self.agent.handle(now, Input::Timeout);
        }
    }

    /// A datagram: the component and the place of what is the peer's packet.
    #[inline]
    pub(super) fn received(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        data: &[u8],
    ) -> Option<(u16, Range<usize>)> {
        match self.agent.arrived(now, local, remote, data) {
            Arrival::Packet { component, content, .. } => Some((component, content)),
            Arrival::Agent => {
                let flow = Flow { transport: Transport::Udp, local, remote };
                let data = Bytes::copy_from_slice(data);
                self.agent.handle(now, Input::Net(NetEvent::Datagram { flow, data }));
                None
            }
            _ => None,
        }
    }

    // The way of a component, as the agent said lately.
    #[inline]
    fn way(&mut self, now: Instant, sockets: &Sockets, component: u16) -> Option<Way> {
        let slot = usize::from(component - 1);
        if let Some(way) = self.ways[slot].filter(|way| now < way.until) {
            return Some(way);
        }
        let route = self.agent.route(now, component)?;
        let place = sockets.place_of(route.flow.local)?;
        let direct = route.flow.transport == Transport::Udp && !route.framed;
        let way = direct.then_some(Way { route, place, until: now + WAY });
        self.ways[slot] = way;
        way
    }

    /// False where there is no path.
    #[inline]
    pub(super) fn send(
        &mut self,
        now: Instant,
        sockets: &Sockets,
        tracer: &Tracer,
        component: Component,
        data: &[u8],
    ) -> bool {
        let Some(way) = self.way(now, sockets, number(component)) else {
            let sent = self.agent.send(now, number(component), data).is_ok();
            self.carry_out(now, sockets, tracer);
            return sent;
        };
        let (socket, flow) = (sockets.at(way.place).0, way.route.flow);
        let packet = match way.route.channel {
            None => data,
            Some(channel) => {
                turn::write_channel_data(&mut self.scratch, channel, data, false);
                self.scratch.as_slice()
            }
        };
        tracer.packet(true, component, flow.local, flow.remote, packet);
        match socket.try_send_to(packet, flow.remote) {
            // A full buffer loses the packet: media does not wait.
            Err(e) if e.kind() != ErrorKind::WouldBlock => self.send_failed(now, flow, e.kind()),
            _ => self.agent.sent(now, number(component)),
        }
        true
    }

    fn send_failed(&mut self, now: Instant, flow: Flow, error: ErrorKind) {
        self.agent.handle(now, Input::Net(NetEvent::SendFailed { flow, error }));
    }

    pub(super) fn send_or_keep(
        &mut self,
        now: Instant,
        sockets: &Sockets,
        tracer: &Tracer,
        component: Component,
        data: Vec<u8>,
    ) {
        if !self.send(now, sockets, tracer, component, &data) && self.kept.len() < self.most_kept {
            self.kept.push((component, data));
        }
    }

    /// Whether a component, 0 or 1, has a path.
    pub(super) fn has_way(&self, slot: usize) -> bool {
        self.agent.selected(slot as u16 + 1).is_some()
    }

    /// Does what signalling says. True where the peer has no ICE.
    pub(super) fn obey(&mut self, now: Instant, command: IceCommand) -> bool {
        match command {
            IceCommand::Peer(peer) => self.set_peer(now, *peer),
            // Sending from our own address would show it, or is not what the peer was told.
            IceCommand::NoPeer if self.relay_only || self.tells_relay() => {
                self.relays = true;
                match self.defaults[0].is_none_or(|at| at.ip().is_unspecified()) {
                    true => self.fail(now, IceFailure::NoLocalCandidates),
                    false => self.go_through_relay(now),
                }
            }
            IceCommand::NoPeer => {
                if self.hides && self.defaults[0].is_none_or(|at| at.ip().is_unspecified()) {
                    tracing::warn!("a peer without ICE was told no address: ours are hidden");
                }
                self.close(now);
                return !std::mem::replace(&mut self.off, true);
            }
            IceCommand::Add(candidates) => {
                for candidate in candidates {
                    self.add_remote(now, candidate);
                }
            }
            IceCommand::End => self.agent.end_of_candidates(now),
            IceCommand::Restart => {
                self.agent.restart(now);
                self.owed = Some(now + self.patience);
            }
            IceCommand::Report(reply) => drop(reply.send(Ok(self.agent.report()))),
            // Sockets are bound by who owns the ports.
            IceCommand::Network(_) => {}
        }
        false
    }

    /// Whether peers without ICE were told of a relay.
    fn tells_relay(&self) -> bool {
        let Some(told) = self.defaults[0] else { return false };
        let relays = |c: &Candidate| c.kind == CandidateKind::Relayed;
        let candidates = self.agent.local_candidates();
        candidates.iter().any(|c| relays(c) && c.address.ip() == Some(told))
    }

    /// What signalling says of the peer's addresses.
    pub(super) fn set_signalled(&mut self, now: Instant, addresses: [Option<SocketAddr>; 2]) {
        self.signalled = addresses;
        if self.relays {
            self.go_through_relay(now);
        }
    }

    // To a peer without ICE, from where it was told that we are.
    fn go_through_relay(&mut self, now: Instant) {
        self.ways = [None; 2];
        for (slot, from) in self.defaults.into_iter().enumerate() {
            let peer = self.signalled[slot];
            let peer = peer.filter(|peer| !peer.ip().is_unspecified() && peer.port() != 0);
            let Some((from, peer)) = from.zip(peer) else { continue };
            if let Err(failure) = self.agent.go_without_ice(now, slot as u16 + 1, from, peer) {
                return self.fail(now, failure);
            }
        }
    }

    fn fail(&mut self, now: Instant, failure: IceFailure) {
        let report = Box::new(self.agent.report());
        self.close(now);
        self.told.push_back(Told::Notice(IceNotice::Failed(failure, report)));
    }

    /// How long relays are waited for that are given back.
    pub(super) fn farewell(&self) -> Duration {
        self.farewell
    }

    fn set_peer(&mut self, now: Instant, peer: IcePeer) {
        let IcePeer { ufrag, password, lite, options, pace, candidates, done, chosen } = peer;
        self.agent.replace_peer(now, Peer { ufrag, password, lite, options, pace });
        self.ways = [None; 2];
        for candidate in candidates {
            self.add_remote(now, candidate);
        }
        if done {
            self.agent.end_of_candidates(now);
        }
        for (component, ours, theirs) in chosen {
            self.agent.chosen(now, component, ours, theirs);
        }
    }

    fn add_remote(&mut self, now: Instant, candidate: Candidate) {
        let line = candidate.to_string();
        if let Err(e) = self.agent.add_remote(now, candidate) {
            tracing::debug!("{e}: {line}");
        }
    }

    /// Some of our addresses are gone, and there are new ones; the new ones first, so that there is
    /// always one.
    pub(super) fn change(&mut self, now: Instant, sockets: &mut Sockets, change: Change) {
        let Change { main, gone, new } = change;
        for pair in new {
            if let Err(e) = self.attach(now, sockets, pair) {
                tracing::error!("an address is not used: {e}");
            }
        }
        if let Some((pair, network)) = main {
            match pair.attach() {
                Ok((rtp, rtcp)) => {
                    let old = std::mem::replace(&mut sockets.main, [rtp, rtcp]);
                    let components = [Component::Rtp, Component::Rtcp];
                    sockets.more.extend(old.into_iter().zip(components));
                    for at in 0..usize::from(self.components) {
                        self.add(now, sockets.at(at).0.local_addr(), at as u16 + 1, network);
                    }
                }
                Err(e) => tracing::error!("media stays where it was: {e}"),
            }
        }
        let is_gone = |socket: &RtpSocket| gone.contains(&socket.local_addr().ip());
        for at in (0..sockets.count()).filter(|at| is_gone(sockets.at(*at).0)) {
            self.agent.remove_local(now, sockets.at(at).0.local_addr());
        }
        sockets.more.retain(|(socket, _)| !is_gone(socket));
        for ip in gone {
            self.agent.remove_local(now, SocketAddr::new(ip, 9));
            for listens in self.listening.extract_if(.., |l| l.ip() == ip) {
                self.agent.remove_local(now, listens);
            }
            if let Some(links) = &mut self.links {
                links.drop_address(ip);
            }
        }
        self.answer_for_names();
        self.ways = [None; 2];
    }

    pub(super) fn close(&mut self, now: Instant) {
        self.agent.close(now);
        self.names.clear();
        (self.owed, self.look_ups) = (None, None);
        self.kept.clear();
        self.ways = [None; 2];
    }

    pub(super) fn poll(
        &mut self,
        now: Instant,
        sockets: &Sockets,
        tracer: &Tracer,
    ) -> Output<Infallible, Told> {
        self.carry_out(now, sockets, tracer);
        if let Some(told) = self.told.pop_front() {
            return Output::Event(told);
        }
        let names = self.look_ups.as_ref().map(|l| l.until);
        Output::Timeout([self.deadline, self.owed, names].into_iter().flatten().min())
    }

    // Sends what the agent has, and keeps what it tells.
    fn carry_out(&mut self, now: Instant, sockets: &Sockets, tracer: &Tracer) {
        loop {
            match self.agent.poll(now) {
                Output::Transmit(transmit) => self.transmit(now, sockets, tracer, transmit),
                Output::Event(event) => self.happened(now, sockets, tracer, event),
                Output::Timeout(deadline) => {
                    self.deadline = deadline;
                    break;
                }
            }
        }
        let waits = self.look_ups.is_some() || self.agent.awaits_servers();
        let open = self.look_ups.is_some() || self.agent.is_gathering();
        if self.owed.take_if(|until| !waits || *until <= now).is_some() {
            let local = Box::new(self.local(sockets, !open));
            self.defaults = [Some(local.default_rtp), local.default_rtcp];
            self.told.push_back(Told::Notice(IceNotice::Gathered(local)));
            self.late = open;
        } else if self.late && !open {
            self.late = false;
            self.told.push_back(Told::Notice(IceNotice::Done));
        }
    }

    fn transmit(&mut self, now: Instant, sockets: &Sockets, tracer: &Tracer, transmit: Transmit) {
        let (flow, data) = match transmit {
            Transmit::Send { flow, data } => (flow, data),
            Transmit::Close { flow } => return links_of(&mut self.links, &self.net).close(flow),
            _ => return,
        };
        if flow.transport != Transport::Udp {
            return links_of(&mut self.links, &self.net).send(flow, data);
        }
        let Some(place) = sockets.place_of(flow.local) else {
            return self.send_failed(now, flow, ErrorKind::AddrNotAvailable);
        };
        let (socket, component) = sockets.at(place);
        tracer.packet(true, component, flow.local, flow.remote, &data);
        match socket.try_send_to(&data, flow.remote) {
            Err(e) if e.kind() != ErrorKind::WouldBlock => self.send_failed(now, flow, e.kind()),
            _ => {}
        }
    }

    // Only hidden names are looked up, and only on our links: it is not the business of a peer to
    // have us ask for others.
    fn resolve(&mut self, now: Instant, sockets: &Sockets, name: String) {
        let Ok(hidden) = HiddenName::parse(&name) else {
            return self.agent.resolved(now, &name, None);
        };
        let mut ours: Vec<IpAddr> =
            (0..sockets.count()).map(|at| sockets.at(at).0.local_addr().ip()).collect();
        ours.dedup();
        let (speaker, mut rng) = (self.speaker.clone(), self.rng.fork());
        let net = Arc::clone(&self.net);
        tokio::spawn(async move {
            let ip = mdns::lookup(&hidden, &ours, &net.mdns, &mut rng).await;
            let _ = speaker.send(Word::Name(name, ip)).await;
        });
    }

    fn happened(&mut self, now: Instant, sockets: &Sockets, tracer: &Tracer, event: Event) {
        match event {
            Event::Candidate(candidate) if self.owed.is_none() => {
                self.told.push_back(Told::Notice(IceNotice::Candidate(Box::new(candidate))));
            }
            Event::State(_) => self.ways = [None; 2],
            Event::Selected { pair, reason, .. } => {
                self.ways = [None; 2];
                for (component, data) in std::mem::take(&mut self.kept) {
                    self.send_or_keep(now, sockets, tracer, component, data);
                }
                self.told.push_back(Told::Way);
                self.told.push_back(Told::Notice(IceNotice::Selected { pair, reason }));
            }
            Event::Data { component, data, .. } => {
                let component = if component == 2 { Component::Rtcp } else { Component::Rtp };
                self.told.push_back(Told::Packet(component, data));
            }
            Event::Failed(failure) => {
                self.ways = [None; 2];
                self.kept.clear();
                let report = Box::new(self.agent.report());
                self.told.push_back(Told::Notice(IceNotice::Failed(failure, report)));
            }
            Event::Resolve(name) => self.resolve(now, sockets, name),
            Event::Role { controlling } => tracing::debug!(controlling, "the ICE role changed"),
            _ => {}
        }
    }

    fn local(&self, sockets: &Sockets, done: bool) -> LocalIce {
        let (ufrag, password) = self.agent.credentials();
        let candidates = self.agent.local_candidates();
        // What a NAT shows of us is reached by who we send to (RFC 4961), with most NATs; a relay has
        // to be told of the peer first, so it is the default only where nothing else may be shown.
        let shown = self.agent.own_candidates();
        let best = |component: u16, relays: bool| {
            let main = sockets.main[usize::from(component - 1)].local_addr();
            let mine = shown.iter().filter(|c| {
                c.component == component
                    && c.transport == CandidateTransport::Udp
                    && (relays || c.kind != CandidateKind::Relayed)
                    && !(self.hides && c.kind == CandidateKind::Host)
            });
            let known = mine.filter_map(|c| {
                let addr = c.address.ip()?;
                Some(((c.kind, addr == main || c.related == Some(main), c.priority), addr))
            });
            known.max_by_key(|(liked, _)| *liked).map(|(_, addr)| addr)
        };
        let default = |component| {
            let relay = || self.hides.then(|| best(component, true)).flatten();
            best(component, self.relay_only).or_else(relay)
        };
        // Where there is none to be told, as RFC 8840 §4.1.2 has it; of the family that the peer may ask for.
        let hidden = self.relay_only || self.hides;
        let nowhere = |addr: SocketAddr| match addr {
            _ if !hidden => addr,
            SocketAddr::V4(_) => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 9),
            SocketAddr::V6(_) => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 9),
        };
        let main = |at: usize| nowhere(sockets.main[at].local_addr());
        let default_rtcp = (self.components == 2).then(|| default(2).unwrap_or_else(|| main(1)));
        LocalIce {
            ufrag: ufrag.to_owned(),
            password: password.clone(),
            options: self.agent.options(),
            lite: self.agent.is_lite(),
            done,
            default_rtp: default(1).unwrap_or_else(|| main(0)),
            default_rtcp,
            hidden,
            remote_candidates: self.agent.remote_candidates(),
            candidates,
        }
    }
}
