//! A network of endpoints in one thread and virtual time: seeded latency, loss, duplication and
//! reordering. What goes to an address without an endpoint can be read and answered by hand.
#![allow(dead_code, unreachable_pub)]

use bytes::Bytes;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tiny_sak::{Flow, Output, Rng, Transport};
use tiny_sip::{
    Account, AccountKey, Body, CallKey, Config, Endpoint, Event, Input, Message, Network, Outgoing,
};

pub const SDP: &str = "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n\
                       m=audio 4000 RTP/AVP 0\r\n";

pub fn sdp() -> Option<Body> {
    Some(Body::sdp(SDP))
}

pub fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Packet {
    at: Instant,
    order: u64,
    to: SocketAddr,
    from: SocketAddr,
    stream: bool,
    data: Bytes,
}

pub struct Peer {
    pub endpoint: Endpoint,
    pub addr: SocketAddr,
    pub account: AccountKey,
    pub events: VecDeque<Event>,
}

pub struct Net {
    pub start: Instant,
    pub now: Instant,
    pub rng: Rng,
    pub peers: Vec<Peer>,
    pub loss: f64,
    pub duplication: f64,
    pub latency: (u64, u64),
    /// Everything sent: from, to, transport, bytes.
    pub log: Vec<(SocketAddr, SocketAddr, Transport, Bytes)>,
    pub logging: bool,
    /// What came to addresses without an endpoint.
    pub inbox: VecDeque<(SocketAddr, SocketAddr, String)>,
    by_addr: HashMap<SocketAddr, usize>,
    packets: BinaryHeap<Reverse<Packet>>,
    order: u64,
}

impl Net {
    pub fn new(seed: u64) -> Self {
        let start = Instant::now();
        Self {
            start,
            now: start,
            rng: Rng::from_seed(seed),
            peers: Vec::new(),
            loss: 0.0,
            duplication: 0.0,
            latency: (5, 5),
            log: Vec::new(),
            logging: true,
            inbox: VecDeque::new(),
            by_addr: HashMap::new(),
            packets: BinaryHeap::new(),
            order: 0,
        }
    }

    /// Alice at 10.0.0.1 and Bob at 10.0.0.2.
    pub fn pair(seed: u64) -> Self {
        let mut net = Self::new(seed);
        net.add("10.0.0.1:5060", "alice", Config::default());
        net.add("10.0.0.2:5060", "bob", Config::default());
        net
    }

    pub fn add(&mut self, at: &str, user: &str, config: Config) -> usize {
        let account = Account { aor: format!("sip:{user}@example.com"), ..Account::default() };
        self.add_account(at, account, config)
    }

    pub fn add_account(&mut self, at: &str, account: Account, config: Config) -> usize {
        let at = addr(at);
        let mut endpoint = Endpoint::new(config, self.rng.fork());
        endpoint.bind(Transport::Udp, at);
        let account = endpoint.add_account(account).unwrap();
        self.by_addr.insert(at, self.peers.len());
        self.peers.push(Peer { endpoint, addr: at, account, events: VecDeque::new() });
        self.peers.len() - 1
    }

    /// A peer is at another address, over UDP and TCP, and knows; what is on its way to the old one
    /// is lost.
    pub fn relocate(&mut self, peer: usize, at: &str) {
        let at = addr(at);
        self.by_addr.remove(&self.peers[peer].addr);
        self.by_addr.insert(at, peer);
        self.peers[peer].addr = at;
        let local = vec![(Transport::Udp, at), (Transport::Tcp, at)];
        let network = Network { bound: local.clone(), local, routes: Vec::new() };
        self.peers[peer].endpoint.network_changed(self.now, network);
        self.drain();
    }

    /// Drains what the endpoints want to send and tell.
    pub fn drain(&mut self) {
        for i in 0..self.peers.len() {
            loop {
                match self.peers[i].endpoint.poll(self.now) {
                    Output::Transmit(t) => self.send(t.flow, t.data),
                    Output::Event(event) => self.peers[i].events.push_back(event),
                    Output::Timeout(_) => break,
                }
            }
        }
    }

    fn send(&mut self, flow: Flow, data: Bytes) {
        let stream = flow.transport.is_stream();
        if self.logging {
            self.log.push((flow.local, flow.remote, flow.transport, data.clone()));
        }
        if !stream && self.rng.chance(self.loss) {
            return;
        }
        let copies = if !stream && self.rng.chance(self.duplication) { 2 } else { 1 };
        for _ in 0..copies {
            let (low, high) = self.latency;
            let spread = if stream { 0 } else { high - low };
            let late = Duration::from_millis(low + self.rng.below(spread + 1));
            self.order += 1;
            self.packets.push(Reverse(Packet {
                at: self.now + late,
                order: self.order,
                to: flow.remote,
                from: flow.local,
                stream,
                data: data.clone(),
            }));
        }
    }

    /// One packet or timer; `false` when nothing is left or the next thing is after `end`.
    pub fn step(&mut self, end: Option<Instant>) -> bool {
        self.drain();
        let packet = self.packets.peek().map(|p| p.0.at);
        let timer = (0..self.peers.len()).filter_map(|i| self.deadline(i)).min();
        let Some(at) = packet.into_iter().chain(timer).min() else { return false };
        if end.is_some_and(|end| at > end) {
            return false;
        }
        self.now = self.now.max(at);
        if packet == Some(at) {
            let Some(Reverse(packet)) = self.packets.pop() else { return false };
            self.deliver(packet);
        } else {
            for i in 0..self.peers.len() {
                if self.deadline(i).is_some_and(|t| t <= self.now) {
                    self.peers[i].endpoint.handle(self.now, Input::Timeout);
                }
            }
        }
        self.drain();
        true
    }

    fn deadline(&mut self, i: usize) -> Option<Instant> {
        match self.peers[i].endpoint.poll(self.now) {
            Output::Timeout(at) => at,
            _ => panic!("not drained"),
        }
    }

    fn deliver(&mut self, packet: Packet) {
        let Packet { to, from, stream, data, .. } = packet;
        let Some(i) = self.by_addr.get(&to).copied() else {
            let text = String::from_utf8_lossy(&data).into_owned();
            self.inbox.push_back((from, to, text));
            return;
        };
        let transport = if stream { Transport::Tcp } else { Transport::Udp };
        let flow = Flow { transport, local: to, remote: from };
        let input =
            if stream { Input::Stream { flow, data } } else { Input::Datagram { flow, data } };
        self.peers[i].endpoint.handle(self.now, input);
    }

    /// Lets time pass.
    pub fn run(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while self.step(Some(end)) {}
        self.now = end;
    }

    /// Lets everything come to its end.
    pub fn settle(&mut self) {
        while self.step(None) {}
    }

    pub fn elapsed(&self) -> u64 {
        (self.now - self.start).as_millis() as u64
    }

    /// Sends a datagram by hand, at once.
    pub fn inject(&mut self, from: &str, to: &str, text: &str) {
        let packet = Packet {
            at: self.now,
            order: 0,
            to: addr(to),
            from: addr(from),
            stream: false,
            data: text.to_owned().into(),
        };
        self.deliver(packet);
        self.drain();
    }

    /// The same over a stream.
    pub fn inject_stream(&mut self, from: &str, to: &str, text: &str) {
        let packet = Packet {
            at: self.now,
            order: 0,
            to: addr(to),
            from: addr(from),
            stream: true,
            data: text.to_owned().into(),
        };
        self.deliver(packet);
        self.drain();
    }

    /// The next message that came to an address without an endpoint.
    pub fn caught(&mut self) -> String {
        for _ in 0..1000 {
            if let Some((_, _, text)) = self.inbox.pop_front() {
                return text;
            }
            assert!(self.step(None), "nothing is on its way");
        }
        panic!("nothing came");
    }

    /// The next event of a peer; time passes until it comes.
    pub fn event(&mut self, peer: usize) -> Event {
        self.drain();
        for _ in 0..100_000 {
            if let Some(event) = self.peers[peer].events.pop_front() {
                return event;
            }
            assert!(self.step(None), "no event will come");
        }
        panic!("no event came");
    }

    pub fn no_event(&mut self, peer: usize) {
        self.drain();
        assert!(self.peers[peer].events.is_empty(), "{:?}", self.peers[peer].events);
    }

    pub fn endpoint(&mut self, peer: usize) -> &mut Endpoint {
        &mut self.peers[peer].endpoint
    }

    pub fn invite(&mut self, peer: usize, to: &str) -> CallKey {
        let (now, account) = (self.now, self.peers[peer].account);
        let outgoing = Outgoing { to: to.into(), body: sdp(), ..Outgoing::default() };
        let call = self.peers[peer].endpoint.invite(now, account, outgoing).unwrap();
        self.drain();
        call
    }

    /// A call that is established on both sides.
    pub fn call(&mut self) -> (CallKey, CallKey) {
        let alice = self.invite(0, "sip:bob@10.0.0.2");
        let Event::Incoming { call: bob, .. } = self.event(1) else { panic!() };
        let now = self.now;
        self.endpoint(1).accept(now, bob, vec![], sdp()).unwrap();
        let Event::Answered { call, needs_answer: false, .. } = self.event(0) else { panic!() };
        assert_eq!(call, alice);
        let Event::Confirmed { call, ack: None } = self.event(1) else { panic!() };
        assert_eq!(call, bob);
        (alice, bob)
    }

    /// First lines of everything sent, without the SIP version.
    pub fn ladder(&self) -> Vec<String> {
        self.log
            .iter()
            .map(|(.., data)| {
                let text = String::from_utf8_lossy(data);
                let line = text.lines().next().unwrap_or_default();
                line.trim_end_matches(" SIP/2.0").trim_start_matches("SIP/2.0 ").to_owned()
            })
            .collect()
    }

    /// The latest sent message that begins so.
    pub fn sent(&self, start: &str) -> String {
        let found = self.log.iter().rev().find(|(.., data)| data.starts_with(start.as_bytes()));
        let (.., data) = found.unwrap_or_else(|| panic!("no {start} in {:?}", self.ladder()));
        String::from_utf8_lossy(data).into_owned()
    }

    pub fn count(&self, start: &str) -> usize {
        self.log.iter().filter(|(.., data)| data.starts_with(start.as_bytes())).count()
    }

    /// Nothing is left over on any endpoint.
    pub fn assert_empty(&mut self) {
        self.drain();
        for peer in &self.peers {
            let s = peer.endpoint.stats();
            let left = (
                (s.client_transactions, s.server_transactions),
                (s.dialogs, s.calls, s.requests + s.subscriptions + s.watchers + s.publications),
                (s.timers, s.pending),
            );
            assert_eq!(left, ((0, 0), (0, 0, 0), (0, 0)), "{}", peer.addr);
        }
    }
}

/// The value of the first header field of a name.
pub fn header<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines()
        .take_while(|line| !line.is_empty())
        .find_map(|line| {
            let (n, value) = line.split_once(':')?;
            n.eq_ignore_ascii_case(name).then(|| value.trim())
        })
        .unwrap_or_else(|| panic!("no {name} in {text}"))
}

pub fn has(text: &str, name: &str) -> bool {
    text.lines().any(|line| line.split_once(':').is_some_and(|(n, _)| n.eq_ignore_ascii_case(name)))
}

/// A response to a request that was caught, with a To tag and further header lines.
pub fn answer(request: &str, status: &str, tag: &str, extra: &str) -> String {
    let to = header(request, "To");
    let to = if tag.is_empty() || to.contains("tag=") {
        to.to_owned()
    } else {
        format!("{to};tag={tag}")
    };
    format!(
        "SIP/2.0 {status}\r\nVia: {}\r\nFrom: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {}\r\n{extra}\
         Content-Length: 0\r\n\r\n",
        header(request, "Via"),
        header(request, "From"),
        header(request, "Call-ID"),
        header(request, "CSeq"),
    )
}

pub fn parse(text: &str) -> Message {
    Message::parse(text.to_owned().into(), &tiny_sip::Limits::default()).unwrap()
}
