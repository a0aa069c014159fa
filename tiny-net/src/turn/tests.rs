use super::lab::{self, Lie, PASSWORD, PORT, Seen, USER};
use super::*;
use crate::sim::{self, Link, Nat, Node, NodeId, World};
use crate::stun::{Input, Transmit};
use proptest::prelude::*;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use tiny_sak::{Output, Rng, Transport};

enum Someone {
    Client(Box<Client>),
    Server(Box<lab::Server>),
    // Sends back what comes.
    Echo(Vec<sim::Transmit>),
}

impl Node for Someone {
    type Event = Event;

    fn handle(&mut self, now: Instant, input: sim::Input) {
        match self {
            Self::Client(client) => {
                let input = match input {
                    sim::Input::Net(event) => Input::Net(event),
                    _ => Input::Timeout,
                };
                client.handle(now, &input);
            }
            Self::Server(server) => server.handle(now, input),
            Self::Echo(out) => {
                if let sim::Input::Net(crate::NetEvent::Datagram { flow, data }) = input {
                    out.push(sim::Transmit::Send { flow, data });
                }
            }
        }
    }

    fn poll(&mut self, now: Instant) -> Output<sim::Transmit, Event> {
        match self {
            Self::Client(client) => match client.poll(now) {
                Output::Transmit(Transmit::Send { flow, data }) => {
                    Output::Transmit(sim::Transmit::Send { flow, data })
                }
                Output::Transmit(Transmit::Close { flow }) => {
                    Output::Transmit(sim::Transmit::Close { flow })
                }
                Output::Event(event) => Output::Event(event),
                Output::Timeout(at) => Output::Timeout(at),
            },
            Self::Server(server) => match server.poll(now) {
                Output::Transmit(transmit) => Output::Transmit(transmit),
                Output::Event(()) => unreachable!("the lab tells nothing"),
                Output::Timeout(at) => Output::Timeout(at),
            },
            Self::Echo(out) => out.pop().map_or(Output::Timeout(None), Output::Transmit),
        }
    }
}

const PEER: &str = "203.0.113.7:7000";

struct Lab {
    world: World<Someone>,
    client: NodeId,
    servers: Vec<NodeId>,
}

fn ip(n: usize) -> IpAddr {
    format!("192.0.2.{}", n + 1).parse().unwrap()
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

impl Lab {
    fn new(transport: Transport, servers: Vec<lab::Server>) -> Self {
        Self::with(transport, servers, Config::default(), Family::V4, PASSWORD)
    }

    fn with(
        transport: Transport,
        servers: Vec<lab::Server>,
        config: Config,
        family: Family,
        password: &str,
    ) -> Self {
        let mut world = World::new(Instant::now(), 3);
        world.network.set_default_path(Link::new().latency(Duration::from_millis(10)));
        let mut ids = Vec::new();
        let mut list = Vec::new();
        for server in servers {
            let host = world.network.add_host(server.ip);
            if let Some(ip6) = server.ip6 {
                world.network.add_address(host, ip6);
            }
            for transport in [Transport::Tcp, Transport::Tls] {
                world.network.listen(host, transport, PORT);
            }
            let addr = SocketAddr::new(server.ip, PORT);
            let (username, password) = (USER.to_owned(), password.into());
            list.push(Server { transport, addr, username, password });
            ids.push(world.add_on(host, Someone::Server(Box::new(server))));
        }
        let peer: SocketAddr = PEER.parse().unwrap();
        world.add(peer.ip(), Someone::Echo(Vec::new()));
        let nat = world.network.add_nat(Nat::symmetric("198.51.100.1".parse().unwrap()));
        let host = world.network.add_host_behind(nat, "10.0.0.2".parse().unwrap());
        let local = "10.0.0.2:4000".parse().unwrap();
        let client = Client::new(config, family, local, list, Rng::from_seed(9));
        let client = world.add_on(host, Someone::Client(Box::new(client)));
        Self { world, client, servers: ids }
    }

    fn act<R>(&mut self, command: impl FnOnce(&mut Client, Instant) -> R) -> R {
        self.world.act(self.client, |node, now| match node {
            Someone::Client(client) => command(client, now),
            _ => unreachable!("the client is one"),
        })
    }

    fn server(&self, n: usize) -> &lab::Server {
        match self.world.node(self.servers[n]) {
            Someone::Server(server) => server,
            _ => unreachable!("a server is one"),
        }
    }

    fn change(&mut self, n: usize, how: impl FnOnce(&mut lab::Server)) {
        self.world.act(self.servers[n], |node, _| match node {
            Someone::Server(server) => how(server),
            _ => unreachable!("a server is one"),
        });
    }

    fn run(&mut self, duration: Duration) -> Vec<Event> {
        self.world.run_for(duration).into_iter().map(|(_, _, event)| event).collect()
    }

    fn allocate(&mut self) -> Vec<Event> {
        self.act(Client::allocate);
        self.run(secs(2))
    }

    fn echoed(&mut self, text: &'static str) -> bool {
        let peer = PEER.parse().unwrap();
        self.act(|client, now| client.send(now, peer, text.as_bytes())).unwrap();
        self.run(secs(1)) == [Event::Data { peer, data: text.into() }]
    }
}

#[test]
fn data_goes_there_and_back_over_udp_tcp_and_tls() {
    for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
        let mut lab = Lab::new(transport, vec![lab::Server::new(ip(0))]);
        let events = lab.allocate();
        let [Event::Allocated { relayed, mapped, server, .. }] = events[..] else {
            panic!("{transport}: {events:?}")
        };
        assert_eq!((relayed.ip(), server), (ip(0), SocketAddr::new(ip(0), PORT)));
        assert_eq!(mapped.map(|m| m.ip()), "198.51.100.1".parse().ok());
        assert!(lab.echoed("by indication"));
        let peer = PEER.parse().unwrap();
        lab.act(|client, now| client.bind(now, peer)).unwrap();
        lab.run(secs(1));
        assert!(lab.act(|client, now| client.channel(now, peer)).is_some());
        for text in ["a", "ab", "abc", "abcd", "by channel"] {
            assert!(lab.echoed(text), "{transport}");
        }
        let seen = lab.server(0).seen;
        assert_eq!((seen.sends, seen.channel_data), (1, 5), "{transport}");
        lab.act(Client::close);
        assert_eq!(lab.run(secs(1)), []);
        assert_eq!((lab.server(0).allocations(), lab.server(0).seen.releases), (0, 1));
        assert_eq!(lab.world.network.connections(), 0, "{transport}");
        assert!(lab.world.is_quiet());
    }
}

#[test]
fn an_allocation_its_permissions_and_channels_outlive_an_hour_and_stale_nonces() {
    for sha256 in [false, true] {
        let mut server = lab::Server::new(ip(0));
        (server.sha256, server.anonymous) = (sha256, sha256);
        server.stale_every = Some(secs(100));
        let mut lab = Lab::new(Transport::Udp, vec![server]);
        lab.allocate();
        let peer = PEER.parse().unwrap();
        let other: SocketAddr = "203.0.113.8:1".parse().unwrap();
        lab.act(|client, now| client.bind(now, peer)).unwrap();
        lab.act(|client, now| client.permit(now, other.ip())).unwrap();
        for _ in 0..12 {
            assert_eq!(lab.run(secs(299)), []);
            assert!(lab.echoed("still there"));
        }
        let Seen { refreshes, permissions, channels, userhashes, sha256: signed, .. } =
            lab.server(0).seen;
        assert!((6..=8).contains(&refreshes), "{refreshes}");
        assert!((14..=17).contains(&permissions) && (14..=17).contains(&channels));
        assert_eq!((userhashes > 0, signed > 0), (sha256, sha256));
    }
}

#[test]
fn an_ipv6_relay_is_asked_for_by_its_family() {
    let mut server = lab::Server::new(ip(0));
    server.ip6 = Some("2001:db8::1".parse().unwrap());
    let mut lab = Lab::with(Transport::Udp, vec![server], Config::default(), Family::V6, PASSWORD);
    let events = lab.allocate();
    assert!(matches!(events[..], [Event::Allocated { relayed, .. }] if relayed.is_ipv6()));
    let send = lab.act(|client, now| client.send(now, PEER.parse().unwrap(), b"x"));
    assert_eq!(send, Err(SendError::Family));
    let plain = vec![lab::Server::new(ip(0))];
    let mut lab = Lab::with(Transport::Udp, plain, Config::default(), Family::V6, PASSWORD);
    assert_eq!(lab.allocate(), [Event::Failed(Failure::Family)]);
}

#[test]
fn one_allocation_may_have_an_address_of_each_family() {
    let mut server = lab::Server::new(ip(0));
    server.ip6 = Some("2001:db8::1".parse().unwrap());
    for (server, both) in [(server, true), (lab::Server::new(ip(0)), false)] {
        let (servers, config) = (vec![server], Config::default());
        let mut lab = Lab::with(Transport::Udp, servers, config, Family::Both, PASSWORD);
        let events = lab.allocate();
        let [Event::Allocated { relayed, other, .. }] = events[..] else { panic!("{events:?}") };
        assert!(relayed.is_ipv4());
        assert_eq!(other.map(|other| other.is_ipv6()), both.then_some(true));
        let six = lab.act(|client, now| client.permit(now, "2001:db8::7".parse().unwrap()));
        assert_eq!(six.is_ok(), both, "{six:?}");
        let four = lab.act(|client, now| client.send(now, PEER.parse().unwrap(), b"back"));
        assert_eq!(four, Ok(()));
        let events = lab.run(secs(1));
        assert!(matches!(&events[..], [Event::Data { data, .. }] if &data[..] == b"back"));
    }
}

#[test]
fn each_refusal_is_named_and_the_next_server_is_tried() {
    let rows = [
        (486, Failure::Quota),
        (508, Failure::Capacity),
        (440, Failure::Family),
        (442, Failure::Transport),
        (441, Failure::Credentials),
        (403, Failure::Refused { code: 403, reason: "No".into() }),
        (500, Failure::Refused { code: 500, reason: "No".into() }),
    ];
    for (code, failure) in rows {
        let mut server = lab::Server::new(ip(0));
        server.refuse = Some(code);
        let mut lab = Lab::new(Transport::Udp, vec![server]);
        assert_eq!(lab.allocate(), [Event::Failed(failure)]);
        let mut server = lab::Server::new(ip(0));
        server.refuse = Some(code);
        let mut lab = Lab::new(Transport::Udp, vec![server, lab::Server::new(ip(1))]);
        let events = lab.allocate();
        assert!(matches!(events[..], [Event::Allocated { server, .. }] if server.ip() == ip(1)));
    }
}

#[test]
fn a_silent_server_is_left_for_the_next_in_three_seconds_and_a_refusing_one_at_once() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let servers = || vec![lab::Server::new(ip(0)), lab::Server::new(ip(1))];
        let mut lab = Lab::new(transport, servers());
        let host = lab.world.host(lab.servers[0]);
        lab.world.network.black_hole(host);
        lab.act(Client::allocate);
        assert_eq!(lab.run(Duration::from_millis(2999)), []);
        let events = lab.run(secs(1));
        assert!(matches!(events[..], [Event::Allocated { server, .. }] if server.ip() == ip(1)));
        let mut lab = Lab::new(transport, servers());
        let host = lab.world.host(lab.servers[0]);
        lab.world.network.refuse(host);
        let events = lab.allocate();
        assert!(matches!(events[..], [Event::Allocated { server, .. }] if server.ip() == ip(1)));
    }
    // A single one has the whole time of RFC 8489.
    let mut lab = Lab::new(Transport::Udp, vec![lab::Server::new(ip(0))]);
    let host = lab.world.host(lab.servers[0]);
    lab.world.network.black_hole(host);
    lab.act(Client::allocate);
    assert_eq!(lab.run(secs(39)), []);
    assert_eq!(lab.run(secs(1)), [Event::Failed(Failure::Timeout)]);
}

#[test]
fn a_wrong_password_is_told_after_one_challenge() {
    let servers = vec![lab::Server::new(ip(0))];
    let mut lab = Lab::with(Transport::Udp, servers, Config::default(), Family::V4, "guess");
    assert_eq!(lab.allocate(), [Event::Failed(Failure::Credentials)]);
    assert_eq!(lab.server(0).seen.allocates, 2);
}

#[test]
fn an_alternate_server_is_followed_but_not_in_circles() {
    let to = |n| Some(SocketAddr::new(ip(n), PORT));
    let mut first = lab::Server::new(ip(0));
    first.alternate = to(1);
    let list = vec![first, lab::Server::new(ip(1))];
    let mut lab = Lab::new(Transport::Tcp, list);
    let events = lab.allocate();
    assert!(matches!(events[..], [Event::Allocated { server, .. }] if server.ip() == ip(1)));
    let (mut first, mut second) = (lab::Server::new(ip(0)), lab::Server::new(ip(1)));
    (first.alternate, second.alternate) = (to(1), to(0));
    let mut lab = Lab::new(Transport::Udp, vec![first, second]);
    assert_eq!(lab.allocate(), [Event::Failed(Failure::Redirects)]);
}

#[test]
fn an_allocation_left_by_a_run_before_is_given_back_once() {
    let mut server = lab::Server::new(ip(0));
    server.leftover = true;
    let mut lab = Lab::new(Transport::Udp, vec![server]);
    assert!(matches!(lab.allocate()[..], [Event::Allocated { .. }]));
    assert_eq!(lab.server(0).seen.releases, 1);
    let mut server = lab::Server::new(ip(0));
    server.refuse = Some(437);
    let mut lab = Lab::new(Transport::Udp, vec![server]);
    assert_eq!(lab.allocate(), [Event::Failed(Failure::Mismatch)]);
}

#[test]
fn every_lie_of_a_server_is_refused_by_name() {
    let rows = [
        (Lie::RelayedOfOtherFamily, Failure::Nonsense("a relayed address that is none")),
        (Lie::NoRelayed, Failure::Nonsense("a relayed address that is none")),
        (Lie::RelayedOnLoopback, Failure::Nonsense("a relayed address that is none")),
        (Lie::NoLifetime, Failure::Nonsense("a lifetime of nothing")),
        (Lie::BidDown, Failure::Challenge(crate::stun::ChallengeError::BidDown)),
        (Lie::EndlessStale, Failure::Challenges),
    ];
    for (lie, failure) in rows {
        let mut server = lab::Server::new(ip(0));
        server.lie = Some(lie);
        server.sha256 = lie == Lie::BidDown;
        let mut lab = Lab::new(Transport::Udp, vec![server]);
        assert_eq!(lab.allocate(), [Event::Failed(failure)], "{lie:?}");
    }
    for lie in [Lie::WrongIntegrity, Lie::NoIntegrity] {
        for (transport, time) in [(Transport::Udp, secs(40)), (Transport::Tcp, secs(1))] {
            let mut server = lab::Server::new(ip(0));
            server.lie = Some(lie);
            let mut lab = Lab::new(transport, vec![server]);
            lab.act(Client::allocate);
            assert_eq!(lab.run(time), [Event::Failed(Failure::Integrity)], "{lie:?} {transport}");
            assert!(lab.act(|client, _| client.counters()).integrity > 0);
        }
    }
    let mut server = lab::Server::new(ip(0));
    server.lie = Some(Lie::Unasked);
    let mut lab = Lab::new(Transport::Udp, vec![server]);
    assert!(matches!(lab.allocate()[..], [Event::Allocated { .. }]));
    assert_eq!(lab.act(|client, _| client.counters()).unasked, 4);
}

#[test]
fn a_peer_that_the_server_refuses_is_told_and_tried_no_more() {
    let mut lab = Lab::new(Transport::Udp, vec![lab::Server::new(ip(0))]);
    lab.allocate();
    lab.change(0, |server| server.refuse_permissions = Some(403));
    let peer: SocketAddr = PEER.parse().unwrap();
    lab.act(|client, now| client.send(now, peer, b"x")).unwrap();
    assert_eq!(lab.run(secs(1)), [Event::PeerRefused { peer: peer.ip(), code: 403 }]);
    let again = lab.act(|client, now| client.send(now, peer, b"x"));
    assert_eq!(again, Err(SendError::Refused));
}

#[test]
fn peers_channels_and_waiting_data_are_bounded() {
    let config = Config { max_permissions: 3, max_channels: 1, max_queued: 2, ..Config::default() };
    let servers = vec![lab::Server::new(ip(0))];
    let mut lab = Lab::with(Transport::Udp, servers, config, Family::V4, PASSWORD);
    let peer = |n: u8| SocketAddr::new([203, 0, 113, n].into(), 9);
    let early = lab.act(|client, now| client.send(now, peer(1), b"x"));
    assert_eq!(early, Err(SendError::NoAllocation));
    lab.allocate();
    for n in 1..=3 {
        lab.act(|client, now| client.send(now, peer(n), b"x")).unwrap();
    }
    let fourth = lab.act(|client, now| client.send(now, peer(4), b"x"));
    assert_eq!(fourth, Err(SendError::TooManyPeers));
    assert_eq!(lab.act(|client, _| client.counters()).dropped, 1);
    for n in 1..=3 {
        lab.act(|client, now| client.bind(now, peer(n))).unwrap();
    }
    lab.run(secs(1));
    assert_eq!((lab.server(0).seen.channels, lab.server(0).seen.sends), (1, 2));
    let long = vec![0; 65_001];
    assert_eq!(lab.act(|c, now| c.send(now, peer(1), &long)), Err(SendError::TooLong));
}

#[test]
fn the_loss_of_a_relay_is_told() {
    // The connection ends.
    let mut lab = Lab::new(Transport::Tls, vec![lab::Server::new(ip(0))]);
    lab.allocate();
    let host = lab.world.host(lab.servers[0]);
    lab.world.network.black_hole(host);
    lab.act(|client, now| client.permit(now, "203.0.113.1".parse().unwrap())).unwrap();
    assert!(matches!(
        lab.run(secs(100))[..],
        [Event::PeerRefused { .. }, Event::Lost(_)] | [Event::Lost(_)]
    ));
    // The server forgets: a refresh gets 437.
    let mut lab = Lab::new(Transport::Udp, vec![lab::Server::new(ip(0))]);
    lab.allocate();
    lab.change(0, |server| *server = lab::Server::new(ip(0)));
    assert_eq!(lab.run(secs(545)), [Event::Lost(Failure::Mismatch)]);
    // The server dies: the allocation ends with its time.
    let mut lab = Lab::new(Transport::Udp, vec![lab::Server::new(ip(0))]);
    lab.allocate();
    let host = lab.world.host(lab.servers[0]);
    lab.world.network.black_hole(host);
    assert_eq!(lab.run(secs(600)), [Event::Lost(Failure::Timeout)]);
    assert!(lab.act(|client, _| client.relayed()).is_none());
}

#[test]
fn a_stream_is_cut_into_the_same_frames_wherever_its_pieces_end() {
    let binding = crate::stun::Builder::new(crate::stun::Class::Request, 1, [1; 12]);
    let mut stream = binding.text(crate::stun::attr::USERNAME, "abc").finish().to_vec();
    for data in ["", "a", "ab", "abc", "abcd"] {
        stream.extend_from_slice(&channel_data(0x4001, data.as_bytes(), true));
    }
    let whole = frames(&stream, stream.len());
    assert_eq!(whole.len(), 6);
    let last = split_channel_data(&whole[5]).unwrap();
    assert_eq!(last, (0x4001, "abcd".into()));
    for piece in 1..9 {
        assert_eq!(frames(&stream, piece), whole);
    }
    let mut framer = Framer::new(100);
    framer.push(&[0x40, 0, 0, 200]);
    assert_eq!(framer.next_frame(), Err(FrameError::TooLong(204)));
    framer.push(&stream);
    assert_eq!(framer.next_frame(), Err(FrameError::TooLong(204)));
    let mut framer = Framer::new(100);
    framer.push(b"\x80\x00\x00\x00");
    assert_eq!(framer.next_frame(), Err(FrameError::Unknown));
}

fn frames(stream: &[u8], piece: usize) -> Vec<bytes::Bytes> {
    let mut framer = Framer::new(1000);
    let mut all = Vec::new();
    for piece in stream.chunks(piece) {
        framer.push(piece);
        while let Some(frame) = framer.next_frame().unwrap() {
            all.push(frame);
        }
    }
    all
}

proptest! {
    #[test]
    fn no_stream_and_no_datagram_makes_a_client_panic(
        data in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..8),
        udp in any::<bool>(),
    ) {
        let transport = if udp { Transport::Udp } else { Transport::Tcp };
        let mut lab = Lab::new(transport, vec![lab::Server::new(ip(0))]);
        lab.allocate();
        let flow = lab.act(|client, _| client.flow());
        for data in data {
            let event = if udp {
                crate::NetEvent::Datagram { flow, data: data.into() }
            } else {
                crate::NetEvent::Stream { flow, data: data.into() }
            };
            lab.act(|client, now| client.handle(now, &Input::Net(event)));
        }
        lab.run(secs(1));
    }
}
