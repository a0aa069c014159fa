//! Nothing from the network makes tiny-rtp panic, loop or grow without bound.

use proptest::collection::vec;
use proptest::prelude::*;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tiny_rtp::rtcp::{Compound, RtcpPacket, RtcpWriter, SdesKind, SdesText, Size};
use tiny_rtp::*;
use tiny_sak::{Output, Rng};

fn read_everything(data: &[u8]) {
    let _ = PacketKind::of(data);
    if let Ok(p) = RtpPacket::parse(data) {
        let total: usize = p.extensions().map(|e| e.data.len()).sum();
        let parts = RTP_HEADER_LEN + p.csrcs().len() * 4 + p.payload().len();
        assert!(parts + usize::from(p.padding()) + total <= data.len());
        let _ = format!("{p:?}");
    }
    for size in [Size::Compound, Size::Reduced] {
        let Ok(compound) = Compound::parse(data, size) else { continue };
        for packet in compound.packets().flatten() {
            match packet {
                RtcpPacket::SenderReport(sr) => assert!(sr.blocks().count() <= 31),
                RtcpPacket::ReceiverReport(rr) => assert!(rr.blocks().count() <= 31),
                RtcpPacket::SourceDescription(sdes) => {
                    let items = sdes.chunks().flat_map(|c| c.items());
                    let octets: usize = items.map(|i| 2 + i.text.len()).sum();
                    assert!(octets <= data.len());
                }
                RtcpPacket::Bye(bye) => assert!(bye.sources().count() <= 31),
                _ => {}
            }
        }
    }
}

fn a_good_rtp_packet() -> Vec<u8> {
    let payload_type = PayloadType::new(96).unwrap();
    let header = RtpHeader {
        csrcs: &[Ssrc(1), Ssrc(2)],
        extensions: &[Extension { id: 1, data: &[1, 2, 3] }, Extension { id: 2, data: &[4] }],
        padding: 8,
        ..RtpHeader::new(payload_type, SequenceNumber(1), RtpTimestamp(2), Ssrc(3))
    };
    let mut out = Vec::new();
    header.write(&[7; 20], &mut out).unwrap();
    out
}

fn a_good_compound() -> Vec<u8> {
    let mut out = Vec::new();
    let mut w = RtcpWriter::new(&mut out);
    w.receiver_report(Ssrc(3), &[]).unwrap();
    w.sdes(Ssrc(3), &[SdesText { kind: SdesKind::Cname, text: "someone" }]).unwrap();
    w.app(1, Ssrc(3), *b"name", &[1, 2, 3, 4]).unwrap();
    w.bye(&[Ssrc(3), Ssrc(4)], Some("reason")).unwrap();
    out
}

fn mutated(mut data: Vec<u8>, edits: &[(usize, u8)], cut: usize) -> Vec<u8> {
    for (at, to) in edits {
        let len = data.len();
        data[at % len] = *to;
    }
    data.truncate(cut.min(data.len()));
    data
}

#[derive(Debug, Clone)]
enum Step {
    Rtp { from: u8, ssrc: u8, sequence: u16, payload_type: u8, octets: u8 },
    Raw { from: u8, data: Vec<u8> },
    Rtcp { from: u8, data: Vec<u8> },
    Control { from: u8, ssrc: u8, kind: u8 },
    Send { ticks: u32 },
    Wait { ms: u32 },
    Remote { which: Option<u8> },
    Renew,
    End,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0u8..4, 0u8..6, any::<u16>(), 0u8..3, any::<u8>()).prop_map(
            |(from, ssrc, sequence, payload_type, octets)| {
                Step::Rtp { from, ssrc, sequence: sequence % 300, payload_type, octets }
            }
        ),
        2 => (0u8..4, vec(any::<u8>(), 0..80)).prop_map(|(from, data)| Step::Raw { from, data }),
        2 => (0u8..4, vec((any::<usize>(), any::<u8>()), 0..4), 0usize..80).prop_map(
            |(from, edits, cut)| Step::Rtcp { from, data: mutated(a_good_compound(), &edits, cut) }
        ),
        4 => (0u8..4, 0u8..6, 0u8..4)
            .prop_map(|(from, ssrc, kind)| Step::Control { from, ssrc, kind }),
        2 => any::<u32>().prop_map(|ticks| Step::Send { ticks }),
        4 => (0u32..30_000).prop_map(|ms| Step::Wait { ms }),
        1 => proptest::option::of(0u8..4).prop_map(|which| Step::Remote { which }),
        1 => Just(Step::Renew),
        1 => Just(Step::End),
    ]
}

fn address(n: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, n], 4000))
}

fn drive(policy: SourcePolicy, mux: bool, seed: u64, steps: Vec<Step>) {
    let mut now = Instant::now();
    let mut config = SessionConfig::new(NtpClock::elapsed_from(now), 8000);
    config.payloads = vec![
        WirePayload::media(PayloadType::PCMU, 8000),
        WirePayload::events(PayloadType::new(101).unwrap(), 48_000),
    ];
    config.remote = Some(Remote::new(address(0)));
    config.source_policy = policy;
    config.rtcp_mux = mux;
    config.max_sources = 5;
    let mut session = Session::new(now, config, Rng::from_seed(seed));
    let mut out = Vec::new();
    for step in steps {
        let ssrc_of = |n: u8| if n == 0 { session.ssrc() } else { Ssrc(u32::from(n)) };
        match step {
            Step::Rtp { from, ssrc, sequence, payload_type, octets } => {
                let payload_type =
                    PayloadType::new([0, 101, 8][usize::from(payload_type)]).unwrap();
                let timestamp = RtpTimestamp(u32::from(sequence).wrapping_mul(0x0101_0160));
                let mut data = Vec::new();
                RtpHeader::new(payload_type, SequenceNumber(sequence), timestamp, ssrc_of(ssrc))
                    .write(&vec![0; usize::from(octets)], &mut data)
                    .unwrap();
                let _ = session.receive(now, address(from), &data);
                while let Some(held) = session.next_held() {
                    assert!(held.packet().is_some());
                    session.recycle(held.data);
                }
            }
            Step::Raw { from, data } => {
                let _ = session.receive(now, address(from), &data);
            }
            Step::Rtcp { from, data } => {
                let input = Input::Rtcp { from: address(from), data: &data };
                let _ = session.handle(now, input);
            }
            Step::Control { from, ssrc, kind } => {
                let ssrc = ssrc_of(ssrc);
                let mut data = Vec::new();
                let mut w = RtcpWriter::new(&mut data);
                w.receiver_report(ssrc, &[]).unwrap();
                match kind {
                    0 => w.sdes(ssrc, &[SdesText { kind: SdesKind::Cname, text: "a" }]).unwrap(),
                    1 => w.sdes(ssrc, &[SdesText { kind: SdesKind::Cname, text: "b" }]).unwrap(),
                    2 => w.bye(&[ssrc], None).unwrap(),
                    _ => {}
                }
                let _ = match mux {
                    true => session.receive(now, address(from), &data).map(|_| ()),
                    false => session.handle(now, Input::Rtcp { from: address(from), data: &data }),
                };
            }
            Step::Send { ticks } => {
                out.clear();
                let sent = session.send(now, PayloadType::PCMU, false, ticks, &[1; 10], &mut out);
                assert_eq!(sent.is_ok(), out.len() == 22);
            }
            Step::Wait { ms } => now += Duration::from_millis(u64::from(ms)),
            Step::Remote { which } => session.set_remote(which.map(|n| Remote::new(address(n)))),
            Step::Renew => session.renew_ssrc(now),
            Step::End => session.end(now, Some("over")),
        }
        // The contract: polling ends, what is sent is well-formed, the deadline is ahead.
        for polls in 0.. {
            assert!(polls < 1000);
            match session.poll(now) {
                Output::Transmit(t) => {
                    let compound = Compound::parse(&t.data, Size::Compound).unwrap();
                    assert!(compound.packets().all(|p| p.is_ok()));
                    assert_eq!(t.component == Component::Rtp, mux);
                    session.recycle(t.data);
                }
                Output::Event(_) => {}
                Output::Timeout(deadline) => {
                    assert!(deadline.is_none_or(|at| at > now));
                    assert_eq!(deadline.is_none(), session.is_ended());
                    break;
                }
            }
        }
        assert!(session.sources().count() <= 5);
        let stats = session.stats();
        assert!(stats.jitter_ms.is_finite() && stats.rx_packets < 1_000_000);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_octets_are_read_or_refused(data in vec(any::<u8>(), 0..300)) {
        read_everything(&data);
        let mut rtp = data.clone();
        if let Some(first) = rtp.first_mut() {
            *first = *first & 0x3f | 0x80;
        }
        read_everything(&rtp);
    }

    #[test]
    fn mutated_packets_are_read_or_refused(
        edits in vec((any::<usize>(), any::<u8>()), 0..6),
        cut in 0usize..120,
    ) {
        read_everything(&mutated(a_good_rtp_packet(), &edits, cut));
        read_everything(&mutated(a_good_compound(), &edits, cut));
    }

    #[test]
    fn what_is_written_is_read_back(
        marker: bool,
        payload_type in 0u8..128,
        sequence: u16,
        timestamp: u32,
        ssrc: u32,
        csrcs in vec(any::<u32>().prop_map(Ssrc), 0..=15),
        elements in vec((1u8..=255, vec(any::<u8>(), 0..40)), 0..4),
        payload in vec(any::<u8>(), 0..200),
        padding: u8,
    ) {
        let elements: Vec<_> =
            elements.iter().map(|(id, data)| Extension { id: *id, data }).collect();
        let payload_type = PayloadType::new(payload_type).unwrap();
        let (sequence, timestamp) = (SequenceNumber(sequence), RtpTimestamp(timestamp));
        let header = RtpHeader {
            marker,
            csrcs: &csrcs,
            extensions: &elements,
            padding,
            ..RtpHeader::new(payload_type, sequence, timestamp, Ssrc(ssrc))
        };
        let mut out = Vec::new();
        header.write(&payload, &mut out).unwrap();
        let view = RtpPacket::parse(&out).unwrap();
        prop_assert_eq!(view.marker(), marker);
        prop_assert_eq!(view.payload_type(), payload_type);
        prop_assert_eq!((view.sequence(), view.timestamp()), (sequence, timestamp));
        prop_assert_eq!(view.ssrc(), Ssrc(ssrc));
        prop_assert_eq!(view.csrcs().collect::<Vec<_>>(), csrcs.clone());
        prop_assert_eq!(view.extensions().collect::<Vec<_>>(), elements.clone());
        prop_assert_eq!((view.payload(), view.padding()), (&payload[..], padding));
    }

    #[test]
    fn telephone_events_of_any_shape_are_bounded(
        packets in vec((any::<u32>(), vec(any::<u8>(), 0..40), 0u64..500), 0..60),
        event_rate in prop_oneof![Just(0u32), Just(8000), Just(48_000)],
        media_rate in prop_oneof![Just(0u32), Just(8000), Just(48_000), Just(u32::MAX)],
    ) {
        let config = EventReceiverConfig { event_rate, media_rate, ..Default::default() };
        let mut receiver = EventReceiver::new(config);
        let mut now = Instant::now();
        let mut down = 0i32;
        for (timestamp, payload, wait) in packets {
            now += Duration::from_millis(wait);
            receiver.receive(now, RtpTimestamp(timestamp), &payload);
            loop {
                match receiver.poll(now) {
                    Output::Event(ToneEvent::Started { .. }) => down += 1,
                    Output::Event(ToneEvent::Ended { .. }) => down -= 1,
                    Output::Event(_) => {}
                    Output::Transmit(never) => match never {},
                    Output::Timeout(at) => {
                        prop_assert!(at.is_none_or(|at| at > now));
                        break;
                    }
                }
            }
            prop_assert_eq!(down, i32::from(receiver.is_active()), "each start has one end");
        }
    }

    #[test]
    fn events_sent_are_the_events_received(
        digits in vec((0u8..16, 40u64..3000), 1..8),
        ptime in 10u64..60,
        start: u32,
    ) {
        let config = EventSenderConfig {
            ptime: Duration::from_millis(ptime),
            ..EventSenderConfig::default()
        };
        let mut sender = EventSender::new(config);
        for (code, ms) in &digits {
            sender.press(TelephoneEvent(*code), Duration::from_millis(*ms)).unwrap();
        }
        let mut receiver = EventReceiver::new(EventReceiverConfig::default());
        let (mut now, mut ticks, mut heard) = (Instant::now(), start, Vec::new());
        for _ in 0..10_000 {
            while let Some(p) = sender.next(ticks) {
                receiver.receive(now, RtpTimestamp(p.ticks), &p.payload);
            }
            while let Output::Event(event) = receiver.poll(now) {
                if let ToneEvent::Ended { event, duration_ms, timed_out } = event {
                    prop_assert!(!timed_out);
                    heard.push((event.0, u64::from(duration_ms)));
                }
            }
            if sender.is_idle() {
                break;
            }
            now += Duration::from_millis(ptime);
            ticks = ticks.wrapping_add(ptime as u32 * 8);
        }
        prop_assert_eq!(heard, digits);
    }

    #[test]
    fn a_session_survives_every_order_of_things(
        steps in vec(step(), 0..120),
        seed: u64,
        mux: bool,
        policy in prop_oneof![
            Just(SourcePolicy::default()),
            Just(SourcePolicy::Any),
            Just(SourcePolicy::SignalledOnly),
        ],
    ) {
        drive(policy, mux, seed, steps);
    }
}
