//! The server's core, without I/O: network events in, messages out.

use super::auth::Nonces;
use super::config::ServerConfig;
use super::edit;
use super::location::Location;
use super::transaction::{Timer, Transaction, key};
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;
use tiny_net::NetEvent;
use tiny_net::sim::{Input, Node, Transmit};
use tiny_sak::{Flow, Output, Rng, TimerQueue, Transport, id};
use tiny_sip::{Framed, Limits, Message, Method, ParseError, StatusCode, StreamFramer};

/// What the server tells its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerEvent {
    /// A contact was registered, or its registration refreshed.
    Registered {
        /// The user.
        user: String,
        /// The contact's URI.
        contact: String,
        /// For so many seconds.
        expires: u32,
    },
    /// A contact was removed by its user.
    Unregistered {
        /// The user.
        user: String,
        /// The contact's URI.
        contact: String,
    },
}

/// A registrar and proxy that is driven like every core: see [`Output`].
///
/// It is a [`Node`] too, so that a simulated world can hold one.
#[derive(Debug)]
pub struct Server {
    pub(super) config: ServerConfig,
    pub(super) rng: Rng,
    pub(super) nonces: Nonces,
    pub(super) location: Location,
    pub(super) transactions: HashMap<u64, Transaction>,
    pub(super) by_key: HashMap<String, u64>,
    pub(super) by_branch: HashMap<String, (u64, usize)>,
    pub(super) next_id: u64,
    pub(super) timers: TimerQueue<Timer>,
    pub(super) events: VecDeque<ServerEvent>,
    /// Of the flow tokens of an edge proxy.
    pub(super) seal_key: u64,
    locals: Vec<(Transport, SocketAddr)>,
    framers: HashMap<(Transport, SocketAddr), StreamFramer>,
    out: VecDeque<Transmit>,
}

impl Server {
    /// A server that listens nowhere yet.
    pub fn new(config: ServerConfig, mut rng: Rng) -> Self {
        Self {
            config,
            seal_key: rng.u64(),
            rng,
            nonces: Nonces::default(),
            location: Location::default(),
            transactions: HashMap::new(),
            by_key: HashMap::new(),
            by_branch: HashMap::new(),
            next_id: 0,
            timers: TimerQueue::new(),
            events: VecDeque::new(),
            locals: Vec::new(),
            framers: HashMap::new(),
            out: VecDeque::new(),
        }
    }

    /// An address that the server listens on.
    pub fn bind(&mut self, transport: Transport, local: SocketAddr) {
        self.locals.push((transport, local));
    }

    /// Transactions that are remembered.
    pub fn transactions(&self) -> usize {
        self.transactions.len()
    }

    /// Something happened on the network.
    pub fn handle(&mut self, now: Instant, event: NetEvent) {
        match event {
            NetEvent::Datagram { flow, data } => self.received(now, flow, data),
            NetEvent::Stream { flow, data } => self.stream(now, flow, data),
            NetEvent::Closed { flow, .. } => {
                self.framers.remove(&(flow.transport, flow.remote));
                self.location.forget_flow(flow);
                self.unreachable(now, flow);
            }
            NetEvent::SendFailed { flow, .. } => self.unreachable(now, flow),
            _ => {}
        }
    }

    /// The deadline of the last `Output::Timeout` is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.pop_due(now) {
            self.expire(now, timer);
        }
    }

    /// What the server wants next.
    pub fn poll(&mut self, _now: Instant) -> Output<Transmit, ServerEvent> {
        if let Some(transmit) = self.out.pop_front() {
            return Output::Transmit(transmit);
        }
        match self.events.pop_front() {
            Some(event) => Output::Event(event),
            None => Output::Timeout(self.timers.next_deadline()),
        }
    }

    pub(super) fn transmit(&mut self, flow: Flow, data: Bytes) {
        self.out.push_back(Transmit::Send { flow, data });
    }

    /// Our address for a target of this transport and family.
    pub(super) fn local_for(&self, transport: Transport, remote: SocketAddr) -> Option<SocketAddr> {
        let fits =
            |l: &&(Transport, SocketAddr)| l.0 == transport && l.1.is_ipv4() == remote.is_ipv4();
        let mut local = self.locals.iter().find(fits)?.1;
        if local.ip().is_unspecified() && remote.ip().is_loopback() {
            local.set_ip(remote.ip());
        }
        Some(local)
    }

    /// Whether somebody has opened this connection to us, and it stands.
    pub(super) fn is_open(&self, flow: Flow) -> bool {
        self.framers.contains_key(&(flow.transport, flow.remote))
    }

    pub(super) fn is_own_address(&self, addr: SocketAddr) -> bool {
        let own = |(_, local): &(Transport, SocketAddr)| {
            local.port() == addr.port()
                && (local.ip() == addr.ip()
                    || local.ip().is_unspecified() && addr.ip().is_loopback())
        };
        self.locals.iter().any(own)
    }

    fn stream(&mut self, now: Instant, flow: Flow, data: Bytes) {
        let place = (flow.transport, flow.remote);
        let new = || StreamFramer::new(&Limits::default());
        self.framers.entry(place).or_insert_with(new).push(data);
        // Looked up anew each time: a message could change the table.
        while let Some(framer) = self.framers.get_mut(&place) {
            match framer.next() {
                Ok(Some(Framed::Message(data))) => self.received(now, flow, data),
                // RFC 5626 §3.5.1.
                Ok(Some(Framed::Ping)) => self.transmit(flow, Bytes::from_static(b"\r\n")),
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(_) => {
                    self.framers.remove(&place);
                    self.location.forget_flow(flow);
                    self.out.push_back(Transmit::Close { flow });
                    return;
                }
            }
        }
    }

    fn received(&mut self, now: Instant, flow: Flow, data: Bytes) {
        let message = match Message::parse(data, &Limits::default()) {
            Ok(message) => message,
            Err(ParseError::Request { partial: Some(partial), what }) => {
                return self.refuse(&partial, flow, what.status(), &what.reason());
            }
            // RFC 3261 §18.1.2: what cannot be answered is dropped.
            Err(_) => return,
        };
        match message.validate() {
            Ok(()) if message.is_request() => self.request(now, flow, message),
            Ok(()) => self.response(now, message),
            Err(defect) if message.is_request() => {
                self.refuse(&message, flow, defect.status(), &defect.reason());
            }
            Err(_) => {}
        }
    }

    fn request(&mut self, now: Instant, flow: Flow, request: Message) {
        let Some(method) = request.method().cloned() else { return };
        let owner = match method {
            Method::Ack | Method::Cancel => Method::Invite,
            _ => method.clone(),
        };
        let Some(owner) = key(&request, &owner) else { return };
        match method {
            Method::Ack => {
                if !self.acknowledge(&owner) {
                    self.pass_on(now, flow, &request);
                }
            }
            Method::Cancel => {
                let Some(invite) = self.by_key.get(&owner).copied() else {
                    return self.refuse(&request, flow, status(481), "");
                };
                // RFC 3261 §9.2: CANCEL itself is always answered by 200.
                self.refuse(&request, flow, StatusCode::OK, "");
                self.cancel(now, invite);
            }
            _ => {
                if let Some(id) = self.by_key.get(&owner).copied() {
                    return self.again(id);
                }
                match self.open(owner, request.clone(), flow) {
                    Some(id) => self.process(now, id),
                    None => self.refuse(&request, flow, status(503), ""),
                }
            }
        }
    }

    /// Answers without remembering anything.
    fn refuse(&mut self, request: &Message, flow: Flow, status: StatusCode, reason: &str) {
        if request.method() == Some(&Method::Ack) {
            return;
        }
        let tag = id::tag(&mut self.rng);
        let bytes = edit::response(request, flow.remote, status, reason, &tag, &[]);
        if let Some(bytes) = bytes {
            self.transmit(edit::reply_flow(request, flow), bytes);
        }
    }
}

fn status(code: u16) -> StatusCode {
    StatusCode::new(code).unwrap_or(StatusCode::BAD_REQUEST)
}

impl Node for Server {
    type Event = ServerEvent;

    fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Net(event) => Server::handle(self, now, event),
            Input::Timeout => self.handle_timeout(now),
            _ => {}
        }
    }

    fn poll(&mut self, now: Instant) -> Output<Transmit, ServerEvent> {
        Server::poll(self, now)
    }
}
