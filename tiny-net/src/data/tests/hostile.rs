//! A peer that says what it likes: nothing panics, nothing grows without bound.

use super::*;

fn sealed(tag: u32, put: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut packet = chunk::Header { source: 5000, destination: 5000, tag }.begin(1200);
    put(&mut packet);
    chunk::seal(&mut packet);
    packet
}

/// A pair that is connected, and how to write to end 0: its tag, and the TSN that it expects.
fn victim(seed: u64) -> (Pair, [ChannelId; 2], u32, u32) {
    let mut pair = pair(seed, Path::default());
    pair.sent = Some(Vec::new());
    let ids = pair.open(0, ChannelOptions::new("x"));
    pair.run(Duration::from_secs(1));
    let (tag, _) = pair.ends[0].numbers_for_test();
    let mut next = None;
    for (end, packet) in pair.sent.iter().flatten() {
        let (_, chunks) = chunk::Header::split(packet).unwrap();
        for raw in chunks.filter(|raw| *end == 1 && raw.kind == chunk::DATA) {
            next = chunk::Data::parse(raw).map(|data| data.tsn.wrapping_add(1));
        }
    }
    pair.sent = None;
    (pair, ids, tag, next.unwrap())
}

/// Pieces of one message on stream 0: how far behind the next TSN, and the flags.
fn pieces(packet: &mut Vec<u8>, tsn: u32, pieces: [(u32, u8); 2]) {
    for (n, flags) in pieces {
        let tsn = tsn.wrapping_add(n);
        chunk::Data { flags, tsn, stream: 0, ssn: 9, ppid: 53, data: b"x" }.put(packet);
    }
}

fn data(tag: u32, tsn: u32, flags: u8, stream: u16, ssn: u16, octets: &[u8]) -> Vec<u8> {
    let data = chunk::Data { flags, tsn, stream, ssn, ppid: 53, data: octets };
    sealed(tag, |packet| data.put(packet))
}

#[test]
fn pieces_that_never_become_a_message_are_bounded_and_refused_by_name() {
    let (mut pair, ids, tag, tsn) = victim(1);
    // Every second piece is missing: nothing can be put together, and nothing beyond the window is kept.
    for n in 0..40_000u32 {
        let packet = data(tag, tsn.wrapping_add(1 + 2 * n), 0, 0, 0, &[0; 1000]);
        pair.ends[0].handle(pair.now, &packet);
    }
    assert!(pair.ends[0].counts().over_limit > 30_000);
    assert!(pair.ends[0].held_for_test() <= 1 << 20);
    // A message without end is refused, and the association goes on.
    for n in 0..400u32 {
        let begin = if n == 0 { chunk::BEGIN } else { 0 };
        pair.ends[0].handle(pair.now, &data(tag, tsn.wrapping_add(n), begin, 0, 0, &[0; 1000]));
    }
    assert!(pair.ends[0].held_for_test() <= 2 << 20);
    assert!(pair.events[0].is_empty() || pair.ends[0].channel(ids[0]).is_some());
}

#[test]
fn many_messages_that_have_no_end_run_out_of_resources() {
    let (mut pair, _, tag, tsn) = victim(2);
    let mut ended = false;
    for n in 0..4000u32 {
        // A stream each, and only the first piece.
        let packet = data(tag, tsn.wrapping_add(n), chunk::BEGIN, (n % 500) as u16, 0, &[0; 1000]);
        pair.ends[0].handle(pair.now, &packet);
        assert!(pair.ends[0].held_for_test() <= (2 << 20) + 2000);
        pair.drain();
        ended |= pair.events[0].iter().any(|event| {
            matches!(event, Event::Ended(Error::Limit("receive_buffer") | Error::Protocol(_)))
        });
    }
    assert!(ended);
}

#[test]
fn messages_for_nobody_are_taken_and_thrown_away() {
    let (mut pair, _, tag, tsn) = victim(3);
    for n in 0..5000u32 {
        let whole = chunk::BEGIN | chunk::END;
        let packet = data(tag, tsn.wrapping_add(n), whole, (n % 60_000) as u16 + 1, 0, &[0; 1000]);
        pair.ends[0].handle(pair.now, &packet);
        pair.drain();
    }
    let counts = pair.ends[0].counts();
    assert_eq!(counts.unread + counts.over_limit, 5000);
    assert_eq!(pair.ends[0].held_for_test(), 0);
}

#[test]
fn breaches_of_the_protocol_end_the_association_by_name() {
    type Write = fn(&mut Vec<u8>, u32);
    let cases: [(&str, Write); 5] = [
        ("a piece without data", |packet, tsn| {
            let data = chunk::Data { flags: 3, tsn, stream: 0, ssn: 0, ppid: 53, data: &[] };
            data.put(packet);
        }),
        ("what was never sent is acknowledged", |packet, ours| {
            let cumulative = ours.wrapping_add(1);
            chunk::Sack { cumulative, window: 0, gaps: vec![], duplicates: vec![] }.put(packet);
        }),
        ("a chunk that ends too soon", |packet, _| {
            chunk::put(packet, chunk::DATA, 3, &[&[0; 8]]);
        }),
        ("a message that was not begun", |packet, tsn| {
            // Its end, which waits for the beginning, and more of it behind.
            pieces(packet, tsn, [(1, chunk::END), (2, 0)]);
        }),
        ("a message that does not go on", |packet, tsn| {
            pieces(packet, tsn, [(1, chunk::BEGIN), (0, chunk::BEGIN)]);
        }),
    ];
    for (seed, (what, write)) in cases.into_iter().enumerate() {
        let (mut pair, _, tag, tsn) = victim(10 + seed as u64);
        let number = match seed {
            1 => pair.ends[0].numbers_for_test().1,
            _ => tsn,
        };
        let packet = sealed(tag, |packet| write(packet, number));
        pair.sent = Some(Vec::new());
        pair.ends[0].handle(pair.now, &packet);
        pair.drain();
        let ended = |event: &Event| match event {
            Event::Ended(Error::Protocol(why)) => Some(*why),
            _ => None,
        };
        let why = pair.events[0].iter().find_map(ended);
        assert_eq!(why, Some(what));
        let aborts = |(_, packet): &&(usize, Vec<u8>)| kinds(packet).contains(&chunk::ABORT);
        assert_eq!(pair.sent.iter().flatten().filter(aborts).count(), 1, "{what}: told once");
    }
}

#[test]
fn an_init_of_somebody_else_within_the_association_ends_it() {
    let (mut pair, _, _, _) = victim(4);
    let init = chunk::Init {
        tag: 77,
        window: 1 << 20,
        outgoing: 1,
        incoming: 1,
        tsn: 5,
        forward_tsn: true,
        re_config: true,
    };
    let packet = sealed(0, |packet| {
        chunk::put(packet, chunk::INIT, 0, &[&init.write(None)]);
    });
    pair.ends[0].handle(pair.now, &packet);
    pair.expect(0, |event| matches!(event, Event::Ended(Error::Protocol(_))).then_some(()));
}

#[test]
fn what_is_unknown_is_skipped_or_ends_the_packet_as_its_bits_say() {
    let (mut pair, ids, tag, tsn) = victim(5);
    for (n, (kind, read, told)) in
        [(0x3f, false, false), (0x7f, false, true), (0x81, true, false), (0xc5, true, true)]
            .into_iter()
            .enumerate()
    {
        pair.sent = Some(Vec::new());
        let n = n as u32;
        let before = pair.ends[0].counts().messages_received;
        let ssn = before as u16;
        let packet = sealed(tag, |packet| {
            chunk::put(packet, kind, 0, &[b"what"]);
            let tsn = tsn.wrapping_add(before as u32);
            let flags = chunk::BEGIN | chunk::END;
            chunk::Data { flags, tsn, stream: 0, ssn: ssn + 1, ppid: 53, data: b"x" }.put(packet);
        });
        pair.ends[0].handle(pair.now, &packet);
        pair.run(Duration::from_millis(1));
        let after = pair.ends[0].counts().messages_received;
        assert_eq!(after - before, u64::from(read), "{n}");
        let sent = pair.sent.take().unwrap();
        let error = sent.iter().any(|(end, packet)| *end == 0 && kinds(packet)[0] == chunk::ERROR);
        assert_eq!(error, told, "{n}");
    }
    assert!(pair.ends[0].channel(ids[0]).is_some());
}

#[test]
fn a_heartbeat_comes_back_as_it_was() {
    let (mut pair, _, tag, _) = victim(6);
    pair.sent = Some(Vec::new());
    let packet = sealed(tag, |packet| {
        chunk::put(packet, chunk::HEARTBEAT, 0, &[&[0, 1, 0, 9, 1, 2, 3, 4, 5, 0, 0, 0]]);
    });
    pair.ends[0].handle(pair.now, &packet);
    pair.drain();
    let (_, reply) = &pair.sent.as_ref().unwrap()[0];
    let raw = chunk::Header::split(reply).unwrap().1.next().unwrap();
    assert_eq!((raw.kind, raw.value), (5, &[0, 1, 0, 9, 1, 2, 3, 4, 5, 0, 0, 0][..]));
}

#[test]
fn others_tags_ports_and_checksums_are_counted_and_nothing_else() {
    let (mut pair, _, tag, tsn) = victim(7);
    let good = data(tag, tsn, 3, 0, 1, b"x");
    let before = pair.ends[0].counts();
    for at in [0, 2, 4, 8, 20] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        if at != 8 && at != 20 {
            chunk::seal(&mut bad);
        }
        pair.ends[0].handle(pair.now, &bad);
    }
    pair.ends[0].handle(pair.now, &good[..11]);
    let after = pair.ends[0].counts();
    assert_eq!(after.discarded - before.discarded, 6);
    assert_eq!(after.packets_received, before.packets_received);
}

#[test]
fn a_cookie_that_comes_a_thousand_times_is_answered_in_packets_that_fit() {
    let mut pair = pair(20, Path::default());
    pair.sent = Some(Vec::new());
    let ids = pair.open(0, ChannelOptions::new("x"));
    let (tag, _) = pair.ends[0].numbers_for_test();
    let cookie = pair.sent.iter().flatten().find_map(|(end, packet)| {
        let mut chunks = chunk::Header::split(packet).unwrap().1;
        let echo = chunks.find(|raw| *end == 1 && raw.kind == chunk::COOKIE_ECHO)?;
        Some(echo.value.to_vec())
    });
    let cookie = cookie.expect("the peer has echoed a cookie of ours");
    let packet = sealed(tag, |packet| {
        for _ in 0..800 {
            chunk::put(packet, chunk::COOKIE_ECHO, 0, &[&cookie]);
        }
        // An acknowledgement is due with it: `drain` looks at the length of what comes.
        chunk::Data { flags: 15, tsn: 0, stream: 0, ssn: 9, ppid: 53, data: b"x" }.put(packet);
    });
    pair.ends[0].handle(pair.now, &packet);
    pair.drain();
    pair.send(1, ids[1], "well");
    assert_eq!(pair.read(0, ids[0]), Message::Text("well".into()));
}

/// Fills the receive buffer with the ends of messages that never began, on streams of their own.
fn fill(pair: &mut Pair, tag: u32, tsn: u32) -> u32 {
    let count = 12_000;
    for n in 0..count {
        let (tsn, stream) = (tsn.wrapping_add(2 * n + 1), (n % 500) as u16);
        pair.ends[0].handle(pair.now, &data(tag, tsn, chunk::END, stream, 0, b"x"));
    }
    pair.drain();
    assert!(pair.ends[0].held_for_test() > 12_000 * 64);
    tsn.wrapping_add(2 * count)
}

#[test]
fn a_packet_that_resets_thousands_of_streams_costs_no_more_than_it_names() {
    let (mut pair, _, tag, tsn) = victim(21);
    fill(&mut pair, tag, tsn);
    // Nothing of what is held is on these: without end they are named.
    let streams: Vec<u16> = (0..8000).map(|n| 1000 + n % 7).collect();
    let begun = Instant::now();
    for n in 0..200u32 {
        let packet = sealed(tag, |packet| {
            let (request, last_tsn) = (pair.first_request(1).wrapping_add(n), tsn.wrapping_sub(1));
            let streams = streams.clone();
            chunk::ReConfig::Outgoing { request, response: 0, last_tsn, streams }.put(packet);
        });
        pair.ends[0].handle(pair.now, &packet);
        pair.drain();
    }
    // 1.6 million names; to look at all that is held for each would be 19 billion steps.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(pair.ends[0].held_for_test() > 12_000 * 64);
}

#[test]
fn a_stream_that_is_reset_gives_back_what_it_held() {
    let (mut pair, _, tag, tsn) = victim(22);
    fill(&mut pair, tag, tsn);
    let packet = sealed(tag, |packet| {
        let (request, last_tsn) = (pair.first_request(1), tsn.wrapping_sub(1));
        let streams = Vec::new();
        chunk::ReConfig::Outgoing { request, response: 0, last_tsn, streams }.put(packet);
    });
    pair.ends[0].handle(pair.now, &packet);
    assert_eq!(pair.ends[0].held_for_test(), 0);
}

#[test]
fn what_acknowledgements_say_again_or_out_of_order_is_not_read() {
    type Write = fn(&mut Vec<u8>, u32);
    let cases: [Write; 2] = [
        |packet, base| gaps(base, vec![(3, 3), (2, 2)]).put(packet),
        |packet, base| {
            [(3, 3), (2, 2)].map(|gap| gaps(base, vec![gap])).iter().for_each(|s| s.put(packet))
        },
    ];
    for write in cases {
        let (mut pair, ids, tag, _) = victim(23);
        pair.drops = |_, _| true;
        pair.ends[0].send(pair.now, ids[0], Message::Binary(vec![0; 10_000].into())).unwrap();
        let base = pair.ends[0].numbers_for_test().1;
        pair.drain();
        assert_eq!(
            pair.ends[0].numbers_for_test().1,
            base.wrapping_add(4),
            "four are on their way"
        );
        let packet = sealed(tag, |packet| write(packet, base));
        pair.ends[0].handle(pair.now, &packet);
        pair.drops = |_, _| false;
        pair.sent = Some(Vec::new());
        pair.until(10, |pair| pair.ends[0].counts().retransmitted >= 2);
        let again: Vec<u32> = pair
            .sent
            .iter()
            .flatten()
            .filter(|(end, _)| *end == 0)
            .flat_map(|(_, packet)| chunk::Header::split(packet).unwrap().1)
            .filter_map(|raw| chunk::Data::parse(raw).filter(|_| raw.kind == chunk::DATA))
            .map(|data| data.tsn.wrapping_sub(base))
            .filter(|n| *n <= 4)
            .collect();
        assert_eq!(again[..2], [1, 2], "the second is not there yet");
    }
}

fn gaps(cumulative: u32, gaps: Vec<(u16, u16)>) -> chunk::Sack {
    chunk::Sack { cumulative, window: 1 << 20, gaps, duplicates: Vec::new() }
}

/// A chunk of a kind that exists, with anything in it.
fn any_chunk() -> impl Strategy<Value = (u8, u8, Vec<u8>)> {
    let kinds =
        prop::sample::select(vec![0u8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 130, 192, 64]);
    (kinds, any::<u8>(), proptest::collection::vec(any::<u8>(), 0..80))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_chunks_come_nothing_panics(
        early in any::<bool>(),
        chunks in proptest::collection::vec(any_chunk(), 1..40),
    ) {
        let (mut pair, tag, tsn) = match early {
            true => {
                let mut pair = pair(8, Path::default());
                pair.drops = |_, _| true;
                pair.drain();
                let (tag, _) = pair.ends[0].numbers_for_test();
                (pair, tag, 1)
            }
            false => {
                let (pair, _, tag, tsn) = victim(8);
                (pair, tag, tsn)
            }
        };
        for (n, (kind, flags, mut value)) in chunks.into_iter().enumerate() {
            // Numbers near those that count.
            if let (0 | 192, Some(first)) = (kind, value.first_chunk_mut::<4>()) {
                *first = tsn.wrapping_add(u32::from(first[0] % 8)).to_be_bytes();
            }
            let tag = if kind == 1 { 0 } else { tag };
            let packet = sealed(tag, |packet| chunk::put(packet, kind, flags, &[&value]));
            pair.ends[0].handle(pair.now, &packet);
            pair.drain();
            if n % 4 == 3 {
                pair.run(Duration::from_millis(300));
            }
        }
        pair.run(Duration::from_secs(100));
        prop_assert!(pair.ends[0].held_for_test() <= 2 << 20);
    }

    #[test]
    fn whatever_octets_come_nothing_panics(
        packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..20),
    ) {
        let (mut pair, _, tag, _) = victim(9);
        for octets in packets {
            pair.ends[0].handle(pair.now, &octets);
            let packet = sealed(tag, |packet| packet.extend_from_slice(&octets));
            pair.ends[0].handle(pair.now, &packet);
            pair.drain();
        }
    }
}
