use super::*;

const INNER: &str = "10.0.0.2:5060";
const OUTER_IP: &str = "198.51.100.1";
const S1: &str = "192.0.2.1:3478";
const S1_OTHER_PORT: &str = "192.0.2.1:3479";
const S2: &str = "192.0.2.2:3478";

struct Home {
    net: Network,
    nat: NatId,
    inner: HostId,
    s1: HostId,
    s2: HostId,
    start: Instant,
    now: Instant,
}

impl Home {
    fn new(nat: Nat) -> Self {
        let mut net = Network::new(1);
        let nat = net.add_nat(nat);
        let inner = net.add_host_behind(nat, at(INNER).ip());
        let (s1, s2) = (net.add_host(at(S1).ip()), net.add_host(at(S2).ip()));
        let start = Instant::now();
        Self { net, nat, inner, s1, s2, start, now: start }
    }

    /// Where a server sees the inner socket.
    fn seen_by(&mut self, server: &str) -> Option<SocketAddr> {
        self.net.send(self.now, self.inner, udp(INNER, server), "out".into());
        let got = self.run(ms(0));
        match got.as_slice() {
            [(_, _, NetEvent::Datagram { flow, .. })] => Some(flow.remote),
            _ => None,
        }
    }

    /// Whether a server's datagram to an outer socket comes in, with the right addresses.
    fn reaches(&mut self, server: &str, outer: SocketAddr) -> bool {
        let host = if at(server).ip() == at(S1).ip() { self.s1 } else { self.s2 };
        self.net.send(self.now, host, udp(server, &outer.to_string()), "in".into());
        let expected = NetEvent::Datagram { flow: udp(INNER, server), data: "in".into() };
        match self.run(ms(0)).as_slice() {
            [(_, host, event)] => *host == self.inner && *event == expected,
            _ => false,
        }
    }

    fn run(&mut self, duration: Duration) -> Vec<(Duration, HostId, NetEvent)> {
        run(&mut self.net, self.start, &mut self.now, duration)
    }
}

/// Rows of RFC 4787 §4.1 and §5: which outer sockets are equal, and who may answer.
#[test]
fn mapping_and_filtering_behave_as_each_type_of_rfc_4787() {
    use Dependence::*;
    let all = [EndpointIndependent, AddressDependent, AddressAndPortDependent];
    for mapping in all {
        for filtering in all {
            let nat = Nat::new(ip(OUTER_IP)).mapping(mapping).filtering(filtering);
            let mut home = Home::new(nat.preserve_ports(false));
            let outer = home.seen_by(S1).unwrap();
            assert_eq!(outer.ip(), ip(OUTER_IP));
            assert_eq!(home.seen_by(S1), Some(outer), "a mapping is kept");
            let context = format!("mapping {mapping:?} filtering {filtering:?}");
            assert!(home.reaches(S1, outer), "{context}");
            let independent = filtering == EndpointIndependent;
            let by_port = filtering == AddressAndPortDependent;
            assert_eq!(home.reaches(S1_OTHER_PORT, outer), !by_port, "{context}");
            assert_eq!(home.reaches(S2, outer), independent, "{context}");
            let same_host = home.seen_by(S1_OTHER_PORT).unwrap();
            assert_eq!(same_host == outer, mapping != AddressAndPortDependent, "{context}");
            let other_host = home.seen_by(S2).unwrap();
            assert_eq!(other_host == outer, mapping == EndpointIndependent, "{context}");
            assert!(home.reaches(S2, other_host), "{context}");
        }
    }
}

#[test]
fn a_mapping_dies_of_silence_and_lives_by_keep_alives() {
    let mut home = Home::new(Nat::full_cone(ip(OUTER_IP)).timeout(Duration::from_secs(30)));
    let outer = home.seen_by(S1).unwrap();
    for _ in 0..5 {
        home.run(Duration::from_secs(29));
        assert_eq!(home.seen_by(S1), Some(outer));
    }
    home.run(Duration::from_secs(29));
    // What comes in does not count unless the box says so.
    assert!(home.reaches(S1, outer));
    home.run(Duration::from_secs(1));
    assert!(!home.reaches(S1, outer));
    let nat = Nat::full_cone(ip(OUTER_IP)).timeout(Duration::from_secs(30)).inbound_refresh(true);
    let mut home = Home::new(nat);
    let outer = home.seen_by(S1).unwrap();
    for _ in 0..5 {
        home.run(Duration::from_secs(29));
        assert!(home.reaches(S1, outer));
    }
}

#[test]
fn a_rebooted_box_has_forgotten_everything() {
    let mut home = Home::new(Nat::symmetric(ip(OUTER_IP)));
    let outer = home.seen_by(S1).unwrap();
    home.net.reboot(home.nat);
    assert!(!home.reaches(S1, outer));
    assert_ne!(home.seen_by(S1), Some(outer));
}

#[test]
fn ports_are_preserved_until_two_inner_hosts_want_the_same() {
    let mut home = Home::new(Nat::new(ip(OUTER_IP)));
    let second = home.net.add_host_behind(home.nat, ip("10.0.0.3"));
    assert_eq!(home.seen_by(S1).unwrap().port(), 5060);
    home.net.send(home.now, second, udp("10.0.0.3:5060", S1), "x".into());
    let port = home.run(ms(0))[0].2.flow().remote.port();
    assert!(port != 5060 && port.is_multiple_of(2), "{port}");
}

#[test]
fn a_box_without_free_ports_lets_nobody_new_out() {
    let nat = Nat::new(ip(OUTER_IP)).ports(6000..=6000).preserve_ports(false);
    let mut home = Home::new(nat.timeout(Duration::from_secs(30)));
    let second = home.net.add_host_behind(home.nat, ip("10.0.0.3"));
    assert_eq!(home.seen_by(S1).unwrap().port(), 6000);
    home.net.send(home.now, second, udp("10.0.0.3:5060", S1), "x".into());
    assert_eq!(home.run(Duration::from_secs(30)), []);
    home.net.send(home.now, second, udp("10.0.0.3:5060", S1), "x".into());
    assert_eq!(home.run(ms(0)).len(), 1);
}

#[test]
fn inner_hosts_reach_each_other_by_outer_addresses_where_the_box_hairpins() {
    for hairpin in [true, false] {
        let mut home = Home::new(Nat::full_cone(ip(OUTER_IP)).hairpin(hairpin));
        let second = home.net.add_host_behind(home.nat, ip("10.0.0.3"));
        let outer = home.seen_by(S1).unwrap();
        let flow = udp("10.0.0.3:7000", &outer.to_string());
        home.net.send(home.now, second, flow, "x".into());
        let got = home.run(ms(0));
        if hairpin {
            // RFC 4787 REQ-9: the sender is seen by its outer address too.
            let flow = udp(INNER, &format!("{OUTER_IP}:7000"));
            assert_eq!(got, [(ms(0), home.inner, NetEvent::Datagram { flow, data: "x".into() })]);
        } else {
            assert_eq!(got, []);
        }
        // By their inner addresses they meet without the box.
        home.net.send(home.now, second, udp("10.0.0.3:7000", INNER), "x".into());
        assert_eq!(home.run(ms(0))[0].2.flow(), udp(INNER, "10.0.0.3:7000"));
    }
}

#[test]
fn boxes_behind_boxes_translate_twice_and_private_addresses_may_repeat() {
    let mut net = Network::new(2);
    let carrier = net.add_nat(Nat::full_cone(ip(OUTER_IP)).preserve_ports(false));
    let home = net.add_nat_behind(carrier, Nat::full_cone(ip("100.64.0.1")));
    let neighbour = net.add_nat_behind(carrier, Nat::full_cone(ip("100.64.0.2")));
    let here = net.add_host_behind(home, ip("10.0.0.2"));
    let there = net.add_host_behind(neighbour, ip("10.0.0.2"));
    let server = net.add_host(ip("192.0.2.1"));
    let (start, mut now) = (Instant::now(), Instant::now());
    let mut seen = Vec::new();
    for host in [here, there] {
        net.send(now, host, udp(INNER, S1), "x".into());
        let got = run(&mut net, start, &mut now, ms(0));
        assert_eq!((got.len(), got[0].1), (1, server));
        seen.push(got[0].2.flow().remote);
    }
    assert!(seen.iter().all(|s| s.ip() == ip(OUTER_IP)) && seen[0] != seen[1]);
    for (host, outer) in [here, there].into_iter().zip(seen) {
        net.send(now, server, udp(S1, &outer.to_string()), "y".into());
        let got = run(&mut net, start, &mut now, ms(0));
        assert_eq!((got.len(), got[0].1, got[0].2.flow()), (1, host, udp(INNER, S1)));
    }
}

#[test]
fn a_connection_goes_out_through_a_box_and_none_comes_in() {
    let mut home = Home::new(Nat::full_cone(ip(OUTER_IP)));
    home.net.listen(home.s1, Transport::Tcp, 5060);
    home.net.listen(home.inner, Transport::Tcp, 5060);
    let out = tcp(INNER, "192.0.2.1:5060");
    home.net.send(home.now, home.inner, out, "hello".into());
    let got: Vec<NetEvent> = home.run(ms(0)).into_iter().map(|g| g.2).collect();
    let seen = got[0].flow();
    assert_eq!((seen.local, seen.remote.ip()), (at("192.0.2.1:5060"), ip(OUTER_IP)));
    assert_eq!(got[1], NetEvent::Opened { flow: out });
    assert_eq!(got[2], NetEvent::Stream { flow: seen, data: "hello".into() });
    home.net.send(home.now, home.s1, seen, "back".into());
    assert_eq!(home.run(ms(0))[0].2, NetEvent::Stream { flow: out, data: "back".into() });
    // From the outside, nobody is there.
    let inward = tcp("192.0.2.2:5060", "198.51.100.1:5060");
    home.net.send(home.now, home.s2, inward, "x".into());
    let got = home.run(Duration::from_secs(20));
    let error = ErrorKind::TimedOut;
    assert_eq!(got, [(ms(10_000), home.s2, NetEvent::SendFailed { flow: inward, error })]);
}

#[test]
fn an_icmp_error_finds_its_way_back_in() {
    let mut home = Home::new(Nat::port_restricted(ip(OUTER_IP)));
    home.net.refuse(home.s1);
    home.net.send(home.now, home.inner, udp(INNER, S1), "x".into());
    let error = ErrorKind::ConnectionRefused;
    let failed = NetEvent::SendFailed { flow: udp(INNER, S1), error };
    assert_eq!(home.run(ms(0)), [(ms(0), home.inner, failed)]);
}
