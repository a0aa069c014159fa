//! A telephone changes its network in every state of a call: its old address is dead, and whatever is on
//! its way there is lost.

use super::village::{Phone, Village, end_of, quiet};
use crate::command::{Command, PlaceCall, TransferCall, TransferTo};
use crate::media::Security;
use crate::{Call, CallState, Config, Error, IncomingCall, SipMessage, Srtp};
use bytes::Bytes;
use std::time::Duration;
use tiny_net::sim::Nat;
use tokio::sync::oneshot;

const ALICE: &str = "192.0.2.1";
const BOB: &str = "192.0.2.2";
const ELSEWHERE: &str = "198.51.100.7";
const TO_ALICE: &str = "sip:alice@192.0.2.1";
const TO_BOB: &str = "sip:bob@192.0.2.2";

fn two_with(config: impl Fn() -> Config) -> (Village, Phone, Phone) {
    let mut village = Village::new(1);
    let alice = village.phone("alice", ALICE, TO_ALICE, config(), |account| account);
    let bob = village.phone("bob", BOB, TO_BOB, config(), |account| account);
    (village, alice, bob)
}

fn two() -> (Village, Phone, Phone) {
    two_with(Config::default)
}

/// The media of both ends is where the telephones are.
fn assert_media(a: &Phone, b: &Phone) {
    for (one, other) in [(a, b), (b, a)] {
        let (media, listens) = (one.media(), other.listens());
        assert_eq!((media.len(), listens.len()), (1, 1));
        assert_eq!(media[0].remote_rtp, Some(listens[0]), "media of {}", one.at);
        assert_eq!(listens[0].ip(), other.at.ip());
    }
}

/// The call is up at both ends, media meets, and it ends like any other.
fn assert_goes_on(village: &mut Village, a: (&Phone, &Call), b: (&Phone, &Call)) {
    village.run(12_000);
    assert_media(a.0, b.0);
    for call in [a.1, b.1] {
        let state = call.state();
        let open =
            matches!(&state, CallState::Established { held: false, held_by_peer: false, .. });
        assert!(open, "{state:?}");
    }
    village.drive(b.1.hold()).unwrap();
    village.drive(a.1.hangup());
    village.run(100);
    assert!(matches!(b.1.state(), CallState::Ended(_)), "{:?}", b.1.state());
    village.run(70_000);
    village.assert_idle();
}

fn hold(phone: &Phone, call: &Call, on: bool) -> oneshot::Receiver<Result<(), Error>> {
    let (reply, done) = oneshot::channel();
    let (call, headers) = (call.inner.key, Vec::new());
    phone.shared.commands.tell(Command::Hold { call, on, headers, reply });
    done
}

fn body(message: &SipMessage) -> String {
    String::from_utf8_lossy(message.body()).into_owned()
}

fn steps(village: &mut Village, what: &str) -> Vec<String> {
    village.ladder().into_iter().filter(|step| step.contains(what)).collect()
}

// Dialing.

/// Alice dials and moves after so many ms; Bob answers what rings then.
fn dials(wait: u64, ring: bool, config: impl Fn() -> Config) -> Vec<String> {
    let (mut village, mut alice, mut bob) = two_with(config);
    let call = village.call(&alice, TO_BOB);
    village.run(wait);
    let first = ring.then(|| {
        let first = bob.incoming();
        village.drive(first.ring()).unwrap();
        village.run(50);
        first
    });
    let report = village.relocate(&mut alice, ELSEWHERE);
    assert_eq!((report.restarted, report.moved), (1, 0));
    village.run(200);
    let first = first.unwrap_or_else(|| bob.incoming());
    let old = end_of(first.call());
    assert_eq!(old.status, Some(487), "{old:?}");
    let incoming = bob.incoming();
    assert!(!matches!(incoming.call().state(), CallState::Ended(_)));
    // The CANCEL is for the old INVITE, which its server knows by branch and sent-by.
    let (invites, cancel) = (village.said("INVITE"), village.said("CANCEL").remove(0));
    let (old, new) = (&invites[0], invites.last().unwrap());
    let via = |message: &SipMessage| message.header_named("Via").unwrap().to_owned();
    assert_eq!(via(&cancel), via(old));
    assert!(via(&cancel).contains(ALICE) && via(new).contains(ELSEWHERE));
    assert_ne!(old.call_id().unwrap(), new.call_id().unwrap());
    assert_ne!(old.header_named("From"), new.header_named("From"));
    for text in [new.header_named("Contact").unwrap(), &body(new)] {
        assert!(text.contains(ELSEWHERE) && !text.contains(ALICE), "{text}");
    }
    let answered = village.answer(&bob, &incoming);
    village.drive(call.answered()).unwrap();
    let ladder = village.ladder();
    assert_goes_on(&mut village, (&alice, &call), (&bob, &answered));
    ladder
}

#[test]
fn a_call_that_was_dialed_a_moment_ago_is_placed_anew() {
    let ladder = dials(1, false, Config::default);
    let sent: Vec<_> = ladder.iter().filter(|step| step.ends_with("alice>bob")).collect();
    assert_eq!(sent, ["INVITE alice>bob", "CANCEL alice>bob", "INVITE alice>bob", "ACK alice>bob"]);
}

#[test]
fn a_call_that_is_being_tried_is_placed_anew() {
    let ladder = dials(300, false, Config::default);
    assert!(ladder.contains(&"100 INVITE bob>alice".to_owned()), "{ladder:?}");
}

#[test]
fn a_call_that_rings_elsewhere_is_placed_anew() {
    dials(100, true, Config::default);
}

#[test]
fn a_call_with_reliable_provisional_responses_is_placed_anew() {
    let ladder = dials(100, true, || {
        let mut config = Config::default();
        config.sip.reliable = tiny_sip::Policy::Required;
        config
    });
    assert!(ladder.contains(&"PRACK alice>bob".to_owned()), "{ladder:?}");
}

#[test]
fn a_call_is_placed_anew_over_a_connection() {
    let mut village = Village::new(1);
    let mut alice = village.phone("alice", ALICE, TO_ALICE, Config::default(), |account| {
        account.transport(tiny_sak::Transport::Tcp)
    });
    let mut bob = village.phone("bob", BOB, TO_BOB, Config::default(), |account| account);
    let call = village.call(&alice, TO_BOB);
    village.run(100);
    let first = bob.incoming();
    village.drive(first.ring()).unwrap();
    village.relocate(&mut alice, ELSEWHERE);
    village.run(300);
    assert_eq!(end_of(first.call()).status, Some(487));
    let incoming = bob.incoming();
    let answered = village.answer(&bob, &incoming);
    village.drive(call.answered()).unwrap();
    village.run(500);
    // And once more while it is up.
    village.relocate(&mut alice, "198.51.100.8");
    assert_goes_on(&mut village, (&alice, &call), (&bob, &answered));
}

#[test]
fn a_dialed_call_that_is_given_up_after_the_move_rings_nowhere() {
    let (mut village, mut alice, mut bob) = two();
    let call = village.call(&alice, TO_BOB);
    village.run(100);
    let first = bob.incoming();
    village.drive(first.ring()).unwrap();
    village.cut_off(&alice);
    village.run(1_000);
    // The CANCEL has nowhere to go yet.
    let hangup = call.hangup();
    village.drive(hangup);
    village.relocate(&mut alice, ELSEWHERE);
    village.run(5_000);
    assert_eq!(end_of(first.call()).status, Some(487));
    assert!(bob.event().is_none());
    village.run(70_000);
    village.assert_idle();
}

// Being called.

#[test]
fn a_call_that_rings_here_is_answered_from_the_new_address() {
    let (mut village, mut alice, bob) = two();
    let call = village.call(&bob, TO_ALICE);
    village.run(100);
    let incoming = alice.incoming();
    village.drive(incoming.ring()).unwrap();
    village.run(50);
    let report = village.relocate(&mut alice, ELSEWHERE);
    assert_eq!((report.waiting, report.moved, report.restarted), (1, 0, 0));
    village.run(100);
    // Bob takes UPDATE: he knows where it rings now.
    let told = steps(&mut village, "UPDATE");
    assert_eq!(told, ["UPDATE alice>bob", "200 UPDATE bob>alice"]);
    let answered = village.answer(&alice, &incoming);
    village.drive(call.answered()).unwrap();
    assert_goes_on(&mut village, (&alice, &answered), (&bob, &call));
}

fn answers(ms_after: u64) {
    let (mut village, mut alice, bob) = two();
    let call = village.call(&bob, TO_ALICE);
    village.run(100);
    let incoming = alice.incoming();
    village.drive(incoming.ring()).unwrap();
    village.run(50);
    let answered = village.answer(&alice, &incoming);
    village.run(ms_after);
    village.ladder();
    let report = village.relocate(&mut alice, ELSEWHERE);
    assert_eq!((report.waiting, report.moved), (0, 1));
    village.drive(call.answered()).unwrap();
    village.run(3_000);
    // The 200 came again, its ACK went to the new address, then the re-INVITE.
    let ladder = village.ladder();
    let invites: Vec<_> = ladder.iter().filter(|s| s.starts_with("INVITE")).collect();
    assert_eq!(invites, ["INVITE alice>bob"], "{ladder:?}");
    assert_goes_on(&mut village, (&alice, &answered), (&bob, &call));
}

#[test]
fn a_call_whose_200_was_under_way_when_we_moved_goes_on() {
    answers(1);
}

#[test]
fn a_call_whose_ack_was_under_way_when_we_moved_goes_on() {
    answers(7);
}

// Up.

fn up() -> (Village, Phone, Phone, Call, Call) {
    let (mut village, alice, mut bob) = two();
    let (call, answered) = village.connect(&alice, &mut bob, TO_BOB);
    village.ladder();
    (village, alice, bob, call, answered)
}

#[test]
fn a_running_call_moves_with_one_re_invite_and_keeps_its_ssrc() {
    let (mut village, mut alice, bob, call, answered) = up();
    // The transaction of the INVITE is forgotten.
    village.run(40_000);
    let ssrc = alice.media()[0].ssrc;
    let report = village.relocate(&mut alice, ELSEWHERE);
    assert_eq!((report.moved, report.restarted, report.waiting), (1, 0, 0));
    assert!(!report.offline);
    village.run(500);
    assert_eq!(village.ladder(), ["INVITE alice>bob", "200 INVITE bob>alice", "ACK alice>bob"]);
    assert_eq!(alice.media()[0].ssrc, ssrc);
    assert_goes_on(&mut village, (&alice, &call), (&bob, &answered));
}

#[test]
fn the_callee_moves_as_well() {
    let (mut village, alice, mut bob, call, answered) = up();
    village.relocate(&mut bob, ELSEWHERE);
    village.run(500);
    assert_eq!(village.ladder(), ["INVITE bob>alice", "200 INVITE alice>bob", "ACK bob>alice"]);
    assert_goes_on(&mut village, (&alice, &call), (&bob, &answered));
}

#[test]
fn a_call_moves_as_often_as_the_network_changes() {
    let (mut village, mut alice, bob, call, answered) = up();
    for n in 10..20 {
        village.relocate(&mut alice, &format!("198.51.100.{n}"));
        village.run(if n % 2 == 0 { 7 } else { 3_000 });
    }
    assert_goes_on(&mut village, (&alice, &call), (&bob, &answered));
}

#[test]
fn the_keys_of_an_encrypted_call_stay_when_it_moves() {
    let (mut village, mut alice, mut bob) =
        two_with(|| Config { srtp: Srtp::Sdes, ..Config::default() });
    let (call, answered) = village.connect(&alice, &mut bob, TO_BOB);
    let keys = |phone: &Phone| match &phone.keys()[..] {
        [Security::Sdes(keys)] => keys.agreement.clone(),
        other => panic!("{other:?}"),
    };
    let before = (keys(&alice), keys(&bob));
    let crypto = |message: &SipMessage| {
        let text = body(message);
        let mut lines = text.lines().filter(|line| line.starts_with("a=crypto:"));
        lines.next().unwrap_or_default().to_owned()
    };
    let version = |message: &SipMessage| {
        let text = body(message);
        let origin = text.lines().find(|line| line.starts_with("o=")).unwrap().to_owned();
        origin.split(' ').nth(2).unwrap().parse::<u64>().unwrap()
    };
    let first = village.said("INVITE").remove(0);
    village.ladder();
    village.relocate(&mut alice, ELSEWHERE);
    village.run(500);
    let moved = village.said("INVITE").remove(0);
    let contact = moved.header_named("Contact").unwrap();
    assert!(contact.contains(ELSEWHERE), "{contact}");
    assert!(body(&moved).contains(&format!("c=IN IP4 {ELSEWHERE}\r\n")));
    assert_eq!(version(&moved), version(&first) + 1);
    assert_eq!(moved.call_id(), first.call_id());
    let in_force = crypto(&village.said("200 INVITE")[0]);
    assert!(!in_force.is_empty() && body(&moved).contains("a=crypto:"));
    // Both directions go on under the same key: rollover counters are what they were.
    assert_eq!(keys(&alice).continues(&before.0), (true, true));
    assert_eq!(keys(&bob).continues(&before.1), (true, true));
    assert_goes_on(&mut village, (&alice, &call), (&bob, &answered));
}

#[test]
fn a_call_on_hold_stays_on_hold_when_it_moves() {
    for alice_holds in [true, false] {
        let (mut village, mut alice, bob, call, answered) = up();
        let (holder, other) = match alice_holds {
            true => (&call, &answered),
            false => (&answered, &call),
        };
        village.drive(holder.hold()).unwrap();
        village.relocate(&mut alice, ELSEWHERE);
        village.run(1_000);
        let state = (holder.state(), other.state());
        let held = matches!(state.0, CallState::Established { held: true, .. })
            && matches!(state.1, CallState::Established { held_by_peer: true, .. });
        assert!(held, "{state:?}");
        village.drive(holder.resume()).unwrap();
        assert_goes_on(&mut village, (&alice, &call), (&bob, &answered));
    }
}

// Something is under way.

#[test]
fn a_hold_under_way_is_asked_for_again_from_the_new_address() {
    // Before it arrives; when its 200 is on its way to nowhere; when its ACK may be lost.
    for wait in [0, 2, 7, 9, 11, 14] {
        let (mut village, mut alice, bob, call, answered) = up();
        let mut done = hold(&alice, &call, true);
        village.run(wait);
        village.relocate(&mut alice, ELSEWHERE);
        village.run(20_000);
        done.try_recv().unwrap().unwrap();
        let state = (call.state(), answered.state());
        assert!(matches!(state.0, CallState::Established { held: true, .. }), "{wait}: {state:?}");
        let held = matches!(state.1, CallState::Established { held_by_peer: true, .. });
        assert!(held, "{wait}: {state:?}");
        village.drive(call.resume()).unwrap();
        // Nobody waits for an ACK that never came.
        village.run(40_000);
        assert_goes_on(&mut village, (&alice, &call), (&bob, &answered));
    }
}

#[test]
fn a_hold_of_the_peers_under_way_reaches_us_where_we_are_now() {
    for wait in [0, 2, 4, 7, 9, 12, 14] {
        let (mut village, mut alice, bob, call, answered) = up();
        let mut done = hold(&bob, &answered, true);
        village.run(wait);
        village.relocate(&mut alice, ELSEWHERE);
        village.run(20_000);
        done.try_recv().unwrap().unwrap();
        let state = (call.state(), answered.state());
        assert!(matches!(state.1, CallState::Established { held: true, .. }), "{wait}: {state:?}");
        let held = matches!(state.0, CallState::Established { held_by_peer: true, .. });
        assert!(held, "{wait}: {state:?}");
        village.drive(answered.resume()).unwrap();
        village.run(40_000);
        assert_goes_on(&mut village, (&alice, &call), (&bob, &answered));
    }
}

#[test]
fn a_session_that_is_being_refreshed_when_we_move_lives_on() {
    for (update, wait) in [(true, 1), (true, 7), (false, 1), (false, 7)] {
        for caller_moves in [true, false] {
            let (mut village, mut alice, mut bob) = two_with(|| {
                let mut config = Config::default();
                config.sip.session_timer = tiny_sip::Policy::Wanted;
                config.sip.session_expires = 90;
                if !update {
                    config.sip.allow.retain(|method| *method != crate::Method::Update);
                }
                config
            });
            let (call, answered) = village.connect(&alice, &mut bob, TO_BOB);
            village.ladder();
            let name = if update { "UPDATE " } else { "INVITE " };
            // Up to the moment when a refresh is sent.
            let mut sent = false;
            for _ in 0..60_000 {
                village.run(1);
                if village.ladder().iter().any(|step| step.starts_with(name)) {
                    sent = true;
                    break;
                }
            }
            assert!(sent, "no refresh by {name}");
            village.run(wait);
            village.relocate(if caller_moves { &mut alice } else { &mut bob }, ELSEWHERE);
            // The session has expired twice if nobody refreshed it.
            village.run(200_000);
            assert_goes_on(&mut village, (&alice, &call), (&bob, &answered));
        }
    }
}

#[test]
fn a_transfer_under_way_ends_as_it_should_when_one_moves() {
    for (mover, wait) in [(0, 2), (0, 7), (0, 60), (1, 12), (1, 60), (2, 60)] {
        let (mut village, mut alice, mut bob) = two();
        let mut carol =
            village.phone("carol", "192.0.2.3", "sip:carol@192.0.2.3", Config::default(), |a| a);
        let (call, _answered) = village.connect(&alice, &mut bob, TO_BOB);
        let to = TransferTo::Uri("sip:carol@192.0.2.3".to_owned());
        let (key, headers) = (call.inner.key, Vec::new());
        let request = Box::new(TransferCall { call: key, to, headers, quiet: false });
        let (reply, transfer) = oneshot::channel();
        alice.shared.commands.tell(Command::Transfer { request, reply });
        village.run(wait);
        let phone = [&mut alice, &mut bob, &mut carol];
        let [a, b, c] = phone;
        match mover {
            0 => village.relocate(a, ELSEWHERE),
            1 => village.relocate(b, ELSEWHERE),
            _ => village.relocate(c, ELSEWHERE),
        };
        village.run(3_000);
        let (_, new) = bob.continued();
        let mut rings: Option<IncomingCall> = None;
        while let Some(event) = carol.event() {
            if let crate::Event::IncomingCall(incoming) = event {
                rings = Some(incoming);
            }
        }
        let rings = rings.expect("Carol is called");
        let carols = village.answer(&carol, &rings);
        village.run(3_000);
        let transfer = transfer.blocking_recv().unwrap().unwrap();
        let outcome = village.drive(transfer.outcome());
        assert!(
            matches!(outcome, crate::TransferOutcome::Completed),
            "{mover} after {wait}: {outcome:?}"
        );
        village.run(1_000);
        assert!(matches!(call.state(), CallState::Ended(_)));
        assert_goes_on(&mut village, (&bob, &new), (&carol, &carols));
    }
}

#[test]
fn a_bye_under_way_is_sent_from_the_new_address() {
    for wait in [1, 7] {
        let (mut village, mut alice, _bob, call, answered) = up();
        let key = call.inner.key;
        alice.shared.commands.tell(Command::Hangup { call: key, headers: Vec::new() });
        village.run(wait);
        village.relocate(&mut alice, ELSEWHERE);
        village.run(2_000);
        assert!(matches!(call.state(), CallState::Ended(_)));
        assert!(matches!(answered.state(), CallState::Ended(_)));
        village.run(70_000);
        village.assert_idle();
    }
}

#[test]
fn a_bye_that_the_peer_sent_to_the_old_address_ends_the_call_all_the_same() {
    let (mut village, mut alice, bob, call, answered) = up();
    let key = answered.inner.key;
    bob.shared.commands.tell(Command::Hangup { call: key, headers: Vec::new() });
    village.run(1);
    village.relocate(&mut alice, ELSEWHERE);
    village.run(2_000);
    assert!(matches!(call.state(), CallState::Ended(_)), "{:?}", call.state());
    village.run(70_000);
    village.assert_idle();
}

#[test]
fn two_calls_at_once_both_move() {
    let (mut village, mut alice, mut bob, call, answered) = up();
    let mut carol =
        village.phone("carol", "192.0.2.3", "sip:carol@192.0.2.3", Config::default(), |a| a);
    village.drive(call.hold()).unwrap();
    let (second, hers) = village.connect(&alice, &mut carol, "sip:carol@192.0.2.3");
    let report = village.relocate(&mut alice, ELSEWHERE);
    assert_eq!(report.moved, 2);
    village.run(500);
    for phone in [&bob, &carol] {
        assert_eq!(phone.media()[0].remote_rtp.unwrap().ip(), alice.at.ip());
    }
    village.drive(second.hangup());
    village.run(100);
    assert!(matches!(hers.state(), CallState::Ended(_)));
    village.drive(call.resume()).unwrap();
    assert!(bob.event().is_none());
    assert_goes_on(&mut village, (&alice, &call), (&bob, &answered));
}

// Other kinds of network.

#[test]
fn a_call_moves_behind_a_nat_and_back() {
    let (mut village, mut alice, bob, call, answered) = up();
    let nat = village.world.network.add_nat(Nat::new("203.0.113.9".parse().unwrap()));
    village.relocate_behind(&mut alice, "192.168.1.20", Some(nat));
    village.run(1_000);
    let ladder = village.ladder();
    assert!(ladder.iter().any(|step| step.starts_with("200 INVITE bob>")), "{ladder:?}");
    assert_eq!(bob.media()[0].remote_rtp.unwrap().ip(), alice.at.ip());
    village.relocate(&mut alice, ELSEWHERE);
    assert_goes_on(&mut village, (&alice, &call), (&bob, &answered));
}

/// The proxy records its name, which leads to it from everywhere.
fn by_name(message: Bytes) -> Bytes {
    let text = String::from_utf8(message.to_vec()).unwrap();
    let routes = ["192.0.2.10:5060", "[2001:db8::10]:5060"];
    let text = routes
        .iter()
        .fold(text, |text, own| text.replace(&format!("<sip:{own};"), "<sip:example.com;"));
    text.into()
}

/// Alice and Bob registered at a proxy with an address of each family.
fn at_a_proxy(config: impl Fn() -> Config) -> (Village, Phone, Phone) {
    let mut village = Village::new(1);
    let domain = crate::testkit::ServerConfig::new("example.com")
        .user("alice", "secret")
        .user("bob", "secret");
    let proxy = village.server("proxy", "192.0.2.10", domain);
    village.also_at(proxy, "proxy", "2001:db8::10");
    village.edit(proxy, by_name);
    village.name("example.com", &["192.0.2.10", "2001:db8::10"]);
    let mut phones = [("alice", ALICE), ("bob", BOB)].map(|(name, ip)| {
        let aor = format!("sip:{name}@example.com");
        let phone = village.phone(name, ip, &aor, config(), |account| account.password("secret"));
        village.drive(phone.account.register()).unwrap();
        phone
    });
    phones.iter_mut().for_each(|phone| drop(phone.told()));
    village.ladder();
    let [alice, bob] = phones;
    (village, alice, bob)
}

#[test]
fn a_registration_is_replaced_at_once() {
    let (mut village, mut alice, bob) = at_a_proxy(Config::default);
    let report = village.relocate(&mut alice, ELSEWHERE);
    assert_eq!(report.registrations, 1);
    village.run(100);
    let request = village.said("REGISTER").remove(0);
    let contact = request.header_named("Contact").unwrap();
    assert!(contact.contains(&format!("@{ELSEWHERE}:5060>")), "{contact}");
    assert!(contact.contains(&format!("@{ALICE}:5060>;expires=0")), "{contact}");
    let ladder = steps(&mut village, "REGISTER");
    assert_eq!(ladder, ["REGISTER alice>proxy", "200 REGISTER proxy>alice"]);
    let contacts: Vec<String> = alice
        .told()
        .into_iter()
        .filter_map(|event| match event {
            crate::Event::Registered { contact, .. } => Some(contact),
            _ => None,
        })
        .collect();
    assert!(matches!(&contacts[..], [one] if one.contains(ELSEWHERE)), "{contacts:?}");
    // The old binding is gone: nothing is forked to it.
    village.ladder();
    let call = village.call(&bob, "sip:alice@example.com");
    village.run(300);
    let invites = steps(&mut village, "INVITE proxy>alice");
    assert_eq!(invites, ["INVITE proxy>alice"]);
    let incoming = alice.incoming();
    let answered = village.answer(&alice, &incoming);
    village.drive(call.answered()).unwrap();
    assert_goes_on(&mut village, (&alice, &answered), (&bob, &call));
}

#[test]
fn a_registration_under_way_is_begun_again_and_leaves_nothing_behind() {
    for wait in [1, 7] {
        let (mut village, mut alice, bob) = at_a_proxy(Config::default);
        let mut told = {
            let (reply, told) = oneshot::channel();
            let account = alice.account.key();
            alice.shared.commands.tell(Command::Register { account, reply });
            told
        };
        village.run(wait);
        village.relocate(&mut alice, ELSEWHERE);
        village.run(1_000);
        told.try_recv().unwrap().unwrap();
        village.ladder();
        let call = village.call(&bob, "sip:alice@example.com");
        village.run(300);
        let invites = steps(&mut village, "INVITE proxy>");
        let invites: Vec<_> = invites.iter().filter(|s| s.starts_with("INVITE")).collect();
        assert_eq!(invites, ["INVITE proxy>alice"], "after {wait} ms");
        village.drive(call.hangup());
        village.run(70_000);
    }
}

#[test]
fn a_call_through_a_proxy_moves_from_one_address_family_to_the_other() {
    let (mut village, mut alice, mut bob) = at_a_proxy(Config::default);
    let (call, answered) = village.connect(&alice, &mut bob, "sip:bob@example.com");
    // Bob has both kinds, and takes media where it comes from.
    village.dual_stack(&bob, "2001:db8::2");
    village.relocate(&mut alice, "2001:db8::7");
    village.run(2_000);
    assert_eq!(bob.media()[0].remote_rtp.unwrap(), alice.listens()[0]);
    assert_eq!(alice.media()[0].remote_rtp.unwrap(), bob.listens()[0]);
    assert_eq!(bob.listens()[0].ip().to_string(), "2001:db8::2");
    village.drive(answered.hangup());
    village.run(100);
    assert!(matches!(call.state(), CallState::Ended(_)));
}

#[test]
fn subscriptions_move_with_the_watcher_and_with_the_watched() {
    let watches = || {
        let mut config = Config::default();
        config.sip.event_packages = vec!["presence".to_owned()];
        config
    };
    let (mut village, mut alice, mut bob) = two_with(watches);
    let builder = alice.account.subscribe("presence", TO_BOB);
    let mut asking = std::pin::pin!(std::future::IntoFuture::into_future(builder));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(asking.as_mut().poll(&mut context).is_pending());
    village.run(100);
    let Some(crate::Event::Subscription(incoming)) = bob.event() else { panic!("no watcher") };
    let watcher = village.drive(incoming.accept("text/plain", "one")).unwrap();
    let subscription = village.drive(asking).unwrap();
    village.run(500);
    village.ladder();
    village.relocate(&mut alice, ELSEWHERE);
    village.run(500);
    let asked = steps(&mut village, "SUBSCRIBE");
    assert_eq!(asked, ["SUBSCRIBE alice>bob", "200 SUBSCRIBE bob>alice"]);
    let body = |update| match update {
        Some(crate::SubscriptionUpdate::Notify(n)) => {
            String::from_utf8_lossy(n.request.body()).into_owned()
        }
        other => panic!("{other:?}"),
    };
    village.drive(watcher.notify("text/plain", "two")).unwrap();
    let mut seen = Vec::new();
    while !seen.contains(&"two".to_owned()) {
        seen.push(body(village.drive(subscription.next_event())));
    }
    // Now the other side: its NOTIFY tells where the next SUBSCRIBE goes.
    village.ladder();
    village.relocate(&mut bob, "198.51.100.8");
    village.run(500);
    let told = steps(&mut village, "NOTIFY");
    assert_eq!(told, ["NOTIFY bob>alice", "200 NOTIFY alice>bob"]);
    village.drive(subscription.refresh()).unwrap();
    village.run(500);
    let asked = steps(&mut village, "SUBSCRIBE");
    assert_eq!(asked, ["SUBSCRIBE alice>bob", "200 SUBSCRIBE bob>alice"]);
}

// No network.

#[test]
fn a_call_waits_for_the_next_network_and_goes_on() {
    let (mut village, mut alice, bob, call, answered) = up();
    let report = village.cut_off(&alice);
    assert!(report.offline);
    let mut done = hold(&alice, &call, true);
    village.run(20_000);
    assert!(village.ladder().is_empty());
    assert!(done.try_recv().is_err());
    let (account, to, audio) = (alice.account.key(), TO_BOB.to_owned(), quiet());
    let place = Box::new(PlaceCall::new(account, to, Vec::new(), audio));
    let refused =
        village.drive(alice.shared.commands.ask(|reply| Command::Call { call: place, reply }));
    assert!(matches!(refused, Err(Error::Network(why)) if why == "there is no network"));
    village.relocate(&mut alice, ELSEWHERE);
    village.run(1_000);
    done.try_recv().unwrap().unwrap();
    village.drive(call.resume()).unwrap();
    assert_goes_on(&mut village, (&alice, &call), (&bob, &answered));
}

#[test]
fn calls_end_with_a_clear_cause_when_the_network_stays_away() {
    let patience = Duration::from_secs(20);
    let (mut village, alice, mut bob) =
        two_with(|| Config { network_patience: patience, ..Config::default() });
    let (call, _answered) = village.connect(&alice, &mut bob, TO_BOB);
    let dialed = village.call(&alice, TO_BOB);
    village.run(100);
    let rings = village.call(&bob, TO_ALICE);
    village.run(100);
    let mut alice = alice;
    let incoming = alice.incoming();
    village.cut_off(&alice);
    village.run(19_000);
    for call in [&call, &dialed, incoming.call()] {
        assert!(!matches!(call.state(), CallState::Ended(_)));
    }
    village.run(2_000);
    for call in [&call, &dialed, incoming.call()] {
        let end = end_of(call);
        assert_eq!((end.reason.as_str(), end.failed), ("no network for 20 s", true));
    }
    drop(rings);
}
