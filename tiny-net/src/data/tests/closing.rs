//! How channels and associations end.

use super::*;

#[test]
fn a_channel_closes_on_both_sides_and_its_stream_is_free_again() {
    let mut pair = pair(1, Path::default());
    for (round, closer) in [0, 1, 0].into_iter().enumerate() {
        let ids = pair.open(0, ChannelOptions::new(format!("round {round}")));
        assert_eq!(ids[0].stream(), 0);
        pair.send(closer, ids[closer], "last");
        pair.ends[closer].close(pair.now, ids[closer]);
        let late = pair.ends[closer].send(pair.now, ids[closer], Message::Text("late".into()));
        assert_eq!(late, Err(Error::Closed));
        // What waited before comes first.
        assert_eq!(pair.read(1 - closer, ids[1 - closer]), Message::Text("last".into()));
        assert_eq!(pair.closed(1 - closer, ids[1 - closer]), None);
        assert_eq!(pair.closed(closer, ids[closer]), None);
        assert!(pair.ends[closer].channel(ids[closer]).is_none());
    }
}

#[test]
fn closing_delivers_a_megabyte_that_waits_over_a_lossy_path() {
    for seed in 2..8 {
        let path = Path { loss: 0.1, twice: 0.1, jitter: Duration::from_millis(40) };
        let mut pair = pair(seed, path);
        let ids = pair.open(0, ChannelOptions::new("x"));
        for n in 0..20u8 {
            pair.ends[0].send(pair.now, ids[0], Message::Binary(vec![n; 50_000].into())).unwrap();
        }
        pair.ends[0].close(pair.now, ids[0]);
        for n in 0..20u8 {
            assert_eq!(pair.read(1, ids[1]), Message::Binary(vec![n; 50_000].into()));
        }
        assert_eq!(pair.closed(1, ids[1]), None);
        assert_eq!(pair.closed(0, ids[0]), None);
    }
}

#[test]
fn both_may_close_at_once() {
    for seed in 0..20 {
        let path = Path { loss: 0.2, twice: 0.1, jitter: Duration::from_millis(40) };
        let mut pair = pair(seed, path);
        let ids = pair.open(1, ChannelOptions::new("x"));
        for (end, id) in ids.into_iter().enumerate() {
            pair.ends[end].close(pair.now, id);
        }
        for (end, id) in ids.into_iter().enumerate() {
            assert_eq!(pair.closed(end, id), None);
        }
    }
}

#[test]
fn what_has_come_before_the_end_can_still_be_read_and_the_stream_is_used_again_meanwhile() {
    let mut pair = pair(30, Path::default());
    let old = pair.open(0, ChannelOptions::new("old"));
    pair.send(0, old[0], "unread");
    pair.ends[0].close(pair.now, old[0]);
    assert_eq!(pair.closed(0, old[0]), None);
    let new = pair.open(0, ChannelOptions::new("new"));
    assert_eq!((new[0].stream(), new[1].stream()), (0, 0));
    pair.send(0, new[0], "fresh");
    assert_eq!(pair.read(1, new[1]), Message::Text("fresh".into()));
    assert_eq!(pair.read(1, old[1]), Message::Text("unread".into()));
    assert_eq!(pair.closed(1, old[1]), None);
}

#[test]
fn a_peer_that_closes_frees_what_waits_for_it() {
    let mut pair = pair(31, Path::default());
    let ids = pair.open(0, ChannelOptions::new("x"));
    let peer = Message::Binary(vec![0; 60_000].into());
    for _ in 0..50 {
        pair.ends[0].send(pair.now, ids[0], peer.clone()).unwrap();
    }
    pair.sent = Some(Vec::new());
    pair.run(Duration::from_millis(30));
    pair.ends[1].close(pair.now, ids[1]);
    assert_eq!(pair.closed(0, ids[0]), None);
    assert_eq!(pair.closed(1, ids[1]), None);
    let sent: usize = pair.sent.iter().flatten().map(|(_, packet)| packet.len()).sum();
    assert!(sent < 500_000, "{sent}");
    // The window is whole again.
    let ids = pair.open(1, ChannelOptions::new("y"));
    pair.ends[0].send(pair.now, ids[0], peer.clone()).unwrap();
    assert_eq!(pair.read(1, ids[1]), peer);
}

#[test]
fn an_abort_ends_every_channel_and_says_why() {
    let mut pair = pair(32, Path::default());
    let ids = pair.open(0, ChannelOptions::new("x"));
    pair.ends[0].abort("the call is over");
    let why = Error::Aborted("the call is over".into());
    assert_eq!(pair.closed(1, ids[1]), Some(why.clone()));
    pair.expect(1, |event| (*event == Event::Ended(why.clone())).then_some(()));
    assert_eq!(pair.ends[1].open(pair.now, ChannelOptions::new("y")), Err(Error::Over));
    // Nothing is to come.
    pair.run(Duration::from_secs(1));
    assert!(!pair.step());
}

#[test]
fn a_message_beyond_our_limit_closes_its_channel_alone() {
    let config = Config { max_message_size: 50_000, ..Config::default() };
    let mut pair = pair_of(33, Path::default(), [Config::default(), config], [Peer::default(); 2]);
    let (big, other) =
        (pair.open(0, ChannelOptions::new("big")), { pair.open(0, ChannelOptions::new("other")) });
    pair.ends[0].send(pair.now, big[0], Message::Binary(vec![0; 60_000].into())).unwrap();
    pair.send(0, other[0], "well");
    assert_eq!(pair.closed(1, big[1]), Some(Error::Limit("max_message_size")));
    assert_eq!(pair.closed(0, big[0]), None);
    assert_eq!(pair.read(1, other[1]), Message::Text("well".into()));
}

#[test]
fn a_peer_that_shuts_down_in_order_gets_what_is_on_its_way_and_an_end() {
    let mut pair = pair(34, Path::default());
    let ids = pair.open(0, ChannelOptions::new("x"));
    pair.run(Duration::from_secs(1));
    pair.sent = Some(Vec::new());
    let (tag, cumulative) = pair.ends[0].numbers_for_test();
    pair.send(0, ids[0], "last");
    let header = chunk::Header { source: 5000, destination: 5000, tag };
    let mut packet = header.begin(16);
    chunk::put(&mut packet, chunk::SHUTDOWN, 0, &[&cumulative.to_be_bytes()]);
    chunk::seal(&mut packet);
    pair.ends[0].handle(pair.now, &packet);
    let acked = |pair: &Pair| {
        let sent = pair.sent.iter().flatten();
        sent.filter(|(end, packet)| *end == 0 && kinds(packet) == [chunk::SHUTDOWN_ACK]).count()
    };
    pair.until(10, |pair| acked(pair) > 0);
    assert_eq!(pair.read(1, ids[1]), Message::Text("last".into()));
    let mut packet = header.begin(16);
    chunk::put(&mut packet, chunk::SHUTDOWN_COMPLETE, 0, &[]);
    chunk::seal(&mut packet);
    pair.ends[0].handle(pair.now, &packet);
    pair.expect(0, |event| (*event == Event::Ended(Error::Shutdown)).then_some(()));
}
