//! One name for a session, end to end (RFC 7989): on every message, through redirections, forks,
//! transfers and replacements.

use super::village::{Phone, Village, end_of, label};
use crate::header::SessionId;
use crate::testkit::ServerConfig;
use crate::{Call, Config, Method, SipMessage};
use tiny_sip::Policy as Extension;

const BOB: &str = "sip:bob@192.0.2.2";
const CAROL: &str = "sip:carol@192.0.2.3";

fn phone(village: &mut Village, name: &'static str, n: u8, change: fn(&mut Config)) -> Phone {
    let mut config = Config::default();
    config.sip.show_received = true;
    change(&mut config);
    let ip = format!("192.0.2.{n}");
    village.phone(name, &ip, &format!("sip:{name}@{ip}"), config, |account| account)
}

fn three(change: fn(&mut Config)) -> (Village, [Phone; 3]) {
    let mut village = Village::new(3);
    let phones = [("alice", 1), ("bob", 2), ("carol", 3)];
    let phones = phones.map(|(name, n)| phone(&mut village, name, n, change));
    (village, phones)
}

fn id(message: &SipMessage) -> SessionId {
    let id = message.session_id();
    id.unwrap_or_else(|| panic!("{} names no session", label(message))).unwrap()
}

#[test]
fn every_message_of_a_call_names_its_session_from_its_sender_s_side() {
    let (mut village, [mut alice, mut bob, _]) = three(|c| c.sip.reliable = Extension::Required);
    let call = village.call(&alice, BOB);
    village.run(300);
    let incoming = bob.incoming();
    let first = id(incoming.request());
    assert_eq!(first.remote, 0, "nobody is known yet");
    // RFC 9562: random, of version 4.
    assert_eq!((first.local >> 76 & 0xf, first.local >> 62 & 3), (4, 2));
    village.drive(incoming.ring()).unwrap();
    village.run(100);
    let answered = village.answer(&bob, &incoming);
    village.drive(call.answered()).unwrap();
    village.run(500);
    village.drive(call.hold()).unwrap();
    village.drive(answered.hold()).unwrap();
    village.drive(answered.request(Method::Options).send()).unwrap();
    let both = village.drive(call.session_id()).unwrap().unwrap();
    assert_eq!(both.local, first.local);
    assert_eq!(village.drive(answered.session_id()).unwrap().unwrap(), both.reversed());
    village.drive(answered.hangup());
    village.run(500);
    let at_alice = alice.received(&[&call]);
    let at_bob = bob.received(&[&answered]);
    assert!(at_alice.iter().any(|m| label(m) == "100 INVITE"));
    assert!(at_bob.iter().any(|m| label(m) == "PRACK"));
    assert!(at_bob.iter().any(|m| label(m) == "200 BYE"));
    at_alice.iter().for_each(|m| assert_eq!(id(m), both.reversed(), "{}", label(m)));
    at_bob.iter().for_each(|m| assert_eq!(id(m), both, "{}", label(m)));
    assert!(village.drive(call.session_id()).is_err(), "the call is over");
}

// §6: "the Session-ID header field value MUST be identical to the … original INVITE".
#[test]
fn a_cancel_says_what_its_invite_said_and_the_ack_of_a_refusal_names_both() {
    let (mut village, [mut alice, mut bob, _]) = three(|_| ());
    let call = village.call(&alice, BOB);
    village.run(100);
    let incoming = bob.incoming();
    village.drive(incoming.ring()).unwrap();
    village.run(100);
    village.drive(call.hangup());
    village.run(100);
    let at_bob = bob.received(&[incoming.call()]);
    let of = |what: &str| id(at_bob.iter().find(|m| label(m) == what).unwrap());
    assert_eq!(of("CANCEL"), id(incoming.request()));
    let refusal = end_of(&call).message.unwrap();
    assert_eq!((label(&refusal), id(&refusal)), ("487 INVITE".into(), of("ACK").reversed()));
    assert_ne!(of("ACK").remote, 0);
    let at_alice = alice.received(&[&call]);
    let ok = at_alice.iter().find(|m| label(m) == "200 CANCEL").unwrap();
    assert_eq!(id(ok), of("ACK").reversed());
}

#[test]
fn a_redirected_call_keeps_its_half_and_forgets_the_peer_s() {
    let (mut village, [alice, mut bob, mut carol]) = three(|_| ());
    let _call = village.call(&alice, BOB);
    village.run(100);
    let incoming = bob.incoming();
    let first = id(incoming.request());
    village.drive(incoming.ring()).unwrap();
    incoming.redirect(&[CAROL]).unwrap();
    village.run(100);
    assert_eq!(id(carol.incoming().request()), first);
    assert_eq!(first.remote, 0);
}

#[test]
fn each_branch_of_a_fork_is_addressed_by_its_own_half() {
    let mut village = Village::new(3);
    let config = ServerConfig::new("example.com").user("bob", "secret");
    village.server("proxy", "192.0.2.9", config);
    village.name("example.com", &["192.0.2.9"]);
    let mut alice = phone(&mut village, "alice", 1, |_| ());
    let mut at = |name, n: u8| {
        let mut config = Config::default();
        config.sip.show_received = true;
        config.sip.reliable = Extension::Required;
        let phone = village.phone(
            name,
            &format!("192.0.2.{n}"),
            "sip:bob@example.com",
            config,
            |account| account.password("secret"),
        );
        village.drive(phone.account.register()).unwrap();
        phone
    };
    let mut phones = [at("desk", 2), at("mobile", 3)];
    let call = village.call(&alice, "sip:bob@example.com");
    village.run(300);
    let halves = phones.each_mut().map(|phone| {
        let incoming = phone.incoming();
        village.drive(incoming.ring()).unwrap();
        village.run(200);
        let own = village.drive(incoming.call().session_id()).unwrap().unwrap();
        let pracks = phone.received(&[incoming.call()]);
        let prack = pracks.iter().find(|m| label(m) == "PRACK").unwrap();
        assert_eq!(id(prack), own.reversed());
        drop(incoming);
        own.local
    });
    assert_ne!(halves[0], halves[1]);
    let ringing = alice.received(&[&call]);
    let ringing = ringing.iter().filter(|m| label(m) == "180 INVITE").map(|m| id(m).local);
    let mut ringing: Vec<_> = ringing.collect();
    ringing.dedup();
    assert_eq!(ringing, halves);
}

// §6: "a session is transferred via a REFER message, or … replaced via an INVITE with Replaces".
#[test]
fn transfers_and_replacements_keep_the_half_of_who_stays() {
    let (mut village, [alice, mut bob, mut carol]) = three(|_| ());
    let (call, old) = village.connect(&alice, &mut bob, BOB);
    let half = |village: &mut Village, call: &Call| {
        village.drive(call.session_id()).unwrap().unwrap().local
    };
    let before = half(&mut village, &old);
    let _transfer = village.drive(call.transfer_to(CAROL).into_future()).unwrap();
    village.run(100);
    let incoming = carol.incoming();
    let new = id(incoming.request());
    assert_eq!((new.local, new.remote), (before, 0), "the peer is another one now");
    let with_carol = village.answer(&carol, &incoming);
    village.run(200);
    let (_, moved) = bob.continued();
    assert_eq!(half(&mut village, &moved), before);

    // Alice takes Bob's place in the call with Carol.
    let carols = half(&mut village, &with_carol);
    let uri = village.drive(with_carol.replaces_uri()).unwrap();
    let builder = alice.account.call(uri);
    let pickup = village.call_with(&alice, &builder.to.clone(), builder.headers);
    village.run(300);
    let (_, replaced) = bob.continued();
    assert_eq!(half(&mut village, &replaced), before);
    let alices = village.drive(pickup.session_id()).unwrap().unwrap();
    assert_eq!(alices.remote, before);
    assert_ne!(alices.local, carols);
}

// §8.
#[test]
fn a_new_half_of_the_peer_s_holds_where_its_request_is_accepted_and_else_not() {
    let (mut village, [mut alice, mut bob, _]) = three(|_| ());
    let (call, answered) = village.connect(&alice, &mut bob, BOB);
    let own = village.drive(answered.session_id()).unwrap().unwrap();
    let named = |half: u128| SessionId { local: half, remote: own.local }.to_string();
    let refused = call.request(Method::Info).header("Session-ID", named(7)).body("a/b", "c");
    let Err(refusal) = village.drive(refused.send()) else { panic!() };
    // "the failure response itself will contain the new UUID value".
    assert_eq!(id(refusal.response().unwrap()), SessionId { local: own.local, remote: 7 });
    assert_eq!(village.drive(answered.session_id()).unwrap().unwrap(), own);
    let hold = vec![("Session-ID".to_owned(), named(9))];
    village.drive(call.hold_with(hold)).unwrap();
    village.run(50);
    let expected = SessionId { local: own.local, remote: 9 };
    // The ACK, by Alice herself, says the half that she has drawn: it is a 2xx that it is for.
    assert_eq!(village.drive(answered.session_id()).unwrap().unwrap(), own);
    let at_alice = alice.received(&[&call]);
    let ok = at_alice.iter().rfind(|m| label(m) == "200 INVITE").unwrap();
    assert_eq!(id(ok), expected);
}

#[test]
fn an_agent_that_names_no_sessions_says_nothing_and_changes_nothing() {
    let mut village = Village::new(3);
    let mut alice = phone(&mut village, "alice", 1, |_| ());
    let mut bob = phone(&mut village, "bob", 2, |config| config.sip.session_id = false);
    let (call, answered) = village.connect(&alice, &mut bob, BOB);
    assert_eq!(village.drive(answered.session_id()).unwrap(), None);
    let own = village.drive(call.session_id()).unwrap().unwrap();
    assert_eq!(own.remote, 0);
    village.drive(answered.hangup());
    village.run(300);
    let at_alice = alice.received(&[&call]);
    assert!(at_alice.iter().all(|m| m.session_id().is_none()) && at_alice.len() > 1);
}
