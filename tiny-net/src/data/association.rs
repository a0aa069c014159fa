//! The association (RFC 9260 §4, §5, §8, §9): its beginning, which both sides may start at once, its
//! end, and what holds the parts together.

use super::chunk::{self, Data, ForwardTsn, HEADER, Header, Init, Raw, ReConfig, Sack};
use super::inbound::{Inbound, Whole};
use super::outbound::{Outbound, Outgoing};
use super::reset::{self, Resets};
use super::rto::Rto;
use super::{Config, Counts, Error, Flight, Peer};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;
use tiny_sak::Rng;

/// What an association tells the channels on it.
#[derive(Debug)]
pub(super) enum Told {
    Up,
    Message(Whole),
    /// The peer begins anew on its streams: it has nothing more to say there.
    PeerReset(Vec<u16>),
    /// Streams of ours are done.
    Reset(Vec<u16>),
    /// A message larger than we take.
    TooBig(u16),
    Ended(Error),
}

/// It has an error cause of its own, which the peer has been told.
const NO_DATA: &str = "a piece without data";

type Cookie = [u8; 16];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Our INIT is out.
    CookieWait,
    CookieEchoed,
    Established,
    /// The peer wants an end; what is on its way is still delivered.
    ShutdownReceived,
    ShutdownAckSent,
    Over,
}

#[derive(Debug)]
pub(super) struct Association {
    config: Arc<Config>,
    peer_port: u16,
    state: State,
    rng: Rng,
    tag: u32,
    first_tsn: u32,
    /// Whom we talk with.
    peer: Option<Init>,
    /// Who has sent an INIT, and the cookie that it got.
    guest: Option<(Init, Cookie)>,
    echo: Vec<u8>,
    /// INIT, COOKIE ECHO or SHUTDOWN ACK again.
    repeat_at: Option<Instant>,
    repeated: u32,
    errors: u32,
    rto: Rto,
    heartbeat_at: Instant,
    asked: Option<(u64, Instant)>,
    control: Vec<u8>,
    packets: VecDeque<Vec<u8>>,
    out: Outbound,
    inbound: Inbound,
    resets: Resets,
    told: VecDeque<Told>,
    pub(super) counts: Counts,
}

impl Association {
    pub(super) fn new(now: Instant, peer: Peer, config: Arc<Config>, mut rng: Rng) -> Self {
        // Neither may be 0, and both are nobody's to guess (§5.3.1, §3.3.2).
        let (tag, first_tsn) = (rng.u32().max(1), rng.u32());
        let mut new = Self {
            peer_port: peer.port,
            state: State::CookieWait,
            tag,
            first_tsn,
            peer: None,
            guest: None,
            echo: Vec::new(),
            repeat_at: None,
            repeated: 0,
            errors: 0,
            rto: Rto::new(&config),
            heartbeat_at: now + config.heartbeat,
            asked: None,
            control: Vec::new(),
            packets: VecDeque::new(),
            out: Outbound::new(config.clone(), first_tsn),
            inbound: Inbound::new(config.clone(), 0),
            resets: Resets::new(first_tsn, 0),
            told: VecDeque::new(),
            counts: Counts::default(),
            config,
            rng,
        };
        new.put_init(now);
        new
    }

    fn init(&self) -> Init {
        Init {
            tag: self.tag,
            window: self.config.receive_buffer as u32,
            // RFC 8831 §6.2
            outgoing: u16::MAX,
            incoming: u16::MAX,
            tsn: self.first_tsn,
            forward_tsn: true,
            re_config: true,
        }
    }

    fn put_init(&mut self, now: Instant) {
        // §8.5.1: nobody's tag yet.
        let mut packet = self.header(0).begin(64);
        chunk::put(&mut packet, chunk::INIT, 0, &[&self.init().write(None)]);
        self.packets.push_back(packet);
        self.repeat_at = Some(now + self.rto.get());
    }

    fn header(&self, tag: u32) -> Header {
        Header { source: self.config.port, destination: self.peer_port, tag }
    }

    fn peer_tag(&self) -> u32 {
        self.peer.map_or(0, |peer| peer.tag)
    }

    pub(super) fn is_up(&self) -> bool {
        self.state == State::Established
    }

    pub(super) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Streams that the peer takes.
    pub(super) fn outgoing_streams(&self) -> u16 {
        self.peer.map_or(u16::MAX, |peer| peer.incoming)
    }

    pub(super) fn round_trip(&self) -> Option<std::time::Duration> {
        self.rto.smoothed()
    }

    pub(super) fn counts(&self) -> Counts {
        let Outbound { retransmitted, abandoned, timeouts, .. } = self.out;
        Counts { retransmitted, abandoned, timeouts, ..self.counts }
    }

    pub(super) fn flight(&self) -> Flight {
        self.out.reading()
    }

    pub(super) fn waiting_bytes(&self) -> usize {
        self.out.waiting_bytes()
    }

    /// Bytes that have gone from what waits since the last time, by stream.
    pub(super) fn take_released(&mut self) -> Vec<(u16, usize)> {
        std::mem::take(&mut self.out.released)
    }

    pub(super) fn take_told(&mut self) -> Option<Told> {
        self.told.pop_front()
    }

    pub(super) fn send(&mut self, stream: u16, message: Outgoing) {
        self.out.send(stream, message);
        self.out.refill();
    }

    /// A stream will have nothing more of ours.
    pub(super) fn reset(&mut self, now: Instant, stream: u16) {
        self.resets.want(stream);
        self.begin_resets(now);
    }

    /// Drops what waits on a stream and has not been begun.
    pub(super) fn discard(&mut self, stream: u16) {
        self.out.discard(stream);
    }

    /// Whether the peer can be told that a stream is done.
    pub(super) fn knows_resets(&self) -> bool {
        self.resets.known
    }

    /// Nothing more of the peer's is wanted there.
    pub(super) fn deafen(&mut self, stream: u16) {
        self.inbound.deafen(stream);
    }

    pub(super) fn read(&mut self, cost: usize) {
        self.inbound.read(cost);
    }

    /// Ends it at once and tells the peer (§9.1).
    pub(super) fn abort(&mut self, reason: &str) {
        if self.state != State::Over {
            self.put_abort(chunk::CAUSE_USER, reason.as_bytes());
            self.state = State::Over;
        }
    }

    fn put_abort(&mut self, code: u16, content: &[u8]) {
        if self.peer.is_none() {
            return;
        }
        let mut packet = self.header(self.peer_tag()).begin(64);
        chunk::put(&mut packet, chunk::ABORT, 0, &[&chunk::cause(code, content)]);
        self.packets.push_back(packet);
    }

    fn end(&mut self, error: Error) {
        match &error {
            Error::Protocol(what) if *what == NO_DATA => {}
            Error::Protocol(what) => self.put_abort(chunk::CAUSE_PROTOCOL, what.as_bytes()),
            Error::Limit(_) => self.put_abort(chunk::CAUSE_RESOURCES, &[]),
            Error::Timeout => self.put_abort(chunk::CAUSE_PROTOCOL, b"no answer"),
            _ => {}
        }
        self.state = State::Over;
        self.told.push_back(Told::Ended(error));
    }

    // What comes in.

    pub(super) fn handle(&mut self, now: Instant, packet: &[u8]) {
        if self.state == State::Over {
            return;
        }
        let Some((header, chunks)) = Header::split(packet) else {
            self.counts.discarded += 1;
            return;
        };
        if header.source != self.peer_port || header.destination != self.config.port {
            self.counts.discarded += 1;
            return;
        }
        let mut chunks = chunks.peekable();
        let fits = chunks.peek().is_some_and(|first| match first.kind {
            // §8.5.1
            chunk::INIT => header.tag == 0,
            chunk::ABORT | chunk::SHUTDOWN_COMPLETE if first.flags & 1 != 0 => {
                header.tag == self.peer_tag()
            }
            _ => header.tag == self.tag,
        });
        if !fits {
            self.counts.discarded += 1;
            return;
        }
        self.counts.packets_received += 1;
        self.out.refill();
        let (mut data, mut alone, mut acked) = (false, true, false);
        for raw in chunks {
            // §3.3.2: INIT and INIT ACK stand alone.
            if !alone && matches!(raw.kind, chunk::INIT | chunk::INIT_ACK) {
                break;
            }
            alone = false;
            // Of acknowledgements a packet has one: each of them costs a look at all that is on its way.
            if raw.kind == chunk::SACK && std::mem::replace(&mut acked, true) {
                continue;
            }
            data |= raw.kind == chunk::DATA;
            match self.chunk(now, raw) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return self.end(error),
            }
            if self.state == State::Over {
                return;
            }
        }
        if data {
            self.inbound.packet_done(now);
        }
        self.collect(now);
    }

    /// What the parts have brought.
    fn collect(&mut self, now: Instant) {
        self.told.extend(self.inbound.whole.drain(..).map(Told::Message));
        self.told.extend(self.inbound.too_big.drain(..).map(Told::TooBig));
        if let Some(streams) = self.resets.ready(|tsn| self.inbound.has_all(tsn)) {
            self.peer_reset(streams);
        }
        self.begin_resets(now);
        if self.state == State::ShutdownReceived && self.out.is_empty() {
            self.state = State::ShutdownAckSent;
            (self.repeated, self.repeat_at) = (0, Some(now));
        }
    }

    fn begin_resets(&mut self, now: Instant) {
        if self.is_up() {
            let done = self.resets.begin(now, &self.out, &self.rto);
            self.reset_done(done);
        }
    }

    fn reset_done(&mut self, streams: Vec<u16>) {
        if !streams.is_empty() {
            streams.iter().for_each(|stream| self.out.reset(*stream));
            self.told.push_back(Told::Reset(streams));
        }
    }

    fn peer_reset(&mut self, named: Vec<u16>) {
        let streams = reset::meant(named, || self.inbound.streams());
        streams.iter().for_each(|stream| self.inbound.reset(*stream));
        self.told.push_back(Told::PeerReset(streams));
    }

    /// Whether the rest of the packet is to be looked at.
    fn chunk(&mut self, now: Instant, raw: Raw<'_>) -> Result<bool, Error> {
        const SHORT: Error = Error::Protocol("a chunk that ends too soon");
        match raw.kind {
            chunk::INIT => {
                let (init, _) = Init::parse(raw.value).ok_or(SHORT)?;
                self.invited(init)?;
            }
            chunk::INIT_ACK => {
                let (init, cookie) = Init::parse(raw.value).ok_or(SHORT)?;
                self.init_acked(now, init, cookie)?;
            }
            chunk::COOKIE_ECHO => self.cookie_echoed(now, raw.value),
            chunk::COOKIE_ACK if self.state == State::CookieEchoed => self.up(now),
            chunk::ABORT => return Err(Error::Aborted(chunk::causes(raw.value))),
            chunk::ERROR => tracing::debug!("SCTP error: {}", chunk::causes(raw.value)),
            // The rest has no meaning before the two know each other.
            _ if self.peer.is_none() => {}
            chunk::DATA => {
                let data = Data::parse(raw).ok_or(SHORT)?;
                if data.data.is_empty() {
                    self.put_abort(chunk::CAUSE_NO_DATA, &data.tsn.to_be_bytes());
                    return Err(Error::Protocol(NO_DATA));
                }
                // RFC 9260 §5.1: the cookie comes before data; what overtakes it comes again.
                if self.is_up() {
                    self.inbound.data(&data, &mut self.counts)?;
                }
            }
            chunk::SACK if self.is_up() || self.state == State::ShutdownReceived => {
                let sack = Sack::parse(raw.value).ok_or(SHORT)?;
                self.acknowledged(now, &sack)?;
            }
            chunk::FORWARD_TSN if self.is_up() => {
                let forward = ForwardTsn::parse(raw.value).ok_or(SHORT)?;
                self.inbound.forward(&forward);
            }
            chunk::RE_CONFIG if self.is_up() => {
                for parameter in ReConfig::parse(raw.value) {
                    self.re_configured(now, parameter);
                }
            }
            chunk::HEARTBEAT => {
                // §8.3: as it came. One that does not fit is not ours to answer.
                if self.has_room(raw.whole.len()) {
                    chunk::put(&mut self.control, chunk::HEARTBEAT_ACK, 0, &[raw.value]);
                }
            }
            chunk::HEARTBEAT_ACK => {
                if let Some((nonce, at)) = self.asked
                    && chunk::heartbeat_nonce(raw.value) == Some(nonce)
                {
                    self.asked = None;
                    self.errors = 0;
                    self.rto.measured(now.saturating_duration_since(at));
                    self.heartbeat_at = now + self.config.heartbeat;
                }
            }
            chunk::SHUTDOWN if self.is_up() => {
                let cumulative = raw.value.first_chunk().copied().ok_or(SHORT)?;
                let cumulative = u32::from_be_bytes(cumulative);
                let sack = Sack { cumulative, window: 0, gaps: Vec::new(), duplicates: Vec::new() };
                self.acknowledged(now, &sack)?;
                self.state = State::ShutdownReceived;
            }
            chunk::SHUTDOWN_COMPLETE if self.state == State::ShutdownAckSent => {
                return Err(Error::Shutdown);
            }
            chunk::DATA..=chunk::COOKIE_ACK
            | chunk::SHUTDOWN_COMPLETE
            | chunk::FORWARD_TSN
            | chunk::RE_CONFIG => {}
            unknown => {
                // §3.2: the two highest bits say what to do with what is not known.
                let shown = &raw.whole[..raw.whole.len().min(64)];
                if unknown & 0x40 != 0 && self.has_room(shown.len() + 8) {
                    let cause = chunk::cause(chunk::CAUSE_CHUNK, shown);
                    chunk::put(&mut self.control, chunk::ERROR, 0, &[&cause]);
                }
                return Ok(unknown & 0x80 != 0);
            }
        }
        Ok(true)
    }

    /// An INIT (§5.1 B, §5.2.1, §5.2.2). Both sides send one here, so that mostly two cross.
    fn invited(&mut self, init: Init) -> Result<(), Error> {
        // §3.3.2
        if init.tag == 0 || init.outgoing == 0 || init.incoming == 0 {
            return Err(Error::Protocol("an INIT with a zero that must not be"));
        }
        if !matches!(self.state, State::CookieWait | State::CookieEchoed) {
            let known = self.peer.is_some_and(|peer| (peer.tag, peer.tsn) == (init.tag, init.tsn));
            if !known {
                return Err(Error::Protocol("it begins anew within the same DTLS association"));
            }
        }
        let cookie = match self.guest {
            Some((before, cookie)) if before == init => cookie,
            _ => {
                let mut cookie = [0; 16];
                self.rng.fill(&mut cookie);
                self.guest = Some((init, cookie));
                cookie
            }
        };
        let mut packet = self.header(init.tag).begin(96);
        chunk::put(&mut packet, chunk::INIT_ACK, 0, &[&self.init().write(Some(&cookie))]);
        if self.packets.len() < 8 {
            self.packets.push_back(packet);
        }
        Ok(())
    }

    /// §5.1 C
    fn init_acked(&mut self, now: Instant, init: Init, cookie: Option<&[u8]>) -> Result<(), Error> {
        if self.state != State::CookieWait {
            return Ok(());
        }
        if init.tag == 0 || init.outgoing == 0 || init.incoming == 0 {
            return Err(Error::Protocol("an INIT ACK with a zero that must not be"));
        }
        let cookie = cookie.filter(|cookie| cookie.len() + HEADER + 4 <= self.config.mtu);
        let cookie = cookie.ok_or(Error::Protocol("an INIT ACK without a cookie that fits"))?;
        self.meet(init);
        self.echo = cookie.to_vec();
        self.state = State::CookieEchoed;
        self.repeated = 0;
        self.put_echo(now);
        Ok(())
    }

    fn put_echo(&mut self, now: Instant) {
        let mut packet = self.header(self.peer_tag()).begin(self.echo.len() + 32);
        chunk::put(&mut packet, chunk::COOKIE_ECHO, 0, &[&self.echo]);
        self.packets.push_back(packet);
        self.repeat_at = Some(now + self.rto.get());
    }

    /// From now on this is whom we talk with.
    fn meet(&mut self, init: Init) {
        self.peer = Some(init);
        self.out.peer(init.window, init.forward_tsn);
        self.inbound = Inbound::new(self.config.clone(), init.tsn);
        self.resets.peer(init.tsn, init.re_config);
    }

    /// §5.1 D, §5.2.4: the cookie is the one that we gave, so what came with its INIT holds.
    fn cookie_echoed(&mut self, now: Instant, cookie: &[u8]) {
        let Some((init, ours)) = self.guest.filter(|(_, ours)| ours == cookie) else { return };
        debug_assert_eq!(ours.len(), cookie.len());
        match self.state {
            State::CookieWait | State::CookieEchoed => {
                if self.peer != Some(init) {
                    self.meet(init);
                }
                self.up(now);
            }
            State::Established => {}
            _ => return,
        }
        if self.has_room(4) {
            chunk::put(&mut self.control, chunk::COOKIE_ACK, 0, &[]);
        }
    }

    /// Whether an answer of that length fits beside the others: half of a packet is for them. One that
    /// finds no room is not given; who needs it asks again.
    fn has_room(&self, length: usize) -> bool {
        self.control.len() + length <= self.config.mtu / 2
    }

    fn up(&mut self, now: Instant) {
        self.state = State::Established;
        self.repeat_at = None;
        self.errors = 0;
        self.echo = Vec::new();
        self.heartbeat_at = now + self.config.heartbeat;
        self.told.push_back(Told::Up);
    }

    fn acknowledged(&mut self, now: Instant, sack: &Sack) -> Result<(), Error> {
        if self.out.sack(now, sack, &mut self.rto)? {
            self.errors = 0;
        }
        // §8.3: who answers need not be asked.
        self.heartbeat_at = now + self.config.heartbeat;
        Ok(())
    }

    fn re_configured(&mut self, now: Instant, parameter: ReConfig) {
        if let ReConfig::Response { request, result } = parameter {
            let done = self.resets.answered(now, request, result, &self.rto);
            self.errors = 0;
            return self.reset_done(done);
        }
        let inbound = &self.inbound;
        if let Some(streams) = self.resets.requested(parameter, |tsn| inbound.has_all(tsn)) {
            self.peer_reset(streams);
        }
    }

    // What time brings.

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let due = |at: Option<Instant>| at.is_some_and(|at| now >= at);
        let mut missed = 0;
        match self.state {
            State::CookieWait | State::CookieEchoed if due(self.repeat_at) => {
                self.repeated += 1;
                if self.repeated > self.config.max_init_retransmits {
                    return self.end(Error::Timeout);
                }
                self.rto.back_off();
                match self.state {
                    State::CookieWait => self.put_init(now),
                    _ => self.put_echo(now),
                }
                return;
            }
            State::ShutdownAckSent if due(self.repeat_at) => {
                self.repeated += 1;
                if self.repeated > self.config.max_retransmits {
                    return self.end(Error::Shutdown);
                }
                chunk::put(&mut self.control, chunk::SHUTDOWN_ACK, 0, &[]);
                self.repeat_at = Some(now + self.rto.get());
                return;
            }
            State::Established | State::ShutdownReceived => {}
            _ => return,
        }
        self.out.refill();
        if due(self.out.t3) {
            missed += u32::from(self.out.timed_out(now, &mut self.rto));
        }
        missed += u32::from(self.resets.timed_out(now, &mut self.rto));
        if now >= self.heartbeat_at {
            // One that was not answered counts (§8.3).
            missed += u32::from(self.asked.is_some());
            let nonce = self.rng.u64();
            self.asked = Some((nonce, now));
            chunk::put_heartbeat(&mut self.control, nonce);
            self.heartbeat_at = now + self.config.heartbeat.min(self.rto.get() * 4);
        }
        self.errors += missed;
        if self.errors > self.config.max_retransmits {
            self.end(Error::Timeout);
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let times = match self.state {
            State::CookieWait | State::CookieEchoed | State::ShutdownAckSent => {
                [self.repeat_at, None, None, None]
            }
            State::Established | State::ShutdownReceived => [
                self.out.t3,
                self.inbound.deadline(),
                self.resets.deadline(),
                Some(self.heartbeat_at),
            ],
            State::Over => [None; 4],
        };
        times.into_iter().flatten().min()
    }

    /// The next packet to send.
    pub(super) fn packet(&mut self, now: Instant) -> Option<Vec<u8>> {
        let mut packet = match self.packets.pop_front() {
            Some(packet) => packet,
            None => self.build(now)?,
        };
        chunk::seal(&mut packet);
        self.counts.packets_sent += 1;
        Some(packet)
    }

    fn build(&mut self, now: Instant) -> Option<Vec<u8>> {
        let carries = matches!(self.state, State::Established | State::ShutdownReceived);
        let sack = carries && self.inbound.sack_due(now);
        let more = carries && (self.out.wants_out() || self.resets.wants_out());
        if self.control.is_empty() && !sack && !more {
            return None;
        }
        let mut packet = self.header(self.peer_tag()).begin(self.config.mtu);
        packet.append(&mut self.control);
        if carries {
            // What finds no room here goes with the next one.
            if sack || self.inbound.sack_waits() {
                let room = self.config.mtu.saturating_sub(packet.len());
                self.inbound.take_sack(room).put(&mut packet);
            }
            if self.resets.wants_out() && packet.len() + reset::MAX_SIZE <= self.config.mtu {
                self.resets.put(&mut packet);
            }
            self.out.fill(now, &mut packet, &self.rto);
        }
        (packet.len() > HEADER).then_some(packet)
    }

    #[cfg(test)]
    pub(super) fn numbers(&self) -> (u32, u32) {
        (self.tag, self.out.last_tsn())
    }

    /// Begins anew with another number, before anything was sent.
    #[cfg(test)]
    pub(super) fn count_from(&mut self, now: Instant, tsn: u32) {
        self.first_tsn = tsn;
        (self.out, self.resets) = (Outbound::new(self.config.clone(), tsn), Resets::new(tsn, 0));
        self.packets.clear();
        self.put_init(now);
    }

    #[cfg(test)]
    pub(super) fn first_tsn(&self) -> u32 {
        self.first_tsn
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.inbound.held()
    }
}
