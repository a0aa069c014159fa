//! G.722: reference vectors bit by bit, quality by measurement, hostile payloads.

use super::super::testing::{aligned_snr_db, hostile_payloads, noise, round_trip, sine, tone_db};
use super::*;

fn codec() -> G722 {
    G722::new(Duration::from_millis(200))
}

/// Half a second that visits every corner: silence, a tone, full-scale noise, steps, faint noise.
fn reference_input() -> Vec<i16> {
    let mut pcm = vec![0; 320];
    pcm.extend((0..2_000).map(|n: i32| ((n * 1_021 % 4_096 - 2_048) * 9) as i16));
    pcm.extend(noise(7, 32_767, 2_000));
    pcm.extend((0..1_600).map(|n| if n / 40 % 2 == 0 { i16::MAX } else { i16::MIN }));
    pcm.extend(noise(8, 40, 1_080));
    pcm.extend((0..1_000).map(|n: i32| (n * n % 20_011 - 10_000) as i16));
    pcm
}

#[test]
fn encoder_and_decoder_equal_the_reference_bit_by_bit() {
    let codes: &[u8] = include_bytes!("../../../testdata/g722/codes.g722");
    let sound: &[u8] = include_bytes!("../../../testdata/g722/decoded.s16le");
    let input = reference_input();
    assert_eq!(input.len(), 8_000);
    let mut encoded = Vec::new();
    Encoder::new().encode(&input, &mut encoded).unwrap();
    assert!(encoded == codes, "the encoder left the reference");
    let mut decoded = Vec::new();
    // In pieces of odd lengths: blocks must not show.
    let mut decoder = Decoder::new(1_600);
    for piece in codes.chunks(97) {
        decoder.decode(piece, &mut decoded).unwrap();
    }
    let sound: Vec<i16> = sound.chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect();
    assert!(decoded == sound, "the decoder left the reference");
}

#[test]
#[ignore = "writes the input and our codes, to be compared with another G.722 by hand"]
fn dump_reference() {
    let folder = std::env::temp_dir();
    let input = reference_input();
    let (mut codes, mut decoded) = (Vec::new(), Vec::new());
    Encoder::new().encode(&input, &mut codes).unwrap();
    Decoder::new(usize::MAX).decode(&codes, &mut decoded).unwrap();
    let bytes = |pcm: &[i16]| pcm.iter().flat_map(|s| s.to_le_bytes()).collect::<Vec<_>>();
    std::fs::write(folder.join("g722-input.s16le"), bytes(&input)).unwrap();
    std::fs::write(folder.join("g722-codes.g722"), codes).unwrap();
    std::fs::write(folder.join("g722-decoded.s16le"), bytes(&decoded)).unwrap();
}

#[test]
fn tones_of_both_bands_keep_frequency_and_level() {
    for hz in [300.0, 1_000.0, 3_000.0, 5_000.0, 6_500.0] {
        let said = sine(16_000, 1, hz, -12.0, 16_000);
        let (heard, bytes) = round_trip(&codec(), "", "", &said, 320);
        assert_eq!(bytes, 8_000, "64 kbit/s");
        let level = tone_db(&heard[1_600..], 16_000, hz);
        assert!((level + 12.0).abs() < 0.5, "{hz} Hz came back at {level:.2} dB");
    }
}

#[test]
fn speech_band_noise_keeps_its_shape_after_the_filter_delay() {
    let said = sine(16_000, 1, 440.0, -10.0, 16_000);
    let (heard, _) = round_trip(&codec(), "", "", &said, 320);
    let (snr, delay) = aligned_snr_db(&said, &heard, 36);
    // Two filters of 24 taps, less one sample.
    assert_eq!(delay, 22);
    assert!(snr > 30.0, "{snr:.1} dB");
}

#[test]
fn twenty_milliseconds_are_160_octets_and_160_ticks_of_the_8_khz_clock() {
    let mut payload = Vec::new();
    let mut encoder = codec().encoder(&Fmtp::default()).unwrap();
    assert_eq!(encoder.encode(&[0; 320], &mut payload).unwrap(), Encoded::Packet);
    assert_eq!(payload.len(), 160);
    let mut decoder = codec().decoder(&Fmtp::default()).unwrap();
    assert_eq!(decoder.ticks(&payload), Some(160));
    let mut pcm = Vec::new();
    decoder.decode(&payload, &mut pcm).unwrap();
    assert_eq!(pcm.len(), 320);
}

#[test]
fn odd_blocks_and_overlong_payloads_are_refused() {
    let error = Encoder::new().encode(&[0; 3], &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "G722 block: 3 samples; it takes an even number above zero");
    let mut decoder = codec().decoder(&Fmtp::default()).unwrap();
    assert_eq!(decoder.ticks(&[0; 1_601]), None);
    assert!(decoder.decode(&[0; 1_601], &mut Vec::new()).is_err());
}

#[test]
fn no_payload_makes_the_decoder_panic() {
    hostile_payloads(&codec(), 3_200);
}

#[test]
fn the_loudest_and_wildest_input_stays_in_step() {
    // Encoder and decoder adapt alike only if no state overflows differently: what the decoder makes
    // of full-scale noise must stay near it.
    let said = noise(3, 32_767, 32_000);
    let (heard, _) = round_trip(&codec(), "", "", &said, 320);
    let (snr, _) = aligned_snr_db(&said, &heard, 36);
    assert!(snr > 3.0, "{snr:.1} dB");
}
