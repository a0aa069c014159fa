//! DTLS-SRTP in offers and answers: what is written, what is taken, what is refused by name.

use super::*;
use crate::media::DtlsKeys;
use tiny_net::dtls::Role;

fn keys(agent: &Agent) -> DtlsKeys {
    match security(agent) {
        Security::Dtls(keys) => *keys,
        other => panic!("{other:?}"),
    }
}

fn body<'a>(wire: &'a [String], what: &str) -> &'a str {
    wire.iter().find(|m| m.starts_with(what) && m.contains("m=audio")).expect(what)
}

fn value<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message.lines().find_map(|l| l.strip_prefix("a=")?.strip_prefix(name)?.strip_prefix(':'))
}

/// The same description for plain RTP, of the same length.
fn in_the_clear(text: &str) -> String {
    match text.contains(" UDP/TLS/RTP/SAVP ") {
        true => text
            .replace(" UDP/TLS/RTP/SAVP ", " RTP/AVP ")
            .replace("\r\ns=-\r\n", "\r\ns=-123456789\r\n")
            .replace("a=finger", "a=thumbs"),
        false => as_is(text),
    }
}

#[test]
fn an_offer_leaves_the_role_to_the_peer_and_the_answer_is_active() {
    let (pair, call, wire) = call_between(Srtp::Dtls, Srtp::Dtls);
    let invite = body(&wire, "INVITE");
    assert!(invite.contains(" UDP/TLS/RTP/SAVP "), "{invite}");
    assert_eq!(value(invite, "setup"), Some("actpass"), "RFC 8842 §5.2");
    assert_eq!(value(invite, "tls-id").map(str::len), Some(32));
    assert!(!invite.contains("a=crypto"));
    let answer = body(&wire, "SIP/2.0 200");
    assert_eq!(value(answer, "setup"), Some("active"), "RFC 8842 §5.3");
    let (a, b) = (keys(&pair.alice), keys(&pair.bob));
    assert_eq!((a.agreement.role, b.agreement.role), (Role::Passive, Role::Active));
    for (mine, theirs, message) in [(&a, &b, invite), (&b, &a, answer)] {
        let fingerprint = mine.identity.fingerprint();
        assert_eq!(theirs.agreement.fingerprints, std::slice::from_ref(&fingerprint));
        assert_eq!(value(message, "fingerprint"), Some(&*fingerprint.to_string()));
        assert!(mine.mux && message.contains("a=rtcp-mux"));
    }
    assert_ne!(value(invite, "tls-id"), value(answer, "tls-id"));
    assert_eq!(codec_srtp(&call).as_deref(), Some("dtls"));
}

#[test]
fn policies_meet_as_they_must() {
    use Srtp::{Dtls, Off, Optional, Sdes};
    let table = [
        (Dtls, Optional, Ok(())),
        (Dtls, Off, Err("encryption: encryption is switched off here")),
        (Dtls, Sdes, Err("encryption: keys in the session description are demanded here")),
        (Off, Dtls, Err("encryption: encryption by DTLS is demanded here")),
        (Optional, Dtls, Err("encryption: encryption by DTLS is demanded here")),
        (Sdes, Dtls, Err("encryption: encryption by DTLS is demanded here")),
    ];
    for (a, b, expected) in table {
        let (pair, call, _) = call_between(a, b);
        match expected {
            Ok(()) => assert_eq!(keys(&pair.bob).agreement.role, Role::Active, "{a} calls {b}"),
            Err(why) => {
                let end = end_of(&call);
                assert_eq!((end.status, &*end.reason), (Some(488), why), "{a} calls {b}");
                assert!(pair.bob.notes.lock().unwrap().secured.is_empty(), "{a} calls {b}");
            }
        }
    }
}

#[test]
fn the_feedback_profile_of_browsers_is_taken_and_answered_alike() {
    let mut pair = Pair::with(with(Srtp::Dtls), with(Srtp::Dtls));
    let profile = |text: &str| {
        let longer = text.replace(" UDP/TLS/RTP/SAVP ", " UDP/TLS/RTP/SAVPF ");
        match (text.starts_with("INVITE"), longer.len() - text.len()) {
            (true, 1) => {
                let length = text.split("Content-Length: ").nth(1).unwrap();
                let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
                longer.replace(
                    &format!("Content-Length: {length}"),
                    &format!("Content-Length: {}", length + 1),
                )
            }
            _ => text.replace(" UDP/TLS/RTP/SAVPF ", " UDP/TLS/RTP/SAVP "),
        }
    };
    let mut answered = Vec::new();
    let seen = std::cell::RefCell::new(&mut answered);
    let (_call, _) = call_through(&mut pair, |text| {
        if text.starts_with("SIP/2.0 200") && text.contains("m=audio") {
            seen.borrow_mut().push(text.to_owned());
        }
        profile(text)
    });
    assert!(answered[0].contains(" UDP/TLS/RTP/SAVPF "), "{}", answered[0]);
    assert_eq!(keys(&pair.bob).agreement.role, Role::Active);
}

#[test]
fn fingerprints_that_prove_nothing_are_refused_by_name() {
    let mut pair = Pair::with(with(Srtp::Dtls), with(Srtp::Dtls));
    let (call, _) = call_through(&mut pair, swap(":sha-256 ", ":sha-001 "));
    let end = end_of(&call);
    let why = "encryption: fingerprints by sha-001 are not accepted";
    assert_eq!((end.status, &*end.reason), (Some(488), why));

    let mut pair = Pair::with(with(Srtp::Dtls), with(Srtp::Dtls));
    let none = swap("a=fingerprint", "a=fingerpaint");
    let (call, _) = call_through(&mut pair, none);
    let end = end_of(&call);
    assert_eq!((end.status, &*end.reason), (Some(488), "encryption: no certificate fingerprint"));
}

#[test]
fn an_answer_without_a_fingerprint_ends_the_call_by_name() {
    let mut pair = Pair::with(with(Srtp::Dtls), with(Srtp::Dtls));
    let lost = |text: &str| {
        if text.starts_with("SIP/2.0") { text.replace("a=finger", "a=thumbs") } else { as_is(text) }
    };
    let (call, wire) = call_through(&mut pair, lost);
    let end = end_of(&call);
    assert!(end.failed && end.reason.contains("fingerprint"), "{end:?}");
    assert!(wire.iter().any(|m| m.starts_with("BYE")));
    assert!(pair.alice.notes.lock().unwrap().secured.is_empty(), "no media at all");
}

#[test]
fn an_answer_that_drops_dtls_ends_the_call() {
    let mut pair = Pair::with(with(Srtp::Dtls), with(Srtp::Dtls));
    let (call, _) = call_through(&mut pair, |text| {
        if text.starts_with("SIP/2.0") { in_the_clear(text) } else { as_is(text) }
    });
    assert!(end_of(&call).failed, "{:?}", end_of(&call));
    assert!(pair.alice.notes.lock().unwrap().secured.is_empty(), "no media at all");
}

#[test]
fn hold_and_resume_keep_the_association_and_its_roles() {
    let (mut pair, call, wire) = call_between(Srtp::Dtls, Srtp::Optional);
    let (a, b) = (keys(&pair.alice), keys(&pair.bob));
    let name = value(body(&wire, "INVITE"), "tls-id");
    for on in [true, false] {
        let wire = hold(&mut pair, &call, on);
        let invite = body(&wire, "INVITE");
        assert!(invite.contains(" UDP/TLS/RTP/SAVP "), "{invite}");
        assert_eq!(value(invite, "tls-id"), name);
        assert_eq!(keys(&pair.alice).agreement, a.agreement);
        assert_eq!(keys(&pair.bob).agreement, b.agreement);
    }
}

#[test]
fn a_re_invite_with_another_certificate_asks_for_another_association() {
    let (mut pair, call, _) = call_between(Srtp::Dtls, Srtp::Dtls);
    let (a, b) = (keys(&pair.alice), keys(&pair.bob));
    let hold = |reply| Command::Hold { call: call.inner.key, on: true, headers: vec![], reply };
    let mut held = pair.alice.command(pair.now, hold);
    let known = a.identity.fingerprint().to_string();
    let other = tiny_net::dtls::Identity::generate().unwrap().fingerprint();
    let shown = other.to_string();
    settle_through(&mut pair, |text| text.replace(&known, &shown));
    held.now().unwrap();
    let now = keys(&pair.bob).agreement;
    assert_eq!((now.number, now.fingerprints), (b.agreement.number + 1, vec![other]));
}

#[test]
fn a_re_invite_that_takes_dtls_back_is_refused_and_the_call_goes_on() {
    let (mut pair, call, _) = call_between(Srtp::Dtls, Srtp::Optional);
    let before = keys(&pair.bob).agreement;
    let hold = |reply| Command::Hold { call: call.inner.key, on: true, headers: vec![], reply };
    let mut held = pair.alice.command(pair.now, hold);
    settle_through(&mut pair, in_the_clear);
    let error = held.now().unwrap_err();
    assert_eq!(error.status(), Some(488));
    assert!(error.to_string().contains("cannot be taken back"), "{error}");
    assert_eq!(keys(&pair.bob).agreement, before);
}

#[test]
fn a_handshake_that_fails_ends_the_call_with_its_reason() {
    let (mut pair, call, _) = call_between(Srtp::Dtls, Srtp::Dtls);
    let id = *pair.alice.notes.lock().unwrap().running.keys().next().unwrap();
    let why = "DTLS: the peer's certificate does not match its fingerprint";
    let notice = MediaNotice { id, report: MediaReport::NoKeys(why.into()) };
    pair.alice.core.handle(pair.now, Input::Media(notice));
    pair.settle();
    assert_eq!(end_of(&call).reason, why);
}

#[test]
fn the_configured_certificate_is_the_one_that_is_announced() {
    let identity = tiny_net::dtls::Identity::generate().unwrap();
    let config = Config { dtls_identity: Some(identity.clone()), ..with(Srtp::Dtls) };
    let mut pair = Pair::with(config, with(Srtp::Dtls));
    let (_call, wire) = call_through(&mut pair, as_is);
    let announced = value(body(&wire, "INVITE"), "fingerprint").unwrap();
    assert_eq!(announced, identity.fingerprint().to_string());
}

#[test]
fn an_anonymous_call_shows_a_certificate_of_its_own() {
    let mut pair = Pair::with(with(Srtp::Dtls), with(Srtp::Dtls));
    let mut shown = Vec::new();
    for headers in [vec![], vec![("Privacy".to_owned(), "id".to_owned())], vec![]] {
        let to = format!("sip:bob@{}", pair.bob.address);
        let call = Box::new(PlaceCall::new(pair.alice.account, to, headers, quiet()));
        let mut placed = pair.alice.command(pair.now, |reply| Command::Call { call, reply });
        let wire = settle_through(&mut pair, as_is);
        shown.push(value(body(&wire, "INVITE"), "fingerprint").unwrap().to_owned());
        std::mem::forget(placed.now().unwrap());
    }
    assert_ne!(shown[0], shown[1]);
    assert_eq!(shown[0], shown[2]);
}
