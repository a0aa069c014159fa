//! Bulk, loss, and messages that are given up.

use super::*;
use bytes::Bytes;
use sha2::{Digest, Sha256};

const PIECE: usize = 60_000;

/// So many bytes each way at once, as fast as back-pressure lets them; the time it took.
fn both_ways(seed: u64, path: Path, total: usize) -> (Pair, Duration) {
    transfer(pair(seed, path), seed, total)
}

fn transfer(mut pair: Pair, seed: u64, total: usize) -> (Pair, Duration) {
    let ids = pair.open(0, ChannelOptions::new("bulk"));
    let mut data = vec![0; total];
    Rng::from_seed(seed).fill(&mut data);
    let data = Bytes::from(data);
    let whole = Sha256::digest(&data);
    let (mut at, mut got, mut hashes) = ([0; 2], [0; 2], [Sha256::new(), Sha256::new()]);
    let begun = pair.now;
    pair.until(3600, |pair| {
        for end in 0..2 {
            while at[end] < total
                && pair.ends[end].channel(ids[end]).unwrap().buffered_amount() < 200_000
            {
                let next = total.min(at[end] + PIECE);
                let message = Message::Binary(data.slice(at[end]..next));
                pair.ends[end].send(pair.now, ids[end], message).unwrap();
                at[end] = next;
            }
            while let Some(message) = pair.ends[end].read(pair.now, ids[end]) {
                let Message::Binary(data) = message else { panic!("{message:?}") };
                got[end] += data.len();
                hashes[end].update(&data);
            }
        }
        pair.events.iter_mut().for_each(VecDeque::clear);
        got == [total; 2]
    });
    for hash in hashes {
        assert_eq!(hash.finalize(), whole);
    }
    let took = pair.now - begun;
    (pair, took)
}

#[test]
fn ten_megabytes_each_way_over_a_clean_path() {
    let (pair, took) = both_ways(1, Path::default(), 10_000_000);
    for end in &pair.ends {
        let counts = end.counts();
        assert_eq!((counts.retransmitted, counts.discarded, counts.over_limit), (0, 0, 0));
        assert_eq!((counts.bytes_sent, counts.bytes_received), (10_000_000, 10_000_000));
    }
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn ten_megabytes_each_way_with_five_percent_lost_and_packets_that_overtake() {
    let path = Path { loss: 0.05, twice: 0.02, jitter: Duration::from_millis(5) };
    let (pair, took) = both_ways(2, path, 10_000_000);
    let counts = pair.ends[0].counts();
    assert!(counts.retransmitted > 100 && counts.duplicates > 100, "{counts:?}");
    assert!(took < Duration::from_secs(300), "{took:?}");
}

#[test]
fn ten_megabytes_each_way_with_ten_percent_lost() {
    let path = Path { loss: 0.1, twice: 0.0, jitter: Duration::from_millis(2) };
    let (pair, took) = both_ways(3, path, 10_000_000);
    assert!(pair.ends[1].counts().retransmitted > 500);
    assert!(took < Duration::from_secs(600), "{took:?}");
}

#[test]
fn every_seed_gets_through_loss_duplication_and_reordering() {
    for seed in 0..40 {
        let path = Path { loss: 0.2, twice: 0.1, jitter: Duration::from_millis(30) };
        both_ways(100 + seed, path, 150_000);
    }
}

#[test]
fn tsns_go_round_in_the_middle_of_a_lossy_transfer() {
    for (seed, left) in [(40, 3), (41, 60), (42, 500)] {
        let path = Path { loss: 0.1, twice: 0.1, jitter: Duration::from_millis(30) };
        let mut pair = pair(seed, path);
        for end in 0..2 {
            pair.ends[end].count_from_for_test(pair.now, u32::MAX - left);
        }
        let (pair, _) = transfer(pair, seed, 1_000_000);
        for end in &pair.ends {
            assert!(end.numbers_for_test().1 < 100_000, "they have gone round");
        }
    }
}

#[test]
fn ssns_go_round_with_messages_in_order() {
    let mut pair = pair(43, Path { loss: 0.02, ..Path::default() });
    let ids = pair.open(0, ChannelOptions::new("x"));
    let (mut said, mut heard) = (0u32, 0);
    pair.until(36_000, |pair| {
        while said < 66_000 && pair.ends[0].channel(ids[0]).unwrap().buffered_amount() < 10_000 {
            pair.send(0, ids[0], &said.to_string());
            said += 1;
        }
        while let Some(message) = pair.ends[1].read(pair.now, ids[1]) {
            assert_eq!(message, Message::Text(heard.to_string()));
            heard += 1;
        }
        pair.events.iter_mut().for_each(VecDeque::clear);
        heard == 66_000
    });
}

#[test]
fn what_may_not_be_sent_again_is_given_up_and_the_rest_comes_in_order() {
    let path = Path { loss: 0.2, ..Path::default() };
    let mut pair = pair(4, path);
    let mut options = ChannelOptions::new("lossy");
    options.reliability = Reliability::Retransmits(0);
    let ids = pair.open(0, options);
    for n in 0..500 {
        pair.send(0, ids[0], &format!("{n:04}"));
        pair.run(Duration::from_millis(20));
    }
    pair.run(Duration::from_secs(10));
    let mut got = Vec::new();
    while let Some(Message::Text(text)) = pair.ends[1].read(pair.now, ids[1]) {
        got.push(text.parse::<u32>().unwrap());
    }
    assert!((350..=450).contains(&got.len()), "{}", got.len());
    assert!(got.is_sorted());
    let counts = pair.ends[0].counts();
    assert!((500 - got.len()..=110).contains(&(counts.abandoned as usize)), "{counts:?}");
    assert_eq!(counts.retransmitted, 0);
    // Nothing is left waiting.
    pair.path = Path::default();
    pair.send(0, ids[0], "9999");
    assert_eq!(pair.read(1, ids[1]), Message::Text("9999".into()));
}

#[test]
fn big_messages_that_are_given_up_in_the_middle_do_not_stop_those_behind_them() {
    for (seed, ordered) in [(5, true), (6, false), (7, true), (8, false)] {
        let path = Path { loss: 0.08, jitter: Duration::from_millis(4), ..Path::default() };
        let mut pair = pair(seed, path);
        let mut options = ChannelOptions::new("frames");
        options.ordered = ordered;
        options.reliability = Reliability::Lifetime(Duration::from_millis(120));
        let ids = pair.open(0, options);
        let mut got = 0;
        for n in 0..200u8 {
            let message = Message::Binary(vec![n; 10_000].into());
            pair.ends[0].send(pair.now, ids[0], message).unwrap();
            pair.run(Duration::from_millis(50));
            while let Some(message) = pair.ends[1].read(pair.now, ids[1]) {
                let Message::Binary(data) = message else { panic!("{message:?}") };
                assert!(data.len() == 10_000 && data.iter().all(|byte| *byte == data[0]));
                got += 1;
            }
        }
        pair.path = Path::default();
        pair.run(Duration::from_secs(15));
        while pair.ends[1].read(pair.now, ids[1]).is_some() {
            got += 1;
        }
        let given_up = pair.ends[0].counts().abandoned;
        assert!(given_up > 5 && got > 20, "{given_up} given up, {got} got");
        assert!(got + given_up as usize >= 200);
        let message = Message::Binary(Bytes::from_static(b"last"));
        pair.ends[0].send(pair.now, ids[0], message.clone()).unwrap();
        assert_eq!(pair.read(1, ids[1]), message);
        assert_eq!(pair.ends[0].channel(ids[0]).unwrap().buffered_amount(), 0);
    }
}

#[test]
fn a_lifetime_that_ends_before_anything_was_sent_leaves_no_hole() {
    let mut pair = pair(9, Path::default());
    let mut options = ChannelOptions::new("late");
    options.reliability = Reliability::Lifetime(Duration::from_millis(50));
    let ids = pair.open(0, options);
    pair.drops = |_, _| true;
    for _ in 0..200 {
        pair.ends[0].send(pair.now, ids[0], Message::Binary(vec![1; 10_000].into())).unwrap();
    }
    pair.run(Duration::from_secs(3));
    pair.drops = |_, _| false;
    pair.run(Duration::from_secs(20));
    while pair.ends[1].read(pair.now, ids[1]).is_some() {}
    assert_eq!(pair.ends[0].channel(ids[0]).unwrap().buffered_amount(), 0);
    pair.send(0, ids[0], "now");
    assert_eq!(pair.read(1, ids[1]), Message::Text("now".into()));
}

#[test]
fn unordered_messages_overtake_one_that_is_missing_and_ordered_ones_wait() {
    for ordered in [true, false] {
        let mut pair = pair(10, Path::default());
        let mut options = ChannelOptions::new("x");
        options.ordered = ordered;
        let ids = pair.open(0, options);
        pair.drops = |end, packet| end == 0 && kinds(packet).contains(&chunk::DATA);
        pair.send(0, ids[0], "lost");
        pair.drain();
        pair.drops = |_, _| false;
        pair.send(0, ids[0], "sent");
        let first = pair.read(1, ids[1]);
        let expected = if ordered { "lost" } else { "sent" };
        assert_eq!(first, Message::Text(expected.into()));
        assert!(ordered == (pair.now - pair.start > Duration::from_millis(300)));
    }
}

#[test]
fn a_reader_that_pauses_holds_the_sender_and_goes_on_later() {
    let mut pair = pair(11, Path::default());
    let ids = pair.open(0, ChannelOptions::new("slow"));
    let message = |n: u8| Message::Binary(vec![n; 50_000].into());
    for n in 0..100 {
        pair.ends[0].send(pair.now, ids[0], message(n)).unwrap();
    }
    pair.run(Duration::from_secs(20));
    // A megabyte of window, and not much more.
    let waits = pair.ends[0].channel(ids[0]).unwrap().buffered_amount();
    assert!((3_900_000..4_300_000).contains(&waits), "{waits}");
    for n in 0..100 {
        assert_eq!(pair.read(1, ids[1]), message(n));
    }
}

#[test]
fn too_much_at_once_is_refused_and_low_water_is_told() {
    let mut config = Config::default();
    (config.max_buffered, config.low_water) = (300_000, 100_000);
    let peers = [Peer { max_message_size: 0, ..Peer::default() }, Peer::default()];
    let mut pair = pair_of(12, Path::default(), [config, Config::default()], peers);
    let ids = pair.open(0, ChannelOptions::new("full"));
    let message = Message::Binary(vec![0; 120_000].into());
    pair.ends[0].send(pair.now, ids[0], message.clone()).unwrap();
    pair.ends[0].send(pair.now, ids[0], message.clone()).unwrap();
    let full = pair.ends[0].send(pair.now, ids[0], message.clone());
    assert_eq!(full, Err(Error::Full { buffered: 240_000 }));
    pair.expect(0, |event| (*event == Event::BufferedLow(ids[0])).then_some(()));
    let waits = pair.ends[0].channel(ids[0]).unwrap().buffered_amount();
    assert!((1..=100_000).contains(&waits), "{waits}");
    pair.ends[0].send(pair.now, ids[0], message.clone()).unwrap();
    for _ in 0..3 {
        assert_eq!(pair.read(1, ids[1]), message);
    }
}

#[test]
fn a_path_that_is_gone_for_twenty_seconds_is_used_again() {
    let mut pair = pair(13, Path::default());
    let ids = pair.open(0, ChannelOptions::new("gap"));
    pair.drops = |_, _| true;
    pair.send(0, ids[0], "over");
    pair.run(Duration::from_secs(20));
    // After 0.4, 1.2, 2.8, 6 and 12.4 s; the sixth would come after 22.4 s.
    let (counts, flight) = (pair.ends[0].counts(), pair.ends[0].flight());
    assert_eq!((counts.timeouts, counts.retransmitted), (5, 5));
    assert_eq!((flight.flying, flight.waiting, flight.congestion_window), (4, 0, 1160));
    pair.drops = |_, _| false;
    assert_eq!(pair.read(1, ids[1]), Message::Text("over".into()));
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.ends[0].flight().flying, 0);
    assert!(pair.now - pair.start < Duration::from_secs(35));
}

#[test]
fn a_peer_that_has_gone_is_noticed_idle_or_not() {
    for busy in [true, false] {
        let mut pair = pair(14, Path::default());
        let ids = pair.open(0, ChannelOptions::new("gone"));
        pair.drops = |_, _| true;
        if busy {
            pair.send(0, ids[0], "hello?");
        }
        let end = pair.now + Duration::from_secs(300);
        while !pair.events[0].contains(&Event::Ended(Error::Timeout)) {
            assert!(pair.step() && pair.now < end);
            pair.drain();
        }
        let sent = pair.ends[0].send(pair.now, ids[0], Message::Text("x".into()));
        assert_eq!(sent, Err(Error::Over));
    }
}
