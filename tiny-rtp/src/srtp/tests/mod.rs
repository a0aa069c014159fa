//! Tests of the transform: the vectors of the RFCs, streams with loss and wraps, keys that change.

mod rekey;
mod streams;
mod vectors;

use super::{Lifetime, MasterKey, Policy, Profile, Protector, Unprotector};

/// A key that differs by its seed.
fn key(profile: Profile, seed: u8) -> MasterKey {
    let key: Vec<u8> = (0..profile.key_len()).map(|i| seed ^ i as u8).collect();
    let salt: Vec<u8> = (0..profile.salt_len()).map(|i| seed.wrapping_mul(3) ^ i as u8).collect();
    MasterKey::new(profile, &key, &salt).unwrap()
}

fn pair(policy: Policy) -> (Protector, Unprotector) {
    let keys = || vec![key(policy.profile, 1)];
    (Protector::new(policy, keys()).unwrap(), Unprotector::new(policy, keys()).unwrap())
}

/// A packet whose payload is told by its sequence number.
fn rtp(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 0x60];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&u32::from(sequence).wrapping_mul(160).to_be_bytes());
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend((0..20u8).map(|i| i ^ sequence as u8));
    packet
}

/// A receiver report with nothing in it, and a CNAME.
fn rtcp(ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 201, 0, 1];
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(&[0x81, 202, 0, 3]);
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(&[1, 5, b'a', b'l', b'i', b'c', b'e', 0]);
    packet
}

fn short_lived(profile: Profile, rtp: u64, rtcp: u64) -> MasterKey {
    key(profile, 1).with_lifetime(Lifetime { rtp, rtcp }).unwrap()
}
