//! PCMU and PCMA: G.711 in RTP (RFC 3551 §4.5.14), one octet a sample at 8 kHz.

use super::{bad_block, check_payload, g711, payload_limit};
use std::time::Duration;
use tiny_media::{
    AudioCodec, AudioDecoder, AudioEncoder, AudioFormat, CodecDescription, Encoded, Fmtp,
    MediaError,
};

/// One of the two laws, as RTP knows it.
struct Law {
    name: &'static str,
    payload_type: u8,
    encode: fn(&[i16], &mut Vec<u8>),
    decode: fn(&[u8], &mut Vec<i16>),
}

static MU: Law = Law {
    name: "PCMU",
    payload_type: 0,
    encode: |pcm, out| out.extend(pcm.iter().map(|&s| g711::linear_to_ulaw(s))),
    decode: |codes, out| out.extend(codes.iter().map(|&c| g711::ulaw_to_linear(c))),
};

static A: Law = Law {
    name: "PCMA",
    payload_type: 8,
    encode: |pcm, out| out.extend(pcm.iter().map(|&s| g711::linear_to_alaw(s))),
    decode: |codes, out| out.extend(codes.iter().map(|&c| g711::alaw_to_linear(c))),
};

/// G.711: `PCMU/8000`, static payload type 0, or `PCMA/8000`, static payload type 8.
pub struct G711 {
    law: &'static Law,
    description: CodecDescription,
    limit: usize,
}

impl G711 {
    /// PCMU, with the µ-law; its decoders refuse payloads that play longer than `max_packet`.
    pub fn pcmu(max_packet: Duration) -> Self {
        Self::new(&MU, max_packet)
    }

    /// PCMA, with the A-law; its decoders refuse payloads that play longer than `max_packet`.
    pub fn pcma(max_packet: Duration) -> Self {
        Self::new(&A, max_packet)
    }

    fn new(law: &'static Law, max_packet: Duration) -> Self {
        let description = CodecDescription {
            name: law.name,
            clock_rate: 8_000,
            rtpmap_channels: 1,
            payload_type: Some(law.payload_type),
            format: AudioFormat::new(8_000, 1),
            ptime_ms: 20,
            fmtp: Fmtp::default(),
        };
        Self { law, description, limit: payload_limit(max_packet, 8_000) }
    }
}

impl AudioCodec for G711 {
    fn description(&self) -> &CodecDescription {
        &self.description
    }

    fn encoder(&self, _remote: &Fmtp) -> Result<Box<dyn AudioEncoder>, MediaError> {
        Ok(Box::new(Encoder { law: self.law }))
    }

    fn decoder(&self, _local: &Fmtp) -> Result<Box<dyn AudioDecoder>, MediaError> {
        Ok(Box::new(Decoder { law: self.law, limit: self.limit }))
    }
}

struct Encoder {
    law: &'static Law,
}

impl AudioEncoder for Encoder {
    fn encode(&mut self, pcm: &[i16], out: &mut Vec<u8>) -> Result<Encoded, MediaError> {
        if pcm.is_empty() {
            return Err(bad_block("G.711 block", 0, "at least one"));
        }
        (self.law.encode)(pcm, out);
        Ok(Encoded::Packet)
    }
}

struct Decoder {
    law: &'static Law,
    limit: usize,
}

impl AudioDecoder for Decoder {
    fn ticks(&self, payload: &[u8]) -> Option<u32> {
        check_payload(self.law.name, payload, 1, self.limit).ok()?;
        Some(payload.len() as u32)
    }

    fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) -> Result<(), MediaError> {
        check_payload(self.law.name, payload, 1, self.limit)?;
        (self.law.decode)(payload, out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{hostile_payloads, round_trip, sine, snr_db};
    use super::*;

    fn both() -> [G711; 2] {
        [G711::pcmu, G711::pcma].map(|new| new(Duration::from_millis(200)))
    }

    #[test]
    fn a_tone_survives_at_every_level_g711_is_made_for() {
        // G.712 asks for 33 dB down to -30 dBm0 and 27 dB at -40 dBm0, measured with filtering;
        // unfiltered, quantization alone must stay above these.
        for (level, least) in [(-3.0, 36.0), (-12.0, 36.0), (-30.0, 33.0), (-40.0, 27.0)] {
            let said = sine(8_000, 1, 1_020.0, level, 8_000);
            for codec in both() {
                let (heard, bytes) = round_trip(&codec, "", "", &said, 160);
                assert_eq!(bytes, 8_000);
                let (snr, name) = (snr_db(&said, &heard), codec.law.name);
                assert!(snr > least, "{name}, {level} dBFS: {snr:.1} dB");
            }
        }
    }

    #[test]
    fn twenty_milliseconds_are_160_octets_and_ticks() {
        for (codec, silence) in both().into_iter().zip([0xff, 0xd5]) {
            let mut payload = Vec::new();
            let mut encoder = codec.encoder(&Fmtp::default()).unwrap();
            assert_eq!(encoder.encode(&[0; 160], &mut payload).unwrap(), Encoded::Packet);
            assert_eq!(payload, [silence; 160]);
            let mut decoder = codec.decoder(&Fmtp::default()).unwrap();
            assert_eq!(decoder.ticks(&payload), Some(160));
            assert!(!decoder.conceal(160, &mut Vec::new()), "the stream's own concealment is used");
        }
    }

    #[test]
    fn empty_and_overlong_payloads_are_refused_by_name() {
        let [codec, other] = both();
        let mut decoder = codec.decoder(&Fmtp::default()).unwrap();
        let mut out = Vec::new();
        assert_eq!(decoder.ticks(&[]), None);
        assert_eq!(
            decoder.decode(&[], &mut out).unwrap_err().to_string(),
            "PCMU: malformed payload: no sound in it"
        );
        assert_eq!(decoder.ticks(&[0; 1600]), Some(1600));
        assert_eq!(decoder.ticks(&[0; 1601]), None);
        assert!(decoder.decode(&[0; 1601], &mut out).is_err());
        assert!(out.is_empty());
        assert!(codec.encoder(&Fmtp::default()).unwrap().encode(&[], &mut Vec::new()).is_err());
        let mut decoder = other.decoder(&Fmtp::default()).unwrap();
        let refused = decoder.decode(&[], &mut out).unwrap_err().to_string();
        assert_eq!(refused, "PCMA: malformed payload: no sound in it");
    }

    #[test]
    fn no_payload_makes_the_decoder_panic() {
        both().iter().for_each(|codec| hostile_payloads(codec, 1600));
    }
}
