//! RTCP: zero-copy parsing and writing of compound and reduced-size packets (RFC 3550 §6,
//! Appendix A.2; RFC 5506 §4; feedback of RFC 4585 §6.1 recognised).
//!
//! [`Compound::parse`] checks the chain of headers, the strongest check there is; each packet in
//! it is then parsed on its own, so that a bad one does not hide its neighbours. Unknown types are
//! kept. Nothing is copied.

mod feedback;
mod report;
mod sdes;
mod write;

pub use feedback::{App, Bye, Feedback, FeedbackKind, Unknown};
pub use report::{ReceiverReport, ReportBlock, SenderInfo, SenderReport};
pub use sdes::{SdesChunk, SdesItem, SdesKind, SourceDescription};
pub use write::{RtcpWriter, SdesText};

/// Sender report (§6.4.1).
pub const SR: u8 = 200;
/// Receiver report (§6.4.2).
pub const RR: u8 = 201;
/// Source description (§6.5).
pub const SDES: u8 = 202;
/// Goodbye (§6.6).
pub const BYE: u8 = 203;
/// Application-defined (§6.7).
pub const APP: u8 = 204;
/// Transport-layer feedback (RFC 4585 §6.2).
pub const RTPFB: u8 = 205;
/// Payload-specific feedback (RFC 4585 §6.3).
pub const PSFB: u8 = 206;

/// Why octets are not RTCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RtcpError {
    /// No room for one header.
    #[error("an RTCP packet has at least 4 octets, this one has {0}")]
    Short(usize),
    /// A version field is not 2.
    #[error("RTCP version {0} is not 2")]
    Version(u8),
    /// A compound packet must begin with SR or RR.
    #[error("a compound RTCP packet begins with SR or RR, not with type {0}")]
    First(u8),
    /// The lengths do not add up to the datagram.
    #[error("the RTCP length fields do not add up to the datagram")]
    Length,
    /// Padding where none may be, or a count that does not fit.
    #[error("bad RTCP padding")]
    Padding,
    /// The type is not one of RTCP's, 192 to 223 (RFC 5761 §4).
    #[error("{0} is no RTCP packet type")]
    Type(u8),
    /// One packet is shorter than its counts say.
    #[error("an RTCP packet of type {0} is shorter than its count says")]
    Truncated(u8),
}

/// Whether a datagram must be a full compound packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Size {
    /// Begins with SR or RR (RFC 3550 §6.1).
    #[default]
    Compound,
    /// Any packet may stand alone (RFC 5506), as negotiated by `a=rtcp-rsize`.
    Reduced,
}

/// A datagram of RTCP packets whose headers have been checked.
///
/// ```
/// use tiny_rtp::rtcp::{Compound, RtcpPacket, Size};
/// // An empty receiver report and a goodbye.
/// let octets = [0x80, 201, 0, 1, 0, 0, 0, 7, 0x81, 203, 0, 1, 0, 0, 0, 7];
/// let compound = Compound::parse(&octets, Size::Compound).unwrap();
/// let mut packets = compound.packets();
/// assert!(matches!(packets.next(), Some(Ok(RtcpPacket::ReceiverReport(_)))));
/// assert!(matches!(packets.next(), Some(Ok(RtcpPacket::Bye(_)))));
/// assert!(packets.next().is_none());
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Compound<'a> {
    data: &'a [u8],
}

impl<'a> Compound<'a> {
    /// Checks a datagram by the rules of RFC 3550 A.2.
    ///
    /// # Errors
    /// [`RtcpError`] says which rule is broken.
    pub fn parse(data: &'a [u8], size: Size) -> Result<Self, RtcpError> {
        if data.len() < 4 {
            return Err(RtcpError::Short(data.len()));
        }
        let mut rest = data;
        let mut first = true;
        while let [head, kind, hi, lo, ..] = *rest {
            if head >> 6 != 2 {
                return Err(RtcpError::Version(head >> 6));
            }
            if first && size == Size::Compound && kind != SR && kind != RR {
                return Err(RtcpError::First(kind));
            }
            if !(192..=223).contains(&kind) {
                return Err(RtcpError::Type(kind));
            }
            let len = (usize::from(u16::from_be_bytes([hi, lo])) + 1) * 4;
            let (packet, after) = rest.split_at_checked(len).ok_or(RtcpError::Length)?;
            if head & 0x20 != 0 {
                // §6.4.1: padding only on the last packet; its last octet counts a multiple of 4.
                let count = usize::from(packet[len - 1]);
                if !after.is_empty() || count == 0 || count % 4 != 0 || count > len - 4 {
                    return Err(RtcpError::Padding);
                }
            }
            first = false;
            rest = after;
        }
        if rest.is_empty() { Ok(Self { data }) } else { Err(RtcpError::Length) }
    }

    /// The packets in order; a malformed one is an error in its place.
    pub fn packets(&self) -> Packets<'a> {
        Packets { rest: self.data }
    }

    /// The octets of the whole datagram.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.data
    }
}

/// Walks the packets of a [`Compound`].
#[derive(Debug, Clone)]
pub struct Packets<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<RtcpPacket<'a>, RtcpError>;

    fn next(&mut self) -> Option<Self::Item> {
        let &[head, kind, hi, lo, ..] = self.rest else { return None };
        let len = (usize::from(u16::from_be_bytes([hi, lo])) + 1) * 4;
        let (packet, after) = self.rest.split_at_checked(len)?;
        self.rest = after;
        let mut body = &packet[4..];
        if head & 0x20 != 0 {
            let padding = usize::from(body.last().copied().unwrap_or(0));
            body = &body[..body.len().saturating_sub(padding)];
        }
        Some(RtcpPacket::parse(head & 0x1f, kind, body).ok_or(RtcpError::Truncated(kind)))
    }
}

/// One RTCP packet.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum RtcpPacket<'a> {
    /// SR.
    SenderReport(SenderReport<'a>),
    /// RR.
    ReceiverReport(ReceiverReport<'a>),
    /// SDES.
    SourceDescription(SourceDescription<'a>),
    /// BYE.
    Bye(Bye<'a>),
    /// APP.
    App(App<'a>),
    /// RTPFB or PSFB.
    Feedback(Feedback<'a>),
    /// A type that is not interpreted here.
    Unknown(Unknown<'a>),
}

impl<'a> RtcpPacket<'a> {
    fn parse(count: u8, kind: u8, body: &'a [u8]) -> Option<Self> {
        Some(match kind {
            SR => Self::SenderReport(SenderReport::parse(count, body)?),
            RR => Self::ReceiverReport(ReceiverReport::parse(count, body)?),
            SDES => Self::SourceDescription(SourceDescription::parse(count, body)?),
            BYE => Self::Bye(Bye::parse(count, body)?),
            APP => Self::App(App::parse(count, body)?),
            RTPFB => Self::Feedback(Feedback::parse(FeedbackKind::Transport, count, body)?),
            PSFB => Self::Feedback(Feedback::parse(FeedbackKind::Payload, count, body)?),
            _ => Self::Unknown(Unknown { packet_type: kind, count, body }),
        })
    }
}

pub(crate) fn word(data: &[u8], at: usize) -> Option<u32> {
    let bytes: [u8; 4] = data.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests;
