//! Writes pcapng captures that Wireshark reads, from payloads and addresses alone.
//!
//! The format is draft-ietf-opsawg-pcapng: a Section Header, one Interface Description (raw IP,
//! nanoseconds), then Enhanced Packets. The IP, UDP and TCP headers (RFC 791, 8200, 768, 9293) are
//! made up here with right lengths and checksums, since an agent sees payloads only. Each block goes
//! out in one write, so a killed process leaves a readable file. It never opens a socket or a clock.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// LINKTYPE_RAW: a packet begins with its IPv4 or IPv6 header.
const LINKTYPE_RAW: u16 = 101;
const SECTION_HEADER: u32 = 0x0A0D_0D0A;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const UDP: u8 = 17;
const TCP: u8 = 6;
/// Payload bytes in one made-up TCP segment: fits an IPv4 packet with room for headers.
const SEGMENT: usize = 65_000;
/// The largest payload of a UDP datagram over IPv4 (RFC 768, RFC 791).
const LARGEST_DATAGRAM: usize = 65_507;

/// Which way a packet went, seen from the agent that writes the capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// It arrived.
    Inbound,
    /// It was sent.
    Outbound,
}

/// Limits of a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// TCP connections whose sequence numbers are remembered; the oldest is forgotten beyond that,
    /// and shows up as a new connection if it speaks again. Default 4096.
    pub max_connections: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_connections: 4096 }
    }
}

/// Writes one capture into `W`.
///
/// Give it something unbuffered, such as a `File`: every method makes one `write_all` of whole
/// blocks.
///
/// ```
/// use std::time::SystemTime;
/// use tiny_net::pcapng::{Direction, Writer};
/// let mut file = Vec::new();
/// let mut capture = Writer::new(&mut file, "an example")?;
/// let (a, b) = ("127.0.0.1:5060".parse().unwrap(), "127.0.0.1:5070".parse().unwrap());
/// capture.udp(SystemTime::now(), Direction::Outbound, a, b, b"OPTIONS sip:b SIP/2.0\r\n\r\n")?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: W,
    config: Config,
    /// Whole blocks, ready to be written.
    blocks: Vec<u8>,
    packet: Vec<u8>,
    connections: HashMap<(SocketAddr, SocketAddr), Connection>,
    /// Connections in the order in which they were first seen.
    order: VecDeque<(SocketAddr, SocketAddr)>,
    packets: u64,
}

/// The next sequence number of each side; `a` is the lower address of the key.
#[derive(Debug, Clone, Copy)]
struct Connection {
    a: u32,
    b: u32,
}

impl<W: Write> Writer<W> {
    /// Begins a capture: writes the section and interface headers. `application` is named in them.
    ///
    /// # Errors
    /// What `out` says.
    pub fn new(out: W, application: &str) -> io::Result<Self> {
        Self::with_config(out, application, Config::default())
    }

    /// [`new`](Self::new) with limits of one's own.
    ///
    /// # Errors
    /// What `out` says.
    pub fn with_config(out: W, application: &str, config: Config) -> io::Result<Self> {
        let mut writer = Self {
            out,
            config,
            blocks: Vec::with_capacity(2048),
            packet: Vec::with_capacity(2048),
            connections: HashMap::new(),
            order: VecDeque::new(),
            packets: 0,
        };
        let section = begin_block(&mut writer.blocks, SECTION_HEADER);
        writer.blocks.extend_from_slice(&0x1A2B_3C4D_u32.to_le_bytes());
        writer.blocks.extend_from_slice(&1_u16.to_le_bytes());
        writer.blocks.extend_from_slice(&0_u16.to_le_bytes());
        writer.blocks.extend_from_slice(&u64::MAX.to_le_bytes());
        option(&mut writer.blocks, 4, application.as_bytes());
        option(&mut writer.blocks, 0, &[]);
        end_block(&mut writer.blocks, section);
        let interface = begin_block(&mut writer.blocks, INTERFACE_DESCRIPTION);
        writer.blocks.extend_from_slice(&LINKTYPE_RAW.to_le_bytes());
        writer.blocks.extend_from_slice(&0_u16.to_le_bytes());
        writer.blocks.extend_from_slice(&0_u32.to_le_bytes());
        option(&mut writer.blocks, 2, application.as_bytes());
        option(&mut writer.blocks, 9, &[9]);
        option(&mut writer.blocks, 0, &[]);
        end_block(&mut writer.blocks, interface);
        writer.flush_blocks()?;
        Ok(writer)
    }

    /// Adds one UDP datagram. A payload that no datagram could carry is cut.
    ///
    /// # Errors
    /// What the output says; the capture is whole up to the packet before.
    pub fn udp(
        &mut self,
        at: SystemTime,
        direction: Direction,
        source: SocketAddr,
        destination: SocketAddr,
        payload: &[u8],
    ) -> io::Result<()> {
        let payload = &payload[..payload.len().min(LARGEST_DATAGRAM)];
        let mut header = [0_u8; 8];
        header[0..2].copy_from_slice(&source.port().to_be_bytes());
        header[2..4].copy_from_slice(&destination.port().to_be_bytes());
        header[4..6].copy_from_slice(&((payload.len() + 8) as u16).to_be_bytes());
        self.ip(source.ip(), destination.ip(), UDP, &header, payload, 6);
        self.enhanced_packet(at, direction);
        self.flush_blocks()
    }

    /// Adds bytes of a TCP connection, in order. The first bytes between two addresses are preceded
    /// by a made-up handshake, so that readers reassemble the stream from its beginning.
    ///
    /// # Errors
    /// What the output says; the capture is whole up to the segment before.
    pub fn tcp(
        &mut self,
        at: SystemTime,
        direction: Direction,
        source: SocketAddr,
        destination: SocketAddr,
        payload: &[u8],
    ) -> io::Result<()> {
        let key = connection_key(source, destination);
        if !self.connections.contains_key(&key) {
            self.handshake(at, direction, source, destination);
        }
        for piece in payload.chunks(SEGMENT) {
            let (seq, ack) = self.advance(source, destination, piece.len() as u32);
            self.segment(source, destination, seq, ack, PSH | ACK, piece);
            self.enhanced_packet(at, direction);
        }
        self.flush_blocks()
    }

    /// Says that the connection between two addresses was closed by `source`; the next bytes
    /// between them begin a new one.
    ///
    /// # Errors
    /// What the output says.
    pub fn tcp_closed(
        &mut self,
        at: SystemTime,
        direction: Direction,
        source: SocketAddr,
        destination: SocketAddr,
    ) -> io::Result<()> {
        let key = connection_key(source, destination);
        if !self.connections.contains_key(&key) {
            return Ok(());
        }
        let (seq, ack) = self.advance(source, destination, 1);
        self.segment(source, destination, seq, ack, FIN | ACK, &[]);
        self.enhanced_packet(at, direction);
        self.connections.remove(&key);
        self.order.retain(|k| *k != key);
        self.flush_blocks()
    }

    /// Packets written so far, made-up handshakes included.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// The output.
    pub fn into_inner(self) -> W {
        self.out
    }

    /// SYN, SYN-ACK, ACK. Whoever speaks first is shown as the one who connected.
    fn handshake(
        &mut self,
        at: SystemTime,
        direction: Direction,
        client: SocketAddr,
        server: SocketAddr,
    ) {
        let key = connection_key(client, server);
        while self.connections.len() >= self.config.max_connections.max(1) {
            match self.order.pop_front() {
                Some(oldest) => self.connections.remove(&oldest),
                None => break,
            };
        }
        // Initial sequence numbers need only differ from one capture's connection to the next.
        let first = (self.packets as u32).wrapping_mul(64_007);
        self.connections.insert(key, Connection { a: first, b: first.wrapping_add(0x1000_0000) });
        self.order.push_back(key);
        let other = match direction {
            Direction::Inbound => Direction::Outbound,
            Direction::Outbound => Direction::Inbound,
        };
        let (seq, _) = self.advance(client, server, 1);
        self.segment(client, server, seq, 0, SYN, &[]);
        self.enhanced_packet(at, direction);
        let (seq, ack) = self.advance(server, client, 1);
        self.segment(server, client, seq, ack, SYN | ACK, &[]);
        self.enhanced_packet(at, other);
        let (seq, ack) = self.advance(client, server, 0);
        self.segment(client, server, seq, ack, ACK, &[]);
        self.enhanced_packet(at, direction);
    }

    /// The sequence and acknowledgement number of a segment of `length`, and moves on past it.
    fn advance(&mut self, source: SocketAddr, destination: SocketAddr, length: u32) -> (u32, u32) {
        let key = connection_key(source, destination);
        let connection = self.connections.entry(key).or_insert(Connection { a: 1, b: 1 });
        let (own, peer) = if key.0 == source {
            (&mut connection.a, connection.b)
        } else {
            (&mut connection.b, connection.a)
        };
        let seq = *own;
        *own = own.wrapping_add(length);
        (seq, peer)
    }

    fn segment(
        &mut self,
        source: SocketAddr,
        destination: SocketAddr,
        seq: u32,
        ack: u32,
        flags: u8,
        payload: &[u8],
    ) {
        let mut header = [0_u8; 20];
        header[0..2].copy_from_slice(&source.port().to_be_bytes());
        header[2..4].copy_from_slice(&destination.port().to_be_bytes());
        header[4..8].copy_from_slice(&seq.to_be_bytes());
        header[8..12].copy_from_slice(&ack.to_be_bytes());
        header[12] = 5 << 4;
        header[13] = flags;
        header[14..16].copy_from_slice(&0xFFFF_u16.to_be_bytes());
        self.ip(source.ip(), destination.ip(), TCP, &header, payload, 16);
    }

    /// Puts one IP packet into `self.packet`; the checksum of the transport header goes to
    /// `checksum_at` within it.
    fn ip(
        &mut self,
        source: IpAddr,
        destination: IpAddr,
        protocol: u8,
        header: &[u8],
        payload: &[u8],
        checksum_at: usize,
    ) {
        let packet = &mut self.packet;
        packet.clear();
        let length = header.len() + payload.len();
        let mut pseudo = Sum::default();
        pseudo.word(u16::from(protocol));
        pseudo.word(length as u16);
        match (source.to_canonical(), destination.to_canonical()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let mut ip = [0_u8; 20];
                ip[0] = 0x45;
                ip[2..4].copy_from_slice(&((length + 20) as u16).to_be_bytes());
                ip[4..6].copy_from_slice(&(self.packets as u16).to_be_bytes());
                ip[6] = 0x40; // don't fragment
                ip[8] = 64;
                ip[9] = protocol;
                ip[12..16].copy_from_slice(&source.octets());
                ip[16..20].copy_from_slice(&destination.octets());
                let mut sum = Sum::default();
                sum.bytes(&ip);
                ip[10..12].copy_from_slice(&sum.checksum().to_be_bytes());
                packet.extend_from_slice(&ip);
                pseudo.bytes(&ip[12..20]);
            }
            // One IPv6 address makes the other one IPv6 too (mapped, RFC 4291 §2.5.5.2).
            (source, destination) => {
                let mut ip = [0_u8; 40];
                ip[0] = 0x60;
                ip[4..6].copy_from_slice(&(length as u16).to_be_bytes());
                ip[6] = protocol;
                ip[7] = 64;
                ip[8..24].copy_from_slice(&v6_octets(source));
                ip[24..40].copy_from_slice(&v6_octets(destination));
                packet.extend_from_slice(&ip);
                pseudo.bytes(&ip[8..40]);
            }
        }
        let start = packet.len();
        packet.extend_from_slice(header);
        packet.extend_from_slice(payload);
        pseudo.bytes(&packet[start..]);
        // RFC 768: a sum of zero is sent as all ones.
        let sum = match pseudo.checksum() {
            0 => 0xFFFF,
            sum => sum,
        };
        packet[start + checksum_at..start + checksum_at + 2].copy_from_slice(&sum.to_be_bytes());
    }

    /// Appends `self.packet` as an Enhanced Packet Block.
    fn enhanced_packet(&mut self, at: SystemTime, direction: Direction) {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let nanos = since.as_nanos() as u64;
        let block = begin_block(&mut self.blocks, ENHANCED_PACKET);
        self.blocks.extend_from_slice(&0_u32.to_le_bytes());
        self.blocks.extend_from_slice(&((nanos >> 32) as u32).to_le_bytes());
        self.blocks.extend_from_slice(&(nanos as u32).to_le_bytes());
        let length = self.packet.len() as u32;
        self.blocks.extend_from_slice(&length.to_le_bytes());
        self.blocks.extend_from_slice(&length.to_le_bytes());
        self.blocks.extend_from_slice(&self.packet);
        pad(&mut self.blocks);
        let flags: u32 = match direction {
            Direction::Inbound => 1,
            Direction::Outbound => 2,
        };
        option(&mut self.blocks, 2, &flags.to_le_bytes());
        option(&mut self.blocks, 0, &[]);
        end_block(&mut self.blocks, block);
        self.packets += 1;
    }

    fn flush_blocks(&mut self) -> io::Result<()> {
        let result = self.out.write_all(&self.blocks);
        self.blocks.clear();
        result
    }
}

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

fn connection_key(x: SocketAddr, y: SocketAddr) -> (SocketAddr, SocketAddr) {
    if x <= y { (x, y) } else { (y, x) }
}

fn v6_octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// Starts a block and says where, for [`end_block`].
fn begin_block(out: &mut Vec<u8>, kind: u32) -> usize {
    let start = out.len();
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&0_u32.to_le_bytes());
    start
}

/// Fills in the total length at both ends.
fn end_block(out: &mut Vec<u8>, start: usize) {
    let total = (out.len() - start + 4) as u32;
    out[start + 4..start + 8].copy_from_slice(&total.to_le_bytes());
    out.extend_from_slice(&total.to_le_bytes());
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(usize::from(u16::MAX))];
    out.extend_from_slice(&code.to_le_bytes());
    out.extend_from_slice(&(value.len() as u16).to_le_bytes());
    out.extend_from_slice(value);
    pad(out);
}

/// To the next 32-bit boundary; every block starts on one.
fn pad(out: &mut Vec<u8>) {
    while !out.len().is_multiple_of(4) {
        out.push(0);
    }
}

/// The Internet checksum (RFC 1071).
#[derive(Default)]
struct Sum(u64);

impl Sum {
    fn word(&mut self, word: u16) {
        self.0 += u64::from(word);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let pairs = bytes.chunks_exact(2);
        if let [last] = pairs.remainder() {
            self.word(u16::from_be_bytes([*last, 0]));
        }
        for pair in pairs {
            self.word(u16::from_be_bytes([pair[0], pair[1]]));
        }
    }

    fn checksum(&self) -> u16 {
        let mut sum = self.0;
        while sum > 0xFFFF {
            sum = (sum & 0xFFFF) + (sum >> 16);
        }
        !(sum as u16)
    }
}

#[cfg(test)]
mod tests;
