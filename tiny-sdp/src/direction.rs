//! The direction of a stream (RFC 8866 §6.7) and how two wishes meet (RFC 3264 §6.1).

use std::fmt;

/// Which way media flows, seen from the side whose description carries the attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    /// Both ways; the default when a description names none.
    #[default]
    SendRecv,
    /// We send only: how a two-way stream is put on hold (RFC 3264 §8.4).
    SendOnly,
    /// We receive only.
    RecvOnly,
    /// Neither way; RTCP still flows.
    Inactive,
}

impl Direction {
    /// The direction with the given halves.
    pub const fn new(send: bool, recv: bool) -> Self {
        match (send, recv) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// Whether this side sends.
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether this side receives.
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The same stream seen from the other side.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self::new(self.receives(), self.sends())
    }

    /// What both allow.
    #[must_use]
    pub const fn intersect(self, other: Self) -> Self {
        Self::new(self.sends() && other.sends(), self.receives() && other.receives())
    }

    /// What to offer to put the peer on hold: we stop receiving (RFC 3264 §8.4).
    #[must_use]
    pub const fn held(self) -> Self {
        Self::new(self.sends(), false)
    }

    /// The attribute's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// The direction of that attribute name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive]
            .into_iter()
            .find(|d| d.as_str().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Direction::*;

    #[test]
    fn two_wishes_meet_as_rfc3264_6_1_says() {
        // Offer sendonly: answer recvonly or inactive; recvonly: sendonly or inactive.
        assert_eq!(SendRecv.intersect(SendOnly.reversed()), RecvOnly);
        assert_eq!(SendOnly.intersect(SendOnly.reversed()), Inactive);
        assert_eq!(SendRecv.intersect(RecvOnly.reversed()), SendOnly);
        for ours in [SendRecv, SendOnly, RecvOnly, Inactive] {
            assert_eq!(ours.intersect(Inactive.reversed()), Inactive);
            assert_eq!(ours.intersect(SendRecv.reversed()), ours);
            assert_eq!(super::Direction::from_name(ours.as_str()), Some(ours));
        }
    }

    #[test]
    fn hold_keeps_the_sending_half() {
        assert_eq!(SendRecv.held(), SendOnly);
        assert_eq!(RecvOnly.held(), Inactive);
    }
}
