//! What the tests of this crate share: a linear codec, tones, sinks that keep what they get.

use crate::MediaError;
use crate::plugin::{
    AudioCodec, AudioDecoder, AudioEncoder, AudioFormat, CodecDescription, Encoded, Fmtp, Sink,
    Source,
};
use std::sync::{Arc, Mutex};

/// 16-bit PCM as it is (RFC 3551 §4.5.11, L16), so that whatever is heard is the stream's doing.
pub(crate) struct Linear(CodecDescription);

impl Linear {
    pub(crate) fn codec(name: &'static str, rate: u32, channels: u16) -> Arc<dyn AudioCodec> {
        Arc::new(Self(CodecDescription {
            name,
            clock_rate: rate,
            rtpmap_channels: channels,
            payload_type: None,
            format: AudioFormat::new(rate, channels),
            ptime_ms: 20,
            fmtp: Fmtp::default(),
        }))
    }
}

pub(crate) struct LinearCoder(u16);

impl LinearCoder {
    pub(crate) fn mono() -> Self {
        Self(1)
    }
}

impl AudioCodec for Linear {
    fn description(&self) -> &CodecDescription {
        &self.0
    }
    fn encoder(&self, remote: &Fmtp) -> Result<Box<dyn AudioEncoder>, MediaError> {
        if remote.flag("refuse") {
            return Err(MediaError::Config { what: "fmtp", reason: "refuse".into() });
        }
        Ok(Box::new(LinearCoder(self.0.format.channels)))
    }
    fn decoder(&self, _: &Fmtp) -> Result<Box<dyn AudioDecoder>, MediaError> {
        Ok(Box::new(LinearCoder(self.0.format.channels)))
    }
}

impl AudioEncoder for LinearCoder {
    fn encode(&mut self, pcm: &[i16], out: &mut Vec<u8>) -> Result<Encoded, MediaError> {
        out.extend(pcm.iter().flat_map(|s| s.to_be_bytes()));
        Ok(Encoded::Packet)
    }
}

impl AudioDecoder for LinearCoder {
    fn ticks(&self, payload: &[u8]) -> Option<u32> {
        let frame = 2 * usize::from(self.0);
        payload.len().is_multiple_of(frame).then_some((payload.len() / frame) as u32)
    }
    fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) -> Result<(), MediaError> {
        out.extend(payload.chunks_exact(2).map(|b| i16::from_be_bytes([b[0], b[1]])));
        Ok(())
    }
}

/// Samples `from..` of an endless mono tone.
pub(crate) fn tone(rate: u32, hz: f64, from: usize, count: usize) -> Vec<i16> {
    let step = std::f64::consts::TAU * hz / f64::from(rate);
    (from..from + count).map(|i| (8_000.0 * (step * i as f64).sin()) as i16).collect()
}

/// Big-endian octets of PCM.
pub(crate) fn octets(pcm: &[i16]) -> Vec<u8> {
    pcm.iter().flat_map(|s| s.to_be_bytes()).collect()
}

/// An endless tone at the timer's pace.
pub(crate) struct ToneSource {
    pub(crate) format: AudioFormat,
    pub(crate) hz: f64,
    pub(crate) position: usize,
}

impl Source for ToneSource {
    fn format(&self) -> AudioFormat {
        self.format
    }
    fn read(&mut self, out: &mut [i16]) -> usize {
        let channels = usize::from(self.format.channels);
        let frames = out.len() / channels;
        let mono = tone(self.format.rate, self.hz, self.position, frames);
        for (frame, s) in out.chunks_mut(channels).zip(mono) {
            frame.fill(s);
        }
        self.position += frames;
        out.len()
    }
}

/// Keeps all that is written, at the timer's pace.
#[derive(Clone)]
pub(crate) struct Tape {
    pub(crate) format: AudioFormat,
    pub(crate) pcm: Arc<Mutex<Vec<i16>>>,
}

impl Tape {
    pub(crate) fn new(rate: u32, channels: u16) -> Self {
        Self { format: AudioFormat::new(rate, channels), pcm: Arc::default() }
    }
    pub(crate) fn heard(&self) -> Vec<i16> {
        self.pcm.lock().unwrap().clone()
    }
}

impl Sink for Tape {
    fn format(&self) -> AudioFormat {
        self.format
    }
    fn write(&mut self, pcm: &[i16]) {
        self.pcm.lock().unwrap().extend_from_slice(pcm);
    }
}

/// The share of 50 ms pieces of sound that hold a tone at about its full level.
pub(crate) fn share_of_tone(pcm: &[i16], rate: u32, hz: f64) -> f64 {
    let pieces: Vec<_> = pcm.chunks_exact(rate as usize / 20).collect();
    let full = 20.0 * (8_000.0f64 / 32_768.0).log10() - 3.01;
    let good = |p: &&&[i16]| (crate::tone::tone_level_db(p, rate, hz) - full).abs() < 3.0;
    pieces.iter().filter(good).count() as f64 / pieces.len().max(1) as f64
}
