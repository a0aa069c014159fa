//! G.722 at 64 kbit/s in RTP (RFC 3551 §4.5.2): sub-band ADPCM after ITU-T G.722, one octet for two
//! samples of 16 kHz sound. The RTP clock says 8000 Hz, an error of old that everyone keeps.

mod band;
mod qmf;
mod quantizer;

use super::{bad_block, check_payload, payload_limit};
use band::{Band, saturate};
use qmf::{BLOCK, Join, Split};
use quantizer::{higher, lower};
use std::time::Duration;
use tiny_media::{
    AudioCodec, AudioDecoder, AudioEncoder, AudioFormat, CodecDescription, Encoded, Fmtp,
    MediaError,
};

/// G.722 at 64 kbit/s, `G722/8000`, static payload type 9, 16 kHz mono.
pub struct G722 {
    description: CodecDescription,
    limit: usize,
}

impl G722 {
    /// The codec; its decoders refuse payloads that play longer than `max_packet`.
    pub fn new(max_packet: Duration) -> Self {
        let description = CodecDescription {
            name: "G722",
            clock_rate: 8_000,
            rtpmap_channels: 1,
            payload_type: Some(9),
            format: AudioFormat::new(16_000, 1),
            ptime_ms: 20,
            fmtp: Fmtp::default(),
        };
        Self { description, limit: payload_limit(max_packet, 8_000) }
    }
}

impl AudioCodec for G722 {
    fn description(&self) -> &CodecDescription {
        &self.description
    }

    fn encoder(&self, _remote: &Fmtp) -> Result<Box<dyn AudioEncoder>, MediaError> {
        Ok(Box::new(Encoder::new()))
    }

    fn decoder(&self, _local: &Fmtp) -> Result<Box<dyn AudioDecoder>, MediaError> {
        Ok(Box::new(Decoder::new(self.limit)))
    }
}

struct Encoder {
    split: Split,
    lower: Band,
    higher: Band,
}

impl Encoder {
    fn new() -> Self {
        Self { split: Split::new(), lower: lower::band(), higher: higher::band() }
    }
}

impl AudioEncoder for Encoder {
    fn encode(&mut self, pcm: &[i16], out: &mut Vec<u8>) -> Result<Encoded, MediaError> {
        if pcm.is_empty() || !pcm.len().is_multiple_of(2) {
            return Err(bad_block("G722 block", pcm.len(), "an even number above zero"));
        }
        out.reserve(pcm.len() / 2);
        let Self { split, lower: low, higher: high } = self;
        for block in pcm.chunks(2 * BLOCK) {
            split.run(block, |lower_sample, higher_sample| {
                let low_code = lower::quantize(low, saturate(lower_sample - low.prediction));
                lower::adapt(low, low_code);
                let high_code = higher::quantize(high, saturate(higher_sample - high.prediction));
                higher::adapt(high, high_code);
                out.push(high_code << 6 | low_code);
            });
        }
        Ok(Encoded::Packet)
    }
}

struct Decoder {
    join: Join,
    lower: Band,
    higher: Band,
    limit: usize,
}

impl Decoder {
    fn new(limit: usize) -> Self {
        Self { join: Join::new(), lower: lower::band(), higher: higher::band(), limit }
    }
}

impl AudioDecoder for Decoder {
    fn ticks(&self, payload: &[u8]) -> Option<u32> {
        check_payload("G722", payload, 1, self.limit).ok()?;
        Some(payload.len() as u32)
    }

    fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) -> Result<(), MediaError> {
        check_payload("G722", payload, 1, self.limit)?;
        out.reserve(payload.len() * 2);
        let Self { join, lower: low, higher: high, .. } = self;
        for block in payload.chunks(BLOCK) {
            join.run(block.len(), out, |n| {
                let (low_code, high_code) = (block[n] & 0x3F, block[n] >> 6);
                let lower_sample = lower::reconstruct(low, low_code);
                lower::adapt(low, low_code);
                let higher_sample = higher::reconstruct(high, high_code);
                higher::adapt(high, high_code);
                (lower_sample, higher_sample)
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
