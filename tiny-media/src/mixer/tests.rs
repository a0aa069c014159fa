//! What each participant hears.

use super::*;
use crate::testing::{Tape, ToneSource, tone};
use crate::tone::tone_level_db;

const RATE: u32 = 48_000;

fn mixer() -> Mixer {
    Mixer::new(MixerConfig::default()).unwrap()
}

fn says(hz: f64, rate: u32, channels: u16) -> Box<ToneSource> {
    Box::new(ToneSource { format: AudioFormat::new(rate, channels), hz, position: 0 })
}

/// Runs for so long; the owner comes every `step` ms.
fn run(mixer: &mut Mixer, from: Instant, ms: u64, step: u64) -> Instant {
    let mut at = 0;
    while at < ms {
        mixer.poll(from + Duration::from_millis(at));
        at += step;
    }
    from + Duration::from_millis(ms)
}

/// The level of a tone in the last 200 ms, in dBFS.
fn heard(tape: &Tape, hz: f64) -> f64 {
    let (pcm, rate) = (tape.heard(), tape.format.rate);
    tone_level_db(&pcm[pcm.len() - rate as usize / 5..], rate, hz)
}

/// A tone of the tests has an amplitude of 8,000: so loud it is (RMS).
const FULL: f64 = -15.26;

#[test]
fn everybody_hears_all_others_and_not_themselves() {
    let mut mixer = mixer();
    let voices = [(400.0, 48_000), (700.0, 8_000), (1100.0, 16_000), (1700.0, 44_100)];
    let tapes = voices.map(|(hz, rate)| {
        let tape = Tape::new(rate, 1);
        mixer.add(hz as u64, says(hz, rate, 1), Box::new(tape.clone())).unwrap();
        tape
    });
    run(&mut mixer, Instant::now(), 1000, 10);
    for (tape, (own, rate)) in tapes.iter().zip(voices) {
        let seconds = tape.heard().len() as f64 / f64::from(rate);
        assert!((seconds - 1.0).abs() < 0.02, "{seconds} s at {rate} Hz");
        for (hz, _) in voices {
            let level = heard(tape, hz);
            match hz == own {
                true => assert!(level < -60.0, "{own} Hz hears itself at {level}"),
                false => assert!((level - FULL).abs() < 1.0, "{own} Hz hears {hz} Hz at {level}"),
            }
        }
    }
}

#[test]
fn participants_come_and_go_while_the_others_talk() {
    let mut mixer = mixer();
    let [a, b, c] = [1, 2, 3].map(|_| Tape::new(RATE, 1));
    mixer.add(1, says(400.0, RATE, 1), Box::new(a.clone())).unwrap();
    mixer.add(2, says(700.0, RATE, 1), Box::new(b.clone())).unwrap();
    let now = run(&mut mixer, Instant::now(), 500, 10);
    assert!(heard(&a, 1100.0) < -60.0);
    mixer.add(3, says(1100.0, RATE, 1), Box::new(c.clone())).unwrap();
    let now = run(&mut mixer, now, 500, 10);
    assert!((heard(&a, 1100.0) - FULL).abs() < 1.0);
    assert!((heard(&c, 400.0) - FULL).abs() < 1.0);
    assert!(mixer.remove(2).is_some() && mixer.remove(2).is_none());
    let now = run(&mut mixer, now, 500, 10);
    assert!(heard(&a, 700.0) < -60.0 && heard(&c, 700.0) < -60.0);
    assert!((heard(&a, 1100.0) - FULL).abs() < 1.0);
    assert_eq!(mixer.participants().collect::<Vec<_>>(), [1, 3]);
    mixer.remove(1);
    mixer.remove(3);
    assert_eq!(mixer.poll(now), None);
}

#[test]
fn who_is_muted_hears_and_is_not_heard_and_gain_is_in_decibels() {
    let mut mixer = mixer();
    let [a, b] = [1, 2].map(|_| Tape::new(RATE, 1));
    mixer.add(1, says(400.0, RATE, 1), Box::new(a.clone())).unwrap();
    mixer.add(2, says(700.0, RATE, 2), Box::new(b.clone())).unwrap();
    mixer.set_muted(1, true);
    mixer.set_gain_db(2, -12.0);
    let now = run(&mut mixer, Instant::now(), 500, 10);
    assert!(heard(&b, 400.0) < -60.0);
    assert!((heard(&a, 700.0) - (FULL - 12.0)).abs() < 1.0);
    // The level is that of what is said, muted or not.
    assert!((mixer.level_db(1).unwrap() - FULL).abs() < 1.5);
    mixer.set_muted(1, false);
    run(&mut mixer, now, 500, 10);
    assert!((heard(&b, 400.0) - FULL).abs() < 1.0);
}

#[test]
fn a_choir_at_full_volume_is_limited_and_does_not_wrap() {
    struct Loud(usize);
    impl Source for Loud {
        fn format(&self) -> AudioFormat {
            AudioFormat::new(RATE, 1)
        }
        fn read(&mut self, out: &mut [i16]) -> usize {
            for s in out.iter_mut() {
                *s = if (self.0 / 50).is_multiple_of(2) { i16::MAX } else { i16::MIN };
                self.0 += 1;
            }
            out.len()
        }
    }
    let mut mixer = mixer();
    let tape = Tape::new(RATE, 1);
    for id in 0..20 {
        mixer.add(id, Box::new(Loud(0)), Box::new(Tape::new(RATE, 1))).unwrap();
    }
    mixer.add(99, says(1.0, RATE, 1), Box::new(tape.clone())).unwrap();
    mixer.set_muted(99, true);
    run(&mut mixer, Instant::now(), 300, 10);
    for (n, s) in tape.heard().iter().enumerate() {
        let positive = (n / 50).is_multiple_of(2);
        assert_eq!(*s > 0, positive, "sample {n} is {s}");
    }
    assert!(tape.heard()[14_000..].iter().all(|s| s.unsigned_abs() > 30_000));
}

#[test]
fn an_owner_who_comes_late_is_caught_up_with_and_the_rest_is_skipped() {
    let mut mixer = mixer();
    let tape = Tape::new(RATE, 1);
    mixer.add(1, says(400.0, RATE, 1), Box::new(Tape::new(RATE, 1))).unwrap();
    mixer.add(2, says(700.0, RATE, 1), Box::new(tape.clone())).unwrap();
    let start = Instant::now();
    assert_eq!(mixer.poll(start), Some(start + BLOCK));
    mixer.poll(start + Duration::from_millis(55));
    assert_eq!(tape.heard().len(), 6 * 480);
    mixer.poll(start + Duration::from_millis(1055));
    assert_eq!(tape.heard().len(), 16 * 480);
    assert_eq!(mixer.skipped(), Duration::from_millis(900));
}

#[test]
fn a_number_is_used_once_and_seats_are_limited() {
    let config = MixerConfig { max_participants: 2, ..MixerConfig::default() };
    let mut mixer = Mixer::new(config).unwrap();
    let mut add = |id| mixer.add(id, says(400.0, RATE, 1), Box::new(Tape::new(RATE, 1)));
    add(1).unwrap();
    assert!(add(1).unwrap_err().to_string().contains("already"));
    add(2).unwrap();
    assert!(add(3).unwrap_err().to_string().contains("max_participants"));
    assert!(Mixer::new(MixerConfig { rate: 0, ..MixerConfig::default() }).is_err());
}

#[test]
fn a_leg_bridges_an_uneven_pace_without_a_gap() {
    let format = AudioFormat::new(16_000, 1);
    let (mut writer, mut cushion) = leg(format, Duration::from_millis(20));
    let (mut position, mut all, mut block) = (0, Vec::new(), [0; 160]);
    for ms in 0..4000usize {
        // 20 ms at a time, up to 12 ms late.
        if ms % 20 == [0, 7, 12, 3][ms / 20 % 4] {
            writer.write(&tone(16_000, 400.0, position, 320));
            position += 320;
        }
        if ms % 10 == 5 {
            let read = cushion.read(&mut block);
            block[read..].fill(0);
            all.extend_from_slice(&block);
        }
    }
    assert!((crate::testing::share_of_tone(&all[1600..], 16_000, 400.0) - 1.0).abs() < 0.001);
    assert_eq!(writer.dropped(), 0);
}

#[test]
fn what_piled_up_while_nobody_read_is_left_out() {
    let format = AudioFormat::new(8_000, 1);
    let (mut writer, mut cushion) = leg(format, Duration::from_millis(20));
    writer.write(&tone(8_000, 400.0, 0, 3200));
    let mut block = [0; 80];
    assert_eq!(cushion.read(&mut block), 80);
    assert_eq!(writer.queued(), 160);
    // Dry: silence until the cushion is full again.
    while cushion.read(&mut block) > 0 {}
    writer.write(&[1; 160]);
    assert_eq!(cushion.read(&mut block), 0);
    writer.write(&[1; 80]);
    assert_eq!(cushion.read(&mut block), 80);
}

#[test]
fn a_writer_with_a_faster_clock_causes_no_growing_delay() {
    let format = AudioFormat::new(8_000, 1);
    let (mut writer, mut cushion) = leg(format, Duration::from_millis(20));
    let mut block = [0; 80];
    for n in 0..10_000usize {
        // One percent too much.
        writer.write(&tone(8_000, 400.0, n * 80, 80));
        if n % 100 == 0 {
            writer.write(&[0; 80]);
        }
        cushion.read(&mut block);
        assert!(writer.queued() <= 160 + 800 + 160);
    }
    assert!(writer.queued() < 800, "{}", writer.queued());
}
