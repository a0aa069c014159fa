//! What a session is told at its beginning: limits, timers and defaults in one place.

use crate::rtcp::Size;
use crate::{NtpClock, PayloadType, SourcePolicy, Ssrc};
use std::net::SocketAddr;
use std::time::Duration;

/// A payload type that may be received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WirePayload {
    /// The number on the wire.
    pub payload_type: PayloadType,
    /// Its RTP clock in Hz.
    pub clock_rate: u32,
    /// Telephone events repeat timestamps by design; the jitter shown to people leaves them out.
    pub telephone_event: bool,
}

impl WirePayload {
    /// Audio or video.
    pub const fn media(payload_type: PayloadType, clock_rate: u32) -> Self {
        Self { payload_type, clock_rate, telephone_event: false }
    }

    /// Telephone events (RFC 4733).
    pub const fn events(payload_type: PayloadType, clock_rate: u32) -> Self {
        Self { payload_type, clock_rate, telephone_event: true }
    }
}

/// Where the peer wants to be sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remote {
    /// RTP, and RTCP too under rtcp-mux.
    pub rtp: SocketAddr,
    /// RTCP without rtcp-mux.
    pub rtcp: SocketAddr,
}

impl Remote {
    /// RTCP on the next higher port (RFC 3550 §11).
    pub fn new(rtp: SocketAddr) -> Self {
        let mut rtcp = rtp;
        rtcp.set_port(rtp.port().wrapping_add(1));
        Self { rtp, rtcp }
    }

    /// RTCP where `a=rtcp` says (RFC 3605).
    pub const fn with_rtcp(rtp: SocketAddr, rtcp: SocketAddr) -> Self {
        Self { rtp, rtcp }
    }
}

/// The bandwidth that RTCP may use, over all participants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RtcpBandwidth {
    /// For participants that send media, in bit/s (`b=RS`, RFC 3556).
    pub senders: f64,
    /// For those that only listen, in bit/s (`b=RR`).
    pub receivers: f64,
}

impl RtcpBandwidth {
    /// 5 % of the session bandwidth, a quarter of it for senders (RFC 3550 §6.2).
    pub fn of_session(bits_per_second: f64) -> Self {
        Self { senders: bits_per_second * 0.0125, receivers: bits_per_second * 0.0375 }
    }

    /// No RTCP at all (RFC 3556 §2).
    pub const OFF: Self = Self { senders: 0.0, receivers: 0.0 };
}

/// How a [`Session`](super::Session) behaves.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// What time it is. The streams of one call share it, so that they can be synchronized.
    pub clock: NtpClock,
    /// The RTP clock of what is sent, in Hz.
    pub clock_rate: u32,
    /// What may be received; everything else is dropped (RFC 3550 §5.1).
    pub payloads: Vec<WirePayload>,
    /// Where to send to, when it is known already.
    pub remote: Option<Remote>,
    /// RTP and RTCP share a port (RFC 5761). Default false.
    pub rtcp_mux: bool,
    /// Whether reduced-size RTCP is taken (RFC 5506, `a=rtcp-rsize`). Default compound only.
    pub rtcp_size: Size,
    /// Whose packets are taken. Default symmetric RTP with proof.
    pub source_policy: SourcePolicy,
    /// Our SSRC; drawn at random when `None`.
    pub ssrc: Option<Ssrc>,
    /// Our CNAME, the same for all streams of a call; drawn at random when `None` (RFC 7022).
    pub cname: Option<String>,
    /// A name to be told with every third report (§6.3.9). Default none.
    pub name: Option<String>,
    /// The program's name, told likewise. Default none.
    pub tool: Option<String>,
    /// The session bandwidth in bit/s, headers included. Default 80,000: G.711 in 20 ms packets.
    pub session_bandwidth: f64,
    /// RTCP's share; 5 % of the session bandwidth when `None`.
    pub rtcp_bandwidth: Option<RtcpBandwidth>,
    /// The shortest mean time between reports. Default 5 s (§6.2).
    pub min_interval: Duration,
    /// Use 360 s divided by the session bandwidth in kbit/s where that is shorter (§6.2; for
    /// unicast). Participants are timed out by `min_interval` all the same. Default false.
    pub reduced_minimum: bool,
    /// Octets of lower-layer headers counted with each packet. Default 28: IPv4 and UDP.
    pub transport_overhead: usize,
    /// Report intervals without a packet before a participant is gone. Default 5 (§6.2.1).
    pub timeout_multiplier: u32,
    /// Members at which leaving backs off its BYE. Default 50 (§6.3.7).
    pub bye_backoff_members: usize,
    /// Packets in sequence before a new source from an accepted address is valid. Default 2
    /// (MIN_SEQUENTIAL of A.1).
    pub min_sequential: u16,
    /// The largest plausible gap ahead, in packets. Default 3000 (MAX_DROPOUT of A.1).
    pub max_dropout: u16,
    /// The largest plausible distance behind, in packets; at most 127. Default 100 (MAX_MISORDER).
    pub max_misorder: u16,
    /// Packets kept while their source proves itself, then handed out by
    /// [`Session::next_held`](super::Session::next_held). Default 16; 0 drops them.
    pub max_held: usize,
    /// Longer packets are not kept. Default 2048 octets.
    pub max_held_octets: usize,
    /// How long a source that proves itself may pause before it is forgotten. Default 2 s.
    pub probation_timeout: Duration,
    /// Participants that are remembered, contributing sources included. Default 64.
    pub max_sources: usize,
    /// How long stragglers of a source that said BYE are dropped (§6.2.1). Default 2 s.
    pub bye_linger: Duration,
    /// Where any source is taken: how long one must have been silent before its SSRC may come from
    /// another address (§8.2). Default 3 s.
    pub collision_silence: Duration,
    /// Addresses remembered to conflict with our SSRC (§8.2). Default 8.
    pub max_conflicts: usize,
    /// How often our SSRC may change; further collisions are only counted. Default 4.
    pub max_ssrc_changes: u32,
    /// Take packets that carry our own SSRC, as echo tools send them back. Default false: they
    /// are loops (§8.2).
    pub accept_looped: bool,
    /// The longest RTCP datagram that is sent, in octets. Default 1200.
    pub max_rtcp_octets: usize,
    /// Events that wait to be polled; more are dropped and counted. Default 256.
    pub max_events: usize,
}

impl SessionConfig {
    /// The defaults, for sending on a clock of `clock_rate` Hz.
    pub fn new(clock: NtpClock, clock_rate: u32) -> Self {
        Self {
            clock,
            clock_rate,
            payloads: Vec::new(),
            remote: None,
            rtcp_mux: false,
            rtcp_size: Size::Compound,
            source_policy: SourcePolicy::default(),
            ssrc: None,
            cname: None,
            name: None,
            tool: None,
            session_bandwidth: 80_000.0,
            rtcp_bandwidth: None,
            min_interval: Duration::from_secs(5),
            reduced_minimum: false,
            transport_overhead: 28,
            timeout_multiplier: 5,
            bye_backoff_members: 50,
            min_sequential: 2,
            max_dropout: 3000,
            max_misorder: 100,
            max_held: 16,
            max_held_octets: 2048,
            probation_timeout: Duration::from_secs(2),
            max_sources: 64,
            bye_linger: Duration::from_secs(2),
            collision_silence: Duration::from_secs(3),
            max_conflicts: 8,
            max_ssrc_changes: 4,
            accept_looped: false,
            max_rtcp_octets: 1200,
            max_events: 256,
        }
    }
}
