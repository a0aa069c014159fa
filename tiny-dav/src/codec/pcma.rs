//! PCMA: G.711 A-law in RTP (RFC 3551 §4.5.14), one octet a sample at 8 kHz.

use super::{bad_block, check_payload, g711, payload_limit};
use std::time::Duration;
use tiny_media::{
    AudioCodec, AudioDecoder, AudioEncoder, AudioFormat, CodecDescription, Encoded, Fmtp,
    MediaError,
};

/// G.711 A-law, `PCMA/8000`, static payload type 8.
pub struct Pcma {
    description: CodecDescription,
    limit: usize,
}

impl Pcma {
    /// The codec; its decoders refuse payloads that play longer than `max_packet`.
    pub fn new(max_packet: Duration) -> Self {
        let description = CodecDescription {
            name: "PCMA",
            clock_rate: 8_000,
            rtpmap_channels: 1,
            payload_type: Some(8),
            format: AudioFormat::new(8_000, 1),
            ptime_ms: 20,
            fmtp: Fmtp::default(),
        };
        Self { description, limit: payload_limit(max_packet, 8_000) }
    }
}

impl AudioCodec for Pcma {
    fn description(&self) -> &CodecDescription {
        &self.description
    }

    fn encoder(&self, _remote: &Fmtp) -> Result<Box<dyn AudioEncoder>, MediaError> {
        Ok(Box::new(Encoder))
    }

    fn decoder(&self, _local: &Fmtp) -> Result<Box<dyn AudioDecoder>, MediaError> {
        Ok(Box::new(Decoder { limit: self.limit }))
    }
}

struct Encoder;

impl AudioEncoder for Encoder {
    fn encode(&mut self, pcm: &[i16], out: &mut Vec<u8>) -> Result<Encoded, MediaError> {
        if pcm.is_empty() {
            return Err(bad_block("PCMA block", 0, "at least one"));
        }
        out.extend(pcm.iter().map(|&s| g711::linear_to_alaw(s)));
        Ok(Encoded::Packet)
    }
}

struct Decoder {
    limit: usize,
}

impl AudioDecoder for Decoder {
    fn ticks(&self, payload: &[u8]) -> Option<u32> {
        check_payload("PCMA", payload, 1, self.limit).ok()?;
        Some(payload.len() as u32)
    }

    fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) -> Result<(), MediaError> {
        check_payload("PCMA", payload, 1, self.limit)?;
        out.extend(payload.iter().map(|&c| g711::alaw_to_linear(c)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{hostile_payloads, round_trip, sine, snr_db};
    use super::*;

    fn codec() -> Pcma {
        Pcma::new(Duration::from_millis(200))
    }

    #[test]
    fn a_tone_survives_at_every_level_g711_is_made_for() {
        // G.712 asks for 33 dB down to -30 dBm0 and 27 dB at -40 dBm0, measured with filtering;
        // unfiltered, quantization alone must stay above these.
        for (level, least) in [(-3.0, 36.0), (-12.0, 36.0), (-30.0, 33.0), (-40.0, 27.0)] {
            let said = sine(8_000, 1, 1_020.0, level, 8_000);
            let (heard, bytes) = round_trip(&codec(), "", "", &said, 160);
            assert_eq!(bytes, 8_000);
            let snr = snr_db(&said, &heard);
            assert!(snr > least, "{level} dBFS: {snr:.1} dB");
        }
    }

    #[test]
    fn twenty_milliseconds_are_160_octets_and_ticks() {
        let mut payload = Vec::new();
        let mut encoder = codec().encoder(&Fmtp::default()).unwrap();
        assert_eq!(encoder.encode(&[0; 160], &mut payload).unwrap(), Encoded::Packet);
        assert_eq!(payload.len(), 160);
        let mut decoder = codec().decoder(&Fmtp::default()).unwrap();
        assert_eq!(decoder.ticks(&payload), Some(160));
        assert!(!decoder.conceal(160, &mut Vec::new()), "the stream's own concealment is used");
    }

    #[test]
    fn empty_and_overlong_payloads_are_refused_by_name() {
        let mut decoder = codec().decoder(&Fmtp::default()).unwrap();
        let mut out = Vec::new();
        assert_eq!(decoder.ticks(&[]), None);
        assert_eq!(
            decoder.decode(&[], &mut out).unwrap_err().to_string(),
            "PCMA: malformed payload: no sound in it"
        );
        assert_eq!(decoder.ticks(&[0; 1600]), Some(1600));
        assert_eq!(decoder.ticks(&[0; 1601]), None);
        assert!(decoder.decode(&[0; 1601], &mut out).is_err());
        assert!(out.is_empty());
        assert!(codec().encoder(&Fmtp::default()).unwrap().encode(&[], &mut Vec::new()).is_err());
    }

    #[test]
    fn no_payload_makes_the_decoder_panic() {
        hostile_payloads(&codec(), 1600);
    }
}
