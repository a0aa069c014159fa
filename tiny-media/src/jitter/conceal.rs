//! Generic concealment for codecs without their own: repeats the last period of the sound and
//! fades, in the manner of ITU-T G.711 Appendix I; fades back into real sound when it returns.

use super::pitch;

/// Full strength for so long, in ms …
const HOLD_MS: f32 = 20.0;
/// … then a linear fade that ends here, in ms.
const SILENT_MS: f32 = 100.0;
/// Fade back into real sound: this long after a short gap, in ms.
const RETURN_MS: f32 = 5.0;

/// Makes up sound.
#[derive(Debug, Default)]
pub(super) struct Concealer {
    // One period of sound, interleaved; empty when there was no sound to go by.
    period: Vec<i16>,
    // Next frame of the period.
    position: usize,
    // Frames made since the sound stopped.
    made: usize,
    active: bool,
}

impl Concealer {
    /// Whether sound is being made up.
    pub(super) fn is_active(&self) -> bool {
        self.active
    }

    /// Real sound is back, and joined.
    pub(super) fn stop(&mut self) {
        self.active = false;
    }

    /// Appends `frames` frames to `pcm`, whose end is the last sound there is.
    pub(super) fn conceal(
        &mut self,
        pcm: &mut Vec<i16>,
        channels: usize,
        rate: u32,
        frames: usize,
    ) {
        if !self.active {
            self.start(pcm, channels, rate);
        }
        self.make(channels, rate, frames, |sample| pcm.push(sample));
    }

    /// Appends silence that begins as the fading end of the sound so far: for pauses.
    pub(super) fn quiet(&mut self, pcm: &mut Vec<i16>, channels: usize, rate: u32, frames: usize) {
        if !self.active {
            self.start(pcm, channels, rate);
            // A pause fades at once.
            self.made = pitch::frames(rate, SILENT_MS - 10.0);
        }
        self.make(channels, rate, frames, |sample| pcm.push(sample));
    }

    /// Fades what was made up into the real sound that begins at `from` (a sample index).
    pub(super) fn rejoin(&mut self, pcm: &mut [i16], from: usize, channels: usize, rate: u32) {
        if !self.active {
            return;
        }
        let real = &mut pcm[from..];
        let n = pitch::frames(rate, RETURN_MS).min(real.len() / channels);
        let scale = 1.0 / (n + 1) as f32;
        let mut i = 0;
        self.make(channels, rate, n, |made| {
            let w = (i / channels + 1) as f32 * scale;
            real[i] = (f32::from(made) * (1.0 - w) + f32::from(real[i]) * w) as i16;
            i += 1;
        });
        self.active = false;
    }

    fn start(&mut self, pcm: &[i16], channels: usize, rate: u32) {
        self.active = true;
        self.made = 0;
        self.position = 0;
        self.period.clear();
        let Some(found) = pitch::find(pcm, channels, rate, usize::MAX) else { return };
        let total = pcm.len() / channels;
        // What is not periodic buzzes when a short piece of it is repeated.
        let lag =
            if found.correlation < 0.5 { pitch::max_lag(rate).min(total / 2) } else { found.lag };
        if lag == 0 {
            return;
        }
        self.period.extend_from_slice(&pcm[(total - lag) * channels..total * channels]);
        // The end of the period leads over to its beginning: it becomes what came before that.
        let join = (lag / 4).min(total - lag);
        if join > 0 {
            let before = &pcm[(total - lag - join) * channels..(total - lag) * channels];
            let end = &mut self.period[(lag - join) * channels..];
            let scale = 1.0 / (join + 1) as f32;
            for (i, (e, b)) in end.iter_mut().zip(before).enumerate() {
                let w = (i / channels + 1) as f32 * scale;
                *e = (f32::from(*e) * (1.0 - w) + f32::from(*b) * w) as i16;
            }
        }
    }

    fn make(&mut self, channels: usize, rate: u32, frames: usize, mut emit: impl FnMut(i16)) {
        let (hold, silent) = (pitch::frames(rate, HOLD_MS), pitch::frames(rate, SILENT_MS));
        let lag = self.period.len() / channels;
        for _ in 0..frames {
            let gain = if self.made < hold {
                1.0
            } else if self.made < silent {
                (silent - self.made) as f32 / (silent - hold) as f32
            } else {
                0.0
            };
            for c in 0..channels {
                let sample = self.period.get(self.position * channels + c).copied().unwrap_or(0);
                emit((f32::from(sample) * gain) as i16);
            }
            self.position = if self.position + 1 < lag { self.position + 1 } else { 0 };
            self.made += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::tone_level_db;
    use std::f32::consts::TAU;

    fn sine(hz: f32, rate: u32, n: usize) -> Vec<i16> {
        (0..n).map(|i| (8000.0 * (TAU * hz * i as f32 / rate as f32).sin()) as i16).collect()
    }

    #[test]
    fn a_lost_packet_of_a_tone_is_hardly_a_dent() {
        let mut pcm = sine(440.0, 8_000, 480);
        let mut c = Concealer::default();
        c.conceal(&mut pcm, 1, 8_000, 160);
        let at = pcm.len();
        pcm.extend(&sine(440.0, 8_000, 960)[640..960]);
        c.rejoin(&mut pcm, at, 1, 8_000);
        assert!(!c.is_active());
        let ideal = sine(440.0, 8_000, 960);
        let worst = pcm.iter().zip(&ideal).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(worst < 800, "{worst}");
    }

    #[test]
    fn a_long_gap_fades_to_silence_and_back_without_a_click() {
        let mut pcm = sine(200.0, 16_000, 1600);
        let mut c = Concealer::default();
        (0..20).for_each(|_| c.conceal(&mut pcm, 1, 16_000, 160));
        let at = pcm.len();
        assert!(pcm[at - 1600..].iter().all(|s| *s == 0));
        pcm.extend(sine(200.0, 16_000, 1680)[20..].iter());
        c.rejoin(&mut pcm, at, 1, 16_000);
        let step = pcm.windows(2).map(|w| w[0].abs_diff(w[1])).max().unwrap();
        assert!(step < 1500, "{step}");
        assert!(tone_level_db(&pcm[1600..1920], 16_000, 200.0) > -20.0);
    }

    #[test]
    fn without_any_sound_before_it_a_gap_is_silent() {
        let mut pcm = Vec::new();
        let mut c = Concealer::default();
        c.conceal(&mut pcm, 2, 48_000, 480);
        assert_eq!(pcm, vec![0; 960]);
        c.quiet(&mut pcm, 2, 48_000, 10);
        assert_eq!(pcm.len(), 980);
    }
}
