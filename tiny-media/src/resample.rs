//! Changes the rate and the channels of a running sound, block by block, without clicks.
//!
//! A windowed-sinc filter of rubato, made as a polyphase filter wherever the two rates have a small
//! common ratio. Blocks of any length go in; what is ready comes out. Equal formats are copied.

use crate::MediaError;
use crate::plugin::AudioFormat;
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Async, FixedAsync, Resampler as _, Resizable as _, SincInterpolationParameters,
    SincInterpolationType, WindowFunction,
};
use std::fmt;
use std::time::Duration;

/// Length of the filter in samples of the lower of the two rates; half of it is the delay.
const TAPS: usize = 48;
/// Phases of the filter at most; a ratio that would need more interpolates between phases.
const MAX_PHASES: u32 = 640;
/// Lowest and highest rate taken, in Hz.
const RATES: std::ops::RangeInclusive<u32> = 1_000..=384_000;
/// Most channels taken.
const MAX_CHANNELS: u16 = 32;

/// A streaming converter between two PCM formats.
///
/// The delay is 24 samples of the lower rate (3 ms at 8 kHz, 1.5 ms at 16 kHz, 0.5 ms at 48 kHz)
/// and nothing when the rates are equal. The response is flat to 0.8 of the lower Nyquist
/// frequency. Nothing is allocated after creation when `out` has room.
///
/// ```
/// use tiny_media::{AudioFormat, Resampler};
/// let mut r = Resampler::new(AudioFormat::new(8_000, 1), AudioFormat::new(48_000, 2))?;
/// let mut out = Vec::new();
/// r.process(&[0; 160], &mut out);
/// assert_eq!(out.len() % 2, 0);
/// assert!(out.len() <= 960 * 2);
/// # Ok::<(), tiny_media::MediaError>(())
/// ```
pub struct Resampler {
    from: AudioFormat,
    to: AudioFormat,
    // None when the rates are equal.
    filter: Option<Filter>,
}

struct Filter {
    engine: Async<f32>,
    // Channels inside: the smaller count of both sides.
    channels: usize,
    // Frames that one call to the engine takes at most.
    chunk: usize,
    input: Vec<f32>,
    output: Vec<f32>,
}

impl Resampler {
    /// A converter.
    ///
    /// # Errors
    /// [`MediaError::Config`] for rates outside 1 to 384 kHz or channels outside 1 to 32.
    pub fn new(from: AudioFormat, to: AudioFormat) -> Result<Self, MediaError> {
        check(from)?;
        check(to)?;
        let filter = if from.rate == to.rate { None } else { Some(Filter::new(from, to)?) };
        Ok(Self { from, to, filter })
    }

    /// What goes in.
    pub fn from(&self) -> AudioFormat {
        self.from
    }

    /// What comes out.
    pub fn to(&self) -> AudioFormat {
        self.to
    }

    /// True when sound is only copied.
    pub fn is_bypass(&self) -> bool {
        self.from == self.to
    }

    /// How much later sound comes out than it went in.
    pub fn delay(&self) -> Duration {
        match &self.filter {
            None => Duration::ZERO,
            Some(f) => {
                let frames = f.engine.output_delay() as f64;
                Duration::from_secs_f64(frames / f64::from(self.to.rate))
            }
        }
    }

    /// Converts a block and appends what comes out. An incomplete frame at the end is ignored.
    pub fn process(&mut self, pcm: &[i16], out: &mut Vec<i16>) {
        let (from, to) = (usize::from(self.from.channels), usize::from(self.to.channels));
        let Some(filter) = &mut self.filter else {
            return remix(pcm, from, to, out);
        };
        for block in pcm.chunks(filter.chunk * from) {
            filter.process(block, from, to, out);
        }
    }

    /// Forgets the past: the next block follows silence.
    pub fn reset(&mut self) {
        if let Some(f) = &mut self.filter {
            f.engine.reset();
        }
    }
}

impl fmt::Debug for Resampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Resampler({:?} -> {:?})", self.from, self.to)
    }
}

impl Filter {
    fn new(from: AudioFormat, to: AudioFormat) -> Result<Self, MediaError> {
        let refuse = |reason: String| MediaError::Config { what: "resampler", reason };
        let ratio = f64::from(to.rate) / f64::from(from.rate);
        let channels = usize::from(from.channels.min(to.channels));
        // A filter for going down is as long in time as one for going up.
        let taps = (TAPS as f64 * (1.0 / ratio).max(1.0)).ceil() as usize;
        let phases = to.rate / gcd(from.rate, to.rate);
        let (phases, interpolation) = if phases <= MAX_PHASES {
            (phases, SincInterpolationType::Nearest)
        } else {
            (256, SincInterpolationType::Linear)
        };
        let parameters = SincInterpolationParameters::new(taps, WindowFunction::Hann2)
            .oversampling_factor(phases as usize)
            .interpolation(interpolation);
        // 20 ms a call: longer blocks are cut.
        let chunk = (from.rate as usize / 50).max(16);
        let engine = Async::new_sinc(ratio, 1.0, &parameters, chunk, channels, FixedAsync::Input)
            .map_err(|e| refuse(e.to_string()))?;
        let room = engine.output_frames_max() * channels;
        Ok(Self {
            engine,
            channels,
            chunk,
            input: Vec::with_capacity(chunk * channels),
            output: vec![0.0; room],
        })
    }

    fn process(&mut self, pcm: &[i16], from: usize, to: usize, out: &mut Vec<i16>) {
        let frames = pcm.len() / from;
        if frames == 0 {
            return;
        }
        self.input.clear();
        if from == self.channels {
            self.input.extend(pcm[..frames * from].iter().map(|s| f32::from(*s)));
        } else {
            let scale = 1.0 / from as f32;
            for frame in pcm.chunks_exact(from) {
                match self.channels {
                    1 => self.input.push(frame.iter().map(|s| f32::from(*s)).sum::<f32>() * scale),
                    n => self.input.extend(frame[..n].iter().map(|s| f32::from(*s))),
                }
            }
        }
        // None of these can fail: the sizes are those that the engine asked for. Were one to, the
        // block would be lost and sound go on.
        if self.engine.set_chunk_size(frames).is_err() {
            return;
        }
        let room = self.output.len() / self.channels;
        let made = {
            let Ok(input) = InterleavedSlice::new(&self.input[..], self.channels, frames) else {
                return;
            };
            let Ok(mut output) =
                InterleavedSlice::new_mut(&mut self.output[..], self.channels, room)
            else {
                return;
            };
            match self.engine.process_into_buffer(&input, &mut output, None) {
                Ok((_, made)) => made,
                Err(_) => return,
            }
        };
        let made = &self.output[..made * self.channels];
        if to == self.channels {
            out.extend(made.iter().map(|s| to_i16(*s)));
        } else {
            for frame in made.chunks_exact(self.channels) {
                let last = to_i16(frame[self.channels - 1]);
                out.extend((0..to).map(|c| frame.get(c).map_or(last, |s| to_i16(*s))));
            }
        }
    }
}

/// Copies frames from one channel count to another: many to one is the mean, one to many is a
/// copy on each; otherwise the first channels stay and the last one is repeated.
pub(crate) fn remix(pcm: &[i16], from: usize, to: usize, out: &mut Vec<i16>) {
    let (from, to) = (from.max(1), to.max(1));
    let whole = pcm.len() - pcm.len() % from;
    let pcm = &pcm[..whole];
    if from == to {
        out.extend_from_slice(pcm);
    } else if to == 1 {
        let mean = |f: &[i16]| (f.iter().map(|s| i32::from(*s)).sum::<i32>() / from as i32) as i16;
        out.extend(pcm.chunks_exact(from).map(mean));
    } else {
        for frame in pcm.chunks_exact(from) {
            out.extend((0..to).map(|c| frame[c.min(from - 1)]));
        }
    }
}

fn to_i16(sample: f32) -> i16 {
    // `as` saturates.
    sample.round() as i16
}

pub(crate) fn check(format: AudioFormat) -> Result<(), MediaError> {
    let refuse = |reason: String| Err(MediaError::Config { what: "audio format", reason });
    if !RATES.contains(&format.rate) {
        return refuse(format!("{} Hz is outside 1000 to 384000 Hz", format.rate));
    }
    if !(1..=MAX_CHANNELS).contains(&format.channels) {
        return refuse(format!("{} channels; 1 to {MAX_CHANNELS} will do", format.channels));
    }
    Ok(())
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::{strongest_tone, tone_level_db};
    use std::f64::consts::TAU;

    fn sine(rate: u32, f: f64, ms: u32) -> Vec<i16> {
        (0..rate * ms / 1000)
            .map(|i| (16_000.0 * (TAU * f * f64::from(i) / f64::from(rate)).sin()) as i16)
            .collect()
    }

    fn run(from: u32, to: u32, pcm: &[i16], block: usize) -> (Vec<i16>, Duration) {
        let mut r = Resampler::new(AudioFormat::new(from, 1), AudioFormat::new(to, 1)).unwrap();
        let mut out = Vec::new();
        pcm.chunks(block).for_each(|b| r.process(b, &mut out));
        (out, r.delay())
    }

    #[test]
    fn a_tone_keeps_its_frequency_and_level_through_every_pair_of_rates() {
        for from in [8_000, 16_000, 24_000, 44_100, 48_000, 11_025] {
            for to in [8_000, 16_000, 32_000, 44_100, 48_000, 22_050] {
                let f = 1000.0;
                let (out, _) = run(from, to, &sine(from, f, 250), (from / 100) as usize);
                let expected = to as usize / 4;
                let slack = (3 * to).div_ceil(from) as usize + 1;
                assert!(out.len().abs_diff(expected) <= slack, "{from}->{to}: {}", out.len());
                let tone = strongest_tone(&out[out.len() / 4..], to).unwrap();
                assert!((tone.frequency - f).abs() < 1.0, "{from}->{to} {tone:?}");
                let level = 20.0 * (16_000.0f64 / 32_768.0).log10() - 3.01;
                assert!((tone.level_db - level).abs() < 0.3, "{from}->{to} {tone:?}");
                assert!(tone.purity > 0.999, "{from}->{to} {tone:?}");
            }
        }
    }

    #[test]
    fn the_block_length_makes_no_difference() {
        let pcm = sine(44_100, 700.0, 200);
        let (whole, _) = run(44_100, 16_000, &pcm, pcm.len());
        for block in [1, 7, 441, 1000] {
            let (parts, _) = run(44_100, 16_000, &pcm, block);
            let n = whole.len().min(parts.len());
            assert!(whole.len().abs_diff(parts.len()) <= 1);
            assert!(whole[..n].iter().zip(&parts[..n]).all(|(a, b)| a.abs_diff(*b) <= 1));
        }
    }

    #[test]
    fn the_delay_is_as_documented() {
        for (from, to, limit_ms) in [
            (8_000, 48_000, 3.2),
            (48_000, 8_000, 3.2),
            (16_000, 48_000, 1.7),
            (44_100, 48_000, 0.7),
        ] {
            let mut pcm = vec![0i16; from as usize / 10];
            let at = from as usize / 50;
            pcm[at] = 30_000;
            let (out, delay) = run(from, to, &pcm, at);
            let (peak, _) = out.iter().enumerate().max_by_key(|(_, s)| s.unsigned_abs()).unwrap();
            let measured = peak as f64 / f64::from(to) - at as f64 / f64::from(from);
            assert!(measured * 1000.0 < limit_ms, "{from}->{to}: {measured}");
            assert!((measured - delay.as_secs_f64()).abs() < 0.0003, "{measured} {delay:?}");
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_carry_is_filtered_out() {
        let (out, _) = run(48_000, 8_000, &sine(48_000, 5_500.0, 500), 480);
        assert!(tone_level_db(&out[400..], 8_000, 2_500.0) < -60.0);
        let (out, _) = run(8_000, 48_000, &sine(8_000, 3_000.0, 500), 160);
        assert!(tone_level_db(&out[2400..], 48_000, 5_000.0) < -60.0);
        // Flat to 0.8 of the band.
        assert!((tone_level_db(&out[2400..], 48_000, 3_000.0) + 9.24).abs() < 0.5);
    }

    #[test]
    fn channels_are_mixed_down_and_copied_up() {
        let mono = AudioFormat::new(8000, 1);
        let stereo = AudioFormat::new(8000, 2);
        let mut out = Vec::new();
        Resampler::new(stereo, mono).unwrap().process(&[100, 300, -5, -7, 9], &mut out);
        assert_eq!(out, [200, -6]);
        out.clear();
        Resampler::new(mono, stereo).unwrap().process(&[1, 2], &mut out);
        assert_eq!(out, [1, 1, 2, 2]);
        out.clear();
        let mut r = Resampler::new(stereo, AudioFormat::new(48_000, 1)).unwrap();
        let pcm: Vec<i16> = sine(8000, 500.0, 300).iter().flat_map(|s| [*s, 0]).collect();
        r.process(&pcm, &mut out);
        let level = tone_level_db(&out[4800..], 48_000, 500.0);
        assert!((level + 9.24 + 6.02).abs() < 0.2, "{level}");
        out.clear();
        let mut r = Resampler::new(AudioFormat::new(16_000, 1), AudioFormat::new(8000, 2)).unwrap();
        r.process(&sine(16_000, 500.0, 100), &mut out);
        assert!(out.chunks(2).all(|f| f[0] == f[1]));
    }

    #[test]
    fn impossible_formats_are_refused() {
        let good = AudioFormat::new(8000, 1);
        for bad in [AudioFormat::new(0, 1), AudioFormat::new(8000, 0), AudioFormat::new(8000, 99)] {
            assert!(Resampler::new(bad, good).is_err());
            assert!(Resampler::new(good, bad).is_err());
        }
    }
}
