//! What goes into a stream and what comes out.

use std::net::SocketAddr;
use tiny_rtp::Component;

/// Something that happened to a stream.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// A datagram arrived. With rtcp-mux say [`Component::Rtp`]: the two are told apart inside.
    Packet {
        /// Who sent it.
        from: SocketAddr,
        /// On which socket.
        component: Component,
        /// Its bytes, after decryption.
        data: &'a [u8],
    },
    /// The deadline of the last `poll` was reached.
    Timeout,
}

/// How a digit travelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DtmfVia {
    /// As telephone-events (RFC 4733).
    Rfc4733,
    /// As two tones in the sound.
    Inband,
}

impl DtmfVia {
    /// The name in logs and command lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rfc4733 => "rfc4733",
            Self::Inband => "inband",
        }
    }
}

/// What the owner of a stream should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamEvent {
    /// The first packet with sound has arrived.
    Started {
        /// Its payload type.
        payload_type: u8,
        /// From where.
        from: SocketAddr,
    },
    /// The peer pressed a key.
    Dtmf {
        /// `0`–`9`, `*`, `#`, `A`–`D`.
        digit: char,
        /// For how long, in ms.
        duration_ms: u32,
        /// How it was carried.
        via: DtmfVia,
    },
    /// Every digit asked for was sent.
    DtmfSent,
    /// The source has come to its end; silence is sent from now on.
    /// [`AudioStream::source_fault`](super::AudioStream::source_fault) tells when it was a failure.
    SourceEnded,
    /// The sink has failed for good; what is heard is lost.
    /// [`AudioStream::sink_fault`](super::AudioStream::sink_fault) tells why.
    SinkFailed,
    /// The peer proved itself at another address; media goes there now.
    RemoteAddressChanged {
        /// The new address of RTP.
        to: SocketAddr,
    },
    /// The peer sends another codec now.
    CodecSwitched {
        /// Its payload type.
        payload_type: u8,
        /// Its name in SDP.
        name: &'static str,
        /// Its RTP clock rate in Hz.
        clock_rate: u32,
    },
    /// Nothing was received for the configured time. Said once; the next packet re-arms it.
    MediaTimeout,
    /// The peer left the session (RTCP BYE).
    RemoteBye {
        /// The synchronization source that left.
        ssrc: u32,
    },
}
