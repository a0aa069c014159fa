//! An Identity header field, its token, and a certificate from outside.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::time::Duration;
use tiny_sip::identity::{Facts, IdentityHeader, Party, TrustAnchors, verify};

fuzz_target!(|input: (&str, &[u8])| {
    let (identity, certificate) = input;
    let _ = IdentityHeader::parse(identity);
    let _ = Party::of(identity);
    let _ = TrustAnchors::from_pem(certificate);
    let facts = Facts {
        callers: Party::of("sip:+12155551212@example.com").into_iter().collect(),
        called: Party::Number("12125551213".into()),
        date: Some(1_471_375_418),
        identity: identity.to_owned(),
        info: String::new(),
    };
    let anchors = TrustAnchors::default();
    let verdict = verify(&facts, certificate, &anchors, 1_471_375_418, Duration::from_secs(60));
    assert!(verdict.is_err(), "nobody is trusted");
});
