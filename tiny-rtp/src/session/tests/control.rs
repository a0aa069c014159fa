//! RTCP both ways: reports, figures, leaving, time-outs, bounds (RFC 3550 §6).

use super::*;
use crate::rtcp::{ReportBlock, RtcpWriter, SdesKind};

fn rtcp(s: &mut Session, now: Instant, build: impl FnOnce(&mut RtcpWriter<'_, Vec<u8>>)) {
    let mut data = Vec::new();
    build(&mut RtcpWriter::new(&mut data));
    s.handle(now, Input::Rtcp { from: rtcp_of(bob()), data: &data }).unwrap();
}

fn block(ssrc: Ssrc) -> ReportBlock {
    ReportBlock {
        ssrc,
        fraction_lost: 0,
        cumulative_lost: 0,
        highest_sequence: 0,
        jitter: 0,
        last_sr: 0,
        delay_since_last_sr: 0,
    }
}

fn cname<'a>(name: &'a str) -> [crate::rtcp::SdesText<'a>; 1] {
    [crate::rtcp::SdesText { kind: SdesKind::Cname, text: name }]
}

#[test]
fn a_call_over_a_line_with_delay_and_loss_ends_with_true_figures_on_both_sides() {
    let mut call = Call::new(42, ms(35), 0.05);
    // 60 s, both talking.
    (0..3000).for_each(|n| call.tick(n, [true, true]));
    for side in 0..2 {
        let stats = call.sides[side].1.stats();
        let lost = stats.lost as f64 / 3000.0;
        assert!((0.035..0.065).contains(&lost), "{lost}");
        // Two packets are still on the line.
        assert!((2998 - 1..=3000).contains(&(stats.rx_packets + stats.lost)));
        assert!((stats.rtt_ms.unwrap() - 70.0).abs() < 0.1, "{:?}", stats.rtt_ms);
        assert!(stats.jitter_ms < 0.01);
        let theirs = call.sides[1 - side].1.stats();
        let told = f64::from(stats.remote_lost.unwrap());
        assert!((told - theirs.lost as f64).abs() <= theirs.lost as f64 * 0.15);
        assert!((0.0..0.2).contains(&stats.remote_fraction_lost.unwrap()));
        assert_eq!(stats.remote_jitter_ms, Some(0.0));
        assert!(
            (9..=14).contains(&call.rtcp_sent[side]),
            "{}: about every 5 s",
            call.rtcp_sent[side]
        );
        let other = &call.sides[1 - side].1;
        let name = Event::SourceNamed { ssrc: other.ssrc(), cname: other.cname().into() };
        assert!(call.events[side].contains(&name));
        assert_eq!(stats.drops.malformed_rtcp + stats.drops.foreign_address, 0);
    }
    // Sender reports tie timestamps to the wall clock: both clocks began at the same time here.
    let (sender, receiver) = (&call.sides[0].1, &call.sides[1].1);
    let at = receiver.sampled_at(sender.ssrc(), sender.timestamp_at(0)).unwrap();
    assert!(at.seconds_since(NtpTime(0xe000_0000 << 32)).abs() < 0.001);
}

#[test]
fn a_report_is_an_sr_with_the_cname_and_a_block_octet_by_octet() {
    let start = Instant::now();
    let mut now = start;
    let fixed = SessionConfig {
        ssrc: Some(Ssrc(0xaaaa_aaaa)),
        cname: Some("me".into()),
        ..config(now, bob())
    };
    let mut s = Session::new(now, fixed, Rng::from_seed(1));
    let mut out = Vec::new();
    s.send(now, PCMU, false, 0, &[0; 160], &mut out).unwrap();
    s.send(now, PCMU, false, 0, &[0; 160], &mut out).unwrap();
    feed(&mut s, &mut now, bob(), 0xbbbb_bbbb, 65_534, 4);
    let (sent, _) = run_until(&mut s, &mut now, start + secs(4));
    let (at, t) = &sent[0];
    assert_eq!((t.component, t.to), (Component::Rtcp, rtcp_of(bob())));
    let since = *at - start;
    let ticks = s.timestamp_at((since.as_nanos() * 8000 / 1_000_000_000) as u32);
    let mut expected = vec![0x81, 200, 0, 12, 0xaa, 0xaa, 0xaa, 0xaa];
    expected.extend(NtpTime(0xe000_0000 << 32).after(since).0.to_be_bytes());
    expected.extend(ticks.0.to_be_bytes());
    expected.extend([0, 0, 0, 2, 0, 0, 1, 64]);
    expected.extend([0xbb, 0xbb, 0xbb, 0xbb, 0, 0, 0, 0, 0, 1, 0, 1]);
    let jitter_at = expected.len();
    expected.extend([0; 12]);
    expected.extend([0x81, 202, 0, 3, 0xaa, 0xaa, 0xaa, 0xaa, 1, 2, b'm', b'e', 0, 0, 0, 0]);
    let mut seen = t.data.clone();
    // The timestamps of the four packets jump at the wrap of our test's sequence numbers.
    seen[jitter_at..jitter_at + 4].fill(0);
    assert_eq!(seen, expected);
    assert_eq!(s.poll(now), s.poll(now), "polling again changes nothing");
}

#[test]
fn who_only_listens_sends_receiver_reports_and_changes_back() {
    let mut call = Call::new(7, ms(10), 0.0);
    (0..1500).for_each(|n| call.tick(n, [n < 400, true]));
    // Alice fell silent after 8 s; her later reports are RRs.
    let mut now = call.now;
    let later = now + secs(20);
    let (sent, _) = run_until(&mut call.sides[0].1, &mut now, later);
    assert!(sent.iter().all(|(_, t)| matches!(parsed(&t.data)[0], RtcpPacket::ReceiverReport(_))));
    assert!(!sent.is_empty());
    let mut out = Vec::new();
    call.sides[0].1.send(now, PCMU, true, 240_000, &[1], &mut out).unwrap();
    let later = now + secs(10);
    let (sent, _) = run_until(&mut call.sides[0].1, &mut now, later);
    assert!(matches!(parsed(&sent[0].1.data)[0], RtcpPacket::SenderReport(_)));
}

#[test]
fn a_source_that_was_not_heard_since_the_last_report_gets_no_block() {
    let mut now = Instant::now();
    let mut s = session(now, bob(), 1);
    feed(&mut s, &mut now, bob(), 7, 0, 10);
    let later = now + secs(12);
    let (sent, _) = run_until(&mut s, &mut now, later);
    let counts: Vec<usize> = sent
        .iter()
        .map(|(_, t)| match parsed(&t.data)[0] {
            RtcpPacket::ReceiverReport(rr) => rr.blocks().len(),
            _ => panic!(),
        })
        .collect();
    assert_eq!(counts[..2], [1, 0]);
}

#[test]
fn a_source_that_has_left_gets_no_block() {
    let mut now = Instant::now();
    let mut s = session(now, bob(), 1);
    feed(&mut s, &mut now, bob(), 7, 0, 10);
    feed(&mut s, &mut now, bob(), 8, 0, 10);
    rtcp(&mut s, now, |w| {
        w.receiver_report(Ssrc(7), &[]).unwrap();
        w.bye(&[Ssrc(7)], None).unwrap();
    });
    let later = now + secs(4);
    let (sent, _) = run_until(&mut s, &mut now, later);
    let RtcpPacket::ReceiverReport(rr) = parsed(&sent[0].1.data)[0] else { panic!() };
    assert_eq!(rr.blocks().map(|b| b.ssrc).collect::<Vec<_>>(), [Ssrc(8)]);
}

#[test]
fn one_report_makes_no_member_but_a_second_one_or_a_cname_does() {
    let now = Instant::now();
    let mut s = session(now, bob(), 1);
    rtcp(&mut s, now, |w| w.receiver_report(Ssrc(7), &[]).unwrap());
    assert_eq!(s.group().members, 1);
    rtcp(&mut s, now, |w| w.receiver_report(Ssrc(7), &[]).unwrap());
    assert_eq!(s.group().members, 2);
    rtcp(&mut s, now, |w| {
        w.receiver_report(Ssrc(8), &[]).unwrap();
        w.sdes(Ssrc(8), &cname("x")).unwrap();
    });
    assert_eq!(s.group().members, 3);
}

#[test]
fn more_sources_than_fit_are_reported_in_turn() {
    let start = Instant::now();
    let mut now = start;
    let any = SessionConfig { source_policy: SourcePolicy::Any, ..config(now, bob()) };
    let mut s = Session::new(now, any, Rng::from_seed(1));
    let mut reported = std::collections::HashSet::new();
    for round in 0..12u16 {
        for ssrc in 1..=40 {
            let mut t = now;
            feed(&mut s, &mut t, bob(), ssrc, round * 2, 2);
        }
        let later = now + secs(5);
        for (_, t) in run_until(&mut s, &mut now, later).0 {
            assert!(t.data.len() <= 1200);
            if let RtcpPacket::ReceiverReport(rr) = parsed(&t.data)[0] {
                assert!(rr.blocks().len() <= 31);
                reported.extend(rr.blocks().map(|b| b.ssrc));
            }
        }
    }
    assert_eq!(reported.len(), 40);
}

#[test]
fn round_trip_times_are_taken_only_from_answers_to_our_own_reports() {
    let mut now = Instant::now();
    let mut s = session(now, bob(), 1);
    let mut out = Vec::new();
    s.send(now, PCMU, false, 0, &[1], &mut out).unwrap();
    let later = now + secs(4);
    let (sent, _) = run_until(&mut s, &mut now, later);
    let RtcpPacket::SenderReport(sr) = parsed(&sent[0].1.data)[0] else { panic!() };
    let (ssrc, sent_at) = (s.ssrc(), sent[0].0);
    let forged = ReportBlock { last_sr: sr.info.ntp.middle() ^ 1, ..block(ssrc) };
    rtcp(&mut s, now, |w| w.receiver_report(Ssrc(7), &[forged]).unwrap());
    assert_eq!(s.stats().rtt_ms, None);
    let answer = ReportBlock {
        last_sr: sr.info.ntp.middle(),
        delay_since_last_sr: 65_536 / 4,
        fraction_lost: 128,
        cumulative_lost: 5,
        jitter: 80,
        ..block(ssrc)
    };
    let at = sent_at + ms(300);
    rtcp(&mut s, at, |w| w.receiver_report(Ssrc(7), &[answer]).unwrap());
    let (_, events, _) = drain(&mut s, at);
    let Some(Event::Report(report)) = events.iter().rfind(|e| matches!(e, Event::Report(_))) else {
        panic!()
    };
    assert!((report.rtt_ms.unwrap() - 50.0).abs() < 0.1);
    assert_eq!((report.fraction_lost, report.cumulative_lost), (0.5, 5));
    assert_eq!((report.reporter, report.jitter_ms), (Ssrc(7), 10.0));
    // A delay longer than the whole trip is a fast clock, not time travel.
    let absurd = ReportBlock { delay_since_last_sr: u32::MAX, ..answer };
    rtcp(&mut s, at, |w| w.receiver_report(Ssrc(7), &[absurd]).unwrap());
    assert_eq!(s.stats().rtt_ms, Some(0.0));
    // Reports about others are none of our business.
    rtcp(&mut s, at, |w| w.receiver_report(Ssrc(7), &[block(Ssrc(1))]).unwrap());
    assert_eq!(s.stats().remote_lost, Some(5));
}

#[test]
fn a_change_of_clock_tells_nothing_false_and_a_new_ssrc_begins_anew() {
    let start = Instant::now();
    let mut now = start;
    let mut s = session(now, bob(), 1);
    let mut out = Vec::new();
    s.send(now, PCMU, false, 0, &[0; 160], &mut out).unwrap();
    s.set_clock_rate(48_000);
    let old = s.ssrc();
    s.renew_ssrc(now);
    let (sent, _, _) = drain(&mut s, now);
    let packets = parsed(&sent[0].data);
    assert!(matches!(packets[0], RtcpPacket::ReceiverReport(_)), "no time on the new clock yet");
    let Some(RtcpPacket::Bye(bye)) = packets.last() else { panic!() };
    assert_eq!(bye.sources().collect::<Vec<_>>(), [old]);
    s.send(now, PCMU, false, 960, &[0; 80], &mut out).unwrap();
    let (sent, _) = run_until(&mut s, &mut now, start + secs(4));
    let RtcpPacket::SenderReport(sr) = parsed(&sent[0].1.data)[0] else { panic!() };
    assert_eq!((sr.ssrc, sr.info.packets, sr.info.octets), (s.ssrc(), 1, 80));
    let since = (sent[0].0 - start).as_nanos() * 48_000 / 1_000_000_000;
    assert_eq!(sr.info.rtp, s.timestamp_at(960 + since as u32));
}

#[test]
fn leaving_says_bye_with_a_last_report_and_then_nothing_more() {
    let mut now = Instant::now();
    let mut s = session(now, bob(), 1);
    let mut out = Vec::new();
    s.send(now, PCMU, false, 0, &[1], &mut out).unwrap();
    feed(&mut s, &mut now, bob(), 7, 0, 10);
    drain(&mut s, now);
    s.end(now, Some("hung up"));
    s.end(now, Some("twice"));
    let (transmits, events, deadline) = drain(&mut s, now);
    assert_eq!((transmits.len(), events, deadline), (1, vec![Event::Ended], None));
    let packets = parsed(&transmits[0].data);
    assert!(matches!(packets[0], RtcpPacket::SenderReport(_)));
    assert!(matches!(packets[1], RtcpPacket::SourceDescription(_)));
    let RtcpPacket::Bye(bye) = packets[2] else { panic!() };
    assert_eq!(bye.sources().collect::<Vec<_>>(), [s.ssrc()]);
    assert_eq!(bye.reason, Some(&b"hung up"[..]));
    assert!(s.is_ended());
}

#[test]
fn who_never_sent_anything_leaves_without_a_bye() {
    let now = Instant::now();
    let mut s = session(now, bob(), 1);
    s.end(now, None);
    let (transmits, events, _) = drain(&mut s, now);
    assert_eq!((transmits.len(), events), (0, vec![Event::Ended]));
}

#[test]
fn in_a_large_group_the_bye_backs_off_and_counts_the_byes_of_others() {
    let mut waits = Vec::new();
    for others in [0u32, 400] {
        let mut now = Instant::now();
        let large = SessionConfig { max_sources: 100, ..config(now, bob()) };
        let mut s = Session::new(now, large, Rng::from_seed(1));
        let mut out = Vec::new();
        s.send(now, PCMU, false, 0, &[1], &mut out).unwrap();
        for ssrc in 1..=60 {
            rtcp(&mut s, now, |w| {
                w.receiver_report(Ssrc(ssrc), &[]).unwrap();
                w.sdes(Ssrc(ssrc), &cname("x")).unwrap();
            });
        }
        assert_eq!(s.group().members, 61);
        drain(&mut s, now);
        let begin = now;
        s.end(now, Some("bye"));
        assert!(!s.is_ended());
        for ssrc in 1..=others {
            rtcp(&mut s, now, |w| {
                w.receiver_report(Ssrc(ssrc), &[]).unwrap();
                w.bye(&[Ssrc(ssrc)], None).unwrap();
            });
        }
        rtcp(&mut s, now, |w| w.receiver_report(Ssrc(1), &[]).unwrap());
        assert_eq!(s.group().members, 1 + others as usize, "only BYEs count while leaving");
        let later = now + secs(400);
        let (sent, events) = run_until(&mut s, &mut now, later);
        assert_eq!((sent.len(), events.last()), (1, Some(&Event::Ended)));
        assert!(matches!(parsed(&sent[0].1.data).last(), Some(RtcpPacket::Bye(_))));
        waits.push((sent[0].0 - begin).as_secs_f64());
    }
    assert!((1.0..3.1).contains(&waits[0]), "{waits:?}: alone, half the minimum");
    assert!(waits[1] > 10.0, "{waits:?}: behind 400 others");
}

#[test]
fn a_source_that_says_bye_is_gone_its_stragglers_are_dropped_and_it_may_come_back() {
    let mut now = Instant::now();
    let mut s = session(now, bob(), 1);
    feed(&mut s, &mut now, bob(), 7, 0, 10);
    drain(&mut s, now);
    rtcp(&mut s, now, |w| {
        w.receiver_report(Ssrc(7), &[]).unwrap();
        w.bye(&[Ssrc(7)], Some("ciao")).unwrap();
    });
    let (_, events, _) = drain(&mut s, now);
    let why = Removal::Bye(Some("ciao".into()));
    assert_eq!(events, [Event::SourceRemoved { ssrc: Ssrc(7), why }]);
    assert_eq!(s.group().members, 1);
    assert_eq!(s.receive(now, bob(), &packet(7, 10, 0)).unwrap_err(), DropReason::AfterBye);
    now += secs(2);
    assert_eq!(feed(&mut s, &mut now, bob(), 7, 11, 10), 10);
    assert_eq!(s.stats().rx_packets, 20, "what was counted before is not lost");
}

#[test]
fn byes_bring_the_next_report_nearer() {
    let mut now = Instant::now();
    let slow = SessionConfig { session_bandwidth: 8000.0, max_sources: 100, ..config(now, bob()) };
    let mut s = Session::new(now, slow, Rng::from_seed(1));
    for ssrc in 1..=60 {
        rtcp(&mut s, now, |w| {
            w.receiver_report(Ssrc(ssrc), &[]).unwrap();
            w.sdes(Ssrc(ssrc), &cname("x")).unwrap();
        });
    }
    // The first expiry reconsiders: 60 members share 50 octets a second.
    let (_, _, first) = drain(&mut s, now);
    now = first.unwrap();
    let (sent, _, before) = drain(&mut s, now);
    assert!(sent.is_empty(), "reconsideration holds it back");
    let all: Vec<Ssrc> = (1..=60).map(Ssrc).collect();
    for half in all.chunks(30) {
        rtcp(&mut s, now, |w| {
            w.receiver_report(Ssrc(1), &[]).unwrap();
            w.bye(half, None).unwrap();
        });
    }
    let (_, _, after) = drain(&mut s, now);
    assert!((after.unwrap() - now) * 20 < before.unwrap() - now);
}

#[test]
fn a_silent_participant_is_timed_out_after_five_intervals() {
    let start = Instant::now();
    let mut now = start;
    let mut s = session(now, bob(), 1);
    feed(&mut s, &mut now, bob(), 7, 0, 10);
    drain(&mut s, now);
    let (_, events) = run_until(&mut s, &mut now, start + secs(25));
    assert_eq!(events, []);
    let (_, events) = run_until(&mut s, &mut now, start + secs(40));
    let why = Removal::Timeout;
    assert_eq!(events, [Event::SourceRemoved { ssrc: Ssrc(7), why }]);
    assert_eq!((s.sources().count(), s.stats().rx_packets), (0, 10));
}

#[test]
fn a_source_on_probation_is_forgotten_sooner_and_in_silence() {
    let start = Instant::now();
    let mut now = start;
    let mut s = session(now, bob(), 1);
    s.receive(now, bob(), &packet(7, 0, 0)).unwrap_err();
    let (_, events) = run_until(&mut s, &mut now, start + secs(11));
    assert_eq!((events, s.sources().count(), s.held.len()), (vec![], 0, 0));
}

#[test]
fn the_reduced_minimum_reports_more_often() {
    let start = Instant::now();
    let mut counts = Vec::new();
    for reduced_minimum in [false, true] {
        let mut now = start;
        let wide =
            SessionConfig { reduced_minimum, session_bandwidth: 720_000.0, ..config(now, bob()) };
        let mut s = Session::new(now, wide, Rng::from_seed(1));
        counts.push(run_until(&mut s, &mut now, start + secs(100)).0.len());
    }
    assert!((15..=25).contains(&counts[0]), "{counts:?}");
    assert!((150..=250).contains(&counts[1]), "{counts:?}");
}

#[test]
fn without_bandwidth_there_is_no_rtcp_and_no_bye_but_time_outs_go_on() {
    let start = Instant::now();
    let mut now = start;
    let off = SessionConfig { rtcp_bandwidth: Some(RtcpBandwidth::OFF), ..config(now, bob()) };
    let mut s = Session::new(now, off, Rng::from_seed(1));
    let mut out = Vec::new();
    s.send(now, PCMU, false, 0, &[1], &mut out).unwrap();
    feed(&mut s, &mut now, bob(), 7, 0, 10);
    let (sent, events) = run_until(&mut s, &mut now, start + secs(60));
    assert!(sent.is_empty());
    assert!(events.iter().any(|e| matches!(e, Event::SourceRemoved { .. })));
    s.end(now, None);
    assert!(drain(&mut s, now).0.is_empty());
}

#[test]
fn receivers_without_bandwidth_are_silent_and_senders_are_not() {
    let start = Instant::now();
    let mut now = start;
    let bandwidth = RtcpBandwidth { senders: 1000.0, receivers: 0.0 };
    let only = SessionConfig { rtcp_bandwidth: Some(bandwidth), ..config(now, bob()) };
    let mut s = Session::new(now, only, Rng::from_seed(1));
    assert!(run_until(&mut s, &mut now, start + secs(30)).0.is_empty());
    let mut out = Vec::new();
    s.send(now, PCMU, false, 0, &[1], &mut out).unwrap();
    assert!(!run_until(&mut s, &mut now, start + secs(45)).0.is_empty());
}

#[test]
fn names_are_told_with_every_third_report_and_the_tool_with_the_eighth_of_those() {
    let start = Instant::now();
    let mut now = start;
    let named = SessionConfig {
        name: Some("Alice".into()),
        tool: Some("tiny".into()),
        ..config(now, bob())
    };
    let mut s = Session::new(now, named, Rng::from_seed(1));
    let (sent, _) = run_until(&mut s, &mut now, start + secs(300));
    let extra: Vec<Option<SdesKind>> = sent
        .iter()
        .map(|(_, t)| match parsed(&t.data)[1] {
            RtcpPacket::SourceDescription(sdes) => {
                sdes.chunks().next().unwrap().items().nth(1).map(|i| i.kind)
            }
            _ => panic!(),
        })
        .collect();
    let expected = (1..=extra.len()).map(|n| match (n % 3, n / 3 % 8) {
        (0, 0) => Some(SdesKind::Tool),
        (0, _) => Some(SdesKind::Name),
        _ => None,
    });
    assert!(extra.len() > 24);
    assert_eq!(extra, expected.collect::<Vec<_>>());
}

#[test]
fn without_a_destination_nothing_is_sent_and_nothing_spins() {
    let start = Instant::now();
    let mut now = start;
    let nowhere = SessionConfig { remote: None, ..config(now, bob()) };
    let mut s = Session::new(now, nowhere, Rng::from_seed(1));
    assert!(run_until(&mut s, &mut now, start + secs(60)).0.is_empty());
}

#[test]
fn application_packets_and_feedback_are_handed_on_and_rubbish_is_counted() {
    let now = Instant::now();
    let mut s = session(now, bob(), 1);
    let own = s.ssrc();
    rtcp(&mut s, now, |w| {
        w.receiver_report(Ssrc(7), &[]).unwrap();
        w.app(3, Ssrc(7), *b"abcd", &[1, 2, 3, 4]).unwrap();
        w.feedback(crate::rtcp::FeedbackKind::Payload, 1, Ssrc(7), own, &[]).unwrap();
        w.feedback(crate::rtcp::FeedbackKind::Payload, 1, Ssrc(7), Ssrc(1), &[]).unwrap();
    });
    let (_, events, _) = drain(&mut s, now);
    assert_eq!(events.len(), 2, "feedback about others is not ours");
    assert!(matches!(&events[0], Event::App { name, .. } if name == b"abcd"));
    assert!(matches!(&events[1], Event::Feedback { format: 1, sender: Ssrc(7), .. }));
    let from = rtcp_of(bob());
    let bad = s.handle(now, Input::Rtcp { from, data: &[0x80, 203, 0, 0] });
    assert!(matches!(bad, Err(DropReason::MalformedRtcp(_))));
    // A compound with a rotten middle: the rest counts.
    let rotten = [0x80, 201, 0, 1, 0, 0, 0, 7, 0x9f, 203, 0, 0];
    s.handle(now, Input::Rtcp { from, data: &rotten }).unwrap();
    assert_eq!(s.stats().drops.malformed_rtcp, 2);
}

#[test]
fn events_that_nobody_polls_are_bounded() {
    let now = Instant::now();
    let mut s = session(now, bob(), 1);
    for _ in 0..1000 {
        rtcp(&mut s, now, |w| {
            w.receiver_report(Ssrc(7), &[]).unwrap();
            w.app(0, Ssrc(7), *b"fill", &[]).unwrap();
        });
    }
    assert_eq!(s.stats().events_dropped, 1000 - 256);
    assert_eq!(drain(&mut s, now).1.len(), 256);
}

#[test]
fn hostile_rtcp_fills_no_table_beyond_its_bound() {
    let now = Instant::now();
    let mut s = session(now, bob(), 1);
    let from = rtcp_of(bob());
    for ssrc in 1..5000u32 {
        let mut data = Vec::new();
        let mut w = RtcpWriter::new(&mut data);
        w.receiver_report(Ssrc(ssrc), &[]).unwrap();
        w.sdes(Ssrc(ssrc), &cname("name")).unwrap();
        let _ = s.handle(now, Input::Rtcp { from, data: &data });
    }
    assert_eq!(s.sources().count(), 64);
    assert!(s.stats().drops.too_many_sources > 4000);
    let mut t = now;
    assert_eq!(feed(&mut s, &mut t, bob(), 99_999, 0, 5), 5, "media finds its place all the same");
}

#[test]
fn feedback_without_a_report_in_front_is_taken_where_that_was_agreed_on() {
    let now = Instant::now();
    let mut s = session(now, bob(), 1);
    let mut alone = Vec::new();
    let mut writer = RtcpWriter::new(&mut alone);
    writer.feedback(crate::rtcp::FeedbackKind::Transport, 1, Ssrc(7), s.ssrc(), &[0; 4]).unwrap();
    let from = Remote::new(bob()).rtcp;
    let refused = s.handle(now, Input::Rtcp { from, data: &alone });
    assert_eq!(refused, Err(DropReason::MalformedRtcp(crate::rtcp::RtcpError::First(205))));
    s.set_rtcp_size(crate::rtcp::Size::Reduced);
    s.handle(now, Input::Rtcp { from, data: &alone }).unwrap();
    let (_, events, _) = drain(&mut s, now);
    assert!(matches!(&events[..], [Event::Feedback { format: 1, sender: Ssrc(7), .. }]));
    // What it takes alone it takes in company, too.
    rtcp(&mut s, now, |w| w.receiver_report(Ssrc(7), &[]).unwrap());
    s.set_rtcp_size(crate::rtcp::Size::Compound);
    assert!(s.handle(now, Input::Rtcp { from, data: &alone }).is_err());
}
