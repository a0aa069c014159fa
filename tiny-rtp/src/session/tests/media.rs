//! Sending and receiving media: headers, probation, statistics, hostile input.

use super::*;

#[test]
fn a_packet_is_written_with_random_beginnings_and_consecutive_numbers() {
    let now = Instant::now();
    let mut s = session(now, bob(), 1);
    let (first, offset) = (s.next_sequence(), s.timestamp_at(0));
    let mut out = Vec::with_capacity(400);
    assert_eq!(s.send(now, PCMU, true, 0, &[1, 2, 3], &mut out), Ok(bob()));
    let mut expected = vec![0x80, 0x80];
    expected.extend(first.0.to_be_bytes());
    expected.extend(offset.0.to_be_bytes());
    expected.extend(s.ssrc().0.to_be_bytes());
    expected.extend([1, 2, 3]);
    assert_eq!(out, expected);
    out.clear();
    s.send(now, PCMU, false, 160, &[4], &mut out).unwrap();
    let view = RtpPacket::parse(&out).unwrap();
    assert_eq!((view.sequence(), view.timestamp()), (first.next(), offset + 160));
    assert!(!view.marker());
    let other = session(now, bob(), 2);
    assert_ne!((other.next_sequence(), other.timestamp_at(0)), (first, offset));
    assert_ne!(other.ssrc(), s.ssrc());
    assert_ne!(other.cname(), s.cname());
    assert_eq!((s.stats().tx_packets, s.stats().tx_bytes), (2, 4));
}

#[test]
fn an_encoder_writes_behind_the_header_and_silence_leaves_no_trace() {
    let now = Instant::now();
    let mut s = session(now, bob(), 1);
    let first = s.next_sequence();
    let mut out = vec![0xee];
    let silence = s.send_with(now, PCMU, false, 0, &mut out, |out| {
        out.extend([1, 2, 3]);
        false
    });
    assert_eq!((silence, out.as_slice(), s.next_sequence()), (Ok(None), &[0xee][..], first));
    let sent = s.send_with(now, PCMU, false, 160, &mut out, |out| {
        out.extend([9; 40]);
        true
    });
    assert_eq!(sent, Ok(Some(bob())));
    let view = RtpPacket::parse(&out[1..]).unwrap();
    assert_eq!((view.sequence(), view.payload()), (first, &[9u8; 40][..]));
    assert_eq!((s.stats().tx_packets, s.stats().tx_bytes), (1, 40));
}

#[test]
fn header_extensions_are_sent_and_read() {
    let now = Instant::now();
    let mut s = session(now, bob(), 1);
    let mut out = Vec::new();
    let level = [crate::Extension { id: 1, data: &[0x8a] }];
    s.send_extended(now, PCMU, false, 0, &level, &[5], &mut out).unwrap();
    assert_eq!(RtpPacket::parse(&out).unwrap().extension(1), Some(&[0x8au8][..]));
}

#[test]
fn sending_into_a_buffer_with_room_never_moves_it() {
    let now = Instant::now();
    let mut s = session(now, bob(), 1);
    let mut out = Vec::with_capacity(172);
    let place = out.as_ptr();
    for n in 0..1000 {
        out.clear();
        s.send(now, PCMU, false, n * 160, &[0; 160], &mut out).unwrap();
    }
    assert_eq!((out.as_ptr(), out.capacity()), (place, 172));
}

#[test]
fn sending_is_refused_in_plain_words() {
    let now = Instant::now();
    let mut out = Vec::new();
    let mut nowhere =
        Session::new(now, SessionConfig { remote: None, ..config(now, bob()) }, Rng::from_seed(1));
    assert_eq!(nowhere.send(now, PCMU, false, 0, &[], &mut out), Err(SendError::NoRemote));
    let mut mux = session(now, bob(), 1);
    mux.set_rtcp_mux(true);
    let bad = PayloadType::new(72).unwrap();
    assert_eq!(mux.send(now, bad, false, 0, &[], &mut out), Err(SendError::PayloadType(bad)));
    mux.end(now, None);
    assert_eq!(mux.send(now, PCMU, false, 0, &[], &mut out), Err(SendError::Ended));
    assert_eq!(mux.receive(now, bob(), &packet(1, 1, 1)).unwrap_err(), DropReason::Ended);
    assert!(out.is_empty());
}

#[test]
fn the_first_packet_waits_for_the_second_and_nothing_is_lost() {
    let mut now = Instant::now();
    let mut s = session(now, bob(), 1);
    assert_eq!(s.receive(now, bob(), &packet(7, 9, 0)).unwrap_err(), DropReason::Probation);
    assert!(s.next_held().is_none());
    let first_came = now;
    now += ms(20);
    let data = packet(7, 10, 160);
    let Ok(Received::Rtp(media)) = s.receive(now, bob(), &data) else { panic!() };
    assert!(media.held && media.restarted && !media.reordered);
    assert_eq!(media.sequence, 65_536 + 10);
    let held = s.next_held().unwrap();
    assert_eq!((held.arrival, held.packet().unwrap().sequence()), (first_came, SequenceNumber(9)));
    assert!(s.next_held().is_none());
    let stats = s.stats();
    assert_eq!((stats.rx_packets, stats.rx_bytes, stats.lost), (2, 320, 0));
    let (_, events, _) = drain(&mut s, now);
    assert_eq!(events, [Event::SourceAdded { ssrc: Ssrc(7), from: bob() }]);
}

#[test]
fn a_lone_packet_on_probation_is_forgotten() {
    let now = Instant::now();
    let mut s = session(now, bob(), 1);
    s.receive(now, bob(), &packet(7, 9, 0)).unwrap_err();
    s.receive(now, bob(), &packet(7, 50, 0)).unwrap_err();
    let data = packet(7, 51, 0);
    assert!(s.receive(now, bob(), &data).is_ok());
    let held = s.next_held().unwrap();
    assert_eq!(held.packet().unwrap().sequence(), SequenceNumber(50), "9 proves nothing");
    assert!(s.next_held().is_none());
}

#[test]
fn statistics_count_lost_duplicated_reordered_and_late() {
    let mut now = Instant::now();
    let mut s = session(now, bob(), 1);
    assert_eq!(feed(&mut s, &mut now, bob(), 7, 0, 200), 200);
    // 200 and 201 overtaken by 202; 203 lost; 202 twice; 50 far too late.
    type Outcome = Result<(bool, u64), DropReason>;
    let order: [(u16, Outcome); 6] = [
        (202, Ok((false, 65_738))),
        (200, Ok((true, 65_736))),
        (201, Ok((true, 65_737))),
        (202, Err(DropReason::Duplicate)),
        (204, Ok((false, 65_740))),
        (50, Err(DropReason::TooLate)),
    ];
    for (sequence, expected) in order {
        let data = packet(7, sequence, u32::from(sequence) * 160);
        let result = s.receive(now, bob(), &data);
        let seen = result.map(|r| match r {
            Received::Rtp(m) => (m.reordered, m.sequence),
            Received::Rtcp => panic!(),
        });
        assert_eq!(seen, expected, "{sequence}");
    }
    s.count_late(3);
    let stats = s.stats();
    assert_eq!((stats.rx_packets, stats.lost, stats.duplicated, stats.reordered), (204, 1, 1, 2));
    assert_eq!(stats.late, 4, "one by the session, three by playout");
    let source = s.sources().next().unwrap();
    assert_eq!((source.packets, source.expected, source.lost), (204, 205, 1));
    assert!(source.valid);
}

#[test]
fn jitter_of_an_even_stream_is_zero_and_of_an_uneven_one_is_not() {
    let start = Instant::now();
    for (uneven, low, high) in [(0, 0.0, 0.001), (10, 9.0, 11.0)] {
        let mut s = session(start, bob(), 1);
        for n in 0..500u16 {
            let wobble = if n % 2 == 0 { 0 } else { uneven };
            let at = start + ms(20 * u64::from(n) + wobble);
            let _ = s.receive(at, bob(), &packet(7, n, u32::from(n) * 160));
        }
        let jitter = s.stats().jitter_ms;
        assert!((low..high).contains(&jitter), "{jitter}");
    }
}

#[test]
fn what_does_not_belong_here_is_dropped_and_counted_by_reason() {
    let mut now = Instant::now();
    let mut s = session(now, bob(), 1);
    feed(&mut s, &mut now, bob(), 7, 0, 5);
    let mut unknown = packet(7, 5, 0);
    unknown[1] = 8;
    let mut version = packet(7, 5, 0);
    version[0] = 0x40;
    let rtcp = [0x80, 201, 0, 1, 0, 0, 0, 7];
    let mut cases = vec![
        (unknown, DropReason::UnknownPayloadType(PayloadType::PCMA)),
        (version, DropReason::Malformed(crate::RtpError::Version(1))),
        (vec![], DropReason::Malformed(crate::RtpError::Short(0))),
        (rtcp.to_vec(), DropReason::UnexpectedRtcp),
        (packet(7, 30_000, 0), DropReason::SequenceJump),
        (packet(7, 4, 0), DropReason::Duplicate),
    ];
    for (data, expected) in cases.drain(..) {
        assert_eq!(s.receive(now, bob(), &data).unwrap_err(), expected);
    }
    let drops = s.stats().drops;
    assert_eq!((drops.unknown_payload_type, drops.malformed, drops.unexpected_rtcp), (1, 2, 1));
    assert_eq!((drops.sequence_jump, drops.duplicate, drops.probation), (1, 1, 1));
    assert_eq!(drops.total(), 7);
    assert_eq!(feed(&mut s, &mut now, bob(), 7, 5, 5), 5, "and the stream goes on");
}

#[test]
fn a_source_that_restarts_is_taken_anew_and_totals_go_on() {
    let mut now = Instant::now();
    let mut s = session(now, bob(), 1);
    feed(&mut s, &mut now, bob(), 7, 0, 10);
    let drops = feed(&mut s, &mut now, bob(), 7, 40_000, 10);
    assert_eq!(drops, 9, "the first packet of the jump is not believed (A.1)");
    let (_, events, _) = drain(&mut s, now);
    assert!(events.contains(&Event::SourceRestarted { ssrc: Ssrc(7) }));
    assert_eq!((s.stats().rx_packets, s.stats().lost), (19, 0));
}

#[test]
fn a_second_source_from_the_same_peer_is_heard_too() {
    let mut now = Instant::now();
    let mut s = session(now, bob(), 1);
    feed(&mut s, &mut now, bob(), 7, 0, 10);
    assert_eq!(feed(&mut s, &mut now, bob(), 8, 500, 10), 10);
    assert_eq!(s.sources().count(), 2);
    assert_eq!(s.stats().rx_packets, 20);
}

#[test]
fn sources_are_bounded_and_what_has_proven_nothing_gives_way() {
    let mut now = Instant::now();
    let small = SessionConfig { max_sources: 4, ..config(now, bob()) };
    let mut s = Session::new(now, small, Rng::from_seed(1));
    for ssrc in 100..1100 {
        now += ms(1);
        s.receive(now, bob(), &packet(ssrc, 1, 0)).unwrap_err();
        assert!(s.sources().count() <= 4);
    }
    for ssrc in 1..=4 {
        assert_eq!(feed(&mut s, &mut now, bob(), ssrc, 0, 5), 5);
    }
    let refused = s.receive(now, bob(), &packet(5, 0, 0)).unwrap_err();
    assert_eq!(refused, DropReason::TooManySources);
    assert_eq!(feed(&mut s, &mut now, bob(), 4, 5, 5), 5, "the old ones go on");
}

#[test]
fn contributing_sources_are_members_but_never_keep_media_out() {
    let mut now = Instant::now();
    let small = SessionConfig { max_sources: 16, ..config(now, bob()) };
    let mut s = Session::new(now, small, Rng::from_seed(1));
    feed(&mut s, &mut now, bob(), 7, 0, 2);
    let csrcs: Vec<Ssrc> = (100..115).map(Ssrc).collect();
    let header = RtpHeader {
        csrcs: &csrcs,
        ..RtpHeader::new(PCMU, SequenceNumber(2), RtpTimestamp(0), Ssrc(7))
    };
    let mut data = Vec::new();
    header.write(&[0; 10], &mut data).unwrap();
    s.receive(now, bob(), &data).unwrap();
    assert_eq!(s.sources().count(), 16);
    assert_eq!(s.group().members, 17);
    assert_eq!(feed(&mut s, &mut now, bob(), 8, 0, 5), 5, "a contributor gives way");
}

#[test]
fn packets_held_are_bounded_in_number_and_length() {
    let now = Instant::now();
    let mut s = session(now, bob(), 1);
    for ssrc in 0..1000 {
        s.receive(now, bob(), &packet(ssrc, 1, 0)).unwrap_err();
    }
    assert!(s.held.len() <= 16);
    let long = [packet(5000, 1, 0), vec![0; 3000]].concat();
    s.receive(now, bob(), &long).unwrap_err();
    let next = packet(5000, 2, 0);
    let Ok(Received::Rtp(media)) = s.receive(now, bob(), &next) else { panic!() };
    assert!(!media.held);
}

#[test]
fn sequence_numbers_begin_in_the_lower_half() {
    let first = |seed| session(Instant::now(), bob(), seed).next_sequence().0;
    let all: Vec<u16> = (0..64).map(first).collect();
    assert!(all.iter().all(|s| *s < 1 << 15), "RFC 4568 §6.4: {all:?}");
    assert!(all.iter().any(|s| *s > 1 << 13), "and at random: {all:?}");
}

#[test]
fn telephone_events_keep_sequence_numbers_and_the_clock_of_reports() {
    let start = Instant::now();
    let mut s = session(start, bob(), 1);
    let mut out = Vec::new();
    for n in 0..10u32 {
        s.send(start + ms(20 * u64::from(n)), PCMU, false, n * 160, &[0; 160], &mut out).unwrap();
    }
    let next = s.next_sequence();
    // An event that lasts 10 s: all its packets carry its beginning.
    let mut now = start;
    for n in 10..510u64 {
        now = start + ms(20 * n);
        out.clear();
        s.send(now, events_type(), n == 10, 1600, &[5, 10, 0, 160], &mut out).unwrap();
    }
    assert_eq!(RtpPacket::parse(&out).unwrap().sequence(), next + 499);
    assert_eq!(s.tx.timestamp(now, 8000), Some(s.timestamp_at(509 * 160)));
}

#[test]
fn buffers_come_back_to_use() {
    let now = Instant::now();
    let mut s = session(now, bob(), 1);
    let buffer = Vec::with_capacity(999);
    s.recycle(buffer);
    s.receive(now, bob(), &packet(7, 1, 0)).unwrap_err();
    let next = packet(7, 2, 0);
    s.receive(now, bob(), &next).unwrap();
    let held = s.next_held().unwrap();
    assert_eq!(held.data.capacity(), 999);
    (0..100).for_each(|_| s.recycle(Vec::with_capacity(10)));
    assert!(s.pool.len() <= 8);
}
