//! The receiving half: which RTP belongs here (RFC 3550 §5.1, §8.2, A.1; RFC 4961; RFC 5761).
//!
//! Checks go from cheap to dear, and nothing of a stranger is stored but a bounded few packets.

use super::source::{Source, Step, Stream};
use super::stats::{DropReason, Event};
use super::{Component, Session, State};
use crate::{PacketKind, RtpPacket, SequenceNumber, SourcePolicy, Ssrc, Verdict};
use std::net::SocketAddr;
use std::time::Instant;

/// What a datagram on the RTP port was.
#[derive(Debug, Clone, Copy)]
pub enum Received<'a> {
    /// Media. Packets that waited for it to prove them are handed out by [`Session::next_held`].
    Rtp(Media<'a>),
    /// RTCP under rtcp-mux; [`Session::poll`] tells what came of it.
    Rtcp,
}

/// A valid media packet.
#[derive(Debug, Clone, Copy)]
pub struct Media<'a> {
    /// The packet.
    pub packet: RtpPacket<'a>,
    /// Its sequence number without wrap, counted from 65,536 up; comparable within one source since
    /// its last restart.
    pub sequence: u64,
    /// It came behind a later one.
    pub reordered: bool,
    /// Its source is new or has restarted: forget what was buffered of it.
    pub restarted: bool,
    /// Packets of the same source were held back before it: see [`Session::next_held`].
    pub held: bool,
}

/// A packet that was held back until its source had proven itself.
#[derive(Debug)]
pub struct Held {
    /// When it came.
    pub arrival: Instant,
    /// The octets; give them back by [`Session::recycle`].
    pub data: Vec<u8>,
}

impl Held {
    /// The packet; always there for what a session hands out.
    pub fn packet(&self) -> Option<RtpPacket<'_>> {
        RtpPacket::parse(&self.data).ok()
    }
}

#[derive(Debug)]
pub(super) struct Waiting {
    from: SocketAddr,
    ssrc: Ssrc,
    arrival: Instant,
    data: Vec<u8>,
    ready: bool,
}

impl Session {
    /// Takes a datagram from the RTP port. The view borrows `data`, not the session.
    ///
    /// # Errors
    /// [`DropReason`] when it is not taken; it is counted already, nothing need be done.
    pub fn receive<'a>(
        &mut self,
        now: Instant,
        from: SocketAddr,
        data: &'a [u8],
    ) -> Result<Received<'a>, DropReason> {
        if PacketKind::of(data) == PacketKind::Rtcp {
            let result = match self.config.rtcp_mux {
                true => return self.receive_rtcp(now, from, data).map(|()| Received::Rtcp),
                false => Err(DropReason::UnexpectedRtcp),
            };
            return result.inspect_err(|reason| self.totals.drops.count(reason));
        }
        self.receive_rtp(now, from, data)
            .map(Received::Rtp)
            .inspect_err(|reason| self.totals.drops.count(reason))
    }

    /// The next packet that waited for its source to prove itself, oldest first. Ask after each
    /// [`Media`] with `held` set, before using that one.
    pub fn next_held(&mut self) -> Option<Held> {
        let at = self.held.iter().position(|w| w.ready)?;
        let Waiting { arrival, data, .. } = self.held.remove(at)?;
        Some(Held { arrival, data })
    }

    fn receive_rtp<'a>(
        &mut self,
        now: Instant,
        from: SocketAddr,
        data: &'a [u8],
    ) -> Result<Media<'a>, DropReason> {
        if !matches!(self.state, State::Active) {
            return Err(DropReason::Ended);
        }
        let packet = RtpPacket::parse(data).map_err(DropReason::Malformed)?;
        let payload_type = packet.payload_type();
        let (clock_rate, event) =
            self.clock_of(payload_type).ok_or(DropReason::UnknownPayloadType(payload_type))?;
        if self.tx.mid.as_ref().is_some_and(|mid| mid.refuses(&packet)) {
            return Err(DropReason::OtherMid);
        }
        let ssrc = packet.ssrc();
        let own = ssrc == self.ssrc && !self.config.accept_looped;
        let proven = self.check_address(now, from, &packet, own, data)?;
        if own {
            self.own_ssrc_heard(now, from, Component::Rtp)?;
        }
        let index = self.rtp_source(now, from, ssrc)?;
        let mut held = false;
        if proven.is_some() && self.sources[index].stream.is_some() {
            // A known source has moved: the packets of its proof are part of its stream.
            held = self.count_held(index, from, ssrc);
        }
        self.sources[index].last_heard = now;
        let step = self.step(index, packet.sequence(), proven);
        let (sequence, reordered) = match step {
            Step::Probation { first } => {
                self.hold(now, from, ssrc, data, first);
                return Err(DropReason::Probation);
            }
            Step::Validated(sequence) => {
                held = self.release_held(index, from, ssrc);
                (sequence, false)
            }
            Step::Restarted(sequence) | Step::InOrder(sequence) => (sequence, false),
            Step::Reordered(sequence) => (sequence, true),
            Step::Duplicate => return Err(DropReason::Duplicate),
            Step::TooLate => return Err(DropReason::TooLate),
            Step::Jump => return Err(DropReason::SequenceJump),
        };
        let restarted = matches!(step, Step::Validated(_) | Step::Restarted(_));
        self.last_source = index;
        let arrival = self.arrival_ticks(now, clock_rate);
        let source = &mut self.sources[index];
        source.rtp_from = Some(from);
        source.last_rtp = Some(now);
        (source.member, source.sender) = (true, true);
        if let Some(stream) = &mut source.stream {
            stream.bytes += packet.payload().len() as u64;
            stream.arrived(arrival, packet.timestamp(), clock_rate, event);
        }
        if let Step::Validated(_) = step {
            self.emit(Event::SourceAdded { ssrc, from });
        }
        self.contributors(now, &packet);
        Ok(Media { packet, sequence, reordered, restarted, held })
    }

    fn step(&mut self, index: usize, sequence: SequenceNumber, proven: Option<u16>) -> Step {
        let source = &mut self.sources[index];
        let before = source.stream.as_ref().map(Stream::tally);
        let step = source.sequence(sequence, proven, &self.config);
        if let Step::Restarted(_) = step {
            let ssrc = source.ssrc;
            // A.1 resets the statistics of the source; those of the session go on.
            if let Some(before) = before {
                before.add_to(&mut self.totals);
            }
            self.emit(Event::SourceRestarted { ssrc });
        }
        step
    }

    /// Whether the address may speak. `Some(run)` when it has just proven itself.
    fn check_address(
        &mut self,
        now: Instant,
        from: SocketAddr,
        packet: &RtpPacket<'_>,
        own: bool,
        data: &[u8],
    ) -> Result<Option<u16>, DropReason> {
        match self.config.source_policy {
            SourcePolicy::Any => return Ok(None),
            SourcePolicy::SignalledOnly => {
                let known = self.symmetric.signalled() == Some(from);
                return if known { Ok(None) } else { Err(DropReason::ForeignAddress) };
            }
            SourcePolicy::Symmetric(_) => {}
        }
        // Our own packets coming back from elsewhere prove nothing.
        if own && self.symmetric.remote() != Some(from) {
            return Err(DropReason::Loop);
        }
        match self.symmetric.offer(now, from, packet.ssrc(), packet.sequence()) {
            Verdict::Accept => Ok(None),
            Verdict::Moved { from: before, run } => {
                let component = Component::Rtp;
                self.emit(Event::RemoteMoved { component, from: before, to: from });
                Ok(Some(run))
            }
            Verdict::Proving { first } => {
                self.hold(now, from, packet.ssrc(), data, first);
                Err(DropReason::Unproven)
            }
            Verdict::Foreign => Err(DropReason::ForeignAddress),
        }
    }

    /// The table entry for a packet, with the conflicts of §8.2 resolved.
    fn rtp_source(
        &mut self,
        now: Instant,
        from: SocketAddr,
        ssrc: Ssrc,
    ) -> Result<usize, DropReason> {
        let index = self.source_entry(now, ssrc, true).ok_or(DropReason::TooManySources)?;
        let source = &mut self.sources[index];
        if let Some(left) = source.left {
            if now.saturating_duration_since(left) < self.config.bye_linger {
                return Err(DropReason::AfterBye);
            }
            // It has come back: begin anew.
            self.forget(ssrc);
            return self.source_entry(now, ssrc, true).ok_or(DropReason::TooManySources);
        }
        let other = source.rtp_from.is_some_and(|known| known != from);
        if other && self.config.source_policy == SourcePolicy::Any {
            // §8.2: the established one is kept while it is heard; telephony lets a source that
            // has fallen silent come back from elsewhere.
            let silence = self.config.collision_silence;
            let alive =
                source.last_rtp.is_some_and(|at| now.saturating_duration_since(at) < silence);
            if alive {
                self.totals.third_party_conflicts += 1;
                return Err(DropReason::Collision);
            }
        }
        source.rtp_from = Some(from);
        Ok(index)
    }

    fn hold(&mut self, now: Instant, from: SocketAddr, ssrc: Ssrc, data: &[u8], first: bool) {
        if first {
            // What was kept of a broken run proves nothing.
            self.held.retain(|w| w.ready || (w.from, w.ssrc) != (from, ssrc));
        }
        if self.config.max_held == 0 || data.len() > self.config.max_held_octets {
            return;
        }
        let mut buffer = match self.held.len() >= self.config.max_held {
            true => self.held.pop_front().map(|w| w.data).unwrap_or_default(),
            false => self.buffer(),
        };
        buffer.clear();
        buffer.extend_from_slice(data);
        self.held.push_back(Waiting { from, ssrc, arrival: now, data: buffer, ready: false });
    }

    /// Hands out what waited for a known source, and counts it.
    fn count_held(&mut self, index: usize, from: SocketAddr, ssrc: Ssrc) -> bool {
        for at in 0..self.held.len() {
            let waiting = &self.held[at];
            if waiting.ready || (waiting.from, waiting.ssrc) != (from, ssrc) {
                continue;
            }
            if let Ok(packet) = RtpPacket::parse(&waiting.data) {
                let sequence = packet.sequence();
                self.step(index, sequence, None);
            }
        }
        self.release_held(index, from, ssrc)
    }

    /// Marks what waited for this source; its octets count as received.
    fn release_held(&mut self, index: usize, from: SocketAddr, ssrc: Ssrc) -> bool {
        let (mut any, mut octets) = (false, 0);
        for waiting in &mut self.held {
            if (waiting.from, waiting.ssrc) == (from, ssrc) && !waiting.ready {
                waiting.ready = true;
                any = true;
                let packet = RtpPacket::parse(&waiting.data);
                octets += packet.map_or(0, |p| p.payload().len() as u64);
            }
        }
        if let Some(stream) = &mut self.sources[index].stream {
            stream.bytes += octets;
        }
        any
    }

    /// §6.3.3: contributing sources of a valid packet are members too.
    fn contributors(&mut self, now: Instant, packet: &RtpPacket<'_>) {
        for csrc in packet.csrcs() {
            // Our own voice in a mix is no collision (a mixer lists all that it mixes).
            if csrc == self.ssrc {
                continue;
            }
            if let Some(i) = self.source_entry(now, csrc, false) {
                let source: &mut Source = &mut self.sources[i];
                source.member = true;
                source.last_heard = now;
            }
        }
    }

    fn arrival_ticks(&self, now: Instant, rate: u32) -> u32 {
        let since = now.saturating_duration_since(self.base);
        let whole = since.as_secs().wrapping_mul(u64::from(rate));
        let part = u64::from(since.subsec_nanos()) * u64::from(rate) / 1_000_000_000;
        whole.wrapping_add(part) as u32
    }
}

impl Waiting {
    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }

    pub(super) fn arrival(&self) -> Instant {
        self.arrival
    }
}
