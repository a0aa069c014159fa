//! How loud sound is: RMS and peak in dBFS, with a decay that suits a meter.
//!
//! 0 dBFS RMS is a full-scale square wave, so a full-scale sine reads −3.01 dBFS RMS and 0 dBFS
//! peak. Silence reads [`Level::FLOOR_DB`].

use crate::plugin::AudioFormat;

/// A level meter: an RMS over about 300 ms and a peak that falls 20 dB a second.
#[derive(Debug, Clone)]
pub struct Level {
    // Mean square, full scale = 1.
    mean_square: f64,
    // Full scale = 1.
    peak: f64,
}

impl Default for Level {
    fn default() -> Self {
        Self::new()
    }
}

impl Level {
    /// What silence reads: below the step of 16-bit sound.
    pub const FLOOR_DB: f64 = -96.0;
    /// Time constant of the RMS in seconds.
    const RMS_SECONDS: f64 = 0.3;
    /// Decay of the peak in dB a second.
    const PEAK_FALL_DB: f64 = 20.0;

    /// A meter that reads silence.
    pub const fn new() -> Self {
        Self { mean_square: 0.0, peak: 0.0 }
    }

    /// Takes in a block of sound.
    pub fn update(&mut self, format: AudioFormat, pcm: &[i16]) {
        if pcm.is_empty() {
            return;
        }
        let (mean_square, peak) = measure(pcm);
        let seconds = format.duration(pcm.len()).as_secs_f64();
        let keep = (-seconds / Self::RMS_SECONDS).exp();
        self.mean_square = self.mean_square * keep + mean_square * (1.0 - keep);
        let fall = 10f64.powf(-Self::PEAK_FALL_DB * seconds / 20.0);
        self.peak = (self.peak * fall).max(peak);
    }

    /// The level in dBFS RMS.
    pub fn rms_db(&self) -> f64 {
        if self.mean_square <= 0.0 {
            return Self::FLOOR_DB;
        }
        (10.0 * self.mean_square.log10()).max(Self::FLOOR_DB)
    }

    /// The peak in dBFS.
    pub fn peak_db(&self) -> f64 {
        if self.peak <= 0.0 {
            return Self::FLOOR_DB;
        }
        (20.0 * self.peak.log10()).max(Self::FLOOR_DB)
    }

    /// Back to silence.
    pub fn reset(&mut self) {
        *self = Self::new();
    }
}

/// The exact RMS level of a block in dBFS.
pub fn rms_db(pcm: &[i16]) -> f64 {
    let (mean_square, _) = measure(pcm);
    if mean_square <= 0.0 {
        Level::FLOOR_DB
    } else {
        (10.0 * mean_square.log10()).max(Level::FLOOR_DB)
    }
}

// Mean square and peak, full scale = 1.
fn measure(pcm: &[i16]) -> (f64, f64) {
    const FULL: f64 = 32_768.0;
    let mut sum = 0u64;
    let mut peak = 0u16;
    for s in pcm {
        let a = s.unsigned_abs();
        peak = peak.max(a);
        sum += u64::from(a) * u64::from(a);
    }
    (sum as f64 / pcm.len().max(1) as f64 / (FULL * FULL), f64::from(peak) / FULL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    const F: AudioFormat = AudioFormat::new(16_000, 1);

    fn sine(amplitude: f64) -> Vec<i16> {
        (0..16_000).map(|i| (amplitude * (TAU * 440.0 * i as f64 / 16e3).sin()) as i16).collect()
    }

    #[test]
    fn a_full_scale_sine_reads_minus_three_rms_and_zero_peak() {
        let mut level = Level::new();
        for block in sine(32_767.0).chunks(320).cycle().take(200) {
            level.update(F, block);
        }
        assert!((level.rms_db() + 3.01).abs() < 0.1, "{}", level.rms_db());
        assert!(level.peak_db().abs() < 0.01);
        assert!((rms_db(&sine(327.67)) + 43.01).abs() < 0.1);
    }

    #[test]
    fn the_meter_falls_when_sound_stops_and_ends_at_the_floor() {
        let mut level = Level::new();
        level.update(F, &sine(32_767.0));
        let loud = (level.rms_db(), level.peak_db());
        level.update(F, &[0; 16_000]);
        assert!((loud.1 - level.peak_db() - 20.0).abs() < 0.1);
        assert!(level.rms_db() < loud.0 - 10.0);
        for _ in 0..20 {
            level.update(F, &[0; 16_000]);
        }
        assert_eq!((level.rms_db(), level.peak_db()), (Level::FLOOR_DB, Level::FLOOR_DB));
        level.update(F, &[]);
    }
}
