//! Fingerprints, certificates, and the pieces of messages.

use super::super::certificate::PublicKey;
use super::super::inbox::{Inbox, Piece, Taken};
use super::*;

#[test]
fn fingerprints_are_read_in_either_case_and_printed_as_rfc_8122_has_them() {
    let identity = Identity::generate().unwrap();
    for hash in [Hash::Sha256, Hash::Sha384, Hash::Sha512] {
        let fingerprint = Fingerprint::of(hash, identity.certificate());
        let text = fingerprint.to_string();
        assert!(text.starts_with(hash.name()));
        assert_eq!(Fingerprint::parse(&text), Ok(fingerprint.clone()));
        assert_eq!(Fingerprint::parse(&text.to_lowercase()), Ok(fingerprint.clone()));
        assert_eq!(Fingerprint::parse(&text.to_uppercase()), Ok(fingerprint));
    }
}

#[test]
fn fingerprints_by_broken_hash_functions_are_refused_by_name() {
    for name in ["sha-1", "SHA-1", "md5", "md2", "sha-224"] {
        let value = format!("{name} {}", ["AB"; 20].join(":"));
        let refused = Fingerprint::parse(&value).unwrap_err();
        assert_eq!(refused, FingerprintError::Hash(name.into()));
    }
    let short = format!("sha-256 {}", ["AB"; 31].join(":"));
    let long = format!("sha-256 {}", ["AB"; 33].join(":"));
    let signed = format!("sha-256 {}", ["+A"; 32].join(":"));
    for value in [&*short, &long, &signed, "sha-256", "", "sha-256 ", "sha-256 é"] {
        assert_eq!(Fingerprint::parse(value), Err(FingerprintError::Malformed), "{value}");
    }
}

#[test]
fn the_certificate_that_we_make_holds_our_key_and_carries_its_signature() {
    let identity = Identity::generate().unwrap();
    let key = PublicKey::of(identity.certificate()).unwrap();
    assert!(matches!(key, PublicKey::P256(point) if point.len() == 65));
    let signed = identity.sign(b"message").unwrap();
    assert_eq!(key.verify(0x0403, b"message", &signed), Ok(()));
    assert_eq!(key.verify(0x0403, b"massage", &signed), Err(Error::Signature));
    assert_eq!(key.verify(0x0401, b"message", &signed), Err(Error::Signature));
}

#[test]
fn certificates_of_rcgen_are_read_too() {
    let algorithms = [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384];
    for algorithm in algorithms {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let params = rcgen::CertificateParams::new(vec!["example.com".into()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let read = PublicKey::of(certificate.der()).unwrap();
        let p384 = matches!(read, PublicKey::P384(_));
        assert_eq!(p384, std::ptr::eq(algorithm, &rcgen::PKCS_ECDSA_P384_SHA384));
    }
}

proptest! {
    #[test]
    fn reading_certificates_and_fingerprints_never_panics(
        noise in prop::collection::vec(any::<u8>(), 0..200),
        text in "\\PC{0,120}",
        cut in any::<prop::sample::Index>(),
        with in any::<u8>(),
    ) {
        let _ = PublicKey::of(&noise);
        let _ = Fingerprint::parse(&text);
        let mut certificate = Identity::generate().unwrap().certificate().to_vec();
        let at = cut.index(certificate.len());
        certificate[at] = with;
        let _ = PublicKey::of(&certificate);
        certificate.truncate(at);
        let _ = PublicKey::of(&certificate);
    }

    #[test]
    fn pieces_in_any_order_and_overlap_make_the_message(
        body in prop::collection::vec(any::<u8>(), 1..400),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 1usize..150), 0..12),
    ) {
        let mut inbox = Inbox::default();
        let config = Config::default();
        let whole = (0, body.len());
        let ranges = cuts.iter().map(|(at, length)| {
            let at = at.index(body.len());
            (at, (*length).min(body.len() - at))
        });
        for (offset, length) in ranges.chain([whole]) {
            let mut raw = vec![11];
            raw.extend_from_slice(&(body.len() as u32).to_be_bytes()[1..]);
            raw.extend_from_slice(&[0, 0]);
            raw.extend_from_slice(&(offset as u32).to_be_bytes()[1..]);
            raw.extend_from_slice(&(length as u32).to_be_bytes()[1..]);
            raw.extend_from_slice(&body[offset..offset + length]);
            let piece = Piece::split(&mut raw.as_slice()).unwrap();
            if let Some(message) = inbox.next() {
                prop_assert_eq!(message.body(), &body[..]);
                return Ok(());
            }
            prop_assert!(inbox.take(piece, &config).unwrap() == Taken::Kept);
        }
        let message = inbox.next().unwrap();
        prop_assert_eq!(message.body(), &body[..]);
    }
}
