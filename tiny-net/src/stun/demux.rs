//! What a datagram on a media port is, by its first octet (RFC 7983 §7). Nothing is parsed.

/// What shares a port with media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Packet {
    /// STUN: 0 to 3.
    Stun,
    /// ZRTP: 16 to 19.
    Zrtp,
    /// DTLS: 20 to 63.
    Dtls,
    /// A ChannelData message of TURN: 64 to 79.
    Channel,
    /// RTP or RTCP, encrypted or not: 128 to 191.
    Rtp,
    /// Nothing known, to be dropped; an empty datagram too.
    Unknown,
}

/// Tells the packets on a media port apart.
pub fn demux(data: &[u8]) -> Packet {
    match data.first() {
        Some(0..=3) => Packet::Stun,
        Some(16..=19) => Packet::Zrtp,
        Some(20..=63) => Packet::Dtls,
        Some(64..=79) => Packet::Channel,
        Some(128..=191) => Packet::Rtp,
        _ => Packet::Unknown,
    }
}
