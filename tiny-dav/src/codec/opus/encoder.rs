//! The Opus encoder: narrows our settings by the peer's wishes (RFC 7587 §6.1, §7.1).

use super::budget::Budget;
use super::config::BITRATES;
use super::decimate::Decimator;
use super::{OpusConfig, engine_error};
use opus_pure::{Application, Bandwidth, OpusEncoder, RateControl, Signal};
use tiny_media::{AudioEncoder, Encoded, Fmtp, MediaError};

pub(super) struct Encoder {
    engine: OpusEncoder,
    /// Channels of the PCM that comes in.
    channels: usize,
    /// Stereo PCM summed to mono, for a peer that wants mono.
    mono: Vec<i16>,
    /// For a peer that plays at 8 or 12 kHz.
    decimator: Option<Decimator>,
    low: Vec<i16>,
    /// For a variable rate.
    budget: Option<Budget>,
    max_payload: usize,
}

impl Encoder {
    pub(super) fn new(config: &OpusConfig, remote: &Fmtp) -> Result<Self, MediaError> {
        // RFC 7587 §7.1: "a sender MUST NOT use stereo when stereo is 0", which is its default.
        let stereo = config.channels == 2 && remote.flag("stereo");
        let sent = if stereo { 2 } else { 1 };
        // Music in stereo is not what the speech filters are for.
        let application = if stereo { Application::Audio } else { Application::Voip };

        // RFC 7587 §7.1: "a sender MUST NOT use an audio bandwidth higher than necessary".
        let bandwidth = match remote.number("maxplaybackrate") {
            Some(..=8_000) => Bandwidth::Narrowband,
            Some(..=12_000) => Bandwidth::Mediumband,
            Some(..=16_000) => Bandwidth::Wideband,
            Some(..=24_000) => Bandwidth::Superwideband,
            _ => Bandwidth::Fullband,
        };
        // From faster input the engine codes wideband at least.
        let factor = match bandwidth {
            Bandwidth::Narrowband => 6,
            Bandwidth::Mediumband => 4,
            _ => 1,
        };
        let mut engine =
            OpusEncoder::new(48_000 / factor, sent, application).map_err(engine_error)?;
        engine.max_bandwidth = bandwidth;

        let (usual, most) = sweet_spot(bandwidth, stereo);
        let limit = remote.number("maxaveragebitrate").filter(|b| BITRATES.contains(b));
        let limit = limit.unwrap_or(most);
        let wanted = config.bitrate.unwrap_or(usual);
        // RFC 7587 §7.1: the sender "MUST NOT send with an average bitrate higher" than the limit.
        let budget = if remote.flag("cbr") {
            engine.rate_control = RateControl::Cbr;
            engine.bitrate_bps = wanted.min(limit) as i32;
            None
        } else {
            engine.rate_control = RateControl::ConstrainedVbr;
            Some(Budget::new(wanted, limit))
        };
        engine.use_dtx = remote.flag("usedtx");
        // RFC 7587 §3.3: redundancy only for a peer that can use it. It starts with the first hint
        // of loss.
        engine.use_inband_fec = remote.flag("useinbandfec");
        engine.complexity = i32::from(config.complexity);

        Ok(Self {
            engine,
            channels: usize::from(config.channels),
            mono: Vec::new(),
            decimator: (factor > 1).then(|| Decimator::new(factor as usize, sent)),
            low: Vec::new(),
            budget,
            max_payload: config.max_payload,
        })
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
        let (pcm, coded) = match &mut self.decimator {
            None => (pcm, frames),
            Some(decimator) => {
                self.low.clear();
                decimator.run(pcm, &mut self.low);
                (&*self.low, self.low.len() / self.engine.channels())
            }
        };
        if let Some(budget) = &self.budget {
            self.engine.bitrate_bps = budget.target();
        }
        let start = out.len();
        out.resize(start + self.max_payload, 0);
        let written = self.engine.encode_s16(pcm, coded, &mut out[start..]);
        let bytes = *written.as_ref().unwrap_or(&0);
        out.truncate(start + bytes);
        if let Some(budget) = &mut self.budget {
            budget.spend(bytes, frames);
        }
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
        // Only the voice mode has redundancy: when much is lost, that is worth more than what music
        // gains from the other mode.
        let rescue = self.engine.use_inband_fec && percent >= RESCUE_PERCENT;
        self.engine.signal_type = rescue.then_some(Signal::Voice);
    }
}

/// The loss from which on everything is coded as voice, with redundancy.
const RESCUE_PERCENT: u8 = 8;

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
