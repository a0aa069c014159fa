//! How associations and channels begin.

use super::*;

#[test]
fn a_channel_opens_and_carries_text_and_binary_both_ways() {
    let mut pair = pair(1, Path::default());
    let mut options = ChannelOptions::new("chat");
    (options.protocol, options.priority) = ("v1.chat".into(), 512);
    (options.ordered, options.reliability) = (false, Reliability::Retransmits(7));
    let ids = pair.open(0, options.clone());
    let theirs = pair.ends[1].channel(ids[1]).unwrap();
    assert_eq!(theirs.options(), &options);
    assert!(theirs.is_incoming() && theirs.is_open());
    let messages = [
        Message::Text("grüß dich".into()),
        Message::Binary(vec![0, 255, 0].into()),
        Message::Text(String::new()),
        Message::Binary(bytes::Bytes::new()),
    ];
    for end in 0..2 {
        for message in &messages {
            pair.ends[end].send(pair.now, ids[end], message.clone()).unwrap();
            assert_eq!(pair.read(1 - end, ids[1 - end]), *message);
        }
    }
}

#[test]
fn the_client_has_even_streams_and_the_server_odd_ones() {
    let mut pair = pair(2, Path::default());
    for (end, stream) in [(0, 0), (1, 1), (0, 2), (1, 3)] {
        let ids = pair.open(end, ChannelOptions::new("x"));
        assert_eq!(ids.map(ChannelId::stream), [stream; 2]);
    }
}

#[test]
fn both_ends_may_open_at_once_before_they_are_connected() {
    for seed in 0..30 {
        let path = Path { loss: 0.2, twice: 0.2, jitter: Duration::from_millis(100) };
        let mut pair = pair(seed, path);
        let labels = ["from 0", "from 1"];
        let ids: Vec<_> = (0..2)
            .map(|end| pair.ends[end].open(pair.now, ChannelOptions::new(labels[end])).unwrap())
            .collect();
        for (end, id) in ids.into_iter().enumerate() {
            pair.send(end, id, "early");
        }
        for end in 0..2 {
            let id = pair.expect(end, |event| match event {
                Event::Incoming(id) => Some(*id),
                _ => None,
            });
            let label = &pair.ends[end].channel(id).unwrap().options().label;
            assert_eq!(label, labels[1 - end]);
            assert_eq!(pair.read(end, id), Message::Text("early".into()));
        }
    }
}

#[test]
fn one_side_alone_may_begin() {
    // The other's INIT never arrives.
    for end in 0..2 {
        let mut pair = pair(3, Path::default());
        pair.drops = match end {
            0 => |from, packet| from == 0 && kinds(packet) == [chunk::INIT],
            _ => |from, packet| from == 1 && kinds(packet) == [chunk::INIT],
        };
        pair.open(0, ChannelOptions::new("a"));
        pair.open(1, ChannelOptions::new("b"));
    }
}

#[test]
fn negotiated_channels_say_nothing_on_the_wire_before_their_first_message() {
    let mut pair = pair(4, Path::default());
    pair.sent = Some(Vec::new());
    let mut options = ChannelOptions::new("fixed");
    options.negotiated = Some(41);
    let ids = [0, 1].map(|end| pair.ends[end].open(pair.now, options.clone()).unwrap());
    for (end, id) in ids.into_iter().enumerate() {
        pair.expect(end, |event| (*event == Event::Opened(id)).then_some(()));
    }
    assert_eq!(data_of(&pair, 0), []);
    pair.send(0, ids[0], "hi");
    assert_eq!(pair.read(1, ids[1]), Message::Text("hi".into()));
    assert_eq!(data_of(&pair, 0), [(3, 41, 51, b"hi".to_vec())]);
    // One more while connected is open at once, and a stream is had once.
    options.negotiated = Some(7);
    let id = pair.ends[0].open(pair.now, options.clone()).unwrap();
    assert!(pair.ends[0].channel(id).unwrap().is_open());
    assert_eq!(pair.ends[0].open(pair.now, options), Err(Error::Stream(7)));
}

#[test]
fn everything_goes_in_order_before_the_peer_has_shown_that_it_knows_the_channel() {
    let mut pair = pair(5, Path::default());
    pair.open(0, ChannelOptions::new("first"));
    pair.sent = Some(Vec::new());
    let mut options = ChannelOptions::new("loose");
    options.ordered = false;
    let id = pair.ends[0].open(pair.now, options).unwrap();
    pair.send(0, id, "before");
    pair.expect(0, |event| (*event == Event::Opened(id)).then_some(()));
    pair.send(0, id, "after");
    pair.run(Duration::from_secs(1));
    let sent = data_of(&pair, 0);
    let flags: Vec<u8> = sent.iter().map(|(flags, ..)| *flags & chunk::UNORDERED).collect();
    let ppids: Vec<u32> = sent.iter().map(|(_, _, ppid, _)| *ppid).collect();
    assert_eq!((flags, ppids), (vec![0, 0, chunk::UNORDERED], vec![50, 51, 51]));
    // The acknowledgement of DCEP is one octet, in order.
    assert_eq!(data_of(&pair, 1), [(3, 2, 50, vec![2])]);
}

#[test]
fn empty_messages_are_one_octet_of_nothing() {
    let mut pair = pair(6, Path::default());
    let ids = pair.open(0, ChannelOptions::new("x"));
    pair.sent = Some(Vec::new());
    pair.send(0, ids[0], "");
    let empty = Message::Binary(bytes::Bytes::new());
    pair.ends[0].send(pair.now, ids[0], empty).unwrap();
    pair.run(Duration::from_secs(1));
    assert_eq!(data_of(&pair, 0), [(3, 0, 56, vec![0]), (3, 0, 57, vec![0])]);
    assert_eq!(pair.ends[0].channel(ids[0]).unwrap().buffered_amount(), 0);
}

#[test]
fn channels_beyond_the_limit_are_refused_ours_with_a_word_theirs_by_reset() {
    let config = Config { max_channels: 2, ..Config::default() };
    let mut pair = pair_of(7, Path::default(), [config, Config::default()], [Peer::default(); 2]);
    pair.open(0, ChannelOptions::new("1"));
    pair.open(1, ChannelOptions::new("2"));
    let third = pair.ends[0].open(pair.now, ChannelOptions::new("3"));
    assert_eq!(third, Err(Error::Limit("max_channels")));
    let theirs = pair.ends[1].open(pair.now, ChannelOptions::new("3")).unwrap();
    assert_eq!(pair.closed(1, theirs), None);
    assert_eq!(pair.ends[0].counts().over_limit, 1);
    // The association goes on.
    assert!(pair.ends.iter().all(Channels::is_connected));
}

#[test]
fn an_open_message_on_a_stream_of_the_wrong_parity_is_reset() {
    let mut pair = pair(8, Path::default());
    let mut options = ChannelOptions::new("fixed");
    options.negotiated = Some(4);
    let id = pair.ends[1].open(pair.now, options).unwrap();
    pair.expect(1, |event| (*event == Event::Opened(id)).then_some(()));
    let open = dcep::Open {
        ordered: true,
        reliability: Reliability::Full,
        priority: 0,
        label: "odd".into(),
        protocol: String::new(),
    };
    pair.ends[1].say_for_test(id, &dcep::Dcep::Open(open));
    assert_eq!(pair.closed(1, id), None);
    assert!(pair.events[0].iter().all(|event| !matches!(event, Event::Incoming(_))));
}

#[test]
fn labels_and_messages_have_their_limits() {
    let peers = [Peer { max_message_size: 10, ..Peer::default() }, Peer::default()];
    let configs = [Config::default(), Config::default()];
    let mut pair = pair_of(9, Path::default(), configs, peers);
    let long = pair.ends[0].open(pair.now, ChannelOptions::new("x".repeat(4097)));
    assert_eq!(long, Err(Error::Limit("max_label")));
    let ids = pair.open(0, ChannelOptions::new("x".repeat(4096)));
    let sent = pair.ends[0].send(pair.now, ids[0], Message::Text("12345678901".into()));
    assert_eq!(sent, Err(Error::TooBig { size: 11, max: 10 }));
    pair.send(0, ids[0], "1234567890");
    assert_eq!(pair.read(1, ids[1]), Message::Text("1234567890".into()));
}

#[test]
fn a_peer_that_never_answers_is_given_up() {
    let mut pair = pair(10, Path::default());
    pair.drops = |_, _| true;
    let id = pair.ends[0].open(pair.now, ChannelOptions::new("x")).unwrap();
    let error = Some(Error::Timeout);
    pair.until(120, |pair| {
        let closed = Event::Closed { channel: id, error: error.clone() };
        pair.events[0].contains(&closed) && pair.events[0].contains(&Event::Ended(Error::Timeout))
    });
    // INIT and eight more.
    assert_eq!(pair.ends[0].counts().packets_sent, 9);
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let new = |change: fn(&mut Config)| {
        let mut config = Config::default();
        change(&mut config);
        let (now, rng) = (Instant::now(), Rng::from_seed(1));
        Channels::new(now, true, Peer::default(), Arc::new(config), rng).map(|_| ())
    };
    assert_eq!(new(|_| {}), Ok(()));
    assert!(matches!(new(|c| c.mtu = 511), Err(Error::Config(_))));
    assert!(matches!(new(|c| c.port = 0), Err(Error::Config(_))));
    assert!(matches!(new(|c| c.receive_buffer = 1000), Err(Error::Config(_))));
}

// RFC 8864 §6.1
#[test]
fn a_reserved_stream_is_left_to_the_channel_that_is_agreed_on_elsewhere() {
    let limited = || Config { max_channels: 3, ..Config::default() };
    let mut pair = pair_of(3, Path::default(), [limited(), limited()], [Peer::default(); 2]);
    let stream = pair.ends[0].reserve().unwrap();
    assert_eq!((stream, pair.ends[1].reserve().unwrap()), (0, 1));
    pair.ends[1].release(1);
    let ids = pair.open(0, ChannelOptions::new("in-band"));
    assert_eq!(ids.map(ChannelId::stream), [2; 2]);
    pair.ends[0].reserve().unwrap();
    assert_eq!(pair.ends[0].reserve(), Err(Error::Limit("max_channels")));
    for end in 0..2 {
        let options = ChannelOptions { negotiated: Some(stream), ..ChannelOptions::new("agreed") };
        let id = pair.ends[end].open(pair.now, options).unwrap();
        assert_eq!(id.stream(), 0);
    }
    assert_eq!(pair.ends[0].reserve(), Err(Error::Limit("max_channels")));
    pair.ends[0].release(4);
    assert_eq!(pair.ends[0].reserve(), Ok(4));
}
