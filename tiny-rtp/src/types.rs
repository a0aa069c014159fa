//! The numbers of RTP that must not be mixed up, with the wrapping arithmetic of RFC 3550 §5.1.
//!
//! Sequence numbers and timestamps live on a circle: "after" means "less than half a turn ahead".
//! Nothing here ever panics on overflow.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

/// A synchronization source identifier (RFC 3550 §8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ssrc(pub u32);

impl fmt::Display for Ssrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl From<u32> for Ssrc {
    fn from(value: u32) -> Self {
        Self(value)
    }
}

/// A packet's place in its stream, modulo 65,536.
///
/// ```
/// use tiny_rtp::SequenceNumber;
/// let last = SequenceNumber(65_535);
/// assert_eq!(last.next(), SequenceNumber(0));
/// assert_eq!(SequenceNumber(2).since(last), 3);
/// assert_eq!(last.since(SequenceNumber(2)), -3);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SequenceNumber(pub u16);

impl SequenceNumber {
    /// The number of the packet that follows.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// The signed distance from `earlier`: negative when `self` is the older one.
    pub const fn since(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0) as i16 as i32
    }

    /// True when `self` lies less than half a turn ahead of `other`.
    pub const fn is_after(self, other: Self) -> bool {
        self.since(other) > 0
    }
}

impl Add<u16> for SequenceNumber {
    type Output = Self;
    fn add(self, n: u16) -> Self {
        Self(self.0.wrapping_add(n))
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A sampling instant in ticks of the payload's clock, modulo 2³².
///
/// ```
/// use tiny_rtp::RtpTimestamp;
/// let t = RtpTimestamp(u32::MAX - 79);
/// assert_eq!(t + 160, RtpTimestamp(80));
/// assert_eq!((t + 160) - t, 160);
/// assert_eq!(t - (t + 160), -160);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RtpTimestamp(pub u32);

impl RtpTimestamp {
    /// The signed distance in ticks from `earlier`: negative when `self` is the older one.
    pub const fn since(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0) as i32
    }

    /// True when `self` lies less than half a turn ahead of `other`.
    pub const fn is_after(self, other: Self) -> bool {
        self.since(other) > 0
    }
}

impl Add<u32> for RtpTimestamp {
    type Output = Self;
    fn add(self, ticks: u32) -> Self {
        Self(self.0.wrapping_add(ticks))
    }
}

impl AddAssign<u32> for RtpTimestamp {
    fn add_assign(&mut self, ticks: u32) {
        *self = *self + ticks;
    }
}

impl Sub for RtpTimestamp {
    type Output = i32;
    fn sub(self, earlier: Self) -> i32 {
        self.since(earlier)
    }
}

impl fmt::Display for RtpTimestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a payload is: seven bits, static (RFC 3551 §6) or negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PayloadType(u8);

impl PayloadType {
    /// G.711 µ-law, 8 kHz.
    pub const PCMU: Self = Self(0);
    /// G.711 A-law, 8 kHz.
    pub const PCMA: Self = Self(8);
    /// G.722; its RTP clock is 8000 Hz (RFC 3551 §4.5.2).
    pub const G722: Self = Self(9);
    /// Comfort noise (RFC 3389).
    pub const COMFORT_NOISE: Self = Self(13);

    /// `None` when the number does not fit in seven bits.
    pub const fn new(value: u8) -> Option<Self> {
        if value < 128 { Some(Self(value)) } else { None }
    }

    pub(crate) const fn from_octet(octet: u8) -> Self {
        Self(octet & 0x7f)
    }

    /// The number, 0 to 127.
    pub const fn value(self) -> u8 {
        self.0
    }

    /// Whether the number is free for negotiation by convention: 96 to 127 (RFC 3551 §3).
    pub const fn is_dynamic(self) -> bool {
        self.0 >= 96
    }

    /// Whether RTP with this number can share a port with RTCP: not in 64 to 95 (RFC 5761 §4).
    pub const fn allows_rtcp_mux(self) -> bool {
        !(self.0 >= 64 && self.0 <= 95)
    }
}

impl TryFrom<u8> for PayloadType {
    type Error = u8;
    fn try_from(value: u8) -> Result<Self, u8> {
        Self::new(value).ok_or(value)
    }
}

impl From<PayloadType> for u8 {
    fn from(value: PayloadType) -> u8 {
        value.0
    }
}

impl fmt::Display for PayloadType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_wrap_and_compare_on_the_circle() {
        let a = SequenceNumber(65_530);
        assert_eq!(a + 10, SequenceNumber(4));
        assert!((a + 10).is_after(a));
        assert!(!a.is_after(a + 10));
        assert!(!a.is_after(a));
        // Exactly half a turn counts as behind.
        assert_eq!((a + 0x8000).since(a), -32_768);
    }

    #[test]
    fn timestamps_wrap_and_compare_on_the_circle() {
        let a = RtpTimestamp(u32::MAX);
        assert!((a + 1).is_after(a));
        assert_eq!((a + 1).0, 0);
        let mut b = a;
        b += 160;
        assert_eq!(b - a, 160);
    }

    #[test]
    fn payload_types_are_seven_bits_and_know_the_rtcp_conflict_range() {
        assert_eq!(PayloadType::new(128), None);
        assert_eq!(PayloadType::try_from(200), Err(200));
        let blocked: Vec<u8> =
            (0..128).filter(|p| !PayloadType::new(*p).unwrap().allows_rtcp_mux()).collect();
        assert_eq!(blocked, (64..=95).collect::<Vec<_>>());
        assert!(PayloadType::new(96).unwrap().is_dynamic());
        assert!(!PayloadType::PCMA.is_dynamic());
    }
}
