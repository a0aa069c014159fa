//! The Opus decoder: packets, concealment, and recovery from in-band redundancy.

use super::engine_error;
use super::redundancy::has_redundancy;
use opus_pure::{MAX_PACKET_SAMPLES, OpusDecoder, packet};
use tiny_media::{AudioDecoder, MediaError};

/// The engine works in steps of 2.5 ms at 48 kHz.
const STEP: usize = 120;

pub(super) struct Decoder {
    engine: OpusDecoder,
    channels: usize,
}

impl Decoder {
    pub(super) fn new(channels: u16) -> Result<Self, MediaError> {
        let channels = usize::from(channels);
        let engine = OpusDecoder::new(48_000, channels).map_err(engine_error)?;
        Ok(Self { engine, channels })
    }

    /// Lets the engine append up to `frames` frames; what it does not write is taken back.
    fn append(
        &mut self,
        frames: usize,
        out: &mut Vec<i16>,
        run: impl FnOnce(&mut OpusDecoder, &mut [i16]) -> opus_pure::Result<usize>,
    ) -> opus_pure::Result<usize> {
        let start = out.len();
        out.resize(start + frames * self.channels, 0);
        let written = run(&mut self.engine, &mut out[start..]);
        let kept = written.as_ref().map_or(0, |&n| n.min(frames));
        out.truncate(start + kept * self.channels);
        written
    }
}

impl AudioDecoder for Decoder {
    fn ticks(&self, payload: &[u8]) -> Option<u32> {
        packet::samples_48k(payload).ok().map(|n| n as u32)
    }

    fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) -> Result<(), MediaError> {
        let refuse =
            |e: opus_pure::Error| MediaError::Payload { codec: "opus", reason: e.to_string() };
        let frames = packet::samples_48k(payload).map_err(refuse)?;
        let start = out.len();
        let written = self.append(frames, out, |e, pcm| e.decode_s16(payload, frames, pcm));
        match written {
            Ok(n) if n == frames => Ok(()),
            Ok(n) => {
                out.truncate(start);
                let reason = format!("{n} frames where its header says {frames}");
                Err(MediaError::Payload { codec: "opus", reason })
            }
            Err(error) => Err(refuse(error)),
        }
    }

    fn conceal(&mut self, frames: usize, out: &mut Vec<i16>) -> bool {
        let start = out.len();
        let end = start + frames * self.channels;
        // The engine conceals whole steps; a remainder is rounded up and cut.
        let mut left = frames.next_multiple_of(STEP);
        while left > 0 {
            let block = left.min(MAX_PACKET_SAMPLES);
            let written = self.append(block, out, |e, pcm| e.decode_s16(&[], block, pcm));
            if !matches!(written, Ok(1..)) {
                out.truncate(start);
                return false;
            }
            left -= block;
        }
        out.resize(end, 0);
        true
    }

    fn recover(&mut self, next: &[u8], frames: usize, out: &mut Vec<i16>) -> bool {
        // Redundancy holds exactly the packet before; a gap that is no packet has none.
        let whole = frames > 0 && frames.is_multiple_of(STEP) && frames <= MAX_PACKET_SAMPLES;
        if !whole || !has_redundancy(next) {
            return false;
        }
        let start = out.len();
        let written = self.append(frames, out, |e, pcm| e.decode_fec_s16(next, frames, pcm));
        if written.is_ok_and(|n| n == frames) {
            return true;
        }
        out.truncate(start);
        false
    }
}
