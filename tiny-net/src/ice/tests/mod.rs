mod basics;
mod carry;
mod changes;
mod grammar;
mod hidden;
mod hostile;
mod nats;

use super::*;
use crate::NetEvent;
use crate::sim::{self, HostId, Link, Nat, NatId, Node, NodeId, World};
use crate::stun::{Input, Transmit};
use crate::turn::{self, lab};
use bytes::Bytes;
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use tiny_sak::{Output, Rng, Transport};

pub(super) fn lan(seed: u64) -> Lab {
    Lab::new(seed, Link::new().latency(ms(10)))
}

pub(super) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub(super) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(super) fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

const TALK: Duration = Duration::from_millis(20);

/// An agent on a host, with a voice: a packet each 20 ms while it talks.
pub(super) struct Side {
    pub(super) agent: Agent,
    talks: Option<Instant>,
    pub(super) received: u64,
    pub(super) last: Option<Instant>,
    pub(super) gap: Duration,
    // Datagrams to these addresses vanish, as if the interface were gone.
    pub(super) deaf: HashSet<IpAddr>,
    // No datagram goes out.
    pub(super) no_udp: bool,
}

pub(super) enum Someone {
    Side(Box<Side>),
    Server(Box<lab::Server>),
}

impl Node for Someone {
    type Event = Event;

    fn handle(&mut self, now: Instant, input: sim::Input) {
        match self {
            Self::Server(server) => server.handle(now, input),
            Self::Side(side) => {
                let input = match input {
                    sim::Input::Net(event) if side.deaf.contains(&event.flow().local.ip()) => {
                        return;
                    }
                    sim::Input::Net(event) => Input::Net(event),
                    _ => Input::Timeout,
                };
                side.agent.handle(now, input);
                if side.talks.is_some_and(|at| at <= now) {
                    side.talks = Some(now + TALK);
                    for component in 1..=2 {
                        let _ = side.agent.send(now, component, b"\x80 voice");
                    }
                }
            }
        }
    }

    fn poll(&mut self, now: Instant) -> Output<sim::Transmit, Event> {
        let side = match self {
            Self::Server(server) => {
                return match server.poll(now) {
                    Output::Transmit(transmit) => Output::Transmit(transmit),
                    Output::Event(()) => unreachable!("the lab tells nothing"),
                    Output::Timeout(at) => Output::Timeout(at),
                };
            }
            Self::Side(side) => side,
        };
        loop {
            return match side.agent.poll(now) {
                Output::Transmit(Transmit::Send { flow, .. })
                    if side.deaf.contains(&flow.local.ip())
                        || side.no_udp && flow.transport == Transport::Udp =>
                {
                    continue;
                }
                Output::Transmit(Transmit::Send { flow, data }) => {
                    Output::Transmit(sim::Transmit::Send { flow, data })
                }
                Output::Transmit(Transmit::Close { flow }) => {
                    Output::Transmit(sim::Transmit::Close { flow })
                }
                Output::Event(Event::Data { .. }) => {
                    side.received += 1;
                    if let Some(last) = side.last {
                        side.gap = side.gap.max(now - last);
                    }
                    side.last = Some(now);
                    continue;
                }
                Output::Event(event) => Output::Event(event),
                Output::Timeout(at) => {
                    Output::Timeout([at, side.talks].into_iter().flatten().min())
                }
            };
        }
    }
}

/// Two agents and a signalling that loses nothing.
pub(super) struct Lab {
    pub(super) world: World<Someone>,
    pub(super) hosts: Vec<HostId>,
    pub(super) sides: Vec<NodeId>,
    pub(super) servers: Vec<NodeId>,
    pub(super) events: Vec<(Duration, usize, Event)>,
    pub(super) trickle: bool,
}

pub(super) const SERVER: &str = "192.0.2.10";

impl Lab {
    pub(super) fn new(seed: u64, path: Link) -> Self {
        let mut world = World::new(Instant::now(), seed);
        world.network.set_default_path(path);
        let (hosts, sides, servers, events) = (vec![], vec![], vec![], vec![]);
        Self { world, hosts, sides, servers, events, trickle: true }
    }

    pub(super) fn server(&mut self) -> SocketAddr {
        self.server_with(lab::Server::new(ip(SERVER)))
    }

    pub(super) fn server_with(&mut self, server: lab::Server) -> SocketAddr {
        let addr = SocketAddr::new(server.ip, lab::PORT);
        let host = self.world.network.add_host(server.ip);
        if let Some(ip6) = server.ip6 {
            self.world.network.add_address(host, ip6);
        }
        for transport in [Transport::Tcp, Transport::Tls] {
            self.world.network.listen(host, transport, lab::PORT);
        }
        self.servers.push(self.world.add_on(host, Someone::Server(Box::new(server))));
        addr
    }

    pub(super) fn nat(&mut self, nat: Nat) -> NatId {
        self.world.network.add_nat(nat)
    }

    /// Adds an agent on a host with these addresses.
    pub(super) fn side(
        &mut self,
        config: Config,
        controlling: bool,
        behind: Option<NatId>,
        addresses: &[HostAddress],
    ) -> usize {
        let first = addresses[0].addr.ip();
        let host = match behind {
            Some(nat) => self.world.network.add_host_behind(nat, first),
            None => self.world.network.add_host(first),
        };
        for address in addresses {
            if address.addr.ip() != first
                && self.world.network.address(host, address.addr.is_ipv4())
                    != Some(address.addr.ip())
            {
                self.world.network.add_address(host, address.addr.ip());
            }
        }
        let at = self.sides.len();
        let rng = Rng::from_seed(self.world.network.packets() + 77 + at as u64 * 1000);
        let mut agent = Agent::new(config, controlling, rng);
        let now = self.world.now();
        for address in addresses {
            assert!(agent.add_local(now, address.clone()));
        }
        let side = Side {
            agent,
            talks: None,
            received: 0,
            last: None,
            gap: Duration::ZERO,
            deaf: HashSet::new(),
            no_udp: false,
        };
        self.hosts.push(host);
        self.sides.push(self.world.add_on(host, Someone::Side(Box::new(side))));
        at
    }

    /// Lets no datagram in or out at a box; connections pass.
    pub(super) fn block_udp(&mut self) {
        self.inner(0, |side, _| side.no_udp = true);
    }

    pub(super) fn act<R>(
        &mut self,
        side: usize,
        command: impl FnOnce(&mut Agent, Instant) -> R,
    ) -> R {
        self.inner(side, |side, now| command(&mut side.agent, now))
    }

    pub(super) fn inner<R>(
        &mut self,
        side: usize,
        command: impl FnOnce(&mut Side, Instant) -> R,
    ) -> R {
        self.world.act(self.sides[side], |node, now| match node {
            Someone::Side(side) => command(side, now),
            Someone::Server(_) => unreachable!("a side is one"),
        })
    }

    pub(super) fn look(&self, side: usize) -> &Side {
        match self.world.node(self.sides[side]) {
            Someone::Side(side) => side,
            Someone::Server(_) => unreachable!("a side is one"),
        }
    }

    pub(super) fn agent(&self, side: usize) -> &Agent {
        &self.look(side).agent
    }

    /// Tells the other what `from` says of itself.
    pub(super) fn signal(&mut self, from: usize) {
        let agent = self.agent(from);
        let (ufrag, password) = agent.credentials();
        let (ufrag, password) = (ufrag.to_owned(), password.clone());
        let peer =
            Peer { ufrag, password, lite: agent.is_lite(), options: agent.options(), pace: None };
        let candidates = agent.local_candidates();
        self.act(1 - from, |agent, now| {
            agent.set_peer(now, peer);
            for candidate in candidates {
                // Through its text, as it travels.
                let candidate = candidate.to_string().parse().unwrap();
                let _ = agent.add_remote(now, candidate);
            }
        });
    }

    /// Both gather and learn of each other at once; candidates trickle.
    pub(super) fn connect(&mut self) {
        for side in 0..2 {
            self.act(side, Agent::gather);
        }
        if !self.trickle {
            self.run(secs(6));
        }
        self.signal(0);
        self.signal(1);
        if !self.trickle {
            for side in 0..2 {
                self.act(side, Agent::end_of_candidates);
            }
        }
    }

    pub(super) fn run(&mut self, duration: Duration) {
        let until = self.world.now() + duration;
        while self.step(until) {}
    }

    /// Runs until something is so; false when it is not in time.
    pub(super) fn until(&mut self, within: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let until = self.world.now() + within;
        while !done(self) {
            if !self.step(until) {
                return done(self);
            }
        }
        true
    }

    fn step(&mut self, until: Instant) -> bool {
        let Some((node, event)) = self.world.next_event(until) else { return false };
        let side = self.sides.iter().position(|s| *s == node).expect("only sides tell");
        if self.trickle && self.sides.len() == 2 {
            match &event {
                Event::Candidate(candidate) => {
                    let candidate: Candidate = candidate.to_string().parse().unwrap();
                    let _ = self.act(1 - side, |agent, now| agent.add_remote(now, candidate));
                }
                Event::GatheringDone => self.act(1 - side, Agent::end_of_candidates),
                _ => {}
            }
        }
        self.events.push((self.world.elapsed(), side, event));
        true
    }

    pub(super) fn both(&self, state: State) -> bool {
        (0..2).all(|side| self.agent(side).state() == state)
    }

    pub(super) fn completed(&mut self, within: Duration) -> bool {
        self.until(within, |lab| lab.both(State::Completed))
    }

    pub(super) fn talk(&mut self, side: usize) {
        self.inner(side, |side, now| side.talks = Some(now));
        // Wakes the node, so that its new deadline is known.
        self.act(side, |agent, now| agent.handle(now, Input::Timeout));
    }

    /// Both ends of the path, each as the other sees it.
    pub(super) fn agree(&self) -> bool {
        let (Some(a), Some(b)) = (self.agent(0).selected(1), self.agent(1).selected(1)) else {
            return false;
        };
        a.mapped.unwrap_or(a.local) == b.remote && b.mapped.unwrap_or(b.local) == a.remote
    }

    pub(super) fn told(&self, side: usize, what: impl Fn(&Event) -> bool) -> Option<Duration> {
        self.events.iter().find(|(_, s, e)| *s == side && what(e)).map(|(at, ..)| *at)
    }
}

pub(super) fn host(addr: &str, network: Network) -> HostAddress {
    let (component, transport) = (1, CandidateTransport::Udp);
    HostAddress { component, addr: at(addr), transport, network, name: None }
}

pub(super) fn cable(addr: &str) -> HostAddress {
    host(addr, Network { id: 1, kind: NetworkKind::Ethernet })
}

pub(super) fn with_stun(server: SocketAddr) -> Config {
    Config { stun_servers: vec![server], ..Config::default() }
}

pub(super) fn relay_server(transport: Transport, addr: SocketAddr) -> turn::Server {
    let (username, password) = (lab::USER.to_owned(), lab::PASSWORD.into());
    turn::Server { transport, addr, username, password }
}

pub(super) fn with_turn(server: SocketAddr) -> Config {
    Config { turn_servers: vec![relay_server(Transport::Udp, server)], ..with_stun(server) }
}
