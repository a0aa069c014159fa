//! Keys that change: by identifier within a context, and from one context to the next.

use super::{key, rtcp, rtp};
use crate::srtp::{
    Continuity, KeyError, MasterKey, Policy, Profile, Protector, SrtpError, Unprotector,
};

fn with_mki(profile: Profile, seed: u8, mki: &[u8]) -> MasterKey {
    key(profile, seed).with_mki(mki).unwrap()
}

/// Protects, unprotects, and says what became of it.
fn deliver(
    sender: &mut Protector,
    receiver: &mut Unprotector,
    sequence: u16,
) -> Result<(), SrtpError> {
    let mut packet = rtp(7, sequence);
    sender.protect_rtp(&mut packet)?;
    let len = receiver.unprotect_rtp(&mut packet)?;
    assert_eq!(packet[..len], rtp(7, sequence));
    Ok(())
}

#[test]
fn the_key_identifier_stands_where_each_transform_wants_it_and_chooses_the_key() {
    for profile in Profile::ALL {
        let policy = Policy::new(profile);
        let keys =
            || vec![with_mki(profile, 1, &[0, 0, 0, 1]), with_mki(profile, 2, &[0, 0, 0, 2])];
        let mut sender = Protector::new(policy, keys()).unwrap();
        let mut receiver = Unprotector::new(policy, keys()).unwrap();
        for (sequence, mki) in [(1u16, [0, 0, 0, 1]), (2, [0, 0, 0, 2]), (3, [0, 0, 0, 1])] {
            sender.use_key(&mki).unwrap();
            let mut packet = rtp(7, sequence);
            let clear = packet.len();
            sender.protect_rtp(&mut packet).unwrap();
            assert_eq!(packet.len(), clear + sender.rtp_overhead());
            let at = if profile.is_aead() { clear + 16 } else { clear };
            assert_eq!(packet[at..at + 4], mki, "{profile:?}");
            let len = receiver.unprotect_rtp(&mut packet).unwrap();
            assert_eq!(packet[..len], rtp(7, sequence));

            let mut packet = rtcp(7);
            let clear = packet.len();
            sender.protect_rtcp(&mut packet).unwrap();
            let at = if profile.is_aead() { clear + 20 } else { clear + 4 };
            assert_eq!(packet[at..at + 4], mki, "{profile:?}");
            let len = receiver.unprotect_rtcp(&mut packet).unwrap();
            assert_eq!(packet[..len], rtcp(7));
        }
        assert_eq!(sender.use_key(&[9]), Err(SrtpError::UnknownMki));
        let mut stranger =
            Protector::new(policy, vec![with_mki(profile, 1, &[0, 0, 0, 3])]).unwrap();
        let (mut media, mut control) = (rtp(7, 9), rtcp(7));
        stranger.protect_rtp(&mut media).unwrap();
        stranger.protect_rtcp(&mut control).unwrap();
        assert_eq!(receiver.unprotect_rtp(&mut media), Err(SrtpError::UnknownMki));
        assert_eq!(receiver.unprotect_rtcp(&mut control), Err(SrtpError::UnknownMki));
        assert_eq!(receiver.counts().unknown_mki, 2);
    }
}

#[test]
fn a_new_key_in_the_same_context_keeps_rollover_counter_and_rtcp_index() {
    for profile in [Profile::AesCm128HmacSha1_80, Profile::AeadAes128Gcm] {
        let policy = Policy::new(profile);
        let mut sender = Protector::new(policy, vec![key(profile, 1)]).unwrap();
        let mut receiver = Unprotector::new(policy, vec![key(profile, 1)]).unwrap();
        for index in (0..140_000u32).step_by(20_000) {
            deliver(&mut sender, &mut receiver, index as u16).unwrap();
        }
        sender.protect_rtcp(&mut rtcp(7)).unwrap();
        sender.rekey(policy, vec![key(profile, 2)], Continuity::Keep).unwrap();
        receiver.rekey(policy, vec![key(profile, 2)], Continuity::Keep).unwrap();
        deliver(&mut sender, &mut receiver, 130_000u32 as u16).unwrap();
        assert_eq!(receiver.context_mut().sources[0].rtp.highest(), Some(130_000));
        let mut packet = rtcp(7);
        let at = packet.len() + if profile.is_aead() { 16 } else { 0 };
        sender.protect_rtcp(&mut packet).unwrap();
        assert_eq!(packet[at..at + 4], 0x8000_0001u32.to_be_bytes());
        assert!(receiver.unprotect_rtcp(&mut packet).is_ok());
    }
}

#[test]
fn a_new_context_begins_at_zero_and_needs_new_keys() {
    let profile = Profile::AeadAes256Gcm;
    let policy = Policy::new(profile);
    let mut sender = Protector::new(policy, vec![key(profile, 1)]).unwrap();
    let mut receiver = Unprotector::new(policy, vec![key(profile, 1)]).unwrap();
    for index in (0..140_000u32).step_by(20_000) {
        deliver(&mut sender, &mut receiver, index as u16).unwrap();
    }
    let same = || vec![key(profile, 1)];
    assert_eq!(sender.rekey(policy, same(), Continuity::Reset), Err(KeyError::KeyReused));
    assert_eq!(receiver.rekey(policy, same(), Continuity::Reset), Err(KeyError::KeyReused));
    deliver(&mut sender, &mut receiver, 121_000u32 as u16).unwrap();
    sender.rekey(policy, vec![key(profile, 2)], Continuity::Reset).unwrap();
    receiver.rekey(policy, vec![key(profile, 2)], Continuity::Reset).unwrap();
    deliver(&mut sender, &mut receiver, 500).unwrap();
    assert_eq!(receiver.context_mut().sources[0].rtp.highest(), Some(500));
}

#[test]
fn packets_under_the_old_key_still_get_in_for_a_while_and_only_once() {
    for profile in [Profile::AesCm128HmacSha1_80, Profile::AeadAes128Gcm] {
        for continuity in [Continuity::Keep, Continuity::Reset] {
            let policy = Policy { rekey_overlap: 10, ..Policy::new(profile) };
            let mut sender = Protector::new(policy, vec![key(profile, 1)]).unwrap();
            let mut receiver = Unprotector::new(policy, vec![key(profile, 1)]).unwrap();
            deliver(&mut sender, &mut receiver, 1).unwrap();
            let mut late: Vec<Vec<u8>> = (2..6u16).map(|s| rtp(7, s)).collect();
            for packet in &mut late {
                sender.protect_rtp(packet).unwrap();
            }
            let mut report = rtcp(7);
            sender.protect_rtcp(&mut report).unwrap();
            sender.rekey(policy, vec![key(profile, 2)], continuity).unwrap();
            receiver.rekey(policy, vec![key(profile, 2)], continuity).unwrap();

            let len = receiver.unprotect_rtp(&mut late[0].clone()).unwrap();
            assert_eq!(len, rtp(7, 2).len());
            assert!(receiver.unprotect_rtp(&mut late[0].clone()).is_err(), "not twice");
            let len = receiver.unprotect_rtcp(&mut report).unwrap();
            assert_eq!(report[..len], rtcp(7));
            for sequence in 10..15 {
                deliver(&mut sender, &mut receiver, sequence).unwrap();
            }
            let len = receiver.unprotect_rtp(&mut late[1]).unwrap();
            assert_eq!(late[1][..len], rtp(7, 3));
            for sequence in 15..20 {
                deliver(&mut sender, &mut receiver, sequence).unwrap();
            }
            assert_eq!(receiver.unprotect_rtp(&mut late[2]), Err(SrtpError::AuthFailed));
        }
    }
}

#[test]
fn the_old_key_can_be_retired_at_once() {
    let profile = Profile::AesCm256HmacSha1_80;
    let policy = Policy::new(profile);
    let mut sender = Protector::new(policy, vec![key(profile, 1)]).unwrap();
    let mut receiver = Unprotector::new(policy, vec![key(profile, 1)]).unwrap();
    let mut late = rtp(7, 1);
    sender.protect_rtp(&mut late).unwrap();
    receiver.rekey(policy, vec![key(profile, 2)], Continuity::Keep).unwrap();
    receiver.retire_previous();
    assert_eq!(receiver.unprotect_rtp(&mut late), Err(SrtpError::AuthFailed));
}

#[test]
fn the_suite_may_change_with_the_key() {
    let (first, second) = (Profile::AesCm128HmacSha1_32, Profile::AeadAes256Gcm);
    let mut sender = Protector::new(Policy::new(first), vec![key(first, 1)]).unwrap();
    let mut receiver = Unprotector::new(Policy::new(first), vec![key(first, 1)]).unwrap();
    deliver(&mut sender, &mut receiver, 1).unwrap();
    let mut late = rtp(7, 2);
    sender.protect_rtp(&mut late).unwrap();
    sender.rekey(Policy::new(second), vec![key(second, 2)], Continuity::Reset).unwrap();
    receiver.rekey(Policy::new(second), vec![key(second, 2)], Continuity::Reset).unwrap();
    assert!(receiver.unprotect_rtp(&mut late).is_ok());
    deliver(&mut sender, &mut receiver, 3).unwrap();
    assert_eq!(receiver.policy().profile, second);
}

#[test]
fn repeating_the_same_key_in_a_new_offer_changes_nothing() {
    let profile = Profile::AeadAes128Gcm;
    let policy = Policy::new(profile);
    let lived = || vec![super::short_lived(profile, 4, 4)];
    let mut sender = Protector::new(policy, lived()).unwrap();
    let mut receiver = Unprotector::new(policy, lived()).unwrap();
    deliver(&mut sender, &mut receiver, 1).unwrap();
    deliver(&mut sender, &mut receiver, 2).unwrap();
    sender.rekey(policy, lived(), Continuity::Keep).unwrap();
    receiver.rekey(policy, lived(), Continuity::Keep).unwrap();
    deliver(&mut sender, &mut receiver, 3).unwrap();
    assert_eq!(sender.protect_rtp(&mut rtp(7, 3)), Err(SrtpError::Replayed));
    deliver(&mut sender, &mut receiver, 4).unwrap();
    // The packets before the repetition count too.
    assert_eq!(sender.protect_rtp(&mut rtp(7, 5)), Err(SrtpError::KeyExhausted));
}

// RFC 5764 §5.2
#[test]
fn keys_of_another_handshake_follow_those_of_the_one_before() {
    let profile = Profile::AeadAes128Gcm;
    let policy = Policy { rekey_overlap: 2, ..Policy::new(profile) };
    let mut before = Protector::new(policy, vec![key(profile, 1)]).unwrap();
    let mut receiver = Unprotector::new(policy, vec![key(profile, 1)]).unwrap();
    deliver(&mut before, &mut receiver, 1).unwrap();
    let late: Vec<Vec<u8>> = (2..5)
        .map(|sequence| {
            let mut packet = rtp(7, sequence);
            before.protect_rtp(&mut packet).unwrap();
            packet
        })
        .collect();
    let mut after = Protector::new(policy, vec![key(profile, 2)]).unwrap();
    let mut next = Unprotector::new(policy, vec![key(profile, 2)]).unwrap();
    next.follow(receiver);
    assert!(next.unprotect_rtp(&mut late[0].clone()).is_ok());
    assert_eq!(next.unprotect_rtp(&mut late[0].clone()), Err(SrtpError::AuthFailed), "once");
    deliver(&mut after, &mut next, 5).unwrap();
    assert!(next.unprotect_rtp(&mut late[1].clone()).is_ok());
    deliver(&mut after, &mut next, 6).unwrap();
    assert_eq!(next.unprotect_rtp(&mut late[2].clone()), Err(SrtpError::AuthFailed), "too late");
}
