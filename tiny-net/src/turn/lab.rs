//! A STUN and TURN server for tests on the simulated network: Binding with RFC 5780's other address,
//! allocations with long-term credentials, and a list of lies that it tells on request. Not a server to
//! run: it keeps no limits.

use super::Family;
use super::framing::{Framer, channel_data, split_channel_data};
use crate::NetEvent;
use crate::sim::{Input, Node, Transmit};
use crate::stun::{Algorithm, Builder, Class, Key, Message, attr, method, userhash};
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use tiny_sak::{Flow, Output, Transport};

pub(crate) const PORT: u16 = 3478;
pub(crate) const ALT_PORT: u16 = 3479;
pub(crate) const USER: &str = "lab";
pub(crate) const PASSWORD: &str = "labsecret";
const REALM: &str = "lab.example";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    WrongIntegrity,
    NoIntegrity,
    EndlessStale,
    RelayedOfOtherFamily,
    NoRelayed,
    RelayedOnLoopback,
    NoLifetime,
    BidDown,
    // Data that nobody permitted, with each answer.
    Unasked,
    Silent,
}

#[derive(Debug)]
struct Allocation {
    relayed: SocketAddr,
    other: Option<SocketAddr>,
    ends: Instant,
    permissions: HashMap<IpAddr, Instant>,
    channels: HashMap<u16, (SocketAddr, Instant)>,
}

impl Allocation {
    fn towards(&self, peer: SocketAddr) -> SocketAddr {
        self.other.filter(|other| other.is_ipv4() == peer.is_ipv4()).unwrap_or(self.relayed)
    }
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) allocates: u32,
    pub(crate) refreshes: u32,
    pub(crate) permissions: u32,
    pub(crate) channels: u32,
    pub(crate) releases: u32,
    pub(crate) sends: u32,
    pub(crate) channel_data: u32,
    pub(crate) userhashes: u32,
    pub(crate) sha256: u32,
}

#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) ip: IpAddr,
    pub(crate) ip6: Option<IpAddr>,
    // The other address of RFC 5780.
    pub(crate) alt: Option<IpAddr>,
    pub(crate) sha256: bool,
    pub(crate) anonymous: bool,
    pub(crate) lie: Option<Lie>,
    // The answer to each Allocate.
    pub(crate) refuse: Option<u16>,
    pub(crate) refuse_permissions: Option<u16>,
    pub(crate) alternate: Option<SocketAddr>,
    pub(crate) stale_every: Option<Duration>,
    pub(crate) password: &'static str,
    pub(crate) seen: Seen,
    // A 437 before anything else, as one allocation of another run would cause.
    pub(crate) leftover: bool,
    allocations: HashMap<Flow, Allocation>,
    relays: HashMap<SocketAddr, Flow>,
    framers: HashMap<Flow, Framer>,
    next_port: u16,
    start: Option<Instant>,
    out: VecDeque<Output<Transmit, ()>>,
}

impl Server {
    pub(crate) fn new(ip: IpAddr) -> Self {
        Self {
            ip,
            ip6: None,
            alt: None,
            sha256: false,
            anonymous: false,
            lie: None,
            refuse: None,
            refuse_permissions: None,
            alternate: None,
            stale_every: None,
            password: PASSWORD,
            seen: Seen::default(),
            leftover: false,
            allocations: HashMap::new(),
            relays: HashMap::new(),
            framers: HashMap::new(),
            next_port: 49_152,
            start: None,
            out: VecDeque::new(),
        }
    }

    pub(crate) fn allocations(&self) -> usize {
        self.allocations.len()
    }

    fn nonce(&self, now: Instant) -> String {
        // Bit 0 is password algorithms, bit 1 anonymity, from the most significant (RFC 8489 §9.2).
        let features = match (self.sha256, self.anonymous) {
            (false, false) => "AAAA",
            (true, false) => "gAAA",
            (false, true) => "QAAA",
            (true, true) => "wAAA",
        };
        let age = self.start.map_or(Duration::ZERO, |start| now - start);
        let era = self.stale_every.map_or(0, |every| age.as_millis() / every.as_millis());
        format!("obMatJos2{features}nonce{era}")
    }

    fn key(&self) -> Key {
        let algorithm = if self.sha256 { Algorithm::Sha256 } else { Algorithm::Md5 };
        Key::long_term(USER, REALM, &self.password.into(), algorithm)
    }

    fn send(&mut self, flow: Flow, data: Bytes) {
        if self.lie != Some(Lie::Silent) {
            self.out.push_back(Output::Transmit(Transmit::Send { flow, data }));
        }
    }

    fn sign(&self, answer: Builder) -> Bytes {
        let key = match self.lie {
            Some(Lie::WrongIntegrity) => Key::short_term(&"somebody else's".into()),
            _ => self.key(),
        };
        let answer = match self.lie {
            Some(Lie::NoIntegrity) => answer,
            _ if self.sha256 => answer.integrity_sha256(&key),
            _ => answer.integrity(&key),
        };
        answer.fingerprint().finish()
    }

    fn frame(&mut self, now: Instant, flow: Flow, data: &Bytes) {
        if let Some((number, content)) = split_channel_data(data) {
            self.seen.channel_data += 1;
            let Some(allocation) = self.allocations.get(&flow) else { return };
            let Some((peer, _)) = allocation.channels.get(&number).filter(|c| now < c.1) else {
                return;
            };
            let local = allocation.towards(*peer);
            let relay = Flow { transport: Transport::Udp, local, remote: *peer };
            return self.send(relay, content);
        }
        let Ok(message) = Message::parse(data) else { return };
        match (message.class(), message.method()) {
            (Class::Request, method::BINDING) => self.binding(flow, &message),
            (Class::Request, _) => self.request(now, flow, &message),
            (Class::Indication, method::SEND) => {
                self.seen.sends += 1;
                let Some(peer) = message.xor_address(attr::XOR_PEER_ADDRESS) else { return };
                let Some(allocation) = self.allocations.get(&flow) else { return };
                let permitted = allocation.permissions.get(&peer.ip()).is_some_and(|p| now < *p);
                let Some(content) = message.get(attr::DATA).filter(|_| permitted) else { return };
                let local = allocation.towards(peer);
                let relay = Flow { transport: Transport::Udp, local, remote: peer };
                self.send(relay, Bytes::copy_from_slice(content));
            }
            _ => {}
        }
    }

    fn binding(&mut self, flow: Flow, message: &Message<'_>) {
        let mut answer = Builder::new(Class::Success, method::BINDING, message.id())
            .xor_address(attr::XOR_MAPPED_ADDRESS, flow.remote);
        let mut from = flow;
        if let Some(alt) = self.alt {
            let ip = if flow.local.ip() == self.ip { alt } else { self.ip };
            let port = if flow.local.port() == PORT { ALT_PORT } else { PORT };
            let other = SocketAddr::new(ip, port);
            answer = answer.address(attr::OTHER_ADDRESS, other);
            let change = message.u32(attr::CHANGE_REQUEST).unwrap_or(0);
            if change & 4 != 0 {
                from.local.set_ip(ip);
            }
            if change & 2 != 0 {
                from.local.set_port(port);
            }
        }
        let answer = answer.fingerprint().finish();
        self.send(from, answer);
    }

    fn request(&mut self, now: Instant, flow: Flow, message: &Message<'_>) {
        if self.lie == Some(Lie::Unasked) {
            let fake = Builder::new(Class::Indication, method::DATA, [9; 12])
                .xor_address(attr::XOR_PEER_ADDRESS, "203.0.113.99:9".parse().unwrap())
                .attribute(attr::DATA, b"unasked");
            self.send(flow, fake.finish());
            self.send(flow, channel_data(0x4000, b"unasked too", false));
        }
        let method = message.method();
        let error = |code: u16, reason: &str| {
            Builder::new(Class::Error, method, message.id()).error(code, reason)
        };
        let has_integrity =
            message.has(attr::MESSAGE_INTEGRITY) || message.has(attr::MESSAGE_INTEGRITY_SHA256);
        if message.get(attr::USERHASH) == Some(&userhash(USER, REALM)) {
            self.seen.userhashes += 1;
        }
        if message.has(attr::MESSAGE_INTEGRITY_SHA256) {
            self.seen.sha256 += 1;
        }
        let nonce = self.nonce(now);
        let stale = message.text(attr::NONCE) != Some(&nonce)
            || self.lie == Some(Lie::EndlessStale) && has_integrity;
        let code = if !has_integrity || !message.verify(&self.key()).is_valid() {
            Some((401, "Unauthenticated"))
        } else if stale {
            Some((438, "Stale Nonce"))
        } else {
            None
        };
        if let Some((code, reason)) = code {
            let nonce = if self.lie == Some(Lie::EndlessStale) {
                format!("{nonce}{}", self.seen.allocates)
            } else {
                nonce
            };
            self.seen.allocates += 1;
            let mut answer = error(code, reason).text(attr::REALM, REALM).text(attr::NONCE, &nonce);
            if self.sha256 && self.lie != Some(Lie::BidDown) {
                answer = answer.password_algorithms(&[Algorithm::Sha256, Algorithm::Md5]);
            }
            return self.send(flow, answer.fingerprint().finish());
        }
        let answer = match method {
            method::ALLOCATE => self.allocate(now, flow, message, &error),
            method::REFRESH => {
                let lifetime = message.u32(attr::LIFETIME).unwrap_or(600);
                let known = self.allocations.contains_key(&flow);
                if lifetime == 0 {
                    self.seen.releases += 1;
                    self.leftover = false;
                    self.allocations.remove(&flow);
                    self.relays.retain(|_, of| *of != flow);
                } else {
                    self.seen.refreshes += 1;
                    if let Some(allocation) = self.allocations.get_mut(&flow) {
                        allocation.ends = now + Duration::from_secs(lifetime.into());
                    }
                }
                if known || lifetime == 0 {
                    Builder::new(Class::Success, method, message.id()).u32(attr::LIFETIME, lifetime)
                } else {
                    error(437, "Allocation Mismatch")
                }
            }
            _ => self.peer(now, flow, message, &error),
        };
        let answer = self.sign(answer);
        self.send(flow, answer);
    }

    fn allocate(
        &mut self,
        now: Instant,
        flow: Flow,
        message: &Message<'_>,
        error: &dyn Fn(u16, &str) -> Builder,
    ) -> Builder {
        if let Some(to) = self.alternate {
            return error(300, "Try Alternate").address(attr::ALTERNATE_SERVER, to);
        }
        if let Some(code) = self.refuse {
            return error(code, "No");
        }
        if self.leftover {
            return error(437, "Allocation Mismatch");
        }
        let v6 = message.u32(attr::REQUESTED_ADDRESS_FAMILY) == Some(2 << 24);
        let family = if v6 { Family::V6 } else { Family::V4 };
        let ip = [Some(self.ip), self.ip6].into_iter().flatten().find(|ip| family.has(*ip));
        let Some(ip) = ip else { return error(440, "Address Family not Supported") };
        let both = message.u32(attr::ADDITIONAL_ADDRESS_FAMILY) == Some(2 << 24);
        let mut new = |ip| {
            self.next_port += 1;
            SocketAddr::new(ip, self.next_port)
        };
        let known = self.allocations.get(&flow).map(|a| (a.relayed, a.other));
        let (relayed, other) =
            known.unwrap_or_else(|| (new(ip), self.ip6.filter(|_| both).map(&mut new)));
        let ends = now + Duration::from_secs(600);
        for relayed in std::iter::once(relayed).chain(other) {
            self.relays.insert(relayed, flow);
        }
        let (permissions, channels) = (HashMap::new(), HashMap::new());
        self.allocations.insert(flow, Allocation { relayed, other, ends, permissions, channels });
        let told = match self.lie {
            Some(Lie::RelayedOfOtherFamily) if !v6 => Some("[2001:db8::9]:7".parse().unwrap()),
            Some(Lie::NoRelayed) => None,
            Some(Lie::RelayedOnLoopback) => Some("127.0.0.1:7".parse().unwrap()),
            _ => Some(relayed),
        };
        let lifetime = if self.lie == Some(Lie::NoLifetime) { 0 } else { 600 };
        let mut answer = Builder::new(Class::Success, method::ALLOCATE, message.id())
            .xor_address(attr::XOR_MAPPED_ADDRESS, flow.remote)
            .u32(attr::LIFETIME, lifetime);
        if let Some(told) = told {
            answer = answer.xor_address(attr::XOR_RELAYED_ADDRESS, told);
        }
        match other {
            Some(other) => answer.xor_address(attr::XOR_RELAYED_ADDRESS, other),
            None => answer,
        }
    }

    fn peer(
        &mut self,
        now: Instant,
        flow: Flow,
        message: &Message<'_>,
        error: &dyn Fn(u16, &str) -> Builder,
    ) -> Builder {
        let method = message.method();
        if let Some(code) = self.refuse_permissions {
            return error(code, "No");
        }
        let Some(peer) = message.xor_address(attr::XOR_PEER_ADDRESS) else {
            return error(400, "Bad Request");
        };
        let Some(allocation) = self.allocations.get_mut(&flow) else {
            return error(437, "Allocation Mismatch");
        };
        allocation.permissions.insert(peer.ip(), now + Duration::from_secs(300));
        if method == method::CHANNEL_BIND {
            self.seen.channels += 1;
            let Some(number) = message.u16(attr::CHANNEL_NUMBER) else {
                return error(400, "Bad Request");
            };
            allocation.channels.insert(number, (peer, now + Duration::from_secs(600)));
        } else {
            self.seen.permissions += 1;
        }
        Builder::new(Class::Success, method, message.id())
    }

    // Something came to a relayed address.
    fn relay(&mut self, now: Instant, client: Flow, peer: SocketAddr, data: &Bytes) {
        let Some(allocation) = self.allocations.get(&client).filter(|a| now < a.ends) else {
            return;
        };
        if allocation.permissions.get(&peer.ip()).is_none_or(|p| now >= *p) {
            return;
        }
        let channel = allocation.channels.iter().find(|(_, c)| c.0 == peer && now < c.1);
        let message = match channel {
            Some((number, _)) => channel_data(*number, data, client.transport != Transport::Udp),
            None => Builder::new(Class::Indication, method::DATA, [1; 12])
                .xor_address(attr::XOR_PEER_ADDRESS, peer)
                .attribute(attr::DATA, data)
                .finish(),
        };
        self.send(client, message);
    }
}

impl Node for Server {
    type Event = ();

    fn handle(&mut self, now: Instant, input: Input) {
        self.start.get_or_insert(now);
        match input {
            Input::Net(NetEvent::Datagram { flow, data }) => match self.relays.get(&flow.local) {
                Some(client) => self.relay(now, *client, flow.remote, &data),
                None => self.frame(now, flow, &data),
            },
            Input::Net(NetEvent::Stream { flow, data }) => {
                let framer = self.framers.entry(flow).or_insert_with(|| Framer::new(65_536));
                framer.push(&data);
                let mut frames = Vec::new();
                while let Ok(Some(frame)) = framer.next_frame() {
                    frames.push(frame);
                }
                for frame in frames {
                    self.frame(now, flow, &frame);
                }
            }
            _ => {}
        }
    }

    fn poll(&mut self, _now: Instant) -> Output<Transmit, ()> {
        self.out.pop_front().unwrap_or(Output::Timeout(None))
    }
}
