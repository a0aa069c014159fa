//! Writes RTCP packets one behind the other into the caller's buffer (RFC 3550 §6, RFC 4585 §6.1).
//!
//! Lengths are known before anything is written, so a buffer with room is never moved.

use super::{APP, BYE, FeedbackKind, PSFB, RR, RTPFB, ReportBlock, SDES, SR, SdesKind, SenderInfo};
use crate::{BuildError, Ssrc};
use bytes::BufMut;

/// One SDES item to be written.
#[derive(Debug, Clone, Copy)]
pub struct SdesText<'a> {
    /// What it describes.
    pub kind: SdesKind,
    /// The text; what exceeds 255 octets is cut off at a character boundary.
    pub text: &'a str,
}

/// Appends packets to a buffer. The caller keeps the order that RFC 3550 §6.1 asks for: a report
/// first, then SDES, a BYE last.
///
/// ```
/// use tiny_rtp::Ssrc;
/// use tiny_rtp::rtcp::{Compound, RtcpWriter, SdesKind, SdesText, Size};
/// let mut out = Vec::new();
/// let mut writer = RtcpWriter::new(&mut out);
/// writer.receiver_report(Ssrc(7), &[]).unwrap();
/// writer.sdes(Ssrc(7), &[SdesText { kind: SdesKind::Cname, text: "abc" }]).unwrap();
/// writer.bye(&[Ssrc(7)], Some("done")).unwrap();
/// assert_eq!(Compound::parse(&out, Size::Compound).unwrap().packets().count(), 3);
/// ```
#[derive(Debug)]
pub struct RtcpWriter<'b, B: BufMut> {
    out: &'b mut B,
}

impl<'b, B: BufMut> RtcpWriter<'b, B> {
    /// A writer that appends to `out`.
    pub fn new(out: &'b mut B) -> Self {
        Self { out }
    }

    /// Appends an SR with at most 31 blocks; more are left out.
    ///
    /// # Errors
    /// [`BuildError::NoRoom`]; nothing is written then.
    pub fn sender_report(
        &mut self,
        ssrc: Ssrc,
        info: &SenderInfo,
        blocks: &[ReportBlock],
    ) -> Result<(), BuildError> {
        let blocks = &blocks[..blocks.len().min(31)];
        self.head(blocks.len() as u8, SR, 24 + blocks.len() * ReportBlock::LEN)?;
        self.out.put_u32(ssrc.0);
        self.out.put_u64(info.ntp.0);
        self.out.put_u32(info.rtp.0);
        self.out.put_u32(info.packets);
        self.out.put_u32(info.octets);
        blocks.iter().for_each(|b| self.out.put_slice(&b.to_bytes()));
        Ok(())
    }

    /// Appends an RR with at most 31 blocks; more are left out.
    ///
    /// # Errors
    /// [`BuildError::NoRoom`]; nothing is written then.
    pub fn receiver_report(
        &mut self,
        ssrc: Ssrc,
        blocks: &[ReportBlock],
    ) -> Result<(), BuildError> {
        let blocks = &blocks[..blocks.len().min(31)];
        self.head(blocks.len() as u8, RR, 4 + blocks.len() * ReportBlock::LEN)?;
        self.out.put_u32(ssrc.0);
        blocks.iter().for_each(|b| self.out.put_slice(&b.to_bytes()));
        Ok(())
    }

    /// Appends an SDES packet with one chunk.
    ///
    /// # Errors
    /// [`BuildError::NoRoom`]; nothing is written then.
    pub fn sdes(&mut self, ssrc: Ssrc, items: &[SdesText<'_>]) -> Result<(), BuildError> {
        let list: usize = items.iter().map(|i| 2 + cut(i.text).len()).sum();
        // At least one null ends the list.
        let padded = (list + 1).next_multiple_of(4);
        self.head(1, SDES, 4 + padded)?;
        self.out.put_u32(ssrc.0);
        for item in items {
            let text = cut(item.text);
            self.out.put_u8(item.kind.code());
            self.out.put_u8(text.len() as u8);
            self.out.put_slice(text.as_bytes());
        }
        self.out.put_bytes(0, padded - list);
        Ok(())
    }

    /// Appends a BYE for at most 31 sources; more are left out.
    ///
    /// # Errors
    /// [`BuildError::NoRoom`]; nothing is written then.
    pub fn bye(&mut self, sources: &[Ssrc], reason: Option<&str>) -> Result<(), BuildError> {
        let sources = &sources[..sources.len().min(31)];
        let reason = reason.map(cut);
        let text = reason.map_or(0, |r| (1 + r.len()).next_multiple_of(4));
        self.head(sources.len() as u8, BYE, 4 * sources.len() + text)?;
        sources.iter().for_each(|s| self.out.put_u32(s.0));
        if let Some(reason) = reason {
            self.out.put_u8(reason.len() as u8);
            self.out.put_slice(reason.as_bytes());
            self.out.put_bytes(0, text - 1 - reason.len());
        }
        Ok(())
    }

    /// Appends an APP packet; `data` is filled up with zeros to whole words.
    ///
    /// # Errors
    /// [`BuildError::NoRoom`]; nothing is written then.
    pub fn app(
        &mut self,
        subtype: u8,
        ssrc: Ssrc,
        name: [u8; 4],
        data: &[u8],
    ) -> Result<(), BuildError> {
        self.head(subtype & 0x1f, APP, 8 + data.len().next_multiple_of(4))?;
        self.out.put_u32(ssrc.0);
        self.out.put_slice(&name);
        self.filled(data);
        Ok(())
    }

    /// Appends a feedback packet; `control` is filled up with zeros to whole words.
    ///
    /// # Errors
    /// [`BuildError::NoRoom`]; nothing is written then.
    pub fn feedback(
        &mut self,
        kind: FeedbackKind,
        format: u8,
        sender: Ssrc,
        media: Ssrc,
        control: &[u8],
    ) -> Result<(), BuildError> {
        let packet_type = match kind {
            FeedbackKind::Transport => RTPFB,
            FeedbackKind::Payload => PSFB,
        };
        self.head(format & 0x1f, packet_type, 8 + control.len().next_multiple_of(4))?;
        self.out.put_u32(sender.0);
        self.out.put_u32(media.0);
        self.filled(control);
        Ok(())
    }

    fn head(&mut self, count: u8, kind: u8, body: usize) -> Result<(), BuildError> {
        let words = u16::try_from(body / 4);
        let room = self.out.remaining_mut();
        match words {
            Ok(words) if room >= body + 4 => {
                self.out.put_slice(&[0x80 | count, kind]);
                self.out.put_u16(words);
                Ok(())
            }
            _ => Err(BuildError::NoRoom { room: room.min(1 << 18), need: body + 4 }),
        }
    }

    fn filled(&mut self, data: &[u8]) {
        self.out.put_slice(data);
        self.out.put_bytes(0, data.len().next_multiple_of(4) - data.len());
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(255)]
}
