//! The sending half: RTP out of payloads (RFC 3550 §5.1), and what sender reports need to know.
//!
//! Sequence numbers and timestamps begin at random; the caller counts ticks of its media clock
//! from anywhere it likes.

use super::mid::Announced;
use super::{Session, State};
use crate::{BuildError, Extension, PayloadType, RtpHeader, RtpTimestamp, SequenceNumber, Ssrc};
use std::net::SocketAddr;
use std::time::Instant;
use tiny_sak::{Rng, id};

/// Why nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The session is over, or leaving.
    #[error("the RTP session has ended")]
    Ended,
    /// Signalling has not named an address yet, and no source has proven itself.
    #[error("the peer's RTP address is not known")]
    NoRemote,
    /// The payload type collides with RTCP on a shared port (RFC 5761 §4).
    #[error("payload type {0} cannot share a port with RTCP")]
    PayloadType(PayloadType),
    /// The packet cannot be written.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// The state of our own stream.
#[derive(Debug)]
pub(super) struct Tx {
    pub(super) sequence: SequenceNumber,
    pub(super) offset: RtpTimestamp,
    // Since the SSRC was taken, as sender reports count (§6.4.1).
    pub(super) packets: u32,
    pub(super) octets: u32,
    // When which tick was sent last: ties the RTP clock to the wall clock.
    mapping: Option<(Instant, u32)>,
    pub(super) we_sent: bool,
    pub(super) last_rtp: Option<Instant>,
    pub(super) sent_anything: bool,
    // Said in header extensions and reports.
    pub(super) mid: Option<Announced>,
}

impl Tx {
    pub(super) fn new(rng: &mut Rng) -> Self {
        Self {
            // §5.1: both begin at random, so that known-plaintext attacks are harder; and below 2^15, so
            // that the first loss around a wrap does not lose an SRTP peer (RFC 4568 §6.4).
            sequence: SequenceNumber(rng.u32() as u16 & 0x7fff),
            offset: RtpTimestamp(rng.u32()),
            packets: 0,
            octets: 0,
            mapping: None,
            we_sent: false,
            last_rtp: None,
            sent_anything: false,
            mid: None,
        }
    }

    pub(super) fn forget_mapping(&mut self) {
        self.mapping = None;
    }

    /// The timestamp that corresponds to `now` (§6.4.1), by the last packet sent.
    pub(super) fn timestamp(&self, now: Instant, rate: u32) -> Option<RtpTimestamp> {
        let (at, ticks) = self.mapping?;
        let since = now.saturating_duration_since(at);
        let later = since.as_nanos() * u128::from(rate) / 1_000_000_000;
        Some(self.offset + ticks + later as u32)
    }
}

impl Session {
    /// Appends one RTP packet to `out` and says where to send it. `ticks` is the media clock of the
    /// payload's first sample; the session adds its random offset. Does not allocate when `out` has
    /// room for the payload and 12 octets.
    ///
    /// # Errors
    /// [`SendError`]; nothing is written and nothing counted then.
    pub fn send(
        &mut self,
        now: Instant,
        payload_type: PayloadType,
        marker: bool,
        ticks: u32,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<SocketAddr, SendError> {
        let to = self.may_send(payload_type)?;
        let mid = self.mid_element();
        let extensions = mid.as_slice();
        let header = RtpHeader { marker, extensions, ..self.header(payload_type, ticks) };
        header.write(payload, out)?;
        self.count_sent(now, ticks, payload.len());
        Ok(to)
    }

    /// As [`send`](Self::send), but the payload is written by `fill` straight behind the header,
    /// with no copy at all: an encoder appends to the buffer it is given. When `fill` returns
    /// false, there is nothing to send: `out` is as before and no sequence number is used.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_with(
        &mut self,
        now: Instant,
        payload_type: PayloadType,
        marker: bool,
        ticks: u32,
        out: &mut Vec<u8>,
        fill: impl FnOnce(&mut Vec<u8>) -> bool,
    ) -> Result<Option<SocketAddr>, SendError> {
        let to = self.may_send(payload_type)?;
        let begin = out.len();
        let mid = self.mid_element();
        let extensions = mid.as_slice();
        let header = RtpHeader { marker, extensions, ..self.header(payload_type, ticks) };
        header.write_header(out)?;
        let payload = out.len();
        if !fill(out) || out.len() < payload {
            out.truncate(begin);
            return Ok(None);
        }
        self.count_sent(now, ticks, out.len() - payload);
        Ok(Some(to))
    }

    /// As [`send`](Self::send), with these header extension elements (RFC 8285) and no others.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    // One more argument than `send` has is clearer than a type used once.
    #[allow(clippy::too_many_arguments)]
    pub fn send_extended(
        &mut self,
        now: Instant,
        payload_type: PayloadType,
        marker: bool,
        ticks: u32,
        extensions: &[Extension<'_>],
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<SocketAddr, SendError> {
        let to = self.may_send(payload_type)?;
        let header = RtpHeader { marker, extensions, ..self.header(payload_type, ticks) };
        header.write(payload, out)?;
        self.count_sent(now, ticks, payload.len());
        Ok(to)
    }

    /// Says BYE for our SSRC and goes on under a new one, e.g. when the clock rate changes
    /// (RFC 7160 §4.1). Sequence number and timestamp begin at random again.
    pub fn renew_ssrc(&mut self, now: Instant) {
        let old = self.ssrc;
        self.queue_bye(now, None);
        let new = loop {
            let new = Ssrc(id::ssrc(&mut self.rng));
            if new != old && self.source_index(new).is_none() {
                break new;
            }
        };
        self.ssrc = new;
        let mut mid = self.tx.mid.take();
        mid.iter_mut().for_each(Announced::again);
        let Tx { we_sent, last_rtp, mapping, .. } = self.tx;
        self.tx = Tx { we_sent, last_rtp, mapping, mid, ..Tx::new(&mut self.rng) };
        self.sent_reports.clear();
    }

    fn may_send(&self, payload_type: PayloadType) -> Result<SocketAddr, SendError> {
        if !matches!(self.state, State::Active) {
            return Err(SendError::Ended);
        }
        if self.config.rtcp_mux && !payload_type.allows_rtcp_mux() {
            return Err(SendError::PayloadType(payload_type));
        }
        self.symmetric.remote().ok_or(SendError::NoRemote)
    }

    #[inline]
    fn mid_element(&self) -> Option<Extension<'_>> {
        self.tx.mid.as_ref().and_then(Announced::element)
    }

    fn header(&self, payload_type: PayloadType, ticks: u32) -> RtpHeader<'static> {
        RtpHeader::new(payload_type, self.tx.sequence, self.tx.offset + ticks, self.ssrc)
    }

    fn count_sent(&mut self, now: Instant, ticks: u32, octets: usize) {
        let tx = &mut self.tx;
        if let Some(mid) = &mut tx.mid {
            mid.sent(tx.sequence);
        }
        tx.sequence = tx.sequence.next();
        tx.packets = tx.packets.wrapping_add(1);
        tx.octets = tx.octets.wrapping_add(octets as u32);
        // Telephone events repeat the tick of their beginning: that says nothing about now.
        if tx.mapping.is_none_or(|(_, last)| (ticks.wrapping_sub(last) as i32) > 0) {
            tx.mapping = Some((now, ticks));
        }
        tx.last_rtp = Some(now);
        tx.sent_anything = true;
        self.totals.tx_packets += 1;
        self.totals.tx_bytes += octets as u64;
        if !tx.we_sent {
            // §6.3.8: perhaps the next report may come sooner.
            tx.we_sent = true;
            let members = self.group().members;
            self.schedule.reverse(now, members);
        }
    }
}
