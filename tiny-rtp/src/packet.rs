//! A zero-copy view of one RTP packet (RFC 3550 §5.1, §5.3.1; header extensions of RFC 8285).
//!
//! Parsing checks the form only: version, lengths, padding. Whether a packet belongs to a session
//! is the session's business. Nothing is copied and nothing is allocated.

use crate::{PayloadType, RtpTimestamp, SequenceNumber, Ssrc};
use std::fmt;

/// The length of the fixed header in octets.
pub const RTP_HEADER_LEN: usize = 12;

/// Why octets are not an RTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RtpError {
    /// Shorter than the fixed header.
    #[error("an RTP packet has at least 12 octets, this one has {0}")]
    Short(usize),
    /// The version field is not 2.
    #[error("RTP version {0} is not 2")]
    Version(u8),
    /// The CSRC list runs over the end.
    #[error("the CSRC list of {0} entries runs over the end of the packet")]
    Csrc(u8),
    /// The header extension runs over the end.
    #[error("the header extension of {0} octets runs over the end of the packet")]
    Extension(usize),
    /// The padding count is zero or larger than what is there.
    #[error("the padding count {0} does not fit the packet")]
    Padding(u8),
}

/// A parsed RTP packet that borrows its octets.
///
/// ```
/// use tiny_rtp::{PayloadType, RtpPacket};
/// let octets = [0x80, 0x80, 0, 7, 0, 0, 0, 160, 1, 2, 3, 4, 0xd5, 0xd5];
/// let packet = RtpPacket::parse(&octets).unwrap();
/// assert_eq!(packet.payload_type(), PayloadType::PCMU);
/// assert!(packet.marker());
/// assert_eq!(packet.sequence().0, 7);
/// assert_eq!(packet.payload(), [0xd5, 0xd5]);
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RtpPacket<'a> {
    header: &'a [u8; RTP_HEADER_LEN],
    csrcs: &'a [u8],
    // Profile word and body, without the length word; empty body and profile 0 when X is unset.
    profile: u16,
    extension: &'a [u8],
    payload: &'a [u8],
    padding: u8,
}

impl<'a> RtpPacket<'a> {
    /// Parses one datagram.
    ///
    /// # Errors
    /// [`RtpError`] says which part does not hold.
    #[inline]
    pub fn parse(data: &'a [u8]) -> Result<Self, RtpError> {
        let (header, mut rest) =
            data.split_first_chunk::<RTP_HEADER_LEN>().ok_or(RtpError::Short(data.len()))?;
        let first = header[0];
        if first >> 6 != 2 {
            return Err(RtpError::Version(first >> 6));
        }
        let mut csrcs: &[u8] = &[];
        let count = first & 0x0f;
        if count != 0 {
            (csrcs, rest) =
                rest.split_at_checked(usize::from(count) * 4).ok_or(RtpError::Csrc(count))?;
        }
        let (mut profile, mut extension): (u16, &[u8]) = (0, &[]);
        if first & 0x10 != 0 {
            let (word, after) = rest.split_first_chunk::<4>().ok_or(RtpError::Extension(4))?;
            let len = usize::from(u16::from_be_bytes([word[2], word[3]])) * 4;
            profile = u16::from_be_bytes([word[0], word[1]]);
            (extension, rest) = after.split_at_checked(len).ok_or(RtpError::Extension(len))?;
        }
        let mut padding = 0;
        if first & 0x20 != 0 {
            // §5.1: the last octet counts all padding octets, itself included.
            padding = rest.last().copied().unwrap_or(0);
            if padding == 0 || usize::from(padding) > rest.len() {
                return Err(RtpError::Padding(padding));
            }
            rest = &rest[..rest.len() - usize::from(padding)];
        }
        Ok(Self { header, csrcs, profile, extension, payload: rest, padding })
    }

    /// The marker bit; its meaning belongs to the payload (for audio: first packet of a talkspurt).
    #[inline]
    pub fn marker(&self) -> bool {
        self.header[1] & 0x80 != 0
    }

    /// The payload type.
    #[inline]
    pub fn payload_type(&self) -> PayloadType {
        PayloadType::from_octet(self.header[1])
    }

    /// The sequence number.
    #[inline]
    pub fn sequence(&self) -> SequenceNumber {
        SequenceNumber(u16::from_be_bytes([self.header[2], self.header[3]]))
    }

    /// The timestamp.
    #[inline]
    pub fn timestamp(&self) -> RtpTimestamp {
        let h = self.header;
        RtpTimestamp(u32::from_be_bytes([h[4], h[5], h[6], h[7]]))
    }

    /// The synchronization source.
    #[inline]
    pub fn ssrc(&self) -> Ssrc {
        let h = self.header;
        Ssrc(u32::from_be_bytes([h[8], h[9], h[10], h[11]]))
    }

    /// The contributing sources, at most 15.
    pub fn csrcs(&self) -> impl ExactSizeIterator<Item = Ssrc> + 'a {
        let (words, _) = self.csrcs.as_chunks::<4>();
        words.iter().map(|w| Ssrc(u32::from_be_bytes(*w)))
    }

    /// The payload without padding; may be empty.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// How many octets of padding followed the payload.
    #[inline]
    pub fn padding(&self) -> u8 {
        self.padding
    }

    /// The header extension as "defined by profile" word and body, when there is one.
    pub fn raw_extension(&self) -> Option<(u16, &'a [u8])> {
        (self.header[0] & 0x10 != 0).then_some((self.profile, self.extension))
    }

    /// The elements of an RFC 8285 header extension, one-byte (§4.2) or two-byte form (§4.3);
    /// nothing for any other profile.
    pub fn extensions(&self) -> Extensions<'a> {
        let form = match self.raw_extension() {
            Some((ONE_BYTE, _)) => Form::OneByte,
            // The low four bits ("appbits") are ignored.
            Some((p, _)) if p & 0xfff0 == TWO_BYTE => Form::TwoByte,
            _ => return Extensions { form: Form::OneByte, rest: &[] },
        };
        Extensions { form, rest: self.extension }
    }

    /// The first extension element with this local identifier.
    pub fn extension(&self, id: u8) -> Option<&'a [u8]> {
        self.extensions().find(|e| e.id == id).map(|e| e.data)
    }
}

impl fmt::Debug for RtpPacket<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RtpPacket")
            .field("ssrc", &self.ssrc())
            .field("sequence", &self.sequence().0)
            .field("timestamp", &self.timestamp().0)
            .field("payload_type", &self.payload_type().value())
            .field("marker", &self.marker())
            .field("payload_len", &self.payload.len())
            .finish_non_exhaustive()
    }
}

pub(crate) const ONE_BYTE: u16 = 0xbede;
pub(crate) const TWO_BYTE: u16 = 0x1000;

/// One element of an RFC 8285 header extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extension<'a> {
    /// The local identifier negotiated by `a=extmap`.
    pub id: u8,
    /// The element's octets.
    pub data: &'a [u8],
}

#[derive(Debug, Clone, Copy)]
enum Form {
    OneByte,
    TwoByte,
}

/// Walks the elements of a header extension; ends at the first one that does not fit.
#[derive(Debug, Clone)]
pub struct Extensions<'a> {
    form: Form,
    rest: &'a [u8],
}

impl<'a> Iterator for Extensions<'a> {
    type Item = Extension<'a>;

    fn next(&mut self) -> Option<Extension<'a>> {
        loop {
            let (&head, after) = self.rest.split_first()?;
            self.rest = after;
            let (id, len) = match self.form {
                Form::OneByte => match head >> 4 {
                    // RFC 8285 §4.2: 0 is padding, though some put a length there; 15 ends it all.
                    0 => continue,
                    15 => {
                        self.rest = &[];
                        return None;
                    }
                    id => (id, usize::from(head & 0x0f) + 1),
                },
                Form::TwoByte if head == 0 => continue,
                Form::TwoByte => {
                    let (&len, after) = self.rest.split_first()?;
                    self.rest = after;
                    (head, usize::from(len))
                }
            };
            let Some((data, after)) = self.rest.split_at_checked(len) else {
                self.rest = &[];
                return None;
            };
            self.rest = after;
            return Some(Extension { id, data });
        }
    }
}

#[cfg(test)]
mod tests;
