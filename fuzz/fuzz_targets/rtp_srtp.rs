//! SRTP on both sides: what was made here comes back and only once, what was changed is refused; any
//! text is a crypto line or is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tiny_rtp::srtp::sdes::CryptoAttribute;
use tiny_rtp::srtp::{Continuity, MasterKey, Policy, Profile, Protector, Unprotector};
use tiny_sak::Rng;

fuzz_target!(|data: &[u8]| {
    let Some((&[choice, at, change, rekey], packet)) = data.split_first_chunk::<4>() else {
        return;
    };
    let profile = Profile::ALL[usize::from(choice) % Profile::ALL.len()];
    let policy = Policy::new(profile);
    let key = |seed| {
        let key = MasterKey::generate(profile, &mut Rng::from_seed(seed));
        if choice & 0x80 != 0 { key.with_mki(&[1, 2]).expect("an identifier") } else { key }
    };
    let mut sender = Protector::new(policy, vec![key(1)]).expect("a sender");
    let mut receiver = Unprotector::new(policy, vec![key(1)]).expect("a receiver");
    if rekey & 1 != 0 {
        receiver.rekey(policy, vec![key(2)], Continuity::Reset).expect("a new key");
    }
    assert!(receiver.unprotect_rtp(&mut packet.to_vec()).is_err());
    assert!(receiver.unprotect_rtcp(&mut packet.to_vec()).is_err());

    let mut media = packet.to_vec();
    if sender.protect_rtp(&mut media).is_ok() {
        let mut forged = media.clone();
        let at = usize::from(at) % forged.len();
        forged[at] ^= change.max(1);
        assert!(receiver.unprotect_rtp(&mut forged).is_err());
        let mut opened = media.clone();
        assert_eq!(receiver.unprotect_rtp(&mut opened), Ok(packet.len()));
        assert_eq!(opened[..packet.len()], *packet);
        assert!(receiver.unprotect_rtp(&mut media).is_err());
    }
    let mut control = packet.to_vec();
    if sender.protect_rtcp(&mut control).is_ok() {
        assert_eq!(receiver.unprotect_rtcp(&mut control.clone()), Ok(packet.len()));
        assert!(receiver.unprotect_rtcp(&mut control).is_err());
    }

    if let Ok(Ok(line)) = std::str::from_utf8(packet).map(str::parse::<CryptoAttribute>) {
        let again: CryptoAttribute = line.to_string().parse().expect("what we print, we read");
        assert_eq!(again.to_string(), line.to_string());
    }
});
