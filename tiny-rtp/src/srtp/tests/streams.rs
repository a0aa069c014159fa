//! Streams as networks treat them: wraps, loss, reordering, replays, forgeries, many sources.

use super::{key, pair, rtcp, rtp, short_lived};
use crate::srtp::{KeyError, MasterKey, Policy, Profile, Protector, SrtpError, Unprotector};
use tiny_sak::Rng;

#[test]
fn every_profile_goes_there_and_back_and_grows_by_its_overhead() {
    for profile in Profile::ALL {
        let (mut sender, mut receiver) = pair(Policy::new(profile));
        for sequence in 0..50u16 {
            let clear = rtp(7, sequence);
            let mut packet = clear.clone();
            sender.protect_rtp(&mut packet).unwrap();
            assert_eq!(packet.len(), clear.len() + profile.rtp_tag_len());
            assert_eq!(packet[..12], clear[..12], "the header stays clear");
            assert_eq!(packet[12..32] == clear[12..], !profile.encrypts(), "{profile:?}");
            let len = receiver.unprotect_rtp(&mut packet).unwrap();
            assert_eq!(packet[..len], clear, "{profile:?}");

            let clear = rtcp(7);
            let mut packet = clear.clone();
            sender.protect_rtcp(&mut packet).unwrap();
            assert_eq!(packet.len(), clear.len() + sender.rtcp_overhead());
            assert_eq!(packet[..8], clear[..8]);
            let len = receiver.unprotect_rtcp(&mut packet).unwrap();
            assert_eq!(packet[..len], clear, "{profile:?}");
        }
        assert_eq!((receiver.counts().rtp, receiver.counts().rtcp), (50, 50));
        assert_eq!(receiver.counts().refused() + sender.counts().refused(), 0);
    }
}

#[test]
fn rtcp_carries_the_flag_and_an_index_that_begins_at_zero() {
    let (mut sender, _) = pair(Policy::new(Profile::AesCm128HmacSha1_32));
    for index in 0..3u32 {
        let mut packet = rtcp(7);
        let at = packet.len();
        sender.protect_rtcp(&mut packet).unwrap();
        assert_eq!(packet[at..at + 4], (0x8000_0000 | index).to_be_bytes());
        assert_eq!(packet.len(), at + 4 + 10, "RTCP keeps 80 bits of tag");
    }
}

#[test]
fn csrcs_and_header_extensions_stay_clear_and_are_authenticated() {
    for profile in [Profile::AesCm128HmacSha1_80, Profile::AeadAes128Gcm] {
        let (mut sender, mut receiver) = pair(Policy::new(profile));
        let mut clear = vec![0x92, 0x60, 0, 9, 0, 0, 0, 1, 0, 0, 0, 7];
        clear.extend_from_slice(&[1, 1, 1, 1, 2, 2, 2, 2]);
        clear.extend_from_slice(&[0xbe, 0xde, 0, 1, 0x10, 0x55, 0, 0]);
        let header = clear.len();
        clear.extend_from_slice(b"payload");
        let mut packet = clear.clone();
        sender.protect_rtp(&mut packet).unwrap();
        assert_eq!(packet[..header], clear[..header]);
        assert_ne!(packet[header..clear.len()], clear[header..]);
        let mut forged = packet.clone();
        forged[25] ^= 1;
        assert_eq!(receiver.unprotect_rtp(&mut forged), Err(SrtpError::AuthFailed));
        let len = receiver.unprotect_rtp(&mut packet).unwrap();
        assert_eq!(packet[..len], clear);
    }
}

#[test]
fn streams_survive_three_wraps_with_loss_and_reordering() {
    for profile in [Profile::AesCm128HmacSha1_80, Profile::AeadAes256Gcm] {
        let (mut sender, mut receiver) = pair(Policy::new(profile));
        let mut rng = Rng::from_seed(0x5712);
        let mut late: Vec<(u64, Vec<u8>)> = Vec::new();
        let (mut sent, mut received) = (0u64, 0u64);
        for index in 30_000u64..30_000 + 200_000 {
            let mut packet = rtp(7, index as u16);
            sender.protect_rtp(&mut packet).unwrap();
            sent += 1;
            if rng.chance(0.1) {
                continue;
            }
            late.push((index + rng.below(200), packet));
            // Whole bursts are lost too, at the wraps of all places.
            if index % 65_536 > 65_400 {
                late.clear();
            }
            while let Some(at) = late.iter().position(|(due, _)| *due <= index) {
                let (_, mut packet) = late.swap_remove(at);
                let sequence = u16::from_be_bytes([packet[2], packet[3]]);
                let len = receiver.unprotect_rtp(&mut packet).unwrap();
                assert_eq!(packet[..len], rtp(7, sequence));
                received += 1;
            }
        }
        assert_eq!(sent, 200_000);
        assert!(received > 175_000, "{received}");
        assert_eq!(receiver.context_mut().sources[0].rtp.highest().unwrap() >> 16, 3);
    }
}

#[test]
fn a_gap_of_less_than_half_a_turn_keeps_the_rollover_counter() {
    let (mut sender, mut receiver) = pair(Policy::new(Profile::AeadAes128Gcm));
    for index in (0u32..1_000_000).step_by(32_000) {
        let mut packet = rtp(7, index as u16);
        sender.protect_rtp(&mut packet).unwrap();
        assert!(receiver.unprotect_rtp(&mut packet).is_ok(), "{index}");
    }
}

#[test]
fn a_replayed_packet_is_refused_wherever_it_is_in_the_window() {
    let (mut sender, mut receiver) = pair(Policy::new(Profile::AesCm128HmacSha1_80));
    let mut kept = Vec::new();
    for sequence in 0..3000u16 {
        let mut packet = rtp(7, sequence.wrapping_add(64_000));
        sender.protect_rtp(&mut packet).unwrap();
        kept.push(packet.clone());
        receiver.unprotect_rtp(&mut packet).unwrap();
    }
    let mut seen = [0u32; 2];
    for packet in &mut kept {
        match receiver.unprotect_rtp(packet) {
            Err(SrtpError::Replayed) => seen[0] += 1,
            Err(SrtpError::TooOld) => seen[1] += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, [1024, 1976]);
    assert_eq!((receiver.counts().replayed, receiver.counts().too_old), (1024, 1976));
    assert_eq!(receiver.counts().rtp, 3000);
}

#[test]
fn replayed_and_old_rtcp_is_refused_and_reordered_rtcp_is_not() {
    let (mut sender, mut receiver) = pair(Policy::new(Profile::AeadAes128Gcm));
    let packets: Vec<Vec<u8>> = (0..300)
        .map(|_| {
            let mut packet = rtcp(7);
            sender.protect_rtcp(&mut packet).unwrap();
            packet
        })
        .collect();
    let mut receive = |at: usize| receiver.unprotect_rtcp(&mut packets[at].clone());
    assert!(receive(10).is_ok());
    assert!(receive(5).is_ok());
    assert_eq!(receive(5), Err(SrtpError::Replayed));
    assert!(receive(299).is_ok());
    assert_eq!(receive(171), Err(SrtpError::TooOld));
    assert!(receive(172).is_ok());
    assert_eq!(receive(299), Err(SrtpError::Replayed));
}

#[test]
fn any_changed_octet_fails_and_changes_nothing_in_the_receiver() {
    for profile in Profile::ALL {
        let (mut sender, mut receiver) = pair(Policy::new(profile));
        let (mut media, mut control) = (rtp(7, 1), rtcp(7));
        sender.protect_rtp(&mut media).unwrap();
        sender.protect_rtcp(&mut control).unwrap();
        for at in 0..media.len() {
            for bit in [1, 0x80] {
                let mut forged = media.clone();
                forged[at] ^= bit;
                assert!(receiver.unprotect_rtp(&mut forged).is_err(), "{profile:?} {at}");
            }
        }
        for at in 0..control.len() {
            let mut forged = control.clone();
            forged[at] ^= 0x80;
            assert!(receiver.unprotect_rtcp(&mut forged).is_err(), "{profile:?} {at}");
        }
        assert!(receiver.context_mut().sources.is_empty(), "forgeries make no sources");
        let counts = receiver.counts();
        assert!(counts.auth_failed > 50 && counts.rtp + counts.rtcp == 0);
        assert!(receiver.unprotect_rtp(&mut media).is_ok());
        assert!(receiver.unprotect_rtcp(&mut control).is_ok());
    }
}

#[test]
fn rtcp_in_the_clear_is_refused_where_encryption_was_agreed_and_the_reverse() {
    for profile in [Profile::AesCm128HmacSha1_80, Profile::AeadAes128Gcm] {
        let secret = Policy::new(profile);
        let open = Policy { encrypt_rtcp: false, ..secret };
        for (ours, theirs, error) in
            [(open, secret, SrtpError::NotEncrypted), (secret, open, SrtpError::Encrypted)]
        {
            let mut sender = Protector::new(ours, vec![key(profile, 1)]).unwrap();
            let mut receiver = Unprotector::new(theirs, vec![key(profile, 1)]).unwrap();
            let mut packet = rtcp(7);
            sender.protect_rtcp(&mut packet).unwrap();
            assert_eq!(receiver.unprotect_rtcp(&mut packet), Err(error));
            assert_eq!(receiver.counts().wrong_encryption, 1);
        }
    }
}

#[test]
fn policies_without_encryption_still_authenticate() {
    for profile in [Profile::AesCm256HmacSha1_80, Profile::AeadAes256Gcm] {
        let policy = Policy { encrypt_rtp: false, encrypt_rtcp: false, ..Policy::new(profile) };
        let (mut sender, mut receiver) = pair(policy);
        let (clear, report) = (rtp(7, 1), rtcp(7));
        let (mut packet, mut control) = (clear.clone(), report.clone());
        sender.protect_rtp(&mut packet).unwrap();
        sender.protect_rtcp(&mut control).unwrap();
        assert_eq!(packet[..clear.len()], clear);
        assert_eq!(control[..report.len()], report);
        let mut forged = packet.clone();
        forged[20] ^= 1;
        assert_eq!(receiver.unprotect_rtp(&mut forged), Err(SrtpError::AuthFailed));
        assert_eq!(receiver.unprotect_rtp(&mut packet), Ok(clear.len()));
        assert_eq!(receiver.unprotect_rtcp(&mut control), Ok(report.len()));
        assert_eq!(control[..report.len()], report);
    }
}

#[test]
fn sources_have_streams_of_their_own_and_are_bounded() {
    let policy = Policy { max_sources: 4, ..Policy::new(Profile::AeadAes128Gcm) };
    let mut sender =
        Protector::new(Policy { max_sources: 5, ..policy }, vec![key(policy.profile, 1)]).unwrap();
    let mut receiver = Unprotector::new(policy, vec![key(policy.profile, 1)]).unwrap();
    for round in 0..3u16 {
        for ssrc in 0..4u32 {
            let mut packet = rtp(ssrc, 65_534u16.wrapping_add(round));
            sender.protect_rtp(&mut packet).unwrap();
            assert!(receiver.unprotect_rtp(&mut packet).is_ok(), "{ssrc} {round}");
        }
    }
    let (mut fifth, mut control) = (rtp(4, 1), rtcp(4));
    sender.protect_rtp(&mut fifth).unwrap();
    sender.protect_rtcp(&mut control).unwrap();
    assert_eq!(receiver.unprotect_rtp(&mut fifth.clone()), Err(SrtpError::TooManySources));
    assert_eq!(receiver.unprotect_rtcp(&mut control), Err(SrtpError::TooManySources));
    assert_eq!(sender.protect_rtp(&mut rtp(5, 1)), Err(SrtpError::TooManySources));
    // Room is made when a source leaves.
    receiver.forget(2);
    assert!(receiver.unprotect_rtp(&mut fifth).is_ok());
    assert_eq!(receiver.counts().too_many_sources, 2);
}

#[test]
fn a_sender_never_uses_an_index_twice() {
    let (mut sender, _) = pair(Policy::new(Profile::AesCm128HmacSha1_80));
    let clear = rtp(7, 100);
    sender.protect_rtp(&mut clear.clone()).unwrap();
    let mut again = rtp(7, 100);
    again[15] ^= 1;
    let before = again.clone();
    assert_eq!(sender.protect_rtp(&mut again), Err(SrtpError::Replayed));
    assert_eq!(again, before, "a packet that was not protected is as it was");
    // A little out of order is no harm.
    assert!(sender.protect_rtp(&mut rtp(7, 102)).is_ok());
    assert!(sender.protect_rtp(&mut rtp(7, 101)).is_ok());
}

#[test]
fn a_key_stops_at_its_lifetime_on_both_sides() {
    let policy = Policy::new(Profile::AesCm128HmacSha1_80);
    let keys = || vec![short_lived(policy.profile, 16, 8)];
    let mut sender = Protector::new(policy, keys()).unwrap();
    let mut receiver = Unprotector::new(policy, keys()).unwrap();
    for sequence in 0..16u16 {
        assert_eq!(sender.needs_rekey(), sequence >= 14);
        let mut packet = rtp(u32::from(sequence % 3), sequence);
        sender.protect_rtp(&mut packet).unwrap();
        receiver.unprotect_rtp(&mut packet).unwrap();
    }
    assert_eq!(sender.protect_rtp(&mut rtp(7, 16)), Err(SrtpError::KeyExhausted));
    assert_eq!(sender.counts().key_exhausted, 1);
    for _ in 0..8 {
        let mut packet = rtcp(7);
        sender.protect_rtcp(&mut packet).unwrap();
        receiver.unprotect_rtcp(&mut packet).unwrap();
    }
    assert_eq!(sender.protect_rtcp(&mut rtcp(7)), Err(SrtpError::KeyExhausted));
    // A receiver takes no more either.
    let mut other = Protector::new(policy, vec![key(policy.profile, 1)]).unwrap();
    let (mut media, mut control) = (rtp(9, 1), rtcp(9));
    other.protect_rtp(&mut media).unwrap();
    other.protect_rtcp(&mut control).unwrap();
    assert_eq!(receiver.unprotect_rtp(&mut media), Err(SrtpError::KeyExhausted));
    assert_eq!(receiver.unprotect_rtcp(&mut control), Err(SrtpError::KeyExhausted));
}

#[test]
fn the_rtcp_index_ends_at_31_bits_and_the_packet_index_at_48() {
    let (mut sender, mut receiver) = pair(Policy::new(Profile::AeadAes128Gcm));
    sender.protect_rtcp(&mut rtcp(7)).unwrap();
    sender.context_mut().sources[0].next_rtcp = (1 << 31) - 1;
    let mut last = rtcp(7);
    sender.protect_rtcp(&mut last).unwrap();
    assert!(receiver.unprotect_rtcp(&mut last).is_ok());
    assert_eq!(sender.protect_rtcp(&mut rtcp(7)), Err(SrtpError::KeyExhausted));

    sender.context_mut().sources[0].rtp.commit((1 << 48) - 2);
    receiver.context_mut().sources[0].rtp.commit((1 << 48) - 2);
    let mut last = rtp(7, 65_535);
    sender.protect_rtp(&mut last).unwrap();
    assert!(receiver.unprotect_rtp(&mut last).is_ok());
    assert_eq!(sender.protect_rtp(&mut rtp(7, 0)), Err(SrtpError::KeyExhausted));
}

#[test]
fn malformed_packets_are_named_and_counted() {
    let (mut sender, mut receiver) = pair(Policy::new(Profile::AesCm128HmacSha1_80));
    let mut extension_over_the_end = rtp(7, 1);
    extension_over_the_end[0] |= 0x10;
    extension_over_the_end[14] = 0xff;
    let mut version_1 = rtp(7, 1);
    version_1[0] = 0x40;
    for bad in [vec![], vec![0x80; 11], extension_over_the_end, version_1] {
        assert_eq!(sender.protect_rtp(&mut bad.clone()), Err(SrtpError::Malformed));
        assert_eq!(receiver.unprotect_rtp(&mut bad.clone()), Err(SrtpError::Malformed));
    }
    // A header alone has no room for a tag.
    assert_eq!(receiver.unprotect_rtp(&mut rtp(7, 1)[..21]), Err(SrtpError::Malformed));
    assert_eq!(receiver.unprotect_rtcp(&mut rtcp(7)[..21]), Err(SrtpError::Malformed));
    assert_eq!(sender.protect_rtcp(&mut vec![0x80; 7]), Err(SrtpError::Malformed));
    assert_eq!(sender.protect_rtp(&mut vec![0x80; 65_536]), Err(SrtpError::TooLong));
    assert_eq!(sender.protect_rtp_in(&mut rtp(7, 1), 32), Err(SrtpError::NoRoom));
    assert_eq!((sender.counts().malformed, receiver.counts().malformed), (7, 6));
}

#[test]
fn keys_and_policies_that_cannot_work_are_refused_by_name() {
    let profile = Profile::AesCm128HmacSha1_80;
    let policy = Policy::new(profile);
    let refused = |policy, keys| Protector::new(policy, keys).err();
    assert_eq!(refused(policy, vec![]), Some(KeyError::NoKey));
    assert_eq!(
        MasterKey::new(profile, &[0; 15], &[0; 14]).err(),
        Some(KeyError::KeyLength { expected: 16, actual: 15 })
    );
    assert_eq!(
        MasterKey::new(Profile::AeadAes128Gcm, &[0; 16], &[0; 14]).err(),
        Some(KeyError::SaltLength { expected: 12, actual: 14 })
    );
    let other = vec![key(Profile::AeadAes128Gcm, 1)];
    assert_eq!(refused(policy, other), Some(KeyError::OtherProfile));
    assert_eq!(refused(policy, vec![key(profile, 1), key(profile, 2)]), Some(KeyError::MkiLength));
    let with = |seed, mki: &[u8]| key(profile, seed).with_mki(mki).unwrap();
    assert_eq!(refused(policy, vec![with(1, &[1]), with(2, &[1])]), Some(KeyError::MkiTwice));
    assert_eq!(refused(policy, vec![with(1, &[1]), with(2, &[0, 2])]), Some(KeyError::MkiLength));
    assert_eq!(key(profile, 1).with_mki(&[0; 129]).err(), Some(KeyError::MkiSize));
    let small = Policy { rtp_window: 63, ..policy };
    assert_eq!(refused(small, vec![key(profile, 1)]), Some(KeyError::Limits));
}

#[test]
fn what_dtls_exports_is_cut_into_keys_and_salts() {
    let profile = Profile::AeadAes128Gcm;
    let exported: Vec<u8> = (0..MasterKey::dtls_len(profile) as u8).collect();
    assert_eq!(exported.len(), 56);
    let (client, server) = MasterKey::from_dtls(profile, &exported).unwrap();
    assert_eq!(client.expose(), [&exported[..16], &exported[32..44]].concat());
    assert_eq!(server.expose(), [&exported[16..32], &exported[44..]].concat());
    assert!(MasterKey::from_dtls(profile, &exported[1..]).is_err());
    assert!(format!("{client:?}").contains("octets: \"***\""), "keys are not printed");
}
