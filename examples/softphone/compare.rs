//! Whether what was heard is what was said.
//!
//! Both are brought to 8 kHz and turned into log band energies every 10 ms. The delay is the lag at
//! which these patterns agree best; the score is how well each second of speech agrees there, with
//! its own small shift, since a jitter buffer stretches time. Per-band means are taken out, so that
//! neither a codec's colour nor its level counts, but another sentence does not match.

/// Mono sound.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sound {
    /// Hz.
    pub(crate) rate: u32,
    pub(crate) samples: Vec<f32>,
}

/// How well they match.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Match {
    /// Where in the heard sound the reference begins, in seconds.
    pub(crate) delay_s: f64,
    /// 1: the same pattern; about 0: another sound.
    pub(crate) score: f64,
    /// The weakest second of speech.
    pub(crate) worst: f64,
    /// How much louder it was heard than said, in dB.
    pub(crate) gain_db: f64,
}

impl Match {
    /// Measured on real codecs: the same speech scores above 0.9, other speech below 0.5.
    pub(crate) const ENOUGH: f64 = 0.8;

    /// Whether it is the same speech, whole and about as loud.
    pub(crate) fn holds(&self) -> bool {
        self.score >= Self::ENOUGH && self.worst >= 0.5 && self.gain_db.abs() <= 6.0
    }
}

const RATE: u32 = 8000;
const WINDOW: usize = 256;
const HOP: usize = 80;
const BANDS: usize = 16;
/// Features a second.
const FEATURES: f64 = RATE as f64 / HOP as f64;
/// One second, the piece that is scored for itself.
const PIECE: usize = 100;
/// How far a piece may have moved against the whole: 100 ms.
const SHIFT: isize = 10;
/// What lies this much below the loudest is silence.
const FLOOR_DB: f32 = 45.0;

type Feature = [f32; BANDS];

/// Finds `said` in `heard`.
///
/// # Errors
/// A sentence when one of them holds too little sound to compare.
pub(crate) fn compare(said: &Sound, heard: &Sound) -> Result<Match, String> {
    let (said, heard) = (resample(said, RATE), resample(heard, RATE));
    let (a, b) = (features(&said), features(&heard));
    if a.len() < PIECE / 2 {
        return Err("what was said is shorter than half a second".into());
    }
    if b.len() < a.len() / 2 {
        let (x, y) = (a.len() as f64 / FEATURES, b.len() as f64 / FEATURES);
        return Err(format!("only {y:.1} s were heard of {x:.1} s"));
    }
    let last = b.len() as isize - (a.len() / 2) as isize;
    let first = -((a.len() / 2) as isize);
    let mut lag = 0;
    let mut best = f64::MIN;
    for candidate in first..=last {
        let score = agreement(&a, &b, candidate).0;
        if score > best {
            (best, lag) = (score, candidate);
        }
    }
    let (mut sum, mut weights, mut worst) = (0.0, 0.0, 1.0_f64);
    let mut loudest = 0.0_f64;
    let mut pieces = Vec::new();
    for start in (0..a.len()).step_by(PIECE) {
        let piece = &a[start..(start + PIECE).min(a.len())];
        if piece.len() < PIECE / 2 {
            continue;
        }
        let around = (-SHIFT..=SHIFT).map(|s| agreement(piece, &b, lag + start as isize + s));
        let (score, weight) = around.fold((f64::MIN, 0.0), |x, y| if y.0 > x.0 { y } else { x });
        loudest = loudest.max(weight);
        pieces.push((score.max(0.0), weight));
    }
    // Pauses weigh little and cannot be the worst piece.
    for (score, weight) in pieces {
        sum += score * weight;
        weights += weight;
        if weight > loudest * 0.25 {
            worst = worst.min(score);
        }
    }
    if weights <= 0.0 {
        return Err("what was said is silence".into());
    }
    let gain_db = gain(&said, &heard, lag * HOP as isize);
    Ok(Match { delay_s: lag as f64 / FEATURES, score: sum / weights, worst, gain_db })
}

/// Pearson's correlation of two patterns, per-band means taken out; and how much pattern there is
/// in `a`. What lies outside of `b` counts as silence.
fn agreement(a: &[Feature], b: &[Feature], lag: isize) -> (f64, f64) {
    let silence = [-FLOOR_DB; BANDS];
    let at = |i: usize| usize::try_from(i as isize + lag).ok().and_then(|i| b.get(i));
    let [mut sx, mut sy, mut sxy, mut sxx, mut syy] = [[0.0_f64; BANDS]; 5];
    // Band by band side by side: the compiler makes vectors of it.
    for (i, x) in a.iter().enumerate() {
        let y = at(i).unwrap_or(&silence);
        for band in 0..BANDS {
            let (x, y) = (f64::from(x[band]), f64::from(y[band]));
            sx[band] += x;
            sy[band] += y;
            sxy[band] += x * y;
            sxx[band] += x * x;
            syy[band] += y * y;
        }
    }
    let n = a.len() as f64;
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for band in 0..BANDS {
        let (x, y) = (sx[band], sy[band]);
        xy += sxy[band] - x * y / n;
        xx += sxx[band] - x * x / n;
        yy += syy[band] - y * y / n;
    }
    // What hardly moves has no pattern, only rounding.
    let moving = xx > n * 0.01 && yy > n * 0.01;
    (if moving { xy / (xx * yy).sqrt() } else { 0.0 }, xx)
}

/// The power of what was heard over what was said, where they overlap.
fn gain(said: &[f32], heard: &[f32], lag: isize) -> f64 {
    let (mut x, mut y) = (1e-12, 1e-12);
    for (i, sample) in said.iter().enumerate() {
        let other =
            usize::try_from(i as isize + lag).ok().and_then(|i| heard.get(i)).unwrap_or(&0.0);
        x += f64::from(sample * sample);
        y += f64::from(other * other);
    }
    10.0 * (y / x).log10()
}

/// Log energies of mel bands from 150 to 3600 Hz, in dB below the loudest.
fn features(samples: &[f32]) -> Vec<Feature> {
    let mel = |hz: f32| 2595.0 * (1.0 + hz / 700.0).log10();
    let (low, high) = (mel(150.0), mel(3600.0));
    let band_of = |bin: usize| {
        let m = mel(bin as f32 * RATE as f32 / WINDOW as f32);
        let band = (m - low) / (high - low) * BANDS as f32;
        (0.0..BANDS as f32).contains(&band).then_some(band as usize)
    };
    let bands: Vec<Option<usize>> = (0..WINDOW / 2).map(band_of).collect();
    let window: Vec<f32> = (0..WINDOW)
        .map(|i| 0.5 - 0.5 * (std::f32::consts::TAU * i as f32 / WINDOW as f32).cos())
        .collect();
    let mut all: Vec<Feature> = Vec::with_capacity(samples.len() / HOP);
    let mut loudest = f32::MIN;
    for block in samples.windows(WINDOW).step_by(HOP) {
        let mut re: Vec<f32> = block.iter().zip(&window).map(|(s, w)| s * w).collect();
        let mut im = vec![0.0; WINDOW];
        fft(&mut re, &mut im);
        let mut feature = [1e-9; BANDS];
        for (bin, band) in bands.iter().enumerate() {
            if let Some(band) = band {
                feature[*band] += re[bin] * re[bin] + im[bin] * im[bin];
            }
        }
        for value in &mut feature {
            *value = 10.0 * value.log10();
            loudest = loudest.max(*value);
        }
        all.push(feature);
    }
    for value in all.iter_mut().flatten() {
        *value = (*value - loudest).max(-FLOOR_DB);
    }
    all
}

/// In-place radix-2 transform; the length is a power of two.
fn fft(re: &mut [f32], im: &mut [f32]) {
    let n = re.len();
    let bits = n.trailing_zeros();
    for i in 0..n {
        let j = i.reverse_bits() >> (usize::BITS - bits);
        if i < j {
            re.swap(i, j);
            im.swap(i, j);
        }
    }
    let mut half = 1;
    while half < n {
        for k in 0..half {
            let (s, c) = (-std::f32::consts::PI * k as f32 / half as f32).sin_cos();
            for i in (k..n).step_by(2 * half) {
                let (tr, ti) =
                    (re[i + half] * c - im[i + half] * s, re[i + half] * s + im[i + half] * c);
                (re[i + half], im[i + half]) = (re[i] - tr, im[i] - ti);
                (re[i], im[i]) = (re[i] + tr, im[i] + ti);
            }
        }
        half *= 2;
    }
}

/// Windowed-sinc interpolation, with the taps of each phase computed once.
fn resample(sound: &Sound, rate: u32) -> Vec<f32> {
    const CROSSINGS: f64 = 16.0;
    if sound.rate == rate || sound.rate == 0 {
        return sound.samples.clone();
    }
    let common = gcd(sound.rate, rate);
    let (up, down) = ((rate / common) as usize, (sound.rate / common) as usize);
    let step = down as f64 / up as f64;
    // The cut-off, in parts of the input rate's half.
    let cut = (1.0 / step).min(1.0) * 0.92;
    let reach = (CROSSINGS / cut).ceil();
    let tap = |t: f64| {
        let x = std::f64::consts::PI * t * cut;
        let sinc = if x.abs() < 1e-9 { 1.0 } else { x.sin() / x };
        (sinc * (0.5 + 0.5 * (std::f64::consts::PI * t / (reach + 1.0)).cos()) * cut) as f32
    };
    let side = reach as isize;
    let phases: Vec<Vec<f32>> = (0..up)
        .map(|phase| {
            let part = (phase * down % up) as f64 / up as f64;
            (-side..=side).map(|i| tap(i as f64 - part)).collect()
        })
        .collect();
    let length = sound.samples.len() * up / down;
    (0..length)
        .map(|n| {
            let first = (n * down / up) as isize - side;
            let skip = (-first).max(0) as usize;
            let samples = sound.samples.get(first.max(0) as usize..).unwrap_or(&[]);
            let taps = &phases[n % up][skip..];
            samples.iter().zip(taps).map(|(sample, tap)| sample * tap).sum()
        })
        .collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Something like speech: pulses through moving resonances, in syllables.
    fn babble(rate: u32, seconds: f64, seed: u64) -> Sound {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f64 / f64::from(1 << 24)
        };
        let mut samples = Vec::new();
        let mut phase = 0.0;
        while (samples.len() as f64) < seconds * f64::from(rate) {
            let length = (f64::from(rate) * (0.08 + 0.2 * random())) as usize;
            let (f0, f1, f2) =
                (90.0 + 80.0 * random(), 300.0 + 500.0 * random(), 900.0 + 1500.0 * random());
            let loud = if random() < 0.2 { 0.0 } else { 0.2 + 0.8 * random() };
            for i in 0..length {
                phase += f0 / f64::from(rate);
                let t = phase.fract() / f0;
                let ring = (std::f64::consts::TAU * f1 * t).sin() * (-t * 300.0).exp()
                    + 0.5 * (std::f64::consts::TAU * f2 * t).sin() * (-t * 400.0).exp();
                let shape = (std::f64::consts::PI * i as f64 / length as f64).sin();
                samples.push((ring * shape * loud * 0.4) as f32);
            }
        }
        Sound { rate, samples }
    }

    #[test]
    fn the_same_speech_matches_through_delay_noise_and_another_rate() {
        let said = babble(48_000, 4.0, 1);
        let mut late = vec![0.0; 24_000];
        late.extend_from_slice(&said.samples);
        late.extend(vec![0.0; 48_000]);
        let mut heard = Sound {
            rate: 16_000,
            samples: resample(&Sound { rate: 48_000, samples: late }, 16_000),
        };
        for (i, s) in heard.samples.iter_mut().enumerate() {
            // As coarse as 8-bit PCM.
            *s = (*s * 100.0).round() / 100.0 + 0.002 * ((i * 7919 % 13) as f32 - 6.0) / 6.0;
        }
        let found = compare(&said, &heard).unwrap();
        assert!((found.delay_s - 0.5).abs() < 0.03, "{found:?}");
        assert!(found.score > 0.85 && found.holds(), "{found:?}");
        assert!(found.gain_db.abs() < 1.0, "{found:?}");
    }

    #[test]
    fn a_time_slip_in_the_middle_still_matches() {
        let said = babble(8000, 4.0, 2);
        let mut heard = said.clone();
        heard.samples.drain(16_000..16_480);
        let found = compare(&said, &heard).unwrap();
        assert!(found.holds(), "{found:?}");
    }

    #[test]
    fn other_speech_noise_and_half_of_it_do_not_match() {
        let said = babble(16_000, 4.0, 3);
        let other = compare(&said, &babble(16_000, 5.0, 4)).unwrap();
        assert!(other.score < 0.5 && !other.holds(), "{other:?}");
        let mut half = said.clone();
        half.samples[32_000..].fill(0.0);
        let found = compare(&said, &half).unwrap();
        assert!(found.score <= 1.0 && !found.holds(), "{found:?}");
        let mut faint = said.clone();
        faint.samples.iter_mut().for_each(|s| *s *= 0.2);
        assert!(!compare(&said, &faint).unwrap().holds());
        let silence = Sound { rate: 16_000, samples: vec![0.0; 64_000] };
        assert!(!compare(&said, &silence).unwrap().holds());
        assert!(compare(&silence, &said).is_err());
        let nothing = Sound { rate: 16_000, samples: Vec::new() };
        assert!(compare(&said, &nothing).is_err());
    }
}
