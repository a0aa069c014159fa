//! Telephone services step by step (RFC 5359), as far as an agent alone provides them.

use super::village::{Phone, Village, end_of, quiet};
use crate::body::dialog_info::Dialog;
use crate::command::Command;
use crate::testkit::ServerConfig;
use crate::{
    Call, CallState, Config, Document, Error, Event, Party, Policy, Subscription,
    SubscriptionUpdate, TransferOutcome, TransferState,
};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

const PROXY: &str = "192.0.2.9";
const NAMES: [(&str, &str); 5] = [
    ("alice", "192.0.2.1"),
    ("bob", "192.0.2.2"),
    ("carol", "192.0.2.3"),
    ("dave", "192.0.2.4"),
    ("bill", "192.0.2.5"),
];
const ALICE: &str = "sip:alice@192.0.2.1";
const BOB: &str = "sip:bob@192.0.2.2";
const CAROL: &str = "sip:carol@192.0.2.3";
/// The paths of most flows.
const A_P_B: [&str; 3] = ["alice", "proxy", "bob"];
const A_P_C: [&str; 3] = ["alice", "proxy", "carol"];

/// Telephones that reach each other without a proxy.
fn direct<const N: usize>(config: Config) -> (Village, [Phone; N]) {
    let mut village = Village::new(11);
    let phones = std::array::from_fn(|n| {
        let (name, ip) = NAMES[n];
        village.phone(name, ip, &format!("sip:{name}@{ip}"), config.clone(), |account| account)
    });
    (village, phones)
}

/// Telephones that are registered at one proxy.
fn registered<const N: usize>(config: ServerConfig) -> (Village, [Phone; N]) {
    let mut village = Village::new(12);
    let config = NAMES.iter().fold(config, |config, (name, _)| config.user(name, "secret"));
    village.server("proxy", PROXY, config);
    village.name("example.com", &[PROXY]);
    let phones = std::array::from_fn(|n| {
        let (name, ip) = NAMES[n];
        let aor = format!("sip:{name}@example.com");
        let phone = village.phone(name, ip, &aor, Config::default(), |account| {
            account.password("secret").outbound_proxy(format!("sip:{PROXY};lr"))
        });
        village.drive(phone.account.register()).unwrap();
        phone
    });
    village.ladder();
    (village, phones)
}

fn proxy() -> ServerConfig {
    ServerConfig::new("example.com")
}

/// What everybody may watch.
fn watched() -> Config {
    let mut config = Config { dialog_watchers: vec!["*".into()], ..Config::default() };
    config.sip.event_packages = vec!["dialog".into()];
    config
}

/// A call that rings and is answered.
fn ring(village: &mut Village, from: &Phone, to: &mut Phone, uri: &str) -> (Call, Call) {
    let call = village.call(from, uri);
    village.run(50);
    let answered = pick_up(village, to);
    village.drive(call.answered()).unwrap();
    village.run(50);
    (call, answered)
}

fn pick_up(village: &mut Village, phone: &mut Phone) -> Call {
    let incoming = phone.incoming();
    village.drive(incoming.ring()).unwrap();
    village.run(50);
    let call = village.answer(phone, &incoming);
    village.run(50);
    call
}

fn is_up(call: &Call) -> bool {
    matches!(call.state(), CallState::Established { .. })
}

fn outcome(transfer: &crate::Transfer) -> TransferOutcome {
    match transfer.state() {
        TransferState::Ended(outcome) => outcome,
        other => panic!("{other:?}"),
    }
}

/// The dialogs that a watcher is told of next.
fn dialogs(village: &mut Village, lamp: &Subscription) -> Vec<Dialog> {
    match village.drive(lamp.next_event()) {
        Some(SubscriptionUpdate::Notify(n)) => match n.document().unwrap() {
            Some(Document::Dialogs(info)) => info.dialogs,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// A message along a path.
fn hops(what: &str, path: &[&str]) -> Vec<String> {
    path.windows(2).map(|p| format!("{what} {}>{}", p[0], p[1])).collect()
}

/// An answer along the path of its request.
fn back(what: &str, path: &[&str]) -> Vec<String> {
    let path: Vec<_> = path.iter().rev().copied().collect();
    hops(what, &path)
}

/// An INVITE with these answers, each of which passes all hops; proxies say 100.
fn invite(path: &[&str], answers: &[&str]) -> Vec<String> {
    let mut steps = Vec::new();
    for (n, pair) in path.windows(2).enumerate() {
        steps.extend(hops("INVITE", pair));
        if n + 2 < path.len() {
            steps.extend(back("100 INVITE", pair));
        }
    }
    for answer in answers {
        let refused = answer.as_bytes()[0] >= b'3';
        for pair in path.windows(2).rev() {
            steps.extend(back(&format!("{answer} INVITE"), pair));
            if refused {
                steps.extend(hops("ACK", pair));
            }
        }
        if answer.starts_with('2') {
            steps.extend(hops("ACK", path));
        }
    }
    steps
}

/// A request with its 200.
fn ok(method: &str, path: &[&str]) -> Vec<String> {
    [hops(method, path), back(&format!("200 {method}"), path)].concat()
}

fn text(steps: &[&str]) -> Vec<String> {
    steps.iter().map(|step| (*step).to_owned()).collect()
}

fn expect(village: &mut Village, steps: &[Vec<String>]) {
    let (got, steps) = (village.ladder(), steps.concat());
    assert_eq!(got, steps, "\n{}", got.join("\n"));
}

#[test]
fn s2_1_a_call_is_held_and_resumed() {
    let (mut village, [alice, mut bob]) = registered(proxy());
    let (call, answered) = ring(&mut village, &alice, &mut bob, "sip:bob@example.com");
    village.drive(answered.hold()).unwrap();
    village.run(50);
    assert!(matches!(call.state(), CallState::Established { held_by_peer: true, .. }));
    village.drive(answered.resume()).unwrap();
    village.run(50);
    assert!(matches!(call.state(), CallState::Established { held_by_peer: false, .. }));
    village.drive(call.hangup());
    village.run(50);
    let b_p_a = ["bob", "proxy", "alice"];
    expect(
        &mut village,
        &[
            invite(&A_P_B, &["180", "200"]),
            invite(&b_p_a, &["200"]),
            invite(&b_p_a, &["200"]),
            ok("BYE", &A_P_B),
        ],
    );
    village.run(40_000);
    village.assert_idle();
}

#[test]
fn s2_2_a_call_is_held_to_consult_somebody_else() {
    let (mut village, [alice, mut bob, mut carol]) = registered(proxy());
    let (call, answered) = ring(&mut village, &alice, &mut bob, "sip:bob@example.com");
    village.drive(answered.hold()).unwrap();
    village.run(50);
    let (consult, _at_carol) = ring(&mut village, &bob, &mut carol, "sip:carol@example.com");
    village.drive(consult.hangup());
    village.run(50);
    village.drive(answered.resume()).unwrap();
    village.run(50);
    village.drive(call.hangup());
    village.run(50);
    let (b_p_a, b_p_c) = (["bob", "proxy", "alice"], ["bob", "proxy", "carol"]);
    expect(
        &mut village,
        &[
            invite(&A_P_B, &["180", "200"]),
            invite(&b_p_a, &["200"]),
            invite(&b_p_c, &["180", "200"]),
            ok("BYE", &b_p_c),
            invite(&b_p_a, &["200"]),
            ok("BYE", &A_P_B),
        ],
    );
    village.run(40_000);
    village.assert_idle();
}

/// Lets a telephone be told from outside of calls whom to call.
fn takes_referrals(phone: &Phone) {
    let policy = Policy { referrals: crate::ReferralPolicy::Ask, ..Policy::default() };
    phone.account.set_policy(policy).unwrap();
}

/// Does what a REFER outside of calls asks for; the call that comes of it.
fn obey(village: &mut Village, phone: &mut Phone) -> Call {
    let asked = phone.told().into_iter().find_map(|event| match event {
        Event::ReferRequested(asked) => Some(asked),
        _ => None,
    });
    let asked = asked.expect("a REFER");
    let (call, answer) = (asked.call, crate::command::AnswerTransfer::Accept(quiet()));
    let make = |reply| Command::AnswerTransfer { call, answer, reply };
    village.drive(phone.shared.commands.ask(make)).unwrap();
    let (old, new) = phone.continued();
    assert_eq!(old, asked.call());
    new
}

/// The dialog of the one call at a telephone that may be watched.
fn only_dialog(village: &mut Village, watcher: &Phone, uri: &str) -> Dialog {
    let lamp = village.drive(watcher.account.subscribe("dialog", uri).into_future()).unwrap();
    let [dialog] = &dialogs(village, &lamp)[..] else { panic!() };
    let dialog = dialog.clone();
    lamp.unsubscribe();
    village.run(2000);
    village.ladder();
    dialog
}

#[test]
fn s2_3_music_is_played_on_hold() {
    // Carol's telephone is the music server.
    let (mut village, [mut alice, mut bob, mut carol]) = direct(watched());
    takes_referrals(&carol);
    let (_call, at_bob) = ring(&mut village, &alice, &mut bob, BOB);
    village.drive(at_bob.hold()).unwrap();
    village.run(50);
    let to = village.drive(at_bob.replaces_uri()).unwrap();
    let referral = village.drive(bob.account.refer(CAROL, to).into_future()).unwrap();
    village.run(50);
    let music = obey(&mut village, &mut carol);
    village.run(100);
    assert_eq!(outcome(&referral), TransferOutcome::Completed);
    assert_eq!(end_of(&at_bob).by, Party::Remote);
    let (_, held) = alice.continued();
    assert!(is_up(&music) && is_up(&held));
    expect(
        &mut village,
        &[
            invite(&["alice", "bob"], &["180", "200"]),
            invite(&["bob", "alice"], &["200"]),
            text(&["REFER bob>carol", "202 REFER carol>bob", "NOTIFY carol>bob"]),
            text(&["200 NOTIFY bob>carol"]),
            text(&["INVITE carol>alice", "200 INVITE alice>carol", "BYE alice>bob"]),
            text(&["ACK carol>alice", "NOTIFY carol>bob", "200 BYE bob>alice"]),
            text(&["200 NOTIFY bob>carol"]),
        ],
    );
    // Bob takes Alice off hold: he takes the place of the music server.
    let dialog = only_dialog(&mut village, &bob, CAROL);
    let again = take_over(&mut village, &bob, &dialog);
    village.drive(again.answered()).unwrap();
    village.run(50);
    assert_eq!((end_of(&music).by, end_of(&held).by), (Party::Remote, Party::Local));
    let at_alice = alice.continued().1;
    village.drive(at_alice.hangup());
    village.run(50);
    expect(
        &mut village,
        &[
            text(&["INVITE bob>alice", "200 INVITE alice>bob", "BYE alice>carol"]),
            text(&["ACK bob>alice", "200 BYE carol>alice"]),
            ok("BYE", &["alice", "bob"]),
        ],
    );
    village.run(60_000);
    village.assert_idle();
}

#[test]
fn s2_15_a_call_is_parked_at_a_server_that_is_told_by_refer() {
    let (mut village, [mut alice, mut bob, carol, mut dave]) = direct(watched());
    takes_referrals(&dave);
    let (_call, at_bob) = ring(&mut village, &alice, &mut bob, BOB);
    let to = village.drive(at_bob.replaces_uri()).unwrap();
    let referral = bob.account.refer("sip:dave@192.0.2.4", to).into_future();
    let referral = village.drive(referral).unwrap();
    village.run(50);
    let parked = obey(&mut village, &mut dave);
    village.run(100);
    assert_eq!(outcome(&referral), TransferOutcome::Completed);
    let (_, at_alice) = alice.continued();
    expect(
        &mut village,
        &[
            invite(&["alice", "bob"], &["180", "200"]),
            text(&["REFER bob>dave", "202 REFER dave>bob", "NOTIFY dave>bob"]),
            text(&["200 NOTIFY bob>dave"]),
            text(&["INVITE dave>alice", "200 INVITE alice>dave", "BYE alice>bob"]),
            text(&["ACK dave>alice", "NOTIFY dave>bob", "200 BYE bob>alice"]),
            text(&["200 NOTIFY bob>dave"]),
        ],
    );
    let dialog = only_dialog(&mut village, &carol, "sip:dave@192.0.2.4");
    let fetched = take_over(&mut village, &carol, &dialog);
    village.drive(fetched.answered()).unwrap();
    village.run(50);
    assert_eq!((end_of(&at_alice).by, end_of(&parked).by), (Party::Local, Party::Remote));
    let _up = alice.continued().1;
    expect(
        &mut village,
        &[
            text(&["INVITE carol>alice", "200 INVITE alice>carol", "BYE alice>dave"]),
            text(&["ACK carol>alice", "200 BYE dave>alice"]),
        ],
    );
}

#[test]
fn s2_18_a_click_dials() {
    let (mut village, [pc, mut bob, mut carol]) = direct(Config::default());
    takes_referrals(&bob);
    let referral = pc.account.refer(BOB, CAROL).unreported().into_future();
    let referral = village.drive(referral).unwrap();
    village.run(50);
    assert_eq!(referral.state(), TransferState::Asked);
    let call = obey(&mut village, &mut bob);
    village.run(50);
    assert_eq!(outcome(&referral), TransferOutcome::Unreported);
    let incoming = carol.incoming();
    let by = incoming.request().header(crate::HeaderName::ReferredBy);
    assert_eq!(by, Some("<sip:alice@192.0.2.1>"));
    village.drive(incoming.ring()).unwrap();
    village.run(50);
    let _at_carol = village.answer(&carol, &incoming);
    village.drive(call.answered()).unwrap();
    village.run(50);
    expect(
        &mut village,
        &[
            // Without a subscription it is a 200, not a 202 (RFC 4488 §4).
            text(&["REFER alice>bob", "200 REFER bob>alice"]),
            invite(&["bob", "carol"], &["180", "200"]),
        ],
    );
    village.drive(call.hangup());
    drop(incoming);
    village.run(60_000);
    village.assert_idle();
}

#[test]
fn s2_4_a_transfer_without_asking() {
    let (mut village, [mut alice, mut bob, mut carol]) = direct(Config::default());
    let (_old, at_alice) = ring(&mut village, &bob, &mut alice, ALICE);
    let transfer = village.drive(at_alice.transfer_to(CAROL).into_future()).unwrap();
    village.run(30);
    village.drive(at_alice.hangup());
    village.run(50);
    let _at_carol = pick_up(&mut village, &mut carol);
    village.run(500);
    assert_eq!(outcome(&transfer), TransferOutcome::Completed);
    assert!(is_up(&bob.continued().1));
    expect(
        &mut village,
        &[
            invite(&["bob", "alice"], &["180", "200"]),
            text(&["REFER alice>bob", "202 REFER bob>alice", "NOTIFY bob>alice"]),
            text(&["INVITE bob>carol", "200 NOTIFY alice>bob"]),
            ok("BYE", &["alice", "bob"]),
            text(&["180 INVITE carol>bob", "NOTIFY bob>alice", "200 NOTIFY alice>bob"]),
            text(&["200 INVITE carol>bob", "ACK bob>carol"]),
            ok("NOTIFY", &["bob", "alice"]),
        ],
    );
}

#[test]
fn s2_5_a_transfer_after_consultation() {
    let (mut village, [mut alice, mut bob, mut carol]) = direct(Config::default());
    let (_old, at_bob) = ring(&mut village, &alice, &mut bob, BOB);
    village.drive(at_bob.hold()).unwrap();
    village.run(50);
    let (consult, _at_carol) = ring(&mut village, &bob, &mut carol, CAROL);
    village.drive(consult.hold()).unwrap();
    village.run(50);
    let transfer = village.drive(at_bob.transfer_to_call(&consult).into_future()).unwrap();
    village.run(500);
    assert_eq!(outcome(&transfer), TransferOutcome::Completed);
    assert!(is_up(&alice.continued().1) && is_up(&carol.continued().1));
    assert!(bob.media().is_empty());
    expect(
        &mut village,
        &[
            invite(&["alice", "bob"], &["180", "200"]),
            invite(&["bob", "alice"], &["200"]),
            invite(&["bob", "carol"], &["180", "200"]),
            invite(&["bob", "carol"], &["200"]),
            text(&["REFER bob>alice", "202 REFER alice>bob", "NOTIFY alice>bob"]),
            text(&["INVITE alice>carol", "200 NOTIFY bob>alice", "200 INVITE carol>alice"]),
            text(&["BYE carol>bob", "ACK alice>carol", "NOTIFY alice>bob"]),
            text(&["200 BYE bob>carol", "200 NOTIFY bob>alice"]),
            ok("BYE", &["bob", "alice"]),
        ],
    );
}

#[test]
fn s2_6_a_call_is_handed_over_in_a_message() {
    let (mut village, [mut alice, mut bob, mut carol]) = direct(Config::default());
    let (_old, at_bob) = ring(&mut village, &alice, &mut bob, BOB);
    let uri = village.drive(at_bob.replaces_uri()).unwrap();
    let text_of = format!("Do you want to take this call? {uri}");
    let mut asking = bob.account.message(CAROL, &text_of).into_future();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(asking.as_mut().poll(&mut context).is_pending());
    village.run(50);
    let Some(Event::Message(message)) = carol.event() else { panic!() };
    let link = message.text().split(' ').next_back().unwrap().to_owned();
    drop(message);
    village.drive(asking).unwrap();
    let builder = carol.account.call(link);
    let call = village.place(&carol, builder);
    village.run(100);
    village.drive(call.answered()).unwrap();
    village.run(100);
    assert!(is_up(&alice.continued().1));
    assert_eq!(end_of(&at_bob).by, Party::Remote);
    expect(
        &mut village,
        &[
            invite(&["alice", "bob"], &["180", "200"]),
            ok("MESSAGE", &["bob", "carol"]),
            text(&["INVITE carol>alice", "200 INVITE alice>carol", "BYE alice>bob"]),
            text(&["ACK carol>alice", "200 BYE bob>alice"]),
        ],
    );
}

#[test]
fn s2_7_every_call_is_forwarded() {
    let (mut village, [alice, bob, mut carol]) = registered(proxy());
    let forward = Some("sip:carol@example.com".into());
    bob.account.set_policy(Policy { forward_always: forward, ..Policy::default() }).unwrap();
    let (call, _at_carol) = ring(&mut village, &alice, &mut carol, "sip:bob@example.com");
    village.drive(call.hangup());
    village.run(50);
    expect(
        &mut village,
        &[invite(&A_P_B, &["302"]), invite(&A_P_C, &["180", "200"]), ok("BYE", &A_P_C)],
    );
}

#[test]
fn s2_8_calls_are_forwarded_while_busy() {
    let (mut village, [alice, mut bob, mut carol, dave]) = registered(proxy());
    let forward = Some("sip:carol@example.com".into());
    bob.account.set_policy(Policy { forward_busy: forward, ..Policy::default() }).unwrap();
    let _busy = ring(&mut village, &dave, &mut bob, "sip:bob@example.com");
    village.ladder();
    let (call, _at_carol) = ring(&mut village, &alice, &mut carol, "sip:bob@example.com");
    village.drive(call.hangup());
    village.run(50);
    expect(
        &mut village,
        &[invite(&A_P_B, &["302"]), invite(&A_P_C, &["180", "200"]), ok("BYE", &A_P_C)],
    );
}

#[test]
fn s2_9_calls_are_forwarded_that_nobody_answers() {
    let (mut village, [alice, mut bob, mut carol]) = registered(proxy());
    let forward = Some((Duration::from_secs(10), "sip:carol@example.com".into()));
    bob.account.set_policy(Policy { forward_no_answer: forward, ..Policy::default() }).unwrap();
    let call = village.call(&alice, "sip:bob@example.com");
    village.run(50);
    let rings = bob.incoming();
    village.drive(rings.ring()).unwrap();
    village.run(10_000);
    assert_eq!(end_of(rings.call()).by, Party::Local);
    let _at_carol = pick_up(&mut village, &mut carol);
    village.drive(call.answered()).unwrap();
    village.drive(call.hangup());
    village.run(50);
    expect(
        &mut village,
        &[invite(&A_P_B, &["180", "302"]), invite(&A_P_C, &["180", "200"]), ok("BYE", &A_P_C)],
    );
}

/// What the peers were shown as Contact: a conference, at Bob's address.
fn is_focus(message: &crate::SipMessage) -> bool {
    let contact = message.header(crate::HeaderName::Contact).unwrap_or_default();
    contact.starts_with("<sip:conference-") && contact.ends_with("@192.0.2.2:5060>;isfocus")
}

/// The INVITEs that a call got after it was up.
fn reinvites(call: &Call) -> Vec<crate::SipMessage> {
    let (mut all, mut context) = (Vec::new(), Context::from_waker(Waker::noop()));
    while let Poll::Ready(Some(event)) = pin!(call.next_event()).poll(&mut context) {
        if let crate::CallEvent::Request { request } = event {
            all.push(request);
        }
    }
    all
}

#[test]
fn s2_10_a_third_party_is_added() {
    let (mut village, [alice, mut bob, mut carol]) = direct(Config::default());
    let (call, at_bob) = ring(&mut village, &alice, &mut bob, BOB);
    let builder = crate::ConferenceBuilder::new(bob.shared.clone());
    let conference = village.drive(builder.into_future()).unwrap();
    village.drive(conference.add(&at_bob)).unwrap();
    village.run(50);
    let [reinvite] = &reinvites(&call)[..] else { panic!() };
    assert!(is_focus(reinvite), "{reinvite:?}");
    let builder = bob.account.call(CAROL).conference(&conference);
    let to_carol = village.place(&bob, builder);
    village.run(50);
    let incoming = carol.incoming();
    assert!(is_focus(incoming.request()));
    village.drive(incoming.ring()).unwrap();
    village.run(50);
    let at_carol = village.answer(&carol, &incoming);
    village.drive(to_carol.answered()).unwrap();
    village.run(50);
    let members = village.drive(conference.members()).unwrap();
    let who: Vec<_> = members.iter().map(|m| (m.uri.as_str(), m.connected)).collect();
    assert_eq!(who, [("", true), (ALICE, true), (CAROL, true)]);
    expect(
        &mut village,
        &[
            invite(&["alice", "bob"], &["180", "200"]),
            invite(&["bob", "alice"], &["200"]),
            invite(&["bob", "carol"], &["180", "200"]),
        ],
    );
    // Who hangs up leaves; when Bob lets go, the others talk to him one by one.
    village.drive(at_carol.hangup());
    village.run(50);
    assert_eq!(village.drive(conference.calls()).unwrap(), [at_bob.id()]);
    drop(conference);
    village.run(50);
    let [reinvite] = &reinvites(&call)[..] else { panic!() };
    let contact = reinvite.header(crate::HeaderName::Contact).unwrap();
    assert_eq!(contact, "<sip:bob@192.0.2.2:5060>");
    assert!(is_up(&call));
    village.drive(call.hangup());
    drop(incoming);
    village.run(60_000);
    village.assert_idle();
}

#[test]
fn s2_11_a_third_party_joins() {
    let (mut village, [alice, mut bob, carol]) = direct(watched());
    let policy = Policy { joins: crate::JoinPolicy::Mix, ..Policy::default() };
    bob.account.set_policy(policy).unwrap();
    let (call, at_bob) = ring(&mut village, &alice, &mut bob, BOB);
    let lamp = village.drive(carol.account.subscribe("dialog", BOB).into_future()).unwrap();
    let [dialog] = &dialogs(&mut village, &lamp)[..] else { panic!() };
    let id = |part: &Option<String>| part.clone().unwrap();
    let (call_id, bobs) = (id(&dialog.call_id), id(&dialog.local_tag));
    let alices = id(&dialog.remote_tag);
    lamp.unsubscribe();
    village.run(2000);
    village.ladder();
    let builder = carol.account.call(BOB).joins(&call_id, &bobs, &alices);
    let joins = village.place(&carol, builder);
    village.drive(joins.answered()).unwrap();
    village.run(50);
    let told = bob.told().into_iter().find_map(|event| match event {
        Event::CallJoins { conference, joined, call } => Some((conference, joined, call)),
        _ => None,
    });
    let (conference, joined, at_bob_too) = told.expect("a call that joins");
    assert_eq!(joined, Some(at_bob.id()));
    let [reinvite] = &reinvites(&call)[..] else { panic!() };
    assert!(is_focus(reinvite));
    expect(
        &mut village,
        &[
            text(&["INVITE carol>bob", "180 INVITE bob>carol"]),
            invite(&["bob", "alice"], &["200"]),
            text(&["200 INVITE bob>carol", "ACK carol>bob"]),
        ],
    );
    assert_eq!(village.drive(conference.calls()).unwrap(), [at_bob_too.id(), at_bob.id()]);
    conference.end();
    village.run(100);
    assert_eq!((end_of(&call).by, end_of(&joins).by), (Party::Remote, Party::Remote));
    drop((lamp, conference));
    village.run(60_000);
    village.assert_idle();
}

#[test]
fn s2_12_the_callee_is_found_at_one_of_four_telephones() {
    let (mut village, [alice, mut bob, mut carol, mut dave, mut bill]) = registered(proxy());
    let call = village.call(&alice, "sip:fork@example.com");
    village.run(50);
    let first = bob.incoming();
    village.drive(first.ring()).unwrap();
    village.run(50);
    carol.incoming().reject(480);
    village.run(50);
    dave.incoming().reject(486);
    village.run(50);
    let answered = pick_up(&mut village, &mut bill);
    village.drive(call.answered()).unwrap();
    assert_eq!(end_of(first.call()).by, Party::Remote);
    village.drive(answered.hangup());
    village.run(50);
    let mut steps = village.ladder();
    // The order in which they are rung is the registrar's.
    steps[2..6].sort();
    let expected = [
        text(&["INVITE alice>proxy", "100 INVITE proxy>alice", "INVITE proxy>bill"]),
        text(&["INVITE proxy>bob", "INVITE proxy>carol", "INVITE proxy>dave"]),
        text(&["180 INVITE bob>proxy", "180 INVITE proxy>alice"]),
        text(&["480 INVITE carol>proxy", "ACK proxy>carol"]),
        text(&["486 INVITE dave>proxy", "ACK proxy>dave"]),
        text(&["180 INVITE bill>proxy", "180 INVITE proxy>alice"]),
        text(&["200 INVITE bill>proxy", "200 INVITE proxy>alice", "CANCEL proxy>bob"]),
        text(&["ACK alice>proxy", "200 CANCEL bob>proxy", "487 INVITE bob>proxy"]),
        text(&["ACK proxy>bill", "ACK proxy>bob"]),
        ok("BYE", &["bill", "proxy", "alice"]),
    ];
    assert_eq!(steps, expected.concat(), "\n{}", steps.join("\n"));
}

#[test]
fn s2_13_the_callee_screens_who_calls() {
    let (mut village, [alice, mut bob]) = registered(proxy().authenticate_calls());
    let call = village.call(&alice, "sip:bob@example.com");
    village.run(100);
    let reason = Some("Screening Failure (Terminating)".to_owned());
    bob.incoming().reject_with(403, reason, Vec::new()).unwrap();
    let Err(Error::Peer { status, reason, .. }) = village.drive(call.answered()) else { panic!() };
    assert_eq!((status, reason.as_str()), (403, "Screening Failure (Terminating)"));
    village.run(50);
    expect(&mut village, &[invite(&A_P_B[..2], &["407"]), invite(&A_P_B, &["403"])]);
}

#[test]
fn s2_14_the_proxy_screens_who_is_called() {
    let (mut village, [alice]) = registered(proxy().authenticate_calls());
    let call = village.call(&alice, "sip:reply-403@example.com");
    let refused = village.drive(call.answered());
    assert!(matches!(refused, Err(Error::Peer { status: 403, .. })), "{refused:?}");
    village.run(50);
    expect(&mut village, &[invite(&A_P_B[..2], &["407"]), invite(&A_P_B[..2], &["403"])]);
}

/// What a lamp shows, taken over: the place of the watched telephone at the other end.
fn take_over(village: &mut Village, phone: &Phone, dialog: &Dialog) -> Call {
    let of = |text: &Option<String>| text.clone().unwrap();
    let to = dialog.remote.identities[0].uri.clone();
    let builder = phone.account.call(to).replaces(
        &of(&dialog.call_id),
        &of(&dialog.remote_tag),
        &of(&dialog.local_tag),
    );
    village.place(phone, builder)
}

#[test]
fn s2_15_a_call_is_parked_and_fetched_elsewhere() {
    // Dave's telephone is the park server.
    let (mut village, [mut alice, mut bob, carol, mut dave]) = direct(watched());
    let (_call, at_bob) = ring(&mut village, &alice, &mut bob, BOB);
    let transfer = village.drive(at_bob.transfer_to("sip:dave@192.0.2.4").into_future()).unwrap();
    village.run(50);
    let incoming = dave.incoming();
    let parked = village.answer(&dave, &incoming);
    village.run(100);
    assert_eq!(outcome(&transfer), TransferOutcome::Completed);
    let (_, at_alice) = alice.continued();
    village.ladder();
    let subscribe = carol.account.subscribe("dialog", "sip:dave@192.0.2.4");
    let lamp = village.drive(subscribe.into_future()).unwrap();
    let [dialog] = &dialogs(&mut village, &lamp)[..] else { panic!() };
    let fetched = take_over(&mut village, &carol, dialog);
    village.drive(fetched.answered()).unwrap();
    village.run(50);
    assert!(is_up(&alice.continued().1));
    assert_eq!((end_of(&at_alice).by, end_of(&parked).by), (Party::Local, Party::Remote));
    let steps = village.ladder();
    let expected = [
        ok("SUBSCRIBE", &["carol", "dave"]),
        ok("NOTIFY", &["dave", "carol"]),
        text(&["INVITE carol>alice", "200 INVITE alice>carol", "BYE alice>dave"]),
        text(&["ACK carol>alice", "200 BYE dave>alice"]),
    ];
    assert_eq!(steps[..9], expected.concat(), "\n{}", steps.join("\n"));
}

#[test]
fn s2_16_a_ringing_call_is_picked_up_elsewhere() {
    let (mut village, [mut alice, mut bob, bill]) = direct(watched());
    let call = village.call(&alice, BOB);
    village.run(50);
    let rings = bob.incoming();
    village.drive(rings.ring()).unwrap();
    village.run(50);
    let subscribe = bill.account.subscribe("dialog", BOB);
    let lamp = village.drive(subscribe.into_future()).unwrap();
    let [dialog] = &dialogs(&mut village, &lamp)[..] else { panic!() };
    let picked = take_over(&mut village, &bill, dialog);
    village.drive(picked.answered()).unwrap();
    lamp.unsubscribe();
    village.run(50);
    let (old, new) = alice.continued();
    assert_eq!(old, call.id());
    assert!(is_up(&new) && is_up(&picked));
    assert_eq!(end_of(rings.call()).by, Party::Remote);
    // Bill is the third telephone here.
    let steps = village.ladder();
    let expected = [
        text(&["INVITE alice>bob", "180 INVITE bob>alice"]),
        ok("SUBSCRIBE", &["carol", "bob"]),
        ok("NOTIFY", &["bob", "carol"]),
        text(&["INVITE carol>alice", "200 INVITE alice>carol", "CANCEL alice>bob"]),
        text(&["ACK carol>alice"]),
    ];
    assert_eq!(steps[..10], expected.concat(), "\n{}", steps.join("\n"));
    for step in ["200 CANCEL bob>alice", "487 INVITE bob>alice", "ACK alice>bob"] {
        assert!(steps[10..].contains(&step.to_owned()), "{step}: {steps:?}");
    }
    village.drive(new.hangup());
    drop((lamp, rings));
    village.run(60_000);
    village.assert_idle();
}

#[test]
fn s2_17_a_busy_callee_is_called_again_when_free() {
    let (mut village, [alice, mut bob, carol]) = direct(watched());
    let (other, _at_bob) = ring(&mut village, &carol, &mut bob, BOB);
    bob.account.set_policy(Policy { call_waiting: false, ..Policy::default() }).unwrap();
    village.ladder();
    let call = village.call(&alice, BOB);
    village.run(50);
    assert_eq!(end_of(&call).status, Some(486));
    let lamp = village.drive(alice.account.subscribe("dialog", BOB).into_future()).unwrap();
    assert_eq!(dialogs(&mut village, &lamp).len(), 1);
    village.run(5_000);
    village.drive(other.hangup());
    assert!(dialogs(&mut village, &lamp).is_empty());
    let (again, _answered) = ring(&mut village, &alice, &mut bob, BOB);
    village.run(5_000);
    lamp.unsubscribe();
    village.run(100);
    let (a_b, b_a) = (["alice", "bob"], ["bob", "alice"]);
    let steps = village.ladder();
    let mut rest = steps.iter();
    let expected = [
        invite(&a_b, &["486"]),
        ok("SUBSCRIBE", &a_b),
        ok("NOTIFY", &b_a),
        ok("BYE", &["carol", "bob"]),
        ok("NOTIFY", &b_a),
        invite(&a_b, &["180", "200"]),
        ok("NOTIFY", &b_a),
        ok("SUBSCRIBE", &a_b),
        ok("NOTIFY", &b_a),
    ];
    // In this order; news of the ringing may come between.
    for step in expected.concat() {
        assert!(rest.any(|s| *s == step), "{step}:\n{}", steps.join("\n"));
    }
    village.drive(again.hangup());
    drop(lamp);
    village.run(60_000);
    village.assert_idle();
}
