//! Finds the period of voiced sound, and joins pieces of sound that are a period apart: the common
//! ground of concealment and time-stretching. Interleaved input; nothing is allocated.

/// The lags that are tried, in ms: 400 Hz down to 67 Hz, and a few periods of higher tones.
const MIN_LAG_MS: f32 = 2.5;
const MAX_LAG_MS: f32 = 15.0;
/// Sound compared at a lag, in ms.
const WINDOW_MS: f32 = 7.5;
/// Rate of the coarse search in Hz.
const COARSE_RATE: usize = 4_000;
/// Peaks of the coarse search that are looked at closely.
const CANDIDATES: usize = 4;
/// Room for (15 + 7.5) ms at the coarse rate, and some more for odd rates.
const COARSE_MAX: usize = 128;

/// A period.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pitch {
    /// In frames.
    pub(super) lag: usize,
    /// Normalized correlation, −1.0 to 1.0.
    pub(super) correlation: f32,
    /// Mean square of the window compared, full scale = 32768².
    pub(super) energy: f32,
}

/// Frames in a span of ms.
pub(super) fn frames(rate: u32, ms: f32) -> usize {
    (rate as f32 * ms / 1000.0) as usize
}

/// The longest lag that is tried.
pub(super) fn max_lag(rate: u32) -> usize {
    frames(rate, MAX_LAG_MS)
}

/// Frames that [`find`] looks at when it may try every lag.
#[cfg(test)]
pub(super) fn reach(rate: u32) -> usize {
    frames(rate, MAX_LAG_MS + WINDOW_MS) + rate as usize / COARSE_RATE + 1
}

/// The best period at the end of `pcm`, no longer than `limit` frames. `None` when there is too
/// little sound to look at.
pub(super) fn find(pcm: &[i16], channels: usize, rate: u32, limit: usize) -> Option<Pitch> {
    let total = pcm.len() / channels;
    let step = (rate as usize / COARSE_RATE).max(1);
    let window = frames(rate, WINDOW_MS);
    let low = frames(rate, MIN_LAG_MS).max(2);
    let high = max_lag(rate).min(limit).min(total.saturating_sub(window + step));
    if high < low || window < step {
        return None;
    }
    // The coarse signal, newest sample last.
    let mut coarse = [0f32; COARSE_MAX];
    let count = ((high + window) / step).min(COARSE_MAX);
    let start = (total - count * step) * channels;
    for (out, group) in coarse.iter_mut().zip(pcm[start..].chunks_exact(step * channels)) {
        *out = group.iter().map(|s| f32::from(*s)).sum::<f32>();
    }
    let coarse = &coarse[..count];
    let (w, lo, hi) = (window / step, (low / step).max(1), high / step);
    // The best few peaks: a whole number of periods may fall between the steps of the coarse rate,
    // and then another multiple fits better.
    let mut peaks = [(f32::MIN, lo); CANDIDATES];
    let (mut before, mut previous) = (f32::MIN, f32::MIN);
    for lag in lo..=hi + 1 {
        let c = if lag <= hi && w + lag <= count {
            coarse_correlation(coarse, w, lag)
        } else {
            f32::MIN
        };
        if previous > before
            && previous >= c
            && let Some(at) = peaks.iter().position(|p| previous > p.0)
        {
            peaks[at..].rotate_right(1);
            peaks[at] = (previous, lag - 1);
        }
        (before, previous) = (previous, c);
    }
    // Every lag near a coarse peak, at the full rate.
    let mut best = Pitch { lag: high, correlation: f32::MIN, energy: 0.0 };
    for (_, lag) in peaks.iter().filter(|p| p.0 > f32::MIN) {
        let centre = lag * step;
        for lag in centre.saturating_sub(step).max(low)..=(centre + step).min(high) {
            let (c, energy) = correlate(pcm, channels, total, window, lag);
            if c > best.correlation {
                best = Pitch { lag, correlation: c, energy };
            }
        }
    }
    (best.correlation > f32::MIN).then_some(best)
}

fn coarse_correlation(x: &[f32], window: usize, lag: usize) -> f32 {
    let recent = &x[x.len() - window..];
    let past = &x[x.len() - window - lag..x.len() - lag];
    let (mut xy, mut xx, mut yy) = (0f32, 0f32, 0f32);
    for (a, b) in recent.iter().zip(past) {
        xy += a * b;
        xx += a * a;
        yy += b * b;
    }
    xy / (xx * yy).sqrt().max(1.0)
}

// Correlation of the last `window` frames with those `lag` earlier, and their mean square.
fn correlate(pcm: &[i16], channels: usize, total: usize, window: usize, lag: usize) -> (f32, f32) {
    let recent = &pcm[(total - window) * channels..total * channels];
    let past = &pcm[(total - window - lag) * channels..(total - lag) * channels];
    let (mut xy, mut xx, mut yy) = (0f32, 0f32, 0f32);
    for (a, b) in recent.iter().zip(past) {
        let (a, b) = (f32::from(*a), f32::from(*b));
        xy += a * b;
        xx += a * a;
        yy += b * b;
    }
    (xy / (xx * yy).sqrt().max(1.0), xx / recent.len().max(1) as f32)
}

/// Fades `from` into `to` in place over all of `to`: the first frame is almost all `from`.
pub(super) fn cross_fade(from: &[i16], to: &mut [i16], channels: usize) {
    let n = from.len().min(to.len()) / channels;
    let scale = 1.0 / (n + 1) as f32;
    for i in 0..n * channels {
        let w = (i / channels + 1) as f32 * scale;
        to[i] = (f32::from(from[i]) * (1.0 - w) + f32::from(to[i]) * w) as i16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f32::consts::TAU;

    #[test]
    fn the_period_of_a_buzz_is_found_at_every_rate() {
        for rate in [8_000u32, 16_000, 44_100, 48_000] {
            for hz in [70.0f32, 110.0, 180.0, 310.0] {
                let pcm: Vec<i16> = (0..reach(rate) + 10)
                    .map(|i| {
                        let t = i as f32 / rate as f32 * hz;
                        let s = (TAU * t).sin() + 0.7 * (TAU * 2.0 * t).sin();
                        (6000.0 * s) as i16
                    })
                    .collect();
                let p = find(&pcm, 1, rate, usize::MAX).unwrap();
                let periods = p.lag as f32 * hz / rate as f32;
                assert!((periods - periods.round()).abs() < 0.05, "{rate} {hz} {p:?}");
                assert!(periods.round() >= 1.0 && p.correlation > 0.97, "{rate} {hz} {p:?}");
            }
        }
    }

    #[test]
    fn too_little_sound_has_no_period() {
        assert_eq!(find(&[0; 40], 1, 8_000, usize::MAX), None);
        assert_eq!(find(&[], 2, 48_000, usize::MAX), None);
        assert_eq!(find(&[0; 400], 1, 8_000, 3), None);
    }

    #[test]
    fn a_cross_fade_begins_with_one_and_ends_with_the_other() {
        let mut to = [1000i16; 99];
        cross_fade(&[-1000; 99], &mut to, 1);
        assert!(to[0] < -970 && to[98] > 970 && to[49].abs() < 20);
    }
}
