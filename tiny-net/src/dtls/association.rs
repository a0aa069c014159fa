//! One association: what both roles share. Datagrams in and out, flights and their repetition
//! (RFC 6347 §4.2.4), alerts (RFC 5246 §7.2), application data.

use super::certificate::PublicKey;
use super::client::Client;
use super::crypto::{Exchange, Suite};
use super::fingerprint::{self, Fingerprint};
use super::inbox::{self, Inbox, Message, Piece, Taken};
use super::message::{CLIENT_HELLO, FINISHED};
use super::record::{self, ALERT, APPLICATION, CHANGE_CIPHER_SPEC, HANDSHAKE, Record, Records};
use super::server::Server;
use super::session::{Counts, Session, SrtpProfile};
use super::{Config, Error, Identity};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tiny_sak::{Output, Rng};
use zeroize::Zeroizing;

const WARNING: u8 = 1;
const FATAL: u8 = 2;
const CLOSE_NOTIFY: u8 = 0;

/// Who sends the ClientHello (`a=setup`, RFC 5763 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// We do, as soon as the peer's address is known.
    Active,
    /// The peer does.
    Passive,
}

/// A datagram to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub to: SocketAddr,
    /// What.
    pub data: Vec<u8>,
}

/// What an association tells its owner.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// The peer has proved who it is: from now on there are keys, and data may be sent.
    Connected(Box<Session>),
    /// Application data of the peer, as it was sent: one record.
    Data(Vec<u8>),
    /// The peer ended the association in order.
    Closed,
    /// It came to nothing, or broke.
    Failed(Error),
}

/// What goes out together and is repeated together.
pub(super) enum Outgoing {
    Handshake { kind: u8, sequence: u16, body: Vec<u8>, encrypted: bool },
    ChangeCipherSpec,
}

enum State {
    Client(Client),
    Server(Server),
    Connected,
    Over,
}

/// What the handshake has brought so far.
#[derive(Default)]
pub(super) struct Progress {
    pub(super) client_random: [u8; 32],
    pub(super) server_random: [u8; 32],
    pub(super) suite: Option<Suite>,
    pub(super) profile: Option<SrtpProfile>,
    pub(super) extended_master_secret: bool,
    pub(super) exchange: Option<Exchange>,
    pub(super) peer_certificate: Vec<u8>,
    pub(super) peer: Option<Fingerprint>,
    pub(super) master: Zeroizing<Vec<u8>>,
    /// All messages so far, as they go into the hash (RFC 6347 §4.2.6).
    pub(super) transcript: Vec<u8>,
}

/// A DTLS association, or the attempt at one.
///
/// Drive it by the contract of [`tiny_sak::Output`]: [`handle`](Self::handle) datagrams,
/// [`handle_timeout`](Self::handle_timeout) when the deadline has come, and
/// [`poll`](Self::poll) until it names the next deadline.
pub struct Association {
    pub(super) config: Arc<Config>,
    pub(super) identity: Identity,
    pub(super) rng: Rng,
    pub(super) progress: Progress,
    pub(super) inbox: Inbox,
    pub(super) peer: Option<SocketAddr>,
    expected: Vec<Fingerprint>,
    role: Role,
    state: State,
    // The passive side has its peer's ClientHello, and listens to nobody else.
    bound: bool,
    // Our Finished is out: what follows is encrypted.
    switched: bool,
    records: Records,
    early: Vec<Vec<u8>>,
    flight: Vec<Outgoing>,
    next_sequence: u16,
    repeat_at: Option<Instant>,
    timeout: Duration,
    deadline: Instant,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
    counts: Counts,
}

impl Association {
    /// An association of this role with the peer that has one of these fingerprints. The active side
    /// begins at once if it knows an address, else with [`set_peer`](Self::set_peer).
    ///
    /// # Errors
    /// [`Error::Config`] when there is no fingerprint, or the MTU is too small.
    pub fn new(
        now: Instant,
        role: Role,
        identity: Identity,
        expected: Vec<Fingerprint>,
        peer: Option<SocketAddr>,
        config: Arc<Config>,
        mut rng: Rng,
    ) -> Result<Self, Error> {
        if expected.is_empty() {
            return Err(Error::Config("no fingerprint to know the peer by"));
        }
        if config.mtu < 256 {
            return Err(Error::Config("an MTU of less than 256 bytes"));
        }
        let state = match role {
            Role::Active => State::Client(Client::default()),
            Role::Passive => State::Server(Server::new(&mut rng)),
        };
        let (timeout, deadline) = (config.initial_timeout, now + config.handshake_timeout);
        let mut new = Self {
            config,
            identity,
            rng,
            progress: Progress::default(),
            inbox: Inbox::default(),
            peer: None,
            expected,
            role,
            state,
            bound: false,
            switched: false,
            records: Records::default(),
            early: Vec::new(),
            flight: Vec::new(),
            next_sequence: 0,
            repeat_at: None,
            timeout,
            deadline,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            counts: Counts::default(),
        };
        if let Some(peer) = peer {
            new.set_peer(now, peer);
        }
        Ok(new)
    }

    /// The peer is reached at this address now. The active side sends its ClientHello at the first.
    pub fn set_peer(&mut self, now: Instant, peer: SocketAddr) {
        let first = self.peer.replace(peer).is_none();
        if first && matches!(self.state, State::Client(_)) {
            self.rng.fill(&mut self.progress.client_random);
            self.client_hello(now, &[]);
        }
    }

    /// Which role it has.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Figures of what was not used.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// True from [`Event::Connected`] on, until the end.
    pub fn is_connected(&self) -> bool {
        matches!(self.state, State::Connected)
    }

    /// The passive side makes its cookies with this key.
    pub(super) fn set_cookie_key(&mut self, key: &[u8; 32]) {
        if let State::Server(server) = &mut self.state {
            server.set_cookie_key(key);
        }
    }

    /// The passive side has chosen its peer: a cookie came back, or none was asked for.
    pub(super) fn is_bound(&self) -> bool {
        self.bound
    }

    /// What waits to be sent, without the rest.
    pub(super) fn take_transmits(&mut self) -> VecDeque<Transmit> {
        std::mem::take(&mut self.transmits)
    }

    /// Takes in a datagram.
    pub fn handle(&mut self, now: Instant, from: SocketAddr, mut datagram: &[u8]) {
        // The active side knows whom it has asked; the passive side, from the ClientHello on.
        let knows_peer = match self.state {
            State::Client(_) => self.peer.is_some(),
            State::Server(_) => self.bound,
            State::Connected | State::Over => false,
        };
        if knows_peer && self.peer != Some(from) {
            self.counts.strangers += 1;
            return;
        }
        while !datagram.is_empty() {
            let Some(record) = Record::split(&mut datagram) else {
                self.counts.discarded += 1;
                return;
            };
            if let Err(error) = self.record(now, from, record) {
                return self.fail(error);
            }
        }
    }

    /// The deadline that [`poll`](Self::poll) named has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        if !matches!(self.state, State::Client(_) | State::Server(_)) {
            return;
        }
        if now >= self.deadline {
            return self.fail(Error::Timeout);
        }
        if self.repeat_at.is_some_and(|at| now >= at) {
            self.counts.retransmitted += 1;
            self.timeout = (self.timeout * 2).min(self.config.max_timeout);
            self.repeat_at = Some(now + self.timeout);
            self.send_flight();
        }
    }

    /// What to send, to know, or when to come again.
    pub fn poll(&mut self, _now: Instant) -> Output<Transmit, Event> {
        let over = matches!(self.state, State::Over);
        let next = next_of(over, &mut self.transmits, &mut self.events);
        next.unwrap_or_else(|| Output::Timeout(self.deadline()))
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Client(_) | State::Server(_) => {
                Some(self.repeat_at.map_or(self.deadline, |at| at.min(self.deadline)))
            }
            State::Connected | State::Over => None,
        }
    }

    /// Sends application data in one record and one datagram.
    ///
    /// # Errors
    /// [`Error::State`] before the handshake is done or when the data is longer than the MTU lets
    /// through, [`Error::Closed`] after the end.
    pub fn send(&mut self, data: &[u8]) -> Result<(), Error> {
        match self.state {
            State::Connected => {}
            State::Over => return Err(Error::Closed),
            _ => return Err(Error::State("the handshake is not done")),
        }
        if data.len() > self.max_data() {
            return Err(Error::State("more data than a datagram takes"));
        }
        self.put(APPLICATION, true, data);
        Ok(())
    }

    /// The most that [`send`](Self::send) takes, in bytes.
    pub fn max_data(&self) -> usize {
        self.config.max_data()
    }

    /// Ends the association and tells the peer (RFC 5246 §7.2.1).
    pub fn close(&mut self) {
        if !matches!(self.state, State::Over) {
            self.put(ALERT, self.switched, &[WARNING, CLOSE_NOTIFY]);
            self.over();
        }
    }

    fn over(&mut self) {
        self.state = State::Over;
        self.flight.clear();
        self.early.clear();
        self.progress = Progress::default();
        self.records = Records::default();
    }

    fn fail(&mut self, error: Error) {
        if let Some(alert) = error.alert() {
            self.put(ALERT, self.switched, &[FATAL, alert]);
        }
        self.over();
        self.events.push_back(Event::Failed(error));
    }

    fn record(&mut self, now: Instant, from: SocketAddr, record: Record<'_>) -> Result<(), Error> {
        match (record.epoch, &self.state) {
            (_, State::Over) => Ok(()),
            (0, State::Connected) => {
                // Anybody can have written that.
                self.counts.discarded += 1;
                Ok(())
            }
            (0, _) => self.content(now, from, record.kind, false, record.content()),
            (1, _) if self.records.has_keys() => {
                let Some(content) = self.records.open(record, &mut self.counts) else {
                    return Ok(());
                };
                // RFC 6347 leaves open how peers move: a record that only the peer can have
                // written shows where it is.
                if matches!(self.state, State::Connected) {
                    self.peer = Some(from);
                }
                self.content(now, from, record.kind, true, &content)
            }
            (1, _) if self.early.len() < self.config.max_early => {
                self.early.push(record.whole.to_vec());
                Ok(())
            }
            (1, _) => {
                self.counts.over_limit += 1;
                Ok(())
            }
            _ => {
                self.counts.discarded += 1;
                Ok(())
            }
        }
    }

    fn content(
        &mut self,
        now: Instant,
        from: SocketAddr,
        kind: u8,
        encrypted: bool,
        content: &[u8],
    ) -> Result<(), Error> {
        match kind {
            HANDSHAKE => self.pieces(now, from, encrypted, content),
            // The epoch in each record says it already.
            CHANGE_CIPHER_SPEC => Ok(()),
            ALERT => match content {
                [_, CLOSE_NOTIFY] if encrypted => {
                    self.put(ALERT, true, &[WARNING, CLOSE_NOTIFY]);
                    self.over();
                    self.events.push_back(Event::Closed);
                    Ok(())
                }
                [FATAL, alert] => Err(Error::Alert(*alert)),
                [_, CLOSE_NOTIFY] => Err(Error::Alert(CLOSE_NOTIFY)),
                _ => Ok(()),
            },
            APPLICATION if encrypted && matches!(self.state, State::Connected) => {
                self.events.push_back(Event::Data(content.to_vec()));
                Ok(())
            }
            _ => {
                self.counts.discarded += 1;
                Ok(())
            }
        }
    }

    fn pieces(
        &mut self,
        now: Instant,
        from: SocketAddr,
        encrypted: bool,
        mut record: &[u8],
    ) -> Result<(), Error> {
        while !record.is_empty() {
            let Some(piece) = Piece::split(&mut record) else {
                self.counts.discarded += 1;
                return Ok(());
            };
            // Only the last message of each side is encrypted, and it always is.
            if encrypted != (piece.kind == FINISHED) {
                self.counts.discarded += 1;
                continue;
            }
            if matches!(self.state, State::Connected) {
                // RFC 6347 §4.2.4: the peer has not got our last flight. That came encrypted, so
                // nobody else can have us repeat ourselves.
                if piece.sequence < self.inbox.expected() && self.role == Role::Passive {
                    self.counts.retransmitted += 1;
                    self.send_flight();
                } else {
                    self.counts.discarded += 1;
                }
                continue;
            }
            match self.inbox.take(piece, &self.config)? {
                Taken::Kept => {}
                Taken::Old => {
                    // The cookie went astray (RFC 6347 §4.2.1): one answer for each question.
                    if let (State::Server(server), CLIENT_HELLO, 0) =
                        (&self.state, piece.kind, piece.offset)
                        && let Some(request) = server.request_again(from)
                    {
                        self.put_handshake_to(from, 0, request);
                    }
                }
                Taken::Dropped => self.counts.over_limit += 1,
            }
            while let Some(message) = self.inbox.next() {
                self.message(now, from, &message)?;
            }
        }
        Ok(())
    }

    fn message(&mut self, now: Instant, from: SocketAddr, message: &Message) -> Result<(), Error> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Client(client) => match client.message(self, now, message)? {
                Some(client) => self.state = State::Client(client),
                None => self.connected()?,
            },
            State::Server(server) => match server.message(self, now, from, message)? {
                Some(server) => self.state = State::Server(server),
                None => self.connected()?,
            },
            other => self.state = other,
        }
        if !matches!(self.state, State::Over) && self.progress.suite.is_some() {
            self.bound = true;
        }
        self.read_early(now, from)
    }

    /// What came before its keys.
    fn read_early(&mut self, now: Instant, from: SocketAddr) -> Result<(), Error> {
        if !self.records.has_keys() {
            return Ok(());
        }
        for whole in std::mem::take(&mut self.early) {
            if let Some(record) = Record::split(&mut whole.as_slice()) {
                self.record(now, from, record)?;
            }
        }
        Ok(())
    }

    fn connected(&mut self) -> Result<(), Error> {
        let progress = &mut self.progress;
        let (Some(suite), Some(peer)) = (progress.suite, progress.peer.take()) else {
            return Err(Error::State("the handshake is not done"));
        };
        let length = progress.profile.map_or(0, SrtpProfile::keying_len);
        let mut keying = Zeroizing::new(vec![0; length]);
        let randoms: [&[u8]; 2] = [&progress.client_random, &progress.server_random];
        // RFC 5705, and RFC 5764 §4.2 for the label.
        suite.prf(&progress.master, "EXTRACTOR-dtls_srtp", &randoms, &mut keying);
        let active = self.role == Role::Active;
        let session =
            Session { profile: progress.profile, keying, cipher: suite.name(), peer, active };
        self.progress = Progress::default();
        self.repeat_at = None;
        if active {
            self.flight.clear();
        }
        self.state = State::Connected;
        self.events.push_back(Event::Connected(Box::new(session)));
        Ok(())
    }

    // What the roles use.

    /// Looks at the peer's certificate: nothing goes on unless it is the one that was announced.
    pub(super) fn check_certificate(&mut self, certificate: &[u8]) -> Result<(), Error> {
        let fits = fingerprint::matching(&self.expected, certificate);
        self.progress.peer = Some(fits.ok_or(Error::Fingerprint)?.clone());
        PublicKey::of(certificate)?;
        self.progress.peer_certificate = certificate.to_vec();
        Ok(())
    }

    /// The master secret, and with it the keys of records (RFC 5246 §8.1, RFC 7627 §4).
    pub(super) fn derive(&mut self, theirs: &[u8]) -> Result<(), Error> {
        let progress = &mut self.progress;
        let (Some(suite), Some(exchange)) = (progress.suite, progress.exchange.take()) else {
            return Err(Error::State("no key exchange"));
        };
        let premaster = exchange.complete(theirs)?;
        let (client, server) = (&progress.client_random, &progress.server_random);
        progress.master = Zeroizing::new(vec![0; 48]);
        let master = &mut progress.master[..];
        if progress.extended_master_secret {
            let hash = suite.hash(&progress.transcript);
            suite.prf(&premaster, "extended master secret", &[hash.as_ref()], master);
        } else {
            suite.prf(&premaster, "master secret", &[client, server], master);
        }
        let keys = suite.keys(master, client, server).ok_or(Error::Crypto("record keys"))?;
        let [of_client, of_server] = keys;
        match self.role {
            Role::Active => self.records.install(of_client, of_server),
            Role::Passive => self.records.install(of_server, of_client),
        }
        Ok(())
    }

    /// What a Finished of this side has to say now (RFC 5246 §7.4.9).
    pub(super) fn verify_data(&self, of_client: bool) -> Result<[u8; 12], Error> {
        let suite = self.progress.suite.ok_or(Error::State("no cipher suite"))?;
        let label = if of_client { "client finished" } else { "server finished" };
        let hash = suite.hash(&self.progress.transcript);
        let mut data = [0; 12];
        suite.prf(&self.progress.master, label, &[hash.as_ref()], &mut data);
        Ok(data)
    }

    /// A message of ours that is part of the next flight and of the hash.
    pub(super) fn add(&mut self, flight: &mut Vec<Outgoing>, kind: u8, body: Vec<u8>) {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let mut raw = inbox::header(kind, sequence, body.len());
        raw.extend_from_slice(&body);
        self.progress.transcript.extend_from_slice(&raw);
        flight.push(Outgoing::Handshake { kind, sequence, body, encrypted: kind == FINISHED });
    }

    /// Sends a flight, and repeats it until the next one.
    pub(super) fn start_flight(&mut self, now: Instant, flight: Vec<Outgoing>) {
        self.switched |= flight.iter().any(|o| matches!(o, Outgoing::ChangeCipherSpec));
        self.flight = flight;
        self.timeout = self.config.initial_timeout;
        self.repeat_at = Some(now + self.timeout);
        self.send_flight();
    }

    pub(super) fn set_next_sequence(&mut self, next: u16) {
        self.next_sequence = next;
    }

    fn send_flight(&mut self) {
        let Some(to) = self.peer else { return };
        let mut datagram = Vec::with_capacity(self.config.mtu);
        let mut full = Vec::new();
        for outgoing in &self.flight {
            match outgoing {
                Outgoing::ChangeCipherSpec => {
                    if datagram.len() + record::HEADER + 1 > self.config.mtu {
                        full.push(std::mem::take(&mut datagram));
                    }
                    let written =
                        self.records.write(CHANGE_CIPHER_SPEC, false, &[1], &mut datagram);
                    if written.is_none() {
                        return;
                    }
                }
                Outgoing::Handshake { kind, sequence, body, encrypted } => {
                    let around = record::HEADER
                        + inbox::HEADER
                        + if *encrypted { super::crypto::OVERHEAD } else { 0 };
                    let mut offset = 0;
                    loop {
                        // A piece of less than 64 bytes is not worth its headers.
                        let left = body.len() - offset;
                        let room = self.config.mtu.saturating_sub(datagram.len() + around);
                        if room < left.min(64) && !datagram.is_empty() {
                            full.push(std::mem::take(&mut datagram));
                            continue;
                        }
                        let piece = &body[offset..offset + left.min(room)];
                        let content = fragment(*kind, *sequence, body.len(), offset, piece);
                        let written =
                            self.records.write(HANDSHAKE, *encrypted, &content, &mut datagram);
                        if written.is_none() {
                            return;
                        }
                        offset += piece.len();
                        if offset == body.len() {
                            break;
                        }
                    }
                }
            }
        }
        full.push(datagram);
        let full = full.into_iter().filter(|d| !d.is_empty());
        self.transmits.extend(full.map(|data| Transmit { to, data }));
    }

    /// One message outside of any flight, which is not repeated by itself.
    pub(super) fn put_handshake_to(
        &mut self,
        to: SocketAddr,
        sequence: u16,
        message: (u8, Vec<u8>),
    ) {
        let (kind, body) = message;
        let content = fragment(kind, sequence, body.len(), 0, &body);
        let mut data = Vec::new();
        if self.records.write(HANDSHAKE, false, &content, &mut data).is_some() {
            self.transmits.push_back(Transmit { to, data });
        }
    }

    fn put(&mut self, kind: u8, encrypted: bool, content: &[u8]) {
        let Some(to) = self.peer else { return };
        let mut data = Vec::with_capacity(record::HEADER + super::crypto::OVERHEAD + content.len());
        if self.records.write(kind, encrypted, content, &mut data).is_some() {
            self.transmits.push_back(Transmit { to, data });
        }
    }
}

fn fragment(kind: u8, sequence: u16, length: usize, offset: usize, piece: &[u8]) -> Vec<u8> {
    let mut content = inbox::header(kind, sequence, length);
    content[6..9].copy_from_slice(&(offset as u32).to_be_bytes()[1..]);
    content[9..12].copy_from_slice(&(piece.len() as u32).to_be_bytes()[1..]);
    content.extend_from_slice(piece);
    content
}

/// What is to be sent and told, in turn. Of what is over its owner knows why before the peer hears of it
/// and ends what it stood for.
pub(super) fn next_of(
    over: bool,
    transmits: &mut VecDeque<Transmit>,
    events: &mut VecDeque<Event>,
) -> Option<Output<Transmit, Event>> {
    let first = events.pop_front_if(|_| over).map(Output::Event);
    let then = first.or_else(|| transmits.pop_front().map(Output::Transmit));
    then.or_else(|| events.pop_front().map(Output::Event))
}

impl std::fmt::Debug for Association {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Association")
            .field("role", &self.role)
            .field("peer", &self.peer)
            .field("connected", &self.is_connected())
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}
