//! How STUN and ChannelData messages follow each other on a connection (RFC 8656 §3.1, §12.5): by their
//! own lengths, ChannelData padded to four octets. A frame beyond the limit, or one that is neither, ends
//! the stream.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::ops::Range;

/// Why a stream cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Neither STUN nor ChannelData.
    #[error("neither a STUN message nor ChannelData")]
    Unknown,
    /// Longer than allowed.
    #[error("a frame of {0} octets is too long")]
    TooLong(usize),
}

/// Cuts the bytes of a connection into messages.
#[derive(Debug)]
pub struct Framer {
    buffer: BytesMut,
    max: usize,
    broken: Option<FrameError>,
}

impl Framer {
    /// With a limit for one frame in octets.
    pub fn new(max: usize) -> Self {
        Self { buffer: BytesMut::new(), max, broken: None }
    }

    /// Takes bytes, cut anywhere. What comes behind a broken frame is not kept.
    pub fn push(&mut self, data: &[u8]) {
        if self.broken.is_none() {
            self.buffer.extend_from_slice(data);
        }
    }

    /// The next message, without padding; `None` until it is whole.
    ///
    /// # Errors
    /// When the stream is none of TURN's; it stays so.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        if let Some(error) = self.broken {
            return Err(error);
        }
        let found = self.cut();
        if let Err(error) = found {
            self.broken = Some(error);
            self.buffer = BytesMut::new();
        }
        found
    }

    fn cut(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(&[first, _, high, low]) = self.buffer.first_chunk::<4>() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (frame, padded) = match first {
            0..=0x3f if length.is_multiple_of(4) => (20 + length, 20 + length),
            0x40..=0x4f => (4 + length, 4 + length.next_multiple_of(4)),
            _ => return Err(FrameError::Unknown),
        };
        if frame > self.max {
            return Err(FrameError::TooLong(frame));
        }
        if self.buffer.len() < padded {
            return Ok(None);
        }
        let data = self.buffer.split_to(frame).freeze();
        self.buffer.advance(padded - frame);
        Ok(Some(data))
    }
}

/// A ChannelData message; `padded` for a connection (RFC 8656 §12.5).
pub fn channel_data(number: u16, data: &[u8], padded: bool) -> Bytes {
    let mut out = Vec::with_capacity(8 + data.len());
    write_channel_data(&mut out, number, data, padded);
    out.into()
}

/// The same into a buffer that is used again and again, in place of what was in it.
pub fn write_channel_data(out: &mut Vec<u8>, number: u16, data: &[u8], padded: bool) {
    let data = data.get(..data.len().min(usize::from(u16::MAX))).unwrap_or_default();
    out.clear();
    out.put_u16(number);
    out.put_u16(data.len() as u16);
    out.put_slice(data);
    if padded {
        out.put_bytes(0, data.len().next_multiple_of(4) - data.len());
    }
}

/// The channel and the data of a ChannelData message (§12.4); over UDP padding may follow.
pub fn split_channel_data(frame: &Bytes) -> Option<(u16, Bytes)> {
    split_channel(frame).map(|(number, content)| (number, frame.slice(content)))
}

/// The channel of a ChannelData message, and where its data lies (§12.4).
pub(crate) fn split_channel(frame: &[u8]) -> Option<(u16, Range<usize>)> {
    let &[a, b, high, low] = frame.first_chunk::<4>()?;
    let number = u16::from_be_bytes([a, b]);
    let length = usize::from(u16::from_be_bytes([high, low]));
    if !(0x4000..=0x4fff).contains(&number) || frame.len() < 4 + length {
        return None;
    }
    Some((number, 4..4 + length))
}
