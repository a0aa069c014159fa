use super::*;
use crate::base64::{Alphabet, encode};
use crate::message::{Limits, Message};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, IsCa, KeyPair,
    KeyUsagePurpose,
};
use std::time::Duration;
use tiny_sak::Secret;

const NOW: i64 = 1_471_375_418;
const X5U: &str = "https://cert.example.org/passport.cer";
const AGE: Duration = Duration::from_secs(60);

/// The key of RFC 8225 appendix A.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgi7q2TZvN9VDFg8Vy\n\
    qCP06bETrR2v8MRvr89rn4i+UAahRANCAAQWfaj1HUETpoNCrOtp9KA8o0V79IuW\n\
    ARKt9C1cFPkyd3FBP4SeiNZxQhDrD0tdBHls3/wFe8++K2FrPyQF9vuh\n\
    -----END PRIVATE KEY-----\n";

fn number(text: &str) -> Party {
    Party::Number(text.into())
}

fn base(dest: Party) -> Passport {
    let (orig, dest) = (number("12155551212"), vec![dest]);
    Passport { orig, dest, iat: NOW, attest: None, origid: None, x5u: X5U.into() }
}

#[test]
fn the_example_of_rfc8225_appendix_a_is_printed_to_the_letter() {
    let input = base(Party::Uri("sip:alice@example.com".into())).signing_input();
    assert_eq!(
        input,
        "eyJhbGciOiJFUzI1NiIsInR5cCI6InBhc3Nwb3J0IiwieDV1IjoiaHR0cHM6Ly9j\
         ZXJ0LmV4YW1wbGUub3JnL3Bhc3Nwb3J0LmNlciJ9.\
         eyJkZXN0Ijp7InVyaSI6WyJzaXA6YWxpY2VAZXhhbXBsZS5jb20iXX0sImlhdCI\
         6MTQ3MTM3NTQxOCwib3JpZyI6eyJ0biI6IjEyMTU1NTUxMjEyIn19"
    );
    // The signature is deterministic (RFC 6979): the same key gives the same one.
    let signer = Signer::new(&Secret::from(KEY), X5U).unwrap();
    let sign = || signer.sign(number("12155551212"), vec![number("1")], NOW);
    assert_eq!(sign(), sign());
}

#[test]
fn the_example_of_rfc8588_is_printed_with_sorted_claims() {
    let passport = Passport {
        attest: Some(Attestation::Full),
        origid: Some("123e4567-e89b-12d3-a456-426655440000".into()),
        iat: 1_443_208_345,
        orig: number("12155550121"),
        ..base(number("12155550131"))
    };
    assert_eq!(
        passport.header_json(),
        r#"{"alg":"ES256","ppt":"shaken","typ":"passport","x5u":"https://cert.example.org/passport.cer"}"#
    );
    assert_eq!(
        passport.payload_json(),
        r#"{"attest":"A","dest":{"tn":["12155550131"]},"iat":1443208345,"orig":{"tn":"12155550121"},"origid":"123e4567-e89b-12d3-a456-426655440000"}"#
    );
    let input = passport.signing_input();
    let (header, payload) = input.split_once('.').unwrap();
    assert_eq!(Passport::parse(header, payload), Ok(passport));
}

#[test]
fn parties_take_their_canonical_form() {
    for (uri, party) in [
        ("tel:+1-215-555-1212", number("12155551212")),
        ("tel:12155551212;phone-context=+1", number("12155551212")),
        ("sip:+12155551212@gw.example.com", number("12155551212")),
        ("sip:(215)555.1212@gw.example.com;user=phone", number("2155551212")),
        ("sip:alice@EXAMPLE.com:5070;transport=tcp", Party::Uri("sip:alice@example.com".into())),
        ("sips:1000@pbx.example.com", Party::Uri("sips:1000@pbx.example.com".into())),
    ] {
        assert_eq!(Party::of(uri), Some(party), "{uri}");
    }
    assert_eq!(Party::of("mailto:a@b"), None);
}

#[test]
fn header_fields_are_read_in_both_forms_and_bad_ones_refused() {
    let full = IdentityHeader::parse("aa.bb.cc;info=<https://x/y?a;b>;alg=ES256;ppt=\"shaken\"");
    let full = full.unwrap();
    assert_eq!((full.parts, full.signature), (Some(("aa", "bb")), "cc"));
    assert_eq!((full.info, full.alg, full.ppt), ("https://x/y?a;b", Some("ES256"), Some("shaken")));
    let compact = IdentityHeader::parse("..cc ; info=<https://x>").unwrap();
    assert_eq!((compact.parts, compact.signature), (None, "cc"));
    assert!(!IdentityHeader::parse("..c;info=<x>;ppt=rph").unwrap().is_known());
    for bad in [
        "",
        "a.b",
        "a.b.c",
        "a.b.c.d;info=<x>",
        ".b.c;info=<x>",
        "a.b.;info=<x>",
        "..c;info=<x",
        "..c;info",
        "..c;info=<x> y",
    ] {
        assert!(IdentityHeader::parse(bad).is_err(), "{bad}");
    }
}

/// A root, and a leaf whose TNAuthList has these entries (DER).
struct Authorities {
    root: String,
    leaf: String,
    key: Secret,
}

fn authorities(entries: &[&[u8]]) -> Authorities {
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    ca.not_before = rcgen::date_time_ymd(2016, 1, 1);
    ca.not_after = rcgen::date_time_ymd(2026, 1, 1);
    let root = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let mut params = CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(2016, 1, 1);
    params.not_after = rcgen::date_time_ymd(2017, 1, 1);
    if !entries.is_empty() {
        let list = entries.concat();
        let mut der = vec![0x30, list.len() as u8];
        der.extend(list);
        let oid = &[1, 3, 6, 1, 5, 5, 7, 1, 26];
        params.custom_extensions = vec![CustomExtension::from_oid_content(oid, der)];
    }
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, &root).unwrap();
    Authorities { root: root.pem(), leaf: leaf.pem(), key: Secret::from(key.serialize_pem()) }
}

/// SPC "1234".
const PROVIDER: &[u8] = &[0xa0, 6, 0x16, 4, b'1', b'2', b'3', b'4'];
/// The number 12155551212.
const ONE: &[u8] =
    &[0xa2, 13, 0x16, 11, b'1', b'2', b'1', b'5', b'5', b'5', b'5', b'1', b'2', b'1', b'2'];
/// 100 numbers from 200 on.
const RANGE: &[u8] = &[0xa1, 10, 0x30, 8, 0x16, 3, b'2', b'0', b'0', 2, 1, 100];

fn invite(from: &str, to: &str, identity: &str, extra: &str) -> Message {
    let identity =
        if identity.is_empty() { String::new() } else { format!("Identity: {identity}\r\n") };
    let text = format!(
        "INVITE {to} SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <{from}>;tag=a\r\n\
         To: <{to}>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n{identity}{extra}Content-Length: 0\r\n\r\n"
    );
    Message::parse(text.into(), &Limits::default()).unwrap()
}

const FROM: &str = "sip:+12155551212@example.com";
const TO: &str = "sip:+12125551213@example.com";

fn check(message: &Message, of: &Authorities, now: i64) -> Result<VerifiedCaller, IdentityError> {
    let facts = Facts::of(message)?;
    assert_eq!(facts.info, X5U);
    let anchors = TrustAnchors::from_pem(of.root.as_bytes()).unwrap();
    verify(&facts, of.leaf.as_bytes(), &anchors, now, AGE)
}

fn shaken(of: &Authorities) -> String {
    let signer = Signer::new(&of.key, X5U).unwrap().shaken(Attestation::Full, "o-1").unwrap();
    signer.sign(Party::of(FROM).unwrap(), vec![Party::of(TO).unwrap()], NOW)
}

#[test]
fn a_shaken_call_is_verified_with_its_attestation() {
    let of = authorities(&[PROVIDER]);
    let caller = check(&invite(FROM, TO, &shaken(&of), ""), &of, NOW + 30).unwrap();
    assert_eq!(caller.orig, number("12155551212"));
    assert_eq!((caller.attest, caller.origid.as_deref()), (Some(Attestation::Full), Some("o-1")));
    assert_eq!(caller.authority, Authority::Provider("1234".into()));
    // The number may stand in P-Asserted-Identity instead.
    let asserted = format!("P-Asserted-Identity: <{FROM}>\r\n");
    let message = invite("sip:anonymous@anonymous.invalid", TO, &shaken(&of), &asserted);
    assert!(check(&message, &of, NOW).is_ok());
}

#[test]
fn a_compact_identity_is_made_again_from_the_request() {
    let of = authorities(&[ONE]);
    let signer = Signer::new(&of.key, X5U).unwrap().form(Form::Compact).unwrap();
    let identity = signer.sign(Party::of(FROM).unwrap(), vec![Party::of(TO).unwrap()], NOW);
    assert!(identity.starts_with(".."));
    let date = format!("Date: {}\r\n", crate::header::Date::from_unix(NOW));
    let caller = check(&invite(FROM, TO, &identity, &date), &of, NOW).unwrap();
    assert_eq!((caller.attest, caller.authority), (None, Authority::Number("12155551212".into())));
    let without = check(&invite(FROM, TO, &identity, ""), &of, NOW).unwrap_err();
    assert!(matches!(without, IdentityError::Malformed(_)), "{without}");
    // Another second is another token.
    let later = format!("Date: {}\r\n", crate::header::Date::from_unix(NOW + 1));
    let other = check(&invite(FROM, TO, &identity, &later), &of, NOW).unwrap_err();
    assert_eq!(other, IdentityError::Signature);
    assert_eq!(signer.shaken(Attestation::Full, "x").unwrap_err(), SignerError::Compact);
}

#[test]
fn every_fault_has_its_status() {
    let of = authorities(&[PROVIDER]);
    let good = shaken(&of);
    let status = |message: &Message, of: &Authorities, now: i64| {
        check(message, of, now).unwrap_err().status().0
    };
    assert_eq!(status(&invite(FROM, TO, "", ""), &of, NOW), 428);
    assert_eq!(status(&invite(FROM, TO, "a.b.c;info=<x>;ppt=div", ""), &of, NOW), 428);
    assert_eq!(status(&invite(FROM, TO, "a.b.c", ""), &of, NOW), 438);
    for now in [NOW + 61, NOW - 61] {
        assert_eq!(status(&invite(FROM, TO, &good, ""), &of, now), 403);
    }
    // Replayed towards somebody else, or by somebody else.
    assert_eq!(status(&invite(FROM, "sip:+19@example.com", &good, ""), &of, NOW), 438);
    assert_eq!(status(&invite("sip:+19@example.com", TO, &good, ""), &of, NOW), 438);
    // One letter of the signature changed.
    let at = good.find(';').unwrap() - 10;
    let letter = if &good[at..=at] == "A" { "B" } else { "A" };
    let forged = format!("{}{letter}{}", &good[..at], &good[at + 1..]);
    assert_eq!(status(&invite(FROM, TO, &forged, ""), &of, NOW), 438);
    // Somebody else's root; an expired leaf; a leaf without authority, or with that of others.
    let stranger = authorities(&[PROVIDER]);
    let mixed = Authorities { root: stranger.root, ..authorities(&[PROVIDER]) };
    assert_eq!(status(&invite(FROM, TO, &shaken(&mixed), ""), &mixed, NOW), 437);
    let signer = Signer::new(&of.key, X5U).unwrap();
    let parties = || (Party::of(FROM).unwrap(), vec![Party::of(TO).unwrap()]);
    let (orig, dest) = parties();
    let late = NOW + 400 * 86_400;
    assert_eq!(status(&invite(FROM, TO, &signer.sign(orig, dest, late), ""), &of, late), 437);
    for entries in [&[][..], &[RANGE][..]] {
        let of = authorities(entries);
        assert_eq!(status(&invite(FROM, TO, &shaken(&of), ""), &of, NOW), 437);
    }
    assert_eq!(IdentityError::NoCertificate.status().0, 436);
}

#[test]
fn ranges_cover_their_numbers() {
    let range = Authority::Range { first: "200".into(), count: 100 };
    assert!(range.covers("200") && range.covers("299"));
    assert!(!range.covers("199") && !range.covers("300") && !range.covers("0250"));
}

#[test]
fn keys_are_not_shown_and_bad_ones_refused() {
    let signer = Signer::new(&Secret::from(KEY), X5U).unwrap();
    assert_eq!(format!("{signer:?}"), format!("Signer {{ x5u: {X5U:?}, .. }}"));
    assert_eq!(Signer::new(&Secret::from("x"), X5U).unwrap_err(), SignerError::Key);
    for bad in ["", "ftp://x", "https://x/>;y"] {
        assert_eq!(Signer::new(&Secret::from(KEY), bad).unwrap_err(), SignerError::Certificate);
    }
}

proptest::proptest! {
    #[test]
    fn nothing_from_outside_panics(
        line in ".{0,200}",
        header in ".{0,80}",
        payload in ".{0,160}",
        der in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
    ) {
        let _ = IdentityHeader::parse(&line);
        let url = |text: &str| encode(Alphabet::Url, text.as_bytes());
        let _ = Passport::parse(&url(&header), &url(&payload));
        let _ = TrustAnchors::from_pem(&der);
        let facts = Facts {
            callers: vec![],
            called: number("1"),
            date: Some(NOW),
            identity: line,
            info: X5U.into(),
        };
        let _ = verify(&facts, &der, &TrustAnchors::default(), NOW, AGE);
    }
}
