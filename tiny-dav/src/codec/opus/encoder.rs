//! The Opus encoder: narrows our settings by the peer's wishes (RFC 7587 §6.1, §7.1).

use super::config::BITRATES;
use super::{OpusConfig, engine_error};
use opus_pure::{Application, Bandwidth, OpusEncoder, RateControl};
use tiny_media::{AudioEncoder, Encoded, Fmtp, MediaError};

pub(super) struct Encoder {
    engine: OpusEncoder,
    /// Channels of the PCM that comes in.
    channels: usize,
    /// Stereo PCM summed to mono, for a peer that wants mono.
    mono: Vec<i16>,
    max_payload: usize,
}

impl Encoder {
    pub(super) fn new(config: &OpusConfig, remote: &Fmtp) -> Result<Self, MediaError> {
        // RFC 7587 §7.1: "a sender MUST NOT use stereo when stereo is 0", which is its default.
        let stereo = config.channels == 2 && remote.flag("stereo");
        let sent = if stereo { 2 } else { 1 };
        // Music in stereo is not what the speech filters are for.
        let application = if stereo { Application::Audio } else { Application::Voip };
        let mut engine = OpusEncoder::new(48_000, sent, application).map_err(engine_error)?;

        // RFC 7587 §7.1: "a sender MUST NOT use an audio bandwidth higher than necessary".
        engine.max_bandwidth = match remote.number("maxplaybackrate") {
            Some(..=8_000) => Bandwidth::Narrowband,
            Some(..=12_000) => Bandwidth::Mediumband,
            Some(..=16_000) => Bandwidth::Wideband,
            Some(..=24_000) => Bandwidth::Superwideband,
            _ => Bandwidth::Fullband,
        };
        let (usual, most) = sweet_spot(engine.max_bandwidth, stereo);
        let limit = remote.number("maxaveragebitrate").filter(|b| BITRATES.contains(b));
        let bitrate = config.bitrate.unwrap_or(usual).min(limit.unwrap_or(most));
        engine.bitrate_bps = bitrate as i32;
        engine.rate_control =
            if remote.flag("cbr") { RateControl::Cbr } else { RateControl::ConstrainedVbr };
        engine.use_dtx = remote.flag("usedtx");
        // RFC 7587 §3.3: redundancy only for a peer that can use it. It starts with the first hint
        // of loss.
        engine.use_inband_fec = remote.flag("useinbandfec");
        engine.complexity = i32::from(config.complexity);

        let channels = usize::from(config.channels);
        Ok(Self { engine, channels, mono: Vec::new(), max_payload: config.max_payload })
    }
}

impl AudioEncoder for Encoder {
    fn encode(&mut self, pcm: &[i16], out: &mut Vec<u8>) -> Result<Encoded, MediaError> {
        let frames = pcm.len() / self.channels;
        if !is_packet_time(frames) || !pcm.len().is_multiple_of(self.channels) {
            let reason = format!(
                "{} samples; a packet holds 2.5, 5, 10, 20, 40, 60, 80, 100 or 120 ms at 48 kHz",
                pcm.len()
            );
            return Err(MediaError::Config { what: "opus block", reason });
        }
        let pcm = if self.engine.channels() == self.channels {
            pcm
        } else {
            self.mono.clear();
            let sum = |f: &[i16]| ((i32::from(f[0]) + i32::from(f[1])) / 2) as i16;
            self.mono.extend(pcm.chunks_exact(2).map(sum));
            &self.mono
        };
        let start = out.len();
        out.resize(start + self.max_payload, 0);
        let written = self.engine.encode_s16(pcm, frames, &mut out[start..]);
        let bytes = *written.as_ref().unwrap_or(&0);
        out.truncate(start + bytes);
        match written {
            Err(error) => Err(engine_error(error)),
            // A packet without coded sound, which RFC 7587 §3.1.3 lets us not transmit: its table of
            // contents, and a frame count when it holds several frames.
            Ok(0..=2) if self.engine.use_dtx => {
                out.truncate(start);
                Ok(Encoded::Silence)
            }
            Ok(_) => Ok(Encoded::Packet),
        }
    }

    fn expect_loss(&mut self, percent: u8) {
        self.engine.packet_loss_perc = i32::from(percent.min(100));
    }
}

/// The packet durations of RFC 6716 §3.2.5 that an encoder makes, in frames at 48 kHz.
fn is_packet_time(frames: usize) -> bool {
    matches!(frames, 120 | 240 | 480 | 960 | 1_920 | 2_880 | 3_840 | 4_800 | 5_760)
}

/// The bit rate to send at where we name none, and the most to send where the peer names no limit:
/// RFC 7587 §3.1.1 gives the ranges, §3.1.2 and §6.1 these uses of them. What lies between its rows
/// is filled in.
fn sweet_spot(bandwidth: Bandwidth, stereo: bool) -> (u32, u32) {
    match (bandwidth, stereo) {
        (Bandwidth::Narrowband, false) => (12_000, 12_000),
        (Bandwidth::Mediumband, false) => (16_000, 16_000),
        (Bandwidth::Wideband, false) => (20_000, 20_000),
        (Bandwidth::Superwideband, false) => (32_000, 40_000),
        (Bandwidth::Fullband, false) => (40_000, 64_000),
        (Bandwidth::Narrowband, true) => (24_000, 24_000),
        (Bandwidth::Mediumband, true) => (32_000, 32_000),
        (Bandwidth::Wideband, true) => (40_000, 40_000),
        (Bandwidth::Superwideband, true) => (64_000, 80_000),
        (Bandwidth::Fullband, true) => (96_000, 128_000),
    }
}
