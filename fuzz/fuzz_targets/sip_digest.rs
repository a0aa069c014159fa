//! A challenge is answered and the answer checked; credentials from outside are only checked.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tiny_sip::digest::{Algorithm, Answer, Challenge, Credentials, Ha1, Session, Verdict, verify};
use tiny_sip::header::unquote;

fuzz_target!(|text: &str| {
    let password = "secret".into();
    if let Ok(credentials) = Credentials::parse(text) {
        let ha1 = Ha1::new(Algorithm::Md5, "u", "r", &password);
        let _ = verify(&credentials, Algorithm::Md5, &ha1, "INVITE", b"");
    }
    let Ok(challenge) = Challenge::parse(text) else { return };
    let Some(mut session) = Session::new(&challenge) else { return };
    let answer = Answer {
        username: "u",
        password: &password,
        method: "INVITE",
        uri: "sip:a",
        body: b"body",
        cnonce: "c",
    };
    let value = session.authorize(&answer);
    let credentials = Credentials::parse(&value).expect("our own credentials parse");
    let ha1 = Ha1::new(session.algorithm(), "u", session.realm(), &password);
    // A realm with control characters is quoted without them and cannot come back the same.
    if unquote(credentials.realm().unwrap_or_default()) == session.realm() {
        let verdict = verify(&credentials, session.algorithm(), &ha1, "INVITE", b"body");
        assert_eq!(verdict, Verdict::Right);
    }
});
