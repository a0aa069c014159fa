use super::*;

fn open(path: Link) -> (Pair, Flow) {
    let mut pair = Pair::new(1, path);
    pair.net.listen(pair.b, Transport::Tcp, 5060);
    pair.net.send(pair.now, pair.a, tcp(A, B), "hello".into());
    let got = pair.run(ms(100));
    let seen = got.iter().find(|g| g.1 == pair.b).unwrap().2.flow();
    (pair, seen)
}

#[test]
fn a_connection_takes_a_round_trip_to_open_and_is_used_both_ways() {
    let mut pair = Pair::new(1, Link::new().latency(ms(20)));
    pair.net.listen(pair.b, Transport::Tcp, 5060);
    let flow = tcp(A, B);
    pair.net.send(pair.now, pair.a, flow, "one".into());
    pair.net.send(pair.now, pair.a, flow, "two".into());
    let got = pair.run(ms(100));
    let seen = got[0].2.flow();
    assert_eq!((seen.local, seen.remote.ip()), (at(B), at(A).ip()));
    assert_ne!(seen.remote.port(), 5060);
    assert_eq!(
        got,
        [
            (ms(20), pair.b, NetEvent::Opened { flow: seen }),
            (ms(40), pair.a, NetEvent::Opened { flow }),
            (ms(60), pair.b, NetEvent::Stream { flow: seen, data: "one".into() }),
            (ms(60), pair.b, NetEvent::Stream { flow: seen, data: "two".into() }),
        ]
    );
    pair.net.send(pair.now, pair.b, seen, "back".into());
    assert_eq!(
        pair.run(ms(20)),
        [(ms(120), pair.a, NetEvent::Stream { flow, data: "back".into() })]
    );
    assert_eq!(pair.net.connections(), 2);
}

#[test]
fn nobody_listening_and_a_refusing_host_refuse() {
    let mut pair = Pair::new(1, Link::new().latency(ms(20)));
    let flow = tcp(A, B);
    let failed = NetEvent::SendFailed { flow, error: ErrorKind::ConnectionRefused };
    pair.net.send(pair.now, pair.a, flow, "x".into());
    assert_eq!(pair.run(ms(100)), [(ms(40), pair.a, failed.clone())]);
    pair.net.listen(pair.b, Transport::Tcp, 5060);
    pair.net.refuse(pair.b);
    pair.net.send(pair.now, pair.a, flow, "x".into());
    assert_eq!(pair.run(ms(100)), [(ms(140), pair.a, failed)]);
    assert_eq!(pair.net.connections(), 0);
}

#[test]
fn a_dead_host_times_out_after_the_connect_timeout() {
    let mut pair = Pair::new(1, Link::new());
    pair.net.listen(pair.b, Transport::Tcp, 5060);
    pair.net.black_hole(pair.b);
    pair.net.set_connect_timeout(Duration::from_secs(4));
    let flow = tcp(A, B);
    pair.net.send(pair.now, pair.a, flow, "x".into());
    let failed = NetEvent::SendFailed { flow, error: ErrorKind::TimedOut };
    assert_eq!(pair.run(Duration::from_secs(60)), [(Duration::from_secs(4), pair.a, failed)]);
}

#[test]
fn closing_delivers_what_was_sent_then_the_end_and_says_nothing_to_the_closer() {
    let (mut pair, seen) = open(Link::new().latency(ms(5)));
    pair.net.send(pair.now, pair.a, tcp(A, B), "last words".into());
    pair.net.close(pair.now, pair.a, tcp(A, B));
    assert_eq!(
        pair.run(ms(100)),
        [
            (ms(105), pair.b, NetEvent::Stream { flow: seen, data: "last words".into() }),
            (ms(105), pair.b, NetEvent::Closed { flow: seen, error: None }),
        ]
    );
    assert_eq!(pair.net.connections(), 0);
    // The next message opens a new one.
    pair.net.send(pair.now, pair.a, tcp(A, B), "again".into());
    assert_eq!(pair.run(ms(100)).len(), 3);
}

#[test]
fn a_reset_is_told_as_such() {
    let (mut pair, seen) = open(Link::new());
    pair.net.reset(pair.now, pair.b, seen);
    let error = Some(ErrorKind::ConnectionReset);
    let closed = NetEvent::Closed { flow: tcp(A, B), error };
    assert_eq!(pair.run(ms(1)), [(ms(100), pair.a, closed)]);
    assert_eq!(pair.net.connections(), 0);
}

#[test]
fn losses_delay_a_stream_but_never_lose_or_reorder_it() {
    let mut pair = Pair::new(3, Link::new().latency(ms(10)).loss(0.3).reorder(0.2, ms(50)));
    pair.net.listen(pair.b, Transport::Tcp, 5060);
    let mut sent = Vec::new();
    let mut got = Vec::new();
    for i in 0..500u32 {
        sent.extend_from_slice(&i.to_be_bytes());
        let data = Bytes::copy_from_slice(&i.to_be_bytes());
        pair.net.send(pair.now, pair.a, tcp(A, B), data);
        got.extend(pair.run(ms(20)));
    }
    got.extend(pair.run(Duration::from_secs(300)));
    let bytes: Vec<u8> = got
        .iter()
        .filter_map(
            |(_, _, e)| if let NetEvent::Stream { data, .. } = e { Some(data) } else { None },
        )
        .flatten()
        .copied()
        .collect();
    assert!(bytes == sent);
    // Half a round trip at best, a retransmission for some.
    assert!(got.last().unwrap().0 > ms(10_010));
}

#[test]
fn a_stream_over_a_path_that_died_ends_after_its_timeout() {
    let (mut pair, _) = open(Link::new());
    pair.net.set_stream_timeout(Duration::from_secs(30));
    pair.net.set_path(at(A).ip(), at(B).ip(), Link::new().down(pair.now, None));
    pair.net.send(pair.now, pair.a, tcp(A, B), "lost".into());
    let closed = NetEvent::Closed { flow: tcp(A, B), error: Some(ErrorKind::TimedOut) };
    assert_eq!(pair.run(Duration::from_secs(60)), [(ms(30_100), pair.a, closed)]);
}
