//! Tones: measuring them (Goertzel's algorithm) and making those of DTMF (ITU-T Q.23, Q.24).
//! Nothing here detects DTMF in sound; see `docs/quality.md`.

use crate::plugin::AudioFormat;
use std::f64::consts::TAU;

/// The power of one frequency in a block, as the RMS level in dBFS of a sine of that frequency
/// (a full-scale sine reads −3.01). Goertzel's algorithm under a Hann window.
pub fn tone_level_db(pcm: &[i16], rate: u32, frequency: f64) -> f64 {
    let n = pcm.len();
    if n < 2 {
        return crate::Level::FLOOR_DB;
    }
    let coefficient = 2.0 * (TAU * frequency / f64::from(rate)).cos();
    let (mut s1, mut s2) = (0.0f64, 0.0f64);
    for (i, x) in pcm.iter().enumerate() {
        let window = 0.5 - 0.5 * (TAU * i as f64 / n as f64).cos();
        let s = f64::from(*x) / 32_768.0 * window + coefficient * s1 - s2;
        (s2, s1) = (s1, s);
    }
    let power = (s1 * s1 + s2 * s2 - coefficient * s1 * s2).max(0.0);
    // |X| = amplitude · n/2 · 1/2 (the window's mean).
    let amplitude = power.sqrt() * 4.0 / n as f64;
    let mean_square = amplitude * amplitude / 2.0;
    if mean_square <= 0.0 {
        return crate::Level::FLOOR_DB;
    }
    (10.0 * mean_square.log10()).max(crate::Level::FLOOR_DB)
}

/// A tone found in sound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tone {
    /// Its frequency in Hz.
    pub frequency: f64,
    /// Its level in dBFS RMS.
    pub level_db: f64,
    /// Its share of the power of the whole block, 0.0 to 1.0: near 1.0 for a clean tone.
    pub purity: f64,
}

/// The strongest tone between 50 Hz and 0.45 of the rate in a block of mono sound; `None` when the
/// block is silent or shorter than 20 ms. A coarse scan with Goertzel's algorithm, then a search
/// for the maximum: within 0.1 % for a clean tone of 100 ms or more. For tests and tools: it costs
/// far too much for a packet path.
pub fn strongest_tone(pcm: &[i16], rate: u32) -> Option<Tone> {
    let block = &pcm[..pcm.len().min(rate as usize / 2)];
    if block.len() < rate as usize / 50 {
        return None;
    }
    let total_db = crate::level::rms_db(block);
    if total_db <= crate::Level::FLOOR_DB + 6.0 {
        return None;
    }
    // A coarse scan over a short piece, then closer searches over longer and longer ones: the main
    // lobe of the window is four bins wide, so each search starts within the lobe of the next.
    let high = f64::from(rate) * 0.45;
    let mut length = block.len().min(1024);
    let bin = f64::from(rate) / length as f64;
    let mut best = (50.0, f64::MIN);
    let mut f = 50.0;
    while f < high {
        let db = tone_level_db(&block[..length], rate, f);
        if db > best.1 {
            best = (f, db);
        }
        f += bin;
    }
    let mut frequency = best.0;
    let mut reach = bin;
    loop {
        let level = |f: f64| tone_level_db(&block[..length], rate, f);
        let (mut low, mut high) = (frequency - reach, frequency + reach);
        for _ in 0..16 {
            let (a, b) = (low + (high - low) / 3.0, high - (high - low) / 3.0);
            if level(a) < level(b) { low = a } else { high = b }
        }
        frequency = (low + high) / 2.0;
        if length == block.len() {
            break;
        }
        length = (length * 2).min(block.len());
        reach = f64::from(rate) / length as f64;
    }
    let level_db = tone_level_db(block, rate, frequency);
    let purity = 10f64.powf((level_db - total_db) / 10.0).min(1.0);
    Some(Tone { frequency, level_db, purity })
}

/// The two frequencies of a digit in Hz (ITU-T Q.23); `None` for what is no digit.
pub fn dtmf_frequencies(digit: char) -> Option<(f64, f64)> {
    const LOW: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
    const HIGH: [f64; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
    const KEYS: [[char; 4]; 4] =
        [['1', '2', '3', 'A'], ['4', '5', '6', 'B'], ['7', '8', '9', 'C'], ['*', '0', '#', 'D']];
    let digit = digit.to_ascii_uppercase();
    KEYS.iter().enumerate().find_map(|(row, keys)| {
        keys.iter().position(|k| *k == digit).map(|column| (LOW[row], HIGH[column]))
    })
}

/// Makes the sound of one digit after the other: two tones, the higher one 2 dB stronger, with
/// ramps of 2 ms so that nothing clicks.
#[derive(Debug, Clone)]
pub struct DtmfGenerator {
    rate: f64,
    // Phases and their steps, in turns.
    phase: [f64; 2],
    step: [f64; 2],
    // Frames of the digit in all and already made.
    length: usize,
    made: usize,
}

impl DtmfGenerator {
    /// −9 dBFS RMS for the high tone and −11 for the low one: loud, and no clipping.
    const AMPLITUDE: [f64; 2] = [13_060.0, 16_440.0];

    /// A silent generator for a rate in Hz.
    pub fn new(rate: u32) -> Self {
        Self { rate: f64::from(rate.max(1)), phase: [0.0; 2], step: [0.0; 2], length: 0, made: 0 }
    }

    /// Begins a digit. False when it is none.
    pub fn start(&mut self, digit: char, duration_ms: u32) -> bool {
        let Some((low, high)) = dtmf_frequencies(digit) else { return false };
        self.phase = [0.0; 2];
        self.step = [low / self.rate, high / self.rate];
        self.length = (self.rate * f64::from(duration_ms) / 1000.0) as usize;
        self.made = 0;
        true
    }

    /// True while there is sound to come.
    pub fn is_active(&self) -> bool {
        self.made < self.length
    }

    /// Replaces sound by the digit, on all channels, for as long as it lasts. Returns the frames
    /// replaced; the rest is left as it was.
    pub fn write(&mut self, format: AudioFormat, pcm: &mut [i16]) -> usize {
        let channels = usize::from(format.channels.max(1));
        let ramp = (self.rate * 0.002).max(1.0);
        let mut frames = 0;
        for frame in pcm.chunks_exact_mut(channels) {
            if !self.is_active() {
                break;
            }
            let edge = self.made.min(self.length - 1 - self.made) as f64;
            let gain = (edge / ramp).min(1.0);
            let mut sum = 0.0;
            for tone in 0..2 {
                sum += (self.phase[tone] * TAU).sin() * Self::AMPLITUDE[tone];
                self.phase[tone] = (self.phase[tone] + self.step[tone]).fract();
            }
            frame.fill((sum * gain) as i16);
            self.made += 1;
            frames += 1;
        }
        frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(rate: u32, frequency: f64, amplitude: f64, ms: u32) -> Vec<i16> {
        (0..rate * ms / 1000)
            .map(|i| (amplitude * (TAU * frequency * f64::from(i) / f64::from(rate)).sin()) as i16)
            .collect()
    }

    #[test]
    fn a_tone_is_measured_in_frequency_and_level() {
        for (rate, f) in [(8000, 440.0), (8000, 3111.0), (16_000, 997.3), (48_000, 60.0)] {
            let tone = strongest_tone(&sine(rate, f, 3276.7, 400), rate).unwrap();
            assert!((tone.frequency / f - 1.0).abs() < 0.001, "{rate} {f} {tone:?}");
            assert!((tone.level_db + 23.01).abs() < 0.2, "{tone:?}");
            assert!(tone.purity > 0.95, "{tone:?}");
        }
    }

    #[test]
    fn silence_and_scraps_hold_no_tone() {
        assert_eq!(strongest_tone(&[0; 8000], 8000), None);
        assert_eq!(strongest_tone(&[1000; 100], 8000), None);
        assert_eq!(tone_level_db(&[], 8000, 440.0), crate::Level::FLOOR_DB);
    }

    #[test]
    fn every_digit_has_its_two_tones_and_no_third() {
        for digit in "0123456789*#ABCD".chars() {
            let (low, high) = dtmf_frequencies(digit).unwrap();
            for rate in [8000, 16_000, 48_000] {
                let mut g = DtmfGenerator::new(rate);
                assert!(g.start(digit, 100));
                let mut pcm = vec![0; rate as usize / 5];
                assert_eq!(g.write(AudioFormat::new(rate, 1), &mut pcm), rate as usize / 10);
                assert!(!g.is_active());
                let pcm = &pcm[..rate as usize / 10];
                assert!((tone_level_db(pcm, rate, high) + 9.0).abs() < 1.0, "{digit}");
                assert!((tone_level_db(pcm, rate, low) + 11.0).abs() < 1.0, "{digit}");
                assert!(tone_level_db(pcm, rate, 600.0) < -45.0);
            }
        }
        assert!(!DtmfGenerator::new(8000).start('x', 100));
    }

    #[test]
    fn a_digit_in_stereo_sounds_on_both_sides_over_several_blocks() {
        let format = AudioFormat::new(8000, 2);
        let mut g = DtmfGenerator::new(8000);
        g.start('5', 50);
        let mut frames = 0;
        for _ in 0..4 {
            let mut block = [1i16; 320];
            let n = g.write(format, &mut block);
            assert!(block[..n * 2].chunks(2).all(|f| f[0] == f[1]));
            assert!(block[n * 2..].iter().all(|s| *s == 1));
            frames += n;
        }
        assert_eq!(frames, 400);
    }
}
