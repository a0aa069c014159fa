//! Measuring what is in a WAV file.

use std::path::Path;

pub(crate) struct Tone {
    pub(crate) hz: f64,
    /// Root mean square in dB below full scale.
    pub(crate) dbfs: f64,
}

/// Reads 16-bit PCM, first channel. Tolerates the length of 0 that a killed writer leaves.
pub(crate) fn read(path: &Path) -> (u32, Vec<i16>) {
    let raw = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let (mut at, mut rate, mut channels) = (12, 0u32, 1usize);
    while at + 8 <= raw.len() {
        let id = &raw[at..at + 4];
        let size = u32::from_le_bytes(raw[at + 4..at + 8].try_into().unwrap()) as usize;
        let body = &raw[at + 8..];
        if id == b"fmt " {
            channels = usize::from(u16::from_le_bytes([body[2], body[3]]));
            rate = u32::from_le_bytes(body[4..8].try_into().unwrap());
            assert_eq!(u16::from_le_bytes([body[14], body[15]]), 16, "16-bit PCM");
        } else if id == b"data" {
            let size = if size == 0 || size > body.len() { body.len() } else { size };
            let frames = body[..size].chunks_exact(2 * channels);
            return (rate, frames.map(|f| i16::from_le_bytes([f[0], f[1]])).collect());
        }
        at += 8 + size + (size & 1);
    }
    panic!("{}: no sound in it", path.display())
}

/// The strongest tone in the middle second of a recording.
pub(crate) fn tone(path: &Path) -> Tone {
    tone_at(path, 0.5)
}

/// The strongest tone in a second of a recording: 0 for the first one, 1 for the last.
pub(crate) fn tone_at(path: &Path, part: f64) -> Tone {
    let (rate, samples) = read(path);
    let second = rate as usize;
    assert!(samples.len() > second, "{}: only {} samples", path.display(), samples.len());
    let from = ((samples.len() - second) as f64 * part) as usize;
    let part = &samples[from..from + second];
    let power = part.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / part.len() as f64;
    let coarse = (200..2000).step_by(2).map(f64::from);
    let best = strongest(part, rate, coarse);
    let fine = (-40..=40).map(|d| best + f64::from(d) * 0.1);
    let hz = strongest(part, rate, fine);
    Tone { hz, dbfs: 10.0 * (power / 32768f64.powi(2)).max(1e-12).log10() }
}

fn strongest(samples: &[i16], rate: u32, candidates: impl Iterator<Item = f64>) -> f64 {
    let power = |hz: f64| {
        let w = 2.0 * (std::f64::consts::TAU * hz / f64::from(rate)).cos();
        let (mut a, mut b) = (0.0, 0.0);
        for s in samples {
            (a, b) = (f64::from(*s) + w * a - b, a);
        }
        a * a + b * b - w * a * b
    };
    candidates.map(|hz| (hz, power(hz))).max_by(|x, y| x.1.total_cmp(&y.1)).map_or(0.0, |x| x.0)
}

pub(crate) fn assert_tone(path: &Path, hz: f64, dbfs: f64) {
    let heard = tone(path);
    let shown = path.display();
    assert!((heard.hz - hz).abs() <= hz * 0.01, "{shown}: {:.1} Hz in place of {hz}", heard.hz);
    assert!((heard.dbfs - dbfs).abs() <= 3.0, "{shown}: {:.1} dBFS, not {dbfs:.1}", heard.dbfs);
}

/// When a tone was there: for each 20 ms of a recording.
pub(crate) struct Presence(Vec<bool>);

impl Presence {
    /// It counts from 25 dB under full scale on, as does what our tones are (15 dB).
    pub(crate) fn of(path: &Path, hz: f64) -> Self {
        let (rate, samples) = read(path);
        let w = std::f64::consts::TAU * hz / f64::from(rate);
        let loud = |part: &[i16]| {
            let (mut re, mut im) = (0.0, 0.0);
            for (n, s) in part.iter().enumerate() {
                re += f64::from(*s) * (w * n as f64).cos();
                im += f64::from(*s) * (w * n as f64).sin();
            }
            let amplitude = 2.0 * f64::hypot(re, im) / part.len() as f64;
            amplitude / 32768.0 > 0.08
        };
        Self(samples.chunks_exact(rate as usize / 50).map(loud).collect())
    }

    /// For how long altogether.
    pub(crate) fn seconds(&self) -> f64 {
        self.0.iter().filter(|there| **there).count() as f64 * 0.02
    }

    /// The longest time without it, between its first and its last.
    pub(crate) fn longest_gap(&self) -> f64 {
        let from = self.0.iter().position(|there| *there).unwrap_or(0);
        let to = self.0.iter().rposition(|there| *there).unwrap_or(0);
        let gaps = self.0[from..=to].split(|there| *there).map(<[bool]>::len);
        gaps.max().unwrap_or(0) as f64 * 0.02
    }
}
