use super::*;
use crate::{NtpClock, NtpTime};

fn config() -> SessionConfig {
    SessionConfig::new(NtpClock::elapsed_from(Instant::now()), 8000)
}

fn source() -> Source {
    Source::new(Instant::now(), Ssrc(7))
}

fn feed(source: &mut Source, sequence: u16) -> Step {
    source.sequence(SequenceNumber(sequence), None, &config())
}

fn valid(first: u16) -> Source {
    let mut s = source();
    feed(&mut s, first);
    assert!(matches!(feed(&mut s, first.wrapping_add(1)), Step::Validated(_)));
    s
}

#[test]
fn a_source_is_valid_after_two_packets_in_sequence() {
    let mut s = source();
    assert_eq!(feed(&mut s, 10), Step::Probation { first: true });
    assert_eq!(feed(&mut s, 12), Step::Probation { first: true }, "a gap begins anew");
    assert_eq!(feed(&mut s, 12), Step::Probation { first: true }, "so does a repetition");
    assert_eq!(feed(&mut s, 13), Step::Validated(65_536 + 13));
    let stream = s.stream.as_ref().unwrap();
    assert_eq!(
        (stream.expected(), stream.received),
        (2, 2),
        "the run counts from its first packet"
    );
}

#[test]
fn more_packets_in_sequence_can_be_asked_for() {
    let config = SessionConfig { min_sequential: 4, ..config() };
    let mut s = source();
    for n in [65_534u16, 65_535, 0] {
        let step = s.sequence(SequenceNumber(n), None, &config);
        assert!(matches!(step, Step::Probation { .. }));
    }
    let step = s.sequence(SequenceNumber(1), None, &config);
    assert_eq!(step, Step::Validated(65_537));
    assert_eq!(s.stream.unwrap().lost(), 0);
}

#[test]
fn a_proof_by_address_stands_for_probation() {
    let mut s = source();
    assert_eq!(s.sequence(SequenceNumber(9), Some(4), &config()), Step::Validated(65_545));
    assert_eq!(s.stream.unwrap().expected(), 4);
}

#[test]
fn the_wrap_counts_a_cycle_and_reordering_across_it_does_not() {
    let mut s = valid(65_533);
    assert_eq!(feed(&mut s, 0), Step::InOrder(2 * 65_536));
    assert_eq!(feed(&mut s, 65_535), Step::Reordered(65_536 + 65_535));
    assert_eq!(feed(&mut s, 1), Step::InOrder(2 * 65_536 + 1));
    let block = s.report(Instant::now()).unwrap();
    assert_eq!(block.highest_sequence, 0x0001_0001);
    assert_eq!(block.cumulative_lost, 0);
}

#[test]
fn packets_behind_the_very_first_one_do_not_underflow() {
    let mut s = valid(0);
    assert_eq!(feed(&mut s, 65_535), Step::Reordered(65_535));
    assert_eq!(s.stream.as_ref().unwrap().lost(), 0);
    assert_eq!(s.report(Instant::now()).unwrap().cumulative_lost, -1, "A.3 as it stands");
}

#[test]
fn duplicates_are_told_from_reordered_packets() {
    let mut s = valid(100);
    for n in [102, 105, 104] {
        feed(&mut s, n);
    }
    assert_eq!(feed(&mut s, 104), Step::Duplicate);
    assert_eq!(feed(&mut s, 105), Step::Duplicate);
    assert_eq!(feed(&mut s, 103), Step::Reordered(65_536 + 103));
    assert_eq!(feed(&mut s, 100), Step::Duplicate);
    let stream = s.stream.as_ref().unwrap();
    assert_eq!((stream.duplicated, stream.reordered, stream.lost()), (3, 2, 0));
    assert_eq!((stream.received, stream.distinct), (9, 6), "A.3 counts every copy");
}

#[test]
fn the_window_survives_gaps_of_every_size() {
    for gap in [1u16, 2, 64, 126, 127, 128, 129, 2999] {
        let mut s = valid(10);
        assert!(matches!(feed(&mut s, 11 + gap), Step::InOrder(_)));
        assert_eq!(s.stream.as_ref().unwrap().lost(), u64::from(gap) - 1);
        assert_eq!(feed(&mut s, 11 + gap), Step::Duplicate);
        if gap > 1 {
            assert!(matches!(feed(&mut s, 10 + gap), Step::Reordered(_)));
        }
    }
}

#[test]
fn one_wild_sequence_number_is_dropped_and_two_in_sequence_restart() {
    let mut s = valid(10);
    assert_eq!(feed(&mut s, 30_000), Step::Jump);
    assert!(matches!(feed(&mut s, 12), Step::InOrder(_)), "the stream goes on");
    assert_eq!(feed(&mut s, 30_000), Step::Jump);
    assert_eq!(feed(&mut s, 30_001), Step::Restarted(65_536 + 30_001));
    assert_eq!(feed(&mut s, 30_002), Step::InOrder(65_536 + 30_002));
    assert_eq!(s.stream.unwrap().lost(), 0, "A.1 resets the statistics");
}

#[test]
fn the_limits_of_a_1_are_exact() {
    let mut s = valid(0);
    assert!(matches!(feed(&mut s, 1 + 2999), Step::InOrder(_)));
    let mut s = valid(0);
    assert_eq!(feed(&mut s, 1 + 3000), Step::Jump);
    let mut s = valid(1000);
    assert!(matches!(feed(&mut s, 1001 - 100), Step::Reordered(_)));
    assert_eq!(feed(&mut s, 1001 - 101), Step::TooLate);
    assert_eq!(s.stream.unwrap().late, 1);
}

#[test]
fn loss_is_reported_as_a_3_computes_it() {
    let mut s = valid(0);
    // 0–9 came; of 10–19 every second one.
    (2..10).chain((10..20).step_by(2)).for_each(|n| {
        feed(&mut s, n);
    });
    let now = Instant::now();
    let block = s.report(now).unwrap();
    // Highest 18: 19 expected, 15 received.
    assert_eq!((block.cumulative_lost, block.fraction_lost), (4, (4 * 256 / 19) as u8));
    assert_eq!(s.report(now), None, "nothing since the last report");
    (20..30).for_each(|n| {
        feed(&mut s, n);
    });
    let block = s.report(now).unwrap();
    // Since then 19–29 were expected and ten came.
    assert_eq!((block.cumulative_lost, block.fraction_lost), (5, (256 / 11) as u8));
    // Late arrivals make the interval's loss negative: the fraction is zero then.
    [19u16, 17].iter().for_each(|n| {
        feed(&mut s, *n);
    });
    let block = s.report(now).unwrap();
    assert_eq!((block.cumulative_lost, block.fraction_lost), (3, 0));
}

#[test]
fn an_interval_that_loses_nearly_everything_fits_eight_bits() {
    let mut s = valid(0);
    s.report(Instant::now());
    feed(&mut s, 2990);
    assert_eq!(s.report(Instant::now()).unwrap().fraction_lost, (2988 * 256 / 2989) as u8);
}

#[test]
fn jitter_follows_a_8_sample_by_sample() {
    let mut s = valid(0);
    let stream = s.stream.as_mut().unwrap();
    let mut expected = 0.0f64;
    let arrivals = [0u32, 170, 320, 500, 640, 900, 960];
    for (i, arrival) in arrivals.iter().enumerate() {
        let timestamp = RtpTimestamp(u32::MAX - 200).0.wrapping_add(160 * i as u32);
        stream.arrived(*arrival, RtpTimestamp(timestamp), 8000, false);
        if i > 0 {
            let d = (f64::from(*arrival) - f64::from(arrivals[i - 1]) - 160.0).abs();
            expected += (d - expected) / 16.0;
        }
    }
    assert!((stream.jitter - expected).abs() < 1e-9);
    assert!((stream.jitter_ms() - expected / 8.0).abs() < 1e-9);
}

#[test]
fn telephone_events_raise_the_jitter_reported_but_not_the_one_shown() {
    let mut s = valid(0);
    let stream = s.stream.as_mut().unwrap();
    for i in 0..100u32 {
        stream.arrived(i * 160, RtpTimestamp(i * 160), 8000, false);
    }
    for i in 100..110u32 {
        // Ten packets of one event, all with the timestamp of its beginning.
        stream.arrived(i * 160, RtpTimestamp(100 * 160), 8000, true);
    }
    assert!(stream.jitter > 50.0, "RFC 4733 §2.5.2.2: based on all packets");
    assert_eq!(stream.jitter_ms(), 0.0);
}

#[test]
fn a_sender_that_sets_its_timestamp_anew_does_not_spoil_the_jitter() {
    let mut s = valid(0);
    let stream = s.stream.as_mut().unwrap();
    for i in 0..50u32 {
        stream.arrived(i * 160, RtpTimestamp(i * 160), 8000, false);
    }
    for i in 50..100u32 {
        stream.arrived(i * 160, RtpTimestamp(0x7000_0000 + i * 160), 8000, false);
    }
    assert_eq!(stream.jitter_ms(), 0.0);
}

#[test]
fn a_change_of_clock_keeps_jitter_in_milliseconds() {
    let mut s = valid(0);
    let stream = s.stream.as_mut().unwrap();
    for i in 0..200u32 {
        stream.arrived(i * 160 + (i % 2) * 80, RtpTimestamp(i * 160), 8000, false);
    }
    let before = stream.jitter_ms();
    stream.arrived(200 * 960, RtpTimestamp(0), 48_000, false);
    assert!((stream.jitter_ms() - before).abs() < 0.01);
}

#[test]
fn the_delay_since_the_last_sender_report_is_told() {
    let mut s = valid(0);
    let at = Instant::now();
    let info = SenderInfo {
        ntp: NtpTime(0xb44d_b705_2000_0000),
        rtp: RtpTimestamp(1000),
        packets: 1,
        octets: 1,
    };
    s.sender_info = Some((info, at));
    let block = s.report(at + Duration::from_millis(5250)).unwrap();
    assert_eq!((block.last_sr, block.delay_since_last_sr), (0xb705_2000, 0x0005_4000));
    // And its clock maps timestamps to the wall clock, before and after.
    let mapped = |t: u32| s.ntp_at(RtpTimestamp(t), 8000).unwrap();
    assert!((mapped(9000).seconds_since(info.ntp) - 1.0).abs() < 1e-6);
    assert!((mapped(200).seconds_since(info.ntp) + 0.1).abs() < 1e-6);
}

#[test]
fn figures_agree_with_a_model_under_random_loss_duplication_and_reordering() {
    for seed in 0..50 {
        let mut rng = tiny_sak::Rng::from_seed(seed);
        let mut s = valid(65_000);
        let mut line: Vec<u16> = Vec::new();
        let (mut came, mut copies) = (0u64, 0u64);
        for n in 0..3000u16 {
            let sequence = 65_002u16.wrapping_add(n);
            // The last one comes for certain, so that the model knows what was expected.
            if n == 2999 || !rng.chance(0.1) {
                came += 1;
                line.push(sequence);
                if rng.chance(0.05) {
                    copies += 1;
                    line.push(sequence);
                }
            }
        }
        for i in 1..line.len() {
            if rng.chance(0.2) {
                line.swap(i - 1, i);
            }
        }
        line.iter().for_each(|n| {
            feed(&mut s, *n);
        });
        let stream = s.stream.unwrap();
        assert_eq!(stream.distinct, came + 2, "seed {seed}");
        assert_eq!(stream.duplicated, copies);
        assert_eq!(stream.lost(), 3000 - came);
    }
}
