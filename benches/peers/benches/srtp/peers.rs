//! The contestants, each through the API that its documentation leads to.

use super::{Contestant, KEY, SALT, Suite, packet, timed};
use std::hint::black_box;
use std::time::Duration;
use tiny_rtp::srtp::{MasterKey, Policy, Profile, Protector, Unprotector};

/// All of them, ours first.
pub(super) fn all(suite: Suite) -> Vec<(&'static str, Box<dyn Contestant>)> {
    vec![
        ("tiny-rtp", Box::new(Ours::new(suite))),
        ("rtc-srtp", Box::new(Rtc::new(suite))),
        ("webrtc-srtp", Box::new(WebRtc::new(suite))),
    ]
}

/// All make the same packet of the same packet: a wrong transform is not a fast one.
pub(super) fn agree() {
    for suite in [Suite::Cm, Suite::Gcm] {
        let sealed: Vec<Vec<u8>> = all(suite)
            .into_iter()
            .map(|(_, mut contestant)| {
                let mut packets = [packet(1000, 100)];
                contestant.protect(&mut packets);
                packets[0].clone()
            })
            .collect();
        assert!(sealed.windows(2).all(|w| w[0] == w[1]), "{suite:?}");
    }
}

struct Ours(Protector, Unprotector);

impl Ours {
    fn new(suite: Suite) -> Self {
        let profile = match suite {
            Suite::Cm => Profile::AesCm128HmacSha1_80,
            Suite::Gcm => Profile::AeadAes128Gcm,
        };
        let key = || vec![MasterKey::new(profile, &KEY, &SALT[..suite.salt_len()]).unwrap()];
        let policy = Policy::new(profile);
        Self(Protector::new(policy, key()).unwrap(), Unprotector::new(policy, key()).unwrap())
    }
}

impl Contestant for Ours {
    fn protect(&mut self, packets: &mut [Vec<u8>]) -> Duration {
        timed(|| {
            for packet in packets {
                self.0.protect_rtp(black_box(packet)).unwrap();
            }
        })
    }

    fn unprotect(&mut self, packets: &mut [Vec<u8>]) -> Duration {
        timed(|| {
            for packet in packets {
                let len = self.1.unprotect_rtp(black_box(packet)).unwrap();
                packet.truncate(len);
            }
        })
    }
}

/// Both of these return a new buffer for each packet. It is dropped at once, so that their allocator
/// has it warm for the next one; what the contest goes on with is made once more, off the clock.
macro_rules! returning {
    ($name:ident) => {
        impl Contestant for $name {
            fn protect(&mut self, packets: &mut [Vec<u8>]) -> Duration {
                let time = timed(|| {
                    for packet in packets.iter() {
                        black_box(self.sender.encrypt_rtp(black_box(packet)).unwrap());
                    }
                });
                for packet in packets {
                    *packet = self.sender.encrypt_rtp(packet).unwrap().to_vec();
                }
                time
            }

            fn unprotect(&mut self, packets: &mut [Vec<u8>]) -> Duration {
                let time = timed(|| {
                    for packet in packets.iter() {
                        black_box(self.receiver.decrypt_rtp(black_box(packet)).unwrap());
                    }
                });
                for packet in packets {
                    *packet = self.second.decrypt_rtp(packet).unwrap().to_vec();
                }
                time
            }
        }
    };
}

struct Rtc {
    sender: rtc_srtp::context::Context,
    receiver: rtc_srtp::context::Context,
    second: rtc_srtp::context::Context,
}

impl Rtc {
    fn new(suite: Suite) -> Self {
        use rtc_srtp::option::srtp_replay_protection;
        use rtc_srtp::protection_profile::ProtectionProfile;
        let profile = match suite {
            Suite::Cm => ProtectionProfile::Aes128CmHmacSha1_80,
            Suite::Gcm => ProtectionProfile::AeadAes128Gcm,
        };
        let crypto = rtc_crypto::default_provider().unwrap();
        let make = |option| {
            let salt = &SALT[..suite.salt_len()];
            rtc_srtp::context::Context::new(&KEY, salt, profile, option, None, crypto.crypto())
                .unwrap()
        };
        let receiver = || make(Some(srtp_replay_protection(1024)));
        Self { sender: make(None), receiver: receiver(), second: receiver() }
    }
}

returning!(Rtc);

struct WebRtc {
    sender: webrtc_srtp::context::Context,
    receiver: webrtc_srtp::context::Context,
    second: webrtc_srtp::context::Context,
}

impl WebRtc {
    fn new(suite: Suite) -> Self {
        use webrtc_srtp::option::srtp_replay_protection;
        use webrtc_srtp::protection_profile::ProtectionProfile;
        let profile = match suite {
            Suite::Cm => ProtectionProfile::Aes128CmHmacSha1_80,
            Suite::Gcm => ProtectionProfile::AeadAes128Gcm,
        };
        let make = |option| {
            let salt = &SALT[..suite.salt_len()];
            webrtc_srtp::context::Context::new(&KEY, salt, profile, option, None).unwrap()
        };
        let receiver = || make(Some(srtp_replay_protection(1024)));
        Self { sender: make(None), receiver: receiver(), second: receiver() }
    }
}

returning!(WebRtc);
