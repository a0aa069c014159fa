use super::*;
use crate::RtpTimestamp;
use std::time::{Duration, Instant};
use tiny_sak::{Output, Rng};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn key(c: char) -> TelephoneEvent {
    TelephoneEvent::from_char(c).unwrap()
}

/// The packets of each packet time until the sender is idle.
fn drain(sender: &mut EventSender, ticks: &mut u32, step: u32) -> Vec<(u32, EventPacket)> {
    let mut all = Vec::new();
    while !sender.is_idle() {
        while let Some(packet) = sender.next(*ticks) {
            all.push((*ticks, packet));
        }
        *ticks = ticks.wrapping_add(step);
        assert!(all.len() < 10_000);
    }
    all
}

fn presses(receiver: &mut EventReceiver, now: Instant) -> Vec<(char, u32, bool)> {
    let mut ended = Vec::new();
    while let Output::Event(event) = receiver.poll(now) {
        if let ToneEvent::Ended { event, duration_ms, timed_out } = event {
            ended.push((event.as_char().unwrap(), duration_ms, timed_out));
        }
    }
    ended
}

fn send(events: u8, end: bool, duration: u16) -> [u8; 4] {
    EventPayload { event: TelephoneEvent(events), end, volume: 10, duration }.to_bytes()
}

#[test]
fn the_payload_is_laid_out_as_figure_1_draws_it() {
    let payload = EventPayload { event: key('#'), end: true, volume: 10, duration: 0x0320 };
    assert_eq!(payload.to_bytes(), [11, 0x8a, 0x03, 0x20]);
    assert_eq!(EventPayload::parse([11, 0x8a, 0x03, 0x20]), payload);
    assert_eq!(EventPayload::parse([11, 0xca, 0x03, 0x20]), payload, "the R bit is ignored");
    let loud = EventPayload { volume: 200, ..payload };
    assert_eq!(loud.to_bytes()[1], 0x80 | 63);
}

#[test]
fn all_keys_have_their_codes() {
    for (code, c) in "0123456789*#ABCD".chars().enumerate() {
        assert_eq!(key(c), TelephoneEvent(code as u8));
        assert_eq!(TelephoneEvent(code as u8).as_char(), Some(c));
    }
    assert_eq!((key('d'), key('!'), key('r')), (TelephoneEvent(15), TelephoneEvent(16), key('!')));
    assert_eq!((TelephoneEvent(17).as_char(), TelephoneEvent::from_char('é')), (None, None));
    assert_eq!(
        (key('9').to_string(), TelephoneEvent(70).to_string()),
        ("9".into(), "event 70".into())
    );
}

#[test]
fn event_lists_are_read_and_written() {
    assert_eq!(EventSet::parse("0-15"), Some(EventSet::DTMF));
    assert_eq!(EventSet::parse("0-11,12,13-16"), Some(EventSet::DTMF_AND_FLASH));
    assert_eq!(EventSet::parse("16,0-15").unwrap().to_string(), "0-16");
    assert_eq!(EventSet::parse("255,0,2").unwrap().to_string(), "0,2,255");
    for bad in ["", "a", "1-", "5-3", "256", "1,,2", "-", "0-999"] {
        assert_eq!(EventSet::parse(bad), None, "{bad}");
    }
}

#[test]
fn a_digit_of_100_ms_is_five_updates_and_two_more_ends_octet_by_octet() {
    let mut sender = EventSender::new(EventSenderConfig::default());
    sender.press(key('5'), ms(100)).unwrap();
    let mut ticks = 1600;
    let packets = drain(&mut sender, &mut ticks, 160);
    let seen: Vec<_> = packets.iter().map(|(at, p)| (*at, p.marker, p.payload)).collect();
    let expected = [
        (1600, true, [5, 10, 0x00, 0xa0]),
        (1760, false, [5, 10, 0x01, 0x40]),
        (1920, false, [5, 10, 0x01, 0xe0]),
        (2080, false, [5, 10, 0x02, 0x80]),
        (2240, false, [5, 0x8a, 0x03, 0x20]),
        (2400, false, [5, 0x8a, 0x03, 0x20]),
        (2560, false, [5, 0x8a, 0x03, 0x20]),
    ];
    assert_eq!(seen, expected);
    assert!(packets.iter().all(|(_, p)| p.ticks == 1600), "one timestamp for all of them");
}

#[test]
fn digits_keep_a_pause_between_them_in_which_audio_goes_on() {
    let mut sender = EventSender::new(EventSenderConfig::default());
    sender.press(key('1'), ms(100)).unwrap();
    sender.press(key('2'), ms(100)).unwrap();
    let mut ticks = 0;
    let packets = drain(&mut sender, &mut ticks, 160);
    let second = packets.iter().find(|(_, p)| p.payload[0] == 2).unwrap();
    // The first ends at 800; 70 ms later is 1360, and the next packet time begins at 1440.
    assert_eq!((second.0, second.1.ticks, second.1.marker), (1440, 1440, true));
    let audio: Vec<u32> =
        (0..1440).step_by(160).filter(|t| packets.iter().all(|(at, _)| at != t)).collect();
    assert_eq!(audio, [1120, 1280]);
}

#[test]
fn a_duration_that_is_no_multiple_of_the_packet_time_is_sent_exactly() {
    let mut sender = EventSender::new(EventSenderConfig::default());
    sender.press(key('A'), ms(85)).unwrap();
    let packets = drain(&mut sender, &mut 0, 160);
    let durations: Vec<u16> =
        packets.iter().map(|(_, p)| EventPayload::parse(p.payload).duration).collect();
    assert_eq!(durations, [160, 320, 480, 640, 680, 680, 680]);
}

#[test]
fn a_digit_beyond_0xffff_ticks_is_split_into_segments() {
    // 20 s at 8 kHz: 160,000 ticks are two full segments and 28,930 ticks.
    let mut sender = EventSender::new(EventSenderConfig::default());
    sender.press(key('7'), ms(20_000)).unwrap();
    let packets = drain(&mut sender, &mut 0, 160);
    let reports: Vec<_> =
        packets.iter().map(|(_, p)| (p.ticks, EventPayload::parse(p.payload), p.marker)).collect();
    for segment in [0u32, 0xffff] {
        let full = reports.iter().filter(|(t, p, _)| *t == segment && p.duration == 0xffff);
        assert_eq!(full.clone().count(), 3, "the end of a segment is sent three times");
        assert!(full.clone().all(|(_, p, _)| !p.end));
    }
    let last = &reports[reports.len() - 3..];
    assert!(last.iter().all(|(t, p, _)| (*t, p.duration, p.end) == (2 * 0xffff, 28_930, true)));
    assert_eq!(reports.iter().filter(|(_, p, _)| p.end).count(), 3);
    assert_eq!(reports.iter().filter(|(_, _, marker)| *marker).count(), 1);
    assert!(reports.iter().all(|(_, p, _)| p.duration > 0), "zero would mean forever");
    // And the receiver takes it for one press.
    let mut now = Instant::now();
    let mut receiver = EventReceiver::new(EventReceiverConfig::default());
    for (_, p) in &packets {
        now += ms(20);
        receiver.receive(now, RtpTimestamp(p.ticks), &p.payload);
    }
    assert_eq!(presses(&mut receiver, now), [('7', 20_000, false)]);
}

#[test]
fn opus_with_events_at_48000_and_at_8000() {
    for (event_rate, first, last) in [(48_000u32, 960u16, 4800u16), (8000, 160, 800)] {
        let config = EventSenderConfig { event_rate, media_rate: 48_000, ..Default::default() };
        let mut sender = EventSender::new(config);
        sender.press(key('3'), ms(100)).unwrap();
        let packets = drain(&mut sender, &mut 0, 960);
        let duration = |i: usize| EventPayload::parse(packets[i].1.payload).duration;
        assert_eq!((packets.len(), duration(0), duration(6)), (7, first, last));
        let config = EventReceiverConfig { event_rate, media_rate: 48_000, ..Default::default() };
        let mut receiver = EventReceiver::new(config);
        let now = Instant::now();
        for (_, p) in &packets {
            receiver.receive(now, RtpTimestamp(p.ticks), &p.payload);
        }
        assert_eq!(presses(&mut receiver, now), [('3', 100, false)]);
    }
}

#[test]
fn a_key_held_down_ends_when_released_and_never_shrinks() {
    let mut sender = EventSender::new(EventSenderConfig::default());
    sender.hold(key('*')).unwrap();
    for ticks in (0..1600).step_by(160) {
        assert!(sender.next(ticks).is_some_and(|p| !p.end));
    }
    sender.release();
    let packets = drain(&mut sender, &mut 1600, 160);
    assert_eq!(packets.len(), 3);
    assert!(packets.iter().all(|(_, p)| p.payload == [10, 0x8a, 0x06, 0x40]));
    sender.hold(key('*')).unwrap();
    sender.release();
    let packets = drain(&mut sender, &mut 8000, 160);
    assert_eq!(EventPayload::parse(packets[3].1.payload).duration, 320, "the minimum of 40 ms");
}

#[test]
fn clearing_ends_the_digit_in_the_air_and_forgets_the_rest() {
    let mut sender = EventSender::new(EventSenderConfig::default());
    sender.press(key('1'), ms(500)).unwrap();
    sender.press(key('2'), ms(500)).unwrap();
    sender.next(0);
    sender.next(160);
    sender.clear();
    let packets = drain(&mut sender, &mut 320, 160);
    assert!(packets.iter().all(|(_, p)| p.payload == [1, 0x8a, 0x01, 0x40]));
    assert_eq!(packets.len(), 3);
}

#[test]
fn what_the_peer_has_not_listed_is_refused_and_so_is_a_full_queue() {
    let mut sender = EventSender::new(EventSenderConfig { max_queue: 2, ..Default::default() });
    assert_eq!(sender.press(key('!'), ms(100)), Err(QueueError::NotAllowed(16)));
    sender.press(key('1'), ms(100)).unwrap();
    sender.press(key('1'), ms(100)).unwrap();
    assert_eq!(sender.press(key('1'), ms(100)), Err(QueueError::Full(2)));
    let allowed = EventSet::DTMF_AND_FLASH;
    let mut sender = EventSender::new(EventSenderConfig { allowed, ..Default::default() });
    sender.press(key('!'), ms(100)).unwrap();
    assert_eq!(sender.next(0).unwrap().payload[1], 0, "flash has no volume");
}

#[test]
fn a_packet_time_without_a_digit_belongs_to_audio() {
    let mut sender = EventSender::new(EventSenderConfig::default());
    assert_eq!(sender.next(0), None);
    sender.press(key('1'), ms(100)).unwrap();
    assert_eq!(sender.next(0), None, "the packet time has begun with audio");
    assert!(sender.next(160).is_some());
    assert_eq!(sender.next(160), None, "one update a packet time");
}

#[test]
fn retransmitted_ends_are_one_press() {
    let now = Instant::now();
    let mut receiver = EventReceiver::new(EventReceiverConfig::default());
    for _ in 0..3 {
        receiver.receive(now, RtpTimestamp(9), &send(5, true, 800));
    }
    assert_eq!(presses(&mut receiver, now), [('5', 100, false)]);
    // The same key again is a new press by its timestamp.
    receiver.receive(now, RtpTimestamp(9 + 1600), &send(5, true, 800));
    assert_eq!(presses(&mut receiver, now), [('5', 100, false)]);
    assert_eq!(receiver.ignored(), 2);
}

#[test]
fn a_press_of_which_only_one_packet_arrives_is_still_a_press() {
    for arrives in 0..7usize {
        let mut sender = EventSender::new(EventSenderConfig::default());
        sender.press(key('4'), ms(100)).unwrap();
        let packets = drain(&mut sender, &mut 0, 160);
        let mut receiver = EventReceiver::new(EventReceiverConfig::default());
        let now = Instant::now();
        let p = packets[arrives].1;
        receiver.receive(now, RtpTimestamp(p.ticks), &p.payload);
        let Output::Event(ToneEvent::Started { event, volume: 10 }) = receiver.poll(now) else {
            panic!()
        };
        assert_eq!(event, key('4'));
        let later = now + ms(150);
        let duration = ((arrives as u32 + 1) * 20).min(100);
        assert_eq!(presses(&mut receiver, later), [('4', duration, arrives < 4)]);
    }
}

#[test]
fn a_missed_end_times_out_and_late_reports_do_not_ring_again() {
    let now = Instant::now();
    let mut receiver = EventReceiver::new(EventReceiverConfig::default());
    receiver.receive(now, RtpTimestamp(0), &send(1, false, 160));
    assert!(matches!(receiver.poll(now), Output::Event(ToneEvent::Started { .. })));
    assert_eq!(receiver.poll(now), Output::Timeout(Some(now + ms(150))));
    assert!(receiver.is_active());
    let later = now + ms(150);
    receiver.handle_timeout(later);
    assert_eq!(presses(&mut receiver, later), [('1', 20, true)]);
    receiver.receive(later, RtpTimestamp(0), &send(1, false, 1600));
    receiver.receive(later, RtpTimestamp(0), &send(1, true, 1760));
    assert_eq!(presses(&mut receiver, later + ms(500)), []);
}

#[test]
fn the_next_tone_ends_the_one_before_it() {
    let now = Instant::now();
    let mut receiver = EventReceiver::new(EventReceiverConfig::default());
    receiver.receive(now, RtpTimestamp(0), &send(1, false, 800));
    receiver.receive(now, RtpTimestamp(1600), &send(2, false, 160));
    assert_eq!(presses(&mut receiver, now), [('1', 100, true)]);
    // The straggling end of the first one is known.
    receiver.receive(now, RtpTimestamp(0), &send(1, true, 800));
    receiver.receive(now, RtpTimestamp(1600), &send(2, true, 480));
    assert_eq!(presses(&mut receiver, now), [('2', 60, false)]);
}

#[test]
fn reordered_updates_neither_shorten_nor_revive_a_press() {
    let now = Instant::now();
    let mut receiver = EventReceiver::new(EventReceiverConfig::default());
    for (end, duration) in [(false, 320), (false, 160), (true, 480), (false, 480), (true, 480)] {
        receiver.receive(now, RtpTimestamp(u32::MAX), &send(3, end, duration));
    }
    assert_eq!(presses(&mut receiver, now), [('3', 60, false)]);
    // With the end lost, the longest report counts, not the last to come.
    receiver.receive(now, RtpTimestamp(4000), &send(3, false, 320));
    receiver.receive(now, RtpTimestamp(4000), &send(3, false, 160));
    assert_eq!(presses(&mut receiver, now + ms(150)), [('3', 40, true)]);
}

#[test]
fn several_contiguous_events_in_one_packet_are_told_apart() {
    let now = Instant::now();
    let mut receiver = EventReceiver::new(EventReceiverConfig::default());
    let mut packet = send(1, true, 800).to_vec();
    packet.extend(send(2, true, 400));
    receiver.receive(now, RtpTimestamp(100), &packet);
    receiver.receive(now, RtpTimestamp(900), &send(2, true, 400));
    assert_eq!(presses(&mut receiver, now), [('1', 100, false), ('2', 50, false)]);
}

#[test]
fn zero_durations_and_torn_payloads_are_ignored() {
    let now = Instant::now();
    let mut receiver = EventReceiver::new(EventReceiverConfig::default());
    receiver.receive(now, RtpTimestamp(0), &send(1, false, 0));
    receiver.receive(now, RtpTimestamp(0), &[1, 2, 3]);
    receiver.receive(now, RtpTimestamp(0), &[]);
    assert_eq!(receiver.poll(now), Output::Timeout(None));
    assert_eq!(receiver.ignored(), 3);
}

#[test]
fn a_lost_segment_report_does_not_make_two_presses() {
    let now = Instant::now();
    let mut receiver = EventReceiver::new(EventReceiverConfig::default());
    receiver.receive(now, RtpTimestamp(50), &send(9, false, 0xff00));
    receiver.receive(now, RtpTimestamp(50 + 0xffff), &send(9, false, 65));
    receiver.receive(now, RtpTimestamp(50), &send(9, false, 0xffff));
    receiver.receive(now, RtpTimestamp(50 + 0xffff), &send(9, true, 8000));
    assert_eq!(presses(&mut receiver, now), [('9', (0xffff + 8000) / 8, false)]);
}

/// Found by fuzzing: the distance of half the timestamps' range has no absolute value.
#[test]
fn a_report_half_the_clock_away_does_not_go_on_with_a_press() {
    let now = Instant::now();
    let mut receiver = EventReceiver::new(EventReceiverConfig::default());
    let full = 0xffff_u32;
    receiver.receive(now, RtpTimestamp(1000), &send(5, false, 800));
    receiver.receive(now, RtpTimestamp(1000 + full + (1 << 31)), &send(5, true, 80));
    assert_eq!((presses(&mut receiver, now).len(), receiver.ignored()), (0, 1));
    assert!(receiver.is_active());
}

#[test]
fn the_same_key_eight_seconds_later_is_not_taken_for_a_segment() {
    let now = Instant::now();
    let mut receiver = EventReceiver::new(EventReceiverConfig::default());
    receiver.receive(now, RtpTimestamp(0), &send(9, true, 800));
    receiver.receive(now, RtpTimestamp(0xffff), &send(9, true, 800));
    assert_eq!(presses(&mut receiver, now).len(), 2);
}

#[test]
fn a_new_source_begins_with_a_clean_slate() {
    let now = Instant::now();
    let mut receiver = EventReceiver::new(EventReceiverConfig::default());
    receiver.receive(now, RtpTimestamp(5000), &send(1, false, 800));
    receiver.reset();
    receiver.receive(now, RtpTimestamp(4000), &send(2, true, 800));
    assert_eq!(presses(&mut receiver, now), [('1', 100, true), ('2', 100, false)]);
}

#[test]
fn a_number_dialled_over_a_bad_line_is_recognised_digit_by_digit() {
    // 20 % loss, 10 % duplication, neighbours swapped: every digit has seven packets.
    for seed in 0..200 {
        let mut rng = Rng::from_seed(seed);
        let mut sender = EventSender::new(EventSenderConfig::default());
        let number = "0123456789*#ABCD";
        number.chars().for_each(|c| sender.press(key(c), ms(100)).unwrap());
        let mut ticks = rng.u32();
        let sent = drain(&mut sender, &mut ticks, 160);
        let mut line: Vec<_> = Vec::new();
        for packet in sent {
            if !rng.chance(0.2) {
                line.push(packet);
                if rng.chance(0.1) {
                    line.push(packet);
                }
            }
        }
        for i in 1..line.len() {
            if rng.chance(0.1) {
                line.swap(i - 1, i);
            }
        }
        let start = Instant::now();
        let first = line[0].0;
        let mut receiver = EventReceiver::new(EventReceiverConfig::default());
        let (mut heard, mut now) = (String::new(), start);
        for (at, p) in line {
            now =
                now.max(start + ms(u64::from(at.wrapping_sub(first) as i32 as u32) / 8 % 100_000));
            receiver.receive(now, RtpTimestamp(p.ticks), &p.payload);
            presses(&mut receiver, now).iter().for_each(|(c, ..)| heard.push(*c));
        }
        presses(&mut receiver, now + ms(200)).iter().for_each(|(c, ..)| heard.push(*c));
        // Seven packets lost together leave nothing to hear: one digit in 80,000.
        assert_eq!(heard, number, "seed {seed}");
    }
}

#[test]
fn an_owner_who_never_polls_costs_no_memory() {
    let now = Instant::now();
    let mut receiver = EventReceiver::new(EventReceiverConfig::default());
    for n in 0..10_000u32 {
        receiver.receive(now, RtpTimestamp(n.wrapping_mul(1600)), &send(1, true, 800));
    }
    assert_eq!(presses(&mut receiver, now).len(), 32, "the newest 64 events, half of them ends");
}
