//! Encryption of calls: who offers what, who takes what, and what is refused by name.

use super::*;
use crate::Srtp;
use crate::media::{Security, Shield};
use tiny_media::Component;

#[cfg(feature = "dtls")]
mod dtls;

fn with(policy: Srtp) -> Config {
    Config { srtp: policy, ..Config::default() }
}

/// Carries messages until nothing moves, as changed by whoever sits between.
fn settle_through(pair: &mut Pair, change: impl Fn(&str) -> String) -> Vec<String> {
    let mut wire = Vec::new();
    loop {
        let (a, b) = (pair.alice.turn(pair.now), pair.bob.turn(pair.now));
        if a.is_empty() && b.is_empty() {
            return wire;
        }
        pair.now += Duration::from_millis(1);
        for (transmits, to) in [(a, &mut pair.bob), (b, &mut pair.alice)] {
            for t in transmits {
                let text = change(std::str::from_utf8(&t.data).unwrap());
                let flow = tiny_sak::Flow { local: t.flow.remote, remote: t.flow.local, ..t.flow };
                let data = text.clone().into_bytes().into();
                wire.push(text);
                to.core.handle(pair.now, Input::Sip(tiny_sip::Input::Datagram { flow, data }));
            }
        }
    }
}

fn as_is(text: &str) -> String {
    text.to_owned()
}

/// Replaces, keeping the length of the body.
fn swap(from: &'static str, to: &'static str) -> impl Fn(&str) -> String {
    assert_eq!(from.len(), to.len());
    move |text| text.replace(from, to)
}

/// Places a call; what the wire carries, changed on its way.
fn call_through(pair: &mut Pair, change: impl Fn(&str) -> String) -> (Call, Vec<String>) {
    let to = format!("sip:bob@{}", pair.bob.address);
    let (account, audio) = (pair.alice.account, quiet());
    let call = Box::new(PlaceCall::new(account, to, vec![], audio));
    let mut placed = pair.alice.command(pair.now, |reply| Command::Call { call, reply });
    let call = placed.now().unwrap();
    let mut wire = settle_through(pair, &change);
    if let Ok(Event::IncomingCall(incoming)) = pair.bob.events.try_recv() {
        let key = incoming.call.inner.key;
        let (headers, audio) = (vec![], quiet());
        let answer = |reply| Command::Answer { call: key, headers, audio, reply };
        pair.bob.command(pair.now, answer).now().unwrap();
        wire.extend(settle_through(pair, &change));
        // The handle must outlive the test's look at the call.
        std::mem::forget(incoming);
    }
    (call, wire)
}

fn call_between(a: Srtp, b: Srtp) -> (Pair, Call, Vec<String>) {
    let mut pair = Pair::with(with(a), with(b));
    let (call, wire) = call_through(&mut pair, as_is);
    (pair, call, wire)
}

fn security(agent: &Agent) -> Security {
    agent.notes.lock().unwrap().secured.last().expect("media runs").1.clone()
}

fn codec_srtp(call: &Call) -> Option<String> {
    match call.state() {
        CallState::Established { codec: Some(codec), .. } => codec.srtp,
        other => panic!("{other:?}"),
    }
}

/// A packet of one side is understood by the other, and is no plain RTP on the way.
fn talk(pair: &Pair) {
    let shield = |agent: &Agent| Shield::new(security(agent)).unwrap();
    let (mut a, mut b) = (shield(&pair.alice), shield(&pair.bob));
    for (from, to) in [(0, 1), (1, 0)] {
        let shields = [&mut a, &mut b];
        let clear: Vec<u8> = (0..40).map(|i| if i == 0 { 0x80 } else { i }).collect();
        let mut packet = clear.clone();
        let [x, y] = shields;
        let (sender, receiver) = if (from, to) == (0, 1) { (x, y) } else { (y, x) };
        assert!(sender.seal(Component::Rtp, &mut packet));
        assert_ne!(packet, clear);
        let len = receiver.open(Component::Rtp, &mut packet).expect("the other side's keys");
        assert_eq!(packet[..len], clear);
    }
}

fn hold(pair: &mut Pair, call: &Call, on: bool) -> Vec<String> {
    let call = call.inner.key;
    let hold = |reply| Command::Hold { call, on, headers: vec![], reply };
    let mut held = pair.alice.command(pair.now, hold);
    let wire = settle_through(pair, as_is);
    held.now().unwrap();
    wire
}

fn crypto_lines(text: &str) -> Vec<&str> {
    text.lines().filter(|l| l.starts_with("a=crypto:")).collect()
}

#[test]
fn every_pair_of_policies_ends_as_it_must() {
    use Srtp::{Off, Optional, Sdes};
    let table = [
        (Off, Off, Some(false)),
        (Off, Optional, Some(false)),
        (Off, Sdes, None),
        (Optional, Off, Some(false)),
        (Optional, Optional, Some(true)),
        (Optional, Sdes, Some(true)),
        (Sdes, Off, None),
        (Sdes, Optional, Some(true)),
        (Sdes, Sdes, Some(true)),
    ];
    for (a, b, encrypted) in table {
        let (pair, call, _) = call_between(a, b);
        match encrypted {
            Some(true) => {
                let suite = codec_srtp(&call);
                assert_eq!(suite.as_deref(), Some("sdes:AES_CM_128_HMAC_SHA1_80"), "{a} calls {b}");
                talk(&pair);
            }
            Some(false) => {
                assert_eq!(codec_srtp(&call), None, "{a} calls {b}");
                assert!(matches!(security(&pair.alice), Security::Plain));
                assert!(matches!(security(&pair.bob), Security::Plain));
            }
            None => {
                assert_eq!(end_of(&call).status, Some(488), "{a} calls {b}");
                assert!(pair.bob.notes.lock().unwrap().secured.is_empty());
            }
        }
    }
}

#[test]
fn a_refusal_tells_its_reason() {
    let (_pair, call, _) = call_between(Srtp::Sdes, Srtp::Off);
    assert_eq!(end_of(&call).reason, "encryption: encryption is switched off here");
    let (_pair, call, _) = call_between(Srtp::Off, Srtp::Sdes);
    assert_eq!(end_of(&call).reason, "encryption: encryption is demanded here");
}

#[test]
fn an_optional_offer_is_plain_rtp_with_keys_and_a_mandatory_one_is_not() {
    let (_pair, _call, wire) = call_between(Srtp::Optional, Srtp::Optional);
    let invite = wire.iter().find(|m| m.starts_with("INVITE")).unwrap();
    assert!(invite.contains(" RTP/AVP "), "RFC 8643: {invite}");
    assert_eq!(crypto_lines(invite).len(), 2);
    assert!(invite.len() < 1300, "still one datagram by UDP: {}", invite.len());
    let ok = wire.iter().find(|m| m.contains("200 OK") && m.contains("m=audio")).unwrap();
    assert_eq!(crypto_lines(ok).len(), 1, "RFC 4568 §5.1.2: exactly one");
    let (_pair, _call, wire) = call_between(Srtp::Sdes, Srtp::Optional);
    let invite = wire.iter().find(|m| m.starts_with("INVITE")).unwrap();
    assert!(invite.contains(" RTP/SAVP "), "{invite}");
}

#[test]
fn downgraded_crypto_lines_are_refused_by_name() {
    let cases = [
        (swap("a=crypto:1 AES_CM_128", "a=crypto:1 AES_256_CM"), "cannot be taken"),
        (swap("a=crypto:1 AES_CM_128_HMAC", "a=crypto:7 AES_CM_128_HMAC"), "tag 7"),
    ];
    for (change, why) in cases {
        let mut pair = Pair::with(with(Srtp::Sdes), with(Srtp::Sdes));
        let answer_only = |text: &str| {
            if text.starts_with("SIP/2.0") { change(text) } else { text.to_owned() }
        };
        let (call, wire) = call_through(&mut pair, answer_only);
        let end = end_of(&call);
        assert!(end.failed && end.reason.contains(why), "{end:?}");
        assert_eq!(end.by, Party::Local);
        let bye = wire.iter().find(|m| m.starts_with("BYE")).expect("a BYE");
        assert!(bye.contains("cause=488") && bye.contains(why), "{bye}");
        assert!(pair.alice.notes.lock().unwrap().secured.is_empty(), "no media at all");
        let error = end.error();
        assert!(matches!(&error, Error::State(text) if text.contains(why)), "{error}");
    }
}

#[test]
fn an_answer_that_lost_its_crypto_line_ends_a_call_that_demanded_one() {
    let mut pair = Pair::with(with(Srtp::Sdes), with(Srtp::Sdes));
    let lost = |text: &str| {
        if text.starts_with("SIP/2.0") { text.replace("a=crypto", "a=nocrpt") } else { as_is(text) }
    };
    let (call, _) = call_through(&mut pair, lost);
    assert!(end_of(&call).reason.contains("no crypto line"), "{:?}", end_of(&call));
    // One that merely offered goes on in the clear, as RFC 8643 has it.
    let mut pair = Pair::with(with(Srtp::Optional), with(Srtp::Optional));
    let (call, _) = call_through(&mut pair, swap("a=crypto", "a=nocrpt"));
    assert_eq!(codec_srtp(&call), None);
}

#[test]
fn unusable_lines_are_refused_where_encryption_is_demanded() {
    let mut pair = Pair::with(with(Srtp::Sdes), with(Srtp::Optional));
    let unknown = |text: &str| {
        text.replace("AEAD_AES_128_GCM", "AEAD_ROT_013_GCM")
            .replace("AES_CM_128_HMAC_SHA1_80", "ROT_13_128_HMAC_MD5__80")
    };
    let (call, _) = call_through(&mut pair, unknown);
    let end = end_of(&call);
    assert_eq!(end.status, Some(488));
    assert!(end.reason.contains("AEAD_ROT_013_GCM"), "{}", end.reason);
}

#[test]
fn hold_and_resume_keep_the_keys_on_both_sides() {
    let (mut pair, call, _) = call_between(Srtp::Sdes, Srtp::Optional);
    let Security::Sdes(first) = security(&pair.alice) else { panic!() };
    for on in [true, false] {
        let wire = hold(&mut pair, &call, on);
        let invite = wire.iter().find(|m| m.starts_with("INVITE")).unwrap();
        assert!(invite.contains(" RTP/SAVP "), "{invite}");
        let Security::Sdes(now) = security(&pair.alice) else { panic!() };
        assert_eq!(now.agreement.continues(&first.agreement), (true, true));
        assert!(!now.moved);
        talk(&pair);
    }
}

#[test]
fn a_re_invite_that_takes_encryption_back_is_refused_and_the_call_goes_on() {
    let (mut pair, call, _) = call_between(Srtp::Optional, Srtp::Optional);
    let hold = |reply| Command::Hold { call: call.inner.key, on: true, headers: vec![], reply };
    let mut held = pair.alice.command(pair.now, hold);
    settle_through(&mut pair, swap("a=crypto", "a=nocrpt"));
    let error = held.now().unwrap_err();
    assert_eq!(error.status(), Some(488));
    assert!(error.to_string().contains("cannot be taken back"), "{error}");
    assert!(codec_srtp(&call).is_some());
    talk(&pair);
}

#[test]
fn an_answer_that_takes_encryption_back_ends_the_call() {
    let (mut pair, call, _) = call_between(Srtp::Optional, Srtp::Optional);
    let hold = |reply| Command::Hold { call: call.inner.key, on: true, headers: vec![], reply };
    let mut held = pair.alice.command(pair.now, hold);
    settle_through(&mut pair, |text| {
        if text.starts_with("SIP/2.0") { text.replace("a=crypto", "a=nocrpt") } else { as_is(text) }
    });
    assert!(held.now().unwrap_err().to_string().contains("no crypto line"));
    assert!(end_of(&call).failed);
}

#[test]
fn a_worn_out_key_is_renewed_by_a_re_invite() {
    let (mut pair, call, _) = call_between(Srtp::Sdes, Srtp::Sdes);
    let Security::Sdes(first) = security(&pair.alice) else { panic!() };
    let id = *pair.alice.notes.lock().unwrap().running.keys().next().unwrap();
    let notice = MediaNotice { id, report: MediaReport::RekeyDue };
    pair.alice.core.handle(pair.now, Input::Media(notice));
    let wire = settle_through(&mut pair, as_is);
    assert!(wire.iter().any(|m| m.starts_with("INVITE") && m.contains("a=crypto")));
    let Security::Sdes(second) = security(&pair.alice) else { panic!() };
    assert!(!second.agreement.continues(&first.agreement).0, "our key is another");
    talk(&pair);
    let held = events(&call).iter().any(|e| matches!(e, CallEvent::Held { .. }));
    assert!(!held, "nobody is put on hold");
}

#[test]
fn keys_that_fail_in_the_media_plane_end_the_call_by_name() {
    let (mut pair, call, _) = call_between(Srtp::Sdes, Srtp::Sdes);
    let id = *pair.alice.notes.lock().unwrap().running.keys().next().unwrap();
    let notice = MediaNotice { id, report: MediaReport::NoKeys("the keys are unfit".into()) };
    pair.alice.core.handle(pair.now, Input::Media(notice));
    pair.settle();
    assert_eq!(end_of(&call).reason, "the keys are unfit");
}

#[test]
fn keys_are_never_shown_by_debug() {
    let (pair, _call, wire) = call_between(Srtp::Sdes, Srtp::Sdes);
    let invite = wire.iter().find(|m| m.starts_with("INVITE")).unwrap();
    let key = crypto_lines(invite)[0].split("inline:").nth(1).unwrap();
    let shown = format!("{:?}", security(&pair.alice));
    assert!(!shown.contains(key) && shown.contains("***"), "{shown}");
}
