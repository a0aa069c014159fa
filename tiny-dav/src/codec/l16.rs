//! L16: uncompressed 16-bit samples in network byte order (RFC 3551 §4.5.11), any rate and channels.

use super::{bad_block, check_payload};
use std::time::Duration;
use tiny_media::{
    AudioCodec, AudioDecoder, AudioEncoder, AudioFormat, CodecDescription, Encoded, Fmtp,
    MediaError,
};

/// Uncompressed sound, `L16/rate/channels`. Not among the built-in registry's codecs, for its rate is
/// the application's choice: `registry.add_codec(Arc::new(L16::new(format, max_packet)?))`.
pub struct L16 {
    description: CodecDescription,
    limit: usize,
}

impl L16 {
    /// The codec for sound of `format`; its decoders refuse payloads that play longer than
    /// `max_packet`.
    ///
    /// # Errors
    /// [`MediaError::Config`] for a rate of zero or above 384 kHz and for channels other than 1 to 8.
    pub fn new(format: AudioFormat, max_packet: Duration) -> Result<Self, MediaError> {
        if !(1..=384_000).contains(&format.rate) {
            let reason = format!("{} Hz is not in 1 to 384000", format.rate);
            return Err(MediaError::Config { what: "L16 rate", reason });
        }
        if !(1..=8).contains(&format.channels) {
            let reason = format!("{} is not in 1 to 8", format.channels);
            return Err(MediaError::Config { what: "L16 channels", reason });
        }
        let payload_type = match (format.rate, format.channels) {
            (44_100, 2) => Some(10),
            (44_100, 1) => Some(11),
            _ => None,
        };
        let description = CodecDescription {
            name: "L16",
            clock_rate: format.rate,
            rtpmap_channels: format.channels,
            payload_type,
            format,
            // 20 ms of stereo at 48 kHz would not fit an Ethernet frame.
            ptime_ms: if format.rate * u32::from(format.channels) > 32_000 { 5 } else { 20 },
            fmtp: Fmtp::default(),
        };
        Ok(Self { description, limit: 2 * format.samples(max_packet) })
    }
}

impl AudioCodec for L16 {
    fn description(&self) -> &CodecDescription {
        &self.description
    }

    fn encoder(&self, _remote: &Fmtp) -> Result<Box<dyn AudioEncoder>, MediaError> {
        Ok(Box::new(Encoder { channels: usize::from(self.description.format.channels) }))
    }

    fn decoder(&self, _local: &Fmtp) -> Result<Box<dyn AudioDecoder>, MediaError> {
        let frame = 2 * usize::from(self.description.format.channels);
        Ok(Box::new(Decoder { frame, limit: self.limit }))
    }
}

struct Encoder {
    channels: usize,
}

impl AudioEncoder for Encoder {
    fn encode(&mut self, pcm: &[i16], out: &mut Vec<u8>) -> Result<Encoded, MediaError> {
        if pcm.is_empty() || !pcm.len().is_multiple_of(self.channels) {
            return Err(bad_block("L16 block", pcm.len(), "whole frames"));
        }
        out.extend(pcm.iter().flat_map(|s| s.to_be_bytes()));
        Ok(Encoded::Packet)
    }
}

struct Decoder {
    /// Octets a frame.
    frame: usize,
    limit: usize,
}

impl AudioDecoder for Decoder {
    fn ticks(&self, payload: &[u8]) -> Option<u32> {
        check_payload("L16", payload, self.frame, self.limit).ok()?;
        Some((payload.len() / self.frame) as u32)
    }

    fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) -> Result<(), MediaError> {
        check_payload("L16", payload, self.frame, self.limit)?;
        out.extend(payload.chunks_exact(2).map(|b| i16::from_be_bytes([b[0], b[1]])));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{hostile_payloads, noise, round_trip};
    use super::*;

    const SPAN: Duration = Duration::from_millis(200);

    #[test]
    fn what_is_heard_is_what_was_said() {
        let codec = L16::new(AudioFormat::new(16_000, 2), SPAN).unwrap();
        let said = noise(1, 32_767, 6_400);
        let (heard, bytes) = round_trip(&codec, "", "", &said, 640);
        assert_eq!(heard, said);
        assert_eq!(bytes, 12_800);
    }

    #[test]
    fn octets_are_in_network_order_and_static_types_are_known() {
        let codec = L16::new(AudioFormat::new(44_100, 2), SPAN).unwrap();
        assert_eq!(codec.description().payload_type, Some(10));
        let mut payload = Vec::new();
        codec.encoder(&Fmtp::default()).unwrap().encode(&[0x0102, -2], &mut payload).unwrap();
        assert_eq!(payload, [1, 2, 0xFF, 0xFE]);
        assert_eq!(codec.decoder(&Fmtp::default()).unwrap().ticks(&payload), Some(1));
    }

    #[test]
    fn formats_out_of_range_are_refused() {
        assert!(L16::new(AudioFormat::new(0, 1), SPAN).is_err());
        assert!(L16::new(AudioFormat::new(8_000, 9), SPAN).is_err());
    }

    #[test]
    fn no_payload_makes_the_decoder_panic() {
        hostile_payloads(&L16::new(AudioFormat::new(16_000, 2), SPAN).unwrap(), 3_200);
    }
}
