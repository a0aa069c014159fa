//! Peers and strangers that mean no good.

use super::*;

fn fails(setup: Setup) -> [Option<Error>; 2] {
    let mut pair = setup.start();
    pair.run(Duration::from_secs(60));
    assert!(pair.sessions.iter().any(Option::is_none));
    pair.failed.clone()
}

#[test]
fn a_certificate_that_was_not_announced_is_refused_by_name_on_either_side() {
    for end in 0..2 {
        let mut setup = Setup::new(1);
        setup.expected[end] = vec![Identity::generate().unwrap().fingerprint()];
        let mut pair = setup.start();
        pair.run(Duration::from_secs(60));
        assert_eq!(pair.failed[end], Some(Error::Fingerprint));
        assert_eq!(pair.failed[1 - end], Some(Error::Alert(42)));
        // Who found it out knows before the other hears of it, and hangs up for that reason.
        let last = pair.sent.iter().rposition(|(by, _)| *by == end).unwrap();
        assert!(pair.sent_before[end] <= last, "the alert went first");
        assert!(pair.sessions.iter().all(Option::is_none), "keys in spite of it");
    }
    let said = Error::Fingerprint.to_string();
    assert_eq!(said, "the peer's certificate does not match its fingerprint");
}

#[test]
fn a_weaker_fingerprint_does_not_make_up_for_a_strong_one_that_is_wrong() {
    let mut setup = Setup::new(1);
    let other = Identity::generate().unwrap();
    setup.expected[0].push(Fingerprint::of(Hash::Sha384, other.certificate()));
    assert_eq!(fails(setup)[0], Some(Error::Fingerprint));
}

#[test]
fn peers_without_a_profile_in_common_part_at_once() {
    let mut setup = Setup::new(1);
    setup.configs[0].profiles = vec![SrtpProfile::AeadAes256Gcm];
    setup.configs[1].profiles = vec![SrtpProfile::Aes128CmSha1_80];
    let failed = fails(setup);
    assert_eq!(failed, [Some(Error::Alert(40)), Some(Error::NothingInCommon("SRTP profile"))]);
    let mut setup = Setup::new(1);
    setup.configs[0].profiles.clear();
    assert_eq!(fails(setup)[1], Some(Error::NoSrtp));
    let mut setup = Setup::new(1);
    setup.configs[1].profiles.clear();
    assert_eq!(fails(setup)[0], Some(Error::NoSrtp));
}

#[test]
fn nobody_is_sent_certificates_before_a_cookie_came_back() {
    let mut pair = Setup::new(1).start();
    pair.drain();
    let hello = pair.sent[0].1.clone();
    let victim: SocketAddr = "203.0.113.9:53".parse().unwrap();
    for _ in 0..100 {
        pair.ends[1].handle(pair.now, victim, &hello);
    }
    let mut bytes = 0;
    while let Output::Transmit(answer) = pair.ends[1].poll(pair.now) {
        assert_eq!(answer.to, victim);
        bytes += answer.data.len();
    }
    assert!(bytes < 100 * hello.len(), "{bytes} bytes for {}", 100 * hello.len());
    // Meanwhile the real peer gets through.
    pair.run(Duration::from_secs(5));
    assert!(pair.is_connected());
}

#[test]
fn strangers_are_not_listened_to_once_the_handshake_is_under_way() {
    let mut pair = Setup::new(1).start();
    for _ in 0..4 {
        pair.drain();
        let (_, end, data) = pair.flying.remove(0);
        pair.ends[end].handle(pair.now, address(1 - end), &data);
    }
    let stranger: SocketAddr = "203.0.113.9:53".parse().unwrap();
    // A fatal alert, in the clear.
    let alert = [21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40];
    for end in 0..2 {
        pair.ends[end].handle(pair.now, stranger, &alert);
        assert_eq!(pair.ends[end].counts().strangers, 1);
    }
    pair.run(Duration::from_secs(5));
    assert!(pair.is_connected());
}

#[test]
fn the_active_side_hears_nobody_but_whom_it_asked() {
    let mut pair = Setup::new(1).start();
    pair.drain();
    let stranger: SocketAddr = "203.0.113.9:53".parse().unwrap();
    // An alert in the clear, before any answer.
    let alert = [21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40];
    pair.ends[0].handle(pair.now, stranger, &alert);
    assert_eq!(pair.ends[0].counts().strangers, 1);
    pair.run(Duration::from_secs(5));
    assert!(pair.is_connected());
}

#[test]
fn nothing_in_the_clear_touches_an_association_that_stands() {
    let mut pair = Setup::new(1).start();
    pair.run(Duration::from_secs(1));
    let handshake = pair.sent.clone();
    let alert = vec![21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40];
    let before = pair.sent.len();
    for (end, data) in handshake.iter().chain([&(0, alert.clone()), &(1, alert)]) {
        pair.ends[1 - end].handle(pair.now, address(*end), data);
    }
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.sent.len(), before, "an answer to a replay");
    assert!(pair.ends.iter().all(Association::is_connected));
    assert!(pair.ends.iter().all(|e| e.counts().discarded > 0 && e.counts().replayed > 0));
}

#[test]
fn forged_and_repeated_data_is_dropped_and_counted() {
    let mut pair = Setup::new(1).start();
    pair.run(Duration::from_secs(1));
    pair.ends[0].send(b"once").unwrap();
    pair.drain();
    let (_, _, packet) = pair.flying.pop().unwrap();
    let mut forged = packet.clone();
    *forged.last_mut().unwrap() ^= 1;
    for packet in [&forged, &packet, &packet] {
        pair.ends[1].handle(pair.now, address(0), packet);
    }
    pair.drain();
    assert_eq!(pair.data[1], [b"once"]);
    let counts = pair.ends[1].counts();
    assert_eq!((counts.forged, counts.replayed), (1, 1));
}

/// One handshake record in the clear.
fn piece(kind: u8, length: u32, sequence: u16, offset: u32, data: &[u8]) -> Vec<u8> {
    let mut record = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 1];
    record.extend_from_slice(&(12 + data.len() as u16).to_be_bytes());
    record.push(kind);
    record.extend_from_slice(&length.to_be_bytes()[1..]);
    record.extend_from_slice(&sequence.to_be_bytes());
    record.extend_from_slice(&offset.to_be_bytes()[1..]);
    record.extend_from_slice(&(data.len() as u32).to_be_bytes()[1..]);
    record.extend_from_slice(data);
    record
}

#[test]
fn a_flood_of_pieces_is_held_within_the_limits() {
    let mut pair = Setup::new(1).start();
    let now = pair.now;
    // Every second octet of a ClientHello, and of messages far ahead.
    for sequence in [0, 3, 7, 8, 500] {
        for at in 0..5000 {
            pair.ends[1].handle(now, address(0), &piece(1, 16_000, sequence, at * 2, &[0]));
        }
    }
    assert!(pair.ends[1].counts().over_limit > 5 * 4900);
    // Encrypted records before there are keys.
    let mut early = vec![23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 1, 0, 40];
    early.extend_from_slice(&[0; 40]);
    let before = pair.ends[1].counts().over_limit;
    for _ in 0..1000 {
        pair.ends[1].handle(now, address(0), &early);
    }
    assert_eq!(pair.ends[1].counts().over_limit - before, 992);
}

#[test]
fn a_message_beyond_the_limit_ends_the_attempt() {
    let mut pair = Setup::new(1).start();
    pair.ends[1].handle(pair.now, address(0), &piece(1, 20_000, 0, 0, &[0; 100]));
    pair.drain();
    assert_eq!(pair.failed[1], Some(Error::TooLong));
}

#[test]
fn messages_out_of_place_end_the_attempt() {
    for kind in [2, 11, 16, 99] {
        let mut pair = Setup::new(1).start();
        pair.ends[1].handle(pair.now, address(0), &piece(kind, 1, 0, 0, &[0]));
        pair.drain();
        assert_eq!(pair.failed[1], Some(Error::Unexpected(kind)));
    }
}

#[test]
fn an_association_without_fingerprints_is_not_made() {
    let identity = Identity::generate().unwrap();
    let config = Arc::new(Config::default());
    let rng = Rng::from_seed(1);
    let now = Instant::now();
    let made = Association::new(now, Role::Passive, identity, vec![], None, config, rng);
    assert!(matches!(made, Err(Error::Config(_))));
}

#[test]
fn the_extended_master_secret_can_be_demanded() {
    // Both of ours have it; that its lack is refused, the interop test with old peers would show.
    let mut setup = Setup::new(1);
    setup.configs.iter_mut().for_each(|c| c.require_extended_master_secret = true);
    let mut pair = setup.start();
    pair.run(Duration::from_secs(1));
    assert!(pair.is_connected());
}
