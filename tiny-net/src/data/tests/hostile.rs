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
    let cases: [(&str, Write); 4] = [
        ("a piece without data", |packet, tsn| {
            let data = chunk::Data { flags: 3, tsn, stream: 0, ssn: 0, ppid: 53, data: &[] };
            data.put(packet);
        }),
        ("what was never sent is acknowledged", |packet, _| {
            let sack = chunk::Sack { cumulative: 0, window: 0, gaps: vec![], duplicates: vec![] };
            let mut sack = sack;
            // As far ahead as can be.
            sack.cumulative = u32::MAX / 3;
            sack.put(packet);
        }),
        ("a chunk that ends too soon", |packet, _| {
            chunk::put(packet, chunk::DATA, 3, &[&[0; 8]]);
        }),
        ("a message that was not begun", |packet, tsn| {
            for (n, flags) in [(0, 3), (1, 0)] {
                let ssn = 9;
                let tsn = tsn.wrapping_add(n);
                chunk::Data { flags, tsn, stream: 0, ssn, ppid: 53, data: b"x" }.put(packet);
            }
        }),
    ];
    for (seed, (what, write)) in cases.into_iter().enumerate() {
        let (mut pair, _, tag, tsn) = victim(10 + seed as u64);
        let packet = sealed(tag, |packet| write(packet, tsn));
        pair.ends[0].handle(pair.now, &packet);
        pair.drain();
        let ended = |event: &Event| match event {
            Event::Ended(Error::Protocol(why)) => Some(*why),
            _ => None,
        };
        let why = pair.events[0].iter().find_map(ended);
        // Whether a SACK is ahead or behind depends on where the numbers began.
        if seed != 1 && seed != 3 {
            assert_eq!(why, Some(what));
        }
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
