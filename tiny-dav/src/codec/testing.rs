//! What the tests of every codec share: signals, round trips, measurements, hostile payloads.

use proptest::prelude::*;
use tiny_media::{AudioCodec, AudioDecoder, Encoded, Fmtp};

/// A sine of `level` dB under full scale (peak), the same in every channel.
pub(crate) fn sine(rate: u32, channels: u16, hz: f64, level: f64, frames: usize) -> Vec<i16> {
    let amplitude = 32_767.0 * 10f64.powf(level / 20.0);
    let step = std::f64::consts::TAU * hz / f64::from(rate);
    let tone = (0..frames).map(|n| (amplitude * (step * n as f64).sin()).round() as i16);
    tone.flat_map(|s| std::iter::repeat_n(s, usize::from(channels))).collect()
}

/// Noise that is the same on every run.
pub(crate) fn noise(seed: u32, amplitude: i32, samples: usize) -> Vec<i16> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (((state >> 16) as i32 - 32_768) * amplitude / 32_768) as i16
    };
    (0..samples).map(|_| next()).collect()
}

/// Encodes `said` in blocks of `block` samples and decodes it; also the bytes that were sent.
pub(crate) fn round_trip(
    codec: &dyn AudioCodec,
    remote: &str,
    local: &str,
    said: &[i16],
    block: usize,
) -> (Vec<i16>, usize) {
    let mut encoder = codec.encoder(&Fmtp(remote.into())).unwrap();
    let mut decoder = codec.decoder(&Fmtp(local.into())).unwrap();
    let (mut heard, mut bytes, mut payload) = (Vec::new(), 0, Vec::new());
    for pcm in said.chunks_exact(block) {
        payload.clear();
        assert_eq!(encoder.encode(pcm, &mut payload).unwrap(), Encoded::Packet);
        let ticks = decoder.ticks(&payload).unwrap() as usize;
        let frames = block / usize::from(codec.description().format.channels);
        let rate = codec.description().format.rate as usize;
        assert_eq!(ticks * rate, frames * codec.description().clock_rate as usize);
        decoder.decode(&payload, &mut heard).unwrap();
        bytes += payload.len();
    }
    (heard, bytes)
}

/// Signal to noise of `heard` against `said`, both aligned, in dB.
pub(crate) fn snr_db(said: &[i16], heard: &[i16]) -> f64 {
    let signal: f64 = said.iter().map(|&s| f64::from(s).powi(2)).sum();
    let noise: f64 =
        said.iter().zip(heard).map(|(&s, &h)| (f64::from(s) - f64::from(h)).powi(2)).sum();
    10.0 * (signal / noise.max(1e-9)).log10()
}

/// The best signal to noise over all delays up to `most` samples, with that delay.
pub(crate) fn aligned_snr_db(said: &[i16], heard: &[i16], most: usize) -> (f64, usize) {
    let at = |delay: usize| snr_db(&said[..said.len() - delay], &heard[delay..]);
    (0..most).map(|d| (at(d), d)).max_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
}

/// RMS level in dB under a full-scale sine.
pub(crate) fn level_db(pcm: &[i16]) -> f64 {
    let power: f64 = pcm.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / pcm.len() as f64;
    10.0 * (power.max(1e-9) / (32_767f64.powi(2) / 2.0)).log10()
}

/// Level of one frequency, in dB under a full-scale sine (a single bin of a Fourier transform).
pub(crate) fn tone_db(pcm: &[i16], rate: u32, hz: f64) -> f64 {
    let step = std::f64::consts::TAU * hz / f64::from(rate);
    let (mut re, mut im, mut weight) = (0.0, 0.0, 0.0);
    for (n, &s) in pcm.iter().enumerate() {
        // A Hann window keeps strong neighbours out.
        let w = (std::f64::consts::PI * n as f64 / pcm.len() as f64).sin().powi(2);
        re += w * f64::from(s) * (step * n as f64).cos();
        im += w * f64::from(s) * (step * n as f64).sin();
        weight += w;
    }
    20.0 * ((re.hypot(im) * 2.0 / weight).max(1e-9) / 32_767.0).log10()
}

/// Feeds one decoder a history of arbitrary payloads, losses and recoveries.
pub(crate) fn hostile_payloads(codec: &dyn AudioCodec, most_frames: usize) {
    let mut config = ProptestConfig::with_cases(64);
    config.failure_persistence = None;
    let payload = prop::collection::vec(any::<u8>(), 0..1_500);
    proptest!(config, |(payloads in prop::collection::vec(payload, 1..24))| {
        let mut decoder = codec.decoder(&Fmtp::default()).unwrap();
        for payload in &payloads {
            hostile_step(&mut *decoder, payload, codec, most_frames)?;
        }
    });
}

fn hostile_step(
    decoder: &mut dyn AudioDecoder,
    payload: &[u8],
    codec: &dyn AudioCodec,
    most_frames: usize,
) -> Result<(), TestCaseError> {
    let format = codec.description().format;
    let channels = usize::from(format.channels);
    let mut out = vec![7; 3];
    let ticks = decoder.ticks(payload);
    match decoder.decode(payload, &mut out) {
        Ok(()) => {
            let frames = (out.len() - 3) / channels;
            prop_assert!(frames <= most_frames);
            let expected = ticks.unwrap() as usize * format.rate as usize;
            prop_assert_eq!(frames * codec.description().clock_rate as usize, expected);
        }
        Err(_) => prop_assert_eq!(out.len(), 3, "an error appends nothing"),
    }
    prop_assert_eq!(&out[..3], &[7; 3]);
    for frames in [0, 1, most_frames / 10, most_frames] {
        out.clear();
        let concealed = decoder.conceal(frames, &mut out);
        prop_assert_eq!(out.len(), if concealed { frames * channels } else { 0 });
        out.clear();
        let recovered = decoder.recover(payload, frames, &mut out);
        prop_assert_eq!(out.len(), if recovered { frames * channels } else { 0 });
    }
    Ok(())
}
