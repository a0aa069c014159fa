//! Every limit of the socket drivers, with its default.

use crate::mdns::MdnsConfig;
use crate::tls::TlsConfig;
use std::time::Duration;

/// Limits and timers of the socket drivers. All of them are run-time settings.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// `SO_RCVBUF` asked for a SIP datagram socket, in bytes; the system may grant less. Default
    /// 4 MiB: about 5,000 messages may wait while the engine is busy.
    pub udp_receive_buffer: usize,
    /// `SO_SNDBUF` asked for a SIP datagram socket, in bytes. Default 1 MiB.
    pub udp_send_buffer: usize,
    /// Datagrams read from the system in one call, 1 to 64. Default 16.
    pub udp_receive_batch: usize,
    /// The largest datagram received or sent, in bytes; a longer one received is counted and
    /// dropped. Default 65,535, the most that UDP can carry.
    pub max_datagram: usize,
    /// Datagrams that wait for a socket whose send buffer is full; beyond that, sending fails.
    /// Default 1,024.
    pub udp_send_queue: usize,
    /// Stream connections open at once, both ways; beyond that, new ones are refused. Default
    /// 4,096.
    pub max_connections: usize,
    /// Connections waiting to be accepted by a listener. Default 1,024.
    pub tcp_backlog: u32,
    /// How long a connection may take to open. Default 10 s, well inside SIP's 32 s transaction
    /// timeout, so that another target can be tried.
    pub connect_timeout: Duration,
    /// How long the TLS and WebSocket handshakes of a connection may take together. Default 10 s.
    pub handshake_timeout: Duration,
    /// Certificates, keys and whom to trust; see [`TlsConfig`].
    pub tls: TlsConfig,
    /// The path that a WebSocket client asks for. Default `/`.
    pub ws_path: String,
    /// The longest WebSocket message received, in bytes; a longer one ends the connection. Default
    /// 64 KiB, what a datagram could carry.
    pub ws_max_message: usize,
    /// A WebSocket connection that has been silent for this long is pinged (RFC 7118 §6), and
    /// closed when as much time passes again without an answer. Default 30 s.
    pub ws_ping_interval: Duration,
    /// A connection without a byte in either direction for this long is closed. Default 10 min;
    /// keep-alives (RFC 5626 §3.5.1 recommends at most 120 s) hold it open.
    pub idle_timeout: Duration,
    /// A connection whose peer accepts no byte for this long, while some wait, is closed. Default
    /// 30 s.
    pub write_timeout: Duration,
    /// Messages that wait on one connection; beyond that, sending fails. Default 1,024.
    pub write_queue_messages: usize,
    /// Bytes that wait on one connection; beyond that, sending fails. Default 4 MiB.
    pub write_queue_bytes: usize,
    /// Bytes read from a connection in one call. Default 16 KiB.
    pub stream_read_size: usize,
    /// Pieces of stream data that wait for the engine, over all connections; beyond that, reading
    /// pauses and the peers are slowed down by TCP. Default 1,024.
    pub stream_event_queue: usize,
    /// `SO_RCVBUF` asked for a media socket, in bytes. Default 256 KiB: over one second of video.
    pub rtp_receive_buffer: usize,
    /// `SO_SNDBUF` asked for a media socket, in bytes. Default 256 KiB.
    pub rtp_send_buffer: usize,
    /// How long one name look-up may take; finding a server takes three in a row at most. Default
    /// 5 s.
    pub resolve_timeout: Duration,
    /// How the names of hidden host candidates are looked up; see [`MdnsConfig`].
    pub mdns: MdnsConfig,
    /// Servers and addresses tried for one next hop. Default 16.
    pub max_resolved: usize,
    /// How long the addresses of one family wait for those of the other. Default 50 ms (RFC 8305
    /// §3).
    pub resolution_delay: Duration,
    /// How long a server whose addresses are known waits for its peers' to be looked up; later
    /// ones are left out. Default 1 s.
    pub dns_patience: Duration,
    /// Whether an IPv6 address is tried before an IPv4 address of the same server. Default true
    /// (RFC 8305 §4); an address without a route comes last anyway.
    pub prefer_ipv6: bool,
    /// Answers kept, absent names included. Default 1,024.
    pub dns_cache_entries: usize,
    /// The longest that an answer is kept, whatever its TTL says. Default 1 day.
    pub dns_max_ttl: Duration,
    /// The longest that an absent name is kept. Default 5 min (RFC 2308 §5 warns beyond 3 h).
    pub dns_negative_ttl: Duration,
    /// Searches under way at once; a further one fails. Default 1,024.
    pub dns_max_searches: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            udp_receive_buffer: 4 << 20,
            udp_send_buffer: 1 << 20,
            udp_receive_batch: 16,
            max_datagram: 65_535,
            udp_send_queue: 1024,
            max_connections: 4096,
            tcp_backlog: 1024,
            connect_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            tls: TlsConfig::default(),
            ws_path: "/".to_owned(),
            ws_max_message: 64 << 10,
            ws_ping_interval: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(600),
            write_timeout: Duration::from_secs(30),
            write_queue_messages: 1024,
            write_queue_bytes: 4 << 20,
            stream_read_size: 16 << 10,
            stream_event_queue: 1024,
            rtp_receive_buffer: 256 << 10,
            rtp_send_buffer: 256 << 10,
            resolve_timeout: Duration::from_secs(5),
            mdns: MdnsConfig::default(),
            max_resolved: 16,
            resolution_delay: Duration::from_millis(50),
            dns_patience: Duration::from_secs(1),
            prefer_ipv6: true,
            dns_cache_entries: 1024,
            dns_max_ttl: Duration::from_secs(86_400),
            dns_negative_ttl: Duration::from_secs(300),
            dns_max_searches: 1024,
        }
    }
}
