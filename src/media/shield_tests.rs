//! Two streams' shields face to face, with whoever sits between them.

use super::*;
use tiny_rtp::srtp::sdes;
use tiny_rtp::srtp::{Lifetime, Profile};
use tiny_sak::Rng;

fn packet(sequence: u16) -> Vec<u8> {
    let [high, low] = sequence.to_be_bytes();
    let mut packet = vec![0x80, 0, high, low, 0, 0, 0, 160, 1, 2, 3, 4];
    packet.extend([0xd5; 160]);
    packet
}

fn report() -> Vec<u8> {
    // A receiver report without blocks.
    vec![0x80, 201, 0, 1, 1, 2, 3, 4]
}

fn agreements(seed: u64) -> (Agreement, Agreement) {
    let (mut a, mut b) = (Rng::from_seed(seed), Rng::from_seed(seed + 1000));
    let config = sdes::Config::default();
    let offered = sdes::offer(&config, &mut a);
    let lines: Vec<String> = offered.iter().map(ToString::to_string).collect();
    let bobs = sdes::answer(lines.iter().map(String::as_str), &config, &mut b).unwrap();
    let answer = bobs.local.to_string();
    (sdes::accept(&offered, [answer.as_str()], &config).unwrap(), bobs)
}

fn security(agreement: &Agreement, moved: bool) -> Security {
    Security::Sdes(Box::new(SdesKeys { agreement: agreement.clone(), moved }))
}

fn pair(seed: u64) -> (Shield, Shield, (Agreement, Agreement)) {
    let both = agreements(seed);
    let shield = |a: &Agreement| {
        let mut shield = Shield::new(security(a, false)).unwrap();
        shield.clear.push(Clear { payload_type: 0, unit: 80, most: usize::MAX });
        shield
    };
    (shield(&both.0), shield(&both.1), both)
}

fn sealed(shield: &mut Shield, sequence: u16) -> Vec<u8> {
    let mut packet = packet(sequence);
    assert!(shield.seal(Component::Rtp, &mut packet));
    packet
}

fn opens(shield: &mut Shield, packet: &[u8]) -> Option<Vec<u8>> {
    let mut packet = packet.to_vec();
    let len = shield.open(Component::Rtp, &mut packet)?;
    packet.truncate(len);
    Some(packet)
}

fn stats(shield: &Shield) -> CallStats {
    let mut stats = CallStats::default();
    shield.count(&mut stats);
    stats
}

#[test]
fn packets_and_reports_go_through_encrypted_and_come_out_as_they_were() {
    let (mut alice, mut bob, _) = pair(1);
    let wire = sealed(&mut alice, 7);
    assert!(!wire.windows(8).any(|w| w == [0xd5; 8]), "nothing in the clear");
    assert_eq!(opens(&mut bob, &wire), Some(packet(7)));
    // With rtcp-mux a report leaves by the port of RTP, else by its own.
    for component in [Component::Rtp, Component::Rtcp] {
        let mut wire = report();
        assert!(alice.seal(component, &mut wire));
        assert!(wire.len() > report().len());
        assert_eq!(opens(&mut bob, &wire), Some(report()));
    }
}

#[test]
fn a_plain_forged_or_replayed_packet_is_refused_and_counted() {
    let (mut alice, mut bob, _) = pair(2);
    assert_eq!(opens(&mut bob, &packet(1)), None, "plain in an encrypted call");
    assert_eq!(opens(&mut bob, &report()), None, "a plain report too");
    let wire = sealed(&mut alice, 8);
    let mut forged = wire.clone();
    forged[20] ^= 1;
    assert_eq!(opens(&mut bob, &forged), None);
    assert!(opens(&mut bob, &wire).is_some());
    assert_eq!(opens(&mut bob, &wire), None, "again");
    assert_eq!(opens(&mut bob, b"\x16\xfe\xfd hello"), None, "not RTP");
    let mut behind = Vec::new();
    for sequence in 9..5_000 {
        let wire = sealed(&mut alice, sequence);
        if sequence == 9 {
            behind = wire;
        } else {
            assert!(opens(&mut bob, &wire).is_some());
        }
    }
    assert_eq!(opens(&mut bob, &behind), None, "too old");
    let seen = stats(&bob);
    assert_eq!((seen.srtp_plain, seen.srtp_auth_failed), (2, 1), "{seen:?}");
    assert_eq!((seen.srtp_replayed, seen.srtp_too_old), (1, 1), "{seen:?}");
    assert_eq!((seen.srtp_not_rtp, seen.srtp_early, seen.srtp_rejected), (1, 0, 0), "{seen:?}");
}

#[test]
fn a_forged_packet_is_never_taken_for_a_plain_one() {
    for seed in 20..30 {
        let (mut alice, mut bob, _) = pair(seed);
        for (sequence, length) in (0..200).zip([80, 160, 240, 320].into_iter().cycle()) {
            let mut wire = packet(sequence);
            wire.resize(12 + length, 0xd5);
            assert!(alice.seal(Component::Rtp, &mut wire));
            let last = wire.len() - 1;
            wire[last] ^= 1;
            assert_eq!(opens(&mut bob, &wire), None);
            let mut wire = report();
            assert!(alice.seal(Component::Rtcp, &mut wire));
            wire[9] ^= 1;
            assert_eq!(opens(&mut bob, &wire), None);
        }
        let seen = stats(&bob);
        assert_eq!(seen.srtp_plain, 0, "{seen:?}");
        assert_eq!(seen.srtp_auth_failed + seen.srtp_rejected, 400, "{seen:?}");
    }
}

#[test]
fn a_plain_packet_of_a_codec_without_a_fixed_rate_counts_as_forged() {
    let (_, mut bob, _) = pair(31);
    let mut other = packet(1);
    other[1] = 111;
    assert_eq!(opens(&mut bob, &other), None);
    let mut odd = packet(2);
    odd.truncate(100);
    assert_eq!(opens(&mut bob, &odd), None);
    let seen = stats(&bob);
    assert_eq!((seen.srtp_plain, seen.srtp_auth_failed), (0, 2), "{seen:?}");
}

#[test]
fn an_encrypted_stream_never_turns_plain() {
    let (mut alice, mut bob, _) = pair(3);
    alice.apply(Security::Plain).unwrap();
    bob.apply(Security::Plain).unwrap();
    let wire = sealed(&mut alice, 1);
    assert_ne!(wire, packet(1));
    assert_eq!(opens(&mut bob, &packet(2)), None);
    assert_eq!(opens(&mut bob, &wire), Some(packet(1)));
}

#[test]
fn what_cannot_be_encrypted_is_not_sent() {
    let (mut alice, ..) = pair(4);
    let mut short = vec![0x80, 0, 0];
    assert!(!alice.seal(Component::Rtp, &mut short));
    assert_eq!(stats(&alice).srtp_unsent, 1);
}

#[test]
fn the_rollover_survives_a_negotiation_that_keeps_the_keys() {
    let (mut alice, mut bob, (a, b)) = pair(5);
    for sequence in (0..=u16::MAX).step_by(64).chain(0..4) {
        let wire = sealed(&mut alice, sequence);
        assert!(opens(&mut bob, &wire).is_some(), "{sequence}");
    }
    // Hold and resume: the same lines again.
    alice.apply(security(&a, false)).unwrap();
    bob.apply(security(&b, false)).unwrap();
    let wire = sealed(&mut alice, 5);
    assert_eq!(opens(&mut bob, &wire), Some(packet(5)), "rollover counter 1 on both sides");
}

#[test]
fn new_keys_take_over_while_packets_under_the_old_ones_are_on_the_way() {
    let (mut alice, mut bob, _) = pair(6);
    let first = sealed(&mut alice, 1);
    let late = sealed(&mut alice, 2);
    assert!(opens(&mut bob, &first).is_some());
    let (a, b) = agreements(66);
    alice.apply(security(&a, false)).unwrap();
    bob.apply(security(&b, false)).unwrap();
    let new = sealed(&mut alice, 3);
    assert_eq!(opens(&mut bob, &new), Some(packet(3)));
    assert_eq!(opens(&mut bob, &late), Some(packet(2)));
    assert_eq!(opens(&mut bob, &first), None, "a replay stays one");
}

#[test]
fn a_peer_that_moved_and_kept_its_key_does_not_start_the_keystream_again() {
    let (mut alice, mut bob, (a, b)) = pair(7);
    let before = sealed(&mut alice, 1);
    alice.apply(security(&a, true)).unwrap();
    bob.apply(security(&b, true)).unwrap();
    let mut again = packet(1);
    assert!(!alice.seal(Component::Rtp, &mut again), "index 1 was used");
    assert!(opens(&mut bob, &before).is_some());
}

#[test]
fn a_key_near_its_end_is_told_once_and_again_after_the_next_one() {
    let (a, b) = agreements(8);
    let short = |agreement: &Agreement, seed| {
        let key = MasterKey::generate(Profile::AeadAes256Gcm, &mut Rng::from_seed(seed));
        let key = key.with_lifetime(Lifetime { rtp: 16, rtcp: 16 }).unwrap();
        let local = sdes::CryptoAttribute::new(1, vec![key], agreement.local.parameters()).unwrap();
        Agreement { local, remote: agreement.remote.clone() }
    };
    let mut alice = Shield::new(security(&short(&a, 1), false)).unwrap();
    let mut told = 0;
    for sequence in 0..20 {
        let mut packet = packet(sequence);
        assert_eq!(alice.seal(Component::Rtp, &mut packet), sequence < 16, "never beyond");
        told += u32::from(alice.take_rekey_due());
    }
    assert_eq!(told, 1);
    alice.apply(security(&short(&b, 2), false)).unwrap();
    for sequence in 20..36 {
        let mut packet = packet(sequence);
        assert!(alice.seal(Component::Rtp, &mut packet));
        told += u32::from(alice.take_rekey_due());
    }
    assert_eq!(told, 2);
}

#[test]
fn a_source_that_said_goodbye_is_forgotten() {
    let (mut alice, mut bob, _) = pair(9);
    let wire = sealed(&mut alice, 1);
    assert!(opens(&mut bob, &wire).is_some());
    assert!(opens(&mut bob, &wire).is_none());
    bob.forget(0x0102_0304);
    assert!(opens(&mut bob, &wire).is_some(), "RFC 4568 §6.5: its context is gone");
}
