//! The whole buffer in virtual time: packets from a seeded network, sound out of it.

use super::*;
use crate::testing::{LinearCoder, octets, share_of_tone, tone};
use crate::tone::strongest_tone;
use std::collections::BTreeMap;
use tiny_sak::Rng;

const RATE: u32 = 8_000;
const HZ: f64 = 440.0;

fn decoder(payload_type: u8, rate: u32) -> Decoder {
    Decoder {
        payload_type,
        clock_rate: rate,
        format: AudioFormat::new(rate, 1),
        decoder: Box::new(LinearCoder::mono()),
    }
}

struct Run {
    config: JitterConfig,
    seconds: u64,
    loss: f64,
    jitter_ms: u64,
    duplicate: f64,
    /// The sender's clock against ours, in parts per million.
    drift_ppm: f64,
    first_sequence: u16,
    first_timestamp: u32,
    pull_ms: u64,
    seed: u64,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            config: JitterConfig::default(),
            seconds: 30,
            loss: 0.0,
            jitter_ms: 0,
            duplicate: 0.0,
            drift_ppm: 0.0,
            first_sequence: 65_000,
            first_timestamp: u32::MAX - 100_000,
            pull_ms: 20,
            seed: 7,
        }
    }
}

struct Outcome {
    pcm: Vec<i16>,
    stats: JitterStats,
    lost: u64,
    // Extremes of the delay after the first ten seconds, in ms.
    delay_ms: (u64, u64),
}

// A tone in 20 ms packets through a network, pulled by an even clock.
fn run(r: &Run) -> Outcome {
    let mut rng = Rng::from_seed(r.seed);
    let mut buffer = JitterBuffer::new(r.config, vec![decoder(96, RATE)]);
    let t0 = Instant::now();
    let mut wire: BTreeMap<(u64, u64), usize> = BTreeMap::new();
    let packets = r.seconds as usize * 50;
    let mut lost = 0;
    for n in 0..packets {
        if rng.chance(r.loss) {
            lost += 1;
            continue;
        }
        let sent = n as f64 * 20_000.0 / (1.0 + r.drift_ppm * 1e-6);
        let copies = 1 + u64::from(rng.chance(r.duplicate));
        for copy in 0..copies {
            let late = rng.below(r.jitter_ms * 1000 + 1);
            wire.insert((sent as u64 + 30_000 + late, n as u64 * 2 + copy), n);
        }
    }
    let mut pcm = Vec::new();
    let mut delay_ms = (u64::MAX, 0);
    let frames = (RATE as u64 * r.pull_ms / 1000) as usize;
    for tick in 0..r.seconds * 1000 / r.pull_ms {
        let now_us = tick * r.pull_ms * 1000;
        while let Some(first) = wire.first_entry()
            && first.key().0 <= now_us
        {
            let ((at, _), n) = first.remove_entry();
            let payload = octets(&tone(RATE, HZ, n * 160, 160));
            buffer.insert(
                t0 + Duration::from_micros(at),
                &Arrival {
                    ssrc: 1,
                    sequence: r.first_sequence.wrapping_add(n as u16),
                    timestamp: r.first_timestamp.wrapping_add((n * 160) as u32),
                    payload_type: 96,
                    payload: &payload,
                },
            );
        }
        let pulled = buffer.pull(t0 + Duration::from_micros(now_us), frames, &mut pcm);
        assert_eq!(pulled, frames);
        if now_us > 10_000_000 {
            let delay = buffer.stats().delay.as_millis() as u64;
            delay_ms = (delay_ms.0.min(delay), delay_ms.1.max(delay));
        }
    }
    Outcome { pcm, stats: buffer.stats(), lost, delay_ms }
}

fn settled(pcm: &[i16]) -> &[i16] {
    &pcm[RATE as usize..]
}

#[test]
fn a_perfect_line_is_played_sample_for_sample_with_little_delay() {
    let o = run(&Run::default());
    let s = o.stats;
    assert_eq!((s.late, s.missing, s.duplicated, s.reordered, s.discarded), (0, 0, 0, 0, 0));
    assert_eq!(s.concealed, Duration::ZERO);
    assert!(s.delay <= Duration::from_millis(30), "{s:?}");
    assert_eq!(share_of_tone(settled(&o.pcm), RATE, HZ), 1.0);
    let tone = strongest_tone(settled(&o.pcm), RATE).unwrap();
    assert!((tone.frequency - HZ).abs() < 0.5 && tone.purity > 0.999, "{tone:?}");
}

#[test]
fn ten_percent_loss_and_forty_ms_of_jitter_are_bridged() {
    let o = run(&Run { loss: 0.1, jitter_ms: 40, seconds: 60, ..Run::default() });
    let s = o.stats;
    // What is lost is missing, and hardly more than that.
    let missing_share = (s.missing + s.late) as f64 / 3000.0;
    assert!(s.missing >= o.lost.saturating_sub(5), "{s:?} {}", o.lost);
    assert!(missing_share < 0.14, "{missing_share} {s:?}");
    assert!(s.reordered > 0);
    let concealed = s.concealed.as_secs_f64() / 60.0;
    assert!((0.07..0.16).contains(&concealed), "{concealed} {s:?}");
    assert!(o.delay_ms.1 < 90, "{:?} {s:?}", o.delay_ms);
    let tone = strongest_tone(settled(&o.pcm), RATE).unwrap();
    assert!((tone.frequency / HZ - 1.0).abs() < 0.01, "{tone:?}");
    assert!(share_of_tone(settled(&o.pcm), RATE, HZ) > 0.9, "{s:?}");
}

#[test]
fn jitter_alone_costs_hardly_a_packet_once_it_is_known() {
    for pull_ms in [10, 20] {
        let o = run(&Run { jitter_ms: 60, seconds: 60, pull_ms, ..Run::default() });
        let s = o.stats;
        assert!(s.late + s.missing < 60, "{s:?}");
        assert!(s.concealed < Duration::from_millis(1500), "{s:?}");
        assert!(s.delay < Duration::from_millis(75), "{s:?}");
    }
}

#[test]
fn duplicates_and_reordering_are_counted_and_never_heard() {
    let o = run(&Run { duplicate: 0.3, jitter_ms: 30, ..Run::default() });
    assert!(o.stats.duplicated > 300, "{:?}", o.stats);
    assert!(o.stats.reordered > 50, "{:?}", o.stats);
    assert!(share_of_tone(settled(&o.pcm), RATE, HZ) > 0.97);
}

#[test]
fn drift_of_200_ppm_for_ten_minutes_neither_starves_nor_floods() {
    for drift_ppm in [200.0, -200.0] {
        let o = run(&Run { drift_ppm, seconds: 600, jitter_ms: 4, ..Run::default() });
        let s = o.stats;
        assert!(o.delay_ms.1 <= 60, "{drift_ppm} {:?} {s:?}", o.delay_ms);
        assert_eq!((s.missing, s.discarded), (0, 0), "{s:?}");
        // 120 ms of sound too much or too little in all.
        let moved = if drift_ppm > 0.0 { s.accelerated } else { s.expanded + s.concealed };
        let ms = moved.as_millis();
        assert!((60..=260).contains(&ms), "{drift_ppm} {s:?}");
        assert!(s.concealed < Duration::from_millis(300), "{s:?}");
        assert!(share_of_tone(settled(&o.pcm), RATE, HZ) > 0.995);
    }
}

#[test]
fn delay_falls_again_when_the_jitter_is_over() {
    let t0 = Instant::now();
    let mut rng = Rng::from_seed(3);
    let mut b = JitterBuffer::new(JitterConfig::default(), vec![decoder(96, RATE)]);
    let mut wire = BTreeMap::new();
    for n in 0..1500usize {
        let late = if n < 500 { rng.below(120) } else { 0 };
        wire.insert((n as u64 * 20 + late, n), n);
    }
    let (mut high, mut pcm) = (Duration::ZERO, Vec::new());
    for tick in 0..1500u64 {
        while let Some(e) = wire.first_entry()
            && e.key().0 <= tick * 20
        {
            let ((at, _), n) = e.remove_entry();
            let payload = octets(&tone(RATE, HZ, n * 160, 160));
            feed(&mut b, t0 + Duration::from_millis(at), n as u16, (n * 160) as u32, &payload);
        }
        b.pull(t0 + Duration::from_millis(tick * 20), 160, &mut pcm);
        if tick == 500 {
            high = b.stats().delay;
        }
    }
    let low = b.stats().delay;
    assert!(high > Duration::from_millis(40), "{high:?}");
    assert!(low < Duration::from_millis(30), "{low:?} {:?}", b.stats());
    assert!(b.stats().accelerated > Duration::from_millis(40));
    let tone = strongest_tone(&pcm[1000 * 160..], RATE).unwrap();
    assert!((tone.frequency / HZ - 1.0).abs() < 0.01, "{tone:?}");
}

fn feed(b: &mut JitterBuffer, now: Instant, seq: u16, ts: u32, payload: &[u8]) -> Inserted {
    b.insert(now, &Arrival { ssrc: 1, sequence: seq, timestamp: ts, payload_type: 96, payload })
}

// Pulls so many blocks of 20 ms, giving each its packets.
fn play(
    b: &mut JitterBuffer,
    t0: Instant,
    blocks: std::ops::Range<u64>,
    mut packets: impl FnMut(&mut JitterBuffer, Instant, u64),
) -> Vec<i16> {
    let mut pcm = Vec::new();
    for tick in blocks {
        let now = t0 + Duration::from_millis(tick * 20);
        packets(b, now, tick);
        // In units that 8 and 16 kHz share.
        let mut owed = 320;
        for _ in 0..4 {
            let step = b.format().map_or(2, |f| 16_000 / f.rate as usize);
            owed -= b.pull(now, owed / step, &mut pcm) * step;
        }
        assert_eq!(owed, 0);
    }
    pcm
}

#[test]
fn a_pause_of_the_sender_is_silence_and_no_loss() {
    let t0 = Instant::now();
    let mut b = JitterBuffer::new(JitterConfig::default(), vec![decoder(96, RATE)]);
    let mut sequence = 0u16;
    // Two seconds of talk, three of silence without packets, two of talk.
    let pcm = play(&mut b, t0, 0..350, |b, now, tick| {
        if tick < 100 || (250..340).contains(&tick) {
            let payload = octets(&tone(RATE, HZ, tick as usize * 160, 160));
            feed(b, now, sequence, tick as u32 * 160, &payload);
            sequence = sequence.wrapping_add(1);
        }
    });
    let s = b.stats();
    assert_eq!((s.missing, s.late, s.played), (0, 0, 190), "{s:?}");
    assert!(s.concealed < Duration::from_millis(40), "{s:?}");
    assert!(pcm[120 * 160..245 * 160].iter().all(|x| *x == 0));
    assert_eq!(share_of_tone(&pcm[256 * 160..330 * 160], RATE, HZ), 1.0);
}

#[test]
fn telephone_events_between_the_sound_are_no_loss() {
    let t0 = Instant::now();
    let mut b = JitterBuffer::new(JitterConfig::default(), vec![decoder(96, RATE)]);
    play(&mut b, t0, 0..200, |b, now, tick| {
        if (100..110).contains(&tick) {
            b.skip(now, 1, tick as u16);
        } else {
            feed(b, now, tick as u16, tick as u32 * 160, &octets(&[0; 160]));
        }
    });
    assert_eq!((b.stats().missing, b.stats().late), (0, 0), "{:?}", b.stats());
}

#[test]
fn a_new_source_and_a_jump_of_timestamps_are_followed() {
    let t0 = Instant::now();
    let mut b = JitterBuffer::new(JitterConfig::default(), vec![decoder(96, RATE)]);
    let pcm = play(&mut b, t0, 0..450, |b, now, tick| {
        let payload = octets(&tone(RATE, HZ, tick as usize * 160, 160));
        let (ssrc, offset) = match tick {
            0..150 => (1, 0),
            150..300 => (2, 77_000_000),
            _ => (2, 3_000_000_000),
        };
        let packet = Arrival {
            ssrc,
            sequence: if ssrc == 1 { tick as u16 } else { (tick as u16).wrapping_sub(20_000) },
            timestamp: (tick as u32 * 160).wrapping_add(offset),
            payload_type: 96,
            payload: &payload,
        };
        b.insert(now, &packet);
    });
    let s = b.stats();
    // One packet is the price of a jump within a source.
    assert!(s.played >= 446 && s.missing <= 1 && s.discarded == 0, "{s:?}");
    assert!(share_of_tone(settled(&pcm), RATE, HZ) > 0.98);
    assert!(s.delay < Duration::from_millis(60), "{s:?}");
}

#[test]
fn the_decoder_follows_the_payload_type_to_another_rate() {
    let t0 = Instant::now();
    let mut b =
        JitterBuffer::new(JitterConfig::default(), vec![decoder(96, RATE), decoder(97, 16_000)]);
    let pcm = play(&mut b, t0, 0..200, |b, now, tick| {
        let wide = tick >= 100;
        let rate = if wide { 16_000 } else { RATE };
        let n = rate as usize / 50;
        let payload = octets(&tone(rate, HZ, tick as usize * n, n));
        let packet = Arrival {
            ssrc: 1,
            sequence: tick as u16,
            timestamp: tick as u32 * n as u32,
            payload_type: if wide { 97 } else { 96 },
            payload: &payload,
        };
        assert_eq!(b.insert(now, &packet), Inserted::Queued);
    });
    assert_eq!(b.format(), Some(AudioFormat::new(16_000, 1)));
    assert_eq!(b.payload_type(), Some(97));
    assert!(b.stats().missing == 0 && b.stats().played >= 197, "{:?}", b.stats());
    let tail = &pcm[pcm.len() - 16_000..];
    assert_eq!(share_of_tone(tail, 16_000, HZ), 1.0);
}

#[test]
fn an_outage_and_the_burst_after_it_do_not_leave_delay_behind() {
    let t0 = Instant::now();
    let mut b = JitterBuffer::new(JitterConfig::default(), vec![decoder(96, RATE)]);
    let pcm = play(&mut b, t0, 0..600, |b, now, tick| {
        // From 200 to 240 the network holds everything back, then delivers all at once.
        let packets = match tick {
            200..240 => tick..tick,
            240 => 200..241,
            _ => tick..tick + 1,
        };
        for n in packets {
            let payload = octets(&tone(RATE, HZ, n as usize * 160, 160));
            feed(b, now, n as u16, n as u32 * 160, &payload);
        }
    });
    let s = b.stats();
    assert!(s.discarded > 0, "{s:?}");
    assert!(s.delay < Duration::from_millis(400), "{s:?}");
    assert!(s.waiting < 30);
    assert!(share_of_tone(&pcm[400 * 160..], RATE, HZ) > 0.95);
}

#[test]
fn long_outages_end_in_silence_and_sound_comes_back() {
    let t0 = Instant::now();
    let mut b = JitterBuffer::new(JitterConfig::default(), vec![decoder(96, RATE)]);
    let pcm = play(&mut b, t0, 0..600, |b, now, tick| {
        if !(100..300).contains(&tick) {
            let payload = octets(&tone(RATE, HZ, tick as usize * 160, 160));
            feed(b, now, tick as u16, tick as u32 * 160, &payload);
        }
    });
    assert!(pcm[120 * 160..295 * 160].iter().all(|x| *x == 0));
    assert_eq!(b.stats().missing, 200);
    assert!(share_of_tone(&pcm[310 * 160..], RATE, HZ) > 0.98);
    assert!(b.stats().delay < Duration::from_millis(80), "{:?}", b.stats());
}

// A decoder with redundancy and concealment of its own.
struct Clever {
    inner: LinearCoder,
}

impl AudioDecoder for Clever {
    fn ticks(&self, payload: &[u8]) -> Option<u32> {
        self.inner.ticks(payload)
    }
    fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) -> Result<(), crate::MediaError> {
        if payload == [9; 320] {
            let reason = "nines".into();
            return Err(crate::MediaError::Payload { codec: "clever", reason });
        }
        self.inner.decode(payload, out)
    }
    fn conceal(&mut self, frames: usize, out: &mut Vec<i16>) -> bool {
        out.resize(out.len() + frames, 111);
        true
    }
    fn recover(&mut self, next: &[u8], frames: usize, out: &mut Vec<i16>) -> bool {
        let value = i16::from_be_bytes([next[0], next[1]]);
        if value < 0 {
            return false;
        }
        out.resize(out.len() + frames, value - 1);
        true
    }
}

#[test]
fn redundancy_in_the_next_packet_and_the_decoders_own_concealment_are_used() {
    let t0 = Instant::now();
    let clever = Decoder {
        payload_type: 96,
        clock_rate: RATE,
        format: AudioFormat::new(RATE, 1),
        decoder: Box::new(Clever { inner: LinearCoder::mono() }),
    };
    let mut b = JitterBuffer::new(
        JitterConfig { time_stretch: false, ..JitterConfig::fixed(Duration::from_millis(60)) },
        vec![clever],
    );
    let pcm = play(&mut b, t0, 0..60, |b, now, tick| {
        let value = if tick >= 30 { -(tick as i16) } else { tick as i16 * 10 };
        // 20 is lost, so are 25 and 26, and 40 whose successor has no redundancy.
        if ![20, 25, 26, 40].contains(&tick) {
            feed(b, now, tick as u16, tick as u32 * 160, &octets(&[value; 160]));
        }
    });
    let s = b.stats();
    assert_eq!((s.missing, s.recovered), (4, 2), "{s:?}");
    assert_eq!(s.concealed, Duration::from_millis(40), "{s:?}");
    let block = |n: usize| pcm[n * 160 + 80];
    // Played three blocks later than sent.
    assert_eq!((block(22), block(23), block(24)), (190, 209, 210));
    assert_eq!((block(28), block(29), block(30)), (111, 269, 270));
    assert_eq!((block(42), block(43), block(44)), (-39, 111, -41));
    // A payload that cannot be decoded is concealed.
    feed(&mut b, t0 + Duration::from_millis(1200), 60, 60 * 160, &[9; 320]);
    play(&mut b, t0, 60..70, |_, _, _| {});
    assert_eq!(b.stats().decode_errors, 1);
}

#[test]
fn it_waits_for_redundancy_where_packets_are_lost_and_only_there() {
    let t0 = Instant::now();
    let clever = || Decoder {
        payload_type: 96,
        clock_rate: RATE,
        format: AudioFormat::new(RATE, 1),
        decoder: Box::new(Clever { inner: LinearCoder::mono() }),
    };
    let run = |loss: f64| {
        let mut rng = Rng::from_seed(11);
        let mut b = JitterBuffer::new(JitterConfig::default(), vec![clever()]);
        play(&mut b, t0, 0..3000, |b, now, tick| {
            if !rng.chance(loss) {
                feed(b, now, tick as u16, tick as u32 * 160, &octets(&[100; 160]));
            }
        });
        b.stats()
    };
    let (clean, lossy) = (run(0.0), run(0.05));
    assert!(clean.delay < Duration::from_millis(30), "{clean:?}");
    assert!(lossy.delay < Duration::from_millis(55), "{lossy:?}");
    assert!((120..180).contains(&lossy.missing), "{lossy:?}");
    // All but the first few, and those that come in twos.
    assert!(lossy.recovered * 10 > lossy.missing * 8, "{lossy:?}");
}

#[test]
fn the_buffer_is_bounded_and_refuses_what_makes_no_sense() {
    let t0 = Instant::now();
    let config = JitterConfig { max_packets: 50, ..JitterConfig::default() };
    let mut b = JitterBuffer::new(config, vec![decoder(96, RATE)]);
    for n in 0..1000u32 {
        feed(&mut b, t0, n as u16, n * 160, &octets(&[0; 160]));
        assert!(b.stats().waiting <= 50);
    }
    assert_eq!(feed(&mut b, t0, 5, 0, &[1, 2, 3]), Inserted::Malformed);
    assert_eq!(feed(&mut b, t0, 5, 0, &[]), Inserted::Malformed);
    assert_eq!(feed(&mut b, t0, 5, 0, &[0; 5000]), Inserted::Malformed);
    assert_eq!(feed(&mut b, t0, 999, 999 * 160, &octets(&[0; 160])), Inserted::Duplicate);
    let unknown = Arrival { ssrc: 1, sequence: 0, timestamp: 0, payload_type: 5, payload: &[0; 2] };
    assert_eq!(b.insert(t0, &unknown), Inserted::UnknownPayload);
}

proptest::proptest! {
    #[test]
    fn no_sequence_of_packets_breaks_the_buffer(
        packets in proptest::collection::vec(
            (0u64..50, 0u32..3, proptest::num::u16::ANY, proptest::num::u32::ANY, 90u8..100, 0usize..400, 0usize..2000),
            0..200,
        ),
        near in proptest::bool::ANY,
    ) {
        let t0 = Instant::now();
        let mut b = JitterBuffer::new(
            JitterConfig { max_packets: 20, ..JitterConfig::default() },
            vec![decoder(96, RATE), decoder(97, 48_000), decoder(98, 11_025)],
        );
        let mut now = t0;
        let mut out = Vec::new();
        for (i, (ms, ssrc, sequence, timestamp, payload_type, length, frames)) in
            packets.into_iter().enumerate()
        {
            now += Duration::from_millis(ms);
            let payload = vec![7; length];
            let (sequence, timestamp) = if near {
                (i as u16 + sequence % 7, i as u32 * 160 + timestamp % 900)
            } else {
                (sequence, timestamp)
            };
            b.insert(now, &Arrival { ssrc, sequence, timestamp, payload_type, payload: &payload });
            if length % 5 == 0 {
                b.skip(now, ssrc, sequence);
            }
            out.clear();
            let n = b.pull(now, frames, &mut out);
            assert!(n <= frames && out.len() == n);
            assert!(b.stats().waiting <= 20);
        }
    }
}
