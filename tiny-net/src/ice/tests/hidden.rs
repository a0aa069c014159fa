//! Addresses that are hidden behind names of multicast DNS.

use super::*;
use crate::mdns::HiddenName;

fn hiding() -> Config {
    Config { hide_addresses: true, ..Config::default() }
}

/// All that the peer is told.
fn lines(lab: &Lab, side: usize) -> Vec<String> {
    lab.agent(side).local_candidates().iter().map(ToString::to_string).collect()
}

fn name_in(line: &str) -> HiddenName {
    HiddenName::parse(line.split(' ').nth(4).unwrap()).unwrap()
}

// draft-ietf-mmusic-mdns-ice-candidates §3.1.1
#[test]
fn each_address_has_one_random_name_and_stands_in_no_line() {
    let mut lab = lan(40);
    let both = [cable("203.0.113.1:4000"), cable("203.0.113.5:4000")];
    let of = |host: &HostAddress, component, port, transport| {
        let addr = SocketAddr::new(host.addr.ip(), port);
        HostAddress { component, addr, transport, ..host.clone() }
    };
    let mut all = Vec::new();
    for host in &both {
        all.push(of(host, 1, 4000, CandidateTransport::Udp));
        all.push(of(host, 2, 4001, CandidateTransport::Udp));
        all.push(of(host, 1, 9, CandidateTransport::Tcp(TcpType::Active)));
        all.push(of(host, 1, 4002, CandidateTransport::Tcp(TcpType::Passive)));
    }
    lab.side(Config { components: 2, ..hiding() }, true, None, &all);
    lab.side(Config { components: 2, ..hiding() }, false, None, &[cable("203.0.113.2:4000")]);
    let told = lines(&lab, 0);
    assert!(told.len() == 8 && !told.iter().any(|line| line.contains("203.0.113")), "{told:?}");
    let names: Vec<HiddenName> = told.iter().map(|line| name_in(line)).collect();
    assert!(names[..4].iter().all(|n| *n == names[0]) && names[4..].iter().all(|n| *n == names[4]));
    let expected = [(names[0].clone(), ip("203.0.113.1")), (names[4].clone(), ip("203.0.113.5"))];
    assert_eq!(lab.agent(0).hidden_names(), expected);
    // Another agent has others, also for an address that was there before.
    assert!(!names.contains(&name_in(&lines(&lab, 1)[0])) && names[0] != names[4]);
    for addr in ["203.0.113.1:4000", "203.0.113.1:4001", "203.0.113.1:9", "203.0.113.1:4002"] {
        lab.act(0, |agent, now| agent.remove_local(now, at(addr)));
    }
    assert_eq!(lab.agent(0).hidden_names(), &expected[1..]);
    let back = all[0].clone();
    assert!(lab.act(0, |agent, now| agent.add_local(now, back)));
    assert!(!names.contains(&name_in(lines(&lab, 0).last().unwrap())));
    // It is ours: we are shown it.
    let shown = lab.agent(0).report().local;
    assert!(shown.iter().any(|c| c.address.ip() == Some(at("203.0.113.1:4000"))), "{shown:?}");
    assert_eq!((lab.agent(0).default_address(1), told.len(), shown.len()), (None, 8, 5));
}

#[test]
fn a_hidden_host_is_found_by_its_name_or_by_its_own_checks() {
    for known in [true, false] {
        let mut lab = lan(41);
        lab.side(hiding(), true, None, &[cable("203.0.113.1:4000")]);
        lab.side(Config::default(), false, None, &[cable("203.0.113.2:4000")]);
        let name = lab.agent(0).hidden_names()[0].0.to_string();
        lab.connect();
        let asked = |e: &Event| matches!(e, Event::Resolve(asked) if *asked == name);
        assert!(lab.until(secs(1), |lab| lab.told(1, asked).is_some()));
        let found = known.then(|| ip("203.0.113.1"));
        lab.act(1, |agent, now| agent.resolved(now, &name, found));
        assert!(lab.completed(secs(3)) && lab.agree());
        let kind = if known { CandidateKind::Host } else { CandidateKind::PeerReflexive };
        let pair = lab.agent(1).selected(1).unwrap();
        assert_eq!((pair.remote, pair.remote_kind), (at("203.0.113.1:4000"), kind));
    }
}

// §3.1.2: what is derived does not say from what.
#[test]
fn outer_and_relayed_candidates_do_not_say_what_they_come_from() {
    let mut lab = lan(42);
    let server = lab.server();
    let config = Config { hide_addresses: true, ..with_turn(server) };
    let nat = lab.nat(Nat::port_restricted(ip("198.51.100.1")));
    lab.side(config.clone(), true, Some(nat), &[cable("10.0.0.2:4000")]);
    // An outer address that is the host's own would tell what the name hides.
    lab.side(config, false, None, &[cable("203.0.113.2:4000")]);
    lab.connect();
    lab.run(secs(1));
    let told = lines(&lab, 0);
    assert!(told.len() == 3 && !told.iter().any(|line| line.contains("10.0.0.2")), "{told:?}");
    for kind in ["typ srflx raddr 0.0.0.0 rport 9", "typ relay raddr 0.0.0.0 rport 9"] {
        assert!(told.iter().any(|line| line.contains(kind)), "{kind}: {told:?}");
    }
    assert_eq!(lab.agent(0).default_address(1).map(|a| a.ip()), Some(ip(SERVER)));
    let shown = lab.agent(0).report().local;
    assert!(shown.iter().any(|c| c.related == Some(at("10.0.0.2:4000"))), "{shown:?}");
    let told = lines(&lab, 1);
    assert!(told.len() == 2 && !told.iter().any(|line| line.contains("203.0.113.2")), "{told:?}");
    // Nobody finds the names here: there is a path all the same.
    for side in 0..2 {
        let name = lab.agent(1 - side).hidden_names()[0].0.to_string();
        lab.act(side, |agent, now| agent.resolved(now, &name, None));
    }
    assert!(lab.completed(secs(8)) && lab.agree());
}
