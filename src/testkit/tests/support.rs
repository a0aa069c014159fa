//! Telephones that do only what a test says, in one world with a server.

use crate::testkit::{Server, ServerConfig, ServerEvent};
use bytes::Bytes;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tiny_net::NetEvent;
use tiny_net::sim::{Input, Link, Node, NodeId, Transmit, World};
use tiny_sak::{Flow, Output, Rng, Secret, Transport};
use tiny_sip::digest::{Answer, Session};
use tiny_sip::{HeaderName, Limits, Message, StreamFramer};

pub(super) const SERVER: &str = "192.0.2.100:5060";

/// What a node tells.
#[derive(Debug)]
pub(super) enum Told {
    Server(ServerEvent),
    Got(Flow, Message),
}

/// A server, or a telephone without a will of its own.
pub(super) enum Actor {
    Server(Box<Server>),
    Phone(Phone),
}

#[derive(Default)]
pub(super) struct Phone {
    out: VecDeque<Transmit>,
    got: VecDeque<(Flow, Message)>,
    framer: Option<StreamFramer>,
}

impl Node for Actor {
    type Event = Told;

    fn handle(&mut self, now: Instant, input: Input) {
        let phone = match self {
            Self::Server(server) => return Node::handle(&mut **server, now, input),
            Self::Phone(phone) => phone,
        };
        match input {
            Input::Net(NetEvent::Datagram { flow, data }) => {
                phone.got.push_back((flow, Message::parse(data, &Limits::default()).unwrap()));
            }
            Input::Net(NetEvent::Stream { flow, data }) => {
                let new = || StreamFramer::new(&Limits::default());
                let framer = phone.framer.get_or_insert_with(new);
                framer.push(data);
                while let Ok(Some(tiny_sip::Framed::Message(data))) = framer.next() {
                    phone.got.push_back((flow, Message::parse(data, &Limits::default()).unwrap()));
                }
            }
            _ => {}
        }
    }

    fn poll(&mut self, now: Instant) -> Output<Transmit, Told> {
        match self {
            Self::Server(server) => match Node::poll(&mut **server, now) {
                Output::Transmit(t) => Output::Transmit(t),
                Output::Event(e) => Output::Event(Told::Server(e)),
                Output::Timeout(t) => Output::Timeout(t),
            },
            Self::Phone(phone) => {
                if let Some(transmit) = phone.out.pop_front() {
                    return Output::Transmit(transmit);
                }
                match phone.got.pop_front() {
                    Some((flow, message)) => Output::Event(Told::Got(flow, message)),
                    None => Output::Timeout(None),
                }
            }
        }
    }
}

/// A world with a server and phones at 192.0.2.1, 192.0.2.2 …
pub(super) struct Town {
    pub(super) world: World<Actor>,
    pub(super) server: NodeId,
    cseq: u32,
}

impl Town {
    pub(super) fn new(config: ServerConfig) -> Self {
        let mut world = World::new(Instant::now(), 1);
        world.network.set_default_path(Link::new().latency(Duration::from_millis(10)));
        let at: SocketAddr = SERVER.parse().unwrap();
        let mut core = Server::new(config, Rng::from_seed(1));
        core.bind(Transport::Udp, at);
        core.bind(Transport::Tcp, at);
        let server = world.add(at.ip(), Actor::Server(Box::new(core)));
        let host = world.host(server);
        world.network.listen(host, Transport::Tcp, at.port());
        Self { world, server, cseq: 0 }
    }

    pub(super) fn phone(&mut self, number: u8) -> NodeId {
        self.world.add([192, 0, 2, number].into(), Actor::Phone(Phone::default()))
    }

    pub(super) fn core(&self) -> &Server {
        match self.world.node(self.server) {
            Actor::Server(server) => server,
            Actor::Phone(_) => unreachable!("the first node is the server"),
        }
    }

    /// The path from a phone to the server.
    pub(super) fn flow(&self, phone: NodeId, transport: Transport) -> Flow {
        let ip = self.world.network.address(self.world.host(phone), true).unwrap();
        let remote = SERVER.parse().unwrap();
        Flow { transport, local: SocketAddr::new(ip, 5060), remote }
    }

    pub(super) fn send(&mut self, phone: NodeId, flow: Flow, text: &str) {
        let data = Bytes::from(text.replace('\n', "\r\n"));
        self.world.act(phone, |actor, _| match actor {
            Actor::Phone(p) => p.out.push_back(Transmit::Send { flow, data }),
            Actor::Server(_) => unreachable!("servers are not told what to send"),
        });
    }

    /// A request over UDP with the headers that every one needs, and those given.
    pub(super) fn request(&mut self, phone: NodeId, line: &str, headers: &str) {
        let flow = self.flow(phone, Transport::Udp);
        self.request_on(phone, flow, line, headers);
    }

    pub(super) fn request_on(&mut self, phone: NodeId, flow: Flow, line: &str, headers: &str) {
        self.cseq += 1;
        let (cseq, local, via) = (self.cseq, flow.local, flow.transport);
        let method = line.split(' ').next().unwrap();
        let mut text = format!("{line} SIP/2.0\n");
        if !headers.contains("Via: ") {
            text += &format!("Via: SIP/2.0/{via} {local};branch=z9hG4bK-{cseq};rport\n");
        }
        for (name, value) in [
            ("Max-Forwards", "70".to_owned()),
            ("From", format!("<sip:caller@example.test>;tag=from{cseq}")),
            ("To", "<sip:someone@example.test>".to_owned()),
            ("Call-ID", format!("call-{cseq}")),
            ("CSeq", format!("{cseq} {method}")),
        ] {
            if !headers.contains(&format!("{name}: ")) {
                text += &format!("{name}: {value}\n");
            }
        }
        self.send(phone, flow, &format!("{text}{headers}Content-Length: 0\n\n"));
    }

    /// Answers a request that came to a phone.
    pub(super) fn answer(&mut self, phone: NodeId, to: &(Flow, Message), status: &str, tag: &str) {
        let (flow, request) = to;
        let mut text = format!("SIP/2.0 {status}\n");
        for (name, value) in request.all_headers() {
            match HeaderName::parse(name) {
                HeaderName::To => text += &format!("To: {value};tag={tag}\n"),
                HeaderName::Via
                | HeaderName::From
                | HeaderName::CallId
                | HeaderName::CSeq
                | HeaderName::RecordRoute => text += &format!("{name}: {value}\n"),
                _ => {}
            }
        }
        text += &format!("Contact: <sip:{}>\nContent-Length: 0\n\n", flow.local);
        self.send(phone, *flow, &text);
    }

    /// All that phones get in a while.
    pub(super) fn run(&mut self, duration: Duration) -> Vec<(NodeId, (Flow, Message))> {
        let got = |told| match told {
            (_, id, Told::Got(flow, message)) => Some((id, (flow, message))),
            (_, _, Told::Server(_)) => None,
        };
        self.world.run_for(duration).into_iter().filter_map(got).collect()
    }

    /// The one message that comes in 100 ms.
    pub(super) fn one(&mut self) -> (NodeId, (Flow, Message)) {
        let mut all = self.run(Duration::from_millis(100));
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    /// Sends a request, answers the challenge, and returns the final response.
    pub(super) fn prove(
        &mut self,
        phone: NodeId,
        line: &str,
        headers: &str,
        user: &str,
        password: &str,
    ) -> Message {
        self.request(phone, line, headers);
        let (_, (_, challenged)) = self.one();
        let (status, name) = match challenged.status().unwrap().code() {
            401 => (HeaderName::WwwAuthenticate, "Authorization"),
            407 => (HeaderName::ProxyAuthenticate, "Proxy-Authorization"),
            _ => return challenged,
        };
        let challenge = challenged.challenges(status).next().unwrap().unwrap();
        let mut session = Session::new(&challenge).unwrap();
        let (method, uri) = line.split_once(' ').unwrap();
        let password = Secret::from(password);
        let answer = Answer {
            username: user,
            password: &password,
            method,
            uri,
            body: b"",
            cnonce: "0a4f113b",
        };
        let credentials = session.authorize(&answer);
        self.request(phone, line, &format!("{headers}{name}: {credentials}\n"));
        self.one().1.1
    }

    /// Registers a phone under a name whose password is `secret`.
    pub(super) fn register(&mut self, phone: NodeId, user: &str) {
        let at = self.flow(phone, Transport::Udp).local;
        let headers =
            format!("To: <sip:{user}@example.test>\nContact: <sip:{user}@{at}>\nExpires: 600\n");
        let done = self.prove(phone, "REGISTER sip:example.test", &headers, user, "secret");
        assert_eq!(done.status().unwrap().code(), 200);
    }
}

pub(super) fn config() -> ServerConfig {
    ["alice", "bob", "carol", "dave"]
        .into_iter()
        .fold(ServerConfig::new("example.test"), |config, user| config.user(user, "secret"))
}

pub(super) fn status(message: &Message) -> u16 {
    message.status().map_or(0, |s| s.code())
}

pub(super) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}
