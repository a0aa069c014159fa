//! Hosts, realms and routing: how a packet finds its way, and what ends it.
//!
//! Realm 0 is the public network; each NAT opens a realm behind it, so that boxes nest and private
//! addresses may repeat.

use super::link::{Link, LinkState, Loss};
use super::nat::{Nat, NatState, Protocol};
use super::stream::{Segment, StreamKey, Streams};
use super::trace::{Fate, TraceEntry};
use crate::NetEvent;
use bytes::Bytes;
use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use tiny_sak::{Flow, Output, Rng, TimerQueue, Transport};

/// Names a host of a [`Network`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostId(pub(super) usize);

/// Names a NAT of a [`Network`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NatId(usize);

/// An event for one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The host.
    pub host: HostId,
    /// What happened there.
    pub event: NetEvent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Alive,
    BlackHole,
    Refusing,
}

#[derive(Debug)]
struct Site {
    realm: usize,
    addresses: Vec<IpAddr>,
    health: Health,
    refused_ports: HashSet<u16>,
    // The site's own access line; none means a perfect one.
    up: Option<LinkState>,
    down: Option<LinkState>,
    nat: Option<NatState>,
}

#[derive(Debug, Clone)]
pub(super) struct Packet {
    pub(super) src: SocketAddr,
    pub(super) dst: SocketAddr,
    pub(super) body: Body,
}

#[derive(Debug, Clone)]
pub(super) enum Body {
    Datagram(Bytes),
    // The packet's `src` is the socket that could not be reached, so that translators on the way
    // see what they saw going out.
    Unreachable(ErrorKind),
    // A part of a connection, with the end that sent it.
    Segment(Segment, StreamKey),
}

impl Body {
    fn protocol(&self) -> Protocol {
        if matches!(self, Self::Segment(..)) { Protocol::Tcp } else { Protocol::Udp }
    }

    fn size(&self) -> usize {
        match self {
            Self::Datagram(data) => data.len(),
            Self::Unreachable(_) => 36,
            Self::Segment(segment, _) => segment.size(),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Datagram(_) => "udp",
            Self::Unreachable(_) => "icmp",
            Self::Segment(segment, _) => segment.kind(),
        }
    }
}

#[derive(Debug)]
enum Step {
    // In the middle of a realm, looking for its destination.
    Route(usize, Packet),
    // Before a site's access line.
    Enter(usize, Packet),
    // At a site.
    Arrive(usize, Packet),
    // A connection's patience ends.
    GiveUp(StreamKey, u64),
}

/// The simulated network. See the [module](super) for an example.
#[derive(Debug)]
pub struct Network {
    rng: Rng,
    sites: Vec<Site>,
    by_address: HashMap<(usize, IpAddr), usize>,
    // The NAT that leads out of each realm; realm 0 has none.
    gateways: Vec<Option<usize>>,
    paths: HashMap<(IpAddr, IpAddr), LinkState>,
    default_path: Link,
    agenda: TimerQueue<Step>,
    pub(super) streams: Streams,
    pub(super) deliveries: std::collections::VecDeque<Delivery>,
    trace: Option<Vec<TraceEntry>>,
    packets: u64,
}

impl Network {
    /// An empty network. All its chance comes from the seed.
    pub fn new(seed: u64) -> Self {
        Self {
            rng: Rng::from_seed(seed),
            sites: Vec::new(),
            by_address: HashMap::new(),
            gateways: vec![None],
            paths: HashMap::new(),
            default_path: Link::new(),
            agenda: TimerQueue::new(),
            streams: Streams::default(),
            deliveries: std::collections::VecDeque::new(),
            trace: None,
            packets: 0,
        }
    }

    /// Adds a host with a public address.
    pub fn add_host(&mut self, ip: IpAddr) -> HostId {
        HostId(self.add_site(0, ip, None))
    }

    /// Adds a NAT whose outer address is public.
    pub fn add_nat(&mut self, nat: Nat) -> NatId {
        NatId(self.add_gateway(0, nat))
    }

    /// Adds a host with a private address behind a NAT.
    pub fn add_host_behind(&mut self, nat: NatId, ip: IpAddr) -> HostId {
        let realm = self.inside(nat);
        HostId(self.add_site(realm, ip, None))
    }

    /// Adds a NAT behind a NAT.
    pub fn add_nat_behind(&mut self, outer: NatId, nat: Nat) -> NatId {
        let realm = self.inside(outer);
        NatId(self.add_gateway(realm, nat))
    }

    /// Gives a host one more address.
    pub fn add_address(&mut self, host: HostId, ip: IpAddr) {
        let site = &mut self.sites[host.0];
        site.addresses.push(ip);
        self.by_address.insert((site.realm, ip), host.0);
    }

    /// Takes a host to another place: the public network, or behind a NAT. All its addresses are
    /// gone, with what was on its way to them; its connections die without a word to it.
    pub fn move_host(&mut self, host: HostId, ip: IpAddr, behind: Option<NatId>) {
        let realm = behind.map_or(0, |nat| self.inside(nat));
        self.leave(host);
        let site = &mut self.sites[host.0];
        (site.realm, site.addresses) = (realm, vec![ip]);
        self.by_address.insert((realm, ip), host.0);
    }

    /// Takes all addresses from a host: what it sends is lost until it is [moved](Self::move_host)
    /// to a place that has some.
    pub fn leave(&mut self, host: HostId) {
        let site = &mut self.sites[host.0];
        let (realm, old) = (site.realm, std::mem::take(&mut site.addresses));
        for ip in old {
            self.by_address.remove(&(realm, ip));
        }
        self.streams.forget_host(host);
    }

    fn add_gateway(&mut self, realm: usize, nat: Nat) -> usize {
        let (ip, rng) = (nat.ip, self.rng.fork());
        let site = self.add_site(realm, ip, Some(NatState::new(nat, rng)));
        self.gateways.push(Some(site));
        site
    }

    fn add_site(&mut self, realm: usize, ip: IpAddr, nat: Option<NatState>) -> usize {
        self.sites.push(Site {
            realm,
            addresses: vec![ip],
            health: Health::Alive,
            refused_ports: HashSet::new(),
            up: None,
            down: None,
            nat,
        });
        self.by_address.insert((realm, ip), self.sites.len() - 1);
        self.sites.len() - 1
    }

    fn inside(&self, nat: NatId) -> usize {
        self.gateways.iter().position(|g| *g == Some(nat.0)).unwrap_or(0)
    }

    /// The path between each pair of public addresses that has none of its own, one-way.
    pub fn set_default_path(&mut self, link: Link) {
        self.default_path = link;
    }

    /// The path from one address to another, as the network between them sees the addresses.
    pub fn set_path(&mut self, from: IpAddr, to: IpAddr, link: Link) {
        let state = LinkState::new(link, self.rng.fork());
        self.paths.insert((from, to), state);
    }

    /// Both directions between two addresses.
    pub fn set_paths(&mut self, a: IpAddr, b: IpAddr, link: Link) {
        self.set_path(a, b, link.clone());
        self.set_path(b, a, link);
    }

    /// A host's access line, shared by all its traffic: outgoing and incoming.
    pub fn set_access(&mut self, host: HostId, up: Link, down: Link) {
        self.set_site_access(host.0, up, down);
    }

    /// A NAT's outer line, shared by everyone behind it.
    pub fn set_nat_access(&mut self, nat: NatId, up: Link, down: Link) {
        self.set_site_access(nat.0, up, down);
    }

    fn set_site_access(&mut self, site: usize, up: Link, down: Link) {
        self.sites[site].up = Some(LinkState::new(up, self.rng.fork()));
        self.sites[site].down = Some(LinkState::new(down, self.rng.fork()));
    }

    /// From now on the host swallows everything and says nothing.
    pub fn black_hole(&mut self, host: HostId) {
        self.sites[host.0].health = Health::BlackHole;
    }

    /// From now on the host is there, but all its ports are closed: ICMP "port unreachable" and TCP
    /// resets.
    pub fn refuse(&mut self, host: HostId) {
        self.sites[host.0].health = Health::Refusing;
    }

    /// Closes one port of a host.
    pub fn refuse_port(&mut self, host: HostId, port: u16) {
        self.sites[host.0].refused_ports.insert(port);
    }

    /// The host is well again.
    pub fn revive(&mut self, host: HostId) {
        self.sites[host.0].health = Health::Alive;
        self.sites[host.0].refused_ports.clear();
    }

    /// A NAT forgets all its mappings.
    pub fn reboot(&mut self, nat: NatId) {
        if let Some(nat) = &mut self.sites[nat.0].nat {
            nat.reboot();
        }
    }

    /// A host's first address of a family.
    pub fn address(&self, host: HostId, ipv4: bool) -> Option<IpAddr> {
        self.sites[host.0].addresses.iter().copied().find(|a| a.is_ipv4() == ipv4)
    }

    /// Accepts connections on a port of a host; without it they are refused.
    pub fn listen(&mut self, host: HostId, transport: Transport, port: u16) {
        self.streams.listen(host, transport, port);
    }

    /// How long a connection may take to open; 10 s unless set.
    pub fn set_connect_timeout(&mut self, timeout: Duration) {
        self.streams.connect_timeout = timeout;
    }

    /// How long a connection over a dead path lives on; 60 s unless set.
    pub fn set_stream_timeout(&mut self, timeout: Duration) {
        self.streams.stream_timeout = timeout;
    }

    /// Sends from a host, as [`SipTransports::send`](crate::SipTransports::send) does: a datagram
    /// goes out as it is; a stream is opened if there is none to `flow.remote`.
    pub fn send(&mut self, now: Instant, host: HostId, mut flow: Flow, data: Bytes) {
        if flow.local.ip().is_unspecified()
            && let Some(ip) = self.address(host, flow.remote.is_ipv4())
        {
            flow.local.set_ip(ip);
        }
        if flow.transport != Transport::Udp {
            return self.stream_send(now, host, flow, data);
        }
        let body = Body::Datagram(data);
        self.launch(now, host, Packet { src: flow.local, dst: flow.remote, body });
    }

    /// Ends a connection in order. The host itself is told nothing more about it.
    pub fn close(&mut self, now: Instant, host: HostId, flow: Flow) {
        self.stream_close(now, host, flow, false);
    }

    /// Ends a connection with a reset.
    pub fn reset(&mut self, now: Instant, host: HostId, flow: Flow) {
        self.stream_close(now, host, flow, true);
    }

    /// Notes the end of every packet from now on.
    pub fn record(&mut self) {
        self.trace = Some(Vec::new());
    }

    /// What has been noted since [`record`](Self::record).
    pub fn trace(&self) -> &[TraceEntry] {
        self.trace.as_deref().unwrap_or_default()
    }

    /// Packets sent by hosts so far, all kinds.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Connections that stand or are opening, each end counted.
    pub fn connections(&self) -> usize {
        self.streams.len()
    }

    /// The next event of any host, or the time of the next one.
    pub fn poll(&mut self, now: Instant) -> Output<Infallible, Delivery> {
        loop {
            if let Some(delivery) = self.deliveries.pop_front() {
                return Output::Event(delivery);
            }
            match self.agenda.pop_due(now) {
                Some(step) => self.take(now, step),
                None => return Output::Timeout(self.agenda.next_deadline()),
            }
        }
    }

    /// When the next thing happens.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.agenda.next_deadline()
    }

    fn take(&mut self, now: Instant, step: Step) {
        match step {
            Step::Route(realm, packet) => self.route(now, realm, packet),
            Step::Enter(site, packet) => self.cross(now, Line::Down(site), packet),
            Step::Arrive(site, packet) => self.arrive(now, site, packet),
            Step::GiveUp(key, patience) => self.stream_give_up(key, patience),
        }
    }

    pub(super) fn schedule_give_up(&mut self, at: Instant, key: StreamKey, patience: u64) {
        self.agenda.insert(at, Step::GiveUp(key, patience));
    }

    // A packet leaves a host.
    pub(super) fn launch(&mut self, now: Instant, host: HostId, packet: Packet) {
        self.packets += 1;
        match self.sites[host.0].health {
            // A dead host is silent too.
            Health::BlackHole => self.end(now, &packet, Fate::BlackHole),
            // From an address that it had before it moved.
            _ if !self.sites[host.0].addresses.contains(&packet.src.ip()) => {
                self.end(now, &packet, Fate::NoRoute);
            }
            _ => self.cross(now, Line::Up(host.0), packet),
        }
    }

    fn route(&mut self, now: Instant, realm: usize, mut packet: Packet) {
        let gateway = self.gateways[realm];
        if let Some(site) = self.by_address.get(&(realm, packet.dst.ip())).copied() {
            return self.cross(now, Line::Path(site), packet);
        }
        let Some(site) = gateway else { return self.end(now, &packet, Fate::NoRoute) };
        let Some(nat) = &mut self.sites[site].nat else { return };
        let protocol = packet.body.protocol();
        let hairpin = packet.dst.ip() == nat.nat.ip;
        if hairpin && !nat.nat.hairpin {
            return self.end(now, &packet, Fate::Filtered);
        }
        let Some(outer) = nat.outbound(now, protocol, packet.src, packet.dst) else {
            return self.end(now, &packet, Fate::NoPort);
        };
        packet.src = outer;
        if hairpin {
            // RFC 4787 REQ-9: the inner peer sees the outer source.
            return self.arrive(now, site, packet);
        }
        self.cross(now, Line::Up(site), packet);
    }

    // Over one line, if there is one; then on to what lies behind.
    fn cross(&mut self, now: Instant, line: Line, packet: Packet) {
        let key = (packet.src.ip(), packet.dst.ip());
        // Behind a NAT, what is not said otherwise is a local network without faults.
        if matches!(line, Line::Path(to) if self.sites[to].realm == 0)
            && !self.paths.contains_key(&key)
        {
            let state = LinkState::new(self.default_path.clone(), self.rng.fork());
            self.paths.insert(key, state);
        }
        let link = match line {
            Line::Up(site) => self.sites[site].up.as_mut(),
            Line::Down(site) => self.sites[site].down.as_mut(),
            Line::Path(_) => self.paths.get_mut(&key),
        };
        let size = packet.body.size();
        let arrivals = match (link, &packet.body) {
            (None, _) => Ok(smallvec::smallvec![now]),
            (Some(link), Body::Segment(..)) => {
                link.segment(now, size).map(|at| smallvec::smallvec![at])
            }
            (Some(link), _) => link.datagram(now, size),
        };
        match arrivals {
            Ok(arrivals) => {
                for at in arrivals {
                    let packet = packet.clone();
                    let step = match line {
                        Line::Up(site) => Step::Route(self.sites[site].realm, packet),
                        Line::Path(site) => Step::Enter(site, packet),
                        Line::Down(site) => Step::Arrive(site, packet),
                    };
                    // What takes no time happens in its place, without a turn through the agenda.
                    if at <= now {
                        self.take(now, step)
                    } else {
                        self.agenda.insert(at, step);
                    }
                }
            }
            Err(loss) => {
                let fate = match loss {
                    Loss::Random => Fate::Lost,
                    Loss::QueueFull => Fate::QueueFull,
                    Loss::Fragment => Fate::Fragmented,
                    Loss::Down => Fate::LinkDown,
                };
                self.end(now, &packet, fate);
            }
        }
    }

    fn arrive(&mut self, now: Instant, site: usize, mut packet: Packet) {
        if let Some(nat) = &mut self.sites[site].nat {
            let icmp = matches!(packet.body, Body::Unreachable(_));
            let protocol = packet.body.protocol();
            let inner = nat.inbound(now, protocol, packet.dst.port(), packet.src, icmp);
            let Some(inner) = inner else { return self.end(now, &packet, Fate::Filtered) };
            packet.dst = inner;
            return self.route(now, self.inside(NatId(site)), packet);
        }
        let host = HostId(site);
        let health = self.sites[site].health;
        let closed = self.sites[site].refused_ports.contains(&packet.dst.port());
        if health == Health::BlackHole {
            return self.end(now, &packet, Fate::BlackHole);
        }
        let refused = health == Health::Refusing || closed;
        let Packet { src, dst, body } = packet.clone();
        let flow = Flow { transport: Transport::Udp, local: dst, remote: src };
        match body {
            Body::Datagram(_) if refused => {
                self.end(now, &packet, Fate::Refused);
                let body = Body::Unreachable(ErrorKind::ConnectionRefused);
                self.launch(now, host, Packet { src: dst, dst: src, body });
            }
            Body::Datagram(data) => {
                self.end(now, &packet, Fate::Delivered);
                self.deliver(host, NetEvent::Datagram { flow, data });
            }
            Body::Unreachable(error) => {
                self.end(now, &packet, Fate::Delivered);
                self.deliver(host, NetEvent::SendFailed { flow, error });
            }
            Body::Segment(segment, _) => {
                self.end(now, &packet, if refused { Fate::Refused } else { Fate::Delivered });
                self.stream_segment(now, host, dst, src, segment, refused);
            }
        }
    }

    pub(super) fn deliver(&mut self, host: HostId, event: NetEvent) {
        self.deliveries.push_back(Delivery { host, event });
    }

    fn end(&mut self, at: Instant, packet: &Packet, fate: Fate) {
        if let Some(trace) = &mut self.trace {
            let Packet { src, dst, ref body } = *packet;
            let (kind, size) = (body.kind(), body.size());
            trace.push(TraceEntry { at, src, dst, kind, size, fate });
        }
        // A piece of a stream that will never arrive costs its sender the connection, later.
        if let Body::Segment(_, sender) = packet.body
            && !matches!(fate, Fate::Delivered | Fate::Refused)
        {
            self.stream_stalled(at, sender);
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Line {
    // From a site into its realm.
    Up(usize),
    // Through a realm to a site.
    Path(usize),
    // Into a site.
    Down(usize),
}
