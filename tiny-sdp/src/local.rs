//! What we bring to a session: addresses, streams and codecs. Borrowed by the negotiator for each
//! offer or answer, never kept.

use crate::{BundlePolicy, Direction, Host, LocalData, LocalDtls, LocalIce, LocalRtp, Text};
use std::net::IpAddr;

/// The kind of an `m=` line.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// `audio`
    Audio,
    /// `video`
    Video,
    /// `application`
    Application,
    /// `text`, `message`, `image`, …
    Other(Text),
}

impl MediaKind {
    /// The word on the `m=` line.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Application => "application",
            Self::Other(name) => name,
        }
    }

    pub(crate) fn parse(s: &str) -> Self {
        match s {
            "audio" => Self::Audio,
            "video" => Self::Video,
            "application" => Self::Application,
            _ => Self::Other(Text::copy(s)),
        }
    }
}

/// The transport protocol of an `m=` line.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Protocol {
    /// `RTP/AVP` (RFC 3551)
    #[default]
    RtpAvp,
    /// `RTP/AVPF` (RFC 4585)
    RtpAvpf,
    /// `RTP/SAVP` (RFC 3711)
    RtpSavp,
    /// `RTP/SAVPF` (RFC 5124)
    RtpSavpf,
    /// `UDP/TLS/RTP/SAVP` (RFC 5764)
    UdpTlsRtpSavp,
    /// `UDP/TLS/RTP/SAVPF` (RFC 5764)
    UdpTlsRtpSavpf,
    /// Any other, as written.
    Other(Text),
}

impl Protocol {
    const RTP: [Self; 6] = [
        Self::RtpAvp,
        Self::RtpAvpf,
        Self::RtpSavp,
        Self::RtpSavpf,
        Self::UdpTlsRtpSavp,
        Self::UdpTlsRtpSavpf,
    ];

    /// `UDP/DTLS/SCTP`: data channels (RFC 8841 §4.2).
    pub const fn data_channel() -> Self {
        Self::Other(Text::fixed("UDP/DTLS/SCTP"))
    }

    /// As written on the `m=` line.
    pub fn as_str(&self) -> &str {
        match self {
            Self::RtpAvp => "RTP/AVP",
            Self::RtpAvpf => "RTP/AVPF",
            Self::RtpSavp => "RTP/SAVP",
            Self::RtpSavpf => "RTP/SAVPF",
            Self::UdpTlsRtpSavp => "UDP/TLS/RTP/SAVP",
            Self::UdpTlsRtpSavpf => "UDP/TLS/RTP/SAVPF",
            Self::Other(name) => name,
        }
    }

    pub(crate) fn parse(s: &str) -> Self {
        Self::RTP
            .into_iter()
            .find(|p| p.as_str().eq_ignore_ascii_case(s))
            .unwrap_or_else(|| Self::Other(Text::copy(s)))
    }

    /// Whether formats are RTP payload types.
    pub fn is_rtp(&self) -> bool {
        !matches!(self, Self::Other(name) if !name.contains("RTP/"))
    }

    /// Whether media is encrypted.
    pub fn is_secure(&self) -> bool {
        match self {
            Self::RtpAvp | Self::RtpAvpf => false,
            Self::RtpSavp | Self::RtpSavpf | Self::UdpTlsRtpSavp | Self::UdpTlsRtpSavpf => true,
            Self::Other(name) => name.contains("SAVP") || name.contains("TLS"),
        }
    }

    /// Whether it runs over DTLS.
    pub fn is_dtls(&self) -> bool {
        match self {
            Self::UdpTlsRtpSavp | Self::UdpTlsRtpSavpf => true,
            Self::Other(name) => name.contains("DTLS/"),
            _ => false,
        }
    }

    /// Whether it is a feedback profile, and its sibling.
    fn sibling(&self) -> Option<(bool, Self)> {
        Some(match self {
            Self::RtpAvp => (false, Self::RtpAvpf),
            Self::RtpAvpf => (true, Self::RtpAvp),
            Self::RtpSavp => (false, Self::RtpSavpf),
            Self::RtpSavpf => (true, Self::RtpSavp),
            Self::UdpTlsRtpSavp => (false, Self::UdpTlsRtpSavpf),
            Self::UdpTlsRtpSavpf => (true, Self::UdpTlsRtpSavp),
            Self::Other(_) => return None,
        })
    }

    /// Whether media that is `self` here may answer `offered`. Encryption is never dropped or added.
    pub(crate) fn may_answer(&self, offered: &Self, accept_feedback: bool) -> bool {
        self == offered
            || self.sibling().is_some_and(|(feedback, sibling)| {
                sibling == *offered && (feedback || accept_feedback)
            })
    }
}

/// One codec of ours.
///
/// Names are compared without case. Events (RFC 4733) are a codec too: `telephone-event`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalCodec {
    /// Encoding name of `a=rtpmap`: `opus`, `PCMU`, `telephone-event`, …
    pub name: Text,
    /// RTP clock rate in Hz (8000 for G.722 although it samples at 16 kHz, RFC 3551 §4.5.2).
    pub clock_rate: u32,
    /// Channels; 1 is not written. Opus always says 2 (RFC 7587 §7).
    pub channels: u8,
    /// Static payload type (RFC 3551 §6), or the preferred dynamic one; `None`: any free one.
    pub payload_type: Option<u8>,
    /// Our `a=fmtp` parameters; empty: no line.
    pub fmtp: Text,
    /// Feedback messages that we wish, as written after the payload type of `a=rtcp-fb`: `nack pli`,
    /// `ccm fir`, … (RFC 4585). Those are agreed that both sides name.
    pub feedback: Vec<Text>,
}

impl LocalCodec {
    /// A codec with one channel, any dynamic payload type and no parameters. A payload type of
    /// RFC 3551 table 4 or 5 is taken for the names that have one.
    pub fn new(name: impl Into<Text>, clock_rate: u32) -> Self {
        let name = name.into();
        let payload_type = crate::codec::static_payload_type(&name, clock_rate, 1);
        Self {
            name,
            clock_rate,
            channels: 1,
            payload_type,
            fmtp: Text::EMPTY,
            feedback: Vec::new(),
        }
    }

    /// G.711 µ-law, payload type 0.
    pub fn pcmu() -> Self {
        Self::new("PCMU", 8000)
    }

    /// G.711 A-law, payload type 8.
    pub fn pcma() -> Self {
        Self::new("PCMA", 8000)
    }

    /// G.722 at 64 kbit/s, payload type 9.
    pub fn g722() -> Self {
        Self::new("G722", 8000)
    }

    /// Opus as RFC 7587 §7 has it: `opus/48000/2`, in-band FEC welcome.
    pub fn opus() -> Self {
        Self::new("opus", 48000).channels(2).payload_type(111).fmtp("useinbandfec=1")
    }

    /// DTMF and other events 0–15 at a clock rate (RFC 4733). Offer one for each clock rate of the
    /// codecs beside it: see [`LocalMedia::with_telephone_events`].
    pub fn telephone_event(clock_rate: u32) -> Self {
        Self::new("telephone-event", clock_rate).fmtp("0-15")
    }

    /// Sets [`channels`](Self::channels).
    #[must_use]
    pub fn channels(mut self, channels: u8) -> Self {
        self.channels = channels.max(1);
        if self.payload_type.is_some_and(|pt| pt < 35) {
            self.payload_type =
                crate::codec::static_payload_type(&self.name, self.clock_rate, self.channels);
        }
        self
    }

    /// Sets [`payload_type`](Self::payload_type).
    #[must_use]
    pub fn payload_type(mut self, payload_type: u8) -> Self {
        self.payload_type = Some(payload_type);
        self
    }

    /// Sets [`fmtp`](Self::fmtp).
    #[must_use]
    pub fn fmtp(mut self, fmtp: impl Into<Text>) -> Self {
        self.fmtp = fmtp.into();
        self
    }

    /// Adds to [`feedback`](Self::feedback).
    #[must_use]
    pub fn feedback(mut self, message: impl Into<Text>) -> Self {
        self.feedback.push(message.into());
        self
    }

    /// Whether this is `telephone-event`.
    pub fn is_telephone_event(&self) -> bool {
        self.name.eq_ignore_ascii_case("telephone-event")
    }
}

/// An attribute `a=name` or `a=name:value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalAttribute {
    /// Name, a token.
    pub name: Text,
    /// Value, if it has one.
    pub value: Option<Text>,
}

impl LocalAttribute {
    /// `a=name`
    pub fn flag(name: impl Into<Text>) -> Self {
        Self { name: name.into(), value: None }
    }

    /// `a=name:value`
    pub fn new(name: impl Into<Text>, value: impl Into<Text>) -> Self {
        Self { name: name.into(), value: Some(value.into()) }
    }
}

/// One stream of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalMedia {
    /// Audio, video, …
    pub kind: MediaKind,
    /// Where we receive RTP. 0 switches the stream off: it is not offered, rejected in an answer,
    /// and removed (port 0) from a session that has it.
    pub port: u16,
    /// Where we receive RTCP when it is not `port + 1`: writes `a=rtcp` (RFC 3605).
    pub rtcp_port: Option<u16>,
    /// Where RTCP is received with ICE, when that is another address than RTP's.
    pub rtcp_address: Option<Host>,
    /// Our address for this stream, when it is not the session's.
    pub address: Option<Host>,
    /// Transport protocol to offer, and what offers must have.
    pub protocol: Protocol,
    /// Codecs in order of preference (RTP only).
    pub codecs: Vec<LocalCodec>,
    /// Formats of a protocol that is not RTP, e.g. `webrtc-datachannel`.
    pub formats: Vec<Text>,
    /// What we wish; hold is [`Direction::held`].
    pub direction: Direction,
    /// Milliseconds of sound a packet that we wish to receive.
    pub ptime: Option<u32>,
    /// The most milliseconds a packet may carry.
    pub maxptime: Option<u32>,
    /// RTP and RTCP on one port, if the peer agrees (RFC 5761).
    pub rtcp_mux: bool,
    /// RTCP has no port of its own: the peer multiplexes or the stream is refused (RFC 8858).
    pub rtcp_mux_only: bool,
    /// Our name for the stream in groups, `a=mid`; generated where a bundle needs one. The name
    /// that an offer gave first is kept.
    pub mid: Option<Text>,
    /// Whether it may share a transport when [`LocalSession::bundle`] says so. Default true. The
    /// first stream of a bundle brings its transport: port, address, ICE and DTLS.
    pub bundle: bool,
    /// The `m=` line of an offer that this stream answers and no other. `None`: any that fits.
    pub line: Option<u16>,
    /// Whether it is gone for good: its line, rejected by then, may carry another of ours.
    pub stopped: bool,
    /// ICE: writes credentials and candidates.
    pub ice: Option<Box<LocalIce>>,
    /// Header extensions, sources, simulcast.
    pub rtp: Option<Box<LocalRtp>>,
    /// Data channels, for a stream of [`Protocol::data_channel`].
    pub data: Option<Box<LocalData>>,
    /// The most kbit/s that we wish to receive: `b=AS` (RFC 8866 §5.8).
    pub bandwidth: Option<u32>,
    /// DTLS, for a protocol that runs over it: writes `a=fingerprint`, `a=setup` and `a=tls-id`, and
    /// demands them of the peer.
    pub dtls: Option<Box<LocalDtls>>,
    /// Further attributes, written last and in this order when the stream is active.
    pub attributes: Vec<LocalAttribute>,
}

impl LocalMedia {
    /// A two-way `RTP/AVP` stream with nothing special.
    pub fn new(kind: MediaKind, port: u16, codecs: Vec<LocalCodec>) -> Self {
        Self {
            kind,
            port,
            rtcp_port: None,
            rtcp_address: None,
            address: None,
            protocol: Protocol::RtpAvp,
            codecs,
            formats: Vec::new(),
            direction: Direction::SendRecv,
            ptime: None,
            maxptime: None,
            rtcp_mux: false,
            rtcp_mux_only: false,
            mid: None,
            bundle: true,
            line: None,
            stopped: false,
            ice: None,
            rtp: None,
            data: None,
            bandwidth: None,
            dtls: None,
            attributes: Vec::new(),
        }
    }

    /// Data channels (RFC 8841 §4) with the given SCTP association.
    pub fn data_channel(port: u16, data: LocalData) -> Self {
        let mut media = Self::new(MediaKind::Application, port, Vec::new());
        media.protocol = Protocol::data_channel();
        media.formats = vec![Text::fixed("webrtc-datachannel")];
        media.data = Some(Box::new(data));
        media
    }

    /// The DTLS of this stream, if it is written with such a protocol. Old peers write `RTP/SAVPF`
    /// and mean DTLS (JSEP, RFC 8829 §5.1.2): so it is where we want nothing else.
    pub(crate) fn dtls_over(&self, protocol: &Protocol) -> Option<&LocalDtls> {
        let old = matches!(protocol, Protocol::RtpSavp | Protocol::RtpSavpf);
        let meant = self.protocol.is_dtls() && self.protocol.is_rtp() && old;
        self.dtls.as_deref().filter(|_| protocol.is_dtls() || meant)
    }

    /// Whether it may answer an offer with this protocol.
    pub(crate) fn may_answer(&self, offered: &Protocol, accept_feedback: bool) -> bool {
        self.protocol.may_answer(offered, accept_feedback)
            || (!offered.is_dtls() && self.dtls_over(offered).is_some())
    }

    /// An audio stream.
    pub fn audio(port: u16, codecs: Vec<LocalCodec>) -> Self {
        Self::new(MediaKind::Audio, port, codecs)
    }

    /// Appends a `telephone-event` for every clock rate among the codecs that has none: an event
    /// shares its stream's RTP timestamps, so its clock must be the codec's (RFC 4733 §2.1). A
    /// session that speaks Opus and G.711 needs one at 48000 Hz and one at 8000 Hz.
    #[must_use]
    pub fn with_telephone_events(mut self) -> Self {
        let rates: Vec<u32> = self.codecs.iter().map(|c| c.clock_rate).collect();
        for rate in rates {
            if !self.codecs.iter().any(|c| c.is_telephone_event() && c.clock_rate == rate) {
                self.codecs.push(LocalCodec::telephone_event(rate));
            }
        }
        self
    }
}

/// Our side of a session at this moment.
///
/// The place of a stream in [`media`](Self::media) is its identity: keep it there as long as the
/// session lives, append new ones, and set a port to 0 to remove one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalSession {
    /// User name of the `o=` line; empty writes `-`.
    pub username: Text,
    /// Our address: the `o=` and the session's `c=` line.
    pub address: Host,
    /// Our address of the other family. When the peer's offer is of that family, the answer uses it
    /// (RFC 6157 §3.1, dual stack).
    pub other_address: Option<IpAddr>,
    /// Where the `o=` line shall name another host than `address`.
    pub origin_address: Option<Host>,
    /// Session name of the `s=` line; default `-` (RFC 8866 §5.3).
    pub name: Text,
    /// Whether streams share one transport (RFC 9143). Default: they do not.
    pub bundle: BundlePolicy,
    /// `a=ice-options` of the session: `trickle ice2`. Empty writes none.
    pub ice_options: Text,
    /// Whether our ICE is lite (RFC 8839 §5.3).
    pub ice_lite: bool,
    /// Milliseconds between our connectivity checks, `a=ice-pacing` (RFC 8839 §5.5); `None` writes
    /// none: 50.
    pub ice_pacing: Option<u32>,
    /// Whether each stream has its `c=` line and the session none, as JSEP has it. Default false.
    pub media_connections: bool,
    /// Session-level attributes, written in this order.
    pub attributes: Vec<LocalAttribute>,
    /// The streams.
    pub media: Vec<LocalMedia>,
}

impl LocalSession {
    /// A session at an address.
    pub fn new(address: impl Into<Host>, media: Vec<LocalMedia>) -> Self {
        Self {
            username: Text::EMPTY,
            address: address.into(),
            other_address: None,
            origin_address: None,
            name: Text::fixed("-"),
            bundle: BundlePolicy::Off,
            ice_options: Text::EMPTY,
            ice_lite: false,
            ice_pacing: None,
            media_connections: false,
            attributes: Vec::new(),
            media,
        }
    }
}
