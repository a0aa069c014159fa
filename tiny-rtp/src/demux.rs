//! Tells apart what shares one socket: RTP and RTCP (RFC 5761 §4), STUN, DTLS, TURN (RFC 7983 §7).
//!
//! Looks at the first two octets only and never validates the rest.

/// What a datagram claims to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PacketKind {
    /// RTP.
    Rtp,
    /// RTCP: the second octet is 192 to 223.
    Rtcp,
    /// STUN: first octet 0 to 3.
    Stun,
    /// ZRTP: first octet 16 to 19.
    Zrtp,
    /// DTLS: first octet 20 to 63.
    Dtls,
    /// TURN channel data: first octet 64 to 79.
    TurnChannel,
    /// None of them.
    Unknown,
}

impl PacketKind {
    /// Classifies a datagram.
    ///
    /// ```
    /// use tiny_rtp::PacketKind;
    /// assert_eq!(PacketKind::of(&[0x80, 0x60, 0, 0]), PacketKind::Rtp);
    /// assert_eq!(PacketKind::of(&[0x81, 200, 0, 12]), PacketKind::Rtcp);
    /// ```
    #[inline]
    pub fn of(data: &[u8]) -> Self {
        match data {
            // RFC 5761 §4 blocks payload types 64–95, that is second octets 192–223.
            [128..=191, 192..=223, ..] => Self::Rtcp,
            [128..=191, _, ..] => Self::Rtp,
            [0..=3, ..] => Self::Stun,
            [16..=19, ..] => Self::Zrtp,
            [20..=63, ..] => Self::Dtls,
            [64..=79, ..] => Self::TurnChannel,
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rtcp_type_in_use_is_told_from_rtp_with_and_without_marker() {
        for second in 0..=255u8 {
            let rtcp = (192..=223).contains(&second);
            let want = if rtcp { PacketKind::Rtcp } else { PacketKind::Rtp };
            assert_eq!(PacketKind::of(&[0x80, second]), want, "{second}");
        }
    }

    #[test]
    fn first_octets_follow_rfc_7983() {
        let kind = |b: u8| PacketKind::of(&[b, 0, 0, 0]);
        assert_eq!(kind(0), PacketKind::Stun);
        assert_eq!(kind(4), PacketKind::Unknown);
        assert_eq!(kind(16), PacketKind::Zrtp);
        assert_eq!(kind(22), PacketKind::Dtls);
        assert_eq!(kind(63), PacketKind::Dtls);
        assert_eq!(kind(64), PacketKind::TurnChannel);
        assert_eq!(kind(127), PacketKind::Unknown);
        assert_eq!(kind(191), PacketKind::Rtp);
        assert_eq!(kind(192), PacketKind::Unknown);
        assert_eq!(PacketKind::of(&[]), PacketKind::Unknown);
        assert_eq!(PacketKind::of(&[0x80]), PacketKind::Unknown);
    }
}
