//! Every limit of data channels, with its default.

use std::time::Duration;

/// Limits and timers of the data channels of one association.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Our SCTP port, as `a=sctp-port` tells it. Default 5000.
    pub port: u16,
    /// The largest SCTP packet in bytes, at least 512. Default 1,160: with the 37 bytes of DTLS around
    /// it a datagram stays below 1,200 (RFC 8831 §5).
    pub mtu: usize,
    /// Channels at a time. One more of ours is refused with [`Error::Limit`](super::Error::Limit), one
    /// of the peer's is reset. Default 256.
    pub max_channels: usize,
    /// The longest label or subprotocol in bytes, at most 65,535. A longer one of ours is refused, a
    /// channel of the peer's with one is reset. Default 4,096.
    pub max_label: usize,
    /// The largest message that is taken in bytes, as `a=max-message-size` tells it. A channel with a
    /// larger one is closed. Default 256 KiB, which is what browsers take.
    pub max_message_size: usize,
    /// Bytes that may wait to be sent, of all channels together. A message beyond that is refused with
    /// [`Error::Full`](super::Error::Full). Default 16 MiB.
    pub max_buffered: usize,
    /// Bytes received that may wait: pieces of messages, messages out of order, and messages that the
    /// application has not read; each piece counts 64 more. The peer is told how much is left, and what
    /// it sends beyond is dropped. A peer that fills it with messages that cannot be put together is
    /// told that we are out of resources. At least twice `max_message_size`. Default 1 MiB.
    pub receive_buffer: usize,
    /// Bytes that may be on their way unacknowledged, whatever the peer's window says. Default 1 MiB.
    pub max_flight: usize,
    /// A channel with no more than so many bytes waiting tells
    /// [`Event::BufferedLow`](super::Event::BufferedLow) when it had more. Default 64 KiB.
    pub low_water: usize,
    /// The first time to wait for an acknowledgement. Default 500 ms: the path has carried a handshake
    /// already (RFC 9260 §16 has 1 s for paths that are not known).
    pub rto_initial: Duration,
    /// The shortest such time. Default 400 ms, twice the delay of acknowledgements; RFC 9260 §16 has 1 s.
    pub rto_min: Duration,
    /// The longest such time. Default 10 s, so that a path that comes back is found soon; RFC 9260 §16
    /// has 60 s.
    pub rto_max: Duration,
    /// How long an acknowledgement may wait for company. Default 200 ms (RFC 9260 §6.2).
    pub sack_delay: Duration,
    /// How often INIT and COOKIE ECHO are repeated. Default 8 (RFC 9260 §16).
    pub max_init_retransmits: u32,
    /// Times in a row that nothing comes back before the association is given up. Default 10 (RFC 9260
    /// §16).
    pub max_retransmits: u32,
    /// How long an idle association goes without asking the peer whether it is there. Default 30 s (RFC
    /// 9260 §16).
    pub heartbeat: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            port: 5000,
            mtu: 1160,
            max_channels: 256,
            max_label: 4096,
            max_message_size: 256 * 1024,
            max_buffered: 16 << 20,
            receive_buffer: 1 << 20,
            max_flight: 1 << 20,
            low_water: 64 * 1024,
            rto_initial: Duration::from_millis(500),
            rto_min: Duration::from_millis(400),
            rto_max: Duration::from_secs(10),
            sack_delay: Duration::from_millis(200),
            max_init_retransmits: 8,
            max_retransmits: 10,
            heartbeat: Duration::from_secs(30),
        }
    }
}

/// What the peer's description says (RFC 8841 §5, §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its SCTP port.
    pub port: u16,
    /// The largest message that it takes in bytes; 0: any.
    pub max_message_size: u64,
}

impl Default for Peer {
    /// Port 5000 and 64 KiB, which holds for who says nothing.
    fn default() -> Self {
        Self { port: 5000, max_message_size: 65_536 }
    }
}
