//! Plays sound a little faster or slower without changing its pitch: whole periods are taken out
//! or put in where the sound resembles itself, joined by an overlap-add (the idea of WSOLA).

use super::pitch;

/// Correlation that makes a cut inaudible.
const GOOD: f32 = 0.88;
/// What will do when the delay must change soon.
const FAIR: f32 = 0.6;
/// Mean square below which anything may be cut: about −57 dBFS.
const SILENCE: f32 = 2_000.0;
/// Length of the join in ms.
const JOIN_MS: f32 = 4.0;

/// Takes one period out of the unread part `pcm[read..]`. Returns the frames taken out; 0 when the
/// sound does not lend itself to it.
pub(super) fn accelerate(
    pcm: &mut Vec<i16>,
    read: usize,
    channels: usize,
    rate: u32,
    hurry: bool,
) -> usize {
    let unread = (pcm.len() - read) / channels;
    let join = pitch::frames(rate, JOIN_MS);
    let Some(lag) = choose(pcm, channels, rate, unread.saturating_sub(join), hurry) else {
        return 0;
    };
    if lag + join > unread {
        return 0;
    }
    // a: from `at` on, goes over into b: from `at + lag` on. The join lies at the end of what is
    // unread, where the search has looked.
    let at = pcm.len() - (lag + join) * channels;
    let (a, b) = pcm.split_at_mut(at + lag * channels);
    pitch::cross_fade(&a[at..], &mut b[..join * channels], channels);
    pcm.drain(at..at + lag * channels);
    lag
}

/// Puts one period into the unread part `pcm[read..]`. Returns the frames put in; 0 when the sound
/// does not lend itself to it.
pub(super) fn expand(
    pcm: &mut Vec<i16>,
    read: usize,
    channels: usize,
    rate: u32,
    hurry: bool,
) -> usize {
    let unread = (pcm.len() - read) / channels;
    let join = pitch::frames(rate, JOIN_MS);
    if unread < join {
        return 0;
    }
    let Some(lag) = choose(pcm, channels, rate, usize::MAX, hurry) else { return 0 };
    let total = pcm.len() / channels;
    if lag + join > total || join > lag {
        return 0;
    }
    // The last `lag` frames are played twice; the join lies before the second time: the sound that
    // would follow the first time is unknown, so it goes from the end of the first run into the
    // second run over its last `join` frames.
    let end = pcm.len();
    let period = lag * channels;
    let join_samples = join * channels;
    pcm.extend_from_within(end - period..end);
    // Before: … P P', where P ends like the frames before P' began. Blend the end of P into the
    // frames that lead up to P'.
    let lead = end - period - join_samples;
    let (head, tail) = pcm.split_at_mut(end - join_samples);
    let scale = 1.0 / (join + 1) as f32;
    for i in 0..join_samples {
        let w = (i / channels + 1) as f32 * scale;
        let from = f32::from(tail[i]);
        tail[i] = (from * (1.0 - w) + f32::from(head[lead + i]) * w) as i16;
    }
    lag
}

fn choose(pcm: &[i16], channels: usize, rate: u32, limit: usize, hurry: bool) -> Option<usize> {
    let found = pitch::find(pcm, channels, rate, limit)?;
    let wanted = if hurry { FAIR } else { GOOD };
    (found.correlation >= wanted || found.energy < SILENCE).then_some(found.lag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::strongest_tone;
    use std::f32::consts::TAU;

    fn sine(hz: f32, rate: u32, n: usize) -> Vec<i16> {
        (0..n).map(|i| (8000.0 * (TAU * hz * i as f32 / rate as f32).sin()) as i16).collect()
    }

    // Feeds 20 ms blocks and stretches each of them.
    fn run(hz: f32, rate: u32, faster: bool) -> (Vec<i16>, i64) {
        let block = rate as usize / 50;
        let all = sine(hz, rate, block * 60);
        let mut pcm = Vec::new();
        let mut changed = 0i64;
        for (i, b) in all.chunks(block).enumerate() {
            let read = pcm.len();
            pcm.extend_from_slice(b);
            if i > 3 {
                changed += if faster {
                    -(accelerate(&mut pcm, read, 1, rate, false) as i64)
                } else {
                    expand(&mut pcm, read, 1, rate, false) as i64
                };
            }
        }
        assert_eq!(pcm.len() as i64, all.len() as i64 + changed);
        (pcm, changed)
    }

    #[test]
    fn tones_get_shorter_and_longer_but_keep_their_pitch() {
        for rate in [8_000, 16_000, 48_000] {
            for hz in [150.0, 440.0, 1000.0] {
                for faster in [true, false] {
                    let (pcm, changed) = run(hz, rate, faster);
                    let share = changed as f32 / (rate as f32 * 1.2);
                    assert!(share.abs() > 0.1, "{rate} {hz} {faster}: {share}");
                    let tone = strongest_tone(&pcm[rate as usize / 10..], rate).unwrap();
                    let off = (tone.frequency / f64::from(hz) - 1.0).abs();
                    assert!(off < 0.01, "{rate} {hz} {faster} {tone:?}");
                    assert!(tone.purity > 0.85, "{rate} {hz} {faster} {tone:?}");
                }
            }
        }
    }

    #[test]
    fn noise_is_left_alone_unless_it_is_quiet() {
        let mut rng = tiny_sak::Rng::from_seed(1);
        let noise: Vec<i16> = (0..2000).map(|_| rng.u32() as i16).collect();
        let mut pcm = noise.clone();
        assert_eq!(accelerate(&mut pcm, 1600, 1, 8_000, false), 0);
        assert_eq!(expand(&mut pcm, 1600, 1, 8_000, false), 0);
        assert_eq!(pcm, noise);
        let mut pcm: Vec<i16> = noise.iter().map(|s| s / 1000).collect();
        assert!(accelerate(&mut pcm, 1600, 1, 8_000, false) > 0);
        assert!(expand(&mut pcm, 1600, 1, 8_000, false) > 0);
    }
}
