use super::*;
use crate::srtp::{Continuity, KeyError, Lifetime, MasterKey, Profile, SrtpError};
use tiny_sak::Rng;

const LINE: &str =
    "1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^20|1:32";

fn parse(line: &str) -> Result<CryptoAttribute, CryptoError> {
    line.parse()
}

fn key_text(profile: Profile) -> String {
    let mut rng = Rng::from_seed(9);
    let line = CryptoAttribute::new(
        1,
        vec![MasterKey::generate(profile, &mut rng)],
        SessionParameters::default(),
    );
    line.unwrap().to_string().split_once("inline:").unwrap().1.to_owned()
}

#[test]
fn the_line_of_rfc_4568_4_5_is_read_and_written() {
    let line = parse(LINE).unwrap();
    assert_eq!((line.tag(), line.profile()), (1, Profile::AesCm128HmacSha1_80));
    let key = &line.keys()[0];
    assert_eq!(key.expose(), b"wDfvg&T+)xG7@fb5jU,RaA}\\|p0%*#");
    assert_eq!(key.lifetime(), Lifetime { rtp: 1 << 20, rtcp: 1 << 20 });
    assert_eq!((key.mki().len(), key.mki()[31]), (32, 1));
    assert_eq!(line.to_string(), LINE);
    assert!(!format!("{line:?}").contains("d0Rm"));
}

#[test]
fn the_offer_of_rfc_4568_7_1_5_is_read_line_by_line() {
    let cm = parse(
        "1 AES_CM_128_HMAC_SHA1_80 \
         inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4 FEC_ORDER=FEC_SRTP",
    );
    assert_eq!(cm.unwrap().keys()[0].mki(), [0, 0, 0, 1]);
    let f8 = parse(
        "2 F8_128_HMAC_SHA1_80 inline:MTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5QUJjZGVm|2^20|1:4; \
         inline:QUJjZGVmMTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5|2^20|2:4 FEC_ORDER=FEC_SRTP",
    );
    let f8 = f8.unwrap();
    assert_eq!(f8.profile(), Profile::AesF8128HmacSha1_80);
    assert_eq!(f8.keys().iter().map(|k| k.mki()[3]).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn every_suite_has_keys_of_its_length() {
    for profile in Profile::ALL {
        let Some(name) = profile.suite_name() else { continue };
        let key = key_text(profile);
        let line = parse(&format!("7 {} inline:{key}", name.to_lowercase())).unwrap();
        assert_eq!(line.profile(), profile);
        assert_eq!(line.to_string(), format!("7 {name} inline:{key}"));
        assert_eq!(line.policy().profile, profile);
        let short = base64::encode(&[0; 29]);
        assert!(matches!(
            parse(&format!("7 {name} inline:{}", *short)),
            Err(CryptoError::Key(KeyError::KeyLength { actual: 29, .. }))
        ));
    }
    let old =
        format!("1 AES_CM_256_HMAC_SHA1_80 inline:{}", key_text(Profile::AesCm256HmacSha1_80));
    assert_eq!(parse(&old).unwrap().profile(), Profile::AesCm256HmacSha1_80);
}

#[test]
fn an_identifier_without_lifetime_and_a_plain_lifetime_are_told_apart() {
    let key = key_text(Profile::AesCm128HmacSha1_80);
    let of = |rest: &str| {
        let line = parse(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{key}{rest}"))?;
        assert_eq!(line.to_string(), format!("1 AES_CM_128_HMAC_SHA1_80 inline:{key}{rest}"));
        Ok::<_, CryptoError>((line.keys()[0].lifetime(), line.keys()[0].mki().to_vec()))
    };
    assert_eq!(of("|1066:4").unwrap(), (Lifetime::MAX, vec![0, 0, 4, 42]));
    assert_eq!(of("|12345").unwrap(), (Lifetime { rtp: 12345, rtcp: 12345 }, vec![]));
    assert_eq!(of("|2^40|1:1").unwrap(), (Lifetime { rtp: 1 << 40, rtcp: 1 << 31 }, vec![1]));
    assert_eq!(of("|18446744073709551616:9").unwrap().1, [1, 0, 0, 0, 0, 0, 0, 0, 0]);
    for (bad, why) in [
        ("|2^49", KeyError::Lifetime),
        ("|0", KeyError::Lifetime),
        ("|020", KeyError::Lifetime),
        ("|2^", KeyError::Lifetime),
        ("|-1", KeyError::Lifetime),
        ("|281474976710657", KeyError::Lifetime),
        ("|1:0", KeyError::MkiSize),
        ("|1:129", KeyError::MkiSize),
        ("|1:", KeyError::MkiSize),
        ("|256:1", KeyError::MkiSize),
        ("|01:1", KeyError::MkiSize),
        ("|x:1", KeyError::MkiSize),
    ] {
        assert_eq!(of(bad).unwrap_err(), CryptoError::Key(why), "{bad}");
    }
    assert!(matches!(of("|2^20|1:4|2"), Err(CryptoError::Syntax(_))));
    assert!(matches!(of("|2^20|7"), Err(CryptoError::Syntax(_))));
}

#[test]
fn several_keys_need_identifiers_of_one_length() {
    let key = key_text(Profile::AeadAes128Gcm);
    let of = |a: &str, b: &str| {
        parse(&format!("1 AEAD_AES_128_GCM inline:{key}{a};inline:{key}{b}"))
            .map(|l| l.keys().len())
    };
    assert_eq!(of("|1:1", "|2:1"), Ok(2));
    assert_eq!(of("", ""), Err(KeyError::MkiLength.into()));
    assert_eq!(of("|1:1", ""), Err(KeyError::MkiLength.into()));
    assert_eq!(of("|1:1", "|2:2"), Err(KeyError::MkiLength.into()));
    assert_eq!(of("|1:1", "|1:1"), Err(KeyError::MkiTwice.into()));
}

#[test]
fn session_parameters_are_understood_or_refused_by_name() {
    let key = key_text(Profile::AesCm128HmacSha1_80);
    let of = |p: &str| parse(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{key} {p}"));
    for fine in ["KDR=0", "FEC_ORDER=FEC_SRTP", "-X=1", "WSH=64"] {
        assert!(of(fine).is_ok(), "{fine}");
    }
    assert_eq!(of("WSH=4096").unwrap().policy().rtp_window, 4096);
    assert_eq!(of("WSH=64").unwrap().policy().rtp_window, 1024);
    assert_eq!(of("WSH=4000000000").unwrap().policy().rtp_window, 32_768);
    let open = of("UNENCRYPTED_SRTP UNENCRYPTED_SRTCP").unwrap();
    assert!(!open.policy().encrypt_rtp && !open.policy().encrypt_rtcp);
    assert!(open.to_string().ends_with(" UNENCRYPTED_SRTP UNENCRYPTED_SRTCP"));
    for bad in
        ["KDR=1", "KDR=24", "UNAUTHENTICATED_SRTP", "FEC_ORDER=SRTP_FEC", "FEC_KEY=inline:x", "X=1"]
    {
        assert_eq!(of(bad).unwrap_err(), CryptoError::Parameter(bad.into()));
    }
    for bad in ["WSH=63", "WSH=064", "WSH=x", "WSH", "UNENCRYPTED_SRTP=1", "WSH=99999999999"] {
        assert_eq!(of(bad).unwrap_err(), CryptoError::ParameterValue(bad.into()));
    }
    assert!(of("UNENCRYPTED_SRTP UNENCRYPTED_SRTP").is_err());
    let gcm = format!("1 AEAD_AES_128_GCM inline:{}", key_text(Profile::AeadAes128Gcm));
    assert!(parse(&format!("{gcm} UNENCRYPTED_SRTCP")).is_ok());
    assert_eq!(
        parse(&format!("{gcm} UNENCRYPTED_SRTP")).unwrap_err(),
        CryptoError::Parameter("UNENCRYPTED_SRTP".into())
    );
}

#[test]
fn lines_that_are_none_are_refused() {
    for bad in [
        "",
        "1",
        "1 AES_CM_128_HMAC_SHA1_80",
        "x AES_CM_128_HMAC_SHA1_80 inline:x",
        "1234567890 A b:c",
    ] {
        assert!(matches!(parse(bad), Err(CryptoError::Syntax(_))), "{bad}");
    }
    assert_eq!(parse("1 FOO inline:x").unwrap_err(), CryptoError::Suite("FOO".into()));
    assert_eq!(
        parse("1 AES_CM_128_HMAC_SHA1_80 uri:x").unwrap_err(),
        CryptoError::KeyMethod("uri".into())
    );
    assert!(parse("1 AES_CM_128_HMAC_SHA1_80 inline:!!!!").is_err());
}

fn lines(attributes: &[CryptoAttribute]) -> Vec<String> {
    attributes.iter().map(ToString::to_string).collect()
}

fn strs(lines: &[String]) -> impl Iterator<Item = &str> {
    lines.iter().map(String::as_str)
}

#[test]
fn an_offer_has_a_line_a_suite_with_tags_and_keys_of_their_own() {
    let config = Config::default();
    let offered = offer(&config, &mut Rng::from_seed(1));
    assert_eq!(offered.iter().map(CryptoAttribute::tag).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    let profiles: Vec<_> = offered.iter().map(CryptoAttribute::profile).collect();
    assert_eq!(profiles, config.profiles);
    let mut texts = lines(&offered);
    assert!(texts[0].starts_with("1 AEAD_AES_256_GCM inline:"));
    texts.sort();
    texts.dedup_by_key(|t| t.split_once("inline:").unwrap().1.to_owned());
    assert_eq!(texts.len(), 5, "no key twice");
}

#[test]
fn the_answerer_takes_the_first_line_it_can_and_both_sides_understand_each_other() {
    let (mut alice, mut bob) = (Rng::from_seed(1), Rng::from_seed(2));
    let config = Config { mki_len: 2, ..Config::default() };
    let offered = offer(&config, &mut alice);
    let only = Config {
        profiles: vec![Profile::AesCm128HmacSha1_32, Profile::AesCm128HmacSha1_80],
        ..Config::default()
    };
    let bobs = answer(strs(&lines(&offered)), &only, &mut bob).unwrap();
    // The offerer's order counts, not ours.
    assert_eq!((bobs.local.tag(), bobs.profile()), (4, Profile::AesCm128HmacSha1_80));
    let reply = bobs.local.to_string();
    let alices = accept(&offered, [reply.as_str()], &config).unwrap();
    assert_eq!(alices.local.tag(), 4);

    let mut send = alices.protector().unwrap();
    let mut receive = bobs.unprotector().unwrap();
    let mut back = (bobs.protector().unwrap(), alices.unprotector().unwrap());
    let clear = vec![0x80, 0, 0, 7, 0, 0, 0, 160, 1, 2, 3, 4, 0xd5, 0xd5];
    let mut packet = clear.clone();
    send.protect_rtp(&mut packet).unwrap();
    assert_eq!(packet[14..16], [0, 1], "the identifier is in the packet");
    assert_eq!(receive.unprotect_rtp(&mut packet), Ok(clear.len()));
    let mut packet = clear.clone();
    back.0.protect_rtp(&mut packet).unwrap();
    assert_eq!(back.1.unprotect_rtp(&mut packet), Ok(clear.len()));
}

#[test]
fn an_answerer_refuses_when_nothing_can_be_taken_and_says_why() {
    let mut rng = Rng::from_seed(1);
    let config = Config::default();
    let mut refusal =
        |lines: &[&str]| answer(lines.iter().copied(), &config, &mut rng).unwrap_err();
    assert_eq!(refusal(&[]), Refusal::NoLine);
    let f8 = format!("1 F8_128_HMAC_SHA1_80 inline:{}", key_text(Profile::AesF8128HmacSha1_80));
    let open = format!("{LINE} UNENCRYPTED_SRTP");
    let weak = format!("{LINE} UNAUTHENTICATED_SRTP");
    assert_eq!(
        refusal(&[&f8, &open, &weak]),
        Refusal::NoneUsable(vec![
            CryptoError::Suite("F8_128_HMAC_SHA1_80".into()),
            CryptoError::Parameter("UNENCRYPTED_SRTP".into()),
            CryptoError::Parameter("UNAUTHENTICATED_SRTP".into()),
        ])
    );
    assert_eq!(refusal(&[LINE, LINE]), Refusal::TagTwice(1));
    assert_eq!(refusal(&[LINE; 33]), Refusal::TooManyLines(32));
    // A bad line does not spoil a good one.
    assert!(answer([weak.as_str(), LINE], &config, &mut Rng::from_seed(1)).is_ok());
}

#[test]
fn unencrypted_streams_are_taken_only_where_that_is_allowed_and_are_echoed() {
    let config = Config { allow_unencrypted: true, ..Config::default() };
    let open = format!("{LINE} UNENCRYPTED_SRTCP WSH=2048");
    let agreed = answer([open.as_str()], &config, &mut Rng::from_seed(1)).unwrap();
    assert!(agreed.local.to_string().ends_with(" UNENCRYPTED_SRTCP"));
    assert_eq!((agreed.receive_policy().rtp_window, agreed.send_policy().rtp_window), (2048, 1024));
    assert!(!agreed.send_policy().encrypt_rtcp && agreed.send_policy().encrypt_rtp);
}

#[test]
fn an_answer_that_is_not_what_was_offered_fails_by_name() {
    let config = Config::default();
    let offered = offer(&config, &mut Rng::from_seed(1));
    let check = |line: &str| accept(&offered, [line], &config).map(drop).unwrap_err();
    let good = key_text(Profile::AesCm128HmacSha1_80);
    assert_eq!(check(&format!("9 AES_CM_128_HMAC_SHA1_80 inline:{good}")), Refusal::UnknownTag(9));
    assert_eq!(check(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{good}")), Refusal::OtherSuite);
    assert_eq!(
        check(&format!("4 AES_CM_128_HMAC_SHA1_80 inline:{good} UNENCRYPTED_SRTP")),
        Refusal::OtherParameters
    );
    assert_eq!(
        check(&format!("4 AES_CM_128_HMAC_SHA1_80 inline:{good} KDR=3")),
        Refusal::Answer(CryptoError::Parameter("KDR=3".into()))
    );
    assert_eq!(check(&offered[3].to_string()), Refusal::KeyReflected);
    let none: [&str; 0] = [];
    assert_eq!(accept(&offered, none, &config).unwrap_err(), Refusal::NoLine);
    let fine = format!("4 AES_CM_128_HMAC_SHA1_80 inline:{good}");
    assert!(accept(&offered, [fine.as_str()], &config).is_ok());
    let two = accept(&offered, [fine.as_str(), fine.as_str()], &config);
    assert_eq!(two.unwrap_err(), Refusal::SeveralAnswers(2));
}

#[test]
fn a_new_offer_tells_which_directions_have_new_keys() {
    let config = Config::default();
    let (mut alice, mut bob) = (Rng::from_seed(1), Rng::from_seed(2));
    let offered = offer(&config, &mut alice);
    let first = answer(strs(&lines(&offered)), &config, &mut bob).unwrap();
    let again = answer(strs(&lines(&offered)), &config, &mut bob).unwrap();
    assert_eq!(first.continues(&first), (true, true));
    assert_eq!(again.continues(&first), (false, true));
    // The new keys go into the contexts that run.
    let mut sender = first.protector().unwrap();
    sender.rekey(again.send_policy(), again.local.keys().to_vec(), Continuity::Keep).unwrap();
    let mut packet = vec![0x80, 0, 0, 7, 0, 0, 0, 160, 1, 2, 3, 4, 0xd5];
    sender.protect_rtp(&mut packet).unwrap();
    let mut old =
        crate::srtp::Unprotector::new(first.send_policy(), first.local.keys().to_vec()).unwrap();
    assert_eq!(old.unprotect_rtp(&mut packet), Err(SrtpError::AuthFailed));
}
