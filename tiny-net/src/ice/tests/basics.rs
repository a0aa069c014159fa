use super::*;

fn two(config: Config) -> Lab {
    let mut lab = lan(1);
    lab.side(config.clone(), true, None, &[cable("203.0.113.1:4000")]);
    lab.side(config, false, None, &[cable("203.0.113.2:4000")]);
    lab
}

#[test]
fn two_public_hosts_send_after_one_round_trip_and_nominate_at_once() {
    let mut lab = two(Config::default());
    lab.connect();
    assert!(lab.until(ms(60), |lab| lab.both(State::Connected) || lab.both(State::Completed)));
    assert!(lab.completed(ms(200)) && lab.agree());
    let pair = lab.agent(0).selected(1).unwrap();
    assert_eq!((pair.local, pair.remote), (at("203.0.113.1:4000"), at("203.0.113.2:4000")));
    assert_eq!(pair.rtt, Some(ms(20)));
    assert!(pair.nominated && pair.failure.is_none());
    assert_eq!(lab.agent(0).remote_candidates(), [(1, at("203.0.113.2:4000"))]);
    lab.talk(0);
    lab.run(secs(1));
    assert!(lab.look(1).received >= 48);
    let route = lab.agent(0).route(lab.world.now(), 1).unwrap();
    assert_eq!((route.flow.remote, route.channel, route.framed), (pair.remote, None, false));
    assert!(lab.act(0, |agent, now| agent.send(now, 2, b"x")).is_err());
}

#[test]
fn the_checks_carry_what_rfc_8445_asks_for() {
    use crate::stun::{Message, attr};
    let mut lab = two(Config::default());
    lab.act(0, Agent::gather);
    lab.signal(0);
    lab.signal(1);
    let (ufrag, key) = {
        let (ufrag, password) = lab.agent(1).credentials();
        (ufrag.to_owned(), crate::stun::Key::short_term(password))
    };
    let now = lab.world.now();
    let expected = format!("{ufrag}:{}", lab.agent(0).credentials().0);
    let data = lab.act(0, |agent, _| {
        agent.handle(now, Input::Timeout);
        loop {
            match agent.poll(now) {
                Output::Transmit(Transmit::Send { data, .. }) => break data,
                Output::Timeout(_) => panic!("a check is due"),
                _ => {}
            }
        }
    });
    let message = Message::parse(&data).unwrap();
    assert_eq!(message.text(attr::USERNAME), Some(expected.as_str()));
    // A peer-reflexive candidate's: type 110, preference 65535, component 1.
    assert_eq!(message.u32(attr::PRIORITY), Some(110 << 24 | 65_535 << 8 | 255));
    assert!(message.u64(attr::ICE_CONTROLLING).is_some() && !message.has(attr::USE_CANDIDATE));
    assert!(message.verify_sha1(&key).is_valid() && message.has(attr::FINGERPRINT));
}

#[test]
fn trickle_half_trickle_and_whole_lists_all_connect() {
    for trickle in [true, false] {
        let mut lab = lan(2);
        lab.trickle = trickle;
        let server = lab.server();
        for (n, outer) in ["198.51.100.1", "198.51.100.2"].into_iter().enumerate() {
            let nat = lab.nat(Nat::port_restricted(ip(outer)));
            let inner = format!("10.0.{n}.2:4000");
            lab.side(with_turn(server), n == 0, Some(nat), &[cable(&inner)]);
        }
        lab.connect();
        assert!(lab.completed(secs(4)) && lab.agree(), "trickle {trickle}");
        for side in 0..2 {
            assert!(lab.told(side, |e| matches!(e, Event::GatheringDone)).is_some());
        }
        let kinds: Vec<_> = lab.agent(0).local_candidates().iter().map(|c| c.kind).collect();
        assert_eq!(kinds.len(), 3, "{kinds:?}");
        assert_eq!(lab.agent(0).default_address(1).map(|a| a.ip()), Some(ip(SERVER)));
    }
}

#[test]
fn checks_that_come_before_the_answer_are_answered_and_followed_up() {
    let mut lab = two(Config::default());
    // The callee knows all; the caller has not got the answer.
    lab.signal(0);
    lab.run(secs(1));
    assert_eq!(lab.agent(0).state(), State::New);
    assert_eq!(lab.agent(1).state(), State::Connected);
    let before = lab.world.elapsed();
    lab.trickle = false;
    lab.signal(1);
    assert!(lab.completed(ms(700)), "{:?}", lab.world.elapsed() - before);
    assert!(lab.agree());
}

#[test]
fn a_role_conflict_is_solved_and_told() {
    for both in [true, false] {
        for seed in 0..8 {
            let mut lab = lan(seed);
            lab.side(Config::default(), both, None, &[cable("203.0.113.1:4000")]);
            lab.side(Config::default(), both, None, &[cable("203.0.113.2:4000")]);
            lab.connect();
            assert!(lab.completed(secs(3)), "both {both} seed {seed}");
            assert_ne!(lab.agent(0).is_controlling(), lab.agent(1).is_controlling());
            let told =
                (0..2).filter(|s| lab.told(*s, |e| matches!(e, Event::Role { .. })).is_some());
            assert_eq!(told.count(), 1);
            assert!((0..2).any(|s| lab.agent(s).report().counters.role_conflicts > 0));
        }
    }
}

#[test]
fn a_lite_agent_answers_and_is_found_even_if_it_was_to_control() {
    for controlling in [true, false] {
        let mut lab = lan(3);
        let lite = Config { lite: true, ..Config::default() };
        lab.side(lite, controlling, None, &[cable("203.0.113.1:4000")]);
        let nat = lab.nat(Nat::symmetric(ip("198.51.100.2")));
        lab.side(Config::default(), !controlling, Some(nat), &[cable("10.0.0.2:4000")]);
        lab.connect();
        assert!(lab.completed(secs(2)) && lab.agree());
        assert!(lab.agent(1).is_controlling() && !lab.agent(0).is_controlling());
        lab.talk(0);
        lab.talk(1);
        lab.run(secs(40));
        assert!(lab.both(State::Completed));
        assert!((0..2).all(|s| lab.look(s).received > 1900));
        // It never asks.
        assert!(lab.agent(0).report().pairs.iter().all(|p| p.sent == 0));
    }
}

#[test]
fn two_lite_agents_need_no_checks() {
    let mut lab = two(Config { lite: true, ..Config::default() });
    let before = lab.world.network.packets();
    lab.connect();
    assert!(lab.completed(ms(10)) && lab.agree());
    assert_eq!(lab.world.network.packets(), before);
    // Keep-alives alone hold the bindings open (§11).
    lab.run(secs(46));
    assert_eq!(lab.world.network.packets(), before + 6);
}

#[test]
fn two_components_are_two_paths_and_one_is_enough_with_rtcp_mux() {
    let rtcp = |addr: &str| HostAddress { component: 2, ..cable(addr) };
    let config = || Config { components: 2, ..Config::default() };
    let mut lab = lan(4);
    lab.side(config(), true, None, &[cable("203.0.113.1:4000"), rtcp("203.0.113.1:4001")]);
    lab.side(config(), false, None, &[cable("203.0.113.2:4000"), rtcp("203.0.113.2:4001")]);
    lab.connect();
    assert!(lab.completed(secs(2)));
    let remote = |side: usize, c| lab.agent(side).selected(c).unwrap().remote.port();
    assert_eq!((remote(0, 1), remote(0, 2)), (4000, 4001));
    assert_eq!(lab.agent(0).remote_candidates().len(), 2);
    let mut lab = lan(5);
    lab.side(config(), true, None, &[cable("203.0.113.1:4000"), rtcp("203.0.113.1:4001")]);
    lab.side(Config::default(), false, None, &[cable("203.0.113.2:4000")]);
    lab.connect();
    assert!(lab.completed(secs(2)));
    assert!(lab.agent(0).selected(2).is_none());
}

#[test]
fn ipv6_is_paired_with_ipv6_and_preferred() {
    let mut lab = lan(6);
    let both =
        |n: u8| [cable(&format!("[2001:db8::{n}]:4000")), cable(&format!("203.0.113.{n}:4000"))];
    lab.side(Config::default(), true, None, &both(1));
    lab.side(Config::default(), false, None, &both(2));
    lab.connect();
    assert!(lab.completed(secs(2)) && lab.agree());
    assert!(lab.agent(0).selected(1).unwrap().remote.is_ipv6());
    assert_eq!(lab.agent(0).report().pairs.len(), 2);
}

#[test]
fn who_has_ipv6_alone_reaches_who_has_ipv4_alone_by_an_allocation_of_both_families() {
    let mut lab = lan(8);
    let mut server = crate::turn::lab::Server::new(ip(SERVER));
    server.ip6 = Some(ip("2001:db8::10"));
    lab.server_with(server);
    let relay = turn::Server {
        transport: Transport::Udp,
        addr: SocketAddr::new(ip("2001:db8::10"), lab::PORT),
        username: lab::USER.into(),
        password: lab::PASSWORD.into(),
    };
    let config = Config { turn_servers: vec![relay], ..Config::default() };
    lab.side(config, true, None, &[cable("[2001:db8::1]:4000")]);
    lab.side(Config::default(), false, None, &[cable("203.0.113.2:4000")]);
    lab.connect();
    assert!(lab.completed(secs(5)), "{:#?}", lab.agent(0).report());
    let pair = lab.agent(0).selected(1).unwrap();
    assert_eq!((pair.local_kind, pair.local.ip()), (CandidateKind::Relayed, ip(SERVER)));
    let relays = lab.agent(0).local_candidates();
    assert_eq!(relays.iter().filter(|c| c.kind == CandidateKind::Relayed).count(), 2);
    lab.talk(0);
    lab.talk(1);
    lab.run(secs(2));
    assert!((0..2).all(|s| lab.look(s).received > 90));
    // With its network both addresses go.
    lab.act(0, |agent, now| agent.remove_local(now, at("[2001:db8::1]:4000")));
    assert!(lab.agent(0).local_candidates().is_empty());
}

#[test]
fn tcp_carries_what_udp_cannot_and_is_left_for_udp_that_can() {
    let tcp =
        |addr: &str, kind| HostAddress { transport: CandidateTransport::Tcp(kind), ..cable(addr) };
    for udp in [false, true] {
        let mut lab = lan(7);
        let mut ours = vec![tcp("203.0.113.1:9", TcpType::Active)];
        let mut theirs = vec![tcp("203.0.113.2:4001", TcpType::Passive)];
        if udp {
            ours.push(cable("203.0.113.1:4000"));
            theirs.push(cable("203.0.113.2:4000"));
        }
        lab.side(Config::default(), true, None, &ours);
        lab.side(Config::default(), false, None, &theirs);
        let host = lab.hosts[1];
        lab.world.network.listen(host, Transport::Tcp, 4001);
        lab.connect();
        assert!(lab.completed(secs(3)), "udp {udp}");
        let pair = lab.agent(0).selected(1).unwrap();
        assert_eq!(pair.remote, at(if udp { "203.0.113.2:4000" } else { "203.0.113.2:4001" }));
        lab.talk(0);
        lab.talk(1);
        lab.run(secs(2));
        assert!((0..2).all(|s| lab.look(s).received > 90));
        let route = lab.agent(0).route(lab.world.now(), 1).unwrap();
        assert_eq!(route.framed, !udp);
        lab.act(0, Agent::close);
        lab.run(secs(1));
        assert_eq!(lab.world.network.connections(), 0);
    }
}

#[test]
fn strangers_who_open_connections_and_say_nothing_do_not_keep_the_peer_out() {
    let tcp =
        |addr: &str, kind| HostAddress { transport: CandidateTransport::Tcp(kind), ..cable(addr) };
    let mut lab = lan(9);
    lab.side(Config::default(), true, None, &[tcp("203.0.113.1:9", TcpType::Active)]);
    lab.side(Config::default(), false, None, &[tcp("203.0.113.2:4001", TcpType::Passive)]);
    let host = lab.hosts[1];
    lab.world.network.listen(host, Transport::Tcp, 4001);
    let most = Config::default().max_connections as u16;
    lab.act(1, |agent, now| {
        for n in 0..2 * most {
            let (local, remote) =
                (at("203.0.113.2:4001"), SocketAddr::new(ip("203.0.113.9"), n + 1));
            let flow = tiny_sak::Flow { transport: Transport::Tcp, local, remote };
            agent.handle(now, Input::Net(crate::NetEvent::Opened { flow }));
        }
    });
    lab.connect();
    assert!(lab.completed(secs(3)));
    let refused = lab.agent(1).report().counters.connections_refused;
    assert_eq!(refused, u64::from(most) + 1);
}

#[test]
fn a_name_is_asked_for_and_an_address_hidden_behind_one() {
    let mut lab = lan(8);
    let named = HostAddress { name: Some("5f1a.local".into()), ..cable("203.0.113.1:4000") };
    lab.side(Config::default(), true, None, &[named]);
    lab.side(Config::default(), false, None, &[cable("203.0.113.2:4000")]);
    let line = lab.agent(0).local_candidates()[0].to_string();
    assert!(line.contains(" 5f1a.local 4000 typ host") && !line.contains("203.0.113.1"), "{line}");
    lab.signal(0);
    lab.run(ms(100));
    assert!(lab.told(1, |e| matches!(e, Event::Resolve(name) if name == "5f1a.local")).is_some());
    assert!(lab.agent(1).report().pairs.is_empty());
    lab.act(1, |agent, now| agent.resolved(now, "5f1a.local", Some(ip("203.0.113.1"))));
    lab.signal(1);
    assert!(lab.completed(secs(2)));
}

#[test]
fn with_a_policy_of_relays_alone_no_own_address_is_told_or_used() {
    let mut lab = lan(9);
    let server = lab.server();
    let config = Config { policy: Policy::RelayOnly, ..with_turn(server) };
    lab.side(config, true, None, &[cable("203.0.113.1:4000")]);
    lab.side(Config::default(), false, None, &[cable("203.0.113.2:4000")]);
    lab.connect();
    assert!(lab.completed(secs(5)));
    let all: String = lab.agent(0).local_candidates().iter().map(|c| c.to_string()).collect();
    assert!(
        !all.contains("203.0.113.1") && all.contains("typ relay raddr 0.0.0.0 rport 9"),
        "{all}"
    );
    assert_eq!(lab.agent(1).selected(1).unwrap().remote.ip(), ip(SERVER));
    lab.talk(0);
    lab.talk(1);
    lab.run(secs(1));
    assert!((0..2).all(|s| lab.look(s).received > 40));
    assert!(lab.agent(0).route(lab.world.now(), 1).unwrap().channel.is_some());
}

#[test]
fn where_udp_is_blocked_the_relay_is_reached_over_tls() {
    let mut lab = Lab::new(10, Link::new().latency(ms(10)));
    let server = lab.server();
    let relays = [Transport::Udp, Transport::Tls].map(|t| relay_server(t, server));
    let config = Config { turn_servers: relays.to_vec(), ..Config::default() };
    let nat = lab.nat(Nat::symmetric(ip("198.51.100.1")));
    lab.side(config, true, Some(nat), &[cable("10.0.0.2:4000")]);
    lab.side(Config::default(), false, None, &[cable("203.0.113.2:4000")]);
    lab.block_udp();
    lab.connect();
    assert!(lab.completed(secs(8)));
    lab.talk(0);
    lab.talk(1);
    lab.run(secs(1));
    assert!((0..2).all(|s| lab.look(s).received > 40));
    let pair = lab.agent(0).selected(1).unwrap();
    assert_eq!((pair.local_kind, pair.local.ip()), (CandidateKind::Relayed, ip(SERVER)));
}

/// An agent that lets no datagram out, with a STUN server and relays over these transports.
fn firewalled(components: u16, transports: &[Transport]) -> Lab {
    let mut lab = Lab::new(12, Link::new().latency(ms(10)));
    let server = lab.server();
    let turn_servers = transports.iter().map(|t| relay_server(*t, server)).collect();
    let config = Config { components, turn_servers, ..with_stun(server) };
    let nat = lab.nat(Nat::symmetric(ip("198.51.100.1")));
    let rtcp = HostAddress { component: 2, ..cable("10.0.0.2:4001") };
    let hosts = [cable("10.0.0.2:4000"), rtcp];
    lab.side(config, true, Some(nat), &hosts[..usize::from(components)]);
    lab.block_udp();
    lab.act(0, Agent::gather);
    lab
}

fn gathered(lab: &Lab) -> Option<Duration> {
    lab.told(0, |e| matches!(e, Event::GatheringDone))
}

#[test]
fn where_udp_is_blocked_gathering_ends_soon_after_the_relay_over_tls_has_answered() {
    let mut lab = firewalled(1, &[Transport::Udp, Transport::Tls]);
    lab.run(secs(10));
    let all = |lab: &Lab| lab.events.iter().filter(|e| matches!(e.2, Event::Candidate(_))).count();
    // The host's and a relay's.
    assert_eq!(all(&lab), 2);
    let at = gathered(&lab).expect("it ends");
    // The second question after 50 ms, then the grace, and the time that the answer over TLS took.
    assert!(at >= ms(600) && at < ms(800), "{at:?}");
    assert!(lab.agent(0).is_gathering() && !lab.agent(0).awaits_servers());
    // What comes late is told.
    lab.inner(0, |side, _| side.no_udp = false);
    lab.run(secs(5));
    assert!(all(&lab) > 2 && !lab.agent(0).is_gathering());
}

#[test]
fn a_server_whose_answer_was_lost_is_asked_again_before_gathering_ends() {
    let mut lab = firewalled(1, &[Transport::Udp, Transport::Tls]);
    lab.run(ms(450));
    lab.inner(0, |side, _| side.no_udp = false);
    lab.run(secs(5));
    let outer =
        |e: &Event| matches!(e, Event::Candidate(c) if c.kind == CandidateKind::ServerReflexive);
    assert!(lab.told(0, outer).expect("an outer address") < gathered(&lab).expect("it ends"));
    assert!(!lab.agent(0).is_gathering());
}

#[test]
fn servers_are_waited_for_while_nobody_has_brought_a_relay_to_each_component() {
    let mut lab = firewalled(1, &[Transport::Udp]);
    lab.run(secs(10));
    assert_eq!(gathered(&lab), Some(secs(5)));
    // Nor where one component has its relay and the other not.
    let mut lab = firewalled(2, &[Transport::Udp, Transport::Tls]);
    lab.act(0, |agent, now| agent.remove_local(now, at("10.0.0.2:4001")));
    lab.run(secs(10));
    assert_eq!(gathered(&lab), Some(secs(5)));
}

#[test]
fn closing_gives_the_relay_back_and_is_silent() {
    let mut lab = lan(11);
    let server = lab.server();
    lab.side(with_turn(server), true, None, &[cable("203.0.113.1:4000")]);
    lab.side(Config::default(), false, None, &[cable("203.0.113.2:4000")]);
    lab.connect();
    lab.completed(secs(3));
    for side in 0..2 {
        lab.act(side, Agent::close);
    }
    lab.run(secs(1));
    assert!(lab.both(State::Closed));
    let Someone::Server(server) = lab.world.node(lab.servers[0]) else { panic!() };
    assert_eq!(server.allocations(), 0);
    assert!(lab.world.is_quiet());
}

/// Two that can go by either of two networks; the first controls.
fn two_ways() -> Lab {
    let mut lab = Lab::new(21, Link::new().latency(ms(10)));
    for (n, last) in [1, 2].into_iter().enumerate() {
        let hosts = ["203.0.113", "198.51.100"].map(|net| cable(&format!("{net}.{last}:4000")));
        lab.side(Config::default(), n == 0, None, &hosts);
    }
    lab
}

// RFC 8839 section 4.4.1.2.2: the offer may be quicker than the nomination.
#[test]
fn what_the_offer_of_a_controlling_peer_has_chosen_is_used_once_it_works() {
    let wanted = (at("198.51.100.2:4000"), at("198.51.100.1:4000"));
    // Before any check was answered, and when all works.
    for wait in [5, 900] {
        let mut lab = two_ways();
        // Who controls knows nothing of the other, and nominates nothing.
        lab.signal(0);
        lab.run(ms(wait));
        let before = lab.agent(1).selected(1).map(|p| p.remote);
        assert_ne!(before, Some(wanted.1), "after {wait} ms");
        lab.act(1, |agent, now| agent.chosen(now, 1, wanted.0, wanted.1));
        // Of who controls it is not taken, nor is a pair that there is not.
        lab.act(0, |agent, now| agent.chosen(now, 1, wanted.1, wanted.0));
        lab.act(1, |agent, now| agent.chosen(now, 1, wanted.0, at("192.0.2.77:1")));
        lab.run(ms(300));
        let pair = lab.agent(1).selected(1).expect("a path");
        assert_eq!(lab.agent(0).selected(1).map(|p| p.remote), None);
        assert_eq!((pair.local, pair.remote, pair.nominated), (wanted.0, wanted.1, true));
    }
}
