//! Sound without hardware: a tone, silence, and a sink that hears nothing. All of them run at any
//! pace, so a timer drives the stream.

use tiny_media::{AudioFormat, MediaError, Sink, Source};

/// One or more sines, continuous in phase over any number of reads, the same in every channel.
#[derive(Debug, Clone)]
pub struct Tone {
    format: AudioFormat,
    /// Phase and its step per frame; a full turn is 2^32, so that wrapping costs nothing.
    oscillators: Vec<(u32, u32)>,
    amplitude: f32,
}

impl Tone {
    /// The level that `tone:440` has when none is given: 12 dB under full scale.
    pub const DEFAULT_LEVEL_DB: f64 = -12.0;

    /// Sines of these frequencies (1 to 8 of them, in Hz, under half the rate). `level_db` is the
    /// level of their sum against one full-scale sine, at most 0.
    ///
    /// # Errors
    /// [`MediaError::Config`] when a frequency or the level is out of range.
    pub fn new(
        format: AudioFormat,
        frequencies: &[f64],
        level_db: f64,
    ) -> Result<Self, MediaError> {
        let refuse = |reason| Err(MediaError::Config { what: "tone", reason });
        if !(1..=8).contains(&frequencies.len()) {
            return refuse(format!("{} frequencies; it takes 1 to 8", frequencies.len()));
        }
        let half = f64::from(format.rate) / 2.0;
        if let Some(hz) = frequencies.iter().find(|hz| !(**hz > 0.0 && **hz < half)) {
            return refuse(format!("{hz} Hz is not between 0 and {half} Hz, half the sample rate"));
        }
        if !(-120.0..=0.0).contains(&level_db) {
            return refuse(format!("{level_db} dB is not in -120 to 0"));
        }
        let turn = 4_294_967_296.0 / f64::from(format.rate);
        let oscillators = frequencies.iter().map(|hz| (0, (hz * turn).round() as u32)).collect();
        let full = f64::from(i16::MAX) / frequencies.len() as f64;
        Ok(Self { format, oscillators, amplitude: (full * 10f64.powf(level_db / 20.0)) as f32 })
    }
}

impl Source for Tone {
    fn format(&self) -> AudioFormat {
        self.format
    }

    fn read(&mut self, out: &mut [i16]) -> usize {
        const TURN: f32 = std::f32::consts::TAU / 4_294_967_296.0;
        for frame in out.chunks_mut(usize::from(self.format.channels.max(1))) {
            let mut sum = 0.0;
            for (phase, step) in &mut self.oscillators {
                // Signed phase: the sine is most exact around zero.
                sum += (phase.cast_signed() as f32 * TURN).sin();
                *phase = phase.wrapping_add(*step);
            }
            frame.fill((sum * self.amplitude).round() as i16);
        }
        out.len()
    }
}

/// Endless silence.
#[derive(Debug, Clone)]
pub struct Silence {
    format: AudioFormat,
}

impl Silence {
    /// Silence in a format.
    pub fn new(format: AudioFormat) -> Self {
        Self { format }
    }
}

impl Source for Silence {
    fn format(&self) -> AudioFormat {
        self.format
    }

    fn read(&mut self, out: &mut [i16]) -> usize {
        out.fill(0);
        out.len()
    }
}

/// A sink that hears nothing.
#[derive(Debug, Clone)]
pub struct Null {
    format: AudioFormat,
}

impl Null {
    /// A sink that takes a format.
    pub fn new(format: AudioFormat) -> Self {
        Self { format }
    }
}

impl Sink for Null {
    fn format(&self) -> AudioFormat {
        self.format
    }

    fn write(&mut self, _pcm: &[i16]) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::testing::{level_db, sine, snr_db, tone_db};

    fn read(tone: &mut Tone, samples: usize) -> Vec<i16> {
        let mut pcm = vec![0; samples];
        assert_eq!(tone.read(&mut pcm), samples);
        pcm
    }

    #[test]
    fn the_tone_is_a_clean_sine_of_the_level_asked_for() {
        let mut tone = Tone::new(AudioFormat::new(48_000, 1), &[440.0], -12.0).unwrap();
        let pcm = read(&mut tone, 48_000);
        assert!(snr_db(&sine(48_000, 1, 440.0, -12.0, 48_000), &pcm) > 70.0);
        assert!((level_db(&pcm) + 12.0).abs() < 0.05);
    }

    #[test]
    fn the_phase_goes_on_over_reads_of_any_length() {
        let format = AudioFormat::new(8_000, 1);
        let whole = read(&mut Tone::new(format, &[1_004.0], -6.0).unwrap(), 8_000);
        let mut tone = Tone::new(format, &[1_004.0], -6.0).unwrap();
        let mut pieces = Vec::new();
        for n in [1, 159, 160, 3, 7_677] {
            pieces.extend(read(&mut tone, n));
        }
        assert_eq!(pieces, whole);
    }

    #[test]
    fn two_frequencies_share_the_level_and_fill_every_channel() {
        let mut tone = Tone::new(AudioFormat::new(16_000, 2), &[350.0, 440.0], -6.0).unwrap();
        let pcm = read(&mut tone, 32_000);
        assert!(pcm.chunks_exact(2).all(|f| f[0] == f[1]));
        let left: Vec<_> = pcm.iter().copied().step_by(2).collect();
        assert!((tone_db(&left, 16_000, 350.0) + 12.0).abs() < 0.2);
        assert!((tone_db(&left, 16_000, 440.0) + 12.0).abs() < 0.2);
    }

    #[test]
    fn what_cannot_sound_is_refused() {
        let format = AudioFormat::new(8_000, 1);
        let error = Tone::new(format, &[5_000.0], -6.0).unwrap_err().to_string();
        assert_eq!(error, "tone: 5000 Hz is not between 0 and 4000 Hz, half the sample rate");
        assert!(Tone::new(format, &[0.0], -6.0).is_err());
        assert!(Tone::new(format, &[f64::NAN], -6.0).is_err());
        assert!(Tone::new(format, &[], -6.0).is_err());
        assert!(Tone::new(format, &[440.0], 1.0).is_err());
    }

    #[test]
    fn silence_is_silent_and_endless() {
        let mut source = Silence::new(AudioFormat::new(8_000, 1));
        let mut pcm = [1; 160];
        assert_eq!(source.read(&mut pcm), 160);
        assert_eq!(pcm, [0; 160]);
        assert!(!source.finished());
        assert_eq!(source.available(), None);
        assert_eq!(Null::new(AudioFormat::new(8_000, 1)).queued(), None);
    }
}
