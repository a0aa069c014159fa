//! Offers and answers wherever RFC 3262, RFC 3311 and RFC 6337 §2.2 put them, early media (RFC 3960),
//! changes before the answer, and refusals that say why: whole agents, driven through their handles.

use super::village::{Phone, Village, end_of};
use crate::media::Security;
use crate::testkit::ServerConfig;
use crate::{
    Call, CallEvent, CallState, ChangePolicy, Config, EarlyMediaPolicy, Error, LateOfferPolicy,
    Party, Policy, RedirectPolicy, Srtp,
};
use bytes::Bytes;
use tiny_media::Direction;
use tiny_sip::Policy as Extension;

const BOB: &str = "sip:bob@192.0.2.2";

fn policy(change: impl FnOnce(&mut Policy)) -> Policy {
    let mut policy = Policy::default();
    change(&mut policy);
    policy
}

/// Alice with these settings and policies, and Bob with his.
fn two(alice: (Config, Policy), bob: (Config, Policy)) -> (Village, Phone, Phone) {
    let mut village = Village::new(21);
    let a = village.phone("alice", "192.0.2.1", "sip:alice@192.0.2.1", alice.0, |account| {
        account.policy(alice.1)
    });
    let b = village.phone("bob", "192.0.2.2", BOB, bob.0, |account| account.policy(bob.1));
    (village, a, b)
}

fn plain() -> (Config, Policy) {
    (Config::default(), Policy::default())
}

fn reliable(policy: Extension) -> Config {
    let mut config = Config::default();
    config.sip.reliable = policy;
    config
}

/// A peer whose Allow has no UPDATE.
fn without_update(data: Bytes) -> Bytes {
    let text = String::from_utf8(data.to_vec()).unwrap();
    text.replace(", UPDATE\r\n", "\r\n").replace("UPDATE, ", "").into()
}

fn events(village: &mut Village, call: &Call) -> Vec<CallEvent> {
    village.run(1);
    let mut inbox = call.inner.events.try_lock().unwrap();
    std::iter::from_fn(|| inbox.try_recv().ok()).collect()
}

fn early_media(events: &[CallEvent]) -> Vec<String> {
    let codec = |event: &CallEvent| match event {
        CallEvent::EarlyMedia { codec } => Some(codec.remote.clone()),
        _ => None,
    };
    events.iter().filter_map(codec).collect()
}

fn body(message: &str) -> &str {
    message.split_once("\r\n\r\n").unwrap().1
}

fn field<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let line = message.lines().find(|l| l.starts_with(&format!("{name}: ")))?;
    Some(&line[name.len() + 2..])
}

/// How often something is done on the wire.
fn count(ladder: &[String], what: &str) -> usize {
    ladder.iter().filter(|step| step.starts_with(what)).count()
}

#[test]
fn a_callee_is_heard_before_it_answers_and_the_stream_goes_on() {
    let (mut village, alice, mut bob) = two(plain(), plain());
    let call = village.call(&alice, BOB);
    village.run(50);
    let incoming = bob.incoming();
    village.ring_with_media(&bob, &incoming, 183).unwrap();
    village.run(50);
    assert_eq!(
        village.ladder(),
        ["INVITE alice>bob", "183 INVITE bob>alice", "PRACK alice>bob", "200 PRACK bob>alice"]
    );
    let progress = village.last("SIP/2.0 183", "INVITE");
    assert_eq!(field(&progress, "Require"), Some("100rel"));
    assert!(body(&progress).contains("m=audio"));
    let streams = (alice.media(), bob.media());
    assert_eq!((streams.0.len(), streams.1.len()), (1, 1), "sound flows both ways");
    assert_eq!(streams.0[0].direction, Direction::SendRecv);
    assert_eq!(early_media(&events(&mut village, &call)), ["192.0.2.2:20002"]);
    assert_eq!(early_media(&events(&mut village, &incoming.call)).len(), 1);
    assert!(matches!(call.state(), CallState::Dialing { ringing: false }));

    let answered = village.drive(incoming.answer_early()).unwrap();
    village.drive(call.answered()).unwrap();
    village.run(50);
    assert_eq!(village.ladder(), ["200 INVITE bob>alice", "ACK alice>bob"]);
    let ok = village.last("SIP/2.0 200", "INVITE");
    assert_eq!(body(&ok), "", "the answer was given reliably");
    let after = (alice.media(), bob.media());
    assert_eq!((after.0.len(), after.1.len()), (1, 1));
    assert_eq!((after.0[0].ssrc, after.1[0].ssrc), (streams.0[0].ssrc, streams.1[0].ssrc));
    village.drive(answered.hangup());
    village.run(40_000);
    village.assert_idle();
}

#[test]
fn without_100rel_the_description_comes_unreliably_and_the_answer_repeats_it() {
    let (mut village, alice, mut bob) = two((reliable(Extension::Off), Policy::default()), plain());
    let call = village.call(&alice, BOB);
    village.run(50);
    let incoming = bob.incoming();
    village.ring_with_media(&bob, &incoming, 180).unwrap();
    village.run(50);
    assert_eq!(village.ladder(), ["INVITE alice>bob", "180 INVITE bob>alice"]);
    assert_eq!((alice.media().len(), bob.media().len()), (1, 1));
    // Other sound, in the same stream.
    village.ring_with_media(&bob, &incoming, 183).unwrap();
    village.answer(&bob, &incoming);
    village.drive(call.answered()).unwrap();
    village.run(50);
    let ok = village.last("SIP/2.0 200", "INVITE");
    let ringing = village.last("SIP/2.0 180", "INVITE");
    assert_eq!(field(&ringing, "Require"), None);
    assert_eq!(body(&ok), body(&ringing));
    assert_eq!((alice.media().len(), bob.media().len()), (1, 1));
    assert_eq!(village.ladder(), ["183 INVITE bob>alice", "200 INVITE bob>alice", "ACK alice>bob"]);
    village.drive(call.hangup());
}

#[test]
fn early_media_that_the_policy_ignores_runs_with_the_answer() {
    let ignore = policy(|p| p.early_media = EarlyMediaPolicy::Ignore);
    let (mut village, alice, mut bob) = two((Config::default(), ignore), plain());
    let call = village.call(&alice, BOB);
    village.run(50);
    let incoming = bob.incoming();
    village.ring_with_media(&bob, &incoming, 180).unwrap();
    village.run(50);
    assert!(alice.media().is_empty() && early_media(&events(&mut village, &call)).is_empty());
    assert!(matches!(call.state(), CallState::Dialing { ringing: true }));
    village.drive(incoming.answer_early()).unwrap();
    village.drive(call.answered()).unwrap();
    assert_eq!(alice.media().len(), 1);
}

// RFC 5009 §8.
#[test]
fn a_callee_is_heard_when_the_network_lets_it() {
    let (wanted, latest) = (EarlyMediaPolicy::Authorized, EarlyMediaPolicy::Latest);
    for (early, first, heard, second, then) in [
        (wanted, None, false, Some("sendonly"), true),
        (wanted, Some("recvonly, gated"), false, Some("sendrecv, gated"), true),
        (wanted, Some("x, sendrecv"), true, None, true),
        (wanted, Some("gated"), false, None, false),
        (latest, Some("inactive"), false, Some("sendrecv"), true),
        (latest, None, true, None, true),
    ] {
        let alice = (Config::default(), policy(|p| p.early_media = early));
        let (mut village, alice, mut bob) = two(alice, plain());
        let call = village.call(&alice, BOB);
        let announced = field(&village.last("INVITE", "INVITE"), "P-Early-Media").is_some();
        assert_eq!(announced, early == wanted);
        village.run(50);
        let incoming = bob.incoming();
        let headers = |value: Option<&str>| -> Vec<(String, String)> {
            value.map(|value| ("P-Early-Media".to_owned(), value.to_owned())).into_iter().collect()
        };
        let key = incoming.call().inner.key;
        let (audio, headers_in) = (Box::new(super::village::quiet()), headers(first));
        let ring = |reply| crate::command::Command::RingWithMedia {
            call: key,
            status: 183,
            headers: headers_in,
            audio,
            reply,
        };
        village.drive(bob.shared.commands.ask(ring)).unwrap();
        village.run(50);
        assert_eq!(alice.media().len(), usize::from(heard), "{early:?} {first:?}");
        village.drive(incoming.ring_with(180, headers(second))).unwrap();
        village.run(50);
        assert_eq!(alice.media().len(), usize::from(then), "{early:?} {second:?}");
        village.drive(incoming.answer_early()).unwrap();
        village.drive(call.answered()).unwrap();
        assert_eq!(alice.media().len(), 1);
    }
}

/// Alice, whose calls to `fork` ring Bob and Carol behind a proxy.
fn forking(early: EarlyMediaPolicy, srtp: Srtp) -> (Village, [Phone; 3]) {
    let mut village = Village::new(22);
    let mut proxy = ServerConfig::new("example.com");
    for user in ["alice", "bob", "carol"] {
        proxy = proxy.user(user, "secret");
    }
    village.server("proxy", "192.0.2.9", proxy);
    village.name("example.com", &["192.0.2.9"]);
    let phones = [("alice", 1), ("bob", 2), ("carol", 3)].map(|(name, n)| {
        let aor = format!("sip:{name}@example.com");
        let config = Config { srtp, ..Config::default() };
        let phone = village.phone(name, &format!("192.0.2.{n}"), &aor, config, |account| {
            let account = account.password("secret").outbound_proxy("sip:192.0.2.9;lr");
            account.policy(policy(|p| p.early_media = early))
        });
        village.drive(phone.account.register()).unwrap();
        phone
    });
    village.ladder();
    (village, phones)
}

/// The key that a stream decrypts with, as its peer's crypto line has it.
fn remote_key(phone: &Phone) -> String {
    match &phone.keys()[..] {
        [Security::Sdes(keys)] => keys.agreement.remote.to_string(),
        other => panic!("{other:?}"),
    }
}

fn crypto(description: &str) -> &str {
    description.lines().find_map(|l| l.strip_prefix("a=crypto:")).expect("a crypto line")
}

#[test]
fn every_branch_of_a_fork_has_its_own_session_and_keys() {
    for early in [EarlyMediaPolicy::Latest, EarlyMediaPolicy::First] {
        let (mut village, [alice, mut bob, mut carol]) = forking(early, Srtp::Sdes);
        let call = village.call(&alice, "sip:fork@example.com");
        village.run(100);
        let (to_bob, to_carol) = (bob.incoming(), carol.incoming());
        village.ring_with_media(&bob, &to_bob, 183).unwrap();
        village.run(100);
        let bobs = village.last("SIP/2.0 183", "INVITE");
        assert_eq!(remote_key(&alice), crypto(&bobs));
        village.ring_with_media(&carol, &to_carol, 183).unwrap();
        village.run(100);
        let carols = village.last("SIP/2.0 183", "INVITE");
        assert_ne!(crypto(&bobs), crypto(&carols));
        let latest = early == EarlyMediaPolicy::Latest;
        let heard = if latest { &carols } else { &bobs };
        assert_eq!(remote_key(&alice), crypto(heard));
        let told = early_media(&events(&mut village, &call));
        assert_eq!(told.len(), if latest { 2 } else { 1 });
        // Each early dialog was acknowledged for itself.
        assert_eq!(count(&village.ladder(), "PRACK alice>"), 2);
        // The other one answers than the one that was heard.
        let (winner, wins, description) = match latest {
            true => (&bob, &to_bob, &bobs),
            false => (&carol, &to_carol, &carols),
        };
        village.drive(wins.answer_early()).unwrap();
        village.drive(call.answered()).unwrap();
        village.run(100);
        assert_eq!(remote_key(&alice), crypto(description));
        let there = alice.media()[0].remote_rtp.unwrap();
        assert_eq!(there.ip(), winner.at.ip());
        // Both ends have each other's keys, and the loser is told that it is over.
        let sent = match &winner.keys()[..] {
            [Security::Sdes(keys)] => keys.agreement.local.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(sent, remote_key(&alice));
        village.drive(call.hangup());
        village.run(40_000);
        village.assert_idle();
    }
}

#[test]
fn a_call_without_an_offer_is_offered_in_the_answer_and_answered_in_the_ack() {
    let (mut village, alice, mut bob) = two(plain(), plain());
    let builder = alice.account.call(BOB).late_offer();
    let call = village.place(&alice, builder);
    village.run(50);
    let incoming = bob.incoming();
    village.drive(incoming.ring()).unwrap();
    village.answer(&bob, &incoming);
    village.drive(call.answered()).unwrap();
    village.run(50);
    let (invite, ok) = (village.last("INVITE", "INVITE"), village.last("SIP/2.0 200", "INVITE"));
    let ack = village.last("ACK", "ACK");
    assert_eq!(body(&invite), "");
    assert!(body(&ok).contains("m=audio") && body(&ack).contains("m=audio"));
    assert_eq!((alice.media().len(), bob.media().len()), (1, 1));
    village.drive(call.hangup());
    village.run(40_000);
    village.assert_idle();
}

#[test]
fn a_call_without_an_offer_is_offered_reliably_and_answered_in_the_prack() {
    let (mut village, alice, mut bob) = two(plain(), plain());
    let builder = alice.account.call(BOB).late_offer();
    let call = village.place(&alice, builder);
    village.run(50);
    let incoming = bob.incoming();
    village.ring_with_media(&bob, &incoming, 180).unwrap();
    village.run(50);
    let (ringing, prack) = (village.last("SIP/2.0 180", "INVITE"), village.last("PRACK", "PRACK"));
    assert!(body(&ringing).contains("m=audio") && body(&prack).contains("m=audio"));
    assert_eq!((alice.media().len(), bob.media().len()), (1, 1));
    assert_eq!(early_media(&events(&mut village, &incoming.call)).len(), 1);
    village.drive(incoming.answer_early()).unwrap();
    village.drive(call.answered()).unwrap();
    village.run(50);
    assert_eq!(body(&village.last("SIP/2.0 200", "INVITE")), "");
    assert_eq!(body(&village.last("ACK", "ACK")), "");
    village.drive(call.hangup());
    village.run(40_000);
    village.assert_idle();
}

#[test]
fn an_answer_given_while_the_offer_is_out_waits_for_the_prack() {
    let (mut village, alice, mut bob) = two(plain(), plain());
    let builder = alice.account.call(BOB).late_offer();
    let call = village.place(&alice, builder);
    village.run(50);
    let incoming = bob.incoming();
    village.ring_with_media(&bob, &incoming, 180).unwrap();
    village.drive(incoming.answer_early()).unwrap();
    assert!(matches!(incoming.call.state(), CallState::Dialing { .. }));
    village.drive(call.answered()).unwrap();
    village.run(50);
    assert!(matches!(incoming.call.state(), CallState::Established { .. }));
    let steps = village.ladder();
    let at = |what: &str| steps.iter().position(|s| s.starts_with(what)).unwrap();
    assert!(at("PRACK") < at("200 INVITE"), "{steps:?}");
}

#[test]
fn early_media_needs_an_offer_or_100rel() {
    let (mut village, alice, mut bob) = two((reliable(Extension::Off), Policy::default()), plain());
    let builder = alice.account.call(BOB).late_offer();
    let _call = village.place(&alice, builder);
    village.run(50);
    let incoming = bob.incoming();
    let refused = village.ring_with_media(&bob, &incoming, 183);
    assert!(matches!(refused, Err(Error::State(why)) if why.contains("100rel")));
    assert_eq!(village.ladder(), ["INVITE alice>bob"]);
}

#[test]
fn an_account_may_refuse_calls_without_an_offer() {
    let refuse = policy(|p| p.late_offers = LateOfferPolicy::Refuse);
    let (mut village, alice, mut bob) = two(plain(), (Config::default(), refuse));
    let builder = alice.account.call(BOB).late_offer();
    let call = village.place(&alice, builder);
    let refused = village.drive(call.answered());
    let Err(error @ Error::Peer { status: 488, .. }) = refused else { panic!("{refused:?}") };
    let [warning] = &error.warnings()[..] else { panic!("{error:?}") };
    assert_eq!((warning.code, &*warning.text), (399, "an offer is wanted in the INVITE"));
    assert!(bob.event().is_none(), "nobody was disturbed");
    // A call with an offer is taken.
    village.connect(&alice, &mut bob, BOB);
}

#[test]
fn a_refused_offer_says_what_did_not_match() {
    let (mut village, alice, _bob) = two(plain(), plain());
    village.edit(alice.node, |data| {
        let text = String::from_utf8(data.to_vec()).unwrap();
        text.replace("m=audio", "m=image").into()
    });
    let call = village.call(&alice, BOB);
    assert!(village.drive(call.answered()).is_err());
    let end = end_of(&call);
    assert_eq!((end.status, end.by), (Some(488), Party::Remote));
    let [warning] = &end.warnings()[..] else { panic!("{end:?}") };
    assert_eq!((warning.code, warning.agent.as_str()), (304, "192.0.2.2"));
    assert!(warning.text.contains("no local media of this kind"), "{warning:?}");
}

#[test]
fn a_change_that_cannot_be_taken_says_why_and_leaves_the_call_as_it_was() {
    let (mut village, alice, mut bob) = two(plain(), plain());
    let (call, _answered) = village.connect(&alice, &mut bob, BOB);
    village.edit(alice.node, |data| {
        let text = String::from_utf8(data.to_vec()).unwrap();
        text.replace("RTP/AVP", "RTP/XYZ").into()
    });
    let refused = village.drive(call.hold());
    let Err(error @ Error::Peer { status: 488, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(error.warnings()[0].code, 302);
    let no = village.last("SIP/2.0 488", "INVITE");
    assert!(field(&no, "Warning").unwrap().starts_with("302 192.0.2.2 \""), "{no}");
    assert!(matches!(call.state(), CallState::Established { held: false, .. }));
    assert_eq!(bob.media()[0].direction, Direction::SendRecv);
}

#[test]
fn an_ambiguous_address_names_whom_it_may_mean() {
    let contacts = "\"Bob A\" <sip:bob.a@192.0.2.2>;q=0.4, <sip:bob@192.0.2.2>;q=0.9";
    let headers = vec![("Contact".to_owned(), contacts.to_owned())];
    let (mut village, alice, mut bob) = two(plain(), plain());
    let call = village.call(&alice, "sip:b@192.0.2.2");
    village.run(50);
    bob.incoming().reject_with(485, None, headers.clone()).unwrap();
    assert!(village.drive(call.answered()).is_err());
    let alternatives = end_of(&call).alternatives().unwrap();
    assert_eq!(alternatives.status, 485);
    let uris: Vec<&str> = alternatives.targets.iter().map(|t| t.uri.as_str()).collect();
    assert_eq!(uris, ["sip:bob@192.0.2.2", "sip:bob.a@192.0.2.2"]);
    assert_eq!(alternatives.targets[1].display.as_deref(), Some("Bob A"));
    assert_eq!(alternatives.targets[1].preference, 400);

    // Who wants to choose is asked.
    alice.account.set_policy(policy(|p| p.redirects = RedirectPolicy::Ask)).unwrap();
    let call = village.call(&alice, "sip:b@192.0.2.2");
    village.run(50);
    bob.incoming().reject_with(485, None, headers).unwrap();
    village.run(50);
    let asked = events(&mut village, &call);
    let Some(CallEvent::Redirected { targets, .. }) = asked.last() else { panic!("{asked:?}") };
    village.drive(call.follow_redirect(&targets[0])).unwrap();
    village.run(50);
    let incoming = bob.incoming();
    village.answer(&bob, &incoming);
    village.drive(call.answered()).unwrap();
}

#[test]
fn a_caller_holds_while_it_rings_by_update() {
    let (mut village, alice, mut bob) = two(plain(), plain());
    let call = village.call(&alice, BOB);
    village.run(50);
    let incoming = bob.incoming();
    village.ring_with_media(&bob, &incoming, 183).unwrap();
    village.run(50);
    village.ladder();
    village.drive(call.hold()).unwrap();
    assert_eq!(village.ladder(), ["UPDATE alice>bob", "200 UPDATE bob>alice"]);
    assert!(body(&village.last("UPDATE", "UPDATE")).contains("a=sendonly"));
    assert!(body(&village.last("SIP/2.0 200", "UPDATE")).contains("a=recvonly"));
    assert_eq!(alice.media()[0].direction, Direction::Inactive);
    assert_eq!(bob.media()[0].direction, Direction::RecvOnly);
    village.drive(incoming.answer_early()).unwrap();
    village.drive(call.answered()).unwrap();
    assert!(matches!(call.state(), CallState::Established { held: true, .. }));
    village.run(2000);
    village.ladder();
    village.drive(call.resume()).unwrap();
    assert_eq!(count(&village.ladder(), "INVITE alice"), 1);
    assert_eq!(bob.media()[0].direction, Direction::SendRecv);
    village.drive(call.hangup());
    village.run(40_000);
    village.assert_idle();
}

#[test]
fn a_hold_goes_with_the_prack_to_a_peer_without_update() {
    let (mut village, alice, mut bob) = two(plain(), plain());
    village.edit(bob.node, without_update);
    let call = village.call(&alice, BOB);
    village.run(50);
    let incoming = bob.incoming();
    let mut hold = Box::pin(call.hold());
    let waker = std::task::Waker::noop();
    let mut context = std::task::Context::from_waker(waker);
    assert!(hold.as_mut().poll(&mut context).is_pending());
    village.run(20);
    village.ring_with_media(&bob, &incoming, 183).unwrap();
    village.drive(hold).unwrap();
    let prack = village.last("PRACK", "PRACK");
    assert!(body(&prack).contains("a=sendonly"), "{prack}");
    assert!(body(&village.last("SIP/2.0 200", "PRACK")).contains("a=recvonly"));
    assert_eq!(bob.media()[0].direction, Direction::RecvOnly);
    village.drive(incoming.answer_early()).unwrap();
    village.drive(call.answered()).unwrap();
    let steps = village.ladder();
    assert_eq!(count(&steps, "UPDATE") + count(&steps, "PRACK"), 1, "{steps:?}");
    assert!(matches!(call.state(), CallState::Established { held: true, .. }));
}

#[test]
fn a_hold_that_cannot_go_before_the_answer_goes_after_it() {
    let (mut village, alice, mut bob) = two((reliable(Extension::Off), Policy::default()), plain());
    let call = village.call(&alice, BOB);
    village.run(50);
    let incoming = bob.incoming();
    village.drive(incoming.ring()).unwrap();
    let mut hold = Box::pin(call.hold());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(hold.as_mut().poll(&mut context).is_pending());
    village.run(100);
    assert_eq!(village.ladder(), ["INVITE alice>bob", "180 INVITE bob>alice"]);
    village.answer(&bob, &incoming);
    village.drive(hold).unwrap();
    assert_eq!(count(&village.ladder(), "INVITE alice"), 1);
    assert_eq!(bob.media()[0].direction, Direction::RecvOnly);
    // One that nobody answers says so.
    let call = village.call(&alice, "sip:bob@192.0.2.2");
    village.run(50);
    let mut hold = Box::pin(call.hold());
    assert!(hold.as_mut().poll(&mut context).is_pending());
    bob.incoming().reject(486);
    assert!(matches!(village.drive(hold), Err(Error::Ended(_))));
}

#[test]
fn a_callee_holds_while_it_rings_by_update() {
    let (mut village, alice, mut bob) = two(plain(), plain());
    let call = village.call(&alice, BOB);
    village.run(50);
    let incoming = bob.incoming();
    village.ring_with_media(&bob, &incoming, 183).unwrap();
    village.drive(incoming.call().hold()).unwrap();
    let steps = village.ladder();
    let at = |what: &str| steps.iter().position(|s| s == what).unwrap();
    assert!(at("200 PRACK bob>alice") < at("UPDATE bob>alice"), "{steps:?}");
    assert_eq!(alice.media()[0].direction, Direction::RecvOnly);
    village.drive(incoming.answer_early()).unwrap();
    village.drive(call.answered()).unwrap();
    assert!(matches!(incoming.call().state(), CallState::Established { held: true, .. }));
}

#[test]
fn a_branch_that_answers_later_is_told_of_the_hold() {
    let (mut village, [alice, mut bob, mut carol]) = forking(EarlyMediaPolicy::Latest, Srtp::Off);
    let call = village.call(&alice, "sip:fork@example.com");
    village.run(100);
    let (to_bob, to_carol) = (bob.incoming(), carol.incoming());
    village.ring_with_media(&bob, &to_bob, 183).unwrap();
    village.run(100);
    village.drive(call.hold()).unwrap();
    assert_eq!(bob.media()[0].direction, Direction::RecvOnly);
    village.answer(&carol, &to_carol);
    village.drive(call.answered()).unwrap();
    village.run(500);
    assert_eq!(carol.media()[0].direction, Direction::RecvOnly, "by re-INVITE");
    assert!(matches!(call.state(), CallState::Established { held: true, .. }));
    village.drive(call.hangup());
    village.run(40_000);
    village.assert_idle();
}

#[test]
fn a_change_in_a_branch_that_lost_does_not_end_the_call() {
    let (mut village, [alice, mut bob, mut carol]) = forking(EarlyMediaPolicy::Latest, Srtp::Off);
    let call = village.call(&alice, "sip:fork@example.com");
    village.run(100);
    let (to_bob, to_carol) = (bob.incoming(), carol.incoming());
    village.ring_with_media(&bob, &to_bob, 183).unwrap();
    village.run(100);
    let host = village.world.host(bob.node);
    village.world.network.black_hole(host);
    let mut hold = Box::pin(call.hold());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(hold.as_mut().poll(&mut context).is_pending());
    village.run(100);
    assert!(village.ladder().iter().any(|step| step.starts_with("UPDATE alice>")));
    village.answer(&carol, &to_carol);
    village.drive(call.answered()).unwrap();
    assert_eq!(carol.media()[0].direction, Direction::SendRecv);
    // The UPDATE to Bob gets no answer (64*T1); then the hold is offered to Carol.
    village.drive(hold).unwrap();
    assert_eq!(carol.media()[0].direction, Direction::RecvOnly);
    assert!(matches!(call.state(), CallState::Established { held: true, .. }));
    village.drive(call.hangup());
}

#[test]
fn an_established_call_is_held_by_update_if_the_account_says_so() {
    let update = policy(|p| p.changes = ChangePolicy::Update);
    let (mut village, alice, mut bob) = two((Config::default(), update), plain());
    let (call, answered) = village.connect(&alice, &mut bob, BOB);
    village.ladder();
    village.drive(call.hold()).unwrap();
    assert_eq!(village.ladder(), ["UPDATE alice>bob", "200 UPDATE bob>alice"]);
    assert_eq!(bob.media()[0].direction, Direction::RecvOnly);
    assert!(matches!(answered.state(), CallState::Established { held_by_peer: true, .. }));
    village.drive(call.resume()).unwrap();
    assert_eq!(bob.media()[0].direction, Direction::SendRecv);
    // A peer without it gets a re-INVITE.
    village.drive(call.hangup());
    village.edit(bob.node, without_update);
    let (call, _answered) = village.connect(&alice, &mut bob, BOB);
    village.ladder();
    village.drive(call.hold()).unwrap();
    assert_eq!(count(&village.ladder(), "INVITE alice>bob"), 1);
}

#[test]
fn updates_that_cross_and_re_invites_that_cross_both_succeed_in_the_end() {
    for way in [ChangePolicy::Reinvite, ChangePolicy::Update] {
        let both = || (Config::default(), policy(|p| p.changes = way));
        let (mut village, alice, mut bob) = two(both(), both());
        let (call, answered) = village.connect(&alice, &mut bob, BOB);
        village.ladder();
        let (mut ours, mut theirs) = (Box::pin(call.hold()), Box::pin(answered.hold()));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(ours.as_mut().poll(&mut context).is_pending());
        assert!(theirs.as_mut().poll(&mut context).is_pending());
        village.drive(ours).unwrap();
        village.drive(theirs).unwrap();
        village.run(200);
        let steps = village.ladder();
        assert_eq!(count(&steps, "491"), 2, "{steps:?}");
        for state in [call.state(), answered.state()] {
            let both = matches!(state, CallState::Established { held, held_by_peer, .. }
                if held && held_by_peer);
            assert!(both, "{way:?} {state:?}");
        }
        village.drive(call.hangup());
        village.run(40_000);
        village.assert_idle();
    }
}

#[test]
fn a_peer_that_puts_a_change_off_with_500_and_retry_after_gets_it_again() {
    let (mut village, alice, mut bob) = two(plain(), plain());
    let (call, answered) = village.connect(&alice, &mut bob, BOB);
    village.ladder();
    village.edit(bob.node, |data| {
        let text = String::from_utf8(data.to_vec()).unwrap();
        let late = "SIP/2.0 500 Busy\r\nRetry-After: 3\r\n";
        text.replace("SIP/2.0 491 Request Pending\r\n", late).into()
    });
    let (mut ours, mut theirs) = (Box::pin(call.hold()), Box::pin(answered.hold()));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(ours.as_mut().poll(&mut context).is_pending());
    assert!(theirs.as_mut().poll(&mut context).is_pending());
    let began = village.world.now();
    village.drive(theirs).unwrap();
    village.drive(ours).unwrap();
    assert_eq!(count(&village.ladder(), "500 INVITE bob>alice"), 1);
    assert!((village.world.now() - began).as_millis() > 100);
    assert!(matches!(call.state(), CallState::Established { held: true, held_by_peer: true, .. }));
}

#[test]
fn an_offer_before_the_first_is_answered_is_put_off_with_500_and_retry_after() {
    let (mut village, alice, mut bob) = two(plain(), plain());
    let call = village.call(&alice, BOB);
    village.run(50);
    let incoming = bob.incoming();
    village.drive(incoming.ring()).unwrap();
    village.run(50);
    // As a caller would that does not keep to RFC 3311 §5.1.
    let invite = village.last("INVITE", "INVITE");
    village.edit(alice.node, |data| {
        let text = String::from_utf8(data.to_vec()).unwrap();
        text.replace("INFO sip:", "UPDATE sip:").replace(" INFO\r\n", " UPDATE\r\n").into()
    });
    let update = call.request(crate::Method::Info).body("application/sdp", body(&invite));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(Box::pin(update.send()).as_mut().poll(&mut context).is_pending());
    village.run(50);
    let put_off = village.last("SIP/2.0 500", "UPDATE");
    assert!(field(&put_off, "Retry-After").unwrap().parse::<u32>().unwrap() <= 10);
    village.answer(&bob, &incoming);
    village.drive(call.answered()).unwrap();
}
