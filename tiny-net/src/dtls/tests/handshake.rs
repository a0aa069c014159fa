//! Handshakes that come about.

use super::*;

fn connected(setup: Setup) -> Pair {
    let mut pair = setup.start();
    pair.run(Duration::from_secs(60));
    assert!(pair.is_connected(), "{:?}", pair.failed);
    pair
}

#[test]
fn both_sides_have_the_same_keys_and_know_who_the_other_is() {
    let setup = Setup::new(1);
    let shown = [setup.identities[0].fingerprint(), setup.identities[1].fingerprint()];
    let pair = connected(setup);
    let [Some(a), Some(b)] = &pair.sessions else { unreachable!() };
    assert_eq!(a.profile(), Some(SrtpProfile::AeadAes128Gcm));
    assert_eq!(a.keying().len(), 56);
    assert_ne!(a.keying(), [0; 56]);
    assert_eq!(a.cipher(), "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
    assert_eq!((a.peer(), b.peer()), (&shown[1], &shown[0]));
    assert!(a.is_active() && !b.is_active());
    // Hello, cookie, hello, flight, flight, Finished: six ways of 10 ms.
    assert_eq!(pair.took(), Duration::from_millis(60));
    assert!(!format!("{a:?}").contains(&format!("{:?}", a.keying())));
}

#[test]
fn without_cookies_a_round_trip_is_saved() {
    let mut setup = Setup::new(1);
    setup.configs[1].cookies = false;
    assert_eq!(connected(setup).took(), Duration::from_millis(40));
}

#[test]
fn the_passive_side_chooses_the_first_of_its_profiles_that_is_offered() {
    use SrtpProfile::*;
    let all = [Aes128CmSha1_80, Aes128CmSha1_32, AeadAes128Gcm, AeadAes256Gcm];
    for profile in all {
        let mut setup = Setup::new(1);
        setup.configs[0].profiles = all.to_vec();
        setup.configs[1].profiles = vec![profile, AeadAes128Gcm];
        let pair = connected(setup);
        assert_eq!(pair.sessions[0].as_ref().unwrap().profile(), Some(profile));
    }
}

#[test]
fn handshakes_survive_loss_reordering_and_copies() {
    let mut slowest = Duration::ZERO;
    for seed in 0..100 {
        let mut setup = Setup::new(seed);
        setup.path = Path { loss: 0.3, twice: 0.1, jitter: Duration::from_millis(50) };
        // The flights are cut small, so that much can go astray.
        setup.configs.iter_mut().for_each(|c| c.mtu = 256);
        let pair = connected(setup);
        slowest = slowest.max(pair.took());
    }
    assert!(slowest > Duration::from_millis(400), "nothing was lost");
}

#[test]
fn flights_are_repeated_after_400_ms_and_twice_as_late_each_time() {
    let mut setup = Setup::new(1);
    setup.path.loss = 1.0;
    let mut pair = setup.start();
    let mut at = Vec::new();
    for _ in 0..2000 {
        let before = pair.sent.len();
        pair.drain();
        if pair.sent.len() > before {
            at.push((pair.now - pair.start).as_millis());
        }
        pair.now += Duration::from_millis(20);
        let now = pair.now;
        pair.ends[0].handle_timeout(now);
    }
    assert_eq!(at, [0, 400, 1200, 2800, 6000, 11000, 16000, 21000, 26000]);
    assert_eq!(pair.failed[0], Some(Error::Timeout));
}

#[test]
fn a_lost_last_flight_is_sent_again_when_the_peer_repeats_its_own() {
    let mut pair = Setup::new(1).start();
    loop {
        pair.drain();
        if pair.sessions[1].is_some() {
            break;
        }
        let (_, end, data) = pair.flying.remove(0);
        pair.ends[end].handle(pair.now, address(1 - end), &data);
    }
    // The passive side is done, and its Finished goes astray.
    assert!(pair.sessions[0].is_none());
    pair.flying.clear();
    pair.run(Duration::from_secs(5));
    assert!(pair.is_connected());
    assert_eq!(pair.ends[1].counts().retransmitted, 1);
}

#[test]
fn data_passes_both_ways_after_the_handshake_and_an_end_is_told() {
    let mut setup = Setup::new(1);
    setup.configs.iter_mut().for_each(|c| c.profiles.clear());
    let mut pair = setup.start();
    assert!(matches!(pair.ends[0].send(b"early"), Err(Error::State(_))));
    pair.run(Duration::from_secs(1));
    assert!(pair.sessions.iter().flatten().all(|s| s.profile().is_none()));
    pair.ends[0].send(b"from the active").unwrap();
    pair.ends[1].send(b"from the passive").unwrap();
    let most = pair.ends[0].max_data();
    pair.ends[0].send(&vec![7; most]).unwrap();
    assert!(matches!(pair.ends[0].send(&vec![7; most + 1]), Err(Error::State(_))));
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.data[1], [b"from the active".to_vec(), vec![7; most]]);
    assert_eq!(pair.data[0], [b"from the passive"]);
    pair.ends[0].close();
    pair.run(Duration::from_secs(1));
    assert!(pair.closed[1]);
    assert_eq!(pair.ends[1].send(b"late"), Err(Error::Closed));
    assert_eq!(pair.ends[0].send(b"late"), Err(Error::Closed));
}

#[test]
fn an_association_follows_a_peer_that_moves() {
    let mut pair = connected(Setup::new(1));
    pair.ends[0].send(b"from elsewhere").unwrap();
    let Output::Transmit(packet) = pair.ends[0].poll(pair.now) else { panic!() };
    let elsewhere: SocketAddr = "198.51.100.7:999".parse().unwrap();
    pair.ends[1].handle(pair.now, elsewhere, &packet.data);
    pair.ends[1].send(b"there").unwrap();
    assert!(matches!(
        pair.ends[1].poll(pair.now),
        Output::Event(Event::Data(_)) | Output::Transmit(Transmit { .. })
    ));
    assert_eq!(pair.ends[1].peer, Some(elsewhere));
}

#[test]
fn one_of_several_fingerprints_is_enough_if_it_is_by_the_strongest_hash() {
    let mut setup = Setup::new(1);
    let other = Identity::generate().unwrap();
    let certificate = setup.identities[1].certificate();
    setup.expected[0] = vec![
        other.fingerprint(),
        Fingerprint::of(Hash::Sha512, other.certificate()),
        Fingerprint::of(Hash::Sha512, certificate),
    ];
    let matched = setup.expected[0][2].clone();
    assert_eq!(connected(setup).sessions[0].as_ref().unwrap().peer(), &matched);
}

#[test]
fn an_identity_that_was_stored_is_the_same_again() {
    let made = Identity::generate().unwrap();
    let again = Identity::import(made.key(), made.certificate()).unwrap();
    assert_eq!(made.fingerprint(), again.fingerprint());
    let mut setup = Setup::new(1);
    setup.expected[1] = vec![made.fingerprint()];
    setup.identities[0] = again;
    connected(setup);

    let other = Identity::generate().unwrap();
    assert!(Identity::import(made.key(), other.certificate()).is_err());
    assert!(Identity::import(b"no key", made.certificate()).is_err());
    assert!(!format!("{made:?}").contains("key"));
}
