//! Writes RTP packets into the caller's buffer (RFC 3550 §5.1; header extensions of RFC 8285).
//!
//! Nothing is allocated here: a `Vec<u8>` or `BytesMut` with room is written in place, and a fixed
//! slice without room is refused instead of overrun.

use crate::packet::{Extension, ONE_BYTE, RTP_HEADER_LEN, TWO_BYTE};
use crate::{PayloadType, RtpTimestamp, SequenceNumber, Ssrc};
use bytes::BufMut;

/// Why a packet cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// More than 15 contributing sources.
    #[error("{0} contributing sources, RTP carries at most 15")]
    Csrcs(usize),
    /// An extension element has an id or length that neither form of RFC 8285 can carry.
    #[error("header extension {id} of {len} octets does not fit RFC 8285")]
    Extension {
        /// The local identifier.
        id: u8,
        /// The length in octets.
        len: usize,
    },
    /// The buffer is of fixed size and too small.
    #[error("the buffer has room for {room} octets, the packet needs {need}")]
    NoRoom {
        /// What is free.
        room: usize,
        /// What is wanted.
        need: usize,
    },
}

/// The header of a packet to be written.
///
/// ```
/// use tiny_rtp::{PayloadType, RtpHeader, RtpPacket, RtpTimestamp, SequenceNumber, Ssrc};
/// let header = RtpHeader {
///     marker: true,
///     ..RtpHeader::new(PayloadType::PCMA, SequenceNumber(9), RtpTimestamp(160), Ssrc(7))
/// };
/// let mut out = Vec::with_capacity(200);
/// header.write(&[0xd5; 160], &mut out).unwrap();
/// let view = RtpPacket::parse(&out).unwrap();
/// assert_eq!((view.sequence(), view.payload().len()), (SequenceNumber(9), 160));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpHeader<'a> {
    /// The marker bit.
    pub marker: bool,
    /// The payload type.
    pub payload_type: PayloadType,
    /// The sequence number.
    pub sequence: SequenceNumber,
    /// The timestamp.
    pub timestamp: RtpTimestamp,
    /// The synchronization source.
    pub ssrc: Ssrc,
    /// Contributing sources, at most 15.
    pub csrcs: &'a [Ssrc],
    /// Header extension elements; written in the one-byte form when all of them fit it.
    pub extensions: &'a [Extension<'a>],
    /// Octets of padding to put behind the payload; 0 for none.
    pub padding: u8,
}

impl<'a> RtpHeader<'a> {
    /// A header without marker, contributing sources, extensions and padding.
    pub const fn new(
        payload_type: PayloadType,
        sequence: SequenceNumber,
        timestamp: RtpTimestamp,
        ssrc: Ssrc,
    ) -> Self {
        Self {
            marker: false,
            payload_type,
            sequence,
            timestamp,
            ssrc,
            csrcs: &[],
            extensions: &[],
            padding: 0,
        }
    }

    /// Appends the header and nothing else; a payload and [`padding`](Self::padding) octets must
    /// follow.
    ///
    /// # Errors
    /// [`BuildError`]; nothing is written then.
    #[inline]
    pub fn write_header(&self, out: &mut impl BufMut) -> Result<(), BuildError> {
        if self.csrcs.is_empty() && self.extensions.is_empty() {
            if out.remaining_mut() < RTP_HEADER_LEN {
                return Err(BuildError::NoRoom { room: out.remaining_mut(), need: RTP_HEADER_LEN });
            }
            out.put_slice(&self.fixed());
            return Ok(());
        }
        self.write_long_header(out)
    }

    /// Appends a whole packet.
    ///
    /// # Errors
    /// [`BuildError`]; nothing is written then.
    #[inline]
    pub fn write(&self, payload: &[u8], out: &mut impl BufMut) -> Result<(), BuildError> {
        let need = self.len()? + payload.len() + usize::from(self.padding);
        if out.remaining_mut() < need {
            return Err(BuildError::NoRoom { room: out.remaining_mut(), need });
        }
        self.write_header(out)?;
        out.put_slice(payload);
        if self.padding != 0 {
            out.put_bytes(0, usize::from(self.padding) - 1);
            out.put_u8(self.padding);
        }
        Ok(())
    }

    fn fixed(&self) -> [u8; RTP_HEADER_LEN] {
        let mut h = [0u8; RTP_HEADER_LEN];
        h[0] = 0x80
            | u8::from(self.padding != 0) << 5
            | u8::from(!self.extensions.is_empty()) << 4
            | self.csrcs.len() as u8;
        h[1] = u8::from(self.marker) << 7 | self.payload_type.value();
        h[2..4].copy_from_slice(&self.sequence.0.to_be_bytes());
        h[4..8].copy_from_slice(&self.timestamp.0.to_be_bytes());
        h[8..12].copy_from_slice(&self.ssrc.0.to_be_bytes());
        h
    }

    /// The header's length in octets.
    fn len(&self) -> Result<usize, BuildError> {
        if self.csrcs.len() > 15 {
            return Err(BuildError::Csrcs(self.csrcs.len()));
        }
        let mut len = RTP_HEADER_LEN + 4 * self.csrcs.len();
        if !self.extensions.is_empty() {
            len += 4 + self.extension_body()?.1.next_multiple_of(4);
        }
        Ok(len)
    }

    /// Whether the two-byte form is needed, and the body's length without padding.
    fn extension_body(&self) -> Result<(bool, usize), BuildError> {
        let mut two_byte = false;
        for e in self.extensions {
            if e.id == 0 || e.data.len() > 255 {
                return Err(BuildError::Extension { id: e.id, len: e.data.len() });
            }
            two_byte |= e.id > 14 || !(1..=16).contains(&e.data.len());
        }
        let head = if two_byte { 2 } else { 1 };
        Ok((two_byte, self.extensions.iter().map(|e| head + e.data.len()).sum()))
    }

    #[cold]
    fn write_long_header(&self, out: &mut impl BufMut) -> Result<(), BuildError> {
        let need = self.len()?;
        if out.remaining_mut() < need {
            return Err(BuildError::NoRoom { room: out.remaining_mut(), need });
        }
        out.put_slice(&self.fixed());
        for csrc in self.csrcs {
            out.put_u32(csrc.0);
        }
        if self.extensions.is_empty() {
            return Ok(());
        }
        let (two_byte, body) = self.extension_body()?;
        out.put_u16(if two_byte { TWO_BYTE } else { ONE_BYTE });
        // At most 15 × 257 octets for distinct ids; a caller who repeats ids may exceed the field.
        let words = body.div_ceil(4);
        let words = u16::try_from(words).map_err(|_| BuildError::Extension { id: 0, len: body })?;
        out.put_u16(words);
        for e in self.extensions {
            if two_byte {
                out.put_u8(e.id);
                out.put_u8(e.data.len() as u8);
            } else {
                out.put_u8(e.id << 4 | (e.data.len() as u8 - 1));
            }
            out.put_slice(e.data);
        }
        out.put_bytes(0, body.next_multiple_of(4) - body);
        Ok(())
    }
}
