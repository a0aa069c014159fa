//! Media that goes around the agent, and branches of a fork.

use super::*;
use crate::turn::channel_data;

#[test]
fn packets_are_told_apart_without_being_handed_over() {
    let mut lab = Lab::new(31, Link::new().latency(ms(5)));
    let server = lab.server();
    let config = Config { policy: Policy::RelayOnly, ..with_turn(server) };
    lab.side(config.clone(), true, None, &[cable("203.0.113.1:4000")]);
    lab.side(config, false, None, &[cable("203.0.113.2:4000")]);
    lab.connect();
    assert!(lab.completed(secs(20)));
    let bound = |lab: &Lab| lab.agent(0).route(lab.world.now(), 1).is_some();
    assert!(lab.until(secs(5), bound));
    let route = lab.agent(0).route(lab.world.now(), 1).unwrap();
    let peer = lab.agent(0).selected(1).unwrap().remote;
    let (number, (here, there)) = (route.channel.unwrap(), (route.flow.local, route.flow.remote));
    let voice = channel_data(number, b"\x80 voice", false);
    let tell = |lab: &mut Lab, from: SocketAddr, data: &[u8]| {
        lab.act(0, |agent, now| agent.arrived(now, here, from, data))
    };
    let expected = Arrival::Packet { component: 1, from: peer, content: 4..11 };
    assert_eq!(tell(&mut lab, there, &voice), expected);
    // A check inside of it, STUN of the server, and a channel that is none are the agent's.
    let check = channel_data(number, &[0; 20], false);
    for data in [&check[..], &[1; 20], &channel_data(number + 1, b"\x80", false)] {
        assert_eq!(tell(&mut lab, there, data), Arrival::Agent);
    }
    // Nobody else is the peer: not at its own address, not with the server's channel.
    assert_eq!(tell(&mut lab, at("203.0.113.2:4000"), b"\x80 voice"), Arrival::Stray);
    assert_eq!(tell(&mut lab, at("203.0.113.9:9"), &voice), Arrival::Agent);
    assert_eq!(lab.agent(0).report().counters.stray_data, 1);
}

#[test]
fn what_has_no_path_is_counted_and_what_went_around_the_agent_is_a_sign_of_life() {
    let mut lab = Lab::new(32, Link::new().latency(ms(5)));
    lab.side(Config::default(), true, None, &[cable("203.0.113.1:4000")]);
    lab.side(Config::default(), false, None, &[cable("203.0.113.2:4000")]);
    let early = lab.act(0, |agent, now| agent.send(now, 1, b"\x80 early"));
    assert_eq!(early, Err(SendError::NoPath));
    assert_eq!(lab.agent(0).report().counters.unsent, 1);
    lab.connect();
    assert!(lab.completed(secs(5)));
    let (here, there) = (at("203.0.113.1:4000"), at("203.0.113.2:4000"));
    for _ in 0..100 {
        lab.act(0, |agent, now| {
            agent.sent(now, 1);
            let packet = Arrival::Packet { component: 1, from: there, content: 0..7 };
            assert_eq!(agent.arrived(now, here, there, b"\x80 voice"), packet);
        });
        lab.run(ms(20));
    }
    // While the peer is heard there are no questions, but those of consent.
    assert!(lab.agent(0).selected(1).unwrap().sent < 6);
}

#[test]
fn another_branch_of_a_fork_finds_us_under_the_same_credentials() {
    let mut lab = Lab::new(33, Link::new().latency(ms(5)));
    lab.side(Config::default(), true, None, &[cable("203.0.113.1:4000")]);
    lab.side(Config::default(), false, None, &[cable("203.0.113.2:4000")]);
    lab.connect();
    assert!(lab.completed(secs(5)));
    let ours = lab.agent(0).credentials().0.to_owned();
    // The other branch has credentials and checks of its own.
    lab.act(1, Agent::restart);
    let (ufrag, password) = lab.agent(1).credentials();
    let (ufrag, password) = (ufrag.to_owned(), password.clone());
    let options = lab.agent(1).options();
    let candidates = lab.agent(1).local_candidates();
    lab.act(0, |agent, now| {
        agent.replace_peer(now, Peer { ufrag, password, lite: false, options, pace: None });
        assert!(agent.selected(1).is_none(), "the first branch is left at once");
        for candidate in candidates {
            agent.add_remote(now, candidate).unwrap();
        }
    });
    assert_eq!(lab.agent(0).credentials().0, ours);
    lab.signal(0);
    assert!(lab.completed(secs(5)) && lab.agree());
    assert_eq!(lab.agent(0).credentials().0, ours);
}

proptest::proptest! {
    #[test]
    fn no_datagram_makes_the_telling_apart_panic(
        data in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80),
        known in proptest::prelude::any::<bool>(),
    ) {
        let now = Instant::now();
        let mut agent = Agent::new(Config::default(), true, Rng::from_seed(1));
        agent.add_local(now, cable("203.0.113.1:4000"));
        let local = at(if known { "203.0.113.1:4000" } else { "203.0.113.1:5000" });
        // Nobody is the peer yet.
        let told = agent.arrived(now, local, at("203.0.113.2:4000"), &data);
        let of_the_peer = matches!(told, Arrival::Packet { .. });
        proptest::prop_assert!(!of_the_peer);
    }
}
