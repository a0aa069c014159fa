//! Sender and receiver reports (RFC 3550 §6.4.1, §6.4.2).

use super::word;
use crate::{NtpTime, RtpTimestamp, Ssrc};

/// What a sender says about its own stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderInfo {
    /// When the report was sent.
    pub ntp: NtpTime,
    /// The same moment on the stream's RTP clock.
    pub rtp: RtpTimestamp,
    /// RTP packets sent so far.
    pub packets: u32,
    /// Payload octets sent so far, without headers and padding.
    pub octets: u32,
}

/// What one participant hears of one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportBlock {
    /// The source that is reported on.
    pub ssrc: Ssrc,
    /// Share of packets lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the beginning; negative when duplicates outnumber losses. 24 bits.
    pub cumulative_lost: i32,
    /// The highest sequence number received, with the count of cycles in the upper half.
    pub highest_sequence: u32,
    /// Interarrival jitter in ticks of the RTP clock.
    pub jitter: u32,
    /// The middle 32 bits of the last SR's NTP time; 0 when there was none.
    pub last_sr: u32,
    /// Time since that SR arrived, in 1/65536 s.
    pub delay_since_last_sr: u32,
}

impl ReportBlock {
    pub(crate) const LEN: usize = 24;

    pub(crate) fn parse(b: &[u8; Self::LEN]) -> Self {
        let u32_at = |i: usize| u32::from_be_bytes([b[i], b[i + 1], b[i + 2], b[i + 3]]);
        // Sign-extends the 24-bit loss count.
        let cumulative_lost = (u32_at(4) << 8) as i32 >> 8;
        Self {
            ssrc: Ssrc(u32_at(0)),
            fraction_lost: b[4],
            cumulative_lost,
            highest_sequence: u32_at(8),
            jitter: u32_at(12),
            last_sr: u32_at(16),
            delay_since_last_sr: u32_at(20),
        }
    }

    pub(crate) fn to_bytes(self) -> [u8; Self::LEN] {
        let mut b = [0u8; Self::LEN];
        // A.3: the signed count is clamped to 24 bits, never wrapped.
        let lost = self.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0xff_ffff;
        let words = [
            self.ssrc.0,
            u32::from(self.fraction_lost) << 24 | lost,
            self.highest_sequence,
            self.jitter,
            self.last_sr,
            self.delay_since_last_sr,
        ];
        for (chunk, word) in b.chunks_exact_mut(4).zip(words) {
            chunk.copy_from_slice(&word.to_be_bytes());
        }
        b
    }
}

/// A sender report.
#[derive(Debug, Clone, Copy)]
pub struct SenderReport<'a> {
    /// Who sends it.
    pub ssrc: Ssrc,
    /// About its own stream.
    pub info: SenderInfo,
    blocks: &'a [u8],
    /// Octets behind the blocks that a profile defines.
    pub profile_extension: &'a [u8],
}

impl<'a> SenderReport<'a> {
    pub(crate) fn parse(count: u8, body: &'a [u8]) -> Option<Self> {
        let info = SenderInfo {
            ntp: NtpTime(u64::from(word(body, 4)?) << 32 | u64::from(word(body, 8)?)),
            rtp: RtpTimestamp(word(body, 12)?),
            packets: word(body, 16)?,
            octets: word(body, 20)?,
        };
        let (blocks, profile_extension) = split_blocks(count, body.get(24..)?)?;
        Some(Self { ssrc: Ssrc(word(body, 0)?), info, blocks, profile_extension })
    }

    /// What it hears of others, at most 31 blocks.
    pub fn blocks(&self) -> impl ExactSizeIterator<Item = ReportBlock> + 'a {
        blocks(self.blocks)
    }
}

/// A receiver report.
#[derive(Debug, Clone, Copy)]
pub struct ReceiverReport<'a> {
    /// Who sends it.
    pub ssrc: Ssrc,
    blocks: &'a [u8],
    /// Octets behind the blocks that a profile defines.
    pub profile_extension: &'a [u8],
}

impl<'a> ReceiverReport<'a> {
    pub(crate) fn parse(count: u8, body: &'a [u8]) -> Option<Self> {
        let (blocks, profile_extension) = split_blocks(count, body.get(4..)?)?;
        Some(Self { ssrc: Ssrc(word(body, 0)?), blocks, profile_extension })
    }

    /// What it hears of others, at most 31 blocks.
    pub fn blocks(&self) -> impl ExactSizeIterator<Item = ReportBlock> + 'a {
        blocks(self.blocks)
    }
}

fn split_blocks(count: u8, rest: &[u8]) -> Option<(&[u8], &[u8])> {
    rest.split_at_checked(usize::from(count) * ReportBlock::LEN)
}

fn blocks(data: &[u8]) -> impl ExactSizeIterator<Item = ReportBlock> + '_ {
    data.as_chunks::<{ ReportBlock::LEN }>().0.iter().map(ReportBlock::parse)
}
