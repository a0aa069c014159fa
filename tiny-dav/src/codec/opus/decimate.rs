//! Takes the rate of PCM down by a whole factor, for narrow-band and medium-band encoding: the engine
//! codes those only from input of their own rate.

use std::f64::consts::PI;

/// Taps a phase: the pass band ends at 90 % of the new band, aliases are 60 dB down.
const TAPS_PER_PHASE: usize = 40;

/// A low-pass filter that keeps every `factor`th frame.
pub(super) struct Decimator {
    factor: usize,
    channels: usize,
    taps: Vec<f32>,
    /// The newest samples of earlier blocks, then the current block.
    line: Vec<i16>,
}

impl Decimator {
    pub(super) fn new(factor: usize, channels: usize) -> Self {
        let length = TAPS_PER_PHASE * factor;
        let middle = (length - 1) as f64 / 2.0;
        // The middle of the transition, a little under the new Nyquist frequency.
        let cutoff = 0.95 / factor as f64;
        let taps = (0..length).map(|n| {
            let x = n as f64 - middle;
            let sinc = if x == 0.0 { cutoff } else { (PI * cutoff * x).sin() / (PI * x) };
            // Blackman: side lobes fall fast, at the price of a wider transition.
            let turn = 2.0 * PI * n as f64 / (length - 1) as f64;
            sinc * (0.42 - 0.5 * turn.cos() + 0.08 * (2.0 * turn).cos())
        });
        let taps: Vec<f64> = taps.collect();
        let sum: f64 = taps.iter().sum();
        let taps: Vec<f32> = taps.iter().map(|t| (t / sum) as f32).collect();
        let line = vec![0; (length - factor) * channels];
        Self { factor, channels, taps, line }
    }

    /// Appends the block at the lower rate. It holds a whole multiple of the factor in frames.
    pub(super) fn run(&mut self, pcm: &[i16], out: &mut Vec<i16>) {
        let (channels, step) = (self.channels, self.factor * self.channels);
        let history = self.line.len();
        self.line.extend_from_slice(pcm);
        let window = self.taps.len() * channels;
        for start in (0..pcm.len()).step_by(step) {
            let window = &self.line[start..start + window];
            for channel in 0..channels {
                let frames = window.chunks_exact(channels);
                let sum: f32 =
                    frames.zip(&self.taps).map(|(f, tap)| f32::from(f[channel]) * tap).sum();
                out.push(sum.round() as i16);
            }
        }
        let used = self.line.len() - history;
        self.line.copy_within(used.., 0);
        self.line.truncate(history);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{level_db, sine, tone_db};
    use super::*;

    fn run(factor: usize, channels: u16, hz: f64) -> Vec<i16> {
        let said = sine(48_000, channels, hz, -6.0, 48_000);
        let mut decimator = Decimator::new(factor, usize::from(channels));
        let mut heard = Vec::new();
        said.chunks(480 * usize::from(channels)).for_each(|b| decimator.run(b, &mut heard));
        assert_eq!(heard.len() * factor, said.len());
        heard.split_off(1_000)
    }

    #[test]
    fn the_band_passes_and_aliases_do_not() {
        for (factor, rate) in [(6, 8_000), (4, 12_000)] {
            let nyquist = f64::from(rate) / 2.0;
            for hz in [100.0, 1_000.0, 0.85 * nyquist] {
                let level = tone_db(&run(factor, 1, hz), rate, hz);
                assert!((level + 6.0).abs() < 0.3, "{hz} Hz at {rate}: {level:.2} dB");
            }
            for hz in [1.1 * nyquist, 1.9 * nyquist, 15_000.0] {
                let level = level_db(&run(factor, 1, hz));
                assert!(level < -56.0, "{hz} Hz at {rate}: {level:.1} dB");
            }
        }
    }

    #[test]
    fn channels_stay_apart() {
        let mut said = sine(48_000, 2, 1_000.0, -6.0, 4_800);
        said.chunks_exact_mut(2).for_each(|f| f[1] = 0);
        let mut heard = Vec::new();
        Decimator::new(6, 2).run(&said, &mut heard);
        assert_eq!(heard.len(), 1_600);
        assert!(heard.iter().skip(1).step_by(2).all(|s| *s == 0));
    }
}
