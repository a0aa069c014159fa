use super::*;

fn numbered(pair: &mut Pair, count: u32, every: Duration) -> Vec<(Duration, u32)> {
    let mut got = Vec::new();
    let mut note = |all: Vec<(Duration, HostId, NetEvent)>| {
        for (t, _, event) in all {
            if let NetEvent::Datagram { data, .. } = event {
                got.push((t, u32::from_be_bytes(data[..4].try_into().unwrap())));
            }
        }
    };
    for i in 0..count {
        pair.a_to_b(Bytes::copy_from_slice(&i.to_be_bytes()));
        note(pair.run(every));
    }
    note(pair.run(Duration::from_secs(60)));
    got
}

#[test]
fn latency_and_jitter_stay_in_their_range_and_keep_the_order() {
    let mut pair = Pair::new(1, Link::new().latency(ms(40)).jitter(ms(30)));
    let got = numbered(&mut pair, 1000, ms(5));
    assert_eq!(got.len(), 1000);
    assert!(got.is_sorted_by_key(|g| g.1));
    let delays: Vec<Duration> = got.iter().map(|(t, i)| *t - ms(5) * *i).collect();
    assert!(delays.iter().all(|d| (ms(40)..=ms(70)).contains(d)));
    assert!(*delays.iter().min().unwrap() < ms(43) && *delays.iter().max().unwrap() > ms(67));
}

#[test]
fn random_loss_has_the_rate_asked_for() {
    let mut pair = Pair::new(2, Link::new().loss(0.3));
    let got = numbered(&mut pair, 20_000, ms(1)).len();
    assert!((13_700..=14_300).contains(&got), "{got}");
}

#[test]
fn burst_loss_has_its_mean_rate_and_burst_length() {
    let burst = Burst { enter: 0.02, leave: 0.2, loss_good: 0.0, loss_bad: 1.0 };
    let mut pair = Pair::new(3, Link::new().burst(burst));
    let got = numbered(&mut pair, 50_000, ms(1));
    // The chain is bad for enter / (enter + leave) = 1/11 of the time, in runs of 1 / leave = 5.
    let lost = 50_000 - got.len();
    assert!((4_000..=5_100).contains(&lost), "{lost}");
    let bursts = got.windows(2).filter(|w| w[1].1 > w[0].1 + 1).count();
    let mean = lost as f64 / bursts as f64;
    assert!((4.5..=5.5).contains(&mean), "{mean}");
}

#[test]
fn duplicates_come_at_the_rate_asked_for() {
    let mut pair = Pair::new(4, Link::new().duplicate(0.05).latency(ms(3)));
    let got = numbered(&mut pair, 20_000, ms(1)).len();
    assert!((20_900..=21_100).contains(&got), "{got}");
}

#[test]
fn reordered_packets_are_overtaken_and_none_is_lost() {
    let mut pair = Pair::new(5, Link::new().latency(ms(10)).reorder(0.1, ms(25)));
    let got = numbered(&mut pair, 10_000, ms(10));
    assert_eq!(got.len(), 10_000);
    let late = got.windows(2).filter(|w| w[1].1 < w[0].1).count();
    assert!((850..=1100).contains(&late), "{late}");
}

#[test]
fn bandwidth_paces_packets_and_a_full_queue_drops() {
    // 80 kbit/s carry 10,000 bytes a second: a packet of 972 + 28 bytes takes 100 ms.
    let mut pair = Pair::new(6, Link::new().bandwidth(80_000, 5_000).latency(ms(7)));
    for i in 0..10u8 {
        pair.a_to_b(vec![i; 972]);
    }
    let got = pair.run(Duration::from_secs(10));
    let times: Vec<Duration> = got.iter().map(|g| g.0).collect();
    // Five fit into the queue, the first of which is on its way out.
    assert_eq!(times, (1..=5).map(|n| ms(100 * n + 7)).collect::<Vec<_>>());
    // Idle again: the next one goes out at once.
    pair.a_to_b(vec![0; 972]);
    let got = pair.run(Duration::from_secs(1));
    assert_eq!(got[0].0, Duration::from_secs(10) + ms(107));
}

#[test]
fn an_access_line_is_shared_by_all_traffic_of_its_host() {
    let mut pair = Pair::new(7, Link::new());
    let c = pair.net.add_host(ip("192.0.2.3"));
    let line = Link::new().bandwidth(80_000, 100_000).latency(ms(5));
    pair.net.set_access(pair.a, line, Link::new().latency(ms(50)));
    pair.a_to_b(vec![0; 972]);
    pair.net.send(pair.now, pair.a, udp(A, "192.0.2.3:5060"), vec![0; 972].into());
    let got = pair.run(Duration::from_secs(1));
    assert_eq!((got[0].0, got[0].1), (ms(105), pair.b));
    assert_eq!((got[1].0, got[1].1), (ms(205), c));
    // The other direction has its own line.
    pair.net.send(pair.now, pair.b, udp(B, A), "x".into());
    assert_eq!(pair.run(ms(60))[0].0, ms(1050));
}

#[test]
fn a_long_datagram_travels_in_fragments_or_not_at_all() {
    // 3,000 bytes in packets of at most 1,500: three fragments, each lost with 20 %.
    let mut pair = Pair::new(8, Link::new().mtu(1500).loss(0.2));
    for _ in 0..5000 {
        pair.a_to_b(vec![0; 3000]);
    }
    let got = pair.run(ms(1)).len();
    assert!((2430..=2690).contains(&got), "{got} of 5000, expected 51.2 %");
    let mut pair = Pair::new(8, Link::new().mtu(1500).drop_fragments());
    pair.net.record();
    pair.a_to_b(vec![0; 1472]);
    pair.a_to_b(vec![0; 1473]);
    assert_eq!(pair.run(ms(1)).len(), 1);
    assert_eq!(pair.net.trace()[1].fate, Fate::Fragmented);
}

#[test]
fn a_path_that_dies_at_a_time_passes_nothing_until_it_is_back() {
    let start = Instant::now();
    let link = Link::new().down(start + ms(100), Some(start + ms(200)));
    let mut pair = Pair::new(9, Link::new());
    (pair.start, pair.now) = (start, start);
    pair.net.set_path(ip("192.0.2.1"), ip("192.0.2.2"), link);
    let got: Vec<u32> = numbered(&mut pair, 30, ms(10)).into_iter().map(|g| g.1).collect();
    assert_eq!(got, (0..10).chain(20..30).collect::<Vec<_>>());
}

#[test]
fn a_dead_host_is_silent_and_a_refusing_one_says_so() {
    let mut pair = Pair::new(10, Link::new().latency(ms(10)));
    pair.net.black_hole(pair.b);
    pair.a_to_b("anyone?");
    assert_eq!(pair.run(Duration::from_secs(60)), []);
    pair.net.refuse(pair.b);
    pair.a_to_b("anyone?");
    let error = ErrorKind::ConnectionRefused;
    let failed = NetEvent::SendFailed { flow: udp(A, B), error };
    assert_eq!(pair.run(ms(20)), [(Duration::from_secs(60) + ms(20), pair.a, failed.clone())]);
    pair.net.revive(pair.b);
    pair.net.refuse_port(pair.b, 5060);
    pair.a_to_b("anyone?");
    assert_eq!(pair.run(ms(20))[0].2, failed);
    let other = udp(A, "192.0.2.2:5070");
    pair.net.send(pair.now, pair.a, other, "here?".into());
    assert!(matches!(pair.run(ms(20))[0].2, NetEvent::Datagram { .. }));
    pair.net.revive(pair.b);
    pair.a_to_b("and now?");
    assert_eq!(pair.run(ms(20)).len(), 1);
}

#[test]
fn a_destination_that_does_not_exist_gets_nothing() {
    let mut pair = Pair::new(11, Link::new());
    pair.net.record();
    pair.net.send(pair.now, pair.a, udp(A, "203.0.113.9:1"), "x".into());
    assert_eq!(pair.run(ms(1)), []);
    assert_eq!(pair.net.trace()[0].fate, Fate::NoRoute);
}

#[test]
fn a_host_with_several_addresses_hears_on_all_and_an_unset_source_is_filled_in() {
    let mut pair = Pair::new(12, Link::new());
    pair.net.add_address(pair.b, ip("2001:db8::2"));
    pair.net.add_address(pair.a, ip("2001:db8::1"));
    let flow = udp("[::]:5060", "[2001:db8::2]:5060");
    pair.net.send(pair.now, pair.a, flow, "six".into());
    let expected = udp("[2001:db8::2]:5060", "[2001:db8::1]:5060");
    assert_eq!(pair.run(ms(1))[0].2, NetEvent::Datagram { flow: expected, data: "six".into() });
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    let burst = Burst { enter: 0.05, leave: 0.3, loss_good: 0.01, loss_bad: 0.8 };
    let link = Link::new()
        .latency(ms(20))
        .jitter(ms(15))
        .loss(0.1)
        .burst(burst)
        .duplicate(0.05)
        .reorder(0.1, ms(30))
        .bandwidth(1_000_000, 20_000);
    let trace = |seed| {
        let mut pair = Pair::new(seed, link.clone());
        pair.net.record();
        pair.net.listen(pair.b, Transport::Tcp, 5060);
        for i in 0..500u32 {
            pair.a_to_b(vec![0; 100 + i as usize]);
            pair.net.send(pair.now, pair.b, udp(B, A), "back".into());
            pair.net.send(pair.now, pair.a, tcp(A, B), "stream".into());
            pair.run(ms(3));
        }
        pair.run(Duration::from_secs(60));
        let line = |t: &TraceEntry| format!("{:?} {t}", t.at - pair.start);
        pair.net.trace().iter().map(line).collect::<Vec<_>>()
    };
    let first = trace(42);
    assert!(first.len() > 1400, "{}", first.len());
    assert_eq!(first, trace(42));
    assert_ne!(first, trace(43));
}
