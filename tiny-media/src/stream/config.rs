//! What a stream is told: the outcome of negotiation, and its limits. Plain values; a new offer and
//! answer make a new [`StreamConfig`], which [`super::AudioStream::reconfigure`] takes over.

use crate::jitter::JitterConfig;
use crate::plugin::{AudioCodec, Fmtp};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tiny_rtp::{MidExtension, NtpClock};
pub use tiny_sdp::Direction;

/// A codec with the payload type and parameters that were negotiated for one direction.
#[derive(Clone)]
pub struct StreamCodec {
    /// The codec.
    pub codec: Arc<dyn AudioCodec>,
    /// Its payload type on the wire: the peer's choice for sending, ours for receiving.
    pub payload_type: u8,
    /// For sending, the peer's `a=fmtp`; for receiving, our own.
    pub fmtp: Fmtp,
}

impl StreamCodec {
    /// A codec under a payload type, with its parameters.
    pub fn new(codec: Arc<dyn AudioCodec>, payload_type: u8, fmtp: Fmtp) -> Self {
        Self { codec, payload_type, fmtp }
    }

    /// Whether two entries would make the same encoder or decoder.
    pub(crate) fn same(&self, other: &Self) -> bool {
        let (a, b) = (self.codec.description(), other.codec.description());
        a.name.eq_ignore_ascii_case(b.name)
            && a.clock_rate == b.clock_rate
            && a.format == b.format
            && self.fmtp == other.fmtp
    }
}

impl fmt::Debug for StreamCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let d = self.codec.description();
        write!(f, "{}/{} as {}", d.name, d.clock_rate, self.payload_type)?;
        if self.fmtp.0.is_empty() { Ok(()) } else { write!(f, " ({})", self.fmtp.0) }
    }
}

/// A payload type of telephone-event (RFC 4733), with its clock rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventPayload {
    /// The payload type on the wire.
    pub payload_type: u8,
    /// The clock rate in Hz. It should be that of the codec beside it (RFC 4733 §2.1).
    pub clock_rate: u32,
}

/// Everything that a stream must know. Make one with [`StreamConfig::new`] and fill in the rest.
#[derive(Debug, Clone)]
pub struct StreamConfig {
    /// Which way media flows. Default both. While nothing is sent, a source at the timer's pace
    /// waits and a device is emptied unheard; while nothing is received, what arrives is not
    /// played.
    pub direction: Direction,
    /// Where to send RTP; `None` sends nothing. A symmetric peer that proves itself elsewhere
    /// replaces it until the next reconfiguration with another value.
    pub remote_rtp: Option<SocketAddr>,
    /// Where to send RTCP. `None`: the same with `rtcp_mux`, else one port higher (RFC 3605).
    pub remote_rtcp: Option<SocketAddr>,
    /// RTCP shares the port of RTP (RFC 5761). Default false.
    pub rtcp_mux: bool,
    /// Take RTCP that has no report in front (RFC 5506). Default false. What we send begins with one.
    pub rtcp_reduced: bool,
    /// Follow a peer whose packets come from another address than was signalled, once it has
    /// proved itself by several packets in a row (RFC 4961). Default true.
    pub symmetric: bool,
    /// The m-line that our packets say they are of, in a bundle (RFC 9143 §15.2); those that say
    /// another are not taken. Default `None`.
    pub mid: Option<MidExtension>,
    /// What to send; `None` sends no audio.
    pub send: Option<StreamCodec>,
    /// What may arrive: the decoder follows the payload type of each packet.
    pub receive: Vec<StreamCodec>,
    /// Telephone-events to the peer; `None` when it takes none.
    pub event_send: Option<EventPayload>,
    /// Telephone-events from the peer.
    pub event_receive: Vec<EventPayload>,
    /// Sound a packet. Default 20 ms.
    pub ptime: Duration,
    /// Our synchronization source. Kept for the life of the stream, whatever is reconfigured.
    pub ssrc: u32,
    /// Our canonical name in RTCP (RFC 3550 §6.5.1).
    pub cname: String,
    /// Ties `Instant`s to the wall clock, for RTCP sender reports. Default: time since start.
    pub ntp: Option<NtpClock>,
    /// The jitter buffer.
    pub jitter: JitterConfig,
    /// Leave out packets that the encoder calls silence (RFC 3551 §4.1). Default true: encoders
    /// only do so when their parameters ask for it.
    pub dtx: bool,
    /// [`StreamEvent::MediaTimeout`](super::StreamEvent::MediaTimeout) after so long without a
    /// packet while we expect some. Default 30 s; `None` never.
    pub media_timeout: Option<Duration>,
    /// RTCP bandwidth in bits per second: 5 % of the session's (RFC 3550 §6.2). Default 3,200 for
    /// a 64 kbit/s call. Zero sends no RTCP.
    pub rtcp_bandwidth: u32,
    /// Packets sent in one go after a stall; older time is skipped and counted. Default 3.
    pub max_catch_up: u32,
    /// What to keep in a device sink, to begin with. Default 40 ms.
    pub sink_target: Duration,
    /// A device that runs dry all the same, because it takes more at a time, gets more, up to
    /// this. Default 200 ms.
    pub sink_target_max: Duration,
    /// Digits that may wait to be sent. Default 64.
    pub max_digits: usize,
    /// UDP payload limit: an encoded packet above it is dropped and counted. Default 1,400.
    pub max_packet: usize,
}

impl StreamConfig {
    /// A stream of a codec in both directions under one payload type.
    pub fn new(codec: StreamCodec, ssrc: u32, cname: impl Into<String>) -> Self {
        let ptime = Duration::from_millis(codec.codec.description().ptime_ms.into());
        Self {
            direction: Direction::SendRecv,
            remote_rtp: None,
            remote_rtcp: None,
            rtcp_mux: false,
            rtcp_reduced: false,
            symmetric: true,
            mid: None,
            send: Some(codec.clone()),
            receive: vec![codec],
            event_send: None,
            event_receive: Vec::new(),
            ptime,
            ssrc,
            cname: cname.into(),
            ntp: None,
            jitter: JitterConfig::default(),
            dtx: true,
            media_timeout: Some(Duration::from_secs(30)),
            rtcp_bandwidth: 3_200,
            max_catch_up: 3,
            sink_target: Duration::from_millis(40),
            sink_target_max: Duration::from_millis(200),
            max_digits: 64,
            max_packet: 1_400,
        }
    }

    /// Where RTCP goes.
    pub(crate) fn rtcp_address(&self) -> Option<SocketAddr> {
        let rtp = self.remote_rtp?;
        if self.rtcp_mux {
            return Some(rtp);
        }
        self.remote_rtcp.or_else(|| {
            let port = rtp.port().checked_add(1)?;
            Some(SocketAddr::new(rtp.ip(), port))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_are_made_of_two_halves() {
        for d in
            [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive]
        {
            assert_eq!(Direction::new(d.sends(), d.receives()), d);
        }
    }
}
