//! Opus behind the trait: quality, every parameter of RFC 7587, loss, DTX, hostile payloads.

use super::super::testing::{
    aligned_snr_db, hostile_payloads, level_db, noise, round_trip, sine, tone_db,
};
use super::redundancy::has_redundancy;
use super::*;
use opus_pure::packet;
use proptest::prelude::*;
use tiny_media::Encoded;

fn mono() -> Opus {
    Opus::new(OpusConfig::default()).unwrap()
}

fn stereo() -> Opus {
    Opus::new(OpusConfig { channels: 2, ..OpusConfig::default() }).unwrap()
}

/// The spoken sample that the project ships, 48 kHz mono.
fn speech() -> Vec<i16> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/speech.wav");
    crate::WavFile::load(path.as_ref()).unwrap().samples().to_vec()
}

/// Every packet of `said` in blocks of `block` samples; `None` where nothing is to be sent.
fn packets(
    codec: &Opus,
    remote: &str,
    said: &[i16],
    block: usize,
    loss: u8,
) -> Vec<Option<Vec<u8>>> {
    let mut encoder = codec.encoder(&Fmtp(remote.into())).unwrap();
    encoder.expect_loss(loss);
    let encode = |pcm| {
        let mut payload = Vec::new();
        match encoder.encode(pcm, &mut payload).unwrap() {
            Encoded::Packet => Some(payload),
            Encoded::Silence => {
                assert!(payload.is_empty());
                None
            }
        }
    };
    said.chunks_exact(block).map(encode).collect()
}

fn all_sent(packets: Vec<Option<Vec<u8>>>) -> Vec<Vec<u8>> {
    packets.into_iter().map(|p| p.expect("a packet")).collect()
}

fn bits_per_second(packets: &[Vec<u8>], ms: usize) -> usize {
    packets.iter().map(Vec::len).sum::<usize>() * 8 * 1000 / (packets.len() * ms)
}

#[test]
fn description_is_that_of_rfc_7587() {
    let codec = mono();
    let d = codec.description();
    assert_eq!(
        (d.name, d.clock_rate, d.rtpmap_channels, d.payload_type),
        ("opus", 48_000, 2, None)
    );
    assert_eq!(d.format, AudioFormat::new(48_000, 1));
    assert_eq!(d.fmtp.0, "minptime=10;useinbandfec=1");
    assert_eq!(stereo().description().format, AudioFormat::new(48_000, 2));
    assert!(stereo().description().fmtp.flag("stereo"));
}

#[test]
fn a_tone_keeps_frequency_and_level_at_every_packet_time() {
    let said = sine(48_000, 1, 440.0, -12.0, 57_600);
    for frames in [120, 240, 480, 960, 1_920, 2_880, 3_840, 4_800, 5_760] {
        let ms = frames as f32 / 48.0;
        let (heard, _) = round_trip(&mono(), "", "", &said, frames);
        assert_eq!(heard.len(), said.len(), "{ms} ms");
        let level = tone_db(&heard[9_600..48_000], 48_000, 440.0);
        assert!((level + 12.0).abs() < 1.0, "{ms} ms: {level:.2} dB");
        assert!((level_db(&heard[9_600..48_000]) + 12.0).abs() < 1.0, "{ms} ms: nothing else");
    }
}

#[test]
fn speech_is_recognisable_after_the_codec_delay() {
    let said = speech();
    let (heard, bytes) = round_trip(&mono(), "", "", &said, 960);
    let (snr, delay) = aligned_snr_db(&said[..heard.len()], &heard, 640);
    assert!(snr > 8.0, "{snr:.1} dB at a delay of {delay} samples");
    let rate = bytes * 8 * 50 / (said.len() / 960);
    assert!((20_000..50_000).contains(&rate), "{rate} bit/s");
}

#[test]
fn stereo_is_sent_only_to_a_peer_that_asks_for_it() {
    let mut said = sine(48_000, 2, 440.0, -12.0, 48_000);
    said.chunks_exact_mut(2).for_each(|f| f[1] = 0);

    let sent = all_sent(packets(&stereo(), "stereo=1", &said, 1_920, 0));
    assert!(sent.iter().all(|p| packet::channels(p).unwrap() == 2));
    let (heard, _) = round_trip(&stereo(), "stereo=1", "", &said, 1_920);
    let side = |c: usize| heard[19_200..].iter().skip(c).step_by(2).copied().collect::<Vec<_>>();
    let (left, right) = (tone_db(&side(0), 48_000, 440.0), level_db(&side(1)));
    assert!((left + 12.0).abs() < 1.0, "left {left:.1} dB");
    assert!(right < -35.0, "right {right:.1} dB");

    for remote in ["", "stereo=0", "sprop-stereo=1", "stereo", "x-unknown=1;=;;;"] {
        let sent = all_sent(packets(&stereo(), remote, &said, 1_920, 0));
        assert!(sent.iter().all(|p| packet::channels(p).unwrap() == 1), "{remote:?}");
        // Both sides sound, at half: the left alone went into the sum.
        let (heard, _) = round_trip(&stereo(), remote, "", &said, 1_920);
        assert!(
            (tone_db(&heard[19_200..], 48_000, 440.0) - tone_db(&heard[19_201..], 48_000, 440.0))
                .abs()
                < 0.5
        );
    }
}

#[test]
fn a_mono_phone_hears_a_stereo_stream() {
    let said = sine(48_000, 2, 1_000.0, -12.0, 48_000);
    let sent = all_sent(packets(&stereo(), "stereo=1", &said, 1_920, 0));
    let mut decoder = mono().decoder(&Fmtp::default()).unwrap();
    let mut heard = Vec::new();
    for payload in &sent {
        decoder.decode(payload, &mut heard).unwrap();
    }
    assert_eq!(heard.len(), 48_000);
    assert!((tone_db(&heard[9_600..], 48_000, 1_000.0) + 12.0).abs() < 1.0);
}

#[test]
fn maxplaybackrate_bounds_the_bandwidth_sent() {
    use opus_pure::Bandwidth::{Fullband, Mediumband, Narrowband, Superwideband, Wideband};
    let said = speech();
    let rank = |b| {
        [Narrowband, Mediumband, Wideband, Superwideband, Fullband].iter().position(|x| *x == b)
    };
    for (rate, widest) in [
        (8_000, Narrowband),
        (11_025, Mediumband),
        (16_000, Wideband),
        (24_000, Superwideband),
        (44_100, Fullband),
    ] {
        let sent = all_sent(packets(&mono(), &format!("maxplaybackrate={rate}"), &said, 960, 0));
        let most = sent.iter().map(|p| rank(packet::bandwidth(p).unwrap())).max().unwrap();
        assert_eq!(most, rank(widest), "{rate} Hz");
    }
}

#[test]
fn maxaveragebitrate_and_cbr_bound_what_is_sent() {
    let said = speech();
    for limit in [8_000, 16_000, 24_000] {
        let sent = all_sent(packets(&mono(), &format!("maxaveragebitrate={limit}"), &said, 960, 0));
        let rate = bits_per_second(&sent, 20);
        assert!(rate <= limit, "{rate} of {limit} bit/s");
    }
    let sent = all_sent(packets(&mono(), "cbr=1;maxaveragebitrate=24000", &said, 960, 0));
    assert!(sent.iter().all(|p| p.len() == 60), "24 kbit/s are 60 bytes each 20 ms");
}

#[test]
fn a_peer_without_wishes_gets_no_more_than_the_recommended_rate() {
    // RFC 7587 §6.1: the maximum of §3.1.1 where maxaveragebitrate is absent or out of range.
    let loud = Opus::new(OpusConfig { bitrate: Some(200_000), ..OpusConfig::default() }).unwrap();
    let said = noise(5, 20_000, 96_000);
    for remote in ["", "maxaveragebitrate=4000", "maxaveragebitrate=many"] {
        let rate = bits_per_second(&all_sent(packets(&loud, remote, &said, 960, 0)), 20);
        assert!((50_000..=64_000).contains(&rate), "{remote:?}: {rate} bit/s");
    }
    let sent = all_sent(packets(&loud, "maxaveragebitrate=128000", &said, 960, 0));
    let rate = bits_per_second(&sent, 20);
    assert!((100_000..=128_000).contains(&rate), "{rate} bit/s");
}

#[test]
fn long_packets_at_a_high_rate_keep_to_the_payload_limit() {
    let config = OpusConfig { bitrate: Some(510_000), max_payload: 1_200, ..OpusConfig::default() };
    let codec = Opus::new(config).unwrap();
    let said = noise(6, 20_000, 48_000);
    for ms in [20, 40, 60] {
        let sent = all_sent(packets(&codec, "maxaveragebitrate=510000", &said, ms * 48, 0));
        assert!(sent.iter().all(|p| p.len() <= 1_200), "{ms} ms");
    }
}

#[test]
fn with_usedtx_a_pause_is_not_sent_and_the_next_word_is() {
    let mut said = speech();
    said.truncate(96_000);
    said.extend(std::iter::repeat_n(0, 96_000));
    said.extend_from_slice(&speech()[..48_000]);

    let sent = packets(&mono(), "usedtx=1", &said, 960, 0);
    let pause = &sent[120..200];
    let silent = pause.iter().filter(|p| p.is_none()).count();
    // A refresh every 400 ms or so goes out.
    assert!(silent > 60 && silent < 80, "{silent} of 80 blocks not sent");
    assert!(sent[205..].iter().take(40).filter(|p| p.is_some()).count() > 30, "speech again");

    assert!(packets(&mono(), "", &said, 960, 0).iter().all(Option::is_some), "no DTX unasked");
}

#[test]
fn redundancy_is_sent_when_the_peer_can_use_it_and_loss_is_expected() {
    let said = speech();
    let share = |remote: &str, loss: u8| {
        let sent = all_sent(packets(&mono(), remote, &said, 960, loss));
        sent.iter().filter(|p| has_redundancy(p)).count() * 100 / sent.len()
    };
    assert!(share("useinbandfec=1", 15) > 40, "{} %", share("useinbandfec=1", 15));
    assert_eq!(share("useinbandfec=1", 0), 0, "none until loss is reported");
    assert_eq!(share("", 15), 0, "none for a peer that cannot use it");
    assert_eq!(share("useinbandfec=0", 15), 0);
}

#[test]
fn a_lost_packet_comes_back_better_from_redundancy_than_from_concealment() {
    let said = speech();
    let sent = all_sent(packets(&mono(), "useinbandfec=1", &said, 960, 20));
    let mut whole = Vec::new();
    let mut decoder = mono().decoder(&Fmtp::default()).unwrap();
    sent.iter().for_each(|p| decoder.decode(p, &mut whole).unwrap());

    let heard = |repair: bool| {
        let mut decoder = mono().decoder(&Fmtp::default()).unwrap();
        let (mut pcm, mut recovered) = (Vec::new(), 0);
        for (i, payload) in sent.iter().enumerate() {
            if i % 7 != 5 {
                decoder.decode(payload, &mut pcm).unwrap();
            } else if repair && sent.get(i + 1).is_some_and(|p| decoder.recover(p, 960, &mut pcm)) {
                recovered += 1;
            } else {
                assert!(decoder.conceal(960, &mut pcm));
            }
        }
        assert_eq!(pcm.len(), whole.len());
        (super::super::testing::snr_db(&whole, &pcm), recovered)
    };
    let ((concealed, _), (repaired, recovered)) = (heard(false), heard(true));
    assert!(recovered > 10, "{recovered} recovered");
    assert!(repaired > concealed + 2.0, "{repaired:.1} dB against {concealed:.1} dB");
}

#[test]
fn recovery_refuses_what_holds_none() {
    let said = speech();
    let plain = all_sent(packets(&mono(), "", &said[..9_600], 960, 0));
    let mut decoder = mono().decoder(&Fmtp::default()).unwrap();
    let mut out = Vec::new();
    decoder.decode(&plain[0], &mut out).unwrap();
    out.clear();
    assert!(!decoder.recover(&plain[2], 960, &mut out), "no redundancy in it");
    assert!(!decoder.recover(&[], 960, &mut out));
    assert!(!decoder.recover(&[9 << 3, 0x40], 961, &mut out), "no packet has 961 frames");
    assert!(out.is_empty());
}

#[test]
fn concealment_goes_on_and_fades() {
    let said = sine(48_000, 1, 300.0, -12.0, 48_000);
    let sent = all_sent(packets(&mono(), "", &said, 960, 0));
    let mut decoder = mono().decoder(&Fmtp::default()).unwrap();
    let mut heard = Vec::new();
    sent.iter().for_each(|p| decoder.decode(p, &mut heard).unwrap());
    let mut lost = Vec::new();
    for _ in 0..50 {
        assert!(decoder.conceal(960, &mut lost));
    }
    assert_eq!(lost.len(), 48_000);
    assert!(level_db(&lost[..960]) > -20.0, "the sound goes on: {:.1}", level_db(&lost[..960]));
    assert!(
        level_db(&lost[38_400..]) < -25.0,
        "and fades into noise: {:.1}",
        level_db(&lost[38_400..])
    );
    // Any length, also none that Opus has a packet for.
    for frames in [0, 1, 119, 961, 20_000] {
        lost.clear();
        assert!(decoder.conceal(frames, &mut lost));
        assert_eq!(lost.len(), frames);
    }
}

#[test]
fn a_block_that_is_no_packet_time_is_refused() {
    let mut encoder = mono().encoder(&Fmtp::default()).unwrap();
    let error = encoder.encode(&[0; 441], &mut Vec::new()).unwrap_err().to_string();
    assert!(error.starts_with("opus block: 441 samples; a packet holds 2.5,"), "{error}");
    assert!(encoder.encode(&[], &mut Vec::new()).is_err());
    let mut encoder = stereo().encoder(&Fmtp("stereo=1".into())).unwrap();
    assert!(encoder.encode(&[0; 961], &mut Vec::new()).is_err());
}

#[test]
fn malformed_packets_are_refused_by_name() {
    let mut decoder = mono().decoder(&Fmtp::default()).unwrap();
    let mut out = Vec::new();
    assert_eq!(decoder.ticks(&[]), None);
    assert_eq!(decoder.ticks(&[0xFF, 0x3F]), None, "63 frames of 20 ms are above 120 ms");
    let error = decoder.decode(&[0xFF, 0x3F], &mut out).unwrap_err().to_string();
    assert!(error.starts_with("opus: malformed payload: "), "{error}");
    assert!(out.is_empty());
    assert_eq!(decoder.ticks(&[31 << 3]), Some(960));
}

#[test]
fn no_payload_makes_the_decoder_panic() {
    hostile_payloads(&mono(), 5_760);
    hostile_payloads(&stereo(), 5_760);
}

#[test]
fn no_mutation_of_real_packets_makes_the_decoder_panic() {
    let said = speech();
    let sent = all_sent(packets(&mono(), "useinbandfec=1", &said[48_000..96_000], 960, 20));
    let mut config = ProptestConfig::with_cases(48);
    config.failure_persistence = None;
    let flips = prop::collection::vec((0..sent.len(), any::<u16>(), any::<u8>()), 1..40);
    proptest!(config, |(flips in flips)| {
        let mut decoder = mono().decoder(&Fmtp::default()).unwrap();
        for (which, place, value) in flips {
            let mut payload = sent[which].clone();
            let place = usize::from(place) % payload.len();
            payload[place] ^= value;
            let mut out = Vec::new();
            let _ = decoder.decode(&payload, &mut out);
            prop_assert!(out.len() <= 5_760);
            out.clear();
            let _ = decoder.recover(&payload[..place], 960, &mut out);
            prop_assert!(out.len() <= 960);
        }
    });
}
