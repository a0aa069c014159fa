//! One allocation: asked for, kept, used, given back (RFC 8656 §6 to §12). It fails over from server to
//! server until one relays; afterwards a loss is told and nothing is tried by itself.

use super::config::{Config, Server};
use super::error::{Failure, SendError};
use super::framing::{Framer, channel_data, split_channel_data};
use super::peers::{Peers, Permission};
use super::pending::{Ask, Pending};
use super::{Counters, Family};
use crate::NetEvent;
use crate::stun::{
    Builder, Challenge, Class, Input, Integrity, LongTerm, Message, Step, Transaction,
    TransactionId, Transmit, attr, method,
};
use bytes::Bytes;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use tiny_sak::{Flow, Output, Rng, Transport};

/// What a client tells its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The relay stands.
    Allocated {
        /// Where the relay listens for us.
        relayed: SocketAddr,
        /// The same of the other family, where both were asked for and are there.
        other: Option<SocketAddr>,
        /// Our address as the server sees it.
        mapped: Option<SocketAddr>,
        /// The server, which may be an alternate of those configured.
        server: SocketAddr,
    },
    /// A peer's datagram.
    Data {
        /// The peer.
        peer: SocketAddr,
        /// Its content.
        data: Bytes,
    },
    /// The server will not relay to a peer (403, 443…).
    PeerRefused {
        /// The peer.
        peer: IpAddr,
        /// The server's code.
        code: u16,
    },
    /// No server gave an allocation; the reason of the last.
    Failed(Failure),
    /// The allocation that stood is gone.
    Lost(Failure),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Allocating,
    Allocated,
    Closing,
}

/// A TURN client. The contract is that of [`Output`].
#[derive(Debug)]
pub struct Client {
    config: Config,
    family: Family,
    local: SocketAddr,
    servers: Vec<Server>,
    current: usize,
    // The present server's address: an alternate's, perhaps.
    flow: Flow,
    visited: Vec<SocketAddr>,
    auth: LongTerm,
    state: State,
    framer: Option<Framer>,
    pending: Vec<Pending>,
    cleared: bool,
    // The second is of the other family.
    relayed: [Option<SocketAddr>; 2],
    refresh_at: Option<Instant>,
    ends_at: Option<Instant>,
    // When a NAT on the way to the server might forget us.
    quiet_at: Option<Instant>,
    peers: Peers,
    queued: VecDeque<(SocketAddr, Bytes)>,
    counters: Counters,
    rng: Rng,
    out: VecDeque<Output<Transmit, Event>>,
}

impl Client {
    /// A client on `local`: over UDP its requests come from that socket; over connections it is
    /// the name of our end. Nothing is sent before [`allocate`](Self::allocate).
    pub fn new(
        config: Config,
        family: Family,
        local: SocketAddr,
        mut servers: Vec<Server>,
        rng: Rng,
    ) -> Self {
        servers.retain(|s| {
            s.addr.is_ipv4() == local.is_ipv4()
                && matches!(s.transport, Transport::Udp | Transport::Tcp | Transport::Tls)
        });
        servers.truncate(config.max_servers);
        Self {
            config,
            family,
            local,
            servers,
            current: 0,
            flow: Flow { transport: Transport::Udp, local, remote: local },
            visited: Vec::new(),
            auth: LongTerm::new("", "".into()),
            state: State::Idle,
            framer: None,
            pending: Vec::new(),
            cleared: false,
            relayed: [None; 2],
            refresh_at: None,
            ends_at: None,
            quiet_at: None,
            peers: Peers::default(),
            queued: VecDeque::new(),
            counters: Counters::default(),
            rng,
            out: VecDeque::new(),
        }
    }

    /// Asks the first server for a relay. Does nothing while one is asked for or stands.
    pub fn allocate(&mut self, now: Instant) {
        if matches!(self.state, State::Idle | State::Closing) {
            self.begin(now, 0, Failure::NoServer);
        }
    }

    /// The relayed address, while there is one.
    pub fn relayed(&self) -> Option<SocketAddr> {
        self.relayed[0].filter(|_| self.state == State::Allocated)
    }

    /// The path to the present server.
    pub fn flow(&self) -> Flow {
        self.flow
    }

    /// What was refused or missed so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The channel that stands to a peer: a fast path may write ChannelData by itself.
    pub fn channel(&self, now: Instant, peer: SocketAddr) -> Option<u16> {
        self.peers.bound(now, peer)
    }

    /// The peer at the far end of a channel that stands.
    pub fn channel_peer(&self, now: Instant, number: u16) -> Option<SocketAddr> {
        let peer = self.peers.peer_of(now, number)?;
        (self.state == State::Allocated && self.peers.permits(now, peer.ip())).then_some(peer)
    }

    /// Sends a peer a datagram through the relay. Where there is no permission yet, it is asked for
    /// and the datagram waits.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn send(&mut self, now: Instant, peer: SocketAddr, data: &[u8]) -> Result<(), SendError> {
        // RFC 8656 §12: the length of ChannelData has 16 bits, and IP its headers.
        if data.len() > 65_000 {
            return Err(SendError::TooLong);
        }
        self.permit(now, peer.ip())?;
        if let Some(number) = self.peers.bound(now, peer) {
            let data = channel_data(number, data, self.flow.transport != Transport::Udp);
            self.transmit(now, data);
        } else if self.peers.permits(now, peer.ip()) {
            self.send_indication(now, peer, data);
        } else if self.queued.len() < self.config.max_queued {
            self.queued.push_back((peer, Bytes::copy_from_slice(data)));
        } else {
            self.counters.dropped += 1;
        }
        Ok(())
    }

    /// Asks for a permission, so that the peer's datagrams come through (§9).
    ///
    /// # Errors
    /// [`SendError`].
    pub fn permit(&mut self, now: Instant, peer: IpAddr) -> Result<(), SendError> {
        if self.state != State::Allocated {
            return Err(SendError::NoAllocation);
        }
        let mut relayed = self.relayed.iter().flatten();
        if !relayed.any(|relayed| relayed.is_ipv4() == peer.is_ipv4()) {
            return Err(SendError::Family);
        }
        match self.peers.permission(peer) {
            Some(permission) if permission.refused => return Err(SendError::Refused),
            Some(_) => return Ok(()),
            None => {}
        }
        if self.peers.permissions.len() >= self.config.max_permissions {
            return Err(SendError::TooManyPeers);
        }
        let new = Permission { ip: peer, until: None, renew: None, refused: false };
        self.peers.permissions.push(new);
        self.ask(now, Ask::Permission(peer));
        Ok(())
    }

    /// Binds a channel to a peer, which takes 4 octets for each datagram instead of 36 (§12). Where
    /// all channels are in use, nothing happens: Send indications do it too.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn bind(&mut self, now: Instant, peer: SocketAddr) -> Result<(), SendError> {
        self.permit(now, peer.ip())?;
        let full = self.peers.channels.len() >= self.config.max_channels;
        if full || self.peers.channels.iter().any(|c| c.peer == peer) {
            return Ok(());
        }
        if let Some(number) = self.peers.new_channel(peer) {
            self.ask(now, Ask::Channel(number));
        }
        Ok(())
    }

    /// Gives the allocation back: a refresh with a lifetime of 0 (§8), then the connection ends.
    pub fn close(&mut self, now: Instant) {
        match self.state {
            State::Allocated => {
                self.pending.clear();
                self.forget();
                self.state = State::Closing;
                self.ask(now, Ask::Release(false));
            }
            State::Allocating => self.end(now),
            State::Idle | State::Closing => {}
        }
    }

    /// Something happened. True when the event was about this client's server.
    pub fn handle(&mut self, now: Instant, input: &Input) -> bool {
        let Input::Net(event) = input else {
            self.tick(now);
            return true;
        };
        if self.state == State::Idle || event.flow() != self.flow {
            return false;
        }
        match event {
            NetEvent::Datagram { data, .. } => self.message(now, data),
            NetEvent::Stream { data, .. } => self.stream(now, data),
            NetEvent::Opened { .. } => {}
            NetEvent::Closed { .. } => self.give_up(now, Failure::Closed),
            // An ICMP error ends an attempt, not a relay that worked: it can be forged.
            NetEvent::SendFailed { error, .. } => {
                if self.state == State::Allocating || self.flow.transport != Transport::Udp {
                    self.give_up(now, Failure::Unreachable(*error));
                }
            }
        }
        self.tick(now);
        true
    }

    /// What it wants next.
    pub fn poll(&mut self, _now: Instant) -> Output<Transmit, Event> {
        self.out.pop_front().unwrap_or_else(|| Output::Timeout(self.deadline()))
    }

    fn deadline(&self) -> Option<Instant> {
        let pending =
            self.pending.iter().flat_map(|p| [p.transaction.deadline(), self.patience(p)]);
        let own = [self.refresh_at, self.ends_at, self.quiet_at, self.peers.deadline()]
            .into_iter()
            .flatten();
        pending.chain(own).min()
    }

    // When an allocation that is asked for is left to the next server.
    fn patience(&self, pending: &Pending) -> Instant {
        let others = self.current + 1 < self.servers.len();
        if pending.ask == Ask::Allocate && others {
            pending.started + self.config.next_server_after
        } else {
            pending.transaction.deadline()
        }
    }

    fn tick(&mut self, now: Instant) {
        if self.ends_at.is_some_and(|at| at <= now) {
            return self.give_up(now, Failure::Timeout);
        }
        let mut at = 0;
        while let Some(pending) = self.pending.get(at) {
            if pending.ask == Ask::Allocate
                && self.current + 1 < self.servers.len()
                && pending.started + self.config.next_server_after <= now
            {
                return self.give_up(now, Failure::Timeout);
            }
            match self.pending[at].transaction.due(now) {
                None => at += 1,
                Some(Step::Send) => {
                    let data = self.pending[at].message.clone();
                    self.transmit(now, data);
                }
                Some(Step::GiveUp) => {
                    let pending = self.pending.swap_remove(at);
                    let failure =
                        if pending.violated { Failure::Integrity } else { Failure::Timeout };
                    self.refused(now, pending.ask, failure, 0);
                }
            }
        }
        if self.state != State::Allocated {
            return;
        }
        if self.quiet_at.is_some_and(|at| at <= now) {
            let id = self.new_id();
            let alive = Builder::new(Class::Indication, method::BINDING, id).fingerprint();
            self.transmit(now, alive.finish());
        }
        if self.refresh_at.take_if(|at| *at <= now).is_some() {
            self.ask(now, Ask::Refresh);
        }
        let (permissions, channels) = self.peers.due(now);
        for ip in permissions {
            self.ask(now, Ask::Permission(ip));
        }
        for (number, _) in channels {
            self.ask(now, Ask::Channel(number));
        }
    }

    // Turns to a server; beyond the last it is over.
    fn begin(&mut self, now: Instant, server: usize, failure: Failure) {
        self.close_connection();
        self.pending.clear();
        self.forget();
        self.cleared = false;
        let Some(next) = self.servers.get(server) else {
            self.state = State::Idle;
            self.out.push_back(Output::Event(Event::Failed(failure)));
            return;
        };
        self.current = server;
        self.auth = LongTerm::new(&next.username, next.password.clone());
        let (transport, addr) = (next.transport, next.addr);
        self.visited = vec![addr];
        self.turn_to(now, transport, addr);
    }

    fn turn_to(&mut self, now: Instant, transport: Transport, remote: SocketAddr) {
        self.flow = Flow { transport, local: self.local, remote };
        let stream = transport != Transport::Udp;
        self.framer = stream.then(|| Framer::new(self.config.max_frame));
        self.state = State::Allocating;
        self.ask(now, Ask::Allocate);
    }

    fn forget(&mut self) {
        (self.relayed, self.refresh_at) = ([None; 2], None);
        (self.ends_at, self.quiet_at) = (None, None);
        self.peers = Peers::default();
        self.queued.clear();
    }

    fn close_connection(&mut self) {
        if self.framer.take().is_some() {
            self.out.push_back(Output::Transmit(Transmit::Close { flow: self.flow }));
        }
    }

    // The end after a release.
    fn end(&mut self, _now: Instant) {
        self.pending.clear();
        self.forget();
        self.close_connection();
        self.state = State::Idle;
    }

    // The present server is of no more use.
    fn give_up(&mut self, now: Instant, failure: Failure) {
        match self.state {
            State::Allocating => self.begin(now, self.current + 1, failure),
            State::Allocated => {
                self.end(now);
                self.out.push_back(Output::Event(Event::Lost(failure)));
            }
            State::Closing => self.end(now),
            State::Idle => {}
        }
    }

    fn ask(&mut self, now: Instant, ask: Ask) {
        self.ask_again(now, ask, 0, now);
        self.tick(now);
    }

    fn ask_again(&mut self, now: Instant, ask: Ask, challenges: u8, started: Instant) {
        let id = self.new_id();
        let lifetime = |d: Duration| u32::try_from(d.as_secs()).unwrap_or(u32::MAX);
        let request = |method| Builder::new(Class::Request, method, id);
        let message = match ask {
            Ask::Allocate => {
                // REQUESTED-TRANSPORT: UDP (17), the only one of RFC 8656.
                let request = request(method::ALLOCATE)
                    .u32(attr::REQUESTED_TRANSPORT, 17 << 24)
                    .u32(attr::LIFETIME, lifetime(self.config.lifetime));
                match self.family {
                    Family::V4 => request,
                    Family::V6 => request.u32(attr::REQUESTED_ADDRESS_FAMILY, 2 << 24),
                    Family::Both => request.u32(attr::ADDITIONAL_ADDRESS_FAMILY, 2 << 24),
                }
            }
            Ask::Refresh => {
                request(method::REFRESH).u32(attr::LIFETIME, lifetime(self.config.lifetime))
            }
            Ask::Release(_) => request(method::REFRESH).u32(attr::LIFETIME, 0),
            Ask::Permission(ip) => request(method::CREATE_PERMISSION)
                .xor_address(attr::XOR_PEER_ADDRESS, SocketAddr::new(ip, 0)),
            Ask::Channel(number) => {
                let Some(peer) = self.peers.channel(number).map(|c| c.peer) else { return };
                request(method::CHANNEL_BIND)
                    .u16(attr::CHANNEL_NUMBER, number)
                    .xor_address(attr::XOR_PEER_ADDRESS, peer)
            }
        };
        let message = self.auth.sign(message).fingerprint().finish();
        let reliable = self.flow.transport != Transport::Udp;
        let transaction = Transaction::new(now, self.config.timing, reliable);
        let signed = self.auth.is_challenged();
        let pending =
            Pending { ask, id, message, transaction, started, challenges, signed, violated: false };
        self.pending.push(pending);
    }

    fn new_id(&mut self) -> TransactionId {
        let mut id = [0; 12];
        self.rng.fill(&mut id);
        id
    }

    fn transmit(&mut self, now: Instant, data: Bytes) {
        let udp = self.flow.transport == Transport::Udp && self.state == State::Allocated;
        self.quiet_at = self.config.keep_alive.filter(|_| udp).map(|after| now + after);
        self.out.push_back(Output::Transmit(Transmit::Send { flow: self.flow, data }));
    }

    fn send_indication(&mut self, now: Instant, peer: SocketAddr, data: &[u8]) {
        let id = self.new_id();
        let indication = Builder::new(Class::Indication, method::SEND, id)
            .xor_address(attr::XOR_PEER_ADDRESS, peer)
            .attribute(attr::DATA, data)
            .finish();
        self.transmit(now, indication);
    }

    fn stream(&mut self, now: Instant, data: &[u8]) {
        let flow = self.flow;
        if let Some(framer) = &mut self.framer {
            framer.push(data);
        }
        // The server may change on the way: the rest of the stream is not the new one's.
        while self.flow == flow {
            match self.framer.as_mut().map(Framer::next_frame) {
                Some(Ok(Some(frame))) => self.message(now, &frame),
                Some(Err(_)) => {
                    self.counters.malformed += 1;
                    return self.give_up(now, Failure::Nonsense("a frame that is none"));
                }
                Some(Ok(None)) | None => return,
            }
        }
    }

    fn message(&mut self, now: Instant, data: &Bytes) {
        if let Some((number, data)) = split_channel_data(data) {
            let peer = self.peers.channel(number).filter(|c| c.until.is_some()).map(|c| c.peer);
            return self.data(now, peer, data);
        }
        let Ok(message) = Message::parse(data) else {
            self.counters.malformed += 1;
            return;
        };
        match (message.class(), message.method()) {
            (Class::Indication, method::DATA) => {
                let peer = message.xor_address(attr::XOR_PEER_ADDRESS);
                if message.has(attr::ICMP) {
                    self.counters.unreachable += 1;
                } else if let Some(content) = message.get(attr::DATA) {
                    self.data(now, peer, data.slice_ref(content));
                } else {
                    self.counters.malformed += 1;
                }
            }
            (Class::Success | Class::Error, _) => self.response(now, &message),
            _ => self.counters.unsolicited += 1,
        }
    }

    fn data(&mut self, now: Instant, peer: Option<SocketAddr>, data: Bytes) {
        match peer.filter(|p| self.state == State::Allocated && self.peers.permits(now, p.ip())) {
            Some(peer) => self.out.push_back(Output::Event(Event::Data { peer, data })),
            None => self.counters.unasked += 1,
        }
    }

    fn response(&mut self, now: Instant, message: &Message<'_>) {
        let Some(at) = self.pending.iter().position(|p| p.id == message.id()) else {
            self.counters.unsolicited += 1;
            return;
        };
        let code = match message.class() {
            Class::Success => 0,
            _ => message.error().map_or(400, |e| e.0),
        };
        // §9.2.5 of RFC 8489: what answers a signed request is signed, but for a challenge.
        if self.pending[at].signed
            && !matches!(code, 401 | 438)
            && self.auth.verify(message) != Integrity::Valid
        {
            self.counters.integrity += 1;
            self.pending[at].violated = true;
            if self.flow.transport != Transport::Udp {
                let ask = self.pending.swap_remove(at).ask;
                self.refused(now, ask, Failure::Integrity, 0);
            }
            return;
        }
        let pending = self.pending.swap_remove(at);
        match code {
            0 => self.granted(now, pending.ask, message),
            401 | 438 => self.challenged(now, &pending, code, message),
            300 if pending.ask == Ask::Allocate => self.redirected(now, message),
            // The server still knows an allocation of this address, of a run before: it is given
            // back once, then asked for anew (§7.4 would have another local port).
            437 if pending.ask == Ask::Allocate && !self.cleared => {
                self.cleared = true;
                self.ask(now, Ask::Release(true));
            }
            _ => {
                let reason = message.error().map_or("", |e| e.1).chars().take(64).collect();
                let failure = match code {
                    441 => Failure::Credentials,
                    486 => Failure::Quota,
                    508 => Failure::Capacity,
                    440 => Failure::Family,
                    442 => Failure::Transport,
                    437 => Failure::Mismatch,
                    code => Failure::Refused { code, reason },
                };
                self.refused(now, pending.ask, failure, code);
            }
        }
    }

    fn challenged(&mut self, now: Instant, pending: &Pending, code: u16, message: &Message<'_>) {
        let failure = match Challenge::read(message) {
            Err(error) => Failure::Challenge(error),
            Ok(challenge) => {
                let new = self.auth.challenged(challenge);
                if pending.challenges >= self.config.max_challenges {
                    Failure::Challenges
                } else if code == 401 && pending.signed && !new {
                    Failure::Credentials
                } else {
                    let (ask, challenges) = (pending.ask, pending.challenges + 1);
                    self.ask_again(now, ask, challenges, pending.started);
                    return self.tick(now);
                }
            }
        };
        self.refused(now, pending.ask, failure, code);
    }

    // 300 Try Alternate (RFC 8489 §10): the same transport and credentials, another address.
    fn redirected(&mut self, now: Instant, message: &Message<'_>) {
        let alternate = message.address(attr::ALTERNATE_SERVER).filter(|to| {
            to.is_ipv4() == self.local.is_ipv4()
                && !self.visited.contains(to)
                && plausible(*to)
                && (self.flow.remote.ip().is_loopback() || !to.ip().is_loopback())
        });
        // Another name would need another certificate than the owner was told to expect.
        let renamed = self.flow.transport == Transport::Tls && message.has(attr::ALTERNATE_DOMAIN);
        let allowed = self.visited.len() <= usize::from(self.config.max_redirects);
        match alternate.filter(|_| allowed && !renamed) {
            Some(to) => {
                self.close_connection();
                self.visited.push(to);
                self.pending.clear();
                self.turn_to(now, self.flow.transport, to);
            }
            None => self.give_up(now, Failure::Redirects),
        }
    }

    fn granted(&mut self, now: Instant, ask: Ask, message: &Message<'_>) {
        match ask {
            Ask::Allocate => self.allocated(now, message),
            Ask::Refresh => match message.u32(attr::LIFETIME) {
                Some(0) => self.give_up(now, Failure::Nonsense("a lifetime of nothing")),
                seconds => self.lives(now, seconds),
            },
            Ask::Release(false) => self.end(now),
            Ask::Release(true) => self.ask(now, Ask::Allocate),
            Ask::Permission(ip) => {
                self.peers.granted(now, ip, self.config.permission_refresh);
                let waiting = std::mem::take(&mut self.queued);
                for (peer, data) in waiting {
                    if peer.ip() == ip {
                        self.send_indication(now, peer, &data);
                    } else {
                        self.queued.push_back((peer, data));
                    }
                }
            }
            Ask::Channel(number) => {
                self.peers.channel_bound(now, number, self.config.channel_refresh);
            }
        }
    }

    fn allocated(&mut self, now: Instant, message: &Message<'_>) {
        let mut all = message.xor_addresses(attr::XOR_RELAYED_ADDRESS);
        // Nobody elsewhere reaches a loopback; sent there, peers would talk to their own machine.
        let on_host = self.flow.remote.ip().is_loopback();
        let fits = |r: &SocketAddr| {
            self.family.has(r.ip()) && plausible(*r) && (on_host || !r.ip().is_loopback())
        };
        let Some(relayed) = all.next().filter(fits) else {
            return self.give_up(now, Failure::Nonsense("a relayed address that is none"));
        };
        let other = all.filter(fits).find(|other| other.is_ipv4() != relayed.is_ipv4());
        if message.u32(attr::LIFETIME) == Some(0) {
            return self.give_up(now, Failure::Nonsense("a lifetime of nothing"));
        }
        self.state = State::Allocated;
        self.relayed = [Some(relayed), other];
        self.lives(now, message.u32(attr::LIFETIME));
        let udp = self.flow.transport == Transport::Udp;
        self.quiet_at = self.config.keep_alive.filter(|_| udp).map(|after| now + after);
        let (mapped, server) = (message.xor_address(attr::XOR_MAPPED_ADDRESS), self.flow.remote);
        self.out.push_back(Output::Event(Event::Allocated { relayed, other, mapped, server }));
    }

    fn lives(&mut self, now: Instant, seconds: Option<u32>) {
        let told = seconds.map_or(self.config.lifetime, |s| Duration::from_secs(s.into()));
        let lifetime = told.min(self.config.max_lifetime);
        let margin = self.config.refresh_margin.min(lifetime / 2);
        self.refresh_at = Some(now + lifetime - margin);
        self.ends_at = Some(now + lifetime);
    }

    fn refused(&mut self, now: Instant, ask: Ask, failure: Failure, code: u16) {
        match ask {
            Ask::Allocate | Ask::Refresh => self.give_up(now, failure),
            Ask::Release(false) => self.end(now),
            Ask::Release(true) => self.give_up(now, Failure::Mismatch),
            Ask::Permission(ip) => {
                if code == 437 {
                    return self.give_up(now, failure);
                }
                if let Some(permission) = self.peers.permission(ip) {
                    permission.refused = true;
                }
                self.queued.retain(|(peer, _)| peer.ip() != ip);
                self.out.push_back(Output::Event(Event::PeerRefused { peer: ip, code }));
            }
            // Send indications do without; the number is not used again.
            Ask::Channel(number) => {
                if let Some(channel) = self.peers.channel(number) {
                    (channel.until, channel.renew) = (None, None);
                }
            }
        }
    }
}

// Whether an address can be a server's or a relay's at all.
fn plausible(addr: SocketAddr) -> bool {
    let ip = addr.ip();
    addr.port() != 0 && !ip.is_unspecified() && !ip.is_multicast()
}
