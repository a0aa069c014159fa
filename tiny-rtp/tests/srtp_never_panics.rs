//! Nothing from the network or from a description makes SRTP panic or take what is not authentic.

use proptest::collection::vec;
use proptest::prelude::*;
use tiny_rtp::srtp::sdes::{self, CryptoAttribute};
use tiny_rtp::srtp::{Continuity, MasterKey, Policy, Profile, Protector, Unprotector};
use tiny_sak::Rng;

fn profile() -> impl Strategy<Value = Profile> {
    prop::sample::select(Profile::ALL.to_vec())
}

fn key(profile: Profile, seed: u64, mki: &[u8]) -> MasterKey {
    let key = MasterKey::generate(profile, &mut Rng::from_seed(seed));
    if mki.is_empty() { key } else { key.with_mki(mki).unwrap() }
}

/// A well-formed packet: flags, CSRCs, perhaps an extension, a payload.
fn packet() -> impl Strategy<Value = Vec<u8>> {
    (0u8..16, any::<bool>(), any::<u16>(), 0u32..3, 0usize..4, vec(any::<u8>(), 0..1300)).prop_map(
        |(csrcs, extension, sequence, ssrc, words, payload)| {
            let mut p = vec![0x80 | u8::from(extension) << 4 | csrcs, 96];
            p.extend_from_slice(&sequence.to_be_bytes());
            p.extend_from_slice(&[0; 4]);
            p.extend_from_slice(&ssrc.to_be_bytes());
            p.extend(std::iter::repeat_n(7u8, usize::from(csrcs) * 4));
            if extension {
                p.extend_from_slice(&[0xbe, 0xde, 0, words as u8]);
                p.extend(std::iter::repeat_n(0u8, words * 4));
            }
            p.extend(payload);
            p
        },
    )
}

proptest! {
    #[test]
    fn arbitrary_octets_are_refused_without_harm(
        profile in profile(),
        mki in vec(any::<u8>(), 0..6),
        data in vec(vec(any::<u8>(), 0..200), 1..20),
    ) {
        let policy = Policy::new(profile);
        let mut sender = Protector::new(policy, vec![key(profile, 1, &mki)]).unwrap();
        let mut receiver = Unprotector::new(policy, vec![key(profile, 1, &mki)]).unwrap();
        receiver.rekey(policy, vec![key(profile, 2, &mki)], Continuity::Keep).unwrap();
        for data in data {
            prop_assert!(receiver.unprotect_rtp(&mut data.clone()).is_err());
            prop_assert!(receiver.unprotect_rtcp(&mut data.clone()).is_err());
            for control in [false, true] {
                let mut packet = data.clone();
                let done = match control {
                    true => sender.protect_rtcp(&mut packet),
                    false => sender.protect_rtp(&mut packet),
                };
                prop_assert_eq!(done.is_err(), packet == data);
            }
        }
        let counts = receiver.counts();
        prop_assert_eq!(counts.rtp + counts.rtcp, 0);
        prop_assert!(counts.refused() > 0);
    }

    #[test]
    fn any_packets_in_any_order_come_back_and_mutated_ones_do_not(
        profile in profile(),
        mki in vec(any::<u8>(), 0..6),
        packets in vec((packet(), any::<prop::sample::Index>(), 1u8..=255), 1..30),
    ) {
        let policy = Policy::new(profile);
        let keys = || vec![key(profile, 1, &mki)];
        let mut sender = Protector::new(policy, keys()).unwrap();
        let mut receiver = Unprotector::new(policy, keys()).unwrap();
        for (clear, at, change) in packets {
            let mut sealed = clear.clone();
            if sender.protect_rtp(&mut sealed).is_err() {
                prop_assert_eq!(sealed, clear);
                continue;
            }
            let mut forged = sealed.clone();
            forged[at.index(sealed.len())] ^= change;
            prop_assert!(receiver.unprotect_rtp(&mut forged).is_err());
            // A sender that jumps by half a turn and more loses its receiver, but only itself.
            if let Ok(len) = receiver.unprotect_rtp(&mut sealed.clone()) {
                let mut opened = sealed.clone();
                prop_assert!(receiver.unprotect_rtp(&mut opened).is_err(), "a replay");
                prop_assert_eq!(len, clear.len());
            }
        }
    }

    #[test]
    fn crypto_lines_of_any_text_are_read_or_refused(text in "\\PC{0,120}") {
        let _ = text.parse::<CryptoAttribute>();
    }

    #[test]
    fn crypto_lines_that_are_nearly_right_are_read_or_refused_and_printed_as_read(
        tag in "[0-9]{1,10}",
        profile in profile(),
        rest in "(\\|(2\\^)?[0-9]{0,3})?(\\|[0-9]{0,20}:[0-9]{0,3})?( (KDR|WSH|UNENCRYPTED_SRTCP|-X)(=[0-9]{1,5})?){0,3}",
        cut in any::<prop::sample::Index>(),
    ) {
        let name = profile.suite_name().unwrap_or("NULL");
        let key = MasterKey::generate(profile, &mut Rng::from_seed(1));
        let inline = CryptoAttribute::new(1, vec![key], sdes::SessionParameters::default())
            .map_or("inline:AAAA".to_owned(), |l| l.to_string().rsplit(' ').next().unwrap().into());
        let line = format!("{tag} {name} {inline}{rest}");
        if let Ok(read) = line.parse::<CryptoAttribute>() {
            let again: CryptoAttribute = read.to_string().parse().unwrap();
            prop_assert_eq!(again.to_string(), read.to_string());
            prop_assert!(Protector::new(read.policy(), read.keys().to_vec()).is_ok());
        }
        let _ = line[..cut.index(line.len())].parse::<CryptoAttribute>();
    }

    #[test]
    fn answers_of_any_text_are_taken_or_refused(lines in vec("[ -~]{0,80}", 0..5), seed in any::<u64>()) {
        let (config, mut rng) = (sdes::Config::default(), Rng::from_seed(seed));
        let offered = sdes::offer(&config, &mut rng);
        let _ = sdes::accept(&offered, lines.iter().map(String::as_str), &config);
        let _ = sdes::answer(lines.iter().map(String::as_str), &config, &mut rng);
    }
}
