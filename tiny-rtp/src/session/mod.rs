//! One RTP session: what one m-line of a call sends and receives (RFC 3550, 3551, 5761).
//!
//! Media takes the direct way, [`Session::send`] and [`Session::receive`]; control follows the
//! poll contract of [`tiny_sak::Output`]. It never touches a socket, a clock or a codec, and in
//! steady state it allocates nothing: buffers of transmits come back by [`Session::recycle`].

mod config;
mod control;
mod mid;
mod receive;
mod report;
mod send;
mod source;
mod stats;
mod timer;

pub use config::{Remote, RtcpBandwidth, SessionConfig, WirePayload};
pub use mid::MidExtension;
pub use receive::{Held, Media, Received};
pub use send::SendError;
pub use stats::{DropCounts, DropReason, Event, RemoteReport, Removal, SourceStats, Stats};

use crate::rtcp::Size;
use crate::{NtpTime, PayloadType, RtpTimestamp, SequenceNumber, SourcePolicy, Ssrc, SymmetricRtp};
use source::Source;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;
use timer::{Group, Schedule};
use tiny_sak::{Output, Rng, id};

/// One of the two ports of a session without rtcp-mux.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Component {
    /// The RTP port, shared by RTCP under rtcp-mux. ICE component 1.
    Rtp,
    /// The RTCP port. ICE component 2.
    Rtcp,
}

/// A datagram to be sent. Give `data` back by [`Session::recycle`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// From which of our ports.
    pub component: Component,
    /// Whither.
    pub to: SocketAddr,
    /// The octets.
    pub data: Vec<u8>,
}

/// What happens to a session. RTP has its own door, [`Session::receive`].
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// A datagram on the RTCP port.
    Rtcp {
        /// Its sender.
        from: SocketAddr,
        /// The octets, deciphered.
        data: &'a [u8],
    },
    /// The deadline of the last [`Output::Timeout`] has come.
    Timeout,
}

/// One RTP session.
///
/// ```
/// use std::time::Instant;
/// use tiny_rtp::*;
/// let now = Instant::now();
/// let (a, b) = ("127.0.0.1:4000".parse().unwrap(), "127.0.0.1:5000".parse().unwrap());
/// let session = |peer, seed| {
///     let mut config = SessionConfig::new(NtpClock::elapsed_from(now), 8000);
///     config.payloads = vec![WirePayload::media(PayloadType::PCMU, 8000)];
///     config.remote = Some(Remote::new(peer));
///     Session::new(now, config, tiny_sak::Rng::from_seed(seed))
/// };
/// let (mut alice, mut bob) = (session(b, 1), session(a, 2));
/// let mut datagram = Vec::with_capacity(200);
/// let mut heard = 0;
/// for n in 0..50u32 {
///     datagram.clear();
///     let to = alice
///         .send(now, PayloadType::PCMU, n == 0, n * 160, &[0xff; 160], &mut datagram)
///         .unwrap();
///     assert_eq!(to, b);
///     // The first packet proves the second, and is handed out with it.
///     if let Ok(Received::Rtp(media)) = bob.receive(now, a, &datagram) {
///         while let Some(held) = bob.next_held() {
///             heard += held.packet().is_some() as u32;
///             bob.recycle(held.data);
///         }
///         assert_eq!(media.packet.payload().len(), 160);
///         heard += 1;
///     }
/// }
/// assert_eq!((heard, bob.stats().rx_packets, bob.stats().lost), (50, 50, 0));
/// ```
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    rng: Rng,
    cname: String,
    ssrc: Ssrc,
    base: Instant,
    // Clock rate by payload type, for one look-up a packet.
    payloads: Box<[Option<(u32, bool)>; 128]>,
    tx: send::Tx,
    state: State,
    schedule: Schedule,
    symmetric: SymmetricRtp,
    rtcp_signalled: Option<SocketAddr>,
    rtcp_moved: Option<SocketAddr>,
    rtcp_proof: Option<(SocketAddr, Ssrc, u8)>,
    sources: Vec<Source>,
    // Where the source of the last packet is, most likely.
    last_source: usize,
    conflicts: Vec<control::Conflict>,
    held: VecDeque<receive::Waiting>,
    pool: Vec<Vec<u8>>,
    outbox: VecDeque<Transmit>,
    events: VecDeque<Event>,
    // Sent sender reports: LSR and when, to recognise answers.
    sent_reports: VecDeque<(u32, Instant)>,
    reports_sent: u64,
    report_cursor: usize,
    totals: Stats,
}

#[derive(Debug)]
enum State {
    Active,
    // Waiting to send BYE; counts the BYEs of others (§6.3.7).
    Leaving { reason: Option<String>, members: usize },
    Ended,
}

impl Session {
    /// A session that begins at `now`.
    pub fn new(now: Instant, config: SessionConfig, mut rng: Rng) -> Self {
        let ssrc = config.ssrc.unwrap_or_else(|| Ssrc(id::ssrc(&mut rng)));
        let cname = config.cname.clone().unwrap_or_else(|| id::cname(&mut rng).to_string());
        let bandwidth = config
            .rtcp_bandwidth
            .unwrap_or_else(|| RtcpBandwidth::of_session(config.session_bandwidth));
        // §6.2: 360 divided by the session bandwidth in kilobits a second.
        let reduced = config.reduced_minimum.then(|| 360_000.0 / config.session_bandwidth.max(1.0));
        // An SR without blocks and the CNAME (§6.3.2 asks for the probable size).
        let first_size = config.transport_overhead + 28 + 12 + cname.len();
        let schedule = Schedule::new(
            now,
            (bandwidth.senders, bandwidth.receivers),
            config.min_interval,
            reduced,
            first_size,
            &mut rng,
        );
        let symmetric = match &config.source_policy {
            SourcePolicy::Symmetric(c) => SymmetricRtp::new(c.clone()),
            _ => SymmetricRtp::new(crate::SymmetricConfig::default()),
        };
        let mut session = Self {
            cname,
            ssrc,
            base: now,
            payloads: Box::new([None; 128]),
            tx: send::Tx::new(&mut rng),
            state: State::Active,
            schedule,
            symmetric,
            rtcp_signalled: None,
            rtcp_moved: None,
            rtcp_proof: None,
            sources: Vec::with_capacity(4),
            last_source: 0,
            conflicts: Vec::new(),
            held: VecDeque::new(),
            pool: Vec::new(),
            outbox: VecDeque::new(),
            events: VecDeque::new(),
            sent_reports: VecDeque::with_capacity(8),
            reports_sent: 0,
            report_cursor: 0,
            totals: Stats::default(),
            rng,
            config,
        };
        session.set_remote(session.config.remote);
        let payloads = std::mem::take(&mut session.config.payloads);
        session.set_payloads(&payloads);
        session
    }

    /// Signalling has named the peer's addresses. Unchanged ones change nothing, so that a
    /// refreshing re-INVITE does not undo what symmetric RTP has found.
    pub fn set_remote(&mut self, remote: Option<Remote>) {
        self.symmetric.set_signalled(remote.map(|r| r.rtp));
        let rtcp = remote.map(|r| r.rtcp);
        if self.rtcp_signalled != rtcp {
            self.rtcp_signalled = rtcp;
            self.rtcp_moved = None;
            self.rtcp_proof = None;
        }
    }

    /// The payload types that may be received from now on.
    pub fn set_payloads(&mut self, payloads: &[WirePayload]) {
        *self.payloads = [None; 128];
        for p in payloads {
            self.payloads[usize::from(p.payload_type.value())] =
                Some((p.clock_rate.max(1), p.telephone_event));
        }
    }

    /// Turns rtcp-mux on or off, as negotiated.
    pub fn set_rtcp_mux(&mut self, on: bool) {
        self.config.rtcp_mux = on;
    }

    /// Whether RTCP without a report in front is taken, as negotiated (RFC 5506 §5). What is sent has one.
    pub fn set_rtcp_size(&mut self, size: Size) {
        self.config.rtcp_size = size;
    }

    /// The clock of what is sent changes to `rate` Hz; the caller's ticks go on in the new unit.
    /// RFC 7160 §4.1 recommends a new SSRC then: see [`renew_ssrc`](Self::renew_ssrc).
    pub fn set_clock_rate(&mut self, rate: u32) {
        self.config.clock_rate = rate.max(1);
        self.tx.forget_mapping();
    }

    /// Our SSRC.
    pub fn ssrc(&self) -> Ssrc {
        self.ssrc
    }

    /// Our CNAME.
    pub fn cname(&self) -> &str {
        &self.cname
    }

    /// Where RTP goes now: the signalled address, or what symmetric RTP has settled on.
    pub fn rtp_destination(&self) -> Option<SocketAddr> {
        self.symmetric.remote()
    }

    /// Where RTCP goes now.
    pub fn rtcp_destination(&self) -> Option<SocketAddr> {
        if self.config.rtcp_mux {
            self.symmetric.remote()
        } else {
            self.rtcp_moved.or(self.rtcp_signalled)
        }
    }

    /// The sequence number that the next packet will have.
    pub fn next_sequence(&self) -> SequenceNumber {
        self.tx.sequence
    }

    /// The timestamp that stands for a tick of the caller's clock.
    pub fn timestamp_at(&self, ticks: u32) -> RtpTimestamp {
        self.tx.offset + ticks
    }

    /// The session has left: nothing can be sent or received any more.
    pub fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Something happens. See [`Output`] for the contract.
    ///
    /// # Errors
    /// [`DropReason`] when a datagram is not taken; it is counted already.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) -> Result<(), DropReason> {
        match input {
            Input::Rtcp { from, data } => self.receive_rtcp(now, from, data),
            Input::Timeout => {
                self.expire(now);
                Ok(())
            }
        }
    }

    /// What the session wants; the poll contract of [`Output`].
    pub fn poll(&mut self, now: Instant) -> Output<Transmit, Event> {
        self.expire(now);
        if let Some(transmit) = self.outbox.pop_front() {
            return Output::Transmit(transmit);
        }
        if let Some(event) = self.events.pop_front() {
            return Output::Event(event);
        }
        Output::Timeout((!self.is_ended()).then(|| self.schedule.next()))
    }

    /// Gives a buffer of a [`Transmit`] or [`Held`] back for the next one.
    pub fn recycle(&mut self, mut buffer: Vec<u8>) {
        if self.pool.len() < 8 && buffer.capacity() > 0 {
            buffer.clear();
            self.pool.push(buffer);
        }
    }

    /// Figures since the beginning.
    pub fn stats(&self) -> Stats {
        let mut stats = self.totals;
        stats.remote_moves = self.symmetric.moves();
        for source in &self.sources {
            if let Some(stream) = &source.stream {
                stream.tally().add_to(&mut stats);
            }
        }
        let newest = self.sources.iter().filter(|s| s.stream.is_some()).max_by_key(|s| s.last_rtp);
        if let Some(stream) = newest.and_then(|s| s.stream.as_ref()) {
            stats.jitter_ms = stream.jitter_ms();
        }
        stats
    }

    /// Figures of each participant.
    pub fn sources(&self) -> impl Iterator<Item = SourceStats> + '_ {
        self.sources.iter().map(source_stats)
    }

    /// Playout has thrown away so many packets because they came too late.
    pub fn count_late(&mut self, packets: u64) {
        self.totals.late += packets;
    }

    /// The wall-clock time at which a source has sampled `timestamp`, by its own clock and its
    /// last sender report: equal times of two streams with one CNAME belong together.
    pub fn sampled_at(&self, ssrc: Ssrc, timestamp: RtpTimestamp) -> Option<NtpTime> {
        let source = self.sources.iter().find(|s| s.ssrc == ssrc)?;
        source.ntp_at(timestamp, source.stream.as_ref()?.clock_rate)
    }

    fn clock_of(&self, payload_type: PayloadType) -> Option<(u32, bool)> {
        self.payloads[usize::from(payload_type.value())]
    }

    fn group(&self) -> Group {
        if let State::Leaving { members, .. } = self.state {
            return Group { members, senders: 0, we_sent: false };
        }
        let present = self.sources.iter().filter(|s| s.member && s.left.is_none());
        let (mut members, mut senders) = (1, usize::from(self.tx.we_sent));
        for source in present {
            members += 1;
            senders += usize::from(source.sender);
        }
        Group { members, senders, we_sent: self.tx.we_sent }
    }

    fn emit(&mut self, event: Event) {
        if self.events.len() < self.config.max_events {
            self.events.push_back(event);
        } else {
            self.totals.events_dropped += 1;
        }
    }

    fn buffer(&mut self) -> Vec<u8> {
        self.pool.pop().unwrap_or_else(|| Vec::with_capacity(256))
    }

    fn source_index(&self, ssrc: Ssrc) -> Option<usize> {
        if self.sources.get(self.last_source).is_some_and(|s| s.ssrc == ssrc) {
            return Some(self.last_source);
        }
        self.sources.iter().position(|s| s.ssrc == ssrc)
    }

    /// The entry of a source, made when there is none. A full table gives up whoever has proven
    /// nothing for longest, then one who has left; a sender of media goes before those who only
    /// report or contribute. Else it refuses.
    fn source_entry(&mut self, now: Instant, ssrc: Ssrc, media: bool) -> Option<usize> {
        if let Some(i) = self.source_index(ssrc) {
            return Some(i);
        }
        if self.sources.len() >= self.config.max_sources.max(1) {
            let rank = |s: &Source| match (s.stream.is_some(), s.member, s.left.is_some()) {
                (false, false, _) => Some(0),
                (_, _, true) => Some(1),
                (false, true, _) if media => Some(2),
                _ => None,
            };
            let worst = self
                .sources
                .iter()
                .filter_map(|s| Some((rank(s)?, s.last_heard, s.ssrc)))
                .min_by_key(|(rank, heard, _)| (*rank, *heard))?;
            self.forget(worst.2);
        }
        self.sources.push(Source::new(now, ssrc));
        Some(self.sources.len() - 1)
    }

    fn forget(&mut self, ssrc: Ssrc) {
        if let Some(i) = self.sources.iter().position(|s| s.ssrc == ssrc) {
            let source = self.sources.swap_remove(i);
            if let Some(stream) = source.stream {
                stream.tally().add_to(&mut self.totals);
                self.totals.jitter_ms = stream.jitter_ms();
            }
            self.last_source = 0;
        }
    }
}

fn source_stats(source: &Source) -> SourceStats {
    let s = source.stream.as_ref();
    SourceStats {
        ssrc: source.ssrc,
        from: source.rtp_from,
        cname: source.cname.as_deref().map(str::to_owned),
        valid: s.is_some(),
        packets: s.map_or(0, |s| s.distinct),
        bytes: s.map_or(0, |s| s.bytes),
        expected: s.map_or(0, |s| s.expected()),
        lost: s.map_or(0, |s| s.lost()),
        late: s.map_or(0, |s| s.late),
        duplicated: s.map_or(0, |s| s.duplicated),
        reordered: s.map_or(0, |s| s.reordered),
        jitter_ms: s.map_or(0.0, |s| s.jitter_ms()),
        jitter_ticks: s.map_or(0, |s| s.jitter as u32),
        sender_info: source.sender_info.map(|(info, _)| info),
    }
}

#[cfg(test)]
mod tests;
