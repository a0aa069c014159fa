//! Paths that change during a call: consent, restarts, networks that come and go.

use super::*;

fn wifi(addr: &str) -> HostAddress {
    host(addr, Network { id: 2, kind: NetworkKind::Wifi })
}

fn cellular(addr: &str) -> HostAddress {
    host(addr, Network { id: 3, kind: NetworkKind::Cellular })
}

/// One with Wi-Fi and mobile data, the other with a cable; both talk.
fn mobile(seed: u64, loss: f64) -> Lab {
    let mut lab = Lab::new(seed, Link::new().latency(ms(25)).loss(loss));
    let phone = [wifi("203.0.113.1:4000"), cellular("203.0.114.1:4000")];
    lab.side(Config::default(), seed.is_multiple_of(2), None, &phone);
    lab.side(Config::default(), !seed.is_multiple_of(2), None, &[cable("203.0.113.2:4000")]);
    lab.connect();
    assert!(lab.completed(secs(4)));
    assert!(lab.until(secs(20), |lab| {
        lab.agree() && lab.agent(0).selected(1).unwrap().local == at("203.0.113.1:4000")
    }));
    lab.talk(0);
    lab.talk(1);
    lab.run(secs(5));
    for side in 0..2 {
        lab.inner(side, |side, _| side.gap = Duration::ZERO);
    }
    lab
}

#[test]
fn a_path_that_dies_during_a_call_costs_less_than_a_second_of_sound() {
    for seed in 0..10 {
        let mut lab = mobile(seed, 0.0);
        lab.inner(0, |side, _| side.deaf.insert(ip("203.0.113.1")));
        lab.run(secs(5));
        for side in 0..2 {
            let gap = lab.look(side).gap;
            assert!(gap < secs(1), "seed {seed} side {side}: {gap:?}");
        }
        assert_eq!(lab.agent(0).selected(1).unwrap().local, at("203.0.114.1:4000"));
        assert_eq!(lab.agent(1).selected(1).unwrap().remote, at("203.0.114.1:4000"));
        let died = |e: &Event| matches!(e, Event::Selected { reason: SwitchReason::Died, .. });
        assert!((0..2).any(|side| lab.told(side, died).is_some()));
        // The way back, once it works again and has settled.
        lab.inner(0, |side, _| side.deaf.clear());
        assert!(
            lab.until(secs(30), |lab| {
                lab.agree() && lab.agent(0).selected(1).unwrap().local == at("203.0.113.1:4000")
            }),
            "seed {seed}"
        );
    }
}

#[test]
fn the_sound_survives_a_dying_path_with_loss_on_the_other() {
    for seed in 0..6 {
        let mut lab = mobile(seed, 0.1);
        lab.inner(0, |side, _| side.deaf.insert(ip("203.0.113.1")));
        lab.run(secs(5));
        for side in 0..2 {
            let gap = lab.look(side).gap;
            assert!(gap < ms(1500), "seed {seed} side {side}: {gap:?}");
        }
    }
}

#[test]
fn a_network_that_is_taken_away_is_left_at_once() {
    let mut lab = mobile(1, 0.0);
    lab.act(0, |agent, now| agent.remove_local(now, at("203.0.113.1:4000")));
    assert_eq!(lab.agent(0).selected(1).unwrap().local, at("203.0.114.1:4000"));
    lab.run(secs(3));
    assert!(lab.look(1).gap < ms(100), "{:?}", lab.look(1).gap);
    assert!(lab.look(0).gap < secs(1), "{:?}", lab.look(0).gap);
    assert!(lab.both(State::Completed) && lab.agree());
    // And when the last one goes, that is said.
    lab.act(0, |agent, now| agent.remove_local(now, at("203.0.114.1:4000")));
    assert_eq!(lab.agent(0).report().failure, Some(IceFailure::NetworkGone));
}

#[test]
fn a_better_network_that_appears_during_a_call_is_taken_without_a_restart() {
    let mut lab = Lab::new(2, Link::new().latency(ms(25)));
    lab.side(Config::default(), true, None, &[cellular("203.0.114.1:4000")]);
    lab.side(Config::default(), false, None, &[cable("203.0.113.2:4000")]);
    lab.connect();
    assert!(lab.completed(secs(2)));
    lab.talk(0);
    lab.talk(1);
    lab.run(secs(10));
    let host = lab.hosts[0];
    lab.world.network.add_address(host, ip("203.0.113.1"));
    assert!(lab.act(0, |agent, now| agent.add_local(now, wifi("203.0.113.1:4000"))));
    assert!(lab.until(secs(10), |lab| {
        lab.agree() && lab.agent(0).selected(1).unwrap().local == at("203.0.113.1:4000")
    }));
    lab.run(secs(2));
    assert!(lab.both(State::Completed));
    assert!((0..2).all(|s| lab.look(s).gap < ms(100)));
    let better = |e: &Event| matches!(e, Event::Selected { reason: SwitchReason::Better, .. });
    assert!(lab.told(0, better).is_some());
}

#[test]
fn a_network_that_comes_and_goes_all_day_takes_no_more_places() {
    let mut lab = Lab::new(8, Link::new().latency(ms(5)));
    let server = lab.server();
    lab.side(with_turn(server), true, None, &[cellular("203.0.114.1:4000")]);
    lab.side(Config::default(), false, None, &[cable("203.0.113.2:4000")]);
    lab.connect();
    assert!(lab.completed(secs(4)));
    let host = lab.hosts[0];
    lab.world.network.add_address(host, ip("203.0.113.1"));
    for round in 0..60 {
        assert!(lab.act(0, |agent, now| agent.add_local(now, wifi("203.0.113.1:4000"))), "{round}");
        lab.run(secs(8));
        assert_eq!(lab.agent(0).selected(1).unwrap().local, at("203.0.113.1:4000"), "{round}");
        let relayed = |c: &Candidate| c.kind == CandidateKind::Relayed;
        assert_eq!(
            lab.agent(0).local_candidates().iter().filter(|c| relayed(c)).count(),
            2,
            "{round}"
        );
        lab.act(0, |agent, now| agent.remove_local(now, at("203.0.113.1:4000")));
        lab.run(secs(2));
        assert_eq!(lab.agent(0).selected(1).unwrap().local, at("203.0.114.1:4000"), "{round}");
    }
    let report = lab.agent(0).report();
    assert!(report.pairs.len() <= 100 && report.local.len() == 2, "{}", report.local.len());
}

#[test]
fn a_path_quicker_by_ten_milliseconds_is_taken_and_one_by_five_is_not() {
    for (gain, switches) in [(5, false), (40, true)] {
        let mut lab = Lab::new(3, Link::new().latency(ms(60)));
        let two = [cable("203.0.113.1:4000"), cable("203.0.114.1:4000")];
        lab.side(Config::default(), true, None, &two);
        lab.side(Config::default(), false, None, &[cable("203.0.113.2:4000")]);
        // The less liked address has the quicker way, by `gain` there and back.
        let quick = Link::new().latency(ms(60) - Duration::from_micros(gain * 500));
        lab.world.network.set_paths(ip("203.0.114.1"), ip("203.0.113.2"), quick);
        lab.connect();
        assert!(lab.completed(secs(3)));
        lab.talk(0);
        lab.talk(1);
        lab.run(secs(30));
        let local = lab.agent(0).selected(1).unwrap().local;
        assert_eq!(local == at("203.0.114.1:4000"), switches, "gain {gain} ms");
        assert!(lab.agree());
        assert!(lab.agent(0).report().counters.switches <= u64::from(switches));
    }
}

#[test]
fn consent_that_is_not_renewed_ends_the_sending_after_30_seconds() {
    let mut lab = Lab::new(4, Link::new().latency(ms(10)));
    lab.side(Config::default(), true, None, &[cable("203.0.113.1:4000")]);
    lab.side(Config::default(), false, None, &[cable("203.0.113.2:4000")]);
    lab.connect();
    assert!(lab.completed(secs(2)));
    // On hold for minutes: consent alone goes on, each 4 to 6 s.
    let before = lab.agent(0).report().pairs[0].sent;
    lab.run(secs(300));
    let sent = lab.agent(0).report().pairs[0].sent - before;
    assert!((50..=75).contains(&sent), "{sent} checks in 300 s");
    assert!(lab.both(State::Completed));
    lab.talk(0);
    lab.run(secs(1));
    let gone = lab.world.elapsed();
    let host = lab.hosts[1];
    lab.world.network.black_hole(host);
    assert!(lab.until(secs(5), |lab| lab.agent(0).state() == State::Disconnected));
    assert!(lab.until(secs(40), |lab| lab.agent(0).state() == State::Failed));
    let took = lab.world.elapsed() - gone;
    assert!((secs(23)..=secs(30)).contains(&took), "{took:?}");
    assert_eq!(lab.agent(0).report().failure, Some(IceFailure::ConsentExpired));
    assert_eq!(lab.act(0, |agent, now| agent.send(now, 1, b"x")), Err(SendError::NoPath));
    // Late answers change nothing (RFC 7675 §5.1).
    lab.world.network.revive(host);
    let packets = lab.agent(0).report().pairs[0].sent;
    lab.run(secs(10));
    assert_eq!(lab.agent(0).report().pairs[0].sent, packets);
    assert_eq!(lab.agent(0).state(), State::Failed);
}

#[test]
fn a_path_that_comes_back_in_time_is_used_again() {
    let mut lab = Lab::new(5, Link::new().latency(ms(10)));
    lab.side(Config::default(), true, None, &[cable("203.0.113.1:4000")]);
    lab.side(Config::default(), false, None, &[cable("203.0.113.2:4000")]);
    lab.connect();
    assert!(lab.completed(secs(2)));
    lab.talk(0);
    lab.talk(1);
    lab.run(secs(1));
    lab.inner(1, |side, _| side.deaf.insert(ip("203.0.113.2")));
    assert!(lab.until(secs(2), |lab| lab.agent(0).state() == State::Disconnected));
    lab.run(secs(10));
    lab.inner(1, |side, _| side.deaf.clear());
    assert!(lab.completed(secs(1)));
}

#[test]
fn a_restart_has_new_credentials_and_no_gap_in_the_sound() {
    for who in 0..2 {
        let mut lab = Lab::new(6, Link::new().latency(ms(20)));
        lab.side(Config::default(), true, None, &[cable("203.0.113.1:4000")]);
        lab.side(Config::default(), false, None, &[cable("203.0.113.2:4000")]);
        lab.connect();
        assert!(lab.completed(secs(2)));
        lab.talk(0);
        lab.talk(1);
        lab.run(secs(2));
        let old = lab.agent(who).credentials().0.to_owned();
        lab.act(who, Agent::restart);
        assert_ne!(lab.agent(who).credentials().0, old);
        // The offer travels, the other answers; meanwhile all goes on.
        lab.run(secs(3));
        assert_eq!(lab.agent(who).state(), State::Checking);
        lab.signal(who);
        lab.run(ms(300));
        lab.signal(1 - who);
        assert!(lab.completed(secs(2)) && lab.agree(), "who {who}");
        lab.run(secs(40));
        assert!(lab.both(State::Completed));
        assert!((0..2).all(|s| lab.look(s).gap < ms(100)), "{:?}", lab.look(0).gap);
    }
}

#[test]
fn a_peer_that_nominates_aggressively_is_followed_to_the_best_pair() {
    // RFC 5245: each check nominates. Played by hand against a controlled agent.
    use crate::stun::{Builder, Class, Key, attr, method};
    let two = [cable("203.0.113.1:4000"), cable("203.0.114.1:4000")];
    let theirs = Key::short_term(&"theirpasswordtheirpassword".into());
    let peer = Peer {
        ufrag: "them".into(),
        password: "theirpasswordtheirpassword".into(),
        lite: false,
        options: IceOptions::default(),
        pace: None,
    };
    let (mut now, from) = (Instant::now(), at("203.0.113.9:5000"));
    let mut agent = Agent::new(Config::default(), false, Rng::from_seed(5));
    for address in &two {
        agent.add_local(now, address.clone());
    }
    let (ufrag, key) = {
        let (ufrag, password) = agent.credentials();
        (ufrag.to_owned(), Key::short_term(password))
    };
    agent.set_peer(now, peer);
    let check = |agent: &mut Agent, now: Instant, local: &str, n: u8| {
        let request = Builder::new(Class::Request, method::BINDING, [n; 12])
            .text(attr::USERNAME, &format!("{ufrag}:them"))
            .u32(attr::PRIORITY, 1000)
            .u64(attr::ICE_CONTROLLING, 1)
            .flag(attr::USE_CANDIDATE)
            .integrity(&key)
            .fingerprint()
            .finish();
        let flow = tiny_sak::Flow { transport: Transport::Udp, local: at(local), remote: from };
        agent.handle(now, Input::Net(NetEvent::Datagram { flow, data: request }));
        // Its own checks are answered.
        loop {
            match agent.poll(now) {
                Output::Transmit(Transmit::Send { flow, data }) => {
                    let message = crate::stun::Message::parse(&data).unwrap();
                    if message.class() != Class::Request {
                        continue;
                    }
                    let answer = Builder::new(Class::Success, method::BINDING, message.id())
                        .xor_address(attr::XOR_MAPPED_ADDRESS, flow.local)
                        .integrity(&theirs)
                        .fingerprint()
                        .finish();
                    agent.handle(now, Input::Net(NetEvent::Datagram { flow, data: answer }));
                }
                Output::Timeout(_) => break,
                _ => {}
            }
        }
    };
    // The less liked one is nominated first, then both.
    check(&mut agent, now, "203.0.114.1:4000", 1);
    assert_eq!(agent.selected(1).unwrap().local, at("203.0.114.1:4000"));
    assert!(agent.selected(1).unwrap().nominated);
    now += ms(60);
    check(&mut agent, now, "203.0.113.1:4000", 2);
    assert_eq!(agent.selected(1).unwrap().local, at("203.0.113.1:4000"));
    now += ms(60);
    check(&mut agent, now, "203.0.114.1:4000", 3);
    assert_eq!(agent.selected(1).unwrap().local, at("203.0.113.1:4000"));
    assert_eq!(agent.state(), State::Completed);
}
